//! How Gazebo names topics, partitions and message types.

use crate::GzError;

/// Longest full name, partition included; Gazebo's own bound.
const MOST: usize = 65_535;

/// Which of the simulations on a network: only processes of one partition see each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Partition(String);

impl Partition {
    /// A partition by name; slashes around it do not matter.
    pub fn new(name: &str) -> Result<Self, GzError> {
        let name = name.trim_matches('/');
        if !name.is_empty() {
            check("partition", name)?;
        }
        Ok(Self(name.to_owned()))
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Gazebo's own choice when nobody names one: host and user.
    pub fn default_for(host: &str, user: &str) -> Result<Self, GzError> {
        Self::new(&format!("{host}:{user}"))
    }

    /// What every topic of this partition begins with: `@/partition@/`.
    pub fn prefix(&self) -> String {
        let partition = if self.0.is_empty() { String::new() } else { format!("/{}", self.0) };
        format!("@{partition}@/")
    }

    /// `topic` as it is on the wire: `@/partition@/topic`.
    pub fn full_name(&self, topic: &str) -> Result<String, GzError> {
        let topic = topic.trim_matches('/');
        check("topic", topic)?;
        let full = self.prefix() + topic;
        if full.len() > MOST { Err(wrong("topic", topic)) } else { Ok(full) }
    }
}

fn wrong(what: &'static str, name: &str) -> GzError {
    GzError::Name { what, name: name.to_owned(), most: MOST }
}

fn check(what: &'static str, name: &str) -> Result<(), GzError> {
    let fits = |c: char| !c.is_whitespace() && !c.is_control() && c != '@' && c != '~';
    let good = !name.is_empty()
        && name.len() <= MOST
        && !name.contains("//")
        && !name.contains(":=")
        && name.chars().all(fits);
    if good { Ok(()) } else { Err(wrong(what, name)) }
}

/// What a server calls the package of its messages; it takes no message under the other name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Family {
    /// `ignition.msgs`: Fortress and before.
    #[default]
    Ignition,
    /// `gz.msgs`: Garden and after.
    Gz,
}

impl Family {
    /// The full name of a message type, e.g. `Double`.
    pub fn type_name(self, message: &str) -> String {
        match self {
            Self::Ignition => format!("ignition.msgs.{message}"),
            Self::Gz => format!("gz.msgs.{message}"),
        }
    }

    /// The family and the message of a full name, if it is one of theirs.
    pub fn split(type_name: &str) -> Option<(Self, &str)> {
        let of = |family, prefix| type_name.strip_prefix(prefix).map(|message| (family, message));
        of(Self::Ignition, "ignition.msgs.").or_else(|| of(Self::Gz, "gz.msgs."))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_gazebo_writes_them() {
        // What `ign topic -l -v 4` shows of a Fortress server.
        let full = |partition: &str, topic: &str| Partition::new(partition).unwrap().full_name(topic).unwrap();
        assert_eq!(full("cell", "/world/cell/clock"), "@/cell@/world/cell/clock");
        assert_eq!(full("/cell/", "clock/"), "@/cell@/clock");
        assert_eq!(full("", "/clock"), "@@/clock");
        assert_eq!(Partition::default_for("host", "user").unwrap().full_name("/a").unwrap(), "@/host:user@/a");
    }

    #[test]
    fn names_that_gazebo_refuses_are_refused() {
        for topic in ["", "/", "a b", "a@b", "~a", "a//b", "a:=b", "a\u{7}b", &"x".repeat(70_000)] {
            assert!(Partition::new("p").unwrap().full_name(topic).is_err(), "{topic:.20}");
        }
        assert!(Partition::new("a b").is_err());
    }

    #[test]
    fn types_have_two_families() {
        assert_eq!(Family::split("ignition.msgs.Double"), Some((Family::Ignition, "Double")));
        assert_eq!(Family::split("gz.msgs.Pose_V"), Some((Family::Gz, "Pose_V")));
        assert_eq!(Family::split("Double"), None);
        assert_eq!(Family::Gz.type_name("Image"), "gz.msgs.Image");
    }
}

//! `--ros-args`: what ROS's launch and command line say to a node - names, remappings, parameters - in ROS's own syntax
//! (design.ros2.org, "ROS Command Line Arguments"), read without ROS.
//!
//! Everything between `--ros-args` and `--` (or the end) is ROS's; [`split`] takes it out, so that the rest is the program's own
//! command line. An argument that is not understood is an error that names it: a remapping that was meant but not done could
//! connect the wrong arm.

use std::path::PathBuf;

/// Why ROS arguments are not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RosArgsError {
    /// Not an argument that a node knows.
    #[error(
        "{0}: not a ROS argument that is understood here (-r, -p, --params-file, --log-level, --enable-*-logs, --disable-*-logs)"
    )]
    Unknown(String),
    /// An argument without what must follow it.
    #[error("{0}: its value is missing")]
    Missing(String),
    /// A value that is not of the form it must have.
    #[error("{argument} {value}: expected {expected}")]
    Form {
        /// The argument.
        argument: String,
        /// What followed it.
        value: String,
        /// What it may be.
        expected: &'static str,
    },
}

/// A rule `from:=to`, for every node or one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remap {
    /// The node it is for (`node:from:=to`); `None` for every node.
    pub node: Option<String>,
    /// A topic's name, absolute or relative to the node's namespace.
    pub from: String,
    /// What it becomes.
    pub to: String,
}

/// What `--ros-args` said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RosArgs {
    /// `__node` (or `__name`): the node's name.
    pub node: Option<String>,
    /// `__ns`: the node's namespace, absolute.
    pub namespace: Option<String>,
    /// Topics that go elsewhere, in order; the first that fits holds.
    pub remaps: Vec<Remap>,
    /// `-p name:=value`, in order, values as YAML; the last one holds.
    pub parameters: Vec<(String, String)>,
    /// `--params-file`, in order; `-p` comes after all of them.
    pub parameter_files: Vec<PathBuf>,
    /// `--log-level`, as it was said.
    pub log_level: Option<String>,
}

/// The program's own arguments, and ROS's.
pub fn split(args: impl IntoIterator<Item = String>) -> Result<(Vec<String>, RosArgs), RosArgsError> {
    let (mut own, mut ros) = (Vec::new(), RosArgs::default());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg != "--ros-args" {
            own.push(arg);
            continue;
        }
        while let Some(arg) = args.next().filter(|a| a != "--") {
            // A second `--ros-args` within the first changes nothing.
            if arg != "--ros-args" {
                ros.take(&arg, &mut args)?;
            }
        }
    }
    Ok((own, ros))
}

impl RosArgs {
    fn take(&mut self, arg: &str, rest: &mut impl Iterator<Item = String>) -> Result<(), RosArgsError> {
        let mut value = || rest.next().ok_or_else(|| RosArgsError::Missing(arg.to_owned()));
        match arg {
            "-r" | "--remap" => self.remap(arg, &value()?),
            "-p" | "--param" => {
                let (name, value) = rule(arg, &value()?)?;
                self.parameters.push((name, value));
                Ok(())
            }
            "--params-file" => {
                self.parameter_files.push(value()?.into());
                Ok(())
            }
            "--log-level" => {
                self.log_level = Some(value()?);
                Ok(())
            }
            // Where rcl logs to: it hears these itself, and without it there is nothing to switch.
            logs if logs.ends_with("-logs") && (logs.starts_with("--enable-") || logs.starts_with("--disable-")) => {
                Ok(())
            }
            other => Err(RosArgsError::Unknown(other.to_owned())),
        }
    }

    fn remap(&mut self, argument: &str, text: &str) -> Result<(), RosArgsError> {
        let form = |expected| RosArgsError::Form { argument: argument.to_owned(), value: text.to_owned(), expected };
        let (from, to) = rule(argument, text)?;
        // A rule for one node names it before a colon.
        let (node, from) = match from.split_once(':') {
            Some((node, from)) => (Some(node.to_owned()), from.to_owned()),
            None => (None, from),
        };
        match from.as_str() {
            "__node" | "__name" if is_token(&to) => self.node = Some(to),
            "__node" | "__name" => return Err(form("a name of letters, digits and underscores")),
            "__ns" if to == "/" || is_name(&to) && to.starts_with('/') => self.namespace = Some(to),
            "__ns" => return Err(form("an absolute namespace such as /room2")),
            _ if is_name(&from) && is_name(&to) => self.remaps.push(Remap { node, from, to }),
            _ => return Err(form("two topic names, from:=to")),
        }
        Ok(())
    }

    /// Where a topic of this name goes for a node of this name. What ROS has once (`global`) lies in no namespace.
    pub fn resolve(&self, node: &str, name: &str, global: bool) -> String {
        let namespace = self.namespace.as_deref().unwrap_or("/").trim_end_matches('/');
        let absolute = |name: &str| if name.starts_with('/') { name.to_owned() } else { format!("{namespace}/{name}") };
        let full = if global { name.to_owned() } else { absolute(name.trim_start_matches('/')) };
        let fits = |r: &&Remap| r.node.as_deref().is_none_or(|n| n == node) && absolute(&r.from) == full;
        self.remaps.iter().find(fits).map_or_else(|| full.clone(), |r| absolute(&r.to))
    }
}

fn rule(argument: &str, text: &str) -> Result<(String, String), RosArgsError> {
    let form = || RosArgsError::Form { argument: argument.to_owned(), value: text.to_owned(), expected: "name:=value" };
    let (name, value) = text.split_once(":=").filter(|(n, v)| !n.is_empty() && !v.is_empty()).ok_or_else(form)?;
    Ok((name.to_owned(), value.to_owned()))
}

fn is_token(text: &str) -> bool {
    let first = text.chars().next();
    first.is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn is_name(text: &str) -> bool {
    text.strip_prefix('/').unwrap_or(text).split('/').all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<(Vec<String>, RosArgs), RosArgsError> {
        split(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn what_launch_says_is_taken_out_and_the_rest_is_the_programs() {
        let line = "run safety --ros-args -r __node:=gate -r __ns:=/room2 --params-file a.yaml -p motion.approach_gain:=5.0 \
                    --log-level info --disable-rosout-logs -- --listen x";
        let (own, ros) = of(line).unwrap();
        assert_eq!(own, ["run", "safety", "--listen", "x"]);
        assert_eq!((ros.node.as_deref(), ros.namespace.as_deref()), (Some("gate"), Some("/room2")));
        assert_eq!(ros.parameters, [("motion.approach_gain".to_owned(), "5.0".to_owned())]);
        assert_eq!((ros.parameter_files, ros.log_level.as_deref()), (vec![PathBuf::from("a.yaml")], Some("info")));
        assert_eq!(of("run safety").unwrap(), (vec!["run".to_owned(), "safety".to_owned()], RosArgs::default()));
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (line, named) in [
            ("--ros-args --speed 3", "--speed"),
            ("--ros-args -r", "-r"),
            ("--ros-args -r /a=/b", "/a=/b"),
            ("--ros-args -r /a:=", "/a:="),
            ("--ros-args -r __ns:=room", "room"),
            ("--ros-args -r __node:=a/b", "a/b"),
            ("--ros-args -r /a//b:=c", "/a//b"),
            ("--ros-args -p gain", "gain"),
        ] {
            let problem = of(line).unwrap_err().to_string();
            assert!(problem.contains(named), "{line}: {problem}");
        }
    }

    #[test]
    fn names_resolve_as_ros_resolves_them() {
        let to = |line: &str, topic: &str, global: bool| of(line).unwrap().1.resolve("safety", topic, global);
        assert_eq!(to("", "/PSM1/servo_jp", false), "/PSM1/servo_jp");
        assert_eq!(to("--ros-args -r __ns:=/room2", "/PSM1/servo_jp", false), "/room2/PSM1/servo_jp");
        assert_eq!(to("--ros-args -r __ns:=/room2", "/clock", true), "/clock");
        assert_eq!(to("--ros-args -r /PSM1/servo_jp:=/dvrk/a", "/PSM1/servo_jp", false), "/dvrk/a");
        // Relative names lie in the namespace on both sides of a rule, absolute ones do not.
        assert_eq!(to("--ros-args -r __ns:=/r -r PSM1/servo_jp:=a", "/PSM1/servo_jp", false), "/r/a");
        assert_eq!(to("--ros-args -r __ns:=/r -r /PSM1/servo_jp:=/a", "/PSM1/servo_jp", false), "/r/PSM1/servo_jp");
        // A rule for another node does nothing; the first of two holds; rules are not applied twice.
        assert_eq!(to("--ros-args -r fusion:/x:=/y", "/x", false), "/x");
        assert_eq!(to("--ros-args -r safety:/x:=/y -r /x:=/z", "/x", false), "/y");
        assert_eq!(to("--ros-args -r /x:=/y -r /y:=/x", "/x", false), "/y");
    }
}

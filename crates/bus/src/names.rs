//! What topics are called on a robot that does not call them as [`crate::graph`] does.
//!
//! The table of topics stays closed: names are given to topics that stand in it, one each, and never twice.

use crate::{BusError, Topic, graph};
use proctor_types::ArmId;
use std::{borrow::Cow, collections::BTreeMap};

/// Other names for some topics of [`graph::all`]; the rest keep theirs. Also what the frames of arms' bases are called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    topics: BTreeMap<String, String>,
    frames: [Option<&'static str>; ArmId::ALL.len()],
}

impl Names {
    /// Names that differ: (in the table, on the robot). Refuses topics that are not in the table, names that ROS does not allow, and
    /// two topics of one name.
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, BusError> {
        let mut names = BTreeMap::new();
        for (ours, theirs) in pairs {
            let refuse = |expected| BusError::Config { field: "topics", value: format!("{ours} = {theirs}"), expected };
            if !graph::all().iter().any(|t| t.name == ours) {
                return Err(refuse("a topic of `proctor graph` on the left"));
            }
            if !is_absolute(&theirs) {
                return Err(refuse("an absolute ROS name on the right, such as /PSM1/measured_js"));
            }
            if names.contains_key(&ours) {
                return Err(refuse("each topic once on the left"));
            }
            names.insert(ours, theirs);
        }
        let named = Self { topics: names, frames: Default::default() };
        let mut seen = BTreeMap::new();
        for topic in graph::all() {
            let name = named.of(&topic.name).to_owned();
            if let Some(other) = seen.insert(name, topic.name.clone()) {
                let value = format!("{other} and {} are both {}", topic.name, named.of(&topic.name));
                return Err(BusError::Config { field: "topics", value, expected: "a name of its own for each topic" });
            }
        }
        Ok(named)
    }

    /// Every topic of an arm's own namespace below another one, e.g. `/si/PSM1`.
    pub fn namespace(arm: ArmId, namespace: &str) -> Result<Self, BusError> {
        Self::new(below(arm, namespace))
    }

    /// What a topic of the table is called.
    pub fn of<'a>(&'a self, ours: &'a str) -> &'a str {
        self.topics.get(ours).map_or(ours, String::as_str)
    }

    /// The same, where the robot calls the frame of an arm's base so. The text is kept for the life of the process: a robot has three.
    #[must_use]
    pub fn with_frame(mut self, arm: ArmId, frame: &str) -> Self {
        self.frames[arm.index()] = Some(Box::leak(frame.to_owned().into_boxed_str()));
        self
    }

    /// What the robot calls the frame of an arm's base, if anything was said.
    pub(crate) fn frame(&self, arm: ArmId) -> Option<&'static str> {
        self.frames[arm.index()]
    }

    /// The topic with the robot's name.
    pub(crate) fn named(&self, topic: &Topic) -> Topic {
        Topic { name: Cow::Owned(self.of(&topic.name).to_owned()), ..topic.clone() }
    }
}

/// (name in the table, name below `namespace`) of everything that an arm itself says and hears.
pub fn below(arm: ArmId, namespace: &str) -> Vec<(String, String)> {
    let own = format!("/{}/", arm.name());
    let mine = graph::all().into_iter().filter_map(|t| {
        let rest = t.name.strip_prefix(&own)?;
        Some((t.name.to_string(), format!("{namespace}/{rest}")))
    });
    mine.collect()
}

/// Whether ROS takes this as the full name of a topic.
pub fn is_absolute(name: &str) -> bool {
    let word = |w: &str| {
        w.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && w.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    name.len() <= 256 && name.strip_prefix('/').is_some_and(|rest| rest.split('/').all(word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{ArmPose, Pose, Stamp};

    fn pair(a: &str, b: &str) -> (String, String) {
        (a.to_owned(), b.to_owned())
    }

    #[test]
    fn topics_of_the_table_get_other_names_and_the_rest_keep_theirs() {
        let names = Names::new([pair("/PSM1/spatial/measured_cf", "/PSM1/body/measured_cf")]).unwrap();
        assert_eq!(names.of("/PSM1/spatial/measured_cf"), "/PSM1/body/measured_cf");
        assert_eq!(names.of("/PSM1/measured_js"), "/PSM1/measured_js");
        let moved = Names::namespace(ArmId::Psm1, "/si/PSM1").unwrap();
        assert_eq!(moved.of("/PSM1/jaw/servo_jp"), "/si/PSM1/jaw/servo_jp");
        assert_eq!(moved.of("/PSM2/servo_jp"), "/PSM2/servo_jp");
        assert_eq!(moved.of("/teleop/PSM1/servo_jp"), "/teleop/PSM1/servo_jp", "Proctor's own topic");
    }

    #[test]
    fn a_pose_is_taken_in_the_robots_frame_and_in_no_other() {
        let there = Names::default().with_frame(ArmId::Psm1, "psm1_rcm");
        let bus = crate::Bus::memory();
        let topic = graph::measured_cp(ArmId::Psm1);
        let publisher = bus.publisher::<ArmPose>(&topic).unwrap();
        let (ours, theirs) =
            (bus.subscriber::<ArmPose>(&topic).unwrap(), bus.with_names(there).subscriber::<ArmPose>(&topic).unwrap());
        publisher.publish(&ArmPose { arm: ArmId::Psm1, stamp: Stamp::FIRST, base_from_tip: Pose::identity() }).unwrap();
        assert!(ours.take().unwrap().is_ok());
        let refused = theirs.take().unwrap().unwrap_err().to_string();
        assert!(refused.contains("psm1_rcm") && refused.contains("PSM1_base"), "{refused}");
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (pairs, part) in [
            (vec![pair("/PSM1/move_jp", "/PSM1/go")], "proctor graph"),
            (vec![pair("/PSM1/servo_jp", "servo_jp")], "absolute"),
            (vec![pair("/PSM1/servo_jp", "/PSM1//servo_jp")], "absolute"),
            (vec![pair("/PSM1/servo_jp", "/PSM1/servo jp")], "absolute"),
            (vec![pair("/PSM1/servo_jp", "/PSM2/servo_jp")], "/PSM2/servo_jp"),
            (vec![pair("/PSM1/servo_jp", "/a"), pair("/PSM1/servo_jp", "/b")], "once"),
        ] {
            let error = Names::new(pairs).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        assert!(Names::namespace(ArmId::Psm1, "/PSM2").is_err(), "PSM2 has those");
    }
}

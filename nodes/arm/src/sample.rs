//! Gazebo's words as ours: parsed once, here.

use proctor_gazebo::{Arm, Joint};
use proctor_gz::messages::{Axis, Header, Model, Time};
use proctor_types::{InvalidValue, Joints, Stamp};

/// How an arm of the world stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When, in simulated time.
    pub stamp: Stamp,
    /// Joint positions, rad or m.
    pub position: Joints,
    /// Joint velocities.
    pub velocity: Joints,
    /// Angle between the jaws, rad; 0 without jaws.
    pub jaw: f64,
}

/// Why a message of the world is not taken.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// No stamp, or one that is no time.
    #[error("no valid stamp")]
    Stamp,
    /// A joint is missing, or has no axis.
    #[error("joint {0} is missing")]
    Missing(String),
    /// A value that is none.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

/// Gazebo's time as a stamp; `None` for its very beginning, which ROS takes for no time.
pub fn stamp(time: Option<&Time>) -> Option<Stamp> {
    time?.nanos().and_then(|nanos| Stamp::from_nanos("simulated time", nanos).ok())
}

fn axis(model: &Model, joint: &Joint) -> Result<Axis, SampleError> {
    let found = model.joint.iter().find(|j| j.name == joint.name).and_then(|j| j.axis1);
    found.ok_or_else(|| SampleError::Missing(joint.name.clone()))
}

impl Sample {
    /// What a joint state publisher said of `arm`.
    pub fn of(model: &Model, arm: &Arm) -> Result<Self, SampleError> {
        let stamp =
            stamp(model.header.as_ref().and_then(|Header { stamp }| stamp.as_ref())).ok_or(SampleError::Stamp)?;
        let axes = arm.joints.iter().map(|joint| axis(model, joint)).collect::<Result<Vec<_>, _>>()?;
        let each = |of: fn(&Axis) -> f64| Joints::new(&axes.iter().map(of).collect::<Vec<_>>());
        let mut jaw = 0.0;
        for side in arm.jaw.iter().flat_map(|jaw| &jaw.sides) {
            jaw += axis(model, side)?.position;
        }
        let jaw = proctor_types::finite("jaw", jaw)?;
        Ok(Self { stamp, position: each(|a| a.position)?, velocity: each(|a| a.velocity)?, jaw })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_gz::messages;
    use proctor_types::ArmId;

    fn model(arm: &Arm, value: f64) -> Model {
        let jaws = arm.jaw.iter().flat_map(|jaw| &jaw.sides);
        let joint = |j: &Joint| messages::Joint {
            name: j.name.clone(),
            axis1: Some(Axis { position: value, velocity: 0.5, force: 0.0 }),
        };
        Model {
            header: Some(Header { stamp: Some(Time { sec: 3, nsec: 4 }) }),
            name: arm.arm.name().to_owned(),
            // Gazebo keeps no order that we know of.
            joint: arm.joints.iter().chain(jaws).rev().map(joint).collect(),
        }
    }

    #[test]
    fn a_sample_has_the_joints_in_our_order_and_the_jaws_together() {
        let arm = Arm::of(ArmId::Psm1).unwrap();
        let mut said = model(&arm, 0.1);
        said.joint.iter_mut().find(|j| j.name == "PSM1_insertion").unwrap().axis1.as_mut().unwrap().position = 0.2;
        let sample = Sample::of(&said, &arm).unwrap();
        assert_eq!(sample.position, Joints::new(&[0.1, 0.1, 0.2, 0.1, 0.1, 0.1]).unwrap());
        assert_eq!((sample.velocity[5], sample.jaw, sample.stamp.nanos()), (0.5, 0.2, 3_000_000_004));
    }

    #[test]
    fn what_is_missing_or_no_number_is_refused_by_name() {
        let arm = Arm::of(ArmId::Ecm).unwrap();
        let mut said = model(&arm, 0.1);
        said.joint.pop();
        assert_eq!(Sample::of(&said, &arm), Err(SampleError::Missing("ECM_yaw".to_owned())));
        assert!(matches!(Sample::of(&model(&arm, f64::NAN), &arm), Err(SampleError::Value(_))));
        let timeless = Model { header: None, ..model(&arm, 0.1) };
        assert_eq!(Sample::of(&timeless, &arm), Err(SampleError::Stamp));
        assert_eq!(stamp(Some(&Time { sec: 0, nsec: 0 })), None);
    }
}

//! What a program that moves the arms of a world needs to know.

use crate::{GazeboError, links::Bodies};
use proctor_types::ArmId;

/// An arm of the world: which joints of Gazebo's make which of ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// Which.
    pub arm: ArmId,
    /// Its joints in the chain's order, base to tip.
    pub joints: Vec<Joint>,
    /// Its jaws; none for the ECM.
    pub jaw: Option<Jaw>,
}

/// A joint of the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joint {
    /// Its name in the model.
    pub name: String,
    /// Where its position controller listens: a `Double`, rad or m.
    pub command: String,
}

/// Two jaws, each of which takes half of CRTK's angle between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jaw {
    /// Both.
    pub sides: [Joint; 2],
}

impl Joint {
    fn new(arm: ArmId, name: &str) -> Self {
        Self { name: name.to_owned(), command: format!("/{arm}/{name}/cmd_pos") }
    }
}

impl Arm {
    /// An arm of the standard cell.
    pub fn of(arm: ArmId) -> Result<Self, GazeboError> {
        let bodies = Bodies::of(arm)?;
        let (jaws, joints): (Vec<_>, Vec<_>) = bodies
            .bodies
            .iter()
            .map(|b| Joint::new(arm, &b.joint))
            .partition(|j| j.name.starts_with(&format!("{arm}_jaw")));
        let jaw = <[Joint; 2]>::try_from(jaws).ok().map(|sides| Jaw { sides });
        if jaw.is_some() != arm.has_jaw() {
            return Err(GazeboError::Urdf(format!("{arm}: expected {} jaws", if arm.has_jaw() { 2 } else { 0 })));
        }
        Ok(Self { arm, joints, jaw })
    }

    /// The topic on which the world says how the arm's joints stand: a `Model`.
    pub fn state_topic(&self) -> String {
        format!("/{}/{}", self.arm, crate::JOINT_STATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_kinematics::Cell;

    #[test]
    fn arms_have_the_joints_of_their_chains_in_their_order() {
        let cell = Cell::standard().unwrap();
        for id in ArmId::ALL {
            let arm = Arm::of(id).unwrap();
            assert_eq!(arm.joints.len(), cell.chain(id).unwrap().dof(), "{id}");
            assert_eq!(arm.joints[0].name, format!("{id}_yaw"));
        }
        let psm = Arm::of(ArmId::Psm2).unwrap();
        assert_eq!(psm.joints[5].command, "/PSM2/PSM2_wrist_yaw/cmd_pos");
        assert_eq!(psm.jaw.unwrap().sides[1].name, "PSM2_jaw_2");
        assert_eq!(psm.arm, ArmId::Psm2);
    }
}

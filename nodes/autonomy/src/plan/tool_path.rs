//! Straight paths of an instrument's jaws: the jaws' end moves on a line while the tip frame turns about one axis.

use super::{JointPath, PathPoint};
use crate::{Declined, MotionParams, robot::Tool};
use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, UnitVector3};
use proctor_kinematics::Ik;
use proctor_types::{Base, Joints, Pose, Tip};

/// Where the closed jaws' end is and how the tip frame is turned, base frame.
#[derive(Debug, Clone, Copy)]
pub struct JawPose {
    /// End of the closed jaws, m.
    pub end: Point3<f64>,
    /// Orientation of the tip frame.
    pub rotation: UnitQuaternion<f64>,
}

impl JawPose {
    /// At given joints.
    pub fn at(tool: &Tool, joints: &Joints) -> Result<Self, Declined> {
        let tip = tool.fk(joints)?;
        Ok(Self { end: tip.transform(&tool.end_in_tip), rotation: tip.rotation() })
    }

    /// The tip frame that puts the jaws there.
    pub fn tip(&self, tool: &Tool) -> Pose<Base, Tip> {
        let origin = self.end - self.rotation * tool.end_in_tip.coords;
        Pose::new(Isometry3::from_parts(Translation3::from(origin.coords), self.rotation))
    }

    /// The same orientation, moved.
    #[must_use]
    pub fn moved(self, by: nalgebra::Vector3<f64>) -> Self {
        Self { end: self.end + by, ..self }
    }
}

/// A straight path of the jaws.
pub struct ToolPath<'a> {
    tool: &'a Tool,
    motion: &'a MotionParams,
    from: JawPose,
    to: JawPose,
    turn: Option<(UnitVector3<f64>, f64)>,
    what: &'static str,
}

impl<'a> ToolPath<'a> {
    /// From one jaw pose to another; `what` names the leg in refusals.
    pub fn new(tool: &'a Tool, motion: &'a MotionParams, from: JawPose, to: JawPose, what: &'static str) -> Self {
        let turn = (to.rotation * from.rotation.inverse()).axis_angle();
        Self { tool, motion, from, to, turn, what }
    }

    fn pose(&self, s: f64) -> JawPose {
        let turned = self.turn.map_or(self.from.rotation, |(axis, angle)| {
            UnitQuaternion::from_axis_angle(&axis, s * angle) * self.from.rotation
        });
        JawPose { end: self.from.end + s * (self.to.end - self.from.end), rotation: turned }
    }
}

impl JointPath for ToolPath<'_> {
    fn at(&self, s: f64, seed: &Joints) -> Result<PathPoint, Declined> {
        let pose = self.pose(s);
        let tip = pose.tip(self.tool);
        let joints = solve(self.tool, &tip, seed, self.motion, self.what)?;
        Ok(PathPoint { joints, tips: [Point3::from(tip.translation()), pose.end] })
    }

    fn length(&self) -> f64 {
        (self.to.end - self.from.end).norm()
    }
}

/// Joints that reach `tip` inside the ranges `motion` keeps and deep enough below the remote centre.
pub fn solve(
    tool: &Tool,
    tip: &Pose<Base, Tip>,
    seed: &Joints,
    motion: &MotionParams,
    what: &'static str,
) -> Result<Joints, Declined> {
    let arm = tool.arm;
    if !tip.is_finite() {
        return Err(Declined::BadTarget { what });
    }
    let joints = match tool.chain.ik(tip, seed) {
        Ik::Solution(joints) => joints,
        Ik::Unreachable { position_error, rotation_error, .. } => {
            return Err(Declined::Unreachable { arm, what, position_error, rotation_error });
        }
        Ik::Singular { .. } => return Err(Declined::Singular { arm, what }),
    };
    inside(tool, &joints, motion)?;
    Ok(joints)
}

/// Whether `joints` keep the margins of `motion` to the joint ranges and to the remote centre.
fn inside(tool: &Tool, joints: &Joints, motion: &MotionParams) -> Result<(), Declined> {
    let arm = tool.arm;
    let limits = tool.chain.limits();
    let ranges = limits.lower.iter().zip(limits.upper.iter());
    for (joint, (&value, (&lower, &upper))) in joints.iter().zip(ranges).enumerate() {
        let margin = (upper - lower) * motion.range_margin;
        if value < lower + margin || value > upper - margin {
            return Err(Declined::JointLimit { arm, joint, value, lower: lower + margin, upper: upper - margin });
        }
    }
    let depth = tool.wrist_depth(joints)?;
    if depth < motion.min_depth {
        return Err(Declined::NearRemoteCentre { arm, depth, limit: motion.min_depth });
    }
    Ok(())
}

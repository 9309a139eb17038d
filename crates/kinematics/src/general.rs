//! A serial chain of any form: revolute and prismatic joints about any axes, walked joint by joint on the stack. For arms that are
//! not of the dVRK's form; those keep their closed form in `chain`.

use crate::frame::{Frame, V3, cross, sub};
use arrayvec::ArrayVec;
use proctor_types::{Joints, MAX_JOINTS};

/// How a joint of a URDF moves; axes as the URDF gives them, not normalised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// Not at all.
    Fixed,
    /// Turns about this axis.
    Turns([f64; 3]),
    /// Slides along it.
    Slides([f64; 3]),
}

/// A joint of a URDF in its raw numbers, for who multiplies them out by other code.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// Origin in the parent link, m.
    pub xyz: [f64; 3],
    /// Roll, pitch, yaw of the origin, rad.
    pub rpy: [f64; 3],
    /// What the joint does.
    pub motion: Motion,
}

/// What makes an arm general: its joints, and that its remote centre is kept by software.
#[derive(Debug, Clone)]
pub(crate) struct General {
    /// Parent from joint, and whether the joint slides along its z instead of turning about it.
    pub joints: ArrayVec<(Frame, bool), MAX_JOINTS>,
    /// Last joint from tip.
    pub tail: Frame,
    /// The same, as the files give it: from base to tip.
    pub rows: Vec<Row>,
    /// Where it rests.
    pub home: Joints,
    /// How far the shaft's line may be from the remote centre, m.
    pub tolerance: f64,
}

/// Axes of the joints and the tip at some joints, base frame.
pub(crate) struct Steps {
    joints: ArrayVec<(V3, V3, bool), MAX_JOINTS>,
    pub tip: Frame,
}

impl General {
    /// The chain at `q`, which is of the chain's length.
    pub fn walk(&self, q: &[f64]) -> Steps {
        let mut joints = ArrayVec::new();
        let mut at = Frame::IDENTITY;
        for ((origin, slides), &q) in self.joints.iter().zip(q) {
            at = at.then(origin);
            joints.push((at.z, at.p, *slides));
            at = if *slides { at.slid(q) } else { at.turned(q) };
        }
        Steps { joints, tip: at.then(&self.tail) }
    }
}

impl Steps {
    /// Columns of the geometric Jacobian at the tip: linear velocity, angular velocity.
    pub fn columns(&self) -> [(V3, V3); MAX_JOINTS] {
        let mut columns = [([0.0; 3], [0.0; 3]); MAX_JOINTS];
        for (slot, (axis, through, slides)) in columns.iter_mut().zip(&self.joints) {
            *slot = if *slides { (*axis, [0.0; 3]) } else { (cross(*axis, sub(self.tip.p, *through)), *axis) };
        }
        columns
    }

    /// How far the tip is from each joint's origin, m.
    pub fn levers(&self) -> [f64; MAX_JOINTS] {
        let mut levers = [0.0; MAX_JOINTS];
        for (slot, (_, through, _)) in levers.iter_mut().zip(&self.joints) {
            let [x, y, z] = sub(self.tip.p, *through);
            *slot = (x * x + y * y + z * z).sqrt();
        }
        levers
    }
}

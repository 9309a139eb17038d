//! The arms as planning sees them: chains, capsules and the nominal cell.

use crate::{AutonomyError, AutonomyParams, Declined};
use arrayvec::ArrayVec;
use nalgebra::{Point3, Vector3};
use proctor_kinematics::{Capsule, Cell, Chain, Instrument, JawKind};
use proctor_types::{ArmId, Base, Joints, Pose, Tip};

/// Something with a shape that moves with an arm.
pub trait Body {
    /// Capsules around it at `joints` and `jaw` (rad), base frame.
    fn capsules(&self, joints: &Joints, jaw: f64) -> Result<ArrayVec<Capsule, 3>, Declined>;
}

/// An instrument arm with its instrument.
#[derive(Debug, Clone)]
pub struct Tool {
    /// Which arm.
    pub arm: ArmId,
    /// Its chain.
    pub chain: Chain,
    /// End of the closed jaws in the tip frame, m.
    pub end_in_tip: Point3<f64>,
    jaw_length: f64,
    /// Whether it has two jaws.
    pub grasps: bool,
}

impl Tool {
    fn new(arm: ArmId, name: &str) -> Result<Self, AutonomyError> {
        let instrument = Instrument::named(name)?;
        let chain = Chain::psm(&instrument)?;
        let links = chain.links(&chain.mid_range())?;
        Ok(Self {
            arm,
            end_in_tip: links.tip.inverse_transform_point(&links.jaw_end),
            jaw_length: instrument.jaw_length,
            grasps: !matches!(instrument.kind, JawKind::Hook),
            chain,
        })
    }

    /// Tip frame in the base.
    pub fn fk(&self, joints: &Joints) -> Result<Pose<Base, Tip>, Declined> {
        self.chain.fk(joints).map_err(|_| Declined::PathBroken { arm: self.arm })
    }

    /// How far the wrist-pitch axis lies beyond the remote centre, m.
    pub fn wrist_depth(&self, joints: &Joints) -> Result<f64, Declined> {
        let links = self.chain.links(joints).map_err(|_| Declined::PathBroken { arm: self.arm })?;
        // Along the shaft, so that a wrist drawn back beyond the remote centre has a negative depth.
        Ok(links.shaft.translation.vector.dot(&(links.shaft.rotation * Vector3::z())))
    }
}

impl Body for Tool {
    /// The last capsule, around the closed jaws, is thickened by half the distance between the ends of open ones.
    fn capsules(&self, joints: &Joints, jaw: f64) -> Result<ArrayVec<Capsule, 3>, Declined> {
        let mut capsules = self.chain.capsules(joints).map_err(|_| Declined::PathBroken { arm: self.arm })?;
        if let Some(jaws) = capsules.last_mut() {
            jaws.radius += self.jaw_length * (jaw.abs().min(std::f64::consts::PI) / 2.0).sin();
        }
        Ok(capsules)
    }
}

impl Body for Chain {
    fn capsules(&self, joints: &Joints, _jaw: f64) -> Result<ArrayVec<Capsule, 3>, Declined> {
        Chain::capsules(self, joints).map_err(|_| Declined::PathBroken { arm: ArmId::Ecm })
    }
}

/// Every arm of the cell.
#[derive(Debug, Clone)]
pub struct Robot {
    tools: [Tool; 2],
    /// The endoscope arm.
    pub ecm: Chain,
    /// Nominal layout and camera.
    pub cell: Cell,
}

impl Robot {
    /// The standard cell with the instruments named in `params`.
    pub fn new(params: &AutonomyParams) -> Result<Self, AutonomyError> {
        let [first, second] = &params.instruments;
        Ok(Self {
            tools: [Tool::new(ArmId::Psm1, first)?, Tool::new(ArmId::Psm2, second)?],
            ecm: Chain::ecm()?,
            cell: Cell::standard()?,
        })
    }

    /// The instrument of an arm; `None` for the ECM.
    pub fn tool(&self, arm: ArmId) -> Option<&Tool> {
        self.tools.iter().find(|t| t.arm == arm)
    }

    /// Any arm's shape.
    pub fn body(&self, arm: ArmId) -> &dyn Body {
        match self.tool(arm) {
            Some(tool) => tool,
            None => &self.ecm,
        }
    }

    /// Any arm's chain.
    pub fn chain(&self, arm: ArmId) -> &Chain {
        self.tool(arm).map_or(&self.ecm, |t| &t.chain)
    }
}

//! Layout of the operating cell, read from `urdf/generated/cell.urdf`.

use crate::{Chain, Instrument, KinematicsError, model::Model};
use proctor_types::{ArmId, Base, Camera, CameraModel, Pose, StereoRig, Tip, World};

const CELL_URDF: &str = include_str!("../../../urdf/generated/cell.urdf");
const CELL_FILE: &str = "urdf/generated/cell.urdf";

/// The rectified camera of the standard cell: 640x480, 560 pixels of focal length (60 degrees across), centred.
const CAMERA: CameraModel =
    CameraModel { width: 640, height: 480, fx: 560.0, fy: 560.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };

/// Where the arms stand and what the endoscope looks like, *nominally*: what the robot believes.
#[derive(Debug, Clone)]
pub struct Cell {
    world_from_base: [Pose<World, Base>; 3],
    ecm: Chain,
    tip_from_camera: Pose<Tip, Camera>,
    rig: StereoRig,
}

impl Cell {
    /// The standard cell: two PSMs and an ECM around the operative site.
    pub fn standard() -> Result<Self, KinematicsError> {
        let model = Model::embedded(CELL_FILE, CELL_URDF)?;
        let base = |arm: ArmId| model.origin(&format!("world_to_{}", arm.name())).map(Pose::new);
        let [a, b, c] = ArmId::ALL;
        let left = model.origin("endoscope_left_fixed")?;
        let right = model.origin("endoscope_right_fixed")?;
        let baseline = (left.inverse() * right).translation.vector.x;
        Ok(Self {
            world_from_base: [base(a)?, base(b)?, base(c)?],
            ecm: Chain::ecm()?,
            tip_from_camera: Pose::new(left),
            rig: StereoRig { left: CAMERA, baseline },
        })
    }

    /// Nominal pose of an arm's base (its RCM).
    pub fn world_from_base(&self, arm: ArmId) -> Pose<World, Base> {
        let [psm1, psm2, ecm] = self.world_from_base;
        match arm {
            ArmId::Psm1 => psm1,
            ArmId::Psm2 => psm2,
            ArmId::Ecm => ecm,
        }
    }

    /// The endoscope's cameras, rectified.
    pub fn rig(&self) -> StereoRig {
        self.rig
    }

    /// The left camera on the ECM's tip.
    pub fn tip_from_camera(&self) -> Pose<Tip, Camera> {
        self.tip_from_camera
    }

    /// The chain of an arm; for a PSM with the instrument named in the cell's URDF ([`Instrument::DEFAULT`]).
    pub fn chain(&self, arm: ArmId) -> Result<Chain, KinematicsError> {
        match arm {
            ArmId::Psm1 | ArmId::Psm2 => Chain::psm(&Instrument::named(Instrument::DEFAULT)?),
            ArmId::Ecm => Ok(self.ecm.clone()),
        }
    }

    /// The left camera in the ECM's base at the ECM's joints. Refuses what [`Chain::fk`] refuses.
    pub fn base_from_camera(&self, q_ecm: &[f64]) -> Result<Pose<Base, Camera>, KinematicsError> {
        Ok(self.ecm.fk(q_ecm)? * self.tip_from_camera)
    }

    /// The left camera in the world at the ECM's joints. Refuses what [`Chain::fk`] refuses.
    pub fn world_from_camera(&self, q_ecm: &[f64]) -> Result<Pose<World, Camera>, KinematicsError> {
        Ok(self.world_from_base(ArmId::Ecm) * self.base_from_camera(q_ecm)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use nalgebra::{Point3, Vector3};

    /// The layout as ARCHITECTURE.md words it, computed afresh.
    fn rcm(arm: ArmId) -> Vector3<f64> {
        match arm {
            ArmId::Psm1 => Vector3::new(0.11, -0.06, 0.15),
            ArmId::Psm2 => Vector3::new(-0.11, -0.06, 0.15),
            ArmId::Ecm => Vector3::new(0.0, -0.12, 0.16),
        }
    }

    #[test]
    fn bases_point_from_the_site_to_their_remote_centres() {
        let cell = Cell::standard().unwrap();
        for arm in ArmId::ALL {
            let base = cell.world_from_base(arm);
            let z = rcm(arm).normalize();
            let x = (Vector3::x() - z * z.x).normalize();
            assert!((base.translation() - rcm(arm)).norm() < 1e-12);
            assert!((base.rotation() * Vector3::z() - z).norm() < 1e-12, "{arm}");
            assert!((base.rotation() * Vector3::x() - x).norm() < 1e-12, "{arm}");
            assert!((base.rotation() * Vector3::y() - z.cross(&x)).norm() < 1e-12, "{arm}");
        }
    }

    #[test]
    fn every_straight_arm_points_at_the_site() {
        let cell = Cell::standard().unwrap();
        for arm in ArmId::ALL {
            let chain = cell.chain(arm).unwrap();
            let mut q = vec![0.0; chain.dof()];
            q[2] = chain.insertion_for_depth(rcm(arm).norm());
            let tip = cell.world_from_base(arm).iso() * chain.fk(&q).unwrap().iso();
            assert!(tip.translation.vector.norm() < 1e-12, "{arm}: {}", tip.translation.vector);
        }
    }

    #[test]
    fn the_picture_shows_the_site_in_its_middle_and_is_upright() {
        let cell = Cell::standard().unwrap();
        let camera_from_world = cell.world_from_camera(&[0.0, 0.0, 0.110, 0.0]).unwrap().inverse();
        let rig = cell.rig();
        assert!((rig.baseline - 0.0052).abs() < 1e-12);
        let see = |p: [f64; 3]| camera_from_world.transform(&Point3::from(p));
        let site = see([0.0; 3]);
        // RCM 0.2 m away, tip 0.110 + 0.3829 - 0.3822 beyond it; the left camera sits half a baseline left of the axis.
        assert!((site.z - (0.2 - 0.1107)).abs() < 1e-12 && site.y.abs() < 1e-12);
        assert!((site.x - rig.baseline / 2.0).abs() < 1e-12);
        assert!(see([0.01, 0.0, 0.0]).x > site.x, "world x is picture right");
        assert!(see([0.0, 0.01, 0.0]).y < site.y, "away from the camera is picture up");
    }
}

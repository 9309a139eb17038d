//! Whether an instrument stays in the endoscope's picture, as the safety node will ask: a tip that is in it may not leave, and one that is
//! not in it only come back.

use crate::{Context, PictureParams};
use nalgebra::{Isometry3, Point3, UnitVector3, Vector3};
use proctor_types::ArmId;

/// The pyramid that the endoscope sees, from an arm's base.
#[derive(Debug, Clone, Copy)]
pub struct Picture {
    camera_from_base: Isometry3<f64>,
    params: PictureParams,
}

impl Picture {
    /// From where the endoscope is now; `None` when its joints say nothing.
    pub fn new(context: &Context<'_>, base_from_world: &Isometry3<f64>) -> Option<Self> {
        let robot = context.robot;
        let scope = context.arm(ArmId::Ecm).position;
        let base_from_tip = robot.ecm.fk(&scope).ok()?;
        let world_from_base = robot.cell.world_from_base(ArmId::Ecm);
        let camera = world_from_base * base_from_tip * robot.cell.tip_from_camera();
        let camera_from_base = (base_from_world * camera.iso()).inverse();
        Some(Self { camera_from_base, params: context.params.picture })
    }

    /// How far inside the picture a point of the arm's base frame is, m; negative outside.
    pub fn inside(&self, p: &Point3<f64>) -> f64 {
        let seen = self.camera_from_base * p;
        let side = |half: f64, off: f64| seen.z * half.sin() - off.abs() * half.cos();
        side(self.params.horizontal, seen.x).min(side(self.params.vertical, seen.y))
    }

    /// The direction, base frame, in which a point seen off the middle of the picture comes back to it.
    pub fn inward(&self, p: &Point3<f64>) -> Option<UnitVector3<f64>> {
        let seen = self.camera_from_base * p;
        let back = self.camera_from_base.rotation.inverse() * Vector3::new(-seen.x, -seen.y, 0.0);
        UnitVector3::try_new(back, 1e-6)
    }

    /// The first place of a way, tip by tip, at which safety would stop it: how far inside it is there, m.
    pub fn leaves(&self, tips: impl IntoIterator<Item = Point3<f64>>) -> Option<f64> {
        let mut before = f64::INFINITY;
        tips.into_iter().map(|tip| self.inside(&tip)).find(|&now| {
            let leaves = now < self.params.margin && now < before && before.is_finite();
            before = now;
            leaves
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture() -> Picture {
        Picture {
            camera_from_base: Isometry3::identity(),
            params: PictureParams { horizontal: 0.5, vertical: 0.39, margin: 0.004 },
        }
    }

    #[test]
    fn inward_is_across_the_view_towards_its_middle() {
        let turned = Isometry3::rotation(Vector3::new(0.3, -0.2, 0.5));
        let p = Picture { camera_from_base: turned, ..picture() };
        let off = turned.inverse() * Point3::new(0.03, -0.04, 0.1);
        let inward = p.inward(&off).unwrap();
        assert!((turned * inward.into_inner() - Vector3::new(-0.6, 0.8, 0.0)).norm() < 1e-12);
        assert_eq!(p.inward(&(turned.inverse() * Point3::new(0.0, 0.0, 0.1))), None);
    }

    #[test]
    fn a_tip_may_move_inside_and_come_back_but_not_leave() {
        let p = picture();
        let at = |x: f64| Point3::new(x, 0.0, 0.1);
        // The side lies 0.1 tan(0.5) = 54.6 mm off the axis.
        assert_eq!(p.leaves([0.0, 0.02, 0.045].map(at)), None);
        let out = p.leaves([0.0, 0.03, 0.053].map(at)).unwrap();
        assert!((out - (0.1 * 0.5_f64.sin() - 0.053 * 0.5_f64.cos())).abs() < 1e-15);
        assert_eq!(p.leaves([0.08, 0.06, 0.02].map(at)), None, "back");
        assert!(p.leaves([0.06, 0.08].map(at)).is_some(), "farther out");
        assert!(p.leaves([Point3::new(0.0, 0.0, 0.1), Point3::new(0.0, 0.04, 0.1)]).is_some(), "over the upper edge");
    }
}

//! Staying in the picture: an instrument that moves by itself keeps its tip inside the pyramid that the endoscope sees, and an endoscope
//! that moves by itself keeps those tips inside that it saw when it last stood still: what it brings into the picture on its way, too fast to
//! stop for, it may lose again. The distance of a point from the pyramid's sides changes no faster than the point moves in the camera's
//! frame, so the filter's bound on travel holds for it as for every other distance.

use crate::{body::Body, braking::MotionState, dofs::PerArm, params::View};
use nalgebra::{Isometry3, Point3};
use proctor_kinematics::{Cell, Frame};
use proctor_types::ArmId;

/// How far inside the pyramid a point is that the camera sees at `p`, less the margin, m.
fn inside(view: &View, [x, y, z]: [f64; 3]) -> f64 {
    let side = |half: f64, off: f64| z * half.sin() - off.abs() * half.cos();
    side(view.horizontal, x).min(side(view.vertical, y)) - view.margin
}

/// What an autonomous motion keeps in the picture.
#[derive(Debug)]
pub struct Lookout {
    view: View,
    /// The camera on the endoscope's tip.
    mount: Isometry3<f64>,
    /// World from camera, while something is to be kept in the picture.
    camera: Option<Frame>,
    /// Tips that the endoscope keeps in the picture.
    kept: PerArm<Option<Point3<f64>>>,
    /// The one nearest to its edge.
    nearest: Option<ArmId>,
}

impl Lookout {
    /// Watches nothing yet.
    pub fn new(view: View, cell: &Cell) -> Self {
        Self { view, mount: *cell.tip_from_camera().iso(), camera: None, kept: PerArm::default(), nearest: None }
    }

    /// Watches nothing, until told to.
    pub fn rest(&mut self) {
        self.camera = None;
        self.kept = PerArm::default();
    }

    /// Watches from where the arms are in this tick. Returns how far the farthest tip that is kept in the picture is from the endoscope's
    /// pivot, m.
    pub fn watch(&mut self, bodies: &PerArm<Body>, states: &PerArm<Option<MotionState>>) -> f64 {
        let scope = bodies.get(ArmId::Ecm);
        let stands = states.ecm.is_some_and(|s| s.rests());
        let tip = states.ecm.and_then(|s| scope.shape(&s.q));
        self.camera = tip.as_ref().map(|shape| shape.frame.then(&Frame::of(&self.mount)));
        let before = std::mem::take(&mut self.kept);
        let Some(camera) = self.camera else { return 0.0 };
        let pivot = Point3::from(scope.world_from_base().translation.vector);
        let mut farthest: f64 = 0.0;
        for arm in ArmId::PSMS {
            let Some(shape) = states.get(arm).and_then(|s| bodies.get(arm).shape(&s.q)) else { continue };
            let in_picture = inside(&self.view, camera.seen(shape.tip.into())) >= -self.view.margin;
            if in_picture && (stands || before.get(arm).is_some()) {
                *self.kept.get_mut(arm) = Some(shape.tip);
                farthest = farthest.max((shape.tip - pivot).norm());
            }
        }
        self.nearest = tip.and_then(|shape| self.clearance(ArmId::Ecm, &shape.frame)).map(|(_, arm)| arm);
        farthest
    }

    /// How far inside the picture the tip that an arm moves is, or, for the endoscope, the tip nearest to the edge, less the margin, m;
    /// and that tip's arm. `None` when nothing is watched. `frame` is the arm's tip's, world frame.
    pub fn clearance(&self, arm: ArmId, frame: &Frame) -> Option<(f64, ArmId)> {
        let camera = self.camera?;
        if arm.has_jaw() {
            return Some((inside(&self.view, camera.seen(frame.p)), arm));
        }
        let camera = frame.then(&Frame::of(&self.mount));
        let each = ArmId::PSMS.into_iter().filter_map(|psm| Some((psm, (*self.kept.get(psm))?)));
        each.map(|(psm, tip)| (inside(&self.view, camera.seen(tip.into())), psm)).min_by(|a, b| a.0.total_cmp(&b.0))
    }

    /// The camera on the endoscope's tip.
    pub fn mount(&self) -> &Isometry3<f64> {
        &self.mount
    }

    /// Whose tip in the picture is nearest to its edge.
    pub fn nearest(&self) -> Option<ArmId> {
        self.nearest
    }

    /// The margin, m.
    pub fn margin(&self) -> f64 {
        self.view.margin
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SafetyParams, dofs::Q};

    const VIEW: View = View { horizontal: 0.5, vertical: 0.39, margin: 0.002 };

    #[test]
    fn distances_from_the_edges_are_those_of_school_geometry() {
        // On the axis, 0.1 m away, the upper and lower edges are nearer: 0.1 sin(0.39).
        let on_axis = inside(&VIEW, [0.0, 0.0, 0.1]);
        assert!((on_axis - (0.1 * 0.39_f64.sin() - 0.002)).abs() < 1e-15);
        for sign in [-1.0, 1.0] {
            // On an edge: minus the margin.
            let edge = [sign * 0.1 * 0.5_f64.tan(), 0.0, 0.1];
            assert!((inside(&VIEW, edge) + 0.002).abs() < 1e-15);
            let edge = [0.0, sign * 0.1 * 0.39_f64.tan(), 0.1];
            assert!((inside(&VIEW, edge) + 0.002).abs() < 1e-15);
        }
        assert!(inside(&VIEW, [0.0, 0.0, -0.05]) < 0.0, "behind the camera");
    }

    #[test]
    fn an_endoscope_answers_for_the_tips_it_sees_and_an_instrument_for_its_own() {
        let params = SafetyParams::default();
        let bodies = PerArm::from_fn(|arm| Body::configured(arm, &params).unwrap());
        let mut lookout = Lookout::new(VIEW, &Cell::standard().unwrap());
        let tip = |arm, q: &Q| bodies.get(arm).shape(q).unwrap().frame;
        let (psm, ecm) = ([0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2], [0.0, 0.0, 0.08, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(lookout.clearance(ArmId::Psm1, &tip(ArmId::Psm1, &psm)), None, "nothing is watched yet");
        // PSM2 drawn back out of the picture.
        let out = [0.0, 0.0, 0.06, 0.0, 0.0, 0.0, 0.2];
        let [psm1, psm2, scope] = [psm, out, ecm].map(|q| Some(MotionState::resting(q)));
        let at = PerArm { psm1, psm2, ecm: scope };
        let farthest = lookout.watch(&bodies, &at);
        let pivot = Point3::from(bodies.ecm.world_from_base().translation.vector);
        assert_eq!(farthest, (bodies.psm1.shape(&psm).unwrap().tip - pivot).norm());
        assert!(lookout.clearance(ArmId::Psm2, &tip(ArmId::Psm2, &out)).unwrap().0 < 0.0);
        let (mine, arm) = lookout.clearance(ArmId::Psm1, &tip(ArmId::Psm1, &psm)).unwrap();
        assert!(mine > 0.0 && arm == ArmId::Psm1);
        // The endoscope at rest is as far from losing PSM1 as PSM1 from leaving.
        let (still, whose) = lookout.clearance(ArmId::Ecm, &tip(ArmId::Ecm, &ecm)).unwrap();
        assert!((still - mine).abs() < 1e-12 && whose == ArmId::Psm1);
        // A tip moved along the picture's width nears the side by the cosine of the side's angle, at most.
        let mut moved = tip(ArmId::Psm1, &psm);
        moved.p.iter_mut().zip(lookout.camera.unwrap().x).for_each(|(p, width)| *p += width * 0.001);
        let (then, _) = lookout.clearance(ArmId::Psm1, &moved).unwrap();
        assert!((then - mine).abs() <= 0.001 * 0.5_f64.cos() + 1e-12);
        lookout.rest();
        assert_eq!(lookout.clearance(ArmId::Ecm, &tip(ArmId::Ecm, &ecm)), None);
    }

    #[test]
    fn an_endoscope_keeps_what_was_in_the_picture_when_it_last_stood_still() {
        let params = SafetyParams::default();
        let bodies = PerArm::from_fn(|arm| Body::configured(arm, &params).unwrap());
        let mut lookout = Lookout::new(VIEW, &Cell::standard().unwrap());
        let ecm = [0.0, 0.0, 0.08, 0.0, 0.0, 0.0, 0.0];
        let (stands, moves) = (MotionState::resting(ecm), MotionState { q: ecm, v: [0.01; 7] });
        let far_in = [0.0, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
        let mut watch = |psm1: Q, ecm| {
            lookout.watch(&bodies, &PerArm { psm1: Some(MotionState::resting(psm1)), psm2: None, ecm: Some(ecm) });
            lookout.clearance(ArmId::Ecm, &bodies.ecm.shape(&ecm.q).unwrap().frame).map(|(d, _)| d)
        };
        // Yawed, the tip leaves the picture; between its edge and the margin there is a place, by bisection.
        let mut at = |yaw: f64| watch([yaw, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2], stands);
        let (mut a, mut z) = (0.0, 0.6);
        assert!(at(a).unwrap() > 0.0 && at(z).is_none());
        while at(a).unwrap() > -0.001 {
            let m = f64::midpoint(a, z);
            if at(m).is_some() { a = m } else { z = m }
        }
        let near_edge = [a, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
        let gone = [0.6, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2];
        assert!((-0.002..-0.001).contains(&watch(near_edge, stands).unwrap()), "in the picture, within the margin");
        assert!(watch(near_edge, moves).unwrap() < 0.0, "and kept on the way");
        assert!(watch(far_in, moves).unwrap() > 0.0);
        assert_eq!(watch(gone, moves), None);
        assert_eq!(watch(far_in, moves), None, "what comes in on the way may be lost again");
        assert!(watch(far_in, stands).unwrap() > 0.0);
    }

    #[test]
    fn the_tip_that_is_nearest_to_the_edge_is_known_and_the_margin_is_the_configured_one() {
        let params = SafetyParams::default();
        let bodies = PerArm::from_fn(|arm| Body::configured(arm, &params).unwrap());
        let mut lookout = Lookout::new(VIEW, &Cell::standard().unwrap());
        assert_eq!((lookout.margin(), lookout.nearest()), (0.002, None));
        let ecm = Some(MotionState::resting([0.0, 0.0, 0.08, 0.0, 0.0, 0.0, 0.0]));
        let psm = |yaw: f64| Some(MotionState::resting([yaw, 0.0, 0.16, 0.0, 0.0, 0.0, 0.2]));
        let margin_of = |lookout: &Lookout, arm: ArmId, state: &Option<MotionState>| {
            lookout.clearance(arm, &bodies.get(arm).shape(&state.unwrap().q).unwrap().frame).unwrap().0
        };
        for (yaws, nearest) in [([0.1, 0.0], ArmId::Psm1), ([0.0, -0.1], ArmId::Psm2)] {
            let at = PerArm { psm1: psm(yaws[0]), psm2: psm(yaws[1]), ecm };
            lookout.watch(&bodies, &at);
            let [one, two] = ArmId::PSMS.map(|arm| margin_of(&lookout, arm, at.get(arm)));
            assert_eq!(one < two, nearest == ArmId::Psm1);
            assert_eq!(lookout.nearest(), Some(nearest));
        }
        let nobody = PerArm { ecm, ..PerArm::default() };
        lookout.watch(&bodies, &nobody);
        assert_eq!(lookout.nearest(), None);
    }
}

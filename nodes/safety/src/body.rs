//! One arm as the filter sees it: capsules in the world, the points whose speed counts, and a bound on how far any
//! point of it moves between two joint positions.

use crate::{
    Finding, SafetyParams,
    braking::MotionState,
    dofs::{Bounds, Layout, N, Q, map2},
    remote_centre::RemoteCentre,
};
use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Point3, Vector3};
use proctor_kinematics::{ArmFile, Capsule, Chain, Frame, KinematicsError};
use proctor_types::{ArmId, Constraint, InvalidValue};
use std::path::Path;

/// Shape of an arm at one joint position, world frame.
#[derive(Debug, Clone)]
pub struct Shape {
    /// Shaft, wrist, jaws; for the ECM one around the scope.
    pub capsules: ArrayVec<Capsule, 3>,
    /// The dVRK tool tip.
    pub tip: Point3<f64>,
    /// Its frame.
    pub frame: Frame,
    /// End of the closed jaws; the tip for the ECM.
    pub jaw_end: Point3<f64>,
    /// How far the wrist-pitch axis (ECM: the tip) lies beyond the remote centre, m.
    pub depth: f64,
}

/// The ends of the capsules' axes at one joint position: pivot, wrist, tool tip, jaw end, world frame; for the ECM pivot, and three times
/// the tip.
#[derive(Debug, Clone)]
pub(crate) struct Ends {
    /// How each degree of freedom moves each of them, m per rad or per m.
    pub rates: [[Vector3<f64>; N]; 4],
    /// How opening the jaws widens the jaws' capsule, m/rad.
    pub opening: f64,
}

/// An arm's model and where it stands.
#[derive(Debug, Clone)]
pub struct Body {
    arm: ArmId,
    chain: Chain,
    layout: Layout,
    /// Kept by software, for an arm whose mechanism does not.
    remote_centre: Option<RemoteCentre>,
    world_from_base: Isometry3<f64>,
    /// The same without a quaternion.
    base: Frame,
    wrist_a: f64,
    jaw_length: f64,
    /// How far from an endoscope's pivot things are that must not leave its picture, m.
    sight: f64,
}

impl Body {
    /// `world_from_base` is nominal until fusion knows better.
    pub fn new(arm: ArmId, chain: Chain, world_from_base: Isometry3<f64>) -> Self {
        let (wrist_a, jaw_length) = chain.instrument().map_or((0.0, 0.0), |i| (i.wrist_a, i.jaw_length));
        let (layout, remote_centre) = (Layout::of(chain.limits()), RemoteCentre::of(&chain));
        let base = Frame::of(&world_from_base);
        Self { arm, chain, layout, remote_centre, world_from_base, base, wrist_a, jaw_length, sight: 0.0 }
    }

    /// The arm's body in the standard cell with what the configuration says its place holds.
    pub fn configured(arm: ArmId, params: &SafetyParams) -> Result<Self, KinematicsError> {
        let held = |name: &String| match &params.folder {
            Some(folder) if Path::new(name).extension().is_some_and(|e| e == "toml") => {
                Chain::of_arm(&ArmFile::read(&folder.join(name))?)
            }
            Some(_) | None => Chain::held(name),
        };
        let [psm1, psm2] = &params.instruments;
        let chain = match arm {
            ArmId::Psm1 => held(psm1)?,
            ArmId::Psm2 => held(psm2)?,
            ArmId::Ecm => Chain::ecm()?,
        };
        if !arm.admits(chain.dof()) {
            return Err(InvalidValue::Length { what: "joints", expected: arm.dof(), got: chain.dof() }.into());
        }
        let cell = proctor_kinematics::Cell::standard()?;
        Ok(Self::new(arm, chain, *cell.world_from_base(arm).iso()))
    }

    /// Which arm.
    pub fn arm(&self) -> ArmId {
        self.arm
    }

    /// The arm's chain.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Which degrees of freedom it has.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Its remote centre, if software keeps it.
    pub fn remote_centre(&self) -> Option<&RemoteCentre> {
        self.remote_centre.as_ref()
    }

    /// Whether the shaft is in the trocar at `q`: always, for an arm whose mechanism holds it there.
    pub fn in_trocar(&self, q: &Q) -> Result<(), Finding> {
        self.remote_centre.map_or(Ok(()), |rc| {
            let offset = RemoteCentre::offset(&self.chain, q);
            // Written so that NaN is refused too.
            if offset <= rc.tolerance() { Ok(()) } else { Err(self.off_trocar(offset)) }
        })
    }

    /// Whether it stays there on the straight way from `from` to `to`.
    pub fn stays_in_trocar(&self, from: &Q, to: &Q) -> Result<(), Finding> {
        let kept = self.remote_centre.map_or(Ok(()), |rc| rc.keeps(&self.chain, from, to));
        kept.map_err(|offset| self.off_trocar(offset))
    }

    /// Whether it stays there through the tick to `to` and on the stop after it.
    pub fn stops_in_trocar(&self, from: &Q, to: &MotionState, b: &Bounds) -> Result<(), Finding> {
        let kept = self.remote_centre.map_or(Ok(()), |rc| rc.check(&self.chain, from, to, b));
        kept.map_err(|offset| self.off_trocar(offset))
    }

    /// What is said of an offset.
    pub fn off_trocar(&self, offset: f64) -> Finding {
        let limit = self.remote_centre.map_or(0.0, |rc| rc.tolerance());
        Finding::of(self.arm, Constraint::TrocarOffset, offset, limit)
    }

    /// Where the arm stands now.
    pub fn world_from_base(&self) -> &Isometry3<f64> {
        &self.world_from_base
    }

    /// Moves the arm's base to where fusion sees it.
    pub fn place(&mut self, world_from_base: Isometry3<f64>) {
        (self.world_from_base, self.base) = (world_from_base, Frame::of(&world_from_base));
    }

    /// Counts what an endoscope sees as far as this from its pivot as part of what it moves, m.
    pub fn look(&mut self, sight: f64) {
        self.sight = sight;
    }

    /// Shape at `q`; `None` when a joint is not finite. Open jaws make the jaws' capsule as wide as they are.
    pub fn shape(&self, q: &Q) -> Option<Shape> {
        let joints = q.get(..self.chain.dof())?;
        let outline = self.chain.outline(joints).ok()?;
        let mut capsules = self.chain.capsules_of(&outline);
        if let (true, Some(jaws)) = (self.layout.jaw, capsules.last_mut()) {
            jaws.radius += self.jaw_length * (self.layout.jaw(q).abs() / 2.0).min(1.57).sin();
        }
        // Along the shaft, so that a wrist drawn back beyond the remote centre has a negative depth.
        let depth = Vector3::from(outline.shaft.p).dot(&Vector3::from(outline.shaft.z));
        let placed = |p: [f64; 3]| Point3::from(self.base.at(p));
        for c in &mut capsules {
            (c.a, c.b) = (placed(c.a.into()), placed(c.b.into()));
        }
        let frame = self.base.then(&outline.tip);
        Some(Shape { capsules, frame, tip: frame.origin(), jaw_end: placed(outline.jaw_end), depth })
    }

    /// The most any point of the shape moves, and, for an endoscope that keeps things in its picture, the picture of them, m, while the joints go straight from `a` to `b` (or any way on which each
    /// joint stays between its two values). Triangle inequality over the joints: angle times its longest lever. For an arm of its own form, whose
    /// joints largely undo each other at the tip, only while the joints go straight.
    pub fn travel(&self, a: &Q, b: &Q) -> f64 {
        if self.remote_centre.is_some() {
            return self.straight_travel(a, b).unwrap_or(f64::INFINITY);
        }
        let d = map2(a, b, |x, y| (x - y).abs());
        // From the remote centre to the wrist, or to the straight tip where that is farther, and what a bent wrist adds.
        let reach = |q: &Q| {
            let tip = self.tip_depth(q);
            tip.abs().max((tip - self.wrist_a).abs()) + self.wrist_a + self.jaw_length
        };
        let reach = reach(a).max(reach(b));
        let beyond_wrist = self.wrist_a + self.jaw_length;
        let levers: Q = match self.arm {
            ArmId::Ecm => [reach.max(self.sight), reach.max(self.sight), 1.0, self.sight, 0.0, 0.0, 0.0],
            // A jaw that opens by an angle widens the capsule by at most half of it times the jaws' length.
            ArmId::Psm1 | ArmId::Psm2 => {
                [reach, reach, 1.0, beyond_wrist, beyond_wrist, self.jaw_length, self.jaw_length / 2.0]
            }
        };
        d.iter().zip(levers).map(|(d, l)| d * l).sum()
    }

    /// The most that the depth changes on a way on which no point moves farther than `travel`, m: by the insertion alone, where there is one. For an
    /// arm of its own form the turn of the shaft adds less than a tenth of its tolerance, which the filter's reserve covers.
    pub fn depth_travel(&self, a: &Q, b: &Q, travel: f64) -> f64 {
        let insertion = |q: &Q| q.get(2).copied().unwrap_or(0.0);
        if self.remote_centre.is_some() { travel } else { (insertion(a) - insertion(b)).abs() }
    }

    /// Speed of the tip at the start of the way, taken as one unit of time, and the most that it grows by: the second derivative over angles and levers.
    fn straight_travel(&self, a: &Q, b: &Q) -> Option<f64> {
        let joints = a.get(..self.chain.dof())?;
        let (_, jacobian) = self.chain.tip_jacobian(joints).ok()?;
        let way = map2(b, a, |b, a| b - a);
        let start: Vector3<f64> = jacobian.column_iter().zip(&way).map(|(c, w)| c.fixed_rows::<3>(0) * *w).sum();
        let (mut turned, mut moved) = (0.0, 0.0);
        for ((w, slides), lever) in way.iter().zip(&self.layout.slides).zip(self.chain.levers(joints).ok()?) {
            turned += if *slides { 0.0 } else { w.abs() };
            moved += if *slides { w.abs() } else { lever * w.abs() };
        }
        Some(start.norm() + moved * turned.exp() * turned)
    }

    /// Depth beyond the remote centre of the tip of a straight instrument.
    fn tip_depth(&self, q: &Q) -> f64 {
        // `insertion_for_depth(d)` is `d` minus the depth at zero insertion.
        q.get(2).copied().unwrap_or(0.0) - self.chain.insertion_for_depth(0.0)
    }

    /// How the ends of the capsules' axes move at `q`; `None` when a joint is not finite.
    pub(crate) fn ends(&self, q: &Q) -> Option<Ends> {
        let joints = q.get(..self.chain.dof())?;
        let (_, jacobian) = self.chain.tip_jacobian(joints).ok()?;
        let outline = self.chain.outline(joints).ok()?;
        // From the tip, base frame. A PSM's shaft follows the first four joints, the tip of the wrist the first five, the jaws all.
        let points = [outline.shaft.p, outline.tip.p, outline.jaw_end].map(Vector3::from);
        let reach = if self.remote_centre.is_some() { [N; 3] } else { [4, 5, 6] };
        let mut rates = [[Vector3::zeros(); N]; 4];
        let [_, moving @ ..] = &mut rates;
        for ((rates, point), reach) in moving.iter_mut().zip(points).zip(reach) {
            let from_tip = point - Vector3::from(outline.tip.p);
            for (slot, column) in rates.iter_mut().zip(jacobian.column_iter()).take(reach.min(self.chain.dof())) {
                let linear: Vector3<f64> = column.fixed_rows::<3>(0).into();
                let angular: Vector3<f64> = column.fixed_rows::<3>(3).into();
                *slot = self.base.along((linear + angular.cross(&from_tip)).into()).into();
            }
        }
        let angle = self.layout.jaw(q);
        let half = angle.abs() / 2.0;
        let opening = if half < 1.57 { (self.jaw_length / 2.0 * half.cos()).copysign(angle) } else { 0.0 };
        Some(Ends { rates, opening })
    }

    /// Speed of the faster of tool tip and jaw end at `q` with joint rates `v`, m/s.
    pub fn tip_speed(&self, q: &Q, v: &Q) -> Option<f64> {
        let joints = q.get(..self.chain.dof())?;
        let (tip, jacobian) = self.chain.tip_jacobian(joints).ok()?;
        let mut rates = nalgebra::SVector::<f64, N>::zeros();
        for (slot, &x) in rates.iter_mut().zip(v).take(self.chain.dof()) {
            *slot = x;
        }
        let twist = jacobian * rates;
        let linear = twist.fixed_rows::<3>(0).into_owned();
        let angular = twist.fixed_rows::<3>(3).into_owned();
        let to_end = Vector3::from(tip.z) * self.jaw_length;
        Some(linear.norm().max((linear + angular.cross(&to_end)).norm()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dofs::DT;

    const ROLL: usize = 3;

    fn bodies() -> [Body; 3] {
        ArmId::ALL.map(|a| Body::configured(a, &SafetyParams::default()).unwrap())
    }

    /// With an arm of another form, from its file.
    fn all() -> Vec<Body> {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../urdf");
        let mut params = SafetyParams { folder: Some(folder), ..SafetyParams::default() };
        params.instruments[1] = "arms/LEAN7_PROBE.toml".into();
        let seven = Body::configured(ArmId::Psm2, &params).unwrap();
        assert_eq!((seven.layout().joints, seven.layout().jaw), (7, false));
        params.instruments[1] = "arms/NONE.toml".into();
        assert!(Body::configured(ArmId::Psm2, &params).is_err());
        // One whose joints slide, too.
        let place = *bodies()[1].world_from_base();
        let sliding = Body::new(ArmId::Psm2, crate::remote_centre::remote_centre_tests::sliding_chain(), place);
        bodies().into_iter().chain([seven, sliding]).collect()
    }

    /// Weyl sequence in the arm's range: the same on every run.
    fn somewhere(body: &Body, i: usize) -> Q {
        let limits = body.chain().limits();
        let mut q = [0.0; N];
        for j in 0..body.chain().dof() {
            let x = ((i as f64 + 1.0) * 0.754_877_666_246_693 * (j as f64 + 1.7)).fract();
            q[j] = limits.lower[j] + x * (limits.upper[j] - limits.lower[j]);
        }
        if body.layout().jaw {
            q[6] = (i % 5) as f64 * 0.2 - 0.4;
        }
        q
    }

    #[test]
    fn no_point_of_the_shape_moves_farther_than_the_bound() {
        for body in all() {
            for i in 0..300 {
                let (a, b) = (somewhere(&body, i), somewhere(&body, i + 1));
                let b = map2(&a, &b, |a, b| a + 0.05 * (b - a));
                let bound = body.travel(&a, &b);
                let (sa, sb) = (body.shape(&a).unwrap(), body.shape(&b).unwrap());
                for (ca, cb) in sa.capsules.iter().zip(&sb.capsules) {
                    // The Hausdorff distance of two capsules is at most the largest move of an end plus the change of radius.
                    let moved = (ca.a - cb.a).norm().max((ca.b - cb.b).norm()) + (ca.radius - cb.radius).abs();
                    assert!(moved <= bound + 1e-12, "{} moved {moved}, bound {bound}", body.arm());
                }
            }
        }
    }

    #[test]
    fn a_drawn_out_wrist_moves_no_farther_than_the_bound_either() {
        let psm = &bodies()[0];
        // The wrist from 20 mm outside of the trocar to 20 mm inside, turned and bent to either side.
        for i in 0..2000 {
            let wrist = 0.001 * f64::from(i % 40) - 0.02;
            let depth = wrist + psm.wrist_a + psm.chain().insertion_for_depth(0.0);
            let q = [0.0, 0.0, depth, 0.3 * f64::from(i / 40 % 10), 1.39 - 0.6 * f64::from(i / 400), 0.0, 0.0];
            for j in [0, 1] {
                let bound = psm.travel(&q, &map2(&q, &only(j, 1e-6), |q, d| q + d)) / 1e-6;
                assert!(fastest(psm, &q, &only(j, 1.0)) <= bound + 1e-8, "{q:?}");
            }
        }
    }

    #[test]
    fn tip_speed_is_the_speed_of_the_tip() {
        for body in all() {
            for i in 0..100 {
                let (q, v) = (somewhere(&body, i), somewhere(&body, i + 7).map(|x| x * 0.1));
                let half = DT * 1e-3;
                let (a, b) = (map2(&q, &v, |q, v| q - half * v), map2(&q, &v, |q, v| q + half * v));
                let (sa, sb) = (body.shape(&a).unwrap(), body.shape(&b).unwrap());
                let by_difference = (sa.tip - sb.tip).norm().max((sa.jaw_end - sb.jaw_end).norm()) / (2.0 * half);
                assert!((body.tip_speed(&q, &v).unwrap() - by_difference).abs() < 1e-5 * by_difference.max(1.0));
            }
        }
    }

    #[test]
    fn the_ends_move_as_they_are_said_to() {
        for body in all() {
            for i in 0..100 {
                let q = somewhere(&body, i);
                let ends = body.ends(&q).unwrap();
                let points = |q: &Q| {
                    let c = body.shape(q).unwrap().capsules;
                    let last = c.last().unwrap();
                    (c.iter().map(|c| c.a).chain([last.b]).collect::<Vec<_>>(), last.radius)
                };
                for j in 0..N {
                    let (mut a, mut b) = (q, q);
                    (a[j], b[j]) = (q[j] - 1e-6, q[j] + 1e-6);
                    let ((from, thin), (to, wide)) = (points(&a), points(&b));
                    for (k, (x, y)) in from.iter().zip(&to).enumerate() {
                        let by_difference = (y - x) / 2e-6;
                        assert!((by_difference - ends.rates[k][j]).norm() < 1e-8, "{} {k} {j}", body.arm());
                    }
                    let opening = if j == 6 && q[6] != 0.0 { ends.opening } else { 0.0 };
                    assert!(q[6] == 0.0 || ((wide - thin) / 2e-6 - opening).abs() < 1e-8);
                }
            }
        }
    }

    #[test]
    fn depth_is_the_way_of_the_wrist_beyond_the_remote_centre() {
        let [psm, _, ecm] = bodies();
        // crtk.md: wrist-pitch axis at q3 - 0.4318 + 0.4162; ECM's tip at q3 - 0.3822 + 0.3829.
        for (body, offset) in [(psm, -0.0156), (ecm, 0.0007)] {
            for q3 in [0.0, 0.1, 0.2] {
                let depth = body.shape(&[0.3, -0.2, q3, 0.4, 0.0, 0.0, 0.0]).unwrap().depth;
                assert!((depth - (q3 + offset)).abs() < 1e-12, "{depth}");
            }
        }
    }

    /// Speed of the fastest end of the shape's axes at the start of a way, or how fast its jaws widen, whichever is more: by differences.
    fn fastest(body: &Body, q: &Q, way: &Q) -> f64 {
        let capsules = |part: f64| body.shape(&map2(q, way, |q, w| q + part * w)).unwrap().capsules;
        let moved = capsules(-1e-6)
            .into_iter()
            .zip(capsules(1e-6))
            .map(|(x, y)| (x.a - y.a).norm().max((x.b - y.b).norm()).max((x.radius - y.radius).abs()));
        moved.fold(0.0, f64::max) / 2e-6
    }

    fn only(joint: usize, value: f64) -> Q {
        let mut q = [0.0; N];
        q[joint] = value;
        q
    }

    #[test]
    fn the_bound_of_a_joint_is_its_longest_lever_and_hardly_more() {
        let [psm, _, mut ecm] = bodies();
        let per_unit = |body: &Body, q: &Q, j: usize| body.travel(q, &map2(q, &only(j, 1e-6), |q, d| q - d)) / 1e-6;
        for depth in [0.06, 0.1, 0.2] {
            let straight = [0.0, 0.0, depth, 0.0, 0.0, 0.0, 0.0];
            for j in [0, 1] {
                let lever = fastest(&psm, &straight, &only(j, 1.0));
                // The jaw end of a straight tool is farthest from the pivot; a wrist's length is on top of that.
                assert!((lever - psm.shape(&straight).unwrap().depth - psm.wrist_a - psm.jaw_length).abs() < 1e-8);
                let over = per_unit(&psm, &straight, j) - lever;
                assert!((-1e-6..psm.wrist_a + 2e-6).contains(&over), "{over}");
                let tip = ecm.shape(&straight).unwrap().depth;
                assert!((per_unit(&ecm, &straight, j) - tip).abs() < 2e-6);
                assert!((fastest(&ecm, &straight, &only(j, 1.0)) - tip).abs() < 1e-8);
            }
            // A wrist at a right angle to the shaft rolls on the lever of wrist and jaws; what bends it moves the same, the jaw axis the jaws alone.
            let bent = [0.0, 0.0, depth, 0.0, std::f64::consts::FRAC_PI_2, 0.0, 1e-5];
            for j in 2..N {
                let by_differences = fastest(&psm, &bent, &only(j, 1.0));
                assert!((per_unit(&psm, &bent, j) - by_differences).abs() < 1e-8, "{j}: {by_differences}");
            }
            assert!((per_unit(&ecm, &straight, 2) - 1.0).abs() < 1e-8);
            assert_eq!(per_unit(&ecm, &straight, ROLL), 0.0, "nothing of a scope's axis moves when it rolls");
        }
        // The deeper of the two ends counts, from whichever side.
        let (near, far) = ([0.0, 0.1, 0.06, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.2, 0.0, 0.0, 0.0, 0.0]);
        let lever = (psm.travel(&near, &far) - 0.14) / 0.1;
        assert!(
            (lever - per_unit(&psm, &far, 0)).abs() < 2e-6
                && (psm.travel(&near, &far) - psm.travel(&far, &near)).abs() < 1e-15
        );
        // What an endoscope sees farther off than its tip moves farther, and its roll turns it.
        ecm.look(0.3);
        assert!([0, 1, ROLL].into_iter().all(|j| (per_unit(&ecm, &far, j) - 0.3).abs() < 1e-8));
        ecm.look(0.05);
        assert!((per_unit(&ecm, &far, 0) - ecm.shape(&far).unwrap().depth).abs() < 1e-6);
        assert!((per_unit(&ecm, &far, ROLL) - 0.05).abs() < 1e-8);
    }

    #[test]
    fn an_arm_of_its_own_form_moves_by_its_speed_at_the_start_and_what_angles_and_levers_add() {
        for body in all().into_iter().skip(3) {
            let slides = body.layout().slides;
            for i in 0..200 {
                let (a, size) = (somewhere(&body, i), [1e-6, 1e-3, 0.02, 0.1][i % 4]);
                let mut way = map2(&somewhere(&body, i + 1), &a, |b, a| size * (b - a));
                way[i % body.chain().dof()] = 0.0;
                let levers = body.chain().levers(&a[..body.chain().dof()]).unwrap();
                let turned: f64 = (0..N).filter(|&j| !slides[j]).map(|j| way[j].abs()).sum();
                let moved: f64 = (0..N).map(|j| if slides[j] { way[j].abs() } else { levers[j] * way[j].abs() }).sum();
                let expected = fastest(&body, &a, &way.map(|w| w / size)) * size + moved * turned * turned.exp();
                let travel = body.travel(&a, &map2(&a, &way, |a, w| a + w));
                assert!((travel / expected - 1.0).abs() < 1e-7, "{i}: {travel} {expected}");
            }
            assert_eq!(body.travel(&[f64::NAN; N], &[0.0; N]), f64::INFINITY);
        }
    }

    #[test]
    fn the_depth_changes_with_the_insertion_alone_unless_an_arm_has_none() {
        for body in all() {
            for i in 0..100 {
                let (a, b) = (somewhere(&body, i), somewhere(&body, i + 1));
                let depth = |q: &Q| body.shape(q).unwrap().depth;
                let by = if body.remote_centre().is_some() { 0.1 } else { (depth(&a) - depth(&b)).abs() };
                assert!((body.depth_travel(&a, &b, 0.1) - by).abs() < 1e-12, "{} {i}", body.arm());
            }
        }
    }

    #[test]
    fn open_jaws_are_as_wide_as_half_their_angle_makes_them_up_to_a_right_angle() {
        let psm = &bodies()[0];
        let jaws = |angle: f64| psm.shape(&[0.0, 0.0, 0.1, 0.0, 0.0, 0.0, angle]).unwrap().capsules[2].radius;
        let opening = |angle: f64| psm.ends(&[0.0, 0.0, 0.1, 0.0, 0.0, 0.0, angle]).unwrap().opening;
        let most = 2.0 * 1.57;
        // 10.2 mm of jaws, each turned by half of the angle: at 60 degrees half of their length to either side.
        for sign in [-1.0, 1.0] {
            let angle = sign * std::f64::consts::FRAC_PI_3;
            assert!((jaws(angle) - jaws(0.0) - 0.0102 / 2.0).abs() < 1e-12);
            assert!((opening(angle) - sign * 0.0102 / 2.0 * 0.75f64.sqrt()).abs() < 1e-12);
            // From there on no wider.
            assert_eq!([jaws(most * sign), opening(most * sign), opening(4.0 * sign)], [jaws(4.0), 0.0, 0.0]);
            assert!(opening(0.999 * most * sign) * sign > 0.0 && jaws(0.999 * most) < jaws(most));
        }
        // Seven joints are no jaw.
        let q = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7];
        assert!(all()[3..].iter().all(|own| own.ends(&q).unwrap().opening == 0.0));
    }

    #[test]
    fn a_file_in_the_folder_is_named_by_its_ending_and_what_is_compiled_in_without() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../urdf");
        let held = |name: &str, folder: Option<&std::path::Path>| {
            let mut params = SafetyParams { folder: folder.map(Into::into), ..SafetyParams::default() };
            params.instruments[0] = name.into();
            Body::configured(ArmId::Psm1, &params).map(|body| body.chain().dof()).ok()
        };
        let default = &SafetyParams::default().instruments[0];
        assert_eq!([held(default, Some(&folder)), held(default, None)], [Some(6); 2]);
        assert_eq!([held("LEAN7_PROBE", Some(&folder)), held("LEAN7_PROBE", None)], [Some(7); 2]);
        assert_eq!(held("arms/LEAN7_PROBE.toml", Some(&folder)), Some(7));
        assert_eq!(held("arms/LEAN7_PROBE.toml", None), None);
    }

    #[test]
    fn a_shaft_beside_its_trocar_is_said_by_how_much_and_a_mechanism_holds_its_own() {
        let (all, params) = (all(), SafetyParams::default());
        for body in &all {
            let b = Bounds::new(body.arm(), body.chain().limits(), &params);
            let home: Q =
                std::array::from_fn(|j| body.chain().home().map_or(0.1, |h| h.get(j).copied().unwrap_or(0.0)));
            let aside = map2(&home, &only(0, 0.01), |h, d| h + d);
            let asked = |q: &Q| {
                [
                    body.in_trocar(q),
                    body.stays_in_trocar(&home, q),
                    body.stops_in_trocar(&home, &MotionState::resting(*q), &b),
                ]
            };
            assert_eq!(asked(&home), [Ok(()); 3]);
            if body.remote_centre().is_none() {
                assert_eq!(asked(&aside), [Ok(()); 3]);
                continue;
            }
            let offset = body.chain().shaft_offset(&aside[..body.chain().dof()]).unwrap().norm();
            for refused in asked(&aside).map(Result::unwrap_err) {
                // Between samples there may be 0.02 mm more.
                assert!((0.0..2e-5 + 1e-12).contains(&(refused.value - offset)), "{} {offset}", refused.value);
                assert_eq!(refused, Finding::of(body.arm(), Constraint::TrocarOffset, refused.value, 0.0005));
            }
        }
    }

    #[test]
    fn what_moves_the_base_moves_the_shape_and_its_rates() {
        for mut body in all() {
            let q = somewhere(&body, 4);
            let (shape, rates) = (body.shape(&q).unwrap(), body.ends(&q).unwrap().rates);
            // The jaws point along the tool's z.
            let along = |length: f64| Point3::from(shape.frame.at([0.0, 0.0, length]));
            assert!((along(0.0) - shape.tip).norm().max((along(body.jaw_length) - shape.jaw_end).norm()) < 1e-12);
            let tip = body.world_from_base() * body.chain().fk(&q[..body.chain().dof()]).unwrap().iso();
            assert!((shape.tip - Point3::from(tip.translation.vector)).norm() < 1e-12);
            assert!(shape.frame.iso().rotation.angle_to(&tip.rotation) < 1e-7);
            let by = Isometry3::new(Vector3::new(0.1, -0.2, 0.3), Vector3::new(0.4, 0.5, -0.6));
            body.place(by * body.world_from_base());
            let (moved, turned) = (body.shape(&q).unwrap(), body.ends(&q).unwrap().rates);
            for (c, d) in shape.capsules.iter().zip(&moved.capsules) {
                assert!((by * c.a - d.a).norm().max((by * c.b - d.b).norm()) < 1e-12);
            }
            assert!((by * shape.tip - moved.tip).norm().max((by * shape.jaw_end - moved.jaw_end).norm()) < 1e-12);
            assert!(
                (by * shape.frame.iso()).rotation.angle_to(&moved.frame.iso().rotation) < 1e-7
                    && (moved.depth - shape.depth).abs() < 1e-15
            );
            for (rate, turned) in rates.iter().flatten().zip(turned.iter().flatten()) {
                assert!((by * rate - turned).norm() < 1e-12);
            }
        }
    }
}

//! Distances between a moving instrument's capsules and what fusion saw.
//!
//! Surface points are taken as seen: a distance is from the capsule's surface to the labelled point. Jaws that are open are
//! covered by a capsule that is thicker by half their opening. Where a margin protects the patient, doubt is added to it as the safety
//! node does: a number of standard deviations of point and arm together, and an allowance for the scene's age. So a plan that is
//! offered here is one that safety will let through. Gallbladder and fat stop counting where contact is meant.

use crate::{ClearanceParams, Declined, Phase, robot::Body};
use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Point3};
use proctor_kinematics::Capsule;
use proctor_types::{ArmId, Class, Scene, Trajectory};

/// Tissue whose clearance is told to the surgeon.
pub const PROTECTED: [Class; 3] = [Class::CysticArtery, Class::CysticDuct, Class::Liver];

/// What a phase keeps from a class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Keep {
    /// Distance, m.
    pub margin: f64,
    /// Whether doubt is added.
    pub with_doubt: bool,
}

/// What `phase` keeps from `class`; `None` where it does not count.
pub fn keep(phase: Phase, class: Class, params: &ClearanceParams) -> Option<Keep> {
    let guarded = |margin| Some(Keep { margin, with_doubt: true });
    let plain = |margin| Some(Keep { margin, with_doubt: false });
    match (phase, class) {
        // Instruments are checked as capsules, not as what is seen of them.
        (_, Class::Background | Class::InstrumentShaft | Class::InstrumentWrist | Class::InstrumentJaws)
        // The endoscope passes through the abdominal wall.
        | (Phase::Look, Class::AbdominalWall)
        // Contact is meant, or ends.
        | (Phase::Approach | Phase::Grip | Phase::Lift | Phase::Leave, Class::Gallbladder | Class::Fat) => None,
        (Phase::Look, _) => plain(params.endoscope),
        (_, Class::CysticArtery | Class::CysticDuct) => guarded(params.critical),
        (_, Class::Liver) => guarded(params.liver),
        (_, Class::AbdominalWall) => guarded(params.wall),
        (Phase::Transit, Class::Gallbladder | Class::Fat) => plain(params.tissue),
    }
}

/// Where a body is at one point of its motion.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Part of the motion.
    pub phase: Phase,
    /// Seconds from the start.
    pub t: f64,
    /// Its capsules, base frame.
    pub capsules: ArrayVec<Capsule, 3>,
}

/// Every position of a body along a motion.
#[derive(Debug, Clone)]
pub struct Sweep {
    /// Which arm.
    pub arm: ArmId,
    /// At each trajectory point.
    pub passes: Vec<Pass>,
}

/// The smallest distance found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Nearest {
    /// Distance, m; negative when penetrating.
    pub distance: f64,
    /// To what.
    pub class: Class,
}

/// The worst distance relative to its margin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shortfall {
    /// Distance, m.
    pub distance: f64,
    /// Margin with doubt, m.
    pub margin: f64,
    /// To what.
    pub class: Class,
    /// When.
    pub phase: Phase,
}

impl Shortfall {
    /// Said as the reason why an arm's motion is not proposed.
    pub fn declined(&self, arm: ArmId) -> Declined {
        let (class, phase, clearance, margin) = (self.class, self.phase, self.distance, self.margin);
        Declined::TissueClearance { arm, class, phase, clearance, margin }
    }
}

impl Sweep {
    /// The capsules of `body` at every point of `trajectory`.
    pub fn new(body: &dyn Body, trajectory: &Trajectory, phases: &[Phase]) -> Result<Self, Declined> {
        let mut passes = Vec::with_capacity(phases.len());
        for (p, &phase) in trajectory.points().iter().zip(phases) {
            passes.push(Pass { phase, t: p.t, capsules: body.capsules(&p.position, p.jaw)? });
        }
        Ok(Self { arm: trajectory.arm(), passes })
    }

    /// Smallest distance to each protected class over the passes in which it counts; the smallest of them.
    pub fn protected(&self, tissue: &Tissue, params: &ClearanceParams) -> Option<Nearest> {
        let mut best: Option<Nearest> = None;
        for (class, points) in tissue.of(&PROTECTED) {
            for pass in self.passes.iter().filter(|p| keep(p.phase, class, params).is_some()) {
                let distance = pass.distance(points);
                if distance < best.map_or(f64::INFINITY, |b| b.distance) {
                    best = Some(Nearest { distance, class });
                }
            }
        }
        best
    }

    /// The pass that falls short of its margin, plus `extra`, by most; `None` when all keep it. What backs off from where it is too
    /// near already need only come no nearer. Looks at every `stride`th pass from `since` seconds on, and always at the last.
    pub fn shortfall(
        &self,
        tissue: &Tissue,
        params: &ClearanceParams,
        extra: f64,
        (since, stride): (f64, usize),
    ) -> Option<Shortfall> {
        let mut worst: Option<Shortfall> = None;
        let last = self.passes.len().saturating_sub(1);
        let leaving = self.passes.first().filter(|pass| pass.phase == Phase::Leave);
        for (class, points) in tissue.all() {
            let room = leaving.zip(keep(Phase::Leave, class, params)).map(|(pass, keep)| {
                let (distance, doubt) = pass.tightest(points, keep.with_doubt);
                distance - doubt + extra.min(0.0)
            });
            for (i, pass) in self.passes.iter().enumerate() {
                if pass.t < since || (i % stride.max(1) != 0 && i != last) {
                    continue;
                }
                let Some(keep) = keep(pass.phase, class, params) else { continue };
                let (distance, doubt) = pass.tightest(points, keep.with_doubt);
                let mut margin = keep.margin + extra + doubt;
                if let Some(room) = room.filter(|_| pass.phase == Phase::Leave) {
                    margin = margin.min(room + doubt);
                }
                if margin - distance > worst.map_or(0.0, |w| w.margin - w.distance) {
                    worst = Some(Shortfall { distance, margin, class, phase: pass.phase });
                }
            }
        }
        worst
    }

    /// Smallest distance to any tissue, m; infinite when none was seen.
    pub fn nearest_tissue(&self, tissue: &Tissue) -> f64 {
        let mut best = f64::INFINITY;
        for (_, points) in tissue.all() {
            for pass in &self.passes {
                best = best.min(pass.distance(points));
            }
        }
        best
    }

    /// Smallest distance to other capsules, given in this body's base frame, m.
    pub fn nearest_capsule(&self, others: &[Capsule]) -> f64 {
        let mut best = f64::INFINITY;
        for pass in &self.passes {
            for mine in &pass.capsules {
                for other in others {
                    best = best.min(mine.distance_to(other));
                }
            }
        }
        best
    }
}

impl Pass {
    /// Smallest distance to the points, m.
    fn distance(&self, points: &[Dot]) -> f64 {
        self.tightest(points, false).0
    }

    /// Distance and doubt of the point at which the distance less the doubt (if it counts) is smallest, m.
    fn tightest(&self, points: &[Dot], with_doubt: bool) -> (f64, f64) {
        let mut best = (f64::INFINITY, 0.0);
        for capsule in &self.capsules {
            let axis = capsule.b - capsule.a;
            let scale = axis.norm_squared();
            let scale = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            for dot in points {
                let from_a = dot.position - capsule.a;
                let along = (from_a.dot(&axis) * scale).clamp(0.0, 1.0);
                let distance = (from_a - along * axis).norm() - capsule.radius;
                let doubt = if with_doubt { dot.doubt } else { 0.0 };
                if distance - doubt < best.0 - best.1 {
                    best = (distance, doubt);
                }
            }
        }
        best
    }
}

#[derive(Debug, Clone, Copy)]
struct Dot {
    position: Point3<f64>,
    /// What is added to margins for this point, m.
    doubt: f64,
}

/// Labelled surface points that can count, by class, in one body's base frame.
#[derive(Debug, Clone, Default)]
pub struct Tissue {
    classes: Vec<(Class, Vec<Dot>)>,
}

impl Tissue {
    /// The scene's surface seen from an arm's base; at most [`Scene::MAX_SURFACE_POINTS`] points.
    pub fn new(scene: &Scene, arm: ArmId, base_from_world: &Isometry3<f64>, params: &ClearanceParams) -> Self {
        let arm_variance = scene.instrument(arm).map_or(0.0, |i| {
            // The Frobenius norm bounds the largest eigenvalue, and needs no iteration.
            i.covariance.fixed_view::<3, 3>(0, 0).norm()
        });
        let doubt = |sigma: f64| {
            let both = params.sigmas * (sigma * sigma + arm_variance).sqrt();
            // Also where a hostile covariance is not one.
            if both <= params.max_doubt { both + params.ageing } else { params.max_doubt + params.ageing }
        };
        let mut classes = Vec::new();
        for class in Class::ALL.into_iter().filter(|c| c.is_tissue()) {
            let points: Vec<_> = scene
                .surface
                .iter()
                .take(Scene::MAX_SURFACE_POINTS)
                .filter(|s| s.class == class)
                .map(|s| Dot { position: base_from_world * s.position, doubt: doubt(s.sigma) })
                .collect();
            if !points.is_empty() {
                classes.push((class, points));
            }
        }
        Self { classes }
    }

    fn all(&self) -> impl Iterator<Item = (Class, &[Dot])> {
        self.classes.iter().map(|(c, p)| (*c, p.as_slice()))
    }

    fn of<'a>(&'a self, classes: &'a [Class]) -> impl Iterator<Item = (Class, &'a [Dot])> {
        self.all().filter(|(c, _)| classes.contains(c))
    }
}

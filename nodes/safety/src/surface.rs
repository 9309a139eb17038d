//! The tissue that fusion sees, made ready for 1 kHz: up to sixteen neighbouring points of one class lie together in a leaf with a
//! bounding ball and box. A search first bounds every leaf, several at a time, then looks into the nearest ones only. Built by the
//! communications half, read by the core.

use crate::dofs::PerArm;
use arrayvec::ArrayVec;
use nalgebra::{Isometry3, Matrix3, Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::{Alignment, ArmId, Class, Digest, QualityVerdict, Scene, Stamp};

/// Points per leaf.
const LEAF: usize = 16;
/// Leaves whose bounds are computed together.
const LANES: usize = 8;
/// Leaves per bunch.
const BUNCH: usize = 8;
/// Most leaves: full ones, and a partial one per class.
const MAX_LEAVES: usize = (Scene::MAX_SURFACE_POINTS / LEAF + Class::COUNT).next_multiple_of(LANES);
/// Most capsules of an arm.
const MAX_CAPSULES: usize = 3;
/// Distances are exact up to here and reported as this beyond, m. Larger than every margin and stopping distance together.
pub const FAR: f64 = 0.04;

/// A surface point's place and doubt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dot {
    pub position: Point3<f64>,
    /// Standard deviation, m.
    pub sigma: f64,
}

/// A point near an arm.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Near {
    pub position: Point3<f64>,
    pub class: Class,
    /// Which capsule is nearest to it.
    pub part: usize,
    /// Distance from that less what is kept, m.
    pub clearance: f64,
}

/// A few neighbouring points of one class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    pub class: Class,
    pub from: usize,
    pub to: usize,
    /// Axis-aligned box, for the gate's own search.
    pub lower: [f64; 3],
    pub upper: [f64; 3],
}

/// A few leaves that follow one another.
#[derive(Debug, Clone, Copy)]
struct Bunch {
    from: usize,
    to: usize,
    lower: [f64; 3],
    upper: [f64; 3],
}

/// Several balls, or points (balls of radius 0), coordinate by coordinate, for one instruction to work on several. Unused lanes repeat
/// the first.
#[derive(Debug, Clone, Copy)]
struct Balls<const K: usize> {
    x: [f64; K],
    y: [f64; K],
    z: [f64; K],
    radius: [f64; K],
    /// Largest standard deviation of a point within, m.
    sigma: [f64; K],
}

impl<const K: usize> Balls<K> {
    /// From (centre, radius, sigma).
    fn new(balls: impl Iterator<Item = (Point3<f64>, f64, f64)> + Clone) -> Self {
        let first = balls.clone().next().unwrap_or((Point3::origin(), 0.0, 0.0));
        let lane = |of: fn(&(Point3<f64>, f64, f64)) -> f64| {
            let mut lanes = [of(&first); K];
            lanes.iter_mut().zip(balls.clone()).for_each(|(lane, ball)| *lane = of(&ball));
            lanes
        };
        Self { x: lane(|b| b.0.x), y: lane(|b| b.0.y), z: lane(|b| b.0.z), radius: lane(|b| b.1), sigma: lane(|b| b.2) }
    }

    /// One ball's centre, and its radius with what doubt adds, m.
    fn ball(&self, lane: usize, policy: &Policy) -> ([f64; 3], f64) {
        let of = |lanes: &[f64; K]| lanes.get(lane).copied().unwrap_or(f64::NAN);
        ([of(&self.x), of(&self.y), of(&self.z)], of(&self.radius) + policy.doubt(of(&self.sigma)))
    }

    /// Smallest distance from the capsules' surfaces to each ball, less what doubt adds, m.
    fn clearances<'a>(&self, probes: impl IntoIterator<Item = &'a Probe>, policy: &Policy) -> [f64; K] {
        let mut best = [f64::INFINITY; K];
        for p in probes {
            for (((slot, &x), &y), &z) in best.iter_mut().zip(&self.x).zip(&self.y).zip(&self.z) {
                *slot = slot.min(p.distance(x, y, z));
            }
        }
        for ((slot, &radius), &sigma) in best.iter_mut().zip(&self.radius).zip(&self.sigma) {
            *slot -= radius + policy.doubt(sigma);
        }
        best
    }
}

/// An arm's shape made ready for many distances.
pub type Probes = ArrayVec<Probe, MAX_CAPSULES>;

/// The probes of an arm's capsules.
pub fn probes(capsules: &ArrayVec<Capsule, MAX_CAPSULES>) -> Probes {
    capsules.iter().map(Probe::new).collect()
}

/// A capsule made ready for many distances.
#[derive(Debug, Clone, Copy)]
pub struct Probe {
    a: [f64; 3],
    axis: [f64; 3],
    /// 1 / length^2 of the axis; 0 for a ball.
    inverse: f64,
    radius: f64,
}

impl Probe {
    fn new(c: &Capsule) -> Self {
        let axis = c.b - c.a;
        let square = axis.norm_squared();
        Self {
            a: c.a.coords.into(),
            axis: axis.into(),
            inverse: if square > 0.0 { 1.0 / square } else { 0.0 },
            radius: c.radius,
        }
    }

    /// Distance of a point from its surface, m.
    #[inline]
    fn distance(&self, x: f64, y: f64, z: f64) -> f64 {
        let ([ax, ay, az], [dx, dy, dz]) = (self.a, self.axis);
        let (x, y, z) = (x - ax, y - ay, z - az);
        let along = ((x * dx + y * dy + z * dz) * self.inverse).clamp(0.0, 1.0);
        let (x, y, z) = (x - along * dx, y - along * dy, z - along * dz);
        (x * x + y * y + z * z).sqrt() - self.radius
    }
}

/// How near every leaf of a surface may be to a shape, less doubt, m: no point of the leaf is nearer. A shape of which no point is farther than
/// a way from this one is nearer to a leaf by no more than that way.
#[derive(Debug, Clone)]
pub(crate) struct Vicinity {
    bounds: [f64; MAX_LEAVES],
}

/// Nothing is known: everything is looked at.
impl Default for Vicinity {
    fn default() -> Self {
        Self { bounds: [f64::NEG_INFINITY; MAX_LEAVES] }
    }
}

/// Labelled tissue points, searchable without allocation.
#[derive(Debug, Clone, Default)]
pub struct Surface {
    dots: Vec<Dot>,
    leaves: Vec<Leaf>,
    /// Boxes around [`BUNCH`] leaves each, for the gate's own search.
    bunches: Vec<Bunch>,
    /// The leaves' points, leaf by leaf.
    points: Vec<Balls<LEAF>>,
    /// The leaves' bounding balls, [`LANES`] at a time.
    bounds: Vec<Balls<LANES>>,
    /// The leaves of each class: from, to.
    classes: Vec<(Class, usize, usize)>,
}

/// Which classes to keep from, by how much, and how doubt adds to it; see [`Surface::clearances`].
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Distance kept per class, m; `None` where contact is allowed.
    pub keep: [Option<f64>; Class::COUNT],
    /// Standard deviations added.
    pub sigmas: f64,
    /// Variance of the arm's place, m^2.
    pub arm_variance: f64,
    /// Most that doubt adds, m.
    pub max_uncertainty: f64,
    /// Added for age, m.
    pub growth: f64,
}

impl Policy {
    /// Distance kept from a class, m; `None` where contact is allowed.
    pub fn kept(&self, class: Class) -> Option<f64> {
        self.keep.get(usize::from(class.id())).copied().flatten()
    }

    /// What doubt and age add to a margin for a point of this standard deviation.
    pub fn doubt(&self, sigma: f64) -> f64 {
        (self.sigmas * (sigma * sigma + self.arm_variance).sqrt()).min(self.max_uncertainty) + self.growth
    }

    /// What doubt about the arm's own place adds to the margin of something that stands still.
    pub fn doubt_of_arm(&self) -> f64 {
        (self.sigmas * self.arm_variance.sqrt()).min(self.max_uncertainty)
    }
}

impl Surface {
    /// From labelled points; points that are not tissue or not finite are left out, at most
    /// [`Scene::MAX_SURFACE_POINTS`] are taken.
    pub fn new(points: &[proctor_types::SurfacePoint]) -> Self {
        let usable = |p: &&proctor_types::SurfacePoint| {
            p.class.is_tissue() && p.position.coords.iter().all(|x| x.is_finite()) && p.sigma.is_finite()
        };
        let mut sorted: Vec<(Class, u64, Dot)> = points
            .iter()
            .filter(usable)
            .take(Scene::MAX_SURFACE_POINTS)
            .map(|p| (p.class, morton(&p.position), Dot { position: p.position, sigma: p.sigma.max(0.0) }))
            .collect();
        sorted.sort_by_key(|&(class, code, _)| (class, code));

        let mut surface = Self::default();
        let mut balls = Vec::new();
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(class, ..)) = same.first() else { continue };
            let from = surface.leaves.len();
            for few in same.chunks(LEAF) {
                let from = surface.dots.len();
                surface.dots.extend(few.iter().map(|&(.., dot)| dot));
                let dots = surface.dots.get(from..).unwrap_or_default();
                balls.push(bounding_ball(dots));
                surface.points.push(Balls::new(dots.iter().map(|d| (d.position, 0.0, d.sigma))));
                surface.leaves.push(leaf(class, from, dots));
            }
            surface.classes.push((class, from, surface.leaves.len()));
        }
        // At most this many by construction: MAX_SURFACE_POINTS full leaves' worth and a rest per class.
        debug_assert!(balls.len() <= MAX_LEAVES);
        surface.bunches = surface.leaves.chunks(BUNCH).enumerate().map(|(i, few)| bunch(i * BUNCH, few)).collect();
        surface.bounds = balls.chunks(LANES).map(|few| Balls::new(few.iter().copied())).collect();
        surface
    }

    /// How many points it holds.
    pub fn len(&self) -> usize {
        self.dots.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.dots.is_empty()
    }

    fn leaves(&self) -> impl Iterator<Item = (&Leaf, &[Dot])> {
        self.leaves.iter().map(|l| (l, self.dots.get(l.from..l.to).unwrap_or_default()))
    }

    /// The leaves whose box may matter, by a test of boxes: what it says of a box holds for every box within.
    pub(crate) fn leaves_where(
        &self,
        may: impl Fn([f64; 3], [f64; 3]) -> bool + Copy,
    ) -> impl Iterator<Item = (&Leaf, &[Dot])> {
        let bunches = self.bunches.iter().filter(move |b| may(b.lower, b.upper));
        let leaves = bunches.flat_map(|b| self.leaves.get(b.from..b.to).unwrap_or_default());
        let leaves = leaves.filter(move |leaf| may(leaf.lower, leaf.upper));
        leaves.map(|l| (l, self.dots.get(l.from..l.to).unwrap_or_default()))
    }

    /// How near every leaf may be to a shape.
    pub(crate) fn vicinity(&self, probes: &[Probe], policy: &Policy) -> Vicinity {
        let mut near = Vicinity::default();
        for (out, balls) in near.bounds.chunks_exact_mut(LANES).zip(&self.bounds) {
            out.copy_from_slice(&balls.clearances(probes, policy));
        }
        near
    }

    /// Per class, the smallest distance from the capsules' surfaces to a point less doubt and less what is `kept` from the class, m;
    /// `within` where nothing is nearer or nothing is kept. Negative: too near. No point of the shape is farther than `moved`, m, from the one
    /// that the vicinity is of.
    pub(crate) fn clearances(
        &self,
        probes: &[Probe],
        (vicinity, moved): (&Vicinity, f64),
        policy: &Policy,
        within: f64,
        kept: impl Fn(Class) -> Option<f64>,
    ) -> [f64; Class::COUNT] {
        let mut best = [within; Class::COUNT];
        for &(class, from, to) in &self.classes {
            let Some((keep, slot)) = kept(class).zip(best.get_mut(usize::from(class.id()))) else { continue };
            let bounds = vicinity.bounds.get(from..to).unwrap_or_default();
            let look = |leaf: usize, enough: f64| {
                let within = enough + keep;
                // The leaf's own ball first, where the shape is now: only parts near it are measured.
                let ball = self.bounds.get(leaf / LANES).map(|balls| balls.ball(leaf % LANES, policy));
                let near = |p: &&Probe| ball.is_none_or(|([x, y, z], reach)| p.distance(x, y, z) - reach < within);
                let mut near = probes.iter().filter(near).peekable();
                match self.points.get(leaf).filter(|_| near.peek().is_some()) {
                    Some(points) => least(&points.clearances(near, policy)).min(within) - keep,
                    None => enough,
                }
            };
            let far = |bound: f64, enough: f64| bound - moved - keep >= enough;
            // The leaf that may be nearest first: most others cannot be nearer than what is found there.
            let Some((nearest, &bound)) = bounds.iter().enumerate().min_by(|a, b| a.1.total_cmp(b.1)) else { continue };
            if far(bound, *slot) {
                continue;
            }
            *slot = look(from + nearest, *slot);
            for (leaf, &bound) in bounds.iter().enumerate().filter(|(leaf, _)| *leaf != nearest) {
                if !far(bound, *slot) {
                    *slot = look(from + leaf, *slot);
                }
            }
        }
        best
    }

    /// The points with the smallest clearances (distance from the capsules' surfaces less what the policy keeps) below `within`, as many as
    /// there is room for, the smallest first.
    pub(crate) fn near<const K: usize>(
        &self,
        probes: &[Probe],
        vicinity: &Vicinity,
        policy: &Policy,
        within: f64,
        out: &mut ArrayVec<Near, K>,
    ) {
        for ((leaf, dots), bound) in self.leaves().zip(&vicinity.bounds) {
            let Some(keep) = policy.kept(leaf.class) else { continue };
            if bound - keep >= within {
                continue;
            }
            for dot in dots {
                let [x, y, z] = dot.position.coords.into();
                let each = probes.iter().map(|p| p.distance(x, y, z)).enumerate();
                let Some((part, distance)) = each.min_by(|a, b| a.1.total_cmp(&b.1)) else { continue };
                let clearance = distance - policy.doubt(dot.sigma) - keep;
                if clearance < within {
                    insert(out, Near { position: dot.position, class: leaf.class, part, clearance });
                }
            }
        }
    }

    /// Whether no point that is too near comes nearer on the way through some shapes of an arm, one after the other: each point's clearance
    /// either does not fall or stays above `enough`, m. Point by point, because leaving the worst of them may mean nearing the next. The vicinity is of
    /// the first shape.
    pub(crate) fn recedes(&self, way: &[Probes], vicinity: &Vicinity, policy: &Policy, enough: f64) -> bool {
        /// Falling by less than this is rounding, m.
        const ROUNDING: f64 = 1e-9;
        let Some((start, ahead)) = way.split_first() else { return true };
        self.classes.iter().all(|&(class, from, to)| {
            let Some(keep) = policy.kept(class) else { return true };
            let leaves = self.points.get(from..to).unwrap_or_default().iter();
            leaves.zip(vicinity.bounds.get(from..to).unwrap_or_default()).all(|(points, bound)| {
                // No point moves farther than `enough`: what is twice as far away stays clear.
                if bound - keep >= 2.0 * enough {
                    return true;
                }
                let mut last = points.clearances(start, policy);
                if last.iter().all(|h| h - keep >= 2.0 * enough) {
                    return true;
                }
                ahead.iter().all(|shape| {
                    let now = points.clearances(shape, policy);
                    let fine = now.iter().zip(&last).all(|(h, last)| *h >= last - ROUNDING || h - keep >= enough);
                    last = now;
                    fine
                })
            })
        })
    }
}

/// The smallest of some numbers, halves against halves: several at a time.
fn least<const K: usize>(numbers: &[f64; K]) -> f64 {
    let mut least = *numbers;
    let mut rest = K;
    while rest > 1 {
        let half = rest.div_ceil(2);
        let (low, high) = least.split_at_mut(half);
        low.iter_mut().zip(high).for_each(|(low, high)| *low = low.min(*high));
        rest = half;
    }
    least.first().copied().unwrap_or(f64::INFINITY)
}

/// Puts a point in its place; the farthest gives way when there is no room.
fn insert<const K: usize>(out: &mut ArrayVec<Near, K>, point: Near) {
    let place = out.partition_point(|n| n.clearance <= point.clearance);
    if place < K {
        if out.is_full() {
            out.pop();
        }
        out.insert(place, point);
    }
}

/// A ball around points, and their largest sigma.
fn bounding_ball(dots: &[Dot]) -> (Point3<f64>, f64, f64) {
    let center = Point3::from(dots.iter().map(|d| d.position.coords).sum::<Vector3<f64>>() / dots.len().max(1) as f64);
    let radius = dots.iter().map(|d| (d.position - center).norm()).fold(0.0, f64::max);
    (center, radius, dots.iter().map(|d| d.sigma).fold(0.0, f64::max))
}

fn leaf(class: Class, from: usize, dots: &[Dot]) -> Leaf {
    let corner = |f: fn(f64, f64) -> f64, start: f64| {
        dots.iter().fold([start; 3], |c, d| {
            let [x, y, z] = c;
            [f(x, d.position.x), f(y, d.position.y), f(z, d.position.z)]
        })
    };
    Leaf {
        class,
        from,
        to: from + dots.len(),
        lower: corner(f64::min, f64::INFINITY),
        upper: corner(f64::max, f64::NEG_INFINITY),
    }
}

fn bunch(from: usize, few: &[Leaf]) -> Bunch {
    let corner = |f: fn(f64, f64) -> f64, start: f64, of: fn(&Leaf) -> [f64; 3]| {
        few.iter().map(of).fold([start; 3], |[x, y, z], [a, b, c]| [f(x, a), f(y, b), f(z, c)])
    };
    Bunch {
        from,
        to: from + few.len(),
        lower: corner(f64::min, f64::INFINITY, |l| l.lower),
        upper: corner(f64::max, f64::NEG_INFINITY, |l| l.upper),
    }
}

/// Interleaved bits of the position in 1 mm steps around the origin: near points get near codes.
fn morton(p: &Point3<f64>) -> u64 {
    let spread = |x: f64| {
        let cell = ((x / 0.001) + 1024.0).clamp(0.0, 2047.0) as u64;
        (0..11).map(|bit| ((cell >> bit) & 1) << (3 * bit)).sum::<u64>()
    };
    spread(p.x) + (spread(p.y) << 1) + (spread(p.z) << 2)
}

/// Where fusion sees an arm's base.
#[derive(Debug, Clone, Copy)]
pub struct Placement {
    /// Corrected pose.
    pub world_from_base: Isometry3<f64>,
    /// Variance of the instrument's tip due to it, m^2: largest eigenvalue of the tip's covariance.
    pub variance: f64,
    /// Version named by proposals.
    pub version: u64,
}

/// A scene made ready for the core.
#[derive(Debug, Clone)]
pub struct LiveScene {
    /// Stamp of the picture it rests on.
    pub stamp: Stamp,
    /// Sequence number of fusion.
    pub seq: u64,
    /// Model that segmented it.
    pub model: Digest,
    /// Version of the guarded surface.
    pub zones: u64,
    /// Where the arms' bases are; `None` for an arm without estimate.
    pub placements: PerArm<Option<Placement>>,
    /// How the instruments' poses came about; `Aligned` for the ECM, whose base is exact by definition.
    pub alignment: PerArm<Alignment>,
    /// Quality of the picture.
    pub quality: QualityVerdict,
    /// Tissue.
    pub surface: Surface,
}

impl LiveScene {
    /// A good picture of this alone, by hand.
    #[cfg(test)]
    pub(crate) fn of(points: &[proctor_types::SurfacePoint]) -> Self {
        Self {
            stamp: Stamp::FIRST,
            seq: 1,
            model: Digest::default(),
            zones: 0,
            placements: PerArm::default(),
            alignment: PerArm::from_fn(|_| Alignment::Aligned),
            quality: QualityVerdict::Good,
            surface: Surface::new(points),
        }
    }

    /// Prepares a scene; runs outside the real-time thread (sorts and allocates).
    pub fn new(scene: &Scene) -> Self {
        let placement = |arm: ArmId| {
            let hand_eye = scene.hand_eye(arm)?;
            let base = hand_eye.world_from_base;
            let tip = scene.instrument(arm).map_or(Vector3::zeros(), |i| i.world_from_tip.translation());
            // A left-applied error (t, w) moves the point p by t + w x p = [I, -[p]x] (t, w).
            let cross = tip.cross_matrix();
            let c = &hand_eye.covariance;
            let (tt, tw, ww): (Matrix3<f64>, Matrix3<f64>, Matrix3<f64>) = (
                c.fixed_view::<3, 3>(0, 0).into(),
                c.fixed_view::<3, 3>(0, 3).into(),
                c.fixed_view::<3, 3>(3, 3).into(),
            );
            let at_tip = tt - tw * cross.transpose() - cross * tw.transpose() + cross * ww * cross.transpose();
            let at_tip = (at_tip + at_tip.transpose()) * 0.5;
            let variance = at_tip.symmetric_eigenvalues().max();
            (base.is_finite() && variance.is_finite() && variance >= 0.0).then_some(Placement {
                world_from_base: *base.iso(),
                variance,
                version: hand_eye.version,
            })
        };
        Self {
            stamp: scene.stamp,
            seq: scene.seq,
            model: scene.model,
            zones: scene.zones_version,
            placements: PerArm::from_fn(|arm| if arm.has_jaw() { placement(arm) } else { None }),
            alignment: PerArm::from_fn(|arm| match arm {
                ArmId::Psm1 | ArmId::Psm2 => scene.instrument(arm).map_or(Alignment::Unknown, |i| i.alignment),
                ArmId::Ecm => Alignment::Aligned,
            }),
            quality: scene.quality.verdict,
            surface: Surface::new(&scene.surface),
        }
    }

    /// Version of an arm's hand-eye estimate; 0 for the ECM and for an arm without one.
    pub fn hand_eye_version(&self, arm: ArmId) -> u64 {
        self.placements.get(arm).map_or(0, |p| p.version)
    }
}

#[cfg(test)]
#[path = "surface_tests.rs"]
mod surface_tests;

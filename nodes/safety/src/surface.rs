//! The tissue that fusion sees, made ready for 1 kHz: points of one class and neighbourhood lie together in
//! leaves with a bounding sphere and box, eight leaves in a node. Built by the communications half, read by the core.

use crate::dofs::PerArm;
use nalgebra::{Isometry3, Matrix3, Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::{Alignment, ArmId, Class, Digest, QualityVerdict, Scene, Stamp};

/// Points per leaf.
const LEAF: usize = 16;
/// Leaves per node.
const NODE: usize = 8;
/// Distances are exact up to here and reported as this beyond, m. Larger than every margin and stopping distance together.
pub const FAR: f64 = 0.04;

/// A surface point's place and doubt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dot {
    pub position: Point3<f64>,
    /// Standard deviation, m.
    pub sigma: f64,
}

/// A few neighbouring points of one class.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leaf {
    pub class: Class,
    pub from: usize,
    pub to: usize,
    center: Point3<f64>,
    radius: f64,
    max_sigma: f64,
    /// Axis-aligned box, for the gate's own search.
    pub lower: [f64; 3],
    pub upper: [f64; 3],
}

#[derive(Debug, Clone, Copy)]
struct Node {
    class: Class,
    from: usize,
    to: usize,
    center: Point3<f64>,
    radius: f64,
    max_sigma: f64,
}

/// Labelled tissue points, searchable without allocation.
#[derive(Debug, Clone, Default)]
pub struct Surface {
    dots: Vec<Dot>,
    leaves: Vec<Leaf>,
    nodes: Vec<Node>,
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
        for same in sorted.chunk_by(|a, b| a.0 == b.0) {
            let Some(&(class, ..)) = same.first() else { continue };
            for few in same.chunks(LEAF) {
                let from = surface.dots.len();
                surface.dots.extend(few.iter().map(|&(.., dot)| dot));
                surface.leaves.push(leaf(class, from, surface.dots.get(from..).unwrap_or_default()));
            }
        }
        let mut from = 0;
        for same in surface.leaves.chunk_by(|a, b| a.class == b.class) {
            for few in same.chunks(NODE) {
                surface.nodes.push(node(from, few));
                from += few.len();
            }
        }
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

    pub(crate) fn leaves(&self) -> impl Iterator<Item = (&Leaf, &[Dot])> {
        self.leaves.iter().map(|l| (l, self.dots.get(l.from..l.to).unwrap_or_default()))
    }

    /// Per class, the smallest distance from the capsules' surfaces to a point, less what the policy keeps, m; `FAR` where nothing is
    /// near or contact is allowed. Negative: too near.
    pub fn clearances(&self, capsules: &[Capsule], policy: &Policy) -> [f64; Class::COUNT] {
        let mut best = [FAR; Class::COUNT];
        for n in &self.nodes {
            let Some((keep, slot)) = slot(&policy.keep, &mut best, n.class) else { continue };
            let most = keep + policy.doubt(n.max_sigma) + n.radius;
            if nearest(capsules, &n.center) - most >= *slot {
                continue;
            }
            for leaf in self.leaves.get(n.from..n.to).unwrap_or_default() {
                let most = keep + policy.doubt(leaf.max_sigma) + leaf.radius;
                if nearest(capsules, &leaf.center) - most >= *slot {
                    continue;
                }
                for dot in self.dots.get(leaf.from..leaf.to).unwrap_or_default() {
                    let h = nearest(capsules, &dot.position) - keep - policy.doubt(dot.sigma);
                    *slot = slot.min(h);
                }
            }
        }
        best
    }
}

fn slot<'a>(
    keep: &[Option<f64>; Class::COUNT],
    best: &'a mut [f64; Class::COUNT],
    class: Class,
) -> Option<(f64, &'a mut f64)> {
    let i = usize::from(class.id());
    Some((keep.get(i).copied().flatten()?, best.get_mut(i)?))
}

/// Distance from the nearest capsule's surface to `p`, m.
fn nearest(capsules: &[Capsule], p: &Point3<f64>) -> f64 {
    capsules.iter().map(|c| c.distance_to_point(p)).fold(f64::INFINITY, f64::min)
}

fn bounding_ball(points: impl Iterator<Item = (Point3<f64>, f64)> + Clone) -> (Point3<f64>, f64) {
    let count = points.clone().count().max(1) as f64;
    let center = Point3::from(points.clone().map(|(p, _)| p.coords).sum::<Vector3<f64>>() / count);
    let radius = points.map(|(p, r)| (p - center).norm() + r).fold(0.0, f64::max);
    (center, radius)
}

fn leaf(class: Class, from: usize, dots: &[Dot]) -> Leaf {
    let (center, radius) = bounding_ball(dots.iter().map(|d| (d.position, 0.0)));
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
        center,
        radius,
        max_sigma: dots.iter().map(|d| d.sigma).fold(0.0, f64::max),
        lower: corner(f64::min, f64::INFINITY),
        upper: corner(f64::max, f64::NEG_INFINITY),
    }
}

fn node(from: usize, leaves: &[Leaf]) -> Node {
    let (center, radius) = bounding_ball(leaves.iter().map(|l| (l.center, l.radius)));
    Node {
        class: leaves.first().map_or(Class::Background, |l| l.class),
        from,
        to: from + leaves.len(),
        center,
        radius,
        max_sigma: leaves.iter().map(|l| l.max_sigma).fold(0.0, f64::max),
    }
}

/// Interleaved bits of the position in 1 mm steps around the origin: near points get near codes.
fn morton(p: &Point3<f64>) -> u64 {
    let spread = |x: f64| {
        let cell = ((x / 0.001) + 1024.0).clamp(0.0, 2047.0) as u64;
        (0..11).fold(0u64, |code, bit| code | (((cell >> bit) & 1) << (3 * bit)))
    };
    spread(p.x) | (spread(p.y) << 1) | (spread(p.z) << 2)
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
mod tests {
    use super::*;
    use proctor_types::SurfacePoint;

    /// Weyl sequence in [-1, 1].
    fn w(i: usize, a: f64) -> f64 {
        2.0 * ((i as f64 + 1.0) * a).fract() - 1.0
    }

    fn cloud(n: usize) -> Vec<SurfacePoint> {
        (0..n)
            .map(|i| SurfacePoint {
                position: Point3::new(0.06 * w(i, 0.618), 0.05 * w(i, 0.414), 0.02 * w(i, 0.732)),
                class: Class::ALL[i % Class::COUNT],
                sigma: 0.001 * (1.0 + w(i, 0.236)),
            })
            .collect()
    }

    fn policy() -> Policy {
        let mut keep = [Some(0.002); Class::COUNT];
        keep[usize::from(Class::Gallbladder.id())] = None;
        keep[usize::from(Class::CysticArtery.id())] = Some(0.005);
        Policy { keep, sigmas: 2.0, arm_variance: 1e-6, max_uncertainty: 0.004, growth: 0.0005 }
    }

    #[test]
    fn the_search_finds_what_brute_force_finds() {
        let (points, policy) = (cloud(2048), policy());
        let surface = Surface::new(&points);
        assert_eq!(surface.len(), points.iter().filter(|p| p.class.is_tissue()).count());
        for i in 0..200 {
            let at = |k: f64, lift: f64| Point3::new(0.07 * w(i, k), 0.06 * w(i, k * 1.7), 0.03 * w(i, k * 2.3) + lift);
            let capsules = [
                Capsule { a: at(0.1, 0.1), b: at(0.3, 0.0), radius: 0.004 },
                Capsule { a: at(0.3, 0.0), b: at(0.5, 0.0), radius: 0.003 },
            ];
            let found = surface.clearances(&capsules, &policy);
            for class in Class::ALL {
                let mut expected = FAR;
                for p in points.iter().filter(|p| p.class == class && class.is_tissue()) {
                    let Some(keep) = policy.keep[usize::from(class.id())] else { continue };
                    let doubt = (2.0 * (p.sigma.powi(2) + 1e-6).sqrt()).min(0.004) + 0.0005;
                    let d = capsules.iter().map(|c| c.distance_to_point(&p.position)).fold(f64::INFINITY, f64::min);
                    expected = f64::min(expected, d - keep - doubt);
                }
                assert!((found[usize::from(class.id())] - expected).abs() < 1e-12, "{class:?}");
            }
        }
    }

    #[test]
    fn points_that_are_not_finite_or_no_tissue_are_left_out() {
        let mut points = cloud(40);
        points[2].position.x = f64::NAN;
        points[3].sigma = f64::INFINITY;
        let surface = Surface::new(&points);
        assert_eq!(surface.len(), points.iter().filter(|p| p.class.is_tissue()).count() - 2);
    }
}

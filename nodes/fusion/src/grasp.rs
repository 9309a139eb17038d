//! Where to grasp the gallbladder: the seen part farthest from duct and artery (the fundus), with its outward normal.

use crate::params::FusionParams;
use nalgebra::{Matrix3, Point3, SymmetricEigen, Vector3};
use proctor_types::{Class, Stamp, SurfacePoint};

/// Chooses a grasp and sticks to it while it stays good.
#[derive(Debug, Clone, Default)]
pub struct GraspFinder {
    /// Middle of duct and artery when last seen, and when.
    landmark: Option<(Point3<f64>, Stamp)>,
    last: Option<Point3<f64>>,
}

/// Radius within which neighbours make a normal and confirm a point, m.
const NEIGHBOURHOOD: f64 = 0.006;
/// Fewest neighbours of an inner point of the gallbladder.
const MIN_NEIGHBOURS: usize = 5;
/// Share of its distance from the tissue that a kept target goes per picture.
const FOLLOW: f64 = 0.3;
/// A new target must be this much farther from duct and artery to replace the last one, m.
const STICKINESS: f64 = 0.004;

impl GraspFinder {
    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The target and its outward unit normal (towards the camera's side), or `None`: no gallbladder, duct and artery
    /// not seen lately (then "farthest from them" means nothing), or nothing `reachable` far enough from them.
    pub fn find(
        &mut self,
        now: Stamp,
        surface: &[SurfacePoint],
        eye: &Point3<f64>,
        reachable: impl Fn(&Point3<f64>) -> bool,
        params: &FusionParams,
    ) -> Option<(Point3<f64>, Vector3<f64>)> {
        let of = |class: Class| surface.iter().filter(move |p| p.class == class).map(|p| p.position);
        let delicate: Vec<Point3<f64>> = of(Class::CysticDuct).chain(of(Class::CysticArtery)).collect();
        if delicate.len() >= 2 {
            let sum = delicate.iter().fold(Vector3::zeros(), |s, p| s + p.coords);
            self.landmark = Some((Point3::from(sum / delicate.len() as f64), now));
        }
        let fresh = |t: Stamp| (0.0..=params.landmark_memory_s).contains(&now.seconds_since(t));
        let Some((landmark, _)) = self.landmark.filter(|(_, t)| fresh(*t)) else {
            self.last = None;
            return None;
        };
        let gap = |p: &Point3<f64>| delicate.iter().map(|d| (p - d).norm()).fold((p - landmark).norm(), f64::min);
        let gallbladder: Vec<Point3<f64>> = of(Class::Gallbladder).collect();
        let candidates: Vec<(f64, Point3<f64>)> = gallbladder
            .iter()
            .filter(|p| neighbours(p, &gallbladder).count() > MIN_NEIGHBOURS)
            .map(|p| (gap(p), *p))
            .filter(|(g, p)| *g >= params.grasp_min_distance_m && reachable(p))
            .collect();
        let best = candidates.iter().max_by(|a, b| a.0.total_cmp(&b.0));
        let kept = self.last.and_then(|last| {
            let near = candidates.iter().min_by(|a, b| (a.1 - last).norm().total_cmp(&(b.1 - last).norm()))?;
            ((near.1 - last).norm() < NEIGHBOURHOOD && near.0 + STICKINESS >= best?.0).then_some(last)
        });
        let Some(at) = kept.or(best.map(|(_, p)| *p)) else {
            self.last = None;
            return None;
        };
        let around: Vec<Point3<f64>> = neighbours(&at, &gallbladder).copied().collect();
        let normal = outward_normal(&at, &around, eye);
        // A kept target stays where it is on the tissue and follows it in depth only: points of the grid hop, tissue does not.
        let at = if kept.is_some() { at + normal * (FOLLOW * height(&at, &around, &normal)) } else { at };
        self.last = Some(at);
        Some((at, normal))
    }
}

fn neighbours<'a>(p: &'a Point3<f64>, all: &'a [Point3<f64>]) -> impl Iterator<Item = &'a Point3<f64>> {
    all.iter().filter(move |q| (*q - p).norm() < NEIGHBOURHOOD)
}

/// How far the points lie above `at`, m.
fn height(at: &Point3<f64>, around: &[Point3<f64>], normal: &Vector3<f64>) -> f64 {
    around.iter().map(|p| (p - at).dot(normal)).sum::<f64>() / around.len().max(1) as f64
}

/// Direction of least spread, towards the eye.
fn outward_normal(at: &Point3<f64>, around: &[Point3<f64>], eye: &Point3<f64>) -> Vector3<f64> {
    let n = around.len().max(1) as f64;
    let mean = around.iter().fold(Vector3::zeros(), |s, p| s + p.coords) / n;
    let scatter = around.iter().fold(Matrix3::zeros(), |s, p| {
        let d = p.coords - mean;
        s + d * d.transpose()
    });
    let eigen = SymmetricEigen::new(scatter);
    let (least, _) = eigen.eigenvalues.argmin();
    let normal: Vector3<f64> = eigen.eigenvectors.column(least).into_owned();
    if normal.dot(&(eye - at)) < 0.0 { -normal } else { normal }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field() -> Vec<SurfacePoint> {
        let point = |x: f64, y: f64, class| SurfacePoint { position: Point3::new(x, y, 0.0), class, sigma: 5e-4 };
        let mut v = Vec::new();
        for i in 0..20 {
            for j in 0..6 {
                v.push(point(0.002 * f64::from(i), 0.002 * f64::from(j), Class::Gallbladder));
            }
        }
        v.extend((0..4).map(|i| point(-0.005, 0.002 * f64::from(i), Class::CysticDuct)));
        v
    }

    #[test]
    fn the_target_is_the_far_end_with_the_normal_towards_the_eye() {
        let eye = Point3::new(0.0, 0.0, 0.1);
        let mut finder = GraspFinder::default();
        let p = FusionParams::default();
        let (at, normal) = finder.find(Stamp::FIRST, &field(), &eye, |_| true, &p).unwrap();
        assert!(at.x > 0.03, "{at}");
        assert!((normal - Vector3::z()).norm() < 1e-9);
        let (at, _) = GraspFinder::default().find(Stamp::FIRST, &field(), &eye, |p| p.x < 0.02, &p).unwrap();
        assert!(at.x < 0.02 && at.x > 0.012, "{at}");
    }

    #[test]
    fn without_duct_or_artery_lately_there_is_no_target() {
        let eye = Point3::new(0.0, 0.0, 0.1);
        let p = FusionParams::default();
        let bare: Vec<_> = field().into_iter().filter(|p| p.class == Class::Gallbladder).collect();
        let mut finder = GraspFinder::default();
        assert!(finder.find(Stamp::FIRST, &bare, &eye, |_| true, &p).is_none());
        assert!(finder.find(Stamp::FIRST, &field(), &eye, |_| true, &p).is_some());
        let later = |s| Stamp::FIRST.plus(std::time::Duration::from_secs(s));
        assert!(finder.find(later(4), &bare, &eye, |_| true, &p).is_some(), "remembered");
        assert!(finder.find(later(6), &bare, &eye, |_| true, &p).is_none(), "forgotten");
    }

    #[test]
    fn a_target_is_kept_while_it_is_nearly_the_best() {
        let eye = Point3::new(0.0, 0.0, 0.1);
        let p = FusionParams::default();
        let mut finder = GraspFinder::default();
        let (first, _) = finder.find(Stamp::FIRST, &field(), &eye, |_| true, &p).unwrap();
        let mut grown = field();
        let far = SurfacePoint { position: Point3::new(0.040, 0.005, 0.0), class: Class::Gallbladder, sigma: 5e-4 };
        grown.extend((0..6).map(|j| SurfacePoint { position: Point3::new(0.040, 0.002 * f64::from(j), 0.0), ..far }));
        let (second, _) = finder.find(Stamp::FIRST, &grown, &eye, |_| true, &p).unwrap();
        assert_eq!(first, second);
    }
}

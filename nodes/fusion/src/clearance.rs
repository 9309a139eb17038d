//! Smallest distance from each instrument's tip to each class of tissue.

use crate::{
    geometry::closest_on_segment,
    tool::{Part, Tool},
};
use nalgebra::Matrix6;
use proctor_types::{ArmId, Class, Clearance, SurfacePoint};

/// An instrument in the world with its doubt.
#[derive(Debug, Clone, Copy)]
pub struct Tip {
    /// Whose.
    pub arm: ArmId,
    /// Geometry, world coordinates.
    pub tool: Tool,
    /// Covariance of (translation m, rotation vector rad) of the tip.
    pub covariance: Matrix6<f64>,
    /// Whether picture and kinematics agree about it.
    pub aligned: bool,
}

/// Clearances of wrist and jaws, one per arm and class seen, in the order of arms and classes.
pub fn clearances(tips: &[Tip], surface: &[SurfacePoint]) -> Vec<Clearance> {
    let mut out = Vec::with_capacity(tips.len() * Class::COUNT);
    for tip in tips {
        for class in Class::ALL {
            let nearest = surface
                .iter()
                .filter(|p| p.class == class)
                .map(|p| clearance(tip, p))
                .min_by(|a, b| a.distance.total_cmp(&b.distance));
            out.extend(nearest);
        }
    }
    out
}

fn clearance(tip: &Tip, point: &SurfacePoint) -> Clearance {
    let mut best: Option<(f64, nalgebra::Vector3<f64>)> = None;
    for part in [Part::Wrist, Part::Jaws] {
        let (a, b, radius) = tip.tool.part(part);
        let away = point.position - closest_on_segment(&point.position, &a, &b);
        let distance = away.norm() - radius;
        if best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, away));
        }
    }
    let (distance, away) = best.unwrap_or((f64::MAX, nalgebra::Vector3::z()));
    let direction = away.try_normalize(1e-9).unwrap_or_else(nalgebra::Vector3::z);
    let position = tip.covariance.fixed_view::<3, 3>(0, 0);
    let variance = (direction.transpose() * position * direction)[(0, 0)].max(0.0);
    let sigma = (variance + point.sigma * point.sigma).sqrt();
    Clearance { arm: tip.arm, class: point.class, distance, sigma, nearest: point.position }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Point3, Vector3};

    #[test]
    fn distance_is_to_the_surface_of_the_nearest_part_and_sigmas_add_in_squares() {
        let tool = Tool {
            top: Point3::new(0.0, 0.0, 0.2),
            pitch: Point3::new(0.0, 0.0, 0.03),
            yaw: Point3::new(0.0, 0.0, 0.02),
            end: Point3::new(0.0, 0.0, 0.01),
            spread: Vector3::zeros(),
            radii: [0.004, 0.003, 0.002],
            seams: crate::tool::Seams { shaft_end: 0.0, wrist_end: 0.0 },
        };
        let covariance = Matrix6::from_diagonal_element(9e-8); // 0.3 mm
        let tip = Tip { arm: ArmId::Psm1, tool, covariance, aligned: true };
        let point = |x, z, class| SurfacePoint { position: Point3::new(x, 0.0, z), class, sigma: 0.0004 };
        let surface =
            [point(0.0, 0.0, Class::Liver), point(0.05, 0.0, Class::Liver), point(0.01, 0.025, Class::CysticDuct)];
        let out = clearances(&[tip], &surface);
        assert_eq!(out.len(), 2);
        assert!(out[0].class == Class::Liver && (out[0].distance - 0.008).abs() < 1e-12);
        assert!((out[0].sigma - 0.0005).abs() < 1e-12 && out[0].nearest.x == 0.0);
        assert!(out[1].class == Class::CysticDuct && (out[1].distance - 0.007).abs() < 1e-12);
    }
}

//! A whole motion of one arm: what is proposed, shown, approved and run.

use crate::{ArmId, InvalidValue, Joints, finite};
use serde::{Deserialize, Serialize};

/// One point of a trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TrajectoryPoint {
    /// Seconds from the start.
    pub t: f64,
    /// Joint positions (rad; insertion in m), the arm's length.
    pub position: Joints,
    /// Jaw angle, rad (0 for the ECM).
    pub jaw: f64,
}

/// Joint-space trajectory of one arm, linear between points. Times start at 0 and strictly increase.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct Trajectory {
    arm: ArmId,
    points: Vec<TrajectoryPoint>,
}

#[derive(Deserialize)]
struct Unchecked {
    arm: ArmId,
    points: Vec<TrajectoryPoint>,
}

impl TryFrom<Unchecked> for Trajectory {
    type Error = InvalidValue;
    fn try_from(u: Unchecked) -> Result<Self, InvalidValue> {
        Self::new(u.arm, u.points)
    }
}

impl Trajectory {
    /// Most points a trajectory may have; at 20 ms spacing this is 40 s.
    pub const MAX_POINTS: usize = 2048;

    /// Checks length (2..=[`Self::MAX_POINTS`]), joint count, finiteness, and that times start at 0 and increase.
    pub fn new(arm: ArmId, points: Vec<TrajectoryPoint>) -> Result<Self, InvalidValue> {
        if points.len() < 2 || points.len() > Self::MAX_POINTS {
            return Err(InvalidValue::Range {
                what: "trajectory points",
                value: points.len() as f64,
                min: 2.0,
                max: Self::MAX_POINTS as f64,
            });
        }
        let mut previous: Option<f64> = None;
        for p in &points {
            Joints::for_arm(arm, &p.position)?;
            let first = points.first().map_or(0, |p| p.position.len());
            if p.position.len() != first {
                return Err(InvalidValue::Length { what: "joints", expected: first, got: p.position.len() });
            }
            finite("trajectory jaw", p.jaw)?;
            finite("trajectory time", p.t)?;
            let ok = match previous {
                None => p.t == 0.0,
                Some(before) => p.t > before,
            };
            if !ok {
                return Err(InvalidValue::Range {
                    what: "trajectory time (first 0, then strictly increasing)",
                    value: p.t,
                    min: previous.unwrap_or(0.0),
                    max: previous.map_or(0.0, |_| f64::MAX),
                });
            }
            previous = Some(p.t);
        }
        Ok(Self { arm, points })
    }

    /// Whose motion this is.
    pub fn arm(&self) -> ArmId {
        self.arm
    }

    /// The points, at least two.
    pub fn points(&self) -> &[TrajectoryPoint] {
        &self.points
    }

    /// Duration in seconds, positive.
    pub fn duration(&self) -> f64 {
        self.points.last().map_or(0.0, |p| p.t)
    }

    /// Position and jaw at `t` seconds, clamped to the ends; linear in between. Allocates nothing.
    pub fn at(&self, t: f64) -> (Joints, f64) {
        let after = self.points.partition_point(|p| p.t <= t);
        match (after.checked_sub(1).and_then(|i| self.points.get(i)), self.points.get(after)) {
            (Some(a), Some(b)) => {
                let s = (t - a.t) / (b.t - a.t);
                let q = a.position.zip_with(&b.position, |x, y| x + s * (y - x)).unwrap_or(a.position);
                (q, a.jaw + s * (b.jaw - a.jaw))
            }
            (Some(p), None) | (None, Some(p)) => (p.position, p.jaw),
            (None, None) => (Joints::zeros(self.arm.dof()), 0.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(t: f64, q: f64) -> TrajectoryPoint {
        TrajectoryPoint { t, position: Joints::new(&[q; 4]).unwrap(), jaw: q }
    }

    #[test]
    fn interpolation_is_linear_and_clamped() {
        let t = Trajectory::new(ArmId::Ecm, vec![point(0.0, 0.0), point(2.0, 1.0), point(3.0, 0.0)]).unwrap();
        assert_eq!(t.at(1.0).0[0], 0.5);
        assert_eq!(t.at(2.5).1, 0.5);
        assert_eq!((t.at(-1.0).0[3], t.at(9.0).0[3]), (0.0, 0.0));
        assert_eq!(t.at(2.0).0[0], 1.0);
    }

    #[test]
    fn malformed_trajectories_are_refused() {
        for bad in [
            vec![point(0.0, 0.0)],
            vec![point(0.1, 0.0), point(1.0, 0.0)],
            vec![point(0.0, 0.0), point(0.0, 0.0)],
            vec![point(0.0, 0.0), point(f64::NAN, 0.0)],
        ] {
            assert!(Trajectory::new(ArmId::Ecm, bad).is_err());
        }
        assert!(Trajectory::new(ArmId::Psm1, vec![point(0.0, 0.0), point(1.0, 0.0)]).is_err(), "4 joints on a PSM");
    }
}

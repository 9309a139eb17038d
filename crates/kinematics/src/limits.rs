//! Joint limits: positions and velocities from the URDF, accelerations and jerk from the tables here (URDF has no field for them).

use crate::model::Segment;
use proctor_types::{InvalidValue, Joints, MAX_JOINTS};

/// Largest accelerations Proctor asks of a PSM (rad/s^2; insertion m/s^2). Proctor's choice: a velocity limit is reached in about 0.2 s.
const PSM_ACCELERATION: [f64; 6] = [6.0, 6.0, 1.0, 15.0, 15.0, 15.0];
/// As [`PSM_ACCELERATION`], for the ECM: it carries the picture, so it moves gently.
const ECM_ACCELERATION: [f64; 4] = [2.0, 2.0, 0.4, 4.0];
/// For the jaw, rad/s^2.
pub(crate) const JAW_ACCELERATION: f64 = 40.0;
/// Shortest time, s, in which an acceleration limit is built up: the jerk limit is the one divided by the other. Proctor's choice.
pub(crate) const BUILD_UP: f64 = 0.004;
/// Largest position (rad, m) or speed that a URDF may give as a joint's limit: beyond, it is a mistake.
const FARTHEST: f64 = 100.0;

/// Limits of an arm's joints (rad, m and their rates), each vector of the arm's length.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct JointLimits {
    /// Smallest positions.
    pub lower: Joints,
    /// Largest positions.
    pub upper: Joints,
    /// Largest speeds, positive.
    pub velocity: Joints,
    /// Largest accelerations, positive.
    pub acceleration: Joints,
    /// Largest jerks (rad/s^3; insertion m/s^3), positive.
    pub jerk: Joints,
    /// Which joints slide: their values are lengths.
    pub slides: [bool; MAX_JOINTS],
    /// The jaw's; all zero for an arm without one.
    pub jaw: JawLimits,
}

/// Limits of the jaw angle (rad and its rates).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JawLimits {
    /// Smallest angle; negative squeezes.
    pub lower: f64,
    /// Largest angle.
    pub upper: f64,
    /// Largest speed, positive.
    pub velocity: f64,
    /// Largest acceleration, positive.
    pub acceleration: f64,
    /// Largest jerk, positive.
    pub jerk: f64,
}

/// The first joint found outside its range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitViolation {
    /// Which joint, from 0.
    pub joint: usize,
    /// Its value.
    pub value: f64,
    /// The limit it is beyond.
    pub limit: f64,
}

/// Refuses (lower, upper, velocity) that no joint can have.
fn range(what: &'static str, (lower, upper, velocity): (f64, f64, f64)) -> Result<(), InvalidValue> {
    let inside = |value: f64, min: f64, max: f64| {
        // Written so that NaN is refused too.
        if value >= min && value <= max { Ok(()) } else { Err(InvalidValue::Range { what, value, min, max }) }
    };
    inside(lower, -FARTHEST, FARTHEST)?;
    inside(upper, lower, FARTHEST)?;
    inside(velocity, f64::MIN_POSITIVE, FARTHEST)
}

impl JointLimits {
    pub(crate) fn of(segments: &[Segment], jaw: Option<JawLimits>) -> Result<Self, InvalidValue> {
        let acceleration: &[f64] = if jaw.is_some() { &PSM_ACCELERATION } else { &ECM_ACCELERATION };
        let jerk: Vec<f64> = acceleration.iter().map(|a| a / BUILD_UP).collect();
        Self::with(segments, jaw, acceleration, &jerk)
    }

    /// As [`JointLimits::of`], with accelerations and jerks from elsewhere, as many as there are joints.
    pub(crate) fn with(
        segments: &[Segment],
        jaw: Option<JawLimits>,
        acceleration: &[f64],
        jerk: &[f64],
    ) -> Result<Self, InvalidValue> {
        let pick = |f: fn(&Segment) -> f64| Joints::new(&segments.iter().map(f).collect::<Vec<_>>());
        for s in segments {
            range("joint limit", s.limit)?;
        }
        if let Some(jaw) = jaw {
            range("jaw limit", (jaw.lower, jaw.upper, jaw.velocity))?;
        }
        let mut slides = [false; MAX_JOINTS];
        slides.iter_mut().zip(segments).for_each(|(slot, s)| *slot = s.prismatic);
        Ok(Self {
            lower: pick(|s| s.limit.0)?,
            upper: pick(|s| s.limit.1)?,
            velocity: pick(|s| s.limit.2)?,
            acceleration: Joints::new(acceleration)?,
            jerk: Joints::new(jerk)?,
            slides,
            jaw: jaw.unwrap_or_default(),
        })
    }

    fn ranges(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        self.lower.iter().copied().zip(self.upper.iter().copied())
    }

    /// The first joint of `q` outside its range by more than `tolerance` (rad or m), or that is not a number.
    pub fn violation(&self, q: &[f64], tolerance: f64) -> Option<LimitViolation> {
        q.iter().zip(self.ranges()).enumerate().find_map(|(joint, (&value, (lower, upper)))| {
            let limit = if value >= lower - tolerance { upper } else { lower };
            let inside = value >= lower - tolerance && value <= upper + tolerance;
            (!inside).then_some(LimitViolation { joint, value, limit })
        })
    }

    /// Whether every joint of `q` is within its range.
    pub fn contains(&self, q: &[f64]) -> bool {
        self.violation(q, 0.0).is_none()
    }

    /// `q` with every joint moved into its range.
    #[must_use]
    pub fn clamp(&self, q: &Joints) -> Joints {
        let raised = q.zip_with(&self.lower, f64::max).unwrap_or(*q);
        raised.zip_with(&self.upper, f64::min).unwrap_or(raised)
    }
}

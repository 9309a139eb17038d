//! Parameters of the node: every threshold with unit, range and default. A missing or unknown key is refused.

use crate::AutonomyError;
use serde::{Deserialize, Serialize};

/// Parameters of [`crate::Autonomy`]. SI units and radians throughout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutonomyParams {
    /// Number of this start of the node. Proposals are numbered `session * 2^32 + 1` onwards, so give every start another.
    pub session: u32,
    /// Instrument on PSM1 and on PSM2, by its dVRK name (see `proctor_kinematics::Instrument::names`).
    pub instruments: [String; 2],
    /// When autonomy may propose, and when it withdraws.
    pub gate: GateParams,
    /// How fast and how finely motions run.
    pub motion: MotionParams,
    /// How far motions stay from tissue and instruments.
    pub clearance: ClearanceParams,
    /// What instruments stay in while they move by themselves.
    pub picture: PictureParams,
    /// Skill *centre the camera*.
    pub centre: CentreParams,
    /// Skill *retract*.
    pub retract: RetractParams,
}

impl Default for AutonomyParams {
    fn default() -> Self {
        Self {
            session: 1,
            instruments: ["LARGE_NEEDLE_DRIVER_400006".into(), "PROGRASP_FORCEPS_400093".into()],
            gate: GateParams::default(),
            motion: MotionParams::default(),
            clearance: ClearanceParams::default(),
            picture: PictureParams::default(),
            centre: CentreParams::default(),
            retract: RetractParams::default(),
        }
    }
}

/// When autonomy may propose, and when it withdraws.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateParams {
    /// Oldest scene that supports a proposal, s, [0.05, 2].
    pub scene_max_age: f64,
    /// Oldest measured joints that support a proposal, s, [0.02, 1].
    pub arm_max_age: f64,
    /// Oldest safety state that supports a proposal, s, [0.1, 5].
    pub safety_max_age: f64,
    /// How long a doubt (scene untrustworthy, target moved, clearance short) must last before a live proposal is
    /// withdrawn, s, [0, 2]. Versions, expiry, staleness and mode act at once. So long, too, nothing may be there to look at before
    /// the reason of a skill counts from the beginning again.
    pub doubt_for: f64,
    /// Angular joint speed below which an arm counts as resting, rad/s, [0.001, 1].
    pub rest_angular: f64,
    /// Insertion speed below which an arm counts as resting, m/s, [0.0001, 0.1].
    pub rest_linear: f64,
    /// How far an angular joint may be from the start of a live proposal, rad, [0.001, 0.2].
    pub start_angular: f64,
    /// How far the insertion may be from the start of a live proposal, m, [0.0001, 0.02].
    pub start_linear: f64,
    /// Life of a proposal: it can be approved and started for so long, s, [2, 120].
    pub expiry: f64,
    /// Pause after a declined plan before the next attempt, s, [0.05, 10].
    pub retry: f64,
    /// Pause after a motion ended or a proposal was withdrawn before proposing unasked again, s, [0, 60].
    pub settle: f64,
    /// How long a skill stays quiet after an operator rejected it or let it expire, unless asked for, s, [0, 600].
    pub quiet: f64,
    /// How long an operator's request is pursued, s, [1, 120].
    pub request_lifetime: f64,
}

impl Default for GateParams {
    fn default() -> Self {
        Self {
            scene_max_age: 0.3,
            arm_max_age: 0.1,
            safety_max_age: 0.5,
            doubt_for: 0.2,
            rest_angular: 0.03,
            rest_linear: 0.003,
            start_angular: 0.01,
            start_linear: 0.001,
            expiry: 20.0,
            retry: 0.5,
            settle: 2.0,
            quiet: 30.0,
            request_lifetime: 30.0,
        }
    }
}

/// How fast and how finely motions run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MotionParams {
    /// Spacing of trajectory points, s, [0.005, 0.1].
    pub sample_period: f64,
    /// Period at which safety plays the trajectory, s, [0.0005, 0.01]. Between points a trajectory is linear, so the
    /// whole change of velocity at a point falls into one such period; it is kept inside the acceleration limit too.
    pub servo_period: f64,
    /// Part of each joint's velocity and acceleration limit that a plan uses, [0.05, 0.9].
    pub limit_fraction: f64,
    /// Part of each joint's range kept free at both ends, [0, 0.2].
    pub range_margin: f64,
    /// Tip speed away from tissue, m/s, [0.001, 0.1].
    pub free_speed: f64,
    /// Tip speed near tissue, m/s, [0.001, 0.05].
    pub near_speed: f64,
    /// A motion is near tissue where any tissue is closer than this to the instrument, m, [0, 0.05].
    pub near_tissue: f64,
    /// Jaw speed, rad/s, [0.05, 5].
    pub jaw_speed: f64,
    /// Smallest distance of the wrist below the remote centre, m, [0.02, 0.15].
    pub min_depth: f64,
    /// Longest motion, s, [1, 40].
    pub max_duration: f64,
}

impl Default for MotionParams {
    fn default() -> Self {
        Self {
            sample_period: 0.02,
            servo_period: 0.001,
            limit_fraction: 0.6,
            range_margin: 0.01,
            free_speed: 0.020,
            near_speed: 0.008,
            near_tissue: 0.002,
            jaw_speed: 0.8,
            min_depth: 0.05,
            max_duration: 38.0,
        }
    }
}

/// How far motions stay from tissue and instruments. Each margin is at least what the safety node keeps, so that what is offered
/// is also let through; where it says so, doubt about points and arm is added as the safety node adds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClearanceParams {
    /// From cystic artery and cystic duct, doubt on top, m, [0.001, 0.05].
    pub critical: f64,
    /// From liver, doubt on top, m, [0, 0.05].
    pub liver: f64,
    /// Of instruments from the abdominal wall, doubt on top, m, [0, 0.05].
    pub wall: f64,
    /// From gallbladder and fat until the approach begins, m, [0, 0.05].
    pub tissue: f64,
    /// Of the endoscope from any tissue but the abdominal wall it passes through, m, [0.005, 0.1].
    pub endoscope: f64,
    /// From other instruments and the endoscope, m, [0.001, 0.05].
    pub tool: f64,
    /// Standard deviations of point and arm together that doubt counts, [1, 5].
    pub sigmas: f64,
    /// Most that standard deviations add, m, [0.002, 0.03].
    pub max_doubt: f64,
    /// Added for the age of the scene, m, [0, 0.01].
    pub ageing: f64,
    /// Extra clearance a new plan needs beyond the margin at which a live one is withdrawn, m, [0, 0.01].
    pub hysteresis: f64,
}

impl Default for ClearanceParams {
    fn default() -> Self {
        Self {
            critical: 0.003,
            liver: 0.0005,
            wall: 0.003,
            tissue: 0.001,
            endoscope: 0.020,
            tool: 0.004,
            sigmas: 2.0,
            max_doubt: 0.010,
            ageing: 0.001,
            hysteresis: 0.0005,
        }
    }
}

/// Skill *centre the camera*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CentreParams {
    /// Whether to propose it without being asked.
    pub unasked: bool,
    /// Proposed unasked when the tips' mean is farther from the middle than this part of half the picture's
    /// diagonal, [0.05, 1].
    pub off: f64,
    /// The wish ends when it comes closer than this part again, [0.01, 0.9], below `off`.
    pub on: f64,
    /// How long it must be off, s, [0, 30].
    pub off_for: f64,
    /// Nearest good working distance, m, [0.02, 0.2].
    pub near: f64,
    /// Farthest good working distance, m, [0.03, 0.3], above `near`.
    pub far: f64,
    /// Distance may leave the good ones by so much before that alone is a reason, m, [0, 0.1]; the reason lasts until it is
    /// back within half of that.
    pub band: f64,
    /// Largest turn of the view in one motion, rad, [0.01, 1].
    pub max_turn: f64,
    /// Largest change of insertion in one motion, m, [0.001, 0.1].
    pub max_advance: f64,
    /// Tips may move so far before the proposal is withdrawn, m, [0.001, 0.05].
    pub target_tolerance: f64,
}

impl Default for CentreParams {
    fn default() -> Self {
        Self {
            unasked: true,
            off: 0.35,
            on: 0.20,
            off_for: 1.0,
            near: 0.070,
            far: 0.110,
            band: 0.012,
            max_turn: 0.35,
            max_advance: 0.040,
            target_tolerance: 0.003,
        }
    }
}

/// What the endoscope sees: the pyramid that the safety node keeps instruments in, with room to spare.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureParams {
    /// Half of the picture's width as an angle, rad, [0.1, 1.2].
    pub horizontal: f64,
    /// Half of its height, rad, [0.1, 1.2].
    pub vertical: f64,
    /// How far inside its edge the tool tip stays, m, [0, 0.03]; more than safety's `view.margin`.
    pub margin: f64,
}

impl Default for PictureParams {
    fn default() -> Self {
        Self { horizontal: 0.5, vertical: 0.39, margin: 0.003 }
    }
}

/// Skill *retract*.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetractParams {
    /// Whether to propose it without being asked.
    pub unasked: bool,
    /// How long the target must have been steady before it is proposed unasked, s, [0, 30].
    pub seen_for: f64,
    /// The target may move so far before the proposal is withdrawn, m, [0.001, 0.02].
    pub target_tolerance: f64,
    /// Distance of the pre-grasp point from the target along the outward normal, m, [0.003, 0.04].
    pub standoff: f64,
    /// How far beyond the seen surface the jaws go, m, [0, 0.004].
    pub press: f64,
    /// Lift, m, [0.005, 0.04].
    pub lift: f64,
    /// The least lift worth doing, m, [0.005, 0.04], at most `lift`.
    pub lift_min: f64,
    /// Opening of the jaws before the grasp, rad, [0.1, 1.2].
    pub jaw_open: f64,
    /// Jaw angle that holds, rad, [-0.3, 0.2].
    pub jaw_closed: f64,
    /// A closed jaw nearer than this to the gallbladder is taken to hold it, m, [0, 0.03].
    pub holding: f64,
}

impl Default for RetractParams {
    fn default() -> Self {
        Self {
            unasked: true,
            seen_for: 1.0,
            target_tolerance: 0.003,
            standoff: 0.010,
            press: 0.0,
            lift: 0.018,
            lift_min: 0.015,
            jaw_open: 0.5,
            jaw_closed: 0.0,
            holding: 0.006,
        }
    }
}

impl AutonomyParams {
    /// What is read when the node is made, and by [`crate::Autonomy::adjust`] no more.
    pub const FIXED: &[&str] = &["session", "instruments"];

    /// Refuses values outside the documented ranges, naming the first.
    pub fn validate(&self) -> Result<(), AutonomyError> {
        let (g, m, c, k, r) = (&self.gate, &self.motion, &self.clearance, &self.centre, &self.retract);
        let table = [
            ("gate.scene_max_age", g.scene_max_age, 0.05, 2.0),
            ("gate.arm_max_age", g.arm_max_age, 0.02, 1.0),
            ("gate.safety_max_age", g.safety_max_age, 0.1, 5.0),
            ("gate.doubt_for", g.doubt_for, 0.0, 2.0),
            ("gate.rest_angular", g.rest_angular, 0.001, 1.0),
            ("gate.rest_linear", g.rest_linear, 0.0001, 0.1),
            ("gate.start_angular", g.start_angular, 0.001, 0.2),
            ("gate.start_linear", g.start_linear, 0.0001, 0.02),
            ("gate.expiry", g.expiry, 2.0, 120.0),
            ("gate.retry", g.retry, 0.05, 10.0),
            ("gate.settle", g.settle, 0.0, 60.0),
            ("gate.quiet", g.quiet, 0.0, 600.0),
            ("gate.request_lifetime", g.request_lifetime, 1.0, 120.0),
            ("motion.sample_period", m.sample_period, 0.005, 0.1),
            ("motion.servo_period", m.servo_period, 0.0005, 0.01),
            ("motion.limit_fraction", m.limit_fraction, 0.05, 0.9),
            ("motion.range_margin", m.range_margin, 0.0, 0.2),
            ("motion.free_speed", m.free_speed, 0.001, 0.1),
            ("motion.near_speed", m.near_speed, 0.001, 0.05),
            ("motion.near_tissue", m.near_tissue, 0.0, 0.05),
            ("motion.jaw_speed", m.jaw_speed, 0.05, 5.0),
            ("motion.min_depth", m.min_depth, 0.02, 0.15),
            ("motion.max_duration", m.max_duration, 1.0, 40.0),
            ("clearance.critical", c.critical, 0.001, 0.05),
            ("clearance.liver", c.liver, 0.0, 0.05),
            ("clearance.wall", c.wall, 0.0, 0.05),
            ("clearance.tissue", c.tissue, 0.0, 0.05),
            ("clearance.endoscope", c.endoscope, 0.005, 0.1),
            ("clearance.tool", c.tool, 0.001, 0.05),
            ("clearance.sigmas", c.sigmas, 1.0, 5.0),
            ("clearance.max_doubt", c.max_doubt, 0.002, 0.03),
            ("clearance.ageing", c.ageing, 0.0, 0.01),
            ("clearance.hysteresis", c.hysteresis, 0.0, 0.01),
            ("centre.off", k.off, 0.05, 1.0),
            ("centre.on", k.on, 0.01, k.off.min(0.9)),
            ("centre.off_for", k.off_for, 0.0, 30.0),
            ("centre.near", k.near, 0.02, 0.2),
            ("centre.far", k.far, k.near.max(0.03), 0.3),
            ("centre.band", k.band, 0.0, 0.1),
            ("centre.max_turn", k.max_turn, 0.01, 1.0),
            ("centre.max_advance", k.max_advance, 0.001, 0.1),
            ("centre.target_tolerance", k.target_tolerance, 0.001, 0.05),
            ("picture.horizontal", self.picture.horizontal, 0.1, 1.2),
            ("picture.vertical", self.picture.vertical, 0.1, 1.2),
            ("picture.margin", self.picture.margin, 0.0, 0.03),
            ("retract.seen_for", r.seen_for, 0.0, 30.0),
            ("retract.target_tolerance", r.target_tolerance, 0.001, 0.02),
            ("retract.standoff", r.standoff, 0.003, 0.04),
            ("retract.press", r.press, 0.0, 0.004),
            ("retract.lift", r.lift, 0.005, 0.04),
            ("retract.lift_min", r.lift_min, 0.005, r.lift.min(0.04)),
            ("retract.jaw_open", r.jaw_open, 0.1, 1.2),
            ("retract.jaw_closed", r.jaw_closed, -0.3, 0.2),
            ("retract.holding", r.holding, 0.0, 0.03),
        ];
        for (name, value, min, max) in table {
            // Written so that NaN is refused too.
            if !(value >= min && value <= max) {
                return Err(AutonomyError::Parameter { name, value, min, max });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_survive_a_round_trip() {
        let p = AutonomyParams::default();
        p.validate().unwrap();
        let text = serde_json::to_string(&p).unwrap();
        assert_eq!(serde_json::from_str::<AutonomyParams>(&text).unwrap(), p);
    }

    #[test]
    fn missing_unknown_and_out_of_range_keys_are_refused() {
        let mut value = serde_json::to_value(AutonomyParams::default()).unwrap();
        value["motion"]["free_sped"] = 0.1.into();
        assert!(serde_json::from_value::<AutonomyParams>(value.clone()).unwrap_err().to_string().contains("free_sped"));
        let motion = value["motion"].as_object_mut().unwrap();
        motion.remove("free_sped");
        motion.remove("free_speed");
        assert!(serde_json::from_value::<AutonomyParams>(value).unwrap_err().to_string().contains("free_speed"));

        for (edit, name) in [
            ((|p| p.motion.near_speed = 1.0) as fn(&mut AutonomyParams), "motion.near_speed"),
            (|p| p.gate.expiry = f64::NAN, "gate.expiry"),
            (|p| p.centre.on = 0.5, "centre.on"),
            (|p| p.retract.lift_min = 0.02, "retract.lift_min"),
        ] {
            let mut p = AutonomyParams::default();
            edit(&mut p);
            assert!(p.validate().unwrap_err().to_string().contains(name), "{name}");
        }
    }
}

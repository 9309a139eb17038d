//! An independent observer of the whole loop: it counts, measures latency, and judges the commands that reached the arms by its
//! own arithmetic. It shares no code with the safety node, so a mistake there shows here.
//!
//! A *violation* is a command to an arm that breaks a joint position, velocity, acceleration or jerk limit, or that moves an arm in
//! a mode or without a presence that allows motion (after [`BRAKE`], the time a stop may take).

use proctor_kinematics::JointLimits;
use proctor_types::{
    ArmId, Decision, DecisionKind, Diagnosis, Diagnostics, JointCommand, Presence, Proposal, SafetyMode, SafetyState,
    Stamp,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Time a stop may take after its cause: motion later than this is a violation.
pub const BRAKE: Duration = Duration::from_millis(600);

/// Presence older than this does not count as held.
pub const PRESENCE: Duration = Duration::from_millis(100);

/// Nominal period of the safety loop, seconds.
const TICK: f64 = 1e-3;

/// Latency samples kept; at 30 per second this is more than nine hours.
const MAX_SAMPLES: usize = 1 << 20;

/// One thing that must not have happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Violation {
    /// When the command was issued.
    pub stamp: Stamp,
    /// To which arm, if that is known.
    pub arm: Option<ArmId>,
    /// What was broken, with value and limit.
    pub what: String,
}

/// What the demo prints as its last line.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Summary {
    /// Pictures that became a scene.
    pub frames: u64,
    /// Camera stamp to the first command cleared with that picture's scene, mean, milliseconds.
    pub latency_ms_mean: f64,
    /// The same, 99th percentile.
    pub latency_ms_p99: f64,
    /// Motions suggested.
    pub proposals: u64,
    /// Approvals sent by operators.
    pub approved: u64,
    /// Motions run to their end.
    pub executed: u64,
    /// Commands refused by the safety node.
    pub refused: u64,
    /// Violations found by this monitor and by the safety node's own check.
    pub violations: u64,
    /// Ticks of the safety loop that took longer than their period.
    pub overruns: u64,
    /// How long which reason stood for a suggestion or none, seconds, as autonomy counts.
    pub suggestions_s: BTreeMap<String, f64>,
}

#[derive(Default)]
struct ArmTrack {
    /// The last three commands, newest first.
    last: Option<JointCommand>,
    before: Option<JointCommand>,
    first: Option<JointCommand>,
}

/// The observer; see the module's head.
pub struct Monitor {
    limits: [JointLimits; 3],
    arms: [ArmTrack; 3],
    state: Option<SafetyState>,
    motion_allowed_until: Option<Stamp>,
    presence: Option<Presence>,
    scene: Option<Stamp>,
    frames: u64,
    latencies: Vec<f32>,
    proposals: BTreeSet<u64>,
    approved: BTreeSet<u64>,
    violations: Vec<Violation>,
    violation_count: u64,
    suggestions_s: BTreeMap<String, f64>,
}

/// Violations kept in full; all are counted.
const MAX_VIOLATIONS: usize = 100;

impl Monitor {
    /// Judges by these limits, in [`ArmId::ALL`]'s order.
    pub fn new(limits: [JointLimits; 3]) -> Self {
        Self {
            limits,
            arms: Default::default(),
            state: None,
            motion_allowed_until: None,
            presence: None,
            scene: None,
            frames: 0,
            latencies: Vec::new(),
            proposals: BTreeSet::new(),
            approved: BTreeSet::new(),
            violations: Vec::new(),
            violation_count: 0,
            suggestions_s: BTreeMap::new(),
        }
    }

    /// A scene of the picture with this stamp arrived.
    pub fn on_scene(&mut self, picture: Stamp) {
        self.frames += 1;
        self.scene = Some(picture);
    }

    /// The safety node reported.
    pub fn on_state(&mut self, state: SafetyState) {
        self.state = Some(state);
    }

    /// Autonomy suggested.
    pub fn on_proposal(&mut self, proposal: &Proposal) {
        self.proposals.insert(proposal.id.0);
    }

    /// A node said how it fares; of that only what autonomy says of its suggestions counts.
    pub fn on_diagnostics(&mut self, said: &Diagnostics) {
        if let Some(one) = said.all.iter().find(|one| one.name == Diagnosis::SUGGESTIONS) {
            let seconds = one.values.iter().filter_map(|(why, s)| Some((why.clone(), s.parse().ok()?)));
            self.suggestions_s = seconds.collect();
        }
    }

    /// An operator decided.
    pub fn on_decision(&mut self, decision: &Decision) {
        if decision.kind == DecisionKind::Approve {
            self.approved.insert(decision.proposal.0);
        }
    }

    /// An operator holds or released.
    pub fn on_presence(&mut self, presence: Presence) {
        self.presence = Some(presence);
    }

    /// Call once per poll, before the commands of that poll: keeps track of when motion was last allowed.
    pub fn on_tick(&mut self, now: Stamp) {
        let held = self.presence.is_some_and(|p| p.held && p.stamp.age(now) <= PRESENCE);
        let allowed = match self.state.map(|s| s.mode) {
            Some(SafetyMode::Supervised) => held,
            Some(SafetyMode::Teleop) => true,
            Some(SafetyMode::Disabled | SafetyMode::Ready | SafetyMode::Hold | SafetyMode::Fault) | None => false,
        };
        if allowed {
            self.motion_allowed_until = Some(now.plus(BRAKE));
        }
    }

    /// A command reached an arm.
    pub fn on_command(&mut self, now: Stamp, command: JointCommand) {
        if let Some(picture) = self.scene.take()
            && self.latencies.len() < MAX_SAMPLES
        {
            self.latencies.push((command.stamp.seconds_since(picture) * 1e3) as f32);
        }
        let i = command.arm.index();
        let broken = self.judge(&self.limits[i], &self.arms[i], now, &command);
        for what in broken {
            self.violation_count += 1;
            if self.violations.len() < MAX_VIOLATIONS {
                self.violations.push(Violation { stamp: command.stamp, arm: Some(command.arm), what });
            }
        }
        let track = &mut self.arms[i];
        track.first = track.before;
        track.before = track.last;
        track.last = Some(command);
    }

    /// Something that is no command was sent to an arm: always a violation.
    pub fn on_malformed(&mut self, now: Stamp, what: &str) {
        self.violation_count += 1;
        if self.violations.len() < MAX_VIOLATIONS {
            let what = format!("malformed command: {what}");
            self.violations.push(Violation { stamp: now, arm: None, what });
        }
    }

    fn judge(&self, limits: &JointLimits, track: &ArmTrack, now: Stamp, command: &JointCommand) -> Vec<String> {
        let mut broken = Vec::new();
        for (j, &x) in command.position.iter().enumerate() {
            check(&mut broken, "position", j, x, limits.upper[j]);
            check(&mut broken, "negative position", j, -x, -limits.lower[j]);
        }
        let Some(last) = track.last else { return broken };
        let dt = command.stamp.seconds_since(last.stamp);
        if dt <= 0.0 {
            broken.push(format!("stamp went back by {:.6} s", -dt));
            return broken;
        }
        let before = track.before.filter(|b| one_tick(last.stamp, b.stamp) && one_tick(command.stamp, last.stamp));
        let first = track.first.zip(before).filter(|(f, b)| one_tick(b.stamp, f.stamp)).map(|(f, _)| f);
        for (j, (&x, &x0)) in command.position.iter().zip(last.position.iter()).enumerate() {
            // Jitter of the wall clock between two ticks is not a faster motion: never judge by less than a tick.
            check(&mut broken, "velocity", j, (x - x0).abs() / dt.max(TICK), limits.velocity[j]);
            if let Some(b) = before {
                let acceleration = (x - 2.0 * x0 + b.position[j]).abs() / (TICK * TICK);
                check(&mut broken, "acceleration", j, acceleration, limits.acceleration[j]);
                if let Some(f) = first {
                    let jerk = (x - 3.0 * x0 + 3.0 * b.position[j] - f.position[j]).abs() / (TICK * TICK * TICK);
                    check(&mut broken, "jerk", j, jerk, limits.jerk[j]);
                }
            }
        }
        let moved = command.position.iter().zip(last.position.iter()).any(|(x, x0)| (x - x0).abs() > 1e-9);
        if moved && self.motion_allowed_until.is_none_or(|until| until < now) {
            broken.push(format!("motion in mode {:?} without presence", self.state.map(|s| s.mode)));
        }
        broken
    }

    /// What was found so far (the first hundred in full).
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    /// The figures so far.
    pub fn summary(&self) -> Summary {
        let mut sorted = self.latencies.clone();
        sorted.sort_unstable_by(f32::total_cmp);
        let mean = sorted.iter().map(|&x| f64::from(x)).sum::<f64>() / sorted.len().max(1) as f64;
        let p99 = sorted.get((sorted.len() * 99 / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or(0.0);
        let round = |x: f64| (x * 1000.0).round() / 1000.0;
        Summary {
            frames: self.frames,
            latency_ms_mean: round(mean),
            latency_ms_p99: round(f64::from(p99)),
            proposals: self.proposals.len() as u64,
            approved: self.approved.len() as u64,
            executed: self.state.map_or(0, |s| s.executed),
            refused: self.state.map_or(0, |s| s.refused),
            violations: self.violation_count + self.state.map_or(0, |s| s.violations),
            overruns: self.state.map_or(0, |s| s.overruns),
            suggestions_s: self.suggestions_s.clone(),
        }
    }
}

/// Whether two commands are consecutive ticks of the safety loop (none was missed in between).
fn one_tick(later: Stamp, earlier: Stamp) -> bool {
    (0.5 * TICK..1.5 * TICK).contains(&later.seconds_since(earlier))
}

fn check(broken: &mut Vec<String>, what: &str, joint: usize, value: f64, limit: f64) {
    // Second differences of positions near 1 at 1 kHz carry rounding of about 1e-9 in acceleration units of 1e-3.
    if value > limit + limit.abs() * 1e-6 + 1e-6 {
        broken.push(format!("{what} of joint {joint}: {value:.6} > {limit:.6}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_kinematics::JawLimits;
    use proctor_types::Joints;

    fn at(ms: i64) -> Stamp {
        Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
    }

    fn monitor() -> Monitor {
        let limits = |n| JointLimits {
            slides: [false; proctor_types::MAX_JOINTS],
            lower: Joints::new(&vec![-1.0; n]).unwrap(),
            upper: Joints::new(&vec![1.0; n]).unwrap(),
            velocity: Joints::new(&vec![1.0; n]).unwrap(),
            acceleration: Joints::new(&vec![10.0; n]).unwrap(),
            jerk: Joints::new(&vec![10_000.0; n]).unwrap(),
            jaw: JawLimits::default(),
        };
        Monitor::new([limits(6), limits(6), limits(4)])
    }

    fn ecm(ms: i64, q: f64) -> JointCommand {
        JointCommand { arm: ArmId::Ecm, stamp: at(ms), position: Joints::new(&[q, 0.0, 0.1, 0.0]).unwrap() }
    }

    fn hold(m: &mut Monitor, ms: i64) {
        let state = SafetyState {
            stamp: at(ms),
            tick: 0,
            boot: proctor_types::Boot(1),
            mode: SafetyMode::Supervised,
            cause: proctor_types::Constraint::None,
            e_stop: false,
            autonomy_level: 2,
            active: proctor_types::Digest::default(),
            progress: 0.0,
            moving: true,
            executed: 0,
            refused: 0,
            violations: 0,
            overruns: 0,
            shadow: false,
        };
        m.on_state(state);
        m.on_presence(Presence {
            stamp: at(ms),
            seq: 1,
            operator: proctor_types::OperatorId(1),
            held: true,
            digest: proctor_types::Digest::default(),
        });
        m.on_tick(at(ms));
    }

    /// Feeds positions one tick apart while held; returns what was found.
    fn found(positions: &[f64]) -> Vec<String> {
        let mut m = monitor();
        hold(&mut m, 0);
        for (i, &q) in positions.iter().enumerate() {
            m.on_command(at(i as i64), ecm(i as i64, q));
        }
        m.violations().iter().map(|v| v.what.clone()).collect()
    }

    #[test]
    fn each_broken_limit_is_found_and_named() {
        assert_eq!(found(&[0.0, 9e-6, 2.7e-5]), Vec::<String>::new());
        assert_eq!(found(&[1.1]), ["position of joint 0: 1.100000 > 1.000000"]);
        assert_eq!(found(&[-1.1]), ["negative position of joint 0: 1.100000 > 1.000000"]);
        assert_eq!(found(&[0.0, 0.002]), ["velocity of joint 0: 2.000000 > 1.000000"]);
        assert_eq!(found(&[0.0, 0.0, 1.2e-5]), ["acceleration of joint 0: 12.000000 > 10.000000"]);
        // From an acceleration of 8 rad/s^2 to one of -8 within a tick.
        assert_eq!(found(&[0.0, 0.0, 8e-6, 8e-6]), ["jerk of joint 0: 16000.000000 > 10000.000000"]);
    }

    #[test]
    fn motion_later_than_a_stop_after_the_last_held_presence_is_a_violation() {
        let mut m = monitor();
        hold(&mut m, 0);
        m.on_tick(at(100));
        m.on_command(at(100), ecm(100, 0.0));
        m.on_tick(at(690));
        m.on_command(at(690), ecm(690, 0.001));
        assert_eq!(m.violations(), []);
        m.on_tick(at(710));
        m.on_command(at(710), ecm(710, 0.002));
        assert_eq!(m.violations().len(), 1);
        assert!(m.violations()[0].what.starts_with("motion in mode"), "{:?}", m.violations());
    }

    #[test]
    fn the_summary_says_for_how_long_which_reason_stood() {
        let mut m = monitor();
        let said = |name: &str, seconds: &str| Diagnostics {
            stamp: at(0),
            all: vec![Diagnosis {
                name: name.to_owned(),
                values: vec![("PSM1 is aligning".to_owned(), seconds.to_owned())],
                ..Diagnosis::default()
            }],
        };
        m.on_diagnostics(&said(Diagnosis::SUGGESTIONS, "1.0"));
        m.on_diagnostics(&said(Diagnosis::SUGGESTIONS, "2.5"));
        m.on_diagnostics(&said("fusion: PSM1", "7.0"));
        let line = serde_json::to_value(m.summary()).unwrap();
        assert_eq!(line["suggestions_s"], serde_json::json!({"PSM1 is aligning": 2.5}));
    }

    #[test]
    fn latency_is_from_the_picture_to_the_first_command_after_its_scene() {
        let mut m = monitor();
        for (picture, command) in [(0, 50), (100, 130)] {
            m.on_scene(at(picture));
            m.on_command(at(command), ecm(command, 0.0));
            m.on_command(at(command + 1), ecm(command + 1, 0.0));
        }
        let s = m.summary();
        assert_eq!((s.frames, s.latency_ms_mean, s.latency_ms_p99), (2, 40.0, 50.0));
    }
}

//! One arm as a robot controller runs it: commands in, joints out.

use crate::{Machine, Refusal, Servo, TICK, TICK_S};
use proctor_kinematics::{JawLimits, JointLimits};
use proctor_types::{ArmId, InvalidValue, Joints, OperatingState, StateRequest};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// How a simulated arm behaves.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArmConfig {
    /// From a command's arrival to its effect, s in files, 0 to 0.2.
    #[serde(with = "crate::seconds")]
    pub latency: Duration,
    /// Natural frequency of the joints' tracking, rad/s, 10 to 400.
    pub bandwidth: f64,
    /// If set, a stream of `servo_*` that pauses for longer (s in files) makes the arm hold. CRTK itself has no such
    /// time-out.
    #[serde(with = "crate::seconds::option")]
    pub watchdog: Option<Duration>,
    /// How long homing takes, s in files, 0 to 60.
    #[serde(with = "crate::seconds")]
    pub homing: Duration,
    /// Powered and homed from the start, instead of DISABLED.
    pub starts_ready: bool,
    /// Opening of the jaws at the start, rad, 0 to 1.
    pub jaw: f64,
}

impl ArmConfig {
    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), InvalidValue> {
        let watchdog = self.watchdog.unwrap_or(Duration::from_millis(30)).as_secs_f64();
        for (what, value, min, max) in [
            ("arm latency (s)", self.latency.as_secs_f64(), 0.0, 0.2),
            ("arm bandwidth (rad/s)", self.bandwidth, 10.0, 400.0),
            ("arm watchdog (s)", watchdog, 0.002, 10.0),
            ("arm homing (s)", self.homing.as_secs_f64(), 0.0, 60.0),
            ("jaw at the start (rad)", self.jaw, 0.0, 1.0),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidValue::Range { what, value, min, max });
            }
        }
        Ok(())
    }
}

impl Default for ArmConfig {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(2),
            bandwidth: 120.0,
            jaw: 0.0,
            watchdog: None,
            homing: Duration::from_millis(500),
            starts_ready: false,
        }
    }
}

/// What an arm can be told, CRTK's names.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// `servo_jp`: follow at once; ends a running `move_jp`.
    ServoJp(Joints),
    /// `move_jp`: go there after the moves already queued.
    MoveJp(Joints),
    /// `jaw/servo_jp`, rad.
    ServoJaw(f64),
    /// `hold`: stop and drop queued moves.
    Hold,
    /// `state_command`.
    State(StateRequest),
}

/// A command that was not, or not fully, obeyed. Nothing else changes.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum Warning {
    /// The state machine refused.
    #[error(transparent)]
    State(#[from] Refusal),
    /// Motion was commanded while the arm was not ready (ENABLED and homed).
    #[error("motion command ignored: the arm is {} and {}", .state.name(), if *.is_homed { "homed" } else { "not homed" })]
    NotReady {
        /// The arm's state.
        state: OperatingState,
        /// Whether it is homed.
        is_homed: bool,
    },
    /// Another number of joints than the arm has.
    #[error("motion command ignored: {got} joints for an arm of {expected}")]
    Length {
        /// The arm's.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// A goal was beyond a limit and was moved onto it.
    #[error("joint {joint}: goal {goal} moved onto limit {limit}")]
    Clamped {
        /// Which joint, from 0; the jaw counts as the joint after the last.
        joint: usize,
        /// The goal.
        goal: f64,
        /// The limit.
        limit: f64,
    },
    /// The arm has no jaw.
    #[error("jaw command ignored: the arm has no jaw")]
    NoJaw,
    /// A jaw goal was not a number.
    #[error("jaw command ignored: goal {0} is not finite")]
    NotFinite(f64),
    /// `move_jp` came while [`PlantArm::MAX_MOVES`] were waiting.
    #[error("move ignored: {} moves are waiting already", PlantArm::MAX_MOVES)]
    MovesFull,
    /// More than [`PlantArm::MAX_IN_FLIGHT`] commands within the latency; the newest was dropped.
    #[error("command dropped: {} are in flight already", PlantArm::MAX_IN_FLIGHT)]
    InFlightFull,
    /// The stream of `servo_*` stopped; the arm holds.
    #[error("no servo command for {0:?}: holding")]
    Watchdog(Duration),
}

/// What went wrong since the last look: the first few in full, the rest counted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Warnings {
    /// The first [`Warnings::KEPT`].
    pub first: Vec<Warning>,
    /// All of them.
    pub count: u64,
}

impl Warnings {
    /// Bound on [`Warnings::first`].
    pub const KEPT: usize = 8;

    fn push(&mut self, warning: Warning) {
        self.count += 1;
        if self.first.len() < Self::KEPT {
            self.first.push(warning);
        }
    }
}

/// What the joints are doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Stay at the set-point.
    Hold,
    /// Follow `servo_jp`; ticks since the last one.
    Servo { silent: u32 },
    /// Go through the queued moves.
    Move,
}

/// One arm: believes its encoders, obeys CRTK commands, stays within its limits.
#[derive(Debug, Clone)]
pub struct PlantArm {
    arm: ArmId,
    config: ArmConfig,
    machine: Machine,
    joints: Vec<Servo>,
    jaw: Option<Servo>,
    setpoint: Joints,
    jaw_setpoint: f64,
    mode: Mode,
    moves: VecDeque<Joints>,
    in_flight: VecDeque<(u64, Command)>,
    homing_left: u32,
    ticks: u64,
    warnings: Warnings,
}

impl PlantArm {
    /// Most waiting `move_jp`.
    pub const MAX_MOVES: usize = 16;
    /// Most commands that have arrived but not taken effect yet.
    pub const MAX_IN_FLIGHT: usize = 1024;
    /// A move is done when every joint is this close (rad or m) and this slow (per second).
    const SETTLED: f64 = 2e-4;

    /// At rest at `start` (moved into the limits).
    pub fn new(arm: ArmId, limits: &JointLimits, start: &Joints, config: ArmConfig) -> Self {
        let start = limits.clamp(start);
        let joints = (0..start.len()).map(|i| {
            Servo::new(start[i], (limits.lower[i], limits.upper[i]), limits.velocity[i], limits.acceleration[i])
        });
        let jaw = limits.jaw;
        let has_jaw = arm.has_jaw() && jaw != JawLimits::default();
        let jaw = has_jaw.then(|| Servo::new(config.jaw, (jaw.lower, jaw.upper), jaw.velocity, jaw.acceleration));
        Self {
            arm,
            config,
            machine: if config.starts_ready { Machine::ready() } else { Machine::default() },
            joints: joints.collect(),
            jaw,
            setpoint: start,
            jaw_setpoint: if has_jaw { config.jaw } else { 0.0 },
            mode: Mode::Hold,
            moves: VecDeque::with_capacity(Self::MAX_MOVES),
            in_flight: VecDeque::with_capacity(Self::MAX_IN_FLIGHT),
            homing_left: 0,
            ticks: 0,
            warnings: Warnings::default(),
        }
    }

    /// Which arm.
    pub fn id(&self) -> ArmId {
        self.arm
    }

    /// The operating state machine.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// CRTK `is_busy`: homing or moving through `move_jp`.
    pub fn is_busy(&self) -> bool {
        self.machine.is_homing() || self.mode == Mode::Move
    }

    /// Joint positions as the encoders say.
    pub fn position(&self) -> Joints {
        self.each(Servo::position)
    }

    /// Joint velocities as the encoders say.
    pub fn velocity(&self) -> Joints {
        self.each(Servo::velocity)
    }

    fn each(&self, f: impl Fn(&Servo) -> f64) -> Joints {
        let mut out = [0.0; proctor_types::MAX_JOINTS];
        for (slot, servo) in out.iter_mut().zip(&self.joints) {
            *slot = f(servo);
        }
        Joints::new(&out[..self.joints.len()]).unwrap_or(Joints::zeros(self.joints.len()))
    }

    /// What the joints are steered towards (CRTK `setpoint_js`).
    pub fn setpoint(&self) -> Joints {
        self.setpoint
    }

    /// Jaw angle, rad; 0 without a jaw.
    pub fn jaw(&self) -> f64 {
        self.jaw.as_ref().map_or(0.0, Servo::position)
    }

    /// What the jaw is steered towards, rad; 0 without a jaw.
    pub fn jaw_setpoint(&self) -> f64 {
        self.jaw_setpoint
    }

    /// Warnings since the last call.
    pub fn take_warnings(&mut self) -> Warnings {
        std::mem::take(&mut self.warnings)
    }

    /// A command arrives; it takes effect [`ArmConfig::latency`] later.
    pub fn command(&mut self, command: Command) {
        if self.in_flight.len() >= Self::MAX_IN_FLIGHT {
            return self.warnings.push(Warning::InFlightFull);
        }
        let delay = (self.config.latency.as_micros() / TICK.as_micros()) as u64;
        self.in_flight.push_back((self.ticks + delay, command));
    }

    /// The robot stops itself (fault injection).
    pub fn fault(&mut self) {
        self.machine.fault();
        self.hold();
    }

    /// The joints are found elsewhere than believed, at rest, while nothing drives them; another number of joints than the arm has changes nothing.
    pub fn found_at(&mut self, position: &Joints, jaw: f64) {
        if self.machine.state() == OperatingState::Enabled || position.len() != self.joints.len() {
            return;
        }
        self.joints.iter_mut().zip(position.iter()).for_each(|(servo, at)| servo.found_at(*at));
        if let Some(servo) = &mut self.jaw {
            servo.found_at(jaw);
        }
        self.hold();
    }

    /// One tick of 1 ms.
    pub fn step(&mut self) {
        while self.in_flight.front().is_some_and(|(due, _)| *due <= self.ticks) {
            if let Some((_, command)) = self.in_flight.pop_front()
                && let Err(warning) = self.obey(command)
            {
                self.warnings.push(warning);
            }
        }
        self.ticks += 1;
        self.run_homing();
        self.run_watchdog();
        if self.machine.state() == OperatingState::Enabled {
            self.track();
        } else {
            self.joints.iter_mut().chain(&mut self.jaw).for_each(Servo::brake);
        }
        self.run_moves();
    }

    fn track(&mut self) {
        for (servo, &target) in self.joints.iter_mut().zip(self.setpoint.iter()) {
            servo.step(target, self.config.bandwidth);
        }
        if let Some(jaw) = &mut self.jaw {
            jaw.step(self.jaw_setpoint, self.config.bandwidth);
        }
    }

    fn run_homing(&mut self) {
        if self.machine.is_homing() {
            self.homing_left = self.homing_left.saturating_sub(1);
            if self.homing_left == 0 {
                self.machine.finish_homing();
            }
        }
    }

    fn run_watchdog(&mut self) {
        let Mode::Servo { silent } = &mut self.mode else { return };
        *silent = silent.saturating_add(1);
        let silent = f64::from(*silent) * TICK_S;
        if let Some(limit) = self.config.watchdog.filter(|limit| silent > limit.as_secs_f64()) {
            self.hold();
            self.warnings.push(Warning::Watchdog(limit));
        }
    }

    fn run_moves(&mut self) {
        if self.mode != Mode::Move {
            return;
        }
        let there = self.joints.iter().zip(self.setpoint.iter()).all(|(s, &goal)| s.settled(goal, Self::SETTLED));
        if there {
            match self.moves.pop_front() {
                Some(next) => self.setpoint = next,
                None => self.mode = Mode::Hold,
            }
        }
    }

    /// Stops as fast as the limits allow and stays there; drops queued moves.
    fn hold(&mut self) {
        self.moves.clear();
        self.mode = Mode::Hold;
        self.setpoint = self.each(Servo::stopping_point);
        self.jaw_setpoint = self.jaw.as_ref().map_or(0.0, Servo::stopping_point);
        self.joints.iter_mut().chain(&mut self.jaw).for_each(Servo::forget_target);
    }

    fn obey(&mut self, command: Command) -> Result<(), Warning> {
        match command {
            Command::State(request) => return self.obey_state(request),
            Command::Hold => {
                self.check_ready()?;
                self.hold();
            }
            Command::ServoJp(goal) => {
                let goal = self.check_goal(&goal)?;
                self.moves.clear();
                self.setpoint = goal;
                self.mode = Mode::Servo { silent: 0 };
            }
            Command::MoveJp(goal) => {
                if self.moves.len() >= Self::MAX_MOVES {
                    return Err(Warning::MovesFull);
                }
                let goal = self.check_goal(&goal)?;
                if self.mode == Mode::Move {
                    self.moves.push_back(goal);
                } else {
                    self.setpoint = goal;
                    self.mode = Mode::Move;
                }
            }
            Command::ServoJaw(goal) => self.obey_jaw(goal)?,
        }
        Ok(())
    }

    fn obey_state(&mut self, request: StateRequest) -> Result<(), Warning> {
        self.machine.request(request)?;
        if self.machine.is_homing() {
            self.homing_left = (self.config.homing.as_micros() / TICK.as_micros()) as u32;
        }
        // Whatever was commanded before belongs to the old state.
        self.hold();
        Ok(())
    }

    fn obey_jaw(&mut self, goal: f64) -> Result<(), Warning> {
        let jaw = self.jaw.ok_or(Warning::NoJaw)?;
        self.check_ready()?;
        if !goal.is_finite() {
            return Err(Warning::NotFinite(goal));
        }
        self.jaw_setpoint = jaw.within(goal);
        self.warn_clamped(self.joints.len(), goal, self.jaw_setpoint);
        Ok(())
    }

    fn check_ready(&self) -> Result<(), Warning> {
        let (state, is_homed) = (self.machine.state(), self.machine.is_homed());
        if self.machine.is_ready() { Ok(()) } else { Err(Warning::NotReady { state, is_homed }) }
    }

    /// The goal moved into the limits, if the arm may move at all.
    fn check_goal(&mut self, goal: &Joints) -> Result<Joints, Warning> {
        self.check_ready()?;
        if goal.len() != self.joints.len() {
            return Err(Warning::Length { expected: self.joints.len(), got: goal.len() });
        }
        let mut clamped = [0.0; proctor_types::MAX_JOINTS];
        for (joint, (&goal, slot)) in goal.iter().zip(&mut clamped).enumerate() {
            *slot = self.joints[joint].within(goal);
            self.warn_clamped(joint, goal, *slot);
        }
        Ok(Joints::new(&clamped[..goal.len()]).unwrap_or(*goal))
    }

    fn warn_clamped(&mut self, joint: usize, goal: f64, limit: f64) {
        if goal != limit {
            self.warnings.push(Warning::Clamped { joint, goal, limit });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_kinematics::{Chain, Instrument};
    use proptest::prelude::*;

    fn limits() -> JointLimits {
        *Chain::psm(&Instrument::named(Instrument::DEFAULT).unwrap()).unwrap().limits()
    }

    fn start() -> Joints {
        Joints::new(&[0.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap()
    }

    fn ready(config: ArmConfig) -> PlantArm {
        PlantArm::new(ArmId::Psm1, &limits(), &start(), ArmConfig { starts_ready: true, ..config })
    }

    fn run(arm: &mut PlantArm, ticks: u32) {
        (0..ticks).for_each(|_| arm.step());
    }

    fn goal(q1: f64) -> Joints {
        Joints::new(&[q1, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap()
    }

    #[test]
    fn an_arm_that_was_moved_by_hand_is_where_it_is_found_but_not_while_it_drives() {
        let mut arm = ready(ArmConfig::default());
        arm.found_at(&goal(0.3), 0.2);
        assert_eq!(arm.position(), start(), "it drives");
        arm.command(Command::State(StateRequest::Disable));
        run(&mut arm, 10);
        arm.found_at(&goal(0.3), 0.2);
        arm.found_at(&Joints::zeros(4), 0.0);
        run(&mut arm, 10);
        assert_eq!((arm.position(), arm.setpoint(), arm.jaw()), (goal(0.3), goal(0.3), 0.2));
    }

    #[test]
    fn a_new_arm_is_disabled_unhomed_and_ignores_motion() {
        let mut arm = PlantArm::new(ArmId::Psm1, &limits(), &start(), ArmConfig::default());
        arm.command(Command::ServoJp(goal(0.3)));
        arm.command(Command::MoveJp(goal(0.3)));
        arm.command(Command::ServoJaw(0.5));
        run(&mut arm, 200);
        assert_eq!((arm.machine().state(), arm.position(), arm.jaw()), (OperatingState::Disabled, start(), 0.0));
        let warnings = arm.take_warnings();
        let expected = Warning::NotReady { state: OperatingState::Disabled, is_homed: false };
        assert_eq!((warnings.count, warnings.first), (3, vec![expected; 3]));
    }

    #[test]
    fn enable_home_move_and_busy_falls_when_the_move_is_done() {
        let mut arm = PlantArm::new(ArmId::Psm1, &limits(), &start(), ArmConfig::default());
        arm.command(Command::State(StateRequest::Enable));
        arm.command(Command::State(StateRequest::Home));
        run(&mut arm, 100);
        assert!(arm.is_busy() && !arm.machine().is_ready());
        run(&mut arm, 500);
        assert!(!arm.is_busy() && arm.machine().is_ready());
        arm.command(Command::MoveJp(goal(0.3)));
        arm.command(Command::MoveJp(goal(0.1)));
        let (mut highest, mut ticks) = (0.0_f64, 0);
        run(&mut arm, 5);
        while arm.is_busy() && ticks < 5000 {
            arm.step();
            highest = highest.max(arm.position()[0]);
            ticks += 1;
        }
        assert!((highest - 0.3).abs() < 1e-3, "the first move was completed: {highest}");
        assert!((arm.position()[0] - 0.1).abs() < 1e-3);
        assert_eq!(arm.take_warnings(), Warnings::default());
    }

    #[test]
    fn a_command_takes_effect_after_the_latency_and_not_before() {
        let latency = Duration::from_millis(40);
        let mut arm = ready(ArmConfig { latency, ..ArmConfig::default() });
        arm.command(Command::ServoJp(goal(0.3)));
        run(&mut arm, 40);
        assert_eq!(arm.position(), start());
        run(&mut arm, 10);
        assert!(arm.position()[0] > 0.0);
    }

    #[test]
    fn hold_pause_disable_and_fault_stop_within_the_limits_and_drop_queued_moves() {
        let stops: [fn(&mut PlantArm); 4] = [
            |arm| arm.command(Command::Hold),
            |arm| arm.command(Command::State(StateRequest::Pause)),
            |arm| arm.command(Command::State(StateRequest::Disable)),
            PlantArm::fault,
        ];
        for stop in stops {
            let mut arm = ready(ArmConfig { latency: Duration::ZERO, ..ArmConfig::default() });
            arm.command(Command::MoveJp(goal(1.0)));
            arm.command(Command::MoveJp(goal(-1.0)));
            run(&mut arm, 500);
            let (q, v) = (arm.position()[0], arm.velocity()[0]);
            assert!((v - 1.2).abs() < 1e-6, "at full speed: {v}");
            stop(&mut arm);
            run(&mut arm, 1000);
            // v^2 / 2a with 6 rad/s^2; planned braking uses at least 60 % of it.
            let travelled = arm.position()[0] - q;
            assert!((0.119..0.21).contains(&travelled), "{travelled}");
            assert!(arm.velocity()[0].abs() < 1e-6 && !arm.is_busy());
        }
    }

    #[test]
    fn goals_beyond_limits_are_moved_onto_them_with_a_warning() {
        let mut arm = ready(ArmConfig::default());
        arm.command(Command::ServoJp(Joints::new(&[9.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap()));
        arm.command(Command::ServoJaw(-7.0));
        run(&mut arm, 5000);
        assert!((arm.position()[0] - 1.588).abs() < 1e-4 && (arm.jaw() + 0.698132).abs() < 1e-4);
        assert_eq!(
            arm.take_warnings().first,
            [
                Warning::Clamped { joint: 0, goal: 9.0, limit: 1.588 },
                Warning::Clamped { joint: 6, goal: -7.0, limit: -0.698132 }
            ]
        );
    }

    #[test]
    fn queues_are_bounded_and_say_so() {
        let mut arm = ready(ArmConfig { latency: Duration::ZERO, ..ArmConfig::default() });
        for _ in 0..=PlantArm::MAX_MOVES + 1 {
            arm.command(Command::MoveJp(goal(0.5)));
        }
        arm.step();
        assert_eq!(arm.take_warnings().first, [Warning::MovesFull], "one runs, {} wait", PlantArm::MAX_MOVES);
        for _ in 0..=PlantArm::MAX_IN_FLIGHT {
            arm.command(Command::Hold);
        }
        assert_eq!(arm.take_warnings().first, [Warning::InFlightFull]);
    }

    #[test]
    fn wrong_lengths_nan_jaws_and_the_ecms_jaw_are_refused() {
        let mut arm = ready(ArmConfig::default());
        arm.command(Command::ServoJp(Joints::zeros(4)));
        arm.command(Command::ServoJaw(f64::NAN));
        run(&mut arm, 100);
        let warnings = arm.take_warnings().first;
        assert_eq!(warnings[0], Warning::Length { expected: 6, got: 4 });
        assert!(matches!(warnings[1], Warning::NotFinite(x) if x.is_nan()));
        let ecm = Chain::ecm().unwrap();
        let config = ArmConfig { starts_ready: true, ..ArmConfig::default() };
        let mut arm = PlantArm::new(ArmId::Ecm, ecm.limits(), &ecm.mid_range(), config);
        arm.command(Command::ServoJaw(0.1));
        run(&mut arm, 10);
        assert_eq!(arm.take_warnings().first, [Warning::NoJaw]);
    }

    #[test]
    fn the_watchdog_holds_when_the_stream_stops_and_only_then() {
        let watchdog = Some(Duration::from_millis(30));
        let mut arm = ready(ArmConfig { watchdog, latency: Duration::ZERO, ..ArmConfig::default() });
        for _ in 0..200 {
            arm.command(Command::ServoJp(goal(1.0)));
            arm.step();
        }
        assert_eq!(arm.take_warnings().count, 0);
        run(&mut arm, 2000);
        assert_eq!(arm.take_warnings().first, [Warning::Watchdog(Duration::from_millis(30))]);
        assert!(arm.position()[0] < 0.6 && arm.velocity()[0].abs() < 1e-6);
    }

    fn any_command() -> impl Strategy<Value = Command> {
        let joints = proptest::collection::vec(prop_oneof![-5.0..5.0_f64, Just(1e300), Just(-1e300)], 5..8)
            .prop_map(|v| Joints::new(&v).unwrap());
        prop_oneof![
            4 => joints.clone().prop_map(Command::ServoJp),
            2 => joints.prop_map(Command::MoveJp),
            1 => prop_oneof![-5.0..5.0_f64, Just(f64::NAN), Just(f64::INFINITY)].prop_map(Command::ServoJaw),
            1 => Just(Command::Hold),
            2 => prop::sample::select(&StateRequest::ALL[..]).prop_map(Command::State),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 300, failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(2), ..ProptestConfig::default()
        })]

        #[test]
        fn no_sequence_of_commands_makes_the_arm_exceed_its_limits(
            script in proptest::collection::vec((any_command(), 0..120_u32), 1..40),
            ready in any::<bool>(),
        ) {
            let limits = limits();
            let config = ArmConfig { starts_ready: ready, homing: Duration::from_millis(20), ..ArmConfig::default() };
            let mut arm = PlantArm::new(ArmId::Psm1, &limits, &start(), config);
            for (command, ticks) in script {
                arm.command(command);
                for _ in 0..ticks {
                    let before = arm.velocity();
                    arm.step();
                    let (q, v) = (arm.position(), arm.velocity());
                    prop_assert!(limits.contains(&q));
                    prop_assert!(arm.jaw() >= limits.jaw.lower && arm.jaw() <= limits.jaw.upper);
                    for i in 0..6 {
                        prop_assert!(v[i].abs() <= limits.velocity[i]);
                        let most = limits.acceleration[i] * TICK_S * (1.0 + 1e-9);
                        prop_assert!((v[i] - before[i]).abs() <= most);
                    }
                }
            }
        }
    }
}

//! An arm that does everything right, or one thing wrong. Written apart from the simulator, so that the probe is measured against two arms.

use proctor_bus::{Bus, Node, Publisher, Subscriber, Topic, graph};
use proctor_conformance::{AsIs, Level, Options, ProbeNode, Report};
use proctor_kinematics::{Chain, Instrument};
use proctor_msgs::{
    builtin_interfaces::Time,
    crtk_msgs::{OperatingState, StringStamped},
    geometry_msgs::{Point, Pose, PoseStamped, Quaternion},
    sensor_msgs::JointState,
    std_msgs::Header,
    wire::PSM_JOINTS,
};
use proctor_types::{ArmId, Stamp};
use std::time::Duration;

pub const ARM: ArmId = ArmId::Psm1;
const ROLL: usize = 3;
const HOME: [f64; 6] = [0.1, -0.2, 0.15, 0.3, 0.2, -0.1];
/// Largest step of a joint in a millisecond: 2 rad/s (m/s), below the model's roll.
const STEP: f64 = 0.002;

/// The one thing that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    NoMeasured,
    NoSetpoint,
    NoPose,
    NoJaw,
    NoState,
    DeafToServo,
    DeafToWords,
    OtherNames,
    NoVelocity,
    NanVelocity,
    Degrees,
    Millimetres,
    WorldFrame,
    FiftyHertz,
    Gaps,
    StepsBack,
    ClockBehind,
    SaysHoming,
    NeverDisables,
    ResumesDisabled,
    AnyWordEnables,
    OldEnable,
    MovesDisabled,
    RemembersGoal,
    NeverEnables,
    NeverPauses,
    MovesPaused,
    NeverResumes,
    DoesNotFollow,
    HidesSetpoint,
    Coasts,
    OldGoals,
    ShortGoals,
    NanFaults,
    Teleports,
    NoLimits,
}

struct Ports {
    measured: Publisher<AsIs<JointState>>,
    setpoint: Publisher<AsIs<JointState>>,
    jaw: Publisher<AsIs<JointState>>,
    pose: Publisher<AsIs<PoseStamped>>,
    state: Publisher<AsIs<OperatingState>>,
    servo: Option<Subscriber<AsIs<JointState>>>,
    words: Option<Subscriber<AsIs<StringStamped>>>,
}

pub struct TestArm {
    wrong: Option<Wrong>,
    chain: Chain,
    ports: Ports,
    state: &'static str,
    q: [f64; 6],
    goal: [f64; 6],
    drift: f64,
    last_goal: u64,
    ms: u64,
}

fn header(stamp: Stamp, frame: &str) -> Header {
    let (sec, nanosec) = stamp.to_ros();
    Header { stamp: Time { sec, nanosec }, frame_id: frame.to_owned() }
}

fn age(t: &Time, now: Stamp) -> f64 {
    now.seconds_since(Stamp::from_ros("t", t.sec, t.nanosec).unwrap())
}

impl TestArm {
    pub fn new(bus: &Bus, wrong: Option<Wrong>) -> Self {
        let is = |w| wrong == Some(w);
        let joints = |topic: &Topic| bus.publisher(topic).unwrap();
        let ports = Ports {
            measured: joints(&graph::measured_js(ARM)),
            setpoint: joints(&graph::setpoint_js(ARM)),
            jaw: joints(&graph::jaw_measured_js(ARM)),
            pose: bus.publisher(&graph::measured_cp(ARM)).unwrap(),
            state: bus.publisher(&graph::operating_state(ARM)).unwrap(),
            servo: (!is(Wrong::DeafToServo)).then(|| bus.subscriber_of_depth(&graph::servo_jp(ARM), 16).unwrap()),
            words: (!is(Wrong::DeafToWords)).then(|| bus.subscriber(&graph::state_command(ARM)).unwrap()),
        };
        let chain = Chain::psm(&Instrument::named(Instrument::DEFAULT).unwrap()).unwrap();
        Self { wrong, chain, ports, state: "DISABLED", q: HOME, goal: HOME, drift: 0.0, last_goal: 0, ms: 0 }
    }

    fn is(&self, wrong: Wrong) -> bool {
        self.wrong == Some(wrong)
    }

    fn obey(&mut self, word: &str, old: bool) {
        let next = match (self.state, word) {
            ("DISABLED", "enable") if old && !self.is(Wrong::OldEnable) => return,
            ("DISABLED", "enable") if self.is(Wrong::NeverEnables) => return,
            ("DISABLED", "enable") => "ENABLED",
            ("DISABLED", "resume") if self.is(Wrong::ResumesDisabled) => "ENABLED",
            ("DISABLED", "proctor") if self.is(Wrong::AnyWordEnables) => "ENABLED",
            ("ENABLED", "pause") if !self.is(Wrong::NeverPauses) => "PAUSED",
            ("PAUSED", "resume") if !self.is(Wrong::NeverResumes) => "ENABLED",
            (_, "disable") if !self.is(Wrong::NeverDisables) => "DISABLED",
            _ => return,
        };
        let remembers = self.is(Wrong::RemembersGoal) && next == "ENABLED";
        if !remembers {
            (self.goal, self.drift) = (self.q, 0.0);
        }
        self.state = next;
    }

    fn servo(&mut self, m: &JointState, now: Stamp) {
        let mut goal = self.goal;
        match m.position.len() {
            6 => goal.copy_from_slice(&m.position),
            5 if self.is(Wrong::ShortGoals) => goal[..5].copy_from_slice(&m.position),
            _ => return,
        }
        if goal.iter().any(|x| x.is_nan()) {
            if self.is(Wrong::NanFaults) {
                self.state = "FAULT";
            }
            return;
        }
        let may = match self.state {
            "ENABLED" => !self.is(Wrong::DoesNotFollow),
            "DISABLED" => self.is(Wrong::MovesDisabled) || self.is(Wrong::RemembersGoal),
            "PAUSED" => self.is(Wrong::MovesPaused),
            _ => false,
        };
        let old = age(&m.header.stamp, now) > 0.1 && !self.is(Wrong::OldGoals);
        let beyond = !self.chain.limits().contains(&goal) && !self.is(Wrong::NoLimits);
        if !may || old || beyond {
            return;
        }
        if self.ms - self.last_goal <= 10 {
            self.drift = (goal[ROLL] - self.goal[ROLL]) / (self.ms - self.last_goal).max(1) as f64;
        }
        (self.goal, self.last_goal) = (goal, self.ms);
    }

    fn advance(&mut self) {
        let drives = self.state == "ENABLED"
            || (self.state == "DISABLED" && self.is(Wrong::MovesDisabled))
            || (self.state == "PAUSED" && self.is(Wrong::MovesPaused));
        if !drives {
            return;
        }
        if self.is(Wrong::Coasts) && self.ms - self.last_goal > 10 {
            self.goal[ROLL] += self.drift;
        }
        let most = if self.is(Wrong::Teleports) { 1.0 } else { STEP };
        for (q, goal) in self.q.iter_mut().zip(&self.goal) {
            *q += (goal - *q).clamp(-most, most);
        }
    }

    fn joints(&self, stamp: Stamp, position: &[f64]) -> JointState {
        let names = PSM_JOINTS.map(str::to_owned).to_vec();
        let velocity = if self.is(Wrong::NanVelocity) { vec![f64::NAN; 6] } else { vec![0.0; 6] };
        JointState { header: header(stamp, ""), name: names, position: position.to_vec(), velocity, effort: vec![] }
    }

    fn publish(&self, now: Stamp) {
        let stamp = match self.wrong {
            Some(Wrong::ClockBehind) => now.minus(Duration::from_secs(1)),
            Some(Wrong::StepsBack) if self.ms.is_multiple_of(500) => now.minus(Duration::from_millis(8)),
            _ => now,
        };
        let mut measured = self.joints(stamp, &self.q);
        match self.wrong {
            Some(Wrong::OtherNames) => measured.name = vec!["a".to_owned(); 6],
            Some(Wrong::NoVelocity) => measured.velocity.clear(),
            Some(Wrong::Degrees) => measured.position.iter_mut().for_each(|q| *q = q.to_degrees()),
            _ => {}
        }
        if !self.is(Wrong::NoMeasured) {
            self.ports.measured.publish(&AsIs(measured)).unwrap();
        }
        if !self.is(Wrong::NoSetpoint) {
            let told = if self.is(Wrong::HidesSetpoint) { HOME } else { self.goal };
            self.ports.setpoint.publish(&AsIs(self.joints(stamp, &told))).unwrap();
        }
        if !self.is(Wrong::NoPose) {
            self.ports.pose.publish(&AsIs(self.pose(stamp))).unwrap();
        }
        if !self.is(Wrong::NoJaw) {
            let jaw = JointState {
                position: vec![0.1],
                velocity: vec![0.0],
                name: vec!["jaw".to_owned()],
                ..self.joints(stamp, &[])
            };
            self.ports.jaw.publish(&AsIs(jaw)).unwrap();
        }
    }

    fn pose(&self, stamp: Stamp) -> PoseStamped {
        let tip = self.chain.fk(&self.q).unwrap();
        let scale = if self.is(Wrong::Millimetres) { 1e3 } else { 1.0 };
        let (p, q) = (tip.translation() * scale, tip.rotation());
        let frame = if self.is(Wrong::WorldFrame) { "world" } else { "PSM1_base" };
        let position = Point { x: p.x, y: p.y, z: p.z };
        let orientation = Quaternion { x: q.i, y: q.j, z: q.k, w: q.w };
        PoseStamped { header: header(stamp, frame), pose: Pose { position, orientation } }
    }

    pub fn state(&self) -> &'static str {
        self.state
    }

    /// How far the joints are from where they were at the start.
    pub fn off(&self) -> f64 {
        self.q.iter().zip(&HOME).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }
}

impl Node for TestArm {
    fn name(&self) -> &'static str {
        "arm"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn poll(&mut self, now: Stamp) {
        self.ms += 1;
        let words: Vec<_> = self.ports.words.iter().flat_map(|w| std::iter::from_fn(|| w.take())).flatten().collect();
        words.iter().for_each(|AsIs(w)| self.obey(&w.string, age(&w.header.stamp, now) > 0.1));
        let goals: Vec<_> = self.ports.servo.iter().flat_map(|s| std::iter::from_fn(|| s.take())).flatten().collect();
        goals.iter().for_each(|AsIs(g)| self.servo(g, now));
        self.advance();
        let every = if self.is(Wrong::FiftyHertz) { 20 } else { 5 };
        let silent = self.is(Wrong::Gaps) && self.ms % 1000 < 60;
        if self.ms.is_multiple_of(every) && !silent {
            self.publish(now);
        }
        if self.ms.is_multiple_of(50) && !self.is(Wrong::NoState) {
            let homing = self.is(Wrong::SaysHoming) && self.ms.is_multiple_of(500);
            let state = if homing { "HOMING" } else { self.state }.to_owned();
            let message = OperatingState { header: header(now, ""), state, is_homed: true, is_busy: false };
            self.ports.state.publish(&AsIs(message)).unwrap();
        }
    }
}

pub fn options(level: Level) -> Options {
    Options { arm: ARM, name: "/PSM1".to_owned(), level, home: true, sealed: false, frame: "PSM1_base".to_owned() }
}

pub fn chain() -> Chain {
    Chain::psm(&Instrument::named(Instrument::DEFAULT).unwrap()).unwrap()
}

/// Runs arm and probe together until the probe is done; at most two simulated minutes.
pub fn run(arm: &mut dyn Node, mut probe: ProbeNode, mut each: impl FnMut(u64)) -> Report {
    let outcome = probe.outcome();
    let mut now = Stamp::from_nanos("t", 1_000_000_000_000).unwrap();
    for ms in 0..120_000 {
        now = now.plus(Duration::from_millis(1));
        arm.poll(now);
        each(ms);
        probe.poll(now);
        if let Some(report) = outcome.lock().unwrap().take() {
            return report;
        }
    }
    panic!("the probe never ended");
}

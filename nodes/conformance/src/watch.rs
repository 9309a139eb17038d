//! What an arm says by itself, gathered while the probe only listens, and how that is judged.

use crate::{Check, Finding, probe::Heard};
use nalgebra::{Point3, Quaternion, UnitQuaternion};
use proctor_bus::Announced;
use proctor_kinematics::{Chain, JawLimits};
use proctor_msgs::{builtin_interfaces::Time, geometry_msgs::PoseStamped, sensor_msgs::JointState, wire};
use proctor_types::{ArmId, OperatingState, Stamp};
use std::{collections::BTreeSet, time::Duration};

/// A joint this far beyond the model's limit is measured in other units, rad or m; less is calibration.
const BEYOND: f64 = 0.02;
/// Slowest joint rate at which a pose may still be compared with the joints of another stamp, rad/s or m/s.
const RESTING: f64 = 0.01;
/// How far the measured tool tip may be from the joints' forward kinematics, m and rad.
const NEAR: (f64, f64) = (0.002, 0.05);
/// Least mean rate of `measured_js`, Hz.
const LEAST_RATE: f64 = 100.0;
/// Longest silence between two stamps, s: the safety node's watchdog.
const LONGEST_GAP: f64 = 0.030;
/// How old and how far ahead stamps may be when they arrive, s.
const CLOCK: (f64, f64) = (0.030, -0.020);
/// Within this of joining, the state is known.
const JOINING: Duration = Duration::from_secs(1);
/// Texts kept of what was seen.
const KEPT: usize = 8;

/// Which topics the graph tells of, in the order of [`Ends::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ends {
    /// `measured_js`.
    MeasuredJs,
    /// `setpoint_js`.
    SetpointJs,
    /// `measured_cp`.
    MeasuredCp,
    /// `jaw/measured_js`.
    Jaw,
    /// `operating_state`.
    OperatingState,
    /// `servo_jp`.
    ServoJp,
    /// `state_command`.
    StateCommand,
}

impl Ends {
    /// Every topic.
    pub const ALL: [Self; 7] = [
        Self::MeasuredJs,
        Self::SetpointJs,
        Self::MeasuredCp,
        Self::Jaw,
        Self::OperatingState,
        Self::ServoJp,
        Self::StateCommand,
    ];

    /// Its place in [`Ends::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    const fn type_name(self) -> &'static str {
        match self {
            Self::MeasuredJs | Self::SetpointJs | Self::Jaw | Self::ServoJp => "sensor_msgs/msg/JointState",
            Self::MeasuredCp => "geometry_msgs/msg/PoseStamped",
            Self::OperatingState => "crtk_msgs/msg/OperatingState",
            Self::StateCommand => "crtk_msgs/msg/StringStamped",
        }
    }
}

/// A message's stamp in nanoseconds; 0 and what is no time are `None`.
pub fn nanos(t: &Time) -> Option<Stamp> {
    Stamp::from_ros("stamp", t.sec, t.nanosec).ok()
}

/// Everything heard so far.
#[derive(Debug)]
pub struct Watch {
    arm: ArmId,
    since: Stamp,
    heard: [u64; Ends::ALL.len()],
    graph: [Announced; Ends::ALL.len()],
    names: BTreeSet<String>,
    lengths: BTreeSet<String>,
    not_numbers: u64,
    beyond: Option<String>,
    zero: u64,
    back: u64,
    first: Option<Stamp>,
    last: Option<Stamp>,
    gap: f64,
    /// Least and largest age at arrival, s.
    ages: Option<(f64, f64)>,
    joints: Option<(Vec<f64>, bool)>,
    frames: BTreeSet<String>,
    /// Largest distance (m) and angle (rad) from forward kinematics at rest.
    off: Option<(f64, f64)>,
    state_after: Option<Duration>,
    words: BTreeSet<String>,
}

impl Watch {
    /// Listens to `arm` from `since` on.
    pub fn new(arm: ArmId, since: Stamp) -> Self {
        Self {
            arm,
            since,
            heard: [0; Ends::ALL.len()],
            graph: Default::default(),
            names: BTreeSet::new(),
            lengths: BTreeSet::new(),
            not_numbers: 0,
            beyond: None,
            zero: 0,
            back: 0,
            first: None,
            last: None,
            gap: 0.0,
            ages: None,
            joints: None,
            frames: BTreeSet::new(),
            off: None,
            state_after: None,
            words: BTreeSet::new(),
        }
    }

    /// Takes one thing that arrived.
    pub fn take(&mut self, heard: &Heard, chain: &Chain, now: Stamp) {
        match heard {
            Heard::Measured(m) => self.measured(m, chain, now),
            Heard::Setpoint(_) => self.count(Ends::SetpointJs),
            Heard::Jaw(m) => self.heard[Ends::Jaw.index()] += u64::from(m.position.len() == 1),
            Heard::Pose(m) => self.pose(m, chain),
            Heard::State(m) => {
                self.count(Ends::OperatingState);
                self.state_after.get_or_insert(self.since.age(now));
                keep(&mut self.words, m.state.clone());
            }
            Heard::Graph(graph) => self.graph.clone_from(graph),
            Heard::Servo(_) | Heard::Word(_) | Heard::SafetyNode | Heard::Leave => {}
        }
    }

    /// What the graph says of a topic.
    pub fn ends(&self, of: Ends) -> &Announced {
        &self.graph[of.index()]
    }

    fn count(&mut self, of: Ends) {
        self.heard[of.index()] += 1;
    }

    fn measured(&mut self, m: &JointState, chain: &Chain, now: Stamp) {
        self.count(Ends::MeasuredJs);
        keep(&mut self.names, m.name.join(" "));
        if m.position.len() != chain.dof() || m.velocity.len() != chain.dof() {
            keep(&mut self.lengths, format!("{} positions, {} velocities", m.position.len(), m.velocity.len()));
        }
        let numbers = m.position.iter().chain(&m.velocity).all(|x| x.is_finite());
        self.not_numbers += u64::from(!numbers);
        if let Some(v) = chain.limits().violation(&m.position, BEYOND).filter(|v| v.value.is_finite()) {
            self.beyond.get_or_insert(format!("joint {} at {:.4}, limit {:.4}", v.joint + 1, v.value, v.limit));
        }
        let rests = !m.velocity.is_empty() && m.velocity.iter().all(|v| v.abs() < RESTING);
        self.joints = numbers.then(|| (m.position.clone(), rests));
        self.stamped(nanos(&m.header.stamp), now);
    }

    fn stamped(&mut self, stamp: Option<Stamp>, now: Stamp) {
        let Some(stamp) = stamp else {
            self.zero += 1;
            return;
        };
        let age = now.seconds_since(stamp);
        self.ages = Some(self.ages.map_or((age, age), |(least, most)| (least.min(age), most.max(age))));
        if let Some(last) = self.last {
            self.back += u64::from(stamp <= last);
            self.gap = self.gap.max(stamp.seconds_since(last));
        }
        self.first.get_or_insert(stamp);
        self.last = Some(stamp);
    }

    fn pose(&mut self, m: &PoseStamped, chain: &Chain) {
        self.count(Ends::MeasuredCp);
        keep(&mut self.frames, m.header.frame_id.clone());
        let Some((q, true)) = &self.joints else { return };
        let Ok(tip) = chain.fk(q) else { return };
        let (p, o) = (&m.pose.position, &m.pose.orientation);
        let turn = UnitQuaternion::from_quaternion(Quaternion::new(o.w, o.x, o.y, o.z));
        let distance = (Point3::new(p.x, p.y, p.z) - Point3::from(tip.translation())).norm();
        let angle = tip.rotation().angle_to(&turn);
        // NaN counts as infinitely far.
        let worse = |a: f64, b: f64| if b.is_finite() { a.max(b) } else { f64::INFINITY };
        let (far, turned) = self.off.unwrap_or((0.0, 0.0));
        self.off = Some((worse(far, distance), worse(turned, angle)));
    }

    /// Judges one of the checks that take listening only.
    pub fn judge(&self, check: Check, chain: &Chain, frame: &str) -> Finding {
        match check {
            Check::MeasuredJs => self.topic(Ends::MeasuredJs),
            Check::SetpointJs => self.topic(Ends::SetpointJs),
            Check::MeasuredCp => self.topic(Ends::MeasuredCp),
            Check::JawMeasuredJs if chain.limits().jaw == JawLimits::default() => Finding::not_tried("it has no jaw"),
            Check::JawMeasuredJs => self.topic(Ends::Jaw),
            Check::OperatingState => self.joined(),
            Check::ServoJp => self.reader(Ends::ServoJp),
            Check::StateCommand => self.reader(Ends::StateCommand),
            Check::Frame => Self::text(&self.frames, |f| f == frame, &format!("expected {frame:?}")),
            Check::Words if self.words.is_empty() => Finding::not_tried("no state is heard"),
            Check::Words => Self::text(&self.words, |w| w.parse::<OperatingState>().is_ok(), ""),
            Check::Pose => self.posed(),
            _ if self.heard[Ends::MeasuredJs.index()] == 0 => Finding::not_tried("measured_js is not heard"),
            Check::Names => self.named(chain),
            Check::Lengths => Self::text(&self.lengths, |_| false, ""),
            Check::Finite => Finding::when(self.not_numbers == 0, format!("{} messages with NaN", self.not_numbers)),
            Check::Units => match &self.beyond {
                Some(beyond) => Finding::when(false, beyond),
                None => Finding::when(true, format!("at {:.3?}", self.joints.as_ref().map_or(&[][..], |(q, _)| q))),
            },
            Check::Rate => self.rate(),
            Check::Gap => Finding::when(self.gap <= LONGEST_GAP, format!("{:.1} ms at most", self.gap * 1e3)),
            Check::Stamps => {
                let good = self.zero == 0 && self.back == 0;
                Finding::when(good, format!("{} without a stamp, {} not after the one before", self.zero, self.back))
            }
            Check::Clock => self.clock(),
            other => Finding::not_tried(format!("{} takes more than listening", other.id())),
        }
    }

    fn topic(&self, of: Ends) -> Finding {
        let (heard, writers) = (self.heard[of.index()], &self.ends(of).writers);
        let others: Vec<&str> = writers.iter().map(String::as_str).filter(|t| *t != of.type_name()).collect();
        if let [other, ..] = others[..] {
            return Finding::when(false, format!("{heard} heard; somebody writes it as {other}"));
        }
        // A graph that knows of no writer while messages come knows nothing.
        let seen = match writers.len() {
            0 | 1 => format!("{heard} messages"),
            n => format!("{heard} messages of {n} writers"),
        };
        Finding::when(heard > 0 && writers.len() <= 1, seen)
    }

    fn reader(&self, of: Ends) -> Finding {
        let readers = &self.ends(of).readers;
        let good = readers.iter().any(|t| t == of.type_name());
        let seen = if readers.is_empty() { "nobody reads it".to_owned() } else { readers.join(", ") };
        Finding::when(good, seen)
    }

    fn joined(&self) -> Finding {
        match self.state_after {
            Some(after) => {
                let topic = self.topic(Ends::OperatingState);
                let good = topic.outcome == crate::Outcome::Pass && after <= JOINING;
                Finding::when(good, format!("{}, the first after {} ms", topic.seen, after.as_millis()))
            }
            None => self.topic(Ends::OperatingState),
        }
    }

    /// Every text seen must be good.
    fn text(seen: &BTreeSet<String>, good: impl Fn(&str) -> bool, expected: &str) -> Finding {
        let list = seen.iter().map(|t| format!("{t:?}")).collect::<Vec<_>>().join(", ");
        match (seen.is_empty(), seen.iter().all(|t| good(t))) {
            (true, _) if expected.is_empty() => Finding::when(true, "as expected"),
            (true, _) => Finding::not_tried("none heard"),
            (false, true) => Finding::when(true, list),
            (false, false) => Finding::when(false, format!("{list} {expected}").trim().to_owned()),
        }
    }

    fn named(&self, chain: &Chain) -> Finding {
        let names = wire::joint_names(self.arm);
        let ours = if names.len() == chain.dof() { names } else { &wire::OTHER_JOINTS[..chain.dof()] }.join(" ");
        Self::text(&self.names, |n| n.is_empty() || n == ours, &format!("expected {ours:?} or none"))
    }

    fn posed(&self) -> Finding {
        match self.off {
            Some((far, turned)) => {
                let seen = format!("{:.1} mm and {turned:.3} rad off at most", far * 1e3);
                Finding::when(far <= NEAR.0 && turned <= NEAR.1, seen)
            }
            None => Finding::not_tried("no pose was heard while the joints rested"),
        }
    }

    fn rate(&self) -> Finding {
        let (Some(first), Some(last)) = (self.first, self.last) else { return Finding::not_tried("no stamps") };
        let span = last.seconds_since(first);
        if span <= 0.0 {
            return Finding::when(false, "stamps do not advance");
        }
        let rate = (self.heard[Ends::MeasuredJs.index()] - 1) as f64 / span;
        Finding::when(rate >= LEAST_RATE * 0.99, format!("{rate:.0} Hz"))
    }

    fn clock(&self) -> Finding {
        let Some((least, most)) = self.ages else { return Finding::not_tried("no stamps") };
        // The youngest tells the clocks apart; the others were on the way.
        let seen = format!("{:.1} to {:.1} ms old", least * 1e3, most * 1e3);
        Finding::when(least <= CLOCK.0 && least >= CLOCK.1, seen)
    }
}

fn keep(texts: &mut BTreeSet<String>, text: String) {
    if texts.len() < KEPT {
        texts.insert(text);
    }
}

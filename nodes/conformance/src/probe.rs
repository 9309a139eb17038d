//! The probe: listens, then goes through [`STEPS`], and stops at whatever is not as it should be. Reads no clock and no socket.
//!
//! It stops for good, and disables the arm, when the arm faults, falls silent, moves a joint that it was not told to move, or fails a
//! step after which more would be reckless. When somebody else commands the arm it lets go without another word.

use crate::{
    Check, Finding, Level, Outcome, Report,
    evidence::{Evidence, Roll},
    report::Row,
    script::{self, ASIDE, Act, Flaw, JUMP, Judge, LATCHED, PART, SPEED, STALE, STEPS, STREAM, Step, TAKEN_BACK, TURN},
    watch::{Ends, Watch, nanos},
    wire::{Servo, Word},
};
use proctor_bus::Announced;
use proctor_kinematics::Chain;
use proctor_msgs::{
    crtk_msgs::{OperatingState as StateMessage, StringStamped},
    geometry_msgs::PoseStamped,
    sensor_msgs::JointState,
};
use proctor_types::{ArmId, MAX_JOINTS, OperatingState, Stamp};
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

/// How long the probe only listens.
const WATCHING: Duration = Duration::from_secs(3);
/// How long an arm may take to get to the state, or back to the place, that a step starts from.
const PREPARING: Duration = Duration::from_secs(8);
/// How long homing may take.
const HOMING: Duration = Duration::from_mins(1);
/// Between two askings.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// A state is watched at least this long after it was asked for.
const SETTLING: Duration = Duration::from_millis(400);
/// Silence of `measured_js` after which nothing more is sent.
const SILENT: Duration = Duration::from_millis(500);
/// How far the roll and other joints may leave their places, rad; sliding ones m.
const PLACE: (f64, f64, f64) = (0.3, 0.05, 0.005);
/// The roll is back when it is this near, rad.
const BACK: f64 = 0.01;
/// Stamps kept of what was sent, to know one's own words among those heard.
const OWN: usize = 1024;

/// What arrived.
#[derive(Debug, Clone)]
pub enum Heard {
    /// `measured_js`.
    Measured(JointState),
    /// `setpoint_js`.
    Setpoint(JointState),
    /// `jaw/measured_js`.
    Jaw(JointState),
    /// `measured_cp`.
    Pose(PoseStamped),
    /// `operating_state`.
    State(StateMessage),
    /// Somebody's `servo_jp`, perhaps the probe's own.
    Servo(JointState),
    /// Somebody's `state_command`, perhaps the probe's own.
    Word(StringStamped),
    /// A safety node says that it lives.
    SafetyNode,
    /// The person at the probe has had enough.
    Leave,
    /// Who else writes and reads which topic, in the order of `Ends::ALL`.
    Graph(Box<[Announced; Ends::ALL.len()]>),
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Say {
    /// On `servo_jp`.
    Servo(Servo),
    /// On `state_command`.
    Word(Word),
}

/// What is asked of a probe.
#[derive(Debug, Clone)]
pub struct Options {
    /// The place of the arm.
    pub arm: ArmId,
    /// What reports call it.
    pub name: String,
    /// How far to go.
    pub level: Level,
    /// Whether the arm may be homed.
    pub home: bool,
    /// Whether what is sent is sealed, for the report.
    pub sealed: bool,
    /// Frame that poses must name.
    pub frame: String,
}

/// The arm as it was heard last.
#[derive(Debug)]
pub struct Arm {
    joints: Vec<f64>,
    setpoint: Option<Vec<f64>>,
    roll: usize,
    heard: Option<Stamp>,
    /// Stamp of the last sample.
    pub stamp: Option<Stamp>,
    /// Its state.
    pub state: Option<OperatingState>,
    is_homed: bool,
    is_busy: bool,
}

impl Arm {
    /// The roll, rad; 0 before it was heard.
    pub fn roll(&self) -> f64 {
        self.joints.get(self.roll).copied().unwrap_or(0.0)
    }
}

#[derive(Debug)]
enum Stage {
    Watching,
    Preparing { step: usize, since: Stamp, asked: Option<Stamp> },
    Acting { step: usize, since: Stamp, evidence: Evidence, goal: f64, said: bool },
    Restoring { since: Stamp, asked: Option<Stamp> },
    Done,
}

/// The probe.
#[derive(Debug)]
pub struct Probe {
    options: Options,
    chain: Chain,
    roll: Roll,
    watch: Option<Watch>,
    began: Stamp,
    arm: Arm,
    stage: Stage,
    findings: BTreeMap<Check, Finding>,
    /// Where the arm was found.
    origin: Vec<f64>,
    /// Where the roll was led last.
    led: Option<f64>,
    streamed: Option<Stamp>,
    found: Option<OperatingState>,
    sent: VecDeque<i64>,
    others: Option<&'static str>,
    leaves: bool,
    stopped: Option<String>,
    out: Vec<Say>,
}

impl Probe {
    /// Of an arm of which `chain` is the model.
    pub fn new(options: Options, chain: Chain) -> Self {
        // The roll of the dVRK's arms is their fourth joint; of an arm of another form the last turns the tool.
        let index = if chain.software_remote_centre().is_some() { chain.dof() - 1 } else { 3 };
        let l = chain.limits();
        let roll = Roll { limits: (l.lower[index], l.upper[index]), speed: l.velocity[index] };
        let arm = Arm {
            joints: Vec::new(),
            setpoint: None,
            roll: index,
            heard: None,
            stamp: None,
            state: None,
            is_homed: false,
            is_busy: false,
        };
        Self {
            options,
            chain,
            roll,
            watch: None,
            began: Stamp::FIRST,
            arm,
            stage: Stage::Watching,
            findings: BTreeMap::new(),
            origin: Vec::new(),
            led: None,
            streamed: None,
            found: None,
            sent: VecDeque::new(),
            others: None,
            leaves: false,
            stopped: None,
            out: Vec::new(),
        }
    }

    /// Takes what arrived; returns what to send.
    pub fn step(&mut self, now: Stamp, heard: &[Heard]) -> Vec<Say> {
        if self.watch.is_none() {
            (self.watch, self.began) = (Some(Watch::new(self.options.arm, now)), now);
        }
        heard.iter().for_each(|h| self.hear(h, now));
        if !matches!(self.stage, Stage::Watching | Stage::Restoring { .. } | Stage::Done)
            && let Some((why, disable)) = self.alarm(now)
        {
            self.stop(why, disable, now);
        }
        self.stage = match std::mem::replace(&mut self.stage, Stage::Done) {
            Stage::Watching => self.watching(now),
            Stage::Preparing { step, since, asked } => self.preparing(step, since, asked, now),
            Stage::Acting { step, since, evidence, goal, said } => self.acting(step, since, evidence, goal, said, now),
            Stage::Restoring { since, asked } => self.restoring(since, asked, now),
            Stage::Done => Stage::Done,
        };
        std::mem::take(&mut self.out)
    }

    /// Once it is over.
    pub fn report(&self) -> Option<Report> {
        if !matches!(self.stage, Stage::Done) {
            return None;
        }
        let why = self.stopped.clone().unwrap_or_else(|| "not reached".to_owned());
        let rows = Check::ALL.iter().map(|&check| Row {
            check,
            crtk: check.crtk(),
            asked: check.asked(),
            expected: check.expected(),
            finding: self.findings.get(&check).cloned().unwrap_or_else(|| Finding::not_tried(why.clone())),
        });
        let checks: Vec<_> = rows.collect();
        Some(Report {
            arm: self.options.name.clone(),
            level: self.options.level,
            sealed: self.options.sealed,
            stopped: self.stopped.clone(),
            passed: checks.iter().all(|r| r.finding.outcome != Outcome::Fail),
            checks,
        })
    }

    fn hear(&mut self, heard: &Heard, now: Stamp) {
        if let (Stage::Watching, Some(watch)) = (&self.stage, &mut self.watch) {
            watch.take(heard, &self.chain, now);
        }
        match heard {
            Heard::Measured(m) => self.measured(m, now),
            Heard::Setpoint(m) => {
                let fits = m.position.len() == self.chain.dof() && m.position.iter().all(|x| x.is_finite());
                self.arm.setpoint = fits.then(|| m.position.clone());
                if let (Stage::Acting { evidence, .. }, Some(&roll)) = (&mut self.stage, m.position.get(self.arm.roll))
                {
                    evidence.told(roll);
                }
            }
            Heard::State(m) => {
                self.arm.state = m.state.parse().ok();
                (self.arm.is_homed, self.arm.is_busy) = (m.is_homed, m.is_busy);
                if let (Stage::Acting { evidence, .. }, Some(state)) = (&mut self.stage, self.arm.state) {
                    evidence.state(state);
                }
            }
            Heard::Servo(m) if !self.own(&m.header.stamp) => self.others = Some("somebody else writes servo_jp"),
            Heard::Word(m) if !self.own(&m.header.stamp) => self.others = Some("somebody else writes state_command"),
            Heard::Leave => self.leaves = true,
            Heard::SafetyNode => self.others = Some("a safety node runs: it alone commands the arm"),
            Heard::Graph(graph) => {
                let written = |e: Ends| !graph[e.index()].writers.is_empty();
                if written(Ends::ServoJp) || written(Ends::StateCommand) {
                    self.others = Some("somebody else can write servo_jp or state_command");
                }
            }
            Heard::Servo(_) | Heard::Word(_) | Heard::Jaw(_) | Heard::Pose(_) => {}
        }
    }

    fn measured(&mut self, m: &JointState, now: Stamp) {
        let numbers = m.position.len() == self.chain.dof() && m.position.iter().all(|x| x.is_finite());
        let stamp = nanos(&m.header.stamp);
        self.arm.heard = Some(now);
        if numbers {
            self.arm.joints.clone_from(&m.position);
        }
        if let Stage::Acting { evidence, .. } = &mut self.stage {
            let roll = m.position.get(self.arm.roll).copied().filter(|_| numbers);
            evidence.measured(roll, stamp.or(Some(now)));
        }
        self.arm.stamp = stamp.or(Some(now));
    }

    fn own(&self, stamp: &proctor_msgs::builtin_interfaces::Time) -> bool {
        nanos(stamp).is_some_and(|s| self.sent.contains(&s.nanos()))
    }

    /// Why nothing more may be sent, and whether the arm is to be disabled.
    fn alarm(&self, now: Stamp) -> Option<(String, bool)> {
        if let Some(others) = self.others {
            return Some((others.to_owned(), false));
        }
        if self.leaves {
            return Some(("interrupted".to_owned(), true));
        }
        if self.arm.state == Some(OperatingState::Fault) {
            return Some(("the arm is in FAULT".to_owned(), true));
        }
        if self.arm.heard.is_none_or(|h| h.age(now) > SILENT) {
            return Some(("measured_js has fallen silent".to_owned(), true));
        }
        let slides = &self.chain.limits().slides;
        let off = self.arm.joints.iter().zip(&self.origin).enumerate().map(|(i, (a, b))| (i, (a - b).abs()));
        let allowed = |i: usize| match (i == self.arm.roll, slides[i]) {
            (true, _) => PLACE.0,
            (false, false) => PLACE.1,
            (false, true) => PLACE.2,
        };
        let (i, by) = off.into_iter().find(|&(i, by)| by > allowed(i))?;
        Some((format!("joint {} left its place by {by:.4}", i + 1), true))
    }

    /// The end, before its time.
    fn stop(&mut self, why: String, disable: bool, now: Stamp) {
        if let Stage::Acting { step, evidence, goal, .. } = &self.stage {
            for &(check, judge) in STEPS[*step].checks {
                let finding = evidence.judge(judge, *goal, &self.roll);
                if finding.outcome == Outcome::Fail {
                    self.findings.insert(check, finding);
                }
            }
        }
        self.stopped = Some(why);
        self.stage = if disable && !self.sent.is_empty() {
            self.found = Some(OperatingState::Disabled);
            Stage::Restoring { since: now, asked: None }
        } else {
            Stage::Done
        };
    }

    fn watching(&mut self, now: Stamp) -> Stage {
        if self.began.age(now) < WATCHING && !self.leaves {
            return Stage::Watching;
        }
        if let Some(watch) = &self.watch {
            for &check in Check::ALL.iter().filter(|c| c.level() == Level::Watch) {
                self.findings.insert(check, watch.judge(check, &self.chain, &self.options.frame));
            }
        }
        if self.options.level == Level::Watch {
            self.stopped = Some("takes --move".to_owned());
            return Stage::Done;
        }
        self.found = self.arm.state;
        let blind = if self.arm.joints.is_empty() {
            Some("without joints nothing is moved")
        } else if self.arm.state.is_none() {
            Some("without a state nothing is moved")
        } else {
            None
        };
        if let Some((why, _)) = blind.map(|b| (b.to_owned(), false)).or_else(|| self.alarm(now)) {
            self.stopped = Some(why);
            return Stage::Done;
        }
        self.origin.clone_from(&self.arm.joints);
        Stage::Preparing { step: 0, since: now, asked: None }
    }

    fn preparing(&mut self, step: usize, since: Stamp, asked: Option<Stamp>, now: Stamp) -> Stage {
        let Some(s) = STEPS.get(step) else { return Stage::Restoring { since: now, asked: None } };
        let next = Stage::Preparing { step: step + 1, since: now, asked: None };
        if s.level > self.options.level {
            self.skip(s, &format!("takes --{}", s.level.name()));
            return next;
        }
        let moves = s.from == OperatingState::Enabled && !matches!(s.act, Act::Say(..));
        // What an arm does while PAUSED tells more once it could move: it is homed before, if it may be.
        let pauses = matches!(s.act, Act::Say("pause", _)) && self.options.home;
        let homes = (moves || pauses) && self.arm.state == Some(s.from) && !self.arm.is_homed;
        if homes && !self.options.home {
            self.skip(s, "the arm is not homed; --home lets it home");
            return next;
        }
        if since.age(now) > if homes { HOMING } else { PREPARING } {
            self.skip(s, &format!("the arm did not become {} where it was found", s.from.name()));
            return next;
        }
        let mut asked = asked;
        if self.lead_to(s.from, &mut asked, now) && (!homes || self.home(&mut asked, now)) && !self.arm.is_busy {
            if s.at_origin && !self.led_back(now) {
                return Stage::Preparing { step, since, asked };
            }
            let goal = self.goal(s);
            self.streamed = None;
            return Stage::Acting { step, since: now, evidence: Evidence::new(&self.arm), goal, said: false };
        }
        Stage::Preparing { step, since, asked }
    }

    fn skip(&mut self, step: &Step, why: &str) {
        for (check, _) in step.checks {
            self.findings.insert(*check, Finding::not_tried(why));
        }
    }

    /// Asks, now and then, for what leads to a state. True once the arm is there.
    fn lead_to(&mut self, wanted: OperatingState, asked: &mut Option<Stamp>, now: Stamp) -> bool {
        use OperatingState::{Disabled, Enabled, Fault, Paused};
        let word = match (self.arm.state, wanted) {
            (Some(is), wanted) if is == wanted => return true,
            (_, Disabled | Fault) => "disable",
            (Some(Paused), Enabled) => "resume",
            (Some(Enabled), Paused) => "pause",
            (_, Enabled | Paused) => "enable",
        };
        self.ask(word, asked, now);
        false
    }

    /// Asks for homing. Afterwards the arm is where it is.
    fn home(&mut self, asked: &mut Option<Stamp>, now: Stamp) -> bool {
        if !self.arm.is_busy {
            self.ask("home", asked, now);
        }
        self.origin.clone_from(&self.arm.joints);
        self.led = None;
        false
    }

    fn ask(&mut self, word: &'static str, asked: &mut Option<Stamp>, now: Stamp) {
        if asked.is_none_or(|a| a.age(now) >= ASK_AGAIN) {
            *asked = Some(now);
            self.say(word, now);
        }
    }

    fn say(&mut self, word: &'static str, stamp: Stamp) {
        self.note(stamp);
        self.out.push(Say::Word(Word { arm: self.options.arm, stamp, word }));
    }

    fn servo(&mut self, roll: f64, stamp: Stamp, joints: usize) {
        self.note(stamp);
        let mut position = [0.0; MAX_JOINTS];
        position.iter_mut().zip(&self.origin).for_each(|(slot, q)| *slot = *q);
        if let Some(slot) = position.get_mut(self.arm.roll) {
            *slot = roll;
        }
        self.out.push(Say::Servo(Servo { arm: self.options.arm, stamp, position, joints }));
    }

    fn note(&mut self, stamp: Stamp) {
        if self.sent.len() == OWN {
            self.sent.pop_front();
        }
        self.sent.push_back(stamp.nanos());
    }

    fn origin_roll(&self) -> f64 {
        self.origin.get(self.arm.roll).copied().unwrap_or(0.0)
    }

    /// Towards the middle of the roll's range if its end is near.
    fn aside(&self, by: f64) -> f64 {
        let away = if self.origin_roll() + 0.1 < self.roll.limits.1 { by } else { -by };
        self.origin_roll() + away
    }

    /// Leads the roll back to where it was found, as slowly as it is turned. True once it is there.
    fn led_back(&mut self, now: Stamp) -> bool {
        let (origin, roll) = (self.origin_roll(), self.arm.roll());
        let led = self.led.unwrap_or(roll);
        if self.led.is_none_or(|l| l == origin) && (roll - origin).abs() <= BACK {
            self.led = None;
            return true;
        }
        if self.due(now) {
            // From where it is, not from where it should be.
            let from = if (led - roll).abs() > BACK { roll } else { led };
            let most = SPEED * STREAM.as_secs_f64();
            let to = from + (origin - from).clamp(-most, most);
            self.led = Some(to);
            self.servo(to, now, self.chain.dof());
        }
        false
    }

    /// Whether the next set-point of a stream is due.
    fn due(&mut self, now: Stamp) -> bool {
        let due = self.streamed.is_none_or(|s| s.age(now) >= STREAM);
        if due {
            self.streamed = Some(now);
        }
        due
    }

    /// Where the roll is led, or would be.
    fn goal(&self, s: &Step) -> f64 {
        match s.act {
            Act::Turn => self.aside(TURN),
            Act::Goal(Flaw::Jump) => self.aside(JUMP),
            Act::Goal(Flaw::Beyond) => self.roll.limits.1 + 0.1,
            Act::Goal(Flaw::Nan) => f64::NAN,
            Act::Goal(Flaw::Untimely | Flaw::Stale | Flaw::Short) => self.aside(ASIDE),
            Act::Cease => self.aside(TURN * (1.0 - PART)),
            Act::Say(..) => self.arm.roll(),
        }
    }

    fn acting(&mut self, step: usize, since: Stamp, evidence: Evidence, goal: f64, said: bool, now: Stamp) -> Stage {
        let s = &STEPS[step];
        let elapsed = since.age(now);
        self.act(s, elapsed, goal, said, now);
        let waits = s.checks.iter().find(|(_, j)| matches!(j, Judge::Becomes(_)));
        let reached = waits.is_some_and(|(_, j)| evidence.reached(*j)) && elapsed >= SETTLING;
        if elapsed < s.lasts && !reached {
            return Stage::Acting { step, since, evidence, goal, said: true };
        }
        let mut failed = None;
        for &(check, judge) in s.checks {
            let finding = evidence.judge(judge, goal, &self.roll);
            if finding.outcome == Outcome::Fail && s.fatal {
                failed = Some(check);
            }
            self.findings.insert(check, finding);
        }
        if let Some(check) = failed {
            self.stop(format!("{} failed: more would be reckless, or say nothing", check.id()), true, now);
            return std::mem::replace(&mut self.stage, Stage::Done);
        }
        Stage::Preparing { step: step + 1, since: now, asked: None }
    }

    fn act(&mut self, s: &Step, elapsed: Duration, goal: f64, said: bool, now: Stamp) {
        let joints = self.chain.dof();
        match s.act {
            Act::Say(word, LATCHED) if !said => self.say(word, now.minus(LATCHED)),
            Act::Say(word, _) if !said => self.say(word, now),
            Act::Goal(Flaw::Stale) if !said => self.servo(goal, now.minus(STALE), joints),
            Act::Goal(Flaw::Short) if !said => self.servo(goal, now, joints - 1),
            Act::Goal(_) if !said => self.servo(goal, now, joints),
            Act::Goal(Flaw::Beyond) if elapsed >= TAKEN_BACK && self.due(now) => {
                self.servo(self.origin_roll(), now, joints);
            }
            Act::Turn if self.due(now) => self.lead(self.origin_roll(), goal, elapsed, now),
            Act::Cease if elapsed.as_secs_f64() <= TURN * PART / SPEED && self.due(now) => {
                self.lead(self.aside(TURN), goal, elapsed, now);
            }
            Act::Say(..) | Act::Goal(_) | Act::Turn | Act::Cease => {}
        }
    }

    /// One set-point of a slow turn that has lasted for `elapsed`.
    fn lead(&mut self, from: f64, goal: f64, elapsed: Duration, now: Stamp) {
        let most = SPEED * elapsed.as_secs_f64();
        let to = from + (goal - from).clamp(-most, most);
        self.led = Some(to);
        self.servo(to, now, self.chain.dof());
    }

    fn restoring(&mut self, since: Stamp, asked: Option<Stamp>, now: Stamp) -> Stage {
        let mut asked = asked;
        let wanted = self.found.unwrap_or(OperatingState::Disabled);
        let back = self.lead_to(wanted, &mut asked, now)
            && (wanted != OperatingState::Enabled || !self.arm.is_homed || self.led_back(now));
        if !back && since.age(now) < PREPARING {
            return Stage::Restoring { since, asked };
        }
        if !back {
            let why = format!("the arm could not be brought back to {}", wanted.name());
            self.stopped = Some(self.stopped.take().map_or_else(|| why.clone(), |s| format!("{s}; {why}")));
        }
        Stage::Done
    }
}

/// What will be done, in plain words.
pub fn plan(options: &Options) -> Vec<String> {
    script::plan(options.level, options.home)
}

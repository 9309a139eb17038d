//! `proctor shadow`: a recording of a robot, judged as the safety node would have judged it. No writer that reaches an arm exists, and no network.
//!
//! The recording is played in lockstep, a millisecond at a time, each message when it was sent; the same recording gives the same report.

use crate::{profile::Profile, stack::find_root};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use proctor_bus::{Bus, Names, Node, RawPublisher, Subscriber, Topic, graph};
use proctor_console::words;
use proctor_recorder::bag::{self, Bag};
use proctor_safety::{Intent, SafetyNode, SafetyParams};
use proctor_types::{ArmId, Constraint, Outcome, SafetyMode, SafetyState, Stamp, Verdict, ZoneLabel, ZonesState};
use serde::Serialize;
use std::{collections::BTreeMap, io::Write, path::PathBuf, time::Duration};

/// Tick of the safety node.
const TICK: Duration = Duration::from_millis(1);
/// The same verdict again within this is the same episode; the node repeats a lasting one ten times a second.
const SAME: Duration = Duration::from_millis(250);
/// Longest recording, s.
const LONGEST: f64 = 6.0 * 3600.0;
/// How many episodes may last at the same time.
const OPEN: usize = 256;
/// Most episodes of a report.
const MOST: usize = 100_000;

/// [`Intent`] on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum IntentName {
    /// What is written on the arms' `servo_jp` and `jaw/servo_jp`.
    ServoJp,
    /// The robot's own `setpoint_js`: for robots that are not commanded over ROS.
    SetpointJs,
}

impl From<IntentName> for Intent {
    fn from(name: IntentName) -> Self {
        match name {
            IntentName::ServoJp => Self::ServoJp,
            IntentName::SetpointJs => Self::SetpointJs,
        }
    }
}

/// Arguments of `proctor shadow`.
#[derive(Debug, Args)]
pub struct ShadowArgs {
    /// The recording: MCAP as `--record` writes it, a ROS 1 bag, a .db3 file, or a folder of rosbag2.
    bag: PathBuf,
    /// The robot's profile, where its topics are called otherwise. Proctor's own recordings have Proctor's names.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// What is taken for the commands of the arms.
    #[arg(long, value_enum, default_value_t = IntentName::SetpointJs)]
    intent: IntentName,
    /// Folder of safety.toml and zones.toml; launch/config without it.
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// Write the report into this file, too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// One verdict for as long as it lasted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Episode {
    /// When it began, s since the recording's beginning.
    pub from: f64,
    /// When it was said last, s.
    pub until: f64,
    /// About which arm; absent for the node as a whole.
    pub arm: Option<ArmId>,
    /// What would have happened.
    pub outcome: Outcome,
    /// Why.
    pub constraint: Constraint,
    /// The worst value, in the constraint's unit.
    pub value: f64,
    /// What it may be.
    pub limit: f64,
    /// Which joint, zone or class; -1 for none.
    pub index: i32,
    /// The same in words.
    pub words: String,
}

/// What would have happened.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Report {
    /// Length of the recording, s.
    pub seconds: f64,
    /// How long commands were judged, s. While an arm is not ready, or moves after a stop, nothing is.
    pub judged: f64,
    /// What was refused, limited and stopped, in order.
    pub episodes: Vec<Episode>,
    /// Episodes per constraint.
    pub counts: BTreeMap<String, u64>,
    /// Topics that were there but of another type.
    pub passed_over: BTreeMap<String, String>,
    /// Topics that were not there, or empty.
    pub missing: Vec<String>,
    /// Whether the recording ends as a finished one does.
    pub complete: bool,
}

/// What is played: the topics that a recording must hold.
pub fn topics(intent: Intent) -> Vec<Topic> {
    let mut topics = vec![graph::scene(), graph::e_stop()];
    for arm in ArmId::ALL {
        topics.extend([graph::measured_js(arm), graph::operating_state(arm), graph::measured_cf(arm)]);
        topics.push(match intent {
            Intent::ServoJp => graph::servo_jp(arm),
            Intent::SetpointJs => graph::setpoint_js(arm),
        });
        if arm.has_jaw() {
            topics.push(graph::jaw_measured_js(arm));
            if intent == Intent::ServoJp {
                topics.push(graph::jaw_servo_jp(arm));
            }
        }
    }
    topics
}

/// When a message reaches the node. Joints and states are there when they are sent; a scene is when it is logged, since its stamp is its picture's.
fn arrives(message: &bag::Recorded, topics: &[Topic]) -> Stamp {
    if topics[message.topic].arm.is_some() { message.sent() } else { message.logged }
}

/// Judges a recording of `topics`.
pub fn judge(bag: Bag, intent: Intent, params: SafetyParams) -> anyhow::Result<Report> {
    let (bus, topics) = (Bus::memory(), topics(intent));
    let mut node = SafetyNode::shadow(&bus, params, intent)?;
    let writers = topics.iter().map(|t| bus.raw_publisher(t)).collect::<Result<Vec<RawPublisher>, _>>()?;
    let mut notes = Notes::new(&bus, intent)?;
    let mut messages: Vec<_> = bag.messages.into_iter().map(|m| (arrives(&m, &topics), m)).collect();
    // Stable: messages of one moment keep the file's order.
    messages.sort_by_key(|(at, _)| *at);
    let (Some((first, _)), Some((last, _))) = (messages.first(), messages.last()) else {
        anyhow::bail!("the recording holds nothing that can be judged");
    };
    let (first, last) = (*first, *last);
    let seconds = last.seconds_since(first);
    anyhow::ensure!(
        seconds <= LONGEST,
        "{seconds:.0} s between the first and the last message, at most {LONGEST} are judged"
    );
    let mut heard = vec![0_u64; topics.len()];
    let (mut now, mut waiting) = (first, messages.into_iter().peekable());
    while waiting.peek().is_some() {
        while let Some((_, message)) = waiting.next_if(|(at, _)| *at <= now) {
            heard[message.topic] += 1;
            writers[message.topic].publish(message.cdr);
        }
        node.poll(now);
        notes.take(now, first);
        now = now.plus(TICK);
    }
    let silent = topics.iter().zip(&heard).filter(|(_, n)| **n == 0).map(|(t, _)| t.name.to_string());
    let Notes { judged, episodes, .. } = notes;
    let mut counts = BTreeMap::new();
    episodes.iter().for_each(|e| *counts.entry(e.constraint.name().to_owned()).or_default() += 1);
    let (passed_over, complete, missing) = (bag.passed_over, bag.complete, silent.collect());
    Ok(Report { seconds, judged, episodes, counts, passed_over, missing, complete })
}

/// What the node says, gathered.
struct Notes {
    verdicts: Subscriber<Verdict>,
    states: Subscriber<SafetyState>,
    zones: Subscriber<ZonesState>,
    labels: Vec<ZoneLabel>,
    intent: Intent,
    mode: SafetyMode,
    judged: f64,
    /// Stamp of the last verdict of each episode.
    renewed: Vec<Stamp>,
    episodes: Vec<Episode>,
}

/// A set-point that is said every few milliseconds is a stair, whose steps ask for more than the motion does: how fast a joint is led cannot be judged by it.
fn is_of_stairs(v: &Verdict) -> bool {
    let how_fast = [Constraint::JointVelocity, Constraint::JointAcceleration, Constraint::JointJerk];
    v.outcome == Outcome::Limited && how_fast.contains(&v.constraint)
}

impl Notes {
    fn new(bus: &Bus, intent: Intent) -> anyhow::Result<Self> {
        Ok(Self {
            verdicts: bus.subscriber(&graph::verdict())?,
            states: bus.subscriber(&graph::safety_state())?,
            zones: bus.subscriber(&graph::zones_state())?,
            labels: Vec::new(),
            intent,
            mode: SafetyMode::default(),
            judged: 0.0,
            renewed: Vec::new(),
            episodes: Vec::new(),
        })
    }

    fn take(&mut self, now: Stamp, first: Stamp) {
        if let Some(zones) = self.zones.newest() {
            self.labels = zones.zones;
        }
        if let Some(state) = self.states.newest() {
            self.mode = state.mode;
        }
        if self.mode == SafetyMode::Teleop {
            self.judged += TICK.as_secs_f64();
        }
        for _ in 0..self.verdicts.waiting() {
            if let Some(Ok(verdict)) = self.verdicts.take() {
                self.note(&verdict, now.seconds_since(first), first);
            }
        }
    }

    fn note(&mut self, v: &Verdict, at: f64, first: Stamp) {
        if v.outcome == Outcome::Passed || (self.intent == Intent::SetpointJs && is_of_stairs(v)) {
            return;
        }
        let same = |e: &Episode| (e.arm, e.outcome, e.constraint, e.index) == (v.arm, v.outcome, v.constraint, v.index);
        let mut latest = self.episodes.iter().enumerate().rev().take(OPEN);
        let open = latest.find(|(i, e)| same(e) && self.renewed[*i].age(v.stamp) <= SAME).map(|(i, _)| i);
        if let Some(i) = open {
            let e = &mut self.episodes[i];
            e.until = at;
            if (v.value - v.limit).abs() > (e.value - e.limit).abs() {
                (e.value, e.limit) = (v.value, v.limit);
                e.words = words::verdict(v, &self.labels).unwrap_or_default();
            }
            self.renewed[i] = v.stamp;
            return;
        }
        if self.episodes.len() == MOST {
            return;
        }
        self.renewed.push(v.stamp);
        self.episodes.push(Episode {
            from: v.stamp.seconds_since(first),
            until: at,
            arm: v.arm,
            outcome: v.outcome,
            constraint: v.constraint,
            value: v.value,
            limit: v.limit,
            index: v.index,
            words: words::verdict(v, &self.labels).unwrap_or_default(),
        });
    }
}

impl Report {
    /// For people.
    pub fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        for e in &self.episodes {
            let (name, unit) = (e.constraint.name(), e.constraint.unit());
            let joint = if e.index >= 0 { format!(" [{}]", e.index) } else { String::new() };
            writeln!(
                out,
                "{:>9.3} s  {:>7.3} s long  {:<18} {} ({:.4} against {:.4} {unit}{joint})",
                e.from,
                e.until - e.from,
                name,
                e.words,
                e.value,
                e.limit
            )?;
        }
        self.passed_over.iter().try_for_each(|(topic, why)| writeln!(out, "{topic} was passed over: {why}"))?;
        if !self.missing.is_empty() {
            writeln!(out, "not in the recording: {}", self.missing.join(", "))?;
        }
        if !self.complete {
            writeln!(out, "the recording was cut off: its end is missing")?;
        }
        let counts: Vec<_> = self.counts.iter().map(|(name, n)| format!("{n} {name}")).collect();
        let counts = if counts.is_empty() { "nothing would have been refused".to_owned() } else { counts.join(", ") };
        writeln!(out, "{:.1} s of {:.1} s judged: {counts}", self.judged, self.seconds)
    }
}

/// Judges a recording and says what would have happened.
pub fn run(args: &ShadowArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let profile = args.profile.as_deref().map(Profile::read).transpose()?;
    let folder = match &args.config {
        Some(folder) => folder.clone(),
        None => find_root()?.join("launch/config"),
    };
    let mut params = SafetyParams::read(&folder)?;
    if let Some(profile) = &profile {
        profile.tell_safety(&mut params)?;
    }
    let names = profile.map_or_else(Names::default, |p| p.names());
    let intent = args.intent.into();
    let bag = bag::read(&args.bag, &topics(intent), &names)?;
    let report = judge(bag, intent, params).with_context(|| args.bag.display().to_string())?;
    report.write(out)?;
    if let Some(file) = &args.json {
        std::fs::write(file, serde_json::to_string_pretty(&report)?).with_context(|| file.display().to_string())?;
    }
    Ok(())
}

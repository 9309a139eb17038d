//! The probe on a bus. At level *watch* this has no writer of anything.

use crate::{
    Level, Report,
    probe::{Heard, Options, Probe, Say},
    watch::Ends,
    wire::{AsIs, Servo, Word},
};
use proctor_bus::{Announced, Bus, BusError, Node, Publisher, Subscriber, Topic, Urgency, graph};
use proctor_kinematics::Chain;
use proctor_msgs::{crtk_msgs, geometry_msgs::PoseStamped, sensor_msgs::JointState};
use proctor_seal::Sealer;
use proctor_types::{ArmId, SafetyState, Stamp, ToArm};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Messages of one topic held until they are looked at.
const DEPTH: usize = 256;
/// How often the graph is asked who writes and reads.
const GRAPH: Duration = Duration::from_millis(500);

/// Where the report appears when the probe is done.
pub type Outcome = Arc<Mutex<Option<Report>>>;

/// What can send.
struct Voice {
    servo: Publisher<ToArm<Servo>>,
    word: Publisher<ToArm<Word>>,
    sealer: Option<Sealer>,
}

impl Voice {
    fn say(&mut self, say: Say) -> Result<(), BusError> {
        match say {
            Say::Servo(servo) => self.servo.publish(&sealed(&mut self.sealer, servo)),
            Say::Word(word) => self.word.publish(&sealed(&mut self.sealer, word)),
        }
    }
}

fn sealed<T: proctor_seal::Command>(sealer: &mut Option<Sealer>, body: T) -> ToArm<T> {
    sealer.as_mut().map_or(ToArm { body, seal: None }, |s| s.seal(body))
}

/// The probe as a node.
pub struct ProbeNode {
    bus: Bus,
    topics: [Topic; Ends::ALL.len()],
    measured: Subscriber<AsIs<JointState>>,
    setpoint: Subscriber<AsIs<JointState>>,
    jaw: Option<Subscriber<AsIs<JointState>>>,
    pose: Subscriber<AsIs<PoseStamped>>,
    state: Subscriber<AsIs<crtk_msgs::OperatingState>>,
    servo: Subscriber<AsIs<JointState>>,
    word: Subscriber<AsIs<crtk_msgs::StringStamped>>,
    safety: Subscriber<SafetyState>,
    voice: Option<Voice>,
    probe: Probe,
    looked: Option<Stamp>,
    in_memory: bool,
    leave: Arc<AtomicBool>,
    outcome: Outcome,
}

fn topics(arm: ArmId) -> [Topic; Ends::ALL.len()] {
    Ends::ALL.map(|end| match end {
        Ends::MeasuredJs => graph::measured_js(arm),
        Ends::SetpointJs => graph::setpoint_js(arm),
        Ends::MeasuredCp => graph::measured_cp(arm),
        Ends::Jaw => graph::jaw_measured_js(arm),
        Ends::OperatingState => graph::operating_state(arm),
        Ends::ServoJp => graph::servo_jp(arm),
        Ends::StateCommand => graph::state_command(arm),
    })
}

impl ProbeNode {
    /// On `bus`. With a `sealer` what is sent is sealed as the safety node's commands are; without, it is plain CRTK.
    pub fn new(bus: &Bus, options: Options, chain: Chain, sealer: Option<Sealer>) -> Result<Self, BusError> {
        let (arm, level) = (options.arm, options.level);
        let voice = if level > Level::Watch {
            let servo = bus.publisher(&graph::servo_jp(arm))?;
            Some(Voice { servo, word: bus.publisher(&graph::state_command(arm))?, sealer })
        } else {
            None
        };
        let joints = |topic: &Topic| bus.subscriber_of_depth::<AsIs<JointState>>(topic, DEPTH);
        Ok(Self {
            topics: topics(arm),
            measured: joints(&graph::measured_js(arm))?,
            setpoint: joints(&graph::setpoint_js(arm))?,
            jaw: arm.has_jaw().then(|| joints(&graph::jaw_measured_js(arm))).transpose()?,
            pose: bus.subscriber_of_depth(&graph::measured_cp(arm), DEPTH)?,
            state: bus.subscriber_of_depth(&graph::operating_state(arm), DEPTH)?,
            servo: joints(&graph::servo_jp(arm))?,
            word: bus.subscriber_of_depth(&graph::state_command(arm), DEPTH)?,
            safety: bus.subscriber(&graph::safety_state())?,
            voice,
            probe: Probe::new(options, chain),
            looked: None,
            in_memory: bus.is_memory(),
            bus: bus.clone(),
            leave: Arc::default(),
            outcome: Arc::default(),
        })
    }

    /// Where the report appears.
    pub fn outcome(&self) -> Outcome {
        self.outcome.clone()
    }

    /// Set, it makes the probe disable the arm, if it has said anything to it, and end.
    pub fn leave(&self) -> Arc<AtomicBool> {
        self.leave.clone()
    }

    fn collect(&mut self, now: Stamp) -> Vec<Heard> {
        let mut heard = Vec::new();
        if self.looked.is_none_or(|l| l.age(now) >= GRAPH) {
            self.looked = Some(now);
            heard.push(Heard::Graph(Box::new(Ends::ALL.map(|end| self.others(end)))));
        }
        drain(&self.state, |m| heard.push(Heard::State(m)));
        drain(&self.measured, |m| heard.push(Heard::Measured(m)));
        drain(&self.setpoint, |m| heard.push(Heard::Setpoint(m)));
        self.jaw.iter().for_each(|jaw| drain(jaw, |m| heard.push(Heard::Jaw(m))));
        drain(&self.pose, |m| heard.push(Heard::Pose(m)));
        drain(&self.servo, |m| heard.push(Heard::Servo(m)));
        drain(&self.word, |m| heard.push(Heard::Word(m)));
        if self.safety.newest().is_some() {
            heard.push(Heard::SafetyNode);
        }
        if self.leave.load(Ordering::Relaxed) {
            heard.push(Heard::Leave);
        }
        heard
    }

    /// Who else is at a topic: in memory the graph counts this node too.
    fn others(&self, end: Ends) -> Announced {
        let mut announced = self.bus.announced(&self.topics[end.index()]);
        if self.in_memory {
            announced.readers.pop();
            if self.voice.is_some() && matches!(end, Ends::ServoJp | Ends::StateCommand) {
                announced.writers.pop();
            }
        }
        announced
    }
}

fn drain<M>(from: &Subscriber<AsIs<M>>, mut take: impl FnMut(M))
where
    AsIs<M>: proctor_bus::Wire,
{
    // As many as wait now: a writer that never stops cannot keep us.
    (0..from.waiting()).filter_map(|_| from.take()?.ok()).for_each(|AsIs(m)| take(m));
}

impl Node for ProbeNode {
    fn name(&self) -> &'static str {
        "conformance"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    fn poll(&mut self, now: Stamp) {
        let heard = self.collect(now);
        for say in self.probe.step(now, &heard) {
            if let Some(Err(error)) = self.voice.as_mut().map(|v| v.say(say)) {
                tracing::error!(%error, "not sent");
            }
        }
        if let Some(report) = self.probe.report() {
            *self.outcome.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
        }
    }
}

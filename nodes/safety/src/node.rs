//! The shell: bus in, [`SafetyCore::step`], bus out. [`SafetyNode`] runs the core inside `poll` (lockstep, tests, simple
//! deployments); [`SafetyNode::real_time`] gives the core a thread of its own and leaves the bus to `poll`.
//!
//! [`SafetyNode::shadow`] is the same core without hands: it takes for commands what others command the arms, judges, and has no writer of anything
//! that reaches an arm. Which of the two a node is, is chosen when it is made, and cannot be changed.
//!
//! CRTK: the node seals what it sends to arms (docs/adr/0006, *Commands*) and writes `servo_jp`, `jaw/servo_jp` and `state_command` of every arm and nobody else does. On Enable it sends
//! `enable`, `resume` or `home` to arms that need it (at most every 0.5 s, for 15 s); on Disable, `disable`.

use crate::{
    ArmPort, Cleared, Event, Events, Finding, LiveScene, Output, PerArm, Planner, SafetyCore, SafetyError,
    SafetyParams, SetPoint, realtime,
    report::{self, Margins},
    rezoning::Rezoning,
    understudy::Understudy,
};
use proctor_bus::{Bus, BusError, ConvertError, Node, Publisher, Subscriber, Urgency, Wire, graph};
use proctor_seal::{Refusal, Sealer, Spoken, Verified, Verifier};
use proctor_types::{
    ArmForce, ArmId, ArmJoints, ArmStatus, Constraint, Decision, Diagnostics, Jaw, JointCommand, OperatorRequest,
    Outcome, Presence, Proposal, RequestKind, SafetyMode, SafetyState, Scene, Sealed, Stamp, StateCommand, ToArm,
    Verdict, Withdrawal, ZonesState,
};
use std::time::Duration;

/// Most messages of one kind taken per poll.
const BATCH: usize = 16;
/// Most proposals prepared per poll: each costs up to a few milliseconds.
const PROPOSALS: usize = 1;

/// What a node in shadow mode takes for the commands of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intent {
    /// Whatever is written on the arm's `servo_jp`, and on its jaw's.
    ServoJp,
    /// The robot's own `setpoint_js`: what a robot steers towards whose commands do not come over ROS. Says nothing of the jaw.
    SetpointJs,
}

/// What one arm says, and who wants what of it.
struct ArmTopics {
    joints: Subscriber<ArmJoints>,
    jaw: Option<Subscriber<Jaw>>,
    force: Subscriber<ArmForce>,
    status: Subscriber<ArmStatus>,
    teleop: Subscriber<JointCommand>,
    teleop_jaw: Option<Subscriber<Jaw>>,
}

/// What reaches one arm.
struct Hand {
    servo: Publisher<ToArm<JointCommand>>,
    servo_jaw: Option<Publisher<ToArm<Jaw>>>,
    state_command: Publisher<ToArm<StateCommand>>,
}

/// What operators say.
struct Words {
    decision: Subscriber<Sealed<Decision>>,
    presence: Subscriber<Sealed<Presence>>,
    request: Subscriber<Sealed<OperatorRequest>>,
}

/// What the node is for.
enum Part {
    /// It hears operators and commands the arms.
    Gate { hands: PerArm<Hand>, words: Words, verifier: Verifier, sealer: Sealer },
    /// It judges: no writer of anything that reaches an arm exists.
    Shadow(Understudy),
}

impl Part {
    fn gate(bus: &Bus, verifier: Verifier) -> Result<Self, BusError> {
        let words = Words {
            decision: bus.subscriber(&graph::decision())?,
            presence: bus.subscriber(&graph::presence())?,
            request: bus.subscriber(&graph::request())?,
        };
        let hands = PerArm::try_from_fn(|arm| Hand::new(bus, arm))?;
        Ok(Self::Gate { hands, words, sealer: verifier.sealer(), verifier })
    }
}

impl Hand {
    fn new(bus: &Bus, arm: ArmId) -> Result<Self, BusError> {
        Ok(Self {
            servo: bus.publisher(&graph::servo_jp(arm))?,
            servo_jaw: arm.has_jaw().then(|| bus.publisher(&graph::jaw_servo_jp(arm))).transpose()?,
            state_command: bus.publisher(&graph::state_command(arm))?,
        })
    }
}

impl ArmTopics {
    /// Of an arm that is commanded by teleoperation, or in shadow mode by whoever writes what `intent` says.
    fn new(bus: &Bus, arm: ArmId, intent: Option<Intent>) -> Result<Self, BusError> {
        let (wanted, jaw) = match intent {
            None => (graph::teleop_servo_jp(arm), Some(graph::teleop_jaw(arm))),
            Some(Intent::ServoJp) => (graph::servo_jp(arm), Some(graph::jaw_servo_jp(arm))),
            Some(Intent::SetpointJs) => (graph::setpoint_js(arm), None),
        };
        Ok(Self {
            joints: bus.subscriber(&graph::measured_js(arm))?,
            jaw: arm.has_jaw().then(|| bus.subscriber(&graph::jaw_measured_js(arm))).transpose()?,
            force: bus.subscriber(&graph::measured_cf(arm))?,
            status: bus.subscriber(&graph::operating_state(arm))?,
            teleop: bus.subscriber(&wanted)?,
            teleop_jaw: jaw.filter(|_| arm.has_jaw()).map(|jaw| bus.subscriber(&jaw)).transpose()?,
        })
    }
}

/// Everything the node hears and says.
pub(crate) struct Comms {
    part: Part,
    arms: PerArm<ArmTopics>,
    scene: Subscriber<Scene>,
    proposal: Subscriber<Proposal>,
    withdrawal: Subscriber<Withdrawal>,
    e_stop: Subscriber<Sealed<OperatorRequest>>,
    state: Publisher<SafetyState>,
    verdict: Publisher<Verdict>,
    diagnostics: Publisher<Diagnostics>,
    zones: Publisher<ZonesState>,
    rezoning: Rezoning,
    planner: Planner,
    said: Option<SafetyState>,
    pub(crate) margins: Margins,
    reported: Option<Stamp>,
    failed: u64,
}

impl ArmPort for Comms {
    fn send(&mut self, command: &Cleared<SetPoint>) {
        let SetPoint { arm, stamp, position, jaw } = *command.get();
        let Part::Gate { hands, sealer, .. } = &mut self.part else { return };
        let hand = hands.get(arm);
        let joints = hand.servo.publish(&sealer.seal(JointCommand { arm, stamp, position }));
        let jaws = match (&hand.servo_jaw, jaw) {
            (Some(publisher), Some(position)) => publisher.publish(&sealer.seal(Jaw { arm, stamp, position })),
            (None | Some(_), _) => Ok(()),
        };
        self.note(joints.and(jaws));
    }
}

impl Comms {
    fn new(
        bus: &Bus,
        params: &SafetyParams,
        part: Result<Part, BusError>,
        intent: Option<Intent>,
    ) -> Result<Self, SafetyError> {
        let (rezoning, planner) = (Rezoning::new(params), Planner::new(params)?);
        let opened = part.and_then(|part| Self::open(bus, rezoning, planner, part, intent));
        opened.map_err(|e| SafetyError::Bus(e.to_string()))
    }

    fn open(
        bus: &Bus,
        rezoning: Rezoning,
        planner: Planner,
        part: Part,
        intent: Option<Intent>,
    ) -> Result<Self, BusError> {
        Ok(Self {
            part,
            arms: PerArm::try_from_fn(|arm| ArmTopics::new(bus, arm, intent))?,
            scene: bus.subscriber(&graph::scene())?,
            proposal: bus.subscriber(&graph::proposal())?,
            withdrawal: bus.subscriber(&graph::withdrawal())?,
            e_stop: bus.subscriber(&graph::e_stop())?,
            state: bus.publisher(&graph::safety_state())?,
            verdict: bus.publisher(&graph::verdict())?,
            diagnostics: bus.publisher(&graph::diagnostics())?,
            zones: bus.publisher(&graph::zones_state())?,
            rezoning,
            planner,
            said: None,
            margins: Margins::default(),
            reported: None,
            failed: 0,
        })
    }

    fn note(&mut self, sent: Result<(), BusError>) {
        if let Err(error) = sent {
            self.failed += 1;
            if worth_saying(self.failed) {
                tracing::warn!(%error, failed = self.failed, "safety could not publish");
            }
        }
    }

    /// Takes what arrived, what stops first. `push` says whether there is room for more.
    pub(crate) fn collect(&mut self, push: &mut dyn FnMut(Event) -> bool) {
        let more = self.hear_e_stop(push)
            && self.rezoning.done().is_none_or(&mut *push)
            && self.hear_operators(push)
            && each(&self.withdrawal, None, BATCH, push, Event::Withdrawal)
            && ArmId::ALL.into_iter().all(|arm| self.collect_arm(arm, push))
            && newest(&self.scene, None, push, |s| Event::Scene(Box::new(LiveScene::new(&s))))
            && each(&self.proposal, None, PROPOSALS, push, |p| match self.planner.prepare(&p) {
                Ok(plan) => Event::Plan(Box::new(plan)),
                Err(finding) => Event::Refused(finding),
            });
        // After the proposals, so that one approved at once is known.
        if let (true, Part::Gate { words, verifier, .. }) = (more, &self.part) {
            each(&words.decision, None, BATCH, push, |d| verified(verifier, &d, Event::Decision));
        }
    }

    fn hear_operators(&self, push: &mut dyn FnMut(Event) -> bool) -> bool {
        let Part::Gate { words, verifier, .. } = &self.part else { return true };
        hear_requests(&words.request, verifier, push)
            && each(&words.presence, None, BATCH, push, |p| verified(verifier, &p, Event::Presence))
    }

    /// Whatever arrives on the e-stop's own topic is one: unsealed, damaged, unreadable. Nothing said elsewhere can crowd it out.
    fn hear_e_stop(&self, push: &mut dyn FnMut(Event) -> bool) -> bool {
        let heard = (0..BATCH).filter(|_| self.e_stop.take().is_some()).count();
        heard == 0 || push(Event::EStop)
    }

    fn collect_arm(&self, arm: ArmId, push: &mut dyn FnMut(Event) -> bool) -> bool {
        let t = self.arms.get(arm);
        let from = Some(arm);
        t.jaw.as_ref().is_none_or(|s| newest(s, from, push, Event::Jaw))
            && newest(&t.joints, from, push, Event::Joints)
            && newest(&t.force, from, push, Event::Force)
            && newest(&t.status, from, push, Event::Status)
            && self.collect_wanted(t, from, push)
    }

    /// In shadow mode others command the arm whether the core judges or not: what comes while it does not is passed over, not refused.
    fn collect_wanted(&self, t: &ArmTopics, from: Option<ArmId>, push: &mut dyn FnMut(Event) -> bool) -> bool {
        let judging = self.said.is_some_and(|s| s.mode == SafetyMode::Teleop);
        if matches!(self.part, Part::Shadow(_)) && !judging {
            t.teleop.newest();
            t.teleop_jaw.as_ref().map(Subscriber::newest);
            return true;
        }
        newest(&t.teleop, from, push, Event::Teleop)
            && t.teleop_jaw.as_ref().is_none_or(|s| newest(s, from, push, Event::TeleopJaw))
    }

    /// What the understudy asks for now, in shadow mode.
    fn understudy(&mut self, now: Stamp) -> Option<Event> {
        match &mut self.part {
            Part::Shadow(understudy) => understudy.ask(now, self.said.as_ref()),
            Part::Gate { .. } => None,
        }
    }

    /// Publishes one tick's output.
    pub(crate) fn publish(&mut self, out: &mut Output) {
        for command in &out.commands {
            self.send(command);
        }
        for request in &out.arm_requests {
            self.ask_arm(*request);
        }
        for verdict in &out.verdicts {
            let sent = self.verdict.publish(verdict);
            self.note(sent);
        }
        if let Some(state) = &out.state {
            if let Some(change) = report::change(self.said.map(|s| s.mode), state, &out.verdicts) {
                tracing::info!("{change}");
            }
            let sent = self.state.publish(state);
            self.note(sent);
            self.said = Some(*state);
        }
        if let Some(margins) = out.margins {
            self.margins = margins;
        }
        if out.read_zones {
            self.rezoning.begin();
        }
        out.zones.into_iter().for_each(|version| self.rezoning.taken(version));
        out.spent.clear();
    }

    fn ask_arm(&mut self, request: StateCommand) {
        let Part::Gate { hands, sealer, .. } = &mut self.part else { return };
        let sent = hands.get(request.arm).state_command.publish(&sealer.seal(request));
        self.note(sent);
    }

    /// Once a second, how the node fares.
    fn report(&mut self, now: Stamp, lap: Option<&realtime::Health>) {
        if self.reported.is_some_and(|last| last.age(now) < report::EVERY && last <= now) {
            return;
        }
        self.reported = Some(now);
        let sent = self.diagnostics.publish(&report::report(now, self.said.as_ref(), &self.margins, lap));
        self.note(sent);
    }
}

/// The first, then every thousandth: a dead network must not become a flood of text.
fn worth_saying(nth: u64) -> bool {
    nth % 1000 == 1
}

/// Whether a verdict in a tick in which the understudy asked is of others: what the understudy is refused is nobody's command.
fn is_of_others(verdict: &mut Verdict) -> bool {
    verdict.arm.is_some() || verdict.outcome != Outcome::Refused
}

/// Looks through every request that can wait, since an e-stop may be behind the others; it needs no proof here either. Of refusals
/// a batch is handed on: more would only take the room of what arms measure.
fn hear_requests(
    from: &Subscriber<Sealed<OperatorRequest>>,
    verifier: &Verifier,
    push: &mut dyn FnMut(Event) -> bool,
) -> bool {
    let (mut room, mut refusals) = (true, 0);
    for _ in 0..graph::Qos::EVENTS.depth {
        let Some(message) = room.then(|| from.take()).flatten() else { break };
        let event = match message {
            Ok(r) if r.body.kind == RequestKind::EStop => Event::EStop,
            Ok(r) => verified(verifier, &r, Event::Request),
            Err(error) => malformed(None, &error),
        };
        refusals += usize::from(matches!(event, Event::Refused(_)));
        if refusals <= BATCH || !matches!(event, Event::Refused(_)) {
            room = push(event);
        }
    }
    room
}

/// Believes a sealed word or says why not.
fn verified<T: Spoken>(verifier: &Verifier, sealed: &Sealed<T>, event: fn(Verified<T>) -> Event) -> Event {
    let refused = |constraint| {
        let operator = f64::from(sealed.body.operator().0);
        Event::Refused(Finding::node(constraint, operator, 0.0))
    };
    match verifier.open(sealed) {
        Ok(word) => event(word),
        Err(Refusal::NotAuthentic) => refused(Constraint::NotAuthentic),
        Err(Refusal::OtherBoot) => refused(Constraint::CrossSession),
    }
}

/// A message that is none: said as a verdict, and nothing else happens.
fn malformed(arm: Option<ArmId>, error: &ConvertError) -> Event {
    tracing::debug!(%error, ?arm, "safety refused a message");
    Event::Refused(Finding { arm, constraint: Constraint::Malformed, value: 0.0, limit: 0.0, index: -1 })
}

/// Hands on up to `limit` messages in order. Returns whether there is room for more.
fn each<T: Wire>(
    from: &Subscriber<T>,
    arm: Option<ArmId>,
    limit: usize,
    push: &mut dyn FnMut(Event) -> bool,
    event: impl Fn(T) -> Event,
) -> bool {
    let mut room = true;
    for _ in 0..limit {
        let Some(message) = room.then(|| from.take()).flatten() else { break };
        room = push(message.map_or_else(|e| malformed(arm, &e), &event));
    }
    room
}

/// Hands on the newest message, and that one was malformed if any was. Returns whether there is room for more.
fn newest<T: Wire>(
    from: &Subscriber<T>,
    arm: Option<ArmId>,
    push: &mut dyn FnMut(Event) -> bool,
    event: impl Fn(T) -> Event,
) -> bool {
    let (mut last, mut refused) = (None, None);
    for _ in 0..BATCH {
        match from.take() {
            Some(Ok(value)) => last = Some(value),
            Some(Err(error)) => refused = Some(error),
            None => break,
        }
    }
    refused.is_none_or(|e| push(malformed(arm, &e))) && last.is_none_or(|value| push(event(value)))
}

enum Half {
    /// The core runs inside `poll`.
    Inline(Box<SafetyCore>, Events),
    /// The core has a thread of its own.
    Split(realtime::Link),
}

/// The safety node on a bus.
pub struct SafetyNode {
    comms: Comms,
    half: Half,
}

impl SafetyNode {
    /// A node that runs its core inside `poll` and believes what `verifier` believes.
    pub fn new(bus: &Bus, params: SafetyParams, verifier: Verifier) -> Result<Self, SafetyError> {
        let (comms, core) = halves(bus, params, verifier)?;
        let core = Box::new(core);
        Ok(Self { comms, half: Half::Inline(core, Events::new()) })
    }

    /// A node that takes for commands what others command the arms, and judges it as in TELEOP. Nothing that reaches an arm has a writer in it. When the
    /// core stops, it is asked to go on judging once the arms rest.
    pub fn shadow(bus: &Bus, params: SafetyParams, intent: Intent) -> Result<Self, SafetyError> {
        let understudy = Understudy::new();
        let boot = understudy.boot();
        let comms = Comms::new(bus, &params, Ok(Part::Shadow(understudy)), Some(intent))?;
        let mut core = SafetyCore::new(params)?;
        core.boot_as(boot);
        core.in_shadow();
        Ok(Self { comms, half: Half::Inline(Box::new(core), Events::new()) })
    }

    /// A node whose core runs in its own thread, at real-time priority and with its memory locked where the system permits
    /// it; `poll` only talks to the bus. The thread ends when `options.stop` is set; [`realtime::RealTime`] tells how it fares.
    pub fn real_time(
        bus: &Bus,
        params: SafetyParams,
        verifier: Verifier,
        options: realtime::Options,
    ) -> Result<(Self, realtime::RealTime), SafetyError> {
        let (comms, core) = halves(bus, params, verifier)?;
        let (link, thread) = realtime::start(core, options)?;
        Ok((Self { comms, half: Half::Split(link) }, thread))
    }
}

/// The bus half, which verifies seals, and the core, which takes verified words only.
fn halves(bus: &Bus, params: SafetyParams, verifier: Verifier) -> Result<(Comms, SafetyCore), SafetyError> {
    let boot = verifier.boot();
    let comms = Comms::new(bus, &params, Part::gate(bus, verifier), None)?;
    let mut core = SafetyCore::new(params)?;
    core.boot_as(boot);
    Ok((comms, core))
}

impl Node for SafetyNode {
    fn name(&self) -> &'static str {
        "safety"
    }

    fn period(&self) -> Duration {
        crate::PERIOD
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    /// Only while nothing can move, or nothing is its to stop.
    fn may_pause(&self) -> bool {
        let disabled = self.comms.said.is_none_or(|s| s.mode == SafetyMode::Disabled);
        disabled || matches!(self.comms.part, Part::Shadow(_))
    }

    fn poll(&mut self, now: Stamp) {
        if let Some(zones) = self.comms.rezoning.news(now) {
            let sent = self.comms.zones.publish(&zones);
            self.comms.note(sent);
        }
        match &mut self.half {
            Half::Inline(core, events) => {
                let asks = self.comms.understudy(now);
                let asked = asks.is_some_and(|event| events.try_push(event).is_ok());
                self.comms.collect(&mut |event| {
                    // There was room, or `push` would have said so.
                    let _ = events.try_push(event);
                    !events.is_full()
                });
                let out = core.step(now, events);
                if asked {
                    out.verdicts.retain(is_of_others);
                }
                self.comms.publish(out);
                self.comms.report(now, None);
            }
            Half::Split(link) => {
                // A core that hangs takes nothing: then what was said waits on the bus.
                if link.has_room() {
                    self.comms.collect(&mut |event| link.push(event));
                }
                link.drain(&mut self.comms);
                self.comms.report(now, Some(&link.health));
            }
        }
    }
}

#[cfg(test)]
#[path = "node_tests.rs"]
mod node_tests;

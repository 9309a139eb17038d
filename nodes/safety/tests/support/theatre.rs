//! A safety node on a bus, a surgeon with a key, and somebody else on the same network who can send any bytes.

use crate::support::{self, BOOT, Cellar, MS, SURGEON, home, joints, key, sway, verifier};
use proctor_bus::{Bus, ConvertError, Node, Publisher, Subscriber, Wire, graph};
use proctor_msgs::{Message, Origin, cdr, proctor_msgs as msg};
use proctor_safety::{PerArm, SafetyNode, SafetyParams};
use proctor_seal::{SessionKey, Spoken};
use proctor_types::{
    ArmId, ArmJoints, ArmStatus, Boot, Constraint, Decision, DecisionKind, Digest, Jaw, JointCommand, OperatingState,
    OperatorRequest, Outcome, Presence, Proposal, RequestKind, SafetyMode, SafetyState, Scene, Sealed, Stamp, Verdict,
};

/// A message as it came over the network: any values in its fields.
pub struct Raw<M>(pub M);

impl<M: Message + Clone> Wire for Raw<M> {
    type Msg = M;

    fn encode(&self) -> M {
        self.0.clone()
    }

    fn decode(m: &M, _: Origin) -> Result<Self, ConvertError> {
        Ok(Self(m.clone()))
    }
}

/// What operators say, its message, and where it goes.
pub trait OnTheWire: Spoken
where
    Sealed<Self>: Wire<Msg = Self::Msg>,
{
    type Msg: Message + Clone;
    fn topic(t: &Theatre) -> &Publisher<Raw<Self::Msg>>;
}

impl OnTheWire for Decision {
    type Msg = msg::Decision;
    fn topic(t: &Theatre) -> &Publisher<Raw<msg::Decision>> {
        &t.decisions
    }
}

impl OnTheWire for Presence {
    type Msg = msg::Presence;
    fn topic(t: &Theatre) -> &Publisher<Raw<msg::Presence>> {
        &t.presences
    }
}

impl OnTheWire for OperatorRequest {
    type Msg = msg::OperatorRequest;
    fn topic(t: &Theatre) -> &Publisher<Raw<msg::OperatorRequest>> {
        &t.requests
    }
}

/// Bytes on the network.
pub fn bytes<T: Wire>(value: &T) -> Vec<u8> {
    cdr::to_cdr(&value.encode())
}

/// What bytes are read as, if they can be.
pub fn read<M: Message>(bytes: &[u8]) -> Option<M> {
    cdr::from_cdr(&cdr::Layout::of::<M>(), bytes).ok()
}

pub struct Theatre {
    bus: Bus,
    node: SafetyNode,
    /// Makes scenes and proposals; its own core rests.
    pub cell: Cellar,
    pub now: Stamp,
    ticks: u64,
    seq: u64,
    pub at: PerArm<[f64; 7]>,
    /// What the surgeon holds, if anything.
    pub hold: Option<Digest>,
    /// The surgeon's login.
    pub key: SessionKey,
    pub decisions: Publisher<Raw<msg::Decision>>,
    pub presences: Publisher<Raw<msg::Presence>>,
    pub requests: Publisher<Raw<msg::OperatorRequest>>,
    pub e_stops: Publisher<Raw<msg::OperatorRequest>>,
    pub proposals: Publisher<Proposal>,
    scenes: Publisher<Scene>,
    joints: Vec<Publisher<ArmJoints>>,
    jaws: Vec<Publisher<Jaw>>,
    status: Vec<Publisher<ArmStatus>>,
    servo: Vec<Subscriber<JointCommand>>,
    states: Subscriber<SafetyState>,
    verdict: Subscriber<Verdict>,
    pub verdicts: Vec<Verdict>,
    pub state: Option<SafetyState>,
}

impl Theatre {
    /// DISABLED, everybody healthy.
    pub fn new() -> Self {
        let bus = Bus::memory();
        let cell = Cellar::new(SafetyParams::default());
        let node = SafetyNode::new(&bus, SafetyParams::default(), verifier()).unwrap();
        let mut t = Self {
            now: cell.now,
            ticks: 0,
            seq: 0,
            at: PerArm::from_fn(home),
            hold: None,
            key: key(SURGEON),
            decisions: bus.publisher(&graph::decision()).unwrap(),
            presences: bus.publisher(&graph::presence()).unwrap(),
            requests: bus.publisher(&graph::request()).unwrap(),
            e_stops: bus.publisher(&graph::e_stop()).unwrap(),
            proposals: bus.publisher(&graph::proposal()).unwrap(),
            scenes: bus.publisher(&graph::scene()).unwrap(),
            joints: ArmId::ALL.map(|a| bus.publisher(&graph::measured_js(a)).unwrap()).into(),
            jaws: ArmId::PSMS.map(|a| bus.publisher(&graph::jaw_measured_js(a)).unwrap()).into(),
            status: ArmId::ALL.map(|a| bus.publisher(&graph::operating_state(a)).unwrap()).into(),
            servo: ArmId::ALL.map(|a| bus.subscriber(&graph::servo_jp(a)).unwrap()).into(),
            states: bus.subscriber(&graph::safety_state()).unwrap(),
            verdict: bus.subscriber(&graph::verdict()).unwrap(),
            verdicts: Vec::new(),
            state: None,
            bus,
            node,
            cell,
        };
        t.run(50);
        t
    }

    /// SUPERVISED by the surgeon.
    pub fn supervised() -> Self {
        let mut t = Self::new();
        t.ask(RequestKind::Enable);
        t.run(5);
        t.ask(RequestKind::Supervise);
        t.run(25);
        assert_eq!(t.mode(), SafetyMode::Supervised, "{:?}", t.verdicts);
        t
    }

    /// A node that starts anew on the same bus, with the clock as it is.
    pub fn restart(&mut self, boot: Boot) {
        let verifier = proctor_seal::Verifier::new(support::root(), boot);
        self.node = SafetyNode::new(&self.bus, SafetyParams::default(), verifier).unwrap();
    }

    pub fn tick(&mut self) {
        self.now = self.now.plus(MS);
        (self.cell.now, self.cell.at) = (self.now, self.at);
        for arm in ArmId::ALL {
            let (i, q) = (arm.index(), *self.at.get(arm));
            let velocity = proctor_types::Joints::zeros(arm.dof());
            self.joints[i].publish(&ArmJoints { arm, stamp: self.now, position: joints(arm, &q), velocity }).unwrap();
            let (state, stamp) = (OperatingState::Enabled, self.now);
            self.status[i].publish(&ArmStatus { arm, stamp, state, is_homed: true, is_busy: false }).unwrap();
            if arm.has_jaw() {
                self.jaws[i].publish(&Jaw { arm, stamp, position: q[6] }).unwrap();
            }
        }
        if self.ticks.is_multiple_of(33) {
            let scene = self.cell.scene();
            self.scenes.publish(&scene).unwrap();
        }
        if let Some(digest) = self.hold.filter(|_| self.ticks.is_multiple_of(20)) {
            let p = self.presence(true, digest);
            self.say(p);
        }
        self.ticks += 1;
        self.node.poll(self.now);
        for (arm, servo) in ArmId::ALL.into_iter().zip(&self.servo) {
            if let Some(c) = servo.newest() {
                self.at.get_mut(arm)[..arm.dof()].copy_from_slice(&c.position);
            }
        }
        while let Some(v) = self.verdict.take() {
            self.verdicts.push(v.unwrap());
        }
        self.state = self.states.newest().or(self.state);
    }

    pub fn run(&mut self, ticks: usize) {
        (0..ticks).for_each(|_| self.tick());
    }

    pub fn mode(&self) -> SafetyMode {
        self.state.unwrap().mode
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    pub fn request(&mut self, kind: RequestKind) -> OperatorRequest {
        OperatorRequest { stamp: self.now, seq: self.next(), operator: SURGEON, kind }
    }

    pub fn presence(&mut self, held: bool, digest: Digest) -> Presence {
        Presence { stamp: self.now, seq: self.next(), operator: SURGEON, held, digest }
    }

    pub fn approval(&mut self, p: &Proposal) -> Decision {
        let (seq, digest) = (self.next(), p.digest());
        Decision { stamp: self.now, seq, operator: SURGEON, proposal: p.id, digest, kind: DecisionKind::Approve }
    }

    /// Sealed with the surgeon's key.
    pub fn sealed<T: Spoken>(&self, word: T) -> Sealed<T> {
        self.key.seal(BOOT, word)
    }

    /// The surgeon says it.
    pub fn say<T: OnTheWire>(&self, word: T)
    where
        Sealed<T>: Wire<Msg = T::Msg>,
    {
        self.send(&self.sealed(word));
    }

    pub fn ask(&mut self, kind: RequestKind) {
        let r = self.request(kind);
        self.say(r);
    }

    /// Anybody says it.
    pub fn send<T: OnTheWire>(&self, word: &Sealed<T>)
    where
        Sealed<T>: Wire<Msg = T::Msg>,
    {
        T::topic(self).publish(&Raw(word.encode())).unwrap();
    }

    /// Anybody sends bytes; says whether they could be read as a message at all.
    pub fn send_bytes<T: OnTheWire>(&self, bytes: &[u8]) -> bool
    where
        Sealed<T>: Wire<Msg = T::Msg>,
    {
        let message: Option<T::Msg> = read(bytes);
        let readable = message.is_some();
        message.into_iter().for_each(|m| T::topic(self).publish(&Raw(m)).unwrap());
        readable
    }

    /// A motion that safety knows and may be approved.
    pub fn offered(&mut self) -> Proposal {
        self.cell.now = self.now;
        let p = sway(&mut self.cell);
        self.proposals.publish(&p).unwrap();
        self.run(2);
        p
    }

    /// What was refused, except scenes and measurements that a clock set back made old: their verdicts have no number to come.
    pub fn refused(&self) -> Vec<Constraint> {
        let words = |v: &&Verdict| v.constraint != Constraint::Sequence || (v.arm.is_none() && v.limit > 0.0);
        self.verdicts.iter().filter(|v| v.outcome == Outcome::Refused).filter(words).map(|v| v.constraint).collect()
    }

    /// The surgeon goes on as if nothing had happened: back into SUPERVISED if need be, a new motion approved and held, and it runs.
    pub fn assert_surgeon_is_heard(&mut self, name: &str) {
        if self.mode() == SafetyMode::Hold {
            // Until scenes and measurements are newer than before the clock was set back.
            self.run(700);
            self.ask(RequestKind::Ready);
            self.run(25);
            self.ask(RequestKind::Supervise);
            self.run(25);
        }
        let p = self.offered();
        let before = self.at;
        let d = self.approval(&p);
        self.say(d);
        self.hold = Some(p.digest());
        self.run(400);
        assert_ne!(self.at, before, "{name}: the surgeon's own approval runs; {:?}", self.verdicts.last());
    }

    /// An e-stop that proves nothing.
    pub fn assert_e_stop_works(&mut self, name: &str) {
        let word = OperatorRequest {
            stamp: Stamp::FIRST,
            seq: 0,
            operator: proctor_types::OperatorId(0),
            kind: RequestKind::EStop,
        };
        self.e_stops.publish(&Raw(Sealed::bare(word).encode())).unwrap();
        self.tick();
        assert_eq!(self.mode(), SafetyMode::Fault, "{name}: an e-stop stops in its tick");
    }
}

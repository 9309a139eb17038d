//! Whole-stack tests: the real nodes, the real model and the built-in simulator on the in-memory bus, in lockstep with a simulated
//! clock. [`World`] is the fixture; the tests are in `tests/`.

use proctor::{
    exec::Lockstep,
    monitor::Monitor,
    stack::{Nodes, Stack, StackConfig, find_root},
};
use proctor_bus::{Bus, Publisher, Subscriber, graph};
use proctor_seal::{SESSION_LIFETIME, SessionKey};
use proctor_sim::{Faults, node::SharedSimulator};
use proctor_types::{
    Boot, Constraint, Decision, DecisionKind, OperatorId, OperatorRequest, Presence, Proposal, RequestKind, Role,
    SafetyMode, SafetyState, Scene, Sealed, SessionId, Skill, Stamp, Verdict,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// How often the operator of these tests says that the hold is pressed.
const PRESENCE_EVERY: u64 = 20;

/// How long the operator of these tests looks at a suggestion, milliseconds.
const REACTION_MS: u64 = 500;

/// When the clock of these tests starts.
fn start() -> Stamp {
    Stamp::FIRST.plus(Duration::from_secs(1000))
}

/// An operator who speaks on the bus as the console does.
pub struct Operator {
    id: OperatorId,
    seq: u64,
    key: SessionKey,
    boot: Boot,
    decisions: Publisher<Sealed<Decision>>,
    presences: Publisher<Sealed<Presence>>,
    requests: Publisher<Sealed<OperatorRequest>>,
}

impl Operator {
    fn new(bus: &Bus, config: &StackConfig) -> anyhow::Result<Self> {
        let id = OperatorId::new(1, Role::Scripted);
        let expires = start().plus(SESSION_LIFETIME);
        Ok(Self {
            id,
            seq: 0,
            key: SessionKey::new(&config.root, id, SessionId([1; 16]), expires),
            boot: config.boot,
            decisions: bus.publisher(&graph::decision())?,
            presences: bus.publisher(&graph::presence())?,
            requests: bus.publisher(&graph::request())?,
        })
    }

    fn next(&mut self) -> u64 {
        self.seq += 1;
        self.seq
    }

    /// Sends a request.
    pub fn request(&mut self, now: Stamp, kind: RequestKind) {
        let request = OperatorRequest { stamp: now, seq: self.next(), operator: self.id, kind };
        self.requests.publish(&self.key.seal(self.boot, request)).unwrap_or_default();
    }

    /// Approves or rejects.
    pub fn decide(&mut self, now: Stamp, proposal: &Proposal, kind: DecisionKind) {
        let seq = self.next();
        let (operator, digest) = (self.id, proposal.digest());
        let decision = Decision { stamp: now, seq, operator, proposal: proposal.id, digest, kind };
        self.decisions.publish(&self.key.seal(self.boot, decision)).unwrap_or_default();
    }

    /// Says whether the hold for a proposal is pressed.
    pub fn hold(&mut self, now: Stamp, proposal: &Proposal, held: bool) {
        let presence = Presence { stamp: now, seq: self.next(), operator: self.id, held, digest: proposal.digest() };
        self.presences.publish(&self.key.seal(self.boot, presence)).unwrap_or_default();
    }
}

/// The whole loop in lockstep with an operator.
pub struct World {
    /// What all of them speak on.
    pub bus: Bus,
    /// The nodes and the clock.
    pub exec: Lockstep,
    /// The simulated cell.
    pub simulator: SharedSimulator,
    /// The operator.
    pub operator: Operator,
    monitor: Arc<Mutex<Monitor>>,
    states: Subscriber<SafetyState>,
    proposals: Subscriber<Proposal>,
    scenes: Subscriber<Scene>,
    verdict_feed: Subscriber<Verdict>,
    state: Option<SafetyState>,
    proposal: Option<Proposal>,
    scene: Option<Scene>,
    /// Every verdict so far.
    pub verdicts: Vec<Verdict>,
}

impl World {
    /// The demo's cell with this seed, arms DISABLED, clock at 1000 s.
    pub fn new(seed: u64) -> anyhow::Result<Self> {
        let config = StackConfig::simulated(&find_root()?, seed)?;
        let bus = Bus::memory();
        let stack = Stack::new(&bus, &config)?;
        let operator = Operator::new(&bus, &config)?;
        let states = bus.subscriber_of_depth(&graph::safety_state(), 64)?;
        let proposals = bus.subscriber_of_depth(&graph::proposal(), 64)?;
        let scenes = bus.subscriber(&graph::scene())?;
        let verdict_feed = bus.subscriber_of_depth(&graph::verdict(), 4096)?;
        let (monitor, simulator) = (stack.nodes.monitor.monitor(), stack.simulator.clone());
        let mut exec = Lockstep::new(start());
        let Stack { plant, camera, nodes, .. } = stack;
        let Nodes { perception, fusion, frames, autonomy, console, safety, monitor: judge, .. } = nodes;
        exec.add(Box::new(plant));
        exec.add(Box::new(camera));
        exec.add(Box::new(perception));
        exec.add(Box::new(fusion));
        exec.add(Box::new(frames));
        exec.add(Box::new(autonomy));
        exec.add(Box::new(console));
        exec.add(Box::new(safety));
        exec.add(Box::new(judge));
        Ok(Self {
            bus,
            exec,
            simulator,
            operator,
            monitor,
            states,
            proposals,
            scenes,
            verdict_feed,
            state: None,
            proposal: None,
            scene: None,
            verdicts: Vec::new(),
        })
    }

    /// One millisecond.
    pub fn tick(&mut self) {
        self.exec.tick();
        while let Some(state) = self.states.take() {
            self.state = state.ok().or(self.state);
        }
        while let Some(proposal) = self.proposals.take() {
            self.proposal = proposal.ok().or(self.proposal.take());
        }
        if let Some(scene) = self.scenes.newest() {
            self.scene = Some(scene);
        }
        while let Some(verdict) = self.verdict_feed.take() {
            self.verdicts.extend(verdict.ok());
        }
    }

    /// Some milliseconds.
    pub fn run_ms(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.tick());
    }

    /// Until `done`, at most `limit_ms`; whether it came about.
    pub fn until(&mut self, limit_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        (0..limit_ms).any(|_| {
            self.tick();
            done(self)
        })
    }

    /// As [`World::until`], with the hold for `proposal` pressed.
    pub fn hold_until(&mut self, proposal: &Proposal, limit_ms: u64, mut done: impl FnMut(&Self) -> bool) -> bool {
        (0..limit_ms).any(|ms| {
            if ms % PRESENCE_EVERY == 0 {
                self.operator.hold(self.exec.now(), proposal, true);
            }
            self.tick();
            done(self)
        })
    }

    /// Sends a request now.
    pub fn request(&mut self, kind: RequestKind) {
        self.operator.request(self.exec.now(), kind);
    }

    /// Decides now.
    pub fn decide(&mut self, proposal: &Proposal, kind: DecisionKind) {
        self.operator.decide(self.exec.now(), proposal, kind);
    }

    /// The safety node's latest state.
    pub fn state(&self) -> SafetyState {
        self.state.unwrap_or_else(|| panic!("the safety node never reported"))
    }

    /// The safety node's mode, DISABLED before its first report.
    pub fn mode(&self) -> SafetyMode {
        self.state.map(|s| s.mode).unwrap_or_default()
    }

    /// The newest proposal of a skill that can still be approved.
    pub fn live_proposal(&self, skill: Option<Skill>) -> Option<Proposal> {
        let fits = |p: &&Proposal| skill.is_none_or(|s| s == p.skill) && p.expires > self.exec.now();
        self.proposal.as_ref().filter(fits).cloned()
    }

    /// Enables, supervises and waits for a proposal.
    pub fn to_proposal(&mut self, skill: Option<Skill>) -> Proposal {
        self.run_ms(100);
        self.request(RequestKind::Enable);
        assert!(self.until(3000, |w| w.mode() == SafetyMode::Ready), "never READY: {:?}", self.explain());
        // Refused until the arms are homed and a scene is there: asked again, as a person would.
        let supervised = (0..16).any(|_| {
            self.request(RequestKind::Supervise);
            self.until(500, |w| w.mode() == SafetyMode::Supervised)
        });
        assert!(supervised, "never SUPERVISED: {:?}", self.explain());
        assert!(self.until(20_000, |w| w.live_proposal(skill).is_some()), "no proposal: {:?}", self.explain());
        self.live_proposal(skill).unwrap_or_else(|| panic!("just seen"))
    }

    /// Approves and holds until a tenth of the motion has run.
    pub fn start_motion(&mut self, proposal: &Proposal) {
        self.decide(proposal, DecisionKind::Approve);
        let started = self.hold_until(proposal, 5000, |w| w.state().moving && w.state().progress > 0.1);
        assert!(started, "motion never started: {:?}", self.explain());
    }

    /// Approves and holds one suggestion after another, as they come, until one of `skill` was executed. `None` if that did not
    /// happen within `limit_ms`.
    pub fn carry_out(&mut self, skill: Skill, limit_ms: u64) -> Option<Proposal> {
        let end = self.exec.now().plus(Duration::from_millis(limit_ms));
        let mut last = None;
        while self.exec.now() < end {
            self.tick();
            let next = self.live_proposal(None).filter(|p| last != Some(p.id));
            let Some(proposal) = next.filter(|_| self.mode() == SafetyMode::Supervised) else { continue };
            last = Some(proposal.id);
            // Nobody approves what has just appeared.
            self.run_ms(REACTION_MS);
            let before = self.executed();
            self.decide(&proposal, DecisionKind::Approve);
            let limit = 2000 + (1500.0 * proposal.trajectory.duration()) as u64;
            let over = |w: &Self| {
                w.executed() > before
                    || (!w.state().moving && w.live_proposal(None).is_some_and(|p| p.id != proposal.id))
            };
            self.hold_until(&proposal, limit, over);
            if proposal.skill == skill && self.executed() > before {
                return Some(proposal);
            }
        }
        None
    }

    /// Injects faults into the simulator, or with the default takes them back.
    pub fn inject(&mut self, faults: Faults) {
        self.simulator.lock().unwrap_or_else(PoisonError::into_inner).inject(faults);
    }

    /// Whether some verdict since `index` named this constraint.
    pub fn named_since(&self, index: usize, constraint: Constraint) -> bool {
        self.verdicts.iter().skip(index).any(|v| v.constraint == constraint)
    }

    /// Commanded joints of every arm: what the safety node last let through.
    pub fn set_points(&self) -> Vec<Vec<f64>> {
        let simulator = self.simulator.lock().unwrap_or_else(PoisonError::into_inner);
        proctor_types::ArmId::ALL.iter().map(|&a| simulator.arm_state(a).position.to_vec()).collect()
    }

    /// Fails if the monitor saw a violation.
    pub fn assert_no_violation(&self) {
        let monitor = self.monitor.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(monitor.violations(), [], "the monitor saw violations");
        assert_eq!(monitor.summary().violations, 0, "the safety node saw violations");
    }

    /// Motions executed so far.
    pub fn executed(&self) -> u64 {
        self.state.map_or(0, |s| s.executed)
    }

    /// State, what fusion believes and the last verdicts, for failure messages.
    pub fn explain(&self) -> String {
        let last: Vec<_> = self.verdicts.iter().rev().take(6).collect();
        let scene = self.scene.as_ref().map(|s| {
            let tools = s.instruments.iter().map(|i| {
                let sigma = (0..3).map(|k| i.covariance[(k, k)]).fold(0.0, f64::max).sqrt();
                format!("{} {:?}, {:.1} px, {:.1} mm", i.arm, i.alignment, i.residual_px, sigma * 1e3)
            });
            let tools: Vec<_> = tools.collect();
            format!("{tools:?}, quality {:?}, grasp {:?}, {} points", s.quality, s.grasp_target, s.surface.len())
        });
        format!("state {:?}, scene {scene:?}, last verdicts {last:#?}", self.state)
    }
}

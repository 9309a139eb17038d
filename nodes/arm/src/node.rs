//! The arms of the world on the bus, and the world's time.

use crate::{ArmNodeError, Following, Sample, SharedFaults, WorldArm, stamp};
use proctor_bus::{Bus, BusError, Node, Publisher, Urgency, graph};
use proctor_controller::{ArmConfig, ArmPorts, Commander, Due, Report, TICK};
use proctor_gazebo::{Arm, Joint};
use proctor_gz::{
    Advertised, Client, GzError, Subscription,
    messages::{Clock, Double, Model},
};
use proctor_kinematics::Chain;
use proctor_sim::{Fault, Faults, InFlight, faults::ArmFaults};
use proctor_types::{ArmId, ArmJoints, ArmPose, InvalidValue, Jaw, JointCommand, Joints, Stamp};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Messages of the world that may wait for a poll: a second of its steps.
const DEPTH: usize = 512;
/// Most samples that are late: those of the longest delay and lag together, one per millisecond.
const LATE: usize = (Fault::MAX_DELAY.as_millis() + Fault::MAX_LAG.as_millis()) as usize + 1;

/// Parameters of [`ArmsNode`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArmsParams {
    /// Simulated milliseconds between measured joints, 1 to 100.
    pub measured_every_ms: u32,
    /// Simulated milliseconds between operating states that did not change, 10 to 10000.
    pub state_every_ms: u32,
    /// A command older than this many simulated milliseconds is not taken from the safety node, 5 to 1000.
    pub expiry_ms: u32,
    /// Opening of the jaws at the start, rad, 0 to 1.
    pub jaw: f64,
}

impl Default for ArmsParams {
    fn default() -> Self {
        Self { measured_every_ms: 4, state_every_ms: 100, expiry_ms: 100, jaw: 0.4 }
    }
}

impl ArmsParams {
    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), InvalidValue> {
        for (what, value, min, max) in [
            ("measured_every_ms", f64::from(self.measured_every_ms), 1.0, 100.0),
            ("state_every_ms", f64::from(self.state_every_ms), 10.0, 10_000.0),
            ("expiry_ms", f64::from(self.expiry_ms), 5.0, 1000.0),
            ("jaw", self.jaw, 0.0, 1.0),
        ] {
            if !(min..=max).contains(&value) {
                return Err(InvalidValue::Range { what, value, min, max });
            }
        }
        Ok(())
    }
}

/// One arm between the world and the bus.
struct Between {
    described: Arm,
    logic: WorldArm,
    chain: Chain,
    states: Subscription<Model>,
    joints: Vec<Advertised<Double>>,
    jaws: Vec<Advertised<Double>>,
    ports: ArmPorts,
    /// How the joints stood, while the encoders' words are late.
    late: InFlight<Sample>,
    /// Measured joints fell due, but nothing newer than what was said last had come.
    owes: bool,
    /// Stamp of the measured joints that were said last.
    said: Option<Stamp>,
    refused: u64,
}

impl Between {
    fn new(world: &Client, (chain, home): (&Chain, &Joints), ports: ArmPorts, jaw: f64) -> Result<Self, ArmNodeError> {
        let arm = ports.arm();
        let described = Arm::of(arm)?;
        let command = |joint: &Joint| world.advertise::<Double>(&joint.command);
        let config =
            ArmConfig { latency: Duration::ZERO, jaw: if arm.has_jaw() { jaw } else { 0.0 }, ..ArmConfig::default() };
        Ok(Self {
            logic: WorldArm::new(arm, chain.limits(), home, config, Following::default()),
            chain: chain.clone(),
            states: world.subscribe(&described.state_topic(), DEPTH)?,
            joints: described.joints.iter().map(command).collect::<Result<_, GzError>>()?,
            jaws: described.jaw.iter().flat_map(|jaw| &jaw.sides).map(command).collect::<Result<_, _>>()?,
            described,
            ports,
            late: InFlight::new(LATE),
            owes: false,
            said: None,
            refused: 0,
        })
    }

    /// Takes in what the world said of the arm.
    fn hear_world(&mut self) {
        while let Some(model) = self.states.take() {
            match Sample::of(&model, &self.described) {
                Ok(sample) => self.logic.measure(sample),
                Err(error) => {
                    self.refused += 1;
                    if self.refused % 1000 == 1 {
                        tracing::warn!(arm = %self.logic.id(), total = self.refused, "joint state of the world not taken: {error}");
                    }
                }
            }
        }
    }

    /// Steers the world's joints at simulated time `now`. A silent arm hears nothing.
    fn steer(&mut self, now: Stamp, faults: &ArmFaults) {
        let logic = &mut self.logic;
        self.ports.hear(now, |command| {
            if !faults.silent {
                logic.command(command);
            }
        });
        if faults.fault {
            logic.fault();
        }
        let Some((joints, jaw)) = logic.step(now) else { return };
        self.joints.iter().zip(joints.iter()).for_each(|(to, at)| to.publish(&Double { data: *at }));
        self.jaws.iter().for_each(|to| to.publish(&Double { data: jaw / 2.0 }));
    }

    /// Says how the arm fares, once it is one.
    fn say(&mut self, now: Stamp, due: Due, faults: &Faults) -> Result<(), BusError> {
        let (arm, of_arm) = (self.logic.id(), faults.arm(self.logic.id()));
        let (Some(plant), Some(sample)) = (self.logic.plant(), self.logic.sample()) else { return Ok(()) };
        // What was measured is finite and of the chain's length.
        let Ok(base_from_tip) = self.chain.fk(&sample.position) else { return Ok(()) };
        let measured = self.late.pass(now, *sample, of_arm.delay + faults.joint_lag).map(|late| {
            let Sample { position, velocity, jaw, .. } = late;
            let stamp = faults.jumped(late.stamp.plus(faults.joint_lag));
            (ArmJoints { arm, stamp, position, velocity }, Jaw { arm, stamp, position: jaw })
        });
        let report = Report {
            measured,
            nan: of_arm.nan,
            setpoint: JointCommand { arm, stamp: faults.jumped(now), position: plant.setpoint() },
            pose: ArmPose { arm, stamp: faults.jumped(sample.stamp), base_from_tip },
            force: None,
            status: plant.status(faults.jumped(now)),
            silent: of_arm.silent,
        };
        // Never the same joints twice: readers take a stamp that does not rise for a fault.
        self.owes |= due.measured;
        let news = measured.map(|(joints, _)| joints.stamp).filter(|stamp| self.owes && self.said != Some(*stamp));
        if news.is_some() {
            if self.said.is_none() {
                tracing::info!(%arm, "stands where operations begin");
            }
            (self.owes, self.said) = (false, news);
        }
        self.ports.publish(&report, Due { measured: news.is_some(), ..due })
    }

    fn warn(&mut self) {
        let warnings = self.logic.take_warnings();
        if let Some(first) = warnings.first.first() {
            tracing::warn!(arm = %self.logic.id(), count = warnings.count, "{first}");
        }
    }
}

/// The arms: hears Gazebo's clock and joints, steers them, publishes CRTK states and `/clock`. Polled on the machine's clock.
pub struct ArmsNode {
    params: ArmsParams,
    clock_in: Subscription<Clock>,
    clock_out: Publisher<Stamp>,
    arms: Vec<Between>,
    faults: SharedFaults,
    now: Option<Stamp>,
}

impl ArmsNode {
    /// Between `world` and `bus`. `stands` says what stands in each arm's place, and its joints where operations begin; `faults` what is wrong.
    pub fn new(
        bus: &Bus,
        world: &Client,
        stands: impl Fn(ArmId) -> (Chain, Joints),
        params: ArmsParams,
        (from, faults): (&Commander, SharedFaults),
    ) -> Result<Self, ArmNodeError> {
        params.validate()?;
        let expiry = Duration::from_millis(params.expiry_ms.into());
        let mut arms = Vec::new();
        for arm in ArmId::ALL {
            let (chain, home) = stands(arm);
            let ports = ArmPorts::new(bus, arm, from, expiry)?;
            arms.push(Between::new(world, (&chain, &home), ports, params.jaw)?);
        }
        let clock_in = world.subscribe("/clock", DEPTH)?;
        Ok(Self { params, clock_in, clock_out: bus.publisher(&graph::clock())?, arms, faults, now: None })
    }
}

/// Whole simulated milliseconds.
fn ticks(stamp: Option<Stamp>) -> u64 {
    stamp.map_or(0, |s| s.nanos() as u64 / TICK.as_nanos() as u64)
}

impl Node for ArmsNode {
    fn name(&self) -> &'static str {
        "arms"
    }

    fn period(&self) -> Duration {
        TICK
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    fn poll(&mut self, _now: Stamp) {
        let Some(clock) = self.clock_in.newest() else { return };
        let Some(now) = stamp(clock.sim.as_ref()).filter(|now| self.now != Some(*now)) else { return };
        let (last, at) = (ticks(self.now), ticks(Some(now)));
        let began_anew = self.now.is_some_and(|before| before > now);
        self.now = Some(now);
        let fresh = |every| began_anew || Due::is(last, at, every);
        let due = Due { measured: fresh(self.params.measured_every_ms), state: fresh(self.params.state_every_ms) };
        let faults = self.faults.now();
        for arm in &mut self.arms {
            arm.hear_world();
            arm.steer(now, faults.arm(arm.logic.id()));
            if let Err(error) = arm.say(now, due, &faults) {
                tracing::error!(arm = %arm.logic.id(), %error, "not published");
            }
            if due.state {
                arm.warn();
            }
        }
        // Last, so that whoever is woken by it finds the states of this moment.
        if let Err(error) = self.clock_out.publish(&now) {
            tracing::error!(%error, "clock not published");
        }
    }
}

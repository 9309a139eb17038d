//! One arm's topics on the bus: commands in, states out.

use crate::{Command, Machine, PlantArm};
use proctor_bus::{Bus, BusError, Publisher, Subscriber, graph};
use proctor_msgs::{ConvertError, Origin, Wire, sensor_msgs::JointState};
use proctor_seal::{self as seal, Receiver, RootSecret};
use proctor_types::{ArmForce, ArmId, ArmJoints, ArmPose, ArmStatus, Jaw, JointCommand, Stamp, StateCommand, ToArm};
use std::time::Duration;

/// Measured joints that may be NaN: what a broken encoder sends.
struct RawJoints {
    joints: ArmJoints,
    nan: bool,
}

impl Wire for RawJoints {
    type Msg = JointState;

    fn encode(&self) -> JointState {
        let mut message = self.joints.encode();
        if self.nan {
            message.position.fill(f64::NAN);
        }
        message
    }

    fn decode(message: &JointState, origin: Origin) -> Result<Self, ConvertError> {
        ArmJoints::decode(message, origin).map(|joints| Self { joints, nan: false })
    }
}

/// Whose commands the arms take.
#[derive(Debug, Clone)]
pub enum Commander {
    /// Only what the safety node sealed with this secret, once, in order, and no older than the expiry that [`ArmPorts::new`] is given.
    Safety(RootSecret),
    /// Anybody's, as a CRTK robot does. For tests of the arms alone.
    Anybody,
}

/// What arrives on one topic of one arm.
struct Commands<T: seal::Command>
where
    ToArm<T>: Wire,
{
    arm: ArmId,
    topic: Subscriber<ToArm<T>>,
    depth: usize,
    receiver: Option<Receiver>,
    refused: u64,
}

impl<T: seal::Command> Commands<T>
where
    ToArm<T>: Wire,
{
    fn new(bus: &Bus, topic: &graph::Topic, arm: ArmId, from: &Commander, expiry: Duration) -> Result<Self, BusError> {
        let receiver = match from {
            Commander::Safety(root) => Some(Receiver::new(root, arm, expiry)),
            Commander::Anybody => None,
        };
        Ok(Self { arm, topic: bus.subscriber(topic)?, depth: topic.qos.depth, receiver, refused: 0 })
    }

    /// Hands on what is taken, oldest first. What is refused moves nothing.
    fn each(&mut self, now: Stamp, mut taken: impl FnMut(T)) {
        for _ in 0..self.depth {
            let Some(heard) = self.topic.take() else { break };
            let command = heard.map_err(|error| error.to_string()).and_then(|sealed| match &mut self.receiver {
                None => Ok(sealed.body),
                Some(receiver) => receiver.take(&sealed, now).map_err(|why| why.to_string()),
            });
            match command {
                Ok(command) => taken(command),
                Err(why) => self.refuse(&why),
            }
        }
    }

    /// The newest that is taken.
    fn newest(&mut self, now: Stamp) -> Option<T> {
        let mut newest = None;
        self.each(now, |command| newest = Some(command));
        newest
    }

    /// Says the first, then every thousandth.
    fn refuse(&mut self, why: &str) {
        self.refused += 1;
        if self.refused % 1000 == 1 {
            tracing::warn!(arm = %self.arm, kind = T::DOMAIN, total = self.refused, "command not taken: {why}");
        }
    }
}

/// One arm's topics.
pub struct ArmPorts {
    arm: ArmId,
    measured_js: Publisher<RawJoints>,
    setpoint_js: Publisher<JointCommand>,
    measured_cp: Publisher<ArmPose>,
    measured_cf: Option<Publisher<ArmForce>>,
    operating_state: Publisher<ArmStatus>,
    servo_jp: Commands<JointCommand>,
    state_command: Commands<StateCommand>,
    jaw: Option<(Publisher<Jaw>, Commands<Jaw>)>,
    last_status: Option<ArmStatus>,
}

/// What an arm has to say at one moment.
pub struct Report {
    /// Joints and jaw as the encoders say; absent while there is nothing to say of them.
    pub measured: Option<(ArmJoints, Jaw)>,
    /// The encoders are broken: the joints go out as NaN.
    pub nan: bool,
    /// What the joints are steered towards.
    pub setpoint: JointCommand,
    /// Tool tip in the base.
    pub pose: ArmPose,
    /// Contact force, on arms that measure one.
    pub force: Option<ArmForce>,
    /// CRTK operating state.
    pub status: ArmStatus,
    /// The arm says nothing at all.
    pub silent: bool,
}

/// What falls due at a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// Measured joints.
    pub measured: bool,
    /// A state that did not change.
    pub state: bool,
}

impl Due {
    /// Whether a multiple of `every` ticks lies in `(last, now]`; 0 is never.
    pub fn is(last: u64, now: u64, every: u32) -> bool {
        every != 0 && now / u64::from(every) > last / u64::from(every)
    }
}

impl ArmPorts {
    /// Of an arm that takes commands `from` somebody, none older than `expiry`.
    pub fn new(bus: &Bus, arm: ArmId, from: &Commander, expiry: Duration) -> Result<Self, BusError> {
        let jaw = if arm.has_jaw() {
            let heard = Commands::new(bus, &graph::jaw_servo_jp(arm), arm, from, expiry)?;
            Some((bus.publisher(&graph::jaw_measured_js(arm))?, heard))
        } else {
            None
        };
        Ok(Self {
            arm,
            measured_js: bus.publisher(&graph::measured_js(arm))?,
            setpoint_js: bus.publisher(&graph::setpoint_js(arm))?,
            measured_cp: bus.publisher(&graph::measured_cp(arm))?,
            measured_cf: arm.has_jaw().then(|| bus.publisher(&graph::measured_cf(arm))).transpose()?,
            operating_state: bus.publisher(&graph::operating_state(arm))?,
            servo_jp: Commands::new(bus, &graph::servo_jp(arm), arm, from, expiry)?,
            state_command: Commands::new(bus, &graph::state_command(arm), arm, from, expiry)?,
            jaw,
            last_status: None,
        })
    }

    /// Which arm.
    pub fn arm(&self) -> ArmId {
        self.arm
    }

    /// Hands what arrived to `obey`: state commands in order, of set-points the newest.
    pub fn hear(&mut self, now: Stamp, mut obey: impl FnMut(Command)) {
        self.state_command.each(now, |c| obey(Command::State(c.request)));
        if let Some(goal) = self.servo_jp.newest(now) {
            obey(Command::ServoJp(goal.position));
        }
        if let Some(goal) = self.jaw.as_mut().and_then(|(_, jaw)| jaw.newest(now)) {
            obey(Command::ServoJaw(goal.position));
        }
    }

    /// Says what is due; a state that changed is said at once.
    pub fn publish(&mut self, report: &Report, due: Due) -> Result<(), BusError> {
        if report.silent {
            return Ok(());
        }
        if let (true, Some((joints, jaw))) = (due.measured, &report.measured) {
            self.measured_js.publish(&RawJoints { joints: *joints, nan: report.nan })?;
            self.setpoint_js.publish(&report.setpoint)?;
            self.measured_cp.publish(&report.pose)?;
            if let (Some(publisher), Some(force)) = (&self.measured_cf, &report.force) {
                publisher.publish(force)?;
            }
            if let Some((publisher, _)) = &self.jaw {
                publisher.publish(jaw)?;
            }
        }
        let same =
            self.last_status.is_some_and(|last| ArmStatus { stamp: report.status.stamp, ..last } == report.status);
        if due.state || !same {
            self.last_status = Some(report.status);
            self.operating_state.publish(&report.status)?;
        }
        Ok(())
    }
}

impl PlantArm {
    /// The CRTK operating state at `now`.
    pub fn status(&self, now: Stamp) -> ArmStatus {
        let machine: &Machine = self.machine();
        let (state, is_homed) = (machine.state(), machine.is_homed());
        ArmStatus { arm: self.id(), stamp: now, state, is_homed, is_busy: self.is_busy() }
    }
}

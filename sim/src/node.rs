//! The simulator on the bus: the arms at 1 kHz and the endoscope at 30 Hz, sharing one [`Simulator`].
//!
//! Rendering happens outside the lock, on a snapshot. A NaN fault really puts NaN on the wire (`RawJoints`), so that receivers'
//! refusal is what protects them.

use crate::{
    faults::InFlight,
    plant::{ArmPorts, Due, Report},
    render::{Appearance, RenderError, Renderer, View, Want},
    simulator::{Simulator, Snapshot},
};
use proctor_bus::{Bus, BusError, Node, Publisher, Urgency, graph};
pub use proctor_controller::Commander;
use proctor_types::{
    ArmForce, ArmId, ArmJoints, ArmPose, ArmStatus, CameraCalibration, CameraImage, CameraSide, InvalidValue, Jaw,
    JointCommand, Stamp,
};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A simulator that two nodes and a test may share.
pub type SharedSimulator = Arc<Mutex<Simulator>>;

/// What can be wrong when a simulator's node starts.
#[derive(Debug, thiserror::Error)]
pub enum SimNodeError {
    /// The bus refused.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The renderer refused.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// A parameter is outside its range.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

/// A panic elsewhere while the lock was held leaves a simulator that is still consistent tick by tick.
fn lock(simulator: &Mutex<Simulator>) -> MutexGuard<'_, Simulator> {
    simulator.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Parameters of [`PlantNode`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlantParams {
    /// Milliseconds between measured joints, 1 to 100.
    pub measured_every_ms: u32,
    /// Milliseconds between operating states that did not change, 10 to 10000.
    pub state_every_ms: u32,
    /// Milliseconds between `/clock`, 1 to 1000; 0 for none.
    pub clock_every_ms: u32,
    /// A command older than this many milliseconds is not taken from the safety node, 5 to 1000.
    pub expiry_ms: u32,
}

impl Default for PlantParams {
    fn default() -> Self {
        Self { measured_every_ms: 5, state_every_ms: 100, clock_every_ms: 1, expiry_ms: 100 }
    }
}

impl PlantParams {
    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), InvalidValue> {
        for (what, value, min, max) in [
            ("measured_every_ms", self.measured_every_ms, 1, 100),
            ("state_every_ms", self.state_every_ms, 10, 10_000),
            ("clock_every_ms", self.clock_every_ms, 0, 1000),
            ("expiry_ms", self.expiry_ms, 5, 1000),
        ] {
            if !(min..=max).contains(&value) {
                let (value, min, max) = (f64::from(value), f64::from(min), f64::from(max));
                return Err(InvalidValue::Range { what, value, min, max });
            }
        }
        Ok(())
    }
}

/// What falls due at a poll, of the arms and of the clock.
#[derive(Clone, Copy, PartialEq, Eq)]
struct DueNow {
    arms: Due,
    clock: bool,
}

/// What an arm has to say, gathered under the lock and published after it.
fn report(simulator: &Simulator, arm: ArmId) -> Report {
    let faults = simulator.faults();
    let now = faults.jumped(simulator.now());
    let measured = simulator.reported_state(arm).map(|s| {
        let stamp = faults.jumped(s.stamp);
        let joints = ArmJoints { arm, stamp, position: s.position, velocity: s.velocity };
        (joints, Jaw { arm, stamp, position: s.jaw })
    });
    Report {
        measured,
        nan: faults.arm(arm).nan,
        setpoint: JointCommand { arm, stamp: now, position: simulator.plant(arm).setpoint() },
        pose: ArmPose { stamp: now, ..simulator.arm_pose(arm) },
        force: Some(ArmForce { stamp: now, ..simulator.arm_force(arm) }),
        status: ArmStatus { stamp: now, ..simulator.arm_status(arm) },
        silent: faults.arm(arm).silent,
    }
}

/// The arms: advances the simulator to `now`, hears CRTK commands, publishes CRTK states. 1 kHz.
pub struct PlantNode {
    simulator: SharedSimulator,
    params: PlantParams,
    arms: [ArmPorts; 3],
    clock: Publisher<Stamp>,
    last_tick: u64,
}

impl PlantNode {
    /// On `bus`; it alone advances `simulator`.
    pub fn new(
        bus: &Bus,
        simulator: SharedSimulator,
        params: PlantParams,
        from: &Commander,
    ) -> Result<Self, SimNodeError> {
        params.validate()?;
        let expiry = Duration::from_millis(params.expiry_ms.into());
        let [a, b, c] = ArmId::ALL.map(|arm| ArmPorts::new(bus, arm, from, expiry));
        let arms = [a?, b?, c?];
        Ok(Self { simulator, params, arms, clock: bus.publisher(&graph::clock())?, last_tick: 0 })
    }

    fn log_warnings(simulator: &mut Simulator) {
        for arm in ArmId::ALL {
            let warnings = simulator.take_warnings(arm);
            if let Some(first) = warnings.first.first() {
                tracing::warn!(%arm, count = warnings.count, "{first}");
            }
        }
    }
}

impl Node for PlantNode {
    fn name(&self) -> &'static str {
        "plant"
    }

    fn period(&self) -> Duration {
        crate::plant::TICK
    }

    fn urgency(&self) -> Urgency {
        Urgency::Prompt
    }

    fn poll(&mut self, now: Stamp) {
        let mut simulator = lock(&self.simulator);
        for arm in &mut self.arms {
            let id = arm.arm();
            arm.hear(now, |command| simulator.command(id, command));
        }
        simulator.advance_to(now);
        let ticks = simulator.ticks();
        let fresh = |every| Due::is(self.last_tick, ticks, every);
        let arms = Due { measured: fresh(self.params.measured_every_ms), state: fresh(self.params.state_every_ms) };
        let due = DueNow { arms, clock: fresh(self.params.clock_every_ms) };
        self.last_tick = ticks;
        let stamp = simulator.faults().jumped(simulator.now());
        let reports = self.arms.each_ref().map(|arm| report(&simulator, arm.arm()));
        if due.arms.state {
            Self::log_warnings(&mut simulator);
        }
        drop(simulator);
        for (arm, report) in self.arms.iter_mut().zip(&reports) {
            if let Err(error) = arm.publish(report, due.arms) {
                tracing::error!(arm = %arm.arm(), %error, "not published");
            }
        }
        if due.clock
            && let Err(error) = self.clock.publish(&stamp)
        {
            tracing::error!(%error, "clock not published");
        }
    }
}

/// Parameters of [`CameraNode`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CameraParams {
    /// Pictures per second, 1 to 120.
    pub fps: f64,
    /// Threads that render, 1 to 64.
    pub threads: usize,
    /// Seed of a random look; absent is the nominal look.
    pub appearance_seed: Option<u64>,
}

impl Default for CameraParams {
    fn default() -> Self {
        Self { fps: 30.0, threads: 1, appearance_seed: None }
    }
}

impl CameraParams {
    /// Most pictures per second.
    pub const MAX_FPS: u16 = 120;

    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), InvalidValue> {
        for (what, value, max) in
            [("fps", self.fps, f64::from(Self::MAX_FPS)), ("render threads", self.threads as f64, 64.0)]
        {
            if !(1.0..=max).contains(&value) {
                return Err(InvalidValue::Range { what, value, min: 1.0, max });
            }
        }
        Ok(())
    }
}

/// One camera's topics.
struct CameraPorts {
    side: CameraSide,
    image: Publisher<CameraImage>,
    info: Publisher<CameraCalibration>,
}

/// The stereo endoscope: renders and publishes rectified pairs with their calibration.
pub struct CameraNode {
    simulator: SharedSimulator,
    params: CameraParams,
    renderer: Renderer,
    appearance: Appearance,
    ports: [CameraPorts; 2],
    last: Option<[CameraImage; 2]>,
    /// What pictures are yet to be taken of while they lag.
    in_flight: InFlight<Snapshot>,
    seed: u64,
    seq: u64,
}

impl CameraNode {
    /// On `bus`; looks at `simulator` and never changes it.
    pub fn new(bus: &Bus, simulator: SharedSimulator, params: CameraParams) -> Result<Self, SimNodeError> {
        params.validate()?;
        let (rig, seed) = {
            let simulator = lock(&simulator);
            (simulator.cell().rig(), simulator.config().seed)
        };
        let ports = [
            CameraPorts {
                side: CameraSide::Left,
                image: bus.publisher(&graph::image_left())?,
                info: bus.publisher(&graph::camera_info_left())?,
            },
            CameraPorts {
                side: CameraSide::Right,
                image: bus.publisher(&graph::image_right())?,
                info: bus.publisher(&graph::camera_info_right())?,
            },
        ];
        let appearance = params.appearance_seed.map_or_else(Appearance::nominal, Appearance::random);
        let renderer = Renderer::new(rig, params.threads)?;
        Ok(Self {
            simulator,
            params,
            renderer,
            appearance,
            ports,
            last: None,
            in_flight: InFlight::pictures(),
            seed,
            seq: 0,
        })
    }

    fn take_picture(&mut self, snapshot: &Snapshot, stamp: Stamp) -> [CameraImage; 2] {
        let faults = snapshot.faults.image();
        let view = View {
            stamp,
            seq: self.seq,
            world_from_camera: snapshot.world_from_camera,
            instruments: &snapshot.instruments,
            tissue: &snapshot.tissue,
            appearance: &self.appearance,
            faults: &faults,
        };
        let rendered = self.renderer.render(&view, Want::Rectified);
        [
            CameraImage { stamp, side: CameraSide::Left, image: rendered.left },
            CameraImage { stamp, side: CameraSide::Right, image: rendered.right },
        ]
    }

    fn publish(&self, pair: &[CameraImage; 2]) -> Result<(), BusError> {
        let rig = self.renderer.rig();
        for (port, picture) in self.ports.iter().zip(pair) {
            let offset = if port.side == CameraSide::Left { 0.0 } else { rig.baseline };
            port.info.publish(&CameraCalibration { stamp: picture.stamp, side: port.side, model: rig.left, offset })?;
            port.image.publish(picture)?;
        }
        Ok(())
    }
}

impl Node for CameraNode {
    fn name(&self) -> &'static str {
        "camera"
    }

    fn period(&self) -> Duration {
        Duration::from_secs_f64(1.0 / self.params.fps)
    }

    fn poll(&mut self, _now: Stamp) {
        let snapshot = lock(&self.simulator).snapshot();
        self.seq += 1;
        let (now, lag) = (snapshot.stamp, snapshot.faults.video_lag);
        let Some(snapshot) = self.in_flight.pass(now, snapshot, lag) else { return };
        let snapshot = Snapshot { stamp: now, ..snapshot };
        let stamp = snapshot.faults.jumped(snapshot.stamp);
        let pair = match self.last.take() {
            Some(frozen) if snapshot.faults.frozen => frozen.map(|picture| CameraImage { stamp, ..picture }),
            _ => self.take_picture(&snapshot, stamp),
        };
        if !snapshot.faults.drops(self.seed, self.seq)
            && let Err(error) = self.publish(&pair)
        {
            tracing::error!(%error, "picture not published");
        }
        self.last = Some(pair);
    }
}

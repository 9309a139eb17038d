//! The whole simulated operating cell: three arms, tissue, faults, and what is true about them.
//!
//! The robot *believes* its encoders and the nominal cell; *true* joints are `measured + offset`, and a PSM truly stands at
//! `nominal * error`. The ECM is exact by definition (its errors are lumped into the PSMs'). Everything is a function of the
//! configuration, its seed and the commands with the ticks they came in: no clock, no thread.

use crate::{
    faults::{Fault, FaultError, FaultSchedule, Faults},
    plant::{ArmConfig, Command, PlantArm, TICK, TICK_S, Warnings},
    render::InstrumentPose,
    scene::{Gripper, SceneConfig, Tissue},
};
use nalgebra::{Point3, Vector3};
use proctor_kinematics::{Cell, Chain, Instrument, JawKind, KinematicsError};
use proctor_types::{
    ArmForce, ArmId, ArmPose, ArmState, ArmStatus, Base, Camera, InvalidValue, Joints, Pose, Stamp, Tip, World,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::Duration;

/// Ticks between steps of the tissue: 5 ms.
const TISSUE_TICKS: u64 = 5;
/// Ticks between remembered joint states: 5 ms.
const HISTORY_TICKS: u64 = 5;
/// Remembered joint states per arm: enough for [`Fault::MAX_DELAY`] and [`Fault::MAX_LAG`].
const HISTORY: usize =
    1 + (Fault::MAX_DELAY.as_millis() + Fault::MAX_LAG.as_millis()) as usize / HISTORY_TICKS as usize;
/// Jaws closer than this hold what is between them, rad.
const GRIP_ANGLE: f64 = 0.15;
/// Where the PSMs' tips are at the start (world, m; PSM1, mirrored for PSM2): 45 mm short of the site, 36 mm apart.
const HOME_TIP: [f64; 3] = [0.0180, -0.0200, 0.0365];
/// Where the ECM is at the start: the camera 90 mm from the site.
const HOME_ECM: [f64; 4] = [0.0, 0.0, 0.110, 0.0];

/// Size of the error of where a PSM stands; its direction follows from the seed, another for each arm.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HandEyeError {
    /// Displacement of the base (RCM), m, 0 to 0.05.
    pub translation: f64,
    /// Rotation about the RCM, rad, 0 to 0.2.
    pub rotation: f64,
}

/// Bounds of the differences true - measured of a PSM's joints, drawn from the seed.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointOffsets {
    /// Of each turning joint, rad, 0 to 0.1.
    pub angle: f64,
    /// Of the insertion, m, 0 to 0.02.
    pub insertion: f64,
}

/// What is simulated. The default is a cell without errors or faults whose arms start DISABLED.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimConfig {
    /// Seed of everything drawn: anatomy, errors, noise, dropped frames.
    pub seed: u64,
    /// What stands in PSM1's and PSM2's places: an instrument on a PSM, or an arm of its own form, by name ([`Chain::held`]).
    pub instruments: [String; 2],
    /// Error between where the robot believes its PSMs stand and where they do.
    pub hand_eye_error: HandEyeError,
    /// Error between measured and true joints of the PSMs.
    pub joint_offsets: JointOffsets,
    /// Behaviour of all arms.
    pub arm: ArmConfig,
    /// The tissue.
    pub scene: SceneConfig,
    /// Timetable of faults.
    pub faults: FaultSchedule,
}

impl Default for SimConfig {
    fn default() -> Self {
        Self {
            seed: 1,
            instruments: [Instrument::DEFAULT.to_owned(), Instrument::DEFAULT.to_owned()],
            hand_eye_error: HandEyeError::default(),
            joint_offsets: JointOffsets::default(),
            arm: ArmConfig::default(),
            scene: SceneConfig::default(),
            faults: FaultSchedule::default(),
        }
    }
}

impl SimConfig {
    /// Refuses values outside their documented ranges.
    pub fn validate(&self) -> Result<(), SimError> {
        for (what, value, max) in [
            ("hand-eye error, translation (m)", self.hand_eye_error.translation, 0.05),
            ("hand-eye error, rotation (rad)", self.hand_eye_error.rotation, 0.2),
            ("joint offset, angle (rad)", self.joint_offsets.angle, 0.1),
            ("joint offset, insertion (m)", self.joint_offsets.insertion, 0.02),
        ] {
            if !(0.0..=max).contains(&value) {
                Err(InvalidValue::Range { what, value, min: 0.0, max })?;
            }
        }
        self.arm.validate()?;
        self.scene.validate()?;
        Ok(self.faults.validate()?)
    }
}

/// What can be wrong with a [`SimConfig`].
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum SimError {
    /// A value outside its range.
    #[error(transparent)]
    Value(#[from] InvalidValue),
    /// Unknown instrument, or a broken model.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// A fault that makes no sense.
    #[error(transparent)]
    Fault(#[from] FaultError),
}

/// One arm with what is true about it.
struct SimArm {
    plant: PlantArm,
    chain: Chain,
    /// True joints minus measured joints.
    offset: Joints,
    world_from_base: Pose<World, Base>,
    history: VecDeque<ArmState>,
}

/// Everything a picture needs, cheap to clone, so that rendering need not hold the simulator.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Simulated now.
    pub stamp: Stamp,
    /// True pose of the left camera.
    pub world_from_camera: Pose<World, Camera>,
    /// True poses of the instruments.
    pub instruments: [InstrumentPose; 2],
    /// The tissue.
    pub tissue: Tissue,
    /// What is wrong at the moment.
    pub faults: Faults,
}

/// The simulated operating cell.
pub struct Simulator {
    config: SimConfig,
    cell: Cell,
    arms: [SimArm; 3],
    tissue: Tissue,
    injected: Faults,
    faults: Faults,
    ticks: u64,
    skipped: u64,
    now: Stamp,
    anchored: bool,
}

impl Simulator {
    /// Most time that [`Simulator::advance_to`] catches up at once; more is skipped and counted.
    pub const MAX_CATCH_UP: Duration = Duration::from_millis(250);

    /// The cell at rest in its home pose.
    pub fn new(config: SimConfig) -> Result<Self, SimError> {
        config.validate()?;
        let cell = Cell::standard()?;
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ 0x9E37_79B9_7F4A_7C15);
        let [one, two] = &config.instruments;
        let arms = [
            Self::psm(ArmId::Psm1, one, &config, &cell, &mut rng)?,
            Self::psm(ArmId::Psm2, two, &config, &cell, &mut rng)?,
            Self::ecm(&config, &cell)?,
        ];
        let tissue = Tissue::new(&config.scene, config.seed);
        let faults = config.faults.at(0.0);
        let (injected, now) = (Faults::default(), Stamp::FIRST.plus(Duration::from_secs(1)));
        Ok(Self { config, cell, arms, tissue, injected, faults, ticks: 0, skipped: 0, now, anchored: false })
    }

    fn psm(
        arm: ArmId,
        instrument: &str,
        config: &SimConfig,
        cell: &Cell,
        rng: &mut ChaCha8Rng,
    ) -> Result<SimArm, SimError> {
        let chain = Chain::held(instrument)?;
        let nominal = cell.world_from_base(arm);
        let [x, y, z] = HOME_TIP;
        let tip = Point3::new(if arm == ArmId::Psm1 { x } else { -x }, y, z);
        let aimed = chain.aim(&nominal.inverse().transform(&tip)).unwrap_or_else(|| chain.mid_range());
        let home = chain.home().unwrap_or(aimed);
        let error = Pose::<Base, Base>::from_parts(
            direction(rng) * config.hand_eye_error.translation,
            direction(rng) * config.hand_eye_error.rotation,
        );
        let mut offset = Joints::zeros(chain.dof());
        // An arm that keeps its own remote centre is calibrated: it could not stand in the trocar otherwise.
        if chain.software_remote_centre().is_none() {
            let mut drawn = [0.0; 6];
            for (slides, slot) in chain.limits().slides.iter().zip(&mut drawn) {
                let bound = if *slides { config.joint_offsets.insertion } else { config.joint_offsets.angle };
                *slot = bound * rng.random_range(-1.0..=1.0);
            }
            offset = Joints::new(&drawn)?;
        }
        Ok(SimArm {
            plant: PlantArm::new(arm, chain.limits(), &home, config.arm),
            offset,
            world_from_base: nominal * error,
            history: VecDeque::with_capacity(HISTORY),
            chain,
        })
    }

    fn ecm(config: &SimConfig, cell: &Cell) -> Result<SimArm, SimError> {
        let chain = Chain::ecm()?;
        Ok(SimArm {
            plant: PlantArm::new(ArmId::Ecm, chain.limits(), &Joints::new(&HOME_ECM)?, config.arm),
            offset: Joints::zeros(chain.dof()),
            world_from_base: cell.world_from_base(ArmId::Ecm),
            history: VecDeque::with_capacity(HISTORY),
            chain,
        })
    }

    /// One tick of 1 ms.
    pub fn step(&mut self) {
        self.faults = self.config.faults.at(self.seconds()).and(&self.injected);
        for arm in &mut self.arms {
            if self.faults.arm(arm.plant.id()).fault {
                arm.plant.fault();
            }
            arm.plant.step();
        }
        self.ticks += 1;
        self.now = self.now.plus(TICK);
        if self.ticks.is_multiple_of(TISSUE_TICKS) {
            let grippers = ArmId::PSMS.map(|arm| self.gripper(arm));
            self.tissue.step(TICK_S * TISSUE_TICKS as f64, &grippers);
        }
        if self.ticks.is_multiple_of(HISTORY_TICKS) {
            for arm in ArmId::ALL {
                let state = self.arm_state(arm);
                let history = &mut self.arms[arm.index()].history;
                if history.len() >= HISTORY {
                    history.pop_front();
                }
                history.push_back(state);
            }
        }
    }

    /// Ticks until the simulated time is `now`. The first call only sets the time; afterwards at most [`Simulator::MAX_CATCH_UP`] is
    /// simulated per call, the rest skipped. A clock that went back is waited for up to a second, then followed.
    pub fn advance_to(&mut self, now: Stamp) {
        if !self.anchored || self.now.seconds_since(now) > 1.0 {
            (self.anchored, self.now) = (true, now);
            return;
        }
        let behind = self.now.age(now);
        let skipped = behind.saturating_sub(Self::MAX_CATCH_UP);
        let skipped_ticks = (skipped.as_nanos() / TICK.as_nanos()) as u64;
        self.skipped += skipped_ticks;
        self.now = self.now.plus(TICK * u32::try_from(skipped_ticks).unwrap_or(u32::MAX));
        while self.now.age(now) >= TICK {
            self.step();
        }
    }

    /// Simulated now.
    pub fn now(&self) -> Stamp {
        self.now
    }

    /// Simulated seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.ticks as f64 * TICK_S
    }

    /// Ticks simulated since the start.
    pub fn ticks(&self) -> u64 {
        self.ticks
    }

    /// Ticks skipped because the caller was too slow.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The configuration.
    pub fn config(&self) -> &SimConfig {
        &self.config
    }

    /// The nominal cell: what the robot believes about where things stand.
    pub fn cell(&self) -> &Cell {
        &self.cell
    }

    /// An arm's kinematic chain (exact; only joints and base are in error).
    pub fn chain(&self, arm: ArmId) -> &Chain {
        &self.arms[arm.index()].chain
    }

    /// Sends a command to an arm; a silent arm does not hear it.
    pub fn command(&mut self, arm: ArmId, command: Command) {
        if !self.faults.arm(arm).silent {
            self.arms[arm.index()].plant.command(command);
        }
    }

    /// An arm's warnings since the last call.
    pub fn take_warnings(&mut self, arm: ArmId) -> Warnings {
        self.arms[arm.index()].plant.take_warnings()
    }

    /// Adds to the faults of the timetable, from the next tick until replaced.
    pub fn inject(&mut self, faults: Faults) {
        self.injected = faults;
        self.faults = self.config.faults.at(self.seconds()).and(&self.injected);
    }

    /// What is wrong at the moment.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The plant of an arm: state machine, set-points.
    pub fn plant(&self, arm: ArmId) -> &PlantArm {
        &self.arms[arm.index()].plant
    }

    /// What an arm measures now.
    pub fn arm_state(&self, arm: ArmId) -> ArmState {
        let plant = self.plant(arm);
        ArmState { arm, stamp: self.now, position: plant.position(), velocity: plant.velocity(), jaw: plant.jaw() }
    }

    /// What an arm says now: [`Simulator::arm_state`], or an older one while a delay or a lag is injected; `None` before there is one
    /// that old. A lag shows in the stamp, a delay does not.
    pub fn reported_state(&self, arm: ArmId) -> Option<ArmState> {
        let (delay, lag) = (self.faults.arm(arm).delay, self.faults.joint_lag);
        if delay.is_zero() && lag.is_zero() {
            return Some(self.arm_state(arm));
        }
        let horizon = self.now.minus(delay + lag);
        let state = self.arms[arm.index()].history.iter().rev().find(|s| s.stamp <= horizon)?;
        Some(ArmState { stamp: state.stamp.plus(lag), ..*state })
    }

    /// An arm's CRTK operating state.
    pub fn arm_status(&self, arm: ArmId) -> ArmStatus {
        let plant = self.plant(arm);
        let machine = plant.machine();
        ArmStatus {
            arm,
            stamp: self.now,
            state: machine.state(),
            is_homed: machine.is_homed(),
            is_busy: plant.is_busy(),
        }
    }

    /// Tool tip of an arm by its own (believed) kinematics.
    pub fn arm_pose(&self, arm: ArmId) -> ArmPose {
        ArmPose { arm, stamp: self.now, base_from_tip: self.fk(arm, &self.plant(arm).position()) }
    }

    /// Contact force on an arm's instrument, as it measures it; without contact torque.
    pub fn arm_force(&self, arm: ArmId) -> ArmForce {
        let turn = self.world_from_base_true(arm).rotation();
        let force = turn.inverse() * self.tissue().pull(arm);
        ArmForce { arm, stamp: self.now, force, torque: Vector3::zeros() }
    }

    fn fk(&self, arm: ArmId, q: &Joints) -> Pose<Base, Tip> {
        // The joints come from the plant: finite and of the chain's length.
        self.chain(arm).fk(q).unwrap_or_else(|_| Pose::identity())
    }

    /// True minus measured joints of an arm.
    pub fn joint_offset(&self, arm: ArmId) -> Joints {
        self.arms[arm.index()].offset
    }

    /// True joints of an arm.
    pub fn true_joints(&self, arm: ArmId) -> Joints {
        let measured = self.plant(arm).position();
        measured.zip_with(&self.joint_offset(arm), |q, d| q + d).unwrap_or(measured)
    }

    /// Where an arm's base truly is.
    pub fn world_from_base_true(&self, arm: ArmId) -> Pose<World, Base> {
        self.arms[arm.index()].world_from_base
    }

    /// Where an arm's tip truly is.
    pub fn world_from_tip_true(&self, arm: ArmId) -> Pose<World, Tip> {
        self.world_from_base_true(arm) * self.fk(arm, &self.true_joints(arm))
    }

    /// Where the left camera truly is.
    pub fn world_from_camera_true(&self) -> Pose<World, Camera> {
        let ecm = ArmId::Ecm;
        self.world_from_base_true(ecm) * self.fk(ecm, &self.true_joints(ecm)) * self.cell.tip_from_camera()
    }

    /// Where both instruments truly are, PSM1 first.
    pub fn instrument_poses(&self) -> [InstrumentPose; 2] {
        ArmId::PSMS.map(|arm| self.instrument_pose(arm))
    }

    fn instrument_pose(&self, arm: ArmId) -> InstrumentPose {
        let base = self.world_from_base_true(arm);
        let world = |link: nalgebra::Isometry3<f64>| base.iso() * link;
        let links = self.chain(arm).links(&self.true_joints(arm)).ok();
        let frame = |pick: fn(&proctor_kinematics::Links) -> nalgebra::Isometry3<f64>| {
            links.as_ref().map_or(*base.iso(), |l| world(pick(l)))
        };
        InstrumentPose {
            arm,
            kind: self.kind(arm),
            world_from_shaft: frame(|l| l.shaft),
            world_from_wrist: frame(|l| l.wrist),
            world_from_jaw: frame(|l| l.jaw),
            jaw: self.plant(arm).jaw(),
            rcm: Point3::from(base.translation()),
        }
    }

    fn kind(&self, arm: ArmId) -> JawKind {
        self.chain(arm).instrument().map_or(JawKind::NeedleDriver, |i| i.kind)
    }

    /// What a PSM's jaws do to tissue.
    pub fn gripper(&self, arm: ArmId) -> Gripper {
        let length = self.chain(arm).instrument().map_or(0.0, |i| i.jaw_length);
        let jaw = self.plant(arm).jaw();
        // Between the ends of jaws that are open by `jaw`.
        let reach = length * (0.5 * jaw.max(0.0)).cos();
        let tip = self.world_from_tip_true(arm).transform(&Point3::from(Vector3::z() * reach));
        let grips = self.chain(arm).instrument().is_some_and(|i| i.kind != JawKind::Hook);
        Gripper { arm, tip, closed: grips && jaw < GRIP_ANGLE }
    }

    /// The tissue.
    pub fn tissue(&self) -> &Tissue {
        &self.tissue
    }

    /// Everything a picture of this moment needs.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            stamp: self.now,
            world_from_camera: self.world_from_camera_true(),
            instruments: self.instrument_poses(),
            tissue: self.tissue.clone(),
            faults: self.faults,
        }
    }
}

/// A uniformly drawn unit vector.
fn direction(rng: &mut ChaCha8Rng) -> Vector3<f64> {
    let z: f64 = rng.random_range(-1.0..=1.0);
    let angle: f64 = rng.random_range(0.0..std::f64::consts::TAU);
    let r = (1.0 - z * z).sqrt();
    Vector3::new(r * angle.cos(), r * angle.sin(), z)
}

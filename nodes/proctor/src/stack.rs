//! Which nodes make a whole loop on the built-in simulator, with which parameters.

use crate::monitor_node::MonitorNode;
use proctor_autonomy::{AutonomyNode, AutonomyParams};
use proctor_bus::Bus;
use proctor_console::{ConsoleNode, ConsoleParams};
use proctor_fusion::{FramesNode, FusionNode, FusionParams};
use proctor_perception::{
    DEFAULT_MODEL, FinderNode, PerceptionError, PerceptionNode, PerceptionParams, manifest::Manifest,
};
use proctor_safety::{SafetyNode, SafetyParams};
use proctor_seal::{RootSecret, Verifier};
use proctor_sim::{
    HandEyeError, SimConfig, Simulator,
    node::{CameraNode, CameraParams, Commander, PlantNode, PlantParams, SharedSimulator},
    plant::ArmConfig,
};
use proctor_types::Boot;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

/// Parameters of every node of the loop.
#[derive(Debug, Clone)]
pub struct StackConfig {
    /// The simulator.
    pub sim: SimConfig,
    /// Its endoscope.
    pub camera: CameraParams,
    /// Perception.
    pub perception: PerceptionParams,
    /// Fusion.
    pub fusion: FusionParams,
    /// Autonomy.
    pub autonomy: AutonomyParams,
    /// Safety.
    pub safety: SafetyParams,
    /// Console.
    pub console: ConsoleParams,
    /// What console and safety share, so that safety knows whose word is the console's.
    pub root: RootSecret,
    /// Which start of the safety node this is.
    pub boot: Boot,
}

/// Instruments of the demo: a needle driver on each arm.
pub const INSTRUMENTS: [&str; 2] = ["LARGE_NEEDLE_DRIVER_400006", "LARGE_NEEDLE_DRIVER_400006"];

/// Opening of the demo's jaws at the start, rad: closed jaws beside tissue would look as if they held it.
const JAWS: f64 = 0.4;

impl StackConfig {
    /// The demo's cell: the shipped model from `root`, a hand-eye error of 5 mm and 3 degrees, arms that start DISABLED, a secret of its
    /// own.
    pub fn simulated(root: &Path, seed: u64) -> anyhow::Result<Self> {
        let instruments = INSTRUMENTS.map(str::to_owned);
        let sim = SimConfig {
            seed,
            instruments: instruments.clone(),
            arm: ArmConfig { jaw: JAWS, ..ArmConfig::default() },
            hand_eye_error: HandEyeError { translation: 0.005, rotation: 3.0_f64.to_radians() },
            ..SimConfig::default()
        };
        let perception = PerceptionParams {
            models: vec![root.join(DEFAULT_MODEL)],
            onnxruntime: onnxruntime(root)?,
            ..PerceptionParams::default()
        };
        let read = SafetyParams::read(&root.join("launch/config"))?;
        let safety = SafetyParams { instruments: instruments.clone(), allow_scripted_operator: true, ..read };
        let mut autonomy = AutonomyParams { instruments: instruments.clone(), ..AutonomyParams::default() };
        // Simulator, nodes and browser share one machine here: a suggestion lives as long as safety would let it run.
        autonomy.gate.scene_max_age = safety.watchdogs.scene;
        Ok(Self {
            sim,
            camera: CameraParams::default(),
            perception,
            fusion: FusionParams { instruments: instruments.clone(), ..FusionParams::default() },
            autonomy,
            safety,
            console: ConsoleParams { instruments, allow_scripted: true, ..ConsoleParams::default() },
            root: RootSecret::random(),
            boot: proctor_seal::random_boot(),
        })
    }

    /// Uses other models: exactly one must feed fusion. None keeps the shipped one; without one that feeds fusion it is added.
    pub fn use_models(&mut self, folders: &[PathBuf]) -> anyhow::Result<()> {
        let models = &mut self.perception.models;
        let mut all = folders.to_vec();
        let anatomy = |f: &PathBuf| Ok::<_, PerceptionError>(Manifest::read(&f.join("model.toml"))?.is_anatomy());
        if !folders.iter().map(anatomy).collect::<Result<Vec<_>, _>>()?.contains(&true) {
            all.append(models);
        }
        *models = all;
        Ok(self.perception.validate()?)
    }

    /// Whom the safety node believes.
    pub fn verifier(&self) -> Verifier {
        Verifier::new(self.root.clone(), self.boot)
    }
}

/// ONNX Runtime's shared library: `ORT_DYLIB_PATH`, or the one `make setup` installed below `root`.
pub fn onnxruntime(root: &Path) -> anyhow::Result<PathBuf> {
    std::env::var_os("ORT_DYLIB_PATH")
        .map(PathBuf::from)
        .or_else(|| proctor_perception::find_onnxruntime(root))
        .ok_or_else(|| anyhow::anyhow!("ONNX Runtime not found: set ORT_DYLIB_PATH or run `make setup`"))
}

/// The folder that holds `models/` and `launch/config/`: `share/proctor` of the installation that the executable lies in (docs/ros2.md),
/// else the working directory or one above it, else one above the executable.
pub fn find_root() -> anyhow::Result<PathBuf> {
    let (here, executable) = (std::env::current_dir().ok(), std::env::current_exe().ok());
    let above =
        |p: &'_ Option<PathBuf>| p.iter().flat_map(|p| p.ancestors()).map(Path::to_path_buf).collect::<Vec<_>>();
    let installed = above(&executable).into_iter().map(|d| d.join("share/proctor"));
    let mut roots = installed.chain(above(&here)).chain(above(&executable));
    let root = roots.find(|d| d.join("models").is_dir() && d.join("launch/config").is_dir());
    root.ok_or_else(|| anyhow::anyhow!("no folder models/ here or above: run from the repository"))
}

/// Every node of the loop on the built-in simulator, not yet running.
pub struct Stack {
    /// The simulator behind [`Stack::plant`] and [`Stack::camera`].
    pub simulator: SharedSimulator,
    /// The arms.
    pub plant: PlantNode,
    /// The endoscope.
    pub camera: CameraNode,
    /// Everything else.
    pub nodes: Nodes,
}

/// Every node of the loop but those that are the robot: the same on every robot.
pub struct Nodes {
    /// Segments.
    pub perception: PerceptionNode,
    /// Models beside perception's.
    pub finders: Vec<FinderNode>,
    /// Fuses.
    pub fusion: FusionNode,
    /// Says what ROS's tools draw.
    pub frames: FramesNode,
    /// Suggests.
    pub autonomy: AutonomyNode,
    /// Shows and asks.
    pub console: ConsoleNode,
    /// Gates.
    pub safety: SafetyNode,
    /// Judges.
    pub monitor: MonitorNode,
}

impl Stack {
    /// Builds every node on `bus`; the safety core runs inside its node's `poll`, as lockstep needs it.
    pub fn new(bus: &Bus, config: &StackConfig) -> anyhow::Result<Self> {
        let safety = SafetyNode::new(bus, config.safety.clone(), config.verifier())?;
        Self::with_safety(bus, config, safety)
    }

    /// Builds every other node around a safety node.
    pub fn with_safety(bus: &Bus, config: &StackConfig, safety: SafetyNode) -> anyhow::Result<Self> {
        let simulator = Arc::new(Mutex::new(Simulator::new(config.sim.clone())?));
        let from = Commander::Safety(config.root.clone());
        Ok(Self {
            plant: PlantNode::new(bus, simulator.clone(), PlantParams::default(), &from)?,
            camera: CameraNode::new(bus, simulator.clone(), config.camera)?,
            nodes: Nodes::new(bus, config, safety)?,
            simulator,
        })
    }
}

impl Nodes {
    /// Builds them around a safety node.
    pub fn new(bus: &Bus, config: &StackConfig, safety: SafetyNode) -> anyhow::Result<Self> {
        Ok(Self {
            perception: PerceptionNode::new(bus, config.perception.clone())?,
            finders: FinderNode::all(bus, &config.perception)?,
            fusion: FusionNode::new(bus, config.fusion.clone())?,
            frames: FramesNode::new(bus)?,
            autonomy: AutonomyNode::new(bus, config.autonomy.clone())?,
            console: ConsoleNode::new(bus, config.console.clone(), config.root.clone())?,
            safety,
            monitor: MonitorNode::new(bus, &config.sim.instruments, config.verifier())?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safety_believes_every_correction_that_fusion_does() {
        let config = StackConfig::simulated(&find_root().unwrap(), 1).unwrap();
        let (fusion, safety) = (&config.fusion, &config.safety.clearance);
        assert!(fusion.max_correction_m <= safety.hand_eye_translation);
        assert!(fusion.max_correction_rad <= safety.hand_eye_rotation);
    }
}

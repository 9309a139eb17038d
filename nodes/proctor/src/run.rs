//! `proctor run`: single nodes on ROS 2, and `proctor graph`: the closed table of topics.

use crate::{
    declared::{self, Declaration},
    gazebo::{World, WorldArgs},
    leave::{Leave, Left},
    live::Live,
    middleware::{self, BusKind},
    overrides::Overrides,
    profile::Profile,
    settings::{Adjusted, Settings},
    shadow::IntentName,
    stack::{self, StackConfig},
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use proctor_autonomy::AutonomyNode;
use proctor_bus::{
    Bus, HirozConfig, Parameters, RosArgs, graph,
    lifecycle::{Lifecycle, LifecycleServices, LifecycleState, Transition},
};
use proctor_console::ConsoleNode;
use proctor_fusion::{FramesNode, FusionNode};
use proctor_perception::{Device, FinderNode, PerceptionNode};
use proctor_safety::{SafetyNode, SafetyParams};
use proctor_seal::{RootSecret, key_file};
use proctor_sim::node::CameraParams;
use std::{io::Write, path::PathBuf, sync::Arc, time::Duration};

/// How often services, signals and the world are looked after.
const LOOK: Duration = Duration::from_millis(20);

/// What can run on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeName {
    /// The simulated cell: three CRTK arms and the endoscope; faults are typed on standard input.
    Sim,
    /// Arms and endoscope of a Gazebo world as a CRTK robot, and `/clock`.
    Gazebo,
    /// Segments pictures.
    Perception,
    /// Fuses pictures with joints.
    Fusion,
    /// Suggests motions.
    Autonomy,
    /// The one gate to the arms, its core in a real-time thread.
    Safety,
    /// The surgeon's page; prints its address and a one-time token.
    Console,
    /// Writes every topic into the file given by `--record`.
    Recorder,
}

/// Arguments of `proctor run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Nodes to run in this process.
    #[arg(required = true, value_enum)]
    nodes: Vec<NodeName>,
    /// What carries the messages.
    #[arg(long, value_enum, default_value_t = BusKind::Hiroz, env = "PROCTOR_BUS")]
    bus: BusKind,
    /// Folder with safety.toml and zones.toml; without it, launch/config.
    #[arg(long, value_name = "FOLDER")]
    config: Option<PathBuf>,
    /// ROS domain.
    #[arg(long, env = "ROS_DOMAIN_ID", default_value_t = 0)]
    domain: usize,
    /// Zenoh endpoints to connect to, e.g. tcp/127.0.0.1:7447.
    #[arg(long)]
    connect: Vec<String>,
    /// Zenoh endpoints to listen on.
    #[arg(long, default_value = "tcp/127.0.0.1:0")]
    listen: Vec<String>,
    /// Zenoh session file of this machine, for a network of several (docs/deployment.md), instead of the two above.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["connect", "listen"])]
    session: Option<PathBuf>,
    /// What console and safety share, so that safety knows whose word is the console's: 64 hexadecimal digits, mode 0600. Without
    /// it ~/.config/proctor/authority.key is used, and made at the first start.
    #[arg(long, env = "PROCTOR_AUTHORITY_KEY", value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// The safety node judges what others command the arms, and commands nothing itself: it has no writer that reaches an arm, for as long as it runs.
    #[arg(long)]
    shadow: bool,
    /// What the safety node takes for the commands of the arms, in shadow mode.
    #[arg(long, value_enum, default_value_t = IntentName::ServoJp, requires = "shadow")]
    intent: IntentName,
    /// The robot's profile: names of its topics and frames, instruments, limits. launch/config/dvrk.toml is the dVRK's.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// Record every topic into this MCAP file, which must not exist.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Port of the console on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    console_port: u16,
    /// Perception's model folder: one that segments Proctor's classes replaces the shipped one, others run beside it and are shown.
    /// May be given several times.
    #[arg(long = "model", value_name = "FOLDER")]
    models: Vec<PathBuf>,
    /// What runs the models: the processor, or an NVIDIA card if this was built with the feature of that name.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// Pictures per second of the simulated endoscope.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(CameraParams::MAX_FPS)))]
    camera_fps: u32,
    /// Seed of the simulated cell.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Begin *unconfigured* and wait for a lifecycle manager (`ros2 lifecycle set NODE configure`, then `activate`).
    #[arg(long)]
    managed: bool,
    #[command(flatten)]
    world: WorldArgs,
}

impl RunArgs {
    /// The shared secret; nodes that neither speak for operators or for safety nor hear them get none of it.
    fn root_secret(&self) -> anyhow::Result<Option<RootSecret>> {
        let speaks = |n: &NodeName| match n {
            NodeName::Safety => !self.shadow,
            NodeName::Console | NodeName::Sim | NodeName::Gazebo => true,
            NodeName::Perception | NodeName::Fusion | NodeName::Autonomy | NodeName::Recorder => false,
        };
        if !self.nodes.iter().any(speaks) {
            return Ok(None);
        }
        Ok(Some(match &self.authority_key {
            // A file that was named must be there: a new secret under a mistyped name would be nobody else's.
            Some(file) => key_file::read(file)?,
            None => key_file::read_or_create(&default_key_file()?)?,
        }))
    }

    /// How a hiroz bus is reached; the other backend takes the node's name from it. Nodes that share a process share a name.
    fn bus_config(&self, ros: &RosArgs) -> HirozConfig {
        let own = match self.nodes.as_slice() {
            [only] => only.ros_name(),
            _ => "proctor".to_owned(),
        };
        HirozConfig {
            domain_id: self.domain,
            connect: self.connect.clone(),
            listen: self.listen.clone(),
            session: self.session.clone(),
            node_name: ros.node.clone().unwrap_or(own),
            ros: ros.clone(),
            ..HirozConfig::default()
        }
    }

    /// The world that the node `gazebo` is part of.
    fn gazebo(&self, config: &StackConfig, leave: &Leave) -> anyhow::Result<Option<World>> {
        let here = self.nodes.contains(&NodeName::Gazebo);
        here.then(|| self.world.world(&config.sim, self.camera_fps, leave)).transpose()
    }

    fn check(&self, ros: &RosArgs) -> anyhow::Result<()> {
        for (i, name) in self.nodes.iter().enumerate() {
            anyhow::ensure!(!self.nodes[..i].contains(name), "{name:?} is named twice: a process runs a node once");
        }
        let safety = self.nodes.contains(&NodeName::Safety);
        anyhow::ensure!(!self.shadow || safety, "--shadow is the safety node's");
        let gazebo = self.nodes.contains(&NodeName::Gazebo);
        anyhow::ensure!(gazebo || self.world.is_empty(), "--gazebo-server and --gazebo-gui are the node gazebo's");
        anyhow::ensure!(
            !gazebo || !self.nodes.contains(&NodeName::Sim),
            "sim and gazebo are two robots: run one of them"
        );
        let recorder = self.nodes.contains(&NodeName::Recorder);
        anyhow::ensure!(!recorder || self.record.is_some(), "the recorder needs --record FILE");
        anyhow::ensure!(
            self.session.is_none() || self.bus == BusKind::Hiroz,
            "--session is Zenoh's: it goes with --bus hiroz"
        );
        // rcl reads the variable itself; another number here would be a node in a graph that nobody expects it in.
        let domain = std::env::var("ROS_DOMAIN_ID").ok().and_then(|d| d.parse().ok()).unwrap_or(0);
        anyhow::ensure!(
            self.bus != BusKind::R2r || self.domain == domain,
            "--domain: with --bus r2r it is ROS_DOMAIN_ID's"
        );
        anyhow::ensure!(
            self.bus != BusKind::Memory,
            "--bus memory: nobody would hear the nodes; `proctor demo` runs them all so"
        );
        anyhow::ensure!(
            ros.node.is_none() || self.nodes.len() == 1,
            "__node: {} nodes cannot have one name",
            self.nodes.len()
        );
        Ok(())
    }
}

impl NodeName {
    /// Name in the ROS graph and in parameter files.
    fn ros_name(self) -> String {
        self.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
    }

    /// Its parameters, if it has any.
    pub(crate) fn declaration(self) -> Option<Declaration> {
        match self {
            Self::Sim => Some(declared::SIM),
            Self::Perception => Some(declared::PERCEPTION),
            Self::Fusion => Some(declared::FUSION),
            Self::Autonomy => Some(declared::AUTONOMY),
            Self::Safety => Some(declared::SAFETY),
            Self::Console => Some(declared::CONSOLE),
            Self::Gazebo | Self::Recorder => None,
        }
    }

    /// Holds its parameters against their ranges.
    pub(crate) fn validate(self, config: &StackConfig) -> Result<(), String> {
        match self {
            Self::Sim => config.camera.validate().map_err(|e| e.to_string()),
            Self::Perception => config.perception.validate().map_err(|e| e.to_string()),
            Self::Fusion => config.fusion.validate().map_err(|e| e.to_string()),
            Self::Autonomy => config.autonomy.validate().map_err(|e| e.to_string()),
            Self::Safety => config.safety.validate().map_err(|e| e.to_string()),
            Self::Console => config.console.validate().map_err(|e| e.to_string()),
            Self::Gazebo | Self::Recorder => Ok(()),
        }
    }
}

/// Where the secret lies when nobody says otherwise: below `$XDG_CONFIG_HOME` or `$HOME/.config`.
fn default_key_file() -> anyhow::Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CONFIG_HOME").or_else(|| Some(set("HOME")?.join(".config")));
    let folder = folder.context("no home folder for the authority key: name a file with --authority-key")?;
    Ok(folder.join("proctor/authority.key"))
}

/// Runs the nodes until Ctrl-C.
pub fn run(args: RunArgs, ros: RosArgs) -> anyhow::Result<()> {
    let leave = Leave::on_signals()?;
    args.check(&ros)?;
    let root = stack::find_root()?;
    let mut config = StackConfig::simulated(&root, args.seed)?;
    config.camera.fps = f64::from(args.camera_fps);
    if let Some(folder) = &args.config {
        config.safety = SafetyParams { instruments: config.safety.instruments, ..SafetyParams::read(folder)? };
    }
    config.use_models(&args.models)?;
    config.perception.device = args.device;
    // Outside the demo nothing is known to be simulated: nobody but a person may hold authority.
    config.safety.allow_scripted_operator = false;
    config.console.allow_scripted = false;
    if let Some(root) = args.root_secret()? {
        config.root = root;
    }
    let profile = args.profile.as_deref().map(Profile::read).transpose()?;
    if let Some(profile) = &profile {
        profile.apply(&mut config)?;
        tracing::info!(robot = profile.robot(), "profile");
    }
    let mut sim_time = SimTime::default();
    for &name in &args.nodes {
        let node = ros.node.clone().unwrap_or_else(|| name.ros_name());
        let mut overridden = || {
            let said = Overrides::read(&ros, &node)?;
            sim_time.said(name, said.use_sim_time()?)?;
            override_parameters(name, &mut config, &said)
        };
        overridden().with_context(|| format!("node {node}"))?;
    }
    anyhow::ensure!(
        !sim_time.simulated() || profile.is_none(),
        "use_sim_time: a robot with a profile moves in the machine's time"
    );
    let parameters = match args.nodes.as_slice() {
        [only] => parameters(*only, &config)?.with_sim_time(sim_time.simulated()),
        _ => Parameters::default(),
    };
    let hiroz = HirozConfig { parameters, ..args.bus_config(&ros) };
    let process = hiroz.node_name.clone();
    let bus = middleware::open(args.bus, hiroz)?;
    let bus = profile.map_or(bus.clone(), |p| bus.with_names(p.names()));
    let mut voice = Live::new();
    voice.rosout(&bus, &process)?;
    let services = bus.lifecycle_services()?;
    let settings = Arc::new(Settings::new(config));
    if let [only] = args.nodes[..] {
        let settings = settings.clone();
        bus.accept_parameters(move |changes| settings.set(only, changes));
    }
    let managed = Managed { args, settings, bus, sim_time: sim_time.simulated(), leave, live: None, world: None };
    let done = manage(managed, services);
    voice.stop();
    done
}

/// The nodes of this process and what makes them: the owner of their lifecycle.
struct Managed {
    args: RunArgs,
    settings: Arc<Settings>,
    bus: Bus,
    sim_time: bool,
    leave: Leave,
    /// What runs or is ready to; nothing before *configure*.
    live: Option<Live>,
    /// The world of the node `gazebo`.
    world: Option<World>,
}

impl Managed {
    fn act(&mut self, transition: Transition) -> Result<(), String> {
        let live = || self.live.as_ref().ok_or("there are no nodes");
        match transition {
            Transition::Configure => self.configure().map_err(|e| format!("{e:#}"))?,
            Transition::Activate => live()?.resume(),
            Transition::Deactivate => live()?.pause()?,
            Transition::Cleanup => self.stop(),
            Transition::Shutdown => {
                if let Some(live) = &self.live {
                    live.pause()?;
                }
                self.stop();
            }
        }
        Ok(())
    }

    /// Makes every node; none is polled yet.
    fn configure(&mut self) -> anyhow::Result<()> {
        // A safety node that was made anew is another start of it: what was said to the one before counts no more.
        let config = StackConfig { boot: proctor_seal::random_boot(), ..self.settings.make() };
        let made = self.made(&config);
        if made.is_err() {
            self.stop();
        }
        self.live = Some(made?);
        Ok(())
    }

    fn made(&mut self, config: &StackConfig) -> anyhow::Result<Live> {
        let mut live = Live::new();
        live.pause().map_err(anyhow::Error::msg)?;
        if self.sim_time {
            live.use_sim_time(&self.bus)?;
        }
        if let Some(file) = &self.args.record {
            live.record(&self.bus, file)?;
        }
        self.world = self.args.gazebo(config, &self.leave)?;
        if let Some(world) = &self.world {
            world.spawn(&mut live, &self.bus, config).context("cannot start gazebo")?;
        }
        for &name in self.args.nodes.iter().filter(|name| **name != NodeName::Gazebo) {
            start(name, &mut live, &self.bus, config, (&self.args, &self.settings))
                .with_context(|| format!("cannot start {name:?}"))?;
            tracing::info!(node = ?name, "ready");
            self.leave.check()?;
        }
        Ok(live)
    }

    /// Fails if what the nodes stand on has ended.
    fn check(&mut self) -> anyhow::Result<()> {
        self.world.as_mut().map_or(Ok(()), |world| world.check(&self.leave))
    }

    fn stop(&mut self) {
        if let Some(live) = self.live.take() {
            live.stop();
        }
        self.world = None;
        self.settings.unmake();
    }
}

/// Configures and activates the nodes, unless a lifecycle manager is to, and does what it asks for until they are shut down, Ctrl-C or SIGTERM comes,
/// or a Gazebo server of theirs ends.
fn manage(mut managed: Managed, services: LifecycleServices) -> anyhow::Result<()> {
    let done = serve(&mut managed, services);
    managed.stop();
    // Asked to end while nodes were made, or together with the world: that is no mistake.
    done.or_else(|error| if error.is::<Left>() { Ok(()) } else { Err(error) })
}

fn serve(managed: &mut Managed, mut services: LifecycleServices) -> anyhow::Result<()> {
    let mut life = Lifecycle::default();
    if !managed.args.managed {
        managed.configure()?;
        let made = [Transition::Configure, Transition::Activate].into_iter().all(|t| {
            let mut act = |t| if t == Transition::Configure { Ok(()) } else { managed.act(t) };
            life.ask(0, t.label(), &mut act)
        });
        anyhow::ensure!(made, "the nodes could not be activated");
    }
    while life.state() != LifecycleState::Finalized && !managed.leave.asked() {
        services.serve(&mut life, &mut |t| managed.act(t));
        managed.check()?;
        std::thread::sleep(LOOK);
    }
    Ok(())
}

/// Whether the nodes of this process run on a simulation's clock, which they share.
#[derive(Debug, Default)]
struct SimTime(Option<bool>);

impl SimTime {
    /// What was said for a node. The simulator makes the time, and so has no part in it.
    fn said(&mut self, name: NodeName, yes: bool) -> anyhow::Result<()> {
        if matches!(name, NodeName::Sim | NodeName::Gazebo) {
            return Ok(());
        }
        let before = *self.0.get_or_insert(yes);
        anyhow::ensure!(
            before == yes,
            "use_sim_time: {yes}, but {before} for another node of this process; they share a clock"
        );
        Ok(())
    }

    fn simulated(&self) -> bool {
        self.0 == Some(true)
    }
}

/// Lays what ROS says over a node's parameters. Switches that only the demo may set cannot be set here either.
pub(crate) fn override_parameters(name: NodeName, config: &mut StackConfig, said: &Overrides) -> anyhow::Result<()> {
    match name {
        NodeName::Sim => config.camera = said.apply(&config.camera)?,
        NodeName::Perception => config.perception = said.apply(&config.perception)?,
        NodeName::Fusion => config.fusion = said.apply(&config.fusion)?,
        NodeName::Autonomy => config.autonomy = said.apply(&config.autonomy)?,
        NodeName::Safety => {
            // Zones are no parameters: they have a file of their own.
            let SafetyParams { zones, folder, .. } = config.safety.clone();
            config.safety = SafetyParams { zones, folder, ..said.apply(&config.safety)? };
            anyhow::ensure!(
                !config.safety.allow_scripted_operator,
                "parameter allow_scripted_operator: for the demo only"
            );
        }
        NodeName::Console => {
            config.console = said.apply(&config.console)?;
            anyhow::ensure!(!config.console.allow_scripted, "parameter allow_scripted: for the demo only");
        }
        NodeName::Gazebo | NodeName::Recorder => _ = said.apply(&toml::Table::new())?,
    }
    Ok(())
}

/// What `ros2 param` shows of a node that has its process for itself.
fn parameters(name: NodeName, config: &StackConfig) -> anyhow::Result<Parameters> {
    match name {
        NodeName::Sim => declared::SIM.parameters(&config.camera),
        NodeName::Perception => declared::PERCEPTION.parameters(&config.perception),
        NodeName::Fusion => declared::FUSION.parameters(&config.fusion),
        NodeName::Autonomy => declared::AUTONOMY.parameters(&config.autonomy),
        NodeName::Safety => declared::SAFETY.parameters(&config.safety),
        NodeName::Console => declared::CONSOLE.parameters(&config.console),
        NodeName::Gazebo | NodeName::Recorder => Ok(Parameters::new(Vec::new())),
    }
}

fn start(
    name: NodeName,
    live: &mut Live,
    bus: &Bus,
    config: &StackConfig,
    (args, settings): (&RunArgs, &Arc<Settings>),
) -> anyhow::Result<()> {
    match name {
        NodeName::Sim => live.simulator(bus, config),
        NodeName::Perception => {
            live.spawn(Adjusted::new(PerceptionNode::new(bus, config.perception.clone())?, settings))?;
            FinderNode::all(bus, &config.perception)?.into_iter().try_for_each(|finder| live.spawn(finder))
        }
        NodeName::Fusion => {
            live.spawn(Adjusted::new(FusionNode::new(bus, config.fusion.clone())?, settings))?;
            live.spawn(FramesNode::new(bus)?)
        }
        NodeName::Autonomy => live.spawn(Adjusted::new(AutonomyNode::new(bus, config.autonomy.clone())?, settings)),
        NodeName::Safety if args.shadow => {
            live.spawn(SafetyNode::shadow(bus, config.safety.clone(), args.intent.into())?)
        }
        NodeName::Safety => {
            let node = live.safety(bus, config.safety.clone(), config.verifier())?;
            live.spawn(node)
        }
        NodeName::Console => {
            let node = ConsoleNode::new(bus, config.console.clone(), config.root.clone())?;
            live.serve(&node.shared(), args.console_port)?;
            live.spawn(node)
        }
        // `--record`, and the world, have started them already.
        NodeName::Recorder | NodeName::Gazebo => Ok(()),
    }
}

/// Prints every topic as a table.
pub fn print_graph(out: &mut impl Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:<32} {:<34} {:>6} {:>5} {:<9} {:<7} {:<10} readers",
        "topic", "type", "Hz", "depth", "reliable", "latched", "writer"
    )?;
    for t in graph::all() {
        let (q, rate) = (t.qos, if t.rate_hz > 0.0 { t.rate_hz.to_string() } else { "event".to_owned() });
        writeln!(
            out,
            "{:<32} {:<34} {rate:>6} {:>5} {:<9} {:<7} {:<10} {}",
            t.name,
            t.type_name,
            q.depth,
            q.reliable,
            q.latched,
            t.writer,
            t.readers.join(", ")
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        run: RunArgs,
    }

    fn check(line: &str) -> Result<(), String> {
        let cli = Cli::try_parse_from(line.split(' ')).map_err(|e| e.to_string())?;
        cli.run.check(&RosArgs::default()).map_err(|e| e.to_string())
    }

    #[test]
    fn unknown_doubled_and_fileless_nodes_are_refused_by_name() {
        assert_eq!(check("run sim perception fusion autonomy safety console recorder --record a.mcap"), Ok(()));
        assert_eq!(check("run safety --record a.mcap"), Ok(()));
        assert!(check("run gazebo --gazebo-server").is_ok() && check("run safety --gazebo-server").is_err());
        assert!(check("run sim gazebo").unwrap_err().contains("two robots"));
        assert!(check("run recorder").unwrap_err().contains("--record"));
        assert!(check("run safety --shadow --intent setpoint-js").is_ok() && check("run fusion --shadow").is_err());
        assert!(check("run safety --intent setpoint-js").unwrap_err().contains("--shadow"));
        assert!(check("run safety sim safety").unwrap_err().contains("Safety"));
        let unknown = check("run teleop").unwrap_err();
        assert!(unknown.contains("teleop") && unknown.contains("perception"), "{unknown}");
        assert!(check("run").is_err());
        assert!(check("run safety --bus memory").unwrap_err().contains("memory"));
        assert!(check("run safety --bus r2r --domain 231").unwrap_err().contains("ROS_DOMAIN_ID"));
        assert!(check("run safety --bus r2r --session s.json5").unwrap_err().contains("--session"));
    }

    #[test]
    fn one_node_has_its_own_name_in_ros_and_several_cannot_share_another() {
        let args = |line: &str| Cli::try_parse_from(line.split(' ')).unwrap().run;
        let gate = RosArgs { node: Some("gate".to_owned()), ..RosArgs::default() };
        assert_eq!(args("run safety").bus_config(&RosArgs::default()).node_name, "safety");
        assert_eq!(args("run safety").bus_config(&gate).node_name, "gate");
        assert_eq!(args("run safety fusion").bus_config(&RosArgs::default()).node_name, "proctor");
        assert!(args("run safety fusion").check(&gate).unwrap_err().to_string().contains("__node"));
    }

    #[test]
    fn parameters_from_ros_keep_the_zones_and_cannot_let_a_script_hold_authority() {
        let mut config = StackConfig::simulated(&stack::find_root().unwrap(), 1).unwrap();
        config.safety.allow_scripted_operator = false;
        config.console.allow_scripted = false;
        let zones = config.safety.zones.clone();
        let mut said = |name: NodeName, line: &str| {
            let (_, ros) = proctor_bus::ros_args::split(line.split(' ').map(str::to_owned)).unwrap();
            override_parameters(name, &mut config, &Overrides::read(&ros, &name.ros_name()).unwrap())
                .map_err(|e| e.to_string())
        };
        assert_eq!(said(NodeName::Safety, "--ros-args -p motion.tip_speed_supervised:=0.02"), Ok(()));
        for (name, key) in [(NodeName::Safety, "allow_scripted_operator"), (NodeName::Console, "allow_scripted")] {
            assert!(said(name, &format!("--ros-args -p {key}:=true")).unwrap_err().contains(key));
        }
        assert!(said(NodeName::Recorder, "--ros-args -p rate:=1").unwrap_err().contains("rate"));
        assert_eq!(said(NodeName::Recorder, "--ros-args -p use_sim_time:=false"), Ok(()));
        assert!(!zones.is_empty());
        assert_eq!((config.safety.zones, config.safety.motion.tip_speed_supervised), (zones, 0.02));
    }

    #[test]
    fn nodes_of_a_process_share_a_clock_and_the_simulator_makes_it() {
        let mut time = SimTime::default();
        assert_eq!(time.said(NodeName::Sim, false).map_err(|e| e.to_string()), Ok(()));
        assert!(!time.simulated());
        time.said(NodeName::Safety, true).unwrap();
        assert!(time.simulated());
        assert!(time.said(NodeName::Fusion, false).unwrap_err().to_string().contains("share a clock"));
    }

    #[test]
    fn only_nodes_with_authority_need_the_key_and_a_named_file_must_be_there() {
        let secret = |line: &str| {
            let run = Cli::try_parse_from(line.split(' ')).unwrap().run;
            run.root_secret().map(|s| s.is_some()).map_err(|e| e.to_string())
        };
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key").display().to_string();
        assert_eq!(secret(&format!("run perception fusion autonomy --authority-key {file}")), Ok(false));
        for node in ["safety", "console", "sim"] {
            let e = secret(&format!("run {node} --authority-key {file}")).unwrap_err();
            assert!(e.contains(&file) && e.contains("does not exist") && e.contains("0600"), "{e}");
        }
        key_file::create(std::path::Path::new(&file)).unwrap();
        assert_eq!(secret(&format!("run console --authority-key {file}")), Ok(true));
    }
}

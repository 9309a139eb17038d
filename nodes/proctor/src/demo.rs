//! `proctor demo`: the whole loop on a simulator, live, with a console in the browser.
//!
//! Standard output carries the console's address and token and, as its last line, one JSON object
//! ([`crate::monitor::Summary`]). Standard input takes faults ([`crate::faults`]).

use crate::{
    gazebo::WorldArgs,
    leave::Leave,
    live::{Live, say},
    middleware::{self, BusKind},
    monitor::{Monitor, Summary},
    stack::{Nodes, StackConfig, find_root},
};
use clap::{Args, ValueEnum};
use proctor_bus::HirozConfig;
use proctor_console::{Shared, Token, scripted::Policy};
use proctor_perception::Device;
use proctor_sim::node::CameraParams;
use proctor_types::Role;
use std::{
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What the demo works on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sim {
    /// The built-in simulator.
    BuiltIn,
    /// The same cell as a world of Gazebo, whose server is started.
    Gazebo,
}

/// Arguments of `proctor demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop after so many seconds; without it, run until Ctrl-C.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: Option<u64>,
    /// Let the scripted surgeon supervise (simulator only).
    #[arg(long)]
    scripted: bool,
    /// Seed of anatomy, errors and noise.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Port of the console on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    console_port: u16,
    /// Pictures per second of the simulated endoscope; fewer leave room on a small machine.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(CameraParams::MAX_FPS)))]
    camera_fps: u32,
    /// Record every topic into an MCAP file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Model folder to run as well, or instead of the shipped one if it segments Proctor's classes; may be given several times.
    #[arg(long = "model", value_name = "FOLDER")]
    models: Vec<PathBuf>,
    /// What runs the models: the processor, or an NVIDIA card if this was built with the feature of that name.
    #[arg(long, value_enum, default_value_t = Device::Cpu)]
    device: Device,
    /// What carries the messages.
    #[arg(long, value_enum, default_value_t = BusKind::Memory)]
    bus: BusKind,
    /// What moves the arms and draws the pictures.
    #[arg(long, value_enum, default_value_t = Sim::BuiltIn)]
    sim: Sim,
    /// Opens Gazebo's own window, too.
    #[arg(long)]
    gazebo_gui: bool,
}

/// Runs the demo; succeeds if nothing was violated and, with the scripted surgeon, at least one motion was executed.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(args.sim == Sim::Gazebo || !args.gazebo_gui, "--gazebo-gui goes with --sim gazebo");
    let leave = Leave::on_signals()?;
    let mut config = StackConfig::simulated(&find_root()?, args.seed)?;
    config.camera.fps = f64::from(args.camera_fps);
    config.use_models(&args.models)?;
    config.perception.device = args.device;
    let bus = middleware::open(args.bus, HirozConfig::default())?;
    let mut live = Live::new();
    let gazebo = match args.sim {
        Sim::BuiltIn => None,
        Sim::Gazebo => Some(WorldArgs::own(args.gazebo_gui).world(&config.sim, args.camera_fps, &leave)?),
    };
    let on = if gazebo.is_some() { "Gazebo" } else { "the built-in simulator" };
    say(&format!("Proctor demo on {on}. Research software, not a medical device."));
    if gazebo.is_some() {
        live.use_sim_time(&bus)?;
    }
    let safety = live.safety(&bus, config.safety.clone(), config.verifier())?;
    let nodes = Nodes::new(&bus, &config, safety)?;
    let (monitor, shared) = (nodes.monitor.monitor(), nodes.console.shared());
    live.rosout(&bus, "proctor")?;
    if let Some(file) = &args.record {
        live.record(&bus, file)?;
    }
    spawn_nodes(&mut live, nodes)?;
    match &gazebo {
        Some(world) => world.spawn(&mut live, &bus, &config)?,
        None => live.simulator(&bus, &config)?,
    }
    let console = live.serve(&shared, args.console_port)?;
    wait(&args, console, &shared, &monitor, &leave)?;
    live.stop();
    if let Some(world) = &gazebo {
        say(&world.pace());
    }

    let summary = finish(&monitor);
    let passed = summary.violations == 0 && (!args.scripted || summary.executed > 0);
    say(&serde_json::to_string(&summary)?);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn spawn_nodes(live: &mut Live, nodes: Nodes) -> anyhow::Result<()> {
    let Nodes { perception, finders, fusion, frames, autonomy, console, safety, monitor } = nodes;
    live.spawn(monitor)?;
    live.spawn(safety)?;
    live.spawn(console)?;
    live.spawn(autonomy)?;
    live.spawn(fusion)?;
    live.spawn(frames)?;
    live.spawn(perception)?;
    finders.into_iter().try_for_each(|finder| live.spawn(finder))
}

/// Until the time is over or the process is asked to end; shows progress once a second when the length is known.
fn wait(
    args: &DemoArgs,
    console: SocketAddr,
    shared: &Arc<Shared>,
    monitor: &Mutex<Monitor>,
    leave: &Leave,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let length = args.seconds.map(Duration::from_secs);
        let scripted = args.scripted.then(|| {
            let token = Token::random();
            shared.add_token(token, Role::Scripted);
            let work = length.unwrap_or(Duration::from_hours(24));
            tokio::spawn(async move {
                match proctor_console::scripted::run(console, token, Policy::default(), work).await {
                    Ok(summary) => tracing::info!(?summary, "the scripted surgeon left"),
                    Err(error) => tracing::error!(%error, "the scripted surgeon gave up"),
                }
            })
        });
        let start = Instant::now();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                () = leave.wait() => break,
                _ = second.tick() => {}
            }
            let Some(length) = length else { continue };
            if start.elapsed() >= length {
                break;
            }
            let s = monitor.lock().unwrap_or_else(PoisonError::into_inner).summary();
            eprint!(
                "\r{:>4}/{} s  {} pictures  {} proposed  {} executed  {} violations ",
                start.elapsed().as_secs(),
                length.as_secs(),
                s.frames,
                s.proposals,
                s.executed,
                s.violations
            );
        }
        eprintln!();
        if let Some(handle) = scripted {
            handle.abort();
        }
        Ok(())
    })
}

fn finish(monitor: &Mutex<Monitor>) -> Summary {
    let monitor = monitor.lock().unwrap_or_else(PoisonError::into_inner);
    for v in monitor.violations() {
        let arm = v.arm.map_or("?", proctor_types::ArmId::name);
        eprintln!("violation at {:.3} s on {arm}: {}", v.stamp.nanos() as f64 * 1e-9, v.what);
    }
    monitor.summary()
}

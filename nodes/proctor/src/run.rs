//! `proctor run`: single nodes on ROS 2, and `proctor graph`: the closed table of topics.

use crate::{
    live::{self, Live},
    stack::{self, StackConfig},
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use proctor_autonomy::AutonomyNode;
use proctor_bus::{Bus, HirozConfig, graph};
use proctor_console::ConsoleNode;
use proctor_fusion::FusionNode;
use proctor_perception::PerceptionNode;
use proctor_sim::{
    Simulator,
    node::{CameraNode, PlantNode, PlantParams},
};
use std::{
    io::Write,
    path::PathBuf,
    sync::{Arc, Mutex},
};

/// What can run on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum NodeName {
    /// The simulated cell: three CRTK arms and the endoscope; faults are typed on standard input.
    Sim,
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
    /// ROS domain.
    #[arg(long, env = "ROS_DOMAIN_ID", default_value_t = 0)]
    domain: usize,
    /// Zenoh endpoints to connect to, e.g. tcp/127.0.0.1:7447.
    #[arg(long)]
    connect: Vec<String>,
    /// Zenoh endpoints to listen on.
    #[arg(long, default_value = "tcp/127.0.0.1:0")]
    listen: Vec<String>,
    /// Record every topic into this MCAP file, which must not exist.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Port of the console on this machine; 0 takes a free one.
    #[arg(long, default_value_t = 8080)]
    console_port: u16,
    /// Pictures per second of the simulated endoscope.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=120))]
    camera_fps: u32,
    /// Seed of the simulated cell.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

impl RunArgs {
    fn check(&self) -> anyhow::Result<()> {
        for (i, name) in self.nodes.iter().enumerate() {
            anyhow::ensure!(!self.nodes[..i].contains(name), "{name:?} is named twice: a process runs a node once");
        }
        let recorder = self.nodes.contains(&NodeName::Recorder);
        anyhow::ensure!(!recorder || self.record.is_some(), "the recorder needs --record FILE");
        Ok(())
    }
}

/// Runs the nodes until Ctrl-C.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    args.check()?;
    let mut config = StackConfig::simulated(&stack::find_root()?, args.seed)?;
    config.camera.fps = f64::from(args.camera_fps);
    // Outside the demo nothing is known to be simulated: nobody but a person may hold authority.
    config.safety.allow_scripted_operator = false;
    config.console.allow_scripted = false;
    let bus = live::hiroz(HirozConfig {
        domain_id: args.domain,
        connect: args.connect.clone(),
        listen: args.listen.clone(),
        ..HirozConfig::default()
    })?;
    let mut live = Live::new();
    if let Some(file) = &args.record {
        live.record(&bus, file)?;
    }
    for &name in &args.nodes {
        start(name, &mut live, &bus, &config, &args).with_context(|| format!("cannot start {name:?}"))?;
        tracing::info!(node = ?name, "running");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    live.stop();
    Ok(())
}

fn start(name: NodeName, live: &mut Live, bus: &Bus, config: &StackConfig, args: &RunArgs) -> anyhow::Result<()> {
    match name {
        NodeName::Sim => {
            let simulator = Arc::new(Mutex::new(Simulator::new(config.sim.clone())?));
            live.spawn(PlantNode::new(bus, simulator.clone(), PlantParams::default())?)?;
            live.spawn(CameraNode::new(bus, simulator.clone(), config.camera)?)?;
            Live::hear_faults(simulator);
            Ok(())
        }
        NodeName::Perception => live.spawn(PerceptionNode::new(bus, config.perception.clone())?),
        NodeName::Fusion => live.spawn(FusionNode::new(bus, config.fusion.clone())?),
        NodeName::Autonomy => live.spawn(AutonomyNode::new(bus, config.autonomy.clone())?),
        NodeName::Safety => {
            let node = live.safety(bus, config.safety.clone())?;
            live.spawn(node)
        }
        NodeName::Console => {
            let node = ConsoleNode::new(bus, config.console.clone())?;
            live.serve(&node.shared(), args.console_port)?;
            live.spawn(node)
        }
        // `--record` has started it already.
        NodeName::Recorder => Ok(()),
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
        cli.run.check().map_err(|e| e.to_string())
    }

    #[test]
    fn unknown_doubled_and_fileless_nodes_are_refused_by_name() {
        assert_eq!(check("run sim perception fusion autonomy safety console recorder --record a.mcap"), Ok(()));
        assert_eq!(check("run safety --record a.mcap"), Ok(()));
        assert!(check("run recorder").unwrap_err().contains("--record"));
        assert!(check("run safety sim safety").unwrap_err().contains("Safety"));
        let unknown = check("run teleop").unwrap_err();
        assert!(unknown.contains("teleop") && unknown.contains("perception"), "{unknown}");
        assert!(check("run").is_err());
    }
}

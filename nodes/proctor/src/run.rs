//! `proctor run`: single nodes on ROS 2, and `proctor graph`: the closed table of topics.

use crate::{
    exec::{SteadyClock, Threads},
    stack::{self, StackConfig},
};
use clap::Args;
use proctor_bus::{Bus, HirozConfig, graph};
use std::io::Write;

/// Arguments of `proctor run`.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Nodes: perception, fusion, autonomy, safety, monitor.
    #[arg(required = true)]
    nodes: Vec<String>,
    /// ROS domain.
    #[arg(long, env = "ROS_DOMAIN_ID", default_value_t = 0)]
    domain: usize,
    /// Zenoh endpoints to connect to, e.g. tcp/127.0.0.1:7447.
    #[arg(long)]
    connect: Vec<String>,
    /// Zenoh endpoints to listen on.
    #[arg(long, default_value = "tcp/127.0.0.1:0")]
    listen: Vec<String>,
}

/// Runs the nodes until Ctrl-C.
pub fn run(args: RunArgs) -> anyhow::Result<()> {
    let mut config = StackConfig::simulated(&stack::find_root()?, 1)?;
    // Outside the demo nothing is known to be simulated: nobody but a person may hold authority.
    config.safety.allow_scripted_operator = false;
    config.console.allow_scripted = false;
    let bus = Bus::hiroz(&HirozConfig {
        domain_id: args.domain,
        connect: args.connect,
        listen: args.listen,
        ..HirozConfig::default()
    })?;
    let mut threads = Threads::new(SteadyClock::start());
    for name in &args.nodes {
        threads.spawn(stack::node(name, &bus, &config)?)?;
        tracing::info!(node = name, "running");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(tokio::signal::ctrl_c())?;
    threads.join();
    Ok(())
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

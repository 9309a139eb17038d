//! `proctor demo`: the whole loop on the built-in simulator, live, with a console in the browser.
//!
//! Standard output carries the console's address and token and, as its last line, one JSON object
//! ([`crate::monitor::Summary`]). Standard input takes faults ([`crate::faults`]).

use crate::{
    exec::{SteadyClock, Threads},
    faults,
    monitor::{Monitor, Summary},
    stack::{Stack, StackConfig, find_root},
};
use anyhow::Context as _;
use clap::{Args, ValueEnum};
use proctor_bus::{Bus, HirozConfig};
use proctor_console::{Server, Token, scripted::Policy};
use proctor_recorder::{RecorderNode, RecorderParams};
use proctor_safety::{SafetyNode, realtime};
use proctor_sim::{Faults, node::SharedSimulator};
use proctor_types::Role;
use std::{
    io::{BufRead, Write},
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// FIFO priority of the safety loop's thread, where permitted.
const SAFETY_PRIORITY: i32 = 80;

/// What carries the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum BusKind {
    /// Inside this process.
    Memory,
    /// ROS 2 over Zenoh: other programs can listen.
    Hiroz,
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
    /// Record every topic into an MCAP file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// What carries the messages.
    #[arg(long, value_enum, default_value_t = BusKind::Memory)]
    bus: BusKind,
}

fn say(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

/// Reads fault commands from standard input until it ends.
fn listen_for_faults(simulator: SharedSimulator) {
    let mut current = Faults::default();
    for line in std::io::stdin().lock().lines().map_while(Result::ok).filter(|l| !l.trim().is_empty()) {
        match faults::apply(&line, &mut current) {
            Ok(done) => {
                simulator.lock().unwrap_or_else(PoisonError::into_inner).inject(current);
                say(&done);
            }
            Err(problem) => eprintln!("{problem}"),
        }
    }
}

/// Runs the demo; succeeds if nothing was violated and, with the scripted surgeon, at least one motion was executed.
pub fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    let root = find_root()?;
    let config = StackConfig::simulated(&root, args.seed)?;
    let bus = match args.bus {
        BusKind::Memory => Bus::memory(),
        BusKind::Hiroz => Bus::hiroz(&HirozConfig::default())?,
    };
    say("Proctor demo on the built-in simulator. Research software, not a medical device.");
    let clock = SteadyClock::start();
    let mut threads = Threads::new(clock);
    let stop = threads.stop_flag();
    let options = realtime::Options {
        clock: Box::new(move || clock.now()),
        stop: stop.clone(),
        priority: Some(SAFETY_PRIORITY),
        lock_memory: true,
    };
    let (safety, core) = SafetyNode::real_time(&bus, config.safety.clone(), options)?;
    let stack = Stack::with_safety(&bus, &config, safety)?;
    let monitor = stack.monitor.monitor();
    let shared = stack.console.shared();
    let simulator = stack.simulator.clone();

    if let Some(file) = &args.record {
        let recorder = RecorderNode::new(&bus, RecorderParams::to(file))
            .with_context(|| format!("cannot record to {}", file.display()))?;
        threads.spawn(Box::new(recorder))?;
    }
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.console_port));
    let server = Server::start(address, shared.clone()).context("cannot serve the console")?;
    spawn_all(&mut threads, stack)?;

    let token = Token::random();
    shared.add_token(token, Role::Surgeon);
    say(&format!("console: {}", server.url()));
    say(&format!("token: {token}"));
    std::thread::spawn(move || listen_for_faults(simulator));
    wait(&args, &server, &shared, &monitor)?;
    threads.join();
    core.join();

    let summary = finish(&monitor);
    let passed = summary.violations == 0 && (!args.scripted || summary.executed > 0);
    say(&serde_json::to_string(&summary)?);
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn spawn_all(threads: &mut Threads, stack: Stack) -> std::io::Result<()> {
    let Stack { simulator: _, plant, camera, perception, fusion, autonomy, console, safety, monitor } = stack;
    threads.spawn(Box::new(monitor))?;
    threads.spawn(Box::new(safety))?;
    threads.spawn(Box::new(plant))?;
    threads.spawn(Box::new(console))?;
    threads.spawn(Box::new(autonomy))?;
    threads.spawn(Box::new(fusion))?;
    threads.spawn(Box::new(perception))?;
    threads.spawn(Box::new(camera))
}

/// Until the time is over or Ctrl-C; shows progress once a second when the length is known.
fn wait(
    args: &DemoArgs,
    server: &Server,
    shared: &Arc<proctor_console::Shared>,
    monitor: &Mutex<Monitor>,
) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let length = args.seconds.map(Duration::from_secs);
        let scripted = args.scripted.then(|| {
            let token = Token::random();
            shared.add_token(token, Role::Scripted);
            let work = length.unwrap_or(Duration::from_secs(86_400));
            tokio::spawn(proctor_console::scripted::run(server.address(), token, Policy::default(), work))
        });
        let start = Instant::now();
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                _ = tokio::signal::ctrl_c() => break,
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

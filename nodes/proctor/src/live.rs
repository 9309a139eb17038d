//! What `demo` and `run` share: nodes in threads on the wall clock, the safety core in its real-time thread, the console served,
//! a recording, faults typed on standard input.

use crate::{
    exec::{SteadyClock, Threads, schedule},
    faults,
    logging::RosoutNode,
    sim_time::SimulatedClock,
    stack::StackConfig,
};
use anyhow::Context as _;
use proctor_bus::{Bus, Node, Urgency};
use proctor_console::{Server, Shared, Token};
use proctor_recorder::{RecorderNode, RecorderParams};
use proctor_safety::{SafetyNode, SafetyParams, realtime};
use proctor_seal::Verifier;
use proctor_sim::{
    Simulator,
    node::{CameraNode, Commander, PlantNode, PlantParams},
};
use proctor_types::Role;
use std::{
    io::Write,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

/// FIFO priority of the safety loop's thread, where permitted.
const SAFETY_PRIORITY: i32 = 80;

/// A line for people and for programs that read standard output.
pub fn say(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

/// Running nodes; [`Live::stop`] ends them.
pub struct Live {
    clock: SteadyClock,
    threads: Threads,
    core: Option<realtime::RealTime>,
    server: Option<Server>,
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

impl Live {
    /// Nothing runs yet.
    pub fn new() -> Self {
        let clock = SteadyClock::start();
        Self { clock, threads: Threads::new(clock), core: None, server: None }
    }

    /// Nodes are made, and not polled until [`Live::resume`]. Refused, by name, if one must not be stopped now.
    pub fn pause(&self) -> Result<(), String> {
        self.threads.pause()
    }

    /// Nodes are polled, from now on or again.
    pub fn resume(&self) {
        self.threads.resume();
    }

    /// Starts a node's thread.
    pub fn spawn(&mut self, node: impl Node + 'static) -> anyhow::Result<()> {
        Ok(self.threads.spawn(Box::new(node))?)
    }

    /// Nodes that are started from now on run on the clock that `bus` carries.
    pub fn use_sim_time(&mut self, bus: &Bus) -> anyhow::Result<()> {
        Ok(self.threads.use_sim_time(bus)?)
    }

    /// The simulation's clock that nodes run on, if they do.
    pub fn simulated(&self) -> Option<&SimulatedClock> {
        self.threads.simulated()
    }

    /// Starts the thread of a node that makes the simulated time, and so cannot run on it.
    pub fn spawn_on_wall_clock(&mut self, node: impl Node + 'static) -> anyhow::Result<()> {
        Ok(self.threads.spawn_on_wall_clock(Box::new(node))?)
    }

    /// Starts the safety core in its real-time thread; the returned node, its bus half, is still to be spawned. On a simulation's clock there is no
    /// real time, and the core runs inside the node.
    pub fn safety(&mut self, bus: &Bus, params: SafetyParams, verifier: Verifier) -> anyhow::Result<SafetyNode> {
        if self.threads.simulated().is_some() {
            return Ok(SafetyNode::new(bus, params, verifier)?);
        }
        let clock = self.clock;
        let options = realtime::Options {
            clock: Box::new(move || clock.now()),
            stop: self.threads.stop_flag(),
            priority: Some(SAFETY_PRIORITY),
            lock_memory: true,
        };
        let (node, core) = SafetyNode::real_time(bus, params, verifier, options)?;
        self.core = Some(core);
        Ok(node)
    }

    /// Publishes what this process logs, under its name in ROS.
    pub fn rosout(&mut self, bus: &Bus, name: &str) -> anyhow::Result<()> {
        self.spawn_on_wall_clock(RosoutNode::new(bus, name)?)
    }

    /// Records every topic of `bus` into `file`, which must not exist.
    pub fn record(&mut self, bus: &Bus, file: &Path) -> anyhow::Result<()> {
        self.spawn(RecorderNode::new(bus, RecorderParams::to(file))?)
    }

    /// Serves the console on this machine and says its address and a surgeon's one-time token. Port 0 takes a free one.
    pub fn serve(&mut self, shared: &Arc<Shared>, port: u16) -> anyhow::Result<SocketAddr> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        // The hold comes in through the server's thread.
        let server = Server::start_with(address, shared.clone(), || schedule(Urgency::Prompt));
        let server = server.context("cannot serve the console")?;
        let (token, address) = (Token::random(), server.address());
        shared.add_token(token, Role::Surgeon);
        say(&format!("console: {}", server.url()));
        say(&format!("token: {token}"));
        self.server = Some(server);
        Ok(address)
    }

    /// Starts the built-in simulator's arms, which follow the safety node alone, and its endoscope. They make the simulated time, on the wall clock.
    pub fn simulator(&mut self, bus: &Bus, config: &StackConfig) -> anyhow::Result<()> {
        let simulator = Arc::new(Mutex::new(Simulator::new(config.sim.clone())?));
        let from = Commander::Safety(config.root.clone());
        self.spawn_on_wall_clock(PlantNode::new(bus, simulator.clone(), PlantParams::default(), &from)?)?;
        self.spawn_on_wall_clock(CameraNode::new(bus, simulator.clone(), config.camera)?)?;
        let simulator = Arc::downgrade(&simulator);
        faults::hear(move |now| {
            let simulator = simulator.upgrade();
            simulator.map(|s| s.lock().unwrap_or_else(PoisonError::into_inner).inject(now)).is_some()
        });
        Ok(())
    }

    /// Ends every thread and waits for it; recordings are complete afterwards.
    pub fn stop(self) {
        drop(self.server);
        self.threads.join();
        if let Some(core) = self.core
            && !core.join()
        {
            tracing::error!("the safety core ended by a panic");
        }
    }
}

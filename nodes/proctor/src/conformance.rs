//! `proctor conformance`: probes a live arm over the bus and says what it will do before it does it.

use crate::{
    live::{Live, say},
    middleware::{self, BusKind},
    profile::Profile,
};
use anyhow::{Context as _, bail};
use clap::Args;
use proctor_bus::{Bus, HirozConfig, Names};
use proctor_conformance::{Level, Options, ProbeNode, Report, plan};
use proctor_kinematics::{Chain, Instrument};
use proctor_msgs::wire::base_frame;
use proctor_seal::{Sealer, Verifier, key_file};
use proctor_types::{ArmId, Stamp};
use std::{
    io::{BufRead, Write},
    path::PathBuf,
    process::ExitCode,
    sync::{PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

/// Longest that a simulation's `/clock` may be silent or stand still: without it nothing is polled, not even to end.
const CLOCK_SILENT: Duration = Duration::from_secs(10);

/// Between two looks for the report.
const LOOK: Duration = Duration::from_millis(50);

/// Arguments of `proctor conformance`.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the command line")]
pub struct ConformanceArgs {
    /// Namespace of the arm, e.g. /PSM1. With --profile the place: PSM1, PSM2 or ECM.
    #[arg(long)]
    arm: String,
    /// The place that the arm has in Proctor, where its namespace does not end with it.
    #[arg(long = "as", value_name = "PLACE")]
    place: Option<ArmId>,
    /// Names, frames and instruments of the robot, e.g. launch/config/dvrk.toml.
    #[arg(long, value_name = "FILE")]
    profile: Option<PathBuf>,
    /// What it carries, or the name or file of an arm of another form; the profile says it, if there is one.
    #[arg(long, default_value = Instrument::DEFAULT)]
    instrument: String,
    /// Move the arm: state machine, 0.03 rad of roll, goals that it must ignore. Without this nothing is sent.
    #[arg(long = "move")]
    moves: bool,
    /// Let an arm that is not homed home: that may move all of it.
    #[arg(long, requires = "moves")]
    home: bool,
    /// Give the enabled arm NaN, a jump of 0.05 rad and a goal beyond its limit, too.
    #[arg(long, requires = "moves")]
    provoke: bool,
    /// Seal commands with this secret, as the safety node does: the built-in simulator's arms take no others. Without it commands are plain CRTK,
    /// which is what a robot takes.
    #[arg(long, value_name = "FILE")]
    authority_key: Option<PathBuf>,
    /// Do not ask before the arm is moved.
    #[arg(long)]
    yes: bool,
    /// The arm is a simulated one: time is what `/clock` says, so that a simulation slower than the clock on the wall is no fault of the arm's.
    #[arg(long)]
    use_sim_time: bool,
    /// Write the report into this file, too, as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
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

/// Which arm, under which names, of which model.
struct Target {
    options: Options,
    names: Names,
    chain: Chain,
}

impl ConformanceArgs {
    fn level(&self) -> Level {
        match (self.moves, self.provoke) {
            (false, _) => Level::Watch,
            (true, false) => Level::Move,
            (true, true) => Level::Provoke,
        }
    }

    fn target(&self) -> anyhow::Result<Target> {
        let profile = self.profile.as_deref().map(Profile::read).transpose()?;
        let last = self.arm.rsplit('/').next().unwrap_or_default();
        let place = match self.place {
            Some(place) => place,
            None => last.parse::<ArmId>().context("--as says which place the arm has, if its namespace does not")?,
        };
        let (names, frame, carried) = if let Some(p) = &profile {
            let carried = p.instrument(place).map_or_else(|| self.instrument.clone(), str::to_owned);
            (p.names(), p.frame(place).to_owned(), carried)
        } else {
            let namespace = format!("/{}", self.arm.trim_start_matches('/'));
            (Names::namespace(place, &namespace)?, base_frame(place).to_owned(), self.instrument.clone())
        };
        let chain = if place.has_jaw() { Chain::held(&carried)? } else { Chain::ecm()? };
        let options = Options {
            arm: place,
            name: self.arm.clone(),
            level: self.level(),
            home: self.home,
            sealed: self.authority_key.is_some(),
            frame,
        };
        Ok(Target { options, names, chain })
    }

    fn sealer(&self) -> anyhow::Result<Option<Sealer>> {
        let Some(file) = &self.authority_key else { return Ok(None) };
        Ok(Some(Verifier::new(key_file::read(file)?, proctor_seal::random_boot()).sealer()))
    }

    /// Says what will be done and, if the arm is to be moved, waits for a yes.
    fn allowed(&self, options: &Options) -> anyhow::Result<bool> {
        say(&format!("proctor conformance {}", options.name));
        plan(options).iter().for_each(|line| say(&format!("- {line}")));
        if options.level == Level::Watch || self.yes {
            return Ok(true);
        }
        print!("Clear the arm's way and hold its emergency stop. Go on? Type yes: ");
        std::io::stdout().flush()?;
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        Ok(line.trim() == "yes")
    }
}

/// Probes; succeeds if nothing failed.
pub fn run(args: &ConformanceArgs) -> anyhow::Result<ExitCode> {
    let target = args.target()?;
    let sealer = args.sealer()?;
    if !args.allowed(&target.options)? {
        say("nothing was sent");
        return Ok(ExitCode::FAILURE);
    }
    let config = HirozConfig {
        domain_id: args.domain,
        connect: args.connect.clone(),
        listen: args.listen.clone(),
        node_name: "proctor_conformance".to_owned(),
        ..HirozConfig::default()
    };
    let bus = middleware::open(BusKind::Hiroz, config)?;
    let mut live = Live::new();
    if args.use_sim_time {
        live.use_sim_time(&bus)?;
    }
    let report = probe(live, &bus.with_names(target.names), target.options, target.chain, sealer)?;
    say(&report.to_string());
    if let Some(file) = &args.json {
        let text = serde_json::to_string_pretty(&report)?;
        std::fs::write(file, text).with_context(|| file.display().to_string())?;
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs the probe in a thread of its own until it is done; Ctrl-C makes it disable the arm, if it has moved it, and end.
fn probe(mut live: Live, bus: &Bus, options: Options, chain: Chain, sealer: Option<Sealer>) -> anyhow::Result<Report> {
    let node = ProbeNode::new(bus, options, chain, sealer)?;
    let (outcome, leave) = (node.outcome(), node.leave());
    live.spawn(node)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut clock = Watched { shown: None, since: Instant::now() };
    let report = runtime.block_on(async {
        loop {
            if let Some(report) = outcome.lock().unwrap_or_else(PoisonError::into_inner).take() {
                return anyhow::Ok(report);
            }
            if let Some(simulated) = live.simulated() {
                clock.shows(simulated.now(), Instant::now())?;
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => leave.store(true, Ordering::Relaxed),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    });
    live.stop();
    report
}

/// A simulation's clock, and since when it has shown the same.
struct Watched {
    shown: Option<Stamp>,
    since: Instant,
}

impl Watched {
    /// Refuses a clock that has not moved for too long.
    fn shows(&mut self, shown: Option<Stamp>, now: Instant) -> anyhow::Result<()> {
        if self.shown != shown {
            *self = Self { shown, since: now };
        }
        let still = now.duration_since(self.since);
        match self.shown {
            _ if still < CLOCK_SILENT => Ok(()),
            None => bail!(
                "--use-sim-time: nobody has said /clock for {} s. Does the simulation run, and does --connect reach it?",
                still.as_secs()
            ),
            Some(_) => bail!(
                "--use-sim-time: /clock has stood still for {} s. Does the simulation still run? The arm is as the probe left it",
                still.as_secs()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_says_or_that_stands_still_ends_the_probe_and_a_slow_one_does_not() {
        let start = Instant::now();
        let after = |s: f64| start + Duration::from_secs_f64(s);
        let mut clock = Watched { shown: None, since: start };
        assert!(clock.shows(None, after(9.9)).is_ok());
        assert!(clock.shows(None, after(10.0)).unwrap_err().to_string().contains("/clock"));
        // Late, slow, and then no more.
        for (i, s) in [9.0, 18.5, 28.0].into_iter().enumerate() {
            let shown = Some(Stamp::FIRST.plus(Duration::from_millis(i as u64)));
            assert!(clock.shows(shown, after(s)).is_ok(), "{s}");
        }
        let last = clock.shown;
        assert!(clock.shows(last, after(37.9)).is_ok());
        assert!(clock.shows(last, after(38.0)).unwrap_err().to_string().contains("stood still"));
    }
}

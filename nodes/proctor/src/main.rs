//! `proctor`: every node, the demo and the tools in one executable. Research software, not a medical device.

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use proctor::{calibrate, conformance, dataset, demo, doctor, fuse, gazebo, logging, network, run, shadow};
use proctor_bus::{RosArgs, ros_args};
use proctor_kinematics::{Chain, Instrument, fk_csv};
use proctor_perception::{
    cli::{EvalArgs, SegmentArgs},
    find::{FindArgs, find},
    report::{self, ReportArgs},
};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Supervised autonomy for surgical robots. Research software, not a medical device.
#[derive(Parser)]
#[command(version, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// The whole loop on a simulator.
    Demo(demo::DemoArgs),
    /// Single nodes on ROS 2; takes `--ros-args`.
    Run(run::RunArgs),
    /// Probe a CRTK arm: names, types, frames, units, rates, state machine, and what it does with commands that it must not follow.
    Conformance(conformance::ConformanceArgs),
    /// Judge a recording of a robot as the safety node would have: what it would have refused, limited and stopped, and why.
    Shadow(shadow::ShadowArgs),
    /// Overlays and label pictures for pictures, folders or videos.
    Segment(SegmentArgs),
    /// What models of any task find - boxes, points, classes, regions - in pictures, folders or videos.
    Find(FindArgs),
    /// Measure a model.
    #[command(subcommand)]
    Eval(Eval),
    /// Look into a model.
    #[command(subcommand)]
    Model(ModelCommand),
    /// Labelled pictures to train and measure models with.
    #[command(subcommand)]
    Dataset(dataset::Dataset),
    /// Cameras, stereo pairs and hand-eye transforms from pictures of a board.
    #[command(subcommand)]
    Calibrate(calibrate::Calibrate),
    /// Tracking over a recording: estimates, residuals, rejected samples, and what is wrong with it.
    #[command(after_help = fuse::HELP)]
    Fuse(fuse::FuseArgs),
    /// The operating cell as a world of Gazebo.
    #[command(subcommand)]
    Gazebo(gazebo::Gazebo),
    /// Forward kinematics of a table of joints: CSV with header on standard input, poses on standard output.
    Fk(FkArgs),
    /// Make the secret that console and safety share, in a new file that only its owner can read.
    AuthorityKey {
        /// The file, which must not exist.
        file: PathBuf,
    },
    /// Zenoh files for a robot cart, a GPU box and a console apart: who they are and what they may say.
    Network(network::NetworkArgs),
    /// Connects the machines of a network and passes on what its file allows.
    Router {
        /// The router's file, as `proctor network` makes it; one that lets strangers in is refused.
        file: PathBuf,
    },
    /// Every topic: type, writer, readers, rate, quality of service.
    Graph,
    /// What is present and missing on this machine.
    Doctor,
}

#[derive(Subcommand)]
enum Eval {
    /// IoU and Dice on labelled pictures.
    Segmentation(EvalArgs),
}

#[derive(Subcommand)]
enum ModelCommand {
    /// Quality assurance on labelled pictures, as one HTML file.
    Report(ReportArgs),
}

#[derive(Clone, Copy, ValueEnum)]
enum Arm {
    Psm,
    Ecm,
}

#[derive(clap::Args)]
struct FkArgs {
    /// Which kind of arm.
    #[arg(long)]
    arm: Arm,
    /// Instrument of a PSM.
    #[arg(long, default_value = "LARGE_NEEDLE_DRIVER_400006")]
    instrument: String,
}

fn fk(args: &FkArgs) -> anyhow::Result<()> {
    let chain = match args.arm {
        Arm::Psm => Chain::psm(&Instrument::named(&args.instrument)?)?,
        Arm::Ecm => Chain::ecm()?,
    };
    let rows = fk_csv(&chain, std::io::stdin().lock(), std::io::stdout().lock()).context("standard input")?;
    tracing::debug!(rows, "done");
    Ok(())
}

fn dispatch(command: Command, ros: RosArgs) -> anyhow::Result<ExitCode> {
    match command {
        Command::Run(args) => run::run(args, ros).map(|()| ExitCode::SUCCESS),
        _ if ros != RosArgs::default() => anyhow::bail!("--ros-args: only `proctor run` takes ROS arguments"),
        Command::Demo(args) => demo::run(args),
        Command::Conformance(args) => conformance::run(&args),
        Command::Shadow(args) => shadow::run(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Segment(args) => {
            Ok(proctor_perception::cli::segment(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS)?)
        }
        Command::Find(args) => Ok(find(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS)?),
        Command::Eval(Eval::Segmentation(args)) => {
            Ok(proctor_perception::cli::eval_segmentation(&args, &mut std::io::stdout().lock())
                .map(|()| ExitCode::SUCCESS)?)
        }
        Command::Model(ModelCommand::Report(args)) => {
            Ok(report::run(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS)?)
        }
        Command::Dataset(what) => dataset::run(&what, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Calibrate(what) => calibrate::run(&what, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Fuse(args) => fuse::run(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Gazebo(what) => gazebo::run(&what, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Fk(args) => fk(&args).map(|()| ExitCode::SUCCESS),
        Command::AuthorityKey { file } => {
            proctor_seal::key_file::create(&file)?;
            println!("{}", file.display());
            Ok(ExitCode::SUCCESS)
        }
        Command::Network(args) => network::write(&args, &mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Router { file } => network::route(&file).map(|()| ExitCode::SUCCESS),
        Command::Graph => run::print_graph(&mut std::io::stdout().lock()).map(|()| ExitCode::SUCCESS),
        Command::Doctor => {
            let complete = doctor::report(&doctor::examine(Path::new(".")), &mut std::io::stdout().lock())?;
            Ok(if complete { ExitCode::SUCCESS } else { ExitCode::FAILURE })
        }
    }
}

fn main() -> ExitCode {
    let run = |(own, ros): (Vec<String>, RosArgs)| {
        logging::start(&ros)?;
        dispatch(Cli::parse_from(own).command, ros)
    };
    let done = ros_args::split(std::env::args()).context("--ros-args").and_then(run);
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("proctor: {error:#}");
            ExitCode::FAILURE
        }
    }
}

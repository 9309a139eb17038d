//! `proctor gazebo`: the operating cell as a world of Gazebo, and what `demo` and `run` need of one.
//!
//! A [`World`] is a running Gazebo server with our cell in it, its own or somebody's; [`World::spawn`] puts its arms and its endoscope on the bus.

use crate::{
    faults,
    leave::Leave,
    live::Live,
    stack::{self, StackConfig},
};
use anyhow::{Context as _, bail, ensure};
use clap::{Args, Subcommand};
use proctor_arm::{ArmsNode, ArmsParams, EndoscopeNode, SharedFaults};
use proctor_bus::Bus;
use proctor_controller::Commander;
use proctor_gazebo::{Camera, export};
use proctor_gz::{
    Client, Options, Partition, Subscription,
    messages::{Clock, Image, PixelFormat, Time, WorldStatistics},
};
use proctor_sim::{SimConfig, Simulator, node::CameraParams};
use proctor_types::Class;
use std::{
    ffi::OsStr,
    fs::File,
    io::{BufWriter, Write},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How long a server may take to load the world.
const LOADING: Duration = Duration::from_mins(2);
/// How long an endoscope may take for the next picture, and a world that runs for the next tick.
const WAITING: Duration = Duration::from_secs(30);
/// How often a server that loads is looked after.
const LOOK: Duration = Duration::from_millis(100);
/// The commands that run Gazebo, newest first.
const COMMANDS: [[&str; 2]; 2] = [["gz", "sim"], ["ign", "gazebo"]];

/// What `proctor gazebo` does.
#[derive(Debug, Subcommand)]
pub enum Gazebo {
    /// Writes the cell - arms, organs, endoscope - as a world with its meshes.
    Export(ExportArgs),
    /// Takes pictures of a world that runs, with what they truly show, for `proctor eval segmentation`.
    Capture(CaptureArgs),
}

/// Arguments of `proctor gazebo export`.
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// Folder for cell.sdf and its meshes.
    folder: PathBuf,
    /// Seed of anatomy and of the error of where the arms stand.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Pictures per simulated second.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(CameraParams::MAX_FPS)))]
    camera_fps: u32,
}

/// Arguments of `proctor gazebo capture`.
#[derive(Debug, Args)]
pub struct CaptureArgs {
    /// Folder, which must not exist, for images/ and right/ (the stereo pictures), masks/ with map.toml, and depth/ (16 bit, in 0.01 mm, 0 where none is known).
    #[arg(long)]
    out: PathBuf,
    /// How many pictures.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,
}

/// Arguments of `proctor run` about the world of its node `gazebo`.
#[derive(Debug, Clone, Copy, Args)]
pub struct WorldArgs {
    /// The node `gazebo` starts a server of the cell itself. Without it, it joins the one that runs (GZ_PARTITION, GZ_IP).
    #[arg(long = "gazebo-server")]
    server: bool,
    /// The node `gazebo` opens Gazebo's own window, too.
    #[arg(long = "gazebo-gui")]
    gui: bool,
}

impl WorldArgs {
    /// A world of its own, with or without Gazebo's window.
    pub const fn own(gui: bool) -> Self {
        Self { server: true, gui }
    }

    /// Whether nothing was asked for.
    pub fn is_empty(self) -> bool {
        !self.server && !self.gui
    }

    /// The world that they ask for.
    pub fn world(self, config: &SimConfig, fps: u32, leave: &Leave) -> anyhow::Result<World> {
        let mut world = if self.server { World::start(config, fps, leave)? } else { World::join(leave)? };
        if self.gui {
            world.show()?;
        }
        Ok(world)
    }
}

/// Runs the command.
pub fn run(what: &Gazebo, out: &mut impl Write) -> anyhow::Result<()> {
    match what {
        Gazebo::Export(args) => {
            let root = stack::find_root()?;
            let config = StackConfig::simulated(&root, args.seed)?;
            writeln!(out, "{}", export(&args.folder, &config.sim, args.camera_fps)?.display())?;
        }
        Gazebo::Capture(args) => capture(args)?,
    }
    Ok(())
}

/// A process of Gazebo's, in whose folder its log is; both end when this is dropped.
struct Process {
    what: &'static str,
    child: Child,
    log: PathBuf,
    _folder: TempDir,
}

impl Process {
    fn start(what: &'static str, arguments: &[&OsStr], folder: TempDir, options: &Options) -> anyhow::Result<Self> {
        let [program, subcommand] =
            command().context("no Gazebo: neither `gz sim` nor `ign gazebo` is there (docs/gazebo.md)")?;
        let log = folder.path().join(format!("{what}.log"));
        let file = File::create(&log).with_context(|| log.display().to_string())?;
        let (partition, ip) = (options.partition.as_str(), options.ip.to_string());
        let child = Command::new(program)
            .arg(subcommand)
            .args(arguments)
            .envs([("GZ_PARTITION", partition), ("IGN_PARTITION", partition), ("GZ_IP", &ip), ("IGN_IP", &ip)])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {program} {subcommand}"))?;
        Ok(Self { what, child, log, _folder: folder })
    }

    /// A server with the cell of `config`, without a window.
    fn server(config: &SimConfig, fps: u32, options: &Options) -> anyhow::Result<Self> {
        let folder = folder()?;
        let world = export(folder.path(), config, fps)?;
        let words = ["-s", "-r", "--headless-rendering", "-v", "3"].map(OsStr::new);
        Self::start("server", &[&words[..], &[world.as_os_str()]].concat(), folder, options)
    }

    /// A window on the world of a server, looking at the cell.
    fn window(options: &Options) -> anyhow::Result<Self> {
        let folder = folder()?;
        let view = folder.path().join("gui.config");
        std::fs::write(&view, proctor_gazebo::WINDOW)?;
        let words = ["-g", "-v", "3", "--gui-config"].map(OsStr::new);
        Self::start("window", &[&words[..], &[view.as_os_str()]].concat(), folder, options)
    }

    /// How it ended, if it has.
    fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    fn last_words(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<_> = said.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.child.kill().and_then(|()| self.child.wait()) {
            tracing::warn!(%error, "Gazebo's {} was not ended", self.what);
        }
    }
}

fn folder() -> anyhow::Result<TempDir> {
    Ok(tempfile::Builder::new().prefix("proctor-gazebo-").tempdir()?)
}

/// The command that runs Gazebo here, if any: one that says a version.
fn command() -> Option<[&'static str; 2]> {
    COMMANDS.into_iter().find(|[program, subcommand]| {
        let said = Command::new(program).args([subcommand, "--versions"]).stderr(Stdio::null()).output();
        said.is_ok_and(|said| said.stdout.first().is_some_and(u8::is_ascii_digit))
    })
}

/// Whether a Gazebo server can be started here.
pub fn is_here() -> bool {
    command().is_some()
}

/// What the environment says under one of Gazebo's two names.
fn said(name: &str) -> Option<String> {
    let get = |name: String| std::env::var(name).ok().filter(|value| !value.is_empty());
    get(format!("GZ_{name}")).or_else(|| get(format!("IGN_{name}")))
}

/// Gazebo's own name of a partition that nobody has named.
fn default_partition() -> anyhow::Result<Partition> {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").context("no name of this machine")?;
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| "root".to_owned());
    Ok(Partition::default_for(host.trim(), &user)?)
}

/// Where Gazebo's processes and we find each other: in the partition that the environment names, or `otherwise`, on the address that it names.
fn options(otherwise: impl FnOnce() -> anyhow::Result<Partition>) -> anyhow::Result<Options> {
    let partition = said("PARTITION").map_or_else(otherwise, |name| Ok(Partition::new(&name)?))?;
    let ip = said("IP")
        .map(|ip| ip.parse().with_context(|| format!("GZ_IP {ip:?}: expected an IPv4 address")))
        .transpose()?;
    Ok(Options { ip: ip.unwrap_or(Ipv4Addr::LOCALHOST), ..Options::local(partition) })
}

/// A running world with our cell in it.
pub struct World {
    client: Client,
    statistics: Subscription<WorldStatistics>,
    pictures: Subscription<Image>,
    since: Instant,
    options: Options,
    window: Option<Process>,
    /// Ends last.
    server: Option<Process>,
}

impl World {
    /// Starts a server of its own with the cell of `config`, without a window. It takes seconds, on a busy machine a minute; `leave` cuts it short.
    pub fn start(config: &SimConfig, fps: u32, leave: &Leave) -> anyhow::Result<Self> {
        let options = options(|| Ok(Partition::new(&format!("proctor-{}", std::process::id()))?))?;
        let client = Client::new(options.clone())?;
        let mut server = Process::server(config, fps, &options)?;
        tracing::info!(partition = options.partition.as_str(), log = %server.log.display(), "a Gazebo server loads the cell");
        let ticks = first_tick(&client, LOADING, || {
            leave.check()?;
            check_server(&mut server, leave)
        })?;
        ensure!(ticks, "the Gazebo server says no /clock within {LOADING:?}:\n{}", server.last_words());
        tracing::info!(partition = options.partition.as_str(), "the Gazebo server runs");
        Self::around(client, options, Some(server))
    }

    /// Joins the server that runs in the partition and on the address that the environment names.
    pub fn join(leave: &Leave) -> anyhow::Result<Self> {
        let options = options(default_partition)?;
        let client = Client::new(options.clone())?;
        ensure!(
            first_tick(&client, WAITING, || Ok(leave.check()?))?,
            "no Gazebo server says /clock within {WAITING:?}: give it and Proctor the same GZ_PARTITION (IGN_PARTITION) and GZ_IP (IGN_IP), 127.0.0.1 \
             where nothing is said, and let it run"
        );
        Self::around(client, options, None)
    }

    fn around(client: Client, options: Options, server: Option<Process>) -> anyhow::Result<Self> {
        Ok(Self {
            statistics: client.subscribe("/stats", 1)?,
            pictures: client.subscribe(Camera::Left.topic(), 1)?,
            client,
            since: Instant::now(),
            options,
            window: None,
            server,
        })
    }

    /// Opens Gazebo's window on the world, for people to look; nothing depends on it, and it may be closed.
    pub fn show(&mut self) -> anyhow::Result<()> {
        self.window = Some(Process::window(&self.options)?);
        Ok(())
    }

    /// Starts arms and endoscope, which are the robot from now on. What stands in the arms' places is what `config` says; what is typed on standard
    /// input goes wrong with them.
    pub fn spawn(&self, live: &mut Live, bus: &Bus, config: &StackConfig) -> anyhow::Result<()> {
        let cell = Simulator::new(config.sim.clone())?;
        let stands = |arm| (cell.chain(arm).clone(), cell.plant(arm).position());
        let params = ArmsParams { jaw: config.sim.arm.jaw, ..ArmsParams::default() };
        let from = Commander::Safety(config.root.clone());
        let faults = SharedFaults::default();
        live.spawn_on_wall_clock(ArmsNode::new(bus, &self.client, stands, params, (&from, faults.clone()))?)?;
        live.spawn_on_wall_clock(EndoscopeNode::new(bus, &self.client, cell.cell().rig(), faults.clone())?)?;
        faults::hear(move |now| {
            faults.inject(now);
            true
        });
        Ok(())
    }

    /// Fails if the server that was started has ended; says if the window has.
    pub fn check(&mut self, leave: &Leave) -> anyhow::Result<()> {
        if let Some(window) = &mut self.window
            && let Some(status) = window.ended()?
        {
            if status.success() {
                tracing::info!("Gazebo's window was closed");
            } else {
                tracing::warn!("Gazebo's window ended ({status}):\n{}", window.last_words());
            }
            self.window = None;
        }
        self.server.as_mut().map_or(Ok(()), |server| check_server(server, leave))
    }

    /// How fast the simulation ran since it was joined, in words.
    pub fn pace(&self) -> String {
        let seconds = self.since.elapsed().as_secs_f64();
        let pictures = self.pictures.dropped() + u64::from(self.pictures.take().is_some());
        let Some(statistics) = self.statistics.wait(LOOK * 5) else { return "gazebo: no statistics".to_owned() };
        let whole = |time: Option<Time>| time.and_then(Time::nanos).map_or(0.0, |nanos| nanos as f64 * 1e-9);
        let (simulated, real) = (whole(statistics.sim_time), whole(statistics.real_time));
        format!(
            "gazebo: {simulated:.1} s simulated in {real:.1} s, real-time factor {:.2}; {:.1} pictures per second of the clock on the wall",
            simulated / real.max(1e-9),
            pictures as f64 / seconds
        )
    }
}

/// Fails, with what the server said last, if it has ended; with [`crate::leave::Left`] where both were asked to.
fn check_server(server: &mut Process, leave: &Leave) -> anyhow::Result<()> {
    let Some(status) = server.ended()? else { return Ok(()) };
    // Ctrl-C in a terminal reaches both, and the server may be quicker.
    std::thread::sleep(LOOK);
    leave.check()?;
    bail!("the Gazebo server ended ({status}):\n{}", server.last_words())
}

/// Whether the world's clock is heard `within` this time; `check` is asked meanwhile whether to go on.
fn first_tick(
    client: &Client,
    within: Duration,
    mut check: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<bool> {
    let clock = client.subscribe::<Clock>("/clock", 1)?;
    let start = Instant::now();
    while clock.wait(LOOK).is_none() {
        check()?;
        if start.elapsed() >= within {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pictures of a camera that have come and are waited with for those of the others.
struct Recent {
    camera: Subscription<Image>,
    pictures: Vec<Image>,
}

impl Recent {
    fn of(client: &Client, camera: Camera) -> anyhow::Result<Self> {
        Ok(Self { camera: client.subscribe::<Image>(camera.topic(), 64)?, pictures: Vec::new() })
    }

    /// The picture of a moment, if it has come.
    fn at(&mut self, moment: i64) -> Option<&Image> {
        self.pictures.extend(std::iter::from_fn(|| self.camera.take()));
        self.pictures.retain(|picture| taken_at(picture).is_some_and(|taken| taken >= moment));
        self.pictures.iter().find(|picture| taken_at(picture) == Some(moment))
    }
}

/// When a picture was taken, ns.
fn taken_at(picture: &Image) -> Option<i64> {
    picture.header.as_ref()?.stamp.and_then(Time::nanos)
}

/// Takes stereo pictures with their labels and depths, each four of one moment.
fn capture(args: &CaptureArgs) -> anyhow::Result<()> {
    let world = World::join(&Leave::default())?;
    let [mut left, mut right, mut depth] = [
        Recent::of(&world.client, Camera::Left)?,
        Recent::of(&world.client, Camera::Right)?,
        Recent::of(&world.client, Camera::Depth)?,
    ];
    let labels = world.client.subscribe::<Image>(Camera::Labels.topic(), 8)?;
    std::fs::create_dir(&args.out).with_context(|| args.out.display().to_string())?;
    for folder in ["images", "right", "masks", "depth"] {
        std::fs::create_dir(args.out.join(folder))?;
    }
    std::fs::write(args.out.join("map.toml"), map())?;
    let mut taken = 0;
    // The labels of a moment are not the last of its four pictures to come.
    let mut label = labels.wait(WAITING);
    while taken < args.frames {
        let this = label.take().with_context(|| format!("no labels within {WAITING:?}"))?;
        label = labels.wait(WAITING);
        let Some(moment) = taken_at(&this) else { continue };
        let (Some(left), Some(right), Some(depth)) = (left.at(moment), right.at(moment), depth.at(moment)) else {
            continue;
        };
        let file = |folder: &str| args.out.join(folder).join(format!("{taken:05}.png"));
        write_png(&file("images"), left, png::ColorType::Rgb, png::BitDepth::Eight)?;
        write_png(&file("right"), right, png::ColorType::Rgb, png::BitDepth::Eight)?;
        write_png(&file("masks"), &grey(&this)?, png::ColorType::Grayscale, png::BitDepth::Eight)?;
        write_png(&file("depth"), &steps(depth)?, png::ColorType::Grayscale, png::BitDepth::Sixteen)?;
        taken += 1;
    }
    Ok(())
}

/// Depth in steps of 0.01 mm, as a data set has it: two bytes, the higher one first; 0 where none is known or it is too far.
fn steps(depth: &Image) -> anyhow::Result<Image> {
    ensure!(
        depth.pixel_format_type == PixelFormat::RFloat32 as i32,
        "depths of pixel format {}",
        depth.pixel_format_type
    );
    let (metres, _) = depth.data.as_chunks::<4>();
    let step = |bytes: &[u8; 4]| (f32::from_le_bytes(*bytes) * 1e5).round();
    let known = |step: f32| if (0.0..=65535.0).contains(&step) { step as u16 } else { 0 };
    let data = metres.iter().flat_map(|bytes| known(step(bytes)).to_be_bytes()).collect();
    Ok(Image { data, step: depth.width * 2, ..depth.clone() })
}

/// One byte of a segmentation camera's three: they are all the label.
fn grey(label: &Image) -> anyhow::Result<Image> {
    ensure!(
        label.pixel_format_type == PixelFormat::RgbInt8 as i32,
        "labels of pixel format {}",
        label.pixel_format_type
    );
    let data = label.data.iter().step_by(3).copied().collect();
    Ok(Image { data, step: label.width, ..label.clone() })
}

fn write_png(path: &Path, image: &Image, colour: png::ColorType, depth: png::BitDepth) -> anyhow::Result<()> {
    let bytes = colour.samples() * if depth == png::BitDepth::Sixteen { 2 } else { 1 };
    ensure!(
        image.data.len() == image.width as usize * image.height as usize * bytes,
        "a picture of {}x{} with {} bytes",
        image.width,
        image.height,
        image.data.len()
    );
    let file = File::create(path).with_context(|| path.display().to_string())?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), image.width, image.height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    Ok(encoder.write_header()?.write_image_data(&image.data)?)
}

/// Which label is which class, for `proctor eval segmentation`: the world's labels are ours.
fn map() -> String {
    let list = |line: fn(Class) -> String| Class::ALL.map(line).join("\n");
    let masks = list(|c| format!("\"{}\" = [{}]", c.name(), c.id()));
    let model = list(|c| format!("\"{0}\" = [\"{0}\"]", c.name()));
    format!("[masks]\n{masks}\n[model]\n{model}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_perception::eval::EvalMap;

    #[test]
    fn the_map_of_a_capture_is_one_that_eval_takes() {
        let map = EvalMap::parse(Path::new("map.toml"), &map()).unwrap();
        assert_eq!(map.classes().len(), Class::COUNT);
    }

    #[test]
    fn labels_are_one_byte_of_three_and_nothing_else_is_taken_for_labels() {
        let label = Image {
            width: 2,
            height: 1,
            step: 6,
            data: vec![3, 3, 3, 9, 9, 9],
            pixel_format_type: PixelFormat::RgbInt8 as i32,
            header: None,
        };
        assert_eq!(grey(&label).unwrap().data, [3, 9]);
        assert!(grey(&Image { pixel_format_type: PixelFormat::RFloat32 as i32, ..label }).is_err());
    }

    #[test]
    fn depths_are_hundredths_of_millimetres_and_nothing_where_none_is_known() {
        let metres = [0.123_456_f32, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, 0.7];
        let depth = Image {
            width: 5,
            height: 1,
            step: 20,
            data: metres.iter().flat_map(|m| m.to_le_bytes()).collect(),
            pixel_format_type: PixelFormat::RFloat32 as i32,
            header: None,
        };
        let steps = |image: &Image| steps(image).map(|s| s.data);
        assert_eq!(steps(&depth).unwrap(), [12_346_u16, 0, 0, 0, 0].map(u16::to_be_bytes).as_flattened());
        assert!(steps(&Image { pixel_format_type: PixelFormat::RgbInt8 as i32, ..depth }).is_err());
    }
}

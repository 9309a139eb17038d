//! `proctor fuse`: fusion's tracking over a recording, its estimates, residuals and rejected samples as tables, and what is wrong with the
//! recording in plain words (docs/fuse.md).

mod bag;
mod cameras;
mod choose;
mod endoscope;
mod folder;
mod from_pictures;
mod from_points;
mod hand_eyes;
mod instruments;
mod pictures;
mod poses;
mod seeing;
mod session;
mod table;
mod tips;
mod write;

use cameras::CameraArgs;
use instruments::Instruments;
use nalgebra::Vector3;
use pictures::{Layout, RATE};
use poses::Reading;
use proctor_kinematics::Instrument;
use proctor_perception::cli::ModelArgs;
use proctor_types::ArmId;
use std::{io::Write, path::PathBuf};

/// Help that goes beyond the arguments.
pub const HELP: &str = "\
Examples: proctor fuse session.bag --instrument PSM1=LARGE_NEEDLE_DRIVER_400006 --instrument PSM2=PROGRASP_FORCEPS_400093 --out fused
          proctor fuse left.mp4 right.mp4 --joints joints.csv --camera left.yaml --right-camera right.yaml --out fused
          proctor fuse --points tips.csv --poses poses.csv --camera left.yaml --right-camera right.yaml --out fused

  tips.csv   stamp,u,v[,u_right,v_right][,arm]   where a point of the instrument was seen, px; empty where it was not
  poses.csv  stamp,x,y,z,qx,qy,qz,qw[,arm]       the tip in the arm's base (measured_cp), m; or rx,ry,rz; or joints q1..q6 (rad, q3 m); ECM: q1..q4

Stamps are seconds, or whole nanoseconds; a column frame, or none, numbers rows at --rate a second. Without --hand-eye the base is found
from the recording. Writes estimates.csv, rejected.csv and summary.json; docs/fuse.md says what is in them.";

/// Arguments of `proctor fuse`.
#[derive(Debug, Clone, clap::Args)]
pub struct FuseArgs {
    /// What was recorded: an MCAP file, a ROS 1 bag, a .db3 file or a folder of rosbag2; a folder with pictures or videos of both cameras, their
    /// calibration and the arms' poses; or the videos of the left and the right camera (docs/fuse.md).
    #[arg(required_unless_present = "points", conflicts_with = "points", num_args = 1..=2)]
    recording: Vec<PathBuf>,
    /// Instead of pictures: where a point of each instrument was seen, CSV.
    #[arg(long, value_name = "CSV", requires = "poses")]
    points: Option<PathBuf>,
    /// Poses or joints of the arms, CSV; of a folder its poses.csv by default, of a bag its topics.
    #[arg(long, visible_alias = "joints", value_name = "CSV")]
    poses: Option<PathBuf>,
    /// Stamps of the pairs of pictures, CSV with a column `stamp`, instead of numbers at --rate a second.
    #[arg(long, value_name = "CSV", conflicts_with = "points")]
    stamps: Option<PathBuf>,
    /// How both pictures lie in the frames of one video.
    #[arg(long, value_enum)]
    layout: Option<Layout>,
    #[command(flatten)]
    topics: TopicArgs,
    #[command(flatten)]
    cameras: CameraArgs,
    /// Where an arm's base is before the camera: hand_eye.toml of `proctor calibrate hand-eye`; once per arm.
    #[arg(long, value_name = "[ARM=]FILE")]
    hand_eye: Vec<String>,
    /// The arm of rows that name none.
    #[arg(long, default_value = "PSM1")]
    arm: ArmId,
    /// The instrument, by dVRK name: of one arm, or of those that are not named; LARGE_NEEDLE_DRIVER_400006 without it.
    #[arg(long, value_name = "[ARM=]NAME")]
    instrument: Vec<String>,
    /// Which point of the instrument was seen: the dVRK's tip (on the jaws' axis), or the end of the closed jaws.
    #[arg(long, value_enum, default_value = "tip")]
    point: Point,
    /// Or any point, in the tip's axes, mm.
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',', num_args = 3, allow_hyphen_values = true)]
    on_tip_mm: Option<Vec<f64>>,
    /// Pictures per second, for pictures and tables whose rows are numbered; 30, or what a video says, without it.
    #[arg(long, value_name = "HZ")]
    rate: Option<f64>,
    /// Largest offset between the stamps of points and poses that is looked for, s; 0 takes them as they are.
    #[arg(long, value_name = "SECONDS", default_value_t = 3.0)]
    max_offset: f64,
    /// How pictures are segmented.
    #[command(flatten)]
    model: ModelArgs,
    /// Folder for the results; made if missing.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace results that are there already.
    #[arg(long)]
    overwrite: bool,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
}

/// Topics of a bag that are called otherwise than is guessed.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct TopicArgs {
    /// Topic of the left camera's pictures in a bag (Image or CompressedImage); guessed from its name, and said, without it.
    #[arg(long, value_name = "TOPIC")]
    left: Option<String>,
    /// Topic of the right camera's pictures.
    #[arg(long, value_name = "TOPIC")]
    right: Option<String>,
    /// Topics of both cameras' CameraInfo.
    #[arg(long, value_name = "LEFT,RIGHT", value_delimiter = ',')]
    camera_info: Vec<String>,
    /// Namespace of an arm's topics in a bag, such as PSM2=/PSM3; /PSM1 and /PSM2, below whatever, without it.
    #[arg(long, value_name = "ARM=NAMESPACE")]
    namespace: Vec<String>,
}

/// A point of the instrument.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Point {
    /// On the axis of the jaws, where the dVRK's kinematics end.
    Tip,
    /// The end of the closed jaws.
    JawEnd,
}

impl FuseArgs {
    /// The seen point in the tip's axes, m.
    fn on_tip(&self, instrument: &Instrument) -> Vector3<f64> {
        match (self.on_tip_mm.as_deref(), self.point) {
            (Some([x, y, z]), _) => Vector3::new(*x, *y, *z) * 1e-3,
            (_, Point::JawEnd) => Vector3::new(0.0, 0.0, instrument.jaw_length),
            (_, Point::Tip) => Vector3::zeros(),
        }
    }

    /// How tables are read.
    fn reading(&self) -> anyhow::Result<Reading> {
        let instruments = Instruments::of_arguments(&self.instrument)?;
        Ok(Reading { arm: self.arm, instruments, rate: self.rate.unwrap_or(RATE) })
    }

    fn check(&self) -> anyhow::Result<()> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            anyhow::ensure!((low..=high).contains(&value), "--{name} must lie in [{low}, {high}], got {value}");
            Ok(())
        };
        self.rate.map_or(Ok(()), |rate| within("rate", rate, 0.1, 10_000.0))?;
        within("max-offset", self.max_offset, 0.0, 30.0)?;
        anyhow::ensure!(self.arm.has_jaw(), "--arm must be PSM1 or PSM2, got {}", self.arm);
        write::check(&self.out, self.overwrite)
    }
}

/// Runs it, and prints what there is to say to `out`.
pub fn run(args: &FuseArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    args.check()?;
    let report = match (&args.points, &args.poses) {
        (Some(points), Some(poses)) => from_points::run(args, points, poses)?,
        (None, _) if !args.recording.is_empty() => from_pictures::run(args, &args.recording)?,
        _ => anyhow::bail!("a recording, or --points with --poses, is expected"),
    };
    let files = report.write(&args.out)?;
    if args.json {
        writeln!(out, "{}", report.json())?;
        return Ok(());
    }
    write!(out, "{}", report.words())?;
    files.iter().try_for_each(|f| writeln!(out, "wrote {}", f.display()))?;
    Ok(())
}

//! `proctor fuse`: fusion's tracking over a recording, its estimates, residuals and rejected samples as tables, and what is wrong with the
//! recording in plain words (docs/fuse.md).

mod cameras;
mod folder;
mod from_pictures;
mod from_points;
mod hand_eyes;
mod poses;
mod seeing;
mod table;
mod tips;
mod write;

use cameras::CameraArgs;
use nalgebra::Vector3;
use proctor_kinematics::Instrument;
use proctor_perception::cli::ModelArgs;
use proctor_types::ArmId;
use std::{io::Write, path::PathBuf};

/// Help that goes beyond the arguments.
pub const HELP: &str = "\
Example: proctor fuse --points tips.csv --poses poses.csv --camera left.yaml --right-camera right.yaml --out fused

  tips.csv   stamp,u,v[,u_right,v_right][,arm]   where a point of the instrument was seen, px; empty where it was not
  poses.csv  stamp,x,y,z,qx,qy,qz,qw[,arm]       the tip in the arm's base (measured_cp), m; or rx,ry,rz; or joints q1..q6 (rad, q3 m)

Stamps are seconds, or whole nanoseconds; a column frame, or none, numbers rows at --rate a second. Without --hand-eye the base is found
from the recording. Writes estimates.csv, rejected.csv and summary.json; docs/fuse.md says what is in them.";

/// Arguments of `proctor fuse`.
#[derive(Debug, Clone, clap::Args)]
pub struct FuseArgs {
    /// A folder with pictures or videos of both cameras, their calibration and the arms' poses (docs/fuse.md).
    #[arg(required_unless_present = "points", conflicts_with = "points")]
    recording: Option<PathBuf>,
    /// Instead of pictures: where a point of each instrument was seen, CSV.
    #[arg(long, value_name = "CSV", requires = "poses")]
    points: Option<PathBuf>,
    /// Poses or joints of the arms, CSV; of a folder its poses.csv by default.
    #[arg(long, value_name = "CSV")]
    poses: Option<PathBuf>,
    #[command(flatten)]
    cameras: CameraArgs,
    /// Where an arm's base is before the camera: hand_eye.toml of `proctor calibrate hand-eye`; once per arm.
    #[arg(long, value_name = "[ARM=]FILE")]
    hand_eye: Vec<String>,
    /// The arm of rows that name none.
    #[arg(long, default_value = "PSM1")]
    arm: ArmId,
    /// The instrument, by dVRK name.
    #[arg(long, default_value = "LARGE_NEEDLE_DRIVER_400006")]
    instrument: String,
    /// Which point of the instrument was seen: the dVRK's tip (on the jaws' axis), or the end of the closed jaws.
    #[arg(long, value_enum, default_value = "tip")]
    point: Point,
    /// Or any point, in the tip's axes, mm.
    #[arg(long, value_name = "X,Y,Z", value_delimiter = ',', num_args = 3, allow_hyphen_values = true)]
    on_tip_mm: Option<Vec<f64>>,
    /// Pictures per second, for tables whose rows are numbered.
    #[arg(long, value_name = "HZ", default_value_t = 30.0)]
    rate: f64,
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

    fn check(&self) -> anyhow::Result<()> {
        let within = |name: &str, value: f64, low: f64, high: f64| {
            anyhow::ensure!((low..=high).contains(&value), "--{name} must lie in [{low}, {high}], got {value}");
            Ok(())
        };
        within("rate", self.rate, 0.1, 10_000.0)?;
        within("max-offset", self.max_offset, 0.0, 30.0)?;
        anyhow::ensure!(self.arm.has_jaw(), "--arm must be PSM1 or PSM2, got {}", self.arm);
        write::check(&self.out, self.overwrite)
    }
}

/// Runs it, and prints what there is to say to `out`.
pub fn run(args: &FuseArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    args.check()?;
    let report = match (&args.points, &args.poses, &args.recording) {
        (Some(points), Some(poses), _) => from_points::run(args, points, poses)?,
        (_, _, Some(recording)) => from_pictures::run(args, recording)?,
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

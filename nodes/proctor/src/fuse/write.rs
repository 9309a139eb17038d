//! What `proctor fuse` leaves: estimates.csv, rejected.csv and summary.json, and the same in plain words.

use anyhow::{Context as _, bail};
use nalgebra::{Isometry3, Matrix3, Point3, Vector2};
use proctor_types::{Alignment, ArmId, Finding};
use serde_json::{Value, json};
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// What is believed about one arm at one picture.
#[derive(Debug, Clone)]
pub struct Line {
    /// Stamp of the picture, ns.
    pub stamp: i64,
    /// Which arm.
    pub arm: ArmId,
    /// Distance between what was seen and what was expected, px.
    pub residual_px: Option<f64>,
    /// The same as a vector, seen less expected, where one point was seen.
    pub residual: Option<Vector2<f64>>,
    /// Why it did not count; empty if it did.
    pub rejected: String,
    /// The tip in the left camera, m, and its covariance.
    pub tip: Option<(Point3<f64>, Matrix3<f64>)>,
    /// Where the arm's base is in the left camera.
    pub camera_from_base: Isometry3<f64>,
    /// Standard deviation of the base: place (m) and rotation (rad), worst axes.
    pub base_sigma: (f64, f64),
    /// The verdict.
    pub alignment: Alignment,
    /// What is wrong.
    pub finding: Finding,
    /// Poses' stamp less picture's stamp of one instant, and its standard deviation, s; `None` while it is not known.
    pub offset: Option<(f64, f64)>,
}

/// A sample that did not count.
#[derive(Debug, Clone)]
pub struct Rejected {
    /// The file.
    pub file: String,
    /// Line, or number of the picture.
    pub line: u64,
    /// Stamp, ns, where it has one.
    pub stamp: Option<i64>,
    /// Which arm, where it is one's.
    pub arm: Option<ArmId>,
    /// Why.
    pub why: String,
    /// By how much, px.
    pub residual_px: Option<f64>,
}

/// All that is to be said about one arm.
#[derive(Debug, Clone)]
pub struct ArmReport {
    /// Which.
    pub arm: ArmId,
    /// In plain words, most important first.
    pub words: Vec<String>,
    /// The same for programs.
    pub figures: Value,
}

/// Everything that is written.
#[derive(Debug, Default)]
pub struct Report {
    /// One per picture and arm.
    pub lines: Vec<Line>,
    /// What did not count.
    pub rejected: Vec<Rejected>,
    /// Per arm.
    pub arms: Vec<ArmReport>,
    /// What concerns no arm alone.
    pub notes: Vec<String>,
}

const FILES: [&str; 3] = ["estimates.csv", "rejected.csv", "summary.json"];
const HEADER: &str = "stamp_s,arm,alignment,finding,rejected,residual_px,residual_u_px,residual_v_px,\
    tip_x_m,tip_y_m,tip_z_m,cov_xx_m2,cov_xy_m2,cov_xz_m2,cov_yy_m2,cov_yz_m2,cov_zz_m2,\
    base_x_m,base_y_m,base_z_m,base_qx,base_qy,base_qz,base_qw,base_sigma_m,base_sigma_rad,offset_s,offset_sigma_s";

/// Refuses a folder that holds results already, unless they may be replaced.
pub fn check(folder: &Path, overwrite: bool) -> anyhow::Result<()> {
    match FILES.iter().map(|f| folder.join(f)).find(|p| p.exists()) {
        Some(there) if !overwrite => bail!("{} exists already: give another --out, or --overwrite", there.display()),
        _ => Ok(()),
    }
}

impl Report {
    /// Writes the files; returns their paths.
    pub fn write(&self, folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
        std::fs::create_dir_all(folder).with_context(|| format!("{}", folder.display()))?;
        let texts = [self.estimates(), self.rejections(), format!("{:#}\n", self.json())];
        let write = |(name, text): (&str, String)| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("{}", path.display()))?;
            Ok(path)
        };
        FILES.into_iter().zip(texts).map(write).collect()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let arm = |a: &ArmReport| {
            let mut figures = a.figures.clone();
            figures["arm"] = json!(a.arm.name());
            figures["words"] = json!(a.words);
            figures
        };
        json!({ "arms": self.arms.iter().map(arm).collect::<Vec<_>>(), "notes": self.notes, "rejected": self.rejected.len() })
    }

    /// For people.
    pub fn words(&self) -> String {
        let mut out = String::new();
        for arm in &self.arms {
            let _ = writeln!(out, "{}", arm.arm.name());
            arm.words.iter().for_each(|w| {
                let _ = writeln!(out, "  {w}");
            });
        }
        self.notes.iter().for_each(|n| {
            let _ = writeln!(out, "{n}");
        });
        out
    }

    fn estimates(&self) -> String {
        let mut out = format!("{HEADER}\n");
        for l in &self.lines {
            let number = |v: Option<f64>| v.map_or_else(String::new, |v| format!("{v:.3}"));
            let _ =
                write!(out, "{},{},{},{},", seconds(l.stamp), l.arm.name(), alignment(l.alignment), finding(l.finding));
            let _ = write!(out, "{},{},", quoted(&l.rejected), number(l.residual_px));
            let _ = write!(out, "{},{},", number(l.residual.map(|r| r.x)), number(l.residual.map(|r| r.y)));
            match &l.tip {
                Some((p, c)) => {
                    let _ = write!(out, "{:.6},{:.6},{:.6}", p.x, p.y, p.z);
                    for (i, j) in [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)] {
                        let _ = write!(out, ",{:.4e}", c[(i, j)]);
                    }
                }
                None => out.push_str(",,,,,,,,"),
            }
            let (t, q) = (l.camera_from_base.translation.vector, l.camera_from_base.rotation);
            let _ = write!(out, ",{:.6},{:.6},{:.6},{:.7},{:.7},{:.7},{:.7}", t.x, t.y, t.z, q.i, q.j, q.k, q.w);
            let _ = write!(out, ",{:.6},{:.6},", l.base_sigma.0, l.base_sigma.1);
            let offset = l.offset.map_or_else(|| ",".to_owned(), |(s, sigma)| format!("{s:.4},{sigma:.4}"));
            let _ = writeln!(out, "{offset}");
        }
        out
    }

    fn rejections(&self) -> String {
        let mut out = "file,line,stamp_s,arm,residual_px,why\n".to_owned();
        for r in &self.rejected {
            let stamp = r.stamp.map_or_else(String::new, seconds);
            let arm = r.arm.map_or("", ArmId::name);
            let residual = r.residual_px.map_or_else(String::new, |v| format!("{v:.1}"));
            let _ = writeln!(out, "{},{},{stamp},{arm},{residual},{}", quoted(&r.file), r.line, quoted(&r.why));
        }
        out
    }
}

/// Nanoseconds as seconds, exactly.
pub fn seconds(ns: i64) -> String {
    format!(
        "{}{}.{:09}",
        if ns < 0 { "-" } else { "" },
        ns.unsigned_abs() / 1_000_000_000,
        ns.unsigned_abs() % 1_000_000_000
    )
}

/// A text as a CSV field.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// The name of a verdict in files.
pub fn alignment(alignment: Alignment) -> &'static str {
    match alignment {
        Alignment::Unknown => "unknown",
        Alignment::KinematicOnly => "kinematic_only",
        Alignment::Converging => "converging",
        Alignment::Aligned => "aligned",
        Alignment::Inconsistent => "inconsistent",
    }
}

/// The name of a finding in files; empty for none.
pub fn finding(finding: Finding) -> &'static str {
    match finding {
        Finding::None => "",
        Finding::TimeUnknown => "time_unknown",
        Finding::BadPose => "bad_pose",
        Finding::FrozenJoints => "frozen_joints",
        Finding::WrongArm => "wrong_arm",
        Finding::WrongGeometry => "wrong_geometry",
        Finding::SwappedCameras => "swapped_cameras",
        Finding::NotFollowing => "not_following",
    }
}

/// A value below which a share of the values lie; 0 of none.
pub fn percentile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len().saturating_sub(1)) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(0.0)
}

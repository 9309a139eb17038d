//! `proctor fuse --points`: points and poses from tables.

use super::{
    FuseArgs,
    cameras::Cameras,
    hand_eyes::HandEyes,
    poses::{PoseRow, Poses},
    session::short,
    tips::{TipRow, Tips},
    write::{ArmReport, Line, Rejected, Report, finding, percentile},
};
use anyhow::{Context as _, bail};
use nalgebra::Vector3;
use proctor_fusion::{
    FusionParams,
    points::{Estimate, Eyes, Fate, OffsetFit, Placed, Recording, Seen, Tracked, Way, track_all},
};
use proctor_types::{Alignment, ArmId, Finding};
use serde_json::json;
use std::path::Path;

/// Reads the tables, tracks, and reports.
pub fn run(args: &FuseArgs, points: &Path, poses: &Path) -> anyhow::Result<Report> {
    let cameras = Cameras::read(&args.cameras)?;
    let reading = args.reading()?;
    let tips = Tips::read(points, &reading, &cameras)?;
    let poses = Poses::read(poses, &reading)?;
    let hand_eyes = HandEyes::read(&args.hand_eye, args.arm)?;
    let mut arms = Vec::new();
    for (arm, rows) in &tips.arms {
        let Some((_, poses)) = poses.arms.iter().find(|(a, _)| a == arm) else { continue };
        let on_tip = args.on_tip(&reading.instruments.of(*arm)?);
        arms.push(Arm::new(*arm, rows, poses, on_tip, cameras.eyes)?);
    }
    if arms.is_empty() {
        let names = |arms: Vec<&ArmId>| arms.iter().map(|a| a.name()).collect::<Vec<_>>().join(", ");
        bail!(
            "no arm has both points and poses: {} is about {}, {} about {}",
            tips.path.display(),
            names(tips.arms.iter().map(|(a, _)| a).collect()),
            poses.name,
            names(poses.arms.iter().map(|(a, _)| a).collect()),
        );
    }
    let origin = arms.iter().flat_map(|a| [a.tips[0].stamp, a.poses[0].stamp]).min().unwrap_or(0);
    let recordings: Vec<Recording> = arms
        .iter()
        .map(|a| Recording { camera_from_base: hand_eyes.of(a.id), ..a.recording(origin, args.max_offset) })
        .collect();
    let mut report = Report::default();
    if poses.endoscope.leaves().is_some() {
        report
            .notes
            .push("the endoscope was moved; with points instead of pictures it is taken to stand still".to_owned());
    }
    let points_name = short(&tips.path);
    report.rejected.extend(tips.left_out.iter().map(|(line, why)| left_out(&points_name, *line, None, None, why)));
    report.rejected.extend(poses.left_out.iter().map(|l| left_out(&l.file, l.line, None, Some(l.arm), &l.why)));
    let tracked = track_all(&recordings, &FusionParams::default());
    let mut failed = Vec::new();
    for ((arm, recording), tracked) in arms.iter().zip(&recordings).zip(tracked) {
        match tracked {
            Ok(tracked) => arm.report(&tracked, recording, (points_name.as_str(), poses.name.as_str()), &mut report),
            Err(error) => failed.push(format!("{}: {error}", arm.id)),
        }
    }
    if report.arms.is_empty() {
        bail!("{} with {}: {}", tips.path.display(), poses.name, failed.join("; "));
    }
    report.notes.extend(failed);
    if tips.unseen > 0 {
        report.notes.push(format!("{}: nothing seen in {} rows", tips.path.display(), tips.unseen));
    }
    Ok(report)
}

fn left_out(file: &str, line: u64, stamp: Option<i64>, arm: Option<ArmId>, why: &str) -> Rejected {
    Rejected { file: file.to_owned(), line, stamp, arm, why: why.to_owned(), residual_px: None }
}

struct Arm<'a> {
    id: ArmId,
    tips: &'a [TipRow],
    poses: &'a [PoseRow],
    on_tip: Vector3<f64>,
    eyes: Eyes,
}

impl<'a> Arm<'a> {
    fn new(
        arm: ArmId,
        tips: &'a [TipRow],
        poses: &'a [PoseRow],
        on_tip: Vector3<f64>,
        eyes: Eyes,
    ) -> anyhow::Result<Self> {
        let unturned = |p: &&PoseRow| p.point(&on_tip).is_none();
        if let Some(row) = poses.iter().find(unturned) {
            bail!(
                "line {} of the poses: a point off the tip needs to know how the tip is turned (columns qx, qy, qz, qw, or joints)",
                row.line
            );
        }
        tips.first().context("no points").map(|_| Self { id: arm, tips, poses, on_tip, eyes })
    }

    fn recording(&self, origin: i64, max_offset: f64) -> Recording {
        let since = |stamp: i64| (stamp - origin) as f64 * 1e-9;
        let placed: Vec<Placed> = (self.poses.iter())
            .filter_map(|p| Some(Placed { t: since(p.stamp), at: p.point(&self.on_tip)? }))
            .collect();
        let seen = self.tips.iter().map(|t| Seen { t: since(t.stamp), left: t.left, right: t.right }).collect();
        Recording { seen, way: Way::new(&placed), eyes: self.eyes, camera_from_base: None, max_offset }
    }

    fn report(&self, tracked: &Tracked, recording: &Recording, (tips, poses): (&str, &str), report: &mut Report) {
        let gravest = tracked.judgement.findings.first().copied().unwrap_or_default();
        let lines = self.tips.iter().zip(&tracked.estimates).map(|(row, e)| self.line(row, e, tracked, gravest));
        report.lines.extend(lines);
        let bad = self.tips.iter().zip(&tracked.estimates).filter(|(_, e)| e.fate != Fate::Used);
        report.rejected.extend(bad.map(|(row, e)| Rejected {
            residual_px: e.residual.map(|r| r.norm()),
            ..left_out(tips, row.line, Some(row.stamp), Some(self.id), e.fate.words())
        }));
        let jumps = recording.way.jumps().iter().filter_map(|i| self.poses.get(*i));
        let why = "the arm cannot have been there: the poses before and after agree with each other";
        report.rejected.extend(jumps.map(|p| left_out(poses, p.line, Some(p.stamp), Some(self.id), why)));
        let aligned = tracked.estimates.iter().filter(|e| e.alignment == Alignment::Aligned).count();
        report.arms.push(ArmReport {
            arm: self.id,
            words: self.words(tracked, recording, aligned),
            figures: self.figures(tracked, recording, aligned),
        });
    }

    fn line(&self, row: &TipRow, e: &Estimate, tracked: &Tracked, gravest: Finding) -> Line {
        let sigma = |from: usize| (from..from + 3).map(|k| e.covariance[(k, k)]).fold(0.0, f64::max).sqrt();
        Line {
            stamp: row.stamp,
            arm: self.id,
            residual_px: e.residual.map(|r| r.norm()),
            residual: e.residual,
            rejected: e.fate.words().to_owned(),
            tip: e.tip,
            camera_from_base: e.camera_from_base,
            base_sigma: (sigma(0), sigma(3)),
            alignment: e.alignment,
            finding: gravest,
            offset: match tracked.fit.offset {
                OffsetFit::Known(seconds, sigma) => Some((seconds, sigma)),
                OffsetFit::Untold | OffsetFit::NotAsked => None,
            },
        }
    }

    /// Distance of the poses from where the joints of the same rows put the tip: median, m.
    fn joints_differ(&self) -> Option<f64> {
        let each: Vec<f64> = self.poses.iter().filter_map(|p| Some((p.by_joints? - p.tip).norm())).collect();
        (!each.is_empty()).then(|| percentile(&each, 0.5))
    }

    fn words(&self, tracked: &Tracked, recording: &Recording, aligned: usize) -> Vec<String> {
        let (fit, n) = (&tracked.fit, tracked.estimates.len());
        let mut out = Vec::new();
        for found in &tracked.judgement.findings {
            out.push(format!("FINDING: {}{}", found.words(), self.detail(*found, tracked, recording)));
        }
        if tracked.judgement.findings.is_empty() {
            out.push("nothing is found to be wrong".to_owned());
        }
        let rejected = tracked.estimates.iter().filter(|e| e.fate != Fate::Used).count();
        out.push(format!("{n} points, {} poses; {rejected} points rejected; aligned in {aligned}", self.poses.len()));
        let (batch, walk) = (Residuals::of_fit(tracked), Residuals::of_walk(tracked));
        let mm = batch.rms / self.eyes.camera.fx * depth(tracked) * 1e3;
        out.push(format!(
            "left over by one base for all: {}, {mm:.2} mm RMS at its depth of {:.0} mm",
            batch.words(),
            depth(tracked) * 1e3
        ));
        out.push(format!("before each point spoke: {}", walk.words()));
        out.push(match fit.offset {
            OffsetFit::Known(s, sigma) => {
                format!(
                    "a pose is stamped {:+.1} +- {:.1} ms against the picture of the same instant",
                    s * 1e3,
                    sigma * 1e3
                )
            }
            OffsetFit::Untold => {
                "offset between the stamps: not known, nothing that moved tells; none is applied".to_owned()
            }
            OffsetFit::NotAsked => {
                "offset between the stamps: not asked (separate poses, or --max-offset 0)".to_owned()
            }
        });
        match &recording.camera_from_base {
            Some(told) => {
                let moved = (told.translation.vector - fit.camera_from_base.translation.vector).norm();
                let turned = told.rotation.angle_to(&fit.camera_from_base.rotation).to_degrees();
                out.push(format!(
                    "the hand-eye file is {:.1} mm and {turned:.2} degrees from what this recording says",
                    moved * 1e3
                ));
            }
            None => out.push(format!(
                "no hand-eye file: the base was found from this recording, a tip's place to {:.2} mm",
                fit.sigma_m * 1e3
            )),
        }
        if let Some(by) = self.joints_differ() {
            out.push(format!(
                "poses and joints of the table differ by {:.1} mm (median) with this instrument",
                by * 1e3
            ));
        }
        out
    }

    fn detail(&self, found: Finding, tracked: &Tracked, recording: &Recording) -> String {
        match found {
            Finding::WrongGeometry => {
                let (by, sigma) = tracked.fit.longer;
                let than = if by > 0.0 { "longer" } else { "shorter" };
                format!(": {:.0} +- {:.0} mm {than} than the poses say", by.abs() * 1e3, sigma * 1e3)
            }
            Finding::FrozenJoints => {
                let spans =
                    tracked.judgement.frozen.iter().take(5).map(|f| format!("{:.1} to {:.1} s", f.span.0, f.span.1));
                format!(", from the recording's start on: {}", spans.collect::<Vec<_>>().join(", "))
            }
            Finding::BadPose => {
                let lines = recording.way.jumps().iter().filter_map(|i| self.poses.get(*i)).map(|p| p.line.to_string());
                format!(": line {} of the poses", lines.take(12).collect::<Vec<_>>().join(", "))
            }
            _ => String::new(),
        }
    }

    fn figures(&self, tracked: &Tracked, recording: &Recording, aligned: usize) -> serde_json::Value {
        let fit = &tracked.fit;
        let (t, q) = (fit.camera_from_base.translation.vector, fit.camera_from_base.rotation);
        json!({
            "findings": tracked.judgement.findings.iter().map(|f| finding(*f)).collect::<Vec<_>>(),
            "points": tracked.estimates.len(),
            "poses": self.poses.len(),
            "points_rejected": tracked.estimates.iter().filter(|e| e.fate != Fate::Used).count(),
            "poses_rejected": recording.way.jumps().len(),
            "aligned": aligned,
            "residual_px": Residuals::of_fit(tracked).json(),
            "innovation_px": Residuals::of_walk(tracked).json(),
            "depth_m": depth(tracked),
            "offset_s": match fit.offset { OffsetFit::Known(s, sigma) => json!([s, sigma]), _ => json!(null) },
            "longer_m": [fit.longer.0, fit.longer.1],
            "camera_from_base": { "position_m": [t.x, t.y, t.z], "quaternion_xyzw": [q.i, q.j, q.k, q.w] },
            "tip_sigma_m": fit.sigma_m,
            "joints_differ_m": self.joints_differ(),
        })
    }
}

/// Mean depth of the tip before the camera, m.
fn depth(tracked: &Tracked) -> f64 {
    let depths: Vec<f64> = tracked.estimates.iter().filter_map(|e| Some(e.tip?.0.z)).collect();
    percentile(&depths, 0.5)
}

/// Distances in the left picture, px.
struct Residuals {
    rms: f64,
    median: f64,
    p95: f64,
}

impl Residuals {
    fn of(distances: &[f64]) -> Self {
        let squares = distances.iter().map(|d| d * d).sum::<f64>() / distances.len().max(1) as f64;
        Self { rms: squares.sqrt(), median: percentile(distances, 0.5), p95: percentile(distances, 0.95) }
    }

    /// Of the points that count, from one base for all.
    fn of_fit(tracked: &Tracked) -> Self {
        let fit = &tracked.fit;
        let counted: Vec<f64> =
            fit.residuals.iter().zip(&fit.used).filter(|(_, u)| **u).filter_map(|(r, _)| *r).collect();
        Self::of(&counted)
    }

    /// Of the points that count, before each spoke.
    fn of_walk(tracked: &Tracked) -> Self {
        let used = tracked.estimates.iter().filter(|e| e.fate == Fate::Used);
        let counted: Vec<f64> = used.filter_map(|e| Some(e.residual?.norm())).collect();
        Self::of(&counted)
    }

    fn words(&self) -> String {
        format!("{:.2} px RMS, {:.2} median, {:.2} p95", self.rms, self.median, self.p95)
    }

    fn json(&self) -> serde_json::Value {
        json!({ "rms": self.rms, "median": self.median, "p95": self.p95 })
    }
}

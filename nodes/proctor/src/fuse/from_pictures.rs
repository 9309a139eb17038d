//! `proctor fuse RECORDING`: stereo pictures, segmented by perception's model, and the arms' poses, through the running node's own logic.

use super::{
    FuseArgs,
    endoscope::Endoscope,
    hand_eyes::HandEyes,
    instruments::Instruments,
    pictures::Moment,
    poses::PoseRow,
    seeing::{self, Seeing},
    session::Session,
    write::{ArmReport, Line, Rejected, Report, finding, percentile},
};
use anyhow::bail;
use nalgebra::Isometry3;
use proctor_fusion::{Fusion, FusionInput, FusionParams};
use proctor_kinematics::{Cell, Chain};
use proctor_types::{
    Alignment, ArmId, ArmState, Base, Camera, Finding, Joints, Pose, QualityVerdict, Scene, Stamp, Timing,
};
use serde_json::json;
use std::{path::PathBuf, time::Duration};

/// Stamps inside start here: a recording's own may start at zero, which is no stamp.
const START: Duration = Duration::from_secs(100);
/// How far beyond a picture's stamp joints are fed before it: the largest offset that fusion finds, and a little.
const AHEAD: f64 = 0.6;
/// Joints of an endoscope that stands still: any would do.
const ECM: [f64; 4] = [0.0, 0.0, 0.110, 0.0];

/// Opens the recording, tracks, and reports.
pub fn run(args: &FuseArgs, paths: &[PathBuf]) -> anyhow::Result<Report> {
    let Session { name, mut pictures, poses, cameras, hand_eyes, notes } = Session::open(paths, args)?;
    let mut seeing = Seeing::new(args, &cameras)?;
    let told = HandEyes::read(&hand_eyes, args.arm)?;
    let instruments = Instruments::of_arguments(&args.instrument)?;
    let mut arms = Vec::new();
    for (arm, rows) in &poses.arms {
        arms.push(Arm { id: *arm, states: states(*arm, rows, &instruments)?, base: told.of(*arm), shift: 0.0 });
    }
    let mut report = Report { notes, ..Report::default() };
    report.notes.push(format!("{name}: {} pairs of pictures", pictures.len()));
    let leaves = poses.endoscope.leaves();
    if leaves.is_some() {
        report.notes.push(
            "the endoscope was moved: its joints are followed, and bases are as before the camera at its first ones"
                .to_owned(),
        );
    }
    if arms.iter().any(|a| a.base.is_none()) {
        seeing::find_bases(&mut seeing, &mut pictures, &mut arms, (args, leaves), &mut report.notes)?;
    }
    if arms.iter().all(|a| a.base.is_none()) {
        bail!("{name}: no arm's base is known before the camera: {}", report.notes.join("; "));
    }
    let firsts = arms.iter().filter_map(|a| a.states.first()).map(|s| s.0);
    let origin = firsts.chain([pictures.first_stamp()]).min().unwrap_or(0);
    let mut walk = Walk::new(&instruments, (&arms, &poses.endoscope), origin)?;
    pictures.for_each(1, |moment| walk.step(&mut seeing, &moment, &mut report))?;
    let no = |file: &str, line, arm, stamp, why: &str| Rejected {
        file: file.to_owned(),
        line,
        stamp,
        arm,
        why: why.to_owned(),
        residual_px: None,
    };
    report
        .rejected
        .extend(pictures.broken.iter().map(|(n, stamp, why)| no("pictures", *n as u64, None, Some(*stamp), why)));
    report.rejected.extend(poses.left_out.iter().map(|l| no(&l.file, l.line, Some(l.arm), None, &l.why)));
    walk.conclude(&mut report);
    Ok(report)
}

/// An arm's recording.
pub struct Arm {
    /// Which.
    pub id: ArmId,
    /// Its states with their stamps, ns.
    pub states: Vec<(i64, Joints, Joints, f64)>,
    /// Where its base is in the camera.
    pub base: Option<Isometry3<f64>>,
    /// What is taken from its stamps before fusion sees them, s: an offset that fusion could not find alone.
    pub shift: f64,
}

/// Joints with velocities; poses become joints by inverse kinematics, which must reach nearly all of them.
fn states(arm: ArmId, rows: &[PoseRow], instruments: &Instruments) -> anyhow::Result<Vec<(i64, Joints, Joints, f64)>> {
    let chain = Chain::psm(&instruments.of(arm)?)?;
    let mut seed = chain.mid_range();
    let (mut joints, mut jaws) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    for row in rows {
        let q = match (row.joints, row.turn) {
            (Some(q), _) => Joints::new(&q)?,
            (None, Some(turn)) => {
                let pose = Pose::new(Isometry3::from_parts(row.tip.coords.into(), turn));
                let Some(q) = chain.ik(&pose, &seed).solution() else { continue };
                q
            }
            (None, None) => {
                bail!("line {} of the poses: joints, or poses with their turn, are needed with pictures", row.line)
            }
        };
        seed = q;
        joints.push((row.stamp, q));
        jaws.push(row.jaw);
    }
    if joints.len() * 10 < rows.len() * 9 {
        bail!(
            "{arm}: {} of {} poses cannot be reached by {}: is it another instrument, or are poses not in the arm's own base (local/measured_cp)?",
            rows.len() - joints.len(),
            rows.len(),
            instruments.name(arm)
        );
    }
    Ok(jaws.iter().enumerate().map(|(i, jaw)| (joints[i].0, joints[i].1, slope(&joints, i), *jaw)).collect())
}

/// Velocity of the joints in row `i`, from its neighbours; zero beside a gap.
fn slope(rows: &[(i64, Joints)], i: usize) -> Joints {
    let (before, after) = (&rows[i.saturating_sub(1)], &rows[(i + 1).min(rows.len() - 1)]);
    let dt = (after.0 - before.0) as f64 * 1e-9;
    let slope = |a: f64, b: f64| if dt > 1e-6 && dt < 0.3 { (b - a) / dt } else { 0.0 };
    before.1.zip_with(&after.1, slope).unwrap_or_else(|| Joints::zeros(before.1.len()))
}

/// What is kept about one arm on the way.
struct Kept {
    arm: ArmId,
    pictures: usize,
    aligned: usize,
    unseen: usize,
    residuals: Vec<f64>,
    /// Every finding with how often, and when first and last, s since the start.
    findings: Vec<(Finding, usize, f64, f64)>,
    /// The last picture's, with where the arm's base is in the world.
    last: Option<(Line, Isometry3<f64>)>,
}

struct Walk<'a> {
    fusion: Fusion,
    arms: &'a [Arm],
    next: Vec<usize>,
    origin: i64,
    /// Recorded joints of the endoscope, if it was moved, and how many of them are fed.
    endoscope: (&'a [(i64, Joints)], usize),
    /// Newest stamp of the joints of one that stands still.
    stands: Stamp,
    /// Where the camera is when the walk begins.
    world_from_camera: Isometry3<f64>,
    kept: Vec<Kept>,
}

impl<'a> Walk<'a> {
    fn new(
        instruments: &Instruments,
        (arms, endoscope): (&'a [Arm], &'a Endoscope),
        origin: i64,
    ) -> anyhow::Result<Self> {
        let params = FusionParams { instruments: instruments.names(), ..FusionParams::default() };
        let base = |arm: ArmId| arms.iter().find(|a| a.id == arm).and_then(|a| a.base).map(Pose::<Camera, Base>::new);
        let first = endoscope.first_of_moved();
        let fusion = Fusion::before_camera(params, ArmId::PSMS.map(base), first)?;
        let world_from_camera = Cell::standard()?.world_from_camera(first.map_or(&ECM[..], |q| q))?;
        let kept = |a: &Arm| Kept {
            arm: a.id,
            pictures: 0,
            aligned: 0,
            unseen: 0,
            residuals: Vec::new(),
            findings: Vec::new(),
            last: None,
        };
        Ok(Self {
            fusion,
            arms,
            next: vec![0; arms.len()],
            origin,
            endoscope: (first.map_or(&[], |_| endoscope.rows()), 0),
            stands: Stamp::FIRST,
            world_from_camera: *world_from_camera.iso(),
            kept: arms.iter().map(kept).collect(),
        })
    }

    fn stamp(&self, ns: i64) -> Stamp {
        let since = Duration::from_nanos(u64::try_from(ns - self.origin).unwrap_or(0));
        Stamp::FIRST.plus(START).plus(since)
    }

    /// Everything that the arms measured until `until` ns.
    fn feed(&mut self, until: i64) {
        for (i, arm) in self.arms.iter().enumerate().filter(|(_, a)| a.base.is_some()) {
            let shift = (arm.shift * 1e9) as i64;
            while let Some((ns, position, velocity, jaw)) =
                arm.states.get(self.next[i]).filter(|s| s.0 - shift <= until)
            {
                let stamp = self.stamp(ns - shift);
                self.next[i] += 1;
                let (position, velocity, jaw) = (*position, *velocity, *jaw);
                self.fusion.on_arm_state(ArmState { arm: arm.id, stamp, position, velocity, jaw });
                // Arms are fed one after the other; the endoscope's stamps must rise all the same.
                if self.endoscope.0.is_empty()
                    && let Some(position) = Joints::new(&ECM).ok().filter(|_| stamp > self.stands)
                {
                    self.stands = stamp;
                    self.feed_endoscope(stamp, position, Joints::zeros(ECM.len()));
                }
            }
        }
        // The robot stamps all its arms by one clock.
        let shift = self.arms.iter().find(|a| a.base.is_some()).map_or(0, |a| (a.shift * 1e9) as i64);
        let (rows, next) = self.endoscope;
        let due = next + rows[next..].iter().take_while(|(ns, _)| ns - shift <= until).count();
        for i in next..due {
            let (ns, position) = rows[i];
            self.feed_endoscope(self.stamp(ns - shift), position, slope(rows, i));
        }
        self.endoscope.1 = due;
    }

    fn feed_endoscope(&mut self, stamp: Stamp, position: Joints, velocity: Joints) {
        self.fusion.on_arm_state(ArmState { arm: ArmId::Ecm, stamp, position, velocity, jaw: 0.0 });
    }

    fn step(&mut self, seeing: &mut Seeing, moment: &Moment, report: &mut Report) -> anyhow::Result<()> {
        self.feed(moment.stamp + (AHEAD * 1e9) as i64);
        let stamp = self.stamp(moment.stamp);
        let (frame, segmentation) = seeing.see(moment, stamp)?;
        let quality = segmentation.quality.clone();
        let unusable =
            (quality.verdict == QualityVerdict::Unusable).then(|| format!("picture unusable: {}", quality.reason));
        let scene = self.fusion.step(stamp, &FusionInput { frame, segmentation });
        for i in 0..self.arms.len() {
            if self.arms[i].base.is_some() {
                self.keep(i, moment, &scene, unusable.clone(), report);
            }
        }
        Ok(())
    }

    fn keep(&mut self, i: usize, moment: &Moment, scene: &Scene, unusable: Option<String>, report: &mut Report) {
        let arm = &self.arms[i];
        let Some(line) = line(arm, moment.stamp, scene, unusable) else { return };
        let t = (moment.stamp - self.origin) as f64 * 1e-9;
        let kept = &mut self.kept[i];
        kept.pictures += 1;
        kept.aligned += usize::from(line.alignment == Alignment::Aligned);
        kept.residuals.extend(line.residual_px);
        kept.unseen += usize::from(line.residual_px.is_none());
        if line.finding != Finding::None {
            match kept.findings.iter_mut().find(|f| f.0 == line.finding) {
                Some(found) => (found.1, found.3) = (found.1 + 1, t),
                None => kept.findings.push((line.finding, 1, t, t)),
            }
        }
        if !line.rejected.is_empty() {
            report.rejected.push(Rejected {
                file: moment.name.clone(),
                line: moment.number as u64,
                stamp: Some(moment.stamp),
                arm: Some(arm.id),
                why: line.rejected.clone(),
                residual_px: line.residual_px,
            });
        }
        kept.last = Some((line.clone(), scene.world_from_camera.iso() * line.camera_from_base));
        report.lines.push(line);
    }

    fn conclude(self, report: &mut Report) {
        let stats = *self.fusion.stats();
        report.notes.push(format!(
            "joints left out as impossible {}, repeated {}, backward {}; pictures repeated {}, backward {}, unusable {}; changes of the offset {}",
            stats.bad_poses,
            stats.duplicate_states,
            stats.backward_states,
            stats.duplicate_frames,
            stats.backward_frames,
            stats.malformed_pictures,
            stats.time_jumps
        ));
        for (kept, arm) in self.kept.iter().zip(self.arms).filter(|(_, a)| a.base.is_some()) {
            report.arms.push(kept.report(arm, &self.world_from_camera));
        }
    }
}

/// What a scene says about an arm.
fn line(arm: &Arm, stamp: i64, scene: &Scene, unusable: Option<String>) -> Option<Line> {
    let instrument = scene.instrument(arm.id)?;
    let hand_eye = scene.hand_eyes.iter().find(|h| h.arm == arm.id)?;
    let camera_from_world = scene.world_from_camera.inverse();
    let turn = camera_from_world.rotation().to_rotation_matrix();
    let tip = camera_from_world.transform(&instrument.world_from_tip.translation().into());
    let covariance = turn * instrument.covariance.fixed_view::<3, 3>(0, 0) * turn.transpose();
    let sigma = |from: usize| (from..from + 3).map(|k| hand_eye.covariance[(k, k)]).fold(0.0, f64::max).sqrt();
    let measured = instrument.residual_px > 0.0;
    let known = instrument.alignment != Alignment::Unknown;
    let rejected = match (unusable, known, measured, instrument.finding) {
        (Some(why), ..) => why,
        (None, false, ..) => "no joints at its time".to_owned(),
        (None, true, _, found) if found != Finding::None => found.words().to_owned(),
        (None, true, false, _) => "not seen in the picture".to_owned(),
        (None, true, true, _) if instrument.alignment == Alignment::Inconsistent => {
            "picture and kinematics disagree".to_owned()
        }
        (None, true, true, _) => String::new(),
    };
    Some(Line {
        stamp,
        arm: arm.id,
        residual_px: measured.then_some(instrument.residual_px),
        residual: None,
        rejected,
        tip: known.then_some((tip, covariance)),
        camera_from_base: camera_from_world.iso() * hand_eye.world_from_base.iso(),
        base_sigma: (sigma(0), sigma(3)),
        alignment: instrument.alignment,
        finding: instrument.finding,
        offset: (scene.time.timing == Timing::Known).then_some((scene.time.seconds + arm.shift, scene.time.sigma)),
    })
}

impl Kept {
    fn report(&self, arm: &Arm, world_from_camera: &Isometry3<f64>) -> ArmReport {
        let mut words = Vec::new();
        for (found, times, first, last) in &self.findings {
            words.push(format!("FINDING: {}, in {times} pictures between {first:.1} and {last:.1} s", found.words()));
        }
        if self.findings.is_empty() {
            words.push("nothing is found to be wrong".to_owned());
        }
        let (median, p95) = (percentile(&self.residuals, 0.5), percentile(&self.residuals, 0.95));
        words.push(format!("{} pictures, aligned in {}, not seen in {}", self.pictures, self.aligned, self.unseen));
        words.push(format!("outline off by {median:.1} px median, {p95:.1} px p95 (of pictures 640 px wide)"));
        let Some((last, base)) = &self.last else { return ArmReport { arm: self.arm, words, figures: json!({}) } };
        if let (Some(told), Some((_, covariance))) = (arm.base, &last.tip) {
            let told = world_from_camera * told;
            let moved = (told.translation.vector - base.translation.vector).norm() * 1e3;
            let turned = told.rotation.angle_to(&base.rotation).to_degrees();
            let sigma = covariance.symmetric_eigenvalues().max().max(0.0).sqrt() * 1e3;
            words.push(format!("in the end the base is {moved:.1} mm and {turned:.2} degrees from where the walk began; the tip is known to {sigma:.2} mm"));
        }
        words.push(match last.offset {
            Some((s, sigma)) => format!(
                "joints are stamped {:+.1} +- {:.1} ms against the picture of the same instant",
                s * 1e3,
                sigma * 1e3
            ),
            None => "offset between the stamps: not known in the end".to_owned(),
        });
        let (t, q) = (last.camera_from_base.translation.vector, last.camera_from_base.rotation);
        let figures = json!({
            "findings": self.findings.iter().map(|f| finding(f.0)).collect::<Vec<_>>(),
            "pictures": self.pictures,
            "aligned": self.aligned,
            "unseen": self.unseen,
            "outline_px": { "median": median, "p95": p95 },
            "offset_s": last.offset.map(|(s, sigma)| [s, sigma]),
            "camera_from_base": { "position_m": [t.x, t.y, t.z], "quaternion_xyzw": [q.i, q.j, q.k, q.w] },
        });
        ArmReport { arm: self.arm, words, figures }
    }
}

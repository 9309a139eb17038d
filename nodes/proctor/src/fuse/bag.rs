//! A recording of ROS: pictures, cameras, joints and poses from its topics.

use super::{
    FuseArgs,
    cameras::Cameras,
    choose::{self, Arm, Measured},
    endoscope::Endoscope,
    pictures::{Pictures, Source},
    poses::{PoseRow, Poses, Reading},
    session::{Session, short},
};
use anyhow::{Context as _, bail, ensure};
use nalgebra::{Matrix3, Matrix3x4, Point3, Quaternion, UnitQuaternion};
use proctor_calibration::{CameraInfo, Intrinsics};
use proctor_kinematics::Chain;
use proctor_msgs::{
    geometry_msgs::{PoseStamped, TransformStamped},
    sensor_msgs::{self, JointState},
    wire::PSM_JOINTS,
};
use proctor_perception::{PerceptionError, message, picture::Rgb};
use proctor_recording::{Entry, Recording, RecordingError};
use proctor_types::{ArmId, Joints};
use std::{collections::HashMap, path::Path};

/// Pictures of both cameras that are farther apart are no pair, ns.
const MOST_APART: i64 = 20_000_000;
/// Of the opening of the jaws the sample nearest in time counts, within this, ns.
const JAW_WITHIN: i64 = 200_000_000;
/// Farthest tip from the base, m: beyond it poses are taken to be in millimetres.
const MAX_REACH: f64 = 2.0;

/// Pictures of both cameras in a recording.
pub struct Eyes {
    recording: Recording,
    pairs: Vec<[Entry; 2]>,
    name: String,
}

impl Eyes {
    /// What a pair's left picture is called.
    pub fn name(&self, number: usize) -> String {
        format!("{} #{number}", self.name)
    }

    /// A pair, or why it is none that can be decoded.
    pub fn pair(&mut self, number: usize) -> anyhow::Result<Result<(Rgb, Rgb), String>> {
        let Some([left, right]) = self.pairs.get(number).copied() else { bail!("no pair {number}") };
        Ok(match (self.picture(&left)?, self.picture(&right)?) {
            (Ok(left), Ok(right)) => Ok((left, right)),
            (Err(why), _) => Err(format!("left: {why}")),
            (_, Err(why)) => Err(format!("right: {why}")),
        })
    }

    fn picture(&mut self, entry: &Entry) -> anyhow::Result<Result<Rgb, String>> {
        match message::from_recording(&mut self.recording, entry) {
            Ok(picture) => Ok(Ok(picture)),
            Err(PerceptionError::Recording(error)) if !matches!(error, RecordingError::Message { .. }) => {
                Err(error.into())
            }
            Err(error) => Ok(Err(error.to_string())),
        }
    }
}

/// Opens the recording and chooses its topics.
pub fn open(path: &Path, args: &FuseArgs) -> anyhow::Result<Session> {
    let mut recording = Recording::open(path)?;
    let named = || format!("{}", path.display());
    let mut notes: Vec<String> = recording.cut().iter().map(|how| format!("cut off: {how}")).collect();
    let eyes = choose::cameras(recording.topics(), &args.topics).with_context(named)?;
    let arms = match &args.poses {
        Some(_) => Vec::new(),
        None => choose::arms(recording.topics(), &args.topics).with_context(named)?,
    };
    let endoscope = choose::endoscope(recording.topics());
    // One walk over the file for everything that is needed.
    let mut wanted: Vec<u32> =
        eyes.pictures.into_iter().chain(eyes.infos.into_iter().flatten()).chain(endoscope).collect();
    wanted.extend(arms.iter().flat_map(|a| [Some(a.measured.topic()), a.jaw]).flatten());
    let mut listed = Listed::default();
    for entry in recording.index(&wanted)? {
        listed.0.entry(entry.topic).or_default().push(entry);
    }
    let cameras = cameras(&mut recording, &listed, &eyes, args, &mut notes)?;
    let mut poses = match &args.poses {
        Some(file) => Poses::read(file, &args.reading()?)?,
        None => poses(&mut recording, &listed, &arms, &args.reading()?, &mut notes)?,
    };
    if let Some(topic) = endoscope {
        look_at_endoscope(&mut recording, &listed, topic, &mut poses, &mut notes)?;
    }
    let pictures = pictures(recording, &listed, eyes.pictures, &mut notes).with_context(named)?;
    Ok(Session { name: path.display().to_string(), pictures, poses, cameras, hand_eyes: args.hand_eye.clone(), notes })
}

/// Messages by topic, in the order in which they were logged.
#[derive(Default)]
struct Listed(HashMap<u32, Vec<Entry>>);

impl Listed {
    fn of(&self, topic: u32) -> &[Entry] {
        self.0.get(&topic).map_or(&[], Vec::as_slice)
    }
}

fn name_of(recording: &Recording, topic: u32) -> String {
    recording.topics().get(topic as usize).map_or_else(String::new, |t| t.name.clone())
}

fn said(recording: &Recording, topic: u32) -> String {
    recording
        .topics()
        .get(topic as usize)
        .map_or_else(String::new, |t| format!("{} ({}, {})", t.name, t.type_name, t.messages))
}

/// Stamps of messages in their order: their headers' where all have one, else when they were logged.
fn stamps(entries: &[Entry], name: &str, notes: &mut Vec<String>) -> Vec<i64> {
    let own: Option<Vec<i64>> = entries.iter().map(|e| e.stamp).collect();
    own.unwrap_or_else(|| {
        notes.push(format!(
            "{name}: not every message has a stamp; the times at which they were logged are taken instead"
        ));
        entries.iter().map(|e| e.logged).collect()
    })
}

/// Messages that go on in time, with their stamps; how many do not.
fn rising(entries: &[Entry], name: &str, notes: &mut Vec<String>) -> Vec<(i64, Entry)> {
    let mut out: Vec<(i64, Entry)> = Vec::with_capacity(entries.len());
    for (stamp, entry) in stamps(entries, name, notes).into_iter().zip(entries) {
        if out.last().is_none_or(|(last, _)| stamp > *last) {
            out.push((stamp, *entry));
        }
    }
    let lost = entries.len() - out.len();
    if lost > 0 {
        notes.push(format!("{name}: {lost} pictures left out whose stamps repeat or go back"));
    }
    out
}

fn pictures(
    recording: Recording,
    listed: &Listed,
    topics: [u32; 2],
    notes: &mut Vec<String>,
) -> anyhow::Result<Pictures> {
    let [left, right] = topics.map(|topic| rising(listed.of(topic), &name_of(&recording, topic), notes));
    notes.push(format!("pictures: left {}, right {}", said(&recording, topics[0]), said(&recording, topics[1])));
    let (count, pairs) = (left.len(), pair(&left, &right));
    let most = pairs.iter().map(|(l, r)| (r.0 - l.0).abs()).max().unwrap_or(0);
    if pairs.is_empty() {
        let gap = left.first().zip(right.first()).map_or(0.0, |(l, r)| (r.0 - l.0) as f64 * 1e-9);
        bail!("no left picture has a right one within {} ms; the first are {gap:.3} s apart", MOST_APART / 1_000_000);
    }
    if pairs.len() < count {
        notes.push(format!(
            "{} left pictures without a right one within {} ms",
            count - pairs.len(),
            MOST_APART / 1_000_000
        ));
    }
    if most > 0 {
        notes.push(format!(
            "pictures of a pair are up to {:.1} ms apart; the left one's stamp counts",
            most as f64 * 1e-6
        ));
    }
    let stamps = pairs.iter().map(|(l, _)| l.0).collect();
    let name = name_of(&recording, topics[0]);
    let pairs = pairs.into_iter().map(|(l, r)| [l.1, r.1]).collect();
    Pictures::new(Source::Recorded(Box::new(Eyes { recording, pairs, name })), stamps)
}

/// Of each left picture the right one that is nearest in time, no right one twice.
fn pair<T: Copy>(left: &[(i64, T)], right: &[(i64, T)]) -> Vec<((i64, T), (i64, T))> {
    let (mut out, mut next) = (Vec::new(), 0);
    for (n, l) in left.iter().enumerate() {
        let apart = |i: usize| right.get(i).map(|r| (r.0 - l.0).abs());
        while apart(next + 1).zip(apart(next)).is_some_and(|(after, this)| after <= this) {
            next += 1;
        }
        let Some(distance) = apart(next).filter(|d| *d <= MOST_APART) else { continue };
        // The next left picture may be nearer to it.
        let taken = left.get(n + 1).is_some_and(|after| (right[next].0 - after.0).abs() < distance);
        if !taken {
            out.push((*l, right[next]));
            next += 1;
        }
    }
    out
}

/// `--camera` or `--pinhole`, else the cameras' own topics.
fn cameras(
    recording: &mut Recording,
    listed: &Listed,
    eyes: &choose::Cameras,
    args: &FuseArgs,
    notes: &mut Vec<String>,
) -> anyhow::Result<Cameras> {
    let rectified = args.cameras.rectified || eyes.rectified;
    if args.cameras.camera.is_some() || args.cameras.pinhole.is_some() {
        let mut told = args.cameras.clone();
        told.rectified = rectified;
        return Cameras::read(&told);
    }
    let Some(topics) = eyes.infos else {
        bail!(
            "{}: no camera_info beside {}: give --camera-info LEFT,RIGHT, --camera and --right-camera, or --pinhole",
            recording.path().display(),
            name_of(recording, eyes.pictures[0])
        );
    };
    let (left, right) =
        (camera_info(recording, listed, topics[0], rectified)?, camera_info(recording, listed, topics[1], rectified)?);
    let [l, r] = topics.map(|t| name_of(recording, t));
    let what = if rectified {
        "pictures are called rectified: only its projection counts"
    } else {
        "pictures are rectified by it"
    };
    notes.push(format!("cameras: {l} and {r}; {what}"));
    Cameras::of((&left, l.as_str()), Some((&right, r.as_str())), rectified)
}

/// The first calibration of a topic.
fn camera_info(recording: &mut Recording, listed: &Listed, topic: u32, rectified: bool) -> anyhow::Result<CameraInfo> {
    let name = name_of(recording, topic);
    let first = listed.of(topic).first().with_context(|| format!("{name}: no message"))?;
    let m: sensor_msgs::CameraInfo = recording.message(first)?;
    let finite = m.k.iter().chain(&m.d).chain(&m.r).chain(&m.p).all(|v| v.is_finite());
    ensure!(finite, "{name}: it holds numbers that are not finite");
    ensure!(m.p[0] > 0.0, "{name}: p[0] is {}, a focal length is expected: the camera is not calibrated", m.p[0]);
    let bends = m.d.get(5..).unwrap_or_default().iter().any(|d| *d != 0.0);
    ensure!(
        rectified || (!bends && ["plumb_bob", ""].contains(&m.distortion_model.as_str())),
        "{name}: distortion_model {:?} with {} coefficients, plumb_bob with 5 expected",
        m.distortion_model,
        m.d.len()
    );
    // Of rectified pictures nothing but the projection counts.
    let (fx, fy, cx, cy) = if rectified { (m.p[0], m.p[5], m.p[2], m.p[6]) } else { (m.k[0], m.k[4], m.k[2], m.k[5]) };
    let mut distortion = [0.0; 5];
    if !rectified {
        distortion.iter_mut().zip(&m.d).for_each(|(to, from)| *to = *from);
    }
    let intrinsics = Intrinsics { width: m.width, height: m.height, fx, fy, cx, cy, distortion };
    ensure!(
        m.width > 0 && m.height > 0 && intrinsics.is_plausible(),
        "{name}: {}x{} pixels with focal lengths {fx}, {fy} are no camera",
        m.width,
        m.height
    );
    Ok(CameraInfo {
        name: name.clone(),
        intrinsics,
        rectification: Matrix3::from_row_slice(&m.r),
        projection: Matrix3x4::from_row_slice(&m.p),
    })
}

/// Of every arm its joints with the jaw's opening, or its poses.
fn poses(
    recording: &mut Recording,
    listed: &Listed,
    arms: &[Arm],
    reading: &Reading,
    notes: &mut Vec<String>,
) -> anyhow::Result<Poses> {
    let path = recording.path().to_owned();
    let mut out = Poses { name: short(&path), ..Poses::default() };
    for arm in arms {
        let jaws = match arm.jaw {
            Some(topic) => {
                let name = name_of(recording, topic);
                jaws(recording, listed.of(topic), &name, notes)?
            }
            None => Vec::new(),
        };
        let topic = arm.measured.topic();
        let jaw =
            arm.jaw.map_or_else(|| "jaws taken as closed".to_owned(), |j| format!("jaws from {}", said(recording, j)));
        let what = if matches!(arm.measured, Measured::Joints(_)) { "joints" } else { "poses" };
        notes.push(format!(
            "{}: {what} from {}, {jaw}, {}",
            arm.id,
            said(recording, topic),
            reading.instruments.name(arm.id)
        ));
        let chain = Chain::psm(&reading.instruments.of(arm.id)?)?;
        let (name, entries) = (name_of(recording, topic), listed.of(topic));
        for (nth, (stamp, entry)) in stamps(entries, &name, notes).into_iter().zip(entries).enumerate() {
            let at = || format!("{}: {name}, message {}", path.display(), nth + 1);
            let pose = read(recording, arm.measured, entry).with_context(at)?;
            let mut row = pose.row(&chain).with_context(at)?;
            (row.line, row.stamp, row.arm) = (nth as u64 + 1, stamp, arm.id);
            row.jaw = pose.jaw.or_else(|| nearest(&jaws, stamp)).unwrap_or(0.0);
            out.add(row, "message", &name);
        }
    }
    out.conclude(&path)
}

/// What a message says about an arm.
struct Said {
    joints: Option<[f64; 6]>,
    pose: Option<(Point3<f64>, UnitQuaternion<f64>)>,
    jaw: Option<f64>,
}

impl Said {
    fn row(&self, chain: &Chain) -> anyhow::Result<PoseRow> {
        let (tip, turn) = match (self.joints, self.pose) {
            (Some(q), _) => {
                let pose = chain.fk(&q)?;
                (Point3::from(pose.translation()), pose.rotation())
            }
            (None, Some(pose)) => pose,
            (None, None) => bail!("neither joints nor a pose"),
        };
        let reach = tip.coords.norm();
        ensure!(
            reach <= MAX_REACH,
            "the tip is {reach:.0} m from the base: metres are expected, are these millimetres?"
        );
        let (line, stamp, arm, jaw) = (0, 0, ArmId::Psm1, 0.0);
        Ok(PoseRow { line, stamp, arm, tip, turn: Some(turn), by_joints: None, joints: self.joints, jaw })
    }
}

fn read(recording: &mut Recording, measured: Measured, entry: &Entry) -> anyhow::Result<Said> {
    match measured {
        Measured::Joints(_) => {
            let m: JointState = recording.message(entry)?;
            let (joints, jaw) = joints(&m)?;
            Ok(Said { joints: Some(joints), pose: None, jaw })
        }
        Measured::Pose(_) => {
            let m = recording.message::<PoseStamped>(entry)?.pose;
            let (p, q) = (m.position, m.orientation);
            Ok(Said { joints: None, pose: Some(pose([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])?), jaw: None })
        }
        Measured::Transform(_) => {
            let m = recording.message::<TransformStamped>(entry)?.transform;
            let (p, q) = (m.translation, m.rotation);
            Ok(Said { joints: None, pose: Some(pose([p.x, p.y, p.z], [q.x, q.y, q.z, q.w])?), jaw: None })
        }
    }
}

/// The six joints in the dVRK's order, and a seventh as the jaw's opening.
fn joints(m: &JointState) -> anyhow::Result<([f64; 6], Option<f64>)> {
    ensure!(m.position.iter().all(|q| q.is_finite()), "position holds numbers that are not finite");
    let at = |name: &str| m.name.iter().position(|n| n == name).and_then(|i| m.position.get(i)).copied();
    let by_name: Option<Vec<f64>> = PSM_JOINTS.iter().map(|n| at(n)).collect();
    if let Some(q) = by_name.and_then(|q| <[f64; 6]>::try_from(q).ok()) {
        return Ok((q, at("jaw")));
    }
    match m.position.as_slice() {
        [q @ .., jaw] if q.len() == 6 => Ok(([q[0], q[1], q[2], q[3], q[4], q[5]], Some(*jaw))),
        &[a, b, c, d, e, f] => Ok(([a, b, c, d, e, f], None)),
        other => bail!(
            "{} positions of {:?}, the 6 joints of a PSM expected",
            other.len(),
            m.name.iter().take(8).collect::<Vec<_>>()
        ),
    }
}

fn pose([x, y, z]: [f64; 3], [i, j, k, w]: [f64; 4]) -> anyhow::Result<(Point3<f64>, UnitQuaternion<f64>)> {
    let q = Quaternion::new(w, i, j, k);
    ensure!([x, y, z].iter().all(|v| v.is_finite()), "a position that is not finite");
    ensure!((q.norm() - 1.0).abs() <= 0.05, "the quaternion has length {:.3}, 1 is expected", q.norm());
    Ok((Point3::new(x, y, z), UnitQuaternion::new_normalize(q)))
}

/// Openings of the jaws with their stamps, rising.
fn jaws(
    recording: &mut Recording,
    entries: &[Entry],
    name: &str,
    notes: &mut Vec<String>,
) -> anyhow::Result<Vec<(i64, f64)>> {
    let mut out = Vec::with_capacity(entries.len());
    for (stamp, entry) in stamps(entries, name, notes).into_iter().zip(entries) {
        let m: JointState = recording.message(entry)?;
        match m.position.as_slice() {
            [jaw] if jaw.is_finite() => out.push((stamp, *jaw)),
            other => {
                bail!("{}: {name}: {} positions, the jaw's alone expected", recording.path().display(), other.len())
            }
        }
    }
    out.sort_by_key(|(stamp, _)| *stamp);
    Ok(out)
}

/// The value nearest in time.
fn nearest(values: &[(i64, f64)], stamp: i64) -> Option<f64> {
    let after = values.partition_point(|(s, _)| *s < stamp);
    let sides = [after.checked_sub(1).and_then(|i| values.get(i)), values.get(after)];
    let near = sides.into_iter().flatten().min_by_key(|(s, _)| (s - stamp).abs())?;
    ((near.0 - stamp).abs() <= JAW_WITHIN).then_some(near.1)
}

/// Where the endoscope was.
fn look_at_endoscope(
    recording: &mut Recording,
    listed: &Listed,
    topic: u32,
    poses: &mut Poses,
    notes: &mut Vec<String>,
) -> anyhow::Result<()> {
    let (name, entries) = (name_of(recording, topic), listed.of(topic));
    for (nth, (stamp, entry)) in stamps(entries, &name, notes).into_iter().zip(entries).enumerate() {
        let m: JointState = recording.message(entry)?;
        let Some(joints) = Joints::new(&m.position).ok().filter(|q| q.len() == ArmId::Ecm.dof()) else {
            poses.endoscope = Endoscope::default();
            notes.push(format!(
                "{name}: {} positions in message {}, the 4 finite joints of an ECM expected; the endoscope is taken to stand still",
                m.position.len(),
                nth + 1
            ));
            return Ok(());
        };
        poses.add_endoscope((nth as u64 + 1, stamp), joints, &name);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn pictures_are_paired_with_the_nearest_and_none_twice() {
        let ms = |list: &[i64]| list.iter().map(|t| (t * 1_000_000, ())).collect::<Vec<_>>();
        let paired = |left: &[i64], right: &[i64]| {
            pair(&ms(left), &ms(right)).into_iter().map(|(l, r)| (l.0 / 1_000_000, r.0 / 1_000_000)).collect::<Vec<_>>()
        };
        assert_eq!(paired(&[0, 33, 66], &[0, 33, 66]), [(0, 0), (33, 33), (66, 66)]);
        assert_eq!(paired(&[0, 33, 66], &[5, 38, 71]), [(0, 5), (33, 38), (66, 71)]);
        assert_eq!(paired(&[0, 33, 66, 99], &[0, 67, 98]), [(0, 0), (66, 67), (99, 98)], "one lost");
        assert_eq!(paired(&[0, 33, 66], &[-1, 32, 34, 65]), [(0, -1), (33, 34), (66, 65)], "one too many");
        assert_eq!(paired(&[0, 10], &[9]), [(10, 9)]);
        assert_eq!(paired(&[0, 33], &[500, 533]), []);
    }

    #[test]
    fn joints_are_taken_by_name_in_order_or_with_a_jaw_behind_them() {
        let state = |names: &[&str], position: &[f64]| JointState {
            name: names.iter().map(|n| (*n).to_owned()).collect(),
            position: position.to_vec(),
            ..JointState::default()
        };
        let q = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(joints(&state(&[], &q)).unwrap(), (q, None));
        assert_eq!(joints(&state(&["a"; 7], &[&q[..], &[0.5]].concat())).unwrap(), (q, Some(0.5)));
        let mut names: Vec<&str> = PSM_JOINTS.to_vec();
        names.reverse();
        assert_eq!(joints(&state(&names, &[6.0, 5.0, 4.0, 3.0, 2.0, 1.0])).unwrap(), (q, None));
        let error = joints(&state(&["slider"], &[1.0])).unwrap_err().to_string();
        assert!(error.contains("1 positions") && error.contains("slider"), "{error}");
        assert!(joints(&state(&[], &[f64::NAN; 6])).is_err());
    }

    #[test]
    fn a_jaw_is_read_where_it_is_nearest_and_not_from_afar() {
        let jaws = [(0, 0.1), (100_000_000, 0.2)];
        assert_eq!(
            [-1, 0, 49_000_000, 51_000_000, 290_000_000].map(|s| nearest(&jaws, s)),
            [Some(0.1), Some(0.1), Some(0.1), Some(0.2), Some(0.2)]
        );
        assert_eq!(nearest(&jaws, 400_000_000), None);
        assert_eq!(nearest(&[], 0), None);
    }
}

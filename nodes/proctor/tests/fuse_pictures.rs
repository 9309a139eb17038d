//! `proctor fuse FOLDER` on pictures of the simulator, segmented by the shipped model: where the tips are is known to the test.
#![allow(clippy::unwrap_used)]

use nalgebra::Point3;
use proctor_perception::picture;
use proctor_sim::{
    HandEyeError, SimConfig, Simulator,
    plant::Command as Order,
    render::{Appearance, ImageFaults, Renderer, View, Want},
};
use proctor_types::{ArmId, Joints, StateRequest};
use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

const INSTRUMENT: &str = "LARGE_NEEDLE_DRIVER_400006";
const ERROR: HandEyeError = HandEyeError { translation: 0.005, rotation: 0.052_36 };
const SECONDS: u32 = 9;
const HZ: u32 = 10;

/// Tips in the camera by arm and picture's number.
type Tips = BTreeMap<(ArmId, u32), Point3<f64>>;

/// A recording, and what is true about it.
struct Recorded {
    folder: PathBuf,
    truth: Tips,
}

/// Recorded once for all tests: with an endoscope that stands still, and with one that is moved.
static STILL: LazyLock<Recorded> = LazyLock::new(|| Recorded::new("fuse_pictures", 0.0));
static MOVED: LazyLock<Recorded> = LazyLock::new(|| Recorded::new("fuse_pictures_moved", 1.0));

impl Recorded {
    fn new(name: &str, moved: f64) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        let truth = record(&folder, moved);
        Self { folder, truth }
    }
}

/// Writes the folder; the true tips come back. The endoscope moves by `moved` times what it may.
fn record(folder: &Path, moved: f64) -> Tips {
    let instruments = [INSTRUMENT; 2].map(str::to_owned);
    let config = SimConfig { seed: 3, hand_eye_error: ERROR, instruments, ..SimConfig::default() };
    let mut sim = Simulator::new(config).unwrap();
    for arm in ArmId::ALL {
        sim.command(arm, Order::State(StateRequest::Enable));
        sim.command(arm, Order::State(StateRequest::Home));
    }
    (0..3000).for_each(|_| sim.step());
    let home = ArmId::PSMS.map(|arm| sim.arm_state(arm).position);
    let view = sim.arm_state(ArmId::Ecm).position;
    let camera_from_base =
        ArmId::PSMS.map(|arm| sim.world_from_camera_true().inverse() * sim.cell().world_from_base(arm));
    for side in ["left", "right"] {
        std::fs::create_dir_all(folder.join(side)).unwrap();
    }
    let mut renderer = Renderer::new(sim.cell().rig(), 1).unwrap();
    let (mut poses, mut truth) = ("stamp,arm,q1,q2,q3,q4,q5,q6,jaw\n".to_owned(), BTreeMap::new());
    for tick in 1..=SECONDS * 1000 {
        let t = f64::from(tick) * 1e-3;
        for (arm, home) in ArmId::PSMS.into_iter().zip(&home) {
            let (amplitude, hz) = ([0.05, 0.05, 0.01, 0.4, 0.25, 0.25], [0.17, 0.23, 0.13, 0.11, 0.19, 0.29]);
            let phase = 1.7 * arm.index() as f64;
            let swing = |i: usize, t: f64| (std::f64::consts::TAU * hz[i] * t + phase * i as f64).sin();
            let q: Vec<f64> =
                (0..6).map(|i| home[i] + amplitude[i] * (swing(i, t) - swing(i, 0.0) * (-t).exp())).collect();
            sim.command(arm, Order::ServoJp(Joints::new(&q).unwrap()));
            sim.command(arm, Order::ServoJaw(0.4));
        }
        // Two seconds at rest, then it looks around: 12 mm to the side and 6 mm nearer at most.
        let swing = moved * (0.7 * (t - 2.0).max(0.0)).sin();
        let look = [view[0] + 0.06 * swing, view[1], view[2] + 0.006 * swing, view[3]];
        sim.command(ArmId::Ecm, Order::ServoJp(Joints::new(&look).unwrap()));
        sim.step();
        if tick % 10 == 0 {
            for arm in ArmId::ALL {
                let state = sim.arm_state(arm);
                let mut q: Vec<String> = state.position.iter().map(f64::to_string).collect();
                q.resize(6, String::new());
                writeln!(poses, "{},{},{},{}", sim.now().nanos(), arm.name(), q.join(","), state.jaw).unwrap();
            }
        }
        if tick % (1000 / HZ) == 0 {
            let number = tick * HZ / 1000 - 1;
            let poses = sim.instrument_poses();
            let (appearance, faults) = (Appearance::nominal(), ImageFaults::default());
            let view = View {
                stamp: sim.now(),
                seq: u64::from(number),
                world_from_camera: sim.world_from_camera_true(),
                instruments: &poses,
                tissue: sim.tissue(),
                appearance: &appearance,
                faults: &faults,
            };
            let rendered = renderer.render(&view, Want::Rectified);
            // Stamps are part of the names; below 1e14 ns they would count as numbers.
            let name = format!("{:.6}.png", sim.now().nanos() as f64 * 1e-9);
            picture::write(&folder.join("left").join(&name), &rendered.left).unwrap();
            picture::write(&folder.join("right").join(&name), &rendered.right).unwrap();
            let camera_from_world = sim.world_from_camera_true().inverse();
            for arm in ArmId::PSMS {
                let tip = Point3::from(sim.world_from_tip_true(arm).translation());
                truth.insert((arm, number), camera_from_world.transform(&tip));
            }
        }
    }
    // Stamps below 1e14 are seconds in a table.
    let seconds = |line: &str| {
        let (ns, rest) = line.split_once(',').unwrap();
        ns.parse::<i64>().map_or_else(|_| line.to_owned(), |ns| format!("{:.6},{rest}", ns as f64 * 1e-9))
    };
    let poses: String = poses.lines().map(|l| seconds(l) + "\n").collect();
    std::fs::write(folder.join("poses.csv"), poses).unwrap();
    for (arm, camera_from_base) in ArmId::PSMS.into_iter().zip(camera_from_base) {
        let (p, q) = (camera_from_base.translation(), camera_from_base.rotation());
        let text = format!(
            "[camera_from_base]\nposition_m = [{}, {}, {}]\nquaternion_xyzw = [{}, {}, {}, {}]\n",
            p.x, p.y, p.z, q.i, q.j, q.k, q.w
        );
        std::fs::write(folder.join(format!("{}.toml", arm.name())), text).unwrap();
    }
    truth
}

/// Runs `proctor fuse` on a recording - the folder, if nothing else is named - and gives the distance of every estimated tip from the true one, m, by arm,
/// and what was printed.
fn fuse(recorded: &Recorded, recording: &[&str], hand_eyes: bool) -> (BTreeMap<ArmId, Vec<f64>>, String) {
    let Recorded { folder, truth } = recorded;
    let out = tempfile::tempdir().unwrap();
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    let recording = if recording.is_empty() { vec![folder.to_str().unwrap()] } else { recording.to_vec() };
    let output = Command::new(env!("CARGO_BIN_EXE_proctor"))
        .arg("fuse")
        .args(recording)
        .args(["--pinhole", "560,560,319.5,239.5,5.2,640,480", "--out"])
        .arg(out.path())
        .args(ArmId::PSMS.iter().filter(|_| hand_eyes).flat_map(|arm| {
            ["--hand-eye".to_owned(), format!("{arm}={}", folder.join(format!("{}.toml", arm.name())).display())]
        }))
        .current_dir(root)
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let estimates = std::fs::read_to_string(out.path().join("estimates.csv")).unwrap();
    let (mut errors, mut seen) = (BTreeMap::<ArmId, Vec<f64>>::new(), BTreeMap::<ArmId, u32>::new());
    for line in estimates.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let arm: ArmId = fields[1].parse().unwrap();
        let number = seen.entry(arm).or_default();
        if let [Ok(x), Ok(y), Ok(z)] = [8, 9, 10].map(|i| fields[i].parse::<f64>()) {
            errors.entry(arm).or_default().push((Point3::new(x, y, z) - truth[&(arm, *number)]).norm());
        }
        *number += 1;
    }
    (errors, said)
}

/// Median of the second half, m: what is learnt takes its time.
fn later(errors: &[f64]) -> f64 {
    let mut late = errors[errors.len() / 2..].to_vec();
    late.sort_by(f64::total_cmp);
    late[late.len() / 2]
}

/// Runs it and says how far off the tips are: by arm, the median of the second half, m.
fn measured(recorded: &Recorded, recording: &[&str], hand_eyes: bool) -> (BTreeMap<ArmId, f64>, String) {
    let (errors, said) = fuse(recorded, recording, hand_eyes);
    println!("{said}");
    for (arm, errors) in &errors {
        println!("{arm}: first {:.1} mm, later {:.2} mm", errors[0] * 1e3, later(errors) * 1e3);
        assert!(errors.len() as u32 > SECONDS * HZ - 5, "{}", errors.len());
    }
    (errors.iter().map(|(arm, errors)| (*arm, later(errors))).collect(), said)
}

#[test]
fn tips_are_found_in_pictures_from_a_hand_eye_file_that_is_off() {
    let (errors, said) = measured(&STILL, &[], true);
    assert!(errors.len() == 2 && errors.values().all(|e| *e < 0.003), "{errors:?}");
    // Nine seconds at ten pictures a second do not always tell the offset; nothing else may be found to be wrong.
    let found = said.lines().filter(|l| l.contains("FINDING"));
    assert!(found.into_iter().all(|l| l.contains("timing between video and robot")), "{said}");
}

#[test]
fn bases_are_found_from_the_pictures_where_there_is_no_hand_eye_file() {
    let (errors, said) = measured(&STILL, &[], false);
    assert!(said.contains("no hand-eye file") && errors.len() == 2, "{said}");
    assert!(errors.values().all(|e| *e < 0.005), "{errors:?}");
}

#[test]
fn tips_are_found_in_pictures_of_an_endoscope_that_is_moved() {
    let (errors, said) = measured(&MOVED, &[], true);
    assert!(said.contains("the endoscope was moved: its joints are followed"), "{said}");
    assert!(errors.len() == 2 && errors.values().all(|e| *e < 0.003), "{errors:?}");
    // Without its joints the same pictures are of arms whose bases wander.
    let poses = std::fs::read_to_string(MOVED.folder.join("poses.csv")).unwrap();
    let without: String = poses.lines().filter(|l| !l.contains("ECM")).map(|l| [l, "\n"].concat()).collect();
    let table = MOVED.folder.join("without_ecm.csv");
    std::fs::write(&table, without).unwrap();
    let folder = [MOVED.folder.to_str().unwrap(), "--poses", table.to_str().unwrap()];
    let (still, said) = measured(&MOVED, &folder, true);
    assert!(!said.contains("endoscope was moved"), "{said}");
    assert!(still.values().sum::<f64>() > 1.5 * errors.values().sum::<f64>(), "{still:?} against {errors:?}");
}

/// Writes videos of the recorded pictures; a frame of `both` is the left picture above the right one.
fn film(folder: &Path) {
    use opencv::{
        core::{Mat, MatTraitConst as _, Size, ToInputArray as _, vconcat2},
        imgcodecs::{IMREAD_COLOR, imread},
        videoio::{VideoWriter, VideoWriterTrait as _},
    };
    let mut names: Vec<String> = std::fs::read_dir(folder.join("left"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_by(|a, b| {
        a.trim_end_matches(".png").parse::<f64>().unwrap().total_cmp(&b.trim_end_matches(".png").parse().unwrap())
    });
    let stamps: String = names.iter().map(|n| [n.trim_end_matches(".png"), "\n"].concat()).collect();
    std::fs::write(folder.join("film.csv"), format!("stamp\n{stamps}")).unwrap();
    let writer = |name: &str, height| {
        let (path, fourcc) = (folder.join(name), VideoWriter::fourcc('M', 'J', 'P', 'G').unwrap());
        VideoWriter::new(path.to_str().unwrap(), fourcc, f64::from(HZ), Size::new(640, height), true).unwrap()
    };
    let mut writers = [writer("left.avi", 480), writer("right.avi", 480), writer("both.avi", 960)];
    for name in names {
        let read = |side: &str| imread(folder.join(side).join(&name).to_str().unwrap(), IMREAD_COLOR).unwrap();
        let (left, right, mut both) = (read("left"), read("right"), Mat::default());
        assert!(!left.empty() && !right.empty());
        vconcat2(&left, &right, &mut both).unwrap();
        for (writer, frame) in writers.iter_mut().zip([&left, &right, &both]) {
            writer.write(&frame.input_array().unwrap()).unwrap();
        }
    }
    writers.iter_mut().for_each(|w| w.release().unwrap());
}

#[test]
fn tips_are_found_in_videos_of_each_camera_and_of_both() {
    let folder = &STILL.folder;
    film(folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (left, right, both) = (path("left.avi"), path("right.avi"), path("both.avi"));
    let (stamps, joints) = (path("film.csv"), path("poses.csv"));
    for videos in [&[left.as_str(), right.as_str()][..], &[both.as_str(), "--layout", "top-bottom"]] {
        let rest = ["--joints", &joints, "--stamps", &stamps];
        let (errors, said) = measured(&STILL, &[videos, &rest].concat(), true);
        // JPEG and half the colours cost a little.
        assert!(errors.len() == 2 && errors.values().all(|e| *e < 0.0035), "{errors:?}");
        assert!(said.contains("pairs of pictures"), "{said}");
    }
}

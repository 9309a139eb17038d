//! The built-in simulator seen by fusion: true pictures of a cell whose instruments stand elsewhere than the robot believes, and
//! whatever else a test wants to be wrong. Labels are the renderer's ground truth at half size, as perception delivers them at best; the ends of jaws are what perception finds in them.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

mod occlusion;

use nalgebra::{Point3, Vector3};
use proctor_fusion::{Fusion, FusionInput, FusionParams};
use proctor_perception::keypoints;
use proctor_sim::{
    HandEyeError, JointOffsets, SimConfig, Simulator,
    plant::Command,
    render::{Appearance, ImageFaults, Rendered, Renderer, View, Want},
};
use proctor_types::{
    ArmId, ArmState, Class, Digest, Image, ImageQuality, Joints, Pose, QualityVerdict, Scene, Segmentation, Stamp,
    StateRequest, Tip, World,
};
use std::{collections::VecDeque, time::Duration};

/// A needle driver and a grasper, as in the demo.
pub const INSTRUMENTS: [&str; 2] = ["LARGE_NEEDLE_DRIVER_400006", "PROGRASP_FORCEPS_400093"];

/// How far an instrument is drawn out to be out of view, m.
const DRAWN: f64 = 0.085;

pub struct Cell {
    pub sim: Simulator,
    pub renderer: Renderer,
    pub fusion: Fusion,
    home: [Joints; 2],
    seq: u64,
    /// How many label pixels the instrument masks are too large (positive) or too small.
    pub swell: i32,
    /// Nobody moves.
    pub at_rest: bool,
    /// Share of every instrument's pixels that something lies in front of.
    pub occluded: f64,
    /// From when to when PSM1's instrument is drawn out of view, s.
    pub away: Option<(f64, f64)>,
    pub wrong: Wrong,
    states: VecDeque<(u32, ArmState)>,
    pictures: VecDeque<(u32, FusionInput, Truth)>,
}

/// What a test wants to be wrong; nothing by default.
#[derive(Default)]
pub struct Wrong {
    /// Pictures, or joints, are stamped when they arrive, so many ms late.
    pub video_lag_ms: u32,
    pub joint_lag_ms: u32,
    /// PSM1's joints come from PSM2 and the other way round.
    pub crossed: bool,
    /// From this second on an arm reports the same joints for ever.
    pub frozen: Option<(ArmId, f64)>,
    /// One sample of an arm, at this millisecond, is far off.
    pub bad_pose: Option<(ArmId, u32)>,
    pub swapped_cameras: bool,
    /// Pictures until this second have the right one shifted to the left by so many px: everything looks nearer than it is, or farther.
    pub shifted: Option<(f64, i32)>,
}

/// What was true when a picture was taken.
pub struct Truth {
    pub t: f64,
    pub world_from_tip: [Pose<World, Tip>; 2],
    pub rendered: Rendered,
}

impl Truth {
    /// Estimated less true place of an arm's tip, m.
    pub fn tip_error(&self, scene: &Scene, arm: ArmId) -> Vector3<f64> {
        let truth = self.world_from_tip[arm.index()].translation();
        scene.instrument(arm).unwrap().world_from_tip.translation() - truth
    }

    /// Whether an arm's tip lies in the field of view of the picture, whatever hides it there.
    pub fn in_view(&self, sim: &Simulator, arm: ArmId) -> bool {
        let tip = Point3::from(self.world_from_tip[arm.index()].translation());
        let seen = sim.world_from_camera_true().inverse().transform(&tip);
        let at = sim.cell().rig().left.project(&seen).filter(|p| p.x >= 0.0 && p.y >= 0.0);
        let label = at.and_then(|p| self.rendered.labels.get(p.x as usize, p.y as usize));
        label.is_some_and(|label| *label != Class::Background.id())
    }
}

impl Cell {
    pub fn new(seed: u64, hand_eye_error: HandEyeError, joint_offsets: JointOffsets) -> Self {
        Self::with(seed, hand_eye_error, joint_offsets, INSTRUMENTS, INSTRUMENTS)
    }

    /// With these instruments, of which fusion believes that they are others.
    pub fn with(
        seed: u64,
        hand_eye_error: HandEyeError,
        joint_offsets: JointOffsets,
        truth: [&str; 2],
        believed: [&str; 2],
    ) -> Self {
        let params = FusionParams { instruments: believed.map(str::to_owned), ..FusionParams::default() };
        let instruments = truth.map(str::to_owned);
        let config = SimConfig { seed, hand_eye_error, joint_offsets, instruments, ..SimConfig::default() };
        let mut sim = Simulator::new(config).unwrap();
        for arm in ArmId::ALL {
            sim.command(arm, Command::State(StateRequest::Enable));
            sim.command(arm, Command::State(StateRequest::Home));
        }
        // Homing takes its time.
        for _ in 0..3000 {
            sim.step();
        }
        let home = ArmId::PSMS.map(|arm| sim.arm_state(arm).position);
        let renderer = Renderer::new(sim.cell().rig(), 1).unwrap();
        Self {
            sim,
            renderer,
            fusion: Fusion::new(params).unwrap(),
            home,
            seq: 0,
            swell: 0,
            at_rest: false,
            occluded: 0.0,
            away: None,
            wrong: Wrong::default(),
            states: VecDeque::new(),
            pictures: VecDeque::new(),
        }
    }

    /// Ordinary motion: slow independent sinusoids around the home pose.
    pub fn command(&mut self, t: f64) {
        if self.at_rest {
            return;
        }
        let amplitude = [0.06, 0.06, 0.012, 0.5, 0.3, 0.3];
        let hz = [0.17, 0.23, 0.13, 0.11, 0.19, 0.29];
        for (arm, home) in ArmId::PSMS.into_iter().zip(self.home) {
            let phase = arm.index() as f64 * 1.7;
            // Drawn out and put in again within a second each.
            let gone = self.away.filter(|_| arm == ArmId::Psm1).map_or(0.0, |(from, to)| {
                let ramp = |since: f64| since.clamp(0.0, 1.0);
                ramp(t - from) * ramp(to - t)
            });
            let q: Vec<f64> = (0..6)
                .map(|i| {
                    let swing = |t: f64| (std::f64::consts::TAU * hz[i] * t + phase * i as f64).sin();
                    // Starts where the arm is.
                    home[i]
                        + amplitude[i] * (swing(t) - swing(0.0) * (-t).exp())
                        + if i == 2 { 0.012 * (1.0 - (-t).exp()) - DRAWN * gone } else { 0.0 }
                })
                .collect();
            self.sim.command(arm, Command::ServoJp(Joints::new(&q).unwrap()));
            self.sim.command(arm, Command::ServoJaw(0.4 + 0.3 * (0.9 * t + phase).sin()));
        }
    }

    pub fn picture(&mut self) -> (FusionInput, Rendered) {
        let (instruments, appearance) = (self.sim.instrument_poses(), Appearance::nominal());
        self.seq += 1;
        let view = View {
            stamp: self.sim.now(),
            seq: self.seq,
            world_from_camera: self.sim.world_from_camera_true(),
            instruments: &instruments,
            tissue: self.sim.tissue(),
            appearance: &appearance,
            faults: &ImageFaults::default(),
        };
        let rendered = self.renderer.render(&view, Want::Rectified);
        let rendered = occlusion::covered(rendered, self.occluded, self.seq, &self.renderer.rig());
        let frame = rendered.frame(self.sim.now(), self.seq, self.renderer.rig());
        let mut segmentation = segmentation(&rendered, frame.stamp, self.seq, self.swell);
        let sure = vec![0.9; segmentation.labels.pixels().len()];
        segmentation.keypoints = keypoints::find(&segmentation.labels, &sure, (2.0, 2.0));
        (FusionInput { segmentation, frame }, rendered)
    }

    /// What an arm says, with everything that is wrong about it.
    fn report(&self, arm: ArmId, tick: u32) -> ArmState {
        let source = match arm {
            ArmId::Psm1 if self.wrong.crossed => ArmId::Psm2,
            ArmId::Psm2 if self.wrong.crossed => ArmId::Psm1,
            arm => arm,
        };
        let mut state = ArmState { arm, ..self.sim.arm_state(source) };
        state.stamp = state.stamp.plus(Duration::from_millis(u64::from(self.wrong.joint_lag_ms)));
        if self.wrong.bad_pose == Some((arm, tick)) {
            let mut q = state.position.to_vec();
            q[0] += 0.3;
            state.position = Joints::new(&q).unwrap();
        }
        state
    }

    /// Takes a picture and says what is true about it.
    fn take(&mut self, t: f64) -> (FusionInput, Truth) {
        let (mut input, rendered) = self.picture();
        let late = Duration::from_millis(u64::from(self.wrong.video_lag_ms));
        input.frame.stamp = input.frame.stamp.plus(late);
        input.segmentation.stamp = input.frame.stamp;
        if self.wrong.swapped_cameras {
            std::mem::swap(&mut input.frame.left, &mut input.frame.right);
        }
        if let Some((_, px)) = self.wrong.shifted.filter(|(until, _)| t < *until) {
            let (w, h) = (input.frame.right.width(), input.frame.right.height());
            let old = input.frame.right.pixels();
            let from = |i: usize| i - i % w + (i as i32 % w as i32 + px).clamp(0, w as i32 - 1) as usize;
            let shifted = (0..w * h).map(|i| old[from(i)]).collect();
            input.frame.right = Image::new(w, h, shifted).unwrap();
        }
        let world_from_tip = ArmId::PSMS.map(|arm| self.sim.world_from_tip_true(arm));
        (input, Truth { t, world_from_tip, rendered })
    }

    /// Runs `seconds` with `hz` pictures a second; calls `each` with the simulator as it is now, the scene, and what was true when its
    /// picture was taken.
    pub fn run(&mut self, seconds: f64, hz: f64, mut each: impl FnMut(&Simulator, &Scene, &Truth)) {
        let mut next_picture = 1.0 / hz;
        let mut frozen = None;
        for tick in 1..=(seconds * 1e3) as u32 {
            let t = f64::from(tick) * 1e-3;
            if tick % 5 == 0 {
                self.command(t);
            }
            self.sim.step();
            if tick % 5 == 0 {
                for arm in ArmId::ALL {
                    let mut state = self.report(arm, tick);
                    if self.wrong.frozen.is_some_and(|(which, from)| which == arm && t >= from) {
                        let held = *frozen.get_or_insert(state);
                        state = ArmState { stamp: state.stamp, ..held };
                    }
                    self.states.push_back((tick + self.wrong.joint_lag_ms, state));
                }
            }
            if t >= next_picture {
                next_picture += 1.0 / hz;
                let (input, truth) = self.take(t);
                self.pictures.push_back((tick + self.wrong.video_lag_ms, input, truth));
            }
            while self.states.front().is_some_and(|(due, _)| *due <= tick) {
                let (_, state) = self.states.pop_front().unwrap();
                self.fusion.on_arm_state(state);
            }
            let fusion = &self.fusion;
            let ready = |(due, input, _): &(u32, FusionInput, Truth)| {
                *due <= tick && !fusion.waits_for_joints(input.frame.stamp)
            };
            if self.pictures.front().is_some_and(ready) {
                let (_, input, truth) = self.pictures.pop_front().unwrap();
                let now = self.sim.now().plus(Duration::from_millis(40));
                let scene = self.fusion.step(now, &input);
                each(&self.sim, &scene, &truth);
            }
        }
    }
}

/// True labels at half size; `swell` grows or shrinks the instruments.
pub fn segmentation(rendered: &Rendered, stamp: Stamp, seq: u64, swell: i32) -> Segmentation {
    let (w, h) = (rendered.labels.width() / 2, rendered.labels.height() / 2);
    let mut labels: Vec<u8> = (0..w * h).map(|i| *rendered.labels.get(2 * (i % w), 2 * (i / w)).unwrap()).collect();
    for _ in 0..swell.abs() {
        let old = labels.clone();
        let tool = |id: u8| Class::from_id(id).unwrap().is_instrument();
        for y in 1..h - 1 {
            for x in 1..w - 1 {
                let i = y * w + x;
                let other = [i - 1, i + 1, i - w, i + w].into_iter().find(|&j| tool(old[j]) != tool(old[i]));
                if let Some(j) = other.filter(|_| tool(old[i]) == (swell < 0)) {
                    labels[i] = old[j];
                }
            }
        }
    }
    Segmentation {
        stamp,
        seq,
        labels: Image::new(w, h, labels).unwrap(),
        uncertainty: Image::new(w, h, vec![10; w * h]).unwrap(),
        confidence: [0.95; Class::COUNT],
        keypoints: Vec::new(),
        quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
        model: Digest::of(b"truth"),
    }
}

pub fn rms(errors: &[f64]) -> f64 {
    (errors.iter().map(|e| e * e).sum::<f64>() / errors.len().max(1) as f64).sqrt()
}

pub const ISSUE_ERROR: HandEyeError = HandEyeError { translation: 0.005, rotation: 0.052_36 };
pub const NO_OFFSETS: JointOffsets = JointOffsets { angle: 0.0, insertion: 0.0 };

//! One step: a picture, its segmentation and the arms' histories become a scene.

use crate::{
    FusionError,
    arm::{Arm, Look, Posture, Sighted},
    cameras,
    clearance::{Tip, clearances},
    evidence::Picture,
    findings::{Noticed, WRONG_LENGTH},
    grasp::GraspFinder,
    hand_eye::HandEyeFilter,
    history::{KinematicsHistory, Lookup, Push},
    mask::{MAX_ARMS, Mask, Skeleton},
    params::FusionParams,
    picture::Pictures,
    stats::FusionStats,
    stereo::Stereo,
    surface::{self, Surface, View},
    timing::TimeKeeper,
    verdict::Sight,
};
use nalgebra::{Isometry3, Point3};
use proctor_kinematics::Cell;
use proctor_types::{
    ArmId, ArmState, Base, Camera, CameraModel, Joints, Pose, QualityVerdict, Scene, Segmentation, Stamp, StereoFrame,
    StereoRig, Timing, World,
};
use std::time::Duration;

/// One picture and what perception saw in it.
#[derive(Debug, Clone)]
pub struct FusionInput {
    /// The stereo pair.
    pub frame: StereoFrame,
    /// Its segmentation; one with another stamp is not used (and counted).
    pub segmentation: Segmentation,
}

/// Nominal joints of the ECM, for the time before it ever spoke.
const NOMINAL_ECM: [f64; 4] = [0.0, 0.0, 0.110, 0.0];
/// How much a degraded picture counts against a good one.
const DEGRADED_WEIGHT: f64 = 0.25;

/// Fusion of segmentation, stereo and kinematics. Holds no clock and does no I/O; the same calls give the same scenes,
/// bit for bit.
#[derive(Debug)]
pub struct Fusion {
    params: FusionParams,
    cell: Cell,
    arms: [Arm; MAX_ARMS],
    ecm: KinematicsHistory,
    world_from_camera: Pose<World, Camera>,
    /// Where the camera is by its newest joints, and how it pictures.
    camera_now: Pose<World, Camera>,
    camera: CameraModel,
    time: TimeKeeper,
    /// How often times were compared.
    looks: u64,
    swapped: Option<bool>,
    stereo: Option<(StereoRig, Stereo)>,
    surface: Surface,
    grasp: GraspFinder,
    last_frame: Option<Stamp>,
    pictures_seen: u32,
    stats: FusionStats,
}

/// What of an input may be believed.
struct Evidence {
    pictures: Pictures,
    weight: f64,
}

impl Fusion {
    /// For the standard cell. Refuses invalid parameters and unknown instruments.
    pub fn new(params: FusionParams) -> Result<Self, FusionError> {
        params.validate()?;
        let cell = Cell::standard()?;
        let [one, two] = ArmId::PSMS;
        let arms = [
            Arm::new(one, &params.instruments[0], &cell, &params)?,
            Arm::new(two, &params.instruments[1], &cell, &params)?,
        ];
        let world_from_camera = cell.world_from_camera(&NOMINAL_ECM)?;
        Ok(Self {
            world_from_camera,
            camera_now: world_from_camera,
            camera: cell.rig().left,
            time: TimeKeeper::new(),
            looks: 0,
            swapped: None,
            ecm: KinematicsHistory::new(params.history_bounds()),
            arms,
            cell,
            stereo: None,
            surface: Surface::new(),
            grasp: GraspFinder::default(),
            last_frame: None,
            pictures_seen: 0,
            stats: FusionStats::default(),
            params,
        })
    }

    /// As [`Fusion::new`], with arms that stand elsewhere before the camera than in the standard cell: as at these joints of the `endoscope`, its
    /// nominal ones where none are known.
    pub fn before_camera(
        params: FusionParams,
        camera_from_base: [Option<Pose<Camera, Base>>; MAX_ARMS],
        endoscope: Option<&Joints>,
    ) -> Result<Self, FusionError> {
        let mut out = Self::new(params)?;
        if let Some(joints) = endoscope {
            out.world_from_camera = out.cell.world_from_camera(joints)?;
            out.camera_now = out.world_from_camera;
        }
        for (arm, base) in out.arms.iter_mut().zip(camera_from_base) {
            if let Some(base) = base {
                arm.stand(*(out.world_from_camera * base).iso(), &out.params);
            }
        }
        Ok(out)
    }

    /// Runs with other parameters from the next call on; refused ones change nothing, and [`FusionParams::FIXED`] ones are not read again.
    pub fn adjust(&mut self, params: FusionParams) -> Result<(), FusionError> {
        params.validate()?;
        if (params.depth_min_m, params.depth_max_m) != (self.params.depth_min_m, self.params.depth_max_m) {
            // The matcher is made for these depths, at the next picture.
            self.stereo = None;
        }
        self.params = params;
        Ok(())
    }

    /// Counters since the start.
    pub fn stats(&self) -> &FusionStats {
        &self.stats
    }

    /// The hand-eye estimator of an instrument arm; `None` for the ECM.
    pub fn hand_eye_filter(&self, arm: ArmId) -> Option<&HandEyeFilter> {
        self.arms.iter().find(|a| a.id == arm).map(Arm::filter)
    }

    /// Takes in what an arm measured. Duplicates, backward stamps and malformed samples are dropped and counted; a
    /// clock set back by more than `clock_reset_s` starts that arm's history anew.
    pub fn on_arm_state(&mut self, state: ArmState) {
        if state.position.len() != state.arm.dof() || state.velocity.len() != state.arm.dof() || !state.jaw.is_finite()
        {
            self.stats.malformed_states += 1;
            return;
        }
        let history = match self.arms.iter_mut().find(|a| a.id == state.arm) {
            Some(arm) => {
                if !arm.plausibility.admits(&state) {
                    self.stats.bad_poses += 1;
                    arm.findings.bad_pose(state.stamp);
                    return;
                }
                &mut arm.history
            }
            None => &mut self.ecm,
        };
        match history.push(state) {
            Push::Accepted => {}
            Push::Duplicate => {
                self.stats.duplicate_states += 1;
                return;
            }
            Push::Backward => {
                self.stats.backward_states += 1;
                return;
            }
            Push::ClockReset => {
                self.stats.clock_resets += 1;
                self.time.reset();
            }
        }
        self.follow(&state);
    }

    /// Where an arm's joints say that its instrument is.
    fn follow(&mut self, state: &ArmState) {
        let Some(index) = self.arms.iter().position(|a| a.id == state.arm) else {
            self.camera_now = self.cell.world_from_camera(&state.position).unwrap_or(self.camera_now);
            return;
        };
        let camera_from_world = *self.camera_now.inverse().iso();
        if let Some(posture) = self.arms[index].posture(state) {
            self.time.joints(index, state.stamp, &posture.tool, camera_from_world);
        }
    }

    /// Whether joints that belong to a picture of this stamp are still on their way: pictures that are stamped early have to wait.
    pub fn waits_for_joints(&self, stamp: Stamp) -> bool {
        let needed = self.time.joints_stamp(stamp);
        let slack = Duration::from_secs_f64(self.params.extrapolate_max_s);
        needed > stamp && self.arms.iter().any(|a| a.history.newest().is_some_and(|s| s.stamp.plus(slack) < needed))
    }

    /// Makes a scene of a picture. Never fails: what could not be measured is said to be unknown, with large doubt.
    /// `now` bounds what counts as recent; the scene's stamp is the picture's.
    pub fn step(&mut self, now: Stamp, input: &FusionInput) -> Scene {
        let stamp = input.frame.stamp;
        let advanced = self.note_stamp(stamp);
        let joints_stamp = self.time.joints_stamp(stamp);
        let camera = self.camera_at(joints_stamp);
        let evidence = if advanced && camera.is_some() { self.evidence(input) } else { None };
        let postures = self.postures(joints_stamp);
        let time_sigma = self.time_sigma(stamp);
        let camera_from_world = self.world_from_camera.inverse();
        if advanced {
            for (arm, posture) in self.arms.iter_mut().zip(&postures) {
                arm.advance(stamp, posture.as_ref(), camera_from_world.iso(), &self.params);
            }
        }
        let mask = evidence.as_ref().and_then(|_| self.mask(input, &postures, camera_from_world.iso()));
        let mut sights = [Sight::Blind; MAX_ARMS];
        for (i, sight) in sights.iter_mut().enumerate() {
            *sight = match (&postures[i], &evidence, &mask) {
                (None, _, _) => Sight::NoKinematics,
                (Some(posture), Some(evidence), Some(mask)) => {
                    let picture = Picture {
                        mask,
                        pictures: &evidence.pictures,
                        rig: &input.frame.rig,
                        keypoints: &input.segmentation.keypoints,
                    };
                    let look = Look {
                        stamp,
                        posture,
                        index: i,
                        picture: &picture,
                        camera_from_world: camera_from_world.iso(),
                        weight: evidence.weight,
                        time_sigma,
                    };
                    let looked = self.arms[i].look(&look, &self.params);
                    let (sight, sighted) = looked.unwrap_or_else(|_| {
                        self.stats.opencv_failures += 1;
                        (Sight::Blind, Sighted::default())
                    });
                    self.time.picture(i, stamp, sighted);
                    sight
                }
                _ => Sight::Blind,
            };
        }
        if advanced {
            self.compare(input, evidence.as_ref(), &postures, camera_from_world.iso());
        }
        for ((arm, sight), posture) in self.arms.iter_mut().zip(sights).zip(&postures) {
            self.stats.looked_afresh += u64::from(arm.conclude(stamp, sight, &self.params));
            if let Some(posture) = posture {
                arm.settle_version(&posture.base_from_tip, &self.params);
            }
        }
        let tips: Vec<Tip> = self
            .arms
            .iter()
            .zip(&postures)
            .filter_map(|(arm, posture)| Some(arm.tip(posture.as_ref()?, &self.params)))
            .collect();
        if let (Some(evidence), Some(mask)) = (&evidence, &mask) {
            self.see_surface(input, evidence, mask, &tips);
        }
        self.scene(now, input, &postures, &tips)
    }

    /// Standard deviation of the picture's time among the joints, s, as far as it is reckoned with.
    fn time_sigma(&self, stamp: Stamp) -> f64 {
        let offset = self.time.offset(stamp, &self.params);
        if offset.timing == Timing::Known { offset.sigma.hypot(self.time.ignored()) } else { self.params.time_prior_s }
    }

    /// Takes in what the picture says about the offset between the stamps of pictures and joints, and looks for what is wrong.
    fn compare(
        &mut self,
        input: &FusionInput,
        evidence: Option<&Evidence>,
        postures: &[Option<Posture>; MAX_ARMS],
        camera_from_world: &Isometry3<f64>,
    ) {
        let stamp = input.frame.stamp;
        if is_usable(&input.frame.rig) {
            self.camera = input.frame.rig.left;
        }
        let bases = self.arms.each_ref().map(Arm::bases);
        if let Some(jumped) = self.time.update(stamp, &bases, &self.camera, &self.params) {
            if jumped > 0.0 {
                self.arms.iter_mut().for_each(|arm| arm.retime(jumped, &self.params));
            }
            self.notice(input, evidence, postures, camera_from_world);
        }
        self.stats.time_jumps = self.time.jumps;
        let unknown = self.time.offset(stamp, &self.params).timing == Timing::Unknown;
        let joints_stamp = self.time.joints_stamp(stamp);
        self.arms.iter_mut().for_each(|arm| arm.finding = arm.findings.gravest(joints_stamp, unknown));
    }

    /// One look for what is wrong with cameras and instruments.
    fn notice(
        &mut self,
        input: &FusionInput,
        evidence: Option<&Evidence>,
        postures: &[Option<Posture>; MAX_ARMS],
        camera_from_world: &Isometry3<f64>,
    ) {
        let Some(evidence) = evidence else { return };
        let (rig, pictures) = (&input.frame.rig, &evidence.pictures);
        if self.looks.is_multiple_of(2) {
            self.swapped = cameras::swapped(pictures, rig, &self.params);
        }
        self.looks += 1;
        let longer = self.longer(input, evidence, postures, camera_from_world);
        // Neither where it ought to be: perhaps each is where the other ought to be.
        let misplaced = |by: Option<f64>| by.is_none_or(|by| by.abs() > WRONG_LENGTH);
        let nowhere = self.arms.iter().zip(longer).all(|(arm, by)| !arm.is_aligned() && misplaced(by));
        let crossed = nowhere && {
            let [one, two] = *postures;
            let exchanged = self.longer(input, evidence, &[two, one], camera_from_world);
            exchanged.into_iter().all(|by| by.is_some_and(|by| by.abs() < 0.5 * WRONG_LENGTH))
        };
        for (index, arm) in self.arms.iter_mut().enumerate() {
            let (motion, swapped) = (self.time.motion(index), self.swapped);
            arm.findings.look(&Noticed { motion, longer: longer[index], crossed, swapped });
        }
    }

    /// [`Arm::longer`] of every arm that is not aligned, with these postures.
    fn longer(
        &self,
        input: &FusionInput,
        evidence: &Evidence,
        postures: &[Option<Posture>; MAX_ARMS],
        camera_from_world: &Isometry3<f64>,
    ) -> [Option<f64>; MAX_ARMS] {
        let mut out = [None; MAX_ARMS];
        if self.arms.iter().all(Arm::is_aligned) {
            return out;
        }
        let rig = &input.frame.rig;
        let skeletons: Vec<Option<Skeleton>> = (self.arms.iter().zip(postures))
            .map(|(arm, posture)| arm.long_skeleton(posture.as_ref()?, camera_from_world, rig))
            .collect();
        let size = (input.frame.left.width(), input.frame.left.height());
        let mask = Mask::new(&input.segmentation.labels, size, &skeletons, self.params.min_blob_px);
        let Some(mask) = mask else { return out };
        let keypoints = &input.segmentation.keypoints;
        let picture = Picture { mask: &mask, pictures: &evidence.pictures, rig, keypoints };
        for (index, (arm, posture)) in self.arms.iter().zip(postures).enumerate() {
            let posture = posture.as_ref().filter(|_| !arm.is_aligned());
            out[index] = posture.and_then(|posture| arm.longer(posture, index, &picture, camera_from_world));
        }
        out
    }

    /// Whether the picture is newer than the last one; counts when not.
    fn note_stamp(&mut self, stamp: Stamp) -> bool {
        match self.last_frame {
            Some(last) if stamp == last => {
                self.stats.duplicate_frames += 1;
                return false;
            }
            Some(last) if stamp < last => {
                if last.seconds_since(stamp) < self.params.clock_reset_s {
                    self.stats.backward_frames += 1;
                    return false;
                }
                self.stats.clock_resets += 1;
                self.arms.iter_mut().for_each(Arm::clock_reset);
                self.time.reset();
                self.surface.clear();
                self.grasp.clear();
            }
            _ => {}
        }
        self.last_frame = Some(stamp);
        true
    }

    /// Looks up a history, counting refusals and extrapolations.
    fn state_at(stats: &mut FusionStats, arm: ArmId, history: &KinematicsHistory, stamp: Stamp) -> Option<ArmState> {
        match history.at(stamp) {
            Lookup::Interpolated(s) => Some(s),
            Lookup::Extrapolated(s) => {
                stats.joints_extrapolated[arm.index()] += 1;
                Some(s)
            }
            Lookup::Refused(_) => {
                stats.joints_refused[arm.index()] += 1;
                None
            }
        }
    }

    /// Where the camera was, if the ECM's joints are known then; remembered.
    fn camera_at(&mut self, stamp: Stamp) -> Option<Pose<World, Camera>> {
        let state = Self::state_at(&mut self.stats, ArmId::Ecm, &self.ecm, stamp)?;
        let pose = self.cell.world_from_camera(&state.position).ok()?;
        self.world_from_camera = pose;
        Some(pose)
    }

    fn postures(&mut self, stamp: Stamp) -> [Option<Posture>; MAX_ARMS] {
        let mut out = [None; MAX_ARMS];
        for (slot, arm) in out.iter_mut().zip(&self.arms) {
            *slot = Self::state_at(&mut self.stats, arm.id, &arm.history, stamp).and_then(|s| arm.posture(&s));
        }
        out
    }

    /// The pictures, if they may be believed.
    fn evidence(&mut self, input: &FusionInput) -> Option<Evidence> {
        if input.segmentation.stamp != input.frame.stamp {
            self.stats.mismatched_segmentations += 1;
            return None;
        }
        let weight = match input.segmentation.quality.verdict {
            QualityVerdict::Good => 1.0,
            QualityVerdict::Degraded | QualityVerdict::Unknown => DEGRADED_WEIGHT,
            QualityVerdict::Unusable => return None,
        };
        let pictures = Pictures::new(&input.frame).filter(|_| is_usable(&input.frame.rig));
        if pictures.is_none() {
            self.stats.malformed_pictures += 1;
        }
        Some(Evidence { pictures: pictures?, weight })
    }

    fn mask(
        &mut self,
        input: &FusionInput,
        postures: &[Option<Posture>; MAX_ARMS],
        camera_from_world: &Isometry3<f64>,
    ) -> Option<Mask> {
        let rig = &input.frame.rig;
        let skeletons: Vec<Option<Skeleton>> = self
            .arms
            .iter()
            .zip(postures)
            .map(|(arm, posture)| arm.skeleton(posture.as_ref()?, camera_from_world, rig))
            .collect();
        let size = (input.frame.left.width(), input.frame.left.height());
        let mask = Mask::new(&input.segmentation.labels, size, &skeletons, self.params.min_blob_px);
        match &mask {
            Some(mask) => self.stats.unknown_label_pixels += mask.unknown_labels as u64,
            None => self.stats.malformed_pictures += 1,
        }
        mask
    }

    fn see_surface(&mut self, input: &FusionInput, evidence: &Evidence, mask: &Mask, tips: &[Tip]) {
        let rig = &input.frame.rig;
        let due = self.pictures_seen.is_multiple_of(self.params.stereo_every);
        self.pictures_seen = self.pictures_seen.wrapping_add(1);
        if self.stereo.as_ref().is_none_or(|(for_rig, _)| for_rig != rig) {
            self.stereo = Stereo::new(rig, &self.params).ok().map(|s| (*rig, s));
        }
        let disparities = match &mut self.stereo {
            Some((_, stereo)) if due => stereo.compute(&evidence.pictures).ok(),
            _ => None,
        };
        if due && disparities.is_none() {
            self.stats.opencv_failures += 1;
        }
        let view = View {
            stamp: input.frame.stamp,
            disparities: disparities.as_ref(),
            pictures: &evidence.pictures,
            mask,
            uncertainty: &input.segmentation.uncertainty,
            rig,
            world_from_camera: self.world_from_camera.iso(),
            bodies: tips.iter().filter(|t| t.aligned).flat_map(|t| t.tool.capsules(surface::BODY_MISFIT)).collect(),
        };
        let tools: Vec<Point3<f64>> = tips.iter().map(|t| t.tool.end).collect();
        self.surface.update(&view, &tools, &self.params);
    }

    fn scene(
        &mut self,
        now: Stamp,
        input: &FusionInput,
        postures: &[Option<Posture>; MAX_ARMS],
        tips: &[Tip],
    ) -> Scene {
        let stamp = input.frame.stamp;
        let tools: Vec<Point3<f64>> = tips.iter().map(|t| t.tool.end).collect();
        // Surface fades by whichever of the two says that more time has passed.
        let surface = self.surface.points(now.max(stamp), &tools, &self.params);
        let eye = Point3::from(self.world_from_camera.translation());
        let arms = &self.arms;
        let grasp_target = self.grasp.find(stamp, &surface, &eye, |p| arms.iter().any(|a| a.reaches(p)), &self.params);
        let seq = self.stats.scenes;
        self.stats.scenes += 1;
        Scene {
            stamp,
            seq,
            world_from_camera: self.world_from_camera,
            hand_eyes: arms.iter().map(Arm::hand_eye).collect(),
            instruments: arms
                .iter()
                .zip(postures)
                .map(|(arm, posture)| arm.estimate(stamp, posture.as_ref(), self.time_sigma(stamp), &self.params))
                .collect(),
            clearances: clearances(tips, &surface),
            surface,
            zones_version: self.surface.version(),
            grasp_target,
            quality: input.segmentation.quality.clone(),
            model: input.segmentation.model,
            time: self.time.offset(stamp, &self.params),
        }
    }
}

/// Whether a camera model can be computed with.
fn is_usable(rig: &StereoRig) -> bool {
    let c = &rig.left;
    let positive = [c.fx, c.fy, rig.baseline].iter().all(|v| v.is_finite() && *v > 0.0);
    positive && c.cx.is_finite() && c.cy.is_finite()
}

//! Everything fusion keeps about one instrument arm.

use crate::{
    FusionError,
    borne_out::BorneOut,
    clearance::Tip,
    evidence::{Picture, features},
    feature::{Feature, FeatureKind},
    findings::Findings,
    geometry::{clip_near, project},
    hand_eye::HandEyeFilter,
    history::KinematicsHistory,
    mask::Skeleton,
    params::FusionParams,
    plausible::Plausibility,
    residual::{Agreement, agreement},
    shaft::fit_shaft,
    timing::Bases,
    tool::{Part, Seams, Tool},
    verdict::{Sight, Verdict},
};
use nalgebra::{Isometry3, Matrix3, Matrix6, Point2, Point3, SymmetricEigen, Vector3};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_types::{
    Alignment, ArmId, ArmState, CameraModel, Finding, HandEye, InstrumentEstimate, Joints, Pose, Stamp, StereoRig,
    World,
};

/// Fastest an instrument is assumed to move while its joints are unknown, m/s.
const UNKNOWN_SPEED: f64 = 0.1;
/// Speed of a tip that moves quickly, m/s.
const QUICK: f64 = 0.05;
/// Cap on the doubt about an instrument whose joints are unknown, m.
const UNKNOWN_REACH: f64 = 0.05;
/// While contradicted, the estimate is thrown away this often, s.
const RETRY: f64 = 3.0;
/// Time that a picture without one before it stands for, s: it is worth what any other picture of a sequence is, so that if it alone is wrong
/// the next ones can say so.
const FIRST: f64 = 0.02;

/// Fewest features of which a share means anything.
const MIN_FEATURES: usize = 5;

/// One instrument arm.
#[derive(Debug)]
pub struct Arm {
    /// Which.
    pub id: ArmId,
    /// Its recent joints.
    pub history: KinematicsHistory,
    chain: Chain,
    radii: [f64; 3],
    seams: Seams,
    filter: HandEyeFilter,
    verdict: Verdict,
    version: u64,
    version_pose: Isometry3<f64>,
    last_update: Option<Stamp>,
    movement: Movement,
    retried: Option<Stamp>,
    afresh: Afresh,
    /// Whether the estimate was aligned since it was last opened.
    settled: bool,
    borne_out: BorneOut,
    /// Whether its joints can be.
    pub plausibility: Plausibility,
    /// What was noticed to be wrong.
    pub findings: Findings,
    /// What is wrong, as of the last picture.
    pub finding: Finding,
}

/// Where the nominal tip was before the camera, and what movement since the last picture means: a tool at rest is seen with the same
/// errors again and again, and its errors hardly change.
#[derive(Debug, Clone, Copy, Default)]
struct Movement {
    /// Evidence already taken at about this place, in independent pictures.
    spent: f64,
    /// The tip before the camera by nominal kinematics, when it was last known.
    place: Option<Isometry3<f64>>,
    when: Option<Stamp>,
}

impl Movement {
    /// Metres of movement that a radian counts as.
    const LEVER: f64 = 0.02;
    /// What was seen at a place is forgotten in this time, s: mounts creep.
    const MEMORY: f64 = 60.0;
    /// Speed of ordinary motion, m/s: from there on errors walk as parametrised.
    const ORDINARY: f64 = 0.01;
    /// At rest they walk as far in this share of the time.
    const AT_REST: f64 = 0.1;

    /// Until the picture at `stamp`; returns the time over which errors walked, s. A stamp that does not advance adds nothing.
    fn advance(&mut self, stamp: Stamp, place: Option<Isometry3<f64>>, params: &FusionParams) -> f64 {
        let dt = self.when.replace(stamp).map_or(0.0, |before| stamp.seconds_since(before)).max(0.0);
        let (Some(there), Some(here)) = (self.place, place) else {
            self.place = place.or(self.place);
            return dt;
        };
        self.place = place;
        let moved = (here.translation.vector - there.translation.vector).norm()
            + Self::LEVER * here.rotation.angle_to(&there.rotation);
        self.spent *= (-moved / params.novel_m - dt / Self::MEMORY).exp();
        (moved / Self::ORDINARY).clamp(Self::AT_REST * dt, dt)
    }

    /// The share in (0, 1] that the picture just advanced to is worth, which is spent with it.
    fn share(&mut self, fresh: f64, params: &FusionParams) -> f64 {
        let share = (1.0 - self.spent / params.rest_evidence).clamp(1e-3, 1.0);
        self.spent += fresh * share;
        share
    }
}

/// How often, since it was last aligned, an instrument was looked at afresh, and when.
#[derive(Debug, Clone, Copy, Default)]
struct Afresh {
    times: u32,
    last: Option<Stamp>,
}

impl Afresh {
    /// Share of what a place can tell after which it has told.
    const SPENT: f64 = 0.8;
    /// Least time from the first to the second, s; it doubles from one to the next.
    const PAUSE: f64 = 3.0;
    /// Longest pause, s.
    const LONGEST: f64 = 60.0;

    fn is_due(&self, now: Stamp) -> bool {
        let pause = Self::PAUSE * f64::from(2u32.saturating_pow(self.times.saturating_sub(1)));
        self.last.is_none_or(|last| now.seconds_since(last) >= pause.min(Self::LONGEST))
    }

    fn begun(&mut self, now: Stamp) {
        *self = Self { times: self.times.saturating_add(1), last: Some(now) };
    }
}

/// An arm at the instant of one picture.
#[derive(Debug, Clone, Copy)]
pub struct Posture {
    /// Joints and jaw at the picture's stamp.
    pub state: ArmState,
    /// Geometry in base coordinates.
    pub tool: Tool,
    /// Tip in base coordinates.
    pub base_from_tip: Isometry3<f64>,
}

/// One look of one arm at one picture.
pub struct Look<'a> {
    /// Stamp of the picture.
    pub stamp: Stamp,
    /// Where the arm was then.
    pub posture: &'a Posture,
    /// The arm's index in masks.
    pub index: usize,
    /// The picture.
    pub picture: &'a Picture<'a>,
    /// Where the camera was then.
    pub camera_from_world: &'a Isometry3<f64>,
    /// How much the picture is worth, in (0, 1].
    pub weight: f64,
    /// Doubt about the picture's time among the joints, s.
    pub time_sigma: f64,
}

/// Points of an instrument that are followed through the pictures to compare times: end of the shaft, middle of wrist and of jaws.
pub const FOLLOWED: usize = 3;

/// The followed points of an instrument, as a camera at the origin shows them; `None` behind it.
pub fn followed(tool: &Tool, camera: &CameraModel) -> [Option<Point2<f64>>; FOLLOWED] {
    let middle = |part, otherwise| Some(tool.middle(part).map_or(otherwise, |(p, _)| p));
    [tool.shaft_rim(), middle(Part::Wrist, tool.yaw), middle(Part::Jaws, tool.end)].map(|p| project(camera, &p?))
}

/// Where a picture showed them.
pub type Sighted = [Option<Point2<f64>>; FOLLOWED];

impl Arm {
    /// At the cell's nominal pose, with an instrument by name.
    pub fn new(id: ArmId, instrument: &str, cell: &Cell, params: &FusionParams) -> Result<Self, FusionError> {
        let instrument = Instrument::named(instrument)?;
        let nominal = *cell.world_from_base(id).iso();
        Ok(Self {
            id,
            history: KinematicsHistory::new(params.history_bounds()),
            chain: Chain::psm(&instrument)?,
            radii: [instrument.shaft_radius, instrument.wrist_radius, 0.5 * instrument.jaw_width],
            seams: Seams { shaft_end: params.shaft_end_m, wrist_end: params.wrist_end_m },
            filter: HandEyeFilter::new(nominal, params),
            verdict: Verdict::default(),
            version: 0,
            version_pose: nominal,
            last_update: None,
            movement: Movement::default(),
            retried: None,
            afresh: Afresh::default(),
            settled: false,
            borne_out: BorneOut::default(),
            plausibility: Plausibility::default(),
            findings: Findings::default(),
            finding: Finding::None,
        })
    }

    /// Stands nominally at `world_from_base`; before anything is learnt.
    pub fn stand(&mut self, world_from_base: Isometry3<f64>, params: &FusionParams) {
        self.filter = HandEyeFilter::new(world_from_base, params);
        self.version_pose = world_from_base;
    }

    /// Whether the last verdict was that picture and kinematics agree.
    pub fn is_aligned(&self) -> bool {
        self.verdict.alignment() == Alignment::Aligned
    }

    /// Where its base is.
    pub fn bases(&self) -> Bases {
        Bases { believed: *self.filter.pose(), nominal: *self.filter.nominal() }
    }

    /// The estimator.
    pub fn filter(&self) -> &HandEyeFilter {
        &self.filter
    }

    /// Geometry at joints that are within the chain's length; `None` only for joints of the wrong length.
    pub fn posture(&self, state: &ArmState) -> Option<Posture> {
        let links = self.chain.links(&state.position).ok()?;
        let yaw = Point3::from(links.jaw.translation.vector);
        let reach = links.jaw_end - yaw;
        let (aside, ahead) = (0.5 * state.jaw).sin_cos();
        let tool = Tool {
            top: Point3::origin(),
            pitch: Point3::from(links.shaft.translation.vector),
            yaw,
            end: yaw + reach * ahead.max(0.0),
            spread: links.jaw.rotation * Vector3::y() * (reach.norm() * aside),
            radii: self.radii,
            seams: self.seams,
        };
        Some(Posture { state: *state, tool, base_from_tip: links.tip })
    }

    /// How much longer the instrument looks than it is configured to be, m: how far along its own nominal axis the end of its shaft must be
    /// pushed to come nearest to the end that is seen. `None` where no end is seen, or where it lies off the axis.
    pub fn longer(
        &self,
        posture: &Posture,
        index: usize,
        picture: &Picture<'_>,
        camera_from_world: &Isometry3<f64>,
    ) -> Option<f64> {
        /// Farthest that is tried, mm.
        const REACH: i32 = 80;
        /// Farthest off the axis, px.
        const OFF: f64 = 120.0;
        let camera = &picture.rig.left;
        let tool = posture.tool.transformed(&(camera_from_world * self.filter.nominal()));
        let axis = (tool.pitch - tool.top).try_normalize(1e-9)?;
        let pushed = |mm: i32| project(camera, &(tool.pitch + axis * (f64::from(mm) * 1e-3 - tool.seams.shaft_end)));
        let (far, near) = (pushed(REACH)?, (-REACH..REACH).find_map(pushed)?);
        let hint = (far - near).try_normalize(1e-6)?;
        let seen = fit_shaft(picture.mask, picture.pictures, index, &hint)?.end?;
        let off = |mm: i32| pushed(mm).map_or(f64::INFINITY, |p| (p - seen).norm());
        let best = (-REACH..=REACH).min_by(|a, b| off(*a).total_cmp(&off(*b)))?;
        (off(best) < OFF).then(|| f64::from(best) * 1e-3)
    }

    /// As [`Arm::skeleton`], by the nominal base and reaching beyond the configured instrument as far as [`Arm::longer`] looks.
    pub fn long_skeleton(
        &self,
        posture: &Posture,
        camera_from_world: &Isometry3<f64>,
        rig: &StereoRig,
    ) -> Option<Skeleton> {
        const BEYOND: f64 = 0.08;
        let tool = posture.tool.transformed(&(camera_from_world * self.filter.nominal()));
        let axis = (tool.pitch - tool.top).try_normalize(1e-9)?;
        let (a, b) = clip_near(tool.top, tool.pitch + axis * BEYOND)?;
        let (a, b) = (project(&rig.left, &a)?, project(&rig.left, &b)?);
        Some(Skeleton { segments: vec![(a, b, 0.0)], gate: 150.0 })
    }

    /// Velocity of the tip in base coordinates, m/s.
    fn tip_velocity(&self, posture: &Posture) -> Vector3<f64> {
        const AHEAD: f64 = 0.005;
        let ahead = posture.state.position.zip_with(&posture.state.velocity, |q, v| q + v * AHEAD);
        let there = ahead.and_then(|q| self.chain.fk(&q).ok());
        there.map_or_else(Vector3::zeros, |p| (p.translation() - posture.base_from_tip.translation.vector) / AHEAD)
    }

    /// Lets time pass until the picture at `stamp`; a stamp that does not advance adds nothing.
    pub fn advance(
        &mut self,
        stamp: Stamp,
        posture: Option<&Posture>,
        camera_from_world: &Isometry3<f64>,
        params: &FusionParams,
    ) {
        let place = posture.map(|p| camera_from_world * self.filter.nominal() * p.base_from_tip);
        let walked = self.movement.advance(stamp, place, params);
        self.filter.predict(walked, params);
    }

    /// What was learnt is in doubt altogether.
    fn doubt(&mut self) {
        self.filter.reopen();
        self.settled = false;
        self.last_update = None;
        self.movement.spent = 0.0;
    }

    /// What was learnt was learnt with joints of another time, by so many seconds.
    pub fn retime(&mut self, by: f64, params: &FusionParams) {
        let far = by * QUICK;
        if far >= params.prior_translation_m {
            self.doubt();
            return;
        }
        self.filter.widen(far);
        self.last_update = None;
        self.movement.spent = 0.0;
    }

    /// The clock was set back: times are forgotten, the estimate is not.
    pub fn clock_reset(&mut self) {
        self.last_update = None;
        self.retried = None;
        self.afresh = Afresh::default();
        self.movement = Movement::default();
        self.verdict = Verdict::default();
        self.borne_out = BorneOut::default();
    }

    /// Largest standard deviation of the tip's position, m.
    pub fn tip_sigma(&self, posture: &Posture) -> f64 {
        let tip = self.filter.pose() * posture.tool.yaw;
        let position: Matrix3<f64> = self.filter.covariance_of(&tip).fixed_view::<3, 3>(0, 0).into_owned();
        SymmetricEigen::new(position).eigenvalues.max().max(0.0).sqrt()
    }

    /// Projected axes for finding this arm's pixels; `None` when all of it lies behind the camera.
    pub fn skeleton(&self, posture: &Posture, camera_from_world: &Isometry3<f64>, rig: &StereoRig) -> Option<Skeleton> {
        /// Slack of the mask and of the model, px.
        const SLACK: f64 = 16.0;
        let tool = posture.tool.transformed(&(camera_from_world * self.filter.pose()));
        let mut segments = Vec::with_capacity(3);
        for part in Part::ALL {
            let (a, b, radius) = tool.part(part);
            let Some((a, b)) = clip_near(a, b) else { continue };
            if let (Some(pa), Some(pb)) = (project(&rig.left, &a), project(&rig.left, &b)) {
                segments.push((pa, pb, radius * rig.left.fx / b.z));
            }
        }
        let depth = tool.yaw.z.max(0.02);
        let gate = 3.0 * self.tip_sigma(posture) * rig.left.fx / depth + SLACK;
        (!segments.is_empty()).then_some(Skeleton { segments, gate })
    }

    /// Learns from a picture and says what it showed, and where the followed points were.
    pub fn look(&mut self, look: &Look<'_>, params: &FusionParams) -> opencv::Result<(Sight, Sighted)> {
        let Look { stamp, posture, index, picture, camera_from_world, weight, time_sigma } = *look;
        let expected = posture.tool.transformed(&(camera_from_world * self.filter.pose()));
        let depth = expected.yaw.z.max(0.02);
        let disparity_sigma = self.tip_sigma(posture) * picture.rig.left.fx * picture.rig.baseline / (depth * depth);
        let mut features = features(picture, index, &expected, disparity_sigma, params);
        // The instrument may have been somewhat farther on its way.
        let blur = time_sigma * self.tip_velocity(posture).norm() * picture.rig.left.fx / depth;
        features.iter_mut().for_each(|f| f.blur(blur));
        // Successive pictures repeat each other's errors: only the time between them is new evidence.
        let since = self.last_update.map_or(FIRST, |t| stamp.seconds_since(t));
        let fresh = (since / params.decorrelation_s).clamp(1e-3, 1.0);
        let weight = weight * fresh * self.movement.share(fresh, params);
        let update = self.filter.update(&features, &posture.tool, camera_from_world, picture.rig, weight, params);
        if update.is_some_and(|u| u.used > 0) {
            self.last_update = Some(stamp);
        }
        let seen = posture.tool.transformed(&(camera_from_world * self.filter.pose()));
        let agreement = agreement(picture.mask, picture.pictures, index, &seen, &picture.rig.left)?;
        let mut sight = self.sight(posture, &agreement, update, depth, picture.rig, params);
        if let Sight::Seen { borne_out, .. } = &mut sight {
            let pixel = depth * depth / (picture.rig.left.fx * picture.rig.baseline);
            let stereo = features.iter().filter(|f| matches!(f.kind, FeatureKind::Disparity { .. }));
            // In metres, less what is within twice its noise: a pixel is 1 mm at 50 mm, and 5 mm at 110 mm.
            let off = stereo.filter_map(|f| {
                let px = f.residual(&expected, picture.rig)?;
                Some(if px.abs() <= 2.0 * f.sigma { 0.0 } else { px * pixel })
            });
            if self.borne_out.observe(stamp, off, params) {
                self.doubt();
            }
            *borne_out = self.borne_out.holds();
        }
        Ok((sight, sighted(&features)))
    }

    fn sight(
        &self,
        posture: &Posture,
        agreement: &Agreement,
        update: Option<crate::hand_eye::Update>,
        depth: f64,
        rig: &StereoRig,
        params: &FusionParams,
    ) -> Sight {
        let tip_sigma = self.tip_sigma(posture);
        if agreement.hidden {
            Sight::Blind
        } else if let (Some(residual_px), update) = (agreement.residual_px, update) {
            let rejected = update.map_or(0.0, |u| {
                let all = u.used + u.rejected;
                if all < MIN_FEATURES { 0.0 } else { u.rejected as f64 / all as f64 }
            });
            let (metres, radians) = self.filter.correction();
            let implausible = metres > params.max_correction_m || radians > params.max_correction_rad;
            let pixel_m = depth / rig.left.fx;
            Sight::Seen { residual_px, pixel_m, rejected, tip_sigma, implausible, borne_out: self.borne_out.holds() }
        } else {
            // The less sure we are where it is, the more of it must be expected in view to be missed.
            let doubt = (2.0 * tip_sigma * rig.left.fx / depth / 4.0) as usize;
            let expected = agreement.should_be_seen() && agreement.expected > 10 + doubt;
            match (expected, 2 * agreement.covered > agreement.expected) {
                (true, false) => Sight::Missing,
                (true, true) => Sight::Blind,
                (false, _) => Sight::OutOfView,
            }
        }
    }

    /// Draws the verdict on what the picture showed. Returns whether the instrument is looked at afresh from here on, because all that could
    /// be seen of it did not suffice.
    pub fn conclude(&mut self, stamp: Stamp, sight: Sight, params: &FusionParams) -> bool {
        let just_contradicted = self.verdict.observe(stamp, sight, params);
        if self.verdict.alignment() == Alignment::Inconsistent {
            self.retry(stamp, sight, just_contradicted, params);
            return false;
        }
        self.settled |= self.is_aligned();
        self.retried = None;
        self.look_afresh(stamp, sight, params)
    }

    /// An instrument at rest whose pictures are spent and that is still not known well enough would stay so for ever: nothing new is to
    /// be learnt, and nobody may move. What its first pictures said of its depth was wrong then, and what would put it right is looked for too
    /// near. So what it believes is opened, and the second time thrown away, each time after twice as long.
    fn look_afresh(&mut self, stamp: Stamp, sight: Sight, params: &FusionParams) -> bool {
        if self.is_aligned() {
            self.afresh = Afresh::default();
            return false;
        }
        let spent = self.movement.spent >= Afresh::SPENT * params.rest_evidence;
        if !(spent && matches!(sight, Sight::Seen { .. }) && self.afresh.is_due(stamp)) {
            return false;
        }
        if self.afresh.times.is_multiple_of(2) {
            self.filter.reopen();
        } else {
            self.filter.reset();
        }
        self.afresh.begun(stamp);
        self.last_update = None;
        self.movement.spent = 0.0;
        true
    }

    /// What follows from a contradiction, when it comes and while it lasts.
    fn retry(&mut self, stamp: Stamp, sight: Sight, just_contradicted: bool, params: &FusionParams) {
        let overdue = self.retried.is_some_and(|t| stamp.seconds_since(t) > RETRY);
        let misfits = self.verdict.misfit_px() > params.inconsistent_px;
        match sight {
            Sight::Seen { implausible: true, .. } if just_contradicted => self.filter.reset(),
            // What was right before is kept until then: more often than a mount has slipped, something lies before the instrument.
            Sight::Seen { .. } if just_contradicted && self.settled => {
                self.retried = Some(stamp);
                return;
            }
            Sight::Seen { .. } if just_contradicted || (overdue && misfits && self.settled) => self.filter.reopen(),
            Sight::Seen { .. } if overdue && misfits => self.filter.reset(),
            _ if just_contradicted => {}
            _ => return,
        }
        self.settled = false;
        self.retried = Some(stamp);
        self.last_update = None;
        self.movement.spent = 0.0;
    }

    /// Raises the version if the tip, as it is now, lies elsewhere than with the last version's estimate.
    pub fn settle_version(&mut self, base_from_tip: &Isometry3<f64>, params: &FusionParams) {
        let (now, then) = (self.filter.pose() * base_from_tip, self.version_pose * base_from_tip);
        let moved = (now.translation.vector - then.translation.vector).norm();
        let turned = now.rotation.angle_to(&then.rotation);
        if moved > params.version_tip_m || turned > params.version_tip_rad {
            self.version += 1;
            self.version_pose = *self.filter.pose();
        }
    }

    /// The estimate of the base as published.
    pub fn hand_eye(&self) -> HandEye {
        HandEye {
            arm: self.id,
            world_from_base: Pose::new(*self.filter.pose()),
            covariance: self.filter.covariance_in_world(),
            version: self.version,
        }
    }

    /// The estimate of the instrument as published, for a picture whose time among the joints is known to `time_sigma`, s. Without a
    /// posture: at the last known joints (or zero), with the doubt of the time since, and the verdict `Unknown` that
    /// [`Sight::NoKinematics`] left.
    pub fn estimate(
        &self,
        stamp: Stamp,
        posture: Option<&Posture>,
        time_sigma: f64,
        params: &FusionParams,
    ) -> InstrumentEstimate {
        let (joints, jaw, reach) = match (posture, self.history.newest()) {
            (Some(p), _) => (p.state.position, p.state.jaw, 0.0),
            (None, Some(s)) => {
                let away = stamp.seconds_since(s.stamp).abs() * UNKNOWN_SPEED;
                (s.position, s.jaw, away.min(UNKNOWN_REACH))
            }
            (None, None) => (Joints::zeros(self.id.dof()), 0.0, UNKNOWN_REACH),
        };
        let base_from_tip = posture.map(|p| p.base_from_tip).or_else(|| self.chain.fk(&joints).ok().map(|p| *p.iso()));
        let world_from_tip = self.filter.pose() * base_from_tip.unwrap_or_else(Isometry3::identity);
        let at = Point3::from(world_from_tip.translation.vector);
        let floor = params.tip_floor_m.powi(2) + reach * reach;
        let mut covariance: Matrix6<f64> = self.filter.covariance_of(&at);
        for i in 0..3 {
            covariance[(i, i)] += floor;
            // A tool of unknown joints points anywhere; one of known joints to about half a degree.
            covariance[(i + 3, i + 3)] += if posture.is_some() { 8e-5 } else { 1.0 };
        }
        let walked = posture.map_or_else(Vector3::zeros, |p| self.tip_velocity(p) * time_sigma);
        let walked = self.filter.pose() * walked;
        let mut position = covariance.fixed_view_mut::<3, 3>(0, 0);
        position += walked * walked.transpose();
        let finding = self.finding;
        let alignment = match (self.verdict.alignment(), finding) {
            (alignment, Finding::None) => alignment,
            (Alignment::Aligned, Finding::TimeUnknown | Finding::BadPose) => Alignment::Converging,
            (alignment, Finding::TimeUnknown | Finding::BadPose) => alignment,
            _ => Alignment::Inconsistent,
        };
        InstrumentEstimate {
            arm: self.id,
            joints,
            jaw,
            world_from_tip: Pose::<World, _>::new(world_from_tip),
            covariance,
            alignment,
            residual_px: self.verdict.residual_px(),
            finding,
        }
    }

    /// Wrist and jaws in the world, for clearances.
    pub fn tip(&self, posture: &Posture, params: &FusionParams) -> Tip {
        let tool = posture.tool.transformed(self.filter.pose());
        let mut covariance = self.filter.covariance_of(&tool.yaw);
        for i in 0..3 {
            covariance[(i, i)] += params.tip_floor_m.powi(2);
        }
        Tip { arm: self.id, tool, covariance, aligned: self.verdict.alignment() == Alignment::Aligned }
    }

    /// Whether the jaws, with a straight wrist, can be brought to a point of the world.
    pub fn reaches(&self, point: &Point3<f64>) -> bool {
        let p = self.filter.pose().inverse() * point;
        let Some(z) = p.coords.try_normalize(1e-6) else { return false };
        // Any turn about the shaft will do: take the one whose x is nearest to the base's x.
        let Some(x) = (nalgebra::Vector3::x() - z * z.x).try_normalize(1e-6) else { return false };
        let rotation = nalgebra::Rotation3::from_matrix_unchecked(Matrix3::from_columns(&[x, z.cross(&x), z]));
        let target = Isometry3::from_parts(p.coords.into(), nalgebra::UnitQuaternion::from_rotation_matrix(&rotation));
        self.chain.ik(&Pose::new(target), &self.chain.mid_range()).solution().is_some()
    }
}

/// The followed points among a picture's features.
fn sighted(features: &[Feature]) -> Sighted {
    let mut out = [None; FOLLOWED];
    for feature in features {
        match feature.kind {
            FeatureKind::ShaftEnd { at, .. } => out[0] = Some(at),
            FeatureKind::Middle { part: Part::Wrist, at, .. } => out[1] = Some(at),
            FeatureKind::Middle { part: Part::Jaws, at, .. } => out[2] = Some(at),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn errors_walk_with_movement_and_creep_at_rest() {
        let params = FusionParams::default();
        let at = |x: f64| Some(Isometry3::translation(x, 0.0, 0.05));
        let second = |n: u64| Stamp::FIRST.plus(Duration::from_secs(n));
        let mut m = Movement::default();
        assert_eq!(m.advance(second(0), at(0.0), &params), 0.0);
        assert!((m.advance(second(1), at(0.0), &params) - 0.1).abs() < 1e-12, "rest");
        assert!((m.advance(second(2), at(0.005), &params) - 0.5).abs() < 1e-12, "half of ordinary speed");
        assert_eq!(m.advance(second(3), at(0.5), &params), 1.0, "fast");
        assert_eq!(m.advance(second(4), None, &params), 1.0, "joints unknown: anything may have happened");
        assert_eq!(m.advance(second(4), at(0.5), &params), 0.0, "no time, no walk");
    }

    #[test]
    fn at_rest_what_is_not_known_well_enough_when_its_pictures_are_spent_is_looked_at_afresh() {
        let params = FusionParams::default();
        let name = "LARGE_NEEDLE_DRIVER_400006";
        // The outline fits; the depth was told wrongly by the first picture and is not known well enough.
        let seen = Sight::Seen {
            residual_px: 8.0,
            pixel_m: 8.1e-5,
            rejected: 0.0,
            tip_sigma: 0.0016,
            implausible: false,
            borne_out: true,
        };
        let mut arm = Arm::new(ArmId::Psm1, name, &Cell::standard().unwrap(), &params).unwrap();
        let prior = *arm.filter.covariance_at_base();
        let (mut before, mut afresh) = (Vec::new(), Vec::new());
        for k in 0..300_u64 {
            let now = Stamp::FIRST.plus(Duration::from_millis(33 * k));
            arm.advance(now, None, &Isometry3::identity(), &params);
            arm.movement.share(0.033 / params.decorrelation_s, &params);
            before.push(arm.movement.spent);
            if arm.conclude(now, seen, &params) {
                assert_eq!(*arm.filter.covariance_at_base(), prior, "opened");
                assert_eq!(arm.movement.spent, 0.0, "what is seen counts again");
                afresh.push(k);
            }
        }
        assert!(before[afresh[0] as usize] >= 0.8 * params.rest_evidence, "not before it has told: {before:?}");
        assert_eq!(afresh.len(), 2, "again after three seconds, then after six: {afresh:?}");
        // One that is out of sight, or moves so that there is more to be learnt, is left alone.
        for (sight, spent) in [(Sight::Blind, params.rest_evidence), (seen, 0.5 * params.rest_evidence)] {
            let mut arm = Arm::new(ArmId::Psm1, name, &Cell::standard().unwrap(), &params).unwrap();
            arm.movement.spent = spent;
            assert!(!arm.conclude(Stamp::FIRST, sight, &params), "{sight:?}, {spent}");
        }
    }

    #[test]
    fn what_was_aligned_is_kept_through_single_bad_pictures_and_opened_by_a_misfit_that_lasts() {
        let params = FusionParams::default();
        let seen = |residual_px| Sight::Seen {
            residual_px,
            pixel_m: 8.1e-5,
            rejected: 0.4,
            tip_sigma: 5e-4,
            implausible: false,
            borne_out: true,
        };
        // Aligned for a second, then as it is seen at every picture of ten seconds: when it was opened, and when thrown away, s after.
        let opened = |sight: &dyn Fn(u64) -> f64| {
            let cell = Cell::standard().unwrap();
            let mut arm = Arm::new(ArmId::Psm1, "LARGE_NEEDLE_DRIVER_400006", &cell, &params).unwrap();
            let at = |k: u64| Stamp::FIRST.plus(Duration::from_millis(33 * k));
            (0..30).for_each(|k| assert!(!arm.conclude(at(k), seen(3.0), &params)));
            assert!(arm.is_aligned());
            let mut times = Vec::new();
            for k in 30..330 {
                arm.last_update = Some(at(k));
                arm.conclude(at(k), seen(sight(k)), &params);
                if arm.last_update.is_none() {
                    times.push(0.033 * (k - 30) as f64);
                }
            }
            (times, arm.verdict.alignment())
        };
        // Something before it for a second; then every tenth picture is bad.
        let (times, now) = opened(&|k| if k < 60 || k.is_multiple_of(10) { 30.0 } else { 9.0 });
        assert!(times.is_empty() && now == Alignment::Inconsistent, "{times:?} {now:?}");
        // A mount that slipped: a contradiction after 0.7 s, opened 3 s later, and thrown away every 3 s after that.
        let (times, _) = opened(&|_| 30.0);
        assert!(times.len() == 3 && times.iter().zip([3.7, 6.7, 9.7]).all(|(t, e)| (t - e).abs() < 0.1), "{times:?}");
        // What fits again is aligned again.
        assert_eq!(opened(&|k| if k < 60 { 30.0 } else { 3.0 }), (vec![], Alignment::Aligned));
    }

    #[test]
    fn joints_of_another_time_put_in_doubt_what_a_quick_tip_goes_in_that_time() {
        let params = FusionParams::default();
        let mut arm = Arm::new(ArmId::Psm1, "LARGE_NEEDLE_DRIVER_400006", &Cell::standard().unwrap(), &params).unwrap();
        let doubt = |arm: &Arm| arm.filter.covariance_at_base()[(0, 0)].sqrt();
        let prior = doubt(&arm);
        arm.retime(0.04, &params);
        assert!((doubt(&arm) - prior.hypot(0.002)).abs() < 1e-12);
        arm.retime(0.2, &params);
        assert_eq!(doubt(&arm), prior, "nothing of what was learnt holds");
    }

    #[test]
    fn looking_afresh_waits_twice_as_long_each_time_and_a_minute_at_most() {
        let (mut afresh, mut due) = (Afresh::default(), Vec::new());
        for s in 0..300 {
            let now = Stamp::FIRST.plus(Duration::from_secs(s));
            if afresh.is_due(now) {
                due.push(s);
                afresh.begun(now);
            }
        }
        assert_eq!(due, [0, 3, 9, 21, 45, 93, 153, 213, 273]);
    }

    #[test]
    fn a_place_is_worth_less_with_every_picture_and_new_again_elsewhere() {
        let params = FusionParams::default();
        let mut m = Movement::default();
        let at = |x: f64| Some(Isometry3::translation(x, 0.0, 0.05));
        m.advance(Stamp::FIRST, at(0.0), &params);
        let shares: Vec<f64> = (0..20).map(|_| m.share(1.0, &params)).collect();
        assert_eq!(shares[0], 1.0);
        assert!(shares.windows(2).all(|s| s[1] < s[0] || s[1] == 1e-3), "{shares:?}");
        m.advance(Stamp::FIRST.plus(Duration::from_millis(100)), at(10.0 * params.novel_m), &params);
        assert!(m.share(1.0, &params) > 0.99);
    }
}

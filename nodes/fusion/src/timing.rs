//! What is believed about the offset between the stamps of pictures and joints, over time: [`OffsetEstimator`] reads the last
//! seconds, this remembers what it said, lets it age, and says when it is not to be trusted.

use crate::{
    arm::{FOLLOWED, Sighted, followed},
    mask::MAX_ARMS,
    offset::{Motion, OffsetEstimator},
    params::FusionParams,
    tool::Tool,
};
use nalgebra::Isometry3;
use proctor_types::{CameraModel, Stamp, TimeOffset, Timing};
use std::collections::VecDeque;

/// How often the estimator is asked, s of picture stamps.
const EVERY: f64 = 0.25;
/// Two readings in a row must agree to this, s.
const AGREE: f64 = 0.02;
/// How long movement may fail to tell before that counts, s.
const PATIENCE: f64 = 1.0;
/// Standard deviation of an offset of which nothing is known but that it is within +-0.5 s, s.
const ANYTHING: f64 = 0.29;

/// Where an arm's joints put its instrument (base coordinates), and where the camera was.
#[derive(Debug, Clone, Copy)]
struct Step {
    t: i64,
    tool: Tool,
    camera_from_world: Isometry3<f64>,
}

/// Where an arm's base is, in the world.
#[derive(Debug, Clone, Copy)]
pub struct Bases {
    /// By the estimate.
    pub believed: Isometry3<f64>,
    /// By the cell's description.
    pub nominal: Isometry3<f64>,
}

/// Steps kept per arm: 13 s.
const STEPS: usize = 1300;
/// Least time between two, ns.
const STEP: i64 = 9_500_000;

#[derive(Debug, Clone, Copy)]
struct Held {
    seconds: f64,
    sigma: f64,
    read: Stamp,
}

impl Held {
    /// What might as well be nothing is not applied: it would only jitter.
    fn applied(&self) -> f64 {
        /// Standard deviations that are something.
        const SURE: f64 = 3.0;
        if self.seconds.abs() > SURE * self.sigma { self.seconds } else { 0.0 }
    }
}

/// The offset as it is believed.
#[derive(Debug)]
pub struct TimeKeeper {
    steps: [VecDeque<Step>; MAX_ARMS],
    /// Every instrument against its own arm's joints.
    own: OffsetEstimator,
    /// Every instrument as if its arm moved as the other arm's joints say.
    crossed: OffsetEstimator,
    held: Option<Held>,
    candidate: Option<f64>,
    unclear_since: Option<Stamp>,
    asked: Option<Stamp>,
    /// Times that a known offset was replaced by another one.
    pub jumps: u64,
}

impl TimeKeeper {
    /// Nothing known.
    pub fn new() -> Self {
        let nothing = || OffsetEstimator::new(MAX_ARMS, FOLLOWED);
        Self {
            steps: Default::default(),
            own: nothing(),
            crossed: nothing(),
            held: None,
            candidate: None,
            unclear_since: None,
            asked: None,
            jumps: 0,
        }
    }

    /// The clock of pictures or joints was set back: nothing that was learnt holds.
    pub fn reset(&mut self) {
        *self = Self { jumps: self.jumps, ..Self::new() };
    }

    /// Takes in where an arm's joints put its instrument at their stamp, base coordinates.
    pub fn joints(&mut self, arm: usize, stamp: Stamp, tool: &Tool, camera: Isometry3<f64>) {
        let Some(steps) = self.steps.get_mut(arm) else { return };
        if steps.back().is_some_and(|s| stamp.nanos() - s.t < STEP) {
            return;
        }
        if steps.len() == STEPS {
            steps.pop_front();
        }
        steps.push_back(Step { t: stamp.nanos(), tool: *tool, camera_from_world: camera });
    }

    /// Takes in where a picture showed an arm's points.
    pub fn picture(&mut self, arm: usize, stamp: Stamp, sighted: Sighted) {
        for (point, at) in sighted.into_iter().enumerate() {
            if let Some(at) = at {
                self.own.picture(arm, point, stamp.nanos(), at);
                self.crossed.picture(arm, point, stamp.nanos(), at);
            }
        }
    }

    /// How an instrument moved lately, against its own arm's joints and against the other's.
    pub fn motion(&self, arm: usize) -> Option<(Motion, Option<Motion>)> {
        Some((self.own.motion(arm)?, self.crossed.motion(arm)))
    }

    /// Says anew where the joints put every point in the picture, with the bases as they are believed to be now: a wrong base bends the
    /// way of a point.
    fn project(&mut self, bases: &[Bases; MAX_ARMS], camera: &CameraModel) {
        self.own.clear_joints();
        self.crossed.clear_joints();
        for (arm, Bases { believed, nominal }) in bases.iter().enumerate() {
            let other = MAX_ARMS - 1 - arm;
            // A base that was learnt with the wrong arm's joints is no base to try the other's on.
            let of_own = (&mut self.own, &self.steps[arm], believed);
            let of_other = (&mut self.crossed, &self.steps[other], nominal);
            for (estimator, steps, world_from_base) in [of_own, of_other] {
                for step in steps {
                    let tool = step.tool.transformed(&(step.camera_from_world * world_from_base));
                    for (point, at) in followed(&tool, camera).into_iter().enumerate() {
                        estimator.joints(arm, point, step.t, at);
                    }
                }
            }
        }
    }

    /// The stamp of the joints of the instant at which a picture was taken.
    pub fn joints_stamp(&self, picture: Stamp) -> Stamp {
        let seconds = self.held.map_or(0.0, |h| h.applied());
        let by = std::time::Duration::from_secs_f64(seconds.abs());
        if seconds < 0.0 { picture.minus(by) } else { picture.plus(by) }
    }

    /// What is believed and not applied, s.
    pub fn ignored(&self) -> f64 {
        self.held.map_or(0.0, |h| h.seconds - h.applied())
    }

    /// Asks the estimator, if it is time to, when the picture at `now` has been taken in; `None` when it is not. Otherwise by how much, s, the
    /// offset that is applied changed, if by more than `params.time_jump_s`: what was learnt with the old one is in doubt.
    pub fn update(
        &mut self,
        now: Stamp,
        bases: &[Bases; MAX_ARMS],
        camera: &CameraModel,
        params: &FusionParams,
    ) -> Option<f64> {
        if self.asked.is_some_and(|t| now.seconds_since(t) < EVERY) {
            return None;
        }
        self.asked = Some(now);
        self.project(bases, camera);
        let reading = self.own.read(self.held.map(|h| h.seconds));
        let confirmed = reading.found.filter(|(seconds, sigma)| {
            *sigma <= params.time_sigma_s && self.candidate.is_some_and(|c| (c - seconds).abs() <= AGREE)
        });
        self.candidate = reading.found.map(|(seconds, _)| seconds);
        if let Some((seconds, sigma)) = confirmed {
            self.unclear_since = None;
            let held = Held { seconds, sigma, read: now };
            let before = self.held.replace(held);
            let by = (held.applied() - before.map_or(0.0, |h| h.applied())).abs();
            let jumped = by > params.time_jump_s;
            self.jumps += u64::from(jumped && before.is_some());
            return Some(if jumped { by } else { 0.0 });
        }
        // A first reading that is too rough to be applied, and within what is reckoned with anyway, is no contradiction.
        let reckoned = |(seconds, sigma): (f64, f64)| seconds.hypot(sigma) < params.time_prior_s;
        let rough = self.held.is_none() && reading.found.is_some_and(reckoned);
        if !reading.telling || reading.held_fits || rough {
            self.unclear_since = None;
        } else {
            self.unclear_since.get_or_insert(now);
        }
        Some(0.0)
    }

    /// What is believed at the picture of `now`.
    pub fn offset(&self, now: Stamp, params: &FusionParams) -> TimeOffset {
        let seconds = self.held.map_or(0.0, |h| h.seconds);
        let aged = |h: Held| h.sigma.hypot(params.time_drift * now.seconds_since(h.read).max(0.0));
        let sigma = self.held.map_or(ANYTHING, aged).min(ANYTHING);
        let unclear = self.unclear_since.is_some_and(|since| now.seconds_since(since) >= PATIENCE);
        match (unclear, sigma <= params.time_sigma_s) {
            (true, _) => TimeOffset { timing: Timing::Unknown, seconds, sigma: ANYTHING },
            (false, true) => TimeOffset { timing: Timing::Known, seconds, sigma },
            (false, false) => TimeOffset { timing: Timing::Untested, seconds, sigma },
        }
    }
}

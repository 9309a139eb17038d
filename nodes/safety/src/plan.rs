//! A proposal made ready to be played: its digest computed afresh, its limits checked, and for every point the largest rate at
//! which the path may be run there.
//!
//! The trajectory is played exactly: every set-point lies on the approved polyline, at path time `tau`, and only the rate
//! `r = d tau / dt` in [0, 1] is free. With `u` the joint velocity of a segment at rate 1:
//! - speed: `r |u_j| <= V_j`, and the tip's speed likewise;
//! - acceleration along a segment: `|u_j| |dr/dt| <= 0.3 A_j`, which gives each segment its `alpha`;
//! - a corner changes the velocity by `r (u' - u)` within one tick: `r |u'_j - u_j| <= 0.65 A_j dt`.
//!
//! A tick that crosses a corner while the rate changes adds the last two, 0.95 A. What a tick changes counts with the `u` in which it
//! begins, so it may use that segment's own bound; planning ahead uses the least of the neighbours'. A backward pass over the points
//! (`b_i^2 <= b_{i+1}^2 + 2 alpha_i (t_{i+1} - t_i)`, `b_last = 0`) makes the rate limits reachable by braking along the path.

use crate::{
    Finding, SafetyParams,
    body::Body,
    dofs::{Bounds, DT, LIMIT_USE, PerArm, Q, map2, worst_index, worst_ratio},
};
use proctor_types::{ArmId, Constraint, Digest, PlannedWith, Proposal, ProposalId, Skill, Stamp};

/// Part of the acceleration limit for changes of the rate.
const ALONG: f64 = 0.30;
/// Part of the acceleration limit for corners.
const CORNER: f64 = 0.65;
/// Shortest time between two points, s: a tick must not cross two corners.
pub const MIN_SPACING: f64 = 0.002;
/// Part of the tip-speed limit that a plan uses (the filter checks the exact speed).
const TIP: f64 = 0.96;
/// Largest joint step between two samples of the tip speed along a segment.
const SAMPLE: f64 = 0.02;
/// Most samples per segment.
const MAX_SAMPLES: f64 = 64.0;

/// A point of the path with the segment that follows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Knot {
    /// Path time, s.
    pub t: f64,
    /// Position.
    pub q: Q,
    /// Velocity of the segment that follows, at rate 1.
    pub u: Q,
    /// Largest rate in the segment that follows.
    pub cap: f64,
    /// Largest change of the rate in the segment that follows that also suits the segments beside it, 1/s: what is planned with.
    pub alpha: f64,
    /// Largest change of the rate that suits the segment itself, 1/s: what a tick that begins in it may use. Without it a slow segment
    /// between fast ones would stop as slowly as they.
    pub own: f64,
    /// Largest rate when passing this point.
    pub rate: f64,
}

/// A proposal ready to be approved and played. Immutable; made outside the real-time thread.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its name.
    pub id: ProposalId,
    /// Computed here from every bit of the proposal.
    pub digest: Digest,
    /// Whose motion.
    pub arm: ArmId,
    /// After this instant it can be neither approved nor started.
    pub expires: Stamp,
    /// What it is for.
    pub skill: Skill,
    /// What it was planned with.
    pub planned_with: PlannedWith,
    knots: Vec<Knot>,
}

/// What [`Plan`] needs to know of the arms.
#[derive(Debug, Clone)]
pub struct Planner {
    bodies: PerArm<Body>,
    bounds: PerArm<Bounds>,
    tip_speed: f64,
    longest_life: f64,
}

impl Planner {
    /// From the configuration.
    pub fn new(params: &SafetyParams) -> Result<Self, proctor_kinematics::KinematicsError> {
        let bodies = PerArm::try_from_fn(|arm| Body::configured(arm, params))?;
        let bounds = PerArm::from_fn(|arm| Bounds::new(arm, bodies.get(arm).chain().limits(), params));
        Ok(Self {
            bodies,
            bounds,
            tip_speed: params.motion.tip_speed_supervised,
            longest_life: params.approval.longest_life,
        })
    }

    /// Checks a proposal's own numbers and prepares it, or says what is wrong. Allocates; not for the real-time thread.
    pub fn prepare(&self, proposal: &Proposal) -> Result<Plan, Finding> {
        let arm = proposal.trajectory.arm();
        let (body, bounds) = (self.bodies.get(arm), self.bounds.get(arm));
        let life = proposal.expires.seconds_since(proposal.stamp);
        if life > self.longest_life {
            return Err(Finding::of(arm, Constraint::Expired, life, self.longest_life));
        }
        let mut knots: Vec<Knot> = Vec::with_capacity(proposal.trajectory.points().len());
        for (i, p) in proposal.trajectory.points().iter().enumerate() {
            if p.position.len() != bounds.layout.joints {
                let (got, wanted) = (p.position.len() as f64, bounds.layout.joints as f64);
                return Err(Finding::of(arm, Constraint::Malformed, got, wanted).at(i));
            }
            let q = bounds.layout.pack(&p.position, p.jaw);
            within(arm, bounds, &q)?;
            if let Some(last) = knots.last_mut() {
                let spacing = p.t - last.t;
                if spacing < MIN_SPACING {
                    return Err(Finding::of(arm, Constraint::Malformed, spacing, MIN_SPACING).at(i));
                }
                self.segment(body, bounds, last, &q, spacing)?;
            }
            knots.push(Knot { t: p.t, q, u: [0.0; crate::dofs::N], cap: 1.0, alpha: 1.0, own: 1.0, rate: 0.0 });
        }
        limit_rates(bounds, &mut knots);
        Ok(Plan {
            id: proposal.id,
            digest: proposal.digest(),
            arm,
            expires: proposal.expires,
            skill: proposal.skill,
            planned_with: proposal.planned_with,
            knots,
        })
    }

    /// Fills in the segment from `knot` to `to`.
    fn segment(&self, body: &Body, bounds: &Bounds, knot: &mut Knot, to: &Q, spacing: f64) -> Result<(), Finding> {
        knot.u = map2(&knot.q, to, |a, b| (b - a) / spacing);
        let way = map2(&knot.q, to, |a, b| b - a);
        body.stays_in_trocar(&knot.q, to)?;
        let samples = (way.iter().fold(0.0f64, |m, x| m.max(x.abs())) / SAMPLE).ceil().clamp(1.0, MAX_SAMPLES);
        let mut fastest = 0.0f64;
        for k in 0..=samples as usize {
            let at = map2(&knot.q, &way, |q, w| q + w * (k as f64 / samples));
            let malformed = || Finding::of(body.arm(), Constraint::Malformed, 0.0, 0.0);
            fastest = fastest.max(body.tip_speed(&at, &knot.u).ok_or_else(malformed)?);
        }
        let by_joints = LIMIT_USE / bounds.velocity.worst_ratio(&knot.u).max(1e-300);
        let by_tip = TIP * self.tip_speed / fastest.max(1e-300);
        knot.cap = by_joints.min(by_tip).min(1.0);
        // A segment that does not move accelerates nothing; the bound keeps the arithmetic finite.
        knot.own = (ALONG * LIMIT_USE / worst_ratio(&knot.u, &bounds.acceleration.least()).max(1e-300)).min(1e3);
        knot.alpha = knot.own;
        Ok(())
    }
}

fn within(arm: ArmId, bounds: &Bounds, q: &Q) -> Result<(), Finding> {
    let sides = q.iter().zip(&bounds.lower).zip(&bounds.upper).enumerate();
    for (j, ((&x, &lower), &upper)) in sides {
        // Written so that NaN is refused too.
        if !(x >= lower && x <= upper) {
            return Err(Finding::of(arm, Constraint::JointPosition, x, x.min(upper).max(lower)).at(j));
        }
    }
    Ok(())
}

/// Corners, then the backward pass.
fn limit_rates(bounds: &Bounds, knots: &mut [Knot]) {
    let step = bounds.acceleration.scaled(DT * LIMIT_USE * CORNER);
    // Rate changes on either side of a corner must suit both of its segments.
    let alphas: Vec<f64> = knots.iter().map(|k| k.alpha).collect();
    let segments = knots.len().saturating_sub(1);
    for (i, knot) in knots.iter_mut().enumerate().take(segments) {
        let around = alphas.iter().take(segments).skip(i.saturating_sub(1)).take(if i == 0 { 2 } else { 3 });
        knot.alpha = around.copied().fold(knot.alpha, f64::min);
    }
    let mut next: Option<Knot> = None;
    let mut before: Vec<(Q, f64)> = knots.iter().map(|k| (k.u, k.cap)).collect();
    before.rotate_right(1);
    for (i, (knot, (u_before, cap_before))) in knots.iter_mut().zip(before).enumerate().rev() {
        knot.rate = match next {
            None => 0.0,
            Some(n) => {
                let braking = (n.rate * n.rate + 2.0 * knot.alpha * (n.t - knot.t)).sqrt();
                let corner = if i == 0 {
                    1.0
                } else {
                    let turn = map2(&knot.u, &u_before, |a, b| a - b);
                    (1.0 / step.worst_ratio(&turn).max(1e-300)).min(cap_before)
                };
                braking.min(corner).min(knot.cap)
            }
        };
        next = Some(*knot);
    }
}

impl Plan {
    /// A path by hand.
    #[cfg(test)]
    pub(crate) fn of_knots(knots: Vec<Knot>) -> Self {
        let planned_with = PlannedWith { model: Digest::default(), hand_eye: 0, zones: 0 };
        let (id, digest, arm, expires) = (ProposalId(1), Digest::default(), ArmId::Psm1, Stamp::FIRST);
        Self { id, digest, arm, expires, skill: Skill::Retract, planned_with, knots }
    }

    pub(crate) fn knots(&self) -> &[Knot] {
        &self.knots
    }

    /// First position.
    pub fn start(&self) -> Q {
        self.knots.first().map_or([0.0; crate::dofs::N], |k| k.q)
    }

    /// Path time of the end, s.
    pub fn duration(&self) -> f64 {
        self.knots.last().map_or(0.0, |k| k.t)
    }

    /// Which degree of freedom makes the start differ most from `q`, and by how much, as a part of `tolerance`.
    pub fn start_mismatch(&self, q: &Q, tolerance: &Q) -> (usize, f64) {
        let e = map2(&self.start(), q, |a, b| a - b);
        let j = worst_index(&e, tolerance);
        (j, e.get(j).copied().unwrap_or(0.0).abs())
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
pub(crate) mod plan_tests;

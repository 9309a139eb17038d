//! What a skill is: something that may want to act, and can plan one whole motion.

use crate::{
    AutonomyParams, Context, Declined, Phase,
    plan::{
        clearance::{Nearest, Sweep, Tissue},
        time_law::Timed,
    },
};
use nalgebra::{Isometry3, Matrix3, Point3};
use proctor_types::{ArmId, Evidence, Skill};

/// A planned motion with everything that is needed to offer it and to notice that it no longer fits.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The motion and its phases.
    pub timed: Timed,
    /// The arm's capsules along it.
    pub sweep: Sweep,
    /// What it aims at, world frame.
    pub target: Point3<f64>,
    /// Distance of the target from the nearest seen point of its tissue when planned, m.
    pub backing: f64,
    /// Instruments whose tips it aims at; empty when it aims at tissue.
    pub tips: Vec<ArmId>,
    /// Why a surgeon could agree.
    pub evidence: Evidence,
}

impl Plan {
    /// Time from which tissue is held, s.
    pub fn contact_at(&self) -> Option<f64> {
        self.timed.begins(Phase::Grip)
    }
}

/// One skill of the library. Planning is a function of the context; only [`SkillPlanner::wants`] remembers anything
/// (how long its reason has lasted).
pub trait SkillPlanner: Send {
    /// Which skill it is.
    fn skill(&self) -> Skill;

    /// Looks at a new scene and says why the skill has no lasting reason to be proposed unasked, if it has none. Called once per scene.
    fn wants(&mut self, context: &Context<'_>) -> Result<(), Declined>;

    /// Forgets how long its reason has lasted; called when there is nothing to look at.
    fn reset(&mut self);

    /// Plans with `arm`, or with the arm it finds best.
    fn plan(&self, context: &Context<'_>, arm: Option<ArmId>) -> Result<Plan, Declined>;

    /// How far the target of `plan` has moved.
    fn drift(&self, context: &Context<'_>, plan: &Plan, stage: Stage) -> Drift;

    /// How far it may move before the plan no longer fits, m.
    fn tolerance(&self, params: &AutonomyParams) -> f64;
}

/// Where a proposal is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Shown, perhaps approved, not begun.
    Offered,
    /// Running.
    Running,
}

/// What became of a target.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Drift {
    /// It moved so far, m.
    By(f64),
    /// It is no longer there.
    Lost,
    /// The arm that runs the motion hides it, so there is no evidence either way.
    Hidden,
}

/// Whether a skill whose reason has lasted so long, s, is to be proposed unasked.
pub fn lasting(unasked: bool, lasted: f64, needed: f64) -> Result<(), Declined> {
    match (unasked, lasted >= needed) {
        (false, _) => Err(Declined::OnlyWhenAsked),
        (true, false) => Err(Declined::TooSoon { lasted, needed }),
        (true, true) => Ok(()),
    }
}

/// Checks the finished motion against tissue and instruments; returns the smallest clearance to protected tissue.
pub fn check_clearance(
    context: &Context<'_>,
    sweep: &Sweep,
    tissue: &Tissue,
    base_from_world: &Isometry3<f64>,
) -> Result<Option<Nearest>, Declined> {
    let params = &context.params.clearance;
    let arm = sweep.arm;
    if let Some(short) = sweep.shortfall(tissue, params, params.hysteresis, (0.0, 1)) {
        return Err(short.declined(arm));
    }
    for (other, capsules) in context.others(arm, base_from_world) {
        let clearance = sweep.nearest_capsule(&capsules);
        if clearance < params.tool {
            return Err(Declined::ToolClearance { arm, other, clearance, margin: params.tool });
        }
    }
    Ok(sweep.protected(tissue, params))
}

/// Probability that a Gaussian position error of covariance `covariance` (m^2) is smaller than `radius` (m), by the Maxwell distribution of
/// the isotropic Gaussian of equal trace. Used as the confidence that a motion meets what it aims at.
pub fn within(covariance: &Matrix3<f64>, radius: f64) -> f64 {
    let sigma = (covariance.trace() / 3.0).sqrt();
    if sigma == 0.0 {
        return 1.0;
    }
    let x = radius / sigma;
    let p = libm::erf(x / std::f64::consts::SQRT_2) - (2.0 / std::f64::consts::PI).sqrt() * x * (-0.5 * x * x).exp();
    // A covariance that is not one (negative or infinite) supports nothing.
    if p.is_finite() { p.clamp(0.0, 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidence_follows_the_chi_square_table_of_three_degrees_of_freedom() {
        // Quantiles of chi^2 with 3 degrees of freedom: 0.50 at 2.366, 0.95 at 7.815, 0.99 at 11.345.
        for (probability, chi2) in [(0.50, 2.366), (0.95, 7.815), (0.99, 11.345)] {
            let sigma = 0.0013;
            let c = Matrix3::identity() * (sigma * sigma);
            assert!((within(&c, f64::sqrt(chi2) * sigma) - probability).abs() < 1e-4, "{probability}");
        }
        assert_eq!(within(&Matrix3::zeros(), 0.001), 1.0);
        assert_eq!(within(&(-Matrix3::identity()), 0.001), 0.0);
        assert_eq!(within(&(Matrix3::identity() * f64::MAX), 0.001), 0.0);
    }
}

//! Everything one planning step may look at, checked once: who holds a [`Context`] has a fresh, trustworthy scene, fresh joints of every
//! arm and a safety node in SUPERVISED.

use crate::{AutonomyParams, Declined, GateParams, robot::Robot};
use nalgebra::{Isometry3, Point3};
use proctor_kinematics::Capsule;
use proctor_types::{
    Alignment, ArmId, ArmState, Base, Decision, Finding, Pose, QualityVerdict, SafetyMode, SafetyState, Scene,
    SkillRequest, Stamp, Timing, World,
};

/// What arrived, newest of each; events since the last step in order.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    /// Newest scene.
    pub scene: Option<&'a Scene>,
    /// Newest measurement of each arm, at [`ArmId::index`].
    pub arm_states: &'a [Option<ArmState>; 3],
    /// Newest word of the safety node.
    pub safety_state: Option<&'a SafetyState>,
    /// Skills asked for since the last step; only the newest counts.
    pub requests: &'a [SkillRequest],
    /// Decisions taken since the last step; rejections make a skill quiet.
    pub decisions: &'a [Decision],
}

/// Checked inputs of one planning step.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The current instant.
    pub now: Stamp,
    /// Fresh and trustworthy.
    pub scene: &'a Scene,
    /// Fresh, at [`ArmId::index`].
    pub arms: [&'a ArmState; 3],
    /// The arms.
    pub robot: &'a Robot,
    /// Parameters.
    pub params: &'a AutonomyParams,
}

impl<'a> Context<'a> {
    /// Checks everything a proposal rests on except that its arm rests.
    pub fn check(
        now: Stamp,
        inputs: &Inputs<'a>,
        robot: &'a Robot,
        params: &'a AutonomyParams,
    ) -> Result<Self, Declined> {
        let gate = &params.gate;
        supervised(now, inputs.safety_state, gate)?;
        let scene = fresh_scene(now, inputs.scene, gate)?;
        trustworthy(scene)?;
        let arm = |arm: ArmId| fresh_arm(now, inputs.arm_states, arm, gate);
        let [first, second, third] = ArmId::ALL;
        Ok(Self { now, scene, arms: [arm(first)?, arm(second)?, arm(third)?], robot, params })
    }

    /// An arm's newest measurement.
    pub fn arm(&self, arm: ArmId) -> &'a ArmState {
        self.arms[arm.index()]
    }

    /// Declines while any joint of `arm` moves.
    pub fn at_rest(&self, arm: ArmId) -> Result<(), Declined> {
        let gate = &self.params.gate;
        for (joint, &speed) in self.arm(arm).velocity.iter().enumerate() {
            let bound = if joint == 2 { gate.rest_linear } else { gate.rest_angular };
            if speed.abs() > bound {
                return Err(Declined::ArmMoving { arm, joint, speed });
            }
        }
        Ok(())
    }

    /// Where an arm's base is: as fused for instruments, nominal for the ECM; `None` when fusion does not know the arm.
    pub fn world_from_base(&self, arm: ArmId) -> Option<Pose<World, Base>> {
        match arm {
            ArmId::Ecm => Some(self.robot.cell.world_from_base(arm)),
            ArmId::Psm1 | ArmId::Psm2 => self.scene.hand_eye(arm).map(|h| h.world_from_base),
        }
    }

    /// The other arms' capsules where they are now, in the base frame given by `base_from_world`.
    pub fn others(&self, arm: ArmId, base_from_world: &Isometry3<f64>) -> Vec<(ArmId, Vec<Capsule>)> {
        let mut out = Vec::new();
        for other in ArmId::ALL.into_iter().filter(|&o| o != arm) {
            let state = self.arm(other);
            let Some(world_from_base) = self.world_from_base(other) else { continue };
            let Ok(capsules) = self.robot.body(other).capsules(&state.position, state.jaw) else { continue };
            let mine_from_theirs = base_from_world * world_from_base.iso();
            out.push((other, capsules.iter().map(|c| c.transformed(&mine_from_theirs)).collect()));
        }
        out
    }

    /// End of an instrument's jaws in the world, by its measured joints and the fused hand-eye estimate.
    pub fn jaw_end(&self, arm: ArmId) -> Option<Point3<f64>> {
        let tool = self.robot.tool(arm)?;
        let tip = tool.fk(&self.arm(arm).position).ok()?;
        Some(self.world_from_base(arm)?.transform(&tip.transform(&tool.end_in_tip)))
    }
}

/// What is known to be wrong is said before that anything is.
fn trustworthy(scene: &Scene) -> Result<(), Declined> {
    let found = scene.instruments.iter().find(|i| !matches!(i.finding, Finding::None | Finding::TimeUnknown));
    if let Some(i) = found {
        return Err(Declined::Found { arm: i.arm, finding: i.finding });
    }
    if scene.time.timing == Timing::Unknown {
        return Err(Declined::TimeUnknown { sigma: scene.time.sigma });
    }
    if scene.quality.verdict != QualityVerdict::Good {
        return Err(Declined::Picture { verdict: scene.quality.verdict });
    }
    if let Some(i) = scene.instruments.iter().find(|i| i.alignment != Alignment::Aligned) {
        let (arm, alignment, residual_px) = (i.arm, i.alignment, i.residual_px);
        let sigma = (0..3).map(|k| i.covariance[(k, k)]).fold(0.0, f64::max).sqrt();
        return Err(Declined::NotAligned { arm, alignment, residual_px, sigma });
    }
    if scene.is_trustworthy() { Ok(()) } else { Err(Declined::NoInstruments) }
}

/// The safety node spoke lately and is in SUPERVISED.
pub fn supervised<'a>(
    now: Stamp,
    safety: Option<&'a SafetyState>,
    gate: &GateParams,
) -> Result<&'a SafetyState, Declined> {
    let limit = gate.safety_max_age;
    let state = safety.filter(|s| now.seconds_since(s.stamp).abs() <= limit).ok_or(Declined::SafetySilent { limit })?;
    if state.mode == SafetyMode::Supervised && !state.e_stop {
        Ok(state)
    } else {
        Err(Declined::WrongMode { mode: state.mode })
    }
}

/// The scene if it is neither too old nor from the future.
pub fn fresh_scene<'a>(now: Stamp, scene: Option<&'a Scene>, gate: &GateParams) -> Result<&'a Scene, Declined> {
    let scene = scene.ok_or(Declined::NoScene)?;
    let age = now.seconds_since(scene.stamp);
    if age.abs() <= gate.scene_max_age {
        Ok(scene)
    } else {
        Err(Declined::SceneStale { age, limit: gate.scene_max_age })
    }
}

/// An arm's joints if they are fresh and have the arm's length.
pub fn fresh_arm<'a>(
    now: Stamp,
    arms: &'a [Option<ArmState>; 3],
    arm: ArmId,
    gate: &GateParams,
) -> Result<&'a ArmState, Declined> {
    let limit = gate.arm_max_age;
    arms[arm.index()]
        .as_ref()
        .filter(|s| s.arm == arm && s.position.len() == arm.dof() && s.jaw.is_finite())
        .filter(|s| now.seconds_since(s.stamp).abs() <= limit)
        .ok_or(Declined::ArmSilent { arm, limit })
}

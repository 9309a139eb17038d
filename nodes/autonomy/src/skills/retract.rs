//! *Retract*: an instrument opens its jaws, goes to a pre-grasp point off the gallbladder's fundus, approaches along the normal, closes and
//! lifts; before that it backs off from tissue that it is too near to, and what holds the gallbladder already only lifts. Planned in joint space through the fused hand-eye estimate of that arm (docs/adr/0004).

use super::grasp::{self, Grasp, Hold, Site};
use crate::{
    AutonomyParams, Context, Declined,
    declined::first_of,
    plan::{
        clearance::{Nearest, Sweep, Tissue},
        picture::Picture,
    },
    skill::{Drift, Plan, SkillPlanner, Stage, check_clearance, lasting, within},
};
use nalgebra::{Matrix3, Point3, UnitVector3, Vector3};
use proctor_types::{ArmId, Class, Evidence, Scene, Skill, Stamp};

/// Jaws closed further than this may hold tissue, rad.
const CLOSED: f64 = 0.2;
/// An instrument hides what lies within this distance of the line of sight past it, m.
const SHADOW: f64 = 0.005;
/// Depth noise assumed where no surface point of the gallbladder is near the target, m.
const UNKNOWN_SIGMA: f64 = 0.002;

/// The skill, with where the target was first seen, and what each instrument's jaws were seen to do.
#[derive(Debug, Default)]
pub struct Retract {
    steady: Option<(Stamp, Point3<f64>)>,
    grips: [Grip; 2],
}

/// What the jaws of an instrument did.
#[derive(Debug, Clone, Copy, Default)]
enum Grip {
    /// Closed since they were first seen, or on nothing.
    #[default]
    Unknown,
    /// They are open.
    Open,
    /// Closed at the gallbladder: since when, and where.
    Taken(Stamp, Point3<f64>),
}

impl Grip {
    fn next(self, context: &Context<'_>, arm: ArmId) -> Self {
        match (self, context.jaw_end(arm)) {
            _ if context.arm(arm).jaw >= CLOSED => Self::Open,
            (Self::Open, Some(end)) if holding(context, arm) => Self::Taken(context.scene.stamp, end),
            (Self::Open, _) => Self::Unknown,
            (grip, _) => grip,
        }
    }
}

impl SkillPlanner for Retract {
    fn skill(&self) -> Skill {
        Skill::Retract
    }

    fn wants(&mut self, context: &Context<'_>) -> Result<(), Declined> {
        let p = &context.params.retract;
        for (grip, arm) in self.grips.iter_mut().zip(ArmId::PSMS) {
            *grip = grip.next(context, arm);
        }
        if let Some((_, since)) = self.unlifted(context) {
            return lasting(p.unasked, context.scene.stamp.seconds_since(since), p.seen_for);
        }
        let Some((target, _)) = context.scene.grasp_target else {
            self.steady = None;
            return Err(Declined::NoTarget);
        };
        let since = match self.steady {
            Some((since, first)) if (target - first).norm() <= p.target_tolerance => since,
            _ => {
                self.steady = Some((context.scene.stamp, target));
                context.scene.stamp
            }
        };
        if let Some(arm) = ArmId::PSMS.into_iter().find(|&arm| holding(context, arm)) {
            return Err(Declined::Holding { arm });
        }
        lasting(p.unasked, context.scene.stamp.seconds_since(since), p.seen_for)
    }

    fn reset(&mut self) {
        self.steady = None;
    }

    fn plan(&self, context: &Context<'_>, arm: Option<ArmId>) -> Result<Plan, Declined> {
        let taken =
            arm.map_or_else(|| self.unlifted(context).map(|(arm, _)| arm), |arm| holding(context, arm).then_some(arm));
        if let Some(arm) = taken {
            return lift_only(context, arm);
        }
        let (target, _) = context.scene.grasp_target.ok_or(Declined::NoTarget)?;
        let arms = match arm {
            Some(ArmId::Ecm) => return Err(Declined::WrongArm { skill: Skill::Retract, arm: ArmId::Ecm }),
            Some(arm) => vec![arm],
            None => nearest_first(context, &target),
        };
        first_of(arms.into_iter().map(|arm| plan_with(context, arm)), Declined::NoTarget)
    }

    fn drift(&self, context: &Context<'_>, plan: &Plan, stage: Stage) -> Drift {
        if let Some(&arm) = plan.tips.first() {
            return context.jaw_end(arm).map_or(Drift::Lost, |end| Drift::By((end - plan.target).norm()));
        }
        match stage {
            Stage::Offered => {
                context.scene.grasp_target.map_or(Drift::Lost, |(now, _)| Drift::By((now - plan.target).norm()))
            }
            // The arm comes between camera and target, and the best place to grasp is then another: ask only
            // whether gallbladder is still where it was.
            Stage::Running if hidden(context, &plan.target) => Drift::Hidden,
            Stage::Running => nearest_of(context.scene, Class::Gallbladder, &plan.target)
                .map_or(Drift::Lost, |near| Drift::By((near.distance - plan.backing).max(0.0))),
        }
    }

    fn tolerance(&self, params: &AutonomyParams) -> f64 {
        params.retract.target_tolerance
    }
}

impl Retract {
    /// The instrument that took the gallbladder and did not lift it, because its motion was broken off, and since when it has had it.
    fn unlifted(&self, context: &Context<'_>) -> Option<(ArmId, Stamp)> {
        let least = context.params.retract.lift_min / 2.0;
        self.grips.iter().zip(ArmId::PSMS).find_map(|(grip, arm)| match *grip {
            Grip::Taken(since, there) if holding(context, arm) => {
                context.jaw_end(arm).filter(|end| (end - there).norm() < least).map(|_| (arm, since))
            }
            _ => None,
        })
    }
}

/// Instrument arms by the distance of their jaws from the target; PSM2, on the assistant's side, when equal.
fn nearest_first(context: &Context<'_>, target: &Point3<f64>) -> Vec<ArmId> {
    let mut arms = [ArmId::Psm2, ArmId::Psm1]
        .map(|arm| (context.jaw_end(arm).map_or(f64::INFINITY, |end| (end - target).norm()), arm));
    arms.sort_by(|a, b| a.0.total_cmp(&b.0));
    arms.into_iter().map(|(_, arm)| arm).collect()
}

/// Whether the arm's closed jaws are at the gallbladder.
fn holding(context: &Context<'_>, arm: ArmId) -> bool {
    let Some(end) = context.jaw_end(arm) else { return false };
    context.arm(arm).jaw < CLOSED
        && nearest_of(context.scene, Class::Gallbladder, &end)
            .is_some_and(|near| near.distance <= context.params.retract.holding)
}

struct Near {
    position: Point3<f64>,
    distance: f64,
    sigma: f64,
}

fn nearest_of(scene: &Scene, class: Class, p: &Point3<f64>) -> Option<Near> {
    scene
        .surface
        .iter()
        .take(Scene::MAX_SURFACE_POINTS)
        .filter(|s| s.class == class)
        .map(|s| Near { position: s.position, distance: (s.position - p).norm(), sigma: s.sigma })
        .min_by(|a, b| a.distance.total_cmp(&b.distance))
}

/// Whether an instrument lies in, or close beside, the line of sight to `target`.
fn hidden(context: &Context<'_>, target: &Point3<f64>) -> bool {
    let camera = Point3::from(context.scene.world_from_camera.translation());
    ArmId::PSMS.into_iter().any(|arm| {
        let (Some(base), state) = (context.world_from_base(arm), context.arm(arm)) else { return false };
        let Ok(capsules) = context.robot.body(arm).capsules(&state.position, state.jaw) else { return false };
        capsules.iter().any(|c| c.transformed(base.iso()).hides(&camera, target, SHADOW))
    })
}

fn plan_with(context: &Context<'_>, arm: ArmId) -> Result<Plan, Declined> {
    let (target, outward) = context.scene.grasp_target.ok_or(Declined::NoTarget)?;
    let normal = UnitVector3::try_new(outward, 1e-6).ok_or(Declined::BadTarget { what: "the grasp" })?;
    let place = target - normal.into_inner() * context.params.retract.press;
    let (grasp, sweep, clearance) = at_site(context, arm, &target, &place, &normal, grasp::plan)?;
    let backing = nearest_of(context.scene, Class::Gallbladder, &target);
    let sigma = backing.as_ref().map_or(UNKNOWN_SIGMA, |near| near.sigma);
    let confidence = confidence(context, arm, sigma);
    let duration = grasp.timed.trajectory.duration();
    let evidence = Evidence {
        summary: summary(context, arm, &target, &grasp, clearance.as_ref(), duration),
        confidence,
        smallest_clearance: clearance.map(|c| c.distance),
        clearance_class: clearance.map_or(Class::Background, |c| c.class),
    };
    let backing = backing.map_or(0.0, |near| near.distance);
    Ok(Plan { timed: grasp.timed, sweep, target, backing, tips: Vec::new(), evidence })
}

/// Lifts what the arm has taken.
fn lift_only(context: &Context<'_>, arm: ArmId) -> Result<Plan, Declined> {
    let target = context.jaw_end(arm).ok_or(Declined::NoInstruments)?;
    let outward = context.scene.grasp_target.map_or_else(Vector3::z, |(_, outward)| outward);
    let normal = UnitVector3::try_new(outward, 1e-6).unwrap_or_else(Vector3::z_axis);
    let (grasp, sweep, clearance) = at_site(context, arm, &target, &target, &normal, grasp::lift_only)?;
    let duration = grasp.timed.trajectory.duration();
    let evidence = Evidence {
        summary: format!(
            "{arm} holds the gallbladder. It lifts it by {:.0} mm in {duration:.0} s; {}.",
            grasp.lift * 1e3,
            nearness(clearance.as_ref()),
        ),
        confidence: confidence(context, arm, 0.0),
        smallest_clearance: clearance.map(|c| c.distance),
        clearance_class: clearance.map_or(Class::Background, |c| c.class),
    };
    Ok(Plan { timed: grasp.timed, sweep, target, backing: 0.0, tips: vec![arm], evidence })
}

/// What is planned with an arm at the tissue around `target`, checked against everything.
fn at_site(
    context: &Context<'_>,
    arm: ArmId,
    target: &Point3<f64>,
    place: &Point3<f64>,
    normal: &UnitVector3<f64>,
    plan: impl FnOnce(&Site<'_>, &Hold) -> Result<Grasp, Declined>,
) -> Result<(Grasp, Sweep, Option<Nearest>), Declined> {
    let tool = context.robot.tool(arm).ok_or(Declined::WrongArm { skill: Skill::Retract, arm })?;
    if !tool.grasps {
        return Err(Declined::CannotGrasp { arm });
    }
    let base_from_world = context.world_from_base(arm).ok_or(Declined::NoInstruments)?.inverse();
    let liver = nearest_of(context.scene, Class::Liver, target);
    let bad = Declined::BadTarget { what: "the grasp" };
    let turn = |v: &Vector3<f64>| base_from_world.rotation() * v;
    let hold = Hold {
        point: base_from_world.transform(place),
        normal: UnitVector3::try_new(turn(normal), 0.5).ok_or(bad)?,
        up: UnitVector3::try_new(turn(&Vector3::z()), 0.5).ok_or(bad)?,
        away: liver.and_then(|near| UnitVector3::try_new(turn(&(target - near.position)), 1e-6)),
    };
    if !hold.point.iter().all(|x| x.is_finite()) {
        return Err(bad);
    }
    let tissue = Tissue::new(context.scene, arm, base_from_world.iso(), &context.params.clearance);
    let others = context.others(arm, base_from_world.iso());
    let state = context.arm(arm);
    let picture = Picture::new(context, base_from_world.iso());
    let site = Site { context, tool, state, tissue: &tissue, picture: picture.as_ref(), others: &others };
    let grasp = plan(&site, &hold)?;
    let sweep = Sweep::new(tool, &grasp.timed.trajectory, &grasp.timed.phases)?;
    let clearance = check_clearance(context, &sweep, &tissue, base_from_world.iso())?;
    Ok((grasp, sweep, clearance))
}

/// What stays to protected tissue, in words.
fn nearness(clearance: Option<&Nearest>) -> String {
    clearance.map_or_else(
        || "no artery, duct or liver is seen".to_owned(),
        |c| format!("{:.1} mm stay to the {}", c.distance * 1e3, c.class.name().replace('_', " ")),
    )
}

fn summary(
    context: &Context<'_>,
    arm: ArmId,
    target: &Point3<f64>,
    grasp: &grasp::Grasp,
    clearance: Option<&Nearest>,
    duration: f64,
) -> String {
    let depth = context.scene.world_from_camera.inverse().transform(target).z;
    let way = context.jaw_end(arm).map_or(0.0, |end| (end - target).norm());
    let first = if grasp.backs_off { "backs off first, " } else { "" };
    let near = nearness(clearance);
    format!(
        "The gallbladder's fundus is seen {:.0} mm from the camera, {:.0} mm from {arm}. {arm} {first}opens its jaws, takes it and lifts it \
         by {:.0} mm in {duration:.0} s; {near}.",
        depth * 1e3,
        way * 1e3,
        grasp.lift * 1e3,
    )
}

/// Probability that the jaws meet the seen point within the tolerance of the target.
fn confidence(context: &Context<'_>, arm: ArmId, sigma: f64) -> f64 {
    let Some(i) = context.scene.instrument(arm) else { return 0.0 };
    let tip: Matrix3<f64> = i.covariance.fixed_view::<3, 3>(0, 0).into();
    within(&(tip + Matrix3::identity() * (sigma * sigma)), context.params.retract.target_tolerance)
}

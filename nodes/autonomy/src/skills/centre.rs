//! *Centre the camera*: the ECM turns about its remote centre and slides until the mean of the visible instrument tips lies in the
//! middle of the picture at a good distance.
//!
//! The path is defined in the picture: seen from the camera, the tips' mean moves on a straight line from where it is to the middle,
//! while the picture's tilt against the horizon stays what it is. Four conditions for four joints; Newton's method finds them with the
//! exact Jacobian, so no assumption is made about where on the scope the camera sits.

use crate::{
    AutonomyParams, Context, Declined, Phase,
    plan::{
        JointPath, PathPoint,
        clearance::{Sweep, Tissue},
        time_law::{Segment, Start, parameterise},
    },
    robot::Robot,
    skill::{Drift, Plan, SkillPlanner, Stage, check_clearance, lasting, within},
};
use nalgebra::{Matrix3, Matrix4, Point2, Point3, Vector3, Vector4};
use proctor_types::{ArmId, Class, Evidence, Joints, Scene, Skill, Stamp};

/// Newton's method stops here: error of the target in camera coordinates, m.
const CONVERGED: f64 = 1e-11;
/// What is still accepted after the last step, m.
const ACCEPTED: f64 = 1e-8;
const MAX_NEWTON: usize = 20;
/// Metres that one unit of horizon tilt counts as, to make the equations commensurable.
const METRES_PER_TILT: f64 = 0.1;
/// Sine of the angle between view and vertical below which there is no horizon to keep; the roll joint then stays.
const NO_HORIZON: f64 = 0.1;
/// Already centred: part of half the picture's diagonal.
const CENTRED: f64 = 0.03;

/// The skill, with how long its reason has lasted.
#[derive(Debug, Default)]
pub struct CentreCamera {
    off_since: Option<Stamp>,
}

/// The instrument tips that lie in the picture.
struct Seen {
    tips: Vec<ArmId>,
    /// Their mean, world frame.
    mean: Point3<f64>,
    /// The mean in camera coordinates.
    in_camera: Point3<f64>,
    /// Its pixel less the middle of the picture.
    offset: nalgebra::Vector2<f64>,
    /// Length of `offset` over half the picture's diagonal.
    radial: f64,
}

fn mean_of(scene: &Scene, tips: &[ArmId]) -> Option<Point3<f64>> {
    let mut sum = Vector3::zeros();
    for &arm in tips {
        sum += scene.instrument(arm)?.world_from_tip.translation();
    }
    let mean = Point3::from(sum / tips.len() as f64);
    mean.iter().all(|x| x.is_finite()).then_some(mean)
}

impl Seen {
    fn new(scene: &Scene, robot: &Robot) -> Option<Self> {
        let camera = robot.cell.rig().left;
        let (width, height) = (camera.width as f64, camera.height as f64);
        let camera_from_world = scene.world_from_camera.inverse();
        let pixel = |p: &Point3<f64>| camera.project(&camera_from_world.transform(p));
        let visible = |p: Point2<f64>| (0.0..width).contains(&p.x) && (0.0..height).contains(&p.y);
        let tips: Vec<ArmId> = ArmId::PSMS
            .into_iter()
            .filter(|&arm| {
                scene
                    .instrument(arm)
                    .and_then(|i| pixel(&Point3::from(i.world_from_tip.translation())))
                    .is_some_and(visible)
            })
            .collect();
        let mean = mean_of(scene, &tips)?;
        let offset = pixel(&mean)? - Point2::new((width - 1.0) / 2.0, (height - 1.0) / 2.0);
        let radial = offset.norm() / (0.5 * width.hypot(height));
        Some(Self { tips, mean, in_camera: camera_from_world.transform(&mean), offset, radial })
    }
}

impl SkillPlanner for CentreCamera {
    fn skill(&self) -> Skill {
        Skill::CentreCamera
    }

    fn wants(&mut self, context: &Context<'_>) -> Result<(), Declined> {
        let p = &context.params.centre;
        let Some(seen) = Seen::new(context.scene, context.robot) else {
            self.off_since = None;
            return Err(Declined::NoTipVisible);
        };
        let z = seen.in_camera.z;
        let off = seen.radial > p.off || z < p.near - p.band || z > p.far + p.band;
        let fine = seen.radial < p.on && z > p.near - 0.5 * p.band && z < p.far + 0.5 * p.band;
        if fine {
            self.off_since = None;
        } else if off {
            self.off_since.get_or_insert(context.scene.stamp);
        }
        let since = self.off_since.ok_or(Declined::NothingToDo)?;
        lasting(p.unasked, context.scene.stamp.seconds_since(since), p.off_for)
    }

    fn reset(&mut self) {
        self.off_since = None;
    }

    fn plan(&self, context: &Context<'_>, arm: Option<ArmId>) -> Result<Plan, Declined> {
        if let Some(arm) = arm.filter(|&a| a != ArmId::Ecm) {
            return Err(Declined::WrongArm { skill: Skill::CentreCamera, arm });
        }
        let robot = context.robot;
        let seen = Seen::new(context.scene, robot).ok_or(Declined::NoTipVisible)?;
        let p = &context.params.centre;
        let distance = seen.in_camera.z.clamp(p.near, p.far);
        if seen.radial < CENTRED && (distance - seen.in_camera.z).abs() < 0.002 {
            return Err(Declined::NothingToDo);
        }
        let state = context.arm(ArmId::Ecm);
        let whole = CameraPath::new(context, &seen, state.position, distance)?;
        let path = whole.limited(context.params)?;
        let segment =
            Segment { phase: Phase::Look, path: &path, speed: context.params.motion.free_speed, jaw: state.jaw };
        let start = Start { arm: ArmId::Ecm, joints: state.position, jaw: state.jaw };
        let timed = parameterise(start, &[segment], robot.ecm.limits(), &context.params.motion)?;

        let base_from_world = robot.cell.world_from_base(ArmId::Ecm).inverse();
        let tissue = Tissue::new(context.scene, ArmId::Ecm, base_from_world.iso(), &context.params.clearance);
        let sweep = Sweep::new(robot.body(ArmId::Ecm), &timed.trajectory, &timed.phases)?;
        let clearance = check_clearance(context, &sweep, &tissue, base_from_world.iso())?;
        let evidence = Evidence {
            summary: summary(&seen, &path, timed.trajectory.duration()),
            confidence: confidence(context, &seen, distance),
            smallest_clearance: clearance.map(|c| c.distance),
            clearance_class: clearance.map_or(Class::Background, |c| c.class),
        };
        Ok(Plan { timed, sweep, target: seen.mean, backing: 0.0, tips: seen.tips, evidence })
    }

    fn drift(&self, context: &Context<'_>, plan: &Plan, _stage: Stage) -> Drift {
        mean_of(context.scene, &plan.tips).map_or(Drift::Lost, |now| Drift::By((now - plan.target).norm()))
    }

    fn tolerance(&self, params: &AutonomyParams) -> f64 {
        params.centre.target_tolerance
    }
}

fn summary(seen: &Seen, path: &CameraPath<'_>, duration: f64) -> String {
    let names: Vec<&str> = seen.tips.iter().map(|a| a.name()).collect();
    let side = |v: f64, low: &'static str, high: &'static str| if v < 0.0 { low } else { high };
    let part = if path.part < 1.0 { " as far as one motion may" } else { "" };
    format!(
        "Tips of {} are seen {:.0} pixels {} and {:.0} pixels {} the middle, {:.0} mm from the camera. The camera turns{part} until they \
         lie in the middle at {:.0} mm, in {duration:.0} s.",
        names.join(" and "),
        seen.offset.x.abs(),
        side(seen.offset.x, "left", "right"),
        seen.offset.y.abs(),
        side(seen.offset.y, "above", "below"),
        path.from.z * 1e3,
        path.to.z * 1e3,
    )
}

/// Probability that the tips' mean is within 5 % of the picture's width of where it is believed.
fn confidence(context: &Context<'_>, seen: &Seen, distance: f64) -> f64 {
    let camera = context.robot.cell.rig().left;
    let mut covariance = Matrix3::zeros();
    for &arm in &seen.tips {
        if let Some(i) = context.scene.instrument(arm) {
            covariance += i.covariance.fixed_view::<3, 3>(0, 0);
        }
    }
    let n = seen.tips.len().max(1) as f64;
    within(&(covariance / (n * n)), 0.05 * camera.width as f64 * distance / camera.fx)
}

/// ECM path along which a fixed point moves on a straight line through the picture.
struct CameraPath<'a> {
    robot: &'a Robot,
    motion: &'a crate::MotionParams,
    start: Joints,
    /// The fixed point, base frame.
    target: Point3<f64>,
    /// World's up, base frame.
    up: Vector3<f64>,
    /// The point in camera coordinates at the start and at the end of the whole way.
    from: Vector3<f64>,
    to: Vector3<f64>,
    /// Sine of the picture's tilt to keep; `None` when the view has no horizon.
    tilt: Option<f64>,
    /// How much of the whole way is gone, (0, 1].
    part: f64,
}

impl<'a> CameraPath<'a> {
    fn new(context: &Context<'a>, seen: &Seen, start: Joints, distance: f64) -> Result<Self, Declined> {
        let robot = context.robot;
        let base_from_world = robot.cell.world_from_base(ArmId::Ecm).inverse();
        let target = base_from_world.transform(&seen.mean);
        let up = base_from_world.rotation() * Vector3::z();
        let camera = robot.cell.base_from_camera(&start).map_err(|_| Declined::PathBroken { arm: ArmId::Ecm })?;
        let view = camera.rotation() * Vector3::z();
        let tilt = (view.cross(&up).norm() > NO_HORIZON).then(|| (camera.rotation() * Vector3::x()).dot(&up));
        // From the joints, not from the scene, so that the path starts exactly where the arm is.
        let from = camera.inverse().transform(&target).coords;
        let to = Vector3::new(0.0, 0.0, distance);
        Ok(Self { robot, motion: &context.params.motion, start, target, up, from, to, tilt, part: 1.0 })
    }

    /// The same path, cut where it would turn or slide more than one motion may.
    fn limited(self, params: &AutonomyParams) -> Result<Self, Declined> {
        let end = self.at(1.0, &self.start)?.joints;
        let camera =
            |q: &Joints| self.robot.cell.base_from_camera(q).map_err(|_| Declined::PathBroken { arm: ArmId::Ecm });
        let turn = camera(&self.start)?.rotation().angle_to(&camera(&end)?.rotation());
        let advance = (end[2] - self.start[2]).abs();
        let excess = (turn / params.centre.max_turn).max(advance / params.centre.max_advance);
        // A straight way through the picture turns nearly evenly; 2 % covers the rest.
        let part = if excess > 1.0 { 0.98 / excess } else { 1.0 };
        Ok(Self { part, ..self })
    }

    /// Error of the four conditions (m) and its derivatives by the joints.
    fn error(&self, q: &Joints, wanted: &Vector3<f64>) -> Option<(Vector4<f64>, Matrix4<f64>)> {
        let (tip, jacobian) = self.robot.ecm.fk_jacobian(q).ok()?;
        let camera = tip * self.robot.cell.tip_from_camera();
        let (r, c) = (camera.rotation(), camera.translation());
        let x = r * Vector3::x();
        let seen = r.inverse() * (self.target.coords - c);
        let place = seen - wanted;
        let tilt = self.tilt.map_or(q[3] - self.start[3], |kept| x.dot(&self.up) - kept);
        let mut derivative = Matrix4::zeros();
        for joint in 0..4 {
            let (v, w): (Vector3<f64>, Vector3<f64>) =
                (jacobian.fixed_view::<3, 1>(0, joint).into(), jacobian.fixed_view::<3, 1>(3, joint).into());
            let v_camera = v + w.cross(&(c - tip.translation()));
            let d = r.inverse() * (-v_camera - w.cross(&(self.target.coords - c)));
            let held = if joint == 3 { 1.0 } else { 0.0 };
            let d_tilt = self.tilt.map_or(held, |_| w.cross(&x).dot(&self.up));
            derivative.set_column(joint, &Vector4::new(d.x, d.y, d.z, d_tilt * METRES_PER_TILT));
        }
        Some((Vector4::new(place.x, place.y, place.z, tilt * METRES_PER_TILT), derivative))
    }

    /// Joints at which the target is seen at `wanted` (camera coordinates) with the tilt kept.
    fn solve(&self, wanted: &Vector3<f64>, seed: &Joints) -> Result<Joints, Declined> {
        let (arm, what) = (ArmId::Ecm, "the view");
        let mut q = *seed;
        let mut miss = f64::INFINITY;
        for _ in 0..MAX_NEWTON {
            let (error, derivative) = self.error(&q, wanted).ok_or(Declined::PathBroken { arm })?;
            miss = error.norm();
            if miss <= CONVERGED {
                break;
            }
            let step = derivative.lu().solve(&error).ok_or(Declined::Singular { arm, what })?;
            // Never more than 0.2 rad or m at once: Newton's method is only trusted near its seed.
            let step = step * (0.2 / step.amax().max(0.2));
            let moved = Joints::new(&[q[0] - step[0], q[1] - step[1], q[2] - step[2], q[3] - step[3]]);
            q = moved.map_err(|_| Declined::PathBroken { arm })?;
        }
        if miss.is_nan() || miss > ACCEPTED {
            return Err(Declined::Unreachable { arm, what, position_error: miss, rotation_error: 0.0 });
        }
        let limits = self.robot.ecm.limits();
        for (joint, &value) in q.iter().enumerate() {
            let margin = (limits.upper[joint] - limits.lower[joint]) * self.motion.range_margin;
            let (lower, upper) = (limits.lower[joint] + margin, limits.upper[joint] - margin);
            if value < lower || value > upper {
                return Err(Declined::JointLimit { arm, joint, value, lower, upper });
            }
        }
        Ok(q)
    }
}

impl JointPath for CameraPath<'_> {
    fn at(&self, s: f64, seed: &Joints) -> Result<PathPoint, Declined> {
        let s = s * self.part;
        let joints = self.solve(&(self.from + s * (self.to - self.from)), seed)?;
        let tip = self.robot.ecm.fk(&joints).map_err(|_| Declined::PathBroken { arm: ArmId::Ecm })?;
        let tip = Point3::from(tip.translation());
        Ok(PathPoint { joints, tips: [tip, tip] })
    }

    fn length(&self) -> f64 {
        self.part * (self.to.z - self.from.z).abs()
    }
}

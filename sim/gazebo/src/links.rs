//! The cell's URDF as bodies that a physics engine can move: fixed links without mass become part of the link that carries them.

use crate::GazeboError;
use nalgebra::{Isometry3, Matrix3, Point3, Translation3, Unit, UnitQuaternion, Vector3};
use proctor_types::ArmId;
use urdf_rs::{Geometry, JointType, Link, Robot};

const CELL: &str = include_str!("../../../urdf/generated/cell.urdf");

/// Least inertia of a body, kg m2: small links turn with the rotors of their motors, which the URDF does not know, and no engine can step a wrist of 3e-8.
const LEAST_INERTIA: f64 = 2e-4;
/// Least mass of a body, kg.
const LEAST_MASS: f64 = 0.02;

/// A body and the joint that carries it.
#[derive(Debug, Clone)]
pub(crate) struct Body {
    pub name: String,
    /// Mass, kg; centre; inertia about it in the link's axes, kg m2.
    pub mass: f64,
    pub centre: Point3<f64>,
    pub inertia: Matrix3<f64>,
    /// The joint above, which is called so.
    pub joint: String,
    /// Index of the body above; `None` for the base.
    pub parent: Option<usize>,
    /// The body above from this one, joint at 0.
    pub origin: Isometry3<f64>,
    pub axis: Unit<Vector3<f64>>,
    pub slides: bool,
    /// Lower, upper, velocity, effort.
    pub limit: [f64; 4],
    pub cylinders: Vec<Cylinder>,
}

/// A cylinder along z.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cylinder {
    pub at: Isometry3<f64>,
    pub radius: f64,
    pub length: f64,
}

/// The bodies of one arm, a parent before its children, and the frames on them.
#[derive(Debug, Clone)]
pub(crate) struct Bodies {
    pub bodies: Vec<Body>,
    /// Links without mass: name, body (`None` for the base), place on it.
    pub frames: Vec<(String, Option<usize>, Isometry3<f64>)>,
}

fn iso(pose: &urdf_rs::Pose) -> Isometry3<f64> {
    let [r, p, y] = pose.rpy.0;
    Isometry3::from_parts(Translation3::from(Vector3::from(pose.xyz.0)), UnitQuaternion::from_euler_angles(r, p, y))
}

impl Bodies {
    /// Of `arm` in the cell.
    pub fn of(arm: ArmId) -> Result<Self, GazeboError> {
        let robot = urdf_rs::read_from_string(CELL).map_err(|e| GazeboError::Urdf(e.to_string()))?;
        let mut out = Self { bodies: Vec::new(), frames: Vec::new() };
        out.walk(&robot, &format!("{arm}_base"), None, Isometry3::identity())?;
        Ok(out)
    }

    /// Adds everything that hangs on link `at`, which is part of body `on`.
    fn walk(&mut self, robot: &Robot, at: &str, on: Option<usize>, place: Isometry3<f64>) -> Result<(), GazeboError> {
        for joint in robot.joints.iter().filter(|j| j.parent.link == at) {
            let child = &joint.child.link;
            let link = robot.links.iter().find(|l| l.name == *child);
            let link = link.ok_or_else(|| GazeboError::Urdf(format!("joint {} has no link {child}", joint.name)))?;
            let origin = place * iso(&joint.origin);
            let slides = match joint.joint_type {
                JointType::Fixed => {
                    self.frames.push((child.clone(), on, origin));
                    self.walk(robot, child, on, origin)?;
                    continue;
                }
                JointType::Revolute => false,
                JointType::Prismatic => true,
                _ => {
                    return Err(GazeboError::Urdf(format!("joint {}: neither turning, sliding nor fixed", joint.name)));
                }
            };
            // Both jaws follow it; nothing of it is seen.
            if child.ends_with("_jaw_drive") {
                continue;
            }
            let axis = Unit::try_new(Vector3::from(joint.axis.xyz.0), 1e-6);
            let axis = axis.ok_or_else(|| GazeboError::Urdf(format!("joint {} has no axis", joint.name)))?;
            let l = &joint.limit;
            let limit = [l.lower, l.upper, l.velocity, l.effort];
            self.bodies.push(Body { joint: joint.name.clone(), parent: on, origin, axis, slides, limit, ..body(link) });
            self.walk(robot, child, Some(self.bodies.len() - 1), Isometry3::identity())?;
        }
        Ok(())
    }

    /// The base from each body, all joints at `positions`.
    pub fn poses(&self, positions: impl Fn(&Body) -> f64) -> Vec<Isometry3<f64>> {
        let mut poses: Vec<Isometry3<f64>> = Vec::new();
        for body in &self.bodies {
            let above = body.parent.and_then(|p| poses.get(p)).copied().unwrap_or_default();
            let q = positions(body);
            let motion = if body.slides {
                Isometry3::from_parts((body.axis.into_inner() * q).into(), UnitQuaternion::identity())
            } else {
                Isometry3::from_parts(Translation3::identity(), UnitQuaternion::from_axis_angle(&body.axis, q))
            };
            poses.push(above * body.origin * motion);
        }
        poses
    }

    /// What each joint moves, all joints at `positions`: kg for a sliding one, kg m2 about its axis for a turning one.
    pub fn moved(&self, positions: impl Fn(&Body) -> f64) -> Vec<f64> {
        let poses = self.poses(positions);
        let hangs_on = |mut at: usize, on: usize| loop {
            if at == on {
                return true;
            }
            match self.bodies.get(at).and_then(|b| b.parent) {
                Some(parent) => at = parent,
                None => return false,
            }
        };
        let one = |j: usize, joint: &Body, at: &Isometry3<f64>| -> f64 {
            let axis = at.rotation * joint.axis;
            let carried = self.bodies.iter().zip(&poses).enumerate().filter(|(i, _)| hangs_on(*i, j));
            carried
                .map(|(_, (body, pose))| {
                    if joint.slides {
                        return body.mass;
                    }
                    let arm = (pose * body.centre) - Point3::from(at.translation.vector);
                    let own = pose.rotation.inverse() * axis.into_inner();
                    body.mass * axis.cross(&arm).norm_squared() + own.dot(&(body.inertia * own))
                })
                .sum()
        };
        self.bodies.iter().zip(&poses).enumerate().map(|(j, (joint, at))| one(j, joint, at)).collect()
    }
}

fn body(link: &Link) -> Body {
    let inertial = &link.inertial;
    let at = iso(&inertial.origin);
    let i = &inertial.inertia;
    let turn = at.rotation.to_rotation_matrix();
    let own = Matrix3::new(i.ixx, i.ixy, i.ixz, i.ixy, i.iyy, i.iyz, i.ixz, i.iyz, i.izz);
    let mut inertia = turn.matrix() * own * turn.matrix().transpose();
    for axis in 0..3 {
        inertia[(axis, axis)] += LEAST_INERTIA;
    }
    let cylinders = link.visual.iter().filter_map(|visual| match visual.geometry {
        Geometry::Cylinder { radius, length } => Some(Cylinder { at: iso(&visual.origin), radius, length }),
        _ => None,
    });
    Body {
        name: link.name.clone(),
        mass: inertial.mass.value.max(LEAST_MASS),
        centre: Point3::from(at.translation.vector),
        inertia,
        joint: String::new(),
        parent: None,
        origin: Isometry3::identity(),
        axis: Vector3::z_axis(),
        slides: false,
        limit: [0.0; 4],
        cylinders: cylinders.collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_kinematics::Cell;

    /// Joints of the chain by the body's joint, jaws closed.
    fn at(arm: ArmId, q: &[f64]) -> impl Fn(&Body) -> f64 {
        let arm = crate::Arm::of(arm).unwrap();
        move |body| arm.joints.iter().position(|j| j.name == body.joint).map_or(0.0, |i| q[i])
    }

    #[test]
    fn the_bodies_stand_where_the_kinematics_says() {
        let cell = Cell::standard().unwrap();
        for arm in ArmId::ALL {
            let (bodies, chain) = (Bodies::of(arm).unwrap(), cell.chain(arm).unwrap());
            let q: Vec<f64> = (0..chain.dof()).map(|i| 0.1 + 0.05 * i as f64).collect();
            let poses = bodies.poses(at(arm, &q));
            let (_, on, place) = bodies.frames.iter().find(|(name, ..)| *name == format!("{arm}_tip")).unwrap();
            let gap = (poses[on.unwrap()] * place).inverse() * chain.fk(&q).unwrap().iso();
            assert!(gap.translation.vector.norm() < 1e-9 && gap.rotation.angle() < 1e-7, "{arm}: {gap}");
        }
    }

    #[test]
    fn what_a_joint_moves_is_what_hangs_on_it() {
        let bodies = Bodies::of(ArmId::Psm1).unwrap();
        let moved = bodies.moved(|_| 0.0);
        let by_name = |name: &str| moved[bodies.bodies.iter().position(|b| b.joint == name).unwrap()];
        // Carriage 0.55 kg, shaft 0.06 kg; wrist, hub and two jaws count as no less than LEAST_MASS each.
        assert!((by_name("PSM1_insertion") - (0.55 + 0.06 + 4.0 * LEAST_MASS)).abs() < 1e-9);
        // Further out, less is moved.
        assert!(by_name("PSM1_yaw") > by_name("PSM1_pitch") && by_name("PSM1_pitch") > by_name("PSM1_roll"));
        assert!(moved.iter().all(|m| *m >= LEAST_INERTIA));
    }
}

//! What ROS's tools draw of the cell: where the arms' bases are (`/tf`), every arm's joints under their names in the robot's description
//! (`/joint_states`, for robot_state_publisher) and the scene's surface as a cloud of points. Nothing decides by any of it.
//!
//! A base is where fusion's estimate puts it, and nominally until there is one; the ECM's is nominal by definition. What hangs on the bases is
//! robot_state_publisher's to say, with `urdf/generated/cell_tracked.urdf`.

use proctor_bus::{ArmSubscriber, Bus, BusError, Node, Publisher, Subscriber, graph};
use proctor_kinematics::{Cell, KinematicsError};
use proctor_msgs::wire::{WORLD_FRAME, base_frame, joint_names};
use proctor_types::{
    ArmId, ArmState, Base, NamedJoints, Pose, Scene, Stamp, SurfaceCloud, Transform, Transforms, World,
};
use std::time::Duration;

/// Joints and frames: as often as pictures come.
const PERIOD: Duration = Duration::from_millis(33);
/// The surface, for people's eyes: five times a second, and not one picture later because stamps are not round.
const SURFACE_EVERY: Duration = Duration::from_millis(190);
/// An arm whose joints are older is not said any more.
const SILENT: Duration = Duration::from_secs(1);

/// What stops the node at its start.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// The robot's description.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// The bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

/// Runs beside [`crate::FusionNode`], in its process.
pub struct FramesNode {
    arms: [(ArmSubscriber, Option<ArmState>); 3],
    scenes: Subscriber<Scene>,
    bases: [(ArmId, Pose<World, Base>); 3],
    surfaced: Option<Stamp>,
    tf: Publisher<Transforms>,
    joint_states: Publisher<NamedJoints>,
    surface: Publisher<SurfaceCloud>,
}

impl FramesNode {
    /// Joins the bus.
    pub fn new(bus: &Bus) -> Result<Self, FramesError> {
        let cell = Cell::standard()?;
        let [one, two, three] = ArmId::ALL.map(|arm| ArmSubscriber::new(bus, arm).map(|s| (s, None)));
        Ok(Self {
            arms: [one?, two?, three?],
            scenes: bus.subscriber(&graph::scene())?,
            bases: ArmId::ALL.map(|arm| (arm, cell.world_from_base(arm))),
            surfaced: None,
            tf: bus.publisher(&graph::tf())?,
            joint_states: bus.publisher(&graph::joint_states())?,
            surface: bus.publisher(&graph::surface())?,
        })
    }

    fn hear(&mut self) {
        for (heard, last) in &mut self.arms {
            *last = heard.newest().or(last.take());
        }
    }

    /// Takes the bases, and now and then the surface.
    fn see(&mut self, scene: Scene, now: Stamp) -> Result<(), BusError> {
        for estimate in &scene.hand_eyes {
            let arm = self.bases.iter_mut().find(|(arm, _)| *arm == estimate.arm);
            arm.into_iter().for_each(|(_, base)| *base = estimate.world_from_base);
        }
        if self.surfaced.is_some_and(|last| last <= now && last.age(now) < SURFACE_EVERY) {
            return Ok(());
        }
        self.surfaced = Some(now);
        self.surface.publish(&SurfaceCloud { stamp: scene.stamp, points: scene.surface })
    }

    fn say(&self, now: Stamp) -> Result<(), BusError> {
        self.tf.publish(&transforms(now, &self.bases))?;
        let live = |a: &&ArmState| a.stamp > now || a.stamp.age(now) < SILENT;
        let joints: Vec<_> = self.arms.iter().filter_map(|(_, a)| a.as_ref()).filter(live).flat_map(joints).collect();
        if joints.is_empty() {
            return Ok(());
        }
        self.joint_states.publish(&NamedJoints { stamp: now, joints })
    }
}

/// The bases in the world.
fn transforms(stamp: Stamp, bases: &[(ArmId, Pose<World, Base>); 3]) -> Transforms {
    let one = |(arm, base): &(ArmId, Pose<World, Base>)| Transform {
        stamp,
        parent: WORLD_FRAME.to_owned(),
        child: base_frame(*arm).to_owned(),
        parent_from_child: *base.iso(),
    };
    Transforms(bases.iter().map(one).collect())
}

/// An arm's joints under their names in the cell's description: CRTK's `outer_yaw` of PSM1 is its `PSM1_yaw`. An arm of another form has a
/// description of its own, whose joints are numbered.
fn joints(arm: &ArmState) -> Vec<(String, f64, f64)> {
    let place = arm.arm.name();
    let known = joint_names(arm.arm);
    let name = |i: usize| match known.get(i).filter(|_| arm.position.len() == known.len()) {
        Some(name) => format!("{place}_{}", name.trim_start_matches("outer_")),
        None => format!("{place}_joint_{}", i + 1),
    };
    let mut all: Vec<_> =
        arm.position.iter().zip(arm.velocity.iter()).enumerate().map(|(i, (q, v))| (name(i), *q, *v)).collect();
    if arm.arm.has_jaw() {
        all.push((format!("{place}_jaw"), arm.jaw, 0.0));
    }
    all
}

impl Node for FramesNode {
    fn name(&self) -> &'static str {
        "frames"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    fn poll(&mut self, now: Stamp) {
        self.hear();
        let seen = self.scenes.newest().map_or(Ok(()), |scene| self.see(scene, now));
        if let Err(error) = seen.and_then(|()| self.say(now)) {
            tracing::warn!(%error, "frames not published");
        }
    }
}

//! What ROS's tools draw: frames, joints and the surface, held against the robot's description that robot_state_publisher reads.

#![allow(clippy::unwrap_used)]

mod support;

use nalgebra::{Isometry3, Vector3};
use proctor_bus::{ArmPublisher, Bus, Node, graph};
use proctor_fusion::FramesNode;
use proctor_kinematics::Cell;
use proctor_types::{ArmId, NamedJoints, Pose, Scene, SurfaceCloud, SurfacePoint, Transforms};
use std::{collections::BTreeSet, time::Duration};
use support::{Setup, World, stamp};

const TRACKED: &str = include_str!("../../../urdf/generated/cell_tracked.urdf");

/// Names of the description's joints of a kind that follow no other joint.
fn described(wanted: &[&str]) -> BTreeSet<String> {
    let joints = TRACKED.split("<joint ").skip(1).map(|j| j.split("</joint>").next().unwrap());
    let own = joints.filter(|j| wanted.iter().any(|w| j.contains(&format!("type=\"{w}\""))) && !j.contains("<mimic"));
    own.map(|j| j.split('"').nth(1).unwrap().to_owned()).collect()
}

/// One that fusion made.
fn scene() -> Scene {
    let mut last = None;
    World::new(Setup::new(1)).run(&mut support::fusion(), (0.0, 2), |_, scene, _| last = Some(scene.clone()));
    last.unwrap()
}

#[test]
fn joints_have_the_names_of_the_description_and_all_of_them() {
    let (bus, world) = (Bus::memory(), World::new(Setup::new(1)));
    let mut node = FramesNode::new(&bus).unwrap();
    let said = bus.subscriber::<NamedJoints>(&graph::joint_states()).unwrap();
    node.poll(stamp(1.0));
    assert!(said.take().is_none(), "nobody has said where the arms are");
    for arm in ArmId::ALL {
        ArmPublisher::new(&bus, arm).unwrap().publish(&world.state(arm, 1.0)).unwrap();
    }
    node.poll(stamp(1.02));
    let joints = said.take().unwrap().unwrap();
    let names: BTreeSet<_> = joints.joints.iter().map(|(name, ..)| name.clone()).collect();
    assert_eq!(names, described(&["revolute", "prismatic", "continuous"]));
    let yaw = joints.joints.iter().find(|(name, ..)| name == "PSM2_yaw").unwrap();
    assert_eq!(yaw.1, world.state(ArmId::Psm2, 1.0).position[0]);
    // An arm that has fallen silent is not said to be where it was.
    node.poll(stamp(2.5));
    assert!(said.take().is_none());
}

#[test]
fn bases_are_where_fusion_has_them_and_hang_as_the_description_says() {
    let bus = Bus::memory();
    let mut node = FramesNode::new(&bus).unwrap();
    let said = bus.subscriber::<Transforms>(&graph::tf()).unwrap();
    let scenes = bus.publisher::<Scene>(&graph::scene()).unwrap();
    node.poll(stamp(1.0));
    let nominal = said.take().unwrap().unwrap().0;
    let cell = Cell::standard().unwrap();
    for (arm, t) in ArmId::ALL.into_iter().zip(&nominal) {
        assert_eq!((t.stamp, t.parent.as_str()), (stamp(1.0), "world"));
        assert_eq!(t.parent_from_child, *cell.world_from_base(arm).iso());
        // robot_state_publisher leaves floating joints to us.
        assert!(described(&["floating"]).contains(&format!("world_to_{arm}")));
        assert_eq!(t.child, format!("{arm}_base"));
    }
    assert_eq!((described(&["floating"]).len(), nominal.len()), (3, 3));

    let mut scene = scene();
    let moved = Pose::new(Isometry3::new(Vector3::new(0.1, 0.2, 0.3), Vector3::new(0.0, 0.1, 0.0)));
    scene.hand_eyes.iter_mut().filter(|h| h.arm == ArmId::Psm1).for_each(|h| h.world_from_base = moved);
    scenes.publish(&scene).unwrap();
    node.poll(stamp(1.04));
    let corrected = said.take().unwrap().unwrap().0;
    assert_eq!(corrected[0].parent_from_child, *moved.iso());
    assert_eq!(corrected[2].parent_from_child, nominal[2].parent_from_child, "the ECM's is exact by definition");
}

#[test]
fn the_surface_is_said_five_times_a_second() {
    let bus = Bus::memory();
    let mut node = FramesNode::new(&bus).unwrap();
    let said = bus.subscriber::<SurfaceCloud>(&graph::surface()).unwrap();
    let scenes = bus.publisher::<Scene>(&graph::scene()).unwrap();
    let scene = scene();
    assert!(!scene.surface.is_empty());
    let mut clouds = Vec::new();
    for i in 0..30 {
        scenes.publish(&scene).unwrap();
        node.poll(stamp(1.0).plus(Duration::from_millis(33 * i)));
        clouds.extend(said.take().map(Result::unwrap));
    }
    assert_eq!(clouds.len(), 5);
    assert_eq!((clouds[0].stamp, clouds[0].points.len()), (scene.stamp, scene.surface.len()));
    let near = |(a, b): (&SurfacePoint, &SurfacePoint)| (a.position - b.position).norm() < 1e-6 && a.class == b.class;
    assert!(clouds[0].points.iter().zip(&scene.surface).all(near), "as single-precision numbers");
}

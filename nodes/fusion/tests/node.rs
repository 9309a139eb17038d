//! The shell on the in-memory bus: joints, pictures and segmentations in, scenes out.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_bus::{ArmPublisher, Bus, Node, Publisher, Subscriber, graph};
use proctor_fusion::{FusionInput, FusionNode, FusionParams};
use proctor_types::{Alignment, ArmId, CameraCalibration, CameraImage, CameraSide, Scene, Segmentation, Stamp};
use support::{Setup, World, stamp};

/// The other side of the bus.
struct Others {
    arms: [ArmPublisher; 3],
    images: [Publisher<CameraImage>; 2],
    infos: [Publisher<CameraCalibration>; 2],
    segmentations: Publisher<Segmentation>,
    scenes: Subscriber<Scene>,
    next_joint: f64,
}

impl Others {
    fn new(bus: &Bus) -> Self {
        Self {
            arms: ArmId::ALL.map(|arm| ArmPublisher::new(bus, arm).unwrap()),
            images: [graph::image_left(), graph::image_right()].map(|t| bus.publisher(&t).unwrap()),
            infos: [graph::camera_info_left(), graph::camera_info_right()].map(|t| bus.publisher(&t).unwrap()),
            segmentations: bus.publisher(&graph::segmentation()).unwrap(),
            scenes: bus.subscriber(&graph::scene()).unwrap(),
            next_joint: 0.0,
        }
    }

    fn joints(&mut self, world: &World, until: f64) {
        while self.next_joint <= until {
            for arm in ArmId::ALL {
                self.arms[arm.index()].publish(&world.state(arm, self.next_joint)).unwrap();
            }
            self.next_joint += 0.005;
        }
    }

    fn picture(&self, input: &FusionInput) {
        let frame = &input.frame;
        let views = [(CameraSide::Left, &frame.left, 0.0), (CameraSide::Right, &frame.right, frame.rig.baseline)];
        for (i, (side, image, offset)) in views.into_iter().enumerate() {
            let info = CameraCalibration { stamp: frame.stamp, side, model: frame.rig.left, offset };
            self.infos[i].publish(&info).unwrap();
            self.images[i].publish(&CameraImage { stamp: frame.stamp, side, image: image.clone() }).unwrap();
        }
    }

    fn scene(&self) -> Option<Scene> {
        self.scenes.take().map(Result::unwrap)
    }
}

/// Polls as an executor would, every 4 ms between two instants.
fn poll(node: &mut FusionNode, from: f64, to: f64) {
    let mut t = from;
    while t < to {
        node.poll(stamp(t));
        t += 0.004;
    }
}

#[test]
fn every_segmentation_with_its_picture_becomes_one_scene() {
    let bus = Bus::memory();
    let mut node = FusionNode::new(&bus, FusionParams::default()).unwrap();
    let mut others = Others::new(&bus);
    let mut world = World::new(Setup::new(21));
    let mut last = None;
    for k in 0..12 {
        let t = 0.1 + 0.1 * f64::from(k);
        others.joints(&world, t);
        let (input, _) = world.picture(t, &ArmId::PSMS);
        others.picture(&input);
        poll(&mut node, t, t + 0.03);
        assert!(others.scene().is_none(), "no segmentation yet, no scene yet");
        // Perception answers 30 ms later, when newer joints are there too.
        others.joints(&world, t + 0.03);
        others.segmentations.publish(&input.segmentation).unwrap();
        poll(&mut node, t + 0.03, t + 0.04);
        let scene = others.scene().expect("a scene per segmentation");
        assert_eq!(scene.stamp, input.frame.stamp);
        assert!(others.scene().is_none());
        last = Some(scene);
    }
    let last = last.unwrap();
    assert_eq!(last.instruments.iter().map(|i| i.alignment).collect::<Vec<_>>(), [Alignment::Aligned; 2]);
    assert!(last.surface.len() > 300);
    assert_eq!((node.counts().published, node.counts().unpaired, node.stats().joints_refused), (12, 0, [0; 3]));
}

#[test]
fn a_segmentation_without_its_picture_makes_no_scene() {
    let bus = Bus::memory();
    let mut node = FusionNode::new(&bus, FusionParams::default()).unwrap();
    let mut others = Others::new(&bus);
    let mut world = World::new(Setup::new(22));
    others.joints(&world, 0.2);
    let (input, _) = world.picture(0.1, &ArmId::PSMS);
    others.picture(&input);
    let stray: Stamp = stamp(0.15);
    others.segmentations.publish(&Segmentation { stamp: stray, ..input.segmentation.clone() }).unwrap();
    poll(&mut node, 0.2, 0.21);
    assert!(others.scene().is_none());
    assert_eq!((node.counts().unpaired, node.counts().published), (1, 0));
    others.segmentations.publish(&input.segmentation).unwrap();
    poll(&mut node, 0.21, 0.22);
    assert_eq!(others.scene().unwrap().stamp, input.frame.stamp);
}

#[test]
fn pictures_waiting_for_a_segmentation_are_bounded() {
    let bus = Bus::memory();
    let mut node = FusionNode::new(&bus, FusionParams::default()).unwrap();
    let mut others = Others::new(&bus);
    let mut world = World::new(Setup::new(23));
    let (first, _) = world.picture(0.1, &ArmId::PSMS);
    for k in 0..=FusionNode::RECENT {
        let t = 0.1 + 0.033 * k as f64;
        others.joints(&world, t);
        let mut input = first.clone();
        input.frame.stamp = stamp(t);
        others.picture(&input);
        poll(&mut node, t, t + 0.005);
    }
    // The first picture had to go.
    others.segmentations.publish(&first.segmentation).unwrap();
    poll(&mut node, 0.5, 0.51);
    assert_eq!((node.counts().unpaired, node.counts().published), (1, 0));
}

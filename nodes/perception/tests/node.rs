//! The shell on the in-memory bus: pictures in, one segmentation of the newest pair out.

mod common;

use common::{folder, paint};
use proctor_bus::{Bus, Node as _, Publisher, Subscriber, graph};
use proctor_perception::{FinderNode, PerceptionNode, PerceptionParams, cli, picture::Rgb};
use proctor_types::{
    ArmId, ArmJoints, CameraCalibration, CameraImage, CameraModel, CameraSide, Class, Findings, Joints, Segmentation,
    Stamp,
};
use std::time::Duration;

struct Camera {
    pictures: [Publisher<CameraImage>; 2],
    info: [Publisher<CameraCalibration>; 2],
}

impl Camera {
    fn new(bus: &Bus) -> Self {
        Self {
            pictures: [graph::image_left(), graph::image_right()].map(|t| bus.publisher(&t).unwrap()),
            info: [graph::camera_info_left(), graph::camera_info_right()].map(|t| bus.publisher(&t).unwrap()),
        }
    }

    fn shoot(&self, stamp: Stamp, image: &Rgb) {
        let model = CameraModel {
            width: image.width(),
            height: image.height(),
            fx: 60.0,
            fy: 60.0,
            cx: 31.5,
            cy: 23.5,
            distortion: [0.0; 5],
        };
        for (i, (side, offset)) in [(CameraSide::Left, 0.0), (CameraSide::Right, 0.0052)].into_iter().enumerate() {
            self.info[i].publish(&CameraCalibration { stamp, side, model, offset }).unwrap();
            self.pictures[i].publish(&CameraImage { stamp, side, image: image.clone() }).unwrap();
        }
    }
}

fn params() -> PerceptionParams {
    PerceptionParams {
        models: vec![folder("colours")],
        onnxruntime: cli::onnxruntime(None).unwrap(),
        ..Default::default()
    }
}

fn at(ms: u64) -> Stamp {
    Stamp::FIRST.plus(Duration::from_millis(ms))
}

#[test]
fn only_the_newest_pair_is_answered_and_the_others_are_counted() {
    let bus = Bus::memory();
    let camera = Camera::new(&bus);
    let answers: Subscriber<Segmentation> = bus.subscriber(&graph::segmentation()).unwrap();
    let mut node = PerceptionNode::new(&bus, params()).unwrap();
    node.poll(at(0));
    assert!(answers.take().is_none(), "nothing came, nothing is said");
    for (i, class) in [Class::Liver, Class::Fat, Class::Gallbladder].into_iter().enumerate() {
        camera.shoot(at(33 * (i as u64 + 1)), &paint(2, |_, _| class));
    }
    node.poll(at(100));
    let answer = answers.take().unwrap().unwrap();
    assert_eq!(answer.stamp, at(99));
    assert!(answer.labels.pixels().iter().all(|&l| l == Class::Gallbladder.id()));
    assert!(answers.take().is_none(), "one answer");
    assert_eq!((node.counts().answered, node.counts().skipped, node.counts().failed), (1, 2, 0));
    node.poll(at(101));
    assert!(answers.take().is_none(), "the same pair is not answered twice");
}

#[test]
fn a_model_that_fails_publishes_nothing_and_is_counted() {
    let bus = Bus::memory();
    let camera = Camera::new(&bus);
    let answers: Subscriber<Segmentation> = bus.subscriber(&graph::segmentation()).unwrap();
    let mut node =
        PerceptionNode::new(&bus, PerceptionParams { models: vec![folder("answers_nan")], ..params() }).unwrap();
    camera.shoot(at(33), &paint(2, |_, _| Class::Liver));
    node.poll(at(40));
    assert!(answers.take().is_none());
    assert_eq!((node.counts().answered, node.counts().failed), (0, 1));
}

#[test]
fn parameters_out_of_range_or_unknown_stop_the_node() {
    let bus = Bus::memory();
    for bad in [PerceptionParams { threads: 0, ..params() }, PerceptionParams { period_ms: 0, ..params() }] {
        let message = PerceptionNode::new(&bus, bad).unwrap_err().to_string();
        assert!(message.contains("parameters") && message.contains("got 0"), "{message}");
    }
    assert!(toml::from_str::<PerceptionParams>("treads = 2").unwrap_err().to_string().contains("treads"));
    assert_eq!(toml::from_str::<PerceptionParams>("").unwrap(), PerceptionParams::default());
}

#[test]
fn models_of_other_tasks_answer_beside_the_one_that_feeds_fusion() {
    let bus = Bus::memory();
    let camera = Camera::new(&bus);
    let segmentations: Subscriber<Segmentation> = bus.subscriber(&graph::segmentation()).unwrap();
    let findings: Subscriber<Findings> = bus.subscriber(&graph::findings()).unwrap();
    let models = ["squares_yolo_v8", "colours", "colour_logits"].map(folder).to_vec();
    let params = PerceptionParams { models, ..params() };
    let mut perception = PerceptionNode::new(&bus, params.clone()).unwrap();
    let mut finders = FinderNode::all(&bus, &params).unwrap();
    camera.shoot(at(33), &paint(2, |_, _| Class::Liver));
    perception.poll(at(40));
    finders.iter_mut().for_each(|f| f.poll(at(40)));
    assert_eq!(segmentations.take().unwrap().unwrap().stamp, at(33));
    let said: Vec<_> = std::iter::from_fn(|| findings.take()).map(|f| f.unwrap()).collect();
    let heads: Vec<_> = said.iter().map(|f| (f.name.as_str(), f.found.task(), f.stamp)).collect();
    assert_eq!(heads, [("squares_yolo_v8", "detection", at(33)), ("colour_logits", "classification", at(33))]);
}

#[test]
fn exactly_one_model_must_feed_fusion_and_the_error_names_what_there_is() {
    let bus = Bus::memory();
    for names in [&["squares_yolo_v8", "zones_labels"][..], &["colours", "colours"], &[]] {
        let params = PerceptionParams { models: names.iter().map(|n| folder(n)).collect(), ..params() };
        let text = PerceptionNode::new(&bus, params.clone()).unwrap_err().to_string();
        assert!(names.iter().all(|n| text.contains(n)) && text.contains("model"), "{text}");
        assert!(FinderNode::all(&bus, &params).is_err());
    }
}

#[test]
fn a_dull_picture_is_covered_unless_the_endoscope_moved() {
    let bus = Bus::memory();
    let camera = Camera::new(&bus);
    let endoscope: Publisher<ArmJoints> = bus.publisher(&graph::measured_js(ArmId::Ecm)).unwrap();
    let answers: Subscriber<Segmentation> = bus.subscriber(&graph::segmentation()).unwrap();
    let mut node = PerceptionNode::new(&bus, params()).unwrap();
    let liver = paint(2, |_, _| Class::Liver);
    let texture = |by: u8| {
        let lighter = |(i, p): (usize, &[u8; 3])| {
            let (x, y) = (i % liver.width(), i / liver.width());
            if (x + y).is_multiple_of(2) { p.map(|v| v.saturating_add(by)) } else { *p }
        };
        let pixels = liver.pixels().iter().enumerate().map(lighter).collect();
        Rgb::new(liver.width(), liver.height(), pixels).unwrap()
    };
    let mut ms = 0;
    let mut said = |insertion: f64, by: u8| {
        ms += 400;
        let position = Joints::new(&[0.0, 0.0, insertion, 0.0]).unwrap();
        endoscope.publish(&ArmJoints { arm: ArmId::Ecm, stamp: at(ms), position, velocity: Joints::zeros(4) }).unwrap();
        camera.shoot(at(ms), &texture(by));
        node.poll(at(ms));
        answers.take().unwrap().unwrap().quality.reason
    };
    for i in 0..10 {
        assert_eq!(said(0.1, 20 + i % 2), "", "{i}");
    }
    assert_eq!(said(0.104, 6), "lens covered", "it hardly moved");
    assert_eq!(said(0.1, 20), "");
    assert_eq!(said(0.106, 6), "", "it sees something else");
}

//! One message from publisher to decoded value on the sourced ROS 2 (loopback, whatever RMW is set): through Proctor's bus, beside r2r
//! used without it in the same run, typed as its examples do and raw as the bus does. The messages are those of `bus.rs`.
//!
//! `cargo bench --package proctor-bus --features r2r --bench r2r`, with ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use futures_util::{FutureExt, Stream, StreamExt};
use proctor_bus::{Bus, Parameters, R2rConfig, Subscriber, Topic, Wire, graph};
use proctor_msgs::cdr::{self, Layout};
use proctor_types::{ArmId, ArmJoints, CameraImage, CameraSide, Image, Joints, Stamp};
use r2r::{Context, Node, QosProfile};
use std::{
    hint::black_box,
    time::{Duration, Instant},
};

fn joints() -> ArmJoints {
    let position = Joints::new(&[0.1, -0.2, 0.16, 0.3, 0.4, 0.5]).unwrap();
    ArmJoints { arm: ArmId::Psm1, stamp: Stamp::FIRST, position, velocity: Joints::zeros(6) }
}

fn picture() -> CameraImage {
    let image = Image::new(640, 480, vec![[1, 2, 3]; 640 * 480]).unwrap();
    CameraImage { stamp: Stamp::FIRST, side: CameraSide::Left, image }
}

/// Tries until something comes; says again what may have been lost (best effort), and ends the run after ten seconds.
fn spin<T>(mut again: impl FnMut(), mut take: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut next = Duration::from_millis(200);
    loop {
        if let Some(value) = take() {
            return value;
        }
        if start.elapsed() > next {
            next += Duration::from_millis(200);
            again();
        }
        assert!(start.elapsed() < Duration::from_secs(10), "a message was lost again and again");
    }
}

fn ours<T: Wire>(c: &mut Criterion, name: &str, bus: &Bus, topic: &Topic, value: &T) {
    let publisher = bus.publisher::<T>(topic).unwrap();
    let subscriber: Subscriber<T> = bus.subscriber(topic).unwrap();
    let publish = || publisher.publish(value).unwrap();
    publish();
    _ = spin(publish, || subscriber.take());
    c.bench_function(name, |b| {
        b.iter(|| {
            publish();
            black_box(spin(publish, || subscriber.take()).is_ok())
        });
    });
}

/// Takes from a stream what a spin brings.
fn next<T>(node: &mut Node, stream: &mut (impl Stream<Item = T> + Unpin)) -> Option<T> {
    node.spin_once(Duration::from_millis(2));
    stream.next().now_or_never().flatten()
}

fn raw<T: Wire>(c: &mut Criterion, name: &str, node: &mut Node, topic: &str, type_name: &str, value: &T) {
    let qos = QosProfile::default().keep_last(4).best_effort();
    let publisher = node.create_publisher_untyped(topic, type_name, qos.clone()).unwrap();
    let mut stream = node.subscribe_raw(topic, type_name, qos).unwrap();
    let layout = Layout::of::<T::Msg>();
    let publish = || publisher.publish_raw(&cdr::to_cdr(&value.encode())).unwrap();
    publish();
    _ = spin(publish, || next(node, &mut stream));
    c.bench_function(name, |b| {
        b.iter(|| {
            publish();
            let bytes = spin(publish, || next(node, &mut stream));
            black_box(cdr::from_cdr::<T::Msg>(&layout, &bytes).is_ok())
        });
    });
}

fn typed(c: &mut Criterion, node: &mut Node) {
    use r2r::sensor_msgs::msg;
    macro_rules! measure {
        ($name:literal, $topic:literal, $message:expr) => {{
            let qos = QosProfile::default().keep_last(4).best_effort();
            let message = $message;
            let publisher = node.create_publisher($topic, qos.clone()).unwrap();
            let mut stream = node.subscribe($topic, qos).unwrap();
            let publish = || publisher.publish(&message).unwrap();
            publish();
            let mut heard = spin(publish, || next(node, &mut stream));
            c.bench_function($name, |b| {
                b.iter(|| {
                    publish();
                    heard = spin(publish, || next(node, &mut stream));
                });
            });
            assert_eq!(heard, message);
        }};
    }
    let position = vec![0.1, -0.2, 0.16, 0.3, 0.4, 0.5];
    let name = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw"].map(str::to_owned).to_vec();
    measure!(
        "plain r2r typed/joints",
        "/plain/joints",
        msg::JointState { name, velocity: vec![0.0; 6], position, ..Default::default() }
    );
    let (width, height) = (640, 480);
    let data = [1, 2, 3].repeat(640 * 480);
    let encoding = "rgb8".to_owned();
    measure!(
        "plain r2r typed/picture",
        "/plain/picture",
        msg::Image { width, height, step: 3 * width, encoding, data, ..Default::default() }
    );
}

fn all(c: &mut Criterion) {
    let bus = Bus::r2r(&R2rConfig::from_environment("bench", Parameters::default())).unwrap();
    ours(c, "r2r/joints", &bus, &graph::measured_js(ArmId::Psm1), &joints());
    ours(c, "r2r/picture", &bus, &graph::image_left(), &picture());
    let mut node = Node::create(Context::create().unwrap(), "plain", "").unwrap();
    raw(c, "plain r2r raw/joints", &mut node, "/raw/joints", "sensor_msgs/msg/JointState", &joints());
    raw(c, "plain r2r raw/picture", &mut node, "/raw/picture", "sensor_msgs/msg/Image", &picture());
    typed(c, &mut node);
}

criterion_group!(benches, all);
criterion_main!(benches);

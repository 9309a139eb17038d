//! One message from publisher to decoded value, in memory and over hiroz (two sessions, TCP loopback), beside hiroz used
//! without Proctor's bus in the same run. A joint state is 6 joints with velocities; a picture is 640x480 RGB.

#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, criterion_group, criterion_main};
use hiroz::{Builder, context::ZContextBuilder, qos::QosProfile};
use hiroz_msgs::ros::sensor_msgs;
use proctor_bus::{Bus, HirozConfig, Subscriber, Topic, Wire, graph};
use proctor_types::{ArmId, ArmJoints, CameraImage, CameraSide, Image, Joints, Stamp};
use std::{
    hint::black_box,
    net::TcpListener,
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

/// Busy-waits; a message that does not come within ten seconds ends the run.
fn spin<T>(mut take: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = take() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "a message was lost");
        std::hint::spin_loop();
    }
}

/// One message at a time, from before `publish` until it is a value.
fn crossing<T: Wire>(c: &mut Criterion, name: &str, from: &Bus, to: &Bus, topic: &Topic, value: &T) {
    let publisher = from.publisher::<T>(topic).unwrap();
    let subscriber: Subscriber<T> = to.subscriber(topic).unwrap();
    let start = Instant::now();
    while subscriber.take().is_none() {
        assert!(start.elapsed() < Duration::from_secs(20), "the sessions do not find each other");
        publisher.publish(value).unwrap();
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(100));
    while subscriber.take().is_some() {}
    c.bench_function(name, |b| {
        b.iter(|| {
            publisher.publish(black_box(value)).unwrap();
            black_box(spin(|| subscriber.take()).is_ok())
        });
    });
}

fn publish_only(c: &mut Criterion) {
    let (bus, topic, value) = (Bus::memory(), graph::servo_jp(ArmId::Psm1), joints());
    let publisher = bus.publisher::<ArmJoints>(&topic).unwrap();
    let _readers: Vec<_> = (0..4).map(|_| bus.subscriber::<ArmJoints>(&topic).unwrap()).collect();
    c.bench_function("memory/publish joints to 4 readers", |b| b.iter(|| publisher.publish(black_box(&value))));
}

fn endpoint() -> String {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    format!("tcp/127.0.0.1:{port}")
}

fn pair() -> (Bus, Bus) {
    let endpoint = endpoint();
    let listener = HirozConfig { listen: vec![endpoint.clone()], ..HirozConfig::default() };
    let caller = HirozConfig { listen: vec![], connect: vec![endpoint], ..HirozConfig::default() };
    (Bus::hiroz(&listener).unwrap(), Bus::hiroz(&caller).unwrap())
}

/// hiroz as its own examples use it, on the same two kinds of message.
fn plain_hiroz(c: &mut Criterion) {
    let endpoint = endpoint();
    let context = |listen: Vec<String>, connect: Vec<String>| {
        ZContextBuilder::default()
            .with_mode("peer")
            .with_listen_endpoints(listen)
            .with_connect_endpoints(connect)
            .disable_multicast_scouting()
            .build()
            .unwrap()
    };
    let (a, b) = (context(vec![endpoint.clone()], vec![]), context(vec![], vec![endpoint]));
    let (from, to) = (a.create_node("a").build().unwrap(), b.create_node("b").build().unwrap());
    macro_rules! measure {
        ($name:literal, $type:ty, $topic:literal, $message:expr) => {{
            let publisher = from.create_pub::<$type>($topic).with_qos(QosProfile::default()).build().unwrap();
            let subscriber = to.create_sub::<$type>($topic).with_qos(QosProfile::default()).build().unwrap();
            let message: $type = $message;
            while subscriber.recv_timeout(Duration::from_millis(20)).is_err() {
                publisher.publish(&message).unwrap();
            }
            while subscriber.recv_timeout(Duration::from_millis(100)).is_ok() {}
            c.bench_function($name, |b| {
                b.iter(|| {
                    publisher.publish(black_box(&message)).unwrap();
                    spin(|| subscriber.is_ready().then_some(()));
                    black_box(subscriber.recv().unwrap())
                });
            });
        }};
    }
    measure!("plain hiroz/joints", sensor_msgs::JointState, "/plain/joints", joints().encode());
    measure!("plain hiroz/picture", sensor_msgs::Image, "/plain/picture", picture().encode());
}

fn all(c: &mut Criterion) {
    let memory = Bus::memory();
    publish_only(c);
    crossing(c, "memory/joints", &memory, &memory, &graph::measured_js(ArmId::Psm1), &joints());
    crossing(c, "memory/picture", &memory, &memory, &graph::image_left(), &picture());
    let (a, b) = pair();
    crossing(c, "hiroz/joints", &a, &b, &graph::measured_js(ArmId::Psm1), &joints());
    crossing(c, "hiroz/picture", &a, &b, &graph::image_left(), &picture());
    plain_hiroz(c);
}

criterion_group!(benches, all);
criterion_main!(benches);

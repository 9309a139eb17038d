//! One message from publisher to decoded value in memory.

#![allow(missing_docs, clippy::unwrap_used)]

#[path = "ways/messages.rs"]
mod messages;

use criterion::{Criterion, criterion_group, criterion_main};
use messages::{joints, picture};
use proctor_bus::{Bus, Subscriber, Topic, Wire, graph};
use proctor_types::{ArmId, ArmJoints};
use std::hint::black_box;

fn publish_only(c: &mut Criterion) {
    let (bus, topic, value) = (Bus::memory(), graph::servo_jp(ArmId::Psm1), joints());
    let publisher = bus.publisher::<ArmJoints>(&topic).unwrap();
    let _readers: Vec<_> = (0..4).map(|_| bus.subscriber::<ArmJoints>(&topic).unwrap()).collect();
    c.bench_function("memory/publish joints to 4 readers", |b| b.iter(|| publisher.publish(black_box(&value))));
}

fn crossing<T: Wire>(c: &mut Criterion, name: &str, topic: &Topic, value: &T) {
    let bus = Bus::memory();
    let publisher = bus.publisher::<T>(topic).unwrap();
    let subscriber: Subscriber<T> = bus.subscriber(topic).unwrap();
    c.bench_function(name, |b| {
        b.iter(|| {
            publisher.publish(black_box(value)).unwrap();
            subscriber.take().unwrap().unwrap()
        });
    });
}

fn all(c: &mut Criterion) {
    publish_only(c);
    crossing(c, "memory/joints", &graph::measured_js(ArmId::Psm1), &joints());
    crossing(c, "memory/picture", &graph::image_left(), &picture());
}

criterion_group!(benches, all);
criterion_main!(benches);

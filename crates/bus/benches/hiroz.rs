//! One message from publisher to decoded value between two sessions of one process (TCP loopback): through Proctor's bus, beside hiroz used without it,
//! in turns.
//!
//! `cargo bench --workspace --bench hiroz`.

#![allow(missing_docs, clippy::unwrap_used)]

mod ways;

use hiroz::{Builder, context::ZContextBuilder, node::ZNode, qos::QosProfile};
use hiroz_msgs::ros::sensor_msgs;
use proctor_bus::{Bus, HirozConfig, Wire, graph};
use proctor_types::ArmId;
use std::net::TcpListener;
use ways::{JOINTS, PICTURE, Way, compare, joints, ours, picture, way};

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

fn plain_pair() -> (ZNode, ZNode) {
    let endpoint = endpoint();
    let node = |name, listen: Vec<String>, connect: Vec<String>| {
        let context = ZContextBuilder::default()
            .with_mode("peer")
            .with_listen_endpoints(listen)
            .with_connect_endpoints(connect)
            .disable_multicast_scouting()
            .build();
        context.unwrap().create_node(name).build().unwrap()
    };
    (node("a", vec![endpoint.clone()], vec![]), node("b", vec![], vec![endpoint]))
}

/// hiroz as its own examples use it.
macro_rules! plain {
    ($nodes:expr, $type:ty, $topic:literal, $message:expr) => {{
        let publisher = $nodes.0.create_pub::<$type>($topic).with_qos(QosProfile::default()).build().unwrap();
        let subscriber = $nodes.1.create_sub::<$type>($topic).with_qos(QosProfile::default()).build().unwrap();
        let message: $type = $message;
        let publish = move || publisher.publish(&message).unwrap();
        way("plain hiroz", publish, move || subscriber.is_ready().then(|| subscriber.recv().unwrap()))
    }};
}

fn main() {
    let (a, b) = pair();
    let plain = plain_pair();
    let (joints, picture) = (joints(), picture());
    let theirs: Way<'_> = plain!(plain, sensor_msgs::JointState, "/plain/joints", joints.encode());
    compare(JOINTS, vec![ours(&a, &b, &graph::measured_js(ArmId::Psm1), &joints), theirs]);
    let bytes = picture.image.pixels().as_flattened().to_vec();
    let message = sensor_msgs::Image { data: bytes.into(), ..picture.encode() };
    let theirs = plain!(plain, sensor_msgs::Image, "/plain/picture", message);
    compare(PICTURE, vec![ours(&a, &b, &graph::image_left(), &picture), theirs]);
}

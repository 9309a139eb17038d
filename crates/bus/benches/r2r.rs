//! One message from publisher to decoded value on the sourced ROS 2 (loopback, whatever RMW is set): through Proctor's bus, beside r2r
//! used without it, typed as its examples do and raw as the bus does, in turns; and beside rclpy (`tests/ros/bench.py`).
//!
//! `cargo bench --workspace --features proctor/r2r --bench r2r`, with ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST.

#![allow(missing_docs, clippy::unwrap_used)]

mod ways;

use futures_util::{FutureExt, Stream, StreamExt};
use proctor_bus::{Bus, Parameters, R2rConfig, Wire, graph};
use proctor_msgs::cdr::{self, Layout};
use proctor_types::ArmId;
use r2r::{Context, Node, QosProfile};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    thread::JoinHandle,
    time::Duration,
};
use ways::{JOINTS, PICTURE, Way, compare, joints, ours, picture, way};

/// A thread that spins a node, until it is dropped.
struct Spun {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Spun {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Spins a node in a thread of its own, as programs on r2r do; takes what `decode` makes of its messages.
fn spun<M: 'static, T: Send + 'static>(
    mut node: Node,
    mut stream: impl Stream<Item = M> + Unpin + Send + 'static,
    decode: impl Fn(M) -> T + Send + 'static,
) -> impl FnMut() -> Option<T> {
    // With the services that a node has on ROS, as Proctor's.
    let (parameters, _) = node.make_parameter_handler().unwrap();
    let mut parameters = Box::pin(parameters);
    let (values, heard) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            node.spin_once(Duration::from_millis(2));
            if let Some(message) = stream.next().now_or_never().flatten() {
                _ = values.send(decode(message));
            }
            _ = parameters.as_mut().now_or_never();
        }
    });
    let spins = Spun { stop, thread: Some(thread) };
    move || {
        let _spins = &spins;
        heard.try_recv().ok()
    }
}

fn plain() -> (Node, QosProfile) {
    (Node::create(Context::create().unwrap(), "plain", "").unwrap(), QosProfile::default().keep_last(4).best_effort())
}

fn raw<'a, T: Wire>(topic: &str, type_name: &str, value: &'a T) -> Way<'a>
where
    T::Msg: Send + 'static,
{
    let (mut node, qos) = plain();
    let publisher = node.create_publisher_untyped(topic, type_name, qos.clone()).unwrap();
    let stream = node.subscribe_raw(topic, type_name, qos).unwrap();
    let layout = Layout::of::<T::Msg>();
    let publish = move || publisher.publish_raw(&cdr::to_cdr(&value.encode())).unwrap();
    let decode = move |bytes: Vec<u8>| cdr::from_cdr::<T::Msg>(&layout, &bytes).unwrap();
    way("r2r raw", publish, spun(node, stream, decode))
}

fn typed<T: r2r::WrappedTypesupport + Send + 'static>(topic: &str, message: T) -> Way<'static> {
    let (mut node, qos) = plain();
    let publisher = node.create_publisher(topic, qos.clone()).unwrap();
    let stream = node.subscribe::<T>(topic, qos).unwrap();
    way("r2r typed", move || publisher.publish(&message).unwrap(), spun(node, stream, |message| message))
}

fn main() {
    use r2r::sensor_msgs::msg;
    let bus = Bus::r2r(&R2rConfig::from_environment("bench", Parameters::default())).unwrap();
    let (joints, picture) = (joints(), picture());

    let name = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw"].map(str::to_owned).to_vec();
    let position = vec![0.1, -0.2, 0.16, 0.3, 0.4, 0.5];
    let message = msg::JointState { name, velocity: vec![0.0; 6], position, ..Default::default() };
    let mine = ours(&bus, &bus, &graph::measured_js(ArmId::Psm1), &joints);
    let raws = raw("/raw/joints", "sensor_msgs/msg/JointState", &joints);
    compare(JOINTS, vec![mine, raws, typed("/typed/joints", message)]);

    let (width, height, encoding) = (640, 480, "rgb8".to_owned());
    let data = [1, 2, 3].repeat(640 * 480);
    let message = msg::Image { width, height, step: 3 * width, encoding, data, ..Default::default() };
    let mine = ours(&bus, &bus, &graph::image_left(), &picture);
    let raws = raw("/raw/picture", "sensor_msgs/msg/Image", &picture);
    compare(PICTURE, vec![mine, raws, typed("/typed/picture", message)]);
}

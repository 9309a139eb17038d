//! One message from publisher to decoded value on the sourced ROS 2 (loopback, whatever RMW is set): through Proctor's bus, beside r2r
//! used without it in the same run, typed as its examples do and raw as the bus does, and beside rclpy (`tests/ros/bench.py`). The messages
//! are those of `bus.rs`.
//!
//! `cargo bench --workspace --features proctor/r2r --bench r2r`, with ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST. A JSON line per case: latency at the
//! topic's rate, and messages a second one at a time.

#![allow(missing_docs, clippy::unwrap_used)]

use futures_util::{FutureExt, Stream, StreamExt};
use proctor_bus::{Bus, Parameters, R2rConfig, Subscriber, Topic, Wire, graph};
use proctor_msgs::cdr::{self, Layout};
use proctor_types::{ArmId, ArmJoints, CameraImage, CameraSide, Image, Joints, Stamp};
use r2r::{Context, Node, QosProfile};
use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::channel,
    },
    time::{Duration, Instant},
};

/// How often a message is said, and how often altogether.
#[derive(Clone, Copy)]
struct Load {
    name: &'static str,
    hz: f64,
    count: u32,
}

const JOINTS: Load = Load { name: "joints", hz: 1000.0, count: 5000 };
const PICTURE: Load = Load { name: "picture", hz: 30.0, count: 150 };
/// After this a best-effort message counts as lost and is said again.
const LOST: Duration = Duration::from_millis(200);

fn joints() -> ArmJoints {
    let position = Joints::new(&[0.1, -0.2, 0.16, 0.3, 0.4, 0.5]).unwrap();
    ArmJoints { arm: ArmId::Psm1, stamp: Stamp::FIRST, position, velocity: Joints::zeros(6) }
}

fn picture() -> CameraImage {
    let image = Image::new(640, 480, vec![[1, 2, 3]; 640 * 480]).unwrap();
    CameraImage { stamp: Stamp::FIRST, side: CameraSide::Left, image }
}

/// Says a message and takes it again, until one comes; how long that took, and how many were lost before it.
fn cross<T>(publish: impl Fn(), take: &mut impl FnMut() -> Option<T>) -> (Duration, u32) {
    for lost in 0..50 {
        let start = Instant::now();
        publish();
        while start.elapsed() < LOST {
            if let Some(value) = take() {
                let took = start.elapsed();
                black_box(value);
                return (took, lost);
            }
        }
    }
    panic!("a message was lost again and again");
}

/// At the load's rate, then as fast as one follows another; prints both.
fn measure<T>(way: &str, load: Load, publish: impl Fn(), mut take: impl FnMut() -> Option<T>) {
    (0..20).for_each(|_| _ = cross(&publish, &mut take));
    let (start, mut times, mut lost) = (Instant::now(), Vec::new(), 0);
    for i in 0..load.count {
        let due = start + Duration::from_secs_f64(f64::from(i) / load.hz);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let (took, again) = cross(&publish, &mut take);
        times.push(took.as_secs_f64() * 1e3);
        lost += again;
    }
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[(part * (times.len() - 1) as f64) as usize];
    let start = Instant::now();
    (0..load.count).for_each(|_| _ = cross(&publish, &mut take));
    let per_s = f64::from(load.count) / start.elapsed().as_secs_f64();
    println!(
        r#"{{"case": "{way}/{}", "hz": {}, "median_ms": {:.4}, "p99_ms": {:.4}, "per_s": {per_s:.0}, "messages": {}, "lost": {lost}}}"#,
        load.name,
        load.hz,
        at(0.5),
        at(0.99),
        load.count
    );
}

fn ours<T: Wire>(load: Load, bus: &Bus, topic: &Topic, value: &T) {
    let publisher = bus.publisher::<T>(topic).unwrap();
    let subscriber: Subscriber<T> = bus.subscriber(topic).unwrap();
    measure("proctor", load, || publisher.publish(value).unwrap(), || subscriber.take().map(Result::unwrap));
}

/// Spins a node in a thread of its own, as programs on r2r do, and hands what `decode` makes of its messages to the bench.
fn spun<M: 'static, T: Send + 'static>(
    mut node: Node,
    mut stream: impl Stream<Item = M> + Unpin + Send + 'static,
    decode: impl Fn(M) -> T + Send + 'static,
    bench: impl FnOnce(&mut dyn FnMut() -> Option<T>),
) {
    let (values, heard) = channel();
    let stop = Arc::new(AtomicBool::new(false));
    let ended = stop.clone();
    let thread = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) {
            node.spin_once(Duration::from_millis(2));
            if let Some(message) = stream.next().now_or_never().flatten() {
                _ = values.send(decode(message));
            }
        }
    });
    bench(&mut || heard.try_recv().ok());
    stop.store(true, Ordering::Relaxed);
    thread.join().unwrap();
}

fn plain() -> (Node, QosProfile) {
    (Node::create(Context::create().unwrap(), "plain", "").unwrap(), QosProfile::default().keep_last(4).best_effort())
}

fn raw<T: Wire>(load: Load, topic: &str, type_name: &str, value: &T)
where
    T::Msg: Send + 'static,
{
    let (mut node, qos) = plain();
    let publisher = node.create_publisher_untyped(topic, type_name, qos.clone()).unwrap();
    let stream = node.subscribe_raw(topic, type_name, qos).unwrap();
    let layout = Layout::of::<T::Msg>();
    let publish = || publisher.publish_raw(&cdr::to_cdr(&value.encode())).unwrap();
    let decode = move |bytes: Vec<u8>| cdr::from_cdr::<T::Msg>(&layout, &bytes).unwrap();
    spun(node, stream, decode, |take| measure("r2r raw", load, publish, take));
}

fn typed<T: r2r::WrappedTypesupport + Send + 'static>(load: Load, topic: &str, message: &T) {
    let (mut node, qos) = plain();
    let publisher = node.create_publisher(topic, qos.clone()).unwrap();
    let stream = node.subscribe::<T>(topic, qos).unwrap();
    let publish = || publisher.publish(message).unwrap();
    spun(node, stream, |message| message, |take| measure("r2r typed", load, publish, take));
}

fn main() {
    use r2r::sensor_msgs::msg;
    {
        let bus = Bus::r2r(&R2rConfig::from_environment("bench", Parameters::default())).unwrap();
        ours(JOINTS, &bus, &graph::measured_js(ArmId::Psm1), &joints());
        ours(PICTURE, &bus, &graph::image_left(), &picture());
    }
    raw(JOINTS, "/raw/joints", "sensor_msgs/msg/JointState", &joints());
    raw(PICTURE, "/raw/picture", "sensor_msgs/msg/Image", &picture());
    let name = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw"].map(str::to_owned).to_vec();
    let position = vec![0.1, -0.2, 0.16, 0.3, 0.4, 0.5];
    let message = msg::JointState { name, velocity: vec![0.0; 6], position, ..Default::default() };
    typed(JOINTS, "/typed/joints", &message);
    let (width, height, encoding) = (640, 480, "rgb8".to_owned());
    let data = [1, 2, 3].repeat(640 * 480);
    let message = msg::Image { width, height, step: 3 * width, encoding, data, ..Default::default() };
    typed(PICTURE, "/typed/picture", &message);
}

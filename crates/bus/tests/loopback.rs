//! Two hiroz sessions in one process over TCP loopback: values cross, malformed bytes do not, late readers learn state.

#![allow(clippy::unwrap_used)]

mod support;

use hiroz::{Builder, MessageTypeInfo, context::ZContextBuilder};
use hiroz_msgs::ros::{sensor_msgs::JointState, std_msgs};
use proctor_bus::{Bus, HirozConfig, Publisher, StereoSubscriber, Subscriber, Wire, graph};
use proctor_types::*;
use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use support::{at, joints, take, until};
use zenoh::{
    Wait,
    qos::{CongestionControl, Priority},
};

/// A loopback endpoint nobody uses: below the ports that the system hands out by itself, and never the same twice in this process.
fn endpoint() -> String {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let free = || {
        let port = 12_000 + (std::process::id().wrapping_mul(16) + TAKEN.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let port = u16::try_from(port).ok()?;
        TcpListener::bind(("127.0.0.1", port)).ok().map(|_| port)
    };
    let port = (0..1000).find_map(|_| free()).unwrap();
    format!("tcp/127.0.0.1:{port}")
}

fn config(node: &str, listen: &[&str], connect: &[&str]) -> HirozConfig {
    let own = |list: &[&str]| list.iter().map(|&e| e.to_owned()).collect();
    HirozConfig {
        domain_id: 77,
        listen: own(listen),
        connect: own(connect),
        node_name: node.to_owned(),
        ..HirozConfig::default()
    }
}

fn pair() -> (Bus, Bus, String) {
    let endpoint = endpoint();
    let a = Bus::hiroz(&config("a", &[&endpoint], &[])).unwrap();
    let b = Bus::hiroz(&config("b", &[], &[&endpoint])).unwrap();
    (a, b, endpoint)
}

/// What a reader hears first of a value said again and again: until the sessions know each other, samples go nowhere.
fn first_heard<T: Wire>(publisher: &Publisher<T>, subscriber: &Subscriber<T>, value: &T) -> T {
    let heard = until("a first message", || {
        publisher.publish(value).unwrap();
        subscriber.take()
    });
    heard.unwrap()
}

#[test]
fn joints_and_pictures_cross_unchanged() {
    let (a, b, _) = pair();
    let topic = graph::measured_js(ArmId::Psm1);
    let publisher = a.publisher(&topic).unwrap();
    let subscriber = b.subscriber::<ArmJoints>(&topic).unwrap();
    assert_eq!(first_heard(&publisher, &subscriber, &joints(0)), joints(0));

    let mut stereo = StereoSubscriber::new(&b).unwrap();
    let image = |ms: i64| {
        let pixels = (0..640 * 480).map(|i| [i as u8, (i >> 8) as u8, ms as u8]).collect();
        Image::new(640, 480, pixels).unwrap()
    };
    let model =
        CameraModel { width: 640, height: 480, fx: 560.0, fy: 560.0, cx: 319.5, cy: 239.5, distortion: [0.0; 5] };
    let images = [a.publisher(&graph::image_left()).unwrap(), a.publisher(&graph::image_right()).unwrap()];
    let infos = [a.publisher(&graph::camera_info_left()).unwrap(), a.publisher(&graph::camera_info_right()).unwrap()];
    let mut ms = 0;
    let frame = until("a stereo pair", || {
        ms += 33;
        for (i, side) in [CameraSide::Left, CameraSide::Right].into_iter().enumerate() {
            let stamp = at(ms);
            infos[i].publish(&CameraCalibration { stamp, side, model, offset: 0.005 * i as f64 }).unwrap();
            images[i].publish(&CameraImage { stamp, side, image: image(ms) }).unwrap();
        }
        stereo.take()
    });
    let sent = (frame.stamp.nanos() - at(0).nanos()) / 1_000_000;
    assert_eq!((&frame.left, &frame.right), (&image(sent), &image(sent)));
    assert_eq!(frame.rig.left, model);
    assert!((frame.rig.baseline - 0.005).abs() < 1e-15);
    assert_eq!(stereo.refused(), 0);
}

#[test]
fn peers_that_know_only_a_third_hear_each_other() {
    let endpoint = endpoint();
    let _middle = Bus::hiroz(&config("middle", &[&endpoint], &[])).unwrap();
    let [b, c] = ["b", "c"].map(|node| Bus::hiroz(&config(node, &["tcp/127.0.0.1:0"], &[&endpoint])).unwrap());
    let topic = graph::measured_js(ArmId::Psm1);
    let publisher = b.publisher(&topic).unwrap();
    let subscriber = c.subscriber::<ArmJoints>(&topic).unwrap();
    assert_eq!(first_heard(&publisher, &subscriber, &joints(0)), joints(0));
}

#[test]
fn a_late_reader_learns_the_latched_state() {
    let (a, b, _) = pair();
    let topic = graph::operating_state(ArmId::Ecm);
    let status = |state| ArmStatus { arm: ArmId::Ecm, stamp: at(1), state, is_homed: true, is_busy: false };
    let publisher = a.publisher(&topic).unwrap();
    publisher.publish(&status(OperatingState::Disabled)).unwrap();
    publisher.publish(&status(OperatingState::Enabled)).unwrap();
    let subscriber = b.subscriber::<ArmStatus>(&topic).unwrap();
    assert_eq!(take(&subscriber), status(OperatingState::Enabled));
}

#[test]
fn malformed_payloads_become_counted_errors() {
    let endpoint = endpoint();
    let bus = Bus::hiroz(&config("victim", &[&endpoint], &[])).unwrap();
    let topic = graph::measured_js(ArmId::Psm1);
    let subscriber = bus.subscriber::<ArmJoints>(&topic).unwrap();
    let raw = bus.raw_subscriber(&topic, 64).unwrap();
    // A hostile peer: announces the right type, sends what it likes.
    let context = ZContextBuilder::default()
        .with_domain_id(77)
        .with_mode("peer")
        .with_listen_endpoints(Vec::<String>::new())
        .with_connect_endpoints([endpoint])
        .disable_multicast_scouting()
        .build()
        .unwrap();
    let node = context.create_node("hostile").without_parameters().build().unwrap();
    let hostile = node.create_pub_impl::<std_msgs::String>(&topic.name, Some(JointState::type_info())).build().unwrap();

    let good = proctor_msgs::cdr::to_cdr(&joints(5).encode());
    let mut lying = good.clone();
    // The length of `name`, after header, stamp (8) and the empty frame_id (4 + 1, padded to 4).
    lying[4 + 16..4 + 20].copy_from_slice(&100_000_000u32.to_le_bytes());
    let bad: [Vec<u8>; 6] =
        [vec![], vec![0, 1], good[..good.len() / 2].to_vec(), lying, vec![0xff; 4096], [&good[..], &[0; 8]].concat()];

    let first = until("the hostile peer", || {
        hostile.publish_serialized(good.clone()).unwrap();
        subscriber.take()
    });
    assert_eq!(first.unwrap(), joints(5));
    std::iter::from_fn(|| until_quiet(&subscriber)).count();
    while raw.take().is_some() {}

    for payload in &bad {
        hostile.publish_serialized(payload.clone()).unwrap();
    }
    for payload in &bad {
        let error = until("an error", || subscriber.take()).expect_err("must be refused");
        assert_eq!(error.field, "payload", "{payload:02x?}: {error}");
    }
    hostile.publish_serialized(good.clone()).unwrap();
    assert_eq!(take(&subscriber), joints(5), "the subscription survives");
    assert_eq!(subscriber.refused(), bad.len() as u64);
    assert_eq!(until("raw bytes", || raw.take()).cdr, good);
    assert_eq!(raw.refused(), bad.len() as u64);
}

/// What still waits, until nothing has come for a while.
fn until_quiet(subscriber: &Subscriber<ArmJoints>) -> Option<ArmJoints> {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(200) {
        if let Some(message) = subscriber.take() {
            return message.ok();
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

/// A line between two sessions that can stall: it stays up and passes on nothing.
struct Line {
    endpoint: String,
    stalled: Arc<AtomicBool>,
}

impl Line {
    /// To whoever listens on `far`.
    fn to(far: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("tcp/{}", listener.local_addr().unwrap());
        let (stalled, far) = (Arc::new(AtomicBool::new(false)), far.trim_start_matches("tcp/").to_owned());
        let stalls = Arc::clone(&stalled);
        std::thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                let far = TcpStream::connect(&far).unwrap();
                for (from, to) in [(near.try_clone(), far.try_clone()), (far.try_clone(), near.try_clone())] {
                    let (from, to, stalls) = (from.unwrap(), to.unwrap(), Arc::clone(&stalls));
                    std::thread::spawn(move || pass_on(from, to, &stalls));
                }
            }
        });
        Self { endpoint, stalled }
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, stalled: &AtomicBool) {
    let mut buffer = vec![0; 65_536];
    while let Ok(n @ 1..) = from.read(&mut buffer) {
        while stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        if to.write_all(&buffer[..n]).is_err() {
            break;
        }
    }
}

#[test]
fn a_reader_whose_line_stalls_keeps_no_other_waiting_and_hears_again_afterwards() {
    // What is reliable, so large that it does not fit into anybody's buffers, and called as nothing is in the closed table.
    let topic = graph::Topic { qos: graph::Qos::EVENTS, name: "/other/picture".into(), ..graph::image_left() };
    let (near, far) = (endpoint(), endpoint());
    let quick = Bus::hiroz(&config("quick", &[&near], &[])).unwrap();
    let cut_off = Bus::hiroz(&config("cut_off", &[&far], &[])).unwrap();
    let line = Line::to(&far);
    let says = Bus::hiroz(&config("says", &[], &[&near, &line.endpoint])).unwrap();
    let publisher = says.publisher(&topic).unwrap();
    let [quick, cut_off] = [&quick, &cut_off].map(|bus| bus.subscriber::<CameraImage>(&topic).unwrap());
    let picture = |ms| {
        let image = Image::new(640, 480, vec![[ms as u8; 3]; 640 * 480]).unwrap();
        CameraImage { stamp: at(ms), side: CameraSide::Left, image }
    };
    for reader in [&quick, &cut_off] {
        first_heard(&publisher, reader, &picture(0));
    }
    line.stalled.store(true, Ordering::Relaxed);
    // 36 MB; a writer that waited for the stalled reader would not come to the end.
    let (done, end) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for ms in 1..=40 {
            until("the reader whose line is sound", || {
                publisher.publish(&picture(ms)).unwrap();
                quick.newest().filter(|heard: &CameraImage| heard.stamp == at(ms))
            });
        }
        done.send((publisher, quick)).unwrap();
    });
    let (publisher, _quick) =
        end.recv_timeout(Duration::from_secs(20)).expect("the stalled line kept the writer waiting");
    line.stalled.store(false, Ordering::Relaxed);
    until("the reader whose line is mended", || {
        publisher.publish(&picture(50)).unwrap();
        cut_off.newest().filter(|heard: &CameraImage| heard.stamp == at(50))
    });
}

#[test]
fn on_the_wire_nothing_waits_and_pictures_come_after_the_rest() {
    let (a, _b, endpoint) = pair();
    let mut config = zenoh::Config::default();
    for (key, value) in [
        ("connect/endpoints", format!("[{endpoint:?}]")),
        ("listen/endpoints", "[]".to_owned()),
        ("scouting/multicast/enabled", "false".to_owned()),
    ] {
        config.insert_json5(key, &value).unwrap();
    }
    let listens = zenoh::open(config).wait().unwrap();
    let heard = listens.declare_subscriber("77/**").wait().unwrap();
    let (image, joint) = (graph::image_left(), graph::measured_js(ArmId::Psm1));
    let (images, measured) = (a.publisher(&image).unwrap(), a.publisher(&joint).unwrap());
    let pixels = Image::new(2, 2, vec![[0; 3]; 4]).unwrap();
    let picture = CameraImage { stamp: at(1), side: CameraSide::Left, image: pixels };
    let manner = |topic: &graph::Topic| {
        until("a sample of each", || {
            images.publish(&picture).unwrap();
            measured.publish(&joints(1)).unwrap();
            let sample = heard.try_recv().ok().flatten()?;
            sample.key_expr().contains(&*topic.name).then(|| (sample.priority(), sample.congestion_control()))
        })
    };
    assert_eq!(manner(&joint), (Priority::Data, CongestionControl::Drop));
    assert_eq!(manner(&image), (Priority::DataLow, CongestionControl::Drop));
}

#[test]
fn a_slow_reader_keeps_the_newest_and_counts_the_rest() {
    let (a, b, _) = pair();
    let topic = graph::measured_js(ArmId::Psm1);
    let publisher = a.publisher(&topic).unwrap();
    let subscriber = b.subscriber_of_depth::<ArmJoints>(&topic, 4).unwrap();
    let probe = b.subscriber::<ArmJoints>(&topic).unwrap();
    first_heard(&publisher, &probe, &joints(0));
    while until_quiet(&probe).is_some() {}
    while subscriber.take().is_some() {}
    let before = subscriber.dropped();
    for ms in 1..=20 {
        publisher.publish(&joints(ms)).unwrap();
    }
    until("the last one", || probe.take().filter(|m| m.as_ref().is_ok_and(|j| j.stamp == at(20)))).unwrap();
    let kept: Vec<_> = std::iter::from_fn(|| subscriber.take()).map(|m| m.unwrap().stamp).collect();
    assert_eq!(kept, [17, 18, 19, 20].map(at));
    assert_eq!(subscriber.dropped() - before, 16);
}

#[test]
fn who_else_says_and_hears_a_topic_is_known_with_the_ros_type_and_under_the_robots_name() {
    let (a, b, _) = pair();
    let a = a.with_names(proctor_bus::Names::namespace(ArmId::Psm1, "/si/PSM1").unwrap());
    let topic = graph::measured_js(ArmId::Psm1);
    let publisher = a.publisher::<ArmJoints>(&topic).unwrap();
    let _reader = a.subscriber::<JointCommand>(&graph::servo_jp(ArmId::Psm1)).unwrap();
    assert_eq!(a.announced(&topic).writers, Vec::<String>::new(), "its own writer is nobody else's");
    let there = b.with_names(proctor_bus::Names::namespace(ArmId::Psm1, "/si/PSM1").unwrap());
    let writers = until("the writer", || Some(there.announced(&topic).writers).filter(|w| !w.is_empty()));
    assert_eq!(writers, ["sensor_msgs/msg/JointState"]);
    let readers =
        until("the reader", || Some(there.announced(&graph::servo_jp(ArmId::Psm1)).readers).filter(|r| !r.is_empty()));
    assert_eq!(readers, ["sensor_msgs/msg/JointState"]);
    assert_eq!(b.announced(&topic).writers, Vec::<String>::new(), "nobody writes /PSM1/measured_js");
    let heard = there.subscriber::<ArmJoints>(&topic).unwrap();
    let (position, velocity) = (Joints::zeros(6), Joints::zeros(6));
    let sample = ArmJoints { arm: ArmId::Psm1, stamp: Stamp::FIRST, position, velocity };
    let got = until("a sample", || {
        publisher.publish(&sample).unwrap();
        heard.newest()
    });
    assert_eq!(got, sample);
}

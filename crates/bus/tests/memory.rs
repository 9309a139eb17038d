//! The in-memory backend: bounded, latched where the table says so, deterministic.

#![allow(clippy::unwrap_used)]

use proctor_bus::{ArmPublisher, ArmSubscriber, Bus, BusError, StereoSubscriber, graph};
use proctor_msgs::{Wire, cdr};
use proctor_types::*;

fn at(ms: i64) -> Stamp {
    Stamp::from_nanos("t", 1_000_000_000 + ms * 1_000_000).unwrap()
}

fn command(ms: i64) -> JointCommand {
    JointCommand { arm: ArmId::Ecm, stamp: at(ms), position: Joints::new(&[0.1, 0.2, 0.1, ms as f64]).unwrap() }
}

fn joints(arm: ArmId, ms: i64) -> ArmJoints {
    let zeros = Joints::zeros(arm.dof());
    ArmJoints { arm, stamp: at(ms), position: zeros, velocity: zeros }
}

fn picture(side: CameraSide, ms: i64) -> CameraImage {
    let image = Image::new(2, 1, vec![[ms as u8, 1, 2], [3, 4, 5]]).unwrap();
    CameraImage { stamp: at(ms), side, image }
}

fn calibration(side: CameraSide, ms: i64) -> CameraCalibration {
    let model = CameraModel { width: 2, height: 1, fx: 512.0, fy: 512.0, cx: 0.5, cy: 0.0, distortion: [0.0; 5] };
    let offset = if side == CameraSide::Left { 0.0 } else { 0.0052 };
    CameraCalibration { stamp: at(ms), side, model, offset }
}

#[test]
fn a_servo_reader_sees_only_the_newest_set_point() {
    let bus = Bus::memory();
    let topic = graph::servo_jp(ArmId::Ecm);
    let (publisher, subscriber) = (bus.publisher(&topic).unwrap(), bus.subscriber::<JointCommand>(&topic).unwrap());
    (0..10).for_each(|ms| publisher.publish(&command(ms)).unwrap());
    assert_eq!(subscriber.take().unwrap().unwrap(), command(9));
    assert!(subscriber.take().is_none());
    assert_eq!(subscriber.dropped(), 9);
}

#[test]
fn events_arrive_in_order_and_the_oldest_go_first_at_the_bound() {
    let bus = Bus::memory();
    let topic = graph::decision();
    let subscriber = bus.subscriber::<Sealed<Decision>>(&topic).unwrap();
    let publisher = bus.publisher(&topic).unwrap();
    let decision = |seq| {
        Sealed::bare(Decision {
            stamp: at(1),
            seq,
            operator: OperatorId::new(1, Role::Surgeon),
            proposal: ProposalId(1),
            digest: Digest::default(),
            kind: DecisionKind::Approve,
        })
    };
    let depth = graph::Qos::EVENTS.depth as u64;
    (0..depth + 3).for_each(|seq| publisher.publish(&decision(seq)).unwrap());
    let seen: Vec<u64> = std::iter::from_fn(|| subscriber.take()).map(|d| d.unwrap().body.seq).collect();
    assert_eq!(seen, (3..depth + 3).collect::<Vec<_>>());
    assert_eq!((subscriber.dropped(), subscriber.refused()), (3, 0));
}

#[test]
fn a_late_reader_learns_state_but_no_old_order() {
    let bus = Bus::memory();
    let (state, order) = (graph::operating_state(ArmId::Psm1), graph::state_command(ArmId::Psm1));
    let status = |ms| ArmStatus {
        arm: ArmId::Psm1,
        stamp: at(ms),
        state: OperatingState::Enabled,
        is_homed: true,
        is_busy: false,
    };
    let enable = StateCommand { arm: ArmId::Psm1, stamp: at(1), request: StateRequest::Enable };
    let states = bus.publisher(&state).unwrap();
    states.publish(&status(1)).unwrap();
    states.publish(&status(2)).unwrap();
    bus.publisher(&order).unwrap().publish(&enable).unwrap();
    assert_eq!(bus.subscriber::<ArmStatus>(&state).unwrap().take().unwrap().unwrap(), status(2));
    assert!(bus.subscriber::<StateCommand>(&order).unwrap().take().is_none());
}

#[test]
fn a_wrong_type_is_refused_with_both_names() {
    let bus = Bus::memory();
    let refused = bus.publisher::<Scene>(&graph::proposal()).err().unwrap();
    let (expected, got) = ("proctor_msgs/msg/Proposal".to_owned(), "proctor_msgs/msg/Scene".to_owned());
    assert_eq!(refused, BusError::Type { topic: "/proctor/proposal".to_owned(), expected, got });
}

#[test]
fn raw_readers_receive_the_cdr_bytes_of_what_was_published() {
    let bus = Bus::memory();
    let topic = graph::servo_jp(ArmId::Ecm);
    let raw = bus.raw_subscriber(&topic, 8).unwrap();
    let publisher = bus.publisher(&topic).unwrap();
    (0..10).for_each(|ms| publisher.publish(&command(ms)).unwrap());
    assert_eq!((raw.waiting(), raw.dropped()), (8, 2));
    let first = raw.take().unwrap();
    assert_eq!(first.cdr, cdr::to_cdr(&command(2).encode()));
    assert_eq!(first.seq, 3, "the publisher's third message");
}

#[test]
fn a_message_that_is_no_value_is_counted() {
    let bus = Bus::memory();
    // The ECM's joints on a PSM's topic: right type, wrong arm.
    let topic = graph::measured_js(ArmId::Psm1);
    let subscriber = bus.subscriber::<ArmJoints>(&topic).unwrap();
    let publisher = bus.publisher(&topic).unwrap();
    publisher.publish(&joints(ArmId::Ecm, 1)).unwrap();
    publisher.publish(&joints(ArmId::Psm1, 2)).unwrap();
    assert_eq!(subscriber.take().unwrap().unwrap_err().field, "name");
    assert_eq!(subscriber.newest(), Some(joints(ArmId::Psm1, 2)));
    assert_eq!(subscriber.refused(), 1);
}

#[test]
fn readers_that_left_are_forgotten_and_clones_share_the_bus() {
    let bus = Bus::memory();
    let topic = graph::clock();
    let publisher = bus.clone().publisher(&topic).unwrap();
    drop(bus.subscriber::<Stamp>(&topic).unwrap());
    publisher.publish(&at(1)).unwrap();
    let subscriber = bus.subscriber::<Stamp>(&topic).unwrap();
    publisher.publish(&at(2)).unwrap();
    assert_eq!(subscriber.take().unwrap().unwrap(), at(2));
}

#[test]
fn only_the_newest_stereo_pair_with_equal_stamps_comes_out() {
    let bus = Bus::memory();
    let mut stereo = StereoSubscriber::new(&bus).unwrap();
    let left = bus.publisher(&graph::image_left()).unwrap();
    let right = bus.publisher(&graph::image_right()).unwrap();
    left.publish(&picture(CameraSide::Left, 1)).unwrap();
    right.publish(&picture(CameraSide::Right, 1)).unwrap();
    assert!(stereo.take().is_none(), "no calibration yet");
    let infos = [(graph::camera_info_left(), CameraSide::Left), (graph::camera_info_right(), CameraSide::Right)];
    for (topic, side) in infos {
        bus.publisher(&topic).unwrap().publish(&calibration(side, 1)).unwrap();
    }
    // Left 2 has no partner, left 4 has none yet.
    for ms in [2, 3, 4] {
        left.publish(&picture(CameraSide::Left, ms)).unwrap();
    }
    right.publish(&picture(CameraSide::Right, 3)).unwrap();
    let frame = stereo.take().unwrap();
    assert_eq!((frame.stamp, frame.seq), (at(3), 3));
    assert_eq!((frame.left.pixels()[0][0], frame.right.pixels()[0][0]), (3, 3));
    assert!((frame.rig.baseline - 0.0052).abs() < 1e-15);
    assert_eq!(frame.rig.left, calibration(CameraSide::Left, 1).model);
    assert!(stereo.take().is_none(), "a pair comes out once");
    right.publish(&picture(CameraSide::Right, 4)).unwrap();
    assert_eq!(stereo.take().unwrap().stamp, at(4));
    assert_eq!((stereo.skipped(), stereo.dropped(), stereo.refused()), (2, 0, 0));
}

#[test]
fn a_picture_whose_size_is_not_the_calibrations_is_refused() {
    let bus = Bus::memory();
    let mut stereo = StereoSubscriber::new(&bus).unwrap();
    for (side, image, info) in [
        (CameraSide::Left, graph::image_left(), graph::camera_info_left()),
        (CameraSide::Right, graph::image_right(), graph::camera_info_right()),
    ] {
        bus.publisher(&info).unwrap().publish(&calibration(side, 1)).unwrap();
        let tall = Image::new(2, 2, vec![[0; 3]; 4]).unwrap();
        bus.publisher(&image).unwrap().publish(&CameraImage { stamp: at(1), side, image: tall }).unwrap();
    }
    assert!(stereo.take().is_none());
    assert_eq!(stereo.refused(), 1);
}

#[test]
fn an_arms_joints_wait_for_its_first_jaw_angle() {
    let bus = Bus::memory();
    let mut arm = ArmSubscriber::new(&bus, ArmId::Psm2).unwrap();
    bus.publisher(&graph::measured_js(ArmId::Psm2)).unwrap().publish(&joints(ArmId::Psm2, 1)).unwrap();
    assert!(arm.take().is_none(), "a jaw angle would be invented");
    let publisher = ArmPublisher::new(&bus, ArmId::Psm2).unwrap();
    let zeros = Joints::zeros(6);
    let state = |ms, jaw| ArmState { arm: ArmId::Psm2, stamp: at(ms), position: zeros, velocity: zeros, jaw };
    publisher.publish(&state(2, 0.5)).unwrap();
    assert_eq!(arm.take().unwrap().unwrap(), state(2, 0.5));
    publisher.publish(&state(3, 0.6)).unwrap();
    publisher.publish(&state(4, 0.7)).unwrap();
    assert_eq!(arm.newest(), Some(state(4, 0.7)));
}

#[test]
fn the_endoscope_has_no_jaw_to_wait_for() {
    let bus = Bus::memory();
    let mut arm = ArmSubscriber::new(&bus, ArmId::Ecm).unwrap();
    bus.publisher(&graph::measured_js(ArmId::Ecm)).unwrap().publish(&joints(ArmId::Ecm, 1)).unwrap();
    assert_eq!(arm.newest().unwrap().jaw, 0.0);
}

//! decode(encode(x)) = x through CDR bytes, bit for bit; and no bytes whatsoever make the decoder panic.

#![allow(clippy::unwrap_used)]

mod strategies;

use proctor_msgs::{Message, Origin, Wire, cdr};
use proctor_types::*;
use proptest::{collection::vec, prelude::*, sample::Index};
use std::fmt::Debug;

/// Through bytes and back. `Debug` of a float is its shortest exact text, so equal texts are equal bits.
fn identity<T: Wire + Debug>(value: &T, origin: Origin) {
    let bytes = cdr::to_cdr(&value.encode());
    let message: T::Msg = cdr::from_cdr(&cdr::Layout::of::<T::Msg>(), &bytes).unwrap();
    let back = T::decode(&message, origin).unwrap();
    assert_eq!(format!("{value:?}"), format!("{back:?}"));
    // Without bytes, and with bytes that are shared, the same.
    let shared: T::Msg = cdr::from_payload(&cdr::Layout::of::<T::Msg>(), &bytes.clone().into()).unwrap();
    for message in [value.encode(), shared] {
        assert_eq!(format!("{value:?}"), format!("{:?}", T::decode(&message, origin).unwrap()));
    }
    assert_eq!(bytes, cdr::to_cdr(&back.encode()));
}

/// Damages bytes in the ways a network or an attacker does.
#[derive(Debug, Clone)]
enum Damage {
    Flip(Vec<(Index, u8)>),
    Cut(Index),
    Extend(Vec<u8>),
    Length(Index, u32),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        vec((any::<Index>(), 1..=255u8), 1..8).prop_map(Damage::Flip),
        any::<Index>().prop_map(Damage::Cut),
        vec(any::<u8>(), 1..64).prop_map(Damage::Extend),
        (any::<Index>(), prop_oneof![Just(u32::MAX), Just(100_000_000), any::<u32>()])
            .prop_map(|(i, n)| Damage::Length(i, n)),
    ]
}

fn damaged(bytes: &[u8], how: &Damage) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    match how {
        Damage::Flip(flips) => {
            for (at, mask) in flips {
                let i = at.index(bytes.len());
                bytes[i] ^= mask;
            }
        }
        Damage::Cut(at) => bytes.truncate(at.index(bytes.len())),
        Damage::Extend(tail) => bytes.extend_from_slice(tail),
        Damage::Length(at, n) => {
            let i = 4 * at.index(bytes.len() / 4);
            bytes[i..i + 4].copy_from_slice(&n.to_le_bytes());
        }
    }
    bytes
}

/// Reads and decodes hostile bytes; whatever happens, it is a value or an error, and a value is a valid one.
fn survives<T: Wire + Debug>(bytes: &[u8], origin: Origin) {
    if let Ok(message) = cdr::from_cdr::<T::Msg>(&cdr::Layout::of::<T::Msg>(), bytes)
        && let Ok(value) = T::decode(&message, origin)
    {
        // What was accepted is representable: it encodes and decodes again.
        let again: T::Msg = cdr::from_cdr(&cdr::Layout::of::<T::Msg>(), &cdr::to_cdr(&value.encode())).unwrap();
        T::decode(&again, origin).unwrap();
    }
}

fn bytes_of<M: Message>(message: &M) -> Vec<u8> {
    cdr::to_cdr(message)
}

macro_rules! wire_tests {
    ($($name:ident: $type:ty, $strategy:expr, $origin:expr;)+) => {$(
        mod $name {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

                #[test]
                fn round_trip_is_the_identity(x in $strategy) {
                    let origin: fn(&$type) -> Origin = $origin;
                    identity(&x, origin(&x));
                }

                #[test]
                fn damaged_bytes_never_panic(x in $strategy, how in damage()) {
                    let origin: fn(&$type) -> Origin = $origin;
                    survives::<$type>(&damaged(&bytes_of(&x.encode()), &how), origin(&x));
                }

                #[test]
                fn random_bytes_never_panic(tail in vec(any::<u8>(), 0..400), arm in strategies::arm()) {
                    survives::<$type>(&[&cdr::HEADER[..], &tail].concat(), Origin::of(arm));
                    survives::<$type>(&tail, Origin::NONE);
                }
            }
        }
    )+};
}

wire_tests! {
    arm_joints: ArmJoints, strategies::arm_joints(), |x| Origin::of(x.arm);
    joint_command: JointCommand, strategies::joint_command(), |x| Origin::of(x.arm);
    sealed_command: ToArm<JointCommand>, strategies::sealed_command(), |x| Origin::of(x.body.arm);
    jaw: Jaw, strategies::jaw(), |x| Origin::of(x.arm);
    arm_pose: ArmPose, strategies::arm_pose(), |x| Origin::of(x.arm);
    arm_force: ArmForce, strategies::arm_force(), |x| Origin::of(x.arm);
    arm_status: ArmStatus, strategies::arm_status(), |x| Origin::of(x.arm);
    state_command: StateCommand, strategies::state_command(), |x| Origin::of(x.arm);
    camera_image: CameraImage, strategies::camera_image(), |_| Origin::NONE;
    segmentation: Segmentation, strategies::segmentation(), |_| Origin::NONE;
    findings: Findings, strategies::findings(), |_| Origin::NONE;
    scene: Scene, strategies::scene(), |_| Origin::NONE;
    proposal: Proposal, strategies::proposal(), |_| Origin::NONE;
    withdrawal: Withdrawal, strategies::withdrawal(), |_| Origin::NONE;
    decision: Sealed<Decision>, strategies::decision(), |_| Origin::NONE;
    presence: Sealed<Presence>, strategies::presence(), |_| Origin::NONE;
    operator_request: Sealed<OperatorRequest>, strategies::operator_request(), |_| Origin::NONE;
    skill_request: SkillRequest, strategies::skill_request(), |_| Origin::NONE;
    safety_state: SafetyState, strategies::safety_state(), |_| Origin::NONE;
    verdict: Verdict, strategies::verdict(), |_| Origin::NONE;
    diagnostics: Diagnostics, strategies::diagnostics(), |_| Origin::NONE;
    log_record: LogRecord, strategies::log_record(), |_| Origin::NONE;
    transforms: Transforms, strategies::transforms(), |_| Origin::NONE;
    named_joints: NamedJoints, strategies::named_joints(), |_| Origin::NONE;
    surface_cloud: SurfaceCloud, strategies::surface_cloud(), |_| Origin::NONE;
    zones_state: ZonesState, strategies::zones_state(), |_| Origin::NONE;
    clock: Stamp, strategies::stamp(), |_| Origin::NONE;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The baseline travels as a product with the focal length, so it may lose its last bits; all else is exact.
    #[test]
    fn calibration_survives_to_a_femtometre(x in strategies::calibration()) {
        let message = x.encode();
        let back = CameraCalibration::decode(&message, Origin::NONE).unwrap();
        prop_assert!((back.offset - x.offset).abs() < 1e-15, "{} {}", back.offset, x.offset);
        prop_assert_eq!(CameraCalibration { offset: x.offset, ..back }, x);
        survives::<CameraCalibration>(&cdr::to_cdr(&message), Origin::NONE);
    }

    #[test]
    fn a_proposals_digest_survives(x in strategies::proposal()) {
        let back = Proposal::decode(&x.encode(), Origin::NONE).unwrap();
        prop_assert_eq!(back.digest(), x.digest());
    }

    /// One flipped bit anywhere in the motion is noticed on arrival.
    #[test]
    fn a_changed_motion_is_refused(x in strategies::proposal(), at in any::<Index>(), bit in 0..52u32) {
        let mut message = x.encode();
        let i = at.index(message.trajectory.points.len());
        let jaw = &mut message.trajectory.points[i].jaw;
        *jaw = f64::from_bits(jaw.to_bits() ^ (1 << bit));
        let e = Proposal::decode(&message, Origin::NONE).unwrap_err();
        prop_assert_eq!(e.field, "digest");
    }
}

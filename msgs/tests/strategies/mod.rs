//! Strategies that make every domain type that travels, over its whole range.

#![allow(clippy::unwrap_used, missing_docs, dead_code)]

use nalgebra::{Isometry3, Matrix6, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use proctor_types::{
    Alignment, ArmForce, ArmId, ArmJoints, ArmPose, ArmStatus, Boot, CameraCalibration, CameraImage, CameraModel,
    CameraSide, Class, Clearance, CommandSeal, Constraint, Decision, DecisionKind, Diagnosis, Diagnostics, Digest,
    Evidence, Finding, Findings, Found, FoundBox, FoundPoint, Frame, HandEye, Health, Image, ImageQuality,
    InstrumentEstimate, Jaw, JointCommand, Joints, LogLevel, LogRecord, NamedJoints, OperatingState, OperatorId,
    OperatorRequest, Outcome, PlannedWith, Pose, Presence, Proposal, ProposalId, QualityVerdict, RequestKind,
    SafetyMode, SafetyState, Scene, Scored, Seal, Sealed, Segmentation, SessionId, Skill, SkillRequest, Stamp,
    StateCommand, StateRequest, SurfaceCloud, SurfacePoint, TimeOffset, Timing, ToArm, ToolKeypoint, Trajectory,
    TrajectoryPoint, Transform, Transforms, Verdict, Withdrawal, ZoneLabel, ZonesState,
};
use proptest::{array::uniform32, collection::vec, option, prelude::*};

/// Any finite number, subnormal and huge ones included.
pub fn number() -> impl Strategy<Value = f64> {
    use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
    POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO
}

pub fn positive() -> impl Strategy<Value = f64> {
    number().prop_map(f64::abs)
}

pub fn unit() -> impl Strategy<Value = f64> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f64]
}

pub fn unit32() -> impl Strategy<Value = f32> {
    prop_oneof![Just(0.0), Just(1.0), 0.0..1.0f32]
}

/// Any stamp that `builtin_interfaces/Time` can hold.
pub fn stamp() -> impl Strategy<Value = Stamp> {
    let last = i64::from(i32::MAX) * 1_000_000_000 + 999_999_999;
    prop_oneof![Just(1), Just(last), 1..=last].prop_map(|n| Stamp::from_nanos("stamp", n).unwrap())
}

pub fn digest() -> impl Strategy<Value = Digest> {
    uniform32(any::<u8>()).prop_map(Digest)
}

pub fn arm() -> impl Strategy<Value = ArmId> {
    proptest::sample::select(ArmId::ALL.to_vec())
}

pub fn class() -> impl Strategy<Value = Class> {
    proptest::sample::select(Class::ALL.to_vec())
}

pub fn joints(arm: ArmId) -> impl Strategy<Value = Joints> {
    vec(number(), arm.dof()).prop_map(|v| Joints::new(&v).unwrap())
}

pub fn point() -> impl Strategy<Value = Point3<f64>> {
    [number(), number(), number()].prop_map(Point3::from)
}

pub fn rotation() -> impl Strategy<Value = UnitQuaternion<f64>> {
    let component = || -1.0..1.0f64;
    [component(), component(), component(), component()]
        .prop_filter("a direction", |c| c.iter().map(|x| x * x).sum::<f64>() > 1e-6)
        .prop_map(|c| UnitQuaternion::from_quaternion(Quaternion::new(c[0], c[1], c[2], c[3])))
}

pub fn pose<A: Frame + std::fmt::Debug, B: Frame + std::fmt::Debug>() -> impl Strategy<Value = Pose<A, B>> {
    (point(), rotation()).prop_map(|(p, r)| Pose::new(Isometry3::from_parts(Translation3::from(p), r)))
}

pub fn covariance() -> impl Strategy<Value = Matrix6<f64>> {
    vec(number(), 36).prop_map(|v| {
        let mut m = Matrix6::from_row_slice(&v);
        (0..6).for_each(|i| m[(i, i)] = m[(i, i)].abs());
        m
    })
}

pub fn arm_joints() -> impl Strategy<Value = ArmJoints> {
    arm().prop_flat_map(|arm| {
        (stamp(), joints(arm), joints(arm)).prop_map(move |(stamp, position, velocity)| ArmJoints {
            arm,
            stamp,
            position,
            velocity,
        })
    })
}

pub fn joint_command() -> impl Strategy<Value = JointCommand> {
    arm_joints().prop_map(|j| JointCommand { arm: j.arm, stamp: j.stamp, position: j.position })
}

pub fn sealed_command() -> impl Strategy<Value = ToArm<JointCommand>> {
    let seal = (any::<u64>(), any::<u64>(), any::<[u8; 32]>());
    let seal = seal.prop_map(|(boot, seq, tag)| CommandSeal { boot: Boot(boot), seq, tag });
    (joint_command(), proptest::option::of(seal)).prop_map(|(body, seal)| ToArm { body, seal })
}

pub fn jaw() -> impl Strategy<Value = Jaw> {
    (arm(), stamp(), number()).prop_map(|(arm, stamp, position)| Jaw { arm, stamp, position })
}

pub fn arm_force() -> impl Strategy<Value = ArmForce> {
    let vector = || (number(), number(), number()).prop_map(|(x, y, z)| Vector3::new(x, y, z));
    (arm(), stamp(), vector(), vector()).prop_map(|(arm, stamp, force, torque)| ArmForce { arm, stamp, force, torque })
}

pub fn arm_pose() -> impl Strategy<Value = ArmPose> {
    (arm(), stamp(), pose()).prop_map(|(arm, stamp, base_from_tip)| ArmPose { arm, stamp, base_from_tip })
}

pub fn arm_status() -> impl Strategy<Value = ArmStatus> {
    let state = proptest::sample::select(OperatingState::ALL.to_vec());
    (arm(), stamp(), state, any::<bool>(), any::<bool>()).prop_map(|(arm, stamp, state, is_homed, is_busy)| ArmStatus {
        arm,
        stamp,
        state,
        is_homed,
        is_busy,
    })
}

pub fn state_command() -> impl Strategy<Value = StateCommand> {
    let request = proptest::sample::select(StateRequest::ALL.to_vec());
    (arm(), stamp(), request).prop_map(|(arm, stamp, request)| StateCommand { arm, stamp, request })
}

pub fn side() -> impl Strategy<Value = CameraSide> {
    prop_oneof![Just(CameraSide::Left), Just(CameraSide::Right)]
}

pub fn camera_image() -> impl Strategy<Value = CameraImage> {
    (stamp(), side(), 1..9usize, 1..9usize).prop_flat_map(|(stamp, side, w, h)| {
        vec(any::<[u8; 3]>(), w * h).prop_map(move |p| CameraImage { stamp, side, image: Image::new(w, h, p).unwrap() })
    })
}

pub fn calibration() -> impl Strategy<Value = CameraCalibration> {
    (stamp(), side(), 1..4096usize, 1..4096usize, [10.0..5e3f64, 10.0..5e3, -1e3..5e3, -1e3..5e3], 0.0..0.02f64)
        .prop_map(|(stamp, side, width, height, [fx, fy, cx, cy], baseline)| CameraCalibration {
            stamp,
            side,
            model: CameraModel { width, height, fx, fy, cx, cy, distortion: [0.0; 5] },
            offset: if side == CameraSide::Left { 0.0 } else { baseline },
        })
}

pub fn quality() -> impl Strategy<Value = ImageQuality> {
    let verdict = proptest::sample::select(QualityVerdict::ALL.to_vec());
    (verdict, "\\PC{0,60}", unit32(), 0.0..1e6f32, unit32()).prop_map(
        |(verdict, reason, brightness, sharpness, saturation)| ImageQuality {
            verdict,
            reason,
            brightness,
            sharpness,
            saturation,
        },
    )
}

pub fn keypoint() -> impl Strategy<Value = ToolKeypoint> {
    (class(), number(), number(), unit32(), any::<u8>()).prop_map(|(part, u, v, confidence, instrument)| ToolKeypoint {
        part,
        u,
        v,
        confidence,
        instrument,
    })
}

pub fn segmentation() -> impl Strategy<Value = Segmentation> {
    (stamp(), any::<u64>(), 1..9usize, 1..9usize).prop_flat_map(|(stamp, seq, w, h)| {
        let labels = vec(0..Class::COUNT as u8, w * h);
        let confidence = proptest::array::uniform10(unit32());
        (labels, vec(any::<u8>(), w * h), confidence, vec(keypoint(), 0..5), quality(), digest()).prop_map(
            move |(labels, uncertainty, confidence, keypoints, quality, model)| Segmentation {
                stamp,
                seq,
                labels: Image::new(w, h, labels).unwrap(),
                uncertainty: Image::new(w, h, uncertainty).unwrap(),
                confidence,
                keypoints,
                quality,
                model,
            },
        )
    })
}

fn label() -> impl Strategy<Value = String> {
    "[ -~]{0,64}"
}

fn scored() -> impl Strategy<Value = Scored> {
    (label(), unit32()).prop_map(|(label, score)| Scored { label, score })
}

pub fn found_box() -> impl Strategy<Value = FoundBox> {
    (label(), unit32(), [number(), number(), number(), number()]).prop_map(|(label, confidence, [a, b, c, d])| {
        FoundBox { label, confidence, edges: [a.min(c), b.min(d), a.max(c), b.max(d)] }
    })
}

fn found_point(objects: usize) -> impl Strategy<Value = FoundPoint> {
    (label(), number(), number(), unit32(), any::<u8>()).prop_map(move |(label, u, v, confidence, object)| FoundPoint {
        label,
        u,
        v,
        confidence,
        object: Some(object).filter(|&o| usize::from(o) < objects),
    })
}

/// Of every task.
fn found() -> impl Strategy<Value = Found> {
    let regions = (vec(scored(), 1..=Findings::MAX_CLASSES), 1..9usize, 1..9usize).prop_flat_map(|(classes, w, h)| {
        let last = (classes.len() - 1) as u8;
        vec(0..=last, w * h).prop_map(move |pixels| Found::Regions {
            image: Image::new(w, h, pixels).unwrap(),
            classes: classes.clone(),
        })
    });
    let points = vec(found_box(), 0..5).prop_flat_map(|boxes| {
        vec(found_point(boxes.len()), 0..9).prop_map(move |points| Found::Points { boxes: boxes.clone(), points })
    });
    prop_oneof![
        regions,
        vec(found_box(), 0..=Findings::MAX_BOXES).prop_map(Found::Boxes),
        points,
        vec(scored(), 0..9).prop_map(Found::Scores),
    ]
}

pub fn findings() -> impl Strategy<Value = Findings> {
    let side = || 1..=4096usize;
    (stamp(), label(), digest(), side(), side(), found())
        .prop_map(|(stamp, name, model, width, height, found)| Findings { stamp, name, model, width, height, found })
}

fn instrument(arm: ArmId) -> impl Strategy<Value = InstrumentEstimate> {
    let alignment = proptest::sample::select(Alignment::ALL.to_vec());
    let finding = proptest::sample::select(Finding::ALL.to_vec());
    (joints(arm), number(), pose(), covariance(), (alignment, finding), positive()).prop_map(
        move |(joints, jaw, world_from_tip, covariance, (alignment, finding), residual_px)| InstrumentEstimate {
            arm,
            joints,
            jaw,
            world_from_tip,
            covariance,
            alignment,
            residual_px,
            finding,
        },
    )
}

fn hand_eye(arm: ArmId) -> impl Strategy<Value = HandEye> {
    (pose(), covariance(), any::<u64>()).prop_map(move |(world_from_base, covariance, version)| HandEye {
        arm,
        world_from_base,
        covariance,
        version,
    })
}

fn surface_point() -> impl Strategy<Value = SurfacePoint> {
    (point(), class(), positive()).prop_map(|(position, class, sigma)| SurfacePoint { position, class, sigma })
}

fn clearance() -> impl Strategy<Value = Clearance> {
    (arm(), class(), number(), positive(), point()).prop_map(|(arm, class, distance, sigma, nearest)| Clearance {
        arm,
        class,
        distance,
        sigma,
        nearest,
    })
}

pub fn scene() -> impl Strategy<Value = Scene> {
    let arms = |which: &[bool]| -> Vec<ArmId> {
        ArmId::ALL.into_iter().zip(which).filter(|(_, w)| **w).map(|(a, _)| a).collect()
    };
    let which = vec(any::<bool>(), 3);
    which.prop_flat_map(move |which| {
        let hand_eyes: Vec<_> = arms(&which).into_iter().map(hand_eye).collect();
        let instruments: Vec<_> = arms(&which).into_iter().map(instrument).collect();
        let grasp = (point(), rotation()).prop_map(|(p, r)| (p, r * Vector3::z()));
        let lists = (hand_eyes, instruments, vec(surface_point(), 0..20), vec(clearance(), 0..6), option::of(grasp));
        let timing = proptest::sample::select(Timing::ALL.to_vec());
        let time =
            (timing, number(), positive()).prop_map(|(timing, seconds, sigma)| TimeOffset { timing, seconds, sigma });
        (stamp(), any::<(u64, u64)>(), pose(), lists, quality(), (digest(), time)).prop_map(
            |(stamp, (seq, zones_version), world_from_camera, lists, quality, (model, time))| {
                let (hand_eyes, instruments, surface, clearances, grasp_target) = lists;
                Scene {
                    stamp,
                    seq,
                    world_from_camera,
                    hand_eyes,
                    instruments,
                    surface,
                    zones_version,
                    clearances,
                    grasp_target,
                    quality,
                    model,
                    time,
                }
            },
        )
    })
}

pub fn trajectory() -> impl Strategy<Value = Trajectory> {
    arm().prop_flat_map(|arm| {
        vec((1e-9..10.0f64, joints(arm), number()), 2..20).prop_map(move |steps| {
            let mut t = 0.0;
            let mut first = true;
            let points = steps.into_iter().map(|(dt, position, jaw)| {
                if !std::mem::take(&mut first) {
                    t += dt;
                }
                TrajectoryPoint { t, position, jaw }
            });
            Trajectory::new(arm, points.collect()).unwrap()
        })
    })
}

pub fn skill() -> impl Strategy<Value = Skill> {
    proptest::sample::select(Skill::ALL.to_vec())
}

pub fn proposal() -> impl Strategy<Value = Proposal> {
    let evidence = ("\\PC{0,100}", unit(), option::of(number()), class()).prop_map(
        |(summary, confidence, smallest_clearance, clearance_class)| Evidence {
            summary,
            confidence,
            smallest_clearance,
            clearance_class,
        },
    );
    let planned =
        (digest(), any::<(u64, u64)>()).prop_map(|(model, (hand_eye, zones))| PlannedWith { model, hand_eye, zones });
    (any::<u64>(), stamp(), stamp(), skill(), trajectory(), planned, evidence).prop_map(
        |(id, stamp, expires, skill, trajectory, planned_with, evidence)| Proposal {
            id: ProposalId(id),
            stamp,
            expires,
            skill,
            trajectory,
            planned_with,
            evidence,
        },
    )
}

pub fn withdrawal() -> impl Strategy<Value = Withdrawal> {
    (stamp(), any::<u64>(), digest()).prop_map(|(stamp, id, digest)| Withdrawal {
        stamp,
        proposal: ProposalId(id),
        digest,
    })
}

fn sealed<T: std::fmt::Debug>(body: impl Strategy<Value = T>) -> impl Strategy<Value = Sealed<T>> {
    let seal = (any::<[u8; 16]>(), stamp(), any::<u64>(), any::<[u8; 32]>());
    (body, seal).prop_map(|(body, (session, expires, boot, tag))| Sealed {
        body,
        seal: Seal { session: SessionId(session), expires, boot: Boot(boot), tag },
    })
}

pub fn decision() -> impl Strategy<Value = Sealed<Decision>> {
    let kind = prop_oneof![Just(DecisionKind::Approve), Just(DecisionKind::Reject)];
    let body = (stamp(), any::<(u64, u32, u64)>(), digest(), kind);
    sealed(body.prop_map(|(stamp, (seq, op, id), digest, kind)| Decision {
        stamp,
        seq,
        operator: OperatorId(op),
        proposal: ProposalId(id),
        digest,
        kind,
    }))
}

pub fn presence() -> impl Strategy<Value = Sealed<Presence>> {
    let body = (stamp(), any::<(u64, u32, bool)>(), digest());
    sealed(body.prop_map(|(stamp, (seq, op, held), digest)| Presence {
        stamp,
        seq,
        operator: OperatorId(op),
        held,
        digest,
    }))
}

pub fn operator_request() -> impl Strategy<Value = Sealed<OperatorRequest>> {
    let kind = proptest::sample::select(RequestKind::ALL.to_vec());
    let body = (stamp(), any::<(u64, u32)>(), kind);
    sealed(body.prop_map(|(stamp, (seq, op), kind)| OperatorRequest { stamp, seq, operator: OperatorId(op), kind }))
}

pub fn skill_request() -> impl Strategy<Value = SkillRequest> {
    (stamp(), any::<u32>(), skill(), arm()).prop_map(|(stamp, op, skill, arm)| SkillRequest {
        stamp,
        operator: OperatorId(op),
        skill,
        arm,
    })
}

pub fn constraint() -> impl Strategy<Value = Constraint> {
    proptest::sample::select(Constraint::ALL.to_vec())
}

pub fn safety_state() -> impl Strategy<Value = SafetyState> {
    let mode = proptest::sample::select(SafetyMode::ALL.to_vec());
    (stamp(), mode, constraint(), any::<[bool; 3]>(), 0..=2u8, digest(), unit(), any::<[u64; 6]>()).prop_map(
        |(stamp, mode, cause, [e_stop, moving, shadow], autonomy_level, active, progress, n)| SafetyState {
            stamp,
            tick: n[0],
            boot: Boot(n[5]),
            mode,
            cause,
            e_stop,
            autonomy_level,
            active,
            progress,
            moving,
            executed: n[1],
            refused: n[2],
            violations: n[3],
            overruns: n[4],
            shadow,
        },
    )
}

pub fn verdict() -> impl Strategy<Value = Verdict> {
    let outcome = proptest::sample::select(Outcome::ALL.to_vec());
    (stamp(), any::<(u64, i32)>(), option::of(arm()), outcome, constraint(), number(), number()).prop_map(
        |(stamp, (tick, index), arm, outcome, constraint, value, limit)| Verdict {
            stamp,
            tick,
            arm,
            outcome,
            constraint,
            value,
            limit,
            index,
        },
    )
}

pub fn diagnostics() -> impl Strategy<Value = Diagnostics> {
    let text = || "[ -~\u{e9}]{0,60}";
    let health = proptest::sample::select(Health::ALL.to_vec());
    let values = proptest::collection::vec((text(), text()), 0..6);
    let one = (health, text(), text(), values).prop_map(|(health, name, message, values)| Diagnosis {
        health,
        name,
        message,
        values,
    });
    (stamp(), proptest::collection::vec(one, 0..6)).prop_map(|(stamp, all)| Diagnostics { stamp, all })
}

pub fn log_record() -> impl Strategy<Value = LogRecord> {
    let text = || "[ -~\u{e9}]{0,60}";
    let level = proptest::sample::select(LogLevel::ALL.to_vec());
    let texts = (text(), text(), text(), text());
    (stamp(), level, texts, any::<u32>()).prop_map(|(stamp, level, (name, text, file, function), line)| LogRecord {
        stamp,
        level,
        name,
        text,
        file,
        function,
        line,
    })
}

pub fn transforms() -> impl Strategy<Value = Transforms> {
    let name = || "[a-zA-Z0-9_/]{0,40}";
    let one = (stamp(), name(), name(), point(), rotation()).prop_map(|(stamp, parent, child, at, turn)| Transform {
        stamp,
        parent,
        child,
        parent_from_child: Isometry3::from_parts(Translation3::from(at), turn),
    });
    vec(one, 0..5).prop_map(Transforms)
}

pub fn named_joints() -> impl Strategy<Value = NamedJoints> {
    let joints = vec(("[a-zA-Z0-9_]{0,40}", number(), number()), 0..20);
    (stamp(), joints).prop_map(|(stamp, joints)| NamedJoints { stamp, joints })
}

/// Its numbers travel as `f32`.
pub fn surface_cloud() -> impl Strategy<Value = SurfaceCloud> {
    let number = || proptest::num::f32::NORMAL.prop_map(f64::from);
    let one = ([number(), number(), number()], class(), number()).prop_map(|(at, class, sigma)| SurfacePoint {
        position: Point3::from(at),
        class,
        sigma: sigma.abs(),
    });
    (stamp(), vec(one, 0..20)).prop_map(|(stamp, points)| SurfaceCloud { stamp, points })
}

pub fn zones_state() -> impl Strategy<Value = ZonesState> {
    let label = ("[ -~]{0,64}", number()).prop_map(|(name, margin)| ZoneLabel { name, margin });
    let zones = vec(label, 0..=ZonesState::MAX_ZONES);
    (stamp(), any::<u64>(), zones).prop_map(|(stamp, version, zones)| ZonesState { stamp, version, zones })
}

//! Every message of the bus, from its bytes to its value.
//!
//! What is accepted encodes to bytes that decode to the same value, whose bytes are the same again; all its numbers are finite; and what the
//! .msg files and the types promise of it holds.

use crate::{Target, mutate::Kind};
use proctor_msgs::{Origin, Wire, cdr};
use proctor_types::{
    ArmForce, ArmId, ArmJoints, ArmPose, ArmStatus, CameraCalibration, CameraImage, Class, Decision, Diagnostics,
    Findings, Found, ImageQuality, Jaw, JointCommand, LogRecord, NamedJoints, OperatorRequest, Presence, Proposal,
    SafetyState, Scene, Sealed, Segmentation, SkillRequest, Stamp, StateCommand, SurfaceCloud, ToArm, Trajectory,
    Transforms, Verdict, Withdrawal, ZoneLabel, ZonesState,
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};
use std::{
    any::{Any, TypeId},
    cell::RefCell,
    collections::HashMap,
    fmt::Debug,
    rc::Rc,
};

#[path = "../../../msgs/tests/strategies/mod.rs"]
mod strategies;

/// Seeds per message.
const SEEDS: usize = 12;

/// What a decoded value promises beyond being finite.
trait Promise: Wire + Debug {
    /// In whose namespaces its topics lie.
    const ORIGINS: &'static [Origin] = &[Origin::NONE];

    fn kept(&self) {}
}

const ARMS: &[Origin] = &[Origin::of(ArmId::Psm1), Origin::of(ArmId::Psm2), Origin::of(ArmId::Ecm)];

macro_rules! of_arms {
    ($($type:ty),+) => {$(
        impl Promise for $type {
            const ORIGINS: &'static [Origin] = ARMS;
        }
    )+};
}

of_arms!(ArmForce, ArmJoints, JointCommand, ToArm<JointCommand>, Jaw, ArmStatus, StateCommand);

macro_rules! promises_nothing {
    ($($type:ty),+) => {$(impl Promise for $type {})+};
}

promises_nothing!(Withdrawal, Sealed<Decision>, Sealed<Presence>, Sealed<OperatorRequest>, SkillRequest, Verdict);

fn within(value: f64, min: f64, max: f64) {
    assert!((min..=max).contains(&value), "{value} outside [{min}, {max}]");
}

fn turns(q: nalgebra::UnitQuaternion<f64>) {
    within(q.norm(), 1.0 - 1e-8, 1.0 + 1e-8);
}

fn quality(q: &ImageQuality) {
    for part in [q.brightness, q.saturation] {
        within(part.into(), 0.0, 1.0);
    }
    within(q.sharpness.into(), 0.0, f64::MAX);
    assert!(q.reason.len() <= 256);
}

impl Promise for ArmPose {
    const ORIGINS: &'static [Origin] = ARMS;

    fn kept(&self) {
        turns(self.base_from_tip.rotation());
    }
}

impl Promise for Stamp {
    fn kept(&self) {
        assert!(self.nanos() > 0);
    }
}

impl Promise for CameraImage {
    fn kept(&self) {
        let (w, h) = (self.image.width(), self.image.height());
        assert!((1..=4096).contains(&w) && (1..=4096).contains(&h) && self.image.pixels().len() == w * h);
    }
}

impl Promise for CameraCalibration {
    fn kept(&self) {
        within(self.model.fx, 1e-3, 1e9);
        within(self.model.fy, 1e-3, 1e9);
        within(self.offset, -1.0, 1.0);
    }
}

impl Promise for Segmentation {
    fn kept(&self) {
        let (w, h) = (self.labels.width(), self.labels.height());
        assert_eq!((self.uncertainty.width(), self.uncertainty.height()), (w, h));
        assert!(self.labels.pixels().iter().all(|l| usize::from(*l) < Class::COUNT) && self.keypoints.len() <= 64);
        self.confidence.iter().chain(self.keypoints.iter().map(|k| &k.confidence)).for_each(|c| {
            within(f64::from(*c), 0.0, 1.0);
        });
        quality(&self.quality);
    }
}

impl Promise for Scene {
    fn kept(&self) {
        assert!(self.hand_eyes.len() <= 3 && self.instruments.len() <= 3 && self.clearances.len() <= 32);
        assert!(self.surface.len() <= Self::MAX_SURFACE_POINTS);
        let sigmas = self.surface.iter().map(|s| s.sigma).chain(self.clearances.iter().map(|c| c.sigma));
        sigmas.for_each(|s| within(s, 0.0, f64::MAX));
        turns(self.world_from_camera.rotation());
        let hand_eyes = self.hand_eyes.iter().map(|h| (h.world_from_base.rotation(), &h.covariance));
        let tips = self.instruments.iter().map(|i| (i.world_from_tip.rotation(), &i.covariance));
        for (rotation, covariance) in hand_eyes.chain(tips) {
            turns(rotation);
            covariance.diagonal().iter().for_each(|v| within(*v, 0.0, f64::MAX));
        }
        for i in &self.instruments {
            assert!(i.arm.admits(i.joints.len()));
            within(i.residual_px, 0.0, f64::MAX);
        }
        for arm in ArmId::ALL {
            assert!(self.hand_eyes.iter().filter(|h| h.arm == arm).count() <= 1);
            assert!(self.instruments.iter().filter(|i| i.arm == arm).count() <= 1);
        }
        if let Some((_, normal)) = &self.grasp_target {
            within(normal.norm(), 0.999, 1.001);
        }
        assert!(self.time.seconds.is_finite());
        within(self.time.sigma, 0.0, f64::MAX);
        quality(&self.quality);
    }
}

impl Promise for Proposal {
    fn kept(&self) {
        let points = self.trajectory.points();
        assert!((2..=Trajectory::MAX_POINTS).contains(&points.len()));
        assert!(points.windows(2).all(|w| w[0].t < w[1].t) && points[0].t >= 0.0, "time runs forwards");
        let joints = points[0].position.len();
        assert!(self.trajectory.arm().admits(joints) && points.iter().all(|p| p.position.len() == joints));
        within(self.evidence.confidence, 0.0, 1.0);
        assert!(self.evidence.summary.len() <= 1024);
    }
}

impl Promise for SafetyState {
    fn kept(&self) {
        assert!(self.autonomy_level <= 2);
        within(self.progress, 0.0, 1.0);
    }
}

impl Promise for LogRecord {
    fn kept(&self) {
        let texts = [&self.name, &self.text, &self.file, &self.function];
        texts.into_iter().for_each(|t| assert!(t.len() <= Self::MAX_TEXT));
    }
}

impl Promise for Transforms {
    fn kept(&self) {
        assert!(self.0.len() <= Self::MAX);
        for t in &self.0 {
            assert!(t.parent.len() <= Self::MAX_NAME && t.child.len() <= Self::MAX_NAME);
            turns(t.parent_from_child.rotation);
        }
    }
}

impl Promise for NamedJoints {
    fn kept(&self) {
        assert!(self.joints.len() <= Self::MAX);
        self.joints.iter().for_each(|(name, ..)| assert!(name.len() <= Self::MAX_NAME));
    }
}

impl Promise for SurfaceCloud {
    fn kept(&self) {
        assert!(self.points.len() <= Scene::MAX_SURFACE_POINTS);
        assert!(self.points.iter().all(|p| p.sigma >= 0.0));
    }
}

impl Promise for Diagnostics {
    fn kept(&self) {
        assert!(self.all.len() <= Self::MAX);
        for one in &self.all {
            assert!(one.values.len() <= Self::MAX_VALUES);
            let texts = one.values.iter().flat_map(|(k, v)| [k, v]).chain([&one.name, &one.message]);
            texts.for_each(|t| assert!(t.len() <= Self::MAX_TEXT));
        }
    }
}

impl Promise for Findings {
    fn kept(&self) {
        assert!((1..=4096).contains(&self.width) && (1..=4096).contains(&self.height));
        match &self.found {
            Found::Regions { image, classes } => {
                assert!(image.pixels().iter().all(|&i| usize::from(i) < classes.len()));
            }
            Found::Boxes(boxes) => assert!(boxes.len() <= Self::MAX_BOXES),
            Found::Points { boxes, points } => {
                assert!(boxes.len() <= Self::MAX_BOXES && points.len() <= Self::MAX_POINTS);
                assert!(points.iter().filter_map(|p| p.object).all(|o| usize::from(o) < boxes.len()));
            }
            Found::Scores(scores) => assert!(scores.len() <= Self::MAX_CLASSES),
        }
    }
}

impl Promise for ZonesState {
    fn kept(&self) {
        assert!(self.zones.len() <= Self::MAX_ZONES);
        self.zones.iter().for_each(|z| assert!(z.name.len() <= ZoneLabel::MAX_NAME));
    }
}

thread_local! {
    /// Layouts are compiled once per subscription, so once per thread here.
    static LAYOUTS: RefCell<HashMap<TypeId, Rc<cdr::Layout>>> = RefCell::default();
}

fn layout<T: Wire>() -> Rc<cdr::Layout> {
    let new = || Rc::new(cdr::Layout::of::<T::Msg>());
    LAYOUTS.with_borrow_mut(|all| Rc::clone(all.entry(TypeId::of::<T::Msg>()).or_insert_with(new)))
}

/// Asserts that nothing in the text of a value says NaN or infinity; what stands in quotes is text, not a number.
fn finite(shown: &str) {
    let mut quoted = false;
    let mut escaped = false;
    let bare: String = shown
        .chars()
        .filter(|c| {
            let was = quoted;
            quoted ^= *c == '"' && !escaped;
            escaped = quoted && *c == '\\' && !escaped;
            !was && !quoted
        })
        .collect();
    let words = bare.split(|c: char| !c.is_ascii_alphanumeric());
    words.for_each(|w| assert!(!matches!(w, "NaN" | "inf"), "not finite: {shown}"));
}

/// The same value twice: bit for bit, but for the baseline of a calibration, which travels as a product with the focal length.
fn same<T: Debug + Any>(a: &T, b: &T) {
    let calibration = |x: &T| (x as &dyn Any).downcast_ref::<CameraCalibration>().copied();
    if let Some((a, b)) = calibration(a).zip(calibration(b)) {
        assert!((a.offset - b.offset).abs() < 1e-15 && a == CameraCalibration { offset: a.offset, ..b });
    } else {
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

fn read_as<T: Promise>(bytes: &[u8], origin: Origin) -> Option<T> {
    let layout = layout::<T>();
    let message = cdr::from_cdr::<T::Msg>(&layout, bytes).ok()?;
    let value = T::decode(&message, origin).ok()?;
    finite(&format!("{value:?}"));
    value.kept();
    let again = cdr::to_cdr(&value.encode());
    let message = cdr::from_cdr::<T::Msg>(&layout, &again).expect("what was encoded is readable");
    let back = T::decode(&message, origin).expect("what was accepted is accepted again");
    same(&value, &back);
    // A baseline is rounded once.
    if TypeId::of::<T>() != TypeId::of::<CameraCalibration>() {
        assert_eq!(again, cdr::to_cdr(&back.encode()));
    }
    Some(value)
}

fn read<T: Promise>(bytes: &[u8]) -> bool {
    T::ORIGINS.iter().filter(|o| read_as::<T>(bytes, **o).is_some()).count() > 0
}

/// What an operator said, from its bytes; for targets that go on from there.
pub(crate) fn sealed<B>(bytes: &[u8]) -> Option<Sealed<B>>
where
    Sealed<B>: Wire + Debug,
{
    let message = cdr::from_cdr(&layout::<Sealed<B>>(), bytes).ok()?;
    Sealed::<B>::decode(&message, Origin::NONE).ok()
}

fn seeds<T: Wire>(strategy: impl Strategy<Value = T>) -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let values = (0..SEEDS).filter_map(|_| strategy.new_tree(&mut runner).ok()).map(|tree| tree.current());
    values.map(|v| cdr::to_cdr(&v.encode())).collect()
}

macro_rules! targets {
    ($($name:literal $type:ty = $strategy:expr;)+) => {
        vec![$(Target { name: $name, kind: Kind::Binary, read: read::<$type>, seeds: || seeds::<$type>($strategy) }),+]
    };
}

/// One per message.
pub fn targets() -> Vec<Target> {
    targets! {
        "msg_arm_joints" ArmJoints = strategies::arm_joints();
        "msg_joint_command" JointCommand = strategies::joint_command();
        "msg_sealed_command" ToArm<JointCommand> = strategies::sealed_command();
        "msg_jaw" Jaw = strategies::jaw();
        "msg_arm_pose" ArmPose = strategies::arm_pose();
        "msg_arm_force" ArmForce = strategies::arm_force();
        "msg_arm_status" ArmStatus = strategies::arm_status();
        "msg_state_command" StateCommand = strategies::state_command();
        "msg_camera_image" CameraImage = strategies::camera_image();
        "msg_calibration" CameraCalibration = strategies::calibration();
        "msg_segmentation" Segmentation = strategies::segmentation();
        "msg_findings" Findings = strategies::findings();
        "msg_scene" Scene = strategies::scene();
        "msg_proposal" Proposal = strategies::proposal();
        "msg_withdrawal" Withdrawal = strategies::withdrawal();
        "msg_decision" Sealed<Decision> = strategies::decision();
        "msg_presence" Sealed<Presence> = strategies::presence();
        "msg_operator_request" Sealed<OperatorRequest> = strategies::operator_request();
        "msg_skill_request" SkillRequest = strategies::skill_request();
        "msg_safety_state" SafetyState = strategies::safety_state();
        "msg_verdict" Verdict = strategies::verdict();
        "msg_diagnostics" Diagnostics = strategies::diagnostics();
        "msg_log_record" LogRecord = strategies::log_record();
        "msg_transforms" Transforms = strategies::transforms();
        "msg_named_joints" NamedJoints = strategies::named_joints();
        "msg_surface_cloud" SurfaceCloud = strategies::surface_cloud();
        "msg_zones_state" ZonesState = strategies::zones_state();
        "msg_clock" Stamp = strategies::stamp();
    }
}

//! A stand-in for the rest of the system, on the memory bus: a moving picture, two instruments, proposals, and a *fake* safety
//! loop that follows the console's word just closely enough to try the console. Test fixture only; the real stack is in nodes/.

#![allow(dead_code, clippy::unwrap_used)]

use nalgebra::{Isometry3, Matrix6, Point2, Point3, Translation3, UnitQuaternion, Vector3};
use proctor_bus::{Bus, Publisher, Subscriber, graph};
use proctor_kinematics::{Cell, Chain, Ik};
use proctor_seal::{RootSecret, Verifier};
use proctor_types::{
    Alignment, ArmId, ArmJoints, ArmStatus, Boot, CameraImage, CameraSide, Class, Clearance, Constraint, Decision,
    DecisionKind, Digest, Evidence, HandEye, Image, ImageQuality, InstrumentEstimate, Joints, OperatingState,
    OperatorRequest, Outcome, PlannedWith, Pose, Presence, Proposal, ProposalId, QualityVerdict, RequestKind,
    SafetyMode, SafetyState, Scene, Sealed, Segmentation, Skill, Stamp, SurfacePoint, Trajectory, TrajectoryPoint,
    Verdict,
};
use std::{collections::BTreeSet, time::Duration};

/// Which start of the fake safety node this is.
const BOOT: Boot = Boot(77);

/// What the rig shares with the console.
pub fn root_secret() -> RootSecret {
    RootSecret::from_bytes([77; 32])
}

const W: usize = 640;
const H: usize = 480;

/// See the module.
pub struct Rig {
    cell: Cell,
    chain: Chain,
    home: [Joints; 2],
    picture: Publisher<CameraImage>,
    segmentation: Publisher<Segmentation>,
    scene: Publisher<Scene>,
    proposal: Publisher<Proposal>,
    safety: Publisher<SafetyState>,
    verdict: Publisher<Verdict>,
    joints: Vec<(Publisher<ArmJoints>, Publisher<ArmStatus>)>,
    decisions: Subscriber<Sealed<Decision>>,
    presences: Subscriber<Sealed<Presence>>,
    requests: Subscriber<Sealed<OperatorRequest>>,
    e_stops: Subscriber<Sealed<OperatorRequest>>,
    verifier: Verifier,
    faults: BTreeSet<String>,
    pub state: SafetyState,
    approved: Option<Proposal>,
    held: Option<Presence>,
    offered: Option<Proposal>,
    next_id: u64,
    offer_at: f64,
    start: Option<Stamp>,
    frame: u64,
    frozen: Option<Image<[u8; 3]>>,
    last_joints: [Option<Joints>; 3],
    last_tick: Option<Stamp>,
    /// Every presence that came, for tests.
    pub heard_presences: Vec<Presence>,
    /// Every decision that came, for tests.
    pub heard_decisions: Vec<Decision>,
    /// Every request that came, for tests.
    pub heard_requests: Vec<OperatorRequest>,
    /// Whether pictures are rendered (slow) or blank.
    pub render: bool,
}

impl Rig {
    pub fn new(bus: &Bus) -> Self {
        let cell = Cell::standard().unwrap();
        let chain = cell.chain(ArmId::Psm1).unwrap();
        let targets = [Point3::new(0.018, 0.004, 0.014), Point3::new(-0.022, -0.004, 0.016)];
        let home = [0, 1].map(|k| reach(&cell, &chain, ArmId::PSMS[k], targets[k]));
        Self {
            chain,
            home,
            picture: bus.publisher(&graph::image_left()).unwrap(),
            segmentation: bus.publisher(&graph::segmentation()).unwrap(),
            scene: bus.publisher(&graph::scene()).unwrap(),
            proposal: bus.publisher(&graph::proposal()).unwrap(),
            safety: bus.publisher(&graph::safety_state()).unwrap(),
            verdict: bus.publisher(&graph::verdict()).unwrap(),
            joints: ArmId::ALL
                .map(|a| {
                    (bus.publisher(&graph::measured_js(a)).unwrap(), bus.publisher(&graph::operating_state(a)).unwrap())
                })
                .into(),
            decisions: bus.subscriber(&graph::decision()).unwrap(),
            presences: bus.subscriber(&graph::presence()).unwrap(),
            requests: bus.subscriber(&graph::request()).unwrap(),
            e_stops: bus.subscriber(&graph::e_stop()).unwrap(),
            verifier: Verifier::new(root_secret(), BOOT),
            faults: BTreeSet::new(),
            state: SafetyState {
                stamp: Stamp::FIRST,
                tick: 0,
                boot: BOOT,
                mode: SafetyMode::Disabled,
                cause: Constraint::None,
                e_stop: false,
                autonomy_level: 0,
                active: Digest::default(),
                progress: 0.0,
                moving: false,
                executed: 0,
                refused: 0,
                violations: 0,
                overruns: 0,
                shadow: false,
            },
            approved: None,
            held: None,
            offered: None,
            next_id: 1,
            offer_at: 1.0,
            start: None,
            frame: 0,
            frozen: None,
            last_joints: [None; 3],
            last_tick: None,
            heard_presences: Vec::new(),
            heard_decisions: Vec::new(),
            heard_requests: Vec::new(),
            render: true,
            cell,
        }
    }

    /// Switches a fault: camera_frozen (content repeats), camera_silent, safety_silent, arm_silent.
    pub fn fault(&mut self, name: &str, on: bool) {
        if on {
            self.faults.insert(name.to_owned())
        } else {
            self.faults.remove(name)
        };
        self.frozen = None;
    }

    fn has(&self, fault: &str) -> bool {
        self.faults.contains(fault)
    }

    /// One step; call about every 5 ms.
    pub fn step(&mut self, now: Stamp) {
        let start = *self.start.get_or_insert(now);
        let t = now.seconds_since(start);
        let dt = self.last_tick.map_or(0.0, |l| now.seconds_since(l)).min(0.1);
        self.last_tick = Some(now);
        self.listen(now);
        self.play(now, dt);
        self.offer(now, t);
        if t * 30.0 >= self.frame as f64 {
            self.frame += 1;
            self.camera(now, t);
            self.state.tick += 1;
            self.publish_state(now);
        }
        if !self.has("arm_silent") {
            for (arm, (joints, _)) in ArmId::ALL.into_iter().zip(&self.joints) {
                let position = if arm == ArmId::Ecm { camera_joints() } else { self.joints_of(arm, t) };
                let last = self.last_joints[arm.index()].replace(position).unwrap_or(position);
                let velocity = position.zip_with(&last, |a, b| (a - b) / dt.max(1e-3)).unwrap();
                joints.publish(&ArmJoints { arm, stamp: now, position, velocity }).unwrap();
            }
        }
    }

    fn listen(&mut self, now: Stamp) {
        while let Some(Ok(r)) = self.e_stops.take() {
            self.heard_requests.push(r.body);
            self.request(now, RequestKind::EStop);
        }
        while let Some(Ok(r)) = self.requests.take() {
            let r = *self.verifier.open(&r).expect("the console seals every request");
            self.heard_requests.push(r);
            self.request(now, r.kind);
        }
        while let Some(Ok(d)) = self.decisions.take() {
            let d = *self.verifier.open(&d).expect("the console seals every decision");
            self.heard_decisions.push(d);
            if self.offered.as_ref().is_some_and(|p| p.digest() == d.digest && p.id == d.proposal && p.expires > now) {
                if d.kind == DecisionKind::Approve && self.state.mode == SafetyMode::Supervised {
                    self.approved = self.offered.clone();
                    (self.state.active, self.state.progress) = (d.digest, 0.0);
                }
                if d.kind == DecisionKind::Reject {
                    (self.offered, self.approved, self.state.active) = (None, None, Digest::default());
                }
                self.publish_state(now);
            }
        }
        while let Some(Ok(p)) = self.presences.take() {
            let p = *self.verifier.open(&p).expect("the console seals every presence");
            self.heard_presences.push(p);
            self.held = Some(p);
        }
    }

    fn request(&mut self, now: Stamp, kind: RequestKind) {
        use SafetyMode::{Disabled, Fault, Hold, Ready, Supervised, Teleop};
        let next = match (kind, self.state.mode) {
            (RequestKind::EStop, _) => {
                (self.state.e_stop, self.state.cause) = (true, Constraint::EStop);
                Fault
            }
            (RequestKind::Enable, Disabled) | (RequestKind::Ready, Teleop | Supervised | Hold) => Ready,
            (RequestKind::Supervise, Ready) => Supervised,
            (RequestKind::Teleop, Ready) => Teleop,
            (RequestKind::Disable, Ready | Supervised | Teleop | Hold) => Disabled,
            (RequestKind::Reset, Fault) => {
                (self.state.e_stop, self.state.cause) = (false, Constraint::None);
                Disabled
            }
            (_, mode) => mode,
        };
        if next != Supervised {
            (self.approved, self.state.active, self.state.moving, self.state.progress) =
                (None, Digest::default(), false, 0.0);
        }
        self.state.mode = next;
        self.state.autonomy_level = if next == Supervised { 2 } else { 0 };
        for (arm, (_, status)) in ArmId::ALL.into_iter().zip(&self.joints) {
            let on = !matches!(next, Disabled | Fault);
            let state = if on { OperatingState::Enabled } else { OperatingState::Disabled };
            status.publish(&ArmStatus { arm, stamp: now, state, is_homed: on, is_busy: false }).unwrap();
        }
        self.publish_state(now);
    }

    /// The approved motion advances while presence for exactly that motion is younger than 100 ms.
    fn play(&mut self, now: Stamp, dt: f64) {
        let Some(p) = &self.approved else { return };
        let fresh =
            |h: &Presence| h.held && h.digest == self.state.active && h.stamp.age(now) <= Duration::from_millis(100);
        let moving = self.held.as_ref().is_some_and(fresh);
        let changed = moving != self.state.moving;
        self.state.moving = moving;
        if moving {
            self.state.progress = (self.state.progress + dt / p.trajectory.duration()).min(1.0);
        } else if changed {
            let v = Verdict {
                stamp: now,
                tick: self.state.tick,
                arm: Some(p.trajectory.arm()),
                outcome: Outcome::Held,
                constraint: Constraint::PresenceLost,
                value: 0.104,
                limit: 0.1,
                index: -1,
            };
            self.verdict.publish(&v).unwrap();
        }
        if self.state.progress >= 1.0 {
            self.state.executed += 1;
            (self.state.active, self.state.moving, self.state.progress) = (Digest::default(), false, 0.0);
            let arm = p.trajectory.arm();
            if arm.has_jaw() {
                self.home[arm.index()] = p.trajectory.at(f64::MAX).0;
            }
            (self.approved, self.offered) = (None, None);
        }
        if changed || self.approved.is_none() {
            self.publish_state(now);
        }
    }

    fn offer(&mut self, now: Stamp, t: f64) {
        if self.offered.as_ref().is_some_and(|p| p.expires <= now && self.approved.is_none()) {
            self.offered = None;
        }
        if self.offered.is_some() || self.state.mode != SafetyMode::Supervised {
            self.offer_at = self.offer_at.max(t + 0.8);
            return;
        }
        if t < self.offer_at {
            return;
        }
        let p = if self.next_id.is_multiple_of(3) { self.centre(now) } else { self.retract(now) };
        self.next_id += 1;
        self.offer_at = t + 0.8;
        self.proposal.publish(&p).unwrap();
        self.offered = Some(p);
    }

    fn retract(&self, now: Stamp) -> Proposal {
        let from = self.home[0];
        let way = if self.next_id % 2 == 1 { 0.02 } else { -0.02 };
        let tip = self.chain.fk(&from).unwrap();
        let world = self.cell.world_from_base(ArmId::Psm1);
        let lift = world.rotation().inverse() * Vector3::new(-0.3 * way, 0.5 * way, way);
        let target = Pose::new(Isometry3::from_parts(Translation3::from(tip.translation() + lift), tip.rotation()));
        let to = match self.chain.ik(&target, &from) {
            Ik::Solution(q) => q,
            other => panic!("fixture's own motion is out of reach: {other:?}"),
        };
        let points = (0..=50).map(|k| {
            let s = k as f64 / 50.0;
            let eased = s * s * (3.0 - 2.0 * s);
            let position = from.zip_with(&to, |a, b| a + eased * (b - a)).unwrap();
            TrajectoryPoint { t: 3.0 * s, position, jaw: 0.3 * (1.0 - s) }
        });
        Proposal {
            id: ProposalId(self.next_id),
            stamp: now,
            expires: now.plus(Duration::from_secs(12)),
            skill: Skill::Retract,
            trajectory: Trajectory::new(ArmId::Psm1, points.collect()).unwrap(),
            planned_with: PlannedWith { model: Digest::of(b"model"), hand_eye: 3, zones: 7 },
            evidence: Evidence {
                summary:
                    "The fundus of the gallbladder is in view and free. Lifting it opens the view on the cystic duct."
                        .to_owned(),
                confidence: 0.93,
                smallest_clearance: Some(0.0082),
                clearance_class: Class::CysticArtery,
            },
        }
    }

    fn centre(&self, now: Stamp) -> Proposal {
        let from = camera_joints();
        let to = Joints::new(&[from[0] + 0.06, from[1] - 0.03, from[2] - 0.008, from[3]]).unwrap();
        let points = (0..=20).map(|k| {
            let s = k as f64 / 20.0;
            TrajectoryPoint { t: 2.0 * s, position: from.zip_with(&to, |a, b| a + s * (b - a)).unwrap(), jaw: 0.0 }
        });
        Proposal {
            id: ProposalId(self.next_id),
            stamp: now,
            expires: now.plus(Duration::from_secs(12)),
            skill: Skill::CentreCamera,
            trajectory: Trajectory::new(ArmId::Ecm, points.collect()).unwrap(),
            planned_with: PlannedWith { model: Digest::of(b"model"), hand_eye: 0, zones: 7 },
            evidence: Evidence {
                summary: "The instruments have drifted to the left edge of the picture.".to_owned(),
                confidence: 0.88,
                smallest_clearance: None,
                clearance_class: Class::Background,
            },
        }
    }

    fn joints_of(&self, arm: ArmId, t: f64) -> Joints {
        let home = self.home[arm.index()];
        let mut q: Vec<f64> = home.to_vec();
        if let Some(p) = self.approved.as_ref().filter(|p| p.trajectory.arm() == arm) {
            q = p.trajectory.at(self.state.progress * p.trajectory.duration()).0.to_vec();
        }
        let sway = if arm == ArmId::Psm2 { 0.02 * (0.7 * t).sin() } else { 0.0 };
        q[0] += sway;
        Joints::new(&q).unwrap()
    }

    fn publish_state(&mut self, now: Stamp) {
        if !self.has("safety_silent") {
            self.state.stamp = now;
            self.safety.publish(&self.state).unwrap();
        }
    }

    fn camera(&mut self, now: Stamp, t: f64) {
        let world_from_camera = self.cell.world_from_camera(&camera_joints()).unwrap();
        let joints = ArmId::PSMS.map(|a| self.joints_of(a, t));
        let labels = if self.render { self.labels(&world_from_camera, &joints, t) } else { vec![0; W / 2 * (H / 2)] };
        if !self.has("camera_silent") {
            let image = match self.frozen.clone() {
                Some(frozen) => frozen,
                None => self.paint(&labels),
            };
            if self.has("camera_frozen") {
                self.frozen = Some(image.clone());
            }
            self.picture.publish(&CameraImage { stamp: now, side: CameraSide::Left, image }).unwrap();
        }
        if self.has("camera_silent") || self.has("camera_frozen") {
            return;
        }
        let quality = ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() };
        let small = Image::new(W / 2, H / 2, labels).unwrap();
        self.segmentation
            .publish(&Segmentation {
                stamp: now,
                seq: self.frame,
                uncertainty: Image::new(W / 2, H / 2, vec![0; W / 2 * (H / 2)]).unwrap(),
                labels: small,
                confidence: [0.9; Class::COUNT],
                keypoints: Vec::new(),
                quality: quality.clone(),
                model: Digest::of(b"model"),
            })
            .unwrap();
        let hand_eyes = ArmId::PSMS.map(|arm| HandEye {
            arm,
            world_from_base: self.cell.world_from_base(arm),
            covariance: Matrix6::identity() * 1e-7,
            version: 3,
        });
        let instruments = [0, 1].map(|k| InstrumentEstimate {
            arm: ArmId::PSMS[k],
            joints: joints[k],
            jaw: 0.3,
            world_from_tip: self.cell.world_from_base(ArmId::PSMS[k]) * self.chain.fk(&joints[k]).unwrap(),
            covariance: Matrix6::identity() * 1e-7,
            alignment: if t < 2.0 { Alignment::Converging } else { Alignment::Aligned },
            residual_px: 1.4,
            finding: proctor_types::Finding::None,
        });
        let clearances = [(ArmId::Psm1, 0.0121), (ArmId::Psm2, 0.0186)].map(|(arm, distance)| Clearance {
            arm,
            class: Class::CysticArtery,
            distance,
            sigma: 0.0008,
            nearest: Point3::origin(),
        });
        let surface = SurfacePoint {
            position: world_from_camera.transform(&Point3::new(0.0, 0.0, 0.085)),
            class: Class::Liver,
            sigma: 0.001,
        };
        self.scene
            .publish(&Scene {
                stamp: now,
                seq: self.frame,
                world_from_camera,
                hand_eyes: hand_eyes.to_vec(),
                instruments: instruments.to_vec(),
                surface: vec![surface],
                zones_version: 7,
                clearances: clearances.to_vec(),
                grasp_target: None,
                quality,
                model: Digest::of(b"model"),
                time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
            })
            .unwrap();
    }

    /// Blobs for anatomy, projected capsules for instruments, half size.
    fn labels(
        &self,
        world_from_camera: &Pose<proctor_types::World, proctor_types::Camera>,
        q: &[Joints; 2],
        t: f64,
    ) -> Vec<u8> {
        let camera = self.cell.rig().left;
        let breath = 3.0 * (1.3 * t).sin();
        let mut segments = Vec::new();
        for (k, q) in q.iter().enumerate() {
            let camera_from_base = world_from_camera.inverse().iso() * self.cell.world_from_base(ArmId::PSMS[k]).iso();
            for (c, class) in self.chain.capsules(q).unwrap().iter().zip([
                Class::InstrumentShaft,
                Class::InstrumentWrist,
                Class::InstrumentJaws,
            ]) {
                let c = c.transformed(&camera_from_base);
                let (mut a, b) = (c.a, c.b);
                if a.z < 0.02 {
                    a += (b - a) * ((0.02 - a.z) / (b.z - a.z));
                }
                let end = |p: &Point3<f64>| (camera.project(p).unwrap(), camera.fx * c.radius / p.z);
                segments.push((end(&a), end(&b), class));
            }
        }
        let mut out = vec![0u8; W / 2 * (H / 2)];
        for y in 0..H / 2 {
            for x in 0..W / 2 {
                let p = Point2::new(2.0 * x as f64 + 0.5, 2.0 * y as f64 + 0.5);
                let mut class = anatomy(p, breath);
                for ((a, ra), (b, rb), what) in &segments {
                    let ab = b - a;
                    let s = ((p - a).dot(&ab) / ab.norm_squared().max(1e-9)).clamp(0.0, 1.0);
                    if (p - (a + ab * s)).norm() < ra + (rb - ra) * s {
                        class = *what;
                    }
                }
                out[y * W / 2 + x] = class.id();
            }
        }
        out
    }

    fn paint(&self, labels: &[u8]) -> Image<[u8; 3]> {
        let mut noise = self.frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut pixels = Vec::with_capacity(W * H);
        for y in 0..H {
            for x in 0..W {
                noise ^= noise << 13;
                noise ^= noise >> 7;
                noise ^= noise << 17;
                let class =
                    if self.render { Class::from_id(labels[y / 2 * (W / 2) + x / 2]).unwrap() } else { Class::Liver };
                let base = match class {
                    Class::Background => [6.0, 3.0, 3.0],
                    Class::AbdominalWall => [178.0, 92.0, 84.0],
                    Class::Liver => [118.0, 42.0, 38.0],
                    Class::Gallbladder => [142.0, 138.0, 92.0],
                    Class::CysticDuct => [186.0, 168.0, 110.0],
                    Class::CysticArtery => [190.0, 60.0, 58.0],
                    Class::Fat => [214.0, 178.0, 98.0],
                    Class::InstrumentShaft => [52.0, 56.0, 62.0],
                    Class::InstrumentWrist => [150.0, 156.0, 164.0],
                    Class::InstrumentJaws => [188.0, 194.0, 202.0],
                };
                let (dx, dy) = ((x as f64 - 320.0) / 320.0, (y as f64 - 240.0) / 320.0);
                let r2 = dx * dx + dy * dy;
                let light =
                    (1.25 - 0.95 * r2).max(0.0) * (0.92 + 0.08 * ((x as f64 * 0.05).sin() * (y as f64 * 0.06).cos()));
                let grain = (noise >> 60) as f64 - 8.0;
                pixels.push(base.map(|c| (c * light + grain).clamp(0.0, 255.0) as u8));
            }
        }
        Image::new(W, H, pixels).unwrap()
    }
}

fn anatomy(p: Point2<f64>, breath: f64) -> Class {
    let inside = |cx: f64, cy: f64, rx: f64, ry: f64, tilt: f64| {
        let (s, c) = tilt.sin_cos();
        let (x, y) = (p.x - cx, p.y - cy);
        let (u, v) = ((c * x + s * y) / rx, (-s * x + c * y) / ry);
        u * u + v * v < 1.0
    };
    if (p.x - 319.5).hypot(p.y - 239.5) > 318.0 {
        return Class::Background;
    }
    let duct = (p.x - 300.0) / 70.0;
    if (0.0..1.0).contains(&duct) && (p.y - (312.0 + 36.0 * duct + breath)).abs() < 8.0 {
        return Class::CysticDuct;
    }
    if (0.0..1.1).contains(&duct) && (p.y - (280.0 + 10.0 * (5.0 * duct).sin() + 20.0 * duct + breath)).abs() < 4.0 {
        return Class::CysticArtery;
    }
    if inside(250.0, 235.0 + breath, 82.0, 52.0, 0.85) {
        return Class::Gallbladder;
    }
    if inside(230.0, 60.0 + breath, 330.0, 150.0, 0.12) {
        return Class::Liver;
    }
    if inside(430.0, 430.0, 300.0, 150.0, -0.3) {
        return Class::Fat;
    }
    Class::AbdominalWall
}

fn camera_joints() -> Joints {
    Joints::new(&[0.0, 0.0, 0.11, 0.0]).unwrap()
}

/// Joints that bring the tip to a world point, looking along the line from the remote centre.
fn reach(cell: &Cell, chain: &Chain, arm: ArmId, target: Point3<f64>) -> Joints {
    let base = cell.world_from_base(arm);
    let seed = Joints::new(&[0.0, 0.0, 0.16, 0.0, 0.0, 0.0]).unwrap();
    let tip = chain.fk(&seed).unwrap();
    let point = base.inverse().transform(&target);
    let turn = UnitQuaternion::rotation_between(&tip.translation(), &point.coords).unwrap();
    let goal = Pose::new(Isometry3::from_parts(Translation3::from(point.coords), turn * tip.rotation()));
    match chain.ik(&goal, &seed) {
        Ik::Solution(q) => q,
        other => panic!("fixture's own pose is out of reach: {other:?}"),
    }
}

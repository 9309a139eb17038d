//! A bench: a cell at rest in SUPERVISED with a gallbladder, liver, duct and artery made of points.

use nalgebra::{Matrix6, Point3, Vector3};
use proctor_autonomy::{Autonomy, AutonomyParams, Inputs, Output};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_types::*;
use std::time::Duration;

/// Centre and radius of the gallbladder's fundus, a sphere, world frame, m.
pub const FUNDUS: ([f64; 3], f64) = ([-0.010, 0.005, 0.0], 0.014);
/// Period of the scenes, ms.
pub const PERIOD: u64 = 50;

#[derive(Clone)]
pub struct Bench {
    pub now: Stamp,
    pub scene: Scene,
    pub arms: [Option<ArmState>; 3],
    pub safety: SafetyState,
    pub requests: Vec<SkillRequest>,
    pub decisions: Vec<Decision>,
}

pub fn psm(name: &str) -> Chain {
    Chain::psm(&Instrument::named(name).unwrap()).unwrap()
}

pub fn chain(arm: ArmId) -> Chain {
    let names = AutonomyParams::default().instruments;
    if arm == ArmId::Ecm { Chain::ecm().unwrap() } else { psm(&names[arm.index()]) }
}

/// Points on the upper half of a sphere, nearly evenly spaced.
fn dome(centre: [f64; 3], radius: f64, class: Class, n: usize) -> Vec<SurfacePoint> {
    (0..n)
        .map(|i| {
            let z = (i as f64 + 0.5) / n as f64;
            let (angle, r) = (i as f64 * 2.399963, (1.0 - z * z).sqrt());
            let d = Vector3::new(r * angle.cos(), r * angle.sin(), z) * radius;
            SurfacePoint { position: Point3::from(centre) + d, class, sigma: 0.0005 }
        })
        .collect()
}

fn line(from: [f64; 3], to: [f64; 3], class: Class, n: usize) -> Vec<SurfacePoint> {
    let (a, b) = (Point3::from(from), Point3::from(to));
    (0..n).map(|i| SurfacePoint { position: a + (b - a) * (i as f64 / (n - 1) as f64), class, sigma: 0.0005 }).collect()
}

fn surface() -> Vec<SurfacePoint> {
    let mut points = dome(FUNDUS.0, FUNDUS.1, Class::Gallbladder, 200);
    points.extend(line([0.015, -0.005, -0.006], [0.045, 0.0, -0.010], Class::CysticDuct, 20));
    points.extend(line([0.015, 0.010, -0.004], [0.045, 0.015, -0.008], Class::CysticArtery, 20));
    for i in 0..20 {
        for j in 0..10 {
            let position = Point3::new(-0.05 + 0.005 * f64::from(i), 0.0 + 0.005 * f64::from(j), -0.012);
            points.push(SurfacePoint { position, class: Class::Liver, sigma: 0.0005 });
        }
    }
    points
}

impl Bench {
    /// Instruments 4 cm short of the site, fused hand-eye estimates 2-3 mm and a degree or two off the nominal ones.
    pub fn new() -> Self {
        let now = Stamp::from_nanos("test", 1_000_000_000).unwrap();
        let arms = [
            vec![0.0, 0.05, 0.155, 0.2, 0.1, -0.1],
            vec![0.05, 0.0, 0.15, -0.1, 0.05, 0.1],
            vec![0.0, 0.0, 0.085, 0.0],
        ];
        let mut bench = Self {
            now,
            scene: Scene {
                stamp: now,
                seq: 1,
                world_from_camera: Pose::identity(),
                hand_eyes: Vec::new(),
                instruments: Vec::new(),
                surface: surface(),
                zones_version: 4,
                clearances: Vec::new(),
                grasp_target: None,
                quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
                model: Digest::of(b"model"),
                time: proctor_types::TimeOffset { timing: proctor_types::Timing::Known, seconds: 0.0, sigma: 0.003 },
            },
            arms: [None; 3],
            safety: SafetyState {
                stamp: now,
                tick: 1,
                boot: Boot(1),
                mode: SafetyMode::Supervised,
                cause: Constraint::None,
                e_stop: false,
                autonomy_level: 2,
                active: Digest::default(),
                progress: 0.0,
                moving: false,
                executed: 0,
                refused: 0,
                violations: 0,
                overruns: 0,
                shadow: false,
            },
            requests: Vec::new(),
            decisions: Vec::new(),
        };
        let cell = Cell::standard().unwrap();
        for arm in ArmId::PSMS {
            let side = if arm == ArmId::Psm1 { 1.0 } else { -1.0 };
            let error = Pose::<World, World>::from_parts(
                Vector3::new(0.002 * side, -0.001, 0.0015),
                Vector3::new(0.01, 0.02 * side, -0.015),
            );
            bench.scene.hand_eyes.push(HandEye {
                arm,
                world_from_base: error * cell.world_from_base(arm),
                covariance: Matrix6::identity() * 1e-7,
                version: 3,
            });
        }
        for (arm, q) in ArmId::ALL.into_iter().zip(arms) {
            bench.put(arm, &q, 0.3);
        }
        bench.aim_at_fundus(Vector3::new(-0.1, -0.35, 1.0));
        bench
    }

    /// Moves an arm (at rest) and everything the scene derives from it.
    pub fn put(&mut self, arm: ArmId, q: &[f64], jaw: f64) {
        let joints = Joints::for_arm(arm, q).unwrap();
        let zero = Joints::zeros(arm.dof());
        self.arms[arm.index()] = Some(ArmState { arm, stamp: self.now, position: joints, velocity: zero, jaw });
        if arm == ArmId::Ecm {
            self.scene.world_from_camera = Cell::standard().unwrap().world_from_camera(q).unwrap();
            return;
        }
        self.scene.instruments.retain(|i| i.arm != arm);
        self.scene.instruments.push(InstrumentEstimate {
            arm,
            joints,
            jaw,
            world_from_tip: self.hand_eye(arm) * chain(arm).fk(q).unwrap(),
            covariance: Matrix6::identity() * 1e-7,
            alignment: Alignment::Aligned,
            residual_px: 1.0,
            finding: proctor_types::Finding::None,
        });
        self.scene.instruments.sort_by_key(|i| i.arm);
    }

    /// Draws the other instrument 11 cm back from the site.
    pub fn park_the_other(&mut self, arm: ArmId) {
        let other = if arm == ArmId::Psm1 { ArmId::Psm2 } else { ArmId::Psm1 };
        self.put(other, &[0.0, 0.0, 0.085, 0.0, 0.0, 0.0], 0.0);
    }

    pub fn hand_eye(&self, arm: ArmId) -> Pose<World, Base> {
        self.scene.hand_eye(arm).unwrap().world_from_base
    }

    /// Grasp target on the fundus in direction `d`.
    pub fn aim_at_fundus(&mut self, d: Vector3<f64>) {
        let n = d.normalize();
        self.scene.grasp_target = Some((Point3::from(FUNDUS.0) + n * FUNDUS.1, n));
    }

    pub fn joints(&self, arm: ArmId) -> Joints {
        self.arms[arm.index()].unwrap().position
    }

    /// The next scene: everything measured afresh, `PERIOD` later.
    pub fn next(&mut self) {
        self.now = self.now.plus(Duration::from_millis(PERIOD));
        self.scene.stamp = self.now;
        self.scene.seq += 1;
        self.safety.stamp = self.now;
        self.safety.tick += PERIOD;
        self.arms.iter_mut().flatten().for_each(|a| a.stamp = self.now);
        self.requests.clear();
        self.decisions.clear();
    }

    pub fn request(&mut self, skill: Skill, arm: ArmId) {
        self.requests.push(SkillRequest { stamp: self.now, operator: OperatorId(1), skill, arm });
    }

    pub fn step(&self, autonomy: &mut Autonomy) -> Output {
        autonomy.step(
            self.now,
            &Inputs {
                scene: Some(&self.scene),
                arm_states: &self.arms,
                safety_state: Some(&self.safety),
                requests: &self.requests,
                decisions: &self.decisions,
            },
        )
    }

    /// Asks for a skill; the proposal or what was noted instead.
    pub fn ask(&mut self, autonomy: &mut Autonomy, skill: Skill, arm: ArmId) -> Result<Proposal, Output> {
        self.next();
        self.request(skill, arm);
        let mut out = self.step(autonomy);
        self.requests.clear();
        out.proposals.pop().ok_or(out)
    }
}

pub fn autonomy() -> Autonomy {
    Autonomy::new(AutonomyParams::default()).unwrap()
}

/// Checks position, velocity and acceleration limits by finite differences, the latter also as safety plays it: linear between points,
/// once per millisecond.
pub fn assert_within_limits(t: &Trajectory, params: &AutonomyParams) {
    let chain = chain(t.arm());
    let limits = chain.limits();
    let m = &params.motion;
    for p in t.points() {
        assert!(limits.contains(&p.position), "{:?} at {}", limits.violation(&p.position, 0.0), p.t);
    }
    let steps = (t.duration() * 1000.0).round() as i64;
    let at = |ms: i64| t.at(ms as f64 * 1e-3);
    let mut peak: f64 = 0.0;
    for ms in -1..=steps + 1 {
        let (a, b, c) = (at(ms - 1), at(ms), at(ms + 1));
        for j in 0..t.arm().dof() {
            let v = (c.0[j] - b.0[j]) * 1e3;
            let acc = (c.0[j] - 2.0 * b.0[j] + a.0[j]) * 1e6;
            assert!(v.abs() <= m.limit_fraction * limits.velocity[j] + 1e-9, "joint {j}: velocity {v} at {ms} ms");
            // Differences of 1e-16 over (1 ms)^2 leave 1e-9.
            assert!(
                acc.abs() <= m.limit_fraction * limits.acceleration[j] + 1e-6,
                "joint {j}: acceleration {acc} at {ms} ms"
            );
            peak = peak.max(acc.abs() / limits.acceleration[j]);
        }
        assert!(((c.1 - b.1) * 1e3).abs() <= m.jaw_speed + 1e-9, "jaw at {ms} ms");
        let jaw = (c.1 - 2.0 * b.1 + a.1).abs() * 1e6;
        assert!(jaw <= m.limit_fraction * limits.jaw.acceleration + 1e-6, "jaw: acceleration {jaw} at {ms} ms");
    }
    assert!(peak > 0.1, "the motion moves");
}

/// Speed (m/s) of a point of the arm at each trajectory point, with the point in the base frame.
pub fn speeds(t: &Trajectory, point: impl Fn(&Joints) -> Point3<f64>) -> Vec<(Point3<f64>, f64)> {
    t.points()
        .windows(2)
        .map(|w| {
            let (a, b) = (point(&w[0].position), point(&w[1].position));
            (b, (b - a).norm() / (w[1].t - w[0].t))
        })
        .collect()
}

/// Smallest distance of the instrument along a motion to the points of `classes`, by an own formula, over the passes that `counts`.
pub fn brute_force_clearance(
    bench: &Bench,
    t: &Trajectory,
    counts: impl Fn(f64, Class) -> bool,
    classes: &[Class],
) -> Option<(f64, Class)> {
    let arm = t.arm();
    let base = if arm == ArmId::Ecm { Cell::standard().unwrap().world_from_base(arm) } else { bench.hand_eye(arm) };
    let chain = chain(arm);
    let mut best: Option<(f64, Class)> = None;
    for p in t.points() {
        let capsules = chain.capsules(&p.position).unwrap();
        let last = capsules.len() - 1;
        for (i, c) in capsules.iter().enumerate() {
            let (a, b) = (base.transform(&c.a), base.transform(&c.b));
            // Open jaws: half the distance between their ends is added.
            let open = chain.instrument().map_or(0.0, |tool| tool.jaw_length * (p.jaw / 2.0).sin());
            let radius = c.radius + if i == last { open } else { 0.0 };
            for s in &bench.scene.surface {
                if !classes.contains(&s.class) || !counts(p.t, s.class) {
                    continue;
                }
                let (u, w) = (b - a, s.position - a);
                let along = u.dot(&w) / u.norm();
                let distance = if along <= 0.0 {
                    w.norm()
                } else if along >= u.norm() {
                    (s.position - b).norm()
                } else {
                    u.cross(&w).norm() / u.norm()
                } - radius;
                if best.is_none_or(|(d, _)| distance < d) {
                    best = Some((distance, s.class));
                }
            }
        }
    }
    best
}

//! A small ray caster, independent of the simulator: tissue from a plane and spheres, instruments from capsules, both
//! views textured and lit from the scope, labels at half size. And the robot that believes something slightly wrong.
#![allow(dead_code, clippy::unwrap_used, clippy::missing_panics_doc)]

use nalgebra::{Isometry3, Point3, Translation3, UnitQuaternion, Vector3};
use proctor_fusion::{Fusion, FusionInput, FusionParams};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_types::{
    ArmId, ArmState, Class, Digest, Image, ImageQuality, Joints, QualityVerdict, Scene, Segmentation, Stamp,
    StereoFrame, StereoRig,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::Duration;

pub const INSTRUMENT: &str = "LARGE_NEEDLE_DRIVER_400006";

/// A capsule with a class, world coordinates.
#[derive(Clone, Copy)]
pub struct Solid {
    pub a: Point3<f64>,
    pub b: Point3<f64>,
    pub radius: f64,
    pub class: Class,
}

/// One rendered view.
pub struct Rendered {
    pub rgb: Vec<[u8; 3]>,
    pub class: Vec<u8>,
    pub depth: Vec<f64>,
}

/// Tissue: plane z = height, and spheres.
#[derive(Clone)]
pub struct Tissue {
    pub height: f64,
    pub spheres: Vec<(Point3<f64>, f64, Class)>,
}

impl Default for Tissue {
    fn default() -> Self {
        Self {
            height: -0.008,
            spheres: vec![
                (Point3::new(0.005, 0.012, -0.006), 0.014, Class::Gallbladder),
                (Point3::new(-0.012, -0.006, -0.008), 0.005, Class::CysticDuct),
            ],
        }
    }
}

fn lattice(x: i64, y: i64, z: i64) -> f64 {
    let mut h = (x.wrapping_mul(0x9E37_79B9) ^ y.wrapping_mul(0x85EB_CA6B) ^ z.wrapping_mul(0xC2B2_AE35)) as u64;
    h ^= h >> 29;
    h = h.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    h ^= h >> 32;
    (h & 0xFFFF) as f64 / 65535.0
}

/// Trilinear value noise, one cell per metre of `p`.
fn noise(p: Vector3<f64>) -> f64 {
    let f = p.map(f64::floor);
    let t = p - f;
    let (x, y, z) = (f.x as i64, f.y as i64, f.z as i64);
    let mut sum = 0.0;
    for k in 0..8i64 {
        let (i, j, l) = (k & 1, (k >> 1) & 1, k >> 2);
        let w = |bit: i64, t: f64| if bit == 1 { t } else { 1.0 - t };
        sum += lattice(x + i, y + j, z + l) * w(i, t.x) * w(j, t.y) * w(l, t.z);
    }
    sum
}

fn texture(p: &Point3<f64>) -> f64 {
    0.5 * noise(p.coords * 300.0) + 0.3 * noise(p.coords * 900.0) + 0.2 * noise(p.coords * 2500.0)
}

/// Nearest hit (distance, normal) of a ray from the origin with unit direction `d` with a capsule.
fn hit_capsule(d: &Vector3<f64>, s: &Solid) -> Option<(f64, Vector3<f64>)> {
    let ba = s.b - s.a;
    let oa = -s.a.coords;
    let (baba, bard, baoa, rdoa) = (ba.dot(&ba), ba.dot(d), ba.dot(&oa), d.dot(&oa));
    let oaoa = oa.dot(&oa);
    let a = baba - bard * bard;
    let b = baba * rdoa - baoa * bard;
    let c = baba * oaoa - baoa * baoa - s.radius * s.radius * baba;
    let h = b * b - a * c;
    if h < 0.0 {
        return None;
    }
    let t = (-b - h.sqrt()) / a;
    let y = baoa + t * bard;
    if y > 0.0 && y < baba {
        let normal = (oa + d * t - ba * (y / baba)) / s.radius;
        return (t > 0.0).then_some((t, normal));
    }
    if s.class == Class::InstrumentShaft {
        // Tubes end flat.
        let axis = ba / baba.sqrt();
        let t = s.b.coords.dot(&axis) / d.dot(&axis);
        let on_disc = t > 0.0 && (d * t - s.b.coords).norm() < s.radius && d.dot(&axis) < 0.0;
        return on_disc.then_some((t, axis));
    }
    let centre = if y <= 0.0 { s.a.coords } else { s.b.coords };
    let b = d.dot(&centre);
    let h = b * b - centre.norm_squared() + s.radius * s.radius;
    let t = b - h.max(0.0).sqrt();
    (h >= 0.0 && t > 0.0).then(|| (t, (d * t - centre) / s.radius))
}

/// Renders the view of a camera at `world_from_eye`.
pub fn render(rig: &StereoRig, world_from_eye: &Isometry3<f64>, solids: &[Solid], tissue: &Tissue) -> Rendered {
    let cam = &rig.left;
    let (w, h) = (cam.width, cam.height);
    let n = w * h;
    let mut out = Rendered { rgb: vec![[0; 3]; n], class: vec![0; n], depth: vec![0.0; n] };
    let eye = Point3::from(world_from_eye.translation.vector);
    let seen: Vec<Solid> = solids
        .iter()
        .map(|s| Solid { a: world_from_eye.inverse() * s.a, b: world_from_eye.inverse() * s.b, ..*s })
        .collect();
    let radius = 0.56 * h as f64 * 1.1;
    for i in 0..n {
        let (u, v) = ((i % w) as f64, (i / w) as f64);
        if (u - cam.cx).hypot(v - cam.cy) > radius {
            continue;
        }
        let r = Vector3::new((u - cam.cx) / cam.fx, (v - cam.cy) / cam.fy, 1.0);
        let length = r.norm();
        let local = r / length;
        let d = world_from_eye.rotation * local;
        let mut best = (f64::INFINITY, Vector3::z(), Class::Background);
        let t = (tissue.height - eye.z) / d.z;
        if t > 0.0 {
            best = (t, Vector3::z(), Class::Liver);
        }
        for (centre, radius, class) in &tissue.spheres {
            let oc = centre - eye;
            let b = d.dot(&oc);
            let disc = b * b - oc.norm_squared() + radius * radius;
            if disc > 0.0 && b - disc.sqrt() < best.0 && b > 0.0 {
                let t = b - disc.sqrt();
                best = (t, (eye + d * t - centre) / *radius, *class);
            }
        }
        for s in &seen {
            if let Some((t, normal)) = hit_capsule(&local, s).filter(|hit| hit.0 < best.0) {
                best = (t, world_from_eye.rotation * normal, s.class);
            }
        }
        let (t, normal, class) = best;
        if !t.is_finite() {
            continue;
        }
        let p = eye + d * t;
        let facing = (-normal.dot(&d)).max(0.0);
        let light = facing * (0.07 / t.max(0.02)).powi(2).min(2.5);
        let (albedo, grain, gloss) = match class {
            Class::InstrumentShaft => ([0.25, 0.26, 0.28], 0.05, 0.5),
            Class::InstrumentWrist | Class::InstrumentJaws => ([0.55, 0.55, 0.6], 0.2, 0.6),
            Class::Gallbladder => ([0.35, 0.55, 0.3], 0.8, 0.2),
            Class::CysticDuct => ([0.8, 0.7, 0.4], 0.8, 0.1),
            _ => ([0.6, 0.25, 0.2], 0.8, 0.1),
        };
        let shade = light * (1.0 - grain + grain * texture(&p)) + gloss * facing.powi(40);
        out.rgb[i] = albedo.map(|c: f64| (255.0 * (c * shade).clamp(0.0, 1.0)) as u8);
        out.class[i] = class.id();
        out.depth[i] = t / length;
    }
    out
}

/// The true instrument as solids; jaws are two fingers, not the capsule that fusion thinks of.
pub fn instrument(
    chain: &Chain,
    spec: &Instrument,
    world_from_base: &Isometry3<f64>,
    q: &[f64],
    jaw: f64,
) -> Vec<Solid> {
    let links = chain.links(q).unwrap();
    let at = |v: Vector3<f64>| world_from_base * Point3::from(v);
    let pitch = at(links.shaft.translation.vector);
    let yaw = at(links.jaw.translation.vector);
    let top = at(Vector3::zeros());
    // The tube ends before the clevis, as on real instruments (5.8 mm before the pitch axis).
    let tube = pitch - (pitch - top).normalize() * 0.0058;
    let mut out = vec![
        Solid { a: top, b: tube, radius: spec.shaft_radius, class: Class::InstrumentShaft },
        Solid { a: tube, b: pitch, radius: spec.wrist_radius, class: Class::InstrumentWrist },
        // Its round end reaches 1.8 mm beyond the jaw axis, as the cheeks of real wrists do.
        Solid {
            a: pitch,
            b: yaw + (pitch - yaw).normalize() * (spec.wrist_radius - 0.0018),
            radius: spec.wrist_radius,
            class: Class::InstrumentWrist,
        },
    ];
    for side in [-0.5, 0.5] {
        let turn = UnitQuaternion::from_axis_angle(&Vector3::x_axis(), side * jaw);
        let end =
            world_from_base * (links.jaw * (turn * Point3::new(0.0, 0.0, spec.jaw_length - 0.3 * spec.jaw_width)));
        out.push(Solid { a: yaw, b: end, radius: spec.jaw_width * 0.3, class: Class::InstrumentJaws });
    }
    out
}

/// What the test varies.
#[derive(Clone)]
pub struct Setup {
    pub seed: u64,
    /// Hand-eye error: metres, radians.
    pub error: (f64, f64),
    /// How dirty the labels are: 0 clean; 1 ragged boundaries and speckles.
    pub label_noise: f64,
    pub frame_hz: f64,
}

impl Setup {
    pub fn new(seed: u64) -> Self {
        Self { seed, error: (0.005, 3f64.to_radians()), label_noise: 1.0, frame_hz: 10.0 }
    }
}

/// A cell whose instruments stand elsewhere than the robot believes.
pub struct World {
    pub cell: Cell,
    pub rig: StereoRig,
    pub truth: [Isometry3<f64>; 2],
    pub chain: Chain,
    pub spec: Instrument,
    pub tissue: Tissue,
    pub setup: Setup,
    phases: [[f64; 6]; 2],
    rng: ChaCha8Rng,
    next_joint: [f64; 3],
    pub seq: u64,
}

pub fn stamp(seconds: f64) -> Stamp {
    Stamp::from_nanos("test", 1_000_000_000 + (seconds * 1e9).round() as i64).unwrap()
}

fn random_unit(rng: &mut ChaCha8Rng) -> Vector3<f64> {
    loop {
        let v = Vector3::from_fn(|_, _| rng.random_range(-1.0..1.0));
        if (0.05..1.0).contains(&v.norm()) {
            return v.normalize();
        }
    }
}

impl World {
    pub fn new(setup: Setup) -> Self {
        let cell = Cell::standard().unwrap();
        let spec = Instrument::named(INSTRUMENT).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(setup.seed);
        let truth = ArmId::PSMS.map(|arm| {
            let nominal = *cell.world_from_base(arm).iso();
            let (shift, turn) = (random_unit(&mut rng) * setup.error.0, random_unit(&mut rng) * setup.error.1);
            Isometry3::from_parts(
                Translation3::from(nominal.translation.vector + shift),
                UnitQuaternion::from_scaled_axis(turn) * nominal.rotation,
            )
        });
        let phases = [(); 2].map(|()| [(); 6].map(|()| rng.random_range(0.0..std::f64::consts::TAU)));
        let rig = cell.rig();
        Self {
            chain: Chain::psm(&spec).unwrap(),
            cell,
            rig,
            truth,
            spec,
            tissue: Tissue::default(),
            setup,
            phases,
            rng,
            next_joint: [0.0; 3],
            seq: 0,
        }
    }

    /// Ordinary motion: slow independent sinusoids around a working posture.
    pub fn joints(&self, arm: ArmId, t: f64) -> (Vec<f64>, f64) {
        if arm == ArmId::Ecm {
            return (vec![0.0, 0.0, 0.110, 0.0], 0.0);
        }
        let phase = self.phases[arm.index()];
        let centre = [0.0, 0.0, 0.183, 0.0, 0.0, 0.0];
        let amplitude = [0.07, 0.07, 0.012, 0.5, 0.35, 0.35];
        let hz = [0.17, 0.23, 0.13, 0.11, 0.19, 0.29];
        let q = (0..6).map(|i| centre[i] + amplitude[i] * (std::f64::consts::TAU * hz[i] * t + phase[i]).sin());
        (q.collect(), 0.3 + 0.3 * (t * 0.9 + phase[0]).sin())
    }

    pub fn state(&self, arm: ArmId, t: f64) -> ArmState {
        let (q, jaw) = self.joints(arm, t);
        let (before, _) = self.joints(arm, t - 1e-4);
        let velocity: Vec<f64> = q.iter().zip(&before).map(|(a, b)| (a - b) / 1e-4).collect();
        ArmState {
            arm,
            stamp: stamp(t),
            position: Joints::for_arm(arm, &q).unwrap(),
            velocity: Joints::for_arm(arm, &velocity).unwrap(),
            jaw,
        }
    }

    /// Feeds the joints of every arm, 200 Hz, up to `until` seconds.
    pub fn feed(&mut self, fusion: &mut Fusion, until: f64) {
        for arm in ArmId::ALL {
            while self.next_joint[arm.index()] <= until {
                let t = self.next_joint[arm.index()];
                fusion.on_arm_state(self.state(arm, t));
                self.next_joint[arm.index()] += 0.005;
            }
        }
    }

    pub fn world_from_camera(&self, t: f64) -> Isometry3<f64> {
        *self.cell.world_from_camera(&self.joints(ArmId::Ecm, t).0).unwrap().iso()
    }

    pub fn solids(&self, t: f64, arms: &[ArmId]) -> Vec<Solid> {
        arms.iter()
            .flat_map(|&arm| {
                let (q, jaw) = self.joints(arm, t);
                instrument(&self.chain, &self.spec, &self.truth[arm.index()], &q, jaw)
            })
            .collect()
    }

    /// The picture at `t` with its segmentation, and the left depth.
    pub fn picture(&mut self, t: f64, arms: &[ArmId]) -> (FusionInput, Vec<f64>) {
        let eye = self.world_from_camera(t);
        let right_eye = eye * Translation3::new(self.rig.baseline, 0.0, 0.0);
        let solids = self.solids(t, arms);
        let left = render(&self.rig, &eye, &solids, &self.tissue);
        let right = render(&self.rig, &right_eye, &solids, &self.tissue);
        self.seq += 1;
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        let labels = self.labels(&left.class, w, h);
        let mut noisy = |rgb: &[[u8; 3]]| -> Vec<[u8; 3]> {
            rgb.iter()
                .map(|p| {
                    let e = self.rng.random_range(-3i16..=3);
                    p.map(|c| if c == 0 { 0 } else { (i16::from(c) + e).clamp(0, 255) as u8 })
                })
                .collect()
        };
        let frame = StereoFrame {
            stamp: stamp(t),
            seq: self.seq,
            left: Image::new(w, h, noisy(&left.rgb)).unwrap(),
            right: Image::new(w, h, noisy(&right.rgb)).unwrap(),
            rig: self.rig,
        };
        let n = labels.pixels().len();
        let segmentation = Segmentation {
            stamp: frame.stamp,
            seq: self.seq,
            uncertainty: Image::new(labels.width(), labels.height(), vec![20; n]).unwrap(),
            labels,
            confidence: [0.9; Class::COUNT],
            keypoints: Vec::new(),
            quality: ImageQuality { verdict: QualityVerdict::Good, ..ImageQuality::default() },
            model: Digest::of(b"test"),
        };
        (FusionInput { frame, segmentation }, left.depth)
    }

    /// Half-size labels with ragged boundaries and a few speckles.
    fn labels(&mut self, class: &[u8], w: usize, h: usize) -> Image<u8> {
        let (lw, lh) = (w / 2, h / 2);
        let noise = self.setup.label_noise;
        // Boundaries wander by up to `noise` label pixels in blobs of about 6 pixels.
        let wander: Vec<(f64, f64)> = (0..(lw / 6 + 1) * (lh / 6 + 1))
            .map(|_| (self.rng.random_range(-noise..=noise), self.rng.random_range(-noise..=noise)))
            .collect();
        let mut out = vec![0u8; lw * lh];
        for (i, slot) in out.iter_mut().enumerate() {
            let (x, y) = (i % lw, i / lw);
            let (dx, dy) = wander[(y / 6) * (lw / 6 + 1) + x / 6];
            let u = (2.0 * (x as f64 + dx) + 0.5).round().clamp(0.0, w as f64 - 1.0) as usize;
            let v = (2.0 * (y as f64 + dy) + 0.5).round().clamp(0.0, h as f64 - 1.0) as usize;
            *slot = class[v * w + u];
        }
        for _ in 0..(noise * 3.0) as usize {
            let (x, y) = (self.rng.random_range(0..lw - 6), self.rng.random_range(0..lh - 6));
            for k in 0..36 {
                out[(y + k / 6) * lw + x + k % 6] = Class::InstrumentShaft.id();
            }
        }
        Image::new(lw, lh, out).unwrap()
    }

    /// True tip position.
    pub fn tip(&self, arm: ArmId, t: f64) -> Point3<f64> {
        let (q, _) = self.joints(arm, t);
        self.truth[arm.index()] * Point3::from(self.chain.fk(&q).unwrap().translation())
    }

    /// Tip errors in a scene, m, by arm.
    pub fn tip_errors(&self, scene: &Scene, t: f64) -> [Vector3<f64>; 2] {
        ArmId::PSMS.map(|arm| scene.instrument(arm).unwrap().world_from_tip.translation() - self.tip(arm, t).coords)
    }

    /// Steps through `frames` pictures from `start`; calls `each` with time, scene and tip errors.
    pub fn run(
        &mut self,
        fusion: &mut Fusion,
        (start, frames): (f64, usize),
        mut each: impl FnMut(f64, &Scene, [Vector3<f64>; 2]),
    ) {
        for k in 0..frames {
            let t = start + 0.1 + k as f64 / self.setup.frame_hz;
            self.feed(fusion, t + 0.012);
            let (input, _) = self.picture(t, &ArmId::PSMS);
            let scene = fusion.step(stamp(t).plus(Duration::from_millis(40)), &input);
            each(t, &scene, self.tip_errors(&scene, t));
        }
    }
}

pub fn fusion() -> Fusion {
    Fusion::new(FusionParams::default()).unwrap()
}

pub fn rms(errors: &[f64]) -> f64 {
    (errors.iter().map(|e| e * e).sum::<f64>() / errors.len().max(1) as f64).sqrt()
}

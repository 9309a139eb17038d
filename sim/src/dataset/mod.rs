//! Random pictures with their truth, to train and measure perception on: every scene, camera, instrument and look that the
//! simulator can make, far beyond what a demo shows. A sample is a function of its seed and the configuration.

mod clutter;
mod conditions;
mod shrink;

pub use conditions::{Groups, groups};

use crate::{
    render::{Appearance, Foreign, ImageFaults, InstrumentPose, RenderError, Renderer, View, Want},
    scene::{Gripper, SceneConfig, Tissue},
};
use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, Translation3, UnitQuaternion, Vector3};
use proctor_kinematics::{Cell, Chain, Instrument, JawKind, KinematicsError};
use proctor_types::{ArmId, Base, Camera, Class, Image, InvalidValue, Pose, Stamp, StereoRig, Tip, World};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Share of samples whose camera turns its exposure down when something close burns out, as every endoscope does; the others are too
/// bright, as every endoscope is for a moment.
const METERED: f64 = 0.88;
/// Most of the field of view that a metered picture leaves burnt out.
const BURNT: f64 = 0.02;
/// Factor on the exposure per step, and most steps.
const STOP: f32 = 0.7;
const STOPS: usize = 8;

/// What the samples are like.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DatasetConfig {
    /// How scenes differ.
    pub scene: SceneConfig,
    /// Consecutive seeds that share an anatomy (building one costs more than a picture), at least 1.
    pub pictures_per_scene: u64,
    /// Share of samples with the nominal look, 0 to 1; the others are [`Appearance::random`].
    pub nominal_share: f64,
}

impl Default for DatasetConfig {
    fn default() -> Self {
        Self {
            scene: SceneConfig { variation: 1.0, ..SceneConfig::default() },
            pictures_per_scene: 3,
            nominal_share: 0.12,
        }
    }
}

/// One labelled picture. All images have the size of `rig`; truth images belong to the left one.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Left rectified picture.
    pub left: Image<[u8; 3]>,
    /// Right rectified picture; 0x0 unless wanted.
    pub right: Image<[u8; 3]>,
    /// Class per pixel, see [`Class::id`]; [`proctor_types::anatomy::UNKNOWN`] on foreign objects.
    pub labels: Image<u8>,
    /// Instance per pixel: [`ArmId::index`] plus one on instruments, [`crate::render::FIRST_FOREIGN`] and up on foreign objects, else 0.
    pub instances: Image<u8>,
    /// Depth along the optical axis per pixel, m, 0 for none.
    pub depth: Image<f32>,
    /// The cameras.
    pub rig: StereoRig,
    /// Where the left camera stands.
    pub world_from_camera: Pose<World, Camera>,
    /// Instruments that were put into the scene; not all need be in view.
    pub instruments: Vec<SampledInstrument>,
    /// Foreign objects that were put into the scene.
    pub foreign: Vec<Foreign>,
    /// The look.
    pub appearance: Appearance,
}

/// An instrument of a sample. `world_from_base * fk(joints) = world_from_tip`, where the forward kinematics is that of
/// [`Chain::psm`] for the instrument's name; where such an arm could really stand was not asked.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledInstrument {
    /// Which arm holds it; its index plus one is the instance number.
    pub arm: ArmId,
    /// Name in the catalogue.
    pub name: &'static str,
    /// What sits at its end.
    pub kind: JawKind,
    /// Joints, rad, the third m.
    pub joints: [f64; 6],
    /// Angle between the jaws, rad.
    pub jaw: f64,
    /// Where its arm stands.
    pub world_from_base: Pose<World, Base>,
    /// Where its tip is.
    pub world_from_tip: Pose<World, Tip>,
    /// Whether it holds tissue.
    pub holds: bool,
}

/// What can go wrong when samples are made.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The renderer could not be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The instruments could not be read or posed.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// A configuration value is out of range.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

/// An instrument of the catalogue.
struct Tool {
    name: &'static str,
    kind: JawKind,
    chain: Chain,
}

/// Makes samples; keeps what they share.
pub struct Sampler {
    config: DatasetConfig,
    renderer: Renderer,
    tools: Vec<Tool>,
    scene: Option<(u64, Tissue)>,
}

impl Sampler {
    /// A sampler on the calling thread.
    pub fn new(config: &DatasetConfig) -> Result<Self, DatasetError> {
        config.scene.validate()?;
        if config.pictures_per_scene == 0 {
            Err(InvalidValue::Range { what: "pictures per scene", value: 0.0, min: 1.0, max: f64::MAX })?;
        }
        let tools = Instrument::names()
            .into_iter()
            .map(|name| {
                let instrument = Instrument::named(name)?;
                Ok(Tool { name, kind: instrument.kind, chain: Chain::psm(&instrument)? })
            })
            .collect::<Result<_, KinematicsError>>()?;
        Ok(Self { config: *config, renderer: Renderer::new(Cell::standard()?.rig(), 1)?, tools, scene: None })
    }

    /// The anatomy that a seed's sample shows; consecutive seeds share one.
    pub fn anatomy(&self, seed: u64) -> u64 {
        seed / self.config.pictures_per_scene
    }

    /// The sample of a seed, with the pictures of `want`.
    pub fn sample(&mut self, seed: u64, want: Want) -> Result<Sample, DatasetError> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5A17_1E5E_ED00);
        let anatomy = self.anatomy(seed);
        let fresh = match &self.scene {
            Some((s, tissue)) if *s == anatomy => tissue.clone(),
            _ => self.scene.insert((anatomy, Tissue::new(&self.config.scene, anatomy))).1.clone(),
        };
        let (tissue, pulled) = deform(&mut rng, fresh);
        let camera = camera(&mut rng, &tissue, pulled);
        let count = [0, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3][rng.random_range(0..11)];
        let (mut instruments, mut poses) = (Vec::new(), Vec::new());
        for arm in ArmId::ALL.into_iter().take(count) {
            let goal = if arm == ArmId::Psm1 { pulled } else { None };
            let (instrument, pose) = self.instrument(&mut rng, arm, &camera, goal)?;
            instruments.push(instrument);
            poses.push(pose);
        }
        let mut appearance = Appearance::random(seed);
        if rng.random_bool(self.config.nominal_share.clamp(0.0, 1.0)) {
            appearance = Appearance { seed: appearance.seed, ..Appearance::nominal() };
        }
        let foreign = clutter::scatter(seed, &tissue, &camera);
        let metered = rng.random_bool(METERED);
        let mut drawn = |appearance: &Appearance| {
            let view = View {
                stamp: Stamp::FIRST,
                seq: seed,
                world_from_camera: camera,
                instruments: &poses,
                tissue: &tissue,
                appearance,
                faults: &ImageFaults::default(),
            };
            self.renderer.render_with(&view, &foreign, want)
        };
        let mut r = drawn(&appearance);
        for _ in 0..if metered { STOPS } else { 0 } {
            if burnt(&r.left) <= BURNT {
                break;
            }
            appearance.exposure *= STOP;
            r = drawn(&appearance);
        }
        Ok(Sample {
            left: r.left,
            right: r.right,
            labels: r.labels,
            instances: r.instances,
            depth: r.depth,
            rig: self.renderer.rig(),
            world_from_camera: camera,
            instruments,
            foreign,
            appearance,
        })
    }

    /// An instrument that comes from somewhere beside the camera and works at `goal`, or at a random place in view.
    fn instrument(
        &self,
        rng: &mut ChaCha8Rng,
        arm: ArmId,
        camera: &Pose<World, Camera>,
        goal: Option<Point3<f64>>,
    ) -> Result<(SampledInstrument, InstrumentPose), DatasetError> {
        let Tool { name, kind, chain } = &self.tools[rng.random_range(0..self.tools.len())];
        let target = goal.unwrap_or_else(|| {
            let ray = Vector3::new(rng.random_range(-0.45..0.45), rng.random_range(-0.34..0.34), 1.0);
            let (eye, ray) = (Point3::from(camera.translation()), camera.rotation() * ray);
            // Where the ray meets a level near the organs, then some way back: tools hover more often than they touch.
            let level = rng.random_range(-0.012..0.016);
            let depth = ((level - eye.z) / ray.z.min(-0.05)).clamp(0.03, 0.17);
            let back = if rng.random_bool(0.35) { rng.random_range(0.0..0.006) } else { rng.random_range(0.0..0.04) };
            eye + ray * (depth - back).max(0.022)
        });
        // Left and right are usual; any side happens.
        let side: f64 = if rng.random_bool(0.7) {
            let right = if rng.random_bool(0.5) { 0.0 } else { std::f64::consts::PI };
            right + rng.random_range(-0.7..0.7)
        } else {
            rng.random_range(-std::f64::consts::PI..std::f64::consts::PI)
        };
        let out = rng.random_range(0.06..0.15);
        let entry =
            Point3::from(Vector3::new(libm::cos(side) * out, libm::sin(side) * out, rng.random_range(-0.06..0.035)));
        let rcm = camera.transform(&entry);
        let base = frame(rcm - target, rng.random_range(-3.1..3.1), rcm);
        let depth = (rcm - target).norm();
        let limit = 0.97 * chain.limits().upper[2];
        let q = [
            0.0,
            0.0,
            (chain.insertion_for_depth(depth) - 0.006).clamp(0.0, limit),
            rng.random_range(-3.0..3.0),
            rng.random_range(-1.0..1.0),
            rng.random_range(-1.0..1.0),
        ];
        let links = chain.links(&q)?;
        let jaw = if goal.is_some() || rng.random_bool(0.3) { 0.0 } else { rng.random_range(0.0..1.2) };
        // The wrist's bend carries the tip aside; slide the whole instrument so that the jaws are where they should be.
        let slide = goal.map_or(Vector3::zeros(), |g| g - base * links.jaw_end);
        let base = Translation3::from(slide) * base;
        let world_from_base = Pose::new(base);
        let world_from_tip = world_from_base * chain.fk(&q)?;
        let holds = goal.is_some();
        let truth =
            SampledInstrument { arm, name, kind: *kind, joints: q, jaw, world_from_base, world_from_tip, holds };
        let pose = InstrumentPose {
            arm,
            kind: *kind,
            world_from_shaft: base * links.shaft,
            world_from_wrist: base * links.wrist,
            world_from_jaw: base * links.jaw,
            jaw,
            rcm: rcm + slide,
        };
        Ok((truth, pose))
    }
}

/// Share of the field of view, which is what is not black, that is white in every channel.
fn burnt(picture: &Image<[u8; 3]>) -> f64 {
    let count = |test: fn(&[u8; 3]) -> bool| picture.pixels().iter().filter(|p| test(p)).count();
    count(|p| p.iter().all(|&v| v >= 250)) as f64 / count(|p| p.iter().any(|&v| v >= 12)).max(1) as f64
}

/// A frame at `origin` whose z points along `z`, turned about it by `roll`.
fn frame(z: Vector3<f64>, roll: f64, origin: Point3<f64>) -> Isometry3<f64> {
    let z = z.normalize();
    let aside = if z.x.abs() < 0.9 { Vector3::x() } else { Vector3::y() };
    let x = (aside - z * z.dot(&aside)).normalize();
    let r = Rotation3::from_matrix_unchecked(Matrix3::from_columns(&[x, z.cross(&x), z]));
    let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), roll);
    Isometry3::from_parts(origin.coords.into(), UnitQuaternion::from_rotation_matrix(&r) * turn)
}

/// In a third of the samples something is being pulled; returns where the gripper holds it.
fn deform(rng: &mut ChaCha8Rng, mut tissue: Tissue) -> (Tissue, Option<Point3<f64>>) {
    let breath: f64 = rng.random_range(0.0..1.0);
    (0..4).for_each(|_| tissue.step(breath, &[]));
    if !rng.random_bool(0.35) {
        return (tissue, None);
    }
    let fundus = tissue.fundus();
    let start = if rng.random_bool(0.6) {
        fundus.point
    } else {
        let anywhere = Point3::new(rng.random_range(-0.03..0.045), rng.random_range(-0.05..0.02), 0.0);
        tissue
            .nearest_of(Class::Gallbladder, &anywhere, &(anywhere + Vector3::z() * 0.05))
            .map_or(fundus.point, |n| n.point)
    };
    let pull =
        Vector3::new(rng.random_range(-0.02..0.02), rng.random_range(-0.015..0.022), rng.random_range(0.0..0.028));
    let grip = |s: f64| Gripper { arm: ArmId::Psm1, tip: start + pull * s, closed: true };
    for i in 0..=24 {
        tissue.step(0.02, &[grip(f64::from(i) / 24.0)]);
    }
    let held = tissue.held(ArmId::Psm1).is_some();
    (tissue, held.then(|| start + pull))
}

/// A camera that looks at the organs from 50 to 140 mm away.
fn camera(rng: &mut ChaCha8Rng, tissue: &Tissue, pulled: Option<Point3<f64>>) -> Pose<World, Camera> {
    let fundus = tissue.fundus().point;
    let mut look =
        Point3::new(rng.random_range(-0.032..0.038), rng.random_range(-0.036..0.026), rng.random_range(-0.012..0.008));
    if rng.random_bool(0.2) {
        look = nalgebra::center(&look, &pulled.unwrap_or(fundus));
    }
    let distance = rng.random_range(0.050..0.140);
    // Azimuth 0 looks away along +y, as the standard cell does.
    let azimuth: f64 = if rng.random_bool(0.85) { rng.random_range(-0.8..0.8) } else { rng.random_range(-3.1..3.1) };
    let elevation: f64 = rng.random_range(0.62..1.45);
    let forward = Vector3::new(
        libm::sin(azimuth) * libm::cos(elevation),
        libm::cos(azimuth) * libm::cos(elevation),
        -libm::sin(elevation),
    );
    let roll: f64 = if rng.random_bool(0.85) { rng.random_range(-0.5..0.5) } else { rng.random_range(-3.1..3.1) };
    // Camera z forward; x horizontal to the right; y down.
    let x = forward.cross(&Vector3::z()).normalize();
    let r = Rotation3::from_matrix_unchecked(Matrix3::from_columns(&[x, forward.cross(&x), forward]));
    let turn = UnitQuaternion::from_axis_angle(&Vector3::z_axis(), roll);
    let eye = look - forward * distance;
    Pose::new(Isometry3::from_parts(eye.coords.into(), UnitQuaternion::from_rotation_matrix(&r) * turn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_camera_meters_as_an_endoscope_does() {
        let mut sampler = Sampler::new(&DatasetConfig::default()).unwrap();
        let (mut dimmed, mut bright) = (0, 0);
        for seed in (0..48).map(|n| 3 * n) {
            let sample = sampler.sample(seed, Want::LeftOnly).unwrap();
            let set = [Appearance::random(seed), Appearance::nominal()].map(|a| a.exposure);
            dimmed += usize::from(!set.contains(&sample.appearance.exposure));
            bright += usize::from(burnt(&sample.left) > BURNT);
        }
        assert!(dimmed >= 5, "{dimmed} of 48 pictures were turned down");
        assert!(bright <= 3, "{bright} of 48 pictures are burnt out");
    }
}

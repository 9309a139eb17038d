//! The stereo endoscope: two rectified views of the scene with labels, instances and depth.
//!
//! One frame: transform all vertices once (both views share depth), cut at the near plane, bin triangles per view and band of rows,
//! rasterise a band into surface samples, shade it eight pixels at a time, then blur, noise and pack. Pictures depend on the
//! arguments only: not on threads, earlier frames or the clock.

mod appearance;
mod bilinear;
mod instrument;
mod lens;
mod post;
mod raster;
mod shade;
mod texture;

pub use appearance::{Appearance, Surface};
pub use lens::RAW_DISTORTION;

use crate::scene::{Tissue, mesh::V3};
use instrument::{Link, Model};
use nalgebra::{Isometry3, Matrix3, Point3, UnitQuaternion, Vector3};
use proctor_kinematics::{JawKind, KinematicsError};
use proctor_types::{ArmId, Camera, Class, Image, InvalidValue, Pose, Stamp, StereoFrame, StereoRig, World};
use raster::{BAND, Canvas, Geometry, Pinhole};
use rayon::prelude::*;
use shade::{Shader, Tones};
use std::borrow::Cow;
use texture::Textures;

/// What can be wrong with a renderer's construction.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The instruments' dimensions could not be read.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// The thread pool could not be started.
    #[error("render threads: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// A value outside its range.
    #[error(transparent)]
    Value(#[from] InvalidValue),
}

/// Where an instrument truly is, for drawing. Frames as in `proctor_kinematics::Links`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InstrumentPose {
    /// Whose instrument; its index plus one is the instance number in pictures.
    pub arm: ArmId,
    /// What sits at its end.
    pub kind: JawKind,
    /// Origin at the wrist-pitch axis, z along the shaft, distal.
    pub world_from_shaft: Isometry3<f64>,
    /// Origin at the jaw axis, z along the wrist, distal.
    pub world_from_wrist: Isometry3<f64>,
    /// Origin at the jaw axis, z towards the end of the jaws, x the axis about which they open.
    pub world_from_jaw: Isometry3<f64>,
    /// Angle between the jaws, rad; negative (squeezing) is drawn closed.
    pub jaw: f64,
    /// Remote centre: where the shaft enters the body.
    pub rcm: Point3<f64>,
}

/// Faults of the picture itself (frozen and dropped frames are the camera node's business).
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ImageFaults {
    /// The light is off: both pictures are black. Truth images stay true.
    pub blackout: bool,
    /// Smoke, 0 none to 1 hardly anything visible; added to the appearance's own.
    pub smoke: f32,
    /// Blood on the lens, 0 none to 1 everything covered; added to the appearance's own.
    pub blood: f32,
}

/// One moment to picture.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// Stamp of the resulting frame.
    pub stamp: Stamp,
    /// Number of the frame; seeds its noise.
    pub seq: u64,
    /// True pose of the left camera.
    pub world_from_camera: Pose<World, Camera>,
    /// Instruments in the field.
    pub instruments: &'a [InstrumentPose],
    /// Tissue as it is now.
    pub tissue: &'a Tissue,
    /// The look.
    pub appearance: &'a Appearance,
    /// The faults.
    pub faults: &'a ImageFaults,
}

/// Which of the outputs to make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    /// The left picture and its truth; the right picture is empty. For data sets.
    LeftOnly,
    /// Both rectified pictures and the truth.
    Rectified,
    /// Also both raw pictures, with lens distortion.
    RectifiedAndRaw,
}

/// What one frame shows. Truth images belong to the left rectified view.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// Left rectified picture.
    pub left: Image<[u8; 3]>,
    /// Right rectified picture; 0x0 unless wanted.
    pub right: Image<[u8; 3]>,
    /// Left and right picture as the sensor sees them ([`RAW_DISTORTION`]), if wanted.
    pub raw: Option<[Image<[u8; 3]>; 2]>,
    /// Class per pixel ([`Class::id`]); 0 outside the field of view.
    pub labels: Image<u8>,
    /// Instance per pixel: arm index plus one on instruments, else 0.
    pub instances: Image<u8>,
    /// Depth along the optical axis, m; 0 where nothing is seen.
    pub depth: Image<f32>,
}

impl Rendered {
    /// The pair as a camera would hand it over.
    pub fn frame(&self, stamp: Stamp, seq: u64, rig: StereoRig) -> StereoFrame {
        StereoFrame { stamp, seq, left: self.left.clone(), right: self.right.clone(), rig }
    }
}

/// Draws frames; keeps its buffers and threads between them.
pub struct Renderer {
    rig: StereoRig,
    pool: Option<rayon::ThreadPool>,
    textures: Textures,
    tones: Option<Tones>,
    models: Vec<Model>,
    geometry: Geometry,
    views: [raster::View; 2],
    positions: Vec<V3>,
    normals: Vec<V3>,
    shaded: [Vec<u32>; 2],
    spare: Vec<u8>,
    grain: Vec<i8>,
    distortion: Option<Vec<lens::Tap>>,
}

/// One band of one view with the outputs it fills.
struct Job<'a> {
    view: usize,
    band: usize,
    colour: &'a mut [u32],
    truth: Option<Truth<'a>>,
}

struct Truth<'a> {
    class: &'a mut [u8],
    instance: &'a mut [u8],
    depth: &'a mut [f32],
}

impl Renderer {
    /// A renderer for `rig` on `threads` threads (0 and 1: the caller's). The picture's width must be a multiple of 8.
    pub fn new(rig: StereoRig, threads: usize) -> Result<Self, RenderError> {
        if !rig.left.width.is_multiple_of(8) || rig.left.width == 0 || rig.left.height == 0 {
            let value = rig.left.width as f64;
            Err(InvalidValue::Range {
                what: "rendered width (a positive multiple of 8)",
                value,
                min: 8.0,
                max: 4096.0,
            })?;
        }
        let pool = match threads {
            0 | 1 => None,
            n => Some(rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("render-{i}")).build()?),
        };
        Ok(Self {
            rig,
            pool,
            textures: Textures::new(),
            tones: None,
            models: Model::all()?,
            geometry: Geometry::default(),
            views: Default::default(),
            positions: Vec::new(),
            normals: Vec::new(),
            shaded: Default::default(),
            spare: Vec::new(),
            grain: post::grain(rig.left.width),
            distortion: None,
        })
    }

    /// The cameras.
    pub fn rig(&self) -> StereoRig {
        self.rig
    }

    /// Draws one frame.
    pub fn render(&mut self, view: &View, want: Want) -> Rendered {
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        let eyes = if want == Want::LeftOnly { 1 } else { 2 };
        let camera_from_world = view.world_from_camera.inverse();
        self.gather(view, &camera_from_world.iso().rotation, &camera_from_world.translation());
        let pinholes = self.pinholes();
        let (geometry, views) = (&self.geometry, &mut self.views);
        run(
            self.pool.as_ref(),
            views.iter_mut().zip(pinholes).take(eyes).collect(),
            || (),
            |(), (v, p)| v.prepare(geometry, &p),
        );

        let columns: Matrix3<f32> = view.world_from_camera.rotation().to_rotation_matrix().matrix().cast();
        let world = std::array::from_fn(|c| [columns[(0, c)], columns[(1, c)], columns[(2, c)]]);
        let dirt = (view.appearance.smoke + view.faults.smoke, view.appearance.lens_blood + view.faults.blood);
        let tones = match self.tones.take() {
            Some(tones) if tones.suits(view.appearance) => tones,
            _ => Tones::new(view.appearance),
        };
        let material = (&self.textures, &tones);
        let shaders = pinholes.map(|p| Shader::new(view.appearance, material, p, world, view.seq, dirt));
        let (mut class, mut instance, mut depth) = (vec![0u8; w * h], vec![0u8; w * h], vec![0.0f32; w * h]);
        let mut jobs = Vec::new();
        for (eye, colour) in self.shaded.iter_mut().take(eyes).enumerate() {
            colour.resize(w * h, 0);
            jobs.extend(colour.chunks_mut(w * BAND).enumerate().map(|(band, colour)| Job {
                view: eye,
                band,
                colour,
                truth: None,
            }));
        }
        let truths = class.chunks_mut(w * BAND).zip(instance.chunks_mut(w * BAND)).zip(depth.chunks_mut(w * BAND));
        for (job, ((class, instance), depth)) in jobs.iter_mut().zip(truths) {
            job.truth = Some(Truth { class, instance, depth });
        }
        let views = &self.views;
        run(self.pool.as_ref(), jobs, Canvas::default, |canvas, job| {
            views[job.view].draw(geometry, job.band, canvas);
            shade_band(&shaders[job.view], w, canvas, job);
        });
        drop(shaders);
        self.tones = Some(tones);

        let mut pictures = (0..eyes).map(|eye| self.finish(view, eye)).collect::<Vec<_>>().into_iter();
        let left = pictures.next().unwrap_or_default();
        let right = pictures.next();
        let raw = (want == Want::RectifiedAndRaw).then(|| {
            let taps = self.distortion.get_or_insert_with(|| lens::taps(&self.rig.left));
            [Some(&left), right.as_ref()].map(|p| image(w, h, lens::distort(taps, w, p.map_or(&[][..], |p| p))))
        });
        let (rw, rh) = if right.is_some() { (w, h) } else { (0, 0) };
        Rendered {
            left: image(w, h, left),
            right: image(rw, rh, right.unwrap_or_default()),
            raw,
            labels: image(w, h, class),
            instances: image(w, h, instance),
            depth: image(w, h, depth),
        }
    }

    fn pinholes(&self) -> [Pinhole; 2] {
        let c = &self.rig.left;
        let right = (self.rig.baseline * 1e3) as f32;
        [0.0, right].map(|shift| Pinhole {
            fx: c.fx as f32,
            fy: c.fy as f32,
            cx: c.cx as f32,
            cy: c.cy as f32,
            shift,
            light: 0.5 * right,
            width: c.width,
            height: c.height,
        })
    }

    /// Fills the frame's geometry: tissue as it lies, instruments as they stand.
    fn gather(&mut self, view: &View, rotation: &UnitQuaternion<f64>, translation: &Vector3<f64>) {
        let turn = Turn::new(rotation, &(translation * 1e3));
        self.geometry.clear();
        view.tissue.deformed(&mut self.positions, &mut self.normals);
        let mesh = view.tissue.mesh();
        for part in &mesh.parts {
            let class = f32::from(part.class.id());
            for v in part.vertices.clone() {
                self.geometry.vertices.push(raster::Vertex {
                    camera: turn.point(self.positions[v]),
                    normal: self.normals[v],
                    texture: mesh.position[v],
                    material: class + 0.05 + 0.9 * mesh.openness[v],
                });
            }
        }
        for pose in view.instruments {
            let Some(model) = self.models.iter().find(|m| m.kind == pose.kind) else { continue };
            let half = 0.5 * pose.jaw.max(0.0);
            let instance = pose.arm.index() as u8 + 1;
            for (link, mesh) in &model.links {
                let opened = |angle: f64| {
                    Cow::Owned(pose.world_from_jaw * UnitQuaternion::from_axis_angle(&Vector3::x_axis(), angle))
                };
                let world_from_link = match link {
                    Link::Shaft => Cow::Borrowed(&pose.world_from_shaft),
                    Link::Wrist => Cow::Borrowed(&pose.world_from_wrist),
                    Link::UpperJaw if pose.kind == JawKind::Hook => Cow::Borrowed(&pose.world_from_jaw),
                    Link::UpperJaw => opened(half),
                    Link::LowerJaw => opened(-half),
                };
                let to_world = Turn::new(&world_from_link.rotation, &(world_from_link.translation.vector * 1e3));
                let base = self.geometry.vertices.len() as u32;
                for part in &mesh.parts {
                    let material = shade::instrument_material(instance, part.class) + 0.95;
                    for v in part.vertices.clone() {
                        self.geometry.vertices.push(raster::Vertex {
                            camera: turn.point(to_world.point(mesh.position[v])),
                            normal: to_world.direction(mesh.normal[v]),
                            texture: mesh.position[v],
                            material,
                        });
                    }
                }
                self.geometry.triangles.extend(mesh.triangles.iter().map(|t| t.map(|i| i + base)));
            }
        }
        // Instruments first, then small organs, the wall last: what is hidden fails the depth test and costs little.
        for part in mesh.parts.iter().rev() {
            self.geometry.triangles.extend_from_slice(&mesh.triangles[part.triangles.clone()]);
        }
        self.geometry.finish();
    }

    /// Blur, noise and packing of one shaded view; black in a blackout.
    fn finish(&mut self, view: &View, eye: usize) -> Vec<[u8; 3]> {
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        if view.faults.blackout {
            return vec![[0; 3]; w * h];
        }
        let look = view.appearance;
        let source: &mut [u8] = bytemuck::cast_slice_mut(&mut self.shaded[eye]);
        self.spare.resize(4 * w * h, 0);
        let mut left = look.blur.clamp(0.0, 8.0);
        // Whole passes first; the last, fractional one on the way to the output.
        while left > 1.0 {
            let from = &*source;
            let rows: Vec<_> = self.spare.chunks_mut(4 * w).enumerate().collect();
            run(self.pool.as_ref(), rows, || (), |(), (y, out)| post::blur_row(from, w, h, y, 256, out));
            source.copy_from_slice(&self.spare);
            left -= 1.0;
        }
        let noise_seed =
            (view.seq as u32).wrapping_mul(0x9E37_79B1) ^ (view.seq >> 32) as u32 ^ look.seed ^ ((eye as u32) << 31);
        let finish = post::Finish {
            width: w,
            height: h,
            blur: (left * 256.0) as u16,
            noise: (look.noise.clamp(0.0, 40.0) * 256.0) as u32,
            seed: noise_seed,
        };
        let (source, grain) = (&*source, &self.grain);
        let mut out = vec![[0u8; 3]; w * h];
        let bands: Vec<_> = out.chunks_mut(w * BAND).enumerate().collect();
        run(
            self.pool.as_ref(),
            bands,
            || vec![0u8; 4 * w],
            |row, (band, out)| {
                for (i, out) in out.chunks_mut(w).enumerate() {
                    let y = band * BAND + i;
                    post::blur_row(source, finish.width, finish.height, y, finish.blur, row);
                    post::pack_row(&finish, grain, row, y, out);
                }
            },
        );
        out
    }
}

/// Runs `work` over `items`, on the pool if there is one. Items are independent, so the result does not depend on it.
fn run<T: Send, S: Send>(
    pool: Option<&rayon::ThreadPool>,
    items: Vec<T>,
    scratch: impl Fn() -> S + Sync + Send,
    work: impl Fn(&mut S, T) + Sync + Send,
) {
    if let Some(pool) = pool {
        pool.install(|| items.into_par_iter().with_max_len(1).for_each_init(scratch, work));
    } else {
        let mut s = scratch();
        items.into_iter().for_each(|item| work(&mut s, item));
    }
}

fn shade_band(shader: &Shader, width: usize, canvas: &Canvas, job: Job) {
    let Job { band, colour, mut truth, .. } = job;
    for (i, (row, pixels)) in colour.chunks_mut(width).zip(canvas.blocks().chunks(width / 8)).enumerate() {
        let y = band * BAND + i;
        for (x, (out, block)) in row.chunks_exact_mut(8).zip(pixels).enumerate() {
            let x = 8 * x;
            if shader.outside(x, y) {
                // Truth buffers start out empty.
                out.fill(0);
                continue;
            }
            let eight = shader.shade(x, y, canvas.samples(block));
            out.copy_from_slice(&eight.colour);
            if let Some(t) = &mut truth {
                let at = i * width + x;
                t.class[at..at + 8].copy_from_slice(&eight.class.to_le_bytes());
                t.instance[at..at + 8].copy_from_slice(&eight.instance.to_le_bytes());
                t.depth[at..at + 8].copy_from_slice(&eight.depth.map(|z| z * 1e-3));
            }
        }
    }
}

/// An image whose size is right by construction.
fn image<P>(width: usize, height: usize, data: Vec<P>) -> Image<P> {
    Image::new(width, height, data).expect("the buffer was made with this size")
}

/// A rigid transform in single precision, mm.
struct Turn {
    r: Matrix3<f32>,
    t: Vector3<f32>,
}

impl Turn {
    fn new(rotation: &UnitQuaternion<f64>, translation: &Vector3<f64>) -> Self {
        Self { r: rotation.to_rotation_matrix().matrix().cast(), t: translation.cast() }
    }
    fn direction(&self, v: V3) -> V3 {
        let m = &self.r;
        std::array::from_fn(|i| m[(i, 0)] * v[0] + m[(i, 1)] * v[1] + m[(i, 2)] * v[2])
    }
    fn point(&self, v: V3) -> V3 {
        let d = self.direction(v);
        [d[0] + self.t.x, d[1] + self.t.y, d[2] + self.t.z]
    }
}

/// Class of a label, for readers of truth images.
pub fn class_of(label: u8) -> Class {
    Class::from_id(label).unwrap_or_default()
}

//! The stereo endoscope: two rectified views of the scene with labels, instances and depth.
//!
//! One frame: transform all vertices once (both views share depth), cut at the near plane, bin triangles per view and band of rows,
//! find the nearest face of every pixel of a band, shade it sixteen pixels at a time, then blur, add noise and pack. Pictures depend on the
//! arguments only: not on threads, earlier frames or the clock.

mod albedo;
mod appearance;
mod bilinear;
mod crew;
mod foreign;
mod gather;
mod instrument;
mod lanes;
mod lens;
mod lookup;
mod post;
mod raster;
mod shade;
mod shelf;
mod sight;
mod spoil;
mod texture;
mod tone;

pub use albedo::Albedo;
pub use appearance::{Appearance, Surface};
pub use foreign::{FIRST_FOREIGN, Foreign, ForeignKind, MOST_FOREIGN};
pub use instrument::{InstrumentShape, Link as InstrumentLink};
pub use lens::RAW_DISTORTION;
pub use spoil::spoiled;

use crate::scene::{Tissue, mesh::V3};
use crew::Crew;
use instrument::Model;
use lanes::RUN;
use nalgebra::{Isometry3, Matrix3, Point3};
use proctor_kinematics::{JawKind, KinematicsError};
use proctor_types::{ArmId, Camera, Class, Image, InvalidValue, Pose, Stamp, StereoFrame, StereoRig, World};
use raster::{BAND, Canvas, Geometry, Pinhole};
use shade::{Shader, Shown};
use shelf::Shelf;
use texture::Textures;
use tone::Tones;

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
    /// Class per pixel ([`Class::id`]); 0 outside the field of view, [`proctor_types::anatomy::UNKNOWN`] on foreign objects.
    pub labels: Image<u8>,
    /// Instance per pixel: arm index plus one on instruments, [`FIRST_FOREIGN`] and up on foreign objects, else 0.
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
    crew: Crew,
    textures: Textures,
    tones: Option<Tones>,
    models: Vec<Model>,
    geometry: Geometry,
    views: [raster::View; 2],
    positions: Vec<V3>,
    normals: Vec<V3>,
    /// RGBX before and after blur and noise; the latter with the margin that distorting needs.
    shaded: [Vec<u32>; 2],
    finished: [Vec<u32>; 2],
    grain: Vec<i8>,
    distortion: Option<Vec<lens::Taps>>,
    colours: Shelf<[u8; 3]>,
    bytes: Shelf<u8>,
    depths: Shelf<f32>,
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
    /// A renderer for `rig` on `threads` threads (0 and 1: the caller's). The picture's width must be a multiple of 16.
    pub fn new(rig: StereoRig, threads: usize) -> Result<Self, RenderError> {
        if !rig.left.width.is_multiple_of(RUN) || rig.left.width == 0 || rig.left.height == 0 {
            let value = rig.left.width as f64;
            Err(InvalidValue::Range {
                what: "rendered width (a positive multiple of 16)",
                value,
                min: 16.0,
                max: 4096.0,
            })?;
        }
        let pixels = rig.left.width * rig.left.height;
        Ok(Self {
            rig,
            crew: Crew::new(threads)?,
            textures: Textures::new(),
            tones: None,
            models: Model::all()?,
            geometry: Geometry::default(),
            views: Default::default(),
            positions: Vec::new(),
            normals: Vec::new(),
            shaded: [0, 1].map(|_| vec![0; pixels]),
            finished: [0, 1].map(|_| vec![0; pixels + lens::margin(rig.left.width)]),
            grain: post::grain(rig.left.width),
            distortion: None,
            // What two frames hand out: one may be held while the next is drawn.
            colours: Shelf::new(8),
            bytes: Shelf::new(4),
            depths: Shelf::new(2),
        })
    }

    /// The cameras.
    pub fn rig(&self) -> StereoRig {
        self.rig
    }

    /// Draws one frame.
    pub fn render(&mut self, view: &View, want: Want) -> Rendered {
        self.render_with(view, &[], want)
    }

    /// Draws one frame with foreign objects in the field, the first [`MOST_FOREIGN`] of them.
    pub fn render_with(&mut self, view: &View, foreign: &[Foreign], want: Want) -> Rendered {
        let foreign = &foreign[..foreign.len().min(MOST_FOREIGN)];
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        let eyes = if want == Want::LeftOnly { 1 } else { 2 };
        let camera_from_world = view.world_from_camera.inverse();
        self.gather((view, foreign), &camera_from_world.iso().rotation, &camera_from_world.translation());
        let pinholes = self.pinholes();
        let (geometry, views) = (&self.geometry, &mut self.views);
        let both = views.iter_mut().zip(pinholes).take(eyes).collect();
        self.crew.run(both, |_, (v, p)| v.prepare(geometry, &p));

        let columns: Matrix3<f32> = view.world_from_camera.rotation().to_rotation_matrix().matrix().cast();
        let world = std::array::from_fn(|c| [columns[(0, c)], columns[(1, c)], columns[(2, c)]]);
        let dirt = (view.appearance.smoke + view.faults.smoke, view.appearance.lens_blood + view.faults.blood);
        let tones = match self.tones.take() {
            Some(tones) if tones.suits(view.appearance.gamma) => tones,
            _ => Tones::new(view.appearance.gamma),
        };
        let material = (&self.textures, &tones);
        let shaders = pinholes.map(|p| Shader::new((view.appearance, foreign), material, p, world, view.seq, dirt));
        let [mut class, mut instance] = [0, 1].map(|_| self.bytes.take(w * h));
        let mut depth = self.depths.take(w * h);
        let mut jobs = Vec::new();
        for (eye, colour) in self.shaded.iter_mut().take(eyes).enumerate() {
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
        self.crew.run(jobs, |worker, job| {
            views[job.view].draw(geometry, job.band, &mut worker.canvas);
            shade_band(&shaders[job.view], w, &worker.canvas, job);
        });
        drop(shaders);
        self.tones = Some(tones);

        let left = self.finish(view, 0);
        let right = if eyes == 2 { self.finish(view, 1) } else { self.colours.lend(0, 0, Vec::new()) };
        Rendered {
            left,
            right,
            raw: (want == Want::RectifiedAndRaw).then(|| self.distort()),
            labels: self.bytes.lend(w, h, class),
            instances: self.bytes.lend(w, h, instance),
            depth: self.depths.lend(w, h, depth),
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

    /// Blur and noise of one shaded view into `finished`, and its RGB; black in a blackout.
    fn finish(&mut self, view: &View, eye: usize) -> Image<[u8; 3]> {
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        let (shaded, finished) = (&mut self.shaded[eye], &mut self.finished[eye]);
        let mut out = self.colours.take(w * h);
        if view.faults.blackout {
            finished.fill(0);
            out.fill([0; 3]);
            return self.colours.lend(w, h, out);
        }
        let look = view.appearance;
        let noise_seed =
            (view.seq as u32).wrapping_mul(0x9E37_79B1) ^ (view.seq >> 32) as u32 ^ look.seed ^ ((eye as u32) << 31);
        let mut finish = post::Finish {
            width: w,
            height: h,
            blur: 256,
            noise: (look.noise.clamp(0.0, 40.0) * 256.0) as u32,
            seed: noise_seed,
        };
        let mut left = look.blur.clamp(0.0, 8.0);
        // Whole passes first; the last, fractional one on the way to the output.
        while left > 1.0 {
            let (source, target) = (bytemuck::cast_slice(shaded), bytemuck::cast_slice_mut(&mut finished[..w * h]));
            let rows: Vec<_> = target.chunks_mut(4 * w).enumerate().collect();
            self.crew.run(rows, |worker, (y, out)| post::blur_row(&finish, source, y, &mut worker.sums, out));
            shaded.copy_from_slice(&finished[..w * h]);
            left -= 1.0;
        }
        finish.blur = (left * 256.0) as u16;
        let source: &[u8] = bytemuck::cast_slice(shaded);
        let bands: Vec<_> = finished[..w * h].chunks_mut(w * BAND).zip(out.chunks_mut(w * BAND)).enumerate().collect();
        self.crew.run(bands, |worker, (band, (finished, out))| {
            for (i, (row, out)) in finished.chunks_mut(w).zip(out.chunks_mut(w)).enumerate() {
                let (y, row) = (band * BAND + i, bytemuck::cast_slice_mut(row));
                post::blur_row(&finish, source, y, &mut worker.sums, row);
                post::noise_row(&finish, &self.grain, y, row);
                post::pack_row(row, out);
            }
        });
        self.colours.lend(w, h, out)
    }

    /// Both finished views as the distorted lens shows them.
    fn distort(&mut self) -> [Image<[u8; 3]>; 2] {
        let (w, h) = (self.rig.left.width, self.rig.left.height);
        let taps = self.distortion.get_or_insert_with(|| lens::taps(&self.rig.left));
        let mut raw = [0, 1].map(|_| self.colours.take(w * h));
        let [left, right] = raw.each_mut().map(|r| r.chunks_mut(w * BAND));
        let bands: Vec<_> = taps.chunks(w * BAND / 8).zip(left.zip(right)).collect();
        let finished = &self.finished;
        self.crew.run(bands, |_, (taps, (left, right))| {
            // Both views in step, so that the taps are read once.
            let outs = left.as_chunks_mut::<8>().0.iter_mut().zip(right.as_chunks_mut::<8>().0);
            for (taps, (left, right)) in taps.iter().zip(outs) {
                *left = post::pack(lens::distort(taps, w, &finished[0]));
                *right = post::pack(lens::distort(taps, w, &finished[1]));
            }
        });
        raw.map(|r| self.colours.lend(w, h, r))
    }
}

fn shade_band(shader: &Shader, width: usize, canvas: &Canvas, job: Job) {
    let Job { band, colour, mut truth, .. } = job;
    for (i, (row, blocks)) in colour.chunks_mut(width).zip(canvas.blocks().chunks(width / 8)).enumerate() {
        let y = band * BAND + i;
        let runs = row.as_chunks_mut::<RUN>().0.iter_mut().zip(blocks.as_chunks().0);
        for (x, (out, blocks)) in (0..).step_by(RUN).zip(runs) {
            let shown = if shader.outside(x, y) { Shown::NOTHING } else { shader.shade(x, y, &canvas.samples(blocks)) };
            *out = shown.colour;
            if let Some(t) = &mut truth {
                let at = i * width + x..i * width + x + RUN;
                t.class[at.clone()].copy_from_slice(&shown.class.to_le_bytes());
                t.instance[at.clone()].copy_from_slice(&shown.instance.to_le_bytes());
                t.depth[at].copy_from_slice(&shown.depth.map(|z| z * 1e-3));
            }
        }
    }
}

/// Class of a label, for readers of truth images.
pub fn class_of(label: u8) -> Class {
    Class::from_id(label).unwrap_or_default()
}

//! From triangles to one nearest surface sample per pixel: near clipping, 24.8 fixed-point edge functions with the top-left rule,
//! back-face culling, bands of rows that stay in the cache. Order and threads do not change a bit of the result: a sample wins by
//! depth alone, ties by submission order, which is fixed.

#![allow(clippy::needless_range_loop, reason = "lanes of several arrays at once, in the hot loop")]

use crate::scene::mesh::V3;
use wide::f32x8;

/// Rows per band: one band's samples fit the second-level cache.
pub(crate) const BAND: usize = 24;
/// Nothing nearer than this is drawn, mm.
pub(crate) const NEAR: f32 = 5.0;

/// What is interpolated: 1/z, normal/z (3), texture point/z (3), then material number plus openness, which is not divided.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C, align(32))]
pub(crate) struct Sample(pub [f32; 8]);

/// No surface.
pub(crate) const EMPTY: Sample = Sample([1e-9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);

/// A vertex in the left camera's frame, mm, with what it carries in the world frame.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Vertex {
    pub camera: V3,
    pub normal: V3,
    pub texture: V3,
    pub material: f32,
}

/// Pinhole of one view: pixel = f * (x - shift) / z + c.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Pinhole {
    pub fx: f32,
    pub fy: f32,
    pub cx: f32,
    pub cy: f32,
    /// Where the view stands along the left camera's x, mm.
    pub shift: f32,
    /// Where the light leaves the scope along the left camera's x, mm.
    pub light: f32,
    pub width: usize,
    pub height: usize,
}

/// Geometry of a frame, shared by both views.
#[derive(Default)]
pub(crate) struct Geometry {
    pub vertices: Vec<Vertex>,
    samples: Vec<Sample>,
    pub triangles: Vec<[u32; 3]>,
}

impl Geometry {
    pub(crate) fn clear(&mut self) {
        self.vertices.clear();
        self.triangles.clear();
    }

    /// Cuts everything at the near plane and prepares what is interpolated. Call once after filling.
    pub(crate) fn finish(&mut self) {
        let whole = self.triangles.len();
        let mut kept = 0;
        for i in 0..whole {
            let t = self.triangles[i];
            let front = t.map(|v| self.vertices[v as usize].camera[2] >= NEAR);
            if front == [true; 3] {
                self.triangles[kept] = t;
                kept += 1;
            } else if front != [false; 3] {
                self.clip(t);
            }
        }
        // What clipping appended sits behind `whole`; close the gap.
        self.triangles.drain(kept..whole);
        self.samples.clear();
        self.samples.extend(self.vertices.iter().map(|v| {
            let k = 1.0 / v.camera[2].max(1e-3);
            let ([n0, n1, n2], [t0, t1, t2]) = (v.normal, v.texture);
            Sample([k, n0 * k, n1 * k, n2 * k, t0 * k, t1 * k, t2 * k, v.material])
        }));
    }

    /// Sutherland-Hodgman against the near plane.
    fn clip(&mut self, t: [u32; 3]) {
        let mut polygon = [0u32; 4];
        let mut n = 0;
        for k in 0..3 {
            let (i, j) = (t[k], t[(k + 1) % 3]);
            let inside = |v: u32| self.vertices[v as usize].camera[2] >= NEAR;
            let (in_i, in_j) = (inside(i), inside(j));
            if in_i {
                polygon[n] = i;
                n += 1;
            }
            if in_i != in_j {
                // The same end point order for both triangles of an edge, so that the cut stays watertight.
                let (a, b) = (self.vertices[i.min(j) as usize], self.vertices[i.max(j) as usize]);
                let f = (NEAR - a.camera[2]) / (b.camera[2] - a.camera[2]);
                let mix = |p: V3, q: V3| [p[0] + (q[0] - p[0]) * f, p[1] + (q[1] - p[1]) * f, p[2] + (q[2] - p[2]) * f];
                let mut cut = Vertex {
                    camera: mix(a.camera, b.camera),
                    normal: mix(a.normal, b.normal),
                    texture: mix(a.texture, b.texture),
                    material: a.material,
                };
                cut.camera[2] = NEAR;
                polygon[n] = self.vertices.len() as u32;
                n += 1;
                self.vertices.push(cut);
            }
        }
        for k in 2..n {
            self.triangles.push([polygon[0], polygon[k - 1], polygon[k]]);
        }
    }
}

/// One view of a frame: fixed-point corners and which triangles touch which band.
#[derive(Default)]
pub(crate) struct View {
    corners: Vec<[i32; 2]>,
    bands: Vec<Vec<[u32; 3]>>,
    width: usize,
    height: usize,
}

/// First and last pixel whose centre lies between two fixed-point coordinates.
fn span(low: i32, high: i32, size: usize) -> (i32, i32) {
    (((low + 127) >> 8).max(0), ((high - 128) >> 8).min(size as i32 - 1))
}

impl View {
    pub(crate) fn prepare(&mut self, geometry: &Geometry, pinhole: &Pinhole) {
        (self.width, self.height) = (pinhole.width, pinhole.height);
        self.bands.resize_with(self.height.div_ceil(BAND), Vec::new);
        self.bands.iter_mut().for_each(Vec::clear);
        self.corners.clear();
        // Pixel centres are integers in the camera model, so half a pixel is added for the pixel grid. The bound lies far outside any
        // picture and keeps 64-bit edge functions from overflowing.
        let fix = |v: f32| (v * 256.0).clamp(-2.0e8, 2.0e8).round_ties_even() as i32;
        self.corners.extend(geometry.vertices.iter().map(|v| {
            let k = 1.0 / v.camera[2].max(1e-3);
            let x = pinhole.fx * (v.camera[0] - pinhole.shift) * k + pinhole.cx + 0.5;
            let y = pinhole.fy * v.camera[1] * k + pinhole.cy + 0.5;
            [fix(x), fix(y)]
        }));
        for &t in &geometry.triangles {
            let [a, b, c] = t.map(|i| self.corners[i as usize]);
            let area = cross(a, b, c);
            // Counter-clockwise from outside is negative on a screen whose y points down.
            if area >= 0 {
                continue;
            }
            let (y0, y1) = span(a[1].min(b[1]).min(c[1]), a[1].max(b[1]).max(c[1]), self.height);
            let (x0, x1) = span(a[0].min(b[0]).min(c[0]), a[0].max(b[0]).max(c[0]), self.width);
            if y0 <= y1 && x0 <= x1 {
                for band in y0 as usize / BAND..=y1 as usize / BAND {
                    self.bands[band].push([t[0], t[2], t[1]]);
                }
            }
        }
    }

    /// Draws band `k` into `samples` (`BAND` rows of the picture's width).
    pub(crate) fn draw(&self, geometry: &Geometry, k: usize, samples: &mut [Sample]) {
        samples.fill(EMPTY);
        for &t in &self.bands[k] {
            self.triangle(&geometry.samples, t, k * BAND, samples);
        }
    }

    #[inline]
    fn triangle(&self, vertices: &[Sample], t: [u32; 3], top: usize, samples: &mut [Sample]) {
        let [a, b, c] = t.map(|i| self.corners[i as usize]);
        let area = cross(a, b, c);
        let (y0, y1) = span(a[1].min(b[1]).min(c[1]), a[1].max(b[1]).max(c[1]), self.height);
        let (y0, y1) = (y0.max(top as i32), y1.min((top + BAND - 1) as i32));
        let (x0, x1) = span(a[0].min(b[0]).min(c[0]), a[0].max(b[0]).max(c[0]), self.width);
        // Edge function at the first pixel's centre, its top-left bias, and its steps along x and y.
        let edge = |p: [i32; 2], q: [i32; 2]| {
            let (dx, dy) = (i64::from(q[0]) - i64::from(p[0]), i64::from(q[1]) - i64::from(p[1]));
            let bias = if dy < 0 || (dy == 0 && dx > 0) { 0i64 } else { -1 };
            let (px, py) = (i64::from(x0) * 256 + 128, i64::from(y0) * 256 + 128);
            (dx * (py - i64::from(p[1])) - dy * (px - i64::from(p[0])) + bias, bias, -dy * 256, dx * 256)
        };
        let (mut r0, _, sx0, sy0) = edge(b, c);
        let (mut r1, bias1, sx1, sy1) = edge(c, a);
        let (mut r2, bias2, sx2, sy2) = edge(a, b);
        let inverse = 1.0 / area as f32;
        let [g, gb, gc] = t.map(|i| &vertices[i as usize].0);
        let all = f32x8::from(*g);
        let along = |corner: &[f32; 8]| (f32x8::from(*corner) - all) * f32x8::splat(inverse);
        let (along1, along2) = (along(gb), along(gc));
        let (d1, d2) = (along1.to_array()[0], along2.to_array()[0]);
        for y in y0..=y1 {
            let row = (y as usize - top) * self.width;
            let (mut w0, mut w1, mut w2) = (r0, r1, r2);
            let mut entered = false;
            for sample in &mut samples[row + x0 as usize..=row + x1 as usize] {
                if (w0 | w1 | w2) >= 0 {
                    entered = true;
                    let (f1, f2) = (w1.wrapping_sub(bias1) as f32, w2.wrapping_sub(bias2) as f32);
                    if g[0] + f1 * d1 + f2 * d2 > sample.0[0] {
                        sample.0 = (all + f32x8::splat(f1) * along1 + f32x8::splat(f2) * along2).to_array();
                    }
                } else if entered {
                    break;
                }
                w0 = w0.wrapping_add(sx0);
                w1 = w1.wrapping_add(sx1);
                w2 = w2.wrapping_add(sx2);
            }
            r0 = r0.wrapping_add(sy0);
            r1 = r1.wrapping_add(sy1);
            r2 = r2.wrapping_add(sy2);
        }
    }
}

/// Twice the signed area of a triangle in squared 1/256 pixels.
fn cross(a: [i32; 2], b: [i32; 2], c: [i32; 2]) -> i64 {
    let d = |p: i32, q: i32| i64::from(q) - i64::from(p);
    d(a[0], b[0]) * d(a[1], c[1]) - d(a[1], b[1]) * d(a[0], c[0])
}

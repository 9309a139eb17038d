//! From triangles to the nearest face per pixel: near clipping, 24.8 fixed-point edge functions with the top-left rule, back-face
//! culling, bands of rows that stay in the cache, eight pixels a step. Only which face a pixel shows and where in it is kept; what the
//! face carries is interpolated once per pixel, when it is shaded. Order and threads do not change a bit of the result: a face wins
//! by depth alone, ties by submission order, which is fixed.

use crate::scene::mesh::V3;
use wide::{f32x8, f32x16, i32x8};

/// Rows per band: one band's pixels and faces fit the second-level cache.
pub(crate) const BAND: usize = 24;
/// Nothing nearer than this is drawn, mm.
pub(crate) const NEAR: f32 = 5.0;

/// What is interpolated: 1/z, normal/z (3), texture point/z (3), then material number plus openness, which is not divided.
#[derive(Clone, Copy, Default, Debug)]
#[repr(C, align(32))]
pub(crate) struct Sample(pub [f32; 8]);

/// 1/z where there is no surface.
const FAR: f32 = 1e-9;
/// Triangles up to this size, in 1/256 pixels, have 32-bit edge functions: with d the size and 8 pixels of a block on either side,
/// |e| < 2 d (d + 2048) < 2^31.
const SMALL: i32 = 120 * 256;

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

    /// Draws band `k` on a fresh canvas.
    pub(crate) fn draw(&self, geometry: &Geometry, k: usize, canvas: &mut Canvas) {
        canvas.clear(BAND * self.width / 8);
        for &t in &self.bands[k] {
            self.triangle(&geometry.samples, t, k * BAND, canvas);
        }
    }

    #[inline]
    fn triangle(&self, vertices: &[Sample], t: [u32; 3], top: usize, canvas: &mut Canvas) {
        let [a, b, c] = t.map(|i| self.corners[i as usize]);
        let [(x_low, x_high), (y_low, y_high)] = [0, 1].map(|k| (a[k].min(b[k]).min(c[k]), a[k].max(b[k]).max(c[k])));
        let (y0, y1) = span(y_low, y_high, self.height);
        let (y0, y1) = (y0.max(top as i32), y1.min((top + BAND - 1) as i32));
        let (x0, x1) = span(x_low, x_high, self.width);
        let (first, last) = (x0 as usize / 8, x1 as usize / 8);
        let origin = [first as i64 * 2048 + 128, i64::from(y0) * 256 + 128];
        let edges = [(b, c), (c, a), (a, b)].map(|(p, q)| Edge::new(p, q, origin));

        let inverse = f32x8::splat(1.0 / cross(a, b, c) as f32);
        let [at, second, third] = t.map(|i| f32x8::from(vertices[i as usize].0));
        let number = canvas.faces.len() as i32;
        let face = Face { at, along: [(second - at) * inverse, (third - at) * inverse] };
        canvas.faces.push(face);
        let fill = Fill::new(number, &face);
        let stride = self.width / 8;
        let rows = canvas.blocks.chunks_exact_mut(stride).skip(y0 as usize - top).take((y1 - y0 + 1) as usize);
        let rows = rows.map(|row| &mut row[first..=last]);
        if (x_high - x_low).max(y_high - y_low) <= SMALL {
            draw_small(rows, &edges, &fill);
        } else {
            draw_large(rows, edges, &fill);
        }
    }
}

/// An edge function: not negative on the inner side.
#[derive(Clone, Copy)]
struct Edge {
    /// At the centre of the first pixel, biased for the top-left rule.
    at: i64,
    /// The bias, 0 or -1.
    bias: i64,
    /// Steps to the next pixel right and down.
    step: [i64; 2],
}

impl Edge {
    fn new(p: [i32; 2], q: [i32; 2], origin: [i64; 2]) -> Self {
        let (dx, dy) = (i64::from(q[0]) - i64::from(p[0]), i64::from(q[1]) - i64::from(p[1]));
        let bias = if dy < 0 || (dy == 0 && dx > 0) { 0 } else { -1 };
        let at = dx * (origin[1] - i64::from(p[1])) - dy * (origin[0] - i64::from(p[0])) + bias;
        Self { at, bias, step: [-dy * 256, dx * 256] }
    }
}

/// What a face writes into the pixels it wins.
struct Fill {
    number: i32x8,
    /// 1/z at the first corner and along both edge functions.
    near: [f32x8; 3],
}

impl Fill {
    fn new(number: i32, face: &Face) -> Self {
        let first = |v: f32x8| f32x8::splat(v.as_array()[0]);
        Self { number: i32x8::splat(number), near: [first(face.at), first(face.along[0]), first(face.along[1])] }
    }

    /// Writes the pixels that are not `outside` (negative) and where nothing nearer is.
    #[inline]
    fn put(&self, block: &mut Block, outside: i32x8, weight: [f32x8; 2]) {
        let near = self.near[0] + weight[0] * self.near[1] + weight[1] * self.near[2];
        let wins = bytemuck::cast::<i32x8, f32x8>(outside.simd_gt(i32x8::splat(-1))) & near.simd_gt(block.near);
        block.near = wins.bitselect(near, block.near);
        block.face = bytemuck::cast::<f32x8, i32x8>(wins).bitselect(self.number, block.face);
        for (mine, new) in block.weight.iter_mut().zip(weight) {
            *mine = wins.bitselect(new, *mine);
        }
    }
}

/// Every block of the box, with edge functions in 32 bits.
#[inline]
fn draw_small<'a>(rows: impl Iterator<Item = &'a mut [Block]>, edges: &[Edge; 3], fill: &Fill) {
    let lanes = i32x8::from([0, 1, 2, 3, 4, 5, 6, 7]);
    let splat = |v: i64| i32x8::splat(v as i32);
    let mut start = edges.map(|e| splat(e.at) + lanes * splat(e.step[0]));
    let right = edges.map(|e| splat(8 * e.step[0]));
    let down = edges.map(|e| splat(e.step[1]));
    let bias = [edges[1].bias, edges[2].bias].map(splat);
    for row in rows {
        let mut w = start;
        for block in row {
            // Blocks that are outside altogether are not passed over: a branch that is hard to foretell costs more than they do.
            fill.put(block, w[0] | w[1] | w[2], [1, 2].map(|k| f32x8::from_i32x8(w[k] - bias[k - 1])));
            w = [w[0] + right[0], w[1] + right[1], w[2] + right[2]];
        }
        start = [start[0] + down[0], start[1] + down[1], start[2] + down[2]];
    }
}

/// The same in 64 bits, for the few triangles that need them; blocks that lie outside one edge altogether are passed over.
#[inline(never)]
fn draw_large<'a>(rows: impl Iterator<Item = &'a mut [Block]>, mut edges: [Edge; 3], fill: &Fill) {
    for row in rows {
        for (x, block) in row.iter_mut().enumerate() {
            let value = |e: &Edge, i: usize| e.at + e.step[0] * (8 * x + i) as i64;
            if edges.iter().any(|e| value(e, 0) < 0 && value(e, 7) < 0) {
                continue;
            }
            let lanes = |f: &dyn Fn(usize) -> f32| f32x8::from(std::array::from_fn::<f32, 8, _>(f));
            let outside =
                i32x8::from(std::array::from_fn::<i32, 8, _>(|i| -i32::from(edges.iter().any(|e| value(e, i) < 0))));
            let weight = [1, 2].map(|k| lanes(&|i| (value(&edges[k], i) - edges[k].bias) as f32));
            fill.put(block, outside, weight);
        }
        edges.iter_mut().for_each(|e| e.at += e.step[1]);
    }
}

/// Eight pixels of a row: the nearest face so far and where in it they lie.
#[derive(Clone, Copy)]
pub(crate) struct Block {
    /// 1/z.
    near: f32x8,
    /// Number of the face, 0 none.
    face: i32x8,
    /// Edge functions that belong to the face's second and third corner.
    weight: [f32x8; 2],
}

/// What a face carries, as a linear function of two edge functions.
#[derive(Clone, Copy)]
struct Face {
    at: f32x8,
    along: [f32x8; 2],
}

/// A band of one view while it is drawn.
#[derive(Default)]
pub(crate) struct Canvas {
    blocks: Vec<Block>,
    faces: Vec<Face>,
}

impl Canvas {
    fn clear(&mut self, blocks: usize) {
        let zero = f32x8::splat(0.0);
        let (near, face) = (f32x8::splat(FAR), i32x8::splat(0));
        self.blocks.resize(blocks, Block { near, face, weight: [zero; 2] });
        // Weights may stay: the face that is none does not depend on them.
        self.blocks.iter_mut().for_each(|b| (b.near, b.face) = (near, face));
        self.faces.clear();
        let nothing = Sample([FAR, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        self.faces.push(Face { at: f32x8::from(nothing.0), along: [zero; 2] });
    }

    /// The band's blocks, row after row.
    pub(crate) fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// What the pixels of two neighbouring blocks show: one vector per part of a [`Sample`].
    #[inline]
    pub(crate) fn samples(&self, blocks: &[Block; 2]) -> [f32x16; 8] {
        let [a, b] = blocks.each_ref().map(|block| {
            let (face, weight) = (block.face.to_array(), block.weight.map(f32x8::to_array));
            f32x8::transpose(std::array::from_fn(|i| {
                let f = &self.faces[face[i] as usize];
                f.at + f32x8::splat(weight[0][i]) * f.along[0] + f32x8::splat(weight[1][i]) * f.along[1]
            }))
        });
        std::array::from_fn(|k| bytemuck::cast([a[k], b[k]]))
    }
}

/// Twice the signed area of a triangle in squared 1/256 pixels.
fn cross(a: [i32; 2], b: [i32; 2], c: [i32; 2]) -> i64 {
    let d = |p: i32, q: i32| i64::from(q) - i64::from(p);
    d(a[0], b[0]) * d(a[1], c[1]) - d(a[1], b[1]) * d(a[0], c[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::noise::hash;

    const WIDTH: usize = 320;
    const HEIGHT: usize = 240;

    /// A camera that leaves points at depth 8 where they are: x / 8 and y / 8 are pixels, y down, from the picture's corner.
    const PINHOLE: Pinhole =
        Pinhole { fx: 1.0, fy: 1.0, cx: -0.5, cy: -0.5, shift: 0.0, light: 0.0, width: WIDTH, height: HEIGHT };

    /// Which face every pixel shows, 0 none, for triangles with corners in 1/256 pixels.
    fn faces(triangles: &[[[i32; 2]; 3]]) -> Vec<i32> {
        let mut geometry = Geometry::default();
        for (i, t) in triangles.iter().enumerate() {
            for [x, y] in t {
                let camera = [*x as f32 / 32.0, *y as f32 / 32.0, 8.0];
                geometry.vertices.push(Vertex { camera, normal: [0.0; 3], texture: [0.0; 3], material: 1.0 });
            }
            geometry.triangles.push([0, 1, 2].map(|k| 3 * i as u32 + k));
        }
        geometry.finish();
        let mut view = View::default();
        view.prepare(&geometry, &PINHOLE);
        let mut canvas = Canvas::default();
        let mut shown = Vec::new();
        for band in 0..HEIGHT / BAND {
            view.draw(&geometry, band, &mut canvas);
            shown.extend(canvas.blocks().iter().flat_map(|b| b.face.to_array()));
        }
        shown
    }

    /// Whether a pixel's centre, moved right by a hair and down by a hair of a hair, lies strictly inside: another way to say that top
    /// and left edges belong to a face and the others do not.
    fn holds(t: &[[i32; 2]; 3], x: usize, y: usize) -> bool {
        let p = [(x as i128 * 256 + 128) * (1 << 40) + (1 << 20), (y as i128 * 256 + 128) * (1 << 40) + 1];
        (0..3).all(|k| {
            let [a, b] = [t[k], t[(k + 1) % 3]].map(|v| v.map(|v| i128::from(v) * (1 << 40)));
            (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0]) < 0
        })
    }

    /// Random triangles that face the camera, up to `reach` pixels from one another's first corner.
    fn random(count: i32, reach: i32) -> impl Iterator<Item = [[i32; 2]; 3]> {
        let any = |i: i32, k: i32, below: i32| (hash(i, k, 0, 5) % (below as u32 * 256)) as i32;
        (0..count).map(move |i| {
            let first = [any(i, 0, WIDTH as i32 + 40) - 5120, any(i, 1, HEIGHT as i32 + 40) - 5120];
            let mut t = [first; 3];
            for k in 1..3 {
                for d in 0..2 {
                    // Some corners on pixel centres, so that edges run through them.
                    let moved = first[d] + any(i, (2 * k + d) as i32, 2 * reach) - 256 * reach;
                    t[k][d] = if i % 3 == 0 { (moved & !255) + 128 } else { moved };
                }
            }
            if cross(t[0], t[1], t[2]) > 0 { [t[0], t[2], t[1]] } else { t }
        })
    }

    #[test]
    fn a_face_covers_exactly_the_pixels_whose_centres_it_holds_whatever_its_size() {
        for reach in [4, 50, 400] {
            let mut covered = 0;
            for t in random(60, reach) {
                let shown = faces(&[t]);
                for (i, face) in shown.iter().enumerate() {
                    let (x, y) = (i % WIDTH, i / WIDTH);
                    assert_eq!(*face != 0, holds(&t, x, y), "{t:?} at ({x}, {y})");
                    covered += usize::from(*face != 0);
                }
            }
            assert!(covered > 100, "reach {reach}: {covered} pixels");
        }
    }
}

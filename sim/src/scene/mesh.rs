//! Triangle meshes of the scene: one vertex array cut into parts, each part one class.

use proctor_types::Class;
use std::ops::Range;

/// Three numbers: a point in millimetres or a direction.
pub(crate) type V3 = [f32; 3];

pub(crate) fn add(a: V3, b: V3) -> V3 {
    [a[0] + b[0], a[1] + b[1], a[2] + b[2]]
}
pub(crate) fn sub(a: V3, b: V3) -> V3 {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}
pub(crate) fn scale(a: V3, k: f32) -> V3 {
    [a[0] * k, a[1] * k, a[2] * k]
}
pub(crate) fn dot(a: V3, b: V3) -> f32 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}
pub(crate) fn cross(a: V3, b: V3) -> V3 {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}
pub(crate) fn length(a: V3) -> f32 {
    dot(a, a).sqrt()
}
pub(crate) fn normalise(a: V3) -> V3 {
    scale(a, 1.0 / length(a).max(1e-12))
}

/// A run of vertices and triangles that show one class.
#[derive(Debug, Clone)]
pub struct Part {
    /// What it is.
    pub class: Class,
    /// Its vertices.
    pub vertices: Range<usize>,
    /// Its triangles.
    pub triangles: Range<usize>,
}

/// Vertices with normals, triangles counter-clockwise seen from outside, parts. Millimetres, world frame.
#[derive(Debug, Clone, Default)]
pub struct Mesh {
    /// Positions at rest, mm.
    pub position: Vec<[f32; 3]>,
    /// Unit outward normals at rest.
    pub normal: Vec<[f32; 3]>,
    /// How much light reaches the vertex past its neighbours, 0 (crevice) to 1 (open).
    pub openness: Vec<f32>,
    /// Vertex indices.
    pub triangles: Vec<[u32; 3]>,
    /// One entry per organ piece.
    pub parts: Vec<Part>,
}

/// Whether a grid's columns close to a ring.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Columns {
    Open,
    Ring,
}

impl Mesh {
    /// Adds a grid of `columns` x `rows` points as a part. `outward(p)` says roughly which way is out at a vertex; `keep(c, r)`
    /// drops cells.
    pub(crate) fn grid(
        &mut self,
        class: Class,
        (columns, rows): (usize, usize),
        wrap: Columns,
        point: impl Fn(usize, usize) -> V3,
        outward: impl Fn(V3) -> V3,
        keep: impl Fn(usize, usize) -> bool,
    ) {
        let (v0, t0) = (self.position.len(), self.triangles.len());
        for r in 0..rows {
            for c in 0..columns {
                self.position.push(point(c, r));
            }
        }
        let cells = if wrap == Columns::Ring { columns } else { columns - 1 };
        for r in 0..rows - 1 {
            for c in 0..cells {
                if keep(c, r) {
                    let at = |c: usize, r: usize| (v0 + r * columns + c % columns) as u32;
                    let [a, b, d, e] = [at(c, r), at(c + 1, r), at(c, r + 1), at(c + 1, r + 1)];
                    self.triangles.extend([[a, b, d], [b, e, d]]);
                }
            }
        }
        // Which way round the grid's triangles turn is decided by the majority, so generators need not care.
        let agreement: f32 = self.triangles[t0..]
            .iter()
            .map(|&t| {
                let [a, b, c] = t.map(|i| self.position[i as usize]);
                dot(cross(sub(b, a), sub(c, a)), outward(a)).signum()
            })
            .sum();
        if agreement < 0.0 {
            self.triangles[t0..].iter_mut().for_each(|t| t.swap(1, 2));
        }
        self.openness.resize(self.position.len(), 1.0);
        self.normal.resize(self.position.len(), [0.0, 0.0, 1.0]);
        let part = Part { class, vertices: v0..self.position.len(), triangles: t0..self.triangles.len() };
        normals(&self.position, &self.triangles[part.triangles.clone()], part.vertices.clone(), &mut self.normal);
        self.parts.push(part);
    }
}

/// Area-weighted vertex normals of `vertices` from `triangles` (which touch no other vertices).
pub(crate) fn normals(position: &[V3], triangles: &[[u32; 3]], vertices: Range<usize>, out: &mut [V3]) {
    out[vertices.clone()].fill([0.0; 3]);
    for &t in triangles {
        let [a, b, c] = t.map(|i| position[i as usize]);
        let n = cross(sub(b, a), sub(c, a));
        for i in t {
            let slot = &mut out[i as usize];
            *slot = add(*slot, n);
        }
    }
    for n in &mut out[vertices] {
        *n = if dot(*n, *n) > 0.0 { normalise(*n) } else { [0.0, 0.0, 1.0] };
    }
}

/// A frame that follows a polyline without twisting (double reflection, Wang et al. 2008): tangent, normal, binormal per point.
pub(crate) fn rotation_minimising_frames(path: &[V3], start_normal: V3) -> Vec<[V3; 3]> {
    let n = path.len();
    let tangent = |i: usize| normalise(sub(path[(i + 1).min(n - 1)], path[i.saturating_sub(1)]));
    let t0 = tangent(0);
    let mut frames = Vec::with_capacity(n);
    let mut r = normalise(sub(start_normal, scale(t0, dot(start_normal, t0))));
    frames.push([t0, r, cross(t0, r)]);
    for i in 1..n {
        let (before, now) = (frames[i - 1][0], tangent(i));
        let v1 = sub(path[i], path[i - 1]);
        let c1 = dot(v1, v1).max(1e-12);
        let rl = sub(r, scale(v1, 2.0 / c1 * dot(v1, r)));
        let tl = sub(before, scale(v1, 2.0 / c1 * dot(v1, before)));
        let v2 = sub(now, tl);
        let c2 = dot(v2, v2);
        r = if c2 > 1e-12 { sub(rl, scale(v2, 2.0 / c2 * dot(v2, rl))) } else { rl };
        r = normalise(sub(r, scale(now, dot(r, now))));
        frames.push([now, r, cross(now, r)]);
    }
    frames
}

//! The gate's own distances to zones, by school formulas in plain arithmetic. They share the zones' numbers with the filter (`zones`), and
//! no code: boxes are searched along the axis for the lowest point of a convex function, meshes through a tree of balls of the gate's own.

use crate::{
    scalar::{self, V, add, dot, norm, scale, sub},
    zones::{Rotation, ZoneShape, mesh::Triangle},
};

/// An axis nearer to a triangle than this passes through it, m.
const TOUCH: f64 = 1e-9;
/// How far around an axis triangles are searched at least, m: twice [`TOUCH`].
const NEAR: f64 = 2e-9;
/// Golden sections along an axis; the last is 1e-14 of it.
const SECTIONS: usize = 66;
/// Most triangles of a leaf of the ball tree.
const LEAF: usize = 4;
/// A triangle narrower than the square root of this part of its length is its edges.
const FLAT: f64 = 1e-20;

/// A thick segment: its ends and its radius.
pub type Part = (V, V, f64);

/// A zone's shape.
#[derive(Debug, Clone)]
pub enum Obstacle {
    HalfSpace { point: V, normal: V },
    Sphere { center: V, radius: f64 },
    Capsule { a: V, b: V, radius: f64 },
    Box { center: V, axes: [V; 3], half: V },
    Mesh(Soup),
}

impl Obstacle {
    /// From a validated shape. Sorts the triangles of a mesh: not for the real-time thread.
    pub fn new(shape: &ZoneShape) -> Self {
        match shape {
            ZoneShape::HalfSpace { point, normal } => {
                Self::HalfSpace { point: *point, normal: scale(*normal, 1.0 / norm(*normal)) }
            }
            ZoneShape::Sphere { center, radius } => Self::Sphere { center: *center, radius: *radius },
            ZoneShape::Capsule { a, b, radius } => Self::Capsule { a: *a, b: *b, radius: *radius },
            ZoneShape::Box { center, size, rotation } => {
                Self::Box { center: *center, axes: axes(*rotation), half: scale(*size, 0.5) }
            }
            ZoneShape::Mesh(mesh) => Self::Mesh(Soup::new(mesh.triangles())),
        }
    }

    /// Distance of an arm, given as its parts from the pivot outwards, m; exact below `reach`, no less than `reach` beyond.
    pub fn distance(&self, parts: &[Part], reach: f64) -> f64 {
        let each = |of: &dyn Fn(V, V) -> f64| parts.iter().map(|&(a, b, r)| of(a, b) - r).fold(f64::INFINITY, f64::min);
        match self {
            Self::HalfSpace { point, normal } => each(&|a, b| {
                let height = |p: V| dot(*normal, sub(p, *point));
                height(a).min(height(b))
            }),
            Self::Sphere { center, radius } => each(&|a, b| scalar::point_segment(*center, a, b) - radius),
            Self::Capsule { a: c, b: d, radius } => each(&|a, b| scalar::segment_segment(a, b, *c, *d) - radius),
            Self::Box { center, axes, half } => {
                let solid = |&(a, b, r): &Part| {
                    let far = scalar::point_segment(*center, a, b) - norm(*half) - r;
                    if far >= reach { far } else { along(a, b, |p| to_box(p, *center, axes, *half)).0 - r }
                };
                parts.iter().map(solid).fold(f64::INFINITY, f64::min)
            }
            Self::Mesh(soup) => soup.distance(parts, reach),
        }
    }
}

/// The axes of a turned box: what becomes of x, y and z.
fn axes(rotation: Rotation) -> [V; 3] {
    match rotation {
        Rotation::Quaternion(q) => {
            let [x, y, z, w] = q;
            let s = 2.0 / (x * x + y * y + z * z + w * w);
            [
                [1.0 - s * (y * y + z * z), s * (x * y + w * z), s * (x * z - w * y)],
                [s * (x * y - w * z), 1.0 - s * (x * x + z * z), s * (y * z + w * x)],
                [s * (x * z + w * y), s * (y * z - w * x), 1.0 - s * (x * x + y * y)],
            ]
        }
        Rotation::Rpy([roll, pitch, yaw]) => {
            let ((sr, cr), (sp, cp), (sy, cy)) = (roll.sin_cos(), pitch.sin_cos(), yaw.sin_cos());
            [
                [cy * cp, sy * cp, -sp],
                [cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr],
                [cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr],
            ]
        }
    }
}

/// Distance of a point from a box; inside, how deep below the nearest face, negative.
fn to_box(p: V, center: V, axes: &[V; 3], half: V) -> f64 {
    let from = sub(p, center);
    let (mut outside, mut nearest) = (0.0_f64, f64::NEG_INFINITY);
    for (axis, h) in axes.iter().zip(half) {
        let over = dot(from, *axis).abs() - h;
        outside += over.max(0.0).powi(2);
        nearest = nearest.max(over);
    }
    // One of the two is 0.
    outside.sqrt() + nearest.min(0.0)
}

/// Smallest value of a convex function along a segment, and where, [0, 1], by golden sections.
fn along(a: V, b: V, f: impl Fn(V) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let at = |t: f64| f(add(a, scale(sub(b, a), t)));
    let (mut low, mut high) = (0.0, 1.0);
    let (mut s, mut t) = (1.0 - GOLDEN, GOLDEN);
    let (mut fs, mut ft) = (at(s), at(t));
    for _ in 0..SECTIONS {
        if fs < ft {
            (high, t, ft) = (t, s, fs);
            s = high - GOLDEN * (high - low);
            fs = at(s);
        } else {
            (low, s, fs) = (s, t, ft);
            t = low + GOLDEN * (high - low);
            ft = at(t);
        }
    }
    [(at(0.0), 0.0), (at(1.0), 1.0), (fs, s)].into_iter().fold((ft, t), |best, x| if x.0 < best.0 { x } else { best })
}

/// A ball around some triangles.
#[derive(Debug, Clone, Copy, Default)]
struct Ball {
    center: [f32; 3],
    radius: f32,
}

/// Triangles in an order of the gate's own, and balls around halves of them, halves of halves and so on, down to at most [`LEAF`].
#[derive(Debug, Clone)]
pub struct Soup {
    triangles: Vec<Triangle>,
    /// Node 1 holds all; node `i` has the halves `2 i` and `2 i + 1`.
    balls: Vec<Ball>,
    /// How many nodes are leaves: the last ones, a power of two.
    leaves: usize,
}

impl Soup {
    fn new(triangles: &[Triangle]) -> Self {
        let leaves = triangles.len().div_ceil(LEAF).next_power_of_two();
        let mut soup = Self { triangles: triangles.to_vec(), balls: vec![Ball::default(); 2 * leaves], leaves };
        for node in 1..2 * leaves {
            let range = soup.range(node);
            let leaf = node >= leaves;
            let middle = soup.range(2 * node).end;
            let Some(mine) = soup.triangles.get_mut(range.clone()) else { continue };
            let (ball, longest) = enclose(mine);
            if !leaf && middle > range.start && middle < range.end {
                let place = |t: &Triangle| t.iter().filter_map(|c| c.get(longest)).map(|x| f64::from(*x)).sum::<f64>();
                mine.select_nth_unstable_by(middle - range.start, |s, t| place(s).total_cmp(&place(t)));
            }
            if let Some(slot) = soup.balls.get_mut(node) {
                *slot = ball;
            }
        }
        soup
    }

    /// Which triangles a node holds.
    fn range(&self, node: usize) -> std::ops::Range<usize> {
        let nodes = 1 << node.ilog2();
        let (i, all) = (node - nodes, self.triangles.len());
        i * all / nodes..(i + 1) * all / nodes
    }

    /// Shows every triangle that may be nearer to a segment than `reach` to `look`, which says how near is near from then on.
    fn visit(&self, a: V, b: V, mut reach: f64, mut look: impl FnMut(&[V; 3], f64) -> f64) -> f64 {
        let mut node = 1;
        while let Some(ball) = self.balls.get(node) {
            let near = scalar::point_segment(ball.center.map(f64::from), a, b) - f64::from(ball.radius) < reach;
            if near && node < self.leaves {
                node *= 2;
                continue;
            }
            if near {
                for triangle in self.triangles.get(self.range(node)).unwrap_or_default() {
                    let corners = triangle.map(|c| c.map(f64::from));
                    reach = look(&corners, reach);
                }
            }
            // Past this node: the next to the right, on this level or above.
            node += 1;
            node >>= node.trailing_zeros();
            if node <= 1 {
                break;
            }
        }
        reach
    }

    fn distance(&self, parts: &[Part], reach: f64) -> f64 {
        let mut best = reach;
        for &(a, b, r) in parts {
            let within = (best + r).max(NEAR);
            let axial = self.visit(a, b, within, |t, near| {
                if beyond_plane(a, b, t, near) { near } else { near.min(segment_triangle(a, b, t)) }
            });
            if axial <= TOUCH {
                return -self.depth(parts);
            }
            // Beyond `within` nothing is known, and a difference could round below `reach`.
            if axial < within {
                best = best.min(axial - r);
            }
        }
        best
    }

    /// Largest radius, and the length of the axis beyond its first crossing.
    fn depth(&self, parts: &[Part]) -> f64 {
        let radius = parts.iter().map(|p| p.2).fold(0.0, f64::max);
        let mut length = None;
        for &(a, b, _) in parts {
            let part = norm(sub(b, a));
            length = match length {
                Some(so_far) => Some(so_far + part),
                None => self.first_crossing(a, b).map(|s| (1.0 - s) * part),
            };
        }
        radius + length.unwrap_or(0.0)
    }

    fn first_crossing(&self, a: V, b: V) -> Option<f64> {
        let mut first: Option<f64> = None;
        self.visit(a, b, TOUCH, |t, near| {
            if segment_triangle(a, b, t) <= TOUCH {
                let (_, s) = along(a, b, |x| point_triangle(x, t));
                first = Some(first.map_or(s, |f| f.min(s)));
            }
            near
        });
        first
    }
}

/// A ball around triangles, and the axis along which they reach farthest.
fn enclose(triangles: &[Triangle]) -> (Ball, usize) {
    let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
    for corner in triangles.iter().flatten() {
        for ((l, h), x) in low.iter_mut().zip(&mut high).zip(corner) {
            *l = l.min(f64::from(*x));
            *h = h.max(f64::from(*x));
        }
    }
    if triangles.is_empty() {
        // Nothing is near nothing.
        return (Ball { center: [0.0; 3], radius: f32::NEG_INFINITY }, 0);
    }
    let center = add(scale(low, 0.5), scale(high, 0.5)).map(|x| x as f32);
    let off = |corner: &[f32; 3]| norm(sub(corner.map(f64::from), center.map(f64::from)));
    let radius = triangles.iter().flatten().map(off).fold(0.0, f64::max);
    let [x, y, z] = sub(high, low);
    let longest = if x >= y && x >= z { 0 } else { 1 + usize::from(z > y) };
    (Ball { center, radius: (radius as f32).next_up().next_up() }, longest)
}

fn cross(a: V, b: V) -> V {
    let ([x, y, z], [u, v, w]) = (a, b);
    [y * w - z * v, z * u - x * w, x * v - y * u]
}

/// A triangle's normal, as long as twice its area; `None` for a triangle without area.
fn normal(t: &[V; 3]) -> Option<V> {
    let [p, q, r] = *t;
    let (u, v) = (sub(q, p), sub(r, p));
    let n = cross(u, v);
    (dot(n, n) > FLAT * dot(u, u) * dot(v, v)).then_some(n)
}

/// Whether a segment lies on one side of a triangle's plane, no nearer to it than `reach`.
fn beyond_plane(a: V, b: V, t: &[V; 3], reach: f64) -> bool {
    let Some(n) = normal(t) else { return false };
    let [p, _, _] = *t;
    let (ha, hb) = (dot(n, sub(a, p)), dot(n, sub(b, p)));
    let least = reach * norm(n);
    (ha >= least && hb >= least) || (ha <= -least && hb <= -least)
}

/// Distance of a segment from a triangle: 0 where it passes through, else from an edge, or from an end that lies above the face.
fn segment_triangle(a: V, b: V, t: &[V; 3]) -> f64 {
    let [p, q, r] = *t;
    let edges = [(p, q), (q, r), (r, p)].map(|(u, v)| scalar::segment_segment(a, b, u, v));
    let best = edges.into_iter().fold(f64::INFINITY, f64::min);
    let Some(n) = normal(t) else { return best };
    if passes(a, b, t, n) {
        return 0.0;
    }
    let ends = [a, b].into_iter().filter(|end| above(*end, t, n));
    ends.map(|end| dot(n, sub(end, p)).abs() / norm(n)).fold(best, f64::min)
}

/// Whether a segment passes through a triangle: its ends lie on two sides of the plane, and the three tetrahedra that it makes with the
/// edges are wound alike.
fn passes(a: V, b: V, t: &[V; 3], n: V) -> bool {
    let [p, q, r] = *t;
    let (above, below) = (dot(n, sub(a, p)), dot(n, sub(b, p)));
    if (above > 0.0 && below > 0.0) || (above < 0.0 && below < 0.0) || (above == 0.0 && below == 0.0) {
        return false;
    }
    let line = sub(b, a);
    let wound = |u: V, v: V| dot(line, cross(sub(u, a), sub(v, a)));
    let (x, y, z) = (wound(p, q), wound(q, r), wound(r, p));
    (x >= 0.0 && y >= 0.0 && z >= 0.0) || (x <= 0.0 && y <= 0.0 && z <= 0.0)
}

/// Distance of a point from a triangle: from an edge, or from the face that it lies above.
fn point_triangle(x: V, t: &[V; 3]) -> f64 {
    let [p, q, r] = *t;
    let edges = [(p, q), (q, r), (r, p)].map(|(u, v)| scalar::point_segment(x, u, v));
    let best = edges.into_iter().fold(f64::INFINITY, f64::min);
    normal(t).filter(|n| above(x, t, *n)).map_or(best, |n| best.min(dot(n, sub(x, p)).abs() / norm(n)))
}

/// Whether a point lies above or below the face: the triangles that its foot makes with the edges are all wound like the face.
fn above(x: V, t: &[V; 3], n: V) -> bool {
    let [p, q, r] = *t;
    let area = |u: V, v: V| dot(cross(sub(u, x), sub(v, x)), n);
    area(p, q) >= 0.0 && area(q, r) >= 0.0 && area(r, p) >= 0.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::zones::{Keepout, Zone, mesh::Mesh};
    use arrayvec::ArrayVec;
    use proctor_kinematics::Capsule;
    use proctor_types::ArmId;
    use std::sync::Arc;

    /// Weyl sequence in [-1, 1].
    fn w(i: usize, a: f64) -> f64 {
        2.0 * ((i as f64 + 1.0) * a).fract() - 1.0
    }

    fn point(i: usize, k: f64, size: f64) -> V {
        [size * w(i, 0.618 * k), size * w(i, 0.414 * k), size * w(i, 0.732 * k)]
    }

    /// Small triangles everywhere, some of them without area.
    fn triangles(n: usize, side: f64) -> Vec<Triangle> {
        let triangle = |i: usize| {
            let at = point(i, 1.0, 0.08);
            let corner = |k: f64| add(at, point(i, k, side)).map(|x| x as f32);
            let (p, q) = (corner(2.1), corner(3.7));
            match i % 11 {
                0 => [p, q, q],
                1 => [p, p, p],
                2 => [p, q, [0, 1, 2].map(|k| p[k].midpoint(q[k]))],
                _ => [p, q, corner(5.3)],
            }
        };
        (0..n).map(triangle).collect()
    }

    fn both(region: ZoneShape) -> (Keepout, Obstacle) {
        let obstacle = Obstacle::new(&region);
        (Keepout::new(&Zone { name: "z".into(), margin: 0.0, arms: vec![], region }), obstacle)
    }

    /// An arm of three parts: far, near or through whatever is around the origin.
    fn arm(i: usize) -> ArrayVec<Capsule, 3> {
        let size = [0.3, 0.12, 0.05][i % 3];
        let corners: Vec<V> = [1.3, 2.9, 4.1, 5.7].iter().map(|&k| point(i, k, size)).collect();
        // Sometimes a ball: an axis without length.
        let end =
            if i.is_multiple_of(13) { corners[2] } else { add(corners[2], scale(sub(corners[3], corners[2]), 0.1)) };
        let capsule = |a: V, b: V, radius| Capsule { a: a.into(), b: b.into(), radius };
        ArrayVec::from([
            capsule(corners[0], corners[1], 0.004),
            capsule(corners[1], corners[2], 0.003),
            capsule(corners[2], end, 0.0025),
        ])
    }

    fn parts(arm: &[Capsule]) -> Vec<Part> {
        arm.iter().map(|c| (c.a.coords.into(), c.b.coords.into(), c.radius)).collect()
    }

    #[test]
    fn the_gate_and_the_filter_agree_on_boxes() {
        for i in 0..400 {
            let rotation = match i % 3 {
                0 => Rotation::Rpy([3.0 * w(i, 0.11), 3.0 * w(i, 0.37), 3.0 * w(i, 0.71)]),
                1 => Rotation::Rpy([0.0; 3]),
                _ => {
                    let q = [w(i, 0.17), w(i, 0.29), w(i, 0.53), w(i, 0.91)];
                    // Of length one, but for what a file may be off by.
                    let length = q.iter().map(|x| x * x).sum::<f64>().sqrt() * (1.0 + 0.0009 * w(i, 0.43));
                    Rotation::Quaternion(q.map(|x| x / length))
                }
            };
            let size = [0.001, 0.02, 0.1].map(|s| s * (1.2 + w(i, 0.83)));
            let (filter, gate) = both(ZoneShape::Box { center: point(i, 0.7, 0.03), size, rotation });
            for j in 0..20 {
                let arm = arm(20 * i + j);
                let mine = gate.distance(&parts(&arm), 1.0);
                let theirs = filter.distance(ArmId::Psm1, &arm, 1.0);
                assert!((mine - theirs).abs() < 1e-9, "box {i}, arm {j}: {mine}, {theirs}");
            }
        }
    }

    #[test]
    fn the_gate_and_the_filter_agree_on_planes_balls_and_capsules() {
        for i in 0..100 {
            let (point, radius) = (point(i, 0.7, 0.03), 0.02 * (1.1 + w(i, 0.83)));
            for region in [
                ZoneShape::HalfSpace { point, normal: [w(i, 0.17), w(i, 0.29), w(i, 0.53)] },
                ZoneShape::Sphere { center: point, radius },
                ZoneShape::Capsule { a: point, b: [0.1 * w(i, 0.17), 0.02, 0.1 * w(i, 0.53)], radius },
            ] {
                let (filter, gate) = both(region.clone());
                for j in 0..10 {
                    let arm = arm(10 * i + j);
                    let (mine, theirs) = (gate.distance(&parts(&arm), 1.0), filter.distance(ArmId::Psm1, &arm, 1.0));
                    assert!((mine - theirs).abs() < 1e-9, "{region:?}, arm {j}: {mine}, {theirs}");
                }
            }
        }
    }

    #[test]
    fn the_lowest_point_of_an_axis_may_be_its_very_end() {
        let (a, b) = ([0.0; 3], [0.0, 0.0, 1.0]);
        assert_eq!(along(a, b, |[.., z]| z), (0.0, 0.0));
        assert_eq!(along(a, b, |[.., z]| -z), (-1.0, 1.0));
        let (least, at) = along(a, b, |[.., z]| (z - 0.3).powi(2) + 2.0);
        assert!((least - 2.0).abs() < 1e-15 && (at - 0.3).abs() < 1e-7, "{least} at {at}");
    }

    /// A triangle with legs of 0.1 m along x and y, at z = 0.
    const FACE: [V; 3] = [[0.0, 0.0, 0.0], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]];

    #[test]
    fn a_triangle_has_a_face_unless_it_is_as_narrow_as_rounding_whatever_its_size() {
        for length in [1e-3, 0.1, 30.0] {
            for (part, face) in [(0.9e-10, false), (1.1e-10, true)] {
                let triangle = [[0.0; 3], [length, 0.0, 0.0], [length, part * length, 0.0]];
                assert_eq!(normal(&triangle).is_some(), face, "{length} m, {part} of it wide");
            }
        }
        let [p, q, _] = FACE;
        for none in [[p, p, p], [p, p, q], [p, q, p], [p, q, q]] {
            assert!(normal(&none).is_none() && !beyond_plane([0.0, 0.0, 1.0], [0.0, 0.0, 2.0], &none, 1e-3));
        }
    }

    #[test]
    fn beyond_a_triangles_plane_lies_what_is_on_one_side_of_it_and_no_nearer_than_the_reach() {
        let at = |z: f64| [0.3, -0.2, z];
        for (a, b, reach, beyond) in [
            (0.01, 0.02, 0.009, true),
            (0.02, 0.01, 0.009, true),
            (0.01, 0.02, 0.011, false),
            (0.02, 0.01, 0.011, false),
            (-0.01, -0.02, 0.009, true),
            (-0.02, -0.01, 0.009, true),
            (-0.01, -0.02, 0.011, false),
            (-0.02, -0.01, 0.011, false),
            (0.01, -0.01, 0.009, false),
            (-0.01, 0.01, 0.009, false),
        ] {
            assert_eq!(beyond_plane(at(a), at(b), &FACE, reach), beyond, "from {a} to {b}, reach {reach}");
        }
    }

    #[test]
    fn through_a_triangle_passes_what_meets_its_face_from_side_to_side_or_with_an_end() {
        let n = normal(&FACE).unwrap();
        let (over, beside, on) = ([0.02, 0.03, 0.0], [0.08, 0.07, 0.0], [0.02, 0.02, 0.0]);
        let lifted = |p: V, z: f64| add(p, [0.0, 0.0, z]);
        for (a, b, through) in [
            (lifted(over, 0.01), lifted(over, -0.02), true),
            (lifted(over, 0.01), lifted(over, 0.02), false),
            (lifted(over, -0.01), lifted(over, -0.02), false),
            (lifted(beside, 0.01), lifted(beside, -0.02), false),
            (on, lifted(over, 0.01), true),
            (on, lifted(over, -0.01), true),
            (beside, lifted(beside, 0.01), false),
            // Within the plane it meets the edges, or nothing: that is theirs to say.
            (on, over, false),
            (beside, on, false),
        ] {
            for (from, to) in [(a, b), (b, a)] {
                assert_eq!(passes(from, to, &FACE, n), through, "{from:?} to {to:?}");
            }
        }
    }

    #[test]
    fn a_point_is_as_far_from_a_triangle_as_from_its_face_edge_or_corner() {
        for (x, distance) in [
            ([0.03, 0.03, 0.007], 0.007),
            ([0.03, 0.03, -0.007], 0.007),
            ([0.03, 0.03, 0.0], 0.0),
            ([0.03, -0.003, 0.004], 0.005),
            ([-0.003, 0.0, 0.004], 0.005),
            ([0.1, 0.1, 0.0], 0.1 / f64::sqrt(2.0)),
        ] {
            assert!((point_triangle(x, &FACE) - distance).abs() < 1e-15, "{x:?}");
            assert!((segment_triangle(x, x, &FACE) - distance).abs() < 1e-15, "{x:?}");
        }
    }

    #[test]
    fn a_ball_holds_its_triangles_and_they_are_halved_along_the_longest_axis() {
        for (size, longest) in [
            ([3.0, 1.0, 2.0], 0),
            ([3.0, 2.0, 1.0], 0),
            ([1.0, 3.0, 2.0], 1),
            ([2.0, 3.0, 1.0], 1),
            ([1.0, 2.0, 3.0], 2),
            ([2.0, 1.0, 3.0], 2),
            // Of those alike the first.
            ([2.0, 2.0, 1.0], 0),
            ([2.0, 1.0, 2.0], 0),
            ([1.0, 2.0, 2.0], 1),
        ] {
            let [x, y, z] = size;
            let triangles = [[[0.5, 0.25, -1.0], [0.5 + x, 0.25, -1.0], [0.5, 0.25 + y, z - 1.0]]];
            let (ball, axis) = enclose(&triangles);
            assert_eq!(axis, longest, "{size:?}");
            let off = |c: &[f32; 3]| norm(sub(c.map(f64::from), ball.center.map(f64::from)));
            assert!(triangles.iter().flatten().all(|c| off(c) <= f64::from(ball.radius)), "{size:?}");
            assert!(f64::from(ball.radius) < 0.51 * f64::from(x * x + y * y + z * z).sqrt(), "{size:?}");
        }
    }

    /// A ball just above each triangle in turn, which is no farther than the reach by a nanometre.
    #[test]
    fn every_triangle_of_a_mesh_is_found_by_what_is_just_within_reach_of_it() {
        for n in [1, 2, 3, 4, 5, 8, 9, 31, 33] {
            let side = |at: V, by: V| add(at, by).map(|x| x as f32);
            let triangle = |i: usize| {
                let at = point(i, 1.0, 0.5);
                let (p, q, r) = (side(at, [0.0; 3]), side(at, [0.01, 0.0, 0.0]), side(at, [0.0, 0.01, 0.0]));
                // Some are an edge, some a point.
                if i % 5 == 3 {
                    [p, q, q]
                } else if i % 5 == 4 {
                    [p; 3]
                } else {
                    [p, q, r]
                }
            };
            let triangles: Vec<Triangle> = (0..n).map(triangle).collect();
            let soup = Soup::new(&triangles);
            for (i, t) in triangles.iter().enumerate() {
                let above = add(t[0].map(f64::from), [0.0, 0.0, 0.0015]);
                let d = soup.distance(&[(above, above, 0.001)], 0.0005 + 1e-9);
                assert!((d - 0.0005).abs() < 1e-12, "{i} of {n}: {d}");
                assert_eq!(soup.distance(&[(above, above, 0.001)], 0.0005 - 1e-9), 0.0005 - 1e-9, "{i} of {n}");
            }
        }
    }

    #[test]
    fn a_search_looks_only_at_what_may_be_near() {
        let looks = |soup: &Soup, at: V, reach: f64| {
            let mut looks = 0;
            soup.visit(at, at, reach, |_, near| {
                looks += 1;
                near
            });
            looks
        };
        let many = Soup::new(&triangles(1024, 0.001));
        let near = looks(&many, many.triangles[500][0].map(f64::from), 1e-4);
        assert!((1..64).contains(&near), "{near} of 1024");
        let above = [0.0, 0.0, 1.0];
        assert_eq!(looks(&many, above, 0.5), 0);
        // What is exactly as far as the reach is not nearer.
        let few = Soup::new(&triangles(3, 0.001));
        let ball = few.balls[1];
        let reach = norm(sub(ball.center.map(f64::from), above)) - f64::from(ball.radius);
        assert_eq!((looks(&few, above, reach), looks(&few, above, reach.next_up())), (0, 3));
    }

    /// Gate, filter and every triangle looked at one by one.
    #[test]
    fn the_gate_the_filter_and_brute_force_agree_on_meshes() {
        let (mut through, mut near) = (0, 0);
        for (n, side) in [(1, 0.05), (7, 0.05), (9, 0.05), (65, 0.03), (513, 0.01), (4000, 0.004)] {
            let triangles = triangles(n, side);
            let (filter, gate) = both(ZoneShape::Mesh(Arc::new(Mesh::new("m", triangles.clone()).unwrap())));
            for i in 0..400 {
                let arm = arm(i);
                let parts = parts(&arm);
                let limit = 0.06;
                let mine = gate.distance(&parts, limit);
                let theirs = filter.distance(ArmId::ALL[i % 3], &arm, limit);
                // How deep an arm is that passes through depends on where it does, which rounding moves farther than distances.
                let rounding = if mine <= -0.004 { 1e-6 } else { 1e-9 };
                assert!((mine - theirs).abs() < rounding, "{n} triangles, arm {i}: {mine}, {theirs}");
                let each = parts.iter().flat_map(|&(a, b, r)| {
                    triangles.iter().map(move |t| (segment_triangle(a, b, &t.map(|c| c.map(f64::from))), r))
                });
                if each.clone().any(|(d, _)| d <= TOUCH) {
                    through += 1;
                    assert!(mine <= -0.004, "{n} triangles, arm {i} passes through: {mine}");
                } else {
                    let brute = each.map(|(d, r)| d - r).fold(limit, f64::min);
                    near += usize::from(brute < limit);
                    assert!((mine - brute).abs() < 1e-12, "{n} triangles, arm {i}: {mine}, brute force {brute}");
                }
            }
        }
        assert!(through > 100 && near > 500, "{through} through, {near} near: both must have been tried");
    }

    #[test]
    fn an_arm_through_a_mesh_is_as_deep_as_it_is_long_beyond_it_and_rises_when_drawn_out() {
        // A floor of two triangles at z = 0, met in the middle of one, on the edge between the two, and beside both.
        let corners = [[-0.1, -0.1, 0.0], [0.1, -0.1, 0.0], [0.1, 0.1, 0.0], [-0.1, 0.1, 0.0]];
        let [p, q, r, s] = corners;
        let mesh = Mesh::new("floor", vec![[p, q, r], [p, r, s]]).unwrap();
        let (filter, gate) = both(ZoneShape::Mesh(Arc::new(mesh)));
        for (x, y) in [(0.05, -0.02), (0.03, 0.03), (0.0, 0.0), (-0.1, 0.0)] {
            let mut last = f64::NEG_INFINITY;
            for mm in (-40..60).map(f64::from) {
                let z = mm * 1e-3 + 0.0005;
                let joint = |above: f64| [x, y, z + above].into();
                let arm = [
                    Capsule { a: joint(0.3), b: joint(0.018), radius: 0.004 },
                    Capsule { a: joint(0.018), b: joint(0.009), radius: 0.005 },
                    Capsule { a: joint(0.009), b: joint(0.0), radius: 0.002 },
                ];
                let expected = if z < 0.0 { z - 0.005 } else { (z - 0.002).min(z + 0.009 - 0.005) };
                let (mine, theirs) = (gate.distance(&parts(&arm), 1.0), filter.distance(ArmId::Psm2, &arm, 1.0));
                assert!((mine - expected).abs() < 1e-9, "gate at {x} {y} {z}: {mine}, expected {expected}");
                assert!((theirs - expected).abs() < 1e-9, "filter at {x} {y} {z}: {theirs}, expected {expected}");
                assert!(mine > last, "drawing out always raises it");
                last = mine;
            }
        }
    }

    #[test]
    fn beyond_its_reach_the_gate_says_no_less_than_its_reach() {
        let rotation = Rotation::Rpy([0.3, -0.5, 0.7]);
        for region in [
            ZoneShape::Mesh(Arc::new(Mesh::new("m", triangles(500, 0.01)).unwrap())),
            ZoneShape::Box { center: [0.01, 0.0, -0.01], size: [0.02, 0.03, 0.01], rotation },
        ] {
            let (_, gate) = both(region);
            for i in 0..300 {
                let parts = parts(&arm(i));
                let exact = gate.distance(&parts, 1.0);
                // A reach of any digits: rounding takes nothing off it either.
                for reach in [0.0, 0.002, 0.01, 0.005 + 0.005 * w(i, 0.37), exact + 1e-9] {
                    let d = gate.distance(&parts, reach);
                    let right = if exact < reach { (d - exact).abs() < 1e-12 } else { d >= reach };
                    assert!(right, "arm {i}, reach {reach}: {d}, {exact}");
                }
            }
        }
    }

    #[test]
    fn a_box_is_measured_as_soon_as_its_corner_may_be_near() {
        let rotation = Rotation::Rpy([0.0; 3]);
        let gate = Obstacle::new(&ZoneShape::Box { center: [0.0; 3], size: [0.02; 3], rotation });
        // Off the corner, in the direction in which it lies, by something thin or thick.
        for radius in [0.004, 1.5] {
            let at = [0.02; 3];
            let exact = 0.01 * f64::sqrt(3.0) - radius;
            let d = gate.distance(&[(at, at, radius)], exact + 1e-9);
            assert!((d - exact).abs() < 1e-12, "{d}, {exact}");
            assert!(gate.distance(&[(at, at, radius)], exact - 1e-9) >= exact - 1e-9);
        }
    }
}

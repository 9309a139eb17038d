//! The filter's search of a mesh: a tree of boxes, eight to a node, over leaves of eight triangles, built once and read-only.
//!
//! A box (or triangle) is skipped when a plane between it and the segment proves it too far: with `d` from the segment's point nearest to
//! the box's middle towards that middle, every point of the box is at least `min(d . a, d . b)`-wise apart from every point of the segment
//! along `d`, whatever `d` is. This is computed in `f32`, eight at a time, and believed less [`Probe::slack`], which is more than its
//! rounding; what is left is computed in `f64`, triangle by triangle. So the result is exact, and a search starts at the triangles that
//! were nearest last time, which leaves little to search.
//!
//! Nothing here allocates but [`Tree::new`]; the stack has a fixed size, which the tree's depth cannot exceed.

use super::{
    mesh::{MAX_TRIANGLES, Mesh, Triangle},
    triangle::Segment,
};
use arrayvec::ArrayVec;
use nalgebra::{Point3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::ArmId;
use std::{
    array::from_fn,
    sync::Arc,
    sync::atomic::{AtomicU32, Ordering},
};
use wide::f32x8;

/// Triangles of a leaf, and children of a node.
const LANES: usize = 8;
/// Levels of nodes: `LANES.pow(LEVELS + 1)` is more than [`MAX_TRIANGLES`].
const LEVELS: usize = 6;
const _: () = assert!(LANES.pow(LEVELS as u32 + 1) >= MAX_TRIANGLES);
/// Places that may wait at once: a node's children on every level of nodes.
const STACK: usize = LEVELS * LANES;
/// An axis nearer to a triangle than this passes through it, m.
const TOUCH: f64 = 1e-9;
/// A direction shorter than this proves nothing, and its square must not vanish in `f32`, m.
const SHORTEST: f32 = 1e-12;

/// Eight boxes, coordinate by coordinate; unused lanes repeat the first. Each lies along the surface that it holds, and is as thin as that
/// is flat.
#[derive(Debug, Clone)]
struct Boxes {
    middle: [f32x8; 3],
    axes: [[f32x8; 3]; 3],
    /// Half lengths along the axes, rounded up.
    half: [f32x8; 3],
    count: usize,
}

/// One of them.
#[derive(Debug, Clone, Copy, Default)]
struct Around {
    middle: [f32; 3],
    axes: [[f32; 3]; 3],
    half: [f32; 3],
}

/// Eight triangles, corner by corner, coordinate by coordinate; unused lanes repeat the first.
#[derive(Debug, Clone)]
struct Leaf {
    corners: [[f32x8; 3]; 3],
    count: usize,
}

/// Triangles, searchable.
#[derive(Debug)]
struct Tree {
    leaves: Vec<Leaf>,
    /// `levels[0]` bounds leaves, eight at a time, `levels[k]` the nodes of `levels[k - 1]`; the last holds one node.
    levels: Vec<Vec<Boxes>>,
    /// Largest coordinate, m.
    reach: f64,
}

/// A place in the tree: a node of a level (from 1), or a leaf (level 0), and how near its triangles may be.
#[derive(Debug, Clone, Copy)]
struct Place {
    near: f32,
    level: usize,
    index: usize,
}

/// A segment made ready for the bounds.
struct Probe {
    segment: Segment,
    a: [f32x8; 3],
    along: [f32x8; 3],
    /// 1 / length^2; 0 for no length.
    inverse: f32x8,
    /// More than rounding can add to a bound, m.
    slack: f64,
}

impl Probe {
    fn new(a: Point3<f64>, b: Point3<f64>, reach: f64) -> Self {
        let along = b - a;
        let square = along.norm_squared();
        let far = a.coords.amax().max(b.coords.amax());
        Self {
            segment: Segment::new(a, b),
            a: all(a.coords.into()),
            along: all(along.into()),
            inverse: f32x8::splat(if square > 1e-30 { (1.0 / square) as f32 } else { 0.0 }),
            // A bound sums about twenty products of coordinates, each rounded by half of EPSILON relative to the largest.
            slack: 32.0 * f64::from(f32::EPSILON) * (far + reach),
        }
    }

    /// Whether something with this bound may be nearer than `best`.
    #[inline]
    fn may(&self, near: f32, best: f64) -> bool {
        f64::from(near) - self.slack < best
    }

    /// From the segment towards points, and from `a` to them.
    #[inline]
    fn towards(&self, points: &[f32x8; 3]) -> ([f32x8; 3], [f32x8; 3]) {
        let from_a = less(points, &self.a);
        let place = (dot(&from_a, &self.along) * self.inverse).max(f32x8::ZERO).min(f32x8::ONE);
        let [x, y, z] = self.along;
        (less(&from_a, &[x * place, y * place, z * place]), from_a)
    }

    /// No point of each box is nearer to the segment than this less the slack, m.
    #[inline]
    fn boxes(&self, b: &Boxes) -> f32x8 {
        let (toward, from_a) = self.towards(&b.middle);
        let turned = [0, 1, 2].map(|k| b.axes.get(k).map_or(f32x8::ZERO, |axis| dot(&toward, axis).abs()));
        self.apart(&toward, dot(&toward, &from_a) - dot(&turned, &b.half))
    }

    /// No point of each triangle is nearer to the segment than this less the slack, m.
    #[inline]
    fn triangles(&self, leaf: &Leaf) -> f32x8 {
        let [p, q, r] = &leaf.corners;
        let third = f32x8::splat(1.0 / 3.0);
        let ([px, py, pz], [qx, qy, qz], [rx, ry, rz]) = (*p, *q, *r);
        let middle = [(px + qx + rx) * third, (py + qy + ry) * third, (pz + qz + rz) * third];
        let (toward, _) = self.towards(&middle);
        let height = |corner: &[f32x8; 3]| dot(&toward, &less(corner, &self.a));
        self.apart(&toward, height(p).min(height(q)).min(height(r)))
    }

    /// How far apart along `toward` the segment is from what begins at `height` times its length, seen from `a`.
    #[inline]
    fn apart(&self, toward: &[f32x8; 3], height: f32x8) -> f32x8 {
        let ahead = dot(toward, &self.along).max(f32x8::ZERO);
        (height - ahead) / dot(toward, toward).sqrt().max(f32x8::splat(SHORTEST))
    }
}

/// The same vector in every lane.
fn all(v: [f64; 3]) -> [f32x8; 3] {
    v.map(|x| f32x8::splat(x as f32))
}

fn less(a: &[f32x8; 3], b: &[f32x8; 3]) -> [f32x8; 3] {
    let ([x, y, z], [u, v, w]) = (*a, *b);
    [x - u, y - v, z - w]
}

fn dot(a: &[f32x8; 3], b: &[f32x8; 3]) -> f32x8 {
    let ([x, y, z], [u, v, w]) = (*a, *b);
    x * u + y * v + z * w
}

impl Tree {
    fn new(triangles: &[Triangle]) -> Self {
        let mut sorted = triangles.to_vec();
        let mut group = LANES;
        while group * LANES < sorted.len() {
            group *= LANES;
        }
        arrange(&mut sorted, group);
        let leaves: Vec<Leaf> = sorted.chunks(LANES).map(Leaf::new).collect();
        let mut levels = Vec::new();
        let mut each = LANES;
        loop {
            let boxes: Vec<Around> = sorted.chunks(each).map(Around::new).collect();
            levels.push(boxes.chunks(LANES).map(Boxes::new).collect::<Vec<_>>());
            if boxes.len() <= LANES {
                break;
            }
            each *= LANES;
        }
        let reach = sorted.iter().flatten().flatten().fold(0.0, |far: f32, x| far.max(x.abs()));
        Self { leaves, levels, reach: f64::from(reach) }
    }

    /// Smallest distance of a segment from a triangle, m, exact below `limit`, otherwise `limit`. `hint` is a leaf that may be near; it
    /// becomes the one that was.
    fn nearest(&self, a: Point3<f64>, b: Point3<f64>, hint: &AtomicU32, limit: f64) -> f64 {
        let probe = Probe::new(a, b, self.reach);
        let mut best = limit;
        let look = |index: usize, best: f64| {
            let Some(leaf) = self.leaves.get(index) else { return best };
            let found = leaf.nearest(&probe, best);
            if found < best {
                hint.store(index as u32, Ordering::Relaxed);
            }
            found
        };
        let known = hint.load(Ordering::Relaxed) as usize;
        best = look(known, best);
        self.visit(&probe, best, |index, best| if index == known { best } else { look(index, best) })
    }

    /// Where on the segment the first crossing is, [0, 1], counted from `a`.
    fn crossing(&self, a: Point3<f64>, b: Point3<f64>) -> Option<f64> {
        let probe = Probe::new(a, b, self.reach);
        let mut first: Option<f64> = None;
        self.visit(&probe, TOUCH, |index, within| {
            let leaf = self.leaves.get(index);
            let crossings = leaf.into_iter().flat_map(Leaf::each).map(|t| probe.segment.to_triangle(&t));
            for (_, place) in crossings.filter(|(d2, _)| *d2 <= TOUCH * TOUCH) {
                first = Some(first.map_or(place, |f| f.min(place)));
            }
            within
        });
        first
    }

    /// Shows every leaf that may be nearer than `best` to `look`, which says what is best then. Nearer ones first.
    fn visit(&self, probe: &Probe, mut best: f64, mut look: impl FnMut(usize, f64) -> f64) -> f64 {
        let mut stack = ArrayVec::<Place, STACK>::new();
        stack.push(Place { near: f32::NEG_INFINITY, level: self.levels.len(), index: 0 });
        while let Some(place) = stack.pop() {
            if !probe.may(place.near, best) {
                continue;
            }
            let Some(level) = place.level.checked_sub(1) else {
                best = look(place.index, best);
                continue;
            };
            let Some(node) = self.levels.get(level).and_then(|l| l.get(place.index)) else { continue };
            let bounds = probe.boxes(node);
            let begin = stack.len();
            for (i, &near) in bounds.to_array().iter().take(node.count).enumerate() {
                if probe.may(near, best) {
                    // There is room: at most a node's children per level wait.
                    let _ = stack.try_push(Place { near, level, index: place.index * LANES + i });
                }
            }
            // The nearest is popped first.
            if let Some(added) = stack.get_mut(begin..) {
                added.sort_unstable_by(|x, y| y.near.total_cmp(&x.near));
            }
        }
        best
    }
}

impl Boxes {
    fn new(boxes: &[Around]) -> Self {
        let lanes =
            |what: &dyn Fn(&Around) -> f32| f32x8::new(from_fn(|i| boxes.get(i).or(boxes.first()).map_or(0.0, what)));
        let vector =
            |what: &dyn Fn(&Around) -> [f32; 3]| from_fn(|k| lanes(&|b| what(b).get(k).copied().unwrap_or(0.0)));
        Self {
            middle: vector(&|b| b.middle),
            axes: from_fn(|j| vector(&|b| b.axes.get(j).copied().unwrap_or_default())),
            half: vector(&|b| b.half),
            count: boxes.len().min(LANES),
        }
    }
}

impl Around {
    /// The box around triangles that lies along their mean normal.
    fn new(triangles: &[Triangle]) -> Self {
        let corners = || triangles.iter().flatten().map(|c| Vector3::from(*c).cast::<f64>());
        let normal = triangles.iter().map(|t| {
            let [p, q, r] = t.map(|c| Vector3::from(c).cast::<f64>());
            (q - p).cross(&(r - p))
        });
        // Triangles may be wound either way: each counts to the side of the first.
        let mut sum = Vector3::zeros();
        for n in normal {
            sum += if n.dot(&sum) < 0.0 { -n } else { n };
        }
        let normal = sum.try_normalize(0.0).unwrap_or(Vector3::z());
        let beside = normal.cross(&if normal.x.abs() < 0.7 { Vector3::x() } else { Vector3::y() }).normalize();
        // As they are stored, so that their rounding is part of the half lengths.
        let axes = [normal, beside, normal.cross(&beside)].map(Vector3::cast::<f32>);
        let wide = axes.map(Vector3::cast::<f64>);
        let [low, high] = corners().fold([[f64::INFINITY; 3], [f64::NEG_INFINITY; 3]], |[low, high], c| {
            let along = wide.map(|axis| axis.dot(&c));
            [pairs(low, along, f64::min), pairs(high, along, f64::max)]
        });
        let middle = wide.iter().zip(pairs(low, high, f64::midpoint)).map(|(axis, x)| axis * x).sum::<Vector3<f64>>();
        let stored = middle.cast::<f32>();
        let center = wide.map(|axis| axis.dot(&stored.cast()));
        let half = pairs(pairs(center, low, |m, l| m - l), pairs(high, center, |h, m| h - m), f64::max);
        Self { middle: stored.into(), axes: axes.map(Into::into), half: half.map(|x| (x as f32).next_up()) }
    }
}

fn pairs<T>(a: [T; 3], b: [T; 3], f: fn(T, T) -> T) -> [T; 3] {
    let ([x, y, z], [u, v, w]) = (a, b);
    [f(x, u), f(y, v), f(z, w)]
}

impl Leaf {
    fn new(triangles: &[Triangle]) -> Self {
        let coordinate = |corner: usize, k: usize, i: usize| {
            let triangle = triangles.get(i).or(triangles.first());
            triangle.and_then(|t| t.get(corner)).and_then(|c| c.get(k)).copied().unwrap_or(0.0)
        };
        let corners = from_fn(|corner| from_fn(|k| f32x8::new(from_fn(|i| coordinate(corner, k, i)))));
        Self { corners, count: triangles.len().min(LANES) }
    }

    /// The `i`-th triangle.
    fn triangle(&self, i: usize) -> [Point3<f64>; 3] {
        let lane = |x: f32x8| x.to_array().get(i).copied().unwrap_or(0.0);
        self.corners.map(|corner| Point3::from(corner.map(lane)).cast())
    }

    fn each(&self) -> impl Iterator<Item = [Point3<f64>; 3]> {
        (0..self.count).map(|i| self.triangle(i))
    }

    /// Smallest distance below `best`, or `best`. The triangle that may be nearest comes first and spares most others.
    fn nearest(&self, probe: &Probe, mut best: f64) -> f64 {
        let bounds = probe.triangles(self).to_array();
        let lanes = || bounds.iter().take(self.count).enumerate();
        let Some((first, _)) = lanes().min_by(|x, y| x.1.total_cmp(y.1)) else { return best };
        let others = lanes().map(|(i, _)| i).filter(|i| *i != first);
        for i in std::iter::once(first).chain(others) {
            if bounds.get(i).is_some_and(|&near| probe.may(near, best)) {
                best = best.min(probe.segment.to_triangle(&self.triangle(i)).0.sqrt());
            }
        }
        best
    }
}

/// Corners of the box around points.
fn extent<'a>(points: impl Iterator<Item = &'a [f32; 3]>) -> [[f32; 3]; 2] {
    points.fold([[f32::INFINITY; 3], [f32::NEG_INFINITY; 3]], |[low, high], p| {
        let ([a, b, c], [x, y, z], [u, v, w]) = (low, *p, high);
        [[a.min(x), b.min(y), c.min(z)], [u.max(x), v.max(y), w.max(z)]]
    })
}

/// Sorts triangles so that every run of `group`, of `group / 8`, of `group / 64` ... from the beginning lies together: cut across the
/// longest side, at a multiple of `group`, until one group is left, and that likewise into smaller ones.
fn arrange(triangles: &mut [Triangle], group: usize) {
    if triangles.len() <= group {
        if group > LANES {
            arrange(triangles, group / LANES);
        }
        return;
    }
    let middle = |t: &Triangle, k: usize| t.iter().filter_map(|c| c.get(k)).sum::<f32>();
    let middles = triangles.iter().map(|t| from_fn(|k| middle(t, k))).collect::<Vec<[f32; 3]>>();
    let [low, high] = extent(middles.iter());
    let sides = pairs(high, low, |h, l| h - l).into_iter().enumerate();
    // The first of those alike.
    let longest = sides.rev().max_by(|x, y| x.1.total_cmp(&y.1)).map_or(0, |(k, _)| k);
    let cut = triangles.len().div_ceil(group).div_ceil(2) * group;
    triangles.select_nth_unstable_by(cut, |s, t| middle(s, longest).total_cmp(&middle(t, longest)));
    let (left, right) = triangles.split_at_mut(cut);
    arrange(left, group);
    arrange(right, group);
}

/// How near an axis must be for its capsule to be nearer than `limit`; a touch is always near enough.
fn within(limit: f64, c: &Capsule) -> f64 {
    (limit + c.radius).max(2.0 * TOUCH)
}

/// A mesh as the filter sees it, with the leaves that were nearest last, per arm and part.
#[derive(Debug)]
pub(super) struct Watch {
    tree: Arc<Tree>,
    /// They decide where a search begins, not what it finds.
    hints: [[AtomicU32; 3]; 3],
}

impl Clone for Watch {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), hints: Default::default() }
    }
}

impl Watch {
    pub fn new(mesh: &Mesh) -> Self {
        Self { tree: Arc::new(Tree::new(mesh.triangles())), hints: Default::default() }
    }

    /// Distance from an arm's surface to the mesh, m, exact up to `limit`; for an arm whose axis passes through the mesh, its largest
    /// radius and the length of its axis beyond the first crossing, negative.
    pub fn distance(&self, arm: ArmId, parts: &[Capsule], limit: f64) -> f64 {
        let Some(hints) = self.hints.get(arm.index()) else { return f64::NEG_INFINITY };
        let mut best = limit;
        // The outermost part is the likeliest to be nearest, and spares the others most of their search.
        for (part, hint) in parts.iter().zip(hints).rev() {
            let within = within(best, part);
            let axial = self.tree.nearest(part.a, part.b, hint, within);
            if axial <= TOUCH {
                return -self.depth(parts);
            }
            // Beyond `within` nothing is known, and a difference could round below `limit`.
            if axial < within {
                best = best.min(axial - part.radius);
            }
        }
        best
    }

    /// The same for one part alone.
    pub fn distance_of(&self, arm: ArmId, part: usize, c: &Capsule, limit: f64) -> f64 {
        let hint = self.hints.get(arm.index()).and_then(|h| h.get(part));
        let within = within(limit, c);
        let axial = hint.map_or(0.0, |hint| self.tree.nearest(c.a, c.b, hint, within));
        if axial <= TOUCH {
            -self.depth(std::slice::from_ref(c))
        } else if axial < within {
            axial - c.radius
        } else {
            limit
        }
    }

    fn depth(&self, parts: &[Capsule]) -> f64 {
        let mut crossed = false;
        let mut depth = parts.iter().map(|c| c.radius).fold(0.0, f64::max);
        for part in parts {
            let beyond = if crossed { Some(0.0) } else { self.tree.crossing(part.a, part.b) };
            if let Some(place) = beyond {
                crossed = true;
                depth += (1.0 - place) * (part.b - part.a).norm();
            }
        }
        depth
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tree_tests;

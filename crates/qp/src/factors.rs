//! The two matrices that the method keeps up to date, in the notation of Goldfarb and Idnani: with `H = L L'` and the active normals
//! `N`, `L^-1 N = Q [R; 0]` and `J = L^-T Q`. Column by column, so that inner loops run over whole vectors.

use crate::{
    MAX_VARIABLES,
    vector::{Vector, ZERO, add, at, dot, rotate},
};

/// A pivot smaller than this part of its diagonal entry means that `H` is not positive definite to working accuracy.
const LEAST_PIVOT: f64 = 1e-13;

/// `J`, and `R` for the active constraints.
#[derive(Debug, Clone)]
pub(crate) struct Factors {
    /// Columns of `J`.
    j: [Vector; MAX_VARIABLES],
    /// Columns of `R`; the first `active` are in use.
    r: [Vector; MAX_VARIABLES],
    active: usize,
}

/// What a constraint's normal looks like to the factors.
pub(crate) struct Seen {
    /// `J' n`.
    d: Vector,
    /// Its part outside the span of the active normals, taken back: `J2 J2' n`, the direction to step in.
    pub z: Vector,
    /// `|J2' n|^2`, which is `n' z`.
    pub free: f64,
    /// `|J' n|^2`.
    pub whole: f64,
}

impl Factors {
    pub fn new() -> Self {
        Self { j: [ZERO; MAX_VARIABLES], r: [ZERO; MAX_VARIABLES], active: 0 }
    }

    pub fn active(&self) -> usize {
        self.active
    }

    /// Takes `H` (upper triangle) in; no constraint is active. `None` when it is not positive definite. Beyond `n` it is taken for the unit
    /// matrix.
    pub fn start(&mut self, hessian: &[Vector; MAX_VARIABLES], n: usize) -> Option<()> {
        self.active = 0;
        // Right-looking: `rest` is what the columns found so far leave of H.
        let mut rest = *hessian;
        let mut columns = [ZERO; MAX_VARIABLES];
        for (k, column) in columns.iter_mut().enumerate().take(n) {
            let row = *rest.get(k)?;
            let pivot = at(&row, k);
            // Written so that NaN is refused too.
            if !(pivot > LEAST_PIVOT * hessian.get(k).map_or(0.0, |h| at(h, k)) && pivot < f64::INFINITY) {
                return None;
            }
            let scale = 1.0 / pivot.sqrt();
            for (slot, x) in column.iter_mut().zip(&row).take(n).skip(k) {
                *slot = x * scale;
            }
            let column = *column;
            for (i, row) in rest.iter_mut().enumerate().take(n).skip(k + 1) {
                add(row, -at(&column, i), &column);
            }
        }
        self.invert(&columns, n);
        Some(())
    }

    /// Columns of `J = L^-T` are rows of `L^-1`.
    fn invert(&mut self, columns: &[Vector; MAX_VARIABLES], n: usize) {
        let j = &mut self.j;
        for i in 0..MAX_VARIABLES {
            let (done, rest) = j.split_at_mut(i);
            let Some(row) = rest.first_mut() else { return };
            *row = ZERO;
            let mut scale = 1.0;
            if i < n {
                for (column, done) in columns.iter().zip(done) {
                    add(row, -at(column, i), done);
                }
                scale = 1.0 / columns.get(i).map_or(1.0, |c| at(c, i));
                row.iter_mut().for_each(|x| *x *= scale);
            }
            row.iter_mut().skip(i).take(1).for_each(|x| *x = scale);
        }
    }

    /// `J J' v`, which is `H^-1 v`.
    pub fn solve(&self, v: &Vector) -> Vector {
        let mut x = ZERO;
        for j in &self.j {
            add(&mut x, dot(j, v), j);
        }
        x
    }

    /// How a normal lies to the active ones.
    pub fn see(&self, normal: &Vector) -> Seen {
        let mut seen = Seen { d: ZERO, z: ZERO, free: 0.0, whole: 0.0 };
        for (k, (d, j)) in seen.d.iter_mut().zip(&self.j).enumerate() {
            *d = dot(j, normal);
            seen.whole += *d * *d;
            if k >= self.active {
                seen.free += *d * *d;
                add(&mut seen.z, *d, j);
            }
        }
        seen
    }

    /// `R^-1` of the active part: how the seen normal is made of the active ones.
    pub fn shares(&self, seen: &Seen) -> Vector {
        self.back(&seen.d)
    }

    /// Solves `R y = v` for the active part; the rest is zero.
    fn back(&self, v: &Vector) -> Vector {
        let mut y = ZERO;
        y.iter_mut().zip(v).take(self.active).for_each(|(y, v)| *y = *v);
        for (k, column) in self.r.iter().enumerate().take(self.active).rev() {
            let value = at(&y, k) / at(column, k);
            for (i, (y, r)) in y.iter_mut().zip(column).enumerate().take(k + 1) {
                *y = if i == k { value } else { *y - value * r };
            }
        }
        y
    }

    /// Solves `R' w = v` for the active part: coordinates, along the first columns of `J`, of the point that meets the active constraints.
    pub fn forward(&self, v: &Vector) -> Vector {
        let mut w = ZERO;
        for (k, column) in self.r.iter().enumerate().take(self.active) {
            let known: f64 = w.iter().zip(column).take(k).map(|(w, r)| w * r).sum();
            let value = (at(v, k) - known) / at(column, k);
            w.iter_mut().skip(k).take(1).for_each(|slot| *slot = value);
        }
        w
    }

    /// The point at coordinates `w` from `origin`, and the multipliers that belong to it.
    pub fn point(&self, origin: &Vector, w: &Vector) -> (Vector, Vector) {
        let mut x = *origin;
        for (j, w) in self.j.iter().zip(w).take(self.active) {
            add(&mut x, *w, j);
        }
        (x, self.back(w))
    }

    /// Makes a seen normal active. One reflection turns its free part into the next column of `R`.
    pub fn push(&mut self, seen: &Seen) {
        let k = self.active;
        let (pivot, length) = (at(&seen.d, k), seen.free.sqrt());
        // Reflect onto the far side: no cancellation.
        let signed = if pivot > 0.0 { length } else { -length };
        let Some(first) = self.j.get(k) else { return };
        // J2 v, for the reflection I - v v' / (v'v / 2) with v = d2 + signed e1.
        let mut jv = seen.z;
        add(&mut jv, signed, first);
        let half = length * (length + pivot.abs());
        for (i, j) in self.j.iter_mut().enumerate().skip(k) {
            let v = at(&seen.d, i) + if i == k { signed } else { 0.0 };
            add(j, -v / half, &jv);
        }
        if let Some(column) = self.r.get_mut(k) {
            *column = seen.d;
            column.iter_mut().skip(k + 1).for_each(|x| *x = 0.0);
            column.iter_mut().skip(k).take(1).for_each(|x| *x = -signed);
        }
        self.active += 1;
    }

    /// Makes the active constraint number `l` inactive; those after it move up.
    pub fn drop(&mut self, l: usize) {
        if let Some(columns) = self.r.get_mut(l..self.active) {
            columns.rotate_left(1);
        }
        self.active -= 1;
        // Each moved column has one entry below the diagonal: rotate it away, in J too.
        for k in l..self.active {
            let (a, b) = self.r.get(k).map_or((1.0, 0.0), |c| (at(c, k), at(c, k + 1)));
            let length = a.hypot(b);
            if length == 0.0 {
                continue;
            }
            let (c, s) = (a / length, b / length);
            for column in self.r.iter_mut().take(self.active).skip(k) {
                if let Some([x, y]) = column.get_mut(k..k + 2) {
                    (*x, *y) = (c * *x + s * *y, c * *y - s * *x);
                }
            }
            if let Some([a, b]) = self.j.get_mut(k..k + 2) {
                rotate(a, b, c, s);
            }
        }
    }
}

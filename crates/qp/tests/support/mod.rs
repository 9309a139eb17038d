//! Problems of every kind from a seed, and the conditions of optimality checked by plain arithmetic.
#![allow(dead_code, missing_docs)]

use proctor_qp::{Bind, MAX_VARIABLES, Problem, Solution, Vector};

/// SplitMix64: the same numbers from the same seed, everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// In [a, b).
    pub fn between(&mut self, a: f64, b: f64) -> f64 {
        a + (b - a) * (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn vector(&mut self, n: usize) -> Vector {
        let mut v = [0.0; MAX_VARIABLES];
        v[..n].fill_with(|| self.between(-1.0, 1.0));
        v
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Rows in all directions, with room at some point.
    Ordinary,
    /// Rows that are there two or three times, exactly, scaled, or nearly.
    Repeated,
    /// Many more rows through one point than there are variables.
    Corner,
    /// Pairs of opposite rows with a nanometre to a millimetre between them.
    Narrow,
    /// Rows and variables in very different units.
    Scaled,
    /// A combination of the rows demands more than nothing of nothing.
    Impossible,
}

impl Kind {
    pub const ALL: [Self; 6] =
        [Self::Ordinary, Self::Repeated, Self::Corner, Self::Narrow, Self::Scaled, Self::Impossible];
}

pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A problem of a kind; feasible unless it is `Impossible`.
pub fn problem(kind: Kind, seed: u64) -> Problem {
    let mut r = Rng(seed);
    let n = 1 + r.below(MAX_VARIABLES);
    let m = r.below(100);
    let mut p = Problem::new(n);
    let units: Vec<f64> =
        (0..n).map(|_| if kind == Kind::Scaled { 10f64.powf(r.between(-3.0, 3.0)) } else { 1.0 }).collect();
    hessian(&mut p, &mut r, &units);
    let inside: Vector = r.vector(n);
    for (i, unit) in units.iter().enumerate() {
        let inside = inside[i] * unit;
        p.gradient[i] = r.between(-6.0, 6.0) / unit;
        if r.below(3) > 0 {
            p.lower[i] = inside - unit * r.between(0.0, 1.0);
            p.upper[i] = inside + unit * r.between(0.0, 1.0);
        }
    }
    let mut add = |r: &mut Rng, normal: &Vector, room: f64| {
        let length = if kind == Kind::Scaled { 10f64.powf(r.between(-6.0, 6.0)) } else { 1.0 };
        let mut a = [0.0; MAX_VARIABLES];
        (0..n).for_each(|j| a[j] = length * normal[j] / units[j]);
        p.push(&a, length * (dot(normal, &inside) - room)).is_ok()
    };
    for _ in 0..m {
        let (normal, room) = (r.vector(n), r.between(0.0, 1.0).powi(2));
        match kind {
            Kind::Ordinary | Kind::Scaled => add(&mut r, &normal, room),
            Kind::Corner => add(&mut r, &normal, 0.0),
            Kind::Repeated => {
                let error = [0.0, 1e-14, 1e-12, 1e-10, 1e-8, 1e-4][r.below(6)];
                (0..2).for_each(|_| {
                    let scale = [1.0, 1.0, 3.7, 0.01][r.below(4)];
                    let near = normal.map(|x| scale * x * (1.0 + error * r.between(-1.0, 1.0)));
                    add(&mut r, &near, scale * room);
                });
                add(&mut r, &normal, room)
            }
            Kind::Narrow => {
                let width = 10f64.powf(r.between(-9.0, -3.0));
                add(&mut r, &normal, width);
                if r.below(8) == 0 { add(&mut r, &normal.map(|x| -x), width) } else { true }
            }
            Kind::Impossible => add(&mut r, &normal, room),
        };
    }
    if kind == Kind::Impossible {
        // Weights l > 0 with sum l a = 0 and sum l b > 0: no x has every a'x >= b (Farkas).
        let mut last = [0.0; MAX_VARIABLES];
        let mut promised = 0.0;
        for _ in 0..=r.below(n.min(6)) {
            let (normal, weight) = (r.vector(n), r.between(0.1, 2.0));
            let room = r.between(0.0, 0.5);
            add(&mut r, &normal, room);
            (0..n).for_each(|j| last[j] -= weight * normal[j]);
            promised += weight * room;
        }
        let gap = 10f64.powf(r.between(-4.0, 0.0));
        // sum l b = gap + rounding.
        while !add(&mut r, &last, -promised - gap) {}
    }
    p
}

fn hessian(p: &mut Problem, r: &mut Rng, units: &[f64]) {
    let n = units.len();
    let columns: Vec<Vector> = (0..n).map(|_| r.vector(n)).collect();
    let least = 10f64.powf(r.between(-4.0, 0.0));
    for i in 0..n {
        for j in 0..n {
            let sum: f64 = columns.iter().map(|c| c[i] * c[j]).sum();
            p.hessian[i][j] = (sum + if i == j { least } else { 0.0 }) / (units[i] * units[j]);
        }
    }
}

/// What breaks the conditions of Karush, Kuhn and Tucker, in words; empty for a minimiser. Each is judged against the size of the
/// numbers that it is a sum of.
pub fn broken(p: &Problem, s: &Solution) -> Vec<String> {
    let (n, mut found) = (p.variables(), Vec::new());
    let sized =
        |terms: &mut dyn Iterator<Item = f64>| terms.fold((0.0, 0.0), |(sum, size), t| (sum + t, size + t.abs()));
    // In units in which the diagonal of H is one, an error in any variable counts the same.
    let unit = |i: usize| p.hessian[i][i].sqrt();
    let size = (0..n).map(|i| (s.x[i] * unit(i)).abs()).fold(0.0, f64::max);
    for i in 0..n {
        let beyond = (p.lower[i] - s.x[i]).max(s.x[i] - p.upper[i]) * unit(i);
        if beyond > 1e-9 * (1e-3 + size) {
            found.push(format!("variable {i} beyond its bound by {beyond:e}"));
        }
    }
    for (k, (a, b)) in p.rows().enumerate() {
        let length = (0..n).map(|i| (a[i] / unit(i)).powi(2)).sum::<f64>().sqrt();
        let short = (b - dot(a, &s.x)) / length;
        if short > 1e-9 * (1e-3 + size + (b / length).abs()) {
            found.push(format!("row {k} short by {short:e}"));
        }
    }
    for (bind, u) in s.active.iter() {
        let (gap, scale) = match bind {
            Bind::Lower(i) => ((s.x[i] - p.lower[i]) * unit(i), 1.0),
            Bind::Upper(i) => ((p.upper[i] - s.x[i]) * unit(i), 1.0),
            Bind::Row(k) => {
                let (a, b) = p.row(k).unwrap();
                let length = (0..n).map(|i| (a[i] / unit(i)).powi(2)).sum::<f64>().sqrt();
                ((dot(a, &s.x) - b) / length, b / length)
            }
        };
        if gap.abs() > 1e-8 * (1e-3 + size + scale.abs()) {
            found.push(format!("{bind:?} does not bind: {gap:e}"));
        }
        if u.is_nan() || u < 0.0 {
            found.push(format!("{bind:?} has multiplier {u:e}"));
        }
    }
    for i in 0..n {
        let pull = |(bind, u): (Bind, f64)| match bind {
            Bind::Lower(k) => -if k == i { u } else { 0.0 },
            Bind::Upper(k) => {
                if k == i {
                    u
                } else {
                    0.0
                }
            }
            Bind::Row(k) => -u * p.row(k).unwrap().0[i],
        };
        let (rest, size) = sized(
            &mut (0..n)
                .map(|j| p.hessian[i.min(j)][i.max(j)] * s.x[j])
                .chain([p.gradient[i]])
                .chain(s.active.iter().map(pull)),
        );
        if rest.abs() > 1e-7 * size {
            found.push(format!("slope {rest:e} along variable {i}, of {size:e}"));
        }
    }
    found
}

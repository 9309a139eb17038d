//! Recorded programs, and the same programs in units in which a tolerance means something.

use proctor_qp::{Active, Bind, MAX_VARIABLES, Problem};

/// Cosine from which on two rows of consecutive programs are the same constraint.
const SAME: f64 = 0.98;

/// `min 1/2 x'Hx + g'x, lower <= x <= upper, Ax >= b`; matrices row by row.
#[derive(Clone)]
pub struct Program {
    pub hessian: Vec<f64>,
    pub gradient: Vec<f64>,
    pub lower: Vec<f64>,
    pub upper: Vec<f64>,
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    /// What one unit of each variable is in the program as it was recorded.
    pub units: Vec<f64>,
}

impl Program {
    pub fn n(&self) -> usize {
        self.gradient.len()
    }

    /// All of the constraints as `rows x <= limits`, for those who know no bounds.
    pub fn constraints(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.n();
        let (mut rows, mut limits) = (Vec::new(), Vec::new());
        for i in 0..n {
            for (sign, bound) in [(-1.0, self.lower[i]), (1.0, self.upper[i])] {
                rows.extend((0..n).map(|j| if i == j { sign } else { 0.0 }));
                limits.push(sign * bound);
            }
        }
        rows.extend(self.a.iter().map(|x| -x));
        limits.extend(self.b.iter().map(|x| -x));
        (rows, limits)
    }

    /// The same program with a Hessian whose diagonal is one, a gradient whose largest entry is one, and rows of length one.
    pub fn scaled(&self) -> Self {
        let n = self.n();
        let roots: Vec<f64> = (0..n).map(|i| self.hessian[i * n + i].sqrt()).collect();
        let size = self.gradient.iter().zip(&roots).fold(1e-9, |most: f64, (g, root)| most.max((g / root).abs()));
        let units: Vec<f64> = roots.iter().map(|root| size / root).collect();
        let hessian = (0..n * n).map(|at| self.hessian[at] / (roots[at / n] * roots[at % n])).collect();
        let gradient = self.gradient.iter().zip(&roots).map(|(g, root)| g / root / size).collect();
        let [lower, upper] =
            [&self.lower, &self.upper].map(|side| side.iter().zip(&units).map(|(x, unit)| x / unit).collect());
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for (row, least) in self.a.chunks_exact(n).zip(&self.b) {
            let row: Vec<f64> = row.iter().zip(&units).map(|(x, unit)| x * unit).collect();
            let length = row.iter().map(|x| x * x).sum::<f64>().sqrt();
            a.extend(row.iter().map(|x| x / length));
            b.push(least / length);
        }
        Self { hessian, gradient, lower, upper, a, b, units }
    }

    /// An answer in the units of the recorded program.
    pub fn unscaled(&self, x: &[f64]) -> Vec<f64> {
        x.iter().zip(&self.units).map(|(x, unit)| x * unit).collect()
    }

    pub fn ours(&self) -> Problem {
        let n = self.n();
        let wide = |row: &[f64]| {
            let mut wide = [0.0; MAX_VARIABLES];
            wide[..n].copy_from_slice(row);
            wide
        };
        let mut ours = Problem::new(n);
        for i in 0..n {
            ours.hessian[i] = wide(&self.hessian[i * n..][..n]);
        }
        (ours.gradient, ours.lower, ours.upper) = (wide(&self.gradient), wide(&self.lower), wide(&self.upper));
        for (row, least) in self.a.chunks_exact(n).zip(&self.b) {
            ours.push(&wide(row), *least).expect("as many rows as the filter has");
        }
        ours
    }

    /// What bound in the program before, in terms of this one: rows are found again by their directions, as the filter finds them by their names.
    pub fn carried(&self, before: &Self, active: &Active) -> Active {
        let (n, mut guess) = (self.n(), Active::default());
        if n != before.n() {
            return guess;
        }
        let row = |p: &Self, k: usize| -> Vec<f64> { p.a[k * n..][..n].to_vec() };
        for (bind, _) in active.iter() {
            let Bind::Row(k) = bind else {
                guess.guess(bind);
                continue;
            };
            let old = row(before, k);
            let alike = (0..self.b.len()).map(|k| (cosine(&old, &row(self, k)), k)).max_by(|x, y| x.0.total_cmp(&y.0));
            if let Some((_, k)) = alike.filter(|(cosine, _)| *cosine > SAME) {
                guess.guess(Bind::Row(k));
            }
        }
        guess
    }

    /// Whether it is of the tick after, or at least like it.
    pub fn follows(&self, before: &Self) -> bool {
        self.n() == before.n() && cosine(&self.gradient, &before.gradient) > SAME
    }

    /// The most by which a point violates a constraint.
    pub fn beyond(&self, x: &[f64]) -> f64 {
        let along = |row: &[f64]| row.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
        let (rows, limits) = self.constraints();
        rows.chunks_exact(self.n()).zip(&limits).map(|(row, most)| along(row) - most).fold(0.0, f64::max)
    }
}

fn cosine(a: &[f64], b: &[f64]) -> f64 {
    let dot = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>();
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

pub fn write(path: &str, programs: &[Program]) {
    let mut numbers = Vec::new();
    for p in programs {
        numbers.extend([p.n() as f64, p.b.len() as f64]);
        [&p.hessian, &p.gradient, &p.lower, &p.upper, &p.a, &p.b].into_iter().for_each(|part| numbers.extend(part));
    }
    std::fs::write(path, numbers.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
        .expect("the file is writable");
}

pub fn read(path: &str) -> Vec<Program> {
    let bytes = std::fs::read(path).expect("the file is readable");
    let mut numbers = bytes.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap()));
    let mut programs = Vec::new();
    while let Some(n) = numbers.next() {
        let (n, m) = (n as usize, numbers.next().unwrap() as usize);
        let mut take = |count: usize| numbers.by_ref().take(count).collect::<Vec<f64>>();
        let (hessian, gradient, lower, upper) = (take(n * n), take(n), take(n), take(n));
        let (a, b) = (take(m * n), take(m));
        programs.push(Program { hessian, gradient, lower, upper, a, b, units: vec![1.0; n] });
    }
    programs
}

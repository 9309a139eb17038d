//! A problem's numbers, in fixed arrays.

use crate::{
    MAX_ROWS, MAX_VARIABLES,
    vector::{Vector, ZERO},
};

/// There is no room for another row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// Minimise `1/2 x'Hx + g'x` subject to bounds and rows `a'x >= b`. About 24 kB: make one and reuse it.
#[derive(Debug, Clone)]
pub struct Problem {
    variables: usize,
    /// `H`, symmetric; only the upper triangle (column >= row) of the first `variables` rows is read.
    pub hessian: [Vector; MAX_VARIABLES],
    /// `g`; entries beyond the variables are not read.
    pub gradient: Vector,
    /// Smallest values; negative infinity for none.
    pub lower: Vector,
    /// Largest values; infinity for none.
    pub upper: Vector,
    rows: usize,
    normals: [Vector; MAX_ROWS],
    limits: [f64; MAX_ROWS],
}

impl Problem {
    /// `H = I`, `g = 0`, no bounds, no rows. More than [`MAX_VARIABLES`] variables, or none, make a problem that is malformed.
    pub fn new(variables: usize) -> Self {
        let mut hessian = [ZERO; MAX_VARIABLES];
        for (i, row) in hessian.iter_mut().enumerate() {
            row.iter_mut().skip(i).take(1).for_each(|x| *x = 1.0);
        }
        Self {
            variables,
            hessian,
            gradient: ZERO,
            lower: [f64::NEG_INFINITY; MAX_VARIABLES],
            upper: [f64::INFINITY; MAX_VARIABLES],
            rows: 0,
            normals: [ZERO; MAX_ROWS],
            limits: [0.0; MAX_ROWS],
        }
    }

    /// Starts over with other variables: no bounds, no rows; `H` and `g` are left for the caller to write.
    pub fn reset(&mut self, variables: usize) {
        (self.variables, self.rows) = (variables, 0);
        self.lower = [f64::NEG_INFINITY; MAX_VARIABLES];
        self.upper = [f64::INFINITY; MAX_VARIABLES];
    }

    /// How many variables there are.
    pub fn variables(&self) -> usize {
        self.variables
    }

    /// Adds the row `normal'x >= limit`; entries of the normal beyond the variables are not read.
    pub fn push(&mut self, normal: &Vector, limit: f64) -> Result<(), Full> {
        let slot = self.normals.get_mut(self.rows).zip(self.limits.get_mut(self.rows));
        let (n, l) = slot.ok_or(Full)?;
        (*n, *l) = (*normal, limit);
        n.iter_mut().skip(self.variables).for_each(|x| *x = 0.0);
        self.rows += 1;
        Ok(())
    }

    /// The rows: normal and limit.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = (&Vector, f64)> {
        self.normals.iter().zip(self.limits.iter().copied()).take(self.rows)
    }

    /// A row: normal and limit.
    pub fn row(&self, row: usize) -> Option<(&Vector, f64)> {
        let limit = self.limits.get(row).filter(|_| row < self.rows)?;
        Some((self.normals.get(row)?, *limit))
    }

    /// Changes a row's limit; `false` where there is no such row.
    pub fn set_limit(&mut self, row: usize, limit: f64) -> bool {
        let slot = self.limits.get_mut(row).filter(|_| row < self.rows);
        slot.map(|l| *l = limit).is_some()
    }
}

//! Vectors of fixed length; entries beyond a problem's variables are zero. Four sums at a time, so that the compiler can use
//! vector instructions without changing the order of any sum.

use crate::MAX_VARIABLES;

/// A point, gradient or row normal.
pub type Vector = [f64; MAX_VARIABLES];

pub(crate) const ZERO: Vector = [0.0; MAX_VARIABLES];

pub(crate) fn at(v: &[f64], i: usize) -> f64 {
    v.get(i).copied().unwrap_or(0.0)
}

#[inline]
pub(crate) fn dot(a: &Vector, b: &Vector) -> f64 {
    let mut sums = [0.0; 4];
    for (x, y) in a.chunks_exact(4).zip(b.chunks_exact(4)) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += x * y;
        }
    }
    let [s0, s1, s2, s3] = sums;
    (s0 + s2) + (s1 + s3)
}

/// Sum of `w a^2`.
#[inline]
pub(crate) fn weighed(a: &Vector, w: &Vector) -> f64 {
    let mut squares = *a;
    squares.iter_mut().zip(w).for_each(|(a, w)| *a *= w);
    dot(a, &squares)
}

/// `y += t x`.
#[inline]
pub(crate) fn add(y: &mut Vector, t: f64, x: &Vector) {
    for (y, x) in y.iter_mut().zip(x) {
        *y += t * x;
    }
}

/// Rotates a pair: `(a, b) <- (c a + s b, c b - s a)`.
#[inline]
pub(crate) fn rotate(a: &mut Vector, b: &mut Vector, c: f64, s: f64) {
    for (a, b) in a.iter_mut().zip(b) {
        (*a, *b) = (c * *a + s * *b, c * *b - s * *a);
    }
}

pub(crate) fn largest(v: &[f64]) -> f64 {
    v.iter().fold(0.0, |m, x| x.abs().max(m))
}

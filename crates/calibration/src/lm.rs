//! Levenberg-Marquardt for a handful of parameters that need not be a vector: poses step along their tangents.

use nalgebra::{Const, SMatrix, SVector, ToTypenum};

/// The squared error at a point, with half its gradient and the Gauss-Newton matrix.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Normal<const N: usize> {
    /// Sum of squares.
    pub(crate) cost: f64,
    /// Sum of `J^T J`.
    pub(crate) h: SMatrix<f64, N, N>,
    /// Sum of `J^T r`, for residuals r that a step d changes by `J d`.
    pub(crate) g: SVector<f64, N>,
}

impl<const N: usize> Normal<N> {
    pub(crate) fn zero() -> Self {
        Self { cost: 0.0, h: SMatrix::zeros(), g: SVector::zeros() }
    }

    /// Adds one two-dimensional residual.
    pub(crate) fn add(&mut self, residual: nalgebra::Vector2<f64>, jacobian: &SMatrix<f64, 2, N>, weight: f64) {
        self.cost += weight * residual.norm_squared();
        self.h += jacobian.transpose() * jacobian * weight;
        self.g += jacobian.transpose() * residual * weight;
    }
}

/// Steps tried at most.
const MAX_STEPS: usize = 100;
/// Damping beyond which no step helps.
const MAX_DAMPING: f64 = 1e12;

/// Walks from `start` to a minimum. `evaluate` answers `None` where the error is not defined; such steps are not taken.
pub(crate) fn minimise<X, const N: usize>(
    start: X,
    evaluate: impl Fn(&X) -> Option<Normal<N>>,
    step: impl Fn(&X, &SVector<f64, N>) -> X,
) -> Option<(X, Normal<N>)>
where
    Const<N>: ToTypenum,
{
    let (mut at, mut damping) = (start, 1e-4);
    let mut here = evaluate(&at)?;
    for _ in 0..MAX_STEPS {
        let mut damped = here.h;
        for i in 0..N {
            damped[(i, i)] += damping * here.h[(i, i)].max(1e-12);
        }
        let delta = damped.cholesky().map(|c| c.solve(&-here.g));
        let next = delta.map(|d| step(&at, &d)).and_then(|x| evaluate(&x).map(|n| (x, n)));
        match next {
            Some((x, n)) if n.cost <= here.cost => {
                let gain = here.cost - n.cost;
                (at, here) = (x, n);
                damping = (damping * 0.1).max(1e-12);
                if gain <= 1e-12 * here.cost {
                    break;
                }
            }
            _ if damping > MAX_DAMPING => break,
            _ => damping *= 10.0,
        }
    }
    Some((at, here))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Matrix2, Vector2};

    #[test]
    fn rosenbrocks_valley_is_walked_to_its_end() {
        // Residuals 10 (y - x^2) and 1 - x: the minimum is 0 at (1, 1).
        let evaluate = |p: &Vector2<f64>| {
            let mut n = Normal::zero();
            let r = Vector2::new(10.0 * (p.y - p.x * p.x), 1.0 - p.x);
            n.add(r, &Matrix2::new(-20.0 * p.x, 10.0, -1.0, 0.0), 1.0);
            Some(n)
        };
        let (at, normal) = minimise(Vector2::new(-1.2, 1.0), evaluate, |p, d| p + d).unwrap();
        assert!((at - Vector2::new(1.0, 1.0)).norm() < 1e-6 && normal.cost < 1e-12, "{at}");
    }

    #[test]
    fn a_step_to_where_nothing_is_defined_is_not_taken() {
        // sqrt-like: residual ln(x) is defined for x > 0 only; a full step from 4 would land at -1.5.
        let evaluate = |x: &f64| {
            (*x > 0.0).then(|| {
                let mut n = Normal::<1>::zero();
                n.add(Vector2::new(x.ln(), 0.0), &SMatrix::from_column_slice(&[1.0 / x, 0.0]), 1.0);
                n
            })
        };
        let (at, _) = minimise(4.0, evaluate, |x, d| x + d[0]).unwrap();
        assert!((at - 1.0).abs() < 1e-6, "{at}");
    }
}

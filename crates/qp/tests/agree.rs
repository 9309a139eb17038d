//! Another solver of another kind (Clarabel, interior point) finds the same minimisers.
#![allow(clippy::unwrap_used)]

mod support;

use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT, SolverStatus},
};
use proctor_qp::{Active, Outcome, Problem, Solver};
use support::{Kind, problem};

/// `None` where it does not vouch for its answer.
fn by_clarabel(p: &Problem) -> Option<Vec<f64>> {
    let n = p.variables();
    let (mut rows, mut limits) = (Vec::new(), Vec::new());
    // G x <= h.
    for i in 0..n {
        for (bound, sign) in [(p.lower[i], -1.0), (p.upper[i], 1.0)] {
            if bound.is_finite() {
                let mut row = vec![0.0; n];
                row[i] = sign;
                rows.push(row);
                limits.push(sign * bound);
            }
        }
    }
    for (a, b) in p.rows() {
        rows.push(a[..n].iter().map(|x| -x).collect());
        limits.push(-b);
    }
    let upper = |i: usize, j: usize| if i <= j { p.hessian[i][j] } else { 0.0 };
    let h: Vec<Vec<f64>> = (0..n).map(|i| (0..n).map(|j| upper(i, j)).collect()).collect();
    let settings = DefaultSettings {
        verbose: false,
        tol_gap_abs: 1e-12,
        tol_gap_rel: 1e-12,
        tol_feas: 1e-12,
        max_iter: 200,
        ..DefaultSettings::default()
    };
    let g = if rows.is_empty() { CscMatrix::zeros((0, n)) } else { CscMatrix::from(&rows) };
    let cones = [NonnegativeConeT(limits.len())];
    let mut solver = DefaultSolver::new(&CscMatrix::from(&h), &p.gradient[..n], &g, &limits, &cones, settings).unwrap();
    solver.solve();
    (solver.solution.status == SolverStatus::Solved).then_some(solver.solution.x)
}

#[test]
fn clarabel_finds_the_same_points_to_a_millionth() {
    for kind in [Kind::Ordinary, Kind::Repeated, Kind::Corner, Kind::Narrow] {
        let mut compared = 0;
        for seed in 0..400 {
            let p = problem(kind, seed);
            let Outcome::Solved(ours) = Solver::new().solve(&p, &Active::default()) else {
                panic!("{kind:?} {seed} was not solved");
            };
            let Some(theirs) = by_clarabel(&p) else { continue };
            compared += 1;
            for (i, x) in theirs.iter().enumerate() {
                let off = (ours.x[i] - x).abs();
                assert!(off < 1e-6 * (1.0 + x.abs()), "{kind:?} {seed}: variable {i} off by {off:e}");
            }
        }
        assert!(compared > 300, "{kind:?}: {compared} compared");
    }
}

//! Solves recorded programs with our solver and its peers, natively, on one thread, and says how long each took, how often its status was
//! right, and how far its answers are from quadprog's. `qp-compare FILE`; see `record_programs` for the file.
//!
//! Active-set methods get the program as it was recorded; Clarabel and OSQP, whose tolerances are of gaps and residuals, get it scaled.
//! Scaling and laying matrices out as a peer wants them are not counted; set-up and solve are, nothing being kept from the program before.

mod program;

use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT, SolverStatus},
};
use ndarray::ArrayView;
use proctor_qp::{Active, Outcome, Solver};
use program::Program;
use std::time::Instant;

const ROUNDS: usize = 5;

/// The seconds it took, and the answer, if there is one.
type Answer = (f64, Option<Vec<f64>>);

fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let begin = Instant::now();
    let done = work();
    (begin.elapsed().as_secs_f64(), done)
}

fn by_ours(p: &Program, solver: &mut Solver, guess: &mut Active) -> Answer {
    let problem = p.ours();
    let (took, outcome) = timed(|| solver.solve(&problem, guess));
    let Outcome::Solved(solution) = outcome else { return (took, None) };
    *guess = solution.active;
    (took, Some(solution.x[..p.n()].to_vec()))
}

fn by_quadprog(p: &Program) -> Answer {
    let (mut hessian, (rows, limits)) = (p.hessian.clone(), p.constraints());
    let (took, solved) =
        timed(|| quadprog::solve_qp(&mut hessian, &p.gradient, &rows, &limits, 0, false).map(|s| s.sol.to_vec()));
    (took, solved.ok())
}

fn by_quadprogpp(p: &Program) -> Answer {
    let (n, (rows, limits)) = (p.n(), p.constraints());
    let minus_rows =
        ArrayView::from_shape((limits.len(), n), &rows).unwrap().t().mapv(|x| -x).as_standard_layout().into_owned();
    let (hessian, gradient) = (ArrayView::from_shape((n, n), &p.hessian).unwrap(), ArrayView::from(&p.gradient));
    let constraints = quadprogpp::Constraints::some(minus_rows, ArrayView::from(&limits));
    let (took, solved) = timed(|| quadprogpp::solve(hessian, gradient, quadprogpp::Constraints::NONE, constraints));
    (took, solved.ok().map(|(x, _)| x))
}

fn by_clarabel(p: &Program, tolerance: f64) -> Answer {
    let (rows, limits) = p.constraints();
    let dense = |v: &[f64]| v.chunks_exact(p.n()).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let mut upper = dense(&p.hessian);
    upper.iter_mut().enumerate().for_each(|(i, row)| row[..i].fill(0.0));
    let (hessian, rows) = (CscMatrix::from(&upper), CscMatrix::from(&dense(&rows)));
    let settings = DefaultSettings {
        verbose: false,
        tol_gap_abs: tolerance,
        tol_gap_rel: tolerance,
        tol_feas: tolerance.max(1e-12),
        ..DefaultSettings::default()
    };
    let (took, solver) = timed(|| {
        let cones = [NonnegativeConeT(limits.len())];
        let mut solver = DefaultSolver::new(&hessian, &p.gradient, &rows, &limits, &cones, settings).unwrap();
        solver.solve();
        solver
    });
    (took, (solver.solution.status == SolverStatus::Solved).then(|| solver.solution.x.clone()))
}

fn by_osqp(p: &Program, tolerance: f64) -> Answer {
    let (n, m) = (p.n(), p.n() + p.b.len());
    let hessian = osqp::CscMatrix::from_row_iter(n, n, p.hessian.iter().copied()).into_upper_tri();
    let identity = (0..n * n).map(|at| f64::from(at / n == at % n));
    let rows = osqp::CscMatrix::from_row_iter(m, n, identity.chain(p.a.iter().copied()));
    let least = [&p.lower[..], &p.b].concat();
    let mut most = p.upper.clone();
    most.resize(m, f64::INFINITY);
    let settings = osqp::Settings::default()
        .verbose(false)
        .eps_abs(tolerance)
        .eps_rel(tolerance)
        .max_iter(100_000)
        .rho(10.0)
        .adaptive_rho_interval(Some(50))
        .scaling(None);
    timed(|| {
        let mut problem = osqp::Problem::new(&hessian, &p.gradient, &rows, &least, &most, &settings).unwrap();
        problem.solve().x().map(<[f64]>::to_vec)
    })
}

/// Answers in recorded units, and the least time of some rounds for each: the machine's other work is in few of them.
fn several(programs: &[Program], mut solve: impl FnMut(&Program) -> Answer) -> Vec<Answer> {
    let mut results: Vec<Answer> = vec![(f64::INFINITY, None); programs.len()];
    for _ in 0..ROUNDS {
        for (p, (least, answer)) in programs.iter().zip(&mut results) {
            let (took, x) = solve(p);
            (*least, *answer) = (least.min(took), x.map(|x| p.unscaled(&x)));
        }
    }
    results
}

fn report(name: &str, programs: &[Program], results: &[Answer], reference: &[Answer]) {
    let mut times: Vec<f64> = results.iter().map(|(t, _)| t * 1e6).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
    let (mut right, mut within, mut farthest, mut beyond) = (0, 0, 0.0f64, 0.0f64);
    for ((p, (_, answer)), (_, expected)) in programs.iter().zip(results).zip(reference) {
        right += usize::from(answer.is_some() == expected.is_some());
        if let (Some(x), Some(y)) = (answer, expected) {
            let size = y.iter().fold(1e-3, |m: f64, y| m.max(y.abs()));
            let off = x.iter().zip(y).map(|(x, y)| (x - y).abs() / size).fold(0.0, f64::max);
            within += usize::from(off <= 1e-6);
            farthest = farthest.max(off);
            beyond = beyond.max(p.beyond(x));
        }
    }
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {right} | {within} | {farthest:.1e} | {beyond:.1e} |",
        at(0.5),
        at(0.99),
        at(0.999),
    );
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: qp-compare FILE");
    let recorded = program::read(&path);
    let scaled: Vec<Program> = recorded.iter().map(Program::scaled).collect();
    let sizes = |f: fn(&Program) -> usize| {
        let all = recorded.iter().map(f);
        (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
    };
    let ((n0, n1), (m0, m1)) = (sizes(Program::n), sizes(|p| 2 * p.n() + p.b.len()));
    println!("{} programs, {n0} to {n1} variables, {m0} to {m1} constraints; microseconds\n", recorded.len());
    println!(
        "| solver | median | p99 | p99.9 | right status | within 1e-6 | farthest off (relative) | most beyond a limit |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let reference = several(&recorded, by_quadprog);
    let (mut solver, mut guess) = (Solver::new(), Active::default());
    let say = |name: &str, results: &[Answer]| report(name, &recorded, results, &reference);
    say("ours, cold", &several(&recorded, |p| by_ours(p, &mut solver, &mut Active::default())));
    say("ours, warm", &several(&recorded, |p| by_ours(p, &mut solver, &mut guess)));
    say("quadprog 0.1 (crate)", &reference);
    say("QuadProg++ (crate quadprogpp 0.1)", &several(&recorded, by_quadprogpp));
    for tolerance in [1e-9, 1e-14] {
        say(&format!("Clarabel 0.11, {tolerance:.0e}"), &several(&scaled, |p| by_clarabel(p, tolerance)));
    }
    for tolerance in [1e-6, 1e-9, 1e-10] {
        say(&format!("OSQP 0.6, {tolerance:.0e}"), &several(&scaled, |p| by_osqp(p, tolerance)));
    }
}

//! Solves recorded programs with our solver and its peers, natively, on one thread, and says how long each took, how often its status was
//! right, and how far its answers are from quadprog's.
//!
//! `qp-compare FILE [SOLVER...]`: with the solvers whose name begins so, or all; see `record_programs` for the file.
//! `qp-compare pad FILE CONSTRAINTS TO`: writes the same programs with random rows added until they have so many constraints.
//!
//! Active-set methods get the program as it was recorded; Clarabel and OSQP, whose tolerances are of gaps and residuals, get it scaled.
//! Scaling and laying matrices out as a peer wants them are not counted; set-up and solve are, nothing being kept from the program before.

mod pad;
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

fn by_ours(p: &Program, solver: &mut Solver, guess: &Active) -> (Answer, Active) {
    let problem = p.ours();
    let (took, outcome) = timed(|| solver.solve(&problem, guess));
    let Outcome::Solved(solution) = outcome else { return ((took, None), Active::default()) };
    ((took, Some(solution.x[..p.n()].to_vec())), solution.active)
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

fn pad(path: &str, constraints: usize, to: &str) {
    let recorded = program::read(path);
    let solved = |p: &Program| by_quadprog(p).1.expect("a recorded program has a solution");
    let (mut seed, mut programs) = (0, Vec::new());
    for (i, p) in recorded.iter().enumerate() {
        seed += u64::from(i > 0 && !p.follows(&recorded[i - 1]));
        // The feasible point nearest to rest.
        let inside = solved(&Program { gradient: vec![0.0; p.n()], ..p.clone() });
        programs.push(pad::padded(p, constraints, seed, [&solved(p), &inside]));
    }
    program::write(to, &programs);
}

/// Least, median and most.
fn spread(numbers: impl Iterator<Item = usize>) -> String {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    format!("{} to {} (median {})", numbers[0], numbers[numbers.len() - 1], numbers[numbers.len() / 2])
}

fn compare(path: &str, chosen: &[String]) {
    let recorded = program::read(path);
    let scaled: Vec<Program> = recorded.iter().map(Program::scaled).collect();
    let mut solver = Solver::new();
    let binding = spread(recorded.iter().map(|p| by_ours(p, &mut solver, &Active::default()).1.iter().count()));
    let (variables, constraints) =
        (spread(recorded.iter().map(Program::n)), spread(recorded.iter().map(|p| 2 * p.n() + p.b.len())));
    println!(
        "{} programs, {variables} variables, {constraints} constraints, of which {binding} bind\n",
        recorded.len()
    );
    println!(
        "| solver | median | p99 | p99.9 | right status | within 1e-6 | farthest off (relative) | most beyond a limit |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let reference = several(&recorded, by_quadprog);
    let say = |name: &str, programs: &[Program], solve: &mut dyn FnMut(&Program) -> Answer| {
        if chosen.is_empty() || chosen.iter().any(|c| name.starts_with(c.as_str())) {
            report(name, &recorded, &several(programs, solve), &reference);
        }
    };
    say("ours, cold", &recorded, &mut |p| by_ours(p, &mut solver, &Active::default()).0);
    let (mut before, mut active) = (recorded[0].clone(), Active::default());
    say("ours, warm", &recorded, &mut |p| {
        let answer;
        (answer, active) = by_ours(p, &mut solver, &p.carried(&before, &active));
        before.clone_from(p);
        answer
    });
    report("quadprog 0.1 (crate)", &recorded, &reference, &reference);
    say("QuadProg++ (crate quadprogpp 0.1)", &recorded, &mut by_quadprogpp);
    for tolerance in [1e-9, 1e-14] {
        say(&format!("Clarabel 0.11, {tolerance:.0e}"), &scaled, &mut |p| by_clarabel(p, tolerance));
    }
    for tolerance in [1e-6, 1e-9, 1e-10] {
        say(&format!("OSQP 0.6, {tolerance:.0e}"), &scaled, &mut |p| by_osqp(p, tolerance));
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["pad", path, constraints, to] => pad(path, constraints.parse().expect("a number"), to),
        [path, ..] => compare(path, &args[1..]),
        [] => panic!("usage: qp-compare FILE [SOLVER...] | pad FILE CONSTRAINTS TO"),
    }
}

//! Solves recorded programs with our solver, the quadprog crate and Clarabel, natively, on one thread, and says how long each took, how
//! often its status was right, and how far its answers are from quadprog's. `qp-compare FILE`; see `record_programs` for the file.

use clarabel::{
    algebra::CscMatrix,
    solver::{DefaultSettings, DefaultSolver, IPSolver, NonnegativeConeT, SolverStatus},
};
use proctor_qp::{Active, MAX_VARIABLES, Outcome, Problem, Solver};
use std::time::Instant;

struct Program {
    n: usize,
    hessian: Vec<f64>,
    gradient: Vec<f64>,
    /// `G x <= h`, bounds included, row by row.
    rows: Vec<f64>,
    limits: Vec<f64>,
    ours: Problem,
}

/// An answer, or that there is none.
type Answer = Result<Vec<f64>, String>;

fn read(path: &str) -> Vec<Program> {
    let bytes = std::fs::read(path).expect("the file is readable");
    let mut numbers = bytes.chunks_exact(8).map(|c| f64::from_le_bytes(c.try_into().unwrap()));
    let mut programs = Vec::new();
    while let Some(n) = numbers.next() {
        let (n, m) = (n as usize, numbers.next().unwrap() as usize);
        let mut take = |count: usize| numbers.by_ref().take(count).collect::<Vec<f64>>();
        let (hessian, gradient, lower, upper) = (take(n * n), take(n), take(n), take(n));
        let (a, b) = (take(m * n), take(m));
        let mut ours = Problem::new(n);
        for i in 0..n {
            ours.hessian[i] = [0.0; MAX_VARIABLES];
            ours.hessian[i][..n].copy_from_slice(&hessian[i * n..][..n]);
        }
        ours.gradient[..n].copy_from_slice(&gradient);
        ours.lower[..n].copy_from_slice(&lower);
        ours.upper[..n].copy_from_slice(&upper);
        let (mut rows, mut limits) = (Vec::new(), Vec::new());
        for i in 0..n {
            for (sign, bound) in [(-1.0, lower[i]), (1.0, upper[i])] {
                rows.extend((0..n).map(|j| if i == j { sign } else { 0.0 }));
                limits.push(sign * bound);
            }
        }
        for (a, b) in a.chunks_exact(n).zip(&b) {
            let mut row = [0.0; MAX_VARIABLES];
            row[..n].copy_from_slice(a);
            ours.push(&row, *b).expect("as many rows as the filter has");
            rows.extend(a.iter().map(|x| -x));
            limits.push(-b);
        }
        programs.push(Program { n, hessian, gradient, rows, limits, ours });
    }
    programs
}

fn by_clarabel(p: &Program) -> (f64, Answer) {
    // Filling the sparse matrices is not counted: a caller could build them directly.
    let dense = |v: &[f64], columns: usize| v.chunks_exact(columns).map(<[f64]>::to_vec).collect::<Vec<_>>();
    let mut upper = dense(&p.hessian, p.n);
    upper.iter_mut().enumerate().for_each(|(i, row)| row[..i].fill(0.0));
    let (h, g) = (CscMatrix::from(&upper), CscMatrix::from(&dense(&p.rows, p.n)));
    let settings = DefaultSettings {
        verbose: false,
        tol_gap_abs: 1e-12,
        tol_gap_rel: 1e-12,
        tol_feas: 1e-12,
        ..DefaultSettings::default()
    };
    let begin = Instant::now();
    let cones = [NonnegativeConeT(p.limits.len())];
    let mut solver = DefaultSolver::new(&h, &p.gradient, &g, &p.limits, &cones, settings).unwrap();
    solver.solve();
    let took = begin.elapsed().as_secs_f64();
    let answer = match solver.solution.status {
        SolverStatus::Solved => Ok(solver.solution.x.clone()),
        other => Err(format!("{other:?}")),
    };
    (took, answer)
}

fn by_quadprog(p: &Program) -> (f64, Answer) {
    let mut q = p.hessian.clone();
    let begin = Instant::now();
    let solved = quadprog::solve_qp(&mut q, &p.gradient, &p.rows, &p.limits, 0, false);
    let took = begin.elapsed().as_secs_f64();
    (took, solved.map(|s| s.sol.to_vec()).map_err(|e| format!("{e:?}")))
}

fn by_ours(p: &Program, solver: &mut Solver, guess: &mut Active, warm: bool) -> (f64, Answer) {
    let with = if warm { *guess } else { Active::default() };
    let begin = Instant::now();
    let outcome = solver.solve(&p.ours, &with);
    let took = begin.elapsed().as_secs_f64();
    let answer = match outcome {
        Outcome::Solved(s) => {
            *guess = s.active;
            Ok(s.x[..p.n].to_vec())
        }
        other => Err(format!("{other:?}")),
    };
    (took, answer)
}

/// By how much a point violates the constraints, and its cost.
fn quality(p: &Program, x: &[f64]) -> (f64, f64) {
    let dot = |a: &[f64]| a.iter().zip(x).map(|(a, x)| a * x).sum::<f64>();
    let beyond = p.rows.chunks_exact(p.n).zip(&p.limits).map(|(a, b)| dot(a) - b).fold(0.0, f64::max);
    let curved: f64 = p.hessian.chunks_exact(p.n).zip(x).map(|(row, x)| x * dot(row)).sum();
    (beyond, curved / 2.0 + dot(&p.gradient))
}

fn report(name: &str, programs: &[Program], results: &[(f64, Answer)], reference: &[Answer]) {
    let mut times: Vec<f64> = results.iter().map(|(t, _)| t * 1e6).collect();
    times.sort_by(f64::total_cmp);
    let at = |part: f64| times[((times.len() as f64 * part) as usize).min(times.len() - 1)];
    let (mut right, mut off, mut beyond) = (0, 0.0f64, 0.0f64);
    for ((p, (_, answer)), expected) in programs.iter().zip(results).zip(reference) {
        right += usize::from(answer.is_ok() == expected.is_ok());
        if let (Ok(x), Ok(y)) = (answer, expected) {
            let size = y.iter().fold(1e-3, |m: f64, y| m.max(y.abs()));
            off = x.iter().zip(y).map(|(x, y)| (x - y).abs() / size).fold(off, f64::max);
            beyond = beyond.max(quality(p, x).0);
        }
    }
    println!(
        "| {name} | {:.1} | {:.1} | {:.1} | {right} of {} | {off:.1e} | {beyond:.1e} |",
        at(0.5),
        at(0.99),
        at(0.999),
        times.len()
    );
}

fn main() {
    let path = std::env::args().nth(1).expect("usage: qp-compare FILE");
    let programs = read(&path);
    let sizes = |f: fn(&Program) -> usize| {
        let all = programs.iter().map(f);
        (all.clone().min().unwrap_or(0), all.max().unwrap_or(0))
    };
    let ((n0, n1), (m0, m1)) = (sizes(|p| p.n), sizes(|p| p.limits.len()));
    println!("{} programs, {n0} to {n1} variables, {m0} to {m1} constraints; microseconds\n", programs.len());
    println!("| solver | median | p99 | p99.9 | right status | farthest off (relative) | most beyond a limit |");
    println!("|---|---|---|---|---|---|---|");
    // One round to warm the caches, one that counts, solver by solver.
    let (mut solver, mut guess) = (Solver::new(), Active::default());
    let mut rounds = |warm: bool| {
        programs.iter().for_each(|p| drop(by_ours(p, &mut solver, &mut guess, warm)));
        programs.iter().map(|p| by_ours(p, &mut solver, &mut guess, warm)).collect::<Vec<_>>()
    };
    let (cold, warm) = (rounds(false), rounds(true));
    let twice = |f: fn(&Program) -> (f64, Answer)| {
        programs.iter().for_each(|p| drop(f(p)));
        programs.iter().map(f).collect::<Vec<_>>()
    };
    let (quadprog, clarabel) = (twice(by_quadprog), twice(by_clarabel));
    let reference: Vec<Answer> = quadprog.iter().map(|(_, a)| a.clone()).collect();
    report("ours, cold", &programs, &cold, &reference);
    report("ours, warm", &programs, &warm, &reference);
    report("quadprog 0.1 (crate)", &programs, &quadprog, &reference);
    report("Clarabel 0.11", &programs, &clarabel, &reference);
}

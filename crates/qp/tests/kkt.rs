//! Every answer is right: minimisers satisfy the conditions of optimality, checked by other arithmetic; what has no solution is said to
//! have none; a guess changes the way, not the answer.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_qp::{Active, Bind, Outcome, Problem, Solution, Solver};
use proptest::{
    prelude::*,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use support::{Kind, Rng, broken, problem};

fn each(cases: u32, fact: impl Fn(Kind, u64) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let kinds = proptest::sample::select(Kind::ALL.to_vec());
    runner.run(&(kinds, any::<u64>().no_shrink()), |(kind, seed)| fact(kind, seed)).unwrap();
}

fn solved(p: &Problem, guess: &Active) -> Option<Solution> {
    match Solver::new().solve(p, guess) {
        Outcome::Solved(s) => Some(s),
        _ => None,
    }
}

#[test]
fn a_solution_satisfies_the_conditions_of_optimality_and_there_is_one_whenever_there_can_be() {
    each(20_000, |kind, seed| {
        let p = problem(kind, seed);
        match (Solver::new().solve(&p, &Active::default()), kind) {
            (Outcome::Infeasible, Kind::Impossible) => {}
            (Outcome::Solved(s), k) if k != Kind::Impossible => {
                let found = broken(&p, &s);
                prop_assert!(found.is_empty(), "{:?} {}: {:?}", kind, seed, found);
            }
            (other, _) => prop_assert!(false, "{:?} {}: {:?}", kind, seed, other),
        }
        Ok(())
    });
}

#[test]
fn a_guess_good_or_bad_changes_the_way_and_not_the_answer() {
    each(5_000, |kind, seed| {
        let p = problem(kind, seed);
        let cold = solved(&p, &Active::default());
        let mut r = Rng(seed ^ 1);
        let mut wild = Active::default();
        for _ in 0..r.below(25) {
            let i = r.below(130);
            wild.guess([Bind::Lower(i % 22), Bind::Upper(i % 22), Bind::Row(i)][r.below(3)]);
        }
        for guess in [cold.map_or(wild, |s| s.active), wild] {
            let warm = solved(&p, &guess);
            prop_assert_eq!(warm.is_some(), cold.is_some(), "{:?} {}", kind, seed);
            let Some((warm, cold)) = warm.zip(cold) else { continue };
            let found = broken(&p, &warm);
            prop_assert!(found.is_empty(), "{:?} {}: {:?}", kind, seed, found);
            for i in 0..p.variables() {
                let unit = p.hessian[i][i].sqrt();
                let (off, size) = ((warm.x[i] - cold.x[i]).abs() * unit, 1.0 + cold.x[i].abs() * unit);
                prop_assert!(off < 1e-8 * size, "{:?} {}: variable {} off by {}", kind, seed, i, off);
            }
        }
        Ok(())
    });
}

#[test]
fn the_answer_as_a_guess_saves_every_step() {
    each(2_000, |kind, seed| {
        let p = problem(kind, seed);
        if matches!(kind, Kind::Ordinary) {
            let cold = solved(&p, &Active::default()).unwrap();
            prop_assert_eq!(solved(&p, &cold.active).unwrap().steps, 0);
        }
        Ok(())
    });
}

#[test]
fn a_guess_from_a_problem_like_this_one_saves_most_steps_and_a_wild_one_costs_few() {
    let (mut cold, mut warm, mut wild) = (0, 0, 0);
    for seed in 0..1_000 {
        let mut p = problem(Kind::Ordinary, seed);
        let before = solved(&p, &Active::default()).unwrap();
        let (n, mut r) = (p.variables(), Rng(seed ^ 1));
        p.gradient[..n].iter_mut().for_each(|g| *g += r.between(-0.3, 0.3));
        let mut any = Active::default();
        (0..n / 2).for_each(|_| any.guess(Bind::Row(r.below(100))));
        cold += solved(&p, &Active::default()).unwrap().steps;
        warm += solved(&p, &before.active).unwrap().steps;
        wild += solved(&p, &any).unwrap().steps;
    }
    assert!(
        4 * warm < cold && 10 * wild < 11 * cold,
        "steps: {cold} cold, {warm} from a good guess, {wild} from a wild one"
    );
}

#[test]
fn known_problems_have_their_known_answers() {
    // Goldfarb and Idnani 1983, section 5: minimise 6 x1 + 2 (x1^2 - x1 x2 + x2^2) with x1, x2 >= 0, x1 + x2 >= 2; x = (1/2, 3/2).
    let mut p = Problem::new(2);
    p.hessian[0][..2].copy_from_slice(&[4.0, -2.0]);
    p.hessian[1][..2].copy_from_slice(&[-2.0, 4.0]);
    p.gradient[0] = 6.0;
    p.lower[..2].fill(0.0);
    let mut sum = [0.0; 20];
    sum[..2].fill(1.0);
    p.push(&sum, 2.0).unwrap();
    let s = solved(&p, &Active::default()).unwrap();
    assert!((s.x[0] - 0.5).abs() < 1e-14 && (s.x[1] - 1.5).abs() < 1e-14, "{:?}", s.x);
    assert!(s.active.contains(Bind::Row(0)) && s.active.iter().count() == 1);
    assert!((s.active.iter().next().unwrap().1 - 5.0).abs() < 1e-13, "H x + g = (5, 5)");

    // Nothing binds: -H^-1 g.
    let mut p = Problem::new(3);
    p.gradient[..3].copy_from_slice(&[1.0, -2.0, 3.0]);
    assert_eq!(solved(&p, &Active::default()).unwrap().x[..3], [-1.0, 2.0, -3.0]);

    // A variable held by two equal bounds.
    (p.lower[1], p.upper[1]) = (0.25, 0.25);
    assert_eq!(solved(&p, &Active::default()).unwrap().x[..3], [-1.0, 0.25, -3.0]);
}

fn simple() -> Problem {
    let mut p = Problem::new(4);
    p.gradient[..4].fill(1.0);
    p.lower[..4].fill(-0.5);
    let mut a = [0.0; 20];
    a[..4].copy_from_slice(&[1.0, 2.0, 0.0, 0.5]);
    p.push(&a, 0.1).unwrap();
    p
}

#[test]
fn what_is_not_a_problem_is_said_to_be_malformed() {
    type Break = fn(&mut Problem, f64);
    let places: [Break; 6] = [
        |p, x| p.hessian[1][1] = x,
        |p, x| p.hessian[1][3] = x,
        |p, x| p.gradient[2] = x,
        |p, x| p.lower[0] = x,
        |p, x| p.upper[3] = -x,
        |p, x| _ = p.set_limit(0, x),
    ];
    for place in places {
        for x in [f64::NAN, f64::INFINITY] {
            let mut p = simple();
            place(&mut p, x);
            assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Malformed);
        }
    }
    let mut p = simple();
    let mut a = [0.0; 20];
    a[2] = f64::NAN;
    p.push(&a, 0.0).unwrap();
    assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Malformed);
    for n in [0, 21, usize::MAX] {
        assert_eq!(Solver::new().solve(&Problem::new(n), &Active::default()), Outcome::Malformed);
    }
    for diagonal in [0.0, -1.0] {
        let mut p = simple();
        p.hessian[2][2] = diagonal;
        assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Malformed);
    }
    // Indefinite with a positive diagonal.
    let mut p = simple();
    p.hessian[0][1] = 2.0;
    assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Malformed);
}

#[test]
fn infinite_bounds_and_rows_without_direction_are_no_constraints_unless_they_are_impossible() {
    let expected = solved(&simple(), &Active::default()).unwrap();
    let mut p = simple();
    p.push(&[0.0; 20], -1.0).unwrap();
    p.push(&[0.0; 20], 0.0).unwrap();
    let mut a = [0.0; 20];
    a[0] = 1.0;
    p.push(&a, f64::NEG_INFINITY).unwrap();
    assert_eq!(solved(&p, &Active::default()).unwrap().x, expected.x);
    p.push(&[0.0; 20], 1e-3).unwrap();
    assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Infeasible);
    let mut p = simple();
    (p.lower[0], p.upper[0]) = (0.2, 0.1);
    assert_eq!(Solver::new().solve(&p, &Active::default()), Outcome::Infeasible);
}

#[test]
fn there_is_room_for_128_rows_and_no_more() {
    let mut p = Problem::new(20);
    let a = [1.0; 20];
    assert!((0..128).all(|_| p.push(&a, -1.0).is_ok()));
    assert!(p.push(&a, -1.0).is_err());
    assert_eq!(p.rows().len(), 128);
    assert!(!p.set_limit(128, 0.0));
}

#[test]
fn too_few_steps_give_no_point() {
    let mut solver = Solver::new();
    solver.most = 0;
    assert_eq!(solver.solve(&simple(), &Active::default()), Outcome::TookTooLong);
    let mut longest = 0;
    for seed in 0..300 {
        let p = problem(Kind::Corner, seed);
        let needed = solved(&p, &Active::default()).unwrap().steps;
        longest = longest.max(needed);
        if let Some(less) = needed.checked_sub(1) {
            solver.most = less;
            assert_eq!(solver.solve(&p, &Active::default()), Outcome::TookTooLong);
        }
        solver.most = needed;
        assert!(matches!(solver.solve(&p, &Active::default()), Outcome::Solved(_)));
    }
    assert!(longest > 20, "some corners are hard: {longest}");
}

#[test]
fn the_same_problem_gives_the_same_bits_whatever_was_solved_before() {
    let mut used = Solver::new();
    for seed in 0..500 {
        let p = problem(Kind::ALL[seed as usize % Kind::ALL.len()], seed);
        let (a, b) = (used.solve(&p, &Active::default()), Solver::new().solve(&p, &Active::default()));
        assert_eq!(format!("{a:?}"), format!("{b:?}"));
    }
}

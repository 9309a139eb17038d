//! A solve, however it ends, makes no heap call.
#![allow(unsafe_code)]

mod support;

use proctor_qp::{Active, Outcome, Solver};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    sync::atomic::{AtomicU64, Ordering},
};
use support::{Kind, problem};

static CALLS: AtomicU64 = AtomicU64::new(0);

struct Counting;

// SAFETY: defers to the system allocator and only counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// One test in this file: the count is the process'.
#[test]
fn no_solve_uses_the_heap() {
    drop(std::hint::black_box(Vec::<u8>::with_capacity(9)));
    assert!(CALLS.load(Ordering::Relaxed) >= 2, "the count counts");
    let mut solver = Solver::new();
    let (mut solved, mut infeasible, mut cut, mut malformed) = (0, 0, 0, 0);
    for seed in 0..600 {
        let mut p = problem(Kind::ALL[seed as usize % Kind::ALL.len()], seed);
        solver.most = if seed % 5 == 0 { 3 } else { Solver::MOST };
        if seed % 7 == 0 {
            p.gradient[0] = f64::NAN;
        }
        let before = CALLS.load(Ordering::Relaxed);
        let outcome = solver.solve(&p, &Active::default());
        assert_eq!(CALLS.load(Ordering::Relaxed), before);
        match outcome {
            Outcome::Solved(_) => solved += 1,
            Outcome::Infeasible => infeasible += 1,
            Outcome::TookTooLong => cut += 1,
            Outcome::Malformed => malformed += 1,
        }
    }
    assert!(solved > 50 && infeasible > 20 && cut > 20 && malformed > 50, "{solved} {infeasible} {cut} {malformed}");
}

//! Small dense convex quadratic programs for real-time loops:
//!
//! minimise `1/2 x'Hx + g'x` subject to `lower <= x <= upper` and `a_i'x >= b_i`,
//!
//! with `H` symmetric positive definite, at most [`MAX_VARIABLES`] variables and [`MAX_ROWS`] rows. The method is the dual active-set
//! method of Goldfarb and Idnani (Mathematical Programming 27, 1983), which needs no feasible start and says so when there is none, with
//! a warm start from the constraints that were binding last time.
//!
//! Invariants: nothing here allocates, locks or panics; loops are bounded ([`Solver::most`]); whatever the numbers, including NaN, an
//! answer is a point that was checked against every constraint, or no point at all ([`Outcome`]). The same problem gives the same bits.
#![allow(clippy::large_stack_arrays, reason = "capacities are fixed, and a problem is made once, at start")]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod active;
mod factors;
mod problem;
mod solver;
mod vector;

pub use active::{Active, Bind};
pub use problem::{Full, Problem};
pub use solver::{Outcome, Solution, Solver};
pub use vector::Vector;

/// Most variables of a problem.
pub const MAX_VARIABLES: usize = 20;
/// Most rows of a problem, bounds apart.
pub const MAX_ROWS: usize = 128;

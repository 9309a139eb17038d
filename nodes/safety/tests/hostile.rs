//! Random and hostile inputs, a million ticks of them: nothing outside the constraints reaches an arm. `make soak` goes on from here.
#![allow(clippy::unwrap_used)]

mod support;

use support::attack::{attack, campaign};

/// Ticks of the test.
const STEPS: u64 = 1_000_000;
/// Distances are judged by brute force in every so many ticks of motion; limits in every one.
const DEAR: u64 = 5;

#[test]
fn no_violation_reaches_an_arm_in_a_million_steps() {
    let tally = campaign(1, DEAR, |steps| steps < STEPS);
    assert_eq!(tally.violations, Vec::<String>::new());
    assert_eq!(tally.steps, STEPS);
    assert!(tally.moving > STEPS / 20, "the attack must move arms to mean anything: {tally:?}");
    assert!(tally.executed > 0, "some motions must run to their end: {tally:?}");
}

#[test]
fn the_same_seed_gives_byte_identical_verdicts() {
    let text = |seed| format!("{:?}", attack(seed, 15_000, 50).verdicts).into_bytes();
    let (a, b, other) = (text(42), text(42), text(43));
    assert!(a.len() > 10_000, "something was said");
    assert_eq!(a, b);
    assert_ne!(a, other);
}

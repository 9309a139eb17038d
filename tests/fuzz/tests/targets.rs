//! Every target, on the same seeded damage each time.

use proctor_fuzz::{Target, heap, mutate::Mutator, targets};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// Inputs per target.
const INPUTS: usize = 20_000;

/// Whether a target accepts an input; on a panic, which bytes they were.
fn read(target: &Target, bytes: &[u8]) -> Result<bool, String> {
    catch_unwind(AssertUnwindSafe(|| heap::read(target, bytes)))
        .map_err(|_| format!("{} fails on: {}", target.name, bytes.escape_ascii()))
}

#[test]
fn every_target_accepts_its_seeds() {
    for target in targets() {
        for seed in (target.seeds)() {
            assert_eq!(read(&target, &seed), Ok(true), "{}: {}", target.name, seed.escape_ascii());
        }
    }
}

/// What each target makes of its damaged seeds; the first failure of each is told.
#[test]
fn no_damaged_input_breaks_what_its_reader_promises() {
    let attack = |(i, target): (usize, &Target)| {
        let seeds = (target.seeds)();
        let mut mutator = Mutator::new(i as u64);
        let mut accepted = 0;
        for n in 0..INPUTS {
            let input = mutator.damage(target.kind, &seeds[n % seeds.len()], &seeds, &[]);
            accepted += usize::from(read(target, &input)?);
        }
        println!("{}: {INPUTS} inputs, {accepted} accepted", target.name);
        let telling = accepted > 0 && accepted < INPUTS;
        if telling { Ok(()) } else { Err(format!("{}: {accepted} of {INPUTS} accepted proves nothing", target.name)) }
    };
    let failures: Vec<String> = targets().iter().enumerate().map(attack).filter_map(Result::err).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

//! What a seal costs: prints one JSON object, microseconds per message, medians of batches.
//!
//! `cargo run --release --example seal_cost`
#![allow(clippy::print_stdout)]

use proctor_seal::{RootSecret, SessionKey, Verifier, random_boot, random_session};
use proctor_types::{Decision, DecisionKind, Digest, OperatorId, ProposalId, Sealed, Stamp};
use std::{hint::black_box, time::Instant};

/// Messages per batch.
const BATCH: u32 = 1000;
/// Batches.
const BATCHES: usize = 101;

/// Median over batches of the time of one call, microseconds.
fn median(mut act: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let start = Instant::now();
            (0..BATCH).for_each(|_| act());
            start.elapsed().as_secs_f64() * 1e6 / f64::from(BATCH)
        })
        .collect();
    times.sort_by(f64::total_cmp);
    times.get(BATCHES / 2).copied().unwrap_or(f64::NAN)
}

fn main() {
    let (root, boot) = (RootSecret::random(), random_boot());
    let operator = OperatorId(1);
    let key = SessionKey::new(&root, operator, random_session(), Stamp::FIRST);
    let verifier = Verifier::new(root, boot);
    let (proposal, digest, kind) = (ProposalId(1), Digest::of(b"motion"), DecisionKind::Approve);
    let word = Decision { stamp: Stamp::FIRST, seq: 1, operator, proposal, digest, kind };
    let (good, forged) = (key.seal(boot, word), Sealed::bare(word));
    println!(
        "{{\"seal_us\": {:.2}, \"open_us\": {:.2}, \"refuse_us\": {:.2}}}",
        median(|| _ = black_box(key.seal(boot, black_box(word)))),
        median(|| _ = black_box(verifier.open(black_box(&good)))),
        median(|| _ = black_box(verifier.open(black_box(&forged)))),
    );
}

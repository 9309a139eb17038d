//! `make soak`: the hostile test for as long as you like. `SOAK_SECONDS` (default 60) or `SOAK_STEPS` ends it, `SOAK_SEED` (default 1) is the
//! first seed. Progress goes to standard error; the last line of standard output is a JSON object; fails if anything was violated.
#![allow(missing_docs, clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};
use support::attack::campaign;

/// A number from the environment; refuses what is no number.
fn number(name: &str) -> Result<Option<u64>, String> {
    match std::env::var(name) {
        Err(_) => Ok(None),
        Ok(text) if text.is_empty() => Ok(None),
        Ok(text) => text.parse().map(Some).map_err(|_| format!("{name} is {text:?}, expected a whole number")),
    }
}

fn main() -> ExitCode {
    match soak() {
        Ok(code) => code,
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::from(2)
        }
    }
}

fn soak() -> Result<ExitCode, String> {
    let (seconds, steps) = (number("SOAK_SECONDS")?, number("SOAK_STEPS")?);
    let first = number("SOAK_SEED")?.unwrap_or(1);
    let limit = Duration::from_secs(seconds.unwrap_or(60));
    let (start, shown) = (Instant::now(), AtomicU64::new(0));
    let tally = campaign(first, 1, |begun| {
        let (done, text) = if let Some(steps) = steps {
            (begun as f64 / steps as f64, format!("{begun} of {steps} steps"))
        } else {
            let (now, all) = (start.elapsed().as_secs_f64(), limit.as_secs_f64());
            (now / all, format!("{now:.0} of {all:.0} s, {begun} steps"))
        };
        if shown.swap(start.elapsed().as_secs(), Ordering::Relaxed) < start.elapsed().as_secs() {
            let filled = (40.0 * done.min(1.0)) as usize;
            eprint!("\r[{:<40}] {text}", "#".repeat(filled));
        }
        done < 1.0
    });
    eprintln!();
    tally.violations.iter().for_each(|violation| eprintln!("{violation}"));
    println!(
        r#"{{"steps":{},"violations":{},"executed":{},"moving_commands":{},"first_seed":{first}}}"#,
        tally.steps,
        tally.violations.len(),
        tally.executed,
        tally.moving
    );
    Ok(if tally.violations.is_empty() && tally.steps > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

//! `fuzz`: attacks targets for as long as there is time. `FUZZ_TARGET` names one (default: each in turn), `FUZZ_SECONDS` says how long
//! each (10), `FUZZ_SEED` with what randomness, `FUZZ_CORPUS` in which folder inputs that reach new code are kept for the next run.
//!
//! Ends with a line of JSON per target. An input that breaks a promise, or takes longer than [`LONGEST`], is written down and ends the run.

use proctor_fuzz::{Target, heap, mutate::Mutator, targets};
use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

#[global_allocator]
static ALLOCATOR: heap::Counting = heap::Counting;

/// Longest that an input may take.
const LONGEST: Duration = Duration::from_secs(10);
/// How many children an input has before the next takes its turn.
const CHILDREN: usize = 64;
/// Most inputs that are kept per target; later finds take the place of random earlier ones.
const MAX_POOL: usize = 4096;

/// The input being read, and how many have been: for the watchdog.
static READING: Mutex<Vec<u8>> = Mutex::new(Vec::new());
static EXECUTIONS: AtomicU64 = AtomicU64::new(0);

/// Whether an input reached something new, and the numbers compared while it was read; nothing of it without counters.
#[derive(Default)]
struct Feedback {
    #[cfg(fuzzing)]
    reached: proctor_fuzz::coverage::Reached,
}

impl Feedback {
    #[cfg(fuzzing)]
    fn run(&mut self, target: &Target, bytes: &[u8]) -> bool {
        proctor_fuzz::coverage::reset();
        heap::read(target, bytes);
        self.reached.take_in()
    }

    #[cfg(not(fuzzing))]
    #[expect(clippy::unused_self, reason = "without counters there is nothing to remember")]
    fn run(&mut self, target: &Target, bytes: &[u8]) -> bool {
        heap::read(target, bytes);
        false
    }

    #[cfg(fuzzing)]
    fn pairs(&mut self, target: &Target, bytes: &[u8]) -> Vec<(u64, u64)> {
        self.run(target, bytes);
        proctor_fuzz::coverage::pairs()
    }

    #[cfg(not(fuzzing))]
    #[expect(clippy::unused_self, reason = "without hooks there is nothing to compare")]
    fn pairs(&mut self, _: &Target, _: &[u8]) -> Vec<(u64, u64)> {
        Vec::new()
    }

    #[cfg(fuzzing)]
    fn places(&self) -> usize {
        self.reached.places
    }

    #[cfg(not(fuzzing))]
    #[expect(clippy::unused_self, reason = "without counters there is nothing to count")]
    fn places(&self) -> usize {
        0
    }
}

fn number(name: &str, default: u64) -> u64 {
    env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}

/// Writes the input being read down.
fn keep_evidence(name: &str) {
    let bytes = READING.lock().unwrap_or_else(PoisonError::into_inner);
    let path = Path::new("target/fuzz").join(format!("broken-{name}"));
    let kept = fs::create_dir_all("target/fuzz").and_then(|()| fs::write(&path, &*bytes));
    eprintln!("{name} breaks on {}: {}", path.display(), bytes.escape_ascii());
    if let Err(e) = kept {
        eprintln!("{}: {e}", path.display());
    }
}

/// Ends the program when the same input is read for too long.
fn watch(name: &'static str) {
    std::thread::spawn(move || {
        let mut last = (EXECUTIONS.load(Relaxed), Instant::now());
        loop {
            std::thread::sleep(LONGEST / 10);
            let now = EXECUTIONS.load(Relaxed);
            if now != last.0 {
                last = (now, Instant::now());
            } else if last.1.elapsed() > LONGEST {
                keep_evidence(name);
                std::process::exit(1);
            }
        }
    });
}

fn read(target: &Target, feedback: &mut Feedback, bytes: &[u8]) -> bool {
    bytes.clone_into(&mut READING.lock().unwrap_or_else(PoisonError::into_inner));
    EXECUTIONS.fetch_add(1, Relaxed);
    feedback.run(target, bytes)
}

/// Seeds, and what earlier runs found.
fn pool(target: &Target, folder: Option<&PathBuf>) -> Vec<Vec<u8>> {
    let mut pool = (target.seeds)();
    let found = folder.and_then(|f| fs::read_dir(f).ok()).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = found.map(|e| e.path()).collect();
    found.sort();
    pool.extend(found.iter().filter_map(|p| fs::read(p).ok()));
    pool
}

fn attack(target: &Target, seconds: u64, seed: u64) {
    let folder = env::var_os("FUZZ_CORPUS").map(|f| Path::new(&f).join(target.name));
    let (mut mutator, mut feedback) = (Mutator::new(seed), Feedback::default());
    let mut pool = pool(target, folder.as_ref());
    let begun = (Instant::now(), EXECUTIONS.load(Relaxed));
    for input in pool.clone() {
        read(target, &mut feedback, &input);
    }
    let mut turn = 0;
    while begun.0.elapsed() < Duration::from_secs(seconds) {
        // Every other turn goes to a recent find.
        let recent = pool.len() - 1 - mutator.below(pool.len().min(16));
        let parent = pool[if turn % 2 == 0 { recent } else { mutator.below(pool.len()) }].clone();
        turn += 1;
        let pairs = feedback.pairs(target, &parent);
        for _ in 0..CHILDREN {
            let child = mutator.damage(target.kind, &parent, &pool, &pairs);
            if read(target, &mut feedback, &child) {
                if let Some(folder) = &folder {
                    let name = folder.join(format!("{seed:x}-{:08}", EXECUTIONS.load(Relaxed)));
                    let _ = fs::create_dir_all(folder).and_then(|()| fs::write(name, &child));
                }
                if pool.len() < MAX_POOL {
                    pool.push(child);
                } else {
                    let place = mutator.below(pool.len());
                    pool[place] = child;
                }
            }
        }
    }
    let line = serde_json::json!({
        "target": target.name,
        "seconds": begun.0.elapsed().as_secs(),
        "executions": EXECUTIONS.load(Relaxed) - begun.1,
        "places_reached": feedback.places(),
        "inputs_kept": pool.len(),
        "guided": cfg!(fuzzing),
    });
    println!("{line}");
}

fn main() -> ExitCode {
    let (seconds, seed, wanted) = (number("FUZZ_SECONDS", 10), number("FUZZ_SEED", 1), env::var("FUZZ_TARGET").ok());
    let chosen: Vec<Target> = targets().into_iter().filter(|t| wanted.as_deref().is_none_or(|w| w == t.name)).collect();
    let Some(first) = chosen.first() else {
        eprintln!("no such target; there are: {}", targets().iter().map(|t| t.name).collect::<Vec<_>>().join(", "));
        return ExitCode::FAILURE;
    };
    watch(first.name);
    for target in &chosen {
        if std::panic::catch_unwind(|| attack(target, seconds, seed)).is_err() {
            keep_evidence(target.name);
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

//! What an input reached: the counters and compare hooks that `scripts/rustc-fuzz.sh` has LLVM put into the crates that read.
//!
//! LLVM calls the functions here by name: once at start with where its counters lie, and at each comparison with both sides.
#![expect(unsafe_code, reason = "LLVM's interface: counters in static memory, functions found by their C names")]

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Where the counters lie: address and length. One per program, because all objects share a section.
static START: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// Comparisons that are kept; later ones take the place of earlier ones.
const KEPT: usize = 512;
static COMPARED: [[AtomicU64; 2]; KEPT] = [const { [const { AtomicU64::new(0) }; 2] }; KEPT];
static COUNT: AtomicUsize = AtomicUsize::new(0);

fn compared(a: u64, b: u64) {
    if a != b {
        let [x, y] = &COMPARED[COUNT.fetch_add(1, Relaxed) % KEPT];
        x.store(a, Relaxed);
        y.store(b, Relaxed);
    }
}

/// LLVM: where the counters lie.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    START.store(start as usize, Relaxed);
    LENGTH.store(stop as usize - start as usize, Relaxed);
}

macro_rules! compare_hooks {
    ($($name:ident $constant:ident $type:ty;)+) => {$(
        /// LLVM: two numbers are compared.
        #[unsafe(no_mangle)]
        extern "C" fn $name(a: $type, b: $type) {
            compared(a.into(), b.into());
        }
        /// LLVM: the same, one of them a constant.
        #[unsafe(no_mangle)]
        extern "C" fn $constant(a: $type, b: $type) {
            compared(a.into(), b.into());
        }
    )+};
}

compare_hooks! {
    __sanitizer_cov_trace_cmp1 __sanitizer_cov_trace_const_cmp1 u8;
    __sanitizer_cov_trace_cmp2 __sanitizer_cov_trace_const_cmp2 u16;
    __sanitizer_cov_trace_cmp4 __sanitizer_cov_trace_const_cmp4 u32;
    __sanitizer_cov_trace_cmp8 __sanitizer_cov_trace_const_cmp8 u64;
}

/// LLVM: a number is looked up among `cases[2..]`, of which there are `cases[0]`.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_switch(value: u64, cases: *const u64) {
    // SAFETY: LLVM's table has its length first, the width of the number second, then as many cases as it says.
    let cases = unsafe { std::slice::from_raw_parts(cases.add(2), *cases as usize) };
    cases.iter().take(16).for_each(|case| compared(value, *case));
}

/// LLVM: a call through a pointer; its target's own counters tell of it.
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_trace_pc_indir(_: usize) {}

/// Pairs of different numbers that were compared since [`reset`], the latest [`KEPT`].
pub fn pairs() -> Vec<(u64, u64)> {
    let kept = COUNT.load(Relaxed).min(KEPT);
    COMPARED[..kept].iter().map(|[a, b]| (a.load(Relaxed), b.load(Relaxed))).collect()
}

fn counters() -> &'static mut [u8] {
    let (start, length) = (START.load(Relaxed), LENGTH.load(Relaxed));
    if length == 0 {
        return &mut [];
    }
    // SAFETY: the memory is what LLVM announced, lives as long as the program, and is looked at by the one thread that reads.
    unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) }
}

/// Begins anew.
pub fn reset() {
    counters().fill(0);
    COUNT.store(0, Relaxed);
}

/// What has been reached so far: per counter, which magnitudes it has had.
#[derive(Debug, Default)]
pub struct Reached {
    seen: Vec<u8>,
    /// How many counters have been reached.
    pub places: usize,
}

impl Reached {
    /// Takes in what ran since [`reset`]; says whether any of it is new.
    pub fn take_in(&mut self) -> bool {
        let counters = counters();
        self.seen.resize(counters.len(), 0);
        let mut new = false;
        for (eight, seen) in counters.chunks(8).zip(self.seen.chunks_mut(8)) {
            // Most have not run at all.
            if eight.iter().all(|n| *n == 0) {
                continue;
            }
            for (n, seen) in eight.iter().zip(seen).filter(|(n, _)| **n > 0) {
                let magnitude = 1u8 << n.ilog2().min(7);
                if *seen & magnitude == 0 {
                    self.places += usize::from(*seen == 0);
                    *seen |= magnitude;
                    new = true;
                }
            }
        }
        new
    }
}

//! How much memory reading takes: a global allocator that keeps count per thread, for the binaries that run targets.
#![expect(unsafe_code, reason = "an allocator is an unsafe trait; every call is passed on to the system's")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

/// What any input may take, bytes: schemas, error texts, tables of constants.
const BASE: usize = 4 << 20;
/// What it may take besides, per byte of input: a parsed table is larger than its text.
const PER_BYTE: usize = 1024;

thread_local! {
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// The system's allocator, with a count of what this thread holds.
pub struct Counting;

fn count(by: isize) {
    // After a thread's end there is nothing to count for.
    let _ = NOW.try_with(|now| {
        now.set(now.get() + by);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(now.get())));
    });
}

// SAFETY: defers to the system allocator; counting touches only thread-local cells that need no allocation.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's contract is passed on.
        unsafe { System.dealloc(p, layout) }
    }
    unsafe fn realloc(&self, p: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size as isize - layout.size() as isize);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.realloc(p, layout, size) }
    }
}

/// Most that this thread held at once while `f` ran, beyond what it held before.
pub fn peak<T>(f: impl FnOnce() -> T) -> (T, usize) {
    let before = NOW.get();
    PEAK.set(before);
    let out = f();
    (out, usize::try_from(PEAK.get() - before).unwrap_or(0))
}

/// Reads an input with a target and asserts that it took no more memory than an input of its length may.
pub fn read(target: &crate::Target, bytes: &[u8]) -> bool {
    let (accepted, most) = peak(|| (target.read)(bytes));
    let allowed = BASE + PER_BYTE * bytes.len();
    assert!(most <= allowed, "{} bytes of input took {most} bytes of memory, {allowed} are allowed", bytes.len());
    accepted
}

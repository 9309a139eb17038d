//! The switch of the mutants that scripts/mutants put into this copy; never part of Proctor.
//!
//! `MUTANT` in the environment is the number of the mutant that is alive. Without it none is, and if `MUTANTS_REACHED` names a file, that file's byte N
//! becomes 1 when the site whose first mutant is N runs. `MUTANTS_SECONDS` of processor time and 4 GiB are what the process gets. All is read before
//! `main`; after that nothing here allocates or locks.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering::Relaxed};

const SURVEY: u32 = u32::MAX;
static ALIVE: AtomicU32 = AtomicU32::new(0);
static REACHED: AtomicPtr<u8> = AtomicPtr::new(std::ptr::null_mut());

/// 0, or which of the site's `count` mutants, from number `first` on, is alive, from 1 on.
#[inline(always)]
pub fn at(first: u32, count: u32) -> u32 {
    let alive = ALIVE.load(Relaxed);
    let nth = alive.wrapping_sub(first);
    if nth < count {
        return nth + 1;
    }
    if alive == SURVEY {
        mark(first);
    }
    0
}

/// Whether this mutant is alive.
#[inline(always)]
pub fn on(number: u32) -> bool {
    at(number, 1) == 1
}

#[cold]
fn mark(first: u32) {
    // SAFETY: the map holds a byte for each number (`start`), and bytes that only ever become 1 may be written by any thread.
    unsafe { REACHED.load(Relaxed).add(first as usize).write_volatile(1) }
}

#[used]
#[unsafe(link_section = ".init_array")]
static START: extern "C" fn() = start;

extern "C" fn start() {
    // SAFETY: before `main` there is one thread; the pointers are of C strings that live as long as the environment.
    unsafe {
        let number = libc::getenv(c"MUTANT".as_ptr());
        let file = libc::getenv(c"MUTANTS_REACHED".as_ptr());
        if !number.is_null() {
            ALIVE.store(libc::atoi(number) as u32, Relaxed);
        } else if !file.is_null() {
            let fd = libc::open(file, libc::O_RDWR);
            let size = libc::lseek(fd, 0, libc::SEEK_END) as usize;
            let map = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0);
            assert!(map != libc::MAP_FAILED, "MUTANTS_REACHED cannot be mapped");
            REACHED.store(map.cast(), Relaxed);
            ALIVE.store(SURVEY, Relaxed);
        }
        let seconds = libc::getenv(c"MUTANTS_SECONDS".as_ptr());
        if !seconds.is_null() {
            for (what, most) in [(libc::RLIMIT_CPU, libc::atoi(seconds) as u64), (libc::RLIMIT_AS, 4 << 30), (libc::RLIMIT_CORE, 0)] {
                libc::setrlimit(what, &libc::rlimit { rlim_cur: most, rlim_max: most });
            }
        }
        // The first panic ends the process: nothing is shrunk, printed or tried again.
        if !libc::getenv(c"MUTANTS_ABORT".as_ptr()).is_null() {
            std::panic::set_hook(Box::new(|_| libc::_exit(101)));
        }
    }
}

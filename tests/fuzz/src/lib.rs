//! Whatever reads bytes or text from outside the process, attacked: every message of the bus, every file of the configuration, recordings of
//! others, what browsers and command lines say, what a Gazebo world says.
//!
//! A [`Target`] takes any bytes. It must not panic, nor allocate more than the bytes justify ([`heap`]), and what it accepts it must be
//! able to say again, with every number finite and in its documented range; each target asserts that. Two ways to run them:
//! - `tests/targets.rs`, part of `make test`: the same seeded mutations of valid seeds every time;
//! - the example `fuzz` (`make fuzz`): goes on as long as there is time, and keeps what reaches new code, when it was built with
//!   `scripts/rustc-fuzz.sh`; else blindly.
//!
//! Not here, because nothing from outside reaches them: the recorder (writes only), ONNX models (read by ONNX Runtime).

pub mod configuration;
#[cfg(fuzzing)]
pub mod coverage;
pub mod files;
pub mod gazebo;
pub mod heap;
pub mod messages;
pub mod mutate;
pub mod recordings;
pub mod words;

use mutate::Kind;

/// Something that reads.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it reads: how to mutate it sensibly.
    pub kind: Kind,
    /// Reads any bytes; says whether it accepted them. Panics when a property does not hold.
    pub read: fn(&[u8]) -> bool,
    /// Inputs that it accepts, made by the code itself or shipped with it.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// Every target.
pub fn targets() -> Vec<Target> {
    [
        messages::targets(),
        words::targets(),
        configuration::targets(),
        files::targets(),
        recordings::targets(),
        gazebo::targets(),
    ]
    .concat()
}

/// Text, if it is any: what reads files and sockets refuses the rest before the parser sees it.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

//! The renderer's threads.

use super::raster::Canvas;
use std::sync::{Mutex, PoisonError};

/// What one thread needs for itself and keeps between frames.
#[derive(Default)]
pub(crate) struct Worker {
    /// The band it draws.
    pub canvas: Canvas,
    /// Scratch of the blur.
    pub sums: Vec<u16>,
}

/// Threads, or the caller's alone.
pub(crate) struct Crew {
    pool: Option<rayon::ThreadPool>,
    workers: Vec<Worker>,
}

impl Crew {
    /// 0 and 1: the caller's thread.
    pub(crate) fn new(threads: usize) -> Result<Self, rayon::ThreadPoolBuildError> {
        let pool = match threads {
            0 | 1 => None,
            n => Some(rayon::ThreadPoolBuilder::new().num_threads(n).thread_name(|i| format!("render-{i}")).build()?),
        };
        Ok(Self { pool, workers: (0..threads.max(1)).map(|_| Worker::default()).collect() })
    }

    /// Does `work` on every item, in any order. Items are independent, so the result does not depend on the number of threads.
    pub(crate) fn run<T: Send>(&mut self, items: Vec<T>, work: impl Fn(&mut Worker, T) + Sync) {
        let items = Mutex::new(items.into_iter());
        let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
        let drain = |worker: &mut Worker| {
            while let Some(item) = next() {
                work(worker, item);
            }
        };
        match &self.pool {
            Some(pool) => pool.scope(|scope| {
                for worker in &mut self.workers {
                    scope.spawn(|_| drain(worker));
                }
            }),
            None => self.workers.iter_mut().for_each(drain),
        }
    }
}

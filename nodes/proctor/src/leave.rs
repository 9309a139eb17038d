//! Whether this process was asked to end, by Ctrl-C or SIGTERM: heard from its start on, also while a node takes minutes to be made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};

/// How often [`Leave::wait`] looks.
const LOOK: Duration = Duration::from_millis(20);

/// The process was asked to end before what it was doing was done: no mistake.
#[derive(Debug, thiserror::Error)]
#[error("asked to end")]
pub struct Left;

/// Whether the process was asked to end. A default one is never asked.
#[derive(Debug, Clone, Default)]
pub struct Leave(Arc<AtomicBool>);

impl Leave {
    /// Hears both signals from now on: they end this process no more by themselves.
    pub fn on_signals() -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        let (mut interrupt, mut terminate) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?)
        };
        let leave = Self::default();
        let asked = leave.0.clone();
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
            });
            asked.store(true, Ordering::Relaxed);
        })?;
        Ok(leave)
    }

    /// Whether it was.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Fails if it was: for what takes long.
    pub fn check(&self) -> Result<(), Left> {
        if self.asked() { Err(Left) } else { Ok(()) }
    }

    /// Waits until it is.
    pub async fn wait(&self) {
        while !self.asked() {
            tokio::time::sleep(LOOK).await;
        }
    }
}

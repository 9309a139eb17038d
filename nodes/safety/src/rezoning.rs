//! The bus half's part of a change of zones and of what tissue bears: reads the files in a thread of its own when an operator asked, hands the
//! prepared set to the core, and tells everybody which zones hold once the core took it. Of safety.toml only the classes' policies are taken; all else
//! is read when the node starts.
//!
//! They come from the files beside the node and never over the bus: whoever can publish can ask for them to be read again, no more.

use crate::{Event, Finding, LiveZones, SafetyError, SafetyParams, Zone, realtime};
use proctor_types::{Constraint, Stamp, ZoneLabel, ZonesState};
use std::{path::PathBuf, thread::JoinHandle};

/// Reads zones files, one at a time.
pub(crate) struct Rezoning {
    folder: Option<PathBuf>,
    reading: Option<JoinHandle<Result<LiveZones, SafetyError>>>,
    version: u64,
    /// What was handed to the core last.
    offered: Option<ZonesState>,
    /// What holds and was not said yet.
    unsaid: Option<ZonesState>,
}

impl Rezoning {
    /// The zones that a node starts with are version 1.
    pub fn new(params: &SafetyParams) -> Self {
        let first = described(1, &params.zones);
        Self { folder: params.folder.clone(), reading: None, version: 1, offered: None, unsaid: Some(first) }
    }

    /// An operator asked. While a file is being read, asking again changes nothing.
    pub fn begin(&mut self) {
        if self.reading.is_some() {
            return;
        }
        self.version += 1;
        let (folder, version) = (self.folder.clone(), self.version);
        let read = move || {
            realtime::take_turns();
            let SafetyParams { zones, classes, .. } = SafetyParams::read_again(folder.as_deref())?;
            Ok(LiveZones::new(version, zones, classes))
        };
        match std::thread::Builder::new().name("safety-zones".into()).spawn(read) {
            Ok(thread) => self.reading = Some(thread),
            Err(error) => tracing::error!(%error, "no thread to read the zones in"),
        }
    }

    /// The event for the core when a file was read; an unreadable one is refused, and the zones stay as they are.
    pub fn done(&mut self) -> Option<Event> {
        let thread = self.reading.take_if(|t| t.is_finished())?;
        match thread.join() {
            Ok(Ok(zones)) => {
                self.offered = Some(described(zones.version, &zones.zones));
                Some(Event::Zones(Box::new(zones)))
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "zones and policies stay as they are");
                Some(Event::Refused(Finding::node(Constraint::Malformed, 0.0, 0.0)))
            }
            Err(_) => {
                tracing::error!("zones and policies stay as they are: reading them panicked");
                Some(Event::Refused(Finding::node(Constraint::Malformed, 0.0, 0.0)))
            }
        }
    }

    /// The core took a set.
    pub fn taken(&mut self, version: u64) {
        if let Some(state) = self.offered.take_if(|s| s.version == version) {
            self.unsaid = Some(state);
        }
    }

    /// What is to be said, once.
    pub fn news(&mut self, now: Stamp) -> Option<ZonesState> {
        self.unsaid.take().map(|state| ZonesState { stamp: now, ..state })
    }
}

fn described(version: u64, zones: &[Zone]) -> ZonesState {
    let label = |z: &Zone| ZoneLabel { name: z.name.clone(), margin: z.margin };
    ZonesState { stamp: Stamp::FIRST, version, zones: zones.iter().map(label).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Until the file was read: there is nothing else to wait for.
    fn read(r: &mut Rezoning) -> Event {
        loop {
            match r.done() {
                Some(event) => return event,
                None => std::thread::yield_now(),
            }
        }
    }

    #[test]
    fn zones_are_said_once_first_and_again_when_the_core_took_what_was_read() {
        let mut r = Rezoning::new(&SafetyParams::default());
        let now = Stamp::FIRST.plus(Duration::from_secs(5));
        let first = r.news(now).unwrap();
        assert_eq!((first.version, first.stamp), (1, now));
        assert!(r.news(now).is_none() && r.done().is_none(), "nothing was asked");
        for version in [2, 3] {
            r.begin();
            let Event::Zones(zones) = read(&mut r) else { panic!("not read") };
            assert_eq!(zones.version, version);
            assert!(r.news(now).is_none(), "read, not taken");
            r.taken(version - 1);
            assert!(r.news(now).is_none(), "another was taken");
            r.taken(version);
            let said = r.news(now).unwrap();
            assert_eq!((said.version, said.zones.len()), (version, zones.zones.len()));
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_is_refused_and_nothing_is_said() {
        let folder = Some("/nowhere/at/all".into());
        let mut r = Rezoning::new(&SafetyParams { folder, ..SafetyParams::default() });
        r.news(Stamp::FIRST);
        r.begin();
        assert!(matches!(read(&mut r), Event::Refused(f) if f.constraint == Constraint::Malformed));
        r.taken(2);
        assert!(r.news(Stamp::FIRST).is_none());
    }
}

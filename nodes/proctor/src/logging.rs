//! What this process says in words: on standard error, and as `/rosout` for ROS's tools.
//!
//! [`start`] is called once, by `main`. Lines wait in a bounded queue until [`RosoutNode`] publishes them; without one, the oldest are dropped.

use anyhow::bail;
use proctor_bus::{Bus, BusError, Node, Publisher, RosArgs, graph};
use proctor_types::{LogLevel, LogRecord, Stamp};
use std::{
    collections::VecDeque,
    fmt::Write as _,
    io::IsTerminal as _,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    EnvFilter, Layer,
    layer::{Context, SubscriberExt as _},
    util::SubscriberInitExt as _,
};

/// Most lines that wait.
const WAITING: usize = 1000;
/// Most lines published per poll.
const BATCH: usize = 100;

/// A line that nobody has published yet.
struct Line {
    level: LogLevel,
    text: String,
    file: &'static str,
    function: &'static str,
    at: u32,
}

static LINES: Mutex<VecDeque<Line>> = Mutex::new(VecDeque::new());

/// Begins to log: what `RUST_LOG` says, else what `--log-level` does, else Proctor's own lines from *info* on and others' warnings.
pub fn start(ros: &RosArgs) -> anyhow::Result<()> {
    let filter = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter,
        // When a writer leaves, r2r says an error for each of its readers, where nothing is wrong.
        Err(_) => format!("warn,r2r::subscribers=off,proctor={}", level(ros)?).parse()?,
    };
    // Colours are for people: what a launch or a file collects is plain.
    let coloured = std::io::stderr().is_terminal();
    let written = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_target(false).with_ansi(coloured);
    tracing_subscriber::registry().with(filter).with(written).with(Rosout).init();
    Ok(())
}

/// `--log-level LEVEL` or `--log-level NAME:=LEVEL`, which counts if it names this node.
fn level(ros: &RosArgs) -> anyhow::Result<&'static str> {
    let said = ros.log_level.as_deref().unwrap_or("info");
    let said = match said.split_once(":=") {
        Some((name, _)) if ros.node.as_deref().is_some_and(|n| n != name) => "info",
        Some((_, level)) => level,
        None => said,
    };
    Ok(match said.to_ascii_lowercase().as_str() {
        "debug" => "debug",
        "info" => "info",
        "warn" => "warn",
        "error" | "fatal" => "error",
        _ => bail!("--log-level {said}: expected debug, info, warn, error or fatal"),
    })
}

/// Keeps every line for [`RosoutNode`].
struct Rosout;

impl<S: Subscriber> Layer<S> for Rosout {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let meta = event.metadata();
        let mut text = Words::default();
        event.record(&mut text);
        let level = match *meta.level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG | Level::TRACE => LogLevel::Debug,
        };
        let (file, at) = (meta.file().unwrap_or_default(), meta.line().unwrap_or_default());
        keep(Line { level, text: text.done(), file, function: meta.module_path().unwrap_or_default(), at });
    }
}

fn keep(line: Line) {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    if lines.len() == WAITING {
        lines.pop_front();
    }
    lines.push_back(line);
}

/// An event as one line: its message, then its fields.
#[derive(Default)]
struct Words {
    message: String,
    fields: String,
}

impl Words {
    fn done(self) -> String {
        [self.message, self.fields].concat().trim().to_owned()
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        // Writing into a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

/// Publishes this process's lines on `/rosout` under its name in ROS.
pub struct RosoutNode {
    publisher: Publisher<LogRecord>,
    name: String,
}

impl RosoutNode {
    /// Joins the bus. One per process: lines are published once.
    pub fn new(bus: &Bus, name: &str) -> Result<Self, BusError> {
        Ok(Self { publisher: bus.publisher(&graph::rosout())?, name: name.to_owned() })
    }
}

impl Node for RosoutNode {
    fn name(&self) -> &'static str {
        "rosout"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(20)
    }

    fn poll(&mut self, now: Stamp) {
        let lines: Vec<_> = {
            let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
            let some = lines.len().min(BATCH);
            lines.drain(..some).collect()
        };
        for Line { level, text, file, function, at } in lines {
            let (file, function) = (file.to_owned(), function.to_owned());
            let record = LogRecord { stamp: now, level, name: self.name.clone(), text, file, function, line: at };
            // Not logged: that line could not be published either.
            _ = self.publisher.publish(&record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lines are the process's: one test looks at them.
    #[test]
    fn lines_with_their_fields_reach_rosout_oldest_first_and_the_queue_is_bounded() {
        let bus = Bus::memory();
        let heard = bus.subscriber::<LogRecord>(&graph::rosout()).unwrap();
        let mut node = RosoutNode::new(&bus, "safety").unwrap();
        let log = tracing_subscriber::registry().with(Rosout);
        tracing::subscriber::with_default(log, || {
            tracing::warn!(arm = "PSM1", count = 3, "command not taken");
            tracing::error!(error = %"no route", "not published");
        });
        node.poll(Stamp::FIRST);
        let first = heard.take().unwrap().unwrap();
        assert_eq!((first.level, first.name.as_str(), first.stamp), (LogLevel::Warn, "safety", Stamp::FIRST));
        assert_eq!(first.text, "command not taken arm=PSM1 count=3");
        assert!(
            first.file.ends_with("logging.rs") && first.line > 0 && first.function.contains("logging"),
            "{first:?}"
        );
        assert_eq!(heard.take().unwrap().unwrap().text, "not published error=no route");

        for i in 0..WAITING + 7 {
            keep(Line { level: LogLevel::Info, text: i.to_string(), file: "", function: "", at: 0 });
        }
        node.poll(Stamp::FIRST);
        assert_eq!(heard.take().unwrap().unwrap().text, "7");
        assert_eq!(std::iter::from_fn(|| heard.take()).count(), BATCH - 1);
        (0..WAITING / BATCH).for_each(|_| node.poll(Stamp::FIRST));
        assert_eq!(std::iter::from_fn(|| heard.take()).last().unwrap().unwrap().text, (WAITING + 6).to_string());
    }

    #[test]
    fn levels_are_ros_levels_and_others_are_named() {
        let of = |said: &str, node: Option<&str>| {
            let ros = RosArgs { log_level: Some(said.to_owned()), node: node.map(str::to_owned), ..RosArgs::default() };
            level(&ros).map_err(|e| e.to_string())
        };
        assert_eq!(level(&RosArgs::default()).unwrap(), "info");
        assert_eq!([of("DEBUG", None), of("fatal", None)], [Ok("debug"), Ok("error")]);
        assert_eq!(of("gate:=debug", Some("gate")), Ok("debug"));
        assert_eq!(of("rcl:=debug", Some("gate")), Ok("info"));
        assert!(of("loud", None).unwrap_err().contains("loud"));
    }
}

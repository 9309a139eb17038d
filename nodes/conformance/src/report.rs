//! What a probe found, for people and for programs.

use crate::{Check, Level};
use serde::Serialize;
use std::fmt;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// As expected.
    Pass,
    /// Not as expected.
    Fail,
    /// Not asked, or not to be told from what was seen.
    NotTried,
}

/// What was seen of one check.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// How it went.
    pub outcome: Outcome,
    /// What was seen, or why it was not tried.
    pub seen: String,
}

impl Finding {
    /// `Pass` if `good`.
    pub fn when(good: bool, seen: impl Into<String>) -> Self {
        Self { outcome: if good { Outcome::Pass } else { Outcome::Fail }, seen: seen.into() }
    }

    /// Not tried, and why.
    pub fn not_tried(why: impl Into<String>) -> Self {
        Self { outcome: Outcome::NotTried, seen: why.into() }
    }
}

/// A check with its finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Which check.
    pub check: Check,
    /// The CRTK name that it is about.
    pub crtk: &'static str,
    /// What was asked.
    pub asked: &'static str,
    /// What was expected.
    pub expected: &'static str,
    /// What was seen, and how that is judged.
    #[serde(flatten)]
    pub finding: Finding,
}

/// Everything that a probe found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// The arm's namespace.
    pub arm: String,
    /// How far the probe was allowed to go.
    pub level: Level,
    /// Whether commands carried the safety node's kind of seal.
    pub sealed: bool,
    /// Why the probe went no further, if it did not.
    pub stopped: Option<String>,
    /// Whether nothing failed.
    pub passed: bool,
    /// Every check, in order.
    pub checks: Vec<Row>,
}

impl Report {
    /// Of a check.
    pub fn of(&self, check: Check) -> Option<&Finding> {
        self.checks.iter().find(|r| r.check == check).map(|r| &r.finding)
    }

    /// Checks with this outcome.
    pub fn with(&self, outcome: Outcome) -> Vec<Check> {
        self.checks.iter().filter(|r| r.finding.outcome == outcome).map(|r| r.check).collect()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sealed = if self.sealed { "sealed commands" } else { "plain commands" };
        writeln!(f, "{}: level {}, {sealed}", self.arm, self.level.name())?;
        for row in &self.checks {
            let word = match row.finding.outcome {
                Outcome::Pass => "pass",
                Outcome::Fail => "FAIL",
                Outcome::NotTried => "-",
            };
            writeln!(f, "{word:<5} {:<22} {}: {}", row.check.id(), row.crtk, row.finding.seen)?;
            if row.finding.outcome == Outcome::Fail {
                writeln!(f, "{:28} asked: {}", "", row.asked)?;
                writeln!(f, "{:28} expected: {}", "", row.expected)?;
            }
        }
        if let Some(why) = &self.stopped {
            writeln!(f, "stopped: {why}")?;
        }
        let count = |o| self.with(o).len();
        let (pass, fail, rest) = (count(Outcome::Pass), count(Outcome::Fail), count(Outcome::NotTried));
        write!(f, "{pass} passed, {fail} failed, {rest} not tried")
    }
}

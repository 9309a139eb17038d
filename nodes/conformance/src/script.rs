//! What is done to the arm, in order, as a table: from harmless to less harmless.
//!
//! Every motion is of one joint, the roll: the instrument turns about its own axis, its tip stays where it is.

use crate::{Check, Level};
use proctor_types::OperatingState::{self, Disabled, Enabled, Paused};
use std::time::Duration;

/// How far the roll joint is turned on purpose, rad.
pub const TURN: f64 = 0.03;
/// How fast, rad/s.
pub const SPEED: f64 = 0.03;
/// Goals that must not be followed are this far away, rad: seen if followed, harmless if so.
pub const ASIDE: f64 = 0.02;
/// The jump, rad.
pub const JUMP: f64 = 0.05;
/// How old a stale goal is, s in [`STALE`], and an enable that a latched topic would deliver.
pub const STALE: Duration = Duration::from_secs(1);
/// See [`STALE`].
pub const LATCHED: Duration = Duration::from_secs(10);
/// Part of [`TURN`] after which a stream of set-points ceases.
pub const PART: f64 = 0.2;
/// Between streamed set-points.
pub const STREAM: Duration = Duration::from_millis(5);
/// A goal beyond a limit is taken back after this at the latest.
pub const TAKEN_BACK: Duration = Duration::from_millis(40);

/// What a goal has that it should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Only the moment is wrong: the arm is not to move now.
    Untimely,
    /// Issued [`STALE`] ago.
    Stale,
    /// A joint is missing.
    Short,
    /// The roll is NaN.
    Nan,
    /// [`JUMP`] away.
    Jump,
    /// 0.1 rad beyond the roll's upper limit, and taken back at once.
    Beyond,
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Act {
    /// One word to the state machine, said so long ago.
    Say(&'static str, Duration),
    /// One goal for the roll, from where it stands.
    Goal(Flaw),
    /// Set-points that turn the roll by [`TURN`] at [`SPEED`].
    Turn,
    /// Set-points that turn the roll [`PART`] of the way back, and then none: in the middle of a motion.
    Cease,
}

/// What must hold afterwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Judge {
    /// The arm is in this state; the step ends when it is.
    Becomes(OperatingState),
    /// The arm was in this state all the while.
    Stays(OperatingState),
    /// The roll stays where it is.
    Rests,
    /// The roll rests, the arm stays enabled, and what it measures are numbers.
    RestsUnharmed,
    /// The roll is where it was led.
    Follows,
    /// `setpoint_js` is where the roll was led.
    Tells,
    /// The roll rested or turned no faster than its limit.
    NoFaster,
    /// Set-point and roll stay within the roll's limits.
    Within,
}

/// One step.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// State that it starts from; the probe leads there.
    pub from: OperatingState,
    /// Whether the roll is first led back to where it was found.
    pub at_origin: bool,
    /// What it takes.
    pub level: Level,
    /// What is sent.
    pub act: Act,
    /// How long it is watched.
    pub lasts: Duration,
    /// Questions that it answers.
    pub checks: &'static [(Check, Judge)],
    /// Whether a failure ends the probe: an arm that moves when it must not, or does not when it should, is asked no more.
    pub fatal: bool,
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const NOW: Duration = Duration::ZERO;

/// The state machine's part.
const fn say(from: OperatingState, word: &'static str, checks: &'static [(Check, Judge)]) -> Step {
    let (level, lasts) = (Level::Move, ms(2000));
    Step { from, at_origin: false, level, act: Act::Say(word, NOW), lasts, checks, fatal: false }
}

const fn goal(from: OperatingState, flaw: Flaw, level: Level, checks: &'static [(Check, Judge)], fatal: bool) -> Step {
    let at_origin = matches!(from, Enabled);
    Step { from, at_origin, level, act: Act::Goal(flaw), lasts: ms(400), checks, fatal }
}

/// All of it.
pub const STEPS: &[Step] = &[
    Step { lasts: ms(400), ..say(Disabled, "resume", &[(Check::OutOfTurn, Judge::Stays(Disabled))]) },
    Step { lasts: ms(400), ..say(Disabled, "proctor", &[(Check::UnknownWord, Judge::Stays(Disabled))]) },
    Step {
        act: Act::Say("enable", LATCHED),
        lasts: ms(600),
        ..say(Disabled, "enable", &[(Check::LatchedEnable, Judge::Stays(Disabled))])
    },
    goal(Disabled, Flaw::Untimely, Level::Move, &[(Check::Disabled, Judge::Rests)], true),
    Step {
        fatal: true,
        ..say(Disabled, "enable", &[(Check::Enable, Judge::Becomes(Enabled)), (Check::EnableRests, Judge::Rests)])
    },
    say(Enabled, "pause", &[(Check::Pause, Judge::Becomes(Paused))]),
    goal(Paused, Flaw::Untimely, Level::Move, &[(Check::Paused, Judge::Rests)], true),
    say(Paused, "resume", &[(Check::Resume, Judge::Becomes(Enabled))]),
    Step {
        from: Enabled,
        at_origin: true,
        level: Level::Move,
        act: Act::Turn,
        lasts: ms(1200),
        checks: &[(Check::Follows, Judge::Follows), (Check::Tells, Judge::Tells)],
        fatal: true,
    },
    Step {
        from: Enabled,
        at_origin: false,
        level: Level::Move,
        act: Act::Cease,
        lasts: ms(900),
        checks: &[(Check::Silence, Judge::Follows)],
        fatal: true,
    },
    goal(Enabled, Flaw::Stale, Level::Move, &[(Check::Stale, Judge::Rests)], false),
    goal(Enabled, Flaw::Short, Level::Move, &[(Check::Length, Judge::Rests)], true),
    say(Enabled, "disable", &[(Check::Disable, Judge::Becomes(Disabled))]),
    goal(Enabled, Flaw::Nan, Level::Provoke, &[(Check::Nan, Judge::RestsUnharmed)], true),
    goal(Enabled, Flaw::Jump, Level::Provoke, &[(Check::Jump, Judge::NoFaster)], true),
    goal(Enabled, Flaw::Beyond, Level::Provoke, &[(Check::Beyond, Judge::Within)], true),
];

/// What a level sends, in plain words, for the person who is about to allow it.
pub fn plan(level: Level, home: bool) -> Vec<String> {
    if level == Level::Watch {
        return vec!["listens for 3 s and sends nothing".to_owned()];
    }
    let mut plan = vec![
        "sends disable, enable, pause and resume: an arm without brakes may sag when it is disabled".to_owned(),
        format!(
            "turns the roll joint (the last joint of an arm of another form) by {TURN} rad and back, in a second each"
        ),
        format!(
            "sends single goals {ASIDE} rad of roll away that must not be followed: while DISABLED, while PAUSED, a second old, a joint too few"
        ),
        "does not command any other joint, nor the jaw".to_owned(),
    ];
    if home {
        plan.push("HOMES the arm if it is not homed: that may move all of it, as far as the robot pleases".to_owned());
    }
    if level == Level::Provoke {
        plan.push(format!("gives the enabled arm one goal of NaN, one {JUMP} rad of roll away at once, and one beyond the roll's limit that is taken back after {} ms", TAKEN_BACK.as_millis()));
        plan.push("an arm that neither refuses nor limits these may jerk about its own axis".to_owned());
    }
    plan.push("disables the arm at once if it does what it must not, if anybody else commands it, or if a joint leaves its place".to_owned());
    plan
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_beyond_watching_is_answered_by_one_step_of_its_level() {
        let answered: Vec<_> = STEPS.iter().flat_map(|s| s.checks.iter().map(move |(c, _)| (*c, s.level))).collect();
        let asked: Vec<_> = Check::ALL.iter().filter(|c| c.level() > Level::Watch).map(|c| (*c, c.level())).collect();
        assert_eq!(answered, asked);
    }

    #[test]
    fn the_longest_turn_is_what_the_plan_says() {
        let (turn, rest) = (TURN / SPEED, 0.2);
        let step = STEPS.iter().find(|s| s.act == Act::Turn).map(|s| s.lasts.as_secs_f64());
        assert!(step.is_some_and(|s| s >= turn + rest - 1e-9));
        const { assert!(ASIDE <= JUMP && JUMP <= 0.05 && TURN <= 0.05) };
    }
}

//! What the arm did during one step, and whether that was right.

use crate::{
    Finding,
    probe::Arm,
    script::{JUMP, Judge},
};
use proctor_types::{OperatingState, Stamp};

/// The roll may stray this far and count as resting, rad.
pub const STILL: f64 = 0.004;
/// How near a goal counts as there, rad: `measured_js`, `setpoint_js`.
const THERE: (f64, f64) = (0.01, 0.002);
/// How far beyond a limit counts as beyond it, rad.
const OVER: f64 = 0.01;
/// How much faster than its limit a joint may seem by noise of its encoder: a factor.
const FASTER: f64 = 1.1;

/// What is known of the roll joint.
#[derive(Debug, Clone, Copy)]
pub struct Roll {
    /// Limits of its position, rad.
    pub limits: (f64, f64),
    /// Of its speed, rad/s.
    pub speed: f64,
}

/// What was seen since a step began.
#[derive(Debug, Clone)]
pub struct Evidence {
    start: f64,
    lowest: f64,
    highest: f64,
    roll: f64,
    stamp: Option<Stamp>,
    fastest: f64,
    /// Longest time between two samples, s.
    coarsest: f64,
    samples: u64,
    not_numbers: u64,
    setpoint: Option<(f64, f64, f64)>,
    states: Vec<OperatingState>,
    state: Option<OperatingState>,
}

impl Evidence {
    /// Begins now, with the arm as it is.
    pub fn new(arm: &Arm) -> Self {
        let roll = arm.roll();
        Self {
            start: roll,
            lowest: roll,
            highest: roll,
            roll,
            stamp: arm.stamp,
            fastest: 0.0,
            coarsest: 0.0,
            samples: 0,
            not_numbers: 0,
            setpoint: None,
            states: arm.state.into_iter().collect(),
            state: arm.state,
        }
    }

    /// A sample of the roll; `None` for what is no number.
    pub fn measured(&mut self, roll: Option<f64>, stamp: Option<Stamp>) {
        self.samples += 1;
        let Some(roll) = roll else {
            self.not_numbers += 1;
            return;
        };
        if let (Some(last), Some(stamp)) = (self.stamp, stamp) {
            let dt = stamp.seconds_since(last);
            if dt > 0.0 {
                self.fastest = self.fastest.max((roll - self.roll).abs() / dt);
                self.coarsest = self.coarsest.max(dt);
            }
        }
        self.stamp = stamp.or(self.stamp);
        (self.lowest, self.highest, self.roll) = (self.lowest.min(roll), self.highest.max(roll), roll);
    }

    /// A set-point of the roll.
    pub fn told(&mut self, roll: f64) {
        let (least, most, _) = self.setpoint.unwrap_or((roll, roll, roll));
        self.setpoint = Some((least.min(roll), most.max(roll), roll));
    }

    /// A state.
    pub fn state(&mut self, state: OperatingState) {
        self.state = Some(state);
        if self.states.last() != Some(&state) && self.states.len() < 16 {
            self.states.push(state);
        }
    }

    /// Whether the step has what it waits for.
    pub fn reached(&self, judge: Judge) -> bool {
        matches!(judge, Judge::Becomes(wanted) if self.state == Some(wanted))
    }

    fn strayed(&self) -> f64 {
        (self.highest - self.start).max(self.start - self.lowest)
    }

    fn rests(&self) -> Finding {
        let seen = format!("roll strayed {:.4} rad", self.strayed());
        if self.samples == 0 {
            return Finding::when(false, "nothing was measured");
        }
        Finding::when(self.strayed() <= STILL, seen)
    }

    fn states_seen(&self) -> String {
        self.states.iter().map(|s| s.name()).collect::<Vec<_>>().join(", ")
    }

    /// Judges; `goal` is where the roll was led.
    pub fn judge(&self, judge: Judge, goal: f64, roll: &Roll) -> Finding {
        match judge {
            Judge::Becomes(wanted) => Finding::when(self.state == Some(wanted), self.states_seen()),
            Judge::Stays(wanted) => Finding::when(self.states.iter().all(|s| *s == wanted), self.states_seen()),
            Judge::Rests => self.rests(),
            Judge::RestsUnharmed => {
                let unharmed = self.states.iter().all(|s| *s == OperatingState::Enabled) && self.not_numbers == 0;
                let rests = self.rests();
                let seen = format!("{}, {}, {} messages with NaN", rests.seen, self.states_seen(), self.not_numbers);
                Finding::when(unharmed && rests.outcome == crate::Outcome::Pass, seen)
            }
            Judge::Follows => {
                let off = (self.roll - goal).abs();
                Finding::when(
                    off <= THERE.0,
                    format!("led {:.4} rad, went {:.4}", goal - self.start, self.roll - self.start),
                )
            }
            Judge::Tells => match self.setpoint {
                Some((.., last)) => {
                    Finding::when((last - goal).abs() <= THERE.1, format!("{:.4} rad off", last - goal))
                }
                None => Finding::when(false, "no setpoint_js"),
            },
            Judge::NoFaster => self.no_faster(roll),
            Judge::Within => self.within(roll),
        }
    }

    fn no_faster(&self, roll: &Roll) -> Finding {
        let seen =
            format!("{:.2} rad/s at most, limit {:.2}, strayed {:.4} rad", self.fastest, roll.speed, self.strayed());
        let slow = self.fastest <= roll.speed * FASTER;
        // A jump that fits between two samples at lawful speed cannot be told from a lawful motion.
        if slow && self.strayed() > STILL && self.coarsest * roll.speed * FASTER >= JUMP {
            return Finding::not_tried(format!("{seen}: samples {:.0} ms apart do not tell", self.coarsest * 1e3));
        }
        Finding::when(slow, seen)
    }

    fn within(&self, roll: &Roll) -> Finding {
        let (lower, upper) = roll.limits;
        let inside = |low: f64, high: f64| low >= lower - OVER && high <= upper + OVER;
        let Some((least, most, _)) = self.setpoint else {
            return Finding::not_tried("no setpoint_js to see by what the arm steers towards");
        };
        let seen = format!(
            "set-points {least:.3} to {most:.3}, limits {lower:.3} to {upper:.3}, strayed {:.4} rad",
            self.strayed()
        );
        Finding::when(inside(least, most) && inside(self.lowest, self.highest), seen)
    }
}

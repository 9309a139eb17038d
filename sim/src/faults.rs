//! Faults on request: what goes wrong, and a timetable of when.
//!
//! [`Fault`]s of the picture are rendered or applied by the camera; those of the arms and of the clock by the shells, so that a NaN
//! really is on the wire. The shells of Gazebo's arms and endoscope apply the same ones.

use crate::{node::CameraParams, render::ImageFaults};
use proctor_types::{ArmId, Stamp};
use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

/// One thing that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Fault {
    /// The camera repeats its last picture, with new stamps.
    FrozenFrames,
    /// This fraction of pictures, in [0, 1], is not published; which ones follows from the seed.
    DroppedFrames {
        /// Fraction.
        fraction: f64,
    },
    /// The picture is black.
    Blackout,
    /// Smoke of this density in [0, 1].
    Smoke {
        /// Density.
        density: f64,
    },
    /// Blood on the lens covering about this fraction, in [0, 1], of the picture.
    Blood {
        /// Fraction.
        coverage: f64,
    },
    /// The arm's joints arrive late, with their true (old) stamps. At most [`Fault::MAX_DELAY`].
    DelayedJoints {
        /// Which arm.
        arm: ArmId,
        /// By how much, s in files.
        #[serde(with = "crate::seconds")]
        delay: Duration,
    },
    /// The arm publishes NaN for its joint positions.
    NanJoints {
        /// Which arm.
        arm: ArmId,
    },
    /// The arm neither publishes nor hears anything.
    SilentArm {
        /// Which arm.
        arm: ArmId,
    },
    /// The arm stops itself: FAULT.
    ArmFault {
        /// Which arm.
        arm: ArmId,
    },
    /// Pictures are stamped when they arrive, this long after they were taken. At most [`Fault::MAX_LAG`].
    VideoLag {
        /// By how much, s in files.
        #[serde(with = "crate::seconds")]
        lag: Duration,
    },
    /// The joints of every arm are stamped when they arrive, this long after they were measured. At most [`Fault::MAX_LAG`].
    JointLag {
        /// By how much, s in files.
        #[serde(with = "crate::seconds")]
        lag: Duration,
    },
    /// Every stamp the simulator writes is off by this many seconds.
    ClockJump {
        /// Positive is into the future.
        seconds: f64,
    },
}

impl Fault {
    /// Bound on [`Fault::DelayedJoints`].
    pub const MAX_DELAY: Duration = Duration::from_secs(2);
    /// Bound on [`Fault::VideoLag`] and [`Fault::JointLag`].
    pub const MAX_LAG: Duration = Duration::from_secs(1);
}

/// A fault and when it acts, in seconds of simulated time since the simulator's start.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduledFault {
    /// First moment, s.
    pub from: f64,
    /// End, s; absent is never.
    #[serde(default)]
    pub until: Option<f64>,
    /// What.
    pub fault: Fault,
}

/// A timetable of faults; empty by default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultSchedule(pub Vec<ScheduledFault>);

/// A schedule that makes no sense.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum FaultError {
    /// A number is outside its range.
    #[error("fault {index}: {what} must lie in [{min}, {max}], got {value}")]
    Range {
        /// Which fault of the schedule, from 0.
        index: usize,
        /// Which quantity.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Smallest allowed.
        min: f64,
        /// Largest allowed.
        max: f64,
    },
    /// More than [`FaultSchedule::MAX`] entries.
    #[error("{got} faults scheduled, at most {}", FaultSchedule::MAX)]
    TooMany {
        /// How many.
        got: usize,
    },
}

impl FaultSchedule {
    /// Bound on the number of entries.
    pub const MAX: usize = 256;

    /// Checks every number.
    pub fn validate(&self) -> Result<(), FaultError> {
        if self.0.len() > Self::MAX {
            return Err(FaultError::TooMany { got: self.0.len() });
        }
        for (index, entry) in self.0.iter().enumerate() {
            let check = |what, value: f64, min, max| {
                let inside = value >= min && value <= max;
                if inside { Ok(()) } else { Err(FaultError::Range { index, what, value, min, max }) }
            };
            check("from", entry.from, 0.0, 1e6)?;
            check("until", entry.until.unwrap_or(1e6), entry.from, 1e6)?;
            match entry.fault {
                Fault::DroppedFrames { fraction: x } | Fault::Smoke { density: x } | Fault::Blood { coverage: x } => {
                    check("fraction, density or coverage", x, 0.0, 1.0)?;
                }
                Fault::DelayedJoints { delay, .. } => {
                    check("delay, s", delay.as_secs_f64(), 0.0, Fault::MAX_DELAY.as_secs_f64())?;
                }
                Fault::VideoLag { lag } | Fault::JointLag { lag } => {
                    check("lag, s", lag.as_secs_f64(), 0.0, Fault::MAX_LAG.as_secs_f64())?;
                }
                Fault::ClockJump { seconds } => check("clock jump, s", seconds, -3600.0, 3600.0)?,
                Fault::FrozenFrames
                | Fault::Blackout
                | Fault::NanJoints { .. }
                | Fault::SilentArm { .. }
                | Fault::ArmFault { .. } => {}
            }
        }
        Ok(())
    }

    /// What acts at `t` seconds. Of several of one kind the strongest counts; clock jumps add up.
    pub fn at(&self, t: f64) -> Faults {
        let mut now = Faults::default();
        let acts = |entry: &&ScheduledFault| t >= entry.from && entry.until.is_none_or(|end| t < end);
        for entry in self.0.iter().filter(acts) {
            now.add(entry.fault);
        }
        now
    }
}

/// What is wrong with one arm at one moment; nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ArmFaults {
    /// Joints arrive late by this much, s in files.
    #[serde(with = "crate::seconds")]
    pub delay: Duration,
    /// NaN for joint positions.
    pub nan: bool,
    /// Neither publishes nor hears.
    pub silent: bool,
    /// In FAULT.
    pub fault: bool,
}

/// Everything that is wrong at one moment; nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// The last picture is repeated.
    pub frozen: bool,
    /// Fraction of pictures not published.
    pub dropped: f64,
    /// The picture is black.
    pub blackout: bool,
    /// Density of smoke in [0, 1].
    pub smoke: f64,
    /// Covered fraction of the lens in [0, 1].
    pub blood: f64,
    /// Per arm, by [`ArmId::index`].
    pub arms: [ArmFaults; 3],
    /// How long after they were taken pictures are stamped, s in files.
    #[serde(with = "crate::seconds")]
    pub video_lag: Duration,
    /// How long after they were measured joints are stamped, s in files.
    #[serde(with = "crate::seconds")]
    pub joint_lag: Duration,
    /// Added to every stamp, s.
    pub clock_jump: f64,
}

impl Faults {
    /// Of one arm.
    pub fn arm(&self, arm: ArmId) -> &ArmFaults {
        &self.arms[arm.index()]
    }

    /// Adds one fault to what is wrong already.
    pub fn add(&mut self, fault: Fault) {
        match fault {
            Fault::FrozenFrames => self.frozen = true,
            Fault::DroppedFrames { fraction } => self.dropped = self.dropped.max(fraction),
            Fault::Blackout => self.blackout = true,
            Fault::Smoke { density } => self.smoke = self.smoke.max(density),
            Fault::Blood { coverage } => self.blood = self.blood.max(coverage),
            Fault::DelayedJoints { arm, delay } => {
                let slot = &mut self.arms[arm.index()].delay;
                *slot = delay.max(*slot);
            }
            Fault::NanJoints { arm } => self.arms[arm.index()].nan = true,
            Fault::SilentArm { arm } => self.arms[arm.index()].silent = true,
            Fault::ArmFault { arm } => self.arms[arm.index()].fault = true,
            Fault::VideoLag { lag } => self.video_lag = self.video_lag.max(lag),
            Fault::JointLag { lag } => self.joint_lag = self.joint_lag.max(lag),
            Fault::ClockJump { seconds } => self.clock_jump += seconds,
        }
    }

    /// `stamp` as a jumping clock would write it.
    pub fn jumped(&self, stamp: Stamp) -> Stamp {
        let by = Duration::try_from_secs_f64(self.clock_jump.abs()).unwrap_or(Duration::ZERO);
        if self.clock_jump < 0.0 { stamp.minus(by) } else { stamp.plus(by) }
    }

    /// Whether picture number `seq` is among those that are lost: a hash, so that it depends on nothing else.
    pub fn drops(&self, seed: u64, seq: u64) -> bool {
        let mut x = seed ^ seq.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        // Finaliser of SplitMix64 (Steele, Lea, Flood 2014).
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64 <= self.dropped && self.dropped > 0.0
    }

    /// Those the renderer draws.
    pub fn image(&self) -> ImageFaults {
        ImageFaults { blackout: self.blackout, smoke: self.smoke as f32, blood: self.blood as f32 }
    }

    /// Both together.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        let arm = |a: &ArmFaults, b: &ArmFaults| ArmFaults {
            delay: a.delay.max(b.delay),
            nan: a.nan || b.nan,
            silent: a.silent || b.silent,
            fault: a.fault || b.fault,
        };
        let ([a, b, c], [x, y, z]) = (&self.arms, &other.arms);
        Self {
            frozen: self.frozen || other.frozen,
            dropped: self.dropped.max(other.dropped),
            blackout: self.blackout || other.blackout,
            smoke: self.smoke.max(other.smoke),
            blood: self.blood.max(other.blood),
            arms: [arm(a, x), arm(b, y), arm(c, z)],
            video_lag: self.video_lag.max(other.video_lag),
            joint_lag: self.joint_lag.max(other.joint_lag),
            clock_jump: self.clock_jump + other.clock_jump,
        }
    }
}

/// What was taken and has yet to arrive.
#[derive(Debug)]
pub struct InFlight<T> {
    taken: VecDeque<(Stamp, T)>,
    most: usize,
}

impl<T> InFlight<T> {
    /// At most this many at once; the oldest are lost.
    pub fn new(most: usize) -> Self {
        Self { taken: VecDeque::new(), most }
    }

    /// For pictures: as many as a camera takes at its highest rate within the longest lag.
    pub fn pictures() -> Self {
        Self::new(1 + usize::from(CameraParams::MAX_FPS) * Fault::MAX_LAG.as_secs() as usize)
    }

    /// What arrives at `now`, when `item` is taken, if everything is `lag` on its way: the newest that is that old, `None` until there is one.
    /// A clock that went back begins anew.
    pub fn pass(&mut self, now: Stamp, item: T, lag: Duration) -> Option<T> {
        if self.taken.back().is_some_and(|(last, _)| *last > now) {
            self.taken.clear();
        }
        if self.taken.len() >= self.most {
            self.taken.pop_front();
        }
        self.taken.push_back((now, item));
        let due = self.taken.iter().take_while(|(taken, _)| taken.age(now) >= lag).count();
        self.taken.drain(..due).next_back().map(|(_, item)| item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(from: f64, until: Option<f64>, fault: Fault) -> ScheduledFault {
        ScheduledFault { from, until, fault }
    }

    #[test]
    fn faults_act_from_their_start_until_just_before_their_end() {
        let schedule = FaultSchedule(vec![
            entry(1.0, Some(2.0), Fault::Blackout),
            entry(1.5, None, Fault::Smoke { density: 0.3 }),
            entry(1.8, Some(3.0), Fault::Smoke { density: 0.1 }),
            entry(0.0, Some(1.0), Fault::NanJoints { arm: ArmId::Psm2 }),
        ]);
        schedule.validate().unwrap();
        for (t, blackout, smoke, nan) in
            [(0.0, false, 0.0, true), (1.0, true, 0.0, false), (1.9, true, 0.3, false), (2.0, false, 0.3, false)]
        {
            let faults = schedule.at(t);
            assert_eq!((faults.blackout, faults.smoke, faults.arm(ArmId::Psm2).nan), (blackout, smoke, nan), "{t} s");
            assert!(!faults.arm(ArmId::Psm1).nan);
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_value() {
        for (bad, part) in [
            (entry(-1.0, None, Fault::Blackout), "from"),
            (entry(2.0, Some(1.0), Fault::Blackout), "until"),
            (entry(0.0, None, Fault::Smoke { density: 1.5 }), "1.5"),
            (entry(0.0, None, Fault::DroppedFrames { fraction: f64::NAN }), "NaN"),
            (entry(0.0, None, Fault::DelayedJoints { arm: ArmId::Ecm, delay: Duration::from_secs(3) }), "delay"),
        ] {
            let error = FaultSchedule(vec![bad]).validate().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let many = FaultSchedule(vec![entry(0.0, None, Fault::Blackout); FaultSchedule::MAX + 1]);
        assert!(matches!(many.validate(), Err(FaultError::TooMany { got: 257 })));
    }

    #[test]
    fn what_is_on_its_way_arrives_in_order_and_once() {
        let at = |ms| Stamp::FIRST.plus(Duration::from_millis(ms));
        let lag = Duration::from_millis(20);
        let mut flying = InFlight::new(4);
        let arrived: Vec<_> = (0..5).map(|i| flying.pass(at(10 * i), i, lag)).collect();
        assert_eq!(arrived, [None, None, Some(0), Some(1), Some(2)]);
        assert_eq!(
            flying.pass(at(50), 5, Duration::ZERO),
            Some(5),
            "without a lag the newest, and the late ones are overtaken"
        );
        assert_eq!(flying.pass(at(60), 6, lag), None);
        assert_eq!(flying.pass(at(10), 7, Duration::from_millis(40)), None, "a clock that went back begins anew");
        assert_eq!(flying.pass(at(50), 8, Duration::from_millis(40)), Some(7));
    }

    #[test]
    fn a_clock_jumps_either_way() {
        let stamp = Stamp::FIRST.plus(Duration::from_secs(10));
        let at = |clock_jump| Faults { clock_jump, ..Faults::default() }.jumped(stamp);
        assert_eq!(at(2.5), stamp.plus(Duration::from_millis(2500)));
        assert_eq!(at(-2.5), stamp.minus(Duration::from_millis(2500)));
        assert_eq!(at(0.0), stamp);
    }

    #[test]
    fn about_the_wanted_share_of_pictures_is_lost() {
        let lost = |dropped| {
            let faults = Faults { dropped, ..Faults::default() };
            (0..1000).filter(|seq| faults.drops(1, *seq)).count()
        };
        assert_eq!((lost(0.0), lost(1.0)), (0, 1000));
        assert!((250..350).contains(&lost(0.3)), "{}", lost(0.3));
    }
}

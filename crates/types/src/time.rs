//! One clock domain: nanoseconds since the epoch of whatever clock drives the system (ROS time; simulated time is
//! only a different `now`).

use crate::InvalidValue;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A valid point in time: nanoseconds, always positive (CRTK: stamp 0 means invalid, so it is not representable).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stamp(i64);

impl Stamp {
    /// The earliest representable stamp (1 ns).
    pub const FIRST: Self = Self(1);

    /// From nanoseconds since the epoch. Zero and negative values are refused.
    pub fn from_nanos(what: &'static str, nanos: i64) -> Result<Self, InvalidValue> {
        if nanos > 0 { Ok(Self(nanos)) } else { Err(InvalidValue::Stamp { what }) }
    }

    /// From the fields of `builtin_interfaces/Time`. Zero, negative and `nanosec >= 1e9` are refused.
    pub fn from_ros(what: &'static str, sec: i32, nanosec: u32) -> Result<Self, InvalidValue> {
        if nanosec >= 1_000_000_000 {
            return Err(InvalidValue::Range { what, value: f64::from(nanosec), min: 0.0, max: 999_999_999.0 });
        }
        Self::from_nanos(what, i64::from(sec) * 1_000_000_000 + i64::from(nanosec))
    }

    /// The fields of `builtin_interfaces/Time` (seconds saturate in 2038, as the message does).
    pub fn to_ros(self) -> (i32, u32) {
        let sec = i32::try_from(self.0 / 1_000_000_000).unwrap_or(i32::MAX);
        (sec, (self.0 % 1_000_000_000) as u32)
    }

    /// Nanoseconds since the epoch.
    pub fn nanos(self) -> i64 {
        self.0
    }

    /// Signed seconds from `earlier` to `self`; negative when `self` lies before.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 * 1e-9
    }

    /// How old `self` is at `now`; zero when it lies in the future.
    pub fn age(self, now: Self) -> Duration {
        Duration::from_nanos(u64::try_from(now.0.saturating_sub(self.0)).unwrap_or(0))
    }

    /// `self` + `by`, saturating at the end of time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)))
    }

    /// `self` - `by`, saturating at [`Stamp::FIRST`].
    #[must_use]
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(by.as_nanos()).unwrap_or(i64::MAX)).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_malformed_stamps_are_refused() {
        assert!(Stamp::from_ros("x", 0, 0).is_err());
        assert!(Stamp::from_ros("x", -1, 5).is_err());
        assert!(Stamp::from_ros("x", 1, 1_000_000_000).is_err());
    }

    #[test]
    fn ros_fields_round_trip() {
        let s = Stamp::from_ros("x", 12, 345).unwrap();
        assert_eq!(s.to_ros(), (12, 345));
        assert_eq!(s.plus(Duration::from_millis(5)).seconds_since(s), 0.005);
        assert_eq!(s.age(s.minus(Duration::from_secs(1))), Duration::ZERO);
    }
}

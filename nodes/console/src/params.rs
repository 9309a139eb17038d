//! Parameters of the console.

use crate::{ConsoleError, desk::DeskLimits, view::StaleLimits};
use serde::{Deserialize, Serialize};

/// Parameters of [`crate::ConsoleNode`] and its server. A missing key takes the default, an unknown one is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConsoleParams {
    /// Instruments on PSM1 and PSM2, by dVRK name.
    pub instruments: [String; 2],
    /// Whether the scripted surgeon may log in: `true` on the built-in simulator only.
    pub allow_scripted: bool,
    /// Whether to serve on an address that other machines reach. The console speaks plain HTTP: put TLS in front.
    pub allow_remote: bool,
    /// Names (`host` or `host:port`) by which browsers may call the console besides the address it listens on.
    pub hosts: Vec<String>,
    /// Views per second, [5, 60].
    pub view_hz: f64,
    /// Pictures per second at most, [1, 60].
    pub video_hz: f64,
    /// JPEG quality, [30, 100].
    pub jpeg_quality: u8,
    /// Longest gap between two messages of a hold, ms, [40, 100].
    pub hold_gap_ms: u64,
    /// How old the newest view that a holding client has drawn may be, ms, [100, 500].
    pub seen_ms: u64,
    /// How long the seat is kept for an operator who went away, ms, [0, 60000].
    pub seat_ms: u64,
    /// Age beyond which the picture is stale, ms, [100, 1000].
    pub stale_picture_ms: u64,
    /// How long pictures may repeat the same content, ms, [100, 2000].
    pub stale_frozen_ms: u64,
    /// Age beyond which the scene is stale, ms, [100, 2000].
    pub stale_scene_ms: u64,
    /// Age beyond which measured joints are stale, ms, [20, 1000].
    pub stale_arm_ms: u64,
    /// Age beyond which the safety node counts as silent, ms, [150, 1000].
    pub stale_safety_ms: u64,
}

impl Default for ConsoleParams {
    fn default() -> Self {
        let name = proctor_kinematics::Instrument::DEFAULT;
        Self {
            instruments: [name.to_owned(), name.to_owned()],
            allow_scripted: false,
            allow_remote: false,
            hosts: Vec::new(),
            view_hz: 25.0,
            video_hz: 15.0,
            jpeg_quality: 80,
            hold_gap_ms: 100,
            seen_ms: 250,
            seat_ms: 10_000,
            stale_picture_ms: 250,
            stale_frozen_ms: 500,
            stale_scene_ms: 500,
            stale_arm_ms: 100,
            stale_safety_ms: 300,
        }
    }
}

impl ConsoleParams {
    /// Checks every range; NaN is refused too.
    pub fn validate(&self) -> Result<(), ConsoleError> {
        let ms = |v: u64| v as f64;
        let rows = [
            ("view_hz", self.view_hz, 5.0, 60.0),
            ("video_hz", self.video_hz, 1.0, 60.0),
            ("jpeg_quality", f64::from(self.jpeg_quality), 30.0, 100.0),
            ("hold_gap_ms", ms(self.hold_gap_ms), 40.0, 100.0),
            ("seen_ms", ms(self.seen_ms), 100.0, 500.0),
            ("seat_ms", ms(self.seat_ms), 0.0, 60_000.0),
            ("stale_picture_ms", ms(self.stale_picture_ms), 100.0, 1000.0),
            ("stale_frozen_ms", ms(self.stale_frozen_ms), 100.0, 2000.0),
            ("stale_scene_ms", ms(self.stale_scene_ms), 100.0, 2000.0),
            ("stale_arm_ms", ms(self.stale_arm_ms), 20.0, 1000.0),
            ("stale_safety_ms", ms(self.stale_safety_ms), 150.0, 1000.0),
        ];
        let bad = rows.into_iter().find(|&(_, value, min, max)| !(min..=max).contains(&value));
        bad.map_or(Ok(()), |(name, value, min, max)| Err(ConsoleError::Parameter { name, value, min, max }))
    }

    /// The desk's part.
    pub fn desk_limits(&self) -> DeskLimits {
        DeskLimits { gap_ms: self.hold_gap_ms, seen_ms: self.seen_ms, seat_ms: self.seat_ms }
    }

    /// The view's part.
    pub fn stale_limits(&self) -> StaleLimits {
        StaleLimits {
            picture_ms: self.stale_picture_ms,
            frozen_ms: self.stale_frozen_ms,
            scene_ms: self.stale_scene_ms,
            arm_ms: self.stale_arm_ms,
            safety_ms: self.stale_safety_ms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_safe() {
        let p = ConsoleParams::default();
        assert!(p.validate().is_ok());
        assert!(!p.allow_scripted && !p.allow_remote);
    }

    #[test]
    fn out_of_range_and_nan_are_refused_by_name() {
        for bad in [f64::NAN, 0.0, 61.0, f64::INFINITY] {
            let p = ConsoleParams { view_hz: bad, ..ConsoleParams::default() };
            assert!(matches!(p.validate(), Err(ConsoleError::Parameter { name: "view_hz", .. })), "{bad}");
        }
        let p = ConsoleParams { hold_gap_ms: 101, ..ConsoleParams::default() };
        assert!(p.validate().is_err(), "presence is never kept alive longer than safety allows");
    }
}

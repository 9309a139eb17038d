//! The alignment verdict of one arm, with hysteresis: a pure state machine over what each picture showed.

use crate::params::FusionParams;
use proctor_types::{Alignment, Stamp};

/// What one picture said about one arm.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Sight {
    /// No joints at the stamp of the picture: nothing can be said.
    NoKinematics,
    /// The picture is no evidence (unusable, or no segmentation of it).
    Blind,
    /// The instrument is out of view, as it should be.
    OutOfView,
    /// The instrument should be in view but is not.
    Missing,
    /// The instrument was compared with the picture.
    Seen {
        /// Mean silhouette distance, px.
        residual_px: f64,
        /// What a pixel spans at the instrument, m.
        pixel_m: f64,
        /// Share of features beyond the gate; 0 when there were too few to speak of a share.
        rejected: f64,
        /// Largest standard deviation of the tip position, m.
        tip_sigma: f64,
        /// Whether the correction is larger than any mounting error.
        implausible: bool,
        /// Whether measurements bear out its depth.
        borne_out: bool,
    },
}

/// Time that all must be good after a contradiction before it is trusted again, as a multiple of that after which it was called one.
const AGAIN: f64 = 3.0;

/// Alignment over time.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    alignment: Alignment,
    bad_since: Option<Stamp>,
    good_since: Option<Stamp>,
    /// There was a contradiction, and not yet for long none.
    contradicted: bool,
    last_seen: Option<Stamp>,
    residual_px: f64,
    /// The same over [`Verdict::LATELY`].
    misfit_px: f64,
}

impl Verdict {
    /// The current verdict.
    pub fn alignment(&self) -> Alignment {
        self.alignment
    }

    /// The silhouette distance that the verdict rests on, px; 0 when it rests on none.
    pub fn residual_px(&self) -> f64 {
        match self.alignment {
            Alignment::Unknown | Alignment::KinematicOnly => 0.0,
            Alignment::Converging | Alignment::Aligned | Alignment::Inconsistent => self.residual_px,
        }
    }

    /// Time over which a silhouette distance is averaged that says more than one picture does, s.
    const LATELY: f64 = 0.7;

    /// The silhouette distance of late, px: what lies before an instrument spoils single pictures of it.
    pub fn misfit_px(&self) -> f64 {
        self.misfit_px
    }

    /// Takes in one picture's sight. Returns true when a contradiction has just lasted long enough to be called one.
    pub fn observe(&mut self, now: Stamp, sight: Sight, params: &FusionParams) -> bool {
        let was = self.alignment;
        self.alignment = match sight {
            Sight::NoKinematics => {
                *self = Self::default();
                Alignment::Unknown
            }
            Sight::Blind | Sight::OutOfView => self.unseen(now, params),
            Sight::Missing => {
                if self.bad_for(now) >= params.inconsistent_after_s {
                    // Nothing was measured: what is there is missing.
                    self.residual_px = 0.0;
                    Alignment::Inconsistent
                } else {
                    self.unseen(now, params)
                }
            }
            Sight::Seen { residual_px, pixel_m, rejected, tip_sigma, implausible, borne_out } => {
                let since = self.last_seen.replace(now).map_or(f64::INFINITY, |last| now.seconds_since(last).max(0.0));
                self.residual_px = residual_px;
                self.misfit_px += (residual_px - self.misfit_px) * (since / Self::LATELY).min(1.0);
                // Near the camera the same misfit spans more pixels.
                let fit_px = params.aligned_px.max(params.aligned_m / pixel_m.max(1e-6));
                // Features may clash for a moment (a tool at the rim, a wrong blob) while the outline still fits.
                let clash = rejected > 0.5 && residual_px > fit_px;
                let bad = residual_px > params.inconsistent_px || clash || implausible;
                let slack = if was == Alignment::Aligned { 1.5 } else { 1.0 };
                let good = residual_px <= slack * fit_px && rejected <= 0.5 && !implausible;
                let certain = borne_out && tip_sigma <= slack * params.aligned_sigma_m;
                if bad && self.bad_for(now) >= params.inconsistent_after_s {
                    Alignment::Inconsistent
                } else if !bad {
                    self.after_not_bad(now, was, good, certain, params)
                } else if was == Alignment::Inconsistent {
                    was
                } else {
                    Alignment::Converging
                }
            }
        };
        self.contradicted |= self.alignment == Alignment::Inconsistent;
        self.alignment == Alignment::Inconsistent && was != Alignment::Inconsistent
    }

    fn after_not_bad(
        &mut self,
        now: Stamp,
        was: Alignment,
        good: bool,
        certain: bool,
        params: &FusionParams,
    ) -> Alignment {
        self.bad_since = None;
        let good_for = if good {
            now.seconds_since(*self.good_since.get_or_insert(now))
        } else {
            self.good_since = None;
            -1.0
        };
        // Trust comes back more slowly than it was lost: what was just thrown away may have fallen for something else, and looks surer than
        // it is while it finds back.
        let trusted = was != Alignment::Inconsistent || good_for >= params.inconsistent_after_s;
        self.contradicted &= good_for < AGAIN * params.inconsistent_after_s;
        match (good && trusted, certain && !self.contradicted) {
            (true, true) => Alignment::Aligned,
            _ if !trusted => Alignment::Inconsistent,
            _ => Alignment::Converging,
        }
    }

    fn bad_for(&mut self, now: Stamp) -> f64 {
        self.good_since = None;
        now.seconds_since(*self.bad_since.get_or_insert(now))
    }

    /// Keeps the verdict for a moment, then falls back to kinematics; a contradiction stays one until it is disproved.
    fn unseen(&mut self, now: Stamp, params: &FusionParams) -> Alignment {
        let held = self.last_seen.is_some_and(|t| (0.0..=params.unseen_hold_s).contains(&now.seconds_since(t)));
        match self.alignment {
            Alignment::Inconsistent => Alignment::Inconsistent,
            Alignment::Aligned | Alignment::Converging if held => self.alignment,
            _ => Alignment::KinematicOnly,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Alignment::{Aligned, Converging, Inconsistent, KinematicOnly, Unknown};

    fn seen(residual_px: f64, tip_sigma: f64) -> Sight {
        Sight::Seen { residual_px, pixel_m: 2e-4, rejected: 0.0, tip_sigma, implausible: false, borne_out: true }
    }

    #[test]
    fn a_misfit_counts_in_metres_near_the_camera_and_in_pixels_far_from_it() {
        let params = FusionParams { aligned_px: 5.0, aligned_m: 9e-4, ..FusionParams::default() };
        for (pixel_m, residual_px, expected) in
            [(9e-5, 9.5, Aligned), (9e-5, 10.5, Converging), (3e-4, 4.5, Aligned), (3e-4, 5.5, Converging)]
        {
            let mut v = Verdict::default();
            let sight = Sight::Seen {
                residual_px,
                pixel_m,
                rejected: 0.0,
                tip_sigma: 5e-4,
                implausible: false,
                borne_out: true,
            };
            v.observe(Stamp::from_nanos("test", 1_000_000_000).unwrap(), sight, &params);
            assert_eq!(v.alignment(), expected, "{residual_px} px of {pixel_m} m");
        }
    }

    #[test]
    fn the_misfit_of_late_is_no_single_picture_s() {
        let (params, mut v) = (FusionParams::default(), Verdict::default());
        let mut at = |ms: i64, residual_px| {
            v.observe(
                Stamp::from_nanos("test", 1_000_000_000 + ms * 1_000_000).unwrap(),
                seen(residual_px, 5e-4),
                &params,
            );
            v.misfit_px()
        };
        assert_eq!(at(0, 3.0), 3.0, "the first is all there is");
        assert!((at(70, 33.0) - 6.0).abs() < 1e-9, "a tenth of the time");
        (2..40).for_each(|k| assert!(at(70 * k, 3.0) < 6.0));
        let lasting: Vec<f64> = (40..60).map(|k| at(70 * k, 33.0)).collect();
        assert!(lasting[5] < 20.0 && lasting[19] > 28.0, "{lasting:?}");
        assert_eq!(at(60_000, 3.0), 3.0, "after a minute the old ones say nothing");
    }

    #[test]
    fn timelines() {
        let good = seen(2.0, 0.0005);
        let unsure = seen(2.0, 0.005);
        let off = seen(30.0, 0.0005);
        // (milliseconds, sight, expected verdict); defaults: contradiction after 0.7 s, trust again after 2.1 s, hold 0.5 s.
        let lines: &[&[(i64, Sight, Alignment)]] = &[
            &[
                (0, unsure, Converging),
                (100, good, Aligned),
                (200, seen(2.0, 0.002), Aligned),
                (300, unsure, Converging),
            ],
            &[(0, good, Aligned), (400, Sight::OutOfView, Aligned), (600, Sight::OutOfView, KinematicOnly)],
            &[(0, good, Aligned), (100, off, Converging), (700, off, Converging), (800, off, Inconsistent)],
            &[
                (0, good, Aligned),
                (100, Sight::Missing, Aligned),
                (600, Sight::Missing, KinematicOnly),
                (900, Sight::Missing, Inconsistent),
            ],
            &[
                (0, off, Converging),
                (800, off, Inconsistent),
                (900, good, Inconsistent),
                (1700, good, Converging),
                (2900, good, Converging),
                (3100, good, Aligned),
            ],
            &[(0, off, Converging), (800, off, Inconsistent), (900, Sight::Blind, Inconsistent)],
            &[(0, good, Aligned), (100, Sight::NoKinematics, Unknown), (200, Sight::Blind, KinematicOnly)],
        ];
        for (i, line) in lines.iter().enumerate() {
            let mut v = Verdict::default();
            for (ms, sight, expected) in *line {
                let now = Stamp::from_nanos("test", 1_000_000_000 + ms * 1_000_000).unwrap();
                v.observe(now, *sight, &FusionParams::default());
                assert_eq!(v.alignment(), *expected, "line {i} at {ms} ms");
            }
        }
    }
}

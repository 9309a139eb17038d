//! What can be tuned, with unit, range and reason; a missing key takes the default, an unknown one is refused.

use crate::FusionError;
use proctor_types::{Class, Scene};
use serde::{Deserialize, Serialize};
use std::time::Duration;

macro_rules! params {
    ($($(#[$doc:meta])* $name:ident: $ty:ty = $default:expr, $range:expr;)+) => {
        /// Parameters of fusion. Lengths in metres, angles in radians, times in seconds, pixels of the full-size
        /// left picture, unless the name says otherwise. Ranges are closed.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct FusionParams {
            /// Instrument on PSM1 and PSM2, by dVRK name (`proctor_kinematics::Instrument::named`).
            pub instruments: [String; 2],
            /// Tissue classes whose movement raises `zones_version`. Not the gallbladder by default: it is what
            /// skills move, and a motion must not outdate itself.
            pub guarded: Vec<Class>,
            $($(#[$doc])* pub $name: $ty,)+
        }

        impl Default for FusionParams {
            fn default() -> Self {
                Self {
                    instruments: ["LARGE_NEEDLE_DRIVER_400006".to_owned(), "LARGE_NEEDLE_DRIVER_400006".to_owned()],
                    guarded: vec![
                        Class::AbdominalWall,
                        Class::Liver,
                        Class::CysticDuct,
                        Class::CysticArtery,
                        Class::Fat,
                    ],
                    $($name: $default,)+
                }
            }
        }

        impl FusionParams {
            fn check_ranges(&self) -> Result<(), FusionError> {
                $({
                    let (value, (min, max)): (f64, (f64, f64)) = (self.$name as f64, $range);
                    // Written so that NaN is refused too.
                    if !(value >= min && value <= max) {
                        return Err(FusionError::Parameter { name: stringify!($name), value, min, max });
                    }
                })+
                Ok(())
            }
        }
    };
}

params! {
    /// Furthest joints are carried beyond their newest sample by their velocity, s, 0..0.1.
    extrapolate_max_s: f64 = 0.02, (0.0, 0.1);
    /// Widest gap between joint samples that is interpolated, s, 0.001..1.
    gap_max_s: f64 = 0.1, (0.001, 1.0);
    /// A stamp this far behind the newest means the clock was set back, s, 0.1..60.
    clock_reset_s: f64 = 1.0, (0.1, 60.0);

    /// Largest standard deviation at which the offset between the stamps of pictures and joints counts as known, s, 0.001..0.1.
    time_sigma_s: f64 = 0.015, (0.001, 0.1);
    /// Offset that is reckoned with while it has not been measured, s (standard deviation), 0..0.3: what moves counts less for so much.
    time_prior_s: f64 = 0.05, (0.0, 0.3);
    /// How fast two clocks may drift apart, s per s, 0..0.01. Two crystals of 50 ppm make 1e-4.
    time_drift: f64 = 1e-4, (0.0, 0.01);
    /// A change of the offset that puts what was learnt before in doubt, s, 0.005..0.5.
    time_jump_s: f64 = 0.03, (0.005, 0.5);

    /// Prior standard deviation of an arm's base position, per axis, m, 0.0001..0.05.
    prior_translation_m: f64 = 0.005, (1e-4, 0.05);
    /// Prior standard deviation of an arm's base orientation, per axis, rad, 0.001..0.3 (default 3 degrees).
    prior_rotation_rad: f64 = 0.052_36, (1e-3, 0.3);
    /// Random walk of the base position while the arm moves, m per square root of a second, 0..0.01 (at rest a tenth of the time counts).
    drift_translation: f64 = 1.0e-4, (0.0, 0.01);
    /// Random walk of the base orientation while the arm moves, rad per square root of a second, 0..0.05.
    drift_rotation: f64 = 7.0e-4, (0.0, 0.05);
    /// Time over which the errors of successive pictures count as the same error, s, 0.001..10: what a mask gets
    /// wrong now it gets wrong in the next picture too, so 30 pictures a second are not 30 measurements.
    decorrelation_s: f64 = 0.4, (0.001, 10.0);
    /// A tool and camera at rest show the same errors for ever: they count as this many independent pictures, 0.5..1000.
    rest_evidence: f64 = 4.0, (0.5, 1000.0);
    /// Movement of the tip before the camera after which a picture is new evidence, m, 0.0005..0.1.
    novel_m: f64 = 0.004, (5e-4, 0.1);
    /// Uncertainty of the tip beyond the base's (joint noise, tool geometry), m per axis, 0..0.01.
    tip_floor_m: f64 = 4.0e-4, (0.0, 0.01);
    /// Corrections larger than this are implausible, m, 0.005..0.2; no more than safety believes (`hand_eye_translation`), or nothing could be run.
    max_correction_m: f64 = 0.02, (0.005, 0.2);
    /// As above, rad, 0.02..1 (`hand_eye_rotation`).
    max_correction_rad: f64 = 0.2, (0.02, 1.0);

    /// The shaft class ends this far before the wrist-pitch axis, m, 0..0.03: a matter of how the training data
    /// are labelled (the clevis counts as wrist).
    shaft_end_m: f64 = 0.006, (0.0, 0.03);
    /// The wrist class ends this far beyond the wrist-yaw axis, m, 0..0.01.
    wrist_end_m: f64 = 0.0018, (0.0, 0.01);

    /// Noise of the shaft's centre line in the mask, px, 0.1..20.
    sigma_centre_px: f64 = 1.0, (0.1, 20.0);
    /// Noise of the shaft's width in the mask (masks dilate and shrink), px, 0.1..40.
    sigma_width_px: f64 = 4.0, (0.1, 40.0);
    /// Noise of the shaft's width where both edges were found in the picture itself, px, 0.1..40.
    sigma_sharp_width_px: f64 = 1.2, (0.1, 40.0);
    /// Noise of a single shaft edge, px, 0.1..20.
    sigma_edge_px: f64 = 2.0, (0.1, 20.0);
    /// Noise of the boundary between shaft and wrist, px, 0.1..40.
    sigma_shaft_end_px: f64 = 5.0, (0.1, 40.0);
    /// Noise of the centres of wrist and jaws, px, 0.1..40.
    sigma_part_px: f64 = 5.0, (0.1, 40.0);
    /// Noise of perception's keypoints, px, 0.1..40.
    sigma_keypoint_px: f64 = 5.0, (0.1, 40.0);
    /// Noise of the instrument's disparity, px, 0.1..10.
    sigma_disparity_px: f64 = 0.6, (0.1, 10.0);
    /// Innovations beyond this many standard deviations are rejected, 2..10.
    gate: f64 = 4.0, (2.0, 10.0);
    /// Huber threshold in standard deviations, 0.5..5.
    huber: f64 = 1.5, (0.5, 5.0);
    /// Smallest instrument blob that is looked at, pixels of the label image, 5..5000.
    min_blob_px: usize = 60, (5.0, 5000.0);

    /// Largest tip standard deviation (worst direction) of an aligned instrument, m, 0.0002..0.01.
    aligned_sigma_m: f64 = 0.0015, (2e-4, 0.01);
    /// Largest mean silhouette distance of an aligned instrument, at its depth, m, 0.0001..0.01. Capsules stand for the instrument's
    /// true shape, so up to a millimetre is shape, not place.
    aligned_m: f64 = 9.0e-4, (1e-4, 0.01);
    /// The same in the picture, px, 1..50; the larger of the two counts.
    aligned_px: f64 = 5.0, (1.0, 50.0);
    /// Mean silhouette distance that contradicts the kinematics, px, 2..100.
    inconsistent_px: f64 = 14.0, (2.0, 100.0);
    /// How long a contradiction lasts before the verdict says so, s, 0.05..10.
    inconsistent_after_s: f64 = 0.7, (0.05, 10.0);
    /// How long the last measurement speaks for an instrument that is out of sight, s, 0..5.
    unseen_hold_s: f64 = 0.5, (0.0, 5.0);
    /// A depth measured this near to the believed one, or within twice its own noise, bears it out, m, 0.0005..0.02.
    borne_out_m: f64 = 0.0025, (5e-4, 0.02);
    /// How long an instrument in view is believed at its depth without a measurement that bears it out, s, 0.5..60.
    borne_out_within_s: f64 = 3.0, (0.5, 60.0);
    /// Movement of the tip that makes a new hand-eye version, m, 0.0001..0.02.
    version_tip_m: f64 = 0.001, (1e-4, 0.02);
    /// Rotation of the tip that makes a new hand-eye version, rad, 0.001..0.3.
    version_tip_rad: f64 = 0.02, (1e-3, 0.3);

    /// Every how many pictures stereo runs, 1..10.
    stereo_every: u32 = 2, (1.0, 10.0);
    /// Nearest depth stereo looks for, m, 0.01..0.2.
    depth_min_m: f64 = 0.042, (0.01, 0.2);
    /// Furthest depth stereo looks for, m, 0.05..1.
    depth_max_m: f64 = 0.2, (0.05, 1.0);
    /// Spacing of surface points in the picture, px, 4..64.
    grid_px: usize = 12, (4.0, 64.0);
    /// Bound on published surface points, 0..2048.
    max_surface_points: usize = Scene::MAX_SURFACE_POINTS, (0.0, Scene::MAX_SURFACE_POINTS as f64);
    /// Matching noise of a surface point, px of disparity, 0.05..5.
    sigma_stereo_px: f64 = 0.25, (0.05, 5.0);
    /// Surface points not seen again fade after this, s, 0.05..60.
    surface_age_s: f64 = 1.0, (0.05, 60.0);
    /// As above, behind an instrument, s, 0.05..60.
    occluded_age_s: f64 = 3.0, (0.05, 60.0);
    /// How fast tissue may move unseen, m per square root of a second, 0..0.1.
    surface_drift: f64 = 0.002, (0.0, 0.1);
    /// Labels with a higher per-pixel uncertainty (0..255) give no surface point.
    max_uncertainty: u8 = 170, (0.0, 255.0);
    /// Movement of a guarded surface that makes a new zones version, m, 0.0005..0.05.
    zones_moved_m: f64 = 0.004, (5e-4, 0.05);
    /// Share of the guarded surface that must have moved, 0.005..1.
    zones_moved_share: f64 = 0.08, (0.005, 1.0);
    /// Surface this near to an instrument does not count as moved (it is being worked on), m, 0..0.1.
    zones_tool_radius_m: f64 = 0.015, (0.0, 0.1);
    /// How long duct and artery are remembered for choosing the grasp, s, 0..60.
    landmark_memory_s: f64 = 5.0, (0.0, 60.0);
    /// Least gap between the gallbladder's grasp target and duct or artery, m, 0..0.1.
    grasp_min_distance_m: f64 = 0.01, (0.0, 0.1);
}

impl FusionParams {
    /// What is read when the node is made, and by [`crate::Fusion::adjust`] no more.
    pub const FIXED: &[&str] = &[
        "instruments",
        "extrapolate_max_s",
        "gap_max_s",
        "clock_reset_s",
        "prior_translation_m",
        "prior_rotation_rad",
        "shaft_end_m",
        "wrist_end_m",
    ];

    /// Refuses values outside their documented range and orders that make no sense.
    pub fn validate(&self) -> Result<(), FusionError> {
        self.check_ranges()?;
        let order = |name, value, min, max| Err(FusionError::Parameter { name, value, min, max });
        if self.depth_max_m <= self.depth_min_m {
            return order("depth_max_m", self.depth_max_m, self.depth_min_m, 1.0);
        }
        if self.inconsistent_px <= self.aligned_px {
            return order("inconsistent_px", self.inconsistent_px, self.aligned_px, 100.0);
        }
        if let Some(class) = self.guarded.iter().find(|c| !c.is_tissue()) {
            return Err(FusionError::NotTissue { class: *class });
        }
        Ok(())
    }

    /// Time bounds of the kinematics histories.
    pub(crate) fn history_bounds(&self) -> crate::HistoryBounds {
        crate::HistoryBounds {
            extrapolate_max: Duration::from_secs_f64(self.extrapolate_max_s),
            gap_max: Duration::from_secs_f64(self.gap_max_s),
            clock_reset: Duration::from_secs_f64(self.clock_reset_s),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_out_of_range_values_are_named() {
        FusionParams::default().validate().unwrap();
        for bad in [f64::NAN, -1.0, f64::INFINITY] {
            let p = FusionParams { extrapolate_max_s: bad, ..FusionParams::default() };
            assert!(matches!(p.validate(), Err(FusionError::Parameter { name: "extrapolate_max_s", .. })));
        }
        let p = FusionParams { inconsistent_px: 3.0, ..FusionParams::default() };
        assert!(matches!(p.validate(), Err(FusionError::Parameter { name: "inconsistent_px", .. })));
        let p = FusionParams { guarded: vec![Class::InstrumentJaws], ..FusionParams::default() };
        assert!(matches!(p.validate(), Err(FusionError::NotTissue { class: Class::InstrumentJaws })));
    }
}

//! What a calibration is worth, in plain words, and what to do about it.

use crate::{CameraFit, Coverage, HandEyeFit, StereoFit};
use serde::Serialize;
use std::fmt;

/// How good a calibration is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Grade {
    /// Use it.
    Good,
    /// Usable, and could be better.
    Fair,
    /// Take other pictures.
    Poor,
}

/// A grade with its reasons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// The grade: that of the worst reason.
    pub grade: Grade,
    /// What was measured, in one line.
    pub measured: String,
    /// What keeps it from being good, each with what to do.
    pub reasons: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let grade = match self.grade {
            Grade::Good => "good",
            Grade::Fair => "fair",
            Grade::Poor => "poor",
        };
        write!(f, "{grade}: {}", self.measured)?;
        self.reasons.iter().try_for_each(|r| write!(f, "; {r}"))
    }
}

/// Collects reasons.
struct Judge {
    grade: Grade,
    reasons: Vec<(Grade, String)>,
}

impl Judge {
    fn new() -> Self {
        Self { grade: Grade::Good, reasons: Vec::new() }
    }

    /// A figure that is the worse the larger it is.
    fn at_most(&mut self, value: f64, good: f64, fair: f64, say: impl FnOnce() -> String) {
        let grade = match value {
            v if v <= good => return,
            v if v <= fair => Grade::Fair,
            _ => Grade::Poor, // NaN too
        };
        self.grade = self.grade.max(grade);
        self.reasons.push((grade, say()));
    }

    /// A figure that is the worse the smaller it is.
    fn at_least(&mut self, value: f64, good: f64, fair: f64, say: impl FnOnce() -> String) {
        self.at_most(-value, -good, -fair, say);
    }

    fn verdict(mut self, measured: String) -> Verdict {
        self.reasons.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
        Verdict { grade: self.grade, measured, reasons: self.reasons.into_iter().map(|(_, r)| r).collect() }
    }
}

/// Residual that is good for this width: half a pixel up to 1280 px, in proportion above.
fn good_px(width: u32) -> f64 {
    0.5 * (f64::from(width) / 1280.0).max(1.0)
}

/// Of one camera.
pub fn judge_camera(fit: &CameraFit, coverage: &Coverage) -> Verdict {
    let mut judge = Judge::new();
    camera(&mut judge, fit, coverage, "");
    judge.verdict(format!("{:.2} px over {} views", fit.rms, fit.used_views()))
}

fn camera(judge: &mut Judge, fit: &CameraFit, coverage: &Coverage, of: &str) {
    let limit = good_px(fit.intrinsics.width);
    judge.at_most(fit.rms, limit, 2.0 * limit, || {
        format!(
            "{of}the corners miss by {:.2} px (RMS): is the board flat, its size right, the picture sharp?",
            fit.rms
        )
    });
    let (edge, reach) = coverage.weakest_edge();
    judge.at_least(reach, 0.7, 0.5, || {
        let middle = if coverage.reach.iter().all(|r| *r < 0.7) {
            "only the middle of the picture"
        } else {
            "not the whole picture"
        };
        format!(
            "{of}the corners cover {middle} ({:.0} % of the way to the {edge} edge), take views near the edges",
            100.0 * reach
        )
    });
    judge.at_least(coverage.cells, 0.5, 0.3, || {
        format!("{of}the corners fill {:.0} % of the picture, move the board around more", 100.0 * coverage.cells)
    });
    judge.at_least(coverage.tilt.1, 20.0, 10.0, || {
        format!(
            "{of}the board is tilted by at most {:.0} degrees, tilt it by 20 to 40 in several directions",
            coverage.tilt.1
        )
    });
    let focal = 100.0 * (fit.sigma.fx / fit.intrinsics.fx).max(fit.sigma.fy / fit.intrinsics.fy);
    judge.at_most(focal, 0.5, 2.0, || {
        format!("{of}the focal length is known only to {focal:.1} % (1 sigma), add tilted views")
    });
    views(judge, fit.used_views(), of);
}

fn views(judge: &mut Judge, used: usize, of: &str) {
    judge.at_least(used as f64, 10.0, 6.0, || format!("{of}only {used} views, 15 and more are better"));
}

/// Of a pair of cameras.
pub fn judge_stereo(fit: &StereoFit, coverage: [&Coverage; 2]) -> Verdict {
    let mut judge = Judge::new();
    camera(&mut judge, &fit.left, coverage[0], "left: ");
    camera(&mut judge, &fit.right, coverage[1], "right: ");
    let limit = good_px(fit.left.intrinsics.width);
    judge.at_most(fit.rms, limit, 2.0 * limit, || {
        format!("both cameras together miss by {:.2} px: are the pictures of a pair from the same moment?", fit.rms)
    });
    judge.at_most(fit.epipolar_rms, limit, 2.0 * limit, || {
        format!("rows of left and right differ by {:.2} px after rectification", fit.epipolar_rms)
    });
    views(&mut judge, fit.used_pairs(), "pairs: ");
    judge.verdict(format!(
        "{:.2} px over {} pairs, baseline {:.3} mm, rows agree to {:.2} px",
        fit.rms,
        fit.used_pairs(),
        fit.baseline() * 1e3,
        fit.epipolar_rms
    ))
}

/// Of a hand-eye transform.
pub fn judge_hand_eye(fit: &HandEyeFit) -> Verdict {
    let mut judge = Judge::new();
    let miss = fit.miss();
    judge.at_most(miss.mm, 1.0, 3.0, || {
        format!(
            "robot and pictures disagree by {:.1} mm (RMS): check the arm's joint calibration and that nothing slipped",
            miss.mm
        )
    });
    judge.at_most(miss.degrees, 1.0, 3.0, || {
        format!("robot and pictures disagree by {:.1} degrees (RMS)", miss.degrees)
    });
    judge.at_most(fit.sigma.position(), 0.5, 2.0, || {
        format!("the position is known only to {:.1} mm (1 sigma), add poses with more rotation", fit.sigma.position())
    });
    judge.at_least(fit.turns.1, 8.0, 4.0, || {
        format!(
            "the robot turned mostly about one axis ({:.0} degrees RMS about the second), turn it about others too",
            fit.turns.1
        )
    });
    views(&mut judge, fit.used_views(), "");
    judge.verdict(format!(
        "{:.2} px over {} poses, board predicted to {:.2} mm and {:.2} degrees, 1 sigma {:.2} mm and {:.3} degrees",
        fit.rms,
        fit.used_views(),
        miss.mm,
        miss.degrees,
        fit.sigma.position(),
        fit.sigma.rotation()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Intrinsics, IntrinsicsSigma};

    fn fit(rms: f64) -> CameraFit {
        let intrinsics =
            Intrinsics { width: 640, height: 480, fx: 500.0, fy: 500.0, cx: 320.0, cy: 240.0, distortion: [0.0; 5] };
        let sigma = IntrinsicsSigma { fx: 0.5, fy: 0.5, cx: 0.5, cy: 0.5, distortion: [0.0; 5] };
        let view = crate::FittedView {
            name: String::new(),
            camera_from_board: nalgebra::Isometry3::identity(),
            residuals: Vec::new(),
            used: true,
        };
        CameraFit { intrinsics, sigma, views: vec![view; 18], rejections: Vec::new(), rms }
    }

    const WIDE: Coverage = Coverage { cells: 0.8, reach: [0.9; 4], tilt: (3.0, 35.0) };

    #[test]
    fn a_good_calibration_says_only_what_was_measured() {
        assert_eq!(judge_camera(&fit(0.21), &WIDE).to_string(), "good: 0.21 px over 18 views");
    }

    #[test]
    fn the_worst_reason_makes_the_grade_and_comes_first() {
        let middle = Coverage { cells: 0.4, reach: [0.4; 4], ..WIDE };
        let verdict = judge_camera(&fit(0.21), &middle);
        assert_eq!(verdict.grade, Grade::Poor);
        assert!(
            verdict.reasons[0].contains("only the middle of the picture")
                && verdict.reasons[0].contains("near the edges")
        );
        let flat = judge_camera(&fit(0.7), &Coverage { tilt: (0.0, 4.0), ..WIDE });
        assert!(flat.grade == Grade::Poor && flat.reasons[0].contains("tilted by at most 4 degrees"), "{flat}");
        assert_eq!(judge_camera(&fit(f64::NAN), &WIDE).grade, Grade::Poor);
    }
}

//! What every fit shares: residuals per corner, who is left out and why, robust spread.

use crate::{BoardSpec, Intrinsics, View};
use nalgebra::{Isometry3, Vector2};

/// Fewest views that a calibration is made from.
pub const MIN_VIEWS: usize = 6;
/// Corners nearer than this to where they should be are never left out, px.
pub const ALWAYS_KEPT_PX: f64 = 0.5;
/// Corners farther than this many robust standard deviations are left out (1 in 270,000 of good ones).
pub const CORNER_SIGMAS: f64 = 5.0;
/// Views whose RMS is this many times the median view's are left out.
pub const VIEW_FACTOR: f64 = 3.0;
/// A view that loses more than this share of its corners is left out as a whole.
pub const MAX_LOST_SHARE: f64 = 0.4;
/// Rounds of fitting and leaving out.
pub const MAX_ROUNDS: usize = 8;

/// One corner of one view.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Residual {
    /// Number of the corner.
    pub id: usize,
    /// Where it was seen, px.
    pub pixel: Vector2<f64>,
    /// Seen minus predicted, px.
    pub error: Vector2<f64>,
    /// Whether the fit used it.
    pub used: bool,
}

/// One view after a fit.
#[derive(Debug, Clone, PartialEq)]
pub struct FittedView {
    /// The picture's name.
    pub name: String,
    /// The board in the camera's optical frame, metres.
    pub camera_from_board: Isometry3<f64>,
    /// Every corner, used or not.
    pub residuals: Vec<Residual>,
    /// Whether the fit used any of them.
    pub used: bool,
}

impl FittedView {
    /// Root mean square of the used corners' errors (of all, if the view was left out), px.
    pub fn rms(&self) -> f64 {
        rms(self.residuals.iter().filter(|r| r.used || !self.used).map(|r| r.error))
    }
}

/// Something that was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Rejection {
    /// The picture's name.
    pub view: String,
    /// What was left out of it, and why.
    pub what: Rejected,
}

/// What was left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rejected {
    /// The whole view, whose corners miss by this much, px.
    View {
        /// RMS, px.
        rms: f64,
    },
    /// Some corners.
    Corners {
        /// How many.
        count: usize,
        /// The farthest, px.
        worst: f64,
    },
    /// The whole pair: the right camera sees the board elsewhere than the left one.
    Pair {
        /// By this angle, degrees.
        degrees: f64,
        /// And this distance, mm.
        mm: f64,
    },
    /// The whole view: the robot's pose contradicts the picture.
    Pose {
        /// By this angle, degrees.
        degrees: f64,
    },
}

impl std::fmt::Display for Rejection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let view = &self.view;
        match self.what {
            Rejected::View { rms } => write!(f, "{view} left out: its corners miss by {rms:.2} px (RMS)"),
            Rejected::Corners { count, worst } => {
                write!(f, "{view}: {count} corner(s) left out, the worst {worst:.2} px off")
            }
            Rejected::Pair { degrees, mm } => {
                write!(f, "{view} left out: left and right see the board {degrees:.1} degrees, {mm:.1} mm apart")
            }
            Rejected::Pose { degrees } => {
                write!(f, "{view} left out: the robot's pose is {degrees:.1} degrees from what the picture shows")
            }
        }
    }
}

/// Which corners of which views a fit uses.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Selection {
    pub(crate) views: Vec<bool>,
    pub(crate) corners: Vec<Vec<bool>>,
}

impl Selection {
    pub(crate) fn all(views: &[View]) -> Self {
        Self { views: vec![true; views.len()], corners: views.iter().map(|v| vec![true; v.corners.len()]).collect() }
    }

    pub(crate) fn used_views(&self) -> usize {
        self.views.iter().filter(|v| **v).count()
    }

    pub(crate) fn uses(&self, view: usize, corner: usize) -> bool {
        self.views[view] && self.corners[view][corner]
    }

    /// Leaves out what contradicts the rest, by the errors of every corner of every view. Returns whether anything was.
    ///
    /// Views go first, and while any went the corners stay: a bad view bends the fit of the good ones.
    pub(crate) fn narrow(&mut self, errors: &[Vec<Vector2<f64>>]) -> bool {
        let used = |view: usize| {
            let pairs = errors[view].iter().zip(&self.corners[view]);
            rms(pairs.filter(|(_, used)| **used).map(|(e, _)| *e))
        };
        let views: Vec<usize> = (0..self.views.len()).filter(|v| self.views[*v]).collect();
        let by_view: Vec<f64> = views.iter().map(|v| used(*v)).collect();
        let view_limit = (VIEW_FACTOR * median(by_view.clone())).max(ALWAYS_KEPT_PX);
        let bad: Vec<usize> =
            views.iter().zip(&by_view).filter(|(_, rms)| **rms > view_limit).map(|(v, _)| *v).collect();
        if !bad.is_empty() {
            bad.iter().for_each(|v| self.views[*v] = false);
            return true;
        }
        let lengths = views
            .iter()
            .flat_map(|v| errors[*v].iter().zip(&self.corners[*v]).filter(|(_, used)| **used).map(|(e, _)| e.norm()));
        // The length of a two-dimensional Gaussian error has its median at 1.1774 standard deviations.
        let corner_limit = (CORNER_SIGMAS * median(lengths.collect()) / 1.1774).max(ALWAYS_KEPT_PX);
        let mut changed = false;
        for v in views {
            for (error, used) in errors[v].iter().zip(&mut self.corners[v]) {
                if *used && error.norm() > corner_limit {
                    *used = false;
                    changed = true;
                }
            }
            let kept = self.corners[v].iter().filter(|c| **c).count();
            if (kept as f64) < (1.0 - MAX_LOST_SHARE) * self.corners[v].len() as f64 {
                self.views[v] = false;
                changed = true;
            }
        }
        changed
    }

    /// What is left out, in words' order: by view.
    pub(crate) fn rejections(&self, views: &[FittedView]) -> Vec<Rejection> {
        let mut out = Vec::new();
        for (v, view) in views.iter().enumerate() {
            let lost = view.residuals.iter().filter(|r| !r.used);
            let (count, worst) = lost.fold((0, 0.0f64), |(n, w), r| (n + 1, w.max(r.error.norm())));
            if !self.views[v] {
                out.push(Rejection { view: view.name.clone(), what: Rejected::View { rms: view.rms() } });
            } else if count > 0 {
                out.push(Rejection { view: view.name.clone(), what: Rejected::Corners { count, worst } });
            }
        }
        out
    }
}

/// Seen minus predicted for every corner of a view; far off where the prediction is behind the camera.
pub(crate) fn errors(
    board: &BoardSpec,
    camera: &Intrinsics,
    view: &View,
    camera_from_board: &Isometry3<f64>,
) -> Vec<Vector2<f64>> {
    let one = |c: &crate::Corner| match camera.project(&(camera_from_board * board.point(c.id))) {
        Some(pixel) => c.pixel - pixel,
        None => Vector2::repeat(f64::from(camera.width)),
    };
    view.corners.iter().map(one).collect()
}

/// Joins a view with its errors.
pub(crate) fn fitted(
    view: &View,
    errors: &[Vector2<f64>],
    camera_from_board: Isometry3<f64>,
    used: impl Fn(usize) -> bool,
) -> FittedView {
    let residual = |(i, (c, e)): (usize, (&crate::Corner, &Vector2<f64>))| Residual {
        id: c.id,
        pixel: c.pixel,
        error: *e,
        used: used(i),
    };
    let residuals: Vec<_> = view.corners.iter().zip(errors).enumerate().map(residual).collect();
    let used = residuals.iter().any(|r| r.used);
    FittedView { name: view.name.clone(), camera_from_board, residuals, used }
}

/// Root mean square length; 0 of nothing.
pub(crate) fn rms(errors: impl Iterator<Item = Vector2<f64>>) -> f64 {
    let (n, sum) = errors.fold((0usize, 0.0), |(n, sum), e| (n + 1, sum + e.norm_squared()));
    if n == 0 { 0.0 } else { (sum / n as f64).sqrt() }
}

/// RMS over the used corners of all views, px.
pub(crate) fn total_rms(views: &[FittedView]) -> f64 {
    rms(views.iter().flat_map(|v| &v.residuals).filter(|r| r.used).map(|r| r.error))
}

/// Median, the upper one of two; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Corner;

    /// Ten views of 20 corners, each 0.1 px off.
    fn views() -> (Vec<View>, Vec<Vec<Vector2<f64>>>) {
        let corner = |id| Corner { id, pixel: Vector2::zeros() };
        let view = |n: usize| View { name: format!("{n}.png"), corners: (0..20).map(corner).collect() };
        ((0..10).map(view).collect(), vec![vec![Vector2::new(0.1, 0.0); 20]; 10])
    }

    #[test]
    fn good_corners_all_stay() {
        let (views, errors) = views();
        assert!(!Selection::all(&views).narrow(&errors));
    }

    #[test]
    fn a_bad_view_goes_before_any_corner_does() {
        let (views, mut errors) = views();
        errors[3] = vec![Vector2::new(4.0, 0.0); 20];
        errors[5][7] = Vector2::new(2.0, 0.0);
        let mut selection = Selection::all(&views);
        assert!(selection.narrow(&errors) && !selection.views[3] && selection.uses(5, 7));
        assert!(selection.narrow(&errors) && !selection.uses(5, 7) && selection.views[5]);
        assert!(!selection.narrow(&errors), "nothing is left to leave out");
    }

    #[test]
    fn a_view_that_loses_many_corners_goes_as_a_whole() {
        let (views, mut errors) = views();
        // 9 of 20 half a pixel off: the view's RMS is below the limit for views, its corners are not.
        errors[2].iter_mut().take(9).for_each(|e| *e = Vector2::new(0.0, 0.6));
        let mut selection = Selection::all(&views);
        while selection.narrow(&errors) {}
        assert_eq!((selection.used_views(), selection.views[2]), (9, false));
    }
}

//! How well the views cover what a calibration needs: the whole picture, and the board from several sides.

use crate::FittedView;
use nalgebra::Vector3;

/// What the used corners cover.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Coverage {
    /// Share of the cells of an 8 x 6 grid over the picture that hold a corner.
    pub cells: f64,
    /// How far corners reach from the middle to the left, right, top and bottom edge, as shares of the way.
    pub reach: [f64; 4],
    /// Least and largest angle between the board's normal and the optical axis, degrees.
    pub tilt: (f64, f64),
}

const COLUMNS: usize = 8;
const ROWS: usize = 6;

impl Coverage {
    /// Of the used corners of pictures of this size.
    pub fn of<'a>((width, height): (u32, u32), views: impl Iterator<Item = &'a FittedView>) -> Self {
        let (w, h) = (f64::from(width), f64::from(height));
        let mut hit = [[false; COLUMNS]; ROWS];
        let mut reach = [0.0f64; 4];
        let mut tilt = (90.0f64, 0.0f64);
        for view in views.filter(|v| v.used) {
            let normal = view.camera_from_board.rotation * Vector3::z();
            let degrees = normal.z.abs().min(1.0).acos().to_degrees();
            tilt = (tilt.0.min(degrees), tilt.1.max(degrees));
            for corner in view.residuals.iter().filter(|r| r.used) {
                let (x, y) = ((corner.pixel.x + 0.5) / w, (corner.pixel.y + 0.5) / h);
                let cell = |v: f64, n: usize| ((v * n as f64) as usize).min(n - 1);
                hit[cell(y, ROWS)][cell(x, COLUMNS)] = true;
                for (way, v) in reach.iter_mut().zip([1.0 - 2.0 * x, 2.0 * x - 1.0, 1.0 - 2.0 * y, 2.0 * y - 1.0]) {
                    *way = way.max(v);
                }
            }
        }
        let cells = hit.iter().flatten().filter(|c| **c).count() as f64 / (COLUMNS * ROWS) as f64;
        Self { cells, reach, tilt }
    }

    /// The edge that corners come least near to, with the share of the way to it.
    pub fn weakest_edge(&self) -> (&'static str, f64) {
        let named = ["left", "right", "top", "bottom"].into_iter().zip(self.reach);
        named.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("left", 0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Residual;
    use nalgebra::{Isometry3, Vector2};

    fn view(pixels: &[(f64, f64)], tilt: f64) -> FittedView {
        let residual =
            |(x, y): &(f64, f64)| Residual { id: 0, pixel: Vector2::new(*x, *y), error: Vector2::zeros(), used: true };
        FittedView {
            name: String::new(),
            camera_from_board: Isometry3::rotation(Vector3::new(tilt.to_radians(), 0.0, 0.0)),
            residuals: pixels.iter().map(residual).collect(),
            used: true,
        }
    }

    #[test]
    fn cells_reach_and_tilt_are_those_of_the_used_corners() {
        let mut unused = view(&[(799.5, 599.5)], 80.0);
        unused.used = false;
        let views = [view(&[(399.5, 299.5), (99.5, 299.5)], 10.0), view(&[(399.5, 599.5)], 35.0), unused];
        let c = Coverage::of((800, 600), views.iter());
        assert!((c.cells - 3.0 / 48.0).abs() < 1e-12);
        assert_eq!(c.reach.map(|r| (r * 100.0).round()), [75.0, 0.0, 0.0, 100.0]);
        assert!((c.tilt.0 - 10.0).abs() < 1e-9 && (c.tilt.1 - 35.0).abs() < 1e-9);
        assert_eq!(c.weakest_edge().1, 0.0);
    }
}

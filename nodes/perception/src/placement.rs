//! Where a picture lies in a network's input, and the way back from the input's pixels to the picture's.
//!
//! Two conventions meet here: networks measure from the corner of the first pixel (its middle is at 0.5); messages count pixel
//! centres (its middle is at 0).

use crate::manifest::{Fit, Input};

/// Where the scaled picture lies in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Size of the picture, pixels.
    pub picture: (usize, usize),
    /// Size of the input.
    pub input: (usize, usize),
    /// Size of the picture in the input.
    pub content: (usize, usize),
    /// First column and row that show the picture.
    pub corner: (usize, usize),
}

impl Placement {
    /// Of a picture of this size, at least one pixel, by the manifest's rule.
    pub fn new(picture: (usize, usize), input: &Input) -> Self {
        let size = (input.width, input.height);
        let content = match input.fit {
            Fit::Stretch => size,
            Fit::Letterbox => {
                let (w, h) = (picture.0.max(1) as f64, picture.1.max(1) as f64);
                let scale = (size.0 as f64 / w).min(size.1 as f64 / h);
                let side = |length: f64, most: usize| ((length * scale).round() as usize).clamp(1, most);
                (side(w, size.0), side(h, size.1))
            }
        };
        let corner = ((size.0 - content.0) / 2, (size.1 - content.1) / 2);
        Self { picture, input: size, content, corner }
    }

    /// A point of the input, measured from its corner, in pixel centres of the picture.
    pub fn point(&self, x: f64, y: f64) -> (f64, f64) {
        let back = |at: f64, corner: usize, content: usize, picture: usize| {
            (at - corner as f64) * picture as f64 / content as f64 - 0.5
        };
        (back(x, self.corner.0, self.content.0, self.picture.0), back(y, self.corner.1, self.content.1, self.picture.1))
    }

    /// As [`Self::point`], moved to the picture's edge where it lies outside.
    pub fn point_inside(&self, x: f64, y: f64) -> (f64, f64) {
        let (u, v) = self.point(x, y);
        (u.clamp(-0.5, self.picture.0 as f64 - 0.5), v.clamp(-0.5, self.picture.1 as f64 - 0.5))
    }

    /// What a grid of answers over the whole input is over the picture alone: its size, and for each of its columns and rows the
    /// column and row of the input's grid. `None` where both are the same.
    pub fn crop(&self, grid: (usize, usize)) -> Option<Crop> {
        if self.content == self.input {
            return None;
        }
        let axis = |content: usize, corner: usize, input: usize, cells: usize| {
            let out = (content * cells).div_ceil(input).max(1);
            let cell = |i: usize| {
                // Middle of the i-th of `out` parts of the content, in doubled units to stay exact.
                let at = (2 * i + 1) * content * cells + 2 * out * corner * cells;
                (at / (2 * out * input)).min(cells - 1)
            };
            (0..out).map(cell).collect()
        };
        Some(Crop {
            columns: axis(self.content.0, self.corner.0, self.input.0, grid.0),
            rows: axis(self.content.1, self.corner.1, self.input.1, grid.1),
            stride: grid.0,
        })
    }
}

/// Which cells of a grid show the picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crop {
    columns: Vec<usize>,
    rows: Vec<usize>,
    stride: usize,
}

impl Crop {
    /// Columns and rows of what is left.
    pub fn size(&self) -> (usize, usize) {
        (self.columns.len(), self.rows.len())
    }

    /// The cells that are left.
    pub fn take<T: Copy>(&self, cells: &[T]) -> Vec<T> {
        self.rows.iter().flat_map(|r| self.columns.iter().map(move |c| cells[r * self.stride + c])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Colour, Layout};

    fn input(width: usize, height: usize, fit: Fit) -> Input {
        let (mean, std) = ([0.0; 3], [1.0; 3]);
        Input { name: "x".into(), layout: Layout::Nchw, width, height, colour: Colour::Rgb, mean, std, fit, pad: 114 }
    }

    #[test]
    fn a_wide_picture_in_a_square_letterbox_has_bars_above_and_below() {
        // 1280x720 in 640x640: scale 1/2, 360 rows, (640 - 360) / 2 = 140 rows of bar.
        let p = Placement::new((1280, 720), &input(640, 640, Fit::Letterbox));
        assert_eq!((p.content, p.corner), ((640, 360), (0, 140)));
        // The corner of the content is the corner of the picture: half a pixel before the first centre.
        assert_eq!(p.point(0.0, 140.0), (-0.5, -0.5));
        // Middle of input pixel (100, 200): 2 * 100.5 - 0.5 = 200.5; 2 * 60.5 - 0.5 = 120.5.
        assert_eq!(p.point(100.5, 200.5), (200.5, 120.5));
        assert_eq!(p.point_inside(-50.0, 639.0), (-0.5, 719.5));
    }

    #[test]
    fn a_tall_picture_has_bars_left_and_right_and_grows_if_it_is_small() {
        let p = Placement::new((30, 60), &input(240, 240, Fit::Letterbox));
        assert_eq!((p.content, p.corner), ((120, 240), (60, 0)));
        assert_eq!(p.point(60.0 + 4.0, 4.0), (0.5, 0.5));
    }

    #[test]
    fn stretching_scales_each_axis() {
        let p = Placement::new((640, 480), &input(320, 480, Fit::Stretch));
        assert_eq!(p.point(0.5, 0.5), (0.5, 0.0));
        assert_eq!(p.crop((320, 480)), None);
    }

    #[test]
    fn a_crop_is_what_brute_force_finds() {
        for (picture, size, grid) in
            [((64, 32), (64, 64), (16, 16)), ((100, 37), (48, 64), (12, 8)), ((9, 64), (32, 32), (32, 32))]
        {
            let p = Placement::new(picture, &input(size.0, size.1, Fit::Letterbox));
            let crop = p.crop(grid).unwrap();
            let cells: Vec<(usize, usize)> = (0..grid.0 * grid.1).map(|i| (i % grid.0, i / grid.0)).collect();
            let (w, h) = crop.size();
            for (i, got) in crop.take(&cells).into_iter().enumerate() {
                let part = |i: usize, out: usize, content: usize, corner: usize, input: usize, cells: usize| {
                    let at = corner as f64 + (i as f64 + 0.5) * content as f64 / out as f64;
                    (at * cells as f64 / input as f64 + 1e-9) as usize
                };
                let column = part(i % w, w, p.content.0, p.corner.0, size.0, grid.0);
                let row = part(i / w, h, p.content.1, p.corner.1, size.1, grid.1);
                assert_eq!(got, (column, row), "{picture:?} in {size:?}: cell {i}");
            }
        }
    }
}

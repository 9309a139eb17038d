//! Samples of a smaller size.

use super::Sample;
use proctor_types::{CameraModel, Image, InvalidValue, StereoRig};

impl Sample {
    /// The sample as cameras with `factor` times larger pixels see it (1 changes nothing); what is left over at the right and lower
    /// edge is cut off. Colours are averaged. A truth pixel says what most of its area shows (ties to the smaller class, then to the
    /// smaller instance) and the median depth of that.
    pub fn shrunk(self, factor: usize) -> Result<Self, InvalidValue> {
        if factor <= 1 {
            return Ok(self);
        }
        let grid = Grid { factor, width: self.labels.width() / factor, height: self.labels.height() / factor };
        let mut truth = Vec::with_capacity(grid.width * grid.height);
        for y in 0..grid.height {
            for x in 0..grid.width {
                truth.push(self.majority(&grid, x, y));
            }
        }
        let right = if self.right.pixels().is_empty() { self.right.clone() } else { grid.colours(&self.right)? };
        Ok(Self {
            left: grid.colours(&self.left)?,
            right,
            labels: grid.image(truth.iter().map(|t| t.0).collect())?,
            instances: grid.image(truth.iter().map(|t| t.1).collect())?,
            depth: grid.image(truth.iter().map(|t| t.2).collect())?,
            rig: grid.rig(&self.rig),
            ..self
        })
    }

    /// The cameras of a sample that is [`Self::shrunk`].
    pub fn shrunk_rig(rig: &StereoRig, factor: usize) -> StereoRig {
        let factor = factor.max(1);
        Grid { factor, width: rig.left.width / factor, height: rig.left.height / factor }.rig(rig)
    }

    /// Class, instance and depth of one small pixel.
    fn majority(&self, grid: &Grid, x: usize, y: usize) -> (u8, u8, f32) {
        let most = |values: &mut dyn Iterator<Item = u8>| {
            let mut votes = [0u32; 256];
            values.for_each(|v| votes[usize::from(v)] += 1);
            let best = votes.iter().max().copied().unwrap_or(0);
            votes.iter().position(|v| *v == best).unwrap_or(0) as u8
        };
        let label = most(&mut grid.block(&self.labels, x, y));
        let pairs = grid.block(&self.labels, x, y).zip(grid.block(&self.instances, x, y));
        let instance = most(&mut pairs.filter(|p| p.0 == label).map(|p| p.1));
        let whole = grid.block(&self.labels, x, y).zip(grid.block(&self.depth, x, y));
        let mut depths: Vec<f32> = whole.filter(|p| p.0 == label).map(|p| p.1).collect();
        depths.sort_by(f32::total_cmp);
        (label, instance, depths[(depths.len() - 1) / 2])
    }
}

/// Small pixels of `factor` x `factor` large ones.
struct Grid {
    factor: usize,
    width: usize,
    height: usize,
}

impl Grid {
    fn block<'a, P: Copy>(&self, image: &'a Image<P>, x: usize, y: usize) -> impl Iterator<Item = P> + 'a {
        let (n, columns) = (self.factor, x * self.factor..(x + 1) * self.factor);
        (y * n..(y + 1) * n).flat_map(move |row| {
            let start = row * image.width();
            image.pixels()[start + columns.start..start + columns.end].iter().copied()
        })
    }

    fn image<P>(&self, pixels: Vec<P>) -> Result<Image<P>, InvalidValue> {
        Image::new(self.width, self.height, pixels)
    }

    fn colours(&self, image: &Image<[u8; 3]>) -> Result<Image<[u8; 3]>, InvalidValue> {
        let n = (self.factor * self.factor) as u32;
        let mut out = Vec::with_capacity(self.width * self.height);
        for y in 0..self.height {
            for x in 0..self.width {
                let mut sum = [n / 2; 3];
                self.block(image, x, y).for_each(|p| (0..3).for_each(|c| sum[c] += u32::from(p[c])));
                out.push(sum.map(|s| (s / n) as u8));
            }
        }
        self.image(out)
    }

    /// A large pixel's centre (u, v) lies at ((u + 0.5) / factor - 0.5, ...) of the small picture.
    fn rig(&self, rig: &StereoRig) -> StereoRig {
        let k = self.factor as f64;
        let c = &rig.left;
        let left = CameraModel {
            width: self.width,
            height: self.height,
            fx: c.fx / k,
            fy: c.fy / k,
            cx: (c.cx + 0.5) / k - 0.5,
            cy: (c.cy + 0.5) / k - 0.5,
            distortion: c.distortion,
        };
        StereoRig { left, ..*rig }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::render::Appearance;
    use proctor_types::Pose;

    #[test]
    fn shrinking_averages_colours_and_counts_votes_and_keeps_the_winners_instance_and_depth() {
        let image = |w: usize, h: usize, p: &[u8]| Image::new(w, h, p.to_vec()).unwrap();
        let left = [[0; 3], [4; 3], [10; 3], [10; 3], [8; 3], [12; 3], [20; 3], [20; 3]];
        let camera = CameraModel { width: 4, height: 2, fx: 8.0, fy: 8.0, cx: 1.5, cy: 0.5, distortion: [0.0; 5] };
        let sample = Sample {
            left: Image::new(4, 2, left.to_vec()).unwrap(),
            right: Image::new(0, 0, Vec::new()).unwrap(),
            labels: image(4, 2, &[3, 2, 5, 1, 3, 3, 1, 5]),
            instances: image(4, 2, &[2, 7, 0, 0, 1, 2, 0, 4]),
            depth: Image::new(4, 2, vec![0.3, 9.0, 5.0, 0.2, 0.1, 0.2, 0.1, 5.0]).unwrap(),
            rig: StereoRig { left: camera, baseline: 0.004 },
            world_from_camera: Pose::identity(),
            instruments: Vec::new(),
            foreign: Vec::new(),
            appearance: Appearance::nominal(),
        };
        let small = sample.shrunk(2).unwrap();
        assert_eq!(small.left.pixels(), [[6; 3], [15; 3]]);
        assert_eq!((small.labels.pixels(), small.instances.pixels()), (&[3, 1][..], &[2, 0][..]));
        // Class 3 lies at 0.3, 0.1 and 0.2 m; class 1 at 0.2 and 0.1 m.
        assert_eq!(small.depth.pixels(), [0.2, 0.1]);
        // A point on the axis of a small pixel's left upper large pixel: column 0 of the large picture is -0.25 of the small one.
        let point = nalgebra::Point3::new((0.0 - 1.5) / 8.0, 0.0, 1.0);
        let seen = small.rig.left.project(&point).unwrap();
        assert!((seen.x - -0.25).abs() < 1e-12 && (small.rig.left.width, small.rig.left.height) == (2, 1), "{seen}");
    }
}

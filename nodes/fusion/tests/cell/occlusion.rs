//! Something that lies in front of the instruments: for each a ball of fat that wanders along it and hides a share of its pixels.

use proctor_sim::render::Rendered;
use proctor_types::{ArmId, Class, Image, StereoRig};

/// How far in front of what it hides the ball floats, px of disparity.
const NEARER: f64 = 3.0;

/// The picture with `share` of every instrument's pixels hidden, in colours, labels, instances and depth.
pub fn covered(mut rendered: Rendered, share: f64, seq: u64, rig: &StereoRig) -> Rendered {
    for arm in ArmId::PSMS {
        if let Some(ball) = Ball::before(&rendered, arm, share, seq, rig) {
            rendered = ball.drawn(rendered);
        }
    }
    rendered
}

struct Ball {
    centre: (f64, f64),
    radius: f64,
    disparity: f64,
    depth: f32,
}

impl Ball {
    fn before(rendered: &Rendered, arm: ArmId, share: f64, seq: u64, rig: &StereoRig) -> Option<Self> {
        let width = rendered.labels.width();
        let own = |(_, instance): &(usize, &u8)| usize::from(**instance) == arm.index() + 1;
        let place = |(i, _): (usize, &u8)| ((i % width) as f64, (i / width) as f64);
        let pixels: Vec<(f64, f64)> = rendered.instances.pixels().iter().enumerate().filter(own).map(place).collect();
        let hidden = (pixels.len() as f64 * share) as usize;
        if hidden == 0 {
            return None;
        }
        // Over shaft, wrist and jaws in turn, slowly.
        let along = 0.5 + 0.5 * (0.021 * seq as f64 + 2.0 * arm.index() as f64).sin();
        let centre = pixels[(along * (pixels.len() - 1) as f64) as usize];
        let mut distances: Vec<f64> = pixels.iter().map(|p| (p.0 - centre.0).hypot(p.1 - centre.1)).collect();
        distances.sort_by(f64::total_cmp);
        let depth = f64::from(*rendered.depth.get(centre.0 as usize, centre.1 as usize)?);
        let disparity = rig.left.fx * rig.baseline / depth + NEARER;
        let radius = distances[hidden - 1];
        Some(Self { centre, radius, disparity, depth: (rig.left.fx * rig.baseline / disparity) as f32 })
    }

    fn drawn(&self, rendered: Rendered) -> Rendered {
        let (right, shifted) = (rendered.right, (self.centre.0 - self.disparity, self.centre.1));
        Rendered {
            left: self.filled(rendered.left, self.centre, fat),
            right: self.filled(right, shifted, |x, y| fat(x + self.disparity.round() as i32, y)),
            labels: self.filled(rendered.labels, self.centre, |_, _| Class::Fat.id()),
            instances: self.filled(rendered.instances, self.centre, |_, _| 0),
            depth: self.filled(rendered.depth, self.centre, |_, _| self.depth),
            ..rendered
        }
    }

    fn filled<P: Copy>(&self, image: Image<P>, centre: (f64, f64), paint: impl Fn(i32, i32) -> P) -> Image<P> {
        let (width, height) = (image.width(), image.height());
        let mut pixels = image.pixels().to_vec();
        for (i, pixel) in pixels.iter_mut().enumerate() {
            let (x, y) = (i % width, i / width);
            if (x as f64 - centre.0).hypot(y as f64 - centre.1) <= self.radius {
                *pixel = paint(x as i32, y as i32);
            }
        }
        Image::new(width, height, pixels).unwrap()
    }
}

/// Yellowish, with lumps of a few pixels.
fn fat(x: i32, y: i32) -> [u8; 3] {
    let lumps = (0.31 * f64::from(x)).sin() * (0.27 * f64::from(y)).cos() + 0.5 * (0.9 * f64::from(x + y)).sin();
    [0, 30, 95].map(|less: u8| (185.0 - f64::from(less) + 22.0 * lumps) as u8)
}

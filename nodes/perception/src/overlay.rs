//! Draws a segmentation over its picture, for people.

use crate::{PerceptionError, picture, picture::Rgb};
use proctor_types::{Class, Image, Segmentation, ToolKeypoint};

/// Share of the class colour in the blend.
const OPACITY: u32 = 110;

/// The picture with each class tinted in its display colour (outlined where labels change) and a cross at each keypoint.
pub fn draw(picture: &Rgb, segmentation: &Segmentation) -> Result<Rgb, PerceptionError> {
    let (w, h) = (picture.width(), picture.height());
    let labels = picture::resize_labels(&segmentation.labels, w, h)?;
    let at = |x: usize, y: usize| labels.pixels()[y * w + x];
    let mut out = picture.pixels().to_vec();
    for y in 0..h {
        for x in 0..w {
            let label = at(x, y);
            let Some(class) = Class::from_id(label).filter(|c| *c != Class::Background) else { continue };
            let edge = (x + 1 < w && at(x + 1, y) != label) || (y + 1 < h && at(x, y + 1) != label);
            let share = if edge { 230 } else { OPACITY };
            for (value, colour) in out[y * w + x].iter_mut().zip(class.colour()) {
                *value = ((u32::from(*value) * (256 - share) + u32::from(colour) * share) / 256) as u8;
            }
        }
    }
    for keypoint in &segmentation.keypoints {
        cross(&mut out, w, h, keypoint);
    }
    Ok(Image::new(w, h, out)?)
}

/// A black-rimmed cross in the part's colour; its size follows the picture's.
fn cross(out: &mut [[u8; 3]], w: usize, h: usize, keypoint: &ToolKeypoint) {
    let arm = (w / 60).max(3) as isize;
    let (u, v) = (keypoint.u.round() as isize, keypoint.v.round() as isize);
    let mut put = |x: isize, y: isize, colour: [u8; 3]| {
        if let (Ok(x), Ok(y)) = (usize::try_from(x), usize::try_from(y))
            && x < w
            && y < h
        {
            out[y * w + x] = colour;
        }
    };
    for (reach, half, colour) in [(arm + 1, 1, [0; 3]), (arm, 0, keypoint.part.colour())] {
        for along in -reach..=reach {
            for across in -half..=half {
                put(u + along, v + across, colour);
                put(u + across, v + along, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{Digest, ImageQuality, Stamp};

    #[test]
    fn background_keeps_its_pixels_classes_are_tinted_and_keypoints_at_the_rim_are_survived() {
        let picture = Image::new(4, 2, vec![[100, 100, 100]; 8]).unwrap();
        let segmentation = Segmentation {
            stamp: Stamp::FIRST,
            seq: 0,
            labels: Image::new(2, 1, vec![0, Class::Liver.id()]).unwrap(),
            uncertainty: Image::new(2, 1, vec![0, 0]).unwrap(),
            confidence: [0.0; Class::COUNT],
            keypoints: Vec::new(),
            quality: ImageQuality::default(),
            model: Digest::default(),
        };
        let drawn = draw(&picture, &segmentation).unwrap();
        assert_eq!(drawn.get(0, 0), Some(&[100, 100, 100]));
        // Liver is (213, 94, 0): 100 + 110/256 of the difference, rounded down.
        assert_eq!(drawn.get(3, 1), Some(&[148, 97, 57]));
        let point = |u, v| ToolKeypoint { part: Class::InstrumentJaws, u, v, confidence: 1.0, instrument: 0 };
        let with = Segmentation { keypoints: vec![point(-50.0, 1.0), point(3.0, 1.0)], ..segmentation };
        assert_eq!(draw(&picture, &with).unwrap().get(3, 1), Some(&[255, 255, 255]));
    }
}

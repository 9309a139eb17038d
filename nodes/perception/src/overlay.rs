//! Draws a segmentation, or what other models found, over its picture, for people.

use crate::{PerceptionError, picture, picture::Rgb};
use opencv::{
    core::{Mat, Point, Rect, Scalar},
    imgproc,
};
use proctor_types::{Class, Findings, Found, FoundBox, FoundPoint, Image, Scored, Segmentation, ToolKeypoint};

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

/// Colours of findings, told apart by the colour-blind too (Okabe and Ito): sky, orange, green, yellow, blue, vermilion, purple.
const PALETTE: [[u8; 3]; 7] =
    [[86, 180, 233], [230, 159, 0], [0, 158, 115], [240, 228, 66], [0, 114, 178], [213, 94, 0], [204, 121, 167]];
/// Most classes named on a classified picture.
const NAMED: usize = 5;

/// A name's colour, the same in every picture.
fn colour_of(label: &str) -> [u8; 3] {
    PALETTE[label.bytes().fold(0usize, |sum, b| sum + usize::from(b)) % PALETTE.len()]
}

/// The picture with boxes, points and names, regions tinted (the first class is background and left alone), or the likeliest
/// classes in a corner.
pub fn draw_findings(picture: &Rgb, findings: &Findings) -> Result<Rgb, PerceptionError> {
    let mut canvas = Canvas { width: picture.width(), height: picture.height(), mat: picture::to_mat(picture)? };
    match &findings.found {
        Found::Regions { image, classes } => return tinted(picture, image, classes),
        Found::Boxes(boxes) => canvas.boxes(boxes)?,
        Found::Points { boxes, points } => {
            canvas.boxes(boxes)?;
            canvas.points(points)?;
        }
        Found::Scores(scores) => canvas.scores(scores)?,
    }
    picture::from_mat(&canvas.mat)
}

struct Canvas {
    width: usize,
    height: usize,
    mat: Mat,
}

impl Canvas {
    fn boxes(&mut self, boxes: &[FoundBox]) -> Result<(), PerceptionError> {
        let thickness = (self.width / 320).max(1) as i32;
        for b in boxes {
            let [left, top, right, bottom] = b.edges.map(|e| e.round() as i32);
            let (corner, colour) =
                (Rect::new(left, top, (right - left).max(1), (bottom - top).max(1)), colour_of(&b.label));
            imgproc::rectangle(&mut self.mat, corner, scalar(colour), thickness, imgproc::LINE_8, 0)?;
            self.text(&format!("{} {:.0}%", b.label, b.confidence * 100.0), (left, top - 3), colour)?;
        }
        Ok(())
    }

    fn points(&mut self, points: &[FoundPoint]) -> Result<(), PerceptionError> {
        let radius = (self.width / 120).max(2) as i32;
        for p in points {
            let (at, colour) = (Point::new(p.u.round() as i32, p.v.round() as i32), colour_of(&p.label));
            for (radius, colour) in [(radius + 1, [0; 3]), (radius, colour)] {
                imgproc::circle(&mut self.mat, at, radius, scalar(colour), imgproc::FILLED, imgproc::LINE_8, 0)?;
            }
            self.text(&p.label, (at.x + radius + 2, at.y), colour)?;
        }
        Ok(())
    }

    fn scores(&mut self, scores: &[Scored]) -> Result<(), PerceptionError> {
        let mut sorted: Vec<_> = scores.iter().collect();
        sorted.sort_by(|a, b| b.score.total_cmp(&a.score));
        let line = (self.height / 20).max(12) as i32;
        for (i, s) in sorted.into_iter().take(NAMED).enumerate() {
            let text = format!("{:3.0}% {}", s.score * 100.0, s.label);
            self.text(&text, (4, line * (i as i32 + 1)), colour_of(&s.label))?;
        }
        Ok(())
    }

    /// Text with a black rim, its first letter's foot at `at`.
    fn text(&mut self, text: &str, at: (i32, i32), colour: [u8; 3]) -> Result<(), PerceptionError> {
        let (at, size) = (Point::new(at.0, at.1.max(10)), f64::from((self.width / 640).max(1) as i32) * 0.45);
        for (thickness, colour) in [(3, [0; 3]), (1, colour)] {
            let (font, line) = (imgproc::FONT_HERSHEY_SIMPLEX, imgproc::LINE_AA);
            imgproc::put_text(&mut self.mat, text, at, font, size, scalar(colour), thickness, line, false)?;
        }
        Ok(())
    }
}

fn tinted(picture: &Rgb, regions: &Image<u8>, classes: &[Scored]) -> Result<Rgb, PerceptionError> {
    let labels = picture::resize_labels(regions, picture.width(), picture.height())?;
    let mut pixels = picture.pixels().to_vec();
    for (pixel, &label) in pixels.iter_mut().zip(labels.pixels()).filter(|(_, label)| **label > 0) {
        let colour = classes.get(usize::from(label)).map_or([255; 3], |c| colour_of(&c.label));
        for (value, colour) in pixel.iter_mut().zip(colour) {
            *value = ((u32::from(*value) * (256 - OPACITY) + u32::from(colour) * OPACITY) / 256) as u8;
        }
    }
    Ok(Image::new(picture.width(), picture.height(), pixels)?)
}

fn scalar(colour: [u8; 3]) -> Scalar {
    let [r, g, b] = colour.map(f64::from);
    Scalar::new(r, g, b, 0.0)
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

//! Key points from heat maps, or beside the boxes of a pose detector.

use super::{boxes, boxes::Candidate, probability};
use crate::{
    PerceptionError,
    head::{Boxes, PointForm, Points, Units},
    model::Tensor,
};
use proctor_types::Findings;

/// A point in the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Which of the manifest's points.
    pub name: usize,
    /// Pixels of the input, measured from its corner.
    pub at: (f32, f32),
    /// In [0, 1].
    pub confidence: f32,
    /// Index of the box it belongs to.
    pub object: Option<usize>,
}

/// Objects and the points that are sure enough. `input` is the network's size.
pub fn decode(
    head: &Points,
    classes: usize,
    tensor: &Tensor<'_>,
    input: (usize, usize),
) -> Result<(Vec<Candidate>, Vec<Point>), PerceptionError> {
    match &head.form {
        PointForm::Heatmaps { confidence } => Ok((Vec::new(), peaks(*confidence, head.names.len(), tensor, input)?)),
        PointForm::YoloV8Pose(form) => poses(form, head.names.len(), classes, tensor, input),
    }
}

/// The largest value of each map, refined between pixels by a parabola through it and its neighbours on each axis.
fn peaks(least: f32, points: usize, tensor: &Tensor<'_>, input: (usize, usize)) -> Result<Vec<Point>, PerceptionError> {
    let values = tensor.finite()?;
    let (w, h) = (tensor.axis_from_end(1), tensor.axis_from_end(2));
    let scale = (input.0 as f32 / w as f32, input.1 as f32 / h as f32);
    let mut out = Vec::new();
    for (name, map) in values.chunks_exact(w * h).take(points).enumerate() {
        let (at, value) =
            map.iter().enumerate().fold((0, f32::MIN), |best, (i, &v)| if v > best.1 { (i, v) } else { best });
        let confidence = probability("peak of a heat map", value)?;
        if confidence < least {
            continue;
        }
        let (x, y) = (at % w, at / w);
        let dx = if x > 0 && x + 1 < w { vertex(map[at - 1], value, map[at + 1]) } else { 0.0 };
        let dy = if y > 0 && y + 1 < h { vertex(map[at - w], value, map[at + w]) } else { 0.0 };
        let at = ((x as f32 + 0.5 + dx) * scale.0, (y as f32 + 0.5 + dy) * scale.1);
        out.push(Point { name, at, confidence, object: None });
    }
    Ok(out)
}

/// Where the parabola through three values at -1, 0 and 1, the middle one the largest, has its top: in [-1/2, 1/2].
fn vertex(before: f32, middle: f32, after: f32) -> f32 {
    let bend = before - 2.0 * middle + after;
    if bend < 0.0 { ((before - after) / (2.0 * bend)).clamp(-0.5, 0.5) } else { 0.0 }
}

fn poses(
    form: &Boxes,
    points: usize,
    classes: usize,
    tensor: &Tensor<'_>,
    input: (usize, usize),
) -> Result<(Vec<Candidate>, Vec<Point>), PerceptionError> {
    let objects = boxes::decode(form, classes, tensor, input)?;
    let (values, columns) = (tensor.floats(), tensor.axis_from_end(1));
    let unit = if form.units == Units::Normalised { (input.0 as f32, input.1 as f32) } else { (1.0, 1.0) };
    let mut out = Vec::new();
    for (object, found) in objects.iter().enumerate() {
        for name in 0..points {
            let value = |k: usize| values[(4 + classes + 3 * name + k) * columns + found.row];
            let confidence = probability("visibility of a point", value(2))?;
            if confidence < form.confidence || out.len() == Findings::MAX_POINTS {
                continue;
            }
            let at = (value(0) * unit.0, value(1) * unit.1);
            out.push(Point { name, at, confidence, object: Some(object) });
        }
    }
    Ok((objects, out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{head::BoxForm, model::Values};

    fn run(
        head: &Points,
        classes: usize,
        shape: &[i64],
        values: &[f32],
    ) -> Result<(Vec<Candidate>, Vec<Point>), PerceptionError> {
        assert_eq!(shape.iter().product::<i64>(), values.len() as i64);
        decode(head, classes, &Tensor { shape, values: Values::Float(values) }, (64, 48))
    }

    #[test]
    fn a_peak_between_pixels_is_found_where_it_is() {
        // Paraboloid with its top at (5.3, 2.8) in pixel centres of a 16 x 12 map: the three-point fit is exact.
        let map = |i: usize| 0.9 - 0.01 * (((i % 16) as f32 - 5.3).powi(2) + ((i / 16) as f32 - 2.8).powi(2));
        let low = |_: usize| 0.1;
        let values: Vec<f32> = (0..192).map(map).chain((0..192).map(low)).collect();
        let head = Points { names: vec!["tip".into(), "wrist".into()], form: PointForm::Heatmaps { confidence: 0.5 } };
        let (objects, points) = run(&head, 0, &[1, 2, 12, 16], &values).unwrap();
        assert!(objects.is_empty());
        let [p] = points[..] else { panic!("one is sure enough: {points:?}") };
        // Four input pixels per map pixel, measured from the corner: (5.3 + 0.5) * 4 and (2.8 + 0.5) * 4.
        assert!((p.at.0 - 23.2).abs() < 1e-3 && (p.at.1 - 13.2).abs() < 1e-3, "{p:?}");
        // The map's largest pixel, (5, 3).
        assert!((p.confidence - (0.9 - 0.01 * (0.09 + 0.04))).abs() < 1e-6);
    }

    #[test]
    fn a_peak_at_the_rim_stays_in_the_map() {
        let mut values = vec![0.0; 192];
        values[191] = 1.0;
        let head = Points { names: vec!["tip".into()], form: PointForm::Heatmaps { confidence: 0.5 } };
        let (_, points) = run(&head, 0, &[1, 1, 12, 16], &values).unwrap();
        assert_eq!(points[0].at, (62.0, 46.0));
    }

    #[test]
    fn points_of_a_pose_belong_to_their_box() {
        // Two boxes with two points each; columns are boxes.
        let columns = [
            [10.0, 10.0, 8.0, 8.0, 0.4, 9.0, 11.0, 0.9, 12.0, 8.0, 0.1],
            [40.0, 20.0, 8.0, 8.0, 0.8, 39.0, 21.0, 0.7, 42.0, 18.0, 0.6],
        ];
        let values: Vec<f32> = (0..11).flat_map(|i| columns.iter().map(move |c| c[i])).collect();
        let form = Boxes { form: BoxForm::YoloV8, confidence: 0.25, overlap: 0.5, units: Units::Pixels };
        let head = Points { names: vec!["tip".into(), "wrist".into()], form: PointForm::YoloV8Pose(form) };
        let (objects, points) = run(&head, 1, &[1, 11, 2], &values).unwrap();
        assert_eq!(objects.iter().map(|o| o.confidence).collect::<Vec<_>>(), [0.8, 0.4]);
        let got: Vec<_> = points.iter().map(|p| (p.object, p.name, p.at, p.confidence)).collect();
        let expected =
            [(Some(0), 0, (39.0, 21.0), 0.7), (Some(0), 1, (42.0, 18.0), 0.6), (Some(1), 0, (9.0, 11.0), 0.9)];
        assert_eq!(got, expected, "the point that is not visible is left out");
    }

    #[test]
    fn a_map_of_logits_is_refused() {
        let head = Points { names: vec!["tip".into()], form: PointForm::Heatmaps { confidence: 0.5 } };
        let text = run(&head, 0, &[1, 1, 1, 2], &[3.0, -3.0]).unwrap_err().to_string();
        assert!(text.contains("heat map") && text.contains('3'), "{text}");
    }
}

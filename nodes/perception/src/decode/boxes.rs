//! Boxes in the layouts of YOLO and of detectors without duplicates, most confident first.

use super::probability;
use crate::{
    PerceptionError,
    head::{BoxForm, Boxes, Units},
    model::Tensor,
};
use proctor_types::Findings;

/// Most candidates compared with one another, the most confident ones.
pub const MAX_CANDIDATES: usize = 1024;

/// A box in the network's input.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Class number.
    pub class: usize,
    /// In [0, 1].
    pub confidence: f32,
    /// Left, top, right, bottom: pixels of the input, measured from its corner.
    pub edges: [f32; 4],
    /// Which of the model's boxes it is.
    pub row: usize,
}

/// The boxes that are sure enough, duplicates removed, at most [`Findings::MAX_BOXES`]. `input` is the network's size.
pub fn decode(
    head: &Boxes,
    classes: usize,
    tensor: &Tensor<'_>,
    input: (usize, usize),
) -> Result<Vec<Candidate>, PerceptionError> {
    let values = tensor.finite()?;
    let mut all = match head.form {
        BoxForm::YoloV5 => rows_of_v5(head, classes, values)?,
        BoxForm::YoloV8 => columns_of_v8(head, classes, values, tensor.axis_from_end(1))?,
        BoxForm::NmsFree => rows_without_duplicates(head, classes, values)?,
    };
    if head.units == Units::Normalised {
        let (w, h) = (input.0 as f32, input.1 as f32);
        for c in &mut all {
            c.edges = [c.edges[0] * w, c.edges[1] * h, c.edges[2] * w, c.edges[3] * h];
        }
    }
    all.sort_by(|a, b| b.confidence.total_cmp(&a.confidence).then(a.row.cmp(&b.row)));
    all.truncate(MAX_CANDIDATES);
    if head.form == BoxForm::NmsFree {
        all.truncate(Findings::MAX_BOXES);
        return Ok(all);
    }
    Ok(without_duplicates(&all, head.overlap))
}

fn rows_of_v5(head: &Boxes, classes: usize, values: &[f32]) -> Result<Vec<Candidate>, PerceptionError> {
    let mut out = Vec::new();
    for (row, v) in values.chunks_exact(5 + classes).enumerate() {
        // A product of two probabilities is at most each of them.
        if v[4] < head.confidence {
            continue;
        }
        let (class, best) = largest(&v[5..]);
        let confidence = probability("objectness", v[4])? * probability("class probability", best)?;
        if confidence >= head.confidence {
            out.push(Candidate { class, confidence, edges: from_centre(v[0], v[1], v[2], v[3]), row });
        }
    }
    Ok(out)
}

/// `boxes` is the number of columns.
fn columns_of_v8(
    head: &Boxes,
    classes: usize,
    values: &[f32],
    boxes: usize,
) -> Result<Vec<Candidate>, PerceptionError> {
    let line = |i: usize| &values[i * boxes..][..boxes];
    let (x, y, w, h) = (line(0), line(1), line(2), line(3));
    // Line by line, as the numbers lie in memory.
    let mut best: Vec<(f32, usize)> = line(4).iter().map(|&v| (v, 0)).collect();
    for class in 1..classes {
        for (best, &v) in best.iter_mut().zip(line(4 + class)) {
            if v > best.0 {
                *best = (v, class);
            }
        }
    }
    let mut out = Vec::new();
    for (row, &(value, class)) in best.iter().enumerate().filter(|(_, b)| b.0 >= head.confidence) {
        let confidence = probability("class probability", value)?;
        out.push(Candidate { class, confidence, edges: from_centre(x[row], y[row], w[row], h[row]), row });
    }
    Ok(out)
}

fn rows_without_duplicates(head: &Boxes, classes: usize, values: &[f32]) -> Result<Vec<Candidate>, PerceptionError> {
    let mut out = Vec::new();
    for (row, v) in values.as_chunks::<6>().0.iter().enumerate() {
        let &[left, top, right, bottom, confidence, class] = v;
        if confidence < head.confidence {
            continue;
        }
        if class < 0.0 || class.fract() != 0.0 || class as usize >= classes {
            let expected = format!("a whole number below {classes}");
            return Err(PerceptionError::Answer { what: "class number", expected, value: f64::from(class) });
        }
        let confidence = probability("confidence", confidence)?;
        out.push(Candidate {
            class: class as usize,
            confidence,
            edges: [left, top, right.max(left), bottom.max(top)],
            row,
        });
    }
    Ok(out)
}

/// The largest value and its place; the first among equals.
fn largest(values: &[f32]) -> (usize, f32) {
    values.iter().enumerate().fold((0, f32::MIN), |best, (i, &v)| if v > best.1 { (i, v) } else { best })
}

fn from_centre(x: f32, y: f32, w: f32, h: f32) -> [f32; 4] {
    let (w, h) = (w.max(0.0) / 2.0, h.max(0.0) / 2.0);
    [x - w, y - h, x + w, y + h]
}

/// Greedy non-maximum suppression per class, over candidates sorted by confidence.
fn without_duplicates(sorted: &[Candidate], overlap: f32) -> Vec<Candidate> {
    let mut kept: Vec<Candidate> = Vec::new();
    for c in sorted {
        if kept.len() == Findings::MAX_BOXES {
            break;
        }
        if !kept.iter().any(|k| k.class == c.class && intersection_over_union(&k.edges, &c.edges) > overlap) {
            kept.push(*c);
        }
    }
    kept
}

fn intersection_over_union(a: &[f32; 4], b: &[f32; 4]) -> f32 {
    let side = |low: f32, high: f32| (high - low).max(0.0);
    let area = |e: &[f32; 4]| side(e[0], e[2]) * side(e[1], e[3]);
    let both = side(a[0].max(b[0]), a[2].min(b[2])) * side(a[1].max(b[1]), a[3].min(b[3]));
    let either = area(a) + area(b) - both;
    if either > 0.0 { both / either } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Values;

    const INPUT: (usize, usize) = (64, 48);

    fn head(form: BoxForm) -> Boxes {
        Boxes { form, confidence: 0.25, overlap: 0.5, units: Units::Pixels }
    }

    fn run(head: &Boxes, classes: usize, shape: &[i64], values: &[f32]) -> Result<Vec<Candidate>, PerceptionError> {
        assert_eq!(shape.iter().product::<i64>(), values.len() as i64);
        decode(head, classes, &Tensor { shape, values: Values::Float(values) }, INPUT)
    }

    /// Rows of a v5 answer as the columns of a v8 answer, with the objectness multiplied in.
    fn turned(rows: &[[f32; 7]]) -> Vec<f32> {
        let value = |i: usize, r: &[f32; 7]| if i < 4 { r[i] } else { r[i + 1] * r[4] };
        (0..6).flat_map(|i| rows.iter().map(move |r| value(i, r))).collect()
    }

    const ROWS: [[f32; 7]; 5] = [
        // x, y, w, h, objectness, two classes
        [20.0, 20.0, 10.0, 8.0, 0.5, 0.8, 0.1],
        [21.0, 20.0, 10.0, 8.0, 1.0, 0.9, 0.1],
        [20.0, 20.0, 10.0, 8.0, 1.0, 0.1, 0.6],
        [50.0, 30.0, 4.0, 4.0, 0.5, 0.0, 1.0],
        [50.0, 10.0, 4.0, 4.0, 0.4, 0.3, 0.5],
    ];

    #[test]
    fn both_layouts_of_yolo_give_the_same_boxes_without_duplicates() {
        let v5 = run(&head(BoxForm::YoloV5), 2, &[1, 5, 7], ROWS.as_flattened()).unwrap();
        // The first two overlap by 72 of 88: one object. The third is of the other class. The last is too unsure: 0.4 * 0.5.
        let expected = [
            (0, 0.9, [16.0, 16.0, 26.0, 24.0]),
            (1, 0.6, [15.0, 16.0, 25.0, 24.0]),
            (1, 0.5, [48.0, 28.0, 52.0, 32.0]),
        ];
        assert_eq!(v5.iter().map(|c| (c.class, c.confidence, c.edges)).collect::<Vec<_>>(), expected);
        assert_eq!(run(&head(BoxForm::YoloV8), 2, &[1, 6, 5], &turned(&ROWS)).unwrap(), v5);
    }

    #[test]
    fn boxes_that_overlap_less_than_the_limit_are_two() {
        let loose = Boxes { overlap: 0.9, ..head(BoxForm::YoloV5) };
        assert_eq!(run(&loose, 2, &[1, 5, 7], ROWS.as_flattened()).unwrap().len(), 4);
    }

    #[test]
    fn boxes_without_duplicates_are_taken_as_they_are_and_by_their_confidence() {
        let rows = [[1.0, 2.0, 11.0, 12.0, 0.3, 1.0], [1.0, 2.0, 11.0, 12.0, 0.7, 1.0], [0.0, 0.0, 9.0, 9.0, 0.1, 7.0]];
        let found = run(&head(BoxForm::NmsFree), 2, &[1, 3, 6], rows.as_flattened()).unwrap();
        assert_eq!(
            found.iter().map(|c| (c.class, c.confidence, c.row)).collect::<Vec<_>>(),
            [(1, 0.7, 1), (1, 0.3, 0)]
        );
    }

    #[test]
    fn normalised_coordinates_are_shares_of_the_input() {
        let normalised = Boxes { units: Units::Normalised, ..head(BoxForm::NmsFree) };
        let found = run(&normalised, 1, &[1, 1, 6], &[0.25, 0.5, 0.5, 1.0, 0.9, 0.0]).unwrap();
        assert_eq!(found[0].edges, [16.0, 24.0, 32.0, 48.0]);
    }

    #[test]
    fn answers_that_are_no_probabilities_classes_or_numbers_are_errors() {
        let logits = [20.0, 20.0, 10.0, 8.0, 7.5];
        let text = run(&head(BoxForm::YoloV8), 1, &[1, 5, 1], &logits).unwrap_err().to_string();
        assert!(text.contains("7.5") && text.contains("[0, 1]"), "{text}");
        let text =
            run(&head(BoxForm::NmsFree), 2, &[1, 1, 6], &[0.0, 0.0, 1.0, 1.0, 0.9, 2.0]).unwrap_err().to_string();
        assert!(text.contains("class number") && text.contains("below 2"), "{text}");
        for at in 0..35 {
            let mut rows = ROWS;
            rows.as_flattened_mut()[at] = f32::NAN;
            assert!(run(&head(BoxForm::YoloV5), 2, &[1, 5, 7], rows.as_flattened()).is_err(), "{at}");
        }
    }

    #[test]
    fn a_flood_of_boxes_is_bounded() {
        // 4000 boxes of 1 x 1 beside one another.
        let rows: Vec<f32> = (0..4000).flat_map(|i| [2.0 * i as f32, 5.0, 1.0, 1.0, 0.9]).collect();
        let turned: Vec<f32> = (0..5).flat_map(|k| rows.chunks(5).map(move |r| r[k])).collect();
        let found = run(&head(BoxForm::YoloV8), 1, &[1, 5, 4000], &turned).unwrap();
        assert_eq!(found.len(), Findings::MAX_BOXES);
    }
}

//! A class for every pixel, from every form of a segmentation.

use crate::{
    PerceptionError,
    head::Planes,
    manifest::MAX_SIDE,
    model::{Tensor, Values},
    posterior::Posterior,
};
use std::borrow::Cow;

/// Probabilities below this count as this when their logarithm is taken.
const LEAST: f32 = 1e-7;

/// A segmentation over the whole input.
#[derive(Debug, Clone, PartialEq)]
pub struct Regions {
    /// Columns and rows.
    pub size: (usize, usize),
    /// What is seen; of [`Planes::Labels`], which state no doubt, as if it were certain.
    pub posterior: Posterior,
}

/// The segmentation that a network answered, `classes` of them, at the temperature that its manifest says.
pub fn decode(
    planes: Planes,
    classes: usize,
    temperature: f32,
    tensor: &Tensor<'_>,
) -> Result<Regions, PerceptionError> {
    let size = (tensor.axis_from_end(1), tensor.axis_from_end(2));
    if size.0 > MAX_SIDE || size.1 > MAX_SIDE {
        let expected = format!("at most {MAX_SIDE}");
        return Err(PerceptionError::Answer { what: "columns or rows", expected, value: size.0.max(size.1) as f64 });
    }
    if planes == Planes::Labels {
        return Ok(Regions { size, posterior: certain(classes, tensor)? });
    }
    Ok(Regions { size, posterior: Posterior::new(classes, temperature, &logits(planes, tensor.floats())?)? })
}

/// What soft-max turns into the class probabilities.
fn logits(planes: Planes, values: &[f32]) -> Result<Cow<'_, [f32]>, PerceptionError> {
    let ln = |p: f32| p.max(LEAST).ln();
    let zeros = || std::iter::repeat_n(0.0, values.len());
    Ok(match planes {
        Planes::Logits | Planes::Labels => Cow::Borrowed(values),
        Planes::Probabilities => {
            for &v in values {
                super::probability("class probability", v)?;
            }
            values.iter().map(|&p| ln(p)).collect()
        }
        Planes::BinaryLogits => zeros().chain(values.iter().copied()).collect(),
        Planes::BinaryProbabilities => {
            for &v in values {
                super::probability("probability", v)?;
            }
            values.iter().map(|&p| ln(1.0 - p)).chain(values.iter().map(|&p| ln(p))).collect()
        }
    })
}

fn certain(classes: usize, tensor: &Tensor<'_>) -> Result<Posterior, PerceptionError> {
    let check = |value: i64| match u8::try_from(value) {
        Ok(label) if usize::from(label) < classes => Ok(label),
        _ => {
            let expected = format!("a number below {classes}");
            Err(PerceptionError::Answer { what: "class number", expected, value: value as f64 })
        }
    };
    let labels: Vec<u8> = match tensor.values {
        Values::Long(all) => all.iter().map(|&v| check(v)).collect::<Result<_, _>>()?,
        Values::Int(all) => all.iter().map(|&v| check(i64::from(v))).collect::<Result<_, _>>()?,
        Values::Byte(all) => all.iter().map(|&v| check(i64::from(v))).collect::<Result<_, _>>()?,
        // The contract lets only whole numbers through.
        Values::Float(_) => Vec::new(),
    };
    let n = labels.len();
    let mut confidence = vec![0.0; classes];
    labels.iter().for_each(|&l| confidence[usize::from(l)] = 1.0);
    Ok(Posterior { top: vec![1.0; n], uncertainty: vec![0; n], confidence, labels })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(planes: Planes, classes: usize, shape: &[i64], values: Values<'_>) -> Result<Regions, PerceptionError> {
        decode(planes, classes, 1.0, &Tensor { shape, values })
    }

    #[test]
    fn logits_and_their_probabilities_say_the_same() {
        // Two pixels of three classes, class-major; probabilities by the soft-max formula.
        let logits = [1.0f32, 0.0, 2.0, -1.0, 0.5, 3.0];
        let p = |c: usize, i: usize| logits[2 * c + i].exp() / (0..3).map(|k| logits[2 * k + i].exp()).sum::<f32>();
        let probabilities: Vec<f32> = (0..3).flat_map(|c| (0..2).map(move |i| p(c, i))).collect();
        let a = run(Planes::Logits, 3, &[1, 3, 1, 2], Values::Float(&logits)).unwrap();
        let b = run(Planes::Probabilities, 3, &[1, 3, 1, 2], Values::Float(&probabilities)).unwrap();
        assert_eq!((a.size, &a.posterior.labels[..]), ((2, 1), &[1u8, 2][..]));
        assert_eq!((&a.posterior.labels, &a.posterior.uncertainty), (&b.posterior.labels, &b.posterior.uncertainty));
        assert!((a.posterior.top[1] - p(2, 1)).abs() < 1e-5 && (b.posterior.top[1] - p(2, 1)).abs() < 1e-5);
    }

    #[test]
    fn one_map_tells_two_classes_apart_at_one_half() {
        let a = run(Planes::BinaryLogits, 2, &[1, 1, 1, 3], Values::Float(&[-1.0, 0.1, 2.0])).unwrap();
        assert_eq!(a.posterior.labels, [0, 1, 1]);
        assert!((a.posterior.top[2] - 1.0 / (1.0 + (-2.0f32).exp())).abs() < 1e-5);
        let b = run(Planes::BinaryProbabilities, 2, &[1, 1, 1, 3], Values::Float(&[0.0, 0.51, 1.0])).unwrap();
        assert_eq!(b.posterior.labels, [0, 1, 1]);
        assert!((b.posterior.top[1] - 0.51).abs() < 1e-5);
    }

    #[test]
    fn class_numbers_of_any_width_are_labels_and_unknown_ones_are_refused() {
        for values in [Values::Long(&[0, 2, 1, 1]), Values::Int(&[0, 2, 1, 1]), Values::Byte(&[0, 2, 1, 1])] {
            for shape in [&[1, 2, 2][..], &[1, 1, 2, 2]] {
                let got = run(Planes::Labels, 3, shape, values).unwrap();
                assert_eq!((got.size, &got.posterior.labels[..]), ((2, 2), &[0u8, 2, 1, 1][..]));
            }
        }
        for bad in [3, -1, 256] {
            let text = run(Planes::Labels, 3, &[1, 1, 1], Values::Long(&[bad])).unwrap_err().to_string();
            assert!(text.contains(&bad.to_string()) && text.contains("below 3"), "{text}");
        }
    }

    #[test]
    fn numbers_that_are_no_probabilities_are_refused() {
        for planes in [Planes::Probabilities, Planes::BinaryProbabilities] {
            for bad in [1.2, -0.2, f32::NAN] {
                assert!(run(planes, 2, &[1, 2, 1, 1], Values::Float(&[0.5, bad])).is_err(), "{bad}");
            }
        }
        assert!(run(Planes::BinaryLogits, 2, &[1, 1, 1, 1], Values::Float(&[f32::INFINITY])).is_err());
    }
}

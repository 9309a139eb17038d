//! Classes of the whole picture.

use super::{logistic, probability};
use crate::{PerceptionError, head::Scores, model::Tensor};

/// A probability per class, in the model's order.
pub fn decode(form: Scores, tensor: &Tensor<'_>) -> Result<Vec<f32>, PerceptionError> {
    let values = tensor.finite()?;
    match form {
        Scores::Logits => Ok(soft_max(values)),
        Scores::MultiLabelLogits => Ok(values.iter().map(|&v| logistic(v)).collect()),
        Scores::Probabilities | Scores::MultiLabelProbabilities => {
            values.iter().map(|&v| probability("class probability", v)).collect()
        }
    }
}

fn soft_max(values: &[f32]) -> Vec<f32> {
    let largest = values.iter().copied().fold(f32::MIN, f32::max);
    let parts: Vec<f32> = values.iter().map(|v| (v - largest).exp()).collect();
    let total: f32 = parts.iter().sum();
    parts.iter().map(|p| p / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Values;

    fn run(form: Scores, values: &[f32]) -> Result<Vec<f32>, PerceptionError> {
        decode(form, &Tensor { shape: &[1, values.len() as i64], values: Values::Float(values) })
    }

    #[test]
    fn each_form_gives_probabilities() {
        let close = |got: Vec<f32>, want: &[f32]| {
            assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{got:?} {want:?}");
        };
        // e^0 : e^(ln 3) = 1 : 3; large logits do not overflow.
        close(run(Scores::Logits, &[0.0, 3f32.ln()]).unwrap(), &[0.25, 0.75]);
        close(run(Scores::Logits, &[1000.0, 1000.0]).unwrap(), &[0.5, 0.5]);
        close(run(Scores::MultiLabelLogits, &[0.0, 3f32.ln(), -1000.0]).unwrap(), &[0.5, 0.75, 0.0]);
        close(run(Scores::Probabilities, &[0.2, 0.8]).unwrap(), &[0.2, 0.8]);
        close(run(Scores::MultiLabelProbabilities, &[0.9, 1.0005]).unwrap(), &[0.9, 1.0]);
    }

    #[test]
    fn what_is_no_number_or_no_probability_is_refused() {
        assert!(run(Scores::Logits, &[0.0, f32::NAN]).is_err());
        assert!(run(Scores::Probabilities, &[0.2, 3.0]).unwrap_err().to_string().contains("form"));
    }
}

//! The tensors that a manifest promises, compared with those that a model declares and those that it gives.

use ort::value::TensorElementType;
use std::fmt;

/// A tensor's element type and shape, with free axes. A model may leave an axis open (dynamic); the answer may not.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected {
    elements: &'static [TensorElementType],
    shapes: Vec<Vec<Axis>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Axis {
    Is(i64),
    /// Any length from 1, called so.
    Free(&'static str),
}

impl Expected {
    /// Axes are written as in `1, {}, rows, columns`: numbers, names of free axes, and `{}` for the next of `numbers`.
    pub fn new(elements: &'static [TensorElementType], axes: &'static str, numbers: &[usize]) -> Self {
        let mut numbers = numbers.iter().map(|&n| n as i64);
        let axis = |text: &'static str| match text {
            "{}" => numbers.next().map_or(Axis::Free("?"), Axis::Is),
            text => text.parse().map_or(Axis::Free(text), Axis::Is),
        };
        Self { elements, shapes: vec![axes.split(", ").map(axis).collect()] }
    }

    /// Or of this shape.
    #[must_use]
    pub fn or(mut self, axes: &'static str) -> Self {
        self.shapes.extend(Self::new(self.elements, axes, &[]).shapes);
        self
    }

    /// Whether a tensor fits; lengths of -1 are open axes.
    pub fn fits(&self, element: TensorElementType, shape: &[i64]) -> bool {
        let axis = |(axis, &length): (&Axis, &i64)| match axis {
            _ if length == -1 => true,
            Axis::Is(n) => *n == length,
            Axis::Free(_) => length >= 1,
        };
        let fits = |axes: &Vec<Axis>| axes.len() == shape.len() && axes.iter().zip(shape).all(axis);
        self.elements.contains(&element) && self.shapes.iter().any(fits)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let elements: Vec<_> = self.elements.iter().map(|&e| element_name(e)).collect();
        write!(f, "{}", elements.join(" or "))?;
        for (i, axes) in self.shapes.iter().enumerate() {
            let axes: Vec<_> = axes.iter().map(ToString::to_string).collect();
            write!(f, "{} [{}]", if i == 0 { "" } else { " or" }, axes.join(", "))?;
        }
        Ok(())
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(n) => write!(f, "{n}"),
            Self::Free(name) => f.write_str(name),
        }
    }
}

/// A tensor in words, as [`Expected`] is shown.
pub fn shown(element: TensorElementType, shape: &[i64]) -> String {
    let axes: Vec<_> = shape.iter().map(|&n| if n == -1 { "open".to_owned() } else { n.to_string() }).collect();
    format!("{} [{}]", element_name(element), axes.join(", "))
}

fn element_name(element: TensorElementType) -> String {
    match element {
        TensorElementType::Float32 => "float32".to_owned(),
        TensorElementType::Int64 => "int64".to_owned(),
        TensorElementType::Int32 => "int32".to_owned(),
        TensorElementType::Uint8 => "uint8".to_owned(),
        other => other.to_string(),
    }
}

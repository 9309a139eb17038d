//! Checks and conversions that several messages share.

use super::{ConvertError, Problem};
use crate::{builtin_interfaces::Time, geometry_msgs, std_msgs::Header};
use nalgebra::{Isometry3, Matrix6, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use proctor_types::{Frame, InvalidValue, Pose, Stamp, finite as finite_value};

pub(super) type Field = &'static str;

/// Norms this close to 1 keep their bits; see [`rotation`].
const UNIT_EXACT: f64 = 1e-9;
/// Norms this close to 1 are normalised (publishers that compute in f32); others are refused.
const UNIT_CLOSE: f64 = 1e-3;

pub(super) fn text(field: Field, got: &str, expected: &str) -> ConvertError {
    let end = (0..=got.len().min(64)).rev().find(|&i| got.is_char_boundary(i)).unwrap_or(0);
    let problem = Problem::Text { got: got[..end].to_owned(), expected: expected.to_owned() };
    ConvertError::new(field, problem)
}

pub(super) fn stamp(field: Field, t: &Time) -> Result<Stamp, ConvertError> {
    Stamp::from_ros(field, t.sec, t.nanosec)
        .map_err(|_| ConvertError::new(field, Problem::Stamp { sec: t.sec, nanosec: t.nanosec }))
}

pub(super) fn time(stamp: Stamp) -> Time {
    let (sec, nanosec) = stamp.to_ros();
    Time { sec, nanosec }
}

pub(super) fn header(stamp: Stamp, frame: &str) -> Header {
    Header { stamp: time(stamp), frame_id: frame.to_owned() }
}

/// Stamp of a header that must name `frame`.
pub(super) fn framed(h: &Header, frame: &str) -> Result<Stamp, ConvertError> {
    if h.frame_id != frame {
        return Err(text("header.frame_id", &h.frame_id, frame));
    }
    stamp("header.stamp", &h.stamp)
}

pub(super) fn finite(field: Field, value: f64) -> Result<f64, ConvertError> {
    finite_value(field, value).map_err(|e| ConvertError::new(field, e.into()))
}

pub(super) fn range(field: Field, value: f64, min: f64, max: f64) -> Result<f64, ConvertError> {
    finite(field, value)?;
    if (min..=max).contains(&value) {
        Ok(value)
    } else {
        Err(ConvertError::new(field, InvalidValue::Range { what: field, value, min, max }.into()))
    }
}

pub(super) fn range32(field: Field, value: f32, min: f32, max: f32) -> Result<f32, ConvertError> {
    range(field, f64::from(value), f64::from(min), f64::from(max)).map(|_| value)
}

/// The `index`-th of `all`.
pub(super) fn known<T: Copy>(field: Field, all: &[T], index: u8) -> Result<T, ConvertError> {
    let problem = Problem::Unknown { got: u64::from(index), known: all.len() };
    all.get(usize::from(index)).copied().ok_or_else(|| ConvertError::new(field, problem))
}

/// The `(index - 1)`-th of `all`: 0 is UNSPECIFIED.
pub(super) fn specified<T: Copy>(field: Field, all: &[T], index: u8) -> Result<T, ConvertError> {
    let problem = Problem::Unknown { got: u64::from(index), known: all.len() };
    let found = usize::from(index).checked_sub(1).and_then(|i| all.get(i));
    found.copied().ok_or_else(|| ConvertError::new(field, problem))
}

/// Position of `value` in `all`; every table here is total over its enum.
pub(super) fn index<T: PartialEq>(all: &[T], value: &T) -> u8 {
    all.iter().position(|x| x == value).unwrap_or(usize::from(u8::MAX)) as u8
}

pub(super) fn at_most<T>(field: Field, list: &[T], max: usize) -> Result<&[T], ConvertError> {
    if list.len() > max { Err(ConvertError::new(field, Problem::TooLong { got: list.len(), max })) } else { Ok(list) }
}

/// Decodes every element of a bounded list, naming the element in an error.
pub(super) fn each<M, T>(
    field: Field,
    list: &[M],
    max: usize,
    decode: impl Fn(&M) -> Result<T, ConvertError>,
) -> Result<Vec<T>, ConvertError> {
    let numbered = at_most(field, list, max)?.iter().enumerate();
    numbered.map(|(i, m)| decode(m).map_err(|e| e.within(&format!("{field}[{i}]")))).collect()
}

/// `text` cut to at most `max` bytes, at a character.
pub(super) fn cut(text: &str, max: usize) -> String {
    let end = (0..=text.len().min(max)).rev().find(|&i| text.is_char_boundary(i)).unwrap_or(0);
    text[..end].to_owned()
}

pub(super) fn bounded_text(field: Field, text: &str, max: usize) -> Result<String, ConvertError> {
    if text.len() > max {
        Err(ConvertError::new(field, Problem::TooLong { got: text.len(), max }))
    } else {
        Ok(text.to_owned())
    }
}

pub(super) fn point(p: &Point3<f64>) -> geometry_msgs::Point {
    geometry_msgs::Point { x: p.x, y: p.y, z: p.z }
}

pub(super) fn read_point(field: Field, p: &geometry_msgs::Point) -> Result<Point3<f64>, ConvertError> {
    Ok(Point3::new(finite(field, p.x)?, finite(field, p.y)?, finite(field, p.z)?))
}

pub(super) fn vector(v: &Vector3<f64>) -> geometry_msgs::Vector3 {
    geometry_msgs::Vector3 { x: v.x, y: v.y, z: v.z }
}

pub(super) fn read_vector(field: Field, v: &geometry_msgs::Vector3) -> Result<Vector3<f64>, ConvertError> {
    Ok(Vector3::new(finite(field, v.x)?, finite(field, v.y)?, finite(field, v.z)?))
}

pub(super) fn pose<A: Frame, B: Frame>(p: &Pose<A, B>) -> geometry_msgs::Pose {
    let q = p.rotation();
    geometry_msgs::Pose {
        position: point(&p.translation().into()),
        orientation: geometry_msgs::Quaternion { x: q.i, y: q.j, z: q.k, w: q.w },
    }
}

pub(super) fn read_pose<A: Frame, B: Frame>(field: Field, p: &geometry_msgs::Pose) -> Result<Pose<A, B>, ConvertError> {
    let position = read_point(field, &p.position)?;
    let rotation = rotation(field, &p.orientation)?;
    Ok(Pose::new(Isometry3::from_parts(Translation3::from(position), rotation)))
}

/// Unit quaternions keep their bits, so that decode(encode(x)) = x; nearly-unit ones are normalised; others refused.
pub(super) fn rotation(field: Field, q: &geometry_msgs::Quaternion) -> Result<UnitQuaternion<f64>, ConvertError> {
    for c in [q.x, q.y, q.z, q.w] {
        finite(field, c)?;
    }
    let q = Quaternion::new(q.w, q.x, q.y, q.z);
    let norm = q.norm();
    if (norm - 1.0).abs() <= UNIT_EXACT {
        Ok(UnitQuaternion::new_unchecked(q))
    } else if (norm - 1.0).abs() <= UNIT_CLOSE {
        Ok(UnitQuaternion::from_quaternion(q))
    } else {
        Err(ConvertError::new(field, Problem::Quaternion { norm }))
    }
}

pub(super) fn pose_cov<A: Frame, B: Frame>(p: &Pose<A, B>, c: &Matrix6<f64>) -> geometry_msgs::PoseWithCovariance {
    let mut covariance = [0.0; 36];
    for (slot, value) in covariance.iter_mut().zip(c.transpose().iter()) {
        *slot = *value;
    }
    geometry_msgs::PoseWithCovariance { pose: pose(p), covariance }
}

pub(super) fn read_pose_cov<A: Frame, B: Frame>(
    field: Field,
    m: &geometry_msgs::PoseWithCovariance,
) -> Result<(Pose<A, B>, Matrix6<f64>), ConvertError> {
    let pose = read_pose(field, &m.pose)?;
    let covariance = Matrix6::from_row_slice(&m.covariance);
    for (row, col) in (0..6).flat_map(|r| (0..6).map(move |c| (r, c))) {
        finite(field, covariance[(row, col)])?;
        if row == col {
            range(field, covariance[(row, col)], 0.0, f64::MAX)?;
        }
    }
    Ok((pose, covariance))
}

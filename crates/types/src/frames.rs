//! Frames the compiler checks: a [`Pose<To, From>`] maps points of `From` into `To`, and only chains that meet compile.
//!
//! ```compile_fail
//! # use proctor_types::{Pose, World, Tip, Camera};
//! # use nalgebra::Isometry3;
//! let world_from_tip = Pose::<World, Tip>::new(Isometry3::identity());
//! let camera_from_tip = Pose::<Camera, Tip>::new(Isometry3::identity());
//! let _ = world_from_tip * camera_from_tip; // Tip does not meet Camera
//! ```

use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// A coordinate frame known at compile time.
pub trait Frame: Copy + 'static {}

macro_rules! frames {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub struct $name;
        impl Frame for $name {}
    )+};
}

frames! {
    /// The operating cell: origin at the nominal operative site, z up (away from the patient), right-handed, metres.
    World,
    /// An arm's base = its remote centre of motion (dVRK convention: at zero joints the tool points along -z).
    Base,
    /// An instrument's tool tip as the dVRK defines it (after the fixed tool rotation), or the ECM's tip.
    Tip,
    /// The left camera's optical frame: x right, y down, z into the picture (REP-103 `_optical`).
    Camera,
}

/// Rigid transform taking coordinates in `From` to coordinates in `To`. Metres and unit quaternions.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Pose<To: Frame, From: Frame> {
    iso: Isometry3<f64>,
    #[serde(skip)]
    frames: PhantomData<(To, From)>,
}

#[expect(clippy::expl_impl_clone_on_copy, reason = "a derive would bound the frame markers")]
impl<To: Frame, From: Frame> Clone for Pose<To, From> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<To: Frame, From: Frame> Copy for Pose<To, From> {}

impl<To: Frame, From: Frame> Pose<To, From> {
    /// Names the frames of an isometry; the caller asserts they are right.
    pub fn new(iso: Isometry3<f64>) -> Self {
        Self { iso, frames: PhantomData }
    }

    /// The identity: both frames coincide.
    pub fn identity() -> Self {
        Self::new(Isometry3::identity())
    }

    /// From translation (m) and rotation vector (rad, axis times angle).
    pub fn from_parts(translation: Vector3<f64>, rotation_vector: Vector3<f64>) -> Self {
        Self::new(Isometry3::from_parts(translation.into(), UnitQuaternion::from_scaled_axis(rotation_vector)))
    }

    /// The bare isometry.
    pub fn iso(&self) -> &Isometry3<f64> {
        &self.iso
    }

    /// Origin of `From` in `To`, metres.
    pub fn translation(&self) -> Vector3<f64> {
        self.iso.translation.vector
    }

    /// Rotation of `From` in `To`.
    pub fn rotation(&self) -> UnitQuaternion<f64> {
        self.iso.rotation
    }

    /// The inverse transform.
    #[must_use]
    pub fn inverse(&self) -> Pose<From, To> {
        Pose::new(self.iso.inverse())
    }

    /// A point of `From`, in `To`.
    pub fn transform(&self, p: &Point3<f64>) -> Point3<f64> {
        self.iso * p
    }

    /// Whether every component is finite.
    pub fn is_finite(&self) -> bool {
        self.iso.translation.vector.iter().chain(self.iso.rotation.coords.iter()).all(|v| v.is_finite())
    }
}

impl<A: Frame, B: Frame, C: Frame> std::ops::Mul<Pose<B, C>> for Pose<A, B> {
    type Output = Pose<A, C>;
    fn mul(self, rhs: Pose<B, C>) -> Pose<A, C> {
        Pose::new(self.iso * rhs.iso)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_poses_and_its_inverse_is_the_identity() {
        let a = Pose::<World, Base>::from_parts(Vector3::new(0.1, -0.2, 0.3), Vector3::new(0.4, 0.5, -0.6));
        let b = Pose::<Base, Tip>::from_parts(Vector3::new(0.0, 0.1, -0.3), Vector3::new(1.0, 0.0, 0.2));
        let loop_ = (a * b) * (a * b).inverse();
        assert!(loop_.translation().norm() < 1e-12 && loop_.rotation().angle() < 1e-12);
    }
}

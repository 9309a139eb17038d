//! Where pixels look, and how surfaces stand to eye and light.

#![allow(clippy::inline_always, reason = "the innermost loops; vectors must stay in registers")]

use super::lanes::{F, inverse_root, s};

/// Rays from one place at the scope (eye, light or between) to the seen points of a run: (x, y, 1) in the camera's frame, y as the row has
/// it, and one over the length of that.
#[derive(Clone, Copy)]
pub(crate) struct Ray {
    pub x: F,
    pub inverse: F,
}

/// Where the pixels of a run look.
pub(crate) struct Sight {
    /// Depth, mm, and 1 over it.
    pub z: F,
    pub near: F,
    /// The eye's rays' x.
    pub px: F,
    /// Squared length of (0, y, 1), and that vector in world axes.
    pub row2: f32,
    pub row: [f32; 3],
}

impl Sight {
    /// Rays from a place so many mm right of the eye.
    #[inline(always)]
    pub(crate) fn from(&self, aside: f32) -> Ray {
        let x = self.px - s(aside) * self.near;
        Ray { x, inverse: inverse_root(x * x + s(self.row2)) }
    }
}

/// Cosines between a surface's normals and the way back along rays.
pub(crate) struct Slant {
    /// Normals along the camera's x axis, and along [`Sight::row`].
    pub right: F,
    pub row: F,
    /// One over the normals' length.
    pub inverse: F,
}

impl Slant {
    #[inline(always)]
    pub(crate) fn new(n: &[F; 3], inverse: F, right: &[f32; 3], row: &[f32; 3]) -> Self {
        let along = |a: &[f32; 3]| n[0] * s(a[0]) + n[1] * s(a[1]) + n[2] * s(a[2]);
        Self { right: along(right), row: along(row), inverse }
    }

    /// 0 where turned away.
    #[inline(always)]
    pub(crate) fn facing(&self, ray: &Ray) -> F {
        (s(0.0) - (self.right * ray.x + self.row) * (ray.inverse * self.inverse)).fast_max(s(0.0))
    }
}

//! The gate's own walk along a serial arm of any form, from its files' raw numbers, in plain arithmetic: roll, pitch and yaw by school
//! matrices, turns by Rodrigues' formula. It shares no code with `proctor-kinematics`.

use crate::{
    dofs::Q,
    scalar::{Axes, V, add, dot, norm, scale, sub},
};
use proctor_kinematics::{Motion, Row};

/// Most joints of an arm's files, fixed ones counted: seven that move, and one before, between and behind them.
const MAX_ROWS: usize = 16;

/// What a joint does, axis of length one.
#[derive(Debug, Clone, Copy)]
enum Step {
    Stay,
    Turn(V),
    Slide(V),
}

/// A serial arm.
#[derive(Debug, Clone, Copy)]
pub struct Serial {
    /// Origin and axes in the parent link, and what the joint does.
    rows: [(Axes, Step); MAX_ROWS],
    /// How far the shaft's line may be from the base, m.
    pub tolerance: f64,
}

const HERE: Axes = Axes { x: [1.0, 0.0, 0.0], y: [0.0, 1.0, 0.0], z: [0.0, 0.0, 1.0], p: [0.0; 3] };

impl Serial {
    /// From base to tip. An arm of more than [`MAX_ROWS`] rows is nowhere: nothing of it passes.
    pub fn new(rows: &[Row], tolerance: f64) -> Self {
        if rows.len() > MAX_ROWS {
            let nowhere = Axes { p: [f64::NAN; 3], ..HERE };
            return Self { rows: [(nowhere, Step::Stay); MAX_ROWS], tolerance };
        }
        let mut all = [(HERE, Step::Stay); MAX_ROWS];
        for (slot, row) in all.iter_mut().zip(rows) {
            let step = match row.motion {
                Motion::Fixed => Step::Stay,
                Motion::Turns(axis) => Step::Turn(scale(axis, 1.0 / norm(axis))),
                Motion::Slides(axis) => Step::Slide(scale(axis, 1.0 / norm(axis))),
            };
            *slot = (upright(row.xyz, row.rpy), step);
        }
        Self { rows: all, tolerance }
    }

    /// Tip, m, and how far it lies beyond the base along the shaft, m.
    pub fn tip(&self, base: Axes, q: &Q) -> (V, f64) {
        let end = self.walk(base, q);
        (end.p, dot(sub(end.p, base.p), end.z))
    }

    /// Distance of the shaft's line from the base, m.
    pub fn offset(&self, q: &Q) -> f64 {
        let end = self.walk(HERE, q);
        norm(sub(end.p, scale(end.z, dot(end.p, end.z))))
    }

    fn walk(&self, base: Axes, q: &Q) -> Axes {
        let mut at = base;
        let mut joints = q.iter();
        for (origin, step) in &self.rows {
            at = carried(&at, origin);
            at = match step {
                Step::Stay => at,
                Step::Turn(axis) => turned(&at, *axis, joints.next().copied().unwrap_or(0.0)),
                Step::Slide(axis) => {
                    let by = scale(*axis, joints.next().copied().unwrap_or(0.0));
                    Axes { p: add(at.p, seen(&at, by)), ..at }
                }
            };
        }
        at
    }
}

/// A direction given in a frame, seen from outside.
fn seen(at: &Axes, [x, y, z]: V) -> V {
    add(add(scale(at.x, x), scale(at.y, y)), scale(at.z, z))
}

/// A frame given in another, seen from outside.
fn carried(at: &Axes, inner: &Axes) -> Axes {
    Axes { x: seen(at, inner.x), y: seen(at, inner.y), z: seen(at, inner.z), p: add(at.p, seen(at, inner.p)) }
}

/// A frame turned about one of its own directions.
fn turned(at: &Axes, axis: V, by: f64) -> Axes {
    let (s, c) = by.sin_cos();
    let [ax, ay, az] = axis;
    let turn = |v: V| {
        let [x, y, z] = v;
        let cross = [ay * z - az * y, az * x - ax * z, ax * y - ay * x];
        seen(at, add(add(scale(v, c), scale(cross, s)), scale(axis, dot(axis, v) * (1.0 - c))))
    };
    Axes { x: turn(HERE.x), y: turn(HERE.y), z: turn(HERE.z), p: at.p }
}

/// A URDF's origin: rolled about x, then pitched about y, then yawed about z, all of them the parent's.
fn upright(xyz: V, [roll, pitch, yaw]: V) -> Axes {
    let ((sr, cr), (sp, cp), (sy, cy)) = (roll.sin_cos(), pitch.sin_cos(), yaw.sin_cos());
    Axes {
        x: [cy * cp, sy * cp, -sp],
        y: [cy * sp * sr - sy * cr, sy * sp * sr + cy * cr, cp * sr],
        z: [cy * sp * cr + sy * sr, sy * sp * cr - cy * sr, cp * cr],
        p: xyz,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Isometry3, UnitQuaternion, Vector3};
    use proctor_kinematics::Chain;

    /// Weyl sequence over [-1, 1]: the same on every run.
    fn spread(i: usize, k: f64) -> f64 {
        2.0 * ((i as f64 + 1.0) * 0.569_840_291 * (k + 1.3)).fract() - 1.0
    }

    #[test]
    fn both_kinematics_agree_on_tip_depth_and_offset() {
        let chain = Chain::held("LEAN7_PROBE").unwrap();
        let mine = Serial::new(chain.rows(), 0.0005);
        for i in 0..500 {
            let q: Q = std::array::from_fn(|j| 2.0 * spread(i, j as f64));
            let links = chain.links(&q).unwrap();
            let (tip, depth) = mine.tip(HERE, &q);
            let end = links.tip.translation.vector;
            let along = links.shaft.rotation * Vector3::z();
            assert!(norm(sub(tip, end.into())) < 1e-12 && (depth - end.dot(&along)).abs() < 1e-12, "{i}");
            assert!((mine.offset(&q) - chain.shaft_offset(&q).unwrap().norm()).abs() < 1e-12, "{i}");
        }
    }

    #[test]
    fn origins_turned_and_axes_slanted_anyhow_are_what_nalgebra_makes_of_them() {
        for i in 0..300 {
            let three = |k: f64| std::array::from_fn(|j| 2.0 * spread(i, k + j as f64));
            let rows: Vec<Row> = (0..9)
                .map(|k| {
                    let (xyz, rpy, axis) = (three(f64::from(k)), three(f64::from(k) + 0.3), three(f64::from(k) + 0.6));
                    let motion = match k % 4 {
                        0 => Motion::Fixed,
                        1 | 2 => Motion::Turns(axis),
                        _ => Motion::Slides(axis),
                    };
                    Row { xyz, rpy, motion }
                })
                .collect();
            let q: Q = std::array::from_fn(|j| 2.0 * spread(i, j as f64 + 0.1));
            let (mut theirs, mut joints) = (Isometry3::identity(), q.iter());
            for Row { xyz, rpy: [roll, pitch, yaw], motion } in &rows {
                theirs *= Isometry3::from_parts(
                    Vector3::from(*xyz).into(),
                    UnitQuaternion::from_euler_angles(*roll, *pitch, *yaw),
                );
                let along = |axis: &V| Vector3::from(*axis).normalize();
                theirs *= match motion {
                    Motion::Fixed => Isometry3::identity(),
                    Motion::Turns(axis) => Isometry3::rotation(along(axis) * *joints.next().unwrap()),
                    Motion::Slides(axis) => Isometry3::from_parts(
                        (along(axis) * *joints.next().unwrap()).into(),
                        UnitQuaternion::identity(),
                    ),
                };
            }
            let mine = Serial::new(&rows, 0.0005).walk(HERE, &q);
            assert!(norm(sub(mine.p, theirs.translation.vector.into())) < 1e-11, "{i}");
            assert!(norm(sub(mine.z, (theirs.rotation * Vector3::z()).into())) < 1e-11, "{i}");
        }
    }

    #[test]
    fn an_arm_of_too_many_rows_is_nowhere() {
        let row = Row { xyz: [0.0, 0.0, 0.1], rpy: [0.0; 3], motion: Motion::Fixed };
        assert!(Serial::new(&[row; MAX_ROWS], 0.0005).offset(&[0.0; 7]).is_finite());
        assert!(Serial::new(&[row; MAX_ROWS + 1], 0.0005).offset(&[0.0; 7]).is_nan());
    }
}

//! The gate's own geometry: forward kinematics from the published DH constants and distances by school formulas, in plain
//! arithmetic. It shares nothing with `proctor-kinematics` but the instrument's lengths, so that a mistake in one is seen by the other.

use crate::{dofs::Q, serial::Serial};

/// A point or vector.
pub type V = [f64; 3];

pub fn add(a: V, b: V) -> V {
    let ([x, y, z], [u, v, w]) = (a, b);
    [x + u, y + v, z + w]
}

pub fn sub(a: V, b: V) -> V {
    let ([x, y, z], [u, v, w]) = (a, b);
    [x - u, y - v, z - w]
}

pub fn scale(a: V, s: f64) -> V {
    a.map(|x| x * s)
}

pub fn dot(a: V, b: V) -> f64 {
    let ([x, y, z], [u, v, w]) = (a, b);
    x * u + y * v + z * w
}

pub fn norm(a: V) -> f64 {
    dot(a, a).sqrt()
}

/// Axes and origin of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Axes {
    pub x: V,
    pub y: V,
    pub z: V,
    pub p: V,
}

impl Axes {
    /// One row of a modified DH table: turn by `alpha` about x, move `a` along x, turn by `theta` about z, move `d` along z.
    /// `alpha` is given as its sine: every alpha of these arms is 0 or a right angle.
    fn dh(self, sin_alpha: f64, a: f64, theta: f64, d: f64) -> Self {
        let cos_alpha = 1.0 - sin_alpha.abs();
        let y = add(scale(self.y, cos_alpha), scale(self.z, sin_alpha));
        let z = sub(scale(self.z, cos_alpha), scale(self.y, sin_alpha));
        let (s, c) = theta.sin_cos();
        Self {
            p: add(add(self.p, scale(self.x, a)), scale(z, d)),
            x: add(scale(self.x, c), scale(y, s)),
            y: sub(scale(y, c), scale(self.x, s)),
            z,
        }
    }
}

/// Lengths of an arm.
#[derive(Debug, Clone, Copy)]
pub enum Lengths {
    /// Roll D, wrist A, jaw length.
    Psm {
        /// DH `D` of the roll joint, m.
        roll_d: f64,
        /// DH `A` of the wrist-yaw joint, m.
        wrist_a: f64,
        /// Jaw axis to jaw end, m.
        jaw: f64,
    },
    /// The ECM has no variants.
    Ecm,
    /// An arm of its own form.
    Serial(Serial),
}

/// Corners of an arm: remote centre, wrist-pitch axis, tool tip (jaw axis), jaw end. For the ECM and arms of their own form the last three are the tip.
#[derive(Debug, Clone, Copy)]
pub struct Corners {
    pub pivot: V,
    pub wrist: V,
    pub tip: V,
    pub jaw_end: V,
    /// Of the wrist beyond the pivot along the shaft, m.
    pub depth: f64,
}

const RIGHT: f64 = std::f64::consts::FRAC_PI_2;

/// Corners of an arm whose base has these axes.
pub fn corners(base: Axes, lengths: &Lengths, q: &Q) -> Corners {
    let [q1, q2, q3, q4, q5, q6, _] = *q;
    let pitch = base.dh(1.0, 0.0, q1 + RIGHT, 0.0).dh(-1.0, 0.0, q2 - RIGHT, 0.0);
    match *lengths {
        Lengths::Serial(ref chain) => {
            let (tip, depth) = chain.tip(base, q);
            Corners { pivot: base.p, wrist: tip, tip, jaw_end: tip, depth }
        }
        Lengths::Psm { roll_d, wrist_a, jaw } => {
            let along = q3 - 0.4318;
            let roll = pitch.dh(1.0, 0.0, 0.0, along).dh(0.0, 0.0, q4, roll_d);
            let yaw = roll.dh(-1.0, 0.0, q5 - RIGHT, 0.0).dh(-1.0, wrist_a, q6 - RIGHT, 0.0);
            // The fixed tool rotation makes the jaws' direction the y axis of the last joint.
            let jaw_end = add(yaw.p, scale(yaw.y, jaw));
            Corners { pivot: base.p, wrist: roll.p, tip: yaw.p, jaw_end, depth: along + roll_d }
        }
        Lengths::Ecm => {
            let along = q3 - 0.3822 + 0.3829;
            let tip = pitch.dh(1.0, 0.0, 0.0, q3 - 0.3822).dh(0.0, 0.0, q4, 0.3829).p;
            Corners { pivot: base.p, wrist: tip, tip, jaw_end: tip, depth: along }
        }
    }
}

/// The endoscope's camera for an ECM whose base has these axes; `mount` is the camera on the tip.
pub fn camera(base: Axes, q: &Q, mount: &Axes) -> Axes {
    let [q1, q2, q3, q4, ..] = *q;
    let pitch = base.dh(1.0, 0.0, q1 + RIGHT, 0.0).dh(-1.0, 0.0, q2 - RIGHT, 0.0);
    let tip = pitch.dh(1.0, 0.0, 0.0, q3 - 0.3822).dh(0.0, 0.0, q4, 0.3829);
    let turned = |[x, y, z]: V| add(add(scale(tip.x, x), scale(tip.y, y)), scale(tip.z, z));
    Axes { x: turned(mount.x), y: turned(mount.y), z: turned(mount.z), p: add(tip.p, turned(mount.p)) }
}

/// How far inside the picture `p` is: the distance to the nearest of the four planes through the camera and the picture's edges, whose
/// half angles these are; negative outside.
pub fn inside_picture(camera: &Axes, (horizontal, vertical): (f64, f64), p: V) -> f64 {
    let seen = sub(p, camera.p);
    let deep = dot(seen, camera.z);
    // Normals of the planes point inwards: (-+cos, 0, sin) and (0, -+cos, sin); of each two the one on the point's side is nearer.
    let edge = |off: f64, half: f64| deep * half.sin() - off.abs() * half.cos();
    [edge(dot(seen, camera.x), horizontal), edge(dot(seen, camera.y), vertical)]
        .into_iter()
        .fold(f64::INFINITY, f64::min)
}

/// Distance from `p` to the segment from `a` to `b`.
pub fn point_segment(p: V, a: V, b: V) -> f64 {
    let (ab, ap) = (sub(b, a), sub(p, a));
    let len2 = dot(ab, ab);
    let s = if len2 > 0.0 { dot(ap, ab) / len2 } else { 0.0 };
    if s <= 0.0 {
        norm(ap)
    } else if s >= 1.0 {
        norm(sub(p, b))
    } else {
        norm(sub(ap, scale(ab, s)))
    }
}

/// Distance between two segments: the smallest of the four end-to-segment distances and, where the common perpendicular meets
/// both inside, its length.
pub fn segment_segment(a: V, b: V, c: V, d: V) -> f64 {
    let ends =
        point_segment(a, c, d).min(point_segment(b, c, d)).min(point_segment(c, a, b)).min(point_segment(d, a, b));
    let (u, v, w) = (sub(b, a), sub(d, c), sub(a, c));
    let (uu, uv, vv, uw, vw) = (dot(u, u), dot(u, v), dot(v, v), dot(u, w), dot(v, w));
    let det = uu * vv - uv * uv;
    if det <= 1e-12 * uu * vv {
        return ends;
    }
    let (s, t) = ((uv * vw - vv * uw) / det, (uu * vw - uv * uw) / det);
    if (0.0..=1.0).contains(&s) && (0.0..=1.0).contains(&t) {
        ends.min(norm(sub(add(w, scale(u, s)), scale(v, t))))
    } else {
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SafetyParams, body::Body};
    use proctor_types::ArmId;

    fn axes(iso: &nalgebra::Isometry3<f64>) -> Axes {
        crate::gate::axes(iso)
    }

    #[test]
    fn both_kinematics_agree_on_every_corner() {
        let params = SafetyParams::default();
        for arm in ArmId::ALL {
            let body = Body::configured(arm, &params).unwrap();
            let lengths = crate::gate::lengths(&body);
            for i in 0..500 {
                let w = |j: f64| 2.0 * ((f64::from(i) + 1.0) * 0.569_840_290_998 * (j + 1.0)).fract() - 1.0;
                let q =
                    [1.4 * w(0.1), 0.9 * w(1.3), 0.12 + 0.1 * w(2.7), 3.0 * w(3.1), 1.3 * w(4.9), 1.3 * w(5.3), 0.2];
                let (mine, theirs) = (corners(axes(body.world_from_base()), &lengths, &q), body.shape(&q).unwrap());
                let near = |a: V, b: nalgebra::Point3<f64>| norm(sub(a, [b.x, b.y, b.z])) < 1e-12;
                assert!(near(mine.pivot, theirs.capsules[0].a) && near(mine.wrist, theirs.capsules[0].b), "{arm} {i}");
                assert!(near(mine.tip, theirs.tip) && near(mine.jaw_end, theirs.jaw_end), "{arm} {i}");
                assert!((mine.depth - theirs.depth).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn both_cameras_agree_and_so_do_distances_from_the_edges_of_the_picture() {
        let cell = proctor_kinematics::Cell::standard().unwrap();
        let (base, mount) = (axes(cell.world_from_base(ArmId::Ecm).iso()), axes(cell.tip_from_camera().iso()));
        for i in 0..200 {
            let w = |j: f64| 2.0 * ((f64::from(i) + 1.0) * 0.569_840_290_998 * (j + 1.0)).fract() - 1.0;
            let q = [1.4 * w(0.1), 0.9 * w(1.3), 0.12 + 0.1 * w(2.7), 1.5 * w(3.1), 0.0, 0.0, 0.0];
            let mine = camera(base, &q, &mount);
            let theirs = *cell.world_from_camera(&q[..4]).unwrap().iso();
            let p = nalgebra::Point3::new(0.05 * w(4.1), 0.05 * w(5.1), 0.1 + 0.09 * w(6.1));
            let in_world = theirs * p;
            let got = inside_picture(&mine, (0.5, 0.39), [in_world.x, in_world.y, in_world.z]);
            // By the angles of the picture's edges.
            let edge = |off: f64, half: f64| {
                off.hypot(p.z) * (half - off.abs().atan2(p.z)).clamp(-std::f64::consts::PI, 1.57).sin()
            };
            let expected = edge(p.x, 0.5).min(edge(p.y, 0.39));
            assert!((got - expected).abs() < 1e-12, "{i}: {got} {expected}");
        }
    }

    #[test]
    fn both_segment_distances_agree() {
        for i in 0..2000 {
            let w = |j: f64| 2.0 * ((f64::from(i) + 1.0) * 0.754_877_666 * (j + 0.3)).fract() - 1.0;
            let p = |k: f64| [w(k), w(k + 0.17), w(k + 0.31)];
            let (a, b, c, d) = (p(1.0), p(2.0), p(3.0), if i % 9 == 0 { p(3.0) } else { p(4.0) });
            let capsule = |a: V, b: V| proctor_kinematics::Capsule { a: a.into(), b: b.into(), radius: 0.0 };
            let theirs = capsule(a, b).distance_to(&capsule(c, d));
            assert!((segment_segment(a, b, c, d) - theirs).abs() < 1e-9, "case {i}");
        }
    }

    #[test]
    fn segments_of_any_length_have_a_distance_where_they_cross_and_a_point_is_one_of_none() {
        for size in [1e-4, 1e-2, 1.0, 100.0] {
            let at = |p: V| scale(p, size);
            // Crosswise, a tenth above each other, the feet inside both.
            let (a, b, c, d) = ([-1.0, -0.2, 0.0], [1.0, 0.2, 0.0], [0.0, -1.0, 0.1], [0.2, 1.0, 0.1]);
            let across = segment_segment(at(a), at(b), at(c), at(d)) / size;
            assert!((across - 0.1).abs() < 1e-12, "{size}: {across}");
            // Of lengths that differ a thousandfold, too.
            let far = segment_segment(at(scale(a, 1e3)), at(scale(b, 1e3)), at(c), at(d)) / size;
            let near = segment_segment(at(c), at(d), at(scale(a, 1e3)), at(scale(b, 1e3))) / size;
            assert!((far - 0.1).abs() < 1e-9 && (near - 0.1).abs() < 1e-9, "{size}: {far} {near}");
            assert_eq!(point_segment(at(c), at(a), at(a)), norm(sub(at(c), at(a))), "{size}");
        }
    }
}

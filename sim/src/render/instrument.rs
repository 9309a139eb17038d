//! Shapes of the instruments, one rigid mesh per link, from the catalogue dimensions that the kinematics reads out of the URDF.
//!
//! Link frames are those of `proctor_kinematics::Links`: z distal; the wrist pitches about the shaft's y; the jaws turn about x.

use crate::scene::mesh::{Columns, Mesh, V3, add, rotation_minimising_frames, scale};
use proctor_kinematics::{Instrument, JawKind, KinematicsError};
use proctor_types::Class;

/// How far a shaft is drawn from the wrist towards the hand, mm; beyond any camera's near plane.
const SHAFT_LENGTH: f32 = 260.0;
const PI: f32 = std::f32::consts::PI;

/// A link of an instrument, for choosing its pose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// The tube.
    Shaft,
    /// What pitches at its end.
    Wrist,
    /// Turns with +half the jaw angle about x.
    UpperJaw,
    /// Turns with -half the jaw angle about x.
    LowerJaw,
}

/// The links of one kind of instrument, millimetres, each in its own frame.
#[derive(Debug)]
pub(crate) struct Model {
    pub kind: JawKind,
    pub links: Vec<(Link, Mesh)>,
}

/// The shape of one link of an instrument, for whoever else draws it. Frames as in `proctor_kinematics::Links`.
#[derive(Debug)]
pub struct InstrumentShape {
    /// Which link.
    pub link: Link,
    /// Its shape, mm.
    pub mesh: Mesh,
}

impl InstrumentShape {
    /// Every link of an instrument.
    pub fn of(instrument: &Instrument) -> Vec<Self> {
        Model::new(instrument).links.into_iter().map(|(link, mesh)| Self { link, mesh }).collect()
    }
}

/// One ring of a loft along z: centre and half extents.
#[derive(Clone, Copy)]
pub(super) struct Ring {
    at: V3,
    half: [f32; 2],
}

pub(super) fn ring(z: f32, hx: f32, hy: f32) -> Ring {
    Ring { at: [0.0, 0.0, z], half: [hx, hy] }
}

impl Ring {
    fn by(self, x: f32, y: f32) -> Self {
        Self { at: add(self.at, [x, y, 0.0]), ..self }
    }
}

/// A closed body through `rings`; `power` 2 makes ellipses, 5 rounded boxes. Ends are capped with crisp edges.
pub(super) fn loft(mesh: &mut Mesh, class: Class, rings: &[Ring], around: usize, power: f32) {
    let (Some(first), Some(last)) = (rings.first(), rings.last()) else { return };
    let point_end = |r: &Ring| Ring { half: [0.0, 0.0], ..*r };
    let mut all = vec![point_end(first), *first];
    all.extend_from_slice(rings);
    all.extend([*last, point_end(last)]);
    let centre = scale(add(first.at, last.at), 0.5);
    let point = |c: usize, r: usize| {
        let a = (c as f32 + 0.5) / around as f32 * 2.0 * PI;
        let bulge = |v: f32| libm::powf(v.abs(), 2.0 / power).copysign(v);
        let g = &all[r];
        add(g.at, [g.half[0] * bulge(libm::cosf(a)), g.half[1] * bulge(libm::sinf(a)), 0.0])
    };
    let outward = |p: V3| add(p, scale(centre, -1.0));
    mesh.grid(class, (around, all.len()), Columns::Ring, point, outward, |_, _| true);
}

/// A round bar along a path.
pub(super) fn rod(mesh: &mut Mesh, class: Class, path: &[V3], radius: f32, around: usize) {
    let frames = rotation_minimising_frames(path, [1.0, 0.0, 0.0]);
    let n = path.len();
    let point = |c: usize, r: usize| {
        let (i, k) = match r {
            0 => (0, 0.0),
            r if r > n => (n - 1, 0.0),
            r => (r - 1, radius),
        };
        let a = c as f32 / around as f32 * 2.0 * PI;
        let [_, u, v] = frames[i];
        add(path[i], add(scale(u, k * libm::cosf(a)), scale(v, k * libm::sinf(a))))
    };
    let outward = |p: V3| {
        let near = path.iter().min_by(|a, b| {
            let d = |q: &V3| add(p, scale(*q, -1.0)).iter().map(|v| v * v).sum::<f32>();
            d(a).total_cmp(&d(b))
        });
        near.map_or([0.0, 0.0, 1.0], |c| add(p, scale(*c, -1.0)))
    };
    mesh.grid(class, (around, n + 2), Columns::Ring, point, outward, |_, _| true);
}

/// A disc with its axis along x (`true`) or y, at z.
fn pin(mesh: &mut Mesh, class: Class, z: f32, along_x: bool, half_width: f32, radius: f32) {
    let end = |s: f32| if along_x { [s * half_width, 0.0, z] } else { [0.0, s * half_width, z] };
    rod(mesh, class, &[end(-1.0), end(-1.0), end(1.0), end(1.0)], radius, 16);
}

impl Model {
    fn new(instrument: &Instrument) -> Self {
        let mm = |v: f64| (v * 1e3) as f32;
        let (radius, wrist) = (mm(instrument.shaft_radius), mm(instrument.wrist_radius));
        let (a, reach, width) = (mm(instrument.wrist_a), mm(instrument.jaw_length), mm(instrument.jaw_width));
        let mut links = vec![(Link::Shaft, shaft(radius, wrist)), (Link::Wrist, wrist_body(a, wrist))];
        match instrument.kind {
            JawKind::Hook => links.push((Link::UpperJaw, hook(reach, width))),
            kind => {
                for (link, side) in [(Link::UpperJaw, -1.0), (Link::LowerJaw, 1.0)] {
                    links.push((link, jaw(kind, reach, width, side)));
                }
            }
        }
        Self { kind: instrument.kind, links }
    }

    /// One model per kind of jaw, from the first catalogue entry of that kind.
    pub(crate) fn all() -> Result<Vec<Self>, KinematicsError> {
        let mut models: Vec<Self> = Vec::new();
        for name in Instrument::names() {
            let instrument = Instrument::named(name)?;
            if models.iter().all(|m| m.kind != instrument.kind) {
                models.push(Self::new(&instrument));
            }
        }
        Ok(models)
    }
}

/// Shaft tube, then the steel clevis that carries the wrist's pitch pin.
fn shaft(radius: f32, wrist: f32) -> Mesh {
    let mut m = Mesh::default();
    let tube: Vec<Ring> = (0..14)
        .map(|i| {
            // Rings crowd towards the distal end, where the camera looks.
            let t = 1.0 - i as f32 / 13.0;
            ring(-6.5 - (SHAFT_LENGTH - 6.5) * t * t, radius, radius)
        })
        .chain([ring(-5.7, radius * 0.93, radius * 0.93)])
        .collect();
    loft(&mut m, Class::InstrumentShaft, &tube, 40, 2.0);
    loft(&mut m, Class::InstrumentWrist, &[ring(-6.0, wrist * 1.06, wrist * 1.06), ring(-3.6, wrist, wrist)], 28, 2.4);
    for side in [-1.0, 1.0] {
        let y = side * wrist * 0.72;
        let plate = [
            ring(-3.7, wrist * 0.72, 0.9),
            ring(-0.5, wrist * 0.72, 0.8),
            ring(1.1, wrist * 0.6, 0.7),
            ring(2.2, 1.0, 0.6),
        ];
        loft(&mut m, Class::InstrumentWrist, &plate.map(|r| r.by(0.0, y)), 20, 4.0);
    }
    pin(&mut m, Class::InstrumentWrist, 0.0, false, wrist * 1.02, 0.9);
    m
}

/// From the pitch pin to the jaw pin: a hub with two cheeks.
fn wrist_body(a: f32, wrist: f32) -> Mesh {
    let mut m = Mesh::default();
    pin(&mut m, Class::InstrumentWrist, -a, false, wrist * 0.5, 2.5);
    let hub = [
        ring(-a - 0.5, wrist * 0.55, wrist * 0.45),
        ring(-a + 2.2, wrist * 0.8, wrist * 0.55),
        ring(-a + 4.4, wrist * 0.95, wrist * 0.72),
        ring(-a * 0.40, wrist * 0.95, wrist * 0.72),
    ];
    loft(&mut m, Class::InstrumentWrist, &hub, 24, 3.2);
    for side in [-1.0, 1.0] {
        let x = side * wrist * 0.76;
        let cheek = [
            ring(-a * 0.42, 0.8, wrist * 0.70),
            ring(-0.3, 0.75, wrist * 0.66),
            ring(1.3, 0.6, 1.5),
            ring(2.0, 0.45, 0.7),
        ];
        loft(&mut m, Class::InstrumentWrist, &cheek.map(|r| r.by(x, 0.0)), 20, 4.0);
    }
    pin(&mut m, Class::InstrumentWrist, 0.0, true, wrist * 1.0, 0.85);
    m
}

/// One jaw on the `side` of y, closed along z.
fn jaw(kind: JawKind, reach: f32, width: f32, side: f32) -> Mesh {
    let mut m = Mesh::default();
    let class = Class::InstrumentJaws;
    let w = width / 2.0;
    pin(&mut m, class, 0.0, true, w * 0.72, 1.9);
    match kind {
        JawKind::Forceps => {
            // Root, two rails around a window, broad tip.
            let put = |z: f32, x: f32, hx: f32, thick: f32| ring(z, hx, thick / 2.0).by(x, side * (thick / 2.0 + 0.06));
            loft(
                &mut m,
                class,
                &[put(0.4, 0.0, w * 0.7, 2.3), put(4.2, 0.0, w * 0.9, 2.4), put(5.6, 0.0, w, 2.2)],
                20,
                4.0,
            );
            for x in [-1.0, 1.0] {
                let rail = |z: f32, t: f32| put(z, x * (w - 0.65), 0.65, t);
                loft(&mut m, class, &[rail(5.2, 2.1), rail(reach * 0.6, 1.8), rail(reach - 3.4, 1.5)], 14, 3.5);
            }
            let tip = [
                put(reach - 3.8, 0.0, w, 1.5),
                put(reach - 1.4, 0.0, w * 0.93, 1.3),
                put(reach - 0.3, 0.0, w * 0.62, 1.0),
                put(reach, 0.0, w * 0.3, 0.6),
            ];
            loft(&mut m, class, &tip, 20, 3.0);
        }
        JawKind::NeedleDriver | JawKind::Hook => {
            let put = |z: f32, hx: f32, thick: f32| ring(z, hx, thick / 2.0).by(0.0, side * (thick / 2.0 + 0.05));
            let body = [
                put(0.3, w * 0.62, 2.3),
                put(reach * 0.30, w * 0.95, 2.4),
                put(reach * 0.62, w * 0.85, 1.9),
                put(reach * 0.92, w * 0.62, 1.3),
                put(reach, w * 0.38, 0.7),
            ];
            loft(&mut m, class, &body, 24, 3.4);
        }
    }
    m
}

/// Insulated root, wire, bend.
fn hook(reach: f32, width: f32) -> Mesh {
    let mut m = Mesh::default();
    let class = Class::InstrumentJaws;
    loft(
        &mut m,
        class,
        &[
            ring(-0.5, width * 0.6, width * 0.6),
            ring(4.0, width * 0.58, width * 0.58),
            ring(6.4, width * 0.34, width * 0.34),
        ],
        24,
        2.0,
    );
    let (bend, wire) = (2.4, 0.62);
    let mut path: Vec<V3> = vec![[0.0, 0.0, 5.8], [0.0, 0.0, 8.0], [0.0, 0.0, reach - bend - wire]];
    for i in 1..=8 {
        let t = i as f32 / 8.0 * PI / 2.0;
        path.push([0.0, bend * (1.0 - libm::cosf(t)), reach - wire - bend + bend * libm::sinf(t)]);
    }
    path.push([0.0, bend + 2.6, reach - wire]);
    rod(&mut m, class, &path, wire, 12);
    m
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_ends_where_the_kinematics_says() {
        for model in Model::all().unwrap() {
            let name =
                Instrument::names().into_iter().find(|n| Instrument::named(n).unwrap().kind == model.kind).unwrap();
            let instrument = Instrument::named(name).unwrap();
            let far = model
                .links
                .iter()
                .filter(|(l, _)| matches!(l, Link::UpperJaw | Link::LowerJaw))
                .flat_map(|(_, m)| m.position.iter().map(|p| p[2]))
                .fold(f32::MIN, f32::max);
            assert!((f64::from(far) - instrument.jaw_length * 1e3).abs() < 0.05, "{name}: {far}");
            let (_, shaft) = model.links.iter().find(|(l, _)| *l == Link::Shaft).unwrap();
            let radius = shaft.position.iter().map(|p| p[0].hypot(p[1])).fold(0.0, f32::max);
            assert!((f64::from(radius) - instrument.shaft_radius * 1e3).abs() < 0.01, "{name}: {radius}");
        }
    }
}

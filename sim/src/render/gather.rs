//! A frame's geometry: tissue as it lies and instruments as they stand, in the left camera's frame.

use super::{Foreign, Renderer, View, instrument::Link, raster, shade};
use crate::scene::mesh::{Mesh, V3};
use nalgebra::{Matrix3, UnitQuaternion, Vector3};
use proctor_kinematics::JawKind;
use proctor_types::Class;
use std::borrow::Cow;

impl Renderer {
    /// Fills the frame's geometry: tissue as it lies, instruments and foreign objects as they stand.
    pub(super) fn gather(
        &mut self,
        (view, foreign): (&View, &[Foreign]),
        rotation: &UnitQuaternion<f64>,
        translation: &Vector3<f64>,
    ) {
        let turn = Turn::new(rotation, &(translation * 1e3));
        self.geometry.clear();
        view.tissue.deformed(&mut self.positions, &mut self.normals);
        let mesh = view.tissue.mesh();
        for part in &mesh.parts {
            let class = f32::from(part.class.id());
            for v in part.vertices.clone() {
                self.geometry.vertices.push(raster::Vertex {
                    camera: turn.point(self.positions[v]),
                    normal: self.normals[v],
                    texture: mesh.position[v],
                    material: class + 0.05 + 0.9 * mesh.openness[v],
                });
            }
        }
        for pose in view.instruments {
            let Some(model) = self.models.iter().find(|m| m.kind == pose.kind) else { continue };
            let half = 0.5 * pose.jaw.max(0.0);
            let instance = pose.arm.index() as u8 + 1;
            for (link, mesh) in &model.links {
                let opened = |angle: f64| {
                    Cow::Owned(pose.world_from_jaw * UnitQuaternion::from_axis_angle(&Vector3::x_axis(), angle))
                };
                let world_from_link = match link {
                    Link::Shaft => Cow::Borrowed(&pose.world_from_shaft),
                    Link::Wrist => Cow::Borrowed(&pose.world_from_wrist),
                    Link::UpperJaw if pose.kind == JawKind::Hook => Cow::Borrowed(&pose.world_from_jaw),
                    Link::UpperJaw => opened(half),
                    Link::LowerJaw => opened(-half),
                };
                let to_world = Turn::new(&world_from_link.rotation, &(world_from_link.translation.vector * 1e3));
                self.geometry.add(mesh, (&turn, &to_world), |class| shade::instrument_material(instance, class));
            }
        }
        for (i, object) in foreign.iter().enumerate() {
            let pose = &object.world_from_object;
            let to_world = Turn::new(&pose.rotation, &(pose.translation.vector * 1e3));
            self.geometry.add(&object.mesh(), (&turn, &to_world), |_| shade::foreign_material(i));
        }
        // Instruments first, then small organs, the wall last: what is hidden fails the depth test and costs little.
        for part in mesh.parts.iter().rev() {
            self.geometry.triangles.extend_from_slice(&mesh.triangles[part.triangles.clone()]);
        }
        self.geometry.finish();
    }
}

impl raster::Geometry {
    /// A rigid mesh, with the material of each part's class.
    fn add(&mut self, mesh: &Mesh, (turn, to_world): (&Turn, &Turn), material: impl Fn(Class) -> f32) {
        let base = self.vertices.len() as u32;
        for part in &mesh.parts {
            let material = material(part.class) + 0.95;
            for v in part.vertices.clone() {
                self.vertices.push(raster::Vertex {
                    camera: turn.point(to_world.point(mesh.position[v])),
                    normal: to_world.direction(mesh.normal[v]),
                    texture: mesh.position[v],
                    material,
                });
            }
        }
        self.triangles.extend(mesh.triangles.iter().map(|t| t.map(|i| i + base)));
    }
}

/// A rigid transform in single precision, mm.
struct Turn {
    r: Matrix3<f32>,
    t: Vector3<f32>,
}

impl Turn {
    fn new(rotation: &UnitQuaternion<f64>, translation: &Vector3<f64>) -> Self {
        Self { r: rotation.to_rotation_matrix().matrix().cast(), t: translation.cast() }
    }
    fn direction(&self, v: V3) -> V3 {
        let m = &self.r;
        std::array::from_fn(|i| m[(i, 0)] * v[0] + m[(i, 1)] * v[1] + m[(i, 2)] * v[2])
    }
    fn point(&self, v: V3) -> V3 {
        let d = self.direction(v);
        [d[0] + self.t.x, d[1] + self.t.y, d[2] + self.t.z]
    }
}

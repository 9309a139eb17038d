//! `/tf`, `/joint_states` and the surface as a cloud of points: what RViz and Foxglove draw.

use super::fields::{
    Field, at_most, bounded_text, cut, each, finite, framed, header, known, range, read_vector, rotation, stamp, text,
    vector,
};
use super::{ConvertError, Origin, WORLD_FRAME, Wire};
use crate::{
    geometry_msgs,
    sensor_msgs::{JointState, PointCloud2, PointField},
    tf2_msgs::TFMessage,
};
use hiroz::ZBuf;
use nalgebra::{Isometry3, Point3, Translation3};
use proctor_types::{
    Class, InvalidValue, NamedJoints, Scene, Stamp, SurfaceCloud, SurfacePoint, Transform, Transforms,
};
use zenoh_buffers::buffer::SplitBuffer as _;

impl Wire for Transforms {
    type Msg = TFMessage;

    fn encode(&self) -> Self::Msg {
        TFMessage { transforms: self.0.iter().take(Self::MAX).map(transform).collect() }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        Ok(Self(each("transforms", &m.transforms, Self::MAX, read_transform)?))
    }
}

fn transform(t: &Transform) -> geometry_msgs::TransformStamped {
    let (at, q) = (&t.parent_from_child.translation.vector, &t.parent_from_child.rotation);
    geometry_msgs::TransformStamped {
        header: header(t.stamp, &cut(&t.parent, Transforms::MAX_NAME)),
        child_frame_id: cut(&t.child, Transforms::MAX_NAME),
        transform: geometry_msgs::Transform {
            translation: vector(at),
            rotation: geometry_msgs::Quaternion { x: q.i, y: q.j, z: q.k, w: q.w },
        },
    }
}

fn read_transform(m: &geometry_msgs::TransformStamped) -> Result<Transform, ConvertError> {
    let name = |field: Field, s: &str| bounded_text(field, s, Transforms::MAX_NAME);
    let at = read_vector("transform.translation", &m.transform.translation)?;
    let rotation = rotation("transform.rotation", &m.transform.rotation)?;
    Ok(Transform {
        stamp: stamp("header.stamp", &m.header.stamp)?,
        parent: name("header.frame_id", &m.header.frame_id)?,
        child: name("child_frame_id", &m.child_frame_id)?,
        parent_from_child: Isometry3::from_parts(Translation3::from(at), rotation),
    })
}

impl Wire for NamedJoints {
    type Msg = JointState;

    fn encode(&self) -> Self::Msg {
        let joints = || self.joints.iter().take(Self::MAX);
        JointState {
            header: header(self.stamp, ""),
            name: joints().map(|(name, ..)| cut(name, Self::MAX_NAME)).collect(),
            position: joints().map(|(_, position, _)| *position).collect(),
            velocity: joints().map(|(.., velocity)| *velocity).collect(),
            effort: Vec::new(),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let names = at_most("name", &m.name, Self::MAX)?;
        for (what, got) in [("position", m.position.len()), ("velocity", m.velocity.len())] {
            if got != names.len() {
                let problem = InvalidValue::Length { what, expected: names.len(), got };
                return Err(ConvertError::new(what, problem.into()));
            }
        }
        let joint = |((name, position), velocity): ((&String, &f64), &f64)| {
            let name = bounded_text("name", name, Self::MAX_NAME)?;
            Ok((name, finite("position", *position)?, finite("velocity", *velocity)?))
        };
        let joints = names.iter().zip(&m.position).zip(&m.velocity).map(joint);
        Ok(Self { stamp: stamp("header.stamp", &m.header.stamp)?, joints: joints.collect::<Result<_, _>>()? })
    }
}

/// Bytes of a point: x, y, z and sigma, m, as `f32`, and the class's number.
const POINT: usize = 17;
/// `sensor_msgs/msg/PointField`: UINT8 and FLOAT32.
const UINT8: u8 = 2;
const FLOAT32: u8 = 7;

const FIELDS: [(&str, u32, u8); 5] =
    [("x", 0, FLOAT32), ("y", 4, FLOAT32), ("z", 8, FLOAT32), ("sigma", 12, FLOAT32), ("class", 16, UINT8)];

impl Wire for SurfaceCloud {
    type Msg = PointCloud2;

    fn encode(&self) -> Self::Msg {
        let points = || self.points.iter().take(Scene::MAX_SURFACE_POINTS);
        let mut data = Vec::with_capacity(points().len() * POINT);
        for p in points() {
            for value in [p.position.x, p.position.y, p.position.z, p.sigma] {
                data.extend((value as f32).to_le_bytes());
            }
            data.push(p.class.id());
        }
        PointCloud2 {
            header: header(self.stamp, WORLD_FRAME),
            height: 1,
            width: points().len() as u32,
            fields: FIELDS.map(field).to_vec(),
            is_bigendian: false,
            point_step: POINT as u32,
            row_step: data.len() as u32,
            data: ZBuf::from(data),
            is_dense: true,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let stamp: Stamp = framed(&m.header, WORLD_FRAME)?;
        let fields = m.fields.iter().map(|f| (f.name.as_str(), f.offset, f.datatype));
        if !fields.eq(FIELDS) || m.point_step as usize != POINT || m.is_bigendian || m.height != 1 {
            let names: Vec<_> = m.fields.iter().take(8).map(|f| f.name.as_str()).collect();
            return Err(text(
                "fields",
                &names.join(" "),
                "one row of x y z sigma class, little-endian, 17 bytes a point",
            ));
        }
        let data = m.data.contiguous();
        at_most("data", &data, Scene::MAX_SURFACE_POINTS * POINT)?;
        if data.len() != m.width as usize * POINT {
            let problem = InvalidValue::Length { what: "data", expected: m.width as usize * POINT, got: data.len() };
            return Err(ConvertError::new("data", problem.into()));
        }
        Ok(Self { stamp, points: data.chunks_exact(POINT).map(read_surface_point).collect::<Result<_, _>>()? })
    }
}

fn field((name, offset, datatype): (&str, u32, u8)) -> PointField {
    PointField { name: name.to_owned(), offset, datatype, count: 1 }
}

fn read_surface_point(bytes: &[u8]) -> Result<SurfacePoint, ConvertError> {
    let number = |i: usize| {
        let raw = bytes.get(4 * i..4 * i + 4).and_then(|b| b.try_into().ok()).unwrap_or_default();
        finite("data", f64::from(f32::from_le_bytes(raw)))
    };
    Ok(SurfacePoint {
        position: Point3::new(number(0)?, number(1)?, number(2)?),
        sigma: range("data", number(3)?, 0.0, f64::MAX)?,
        class: known("data", &Class::ALL, bytes.last().copied().unwrap_or(u8::MAX))?,
    })
}

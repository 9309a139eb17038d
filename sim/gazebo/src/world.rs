//! The world: arms, organs, endoscope, light.

use crate::{
    Arm, GazeboError,
    links::{Bodies, Body, Cylinder},
    obj,
    sdf::Sdf,
};
use nalgebra::{Isometry3, Matrix3, Point3, Rotation3, UnitQuaternion, Vector3};
use proctor_kinematics::Links;
use proctor_sim::{
    SimConfig, Simulator,
    render::{Albedo, InstrumentLink, InstrumentShape},
};
use proctor_types::{ArmId, CameraModel, Class};
use std::{
    f64::consts::PI,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Name of the world in topics and services.
pub const WORLD: &str = "cell";
/// Last part of the topic on which an arm's joints are said.
pub const JOINT_STATE: &str = "joint_state";

/// Step of the physics. `/clock` advances by it: the safety loop needs no more than 4 ms.
const STEP: Duration = Duration::from_millis(2);
/// Natural frequency of the position controllers, rad/s, critically damped: stiff enough to follow, slow enough for [`STEP`].
const STIFFNESS: f64 = 80.0;
/// Of tissue: wet, but not a mirror.
const TISSUE_ROUGHNESS: f64 = 0.45;

/// The topics of the endoscope and of the ground truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Camera {
    /// Left picture, rgb8.
    Left,
    /// Right picture, same stamps.
    Right,
    /// What the left picture shows: a label of `proctor_types::Class` per pixel.
    Labels,
    /// How far it is: f32 metres along the optical axis.
    Depth,
}

impl Camera {
    /// Where its pictures come.
    pub fn topic(self) -> &'static str {
        match self {
            Self::Left => "/endoscope/left/image",
            Self::Right => "/endoscope/right/image",
            // The segmentation camera adds the last part itself.
            Self::Labels => "/endoscope/truth/segmentation/labels_map",
            Self::Depth => "/endoscope/truth/depth",
        }
    }
}

/// A mesh file of one class.
struct Shown {
    file: String,
    class: Class,
}

/// Writes the cell of `config` below `folder`, which is made: `cell.sdf`, its `meshes`, and `gui.config` for a window. `fps` is the endoscope's rate in
/// simulated time. Returns the world's file.
pub fn export(folder: &Path, config: &SimConfig, fps: u32) -> Result<PathBuf, GazeboError> {
    let simulator = Simulator::new(config.clone())?;
    let meshes = folder.join("meshes");
    fs::create_dir_all(&meshes).map_err(|source| GazeboError::File { path: meshes.clone(), source })?;
    write_albedos(folder)?;
    let organs = write_organs(folder, &simulator)?;
    let instruments = ArmId::PSMS.map(|arm| write_instrument(folder, &simulator, arm));
    let [one, two] = instruments;
    let instruments = [one?, two?];
    let arms = ArmId::ALL.map(Bodies::of);
    let [psm1, psm2, ecm] = arms;
    let arms = [psm1?, psm2?, ecm?];
    let mut described = Vec::new();
    for arm in ArmId::ALL {
        described.push(Arm::of(arm)?);
    }
    let text = Sdf::file(|sdf| {
        sdf.element("world", &[("name", WORLD)], |sdf| {
            surroundings(sdf);
            sdf.element("model", &[("name", "organs")], |sdf| {
                sdf.value("static", true);
                sdf.element("link", &[("name", "organs")], |sdf| {
                    organs.iter().for_each(|organ| visual(sdf, organ, &Isometry3::identity()));
                });
            });
            for (bodies, arm) in arms.iter().zip(&described) {
                let shown = instruments.get(arm.arm.index()).map_or(&[][..], Vec::as_slice);
                Model { simulator: &simulator, arm, bodies, shown, fps }.write(sdf);
            }
        });
    });
    write(folder, "cell.sdf", &text)?;
    write(folder, "gui.config", crate::WINDOW)?;
    Ok(folder.join("cell.sdf"))
}

fn write(folder: &Path, file: &str, text: &str) -> Result<(), GazeboError> {
    let path = folder.join(file);
    fs::write(&path, text).map_err(|source| GazeboError::File { path, source })
}

/// The organs at rest, a file each.
fn write_organs(folder: &Path, simulator: &Simulator) -> Result<Vec<Shown>, GazeboError> {
    let tissue = simulator.tissue();
    let (mut positions, mut normals) = (Vec::new(), Vec::new());
    tissue.deformed(&mut positions, &mut normals);
    let mut shown = Vec::new();
    for (i, part) in tissue.mesh().parts.iter().enumerate() {
        let file = format!("meshes/organ_{i}_{}.obj", part.class.name().replace(' ', "_"));
        write(folder, &file, &obj::part(tissue.mesh(), part, &positions, &normals, tile(part.class)))?;
        shown.push(Shown { file, class: part.class });
    }
    Ok(shown)
}

/// The links of an arm's instrument, a file for each class of each.
fn write_instrument(
    folder: &Path,
    simulator: &Simulator,
    arm: ArmId,
) -> Result<Vec<(InstrumentLink, Shown)>, GazeboError> {
    let Some(instrument) = simulator.chain(arm).instrument() else { return Ok(Vec::new()) };
    let mut shown = Vec::new();
    for shape in InstrumentShape::of(instrument) {
        let link = format!("{:?}", shape.link).to_lowercase();
        for (i, part) in shape.mesh.parts.iter().enumerate() {
            let file = format!("meshes/{}_{link}_{i}.obj", instrument.name.to_lowercase());
            write(
                folder,
                &file,
                &obj::part(&shape.mesh, part, &shape.mesh.position, &shape.mesh.normal, tile(part.class)),
            )?;
            shown.push((shape.link, Shown { file, class: part.class }));
        }
    }
    Ok(shown)
}

fn surroundings(sdf: &mut Sdf) {
    sdf.element("physics", &[("name", "cell"), ("type", "dart")], |sdf| {
        sdf.value("max_step_size", STEP.as_secs_f64());
        sdf.value("real_time_factor", 1);
    });
    // The arms of a real cell are balanced, and nothing else moves.
    sdf.value("gravity", "0 0 0");
    sdf.system("physics", "Physics", |_| ());
    sdf.system("user-commands", "UserCommands", |_| ());
    sdf.system("scene-broadcaster", "SceneBroadcaster", |_| ());
    sdf.system("sensors", "Sensors", |sdf| sdf.value("render_engine", "ogre2"));
    sdf.element("scene", &[], |sdf| {
        sdf.value("ambient", "0.12 0.10 0.09 1");
        sdf.value("background", "0 0 0 1");
        sdf.value("shadows", false);
        sdf.value("grid", false);
    });
}

/// A mesh with its colour and its label.
fn visual(sdf: &mut Sdf, shown: &Shown, at: &Isometry3<f64>) {
    let name = Path::new(&shown.file).file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    sdf.element("visual", &[("name", &name)], |sdf| {
        sdf.pose(at, None);
        sdf.value("cast_shadows", false);
        sdf.element("geometry", &[], |sdf| sdf.element("mesh", &[], |sdf| sdf.value("uri", &shown.file)));
        material(sdf, shown.class);
        label(sdf, shown.class);
    });
}

/// The scope: seen in the other instruments' neighbourhood only by whoever watches the cell from outside.
fn tube(sdf: &mut Sdf, cylinder: &Cylinder) {
    sdf.element("visual", &[("name", "tube")], |sdf| {
        sdf.pose(&cylinder.at, None);
        sdf.value("cast_shadows", false);
        sdf.element("geometry", &[], |sdf| {
            sdf.element("cylinder", &[], |sdf| {
                sdf.value("radius", cylinder.radius);
                sdf.value("length", cylinder.length);
            });
        });
        material(sdf, Class::InstrumentShaft);
    });
}

fn label(sdf: &mut Sdf, class: Class) {
    sdf.system("label", "Label", |sdf| sdf.value("label", class.id()));
}

/// Length of a class's tile, mm.
fn tile(class: Class) -> f32 {
    Albedo::of(class).map_or(1.0, |albedo| albedo.side)
}

/// Where the colours of a class lie.
fn albedo_file(class: Class) -> String {
    format!("meshes/{}.png", class.name().replace(' ', "_"))
}

/// The tiles of every class.
fn write_albedos(folder: &Path) -> Result<(), GazeboError> {
    for class in Class::ALL {
        let Some(albedo) = Albedo::of(class) else { continue };
        let path = folder.join(albedo_file(class));
        let write = || {
            let file = std::io::BufWriter::new(fs::File::create(&path)?);
            let mut encoder = png::Encoder::new(file, albedo.tile.width() as u32, albedo.tile.height() as u32);
            encoder.set_color(png::ColorType::Rgb);
            Ok(encoder.write_header()?.write_image_data(albedo.tile.pixels().as_flattened())?)
        };
        write().map_err(|source: std::io::Error| GazeboError::File { path: path.clone(), source })?;
    }
    Ok(())
}

/// The simulator's own surface.
fn material(sdf: &mut Sdf, class: Class) {
    let tissue = class.is_tissue();
    sdf.element("material", &[], |sdf| {
        sdf.value("ambient", "1 1 1 1");
        sdf.value("diffuse", "1 1 1 1");
        sdf.value("specular", if tissue { "0.25 0.25 0.25 1" } else { "0.7 0.7 0.7 1" });
        sdf.value("double_sided", true);
        sdf.element("pbr", &[], |sdf| {
            sdf.element("metal", &[], |sdf| {
                sdf.value("albedo_map", albedo_file(class));
                sdf.value("roughness", if tissue { TISSUE_ROUGHNESS } else { 0.3 });
                // There are no surroundings to mirror: a metal would be black.
                sdf.value("metalness", 0);
            });
        });
    });
}

/// One arm.
struct Model<'a> {
    simulator: &'a Simulator,
    arm: &'a Arm,
    bodies: &'a Bodies,
    shown: &'a [(InstrumentLink, Shown)],
    fps: u32,
}

impl Model<'_> {
    fn base(&self) -> String {
        format!("{}_base", self.arm.arm)
    }

    fn write(&self, sdf: &mut Sdf) {
        let name = self.arm.arm.name();
        let poses = self.bodies.poses(|_| 0.0);
        let home = self.simulator.plant(self.arm.arm).position();
        let moved = self
            .bodies
            .moved(|body| self.arm.joints.iter().position(|j| j.name == body.joint).map_or(0.0, |i| home[i]));
        sdf.element("model", &[("name", name)], |sdf| {
            sdf.pose(self.simulator.world_from_base_true(self.arm.arm).iso(), None);
            sdf.value("self_collide", false);
            let base = self.base();
            sdf.element("link", &[("name", &base)], |_| ());
            sdf.element("joint", &[("name", &format!("{name}_stand")), ("type", "fixed")], |sdf| {
                sdf.value("parent", "world");
                sdf.value("child", &base);
            });
            for (i, (body, pose)) in self.bodies.bodies.iter().zip(&poses).enumerate() {
                self.link(sdf, i, body, pose);
                self.joint(sdf, body);
            }
            sdf.system("joint-state-publisher", "JointStatePublisher", |sdf| {
                sdf.value("topic", self.arm.state_topic());
            });
            let jaws = self.arm.jaw.iter().flat_map(|jaw| &jaw.sides);
            for joint in self.arm.joints.iter().chain(jaws) {
                let found = self.bodies.bodies.iter().zip(&moved).find(|(body, _)| body.joint == joint.name);
                if let Some((body, moved)) = found {
                    controller(sdf, joint, body, *moved);
                }
            }
        });
    }

    fn above(&self, body: &Body) -> String {
        body.parent.and_then(|p| self.bodies.bodies.get(p)).map_or_else(|| self.base(), |b| b.name.clone())
    }

    fn link(&self, sdf: &mut Sdf, index: usize, body: &Body, base_from_body: &Isometry3<f64>) {
        sdf.element("link", &[("name", &body.name)], |sdf| {
            sdf.pose(&body.origin, Some(&self.above(body)));
            sdf.element("inertial", &[], |sdf| {
                sdf.value("mass", body.mass);
                sdf.pose(&Isometry3::from_parts(body.centre.coords.into(), UnitQuaternion::identity()), None);
                let at = |r: usize, c: usize| body.inertia[(r, c)];
                sdf.element("inertia", &[], |sdf| {
                    for (name, (r, c)) in [
                        ("ixx", (0, 0)),
                        ("ixy", (0, 1)),
                        ("ixz", (0, 2)),
                        ("iyy", (1, 1)),
                        ("iyz", (1, 2)),
                        ("izz", (2, 2)),
                    ] {
                        sdf.value(name, at(r, c));
                    }
                });
            });
            if let Some(links) = self
                .simulator
                .chain(self.arm.arm)
                .links(&vec![0.0; self.arm.joints.len()])
                .ok()
                .filter(|_| !self.shown.is_empty())
            {
                for (link, shown) in self.shown.iter().filter(|(link, _)| self.carries(*link, body)) {
                    visual(sdf, shown, &(base_from_body.inverse() * frame(*link, &links)));
                }
            }
            if self.shown.is_empty() {
                body.cylinders.iter().for_each(|c| tube(sdf, c));
            }
            for (on, place) in
                self.bodies.frames.iter().filter(|(_, on, _)| *on == Some(index)).map(|(name, _, place)| (name, place))
            {
                self.on_frame(sdf, on, place);
            }
        });
    }

    /// Whether a link of the instrument's shape is this body.
    fn carries(&self, link: InstrumentLink, body: &Body) -> bool {
        let arm = self.arm.arm;
        match link {
            InstrumentLink::Shaft => body.name == format!("{arm}_shaft"),
            InstrumentLink::Wrist => body.name == format!("{arm}_wrist"),
            InstrumentLink::UpperJaw => body.joint == format!("{arm}_jaw_1"),
            InstrumentLink::LowerJaw => body.joint == format!("{arm}_jaw_2"),
        }
    }

    /// What is mounted on a frame of the endoscope.
    fn on_frame(&self, sdf: &mut Sdf, name: &str, place: &Isometry3<f64>) {
        let camera = place * optical_from_gazebo();
        let rig = self.simulator.cell().rig();
        match name {
            "endoscope_left_optical" => {
                sensor(sdf, "left", "camera", Camera::Left.topic(), self.fps, &camera, &rig.left, noise);
                let topic = Camera::Labels.topic().trim_end_matches("/labels_map");
                let semantic = |sdf: &mut Sdf| sdf.value("segmentation_type", "semantic");
                sensor(sdf, "labels", "segmentation", topic, TRUTH_FPS, &camera, &rig.left, semantic);
                sensor(sdf, "depth", "depth_camera", Camera::Depth.topic(), TRUTH_FPS, &camera, &rig.left, |_| ());
            }
            "endoscope_right_optical" => {
                sensor(sdf, "right", "camera", Camera::Right.topic(), self.fps, &camera, &rig.left, noise);
            }
            "ECM_tip" => lamp(sdf, place),
            _ => {}
        }
    }

    fn joint(&self, sdf: &mut Sdf, body: &Body) {
        let kind = if body.slides { "prismatic" } else { "revolute" };
        let [lower, upper, velocity, _] = body.limit;
        sdf.element("joint", &[("name", &body.joint), ("type", kind)], |sdf| {
            sdf.value("parent", self.above(body));
            sdf.value("child", &body.name);
            sdf.element("axis", &[], |sdf| {
                let axis = body.axis.into_inner();
                sdf.value("xyz", format!("{} {} {}", axis.x, axis.y, axis.z));
                sdf.element("limit", &[], |sdf| {
                    sdf.value("lower", lower);
                    sdf.value("upper", upper);
                    // Over-shoot of the controller is not the arm's own limit, which nodes/arm keeps.
                    sdf.value("velocity", 2.0 * velocity);
                });
            });
        });
    }
}

/// Pictures of the ground truth per simulated second.
const TRUTH_FPS: u32 = 5;

/// Where a link of the instrument's shape is in the base.
fn frame(link: InstrumentLink, links: &Links) -> Isometry3<f64> {
    match link {
        InstrumentLink::Shaft => links.shaft,
        InstrumentLink::Wrist => links.wrist,
        InstrumentLink::UpperJaw | InstrumentLink::LowerJaw => links.jaw,
    }
}

/// Gazebo's cameras look along x with z up, ROS's along z with y down.
fn optical_from_gazebo() -> Isometry3<f64> {
    let axes = Matrix3::from_columns(&[Vector3::z(), -Vector3::x(), -Vector3::y()]);
    let turn = UnitQuaternion::from_rotation_matrix(&Rotation3::from_matrix_unchecked(axes));
    Isometry3::from_parts(Point3::origin().coords.into(), turn)
}

/// A position controller that follows like a critically damped mass, whatever the joint moves.
fn controller(sdf: &mut Sdf, joint: &crate::Joint, body: &Body, moved: f64) {
    sdf.system("joint-position-controller", "JointPositionController", |sdf| {
        sdf.value("joint_name", &joint.name);
        sdf.value("topic", &joint.command);
        sdf.value("p_gain", moved * STIFFNESS * STIFFNESS);
        sdf.value("i_gain", 0);
        sdf.value("d_gain", 2.0 * moved * STIFFNESS);
        // A motor has an end: the URDF's, or what the joint's own rotor needs.
        let most = body.limit[3].max(moved * 400.0);
        sdf.value("cmd_max", most);
        sdf.value("cmd_min", -most);
    });
}

#[expect(clippy::too_many_arguments, reason = "the elements of a sensor, each once")]
fn sensor(
    sdf: &mut Sdf,
    name: &str,
    kind: &str,
    topic: &str,
    fps: u32,
    at: &Isometry3<f64>,
    model: &CameraModel,
    more: impl FnOnce(&mut Sdf),
) {
    let width = model.width as f64;
    sdf.element("sensor", &[("name", name), ("type", kind)], |sdf| {
        sdf.pose(at, None);
        sdf.value("topic", topic);
        sdf.value("update_rate", fps);
        sdf.value("always_on", true);
        sdf.element("camera", &[("name", name)], |sdf| {
            more(sdf);
            sdf.value("horizontal_fov", 2.0 * (width / 2.0 / model.fx).atan());
            sdf.element("image", &[], |sdf| {
                sdf.value("width", model.width);
                sdf.value("height", model.height);
                sdf.value("format", if kind == "depth_camera" { "R_FLOAT32" } else { "R8G8B8" });
            });
            sdf.element("clip", &[], |sdf| {
                // Of a depth camera that sees nearer than a centimetre Gazebo's picture is minus infinity, whatever is there.
                sdf.value("near", if kind == "depth_camera" { 0.01 } else { 0.005 });
                sdf.value("far", 1.0);
            });
            // Two cameras in one namespace would share a topic for this.
            sdf.value("camera_info_topic", format!("{topic}/camera_info"));
        });
    });
}

/// A chip's: two grey levels of 255. Pictures of a scene at rest would else be equal, and perception would take them for a frozen camera's.
fn noise(sdf: &mut Sdf) {
    sdf.element("noise", &[], |sdf| {
        sdf.value("type", "gaussian");
        sdf.value("mean", 0);
        sdf.value("stddev", 0.008);
    });
}

/// The light at the end of the scope, shining along its z.
fn lamp(sdf: &mut Sdf, tip: &Isometry3<f64>) {
    sdf.element("light", &[("name", "lamp"), ("type", "spot")], |sdf| {
        sdf.pose(tip, None);
        sdf.value("diffuse", "1 0.97 0.93 1");
        sdf.value("specular", "1 1 1 1");
        sdf.value("cast_shadows", false);
        sdf.value("direction", "0 0 1");
        sdf.element("attenuation", &[], |sdf| {
            sdf.value("range", 1);
            sdf.value("constant", 0.2);
            sdf.value("linear", 0);
            // Half as bright again as its own colour at the working distance of 90 mm: what our own renderer's exposure makes of it.
            sdf.value("quadratic", 0.45 / 0.09_f64.powi(2));
        });
        sdf.element("spot", &[], |sdf| {
            sdf.value("inner_angle", 0.9);
            sdf.value("outer_angle", PI / 2.0);
            sdf.value("falloff", 1);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gazebos_axes_are_turned_into_the_optical_ones() {
        let turn = optical_from_gazebo().rotation;
        // Ahead, left, up.
        assert!((turn * Vector3::x() - Vector3::z()).norm() < 1e-12);
        assert!((turn * Vector3::y() + Vector3::x()).norm() < 1e-12);
        assert!((turn * Vector3::z() + Vector3::y()).norm() < 1e-12);
    }
}

//! A field with camera and instruments, and an independent ray caster.
#![allow(dead_code, reason = "each test file uses its own part")]

use nalgebra::{Point3, Vector3};
use proctor_kinematics::{Cell, Chain, Instrument};
use proctor_sim::{
    render::{Appearance, Foreign, ImageFaults, InstrumentPose, Rendered, Renderer, View, Want},
    scene::{Gripper, SceneConfig, Tissue},
};
use proctor_types::{ArmId, Camera, Class, Pose, Stamp, StereoRig, World};

pub const WIDTH: usize = 640;

pub struct Field {
    pub rig: StereoRig,
    pub world_from_camera: Pose<World, Camera>,
    pub tissue: Tissue,
    pub instruments: Vec<InstrumentPose>,
    pub look: Appearance,
    pub faults: ImageFaults,
    renderer: Renderer,
}

impl Field {
    pub fn new(seed: u64) -> Self {
        let cell = Cell::standard().unwrap();
        Self {
            rig: cell.rig(),
            world_from_camera: cell.world_from_camera(&[0.0, 0.0, 0.110, 0.0]).unwrap(),
            tissue: Tissue::new(&SceneConfig::default(), seed),
            instruments: Vec::new(),
            look: Appearance::nominal(),
            faults: ImageFaults::default(),
            renderer: Renderer::new(cell.rig(), 1).unwrap(),
        }
    }

    pub fn threads(mut self, n: usize) -> Self {
        self.renderer = Renderer::new(self.rig, n).unwrap();
        self
    }

    pub fn with_instruments(mut self) -> Self {
        for (arm, name, q) in [
            (ArmId::Psm1, "LARGE_NEEDLE_DRIVER_400006", [-0.10, 0.14, 0.185, 0.4, 0.3, -0.3]),
            (ArmId::Psm2, "PROGRASP_FORCEPS_400093", [0.02, 0.14, 0.150, -0.6, 0.3, 0.4]),
        ] {
            let instrument = Instrument::named(name).unwrap();
            let links = Chain::psm(&instrument).unwrap().links(&q).unwrap();
            let base = *Cell::standard().unwrap().world_from_base(arm).iso();
            self.instruments.push(InstrumentPose {
                arm,
                kind: instrument.kind,
                world_from_shaft: base * links.shaft,
                world_from_wrist: base * links.wrist,
                world_from_jaw: base * links.jaw,
                jaw: 0.0,
                rcm: base * Point3::origin(),
            });
        }
        self
    }

    /// Grasps the fundus and moves it, half a second.
    pub fn pull_fundus(&mut self, by: Vector3<f64>) {
        let start = self.tissue.fundus().point;
        for i in 0..=100 {
            let tip = start + by * (f64::from(i) / 100.0);
            self.tissue.step(0.005, &[Gripper { arm: ArmId::Psm1, tip, closed: true }]);
        }
    }

    pub fn render(&mut self, seq: u64, want: Want) -> Rendered {
        self.render_with(seq, &[], want)
    }

    pub fn render_with(&mut self, seq: u64, foreign: &[Foreign], want: Want) -> Rendered {
        let view = View {
            stamp: Stamp::FIRST,
            seq,
            world_from_camera: self.world_from_camera,
            instruments: &self.instruments,
            tissue: &self.tissue,
            appearance: &self.look,
            faults: &self.faults,
        };
        self.renderer.render_with(&view, foreign, want)
    }
}

/// Möller-Trumbore over every triangle, in double precision, front faces only.
pub struct Cast {
    triangles: Vec<([Point3<f64>; 3], Class)>,
    rig: StereoRig,
}

impl Cast {
    pub fn new(field: &Field, positions: &[[f32; 3]]) -> Self {
        let camera_from_world = field.world_from_camera.inverse();
        let mesh = field.tissue.mesh();
        let corner = |i: u32| {
            let [x, y, z] = positions[i as usize].map(|v| f64::from(v) * 1e-3);
            camera_from_world.transform(&Point3::new(x, y, z))
        };
        let triangles = mesh
            .parts
            .iter()
            .flat_map(|part| mesh.triangles[part.triangles.clone()].iter().map(|t| (t.map(corner), part.class)))
            .collect();
        Self { triangles, rig: field.rig }
    }

    /// Depth along the optical axis and class of the first front face behind a pixel.
    pub fn ray(&self, u: f64, v: f64) -> Option<(f64, Class)> {
        let c = self.rig.left;
        let d = Vector3::new((u - c.cx) / c.fx, (v - c.cy) / c.fy, 1.0);
        let mut best: Option<(f64, Class)> = None;
        for ([p, q, r], class) in &self.triangles {
            let (e1, e2) = (q - p, r - p);
            let h = d.cross(&e2);
            let det = e1.dot(&h);
            // Counter-clockwise from outside: a front face has a positive determinant here.
            if det < 1e-15 {
                continue;
            }
            let s = Point3::origin() - p;
            let a = s.dot(&h) / det;
            let k = s.cross(&e1);
            let b = d.dot(&k) / det;
            let t = e2.dot(&k) / det;
            if a >= 0.0 && b >= 0.0 && a + b <= 1.0 && t > 0.005 && best.is_none_or(|(z, _)| t < z) {
                best = Some((t, *class));
            }
        }
        best
    }
}

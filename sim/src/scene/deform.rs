//! Soft tissue in motion. The gallbladder's spine is a chain of nodes solved by XPBD (Macklin et al. 2016): stretch and bending
//! constraints, springs to the liver bed, a zero-compliance target for a grasped fold. Vertices follow nodes by fixed weights; what
//! the spine leaves over at a grasp is a local tent. Breathing moves everything a little. No force is needed at rest, so tissue
//! that nobody touched is bit-identical to its rest shape apart from breathing.

use super::{
    Nearest, SceneConfig,
    anatomy::{Anatomy, NODES},
    mesh::{Mesh, V3, add, dot, length, normals, scale, sub},
};
use nalgebra::{Point3, Vector3};
use proctor_types::{ArmId, Class};
use std::sync::Arc;

/// Longest step the solver takes at once, s.
const STEP: f64 = 0.005;
/// Solver sweeps per step.
const SWEEPS: usize = 8;
/// Rate at which node velocity dies away, 1/s.
const DAMPING: f64 = 14.0;
/// Rate at which a released tent flattens, 1/s.
const RELAX: f64 = 7.0;
/// A tent this small is gone, mm.
const FLAT: f32 = 0.02;

/// What a gripper does to tissue.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Gripper {
    /// Whose gripper.
    pub arm: ArmId,
    /// Between the ends of the jaws, world frame, m.
    pub tip: Point3<f64>,
    /// Whether the jaws hold what is between them.
    pub closed: bool,
}

/// A fold of tissue held, or springing back.
#[derive(Debug, Clone)]
struct Grasp {
    arm: ArmId,
    held: bool,
    class: Class,
    vertex: u32,
    /// Fold relative to the gripper's tip at the moment of the grasp, mm.
    offset: V3,
    /// Where the held vertex should be, mm.
    target: V3,
    /// What the tent adds at its top, mm.
    tent: V3,
    /// Vertices of the tent with their share of it.
    around: Vec<(u32, f32)>,
}

/// The deformable scene.
#[derive(Debug, Clone)]
pub struct Tissue {
    pub(crate) anatomy: Arc<Anatomy>,
    config: SceneConfig,
    seconds: f64,
    node: [Vector3<f64>; NODES],
    velocity: [Vector3<f64>; NODES],
    grasps: Vec<Grasp>,
    closed: [bool; 3],
}

/// How far from the grasp tissue of a class still follows, mm, and how far it lets itself be pulled before it slips, mm.
const fn give(class: Class) -> (f32, f32) {
    match class {
        Class::Gallbladder => (7.0, 32.0),
        Class::Fat => (8.0, 22.0),
        Class::Liver => (10.0, 9.0),
        Class::CysticDuct | Class::CysticArtery => (5.0, 9.0),
        _ => (12.0, 8.0),
    }
}

/// How hard tissue of a class pulls back on what holds it, N per m away from where it rests: of the order that pulls on ex-vivo organs show
/// (millinewtons to a few newtons over centimetres), not measured on any.
const fn pull_back(class: Class) -> f64 {
    match class {
        Class::Gallbladder => 60.0,
        Class::Fat | Class::CysticDuct | Class::CysticArtery => 50.0,
        Class::Liver => 200.0,
        _ => 300.0,
    }
}

fn wide(p: V3) -> Vector3<f64> {
    Vector3::new(f64::from(p[0]), f64::from(p[1]), f64::from(p[2]))
}

fn narrow(p: Vector3<f64>) -> V3 {
    [p.x as f32, p.y as f32, p.z as f32]
}

impl Tissue {
    /// A scene at rest. The same configuration and seed give the same scene.
    pub fn new(config: &SceneConfig, seed: u64) -> Self {
        let anatomy = Arc::new(Anatomy::new(config, seed));
        Self {
            config: *config,
            seconds: 0.0,
            node: anatomy.nodes.map(wide),
            velocity: [Vector3::zeros(); NODES],
            grasps: Vec::new(),
            closed: [false; 3],
            anatomy,
        }
    }

    /// Advances by `dt` seconds (at most one second; negative or NaN does nothing) with what the grippers do meanwhile.
    /// A gripper that closes within reach of tissue holds it until it opens or the tissue slips.
    pub fn step(&mut self, dt: f64, grippers: &[Gripper]) {
        let dt = if dt > 0.0 { dt.min(1.0) } else { return };
        let steps = (dt / STEP).ceil().max(1.0);
        for g in grippers {
            self.grip(g);
        }
        for _ in 0..steps as usize {
            self.advance(dt / steps);
        }
    }

    /// Seconds since the start.
    pub fn seconds(&self) -> f64 {
        self.seconds
    }

    /// What an arm's gripper holds.
    pub fn held(&self, arm: ArmId) -> Option<Class> {
        self.grasps.iter().find(|g| g.held && g.arm == arm).map(|g| g.class)
    }

    /// How hard what an arm's gripper holds pulls at it, world frame, N; zero when it holds nothing. Contact without a grasp has no force.
    pub fn pull(&self, arm: ArmId) -> Vector3<f64> {
        let Some(g) = self.grasps.iter().find(|g| g.held && g.arm == arm) else { return Vector3::zeros() };
        let v = g.vertex as usize;
        let at_rest = add(self.anatomy.mesh.position[v], scale(self.breath(), self.anatomy.breathing[v]));
        wide(sub(at_rest, g.target)) * (pull_back(g.class) * 1e-3)
    }

    /// Where the fundus is best grasped: its point and outward normal now, world frame.
    pub fn fundus(&self) -> Nearest {
        let (mut positions, mut vertex_normals) = (Vec::new(), Vec::new());
        self.deformed(&mut positions, &mut vertex_normals);
        let v = self.anatomy.fundus as usize;
        Nearest {
            class: Class::Gallbladder,
            point: Point3::from(wide(positions[v]) * 1e-3),
            normal: wide(vertex_normals[v]),
            distance: 0.0,
        }
    }

    /// Positions (mm, world) and unit normals of every vertex of [`Tissue::mesh`], now.
    pub fn deformed(&self, positions: &mut Vec<[f32; 3]>, vertex_normals: &mut Vec<[f32; 3]>) {
        let mesh = &self.anatomy.mesh;
        self.positions(positions);
        vertex_normals.clone_from(&mesh.normal);
        for part in &mesh.parts {
            if self.bent(part.class) {
                let triangles = &mesh.triangles[part.triangles.clone()];
                normals(positions, triangles, part.vertices.clone(), vertex_normals);
            }
        }
    }

    /// Positions only, mm.
    pub(crate) fn positions(&self, out: &mut Vec<V3>) {
        out.clone_from(&self.anatomy.mesh.position);
        let lift = self.breath();
        for (p, w) in out.iter_mut().zip(&self.anatomy.breathing) {
            *p = add(*p, scale(lift, *w));
        }
        let moved = self.displacements();
        if moved.iter().any(|d| *d != [0.0; 3]) {
            for s in &self.anatomy.skin {
                let p = &mut out[s.vertex as usize];
                *p = add(*p, scale(moved[usize::from(s.node)], s.weight));
            }
        }
        for g in &self.grasps {
            for &(v, w) in &g.around {
                let p = &mut out[v as usize];
                *p = add(*p, scale(g.tent, w));
            }
        }
    }

    /// The mesh at rest: classes, triangles, openness.
    pub fn mesh(&self) -> &Mesh {
        &self.anatomy.mesh
    }

    /// Whether an organ has another shape than at rest.
    fn bent(&self, class: Class) -> bool {
        let spine = class != Class::AbdominalWall && self.displacements().iter().any(|d| dot(*d, *d) > 1e-8);
        spine || self.grasps.iter().any(|g| g.class == class)
    }

    fn displacements(&self) -> [V3; NODES] {
        std::array::from_fn(|i| narrow(self.node[i] - wide(self.anatomy.nodes[i])))
    }

    fn breath(&self) -> V3 {
        let phase = self.seconds / self.config.breathing_period;
        let s = libm::sin(2.0 * std::f64::consts::PI * (phase - phase.floor())) * self.config.breathing * 1e3;
        [0.0, (0.8 * s) as f32, (0.6 * s) as f32]
    }

    /// Where a vertex is without its own grasp's tent.
    fn untented(&self, vertex: u32, own: ArmId) -> V3 {
        let v = vertex as usize;
        let mut p = add(self.anatomy.mesh.position[v], scale(self.breath(), self.anatomy.breathing[v]));
        let moved = self.displacements();
        // Skin entries are sorted by vertex.
        let from = self.anatomy.skin.partition_point(|s| s.vertex < vertex);
        for s in self.anatomy.skin[from..].iter().take_while(|s| s.vertex == vertex) {
            p = add(p, scale(moved[usize::from(s.node)], s.weight));
        }
        for g in self.grasps.iter().filter(|g| !(g.held && g.arm == own)) {
            if let Ok(i) = g.around.binary_search_by_key(&vertex, |a| a.0) {
                p = add(p, scale(g.tent, g.around[i].1));
            }
        }
        p
    }

    fn grip(&mut self, gripper: &Gripper) {
        let was = std::mem::replace(&mut self.closed[gripper.arm.index()], gripper.closed);
        let tip = narrow(gripper.tip.coords * 1e3);
        if !gripper.closed {
            self.grasps.iter_mut().filter(|g| g.arm == gripper.arm).for_each(|g| g.held = false);
        } else if !was {
            self.take(gripper.arm, tip);
        } else if let Some(g) = self.grasps.iter_mut().find(|g| g.held && g.arm == gripper.arm) {
            g.target = add(tip, g.offset);
        }
    }

    /// Holds the nearest tissue, if any is in reach. The gallbladder wins over what lies within a millimetre of it.
    fn take(&mut self, arm: ArmId, tip: V3) {
        let mut positions = Vec::new();
        self.positions(&mut positions);
        let mesh = &self.anatomy.mesh;
        let reach = (self.config.grasp_reach * 1e3) as f32;
        let mut best: Option<(f32, u32, Class)> = None;
        for part in &mesh.parts {
            let handicap = if part.class == Class::Gallbladder { 1.0 } else { 0.0 };
            for v in part.vertices.clone() {
                let d = length(sub(positions[v], tip));
                if d <= reach && best.is_none_or(|b| d - handicap < b.0) {
                    best = Some((d - handicap, v as u32, part.class));
                }
            }
        }
        let Some((_, vertex, class)) = best else { return };
        let (sigma, _) = give(class);
        let centre = mesh.position[vertex as usize];
        let mut around = Vec::new();
        for part in &mesh.parts {
            // Neighbouring organs are dragged along by half.
            let share = if part.class == class { 1.0 } else { 0.5 };
            for v in part.vertices.clone() {
                let d = length(sub(mesh.position[v], centre)) / sigma;
                let w = share * libm::expf(-d * d);
                if w > 0.01 && !(part.class != class && d < 1e-3) {
                    around.push((v as u32, w));
                }
            }
        }
        let at = positions[vertex as usize];
        self.grasps.push(Grasp {
            arm,
            held: true,
            class,
            vertex,
            offset: sub(at, tip),
            target: at,
            tent: sub(at, self.untented(vertex, arm)),
            around,
        });
    }

    fn advance(&mut self, dt: f64) {
        self.seconds += dt;
        self.solve(dt);
        let decay = libm::exp(-RELAX * dt) as f32;
        for i in 0..self.grasps.len() {
            let (vertex, arm, class) = (self.grasps[i].vertex, self.grasps[i].arm, self.grasps[i].class);
            if self.grasps[i].held {
                let tent = sub(self.grasps[i].target, self.untented(vertex, arm));
                self.grasps[i].tent = tent;
                self.grasps[i].held = length(tent) <= give(class).1;
            } else {
                self.grasps[i].tent = scale(self.grasps[i].tent, decay);
            }
        }
        self.grasps.retain(|g| g.held || length(g.tent) > FLAT);
    }

    /// One XPBD step of the spine. Compliances are in mm per unit force with unit node mass.
    fn solve(&mut self, dt: f64) {
        let rest = self.anatomy.nodes.map(wide);
        let pulls: Vec<([f64; NODES], Vector3<f64>)> = self
            .grasps
            .iter()
            .filter(|g| g.held)
            .filter_map(|g| {
                let from = self.anatomy.skin.partition_point(|s| s.vertex < g.vertex);
                let mut weights = [0.0; NODES];
                for s in self.anatomy.skin[from..].iter().take_while(|s| s.vertex == g.vertex) {
                    weights[usize::from(s.node)] = f64::from(s.weight);
                }
                let v = g.vertex as usize;
                let at_rest = add(self.anatomy.mesh.position[v], scale(self.breath(), self.anatomy.breathing[v]));
                weights.iter().any(|w| *w > 0.0).then(|| (weights, wide(sub(g.target, at_rest))))
            })
            .collect();
        if pulls.is_empty() && self.velocity.iter().all(|v| *v == Vector3::zeros()) && self.node == rest {
            return;
        }
        let before = self.node;
        for (x, v) in self.node.iter_mut().zip(&self.velocity) {
            *x += v * dt;
        }
        let soft = |compliance: f64| compliance / (dt * dt);
        for _ in 0..SWEEPS {
            for (skip, compliance) in [(1, 4e-4), (2, 2e-3)] {
                for i in 0..NODES - skip {
                    let (a, b) = (self.node[i], self.node[i + skip]);
                    let length = (b - a).norm().max(1e-9);
                    let error = length - (rest[i + skip] - rest[i]).norm();
                    let correction = (b - a) * (error / length / (2.0 + soft(compliance)));
                    self.node[i] += correction;
                    self.node[i + skip] -= correction;
                }
            }
            for (i, r) in rest.iter().enumerate() {
                // The bed holds the body; the free fundus has only its own elasticity and a faint pull back.
                let compliance = 1.0 / (12.0 + 900.0 * f64::from(self.anatomy.bed[i]));
                let correction = (self.node[i] - r) / (1.0 + soft(compliance));
                self.node[i] -= correction;
            }
            for (weights, pull) in &pulls {
                let mut now = Vector3::zeros();
                let mut mass = 0.0;
                for i in 0..NODES {
                    now += (self.node[i] - rest[i]) * weights[i];
                    mass += weights[i] * weights[i];
                }
                let correction = (pull - now) / (mass + soft(6e-4));
                for i in 0..NODES {
                    self.node[i] += correction * weights[i];
                }
            }
        }
        let damp = libm::exp(-DAMPING * dt);
        let mut still = pulls.is_empty();
        for i in 0..NODES {
            self.velocity[i] = (self.node[i] - before[i]) * (damp / dt);
            still &= self.velocity[i].norm() < 0.05 && (self.node[i] - rest[i]).norm() < 0.01;
        }
        if still {
            self.node = rest;
            self.velocity = [Vector3::zeros(); NODES];
        }
    }
}

//! Builds a cholecystectomy-like field from a seed: liver with its lobed edge, gallbladder in its bed with a free fundus, cystic
//! duct and artery down to the hilum, fat around it, abdominal wall behind everything. Millimetres, world frame.

use super::{
    SceneConfig,
    mesh::{Columns, Mesh, V3, add, dot, length, normalise, rotation_minimising_frames, scale, sub},
    noise::{fbm2, mix, smoothstep, worley2},
};
use proctor_types::Class;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Nodes of the gallbladder's spine that carry its deformation.
pub(crate) const NODES: usize = 12;
/// Finer samples of the spine, for distances.
const SPINE: usize = 49;
const PI: f32 = std::f32::consts::PI;

/// Vertex `vertex` follows node `node` by `weight`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Skin {
    pub vertex: u32,
    pub node: u8,
    pub weight: f32,
}

/// Everything about a scene that never changes.
#[derive(Debug)]
pub(crate) struct Anatomy {
    pub mesh: Mesh,
    pub skin: Vec<Skin>,
    /// How far breathing carries each vertex, 0..1.
    pub breathing: Vec<f32>,
    /// Rest positions of the spine nodes, neck first.
    pub nodes: [V3; NODES],
    /// How firmly each node is held by the liver bed, 0 free .. 1 held.
    pub bed: [f32; NODES],
    /// The vertex to grasp the fundus at.
    pub fundus: u32,
}

/// The numbers that make one patient.
struct Plan {
    seed: u32,
    neck: [f32; 2],
    /// Unit direction neck to fundus.
    axis: [f32; 2],
    length: f32,
    radius: f32,
    bend: f32,
    rise: f32,
    hilum: [f32; 2],
    lobes: [f32; 2],
    dome: f32,
    duct_radius: f32,
    artery_radius: f32,
    artery_side: f32,
    fat: Vec<Lump>,
    floor: f32,
}

struct Lump {
    centre: [f32; 2],
    radii: [f32; 2],
    turn: f32,
    height: f32,
}

fn bezier(p: [V3; 4], t: f32) -> V3 {
    let s = 1.0 - t;
    let w = [s * s * s, 3.0 * s * s * t, 3.0 * s * t * t, t * t * t];
    (0..4).fold([0.0; 3], |sum, i| add(sum, scale(p[i], w[i])))
}

impl Plan {
    fn new(config: &SceneConfig, seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let spread = config.variation as f32;
        // `centre` plus up to `half` either way, scaled by the configured variation.
        let mut vary = |centre: f32, half: f32| centre + spread * half * rng.random_range(-1.0f32..1.0);
        let turn = vary(-0.6, 0.4);
        let neck = [vary(10.0, 6.0), vary(-24.0, 4.0)];
        let hilum = [neck[0] + vary(20.0, 5.0), neck[1] - vary(12.0, 6.0)];
        let fat = vec![
            Lump {
                centre: [hilum[0] + 14.0, hilum[1] - 6.0],
                radii: [vary(40.0, 8.0), vary(19.0, 4.0)],
                turn: vary(-0.2, 0.3),
                height: vary(17.0, 3.0),
            },
            Lump {
                centre: [vary(-42.0, 14.0), vary(-58.0, 8.0)],
                radii: [vary(24.0, 8.0), vary(14.0, 5.0)],
                turn: vary(0.2, 0.6),
                height: vary(10.0, 5.0),
            },
            Lump {
                centre: [vary(64.0, 10.0), vary(-14.0, 16.0)],
                radii: [vary(18.0, 6.0), vary(14.0, 5.0)],
                turn: vary(0.0, 1.0),
                height: vary(15.0, 5.0),
            },
        ];
        Self {
            seed: seed as u32 ^ (seed >> 32) as u32,
            neck,
            axis: [libm::sinf(turn), libm::cosf(turn)],
            length: vary(68.0, 6.0),
            radius: vary(13.4, 2.0),
            bend: vary(0.0, 7.0),
            rise: vary(5.0, 2.5),
            hilum,
            lobes: [vary(12.0, 12.0), vary(4.0, 10.0)],
            dome: vary(6.0, 3.0),
            duct_radius: vary(2.25, 0.25),
            artery_radius: vary(1.4, 0.1),
            artery_side: if vary(0.3, 1.0) > 0.0 { -1.0 } else { 1.0 },
            fat,
            floor: vary(-27.0, 2.0),
        }
    }

    /// Plan position on the gallbladder's spine, 0 neck .. 1 fundus.
    fn spine2(&self, u: f32) -> [f32; 2] {
        let side = self.bend * libm::sinf(PI * u);
        let along = self.length * u;
        [
            self.neck[0] + self.axis[0] * along - self.axis[1] * side,
            self.neck[1] + self.axis[1] * along + self.axis[0] * side,
        ]
    }

    /// Radius of the gallbladder at `u`: a pear with Hartmann's pouch near the neck and a round fundus.
    fn pear(&self, u: f32) -> f32 {
        let cap = 1.0 - self.radius / self.length;
        let body = mix(self.duct_radius / self.radius, 1.0, smoothstep(-0.02, 0.72, u))
            + 0.16 * libm::expf(-((u - 0.15) / 0.08) * ((u - 0.15) / 0.08)) * smoothstep(0.0, 0.06, u);
        let closing = ((u - cap) / (1.0 - cap)).clamp(0.0, 1.0);
        self.radius * body * (1.0 - closing * closing).max(0.0).sqrt()
    }

    /// y of the liver's lower edge at `x`.
    fn edge(&self, x: f32) -> f32 {
        let d = x - self.neck[0];
        let left = smoothstep(4.0, 42.0, -d) * self.lobes[0];
        let right = smoothstep(6.0, 45.0, d) * self.lobes[1];
        self.neck[1] + 5.0 - left - right + 4.5 * fbm2(x / 21.0, 0.3, 2, self.seed ^ 11)
    }

    /// Height of the liver's surface, away from its rounded edge.
    fn liver(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = (x - self.neck[0], y - self.neck[1]);
        let along = dx * self.axis[0] + dy * self.axis[1];
        let across =
            dx * self.axis[1] - dy * self.axis[0] + self.bend * libm::sinf(PI * (along / self.length).clamp(0.0, 1.0));
        let fossa = (1.0 - smoothstep(0.0, 26.0, across.abs())) * smoothstep(-14.0, 10.0, along);
        let lobes = self.dome * smoothstep(8.0, 50.0, across.abs());
        let crease = {
            // One interlobar fissure to the left of the bed.
            let c = across - 30.0 - 6.0 * libm::sinf(y / 17.0);
            -4.0 * libm::expf(-(c / 2.6) * (c / 2.6)) * smoothstep(30.0, 0.0, along)
        };
        -5.0 + 0.13 * (y + 15.0) + lobes - 6.0 * fossa
            + crease
            + 2.2 * fbm2(x / 34.0, y / 34.0, 2, self.seed ^ 21)
            + 0.35 * fbm2(x / 7.0, y / 7.0, 2, self.seed ^ 22)
    }

    /// Height of the fat at a point, or `None` beside it.
    fn fat(&self, lump: &Lump, x: f32, y: f32) -> Option<f32> {
        let (s, c) = (libm::sinf(lump.turn), libm::cosf(lump.turn));
        let (dx, dy) = (x - lump.centre[0], y - lump.centre[1]);
        let (a, b) = ((dx * c + dy * s) / lump.radii[0], (dy * c - dx * s) / lump.radii[1]);
        let wobble = 1.0 + 0.28 * fbm2(x / 13.0, y / 13.0, 2, self.seed ^ 31);
        let r2 = (a * a + b * b) * wobble;
        if r2 >= 1.0 {
            return None;
        }
        let (wx, wy) =
            (x + 2.5 * fbm2(x / 6.0, y / 6.0, 2, self.seed ^ 34), y + 2.5 * fbm2(x / 6.0, y / 6.0, 2, self.seed ^ 35));
        let lobule = |size: f32, seed: u32| {
            let d = worley2(wx / size, wy / size, self.seed ^ seed).min(1.0);
            1.0 - d * d
        };
        let dome = (1.0 - r2).sqrt();
        let lumps = 4.2 * lobule(10.0, 32) + 1.5 * lobule(4.6, 33);
        Some(self.floor - 2.0 + lump.height * dome + lumps * smoothstep(0.0, 0.35, dome))
    }

    /// Height of the abdominal wall under `(x, y)`: a bowl around the field.
    fn wall(&self, x: f32, y: f32) -> f32 {
        let r = (x * x + y * y).sqrt();
        self.floor
            + 3.0 * fbm2(x / 30.0, y / 30.0, 2, self.seed ^ 41)
            + 1.2 * fbm2(x / 9.0, y / 9.0, 2, self.seed ^ 42)
            + 24.0 * smoothstep(60.0, 110.0, r)
    }

    /// Highest of what lies under a vessel.
    fn ground(&self, x: f32, y: f32) -> f32 {
        let fat = self.fat.iter().filter_map(|l| self.fat(l, x, y)).fold(f32::MIN, f32::max);
        let liver = if y > self.edge(x) + 5.0 { self.liver(x, y) } else { f32::MIN };
        fat.max(liver).max(self.wall(x, y))
    }

    fn spine3(&self, u: f32) -> V3 {
        let [x, y] = self.spine2(u);
        // The neck passes over the liver's edge; the fundus rises off its bed.
        let bed = self.liver(x, y.max(self.edge(x) + 7.0));
        [x, y, bed + 0.45 * self.pear(u.min(0.8)) + self.rise * u * u * u + 1.0]
    }

    /// A tube's centre line: the curve lifted above the ground and smoothed; both ends stay.
    fn laid(&self, control: [V3; 4], n: usize, radius: f32, wave: f32) -> Vec<V3> {
        let mut path: Vec<V3> = (0..n)
            .map(|i| {
                let t = i as f32 / (n - 1) as f32;
                let mut p = bezier(control, t);
                let swing = wave * libm::sinf(PI * t);
                p[0] += swing * fbm2(t * 5.0, 1.0, 2, self.seed ^ 51);
                p[1] += swing * fbm2(t * 5.0, 9.0, 2, self.seed ^ 52);
                let free = smoothstep(0.0, 0.25, t) * smoothstep(1.0, 0.8, t);
                let floor = self.ground(p[0], p[1]) + 0.75 * radius;
                p[2] = p[2].max(mix(p[2], floor, free));
                p
            })
            .collect();
        for _ in 0..6 {
            for i in 1..n - 1 {
                path[i] = scale(add(add(path[i - 1], path[i + 1]), scale(path[i], 2.0)), 0.25);
            }
        }
        path
    }
}

/// Distance from `p` to a tube given by samples of centre and radius, negative inside.
fn tube_distance(path: &[(V3, f32)], p: V3) -> f32 {
    path.iter().map(|(c, r)| length(sub(p, *c)) - r).fold(f32::MAX, f32::min)
}

fn nearest_index(path: &[(V3, f32)], p: V3) -> (usize, f32) {
    let mut best = (0, f32::MAX);
    for (i, (c, r)) in path.iter().enumerate() {
        let d = length(sub(p, *c)) - r;
        if d < best.1 {
            best = (i, d);
        }
    }
    best
}

/// Adds a tube along `path` with radius `radius(t, angle)`.
fn tube(mesh: &mut Mesh, class: Class, path: &[V3], around: usize, radius: impl Fn(f32, f32) -> f32) {
    let frames = rotation_minimising_frames(path, [0.0, 0.0, 1.0]);
    let last = (path.len() - 1) as f32;
    let point = |c: usize, r: usize| {
        let a = c as f32 / around as f32 * 2.0 * PI;
        let [_, n, b] = frames[r];
        let k = radius(r as f32 / last, a);
        add(path[r], add(scale(n, k * libm::cosf(a)), scale(b, k * libm::sinf(a))))
    };
    let outward = |p: V3| {
        let near = path.iter().min_by(|a, b| length(sub(p, **a)).total_cmp(&length(sub(p, **b))));
        near.map_or([0.0, 0.0, 1.0], |c| sub(p, *c))
    };
    mesh.grid(class, (around, path.len()), Columns::Ring, point, outward, |_, _| true);
}

impl Anatomy {
    pub(crate) fn new(config: &SceneConfig, seed: u64) -> Self {
        let plan = Plan::new(config, seed);
        let mut mesh = Mesh::default();
        let up = |_: V3| [0.0, 0.0, 1.0];

        wall(&mut mesh, &plan);
        liver(&mut mesh, &plan);
        for lump in &plan.fat {
            let (n, m) = if lump.radii[0] > 34.0 { (84, 52) } else { (44, 34) };
            let at = |c: usize, r: usize| {
                let (s, k) = (libm::sinf(lump.turn), libm::cosf(lump.turn));
                let a = (c as f32 / (n - 1) as f32 * 2.0 - 1.0) * lump.radii[0] * 1.25;
                let b = (r as f32 / (m - 1) as f32 * 2.0 - 1.0) * lump.radii[1] * 1.25;
                [lump.centre[0] + a * k - b * s, lump.centre[1] + a * s + b * k]
            };
            let point = |c: usize, r: usize| {
                let [x, y] = at(c, r);
                [x, y, plan.fat(lump, x, y).unwrap_or(plan.floor - 6.0)]
            };
            let inside = |c: usize, r: usize| {
                let [x, y] = at(c, r);
                plan.fat(lump, x, y).is_some()
            };
            let keep =
                |c: usize, r: usize| inside(c, r) || inside(c + 1, r) || inside(c, r + 1) || inside(c + 1, r + 1);
            mesh.grid(Class::Fat, (n, m), Columns::Open, point, up, keep);
        }

        // Gallbladder: rings crowd towards the fundus so that its cap is round.
        let rings = 64;
        let path: Vec<V3> = (0..rings)
            .map(|i| {
                let t = i as f32 / (rings - 1) as f32;
                plan.spine3(1.0 - (1.0 - t) * (1.0 - 0.55 * t))
            })
            .collect();
        let u_of = |t: f32| 1.0 - (1.0 - t) * (1.0 - 0.55 * t);
        tube(&mut mesh, Class::Gallbladder, &path, 48, |t, a| {
            let u = u_of(t);
            let lumps = 1.0 + 0.035 * fbm2(u * 9.0, 2.0 * libm::cosf(a) + 5.0, 2, plan.seed ^ 61);
            plan.pear(u) * lumps
        });

        // Duct: from the neck on along the gallbladder's axis, then down to the hilum. Artery: beside it, to the neck's flank.
        let neck = plan.spine3(0.03);
        let hilum3 = |dx: f32, dy: f32, r: f32| {
            let (x, y) = (plan.hilum[0] + dx, plan.hilum[1] + dy);
            [x, y, plan.ground(x, y) - 1.6 * r]
        };
        let ahead = [neck[0] - plan.axis[0] * 11.0, neck[1] - plan.axis[1] * 11.0, neck[2] - 1.0];
        let end = hilum3(0.0, 0.0, plan.duct_radius);
        let duct = plan.laid([neck, ahead, add(end, [-4.0, 9.0, 4.0]), end], 44, plan.duct_radius, 3.0);
        tube(&mut mesh, Class::CysticDuct, &duct, 20, |t, a| {
            plan.duct_radius * (1.0 + 0.07 * libm::sinf(34.0 * t + 2.0 * libm::sinf(a)))
        });
        let flank_u = 0.13;
        let side = plan.artery_side;
        let flank = {
            let c = plan.spine3(flank_u);
            let k = plan.pear(flank_u) * 0.92;
            [c[0] + side * plan.axis[1] * k, c[1] - side * plan.axis[0] * k, c[2] + 0.25 * k]
        };
        let from = hilum3(side * 13.0, -1.0, plan.artery_radius);
        let artery = plan.laid(
            [flank, add(flank, [side * 5.0, -6.0, 1.0]), add(from, [side * 3.0, 10.0, 3.0]), from],
            44,
            plan.artery_radius,
            5.0,
        );
        tube(&mut mesh, Class::CysticArtery, &artery, 16, |_, _| plan.artery_radius);

        Self::finish(&plan, mesh, &duct, &artery, flank_u)
    }

    /// Light, skin weights, breathing and the grasp point, from the finished mesh.
    fn finish(plan: &Plan, mut mesh: Mesh, duct: &[V3], artery: &[V3], flank_u: f32) -> Self {
        let sample = |i: usize, n: usize| i as f32 / (n - 1) as f32;
        let spine: Vec<(V3, f32)> =
            (0..SPINE).map(|i| (plan.spine3(sample(i, SPINE)), plan.pear(sample(i, SPINE)))).collect();
        let duct: Vec<(V3, f32)> = duct.iter().step_by(3).map(|p| (*p, plan.duct_radius)).collect();
        let artery: Vec<(V3, f32)> = artery.iter().step_by(3).map(|p| (*p, plan.artery_radius)).collect();
        let mut skin = Vec::new();
        let mut breathing = vec![0.0f32; mesh.position.len()];
        // Two neighbouring nodes share the vertex at spine parameter `u`.
        let mut bind = |vertex: usize, u: f32, weight: f32| {
            let at = (u * (NODES - 1) as f32).clamp(0.0, (NODES - 1) as f32);
            let node = (at as usize).min(NODES - 2);
            for (node, w) in [(node, 1.0 - (at - node as f32)), (node + 1, at - node as f32)] {
                if w * weight > 1e-3 {
                    skin.push(Skin { vertex: vertex as u32, node: node as u8, weight: w * weight });
                }
            }
        };
        for part in &mesh.parts {
            for v in part.vertices.clone() {
                let p = mesh.position[v];
                let (nearest, gallbladder) = nearest_index(&spine, p);
                let u = sample(nearest, SPINE);
                let near = |k: f32, reach: f32| {
                    k * libm::expf(-(gallbladder.max(0.0) / reach) * (gallbladder.max(0.0) / reach))
                };
                let shade = |d: f32, reach: f32, dark: f32| mix(dark, 1.0, smoothstep(-0.5, reach, d));
                let vessels = tube_distance(&duct, p).min(tube_distance(&artery, p));
                let height = (p[2] - plan.wall(p[0], p[1])).max(0.0);
                let (open, follow, breath) = match part.class {
                    Class::AbdominalWall => {
                        let beyond = plan.edge(p[0]) - p[1];
                        (shade(beyond, 16.0, 0.3) * shade(vessels, 5.0, 0.5), 0.0, 0.15)
                    }
                    Class::Liver => (shade(gallbladder, 8.0, 0.32) * shade(vessels, 4.0, 0.5), near(0.4, 9.0), 1.0),
                    Class::Fat => (
                        shade(gallbladder, 7.0, 0.4) * shade(vessels, 3.0, 0.5) * shade(height, 7.0, 0.55),
                        near(0.25, 8.0),
                        0.5,
                    ),
                    Class::Gallbladder => {
                        let bed = plan.liver(p[0], p[1]);
                        (shade(p[2] - bed, 6.0, 0.4), 1.0, 1.0)
                    }
                    _ => (shade(p[2] - plan.ground(p[0], p[1]), 3.0, 0.55), 0.0, 0.0),
                };
                mesh.openness[v] = open;
                breathing[v] = breath;
                if part.class == Class::CysticDuct || part.class == Class::CysticArtery {
                    let (path, root) = if part.class == Class::CysticDuct { (&duct, 0.0) } else { (&artery, flank_u) };
                    let t = sample(nearest_index(path, p).0, path.len());
                    bind(v, root, 1.0 - t);
                    breathing[v] = 1.0 - 0.5 * t;
                } else if follow > 1e-3 {
                    // Vertices of the gallbladder bind to the exact projection on the spine, not to the nearest sample.
                    bind(
                        v,
                        if part.class == Class::Gallbladder { spine_parameter(&spine, nearest, p) } else { u },
                        follow,
                    );
                }
            }
        }
        let node = |i: usize| plan.spine3(sample(i, NODES));
        let fundus = fundus_vertex(&mesh, &spine);
        Self {
            nodes: std::array::from_fn(node),
            bed: std::array::from_fn(|i| 1.0 - smoothstep(0.35, 0.8, sample(i, NODES))),
            mesh,
            skin,
            breathing,
            fundus,
        }
    }
}

/// Spine parameter of the projection of `p`, linear between samples around `nearest`.
fn spine_parameter(spine: &[(V3, f32)], nearest: usize, p: V3) -> f32 {
    let (a, b) = (nearest.saturating_sub(1), (nearest + 1).min(spine.len() - 1));
    let axis = sub(spine[b].0, spine[a].0);
    let t = (dot(sub(p, spine[a].0), axis) / dot(axis, axis).max(1e-9)).clamp(0.0, 1.0);
    (a as f32 + t * (b - a) as f32) / (spine.len() - 1) as f32
}

/// The gallbladder's vertex near its free end that faces up and towards the camera most.
fn fundus_vertex(mesh: &Mesh, spine: &[(V3, f32)]) -> u32 {
    let want = normalise([0.0, -0.45, 0.9]);
    let (tip, centre) = (spine[SPINE - 1].0, spine[SPINE - 9].0);
    let outward = normalise(sub(tip, centre));
    let mut best = (0u32, f32::MIN);
    for part in mesh.parts.iter().filter(|p| p.class == Class::Gallbladder) {
        for v in part.vertices.clone() {
            let along = dot(sub(mesh.position[v], centre), outward);
            let score = dot(mesh.normal[v], want) - 0.04 * (along - 4.0).abs();
            if score > best.1 {
                best = (v as u32, score);
            }
        }
    }
    best.0
}

/// The bowl: a disc of floor whose rim rises beyond what the camera sees.
fn wall(mesh: &mut Mesh, plan: &Plan) {
    let (around, out) = (96usize, 50usize);
    let point = |c: usize, r: usize| {
        let a = c as f32 / around as f32 * 2.0 * PI;
        let t = r as f32 / (out - 1) as f32;
        let (ca, sa) = (libm::cosf(a), libm::sinf(a));
        // Out to 110 mm along the floor, then up a steep rim.
        let floor = (t / 0.72).min(1.0);
        let rim = ((t - 0.72) / 0.28).max(0.0);
        let radius = 112.0 * floor + 55.0 * libm::sinf(rim * PI / 2.0);
        let (x, y) = (radius * ca, radius * sa);
        let folds = 3.5 * fbm2(a * 6.0, radius / 40.0 + rim, 3, plan.seed ^ 71) * smoothstep(0.0, 0.2, rim);
        [x, y, plan.wall(112.0 * floor * ca, 112.0 * floor * sa) + 150.0 * (1.0 - libm::cosf(rim * PI / 2.0)) + folds]
    };
    let inward = |p: V3| [-p[0] * 0.01, -p[1] * 0.01, 1.0];
    // Floor deep under the liver is never seen.
    let keep = |c: usize, r: usize| {
        let [x, y, _] = point(c, r);
        x * x + y * y > 95.0 * 95.0 || y < plan.edge(x) + 30.0
    };
    mesh.grid(Class::AbdominalWall, (around, out), Columns::Ring, point, inward, keep);
}

/// A thick sheet whose lower edge is rounded and lobed.
fn liver(mesh: &mut Mesh, plan: &Plan) {
    let (columns, wrap, deep) = (112usize, 10usize, 50usize);
    let lip = 6.5f32;
    let point = |c: usize, r: usize| {
        let x = -112.0 + 224.0 * c as f32 / (columns - 1) as f32;
        let edge = plan.edge(x);
        let top = |s: f32| plan.liver(x, edge + s);
        if r < wrap {
            // From the underside round the lip; the angle runs from -80 to 90 degrees.
            let a = mix(-1.4, PI / 2.0, r as f32 / wrap as f32);
            let centre = top(lip) - lip;
            [x, edge + lip - lip * libm::cosf(a), centre + lip * libm::sinf(a)]
        } else {
            let t = (r - wrap) as f32 / (deep - 1) as f32;
            let s = lip + 150.0 * t * (0.45 + 0.55 * t);
            [x, edge + s, top(s) + 22.0 * smoothstep(60.0, 140.0, s)]
        }
    };
    let out = |_: V3| [0.0, -0.3, 0.9];
    mesh.grid(Class::Liver, (columns, wrap + deep), Columns::Open, point, out, |_, _| true);
}

//! Instruments and suggested motions as polylines in the left picture, pixels. The page only strokes them.
//!
//! A capsule's outline is the hull of the circles its two ends project to: exact for the ends, and for thin instruments
//! within a pixel of the true silhouette between them.

use nalgebra::{Isometry3, Point2, Point3, Vector2, Vector3};
use proctor_kinematics::{Capsule, Cell, Chain, Instrument, KinematicsError};
use proctor_types::{ArmId, Base, Camera, CameraModel, Pose, Proposal, Scene, World};
use serde::Serialize;

/// Nothing nearer to the camera than this is drawn, metres.
const NEAR: f64 = 0.012;
/// Largest angle between two points of an arc, rad.
const ARC_STEP: f64 = std::f64::consts::FRAC_PI_8;
/// Intermediate poses of a ghost, the first and last included.
const GHOST_POSES: usize = 6;
/// Points of the tip's way.
const WAY_POINTS: usize = 24;
/// Distance at which the future view of a moved camera is drawn when nothing was measured, metres.
const NOMINAL_DEPTH: f64 = 0.09;
/// Polylines are clipped by value to this many pixels around the picture.
const FAR_PIXELS: f64 = 4000.0;

/// A polyline: u0, v0, u1, v1, .. in whole pixels of the full-size left picture.
pub type Line = Vec<i32>;

/// One arm's outline where fusion believes it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outline {
    /// Whose.
    pub arm: ArmId,
    /// Closed polylines.
    pub lines: Vec<Line>,
    /// Tool tip, if in front of the camera.
    pub tip: Option<[i32; 2]>,
}

/// One pose along a suggested motion.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GhostPose {
    /// How far along, [0, 1].
    pub at: f64,
    /// Closed polylines.
    pub lines: Vec<Line>,
}

/// A suggested motion in the picture.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ghost {
    /// Which arm would move.
    pub arm: ArmId,
    /// Where it would be, first to last.
    pub poses: Vec<GhostPose>,
    /// The way of the tool tip, or of the middle of the picture for the endoscope.
    pub way: Line,
}

/// Projects with the chains of the instruments that are mounted.
#[derive(Debug, Clone)]
pub struct Projector {
    cell: Cell,
    chains: [Chain; 3],
    camera: CameraModel,
}

impl Projector {
    /// For the standard cell with the named instruments on PSM1 and PSM2.
    pub fn new(instruments: &[String; 2]) -> Result<Self, KinematicsError> {
        let cell = Cell::standard()?;
        let [psm1, psm2] = instruments;
        let chains = [Chain::psm(&Instrument::named(psm1)?)?, Chain::psm(&Instrument::named(psm2)?)?, Chain::ecm()?];
        let camera = cell.rig().left;
        Ok(Self { cell, chains, camera })
    }

    /// Picture size, (columns, rows).
    pub fn size(&self) -> (usize, usize) {
        (self.camera.width, self.camera.height)
    }

    /// The instruments of a scene, as fusion corrected them.
    pub fn outlines(&self, scene: &Scene) -> Vec<Outline> {
        let camera_from_world = scene.world_from_camera.inverse();
        let of = |i: &proctor_types::InstrumentEstimate| {
            let chain = &self.chains[i.arm.index()];
            let camera_from_base = camera_from_world.iso() * self.world_from_base(scene, i.arm).iso();
            let tip = self.camera.project(&camera_from_world.transform(&i.world_from_tip.translation().into()));
            Some(Outline {
                arm: i.arm,
                lines: self.capsule_lines(&chain.capsules(&i.joints).ok()?, &camera_from_base, usize::MAX),
                tip: tip.map(|p| pixel(&p)),
            })
        };
        scene.instruments.iter().filter(|i| i.arm.has_jaw()).filter_map(of).collect()
    }

    /// The ghost of a proposal as seen from where the camera is now; `None` if its joints are refused.
    pub fn ghost(&self, scene: &Scene, proposal: &Proposal) -> Option<Ghost> {
        match proposal.trajectory.arm() {
            ArmId::Psm1 | ArmId::Psm2 => self.instrument_ghost(scene, proposal),
            ArmId::Ecm => self.camera_ghost(scene, proposal),
        }
    }

    fn instrument_ghost(&self, scene: &Scene, proposal: &Proposal) -> Option<Ghost> {
        let trajectory = &proposal.trajectory;
        let arm = trajectory.arm();
        let chain = &self.chains[arm.index()];
        let camera_from_base = scene.world_from_camera.inverse().iso() * self.world_from_base(scene, arm).iso();
        let mut poses = Vec::with_capacity(GHOST_POSES);
        for k in 0..GHOST_POSES {
            let at = k as f64 / (GHOST_POSES - 1) as f64;
            let capsules = chain.capsules(&trajectory.at(at * trajectory.duration()).0).ok()?;
            // The whole instrument at the end of the motion, its working end on the way.
            let parts = if k + 1 == GHOST_POSES { usize::MAX } else { 2 };
            poses.push(GhostPose { at, lines: self.capsule_lines(&capsules, &camera_from_base, parts) });
        }
        let jaw_end = |q: &[f64]| chain.links(q).ok().map(|l| camera_from_base * l.jaw_end);
        let way = self.way(|at| jaw_end(&trajectory.at(at * trajectory.duration()).0));
        Some(Ghost { arm, poses, way })
    }

    /// A moving camera is shown by what it will look at: the frame of the future picture, drawn into the present one.
    fn camera_ghost(&self, scene: &Scene, proposal: &Proposal) -> Option<Ghost> {
        let trajectory = &proposal.trajectory;
        let depth = median_depth(scene).unwrap_or(NOMINAL_DEPTH);
        let now_from_world = scene.world_from_camera.inverse();
        let camera_at = |at: f64| -> Option<Pose<Camera, Camera>> {
            let world_from_later = self.cell.world_from_camera(&trajectory.at(at * trajectory.duration()).0).ok()?;
            Some(now_from_world * world_from_later)
        };
        // Where a pixel of the later picture lies on the plane that is `depth` away now.
        let seen_later = |now_from_later: &Pose<Camera, Camera>, u: f64, v: f64| -> Option<Point3<f64>> {
            let c = &self.camera;
            let ray = now_from_later.rotation() * Vector3::new((u - c.cx) / c.fx, (v - c.cy) / c.fy, 1.0);
            let from = now_from_later.translation();
            (ray.z > 0.1).then(|| Point3::from(from + ray * ((depth - from.z) / ray.z)))
        };
        let (w, h) = (self.camera.width as f64 - 1.0, self.camera.height as f64 - 1.0);
        let mut poses = Vec::with_capacity(GHOST_POSES);
        for k in 0..GHOST_POSES {
            let at = k as f64 / (GHOST_POSES - 1) as f64;
            let now_from_later = camera_at(at)?;
            let corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h), (0.0, 0.0)];
            let line: Option<Vec<Point2<f64>>> =
                corners.iter().map(|&(u, v)| self.camera.project(&seen_later(&now_from_later, u, v)?)).collect();
            poses.push(GhostPose { at, lines: line.iter().map(|l| flatten(l)).collect() });
        }
        let way = self.way(|at| seen_later(&camera_at(at)?, w / 2.0, h / 2.0));
        Some(Ghost { arm: ArmId::Ecm, poses, way })
    }

    fn way(&self, point_at: impl Fn(f64) -> Option<Point3<f64>>) -> Line {
        let points = (0..WAY_POINTS).filter_map(|k| point_at(k as f64 / (WAY_POINTS - 1) as f64));
        flatten(&points.filter(|p| p.z > NEAR).filter_map(|p| self.camera.project(&p)).collect::<Vec<_>>())
    }

    fn world_from_base(&self, scene: &Scene, arm: ArmId) -> Pose<World, Base> {
        scene.hand_eye(arm).map_or_else(|| self.cell.world_from_base(arm), |h| h.world_from_base)
    }

    /// The last `parts` capsules, nearest the tip last.
    fn capsule_lines(&self, capsules: &[Capsule], camera_from_base: &Isometry3<f64>, parts: usize) -> Vec<Line> {
        let first = capsules.len().saturating_sub(parts);
        capsules[first..].iter().filter_map(|c| self.outline(&c.transformed(camera_from_base))).collect()
    }

    /// Closed outline of a capsule in the camera's frame; `None` if it is behind the camera.
    fn outline(&self, capsule: &Capsule) -> Option<Line> {
        let (a, b) = clip(capsule.a, capsule.b)?;
        let end = |p: &Point3<f64>| Some((self.camera.project(p)?, self.camera.fx * capsule.radius / p.z));
        let ((pa, ra), (pb, rb)) = (end(&a)?, end(&b)?);
        let along = pb - pa;
        let distance = along.norm();
        // Angle between the axis and the normals of the two common tangents.
        let tilt = ((ra - rb) / distance.max(1e-9)).clamp(-1.0, 1.0).acos();
        let axis = along.y.atan2(along.x);
        let arc = |centre: Point2<f64>, radius: f64, from: f64, to: f64| {
            let steps = ((to - from) / ARC_STEP).ceil().max(1.0) as usize;
            (0..=steps).map(move |k| {
                let angle = from + (to - from) * k as f64 / steps as f64;
                centre + radius * Vector2::new(angle.cos(), angle.sin())
            })
        };
        let full = std::f64::consts::TAU;
        let mut points: Vec<Point2<f64>> = arc(pb, rb, axis - tilt, axis + tilt).collect();
        points.extend(arc(pa, ra, axis + tilt, axis + full - tilt));
        points.push(points[0]);
        Some(flatten(&points))
    }
}

/// The part of a segment in front of [`NEAR`].
fn clip(a: Point3<f64>, b: Point3<f64>) -> Option<(Point3<f64>, Point3<f64>)> {
    let cut = |behind: Point3<f64>, front: Point3<f64>| {
        behind + (front - behind) * ((NEAR - behind.z) / (front.z - behind.z))
    };
    match (a.z > NEAR, b.z > NEAR) {
        (true, true) => Some((a, b)),
        (false, true) => Some((cut(a, b), b)),
        (true, false) => Some((a, cut(b, a))),
        (false, false) => None,
    }
}

fn median_depth(scene: &Scene) -> Option<f64> {
    let camera_from_world = scene.world_from_camera.inverse();
    let mut depths: Vec<f64> = scene.surface.iter().map(|p| camera_from_world.transform(&p.position).z).collect();
    depths.retain(|z| *z > NEAR);
    let middle = depths.len() / 2;
    (!depths.is_empty()).then(|| *depths.select_nth_unstable_by(middle, f64::total_cmp).1)
}

fn flatten(points: &[Point2<f64>]) -> Line {
    points.iter().flat_map(pixel).collect()
}

fn pixel(p: &Point2<f64>) -> [i32; 2] {
    let round = |x: f64| x.clamp(-FAR_PIXELS, FAR_PIXELS).round() as i32;
    [round(p.x), round(p.y)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{proposal, scene};
    use proctor_types::{Joints, Skill, Trajectory, TrajectoryPoint};

    fn projector() -> Projector {
        let name = Instrument::DEFAULT.to_owned();
        Projector::new(&[name.clone(), name]).unwrap()
    }

    fn bounds(line: &Line) -> [i32; 4] {
        let u = || line.iter().step_by(2).copied();
        let v = || line.iter().skip(1).step_by(2).copied();
        [u().min().unwrap(), u().max().unwrap(), v().min().unwrap(), v().max().unwrap()]
    }

    #[test]
    fn a_capsule_across_the_view_is_outlined_by_pinhole_arithmetic() {
        // 20 mm long, radius 5 mm, 100 mm away: 5 mm are 28 pixels, its ends stick out 10 + 5 mm = 84 pixels.
        let across = Capsule { a: Point3::new(-0.01, 0.0, 0.1), b: Point3::new(0.01, 0.0, 0.1), radius: 0.005 };
        let line = projector().outline(&across).unwrap();
        for (got, expected) in bounds(&line).into_iter().zip([319.5 - 84.0, 319.5 + 84.0, 239.5 - 28.0, 239.5 + 28.0]) {
            assert!((f64::from(got) - expected).abs() <= 1.0, "{got} for {expected}");
        }
        assert_eq!(line[..2], line[line.len() - 2..], "closed");
    }

    #[test]
    fn one_end_inside_the_other_and_a_point_are_circles_and_behind_the_camera_is_nothing() {
        let p = projector();
        let end_on = Capsule { a: Point3::new(0.0, 0.0, 0.05), b: Point3::new(0.0, 0.0, 0.1), radius: 0.005 };
        let turned = Capsule { a: end_on.b, b: end_on.a, radius: 0.005 };
        for c in [end_on, turned, Capsule { b: end_on.a, ..end_on }] {
            let [left, right, top, bottom] = bounds(&p.outline(&c).unwrap());
            assert!((right - left - 112).abs() <= 2 && (bottom - top - 112).abs() <= 8, "56 pixels of radius: {c:?}");
        }
        let behind = Capsule { a: Point3::new(0.0, 0.0, -0.1), b: Point3::new(0.0, 0.0, 0.011), radius: 0.005 };
        assert_eq!(p.outline(&behind), None);
        let through = Capsule { b: Point3::new(0.0, 0.0, 0.1), ..behind };
        assert!(p.outline(&through).is_some(), "cut at the near plane");
    }

    #[test]
    fn the_ghost_of_an_instrument_ends_where_its_kinematics_say() {
        let (p, scene, proposal) = (projector(), scene(), proposal(1, 1000));
        let ghost = p.ghost(&scene, &proposal).unwrap();
        assert_eq!((ghost.arm, ghost.poses.len(), ghost.poses[5].lines.len()), (ArmId::Psm1, 6, 3));
        // Independent of capsules: the tip frame of FK, through the scene's hand-eye and camera; the jaw end lies 1 cm beyond.
        let q = proposal.trajectory.points()[1].position;
        let links = p.chains[0].links(&q).unwrap();
        let world = scene.hand_eye(ArmId::Psm1).unwrap().world_from_base.transform(&links.jaw_end);
        let seen = p.camera.project(&scene.world_from_camera.inverse().transform(&world)).unwrap();
        let last = &ghost.way[ghost.way.len() - 2..];
        assert!((f64::from(last[0]) - seen.x).abs() <= 0.51 && (f64::from(last[1]) - seen.y).abs() <= 0.51);
        let [left, right, top, bottom] = bounds(ghost.poses[5].lines.last().unwrap());
        assert!(left <= last[0] && last[0] <= right && top <= last[1] && last[1] <= bottom);
    }

    #[test]
    fn the_ghost_of_a_camera_that_stays_is_the_frame_of_the_picture_and_one_that_backs_off_sees_more() {
        let (p, scene) = (projector(), scene());
        let moved = |to: f64| {
            let point = |t, q3| TrajectoryPoint { t, position: Joints::new(&[0.0, 0.0, q3, 0.0]).unwrap(), jaw: 0.0 };
            let mut proposal = proposal(1, 1000);
            proposal.skill = Skill::CentreCamera;
            proposal.trajectory = Trajectory::new(ArmId::Ecm, vec![point(0.0, 0.11), point(1.0, to)]).unwrap();
            bounds(&p.ghost(&scene, &proposal).unwrap().poses[5].lines[0])
        };
        assert_eq!(moved(0.11), [0, 639, 0, 479]);
        let [left, right, ..] = moved(0.10);
        assert!(left < 0 && right > 639);
        // 10 mm farther from a plane at the scene's median depth of 80 mm: 90/80 of the width.
        assert!((f64::from(right - left) - 639.0 * 90.0 / 80.0).abs() <= 2.0, "{left}..{right}");
    }
}

//! How to take hold: which way the jaws point, by which route they come, and which way they lift.
//!
//! Every choice comes from a short fixed list, tried in a fixed order, so planning is bounded and deterministic. Legs are judged on a
//! coarse path first; only a choice whose every leg holds is sampled in time and judged again at every sample.

use crate::{
    Context, Declined, Phase,
    declined::first_of,
    plan::{
        JointPath, PathPoint,
        clearance::{Sweep, Tissue},
        picture::Picture,
        time_law::{Segment, Start, Timed, parameterise},
        tool_path::{JawPose, ToolPath, solve},
    },
    robot::Tool,
};
use nalgebra::{Point3, UnitQuaternion, UnitVector3, Vector3};
use proctor_kinematics::Capsule;
use proctor_types::{ArmId, ArmState, Joints, Trajectory, TrajectoryPoint};

/// How much the jaws may tilt from the inward normal towards the straight instrument.
const TILTS: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// Turns about the jaws' own axis, rad; a gripper turned by pi is the same gripper.
const ROLLS: [f64; 10] = [0.0, 0.3, -0.3, 0.6, -0.6, 0.9, -0.9, 1.2, -1.2, 1.5];
/// Grasps tried in full.
const MAX_TRIES: usize = 8;
/// Detours tried: how far start and pre-grasp point are raised, m.
const DETOURS: [f64; 3] = [0.0, 0.012, 0.025];
/// Lengths tried of backing off, m.
const BACK: [f64; 3] = [0.006, 0.012, 0.025];
/// Points of a coarse leg.
const COARSE: usize = 16;
/// Radians of joint travel that count as much as one radian of tilt.
const TRAVEL: f64 = 4.0;

/// What to take hold of, base frame.
#[derive(Debug, Clone, Copy)]
pub struct Hold {
    /// Where the jaws' end goes.
    pub point: Point3<f64>,
    /// Outward normal of the tissue.
    pub normal: UnitVector3<f64>,
    /// World's up.
    pub up: UnitVector3<f64>,
    /// From the nearest liver to the point, if liver is seen.
    pub away: Option<UnitVector3<f64>>,
}

/// Everything about one arm's surroundings that legs are judged by.
pub struct Site<'a> {
    /// Checked inputs.
    pub context: &'a Context<'a>,
    /// The arm.
    pub tool: &'a Tool,
    /// Its newest measurement.
    pub state: &'a ArmState,
    /// Tissue, base frame.
    pub tissue: &'a Tissue,
    /// What the endoscope sees.
    pub picture: Option<&'a Picture>,
    /// The other arms, base frame.
    pub others: &'a [(ArmId, Vec<Capsule>)],
}

/// A grasp that was found, sampled in time.
pub struct Grasp {
    /// The motion.
    pub timed: Timed,
    /// Whether it begins by backing off from tissue.
    pub backs_off: bool,
    /// Length of the lift, m.
    pub lift: f64,
}

/// The cheapest grasp whose whole motion holds, or why the cheapest one does not.
pub fn plan(site: &Site<'_>, hold: &Hold) -> Result<Grasp, Declined> {
    let at = JawPose::at(site.tool, &site.state.position)?;
    let begin = begin(site, hold, Place { at, joints: site.state.position, jaw: site.state.jaw })?;
    let rotations = orientations(site, hold, begin.place())?.into_iter();
    let grasps = rotations.map(|rotation| through(site, hold, &begin, JawPose { end: hold.point, rotation }));
    first_of(grasps, Declined::NoTarget)
}

/// Closes the jaws on what they hold, and lifts it.
pub fn lift_only(site: &Site<'_>, hold: &Hold) -> Result<Grasp, Declined> {
    let (p, motion) = (&site.context.params.retract, &site.context.params.motion);
    let (joints, jaw) = (site.state.position, p.jaw_closed);
    let at = JawPose::at(site.tool, &joints)?;
    let (up, lift) = lift(site, hold, joints, at)?;
    let still = Still::at(site.tool, &at);
    let path = ToolPath::new(site.tool, motion, at, up, "the lift");
    let speed = motion.near_speed;
    let segments = [
        Segment { phase: Phase::Grip, path: &still, speed, jaw },
        Segment { phase: Phase::Lift, path: &path, speed, jaw },
    ];
    Ok(Grasp { timed: sampled(site, &segments)?, backs_off: false, lift })
}

/// Where the jaws are, and the joints that put them there.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: JawPose,
    joints: Joints,
    /// Jaw angle, rad.
    jaw: f64,
}

/// Where the arm is, and the places through which it backs off first: none where it has room.
struct Begin {
    from: Place,
    back: Vec<Place>,
}

impl Begin {
    /// Where the way to the tissue begins.
    fn place(&self) -> &Place {
        self.back.last().unwrap_or(&self.from)
    }
}

/// An instrument that is too near to tissue for any way to pass there, as one whose motion ended half-way, backs off first: it lets go where its jaws
/// have room to open, and pulls back along itself, off the tissue, or up.
fn begin(site: &Site<'_>, hold: &Hold, from: Place) -> Result<Begin, Declined> {
    if stays(site, &from, from.jaw, Phase::Transit).is_ok() {
        return Ok(Begin { from, back: Vec::new() });
    }
    let open = site.context.params.retract.jaw_open;
    let opens = from.jaw < open && stays(site, &from, open, Phase::Leave).is_ok();
    let along = UnitVector3::try_new(-from.at.end.coords, 1e-9).ok_or(Declined::BadTarget { what: "the way back" })?;
    let released = opens.then_some(Place { jaw: open, ..from });
    let ways = released.into_iter().chain([from]).flat_map(|first| {
        let directions = [along, hold.normal, hold.up];
        BACK.into_iter().flat_map(move |length| directions.map(|d| (first, d.into_inner() * length)))
    });
    let begins = ways.map(|(first, by)| {
        let (at, jaw) = (from.at.moved(by), first.jaw);
        let way = leg(site, from.joints, (from.at, at), Phase::Leave, (jaw, jaw))?;
        let place = Place { at, joints: way.end, jaw };
        stays(site, &place, jaw, Phase::Transit)?;
        let release = (jaw != from.jaw).then_some(first);
        Ok(Begin { from, back: release.into_iter().chain([place]).collect() })
    });
    first_of(begins, Declined::NoTarget)
}

/// Whether tissue leaves room for the jaws to go from their angle to another where they are.
fn stays(site: &Site<'_>, place: &Place, jaw: f64, phase: Phase) -> Result<(), Declined> {
    let point = |t, jaw| TrajectoryPoint { t, position: place.joints, jaw };
    clear(site, vec![point(0.0, place.jaw), point(1.0, jaw)], phase).map(|_| ())
}

/// What an arm sweeps through a way, if tissue leaves room for it.
fn clear(site: &Site<'_>, way: Vec<TrajectoryPoint>, phase: Phase) -> Result<(Trajectory, Sweep), Declined> {
    let (arm, params) = (site.tool.arm, &site.context.params.clearance);
    let phases = vec![phase; way.len()];
    let trajectory = Trajectory::new(arm, way).map_err(|_| Declined::PathBroken { arm })?;
    let sweep = Sweep::new(site.tool, &trajectory, &phases)?;
    match sweep.shortfall(site.tissue, params, params.hysteresis, (0.0, 1)) {
        Some(short) => Err(short.declined(arm)),
        None => Ok((trajectory, sweep)),
    }
}

/// Orientations of the tip frame at the grasp for which grasp and pre-grasp point are reachable, cheapest first.
fn orientations(site: &Site<'_>, hold: &Hold, start: &Place) -> Result<Vec<UnitQuaternion<f64>>, Declined> {
    let (tool, motion) = (site.tool, &site.context.params.motion);
    let standoff = site.context.params.retract.standoff;
    let inward = -hold.normal.into_inner();
    let straight = UnitVector3::try_new(hold.point.coords, 1e-9).ok_or(Declined::BadTarget { what: "the grasp" })?;
    let pointing = start.at.rotation * tool.end_in_tip.coords.normalize();
    let mut found: Vec<(f64, UnitQuaternion<f64>)> = Vec::new();
    let mut refusal = None;
    for tilt in TILTS {
        let Some(direction) = UnitVector3::try_new(inward * (1.0 - tilt) + straight.into_inner() * tilt, 1e-3) else {
            continue;
        };
        // Straight back has no unique shortest turn: go about an axis across.
        let turn = UnitQuaternion::rotation_between(&pointing, &direction)
            .unwrap_or_else(|| UnitQuaternion::from_axis_angle(&across(&pointing), std::f64::consts::PI));
        for roll in ROLLS {
            let rotation = UnitQuaternion::from_axis_angle(&direction, roll) * turn * start.at.rotation;
            let at = JawPose { end: hold.point, rotation };
            let before = at.moved(hold.normal.into_inner() * standoff);
            let reached = solve(tool, &at.tip(tool), &start.joints, motion, "the grasp")
                .and_then(|grasp| Ok((grasp, solve(tool, &before.tip(tool), &grasp, motion, "the pre-grasp point")?)));
            match reached {
                Ok((grasp, before)) => {
                    let bend = direction.angle(&inward);
                    found.push((bend + travel(&start.joints, &before) + travel(&before, &grasp), rotation));
                }
                Err(declined) => {
                    refusal.get_or_insert(declined);
                }
            }
        }
    }
    if found.is_empty() {
        return Err(refusal.unwrap_or(Declined::BadTarget { what: "the grasp" }));
    }
    // Stable: equal costs keep the order of the lists.
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    found.truncate(MAX_TRIES);
    Ok(found.into_iter().map(|(_, rotation)| rotation).collect())
}

fn travel(a: &Joints, b: &Joints) -> f64 {
    let largest = a.iter().zip(b.iter()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    largest / TRAVEL
}

fn across(v: &Vector3<f64>) -> UnitVector3<f64> {
    let axis = if v.x.abs() < 0.7 { Vector3::x() } else { Vector3::y() };
    UnitVector3::new_normalize(v.cross(&axis))
}

/// The whole motion through one grasp pose.
fn through(site: &Site<'_>, hold: &Hold, begin: &Begin, at: JawPose) -> Result<Grasp, Declined> {
    let p = &site.context.params.retract;
    let before = at.moved(hold.normal.into_inner() * p.standoff);
    let (via, joints) = route(site, hold, begin.place(), before)?;
    let approach = leg(site, joints, (before, at), Phase::Approach, (p.jaw_open, p.jaw_open))?;
    let (up, lift) = lift(site, hold, approach.end, at)?;

    let motion = &site.context.params.motion;
    let line = |from, to, what| ToolPath::new(site.tool, motion, from, to, what);
    let mut from = begin.from.at;
    let mut leaves = Vec::new();
    for place in &begin.back {
        leaves.push((line(from, place.at, "the way back"), place.jaw));
        from = place.at;
    }
    let mut transits = Vec::new();
    for stop in &via {
        transits.push((line(from, stop.at, "the way to the tissue"), stop.jaw, stop.near));
        from = stop.at;
    }
    let (approach_path, lift_path) = (line(before, at, "the grasp"), line(at, up, "the lift"));
    let grip_path = Still::at(site.tool, &at);
    let speed = |near: bool| if near { motion.near_speed } else { motion.free_speed };
    let mut segments: Vec<Segment<'_>> = Vec::new();
    for (path, jaw) in &leaves {
        segments.push(Segment { phase: Phase::Leave, path, speed: speed(true), jaw: *jaw });
    }
    for (path, jaw, near) in &transits {
        segments.push(Segment { phase: Phase::Transit, path, speed: speed(*near), jaw: *jaw });
    }
    segments.push(Segment { phase: Phase::Approach, path: &approach_path, speed: speed(true), jaw: p.jaw_open });
    segments.push(Segment { phase: Phase::Grip, path: &grip_path, speed: speed(true), jaw: p.jaw_closed });
    segments.push(Segment { phase: Phase::Lift, path: &lift_path, speed: speed(true), jaw: p.jaw_closed });
    Ok(Grasp { timed: sampled(site, &segments)?, backs_off: !begin.back.is_empty(), lift })
}

/// The segments in time, from where the arm is.
fn sampled(site: &Site<'_>, segments: &[Segment<'_>]) -> Result<Timed, Declined> {
    let origin = Start { arm: site.tool.arm, joints: site.state.position, jaw: site.state.jaw };
    parameterise(origin, segments, site.tool.chain.limits(), &site.context.params.motion)
}

/// A point on the way to the pre-grasp point.
struct Stop {
    at: JawPose,
    /// Jaw angle there, rad.
    jaw: f64,
    /// Whether tissue is near on the way to it.
    near: bool,
}

/// Points from the start to the pre-grasp point, and the joints there. The jaws open on the last piece, where there is room.
fn route(site: &Site<'_>, hold: &Hold, start: &Place, before: JawPose) -> Result<(Vec<Stop>, Joints), Declined> {
    let (shut, open) = (start.jaw, site.context.params.retract.jaw_open);
    let near = site.context.params.motion.near_tissue;
    let ways = DETOURS.into_iter().map(|raise| {
        let up = hold.up.into_inner() * raise;
        let all = [(start.at.moved(up), shut), (before.moved(up), shut), (before, open)];
        let stops = if raise == 0.0 { &all[2..] } else { &all[..] };
        let (mut from, mut joints) = ((start.at, shut), start.joints);
        let way: Vec<Stop> = stops
            .iter()
            .map(|&to| {
                let done = leg(site, joints, (from.0, to.0), Phase::Transit, (from.1, to.1))?;
                (from, joints) = (to, done.end);
                Ok(Stop { at: to.0, jaw: to.1, near: done.nearest < near })
            })
            .collect::<Result<_, Declined>>()?;
        Ok((way, joints))
    });
    first_of(ways, Declined::NoTarget)
}

/// Where the lift ends, and its length.
fn lift(site: &Site<'_>, hold: &Hold, joints: Joints, at: JawPose) -> Result<(JawPose, f64), Declined> {
    let p = &site.context.params.retract;
    let (normal, up) = (hold.normal.into_inner(), hold.up.into_inner());
    // Where the tissue lies near the picture's edge, towards its middle.
    let inward =
        site.picture.and_then(|picture| picture.inward(&at.end)).map_or_else(Vector3::zeros, UnitVector3::into_inner);
    let ways = [normal + up, up, normal, up + inward, normal + inward];
    let directions: Vec<_> = ways.iter().filter_map(|d| UnitVector3::try_new(*d, 0.2)).collect();
    let from_liver = |d: &UnitVector3<f64>| hold.away.is_none_or(|away| d.dot(&away) >= 0.0);
    let away: Vec<_> = directions.into_iter().filter(from_liver).collect();
    let ways =
        [p.lift, p.lift_min].into_iter().flat_map(|length| away.iter().map(move |direction| (length, direction)));
    let lifts = ways.map(|(length, direction)| {
        let to = at.moved(direction.into_inner() * length);
        leg(site, joints, (at, to), Phase::Lift, (p.jaw_closed, p.jaw_closed)).map(|_| (to, length))
    });
    first_of(lifts, Declined::BadTarget { what: "the lift" })
}

struct Leg {
    end: Joints,
    nearest: f64,
}

/// Walks one straight leg in coarse steps, the jaws going from one angle to the other, and judges it.
fn leg(
    site: &Site<'_>,
    joints: Joints,
    (from, to): (JawPose, JawPose),
    phase: Phase,
    (shut, open): (f64, f64),
) -> Result<Leg, Declined> {
    let params = site.context.params;
    let arm = site.tool.arm;
    let path = ToolPath::new(site.tool, &params.motion, from, to, "the way");
    let mut points = vec![TrajectoryPoint { t: 0.0, position: joints, jaw: shut }];
    let mut end = joints;
    for k in 1..=COARSE {
        let s = k as f64 / COARSE as f64;
        end = path.at(s, &end)?.joints;
        points.push(TrajectoryPoint { t: k as f64, position: end, jaw: shut + s * (open - shut) });
    }
    let (coarse, sweep) = clear(site, points, phase)?;
    if let Some(picture) = site.picture {
        let tips = coarse.points().iter().filter_map(|p| site.tool.fk(&p.position).ok());
        if let Some(inside) = picture.leaves(tips.map(|tip| Point3::from(tip.translation()))) {
            return Err(Declined::OutOfPicture { arm, phase, inside, margin: params.picture.margin });
        }
    }
    for (other, capsules) in site.others {
        let clearance = sweep.nearest_capsule(capsules);
        if clearance < params.clearance.tool {
            return Err(Declined::ToolClearance { arm, other: *other, clearance, margin: params.clearance.tool });
        }
    }
    Ok(Leg { end, nearest: sweep.nearest_tissue(site.tissue) })
}

/// The arm stays; only the jaws move.
struct Still {
    tips: [Point3<f64>; 2],
}

impl Still {
    fn at(tool: &Tool, at: &JawPose) -> Self {
        Self { tips: [Point3::from(at.tip(tool).translation()), at.end] }
    }
}

impl JointPath for Still {
    fn at(&self, _s: f64, seed: &Joints) -> Result<PathPoint, Declined> {
        Ok(PathPoint { joints: *seed, tips: self.tips })
    }

    fn length(&self) -> f64 {
        0.0
    }
}

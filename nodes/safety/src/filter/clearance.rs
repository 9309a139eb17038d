//! How near an arm is to everything it keeps from, as one list of numbers, and what each of them is called.
//!
//! Looked at in full once per tick, where the arm is; of shapes near there only what can matter is measured again.

use super::{Filter, RESERVE, Rules};
use crate::{
    Finding,
    bend::Barrier,
    body::Shape,
    braking::MotionState,
    dofs::Q,
    remote_centre::RemoteCentre,
    surface::{FAR, Vicinity, probes},
    touch::Distances,
    zones::{Keepout, MAX_ZONES},
};
use proctor_types::{ArmId, Class, Constraint};

const DEPTH: usize = 0;
const ZONES: usize = 1;
const CLASSES: usize = ZONES + MAX_ZONES;
const TOOLS: usize = CLASSES + Class::COUNT;
const VIEW: usize = TOOLS + ArmId::ALL.len();
const CLEARANCES: usize = VIEW + 1;

/// Where in the list a zone is, a class of tissue, and another arm.
fn zone_at(i: usize) -> usize {
    ZONES + i
}
fn class_at(id: usize) -> usize {
    CLASSES + id
}
fn tool_at(other: ArmId) -> usize {
    TOOLS + other.index()
}

/// Clearance less margin, m, per constraint: depth, zones, tissue classes, other arms, the picture's edge.
pub(super) type Clearance = [f64; CLEARANCES];

/// Nothing is known to be clear.
const UNKNOWN: Clearance = [f64::NEG_INFINITY; CLEARANCES];

/// What an arm is near to where it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Here {
    pub q: Q,
    pub clearance: Clearance,
    pub tissue: Distances,
}

/// What is known of a shape before it is looked at: no point of it is farther than `moved`, m, from another shape of the arm, with these clearances
/// and this tissue around it. No clearance differs by more than that from there to here.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    clearance: &'a Clearance,
    vicinity: &'a Vicinity,
    moved: f64,
}

impl Filter {
    pub(super) fn here(&mut self, arm: ArmId, state: &MotionState, rules: &Rules) -> Here {
        let tissue = self.tissue(arm, state, rules);
        let clearance = match self.bodies.get(arm).shape(&state.q) {
            Some(shape) => {
                let vicinity = &self.tissue.get(arm).vicinity;
                self.clearance(arm, &shape, Known { clearance: &UNKNOWN, vicinity, moved: 0.0 }, FAR, rules)
            }
            None => UNKNOWN,
        };
        Here { q: state.q, clearance, tissue }
    }

    /// Clearances at `q`, exact where they are less than `within`, and no less than that elsewhere.
    pub(super) fn clearance_at(&self, arm: ArmId, q: &Q, here: &Here, within: f64, rules: &Rules) -> Clearance {
        let body = self.bodies.get(arm);
        let known = self.known(arm, here, body.travel(&here.q, q));
        body.shape(q).map_or(UNKNOWN, |shape| self.clearance(arm, &shape, known, within, rules))
    }

    pub(super) fn known<'a>(&'a self, arm: ArmId, here: &'a Here, moved: f64) -> Known<'a> {
        Known { clearance: &here.clearance, vicinity: &self.tissue.get(arm).vicinity, moved }
    }

    /// The same of a shape.
    pub(super) fn clearance(&self, arm: ArmId, shape: &Shape, known: Known, within: f64, rules: &Rules) -> Clearance {
        let mut h = [within; CLEARANCES];
        let near = |i: usize| known.clearance.get(i).is_none_or(|h| h - known.moved < within);
        let mut set = |i: usize, x: f64| {
            if let Some(slot) = h.get_mut(i) {
                *slot = x;
            }
        };
        set(DEPTH, shape.depth - self.least_depth(arm));
        let zones = self.zones.iter().enumerate().filter(|(i, z)| z.holds_for(arm) && near(zone_at(*i)));
        for (i, zone) in zones {
            let keep = zone.margin() + rules.policy.doubt_of_arm();
            set(zone_at(i), (zone.distance(arm, &shape.capsules, within + keep) - keep).min(within));
        }
        if let Some(scene) = self.scene.as_ref().filter(|_| (CLASSES..TOOLS).any(near)) {
            let keep = |class| rules.policy.kept(class).filter(|_| near(class_at(usize::from(class.id()))));
            let (probes, vicinity) = (probes(&shape.capsules), (known.vicinity, known.moved));
            let classes = scene.surface.clearances(&probes, vicinity, &rules.policy, within, keep);
            classes.iter().enumerate().for_each(|(id, &x)| set(class_at(id), x));
        }
        for other in ArmId::ALL.into_iter().filter(|o| *o != arm && near(tool_at(*o))) {
            let theirs = &self.sweeps.get(other).capsules;
            let pairs = shape.capsules.iter().flat_map(|a| theirs.iter().map(move |b| a.distance_to(b)));
            let d = pairs.fold(within + self.params.clearance.tool_tool, f64::min);
            set(tool_at(other), d - self.params.clearance.tool_tool);
        }
        if rules.watched
            && near(VIEW)
            && let Some((inside, _)) = self.lookout.clearance(arm, &shape.frame)
        {
            set(VIEW, inside.min(within));
        }
        h
    }

    pub(super) fn least_depth(&self, arm: ArmId) -> f64 {
        let c = &self.params.clearance;
        if arm.has_jaw() { c.psm_depth } else { c.ecm_depth }
    }

    /// Names what stands in the way most, with the distance it has now.
    pub(super) fn finding(
        &self,
        arm: ArmId,
        here: &Clearance,
        middle: &Clearance,
        end: &Clearance,
        rules: &Rules,
    ) -> Finding {
        let ahead = map_min(middle, end);
        let (i, _) = ahead.iter().enumerate().fold((0, f64::INFINITY), |w, (i, &h)| if h < w.1 { (i, h) } else { w });
        self.named(arm, i, here, rules)
    }

    pub(super) fn barred(&self, arm: ArmId, barrier: Barrier, here: &Clearance, rules: &Rules) -> Finding {
        let i = match barrier {
            Barrier::Zone(i) => zone_at(i),
            Barrier::Tissue(class) => class_at(usize::from(class.id())),
            Barrier::Tool(other) => tool_at(other),
        };
        self.named(arm, i, here, rules)
    }

    /// Names clearance number `i`.
    fn named(&self, arm: ArmId, i: usize, here: &Clearance, rules: &Rules) -> Finding {
        let now = here.get(i).copied().unwrap_or(0.0);
        let doubt = rules.policy.doubt_of_arm();
        let named = |constraint, limit: f64, index: usize| Finding::of(arm, constraint, now + limit, limit).at(index);
        if i >= VIEW {
            let whose = if arm.has_jaw() { arm } else { self.lookout.nearest().unwrap_or(arm) };
            named(Constraint::OutOfView, self.lookout.margin(), whose.index())
        } else if i >= TOOLS {
            named(Constraint::ToolToolDistance, self.params.clearance.tool_tool, i - TOOLS)
        } else if i >= CLASSES {
            let keep = rules.policy.keep.get(i - CLASSES).copied().flatten().unwrap_or(0.0);
            named(Constraint::LiveSurface, keep + rules.policy.doubt(0.0), i - CLASSES)
        } else if i >= ZONES {
            let margin = self.zones.get(i - ZONES).map_or(0.0, Keepout::margin);
            named(Constraint::NoGoZone, margin + doubt, i - ZONES)
        } else {
            Finding::of(arm, Constraint::RemoteCentre, now + self.least_depth(arm), self.least_depth(arm))
        }
    }

    /// What is nearest to limiting an arm at `q`, with the distance now and the one that is kept; its depth, when nothing else is near. For reports.
    pub fn nearest(&self, arm: ArmId, q: &Q, rules: &Rules) -> Finding {
        let shape = self.bodies.get(arm).shape(q);
        let nothing = Known { clearance: &UNKNOWN, vicinity: &Vicinity::default(), moved: 0.0 };
        let here = shape.map_or(UNKNOWN, |shape| self.clearance(arm, &shape, nothing, FAR, rules));
        let near = here.map(|h| if h < FAR { h } else { f64::INFINITY });
        let nearest = self.finding(arm, &here, &near, &near, rules);
        let body = self.bodies.get(arm);
        let offset = body.remote_centre().map(|_| body.off_trocar(RemoteCentre::offset(body.chain(), q)));
        offset.filter(|f| f.margin() < nearest.margin()).unwrap_or(nearest)
    }
}

pub(super) fn map_min(a: &Clearance, b: &Clearance) -> Clearance {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(x, &y)| *x = x.min(y));
    out
}

/// Whether a clearance at the middle of a path suffices for all of it: no point moves farther than `half` from there, and the
/// depth, which depends on the insertion alone, changes by no more than `half_depth`.
pub(super) fn keeps(at: &Clearance, half: f64, half_depth: f64) -> bool {
    at.iter().enumerate().all(|(i, &h)| h - if i == DEPTH { half_depth } else { half } >= RESERVE)
}

#[cfg(test)]
#[path = "clearance_tests.rs"]
mod clearance_tests;

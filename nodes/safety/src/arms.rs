//! What the core knows of each arm: what was measured, what was asked, what was sent.

use crate::{
    Finding, SafetyParams,
    braking::MotionState,
    dofs::{self, Bounds, Layout, N, Q},
    smooth::Smoother,
};
use nalgebra::Vector3;
use proctor_types::{
    ArmForce, ArmId, ArmJoints, ArmStatus, Constraint, Jaw, JointCommand, OperatingState, Stamp, StateRequest,
};
use std::time::Duration;

/// An arm that was asked to enable or home is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How much of its speed an arm may lag behind its set-point, s: latency of the arm, not a fault.
const LAG: f64 = 0.1;
/// Decay per tick of the speed that [`LAG`] is applied to.
const FADE: f64 = 0.99;
/// Time over which the rate of a force is counted, s: shorter, noise would be a blow.
const RATE_SPAN: f64 = 0.009;
/// How far ahead of the clock a stamp may be, s.
const AHEAD: f64 = 0.02;

/// A teleoperation goal.
#[derive(Debug, Clone, Copy)]
struct Goal {
    stamp: Stamp,
    joints: Option<Q>,
    jaw: Option<f64>,
}

/// One arm.
#[derive(Debug, Clone)]
pub struct Arm {
    id: ArmId,
    layout: Layout,
    measured: Option<ArmJoints>,
    jaw: Option<Jaw>,
    status: Option<ArmStatus>,
    /// What the filter decided last, while the gate is open for this arm.
    pub motion: Option<MotionState>,
    smoother: Smoother,
    /// Last set-point sent, kept while the gate is closed.
    last_sent: Option<Q>,
    last_command: Option<Stamp>,
    last_jaw_command: Option<Stamp>,
    goal: Option<Goal>,
    recent_speed: Q,
    asked: Option<Stamp>,
    pressed: Option<Pressed>,
}

/// What an arm measures of contact.
#[derive(Debug, Clone, Copy)]
struct Pressed {
    newest: ArmForce,
    /// What the rate is counted from.
    since: ArmForce,
    /// How fast the force changed last, N/s.
    rate: f64,
}

/// Tolerances per degree of freedom of an arm.
#[derive(Debug, Clone, Copy)]
pub struct Tolerances {
    /// Of a teleoperation goal from the set-point.
    pub jump: Q,
    /// Of an approved motion's start from the set-point.
    pub start: Q,
    /// Of a measured joint from the set-point.
    pub following: Q,
    /// Of a measured rate at rest.
    pub rest: Q,
}

impl Tolerances {
    /// From the configuration. The jaw may jump and lag: it is small, and what it grasps holds it back.
    pub fn new(params: &SafetyParams, layout: &Layout) -> Self {
        let m = &params.motion;
        let spread = |angular: f64, linear: f64, jaw: f64| {
            let mut q = layout.slides.map(|slides| if slides { linear } else { angular });
            layout.set_jaw(&mut q, jaw);
            q
        };
        Self {
            jump: spread(m.jump_angular, m.jump_linear, 4.0),
            start: spread(m.start_angular, m.start_linear, 0.3),
            following: spread(m.following_angular, m.following_linear, f64::INFINITY),
            rest: spread(m.rest_angular, m.rest_linear, f64::INFINITY),
        }
    }
}

impl Arm {
    /// Nothing known.
    pub fn new(id: ArmId, bounds: &Bounds) -> Self {
        Self {
            id,
            layout: bounds.layout,
            smoother: Smoother::new(bounds),
            measured: None,
            jaw: None,
            status: None,
            motion: None,
            last_sent: None,
            last_command: None,
            last_jaw_command: None,
            goal: None,
            recent_speed: [0.0; N],
            asked: None,
            pressed: None,
        }
    }

    /// A measured force arrived.
    pub fn feel(&mut self, f: ArmForce, now: Stamp) -> Result<(), Finding> {
        newer(self.id, self.pressed.map(|p| p.newest.stamp), f.stamp, now)?;
        let before = self.pressed.unwrap_or(Pressed { newest: f, since: f, rate: 0.0 });
        let span = f.stamp.seconds_since(before.since.stamp);
        self.pressed = Some(if span >= RATE_SPAN {
            Pressed { newest: f, since: f, rate: (f.force - before.since.force).norm() / span }
        } else {
            Pressed { newest: f, ..before }
        });
        Ok(())
    }

    /// The force that is measured, N, in the arm's base; `None` for an arm that never measured any.
    pub fn force(&self) -> Option<Vector3<f64>> {
        self.pressed.map(|p| p.newest.force)
    }

    /// How fast it changes, N/s.
    pub fn force_rate(&self) -> f64 {
        self.pressed.map_or(0.0, |p| p.rate)
    }

    /// Its age, s, for an arm that has measured forces.
    pub fn force_age(&self, now: Stamp) -> Option<f64> {
        self.pressed.map(|p| now.seconds_since(p.newest.stamp).max(0.0))
    }

    /// Measured joints arrived. Older than what is known, or from the future: refused.
    pub fn measure(&mut self, m: ArmJoints, now: Stamp) -> Result<(), Finding> {
        self.fits(m.position.len())?;
        self.fits(m.velocity.len())?;
        newer(self.id, self.measured.map(|m| m.stamp), m.stamp, now)?;
        self.measured = Some(m);
        Ok(())
    }

    /// Refuses joints of another arm's number.
    fn fits(&self, joints: usize) -> Result<(), Finding> {
        let wanted = self.layout.joints;
        if joints == wanted {
            return Ok(());
        }
        Err(Finding::of(self.id, Constraint::Malformed, joints as f64, wanted as f64))
    }

    /// The jaw's angle arrived.
    pub fn measure_jaw(&mut self, j: Jaw, now: Stamp) -> Result<(), Finding> {
        newer(self.id, self.jaw.map(|j| j.stamp), j.stamp, now)?;
        self.jaw = Some(j);
        Ok(())
    }

    /// The arm's state arrived.
    pub fn report(&mut self, status: ArmStatus) {
        self.status = Some(status);
    }

    /// Whether the arm says it follows commands.
    pub fn is_ready(&self) -> bool {
        self.status.is_some_and(|s| s.is_ready())
    }

    /// Age of the oldest measurement needed, s; infinite when there is none.
    pub fn kinematics_age(&self, now: Stamp) -> f64 {
        let age = |stamp: Option<Stamp>| stamp.map_or(f64::INFINITY, |s| now.seconds_since(s).max(0.0));
        let joints = age(self.measured.map(|m| m.stamp));
        if self.layout.jaw { joints.max(age(self.jaw.map(|j| j.stamp))) } else { joints }
    }

    /// Joints and jaw as measured.
    pub fn measured(&self) -> Option<Q> {
        let m = self.measured?;
        let jaw = if self.layout.jaw { self.jaw?.position } else { 0.0 };
        Some(self.layout.pack(&m.position, jaw))
    }

    /// Whether set-point and, if it is fresh, measurement rest.
    pub fn rests(&self, now: Stamp, fresh: f64, rest: &Q) -> bool {
        let measured_rests = match self.measured {
            Some(m) if now.seconds_since(m.stamp) <= fresh => {
                dofs::worst_ratio(&self.layout.pack(&m.velocity, 0.0), rest) <= 1.0
            }
            _ => true,
        };
        measured_rests && self.stands()
    }

    /// Whether the set-point stands still: it rests where the filter decided that it shall.
    pub fn stands(&self) -> bool {
        self.motion.is_none_or(|m| m.rests() && self.smoother.settled())
    }

    /// Set-point sent last, while the gate is open.
    pub fn set_point(&self) -> Option<Q> {
        self.motion.and(self.last_sent)
    }

    /// What is sent when the filter decides `q`.
    pub fn smoothed(&self, q: &Q) -> Q {
        self.smoother.next(q)
    }

    /// Which joint lags more than it may, with how much and the limit.
    pub fn following_error(&self, following: &Q) -> Option<Finding> {
        let (set, measured) = (self.set_point()?, self.measured()?);
        let off = dofs::map2(&set, &measured, |a, b| (a - b).abs());
        let allowed = dofs::map2(following, &self.recent_speed, |f, v| f + LAG * v);
        let j = dofs::worst_index(&off, &allowed);
        let (value, limit) = (off.get(j).copied()?, allowed.get(j).copied()?);
        (value > limit).then(|| Finding::of(self.id, Constraint::FollowingError, value, limit).at(j))
    }

    /// The gate opens: the set-point starts at rest where the arm is - at the last set-point if the arm is still there.
    pub fn engage(&mut self, tolerance: &Q) -> Option<Q> {
        let measured = self.measured()?;
        let start = match self.last_sent {
            Some(sent) if dofs::worst_ratio(&dofs::map2(&sent, &measured, |a, b| a - b), tolerance) <= 1.0 => sent,
            _ => measured,
        };
        self.rest_at(&start);
        (self.goal, self.last_command, self.last_jaw_command) = (None, None, None);
        self.recent_speed = [0.0; N];
        Some(start)
    }

    /// The set-point rests at `q` from now on.
    pub fn rest_at(&mut self, q: &Q) {
        self.motion = Some(MotionState::resting(*q));
        self.smoother.rest_at(q);
        self.last_sent = Some(*q);
    }

    /// The gate closes: no set-point until the next [`Arm::engage`].
    pub fn release(&mut self) {
        self.motion = None;
        self.goal = None;
    }

    /// The filter decided `state`, and its smoothed set-point was sent.
    pub fn sent(&mut self, state: MotionState) {
        self.last_sent = Some(self.smoother.next(&state.q));
        self.smoother.push(&state.q);
        self.motion = Some(state);
        self.recent_speed = dofs::map2(&self.recent_speed, &state.v, |s, v| (s * FADE).max(v.abs()));
    }

    /// A teleoperation goal for the joints. Stale, repeated, future and far-off ones are refused, and then the last goal is dropped too.
    pub fn command(&mut self, c: &JointCommand, now: Stamp, max_age: f64, jump: &Q) -> Result<(), Finding> {
        self.fits(c.position.len())?;
        admit_command(self.id, self.last_command, c.stamp, now, max_age)?;
        self.last_command = Some(c.stamp);
        let Some(motion) = self.motion else { return Err(Finding::of(self.id, Constraint::WrongMode, 0.0, 1.0)) };
        let goal = self.layout.pack(&c.position, self.layout.jaw(&motion.q));
        let off = dofs::map2(&goal, &motion.q, |a, b| a - b);
        let j = dofs::worst_index(&off, jump);
        let (value, limit) = (off.get(j).copied().unwrap_or(0.0).abs(), jump.get(j).copied().unwrap_or(0.0));
        if value > limit {
            self.goal = None;
            return Err(Finding::of(self.id, Constraint::Jump, value, limit).at(j));
        }
        self.goal = Some(Goal { stamp: c.stamp, joints: Some(goal), jaw: self.goal.and_then(|g| g.jaw) });
        Ok(())
    }

    /// A teleoperation goal for the jaw. The jaw alone keeps no arm going: its age does not count for the watchdog.
    pub fn command_jaw(&mut self, c: &Jaw, now: Stamp, max_age: f64) -> Result<(), Finding> {
        admit_command(self.id, self.last_jaw_command, c.stamp, now, max_age)?;
        self.last_jaw_command = Some(c.stamp);
        let Some(goal) = &mut self.goal else {
            self.goal = Some(Goal { stamp: c.stamp, joints: None, jaw: Some(c.position) });
            return Ok(());
        };
        goal.jaw = Some(c.position);
        if goal.joints.is_none() {
            goal.stamp = c.stamp;
        }
        Ok(())
    }

    /// Where teleoperation wants the arm, if it wants anything.
    pub fn goal(&self) -> Option<Q> {
        let (goal, motion) = (self.goal?, self.motion?);
        let mut q = goal.joints.unwrap_or(motion.q);
        if let Some(jaw) = goal.jaw {
            self.layout.set_jaw(&mut q, jaw);
        }
        Some(q)
    }

    /// Age of the teleoperation goal, s; `None` while there is none.
    pub fn command_age(&self, now: Stamp) -> Option<f64> {
        self.goal.map(|g| now.seconds_since(g.stamp))
    }

    /// Drops the teleoperation goal.
    pub fn forget_goal(&mut self) {
        self.goal = None;
    }

    /// What to ask of the arm's own state machine so that it becomes ready, not more often than every half second.
    pub fn wants(&mut self, now: Stamp) -> Option<StateRequest> {
        let request = match self.status {
            None => StateRequest::Enable,
            Some(s) => match s.state {
                OperatingState::Disabled => StateRequest::Enable,
                OperatingState::Paused => StateRequest::Resume,
                OperatingState::Enabled if !s.is_homed && !s.is_busy => StateRequest::Home,
                OperatingState::Enabled | OperatingState::Fault => return None,
            },
        };
        if self.asked.is_some_and(|asked| lately(asked, now, ASK_AGAIN)) {
            return None;
        }
        self.asked = Some(now);
        Some(request)
    }

    /// Forgets when the arm was asked, so that [`Arm::wants`] asks at once.
    pub fn ask_at_once(&mut self) {
        self.asked = None;
    }
}

/// Whether `then` is less than `span` ago. What lies ahead, by a clock that was set back, is not.
pub(crate) fn lately(then: Stamp, now: Stamp, span: Duration) -> bool {
    then <= now && then.age(now) < span
}

/// Refuses a measurement that is not newer than the last, or stamped ahead of the clock.
fn newer(arm: ArmId, last: Option<Stamp>, stamp: Stamp, now: Stamp) -> Result<(), Finding> {
    let ahead = stamp.seconds_since(now);
    if ahead > AHEAD {
        return Err(Finding::of(arm, Constraint::ClockJump, ahead, AHEAD));
    }
    match last {
        Some(last) if stamp <= last => Err(Finding::of(arm, Constraint::Sequence, stamp.seconds_since(last), 0.0)),
        _ => Ok(()),
    }
}

fn admit_command(arm: ArmId, last: Option<Stamp>, stamp: Stamp, now: Stamp, max_age: f64) -> Result<(), Finding> {
    newer(arm, last, stamp, now)?;
    let age = now.seconds_since(stamp);
    if age > max_age {
        return Err(Finding::of(arm, Constraint::CommandStale, age, max_age));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;
    use proctor_types::Joints;

    const ID: ArmId = ArmId::Psm1;
    const YAW: usize = 0;

    fn at(ms: u64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_millis(1000 + ms))
    }

    fn arm() -> (Arm, Tolerances) {
        let params = SafetyParams::default();
        let bounds = Bounds::new(ID, Body::configured(ID, &params).unwrap().chain().limits(), &params);
        (Arm::new(ID, &bounds), Tolerances::new(&params, &bounds.layout))
    }

    fn joints(yaw: f64) -> Joints {
        Joints::new(&[yaw, 0.0, 0.0, 0.0, 0.0, 0.0]).unwrap()
    }

    fn yaw(by: f64) -> Q {
        let mut q = [0.0; N];
        q[YAW] = by;
        q
    }

    /// At this place with this speed.
    fn measure(a: &mut Arm, ms: u64, place: f64, speed: f64) -> Result<(), Finding> {
        let m = ArmJoints { arm: ID, stamp: at(ms), position: joints(place), velocity: joints(speed) };
        a.measure(m, at(ms))?;
        a.measure_jaw(Jaw { arm: ID, stamp: at(ms), position: 0.0 }, at(ms))
    }

    fn named(taken: Result<(), Finding>) -> Option<Constraint> {
        taken.err().map(|f| f.constraint)
    }

    #[test]
    fn an_arm_rests_when_neither_its_set_point_nor_a_fresh_measurement_moves() {
        let (mut a, t) = arm();
        let limit = t.rest[YAW];
        assert!(a.rests(at(0), 0.03, &t.rest), "nothing known of it");
        for (i, (speed, rests)) in
            [(0.0, true), (limit, true), (1.01 * limit, false), (-2.0 * limit, false)].into_iter().enumerate()
        {
            let ms = 100 * (i as u64 + 1);
            measure(&mut a, ms, 0.0, speed).unwrap();
            let fresh = at(ms + 30).seconds_since(at(ms));
            assert_eq!(a.rests(at(ms), fresh, &t.rest), rests, "{speed}");
            assert_eq!(a.rests(at(ms + 30), fresh, &t.rest), rests, "{speed}, just fresh");
            assert!(a.rests(at(ms + 31), fresh, &t.rest), "{speed}, too old to speak");
        }
        measure(&mut a, 1000, 0.0, 0.0).unwrap();
        a.rest_at(&yaw(0.0));
        assert!(a.rests(at(1000), 0.03, &t.rest));
        a.sent(MotionState { q: yaw(1e-4), v: yaw(0.1) });
        assert!(!a.rests(at(1000), 0.03, &t.rest), "the set-point moves");
    }

    #[test]
    fn the_gate_opens_where_the_arm_was_sent_last_if_it_is_still_there_and_else_where_it_is() {
        // Away from zero the offset is rounded.
        let exactly = [(0.0, 0.0, true), (0.0, 1.0, true), (0.0, -1.0, true)];
        let nearly =
            [0.0, 0.3].map(|sent| [(sent, 0.99, true), (sent, -0.99, true), (sent, 1.01, false), (sent, -1.01, false)]);
        for (sent, off, kept) in exactly.into_iter().chain(nearly.into_iter().flatten()) {
            let (mut a, t) = arm();
            assert_eq!(a.engage(&t.start), None, "nobody knows where it is");
            a.rest_at(&yaw(sent));
            a.release();
            let place = sent + off * t.start[YAW];
            measure(&mut a, 0, place, 0.0).unwrap();
            let start = a.engage(&t.start).unwrap();
            assert_eq!(
                (start, a.set_point()),
                (yaw(if kept { sent } else { place }), Some(start)),
                "{off} from {sent}"
            );
        }
    }

    #[test]
    fn an_arm_may_lag_by_its_tolerance_and_by_what_it_moved_in_a_tenth_of_a_second() {
        for (off, lags) in [(1.0, false), (-1.0, false), (1.001, true), (-1.001, true)] {
            let (mut a, t) = arm();
            a.rest_at(&yaw(0.0));
            let place = off * t.following[YAW];
            measure(&mut a, 0, place, 0.0).unwrap();
            let finding = a.following_error(&t.following);
            assert_eq!(
                finding.map(|f| (f.constraint, f.index, f.value)),
                lags.then_some((Constraint::FollowingError, 0, place.abs()))
            );
            a.sent(MotionState { q: yaw(0.0), v: yaw(0.05) });
            assert_eq!(a.following_error(&t.following), None, "it was just told to move");
        }
    }

    #[test]
    fn goals_are_taken_as_far_as_they_may_jump_and_what_is_refused_for_its_distance_takes_the_last_one_with_it() {
        let (mut a, t) = arm();
        let limit = t.jump[YAW];
        let command = |a: &mut Arm, ms: u64, goal: f64| {
            named(a.command(&JointCommand { arm: ID, stamp: at(ms), position: joints(goal) }, at(ms), 0.1, &t.jump))
        };
        assert_eq!(command(&mut a, 0, 0.0), Some(Constraint::WrongMode), "the gate is closed");
        a.rest_at(&yaw(0.0));
        for (i, (goal, refused)) in
            [(limit, false), (1.001 * limit, true), (-limit, false), (-1.001 * limit, true)].into_iter().enumerate()
        {
            assert_eq!(command(&mut a, i as u64 + 1, goal), refused.then_some(Constraint::Jump), "{goal}");
            assert_eq!(a.goal(), (!refused).then_some(yaw(goal)));
        }
        assert_eq!(command(&mut a, 10, 0.01), None);
        a.forget_goal();
        assert_eq!((a.goal(), a.command_age(at(20))), (None, None));
    }

    #[test]
    fn commands_and_measurements_that_are_old_repeated_or_early_are_refused() {
        let (mut a, t) = arm();
        a.rest_at(&yaw(0.0));
        let age = at(100).seconds_since(at(0));
        let mut each = 0;
        for (ms, now, refused) in [
            (100, 200, None),
            (100, 100, Some(Constraint::Sequence)),
            (99, 99, Some(Constraint::Sequence)),
            (101, 202, Some(Constraint::CommandStale)),
            (320, 300, None),
            (321, 300, Some(Constraint::ClockJump)),
        ] {
            each += 1;
            let jaw = Jaw { arm: ID, stamp: at(ms), position: 0.1 * f64::from(each) };
            let c = JointCommand { arm: ID, stamp: at(ms), position: joints(0.0) };
            assert_eq!(named(a.command(&c, at(now), age, &t.jump)), refused, "{ms} at {now}");
            assert_eq!(named(a.command_jaw(&jaw, at(now), age)), refused, "{ms} at {now}, jaw");
        }
        assert_eq!(measure(&mut a, 5, 0.0, 0.0), Ok(()));
        assert_eq!(named(measure(&mut a, 5, 0.0, 0.0)), Some(Constraint::Sequence));
    }

    #[test]
    fn the_jaw_follows_its_own_goal_and_keeps_no_arm_going() {
        let (mut a, t) = arm();
        a.rest_at(&yaw(0.0));
        let jaw = |ms: u64, position: f64| Jaw { arm: ID, stamp: at(ms), position };
        let opened = |q: Q, jaw: f64| {
            let mut q = q;
            q[6] = jaw;
            q
        };
        a.command_jaw(&jaw(1, 0.3), at(1), 0.1).unwrap();
        assert_eq!((a.goal(), a.command_age(at(11))), (Some(opened(yaw(0.0), 0.3)), Some(at(10).seconds_since(at(0)))));
        a.command_jaw(&jaw(5, 0.4), at(5), 0.1).unwrap();
        assert_eq!(a.command_age(at(5)), Some(0.0), "alone, its own age counts");
        a.command(&JointCommand { arm: ID, stamp: at(6), position: joints(0.01) }, at(6), 0.1, &t.jump).unwrap();
        a.command_jaw(&jaw(9, 0.5), at(9), 0.1).unwrap();
        assert_eq!(a.goal(), Some(opened(yaw(0.01), 0.5)));
        assert_eq!(a.command_age(at(9)), Some(at(9).seconds_since(at(6))), "beside the joints' it does not");
    }

    #[test]
    fn an_arm_is_asked_every_half_second_for_what_it_needs() {
        let (mut a, _) = arm();
        let status = |state, is_homed, is_busy| ArmStatus { arm: ID, stamp: at(0), state, is_homed, is_busy };
        let asked = |a: &mut Arm, times: &[u64]| times.iter().map(|&ms| a.wants(at(ms)).is_some()).collect::<Vec<_>>();
        assert_eq!(asked(&mut a, &[1000, 1000, 1499, 1500, 900, 901]), [true, false, false, true, true, false]);
        a.ask_at_once();
        assert_eq!(asked(&mut a, &[902]), [true]);
        for (state, is_homed, is_busy, wants) in [
            (OperatingState::Disabled, false, false, Some(StateRequest::Enable)),
            (OperatingState::Paused, true, false, Some(StateRequest::Resume)),
            (OperatingState::Enabled, false, false, Some(StateRequest::Home)),
            (OperatingState::Enabled, false, true, None),
            (OperatingState::Enabled, true, false, None),
            (OperatingState::Fault, false, false, None),
        ] {
            a.report(status(state, is_homed, is_busy));
            a.ask_at_once();
            assert_eq!(a.wants(at(2000)), wants, "{state:?}");
        }
    }
}

//! What comes into the core and what comes out of it, bounded.

use crate::{Cleared, LiveZones, MAX_VERDICTS, SetPoint, plan::Plan, report::Margins, surface::LiveScene};
use arrayvec::ArrayVec;
use proctor_seal::Verified;
use proctor_types::{
    ArmForce, ArmJoints, ArmStatus, Decision, Jaw, JointCommand, OperatorRequest, Presence, RequestKind, SafetyState,
    StateCommand, Verdict, Withdrawal,
};

/// Most events of one tick; what does not fit waits in its queue for the next.
pub const MAX_EVENTS: usize = 64;

/// Most things that a tick disposes of: one per event, and one more for the motion that ends.
const MAX_SPENT: usize = MAX_EVENTS + 1;
const _: () = assert!(MAX_SPENT > MAX_EVENTS);

/// One thing that happened since the last tick.
#[derive(Debug)]
pub enum Event {
    /// CRTK `measured_js`.
    Joints(ArmJoints),
    /// CRTK `jaw/measured_js`.
    Jaw(Jaw),
    /// CRTK `spatial/measured_cf`.
    Force(ArmForce),
    /// CRTK `operating_state`.
    Status(ArmStatus),
    /// A teleoperation goal.
    Teleop(JointCommand),
    /// A teleoperation goal for the jaw.
    TeleopJaw(Jaw),
    /// A scene, prepared.
    Scene(Box<LiveScene>),
    /// A proposal, prepared.
    Plan(Box<Plan>),
    /// Zones, prepared, in place of those that hold.
    Zones(Box<LiveZones>),
    /// A message that could not be understood (NaN, wrong length, wrong frame, stamp 0) or whose seal is not believed, or a proposal
    /// that could not be prepared.
    Refused(crate::Finding),
    /// Autonomy took a proposal back.
    Withdrawal(Withdrawal),
    /// Somebody wants everything to stop: needs no name and no proof.
    EStop,
    /// An operator decided.
    Decision(Verified<Decision>),
    /// An operator holds, or lets go.
    Presence(Verified<Presence>),
    /// An operator asks.
    Request(Verified<OperatorRequest>),
    /// The e-stop line of the cell is pressed (`true`) or released.
    EStopLine(bool),
}

impl Event {
    /// Whether it asks for an e-stop, with proof or without.
    pub(crate) fn is_e_stop(&self) -> bool {
        match self {
            Self::EStop => true,
            Self::Request(r) => r.kind == RequestKind::EStop,
            _ => false,
        }
    }
}

/// Events of one tick, in order of arrival.
pub type Events = ArrayVec<Event, MAX_EVENTS>;

/// Memory the core no longer needs, handed out so that the real-time thread frees nothing.
#[derive(Debug)]
pub enum Spent {
    /// A scene.
    Scene(Box<LiveScene>),
    /// A plan.
    Plan(Box<Plan>),
    /// Zones.
    Zones(Box<LiveZones>),
}

/// What one tick produced.
#[derive(Debug, Default)]
pub struct Output {
    /// Set-points for the arms, cleared.
    pub commands: ArrayVec<Cleared<SetPoint>, 3>,
    /// What is asked of the arms' own state machines.
    pub arm_requests: ArrayVec<StateCommand, 3>,
    /// Judgements to be published.
    pub verdicts: ArrayVec<Verdict, MAX_VERDICTS>,
    /// The node's state, when it is due or changed.
    pub state: Option<SafetyState>,
    /// The nearest limit of every arm, once a second.
    pub margins: Option<Margins>,
    /// An operator wants the zones file read again; what is in it comes back as [`Event::Zones`].
    pub read_zones: bool,
    /// Version of the zones that hold since this tick, if they changed in it.
    pub zones: Option<u64>,
    /// To be dropped by somebody with time.
    pub spent: ArrayVec<Spent, MAX_SPENT>,
}

impl Output {
    pub(crate) fn clear(&mut self) {
        self.commands.clear();
        self.arm_requests.clear();
        self.verdicts.clear();
        self.state = None;
        self.margins = None;
        self.read_zones = false;
        self.zones = None;
        // Whoever steps drains `spent`; what is left is dropped here, which costs time but loses nothing.
        self.spent.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_asks_for_an_e_stop_without_a_name_is_one_and_the_cells_line_is_not() {
        assert!(Event::EStop.is_e_stop());
        for pressed in [true, false] {
            assert!(!Event::EStopLine(pressed).is_e_stop(), "the machine hears of it as a cause that lasts");
        }
    }
}

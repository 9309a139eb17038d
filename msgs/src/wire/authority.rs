//! Proposals, decisions, presence, requests: every bit of a motion survives, and its digest is checked on arrival.

use super::arm::{arm, read_arm, read_joints};
use super::fields::{bounded_text, cut, each, finite, index, range, specified, stamp, time};
use super::scene::{class, read_class};
use super::{ConvertError, Origin, Problem, Wire};
use crate::proctor_msgs as msg;
use proctor_types::{
    Boot, Decision, DecisionKind, Digest, Evidence, OperatorId, OperatorRequest, PlannedWith, Presence, Proposal,
    ProposalId, RequestKind, Seal, Sealed, SessionId, Skill, SkillRequest, Stamp, Trajectory, TrajectoryPoint,
    Withdrawal,
};

/// Bound of `Evidence.summary`, bytes.
const MAX_SUMMARY: usize = 1024;
/// In wire order.
const DECISIONS: [DecisionKind; 2] = [DecisionKind::Approve, DecisionKind::Reject];

fn write_seal(s: &Seal) -> msg::Seal {
    msg::Seal { session: s.session.0, expires: time(s.expires), boot: s.boot.0, tag: s.tag }
}

fn read_seal(m: &msg::Seal) -> Result<Seal, ConvertError> {
    let expires = stamp("expires", &m.expires).map_err(|e| e.within("seal"))?;
    Ok(Seal { session: SessionId(m.session), expires, boot: Boot(m.boot), tag: m.tag })
}

fn skill(s: Skill) -> msg::Skill {
    msg::Skill { value: index(&Skill::ALL, &s) + 1 }
}

fn read_skill(m: &msg::Skill) -> Result<Skill, ConvertError> {
    specified("skill", &Skill::ALL, m.value)
}

fn trajectory(t: &Trajectory) -> msg::Trajectory {
    let point = |p: &TrajectoryPoint| msg::TrajectoryPoint { t: p.t, position: p.position.to_vec(), jaw: p.jaw };
    msg::Trajectory { arm: arm(t.arm()), points: t.points().iter().map(point).collect() }
}

fn read_trajectory(m: &msg::Trajectory) -> Result<Trajectory, ConvertError> {
    let arm = read_arm("arm", &m.arm)?;
    let points = each("points", &m.points, Trajectory::MAX_POINTS, |p| {
        Ok(TrajectoryPoint {
            t: finite("t", p.t)?,
            position: read_joints("position", arm, &p.position)?,
            jaw: finite("jaw", p.jaw)?,
        })
    })?;
    Trajectory::new(arm, points).map_err(|e| ConvertError::new("points", e.into()))
}

fn evidence(e: &Evidence) -> msg::Evidence {
    msg::Evidence {
        summary: cut(&e.summary, MAX_SUMMARY),
        confidence: e.confidence,
        has_clearance: e.smallest_clearance.is_some(),
        smallest_clearance: e.smallest_clearance.unwrap_or(0.0),
        clearance_class: class(e.clearance_class),
    }
}

fn read_evidence(m: &msg::Evidence) -> Result<Evidence, ConvertError> {
    let clearance = finite("smallest_clearance", m.smallest_clearance)?;
    Ok(Evidence {
        summary: bounded_text("summary", &m.summary, MAX_SUMMARY)?,
        confidence: range("confidence", m.confidence, 0.0, 1.0)?,
        smallest_clearance: m.has_clearance.then_some(clearance),
        clearance_class: read_class("clearance_class", &m.clearance_class)?,
    })
}

impl Wire for Proposal {
    type Msg = msg::Proposal;

    fn encode(&self) -> Self::Msg {
        msg::Proposal {
            stamp: time(self.stamp),
            id: self.id.0,
            expires: time(self.expires),
            skill: skill(self.skill),
            trajectory: trajectory(&self.trajectory),
            planned_with: msg::PlannedWith {
                model: self.planned_with.model.0,
                hand_eye: self.planned_with.hand_eye,
                zones: self.planned_with.zones,
            },
            evidence: evidence(&self.evidence),
            digest: self.digest().0,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let proposal = Self {
            id: ProposalId(m.id),
            stamp: stamp("stamp", &m.stamp)?,
            expires: stamp("expires", &m.expires)?,
            skill: read_skill(&m.skill)?,
            trajectory: read_trajectory(&m.trajectory).map_err(|e| e.within("trajectory"))?,
            planned_with: PlannedWith {
                model: Digest(m.planned_with.model),
                hand_eye: m.planned_with.hand_eye,
                zones: m.planned_with.zones,
            },
            evidence: read_evidence(&m.evidence).map_err(|e| e.within("evidence"))?,
        };
        let (got, computed) = (Digest(m.digest), proposal.digest());
        if got == computed { Ok(proposal) } else { Err(ConvertError::new("digest", Problem::Digest { got, computed })) }
    }
}

impl Wire for Withdrawal {
    type Msg = msg::Withdrawal;

    fn encode(&self) -> Self::Msg {
        msg::Withdrawal { stamp: time(self.stamp), proposal: self.proposal.0, digest: self.digest.0 }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let stamp = stamp("stamp", &m.stamp)?;
        Ok(Self { stamp, proposal: ProposalId(m.proposal), digest: Digest(m.digest) })
    }
}

impl Wire for Sealed<Decision> {
    type Msg = msg::Decision;

    fn encode(&self) -> Self::Msg {
        let Self { body, seal } = self;
        msg::Decision {
            stamp: time(body.stamp),
            seq: body.seq,
            operator_id: body.operator.0,
            proposal: body.proposal.0,
            digest: body.digest.0,
            kind: index(&DECISIONS, &body.kind) + 1,
            seal: write_seal(seal),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let body = Decision {
            stamp: stamp("stamp", &m.stamp)?,
            seq: m.seq,
            operator: OperatorId(m.operator_id),
            proposal: ProposalId(m.proposal),
            digest: Digest(m.digest),
            kind: specified("kind", &DECISIONS, m.kind)?,
        };
        Ok(Self { body, seal: read_seal(&m.seal)? })
    }
}

impl Wire for Sealed<Presence> {
    type Msg = msg::Presence;

    fn encode(&self) -> Self::Msg {
        let Self { body, seal } = self;
        msg::Presence {
            stamp: time(body.stamp),
            seq: body.seq,
            operator_id: body.operator.0,
            held: body.held,
            digest: body.digest.0,
            seal: write_seal(seal),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let body = Presence {
            stamp: stamp("stamp", &m.stamp)?,
            seq: m.seq,
            operator: OperatorId(m.operator_id),
            held: m.held,
            digest: Digest(m.digest),
        };
        Ok(Self { body, seal: read_seal(&m.seal)? })
    }
}

impl Wire for Sealed<OperatorRequest> {
    type Msg = msg::OperatorRequest;

    fn encode(&self) -> Self::Msg {
        let Self { body, seal } = self;
        msg::OperatorRequest {
            stamp: time(body.stamp),
            seq: body.seq,
            operator_id: body.operator.0,
            kind: index(&RequestKind::ALL, &body.kind) + 1,
            seal: write_seal(seal),
        }
    }

    /// An e-stop is one whatever else the message holds: of all its fields only the kind is needed.
    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let kind = specified("kind", &RequestKind::ALL, m.kind)?;
        let (stamp, seal) = match (stamp("stamp", &m.stamp), read_seal(&m.seal)) {
            (stamp, seal) if kind == RequestKind::EStop => (stamp.unwrap_or(Stamp::FIRST), seal.unwrap_or(Seal::NONE)),
            (stamp, seal) => (stamp?, seal?),
        };
        Ok(Self { body: OperatorRequest { stamp, seq: m.seq, operator: OperatorId(m.operator_id), kind }, seal })
    }
}

impl Wire for SkillRequest {
    type Msg = msg::SkillRequest;

    fn encode(&self) -> Self::Msg {
        msg::SkillRequest {
            stamp: time(self.stamp),
            operator_id: self.operator.0,
            skill: skill(self.skill),
            arm: arm(self.arm),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        Ok(Self {
            stamp: stamp("stamp", &m.stamp)?,
            operator: OperatorId(m.operator_id),
            skill: read_skill(&m.skill)?,
            arm: read_arm("arm", &m.arm)?,
        })
    }
}

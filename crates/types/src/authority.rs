//! Who may move what: proposals, decisions, presence, the digest that ties an approval to exactly one motion, and the seal that ties
//! what an operator says to one login (made and checked by `proctor-seal`).

use crate::{ArmId, Class, InvalidValue, Stamp, Trajectory};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        let bad = || InvalidValue::Name { what: "digest", expected: "64 hexadecimal digits", got: s.to_owned() };
        let mut out = [0u8; 32];
        if s.len() != 64 || !s.is_ascii() {
            return Err(bad());
        }
        for (i, slot) in out.iter_mut().enumerate() {
            let pair = s.get(2 * i..2 * i + 2).ok_or_else(bad)?;
            *slot = u8::from_str_radix(pair, 16).map_err(|_| bad())?;
        }
        Ok(Self(out))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Names a proposal within a session; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ProposalId(pub u64);

/// Names an operator for one login, drawn at random with it; 0 is nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OperatorId(pub u32);

impl OperatorId {
    /// Set in the identity of every scripted operator, so that each receiver can tell by itself.
    pub const SCRIPTED_BIT: u32 = 1 << 31;

    /// The identity numbered `n` (the scripted bit of `n` is ignored) of a client with this role.
    pub const fn new(n: u32, role: Role) -> Self {
        match role {
            Role::Surgeon => Self(n & !Self::SCRIPTED_BIT),
            Role::Scripted => Self(n | Self::SCRIPTED_BIT),
        }
    }

    /// What kind of client it is.
    pub const fn role(self) -> Role {
        if self.0 & Self::SCRIPTED_BIT == 0 { Role::Surgeon } else { Role::Scripted }
    }
}

/// What kind of client an operator is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// A person.
    Surgeon,
    /// The scripted surgeon; accepted only when the backend is the built-in simulator.
    Scripted,
}

/// What autonomy can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Skill {
    /// The ECM moves so that the instruments' tips lie in the middle of the picture.
    CentreCamera,
    /// A PSM grasps the gallbladder's fundus and lifts it.
    Retract,
}

impl Skill {
    /// Every skill, in wire order.
    pub const ALL: [Self; 2] = [Self::CentreCamera, Self::Retract];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CentreCamera => "centre_camera",
            Self::Retract => "retract",
        }
    }
}

impl FromStr for Skill {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|k| k.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "skill",
            expected: "centre_camera, retract",
            got: s.to_owned(),
        })
    }
}

/// Versions of everything a motion was planned with; part of the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedWith {
    /// SHA-256 of the segmentation model.
    pub model: Digest,
    /// [`crate::HandEye::version`] of the arm (0 for the ECM).
    pub hand_eye: u64,
    /// [`crate::Scene::zones_version`].
    pub zones: u64,
}

/// Why a surgeon could agree.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// What was seen and why this motion, one or two plain sentences.
    pub summary: String,
    /// Confidence of perception in what the motion rests on, [0, 1].
    pub confidence: f64,
    /// Smallest distance to protected tissue along the whole motion, metres; `None` if none was seen.
    pub smallest_clearance: Option<f64>,
    /// To which tissue.
    pub clearance_class: Class,
}

/// A suggested motion: immutable once made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Proposal {
    /// Its name.
    pub id: ProposalId,
    /// When it was made.
    pub stamp: Stamp,
    /// After this instant it can be neither approved nor started.
    pub expires: Stamp,
    /// What it is for.
    pub skill: Skill,
    /// The whole motion.
    pub trajectory: Trajectory,
    /// What it was planned with.
    pub planned_with: PlannedWith,
    /// Why.
    pub evidence: Evidence,
}

impl Proposal {
    /// SHA-256 over the canonical bytes (little-endian, fixed order) of id, expiry, skill, arm, versions and every
    /// bit of the trajectory. Change one bit and an approval no longer matches.
    pub fn digest(&self) -> Digest {
        let mut h = Sha256::new();
        h.update(b"proctor proposal v1");
        h.update(self.id.0.to_le_bytes());
        h.update(self.expires.nanos().to_le_bytes());
        h.update(self.skill.name().as_bytes());
        h.update([0]);
        h.update(self.trajectory.arm().name().as_bytes());
        h.update([0]);
        h.update(self.planned_with.model.0);
        h.update(self.planned_with.hand_eye.to_le_bytes());
        h.update(self.planned_with.zones.to_le_bytes());
        h.update((self.trajectory.points().len() as u64).to_le_bytes());
        for p in self.trajectory.points() {
            h.update(p.t.to_bits().to_le_bytes());
            for q in p.position.iter() {
                h.update(q.to_bits().to_le_bytes());
            }
            h.update(p.jaw.to_bits().to_le_bytes());
        }
        Digest(h.finalize().into())
    }
}

/// What an operator decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    /// Run exactly this motion while I hold it.
    Approve,
    /// Do not run it.
    Reject,
}

/// An operator's decision about one proposal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// When it was taken.
    pub stamp: Stamp,
    /// Rises with each decision of this session.
    pub seq: u64,
    /// Who.
    pub operator: OperatorId,
    /// About which proposal.
    pub proposal: ProposalId,
    /// The digest the operator saw.
    pub digest: Digest,
    /// What.
    pub kind: DecisionKind,
}

/// "I am holding": sent at 30 Hz or more while the operator holds the button or pedal, and once on release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Presence {
    /// When.
    pub stamp: Stamp,
    /// Rises with each message of this session.
    pub seq: u64,
    /// Who.
    pub operator: OperatorId,
    /// Whether the hold is pressed.
    pub held: bool,
    /// Digest of the motion being held.
    pub digest: Digest,
}

/// What an operator asks of the safety node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// DISABLED -> READY.
    Enable,
    /// Any -> DISABLED (after a stop).
    Disable,
    /// READY -> TELEOP.
    Teleop,
    /// READY -> SUPERVISED.
    Supervise,
    /// TELEOP or SUPERVISED -> READY (after a stop).
    Ready,
    /// Latched stop -> FAULT.
    EStop,
    /// FAULT -> DISABLED, only at rest and with the e-stop released.
    Reset,
    /// Read the zones and the policies of tissue classes from their files again: what forbids more holds at once, what allows more only in DISABLED
    /// and READY.
    ReadZones,
}

impl RequestKind {
    /// Every request, in wire order.
    pub const ALL: [Self; 8] = [
        Self::Enable,
        Self::Disable,
        Self::Teleop,
        Self::Supervise,
        Self::Ready,
        Self::EStop,
        Self::Reset,
        Self::ReadZones,
    ];

    /// Name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enable => "enable",
            Self::Disable => "disable",
            Self::Teleop => "teleop",
            Self::Supervise => "supervise",
            Self::Ready => "ready",
            Self::EStop => "e_stop",
            Self::Reset => "reset",
            Self::ReadZones => "read_zones",
        }
    }
}

impl FromStr for RequestKind {
    type Err = InvalidValue;
    fn from_str(s: &str) -> Result<Self, InvalidValue> {
        Self::ALL.into_iter().find(|k| k.name() == s).ok_or_else(|| InvalidValue::Name {
            what: "request",
            expected: "enable, disable, teleop, supervise, ready, e_stop, reset, read_zones",
            got: s.to_owned(),
        })
    }
}

/// A request with its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorRequest {
    /// When.
    pub stamp: Stamp,
    /// Rises with each request of this session.
    pub seq: u64,
    /// Who.
    pub operator: OperatorId,
    /// What.
    pub kind: RequestKind,
}

/// Names one login of one operator for good: 128 random bits, drawn at the login.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionId(")?;
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str(")")
    }
}

/// Names one start of the safety node: random, so that nothing said before it counts after it, whatever the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Boot(pub u64);

/// In which session something was said, to which start of the safety node, and the proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seal {
    /// Which login.
    pub session: SessionId,
    /// When that login ends.
    pub expires: Stamp,
    /// The start of the safety node it is meant for.
    pub boot: Boot,
    /// HMAC-SHA256 over every field of the message and of this seal, under the session's key.
    pub tag: [u8; 32],
}

impl Seal {
    /// No proof of anything: enough for an e-stop only.
    pub const NONE: Self = Self { session: SessionId([0; 16]), expires: Stamp::FIRST, boot: Boot(0), tag: [0; 32] };
}

/// What an operator says, as it travels: nobody has checked its seal yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed<T> {
    /// What is said.
    pub body: T,
    /// By whom, supposedly.
    pub seal: Seal,
}

impl<T> Sealed<T> {
    /// Without any proof.
    pub const fn bare(body: T) -> Self {
        Self { body, seal: Seal::NONE }
    }
}

/// An operator asks autonomy for a skill; without one, autonomy proposes by itself when its conditions hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkillRequest {
    /// When.
    pub stamp: Stamp,
    /// Who.
    pub operator: OperatorId,
    /// What.
    pub skill: Skill,
    /// With which arm.
    pub arm: ArmId,
}

/// Autonomy takes a proposal back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// When.
    pub stamp: Stamp,
    /// Which proposal.
    pub proposal: ProposalId,
    /// Its digest.
    pub digest: Digest,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Joints, TrajectoryPoint};

    fn proposal(last: f64) -> Proposal {
        let point = |t, q| TrajectoryPoint { t, position: Joints::new(&[q; 4]).unwrap(), jaw: 0.0 };
        Proposal {
            id: ProposalId(7),
            stamp: Stamp::FIRST,
            expires: Stamp::from_nanos("t", 10).unwrap(),
            skill: Skill::CentreCamera,
            trajectory: Trajectory::new(ArmId::Ecm, vec![point(0.0, 0.0), point(1.0, last)]).unwrap(),
            planned_with: PlannedWith { model: Digest::default(), hand_eye: 1, zones: 2 },
            evidence: Evidence {
                summary: String::new(),
                confidence: 1.0,
                smallest_clearance: None,
                clearance_class: Class::Background,
            },
        }
    }

    #[test]
    fn one_changed_bit_changes_the_digest() {
        let a = proposal(0.1);
        let mut variants = vec![proposal(f64::from_bits(0.1f64.to_bits() ^ 1))];
        let edits: [fn(&mut Proposal); 5] = [
            |p| p.id.0 ^= 1,
            |p| p.planned_with.hand_eye ^= 1,
            |p| p.planned_with.zones ^= 1,
            |p| p.planned_with.model.0[31] ^= 1,
            |p| p.expires = Stamp::from_nanos("t", 11).unwrap(),
        ];
        for edit in edits {
            let mut p = a.clone();
            edit(&mut p);
            variants.push(p);
        }
        for v in variants {
            assert_ne!(v.digest(), a.digest(), "{v:?}");
        }
    }

    #[test]
    fn digests_round_trip_as_text() {
        let d = Digest::of(b"abc");
        // FIPS 180-2, appendix B.1.
        assert_eq!(d.to_string(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(d.to_string().parse::<Digest>().unwrap(), d);
        assert!("zz".parse::<Digest>().is_err());
    }
}

//! The canonical bytes of what an operator says: every field, little-endian, of fixed length and in fixed order, so that two
//! different messages never have the same bytes.

use proctor_types::{Decision, DecisionKind, OperatorId, OperatorRequest, Presence, RequestKind};

/// What operators say and seal.
pub trait Spoken: Copy {
    /// Name of the type: what is sealed as one type is nothing as another.
    const DOMAIN: &'static str;

    /// Who says it.
    fn operator(&self) -> OperatorId;

    /// Hands every field's bytes to `out`, in order.
    fn bytes(&self, out: &mut dyn FnMut(&[u8]));
}

impl Spoken for Decision {
    const DOMAIN: &'static str = "proctor decision v1";

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        let Self { stamp, seq, operator, proposal, digest, kind } = self;
        let kind = match kind {
            DecisionKind::Approve => 1,
            DecisionKind::Reject => 2,
        };
        out(&stamp.nanos().to_le_bytes());
        out(&seq.to_le_bytes());
        out(&operator.0.to_le_bytes());
        out(&proposal.0.to_le_bytes());
        out(&digest.0);
        out(&[kind]);
    }
}

impl Spoken for Presence {
    const DOMAIN: &'static str = "proctor presence v1";

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        let Self { stamp, seq, operator, held, digest } = self;
        out(&stamp.nanos().to_le_bytes());
        out(&seq.to_le_bytes());
        out(&operator.0.to_le_bytes());
        out(&[u8::from(*held)]);
        out(&digest.0);
    }
}

impl Spoken for OperatorRequest {
    const DOMAIN: &'static str = "proctor request v1";

    fn operator(&self) -> OperatorId {
        self.operator
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        let Self { stamp, seq, operator, kind } = self;
        let kind = match kind {
            RequestKind::Enable => 1,
            RequestKind::Disable => 2,
            RequestKind::Teleop => 3,
            RequestKind::Supervise => 4,
            RequestKind::Ready => 5,
            RequestKind::EStop => 6,
            RequestKind::Reset => 7,
            RequestKind::ReadZones => 8,
        };
        out(&stamp.nanos().to_le_bytes());
        out(&seq.to_le_bytes());
        out(&operator.0.to_le_bytes());
        out(&[kind]);
    }
}

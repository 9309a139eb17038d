//! `measured_js` and `jaw/measured_js` as one [`ArmState`].

use crate::{
    Bus, BusError, Publisher, Subscriber,
    graph::{jaw_measured_js, measured_js},
};
use proctor_msgs::ConvertError;
use proctor_types::{ArmId, ArmJoints, ArmState, Jaw};

/// Reads an arm's measured joints and jaw.
pub struct ArmSubscriber {
    joints: Subscriber<ArmJoints>,
    jaw: Option<Subscriber<Jaw>>,
    last_jaw: Option<f64>,
}

impl ArmSubscriber {
    /// Of an arm.
    pub fn new(bus: &Bus, arm: ArmId) -> Result<Self, BusError> {
        let jaw = arm.has_jaw().then(|| bus.subscriber(&jaw_measured_js(arm))).transpose()?;
        // An arm without a jaw has it at 0 for ever.
        let last_jaw = if arm.has_jaw() { None } else { Some(0.0) };
        Ok(Self { joints: bus.subscriber(&measured_js(arm))?, jaw, last_jaw })
    }

    /// The oldest sample that waits, with the newest jaw angle known; a refused message is an error once. Samples from
    /// before the first jaw angle are passed over: they would have to invent one.
    pub fn take(&mut self) -> Option<Result<ArmState, ConvertError>> {
        let mut refused = None;
        if let Some(jaws) = &self.jaw {
            // As many as wait now, here and below: a writer that never stops cannot keep us.
            for jaw in (0..jaws.waiting()).map_while(|_| jaws.take()) {
                match jaw {
                    Ok(jaw) => self.last_jaw = Some(jaw.position),
                    Err(e) => refused = Some(e),
                }
            }
        }
        if let Some(e) = refused {
            return Some(Err(e));
        }
        for joints in (0..self.joints.waiting()).map_while(|_| self.joints.take()) {
            match (joints, self.last_jaw) {
                (Err(e), _) => return Some(Err(e)),
                (Ok(j), Some(jaw)) => {
                    let ArmJoints { arm, stamp, position, velocity } = j;
                    return Some(Ok(ArmState { arm, stamp, position, velocity, jaw }));
                }
                (Ok(_), None) => {}
            }
        }
        None
    }

    /// The newest valid sample that waits; older ones are discarded.
    pub fn newest(&mut self) -> Option<ArmState> {
        // Every call yields a joint sample or a refused message.
        let waiting = self.joints.waiting() + self.jaw.as_ref().map_or(0, Subscriber::waiting);
        (0..waiting).map_while(|_| self.take()).filter_map(Result::ok).last()
    }

    /// Joint samples that were dropped because this reader was too slow.
    pub fn dropped(&self) -> u64 {
        self.joints.dropped()
    }

    /// Messages that were refused.
    pub fn refused(&self) -> u64 {
        self.joints.refused() + self.jaw.as_ref().map_or(0, Subscriber::refused)
    }
}

/// Writes an arm's measured joints and jaw.
pub struct ArmPublisher {
    joints: Publisher<ArmJoints>,
    jaw: Option<Publisher<Jaw>>,
}

impl ArmPublisher {
    /// Of an arm.
    pub fn new(bus: &Bus, arm: ArmId) -> Result<Self, BusError> {
        let jaw = arm.has_jaw().then(|| bus.publisher(&jaw_measured_js(arm))).transpose()?;
        Ok(Self { joints: bus.publisher(&measured_js(arm))?, jaw })
    }

    /// Publishes both messages, the jaw first, so that a reader that sees the joints knows the jaw.
    pub fn publish(&self, state: &ArmState) -> Result<(), BusError> {
        let &ArmState { arm, stamp, position, velocity, jaw } = state;
        if let Some(publisher) = &self.jaw {
            publisher.publish(&Jaw { arm, stamp, position: jaw })?;
        }
        self.joints.publish(&ArmJoints { arm, stamp, position, velocity })
    }
}

//! Messages as they are: the probe must see and say what Proctor's own types make unsayable, such as NaN.

use proctor_bus::{ConvertError, Wire};
use proctor_msgs::{
    Origin, builtin_interfaces::Time, crtk_msgs, geometry_msgs, sensor_msgs::JointState, std_msgs::Header,
};
use proctor_seal::Command;
use proctor_types::{ArmId, JointCommand, MAX_JOINTS, Stamp, StateCommand};

/// A message, unjudged.
#[derive(Debug, Clone, PartialEq)]
pub struct AsIs<M>(pub M);

macro_rules! as_is {
    ($($message:ty),+) => {$(
        impl Wire for AsIs<$message> {
            type Msg = $message;

            fn encode(&self) -> $message {
                self.0.clone()
            }

            fn decode(message: &$message, _: Origin) -> Result<Self, ConvertError> {
                Ok(Self(message.clone()))
            }
        }
    )+};
}
as_is!(JointState, geometry_msgs::PoseStamped, crtk_msgs::OperatingState, crtk_msgs::StringStamped);

/// A joint set-point that may be anything.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Servo {
    /// To which arm.
    pub arm: ArmId,
    /// When it says it was issued.
    pub stamp: Stamp,
    /// Goals; those beyond [`Servo::joints`] are not sent.
    pub position: [f64; MAX_JOINTS],
    /// How many.
    pub joints: usize,
}

/// A word to an arm's state machine that may be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// To which arm.
    pub arm: ArmId,
    /// When it says it was said.
    pub stamp: Stamp,
    /// The word.
    pub word: &'static str,
}

fn header(stamp: Stamp) -> Header {
    let (sec, nanosec) = stamp.to_ros();
    Header { stamp: Time { sec, nanosec }, frame_id: String::new() }
}

impl Servo {
    /// What is sent.
    pub fn goals(&self) -> &[f64] {
        self.position.get(..self.joints).unwrap_or(&self.position)
    }
}

/// Sealed as the safety node seals its set-points, bit by bit, so that a seal is no reason to refuse what is asked here.
impl Command for Servo {
    const DOMAIN: &'static str = <JointCommand as Command>::DOMAIN;

    fn arm(&self) -> ArmId {
        self.arm
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        out(&(self.goals().len() as u64).to_le_bytes());
        self.goals().iter().for_each(|x| out(&x.to_bits().to_le_bytes()));
    }
}

impl Command for Word {
    const DOMAIN: &'static str = <StateCommand as Command>::DOMAIN;

    fn arm(&self) -> ArmId {
        self.arm
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        out(self.word.as_bytes());
    }
}

/// Why a value of this module is not read back: it is only ever sent.
fn only_sent() -> ConvertError {
    let problem = proctor_msgs::Problem::Text { got: String::new(), expected: "nobody reads this".to_owned() };
    ConvertError::new("payload", problem)
}

impl Wire for Servo {
    type Msg = JointState;

    fn encode(&self) -> JointState {
        // Names may be left out, and CRTK clients do.
        JointState { header: header(self.stamp), position: self.goals().to_vec(), ..JointState::default() }
    }

    fn decode(_: &JointState, _: Origin) -> Result<Self, ConvertError> {
        Err(only_sent())
    }
}

impl Wire for Word {
    type Msg = crtk_msgs::StringStamped;

    fn encode(&self) -> Self::Msg {
        crtk_msgs::StringStamped { header: header(self.stamp), string: self.word.to_owned() }
    }

    fn decode(_: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        Err(only_sent())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_seal::{Receiver, RootSecret, Verifier};
    use proctor_types::{Boot, Joints, ToArm};
    use std::time::Duration;

    #[test]
    fn a_sealed_set_point_is_to_an_arm_what_the_safety_node_would_have_sent() {
        let root = RootSecret::from_bytes([9; 32]);
        let mut sealer = Verifier::new(root.clone(), Boot(4)).sealer();
        let stamp = Stamp::FIRST.plus(Duration::from_secs(5));
        let servo = Servo { arm: ArmId::Psm1, stamp, position: [0.1, 0.2, 0.15, 0.3, 0.4, 0.5, 9.0], joints: 6 };
        let message = sealer.seal(servo).encode();
        let heard = ToArm::<JointCommand>::decode(&message, Origin::of(ArmId::Psm1)).unwrap();
        let mut receiver = Receiver::new(&root, ArmId::Psm1, Duration::from_millis(100));
        let taken = receiver.take(&heard, stamp).unwrap();
        assert_eq!(taken.position, Joints::new(&[0.1, 0.2, 0.15, 0.3, 0.4, 0.5]).unwrap());
        let word = sealer.seal(Word { arm: ArmId::Psm1, stamp, word: "enable" }).encode();
        let heard = ToArm::<StateCommand>::decode(&word, Origin::of(ArmId::Psm1)).unwrap();
        assert_eq!(Receiver::new(&root, ArmId::Psm1, Duration::from_millis(100)).take(&heard, stamp), Ok(heard.body));
    }
}

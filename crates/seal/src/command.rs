//! Commands to arms: sealed by safety when they leave it, checked by the arm (or the adapter in front of it) before it moves.
//!
//! The safety node's gate is the only way to an arm inside Proctor; on a network anybody can write to an arm's topics. A receiver that knows
//! the root secret therefore takes only what safety sealed, once, in order, and no older than its expiry.

use crate::{RootSecret, key};
use hmac::Mac;
use proctor_types::{ArmId, Boot, CommandSeal, Jaw, JointCommand, Stamp, StateCommand, ToArm};
use std::time::Duration;

/// A receiver's clock may be behind the sender's by so much.
const AHEAD: Duration = Duration::from_millis(20);

/// What safety sends to arms.
pub trait Command: Copy {
    /// Name of the type: what is sealed as one type is nothing as another.
    const DOMAIN: &'static str;

    /// To which arm.
    fn arm(&self) -> ArmId;

    /// When it was issued.
    fn stamp(&self) -> Stamp;

    /// Hands the bytes of everything else to `out`, in order.
    fn bytes(&self, out: &mut dyn FnMut(&[u8]));
}

impl Command for JointCommand {
    const DOMAIN: &'static str = "proctor servo_jp v1";

    fn arm(&self) -> ArmId {
        self.arm
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        out(&(self.position.len() as u64).to_le_bytes());
        self.position.iter().for_each(|x| out(&x.to_bits().to_le_bytes()));
    }
}

impl Command for Jaw {
    const DOMAIN: &'static str = "proctor jaw servo_jp v1";

    fn arm(&self) -> ArmId {
        self.arm
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        out(&self.position.to_bits().to_le_bytes());
    }
}

impl Command for StateCommand {
    const DOMAIN: &'static str = "proctor state_command v1";

    fn arm(&self) -> ArmId {
        self.arm
    }

    fn stamp(&self) -> Stamp {
        self.stamp
    }

    fn bytes(&self, out: &mut dyn FnMut(&[u8])) {
        out(self.request.name().as_bytes());
    }
}

/// The tag's bytes so far: domain, boot, number, arm, stamp, and the command.
fn cover<T: Command>(key: &[u8; 32], body: &T, boot: Boot, seq: u64) -> key::HmacSha256 {
    let mut mac = key::hmac(key);
    key::name(&mut mac, T::DOMAIN);
    mac.update(&boot.0.to_le_bytes());
    mac.update(&seq.to_le_bytes());
    mac.update(&(body.arm().index() as u64).to_le_bytes());
    mac.update(&body.stamp().nanos().to_le_bytes());
    body.bytes(&mut |bytes| mac.update(bytes));
    mac
}

/// Seals what one start of the safety node sends.
#[derive(Debug)]
pub struct Sealer {
    key: ArmKey,
    boot: Boot,
    seq: u64,
}

impl Sealer {
    pub(crate) fn new(root: &RootSecret, boot: Boot) -> Self {
        Self { key: ArmKey::new(root), boot, seq: 0 }
    }

    /// Seals a command. Each has a number of its own.
    pub fn seal<T: Command>(&mut self, body: T) -> ToArm<T> {
        self.seq += 1;
        let tag = cover(&self.key.0, &body, self.boot, self.seq).finalize().into_bytes().into();
        ToArm { body, seal: Some(CommandSeal { boot: self.boot, seq: self.seq, tag }) }
    }
}

/// The key that safety and arms share, derived from the root secret: it seals commands and nothing else.
#[derive(Clone)]
struct ArmKey([u8; 32]);

impl ArmKey {
    fn new(root: &RootSecret) -> Self {
        Self(root.expand(&[b"proctor arm commands v1"]))
    }
}

impl std::fmt::Debug for ArmKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ArmKey(..)")
    }
}

/// Why an arm does not take a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There is no seal.
    #[error("without a seal of the safety node")]
    Unsealed,
    /// It came to another arm's topic.
    #[error("sealed for {0}")]
    OtherArm(ArmId),
    /// The tag is not that of this command: forged, damaged, altered, or another root secret.
    #[error("its seal is not the safety node's")]
    NotAuthentic,
    /// A repetition, or overtaken by a newer one.
    #[error("number {got} after number {last}")]
    Sequence {
        /// Its number.
        got: u64,
        /// The newest that was taken.
        last: u64,
    },
    /// Sent by a start of the safety node that another has followed.
    #[error("of a start of the safety node that is over")]
    OldBoot,
    /// Too old, by so much.
    #[error("issued {} ms ago", .0.as_millis())]
    Expired(Duration),
    /// From the future, by so much.
    #[error("issued {} ms ahead of this clock", .0.as_millis())]
    Ahead(Duration),
}

/// Checks what arrives at one arm on one topic. What it refuses changes nothing.
#[derive(Debug)]
pub struct Receiver {
    key: ArmKey,
    arm: ArmId,
    expiry: Duration,
    last: Option<(Boot, u64, Stamp)>,
}

impl Receiver {
    /// For an arm; a command older than `expiry` is not taken.
    pub fn new(root: &RootSecret, arm: ArmId, expiry: Duration) -> Self {
        Self { key: ArmKey::new(root), arm, expiry, last: None }
    }

    /// The command, if safety sent it to this arm, just now, and nothing newer was taken.
    ///
    /// # Errors
    /// Why it is not to be followed.
    pub fn take<T: Command>(&mut self, sealed: &ToArm<T>, now: Stamp) -> Result<T, NotTaken> {
        let ToArm { body, seal: Some(seal) } = sealed else { return Err(NotTaken::Unsealed) };
        if body.arm() != self.arm {
            return Err(NotTaken::OtherArm(body.arm()));
        }
        // Constant time, as `hmac` promises.
        cover(&self.key.0, body, seal.boot, seal.seq).verify_slice(&seal.tag).map_err(|_| NotTaken::NotAuthentic)?;
        let stamp = body.stamp();
        if stamp > now.plus(AHEAD) {
            return Err(NotTaken::Ahead(now.age(stamp)));
        }
        if stamp < now && stamp.age(now) > self.expiry {
            return Err(NotTaken::Expired(stamp.age(now)));
        }
        match self.last {
            Some((boot, last, _)) if boot == seal.boot && seal.seq <= last => {
                return Err(NotTaken::Sequence { got: seal.seq, last });
            }
            // Another start follows the one that was heard last; what that one said before cannot come after.
            Some((boot, _, at)) if boot != seal.boot && stamp <= at => return Err(NotTaken::OldBoot),
            Some(_) | None => {}
        }
        self.last = Some((seal.boot, seal.seq, stamp));
        Ok(*body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{Joints, StateRequest};

    const ARM: ArmId = ArmId::Psm2;
    const EXPIRY: Duration = Duration::from_millis(50);

    fn at(ms: i64) -> Stamp {
        Stamp::from_nanos("test", 1_000_000_000 + ms * 1_000_000).unwrap()
    }

    fn root() -> RootSecret {
        RootSecret::from_bytes([4; 32])
    }

    fn command(ms: i64) -> JointCommand {
        JointCommand { arm: ARM, stamp: at(ms), position: Joints::new(&[0.1, 0.2, 0.15, 0.3, 0.4, 0.5]).unwrap() }
    }

    fn pair() -> (Sealer, Receiver) {
        (Sealer::new(&root(), Boot(7)), Receiver::new(&root(), ARM, EXPIRY))
    }

    #[test]
    fn what_safety_sends_is_taken_once_and_in_order() {
        let (mut sealer, mut receiver) = pair();
        let [a, b, c] = [0, 1, 2].map(|ms| sealer.seal(command(ms)));
        assert_eq!(receiver.take(&a, at(0)), Ok(a.body));
        assert_eq!(receiver.take(&c, at(2)), Ok(c.body));
        assert_eq!(receiver.take(&b, at(2)), Err(NotTaken::Sequence { got: 2, last: 3 }));
        assert_eq!(receiver.take(&c, at(2)), Err(NotTaken::Sequence { got: 3, last: 3 }));
        let d = sealer.seal(command(3));
        assert_eq!(receiver.take(&d, at(3)), Ok(d.body), "refusals change nothing");
    }

    #[test]
    fn nothing_else_is_taken() {
        let (mut sealer, mut receiver) = pair();
        let good = sealer.seal(command(0));
        let not_authentic =
            |t: ToArm<JointCommand>, r: &mut Receiver| assert_eq!(r.take(&t, at(0)), Err(NotTaken::NotAuthentic));
        assert_eq!(receiver.take(&ToArm { seal: None, ..good }, at(0)), Err(NotTaken::Unsealed));
        let mut other = Sealer::new(&RootSecret::from_bytes([5; 32]), Boot(7));
        not_authentic(other.seal(command(0)), &mut receiver);
        // Any bit of any part.
        for bit in 0..256 {
            let mut seal = good.seal.unwrap();
            seal.tag[bit / 8] ^= 1 << (bit % 8);
            not_authentic(ToArm { seal: Some(seal), ..good }, &mut receiver);
        }
        for joint in 0..6 {
            let mut q = good.body.position.to_vec();
            q[joint] = f64::from_bits(q[joint].to_bits() ^ 1);
            let body = JointCommand { position: Joints::new(&q).unwrap(), ..good.body };
            not_authentic(ToArm { body, ..good }, &mut receiver);
        }
        let seal = good.seal.unwrap();
        not_authentic(ToArm { seal: Some(CommandSeal { seq: 2, ..seal }), ..good }, &mut receiver);
        not_authentic(ToArm { seal: Some(CommandSeal { boot: Boot(8), ..seal }), ..good }, &mut receiver);
        not_authentic(ToArm { body: JointCommand { stamp: at(1), ..good.body }, ..good }, &mut receiver);
        // Moved to another arm's topic: as it is, and relabelled.
        let mut elsewhere = Receiver::new(&root(), ArmId::Psm1, EXPIRY);
        assert_eq!(elsewhere.take(&good, at(0)), Err(NotTaken::OtherArm(ARM)));
        not_authentic(ToArm { body: JointCommand { arm: ArmId::Psm1, ..good.body }, ..good }, &mut elsewhere);
        // A jaw's seal on a state command.
        let jaw = sealer.seal(Jaw { arm: ARM, stamp: at(0), position: 0.3 });
        let state =
            ToArm { body: StateCommand { arm: ARM, stamp: at(0), request: StateRequest::Enable }, seal: jaw.seal };
        assert_eq!(receiver.take(&state, at(0)), Err(NotTaken::NotAuthentic));
        assert_eq!(receiver.take(&good, at(0)), Ok(good.body));
    }

    #[test]
    fn commands_expire_and_do_not_come_from_the_future() {
        let (mut sealer, mut receiver) = pair();
        let mut take = |now: i64| receiver.take(&sealer.seal(command(100)), at(now));
        assert_eq!(take(151), Err(NotTaken::Expired(Duration::from_millis(51))));
        assert_eq!(take(79), Err(NotTaken::Ahead(Duration::from_millis(21))));
        assert!(take(150).is_ok() && take(80).is_ok());
    }

    #[test]
    fn a_restarted_node_is_heard_and_the_one_before_it_is_not() {
        let (mut before, mut receiver) = pair();
        let mut after = Sealer::new(&root(), Boot(8));
        let old = before.seal(command(1));
        receiver.take(&before.seal(command(0)), at(0)).unwrap();
        let new = after.seal(command(5));
        assert_eq!(receiver.take(&new, at(5)), Ok(new.body));
        assert_eq!(receiver.take(&old, at(6)), Err(NotTaken::OldBoot));
        let next = after.seal(command(6));
        assert_eq!(receiver.take(&next, at(6)), Ok(next.body));
    }
}

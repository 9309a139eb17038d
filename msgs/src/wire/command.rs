//! Commands to arms with safety's seal. CRTK has no field for it: the seal is text in `header.frame_id`, which for joint messages and state
//! commands means nothing, so that an arm that knows no seals takes the command as it is.
//!
//! Form: `proctor1 BOOT SEQ TAG`, numbers in 16, the tag in 64 lower-case hexadecimal digits. Any other text is no seal.

use super::{ConvertError, Origin, Wire};
use crate::{crtk_msgs::StringStamped, sensor_msgs::JointState};
use proctor_types::{Boot, CommandSeal, Digest, ToArm};

const FORM: &str = "proctor1";

/// A message with a header whose frame is free.
trait Labelled {
    fn label(&mut self) -> &mut String;
    fn read(&self) -> &str;
}

impl Labelled for JointState {
    fn label(&mut self) -> &mut String {
        &mut self.header.frame_id
    }

    fn read(&self) -> &str {
        &self.header.frame_id
    }
}

impl Labelled for StringStamped {
    fn label(&mut self) -> &mut String {
        &mut self.header.frame_id
    }

    fn read(&self) -> &str {
        &self.header.frame_id
    }
}

fn write(seal: &CommandSeal) -> String {
    format!("{FORM} {:016x} {:016x} {}", seal.boot.0, seal.seq, Digest(seal.tag))
}

fn read(text: &str) -> Option<CommandSeal> {
    let parts: [&str; 4] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let [form, boot, seq, tag] = parts;
    let digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if form != FORM || !digits(boot, 16) || !digits(seq, 16) || !digits(tag, 64) {
        return None;
    }
    let number = |text| u64::from_str_radix(text, 16).ok();
    let Digest(tag) = tag.parse().ok()?;
    Some(CommandSeal { boot: Boot(number(boot)?), seq: number(seq)?, tag })
}

impl<T: Wire> Wire for ToArm<T>
where
    T::Msg: Labelled,
{
    type Msg = T::Msg;

    fn encode(&self) -> Self::Msg {
        let mut message = self.body.encode();
        *message.label() = self.seal.as_ref().map_or_else(String::new, write);
        message
    }

    fn decode(message: &Self::Msg, origin: Origin) -> Result<Self, ConvertError> {
        Ok(Self { body: T::decode(message, origin)?, seal: read(message.read()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_types::{ArmId, Jaw, Stamp};

    fn sealed() -> ToArm<Jaw> {
        let body = Jaw { arm: ArmId::Psm1, stamp: Stamp::FIRST, position: 0.5 };
        let tag = std::array::from_fn(|i| 0xf8_u8.wrapping_add(i as u8));
        ToArm { body, seal: Some(CommandSeal { boot: Boot(0x00ab_cdef_0000_0001), seq: 42, tag }) }
    }

    #[test]
    fn a_seal_travels_in_the_frame() {
        let message = sealed().encode();
        let expected = "proctor1 00abcdef00000001 000000000000002a \
                        f8f9fafbfcfdfeff000102030405060708090a0b0c0d0e0f1011121314151617";
        assert_eq!(message.header.frame_id, expected);
        let origin = Origin::of(ArmId::Psm1);
        assert_eq!(ToArm::<Jaw>::decode(&message, origin).unwrap(), sealed());
        // Who knows no seals reads the command all the same.
        assert_eq!(Jaw::decode(&message, origin).unwrap(), sealed().body);
        let bare = ToArm { seal: None, ..sealed() };
        assert_eq!(bare.encode().header.frame_id, "");
        assert_eq!(ToArm::<Jaw>::decode(&bare.encode(), origin).unwrap(), bare);
    }

    #[test]
    fn any_other_text_is_no_seal() {
        let good = sealed().encode().header.frame_id;
        assert!(read(&good).is_some());
        let others = ["", "world", "proctor1", "proctor1 ", "proctor2"].map(str::to_owned).into_iter();
        let cut = (0..good.len()).map(|n| good[..n].to_owned());
        let longer = [format!("{good}0"), format!("{good} "), format!(" {good}"), good.to_uppercase()];
        let changed = (0..good.len()).flat_map(|i| {
            ["g", "é", "+", " "]
                .map(|c| format!("{}{c}{}", &good[..i], &good[i + 1..]))
                .into_iter()
                .filter(|t| *t != sealed().encode().header.frame_id)
        });
        for text in others.chain(cut).chain(longer).chain(changed) {
            assert_eq!(read(&text), None, "{text:?}");
        }
    }
}

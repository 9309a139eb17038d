//! Bytes of ROS 1 as CDR, so that one reader takes both.
//!
//! ROS 1 writes little-endian numbers without padding, texts without a terminating zero, and a counter (`seq`) at the head of every `std_msgs/Header`;
//! the rest is the same for the messages that both have. Lengths are checked against what is left before anything is copied.

use crate::cdr::{CdrFault, HEADER, Layout, MAX_PAYLOAD, Node};

/// Bytes that a Header's `seq` takes.
const SEQ: usize = 4;

/// The CDR (with header) of a message that ROS 1 wrote. What it holds is not judged here: [`crate::cdr::from_cdr`] does.
pub fn to_cdr(layout: &Layout, bytes: &[u8]) -> Result<Vec<u8>, CdrFault> {
    if bytes.len() > MAX_PAYLOAD {
        return Err(CdrFault::Size { len: bytes.len(), min: 0, max: MAX_PAYLOAD });
    }
    let mut out = Vec::with_capacity(HEADER.len() + bytes.len() + bytes.len() / 8);
    out.extend_from_slice(&HEADER);
    let mut copy = Copy { bytes, at: 0, out };
    layout.0.iter().try_for_each(|node| copy.step(node))?;
    let extra = bytes.len() - copy.at;
    if extra > 0 { Err(CdrFault::Trailing { extra }) } else { Ok(copy.out) }
}

/// From one form to the other. `at <= bytes.len()` always.
struct Copy<'a> {
    bytes: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl<'a> Copy<'a> {
    fn step(&mut self, node: &Node) -> Result<(), CdrFault> {
        match node {
            Node::Number(size) => self.numbers(*size, 1),
            Node::Bool => self.numbers(1, 1),
            Node::Text(bound) => self.text(*bound),
            Node::Array(inner, n) => self.many(inner, *n),
            Node::Sequence(inner, bound) => {
                let len = self.length(*bound)?;
                self.write_length(len);
                self.many(inner, len)
            }
            Node::Struct(fields) => fields.iter().try_for_each(|f| self.step(f)),
            Node::Header(fields) => {
                self.take(SEQ)?;
                fields.iter().try_for_each(|f| self.step(f))
            }
        }
    }

    fn many(&mut self, inner: &Node, n: usize) -> Result<(), CdrFault> {
        match inner {
            Node::Number(size) => self.numbers(*size, n),
            // Every element takes a byte at least, so this ends with the payload.
            _ => (0..n).try_for_each(|_| self.step(inner)),
        }
    }

    fn numbers(&mut self, size: usize, n: usize) -> Result<(), CdrFault> {
        if n == 0 {
            return Ok(());
        }
        let taken = self.take(size.saturating_mul(n))?;
        self.align(size);
        self.out.extend_from_slice(taken);
        Ok(())
    }

    fn text(&mut self, bound: Option<usize>) -> Result<(), CdrFault> {
        let len = self.length(bound)?;
        self.write_length(len + 1);
        let taken = self.take(len)?;
        self.out.extend_from_slice(taken);
        self.out.push(0);
        Ok(())
    }

    /// A length prefix; refuses one that cannot fit in what is left.
    fn length(&mut self, bound: Option<usize>) -> Result<usize, CdrFault> {
        let at = self.at;
        let len = self.take(4)?.iter().rev().fold(0usize, |n, &b| (n << 8) | usize::from(b));
        let left = self.bytes.len() - self.at;
        match bound {
            Some(bound) if len > bound => Err(CdrFault::Bound { at, len, bound }),
            _ if len > left => Err(CdrFault::Truncated { at, needed: len, left }),
            _ => Ok(len),
        }
    }

    fn write_length(&mut self, len: usize) {
        self.align(4);
        self.out.extend_from_slice(&(len as u32).to_le_bytes());
    }

    /// CDR aligns every number to its size, counted from behind the header.
    fn align(&mut self, size: usize) {
        let behind = (self.out.len() - HEADER.len()).next_multiple_of(size);
        self.out.resize(HEADER.len() + behind, 0);
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], CdrFault> {
        let left = &self.bytes[self.at..];
        let Some(taken) = left.get(..n) else {
            return Err(CdrFault::Truncated { at: self.at, needed: n, left: left.len() });
        };
        self.at += n;
        Ok(taken)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{cdr, crtk_msgs::OperatingState, sensor_msgs::JointState};

    /// As genpy writes it: seq, secs, nsecs, frame_id; then four lists.
    fn joint_state() -> Vec<u8> {
        let mut out = Vec::new();
        for word in [77_u32, 12, 34] {
            out.extend(word.to_le_bytes());
        }
        for text in [&["PSM1"][..], &["yaw", "pitch"]] {
            if text.len() > 1 {
                out.extend((text.len() as u32).to_le_bytes());
            }
            for word in text {
                out.extend((word.len() as u32).to_le_bytes());
                out.extend(word.as_bytes());
            }
        }
        for list in [&[0.25, -1.5][..], &[1.0, 2.0], &[]] {
            out.extend((list.len() as u32).to_le_bytes());
            list.iter().for_each(|v: &f64| out.extend(v.to_le_bytes()));
        }
        out
    }

    #[test]
    fn a_message_of_ros_1_is_the_same_message_in_cdr() {
        let layout = Layout::of::<JointState>();
        let cdr = to_cdr(&layout, &joint_state()).unwrap();
        let m: JointState = cdr::from_cdr(&layout, &cdr).unwrap();
        assert_eq!((m.header.stamp.sec, m.header.stamp.nanosec, m.header.frame_id.as_str()), (12, 34, "PSM1"));
        assert_eq!(
            (m.name.as_slice(), m.position.as_slice()),
            (&["yaw".to_owned(), "pitch".to_owned()][..], &[0.25, -1.5][..])
        );
        assert_eq!((m.velocity.as_slice(), m.effort.as_slice()), (&[1.0, 2.0][..], &[][..]));
        assert_eq!(cdr::to_cdr(&m), cdr, "and has the very bytes that ROS 2 would write");
    }

    #[test]
    fn texts_booleans_and_a_header_alone_are_aligned_as_ros_2_does() {
        let mut bytes = [1_u32, 2, 3, 3].iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        bytes.extend(b"abc\x07\0\0\0ENABLED\x01\0");
        let layout = Layout::of::<OperatingState>();
        let m: OperatingState = cdr::from_cdr(&layout, &to_cdr(&layout, &bytes).unwrap()).unwrap();
        assert_eq!(
            (m.header.frame_id.as_str(), m.state.as_str(), m.is_homed, m.is_busy),
            ("abc", "ENABLED", true, false)
        );
    }

    #[test]
    fn cut_long_and_absurd_messages_are_refused_and_nothing_is_reserved_for_them() {
        let (layout, whole) = (Layout::of::<JointState>(), joint_state());
        for n in 0..whole.len() {
            assert!(matches!(to_cdr(&layout, &whole[..n]), Err(CdrFault::Truncated { .. })), "{n} bytes");
        }
        assert_eq!(to_cdr(&layout, &[&whole[..], &[0]].concat()), Err(CdrFault::Trailing { extra: 1 }));
        // Four thousand million joints.
        let mut absurd = whole;
        absurd[20..24].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(to_cdr(&layout, &absurd), Err(CdrFault::Truncated { at: 20, .. })));
    }
}

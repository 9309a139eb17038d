//! Bytes to messages and back: CDR little-endian with ROS's 4-byte header.
//!
//! The generated readers trust the lengths they find and reserve memory for them, so [`Layout::check`] walks the bytes
//! against the message's layout first: header, every length against what is left of the payload, every bound of the
//! .msg file, booleans, and the end. Only then is anything allocated.

use crate::Message;
use hiroz::dynamic::{FieldType, MessageSchema};
use std::ops::Deref;
use zenoh_buffers::{ZBuf, ZSlice, buffer::SplitBuffer};

/// The header: representation CDR little-endian, no options.
pub const HEADER: [u8; 4] = [0, 1, 0, 0];
/// Largest payload that is looked at, bytes.
pub const MAX_PAYLOAD: usize = 64 << 20;
/// Bytes that may follow the last field (padding to 4).
const MAX_PADDING: usize = 3;

/// Why bytes are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CdrFault {
    /// Fewer bytes than a header, or more than [`MAX_PAYLOAD`].
    #[error("payload of {len} bytes, expected {min} to {max}")]
    Size {
        /// What came.
        len: usize,
        /// Smallest possible.
        min: usize,
        /// Largest accepted.
        max: usize,
    },
    /// Another encapsulation than little-endian CDR.
    #[error("CDR header {got:02x?}, expected {HEADER:02x?}")]
    Header {
        /// The first four bytes.
        got: [u8; 4],
    },
    /// The payload ends before a field does.
    #[error("payload ends at byte {at}: {needed} more bytes needed, {left} left")]
    Truncated {
        /// Offset after the header.
        at: usize,
        /// Bytes the next field needs at least.
        needed: usize,
        /// Bytes left.
        left: usize,
    },
    /// A bounded string or sequence is longer than its bound.
    #[error("length {len} at byte {at} exceeds its bound {bound}")]
    Bound {
        /// Offset after the header.
        at: usize,
        /// Length found.
        len: usize,
        /// Bound from the .msg file.
        bound: usize,
    },
    /// A boolean is neither 0 nor 1.
    #[error("boolean at byte {at} is {value}, expected 0 or 1")]
    Bool {
        /// Offset after the header.
        at: usize,
        /// What came.
        value: u8,
    },
    /// More bytes than the message has.
    #[error("{extra} bytes after the end of the message, at most {MAX_PADDING} expected")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The reader refused it (a string that is not UTF-8).
    #[error("unreadable: {0}")]
    Reader(String),
}

/// CDR bytes of a message, with header.
pub fn to_cdr<M: Message>(message: &M) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_cdr(message, &mut bytes);
    bytes
}

/// The same into `bytes`, whose memory is used again.
pub fn write_cdr<M: Message>(message: &M, bytes: &mut Vec<u8>) {
    bytes.clear();
    bytes.reserve(HEADER.len() + message.cdr_serialized_size(0));
    bytes.extend_from_slice(&HEADER);
    message.cdr_serialize(&mut hiroz_cdr::CdrWriter::<hiroz_cdr::LittleEndian>::new(bytes));
}

/// A message from CDR bytes with header, checked against `layout`.
pub fn from_cdr<M: Message>(layout: &Layout, bytes: &[u8]) -> Result<M, CdrFault> {
    let body = layout.check(bytes)?;
    let mut reader = hiroz_cdr::CdrReader::<hiroz_cdr::LittleEndian>::new(body);
    M::cdr_deserialize(&mut reader).map_err(|e| CdrFault::Reader(e.to_string()))
}

/// A message's bytes, shared by reference count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(ZSlice);

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl Payload {
    /// What Zenoh brought; copies only what came in several pieces.
    pub fn gather(pieces: impl Into<ZBuf>) -> Self {
        let pieces = pieces.into();
        let mut slices = pieces.zslices();
        match (slices.next(), slices.next()) {
            (Some(one), None) => Self(one.clone()),
            _ => Self(pieces.contiguous().into_owned().into()),
        }
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// The same as [`from_cdr`], but byte arrays (pictures) are shared with the payload instead of copied.
pub fn from_payload<M: Message>(layout: &Layout, payload: &Payload) -> Result<M, CdrFault> {
    // Where hiroz's reader looks for the owner of what it reads.
    hiroz_cdr::ZBUF_DESER_SOURCE.set(Some(payload.0.clone().into()));
    let message = from_cdr(layout, payload);
    hiroz_cdr::ZBUF_DESER_SOURCE.set(None);
    message
}

/// What a message looks like in CDR, compiled once per subscription.
#[derive(Debug, Clone)]
pub struct Layout(pub(crate) Vec<Node>);

#[derive(Debug, Clone)]
pub(crate) enum Node {
    /// A number of this many bytes, aligned to its size.
    Number(usize),
    Bool,
    Text(Option<usize>),
    Array(Box<Node>, usize),
    Sequence(Box<Node>, Option<usize>),
    Struct(Vec<Node>),
    /// `std_msgs/Header`: ROS 1 has a counter before it.
    Header(Vec<Node>),
}

impl Layout {
    /// Of a message type.
    pub fn of<M: Message>() -> Self {
        Self(M::message_schema().map(|s| fields(&s)).unwrap_or_default())
    }

    /// Checks a payload; returns what follows the header.
    pub fn check<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], CdrFault> {
        let Some((header, body)) = bytes.split_first_chunk::<4>().filter(|_| bytes.len() <= MAX_PAYLOAD) else {
            return Err(CdrFault::Size { len: bytes.len(), min: HEADER.len(), max: MAX_PAYLOAD });
        };
        // The options (last two bytes) may name padding; the representation must be ours.
        if header[..2] != HEADER[..2] {
            return Err(CdrFault::Header { got: *header });
        }
        let mut walk = Walk { body, at: 0 };
        for node in &self.0 {
            walk.step(node)?;
        }
        let extra = body.len() - walk.at;
        if extra > MAX_PADDING { Err(CdrFault::Trailing { extra }) } else { Ok(body) }
    }
}

fn fields(schema: &MessageSchema) -> Vec<Node> {
    // rosidl gives an empty message one dummy byte.
    if schema.fields.is_empty() {
        return vec![Node::Number(1)];
    }
    schema.fields.iter().map(|f| node(&f.field_type)).collect()
}

fn node(field: &FieldType) -> Node {
    match field {
        FieldType::Bool => Node::Bool,
        FieldType::Int8 | FieldType::Uint8 => Node::Number(1),
        FieldType::Int16 | FieldType::Uint16 => Node::Number(2),
        FieldType::Int32 | FieldType::Uint32 | FieldType::Float32 => Node::Number(4),
        FieldType::Int64 | FieldType::Uint64 | FieldType::Float64 => Node::Number(8),
        FieldType::String => Node::Text(None),
        FieldType::BoundedString(bound) => Node::Text(Some(*bound)),
        FieldType::Message(schema) if schema.type_name == "std_msgs/msg/Header" => Node::Header(fields(schema)),
        FieldType::Message(schema) => Node::Struct(fields(schema)),
        FieldType::Array(inner, n) => Node::Array(Box::new(node(inner)), *n),
        FieldType::Sequence(inner) => Node::Sequence(Box::new(node(inner)), None),
        FieldType::BoundedSequence(inner, bound) => Node::Sequence(Box::new(node(inner)), Some(*bound)),
    }
}

/// A position in a body. `at <= body.len()` always.
struct Walk<'a> {
    body: &'a [u8],
    at: usize,
}

impl Walk<'_> {
    fn step(&mut self, node: &Node) -> Result<(), CdrFault> {
        match node {
            Node::Number(size) => self.skip(*size, 1),
            Node::Bool => {
                let at = self.at;
                self.skip(1, 1)?;
                let value = self.body[at];
                if value > 1 { Err(CdrFault::Bool { at, value }) } else { Ok(()) }
            }
            Node::Text(bound) => {
                // The length counts the terminating zero.
                let len = self.length(bound.map(|b| b.saturating_add(1)))?;
                self.skip(1, len)
            }
            Node::Array(inner, n) => self.many(inner, *n),
            Node::Sequence(inner, bound) => {
                let len = self.length(*bound)?;
                self.many(inner, len)
            }
            Node::Struct(fields) | Node::Header(fields) => fields.iter().try_for_each(|f| self.step(f)),
        }
    }

    fn many(&mut self, inner: &Node, n: usize) -> Result<(), CdrFault> {
        match inner {
            Node::Number(size) => self.skip(*size, n),
            // Every element takes a byte at least, so this ends with the payload.
            _ => (0..n).try_for_each(|_| self.step(inner)),
        }
    }

    /// A length prefix; refuses one that cannot fit in what is left.
    fn length(&mut self, bound: Option<usize>) -> Result<usize, CdrFault> {
        self.skip(4, 1)?;
        let at = self.at - 4;
        let len = self.body[at..self.at].iter().rev().fold(0usize, |n, &b| (n << 8) | usize::from(b));
        let left = self.body.len() - self.at;
        match bound {
            Some(bound) if len > bound => Err(CdrFault::Bound { at, len, bound }),
            _ if len > left => Err(CdrFault::Truncated { at, needed: len, left }),
            _ => Ok(len),
        }
    }

    /// `n` numbers of `size` bytes, the first aligned to `size` (nothing at all for `n` = 0).
    fn skip(&mut self, size: usize, n: usize) -> Result<(), CdrFault> {
        if n == 0 {
            return Ok(());
        }
        let start = self.at.next_multiple_of(size);
        let end = size.checked_mul(n).and_then(|bytes| start.checked_add(bytes)).unwrap_or(usize::MAX);
        if end > self.body.len() {
            return Err(CdrFault::Truncated { at: self.at, needed: end - self.at, left: self.body.len() - self.at });
        }
        self.at = end;
        Ok(())
    }
}

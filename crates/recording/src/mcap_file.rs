//! MCAP files, read record by record: neither their index nor their summary is believed, so that a file that was cut off gives what it holds.

use crate::{
    RecordingError,
    bytes::Front,
    chunk::Compression,
    file::Records,
    store::{Channel, End, Form, Met, Place, Store, Visit},
};
use mcap::records::op;
use std::{
    collections::{HashMap, VecDeque},
    path::Path,
};

/// How a file begins.
pub const MAGIC: &[u8] = mcap::MAGIC;
/// A record's head: what it is, and its length.
const HEAD: u64 = 9;
/// What stands before a message's bytes in its record.
const MESSAGE_HEAD: u64 = 22;
/// Inflated chunks that are kept: pictures of two cameras may lie in neighbours.
const KEPT: usize = 2;

/// The file.
pub struct McapFile {
    records: Records,
    inflated: VecDeque<(u64, Vec<u8>)>,
}

impl McapFile {
    /// Opens a file that begins with [`MAGIC`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Ok(Self { records: Records::open(path)?, inflated: VecDeque::new() })
    }
}

/// What was said about channels so far.
#[derive(Default)]
struct Said {
    schemas: HashMap<u16, String>,
}

impl Said {
    /// A schema or a channel. Parsed here: the writer's crate reserves what a length claims.
    fn hear(&mut self, opcode: u8, body: &[u8], visit: &mut Visit<'_>) -> Result<Result<(), String>, RecordingError> {
        let said = if opcode == op::SCHEMA { self.schema(body).map(|()| None) } else { self.channel(body).map(Some) };
        match said {
            None => Ok(Err("a schema or channel that ends too early".to_owned())),
            Some(None) => Ok(Ok(())),
            Some(Some(channel)) => visit(Met::Channel(channel)).map(Ok),
        }
    }

    fn schema(&mut self, body: &[u8]) -> Option<()> {
        let mut front = Front(body);
        let (id, name) = (front.u16()?, front.text()?);
        self.schemas.insert(id, name);
        Some(())
    }

    fn channel(&self, body: &[u8]) -> Option<Channel> {
        let mut front = Front(body);
        let (id, schema, topic, encoding) = (front.u16()?, front.u16()?, front.text()?, front.text()?);
        let mut metadata = Front(front.block()?);
        let mut md5 = None;
        while !metadata.0.is_empty() {
            let (key, value) = (metadata.text()?, metadata.text()?);
            if key == "md5sum" {
                md5 = Some(value);
            }
        }
        let form = match encoding.as_str() {
            "cdr" => Form::Cdr,
            "ros1" => Form::Ros1(md5),
            _ => Form::Other(encoding),
        };
        let type_name = self.schemas.get(&schema).cloned().unwrap_or_default();
        Some(Channel { id: id.into(), topic, type_name, form })
    }
}

/// Channel and log time of a message's head.
fn message_head(head: &[u8]) -> Option<(u32, i64)> {
    let mut front = Front(head);
    let (channel, _sequence, logged) = (front.u16()?, front.u32()?, front.u64()?);
    Some((channel.into(), i64::try_from(logged).unwrap_or(i64::MAX)))
}

/// A chunk's content and its check sum; 0 for none.
struct Chunk<'a> {
    compression: String,
    sum: u32,
    packed: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Of a record's body, which may be cut off within the packed part.
    fn of(body: &'a [u8]) -> Option<Self> {
        let mut front = Front(body);
        let (_start, _end, _size, sum) = (front.u64()?, front.u64()?, front.u64()?, front.u32()?);
        let compression = front.text()?;
        let packed = usize::try_from(front.u64()?).ok()?;
        Some(Self { compression, sum, packed: front.0.get(..packed).unwrap_or(front.0) })
    }

    fn inflate(&self) -> Result<(Vec<u8>, Option<String>), String> {
        let Some(compression) = Compression::named(&self.compression).filter(|c| *c != Compression::Bzip2) else {
            return Err(format!("a chunk compressed as {:?}, \"\", \"lz4\" or \"zstd\" expected", self.compression));
        };
        let (inflated, fault) = compression.inflate(self.packed);
        let bad = fault.is_none() && self.sum != 0 && crc32fast::hash(&inflated) != self.sum;
        Ok((inflated, fault.or(bad.then(|| "a chunk whose check sum is another".to_owned()))))
    }
}

impl McapFile {
    /// The messages of an inflated chunk. What stands behind the last whole record is said.
    fn within(
        at: u64,
        inflated: &[u8],
        said: &mut Said,
        visit: &mut Visit<'_>,
    ) -> Result<Option<String>, RecordingError> {
        let mut front = Front(inflated);
        while !front.0.is_empty() {
            let begins = inflated.len() - front.0.len();
            let head = front.u8().zip(front.u64());
            let Some((opcode, body)) = head.and_then(|(o, n)| Some((o, front.take(usize::try_from(n).ok()?)?))) else {
                return Ok(Some(format!("a chunk that ends in the middle of a record, at byte {begins} of it")));
            };
            let fault = match opcode {
                op::SCHEMA | op::CHANNEL => said.hear(opcode, body, visit)?.err(),
                op::MESSAGE => match message_head(body).zip(body.get(MESSAGE_HEAD as usize..)) {
                    Some(((channel, logged), bytes)) => {
                        let offset = (begins as u64 + HEAD + MESSAGE_HEAD) as u32;
                        let place = Place { at, offset, length: bytes.len() as u32 };
                        visit(Met::Message { channel, logged, place, bytes })?;
                        None
                    }
                    None => Some(format!("a message of {} bytes, at least {MESSAGE_HEAD} expected", body.len())),
                },
                _ => None,
            };
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    /// A chunk of a whole file.
    fn chunk(&mut self, at: u64, body: &[u8], said: &mut Said, visit: &mut Visit<'_>) -> Result<(), RecordingError> {
        let damaged = |what: String| self.records.damaged(at, what);
        let chunk = Chunk::of(body).ok_or_else(|| damaged("a chunk without its head".to_owned()))?;
        let (inflated, fault) = chunk.inflate().map_err(damaged)?;
        match fault {
            Some(what) => Err(damaged(what)),
            None => Self::within(at, &inflated, said, visit)?.map_or(Ok(()), |what| Err(damaged(what))),
        }
    }

    /// What is left of a chunk that the file's end cut off.
    fn cut_chunk(&mut self, at: u64, said: &mut Said, visit: &mut Visit<'_>) -> Result<(), RecordingError> {
        let left = self.records.left();
        let Ok(body) = self.records.take(left) else { return Ok(()) };
        let Some(Ok((inflated, _))) = Chunk::of(&body).map(|c| c.inflate()) else { return Ok(()) };
        Self::within(at, &inflated, said, visit).map(|_| ())
    }

    /// The chunk that begins at a byte, inflated.
    fn inflated(&mut self, at: u64, length: u64) -> Result<&[u8], RecordingError> {
        if !self.inflated.iter().any(|(a, _)| *a == at) {
            let body = self.records.take(length.min(self.records.left()))?;
            let chunk = Chunk::of(&body).ok_or_else(|| self.records.damaged(at, "no chunk"))?;
            let (inflated, _) = chunk.inflate().map_err(|what| self.records.damaged(at, what))?;
            self.inflated.truncate(KEPT - 1);
            self.inflated.push_front((at, inflated));
        }
        let found = self.inflated.iter().find(|(a, _)| *a == at);
        found.map(|(_, i)| i.as_slice()).ok_or_else(|| self.records.damaged(at, "no chunk"))
    }
}

impl Store for McapFile {
    fn walk(&mut self, bytes: bool, visit: &mut Visit<'_>) -> Result<End, RecordingError> {
        self.records.go(MAGIC.len() as u64)?;
        let mut said = Said::default();
        loop {
            let at = self.records.at();
            if self.records.left() < HEAD {
                return Ok(End::Cut("it ends without a footer".to_owned()));
            }
            let [opcode, length @ ..] = self.records.array::<{ HEAD as usize }>()?;
            let length = u64::from_le_bytes(length);
            if opcode == op::FOOTER {
                return Ok(End::Complete);
            }
            if length > self.records.left() {
                if opcode == op::CHUNK {
                    self.cut_chunk(at, &mut said, visit)?;
                }
                return Ok(End::Cut(format!("the record at byte {at} has {length} bytes, more than are left")));
            }
            match opcode {
                op::SCHEMA | op::CHANNEL => {
                    let body = self.records.take(length)?;
                    said.hear(opcode, &body, visit)?.map_err(|what| self.records.damaged(at, what))?;
                }
                op::MESSAGE if length >= MESSAGE_HEAD => {
                    let head = self.records.array::<{ MESSAGE_HEAD as usize }>()?;
                    let rest = length - MESSAGE_HEAD;
                    let body = if bytes { self.records.take(rest)? } else { Vec::new() };
                    if let Some((channel, logged)) = message_head(&head) {
                        let place = Place { at, offset: (HEAD + MESSAGE_HEAD) as u32, length: rest as u32 };
                        visit(Met::Message { channel, logged, place, bytes: &body })?;
                    }
                    self.records.go(at + HEAD + length)?;
                }
                op::MESSAGE => {
                    let what = format!("a message of {length} bytes, at least {MESSAGE_HEAD} expected");
                    return Err(self.records.damaged(at, what));
                }
                op::CHUNK => {
                    let body = self.records.take(length)?;
                    self.chunk(at, &body, &mut said, visit)?;
                }
                _ => self.records.go(at + HEAD + length)?,
            }
        }
    }

    fn read(&mut self, place: Place) -> Result<Vec<u8>, RecordingError> {
        let (offset, length) = (place.offset as usize, place.length as usize);
        self.records.go(place.at)?;
        let [opcode, size @ ..] = self.records.array::<{ HEAD as usize }>()?;
        if opcode == op::MESSAGE {
            self.records.go(place.at + u64::from(place.offset))?;
            return self.records.take(u64::from(place.length));
        }
        let inflated = self.inflated(place.at, u64::from_le_bytes(size))?;
        let found = inflated.get(offset..).and_then(|rest| rest.get(..length)).map(<[u8]>::to_vec);
        found.ok_or_else(|| self.records.damaged(place.at, "the file has changed while it was read"))
    }
}

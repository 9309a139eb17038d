//! ROS 1 bags, format 2.0 (wiki.ros.org/Bags/Format/2.0), read record by record: the index is not believed, so that bags without one, and those that were
//! cut off, give what they hold.
//!
//! Every record is a header of `name=value` fields and data, each behind its length. Messages and connections lie in chunks; small bags may have them
//! outside.

use crate::{
    RecordingError,
    bytes::Front,
    chunk::{Compression, MOST},
    file::Records,
    store::{Channel, End, Form, Met, Place, Store, Visit},
};
use std::{collections::VecDeque, path::Path};

/// How a bag begins.
pub const MAGIC: &[u8] = b"#ROSBAG V2.0\n";
/// How bags of any version begin.
pub const ANY_MAGIC: &[u8] = b"#ROSBAG V";
/// Longest header of a record, bytes.
const MOST_HEADER: u32 = 1 << 20;
/// Inflated chunks that are kept.
const KEPT: usize = 2;

/// Kinds of records.
mod op {
    pub const MESSAGE: u8 = 2;
    pub const BAG: u8 = 3;
    pub const CHUNK: u8 = 5;
    pub const CONNECTION: u8 = 7;
}

/// The bag.
pub struct Ros1Bag {
    records: Records,
    inflated: VecDeque<(u64, Vec<u8>)>,
}

/// The fields of a record's header.
struct Fields<'a>(Vec<(&'a [u8], &'a [u8])>);

impl<'a> Fields<'a> {
    fn of(header: &'a [u8]) -> Option<Self> {
        let (mut front, mut fields) = (Front(header), Vec::new());
        while !front.0.is_empty() {
            let field = front.block()?;
            let equals = field.iter().position(|b| *b == b'=')?;
            fields.push((&field[..equals], &field[equals + 1..]));
        }
        Some(Self(fields))
    }

    fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.0.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, v)| *v)
    }

    fn number(&self, name: &str) -> Option<u32> {
        Front(self.get(name)?).u32()
    }

    fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(|v| String::from_utf8_lossy(v).into_owned())
    }

    fn op(&self) -> Option<u8> {
        self.get("op")?.first().copied()
    }
}

/// A record outside chunks: where its data is.
struct Outer {
    header: Vec<u8>,
    /// Byte at which the data begin.
    data: u64,
    length: u64,
}

/// Meets a connection or a message; says what is wrong with it.
fn meet(
    fields: &Fields<'_>,
    data: &[u8],
    place: Place,
    visit: &mut Visit<'_>,
) -> Result<Option<String>, RecordingError> {
    match fields.op() {
        Some(op::CONNECTION) => {
            let inner = Fields::of(data);
            let parts =
                inner.as_ref().and_then(|f| Some((fields.number("conn")?, fields.text("topic")?, f.text("type")?)));
            let Some((id, topic, type_name)) = parts else {
                return Ok(Some("a connection that lacks conn, topic or type".to_owned()));
            };
            let form = Form::Ros1(inner.and_then(|f| f.text("md5sum")));
            visit(Met::Channel(Channel { id, topic, type_name, form }))?;
        }
        Some(op::MESSAGE) => {
            let time = fields.get("time").and_then(|t| {
                let mut front = Front(t);
                Some(i64::from(front.u32()?) * 1_000_000_000 + i64::from(front.u32()?))
            });
            let Some((channel, logged)) = fields.number("conn").zip(time) else {
                return Ok(Some("a message that lacks conn or time".to_owned()));
            };
            visit(Met::Message { channel, logged, place, bytes: data })?;
        }
        _ => {}
    }
    Ok(None)
}

impl Ros1Bag {
    /// Opens a file that begins with [`MAGIC`].
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        Ok(Self { records: Records::open(path)?, inflated: VecDeque::new() })
    }

    /// The record at this place: its header and where its data are; `None` where the file ends before the data begin.
    fn outer(&mut self) -> Result<Option<Outer>, RecordingError> {
        let at = self.records.at();
        if self.records.left() < 4 {
            return Ok(None);
        }
        let length = u32::from_le_bytes(self.records.array()?);
        if length > MOST_HEADER {
            let what = format!("a record's header of {length} bytes, at most {MOST_HEADER} expected");
            return Err(self.records.damaged(at, what));
        }
        if self.records.left() < u64::from(length) + 4 {
            return Ok(None);
        }
        let header = self.records.take(length.into())?;
        let length = u32::from_le_bytes(self.records.array()?).into();
        Ok(Some(Outer { header, data: self.records.at(), length }))
    }

    /// Everything in an inflated chunk.
    fn within(at: u64, inflated: &[u8], visit: &mut Visit<'_>) -> Result<Option<String>, RecordingError> {
        let mut front = Front(inflated);
        while !front.0.is_empty() {
            let begins = inflated.len() - front.0.len();
            let Some((header, data)) = front.block().and_then(|h| Some((h, front.block()?))) else {
                return Ok(Some(format!("a chunk that ends in the middle of a record, at byte {begins} of it")));
            };
            let Some(fields) = Fields::of(header) else {
                return Ok(Some(format!("a record whose header is none, at byte {begins} of a chunk")));
            };
            let offset = inflated.len() - front.0.len() - data.len();
            let place = Place { at, offset: offset as u32, length: data.len() as u32 };
            let fault = meet(&fields, data, place, visit)?;
            if fault.is_some() {
                return Ok(fault);
            }
        }
        Ok(None)
    }

    fn inflate(
        &self,
        at: u64,
        fields: &Fields<'_>,
        packed: &[u8],
    ) -> Result<(Vec<u8>, Option<String>), RecordingError> {
        let name = fields.text("compression").unwrap_or_default();
        let compression = Compression::named(&name).filter(|c| *c != Compression::Zstd && !name.is_empty());
        let Some(compression) = compression else {
            let what = format!("a chunk compressed as {name:?}, \"none\", \"bz2\" or \"lz4\" expected");
            return Err(self.records.damaged(at, what));
        };
        Ok(compression.inflate(packed))
    }

    /// The chunk that begins at a byte, inflated.
    fn inflated(&mut self, at: u64) -> Result<&[u8], RecordingError> {
        if !self.inflated.iter().any(|(a, _)| *a == at) {
            self.records.go(at)?;
            let gone = RecordingError::damaged(self.records.path(), at, "the file has changed while it was read");
            let Some(outer) = self.outer()? else { return Err(gone) };
            let packed = self.records.take(outer.length.min(self.records.left()))?;
            let Some(fields) = Fields::of(&outer.header) else { return Err(gone) };
            let (inflated, _) = self.inflate(at, &fields, &packed)?;
            self.inflated.truncate(KEPT - 1);
            self.inflated.push_front((at, inflated));
        }
        let found = self.inflated.iter().find(|(a, _)| *a == at);
        found.map(|(_, i)| i.as_slice()).ok_or_else(|| self.records.damaged(at, "no chunk"))
    }
}

impl Store for Ros1Bag {
    fn walk(&mut self, bytes: bool, visit: &mut Visit<'_>) -> Result<End, RecordingError> {
        self.records.go(MAGIC.len() as u64)?;
        let mut indexed = false;
        loop {
            let at = self.records.at();
            if self.records.left() == 0 {
                return Ok(if indexed {
                    End::Complete
                } else {
                    End::Cut("its index is missing, as if its recorder had been killed".to_owned())
                });
            }
            let Some(outer) = self.outer()? else {
                return Ok(End::Cut(format!("it ends in the middle of the record at byte {at}")));
            };
            let Some(fields) = Fields::of(&outer.header) else {
                return Err(self.records.damaged(at, "a record whose header is none"));
            };
            let cut = outer.length > self.records.left();
            let length = outer.length.min(self.records.left());
            match fields.op() {
                Some(op::CHUNK) => {
                    if length > MOST {
                        return Err(self
                            .records
                            .damaged(at, format!("a chunk of {length} bytes, at most {} MiB expected", MOST >> 20)));
                    }
                    let packed = self.records.take(length)?;
                    let (inflated, fault) = self.inflate(at, &fields, &packed)?;
                    let fault = fault.filter(|_| !cut);
                    let fault = fault.or(Self::within(at, &inflated, visit)?.filter(|_| !cut));
                    if let Some(what) = fault {
                        return Err(self.records.damaged(at, what));
                    }
                }
                Some(op::CONNECTION | op::MESSAGE) if !cut => {
                    let wanted = bytes || fields.op() == Some(op::CONNECTION);
                    let data = if wanted { self.records.take(length)? } else { Vec::new() };
                    let place = Place { at: outer.data, offset: 0, length: length as u32 };
                    if let Some(what) = meet(&fields, &data, place, visit)? {
                        return Err(self.records.damaged(at, what));
                    }
                }
                Some(op::BAG) => {
                    let index = fields.get("index_pos").and_then(|v| Front(v).u64());
                    indexed = index.is_some_and(|i| i > 0 && i < self.records.length());
                }
                _ => {}
            }
            if cut {
                return Ok(End::Cut(format!("it ends in the middle of the record at byte {at}")));
            }
            self.records.go(outer.data + outer.length)?;
        }
    }

    fn read(&mut self, place: Place) -> Result<Vec<u8>, RecordingError> {
        // Outside chunks a message's data begin where its place does; nothing in a chunk does, since headers come first.
        if place.offset == 0 {
            self.records.go(place.at)?;
            return self.records.take(place.length.into());
        }
        let inflated = self.inflated(place.at)?;
        let found = inflated
            .get(place.offset as usize..)
            .and_then(|rest| rest.get(..place.length as usize))
            .map(<[u8]>::to_vec);
        found.ok_or_else(|| self.records.damaged(place.at, "the file has changed while it was read"))
    }
}

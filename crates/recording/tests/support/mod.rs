//! Recordings made by hand: ROS 1 bags byte by byte after their format's description, MCAP by its writer, `.db3` by SQLite.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use proctor_msgs::{cdr, sensor_msgs::JointState};
use std::{collections::BTreeMap, fs, io::Write as _, path::Path};

pub const TYPE: &str = "sensor_msgs/msg/JointState";
pub const MD5: &str = "3066dcd76a6cfaef579bd0f34173e9fd";
pub const TOPIC: &str = "/PSM1/measured_js";

/// One message: its topic, when it was logged (ns), and its number, which it carries as its only position.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub topic: &'static str,
    pub logged: i64,
    pub number: u32,
}

/// As many of a topic, 10 ms apart from 1000 s on.
pub fn samples(n: u32) -> Vec<Sample> {
    (0..n)
        .map(|number| Sample { topic: TOPIC, logged: 1_000_000_000_000 + i64::from(number) * 10_000_000, number })
        .collect()
}

impl Sample {
    /// Its stamp: a millisecond before it was logged.
    pub fn stamp(&self) -> (u32, u32) {
        let ns = self.logged - 1_000_000;
        ((ns / 1_000_000_000) as u32, (ns % 1_000_000_000) as u32)
    }

    pub fn cdr(&self) -> Vec<u8> {
        let mut m = JointState {
            name: vec!["yaw".to_owned()],
            position: vec![f64::from(self.number)],
            ..JointState::default()
        };
        let (sec, nanosec) = self.stamp();
        (m.header.stamp.sec, m.header.stamp.nanosec) = (sec.cast_signed(), nanosec);
        cdr::to_cdr(&m)
    }

    /// As genpy writes it.
    pub fn ros1(&self) -> Vec<u8> {
        let (sec, nanosec) = self.stamp();
        let words = |list: &[u32]| list.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let head = words(&[self.number, sec, nanosec, 0, 1, 3]);
        [head, b"yaw".to_vec(), words(&[1]), f64::from(self.number).to_le_bytes().to_vec(), words(&[0, 0])].concat()
    }
}

fn fields(list: &[(&str, &[u8])]) -> Vec<u8> {
    let field = |(name, value): &(&str, &[u8])| {
        let text = [name.as_bytes(), b"=", value].concat();
        [&(text.len() as u32).to_le_bytes(), &text[..]].concat()
    };
    list.iter().flat_map(field).collect()
}

/// A record of a bag.
pub fn record(header: &[(&str, &[u8])], data: &[u8]) -> Vec<u8> {
    let header = fields(header);
    [&(header.len() as u32).to_le_bytes(), &header[..], &(data.len() as u32).to_le_bytes(), data].concat()
}

/// A ROS 1 bag.
pub struct Bag<'a> {
    pub compression: &'a str,
    pub type_name: &'a str,
    pub md5: &'a str,
    /// Messages in a chunk.
    pub per_chunk: usize,
}

impl Default for Bag<'_> {
    fn default() -> Self {
        Self { compression: "none", type_name: "sensor_msgs/JointState", md5: MD5, per_chunk: 7 }
    }
}

impl Bag<'_> {
    fn packed(&self, plain: &[u8]) -> Vec<u8> {
        match self.compression {
            "bz2" => {
                let mut writer = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            "lz4" => {
                let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
                writer.write_all(plain).unwrap();
                writer.finish().unwrap()
            }
            _ => plain.to_vec(),
        }
    }

    fn connection(&self, id: u32, topic: &str) -> Vec<u8> {
        let data = fields(&[
            ("topic", topic.as_bytes()),
            ("type", self.type_name.as_bytes()),
            ("md5sum", self.md5.as_bytes()),
            ("message_definition", b"Header header\n"),
        ]);
        record(&[("op", &[7]), ("conn", &id.to_le_bytes()), ("topic", topic.as_bytes())], &data)
    }

    pub fn write(&self, samples: &[Sample]) -> Vec<u8> {
        let mut topics: BTreeMap<&str, u32> = BTreeMap::new();
        let (mut body, mut infos) = (Vec::new(), Vec::new());
        for chunk in samples.chunks(self.per_chunk) {
            let mut plain = Vec::new();
            for s in chunk {
                let next = topics.len() as u32;
                let id = *topics.entry(s.topic).or_insert(next);
                if id == next {
                    plain.extend(self.connection(id, s.topic));
                }
                let time = [
                    ((s.logged / 1_000_000_000) as u32).to_le_bytes(),
                    ((s.logged % 1_000_000_000) as u32).to_le_bytes(),
                ]
                .concat();
                plain.extend(record(&[("op", &[2]), ("conn", &id.to_le_bytes()), ("time", &time)], &s.ros1()));
            }
            let size = (plain.len() as u32).to_le_bytes();
            body.extend(record(
                &[("op", &[5]), ("compression", self.compression.as_bytes()), ("size", &size)],
                &self.packed(&plain),
            ));
            // An index that nobody should believe.
            body.extend(record(
                &[
                    ("op", &[4]),
                    ("ver", &1_u32.to_le_bytes()),
                    ("conn", &0_u32.to_le_bytes()),
                    ("count", &u32::MAX.to_le_bytes()),
                ],
                &[0xff; 12],
            ));
            infos.extend(record(
                &[("op", &[6]), ("ver", &1_u32.to_le_bytes()), ("chunk_pos", &u64::MAX.to_le_bytes())],
                &[0xff; 8],
            ));
        }
        let connections: Vec<u8> = topics.iter().flat_map(|(topic, id)| self.connection(*id, topic)).collect();
        let head = |index: u64| {
            let counts = [(topics.len() as u32).to_le_bytes(), (infos.len() as u32).to_le_bytes()];
            let list: [(&str, &[u8]); 4] = [
                ("op", &[3]),
                ("index_pos", &index.to_le_bytes()),
                ("conn_count", &counts[0]),
                ("chunk_count", &counts[1]),
            ];
            record(&list, &[b' '; 16])
        };
        let magic = b"#ROSBAG V2.0\n";
        let index = (magic.len() + head(0).len() + body.len()) as u64;
        [&magic[..], &head(index), &body, &connections, &infos].concat()
    }
}

/// How an MCAP file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cdr,
    Ros1,
    Unchunked,
}

/// An MCAP file by its own writer.
pub fn mcap(kind: Kind, samples: &[Sample]) -> Vec<u8> {
    let mut out = std::io::Cursor::new(Vec::new());
    let options = mcap::WriteOptions::new().compression(None).use_chunks(kind != Kind::Unchunked).chunk_size(Some(600));
    let mut writer = options.create(&mut out).unwrap();
    let (name, schema, encoding) = match kind {
        Kind::Ros1 => ("sensor_msgs/JointState", "ros1msg", "ros1"),
        Kind::Cdr | Kind::Unchunked => (TYPE, "ros2msg", "cdr"),
    };
    let schema = writer.add_schema(name, schema, b"std_msgs/Header header").unwrap();
    let mut channels: BTreeMap<&str, u16> = BTreeMap::new();
    for s in samples {
        if !channels.contains_key(s.topic) {
            channels.insert(s.topic, writer.add_channel(schema, s.topic, encoding, &BTreeMap::new()).unwrap());
        }
        let log_time = s.logged.cast_unsigned();
        let header = mcap::records::MessageHeader {
            channel_id: channels[s.topic],
            sequence: s.number,
            log_time,
            publish_time: log_time,
        };
        let bytes = if kind == Kind::Ros1 { s.ros1() } else { s.cdr() };
        writer.write_to_known_channel(&header, &bytes).unwrap();
    }
    writer.finish().unwrap();
    drop(writer);
    out.into_inner()
}

/// An MCAP file of one chunk that is packed by hand.
pub fn packed_mcap(
    compression: &str,
    samples: &[Sample],
    pack: impl Fn(&[u8]) -> Vec<u8>,
    sum: Option<u32>,
) -> Vec<u8> {
    let whole = mcap(Kind::Unchunked, samples);
    // Schemas, channels and messages, between the header and the end of the data.
    let (mut at, mut plain, mut header) = (8, Vec::new(), Vec::new());
    while at + 9 <= whole.len() {
        let length = u64::from_le_bytes(whole[at + 1..at + 9].try_into().unwrap()) as usize;
        let record = &whole[at..at + 9 + length];
        match record[0] {
            1 => header = record.to_vec(),
            3..=5 => plain.extend_from_slice(record),
            _ => break,
        }
        at += 9 + length;
    }
    let packed = pack(&plain);
    let mut chunk = Vec::new();
    for word in [0_u64, u64::MAX, plain.len() as u64] {
        chunk.extend(word.to_le_bytes());
    }
    chunk.extend(sum.unwrap_or_else(|| crc32fast::hash(&plain)).to_le_bytes());
    chunk.extend((compression.len() as u32).to_le_bytes());
    chunk.extend(compression.as_bytes());
    chunk.extend((packed.len() as u64).to_le_bytes());
    chunk.extend(packed);
    let footer = [&[2_u8][..], &20_u64.to_le_bytes(), &[0; 20]].concat();
    [&whole[..8], &header, &[6], &(chunk.len() as u64).to_le_bytes(), &chunk, &footer, &whole[..8]].concat()
}

/// A `.db3` file of rosbag2.
pub fn db3(path: &Path, samples: &[Sample]) {
    let db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = MEMORY; PRAGMA page_size = 512;
         CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL);
         CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL, data BLOB NOT NULL);
         CREATE INDEX timestamp_idx ON messages (timestamp ASC);
         BEGIN;",
    )
    .unwrap();
    for s in samples {
        let known = "INSERT INTO topics(name, type, serialization_format, offered_qos_profiles) SELECT ?1, ?2, 'cdr', '' WHERE NOT EXISTS (SELECT 1 FROM topics WHERE name = ?1)";
        db.execute(known, (s.topic, TYPE)).unwrap();
        let insert = "INSERT INTO messages(topic_id, timestamp, data) SELECT id, ?2, ?3 FROM topics WHERE name = ?1";
        db.execute(insert, (s.topic, s.logged, s.cdr())).unwrap();
    }
    db.execute_batch("COMMIT").unwrap();
}

/// The bytes of a `.db3` file.
pub fn db3_bytes(samples: &[Sample]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db3");
    db3(&path, samples);
    fs::read(path).unwrap()
}

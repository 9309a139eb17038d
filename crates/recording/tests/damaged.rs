//! Damaged recordings: a clear word, no panic, no memory that nothing stands for.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_msgs::sensor_msgs::JointState;
use proctor_recording::{Recording, RecordingError};
use std::{fs, path::PathBuf};
use support::{Bag, Kind, MD5, TOPIC, db3, db3_bytes, mcap, packed_mcap, record, samples};

/// Numbers of the messages that are read, or what is said instead; and what is said about the end.
fn read(name: &str, bytes: &[u8]) -> (Result<Vec<u32>, String>, Vec<String>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    fs::write(&file, bytes).unwrap();
    let mut recording = match Recording::open(&file) {
        Ok(recording) => recording,
        Err(error) => return (Err(error.to_string()), Vec::new()),
    };
    let cut = recording.cut().to_vec();
    let mut all = || -> Result<Vec<u32>, RecordingError> {
        let topics: Vec<u32> = (0..recording.topics().len() as u32).collect();
        let entries = recording.index(&topics)?;
        entries.iter().map(|e| Ok(recording.message::<JointState>(e)?.position[0] as u32)).collect()
    };
    (all().map_err(|e| e.to_string()), cut)
}

#[test]
fn a_recording_that_was_cut_off_gives_its_beginning_and_says_so() {
    let all = samples(40);
    for (name, whole) in [
        ("a.mcap", mcap(Kind::Cdr, &all)),
        ("b.mcap", mcap(Kind::Unchunked, &all)),
        ("c.bag", Bag::default().write(&all)),
        ("d.bag", Bag { compression: "lz4", ..Bag::default() }.write(&all)),
        ("e.bag", Bag { compression: "bz2", ..Bag::default() }.write(&all)),
    ] {
        let mut before = 0;
        for length in (16..whole.len()).step_by(23) {
            let (got, cut) = read(name, &whole[..length]);
            let got = got.unwrap_or_else(|why| panic!("{name} of {length} bytes: {why}"));
            assert!(
                got.len() >= before && got.iter().copied().eq(0..got.len() as u32),
                "{name} of {length} bytes: {got:?}"
            );
            before = got.len();
            // Behind the footer, or behind all chunks at a record's end, nothing is missing that holds a message.
            assert!(cut.len() == 1 || got.len() == 40, "{name} of {length} bytes");
        }
        assert_eq!(before, 40, "{name}");
        assert_eq!(read(name, &whole), (Ok((0..40).collect()), Vec::new()), "{name}");
    }
}

#[test]
fn what_is_no_recording_is_refused_by_name() {
    for (bytes, part) in [
        (&b"PK\x03\x04 something else"[..], "PK\\x03\\x04"),
        (b"", "an empty file"),
        (b"#ROSBAG V1.2\n", "version 1.2"),
        (b"SQLite format 3\0", "file"),
    ] {
        let error = read("thing", bytes).0.unwrap_err();
        assert!(error.contains("thing") && error.contains(part), "{error}");
    }
    let missing = Recording::open(&PathBuf::from("/nowhere/at/all.bag")).map(|_| ()).unwrap_err();
    assert!(matches!(missing, RecordingError::File { .. }) && missing.to_string().contains("/nowhere/at/all.bag"));
}

#[test]
fn another_definition_of_a_type_is_refused_with_both_sums() {
    let bag = Bag { md5: "0123456789abcdef0123456789abcdef", ..Bag::default() }.write(&samples(3));
    let error = read("a.bag", &bag).0.unwrap_err();
    assert!(error.contains(TOPIC) && error.contains("0123456789abcdef") && error.contains(MD5), "{error}");
    let bag = Bag { type_name: "my_msgs/JointState", ..Bag::default() }.write(&samples(3));
    let error = read("a.bag", &bag).0.unwrap_err();
    assert!(error.contains("my_msgs/msg/JointState"), "{error}");
}

#[test]
fn absurd_lengths_reserve_nothing() {
    // Headers and chunks that claim gigabytes.
    let head = record(&[("op", &[3]), ("index_pos", &9_u64.to_le_bytes())], &[]);
    let bag = |rest: &[u8]| [&b"#ROSBAG V2.0\n"[..], &head, rest].concat();
    let (got, _) = read("a.bag", &bag(&u32::MAX.to_le_bytes()));
    assert!(got.unwrap_err().contains("4294967295 bytes"));
    let mut chunk = record(&[("op", &[5]), ("compression", b"none"), ("size", &u32::MAX.to_le_bytes())], &[0; 8]);
    let at = chunk.len() - 12;
    chunk[at..at + 4].copy_from_slice(&0xf000_0000_u32.to_le_bytes());
    assert_eq!(read("a.bag", &bag(&chunk)).1.len(), 1, "a chunk longer than the file is a file that was cut off");
    let whole = mcap(Kind::Cdr, &samples(3));
    for length in [u64::MAX, 1 << 62, 1 << 40] {
        let record = [&[6_u8][..], &length.to_le_bytes(), &[0; 40]].concat();
        let (got, cut) = read("a.mcap", &[&whole[..8], &record].concat());
        assert!(got == Ok(vec![]) && cut[0].contains(&length.to_string()), "{got:?} {cut:?}");
    }
    // A message that claims more joints than there are bytes.
    let mut bag = Bag { per_chunk: 1, ..Bag::default() }.write(&samples(1));
    let yaw = bag.windows(3).position(|w| w == b"yaw").unwrap();
    bag[yaw + 3..yaw + 7].copy_from_slice(&0x7fff_ffff_u32.to_le_bytes());
    let error = read("a.bag", &bag).0.unwrap_err();
    assert!(error.contains(TOPIC) && error.contains("logged at 1000.000 s"), "{error}");
}

#[test]
fn damage_within_is_named_with_its_byte() {
    let all = samples(10);
    let plain = |p: &[u8]| p.to_vec();
    let error = read("a.mcap", &packed_mcap("", &all, plain, Some(7))).0.unwrap_err();
    assert!(error.contains("check sum") && error.contains("a.mcap, byte "), "{error}");
    let error = read("a.mcap", &packed_mcap("lzma", &all, plain, None)).0.unwrap_err();
    assert!(error.contains("\"lzma\"") && error.contains("zstd"), "{error}");
    let error = read("a.mcap", &packed_mcap("zstd", &all, plain, None)).0.unwrap_err();
    assert!(error.contains("a.mcap, byte "), "{error}");
    let error = read("a.mcap", &packed_mcap("", &all, |p| p[..p.len() - 5].to_vec(), Some(0))).0.unwrap_err();
    assert!(error.contains("in the middle of a record"), "{error}");
    let error = read("a.bag", &Bag { compression: "xz", ..Bag::default() }.write(&all)).0.unwrap_err();
    assert!(error.contains("\"xz\"") && error.contains("a.bag, byte "), "{error}");
    // A chunk that ends within a record.
    let short = record(&[("op", &[5]), ("compression", b"none"), ("size", &[9, 0, 0, 0])], &[200, 0, 0, 0, 1]);
    let bag = [&b"#ROSBAG V2.0\n"[..], &short, &record(&[("op", &[3])], &[])].concat();
    assert!(read("a.bag", &bag).0.unwrap_err().contains("byte 0 of it"));
}

#[test]
fn a_database_that_is_none_of_rosbag2_or_runs_what_it_should_not_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.db3");
    let open = || Recording::open(&file).map(|_| ()).unwrap_err().to_string();
    let make = |sql: &str| {
        let _ = fs::remove_file(&file);
        rusqlite::Connection::open(&file).unwrap().execute_batch(sql).unwrap();
    };
    make("CREATE TABLE photos(id INTEGER);");
    assert!(open().contains("\"topics\"") && open().contains("a.db3"));
    // Messages without end, made up by a view.
    make(
        "CREATE TABLE topics(id INTEGER, name TEXT, type TEXT, serialization_format TEXT);
         CREATE VIEW messages AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, 1 AS topic_id, i AS timestamp, x'00' AS data FROM n;",
    );
    assert!(open().contains("\"messages\""));
    make("CREATE TABLE topics(id TEXT, name TEXT); CREATE TABLE messages(id INTEGER);");
    assert!(open().contains("type"));
    // Two messages of one id: which of them is read by it?
    make(
        "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT);
         CREATE TABLE messages(id INTEGER, topic_id INTEGER, timestamp INTEGER, data BLOB);
         INSERT INTO topics VALUES(1, '/a', 'sensor_msgs/msg/JointState', 'cdr');
         INSERT INTO messages VALUES(1, 1, 10, x'00'), (2, 1, 20, x'00'), (2, 1, 30, x'01');",
    );
    let twice = Recording::open(&file).and_then(|mut r| r.index(&[0]).map(|_| ())).unwrap_err().to_string();
    assert!(twice.contains("the id 2 of a message comes twice") && twice.contains("a.db3"), "{twice}");
    // Torn pages.
    db3(&folder.path().join("b.db3"), &samples(200));
    let whole = db3_bytes(&samples(200));
    for n in [100, 600, whole.len() / 2, whole.len() - 700] {
        let (got, _) = read("a.db3", &whole[..n]);
        assert!(got.is_err(), "{n} of {} bytes: {got:?}", whole.len());
    }
}

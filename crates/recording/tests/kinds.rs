//! The same messages from every kind of recording.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_msgs::sensor_msgs::{Image, JointState};
use proctor_recording::{Entry, Recording, RecordingError, is_recording};
use std::{fs, path::Path};
use support::{Bag, Kind, Sample, TOPIC, TYPE, db3, mcap, packed_mcap, samples};

/// What a recording holds of a topic: numbers with stamps (ns) and log times (ns), in order.
fn read(path: &Path, topic: &str) -> Result<Vec<(u32, i64, i64)>, RecordingError> {
    let mut recording = Recording::open(path)?;
    let topic = recording.find(topic).unwrap();
    let entries = recording.index(&[topic])?;
    entries.iter().map(|e| one(&mut recording, e)).collect()
}

fn one(recording: &mut Recording, entry: &Entry) -> Result<(u32, i64, i64), RecordingError> {
    let m: JointState = recording.message(entry)?;
    assert_eq!(m.name, ["yaw"]);
    let stamp = i64::from(m.header.stamp.sec) * 1_000_000_000 + i64::from(m.header.stamp.nanosec);
    assert_eq!(entry.stamp, Some(stamp));
    Ok((m.position[0] as u32, stamp, entry.logged))
}

fn expected(samples: &[Sample]) -> Vec<(u32, i64, i64)> {
    samples.iter().map(|s| (s.number, s.logged - 1_000_000, s.logged)).collect()
}

#[test]
fn every_kind_gives_the_same_messages() {
    let folder = tempfile::tempdir().unwrap();
    let wanted = samples(50);
    // Another topic between them.
    let other = |s: &Sample| Sample { topic: "/ECM/measured_js", number: s.number + 1000, ..*s };
    let all: Vec<Sample> = wanted.iter().flat_map(|s| [*s, other(s)]).collect();
    let lz4 = |plain: &[u8]| {
        let mut writer = lz4_flex::frame::FrameEncoder::new(Vec::new());
        std::io::Write::write_all(&mut writer, plain).unwrap();
        writer.finish().unwrap()
    };
    let zstd = |plain: &[u8]| ruzstd::encoding::compress_to_vec(plain, ruzstd::encoding::CompressionLevel::Fastest);
    let bag = |compression| Bag { compression, ..Bag::default() }.write(&all);
    for (name, bytes) in [
        ("chunks.mcap", mcap(Kind::Cdr, &all)),
        ("none.mcap", mcap(Kind::Unchunked, &all)),
        ("ros1.mcap", mcap(Kind::Ros1, &all)),
        ("lz4.mcap", packed_mcap("lz4", &all, lz4, None)),
        ("zstd.mcap", packed_mcap("zstd", &all, zstd, None)),
        ("plain.bag", bag("none")),
        ("bz2.bag", bag("bz2")),
        ("lz4.bag", bag("lz4")),
    ] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        assert!(is_recording(&file), "{name}");
        let recording = Recording::open(&file).unwrap();
        assert!(recording.cut().is_empty() && recording.topics().len() == 2, "{name}: {:?}", recording.cut());
        let topic = &recording.topics()[recording.find(TOPIC).unwrap() as usize];
        assert_eq!((topic.type_name.as_str(), topic.messages), (TYPE, 50), "{name}");
        assert_eq!(read(&file, TOPIC).unwrap(), expected(&wanted), "{name}");
    }
    let file = folder.path().join("a.db3");
    db3(&file, &all);
    assert_eq!(read(&file, TOPIC).unwrap(), expected(&wanted));
    assert!(!is_recording(&folder.path().join("nothing")));
}

#[test]
fn messages_come_in_the_order_in_which_they_were_logged() {
    let folder = tempfile::tempdir().unwrap();
    let mut shuffled = samples(40);
    shuffled.rotate_left(13);
    shuffled.swap(3, 30);
    for (name, bytes) in [("a.mcap", mcap(Kind::Cdr, &shuffled)), ("a.bag", Bag::default().write(&shuffled))] {
        let file = folder.path().join(name);
        fs::write(&file, bytes).unwrap();
        assert_eq!(read(&file, TOPIC).unwrap(), expected(&samples(40)), "{name}");
    }
}

#[test]
fn a_split_recording_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let all = samples(30);
    fs::write(folder.path().join("a_0.mcap"), mcap(Kind::Cdr, &all[..11])).unwrap();
    db3(&folder.path().join("a_1.db3"), &all[11..]);
    let metadata = "rosbag2_bagfile_information:\n  relative_file_paths: [a_0.mcap, a_1.db3]\n";
    fs::write(folder.path().join("metadata.yaml"), metadata).unwrap();
    assert!(is_recording(folder.path()));
    assert_eq!(Recording::open(folder.path()).unwrap().topics().len(), 1);
    assert_eq!(read(folder.path(), TOPIC).unwrap(), expected(&all));
}

#[test]
fn a_message_is_of_its_topics_type_or_it_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.bag");
    fs::write(&file, Bag::default().write(&samples(1))).unwrap();
    let mut recording = Recording::open(&file).unwrap();
    let entry = recording.index(&[0]).unwrap()[0];
    let error = recording.message::<Image>(&entry).unwrap_err().to_string();
    for part in ["a.bag", TOPIC, TYPE, "sensor_msgs/msg/Image expected"] {
        assert!(error.contains(part), "{error}");
    }
}

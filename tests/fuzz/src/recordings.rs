//! Recordings of every kind: MCAP, ROS 1 bags, rosbag2's SQLite.
//!
//! What can be opened can be listed, in rising order, and every message listed can be read or is refused by name; what is read of a known type has
//! its layout. Seeds are not compressed: a frame of LZ4 or zstd may ask for buffers of several MiB by one byte, which is more than [`crate::heap`] allows;
//! what comes out of them is bounded in `crates/recording`.

use crate::{Target, mutate::Kind};
use proctor_msgs::sensor_msgs::JointState;
use proctor_recording::{Recording, RecordingError};
use std::fs;

#[path = "../../../crates/recording/tests/support/mod.rs"]
mod support;

use support::{Bag, Kind as Mcap, db3_bytes, mcap, packed_mcap, samples};

/// Most messages of an input that are read: the rest is like them.
const MOST: usize = 200;

fn read(name: &str, bytes: &[u8]) -> bool {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for temporary files");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).expect("writable");
        let Ok(mut recording) = Recording::open(&path) else { return false };
        let topics: Vec<u32> = (0..recording.topics().len() as u32).collect();
        // A database may hold what only shows when it is read.
        let entries = match recording.index(&topics) {
            Ok(entries) => entries,
            Err(error) => {
                assert!(matches!(error, RecordingError::Database { .. }), "opened, but not listed: {error}");
                return false;
            }
        };
        assert!(entries.windows(2).all(|w| w[0].logged <= w[1].logged));
        let listed: u64 = recording.topics().iter().map(|t| t.messages).sum();
        assert_eq!(entries.len() as u64, listed);
        let mut accepted = 0;
        for entry in entries.iter().take(MOST) {
            match recording.message::<JointState>(entry) {
                Ok(m) => {
                    let stamp = i64::from(m.header.stamp.sec) * 1_000_000_000 + i64::from(m.header.stamp.nanosec);
                    assert!(entry.stamp.is_none_or(|s| s == stamp), "{entry:?}: {stamp}");
                    accepted += 1;
                }
                Err(
                    RecordingError::Message { .. } | RecordingError::Topic { .. } | RecordingError::Database { .. },
                ) => {}
                Err(error) => panic!("listed, but not read: {error}"),
            }
        }
        accepted > 0
    })
}

/// Every target.
pub fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "recording_mcap",
            kind: Kind::Binary,
            read: |bytes| read("a.mcap", bytes),
            seeds: || {
                let four = samples(4);
                vec![
                    mcap(Mcap::Cdr, &four),
                    mcap(Mcap::Ros1, &four),
                    mcap(Mcap::Unchunked, &four),
                    packed_mcap("", &four, <[u8]>::to_vec, Some(0)),
                ]
            },
        },
        Target {
            name: "recording_ros1_bag",
            kind: Kind::Binary,
            read: |bytes| read("a.bag", bytes),
            seeds: || [1, 2, 9].map(|per_chunk| Bag { per_chunk, ..Bag::default() }.write(&samples(4))).to_vec(),
        },
        Target {
            name: "recording_db3",
            kind: Kind::Binary,
            read: |bytes| read("a.db3", bytes),
            seeds: || vec![db3_bytes(&samples(4))],
        },
    ]
}

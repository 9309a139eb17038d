//! Left and right pictures and their calibrations, as one value.

use crate::{
    Bus, BusError, Subscriber,
    bus::Received,
    graph::{camera_info_left, camera_info_right, image_left, image_right},
};
use proctor_msgs::sensor_msgs;
use proctor_types::{CameraCalibration, CameraImage, StereoFrame, StereoRig};
use std::collections::VecDeque;

/// Pictures of one camera that may wait for their partner; older ones are discarded.
const PENDING: usize = 4;

/// Pairs left and right pictures by equal stamp and yields only the newest pair.
pub struct StereoSubscriber {
    left: Eye,
    right: Eye,
    skipped: u64,
}

struct Eye {
    pictures: Subscriber<CameraImage>,
    info: Subscriber<CameraCalibration>,
    calibration: Option<CameraCalibration>,
    pending: VecDeque<Received<sensor_msgs::Image>>,
    refused: u64,
}

impl Eye {
    /// Takes what arrived; returns how many pictures were pushed out of `pending`.
    fn gather(&mut self) -> u64 {
        self.calibration = self.info.newest().or(self.calibration);
        let mut discarded = 0;
        for received in (0..self.pictures.waiting()).map_while(|_| self.pictures.take_message()) {
            match received {
                Ok(message) => self.pending.push_back(message),
                Err(_) => self.refused += 1,
            }
            if self.pending.len() > PENDING {
                self.pending.pop_front();
                discarded += 1;
            }
        }
        discarded
    }

    fn stamp(received: &Received<sensor_msgs::Image>) -> Option<(i32, u32)> {
        received.message().map(|m| (m.header.stamp.sec, m.header.stamp.nanosec))
    }
}

impl StereoSubscriber {
    /// Reads the endoscope's four topics.
    pub fn new(bus: &Bus) -> Result<Self, BusError> {
        let eye = |pictures, info| {
            Ok::<_, BusError>(Eye {
                pictures: bus.subscriber(&pictures)?,
                info: bus.subscriber_of_depth(&info, 1)?,
                calibration: None,
                pending: VecDeque::new(),
                refused: 0,
            })
        };
        let left = eye(image_left(), camera_info_left())?;
        let right = eye(image_right(), camera_info_right())?;
        Ok(Self { left, right, skipped: 0 })
    }

    /// The newest complete pair, once; `None` while none is complete or the calibration is not known. Never blocks.
    /// `seq` is the camera's running number.
    pub fn take(&mut self) -> Option<StereoFrame> {
        self.skipped += self.left.gather();
        self.right.gather();
        let (rig_left, rig_right) = (self.left.calibration?, self.right.calibration?);
        let (l, r) = self.newest_pair()?;
        // Everything up to the pair is used or older than what is used.
        let left_message = self.left.pending.drain(..=l).next_back()?;
        let right_message = self.right.pending.drain(..=r).next_back()?;
        self.skipped += l as u64;
        let left = self.left.pictures.decode(&left_message).inspect_err(|_| self.left.refused += 1).ok()?;
        let right = self.right.pictures.decode(&right_message).inspect_err(|_| self.right.refused += 1).ok()?;
        let size = |i: &CameraImage| (i.image.width(), i.image.height());
        if size(&left) != size(&right) || size(&left) != (rig_left.model.width, rig_left.model.height) {
            self.left.refused += 1;
            return None;
        }
        Some(StereoFrame {
            stamp: left.stamp,
            seq: left_message.seq(),
            left: left.image,
            right: right.image,
            rig: StereoRig { left: rig_left.model, baseline: rig_right.offset - rig_left.offset },
        })
    }

    fn newest_pair(&self) -> Option<(usize, usize)> {
        let rights: Vec<_> = self.right.pending.iter().map(Eye::stamp).collect();
        let lefts = self.left.pending.iter().map(Eye::stamp).enumerate();
        lefts.rev().find_map(|(l, stamp)| Some((l, rights.iter().rposition(|r| r.is_some() && *r == stamp)?)))
    }

    /// Left pictures that were received but never handed out: older than the newest pair, or without a partner.
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// Left pictures that were dropped before they were looked at.
    pub fn dropped(&self) -> u64 {
        self.left.pictures.dropped()
    }

    /// Pictures that were refused: malformed, wrong frame, wrong encoding, sizes that differ.
    pub fn refused(&self) -> u64 {
        self.left.refused + self.right.refused
    }
}

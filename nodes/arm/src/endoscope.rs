//! The endoscope of the world on the bus.

use crate::{ArmNodeError, stamp};
use proctor_bus::{Bus, BusError, Node, Publisher, graph};
use proctor_gazebo::Camera;
use proctor_gz::{
    Client, Subscription,
    messages::{Header, Image, PixelFormat},
};
use proctor_types::{CameraCalibration, CameraImage, CameraSide, Stamp, StereoRig};
use std::time::Duration;

/// Pictures that may wait for a poll.
const DEPTH: usize = 4;

/// One camera.
struct Eye {
    side: CameraSide,
    pictures: Subscription<Image>,
    image: Publisher<CameraImage>,
    info: Publisher<CameraCalibration>,
    refused: u64,
}

impl Eye {
    fn new(bus: &Bus, world: &Client, side: CameraSide) -> Result<Self, ArmNodeError> {
        let (camera, image, info) = match side {
            CameraSide::Left => (Camera::Left, graph::image_left(), graph::camera_info_left()),
            CameraSide::Right => (Camera::Right, graph::image_right(), graph::camera_info_right()),
        };
        let pictures = world.subscribe(camera.topic(), DEPTH)?;
        Ok(Self { side, pictures, image: bus.publisher(&image)?, info: bus.publisher(&info)?, refused: 0 })
    }

    fn pass_on(&mut self, rig: &StereoRig) -> Result<(), BusError> {
        while let Some(picture) = self.pictures.take() {
            let Some(picture) = converted(&picture, self.side, rig) else {
                self.refused += 1;
                if self.refused % 100 == 1 {
                    tracing::warn!(side = ?self.side, total = self.refused, "picture of the world not taken: expected {}x{} RGB with a stamp",
                        rig.left.width, rig.left.height);
                }
                continue;
            };
            let offset = if self.side == CameraSide::Left { 0.0 } else { rig.baseline };
            self.info.publish(&CameraCalibration { stamp: picture.stamp, side: self.side, model: rig.left, offset })?;
            self.image.publish(&picture)?;
        }
        Ok(())
    }
}

/// Gazebo's picture as ours, if it is one of the rig's cameras.
fn converted(picture: &Image, side: CameraSide, rig: &StereoRig) -> Option<CameraImage> {
    let stamp = stamp(picture.header.as_ref().and_then(|Header { stamp }| stamp.as_ref()))?;
    let (width, height) = (rig.left.width, rig.left.height);
    let fits = (picture.width as usize, picture.height as usize) == (width, height)
        && picture.pixel_format_type == PixelFormat::RgbInt8 as i32
        && picture.step as usize == 3 * width
        && picture.data.len() == 3 * width * height;
    let pixels = fits.then(|| picture.data.as_chunks::<3>().0.to_vec())?;
    let image = proctor_types::Image::new(width, height, pixels).ok()?;
    Some(CameraImage { stamp, side, image })
}

/// Passes pictures on with their calibration. Polled on the machine's clock.
pub struct EndoscopeNode {
    rig: StereoRig,
    eyes: [Eye; 2],
}

impl EndoscopeNode {
    /// Between `world` and `bus`.
    pub fn new(bus: &Bus, world: &Client, rig: StereoRig) -> Result<Self, ArmNodeError> {
        let [left, right] = [CameraSide::Left, CameraSide::Right].map(|side| Eye::new(bus, world, side));
        Ok(Self { rig, eyes: [left?, right?] })
    }
}

impl Node for EndoscopeNode {
    fn name(&self) -> &'static str {
        "endoscope"
    }

    fn period(&self) -> Duration {
        Duration::from_millis(5)
    }

    fn poll(&mut self, _now: Stamp) {
        for eye in &mut self.eyes {
            if let Err(error) = eye.pass_on(&self.rig) {
                tracing::error!(%error, "picture not published");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_gz::messages::Time;
    use proctor_kinematics::Cell;

    #[test]
    fn only_pictures_of_the_rigs_own_form_are_taken() {
        let rig = Cell::standard().unwrap().rig();
        let (width, height) = (rig.left.width as u32, rig.left.height as u32);
        let good = Image {
            header: Some(Header { stamp: Some(Time { sec: 1, nsec: 0 }) }),
            width,
            height,
            step: 3 * width,
            data: (0..3 * width * height).map(|i| i as u8).collect(),
            pixel_format_type: PixelFormat::RgbInt8 as i32,
        };
        let taken = converted(&good, CameraSide::Left, &rig).unwrap();
        assert_eq!((taken.stamp.nanos(), taken.image.width()), (1_000_000_000, rig.left.width));
        for bad in [
            Image { width: width + 1, ..good.clone() },
            Image { step: 0, ..good.clone() },
            Image { data: vec![0; 7], ..good.clone() },
            Image { pixel_format_type: PixelFormat::RFloat32 as i32, ..good.clone() },
            Image { header: None, ..good },
        ] {
            assert!(converted(&bad, CameraSide::Left, &rig).is_none());
        }
    }
}

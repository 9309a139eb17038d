//! The endoscope of the world on the bus.

use crate::{ArmNodeError, SharedFaults, stamp};
use proctor_bus::{Bus, BusError, Node, Publisher, graph};
use proctor_gazebo::Camera;
use proctor_gz::{
    Client, Subscription,
    messages::{Header, Image, PixelFormat},
};
use proctor_sim::{Faults, InFlight, render::spoiled};
use proctor_types::{CameraCalibration, CameraImage, CameraSide, Stamp, StereoRig};
use std::time::Duration;

/// Pictures that may wait for a poll.
const DEPTH: usize = 4;
/// Seed of which pictures are lost, and of where smoke and blood are.
const SEED: u32 = 1;

/// What is wrong with the pictures of one camera.
struct Spoiler {
    in_flight: InFlight<CameraImage>,
    last: Option<CameraImage>,
}

impl Spoiler {
    fn new() -> Self {
        Self { in_flight: InFlight::pictures(), last: None }
    }

    /// What arrives when the world has taken `picture`, if anything does.
    fn pass(&mut self, picture: CameraImage, faults: &Faults) -> Option<CameraImage> {
        let now = picture.stamp;
        let millis = now.nanos() as u64 / 1_000_000;
        let taken = self.in_flight.pass(now, picture, faults.video_lag)?;
        let shown = match self.last.take() {
            Some(frozen) if faults.frozen => frozen.image,
            _ => spoiled(taken.image, &faults.image(), SEED, millis),
        };
        let said = CameraImage { stamp: faults.jumped(now), side: taken.side, image: shown };
        self.last = Some(said.clone());
        // By its time, so that both cameras lose the same.
        (!faults.drops(SEED.into(), millis)).then_some(said)
    }
}

/// One camera.
struct Eye {
    side: CameraSide,
    pictures: Subscription<Image>,
    image: Publisher<CameraImage>,
    info: Publisher<CameraCalibration>,
    spoiler: Spoiler,
    refused: u64,
}

impl Eye {
    fn new(bus: &Bus, world: &Client, side: CameraSide) -> Result<Self, ArmNodeError> {
        let (camera, image, info) = match side {
            CameraSide::Left => (Camera::Left, graph::image_left(), graph::camera_info_left()),
            CameraSide::Right => (Camera::Right, graph::image_right(), graph::camera_info_right()),
        };
        Ok(Self {
            side,
            pictures: world.subscribe(camera.topic(), DEPTH)?,
            image: bus.publisher(&image)?,
            info: bus.publisher(&info)?,
            spoiler: Spoiler::new(),
            refused: 0,
        })
    }

    fn pass_on(&mut self, rig: &StereoRig, faults: &Faults) -> Result<(), BusError> {
        while let Some(picture) = self.pictures.take() {
            let Some(picture) = converted(&picture, self.side, rig) else {
                self.refused += 1;
                if self.refused % 100 == 1 {
                    tracing::warn!(side = ?self.side, total = self.refused, "picture of the world not taken: expected {}x{} RGB with a stamp",
                        rig.left.width, rig.left.height);
                }
                continue;
            };
            let Some(picture) = self.spoiler.pass(picture, faults) else { continue };
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
    faults: SharedFaults,
}

impl EndoscopeNode {
    /// Between `world` and `bus`; `faults` says what is wrong.
    pub fn new(bus: &Bus, world: &Client, rig: StereoRig, faults: SharedFaults) -> Result<Self, ArmNodeError> {
        let [left, right] = [CameraSide::Left, CameraSide::Right].map(|side| Eye::new(bus, world, side));
        Ok(Self { rig, eyes: [left?, right?], faults })
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
        let faults = self.faults.now();
        for eye in &mut self.eyes {
            if let Err(error) = eye.pass_on(&self.rig, &faults) {
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

    /// What comes of pictures of growing brightness, one every 100 ms, as brightness and time in ms.
    fn passed(faults: &Faults) -> Vec<Option<(u8, i64)>> {
        let mut spoiler = Spoiler::new();
        let picture = |i: i64| CameraImage {
            stamp: Stamp::FIRST.plus(Duration::from_millis(100 * i as u64)),
            side: CameraSide::Left,
            image: proctor_types::Image::new(2, 2, vec![[10 * i as u8; 3]; 4]).unwrap(),
        };
        (1..=5)
            .map(|i| {
                let said = spoiler.pass(picture(i), faults)?;
                Some((said.image.pixels()[0][0], said.stamp.nanos() / 1_000_000))
            })
            .collect()
    }

    #[test]
    fn pictures_freeze_lag_jump_go_black_or_are_lost_as_those_of_the_built_in_simulator() {
        let whole = |shown: [u8; 5]| shown.iter().zip(1..).map(|(s, i)| Some((*s, 100 * i))).collect::<Vec<_>>();
        let none = Faults::default();
        assert_eq!(passed(&none), whole([10, 20, 30, 40, 50]));
        assert_eq!(passed(&Faults { frozen: true, ..none }), whole([10; 5]), "new stamps, old picture");
        assert_eq!(passed(&Faults { blackout: true, ..none }), whole([0; 5]));
        let late = passed(&Faults { video_lag: Duration::from_millis(200), ..none });
        assert_eq!(late, [None, None, Some((10, 300)), Some((20, 400)), Some((30, 500))]);
        let jumped = passed(&Faults { clock_jump: 5.0, ..none });
        assert_eq!(jumped[2], Some((30, 5300)));
        assert_eq!(passed(&Faults { dropped: 1.0, ..none }), [None; 5]);
    }
}

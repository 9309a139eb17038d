//! What the benches say: a joint state of 6 joints with velocities, and a 640x480 RGB picture.

use proctor_types::{ArmId, ArmJoints, CameraImage, CameraSide, Image, Joints, Stamp};

pub fn joints() -> ArmJoints {
    let position = Joints::new(&[0.1, -0.2, 0.16, 0.3, 0.4, 0.5]).unwrap();
    ArmJoints { arm: ArmId::Psm1, stamp: Stamp::FIRST, position, velocity: Joints::zeros(6) }
}

pub fn picture() -> CameraImage {
    let image = Image::new(640, 480, vec![[1, 2, 3]; 640 * 480]).unwrap();
    CameraImage { stamp: Stamp::FIRST, side: CameraSide::Left, image }
}

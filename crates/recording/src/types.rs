//! The messages whose layout is known: those of CRTK and of cameras, with what ROS 1 calls them and the md5 sums of their definitions there.

use crate::store::Form;
use proctor_msgs::{
    Message,
    cdr::Layout,
    crtk_msgs::{OperatingState, StringStamped},
    geometry_msgs::{PoseStamped, TransformStamped, TwistStamped, WrenchStamped},
    ros_name,
    sensor_msgs::{CameraInfo, CompressedImage, Image, JointState},
};
use std::sync::LazyLock;

/// A known type.
pub struct Known {
    /// Name in ROS 2, e.g. `sensor_msgs/msg/Image`.
    pub name: String,
    /// What its bytes look like.
    pub layout: Layout,
    /// md5 sum of its ROS 1 definition; `None` where only its fields are known for sure.
    md5: Option<&'static str>,
}

/// Every one.
pub static KNOWN: LazyLock<Vec<Known>> = LazyLock::new(|| {
    vec![
        known::<Image>(Some("060021388200f6f0f447d0fcd9c64743")),
        known::<CompressedImage>(Some("8f7a12909da2c9d3332d540a0977563f")),
        known::<CameraInfo>(Some("c9a58c1b0b154e0e6da7578cb991d214")),
        known::<JointState>(Some("3066dcd76a6cfaef579bd0f34173e9fd")),
        known::<PoseStamped>(Some("d3812c3cbc69362b77dc0b19b345f8f5")),
        known::<TransformStamped>(Some("b5764a33bfeb3588febc2682852579b0")),
        known::<TwistStamped>(Some("98d34b0043a2093cf9d9345ab6eef12e")),
        known::<WrenchStamped>(Some("d78d3cb249ce23087ade7e7d0c40cfa7")),
        known::<OperatingState>(None),
        known::<StringStamped>(None),
    ]
});

fn known<M: Message>(md5: Option<&'static str>) -> Known {
    Known { name: ros_name::<M>(), layout: Layout::of::<M>(), md5 }
}

/// The known type of a name.
pub fn find(name: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|k| k.name == name)
}

/// A type's name as ROS 2 writes it.
pub fn ros2_name(name: &str) -> String {
    match name.split_once('/') {
        Some(("crtk_msgs", "operating_state")) => "crtk_msgs/msg/OperatingState".to_owned(),
        Some((package, message)) if !message.contains('/') => format!("{package}/msg/{message}"),
        _ => name.to_owned(),
    }
}

/// Why messages of a type in a form cannot be read; `None` if they can.
pub fn unreadable(name: &str, form: &Form) -> Option<String> {
    match form {
        Form::Cdr => None,
        Form::Other(other) => Some(format!("{name} written as {other:?}, cdr or ros1 expected")),
        Form::Ros1(sum) => match (find(name), sum) {
            (None, _) => Some(format!("{name} of ROS 1 is not read")),
            (Some(Known { md5: Some(expected), .. }), Some(got)) if got != expected && got != "*" => {
                Some(format!("{name} with md5 sum {got}, {expected} expected: another definition of that name"))
            }
            (Some(_), _) => None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_of_ros_1_have_their_names_of_ros_2_and_their_definitions() {
        assert_eq!(ros2_name("sensor_msgs/JointState"), "sensor_msgs/msg/JointState");
        assert_eq!(ros2_name("sensor_msgs/msg/JointState"), "sensor_msgs/msg/JointState");
        assert_eq!(ros2_name("crtk_msgs/operating_state"), "crtk_msgs/msg/OperatingState");
        let ros1 = |sum: &str| Form::Ros1(Some(sum.to_owned()));
        let joints = "sensor_msgs/msg/JointState";
        assert_eq!(unreadable(joints, &ros1("3066dcd76a6cfaef579bd0f34173e9fd")), None);
        assert!(unreadable(joints, &ros1("0123")).is_some_and(|why| why.contains("0123") && why.contains("3066dcd")));
        assert!(unreadable("rospy_tutorials/msg/Floats", &Form::Ros1(None)).is_some());
        assert!(unreadable(joints, &Form::Other("json".to_owned())).is_some_and(|why| why.contains("json")));
        assert_eq!(unreadable("any_msgs/msg/Any", &Form::Cdr), None);
    }
}

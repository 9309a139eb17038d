//! Every message type that travels on Proctor's topics, with what a recording or a raw subscription needs to know.

use crate::{
    Message, cdr::Layout, crtk_msgs, diagnostic_msgs, geometry_msgs, proctor_msgs, rcl_interfaces, ros_name,
    rosgraph_msgs, sensor_msgs, tf2_msgs,
};
use hiroz::TypeInfo;

include!(concat!(env!("OUT_DIR"), "/definitions.rs"));

/// A message type.
#[derive(Debug, Clone)]
pub struct Entry {
    /// ROS name, e.g. `sensor_msgs/msg/Image`.
    pub name: String,
    /// Name and RIHS01 hash as rmw_zenoh announces them.
    pub type_info: TypeInfo,
    /// Full definition text, `ros2msg`.
    pub definition: &'static str,
    /// What its bytes look like.
    pub layout: Layout,
}

impl Entry {
    /// Of a message type.
    pub fn of<M: Message>() -> Self {
        let name = ros_name::<M>();
        let definition = definition(&name).unwrap_or_default();
        Self { type_info: M::type_info(), definition, layout: Layout::of::<M>(), name }
    }
}

/// Every type a topic may carry.
pub fn all() -> Vec<Entry> {
    vec![
        Entry::of::<sensor_msgs::Image>(),
        Entry::of::<sensor_msgs::CameraInfo>(),
        Entry::of::<sensor_msgs::JointState>(),
        Entry::of::<sensor_msgs::PointCloud2>(),
        Entry::of::<geometry_msgs::PoseStamped>(),
        Entry::of::<geometry_msgs::WrenchStamped>(),
        Entry::of::<rosgraph_msgs::Clock>(),
        Entry::of::<diagnostic_msgs::DiagnosticArray>(),
        Entry::of::<rcl_interfaces::Log>(),
        Entry::of::<tf2_msgs::TFMessage>(),
        Entry::of::<crtk_msgs::OperatingState>(),
        Entry::of::<crtk_msgs::StringStamped>(),
        Entry::of::<proctor_msgs::Segmentation>(),
        Entry::of::<proctor_msgs::Findings>(),
        Entry::of::<proctor_msgs::Scene>(),
        Entry::of::<proctor_msgs::Proposal>(),
        Entry::of::<proctor_msgs::Withdrawal>(),
        Entry::of::<proctor_msgs::Decision>(),
        Entry::of::<proctor_msgs::Presence>(),
        Entry::of::<proctor_msgs::OperatorRequest>(),
        Entry::of::<proctor_msgs::SkillRequest>(),
        Entry::of::<proctor_msgs::SafetyState>(),
        Entry::of::<proctor_msgs::Verdict>(),
        Entry::of::<proctor_msgs::ZonesState>(),
    ]
}

/// The entry of a ROS name.
pub fn find(name: &str) -> Option<Entry> {
    all().into_iter().find(|e| e.name == name)
}

//! The skill library.

mod centre;
mod grasp;
mod retract;

pub use centre::CentreCamera;
pub use retract::Retract;

use crate::skill::SkillPlanner;

/// Every skill, in the order in which they are considered: a good view comes first.
pub fn all() -> Vec<Box<dyn SkillPlanner>> {
    vec![Box::new(CentreCamera::default()), Box::new(Retract::default())]
}

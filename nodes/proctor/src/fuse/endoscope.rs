//! Where the camera was: joints of the endoscope's arm, where it was moved.

use proctor_types::Joints;

/// An endoscope whose joints change by no more (rad, m) stands still.
const STILL: f64 = 2e-3;

/// Joints of the endoscope's arm with their stamps, ns, rising.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Endoscope(Vec<(i64, Joints)>);

impl Endoscope {
    /// Takes what goes on in time; `false` for what does not, which is left out.
    pub fn add(&mut self, stamp: i64, joints: Joints) -> bool {
        let rises = self.0.last().is_none_or(|(last, _)| stamp > *last);
        if rises {
            self.0.push((stamp, joints));
        }
        rises
    }

    /// What was recorded.
    pub fn rows(&self) -> &[(i64, Joints)] {
        &self.0
    }

    /// Its joints at the beginning, if it was ever moved; nothing else of it matters where it was not.
    pub fn first_of_moved(&self) -> Option<&Joints> {
        self.leaves().and(self.0.first()).map(|(_, joints)| joints)
    }

    /// When it first stands elsewhere than at the beginning.
    pub fn leaves(&self) -> Option<i64> {
        let (_, first) = self.0.first()?;
        let moved = |joints: &Joints| first.iter().zip(joints.iter()).any(|(a, b)| (a - b).abs() > STILL);
        self.0.iter().find(|(_, joints)| moved(joints)).map(|(stamp, _)| *stamp)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn it_stands_still_until_a_joint_has_left_its_place() {
        let at = |insertion: f64| Joints::new(&[0.1, 0.0, insertion, 0.0]).unwrap();
        let mut endoscope = Endoscope::default();
        assert_eq!(endoscope.leaves(), None);
        assert!(endoscope.add(10, at(0.110)) && endoscope.add(20, at(0.1115)));
        assert!(!endoscope.add(20, at(0.5)) && !endoscope.add(15, at(0.5)), "what does not go on in time is no motion");
        assert_eq!((endoscope.leaves(), endoscope.first_of_moved()), (None, None), "within a reading's noise");
        assert!(endoscope.add(30, at(0.113)) && endoscope.add(40, at(0.120)));
        assert_eq!((endoscope.leaves(), endoscope.first_of_moved()), (Some(30), Some(&at(0.110))));
    }
}

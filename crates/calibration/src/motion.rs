//! Whether the robot moved as the camera saw it move, before anything is fitted.
//!
//! Between two pictures the hand and the camera (or the board in the hand) turn by the same angle, whatever the hand-eye transform
//! is: AX = XB has equal rotation angles on both sides (Tsai & Lenz 1989). So angles alone tell a wrong log from a right one.

use crate::fit::median;
use nalgebra::{Isometry3, Matrix3};

/// Rotations about the strongest axis below this (RMS over all pairs) are as good as none, degrees.
pub const MIN_TURN: f64 = 4.0;
/// And about the second axis.
pub const MIN_SECOND_TURN: f64 = 2.5;
/// A log matches if its median mismatch is below this share of what pictures and poses drawn by lot have.
const MATCH_SHARE: f64 = 0.35;
/// Mismatch that is always forgiven, degrees.
const FORGIVEN: f64 = 0.5;
/// A view contradicts the others beyond this many times the median mismatch...
const VIEW_FACTOR: f64 = 4.0;
/// ...and this many degrees.
const VIEW_DEGREES: f64 = 2.0;

/// Robot poses and board poses of the same moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Motion<'a> {
    /// Base from tip.
    pub(crate) robot: &'a [Isometry3<f64>],
    /// Camera from board.
    pub(crate) camera: &'a [Isometry3<f64>],
}

/// Angle between two poses, degrees.
fn angle(a: &Isometry3<f64>, b: &Isometry3<f64>) -> f64 {
    a.rotation.angle_to(&b.rotation).to_degrees()
}

impl Motion<'_> {
    fn len(&self) -> usize {
        self.robot.len().min(self.camera.len())
    }

    /// How differently robot and camera turned between two moments, degrees.
    pub(crate) fn mismatch(&self, i: usize, j: usize) -> f64 {
        (angle(&self.robot[i], &self.robot[j]) - angle(&self.camera[i], &self.camera[j])).abs()
    }

    /// Median mismatch of one moment with all others.
    pub(crate) fn mismatch_of(&self, i: usize) -> f64 {
        median((0..self.len()).filter(|j| *j != i).map(|j| self.mismatch(i, j)).collect())
    }

    fn pairs(&self) -> impl Iterator<Item = (usize, usize)> {
        let n = self.len();
        (0..n).flat_map(move |i| (0..i).map(move |j| (j, i)))
    }

    /// Median mismatch over all pairs, degrees.
    pub(crate) fn median_mismatch(&self) -> f64 {
        median(self.pairs().map(|(i, j)| self.mismatch(i, j)).collect())
    }

    /// The median mismatch if poses belonged to other pictures, degrees: every angle of the robot against every one of the camera,
    /// by their sorted order at fixed distances instead of all combinations.
    fn by_lot(&self) -> f64 {
        let robot: Vec<f64> = self.pairs().map(|(i, j)| angle(&self.robot[i], &self.robot[j])).collect();
        let camera: Vec<f64> = self.pairs().map(|(i, j)| angle(&self.camera[i], &self.camera[j])).collect();
        let n = robot.len();
        let shifts = (1..=31).map(|s| s * n / 32).filter(|s| *s > 0);
        median(
            shifts
                .flat_map(|s| (0..n).map(move |k| (k, (k + s) % n)))
                .map(|(k, l)| (robot[k] - camera[l]).abs())
                .collect(),
        )
    }

    /// Whether the log as a whole fits the pictures.
    pub(crate) fn matches(&self) -> bool {
        self.median_mismatch() <= (MATCH_SHARE * self.by_lot()).max(FORGIVEN)
    }

    /// Moments that contradict the others.
    pub(crate) fn odd_ones(&self) -> Vec<usize> {
        let limit = (VIEW_FACTOR * self.median_mismatch()).max(VIEW_DEGREES);
        (0..self.len()).filter(|i| self.mismatch_of(*i) > limit).collect()
    }

    /// RMS rotation of the robot over all pairs about its strongest and its second axis, degrees.
    pub(crate) fn turns(&self) -> (f64, f64) {
        let mut scatter = Matrix3::zeros();
        let mut count = 0usize;
        for (i, j) in self.pairs() {
            let turn = (self.robot[i].rotation.inverse() * self.robot[j].rotation).scaled_axis();
            scatter += turn * turn.transpose();
            count += 1;
        }
        let mut power: Vec<f64> = (scatter / count.max(1) as f64).symmetric_eigenvalues().iter().copied().collect();
        power.sort_by(|a, b| b.total_cmp(a));
        let degrees = |power: f64| power.max(0.0).sqrt().to_degrees();
        (degrees(power[0]), degrees(power[1]))
    }
}

/// Rows tried in each direction.
const MAX_SHIFT: usize = 500;

/// The constant shift of the log, in rows, that makes it fit: each picture then belongs to the row `shift` further down. `rows[i]` is the
/// row that the log gives picture `i`.
pub(crate) fn fitting_shift(log: &[Isometry3<f64>], rows: &[usize], camera: &[Isometry3<f64>]) -> Option<i64> {
    let as_given: Vec<_> = rows.iter().map(|r| log[*r]).collect();
    let now = Motion { robot: &as_given, camera }.median_mismatch();
    let least = (rows.len() / 2).max(crate::MIN_VIEWS);
    let reach = MAX_SHIFT.min(log.len()) as i64;
    let try_shift = |shift: i64| {
        let moved = |(row, camera): (&usize, &Isometry3<f64>)| {
            let row = usize::try_from(*row as i64 + shift).ok()?;
            log.get(row).map(|pose| (*pose, *camera))
        };
        let (robot, camera): (Vec<_>, Vec<_>) = rows.iter().zip(camera).filter_map(moved).unzip();
        let motion = Motion { robot: &robot, camera: &camera };
        let mismatch = motion.median_mismatch();
        (robot.len() >= least && mismatch < 0.5 * now && motion.matches()).then_some((mismatch, shift))
    };
    let fits = (-reach..=reach).filter(|s| *s != 0).filter_map(try_shift);
    fits.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, shift)| shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use nalgebra::{Translation3, UnitQuaternion, Vector3};
    use rand::{Rng as _, SeedableRng as _};

    /// Twelve poses that turn by up to 30 degrees about two axes, and what a camera with a fixed offset sees.
    fn moments(axes: usize) -> (Vec<Isometry3<f64>>, Vec<Isometry3<f64>>) {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(5);
        let mut draw = |scale: f64| scale * (2.0 * rng.random::<f64>() - 1.0);
        let hand_eye = Isometry3::new(Vector3::new(0.01, 0.02, 0.03), Vector3::new(0.2, -0.1, 1.0));
        let base_from_board = Isometry3::new(Vector3::new(0.0, 0.0, -0.2), Vector3::new(3.0, 0.1, 0.0));
        let robot: Vec<_> = (0..12)
            .map(|_| {
                let turn = Vector3::new(draw(0.5), if axes > 1 { draw(0.5) } else { 0.0 }, 0.0);
                let at = Translation3::new(draw(0.05), draw(0.05), draw(0.05));
                Isometry3::from_parts(at, UnitQuaternion::from_scaled_axis(turn))
            })
            .collect();
        let camera = robot.iter().map(|pose| (pose * hand_eye).inverse() * base_from_board).collect();
        (robot, camera)
    }

    #[test]
    fn a_right_log_matches_without_knowing_the_hand_eye_transform() {
        let (robot, camera) = moments(2);
        let motion = Motion { robot: &robot, camera: &camera };
        assert!(motion.median_mismatch() < 1e-9 && motion.matches() && motion.odd_ones().is_empty());
    }

    #[test]
    fn a_shifted_log_does_not_match_and_the_shift_is_found() {
        let (robot, camera) = moments(2);
        let rows: Vec<usize> = (0..12).collect();
        for shift in [1, 2, -3] {
            // Picture i was taken at the pose of row i + shift.
            let log: Vec<_> = (0..12i64).map(|r| robot[(r - shift).rem_euclid(12) as usize]).collect();
            assert!(!Motion { robot: &log, camera: &camera }.matches(), "{shift}");
            assert_eq!(fitting_shift(&log, &rows, &camera), Some(shift));
        }
    }

    #[test]
    fn a_shuffled_log_does_not_match_and_no_shift_is_claimed() {
        let (robot, camera) = moments(2);
        let order = [7, 2, 9, 0, 11, 4, 1, 10, 3, 6, 8, 5];
        let log: Vec<_> = order.iter().map(|i| robot[*i]).collect();
        assert!(!Motion { robot: &log, camera: &camera }.matches());
        assert_eq!(fitting_shift(&log, &(0..12).collect::<Vec<_>>(), &camera), None);
    }

    #[test]
    fn two_exchanged_rows_are_odd_ones_of_a_log_that_matches() {
        let (mut robot, camera) = moments(2);
        robot.swap(2, 9);
        let motion = Motion { robot: &robot, camera: &camera };
        assert!(motion.matches());
        assert_eq!(motion.odd_ones(), [2, 9]);
    }

    #[test]
    fn turning_about_one_axis_has_no_second_turn() {
        let (first, second) = Motion { robot: &moments(1).0, camera: &[] }.turns_of_robot();
        assert!(first > 10.0 && second < 0.1, "{first} {second}");
        let (first, second) = Motion { robot: &moments(2).0, camera: &[] }.turns_of_robot();
        assert!(first > 10.0 && second > 10.0, "{first} {second}");
    }

    impl Motion<'_> {
        fn turns_of_robot(&self) -> (f64, f64) {
            Motion { robot: self.robot, camera: self.robot }.turns()
        }
    }
}

//! A point's way through the picture as the joints say, on an even grid of time, so that it can be compared with the picture at
//! any offset.
//!
//! Bounded: [`Track::SPAN`] steps. What lies in a gap between samples, or behind the camera, is a hole; nothing is made up.

use nalgebra::Point2;
use std::collections::VecDeque;

/// One point over time. Times are nanoseconds; pushed times must rise.
#[derive(Debug, Clone, Default)]
pub struct Track {
    /// Grid index of the first point.
    first: i64,
    points: VecDeque<Point2<f64>>,
    /// Grid indices without a point, rising.
    holes: VecDeque<i64>,
    last: Option<(i64, Option<Point2<f64>>)>,
}

impl Track {
    /// Spacing of the grid, ns.
    pub const STEP: i64 = 10_000_000;
    /// Most points kept: 13 s.
    pub const SPAN: usize = 1300;
    /// Widest gap between samples that is bridged, ns.
    const BRIDGED: i64 = 100_000_000;

    /// Forgets everything.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Where the point was at `t`; `None` where it cannot be in any picture.
    pub fn push(&mut self, t: i64, point: Option<Point2<f64>>) {
        let last = match self.last {
            Some((before, _)) if t <= before => return,
            Some((before, _)) if t - before > Self::STEP * Self::SPAN as i64 => {
                self.clear();
                None
            }
            last => last,
        };
        self.last = Some((t, point));
        let Some((before, from)) = last else {
            self.first = t.div_euclid(Self::STEP) + 1;
            return;
        };
        for index in before.div_euclid(Self::STEP) + 1..=t.div_euclid(Self::STEP) {
            let share = (index * Self::STEP - before) as f64 / (t - before) as f64;
            let known = from.zip(point).filter(|_| t - before <= Self::BRIDGED);
            if known.is_none() {
                self.holes.push_back(index);
            }
            self.points.push_back(known.map_or_else(Point2::origin, |(a, b)| a + (b - a) * share));
            if self.points.len() > Self::SPAN {
                self.points.pop_front();
                self.first += 1;
                while self.holes.front().is_some_and(|h| *h < self.first) {
                    self.holes.pop_front();
                }
            }
        }
    }

    /// Whether there is a point at every moment of [from, to].
    pub fn covers(&self, from: i64, to: i64) -> bool {
        let (low, high) = (from.div_euclid(Self::STEP), to.div_euclid(Self::STEP) + 1);
        let hole = self.holes.partition_point(|h| *h < low);
        low >= self.first
            && high < self.first + self.points.len() as i64
            && self.holes.get(hole).is_none_or(|h| *h > high)
    }

    /// Where the point was at a moment that is covered.
    pub fn at(&self, t: i64) -> Option<Point2<f64>> {
        let index = usize::try_from(t.div_euclid(Self::STEP) - self.first).ok()?;
        let (a, b) = (self.points.get(index)?, self.points.get(index + 1)?);
        Some(a + (b - a) * (t.rem_euclid(Self::STEP) as f64 / Self::STEP as f64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn between_samples_it_is_linear_and_gaps_are_holes() {
        let mut track = Track::default();
        for ms in (0..100).step_by(7).chain((300..400).step_by(7)) {
            track.push(ms * MS, Some(Point2::new(ms as f64, -2.0 * ms as f64)));
        }
        for ms in [15, 33, 80, 340] {
            let p = track.at(ms * MS).unwrap();
            assert!((p - Point2::new(ms as f64, -2.0 * ms as f64)).norm() < 1e-9, "{ms}: {p}");
        }
        assert!(track.covers(10 * MS, 80 * MS) && track.covers(310 * MS, 380 * MS));
        assert!(
            !track.covers(80 * MS, 320 * MS) && !track.covers(-20 * MS, 50 * MS) && !track.covers(380 * MS, 420 * MS)
        );
    }

    #[test]
    fn memory_and_work_are_bounded_whatever_the_stamps() {
        let mut track = Track::default();
        for t in [0, 5, i64::MAX / 2, 3, i64::MAX / 2 + MS] {
            track.push(t, Some(Point2::origin()));
        }
        let start = i64::MAX / 2 + MS;
        (0..5000).for_each(|k| track.push(start + k * 9 * MS, (k % 3 > 0).then(Point2::origin)));
        assert!(track.points.len() == Track::SPAN && track.holes.len() <= Track::SPAN);
    }
}

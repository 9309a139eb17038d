//! Whether parts of the picture lost the sharpness that they lately had: drops or dirt on the lens, which no single picture tells from smooth tissue.
//!
//! The picture is looked at in [`CELLS`] cells. Of each its usual sharpness is remembered, soon what is sharper and slowly what is duller; cells that
//! instruments or the dark surround hide are left out. It tells nothing of a lens that was dirty from the start, and the endoscope must stay where it is: whoever
//! knows that it moved says [`Clarity::forget`].

use crate::quality::{CELLS, Cell, Measures};
use proctor_types::{Class, Stamp};

/// Part of its usual sharpness that a cell keeps unless something lies before it.
const KEPT: f32 = 0.55;
/// Seconds in which what is sharper, and what is duller, becomes usual.
const SOON: f32 = 5.0;
const SLOWLY: f32 = 30.0;
/// Seconds that a cell is looked at before it is compared.
const LEARNT: f32 = 2.0;
/// Seconds without a clear picture after which what is seen is the new usual.
const PATIENCE: f64 = 60.0;
/// Longest time between two pictures that counts, seconds.
const LONGEST: f64 = 0.5;
/// Least share of all cells that must be comparable.
const COMPARABLE: f32 = 0.25;
/// A cell is hidden if more than this share of it is instrument or surround.
const HIDDEN: f32 = 0.1;

const COUNT: usize = CELLS.0 * CELLS.1;

#[derive(Debug, Clone, Copy, PartialEq)]
struct Usual {
    cell: Cell,
    /// Seconds that it was looked at.
    looked: f32,
}

/// What a picture is beside the ones before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Compared {
    stamp: Stamp,
    /// In usual light; none where hidden.
    cells: [Option<Cell>; COUNT],
    /// Share of the comparable cells that lost sharpness, in [0, 1]; 0 while too little is known.
    pub lost: f32,
}

/// What is usual.
#[derive(Debug, Clone, PartialEq)]
pub struct Clarity {
    cells: [Option<Usual>; COUNT],
    /// The picture before.
    last: Option<Stamp>,
    /// The last clear one.
    clear: Option<Stamp>,
}

impl Default for Clarity {
    fn default() -> Self {
        Self { cells: [None; COUNT], last: None, clear: None }
    }
}

impl Clarity {
    /// The endoscope looks elsewhere, or is another one.
    pub fn forget(&mut self) {
        *self = Self::default();
    }

    /// Holds a picture of `stamp` against the usual. `labels`, in `columns`, are what the model sees in it.
    pub fn compare(&self, stamp: Stamp, measures: &Measures, labels: &[u8], columns: usize) -> Compared {
        let hidden = hidden(labels, columns);
        let mut cells = measures.cells;
        cells.iter_mut().zip(hidden).for_each(|(c, hidden)| *c = c.filter(|_| hidden <= HIDDEN));
        let usual = self.cells.map(|u| u.filter(|u| u.looked >= LEARNT).map(|u| u.cell));
        // Brighter light makes more contrast of the same tissue; what covers less than half of it does not change the middle.
        let mut lights: Vec<f32> = both(&cells, &usual).map(|(now, usual)| now.light / usual.light).collect();
        lights.sort_by(f32::total_cmp);
        let light = lights.get(lights.len() / 2).copied().unwrap_or(1.0);
        cells.iter_mut().flatten().for_each(|c| {
            c.light /= light;
            c.sharpness /= light * light;
        });
        let lost = both(&cells, &usual).filter(|(now, usual)| now.sharpness < KEPT * usual.sharpness).count();
        let enough = lights.len() as f32 >= COMPARABLE * COUNT as f32;
        let lost = if enough { lost as f32 / lights.len() as f32 } else { 0.0 };
        Compared { stamp, cells, lost }
    }

    /// Learns from a picture, if it was clear; forgets all if none was for a minute.
    pub fn learn(&mut self, seen: &Compared, clear: bool) {
        let dt = self.last.map_or(0.0, |last| seen.stamp.seconds_since(last)).clamp(0.0, LONGEST) as f32;
        self.last = Some(seen.stamp);
        if !clear {
            if seen.stamp.seconds_since(*self.clear.get_or_insert(seen.stamp)) > PATIENCE {
                self.forget();
            }
            return;
        }
        self.clear = self.last;
        for (usual, now) in self.cells.iter_mut().zip(seen.cells) {
            let Some(now) = now else { continue };
            let Usual { cell, looked } = usual.get_or_insert(Usual { cell: now, looked: 0.0 });
            let over = if now.sharpness > cell.sharpness { SOON } else { SLOWLY };
            cell.sharpness += (now.sharpness - cell.sharpness) * (dt / over);
            cell.light += (now.light - cell.light) * (dt / SLOWLY);
            *looked += dt;
        }
    }
}

/// Cells that are in both.
fn both<'a>(
    now: &'a [Option<Cell>; COUNT],
    usual: &'a [Option<Cell>; COUNT],
) -> impl Iterator<Item = (&'a Cell, &'a Cell)> {
    now.iter().zip(usual).filter_map(|(now, usual)| now.as_ref().zip(usual.as_ref()))
}

/// Share of each cell that shows instruments or nothing. Every fourth row and column is looked at.
fn hidden(labels: &[u8], columns: usize) -> [f32; COUNT] {
    const STEP: usize = 4;
    let rows = labels.len() / columns.max(1);
    let (mut hidden, mut all) = ([0u32; COUNT], [0u32; COUNT]);
    for y in (STEP / 2..rows).step_by(STEP) {
        for x in (STEP / 2..columns).step_by(STEP) {
            let cell = y * CELLS.1 / rows * CELLS.0 + x * CELLS.0 / columns;
            let class = Class::from_id(labels[y * columns + x]);
            hidden[cell] += u32::from(class.is_none_or(|c| c.is_instrument() || c == Class::Background));
            all[cell] += 1;
        }
    }
    std::array::from_fn(|i| if all[i] == 0 { 1.0 } else { hidden[i] as f32 / all[i] as f32 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const COLUMNS: usize = 80;

    /// Measures of a picture whose cells have these sharpnesses.
    fn picture(sharpness: impl Fn(usize) -> f32) -> Measures {
        let cells = std::array::from_fn(|i| Some(Cell { sharpness: sharpness(i), light: 90.0 }));
        Measures { brightness: 0.4, sharpness: 100.0, saturation: 0.0, veil: 0.1, cells }
    }

    fn liver() -> Vec<u8> {
        vec![Class::Liver.id(); COLUMNS * 60]
    }

    fn at(seconds: f64) -> Stamp {
        Stamp::FIRST.plus(Duration::from_secs_f64(seconds))
    }

    /// Shows the same picture for some time at 10 Hz, clear as long as less than a third is lost; how much was lost at the end.
    fn show(clarity: &mut Clarity, (from, to): (u32, u32), measures: &Measures, labels: &[u8]) -> f32 {
        (from * 10..to * 10).fold(0.0, |_, i| {
            let seen = clarity.compare(at(f64::from(i) * 0.1), measures, labels, COLUMNS);
            clarity.learn(&seen, seen.lost < 0.3);
            seen.lost
        })
    }

    #[test]
    fn cells_that_dulled_are_lost_until_they_are_sharp_again() {
        let mut clarity = Clarity::default();
        let (sharp, drop) = (picture(|_| 200.0), picture(|i| if i < 24 { 60.0 } else { 200.0 }));
        assert_eq!(show(&mut clarity, (0, 3), &sharp, &liver()), 0.0);
        assert_eq!(show(&mut clarity, (3, 33), &drop, &liver()), 0.5);
        assert_eq!(show(&mut clarity, (33, 34), &sharp, &liver()), 0.0);
    }

    #[test]
    fn what_stays_for_more_than_a_minute_is_the_new_usual() {
        let mut clarity = Clarity::default();
        show(&mut clarity, (0, 3), &picture(|_| 200.0), &liver());
        let dull = picture(|_| 60.0);
        assert_eq!(show(&mut clarity, (3, 62), &dull, &liver()), 1.0);
        assert_eq!(show(&mut clarity, (62, 70), &dull, &liver()), 0.0);
        assert_eq!(show(&mut clarity, (70, 71), &picture(|_| 20.0), &liver()), 1.0);
    }

    #[test]
    fn nothing_is_lost_before_it_was_looked_at_or_after_the_endoscope_moved() {
        let mut clarity = Clarity::default();
        show(&mut clarity, (0, 1), &picture(|_| 200.0), &liver());
        assert_eq!(show(&mut clarity, (1, 2), &picture(|_| 20.0), &liver()), 0.0);
        show(&mut clarity, (2, 9), &picture(|_| 200.0), &liver());
        assert_eq!(clarity.compare(at(9.0), &picture(|_| 20.0), &liver(), COLUMNS).lost, 1.0);
        clarity.forget();
        assert_eq!(clarity.compare(at(9.0), &picture(|_| 20.0), &liver(), COLUMNS).lost, 0.0);
    }

    #[test]
    fn hidden_cells_do_not_count_and_too_few_tell_nothing() {
        let mut clarity = Clarity::default();
        show(&mut clarity, (0, 3), &picture(|_| 200.0), &liver());
        let dull = picture(|i| if i % CELLS.0 < 4 { 20.0 } else { 200.0 });
        // A tool over the left half, then over all but an eighth.
        let tool = |columns: usize| {
            let shaft = |i: usize| if i % COLUMNS < columns { Class::InstrumentShaft } else { Class::Liver };
            (0..COLUMNS * 60).map(|i| shaft(i).id()).collect::<Vec<u8>>()
        };
        assert_eq!(clarity.compare(at(3.0), &dull, &tool(0), COLUMNS).lost, 0.5);
        assert_eq!(clarity.compare(at(3.0), &dull, &tool(40), COLUMNS).lost, 0.0);
        assert_eq!(clarity.compare(at(3.0), &picture(|_| 20.0), &tool(70), COLUMNS).lost, 0.0);
    }

    #[test]
    fn dimmer_light_is_no_loss_but_a_dark_stain_is_one() {
        let mut clarity = Clarity::default();
        show(&mut clarity, (0, 3), &picture(|_| 200.0), &liver());
        let dimmer = |cells: usize| {
            let dim = |i: usize| {
                if i < cells { Cell { sharpness: 50.0, light: 45.0 } } else { Cell { sharpness: 200.0, light: 90.0 } }
            };
            Measures { cells: std::array::from_fn(|i| Some(dim(i))), ..picture(|_| 0.0) }
        };
        for (cells, lost) in [(COUNT, 0.0), (18, 0.375)] {
            assert_eq!(clarity.compare(at(3.0), &dimmer(cells), &liver(), COLUMNS).lost, lost, "{cells}");
        }
    }

    #[test]
    fn stamps_that_go_back_or_repeat_teach_nothing_and_break_nothing() {
        let mut clarity = Clarity::default();
        for _ in 0..100 {
            for seconds in [1.0, 0.0, 0.0] {
                let seen = clarity.compare(at(seconds), &picture(|_| 200.0), &liver(), COLUMNS);
                clarity.learn(&seen, true);
            }
        }
        assert!(clarity.cells.iter().all(|c| c.is_some_and(|u| u.cell.sharpness > 0.0 && u.looked <= 50.0)));
    }
}

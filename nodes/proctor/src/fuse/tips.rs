//! Where a point of each instrument was seen: a CSV table, one row per picture and arm.

use super::{
    cameras::Cameras,
    poses::{FRAMES, Reading, STAMPS, arm_of, stamp_of},
    table::{Column, Row, Table},
};
use nalgebra::Point2;
use proctor_types::ArmId;
use std::path::{Path, PathBuf};

/// One row, in rectified pictures.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TipRow {
    /// Line in the file.
    pub line: u64,
    /// Stamp of the picture, ns.
    pub stamp: i64,
    /// In the left picture, px.
    pub left: Point2<f64>,
    /// In the right one, px.
    pub right: Option<Point2<f64>>,
}

/// The points of a file.
#[derive(Debug)]
pub struct Tips {
    /// The file.
    pub path: PathBuf,
    /// Its rows by arm, each in rising order of stamps.
    pub arms: Vec<(ArmId, Vec<TipRow>)>,
    /// Lines left out, and why.
    pub left_out: Vec<(u64, String)>,
    /// Rows in which nothing was seen.
    pub unseen: usize,
}

impl Tips {
    /// Reads a file and rectifies its points.
    pub fn read(path: &Path, reading: &Reading, cameras: &Cameras) -> anyhow::Result<Self> {
        let table = Table::read(path)?;
        let columns = Columns::of(&table)?;
        let mut out = Self { path: path.to_owned(), arms: Vec::new(), left_out: Vec::new(), unseen: 0 };
        for (nth, row) in table.rows().enumerate() {
            let stamp = stamp_of(&row, columns.stamp, columns.frame, nth, reading.rate)?;
            let arm = arm_of(&row, columns.arm, reading.arm)?;
            let Some(left) = Columns::pixel(&row, columns.left, cameras, Cameras::left)? else {
                out.unseen += 1;
                continue;
            };
            let right = match columns.right {
                Some(right) if cameras.eyes.baseline.is_some() => Columns::pixel(&row, right, cameras, Cameras::right)?,
                _ => None,
            };
            out.add(arm, TipRow { line: row.line, stamp, left, right });
        }
        out.arms.sort_by_key(|(arm, _)| arm.index());
        Ok(out)
    }

    fn add(&mut self, arm: ArmId, tip: TipRow) {
        let at = self.arms.iter().position(|(a, _)| *a == arm).unwrap_or_else(|| {
            self.arms.push((arm, Vec::new()));
            self.arms.len() - 1
        });
        let rows = &mut self.arms[at].1;
        match rows.last() {
            Some(last) if tip.stamp == last.stamp => {
                self.left_out.push((tip.line, format!("the stamp of line {} again", last.line)));
            }
            Some(last) if tip.stamp < last.stamp => {
                let back = (last.stamp - tip.stamp) as f64 * 1e-9;
                self.left_out.push((tip.line, format!("{back:.3} s before line {}", last.line)));
            }
            _ => rows.push(tip),
        }
    }
}

struct Columns {
    stamp: Option<Column>,
    frame: Option<Column>,
    arm: Option<Column>,
    left: [Column; 2],
    right: Option<[Column; 2]>,
}

impl Columns {
    fn of(table: &Table) -> anyhow::Result<Self> {
        let left =
            table.columns(&[["u", "v"], ["u_left", "v_left"], ["left_u", "left_v"], ["left_x", "left_y"], ["x", "y"]]);
        let left = match left {
            Some(left) => left,
            None => [table.needed(&["u", "u_left", "x"])?, table.needed(&["v", "v_left", "y"])?],
        };
        Ok(Self {
            stamp: table.column(&STAMPS),
            frame: table.column(&FRAMES),
            arm: table.column(&["arm"]),
            left,
            right: table.columns(&[
                ["u_right", "v_right"],
                ["right_u", "right_v"],
                ["right_x", "right_y"],
                ["ur", "vr"],
            ]),
        })
    }

    fn pixel(
        row: &Row<'_>,
        [u, v]: [Column; 2],
        cameras: &Cameras,
        rectify: impl Fn(&Cameras, Point2<f64>) -> Point2<f64>,
    ) -> anyhow::Result<Option<Point2<f64>>> {
        /// Farthest from the origin a pixel can be.
        const MOST: f64 = 20_000.0;
        let (Some(u), Some(v)) = (row.maybe(u)?, row.maybe(v)?) else { return Ok(None) };
        if u.abs() > MOST || v.abs() > MOST {
            return Err(row.bad(&format!("({u}, {v}) is not a pixel")));
        }
        Ok(Some(rectify(cameras, Point2::new(u, v))))
    }
}

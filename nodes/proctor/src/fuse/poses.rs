//! Where the arms were: a CSV table of measured poses or joints.

use super::{
    endoscope::Endoscope,
    instruments::Instruments,
    session::short,
    table::{Column, Row, Table},
};
use anyhow::bail;
use nalgebra::{Isometry3, Point3, Quaternion, Translation3, UnitQuaternion, Vector3};
use proctor_kinematics::Chain;
use proctor_types::{ArmId, Base, Joints, Pose, Tip};
use std::path::Path;

/// One row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PoseRow {
    /// Line in the file, or number of the message in its topic, from 1.
    pub line: u64,
    /// When, ns.
    pub stamp: i64,
    /// Which arm.
    pub arm: ArmId,
    /// The tip's place in the arm's base, m.
    pub tip: Point3<f64>,
    /// How the tip is turned, where the table says.
    pub turn: Option<UnitQuaternion<f64>>,
    /// The tip by the joints of the same row and the configured instrument, where the table has both, m.
    pub by_joints: Option<Point3<f64>>,
    /// Joints, where the table has them.
    pub joints: Option<[f64; 6]>,
    /// Opening of the jaws, rad; 0 where the table does not say.
    pub jaw: f64,
}

/// How tables are read.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The arm of rows that name none.
    pub arm: ArmId,
    /// The arms' instruments.
    pub instruments: Instruments,
    /// Pictures per second, for tables whose rows are numbered instead of stamped.
    pub rate: f64,
}

/// A row that does not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// File or topic.
    pub file: String,
    /// Line or message, from 1.
    pub line: u64,
    /// Of which arm.
    pub arm: ArmId,
    /// Why.
    pub why: String,
}

/// The poses of a file or recording.
#[derive(Debug, Default)]
pub struct Poses {
    /// Where they are from.
    pub name: String,
    /// Rows by arm, each in rising order of stamps.
    pub arms: Vec<(ArmId, Vec<PoseRow>)>,
    /// Where the endoscope was.
    pub endoscope: Endoscope,
    /// Rows left out.
    pub left_out: Vec<LeftOut>,
}

/// Names of the column that says when.
pub const STAMPS: [&str; 5] = ["stamp", "timestamp", "time", "t", "stamp_s"];
/// Names of the column that numbers pictures.
pub const FRAMES: [&str; 4] = ["frame", "index", "frame_id", "image"];
/// Farthest tip from the base, m: beyond it a table is taken to be in millimetres.
const MAX_REACH: f64 = 2.0;

/// When a row was: by stamp, by number, or by its place in the file.
pub fn stamp_of(
    row: &Row<'_>,
    stamp: Option<Column>,
    frame: Option<Column>,
    nth: usize,
    rate: f64,
) -> anyhow::Result<i64> {
    let number = match (stamp, frame) {
        (Some(column), _) => return row.stamp(column),
        (None, Some(column)) => row.number(column)?,
        (None, None) => nth as f64,
    };
    Ok((number / rate * 1e9).round() as i64)
}

/// Which arm a row is of.
pub fn arm_of(row: &Row<'_>, column: Option<Column>, otherwise: ArmId) -> anyhow::Result<ArmId> {
    let Some(column) = column else { return Ok(otherwise) };
    let text = row.text(column).to_uppercase();
    let known = text.parse::<ArmId>().ok().filter(|a| a.has_jaw());
    known.ok_or_else(|| row.wrong(column, "PSM1 or PSM2"))
}

impl Poses {
    /// Reads a file.
    pub fn read(path: &Path, reading: &Reading) -> anyhow::Result<Self> {
        let table = Table::read(path)?;
        let columns = Columns::of(&table)?;
        let chain = |arm| anyhow::Ok(Chain::psm(&reading.instruments.of(arm)?)?);
        let chains = [chain(ArmId::Psm1)?, chain(ArmId::Psm2)?];
        let mut out = Self { name: short(path), ..Self::default() };
        for (nth, row) in table.rows().enumerate() {
            if columns.arm.is_some_and(|arm| row.text(arm).eq_ignore_ascii_case(ArmId::Ecm.name())) {
                let (stamp, joints) = columns.endoscope(&row, nth, reading)?;
                out.add_endoscope((row.line, stamp), joints, &short(path));
            } else {
                out.add(columns.row(&row, nth, reading, &chains)?, "line", &short(path));
            }
        }
        out.conclude(path)
    }

    /// Takes a row of a file (or topic) whose rows are called `what`; one that does not go on in time is left out.
    pub fn add(&mut self, pose: PoseRow, what: &str, file: &str) {
        let at = self.arms.iter().position(|(arm, _)| *arm == pose.arm).unwrap_or_else(|| {
            self.arms.push((pose.arm, Vec::new()));
            self.arms.len() - 1
        });
        let rows = &mut self.arms[at].1;
        let why = match rows.last() {
            Some(last) if pose.stamp == last.stamp => format!("the stamp of {what} {} again", last.line),
            Some(last) if pose.stamp < last.stamp => {
                format!("{:.3} s before {what} {}", (last.stamp - pose.stamp) as f64 * 1e-9, last.line)
            }
            _ => return rows.push(pose),
        };
        self.left_out.push(LeftOut { file: file.to_owned(), line: pose.line, arm: pose.arm, why });
    }

    /// Takes a row, with its number and stamp, about the endoscope; one that does not go on in time is left out.
    pub fn add_endoscope(&mut self, (line, stamp): (u64, i64), joints: Joints, file: &str) {
        if !self.endoscope.add(stamp, joints) {
            let why = "its stamp repeats or goes back".to_owned();
            self.left_out.push(LeftOut { file: file.to_owned(), line, arm: ArmId::Ecm, why });
        }
    }

    /// What was taken, if most of each arm's goes forward in time.
    pub fn conclude(mut self, path: &Path) -> anyhow::Result<Self> {
        self.arms.sort_by_key(|(arm, _)| arm.index());
        for (arm, rows) in &self.arms {
            let mut lost = self.left_out.iter().filter(|l| l.arm == *arm).peekable();
            let first = lost.peek().copied();
            if let Some(LeftOut { file, line, why, .. }) = first.filter(|_| lost.count() > rows.len()) {
                bail!("{}: more poses of {arm} go back in time than forward ({file}, {line}: {why})", path.display());
            }
        }
        Ok(self)
    }
}

struct Columns {
    stamp: Option<Column>,
    frame: Option<Column>,
    arm: Option<Column>,
    position: Option<[Column; 3]>,
    quaternion: Option<[Column; 4]>,
    vector: Option<[Column; 3]>,
    joints: Option<[Column; 6]>,
    jaw: Option<Column>,
}

impl Columns {
    fn of(table: &Table) -> anyhow::Result<Self> {
        let out = Self {
            stamp: table.column(&STAMPS),
            frame: table.column(&FRAMES),
            arm: table.column(&["arm"]),
            position: table.columns(&[["x", "y", "z"], ["measured_x", "measured_y", "measured_z"], ["px", "py", "pz"]]),
            quaternion: table
                .columns(&[["qx", "qy", "qz", "qw"], ["measured_qx", "measured_qy", "measured_qz", "measured_qw"]]),
            vector: table.columns(&[["rx", "ry", "rz"], ["measured_rx", "measured_ry", "measured_rz"]]),
            joints: table.columns(&[
                ["q1", "q2", "q3", "q4", "q5", "q6"],
                ["measured_q1", "measured_q2", "measured_q3", "measured_q4", "measured_q5", "measured_q6"],
                ["j1", "j2", "j3", "j4", "j5", "j6"],
            ]),
            jaw: table.column(&["jaw", "measured_jaw", "gripper", "q7"]),
        };
        if out.position.is_none() && out.joints.is_none() {
            table.needed(&["x"]).map_err(|e| {
                e.context("poses need x, y, z (m) with qx, qy, qz, qw or rx, ry, rz, or joints q1 to q6 (rad, q3 m)")
            })?;
            table.needed(&["y"])?;
            table.needed(&["z"])?;
        }
        Ok(out)
    }

    fn row(&self, row: &Row<'_>, nth: usize, reading: &Reading, chains: &[Chain; 2]) -> anyhow::Result<PoseRow> {
        let arm = arm_of(row, self.arm, reading.arm)?;
        let chain = &chains[arm.index()];
        let numbers = |columns: &[Column]| columns.iter().map(|c| row.number(*c)).collect::<anyhow::Result<Vec<f64>>>();
        let joints: Option<[f64; 6]> = match &self.joints {
            Some(columns) => numbers(columns)?.try_into().ok(),
            None => None,
        };
        let by_joints: Option<Pose<Base, Tip>> = match &joints {
            Some(q) => Some(chain.fk(q).map_err(|e| row.bad(&e.to_string()))?),
            None => None,
        };
        let position = self.position.as_ref().map(|c| numbers(c)).transpose()?;
        let turn = self.turn(row)?.or(by_joints.filter(|_| position.is_none()).map(|p| p.rotation()));
        let tip = match (&position, &by_joints) {
            (Some(p), _) => Point3::new(p[0], p[1], p[2]),
            (None, Some(pose)) => Point3::from(pose.translation()),
            (None, None) => return Err(row.bad("neither a pose nor joints")),
        };
        if tip.coords.norm() > MAX_REACH {
            let why = format!(
                "the tip is {:.0} m from the base: metres are expected, are these millimetres?",
                tip.coords.norm()
            );
            return Err(row.bad(&why));
        }
        Ok(PoseRow {
            line: row.line,
            stamp: stamp_of(row, self.stamp, self.frame, nth, reading.rate)?,
            arm,
            tip,
            turn,
            by_joints: position.and(by_joints).map(|p| Point3::from(p.translation())),
            joints,
            jaw: self.jaw.map(|c| row.maybe(c)).transpose()?.flatten().unwrap_or(0.0),
        })
    }

    fn endoscope(&self, row: &Row<'_>, nth: usize, reading: &Reading) -> anyhow::Result<(i64, Joints)> {
        let Some([q1, q2, q3, q4, ..]) = self.joints else {
            return Err(row.bad("of the ECM joints q1 to q4 (rad, q3 m) are expected"));
        };
        let q = [q1, q2, q3, q4].into_iter().map(|column| row.number(column)).collect::<anyhow::Result<Vec<f64>>>()?;
        let stamp = stamp_of(row, self.stamp, self.frame, nth, reading.rate)?;
        Ok((stamp, Joints::new(&q)?))
    }

    fn turn(&self, row: &Row<'_>) -> anyhow::Result<Option<UnitQuaternion<f64>>> {
        if let Some([x, y, z, w]) = self.quaternion {
            let q = Quaternion::new(row.number(w)?, row.number(x)?, row.number(y)?, row.number(z)?);
            if (q.norm() - 1.0).abs() > 0.05 {
                return Err(row.bad(&format!(
                    "the quaternion has length {:.3}, 1 is expected (columns qx, qy, qz, qw)",
                    q.norm()
                )));
            }
            return Ok(Some(UnitQuaternion::new_normalize(q)));
        }
        let Some([x, y, z]) = self.vector else { return Ok(None) };
        let vector = Vector3::new(row.number(x)?, row.number(y)?, row.number(z)?);
        Ok(Some(UnitQuaternion::from_scaled_axis(vector)))
    }
}

impl PoseRow {
    /// A point fixed to the tip, in the arm's base; `None` for one off the tip where the table does not say how the tip is turned.
    pub fn point(&self, on_tip: &Vector3<f64>) -> Option<Point3<f64>> {
        if *on_tip == Vector3::zeros() {
            return Some(self.tip);
        }
        let pose = Isometry3::from_parts(Translation3::from(self.tip.coords), self.turn?);
        Some(pose * Point3::from(*on_tip))
    }
}

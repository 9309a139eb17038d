//! Forward kinematics of a table of joints: what `proctor fk` does between standard input and standard output.

use crate::{Chain, KinematicsError};
use arrayvec::ArrayVec;
use csv::{ReaderBuilder, StringRecord, Trim, WriterBuilder};
use proctor_types::MAX_JOINTS;
use std::io::{Read, Write};

/// Why a table of joints could not be turned into poses. Lines count from 1, the header included.
#[derive(Debug, thiserror::Error)]
pub enum FkCsvError {
    /// A column of joints is not named in the header (or there is no header).
    #[error("line 1: the header needs a column {column:?}, but has {found:?}")]
    MissingColumn {
        /// The column that is needed.
        column: String,
        /// The header that came.
        found: Vec<String>,
    },
    /// A column of joints is named twice.
    #[error("line 1: column {column:?} occurs more than once")]
    DuplicateColumn {
        /// The column.
        column: String,
    },
    /// A row has more or fewer fields than the header.
    #[error("line {line}: {got} fields, but the header has {expected}")]
    RowLength {
        /// Line of the row.
        line: u64,
        /// Fields in the header.
        expected: usize,
        /// Fields in the row.
        got: usize,
    },
    /// A field is not a finite number.
    #[error("line {line}, column {column:?}: {text:?} is not a finite number")]
    BadNumber {
        /// Line of the row.
        line: u64,
        /// Column of the field.
        column: String,
        /// The field.
        text: String,
    },
    /// The chain refused a row.
    #[error("line {line}: {source}")]
    Kinematics {
        /// Line of the row.
        line: u64,
        /// Why.
        source: KinematicsError,
    },
    /// Reading or writing failed.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// Writing the last rows failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Reads rows of joints and writes a row of the tip's pose for each; returns how many.
///
/// In: comma-separated with a header that names `q1`..`q6` (`q1`..`q4` for the ECM) in any order, rad and m; further columns
/// are ignored. Out: `x,y,z` (m, base frame) and the quaternion `qx,qy,qz,qw` with `qw >= 0`, digits enough to read the same
/// numbers back. Stops at the first bad row, naming its line and column; rows before it have been written.
pub fn fk_csv<R: Read, W: Write>(chain: &Chain, reader: R, writer: W) -> Result<usize, FkCsvError> {
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(reader);
    let mut writer = WriterBuilder::new().from_writer(writer);
    let mut record = StringRecord::new();
    reader.read_record(&mut record)?;
    let width = record.len();
    let columns = joint_columns(chain.dof(), &record)?;
    writer.write_record(["x", "y", "z", "qx", "qy", "qz", "qw"])?;
    let mut rows = 0;
    while reader.read_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != width {
            return Err(FkCsvError::RowLength { line, expected: width, got: record.len() });
        }
        let q = joints(&columns, &record, line)?;
        let tip = chain.fk(&q).map_err(|source| FkCsvError::Kinematics { line, source })?;
        let (p, r) = (tip.translation(), tip.rotation());
        let sign = if r.w < 0.0 { -1.0 } else { 1.0 };
        let fields = [p.x, p.y, p.z, sign * r.i, sign * r.j, sign * r.k, sign * r.w];
        writer.write_record(fields.map(|v| format!("{v:?}")))?;
        rows += 1;
    }
    writer.flush()?;
    Ok(rows)
}

/// (name, position) of each joint's column.
type Columns = ArrayVec<(String, usize), MAX_JOINTS>;

fn joint_columns(dof: usize, header: &StringRecord) -> Result<Columns, FkCsvError> {
    (1..=dof)
        .map(|joint| {
            let column = format!("q{joint}");
            // A byte-order mark belongs to the file, not to the first column's name.
            let is_it = |(_, name): &(usize, &str)| name.trim_start_matches('\u{feff}') == column;
            let mut found = header.iter().enumerate().filter(is_it);
            match (found.next(), found.next()) {
                (Some((at, _)), None) => Ok((column, at)),
                (Some(_), Some(_)) => Err(FkCsvError::DuplicateColumn { column }),
                (None, _) => {
                    Err(FkCsvError::MissingColumn { column, found: header.iter().map(str::to_owned).collect() })
                }
            }
        })
        .collect()
}

fn joints(columns: &Columns, record: &StringRecord, line: u64) -> Result<ArrayVec<f64, MAX_JOINTS>, FkCsvError> {
    columns
        .iter()
        .map(|(column, at)| {
            let text = record.get(*at).unwrap_or_default();
            let value = text.parse::<f64>().ok().filter(|v| v.is_finite());
            value.ok_or_else(|| FkCsvError::BadNumber { line, column: column.clone(), text: text.to_owned() })
        })
        .collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Instrument;

    fn run(chain: &Chain, text: &str) -> Result<(usize, String), FkCsvError> {
        let mut out = Vec::new();
        let rows = fk_csv(chain, text.as_bytes(), &mut out)?;
        Ok((rows, String::from_utf8(out).unwrap()))
    }

    fn psm() -> Chain {
        Chain::psm(&Instrument::named(Instrument::DEFAULT).unwrap()).unwrap()
    }

    #[test]
    fn the_zero_pose_and_a_permuted_header_give_the_same_row() {
        let (rows, text) = run(&psm(), "q1,q2,q3,q4,q5,q6\n0,0,0.1,0.5,0,0\n").unwrap();
        let (_, permuted) = run(&psm(), "t, q6,q5,q4,q3,q2,q1\r\nhello, 0,0,0.5,1e-1,0,0\r\n").unwrap();
        assert_eq!((rows, text.as_str()), (1, permuted.as_str()));
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("x,y,z,qx,qy,qz,qw"));
        let v: Vec<f64> = lines.next().unwrap().split(',').map(|f| f.parse().unwrap()).collect();
        // Straight instrument: depth q3 + 0.4162 - 0.4318 + 0.0091, along the base's -z.
        assert!((v[2] + 0.1 + 0.4162 - 0.4318 + 0.0091).abs() < 1e-12 && v[0].abs() < 1e-12 && v[1].abs() < 1e-12);
        assert!((v[3..].iter().map(|q| q * q).sum::<f64>() - 1.0).abs() < 1e-12 && v[6] >= 0.0);
    }

    #[test]
    fn the_ecm_needs_four_columns() {
        let (rows, _) = run(&Chain::ecm().unwrap(), "q1,q2,q3,q4\n0,0,0.1,0\n0,0,0.2,0\n").unwrap();
        assert_eq!(rows, 2);
    }

    #[test]
    fn a_table_without_a_header_is_refused() {
        for text in ["", "0,0,0.1,0,0,0\n", "q1,q2,q3,q4,q5\n", "measured_q1,q2,q3,q4,q5,q6\n"] {
            assert!(matches!(run(&psm(), text), Err(FkCsvError::MissingColumn { .. })), "{text:?}");
        }
        assert!(matches!(run(&psm(), "q1,q2,q3,q4,q5,q6,q1\n"), Err(FkCsvError::DuplicateColumn { .. })));
    }

    #[test]
    fn a_bad_row_is_reported_with_line_and_column() {
        let header = "q1,q2,q3,q4,q5,q6\n0,0,0,0,0,0\n";
        for (row, said) in [
            ("0,0,0,nan,0,0", "line 3, column \"q4\": \"nan\""),
            ("0,inf,0,0,0,0", "line 3, column \"q2\": \"inf\""),
            ("0,0,0,0,0,", "line 3, column \"q6\": \"\""),
            ("x,0,0,0,0,0", "line 3, column \"q1\": \"x\""),
            ("0,0,0,0,0", "line 3: 5 fields, but the header has 6"),
            ("0,0,0,0,0,0,0", "line 3: 7 fields, but the header has 6"),
        ] {
            let error = run(&psm(), &format!("{header}{row}\n")).unwrap_err().to_string();
            assert!(error.starts_with(said), "{row}: {error}");
        }
    }
}

//! The robot's poses, one row per picture (or more often, by time): a CSV table of `measured_cp`.

use crate::CalibrationError;
use csv::{ReaderBuilder, StringRecord, Trim};
use nalgebra::{Isometry3, Quaternion, Translation3, UnitQuaternion};
use proctor_types::{Base, Pose, Tip};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// What tells which picture a row belongs to.
#[derive(Debug, Clone, PartialEq)]
pub enum RowKey {
    /// The picture's file name.
    File(String),
    /// When the pose was measured, seconds.
    Stamp(f64),
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseRow {
    /// Line in the file, from 1, the header included.
    pub line: u64,
    /// Which picture.
    pub key: RowKey,
    /// The tip in the arm's base, metres.
    pub base_from_tip: Pose<Base, Tip>,
}

/// A log of poses.
#[derive(Debug, Clone, PartialEq)]
pub struct PoseLog {
    /// The file.
    pub path: PathBuf,
    /// Its rows, in order.
    pub rows: Vec<PoseRow>,
}

/// Farthest tip from the base, m: beyond this a log is taken to be in millimetres.
const MAX_REACH: f64 = 5.0;
/// A picture's stamp and its row's may differ by this, seconds.
pub const MAX_GAP: f64 = 0.05;
const NUMBERS: [&str; 7] = ["x", "y", "z", "qx", "qy", "qz", "qw"];

impl PoseLog {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CalibrationError> {
        Self::parse(&std::fs::read_to_string(path).map_err(CalibrationError::io(path))?, path)
    }

    /// Reads the text of a file: a header that names `x,y,z` (m), `qx,qy,qz,qw` and `file` or `stamp` (s, or ns if whole and
    /// above 1e14) in any order, then a row per pose; further columns are ignored. A bad row is named by its line.
    pub fn parse(text: &str, path: &Path) -> Result<Self, CalibrationError> {
        let wrong = |line: u64, why: String| CalibrationError::PoseLog { path: path.to_owned(), line, why };
        let text = text.trim_start_matches('\u{feff}');
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        let csv = |e: csv::Error| wrong(e.position().map_or(0, csv::Position::line), e.to_string());
        reader.read_record(&mut record).map_err(csv)?;
        let header: Vec<String> = record.iter().map(str::to_owned).collect();
        let columns = Columns::of(&header).map_err(|why| wrong(1, why))?;
        let mut rows: Vec<PoseRow> = Vec::new();
        let mut files: BTreeMap<String, u64> = BTreeMap::new();
        while reader.read_record(&mut record).map_err(csv)? {
            let line = record.position().map_or(0, csv::Position::line);
            if record.len() != header.len() {
                let why = format!("{} fields, but the header has {}", record.len(), header.len());
                return Err(wrong(line, why));
            }
            let row = columns.row(&record, line).map_err(|why| wrong(line, why))?;
            if let RowKey::File(file) = &row.key
                && let Some(first) = files.insert(file.clone(), line)
            {
                return Err(wrong(line, format!("{file} has a pose in line {first} already")));
            }
            rows.push(row);
        }
        Ok(Self { path: path.to_owned(), rows })
    }

    /// The row of each picture, by name or by the number in its name that is its stamp. Pictures without a row, and rows by name
    /// without a picture, are errors that name them.
    pub fn rows_of(&self, pictures: &[String]) -> Result<Vec<usize>, CalibrationError> {
        let found: Vec<Option<usize>> = pictures.iter().map(|p| self.row_of(p)).collect();
        let missing = |(p, row): (&String, &Option<usize>)| row.is_none().then(|| p.clone());
        let without_row: Vec<String> = pictures.iter().zip(&found).filter_map(missing).collect();
        let names: BTreeSet<&str> = pictures.iter().map(String::as_str).collect();
        let unused = |row: &PoseRow| match &row.key {
            RowKey::File(file) if !names.contains(base_name(file)) => Some(format!("{file} (line {})", row.line)),
            RowKey::File(_) | RowKey::Stamp(_) => None,
        };
        let without_picture: Vec<String> = self.rows.iter().filter_map(unused).collect();
        if without_row.is_empty() && without_picture.is_empty() {
            return Ok(found.into_iter().flatten().collect());
        }
        Err(CalibrationError::LogNames {
            path: self.path.clone(),
            rows: self.rows.len(),
            pictures: pictures.len(),
            without_row,
            without_picture,
        })
    }

    fn row_of(&self, picture: &str) -> Option<usize> {
        let by_name = |row: &PoseRow| matches!(&row.key, RowKey::File(file) if base_name(file) == picture);
        if let Some(row) = self.rows.iter().position(by_name) {
            return Some(row);
        }
        let stamp = stamp_in_name(picture)?;
        let gap = |row: &PoseRow| match row.key {
            RowKey::Stamp(s) => (s - stamp).abs(),
            RowKey::File(_) => f64::INFINITY,
        };
        let nearest = (0..self.rows.len()).min_by(|a, b| gap(&self.rows[*a]).total_cmp(&gap(&self.rows[*b])))?;
        (gap(&self.rows[nearest]) <= MAX_GAP).then_some(nearest)
    }
}

fn base_name(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

/// Seconds; whole numbers above 1e14 are nanoseconds.
fn stamp(text: &str) -> Option<f64> {
    let nanoseconds = text.parse::<i64>().ok().filter(|ns| *ns > 100_000_000_000_000);
    let seconds = || text.parse::<f64>().ok().filter(|s| s.is_finite());
    nanoseconds.map(|ns| ns as f64 * 1e-9).or_else(seconds)
}

/// The last number in a picture's name.
fn stamp_in_name(picture: &str) -> Option<f64> {
    let stem = Path::new(picture).file_stem()?.to_str()?;
    let number = |c: char| c.is_ascii_digit() || c == '.';
    stem.split(|c| !number(c)).map(|w| w.trim_matches('.')).rfind(|w| !w.is_empty()).and_then(stamp)
}

struct Columns {
    key: usize,
    by_file: bool,
    numbers: [usize; 7],
}

impl Columns {
    fn of(header: &[String]) -> Result<Self, String> {
        let find = |name: &str| -> Result<Option<usize>, String> {
            let mut at = header.iter().enumerate().filter(|(_, h)| h.as_str() == name).map(|(i, _)| i);
            match (at.next(), at.next()) {
                (first, None) => Ok(first),
                (_, Some(_)) => Err(format!("column {name:?} occurs more than once")),
            }
        };
        let (file, stamp) = (find("file")?, find("stamp")?);
        let missing = |name: &str| format!("the header needs a column {name:?}, but has {header:?}");
        let key = file.or(stamp).ok_or_else(|| missing("file\" or \"stamp"))?;
        let mut numbers = [0; 7];
        for (at, name) in numbers.iter_mut().zip(NUMBERS) {
            *at = find(name)?.ok_or_else(|| missing(name))?;
        }
        Ok(Self { key, by_file: file.is_some(), numbers })
    }

    fn row(&self, record: &StringRecord, line: u64) -> Result<PoseRow, String> {
        let text = |at: usize| record.get(at).unwrap_or_default();
        let mut v = [0.0; 7];
        for ((value, at), name) in v.iter_mut().zip(self.numbers).zip(NUMBERS) {
            let number = text(at).parse::<f64>().ok().filter(|v| v.is_finite());
            *value = number.ok_or_else(|| format!("column {name:?}: {:?} is not a finite number", text(at)))?;
        }
        let [x, y, z, qx, qy, qz, qw] = v;
        let reach = x.hypot(y).hypot(z);
        if reach > MAX_REACH {
            return Err(format!("the tip is {reach:.1} m from the base: positions must be in metres, not millimetres"));
        }
        let q = Quaternion::new(qw, qx, qy, qz);
        if (q.norm() - 1.0).abs() > 0.01 {
            return Err(format!("the quaternion's length is {:.4} instead of 1", q.norm()));
        }
        let key = text(self.key);
        if self.by_file && key.is_empty() {
            return Err("column \"file\" is empty".into());
        }
        let key = if self.by_file {
            RowKey::File(key.to_owned())
        } else {
            RowKey::Stamp(stamp(key).ok_or_else(|| format!("column \"stamp\": {key:?} is not a time"))?)
        };
        let pose = Isometry3::from_parts(Translation3::new(x, y, z), UnitQuaternion::new_normalize(q));
        Ok(PoseRow { line, key, base_from_tip: Pose::new(pose) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PoseLog, CalibrationError> {
        PoseLog::parse(text, Path::new("poses.csv"))
    }

    #[test]
    fn columns_may_come_in_any_order_among_others() {
        let log = parse("t,qw,qx,qy,qz,z,y,x,file\n9,0.5,0.5,0.5,0.5,0.3,0.2,0.1,a.png\n").unwrap();
        let pose = log.rows[0].base_from_tip;
        assert!((pose.translation() - nalgebra::Vector3::new(0.1, 0.2, 0.3)).norm() < 1e-15);
        assert!((pose.rotation().angle() - 120f64.to_radians()).abs() < 1e-12);
        assert_eq!((log.rows[0].line, log.rows[0].key.clone()), (2, RowKey::File("a.png".into())));
    }

    #[test]
    fn a_bad_row_is_named_by_its_line() {
        let header = "file,x,y,z,qx,qy,qz,qw\na.png,0,0,0.1,0,0,0,1\n";
        for (row, said) in [
            ("b.png,0,0,oops,0,0,0,1", "line 3: column \"z\": \"oops\""),
            ("b.png,0,0,nan,0,0,0,1", "line 3: column \"z\": \"nan\""),
            ("b.png,0,0,0.1,0,0,1", "line 3: 7 fields"),
            ("b.png,0,0,120,0,0,0,1", "line 3: the tip is 120.0 m"),
            ("b.png,0,0,0.1,0,0,0,0.5", "line 3: the quaternion's length is 0.5000"),
            (",0,0,0.1,0,0,0,1", "line 3: column \"file\" is empty"),
            ("a.png,0,0,0.1,0,0,0,1", "line 3: a.png has a pose in line 2"),
        ] {
            let error = parse(&format!("{header}{row}\n")).unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("poses.csv"), "{error}");
        }
        for header in ["", "a.png,0,0,0.1,0,0,0,1\n", "file,x,y,z,qx,qy,qz\n", "file,x,x,y,z,qx,qy,qz,qw\n"] {
            assert!(parse(header).unwrap_err().to_string().contains("line 1"), "{header:?}");
        }
    }

    #[test]
    fn stamps_in_names_find_the_nearest_row_in_seconds_or_nanoseconds() {
        let log = parse("stamp,x,y,z,qx,qy,qz,qw\n1700000000.00,0,0,0,0,0,0,1\n1700000000.10,0,0,0,0,0,0,1\n").unwrap();
        let pictures = ["left_1700000000.09.png".to_owned(), "1700000000012345678.jpg".to_owned()];
        assert_eq!(log.rows_of(&pictures).unwrap(), [1, 0]);
        let error = log.rows_of(&["1700000000.30.png".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("without a pose: 1700000000.30.png"), "{error}");
    }

    #[test]
    fn pictures_and_rows_that_lack_each_other_are_named() {
        let log = parse("file,x,y,z,qx,qy,qz,qw\nshots/a.png,0,0,0,0,0,0,1\nc.png,0,0,0,0,0,0,1\n").unwrap();
        let error = log.rows_of(&["a.png".to_owned(), "b.png".to_owned()]).unwrap_err().to_string();
        assert!(error.contains("without a pose: b.png") && error.contains("c.png (line 3)"), "{error}");
        assert!(error.contains("2 rows, 2 pictures"), "{error}");
        let log = parse("file,x,y,z,qx,qy,qz,qw\nshots/a.png,0,0,0,0,0,0,1\n").unwrap();
        assert_eq!(log.rows_of(&["a.png".to_owned()]).unwrap(), [0]);
    }
}

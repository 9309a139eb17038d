//! Tables of numbers: CSV with a header whose columns have several accepted names. Every complaint names file, line and column.

use anyhow::{Context as _, bail};
use csv::{ReaderBuilder, StringRecord, Trim};
use std::path::{Path, PathBuf};

/// A table.
#[derive(Debug)]
pub struct Table {
    path: PathBuf,
    header: Vec<String>,
    rows: Vec<(u64, StringRecord)>,
}

/// A column that is there.
pub type Column = usize;

impl Table {
    /// Reads a file. A row of another length than the header, and a file without rows, are errors.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        Self::parse(path, &text)
    }

    fn parse(path: &Path, text: &str) -> anyhow::Result<Self> {
        let text = text.trim_start_matches('\u{feff}');
        // Comma unless the header has none.
        let head = text.lines().next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().find(|d| head.as_bytes().contains(d)).unwrap_or(b',');
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).flexible(true).trim(Trim::All).delimiter(delimiter);
        let mut reader = builder.from_reader(text.as_bytes());
        let mut record = StringRecord::new();
        let (mut header, mut rows) = (Vec::new(), Vec::new());
        while reader.read_record(&mut record).with_context(|| format!("{}", path.display()))? {
            let line = record.position().map_or(0, csv::Position::line);
            if header.is_empty() {
                header = record.iter().map(|h| h.trim_start_matches('#').trim().to_lowercase()).collect();
            } else if record.len() == header.len() {
                rows.push((line, record.clone()));
            } else {
                let (has, got) = (header.len(), record.len());
                bail!("{}, line {line}: {got} fields, but the header has {has}", path.display());
            }
        }
        if rows.is_empty() {
            bail!(
                "{}: a header line and at least one row are expected, got {} lines",
                path.display(),
                text.lines().count()
            );
        }
        Ok(Self { path: path.to_owned(), header, rows })
    }

    /// The column of the first of these names that the header has.
    pub fn column(&self, names: &[&str]) -> Option<Column> {
        names.iter().find_map(|name| self.header.iter().position(|h| h == name))
    }

    /// As [`Self::column`], for a column that must be there.
    pub fn needed(&self, names: &[&str]) -> anyhow::Result<Column> {
        let listed = || names.iter().map(|n| format!("{n:?}")).collect::<Vec<_>>().join(" or ");
        self.column(names).with_context(|| {
            format!(
                "{}, line 1: the header needs a column {}, but has {:?}",
                self.path.display(),
                listed(),
                self.header
            )
        })
    }

    /// All columns of a family, or none of them.
    pub fn columns<const N: usize>(&self, families: &[[&str; N]]) -> Option<[Column; N]> {
        families.iter().find_map(|names| {
            let found: Option<Vec<Column>> = names.iter().map(|name| self.column(&[name])).collect();
            found.and_then(|f| f.try_into().ok())
        })
    }

    /// Its rows, in order.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|(line, record)| Row { table: self, line: *line, record })
    }
}

/// One row.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    table: &'a Table,
    /// Line in the file, from 1.
    pub line: u64,
    record: &'a StringRecord,
}

impl Row<'_> {
    /// The text of a field.
    pub fn text(&self, column: Column) -> &str {
        self.record.get(column).unwrap_or_default()
    }

    /// A finite number; `None` for an empty field, `nan` or `none`.
    pub fn maybe(&self, column: Column) -> anyhow::Result<Option<f64>> {
        let text = self.text(column);
        if text.is_empty() || ["nan", "none", "null"].contains(&text.to_lowercase().as_str()) {
            return Ok(None);
        }
        match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Some(value)),
            _ => Err(self.wrong(column, "a finite number")),
        }
    }

    /// A finite number that must be there.
    pub fn number(&self, column: Column) -> anyhow::Result<f64> {
        self.maybe(column)?.ok_or_else(|| self.wrong(column, "a finite number"))
    }

    /// Nanoseconds: whole numbers above 1e14 are that already, others are seconds.
    pub fn stamp(&self, column: Column) -> anyhow::Result<i64> {
        match self.text(column).parse::<i64>() {
            Ok(ns) if ns > 100_000_000_000_000 => Ok(ns),
            _ => Ok((self.number(column)? * 1e9).round() as i64),
        }
    }

    /// What is wrong with a field.
    pub fn wrong(&self, column: Column, expected: &str) -> anyhow::Error {
        let name = self.table.header.get(column).map_or("", String::as_str);
        let (path, line, text) = (self.table.path.display(), self.line, self.text(column));
        anyhow::anyhow!("{path}, line {line}, column {name:?}: {text:?} is not {expected}")
    }

    /// What is wrong with the row.
    pub fn bad(&self, why: &str) -> anyhow::Error {
        anyhow::anyhow!("{}, line {}: {why}", self.table.path.display(), self.line)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table(text: &str) -> anyhow::Result<Table> {
        Table::parse(Path::new("t.csv"), text)
    }

    #[test]
    fn complaints_name_file_line_and_column() {
        let t = table("stamp,u\n0.1,3\n0.2,x\n").unwrap();
        let u = t.needed(&["u"]).unwrap();
        let second = t.rows().nth(1).unwrap();
        assert_eq!(
            second.number(u).unwrap_err().to_string(),
            r#"t.csv, line 3, column "u": "x" is not a finite number"#
        );
        assert!(
            t.needed(&["v", "y"])
                .unwrap_err()
                .to_string()
                .contains(r#"needs a column "v" or "y", but has ["stamp", "u"]"#)
        );
        assert_eq!(table("a,b\n1,2\n3\n").unwrap_err().to_string(), "t.csv, line 3: 1 fields, but the header has 2");
        assert!(table("a,b\n").is_err() && table("").is_err());
    }

    #[test]
    fn stamps_are_seconds_or_nanoseconds_and_missing_numbers_are_none() {
        let t = table("Stamp;v\n1700000000123456789;\n0.25;NaN\n").unwrap();
        let stamps: Vec<i64> = t.rows().map(|r| r.stamp(0).unwrap()).collect();
        assert_eq!(stamps, [1_700_000_000_123_456_789, 250_000_000]);
        assert!(t.rows().all(|r| r.maybe(1).unwrap().is_none()));
    }
}

//! Which board was photographed: its kind, size and points.
//!
//! The board's frame: origin at its first inner corner, x along a row of corners, y along a column, z away from whoever looks at
//! its printed side. All points have z = 0.

use crate::CalibrationError;
use nalgebra::Point3;
use std::{fmt, str::FromStr};

/// How a board is recognised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Black and white squares; every inner corner must be in view.
    Chessboard,
    /// Squares with ArUco markers in the white ones; part of the board is enough.
    Charuco {
        /// Side of a marker, metres.
        marker: f64,
        /// Where the markers come from.
        dictionary: Dictionary,
    },
}

/// A flat board with a grid of inner corners (points where four squares meet).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BoardSpec {
    /// How it is recognised.
    pub kind: Kind,
    /// Inner corners in a row.
    pub columns: usize,
    /// Rows of inner corners.
    pub rows: usize,
    /// Side of a square, metres.
    pub square: f64,
}

/// Name of a predefined ArUco dictionary, as OpenCV numbers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dictionary {
    /// OpenCV's number.
    pub id: i32,
    name: &'static str,
}

impl Dictionary {
    /// Every dictionary, in OpenCV's order.
    const NAMES: [&'static str; 21] = [
        "4X4_50",
        "4X4_100",
        "4X4_250",
        "4X4_1000",
        "5X5_50",
        "5X5_100",
        "5X5_250",
        "5X5_1000",
        "6X6_50",
        "6X6_100",
        "6X6_250",
        "6X6_1000",
        "7X7_50",
        "7X7_100",
        "7X7_250",
        "7X7_1000",
        "ARUCO_ORIGINAL",
        "APRILTAG_16h5",
        "APRILTAG_25h9",
        "APRILTAG_36h10",
        "APRILTAG_36h11",
    ];

    /// By name, in any case, with or without `DICT_`.
    pub fn named(name: &str) -> Option<Self> {
        let wanted = name.to_ascii_uppercase();
        let wanted = wanted.trim_start_matches("DICT_");
        let at = Self::NAMES.iter().position(|n| n.eq_ignore_ascii_case(wanted))?;
        Some(Self { id: at as i32, name: Self::NAMES[at] })
    }
}

/// How a board is written, for messages.
pub const BOARD_SYNTAX: &str =
    "chessboard:COLSxROWS:SQUARE_MM (inner corners) or charuco:COLSxROWS:SQUARE_MM:MARKER_MM[:DICT] (squares)";

impl BoardSpec {
    /// Number of inner corners.
    pub fn corners(&self) -> usize {
        self.columns * self.rows
    }

    /// An inner corner in the board's frame, metres. Corners count row by row from 0.
    pub fn point(&self, corner: usize) -> Point3<f64> {
        let (column, row) = (corner % self.columns, corner / self.columns);
        Point3::new(column as f64 * self.square, row as f64 * self.square, 0.0)
    }

    /// Middle of the corners, metres.
    pub fn centre(&self) -> Point3<f64> {
        let half = |n: usize| 0.5 * (n - 1) as f64 * self.square;
        Point3::new(half(self.columns), half(self.rows), 0.0)
    }

    /// Whether a turn by 180 degrees gives the same picture, so that a view cannot say which way the board lies.
    pub fn looks_the_same_upside_down(&self) -> bool {
        self.kind == Kind::Chessboard && (self.columns + self.rows).is_multiple_of(2)
    }

    /// The number of the corner that a turn by 180 degrees brings to this one's place.
    pub fn turned(&self, corner: usize) -> usize {
        self.corners() - 1 - corner
    }
}

impl fmt::Display for BoardSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mm = self.square * 1e3;
        match self.kind {
            Kind::Chessboard => write!(f, "chessboard:{}x{}:{mm}", self.columns, self.rows),
            Kind::Charuco { marker, dictionary } => {
                let (columns, rows) = (self.columns + 1, self.rows + 1);
                write!(f, "charuco:{columns}x{rows}:{mm}:{}:{}", marker * 1e3, dictionary.name)
            }
        }
    }
}

impl FromStr for BoardSpec {
    type Err = CalibrationError;

    fn from_str(text: &str) -> Result<Self, CalibrationError> {
        let wrong = |why: &str| CalibrationError::Board { text: text.to_owned(), why: why.to_owned() };
        let fields: Vec<&str> = text.split(':').collect();
        let size = |field: &str| -> Option<(usize, usize)> {
            let (columns, rows) = field.split_once(['x', 'X'])?;
            Some((columns.parse().ok()?, rows.parse().ok()?))
        };
        let metres = |field: &str| {
            let mm: Option<f64> = field.parse().ok().filter(|mm| (0.01..=10_000.0).contains(mm));
            mm.map(|mm| mm * 1e-3).ok_or_else(|| wrong(&format!("{field:?} is not a length in mm above 0")))
        };
        let (kind, grid, square) = match fields.as_slice() {
            ["chessboard", grid, square] => (Kind::Chessboard, *grid, *square),
            ["charuco", grid, square, marker] => (charuco(marker, "4X4_50", metres, wrong)?, *grid, *square),
            ["charuco", grid, square, marker, name] => (charuco(marker, name, metres, wrong)?, *grid, *square),
            _ => return Err(wrong("the parts are not those of a board")),
        };
        let (columns, rows) = size(grid).ok_or_else(|| wrong("the size must read COLSxROWS, e.g. 8x6"))?;
        let square = metres(square)?;
        let frame = usize::from(kind != Kind::Chessboard); // squares are one more than the corners between them
        if !(3 + frame..=100).contains(&columns) || !(3 + frame..=100).contains(&rows) {
            return Err(wrong("at least 3x3 inner corners (4x4 squares) are needed, and at most 100x100"));
        }
        if let Kind::Charuco { marker, .. } = kind
            && marker >= square
        {
            return Err(wrong("a marker must be smaller than its square"));
        }
        Ok(Self { kind, columns: columns - frame, rows: rows - frame, square })
    }
}

fn charuco(
    marker: &str,
    name: &str,
    metres: impl Fn(&str) -> Result<f64, CalibrationError>,
    wrong: impl Fn(&str) -> CalibrationError,
) -> Result<Kind, CalibrationError> {
    let dictionary = Dictionary::named(name)
        .ok_or_else(|| wrong(&format!("{name:?} is no dictionary; known are {}", Dictionary::NAMES.join(", "))))?;
    Ok(Kind::Charuco { marker: metres(marker)?, dictionary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chessboard_counts_inner_corners_and_a_charuco_board_counts_squares() {
        let chess: BoardSpec = "chessboard:8x6:3.5".parse().unwrap();
        assert_eq!((chess.columns, chess.rows, chess.corners()), (8, 6, 48));
        assert!((chess.point(9) - Point3::new(0.0035, 0.0035, 0.0)).norm() < 1e-15);
        let charuco: BoardSpec = "charuco:9x7:4:3:dict_5x5_100".parse().unwrap();
        assert_eq!((charuco.columns, charuco.rows), (8, 6));
        assert!(matches!(charuco.kind, Kind::Charuco { dictionary, .. } if dictionary.id == 5));
    }

    #[test]
    fn a_board_reads_back_as_it_is_written() {
        for text in ["chessboard:8x6:3.5", "charuco:9x7:4:3:5X5_100", "charuco:5x5:10:7.5:APRILTAG_36h11"] {
            assert_eq!(text.parse::<BoardSpec>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_with_a_board_is_said() {
        for (text, said) in [
            ("8x6:3", "parts"),
            ("chessboard:8:3", "COLSxROWS"),
            ("chessboard:8x6:-3", "mm"),
            ("chessboard:8x2:3", "3x3"),
            ("charuco:8x6:3:3", "smaller"),
            ("charuco:8x6:3:2:9X9_50", "4X4_50"),
        ] {
            let error = text.parse::<BoardSpec>().unwrap_err().to_string();
            assert!(error.contains(said) && error.contains(text), "{error}");
        }
    }

    #[test]
    fn only_chessboards_with_both_counts_even_or_both_odd_look_the_same_upside_down() {
        for (text, same) in [("8x6", true), ("9x7", true), ("9x6", false), ("7x10", false)] {
            let board: BoardSpec = format!("chessboard:{text}:3").parse().unwrap();
            assert_eq!(board.looks_the_same_upside_down(), same, "{text}");
        }
        assert!(!"charuco:9x7:3:2".parse::<BoardSpec>().unwrap().looks_the_same_upside_down());
    }
}

//! What can go wrong in a calibration, with the values that show it. Nothing has been written when one of these is returned.

use std::path::{Path, PathBuf};

/// Errors of boards, pictures, pose logs and fits.
#[derive(Debug, thiserror::Error)]
pub enum CalibrationError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The description of the board makes no sense.
    #[error("board {text:?}: {why}; write {}", crate::BOARD_SYNTAX)]
    Board {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// A folder or pattern without pictures.
    #[error("{path}: no pictures (PNG, JPEG, BMP, TIFF)")]
    NoPictures {
        /// What was searched.
        path: PathBuf,
    },
    /// A picture could not be decoded.
    #[error("{path}: not a picture that OpenCV can read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
    },
    /// A side-by-side picture cannot be halved.
    #[error("{path}: {width} px wide, which has no middle: a side-by-side picture has an even width")]
    OddWidth {
        /// Which file.
        path: PathBuf,
        /// Its width.
        width: u32,
    },
    /// Pictures of different size.
    #[error(
        "mixed resolutions: {first} is {first_size}, {second} is {second_size}; all pictures must come from one camera mode"
    )]
    MixedSizes {
        /// One picture.
        first: String,
        /// Its size, `WxH`.
        first_size: String,
        /// The other picture.
        second: String,
        /// Its size.
        second_size: String,
    },
    /// Two files of one side would make the same pair.
    #[error("{first} and {second} would be the same picture of a pair")]
    SameName {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// No left name has a partner.
    #[error(
        "no left picture has a right one of the same name ({left} and {right} are the first ones): \
         names of a pair may differ by left/right or l/r only"
    )]
    NoPairs {
        /// First left file.
        left: String,
        /// First right file.
        right: String,
    },
    /// The board was found nowhere.
    #[error("no board {board} in any of the {pictures} pictures: {hint}")]
    NoBoard {
        /// The board.
        board: String,
        /// Pictures searched.
        pictures: usize,
        /// What it may come from.
        hint: String,
    },
    /// Not enough usable pictures.
    #[error("too few views: {found} {what}, at least {needed} are needed{}", list(.left_out, "; left out: "))]
    TooFewViews {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many are needed.
        needed: usize,
        /// Which pictures do not count, and why.
        left_out: Vec<String>,
    },
    /// The fit has no sensible answer.
    #[error("the pictures do not determine the camera: {why}")]
    Undetermined {
        /// What is missing.
        why: String,
    },
    /// The left camera stands on the right.
    #[error(
        "left and right are swapped: the camera given as right is {mm:.1} mm to the left of the other one; exchange them"
    )]
    Swapped {
        /// How far it stands to the left, mm.
        mm: f64,
    },
    /// The cameras stand one above the other, or one behind the other.
    #[error(
        "the cameras are not side by side: the right one is at x {x:.1}, y {y:.1}, z {z:.1} mm in the left one's frame; \
         is a picture turned?"
    )]
    NotSideBySide {
        /// To the right, mm.
        x: f64,
        /// Downwards, mm.
        y: f64,
        /// Forwards, mm.
        z: f64,
    },
    /// Left and right pictures are not of the same moments.
    #[error(
        "left and right pictures do not belong together: in {bad} of {all} pairs the board lies elsewhere for the right camera \
         than for the left one{}",
        list(.names, ": ")
    )]
    PairsDisagree {
        /// Pairs that contradict the rest.
        bad: usize,
        /// All pairs with the board in both.
        all: usize,
        /// Their names.
        names: Vec<String>,
    },
    /// A camera file is not usable.
    #[error("{path}: not a usable camera_info file: {why}")]
    CameraInfo {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The pictures are not of the camera of the file.
    #[error("{picture} is {size}, but {path} describes a camera of {expected}")]
    OtherCamera {
        /// A picture.
        picture: String,
        /// Its size.
        size: String,
        /// The camera file.
        path: PathBuf,
        /// Size in the file.
        expected: String,
    },
    /// A pose log is malformed.
    #[error("{path}, line {line}: {why}")]
    PoseLog {
        /// Which file.
        path: PathBuf,
        /// Line, from 1, the header included.
        line: u64,
        /// What is wrong.
        why: String,
    },
    /// Pictures and rows of the pose log are not the same set.
    #[error(
        "{path} does not match the pictures ({rows} rows, {pictures} pictures){}{}",
        list(.without_row, "; pictures without a pose: "),
        list(.without_picture, "; rows without a picture: ")
    )]
    LogNames {
        /// The log.
        path: PathBuf,
        /// Rows in the log.
        rows: usize,
        /// Pictures given.
        pictures: usize,
        /// Pictures that no row names.
        without_row: Vec<String>,
        /// Rows whose picture is not there.
        without_picture: Vec<String>,
    },
    /// The robot did not move as the camera saw it move.
    #[error(
        "the poses do not belong to the pictures: between two pictures the robot turned by another angle than the camera saw{}{}",
        list(.pairs, ": "),
        .advice.as_ref().map(|a| format!("; {a}")).unwrap_or_default()
    )]
    LogMismatch {
        /// The worst pairs, or the pictures with a wrong pose.
        pairs: Vec<String>,
        /// What would fit.
        advice: Option<String>,
    },
    /// The motion does not determine the hand-eye transform.
    #[error("the robot's motion does not determine the hand-eye transform: {why}")]
    DegenerateMotion {
        /// What is missing.
        why: String,
    },
    /// The board can lie several ways in the picture.
    #[error(
        "a square chessboard of {side}x{side} corners looks the same turned by 90 degrees: use one with unequal sides, or ChArUco"
    )]
    SquareBoard {
        /// Corners per side.
        side: usize,
    },
    /// A hand-eye file is malformed.
    #[error("{path}: {source}")]
    HandEyeFile {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// Threads could not be started.
    #[error("threads could not be started: {why}")]
    Threads {
        /// What the system says.
        why: String,
    },
    /// OpenCV failed on valid input.
    #[error("OpenCV: {0}")]
    OpenCv(#[from] opencv::Error),
}

impl CalibrationError {
    /// Names the file of an I/O error.
    pub fn io(path: impl AsRef<Path>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.as_ref().to_owned();
        move |source| Self::Io { path, source }
    }
}

/// At most this many names in one message.
const MAX_NAMES: usize = 12;

/// Names after a lead; nothing if there are none.
fn list(names: &[String], lead: &str) -> String {
    match names.len() {
        0 => String::new(),
        n if n <= MAX_NAMES => format!("{lead}{}", names.join(", ")),
        n => format!("{lead}{} and {} more", names[..MAX_NAMES].join(", "), n - MAX_NAMES),
    }
}

//! Camera, stereo and hand-eye calibration from pictures of a board: `proctor calibrate`.
//!
//! Pictures become [`View`]s ([`survey()`]); views become a [`CameraFit`], a [`StereoFit`] or, with a robot's [`PoseLog`], a
//! [`HandEyeFit`]; a [`Verdict`] says what it is worth. Fits are functions of their arguments and leave out, by name, what contradicts
//! the rest. What cannot be right (swapped cameras, mixed sizes, a log of another run, motion about one axis) is a
//! [`CalibrationError`] that says so.
//!
//! Invariants: metres, radians and pixels with whole-numbered centres inside; mm and degrees only in names that say it. Nothing here
//! writes a file.

mod board;
mod camera;
mod camera_info;
mod chain;
mod coverage;
mod detect;
mod error;
mod fit;
mod hand_eye;
mod hand_eye_file;
mod intrinsics;
mod lm;
mod motion;
mod pictures;
mod plot;
mod pose_log;
mod stereo;
mod survey;
mod verdict;

pub use board::{BOARD_SYNTAX, BoardSpec, Dictionary, Kind};
pub use camera::{CameraFit, IntrinsicsSigma, Radial, calibrate_camera};
pub use camera_info::CameraInfo;
pub use coverage::Coverage;
pub use detect::{Corner, MIN_CORNERS, detect};
pub use error::CalibrationError;
pub use fit::{FittedView, MIN_VIEWS, Rejected, Rejection, Residual};
pub use hand_eye::{Board, BoardMiss, HandEye, HandEyeFit, HandEyeInput, Mount, PoseSigma, calibrate_hand_eye};
pub use hand_eye_file::HandEyeFile;
pub use intrinsics::Intrinsics;
pub use pictures::{Pairs, Picture, halves, list, pair};
pub use plot::{Panel, residual_plot};
pub use pose_log::{MAX_GAP, PoseLog, PoseRow, RowKey};
pub use stereo::{PairView, Rectified, StereoFit, calibrate_stereo};
pub use survey::{Pace, Survey, View, survey};
pub use verdict::{Grade, Verdict, judge_camera, judge_hand_eye, judge_stereo};

//! Looks for the board in many pictures at once: a bounded pool of threads, one picture in memory per thread.

use crate::{BoardSpec, CalibrationError, Corner, Picture, board::Kind, detect, detect::has_chessboard};
use opencv::core::MatTraitConst as _;
use rayon::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The board as one picture shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The picture's name.
    pub name: String,
    /// Its corners, by rising number.
    pub corners: Vec<Corner>,
}

/// What was found in the pictures of one camera.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// Width of every picture, px.
    pub width: u32,
    /// Height of every picture, px.
    pub height: u32,
    /// A place per picture, in the order given; `None` where no board was found.
    pub views: Vec<Option<View>>,
    /// The pictures' names.
    pub names: Vec<String>,
}

impl Survey {
    /// Pictures with a board.
    pub fn found(&self) -> usize {
        self.views.iter().flatten().count()
    }

    /// Names of the pictures without a board.
    pub fn without_board(&self) -> Vec<String> {
        self.names.iter().zip(&self.views).filter(|(_, v)| v.is_none()).map(|(n, _)| n.clone()).collect()
    }
}

/// How a survey is run.
pub struct Pace<'a> {
    /// Threads; each holds one picture.
    pub threads: usize,
    /// Called after each picture, from any thread, with how many are done and how many there are.
    pub progress: &'a (dyn Fn(usize, usize) + Sync),
}

/// Finds the board in every picture. Fails if a picture cannot be read, has another size than the first, or none shows the board.
pub fn survey(board: &BoardSpec, pictures: &[Picture], pace: &Pace<'_>) -> Result<Survey, CalibrationError> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(pace.threads.max(1)).build();
    let pool = pool.map_err(|e| CalibrationError::Threads { why: e.to_string() })?;
    let done = AtomicUsize::new(0);
    let look = |picture: &Picture| -> Result<(u32, u32, Vec<Corner>), CalibrationError> {
        let grey = picture.read()?;
        let corners = detect(board, &grey)?;
        (pace.progress)(done.fetch_add(1, Ordering::Relaxed) + 1, pictures.len());
        Ok((grey.cols() as u32, grey.rows() as u32, corners))
    };
    let seen: Vec<_> = pool.install(|| pictures.par_iter().map(look).collect());
    let names: Vec<String> = pictures.iter().map(Picture::name).collect();
    let mut size = None;
    let mut views = Vec::with_capacity(seen.len());
    for (one, name) in seen.into_iter().zip(&names) {
        let (width, height, corners) = one?;
        let (first_width, first_height) = *size.get_or_insert((width, height));
        if (width, height) != (first_width, first_height) {
            return Err(CalibrationError::MixedSizes {
                first: names[0].clone(),
                first_size: format!("{first_width}x{first_height}"),
                second: name.clone(),
                second_size: format!("{width}x{height}"),
            });
        }
        views.push((!corners.is_empty()).then(|| View { name: name.clone(), corners }));
    }
    let Some((width, height)) = size else { return Err(CalibrationError::NoPictures { path: "".into() }) };
    let survey = Survey { width, height, views, names };
    if survey.found() == 0 {
        return Err(CalibrationError::NoBoard {
            board: board.to_string(),
            pictures: pictures.len(),
            hint: hint(board, pictures)?,
        });
    }
    Ok(survey)
}

/// Pictures tried for a likely mistake in the board's size.
const HINT_PICTURES: usize = 3;

/// What a board that is nowhere might have been meant to be: the usual mistake is to count squares instead of inner corners.
fn hint(board: &BoardSpec, pictures: &[Picture]) -> Result<String, CalibrationError> {
    if board.kind != Kind::Chessboard {
        return Ok("check the number of squares, the dictionary and that the whole marker is sharp".into());
    }
    for picture in pictures.iter().take(HINT_PICTURES) {
        let grey = picture.read()?;
        for (columns, rows) in [(board.columns - 1, board.rows - 1), (board.columns + 1, board.rows + 1)] {
            if columns >= 3 && rows >= 3 && has_chessboard(columns, rows, &grey)? {
                return Ok(format!(
                    "{} shows one with {columns}x{rows} inner corners: count the points where four squares meet, not the squares",
                    picture.name()
                ));
            }
        }
    }
    Ok("check the number of inner corners (not squares), and that the whole board with a white rim is in view and sharp".into())
}

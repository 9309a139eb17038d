//! The inner corners of a board in one grey picture, to a fraction of a pixel.

use crate::{
    BoardSpec,
    board::{Dictionary, Kind},
};
use nalgebra::Vector2;
use opencv::{
    aruco, calib3d,
    core::{Mat, MatTraitConst as _, Point2f, Ptr, Size, TermCriteria, TermCriteria_Type, Vector, VectorToVec as _},
    imgproc,
};

/// One inner corner as seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Corner {
    /// Number of the corner on the board ([`BoardSpec::point`]).
    pub id: usize,
    /// Where it is, px.
    pub pixel: Vector2<f64>,
}

/// Fewest corners that make a view, of at least two rows and two columns.
pub const MIN_CORNERS: usize = 8;

/// A chessboard is searched in a picture whose long side is at most this, px, and refined in the full one.
const SEARCH: i32 = 1280;

/// The corners in a picture; empty if the board is not there.
pub fn detect(board: &BoardSpec, grey: &Mat) -> opencv::Result<Vec<Corner>> {
    let corners = match board.kind {
        Kind::Chessboard => chessboard(board.columns, board.rows, grey)?,
        Kind::Charuco { marker, dictionary } => charuco(board, marker / board.square, dictionary, grey)?,
    };
    let lines = |line: fn(usize, usize) -> usize| {
        let mut lines: Vec<_> = corners.iter().map(|c| line(c.id, board.columns)).collect();
        lines.sort_unstable();
        lines.dedup();
        lines.len()
    };
    let enough = corners.len() >= MIN_CORNERS && lines(|id, n| id / n) >= 2 && lines(|id, n| id % n) >= 2;
    Ok(if enough { corners } else { Vec::new() })
}

/// Whether a chessboard of this many inner corners is in the picture.
pub(crate) fn has_chessboard(columns: usize, rows: usize, grey: &Mat) -> opencv::Result<bool> {
    Ok(!chessboard(columns, rows, grey)?.is_empty())
}

fn chessboard(columns: usize, rows: usize, grey: &Mat) -> opencv::Result<Vec<Corner>> {
    let long = grey.cols().max(grey.rows());
    let mut small = Mat::default();
    if long > SEARCH {
        let scale = f64::from(SEARCH) / f64::from(long);
        imgproc::resize(grey, &mut small, Size::default(), scale, scale, imgproc::INTER_AREA)?;
    } else {
        small = grey.try_clone()?;
    }
    let mut found = search(columns, rows, &small)?;
    if found.is_empty() {
        return Ok(Vec::new());
    }
    // Pixel centres are whole numbers in both pictures.
    let grow = |v: f32, small: i32, full: i32| ((v + 0.5) * full as f32 / small as f32) - 0.5;
    let full = |p: Point2f| Point2f::new(grow(p.x, small.cols(), grey.cols()), grow(p.y, small.rows(), grey.rows()));
    found = found.iter().map(full).collect();
    let spacing = spacing(&found, columns);
    refine(grey, &mut found, spacing)?;
    let mut corners: Vec<Vector2<f64>> = found.iter().map(|p| pixel(&p)).collect();
    if dark_first(columns, grey, &corners)? == Some(false) {
        corners.reverse();
    }
    Ok(corners.into_iter().enumerate().map(|(id, pixel)| Corner { id, pixel }).collect())
}

/// All corners, roughly; none if the board is not there. The classic search is fast and refined the best of all in our measurements; the
/// one by sectors also finds blurred boards and takes a hundred times as long.
fn search(columns: usize, rows: usize, grey: &Mat) -> opencv::Result<Vector<Point2f>> {
    let size = Size::new(columns as i32, rows as i32);
    let mut found = Vector::<Point2f>::new();
    let usual = calib3d::CALIB_CB_ADAPTIVE_THRESH | calib3d::CALIB_CB_NORMALIZE_IMAGE | calib3d::CALIB_CB_FAST_CHECK;
    if calib3d::find_chessboard_corners(grey, size, &mut found, usual)?
        || calib3d::find_chessboard_corners_sb(grey, size, &mut found, calib3d::CALIB_CB_NORMALIZE_IMAGE)?
    {
        return Ok(found);
    }
    Ok(Vector::new())
}

/// Whether the first inner square is darker than its neighbour; `None` without a full grid. Where a turn by 180 degrees changes the
/// colours, this tells which way the board lies: the square at the first corner is dark, as in the board's frame.
fn dark_first(columns: usize, grey: &Mat, corners: &[Vector2<f64>]) -> opencv::Result<Option<bool>> {
    if corners.len() < 2 * columns || columns < 3 {
        return Ok(None);
    }
    let brightness = |first: usize| -> opencv::Result<i32> {
        let middle =
            (corners[first] + corners[first + 1] + corners[first + columns] + corners[first + columns + 1]) / 4.0;
        let (x, y) = (middle.x.round() as i32, middle.y.round() as i32);
        Ok(i32::from(*grey.at_2d::<u8>(y, x)?))
    };
    Ok(Some(brightness(0)? <= brightness(1)?))
}

fn pixel(p: &Point2f) -> Vector2<f64> {
    Vector2::new(f64::from(p.x), f64::from(p.y))
}

/// Shortest distance of neighbours within the rows of a full grid, px.
fn spacing(corners: &Vector<Point2f>, columns: usize) -> f64 {
    let points: Vec<_> = corners.iter().map(|p| pixel(&p)).collect();
    points.chunks(columns).flat_map(|row| row.windows(2).map(|w| (w[1] - w[0]).norm())).fold(f64::INFINITY, f64::min)
}

/// Moves corners to where the grey gradients around them meet, in a window that stays clear of the next corner.
fn refine(grey: &Mat, corners: &mut Vector<Point2f>, spacing: f64) -> opencv::Result<()> {
    let reach = ((0.3 * spacing) as i32).clamp(2, 15);
    let stop = TermCriteria::new(TermCriteria_Type::COUNT as i32 + TermCriteria_Type::EPS as i32, 50, 1e-3)?;
    imgproc::corner_sub_pix(grey, corners, Size::new(reach, reach), Size::new(-1, -1), stop)
}

/// A marker on the board and in the picture: its four corners, clockwise from its own top left, in squares and px.
struct Marker {
    board: [Vector2<f64>; 4],
    seen: [Vector2<f64>; 4],
}

fn charuco(board: &BoardSpec, marker: f64, dictionary: Dictionary, grey: &Mat) -> opencv::Result<Vec<Corner>> {
    let dictionary: Ptr<aruco::Dictionary> = aruco::get_predefined_dictionary_i32(dictionary.id)?;
    let mut quads = Vector::<Vector<Point2f>>::new();
    let mut ids = Vector::<i32>::new();
    aruco::detect_markers_def(grey, &dictionary, &mut quads, &mut ids)?;
    let mut best: Option<(f64, Vec<Marker>)> = None;
    for first_white in first_white_squares(board) {
        let markers: Vec<Marker> = ids
            .iter()
            .zip(quads.iter())
            .filter_map(|(id, quad)| {
                let board = marker_on_board(board, marker, *first_white, usize::try_from(id).ok()?)?;
                let seen: Vec<_> = quad.iter().map(|p| pixel(&p)).collect();
                Some(Marker { board, seen: seen.try_into().ok()? })
            })
            .collect();
        if markers.len() < 2 {
            continue;
        }
        let error = layout_error(&markers)?;
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            best = Some((error, markers));
        }
    }
    match best {
        None => Ok(Vec::new()),
        Some((_, markers)) => between_markers(board, &markers, grey),
    }
}

/// Column of the first white square of the first row, by what OpenCV has drawn: since 4.6 the top left square is black; before, it
/// was white on boards with an even number of rows.
fn first_white_squares(board: &BoardSpec) -> &'static [usize] {
    if (board.rows + 1).is_multiple_of(2) { &[1, 0] } else { &[1] }
}

/// Where a marker lies, in squares from the board's top left: markers count through the white squares, row by row.
fn marker_on_board(board: &BoardSpec, marker: f64, first_white: usize, id: usize) -> Option<[Vector2<f64>; 4]> {
    let (columns, rows) = (board.columns + 1, board.rows + 1);
    let white = (0..columns * rows).filter(|s| (s % columns + s / columns) % 2 == first_white % 2).nth(id)?;
    let middle = Vector2::new((white % columns) as f64 + 0.5, (white / columns) as f64 + 0.5);
    let h = 0.5 * marker;
    Some([(-h, -h), (h, -h), (h, h), (-h, h)].map(|(x, y)| middle + Vector2::new(x, y)))
}

fn points(markers: &[&Marker], of: fn(&Marker) -> &[Vector2<f64>; 4]) -> Vector<Point2f> {
    markers.iter().flat_map(|m| of(m).map(|p| Point2f::new(p.x as f32, p.y as f32))).collect()
}

/// Plane of the board to picture, by the corners of some markers.
fn homography(markers: &[&Marker]) -> opencv::Result<Mat> {
    calib3d::find_homography_def(&points(markers, |m| &m.board), &points(markers, |m| &m.seen), &mut Mat::default())
}

fn map(homography: &Mat, from: &Vector<Point2f>) -> opencv::Result<Vector<Point2f>> {
    let mut to = Vector::new();
    if homography.empty() {
        return Ok(to);
    }
    opencv::core::perspective_transform(from, &mut to, homography)?;
    Ok(to)
}

/// Median distance, px, of marker corners from where one homography puts them: a lens bends this by a little, a wrong layout by squares.
fn layout_error(markers: &[Marker]) -> opencv::Result<f64> {
    let all: Vec<&Marker> = markers.iter().collect();
    let mapped = map(&homography(&all)?, &points(&all, |m| &m.board))?;
    let seen = points(&all, |m| &m.seen);
    let mut errors: Vec<f64> = mapped.iter().zip(seen.iter()).map(|(a, b)| (pixel(&a) - pixel(&b)).norm()).collect();
    errors.sort_by(f64::total_cmp);
    Ok(errors.get(errors.len() / 2).copied().unwrap_or(f64::INFINITY))
}

/// Inner corners next to two markers, placed by those and refined in the picture.
fn between_markers(board: &BoardSpec, markers: &[Marker], grey: &Mat) -> opencv::Result<Vec<Corner>> {
    let mut out = Vec::new();
    for id in 0..board.corners() {
        let at = Vector2::new((id % board.columns + 1) as f64, (id / board.columns + 1) as f64);
        let touches = |m: &&Marker| m.board.iter().all(|p| (p - at).amax() < 1.0);
        let near: Vec<&Marker> = markers.iter().filter(touches).collect();
        if near.len() < 2 {
            continue;
        }
        let side = (at + Vector2::new(1.0, 0.0), at + Vector2::new(0.0, 1.0));
        let asked = [at, side.0, side.1].map(|p| Point2f::new(p.x as f32, p.y as f32));
        let mapped = map(&homography(&near)?, &Vector::from_slice(&asked))?;
        let Ok([corner, along, down]) = <[Point2f; 3]>::try_from(mapped.to_vec()) else { continue };
        let inside = |v: f32, n: i32| v >= 3.0 && v <= (n - 4) as f32;
        if !inside(corner.x, grey.cols()) || !inside(corner.y, grey.rows()) {
            continue;
        }
        let spacing = (pixel(&along) - pixel(&corner)).norm().min((pixel(&down) - pixel(&corner)).norm());
        // A marker begins within the square: the window must not reach it.
        let clear = spacing * (1.0 - near[0].board[0].metric_distance(&near[0].board[1])) * 0.5 / 0.3;
        let mut one = Vector::from_slice(&[corner]);
        refine(grey, &mut one, clear.clamp(8.0, spacing.max(8.0)))?;
        let refined = one.get(0)?;
        if (pixel(&refined) - pixel(&corner)).norm() < 0.25 * spacing {
            out.push(Corner { id, pixel: pixel(&refined) });
        }
    }
    Ok(out)
}

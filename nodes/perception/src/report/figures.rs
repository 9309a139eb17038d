//! Pictures and diagrams as text that stands in the page itself.

use super::{
    bootstrap::Estimate,
    calibration::{BINS, Bins},
    saliency::Saliency,
};
use crate::{PerceptionError, picture::Rgb};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use opencv::{
    core::{Mat, MatTraitConst as _, Vector},
    imgcodecs,
};
use proctor_types::Image;
use std::fmt::Write as _;

/// A picture as a JPEG in a data URI.
pub fn data_uri(picture: &Rgb) -> Result<String, PerceptionError> {
    let bgr: Vec<u8> = picture.pixels().iter().flat_map(|[r, g, b]| [*b, *g, *r]).collect();
    let flat = Mat::new_rows_cols_with_data(picture.height() as i32, (picture.width() * 3) as i32, &bgr)?;
    let mut bytes = Vector::new();
    imgcodecs::imencode(
        ".jpg",
        &flat.reshape_def(3)?,
        &mut bytes,
        &Vector::from_slice(&[imgcodecs::IMWRITE_JPEG_QUALITY, 85]),
    )?;
    Ok(format!("data:image/jpeg;base64,{}", BASE64_STANDARD.encode(bytes.as_slice())))
}

/// The picture with classes tinted and their outlines drawn; ignored pixels stay as they are.
pub fn tinted(picture: &Rgb, classes: &[Option<usize>], colours: &[[u8; 3]]) -> Result<Rgb, PerceptionError> {
    let (w, n) = (picture.width(), classes.len());
    let tint = |(i, pixel): (usize, &[u8; 3])| {
        let Some(k) = classes[i] else { return *pixel };
        let edge = ((i + 1) % w != 0 && classes[i + 1] != Some(k)) || (i + w < n && classes[i + w] != Some(k));
        let share = if edge { 230 } else { 90 };
        std::array::from_fn(|c| ((u32::from(pixel[c]) * (256 - share) + u32::from(colours[k][c]) * share) / 256) as u8)
    };
    Ok(Image::new(w, picture.height(), picture.pixels().iter().enumerate().map(tint).collect())?)
}

/// The picture in grey, yellow to red where covering it takes most from a class; `most` is drawn in full red.
pub fn heated(picture: &Rgb, saliency: &Saliency, loss: &[f64], most: f64) -> Result<Rgb, PerceptionError> {
    let (w, h) = (picture.width(), picture.height());
    let (columns, rows) = (saliency.columns, saliency.rows);
    let heat = |i: usize| {
        // Between the centres of places.
        let place = |at: usize, size: usize, n: usize| {
            ((at as f64 + 0.5) * n as f64 / size as f64 - 0.5).clamp(0.0, (n - 1) as f64)
        };
        let (x, y) = (place(i % w, w, columns), place(i / w, h, rows));
        let (x0, y0) = (x as usize, y as usize);
        let get = |dx: usize, dy: usize| loss[(y0 + dy).min(rows - 1) * columns + (x0 + dx).min(columns - 1)];
        let row = |dy: usize| get(0, dy) + (get(1, dy) - get(0, dy)) * x.fract();
        (row(0) + (row(1) - row(0)) * y.fract()).max(0.0) / most
    };
    let mix = |(i, [r, g, b]): (usize, &[u8; 3])| {
        let grey = 0.3 * f64::from(*r) + 0.59 * f64::from(*g) + 0.11 * f64::from(*b);
        let heat = heat(i).min(1.0);
        let share = 0.75 * heat.sqrt();
        [255.0, 210.0 * (1.0 - heat), 0.0].map(|c| (grey * (1.0 - share) + c * share) as u8)
    };
    Ok(Image::new(w, h, picture.pixels().iter().enumerate().map(mix).collect())?)
}

/// Figures between 0 and 1 as dots on intervals, one row each.
pub fn interval_plot(rows: &[(String, Option<Estimate>)]) -> String {
    let (left, width, step) = (190.0, 420.0, 22.0);
    let height = step * rows.len() as f64 + 30.0;
    let x = |v: f64| left + width * v.clamp(0.0, 1.0);
    let mut out = format!(
        "<svg viewBox=\"0 0 640 {height}\" role=\"img\" aria-label=\"intersection over union per class with intervals\">"
    );
    for i in 0..=5 {
        let v = f64::from(i) / 5.0;
        let _ = write!(
            out,
            "<line class=grid x1={0:.1} y1=4 x2={0:.1} y2={1:.1} /><text x={0:.1} y={2:.1} text-anchor=middle>{v:.1}</text>",
            x(v),
            height - 22.0,
            height - 6.0
        );
    }
    for (i, (name, estimate)) in rows.iter().enumerate() {
        let y = step * (i as f64 + 0.5) + 4.0;
        let _ = write!(
            out,
            "<text x={:.1} y={:.1} text-anchor=end>{}</text>",
            left - 10.0,
            y + 4.0,
            super::html::escape(name)
        );
        if let Some(e) = estimate {
            let _ = write!(
                out,
                "<line class=bar x1={:.1} y1={y:.1} x2={:.1} y2={y:.1} /><circle class=dot cx={:.1} cy={y:.1} r=4 />",
                x(e.low),
                x(e.high),
                x(e.value)
            );
        }
    }
    out + "</svg>"
}

/// A reliability plot: share of right answers against confidence, dots as large as the logarithm of their pixels, the diagonal dashed.
pub fn reliability_plot(bins: &Bins, title: &str) -> String {
    let (x, y) = (|v: f64| 40.0 + 240.0 * v, |v: f64| 256.0 - 240.0 * v);
    let mut out = format!(
        "<svg viewBox=\"0 0 300 300\" role=\"img\" aria-label=\"{0}\"><rect class=frame x=40 y=16 width=240 height=240 />\
         <line class=ideal x1=40 y1=256 x2=280 y2=16 /><text x=160 y=12 text-anchor=middle>{0}</text>\
         <text x=160 y=290 text-anchor=middle>confidence</text>\
         <text x=12 y=136 text-anchor=middle transform=\"rotate(-90 12 136)\">right answers</text>",
        super::html::escape(title)
    );
    for i in 0..=4 {
        let v = f64::from(i) / 4.0;
        let _ = write!(out, "<text class=tick x={:.1} y=272 text-anchor=middle>{v}</text>", x(v));
        let _ = write!(out, "<text class=tick x=36 y={:.1} text-anchor=end>{v}</text>", y(v) + 4.0);
    }
    let seen = bins.iter().filter(|b| b.pixels > 0);
    let at = seen.map(|b| (x(b.confidence / b.pixels as f64), y(b.right as f64 / b.pixels as f64), b.pixels));
    let line: Vec<_> = at.clone().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
    let _ = write!(out, "<polyline class=curve points=\"{}\" />", line.join(" "));
    for (x, y, pixels) in at {
        let _ = write!(out, "<circle class=dot cx={x:.1} cy={y:.1} r={:.1} />", 1.5 + 0.35 * (pixels as f64).ln());
    }
    debug_assert!(line.len() <= BINS);
    out + "</svg>"
}

//! The residual plot: a bar per view, and over the picture an arrow per corner. An SVG file that any browser shows.

use crate::FittedView;
use std::fmt::Write as _;

/// One camera's part of a plot.
#[derive(Debug, Clone, Copy)]
pub struct Panel<'a> {
    /// Its heading.
    pub title: &'a str,
    /// Size of the pictures, px.
    pub size: (u32, u32),
    /// The views.
    pub views: &'a [FittedView],
}

/// Width of a panel, px of the plot.
const WIDTH: f64 = 760.0;
/// Height of the bars' area.
const BARS: f64 = 170.0;
const MARGIN: f64 = 20.0;
/// Most arrows drawn per panel; more would be a carpet.
const MAX_ARROWS: usize = 4000;
/// Length of the longest arrow that is drawn to scale, px of the plot.
const LONG: f64 = 40.0;

/// The plot of one or more panels, with the verdict as its heading.
pub fn residual_plot(heading: &str, panels: &[Panel<'_>]) -> String {
    let height_of = |p: &Panel<'_>| 60.0 + BARS + 70.0 + picture_height(p) + MARGIN;
    let width = MARGIN + panels.len() as f64 * (WIDTH + MARGIN);
    let height = 50.0 + panels.iter().map(height_of).fold(0.0, f64::max);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut out, MARGIN, 28.0, "font-size=\"15\" font-weight=\"bold\"", heading);
    for (i, panel) in panels.iter().enumerate() {
        let left = MARGIN + i as f64 * (WIDTH + MARGIN);
        text(&mut out, left, 60.0, "font-size=\"14\"", panel.title);
        bars(&mut out, panel, left, 75.0);
        arrows(&mut out, panel, left, 75.0 + BARS + 50.0);
    }
    out.push_str("</svg>\n");
    out
}

fn picture_height(panel: &Panel<'_>) -> f64 {
    WIDTH * f64::from(panel.size.1) / f64::from(panel.size.0)
}

fn text(out: &mut String, x: f64, y: f64, style: &str, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" {style}>{words}</text>");
}

const USED: &str = "#2a6fb0";
const LEFT_OUT: &str = "#d0342c";

/// A bar per view, in order, as high as its RMS; hovering names the picture.
fn bars(out: &mut String, panel: &Panel<'_>, left: f64, top: f64) {
    let n = panel.views.len().max(1) as f64;
    let used = panel.views.iter().filter(|v| v.used).map(FittedView::rms);
    let most = used.fold(0.0, f64::max).max(1e-3) * 1.25;
    let step = WIDTH / n;
    let _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{BARS}\" fill=\"none\" stroke=\"#999\"/>"
    );
    for (i, view) in panel.views.iter().enumerate() {
        let rms = view.rms();
        let height = BARS * (rms / most).min(1.0);
        let colour = if view.used { USED } else { LEFT_OUT };
        let (x, y) = (left + step * (i as f64 + 0.1), top + BARS - height);
        let name = view.name.replace('&', "&amp;").replace('<', "&lt;");
        let _ = writeln!(
            out,
            "<rect class=\"view\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{height:.1}\" fill=\"{colour}\"><title>{name}: {rms:.3} px\
             </title></rect>",
            step * 0.8
        );
    }
    text(
        out,
        left + 4.0,
        top + 14.0,
        "fill=\"#555\"",
        &format!("RMS per view, full height {most:.2} px; red: left out"),
    );
}

/// An arrow per corner from where it was predicted towards where it was seen, enlarged.
fn arrows(out: &mut String, panel: &Panel<'_>, left: f64, top: f64) {
    let scale = WIDTH / f64::from(panel.size.0);
    let height = picture_height(panel);
    let corners: Vec<_> = panel.views.iter().flat_map(|v| &v.residuals).collect();
    let mut lengths: Vec<f64> = corners.iter().filter(|r| r.used).map(|r| r.error.norm()).collect();
    lengths.sort_by(f64::total_cmp);
    let typical = lengths.get(lengths.len() * 99 / 100).copied().unwrap_or(1.0).max(1e-3);
    let enlarge = LONG / typical;
    text(
        out,
        left,
        top - 10.0,
        "fill=\"#555\"",
        &format!("Residuals, {:.0} times enlarged; the bar is {typical:.2} px; red: left out", enlarge / scale),
    );
    let _ = writeln!(
        out,
        "<path d=\"M{:.1} {:.1}h{LONG}\" stroke=\"black\" stroke-width=\"3\"/>",
        left + WIDTH - LONG,
        top - 14.0
    );
    let _ = writeln!(
        out,
        "<rect x=\"{left:.1}\" y=\"{top:.1}\" width=\"{WIDTH}\" height=\"{height:.1}\" fill=\"#f7f7f7\" stroke=\"#999\"/>"
    );
    let every = corners.len().div_ceil(MAX_ARROWS).max(1);
    for wanted in [true, false] {
        let mut path = String::new();
        let these = corners.iter().filter(|r| r.used == wanted);
        for r in these.step_by(if wanted { every } else { 1 }).take(MAX_ARROWS) {
            let by = r.error * enlarge;
            let by = by * (2.0 * LONG / by.norm().max(2.0 * LONG)); // never across the whole picture
            let (x, y) = (left + (r.pixel.x + 0.5) * scale, top + (r.pixel.y + 0.5) * scale);
            let _ = write!(path, "M{x:.1} {y:.1}l{:.1} {:.1}", by.x, by.y);
        }
        let (class, colour) = if wanted { ("used", USED) } else { ("left-out", LEFT_OUT) };
        let _ = writeln!(
            out,
            "<path class=\"{class}\" d=\"{path}\" stroke=\"{colour}\" stroke-width=\"1\" fill=\"none\"/>"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Residual;
    use nalgebra::{Isometry3, Vector2};

    #[test]
    fn every_view_has_a_bar_and_every_corner_an_arrow_of_its_colour() {
        let residual = |used| Residual { id: 0, pixel: Vector2::new(10.0, 20.0), error: Vector2::new(0.1, -0.2), used };
        let view = |name: &str, used: bool| FittedView {
            name: name.into(),
            camera_from_board: Isometry3::identity(),
            residuals: vec![residual(used); 5],
            used,
        };
        let views = [view("a.png", true), view("b<&.png", false)];
        let svg = residual_plot("good: \"0.2\" px", &[Panel { title: "camera", size: (640, 480), views: &views }]);
        assert_eq!(svg.matches("class=\"view\"").count(), 2);
        let arrows = |class: &str| {
            let from = svg.split(&format!("class=\"{class}\" d=\"")).nth(1).unwrap();
            from.split('"').next().unwrap().matches('M').count()
        };
        assert_eq!((arrows("used"), arrows("left-out")), (5, 5));
        assert!(svg.contains("b&lt;&amp;.png: ") && svg.contains("&quot;0.2&quot;"));
    }
}

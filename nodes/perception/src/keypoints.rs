//! Points of instruments: end of the jaws, middle of the wrist, and where the shaft leaves the picture.
//!
//! An instrument is a connected component of the instrument classes. Crossing instruments are one component and give
//! one set of points; telling them apart is fusion's business, which knows the kinematics.

use proctor_types::{Class, Image, ToolKeypoint};

/// Components smaller than this share of the picture are noise.
pub const MIN_COMPONENT: f64 = 1.0 / 1200.0;
/// Parts with fewer pixels than this give no point.
const MIN_PART: usize = 6;
/// Width of the band (network pixels) whose mean is the end of the jaws or of the shaft.
const BAND: f64 = 2.0;
/// How near (network pixels) an end must come to the border or the dark surround to count as leaving there.
const REACH: isize = 4;
/// Most instruments reported, the largest ones.
pub const MAX_INSTRUMENTS: usize = 8;

/// Finds the points in a label image. `top` is the probability of each pixel's label; `scale` is how many pixels of the
/// full-size picture one label pixel spans, in x and y. Instruments are numbered from the left by their middle.
pub fn find(labels: &Image<u8>, top: &[f32], scale: (f64, f64)) -> Vec<ToolKeypoint> {
    let smallest = (labels.pixels().len() as f64 * MIN_COMPONENT).ceil() as usize;
    let mut components = components(labels);
    components.retain(|pixels| pixels.len() >= smallest);
    components.sort_by_key(|pixels| std::cmp::Reverse(pixels.len()));
    components.truncate(MAX_INSTRUMENTS);
    let middle = |pixels: &[Pixel]| pixels.iter().map(|p| f64::from(p.x)).sum::<f64>() / pixels.len() as f64;
    components.sort_by(|a, b| middle(a).total_cmp(&middle(b)));

    let mut out = Vec::new();
    for (number, pixels) in components.iter().enumerate() {
        let view = Component { labels, top, pixels };
        for (part, at, confidence) in view.points() {
            out.push(ToolKeypoint {
                part,
                u: (at.0 + 0.5) * scale.0 - 0.5,
                v: (at.1 + 0.5) * scale.1 - 0.5,
                confidence,
                instrument: number as u8,
            });
        }
    }
    out
}

type Xy = (f64, f64);

/// A pixel of a component: where it is, and its place in the list of all.
#[derive(Clone, Copy)]
struct Pixel {
    at: u32,
    x: u32,
    y: u32,
}

impl Pixel {
    /// Of place `i` in a picture with a margin of one pixel, whose lines are `stride` long.
    fn new(i: u32, stride: u32, width: u32) -> Self {
        let (x, y) = (i % stride - 1, i / stride - 1);
        Self { at: y * width + x, x, y }
    }

    fn xy(self) -> Xy {
        (f64::from(self.x), f64::from(self.y))
    }
}

struct Component<'a> {
    labels: &'a Image<u8>,
    top: &'a [f32],
    pixels: &'a [Pixel],
}

impl Component<'_> {
    fn points(&self) -> Vec<(Class, Xy, f32)> {
        let (shaft, wrist, jaws) =
            (self.part(Class::InstrumentShaft), self.part(Class::InstrumentWrist), self.part(Class::InstrumentJaws));
        let mut out = Vec::with_capacity(3);
        // The proximal neighbour gives the direction in which a part ends.
        let before_jaws = Self::mean(&wrist).or_else(|| Self::mean(&shaft));
        if let (Some(from), Some(to)) = (before_jaws, Self::mean(&jaws)) {
            let (at, band) = Self::end(&jaws, from, to);
            // Where they leave the picture is not where they end.
            if !band.iter().any(|&p| self.leaves(p)) {
                out.push((Class::InstrumentJaws, at, self.confidence(&jaws)));
            }
        }
        if let Some(at) = Self::mean(&wrist) {
            out.push((Class::InstrumentWrist, at, self.confidence(&wrist)));
        }
        let before_shaft = Self::mean(&wrist).or_else(|| Self::mean(&jaws));
        if let (Some(from), Some(to)) = (before_shaft, Self::mean(&shaft)) {
            let (at, band) = Self::end(&shaft, from, to);
            if band.iter().any(|&p| self.leaves(p)) {
                out.push((Class::InstrumentShaft, at, self.confidence(&shaft)));
            }
        }
        out
    }

    fn part(&self, class: Class) -> Vec<Pixel> {
        self.pixels.iter().copied().filter(|p| self.labels.pixels()[p.at as usize] == class.id()).collect()
    }

    fn mean(part: &[Pixel]) -> Option<Xy> {
        if part.len() < MIN_PART {
            return None;
        }
        let n = part.len() as f64;
        let (x, y) = part.iter().map(|p| p.xy()).fold((0.0, 0.0), |a, p| (a.0 + p.0, a.1 + p.1));
        Some((x / n, y / n))
    }

    fn confidence(&self, part: &[Pixel]) -> f32 {
        let sum: f64 = part.iter().map(|p| f64::from(self.top[p.at as usize])).sum();
        (sum / part.len().max(1) as f64) as f32
    }

    /// The end of a part in the direction `from -> to`: mean of the last [`BAND`] pixels, and those pixels.
    fn end(part: &[Pixel], from: Xy, to: Xy) -> (Xy, Vec<Pixel>) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx.hypot(dy).max(1e-9);
        let along = |p: &Pixel| {
            let (x, y) = p.xy();
            (x * dx + y * dy) / length
        };
        let last = part.iter().map(along).fold(f64::MIN, f64::max);
        let band: Vec<Pixel> = part.iter().copied().filter(|p| along(p) > last - BAND).collect();
        let n = band.len() as f64;
        let (x, y) = band.iter().map(|p| p.xy()).fold((0.0, 0.0), |a, p| (a.0 + p.0, a.1 + p.1));
        ((x / n, y / n), band)
    }

    /// Whether the picture's border or its dark surround lies within [`REACH`] of a pixel.
    fn leaves(&self, pixel: Pixel) -> bool {
        let (x, y) = (pixel.x as isize, pixel.y as isize);
        [(REACH, 0), (-REACH, 0), (0, REACH), (0, -REACH)].into_iter().any(|(dx, dy)| {
            let at = (usize::try_from(x + dx), usize::try_from(y + dy));
            let (Ok(u), Ok(v)) = at else { return true };
            self.labels.get(u, v).is_none_or(|&label| label == Class::Background.id())
        })
    }
}

/// Pixels of each 8-connected component of instrument classes, in the order of their first pixel.
fn components(labels: &Image<u8>) -> Vec<Vec<Pixel>> {
    let (w, h) = (labels.width(), labels.height());
    let is_tool: [bool; 256] = std::array::from_fn(|l| Class::from_id(l as u8).is_some_and(Class::is_instrument));
    // With a margin of one pixel all around, no neighbour lies outside.
    let stride = w + 2;
    let mut open = vec![false; stride * (h + 2)];
    for (line, row) in open.chunks_exact_mut(stride).skip(1).zip(labels.pixels().chunks_exact(w.max(1))) {
        for (open, &label) in line[1..].iter_mut().zip(row) {
            *open = is_tool[usize::from(label)];
        }
    }
    let around = [stride + 1, stride, stride - 1, 1];
    let mut out = Vec::new();
    let mut from = 0;
    while let Some(step) = open[from..].iter().position(|&o| o) {
        from += step;
        open[from] = false;
        let mut pixels = vec![from];
        let mut next = 0;
        while let Some(&i) = pixels.get(next) {
            next += 1;
            for j in around.iter().flat_map(|a| [i - a, i + a]) {
                if open[j] {
                    open[j] = false;
                    pixels.push(j);
                }
            }
        }
        out.push(pixels.into_iter().map(|i| Pixel::new(i as u32, stride as u32, w as u32)).collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const W: usize = 80;
    const H: usize = 60;

    /// A picture of liver with axis-parallel instruments: (class, columns, rows).
    fn draw(parts: &[(Class, std::ops::Range<usize>, std::ops::Range<usize>)]) -> Image<u8> {
        let mut data = vec![Class::Liver.id(); W * H];
        for (class, columns, rows) in parts {
            for y in rows.clone() {
                data[y * W + columns.start..y * W + columns.end].fill(class.id());
            }
        }
        Image::new(W, H, data).unwrap()
    }

    fn points(labels: &Image<u8>) -> Vec<(Class, f64, f64, u8)> {
        let top = vec![0.75; W * H];
        find(labels, &top, (1.0, 1.0)).iter().map(|k| (k.part, k.u, k.v, k.instrument)).collect()
    }

    #[test]
    fn a_tool_from_the_left_border_gives_its_three_points() {
        let labels = draw(&[
            (Class::InstrumentShaft, 0..30, 20..29),
            (Class::InstrumentWrist, 30..40, 20..29),
            (Class::InstrumentJaws, 40..50, 22..27),
        ]);
        // Jaws end: mean of columns 48 and 49; wrist: middle of 30..=39; shaft: mean of columns 0 and 1; rows 20..=28.
        assert_eq!(
            points(&labels),
            [
                (Class::InstrumentJaws, 48.5, 24.0, 0),
                (Class::InstrumentWrist, 34.5, 24.0, 0),
                (Class::InstrumentShaft, 0.5, 24.0, 0),
            ]
        );
    }

    #[test]
    fn points_are_in_pixels_of_the_full_picture() {
        let labels = draw(&[(Class::InstrumentWrist, 10..20, 10..20)]);
        let found = find(&labels, &vec![0.5; W * H], (2.0, 2.0));
        // Middle 14.5 at half size is (14.5 + 0.5) * 2 - 0.5 at full size.
        assert_eq!((found[0].u, found[0].v, found[0].confidence), (29.5, 29.5, 0.5));
    }

    #[test]
    fn a_shaft_that_ends_inside_the_picture_gives_no_shaft_point() {
        let labels = draw(&[(Class::InstrumentShaft, 20..40, 20..29), (Class::InstrumentWrist, 40..50, 20..29)]);
        assert_eq!(points(&labels).iter().map(|p| p.0).collect::<Vec<_>>(), [Class::InstrumentWrist]);
    }

    #[test]
    fn jaws_that_leave_the_picture_do_not_end_there() {
        // The far finger is all that is called jaws, and lies behind the wrist: the way from wrist to jaws leads out of the picture.
        let finger = (Class::InstrumentJaws, 0..12, 20..26);
        for parts in [
            vec![finger.clone(), (Class::InstrumentWrist, 0..30, 26..36)],
            vec![(Class::Background, 0..3, 0..H), finger, (Class::InstrumentWrist, 3..30, 26..36)],
        ] {
            assert_eq!(points(&draw(&parts)).iter().map(|p| p.0).collect::<Vec<_>>(), [Class::InstrumentWrist]);
        }
    }

    #[test]
    fn a_shaft_leaves_where_the_dark_surround_begins() {
        let labels = draw(&[
            (Class::Background, 0..20, 0..H),
            (Class::InstrumentShaft, 20..40, 20..29),
            (Class::InstrumentWrist, 40..50, 20..29),
        ]);
        assert_eq!(points(&labels)[1], (Class::InstrumentShaft, 20.5, 24.0, 0));
    }

    #[test]
    fn instruments_are_numbered_from_the_left_and_specks_are_dropped() {
        let labels = draw(&[
            (Class::InstrumentWrist, 60..70, 5..15),
            (Class::InstrumentWrist, 10..20, 40..50),
            (Class::InstrumentWrist, 40..41, 30..32),
        ]);
        let found = points(&labels);
        assert_eq!(found.iter().map(|p| (p.3, p.1)).collect::<Vec<_>>(), [(0, 14.5), (1, 64.5)]);
    }

    #[test]
    fn a_picture_of_nothing_but_instrument_is_survived() {
        for class in [Class::InstrumentShaft, Class::InstrumentJaws] {
            let labels = draw(&[(class, 0..W, 0..H)]);
            assert!(points(&labels).is_empty(), "no direction to look along");
        }
    }
}

//! Pictures between the domain type and OpenCV: resize, normalise, read, write. RGB everywhere outside OpenCV files.

use crate::{
    PerceptionError,
    manifest::{Colour, Input},
    placement::Placement,
};
use opencv::{
    core::{Mat, MatTraitConst as _, MatTraitConstManual as _, Size},
    imgcodecs, imgproc,
};
use proctor_types::Image;
use std::path::Path;

/// An RGB picture.
pub type Rgb = Image<[u8; 3]>;

/// The picture at `width` x `height`: area average when it shrinks, bilinear when it grows.
pub fn resize(picture: &Rgb, width: usize, height: usize) -> Result<Rgb, PerceptionError> {
    if (picture.width(), picture.height()) == (width, height) {
        return Ok(picture.clone());
    }
    let shrinks = width <= picture.width() && height <= picture.height();
    let method = if shrinks { imgproc::INTER_AREA } else { imgproc::INTER_LINEAR };
    let flat = Mat::new_rows_cols_with_data(
        picture.height() as i32,
        (picture.width() * 3) as i32,
        picture.pixels().as_flattened(),
    )?;
    let source = flat.reshape_def(3)?;
    let mut out = Mat::default();
    imgproc::resize(&source, &mut out, Size::new(width as i32, height as i32), 0.0, 0.0, method)?;
    from_mat(&out)
}

/// Writes the network's input: the picture, which has the size of the placement's content, as NCHW, `(pixel / 255 - mean) / std`,
/// and grey around it.
pub fn normalise(picture: &Rgb, contract: &Input, placement: &Placement, out: &mut Vec<f32>) {
    let (width, n) = (contract.width, contract.width * contract.height);
    out.resize(3 * n, 0.0);
    for (channel, plane) in out.chunks_exact_mut(n).enumerate() {
        let scale = 1.0 / (255.0 * contract.std[channel]);
        let shift = -contract.mean[channel] / contract.std[channel];
        let source = match contract.colour {
            Colour::Rgb => channel,
            Colour::Bgr => 2 - channel,
        };
        if placement.content == placement.input {
            for (value, pixel) in plane.iter_mut().zip(picture.pixels()) {
                *value = f32::from(pixel[source]) * scale + shift;
            }
            continue;
        }
        plane.fill(f32::from(contract.pad) * scale + shift);
        let (columns, rows) = placement.content;
        let lines = plane.chunks_exact_mut(width).skip(placement.corner.1).take(rows);
        for (line, pixels) in lines.zip(picture.pixels().chunks_exact(columns)) {
            for (value, pixel) in line[placement.corner.0..].iter_mut().zip(pixels) {
                *value = f32::from(pixel[source]) * scale + shift;
            }
        }
    }
}

/// Labels grown or shrunk to another size, nearest neighbour by pixel centres.
pub fn resize_labels(labels: &Image<u8>, width: usize, height: usize) -> Result<Image<u8>, PerceptionError> {
    let (w, h) = (labels.width(), labels.height());
    let columns: Vec<usize> = (0..width).map(|x| (2 * x + 1) * w / (2 * width)).collect();
    let mut out = Vec::with_capacity(width * height);
    for y in 0..height {
        let row = (2 * y + 1) * h / (2 * height) * w;
        out.extend(columns.iter().map(|x| labels.pixels()[row + x]));
    }
    Ok(Image::new(width, height, out)?)
}

/// Reads a picture file of any kind OpenCV knows, as RGB. The error names the file.
pub fn read(path: &Path) -> Result<Rgb, PerceptionError> {
    std::fs::metadata(path).map_err(PerceptionError::io(path))?;
    let unreadable = || PerceptionError::Unreadable { path: path.to_owned() };
    let name = path.to_str().ok_or_else(unreadable)?;
    let bgr = imgcodecs::imread(name, imgcodecs::IMREAD_COLOR).map_err(|_| unreadable())?;
    if bgr.empty() { Err(unreadable()) } else { from_bgr(&bgr) }
}

/// An OpenCV BGR picture as RGB.
pub fn from_bgr(bgr: &Mat) -> Result<Rgb, PerceptionError> {
    let mut rgb = Mat::default();
    imgproc::cvt_color_def(bgr, &mut rgb, imgproc::COLOR_BGR2RGB)?;
    from_mat(&rgb)
}

/// Writes a picture as PNG (or what the name's extension says). The error names the file.
pub fn write(path: &Path, picture: &Rgb) -> Result<(), PerceptionError> {
    let bgr: Vec<u8> = picture.pixels().iter().flat_map(|[r, g, b]| [*b, *g, *r]).collect();
    let flat = Mat::new_rows_cols_with_data(picture.height() as i32, (picture.width() * 3) as i32, &bgr)?;
    write_mat(path, &flat.reshape_def(3)?)
}

/// Writes a one-channel picture, as [`write()`] does.
pub fn write_labels(path: &Path, labels: &Image<u8>) -> Result<(), PerceptionError> {
    let flat = Mat::new_rows_cols_with_data(labels.height() as i32, labels.width() as i32, labels.pixels())?;
    write_mat(path, &flat)
}

fn write_mat(path: &Path, mat: &impl opencv::core::ToInputArray) -> Result<(), PerceptionError> {
    let fail = || PerceptionError::Io {
        path: path.to_owned(),
        source: std::io::Error::other("OpenCV could not write this picture"),
    };
    let name = path.to_str().ok_or_else(fail)?;
    match imgcodecs::imwrite_def(name, mat) {
        Ok(true) => Ok(()),
        Ok(false) | Err(_) => Err(fail()),
    }
}

/// A picture as OpenCV's matrix of three channels, red first.
pub fn to_mat(picture: &Rgb) -> Result<Mat, PerceptionError> {
    let (height, width) = (picture.height() as i32, picture.width() as i32);
    let flat = Mat::new_rows_cols_with_data(height, width * 3, picture.pixels().as_flattened())?;
    Ok(flat.reshape_def(3)?.try_clone()?)
}

/// A matrix of three 8-bit channels, red first, as a picture.
pub fn from_mat(mat: &Mat) -> Result<Rgb, PerceptionError> {
    let pixels = mat.data_bytes()?.as_chunks::<3>().0.to_vec();
    Ok(Image::new(mat.cols() as usize, mat.rows() as usize, pixels)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Fit, Layout};

    #[test]
    fn halving_averages_two_by_two_pixels() {
        let p = Image::new(4, 2, [0u8, 4, 100, 100, 8, 12, 100, 104].map(|v| [v, 0, 255 - v]).to_vec()).unwrap();
        let half = resize(&p, 2, 1).unwrap();
        assert_eq!(half.pixels(), &[[6, 0, 249], [101, 0, 154]]);
    }

    #[test]
    fn the_input_is_planar_normalised_and_in_the_contracts_colour_order() {
        let p = Image::new(2, 1, vec![[255, 0, 51], [0, 102, 255]]).unwrap();
        let mut contract = Input {
            name: "image".into(),
            layout: Layout::Nchw,
            width: 2,
            height: 1,
            colour: Colour::Rgb,
            mean: [0.5, 0.0, 0.2],
            std: [0.5, 1.0, 0.1],
            fit: Fit::Stretch,
            pad: 0,
        };
        let placement = Placement::new((2, 1), &contract);
        let mut out = Vec::new();
        normalise(&p, &contract, &placement, &mut out);
        for (got, want) in out.iter().zip([1.0, -1.0, 0.0, 0.4, 0.0, 8.0]) {
            assert!((got - want).abs() < 1e-5, "{out:?}");
        }
        contract.colour = Colour::Bgr;
        normalise(&p, &contract, &placement, &mut out);
        assert!((out[0] - -0.6).abs() < 1e-5, "blue 0.2 comes first: {out:?}");
    }

    #[test]
    fn a_letterbox_is_grey_where_the_picture_is_not() {
        let p = Image::new(2, 1, vec![[255, 0, 51], [0, 102, 255]]).unwrap();
        let contract = Input {
            name: "image".into(),
            layout: Layout::Nchw,
            width: 2,
            height: 3,
            colour: Colour::Rgb,
            mean: [0.0; 3],
            std: [1.0; 3],
            fit: Fit::Letterbox,
            pad: 51,
        };
        let mut out = Vec::new();
        normalise(&p, &contract, &Placement::new((2, 1), &contract), &mut out);
        let red = [0.2, 0.2, 1.0, 0.0, 0.2, 0.2];
        assert!(out[..6].iter().zip(red).all(|(a, b)| (a - b).abs() < 1e-6), "{out:?}");
    }

    #[test]
    fn labels_grow_by_whole_factors_without_shift() {
        let l = Image::new(2, 1, vec![3u8, 9]).unwrap();
        assert_eq!(resize_labels(&l, 4, 2).unwrap().pixels(), &[3, 3, 9, 9, 3, 3, 9, 9]);
        assert_eq!(resize_labels(&resize_labels(&l, 6, 3).unwrap(), 2, 1).unwrap().pixels(), l.pixels());
    }

    #[test]
    fn a_written_picture_reads_back_with_its_colours() {
        let dir = tempfile::tempdir().unwrap();
        let p = Image::new(3, 2, (0..6u8).map(|i| [i, 10 * i, 200 + i]).collect()).unwrap();
        write(&dir.path().join("p.png"), &p).unwrap();
        assert_eq!(read(&dir.path().join("p.png")).unwrap(), p);
    }

    #[test]
    fn an_unreadable_file_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("broken.png");
        std::fs::write(&file, b"not a picture").unwrap();
        assert!(read(&file).unwrap_err().to_string().contains("broken.png"));
        assert!(read(&dir.path().join("absent.jpg")).unwrap_err().to_string().contains("absent.jpg"));
    }
}

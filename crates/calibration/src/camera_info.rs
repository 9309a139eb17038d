//! ROS' camera_info file, as camera_calibration writes it and camera_info_manager reads it: `plumb_bob` only.

use crate::{CalibrationError, Intrinsics};
use nalgebra::{Matrix3, Matrix3x4};
use opencv::{
    calib3d,
    core::{MatTraitConstManual as _, Size},
};
use std::path::Path;
use yaml_rust2::{Yaml, YamlLoader};

/// A calibrated camera with its rectification.
#[derive(Debug, Clone, PartialEq)]
pub struct CameraInfo {
    /// Name of the camera.
    pub name: String,
    /// The camera.
    pub intrinsics: Intrinsics,
    /// Turns the camera's frame into the rectified one; the identity for a single camera.
    pub rectification: Matrix3<f64>,
    /// Camera matrix of the rectified picture; the right camera of a pair has `-fx * baseline` (px m) in its last column.
    pub projection: Matrix3x4<f64>,
}

impl CameraInfo {
    /// A single camera: no rectification, and the largest undistorted picture without black borders.
    pub fn single(name: &str, intrinsics: Intrinsics) -> Result<Self, CalibrationError> {
        let (matrix, distortion) = intrinsics.to_mats()?;
        let size = Size::new(intrinsics.width as i32, intrinsics.height as i32);
        let new = calib3d::get_optimal_new_camera_matrix_def(&matrix, &distortion, size, 0.0)?;
        let mut projection = Matrix3x4::zeros();
        projection.fixed_columns_mut::<3>(0).copy_from(&Matrix3::from_row_slice(new.data_typed::<f64>()?));
        Ok(Self { name: name.to_owned(), intrinsics, rectification: Matrix3::identity(), projection })
    }

    /// Distance to the left camera of the pair, metres; 0 for a left or single camera.
    pub fn baseline(&self) -> f64 {
        -self.projection[(0, 3)] / self.projection[(0, 0)]
    }

    /// The file's text; `notes` become comments at its head.
    pub fn to_yaml(&self, notes: &[String]) -> String {
        let i = &self.intrinsics;
        let notes = notes.iter().fold(String::new(), |text, n| text + "# " + &n.replace('\n', " ") + "\n");
        format!(
            "{notes}image_width: {}\nimage_height: {}\ncamera_name: {}\n{}distortion_model: plumb_bob\n{}{}{}",
            i.width,
            i.height,
            self.name,
            block("camera_matrix", 3, 3, i.matrix().transpose().as_slice()),
            block("distortion_coefficients", 1, 5, &i.distortion),
            block("rectification_matrix", 3, 3, self.rectification.transpose().as_slice()),
            block("projection_matrix", 3, 4, self.projection.transpose().as_slice()),
        )
    }

    /// Reads the text of a file; `path` is for messages.
    pub fn from_yaml(text: &str, path: &Path) -> Result<Self, CalibrationError> {
        let wrong = |why: String| CalibrationError::CameraInfo { path: path.to_owned(), why };
        let documents = YamlLoader::load_from_str(text).map_err(|e| wrong(format!("not YAML: {e}")))?;
        let root = documents.first().ok_or_else(|| wrong("it is empty".into()))?;
        let size = |key: &str| {
            let value = root[key].as_i64().and_then(|v| u32::try_from(v).ok()).filter(|v| (1..=100_000).contains(v));
            value.ok_or_else(|| wrong(format!("{key} must be a number of pixels")))
        };
        let model = root["distortion_model"].as_str().unwrap_or("plumb_bob");
        if model != "plumb_bob" {
            return Err(wrong(format!("distortion_model is {model}; only plumb_bob is understood")));
        }
        let k = data(root, "camera_matrix", &[9]).map_err(&wrong)?;
        let d = data(root, "distortion_coefficients", &[4, 5]).map_err(&wrong)?;
        let r = data(root, "rectification_matrix", &[9]).map_err(&wrong)?;
        let p = data(root, "projection_matrix", &[12]).map_err(&wrong)?;
        let intrinsics = Intrinsics {
            width: size("image_width")?,
            height: size("image_height")?,
            fx: k[0],
            fy: k[4],
            cx: k[2],
            cy: k[5],
            distortion: [d[0], d[1], d[2], d[3], d.get(4).copied().unwrap_or(0.0)],
        };
        if !intrinsics.is_plausible() || k[1] != 0.0 {
            return Err(wrong("camera_matrix is not that of a pinhole camera without skew".into()));
        }
        let name = root["camera_name"].as_str().unwrap_or("camera").to_owned();
        let (rectification, projection) = (Matrix3::from_row_slice(&r), Matrix3x4::from_row_slice(&p));
        Ok(Self { name, intrinsics, rectification, projection })
    }

    /// Reads a file.
    pub fn read(path: &Path) -> Result<Self, CalibrationError> {
        Self::from_yaml(&std::fs::read_to_string(path).map_err(CalibrationError::io(path))?, path)
    }
}

/// A matrix as ROS writes it. Plain decimals: YAML 1.1 readers take `1e-7` for a word.
fn block(key: &str, rows: usize, columns: usize, row_major: &[f64]) -> String {
    let data: Vec<_> = row_major.iter().map(|v| format!("{v:.12}")).collect();
    format!("{key}:\n  rows: {rows}\n  cols: {columns}\n  data: [{}]\n", data.join(", "))
}

fn data(root: &Yaml, key: &str, lengths: &[usize]) -> Result<Vec<f64>, String> {
    let list = root[key]["data"].as_vec().ok_or_else(|| format!("{key}.data is missing"))?;
    let number = |v: &Yaml| v.as_f64().or_else(|| v.as_i64().map(|i| i as f64)).filter(|v| v.is_finite());
    let numbers: Option<Vec<f64>> = list.iter().map(number).collect();
    let numbers = numbers.ok_or_else(|| format!("{key}.data holds something that is not a number"))?;
    if lengths.contains(&numbers.len()) {
        Ok(numbers)
    } else {
        Err(format!("{key}.data holds {} numbers instead of {}", numbers.len(), lengths[lengths.len() - 1]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In the layout of ROS' own tools: integers, numbers without a fraction, lists over several lines.
    const GOLDEN: &str = "\
image_width: 640
image_height: 480
camera_name: endoscope/left
camera_matrix:
  rows: 3
  cols: 3
  data: [438.783367, 0.000000, 305.593336,
         0.000000, 437.302876, 243.738352, 0, 0., 1]
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [-0.361976, 0.110510, 0.001014, 0.000505, 0.0]}
rectification_matrix:
  rows: 3
  cols: 3
  data:
  - 0.999978
  - 0.002789
  - -0.006046
  - -0.002816
  - 0.999986
  - -0.004401
  - 0.006034
  - 0.004417
  - 0.999972
projection_matrix:
  rows: 3
  cols: 4
  data: [393.653800, 0.0, 322.797939, -2.125730259, 0.0, 393.653800, 241.090902, 0.0, 0.0, 0.0, 1.0, 0.0]
";

    #[test]
    fn a_file_of_ros_tools_is_read() {
        let info = CameraInfo::from_yaml(GOLDEN, Path::new("left.yaml")).unwrap();
        assert_eq!((info.name.as_str(), info.intrinsics.width, info.intrinsics.height), ("endoscope/left", 640, 480));
        assert_eq!((info.intrinsics.fy, info.intrinsics.cy), (437.302876, 243.738352));
        assert_eq!(info.intrinsics.distortion, [-0.361976, 0.110510, 0.001014, 0.000505, 0.0]);
        assert_eq!((info.rectification[(0, 2)], info.rectification[(2, 0)]), (-0.006046, 0.006034));
        assert!((info.baseline() - 0.0054).abs() < 1e-8);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let info = CameraInfo::from_yaml(GOLDEN, Path::new("left.yaml")).unwrap();
        let again = CameraInfo::from_yaml(&info.to_yaml(&["two\nlines".into()]), Path::new("x")).unwrap();
        assert_eq!(info, again);
    }

    #[test]
    fn a_file_that_is_not_a_camera_is_refused_with_its_name_and_the_key() {
        for (from, to, said) in [
            ("plumb_bob", "equidistant", "equidistant"),
            ("image_width: 640", "image_width: wide", "image_width"),
            ("camera_matrix:", "camera_matrices:", "camera_matrix"),
            ("438.783367", "nan", "camera_matrix"),
            ("0.110510, ", "", ""),
            ("-2.125730259, ", "", "11 numbers instead of 12"),
            ("[438", "[[438", "YAML"),
        ] {
            let result = CameraInfo::from_yaml(&GOLDEN.replacen(from, to, 1), Path::new("cam.yaml"));
            if said.is_empty() {
                assert!(result.is_ok(), "four coefficients are enough");
                continue;
            }
            let error = result.unwrap_err().to_string();
            assert!(error.contains(said) && error.contains("cam.yaml"), "{error}");
        }
    }
}

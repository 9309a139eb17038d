//! What can go wrong in perception, with the values that show it.

use std::path::PathBuf;

/// Errors of model folders, pictures, masks and the runtime.
#[derive(Debug, thiserror::Error)]
pub enum PerceptionError {
    /// A file or folder could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A TOML file is malformed, lacks a key or has an unknown one.
    #[error("{path}: {source}")]
    Toml {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A manifest, map or parameter value lies outside its range.
    #[error("{path}: {what} must be {expected}, got {got}")]
    Value {
        /// Which file, or "parameters".
        path: PathBuf,
        /// Which key.
        what: String,
        /// What was needed.
        expected: String,
        /// What came.
        got: String,
    },
    /// The model file is not the one its manifest describes.
    #[error("{path}: sha256 is {got}, the manifest says {expected}")]
    Hash {
        /// The model file.
        path: PathBuf,
        /// Digest in the manifest.
        expected: String,
        /// Digest of the file.
        got: String,
    },
    /// The model's inputs or outputs are not those its manifest describes.
    #[error("{path}: {what} of the model is {got}, the manifest needs {expected}")]
    Contract {
        /// The model file.
        path: PathBuf,
        /// Which tensor and property.
        what: &'static str,
        /// What the manifest needs.
        expected: String,
        /// What the model has.
        got: String,
    },
    /// The model cannot feed fusion: it segments other classes than Proctor's, or does not segment, or states no doubt.
    #[error("model {name}: classes are [{got}], fusion needs a segmentation with doubt of [{expected}]")]
    Classes {
        /// Its name.
        name: String,
        /// Proctor's list.
        expected: String,
        /// The manifest's list, or why it is no list.
        got: String,
    },
    /// No shared library of ONNX Runtime was named or found.
    #[error("ONNX Runtime was not found: give its path, set ORT_DYLIB_PATH, or install it into .venv (`make setup`)")]
    NoRuntime,
    /// The shared library could not be loaded or is too old.
    #[error("{path}: {message}")]
    Runtime {
        /// The shared library.
        path: PathBuf,
        /// What the loader says.
        message: String,
    },
    /// ONNX Runtime refused or failed.
    #[error("{path}: ONNX Runtime: {message}")]
    Onnx {
        /// The model file.
        path: PathBuf,
        /// What it says.
        message: String,
    },
    /// The model answered with NaN or infinity.
    #[error("the model answered {value} at class {class}, pixel {pixel}")]
    NotFinite {
        /// Channel.
        class: usize,
        /// Row-major pixel at network resolution.
        pixel: usize,
        /// The number.
        value: f32,
    },
    /// The model answered with NaN or infinity.
    #[error("the model answered {value} at element {element} of its output")]
    NotFiniteElement {
        /// Place in C order.
        element: usize,
        /// The number.
        value: f32,
    },
    /// The model answered with a number that its manifest's form excludes.
    #[error("the model answered {value} as {what}: {expected} expected, is the manifest's form right?")]
    Answer {
        /// Which number.
        what: &'static str,
        /// What the form allows.
        expected: String,
        /// The number.
        value: f64,
    },
    /// Of several models none, or more than one, can feed fusion.
    #[error("exactly one model must segment Proctor's classes, {got} of these do: {models}")]
    OneAnatomy {
        /// How many do.
        got: usize,
        /// Name, task and classes of each.
        models: String,
    },
    /// A picture could not be decoded.
    #[error("{path}: not a picture or video that OpenCV can read")]
    Unreadable {
        /// Which file.
        path: PathBuf,
    },
    /// A picture message is none of those that are understood.
    #[error("{what} of the picture is {got}, {expected} expected")]
    Message {
        /// Which field.
        what: &'static str,
        /// What it holds.
        got: String,
        /// What is understood.
        expected: String,
    },
    /// A recording does not have the topic of pictures that is needed, or several.
    #[error("{path}: {got}; --topic expects one of: {there}")]
    Topic {
        /// The recording.
        path: PathBuf,
        /// What is wrong.
        got: String,
        /// Its topics of pictures.
        there: String,
    },
    /// A recording cannot be read.
    #[error(transparent)]
    Recording(#[from] proctor_recording::RecordingError),
    /// A mask has another size than its picture.
    #[error("{path}: the mask is {got}, its picture is {expected}")]
    MaskSize {
        /// The mask.
        path: PathBuf,
        /// Size of the picture, `WxH`.
        expected: String,
        /// Size of the mask, `WxH`.
        got: String,
    },
    /// A mask has a value that the map does not name.
    #[error("{path}: mask value {value} at column {column}, row {row} is not in the map")]
    MaskValue {
        /// The mask.
        path: PathBuf,
        /// Grey level or `#rrggbb`.
        value: String,
        /// Where it is first met.
        column: usize,
        /// Where it is first met.
        row: usize,
    },
    /// A picture has no mask.
    #[error("{image}: no mask with stem {stem:?} in {masks}")]
    NoMask {
        /// The picture.
        image: PathBuf,
        /// The stem looked for.
        stem: String,
        /// The folder of masks.
        masks: PathBuf,
    },
    /// Two inputs would use the same name.
    #[error("{first} and {second} have the same stem")]
    SameStem {
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
    /// Nothing to work on.
    #[error("{path}: holds no picture or video")]
    Nothing {
        /// The folder.
        path: PathBuf,
    },
    /// OpenCV failed on a valid picture.
    #[error("OpenCV: {0}")]
    OpenCv(#[from] opencv::Error),
    /// A value that came from a picture could not become a domain type.
    #[error(transparent)]
    Invalid(#[from] proctor_types::InvalidValue),
}

impl PerceptionError {
    pub(crate) fn contract(path: impl Into<PathBuf>, what: &'static str, expected: String, got: String) -> Self {
        Self::Contract { path: path.into(), what, expected, got }
    }

    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn value(
        path: impl Into<PathBuf>,
        what: impl Into<String>,
        expected: impl Into<String>,
        got: impl ToString,
    ) -> Self {
        Self::Value { path: path.into(), what: what.into(), expected: expected.into(), got: got.to_string() }
    }
}

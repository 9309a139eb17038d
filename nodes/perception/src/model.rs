//! A model folder, checked and loaded: nothing runs whose hash, tensors or classes differ from what its manifest says.

use crate::{
    PerceptionError,
    manifest::Manifest,
    runtime::{OrtConfig, environment},
};
use ort::{
    session::{Session, builder::GraphOptimizationLevel},
    value::{Outlet, TensorElementType, TensorRef, ValueType},
};
use proctor_types::{Class, Digest};
use std::path::{Path, PathBuf};

/// A loaded model.
pub struct Model {
    path: PathBuf,
    manifest: Manifest,
    session: Session,
}

impl Model {
    /// Loads `dir/model.onnx` as `dir/model.toml` describes it. Refuses a wrong hash, a wrong class list, and tensors of
    /// another name, element type or shape, saying both values.
    pub fn load(dir: &Path, config: &OrtConfig) -> Result<Self, PerceptionError> {
        let manifest = Manifest::read(&dir.join("model.toml"))?;
        let path = dir.join("model.onnx");
        let bytes = std::fs::read(&path).map_err(PerceptionError::io(&path))?;
        let digest = Digest::of(&bytes);
        if digest != manifest.sha256 {
            return Err(PerceptionError::Hash { path, expected: manifest.sha256.to_string(), got: digest.to_string() });
        }
        let environment = environment(config)?;
        let session = build(&environment, &bytes, config.threads)
            .map_err(|message| PerceptionError::Onnx { path: path.clone(), message })?;
        let model = Self { path, manifest, session };
        model.check()?;
        Ok(model)
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// SHA-256 of the model file.
    pub fn digest(&self) -> Digest {
        self.manifest.sha256
    }

    /// Runs the network on a normalised picture (`3 * height * width` values in NCHW order) and hands its logits
    /// (`classes * height * width`, same order) to `read`.
    pub fn infer<T>(&mut self, input: &[f32], read: impl FnOnce(&[f32]) -> T) -> Result<T, PerceptionError> {
        let (w, h) = (self.manifest.input.width, self.manifest.input.height);
        let fail = |e: ort::Error| PerceptionError::Onnx { path: self.path.clone(), message: e.to_string() };
        let tensor = TensorRef::from_array_view(([1, 3, h, w], input)).map_err(fail)?;
        let outputs = self.session.run(ort::inputs![tensor]).map_err(fail)?;
        let (_, logits) = outputs[0].try_extract_tensor::<f32>().map_err(fail)?;
        Ok(read(logits))
    }

    fn check(&self) -> Result<(), PerceptionError> {
        let (w, h) = (self.manifest.input.width as i64, self.manifest.input.height as i64);
        let input = Contract {
            count: "number of inputs",
            name: "name of the input",
            tensor: "input",
            outlets: self.session.inputs(),
            expected_name: &self.manifest.input.name,
            expected_shape: [1, 3, h, w],
        };
        let output = Contract {
            count: "number of outputs",
            name: "name of the output",
            tensor: "output",
            outlets: self.session.outputs(),
            expected_name: &self.manifest.output.name,
            expected_shape: [1, Class::COUNT as i64, h, w],
        };
        input.check(&self.path)?;
        output.check(&self.path)
    }
}

fn build(environment: &ort::environment::Environment, bytes: &[u8], threads: usize) -> Result<Session, String> {
    let builder = Session::builder(environment).map_err(|e| e.to_string())?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(|e| e.to_string())?;
    let builder = builder.with_intra_threads(threads.max(1)).map_err(|e| e.to_string())?;
    // The processor is shared with the 1 kHz loop: idle inference threads must sleep, not spin.
    let mut builder = builder.with_intra_op_spinning(false).map_err(|e| e.to_string())?;
    builder.commit_from_memory(bytes).map_err(|e| e.to_string())
}

struct Contract<'a> {
    count: &'static str,
    name: &'static str,
    tensor: &'static str,
    outlets: &'a [Outlet],
    expected_name: &'a str,
    expected_shape: [i64; 4],
}

impl Contract<'_> {
    fn check(&self, path: &Path) -> Result<(), PerceptionError> {
        let refuse = |what, expected: String, got: String| {
            Err(PerceptionError::Contract { path: path.to_owned(), what, expected, got })
        };
        let [outlet] = self.outlets else {
            return refuse(self.count, "1".into(), self.outlets.len().to_string());
        };
        if outlet.name() != self.expected_name {
            return refuse(self.name, format!("{:?}", self.expected_name), format!("{:?}", outlet.name()));
        }
        let expected = format!("float32 {:?}", self.expected_shape);
        match outlet.dtype() {
            ValueType::Tensor { ty: TensorElementType::Float32, shape, .. } if **shape == self.expected_shape => Ok(()),
            ValueType::Tensor { ty, shape, .. } => {
                let element = match ty {
                    TensorElementType::Float32 => "float32".to_owned(),
                    other => other.to_string(),
                };
                refuse(self.tensor, expected, format!("{element} {:?}", &**shape))
            }
            other => refuse(self.tensor, expected, other.to_string()),
        }
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("path", &self.path).field("name", &self.manifest.name).finish_non_exhaustive()
    }
}

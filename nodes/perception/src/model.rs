//! A model folder, checked and loaded: nothing runs whose hash, tensors or classes differ from what its manifest says.

use crate::{
    Device, PerceptionError,
    contract::{Expected, shown},
    manifest::Manifest,
    runtime::{OrtConfig, environment},
};
use ort::{
    ep::ExecutionProviderDispatch,
    session::{Session, builder::GraphOptimizationLevel},
    value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType},
};
use proctor_types::Digest;
use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// Folder of the shipped model that is used where none is named, below the project's root. `quality.unfamiliar_above` is chosen for it.
pub const DEFAULT_MODEL: &str = "models/cholec-sim-640";

/// A loaded model. Clones share one session: cameras that use the same model take turns at it.
#[derive(Clone)]
pub struct Model {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    manifest: Manifest,
    session: Mutex<Session>,
    /// What the output must be, and its place among the outputs.
    expected: Expected,
    output: usize,
    device: Device,
}

/// An answer: numbers in C order over a shape that the manifest promised.
#[derive(Debug, Clone, Copy)]
pub struct Tensor<'a> {
    /// Length of each axis.
    pub shape: &'a [i64],
    /// The numbers.
    pub values: Values<'a>,
}

/// Numbers by element type.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    /// float32.
    Float(&'a [f32]),
    /// int64.
    Long(&'a [i64]),
    /// int32.
    Int(&'a [i32]),
    /// uint8.
    Byte(&'a [u8]),
}

impl<'a> Tensor<'a> {
    /// Length of an axis from the end: 1 is the last one. 1 where there is no such axis.
    pub fn axis_from_end(&self, n: usize) -> usize {
        let axis = self.shape.len().checked_sub(n).and_then(|i| self.shape.get(i));
        axis.map_or(1, |&length| length.max(0) as usize)
    }

    /// The numbers as float32; none for other element types.
    pub fn floats(&self) -> &'a [f32] {
        if let Values::Float(values) = self.values { values } else { &[] }
    }

    /// As [`Self::floats`], refusing NaN and infinity.
    pub fn finite(&self) -> Result<&'a [f32], PerceptionError> {
        let values = self.floats();
        match values.iter().position(|v| !v.is_finite()) {
            Some(element) => Err(PerceptionError::NotFiniteElement { element, value: values[element] }),
            None => Ok(values),
        }
    }
}

impl Model {
    /// Loads `dir/model.onnx` as `dir/model.toml` describes it. Refuses a wrong hash and tensors of another name, element type or
    /// shape, saying both values.
    pub fn load(dir: &Path, config: &OrtConfig) -> Result<Self, PerceptionError> {
        Self::load_on(dir, config, Device::Cpu)
    }

    /// As [`Self::load`], on a device; where that cannot be had on the processor, with a warning. [`Self::device`] says which it is.
    pub fn load_on(dir: &Path, config: &OrtConfig, device: Device) -> Result<Self, PerceptionError> {
        let manifest = Manifest::read(&dir.join("model.toml"))?;
        let path = dir.join("model.onnx");
        let bytes = std::fs::read(&path).map_err(PerceptionError::io(&path))?;
        let digest = Digest::of(&bytes);
        if digest != manifest.sha256 {
            return Err(PerceptionError::Hash { path, expected: manifest.sha256.to_string(), got: digest.to_string() });
        }
        let environment = environment(config)?;
        let (session, device) = build_on(&environment, &bytes, config.threads, device)
            .map_err(|message| PerceptionError::Onnx { path: path.clone(), message })?;
        check_input(&path, &manifest, session.inputs())?;
        let expected = manifest.head.expected(manifest.classes.len());
        let output = find_output(&path, &manifest, &expected, session.outputs())?;
        let session = Mutex::new(session);
        Ok(Self { shared: Arc::new(Shared { path, manifest, session, expected, output, device }) })
    }

    /// The manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.shared.manifest
    }

    /// SHA-256 of the model file.
    pub fn digest(&self) -> Digest {
        self.manifest().sha256
    }

    /// What it runs on.
    pub fn device(&self) -> Device {
        self.shared.device
    }

    /// Runs the network on a normalised picture (`3 * height * width` values in NCHW order) and hands its answer to `read`.
    pub fn run<T>(&self, input: &[f32], read: impl FnOnce(Tensor<'_>) -> T) -> Result<T, PerceptionError> {
        let s = &*self.shared;
        let (w, h) = (s.manifest.input.width, s.manifest.input.height);
        let fail = |e: ort::Error| PerceptionError::Onnx { path: s.path.clone(), message: e.to_string() };
        let tensor = TensorRef::from_array_view(([1, 3, h, w], input)).map_err(fail)?;
        let mut session = s.session.lock().unwrap_or_else(PoisonError::into_inner);
        let outputs = session.run(ort::inputs![tensor]).map_err(fail)?;
        let value = &outputs[s.output];
        let (element, shape) = declared(value.dtype());
        if !s.expected.fits(element, shape) || shape.contains(&-1) {
            let got = shown(element, shape);
            return Err(PerceptionError::contract(&s.path, "answer", s.expected.to_string(), got));
        }
        Ok(read(Tensor { shape, values: numbers(value, element).map_err(fail)? }))
    }
}

fn numbers(value: &DynValue, element: TensorElementType) -> ort::Result<Values<'_>> {
    Ok(match element {
        TensorElementType::Int64 => Values::Long(value.try_extract_tensor()?.1),
        TensorElementType::Int32 => Values::Int(value.try_extract_tensor()?.1),
        TensorElementType::Uint8 => Values::Byte(value.try_extract_tensor()?.1),
        _ => Values::Float(value.try_extract_tensor()?.1),
    })
}

/// A session on the device, or else on the processor.
fn build_on(
    environment: &ort::environment::Environment,
    bytes: &[u8],
    threads: usize,
    device: Device,
) -> Result<(Session, Device), String> {
    let wanted = device.provider().and_then(|provider| build(environment, bytes, threads, provider));
    match wanted {
        Ok(session) => Ok((session, device)),
        Err(message) if device == Device::Cpu => Err(message),
        Err(reason) => {
            tracing::warn!(%device, %reason, "device not available, the model runs on the processor");
            Ok((build(environment, bytes, threads, None)?, Device::Cpu))
        }
    }
}

fn build(
    environment: &ort::environment::Environment,
    bytes: &[u8],
    threads: usize,
    provider: Option<ExecutionProviderDispatch>,
) -> Result<Session, String> {
    let builder = Session::builder(environment).map_err(|e| e.to_string())?;
    let builder = builder.with_optimization_level(GraphOptimizationLevel::All).map_err(|e| e.to_string())?;
    let builder = builder.with_intra_threads(threads.max(1)).map_err(|e| e.to_string())?;
    // The processor is shared with the 1 kHz loop: idle inference threads must sleep, not spin.
    let mut builder = builder.with_intra_op_spinning(false).map_err(|e| e.to_string())?;
    if let Some(provider) = provider {
        builder = builder.with_execution_providers([provider]).map_err(|e| e.to_string())?;
    }
    builder.commit_from_memory(bytes).map_err(|e| e.to_string())
}

/// Element type and shape of a value; what is no tensor has neither.
fn declared(value: &ValueType) -> (TensorElementType, &[i64]) {
    match value {
        ValueType::Tensor { ty, shape, .. } => (*ty, shape),
        _ => (TensorElementType::Undefined, &[]),
    }
}

fn names(outlets: &[Outlet]) -> String {
    let names: Vec<_> = outlets.iter().map(|o| format!("{:?}", o.name())).collect();
    names.join(", ")
}

fn check_input(path: &Path, manifest: &Manifest, inputs: &[Outlet]) -> Result<(), PerceptionError> {
    let refuse = |what, expected: String, got: String| Err(PerceptionError::contract(path, what, expected, got));
    let [input] = inputs else {
        return refuse("number of inputs", "1".into(), format!("{} ({})", inputs.len(), names(inputs)));
    };
    if input.name() != manifest.input.name {
        return refuse("name of the input", format!("{:?}", manifest.input.name), names(inputs));
    }
    let size = [manifest.input.height, manifest.input.width];
    let expected = Expected::new(&[TensorElementType::Float32], "1, 3, {}, {}", &size);
    let (element, shape) = declared(input.dtype());
    if expected.fits(element, shape) { Ok(()) } else { refuse("input", expected.to_string(), shown(element, shape)) }
}

fn find_output(
    path: &Path,
    manifest: &Manifest,
    expected: &Expected,
    outputs: &[Outlet],
) -> Result<usize, PerceptionError> {
    let Some(index) = outputs.iter().position(|o| o.name() == manifest.output) else {
        let expected = format!("{:?}", manifest.output);
        return Err(PerceptionError::contract(path, "name of the output", expected, names(outputs)));
    };
    let (element, shape) = declared(outputs[index].dtype());
    if expected.fits(element, shape) {
        Ok(index)
    } else {
        Err(PerceptionError::contract(path, "output", expected.to_string(), shown(element, shape)))
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = &self.shared;
        f.debug_struct("Model").field("path", &s.path).field("name", &s.manifest.name).finish_non_exhaustive()
    }
}

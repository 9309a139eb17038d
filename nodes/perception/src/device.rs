//! What runs a network: the processor, or an NVIDIA card through ONNX Runtime's CUDA or TensorRT execution provider.
//!
//! Cards are opt-in twice: by the cargo features `cuda` and `tensorrt`, and by a parameter. Where either is missing, or the library that
//! was loaded lacks the provider, or there is no card, the model runs on the processor, and that is said once as a warning.

use ort::ep::ExecutionProviderDispatch;
use serde::{Deserialize, Serialize};
use std::fmt;

/// What runs a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Device {
    /// The processor.
    #[default]
    Cpu,
    /// An NVIDIA card, by CUDA.
    Cuda,
    /// An NVIDIA card, by TensorRT; the first start compiles the network, which takes minutes.
    Tensorrt,
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Tensorrt => "tensorrt",
        })
    }
}

impl Device {
    /// Its execution provider; none for the processor. Says which cargo feature is missing.
    pub(crate) fn provider(self) -> Result<Option<ExecutionProviderDispatch>, String> {
        match self {
            Self::Cpu => Ok(None),
            #[cfg(feature = "cuda")]
            Self::Cuda => Ok(Some(ort::ep::CUDA::default().build().error_on_failure())),
            #[cfg(feature = "tensorrt")]
            Self::Tensorrt => Ok(Some(ort::ep::TensorRT::default().build().error_on_failure())),
            #[cfg(not(all(feature = "cuda", feature = "tensorrt")))]
            other => Err(format!("built without the cargo feature {other}")),
        }
    }
}

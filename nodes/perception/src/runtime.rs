//! Finding and loading ONNX Runtime's shared library (the project links nothing at build time).

use crate::PerceptionError;
use ort::environment::Environment;
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

/// How to run models.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrtConfig {
    /// `libonnxruntime.so.*`, version 1.22 or newer. The first model loaded in a process decides for all.
    pub library_path: PathBuf,
    /// Threads one inference may use, at least 1.
    pub threads: usize,
}

/// `libonnxruntime.so.*` of the Python wheel in `root/.venv`, or in `root/onnxruntime` of an installation; the highest version if there are several.
pub fn find_onnxruntime(root: &Path) -> Option<PathBuf> {
    let entries = |dir: &Path| {
        let mut paths: Vec<_> = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path()).collect();
        paths.sort();
        paths
    };
    let name = |p: &Path| p.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
    let wheels = entries(&root.join(".venv/lib")).into_iter().filter(|python| name(python).starts_with("python3"));
    wheels
        .map(|python| python.join("site-packages/onnxruntime/capi"))
        .chain([root.join("onnxruntime")])
        .flat_map(|folder| entries(&folder))
        .filter(|file| name(file).starts_with("libonnxruntime.so"))
        .max_by_key(|file| version(&name(file)))
}

/// The numbers in `libonnxruntime.so.1.32.0`, to compare versions as numbers.
fn version(name: &str) -> Vec<u32> {
    name.split('.').filter_map(|part| part.parse().ok()).collect()
}

/// The process's one ONNX Runtime environment, loaded on first use.
pub(crate) fn environment(config: &OrtConfig) -> Result<Environment, PerceptionError> {
    static ENVIRONMENT: Mutex<Option<Environment>> = Mutex::new(None);
    let mut slot = ENVIRONMENT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(environment) = slot.as_ref() {
        return Ok(environment.clone());
    }
    let fail = |message: String| PerceptionError::Runtime { path: config.library_path.clone(), message };
    let environment = ort::init_from(&config.library_path)
        .map_err(|e| fail(e.to_string()))?
        .with_name("proctor")
        .with_telemetry(false)
        .build()
        .map_err(|e| fail(e.to_string()))?;
    *slot = Some(environment.clone());
    Ok(environment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_version_in_the_virtual_environment_is_found() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(find_onnxruntime(root.path()), None);
        let capi = root.path().join(".venv/lib/python3.11/site-packages/onnxruntime/capi");
        std::fs::create_dir_all(&capi).unwrap();
        for name in ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.32.0", "libonnxruntime_providers_shared.so"] {
            std::fs::write(capi.join(name), "").unwrap();
        }
        assert_eq!(find_onnxruntime(root.path()), Some(capi.join("libonnxruntime.so.1.32.0")));
    }
}

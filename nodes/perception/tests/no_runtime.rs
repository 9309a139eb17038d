//! A library that is not ONNX Runtime is an error with its path, not a crash. Its own process: the first library
//! loaded decides for all.

mod common;

use proctor_perception::{Model, OrtConfig, PerceptionError};

#[test]
fn a_missing_or_wrong_library_is_named_and_a_right_one_still_loads() {
    let dir = tempfile::tempdir().unwrap();
    let wrong = dir.path().join("libonnxruntime.so.1.0.0");
    std::fs::write(&wrong, "no library").unwrap();
    for path in [dir.path().join("absent.so"), wrong] {
        let config = OrtConfig { library_path: path.clone(), threads: 1 };
        match Model::load(&common::folder("colours"), &config) {
            Err(e @ PerceptionError::Runtime { .. }) => assert!(e.to_string().contains(path.to_str().unwrap()), "{e}"),
            other => panic!("{path:?}: {other:?}"),
        }
    }
    common::load("colours").unwrap();
}

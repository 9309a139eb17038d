//! A model folder is refused unless hash, tensors and classes are what its manifest says.

mod common;

use common::{config, folder, load};
use proctor_perception::{DEFAULT_MODEL, Model, Perception, PerceptionError, QualityParams};
use proctor_types::{Class, Stamp};
use std::path::Path;

fn message(name: &str) -> String {
    load(name).unwrap_err().to_string()
}

/// The `colours` folder with its manifest changed.
fn edited(from: &str, to: &str) -> Result<Model, PerceptionError> {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(folder("colours").join("model.toml")).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(dir.path().join("model.toml"), text.replacen(from, to, 1)).unwrap();
    std::fs::copy(folder("colours").join("model.onnx"), dir.path().join("model.onnx")).unwrap();
    Model::load(dir.path(), &config())
}

#[test]
fn a_matching_folder_loads() {
    let model = load("colours").unwrap();
    assert_eq!(model.manifest().input.width, common::W);
    assert_eq!(model.digest(), model.manifest().sha256);
}

#[test]
fn other_tensors_than_the_manifests_are_refused_with_both_values() {
    let table = [
        ("nine_classes", ["float32 [1, 10, rows, columns]", "float32 [1, 9, 24, 32]"]),
        ("other_size", ["float32 [1, 3, 24, 32]", "float32 [1, 3, 24, 64]"]),
        ("other_input_name", ["\"image\"", "\"picture\""]),
        ("other_output_name", ["\"logits\"", "\"scores\""]),
        ("double_precision", ["float32 [1, 3, 24, 32]", "f64 [1, 3, 24, 32]"]),
    ];
    for (name, words) in table {
        let text = message(name);
        assert!(words.iter().all(|w| text.contains(w)) && text.contains("model.onnx"), "{name}: {text}");
    }
}

#[test]
fn a_file_that_is_no_model_is_refused_by_name() {
    let text = message("not_a_model");
    assert!(text.contains("not_a_model") && text.contains("ONNX Runtime"), "{text}");
}

#[test]
fn one_changed_byte_is_refused_with_both_digests() {
    let dir = tempfile::tempdir().unwrap();
    let from = folder("colours");
    std::fs::copy(from.join("model.toml"), dir.path().join("model.toml")).unwrap();
    let mut bytes = std::fs::read(from.join("model.onnx")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(dir.path().join("model.onnx"), &bytes).unwrap();
    let text = Model::load(dir.path(), &config()).unwrap_err().to_string();
    let expected = load("colours").unwrap().digest().to_string();
    let got = proctor_types::Digest::of(&bytes).to_string();
    assert!(text.contains(&expected) && text.contains(&got), "{text}");
}

#[test]
fn hostile_manifests_are_refused_with_the_reason() {
    let table = [
        ("\"liver\"", "\"fat\"", "\"fat\""),
        ("\"liver\"", "\"\"", "classes"),
        ("name = \"colours\"", "name = \"../colours\"", "../colours"),
        ("width = 32", "width = 0", "input.width"),
        ("width = 32", "width = 1000000000", "1000000000"),
        ("width = 32", "width = -1", "width"),
        ("std = [1.0, 1.0, 1.0]", "std = [1.0, 0.0, 1.0]", "input.std"),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0, nan, 0.0]", "input.mean"),
        ("mean = [0.0, 0.0, 0.0]", "mean = [0.0]", "mean"),
        ("layout = \"nchw\"", "layout = \"nhwc\"", "nhwc"),
        ("colour = \"rgb\"", "colour = \"hsv\"", "hsv"),
        ("sha256 = \"", "sha256 = \"00", "digest"),
        ("licence = \"Apache-2.0\"\n", "", "licence"),
        ("licence", "license", "license"),
        ("[input]", "[input", "model.toml"),
        ("name = \"logits\"", "name = \"logits\"\ntemperature = 0.1", "output.temperature"),
        ("name = \"logits\"", "name = \"logits\"\ntemperature = nan", "output.temperature"),
        ("name = \"logits\"", "name = \"logits\"\nconfidence = 0.5", "only [\"temperature\"]"),
    ];
    for (from, to, word) in table {
        let text = edited(from, to).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("model.toml"), "{to}: {text}");
    }
}

#[test]
fn other_classes_load_but_cannot_feed_fusion() {
    let table = [
        ("\"liver\", \"gallbladder\"", "\"gallbladder\", \"liver\"", "gallbladder, liver"),
        ("\"liver\"", "\"spleen\"", "spleen"),
    ];
    for (from, to, word) in table {
        let model = edited(from, to).unwrap();
        let text = Perception::new(model, QualityParams::default()).unwrap_err().to_string();
        assert!(text.contains(word) && text.contains("background, abdominal_wall, liver, gallbladder"), "{to}: {text}");
    }
    let model = load("squares_yolo_v8").unwrap();
    assert!(Perception::new(model, QualityParams::default()).unwrap_err().to_string().contains("another task"));
}

#[test]
fn a_temperature_divides_the_logits_before_they_become_probabilities() {
    let model = edited("name = \"logits\"", "name = \"logits\"\ntemperature = 20.0").unwrap();
    let mut perception = Perception::new(model, QualityParams::default()).unwrap();
    let fat = common::paint(1, |_, _| Class::Fat);
    let seen = perception.segment(Stamp::FIRST, Stamp::FIRST, 0, &fat).unwrap();
    // The model's logits are -40 times the squared distance of colours, of channels in [0, 1].
    let apart =
        |a: [u8; 3], b: [u8; 3]| (0..3).map(|i| ((f64::from(a[i]) - f64::from(b[i])) / 255.0).powi(2)).sum::<f64>();
    let colour = |class: Class| common::COLOURS[usize::from(class.id())];
    let each = Class::ALL.map(|class| (-40.0 / 20.0 * apart(colour(class), colour(Class::Fat))).exp());
    let total: f64 = each.iter().sum();
    let entropy = each.iter().map(|e| -e / total * (e / total).ln()).sum::<f64>() / (each.len() as f64).ln();
    assert!(seen.labels.pixels().iter().all(|&l| l == Class::Fat.id()));
    assert!((f64::from(seen.confidence[usize::from(Class::Fat.id())]) - 1.0 / total).abs() < 1e-3);
    assert!((f64::from(seen.uncertainty.pixels()[0]) / 255.0 - entropy).abs() < 0.01);
    assert!(total > 2.0, "at temperature 1 it would be certain");
}

#[test]
fn missing_files_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let text = Model::load(dir.path(), &config()).unwrap_err().to_string();
    assert!(text.contains("model.toml"), "{text}");
    std::fs::copy(folder("colours").join("model.toml"), dir.path().join("model.toml")).unwrap();
    assert!(Model::load(dir.path(), &config()).unwrap_err().to_string().contains("model.onnx"));
}

#[test]
fn the_shipped_model_loads_and_is_small() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(DEFAULT_MODEL);
    let model = Model::load(&dir, &config()).unwrap();
    assert_eq!((model.manifest().input.width, model.manifest().input.height), (640, 480));
    assert!(std::fs::metadata(dir.join("model.onnx")).unwrap().len() <= 10_000_000);
    let scores = model.manifest().scores["unseen_seeds"].clone();
    let score = |key: &str| scores[key].as_float().unwrap();
    assert!(score("mean_iou") >= 0.85 && score("instrument_iou") >= 0.94, "the goals of the card: {scores:?}");
}

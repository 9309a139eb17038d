//! `proctor segment` and `proctor eval segmentation`, from files to files and JSON, with the tiny model.

mod common;

use common::{COLOURS, folder, paint};
use proctor_perception::{
    cli::{EvalArgs, ModelArgs, SegmentArgs, SourceArgs, eval_segmentation, segment},
    picture,
};
use proctor_types::{Class, Image};
use std::path::{Path, PathBuf};

fn model() -> ModelArgs {
    ModelArgs { model: folder("colours"), onnxruntime: None, threads: 1 }
}

fn halves(x: usize, _: usize) -> Class {
    if x < 16 { Class::Liver } else { Class::InstrumentShaft }
}

fn run_segment(inputs: Vec<PathBuf>, out: &Path, json: bool) -> Result<String, String> {
    let args =
        SegmentArgs { source: SourceArgs { inputs, every: 1, topic: None }, out: out.to_owned(), json, model: model() };
    let mut text = Vec::new();
    segment(&args, &mut text).map_err(|e| e.to_string())?;
    Ok(String::from_utf8(text).unwrap())
}

#[test]
fn segment_writes_labels_and_overlays_of_the_pictures_size() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("view.png");
    picture::write(&file, &paint(3, halves)).unwrap();
    let out = dir.path().join("out");
    let text = run_segment(vec![file], &out, true).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json[0]["name"], "view");
    assert_eq!(
        (json[0]["share"]["liver"].as_f64(), json[0]["share"]["instrument_shaft"].as_f64()),
        (Some(0.5), Some(0.5))
    );
    let labels = picture::read(&out.join("view_labels.png")).unwrap();
    assert_eq!((labels.width(), labels.height()), (96, 72));
    assert_eq!((labels.get(47, 71), labels.get(48, 0)), (Some(&[2; 3]), Some(&[7; 3])));
    let overlay = picture::read(&out.join("view_overlay.png")).unwrap();
    assert_eq!((overlay.width(), overlay.height()), (96, 72));
    assert_ne!(overlay.get(5, 5), Some(&COLOURS[2]), "tinted");
}

#[test]
fn segment_names_the_file_it_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let broken = dir.path().join("broken.jpg");
    std::fs::write(&broken, "text").unwrap();
    assert!(run_segment(vec![broken], &dir.path().join("out"), false).unwrap_err().contains("broken.jpg"));
    assert!(run_segment(vec![dir.path().join("gone")], dir.path(), false).unwrap_err().contains("gone"));
}

const MAP: &str = r#"
[masks]
tissue = [0, 60]
instrument = [200]
[model]
tissue = ["background", "abdominal_wall", "liver", "gallbladder", "cystic_duct", "cystic_artery", "fat"]
instrument = ["instrument_shaft", "instrument_wrist", "instrument_jaws"]
"#;

struct Set {
    dir: tempfile::TempDir,
}

impl Set {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("images")).unwrap();
        std::fs::create_dir(dir.path().join("masks")).unwrap();
        std::fs::write(dir.path().join("map.toml"), MAP).unwrap();
        Self { dir }
    }

    fn image(&self, name: &str, class: impl Fn(usize, usize) -> Class) {
        picture::write(&self.dir.path().join("images").join(name), &paint(2, class)).unwrap();
    }

    fn mask(&self, name: &str, w: usize, h: usize, value: impl Fn(usize, usize) -> u8) {
        let data = (0..w * h).map(|i| value(i % w, i / w)).collect();
        picture::write_labels(&self.dir.path().join("masks").join(name), &Image::new(w, h, data).unwrap()).unwrap();
    }

    fn eval(&self) -> Result<serde_json::Value, String> {
        let p = self.dir.path();
        let args = EvalArgs {
            images: p.join("images"),
            masks: p.join("masks"),
            map: p.join("map.toml"),
            mask_suffix: String::new(),
            json: true,
            model: model(),
        };
        let mut text = Vec::new();
        eval_segmentation(&args, &mut text).map_err(|e| e.to_string())?;
        Ok(serde_json::from_slice(&text).unwrap())
    }
}

#[test]
fn eval_matches_the_overlap_computed_by_hand() {
    let set = Set::new();
    // The model sees the instrument in network columns 16..32, that is picture columns 32..64. The mask says 40..64.
    set.image("a.png", halves);
    set.mask("a.png", 64, 48, |x, _| if x < 40 { 60 } else { 200 });
    // A picture without any instrument, in mask and answer alike.
    set.image("b.png", |_, _| Class::Fat);
    set.mask("b.png", 64, 48, |_, _| 0);
    let json = set.eval().unwrap();
    let score = |v: &serde_json::Value, class: &str, key: &str| v["classes"][class][key].as_f64().unwrap();
    // Columns: instrument both 24, either 32. Tissue over both pictures: both 32 + 64, either 40 + 64.
    assert!((score(&json, "instrument", "iou") - 24.0 / 32.0).abs() < 1e-6);
    assert!((score(&json, "instrument", "dice") - 48.0 / 56.0).abs() < 1e-6);
    assert!((score(&json, "tissue", "iou") - 96.0 / 104.0).abs() < 1e-6);
    assert!((json["mean_iou"].as_f64().unwrap() - f64::midpoint(0.75, 96.0 / 104.0)).abs() < 1e-6);
    let images = json["images"].as_array().unwrap();
    assert_eq!((images.len(), images[1]["image"].as_str()), (2, Some("b.png")));
    assert_eq!((score(&images[1], "instrument", "iou"), images[1]["mean_iou"].as_f64()), (1.0, Some(1.0)));
}

#[test]
fn eval_names_the_file_that_is_wrong() {
    let set = Set::new();
    set.image("a.png", halves);
    assert!(set.eval().unwrap_err().contains("a.png"), "no mask");
    set.mask("a.png", 32, 24, |_, _| 0);
    let message = set.eval().unwrap_err();
    assert!(message.contains("a.png") && message.contains("32x24") && message.contains("64x48"), "{message}");
    set.mask("a.png", 64, 48, |x, _| if x == 9 { 61 } else { 0 });
    let message = set.eval().unwrap_err();
    assert!(message.contains("a.png") && message.contains("61"), "{message}");
    std::fs::remove_file(set.dir.path().join("images/a.png")).unwrap();
    assert!(set.eval().unwrap_err().contains("images"), "nothing to score");
}

//! `proctor model report` on a few frames of `proctor dataset generate`, with the shipped model.
#![allow(clippy::unwrap_used)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

fn proctor(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Command::new(env!("CARGO_BIN_EXE_proctor")).args(arguments).current_dir(root).output().unwrap()
}

fn said(out: &Output) -> String {
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    String::from_utf8(out.stdout.clone()).unwrap()
}

/// The number after `before`.
fn number(text: &str, before: &str) -> f64 {
    let rest = &text[text.find(before).unwrap_or_else(|| panic!("{before:?} in {text}")) + before.len()..];
    rest.trim_start().split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap().parse().unwrap()
}

#[test]
fn the_shipped_model_is_reported_in_one_file_that_agrees_with_proctor_eval() {
    let dir = tempfile::tempdir().unwrap();
    let (data, html) = (dir.path().join("set"), dir.path().join("report.html"));
    let path = |p: &PathBuf| p.to_str().unwrap().to_owned();
    said(&proctor(&[
        "dataset",
        "generate",
        "--frames",
        "6",
        "--seed",
        "5",
        "--mono",
        "--shrink",
        "2",
        "--out",
        &path(&data),
    ]));
    let report =
        ["model", "report", "--data", &path(&data), "--out", &path(&html), "--frame", "000002", "--bootstrap", "50"];
    let lines = said(&proctor(&report));
    let eval = said(&proctor(&[
        "eval",
        "segmentation",
        "--images",
        &path(&data.join("images")),
        "--masks",
        &path(&data.join("labels")),
        "--map",
        "training/maps/classes.toml",
        "--json",
    ]));
    let eval: serde_json::Value = serde_json::from_str(&eval).unwrap();
    let mean_iou = eval["mean_iou"].as_f64().unwrap();
    assert!((number(&lines, "mean IoU") - mean_iou).abs() < 6e-4, "{lines} {mean_iou}");
    assert!(mean_iou > 0.5, "the shipped model is no better than {mean_iou}");

    let page = fs::read_to_string(&html).unwrap();
    let headings = [
        "Performance",
        "Calibration",
        "Robustness by subgroup",
        "Failures",
        "What the answers rest on: 000002",
        "Method",
    ];
    for words in
        headings.iter().chain(&["cholec-sim", "not a medical device", "gallbladder colour", "cystic_artery", "HD95"])
    {
        assert!(page.contains(words), "{words}");
    }
    for (class, score) in eval["classes"].as_object().unwrap() {
        let row = &page[page.find(&format!("</span>{class}</td>")).unwrap()..];
        let iou = score["iou"].as_f64().unwrap();
        assert!((number(row, "%</td><td>") - iou).abs() < 6e-4, "{class}: {iou}");
    }
    // Self-contained: nothing to load, nothing to run.
    assert!(!page.contains("http") && !page.contains("<script") && !page.contains("src=\"/"));
    assert_eq!(page.matches("<img").count(), page.matches("src=\"data:image/jpeg;base64,").count());
    assert!(page.matches("<img").count() > 6 * 3, "gallery and saliency");

    said(&proctor(&report));
    assert!(fs::read_to_string(&html).unwrap() == page, "the same model and data gave another file");
}

/// A model of the tests' own that answers for every pixel of a letterboxed picture, and is right: three fields of its classes' colours.
#[test]
fn a_letterboxed_model_is_judged_by_the_picture_alone() {
    use proctor_perception::picture;
    use proctor_types::Image;
    let dir = tempfile::tempdir().unwrap();
    let (model, images, labels) = (dir.path().join("model"), dir.path().join("images"), dir.path().join("labels"));
    for folder in [&model, &images, &labels] {
        fs::create_dir(folder).unwrap();
    }
    let tiny = Path::new(env!("CARGO_MANIFEST_DIR")).join("../perception/tests/models/colours");
    fs::copy(tiny.join("model.onnx"), model.join("model.onnx")).unwrap();
    let manifest = fs::read_to_string(tiny.join("model.toml")).unwrap();
    let letterboxed = manifest.replace("colour = \"rgb\"", "colour = \"rgb\"\nfit = \"letterbox\"\npad = 0");
    assert_ne!(manifest, letterboxed);
    fs::write(model.join("model.toml"), letterboxed).unwrap();
    // Twice as wide as high: 16 of the 24 rows of the network's picture. Liver, gallbladder and fat as bands across.
    let band = |i: usize| [(2, [255, 0, 0]), (3, [0, 255, 0]), (6, [255, 128, 0])][(i / 128 / 16).min(2)];
    for name in ["a", "b"] {
        let pixels = (0..128 * 64).map(|i| band(i).1).collect();
        picture::write(&images.join(name).with_extension("png"), &Image::new(128, 64, pixels).unwrap()).unwrap();
        let mask = Image::new(128, 64, (0..128 * 64).map(|i| band(i).0).collect()).unwrap();
        picture::write_labels(&labels.join(name).with_extension("png"), &mask).unwrap();
    }
    let html = dir.path().join("report.html");
    let [model, data, out] = [model.as_path(), dir.path(), &html].map(|p| p.to_str().unwrap());
    let lines =
        said(&proctor(&["model", "report", "--model", model, "--data", data, "--out", out, "--bootstrap", "20"]));
    assert!((number(&lines, "mean IoU") - 1.0).abs() < 1e-9, "{lines}");
}

#[test]
fn a_frame_that_is_not_there_and_data_that_are_none_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let out = proctor(&["model", "report", "--data", data]);
    let words = String::from_utf8(out.stderr).unwrap();
    assert!(!out.status.success() && words.contains(data) && words.contains("labels/"), "{words}");
}

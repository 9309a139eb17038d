//! Every task and output form, end to end with ONNX Runtime on the tiny models of training/proctor_train/tiny_tasks.py: what is painted
//! into a picture is found where it was painted, in the picture's own pixels.

mod common;

use common::{config, folder, load};
use proctor_perception::{
    Device, Finder, Model, PerceptionError,
    cli::SourceArgs,
    find::{FindArgs, find},
    picture,
    picture::Rgb,
};
use proctor_types::{Findings, Found, FoundBox, Image, Stamp};
use std::{collections::BTreeMap, path::Path};

const RED: [u8; 3] = [255, 0, 0];
const GREEN: [u8; 3] = [0, 255, 0];

/// A black picture with filled rectangles: colour, columns, rows.
fn paint(w: usize, h: usize, what: &[([u8; 3], std::ops::Range<usize>, std::ops::Range<usize>)]) -> Rgb {
    let pixel = |i: usize| {
        let holds = what.iter().find(|(_, columns, rows)| columns.contains(&(i % w)) && rows.contains(&(i / w)));
        holds.map_or([0; 3], |(colour, ..)| *colour)
    };
    Image::new(w, h, (0..w * h).map(pixel).collect()).unwrap()
}

/// Twice as wide as high: halved in the 64 x 48 input of the tiny models, with 8 rows of letterbox above and below.
fn squares() -> Rgb {
    paint(128, 64, &[(RED, 40..56, 20..36), (GREEN, 88..104, 40..56)])
}

fn seen(model: &str, picture: &Rgb) -> Findings {
    Finder::new(load(model).unwrap()).find(Stamp::FIRST, picture).unwrap()
}

fn assert_box(found: &FoundBox, label: &str, edges: [f64; 4]) {
    assert!(found.label == label && (found.confidence - 1.0).abs() < 1e-3, "{found:?}");
    assert!(found.edges.iter().zip(edges).all(|(a, b)| (a - b).abs() < 1e-2), "{label} {edges:?}: {found:?}");
}

/// Both squares, whose edges lie half a pixel outside the centres of their outermost pixels.
fn assert_squares(boxes: &[FoundBox]) {
    let by_label: BTreeMap<_, _> = boxes.iter().map(|b| (b.label.as_str(), b)).collect();
    assert_eq!((boxes.len(), by_label.len()), (2, 2), "each once, though many windows see it: {boxes:?}");
    assert_box(by_label["red"], "red", [39.5, 19.5, 55.5, 35.5]);
    assert_box(by_label["green"], "green", [87.5, 39.5, 103.5, 55.5]);
}

#[test]
fn every_form_of_detector_finds_the_squares_in_the_pictures_own_pixels() {
    for model in ["squares_yolo_v5", "squares_yolo_v8", "squares_nms_free"] {
        let findings = seen(model, &squares());
        assert_eq!((findings.name.as_str(), findings.width, findings.height), (model, 128, 64));
        let Found::Boxes(boxes) = &findings.found else { panic!("{findings:?}") };
        assert_squares(boxes);
    }
}

#[test]
fn an_empty_picture_holds_no_box_and_no_point() {
    let black = paint(128, 64, &[]);
    for model in ["squares_yolo_v5", "squares_yolo_v8", "squares_nms_free"] {
        assert_eq!(seen(model, &black).found, Found::Boxes(Vec::new()), "{model}");
    }
    for model in ["squares_pose", "blobs_heatmaps"] {
        assert_eq!(seen(model, &black).found, Found::Points { boxes: Vec::new(), points: Vec::new() }, "{model}");
    }
}

#[test]
fn a_pose_has_its_points_with_their_box() {
    let Found::Points { boxes, points } = seen("squares_pose", &squares()).found else { panic!("points") };
    assert_squares(&boxes);
    assert_eq!(points.len(), 4);
    for p in points {
        let [left, top, right, bottom] = boxes[usize::from(p.object.unwrap())].edges;
        let expected = match p.label.as_str() {
            "centre" => (f64::midpoint(left, right), f64::midpoint(top, bottom)),
            "corner" => (left, top),
            other => panic!("{other}"),
        };
        assert!((p.u - expected.0).abs() < 1e-2 && (p.v - expected.1).abs() < 1e-2, "{p:?}");
    }
}

#[test]
fn a_heat_map_peaks_in_the_middle_of_its_blob() {
    let picture = paint(128, 96, &[(RED, 40..56, 20..36)]);
    let Found::Points { boxes, points } = seen("blobs_heatmaps", &picture).found else { panic!("points") };
    assert!(boxes.is_empty());
    let [p] = &points[..] else { panic!("no green, no point: {points:?}") };
    assert!(p.label == "red" && p.object.is_none(), "{p:?}");
    assert!((p.u - 47.5).abs() < 0.05 && (p.v - 27.5).abs() < 0.05, "{p:?}");
}

#[test]
fn classifiers_give_the_probabilities_of_their_formula() {
    let scores = |model: &str, picture: &Rgb| match seen(model, picture).found {
        Found::Scores(all) => all.into_iter().map(|s| (s.label, f64::from(s.score))).collect::<BTreeMap<_, _>>(),
        other => panic!("{other:?}"),
    };
    let red = paint(64, 48, &[(RED, 0..64, 0..48)]);
    let total = 8f64.exp() + 2f64.exp() + 2.0;
    for model in ["colour_logits", "colour_probabilities"] {
        let s = scores(model, &red);
        assert!((s["red"] - 8f64.exp() / total).abs() < 1e-4, "{model}: {s:?}");
        assert!((s["dark"] - 2f64.exp() / total).abs() < 1e-4, "{model}: {s:?}");
    }
    let logistic = |x: f64| 1.0 / (1.0 + (-x).exp());
    for model in ["holds_logits", "holds_probabilities"] {
        let s = scores(model, &paint(64, 48, &[(RED, 0..64, 0..24)]));
        assert!(
            (s["red"] - logistic(5.0)).abs() < 1e-4 && (s["green"] - logistic(-5.0)).abs() < 1e-4,
            "{model}: {s:?}"
        );
    }
}

#[test]
fn regions_cover_the_picture_without_its_letterbox() {
    // The left quarter is zone; the answer is at half the input's size, of which 4 rows above and below show bars.
    let Found::Regions { image, classes } = seen("zone_binary", &paint(128, 64, &[(RED, 0..32, 0..64)])).found else {
        panic!("regions")
    };
    assert_eq!((image.width(), image.height()), (32, 16));
    assert!(image.pixels().iter().enumerate().all(|(i, &l)| l == u8::from(i % 32 < 8)), "{image:?}");
    assert_eq!(
        classes.iter().map(|c| (c.label.as_str(), c.score)).collect::<Vec<_>>(),
        [("outside", 0.75), ("zone", 0.25)]
    );
}

#[test]
fn label_numbers_and_probabilities_give_the_same_regions() {
    let picture = paint(64, 48, &[(RED, 0..16, 0..48), (GREEN, 48..64, 0..48)]);
    for model in ["zones_labels", "zones_probabilities"] {
        let Found::Regions { image, classes } = seen(model, &picture).found else { panic!("{model}") };
        let expected = |x: usize| {
            if x < 16 {
                1
            } else if x < 48 {
                0
            } else {
                2
            }
        };
        assert!(image.pixels().iter().enumerate().all(|(i, &l)| l == expected(i % 64)), "{model}");
        assert_eq!(classes[2].score, 0.25, "{model}");
    }
}

/// A model with its manifest changed.
fn edited(model: &str, from: &str, to: &str) -> Result<Model, PerceptionError> {
    let dir = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(folder(model).join("model.toml")).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(dir.path().join("model.toml"), text.replacen(from, to, 1)).unwrap();
    std::fs::copy(folder(model).join("model.onnx"), dir.path().join("model.onnx")).unwrap();
    Model::load(dir.path(), &config())
}

#[test]
fn manifests_that_do_not_fit_their_model_are_refused_with_what_was_expected_and_found() {
    let table: [(&str, &str, &str, &[&str]); 21] = [
        // Class lists against tensors.
        ("squares_yolo_v8", "\"red\", \"green\"", "\"red\"", &["float32 [1, 5, boxes]", "float32 [1, 6, 117]"]),
        ("squares_yolo_v5", "\"red\", \"green\"", "\"a\", \"b\", \"c\"", &["[1, boxes, 8]", "[1, 117, 7]"]),
        ("squares_pose", "\"centre\", \"corner\"", "\"centre\"", &["[1, 9, boxes]", "[1, 12, 117]"]),
        ("blobs_heatmaps", "\"red\", \"green\"", "\"red\", \"a\", \"b\"", &["[1, 3, rows, columns]", "[1, 2, 24, 32]"]),
        ("colour_logits", "\"dark\"", "\"dark\", \"more\"", &["float32 [1, 5]", "float32 [1, 4]"]),
        // Layouts are said, not guessed.
        ("squares_yolo_v5", "form = \"yolo_v5\"", "form = \"yolo_v8\"", &["[1, 6, boxes]", "[1, 117, 7]"]),
        (
            "zones_labels",
            "form = \"labels\"",
            "form = \"logits\"",
            &["float32 [1, 3, rows, columns]", "int64 [1, 48, 64]"],
        ),
        (
            "zones_probabilities",
            "form = \"probabilities\"",
            "form = \"labels\"",
            &["int64 or int32 or uint8", "float32 [1, 3, 48, 64]"],
        ),
        ("zone_binary", "\"outside\", \"zone\"", "\"outside\", \"a\", \"b\"", &["classes", "two", "3 of them"]),
        // Names of tensors.
        ("squares_yolo_v8", "\"answer\"", "\"output0\"", &["\"output0\"", "\"auxiliary\", \"answer\""]),
        // Keys and values.
        (
            "squares_yolo_v8",
            "form = \"yolo_v8\"",
            "form = \"yolov8\"",
            &["output.form", "yolo_v5, yolo_v8, nms_free", "yolov8"],
        ),
        ("squares_yolo_v8", "form = \"yolo_v8\"\n", "", &["output.form", "nothing"]),
        ("squares_yolo_v8", "task = \"detection\"", "task = \"detector\"", &["detector", "detection"]),
        (
            "squares_yolo_v8",
            "task = \"detection\"",
            "task = \"classification\"",
            &["output.form", "multi_label_logits"],
        ),
        ("squares_yolo_v8", "confidence = 0.6", "confidence = 1.6", &["output.confidence", "[0, 1]", "1.6"]),
        ("squares_yolo_v8", "confidence = 0.6", "confidence = nan", &["output.confidence"]),
        ("squares_yolo_v8", "confidence = 0.6", "least = 0.6", &["least"]),
        ("squares_nms_free", "confidence = 0.6", "overlap = 0.6", &["output.overlap", "absent", "nms_free"]),
        ("colour_logits", "form = \"logits\"", "form = \"logits\"\nconfidence = 0.5", &["output.confidence", "absent"]),
        ("squares_yolo_v8", "fit = \"letterbox\"", "fit = \"crop\"", &["crop", "letterbox"]),
        (
            "zones_labels",
            "form = \"labels\"",
            "form = \"labels\"\ntemperature = 2.0",
            &["output.temperature", "absent", "labels"],
        ),
    ];
    for (model, from, to, words) in table {
        let text = edited(model, from, to).unwrap_err().to_string();
        assert!(words.iter().all(|w| text.contains(w)), "{model} with {to}: {text}");
    }
}

#[test]
fn a_device_that_cannot_be_had_is_replaced_by_the_processor_with_the_same_answers() {
    let expected = seen("squares_yolo_v8", &squares()).found;
    let card = Path::new("/dev/nvidiactl").exists();
    for device in [Device::Cpu, Device::Cuda, Device::Tensorrt] {
        let model = Model::load_on(&folder("squares_yolo_v8"), &config(), device).unwrap();
        assert!(card || model.device() == Device::Cpu, "there is no card here, and it says {}", model.device());
        assert_eq!(Finder::new(model).find(Stamp::FIRST, &squares()).unwrap().found, expected, "{device}");
    }
}

#[test]
fn two_cameras_share_one_session_and_get_the_answers_of_their_own_pictures() {
    let model = load("squares_yolo_v8").unwrap();
    let (mut left, mut right) = (Finder::new(model.clone()), Finder::new(model));
    let pictures = [squares(), paint(128, 64, &[(GREEN, 10..26, 10..26)])];
    let alone = pictures.each_ref().map(|p| seen("squares_yolo_v8", p).found);
    std::thread::scope(|scope| {
        for (finder, picture, expected) in [(&mut left, &pictures[0], &alone[0]), (&mut right, &pictures[1], &alone[1])]
        {
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(&finder.find(Stamp::FIRST, picture).unwrap().found, expected);
                }
            });
        }
    });
}

#[test]
fn the_tool_draws_and_prints_what_every_model_finds() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("view.png");
    picture::write(&file, &squares()).unwrap();
    let names = ["squares_yolo_v8", "squares_pose", "colour_logits", "zones_labels"];
    let run = |json: bool, out: &Path| {
        let args = FindArgs {
            source: SourceArgs { inputs: vec![file.clone()], every: 1, topic: None },
            models: names.map(folder).to_vec(),
            out: out.to_owned(),
            json,
            onnxruntime: None,
            threads: 1,
            device: Device::Cpu,
        };
        let mut text = Vec::new();
        find(&args, &mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    let out = dir.path().join("out");
    let json: serde_json::Value = serde_json::from_str(&run(true, &out)).unwrap();
    assert_eq!((&json[0]["model"], &json[0]["task"]), (&"squares_yolo_v8".into(), &"detection".into()));
    assert!((json[0]["boxes"][0]["edges"][0].as_f64().unwrap() - 39.5).abs() < 1e-2, "{json}");
    assert_eq!((json[1]["points"].as_array().unwrap().len(), json[2]["scores"].as_array().unwrap().len()), (4, 4));
    let drawn = |name: &str| picture::read(&out.join(format!("view_{name}.png"))).unwrap();
    assert_ne!(drawn("squares_yolo_v8").get(40, 30), Some(&RED), "the box's edge");
    assert_eq!(drawn("squares_yolo_v8").get(2, 62), Some(&[0; 3]));
    assert_ne!(drawn("zones_labels").get(48, 28), Some(&RED), "tinted");
    let text = run(false, &out);
    assert!(text.contains("view: squares_yolo_v8: red 100% at (40, 20)-(56, 36)"), "{text}");
}

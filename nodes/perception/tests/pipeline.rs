//! The whole `step`: pictures painted in the tiny model's colours come back as the classes they were painted with.

mod common;

use common::{H, W, paint, perception};
use proctor_perception::{Perception, PerceptionError, QualityParams};
use proctor_types::{CameraModel, Class, QualityVerdict, Stamp, StereoFrame, StereoRig};
use std::time::Duration;

fn frame(stamp: Stamp, seq: u64, left: proctor_perception::picture::Rgb) -> StereoFrame {
    let camera = CameraModel {
        width: left.width(),
        height: left.height(),
        fx: 560.0,
        fy: 560.0,
        cx: 31.5,
        cy: 23.5,
        distortion: [0.0; 5],
    };
    StereoFrame { stamp, seq, right: left.clone(), left, rig: StereoRig { left: camera, baseline: 0.0052 } }
}

/// Ten vertical stripes, one class each, three columns wide (the last one wider).
fn stripes(x: usize, _: usize) -> Class {
    Class::ALL[(x / 3).min(9)]
}

#[test]
fn every_class_comes_back_where_it_was_painted() {
    let s = perception().step(Stamp::FIRST, &frame(Stamp::FIRST, 7, paint(2, stripes))).unwrap();
    assert_eq!((s.labels.width(), s.labels.height(), s.seq, s.stamp), (W, H, 7, Stamp::FIRST));
    for y in 0..H {
        for x in 0..W {
            assert_eq!(s.labels.get(x, y), Some(&stripes(x, y).id()), "column {x}, row {y}");
        }
    }
    // Softmax at distance 0 against the nearest other colour at squared distance 1/4: at least 1 / (1 + 3 e^-10).
    assert!(s.confidence.iter().all(|&c| c > 0.999), "{:?}", s.confidence);
    assert!(s.uncertainty.pixels().iter().all(|&u| u < 3));
    assert_eq!(s.model, common::load("colours").unwrap().digest());
}

#[test]
fn a_colour_between_two_classes_is_uncertain() {
    let mut p = perception();
    // Halfway between liver (255, 0, 0) and background (0, 0, 0): two equal probabilities, entropy ln 2 of ln 10 = 0.301.
    let picture = proctor_types::Image::new(W, H, vec![[128, 0, 0]; W * H]).unwrap();
    let s = p.step(Stamp::FIRST, &frame(Stamp::FIRST, 0, picture)).unwrap();
    let u = f64::from(s.uncertainty.pixels()[0]) / 255.0;
    assert!((u - 2f64.ln() / 10f64.ln()).abs() < 0.02, "{u}");
}

#[test]
fn a_picture_of_another_shape_gets_labels_of_its_own_size() {
    let mut p = perception();
    let wide = proctor_perception::picture::resize(&paint(2, |_, _| Class::Fat), 100, 50).unwrap();
    let s = p.step(Stamp::FIRST, &frame(Stamp::FIRST, 0, wide)).unwrap();
    assert_eq!((s.labels.width(), s.labels.height(), s.uncertainty.width()), (100, 50, 100));
    assert!(s.labels.pixels().iter().all(|&l| l == Class::Fat.id()));
}

#[test]
fn keypoints_are_in_full_size_pixels() {
    let tool = |x: usize, y: usize| match (x, y) {
        (0..=11, 8..=15) => Class::InstrumentShaft,
        (12..=17, 8..=15) => Class::InstrumentWrist,
        (18..=23, 10..=13) => Class::InstrumentJaws,
        _ => Class::Liver,
    };
    let s = perception().step(Stamp::FIRST, &frame(Stamp::FIRST, 0, paint(4, tool))).unwrap();
    let wrist = s.keypoints.iter().find(|k| k.part == Class::InstrumentWrist).unwrap();
    // Network columns 12..=17 are full-size columns 48..=71, rows 8..=15 are 32..=63.
    assert_eq!((wrist.u, wrist.v), (59.5, 47.5));
    assert_eq!(s.keypoints.len(), 3);
}

#[test]
fn an_identical_picture_is_frozen_and_a_new_one_is_not() {
    let mut p = perception();
    let now = Stamp::FIRST.plus(Duration::from_secs(1));
    let mut verdict = |picture, stamp| p.step(now, &frame(stamp, 0, picture)).unwrap().quality;
    let moving = |shift: usize| paint(2, move |x, y| stripes(x, y + shift));
    let a = paint(2, stripes);
    let b = paint(2, |x, y| if (x, y) == (5, 5) { Class::Fat } else { stripes(x, y) });
    assert!(!verdict(a.clone(), now).reason.contains("frozen"));
    let again = verdict(moving(1), now.plus(Duration::from_millis(33)));
    assert_eq!(again.verdict, QualityVerdict::Unusable);
    assert!(again.reason.contains("frozen"), "vertical stripes do not change when moved down: {}", again.reason);
    assert!(!verdict(b, now).reason.contains("frozen"), "one pixel changed");
    assert!(!verdict(a, now).reason.contains("frozen"));
}

#[test]
fn an_old_picture_is_stale() {
    let now = Stamp::FIRST.plus(Duration::from_secs(10));
    let old = now.minus(Duration::from_millis(400));
    let quality = perception().step(now, &frame(old, 0, paint(2, stripes))).unwrap().quality;
    assert!(quality.reason.contains("stale") && quality.verdict == QualityVerdict::Unusable, "{quality:?}");
}

#[test]
fn adjusted_thresholds_judge_the_next_picture_and_refused_ones_change_nothing() {
    let mut p = perception();
    let now = Stamp::FIRST.plus(Duration::from_secs(10));
    let stale = |p: &mut Perception, column: usize| {
        let old = now.minus(Duration::from_millis(400));
        // Another picture each time: a frozen one is another matter.
        let picture = paint(2, |x, y| if (x, y) == (column, 5) { Class::Fat } else { stripes(x, y) });
        p.step(now, &frame(old, 0, picture)).unwrap().quality.reason.contains("stale")
    };
    assert!(stale(&mut p, 0));
    p.adjust(QualityParams { stale_above: 0.5, ..QualityParams::default() }).unwrap();
    assert!(!stale(&mut p, 1));
    p.adjust(QualityParams { stale_above: f64::NAN, ..QualityParams::default() }).unwrap_err();
    assert!(!stale(&mut p, 2));
}

#[test]
fn the_same_pictures_give_identical_answers() {
    let run = || {
        let mut p = perception();
        (0..3)
            .map(|i| {
                let s =
                    p.step(Stamp::FIRST, &frame(Stamp::FIRST, i, paint(2, |x, y| stripes(x + i as usize, y)))).unwrap();
                (s.labels, s.uncertainty, s.confidence.map(f32::to_bits), format!("{:?}{:?}", s.keypoints, s.quality))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}

#[test]
fn a_model_that_answers_nan_gives_an_error_not_a_label() {
    let model = common::load("answers_nan").unwrap();
    let mut p = Perception::new(model, QualityParams::default()).unwrap();
    match p.step(Stamp::FIRST, &frame(Stamp::FIRST, 0, paint(1, stripes))) {
        Err(PerceptionError::NotFinite { class: 3, pixel: 0, .. }) => {}
        other => panic!("{other:?}"),
    }
}

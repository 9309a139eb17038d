//! `proctor dataset generate`: the folder it makes, and what it does when it is stopped, refused or out of room.
#![allow(clippy::unwrap_used)]

use proctor::dataset::{GenerateArgs, generate};
use proctor_sim::{
    dataset::{DatasetConfig, Sampler},
    render::Want,
};
use proctor_types::{Class, Digest};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    ops::ControlFlow,
    path::{Path, PathBuf},
    process::Command,
};

fn arguments(out: PathBuf, threads: u16) -> GenerateArgs {
    GenerateArgs { frames: 7, seed: 3, out, shrink: 4, mono: false, threads: Some(threads) }
}

fn whole(out: &Path, threads: u16) {
    assert!(generate(&arguments(out.to_owned(), threads), &|_, _| ControlFlow::Continue(())).unwrap());
}

/// Every file by its path in the folder.
fn files(root: &Path) -> BTreeMap<PathBuf, Digest> {
    let mut out = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                out.insert(path.strip_prefix(root).unwrap().to_owned(), Digest::of(&fs::read(path).unwrap()));
            }
        }
    }
    out
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Bytes per sample and samples of a PNG file, as it stores them.
fn pixels(path: &Path) -> (png::BitDepth, Vec<u8>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(fs::File::open(path).unwrap())).read_info().unwrap();
    let mut out = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut out).unwrap();
    assert_eq!((info.width, info.height), (160, 120));
    (info.bit_depth, out)
}

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_bytes_as_one_go() {
    let dir = tempfile::tempdir().unwrap();
    let [one_go, stopped] = ["one go", "stopped"].map(|n| dir.path().join(n));
    whole(&one_go, 1);
    let stop = |done, _| if done == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    assert!(!generate(&arguments(stopped.clone(), 1), &stop).unwrap(), "stopped");
    assert_eq!(fs::read_dir(stopped.join("truth")).unwrap().count(), 3);
    assert!(!stopped.join("coco.json").exists() && !stopped.join("README.md").exists());
    // Half a frame, as a kill leaves it: a file beside its place, one moved, no truth.
    fs::write(stopped.join("images/.000003.png.part"), b"half").unwrap();
    fs::write(stopped.join("labels/000003.png"), b"half").unwrap();
    // A finished frame that the disk damaged.
    fs::write(stopped.join("depth/000001.png"), b"damaged").unwrap();
    whole(&stopped, 3);
    let (a, b) = (files(&one_go), files(&stopped));
    assert_eq!(a.len(), 7 * 6 + 3, "six files a frame, recipe, COCO and card");
    assert!(a == b, "{:?}", a.iter().filter(|(k, v)| b.get(*k) != Some(v)).collect::<Vec<_>>());
}

#[test]
fn the_files_say_what_the_simulator_drew() {
    let dir = tempfile::tempdir().unwrap();
    whole(dir.path(), 2);
    let recipe = json(&dir.path().join("dataset.json"));
    let (first, unit) = (recipe["first_sample_seed"].as_u64().unwrap(), recipe["depth_unit_m"].as_f64().unwrap());
    let coco = json(&dir.path().join("coco.json"));
    let annotations = coco["annotations"].as_array().unwrap();
    let mut sampler = Sampler::new(&DatasetConfig::default()).unwrap();
    for i in [0u64, 5] {
        let sample = sampler.sample(first + i, Want::Rectified).unwrap().shrunk(4).unwrap();
        let read = |folder: &str| pixels(&dir.path().join(format!("{folder}/{i:06}.png")));
        assert_eq!(read("images").1, sample.left.pixels().as_flattened());
        assert_eq!(read("right").1, sample.right.pixels().as_flattened());
        assert_eq!(read("labels").1, sample.labels.pixels());
        assert_eq!(read("instances").1, sample.instances.pixels());
        let (bits, depth) = read("depth");
        assert_eq!(bits, png::BitDepth::Sixteen);
        for (step, metres) in depth.as_chunks::<2>().0.iter().zip(sample.depth.pixels()) {
            let read = f64::from(u16::from_be_bytes(*step)) * unit;
            assert!((read - f64::from(*metres)).abs() <= 0.5001 * unit, "{read} {metres}");
        }
        let truth = json(&dir.path().join(format!("truth/{i:06}.json")));
        for class in Class::ALL {
            let there = sample.labels.pixels().iter().filter(|l| **l == class.id()).count() as u64;
            assert_eq!(truth["pixels"].get(class.name()).map_or(0, |v| v.as_u64().unwrap()), there);
            let area = annotations
                .iter()
                .filter(|a| a["image_id"] == i && a["category_id"] == class.id())
                .map(|a| a["area"].as_u64().unwrap())
                .sum::<u64>();
            assert_eq!(area, if class == Class::Background { 0 } else { there });
        }
        let joints = |v: &Value| serde_json::from_value::<[f64; 6]>(v["joints"].clone()).unwrap();
        let told: Vec<_> = truth["instruments"].as_array().unwrap().iter().map(joints).collect();
        assert_eq!(told, sample.instruments.iter().map(|i| i.joints).collect::<Vec<_>>());
    }
    let card = fs::read_to_string(dir.path().join("README.md")).unwrap();
    for words in
        ["7 frames", "--seed 3 --shrink 4", "0.01 mm", "Known gaps", "liver", "not evidence for a medical device"]
    {
        assert!(card.contains(words), "{words}");
    }
}

#[test]
fn folders_of_others_and_of_other_recipes_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (foreign, ours, file) = (dir.path().join("foreign"), dir.path().join("ours"), dir.path().join("file"));
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.txt"), "years").unwrap();
    fs::write(&file, "x").unwrap();
    let stop = |_, _| ControlFlow::Break(());
    generate(&arguments(ours.clone(), 1), &stop).unwrap();
    let before = (files(&foreign), files(&ours));
    let refusal = |args: &GenerateArgs| format!("{:#}", generate(args, &stop).unwrap_err());
    assert!(refusal(&arguments(foreign.clone(), 1)).contains("is not empty (thesis.txt)"));
    let other = GenerateArgs { seed: 4, ..arguments(ours.clone(), 1) };
    let words = refusal(&other);
    assert!(words.contains("; seed is 3 there, 4 was asked for"), "{words}");
    assert!(refusal(&GenerateArgs { mono: true, ..arguments(ours.clone(), 1) }).contains("stereo is true there"));
    assert!(refusal(&arguments(file.clone(), 1)).contains("file"));
    assert!(refusal(&GenerateArgs { shrink: 7, ..arguments(ours.clone(), 1) }).contains("cannot be divided by 7"));
    let head = fs::File::open(ours.join("dataset.json")).unwrap();
    head.lock().unwrap();
    assert!(refusal(&arguments(ours.clone(), 1)).contains("another run is at work"));
    assert!(before == (files(&foreign), files(&ours)), "something was written");
}

#[test]
fn a_disk_without_room_is_named_and_what_was_complete_goes_on_later() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("set");
    let run = |shell: &str| {
        let command = format!("{shell} exec \"$0\" dataset generate --frames 2 --shrink 4 --threads 1 --out \"$1\"");
        Command::new("sh").args(["-c", &command, env!("CARGO_BIN_EXE_proctor")]).arg(&out).output().unwrap()
    };
    // No file may grow beyond eight blocks of 512 bytes: the recipe fits, a picture does not.
    let full = run("trap '' XFSZ; ulimit -f 8;");
    let said = String::from_utf8(full.stderr).unwrap();
    assert!(!full.status.success());
    let wanted = ["0 of 2 frames complete", "goes on from there", "depth/.000000.png.part", "File too large"];
    assert!(wanted.iter().all(|w| said.contains(w)), "{said}");
    assert_eq!(files(&out).keys().map(|k| k.display().to_string()).collect::<Vec<_>>(), ["dataset.json"]);
    let later = run("");
    assert!(later.status.success(), "{}", String::from_utf8_lossy(&later.stderr));
    assert_eq!(files(&out).len(), 2 * 6 + 3);
}

use super::*;

const MAP: &str = r##"
ignore = [255]
[masks]
background = [0]
tissue = [1, 2, 3, 4, 5, 6]
instrument = [7, 8, 9, "#ff0000"]
clip = [40]
[model]
background = ["background"]
tissue = ["abdominal_wall", "liver", "gallbladder", "cystic_duct", "cystic_artery", "fat"]
instrument = ["instrument_shaft", "instrument_wrist", "instrument_jaws"]
clip = []
"##;

fn map() -> EvalMap {
    EvalMap::parse(Path::new("map.toml"), MAP).unwrap()
}

fn refused(text: &str) -> String {
    EvalMap::parse(Path::new("map.toml"), text).unwrap_err().to_string()
}

fn write(dir: &Path, name: &str, w: usize, h: usize, data: &[u8]) -> PathBuf {
    let path = dir.join(name);
    picture::write_labels(&path, &Image::new(w, h, data.to_vec()).unwrap()).unwrap();
    path
}

fn score(dir: &Path, mask: &[u8], labels: &[u8]) -> Scores {
    let path = write(dir, "m.png", 4, 2, mask);
    let truth = read_mask(&path, (4, 2), &map()).unwrap();
    score_one(&map(), &Image::new(4, 2, labels.to_vec()).unwrap(), &truth).unwrap().scores(&map())
}

#[test]
fn scores_match_pixels_counted_by_hand() {
    let dir = tempfile::tempdir().unwrap();
    #[rustfmt::skip]
    let s = score(dir.path(), &[7, 8, 9, 2,
                                0, 0, 1, 255],
                              &[9, 7, 2, 2,
                                0, 7, 3, 7]);
    // Instrument: mask has 3 pixels, the answer 3 (the ignored one does not count), both 2: IoU 2/4, Dice 4/6.
    // Tissue: mask 2, answer 3, both 2: IoU 2/3, Dice 4/5. Background: mask 2, answer 1, both 1: IoU 1/2, Dice 2/3.
    let want = [("background", 0.5, 2.0 / 3.0), ("instrument", 0.5, 4.0 / 6.0), ("tissue", 2.0 / 3.0, 0.8)];
    for (name, iou, dice) in want {
        let got = s.classes[name];
        assert!((got.iou - iou).abs() < 1e-12 && (got.dice - dice).abs() < 1e-12, "{name}: {got:?}");
    }
    // The clip occurs nowhere: it agrees with itself, and does not flatter the mean.
    assert_eq!((s.classes["clip"].iou, s.classes["clip"].dice), (1.0, 1.0));
    assert!((s.mean_iou - (0.5 + 0.5 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
}

#[test]
fn empty_masks_are_defined() {
    let dir = tempfile::tempdir().unwrap();
    let agree = score(dir.path(), &[0; 8], &[0; 8]);
    assert_eq!((agree.mean_iou, agree.classes["instrument"].iou), (1.0, 1.0));
    let false_alarm = score(dir.path(), &[0; 8], &[7, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!((false_alarm.classes["instrument"].iou, false_alarm.classes["instrument"].dice), (0.0, 0.0));
    let missed = score(dir.path(), &[40; 8], &[2; 8]);
    assert_eq!((missed.classes["clip"].iou, missed.mean_iou), (0.0, 0.0));
    let nothing = score(dir.path(), &[255; 8], &[2; 8]);
    assert_eq!(nothing.mean_iou, 1.0, "every pixel ignored");
}

#[test]
fn a_set_is_scored_over_its_pixels_not_over_its_pictures() {
    let m = map();
    let one = |mask: Vec<Option<usize>>, labels: Vec<u8>| {
        let n = labels.len();
        score_one(&m, &Image::new(n, 1, labels).unwrap(), &Image::new(n, 1, mask).unwrap()).unwrap()
    };
    let tissue = m.classes().iter().position(|c| c == "tissue");
    // First picture: 1 of 1 right. Second: 1 of 4 right, 3 missed. Over the set: 2 of 5.
    let mut sum = one(vec![tissue], vec![2]);
    sum.merge(&one(vec![tissue; 4], vec![2, 0, 0, 0]));
    assert_eq!(sum.scores(&m).classes["tissue"].iou, 0.4);
}

#[test]
fn labels_of_half_size_are_compared_at_the_masks_size() {
    let m = map();
    let k = |name: &str| m.classes().iter().position(|c| c == name);
    let truth = Image::new(4, 2, [k("background"), k("background"), k("tissue"), k("tissue")].repeat(2)).unwrap();
    let tally = score_one(&m, &Image::new(2, 1, vec![0, 2]).unwrap(), &truth).unwrap();
    assert_eq!(tally.scores(&m).mean_iou, 1.0);
}

#[test]
fn masks_of_another_size_or_with_unmapped_values_are_errors_that_name_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = write(dir.path(), "size.png", 4, 2, &[0; 8]);
    let message = read_mask(&path, (8, 4), &map()).unwrap_err().to_string();
    assert!(message.contains("size.png") && message.contains("4x2") && message.contains("8x4"), "{message}");
    let path = write(dir.path(), "value.png", 4, 2, &[0, 0, 0, 0, 0, 0, 77, 0]);
    let message = read_mask(&path, (4, 2), &map()).unwrap_err().to_string();
    assert!(
        message.contains("value.png") && message.contains("77") && message.contains("column 2, row 1"),
        "{message}"
    );
    let broken = dir.path().join("broken.png");
    std::fs::write(&broken, "no picture").unwrap();
    assert!(read_mask(&broken, (4, 2), &map()).unwrap_err().to_string().contains("broken.png"));
}

#[test]
fn colour_masks_are_mapped_by_colour_and_equal_channels_by_level() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("colour.png");
    picture::write(&path, &Image::new(2, 1, vec![[255, 0, 0], [2, 2, 2]]).unwrap()).unwrap();
    let m = map();
    let k = |name: &str| m.classes().iter().position(|c| c == name);
    assert_eq!(read_mask(&path, (2, 1), &m).unwrap().pixels(), &[k("instrument"), k("tissue")]);
    picture::write(&path, &Image::new(2, 1, vec![[255, 0, 0], [0, 0, 255]]).unwrap()).unwrap();
    let message = read_mask(&path, (2, 1), &m).unwrap_err().to_string();
    assert!(message.contains("#0000ff") && message.contains("colour.png"), "{message}");
}

#[test]
fn hostile_maps_are_refused_with_the_reason() {
    let table = [
        (MAP.replace("instrument = [7, 8, 9, ", "instrument = [7, 8, 2, "), "twice"),
        (MAP.replace("ignore = [255]", "ignore = [256]"), "ignore"),
        (MAP.replace("\"#ff0000\"", "\"#ff00\""), "#ff00"),
        (MAP.replace("\"fat\"", "\"lard\""), "lard"),
        (MAP.replace(", \"fat\"", ""), "no fat"),
        (MAP.replace("clip = []", "clip = [\"fat\"]"), "fat twice"),
        (MAP.replace("clip = []", ""), "clip"),
        (MAP.replace("ignore", "ignored"), "ignored"),
        ("[masks]\n[model]\n".into(), "[model]"),
        (String::new(), "masks"),
    ];
    for (text, word) in table {
        let message = refused(&text);
        assert!(message.contains(word) && message.contains("map.toml"), "{word}: {message}");
    }
}

#[test]
fn pictures_find_their_masks_by_stem_and_suffix() {
    let dir = tempfile::tempdir().unwrap();
    let (images, masks) = (dir.path().join("i"), dir.path().join("m"));
    std::fs::create_dir(&images).unwrap();
    std::fs::create_dir(&masks).unwrap();
    write(&images, "b.png", 1, 1, &[0]);
    write(&images, "a.jpg", 1, 1, &[0]);
    write(&masks, "a_mask.png", 1, 1, &[0]);
    write(&masks, "extra_mask.png", 1, 1, &[0]);
    let message = pairs(&images, &masks, "_mask").unwrap_err().to_string();
    assert!(message.contains("b.png") && message.contains("b_mask"), "{message}");
    write(&masks, "b_mask.png", 1, 1, &[0]);
    let found = pairs(&images, &masks, "_mask").unwrap();
    assert_eq!(
        found.iter().map(|p| p.image.file_name().unwrap().to_str().unwrap()).collect::<Vec<_>>(),
        ["a.jpg", "b.png"]
    );
    write(&images, "a.png", 1, 1, &[0]);
    assert!(matches!(pairs(&images, &masks, "_mask"), Err(PerceptionError::SameStem { .. })));
}

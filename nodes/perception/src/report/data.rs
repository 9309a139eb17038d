//! Labelled pictures to report on: a folder of `proctor dataset generate`, or any folder with `images/` and `labels/` (or `masks/`).

use crate::{
    PerceptionError,
    eval::{self, EvalMap, Pair},
};
use proctor_types::{Class, anatomy::UNKNOWN};
use serde::Deserialize;
use std::{collections::BTreeMap, io, path::Path};

/// A picture with its mask and what it may be grouped by.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The picture's stem.
    pub name: String,
    /// Its files.
    pub pair: Pair,
    /// What is grouped by, and the picture's group in it; empty without `truth/NAME.json`.
    pub groups: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Truth {
    groups: BTreeMap<String, String>,
}

/// The pictures of a folder, by name.
pub fn items(dir: &Path) -> Result<Vec<Item>, PerceptionError> {
    let masks = ["labels", "masks"].map(|n| dir.join(n)).into_iter().find(|p| p.is_dir());
    let images = dir.join("images");
    let (true, Some(masks)) = (images.is_dir(), masks) else {
        let expected = "a folder with images/ and labels/ (or masks/)";
        return Err(PerceptionError::value(dir, "data", expected, "none of that"));
    };
    let item = |pair: Pair| {
        let name = pair.image.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let groups = groups(&dir.join("truth").join(format!("{name}.json")))?;
        Ok(Item { name, pair, groups })
    };
    eval::pairs(&images, &masks, "")?.into_iter().map(item).collect()
}

fn groups(path: &Path) -> Result<BTreeMap<String, String>, PerceptionError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(|t: Truth| t.groups)
            .map_err(|e| PerceptionError::value(path, "truth", "JSON with `groups`, a name for each key", e)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(e) => Err(PerceptionError::io(path)(e)),
    }
}

/// The map of a Proctor data set: every class is itself, unknown objects are ignored.
pub fn own_map() -> Result<EvalMap, PerceptionError> {
    let list = |of: &dyn Fn(Class) -> String| Class::ALL.map(|c| format!("{} = [{}]\n", c.name(), of(c))).concat();
    let (masks, model) = (list(&|c| c.id().to_string()), list(&|c| format!("{:?}", c.name())));
    EvalMap::parse(Path::new("own map"), &format!("ignore = [{UNKNOWN}]\n[masks]\n{masks}[model]\n{model}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::picture;
    use proctor_types::Image;

    #[test]
    fn plain_folders_are_read_and_groups_come_with_a_truth() {
        let dir = tempfile::tempdir().unwrap();
        let said = |dir: &Path| items(dir).unwrap_err().to_string();
        assert!(said(dir.path()).contains("images/"));
        for folder in ["images", "masks", "truth"] {
            std::fs::create_dir(dir.path().join(folder)).unwrap();
        }
        let grey = Image::new(2, 2, vec![1u8; 4]).unwrap();
        for file in ["images/a.png", "images/b.png", "masks/a.png"] {
            picture::write_labels(&dir.path().join(file), &grey).unwrap();
        }
        assert!(said(dir.path()).contains("b.png"));
        picture::write_labels(&dir.path().join("masks/b.png"), &grey).unwrap();
        std::fs::write(dir.path().join("truth/b.json"), r#"{"frame": 1, "groups": {"light": "dark"}}"#).unwrap();
        let found = items(dir.path()).unwrap();
        assert_eq!((found.len(), found[0].groups.len(), found[1].groups["light"].as_str()), (2, 0, "dark"));
        std::fs::write(dir.path().join("truth/b.json"), "{}").unwrap();
        assert!(said(dir.path()).contains("b.json"));
    }

    #[test]
    fn the_own_map_names_every_class() {
        assert_eq!(own_map().unwrap().classes().len(), Class::COUNT);
    }
}

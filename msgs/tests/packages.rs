//! The interface packages build every message they hold: what colcon generates is what the Rust bindings know.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, fs, path::Path};

fn files(package: &Path) -> BTreeSet<String> {
    let folders = ["msg", "srv"].into_iter().filter(|f| package.join(f).is_dir());
    let names = folders.flat_map(|f| {
        let entries = fs::read_dir(package.join(f)).unwrap();
        entries.map(move |e| format!("{f}/{}", e.unwrap().file_name().to_string_lossy()))
    });
    names.collect()
}

#[test]
fn every_definition_is_listed_for_colcon_once() {
    for package in ["proctor_msgs", "crtk_msgs"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(package);
        let cmake = fs::read_to_string(folder.join("CMakeLists.txt")).unwrap();
        let listed: Vec<_> = cmake.split_whitespace().filter(|w| w.starts_with("msg/") || w.starts_with("srv/")).collect();
        let set: BTreeSet<_> = listed.iter().map(|&w| w.to_owned()).collect();
        assert_eq!(set.len(), listed.len(), "{package}: a definition is listed twice");
        assert_eq!(set, files(&folder), "{package}");
    }
}

//! The world that we write, judged by Gazebo's own reader: Debian's `ign sdf -k` (packages ignition-tools and libsdformat-dev).

use proctor_gazebo::export;
use proctor_sim::SimConfig;
use std::{fs, path::Path, process::Command};

/// What Gazebo's reader says of a world, or `None` where it is not installed.
fn judged(world: &Path) -> Option<(bool, String)> {
    let Ok(said) = Command::new("ign").arg("sdf").arg("-k").arg(world).output() else {
        println!("SKIPPED: no `ign sdf` here; scripts/setup.sh test installs it on Debian");
        return None;
    };
    let text = String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    Some((text.contains("Valid.") && !text.contains("Error"), text))
}

#[test]
fn the_world_is_valid_and_whole_and_a_broken_one_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let world = export(folder.path(), &SimConfig::default(), 30).unwrap();
    let text = fs::read_to_string(&world).unwrap();
    for file in text.split("<albedo_map>").skip(1).filter_map(|rest| rest.split("</albedo_map>").next()) {
        assert!(fs::metadata(folder.path().join(file)).unwrap().len() > 100, "{file}");
    }
    for file in text.split("<uri>").skip(1).filter_map(|rest| rest.split("</uri>").next()) {
        assert!(fs::metadata(folder.path().join(file)).unwrap().len() > 100, "{file}");
    }
    let Some((valid, said)) = judged(&world) else { return };
    assert!(valid, "{said}");

    for (from, to) in [
        ("<child>PSM1_pitch_link</child>", "<child>PSM1_pitch</child>"),
        ("relative_to=\"PSM1_yaw_link\"", "relative_to=\"PSM1_yaw_lin\""),
        ("<mass>4</mass>", "<mass>-4</mass>"),
    ] {
        assert!(text.contains(from), "{from}");
        let broken = folder.path().join("broken.sdf");
        fs::write(&broken, text.replacen(from, to, 1)).unwrap();
        let (valid, said) = judged(&broken).unwrap();
        assert!(!valid, "{to} is taken: {said}");
    }
}

#[test]
fn the_same_cell_is_written_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, seed| {
        let config = SimConfig { seed, ..SimConfig::default() };
        let world = export(&folder.path().join(name), &config, 30).unwrap();
        let liver = fs::read_dir(folder.path().join(name).join("meshes")).unwrap().map(|f| f.unwrap().path());
        let liver = liver.into_iter().find(|p| p.to_string_lossy().contains("liver")).unwrap();
        (fs::read(world).unwrap(), fs::read(liver).unwrap())
    };
    assert_eq!(write("a", 1), write("b", 1));
    assert_ne!(write("a", 1).1, write("c", 2).1, "another seed is another anatomy");
}

//! A robot's profile: what it names, what it tells the nodes, and how its mistakes are refused.
#![allow(clippy::unwrap_used)]

use proctor::{
    profile::Profile,
    stack::{StackConfig, find_root},
};
use std::path::Path;

const DVRK: &str = include_str!("../../../launch/config/dvrk.toml");

fn parse(text: &str) -> Result<Profile, String> {
    Profile::parse(Path::new("dvrk.toml"), text).map_err(|e| e.to_string())
}

fn changed(from: &str, to: &str) -> String {
    assert!(DVRK.contains(from), "{from}");
    DVRK.replacen(from, to, 1)
}

/// Line of the first occurrence, from 1.
fn line(text: &str, of: &str) -> usize {
    1 + text.lines().position(|l| l.contains(of)).unwrap()
}

#[test]
fn the_shipped_profile_names_the_dvrks_topics() {
    let names = parse(DVRK).unwrap().names();
    // As the dVRK's bridge names them; crtk.md of CRTK's specification.
    for topic in ["/PSM1/measured_js", "/PSM2/jaw/servo_jp", "/ECM/operating_state", "/PSM1/spatial/measured_cf"] {
        assert_eq!(names.of(topic), topic);
    }
    assert_eq!(names.of("/endoscope/left/image_rect"), "/jhu_daVinci/left/image_rect_color");
    assert_eq!(names.of("/proctor/verdict"), "/proctor/verdict");
}

#[test]
fn another_arm_may_stand_in_a_place() {
    let text = changed("namespace = \"/PSM2\"", "namespace = \"/left/PSM3\"");
    let profile = parse(&text).unwrap();
    assert_eq!(profile.names().of("/PSM2/jaw/measured_js"), "/left/PSM3/jaw/measured_js");
    assert_eq!(profile.names().of("/teleop/PSM2/servo_jp"), "/teleop/PSM2/servo_jp");
}

#[test]
fn mistakes_are_refused_with_their_line() {
    for (from, to, line_of, part) in [
        ("namespace = \"/PSM2\"", "namespace = \"PSM2\"", "namespace = \"PSM2\"", "absolute"),
        ("namespace = \"/PSM2\"", "namespace = \"/ECM\"", "[arms.ECM]", "both in /ECM"),
        (
            "instrument = \"LARGE_NEEDLE_DRIVER_400006\"",
            "instrument = \"SPOON\"",
            "\"SPOON\"",
            "PROGRASP_FORCEPS_400093",
        ),
        ("frame = \"ECM_base\"", "frame = \"\"", "frame = \"\"", "frame"),
        (
            "\"/endoscope/left/image_rect\" =",
            "\"/endoscope/left/image\" =",
            "\"/endoscope/left/image\" =",
            "proctor graph",
        ),
        ("\"/jhu_daVinci/left/camera_info\"", "\"left camera\"", "left camera", "absolute"),
        ("position = [-3.0, 3.0]", "position = [-170.0, 170.0]", "[[limits]]", "goes from"),
        ("joint = 3 # roll", "joint = 7", "[[limits]]", "0 to 6"),
    ] {
        let text = changed(from, to);
        let error = parse(&text).unwrap_err();
        // The value of a table begins on the line of its header; that of the doubled namespace is one line below.
        let expected = line(&text, line_of) + usize::from(line_of == "[arms.ECM]");
        assert!(error.contains(&format!("dvrk.toml, line {expected}:")), "line {expected}: {error}");
        assert!(error.contains(part), "{error}");
    }
    for (from, to, part) in [
        ("robot = \"dVRK\"\n", "", "missing field `robot`"),
        ("frame = \"ECM_base\"", "frame = \"ECM_base\"\njaw = 1", "unknown field `jaw`"),
        ("frame = \"PSM1_base\"\n", "", "missing field `frame`"),
    ] {
        let error = parse(&changed(from, to)).unwrap_err();
        assert!(error.contains(part) && error.contains("line"), "{error}");
    }
    assert!(Profile::read(Path::new("nowhere.toml")).unwrap_err().to_string().contains("nowhere.toml"));
}

#[test]
fn every_node_is_told_what_the_arms_carry() {
    let text = changed("instrument = \"LARGE_NEEDLE_DRIVER_400006\"", "instrument = \"PROGRASP_FORCEPS_400093\"");
    let mut config = StackConfig::simulated(&find_root().unwrap(), 1).unwrap();
    let before = config.safety.limits.len();
    parse(&text).unwrap().apply(&mut config).unwrap();
    let carried = ["PROGRASP_FORCEPS_400093", "LARGE_NEEDLE_DRIVER_400006"];
    assert_eq!(config.safety.instruments, carried);
    assert_eq!(
        (config.fusion.instruments, config.console.instruments),
        (carried.map(String::from), carried.map(String::from))
    );
    assert_eq!(config.safety.limits.len(), before + 2);
}

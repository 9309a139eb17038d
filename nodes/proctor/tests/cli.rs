//! The executable as a user runs it.
#![allow(clippy::unwrap_used)]

use std::{
    io::Write,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

fn proctor(arguments: &[&str], input: &str) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut child = Command::new(env!("CARGO_BIN_EXE_proctor"))
        .args(arguments)
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

const FK: [&str; 5] = ["fk", "--arm", "psm", "--instrument", "LARGE_NEEDLE_DRIVER_400006"];

#[test]
fn fk_gives_the_tip_of_the_zero_pose_below_the_remote_centre() {
    let out = proctor(&FK, "q1,q2,q3,q4,q5,q6\n0,0,0.1,0,0,0\n");
    assert!(out.status.success(), "{}", text(&out.stderr));
    let lines: Vec<_> = text(&out.stdout).lines().map(str::to_owned).collect();
    assert_eq!((lines.len(), lines[0].as_str()), (2, "x,y,z,qx,qy,qz,qw"));
    let row: Vec<f64> = lines[1].split(',').map(|v| v.parse().unwrap()).collect();
    // From the DH table of the dVRK by hand: with straight joints the tip is q3 - 0.4318 + 0.4162 + 0.0091 m down the shaft.
    let depth = 0.1 - 0.4318 + 0.4162 + 0.0091;
    assert!((row[0].hypot(row[1]).hypot(row[2]) - depth).abs() < 1e-9, "{row:?}");
}

#[test]
fn fk_names_the_line_that_is_wrong() {
    let rows = [
        ("q1,q2,q3,q4,q5,q6\n0,0,0.1,0,0,0\n0,0,x,0,0,0\n", "line 3"),
        ("q1,q2,q3,q4,q5,q6\n0,0,0.1,0,0\n", "line 2"),
        ("0,0,0.1,0,0,0\n", "header"),
    ];
    for (input, named) in rows {
        let out = proctor(&FK, input);
        assert!(!out.status.success());
        assert!(text(&out.stderr).contains(named), "{input:?}: {}", text(&out.stderr));
    }
    let out = proctor(&["fk", "--arm", "psm", "--instrument", "SCALPEL"], "");
    assert!(text(&out.stderr).contains("SCALPEL") && text(&out.stderr).contains("LARGE_NEEDLE_DRIVER_400006"));
}

#[test]
fn doctor_and_graph_speak_plainly() {
    let doctor = proctor(&["doctor"], "");
    for what in ["OpenCV", "ONNX Runtime", "GPU", "ROS 2", "Gazebo", "Chromium", "real-time", "not a medical device"] {
        assert!(text(&doctor.stdout).contains(what), "{what}: {}", text(&doctor.stdout));
    }
    let graph = text(&proctor(&["graph"], "").stdout);
    let servo: Vec<_> = graph.lines().filter(|l| l.starts_with("/PSM1/servo_jp")).collect();
    assert!(servo.len() == 1 && servo[0].contains(" safety "), "{servo:?}");
}

#[test]
fn the_probe_says_what_it_will_move_and_moves_nothing_without_a_yes() {
    for answer in ["", "no\n", "YES\n"] {
        let out = proctor(&["conformance", "--arm", "/PSM1", "--move", "--home", "--provoke"], answer);
        let said = text(&out.stdout);
        assert!(!out.status.success(), "{said}");
        for part in ["0.03 rad", "0.05 rad", "HOMES", "NaN", "nothing was sent"] {
            assert!(said.contains(part), "{part}: {said}");
        }
    }
}

#[test]
fn the_probe_refuses_what_makes_no_sense() {
    for (arguments, part) in [
        (&["--arm", "/MTML"][..], "--as"),
        (&["--arm", "/PSM1", "--home"][..], "--move"),
        (&["--arm", "/PSM1", "--provoke"][..], "--move"),
        (&["--arm", "/si/PSM1", "--as", "PSM9"][..], "PSM9"),
        (&["--arm", "/PSM1", "--instrument", "SPOON", "--move"][..], "SPOON"),
        (&["--arm", "PSM1", "--profile", "nowhere.toml"][..], "nowhere.toml"),
    ] {
        let out = proctor(&[&["conformance"], arguments].concat(), "");
        let said = text(&out.stderr);
        assert!(!out.status.success() && said.contains(part), "{arguments:?}: {said}");
    }
}

/// `proctor run gazebo --gazebo-server` with a Gazebo in `folder` that is `server`, a line of shell.
fn with_gazebo(folder: &Path, server: &str) -> Child {
    let gz = folder.join("gz");
    std::fs::write(&gz, format!("#!/bin/sh\n[ \"$2\" != --versions ] || exec echo 8.0.0\n{server}\n")).unwrap();
    std::fs::set_permissions(&gz, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Command::new(env!("CARGO_BIN_EXE_proctor"))
        .args(["run", "gazebo", "--gazebo-server"])
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .envs([("PATH", path.as_str()), ("XDG_CONFIG_HOME", folder.to_str().unwrap())])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_node_that_still_waits_for_gazebo_ends_when_it_is_asked_to_and_its_server_with_it() {
    for signal in ["-INT", "-TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let node =
            with_gazebo(folder.path(), &format!("echo $$ > {0}.new; mv {0}.new {0}; exec sleep 600", file.display()));
        let (start, limit) = (Instant::now(), Duration::from_mins(1));
        while !file.exists() {
            assert!(start.elapsed() < limit, "no server was started");
            std::thread::sleep(Duration::from_millis(10));
        }
        let server = Path::new("/proc").join(std::fs::read_to_string(&file).unwrap().trim());
        assert!(server.exists());
        assert!(Command::new("kill").args([signal, &node.id().to_string()]).status().unwrap().success());
        let out = node.wait_with_output().unwrap();
        assert!(out.status.success(), "{signal}: {}\n{}", out.status, text(&out.stderr));
        assert!(!server.exists(), "{signal}: the server was left");
        assert!(start.elapsed() < limit, "{signal}: it waited for Gazebo");
    }
}

#[test]
fn a_gazebo_that_ends_is_said_with_its_last_words() {
    let folder = tempfile::tempdir().unwrap();
    let out = with_gazebo(folder.path(), "echo no display; exit 3").wait_with_output().unwrap();
    let said = text(&out.stderr);
    assert!(!out.status.success() && said.contains("server ended") && said.contains("no display"), "{said}");
}

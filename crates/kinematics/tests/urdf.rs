//! The URDFs themselves: accepted by an independent parser, in step with their xacro, physically possible.

use nalgebra::Matrix3;
use std::{
    path::{Path, PathBuf},
    process::Command,
};

fn urdf_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../urdf")
}

fn generated() -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(urdf_folder().join("generated")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    assert_eq!(files.len(), 7, "cell, fixed and tracked, ECM and four PSMs");
    files.push(urdf_folder().join("arms/lean7.urdf"));
    files
}

#[test]
fn check_urdf_accepts_every_file() {
    for file in generated() {
        match Command::new("check_urdf").arg(&file).output() {
            Ok(output) => assert!(output.status.success(), "{}: {output:?}", file.display()),
            Err(e) => {
                println!("skipped: check_urdf (Debian: liburdfdom-tools) cannot be run: {e}");
                return;
            }
        }
    }
}

#[test]
fn moving_links_have_possible_masses_and_inertias() {
    for file in generated() {
        let robot = urdf_rs::read_file(&file).unwrap();
        let mut checked = 0;
        for joint in robot
            .joints
            .iter()
            .filter(|j| !matches!(j.joint_type, urdf_rs::JointType::Fixed | urdf_rs::JointType::Floating))
        {
            let link = robot.links.iter().find(|l| l.name == joint.child.link).unwrap();
            let (m, i) = (link.inertial.mass.value, &link.inertial.inertia);
            let tensor = Matrix3::new(i.ixx, i.ixy, i.ixz, i.ixy, i.iyy, i.iyz, i.ixz, i.iyz, i.izz);
            let e = tensor.symmetric_eigenvalues();
            let (sum, largest) = (e.sum(), e.max());
            assert!(m > 0.0 && e.min() > 0.0, "{}: mass {m}, principal moments {e}", link.name);
            // Principal moments of any mass distribution obey the triangle inequality: two of them exceed the third.
            assert!(sum - largest > largest * (1.0 - 1e-12), "{}: principal moments {e}", link.name);
            checked += 1;
        }
        assert!(checked >= 4, "{}", file.display());
    }
}

#[test]
fn frames_of_the_cell_are_named_as_ros_expects() {
    let cell = urdf_rs::read_file(urdf_folder().join("generated/cell.urdf")).unwrap();
    for name in
        ["world", "PSM1_base", "PSM1_tip", "PSM2_tip", "ECM_tip", "endoscope_left_optical", "endoscope_right_optical"]
    {
        assert!(cell.links.iter().any(|l| l.name == name), "{name}");
    }
    let moving = cell.joints.iter().filter(|j| j.joint_type != urdf_rs::JointType::Fixed && j.mimic.is_none());
    assert_eq!(moving.count(), 7 + 7 + 4);
}

/// Runs a Python check, with the interpreter of `make setup` if there is one. The scripts say themselves when they skip.
fn python(script: &str, arguments: &[&str]) {
    let venv = urdf_folder().join("../.venv/bin/python");
    let interpreter = if venv.exists() { venv } else { PathBuf::from("python3") };
    match Command::new(interpreter).arg(urdf_folder().join(script)).args(arguments).output() {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
            println!("{}", said.trim());
        }
        Err(e) => println!("skipped: no Python: {e}"),
    }
}

#[test]
fn generated_urdfs_are_what_xacro_makes() {
    python("check_generated.py", &[]);
}

#[test]
fn golden_tables_are_what_the_published_constants_make() {
    python("golden/golden.py", &["--check"]);
}

//! Arms of their own form: against poses computed independently (urdf/golden/golden.py), the crate `k`, differences, and bad files.

use nalgebra::{Isometry3, Matrix3, Point3, SVector, Vector3};
use proctor_kinematics::{ArmFile, Chain, KinematicsError};
use proctor_types::Pose;
use std::path::{Path, PathBuf};

const FILE: &str = include_str!("../../../urdf/arms/LEAN7_PROBE.toml");
const URDF: &str = include_str!("../../../urdf/arms/lean7.urdf");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../urdf")
}

fn lean7() -> Chain {
    Chain::held("LEAN7_PROBE").unwrap()
}

/// Joints over the whole range: a Weyl sequence, the same on every run.
fn somewhere(chain: &Chain, i: u32) -> Vec<f64> {
    let x = |j: usize| ((f64::from(i) + 1.0) * 0.754_877_666_246_693 * (j as f64 + 1.7)).fract();
    let limits = chain.limits();
    (0..chain.dof()).map(|j| limits.lower[j] + x(j) * (limits.upper[j] - limits.lower[j])).collect()
}

#[test]
fn forward_kinematics_is_the_product_of_exponentials() {
    let chain = lean7();
    let mut rows = 0;
    for record in csv::Reader::from_path(folder().join("golden/arm_LEAN7_PROBE.csv")).unwrap().records() {
        let v: Vec<f64> = record.unwrap().iter().map(|f| f.parse().unwrap()).collect();
        let tip = chain.fk(&v[..7]).unwrap();
        assert!((tip.translation() - Vector3::from_column_slice(&v[7..10])).norm() < 1e-12, "{v:?}");
        let rotation = tip.rotation().to_rotation_matrix();
        assert!((rotation.matrix() - Matrix3::from_row_slice(&v[10..19])).norm() < 1e-12, "{v:?}");
        rows += 1;
    }
    assert_eq!(rows, 200);
}

/// A chain whose joints turn and slide about slanted axes behind fixed turns: what `k` makes of the same text is the judge.
#[test]
fn any_axes_are_walked_as_another_library_walks_them() {
    let mut urdf = "<robot name=\"odd\"><link name=\"l0\"/>".to_owned();
    let kinds = ["revolute", "prismatic", "revolute", "fixed", "revolute", "prismatic", "revolute"];
    for (i, kind) in kinds.iter().enumerate() {
        let w = |k: f64| 2.0 * ((i as f64 + 1.0) * 0.618_034 * k).fract() - 1.0;
        let axis = [[0.0, 0.0, -1.0], [0.6, 0.0, 0.8], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 2.0, 0.0]][i % 5];
        urdf += &format!(
            "<joint name=\"j{i}\" type=\"{kind}\"><parent link=\"l{i}\"/><child link=\"l{next}\"/>\
             <origin xyz=\"{} {} {}\" rpy=\"{} {} {}\"/><axis xyz=\"{} {} {}\"/>\
             <limit lower=\"-2\" upper=\"2\" effort=\"1\" velocity=\"1\"/></joint><link name=\"l{next}\">\
             <collision><geometry><cylinder radius=\"0.004\" length=\"0.4\"/></geometry></collision></link>",
            0.2 * w(1.1),
            0.2 * w(2.3),
            0.2 * w(3.7),
            w(4.1),
            w(5.3),
            w(6.9),
            axis[0],
            axis[1],
            axis[2],
            next = i + 1
        );
    }
    urdf += "</robot>";
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("odd.urdf");
    std::fs::write(&path, &urdf).unwrap();
    let theirs = k::Chain::<f64>::from_urdf_file(&path).unwrap();
    let theirs = k::SerialChain::from_end(theirs.find_link("l7").unwrap());
    // Where the trocar must stand so that the shaft passes it: 0.1 m short of the tip at the home joints.
    let home = [0.1, 0.05, -0.2, 0.3, 0.1, 0.4];
    theirs.set_joint_positions(&home).unwrap();
    let end = theirs.end_transform();
    let trocar = end.translation.vector - end.rotation * k::nalgebra::Vector3::z() * 0.1;
    let file = format!(
        "urdf = \"-\"\nfoot = \"l0\"\ntip = \"l7\"\nshaft = \"l7\"\nacceleration = [1, 1, 1, 1, 1, 1]\njerk = [9, 9, 9, 9, 9, 9]\n\
         home = [0.1, 0.05, -0.2, 0.3, 0.1, 0.4]\n[remote_centre]\nfoot_xyz = [{}, {}, {}]\nfoot_rpy = [0, 0, 0]\ntolerance = 0.0005",
        -trocar.x, -trocar.y, -trocar.z
    );
    let chain = Chain::of_arm(&ArmFile::parse("odd", &file, &urdf).unwrap()).unwrap();
    assert_eq!(chain.limits().slides, [false, true, false, false, true, false, false]);
    for i in 0..300 {
        let q = somewhere(&chain, i);
        theirs.set_joint_positions(&q).unwrap();
        let (tip, jacobian) = chain.fk_jacobian(&q).unwrap();
        let other = theirs.end_transform();
        for (a, (b, c)) in other.translation.vector.iter().zip(tip.translation().iter().zip(trocar.iter())) {
            assert!((a - c - b).abs() < 1e-12, "{i}: {a} {b}");
        }
        for (a, b) in
            other.rotation.to_rotation_matrix().matrix().iter().zip(tip.rotation().to_rotation_matrix().matrix().iter())
        {
            assert!((a - b).abs() < 1e-12, "{i}: {a} {b}");
        }
        for (a, b) in k::jacobian(&theirs).iter().zip(jacobian.iter()) {
            assert!((a - b).abs() < 1e-9, "{i}: {a} {b}");
        }
    }
}

#[test]
fn the_jacobian_is_the_derivative_of_fk_and_levers_bound_it() {
    let chain = lean7();
    for i in 0..300 {
        let q = somewhere(&chain, i);
        let (tip, jacobian) = chain.fk_jacobian(&q).unwrap();
        let levers = chain.levers(&q).unwrap();
        for j in 0..7 {
            let moved = |by: f64| {
                let mut q = q.clone();
                q[j] += by;
                *chain.fk(&q).unwrap().iso()
            };
            let (a, b): (Isometry3<f64>, Isometry3<f64>) = (moved(-1e-5), moved(1e-5));
            let v = (b.translation.vector - a.translation.vector) / 2e-5;
            let w = (b.rotation * a.rotation.inverse()).scaled_axis() / 2e-5;
            let column: SVector<f64, 6> = jacobian.column(j).into();
            assert!((column.fixed_rows::<3>(0) - v).norm() < 1e-8 && (column.fixed_rows::<3>(3) - w).norm() < 1e-8);
            assert!(v.norm() <= levers[j] + 1e-8, "{i} {j}");
        }
        assert_eq!(tip, chain.fk(&q).unwrap());
    }
}

#[test]
fn the_shaft_s_offset_is_the_distance_of_its_line_from_the_trocar() {
    let chain = lean7();
    assert!(chain.shaft_offset(&chain.home().unwrap()).unwrap().norm() < 1e-6);
    for i in 0..300 {
        let q = somewhere(&chain, i);
        let links = chain.links(&q).unwrap();
        let (end, z) = (links.shaft.translation.vector, links.shaft.rotation * Vector3::z());
        let off = chain.shaft_offset(&q).unwrap();
        // Distance of the origin from a line, by the cross product.
        assert!((off.norm() - end.cross(&z).norm()).abs() < 1e-12 && off.dot(&z).abs() < 1e-12);
        let capsules = chain.capsules(&q).unwrap();
        assert_eq!(capsules.len(), 1);
        assert!(capsules[0].a == Point3::origin() && (capsules[0].b.coords - end).norm() == 0.0);
        assert!((capsules[0].radius - 0.0047).abs() < 1e-12, "the shaft's radius and the tolerance");
    }
    // A mechanical remote centre is kept by the mechanism.
    let psm = Chain::held("PROGRASP_FORCEPS_400093").unwrap();
    let off = psm.shaft_offset(&[0.3, -0.2, 0.15, 0.7, -0.4, 0.5]).unwrap();
    assert!(off.norm() < 1e-15 && psm.software_remote_centre().is_none() && psm.rows().is_empty());
}

#[test]
fn aiming_and_inverse_kinematics_reach_what_is_in_front_of_the_trocar() {
    let chain = lean7();
    let home = chain.home().unwrap();
    for i in 0..200_u32 {
        let w = |k: f64| 2.0 * ((f64::from(i) + 1.0) * 0.618_034 * k).fract() - 1.0;
        let point = Point3::new(0.05 * w(1.0), 0.05 * w(2.3), -0.14 + 0.05 * w(3.1));
        let q = chain.aim(&point).unwrap_or_else(|| panic!("{point}"));
        assert!(chain.limits().contains(&q));
        assert!((chain.fk(&q).unwrap().translation() - point.coords).norm() < 1e-6, "{point}");
        assert!(chain.shaft_offset(&q).unwrap().norm() < 1e-6, "{point}");
        let target = chain.fk(&q).unwrap();
        assert!(chain.ik(&target, &home).solution().is_some());
    }
    let far = Pose::from_parts(Vector3::new(0.0, 0.0, 3.0), Vector3::zeros());
    assert!(chain.ik(&far, &home).solution().is_none());
    assert!(chain.aim(&Point3::new(0.0, 0.0, -2.0)).is_none() && chain.aim(&Point3::origin()).is_none());
    assert!(chain.fk(&[0.0; 6]).is_err() && chain.links(&[f64::NAN; 7]).is_err() && chain.levers(&[0.0; 8]).is_err());
}

#[test]
fn the_file_is_read_from_disk_as_it_is_embedded() {
    let read = Chain::of_arm(&ArmFile::read(&folder().join("arms/LEAN7_PROBE.toml")).unwrap()).unwrap();
    assert_eq!(read.rows(), lean7().rows());
    assert_eq!(read.limits(), lean7().limits());
    let e = ArmFile::read(&folder().join("arms/NONE.toml")).unwrap_err().to_string();
    assert!(e.contains("NONE.toml"), "{e}");
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let rows = [
        ("tolerance = 0.0005", "tolerance = 0.0006", "remote_centre.tolerance"),
        ("tolerance = 0.0005", "tolerance = nan", "remote_centre.tolerance"),
        ("tolerance = 0.0005", "", "tolerance"),
        ("[remote_centre]", "laser = 1\n[remote_centre]", "laser"),
        ("foot_xyz = [-0.34", "foot_xyz = [-0.339", "home passes the remote centre at 0.0"),
        ("foot_xyz = [-0.34", "foot_xyz = [-44.0", "foot_xyz"),
        ("5.0, 5.0, 6.0, 6.0, 10.0, 10.0, 12.0", "5.0, 5.0, 6.0, 6.0, 10.0, 10.0", "acceleration"),
        ("1250.0, 1250.0", "1250.0, 0.0", "jerk"),
        ("home = [0.0, 0.19", "home = [0.0, 2.49", "outside the joints' limits"),
        ("\"lean7_tip\"", "\"lean7_top\"", "lean7_top"),
        ("\"lean7_probe\"", "\"lean7_tip\"", "cylinder"),
    ];
    for (is, becomes, said) in rows {
        assert_eq!(FILE.matches(is).count(), 1, "{is}");
        let made = ArmFile::parse("F", &FILE.replace(is, becomes), URDF).and_then(|f| Chain::of_arm(&f));
        let e = made.unwrap_err().to_string();
        assert!(e.contains(said), "{becomes}: {e}");
    }
    let slanted = URDF.replacen("<axis xyz=\"0 1 0\"/>", "<axis xyz=\"0 0 0\"/>", 1);
    let made = ArmFile::parse("F", FILE, &slanted).and_then(|f| Chain::of_arm(&f));
    assert!(matches!(made, Err(KinematicsError::Model { .. })), "{made:?}");
    let e = Chain::held("SPOON").unwrap_err().to_string();
    assert!(e.contains("LEAN7_PROBE") && e.contains("PROGRASP_FORCEPS_400093"), "{e}");
}

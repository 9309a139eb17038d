//! Forward kinematics and links against poses computed independently from the published DH tables (urdf/golden/golden.py).

use nalgebra::{Matrix3, Vector3};
use proctor_kinematics::{Chain, Instrument};
use std::path::Path;

struct Golden {
    q: Vec<f64>,
    position: Vector3<f64>,
    rotation: Matrix3<f64>,
}

fn golden(name: &str, dof: usize) -> Vec<Golden> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../urdf/golden/{name}.csv"));
    let mut rows = Vec::new();
    for record in csv::Reader::from_path(path).unwrap().records() {
        let v: Vec<f64> = record.unwrap().iter().map(|f| f.parse().unwrap()).collect();
        rows.push(Golden {
            q: v[..dof].to_vec(),
            position: Vector3::from_column_slice(&v[dof..dof + 3]),
            rotation: Matrix3::from_row_slice(&v[dof + 3..dof + 12]),
        });
    }
    assert_eq!(rows.len(), 200);
    rows
}

fn chains() -> Vec<(String, Chain)> {
    let psm = |name: &&str| (format!("psm_{name}"), Chain::psm(&Instrument::named(name).unwrap()).unwrap());
    let mut all: Vec<_> = Instrument::names().iter().map(psm).collect();
    all.push(("ecm".to_owned(), Chain::ecm().unwrap()));
    all
}

#[test]
fn forward_kinematics_reproduces_the_published_tables() {
    for (name, chain) in chains() {
        for g in golden(&name, chain.dof()) {
            let tip = chain.fk(&g.q).unwrap();
            assert!((tip.translation() - g.position).norm() < 1e-12, "{name} {:?}", g.q);
            let rotation = tip.rotation().to_rotation_matrix();
            assert!((rotation.matrix() - g.rotation).norm() < 1e-12, "{name} {:?}", g.q);
        }
    }
}

#[test]
fn an_si_instrument_reaches_50_8_mm_deeper() {
    let psm = |name| Chain::psm(&Instrument::named(name).unwrap()).unwrap();
    let q = [0.2, -0.3, 0.1, 0.4, 0.0, 0.0];
    let classic = psm("LARGE_NEEDLE_DRIVER_400006").fk(&q).unwrap().translation();
    let si = psm("LARGE_NEEDLE_DRIVER_420006").fk(&q).unwrap().translation();
    assert!(((si - classic).norm() - 0.0508).abs() < 1e-12);
    assert!((si.norm() - classic.norm() - 0.0508).abs() < 1e-12, "along the line from the RCM");
}

#[test]
fn links_agree_with_the_tip_and_with_each_other() {
    for (name, chain) in chains() {
        let instrument = chain.instrument().cloned();
        for g in golden(&name, chain.dof()) {
            let links = chain.links(&g.q).unwrap();
            assert!((links.tip.translation.vector - g.position).norm() < 1e-12);
            assert_eq!(links.jaw, links.tip);
            let Some(instrument) = &instrument else { continue };
            // The shaft's axis passes through the RCM, which is the base's origin.
            let (shaft, axis) = (links.shaft.translation.vector, links.shaft.rotation * Vector3::z());
            assert!(shaft.cross(&axis).norm() < 1e-12, "{name} {:?}", g.q);
            assert!((shaft.dot(&axis) - (g.q[2] + instrument.roll_d - 0.4318)).abs() < 1e-12);
            // The wrist runs from the shaft's end to the jaw axis, along its own z, bent by q5.
            let wrist_z = links.wrist.rotation * Vector3::z();
            assert!((shaft + wrist_z * instrument.wrist_a - g.position).norm() < 1e-12);
            assert!((wrist_z.dot(&axis) - g.q[4].cos()).abs() < 1e-12);
            // Wrist and jaw share the jaw axis (x); the jaw is bent against the wrist by q6.
            let x = |r: nalgebra::UnitQuaternion<f64>| r * Vector3::x();
            assert!((x(links.wrist.rotation) - x(links.jaw.rotation)).norm() < 1e-12);
            assert!((wrist_z.dot(&(links.jaw.rotation * Vector3::z())) - g.q[5].cos()).abs() < 1e-12);
            let end = links.jaw * nalgebra::Point3::new(0.0, 0.0, instrument.jaw_length);
            assert!((links.jaw_end - end).norm() < 1e-12);
            // Capsules are strung along the same points.
            let capsules = chain.capsules(&g.q).unwrap();
            assert_eq!(capsules.len(), 3);
            assert!(
                capsules[0].a.coords.norm() == 0.0 && capsules[0].b == capsules[1].a && capsules[1].b == capsules[2].a
            );
            assert!((capsules[2].b - links.jaw_end).norm() < 1e-12);
        }
    }
}

/// Real data, if `PROCTOR_DVRK_FK_CSV` names a table with columns measured_q1..q6, measured_x..z, measured_rx..rz.
#[test]
fn a_real_psm_agrees_within_two_micrometres() {
    let Ok(path) = std::env::var("PROCTOR_DVRK_FK_CSV") else {
        println!("skipped: PROCTOR_DVRK_FK_CSV is not set");
        return;
    };
    let chain = Chain::psm(&Instrument::named(Instrument::DEFAULT).unwrap()).unwrap();
    let mut reader = csv::Reader::from_path(path).unwrap();
    let header = reader.headers().unwrap().clone();
    let (mut errors, mut angles) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record.unwrap();
        let get = |name: &str| {
            let at = header.iter().position(|h| h == format!("measured_{name}")).unwrap();
            record[at].parse::<f64>().unwrap()
        };
        let tip = chain.fk(&["q1", "q2", "q3", "q4", "q5", "q6"].map(get)).unwrap();
        errors.push((tip.translation() - Vector3::from(["x", "y", "z"].map(get))).norm());
        let rotation = nalgebra::UnitQuaternion::from_scaled_axis(Vector3::from(["rx", "ry", "rz"].map(get)));
        angles.push(tip.rotation().angle_to(&rotation));
    }
    let mean = |v: &[f64]| v.iter().sum::<f64>() / v.len() as f64;
    let far = errors.iter().filter(|e| **e > 5e-6).count() as f64 / errors.len() as f64;
    println!(
        "{} rows: mean {:.2e} m, {:.2} % beyond 5 um, mean {:.2e} rad",
        errors.len(),
        mean(&errors),
        100.0 * far,
        mean(&angles)
    );
    assert!(mean(&errors) <= 2e-6 && far <= 0.04 && mean(&angles) < 2e-5);
}

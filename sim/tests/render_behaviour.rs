//! Determinism, faults, noise, data sets.

mod common;

use common::Field;
use nalgebra::{Isometry3, Point3, UnitQuaternion, Vector3};
use proctor_kinematics::{Chain, Instrument};
use proctor_sim::{
    dataset::{DatasetConfig, Sampler},
    render::{Appearance, FIRST_FOREIGN, Foreign, ForeignKind, ImageFaults, Rendered, Want},
};
use proctor_types::{Class, Image, anatomy::UNKNOWN};

fn bits(r: &Rendered) -> Vec<u8> {
    let mut out: Vec<u8> = r.left.pixels().iter().chain(r.right.pixels()).flatten().copied().collect();
    if let Some(raw) = &r.raw {
        out.extend(raw.iter().flat_map(|i| i.pixels().iter().flatten()));
    }
    out.extend(r.labels.pixels());
    out.extend(r.instances.pixels());
    out.extend(r.depth.pixels().iter().flat_map(|d| d.to_bits().to_le_bytes()));
    out
}

fn mean(i: &Image<[u8; 3]>) -> f64 {
    i.pixels().iter().flatten().map(|v| f64::from(*v)).sum::<f64>() / (3 * i.pixels().len()) as f64
}

fn deviation(i: &Image<[u8; 3]>) -> f64 {
    let m = mean(i);
    let sum: f64 = i.pixels().iter().flatten().map(|v| (f64::from(*v) - m).powi(2)).sum();
    (sum / (3 * i.pixels().len()) as f64).sqrt()
}

#[test]
fn pictures_have_the_same_bits_on_repeat_and_for_any_number_of_threads() {
    let picture = |threads: usize| {
        let mut field = Field::new(4).threads(threads).with_instruments();
        field.look = Appearance { smoke: 0.1, lens_blood: 0.1, blood: 0.2, blur: 1.7, ..Appearance::nominal() };
        field.pull_fundus(Vector3::new(0.0, 0.0, 0.01));
        // An earlier, different frame must leave no trace.
        field.render(1, Want::LeftOnly);
        let first = bits(&field.render(7, Want::RectifiedAndRaw));
        assert_eq!(first, bits(&field.render(7, Want::RectifiedAndRaw)), "{threads} threads, repeat");
        first
    };
    let one = picture(1);
    for threads in [2, 3, 5] {
        assert!(one == picture(threads), "{threads} threads");
    }
}

#[test]
fn noise_differs_between_frames_and_is_as_strong_as_asked() {
    let mut field = Field::new(1);
    field.look = Appearance { noise: 4.0, blur: 0.0, ..Appearance::nominal() };
    let (a, b) = (field.render(1, Want::LeftOnly), field.render(2, Want::LeftOnly));
    field.look.noise = 0.0;
    let clean = field.render(1, Want::LeftOnly);
    assert_eq!(a.labels, b.labels);
    let (mut n, mut sum, mut between) = (0.0, 0.0, 0.0);
    for ((p, q), c) in a.left.pixels().iter().zip(b.left.pixels()).zip(clean.left.pixels()) {
        for k in 0..3 {
            if (118..138).contains(&c[k]) {
                n += 1.0;
                sum += (f64::from(p[k]) - f64::from(c[k])).powi(2);
                between += (f64::from(p[k]) - f64::from(q[k])).powi(2);
            }
        }
    }
    assert!(n > 2000.0);
    let (sigma, pair) = ((sum / n).sqrt(), (between / n).sqrt());
    assert!((sigma - 4.0).abs() < 0.6, "asked for 4 levels, got {sigma}");
    // Independent noise of both frames adds in quadrature.
    assert!((pair / sigma - 2f64.sqrt()).abs() < 0.15, "{pair} {sigma}");
}

#[test]
fn a_blackout_is_black_and_leaves_the_truth_alone() {
    let mut field = Field::new(1);
    let lit = field.render(1, Want::RectifiedAndRaw);
    field.faults = ImageFaults { blackout: true, ..ImageFaults::default() };
    let dark = field.render(1, Want::RectifiedAndRaw);
    assert!(dark.left.pixels().iter().chain(dark.right.pixels()).all(|p| *p == [0; 3]));
    assert!(dark.raw.unwrap().iter().all(|i| i.pixels().iter().all(|p| *p == [0; 3])));
    assert_eq!((dark.labels, dark.depth), (lit.labels, lit.depth));
    assert!(mean(&lit.left) > 20.0);
}

#[test]
fn smoke_takes_contrast_and_blood_takes_green() {
    let mut field = Field::new(1);
    let clear = field.render(1, Want::LeftOnly);
    field.faults = ImageFaults { smoke: 0.6, ..ImageFaults::default() };
    let smoky = field.render(1, Want::LeftOnly);
    // Inside the circle only, or the black border dominates.
    let inner = |i: &Image<[u8; 3]>| {
        let p: Vec<[u8; 3]> =
            (120..360).flat_map(|y| (200..440).map(move |x| (x, y))).map(|(x, y)| *i.get(x, y).unwrap()).collect();
        Image::new(240, 240, p).unwrap()
    };
    let (before, after) = (deviation(&inner(&clear.left)), deviation(&inner(&smoky.left)));
    assert!(after < 0.7 * before, "contrast {before} -> {after}");
    field.faults = ImageFaults { blood: 1.0, ..ImageFaults::default() };
    let bloody = field.render(1, Want::LeftOnly);
    let green = |i: &Image<[u8; 3]>| i.pixels().iter().map(|p| f64::from(p[1])).sum::<f64>();
    assert!(green(&bloody.left) < 0.5 * green(&clear.left));
    assert_eq!(bloody.labels, clear.labels);
}

#[test]
fn light_falls_off_with_distance() {
    let mut field = Field::new(1);
    let near = mean(&field.render(1, Want::LeftOnly).left);
    let cell = proctor_kinematics::Cell::standard().unwrap();
    field.world_from_camera = cell.world_from_camera(&[0.0, 0.0, 0.05, 0.0]).unwrap();
    let far = mean(&field.render(1, Want::LeftOnly).left);
    assert!(far < 0.85 * near, "{near} at 90 mm, {far} at 150 mm");
}

#[test]
fn samples_depend_on_their_seed_only_and_show_every_class() {
    let config = DatasetConfig::default();
    let mut sampler = Sampler::new(&config).unwrap();
    let mut area = [0usize; Class::COUNT];
    let mut last = None;
    for seed in 0..24 {
        let s = sampler.sample(seed, Want::LeftOnly).unwrap();
        s.labels.pixels().iter().filter(|l| **l != UNKNOWN).for_each(|l| area[usize::from(*l)] += 1);
        last = Some(s);
    }
    let (last, alone) = (last.unwrap(), Sampler::new(&config).unwrap().sample(23, Want::LeftOnly).unwrap());
    assert!(last.left == alone.left && last.labels == alone.labels, "a sample depends on its predecessors");
    assert_ne!(last.left, sampler.sample(22, Want::LeftOnly).unwrap().left);
    for class in Class::ALL {
        assert!(
            area[usize::from(class.id())] > 1000,
            "{}: {} pixels in 24 samples",
            class.name(),
            area[usize::from(class.id())]
        );
    }
}

#[test]
fn a_samples_joints_and_poses_agree_with_each_other_and_with_its_pictures() {
    let mut sampler = Sampler::new(&DatasetConfig::default()).unwrap();
    let (mut shown, mut near) = (0, 0);
    for seed in 40..60 {
        let s = sampler.sample(seed, Want::Rectified).unwrap();
        assert_eq!((s.right.width(), s.right.height()), (s.left.width(), s.left.height()));
        let camera_from_world = s.world_from_camera.inverse();
        for i in &s.instruments {
            let instrument = Instrument::named(i.name).unwrap();
            let chain = Chain::psm(&instrument).unwrap();
            let tip = i.world_from_base * chain.fk(&i.joints).unwrap();
            assert!((tip.translation() - i.world_from_tip.translation()).norm() < 1e-12, "seed {seed}");
            // At the jaws' axis that instrument is seen, unless something lies before its wrist.
            let along = i.world_from_base.iso() * chain.links(&i.joints).unwrap().jaw;
            let p = camera_from_world.transform(&(along * Point3::origin()));
            let Some(pixel) = s.rig.left.project(&p) else { continue };
            let (u, v) = (pixel.x.round(), pixel.y.round());
            if !(10.0..630.0).contains(&u) || !(10.0..470.0).contains(&v) {
                continue;
            }
            let depth = f64::from(*s.depth.get(u as usize, v as usize).unwrap());
            if depth == 0.0 || depth < p.z - instrument.wrist_radius - 0.001 {
                continue;
            }
            shown += 1;
            let around = (-12..=12i32).flat_map(|dy| (-12..=12i32).map(move |dx| (dx, dy)));
            near += usize::from(around.into_iter().any(|(dx, dy)| {
                let (x, y) = ((u as i32 + dx) as usize, (v as i32 + dy) as usize);
                s.instances.get(x, y) == Some(&(i.arm.index() as u8 + 1))
            }));
        }
    }
    assert!(shown >= 10, "{shown}");
    assert_eq!(near, shown, "an instrument is not where its joints say");
}

#[test]
fn foreign_objects_hide_what_is_behind_them_and_nothing_else_changes() {
    let mut field = Field::new(1).with_instruments();
    let bare = field.render(1, Want::LeftOnly);
    let on = field.tissue.fundus();
    let place = |aside: f64| {
        Isometry3::from_parts((on.point.coords + Vector3::new(aside, 0.0, 0.004)).into(), UnitQuaternion::identity())
    };
    let objects: Vec<Foreign> = ForeignKind::ALL
        .into_iter()
        .enumerate()
        .map(|(i, kind)| {
            let world_from_object = place(0.012 * (i as f64 - 2.0));
            Foreign { kind, world_from_object, colour: [0.7; 3], metal: false, seed: 5 }
        })
        .collect();
    let full = field.render_with(1, &objects, Want::LeftOnly);
    let mut shown = [0; ForeignKind::ALL.len()];
    for i in 0..full.labels.pixels().len() {
        let (label, instance) = (full.labels.pixels()[i], full.instances.pixels()[i]);
        if label == UNKNOWN {
            shown[usize::from(instance - FIRST_FOREIGN)] += 1;
            let (z, before) = (full.depth.pixels()[i], bare.depth.pixels()[i]);
            assert!(z > 0.0 && (before == 0.0 || z <= before), "an object behind tissue is shown");
        } else {
            assert_eq!((label, instance), (bare.labels.pixels()[i], bare.instances.pixels()[i]));
        }
    }
    for (kind, shown) in ForeignKind::ALL.iter().zip(shown) {
        assert!(shown > 40, "{kind:?}: {shown} pixels");
    }
}

#[test]
fn lens_dirt_takes_contrast_and_wetness_makes_highlights_and_neither_moves_a_label() {
    let mut field = Field::new(1);
    let plain = field.render(1, Want::LeftOnly);
    let mut look = |change: fn(&mut Appearance)| {
        field.look = Appearance::nominal();
        change(&mut field.look);
        let r = field.render(1, Want::LeftOnly);
        assert_eq!((&r.labels, &r.depth), (&plain.labels, &plain.depth));
        r.left
    };
    let highlights = |i: &Image<[u8; 3]>| i.pixels().iter().filter(|p| p.iter().min() > Some(&200)).count();
    let (dry, wet) = (look(|l| l.wetness = 0.2), look(|l| l.wetness = 1.8));
    assert!(highlights(&wet) > 2 * highlights(&dry) + 50, "{} {}", highlights(&dry), highlights(&wet));
    let dirty = look(|l| l.lens_dirt = 0.6);
    let changed = dirty.pixels().iter().zip(plain.left.pixels()).filter(|(a, b)| a[0].abs_diff(b[0]) > 12).count();
    let all = dirty.pixels().len();
    assert!((all / 50..all * 9 / 10).contains(&changed), "{changed} of {all} pixels");
    assert!(deviation(&dirty) < deviation(&plain.left));
}

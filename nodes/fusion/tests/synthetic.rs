//! Fusion against an independent little ray caster.
#![allow(clippy::unwrap_used)]

mod support;

use proctor_types::Alignment;
use support::{Setup, World, fusion, rms};

#[test]
fn five_millimetres_and_three_degrees_shrink_below_two_millimetres_within_ten_seconds() {
    for seed in 1..=2 {
        let mut world = World::new(Setup::new(seed));
        let mut fusion = fusion();
        let (mut first, mut last) = (Vec::new(), Vec::new());
        let mut end = Vec::new();
        world.run(&mut fusion, (0.0, 100), |t, scene, errors| {
            for e in errors {
                if t > 8.0 {
                    last.push(e.norm());
                }
            }
            if first.is_empty() {
                first.extend(errors.map(|e| e.norm()));
            }
            end = scene.instruments.iter().map(|i| i.alignment).collect();
        });
        println!("seed {seed}: first {:.2} mm, 8-10 s RMS {:.2} mm, {end:?}", rms(&first) * 1e3, rms(&last) * 1e3);
        assert!(rms(&last) < 0.002, "seed {seed}: {:.2} mm", rms(&last) * 1e3);
        assert_eq!(end, [Alignment::Aligned; 2], "seed {seed}");
    }
}

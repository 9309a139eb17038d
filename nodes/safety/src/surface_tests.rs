//! Searches against every point looked at one by one, bounds against the capsules' own distances, and what is spared the look.

use super::*;
use proctor_types::SurfacePoint;

/// Weyl sequence in [-1, 1].
fn w(i: usize, a: f64) -> f64 {
    2.0 * ((i as f64 + 1.0) * a).fract() - 1.0
}

fn cloud(n: usize) -> Vec<SurfacePoint> {
    (0..n)
        .map(|i| SurfacePoint {
            position: Point3::new(0.06 * w(i, 0.618), 0.05 * w(i, 0.414), 0.02 * w(i, 0.732)),
            class: Class::ALL[i % Class::COUNT],
            sigma: 0.001 * (1.0 + w(i, 0.236)),
        })
        .collect()
}

fn policy() -> Policy {
    let mut keep = [Some(0.002); Class::COUNT];
    keep[usize::from(Class::Gallbladder.id())] = None;
    keep[usize::from(Class::CysticArtery.id())] = Some(0.005);
    Policy { keep, sigmas: 2.0, arm_variance: 1e-6, max_uncertainty: 0.004, growth: 0.0005 }
}

#[test]
fn the_search_finds_what_brute_force_finds() {
    let (points, policy) = (cloud(2048), policy());
    let surface = Surface::new(&points);
    assert_eq!(surface.len(), points.iter().filter(|p| p.class.is_tissue()).count());
    for i in 0..200 {
        let at = |k: f64, lift: f64| Point3::new(0.07 * w(i, k), 0.06 * w(i, k * 1.7), 0.03 * w(i, k * 2.3) + lift);
        let capsules = ArrayVec::from([
            Capsule { a: at(0.1, 0.1), b: at(0.3, 0.0), radius: 0.004 },
            Capsule { a: at(0.3, 0.0), b: at(0.5, 0.0), radius: 0.003 },
            // A ball: an axis without length.
            Capsule { a: at(0.7, 0.02), b: at(0.7, 0.02), radius: 0.002 },
        ]);
        // From where the shape is, from beside it, and from nowhere.
        let way = Vector3::new(0.002, -0.001, 0.003) * w(i, 0.9);
        let beside: ArrayVec<_, 3> =
            capsules.iter().map(|c| Capsule { a: c.a + way, b: c.b + way, radius: c.radius }).collect();
        let within = if i % 2 == 0 { FAR } else { 0.003 };
        let (here, there) = [&capsules, &beside].map(|c| surface.vicinity(&probes(c), &policy)).into();
        let known = [(&here, 0.0), (&there, way.norm()), (&Vicinity::default(), 0.0)];
        let search = |known| surface.clearances(&probes(&capsules), known, &policy, within, |c| policy.kept(c));
        let [found, aside, blind] = known.map(search);
        assert_eq!((found, found), (aside, blind));
        for class in Class::ALL {
            let mut expected = within;
            for p in points.iter().filter(|p| p.class == class && class.is_tissue()) {
                let Some(keep) = policy.keep[usize::from(class.id())] else { continue };
                let doubt = (2.0 * (p.sigma.powi(2) + 1e-6).sqrt()).min(0.004) + 0.0005;
                let d = capsules.iter().map(|c| c.distance_to_point(&p.position)).fold(f64::INFINITY, f64::min);
                expected = f64::min(expected, d - keep - doubt);
            }
            assert!((found[usize::from(class.id())] - expected).abs() < 1e-12, "{class:?}");
        }
    }
}

#[test]
fn the_nearest_points_are_those_that_brute_force_finds() {
    let (points, policy) = (cloud(2048), policy());
    let surface = Surface::new(&points);
    for i in 0..50 {
        let at = |k: f64, lift: f64| Point3::new(0.07 * w(i, k), 0.06 * w(i, k * 1.7), 0.03 * w(i, k * 2.3) + lift);
        let capsules = ArrayVec::from_iter([
            Capsule { a: at(0.1, 0.1), b: at(0.3, 0.0), radius: 0.004 },
            Capsule { a: at(0.3, 0.0), b: at(0.5, 0.0), radius: 0.003 },
        ]);
        let mut expected: Vec<f64> = points
            .iter()
            .filter(|p| p.class.is_tissue())
            .filter_map(|p| {
                let d = capsules.iter().map(|c| c.distance_to_point(&p.position)).fold(f64::INFINITY, f64::min);
                Some(d - policy.kept(p.class)? - policy.doubt(p.sigma))
            })
            .filter(|&h| h < 0.004)
            .collect();
        expected.sort_by(f64::total_cmp);
        let mut found = ArrayVec::<Near, 9>::new();
        let probes = probes(&capsules);
        surface.near(&probes, &surface.vicinity(&probes, &policy), &policy, 0.004, &mut found);
        assert_eq!(found.len(), expected.len().min(9));
        for (near, h) in found.iter().zip(&expected) {
            let d = capsules[near.part].distance_to_point(&near.position);
            assert!((near.clearance - h).abs() < 1e-12 && d > near.clearance, "{near:?}");
        }
    }
}

#[test]
fn leaving_the_worst_point_for_the_next_is_no_retreat() {
    let at = |x: f64, sigma| SurfacePoint { position: Point3::new(x, 0.0, 0.0), class: Class::CysticArtery, sigma };
    // Both too near; the doubtful one to the left is the worse.
    let surface = Surface::new(&[at(-0.006, 0.0015), at(0.006, 0.0)]);
    let tool = |x: f64, z: f64| {
        let z = Point3::new(x, 0.0, z);
        ArrayVec::from_iter([Capsule { a: z, b: z + Vector3::new(0.0, 0.0, 0.1), radius: 0.002 }])
    };
    let artery = usize::from(Class::CysticArtery.id());
    let worst = |c: &ArrayVec<Capsule, MAX_CAPSULES>| {
        let known = (&Vicinity::default(), 0.0);
        surface.clearances(&probes(c), known, &policy(), FAR, |c| policy().kept(c))[artery]
    };
    let (here, right, up) = (tool(0.0, 0.0), tool(0.0001, 0.0), tool(0.0, 0.0001));
    assert!(worst(&here) < 0.0 && worst(&right) > worst(&here) && worst(&up) > worst(&here));
    let (here, right, up) = (probes(&here), probes(&right), probes(&up));
    let vicinity = surface.vicinity(&here, &policy());
    let recedes = |way: &[Probes]| surface.recedes(way, &vicinity, &policy(), 1e-4);
    assert!(!recedes(&[here.clone(), right]));
    assert!(recedes(&[here.clone(), up.clone()]));
    assert!(!recedes(&[here.clone(), up.clone(), here.clone()]));
}

#[test]
fn points_that_are_not_finite_or_no_tissue_are_left_out() {
    let mut points = cloud(40);
    points[2].position.x = f64::NAN;
    points[3].sigma = f64::INFINITY;
    let surface = Surface::new(&points);
    assert_eq!(surface.len(), points.iter().filter(|p| p.class.is_tissue()).count() - 2);
}

/// Where the dots of a cloud's leaves lie, leaf by leaf.
fn held<'a>(surface: &'a Surface, leaf: &Leaf) -> &'a [Dot] {
    &surface.dots[leaf.from..leaf.to]
}

#[test]
fn a_leafs_ball_and_box_hold_its_points_and_touch_them() {
    let surface = Surface::new(&cloud(700));
    let policy = policy();
    for (i, leaf) in surface.leaves.iter().enumerate() {
        let dots = held(&surface, leaf);
        let (center, reach) = surface.bounds[i / LANES].ball(i % LANES, &policy);
        let apart = |p: Point3<f64>| dots.iter().map(|d| (d.position - p).norm()).fold(0.0, f64::max);
        let radius = apart(center.into());
        let doubt = policy.doubt(dots.iter().map(|d| d.sigma).fold(0.0, f64::max));
        assert!((reach - radius - doubt).abs() < 1e-12, "leaf {i}: {reach}, points as far as {radius}, doubt {doubt}");
        let widest = dots.iter().map(|d| apart(d.position)).fold(0.0, f64::max);
        assert!(radius <= widest, "leaf {i}: a ball of {radius} around points {widest} apart");
        for k in 0..3 {
            let sorted = |f: fn(f64, f64) -> f64| dots.iter().map(|d| d.position[k]).reduce(f).unwrap();
            assert_eq!((leaf.lower[k], leaf.upper[k]), (sorted(f64::min), sorted(f64::max)), "leaf {i}");
        }
    }
}

#[test]
fn the_leaves_that_a_test_of_boxes_lets_through_are_found_each_once_with_their_points() {
    for n in [1, 40, 700, 2048] {
        let surface = Surface::new(&cloud(n));
        for i in 0..20 {
            let (at, radius) = ([0.06 * w(i, 0.618), 0.05 * w(i, 0.414), 0.02 * w(i, 0.732)], 0.004 * i as f64);
            let near = |lower: [f64; 3], upper: [f64; 3]| {
                (0..3).map(|k| (at[k] - at[k].clamp(lower[k], upper[k])).powi(2)).sum::<f64>() <= radius * radius
            };
            let found: Vec<_> =
                surface.leaves_where(near).map(|(leaf, dots)| (leaf.from, leaf.to, dots.len())).collect();
            let all = surface.leaves.iter().filter(|l| near(l.lower, l.upper));
            assert_eq!(found, all.map(|l| (l.from, l.to, l.to - l.from)).collect::<Vec<_>>(), "{n} points, case {i}");
        }
        assert_eq!(surface.leaves_where(|_, _| true).map(|(_, dots)| dots.len()).sum::<usize>(), surface.len());
    }
}

#[test]
fn the_vicinity_is_how_far_every_leafs_ball_is() {
    let (surface, policy) = (Surface::new(&cloud(2048)), policy());
    for i in 0..20 {
        let at = |k: f64, lift: f64| Point3::new(0.07 * w(i, k), 0.06 * w(i, k * 1.7), 0.03 * w(i, k * 2.3) + lift);
        let capsules = ArrayVec::from_iter([
            Capsule { a: at(0.1, 0.1), b: at(0.3, 0.0), radius: 0.004 },
            Capsule { a: at(0.7, 0.02), b: at(0.7, 0.02), radius: 0.002 },
        ]);
        let vicinity = surface.vicinity(&probes(&capsules), &policy);
        let distance = |p: Point3<f64>| capsules.iter().map(|c| c.distance_to_point(&p)).fold(f64::INFINITY, f64::min);
        for (k, (leaf, bound)) in surface.leaves.iter().zip(vicinity.bounds).enumerate() {
            let (center, reach) = surface.bounds[k / LANES].ball(k % LANES, &policy);
            assert!((bound - (distance(center.into()) - reach)).abs() < 1e-12, "leaf {k}: {bound}");
            for dot in held(&surface, leaf) {
                assert!(
                    bound <= distance(dot.position) - policy.doubt(dot.sigma) + 1e-12,
                    "leaf {k}: {bound}, {dot:?}"
                );
            }
        }
    }
}

#[test]
fn there_is_room_for_every_leaf_of_the_largest_scene_and_not_for_twice_as_many() {
    // One point of each class but one, the rest of that: 2043 points fill 127 leaves and begin another.
    let tissue: Vec<Class> = Class::ALL.into_iter().filter(|c| c.is_tissue()).collect();
    let point = |i: usize| SurfacePoint {
        position: Point3::new(1e-4 * i as f64, 0.0, 0.0),
        class: tissue[i.min(tissue.len() - 1)],
        sigma: 0.0,
    };
    let surface = Surface::new(&(0..2048).map(point).collect::<Vec<_>>());
    assert_eq!(surface.leaves.len(), 133);
    assert!((133..266).contains(&MAX_LEAVES), "{MAX_LEAVES}");
    // The last point of the last leaf is still found.
    let end = Point3::new(1e-4 * 2047.0, 0.0, 0.01);
    let found = surface.clearances(&ball(end), (&Vicinity::default(), 0.0), &policy(), FAR, |_| Some(0.0));
    assert!((found[usize::from(tissue[5].id())] - (0.008 - 0.0025)).abs() < 1e-12, "{found:?}");
}

/// A ball of 2 mm.
fn ball(at: Point3<f64>) -> Probes {
    probes(&ArrayVec::from_iter([Capsule { a: at, b: at, radius: 0.002 }]))
}

/// A point of the artery at the origin, known exactly: with 2.5 mm of doubt about the arm and age, a ball at height z is `z - 0.0045` from it,
/// and 5 mm less from what is kept.
fn artery() -> Surface {
    Surface::new(&[SurfacePoint { position: Point3::origin(), class: Class::CysticArtery, sigma: 0.0 }])
}

fn above(z: f64) -> Probes {
    ball(Point3::new(0.0, 0.0, z))
}

#[test]
fn a_leaf_is_looked_at_that_may_be_near_after_the_way_from_where_it_was_measured() {
    let (surface, policy) = (artery(), policy());
    let slot = usize::from(Class::CysticArtery.id());
    for (z, keep) in [(0.02, 0.005), (0.012, 0.005), (0.005, 0.003), (0.02, 0.0)] {
        let truth = z - 0.0045 - keep;
        for moved in [0.0, 0.0005, 0.002] {
            // Measured from as far above as the shape has come down since.
            let vicinity = surface.vicinity(&above(z + moved), &policy);
            for within in [truth + 1e-9, truth - 1e-9, FAR] {
                let found = surface.clearances(&above(z), (&vicinity, moved), &policy, within, |_| Some(keep))[slot];
                assert!(
                    (found - truth.min(within)).abs() < 1e-12,
                    "{z}, kept {keep}, {moved} since: {found} within {within}"
                );
            }
        }
    }
}

#[test]
fn a_point_is_near_only_below_the_limit() {
    let (surface, policy) = (artery(), policy());
    let near = |within: f64| {
        let mut out = ArrayVec::<Near, 4>::new();
        surface.near(&above(0.012), &Vicinity::default(), &policy, within, &mut out);
        out.first().map(|n| n.clearance)
    };
    let clearance = near(FAR).unwrap();
    assert!((clearance - 0.0025).abs() < 1e-12);
    assert_eq!((near(clearance), near(clearance.next_up())), (None, Some(clearance)));
}

#[test]
fn of_more_points_than_there_is_room_for_the_nearest_are_kept_in_order() {
    let near = |clearance: f64| Near { position: Point3::origin(), class: Class::Liver, part: 0, clearance };
    for order in
        [[1.0, 2.0, 3.0, 4.0, 5.0], [5.0, 4.0, 3.0, 2.0, 1.0], [3.0, 5.0, 1.0, 4.0, 2.0], [2.0, 2.0, 3.0, 1.0, 9.0]]
    {
        let mut out = ArrayVec::<Near, 3>::new();
        order.into_iter().for_each(|clearance| insert(&mut out, near(clearance)));
        let mut sorted = order;
        sorted.sort_by(f64::total_cmp);
        assert_eq!(out.iter().map(|n| n.clearance).collect::<Vec<_>>(), sorted[..3], "{order:?}");
    }
}

#[test]
fn what_is_twice_as_far_as_the_way_is_long_is_not_asked_about_the_way() {
    let (surface, policy, enough) = (artery(), policy(), 0.001);
    // The way ends in the artery. 2 mm above what is kept is 11.5 mm above the point.
    for (z, spared) in [(0.0115 + 1e-9, true), (0.0115 - 1e-9, false), (0.05, true)] {
        let (far, near) = (surface.vicinity(&above(z), &policy), [above(0.0096), above(0.001)]);
        assert_eq!(surface.recedes(&near, &far, &policy, enough), spared, "by the leaf's bound, measured at {z}");
        let way = [above(z), above(0.001)];
        assert_eq!(surface.recedes(&way, &Vicinity::default(), &policy, enough), spared, "by its points, from {z}");
    }
}

#[test]
fn a_point_recedes_that_comes_no_nearer_but_by_rounding_or_stays_far_enough() {
    let (surface, policy) = (artery(), policy());
    let recedes = |heights: &[f64]| {
        let way: Vec<_> = heights.iter().map(|z| above(*z)).collect();
        surface.recedes(&way, &Vicinity::default(), &policy, 0.001)
    };
    // 1 mm above what is kept is 10.5 mm above the point.
    for (heights, fine) in [
        (&[0.008, 0.008][..], true),
        (&[0.008, 0.008 - 0.5e-9], true),
        (&[0.008, 0.008 - 2e-9], false),
        (&[0.008, 0.0081, 0.0082], true),
        (&[0.008, 0.0082, 0.0081], false),
        (&[0.0114, 0.0105 + 1e-9], true),
        (&[0.0114, 0.0105 - 1e-9], false),
        (&[0.008], true),
        (&[], true),
    ] {
        assert_eq!(recedes(heights), fine, "{heights:?}");
    }
    // Nothing is kept from the gallbladder.
    let gallbladder = SurfacePoint { position: Point3::origin(), class: Class::Gallbladder, sigma: 0.0 };
    let free = Surface::new(&[gallbladder]);
    assert!(free.recedes(&[above(0.008), above(0.001)], &Vicinity::default(), &policy, 0.001));
}

#[test]
fn the_least_of_some_numbers_is_the_least_wherever_it_stands() {
    fn each<const K: usize>() {
        for i in 0..K {
            let numbers: [f64; K] = std::array::from_fn(|k| 1.0 + ((k + K - i) % K) as f64);
            assert_eq!(least(&numbers), 1.0, "{numbers:?}");
        }
    }
    each::<1>();
    each::<2>();
    each::<3>();
    each::<7>();
    each::<8>();
    each::<16>();
    assert_eq!(least::<0>(&[]), f64::INFINITY);
}

/// A code's bits are z, y, x of the highest bit, then of the next, and so on.
#[test]
fn a_code_is_the_three_cells_bits_in_turn() {
    for i in 0..300 {
        // Some lie beyond the 1.024 m on either side that are told apart.
        let cells = [0.618, 0.414, 0.732].map(|k| (w(i, k) * if i % 3 == 0 { 1500.0 } else { 100.0 }).floor());
        let [x, y, z] = cells.map(|cell| format!("{:011b}", (cell + 1024.0).clamp(0.0, 2047.0) as u64));
        let turns: String = z.chars().zip(y.chars()).zip(x.chars()).flat_map(|((z, y), x)| [z, y, x]).collect();
        let middle = Point3::from(cells.map(|cell| (cell + 0.5) * 0.001));
        assert_eq!(morton(&middle), u64::from_str_radix(&turns, 2).unwrap(), "{middle}");
    }
}

#[test]
fn doubt_grows_with_both_standard_deviations_up_to_its_bound() {
    let policy = policy();
    // 2 sqrt(0.00075^2 + 0.001^2) = 2 * 0.00125, and 0.5 mm for age.
    for (sigma, doubt) in [(0.0, 0.0025), (0.00075, 0.003), (0.1, 0.0045)] {
        assert!((policy.doubt(sigma) - doubt).abs() < 1e-15, "{sigma}");
    }
    for (variance, doubt) in [(0.0, 0.0), (2.25e-6, 0.003), (9e-6, 0.004)] {
        let policy = Policy { arm_variance: variance, ..policy };
        assert!((policy.doubt_of_arm() - doubt).abs() < 1e-15, "{variance}");
    }
}

#[test]
fn a_surface_is_empty_when_no_point_of_it_is_tissue() {
    let jaws = SurfacePoint { position: Point3::origin(), class: Class::InstrumentJaws, sigma: 0.0 };
    for (surface, points) in [(Surface::new(&[]), 0), (Surface::new(&[jaws]), 0), (artery(), 1)] {
        assert_eq!((surface.len(), surface.is_empty()), (points, points == 0));
    }
}

#[test]
fn an_arm_without_an_estimate_has_version_0() {
    let placement = Placement { world_from_base: Isometry3::identity(), variance: 0.0, version: 7 };
    let scene = LiveScene {
        stamp: Stamp::FIRST,
        seq: 0,
        model: Digest::of(b""),
        zones: 0,
        placements: PerArm::from_fn(|arm| (arm == ArmId::Psm2).then_some(placement)),
        alignment: PerArm::from_fn(|_| Alignment::Unknown),
        quality: QualityVerdict::default(),
        surface: Surface::default(),
    };
    assert_eq!([ArmId::Psm1, ArmId::Psm2, ArmId::Ecm].map(|arm| scene.hand_eye_version(arm)), [0, 7, 0]);
}

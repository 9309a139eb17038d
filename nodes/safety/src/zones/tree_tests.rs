//! The tree against every triangle looked at one by one, its bounds against planes in `f64`, and which leaves a search looks at.

use super::*;

type P = Point3<f64>;

/// Seeded chance (splitmix64).
struct Dice(u64);

impl Dice {
    /// Even in [-1, 1).
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    fn point(&mut self, size: f64) -> P {
        P::new(self.roll(), self.roll(), self.roll()) * size
    }

    /// Triangles of about `side`, m, around places up to `far` away; some have no area.
    fn triangles(&mut self, n: usize, far: f64, side: f64) -> Vec<Triangle> {
        let one = |i: usize| {
            let at = self.point(far);
            let [p, q, r] = from_fn(|_| (at + self.point(side).coords).cast::<f32>().into());
            match i % 9 {
                7 => [p, q, q],
                8 => [p, p, p],
                _ => [p, q, r],
            }
        };
        (0..n).map(one).collect()
    }

    /// A segment's ends; every seventh has no length.
    fn ends(&mut self, i: usize, size: f64) -> (P, P) {
        let (a, b) = (self.point(size), self.point(size));
        (a, if i % 7 == 6 { a } else { b })
    }
}

fn wide(t: &Triangle) -> [P; 3] {
    t.map(|c| P::from(c.map(f64::from)))
}

/// Every triangle looked at.
fn brute(triangles: &[Triangle], a: P, b: P) -> f64 {
    let segment = Segment::new(a, b);
    triangles.iter().map(|t| segment.to_triangle(&wide(t)).0.sqrt()).fold(f64::INFINITY, f64::min)
}

/// How far points lie beyond a segment, along the direction from its place nearest to `middle` towards that; the direction's length.
fn beyond(a: P, b: P, middle: P, points: &[P]) -> (f64, f64) {
    let along = b - a;
    let place = if a == b { 0.0 } else { ((middle - a).dot(&along) / along.norm_squared()).clamp(0.0, 1.0) };
    let toward = middle - (a + along * place);
    let height = |p: &P| toward.normalize().dot(&p.coords);
    (points.iter().map(height).fold(f64::INFINITY, f64::min) - height(&a).max(height(&b)), toward.norm())
}

/// Where a segment first passes through a triangle (Moeller and Trumbore, 1997).
fn passes(triangles: &[Triangle], a: P, b: P) -> Option<f64> {
    let d = b - a;
    let place = |t: &Triangle| {
        let [p, q, r] = wide(t);
        let (e, f, s) = (q - p, r - p, a - p);
        let determinant = e.dot(&d.cross(&f));
        let (u, v, t) = (s.dot(&d.cross(&f)), d.dot(&s.cross(&e)), f.dot(&s.cross(&e)));
        let [u, v, t] = [u, v, t].map(|x| x / determinant);
        (u >= 0.0 && v >= 0.0 && u + v <= 1.0 && (0.0..=1.0).contains(&t)).then_some(t)
    };
    triangles.iter().filter_map(place).min_by(f64::total_cmp)
}

#[test]
fn a_box_holds_its_triangles_touches_them_on_every_side_and_is_as_thin_as_they_are_flat() {
    let mut dice = Dice(1);
    for i in 0..200 {
        let flat = i % 2 == 0;
        let mut triangles = dice.triangles(1 + i % 30, 0.1, 0.05);
        let (at, normal) = (dice.point(0.5), dice.point(1.0).coords.normalize());
        if flat {
            let onto = |c: [f32; 3]| {
                let c = P::from(c.map(f64::from));
                (at + (c.coords - normal * normal.dot(&c.coords))).cast::<f32>().into()
            };
            triangles = triangles.iter().map(|t| t.map(onto)).collect();
        }
        let around = Around::new(&triangles);
        let middle = P::from(around.middle.map(f64::from));
        for (axis, half) in around.axes.iter().zip(around.half.map(f64::from)) {
            let axis = Vector3::from(axis.map(f64::from));
            let off = triangles.iter().flat_map(wide).map(|c| axis.dot(&(c - middle)).abs()).fold(0.0, f64::max);
            assert!((axis.norm() - 1.0).abs() < 1e-6 && off <= half && half < off + 1e-7, "case {i}: {off} in {half}");
        }
        let area = |t: &Triangle| (wide(t)[1] - wide(t)[0]).cross(&(wide(t)[2] - wide(t)[0])).norm();
        if flat && triangles.iter().any(|t| area(t) > 1e-4) {
            assert!(around.half[0] < 1e-6, "case {i}: {:?}", around.half);
        }
    }
}

#[test]
fn a_boxs_bound_is_below_its_triangles_and_is_what_a_plane_proves() {
    let mut dice = Dice(2);
    for i in 0..300 {
        let groups: Vec<_> = (0..=i % 8).map(|k| dice.triangles(1 + (i + 3 * k) % 20, 0.3, 0.02)).collect();
        let around: Vec<_> = groups.iter().map(|g| Around::new(g)).collect();
        let (a, b) = dice.ends(i, 0.4);
        let probe = Probe::new(a, b, 0.5);
        let bounds = probe.boxes(&Boxes::new(&around)).to_array().map(f64::from);
        for ((group, x), bound) in groups.iter().zip(&around).zip(bounds) {
            assert!(bound - probe.slack <= brute(group, a, b), "case {i}: {bound}");
            let corners: Vec<P> = (0..8)
                .map(|corner| {
                    let sides = x.axes.iter().zip(x.half).enumerate();
                    let side = |(k, (axis, half)): (usize, (&[f32; 3], f32))| {
                        Vector3::from(*axis).cast() * f64::from(half) * if corner & (1 << k) > 0 { 1.0 } else { -1.0 }
                    };
                    P::from(x.middle.map(f64::from)) + sides.map(side).sum::<Vector3<f64>>()
                })
                .collect();
            let (proven, length) = beyond(a, b, P::from(x.middle.map(f64::from)), &corners);
            assert!(
                (bound - proven).abs() < probe.slack || length < 0.02,
                "case {i}: {bound}, a plane proves {proven}"
            );
        }
        assert!(bounds.iter().skip(groups.len()).all(|x| *x == bounds[0]), "case {i}");
    }
}

#[test]
fn a_triangles_bound_is_below_its_distance_and_is_what_a_plane_proves() {
    let mut dice = Dice(3);
    for i in 0..300 {
        let triangles = dice.triangles(1 + i % 8, 0.3, 0.1);
        let (a, b) = dice.ends(i, 0.4);
        let probe = Probe::new(a, b, 0.5);
        let bounds = probe.triangles(&Leaf::new(&triangles)).to_array().map(f64::from);
        for (t, bound) in triangles.iter().zip(bounds) {
            assert!(bound - probe.slack <= brute(&[*t], a, b), "case {i}: {bound}");
            let corners = wide(t);
            let (proven, length) =
                beyond(a, b, P::from(corners.iter().map(|c| c.coords).sum::<Vector3<f64>>() / 3.0), &corners);
            assert!(
                (bound - proven).abs() < probe.slack || length < 0.02,
                "case {i}: {bound}, a plane proves {proven}"
            );
        }
        assert!(bounds.iter().skip(triangles.len()).all(|x| *x == bounds[0]), "case {i}");
    }
}

/// A middle in the segment gives no direction, and no bound above 0.
#[test]
fn nothing_is_proven_of_what_the_segment_meets() {
    let mut dice = Dice(4);
    for i in 0..50 {
        let at = dice.point(0.3).cast::<f32>();
        let around = [Around {
            middle: at.into(),
            half: [0.01; 3],
            axes: from_fn(|k| from_fn(|j| f32::from(u8::from(j == k)))),
        }];
        let (a, b) = (at.cast::<f64>(), at.cast::<f64>() + dice.point(0.1).coords * f64::from(i % 2));
        let probe = Probe::new(a, b, 0.5);
        let bounds = probe.boxes(&Boxes::new(&around)).to_array();
        assert!(bounds.iter().all(|x| f64::from(*x) <= probe.slack), "case {i}: {bounds:?}");
    }
}

#[test]
fn a_search_finds_what_brute_force_finds_and_remembers_where() {
    let mut dice = Dice(5);
    for n in [1, 7, 8, 9, 64, 65, 300, 513, 700] {
        let triangles = dice.triangles(n, 0.1, 0.02);
        let tree = Tree::new(&triangles);
        for i in 0..60 {
            let (a, b) = dice.ends(i, 0.3);
            let truth = brute(&triangles, a, b);
            let begin = i as u32 % (n as u32 / 8 + 2);
            for limit in [f64::INFINITY, 0.02, truth, truth.next_up()] {
                let hint = AtomicU32::new(begin);
                assert_eq!(
                    tree.nearest(a, b, &hint, limit),
                    truth.min(limit),
                    "{n} triangles, case {i}, limit {limit}"
                );
                let now = hint.into_inner();
                if truth < limit {
                    let held: Vec<_> = tree.leaves[now as usize].each().collect();
                    let near = held.iter().any(|t| Segment::new(a, b).to_triangle(t).0.sqrt() == truth);
                    assert!(near, "{n} triangles, case {i}: leaf {now} holds none so near");
                } else {
                    assert_eq!(now, begin, "{n} triangles, case {i}: nothing was found");
                }
            }
        }
    }
}

#[test]
fn triangles_nearer_to_each_other_than_rounding_are_told_apart() {
    let mut dice = Dice(6);
    for i in 0..100 {
        // Heights between two micrometres, at one metre: `f32` counts in steps of 0.06 um there, and its bounds err by more.
        let triangles: Vec<Triangle> = (0..8)
            .map(|_| {
                let z = (0.9 + 1e-6 * dice.roll()) as f32;
                [[-0.1, -0.1, z], [0.2, -0.1, z], [-0.1, 0.2, z]]
            })
            .collect();
        let a = P::new(0.01 * dice.roll(), 0.01 * dice.roll(), 0.3);
        let probe = Probe::new(a, a, 1.0);
        assert_eq!(Leaf::new(&triangles).nearest(&probe, f64::INFINITY), brute(&triangles, a, a), "case {i}");
    }
}

/// The leaf's own box and those of the nodes above it.
fn bounds(tree: &Tree, probe: &Probe, leaf: usize) -> Vec<f32> {
    let bound = |(level, nodes): (usize, &Vec<Boxes>)| {
        let place = leaf / LANES.pow(level as u32);
        probe.boxes(&nodes[place / LANES]).to_array()[place % LANES]
    };
    tree.levels.iter().enumerate().map(bound).collect()
}

#[test]
fn a_search_looks_at_the_leaves_that_no_box_around_them_proves_too_far_and_at_no_other() {
    let mut dice = Dice(7);
    for n in [5, 60, 700] {
        let tree = Tree::new(&dice.triangles(n, 0.1, 0.02));
        for i in 0..20 {
            let (a, b) = dice.ends(i, 0.3);
            let probe = Probe::new(a, b, tree.reach);
            let own: Vec<f32> = (0..tree.leaves.len()).map(|leaf| bounds(&tree, &probe, leaf)[0]).collect();
            let least: Vec<f64> = (0..tree.leaves.len())
                .map(|leaf| {
                    f64::from(bounds(&tree, &probe, leaf).into_iter().fold(f32::NEG_INFINITY, f32::max)) - probe.slack
                })
                .collect();
            for limit in least.iter().step_by(3).flat_map(|x| [*x, x.next_up()]).chain([-1.0, 1.0]) {
                let mut looked = Vec::new();
                tree.visit(&probe, limit, |leaf, best| {
                    looked.push(leaf);
                    best
                });
                for pair in looked.windows(2).filter(|pair| pair[0] / LANES == pair[1] / LANES) {
                    assert!(own[pair[0]] <= own[pair[1]], "the nearer ones first: {pair:?}");
                }
                looked.sort_unstable();
                let expected: Vec<usize> = (0..least.len()).filter(|leaf| least[*leaf] < limit).collect();
                assert_eq!(looked, expected, "{n} triangles, case {i}, limit {limit}");
            }
        }
    }
}

#[test]
fn what_is_found_spares_the_search_most_of_a_surface() {
    // A hump: 8192 triangles in 1024 leaves.
    let height = |x: f32, y: f32| 0.03 * (1.0 - 100.0 * (x * x + y * y));
    let corner = |i: u16, j: u16| {
        let (x, y) = (f32::from(i) / 640.0 - 0.05, f32::from(j) / 640.0 - 0.05);
        [x, y, height(x, y)]
    };
    let squares = (0..64).flat_map(|i| (0..64).map(move |j| (i, j)));
    let triangles: Vec<Triangle> = squares
        .flat_map(|(i, j)| {
            let [p, q, r, s] = [corner(i, j), corner(i + 1, j), corner(i, j + 1), corner(i + 1, j + 1)];
            [[p, q, r], [q, s, r]]
        })
        .collect();
    let tree = Tree::new(&triangles);
    let mut dice = Dice(8);
    for i in 0..50 {
        let a = P::new(0.05 * dice.roll(), 0.05 * dice.roll(), 0.04);
        let b = a + Vector3::new(0.02 * dice.roll(), 0.02 * dice.roll(), 0.2);
        let probe = Probe::new(a, b, tree.reach);
        let mut looks = 0;
        let found = tree.visit(&probe, 1.0, |leaf, best| {
            looks += 1;
            tree.leaves[leaf].nearest(&probe, best)
        });
        assert_eq!(found, brute(&triangles, a, b));
        assert!(looks < 32, "case {i}: {looks} of {}", tree.leaves.len());
    }
}

#[test]
fn there_is_room_for_a_nodes_children_on_every_level() {
    // Each level's first box is the nearest, and is gone into while the others wait.
    let boxes: Vec<_> =
        (0..8u8).map(|i| Around { middle: [0.1 * f32::from(i), 0.0, 0.5], ..Around::default() }).collect();
    let tree = Tree { leaves: vec![], levels: vec![vec![Boxes::new(&boxes)]; LEVELS], reach: 1.0 };
    let probe = Probe::new(P::origin(), P::origin(), 1.0);
    let mut looked = Vec::new();
    tree.visit(&probe, 2.0, |leaf, best| {
        looked.push(leaf);
        best
    });
    assert_eq!(looked, (0..8).collect::<Vec<_>>());
}

/// Cut across the longest side, at whole groups, down to leaves.
fn assert_arranged(triangles: &[Triangle], group: usize) {
    if triangles.len() <= group {
        if group > LANES {
            assert_arranged(triangles, group / LANES);
        }
        return;
    }
    let groups = triangles.len().div_ceil(group);
    let (left, right) = triangles.split_at(groups.div_ceil(2) * group);
    let middles = |part: &[Triangle], k: usize| part.iter().map(|t| t[0][k] + t[1][k] + t[2][k]).collect::<Vec<f32>>();
    let [low, high]: [fn(f32, f32) -> f32; 2] = [f32::min, f32::max];
    let most = |f: fn(f32, f32) -> f32, part: &[Triangle], k: usize| middles(part, k).into_iter().reduce(f).unwrap();
    let sides: [f32; 3] = from_fn(|k| most(high, triangles, k) - most(low, triangles, k));
    let longest = (0..3).find(|&k| sides.iter().all(|side| *side <= sides[k])).unwrap();
    assert!(most(high, left, longest) <= most(low, right, longest), "{} in groups of {group}", triangles.len());
    assert_arranged(left, group);
    assert_arranged(right, group);
}

#[test]
fn triangles_are_halved_across_their_longest_side_down_to_leaves() {
    let mut dice = Dice(9);
    for (n, group) in [(8, 8), (9, 8), (64, 8), (65, 64), (100, 64), (600, 64), (513, 512), (900, 512)] {
        for size in [[0.1, 0.02, 0.03], [0.02, 0.1, 0.03], [0.02, 0.03, 0.1], [0.1, 0.09, 0.1]] {
            let stretched = |t: &Triangle| t.map(|c| from_fn(|k| c[k] * size[k]));
            let before: Vec<Triangle> = dice.triangles(n, 1.0, 0.01).iter().map(stretched).collect();
            let mut after = before.clone();
            arrange(&mut after, group);
            assert_arranged(&after, group);
            let sorted = |mut all: Vec<Triangle>| {
                all.sort_by(|s, t| s.partial_cmp(t).unwrap());
                all
            };
            assert_eq!(sorted(after), sorted(before), "none is lost");
        }
    }
}

#[test]
fn of_sides_alike_the_first_is_cut_and_a_leafs_triangles_stay_in_order() {
    let at = |x: f32, y: f32, z: f32| [[x, y, z]; 3];
    let corners = |side: [f32; 3]| (0..16u8).map(move |i| from_fn(|k| if i & (1 << k) > 0 { side[k] } else { 0.0 }));
    for (side, first) in [([0.5, 0.5, 0.5], 0), ([0.25, 0.5, 0.5], 1), ([0.5, 0.25, 0.5], 0)] {
        let mut triangles: Vec<Triangle> = corners(side).map(|[x, y, z]| at(x, y, z)).collect();
        arrange(&mut triangles, LANES);
        assert!(triangles[..8].iter().all(|t| t[0][first] == 0.0), "{side:?}");
    }
    let leaf: Vec<Triangle> = [5.0, 3.0, 4.0, 1.0, 2.0].map(|x| at(x, 0.0, 0.0)).into();
    let mut same = leaf.clone();
    arrange(&mut same, LANES);
    assert_eq!(same, leaf);
}

#[test]
fn the_first_of_all_crossings_is_found() {
    let mut dice = Dice(10);
    let mut through = 0;
    for n in [1, 8, 100, 700] {
        let triangles = dice.triangles(n, 0.1, 0.05);
        let tree = Tree::new(&triangles);
        for i in 0..100 {
            let (a, b) = dice.ends(0, 0.2);
            let (found, expected) = (tree.crossing(a, b), passes(&triangles, a, b));
            through += usize::from(expected.is_some());
            let same = found.zip(expected).map_or(found == expected, |(x, y)| (x - y).abs() < 1e-9);
            assert!(same, "{n} triangles, case {i}: {found:?}, expected {expected:?}");
        }
    }
    assert!((100..300).contains(&through), "{through} of 400 pass through");
}

#[test]
fn what_ends_a_tenth_of_a_micrometre_above_a_triangle_does_not_cross_it() {
    let tree = Tree::new(&[[[-0.1, -0.1, 0.0], [0.2, -0.1, 0.0], [-0.1, 0.2, 0.0]]]);
    let from = |z: f64| tree.crossing(P::new(0.0, 0.0, 0.1), P::new(0.0, 0.0, z));
    assert_eq!([1e-7, 2e-9, 0.5e-9, 0.0].map(from), [None, None, Some(1.0), Some(1.0)]);
    assert_eq!(from(-0.1), Some(0.5));
}

fn watch(triangles: &[Triangle]) -> Watch {
    Watch::new(&Mesh::new("m", triangles.to_vec()).unwrap())
}

fn capsule(a: P, b: P, radius: f64) -> Capsule {
    Capsule { a, b, radius }
}

/// By every triangle: the nearest, or how deep what passes through one is.
fn expected(triangles: &[Triangle], parts: &[Capsule], limit: f64) -> f64 {
    let first = parts.iter().enumerate().find_map(|(i, c)| Some((i, passes(triangles, c.a, c.b)?)));
    let length = |c: &Capsule| (c.b - c.a).norm();
    match first {
        None => parts.iter().map(|c| brute(triangles, c.a, c.b) - c.radius).fold(limit, f64::min),
        Some((i, place)) => {
            let beyond = length(&parts[i]) * (1.0 - place) + parts[i + 1..].iter().map(length).sum::<f64>();
            -beyond - parts.iter().map(|c| c.radius).fold(0.0, f64::max)
        }
    }
}

#[test]
fn an_arm_is_as_far_from_a_mesh_as_its_nearest_part_or_as_deep_as_it_is_long_beyond_it() {
    let mut dice = Dice(11);
    let (mut through, mut near) = (0, 0);
    for n in [1, 9, 200] {
        let triangles = dice.triangles(n, 0.1, 0.04);
        let watch = watch(&triangles);
        for i in 0..150 {
            let [p, q, r, s] = from_fn(|_| dice.point(if i % 2 == 0 { 0.15 } else { 0.4 }));
            let arm = ArmId::ALL[i % 3];
            let parts = [capsule(p, q, 0.004), capsule(q, r, 0.005), capsule(r, r + (s - r) * 0.1, 0.003)];
            for limit in [f64::INFINITY, 0.03, 0.0] {
                let whole = (watch.distance(arm, &parts, limit), expected(&triangles, &parts, limit));
                through += usize::from(whole.1 <= -0.005);
                near += usize::from(whole.1 > -0.005 && whole.1 < limit);
                let each = parts.iter().enumerate().map(|(k, c)| {
                    let alone = expected(&triangles, std::slice::from_ref(c), limit);
                    (watch.distance_of(arm, k, c, limit), alone)
                });
                for (found, expected) in each.chain([whole]) {
                    let same = found == expected || (found - expected).abs() < 1e-9;
                    assert!(same, "{n} triangles, case {i}, limit {limit}: {found}, expected {expected}");
                }
            }
        }
    }
    assert!(through > 200 && near > 200, "{through} through, {near} near: both must have been tried");
}

#[test]
fn beyond_the_limit_it_is_the_limit_to_the_last_bit() {
    let watch = watch(&[[[0.0; 3], [0.1, 0.0, 0.0], [0.0, 0.1, 0.0]]]);
    let mut dice = Dice(12);
    let mut rounds = 0;
    for _ in 0..300 {
        let (limit, radius) = (0.05 * (1.0 + dice.roll()), 0.003 * (1.1 + dice.roll()));
        rounds += usize::from((limit + radius) - radius < limit);
        let at = P::new(0.0, 0.0, 0.5);
        let c = capsule(at, at + dice.point(0.1).coords, radius);
        assert_eq!(watch.distance(ArmId::Psm1, &[c], limit), limit);
        assert_eq!(watch.distance_of(ArmId::Psm1, 0, &c, limit), limit);
    }
    assert!(rounds > 10, "{rounds} of 300 would have been rounded below");
}

#[test]
fn a_touch_is_seen_whatever_the_limit_and_counts_by_the_thickest_part() {
    let watch = watch(&[[[-0.1, -0.1, 0.0], [0.2, -0.1, 0.0], [-0.1, 0.2, 0.0]]]);
    let upright = |z: f64, radius| capsule(P::new(0.0, 0.0, z + 0.05), P::new(0.0, 0.0, z), radius);
    for limit in [f64::INFINITY, 0.01, 0.0, -0.004, -1.0] {
        // To the surface, 20 mm through it, and the part beyond.
        for (z, next, depth) in [(0.5e-9, 0.0, 0.005), (-0.02, 0.0, 0.025), (-0.02, 0.01, 0.035)] {
            let tip = capsule(P::new(0.0, 0.0, z), P::new(next, 0.0, z), 0.005);
            let parts = [upright(z, 0.004), tip];
            let d = watch.distance(ArmId::Ecm, &parts, limit);
            assert!((d + depth).abs() < 1e-8, "limit {limit}, {z}: {d}");
            let alone = watch.distance_of(ArmId::Ecm, 0, &parts[0], limit);
            assert!((alone - (z.min(0.0) - 0.004)).abs() < 1e-8, "limit {limit}, {z}: {alone}");
        }
        // Three nanometres away it is only near.
        let c = upright(3e-9, 0.004);
        for d in [watch.distance(ArmId::Ecm, &[c], limit), watch.distance_of(ArmId::Ecm, 0, &c, limit)] {
            assert!((d - limit.min(3e-9 - 0.004)).abs() < 1e-12, "limit {limit}: {d}");
        }
    }
    // An arm has three parts; of a fourth nothing is known.
    assert_eq!(watch.distance_of(ArmId::Ecm, 3, &upright(0.5, 0.004), 0.1), -0.004);
}

#[test]
fn an_axis_may_be_a_radius_farther_than_its_capsule_and_a_touch_is_never_too_far() {
    let c = capsule(P::origin(), P::origin(), 0.25);
    for (limit, reach) in [(0.5, 0.75), (-0.125, 0.125), (-0.25, 2e-9), (-1.0, 2e-9)] {
        assert_eq!(within(limit, &c), reach, "limit {limit}");
    }
}

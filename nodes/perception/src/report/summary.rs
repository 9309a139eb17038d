//! From measures of pictures to figures with intervals.

use super::{
    Bootstrap, Measures,
    bootstrap::Estimate,
    boundary::Outline,
    by_group,
    calibration::{self, Bins, Pixel},
    measure::Made,
};
use crate::eval::{Count, EvalMap, mean_iou};
use std::{
    collections::BTreeMap,
    io::{self, Write},
    path::Path,
};

/// What is summarised.
pub struct Input<'a> {
    pub map: &'a EvalMap,
    pub measures: &'a [Measures],
    /// Each picture's groups.
    pub groups: &'a [&'a BTreeMap<String, String>],
    /// Whether the temperature is fitted on a picture; on the others calibration is judged.
    pub fitted_on: &'a [bool],
    /// The temperature that the model runs at, and that the measures are of.
    pub temperature: f64,
    pub replicates: usize,
    pub seed: u64,
}

/// A class's figures.
pub struct ClassFigures {
    pub name: String,
    /// `None` where neither masks nor answers have the class.
    pub iou: Option<Estimate>,
    pub dice: Option<Estimate>,
    /// Mean over pictures that have both outlines, pixels.
    pub distance: Option<Estimate>,
    pub hd95: Option<Estimate>,
    /// Pictures with both outlines, only the mask's, only the answer's.
    pub outlines: [usize; 3],
    /// Share of all mask pixels.
    pub share: f64,
}

/// A subgroup's figures.
pub struct Group {
    pub key: String,
    pub name: String,
    pub pictures: usize,
    pub mean_iou: Estimate,
    pub instrument: Option<Estimate>,
}

/// Calibration on the half that the temperature was not fitted on.
pub struct Calibration {
    /// What the model runs at.
    pub running: f64,
    /// What would suit it.
    pub temperature: f64,
    /// Pictures and pixels judged.
    pub judged: (usize, usize),
    pub before: Reliability,
    pub after: Reliability,
}

/// How far confidence is from the share of right answers.
pub struct Reliability {
    pub bins: Bins,
    pub ece: Option<Estimate>,
    pub log_loss: f64,
}

/// All figures of a report.
pub struct Summary {
    pub classes: Vec<ClassFigures>,
    pub mean_iou: Estimate,
    pub instrument: Option<Estimate>,
    /// `None` with fewer than two pictures.
    pub calibration: Option<Calibration>,
    /// Worst first.
    pub groups: Vec<Group>,
    /// What became of ignored pixels, by class.
    pub ignored: Vec<Made>,
}

/// Counts of pictures that count `times` each, class by class.
fn pooled(measures: &[&Measures], times: &[u32]) -> Vec<Count> {
    let mut out = vec![Count::default(); measures.first().map_or(0, |m| m.tally.counts().len())];
    for (m, times) in measures.iter().zip(times).filter(|(_, times)| **times > 0) {
        out.iter_mut().zip(m.tally.counts()).for_each(|(sum, c)| sum.add(c, u64::from(*times)));
    }
    out
}

fn pooled_instrument(measures: &[&Measures], times: &[u32]) -> Count {
    let mut out = Count::default();
    measures.iter().zip(times).for_each(|(m, times)| out.add(&m.instrument, u64::from(*times)));
    out
}

/// A figure of a count, where it occurs.
fn of(count: Count, figure: fn(&Count) -> f64) -> Option<f64> {
    count.occurs().then(|| figure(&count))
}

/// Mean IoU of the classes that the masks show, 1 if they show none. For few pictures this says more than [`mean_iou`], in which a few
/// pixels of a class that is not there count as a whole class.
pub fn mean_iou_of_shown(counts: &[Count]) -> f64 {
    mean_iou(&counts.iter().filter(|c| c.mask > 0).copied().collect::<Vec<_>>())
}

/// Mean over the pictures that have a value.
fn mean(values: &[Option<f64>], times: &[u32]) -> Option<f64> {
    let there = values.iter().zip(times).filter_map(|(v, t)| v.map(|v| (v, f64::from(*t))));
    let (sum, n) = there.fold((0.0, 0.0), |(sum, n), (v, t)| (sum + v * t, n + t));
    (n > 0.0).then(|| sum / n)
}

impl Summary {
    /// The figures.
    pub fn new(input: &Input) -> Self {
        let all: Vec<&Measures> = input.measures.iter().collect();
        let bootstrap = Bootstrap::new(all.len(), input.replicates, input.seed);
        let classes = (0..input.map.classes().len()).map(|k| class(input.map, &all, &bootstrap, k)).collect();
        let mut ignored = vec![Made::default(); input.map.classes().len()];
        for made in all.iter().flat_map(|m| m.ignored.iter().enumerate()) {
            ignored[made.0].pixels += made.1.pixels;
            ignored[made.0].confidence += made.1.confidence;
        }
        let overall = overall(&all, &bootstrap, mean_iou);
        Self {
            classes,
            mean_iou: overall.0,
            instrument: overall.1,
            calibration: calibration(input),
            groups: groups(input),
            ignored,
        }
    }

    /// A few lines for a terminal.
    pub fn say(&self, out: &mut dyn Write, file: &Path) -> io::Result<()> {
        writeln!(out, "mean IoU {}", text(&self.mean_iou, 3))?;
        if let Some(e) = &self.instrument {
            writeln!(out, "instruments, binary IoU {}", text(e, 3))?;
        }
        if let Some(c) = &self.calibration {
            let ece = |r: &Reliability| r.ece.map_or_else(|| "-".into(), |e| text(&e, 4));
            writeln!(
                out,
                "expected calibration error {}, at temperature {:.2} {}",
                ece(&c.before),
                c.temperature,
                ece(&c.after)
            )?;
        }
        for g in self.groups.iter().take(3) {
            writeln!(out, "weak: {} {} ({} pictures), mean IoU {}", g.key, g.name, g.pictures, text(&g.mean_iou, 3))?;
        }
        writeln!(out, "wrote {}", file.display())
    }
}

/// A figure with its interval.
pub fn text(e: &Estimate, digits: usize) -> String {
    format!("{:.digits$} [{:.digits$}, {:.digits$}]", e.value, e.low, e.high)
}

/// Mean IoU after `mean`, and the instruments' where masks show any.
fn overall(measures: &[&Measures], bootstrap: &Bootstrap, mean: fn(&[Count]) -> f64) -> (Estimate, Option<Estimate>) {
    let whole = bootstrap.estimate(|times| Some(mean(&pooled(measures, times))));
    let instrument = bootstrap.estimate(|times| {
        let count = pooled_instrument(measures, times);
        (count.mask > 0).then(|| count.iou())
    });
    (whole.unwrap_or(Estimate { value: 1.0, low: 1.0, high: 1.0 }), instrument)
}

fn class(map: &EvalMap, measures: &[&Measures], bootstrap: &Bootstrap, k: usize) -> ClassFigures {
    let pooled_class = |times: &[u32]| {
        let mut sum = Count::default();
        measures.iter().zip(times).for_each(|(m, times)| sum.add(&m.tally.counts()[k], u64::from(*times)));
        sum
    };
    let apart = |pick: fn((f64, f64)) -> f64| -> Vec<Option<f64>> {
        let value = |m: &&Measures| match m.outlines[k] {
            Outline::Apart { mean, hd95 } => Some(pick((mean, hd95))),
            _ => None,
        };
        measures.iter().map(value).collect()
    };
    let (distance, hd95) = (apart(|d| d.0), apart(|d| d.1));
    let count = |wanted: fn(&Outline) -> bool| measures.iter().filter(|m| wanted(&m.outlines[k])).count();
    let pixels: u64 = measures.iter().flat_map(|m| m.tally.counts()).map(|c| c.mask).sum();
    ClassFigures {
        name: map.classes()[k].clone(),
        iou: bootstrap.estimate(|times| of(pooled_class(times), Count::iou)),
        dice: bootstrap.estimate(|times| of(pooled_class(times), Count::dice)),
        distance: bootstrap.estimate(|times| mean(&distance, times)),
        hd95: bootstrap.estimate(|times| mean(&hd95, times)),
        outlines: [
            count(|o| matches!(o, Outline::Apart { .. })),
            count(|o| *o == Outline::Missed),
            count(|o| *o == Outline::Invented),
        ],
        share: pooled_class(&vec![1; measures.len()]).mask as f64 / pixels.max(1) as f64,
    }
}

fn groups(input: &Input) -> Vec<Group> {
    let mut out = Vec::new();
    for (key, of_key) in by_group(input.groups) {
        // One group for all says nothing about the others.
        for (group, members) in of_key.iter().filter(|_| of_key.len() > 1) {
            let of: Vec<&Measures> = members.iter().map(|i| &input.measures[*i]).collect();
            let bootstrap = Bootstrap::new(of.len(), input.replicates, input.seed);
            let (mean_iou, instrument) = overall(&of, &bootstrap, mean_iou_of_shown);
            out.push(Group { key: key.clone(), name: group.clone(), pictures: of.len(), mean_iou, instrument });
        }
    }
    out.sort_by(|a, b| {
        a.mean_iou.value.total_cmp(&b.mean_iou.value).then_with(|| (&a.key, &a.name).cmp(&(&b.key, &b.name)))
    });
    out
}

fn calibration(input: &Input) -> Option<Calibration> {
    let side = |fitted: bool| {
        let of = input.measures.iter().zip(input.fitted_on);
        of.filter(move |(_, f)| **f == fitted).map(|(m, _)| m.pixels.as_slice()).collect::<Vec<_>>()
    };
    let (fitted, judged) = (side(true), side(false));
    let pixels: Vec<&Pixel> = fitted.iter().copied().flatten().collect();
    if pixels.is_empty() || judged.iter().all(|p| p.is_empty()) {
        return None;
    }
    let class_of = input.map.class_of();
    let further = calibration::fit_temperature(&pixels, class_of);
    let bootstrap = Bootstrap::new(judged.len(), input.replicates, input.seed);
    let reliability = |t: f64| {
        let bins: Vec<Bins> = judged.iter().map(|p| calibration::bins(p, t, class_of)).collect();
        let merged = |times: &[u32]| calibration::merge(bins.iter().zip(times.iter().copied()));
        Reliability {
            bins: merged(&vec![1; bins.len()]),
            ece: bootstrap.estimate(|times| calibration::expected_error(&merged(times))),
            log_loss: calibration::log_loss(judged.iter().copied().flatten(), t, class_of),
        }
    };
    Some(Calibration {
        running: input.temperature,
        temperature: input.temperature * further,
        judged: (judged.len(), judged.iter().map(|p| p.len()).sum()),
        before: reliability(1.0),
        after: reliability(further),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{eval::Tally, report::data::own_map};
    use proctor_types::{Class, Image};

    /// A picture of four pixels.
    fn measures(map: &EvalMap, mask: [Class; 4], answer: [Class; 4]) -> Measures {
        let index = |c: Class| map.class_of()[usize::from(c.id())];
        let truth = Image::new(4, 1, mask.map(|c| Some(index(c))).to_vec()).unwrap();
        let mut tally = Tally::new(map);
        tally.add(map, &Image::new(4, 1, answer.map(Class::id).to_vec()).unwrap(), &truth);
        let tool = |c: &[Class; 4]| c.map(Class::is_instrument);
        let both = tool(&mask).iter().zip(tool(&answer)).filter(|(m, a)| **m && *a).count() as u64;
        let count = |of: [bool; 4]| of.iter().filter(|v| **v).count() as u64;
        Measures {
            tally,
            instrument: Count { both, mask: count(tool(&mask)), answer: count(tool(&answer)) },
            outlines: vec![Outline::Absent; map.classes().len()],
            pixels: Vec::new(),
            ignored: vec![Made { pixels: 2, confidence: 1.5 }; map.classes().len()],
            answer: Vec::new(),
        }
    }

    #[test]
    fn groups_come_worst_first_and_invented_pixels_are_no_class_of_theirs() {
        use Class::{Fat, InstrumentShaft as Shaft, Liver};
        let map = own_map().unwrap();
        // Dark: liver 2 of 4, and two invented shaft pixels. Bright: fat 2 of 3, shaft 1 of 2.
        let pictures = [
            measures(&map, [Liver; 4], [Liver, Liver, Shaft, Shaft]),
            measures(&map, [Fat, Fat, Shaft, Shaft], [Fat, Fat, Fat, Shaft]),
        ];
        let of = |light: &str| {
            BTreeMap::from([("light".to_owned(), light.to_owned()), ("smoke".to_owned(), "none".to_owned())])
        };
        let summary = Summary::new(&Input {
            map: &map,
            measures: &pictures,
            groups: &[&of("dark"), &of("bright")],
            fitted_on: &[true, false],
            temperature: 1.0,
            replicates: 20,
            seed: 1,
        });
        let found: Vec<_> = summary.groups.iter().map(|g| (g.name.as_str(), g.pictures, g.mean_iou.value)).collect();
        assert_eq!(
            found,
            [("dark", 1, 0.5), ("bright", 1, f64::midpoint(2.0 / 3.0, 0.5))],
            "one smoke for all is no group"
        );
        assert_eq!(summary.groups[0].instrument, None);
        assert_eq!(summary.groups[1].instrument.map(|e| e.value), Some(0.5));
        // Over both: liver 2/4, fat 2/3, shaft 1/4; instruments 1 of 4.
        assert!((summary.mean_iou.value - (0.5 + 2.0 / 3.0 + 0.25) / 3.0).abs() < 1e-12);
        assert_eq!(summary.instrument.map(|e| e.value), Some(0.25));
        assert!(summary.calibration.is_none(), "there are no pixels to judge");
        assert_eq!(summary.ignored[0], Made { pixels: 4, confidence: 3.0 });
    }
}

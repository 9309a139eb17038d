//! The data card: what a data set holds, how it was made, what it is for and what it lacks.

use super::{
    GenerateArgs,
    truth::{Recipe, Truth},
};
use std::collections::BTreeMap;

/// What is counted over all frames.
#[derive(Default)]
pub struct Card {
    frames: u64,
    /// Pixels of each class, and frames that show it.
    classes: BTreeMap<String, (u64, u64)>,
    /// Frames by what is grouped by and group.
    groups: BTreeMap<String, BTreeMap<String, u64>>,
    /// Instruments by name.
    instruments: BTreeMap<String, u64>,
}

impl Card {
    /// Counts a frame.
    pub fn count(&mut self, truth: &Truth) {
        self.frames += 1;
        for (class, pixels) in &truth.pixels {
            let entry = self.classes.entry(class.clone()).or_default();
            *entry = (entry.0 + pixels, entry.1 + 1);
        }
        for (key, group) in &truth.groups {
            *self.groups.entry(key.clone()).or_default().entry(group.clone()).or_default() += 1;
        }
        for instrument in &truth.instruments {
            let name = instrument["name"].as_str().unwrap_or_default().to_owned();
            *self.instruments.entry(name).or_default() += 1;
        }
    }

    /// The card in Markdown.
    pub fn text(&self, recipe: &Recipe, args: &GenerateArgs) -> String {
        let camera = recipe.cameras.left;
        let pixels: u64 = self.classes.values().map(|c| c.0).sum();
        let share = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let label = |name: &str| recipe.labels.iter().find(|l| *l.1 == name).map_or(0, |l| *l.0);
        let mut classes: Vec<_> = self.classes.iter().map(|(name, count)| (label(name), name, count)).collect();
        classes.sort();
        let classes: Vec<String> = classes
            .iter()
            .map(|(label, name, (p, f))| {
                format!("| {label} | {name} | {:.2} % | {:.0} % |\n", share(*p, pixels), share(*f, self.frames))
            })
            .collect();
        let groups: Vec<String> = self
            .groups
            .iter()
            .map(|(key, groups)| {
                let counts: Vec<_> = groups.iter().map(|(group, n)| format!("{group} {n}")).collect();
                format!("| {key} | {} |\n", counts.join(", "))
            })
            .collect();
        let instruments: Vec<String> = self.instruments.iter().map(|(name, n)| format!("| {name} | {n} |\n")).collect();
        let [classes, groups, instruments] = [classes, groups, instruments].map(|rows| rows.concat());
        let options = [(args.mono, " --mono".to_owned()), (args.shrink > 1, format!(" --shrink {}", args.shrink))];
        let options: String = options.into_iter().filter(|o| o.0).map(|o| o.1).collect();
        let right = if recipe.stereo { "| `right/NNNNNN.png` | right picture, RGB, rectified |\n" } else { "" };
        format!(
            "# Data card: {frames} frames of Proctor's simulator, seed {seed}

Pictures of a simulated cholecystectomy with exact truth. Simulated: nothing here was taken from a patient, and no figure measured
on it is a figure of tissue.

Made by `proctor dataset generate --frames {frames} --seed {seed}{options}`, Proctor {version}, which makes the same bytes again.

## What lies where
| file | what |
|---|---|
| `dataset.json` | the recipe: seeds, cameras, depth unit, label values |
| `images/NNNNNN.png` | left picture, RGB, rectified |
{right}| `labels/NNNNNN.png` | class per pixel of the left picture, 8 bit, values below |
| `instances/NNNNNN.png` | instance per pixel, 8 bit: 1 to 3 an instrument, 9 and up an unknown object, 0 no instance |
| `depth/NNNNNN.png` | depth along the left camera's axis, 16 bit, in steps of {unit} mm; 0 where nothing is seen |
| `truth/NNNNNN.json` | camera pose, instruments with joints and poses, the look in numbers and in groups, pixels per class, digests of the files |
| `coco.json` | COCO instances on the left pictures: a mask per class and instance, compressed run lengths |

Pictures are {width}x{height}. Both cameras: fx {fx} px, fy {fy} px, cx {cx}, cy {cy} (pixel centres at whole numbers), no distortion; the right
one stands {baseline} mm along the left one's x. Poses are `to_from_from`: metres, quaternions xyzw; the camera's frame has x right, y down, z
into the picture. Joints are rad, the third m; `world_from_base` times the forward kinematics of the named instrument (`proctor fk`) is
`world_from_tip`.

Frame i has the simulator's seed {first} + i. {per} consecutive frames show the same patient: split by `anatomy`, not by frame.
Data sets of other seeds share no patient with this one.

## Classes
| label | class | of all pixels | in frames |
|---|---|---|---|
{classes}
Label 255 is for what belongs to no class: swabs, clips, sutures, needles, tubes. Scores leave these pixels out (`ignore = [255]` in a map of
`proctor eval`); Proctor's own training calls them background, which means that nothing is known; their instances and kinds stand in the truth.

## Instruments
| name | times |
|---|---|
{instruments}
## Conditions, in frames
| by | groups |
|---|---|
{groups}
## Use
Apache-2.0, as Proctor. To train and measure perception of simulated pictures, and to compare methods. Not to claim anything about
patients; not evidence for a medical device.

## Known gaps
- One procedure, one organ region, no pathology, no adhesions, no sutures tied; vessels and ducts are smooth tubes.
- Labels are exact to the pixel, as people's never are; there is no disagreement of annotators in them.
- Pictures are independent: no motion blur, no video, no rolling shutter, no interlacing, no compression.
- Instruments stand where a sampler put them: their joints are within the arm's range, but arms may reach through each other and through
  tissue. Two catalogue entries with the same kind of jaws are drawn alike.
- Unknown objects lie on tissue or reach in from aside; none is held, tied, or wrapped around anything.
- Smoke, blood and dirt are painted by formulas; bleeding does not flow, smoke has no source.
",
            frames = recipe.frames,
            seed = recipe.seed,
            version = recipe.proctor,
            unit = recipe.depth_unit_m * 1e3,
            width = camera.width,
            height = camera.height,
            fx = camera.fx,
            fy = camera.fy,
            cx = camera.cx,
            cy = camera.cy,
            baseline = recipe.cameras.baseline * 1e3,
            first = recipe.first_sample_seed,
            per = recipe.frames_per_anatomy,
        )
    }
}

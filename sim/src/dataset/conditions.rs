//! What makes a sample easy or hard, in words, so that scores can be grouped by it. Everything follows from the sample's look and what
//! it shows; the numbers themselves stand in its [`Appearance`].

use super::Sample;
use crate::render::{Appearance, FIRST_FOREIGN, Surface};
use proctor_kinematics::JawKind;
use proctor_types::Class;
use std::collections::BTreeMap;

/// What is grouped by (`light`, `smoke`, ...), and the sample's group in it.
pub type Groups = BTreeMap<&'static str, &'static str>;

/// The name of the first step whose upper bound is above `value`.
fn step(value: f32, steps: &[(f32, &'static str)]) -> &'static str {
    steps.iter().find(|(bound, _)| value < *bound).or(steps.last()).map_or("", |s| s.1)
}

const MORE: f32 = f32::INFINITY;

/// The groups of a sample. Every sample has a group for every key.
pub fn groups(sample: &Sample) -> Groups {
    let look = &sample.appearance;
    let nominal = Appearance::nominal();
    let [liver, gallbladder] = [Class::Liver, Class::Gallbladder].map(|c| &look.tissue[usize::from(c.id()) - 1]);
    let usual_liver = &nominal.tissue[usize::from(Class::Liver.id()) - 1];
    let light = look.light * look.exposure / (nominal.light * nominal.exposure);
    // The picture's half diagonal, beyond which a round field of view cuts nothing.
    let corner = 0.5 * (sample.rig.left.width as f32).hypot(sample.rig.left.height as f32);
    let circle = look.circle / (640.0 / sample.rig.left.width as f32);
    Groups::from([
        ("light", step(light, &[(0.6, "dark"), (1.3, "usual"), (MORE, "bright")])),
        ("smoke", step(look.smoke, &[(f32::MIN_POSITIVE, "none"), (0.2, "thin"), (MORE, "dense")])),
        ("blood", step(look.blood, &[(0.1, "hardly any"), (0.35, "some"), (MORE, "much")])),
        ("blur", step(look.blur, &[(1.0, "sharp"), (1.5, "soft"), (MORE, "blurred")])),
        ("lens", lens(look)),
        ("wetness", step(look.wetness, &[(0.6, "dry"), (1.4, "usual"), (MORE, "wet")])),
        ("hue", step(hue(look) / hue(&nominal), &[(0.75, "cold"), (1.35, "usual"), (MORE, "warm")])),
        ("shaft", shaft(&look.instrument[0])),
        ("metal", step(brightness(&look.instrument[2]), &[(0.075, "dark"), (0.25, "steel"), (MORE, "bright")])),
        ("unknown_objects", unknown(sample)),
        ("field_of_view", step(circle / corner, &[(0.8, "round"), (1.0, "corners cut"), (MORE, "full")])),
        (
            "liver_colour",
            step(brightness(liver) / brightness(usual_liver), &[(0.7, "dark"), (1.5, "usual"), (MORE, "pale")]),
        ),
        ("gallbladder_colour", gallbladder_colour(gallbladder)),
        ("tool", tool(sample)),
    ])
}

/// Luminance half-way between a surface's dark and light places.
fn brightness(surface: &Surface) -> f32 {
    let luminance = |[r, g, b]: [f32; 3]| 0.30 * r + 0.59 * g + 0.11 * b;
    0.5 * (luminance(surface.dark) + luminance(surface.light))
}

/// Red over blue that white light, tissue and camera make together.
fn hue(look: &Appearance) -> f32 {
    let sum = |c: usize| {
        look.tissue.iter().map(|s| s.dark[c] + s.light[c]).sum::<f32>() * look.light_colour[c] * look.balance[c]
    };
    sum(0) / sum(2).max(1e-3)
}

fn lens(look: &Appearance) -> &'static str {
    match (look.lens_blood > 0.0, look.lens_dirt > 0.0) {
        (false, false) => "clean",
        (true, false) => "blood",
        (false, true) => "dirt",
        (true, true) => "blood and dirt",
    }
}

/// Colour of the shaft.
fn shaft(surface: &Surface) -> &'static str {
    let [r, _, b] = surface.light;
    if b > 1.4 * r {
        "blue"
    } else {
        step(brightness(surface), &[(0.04, "black"), (0.14, "grey"), (0.38, "steel"), (MORE, "white")])
    }
}

/// The one kind of foreign object in view, if there is one.
fn unknown(sample: &Sample) -> &'static str {
    let shows = |i: usize| sample.instances.pixels().contains(&(FIRST_FOREIGN + i as u8));
    let mut kinds = sample.foreign.iter().enumerate().filter(|(i, _)| shows(*i)).map(|(_, f)| f.kind);
    match kinds.next() {
        None => "none",
        Some(first) if kinds.any(|k| k != first) => "several kinds",
        Some(kind) => kind.name(),
    }
}

fn gallbladder_colour(surface: &Surface) -> &'static str {
    let [r, g, b] = surface.light.map(|v| v.max(1e-3));
    match (r / g, b / g) {
        (red, _) if red > 1.55 => "inflamed red",
        (red, _) if red < 1.0 => "green",
        (_, blue) if blue > 0.75 => "pale",
        _ => "yellow",
    }
}

/// The one kind of instrument in view, if there is one.
fn tool(sample: &Sample) -> &'static str {
    let shows = |instance: usize| sample.instances.pixels().contains(&(instance as u8));
    let mut kinds = sample.instruments.iter().filter(|i| shows(i.arm.index() + 1)).map(|i| i.kind);
    match kinds.next() {
        None => "none",
        Some(first) if kinds.any(|k| k != first) => "several kinds",
        Some(JawKind::NeedleDriver) => "needle driver",
        Some(JawKind::Forceps) => "forceps",
        Some(JawKind::Hook) => "hook",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nominal_look_is_usual_in_every_respect() {
        let look = Appearance::nominal();
        assert_eq!(gallbladder_colour(&look.tissue[2]), "yellow");
        assert_eq!((lens(&look), shaft(&look.instrument[0])), ("clean", "grey"));
        let blue = Surface { light: [0.1, 0.14, 0.22], ..look.instrument[0] };
        let dirty = Appearance { lens_dirt: 0.1, lens_blood: 0.1, ..look };
        assert_eq!((lens(&dirty), shaft(&blue)), ("blood and dirt", "blue"));
        assert_eq!(step(0.0, &[(f32::MIN_POSITIVE, "none"), (MORE, "thin")]), "none");
        assert_eq!(step(0.1, &[(0.1, "hardly any"), (0.35, "some"), (MORE, "much")]), "some");
        assert_eq!(step(9.0, &[(0.1, "hardly any"), (MORE, "much")]), "much");
    }
}

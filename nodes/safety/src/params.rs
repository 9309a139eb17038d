//! Parameters of the node. Every protection has a key, every key must be there, and every range has an upper bound
//! compiled in: no configuration turns a protection off, by omission or on purpose.

use crate::{SafetyError, Zone, dofs::N, zones::MAX_ZONES, zones::file};
use proctor_types::{ArmId, Class};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The configuration shipped in `launch/config/safety.toml`, embedded.
pub const DEFAULT_PARAMS: &str = include_str!("../../../launch/config/safety.toml");
/// The zones shipped in `launch/config/zones.toml`, embedded.
pub const DEFAULT_ZONES: &str = include_str!("../../../launch/config/zones.toml");

const PARAMS: &str = "safety.toml";
const ZONES: &str = "zones.toml";

/// Parameters of [`crate::SafetyCore`]. SI units and radians throughout.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SafetyParams {
    /// What PSM1's and PSM2's places hold: a PSM with the instrument of this dVRK name (`proctor_kinematics::Instrument::names`), an arm of
    /// another form by its name (`ArmFile::names`), or by its `.toml` file, relative to the configuration's folder.
    pub instruments: [String; 2],
    /// Whether an operator with the scripted role may hold authority: `true` on the built-in simulator only.
    pub allow_scripted_operator: bool,
    /// How old an input may be.
    pub watchdogs: Watchdogs,
    /// How fast and how far arms may move.
    pub motion: Motion,
    /// How far arms keep from things.
    pub clearance: Clearances,
    /// How hard instruments may press, where an arm measures it.
    pub force: ForceLimits,
    /// What the endoscope sees, for instruments that move by themselves.
    pub view: View,
    /// What approvals are worth.
    pub approval: Approval,
    /// Per-class policy for tissue seen by fusion.
    pub classes: Classes,
    /// Limits of single joints, narrower than the arms' own; none need be there.
    #[serde(default)]
    pub limits: Vec<Narrowed>,
    /// No-go zones (their own file), at most [`MAX_ZONES`].
    #[serde(skip)]
    pub zones: Vec<Zone>,
    /// Where these files lie, if they were read from a folder; zones and policies can be read again from there.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
}

/// Narrower limits of one joint or jaw, to each side: `[towards smaller, towards larger]` values, both positive. What is wider than the arm's own has
/// no effect.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Narrowed {
    /// Which arm.
    pub arm: ArmId,
    /// Which of its degrees of freedom, from 0 as in verdicts: the joints, then the jaw.
    pub joint: usize,
    /// Smallest and largest position, rad or m.
    pub position: Option<[f64; 2]>,
    /// Largest speeds, rad/s or m/s, [0.001, 100].
    pub velocity: Option<[f64; 2]>,
    /// Largest accelerations, rad/s^2 or m/s^2, [0.01, 1000].
    pub acceleration: Option<[f64; 2]>,
    /// Largest jerks, rad/s^3 or m/s^3, [1, 100000].
    pub jerk: Option<[f64; 2]>,
}

/// Ages beyond which an input counts as absent, s. Upper bounds are the node's promise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Watchdogs {
    /// Teleoperation command, [0.005, 0.1].
    pub command: f64,
    /// Measured joints and jaw of every arm, [0.005, 0.03].
    pub kinematics: f64,
    /// Scene (age of the picture it rests on); needed in SUPERVISED, [0.05, 0.5].
    pub scene: f64,
    /// Presence, [0.02, 0.1].
    pub presence: f64,
    /// Largest gap between two ticks; a longer one, or one backwards, is a clock jump, [0.005, 0.1].
    pub tick_gap: f64,
    /// Oldest request or decision that is acted upon (an e-stop of any age is), and how far ahead of the
    /// clock a stamp may be (a tenth of it), [0.1, 2].
    pub request: f64,
}

/// Limits on motion beyond those of the arms' URDF.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Motion {
    /// Part of the arms' velocity and acceleration limits that may be used, [0.05, 1].
    pub limit_fraction: f64,
    /// Speed of tool tip and jaw end in TELEOP, m/s, [0.005, 0.25].
    pub tip_speed_teleop: f64,
    /// Speed of tool tip and jaw end in SUPERVISED, m/s, [0.005, 0.1].
    pub tip_speed_supervised: f64,
    /// How much faster than at tissue the tip may be per distance from it, m/s per m, [1, 50].
    pub approach_gain: f64,
    /// Largest distance of a teleoperation goal from the current set-point: angles, rad, [0.01, 0.5].
    pub jump_angular: f64,
    /// The same for the insertion, m, [0.001, 0.05].
    pub jump_linear: f64,
    /// How far an approved motion's start may be from the current set-point: angles, rad, [0.0005, 0.05].
    pub start_angular: f64,
    /// The same for the insertion, m, [0.0001, 0.005].
    pub start_linear: f64,
    /// Largest difference of measured joint and set-point: angles, rad, [0.01, 0.3].
    pub following_angular: f64,
    /// The same for the insertion, m, [0.001, 0.03].
    pub following_linear: f64,
    /// Joint speed below which an arm counts as resting: angles, rad/s, [0.001, 0.1].
    pub rest_angular: f64,
    /// The same for the insertion, m/s, [0.0001, 0.01].
    pub rest_linear: f64,
}

/// Distances kept, on top of the arms' shapes.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clearances {
    /// Between two arms (shaft, wrist, jaws, scope), m, [0.0005, 0.05].
    pub tool_tool: f64,
    /// Smallest depth of a PSM's wrist-pitch axis below its remote centre, m, [0.02, 0.2].
    pub psm_depth: f64,
    /// Smallest depth of the endoscope's tip below its remote centre, m, [0.02, 0.2].
    pub ecm_depth: f64,
    /// How many standard deviations of a surface point and of the hand-eye estimate are added to a margin, [1, 5].
    pub sigmas: f64,
    /// Most that uncertainty adds to a margin, m, [0.002, 0.03].
    pub max_uncertainty: f64,
    /// Standard deviation assumed for an arm's place without a hand-eye estimate, m, [0.0005, 0.02].
    pub nominal_sigma: f64,
    /// How fast a surface point's margin grows with the scene's age, m/s, [0.001, 0.1]; counted up to
    /// `watchdogs.scene`.
    pub growth: f64,
    /// A hand-eye estimate farther than this from the nominal place is not believed, m, [0.001, 0.05].
    pub hand_eye_translation: f64,
    /// The same for its rotation, rad, [0.01, 0.3].
    pub hand_eye_rotation: f64,
}

/// Contact forces, of arms that measure them (CRTK `spatial/measured_cf`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForceLimits {
    /// Most force on an instrument, N, [0.5, 20]; what a class of tissue bears may be less.
    pub limit: f64,
    /// Fastest rise of force, N/s, [20, 5000]; beyond, something was hit, and everything stops.
    pub rate: f64,
    /// How stiff what is pressed on is taken to be while a stop is foreseen, N/m, [50, 20000].
    pub stiffness: f64,
}

/// The pyramid that the endoscope sees and in which an instrument stays while it moves by itself.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct View {
    /// Half of the picture's width as an angle, rad, [0.1, 1.2].
    pub horizontal: f64,
    /// Half of its height, rad, [0.1, 1.2].
    pub vertical: f64,
    /// How far inside its edge the tool tip stays, m, [0, 0.02].
    pub margin: f64,
}

/// What an approval is worth, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// A paused motion whose presence stays away longer than this is cancelled, s, [0.2, 30].
    pub resume_window: f64,
    /// Longest life of a proposal that is believed, s, [1, 120].
    pub longest_life: f64,
}

/// How near an arm may come to tissue of a class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Touch {
    /// Contact is allowed.
    Contact,
    /// This distance, m, [0, 0.05], is kept, and uncertainty on top.
    Keep(f64),
}

/// Policy for one class.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassPolicy {
    /// Instruments under TELEOP.
    pub teleop: Touch,
    /// Instruments under SUPERVISED.
    pub supervised: Touch,
    /// The arm that runs an approved *retract*.
    pub retract: Touch,
    /// The endoscope, always.
    pub endoscope: Touch,
    /// Fastest that a tip may be at this tissue, m/s, [0.002, 0.1]; farther away it may be faster, see [`Motion::approach_gain`].
    pub speed: f64,
    /// Most force that it bears, N, [0.1, 20].
    pub force: f64,
}

/// Policy per tissue class. Points of instruments and background are no obstacles here: arms know of each other by
/// kinematics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Abdominal wall.
    pub abdominal_wall: ClassPolicy,
    /// Liver.
    pub liver: ClassPolicy,
    /// Gallbladder.
    pub gallbladder: ClassPolicy,
    /// Cystic duct: contact is never allowed, at least 1 mm is kept.
    pub cystic_duct: ClassPolicy,
    /// Cystic artery: contact is never allowed, at least 1 mm is kept.
    pub cystic_artery: ClassPolicy,
    /// Fat.
    pub fat: ClassPolicy,
}

impl Classes {
    /// Policy of a class; `None` for what is no tissue.
    pub fn of(&self, class: Class) -> Option<&ClassPolicy> {
        match class {
            Class::AbdominalWall => Some(&self.abdominal_wall),
            Class::Liver => Some(&self.liver),
            Class::Gallbladder => Some(&self.gallbladder),
            Class::CysticDuct => Some(&self.cystic_duct),
            Class::CysticArtery => Some(&self.cystic_artery),
            Class::Fat => Some(&self.fat),
            Class::Background | Class::InstrumentShaft | Class::InstrumentWrist | Class::InstrumentJaws => None,
        }
    }

    /// The first class of tissue of which these allow what `old` did not.
    pub fn loosens(&self, old: &Self) -> Option<Class> {
        let loose = |class: &Class| self.of(*class).zip(old.of(*class)).is_some_and(|(new, old)| !new.holds(old));
        Class::ALL.into_iter().find(loose)
    }
}

impl ClassPolicy {
    /// Whether this lets an arm do nothing that `old` did not.
    fn holds(&self, old: &Self) -> bool {
        let keeps = |new: Touch, old: Touch| match (new, old) {
            (_, Touch::Contact) => true,
            (Touch::Contact, Touch::Keep(_)) => false,
            (Touch::Keep(new), Touch::Keep(old)) => new >= old,
        };
        keeps(self.teleop, old.teleop)
            && keeps(self.supervised, old.supervised)
            && keeps(self.retract, old.retract)
            && keeps(self.endoscope, old.endoscope)
            && self.speed <= old.speed
            && self.force <= old.force
    }
}

impl Default for SafetyParams {
    /// What `launch/config/safety.toml` and `zones.toml` say (a test compares).
    fn default() -> Self {
        use Touch::{Contact, Keep};
        let free = ClassPolicy {
            teleop: Contact,
            supervised: Keep(0.0005),
            retract: Contact,
            endoscope: Keep(0.008),
            speed: 0.05,
            force: 4.0,
        };
        let vital = ClassPolicy {
            teleop: Keep(0.002),
            supervised: Keep(0.002),
            retract: Keep(0.002),
            endoscope: Keep(0.008),
            speed: 0.02,
            force: 0.5,
        };
        Self {
            instruments: ["LARGE_NEEDLE_DRIVER_400006".into(), "PROGRASP_FORCEPS_400093".into()],
            allow_scripted_operator: false,
            watchdogs: Watchdogs {
                command: 0.1,
                kinematics: 0.03,
                scene: 0.4,
                presence: 0.1,
                tick_gap: 0.05,
                request: 1.0,
            },
            motion: Motion {
                limit_fraction: 1.0,
                tip_speed_teleop: 0.1,
                tip_speed_supervised: 0.04,
                approach_gain: 6.0,
                jump_angular: 0.15,
                jump_linear: 0.015,
                start_angular: 0.02,
                start_linear: 0.002,
                following_angular: 0.1,
                following_linear: 0.01,
                rest_angular: 0.02,
                rest_linear: 0.002,
            },
            clearance: Clearances {
                tool_tool: 0.002,
                psm_depth: 0.045,
                ecm_depth: 0.045,
                sigmas: 2.0,
                max_uncertainty: 0.01,
                nominal_sigma: 0.003,
                growth: 0.003,
                hand_eye_translation: 0.02,
                hand_eye_rotation: 0.2,
            },
            force: ForceLimits { limit: 5.0, rate: 500.0, stiffness: 500.0 },
            view: View { horizontal: 0.5, vertical: 0.39, margin: 0.002 },
            approval: Approval { resume_window: 5.0, longest_life: 60.0 },
            classes: Classes {
                abdominal_wall: ClassPolicy {
                    supervised: Keep(0.002),
                    retract: Keep(0.002),
                    endoscope: Contact,
                    ..free
                },
                liver: ClassPolicy { retract: Keep(0.0), speed: 0.04, force: 2.0, ..free },
                gallbladder: ClassPolicy { speed: 0.04, force: 3.0, ..free },
                cystic_duct: vital,
                cystic_artery: vital,
                fat: free,
            },
            limits: Vec::new(),
            zones: file::read(ZONES, DEFAULT_ZONES, None).unwrap_or_default(),
            folder: None,
        }
    }
}

impl SafetyParams {
    /// Reads both texts; no zone may be a mesh. Missing and unknown keys are refused with line and column, values outside their range
    /// with their line.
    pub fn from_toml(params: &str, zones: &str) -> Result<Self, SafetyError> {
        Self::parse(params, zones, None)
    }

    /// Reads `safety.toml`, `zones.toml` and the meshes that it names from a folder.
    pub fn read(folder: &Path) -> Result<Self, SafetyError> {
        Self::parse(&text(folder, PARAMS)?, &text(folder, ZONES)?, Some(folder))
    }

    /// Reads both files again: from the folder, or, without one, what is compiled in.
    pub(crate) fn read_again(folder: Option<&Path>) -> Result<Self, SafetyError> {
        folder.map_or_else(|| Self::from_toml(DEFAULT_PARAMS, DEFAULT_ZONES), Self::read)
    }

    fn parse(params: &str, zones: &str, folder: Option<&Path>) -> Result<Self, SafetyError> {
        let mut read: Self =
            toml::from_str(params).map_err(|e| SafetyError::File { file: PARAMS, source: Box::new(e) })?;
        read.validate().map_err(|e| e.in_file(PARAMS, params))?;
        read.zones = file::read(ZONES, zones, folder)?;
        read.folder = folder.map(Path::to_path_buf);
        Ok(read)
    }

    /// Refuses values outside the documented ranges, naming the first.
    pub fn validate(&self) -> Result<(), SafetyError> {
        let (w, m, c, a) = (&self.watchdogs, &self.motion, &self.clearance, &self.approval);
        let (f, v) = (&self.force, &self.view);
        let table = [
            ("watchdogs.command", w.command, 0.005, 0.1),
            ("watchdogs.kinematics", w.kinematics, 0.005, 0.03),
            ("watchdogs.scene", w.scene, 0.05, 0.5),
            ("watchdogs.presence", w.presence, 0.02, 0.1),
            ("watchdogs.tick_gap", w.tick_gap, 0.005, 0.1),
            ("watchdogs.request", w.request, 0.1, 2.0),
            ("motion.limit_fraction", m.limit_fraction, 0.05, 1.0),
            ("motion.tip_speed_teleop", m.tip_speed_teleop, 0.005, 0.25),
            ("motion.tip_speed_supervised", m.tip_speed_supervised, 0.005, 0.1),
            ("motion.approach_gain", m.approach_gain, 1.0, 50.0),
            ("motion.jump_angular", m.jump_angular, 0.01, 0.5),
            ("motion.jump_linear", m.jump_linear, 0.001, 0.05),
            ("motion.start_angular", m.start_angular, 0.0005, 0.05),
            ("motion.start_linear", m.start_linear, 0.0001, 0.005),
            ("motion.following_angular", m.following_angular, 0.01, 0.3),
            ("motion.following_linear", m.following_linear, 0.001, 0.03),
            ("motion.rest_angular", m.rest_angular, 0.001, 0.1),
            ("motion.rest_linear", m.rest_linear, 0.0001, 0.01),
            ("clearance.tool_tool", c.tool_tool, 0.0005, 0.05),
            ("clearance.psm_depth", c.psm_depth, 0.02, 0.2),
            ("clearance.ecm_depth", c.ecm_depth, 0.02, 0.2),
            ("clearance.sigmas", c.sigmas, 1.0, 5.0),
            ("clearance.max_uncertainty", c.max_uncertainty, 0.002, 0.03),
            ("clearance.nominal_sigma", c.nominal_sigma, 0.0005, 0.02),
            ("clearance.growth", c.growth, 0.001, 0.1),
            ("clearance.hand_eye_translation", c.hand_eye_translation, 0.001, 0.05),
            ("clearance.hand_eye_rotation", c.hand_eye_rotation, 0.01, 0.3),
            ("force.limit", f.limit, 0.5, 20.0),
            ("force.rate", f.rate, 20.0, 5000.0),
            ("force.stiffness", f.stiffness, 50.0, 20_000.0),
            ("view.horizontal", v.horizontal, 0.1, 1.2),
            ("view.vertical", v.vertical, 0.1, 1.2),
            ("view.margin", v.margin, 0.0, 0.02),
            ("approval.resume_window", a.resume_window, 0.2, 30.0),
            ("approval.longest_life", a.longest_life, 1.0, 120.0),
        ];
        table.iter().try_for_each(|&(name, value, min, max)| in_range(name, value, min, max))?;
        Class::ALL.into_iter().try_for_each(|class| self.validate_class(class))?;
        self.limits.iter().enumerate().try_for_each(|(i, limit)| limit.validate(i))?;
        if self.zones.len() > MAX_ZONES {
            return Err(SafetyError::TooManyZones { got: self.zones.len(), max: MAX_ZONES });
        }
        self.zones.iter().enumerate().try_for_each(|(i, z)| z.validate(i))
    }

    fn validate_class(&self, class: Class) -> Result<(), SafetyError> {
        let Some(p) = self.classes.of(class) else { return Ok(()) };
        let vital = matches!(class, Class::CysticDuct | Class::CysticArtery);
        let rows =
            [("teleop", p.teleop), ("supervised", p.supervised), ("retract", p.retract), ("endoscope", p.endoscope)];
        rows.into_iter().try_for_each(|(who, touch)| match touch {
            Touch::Keep(d) => {
                let least = if vital { 0.001 } else { 0.0 };
                in_range(&format!("classes.{}.{who}.keep", class.name()), d, least, 0.05)
            }
            Touch::Contact if vital => Err(SafetyError::Protected { class: class.name() }),
            Touch::Contact => Ok(()),
        })?;
        in_range(&format!("classes.{}.speed", class.name()), p.speed, 0.002, 0.1)?;
        in_range(&format!("classes.{}.force", class.name()), p.force, 0.1, 20.0)
    }
}

impl Narrowed {
    fn validate(&self, i: usize) -> Result<(), SafetyError> {
        let key = |what: &str| format!("limits[{i}].{what}");
        let last = if self.arm.has_jaw() { N - 1 } else { self.arm.dof() - 1 };
        in_range(&key("joint"), self.joint as f64, 0.0, last as f64)?;
        if let Some([lower, upper]) = self.position {
            in_range(&key("position"), lower, -100.0, 100.0)?;
            in_range(&key("position"), upper, lower, 100.0)?;
        }
        let rates = [
            ("velocity", self.velocity, 0.001, 100.0),
            ("acceleration", self.acceleration, 0.01, 1e3),
            ("jerk", self.jerk, 1.0, 1e5),
        ];
        let sides = rates
            .iter()
            .flat_map(|&(what, sides, min, max)| sides.into_iter().flatten().map(move |x| (what, x, min, max)));
        sides.into_iter().try_for_each(|(what, x, min, max)| in_range(&key(what), x, min, max))
    }
}

fn text(folder: &Path, file: &'static str) -> Result<String, SafetyError> {
    std::fs::read_to_string(folder.join(file)).map_err(|source| SafetyError::Unreadable { file, source })
}

/// Refuses NaN and values outside `[min, max]`, naming the key.
pub(crate) fn in_range(name: &str, value: f64, min: f64, max: f64) -> Result<(), SafetyError> {
    // Written so that NaN is refused too.
    if value >= min && value <= max {
        Ok(())
    } else {
        Err(SafetyError::Parameter { name: name.to_owned(), value, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_files_are_the_defaults_and_valid() {
        let shipped = SafetyParams::from_toml(DEFAULT_PARAMS, DEFAULT_ZONES).unwrap();
        assert_eq!(shipped, SafetyParams::default());
        assert!(!shipped.zones.is_empty());
    }

    /// Each line of the shipped file that holds a key, removed in turn, must stop the node.
    #[test]
    fn no_protection_can_be_omitted() {
        let lines: Vec<&str> = DEFAULT_PARAMS.lines().collect();
        let mut tried = 0;
        for (i, line) in lines.iter().enumerate() {
            if line.trim_start().starts_with('#') || !line.contains('=') {
                continue;
            }
            let without: Vec<&str> = lines.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, l)| *l).collect();
            let e = SafetyParams::from_toml(&without.join("\n"), DEFAULT_ZONES).unwrap_err().to_string();
            assert!(e.contains("missing field"), "{line}: {e}");
            tried += 1;
        }
        assert!(tried >= 50, "{tried}");
        assert!(SafetyParams::from_toml(DEFAULT_PARAMS, "").is_err(), "a zones file without the key");
    }

    #[test]
    fn unknown_keys_are_refused_with_their_line() {
        let text = DEFAULT_PARAMS.replace("presence = 0.1", "presence = 0.1\npresense = 0.1");
        let e = SafetyParams::from_toml(&text, DEFAULT_ZONES).unwrap_err().to_string();
        assert!(e.contains("presense") && e.contains("line "), "{e}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_line() {
        let line = 1 + DEFAULT_PARAMS.lines().position(|l| l.starts_with("presence = ")).unwrap();
        let text = DEFAULT_PARAMS.replace("presence = 0.1 ", "presence = 0.2 ");
        let e = SafetyParams::from_toml(&text, DEFAULT_ZONES).unwrap_err().to_string();
        assert!(e.starts_with(&format!("safety.toml, line {line}: watchdogs.presence must lie in")), "{e}");
        let heading = 1 + DEFAULT_PARAMS.lines().position(|l| l == "[classes.cystic_duct]").unwrap();
        let text = DEFAULT_PARAMS.replacen(
            "[classes.cystic_duct]\nteleop = { keep = 0.002 }",
            "[classes.cystic_duct]\nteleop = { keep = 0.0 }",
            1,
        );
        let e = SafetyParams::from_toml(&text, DEFAULT_ZONES).unwrap_err().to_string();
        assert!(e.contains(&format!("line {}: classes.cystic_duct.teleop.keep", heading + 1)), "{e}");
        let text = DEFAULT_PARAMS.replacen(
            "[classes.cystic_duct]\nteleop = { keep = 0.002 }",
            "[classes.cystic_duct]\nteleop = \"contact\"",
            1,
        );
        let e = SafetyParams::from_toml(&text, DEFAULT_ZONES).unwrap_err().to_string();
        assert!(e.contains(&format!("line {heading}: ")) && e.contains("contact is never allowed"), "{e}");
    }

    #[test]
    fn limits_are_read_and_their_faults_have_lines() {
        let more = "\n[[limits]]\narm = \"PSM1\"\njoint = 2\nvelocity = [0.2, 0.05]\n";
        let read = SafetyParams::from_toml(&format!("{DEFAULT_PARAMS}{more}"), DEFAULT_ZONES).unwrap();
        assert_eq!(read.limits.len(), 1);
        assert_eq!((read.limits[0].joint, read.limits[0].velocity), (2, Some([0.2, 0.05])));
        let text = format!("{DEFAULT_PARAMS}{}", more.replace("0.05", "-0.05"));
        let e = SafetyParams::from_toml(&text, DEFAULT_ZONES).unwrap_err().to_string();
        let line = text.lines().position(|l| l.contains("-0.05")).unwrap() + 1;
        assert!(e.contains(&format!("line {line}: limits[0].velocity must lie in [0.001, 100], got -0.05")), "{e}");
    }

    #[test]
    fn the_shipped_folder_is_read() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../launch/config");
        let read = SafetyParams::read(&folder).unwrap();
        assert_eq!(read.folder.as_deref(), Some(folder.as_path()));
        assert_eq!(SafetyParams { folder: None, ..read }, SafetyParams::default());
        let e = SafetyParams::read(&folder.join("none")).unwrap_err().to_string();
        assert!(e.contains("safety.toml"), "{e}");
    }

    #[test]
    fn bounds_cannot_be_configured_away() {
        type Change = fn(&mut SafetyParams);
        let limit =
            Narrowed { arm: ArmId::Ecm, joint: 2, position: None, velocity: None, acceleration: None, jerk: None };
        let rows: [(Change, &str); 15] = [
            (|p| p.limits[0].joint = 4, "limits[0].joint"),
            (|p| p.limits[0].position = Some([0.1, 0.05]), "limits[0].position"),
            (|p| p.limits[0].velocity = Some([0.1, 0.0]), "limits[0].velocity"),
            (|p| p.limits[0].jerk = Some([f64::NAN, 10.0]), "limits[0].jerk"),
            (|p| p.force.rate = 1e4, "force.rate"),
            (|p| p.classes.liver.speed = 0.2, "classes.liver.speed"),
            (|p| p.classes.fat.force = f64::NAN, "classes.fat.force"),
            (|p| p.watchdogs.presence = 0.1001, "watchdogs.presence"),
            (|p| p.watchdogs.command = 1.0, "watchdogs.command"),
            (|p| p.watchdogs.kinematics = 0.031, "watchdogs.kinematics"),
            (|p| p.watchdogs.scene = f64::NAN, "watchdogs.scene"),
            (|p| p.motion.tip_speed_teleop = f64::INFINITY, "motion.tip_speed_teleop"),
            (|p| p.classes.cystic_artery.teleop = Touch::Contact, "cystic_artery"),
            (|p| p.classes.cystic_duct.retract = Touch::Keep(0.0), "cystic_duct"),
            (|p| p.classes.liver.supervised = Touch::Keep(-0.001), "liver"),
        ];
        for (edit, name) in rows {
            let mut p = SafetyParams { limits: vec![limit], ..SafetyParams::default() };
            p.validate().unwrap();
            edit(&mut p);
            let e = p.validate().unwrap_err().to_string();
            assert!(e.contains(name), "{name}: {e}");
        }
    }

    #[test]
    fn limits_name_a_degree_of_freedom_that_the_arm_has_and_zones_are_as_many_as_there_is_room_for() {
        let narrowed = |arm, joint, position| {
            let none = Narrowed { arm, joint, position, velocity: None, acceleration: None, jerk: None };
            SafetyParams { limits: vec![none], ..SafetyParams::default() }.validate().is_ok()
        };
        // The jaw comes after a PSM's joints.
        let last = [(ArmId::Psm1, 6), (ArmId::Psm2, 6), (ArmId::Ecm, 3)];
        for (arm, joint) in last {
            assert!(narrowed(arm, 0, None) && narrowed(arm, joint, None) && !narrowed(arm, joint + 1, None), "{arm}");
        }
        for (position, taken) in [
            ([-100.0, 100.0], true),
            ([0.1, 0.1], true),
            ([-1.5, -1.0], true),
            ([-100.1, 0.0], false),
            ([0.0, 100.1], false),
            ([100.1, 100.2], false),
        ] {
            assert_eq!(narrowed(ArmId::Psm1, 0, Some(position)), taken, "{position:?}");
        }
        let zone = SafetyParams::default().zones[0].clone();
        for (count, taken) in [(0, true), (MAX_ZONES, true), (MAX_ZONES + 1, false), (MAX_ZONES + 5, false)] {
            let zones = (0..count).map(|i| Zone { name: format!("zone {i}"), ..zone.clone() }).collect();
            let checked = SafetyParams { zones, ..SafetyParams::default() }.validate();
            assert_eq!(checked.is_ok(), taken, "{count}: {checked:?}");
        }
        let file = |count: usize| {
            let zone = |i| {
                format!(
                    "[[zones]]\nname = \"z{i}\"\nmargin = 0.001\narms = []\nregion = {{ shape = \"sphere\", center = [0.0, 0.0, 0.0], radius = 0.01 }}\n"
                )
            };
            SafetyParams::from_toml(DEFAULT_PARAMS, &(0..count).map(zone).collect::<String>())
        };
        assert_eq!(file(MAX_ZONES).unwrap().zones.len(), MAX_ZONES);
        let refused = file(MAX_ZONES + 1).unwrap_err().to_string();
        assert!(refused.contains("zones.toml"), "{refused}");
    }
}

//! Verdicts, causes and classes in plain words, for people who look from two metres away.

use crate::card::Ending;
use proctor_types::{
    Alignment, ArmId, Class, Constraint, Outcome, SafetyMode, SceneFault, Skill, Verdict, ZoneLabel, ZonesState,
};

/// One line for a verdict; `None` for one that says that all is well. `zones` are those that the safety node says hold.
pub fn verdict(v: &Verdict, zones: &[ZoneLabel]) -> Option<String> {
    let verb = match v.outcome {
        Outcome::Passed => return None,
        Outcome::Limited => "slowed",
        Outcome::Refused => "refused",
        Outcome::Held => "held",
    };
    let who = v.arm.map_or(String::new(), |a| format!("{a} "));
    Some(format!("{who}{verb}{}", because(v, zones)))
}

fn because(v: &Verdict, zones: &[ZoneLabel]) -> String {
    let class = || usize::try_from(v.index).ok().and_then(|i| Class::ALL.get(i)).map_or("tissue", |c| class_name(*c));
    match v.constraint {
        Constraint::None => String::new(),
        Constraint::LiveSurface => format!(" {} from {} (keeps {})", mm(v.value), class(), mm(v.limit)),
        Constraint::NoGoZone => {
            let named = usize::try_from(v.index).ok().and_then(|i| zones.get(i));
            let zone = named.map_or_else(|| format!("no-go zone {}", v.index.max(0) + 1), |z| z.name.clone());
            format!(" {} from {zone} (keeps {})", mm(v.value), mm(v.limit))
        }
        Constraint::ToolToolDistance => format!(" {} from the other instrument (keeps {})", mm(v.value), mm(v.limit)),
        Constraint::RemoteCentre => format!(": {} inside the port (at least {})", mm(v.value), mm(v.limit)),
        Constraint::TrocarOffset => format!(": the shaft {} from the port (at most {})", mm(v.value), mm(v.limit)),
        Constraint::TipSpeed => format!(": tip speed {}/s (at most {}/s)", mm(v.value), mm(v.limit)),
        Constraint::JointPosition => format!(": {} at its end stop, {}", joint(v.index), joint_values(v, "")),
        Constraint::JointVelocity => format!(": {} at its speed limit, {}", joint(v.index), joint_values(v, "/s")),
        Constraint::JointAcceleration => {
            format!(": {} at its acceleration limit, {}", joint(v.index), joint_values(v, "/s\u{b2}"))
        }
        Constraint::JointJerk => format!(": {} at its jerk limit, {}", joint(v.index), joint_values(v, "/s\u{b3}")),
        Constraint::Jump => format!(": {} asked to jump, {}", joint(v.index), joint_values(v, "")),
        Constraint::StartMismatch => {
            format!(": {} is not where the motion starts, {}", joint(v.index), joint_values(v, ""))
        }
        Constraint::FollowingError => format!(": {} does not follow, {}", joint(v.index), joint_values(v, "")),
        Constraint::SceneStale => scene(v),
        Constraint::CommandStale
        | Constraint::KinematicsStale
        | Constraint::PresenceLost
        | Constraint::ClockJump
        | Constraint::ForceStale => late(v),
        Constraint::TissueSpeed => {
            format!(": tip speed {}/s near {} (at most {}/s)", mm(v.value), class(), mm(v.limit))
        }
        Constraint::Force if v.index < 0 => format!(": it presses with {}", newtons(v)),
        Constraint::Force => format!(": it presses on {} with {}", class(), newtons(v)),
        Constraint::ForceRate => format!(": it hit something, {:.0} N/s (at most {:.0} N/s)", v.value, v.limit),
        Constraint::OutOfView => {
            let arm = usize::try_from(v.index).ok().and_then(|i| ArmId::ALL.get(i)).map_or("a tool", |a| a.name());
            format!(": {arm} {} inside the picture (keeps {})", mm(v.value), mm(v.limit))
        }
        Constraint::WrongMode if v.arm.is_none() && v.index >= 0 => {
            format!(": {} would be kept less, possible only in Off or Ready", loosened(v.index, zones))
        }
        Constraint::Malformed
        | Constraint::Sequence
        | Constraint::NotApproved
        | Constraint::Expired
        | Constraint::DigestMismatch
        | Constraint::OutdatedPlan
        | Constraint::Withdrawn
        | Constraint::WrongMode
        | Constraint::WrongOperator
        | Constraint::EStop
        | Constraint::ArmNotReady
        | Constraint::Gate
        | Constraint::NotAuthentic
        | Constraint::CrossSession => format!(": {}", cause(v.constraint)),
    }
}

/// What zones or policies that were read again would keep less: a zone, or after all that there can be, a class of tissue.
fn loosened(index: i32, zones: &[ZoneLabel]) -> String {
    let index = usize::try_from(index).unwrap_or(usize::MAX);
    let class = || index.checked_sub(ZonesState::MAX_ZONES).and_then(|i| Class::ALL.get(i));
    match zones.get(index) {
        Some(zone) => zone.name.clone(),
        None => {
            class().map_or_else(|| format!("no-go zone {}", index.saturating_add(1)), |c| class_name(*c).to_owned())
        }
    }
}

/// That zones and policies were read again.
pub fn read_again(zones: usize) -> String {
    let hold = if zones == 1 { "1 zone holds".to_owned() } else { format!("{zones} zones hold") };
    format!("Zones and policies were read again: {hold}")
}

/// An age beyond its watchdog.
fn late(v: &Verdict) -> String {
    format!(": {} ({:.0} ms, limit {:.0} ms)", cause(v.constraint), v.value * 1e3, v.limit * 1e3)
}

/// What is wrong with the scene; the index says which of its tests failed.
fn scene(v: &Verdict) -> String {
    match SceneFault::of(v.index) {
        Some(SceneFault::Displaced) => {
            format!(": seen {} from where it is mounted (believed up to {})", mm(v.value), mm(v.limit))
        }
        Some(SceneFault::Turned) => {
            format!(": seen turned by {:.3} rad from its mounting (believed up to {:.3} rad)", v.value, v.limit)
        }
        Some(SceneFault::Contradicted) => ": picture and joints disagree".to_owned(),
        Some(SceneFault::BadPicture) => ": the picture is not good enough".to_owned(),
        None => late(v),
    }
}

/// A cause on its own, as it stands after "Stopped: ".
pub fn cause(c: Constraint) -> &'static str {
    match c {
        Constraint::None => "",
        Constraint::JointPosition => "a joint is at its end stop",
        Constraint::JointVelocity => "a joint is at its speed limit",
        Constraint::JointAcceleration => "a joint is at its acceleration limit",
        Constraint::JointJerk => "a joint is at its jerk limit",
        Constraint::TipSpeed => "the tip is at its speed limit",
        Constraint::RemoteCentre => "too near the port",
        Constraint::TrocarOffset => "a shaft is beside its port",
        Constraint::NoGoZone => "too near a no-go zone",
        Constraint::LiveSurface => "too near tissue",
        Constraint::ToolToolDistance => "instruments too near each other",
        Constraint::Jump => "a command jumped",
        Constraint::Malformed => "a command was malformed",
        Constraint::Sequence => "a message was repeated or out of order",
        Constraint::CommandStale => "commands are late",
        Constraint::KinematicsStale => "an arm is silent",
        Constraint::SceneStale => "no fresh picture of the scene",
        Constraint::PresenceLost => "hold released",
        Constraint::NotApproved => "not approved",
        Constraint::Expired => "the suggestion has expired",
        Constraint::DigestMismatch => "what was approved is not this motion",
        Constraint::OutdatedPlan => "the scene has changed since planning",
        Constraint::StartMismatch => "the arm is not where the motion starts",
        Constraint::Withdrawn => "withdrawn or rejected",
        Constraint::WrongMode => "not possible in this mode",
        Constraint::WrongOperator => "another operator has authority",
        Constraint::EStop => "emergency stop",
        Constraint::ArmNotReady => "an arm is not ready",
        Constraint::FollowingError => "an arm does not follow",
        Constraint::ClockJump => "the clock jumped",
        Constraint::Gate => "the last check refused a command",
        Constraint::NotAuthentic => "a message is forged or damaged",
        Constraint::CrossSession => "a message of another session",
        Constraint::TissueSpeed => "too fast near tissue",
        Constraint::Force => "an instrument presses too hard",
        Constraint::ForceRate => "an instrument hit something",
        Constraint::ForceStale => "forces are no longer measured",
        Constraint::OutOfView => "an instrument would leave the picture",
    }
}

/// What a mode means for the person at the console.
pub fn mode(m: SafetyMode) -> &'static str {
    match m {
        SafetyMode::Disabled => "Arms off",
        SafetyMode::Ready => "Arms hold still",
        SafetyMode::Teleop => "You drive the instruments",
        SafetyMode::Supervised => "Suggestions run while you hold",
        SafetyMode::Hold => "Stopped",
        SafetyMode::Fault => "Stopped and locked",
    }
}

/// What any mode means of a safety node in shadow mode.
pub const SHADOW: &str = "Watches only: nothing here moves or stops the robot";

/// Title of a suggestion.
pub fn skill(s: Skill) -> &'static str {
    match s {
        Skill::CentreCamera => "Centre the camera",
        Skill::Retract => "Retract the gallbladder",
    }
}

/// What became of a suggestion.
pub fn ending(e: Ending) -> &'static str {
    match e {
        Ending::Executed => "done",
        Ending::Rejected => "rejected",
        Ending::Withdrawn => "withdrawn: the scene changed",
        Ending::Expired => "expired",
        Ending::Stopped => "stopped on the way",
    }
}

/// Name of a class in a sentence.
pub const fn class_name(c: Class) -> &'static str {
    match c {
        Class::Background => "background",
        Class::AbdominalWall => "abdominal wall",
        Class::Liver => "liver",
        Class::Gallbladder => "gallbladder",
        Class::CysticDuct => "cystic duct",
        Class::CysticArtery => "cystic artery",
        Class::Fat => "fat",
        Class::InstrumentShaft => "instrument shaft",
        Class::InstrumentWrist => "instrument wrist",
        Class::InstrumentJaws => "instrument jaws",
    }
}

/// How well kinematics and picture agree.
pub fn alignment(a: Alignment) -> &'static str {
    match a {
        Alignment::Unknown => "not seen yet",
        Alignment::KinematicOnly => "by kinematics only",
        Alignment::Converging => "aligning",
        Alignment::Aligned => "aligned",
        Alignment::Inconsistent => "picture and kinematics disagree",
    }
}

fn newtons(v: &Verdict) -> String {
    format!("{:.1} N (at most {:.1} N)", v.value, v.limit)
}

fn mm(metres: f64) -> String {
    format!("{:.1} mm", metres * 1e3)
}

fn joint(index: i32) -> &'static str {
    match index {
        0 => "yaw",
        1 => "pitch",
        2 => "insertion",
        3 => "roll",
        4 => "wrist pitch",
        5 => "wrist yaw",
        6 => "jaw",
        _ => "a joint",
    }
}

fn joint_values(v: &Verdict, per: &str) -> String {
    if v.index == 2 {
        format!("{:.1} mm{per} (limit {:.1} mm{per})", v.value * 1e3, v.limit * 1e3)
    } else {
        format!("{:.1}\u{b0}{per} (limit {:.1}\u{b0}{per})", v.value.to_degrees(), v.limit.to_degrees())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    fn line(outcome: Outcome, constraint: Constraint, value: f64, limit: f64, index: i32) -> Option<String> {
        about(Some(ArmId::Psm1), outcome, constraint, value, limit, index)
    }

    fn of_node(outcome: Outcome, constraint: Constraint, value: f64, limit: f64, index: i32) -> Option<String> {
        about(None, outcome, constraint, value, limit, index)
    }

    fn about(
        about: Option<ArmId>,
        outcome: Outcome,
        constraint: Constraint,
        value: f64,
        limit: f64,
        index: i32,
    ) -> Option<String> {
        let zones = [ZoneLabel { name: "vena cava".into(), margin: 0.002 }];
        verdict(&Verdict { stamp: at(0), tick: 1, arm: about, outcome, constraint, value, limit, index }, &zones)
    }

    #[test]
    fn verdicts_read_as_sentences_with_the_numbers_in_everyday_units() {
        let rows = [
            (
                line(Outcome::Held, Constraint::LiveSurface, 0.0018, 0.004, i32::from(Class::CysticArtery.id())),
                "PSM1 held 1.8 mm from cystic artery (keeps 4.0 mm)",
            ),
            (
                line(Outcome::Held, Constraint::NoGoZone, 0.0018, 0.002, 0),
                "PSM1 held 1.8 mm from vena cava (keeps 2.0 mm)",
            ),
            (
                // Of a zone that the console has not heard of.
                line(Outcome::Held, Constraint::NoGoZone, 0.0018, 0.002, 1),
                "PSM1 held 1.8 mm from no-go zone 2 (keeps 2.0 mm)",
            ),
            (
                line(Outcome::Limited, Constraint::TipSpeed, 0.05, 0.05, -1),
                "PSM1 slowed: tip speed 50.0 mm/s (at most 50.0 mm/s)",
            ),
            (
                line(Outcome::Held, Constraint::Force, 4.26, 4.0, i32::from(Class::Gallbladder.id())),
                "PSM1 held: it presses on gallbladder with 4.3 N (at most 4.0 N)",
            ),
            (line(Outcome::Held, Constraint::Force, 4.26, 4.0, -1), "PSM1 held: it presses with 4.3 N (at most 4.0 N)"),
            (
                line(Outcome::Limited, Constraint::TissueSpeed, 0.031, 0.03, i32::from(Class::Liver.id())),
                "PSM1 slowed: tip speed 31.0 mm/s near liver (at most 30.0 mm/s)",
            ),
            (
                line(Outcome::Held, Constraint::OutOfView, 0.0019, 0.002, 1),
                "PSM1 held: PSM2 1.9 mm inside the picture (keeps 2.0 mm)",
            ),
            (
                line(Outcome::Held, Constraint::PresenceLost, 0.104, 0.1, -1),
                "PSM1 held: hold released (104 ms, limit 100 ms)",
            ),
            (
                line(Outcome::Refused, Constraint::SceneStale, 0.031, 0.02, 0),
                "PSM1 refused: seen 31.0 mm from where it is mounted (believed up to 20.0 mm)",
            ),
            (
                of_node(Outcome::Refused, Constraint::WrongMode, 2.0, 1.0, 0),
                "refused: vena cava would be kept less, possible only in Off or Ready",
            ),
            (
                of_node(Outcome::Refused, Constraint::WrongMode, 2.0, 1.0, 16 + i32::from(Class::CysticArtery.id())),
                "refused: cystic artery would be kept less, possible only in Off or Ready",
            ),
            (
                of_node(Outcome::Refused, Constraint::WrongMode, 2.0, 1.0, 3),
                "refused: no-go zone 4 would be kept less, possible only in Off or Ready",
            ),
            (of_node(Outcome::Refused, Constraint::WrongMode, 2.0, 1.0, -1), "refused: not possible in this mode"),
            (line(Outcome::Held, Constraint::SceneStale, 0.0, 0.0, 2), "PSM1 held: picture and joints disagree"),
            (
                line(Outcome::Held, Constraint::SceneStale, 0.401, 0.4, -1),
                "PSM1 held: no fresh picture of the scene (401 ms, limit 400 ms)",
            ),
            (
                line(Outcome::Refused, Constraint::StartMismatch, 0.002, 0.001, 2),
                "PSM1 refused: insertion is not where the motion starts, 2.0 mm (limit 1.0 mm)",
            ),
            (
                line(Outcome::Limited, Constraint::JointVelocity, std::f64::consts::PI, 1.0, 4),
                "PSM1 slowed: wrist pitch at its speed limit, 180.0\u{b0}/s (limit 57.3\u{b0}/s)",
            ),
        ];
        for (got, expected) in rows {
            assert_eq!(got.as_deref(), Some(expected));
        }
        assert_eq!(line(Outcome::Passed, Constraint::None, 0.0, 0.0, -1), None);
    }

    #[test]
    fn every_constraint_and_any_index_has_words() {
        for &c in Constraint::ALL {
            for index in [i32::MIN, -1, 0, 2, 9, 10, i32::MAX - 1] {
                let words = line(Outcome::Refused, c, 1.0, 2.0, index).unwrap();
                assert!(words.starts_with("PSM1 refused"), "{words}");
                assert!(!words.contains('_'), "{words}");
            }
            assert_eq!(cause(c).is_empty(), c == Constraint::None);
        }
    }
}

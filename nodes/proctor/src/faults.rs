//! Faults by name, as typed on the demo's standard input: `fault camera_frozen on`.

use crate::live::say;
use proctor_sim::Faults;
use proctor_types::ArmId;
use std::io::BufRead;

/// Every fault that can be typed.
pub const NAMES: &[&str] = &[
    "camera_frozen",
    "camera_dropped",
    "blackout",
    "smoke",
    "blood",
    "joints_nan",
    "joints_delayed",
    "video_lags",
    "joints_lag",
    "arm_silent",
    "arm_fault",
    "clock_jump",
];

/// Applies a line such as `fault smoke on` or `fault joints_nan on PSM1` to `faults`; arms default to PSM1.
///
/// # Errors
/// Says what was wrong with the line and what was expected.
pub fn apply(line: &str, faults: &mut Faults) -> Result<String, String> {
    let usage = || format!("expected `fault NAME on|off [ARM]` with NAME one of {}, got {line:?}", NAMES.join(", "));
    let words: Vec<&str> = line.split_whitespace().collect();
    let (name, switch, arm) = match words.as_slice() {
        ["fault", name, switch] => (*name, *switch, ArmId::Psm1),
        ["fault", name, switch, arm] => (*name, *switch, arm.parse().map_err(|e| format!("{e}"))?),
        _ => return Err(usage()),
    };
    let on = match switch {
        "on" => true,
        "off" => false,
        _ => return Err(usage()),
    };
    let level = f64::from(u8::from(on));
    let of_arm = &mut faults.arms[arm.index()];
    match name {
        "camera_frozen" => faults.frozen = on,
        "camera_dropped" => faults.dropped = 0.5 * level,
        "blackout" => faults.blackout = on,
        "smoke" => faults.smoke = 0.8 * level,
        "blood" => faults.blood = 0.3 * level,
        "joints_nan" => of_arm.nan = on,
        "joints_delayed" => of_arm.delay = std::time::Duration::from_millis(if on { 200 } else { 0 }),
        "video_lags" => faults.video_lag = std::time::Duration::from_millis(if on { 200 } else { 0 }),
        "joints_lag" => faults.joint_lag = std::time::Duration::from_millis(if on { 200 } else { 0 }),
        "arm_silent" => of_arm.silent = on,
        "arm_fault" => of_arm.fault = on,
        "clock_jump" => faults.clock_jump = 5.0 * level,
        _ => return Err(usage()),
    }
    Ok(format!("fault {name} {switch}"))
}

/// Hands on what is wrong whenever a line on standard input has changed it, until the input ends or nobody takes it any more (`inject` is false).
pub fn hear(inject: impl Fn(Faults) -> bool + Send + 'static) {
    std::thread::spawn(move || {
        let mut current = Faults::default();
        for line in std::io::stdin().lock().lines().map_while(Result::ok).filter(|l| !l.trim().is_empty()) {
            match apply(&line, &mut current) {
                Ok(_) if !inject(current) => return,
                Ok(done) => {
                    // A recording has what was logged: when what went wrong.
                    tracing::info!("{done}");
                    say(&done);
                }
                Err(problem) => eprintln!("{problem}"),
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_switches_something_on_and_off_again() {
        for name in NAMES {
            let mut faults = Faults::default();
            apply(&format!("fault {name} on PSM2"), &mut faults).unwrap();
            assert_ne!(faults, Faults::default(), "{name}");
            apply(&format!("fault {name} off PSM2"), &mut faults).unwrap();
            assert_eq!(faults, Faults::default(), "{name}");
        }
    }

    #[test]
    fn a_wrong_line_changes_nothing_and_says_what_was_expected() {
        for line in ["", "fault", "fault smoke maybe", "fault fire on", "fault smoke on PSM9", "smoke on"] {
            let mut faults = Faults::default();
            assert!(apply(line, &mut faults).is_err(), "{line:?}");
            assert_eq!(faults, Faults::default());
        }
    }
}

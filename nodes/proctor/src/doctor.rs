//! `proctor doctor`: what this machine has for Proctor, what is missing, and what that means, in plain words.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Present.
    Ok,
    /// Absent, and Proctor works without it.
    Optional,
    /// Absent, and the demo or the tests will not work.
    Missing,
}

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What was looked for.
    pub what: &'static str,
    /// Whether it is there.
    pub level: Level,
    /// What was found, or what its absence means and what to do.
    pub words: String,
}

fn finding(what: &'static str, found: Option<String>, absent: Level, meaning: &str) -> Finding {
    match found {
        Some(words) => Finding { what, level: Level::Ok, words },
        None => Finding { what, level: absent, words: meaning.to_owned() },
    }
}

/// First line a program prints for `args`, if it runs and succeeds.
fn first_line(program: &str, args: &[&str]) -> Option<String> {
    let out = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(if out.stdout.is_empty() { &out.stderr } else { &out.stdout }).into_owned();
    out.status.success().then(|| text.lines().next().unwrap_or("present").trim().to_owned())
}

fn on_path(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).flat_map(|d| names.iter().map(move |n| d.join(n))).find(|p| p.is_file())
}

fn avx2() -> Option<String> {
    #[cfg(target_arch = "x86_64")]
    return (std::arch::is_x86_feature_detected!("avx2") && std::arch::is_x86_feature_detected!("fma"))
        .then(|| "x86-64-v3 (AVX2)".to_owned());
    #[cfg(not(target_arch = "x86_64"))]
    Some(format!("{}: built for this processor", env::consts::ARCH))
}

fn real_time() -> Option<String> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    let soft = |name: &str| {
        let rest = limits.lines().find_map(|l| l.strip_prefix(name))?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let priority = soft("Max realtime priority")?;
    let locked = soft("Max locked memory")?;
    let root = std::fs::metadata("/proc/self").is_ok_and(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0);
    (root || priority != "0")
        .then(|| format!("SCHED_FIFO permitted (priority limit {priority}, lockable memory {locked})"))
}

/// Looks at this machine. `root` is the folder that holds `.venv` and `models`.
pub fn examine(root: &Path) -> Vec<Finding> {
    let onnx = proctor_perception::find_onnxruntime(root).map(|p| p.display().to_string());
    let models = std::fs::read_dir(root.join("models"))
        .ok()
        .map(|d| {
            d.flatten()
                .filter(|e| e.path().join("model.toml").is_file())
                .map(|e| e.file_name().to_string_lossy().into_owned())
        })
        .map(|names| names.collect::<Vec<_>>().join(", "))
        .filter(|names| !names.is_empty());
    vec![
        finding(
            "processor",
            avx2(),
            Level::Missing,
            "no AVX2: edit .cargo/config.toml to a lower target-cpu and rebuild",
        ),
        finding("OpenCV", opencv_version(), Level::Missing, "the linked OpenCV did not answer"),
        finding("ONNX Runtime", onnx, Level::Missing, "perception cannot run: `make setup` installs it into .venv"),
        finding("models", models, Level::Missing, "no models/*/model.toml: perception has nothing to run"),
        finding(
            "real-time permission",
            real_time(),
            Level::Optional,
            "SCHED_FIFO not permitted: the safety loop runs at normal priority and may overrun; allow it with an rtprio limit",
        ),
        finding(
            "GPU",
            first_line("nvidia-smi", &["--query-gpu=name", "--format=csv,noheader"]),
            Level::Optional,
            "none: perception runs on the processor",
        ),
        finding(
            "ROS 2",
            env::var("ROS_DISTRO").ok().map(|d| format!("{d} is sourced")),
            Level::Optional,
            "not sourced: the demo and the tests do not need it; `--bus hiroz` speaks rmw_zenoh without it",
        ),
        finding(
            "Gazebo",
            on_path(&["gz", "ign"]).map(|p| p.display().to_string()),
            Level::Optional,
            "not installed: the built-in simulator is used",
        ),
        finding(
            "Chromium",
            on_path(&["chromium", "chromium-browser", "google-chrome"]).map(|p| p.display().to_string()),
            Level::Optional,
            "not installed: the browser tests cannot run; any browser shows the console",
        ),
        finding(
            "check_urdf",
            on_path(&["check_urdf"]).map(|p| p.display().to_string()),
            Level::Optional,
            "not installed (liburdfdom-tools): one test of the robot description is skipped",
        ),
    ]
}

fn opencv_version() -> Option<String> {
    opencv::core::get_version_string().ok().filter(|v| !v.is_empty())
}

/// Prints the report; returns whether nothing necessary is missing.
pub fn report(findings: &[Finding], out: &mut impl std::io::Write) -> std::io::Result<bool> {
    for f in findings {
        let mark = match f.level {
            Level::Ok => "ok      ",
            Level::Optional => "absent  ",
            Level::Missing => "MISSING ",
        };
        writeln!(out, "{mark} {:<22} {}", f.what, f.words)?;
    }
    let complete = findings.iter().all(|f| f.level != Level::Missing);
    let verdict =
        if complete { "Everything the demo needs is here." } else { "Something the demo needs is missing: see above." };
    writeln!(out, "\n{verdict} Proctor is research software, not a medical device.")?;
    Ok(complete)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_necessity_makes_the_report_incomplete_and_an_absent_option_does_not() {
        let option = finding("GPU", None, Level::Optional, "none");
        let need = finding("ONNX Runtime", None, Level::Missing, "install it");
        let mut text = Vec::new();
        assert!(report(std::slice::from_ref(&option), &mut text).unwrap());
        assert!(!report(&[option, need], &mut text).unwrap());
        let text = String::from_utf8(text).unwrap();
        assert!(text.contains("MISSING  ONNX Runtime") && text.contains("not a medical device"));
    }

    #[test]
    fn an_empty_folder_has_no_model_and_no_runtime() {
        let empty = tempfile::tempdir().unwrap();
        let found = examine(empty.path());
        let level = |what| found.iter().find(|f| f.what == what).unwrap().level;
        assert_eq!(level("models"), Level::Missing);
        assert_eq!(level("OpenCV"), Level::Ok);
    }
}

//! Every node's parameters as `ros2 param` shows them: value, text with unit, range.
//!
//! When it may be set is its node's to say: what the node's `adjust` takes, also while it runs; the rest while it is unconfigured.
//!
//! A parameter is declared once, in its node's parameter struct: the field's comment is its text, and the range is the one that the
//! comment names. The sources are read for that (they are ours, formatted, and a test finds every field and holds every range against
//! the struct's validation, from both sides), so that no second list can disagree.

use proctor_autonomy::AutonomyParams;
use proctor_bus::{Parameter, ParameterValue, Parameters, Settable};
use proctor_fusion::FusionParams;
use proctor_perception::PerceptionParams;
use serde::Serialize;
use std::collections::HashMap;
use toml::Value;

/// Where a node's parameter structs are, and the outermost one.
#[derive(Debug, Clone, Copy)]
pub struct Declaration {
    sources: &'static [&'static str],
    root: &'static str,
    adjustable: Adjustable,
}

/// Which parameters may change while the node runs; a name means what is below it, too.
#[derive(Debug, Clone, Copy)]
enum Adjustable {
    Nothing,
    AllBut(&'static [&'static str]),
}

/// Of each node.
pub const SIM: Declaration = Declaration {
    sources: &[include_str!("../../../sim/src/node.rs")],
    root: "CameraParams",
    adjustable: Adjustable::Nothing,
};
/// Of perception.
pub const PERCEPTION: Declaration = Declaration {
    sources: &[include_str!("../../perception/src/node.rs"), include_str!("../../perception/src/quality.rs")],
    root: "PerceptionParams",
    adjustable: Adjustable::AllBut(PerceptionParams::FIXED),
};
/// Of fusion.
pub const FUSION: Declaration = Declaration {
    sources: &[include_str!("../../fusion/src/params.rs")],
    root: "FusionParams",
    adjustable: Adjustable::AllBut(FusionParams::FIXED),
};
/// Of autonomy.
pub const AUTONOMY: Declaration = Declaration {
    sources: &[include_str!("../../autonomy/src/params.rs")],
    root: "AutonomyParams",
    adjustable: Adjustable::AllBut(AutonomyParams::FIXED),
};
/// Of safety; zones have a file of their own. No limit moves while there is a core that could hold an arm by it.
pub const SAFETY: Declaration = Declaration {
    sources: &[include_str!("../../safety/src/params.rs")],
    root: "SafetyParams",
    adjustable: Adjustable::Nothing,
};
/// Of the console.
pub const CONSOLE: Declaration = Declaration {
    sources: &[include_str!("../../console/src/params.rs")],
    root: "ConsoleParams",
    adjustable: Adjustable::Nothing,
};

/// A field's comment and type.
struct Field {
    text: String,
    kind: String,
}

impl Declaration {
    /// The parameters with the values that a node runs with.
    pub fn parameters(&self, values: &impl Serialize) -> anyhow::Result<Parameters> {
        let fields = self.fields();
        let mut found = Vec::new();
        gather(&fields, Some(self.root), "", "", &Value::try_from(values)?, &mut found);
        found.iter_mut().for_each(|p| p.settable = self.settable(&p.name));
        Ok(Parameters::new(found))
    }

    /// When the parameter of this name may be set.
    pub fn settable(&self, name: &str) -> Settable {
        let within =
            |group: &&str| name.strip_prefix(*group).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        match self.adjustable {
            Adjustable::AllBut(fixed) if !fixed.iter().any(within) => Settable::Running,
            Adjustable::AllBut(_) | Adjustable::Nothing => Settable::Unconfigured,
        }
    }

    /// Every documented field, by struct and name.
    fn fields(&self) -> HashMap<(&'static str, &'static str), Field> {
        let mut fields = HashMap::new();
        for source in self.sources {
            let (mut within, mut text) = ("", Vec::new());
            for line in source.lines().map(str::trim) {
                if let Some(comment) = line.strip_prefix("///") {
                    text.push(comment.trim());
                    continue;
                }
                if line.starts_with("#[") {
                    continue;
                }
                if let Some(name) = line.strip_prefix("pub struct ").and_then(|l| l.strip_suffix(" {")) {
                    within = name;
                } else if let Some((name, kind)) =
                    line.trim_start_matches("pub ").split_once(": ").filter(|_| !text.is_empty())
                {
                    let kind = kind.split([',', ' ']).next().unwrap_or_default().to_owned();
                    fields.insert((within, name), Field { text: text.join(" "), kind });
                }
                text.clear();
            }
        }
        fields
    }
}

/// Walks values and structs together; what lies deeper than a struct's field has its text.
fn gather(
    fields: &HashMap<(&str, &str), Field>,
    within: Option<&str>,
    name: &str,
    text: &str,
    value: &Value,
    found: &mut Vec<Parameter>,
) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    if let Value::Table(table) = value {
        for (key, value) in table {
            match within.and_then(|w| fields.get(&(w, key.as_str()))) {
                Some(field) => gather(fields, Some(&field.kind), &below(key), &field.text, value, found),
                None => gather(fields, None, &below(key), text, value, found),
            }
        }
        return;
    }
    let Some(shown) = shown(value) else { return };
    let number = matches!(shown, ParameterValue::Double(_) | ParameterValue::Integer(_));
    let range = if number { range(text) } else { None };
    let settable = Settable::Unconfigured;
    found.push(Parameter { name: name.to_owned(), value: shown, text: text.to_owned(), range, settable });
}

/// As ROS has it; lists of groups are no parameters.
fn shown(value: &Value) -> Option<ParameterValue> {
    let all = |of: fn(&Value) -> bool| value.as_array().is_some_and(|a| a.iter().all(of));
    let items = || value.as_array().into_iter().flatten();
    Some(match value {
        Value::Boolean(b) => ParameterValue::Bool(*b),
        Value::Integer(i) => ParameterValue::Integer(*i),
        Value::Float(f) => ParameterValue::Double(*f),
        Value::String(s) => ParameterValue::String(s.clone()),
        Value::Array(_) if all(Value::is_str) => {
            ParameterValue::StringArray(items().filter_map(|v| v.as_str().map(str::to_owned)).collect())
        }
        Value::Array(_) if all(Value::is_integer) => {
            ParameterValue::IntegerArray(items().filter_map(Value::as_integer).collect())
        }
        Value::Array(_) if all(Value::is_float) => {
            ParameterValue::DoubleArray(items().filter_map(Value::as_float).collect())
        }
        Value::Array(_) | Value::Datetime(_) | Value::Table(_) => return None,
    })
}

/// The last range that a comment names: `[a, b]`, `a..b`, `a..=b` or `a to b`.
fn range(text: &str) -> Option<[f64; 2]> {
    let spaced =
        text.replace("..=", " to ").replace("..", " to ").replace(", ", " to ").replace(['[', ']', ',', ';'], " ");
    let words: Vec<_> = spaced.split_whitespace().map(|w| w.trim_end_matches('.').replace('_', "")).collect();
    let pairs = words.windows(3).filter(|w| w[1] == "to");
    pairs.filter_map(|w| Some([w[0].parse().ok()?, w[2].parse().ok()?])).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overrides::Overrides;
    use proctor_bus::ros_args::split;
    use proctor_console::ConsoleParams;
    use proctor_safety::SafetyParams;
    use proctor_sim::node::CameraParams;
    use serde::de::DeserializeOwned;

    #[test]
    fn ranges_are_read_as_comments_write_them() {
        assert_eq!(range("Age, s, [0.005, 0.1]."), Some([0.005, 0.1]));
        assert_eq!(range("Seconds, s, 0.1..60."), Some([0.1, 60.0]));
        assert_eq!(range("Threads, 1..=64."), Some([1.0, 64.0]));
        assert_eq!(range("Pictures per second, 1 to 120."), Some([1.0, 120.0]));
        assert_eq!(range("Instruments on PSM1 and PSM2."), None);
    }

    #[test]
    fn what_is_fixed_while_a_node_runs_is_named_by_parameters_that_there_are() {
        let all = [
            (AUTONOMY.parameters(&AutonomyParams::default()).unwrap(), AutonomyParams::FIXED),
            (FUSION.parameters(&FusionParams::default()).unwrap(), FusionParams::FIXED),
            (PERCEPTION.parameters(&PerceptionParams::default()).unwrap(), PerceptionParams::FIXED),
        ];
        for (parameters, fixed) in &all {
            for name in *fixed {
                assert_eq!(parameters.get(name).map(|p| p.settable), Some(Settable::Unconfigured), "{name}");
            }
            assert!(parameters.iter().filter(|p| p.settable == Settable::Running).count() >= 8);
        }
        let safety = SAFETY.parameters(&SafetyParams::default()).unwrap();
        assert!(safety.iter().all(|p| p.settable != Settable::Running));
        assert_eq!(PERCEPTION.settable("quality.dark_below"), Settable::Running);
    }

    /// Every value has a text; a number with a range is refused just outside it and taken at its ends, unless it depends on others.
    fn hold<P: Serialize + DeserializeOwned>(
        declared: Declaration,
        params: &P,
        validate: fn(&P) -> Result<(), String>,
    ) -> usize {
        let mut ranges = 0;
        for p in declared.parameters(params).unwrap().iter() {
            assert!(!p.text.is_empty(), "{}: {} has no text", declared.root, p.name);
            let Some([least, most]) = p.range else { continue };
            ranges += 1;
            let whole = matches!(p.value, ParameterValue::Integer(_));
            let step = if whole { 1.0 } else { (most - least) * 1e-3 };
            for outside in [least - step, most + step].into_iter().filter(|v| !whole || *v >= 0.0) {
                let word = if whole { format!("{outside}") } else { format!("{outside:?}") };
                let (_, ros) =
                    split(["--ros-args".to_owned(), "-p".to_owned(), format!("{}:={word}", p.name)]).unwrap();
                let said = Overrides::read(&ros, "n").unwrap().apply(params);
                let refused = said.map_err(|e| format!("{e:#}")).and_then(|p| validate(&p)).expect_err(&p.name);
                let last = p.name.rsplit('.').next().unwrap();
                assert!(
                    refused.contains(last) || refused.contains(&last.replace('_', " ")),
                    "{} = {outside}: {refused}",
                    p.name
                );
            }
        }
        ranges
    }

    #[test]
    fn every_parameter_has_a_text_and_the_range_that_is_enforced() {
        let counts = [
            hold(SAFETY, &SafetyParams::default(), |p| p.validate().map_err(|e| e.to_string())),
            hold(CONSOLE, &ConsoleParams::default(), |p| p.validate().map_err(|e| e.to_string())),
            hold(AUTONOMY, &AutonomyParams::default(), |p| p.validate().map_err(|e| e.to_string())),
            hold(FUSION, &FusionParams::default(), |p| p.validate().map_err(|e| e.to_string())),
            hold(PERCEPTION, &PerceptionParams::default(), |p| p.validate().map_err(|e| e.to_string())),
            hold(SIM, &CameraParams::default(), |p| p.validate().map_err(|e| e.to_string())),
        ];
        // Nearly every number has a range; a reader that finds none would pass the rest.
        assert!(counts.iter().zip([35, 11, 20, 20, 2, 2]).all(|(found, least)| *found >= least), "{counts:?}");
    }
}

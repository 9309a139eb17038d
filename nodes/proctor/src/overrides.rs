//! Parameters as ROS says them - `-p name:=value` and parameter files - laid over a node's parameter struct.
//!
//! A parameter's name is its place in the struct (`motion.tip_speed_teleop`). What is not there, is of another kind or lies outside
//! its range stops the node by name; ranges stay where they are declared, in each struct's own validation.

use anyhow::{Context as _, bail, ensure};
use proctor_bus::{ParameterValue, RosArgs, parameters::USE_SIM_TIME};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use toml::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Deepest nesting of a parameter file that is read.
const MAX_DEPTH: usize = 16;

/// What ROS said about one node's parameters: files in order, then the command line; the last word holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overrides(BTreeMap<String, Value>);

impl Overrides {
    /// Of the node with this name in this namespace.
    pub fn read(ros: &RosArgs, node: &str) -> anyhow::Result<Self> {
        let mut said = Self::default();
        for file in &ros.parameter_files {
            let mut read = || {
                let text = std::fs::read_to_string(file)?;
                said.add_file(&text, ros.namespace.as_deref().unwrap_or("/"), node)
            };
            read().with_context(|| format!("parameter file {}", file.display()))?;
        }
        for (name, value) in &ros.parameters {
            let documents = YamlLoader::load_from_str(value).with_context(|| format!("parameter {name}:={value}"))?;
            let value = documents.first().with_context(|| format!("parameter {name} has no value"))?;
            said.0.insert(name.clone(), plain(value, name)?);
        }
        Ok(said)
    }

    /// Of values that somebody sets.
    pub fn of(changes: &[(String, ParameterValue)]) -> Self {
        Self(changes.iter().map(|(name, value)| (name.clone(), tree(value))).collect())
    }

    /// Takes what a file says for `node`: below `/**`, its name, or its name with the namespace; `ros__parameters` below that.
    fn add_file(&mut self, text: &str, namespace: &str, node: &str) -> anyhow::Result<()> {
        let full = format!("{}/{node}", namespace.trim_end_matches('/'));
        let documents = YamlLoader::load_from_str(text)?;
        for (key, below) in documents.iter().filter_map(Yaml::as_hash).flatten() {
            let key = key.as_str().context("a node's name must be text")?;
            let Some(parameters) = below.as_hash().and_then(|h| h.get(&Yaml::String("ros__parameters".to_owned())))
            else {
                bail!("{key}: expected ros__parameters below it");
            };
            if ["/**", "**", node, &full].contains(&key) {
                self.add_tree("", parameters, MAX_DEPTH)?;
            }
        }
        Ok(())
    }

    fn add_tree(&mut self, prefix: &str, tree: &Yaml, depth: usize) -> anyhow::Result<()> {
        ensure!(depth > 0, "{prefix}: nested too deeply");
        let Some(entries) = tree.as_hash() else {
            ensure!(!prefix.is_empty(), "ros__parameters: expected names and values");
            self.0.insert(prefix.to_owned(), plain(tree, prefix)?);
            return Ok(());
        };
        for (key, value) in entries {
            let key = key.as_str().with_context(|| format!("below {prefix:?}: a parameter's name must be text"))?;
            let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
            self.add_tree(&name, value, depth - 1)?;
        }
        Ok(())
    }

    /// The parameters with what was said laid over them.
    pub fn apply<P: Serialize + DeserializeOwned>(&self, parameters: &P) -> anyhow::Result<P> {
        let mut tree = Value::try_from(parameters).context("parameters as a tree")?;
        // Every node has use_sim_time in ROS; it is no part of the node's own parameters.
        for (name, value) in self.0.iter().filter(|(name, _)| *name != USE_SIM_TIME) {
            set(&mut tree, name, value.clone())?;
        }
        tree.try_into().context("parameters from ROS")
    }

    /// Whether the node is to run on the clock of a simulation.
    pub fn use_sim_time(&self) -> anyhow::Result<bool> {
        match self.0.get(USE_SIM_TIME) {
            None => Ok(false),
            Some(Value::Boolean(said)) => Ok(*said),
            Some(other) => bail!("parameter {USE_SIM_TIME}: {other} is of type {}, expected boolean", other.type_str()),
        }
    }
}

/// Replaces one value; its place must be there and hold the same kind.
fn set(tree: &mut Value, name: &str, value: Value) -> anyhow::Result<()> {
    let place = name.split('.').try_fold(tree, |at, key| at.get_mut(key));
    let place = place.with_context(|| format!("parameter {name}: there is none of this name"))?;
    let fitting = match (&*place, value) {
        (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
        (old, new) if old.same_type(&new) => new,
        (old, new) => bail!("parameter {name}: {new} is of type {}, expected {}", new.type_str(), old.type_str()),
    };
    *place = fitting;
    Ok(())
}

fn tree(value: &ParameterValue) -> Value {
    match value.clone() {
        ParameterValue::Bool(v) => v.into(),
        ParameterValue::Integer(v) => v.into(),
        ParameterValue::Double(v) => v.into(),
        ParameterValue::String(v) => v.into(),
        ParameterValue::IntegerArray(v) => v.into(),
        ParameterValue::DoubleArray(v) => v.into(),
        ParameterValue::StringArray(v) => v.into(),
    }
}

fn plain(yaml: &Yaml, name: &str) -> anyhow::Result<Value> {
    Ok(match yaml {
        Yaml::Boolean(b) => Value::Boolean(*b),
        Yaml::Integer(i) => Value::Integer(*i),
        Yaml::Real(text) => {
            Value::Float(text.parse().with_context(|| format!("parameter {name}: {text} is no number"))?)
        }
        Yaml::String(text) => Value::String(text.clone()),
        Yaml::Array(items) => Value::Array(items.iter().map(|i| plain(i, name)).collect::<anyhow::Result<_>>()?),
        other => bail!("parameter {name}: {other:?} is no value"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proctor_bus::ros_args::split;
    use proctor_console::ConsoleParams;
    use proctor_safety::SafetyParams;

    fn overrides(line: &str, node: &str) -> anyhow::Result<Overrides> {
        let (_, ros) = split(line.split_whitespace().map(str::to_owned))?;
        Overrides::read(&ros, node)
    }

    fn refused(line: &str) -> String {
        let said = overrides(line, "safety").and_then(|o| o.apply(&SafetyParams::default()));
        format!("{:#}", said.unwrap_err())
    }

    #[test]
    fn files_then_the_command_line_hold_for_the_node_they_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("p.yaml");
        let text = "/**:\n  ros__parameters:\n    view_hz: 20\nconsole:\n  ros__parameters:\n    jpeg_quality: 70\n    video_hz: 10.0\n\
                    /room2/console:\n  ros__parameters:\n    hosts: [a.example, b.example]\nfusion:\n  ros__parameters:\n    nonsense: 1\n";
        std::fs::write(&file, text).unwrap();
        let line = format!("--ros-args -r __ns:=/room2 --params-file {} -p video_hz:=12.5", file.display());
        let params = overrides(&line, "console").unwrap().apply(&ConsoleParams::default()).unwrap();
        assert_eq!((params.view_hz, params.video_hz, params.jpeg_quality), (20.0, 12.5, 70));
        assert_eq!(params.hosts, ["a.example", "b.example"]);
        assert_eq!(params.seen_ms, ConsoleParams::default().seen_ms);
    }

    #[test]
    fn unknown_parameters_and_other_kinds_are_named() {
        for (line, named) in [
            ("--ros-args -p watchdogs.commands:=0.05", "watchdogs.commands"),
            ("--ros-args -p watchdogs:=0.05", "watchdogs"),
            ("--ros-args -p watchdogs.command:=fast", "watchdogs.command"),
            ("--ros-args -p allow_scripted_operator:=1", "allow_scripted_operator"),
            ("--ros-args --params-file /nowhere.yaml", "/nowhere.yaml"),
        ] {
            assert!(refused(line).contains(named), "{line}: {}", refused(line));
        }
    }

    #[test]
    fn sim_time_is_said_for_any_node_and_must_be_a_truth_value() {
        let said = |line: &str| overrides(line, "recorder").unwrap().use_sim_time().map_err(|e| e.to_string());
        assert_eq!(said(""), Ok(false));
        assert_eq!(said("--ros-args -p use_sim_time:=true"), Ok(true));
        assert!(said("--ros-args -p use_sim_time:=1").unwrap_err().contains("expected boolean"));
        let params = overrides("--ros-args -p use_sim_time:=true", "safety").unwrap().apply(&SafetyParams::default());
        assert_eq!(params.unwrap().watchdogs, SafetyParams::default().watchdogs);
    }

    #[test]
    fn a_value_outside_its_range_is_refused_by_the_structs_own_validation() {
        let said = overrides("--ros-args -p watchdogs.command:=0.2", "safety").unwrap();
        let error = said.apply(&SafetyParams::default()).unwrap().validate().unwrap_err().to_string();
        assert!(error.contains("watchdogs.command") && error.contains("0.2"), "{error}");
        let fine =
            overrides("--ros-args -p watchdogs.command:=0.05", "safety").unwrap().apply(&SafetyParams::default());
        assert_eq!(fine.unwrap().watchdogs.command, 0.05);
    }
}

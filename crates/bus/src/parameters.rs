//! Parameters as ROS's tools see them (`ros2 param list|get|describe|set`).
//!
//! A node reads its parameters once, when it starts; from then on they are shown and not changed: a safety limit that moves while
//! arms do is nobody's protection. Setting one is refused with the reason.

/// Why no parameter can be set.
pub const READ_ONLY: &str = "is read-only: a node reads its parameters when it starts (-p, --params-file)";

/// The parameter that every ROS node has.
pub const USE_SIM_TIME: &str = "use_sim_time";

/// A parameter's value.
#[derive(Debug, Clone, PartialEq)]
pub enum ParameterValue {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Double(f64),
    /// Text.
    String(String),
    /// Whole numbers.
    IntegerArray(Vec<i64>),
    /// Numbers.
    DoubleArray(Vec<f64>),
    /// Texts.
    StringArray(Vec<String>),
}

/// A parameter as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Name, with dots between groups.
    pub name: String,
    /// What the node runs with.
    pub value: ParameterValue,
    /// What it means, with its unit.
    pub text: String,
    /// Smallest and largest value, of a number that has such.
    pub range: Option<[f64; 2]>,
}

/// Every parameter of a node.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parameters(Vec<Parameter>);

impl Parameters {
    /// Of a node, beside `use_sim_time`, which every ROS node has.
    pub fn new(mut parameters: Vec<Parameter>) -> Self {
        parameters.push(Parameter {
            name: USE_SIM_TIME.to_owned(),
            value: ParameterValue::Bool(false),
            text: "whether the node runs on /clock, the clock of a simulation, instead of the machine's".to_owned(),
            range: None,
        });
        Self(parameters)
    }

    /// The same, of a node that runs on a simulation's clock or does not.
    #[must_use]
    pub fn with_sim_time(mut self, yes: bool) -> Self {
        self.0.iter_mut().filter(|p| p.name == USE_SIM_TIME).for_each(|p| p.value = ParameterValue::Bool(yes));
        self
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Parameter> {
        self.0.iter()
    }

    /// The one with this name.
    pub fn get(&self, name: &str) -> Option<&Parameter> {
        self.0.iter().find(|p| p.name == name)
    }

    /// Names below any of the prefixes (all, without one), at most `depth` dots deep (0: any), and the groups that they are in.
    pub fn list(&self, prefixes: &[String], depth: u64) -> (Vec<String>, Vec<String>) {
        let shallow = |rest: &str| depth == 0 || (rest.matches('.').count() as u64) < depth;
        let below = |name: &str, prefix: &String| {
            let rest = name.strip_prefix(prefix.as_str());
            rest.is_some_and(|r| r.is_empty() || r.strip_prefix('.').is_some_and(shallow))
        };
        let wanted = |name: &&str| (prefixes.is_empty() && shallow(name)) || prefixes.iter().any(|p| below(name, p));
        let names: Vec<_> = self.0.iter().map(|p| p.name.as_str()).filter(wanted).map(str::to_owned).collect();
        let mut groups: Vec<_> = names.iter().filter_map(|n| n.rsplit_once('.')).map(|(g, _)| g.to_owned()).collect();
        groups.dedup();
        (names, groups)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_by_prefix_and_depth_as_rclcpp_does() {
        let of = |name: &str| Parameter {
            name: name.to_owned(),
            value: ParameterValue::Double(0.0),
            text: String::new(),
            range: None,
        };
        let all = Parameters::new(["a.x", "a.b.y", "ab.z", "w"].map(of).to_vec());
        let names =
            |prefixes: &[&str], depth| all.list(&prefixes.iter().map(|&p| p.to_owned()).collect::<Vec<_>>(), depth).0;
        assert_eq!(names(&[], 0), ["a.x", "a.b.y", "ab.z", "w", "use_sim_time"]);
        assert_eq!(names(&[], 1), ["w", "use_sim_time"]);
        assert_eq!(names(&["a"], 0), ["a.x", "a.b.y"]);
        assert_eq!(names(&["a"], 1), ["a.x"]);
        assert_eq!(names(&["a.b.y", "w"], 1), ["a.b.y", "w"]);
        assert_eq!(all.list(&["a".to_owned()], 0).1, ["a", "a.b"]);
        let sim_time = |all: &Parameters| all.get(USE_SIM_TIME).unwrap().value.clone();
        assert_eq!(sim_time(&all), ParameterValue::Bool(false));
        assert_eq!(sim_time(&all.with_sim_time(true)), ParameterValue::Bool(true));
    }
}

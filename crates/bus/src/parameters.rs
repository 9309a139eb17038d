//! Parameters as ROS's tools see them (`ros2 param list|get|describe|set`).
//!
//! Whoever owns the node takes new values or refuses them ([`crate::Bus::accept_parameters`]), all of a request or none; what it is asked has a name, a type
//! and a range that are declared. What a node runs with and what is shown are never two things.

/// What takes new values or says why not; all of them or none. Called on the middleware's own thread, which must not wait.
pub type Accept = dyn Fn(&[(String, ParameterValue)]) -> Result<(), String> + Send + Sync;

/// Said until there is somebody who could take a value.
pub(crate) const NOT_YET: &str = "the node is still starting, and takes no parameters yet";

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
    /// When it may be set.
    pub settable: Settable,
}

/// When a parameter may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settable {
    /// Only at the start of the process.
    AtStart,
    /// While the node is unconfigured.
    Unconfigured,
    /// Also while it runs.
    Running,
}

impl Settable {
    /// In words, for the parameter's description.
    pub const fn text(self) -> &'static str {
        match self {
            Self::AtStart => "only at the start of the process (-p, --params-file)",
            Self::Unconfigured => {
                "only while the node is unconfigured (ros2 lifecycle set NODE deactivate, cleanup; then configure, activate)"
            }
            Self::Running => "also while the node runs",
        }
    }
}

impl ParameterValue {
    /// The type's name, as ROS's tools write it.
    const fn type_name(&self) -> &'static str {
        match self {
            Self::Bool(_) => "boolean",
            Self::Integer(_) => "integer",
            Self::Double(_) => "double",
            Self::String(_) => "string",
            Self::IntegerArray(_) => "integer array",
            Self::DoubleArray(_) => "double array",
            Self::StringArray(_) => "string array",
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(whole) => Some(*whole as f64),
            Self::Double(number) => Some(*number),
            Self::Bool(_) | Self::String(_) | Self::IntegerArray(_) | Self::DoubleArray(_) | Self::StringArray(_) => {
                None
            }
        }
    }
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
            settable: Settable::AtStart,
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

    /// Sets all of them, or none and says why, naming the one at fault.
    pub fn set(&mut self, changes: &[(String, ParameterValue)], accept: &Accept) -> Result<(), String> {
        changes.iter().try_for_each(|(name, value)| self.check(name, value))?;
        accept(changes)?;
        for (name, value) in changes {
            self.0.iter_mut().filter(|p| p.name == *name).for_each(|p| p.value = value.clone());
        }
        Ok(())
    }

    fn check(&self, name: &str, value: &ParameterValue) -> Result<(), String> {
        let declared = self.get(name).ok_or_else(|| format!("{name}: there is no parameter of this name"))?;
        if declared.settable == Settable::AtStart {
            return Err(format!("{name} can be set {}", Settable::AtStart.text()));
        }
        let (expected, got) = (declared.value.type_name(), value.type_name());
        if expected != got {
            return Err(format!("{name} is of type {expected}, not {got}"));
        }
        match (declared.range, value.number()) {
            // Written so that NaN is refused too.
            (Some([least, most]), Some(number)) if !(number >= least && number <= most) => {
                Err(format!("{name} = {number} is not in [{least}, {most}]"))
            }
            _ => Ok(()),
        }
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
            settable: Settable::Running,
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
    #[test]
    fn all_of_a_request_or_nothing_is_set_and_the_one_at_fault_is_named() {
        let of = |name: &str, value, range| Parameter {
            name: name.to_owned(),
            value,
            text: String::new(),
            range,
            settable: Settable::Running,
        };
        use ParameterValue::{Bool, Double, Integer, String as Text};
        let declared = vec![
            of("gate", Double(1.0), Some([0.5, 2.0])),
            of("every", Integer(2), Some([1.0, 10.0])),
            of("on", Bool(true), None),
        ];
        let mut all = Parameters::new(declared);
        let before = all.clone();
        let change = |name: &str, value: &ParameterValue| (name.to_owned(), value.clone());
        let good = change("gate", &Double(1.5));
        let taken = |_: &[(String, ParameterValue)]| Ok(());
        for (name, value) in [
            ("gates", Double(1.0)),
            ("gate", Double(2.1)),
            ("gate", Double(f64::NAN)),
            ("gate", Integer(1)),
            ("every", Integer(11)),
            ("on", Text("yes".to_owned())),
            (USE_SIM_TIME, Bool(true)),
        ] {
            let refused = all.set(&[good.clone(), change(name, &value)], &taken).unwrap_err();
            assert!(refused.starts_with(name), "{refused}");
            assert_eq!(all, before);
        }
        // Whoever takes them has the last word, over all at once.
        let both = [good.clone(), change("on", &Bool(false))];
        assert_eq!(
            all.set(&both, &|asked| Err(format!("not {} of them", asked.len()))),
            Err("not 2 of them".to_owned())
        );
        assert_eq!(all, before);
        all.set(&both, &taken).unwrap();
        assert_eq!((&all.get("gate").unwrap().value, &all.get("on").unwrap().value), (&Double(1.5), &Bool(false)));
    }
}

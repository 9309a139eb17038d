//! What can be wrong with the node's configuration. Refused commands are not errors: they are [`proctor_types::Verdict`]s.

use proctor_kinematics::KinematicsError;

/// Why a safety node could not be built or started.
#[derive(Debug, thiserror::Error)]
pub enum SafetyError {
    /// A parameter was NaN or outside its range. Every range has an upper bound that cannot be configured away.
    #[error("{name} must lie in [{min}, {max}], got {value}")]
    Parameter {
        /// Key, as in the file.
        name: String,
        /// The value that came.
        value: f64,
        /// Smallest allowed value.
        min: f64,
        /// Largest allowed value.
        max: f64,
    },
    /// A class that must never be touched was given contact.
    #[error("classes.{class}: contact is never allowed with {class}")]
    Protected {
        /// Which class.
        class: &'static str,
    },
    /// More zones than the filter has room for.
    #[error("{got} zones configured, at most {max} fit")]
    TooManyZones {
        /// How many came.
        got: usize,
        /// How many fit.
        max: usize,
    },
    /// The file was not understood; the message has line and column.
    #[error("{file}: {source}")]
    File {
        /// Which file.
        file: &'static str,
        /// What the parser said.
        source: Box<toml::de::Error>,
    },
    /// The arms' model could not be built.
    #[error(transparent)]
    Kinematics(#[from] KinematicsError),
    /// The bus refused a topic.
    #[error("bus: {0}")]
    Bus(String),
    /// The real-time thread could not be started.
    #[error("real-time thread: {0}")]
    Thread(#[from] std::io::Error),
}

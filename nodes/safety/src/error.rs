//! What can be wrong with the node's configuration. Refused commands are not errors: they are [`proctor_types::Verdict`]s.

use crate::zones::{file::line_of, mesh::MeshError};
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
    /// A mesh could not be used.
    #[error("{key}: {file}: {source}")]
    Mesh {
        /// Key, as in the file.
        key: String,
        /// Which mesh.
        file: String,
        /// What is wrong with it.
        source: MeshError,
    },
    /// A mesh was named where there is no folder to read it from.
    #[error("{key}: a mesh can be read only for a zones file that lies in a folder")]
    NoMeshHere {
        /// Key, as in the file.
        key: String,
    },
    /// A value in a file was refused.
    #[error("{file}, line {line}: {source}")]
    At {
        /// Which file.
        file: &'static str,
        /// From 1.
        line: usize,
        /// Why.
        source: Box<SafetyError>,
    },
    /// A configuration file could not be read.
    #[error("{file}: {source}")]
    Unreadable {
        /// Which file.
        file: &'static str,
        /// Why.
        source: std::io::Error,
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

impl SafetyError {
    /// With the line of `text` that holds the value that was refused, where one was.
    pub(crate) fn in_file(self, file: &'static str, text: &str) -> Self {
        let line = match &self {
            Self::Parameter { name, .. } => line_of(text, name),
            Self::Protected { class } => line_of(text, &format!("classes.{class}")),
            Self::TooManyZones { max, .. } => line_of(text, &format!("zones[{max}]")),
            Self::Mesh { key, .. } | Self::NoMeshHere { key } => line_of(text, key),
            Self::At { .. }
            | Self::Unreadable { .. }
            | Self::File { .. }
            | Self::Kinematics(_)
            | Self::Bus(_)
            | Self::Thread(_) => None,
        };
        match line {
            Some(line) => Self::At { file, line, source: Box::new(self) },
            None => self,
        }
    }
}

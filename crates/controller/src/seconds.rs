//! Durations in parameter files: plain seconds.

use serde::{Deserialize, Deserializer, Serializer, de::Error};
use std::time::Duration;

/// As seconds.
///
/// # Errors
/// What the format says.
pub fn serialize<S: Serializer>(value: &Duration, s: S) -> Result<S::Ok, S::Error> {
    s.serialize_f64(value.as_secs_f64())
}

/// From seconds.
///
/// # Errors
/// What is no number of seconds.
pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    Duration::try_from_secs_f64(f64::deserialize(d)?).map_err(D::Error::custom)
}

/// The same, where there may be none.
pub mod option {
    use super::{Deserialize, Deserializer, Duration, Error, Serializer};

    /// As seconds, if any.
    ///
    /// # Errors
    /// What the format says.
    pub fn serialize<S: Serializer>(value: &Option<Duration>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => s.serialize_some(&value.as_secs_f64()),
            None => s.serialize_none(),
        }
    }

    /// From seconds, if any.
    ///
    /// # Errors
    /// What is no number of seconds.
    pub fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Duration>, D::Error> {
        Option::<f64>::deserialize(d)?.map(|s| Duration::try_from_secs_f64(s).map_err(D::Error::custom)).transpose()
    }
}

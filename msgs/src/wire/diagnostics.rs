//! `/diagnostics`.

use super::fields::{bounded_text, cut, each, index, known, stamp, time};
use super::{ConvertError, Origin, Wire};
use crate::{
    diagnostic_msgs::{DiagnosticArray, DiagnosticStatus, KeyValue},
    std_msgs::Header,
};
use proctor_types::{Diagnosis, Diagnostics, Health};

fn status(d: &Diagnosis) -> DiagnosticStatus {
    let text = |s: &str| cut(s, Diagnostics::MAX_TEXT);
    let values = d.values.iter().take(Diagnostics::MAX_VALUES);
    DiagnosticStatus {
        level: index(&Health::ALL, &d.health),
        name: text(&d.name),
        message: text(&d.message),
        hardware_id: String::new(),
        values: values.map(|(key, value)| KeyValue { key: text(key), value: text(value) }).collect(),
    }
}

fn read_value(m: &KeyValue) -> Result<(String, String), ConvertError> {
    let text = |field, s| bounded_text(field, s, Diagnostics::MAX_TEXT);
    Ok((text("key", &m.key)?, text("value", &m.value)?))
}

fn read_status(m: &DiagnosticStatus) -> Result<Diagnosis, ConvertError> {
    let text = |field, s| bounded_text(field, s, Diagnostics::MAX_TEXT);
    Ok(Diagnosis {
        health: known("level", &Health::ALL, m.level)?,
        name: text("name", &m.name)?,
        message: text("message", &m.message)?,
        values: each("values", &m.values, Diagnostics::MAX_VALUES, read_value)?,
    })
}

impl Wire for Diagnostics {
    type Msg = DiagnosticArray;

    fn encode(&self) -> Self::Msg {
        DiagnosticArray {
            header: Header { stamp: time(self.stamp), frame_id: String::new() },
            status: self.all.iter().take(Self::MAX).map(status).collect(),
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        Ok(Self {
            stamp: stamp("header.stamp", &m.header.stamp)?,
            all: each("status", &m.status, Self::MAX, read_status)?,
        })
    }
}

//! `/rosout`.

use super::fields::{bounded_text, cut, stamp, time};
use super::{ConvertError, Origin, Problem, Wire};
use crate::rcl_interfaces::Log;
use proctor_types::{LogLevel, LogRecord};

impl Wire for LogRecord {
    type Msg = Log;

    fn encode(&self) -> Self::Msg {
        let text = |s: &str| cut(s, Self::MAX_TEXT);
        Log {
            stamp: time(self.stamp),
            level: self.level.number(),
            name: text(&self.name),
            msg: text(&self.text),
            file: text(&self.file),
            function: text(&self.function),
            line: self.line,
        }
    }

    fn decode(m: &Self::Msg, _: Origin) -> Result<Self, ConvertError> {
        let text = |field, s| bounded_text(field, s, Self::MAX_TEXT);
        let level = LogLevel::ALL.into_iter().find(|l| l.number() == m.level);
        let unknown = Problem::Unknown { got: u64::from(m.level), known: LogLevel::ALL.len() };
        Ok(Self {
            stamp: stamp("stamp", &m.stamp)?,
            level: level.ok_or_else(|| ConvertError::new("level", unknown))?,
            name: text("name", &m.name)?,
            text: text("msg", &m.msg)?,
            file: text("file", &m.file)?,
            function: text("function", &m.function)?,
            line: m.line,
        })
    }
}

//! SDF as text: elements that close themselves, numbers that survive.

use nalgebra::Isometry3;
use std::fmt::{Display, Write as _};

/// Writes indented elements.
#[derive(Debug, Default)]
pub(crate) struct Sdf {
    text: String,
    depth: usize,
}

impl Sdf {
    fn line(&mut self, line: &str) {
        let _ = writeln!(self.text, "{:indent$}{line}", "", indent = 2 * self.depth);
    }

    /// An element with attributes (` name="x"`, already escaped) and what is in it.
    pub fn element(&mut self, name: &str, attributes: &[(&str, &str)], inside: impl FnOnce(&mut Self)) {
        let attributes =
            attributes.iter().fold(String::new(), |all, (name, value)| format!("{all} {name}=\"{}\"", escaped(value)));
        self.line(&format!("<{name}{attributes}>"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line(&format!("</{name}>"));
    }

    /// An element that holds a value.
    pub fn value(&mut self, name: &str, value: impl Display) {
        self.line(&format!("<{name}>{}</{name}>", escaped(&value.to_string())));
    }

    /// Where something is, seen from `relative_to`, or from what holds it.
    pub fn pose(&mut self, pose: &Isometry3<f64>, relative_to: Option<&str>) {
        let t = pose.translation.vector;
        let q = pose.rotation.quaternion().coords;
        let relative = relative_to.map(|r| format!(" relative_to=\"{}\"", escaped(r))).unwrap_or_default();
        self.line(&format!(
            "<pose{relative} rotation_format=\"quat_xyzw\">{} {} {}  {} {} {} {}</pose>",
            t.x, t.y, t.z, q.x, q.y, q.z, q.w
        ));
    }

    /// A system of the simulation, by the names that Fortress (from 6.16) and all newer ones know.
    pub fn system(&mut self, file: &str, class: &str, inside: impl FnOnce(&mut Self)) {
        let (file, class) = (format!("gz-sim-{file}-system"), format!("gz::sim::systems::{class}"));
        self.element("plugin", &[("filename", &file), ("name", &class)], inside);
    }

    /// A whole file.
    pub fn file(inside: impl FnOnce(&mut Self)) -> String {
        let mut sdf = Self::default();
        sdf.line("<?xml version=\"1.0\"?>");
        sdf.line("<!-- Written by `proctor gazebo export`; do not edit. -->");
        sdf.element("sdf", &[("version", "1.9")], inside);
        sdf.text
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_close_and_text_is_escaped() {
        let text = Sdf::file(|sdf| sdf.element("world", &[("name", "a\"b")], |sdf| sdf.value("x", "1<2 & 3")));
        assert!(
            text.contains("  <world name=\"a&quot;b\">\n    <x>1&lt;2 &amp; 3</x>\n  </world>\n</sdf>\n"),
            "{text}"
        );
    }
}

//! The views for RViz and Foxglove show topics that there are, of the type that the display draws, heard as the topic is said.

#![allow(clippy::unwrap_used)]

use proctor_bus::{Topic, graph};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

const RVIZ: &str = include_str!("../../../launch/views/proctor.rviz");
const FOXGLOVE: &str = include_str!("../../../launch/views/proctor.foxglove.json");

fn topic(name: &str) -> Topic {
    graph::all().into_iter().find(|t| t.name == name).unwrap_or_else(|| panic!("{name} is no topic of Proctor's"))
}

#[test]
fn rviz_shows_topics_of_the_table_in_their_types_and_qualities() {
    let view = &YamlLoader::load_from_str(RVIZ).unwrap()[0];
    assert_eq!(view["Visualization Manager"]["Global Options"]["Fixed Frame"].as_str(), Some("world"));
    let mut shown = 0;
    for display in view["Visualization Manager"]["Displays"].as_vec().unwrap() {
        let heard = &display["Topic"];
        let Some(name) = heard["Value"].as_str() else { continue };
        let (topic, class) = (topic(name), display["Class"].as_str().unwrap());
        let drawn = topic.type_name.rsplit('/').next().unwrap();
        assert_eq!(class, format!("rviz_default_plugins/{drawn}"), "{name} is a {}", topic.type_name);
        let reliable = if topic.qos.reliable { "Reliable" } else { "Best Effort" };
        assert_eq!(heard["Reliability Policy"], Yaml::String(reliable.to_owned()), "{name}");
        shown += 1;
    }
    assert_eq!(shown, 2, "the surface and the endoscope's picture");
}

/// Every text in a layout that is a topic's name, with a path below it or not.
fn topics(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) if text.starts_with('/') => found.push(text.split('.').next().unwrap().to_owned()),
        Value::Array(items) => items.iter().for_each(|v| topics(v, found)),
        Value::Object(map) => {
            found.extend(map.keys().filter(|k| k.starts_with('/')).cloned());
            map.values().for_each(|v| topics(v, found));
        }
        _ => {}
    }
}

/// Panels of the layout's tree.
fn panels(tree: &Value) -> Vec<String> {
    match tree {
        Value::String(panel) => vec![panel.clone()],
        _ => [panels(&tree["first"]), panels(&tree["second"])].concat(),
    }
}

#[test]
fn foxglove_shows_topics_of_the_table_in_panels_that_are_configured() {
    let layout: Value = serde_json::from_str(FOXGLOVE).unwrap();
    let mut named = Vec::new();
    topics(&layout, &mut named);
    // robot_state_publisher's.
    named.retain(|n| n != "/robot_description");
    assert!(named.len() >= 8, "{named:?}");
    named.iter().for_each(|n| _ = topic(n));
    let mut panels = panels(&layout["layout"]);
    let mut configured: Vec<_> = layout["configById"].as_object().unwrap().keys().cloned().collect();
    panels.sort();
    configured.sort();
    assert_eq!(panels, configured);
}

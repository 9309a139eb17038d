//! Generates the Rust bindings of `proctor_msgs` and `crtk_msgs`, and the full text of every message definition
//! (with the definitions it needs), which recordings carry as their schema.

use hiroz_codegen::{GeneratorConfig, MessageGenerator, bundled_assets_dir_for, discover_bundled_packages, discovery};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    env,
    error::Error,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

/// Interface packages in folders beside this file: ours, CRTK's, and of ROS's own the messages that hiroz does not bring, or brings with other fields.
const PACKAGES: [&str; 4] = ["proctor_msgs", "crtk_msgs", "rcl_interfaces", "lifecycle_msgs"];
/// Standard types that travel on Proctor's topics.
const STANDARD: [(&str, &str); 9] = [
    ("sensor_msgs", "Image"),
    ("sensor_msgs", "CameraInfo"),
    ("sensor_msgs", "JointState"),
    ("sensor_msgs", "PointCloud2"),
    ("geometry_msgs", "PoseStamped"),
    ("geometry_msgs", "WrenchStamped"),
    ("rosgraph_msgs", "Clock"),
    ("diagnostic_msgs", "DiagnosticArray"),
    ("tf2_msgs", "TFMessage"),
];

type Key = (String, String);

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let ours: Vec<PathBuf> = PACKAGES.iter().map(|p| here.join(p)).collect();
    for package in &ours {
        println!("cargo:rerun-if-changed={}", package.display());
    }
    let mut standard = discover_bundled_packages(false)?;
    standard.retain(|p| !p.file_name().is_some_and(|n| PACKAGES.iter().any(|&ours| n == ours)));
    let ours: Vec<&Path> = ours.iter().map(PathBuf::as_path).collect();
    let standard: Vec<&Path> = standard.iter().map(PathBuf::as_path).collect();

    MessageGenerator::new(GeneratorConfig {
        generate_cdr: true,
        generate_protobuf: false,
        generate_type_info: true,
        is_humble: false,
        output_dir: out.clone(),
        external_crate: Some("hiroz_msgs".into()),
        local_packages: PACKAGES.iter().map(|&p| p.to_owned()).collect::<HashSet<_>>(),
        json_out: None,
    })
    .generate_from_msg_files_with_deps(&ours, &standard)?;

    fs::write(out.join("definitions.rs"), definitions(&ours)?)?;
    Ok(())
}

/// A function from "package/msg/Name" to the message's text followed by the texts it needs (MCAP's `ros2msg` schema).
fn definitions(ours: &[&Path]) -> Result<String, Box<dyn Error>> {
    let assets = bundled_assets_dir_for("jazzy");
    let wanted_packages = [
        "std_msgs",
        "builtin_interfaces",
        "geometry_msgs",
        "sensor_msgs",
        "rosgraph_msgs",
        "diagnostic_msgs",
        "tf2_msgs",
    ];
    let assets: Vec<PathBuf> = wanted_packages.iter().map(|p| assets.join(p)).collect();
    let all: Vec<&Path> = ours.iter().copied().chain(assets.iter().map(PathBuf::as_path)).collect();
    let (messages, _, _) = discovery::discover_all(&all)?;

    let mut texts: BTreeMap<Key, String> = BTreeMap::new();
    let mut needs: BTreeMap<Key, Vec<Key>> = BTreeMap::new();
    for m in messages {
        let key = (m.package.clone(), m.name.clone());
        let fields = m.fields.iter().map(|f| &f.field_type).filter(|t| t.base_type.starts_with(char::is_uppercase));
        let deps = fields.map(|t| (t.package.clone().unwrap_or_else(|| m.package.clone()), t.base_type.clone()));
        needs.insert(key.clone(), deps.collect());
        texts.insert(key, m.source);
    }

    let mut code = String::from(
        "/// The full text of a message definition with every definition it needs, as MCAP's `ros2msg` wants it.\n\
         pub fn definition(ros_name: &str) -> Option<&'static str> {\n    match ros_name {\n",
    );
    let standard = STANDARD.iter().map(|&(p, n)| (p.to_owned(), n.to_owned()));
    let own = texts.keys().filter(|(p, _)| PACKAGES.contains(&p.as_str())).cloned();
    for key in own.chain(standard) {
        let mut text = texts.get(&key).ok_or_else(|| format!("no definition of {key:?}"))?.clone();
        let (mut seen, mut queue) = (BTreeSet::from([key.clone()]), needs[&key].clone());
        while let Some(next) = queue.pop() {
            if seen.insert(next.clone()) {
                let source = texts.get(&next).ok_or_else(|| format!("no definition of {next:?}"))?;
                write!(text, "\n{}\nMSG: {}/{}\n{source}", "=".repeat(80), next.0, next.1)?;
                queue.extend(needs[&next].iter().cloned());
            }
        }
        writeln!(code, "        \"{}/msg/{}\" => Some({text:?}),", key.0, key.1)?;
    }
    code.push_str("        _ => None,\n    }\n}\n");
    Ok(code)
}

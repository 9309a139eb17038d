//! Which topics of a bag are the pictures, cameras and arms: as told, else guessed from the names that CRTK and the dVRK's video pipelines use.

use super::TopicArgs;
use anyhow::bail;
use proctor_recording::Topic;
use proctor_types::ArmId;

/// Topics (places in the recording's list) of both cameras.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cameras {
    /// Pictures, left and right.
    pub pictures: [u32; 2],
    /// CameraInfo of both, where there is one.
    pub infos: Option<[u32; 2]>,
    /// Whether the pictures' names say that they are rectified.
    pub rectified: bool,
}

/// Topics of an arm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arm {
    /// Which.
    pub id: ArmId,
    /// What it measured.
    pub measured: Measured,
    /// JointState of its jaws.
    pub jaw: Option<u32>,
}

/// Joints where there are any, else poses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measured {
    /// JointState.
    Joints(u32),
    /// PoseStamped.
    Pose(u32),
    /// TransformStamped.
    Transform(u32),
}

impl Measured {
    /// The topic.
    pub fn topic(self) -> u32 {
        match self {
            Self::Joints(topic) | Self::Pose(topic) | Self::Transform(topic) => topic,
        }
    }
}

const IMAGE: &str = "sensor_msgs/msg/Image";
const COMPRESSED: &str = "sensor_msgs/msg/CompressedImage";
const INFO: &str = "sensor_msgs/msg/CameraInfo";
const JOINTS: &str = "sensor_msgs/msg/JointState";
const POSE: &str = "geometry_msgs/msg/PoseStamped";
const TRANSFORM: &str = "geometry_msgs/msg/TransformStamped";
/// Below an arm's namespace, best first: CRTK, then the dVRK before 2020.
const ARM_JOINTS: [&str; 2] = ["measured_js", "state_joint_current"];
const ARM_JAWS: [&str; 3] = ["jaw/measured_js", "gripper/measured_js", "state_jaw_current"];
const ARM_POSES: [&str; 4] =
    ["local/measured_cp", "measured_cp", "position_cartesian_local_current", "position_cartesian_current"];
/// Pictures by the last part of their name, best first: in colour, without a lens' bend, as the camera gave them.
const PICTURES: [&str; 6] = ["image_rect_color", "image_color", "image_raw", "image_rect", "image", "image_mono"];

/// What a topic of compressed pictures is called without `/compressed`.
fn base(name: &str) -> &str {
    name.strip_suffix("/compressed").unwrap_or(name)
}

fn usable(topic: &Topic, types: &[&str]) -> bool {
    topic.messages > 0 && topic.unreadable.is_none() && types.contains(&topic.type_name.as_str())
}

fn list(topics: &[Topic], types: &[&str]) -> String {
    let names: Vec<&str> =
        topics.iter().filter(|t| types.contains(&t.type_name.as_str())).map(|t| t.name.as_str()).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The topic that was named, which must be there, hold messages, and be of one of these types.
fn named(topics: &[Topic], name: &str, types: &[&str]) -> anyhow::Result<u32> {
    if let Some(i) = topics.iter().position(|t| t.name == name && usable(t, types)) {
        return Ok(i as u32);
    }
    let Some(there) = topics.iter().find(|t| t.name == name) else {
        bail!("{name} is not in the recording; {} there: {}", types.join(" or "), list(topics, types));
    };
    let why = there.unreadable.clone().unwrap_or_else(|| format!("{} messages of {}", there.messages, there.type_name));
    bail!("{name}: {why}, {} expected", types.join(" or "))
}

/// The same name of the other camera.
fn partner(name: &str) -> Option<String> {
    ["left", "Left", "LEFT"].iter().zip(["right", "Right", "RIGHT"]).find_map(|(left, right)| {
        let at = name.rfind(left)?;
        Some(format!("{}{right}{}", &name[..at], &name[at + left.len()..]))
    })
}

/// How good a name of pictures is; smaller is better.
fn rank(topic: &Topic) -> (usize, bool) {
    let last = base(&topic.name).rsplit('/').next().unwrap_or_default();
    (PICTURES.iter().position(|p| *p == last).unwrap_or(PICTURES.len()), topic.type_name == COMPRESSED)
}

/// Pairs of pictures whose names differ in the side alone, the best of each camera.
fn pairs(topics: &[Topic]) -> Vec<[u32; 2]> {
    let no_picture =
        |name: &str| ["depth", "disparity", "label", "segment", "mask", "overlay"].iter().any(|w| name.contains(w));
    let mut out: Vec<[u32; 2]> = Vec::new();
    for (i, left) in topics.iter().enumerate().filter(|(_, t)| usable(t, &[IMAGE, COMPRESSED]) && !no_picture(&t.name))
    {
        let Some(right) = partner(&left.name) else { continue };
        let found = topics
            .iter()
            .position(|t| t.name == right && t.type_name == left.type_name && usable(t, &[IMAGE, COMPRESSED]));
        out.extend(found.map(|r| [i as u32, r as u32]));
    }
    let topic = |pair: &[u32; 2]| &topics[pair[0] as usize];
    out.sort_by_key(|pair| rank(topic(pair)));
    let mut cameras: Vec<String> = Vec::new();
    out.retain(|pair| {
        let namespace = base(&topic(pair).name).rsplit_once('/').map_or("", |(n, _)| n).to_owned();
        let new = !cameras.contains(&namespace);
        cameras.push(namespace);
        new
    });
    out
}

/// The pictures, and what calibrates their cameras.
pub fn cameras(topics: &[Topic], args: &TopicArgs) -> anyhow::Result<Cameras> {
    let types = [IMAGE, COMPRESSED];
    let pictures = match (&args.left, &args.right) {
        (Some(left), right) => {
            let Some(right) = right.clone().or_else(|| partner(left)) else {
                bail!("--left {left}: its name does not tell the right camera's; give --right");
            };
            [named(topics, left, &types)?, named(topics, &right, &types)?]
        }
        (None, Some(right)) => bail!("--right {right} needs --left"),
        (None, None) => match pairs(topics).as_slice() {
            [pair] => *pair,
            [] => bail!(
                "no two topics of pictures whose names differ in left and right alone; give --left and --right; pictures there: {}",
                list(topics, &types)
            ),
            several => {
                let names: Vec<&str> = several.iter().map(|p| topics[p[0] as usize].name.as_str()).collect();
                bail!("several stereo pairs: {}; choose one by --left and --right", names.join(", "));
            }
        },
    };
    let name = |side: usize| topics[pictures[side] as usize].name.as_str();
    let beside = |side: usize| {
        let namespace = base(name(side)).rsplit_once('/').map_or("", |(n, _)| n);
        let info = format!("{namespace}/camera_info");
        topics.iter().position(|t| t.name == info && usable(t, &[INFO])).map(|i| i as u32)
    };
    let infos = match args.camera_info.as_slice() {
        [] => beside(0).zip(beside(1)).map(|(l, r)| [l, r]),
        [left, right] => Some([named(topics, left, &[INFO])?, named(topics, right, &[INFO])?]),
        other => bail!("--camera-info {}: two topics, LEFT,RIGHT, are expected", other.join(",")),
    };
    let rectified = [0, 1].iter().all(|s| base(name(*s)).rsplit('/').next().is_some_and(|last| last.contains("rect")));
    Ok(Cameras { pictures, infos, rectified })
}

/// The namespaces that were told, by arm.
fn namespaces(args: &TopicArgs) -> anyhow::Result<[Option<String>; 2]> {
    let mut out = [None, None];
    for argument in &args.namespace {
        let parts = argument.split_once('=').and_then(|(arm, n)| Some((arm.to_uppercase().parse::<ArmId>().ok()?, n)));
        match parts {
            Some((arm, namespace)) if arm.has_jaw() && namespace.starts_with('/') => {
                out[arm.index()] = Some(namespace.trim_end_matches('/').to_owned());
            }
            _ => bail!("--namespace {argument}: such as PSM2=/PSM3 is expected"),
        }
    }
    Ok(out)
}

/// The topic of an arm that ends in one of these, best first: below the namespace told, else below one that ends in the arm's name, if only one is.
fn of_arm(
    topics: &[Topic],
    arm: ArmId,
    told: Option<&str>,
    ends: &[&str],
    types: &[&str],
) -> anyhow::Result<Option<u32>> {
    for end in ends {
        let tail = format!("/{}/{end}", arm.name());
        let fits = |t: &Topic| match told {
            Some(namespace) => t.name == format!("{namespace}/{end}"),
            None => t.name == tail[1..] || t.name.ends_with(&tail),
        };
        let found: Vec<usize> = (0..topics.len()).filter(|i| fits(&topics[*i]) && usable(&topics[*i], types)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(Some(*one as u32)),
            several => {
                let names: Vec<&str> = several.iter().map(|i| topics[*i].name.as_str()).collect();
                bail!("{arm} is there several times: {}; choose by --namespace {arm}=/...", names.join(", "));
            }
        }
    }
    Ok(None)
}

/// The arms that are there.
pub fn arms(topics: &[Topic], args: &TopicArgs) -> anyhow::Result<Vec<Arm>> {
    let told = namespaces(args)?;
    let mut out = Vec::new();
    for id in ArmId::PSMS {
        let told = told[id.index()].as_deref();
        let of = |ends: &[&str], types: &[&str]| of_arm(topics, id, told, ends, types);
        let measured = match (of(&ARM_JOINTS, &[JOINTS])?, of(&ARM_POSES, &[POSE, TRANSFORM])?) {
            (Some(joints), _) => Measured::Joints(joints),
            (None, Some(pose)) if topics[pose as usize].type_name == POSE => Measured::Pose(pose),
            (None, Some(transform)) => Measured::Transform(transform),
            (None, None) if told.is_some() => {
                bail!("{id}: neither measured_js nor measured_cp below {}", told.unwrap_or_default())
            }
            (None, None) => continue,
        };
        out.push(Arm { id, measured, jaw: of(&ARM_JAWS, &[JOINTS])? });
    }
    if out.is_empty() {
        bail!(
            "no arm: a topic .../PSM1/measured_js or .../PSM1/measured_cp is expected, or --namespace, or --poses; joints there: {}; poses there: {}",
            list(topics, &[JOINTS]),
            list(topics, &[POSE, TRANSFORM])
        );
    }
    Ok(out)
}

/// Joints of the endoscope's arm, if they were recorded.
pub fn endoscope(topics: &[Topic]) -> Option<u32> {
    of_arm(topics, ArmId::Ecm, None, &ARM_JOINTS, &[JOINTS]).ok().flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A recording's topics, by name and short type.
    fn topics(list: &[(&str, &str)]) -> Vec<Topic> {
        let of = |(name, kind): &(&str, &str)| {
            let type_name = match *kind {
                "image" => IMAGE,
                "compressed" => COMPRESSED,
                "info" => INFO,
                "joints" => JOINTS,
                "pose" => POSE,
                "transform" => TRANSFORM,
                other => other,
            };
            Topic::new(name, type_name, 10)
        };
        list.iter().map(of).collect()
    }

    fn eyes(list: &[(&str, &str)], args: &TopicArgs) -> Result<(String, String, Option<String>, bool), String> {
        let topics = topics(list);
        let name = |i: u32| topics[i as usize].name.clone();
        let c = cameras(&topics, args).map_err(|e| e.to_string())?;
        Ok((name(c.pictures[0]), name(c.pictures[1]), c.infos.map(|i| name(i[0])), c.rectified))
    }

    #[test]
    fn the_pictures_of_a_dvrk_are_found_by_their_names() {
        let none = TopicArgs::default();
        let (left, right, info, rectified) = eyes(
            &[
                ("/stereo/left/image_raw/compressed", "compressed"),
                ("/stereo/right/image_raw/compressed", "compressed"),
                ("/stereo/left/camera_info", "info"),
                ("/stereo/right/camera_info", "info"),
                ("/stereo/left/depth/image_raw", "image"),
                ("/stereo/right/depth/image_raw", "image"),
            ],
            &none,
        )
        .unwrap();
        assert_eq!(
            (left.as_str(), right.as_str()),
            ("/stereo/left/image_raw/compressed", "/stereo/right/image_raw/compressed")
        );
        assert_eq!((info.as_deref(), rectified), (Some("/stereo/left/camera_info"), false));
        // Of one camera the rectified picture in colour, not the others.
        let all = ["image_raw", "image_mono", "image_rect", "image_rect_color", "image_rect_color/compressed"];
        let both: Vec<(String, &str)> = all
            .iter()
            .flat_map(|n| ["left", "right"].map(|s| format!("/jhu_daVinci/{s}/{n}")))
            .map(|n| if n.ends_with("compressed") { (n, "compressed") } else { (n, "image") })
            .collect();
        let both: Vec<(&str, &str)> = both.iter().map(|(n, t)| (n.as_str(), *t)).collect();
        let (left, _, info, rectified) = eyes(&both, &none).unwrap();
        assert_eq!((left.as_str(), info, rectified), ("/jhu_daVinci/left/image_rect_color", None, true));
    }

    #[test]
    fn what_cannot_be_guessed_is_asked_for_with_what_is_there() {
        let none = TopicArgs::default();
        let told = |left: &str| TopicArgs { left: Some(left.to_owned()), ..TopicArgs::default() };
        let two = [
            ("/a/left/image", "image"),
            ("/a/right/image", "image"),
            ("/b/left/image", "image"),
            ("/b/right/image", "image"),
        ];
        let error = eyes(&two, &none).unwrap_err();
        assert!(
            error.contains("/a/left/image") && error.contains("/b/left/image") && error.contains("--left"),
            "{error}"
        );
        assert_eq!(eyes(&two, &told("/b/left/image")).unwrap().1, "/b/right/image");
        let error = eyes(&[("/cam/image", "image"), ("/x", "joints")], &none).unwrap_err();
        assert!(error.contains("/cam/image") && !error.contains("/x"), "{error}");
        let error = eyes(&two, &told("/c/left/image")).unwrap_err();
        assert!(error.contains("/c/left/image is not in the recording") && error.contains("/a/left/image"), "{error}");
        let error = eyes(&[("/l", "joints")], &told("/l")).unwrap_err();
        assert!(error.contains("--right"), "{error}");
        let error = eyes(&[("/left", "joints"), ("/right", "image")], &told("/left")).unwrap_err();
        assert!(error.contains("sensor_msgs/msg/JointState") && error.contains("Image"), "{error}");
    }

    fn of_arms(list: &[(&str, &str)], namespace: &[&str]) -> Result<Vec<(ArmId, String, Option<String>)>, String> {
        let topics = topics(list);
        let args = TopicArgs { namespace: namespace.iter().map(|n| (*n).to_owned()).collect(), ..TopicArgs::default() };
        let name = |i: u32| topics[i as usize].name.clone();
        let found = arms(&topics, &args).map_err(|e| e.to_string())?;
        Ok(found.into_iter().map(|a| (a.id, name(a.measured.topic()), a.jaw.map(name))).collect())
    }

    #[test]
    fn arms_are_found_below_any_namespace_by_joints_before_poses() {
        let list = [
            ("/dvrk/PSM1/measured_cp", "pose"),
            ("/dvrk/PSM1/measured_js", "joints"),
            ("/dvrk/PSM1/jaw/measured_js", "joints"),
            ("/PSM2/local/measured_cp", "transform"),
            ("/PSM2/measured_cp", "transform"),
            ("/PSM3/measured_js", "joints"),
        ];
        let own = |name: &str| name.to_owned();
        let found = of_arms(&list, &[]).unwrap();
        assert_eq!(found[0], (ArmId::Psm1, own("/dvrk/PSM1/measured_js"), Some(own("/dvrk/PSM1/jaw/measured_js"))));
        assert_eq!(found[1], (ArmId::Psm2, own("/PSM2/local/measured_cp"), None));
        assert_eq!(of_arms(&list, &["PSM2=/PSM3"]).unwrap()[1].1, "/PSM3/measured_js");
        let twice = [("/a/PSM1/measured_js", "joints"), ("/b/PSM1/measured_js", "joints")];
        assert!(of_arms(&twice, &[]).unwrap_err().contains("/a/PSM1/measured_js, /b/PSM1/measured_js"));
        assert_eq!(of_arms(&twice, &["PSM1=/b/PSM1/"]).unwrap()[0].1, "/b/PSM1/measured_js");
        assert!(of_arms(&[("/MTML/measured_js", "joints")], &[]).unwrap_err().contains("/MTML/measured_js"));
        assert!(of_arms(&twice, &["PSM1=/c"]).unwrap_err().contains("below /c"));
        assert!(of_arms(&twice, &["ECM=/c"]).unwrap_err().contains("PSM2=/PSM3"));
    }
}

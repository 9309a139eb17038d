//! What a Gazebo world says: packets of discovery, connections, joint states.

use crate::{Target, mutate::Kind};
use proctor_arm::Sample;
use proctor_gazebo::Arm;
use proctor_gz::{
    discovery::{self, Directory},
    messages::{self, Axis, Contents, DiscoveryType, Header, MessagePublisher, Model, Publisher, PublisherKind, Time},
    zmtp,
};
use proctor_types::ArmId;
use prost::Message as _;
use std::{sync::LazyLock, time::Instant};

/// Every target.
pub fn targets() -> Vec<Target> {
    let target = |name, read, seeds| Target { name, kind: Kind::Binary, read, seeds };
    vec![
        target("gz_discovery", read_discovery, discovery_seeds),
        target("gz_zmtp", read_zmtp, zmtp_seeds),
        target("gz_joint_state", read_joint_state, joint_state_seeds),
    ]
}

fn read_discovery(bytes: &[u8]) -> bool {
    let Some(said) = discovery::parse(bytes) else { return false };
    let mut directory = Directory::new("me");
    directory.hear(said, Instant::now());
    assert!(directory.all().all(|offer| discovery::address(&offer.address).is_some()), "an offer without an address");
    true
}

fn discovery_seeds() -> Vec<Vec<u8>> {
    let messages = MessagePublisher { ctrl: String::new(), msg_type: "gz.msgs.Clock".to_owned() };
    let offer = Publisher {
        topic: "@/p@/clock".to_owned(),
        address: "tcp://127.0.0.1:4567".to_owned(),
        process_uuid: "a".to_owned(),
        node_uuid: "b".to_owned(),
        scope: 2,
        kind: Some(PublisherKind::Messages(messages)),
    };
    vec![
        discovery::packet("a", DiscoveryType::Advertise, Some(Contents::Publisher(offer))),
        discovery::packet("a", DiscoveryType::Heartbeat, None),
        discovery::question("a", "@/p@/clock"),
    ]
}

/// Every message of a connection.
fn read_zmtp(mut bytes: &[u8]) -> bool {
    let whole = bytes.len();
    let mut frames = 0;
    while !bytes.is_empty() {
        let Ok(incoming) = zmtp::read(&mut bytes) else { return false };
        if let zmtp::Incoming::Message(message) = &incoming {
            frames += message.iter().map(Vec::len).sum::<usize>();
            let again = zmtp::message(&message.iter().map(Vec::as_slice).collect::<Vec<_>>());
            assert_eq!(zmtp::read(&mut &*again).ok().as_ref(), Some(&incoming), "said again, it is another message");
        }
        let _ = zmtp::wish(incoming);
    }
    assert!(frames <= whole, "more bytes than came");
    true
}

fn zmtp_seeds() -> Vec<Vec<u8>> {
    let message = zmtp::message(&[b"@/p@/clock", b"tcp://127.0.0.1:4567", &[7; 300], b"gz.msgs.Clock"]);
    vec![[zmtp::subscribe(b"@/p@/clock"), message].concat(), b"\x04\x0b\x09SUBSCRIBEa".to_vec()]
}

/// Read before anything is measured.
static ARM: LazyLock<Arm> = LazyLock::new(|| Arm::of(ArmId::Psm1).expect("the cell's own"));

fn read_joint_state(bytes: &[u8]) -> bool {
    let Ok(model) = Model::decode(bytes) else { return false };
    let Ok(sample) = Sample::of(&model, &ARM) else { return false };
    let numbers = sample.position.iter().chain(sample.velocity.iter()).chain([&sample.jaw]);
    assert!(numbers.into_iter().all(|x| x.is_finite()), "a joint that is no number was taken");
    true
}

fn joint_state_seeds() -> Vec<Vec<u8>> {
    LazyLock::force(&ARM);
    let joints = ["yaw", "pitch", "insertion", "roll", "wrist_pitch", "wrist_yaw", "jaw_1", "jaw_2"];
    let joint = |name: &str| messages::Joint {
        name: format!("PSM1_{name}"),
        axis1: Some(Axis { position: 0.1, velocity: -0.2, force: 0.0 }),
    };
    let header = Some(Header { stamp: Some(Time { sec: 1, nsec: 2 }) });
    vec![Model { header, name: "PSM1".to_owned(), joint: joints.map(joint).into() }.encode_to_vec()]
}

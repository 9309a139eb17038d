//! How processes of a simulation find each other: small UDP packets to a multicast group, and the directory that they make.

use crate::messages::{Contents, Discovery, DiscoveryType, Publisher, PublisherKind, Subscriber};
use prost::Message;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};

/// Gazebo's multicast group.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 0, 7);
/// Port on which topics are found.
pub const TOPICS_PORT: u16 = 10_317;
/// Port on which services are found.
pub const SERVICES_PORT: u16 = 10_318;
/// A process says that often that it is there.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// One that says nothing for so long is gone.
pub const SILENCE: Duration = Duration::from_secs(3);
/// Longest packet.
pub const MOST_BYTES: usize = 65_507;

/// Version of the packets.
const VERSION: u32 = 10;
/// Scope of what only its own process may use.
const PROCESS: i32 = 0;

/// The packet that process `own` sends.
pub fn packet(own: &str, kind: DiscoveryType, contents: Option<Contents>) -> Vec<u8> {
    let said = Discovery { version: VERSION, process_uuid: own.to_owned(), kind: kind.into(), contents };
    let body = said.encode_to_vec();
    let mut bytes = (body.len() as u16).to_le_bytes().to_vec();
    bytes.extend(body);
    bytes
}

/// The packet that asks who has `topic`.
pub fn question(own: &str, topic: &str) -> Vec<u8> {
    packet(own, DiscoveryType::Subscribe, Some(Contents::Subscriber(Subscriber { topic: topic.to_owned() })))
}

/// What a packet says, if it is one of this version.
pub fn parse(bytes: &[u8]) -> Option<Discovery> {
    let (length, body) = bytes.split_first_chunk::<2>()?;
    let said = (body.len() == usize::from(u16::from_le_bytes(*length))).then(|| Discovery::decode(body).ok())??;
    (said.version == VERSION).then_some(said)
}

/// The machine and port in `tcp://ip:port`.
pub fn address(text: &str) -> Option<SocketAddrV4> {
    text.strip_prefix("tcp://")?.parse().ok()
}

/// What a packet means for us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Somebody has a topic or service; said again now and then.
    Offer(Publisher),
    /// Somebody looks for a topic or service.
    Question(String),
}

/// Who has what, as far as heard.
#[derive(Debug)]
pub struct Directory {
    own: String,
    seen: BTreeMap<String, Instant>,
    offers: BTreeMap<(String, String, String), Publisher>,
}

impl Directory {
    /// Most topics or services that are kept; more are not.
    pub const MOST_OFFERS: usize = 4096;
    /// Most processes.
    pub const MOST_PROCESSES: usize = 512;

    /// Of a process that is called `own`, and does not hear itself.
    pub fn new(own: &str) -> Self {
        Self { own: own.to_owned(), seen: BTreeMap::new(), offers: BTreeMap::new() }
    }

    /// Takes in what somebody said.
    pub fn hear(&mut self, said: Discovery, now: Instant) -> Option<Heard> {
        if said.process_uuid == self.own || said.process_uuid.is_empty() {
            return None;
        }
        let kind = DiscoveryType::try_from(said.kind).ok()?;
        if kind == DiscoveryType::Bye {
            self.forget(&said.process_uuid);
            return None;
        }
        if self.seen.len() < Self::MOST_PROCESSES || self.seen.contains_key(&said.process_uuid) {
            self.seen.insert(said.process_uuid, now);
        }
        match (kind, said.contents?) {
            (DiscoveryType::Subscribe, Contents::Subscriber(Subscriber { topic })) => Some(Heard::Question(topic)),
            (DiscoveryType::Advertise, Contents::Publisher(offer)) => self.add(offer).map(Heard::Offer),
            (DiscoveryType::Unadvertise, Contents::Publisher(offer)) => {
                self.offers.remove(&key(&offer));
                None
            }
            _ => None,
        }
    }

    fn add(&mut self, offer: Publisher) -> Option<Publisher> {
        let full = self.offers.len() >= Self::MOST_OFFERS && !self.offers.contains_key(&key(&offer));
        if full
            || offer.scope == PROCESS
            || !self.seen.contains_key(&offer.process_uuid)
            || address(&offer.address).is_none()
        {
            return None;
        }
        self.offers.insert(key(&offer), offer.clone());
        Some(offer)
    }

    fn forget(&mut self, process: &str) {
        self.seen.remove(process);
        self.offers.retain(|(owner, ..), _| owner != process);
    }

    /// Forgets processes that have been silent for [`SILENCE`].
    pub fn expire(&mut self, now: Instant) {
        let silent = |last: &Instant| now.saturating_duration_since(*last) > SILENCE;
        let gone: Vec<_> = self.seen.iter().filter(|(_, last)| silent(last)).map(|(p, _)| p.clone()).collect();
        gone.iter().for_each(|process| self.forget(process));
    }

    /// Who has `topic`.
    pub fn offers<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a Publisher> {
        self.offers.values().filter(move |offer| offer.topic == topic)
    }

    /// Everything that anybody has.
    pub fn all(&self) -> impl Iterator<Item = &Publisher> {
        self.offers.values()
    }
}

fn key(offer: &Publisher) -> (String, String, String) {
    (offer.process_uuid.clone(), offer.node_uuid.clone(), offer.topic.clone())
}

/// The type of the messages that somebody publishes.
pub fn message_type(offer: &Publisher) -> Option<&str> {
    match offer.kind.as_ref()? {
        PublisherKind::Messages(messages) => Some(&messages.msg_type),
        PublisherKind::Service(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messages::MessagePublisher;
    use proptest::prelude::*;

    fn offer(topic: &str, process: &str) -> Publisher {
        Publisher {
            topic: topic.to_owned(),
            address: "tcp://127.0.0.1:4567".to_owned(),
            process_uuid: process.to_owned(),
            node_uuid: "n".to_owned(),
            scope: 2,
            kind: Some(PublisherKind::Messages(MessagePublisher {
                ctrl: String::new(),
                msg_type: "ignition.msgs.Clock".to_owned(),
            })),
        }
    }

    fn said(process: &str, kind: DiscoveryType, contents: Option<Contents>) -> Discovery {
        parse(&packet(process, kind, contents)).unwrap()
    }

    fn advertise(topic: &str, process: &str) -> Discovery {
        said(process, DiscoveryType::Advertise, Some(Contents::Publisher(offer(topic, process))))
    }

    #[test]
    fn a_heartbeat_is_laid_out_as_gazebo_lays_it_out() {
        // Length, little endian; field 2 = 10; field 3 = "ab"; field 4 = 4.
        assert_eq!(packet("ab", DiscoveryType::Heartbeat, None), b"\x08\0\x10\x0a\x1a\x02ab\x20\x04");
    }

    #[test]
    fn offers_are_kept_until_they_end() {
        let (start, mut directory) = (Instant::now(), Directory::new("me"));
        assert_eq!(directory.hear(advertise("t", "a"), start), Some(Heard::Offer(offer("t", "a"))));
        assert_eq!(directory.hear(advertise("t", "me"), start), None, "our own");
        directory.hear(advertise("u", "a"), start);
        directory.hear(advertise("t", "b"), start);
        assert_eq!(directory.offers("t").count(), 2);
        directory.hear(said("a", DiscoveryType::Unadvertise, Some(Contents::Publisher(offer("t", "a")))), start);
        assert_eq!(directory.offers("t").count(), 1);
        directory.hear(said("b", DiscoveryType::Bye, None), start);
        assert_eq!((directory.offers("t").count(), directory.offers("u").count()), (0, 1));
        let later = start + Duration::from_secs(2);
        directory.hear(said("a", DiscoveryType::Heartbeat, None), later);
        directory.expire(start + Duration::from_secs(4));
        assert_eq!(directory.all().count(), 1, "it has said that it is there");
        directory.expire(later + Duration::from_millis(3001));
        assert_eq!(directory.all().count(), 0);
    }

    #[test]
    fn what_only_its_process_may_use_and_what_has_no_address_is_no_offer() {
        let mut directory = Directory::new("me");
        for wrong in [
            Publisher { scope: PROCESS, ..offer("t", "a") },
            Publisher { address: "ipc:///tmp/x".to_owned(), ..offer("t", "a") },
            Publisher { address: "tcp://host:1".to_owned(), ..offer("t", "a") },
            Publisher { process_uuid: "somebody else".to_owned(), ..offer("t", "a") },
        ] {
            let contents = Some(Contents::Publisher(wrong));
            assert_eq!(directory.hear(said("a", DiscoveryType::Advertise, contents), Instant::now()), None);
        }
    }

    #[test]
    fn a_flood_fills_only_what_is_set_aside_for_it() {
        let mut directory = Directory::new("me");
        let now = Instant::now();
        for i in 0..Directory::MOST_OFFERS + 10 {
            directory.hear(advertise(&format!("t{i}"), "a"), now);
        }
        for i in 0..Directory::MOST_PROCESSES + 10 {
            directory.hear(said(&format!("p{i}"), DiscoveryType::Heartbeat, None), now);
        }
        assert_eq!(directory.all().count(), Directory::MOST_OFFERS);
        assert_eq!(directory.seen.len(), Directory::MOST_PROCESSES);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default()
        })]

        #[test]
        fn no_packet_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), cut in 0_usize..80, flip in any::<u8>()) {
            let mut directory = Directory::new("me");
            let mut real = packet("a", DiscoveryType::Advertise, Some(Contents::Publisher(offer("t", "a"))));
            let at = cut % real.len();
            real[at] ^= flip;
            for bytes in [&bytes[..], &real, &real[..at]] {
                if let Some(said) = parse(bytes) {
                    directory.hear(said, Instant::now());
                }
            }
        }
    }
}

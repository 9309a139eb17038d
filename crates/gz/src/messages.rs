//! The fields of Gazebo's messages that we read or write, by their numbers in gz-msgs 8 (Fortress) to 11; fields that are not here are skipped.

use prost::{Enumeration, Message, Oneof};

/// A message with a name in Gazebo's package of messages.
pub trait Named: Message + Default {
    /// Without the package, e.g. `Double`.
    const NAME: &'static str;
}

macro_rules! named {
    ($($message:ident)*) => { $(impl Named for $message { const NAME: &'static str = stringify!($message); })* };
}

named!(Boolean Clock Double Empty Image Model StringMsg WorldControl WorldStatistics);

/// Seconds and nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Time {
    /// Whole seconds.
    #[prost(int64, tag = "1")]
    pub sec: i64,
    /// And nanoseconds.
    #[prost(int32, tag = "2")]
    pub nsec: i32,
}

impl Time {
    /// Nanoseconds since the simulation's beginning; `None` for what is no time after it.
    pub fn nanos(self) -> Option<i64> {
        let whole = self.sec.checked_mul(1_000_000_000)?;
        whole.checked_add(self.nsec.into()).filter(|_| self.sec >= 0 && (0..1_000_000_000).contains(&self.nsec))
    }
}

/// What nearly every message begins with.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Header {
    /// When it was true, in simulated time.
    #[prost(message, optional, tag = "1")]
    pub stamp: Option<Time>,
}

/// `/clock`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Clock {
    /// Simulated time.
    #[prost(message, optional, tag = "4")]
    pub sim: Option<Time>,
}

/// A number: commands to joints.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Double {
    /// It.
    #[prost(double, tag = "2")]
    pub data: f64,
}

/// Yes or no: what services answer.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Boolean {
    /// It.
    #[prost(bool, tag = "2")]
    pub data: bool,
}

/// Text.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StringMsg {
    /// It.
    #[prost(string, tag = "2")]
    pub data: String,
}

/// Nothing.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// How a joint stands.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Axis {
    /// rad or m.
    #[prost(double, tag = "10")]
    pub position: f64,
    /// rad/s or m/s.
    #[prost(double, tag = "11")]
    pub velocity: f64,
    /// N m or N.
    #[prost(double, tag = "12")]
    pub force: f64,
}

/// A joint by name.
#[derive(Clone, PartialEq, Message)]
pub struct Joint {
    /// Name in the model.
    #[prost(string, tag = "2")]
    pub name: String,
    /// How it stands.
    #[prost(message, optional, tag = "10")]
    pub axis1: Option<Axis>,
}

/// What the joint state publisher says of a model.
#[derive(Clone, PartialEq, Message)]
pub struct Model {
    /// When.
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// Which.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its joints.
    #[prost(message, repeated, tag = "6")]
    pub joint: Vec<Joint>,
}

/// How a picture's bytes are pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum PixelFormat {
    /// Not said.
    Unknown = 0,
    /// A byte of grey.
    LInt8 = 1,
    /// Red, green and blue, a byte each.
    RgbInt8 = 3,
    /// A 32-bit floating-point number: depth in metres.
    RFloat32 = 13,
}

/// A picture, row by row.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Image {
    /// When.
    #[prost(message, optional, tag = "1")]
    pub header: Option<Header>,
    /// Pixels across.
    #[prost(uint32, tag = "2")]
    pub width: u32,
    /// And down.
    #[prost(uint32, tag = "3")]
    pub height: u32,
    /// Bytes of a row.
    #[prost(uint32, tag = "4")]
    pub step: u32,
    /// The rows.
    #[prost(bytes = "vec", tag = "5")]
    pub data: Vec<u8>,
    /// What they are.
    #[prost(enumeration = "PixelFormat", tag = "6")]
    pub pixel_format_type: i32,
}

/// What a world shall do.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct WorldControl {
    /// Stand still.
    #[prost(bool, tag = "2")]
    pub pause: bool,
    /// So many steps, then stand still.
    #[prost(uint32, tag = "4")]
    pub multi_step: u32,
}

/// How a world fares.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct WorldStatistics {
    /// Simulated time.
    #[prost(message, optional, tag = "2")]
    pub sim_time: Option<Time>,
    /// The machine's, since the beginning.
    #[prost(message, optional, tag = "4")]
    pub real_time: Option<Time>,
    /// Whether it stands still.
    #[prost(bool, tag = "5")]
    pub paused: bool,
    /// Steps so far.
    #[prost(uint64, tag = "6")]
    pub iterations: u64,
    /// Simulated seconds per second, lately.
    #[prost(double, tag = "9")]
    pub real_time_factor: f64,
}

/// What kind of packet this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Enumeration)]
#[repr(i32)]
pub enum DiscoveryType {
    /// None.
    Uninitialized = 0,
    /// I have this.
    Advertise = 1,
    /// Who has that?
    Subscribe = 2,
    /// I have it no longer.
    Unadvertise = 3,
    /// I am still here.
    Heartbeat = 4,
    /// I go.
    Bye = 5,
    /// I listen to yours.
    NewConnection = 6,
    /// I no longer do.
    EndConnection = 7,
}

/// A packet of discovery.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Discovery {
    /// Of the protocol: 10.
    #[prost(uint32, tag = "2")]
    pub version: u32,
    /// Who says it.
    #[prost(string, tag = "3")]
    pub process_uuid: String,
    /// What kind.
    #[prost(enumeration = "DiscoveryType", tag = "4")]
    pub kind: i32,
    /// What about.
    #[prost(oneof = "Contents", tags = "6, 7")]
    pub contents: Option<Contents>,
}

/// What a packet is about.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum Contents {
    /// A topic that is looked for.
    #[prost(message, tag = "6")]
    Subscriber(Subscriber),
    /// One that there is.
    #[prost(message, tag = "7")]
    Publisher(Publisher),
}

/// A topic or service that is looked for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Subscriber {
    /// Its full name.
    #[prost(string, tag = "1")]
    pub topic: String,
}

/// A topic or service that somebody has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Publisher {
    /// Its full name.
    #[prost(string, tag = "1")]
    pub topic: String,
    /// Where: `tcp://ip:port`.
    #[prost(string, tag = "2")]
    pub address: String,
    /// Whose.
    #[prost(string, tag = "3")]
    pub process_uuid: String,
    /// Which part of the process.
    #[prost(string, tag = "4")]
    pub node_uuid: String,
    /// For whom: 0 the process, 1 the machine, 2 all.
    #[prost(int32, tag = "5")]
    pub scope: i32,
    /// Topic or service.
    #[prost(oneof = "PublisherKind", tags = "6, 7")]
    pub kind: Option<PublisherKind>,
}

/// Topic or service.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum PublisherKind {
    /// Messages.
    #[prost(message, tag = "6")]
    Messages(MessagePublisher),
    /// A service.
    #[prost(message, tag = "7")]
    Service(ServicePublisher),
}

/// Of messages.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MessagePublisher {
    /// In a new connection, whose messages are listened to.
    #[prost(string, tag = "1")]
    pub ctrl: String,
    /// Their type.
    #[prost(string, tag = "2")]
    pub msg_type: String,
}

/// Of a service.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ServicePublisher {
    /// Its socket's identity.
    #[prost(string, tag = "1")]
    pub socket_id: String,
    /// Of the question.
    #[prost(string, tag = "2")]
    pub request_type: String,
    /// Of the answer.
    #[prost(string, tag = "3")]
    pub response_type: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_checked() {
        assert_eq!(Time { sec: 2, nsec: 5 }.nanos(), Some(2_000_000_005));
        for (sec, nsec) in [(-1, 0), (0, -1), (0, 1_000_000_000), (i64::MAX, 0)] {
            assert_eq!(Time { sec, nsec }.nanos(), None);
        }
    }

    #[test]
    fn a_double_has_the_bytes_that_protobuf_gives_it() {
        // Field 2, eight bytes, little endian.
        assert_eq!(Double { data: 1.0 }.encode_to_vec(), [0x11, 0, 0, 0, 0, 0, 0, 0xF0, 0x3F]);
    }
}

//! ZeroMQ's message protocol, as much of ZMTP 3.0 (RFC 23) as Gazebo speaks: no security, publishers, subscribers and routers over TCP.
//!
//! Everything here works on any `Read` and `Write` and holds no state.

use std::io::{self, ErrorKind, Read, Write};

/// Most frames of a message.
pub const MOST_FRAMES: usize = 16;
/// Most bytes of a message, all frames together: a picture of 4 million RGB pixels.
pub const MOST_BYTES: usize = 16 << 20;
/// Most bytes of a command: names and identities.
const MOST_COMMAND: usize = 4096;

const MORE: u8 = 1;
const LONG: u8 = 2;
const COMMAND: u8 = 4;

/// What a socket is for; the other end must fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketType {
    /// Publishes.
    Pub,
    /// Listens.
    Sub,
    /// Sends to and hears from peers by identity.
    Router,
    /// Sends questions.
    Dealer,
}

impl SocketType {
    fn name(self) -> &'static str {
        match self {
            Self::Pub => "PUB",
            Self::Sub => "SUB",
            Self::Router => "ROUTER",
            Self::Dealer => "DEALER",
        }
    }

    fn fits(self, other: &[u8]) -> bool {
        let fitting: &[&str] = match self {
            Self::Pub => &["SUB", "XSUB"],
            Self::Sub => &["PUB", "XPUB"],
            Self::Router => &["ROUTER", "DEALER", "REQ"],
            Self::Dealer => &["ROUTER", "DEALER", "REP"],
        };
        fitting.iter().any(|name| name.as_bytes() == other)
    }
}

/// What arrives on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// The frames of a message.
    Message(Vec<Vec<u8>>),
    /// A command: its name and the rest.
    Command(Vec<u8>, Vec<u8>),
}

fn bad(what: impl Into<String>) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.into())
}

/// What both ends say first: ZMTP 3.0, no security.
fn greeting() -> [u8; 64] {
    let mut bytes = [0; 64];
    (bytes[0], bytes[9], bytes[10]) = (0xFF, 0x7F, 3);
    bytes[12..16].copy_from_slice(b"NULL");
    bytes
}

/// Opens a connection that is called `identity`. Fails where the other end is no ZeroMQ socket, wants security, or does not fit.
pub fn open(stream: &mut (impl Read + Write), own: SocketType, identity: &[u8]) -> io::Result<()> {
    stream.write_all(&greeting())?;
    let mut theirs = [0; 64];
    stream.read_exact(&mut theirs)?;
    if theirs[0] != 0xFF || theirs[9] & 1 == 0 || theirs[10] < 3 {
        return Err(bad("not a ZeroMQ socket of version 3 or later"));
    }
    if &theirs[12..32] != b"NULL\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" {
        return Err(bad("the other end asks for security, which we have none of"));
    }
    stream.write_all(&ready(own, identity))?;
    let Incoming::Command(name, properties) = read(stream)? else { return Err(bad("a message before READY")) };
    let theirs = property(&properties, b"Socket-Type").filter(|_| name == b"READY");
    match theirs {
        Some(theirs) if own.fits(theirs) => Ok(()),
        Some(theirs) => Err(bad(format!("{} cannot talk to {}", own.name(), String::from_utf8_lossy(theirs)))),
        None => Err(bad("no READY with a socket type")),
    }
}

/// The command READY. An identity of more than 255 bytes is cut, as ZeroMQ allows no longer one.
fn ready(own: SocketType, identity: &[u8]) -> Vec<u8> {
    let mut body = b"\x05READY".to_vec();
    for (name, value) in [("Socket-Type", own.name().as_bytes()), ("Identity", &identity[..identity.len().min(255)])] {
        body.push(name.len() as u8);
        body.extend(name.bytes());
        body.extend((value.len() as u32).to_be_bytes());
        body.extend(value);
    }
    let mut command = Vec::new();
    frame(&mut command, COMMAND, &body);
    command
}

/// A value among READY's properties; names do not distinguish case.
fn property<'a>(mut bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    loop {
        let (&length, rest) = bytes.split_first()?;
        let (key, rest) = rest.split_at_checked(length.into())?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let (value, rest) = rest.split_at_checked(u32::from_be_bytes(*size) as usize)?;
        if key.eq_ignore_ascii_case(name) {
            return Some(value);
        }
        bytes = rest;
    }
}

fn frame(out: &mut Vec<u8>, flags: u8, body: &[u8]) {
    if let Ok(short) = u8::try_from(body.len()) {
        out.extend([flags, short]);
    } else {
        out.push(flags | LONG);
        out.extend((body.len() as u64).to_be_bytes());
    }
    out.extend(body);
}

/// A message's bytes on the wire.
pub fn message(frames: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::with_capacity(frames.iter().map(|f| f.len() + 9).sum());
    for (i, body) in frames.iter().enumerate() {
        frame(&mut out, if i + 1 < frames.len() { MORE } else { 0 }, body);
    }
    out
}

/// The message by which a subscriber asks for topics that begin with `prefix`.
pub fn subscribe(prefix: &[u8]) -> Vec<u8> {
    message(&[&[&[1], prefix].concat()])
}

/// What a subscriber asks a publisher for: topics that begin so, or no longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wish {
    /// From now on.
    Subscribe(Vec<u8>),
    /// No longer.
    Cancel(Vec<u8>),
}

/// What a subscriber asked for, in the form of version 3.0 (a message) or 3.1 (a command); `None` for anything else.
pub fn wish(incoming: Incoming) -> Option<Wish> {
    let wish = |yes, prefix: &[u8]| if yes { Wish::Subscribe(prefix.to_vec()) } else { Wish::Cancel(prefix.to_vec()) };
    match incoming {
        Incoming::Command(name, prefix) => match &*name {
            b"SUBSCRIBE" => Some(wish(true, &prefix)),
            b"CANCEL" => Some(wish(false, &prefix)),
            _ => None,
        },
        Incoming::Message(frames) => match frames.first()?.split_first()? {
            (1, prefix) => Some(wish(true, prefix)),
            (0, prefix) => Some(wish(false, prefix)),
            _ => None,
        },
    }
}

/// The next message or command; waits for it as long as `stream` does. Memory is taken as bytes arrive, not as they are announced.
pub fn read(stream: &mut impl Read) -> io::Result<Incoming> {
    let (mut frames, mut bytes) = (Vec::new(), 0);
    loop {
        let mut head = [0; 2];
        stream.read_exact(&mut head)?;
        let [flags, first] = head;
        let size = if flags & LONG == 0 {
            usize::from(first)
        } else {
            let mut size = [first, 0, 0, 0, 0, 0, 0, 0];
            stream.read_exact(&mut size[1..])?;
            usize::try_from(u64::from_be_bytes(size)).map_err(|_| bad("a frame without end"))?
        };
        let most = if flags & COMMAND == 0 { MOST_BYTES - bytes } else { MOST_COMMAND };
        if size > most {
            return Err(bad(format!("a frame of {size} bytes where at most {most} are taken")));
        }
        let mut body = Vec::new();
        if stream.take(size as u64).read_to_end(&mut body)? < size {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        if flags & COMMAND != 0 {
            return command(&body).ok_or_else(|| bad("a command without a name"));
        }
        bytes += size;
        frames.push(body);
        if flags & MORE == 0 {
            return Ok(Incoming::Message(frames));
        }
        if frames.len() == MOST_FRAMES {
            return Err(bad(format!("a message of more than {MOST_FRAMES} frames")));
        }
    }
}

fn command(body: &[u8]) -> Option<Incoming> {
    let (&length, rest) = body.split_first()?;
    let (name, rest) = rest.split_at_checked(length.into())?;
    Some(Incoming::Command(name.to_vec(), rest.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Cursor;

    /// A stream that says prepared bytes and keeps what it is told.
    struct Peer {
        says: Cursor<Vec<u8>>,
        told: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.says.read(buffer)
        }
    }
    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.told.write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn opens(own: SocketType, says: Vec<u8>) -> Result<Vec<u8>, String> {
        let mut peer = Peer { says: Cursor::new(says), told: Vec::new() };
        open(&mut peer, own, b"me").map_err(|e| e.to_string())?;
        Ok(peer.told)
    }

    /// What a publisher of ZMTP 3.1 (RFC 37), which libzmq 4.3 is, sends a new peer.
    fn publisher() -> Vec<u8> {
        let mut says = vec![0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 3, 1];
        says.extend(b"NULL");
        says.resize(64, 0);
        says.extend(b"\x04\x26\x05READY\x0bSocket-Type\x00\x00\x00\x03PUB\x08Identity\x00\x00\x00\x00");
        says[65] = (says.len() - 66) as u8;
        says
    }

    #[test]
    fn a_subscriber_opens_a_publisher_of_version_3_1_and_says_what_the_protocol_wants() {
        let told = opens(SocketType::Sub, publisher()).unwrap();
        assert_eq!((&told[..10], &told[10..16]), (&b"\xFF\0\0\0\0\0\0\0\0\x7F"[..], &b"\x03\0NULL"[..]));
        assert_eq!(&told[64..], b"\x04\x28\x05READY\x0bSocket-Type\0\0\0\x03SUB\x08Identity\0\0\0\x02me");
    }

    #[test]
    fn sockets_that_do_not_fit_or_are_none_are_refused_by_name() {
        let e = opens(SocketType::Router, publisher()).unwrap_err();
        assert!(e.contains("ROUTER") && e.contains("PUB"), "{e}");
        let mut curve = publisher();
        curve[12..17].copy_from_slice(b"CURVE");
        assert!(opens(SocketType::Sub, curve).unwrap_err().contains("security"));
        let mut old = publisher();
        old[10] = 1;
        assert!(opens(SocketType::Sub, old).unwrap_err().contains("version"));
        assert!(opens(SocketType::Sub, b"HTTP/1.1 400 Bad Request\r\n".repeat(4)).is_err());
        assert!(opens(SocketType::Sub, publisher()[..80].to_vec()).is_err());
    }

    #[test]
    fn messages_survive_the_wire_short_and_long() {
        let long = vec![7; 1000];
        let bytes = message(&[b"topic", b"", &long]);
        assert_eq!(&bytes[..9], b"\x01\x05topic\x01\0");
        assert_eq!(&bytes[9..18], b"\x02\0\0\0\0\0\0\x03\xE8");
        assert_eq!(read(&mut &bytes[..]).unwrap(), Incoming::Message(vec![b"topic".to_vec(), Vec::new(), long]));
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_read() {
        let huge = [LONG, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert!(read(&mut &huge[..]).unwrap_err().to_string().contains("at most"));
        let endless = [MORE, 0].repeat(100);
        assert!(read(&mut &endless[..]).unwrap_err().to_string().contains("frames"));
        let command = [COMMAND | LONG, 0, 0, 0, 0, 0, 1, 0, 0];
        assert!(read(&mut &command[..]).is_err());
    }

    #[test]
    fn wishes_come_as_messages_and_as_commands() {
        let read = |bytes: &[u8]| wish(read(&mut &bytes[..]).unwrap());
        assert_eq!(read(&subscribe(b"@/p@/clock")), Some(Wish::Subscribe(b"@/p@/clock".to_vec())));
        assert_eq!(read(b"\0\x02\0a"), Some(Wish::Cancel(b"a".to_vec())));
        assert_eq!(read(b"\x04\x0b\x09SUBSCRIBEa"), Some(Wish::Subscribe(b"a".to_vec())));
        assert_eq!(read(b"\x04\x08\x06CANCELa"), Some(Wish::Cancel(b"a".to_vec())));
        assert_eq!(read(b"\x04\x06\x04PING\0"), None);
        assert_eq!(read(b"\0\0"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            failure_persistence: None, rng_seed: proptest::test_runner::RngSeed::Fixed(1), ..ProptestConfig::default()
        })]

        #[test]
        fn no_bytes_make_it_panic_or_take_more_than_they_are(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Incoming::Message(frames)) = read(&mut &bytes[..]) {
                prop_assert!(frames.iter().map(Vec::len).sum::<usize>() <= bytes.len());
            }
            let _ = opens(SocketType::Sub, [&publisher()[..64], &bytes].concat());
        }
    }
}

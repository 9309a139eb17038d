//! The root secret in a file: 64 hexadecimal digits that only its owner may read. Whoever reads it can be the console.
//!
//! Written whole or not at all, so that console and safety may start at the same time and end up with the same secret.

use crate::RootSecret;
use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

/// Digits in the file.
const DIGITS: usize = 64;
/// Longest file that is looked at, bytes: the digits and some white space.
const MAX_BYTES: u64 = 128;
/// What a file must not grant: anything to group and others.
const OTHERS: u32 = 0o077;

/// Why there is no secret. Each says what was expected.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// There is no such file.
    #[error(
        "authority key {path} does not exist: expected a file with {DIGITS} hexadecimal digits and mode 0600, the same for console \
         and safety; `proctor authority-key {path}` makes one"
    )]
    Missing {
        /// Which file.
        path: PathBuf,
    },
    /// It is a folder, a socket or the like.
    #[error("authority key {path} is no regular file: expected a file with {DIGITS} hexadecimal digits and mode 0600")]
    NoFile {
        /// Which file.
        path: PathBuf,
    },
    /// Others than its owner may read or write it.
    #[error(
        "authority key {path} has mode {mode:04o}, so others may have read it: expected 0600. Delete it and make a new one with \
         `proctor authority-key {path}`"
    )]
    Exposed {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It holds something else.
    #[error("authority key {path} holds {found}: expected {DIGITS} hexadecimal digits (32 bytes)")]
    Content {
        /// Which file.
        path: PathBuf,
        /// What it holds, without showing it.
        found: String,
    },
    /// [`create`] found one there already.
    #[error(
        "authority key {path} exists already; whoever shares it would be locked out by another one. Delete it first"
    )]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The system refused.
    #[error("authority key {path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Reads the secret. Refuses a file that others may read or write, and one of another length or content.
pub fn read(path: &Path) -> Result<RootSecret, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let file = File::open(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => KeyFileError::Missing { path: path.to_owned() },
        _ => io(e),
    })?;
    // Of the open file, not of the path, which may come to mean another one.
    let facts = file.metadata().map_err(io)?;
    if !facts.is_file() {
        return Err(KeyFileError::NoFile { path: path.to_owned() });
    }
    let mode = facts.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(KeyFileError::Exposed { path: path.to_owned(), mode });
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(io)?;
    parse(bytes.trim_ascii()).map_err(|found| KeyFileError::Content { path: path.to_owned(), found })
}

/// Makes a file with a fresh secret; never touches one that is there.
pub fn create(path: &Path) -> Result<RootSecret, KeyFileError> {
    let io = |source| KeyFileError::Io { path: path.to_owned(), source };
    let secret = RootSecret::random();
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let part = folder.join(format!(".authority-key-{}", hex(&rand::random::<[u8; 8]>())));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&part).map_err(io)?;
    let written = file
        .set_permissions(Permissions::from_mode(0o600))
        .and_then(|()| writeln!(file, "{}", hex(secret.bytes())))
        .and_then(|()| file.sync_all())
        // A link is made whole or not at all, and not over another file.
        .and_then(|()| std::fs::hard_link(&part, path));
    let removed = std::fs::remove_file(&part);
    match written.and(removed) {
        Ok(()) => Ok(secret),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(KeyFileError::Exists { path: path.to_owned() }),
        Err(e) => Err(io(e)),
    }
}

/// Reads the secret, or makes the file and the folders above it if there is none yet.
pub fn read_or_create(path: &Path) -> Result<RootSecret, KeyFileError> {
    match read(path) {
        Err(KeyFileError::Missing { .. }) => {}
        other => return other,
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|source| KeyFileError::Io { path: path.to_owned(), source })?;
    }
    match create(path) {
        // Another process was faster: its secret is everybody's.
        Err(KeyFileError::Exists { .. }) => read(path),
        other => other,
    }
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    bytes.iter().flat_map(|b| [digit(b >> 4), digit(b & 0xf)]).collect()
}

/// The secret, or what stands there instead.
fn parse(digits: &[u8]) -> Result<RootSecret, String> {
    if digits.len() != DIGITS {
        let more = if digits.len() as u64 >= MAX_BYTES { " or more" } else { "" };
        return Err(format!("{} characters{more}", digits.len()));
    }
    let mut out = [0u8; 32];
    for (slot, pair) in out.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok().filter(|p| p.bytes().all(|b| b.is_ascii_hexdigit()));
        let byte = pair.and_then(|p| u8::from_str_radix(p, 16).ok());
        *slot = byte.ok_or_else(|| "characters that are no hexadecimal digits".to_owned())?;
    }
    if out == [0; 32] {
        return Err("zeros only".to_owned());
    }
    Ok(RootSecret::from_bytes(out))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    fn write(path: &Path, content: &[u8], mode: u32) {
        fs::write(path, content).unwrap();
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_made_file_is_for_its_owner_only_and_reads_back_as_the_same_secret() {
        let folder = folder();
        let path = folder.path().join("new").join("key");
        let made = read_or_create(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_to_string(&path).unwrap().len(), DIGITS + 1);
        assert_eq!(read(&path).unwrap().bytes(), made.bytes());
        assert_eq!(read_or_create(&path).unwrap().bytes(), made.bytes());
        assert!(matches!(create(&path), Err(KeyFileError::Exists { .. })));
        assert_eq!(read(&path).unwrap().bytes(), made.bytes(), "never overwritten");
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left beside it");
        assert_ne!(create(&folder.path().join("other")).unwrap().bytes(), made.bytes());
    }

    #[test]
    fn processes_that_start_together_share_one_secret() {
        let folder = folder();
        let path = folder.path().join("key");
        let secrets: Vec<[u8; 32]> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| *read_or_create(&path).unwrap().bytes())).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(secrets.iter().all(|s| *s == secrets[0]));
    }

    #[test]
    fn what_is_no_key_file_is_refused_with_what_was_expected() {
        let folder = folder();
        let path = folder.path().join("key");
        let good = "5a".repeat(32);
        let rows: [(&str, &[u8], u32, &str); 9] = [
            ("readable by all", good.as_bytes(), 0o644, "mode 0644"),
            ("readable by the group", good.as_bytes(), 0o640, "expected 0600"),
            ("writable by others", good.as_bytes(), 0o602, "mode 0602"),
            ("empty", b"", 0o600, "0 characters"),
            ("one digit short", &good.as_bytes()[1..], 0o600, "63 characters: expected 64"),
            ("raw bytes", &[0x9c; 32], 0o600, "32 characters"),
            ("no digits", &[b'g'; 64], 0o600, "no hexadecimal digits"),
            ("a sign is no digit", "+5".repeat(32).leak().as_bytes(), 0o600, "no hexadecimal digits"),
            ("zeros", &[b'0'; 64], 0o600, "zeros only"),
        ];
        for (name, content, mode, words) in rows {
            write(&path, content, mode);
            let e = read(&path).unwrap_err().to_string();
            assert!(e.contains(words) && e.contains(path.to_str().unwrap()), "{name}: {e}");
            assert!(read_or_create(&path).is_err(), "{name}: nothing is repaired silently");
        }
        write(&path, &vec![b'5'; 1 << 20], 0o600);
        assert!(read(&path).unwrap_err().to_string().contains("128 characters or more"));
        let e = read(&folder.path().join("none")).unwrap_err().to_string();
        assert!(e.contains("does not exist") && e.contains("authority-key") && e.contains("64 hexadecimal"), "{e}");
        assert!(matches!(read(folder.path()), Err(KeyFileError::NoFile { .. })));
    }

    #[test]
    fn white_space_around_the_digits_is_no_matter() {
        let folder = folder();
        let path = folder.path().join("key");
        write(&path, format!(" {}\r\n", "A5".repeat(32)).as_bytes(), 0o600);
        assert_eq!(read(&path).unwrap().bytes(), &[0xa5; 32]);
    }
}

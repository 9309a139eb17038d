//! Other files: the authority key, and tables of joints for `proctor fk`.

use crate::{Target, mutate::Kind};
use proctor_kinematics::{Chain, fk_csv};
use proctor_seal::{RootSecret, SessionKey, key_file};
use proctor_types::{Boot, OperatorId, OperatorRequest, RequestKind, SessionId, Stamp};
use std::{fs, os::unix::fs::PermissionsExt};

/// What a word looks like under a secret; a secret itself cannot be looked at.
fn tag(root: &RootSecret) -> [u8; 32] {
    let body = OperatorRequest { stamp: Stamp::FIRST, seq: 1, operator: OperatorId(1), kind: RequestKind::Enable };
    SessionKey::new(root, body.operator, SessionId([1; 16]), Stamp::FIRST).seal(Boot(1), body).seal.tag
}

/// The secret of a key file is what its 64 digits say, read by another way.
fn read_key(bytes: &[u8]) -> bool {
    thread_local! {
        static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a folder for temporary files");
    }
    FOLDER.with(|folder| {
        let path = folder.path().join("key");
        fs::write(&path, bytes).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("mine");
        let Ok(secret) = key_file::read(&path) else { return false };
        let digits: Vec<u8> =
            bytes.trim_ascii().iter().filter_map(|b| char::from(*b).to_digit(16)).map(|d| d as u8).collect();
        assert_eq!(digits.len(), 64);
        let mut expected = [0u8; 32];
        expected.iter_mut().zip(digits.chunks(2)).for_each(|(to, pair)| *to = 16 * pair[0] + pair[1]);
        assert_ne!(expected, [0; 32]);
        assert_eq!(tag(&secret), tag(&RootSecret::from_bytes(expected)));
        true
    })
}

/// As many rows of finite numbers and unit quaternions as there are rows of joints.
fn read_table(chain: &Chain, bytes: &[u8]) -> bool {
    let mut out = Vec::new();
    let Ok(rows) = fk_csv(chain, bytes, &mut out) else { return false };
    let out = String::from_utf8(out).expect("numbers are text");
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("x,y,z,qx,qy,qz,qw"));
    for line in lines.by_ref().take(rows) {
        let v: Vec<f64> = line.split(',').map(|x| x.parse().expect("a number")).collect();
        assert!(v.len() == 7 && v.iter().all(|x| x.is_finite()) && v[6] >= 0.0, "{line}");
        assert!((v[3..].iter().map(|q| q * q).sum::<f64>() - 1.0).abs() < 1e-9, "{line}");
    }
    assert_eq!(lines.next(), None);
    true
}

/// Both kinds of arm.
fn read_tables(bytes: &[u8]) -> bool {
    thread_local! {
        static CHAINS: [Chain; 2] = [
            Chain::psm(&proctor_kinematics::Instrument::named(proctor_kinematics::Instrument::DEFAULT).expect("known")).expect("a PSM"),
            Chain::ecm().expect("the ECM"),
        ];
    }
    CHAINS.with(|chains| chains.iter().filter(|c| read_table(c, bytes)).count() > 0)
}

/// Every target.
pub fn targets() -> Vec<Target> {
    vec![
        Target {
            name: "authority_key",
            kind: Kind::Text,
            read: read_key,
            seeds: || {
                vec![format!("{}\n", "5a".repeat(32)).into_bytes(), format!(" {}\r\n", "0F".repeat(32)).into_bytes()]
            },
        },
        Target {
            name: "fk_csv",
            kind: Kind::Text,
            read: read_tables,
            seeds: || {
                vec![
                    b"q1,q2,q3,q4,q5,q6\n0,0,0.1,0.5,0,0\n0.1,-0.2,0.15,1,0.3,-0.4\n".to_vec(),
                    b"t, q6,q5,q4,q3,q2,q1\r\nhello, 0,0,0.5,1e-1,0,0\r\n".to_vec(),
                    b"q1,q2,q3,q4\n0,0,0.1,0\n".to_vec(),
                ]
            },
        },
    ]
}

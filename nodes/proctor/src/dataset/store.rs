//! The folder of a data set: whose it is, which frames it has, and how one gets in.
//!
//! `dataset.json` says what the folder will hold; whoever writes holds its lock. A frame's files are written beside their places and
//! moved there, its truth last, which lists their digests: a frame is complete when its truth is there and all digests agree. So a
//! run that was stopped anywhere, or a file that was damaged, costs the frames concerned and nothing else.

use super::truth::{Recipe, Truth};
use anyhow::{Context as _, bail};
use proctor_types::Digest;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};

const HEAD: &str = "dataset.json";
const HEAD_PART: &str = ".dataset.json.part";

/// A folder that holds, or will hold, the data set of one recipe.
pub struct Store {
    root: PathBuf,
    _lock: File,
}

/// A frame's encoded files by their path in the data set, and its truth without their digests.
pub struct Frame {
    pub files: BTreeMap<String, Vec<u8>>,
    pub truth: Truth,
}

impl Store {
    /// Claims `root`, which must be missing, empty, or of the same recipe with nobody else at work in it.
    pub fn open(root: &Path, recipe: &Recipe, folders: &[&str]) -> anyhow::Result<Self> {
        fs::create_dir_all(root).with_context(|| root.display().to_string())?;
        let head = root.join(HEAD);
        let wanted = serde_json::to_value(recipe)?;
        match fs::read(&head) {
            Ok(bytes) => same_recipe(root, &bytes, &wanted)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                refuse_foreign(root)?;
                write_whole(&head, &pretty(&wanted)?)?;
            }
            Err(e) => return Err(e).with_context(|| head.display().to_string()),
        }
        let lock = File::open(&head).with_context(|| head.display().to_string())?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => bail!("{}: another run is at work in this folder", root.display()),
            Err(TryLockError::Error(e)) => return Err(e).with_context(|| head.display().to_string()),
        }
        for folder in folders {
            let path = root.join(folder);
            fs::create_dir_all(&path).with_context(|| path.display().to_string())?;
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// The truth of a complete frame; `None` if the frame must be made (again).
    pub fn complete(&self, index: u64) -> Option<Truth> {
        let truth: Truth = serde_json::from_slice(&fs::read(self.truth_path(index)).ok()?).ok()?;
        let whole = |(name, digest): (&String, &Digest)| {
            fs::read(self.root.join(name)).is_ok_and(|bytes| Digest::of(&bytes) == *digest)
        };
        truth.files.iter().all(whole).then_some(truth)
    }

    /// The truth of a frame that is there.
    pub fn truth(&self, index: u64) -> anyhow::Result<Truth> {
        let path = self.truth_path(index);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&bytes).with_context(|| path.display().to_string())
    }

    /// Writes a frame: all of it, or nothing that counts.
    pub fn put(&self, frame: Frame) -> anyhow::Result<()> {
        let Frame { files, mut truth } = frame;
        truth.files = files.iter().map(|(name, bytes)| (name.clone(), Digest::of(bytes))).collect();
        let text = pretty(&serde_json::to_value(&truth)?)?;
        let moves: Vec<_> = files
            .iter()
            .map(|(name, bytes)| (self.root.join(name), bytes.as_slice()))
            .chain([(self.truth_path(truth.frame), text.as_slice())])
            .collect();
        let written = moves.iter().try_for_each(|(path, bytes)| write_part(path, bytes));
        let moved = written.and_then(|()| moves.iter().try_for_each(|(path, _)| settle(path)));
        if moved.is_err() {
            moves.iter().for_each(|(path, _)| drop(fs::remove_file(part_of(path))));
        }
        moved
    }

    /// A file of the whole data set, to be written bit by bit and then [`settle`]d.
    pub fn start(&self, name: &str) -> anyhow::Result<(File, PathBuf)> {
        let path = self.root.join(name);
        let file = File::create(part_of(&path)).with_context(|| part_of(&path).display().to_string())?;
        Ok((file, path))
    }

    /// Where a frame's truth lies.
    fn truth_path(&self, index: u64) -> PathBuf {
        self.root.join(format!("truth/{index:06}.json"))
    }
}

/// Moves a file that was written beside its place there.
pub fn settle(path: &Path) -> anyhow::Result<()> {
    fs::rename(part_of(path), path).with_context(|| path.display().to_string())
}

/// Writes a whole file, or leaves what was there.
pub fn write_whole(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    write_part(path, bytes)?;
    settle(path)
}

/// Where a file lies until it is whole.
fn part_of(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

fn write_part(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let part = part_of(path);
    let written = fs::write(&part, bytes);
    if written.is_err() {
        drop(fs::remove_file(&part));
    }
    written.with_context(|| part.display().to_string())
}

fn pretty(value: &Value) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    Ok(text)
}

fn same_recipe(root: &Path, bytes: &[u8], wanted: &Value) -> anyhow::Result<()> {
    let Ok(Value::Object(there)) = serde_json::from_slice(bytes) else {
        bail!("{}: its {HEAD} is not one of `proctor dataset generate`", root.display());
    };
    let keys = wanted.as_object().into_iter().flat_map(serde_json::Map::keys).chain(there.keys());
    let mut differ: Vec<String> = keys
        .filter(|key| there.get(*key) != wanted.get(*key))
        .map(|key| format!("{key} is {} there, {} was asked for", there.get(key).unwrap_or(&Value::Null), wanted[key]))
        .collect();
    differ.dedup();
    if differ.is_empty() { Ok(()) } else { bail!("{}: holds another data set: {}", root.display(), differ.join("; ")) }
}

fn refuse_foreign(root: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(root).with_context(|| root.display().to_string())? {
        let name = entry.with_context(|| root.display().to_string())?.file_name();
        if name != HEAD_PART {
            bail!(
                "{}: is not empty ({}) and holds no data set of `proctor dataset generate`",
                root.display(),
                name.display()
            );
        }
    }
    Ok(())
}

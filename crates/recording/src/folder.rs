//! Which files a recording is made of: one, or those of a folder of rosbag2.

use crate::RecordingError;
use std::{
    fs,
    path::{Path, PathBuf},
};
use yaml_rust2::{Yaml, YamlLoader};

/// Largest metadata.yaml, bytes.
const MOST_METADATA: u64 = 16 << 20;

/// The files, in order.
#[derive(Debug, PartialEq, Eq)]
pub struct Files {
    /// Their paths.
    pub paths: Vec<PathBuf>,
    /// Whether each message is compressed by itself (rosbag2, zstd).
    pub messages_packed: bool,
}

fn has_extension(path: &Path, known: &[&str]) -> bool {
    path.extension().and_then(|e| e.to_str()).is_some_and(|e| known.contains(&e))
}

/// Files of recordings in a folder, sorted so that `_2` stands before `_10`.
fn inside(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|e| Ok(e?.path())).collect::<std::io::Result<_>>()?;
    paths.retain(|p| has_extension(p, &["mcap", "db3"]));
    paths.sort_by_key(|p| (p.as_os_str().len(), p.clone()));
    Ok(paths)
}

/// Whether a folder is one of rosbag2's.
pub fn is_rosbag2(folder: &Path) -> bool {
    folder.join("metadata.yaml").is_file() || inside(folder).is_ok_and(|p| !p.is_empty())
}

/// The files of a recording.
pub fn files(path: &Path) -> Result<Files, RecordingError> {
    let failed = RecordingError::file(path);
    if !fs::metadata(path).map_err(&failed)?.is_dir() {
        return Ok(Files { paths: vec![path.to_owned()], messages_packed: false });
    }
    let metadata = path.join("metadata.yaml");
    let files = if metadata.is_file() {
        of_metadata(path, &metadata)?
    } else {
        Files { paths: inside(path).map_err(&failed)?, messages_packed: false }
    };
    if files.paths.is_empty() {
        let got = "a folder without metadata.yaml, .mcap and .db3 files".to_owned();
        return Err(RecordingError::NotOne { path: path.to_owned(), got });
    }
    Ok(files)
}

fn of_metadata(folder: &Path, metadata: &Path) -> Result<Files, RecordingError> {
    let failed = RecordingError::file(metadata);
    let length = fs::metadata(metadata).map_err(&failed)?.len();
    let wrong = |what: &str| RecordingError::damaged(metadata, 0, what);
    if length > MOST_METADATA {
        return Err(wrong(&format!("{length} bytes of metadata, at most {MOST_METADATA} expected")));
    }
    let text = fs::read_to_string(metadata).map_err(&failed)?;
    let documents = YamlLoader::load_from_str(&text).map_err(|e| wrong(&format!("not YAML: {e}")))?;
    let information = documents.first().map_or(&Yaml::BadValue, |d| &d["rosbag2_bagfile_information"]);
    let listed = information["relative_file_paths"].as_vec().ok_or_else(|| wrong("relative_file_paths is missing"))?;
    let names: Option<Vec<&str>> = listed.iter().map(Yaml::as_str).collect();
    let names = names.ok_or_else(|| wrong("relative_file_paths holds something else than names"))?;
    let mode = information["compression_mode"].as_str().unwrap_or_default().to_uppercase();
    let format = information["compression_format"].as_str().unwrap_or_default();
    if mode == "FILE" {
        let first = names.first().copied().unwrap_or_default();
        return Err(wrong(&format!("its files are compressed as a whole ({format}): unpack {first} and read that")));
    }
    if mode == "MESSAGE" && format != "zstd" {
        return Err(wrong(&format!("messages compressed as {format:?}, \"zstd\" expected")));
    }
    let mut paths = Vec::new();
    for name in names {
        // Early rosbag2 wrote the folder's own name before the file's.
        let file = Path::new(name).file_name().ok_or_else(|| wrong(&format!("{name:?} is not the name of a file")))?;
        paths.push(folder.join(file));
    }
    Ok(Files { paths, messages_packed: mode == "MESSAGE" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn metadata(folder: &Path, rest: &str) -> Result<Files, String> {
        fs::write(folder.join("metadata.yaml"), format!("rosbag2_bagfile_information:\n  version: 5\n{rest}")).unwrap();
        files(folder).map_err(|e| e.to_string())
    }

    #[test]
    fn metadata_say_which_files_there_are_and_how_they_are_compressed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let two = "  relative_file_paths:\n    - bag_0.mcap\n    - bag/bag_1.mcap\n";
        assert_eq!(
            metadata(folder.path(), two).unwrap(),
            Files { paths: vec![at("bag_0.mcap"), at("bag_1.mcap")], messages_packed: false }
        );
        let packed = format!("{two}  compression_format: zstd\n  compression_mode: message\n");
        assert!(metadata(folder.path(), &packed).unwrap().messages_packed);
        for (rest, part) in [
            ("", "relative_file_paths is missing"),
            ("  relative_file_paths: [[]]\n", "something else than names"),
            ("  relative_file_paths: ['..']\n", "not the name of a file"),
            (
                "  relative_file_paths: [a.db3.zstd]\n  compression_format: zstd\n  compression_mode: FILE\n",
                "unpack a.db3.zstd",
            ),
            ("  relative_file_paths: [a.db3]\n  compression_format: rar\n  compression_mode: MESSAGE\n", "\"rar\""),
        ] {
            let error = metadata(folder.path(), rest).unwrap_err();
            assert!(error.contains(part) && error.contains("metadata.yaml"), "{error}");
        }
    }

    #[test]
    fn without_metadata_a_folder_gives_its_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            !is_rosbag2(folder.path())
                && files(folder.path()).unwrap_err().to_string().contains("without metadata.yaml")
        );
        for name in ["b_10.db3", "b_2.db3", "note.txt"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let names: Vec<_> =
            files(folder.path()).unwrap().paths.iter().map(|p| p.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, ["b_2.db3", "b_10.db3"]);
        assert!(is_rosbag2(folder.path()));
    }
}

//! A file of records, read in order or from a place, with every length held against what is left of it.

use crate::{RecordingError, chunk::MOST};
use std::{
    fs::File,
    io::{BufReader, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

/// The file.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    file: BufReader<File>,
    length: u64,
    at: u64,
}

impl Records {
    /// Opens it.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = RecordingError::file(path);
        let file = File::open(path).map_err(&failed)?;
        let length = file.metadata().map_err(&failed)?.len();
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(1 << 16, file), length, at: 0 })
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the file.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Bytes before the next one.
    pub fn at(&self) -> u64 {
        self.at
    }

    /// Bytes from here to the end.
    pub fn left(&self) -> u64 {
        self.length.saturating_sub(self.at)
    }

    /// Goes to a byte.
    pub fn go(&mut self, at: u64) -> Result<(), RecordingError> {
        let by = at.cast_signed().wrapping_sub(self.at.cast_signed());
        self.file
            .seek_relative(by)
            .or_else(|_| self.file.seek(SeekFrom::Start(at)).map(|_| ()))
            .map_err(RecordingError::file(&self.path))?;
        self.at = at;
        Ok(())
    }

    /// The next `n` bytes: at most [`MOST`], and no more than are left.
    pub fn take(&mut self, n: u64) -> Result<Vec<u8>, RecordingError> {
        if n > self.left() || n > MOST {
            let (left, most) = (self.left(), MOST >> 20);
            let what = format!("a record of {n} bytes, where {left} are left and at most {most} MiB are expected");
            return Err(RecordingError::damaged(&self.path, self.at, what));
        }
        let mut out = vec![0; n as usize];
        self.file.read_exact(&mut out).map_err(RecordingError::file(&self.path))?;
        self.at += n;
        Ok(out)
    }

    /// The next bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordingError> {
        let mut out = [0; N];
        self.file.read_exact(&mut out).map_err(RecordingError::file(&self.path))?;
        self.at += N as u64;
        Ok(out)
    }

    /// What is wrong at a byte.
    pub fn damaged(&self, at: u64, what: impl Into<String>) -> RecordingError {
        RecordingError::damaged(&self.path, at, what)
    }
}

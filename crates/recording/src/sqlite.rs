//! `.db3` files of rosbag2: a table of topics and one of messages. Opened for reading only, without what a schema could run.

use crate::{
    RecordingError,
    chunk::MOST,
    store::{Channel, End, Form, Met, Place, Store, Visit},
};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, config::DbConfig, limits::Limit, types::ValueRef};
use std::path::{Path, PathBuf};

/// How a database begins.
pub const MAGIC: &[u8] = b"SQLite format 3\0";

/// The database.
pub struct Database {
    path: PathBuf,
    connection: Connection,
}

impl Database {
    /// Opens a file that begins with [`MAGIC`] and holds rosbag2's tables.
    pub fn open(path: &Path) -> Result<Self, RecordingError> {
        let failed = |source| RecordingError::Database { path: path.to_owned(), source };
        let connection =
            Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let connection = connection.map_err(failed)?;
        for (config, on) in
            [(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true), (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)]
        {
            connection.set_db_config(config, on).map_err(failed)?;
        }
        connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, MOST as i32).map_err(failed)?;
        for table in ["topics", "messages"] {
            // A view could make up messages without end.
            let query = "SELECT type FROM sqlite_master WHERE name = ?1";
            let kind =
                connection.query_row(query, [table], |row| row.get::<_, String>(0)).optional().map_err(failed)?;
            if kind.as_deref() != Some("table") {
                let got = format!("a database without rosbag2's table {table:?}");
                return Err(RecordingError::NotOne { path: path.to_owned(), got });
            }
        }
        Ok(Self { path: path.to_owned(), connection })
    }

    fn failed(&self, source: rusqlite::Error) -> RecordingError {
        RecordingError::Database { path: self.path.clone(), source }
    }

    fn channels(&self) -> Result<Vec<Channel>, rusqlite::Error> {
        let mut query = self.connection.prepare("SELECT id, name, type, serialization_format FROM topics")?;
        let rows = query.query_map([], |row| {
            let format: String = row.get(3)?;
            let form = if format == "cdr" { Form::Cdr } else { Form::Other(format) };
            Ok(Channel { id: row.get(0)?, topic: row.get(1)?, type_name: row.get(2)?, form })
        })?;
        rows.collect()
    }
}

impl Store for Database {
    fn walk(&mut self, bytes: bool, visit: &mut Visit<'_>) -> Result<End, RecordingError> {
        for channel in self.channels().map_err(|e| self.failed(e))? {
            visit(Met::Channel(channel))?;
        }
        let columns = if bytes { "id, topic_id, timestamp, data" } else { "id, topic_id, timestamp, NULL" };
        let query = self.connection.prepare(&format!("SELECT {columns} FROM messages ORDER BY id"));
        let mut query = query.map_err(|e| self.failed(e))?;
        let mut rows = query.query([]).map_err(|e| self.failed(e))?;
        let mut last = None;
        while let Some(row) = rows.next().map_err(|e| self.failed(e))? {
            let head = || -> rusqlite::Result<(i64, u32, i64)> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) };
            let (id, channel, logged) = head().map_err(|e| self.failed(e))?;
            // Messages are read by their ids again: in a damaged table there may be two of one.
            if last.replace(id).is_some_and(|last| last >= id) {
                return Err(self.failed(damaged(format!("the id {id} of a message comes twice or out of order"))));
            }
            let bytes = match row.get_ref(3) {
                Ok(ValueRef::Blob(bytes)) => bytes,
                _ => &[],
            };
            let place = Place { at: id.cast_unsigned(), offset: 0, length: bytes.len() as u32 };
            visit(Met::Message { channel, logged, place, bytes })?;
        }
        Ok(End::Complete)
    }

    fn read(&mut self, place: Place) -> Result<Vec<u8>, RecordingError> {
        let query = self.connection.prepare("SELECT data FROM messages WHERE id = ?1");
        let row = query.and_then(|mut q| q.query_row([place.at.cast_signed()], |row| row.get(0)));
        row.map_err(|e| self.failed(e))
    }
}

fn damaged(what: String) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT), Some(what))
}

//! The broker's SQLite file: sessions, the log of what they have not had, and retained messages. It knows tables, not sessions
//! in memory. One connection, used by one thread, and the file is locked against a second process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, Transaction, params};
use tracing::warn;
use vitalwire_registry::is_full_disk;

use super::rows::SessionRow;
use crate::core::{Changes, LogChanges};
use crate::error::BrokerError;
use crate::message::{PerLane, Publication};

/// Name of the file in the storage folder. What SQLite writes beside it begins with it.
pub const FILE: &str = "broker.db";
/// Grows when a table or the form of a stored message changes.
const FORMAT: i64 = 2;
/// The broker of another crate wrote it. Its retained messages are taken over; its sessions begin again.
const FORMAT_BEFORE: i64 = 1;
/// Messages of the log in one row. Small enough that a row is soon used up and deleted.
const ROW_MESSAGES_MAX: usize = 1_000;

/// The lanes in the table of the logs.
const READINGS: u8 = 0;
const OTHERS: u8 = 1;

const TABLES: &str = "
    CREATE TABLE session(client TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE retained(topic TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE log(lane INTEGER NOT NULL, last INTEGER NOT NULL, body BLOB NOT NULL, PRIMARY KEY(lane, last));
    CREATE TABLE number(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
";

/// What the file holds.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) retained: Vec<Publication>,
    pub(crate) sessions: Vec<SessionRow>,
    pub(crate) log: PerLane<Vec<(u64, Publication)>>,
    /// The position after the last of the log.
    pub(crate) log_end: u64,
    /// The broker's clock.
    pub(crate) now_s: u64,
    /// The next number of a connection or session.
    pub(crate) next_number: u64,
    /// Entries of the archive up to here were published.
    pub(crate) published: Option<u64>,
}

/// See the module.
pub(crate) struct Database {
    connection: Connection,
    folder: PathBuf,
}

impl Database {
    /// Opens or creates the file, readable by its owner only. `None` when there is none yet and a full disk has no room for it.
    pub(crate) fn open(folder: &Path) -> Result<Option<Self>, BrokerError> {
        let path = folder.join(FILE);
        let storage = |cause: String| BrokerError::Storage { path: path.clone(), cause };
        let file = match make(folder, &path) {
            Err(error) if is_full(&error) => return Ok(None),
            made => made.map_err(|error| storage(error.to_string()))?,
        };
        let is_empty = file.metadata().map_err(|error| storage(error.to_string()))?.len() == 0;
        let connection = Connection::open(&path).map_err(|error| storage(error.to_string()))?;
        let format = match prepare(&connection) {
            Ok(0) => make_tables(&connection),
            Ok(FORMAT_BEFORE) => take_over(&connection),
            prepared => prepared,
        };
        match format {
            Ok(FORMAT) => Ok(Some(Self { connection, folder: folder.into() })),
            Ok(format) => Err(storage(format!(
                "it has format {format}, this program knows {FORMAT}: run the version that wrote it, or move the file away"
            ))),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Err(BrokerError::StorageInUse { path })
            }
            Err(error) if (is_empty || is_new(&connection)) && is_full_disk(&error, &path) => Ok(None),
            Err(error) => Err(storage(error.to_string())),
        }
    }

    /// Writes one set of changes, all or nothing, durable when it returns.
    pub(crate) fn write(&mut self, changes: &Changes) -> rusqlite::Result<()> {
        let rows = self.connection.transaction()?;
        for client in &changes.gone {
            rows.prepare_cached("DELETE FROM session WHERE client = ?1")?.execute([client])?;
        }
        for session in &changes.sessions {
            rows.prepare_cached("INSERT OR REPLACE INTO session(client, body) VALUES (?1, ?2)")?
                .execute(params![session.client_id, encode(session)?])?;
        }
        for (topic, publication) in &changes.retained {
            match publication {
                Some(publication) => rows
                    .prepare_cached("INSERT OR REPLACE INTO retained(topic, body) VALUES (?1, ?2)")?
                    .execute(params![topic, encode(&**publication)?])?,
                None => rows.prepare_cached("DELETE FROM retained WHERE topic = ?1")?.execute([topic])?,
            };
        }
        if changes.rewrite {
            rows.execute("DELETE FROM log", [])?;
        }
        write_log(&rows, READINGS, &changes.log.readings)?;
        write_log(&rows, OTHERS, &changes.log.others)?;
        let numbers =
            [("log_end", changes.log_end), ("now_s", changes.now_s), ("next_number", changes.next_number)];
        let published = changes.published.map(|published| ("published", published));
        for (name, value) in numbers.into_iter().chain(published) {
            rows.prepare_cached("INSERT OR REPLACE INTO number(name, value) VALUES (?1, ?2)")?
                .execute(params![name, value.cast_signed()])?;
        }
        rows.commit()
    }

    /// Makes every write fail.
    #[cfg(test)]
    pub(crate) fn refuse_writes(&self) {
        self.connection.pragma_update(None, "query_only", "ON").expect("it is a setting");
    }

    /// Writes every page again and empties the log, so that the files hold nothing but what the tables hold.
    pub(crate) fn purge(&self) -> rusqlite::Result<()> {
        // The scratch file holds what is left: beside the database, not in a shared folder (which a minimal container
        // lacks).
        if let Some(folder) = self.folder.to_str().filter(|folder| !folder.is_empty()) {
            self.connection.pragma_update(None, "temp_store_directory", folder)?;
        }
        self.connection.execute_batch("VACUUM")?;
        self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| match row.get(0)? {
            0 => Ok(()),
            _busy => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY),
                Some("the log could not be emptied".to_owned()),
            )),
        })
    }

    /// Everything. What cannot be read is left out with a warning: a damaged row must not stop the broker.
    pub(crate) fn read(&self) -> rusqlite::Result<Stored> {
        let mut stored = Stored::default();
        let mut statement = self.connection.prepare("SELECT name, value FROM number")?;
        let numbers = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?)))?;
        for number in numbers {
            let (name, value) = number?;
            match name.as_str() {
                "log_end" => stored.log_end = value.cast_unsigned(),
                "now_s" => stored.now_s = value.cast_unsigned(),
                "next_number" => stored.next_number = value.cast_unsigned(),
                "published" => stored.published = Some(value.cast_unsigned()),
                _ => {}
            }
        }
        stored.retained = self.bodies("SELECT body FROM retained", "retained message")?;
        stored.sessions = self.bodies("SELECT body FROM session", "session")?;
        stored.log = PerLane { readings: self.log(READINGS)?, others: self.log(OTHERS)? };
        Ok(stored)
    }

    fn log(&self, lane: u8) -> rusqlite::Result<Vec<(u64, Publication)>> {
        let query = format!("SELECT body FROM log WHERE lane = {lane} ORDER BY last");
        let rows: Vec<Vec<(u64, Publication)>> = self.bodies(&query, "part of a log")?;
        Ok(rows.into_iter().flatten().collect())
    }

    fn bodies<T: serde::de::DeserializeOwned>(&self, query: &str, what: &str) -> rusqlite::Result<Vec<T>> {
        let mut statement = self.connection.prepare(query)?;
        let rows = statement.query_map([], |row| row.get::<_, Vec<u8>>(0))?;
        let mut found = Vec::new();
        for body in rows {
            match body.map(|body| postcard::from_bytes(&body)) {
                Ok(Ok(read)) => found.push(read),
                Ok(Err(error)) => {
                    warn!(what, %error, "the broker's storage holds something that cannot be read; it is left out")
                }
                // A damaged row may hold another type than it should.
                Err(rusqlite::Error::InvalidColumnType(_, _, kind)) => {
                    warn!(what, %kind, "the broker's storage holds something that cannot be read; it is left out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }
}

fn prepare(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    // What is taken or erased is overwritten.
    connection.pragma_update(None, "secure_delete", "ON")?;
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Only a new file is written to: what is there must also be read from a full disk.
fn make_tables(connection: &Connection) -> rusqlite::Result<i64> {
    let rows = connection.unchecked_transaction()?;
    rows.execute_batch(TABLES)?;
    rows.pragma_update(None, "user_version", FORMAT)?;
    rows.commit()?;
    Ok(FORMAT)
}

fn take_over(connection: &Connection) -> rusqlite::Result<i64> {
    let rows = connection.unchecked_transaction()?;
    let sessions: i64 = rows.query_row("SELECT count(*) FROM session", [], |row| row.get(0))?;
    rows.execute_batch(
        "ALTER TABLE retained RENAME TO retained_before; DROP TABLE session; DROP TABLE queue; DROP TABLE inflight;",
    )?;
    rows.execute_batch(TABLES)?;
    take_over_retained(&rows)?;
    rows.execute_batch("DROP TABLE retained_before")?;
    rows.pragma_update(None, "user_version", FORMAT)?;
    rows.commit()?;
    if sessions > 0 {
        warn!(
            sessions,
            "MQTT sessions of an earlier version begin again: their clients subscribe when they come back"
        );
    }
    Ok(FORMAT)
}

fn take_over_retained(rows: &Transaction<'_>) -> rusqlite::Result<()> {
    let mut before = rows.prepare("SELECT topic, qos, payload FROM retained_before")?;
    let messages = before.query_map([], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, u8>(1)?, row.get::<_, Vec<u8>>(2)?))
    })?;
    for message in messages {
        let (topic, qos, payload) = message?;
        let publication = Publication::new(topic.as_str().into(), payload.into());
        let publication = Publication { qos: qos.min(2), retain: true, ..publication };
        rows.execute(
            "INSERT INTO retained(topic, body) VALUES (?1, ?2)",
            params![topic, encode(&publication)?],
        )?;
    }
    Ok(())
}

/// Whether the file has a beginning and no tables yet: so a full disk left it.
fn is_new(connection: &Connection) -> bool {
    connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0)) == Ok(0)
}

fn make(folder: &Path, path: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn encode<T: serde::Serialize>(value: &T) -> rusqlite::Result<Vec<u8>> {
    postcard::to_stdvec(value).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

/// A message of the log as it is written.
type LogRow<'a> = (u64, &'a Publication);

fn write_log(rows: &Transaction<'_>, lane: u8, changes: &LogChanges) -> rusqlite::Result<()> {
    rows.prepare_cached("DELETE FROM log WHERE lane = ?1 AND last < ?2")?
        .execute(params![lane, changes.first.cast_signed()])?;
    for messages in changes.new.chunks(ROW_MESSAGES_MAX) {
        let Some((last, _)) = messages.last() else { continue };
        let row: Vec<LogRow<'_>> = messages.iter().map(|(position, of)| (*position, &**of)).collect();
        rows.prepare_cached("INSERT OR REPLACE INTO log(lane, last, body) VALUES (?1, ?2, ?3)")?
            .execute(params![lane, last.cast_signed(), encode(&row)?])?;
    }
    Ok(())
}

//! The broker's SQLite file: sessions, their queues and unacknowledged messages, and retained messages. It knows tables,
//! not sessions in memory. One connection, used by one thread, and the file is locked against a second process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use mqtt5::QoS;
use mqtt5::broker::storage::{ClientSession, InflightMessage, QueuedMessage};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};
use tracing::warn;
use vitalwire_registry::is_full_disk;

use super::backlog::{Backlog, RowChange};
use crate::error::BrokerError;

/// Name of the file in the storage folder. What SQLite writes beside it begins with it.
pub const FILE: &str = "broker.db";
/// Grows when a table or the form of a stored message changes.
const FORMAT: i64 = 1;

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS session(client TEXT PRIMARY KEY, body TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS retained(topic TEXT PRIMARY KEY, qos INTEGER NOT NULL, payload BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS queue(
        client TEXT NOT NULL, chunk INTEGER NOT NULL, taken INTEGER NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY(client, chunk));
    CREATE TABLE IF NOT EXISTS inflight(client TEXT PRIMARY KEY, body BLOB NOT NULL);
";

/// One retained message.
pub(crate) struct Retained {
    pub(crate) topic: String,
    pub(crate) qos: QoS,
    pub(crate) payload: Vec<u8>,
}

/// One session with what waits for its client.
pub(crate) struct StoredSession {
    pub(crate) session: ClientSession,
    pub(crate) queue: Vec<QueuedMessage>,
    pub(crate) inflight: Vec<InflightMessage>,
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
    pub(crate) fn write(
        &mut self,
        changes: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        changes(&transaction)?;
        transaction.commit()
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

    /// All retained messages.
    pub(crate) fn retained(&self) -> rusqlite::Result<Vec<Retained>> {
        let mut statement = self.connection.prepare("SELECT topic, qos, payload FROM retained")?;
        let rows = statement.query_map([], |row| {
            Ok(Retained { topic: row.get(0)?, qos: qos(row.get(1)?), payload: row.get(2)? })
        })?;
        rows.collect()
    }

    /// All sessions. What cannot be read is left out with a warning: a damaged row must not stop the broker.
    pub(crate) fn sessions(&self) -> rusqlite::Result<Vec<(StoredSession, Backlog)>> {
        let mut statement = self.connection.prepare("SELECT client, body FROM session")?;
        let rows = statement.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))?;
        let mut sessions = Vec::new();
        for row in rows {
            let (client, body) = row?;
            match serde_json::from_str::<ClientSession>(&body) {
                Ok(session) if session.client_id == client => sessions.push(self.rest_of(session)?),
                Ok(_) => warn!(client, "a stored session names another client; it is left out"),
                Err(error) => warn!(client, %error, "a stored session cannot be read; it is left out"),
            }
        }
        Ok(sessions)
    }

    fn rest_of(&self, session: ClientSession) -> rusqlite::Result<(StoredSession, Backlog)> {
        let client = session.client_id.as_str();
        let (mut queue, mut backlog) = (Vec::new(), Backlog::default());
        let mut statement = self
            .connection
            .prepare_cached("SELECT chunk, taken, body FROM queue WHERE client = ?1 ORDER BY chunk")?;
        let rows = statement.query_map([client], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, u32>(1)?, row.get::<_, Vec<u8>>(2)?))
        })?;
        for row in rows {
            let (chunk, taken, body) = row?;
            let messages: Vec<QueuedMessage> = decode(client, &body);
            let live: Vec<QueuedMessage> = messages.into_iter().skip(taken as usize).collect();
            backlog.found(chunk, taken, &live);
            queue.extend(live);
        }
        let inflight: Option<Vec<u8>> = self
            .connection
            .prepare_cached("SELECT body FROM inflight WHERE client = ?1")?
            .query_row([client], |row| row.get(0))
            .optional()?;
        let inflight = inflight.map(|body| decode(client, &body)).unwrap_or_default();
        Ok((StoredSession { session, queue, inflight }, backlog))
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
    connection.execute_batch(TABLES)?;
    connection.pragma_update(None, "user_version", FORMAT)?;
    Ok(FORMAT)
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

fn decode<T: serde::de::DeserializeOwned>(client: &str, body: &[u8]) -> Vec<T> {
    postcard::from_bytes(body).unwrap_or_else(|error| {
        warn!(client, %error, "stored messages cannot be read; they are left out");
        Vec::new()
    })
}

fn encode<T: serde::Serialize>(list: &[T]) -> rusqlite::Result<Vec<u8>> {
    postcard::to_stdvec(list).map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))
}

fn qos(stored: u8) -> QoS {
    match stored {
        0 => QoS::AtMostOnce,
        1 => QoS::AtLeastOnce,
        _ => QoS::ExactlyOnce,
    }
}

/// Stores or, with an empty payload, deletes a retained message.
pub(crate) fn put_retained(
    rows: &Transaction<'_>,
    topic: &str,
    qos: QoS,
    payload: &[u8],
) -> rusqlite::Result<()> {
    if payload.is_empty() {
        rows.prepare_cached("DELETE FROM retained WHERE topic = ?1")?.execute([topic])?;
    } else {
        rows.prepare_cached("INSERT OR REPLACE INTO retained(topic, qos, payload) VALUES (?1, ?2, ?3)")?
            .execute(params![topic, qos as u8, payload])?;
    }
    Ok(())
}

/// Stores a session.
pub(crate) fn put_session(rows: &Transaction<'_>, session: &ClientSession) -> rusqlite::Result<()> {
    let body = serde_json::to_string(session)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    rows.prepare_cached("INSERT OR REPLACE INTO session(client, body) VALUES (?1, ?2)")?
        .execute(params![session.client_id, body])?;
    Ok(())
}

/// Deletes a session with all that hangs on it.
pub(crate) fn delete_session(rows: &Transaction<'_>, client: &str) -> rusqlite::Result<()> {
    for table in ["session", "queue", "inflight"] {
        rows.prepare_cached(&format!("DELETE FROM {table} WHERE client = ?1"))?.execute([client])?;
    }
    Ok(())
}

/// Brings a queue's rows to a new state.
pub(crate) fn change_queue(
    rows: &Transaction<'_>,
    client: &str,
    changes: &[RowChange],
    queue: &[QueuedMessage],
) -> rusqlite::Result<()> {
    for change in changes {
        match change {
            RowChange::DeleteAll => {
                rows.prepare_cached("DELETE FROM queue WHERE client = ?1")?.execute([client])?;
            }
            RowChange::Delete { chunk } => {
                rows.prepare_cached("DELETE FROM queue WHERE client = ?1 AND chunk = ?2")?
                    .execute(params![client, chunk])?;
            }
            RowChange::Taken { chunk, taken } => {
                rows.prepare_cached("UPDATE queue SET taken = ?3 WHERE client = ?1 AND chunk = ?2")?
                    .execute(params![client, chunk, taken])?;
            }
            RowChange::Insert { chunk, messages } => {
                let body = encode(queue.get(messages.clone()).unwrap_or_default())?;
                rows.prepare_cached(
                    "INSERT OR REPLACE INTO queue(client, chunk, taken, body) VALUES (?1, ?2, 0, ?3)",
                )?
                .execute(params![client, chunk, body])?;
            }
        }
    }
    Ok(())
}

/// Stores the messages a client has been sent and has not acknowledged.
pub(crate) fn put_inflight(
    rows: &Transaction<'_>,
    client: &str,
    inflight: &[InflightMessage],
) -> rusqlite::Result<()> {
    if inflight.is_empty() {
        rows.prepare_cached("DELETE FROM inflight WHERE client = ?1")?.execute([client])?;
    } else {
        rows.prepare_cached("INSERT OR REPLACE INTO inflight(client, body) VALUES (?1, ?2)")?
            .execute(params![client, encode(inflight)?])?;
    }
    Ok(())
}

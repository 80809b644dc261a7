//! The SQLite file: how a connection is set up, and the schema. It never reads or writes an entry.

use crate::error::{JournalError, Result};
use crate::limits::JournalLimits;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `VWJ1`, so that another program's database is never taken for a journal.
const APPLICATION_ID: i64 = 0x5657_4a31;
const VERSION: i64 = 1;
/// How long the writer waits for a reader when it cuts the write-ahead log back.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// What each connection may hold of the file in memory, in KiB.
const CACHE_KIB_WRITER: i64 = 64 << 10;
const CACHE_KIB_READER: i64 = 8 << 10;

/// Boots are stored as the signed number of the same 64 bits. Times are UTC microseconds.
const SCHEMA: &str = r"
-- One row. `head` is the highest position ever used as far as removed entries go; `probe` is scratch space with which the
-- writer tries a disk that was full.
CREATE TABLE state (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), head INTEGER NOT NULL, probe BLOB) STRICT;

CREATE TABLE devices (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;

-- In the order of commits. No index by sequence: what is held is told by boots and gaps.
CREATE TABLE entries (
    position INTEGER PRIMARY KEY,
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    received_us INTEGER NOT NULL,
    first_us INTEGER NOT NULL,
    span_us INTEGER NOT NULL,
    uncertainty_us INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    assurance INTEGER NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_time ON entries (device, first_us);

CREATE TABLE boots (
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    highest INTEGER NOT NULL,
    used_us INTEGER NOT NULL,
    PRIMARY KEY (device, boot)
) STRICT, WITHOUT ROWID;

-- Ranges that are or were missing. They never overlap. A range filled late stays, with the time it was closed.
CREATE TABLE gaps (
    device INTEGER NOT NULL,
    boot INTEGER NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    noticed_us INTEGER NOT NULL,
    given_up INTEGER NOT NULL,
    closed_us INTEGER,
    PRIMARY KEY (device, boot, first)
) STRICT, WITHOUT ROWID;
CREATE INDEX gaps_by_closing ON gaps (closed_us) WHERE closed_us IS NOT NULL;

-- `skipped_*`: how many entries were removed before a following reader had read them, and the last such range.
CREATE TABLE readers (
    name TEXT PRIMARY KEY NOT NULL,
    holds INTEGER NOT NULL,
    position INTEGER NOT NULL,
    skipped INTEGER NOT NULL DEFAULT 0,
    skipped_first INTEGER NOT NULL DEFAULT 0,
    skipped_last INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
INSERT INTO state (only_row, head) VALUES (1, 0);
";

/// Makes the file when it is not there, refuses it when others may read it, and takes the lock that keeps a second
/// writer out. The lock is given back when the returned file is dropped, also by kill -9.
pub(crate) fn claim(path: &Path) -> Result<File> {
    let error = |action, path: &Path| {
        let path = path.to_owned();
        move |source| JournalError::File { action, path, source }
    };
    let lock_path = beside(path, ".lock");
    let open = |path: &Path| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
    };
    let lock = open(&lock_path).map_err(error("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(JournalError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => return Err(error("lock", &lock_path)(source)),
    }
    let file = open(path).map_err(error("open", path))?;
    let mode = file.metadata().map_err(error("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(JournalError::Mode { path: path.to_owned(), mode });
    }
    sync_folder_of(path).map_err(error("sync the folder of", path))?;
    Ok(lock)
}

/// The name of a file must be as durable as what is in it.
fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Connects for writing; makes the schema in an empty file.
pub(crate) fn connect_writer(path: &Path, limits: &JournalLimits) -> Result<Connection> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    prepare(&connection, path)?;
    // FULL: what was committed survives a power cut. secure_delete: what is removed is overwritten.
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA secure_delete = ON;")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB_WRITER)?;
    connection.set_prepared_statement_cache_capacity(32);
    let page_size: u64 =
        connection.query_row("PRAGMA page_size", [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    // The last defence of the bound, should the journal's own count be wrong.
    let pages_max =
        i64::try_from((limits.bytes_max + limits.bytes_max / 8) / page_size.max(1)).unwrap_or(i64::MAX);
    connection.query_row(&format!("PRAGMA max_page_count = {pages_max}"), [], |_| Ok(()))?;
    connection.query_row(&format!("PRAGMA journal_size_limit = {}", limits.wal_bytes_max), [], |_| Ok(()))?;
    Ok(connection)
}

fn prepare(connection: &Connection, path: &Path) -> Result<()> {
    let not_ours = || JournalError::NotAJournal { path: path.to_owned() };
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => not_ours(),
            _ => error.into(),
        })?;
    if tables == 0 {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; BEGIN IMMEDIATE; {SCHEMA}
             PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION}; COMMIT;"
        ))?;
    }
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    if pragma("application_id")? != APPLICATION_ID {
        return Err(not_ours());
    }
    let found = pragma("user_version")?;
    if found > VERSION {
        return Err(JournalError::FutureSchema { path: path.to_owned(), found, known: VERSION });
    }
    Ok(())
}

/// Connects for reading only.
/// Refuses a file that is no journal of this version.
pub(crate) fn check_journal(connection: &Connection, path: &Path) -> Result<()> {
    let not_ours = || JournalError::NotAJournal { path: path.to_owned() };
    let number =
        |pragma: &str| connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i64>(0));
    let is_ours = number("application_id")? == APPLICATION_ID && number("user_version")? == VERSION;
    if is_ours { Ok(()) } else { Err(not_ours()) }
}

pub(crate) fn connect_reader(path: &Path) -> Result<Connection> {
    // Read-write, as a reader of a write-ahead log must be able to make its shared index; `query_only` keeps it a reader.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIB_READER)?;
    Ok(connection)
}

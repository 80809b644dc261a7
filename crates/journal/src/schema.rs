//! The SQLite file: how a connection is set up, and the schema. It never reads or writes an entry.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::error::{JournalError, Result};
use crate::limits::JournalLimits;

/// `VWJ1`, so that another program's database is never taken for a journal.
const APPLICATION_ID: i64 = 0x5657_4a31;
/// How long the writer waits for a reader when it cuts the write-ahead log back.
const BUSY_TIMEOUT_MS: u64 = 2_000;
/// What each connection may hold of the file in memory, in KiB.
const CACHE_KIB_WRITER: i64 = 64 << 10;
const CACHE_KIB_READER: i64 = 2 << 10;

/// The schema version this program writes.
const VERSION: i64 = 3;

/// One step a version: the first makes version 1 of an empty file. A step that was released is never edited. Boots are
/// stored as the signed number of the same 64 bits. Times are UTC microseconds.
const MIGRATIONS: [&str; 3] = [
    r"
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
",
    r"
-- When an entry came by the journal's own clock (`clock`), by which its age is counted. Null in entries of version 1: they
-- have `received_us` for it.
ALTER TABLE entries ADD COLUMN kept_us INTEGER;

-- A device's boots are forgotten in the order of the last position they used, so that no clock that was set has a say.
-- Numbers of version 1 are times: they stay in their order, before all positions.
ALTER TABLE boots RENAME COLUMN used_us TO used_position;
UPDATE boots SET used_position = used_position - 4611686018427387904;

-- How the boot's clock was mapped to UTC; all null when it was not.
ALTER TABLE boots ADD COLUMN clock_offset_us INTEGER;
ALTER TABLE boots ADD COLUMN clock_uncertainty_us INTEGER;
ALTER TABLE boots ADD COLUMN clock_set_at_us INTEGER;
ALTER TABLE boots ADD COLUMN clock_mapped_us INTEGER;

-- How many numbers are missing in the range. Null: all of it. `given_up` is 2 in the one row of a boot into which its oldest
-- ranges were folded when there were too many: of that range only the count is exact, and its numbers count as held.
ALTER TABLE gaps ADD COLUMN numbers INTEGER;

-- Entries removed since the file was made.
ALTER TABLE state ADD COLUMN removed_by_age INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN removed_by_size INTEGER NOT NULL DEFAULT 0;

-- All readers hold.
DELETE FROM readers WHERE holds = 0;
ALTER TABLE readers DROP COLUMN holds;
ALTER TABLE readers DROP COLUMN skipped;
ALTER TABLE readers DROP COLUMN skipped_first;
ALTER TABLE readers DROP COLUMN skipped_last;

-- One row, none before the first look: see steady.rs. `confirmed_us` is the `suspended_us` that an operator confirmed;
-- another process writes it.
CREATE TABLE clock (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    wall_us INTEGER NOT NULL,
    uptime_us INTEGER NOT NULL,
    machine_start BLOB NOT NULL,
    anchor_wall_us INTEGER NOT NULL,
    anchor_uptime_us INTEGER NOT NULL,
    ahead_us INTEGER NOT NULL,
    suspended_us INTEGER,
    stopped INTEGER,
    trouble_us INTEGER,
    steady_us INTEGER,
    confirmed_us INTEGER
) STRICT;
",
    r"
-- What was computed of all entries of a device that reach into a stretch of time. `length` is in seconds, 60 or 3600; `number`
-- counts such stretches from 1970 on.
CREATE TABLE sums (
    device INTEGER NOT NULL,
    length INTEGER NOT NULL,
    number INTEGER NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (device, length, number)
) STRICT, WITHOUT ROWID;

-- Stretches into which an entry came, or from which one went, since something was computed of them. One with entries is in one of
-- the two tables, never in both.
CREATE TABLE unsummed (
    length INTEGER NOT NULL,
    device INTEGER NOT NULL,
    number INTEGER NOT NULL,
    PRIMARY KEY (length, device, number)
) STRICT, WITHOUT ROWID;

-- By the index alone: an entry reaches into the next minute at most. Division towards the earlier, as for times before 1970.
INSERT OR IGNORE INTO unsummed (length, device, number)
SELECT 60, device, (first_us - (first_us % 60000000 + 60000000) % 60000000) / 60000000 FROM entries
UNION ALL
SELECT 60, device, (first_us - (first_us % 60000000 + 60000000) % 60000000) / 60000000 + 1 FROM entries;
INSERT OR IGNORE INTO unsummed (length, device, number)
SELECT 3600, device, (first_us - (first_us % 3600000000 + 3600000000) % 3600000000) / 3600000000 FROM entries
UNION ALL
SELECT 3600, device, (first_us + 60000000 - ((first_us + 60000000) % 3600000000 + 3600000000) % 3600000000) / 3600000000
FROM entries;
",
];

/// Takes the lock that keeps a second writer out. It is given back when the returned file is dropped, also by kill -9. Its file
/// is empty, so that a full disk nearly always has room for it.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let lock_path = beside(path, ".lock");
    let lock = open_or_make(&lock_path).map_err(file_error("open", &lock_path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(JournalError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(file_error("lock", &lock_path)(source)),
    }
}

/// Makes the file when it is not there, and refuses it when others may read it.
pub(crate) fn make(path: &Path) -> Result<()> {
    let file = open_or_make(path).map_err(file_error("open", path))?;
    let mode = file.metadata().map_err(file_error("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(JournalError::Mode { path: path.to_owned(), mode });
    }
    sync_folder_of(path).map_err(file_error("sync the folder of", path))
}

fn open_or_make(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn file_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
    let path = path.to_owned();
    move |source| JournalError::File { action, path, source }
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
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|error| of_database(error, path))?;
    if tables == 0 {
        connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        connection.execute_batch("PRAGMA synchronous = FULL;")?;
        migrate(connection, 0)?;
    }
    let found = version(connection, path)?;
    if found < VERSION {
        migrate(connection, found)?;
    }
    Ok(())
}

/// All or nothing.
fn migrate(connection: &Connection, found: i64) -> rusqlite::Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    for step in MIGRATIONS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}

fn of_database(error: rusqlite::Error, path: &Path) -> JournalError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => JournalError::NotAJournal { path: path.to_owned() },
        _ => error.into(),
    }
}

/// The version of a journal that this program knows.
fn version(connection: &Connection, path: &Path) -> Result<i64> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0));
    if pragma("application_id").map_err(|error| of_database(error, path))? != APPLICATION_ID {
        return Err(JournalError::NotAJournal { path: path.to_owned() });
    }
    let found = pragma("user_version")?;
    if found > VERSION {
        return Err(JournalError::FutureSchema { path: path.to_owned(), found, known: VERSION });
    }
    Ok(found)
}

/// Refuses a file that is no journal of this version.
pub(crate) fn check_journal(connection: &Connection, path: &Path) -> Result<()> {
    match version(connection, path)? {
        VERSION => Ok(()),
        _ => Err(JournalError::OldSchema { path: path.to_owned() }),
    }
}

/// Connects for reading only.
pub(crate) fn connect_reader(path: &Path) -> Result<Connection> {
    // Read-write, as a reader of a write-ahead log must be able to make its shared index; `query_only` keeps it a reader.
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch("PRAGMA query_only = ON;").map_err(|error| of_database(error, path))?;
    connection
        .pragma_update(None, "cache_size", -CACHE_KIB_READER)
        .map_err(|error| of_database(error, path))?;
    Ok(connection)
}

/// Connects for a single change while another process may have the journal open for writing.
pub(crate) fn connect_beside_writer(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    Ok(connection)
}

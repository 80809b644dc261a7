//! The SQLite file: how a connection is set up, and the schema with its migrations. It never reads or writes a device or
//! a user.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};

use crate::audit;
use crate::error::{RegistryError, Result};
use crate::limits::BUSY_TIMEOUT_MS;
use crate::seal::Sealer;

/// `VWR1`, so that another program's database is never taken for a registry.
const APPLICATION_ID: i64 = 0x5657_5231;

/// The schema version that brought the audit log.
const AUDIT_SINCE: i64 = 4;

/// One step a version: the first makes version 1 of an empty file. A step that was released is never edited.
const MIGRATIONS: &[&str] = &[
    r"
-- One row. `version` grows by one with each change of a device or a user, and each changed row is stamped with it, so
-- that a reader can ask for what changed since it last looked. `check_value` opens only under the right master key.
CREATE TABLE registry (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL,
    check_value BLOB NOT NULL
) STRICT;

-- A revoked device stays as a tombstone (sealed IS NULL): readers learn of it, and the next key under its name gets the
-- next generation. Times are Unix seconds.
CREATE TABLE devices (
    id TEXT PRIMARY KEY NOT NULL,
    protocol TEXT NOT NULL,
    sealed BLOB,
    fingerprint BLOB NOT NULL,
    generation INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    key_set_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_version ON devices (version);
CREATE UNIQUE INDEX devices_by_fingerprint ON devices (fingerprint) WHERE sealed IS NOT NULL;

-- A removed user stays as a tombstone (password_hash IS NULL).
CREATE TABLE users (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    all_devices INTEGER NOT NULL CHECK (all_devices IN (0, 1)),
    password_hash TEXT,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_version ON users (version);

CREATE TABLE user_devices (
    user TEXT NOT NULL REFERENCES users (name),
    device TEXT NOT NULL REFERENCES devices (id),
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_devices_by_device ON user_devices (device);
",
    r"
-- A device that speaks TLS has a link id (16 bytes), bound into the seal of its key. While a rotation is pending, the key
-- before it has columns of its own: all three are there, or none.
ALTER TABLE devices ADD COLUMN link BLOB;
ALTER TABLE devices ADD COLUMN previous_sealed BLOB;
ALTER TABLE devices ADD COLUMN previous_link BLOB;
ALTER TABLE devices ADD COLUMN previous_until INTEGER;
CREATE UNIQUE INDEX devices_by_link ON devices (link) WHERE link IS NOT NULL;
CREATE UNIQUE INDEX devices_by_previous_link ON devices (previous_link) WHERE previous_link IS NOT NULL;
",
    r"
-- What is to be erased (done_at IS NULL), and what was. Times are Unix seconds.
CREATE TABLE erasures (
    number INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    requested_at INTEGER NOT NULL,
    done_at INTEGER,
    entries INTEGER,
    proof TEXT
) STRICT;
CREATE INDEX erasures_by_device ON erasures (device);
CREATE UNIQUE INDEX erasures_pending ON erasures (device) WHERE done_at IS NULL;
",
    r"
-- The audit log: see audit.rs. The row of `registry` says where it ends. Times are Unix microseconds.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    time_us INTEGER NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    actor TEXT NOT NULL,
    detail TEXT NOT NULL,
    chain BLOB NOT NULL
) STRICT;
ALTER TABLE registry ADD COLUMN audit_records INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN audit_head BLOB;
ALTER TABLE registry ADD COLUMN audit_seal BLOB;
",
    r"
-- Under which keys the audit log was chained before the master key was rotated: one row a rotation, for the records up to
-- and with `until`. Each is sealed under the present master key.
CREATE TABLE audit_keys (
    until INTEGER PRIMARY KEY,
    sealed BLOB NOT NULL
) STRICT;
",
    r"
-- A patient, known or not. `patient` is sealed; NULL: no one said who it is; empty: it was forgotten. Times are UTC,
-- microseconds since 1970. `limits` is the text of alarm limits; NULL: the defaults. `version` is that of the registry at the
-- last change that a server must know.
CREATE TABLE stays (
    id INTEGER PRIMARY KEY,
    patient BLOB,
    limits TEXT,
    paused_until_us INTEGER,
    version INTEGER NOT NULL
) STRICT;
CREATE INDEX stays_by_version ON stays (version);

-- On which device a stay was, in the order of `number`; `from_us` and `to_us` are for people. The borders divide all readings of a
-- device: to a part belongs what the journal got after `border_position` and what was measured from `border_us` on, without
-- what belongs so to a later part. Every name that was ever enrolled, and not erased since, has one part that goes on
-- (`to_us` IS NULL).
CREATE TABLE stay_parts (
    number INTEGER PRIMARY KEY,
    stay INTEGER NOT NULL REFERENCES stays (id),
    device TEXT NOT NULL,
    from_us INTEGER NOT NULL,
    to_us INTEGER,
    border_us INTEGER NOT NULL,
    border_position INTEGER NOT NULL
) STRICT;
CREATE INDEX stay_parts_by_device ON stay_parts (device, number);
CREATE INDEX stay_parts_by_stay ON stay_parts (stay, number);
CREATE UNIQUE INDEX stay_parts_open ON stay_parts (device) WHERE to_us IS NULL;

-- The log of alarms. `device` is '' and `stay` 0 for those of the server's own. `sealed` has value and limit, `sealed_reason` why it was
-- acknowledged. Open are those with closed_us IS NULL.
CREATE TABLE alarms (
    number INTEGER PRIMARY KEY,
    device TEXT NOT NULL,
    stay INTEGER NOT NULL,
    condition TEXT NOT NULL,
    priority TEXT NOT NULL,
    since_us INTEGER NOT NULL,
    delay_us INTEGER NOT NULL,
    raised_us INTEGER NOT NULL,
    late INTEGER NOT NULL CHECK (late IN (0, 1)),
    sealed BLOB NOT NULL,
    ended_us INTEGER,
    acknowledged_us INTEGER,
    acknowledged_by TEXT,
    sealed_reason BLOB,
    reannounced_us INTEGER,
    escalated_us INTEGER,
    closed_us INTEGER
) STRICT;
CREATE INDEX alarms_by_device ON alarms (device, raised_us);
CREATE INDEX alarms_by_stay ON alarms (stay, raised_us);
CREATE INDEX alarms_by_time ON alarms (raised_us);
CREATE INDEX alarms_open ON alarms (number) WHERE closed_us IS NULL;

-- Which changes of an alarm were written, so that none is written twice.
CREATE TABLE alarm_changes (
    number INTEGER NOT NULL REFERENCES alarms (number),
    kind TEXT NOT NULL,
    time_us INTEGER NOT NULL,
    PRIMARY KEY (number, kind, time_us)
) STRICT, WITHOUT ROWID;

ALTER TABLE registry ADD COLUMN last_stay INTEGER NOT NULL DEFAULT 0;
ALTER TABLE registry ADD COLUMN last_alarm INTEGER NOT NULL DEFAULT 0;

-- Devices that are there begin with a stay of no one known. A first enrolment has all that its name ever sent; of a later one
-- it is known that it has what was measured since.
INSERT INTO stays (id, version)
    SELECT row_number() OVER (ORDER BY id), (SELECT version FROM registry) FROM devices WHERE sealed IS NOT NULL;
INSERT INTO stay_parts (number, stay, device, from_us, border_us, border_position)
    SELECT number, number, id, from_us, CASE WHEN generation = 1 THEN 0 ELSE from_us END, 0
    FROM (
        SELECT row_number() OVER (ORDER BY id) AS number, id, enrolled_at * 1000000 AS from_us, generation
        FROM devices WHERE sealed IS NOT NULL
    );
UPDATE registry SET last_stay = (SELECT count(*) FROM stays);
",
    r"
-- Tokens by which programs ask the dashboard. `hash` is the SHA-256 of one. Times are Unix seconds.
CREATE TABLE tokens (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    all_devices INTEGER NOT NULL CHECK (all_devices IN (0, 1)),
    hash BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    ends_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX tokens_by_hash ON tokens (hash);

CREATE TABLE token_devices (
    token TEXT NOT NULL REFERENCES tokens (name),
    device TEXT NOT NULL REFERENCES devices (id),
    PRIMARY KEY (token, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX token_devices_by_device ON token_devices (device);
",
];

/// The schema version this program writes.
fn known_version() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// Connects to a file that exists, with all settings that belong to a connection.
pub(crate) fn connect(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(BUSY_TIMEOUT_MS))?;
    // FULL: a change that was reported as done survives a power cut. secure_delete: what is revoked is overwritten.
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON;
             PRAGMA trusted_schema = OFF;",
        )
        .map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::NotADatabase) => RegistryError::NotARegistry { path: path.to_owned() },
            _ => error.into(),
        })?;
    Ok(connection)
}

/// Readers and the writer do not block each other in WAL mode; SQLite gives the `-wal` and `-shm` files the mode of the
/// database file.
pub(crate) fn use_wal(connection: &Connection) -> Result<()> {
    let mode: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    }
    Ok(())
}

/// Makes the schema in an empty file, together with the one row of `registry`.
pub(crate) fn create(connection: &Connection, path: &Path, sealer: &Sealer, actor: &str) -> Result<()> {
    let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
    let tables: i64 = transaction.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if tables > 0 {
        let folder = path.parent().unwrap_or(path).to_owned();
        return Err(RegistryError::Exists { folder });
    }
    migrate_from(&transaction, 0)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.execute(
        "INSERT INTO registry (only_row, version, check_value) VALUES (1, 0, ?1)",
        [sealer.check_value()],
    )?;
    audit::start(&transaction, sealer, actor)?;
    transaction.commit()?;
    Ok(())
}

/// Refuses a file that is not ours or too new.
pub(crate) fn check(connection: &Connection, path: &Path) -> Result<()> {
    if pragma(connection, "application_id")? != APPLICATION_ID {
        return Err(RegistryError::NotARegistry { path: path.to_owned() });
    }
    let found = pragma(connection, "user_version")?;
    let known = known_version();
    if found > known {
        return Err(RegistryError::FutureSchema { path: path.to_owned(), found, known });
    }
    Ok(())
}

/// What opens under the right master key only.
pub(crate) fn check_value(connection: &Connection) -> Result<Vec<u8>> {
    let mut statement = connection.prepare_cached("SELECT check_value FROM registry")?;
    Ok(statement.query_row([], |row| row.get(0))?)
}

/// Refuses a registry whose master key was rotated since it was opened.
pub(crate) fn check_key(connection: &Connection, sealer: &Sealer) -> Result<()> {
    if sealer.opens_check_value(&check_value(connection)?) {
        return Ok(());
    }
    Err(RegistryError::MasterKeyRotated { database: connection.path().unwrap_or_default().into() })
}

/// Brings an older file up to date.
pub(crate) fn update(connection: &Connection, path: &Path, sealer: &Sealer, actor: &str) -> Result<()> {
    if pragma(connection, "user_version")? < known_version() {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // Asked again under the write lock: another process may have been faster, or newer.
        check(&transaction, path)?;
        let found = pragma(&transaction, "user_version")?;
        migrate_from(&transaction, usize::try_from(found).unwrap_or(0))?;
        if found < AUDIT_SINCE {
            audit::start(&transaction, sealer, actor)?;
        }
        transaction.commit()?;
    }
    Ok(())
}

fn migrate_from(transaction: &Transaction<'_>, version: usize) -> Result<()> {
    for step in MIGRATIONS.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", known_version())?;
    Ok(())
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

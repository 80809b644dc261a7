//! Sessions and login links in SQLite, `dashboard.db` of the data folder. It is a file of its own, so that no login waits for the registry's
//! writers; losing it logs people out and loses nothing else.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{Hash, Link, Session};
use crate::limits::LINKS_MAX;

/// Its name in the data folder.
pub const FILE: &str = "dashboard.db";

/// Written into the file, so that a later version knows this one's. Version 1 had no links.
const VERSION: i64 = 2;

const TABLES: &str = "\
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS sessions (id BLOB PRIMARY KEY, user TEXT NOT NULL, password BLOB NOT NULL,
    began_ms INTEGER NOT NULL, used_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS links (id BLOB PRIMARY KEY, user TEXT NOT NULL, password BLOB NOT NULL,
    until_ms INTEGER NOT NULL) STRICT, WITHOUT ROWID;
PRAGMA user_version = 2;
COMMIT;";

/// Why sessions and login links cannot be kept.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum StoreError {
    #[error("cannot make {}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error(
        "dashboard.db in the data folder: {0}; without that file everyone logs in again, and nothing else is lost"
    )]
    Database(#[from] rusqlite::Error),
    #[error(
        "dashboard.db in the data folder could not be opened at the start, so links log no one in; see the log"
    )]
    Absent,
    #[error(
        "dashboard.db in the data folder is of a later version ({0}) of this program: use that, or take the file away"
    )]
    Version(i64),
}

pub(super) struct Store(Connection);

impl Store {
    pub(super) fn open(data: &Path) -> Result<Self, StoreError> {
        let path = data.join(FILE);
        let made = OpenOptions::new().create(true).append(true).mode(0o600).open(&path);
        made.map_err(|cause| StoreError::File { path: path.clone(), cause })?;
        let connection = Connection::open(&path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "normal")?;
        let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
        match version {
            0 | 1 => connection.execute_batch(TABLES)?,
            VERSION => {}
            later => return Err(StoreError::Version(later)),
        }
        Ok(Self(connection))
    }

    /// All of them; a row that makes no sense is left out.
    pub(super) fn load(&self) -> Result<BTreeMap<Hash, Session>, StoreError> {
        let mut statement = self.0.prepare("SELECT id, user, password, began_ms, used_ms FROM sessions")?;
        let rows = statement.query_map((), |row| Ok(read(row)))?;
        Ok(rows.flatten().flatten().collect())
    }

    pub(super) fn insert(&self, id: &Hash, session: &Session) -> Result<(), StoreError> {
        self.0.prepare_cached("INSERT INTO sessions VALUES (?1, ?2, ?3, ?4, ?5)")?.execute((
            id,
            session.user.as_str(),
            session.password,
            session.began_ms,
            session.used_ms,
        ))?;
        Ok(())
    }

    pub(super) fn used(&self, id: &Hash, used_ms: i64) -> Result<(), StoreError> {
        self.0.prepare_cached("UPDATE sessions SET used_ms = ?2 WHERE id = ?1")?.execute((id, used_ms))?;
        Ok(())
    }

    pub(super) fn remove(&self, id: &Hash) -> Result<(), StoreError> {
        self.0.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([id])?;
        Ok(())
    }

    /// Keeps a link; those that are too old go, and the oldest when there are too many.
    pub(super) fn insert_link(&self, link: &Link, now_ms: i64) -> Result<(), StoreError> {
        let transaction = self.0.unchecked_transaction()?;
        transaction.execute("DELETE FROM links WHERE until_ms <= ?1", [now_ms])?;
        let others = i64::try_from(LINKS_MAX).unwrap_or(i64::MAX) - 1;
        transaction.execute(
            "DELETE FROM links WHERE id NOT IN (SELECT id FROM links ORDER BY until_ms DESC LIMIT ?1)",
            [others],
        )?;
        let row = (link.id, link.user.as_str(), link.password, link.until_ms);
        transaction.execute("INSERT INTO links VALUES (?1, ?2, ?3, ?4)", row)?;
        Ok(transaction.commit()?)
    }

    /// A link that is used now: it is in the file no more.
    pub(super) fn take_link(&self, id: &Hash) -> Result<Option<Link>, StoreError> {
        let sql = "DELETE FROM links WHERE id = ?1 RETURNING user, password, until_ms";
        let mut statement = self.0.prepare_cached(sql)?;
        let taken = statement.query_row([id], |row| {
            let user: String = row.get(0)?;
            Ok(user.parse().ok().zip(Some((row.get(1)?, row.get(2)?))))
        });
        let found = taken.optional()?.flatten();
        Ok(found.map(|(user, (password, until_ms))| Link { id: *id, user, password, until_ms }))
    }
}

fn read(row: &Row<'_>) -> Option<(Hash, Session)> {
    let user: String = row.get(1).ok()?;
    let used_ms = row.get(4).ok()?;
    let session = Session {
        user: user.parse().ok()?,
        password: row.get(2).ok()?,
        began_ms: row.get(3).ok()?,
        used_ms,
        written_ms: used_ms,
    };
    Some((row.get(0).ok()?, session))
}

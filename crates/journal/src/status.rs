//! How a journal is, asked by who only reads its file, also while a server writes it; and the one thing that another
//! process may write there: that the clock is right.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension};

use crate::disk::free_bytes;
use crate::error::Result;
use crate::history_file::HistoryFile;
use crate::ledger::{pragma, read_clock};
use crate::reader::ReaderLag;
use crate::readers;
use crate::schema::{self, beside};
use crate::steady::Suspension;

/// How a journal is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JournalStatus {
    /// Entries that are kept.
    pub entries: u64,
    /// The newest position.
    pub head: u64,
    /// When the oldest entry was received: UTC microseconds.
    pub oldest_us: Option<i64>,
    /// When the newest entry was received: UTC microseconds.
    pub newest_us: Option<i64>,
    /// What the entries and all that belongs to them take in the file.
    pub bytes_used: u64,
    /// The size of the file and of its write-ahead log.
    pub file_bytes: u64,
    /// Bytes free on its disk; `None` when the system does not say.
    pub disk_free_bytes: Option<u64>,
    /// How far each reader is behind.
    pub readers: Vec<ReaderLag>,
    /// Entries removed by age since the file was made.
    pub removed_by_age: u64,
    /// Entries removed by size since the file was made.
    pub removed_by_size: u64,
    /// Why and since when nothing is removed by age.
    pub suspension: Option<Suspension>,
    /// When a server last said in the file that it runs: UTC microseconds. It does so every minute.
    pub seen_us: Option<i64>,
}

impl HistoryFile {
    /// How the journal is. It counts all entries, which takes about a second for ten million.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn status(&self) -> Result<JournalStatus> {
        let path = self.pool.path().to_owned();
        self.pool.run(move |connection| read_status(connection, &path)).await
    }
}

fn read_status(connection: &Connection, path: &Path) -> rusqlite::Result<JournalStatus> {
    // One read transaction, so that the numbers belong together.
    let connection = connection.unchecked_transaction()?;
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs);
    let received = |order: &str| {
        let sql = format!("SELECT received_us FROM entries ORDER BY position {order} LIMIT 1");
        connection.query_row(&sql, [], |row| row.get(0)).optional()
    };
    let head = number("SELECT max(head, (SELECT coalesce(max(position), 0) FROM entries)) FROM state")?;
    let pages = pragma(&connection, "page_count")?.saturating_sub(pragma(&connection, "freelist_count")?);
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
    let clock = read_clock(&connection)?;
    let readers = readers::read(&connection)?;
    Ok(JournalStatus {
        entries: number("SELECT count(*) FROM entries")?,
        head,
        oldest_us: received("ASC")?,
        newest_us: received("DESC")?,
        bytes_used: pages * pragma(&connection, "page_size")?,
        file_bytes: size(path) + size(&beside(path, "-wal")),
        disk_free_bytes: free_bytes(path),
        readers: readers.into_iter().map(|(name, position)| ReaderLag::new(name, position, head)).collect(),
        removed_by_age: number("SELECT removed_by_age FROM state")?,
        removed_by_size: number("SELECT removed_by_size FROM state")?,
        suspension: clock.and_then(|clock| clock.suspension),
        seen_us: clock.map(|clock| clock.last.wall_us),
    })
}

/// Why and since when nothing is removed by age; `None` when old entries are removed.
///
/// # Errors
/// When there is no journal, or its file cannot be read.
pub fn suspension(path: &Path) -> Result<Option<Suspension>> {
    // Refuses what is no journal before the file is opened for writing.
    HistoryFile::open(path)?;
    let connection = schema::connect_beside_writer(path)?;
    Ok(read_clock(&connection)?.and_then(|clock| clock.suspension))
}

/// Says that the clock is right in spite of this suspension: deletion by age goes on. The server that has the journal open
/// notices within a second, else the next one does.
///
/// # Errors
/// When there is no journal, or its file cannot be written.
pub fn confirm_clock(path: &Path, suspension: &Suspension) -> Result<()> {
    HistoryFile::open(path)?;
    let connection = schema::connect_beside_writer(path)?;
    connection.execute("UPDATE clock SET confirmed_us = ?1", [suspension.since_us])?;
    Ok(())
}

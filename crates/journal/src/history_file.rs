//! A journal for reading only, also while another process has it open for writing. It never changes the file, and sees
//! each time what was committed by then.

use std::io;
use std::path::Path;
use std::sync::Arc;

use vitalwire_access::DeviceId;

use crate::entry::Stored;
use crate::error::{JournalError, Result};
use crate::query::{self, BootAccount, Gap, HistoryQuery, Newest};
use crate::read_pool::ReadPool;
use crate::schema;
use crate::sums::{self, SumsPage, SumsQuery};

/// Queries at once, of a reader that is not the writer's own.
const READS_MAX: usize = 2;

/// What a journal holds, to be asked by device and time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct HistoryFile {
    pub(crate) pool: Arc<ReadPool>,
}

impl HistoryFile {
    /// Opens a journal's file for reading.
    ///
    /// # Errors
    /// When there is none, or it is no journal.
    pub fn open(path: &Path) -> Result<Self> {
        if !path.exists() {
            let source = io::Error::from(io::ErrorKind::NotFound);
            return Err(JournalError::File { action: "open", path: path.to_owned(), source });
        }
        // Says at once what every query would say.
        schema::check_journal(&schema::connect_reader(path)?, path)?;
        Ok(Self { pool: Arc::new(ReadPool::new(path, READS_MAX)) })
    }

    /// A page of a device's entries, in the order of the time of their first sample.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn history(&self, query: HistoryQuery) -> Result<Vec<Stored>> {
        self.pool.run(move |connection| query::history(connection, &query)).await
    }

    /// Sums of a device's minutes or hours, and which are missing.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn sums(&self, query: SumsQuery) -> Result<SumsPage> {
        self.pool.run(move |connection| sums::sums(connection, &query)).await
    }

    /// The entries after this position, in the order in which they came, at most `limit` and [`crate::READ_ENTRIES_MAX`], and
    /// no more than [`crate::READ_BYTES_MAX`] lets in. Empty when there is none. Positions have holes: the next page begins
    /// after the position of the last entry of this one.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn entries_after(&self, position: u64, limit: usize) -> Result<Vec<Stored>> {
        self.pool.run(move |connection| query::entries_after(connection, position, limit)).await
    }

    /// Whether anything of the device was ever kept here, and was not erased since.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn knows(&self, device: &DeviceId) -> Result<bool> {
        let device = device.clone();
        self.pool.run(move |connection| query::knows(connection, &device)).await
    }

    /// The devices of which something came within so many microseconds before the newest entry, by the journal's own clock. It
    /// looks at each device's boots, and at one entry a device.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn last_heard(&self, within_us: u64) -> Result<Vec<DeviceId>> {
        self.pool.run(move |connection| query::last_heard(connection, within_us)).await
    }

    /// The gaps of a device's sequences: first those that were folded, then those noticed last first.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn gaps(&self, device: &DeviceId, limit: usize) -> Result<Vec<Gap>> {
        let device = device.clone();
        self.pool.run(move |connection| query::gaps(connection, &device, limit)).await
    }
    /// What is held of each boot of a device that spoke by the batch protocol, the one used last first, at most `limit`.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn boots(&self, device: &DeviceId, limit: usize) -> Result<Vec<BootAccount>> {
        let device = device.clone();
        self.pool.run(move |connection| query::boots(connection, &device, limit)).await
    }

    /// The newest entry of a device; `None` when nothing of it is held.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn newest(&self, device: &DeviceId) -> Result<Option<Newest>> {
        let device = device.clone();
        self.pool.run(move |connection| query::newest(connection, &device)).await
    }
    /// The newest entry of each device of which something is held.
    ///
    /// # Errors
    /// When the file cannot be read, or the journal is closed.
    pub async fn newest_of_all(&self) -> Result<Vec<(DeviceId, Newest)>> {
        self.pool.run(query::newest_of_all).await
    }
}

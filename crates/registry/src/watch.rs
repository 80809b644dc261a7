//! Watching the registry: a thread that publishes a new [`Directory`] within [`POLL_INTERVAL`] of any change, by whatever
//! process. It reads only, and only rows that changed. When reading fails, the last good snapshot stays in force.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};
use tokio::sync::watch as channel;

use crate::device_row::{DEVICE_COLUMNS, DeviceRow};
use crate::directory::{Changes, DeviceChange, Directory, RowName, UserChange};
use crate::erasure::read_pending;
use crate::error::{RegistryError, Result};
use crate::schema;
use crate::stay_store::read_current;
use crate::store::Registry;
use crate::token_store::read_tokens;
use crate::user_store::read_users;

/// How often the file is asked whether it changed (`PRAGMA data_version`: some microseconds, no disk access).
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// How often a lasting fault is logged.
const FAULT_LOG_INTERVAL: Duration = Duration::from_secs(60);
/// How many broken rows are named in the log at one load; the rest are counted.
const BROKEN_ROWS_LOGGED_MAX: usize = 20;

impl Registry {
    /// The whole directory as it is now. Rows that cannot be trusted are left out, listed in
    /// [`Directory::broken`] and logged.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn directory(&self) -> Result<Directory> {
        let changes = self.read(None)?;
        Ok(Directory::default().with(changes))
    }

    /// What changed after the version, tombstones of revoked devices and removed users among it. A version ahead of the
    /// registry's (a restored backup) yields no changes and the registry's own, lower version.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn changes_since(&self, version: u64) -> Result<Changes> {
        self.read(Some(i64::try_from(version).unwrap_or(i64::MAX)))
    }

    fn read(&self, after: Option<i64>) -> Result<Changes> {
        // One read transaction, so that version, devices and users belong together.
        let transaction = Transaction::new_unchecked(&self.connection, TransactionBehavior::Deferred)?;
        // Under a key that was rotated meanwhile every device would seem broken.
        schema::check_key(&transaction, &self.sealer)?;
        let version = read_version(&transaction)?;
        let devices = self.read_devices(&transaction, after)?;
        let users = read_users(&transaction, after)?;
        let stays = read_current(&transaction, after)?;
        let erasures = read_pending(&transaction)?;
        let tokens = read_tokens(&transaction)?;
        transaction.commit()?;
        let changes = Changes { version, devices, users, stays, erasures, tokens };
        log_broken(&changes);
        Ok(changes)
    }

    fn read_devices(&self, connection: &Connection, after: Option<i64>) -> Result<Vec<DeviceChange>> {
        let condition = if after.is_some() { "version > ?1" } else { "?1 IS NULL AND sealed IS NOT NULL" };
        let mut statement = connection
            .prepare_cached(&format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE {condition} ORDER BY id"))?;
        let mut rows = statement.query([after])?;
        let mut changes = Vec::new();
        while let Some(row) = rows.next()? {
            changes.push(DeviceRow::read(row)?.into_change(&self.sealer));
        }
        Ok(changes)
    }

    fn data_version(&self) -> Result<i64> {
        Ok(self.connection.query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }
}

fn read_version(connection: &Connection) -> Result<u64> {
    let version: i64 = connection.query_row("SELECT version FROM registry", [], |row| row.get(0))?;
    Ok(u64::try_from(version).unwrap_or(0))
}

fn log_broken(changes: &Changes) {
    let devices = changes.devices.iter().filter_map(|change| match change {
        DeviceChange::Broken(id, cause) => Some((RowName::Device(id.clone()), cause)),
        DeviceChange::Present(_) | DeviceChange::Revoked(_) => None,
    });
    let users = changes.users.iter().filter_map(|change| match change {
        UserChange::Broken(name, cause) => Some((RowName::User(name.clone()), cause)),
        UserChange::Present(_) | UserChange::Removed(_) => None,
    });
    let mut count = 0_usize;
    for (row, cause) in devices.chain(users) {
        count += 1;
        if count <= BROKEN_ROWS_LOGGED_MAX {
            tracing::error!(%row, %cause, "row of the registry left out");
        }
    }
    if count > BROKEN_ROWS_LOGGED_MAX {
        tracing::error!(count, named = BROKEN_ROWS_LOGGED_MAX, "more rows of the registry left out");
    }
}

/// Keeps the watching thread alive; dropping it stops and joins the thread.
#[derive(Debug)]
pub struct DirectoryWatch {
    stop: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DirectoryWatch {
    fn drop(&mut self) {
        // The closed channel wakes the thread at once; at worst it finishes reading a change first.
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of that thread was already printed, and a destructor has no one to tell.
            let _ = thread.join();
        }
    }
}

/// Loads the directory, and publishes each later one until the [`DirectoryWatch`] is dropped. The registry should be a
/// connection of its own: changes made through the very connection that watches are not seen.
///
/// # Errors
/// When the first load fails.
pub fn watch(registry: Registry) -> Result<(DirectoryWatch, channel::Receiver<Arc<Directory>>)> {
    // Asked before the load: what happens in between is seen by the load, and costs one needless look later.
    let seen = Some(registry.data_version()?);
    let (publisher, receiver) = channel::channel(Arc::new(registry.directory()?));
    // Never sent to: its closing is the signal.
    let (stop, stopped) = mpsc::sync_channel(0);
    let mut watcher = Watcher { registry, publisher, seen, fault_logged: None };
    let run = move || {
        while stopped.recv_timeout(POLL_INTERVAL) == Err(RecvTimeoutError::Timeout) {
            watcher.look();
        }
    };
    let thread = thread::Builder::new().name("registry-watch".to_owned()).spawn(run).map_err(|source| {
        RegistryError::File { action: "start the thread that watches", path: "the registry".into(), source }
    })?;
    Ok((DirectoryWatch { stop: Some(stop), thread: Some(thread) }, receiver))
}

struct Watcher {
    registry: Registry,
    publisher: channel::Sender<Arc<Directory>>,
    /// The data version that the published directory was read at or after; `None` before this file was first read.
    seen: Option<i64>,
    /// When the present fault was last logged; `None` while all is well.
    fault_logged: Option<Instant>,
}

impl Watcher {
    fn look(&mut self) {
        match self.try_look() {
            Ok(()) => {
                if self.fault_logged.take().is_some() {
                    tracing::info!("the registry can be read again");
                }
            }
            Err(error) => self.log_fault(&error),
        }
    }

    fn try_look(&mut self) -> Result<()> {
        if self.registry.follow_database()? {
            tracing::warn!(
                "the registry's file was replaced, or its disk has room again: it is read from the beginning"
            );
            // Should the load fail, the next look does it: this connection has no data version that is seen.
            self.seen = None;
        }
        let now = self.registry.data_version()?;
        if self.seen != Some(now) {
            self.registry.follow_key()?;
        }
        if self.seen.is_none() {
            self.publish(self.registry.directory()?);
        } else if self.seen != Some(now) {
            self.publish_changes()?;
        }
        self.seen = Some(now);
        Ok(())
    }

    fn publish(&self, next: Directory) {
        let (devices, users) = (next.devices.len(), next.users.len());
        tracing::debug!(version = next.version, devices, users, "directory");
        self.publisher.send_replace(Arc::new(next));
    }

    fn publish_changes(&self) -> Result<()> {
        let present = Arc::clone(&self.publisher.borrow());
        let version = read_version(&self.registry.connection)?;
        // Another version is not always a later one: a backup may have been restored into the file.
        let next = match version.cmp(&present.version) {
            std::cmp::Ordering::Equal => return Ok(()),
            std::cmp::Ordering::Greater => present.with(self.registry.changes_since(present.version)?),
            std::cmp::Ordering::Less => self.registry.directory()?,
        };
        self.publish(next);
        Ok(())
    }

    fn log_fault(&mut self, error: &RegistryError) {
        if self.fault_logged.is_none_or(|at| at.elapsed() >= FAULT_LOG_INTERVAL) {
            self.fault_logged = Some(Instant::now());
            tracing::error!(%error, "cannot read the registry; the last good directory stays in force");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::Mutex;

    use super::*;
    use crate::key::MasterKey;
    use crate::store::DATABASE_FILE;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_lasting_fault_is_logged_once_a_minute_and_its_end_once() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::create(folder.path(), &MasterKey::generate().unwrap()).unwrap();
        let by_hand = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        let (publisher, _directories) = channel::channel(Arc::default());
        let mut watcher = Watcher { registry, publisher, seen: None, fault_logged: None };
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            watcher.look();
            by_hand.execute_batch("ALTER TABLE registry RENAME TO hidden").unwrap();
            (0..5).for_each(|_| watcher.look());
            watcher.fault_logged = Instant::now().checked_sub(FAULT_LOG_INTERVAL);
            (0..5).for_each(|_| watcher.look());
            by_hand.execute_batch("ALTER TABLE hidden RENAME TO registry").unwrap();
            (0..5).for_each(|_| watcher.look());
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches("ERROR").count(), 2, "{text}");
        assert_eq!(text.matches("can be read again").count(), 1, "{text}");
    }
}

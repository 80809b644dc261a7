//! Reads, off the reactor, a bounded number at once, each on a connection of its own that cannot write.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::{JournalError, Result};
use crate::schema;

#[derive(Debug)]
pub(crate) struct ReadPool {
    path: PathBuf,
    reads_max: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Connection>>,
}

impl ReadPool {
    pub(crate) fn new(path: &Path, reads_max: usize) -> Self {
        let reads_max = u32::try_from(reads_max).unwrap_or(u32::MAX).clamp(1, 64);
        Self {
            path: path.to_owned(),
            reads_max,
            permits: Arc::new(Semaphore::new(reads_max as usize)),
            idle: Mutex::new(Vec::new()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for its turn, then runs the query on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(|_| JournalError::Closed)?;
        let pool = Arc::clone(self);
        let read = tokio::task::spawn_blocking(move || {
            let result = pool.on_connection(query);
            drop(permit);
            result
        });
        read.await.map_err(|_| JournalError::Closed)?
    }

    fn on_connection<T>(&self, query: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => schema::connect_reader(&self.path)?,
        };
        // A connection that failed is not used again.
        let result = query(&connection)?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }

    /// Keeps all reads out for as long as the permit is held.
    pub(crate) async fn keep_out(&self) -> Result<OwnedSemaphorePermit> {
        let all = Arc::clone(&self.permits).acquire_many_owned(self.reads_max).await;
        all.map_err(|_| JournalError::Closed)
    }

    /// Ends reading for good: so that the last connection to the file is the writer's.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

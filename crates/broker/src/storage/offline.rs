//! The stored sessions while no broker runs.

use std::path::Path;
use std::sync::Arc;

use super::StorageError;
use super::database::{Database, FILE};
use crate::SessionInfo;
use crate::core::Core;
use crate::error::BrokerError;
use crate::limits::BrokerLimits;

/// The sessions in the storage of a broker that does not run. While this lives, none can start there.
pub struct StoredSessions {
    core: Core,
    database: Database,
}

impl StoredSessions {
    /// Reads them. Nothing when no broker ran there. Blocks.
    ///
    /// # Errors
    /// When the storage cannot be read; [`BrokerError::StorageInUse`] when a broker runs there.
    pub fn open(folder: &Path) -> Result<Option<Self>, BrokerError> {
        // Opening would make it.
        if !folder.join(FILE).exists() {
            return Ok(None);
        }
        let (stored, file) = super::open(folder)?;
        // What the archive holds for a session is told by its last state.
        let archive = stored.published.map(|_| None);
        let core = Core::restored(BrokerLimits::default().core(), stored, archive);
        Ok(file.database.map(|database| Self { core, database }))
    }

    /// All of them, those that messages wait for first.
    #[must_use]
    pub fn list(&self) -> Vec<SessionInfo> {
        self.core.listed()
    }

    /// Takes the session of a client id off the disk, with what waits for it; whose it was, nothing when there is none. A
    /// will that waited for its delay is not published.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn end(&mut self, client_id: &str) -> Result<Option<Arc<str>>, StorageError> {
        let Some((user, _)) = self.core.end_session(client_id) else { return Ok(None) };
        let changes = self.core.take_changes();
        self.database.write(&changes).map_err(|error| StorageError::Failed(error.to_string()))?;
        Ok(Some(user))
    }
}

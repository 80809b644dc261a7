//! The registry's store: making it, opening it, and changing it. Each change is one transaction. What is changed is the
//! business of `device_store` and `user_store`.

use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::key::MasterKey;
use crate::private_file::{self, Privacy, file_error};
use crate::schema;
use crate::seal::Sealer;
use rusqlite::Connection;
use std::fmt;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The registry's file in the data folder.
pub const DATABASE_FILE: &str = "registry.db";
/// The most enrolled devices.
pub const DEVICES_MAX: usize = 1_000_000;
/// How long a change waits for another process's change.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 5_000;

/// The registry: one connection to the SQLite file. Several processes may hold it open at once. Every call blocks on the
/// disk (and up to 5 s on another writer): keep it off reactor threads.
pub struct Registry {
    pub(crate) connection: Connection,
    pub(crate) sealer: Sealer,
    data: PathBuf,
    /// Device and inode of the file that was opened.
    identity: (u64, u64),
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("data", &self.data).finish_non_exhaustive()
    }
}

impl Registry {
    /// Makes a registry in the data folder (which is made too, with mode 0700).
    ///
    /// # Errors
    /// When there is one already (it is left as it is), or the folder is reachable by others or cannot be written.
    pub fn create(data: &Path, master: &MasterKey) -> Result<Self> {
        private_file::ensure_folder(data)?;
        let path = data.join(DATABASE_FILE);
        match private_file::create_new(&path) {
            Ok(_) => {}
            // An empty file is what an interrupted creation leaves; it holds nothing, so it may be used.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && look_at(&path)?.len() == 0 => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RegistryError::Exists { folder: data.to_owned() });
            }
            Err(error) => return Err(file_error("make", &path)(error)),
        }
        private_file::sync_parent(&path)?;
        let connection = schema::connect(&path)?;
        schema::create(&connection, &path, &Sealer::new(master).check_value())?;
        drop(connection);
        Self::open(data, master)
    }

    /// Opens the registry of a data folder and brings an older schema up to date.
    ///
    /// # Errors
    /// When there is none, when this is not the master key it was made with, when others can reach folder or file, or
    /// when a newer program wrote it.
    pub fn open(data: &Path, master: &MasterKey) -> Result<Self> {
        Self::open_with(data, Sealer::new(master))
    }

    fn open_with(data: &Path, sealer: Sealer) -> Result<Self> {
        let path = data.join(DATABASE_FILE);
        let metadata = std::fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => RegistryError::Absent { folder: data.to_owned() },
            _ => file_error("look at", &path)(error),
        })?;
        if metadata.len() == 0 {
            return Err(RegistryError::Absent { folder: data.to_owned() });
        }
        private_file::check_folder(data)?;
        private_file::check(&path, &metadata, Privacy::File)?;
        let connection = schema::connect(&path)?;
        schema::check(&connection, &path)?;
        let check_value: Vec<u8> =
            connection.query_row("SELECT check_value FROM registry", [], |row| row.get(0))?;
        if !sealer.opens_check_value(&check_value) {
            return Err(RegistryError::WrongMasterKey { database: path });
        }
        schema::update(&connection, &path)?;
        schema::use_wal(&connection)?;
        Ok(Self { connection, sealer, identity: identity(&metadata), data: data.to_owned() })
    }

    /// Runs one transaction that takes the write lock first, and stamps what it changes with the next version.
    pub(crate) fn change<T, E: From<RegistryError>>(
        &self,
        apply: impl FnOnce(&Change<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let change = Change::begin(&self.connection, &self.sealer)?;
        let result = apply(&change)?;
        change.commit()?;
        Ok(result)
    }

    /// If another file lies in the place of the one that is open (a restored backup), opens that one; tells whether so.
    pub(crate) fn follow_file(&mut self) -> Result<bool> {
        let there = std::fs::metadata(self.data.join(DATABASE_FILE));
        if there.is_ok_and(|metadata| identity(&metadata) == self.identity) {
            return Ok(false);
        }
        *self = Self::open_with(&self.data, self.sealer.clone())?;
        Ok(true)
    }
}

fn look_at(path: &Path) -> Result<Metadata> {
    std::fs::metadata(path).map_err(file_error("look at", path))
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

//! The data folder: opening its registry, and the names of what else lies in it. Makes nothing.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow};
use vitalwire_gateway::{HistoryFile, journal_file};
use vitalwire_registry::{DATABASE_FILE, Registry, master_key_path};

use crate::args::DataArgs;

/// Folder of the TLS certificate and key that `init` makes.
pub(crate) const TLS_FOLDER: &str = "tls";
/// Folder of what the embedded broker keeps: retained messages and sessions.
pub(crate) const BROKER_FOLDER: &str = "broker";

impl DataArgs {
    /// Opens the registry.
    ///
    /// # Errors
    /// When folder or key are missing, open to others, or do not belong together.
    pub(crate) fn open(&self) -> anyhow::Result<Registry> {
        open(&self.data, self.master_key.as_deref())
    }

    /// Opens the registry to enrol devices. To them belongs what the journal gets from now on.
    ///
    /// # Errors
    /// When folder or key are missing, open to others, or do not belong together.
    pub(crate) fn open_to_enrol(&self) -> anyhow::Result<Registry> {
        let registry = self.open()?;
        // Without a journal that can be read the time alone tells.
        registry.note_journal_position(journal_position(&self.data).unwrap_or(0));
        Ok(registry)
    }
}

/// Opens the registry of a data folder.
///
/// # Errors
/// When folder or key are missing, open to others, or do not belong together.
pub(crate) fn open(data: &Path, master_key: Option<&Path>) -> anyhow::Result<Registry> {
    // Without a registry the key is missing too; that the folder is not one of ours is the better message.
    if !has_registry(data)? {
        anyhow::bail!(
            "{} holds no registry; make one with `vitalwire init --data {}`, or give the right folder with --data",
            data.display(),
            data.display()
        );
    }
    Registry::open_with_key_file(data, &master_key_path(data, master_key)).context("cannot open the registry")
}

/// How far the folder's journal is; 0 when there is none yet.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn journal_position(data: &Path) -> anyhow::Result<u64> {
    let path = journal_file(data);
    if !path.exists() {
        return Ok(0);
    }
    let runtime =
        tokio::runtime::Builder::new_current_thread().build().context("cannot start the event loop")?;
    Ok(runtime.block_on(HistoryFile::open(&path)?.status())?.head)
}

/// Whether the folder was made by `vitalwire init`.
///
/// # Errors
/// When it cannot be looked into.
pub(crate) fn has_registry(data: &Path) -> anyhow::Result<bool> {
    let found = data.join(DATABASE_FILE).try_exists();
    found.map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            anyhow!("no permission to look into {}: run this as the user who owns the folder", data.display())
        }
        _ => anyhow!("cannot look into {}: {error}", data.display()),
    })
}

/// Certificate and key that `init` made, if they are there.
pub(crate) fn own_certificate(data: &Path) -> Option<(PathBuf, PathBuf)> {
    let folder = data.join(TLS_FOLDER);
    let (certificate, key) = (folder.join("broker-certificate.pem"), folder.join("broker-key.pem"));
    (certificate.exists() && key.exists()).then_some((certificate, key))
}

//! The file of accounts on the disk: its owner's alone, and replaced as a whole.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use vitalwire_emqx::Accounts;

use crate::safety;

/// Longest file that is read; ten thousand accounts need 3 MB.
const FILE_LEN_MAX: u64 = 64 * 1024 * 1024;

/// The accounts of a file.
pub(super) struct AccountsFile {
    path: PathBuf,
    pub(super) accounts: Accounts,
}

impl AccountsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// When it is missing, open to others, or no such file.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        safety::check_secret_file(path)?;
        let shown = path.display();
        if std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len() > FILE_LEN_MAX {
            bail!("{shown} is no file of accounts: it is longer than {FILE_LEN_MAX} bytes");
        }
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
        let accounts = Accounts::parse(&text).with_context(|| shown.to_string())?;
        Ok(Self { path: path.to_owned(), accounts })
    }

    /// The same, without any account when the file is missing.
    ///
    /// # Errors
    /// See [`Self::open`].
    pub(super) fn open_or_new(path: &Path) -> anyhow::Result<Self> {
        match std::fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(Self { path: path.to_owned(), accounts: Accounts::default() })
            }
            _ => Self::open(path),
        }
    }

    /// Writes the accounts back: the old file or the new one is there at any moment.
    ///
    /// # Errors
    /// When the disk refuses; the old file is as it was.
    pub(super) fn save(&self) -> anyhow::Result<()> {
        let shown = self.path.display();
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let written = || -> std::io::Result<()> {
            // Mode 0600.
            let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
            file.write_all(self.accounts.text().as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(())
        };
        written().with_context(|| format!("cannot write {shown}"))
    }
}

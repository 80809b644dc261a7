//! What the gateway keeps where in the data folder. The registry's and the broker's files are their own.

use std::path::{Path, PathBuf};

/// The journal.
pub(crate) const JOURNAL: &str = "journal.db";
/// The folder of profiles.
pub(crate) const PROFILES: &str = "profiles";
/// The name of this server at an external broker.
pub(crate) const BROKER_CLIENT_ID: &str = "broker-client-id";

/// The socket at which a running server is asked by the command line.
pub(crate) const CONTROL: &str = "control.sock";

/// The file that a running server holds locked, so that two never serve one data folder.
#[must_use]
pub fn server_lock(data: &Path) -> PathBuf {
    data.join(format!("{JOURNAL}.lock"))
}

/// The journal's file.
#[must_use]
pub fn journal_file(data: &Path) -> PathBuf {
    data.join(JOURNAL)
}

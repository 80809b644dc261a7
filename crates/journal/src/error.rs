//! What can go wrong with a journal, other than an entry not being kept (that is [`crate::Refusal`]).

use std::io;
use std::path::PathBuf;

use crate::entry::Refusal;
use crate::limits::{BYTES_MIN, READERS_MAX};

/// The result of this crate's calls.
pub type Result<T, E = JournalError> = std::result::Result<T, E>;

/// Why a call on a journal failed.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// A file could not be used.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file.
    #[error("{} has mode {mode:04o}, others may reach patient data; run `chmod 600 {}`", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Another process (or another `Journal` of this one) has it open.
    #[error("the journal {} is in use by another process; stop that one, or ask it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file belongs to something else.
    #[error("{} is not a Vitalwire journal; name another file", path.display())]
    NotAJournal {
        /// The file.
        path: PathBuf,
    },
    /// A newer program wrote it.
    #[error("the journal {} has schema {found}, this program knows up to {known}; use the newer program", path.display())]
    FutureSchema {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known one.
        known: i64,
    },
    /// An older program wrote it.
    #[error("the journal {} was written by an older program; start the server once, which brings it up to date", path.display())]
    OldSchema {
        /// The file.
        path: PathBuf,
    },
    /// A limit makes no sense.
    #[error("a journal of {bytes_max} bytes is too small; give it at least {BYTES_MIN}")]
    TooSmall {
        /// What was asked for.
        bytes_max: u64,
    },
    /// One reader too many.
    #[error("the journal has {READERS_MAX} readers, the most it serves; forget one that is not used")]
    TooManyReaders,
    /// No such reader.
    #[error("the journal has no reader named {name}")]
    ReaderUnknown {
        /// The name.
        name: String,
    },
    /// The entries are gone from every query, but the file could not be rebuilt, so that bytes of them may be left in it.
    #[error(
        "{entries} entries were erased, but the file could not be rebuilt without them ({cause}); \
         free disk space (as much as the journal takes) and erase again"
    )]
    EraseIncomplete {
        /// How many were erased.
        entries: u64,
        /// What SQLite said.
        cause: String,
    },
    /// Its files could not be opened yet.
    #[error("the journal {} is not open yet: {refusal}", path.display())]
    NotOpen {
        /// The file.
        path: PathBuf,
        /// Why.
        refusal: Refusal,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// SQLite failed.
    #[error("the journal's database failed: {0}; look at the disk and its free space")]
    Database(#[from] rusqlite::Error),
}

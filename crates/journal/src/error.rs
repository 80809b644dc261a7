//! What can go wrong with a journal, other than an entry not being kept (that is [`crate::Refusal`]).

use std::io;
use std::path::PathBuf;

use crate::entry::Refusal;
use crate::limits::{BYTES_MIN, READERS_MAX};

/// The result of this crate's calls.
pub type Result<T, E = JournalError> = std::result::Result<T, E>;

/// Why a call on a journal failed.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum JournalError {
    #[error("cannot {action} {}: {source}", path.display())]
    File { action: &'static str, path: PathBuf, source: io::Error },
    #[error("{} has mode {mode:04o}, others may reach patient data; run `chmod 600 {}`", path.display(), path.display())]
    Mode { path: PathBuf, mode: u32 },
    /// Another process (or another `Journal` of this one) has it open.
    #[error("the journal {} is in use by another process; stop that one, or ask it", path.display())]
    InUse { path: PathBuf },
    #[error("{} is not a Vitalwire journal; name another file", path.display())]
    NotAJournal { path: PathBuf },
    #[error("the journal {} has schema {found}, this program knows up to {known}; use the newer program", path.display())]
    FutureSchema { path: PathBuf, found: i64, known: i64 },
    #[error("the journal {} was written by an older program; start the server once, which brings it up to date", path.display())]
    OldSchema { path: PathBuf },
    #[error("a journal of {bytes_max} bytes is too small; give it at least {BYTES_MIN}")]
    TooSmall { bytes_max: u64 },
    #[error("the journal has {READERS_MAX} readers, the most it serves; forget one that is not used")]
    TooManyReaders,
    #[error("the journal has no reader named {name}")]
    ReaderUnknown { name: String },
    /// The entries are gone from every query, but the file could not be rebuilt, so that bytes of them may be left in it.
    #[error(
        "{entries} entries were erased, but the file could not be rebuilt without them ({cause}); \
         free disk space (as much as the journal takes) and erase again"
    )]
    EraseIncomplete { entries: u64, cause: String },
    #[error("the journal {} is not open yet: {refusal}", path.display())]
    NotOpen { path: PathBuf, refusal: Refusal },
    #[error("the journal is closed")]
    Closed,
    #[error("the journal's database failed: {0}; look at the disk and its free space")]
    Database(#[from] rusqlite::Error),
}

//! The disk under a journal: how much room it has, and which failures are its own.

use std::io;
use std::path::Path;

use rusqlite::ErrorCode;

use crate::entry::Refusal;
use crate::error::JournalError;

/// With less room than this a failure to open the files is taken for a full disk: their shared index alone takes 32 KiB.
const ROOM_BYTES_MIN: u64 = 256 << 10;

/// Bytes that this program may still write beside the path; `None` when the system does not say.
#[must_use]
pub fn free_bytes(path: &Path) -> Option<u64> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let room = rustix::fs::statvfs(folder).ok()?;
    Some(room.f_bavail.saturating_mul(room.f_frsize))
}

/// What appends are told while the journal cannot be opened for want of a disk that works; `None` when it is another
/// failure, which time does not mend.
pub(crate) fn refusal_at_start(error: &JournalError, path: &Path) -> Option<Refusal> {
    let is_full = || free_bytes(path).is_some_and(|free| free < ROOM_BYTES_MIN);
    match error {
        JournalError::File { source, .. } => {
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
                .then_some(Refusal::DiskFull)
        }
        JournalError::Database(cause) => match cause.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Some(Refusal::DiskFull),
            Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) if is_full() => Some(Refusal::DiskFull),
            Some(ErrorCode::SystemIoFailure) => Some(Refusal::Failing { cause: cause.to_string() }),
            _ => None,
        },
        _ => None,
    }
}

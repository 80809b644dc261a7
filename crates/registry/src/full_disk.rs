//! A registry on a full disk. SQLite needs 32 KiB beside the file even to read it; without that room it is read once, under a
//! lock that needs none, into memory. Nothing can be changed then, and nothing needs to be: devices are served and users let in.

use std::path::Path;
use std::time::Duration;

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::error::{RegistryError, Result};

/// With less room than this a failure of the files is taken for a full disk.
const ROOM_BYTES_MIN: u64 = 256 << 10;
/// How long the copy waits for another process, and how much it copies at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
const PAGES: i32 = 1_000;

/// Whether it is for want of room that the file could not be opened.
pub(crate) fn is_cause_of(error: &RegistryError, path: &Path) -> bool {
    match error {
        RegistryError::DiskFull => true,
        RegistryError::Database(cause) => is_full_disk(cause, path),
        _ => false,
    }
}

/// Whether SQLite failed at this file for want of room. Without room beside the file it cannot make its shared index, and says
/// only that it cannot open or read.
#[must_use]
pub fn is_full_disk(error: &rusqlite::Error, path: &Path) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure | ErrorCode::CannotOpen) => !has_room(path),
        _ => false,
    }
}

fn has_room(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder)
        .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_BYTES_MIN)
}

/// A copy of the file in memory, which cannot be changed.
pub(crate) fn copy_to_memory(path: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let file = Connection::open_with_flags(path, flags)?;
    file.busy_timeout(BUSY_TIMEOUT)?;
    // Under an exclusive lock the write-ahead log is read without its shared index.
    file.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    let mut memory = Connection::open_in_memory()?;
    Backup::new(&file, &mut memory)?.run_to_completion(PAGES, Duration::ZERO, None)?;
    memory.execute_batch("PRAGMA query_only = ON; PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF;")?;
    Ok(memory)
}

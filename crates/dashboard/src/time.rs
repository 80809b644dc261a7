//! The clock of the machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// UTC, microseconds since 1970; 0 before that.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// UTC, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    now_us() / 1_000
}

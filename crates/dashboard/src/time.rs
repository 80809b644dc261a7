//! The clock of the machine.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The last microsecond of the year 9999; later ones cannot be written so.
const WRITTEN_US_MAX: i64 = 253_402_300_799_999_999;

/// UTC, microseconds since 1970; 0 before that.
pub(crate) fn now_us() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// UTC, milliseconds since 1970.
pub(crate) fn now_ms() -> i64 {
    now_us() / 1_000
}

/// Milliseconds since 1970; 0 before that.
pub(crate) fn to_ms(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// UTC, microseconds since 1970, as alarms have their times (RFC 3339).
pub(crate) fn rfc3339(us: i64) -> String {
    let since = Duration::from_micros(us.clamp(0, WRITTEN_US_MAX).unsigned_abs());
    humantime::format_rfc3339_millis(UNIX_EPOCH + since).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_written() {
        assert_eq!(rfc3339(1_500), "1970-01-01T00:00:00.001Z");
        assert_eq!(rfc3339(i64::MIN), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59.999Z");
    }
}

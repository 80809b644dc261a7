//! Every limit of the registry.

use std::time::Duration;

/// The most enrolled devices; one more is refused.
pub const DEVICES_MAX: usize = 1_000_000;
/// The most users; one more is refused.
pub const USERS_MAX: usize = 10_000;
/// The most tokens of programs, ended ones too; one more is refused.
pub const TOKENS_MAX: usize = 1_000;
/// The longest that a token may last: long enough for a device that is built in, short enough to end.
pub const TOKEN_LASTS_MAX: Duration = Duration::from_secs(3_653 * 24 * 3600);
/// The longest name of a token, in bytes: as that of who acknowledged an alarm it must have room for more words.
pub const TOKEN_NAME_LEN_MAX: usize = 48;
/// The longest proof of an erasure that is kept, in bytes; a longer one is refused.
pub const PROOF_LEN_MAX: usize = 1_000;
/// How long the old key of a TLS device works after a rotation, unless its new one is used before: time enough to
/// visit the device.
pub const ROTATION_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest that an old key may go on working: who rotates wants it gone.
pub const ROTATION_OVERLAP_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a change waits for another process's change before it fails.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 5_000;

/// Limits of [`crate::Logins`]. Each says what happens when it is reached.
#[derive(Debug, Clone)]
pub struct LoginLimits {
    /// Passwords checked at once; each takes 19 MiB and tens of milliseconds of a core. The others wait.
    pub checks_max: usize,
    /// Logins that wait for their turn. One more is told that the server is busy.
    pub waiting_max: usize,
    /// The longest wait for a turn. Then the login is told that the server is busy.
    pub wait_max: Duration,
    /// Logins that wait to be recorded. One more is in the log alone.
    pub records_waiting_max: usize,
}

impl Default for LoginLimits {
    fn default() -> Self {
        Self {
            // More would only take their cores from the readings.
            checks_max: 2,
            waiting_max: 64,
            // With the longest delay of `LoginLimiter` it stays below MQTT's deadline for CONNECT.
            wait_max: Duration::from_secs(4),
            records_waiting_max: 1_024,
        }
    }
}

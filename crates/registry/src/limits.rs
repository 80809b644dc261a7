//! Every limit of the registry.

use std::time::Duration;

/// The most enrolled devices; one more is refused.
pub const DEVICES_MAX: usize = 1_000_000;
/// The most users; one more is refused.
pub const USERS_MAX: usize = 10_000;
/// The longest proof of an erasure that is kept, in bytes; a longer one is refused.
pub const PROOF_LEN_MAX: usize = 1_000;
/// How long the old key of a TLS device works after a rotation, unless its new one is used before: time enough to
/// visit the device.
pub const ROTATION_OVERLAP: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest that an old key may go on working: who rotates wants it gone.
pub const ROTATION_OVERLAP_MAX: Duration = Duration::from_secs(90 * 24 * 3600);
/// How long a change waits for another process's change before it fails.
pub(crate) const BUSY_TIMEOUT_MS: u64 = 5_000;

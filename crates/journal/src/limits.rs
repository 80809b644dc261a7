//! The bounds of a journal, each with what happens when it is reached.

use std::time::Duration;

/// The fewest bytes a journal may be given: below this the fixed parts of the file leave no room for entries.
pub const BYTES_MIN: u64 = 1 << 20;
/// The most readers of one journal.
pub const READERS_MAX: usize = 16;
/// The most entries one read gives.
pub const READ_ENTRIES_MAX: usize = 4_096;
/// A read ends with the entry whose body takes it past this many bytes.
pub const READ_BYTES_MAX: usize = 4 << 20;
/// The most boots of one device whose sequence is remembered; the one unused for longest is forgotten for a new one. A
/// batch of a forgotten boot counts as new.
pub const BOOTS_PER_DEVICE_MAX: u32 = 1_024;
/// How long the journal waits after a failed write before it tries the disk again; appends are refused meanwhile.
pub const RETRY_MS: u64 = 500;

/// The bounds of one journal. The defaults suit a small server: 1,000 devices with a batch of 300 bytes a second fill
/// 4 GiB in about three hours, a single device in over four months.
#[derive(Debug, Clone)]
pub struct JournalLimits {
    /// The most bytes that entries and their indexes take in the database file. The file itself is held below this and an
    /// eighth more by SQLite; beside it lies the write-ahead log, usually 4 MiB, cut back to `wal_bytes_max`.
    /// When reached, the oldest entries that every reader has read go; if there are none, new entries are refused.
    pub bytes_max: u64,
    /// How long entries are kept after they came, once every reader has read them. `None`: until `bytes_max`. Setting the
    /// system's clock makes no entry old: see [`crate::Suspension`].
    pub age_max: Option<Duration>,
    /// The size above which the write-ahead log is written back with readers waiting.
    pub wal_bytes_max: u64,
    /// How many appends may wait for the writer. When full, `append` waits.
    pub queue_entries_max: usize,
    /// The most entries in one commit.
    pub commit_entries_max: usize,
    /// How long the writer gathers entries for a commit, from the first. So much later, and what the commit takes,
    /// what is appended is durable and acknowledged.
    pub commit_interval: Duration,
    /// How often the positions of readers are written when nothing is appended.
    pub position_interval: Duration,
    /// How many reads run at once; others wait.
    pub reads_max: usize,
}

impl Default for JournalLimits {
    fn default() -> Self {
        Self {
            bytes_max: 4 << 30,
            age_max: Some(Duration::from_secs(90 * 24 * 3_600)),
            wal_bytes_max: 64 << 20,
            queue_entries_max: 4_096,
            commit_entries_max: 1_024,
            commit_interval: Duration::from_millis(20),
            position_interval: Duration::from_millis(200),
            reads_max: 4,
        }
    }
}

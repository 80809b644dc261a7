//! The journal: what devices sent, on the disk before it is acknowledged, in one SQLite file. The publisher reads it at a
//! position of its own, history by device and time.
//!
//! What holds, and what guards it (`tests/journal`):
//! - What was told `Committed` survives kill -9 and a power cut (`crash`, `power`).
//! - (device, boot, sequence) is kept once, also after the entry was removed by age or size (`appending`).
//! - Missing numbers are on record until they come, and then as filled late (`gaps`).
//! - No entry goes that a reader has not read (`bounds`), nor one that only a clock that was set made old (`clock`).
//! - A full or failing disk refuses entries, ends nothing and keeps nothing from starting; the journal goes on by itself
//!   (`full`).
//! - An erased device leaves no byte in the files (`erasing`).
//! - A sum that is there was made of just the entries that are there (`sums`).
//!
//! It never looks into the body of an entry, and never logs a device's values. One process at a time has it open for writing;
//! others may read it, and confirm its clock ([`confirm_clock`]).

mod boot_clock;
mod clock;
mod command;
mod counters;
mod disk;
mod downsample;
mod entry;
mod erase;
mod error;
mod health;
mod history_file;
mod journal;
mod ledger;
mod limits;
mod opening;
mod query;
mod read_pool;
mod reader;
mod readers;
mod retention;
mod schema;
mod status;
mod steady;
mod stream;
mod sums;
mod writer;

pub use boot_clock::BootClock;
pub use clock::{Clock, Moment, system_clock};
pub use disk::free_bytes;
pub use downsample::{BUCKETS_MAX, Bucket, Buckets, Downsampler, Point};
pub use entry::{
    Assurance, BODY_BYTES_MAX, Entry, Outcome, Refusal, SEQUENCE_FIRST, SEQUENCE_MAX, SPAN_US_MAX, Stored,
};
pub use erase::Erased;
pub use error::{JournalError, Result};
pub use health::Health;
pub use history_file::HistoryFile;
pub use journal::{Journal, JournalStats, Receipt};
pub use limits::{
    BOOTS_PER_DEVICE_MAX, BYTES_MIN, JournalLimits, READ_BYTES_MAX, READ_ENTRIES_MAX, READERS_MAX, RETRY_MS,
};
pub use query::{BootAccount, Gap, GapState, HistoryCursor, HistoryQuery, Newest};
pub use reader::{Reader, ReaderLag};
pub use status::{JournalStatus, confirm_clock, suspension};
pub use steady::{CLOCK_JUMP_US, ClockTrouble, STEADY_US, Suspension};
pub use stream::GAPS_PER_BOOT_MAX;
pub use sums::{Length, READ_SUMS_MAX, Stretch, SumsPage, SumsQuery};

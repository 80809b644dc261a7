//! Why history has no answer.

use std::collections::BTreeSet;

use vitalwire_journal::{BUCKETS_MAX, JournalError};

use crate::profiles::ProfilesError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum HistoryError {
    #[error("the range must end after its beginning")]
    Range,
    #[error("{points} points: there are from 1 to {BUCKETS_MAX}")]
    Points { points: u32 },
    #[error("a wave is read for 30 minutes at once at most; ask for less")]
    WaveSpan,
    #[error("no reading can have a channel `{wanted}`; there are {}", channels_text(.known))]
    UnknownChannel { wanted: String, known: BTreeSet<String> },
    #[error("the program ends; ask again when it runs")]
    Stopped,
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

fn channels_text(known: &BTreeSet<String>) -> String {
    known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

//! Why history has no answer.

use std::collections::BTreeSet;

use vitalwire_journal::{BUCKETS_MAX, JournalError};

use crate::profiles::ProfilesError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The times are in the wrong order.
    #[error("the range must end after its beginning")]
    Range,
    /// Too many points, or none.
    #[error("{points} points: there are from 1 to {BUCKETS_MAX}")]
    Points {
        /// What was asked for.
        points: u32,
    },
    /// No profile has such a channel, or none of those that the readings name.
    #[error("no reading can have a channel `{wanted}`; there are {}", channels_text(.known))]
    UnknownChannel {
        /// What was asked for.
        wanted: String,
        /// The channels that there are.
        known: BTreeSet<String>,
    },
    /// The work was given up, because the program ends.
    #[error("the program ends; ask again when it runs")]
    Stopped,
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The devices' profiles.
    #[error(transparent)]
    Profiles(#[from] ProfilesError),
}

fn channels_text(known: &BTreeSet<String>) -> String {
    known.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

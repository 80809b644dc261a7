//! Why a text is no profile. Each error names the line, and what to write instead.

use crate::{CHANNELS_MAX, PROFILE_TEXT_LEN_MAX};

/// Why a profile was refused. Lines count from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ProfileError {
    #[error("profile of {len} bytes is over the limit of {PROFILE_TEXT_LEN_MAX}: shorten it")]
    TooLong { len: usize },
    /// The text is no TOML, or a field is missing, unknown or of another type.
    #[error("line {line} of the profile: {message}")]
    Syntax {
        line: usize,
        /// What the TOML parser said.
        message: String,
    },
    #[error("profile has {count} channels: write 1 to {CHANNELS_MAX} `[[channel]]` tables")]
    ChannelCount { count: usize },
    #[error("line {line} of the profile: `{field}` {rule}")]
    Field { line: usize, field: &'static str, rule: &'static str },
    #[error("line {line} of the profile: `{field}` is that of line {other_line}: each channel needs its own")]
    Duplicate {
        /// Of the second, counted from 1.
        line: usize,
        field: &'static str,
        /// Of the first, counted from 1.
        other_line: usize,
    },
}

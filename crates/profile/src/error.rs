//! Why a text is no profile. Each error names the line, and what to write instead.

use crate::{CHANNELS_MAX, PROFILE_TEXT_LEN_MAX};

/// Why a profile was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProfileError {
    /// The text is too long to be read at all.
    #[error("profile of {len} bytes is over the limit of {PROFILE_TEXT_LEN_MAX}: shorten it")]
    TooLong {
        /// Bytes of the text.
        len: usize,
    },
    /// The text is no TOML, or a field is missing, unknown or of another type.
    #[error("line {line} of the profile: {message}")]
    Syntax {
        /// Counted from 1.
        line: usize,
        /// What the TOML parser said.
        message: String,
    },
    /// A profile without channels, or with too many.
    #[error("profile has {count} channels: write 1 to {CHANNELS_MAX} `[[channel]]` tables")]
    ChannelCount {
        /// Channels in the text.
        count: usize,
    },
    /// A field of the profile or of a channel breaks its rule.
    #[error("line {line} of the profile: `{field}` {rule}")]
    Field {
        /// Counted from 1.
        line: usize,
        /// The field's key.
        field: &'static str,
        /// What it must be.
        rule: &'static str,
    },
    /// Two channels share what must tell them apart.
    #[error("line {line} of the profile: `{field}` is that of line {other_line}: each channel needs its own")]
    Duplicate {
        /// Of the second, counted from 1.
        line: usize,
        /// The field's key.
        field: &'static str,
        /// Of the first, counted from 1.
        other_line: usize,
    },
}

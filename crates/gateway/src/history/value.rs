//! What history hands out: values with their times, in pages.

use std::fmt;

use bytes::Bytes;
use vitalwire_profile::ChannelProfile;
use vitalwire_protocol::batch::Decimal;

use crate::clock::UNMAPPED_US_MIN;

/// Some values of the channel, in the order of time, all of one profile.
#[derive(Debug)]
pub struct Page<'a> {
    /// The name of the profile of these readings.
    pub profile: &'a str,
    /// What the device's profile says of the channel.
    pub channel: &'a ChannelProfile,
    /// The longest time from value to value that a batch has said so far, in microseconds.
    pub interval_us: u32,
    /// At least one.
    pub values: &'a [Value],
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub struct Value {
    /// When it was measured: UTC, microseconds since 1970.
    pub time_us: i64,
    /// How far off `time_us` may be, to either side.
    pub uncertainty_us: u64,
    /// What was measured.
    pub number: Number,
}

impl Value {
    /// No one knows when it was measured: `time_us` is the latest possible (PROTOCOL.md §4.2.5).
    #[must_use]
    pub fn is_unmapped(&self) -> bool {
        self.uncertainty_us >= UNMAPPED_US_MIN
    }
}

/// A number with every digit that the device sent; `Display` prints it so.
#[derive(Clone, Debug, PartialEq)]
pub struct Number(pub(super) Digits);

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Digits {
    Decimal(Decimal),
    /// Of a sample of AES-CBC frames.
    Text(Bytes),
}

impl Number {
    /// The nearest `f64`.
    #[must_use]
    pub fn to_f64(&self) -> f64 {
        match &self.0 {
            Digits::Decimal(decimal) => decimal.to_f64(),
            Digits::Text(text) => text_of(text).parse().unwrap_or(f64::NAN),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Digits::Decimal(decimal) => decimal.fmt(f),
            Digits::Text(text) => f.pad(text_of(text)),
        }
    }
}

/// The texts of samples were checked to be numbers in ASCII before they were kept.
fn text_of(text: &[u8]) -> &str {
    std::str::from_utf8(text).unwrap_or_default()
}

//! Profiles: which channels a kind of device has, and how they are named, scaled, coded and published.
//!
//! A profile is a TOML text; a new kind of device needs one and no code. This crate turns texts into checked profiles. It
//! never opens a file and never sees a reading: what holds for a profile holds for every device that names it.

mod check;
mod codes;
mod error;
mod text;

pub use error::ProfileError;
use vitalwire_protocol::batch;

/// Bytes of the longest profile text.
pub const PROFILE_TEXT_LEN_MAX: usize = 64 * 1024;

/// Channels of the largest profile.
pub const CHANNELS_MAX: usize = batch::CHANNELS_MAX;

/// Bytes of the longest channel name.
pub const NAME_LEN_MAX: usize = 64;

/// Bytes of the longest title.
pub const TITLE_LEN_MAX: usize = 80;

/// Bytes of the longest topic suffix.
pub const TOPIC_LEN_MAX: usize = 128;

/// Bytes of the longest unit.
pub const UNIT_LEN_MAX: usize = 32;

/// Highest rate of a channel, in values a second.
pub const RATE_HZ_MAX: f64 = 500.0;

/// Lowest rate of a channel: one value an hour.
pub const RATE_HZ_MIN: f64 = 1.0 / 3_600.0;

/// Most decimals of a channel.
pub const DECIMALS_MAX: u8 = batch::SCALE_MAX.unsigned_abs();

/// Lowest rate of a channel that is a [`Wave`], in values a second: from fewer no beats can be told.
pub const WAVE_RATE_HZ_MIN: f64 = 15.0;

/// The built-in profile of what the server derives from readings. No device may name it.
pub const DERIVED: &str = "derived";

/// The profiles that every installation has, by name.
const BUILTIN: [(&str, &str); 3] = [
    (DERIVED, include_str!("../profiles/derived.toml")),
    ("ecg", include_str!("../profiles/ecg.toml")),
    ("pico", include_str!("../profiles/pico.toml")),
];

/// What a kind of device measures.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    name: String,
    title: String,
    channels: Vec<ChannelProfile>,
}

/// What one channel carries.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ChannelProfile {
    /// The number that stands for the channel in a batch, below [`CHANNELS_MAX`].
    pub index: u8,
    /// Names the channel in topics and in JSON: levels of `[A-Za-z0-9_-]` with `/` between them.
    pub name: String,
    /// Names the channel for people.
    pub title: String,
    /// The topic below `Pico/<id>/` on which each value is published as a text; `None`: on none.
    pub topic: Option<String>,
    /// Unit of the values, a UCUM code.
    pub unit: String,
    /// Lowest plausible value. Values outside are marked, never dropped.
    pub minimum: f64,
    /// Highest plausible value.
    pub maximum: f64,
    /// Values a second, unless the server configures another rate.
    pub rate_hz: f64,
    /// Decimals of a value.
    pub decimals: u8,
    /// LOINC code of the quantity.
    pub loinc: Option<String>,
    /// ISO/IEEE 11073-10101 code of the quantity, partition included.
    pub mdc: Option<u32>,
    /// Whether the values make a curve, to be published a batch at a time.
    pub waveform: bool,
    /// What the curve shows of the heart; `None`: nothing of it is to be found there.
    pub wave: Option<Wave>,
}

/// What a curve shows of the heart: how its beats are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wave {
    /// An electrocardiogram.
    Ecg,
    /// A pulse wave: a photoplethysmogram.
    Ppg,
}

impl Profile {
    /// The built-in profile of this name.
    ///
    /// # Panics
    /// Never: the tests parse every built-in profile.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        let (_, text) = BUILTIN.iter().find(|(builtin, _)| *builtin == name)?;
        Some(Self::parse(text).expect("built-in profiles are checked by the tests"))
    }

    /// Names of the built-in profiles.
    pub fn builtin_names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Reads and checks a profile.
    ///
    /// # Errors
    /// The text is no TOML, lacks a field, has one too many, or a field breaks a rule. The error names the line.
    pub fn parse(text: &str) -> Result<Self, ProfileError> {
        check::profile(text)
    }

    /// What a device's `Hello` calls the profile.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Names the kind of device for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The channels in the order of their indexes; at least one.
    #[must_use]
    pub fn channels(&self) -> &[ChannelProfile] {
        &self.channels
    }

    /// The channel of this index.
    #[must_use]
    pub fn channel(&self, index: u8) -> Option<&ChannelProfile> {
        self.channels.iter().find(|channel| channel.index == index)
    }

    /// The channel in which beats are to be found: one at most says `wave`.
    #[must_use]
    pub fn wave_channel(&self) -> Option<(&ChannelProfile, Wave)> {
        self.channels.iter().find_map(|channel| Some((channel, channel.wave?)))
    }

    /// The channel of this name.
    #[must_use]
    pub fn channel_named(&self, name: &str) -> Option<&ChannelProfile> {
        self.channels.iter().find(|channel| channel.name == name)
    }
}

impl ChannelProfile {
    /// Microseconds from value to value, at the profile's rate.
    #[must_use]
    pub fn interval_us(&self) -> u32 {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate within its limits has an interval of 2,000 to 3,600,000,000"
        )]
        let interval_us = (1e6 / self.rate_hz).round() as u32;
        interval_us.clamp(batch::INTERVAL_US_MIN, batch::INTERVAL_US_MAX)
    }

    /// Whether a body or a sensor can have this value.
    #[must_use]
    pub fn plausible(&self, value: f64) -> bool {
        (self.minimum..=self.maximum).contains(&value)
    }
}

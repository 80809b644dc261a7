//! The text of a profile, as serde reads it: types are right, rules are not checked.

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProfileText {
    pub(crate) name: Spanned<String>,
    pub(crate) title: Spanned<String>,
    #[serde(default)]
    pub(crate) channel: Vec<ChannelText>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChannelText {
    pub(crate) index: Spanned<u8>,
    pub(crate) name: Spanned<String>,
    pub(crate) title: Spanned<String>,
    pub(crate) topic: Option<Spanned<String>>,
    pub(crate) unit: Spanned<String>,
    /// An array of two would take a longer one without a word.
    pub(crate) range: Spanned<Vec<f64>>,
    pub(crate) rate_hz: Spanned<f64>,
    pub(crate) decimals: Spanned<u8>,
    pub(crate) loinc: Option<Spanned<String>>,
    pub(crate) mdc: Option<Spanned<u32>>,
    #[serde(default)]
    pub(crate) waveform: bool,
    pub(crate) wave: Option<Spanned<String>>,
}

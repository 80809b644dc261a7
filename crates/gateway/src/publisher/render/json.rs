//! The `reading` and `waveform` messages (PROTOCOL.md §3), written by hand: a reading is made thousands of times a
//! second, and its values must keep every digit that the device sent.

use std::fmt::{Display, Write as _};

use vitalwire_journal::Assurance;
use vitalwire_profile::ChannelProfile;

use crate::clock::rfc3339_millis;

/// One value, as its device sent it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<T> {
    /// A JSON number.
    pub(super) text: T,
    /// Whether a body or a sensor can have it.
    pub(super) plausible: bool,
}

/// A `reading` message in the making. First its fields, then its values.
#[derive(Debug)]
pub(super) struct ReadingJson {
    json: String,
    in_values: bool,
}

impl ReadingJson {
    pub(super) fn new(time_us: i64, assurance: Assurance) -> Self {
        let mut json = String::with_capacity(512);
        write(&mut json, format_args!(r#"{{"time":"{}","assurance":"{assurance}""#, rfc3339_millis(time_us)));
        Self { json, in_values: false }
    }

    pub(super) fn number(&mut self, name: &str, value: impl Display) {
        write(&mut self.json, format_args!(r#","{name}":{value}"#));
    }

    pub(super) fn text(&mut self, name: &str, value: impl Display) {
        write(&mut self.json, format_args!(r#","{name}":"{value}""#));
    }

    /// Adds the value of a channel. Profiles allow no character in names and units that JSON would escape.
    pub(super) fn value(&mut self, channel: &ChannelProfile, value: Value<impl Display>) {
        self.json.push_str(if self.in_values { "," } else { r#","values":{"# });
        self.in_values = true;
        let ChannelProfile { name, unit, .. } = channel;
        write(&mut self.json, format_args!(r#""{name}":{{"value":{},"unit":"{unit}""#, value.text));
        self.json.push_str(if value.plausible { "}" } else { r#","plausible":false}"# });
    }

    pub(super) fn finish(mut self) -> String {
        self.json.push_str(if self.in_values { "}}" } else { "}" });
        self.json
    }
}

pub(super) fn write(json: &mut String, text: std::fmt::Arguments<'_>) {
    json.write_fmt(text).expect("a String takes all that is written");
}

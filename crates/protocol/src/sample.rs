//! A sample: the seven values a device measures at one moment, as JSON text and as numbers.
//!
//! The parser is strict: exactly the seven keys, once each, in any order, each a decimal (as a JSON string or a
//! number), nothing nested, nothing after. It never judges whether a value is plausible, and keeps each value's
//! text as the device wrote it.

mod channel;
mod error;
mod number;
mod parse;
mod write;

pub use channel::Channel;
pub use error::SampleError;
pub use write::write_sample_json;

pub use crate::limits::JSON_LEN_MAX;

/// Bytes of the longest value's text; the paper's devices send up to 9.
pub const VALUE_LEN_MAX: usize = 24;

/// One value of a sample.
#[derive(Clone, Copy, PartialEq)]
pub struct Value<'a> {
    /// The value exactly as the device wrote it: a decimal in JSON's grammar (RFC 8259 §6), so ASCII.
    pub text: &'a str,
    /// The same as a finite number.
    pub number: f64,
}

/// The values of all seven channels. Patient values: it has no `Debug`, so that no log can hold one by accident.
#[derive(Clone, Copy, PartialEq)]
pub struct Sample<'a> {
    values: [Value<'a>; Channel::ALL.len()],
}

impl<'a> Sample<'a> {
    /// Reads a sample from its JSON text.
    ///
    /// # Errors
    /// The text is anything but a flat JSON object of the seven keys and finite decimals.
    pub fn parse(json: &'a [u8]) -> Result<Self, SampleError> {
        parse::sample(json)
    }

    /// The value of one channel.
    #[must_use]
    pub fn value(&self, channel: Channel) -> Value<'a> {
        let [temp, temp_mcu, pulse_sig, accel_x, accel_y, accel_z, temp_mpu] = self.values;
        match channel {
            Channel::Temp => temp,
            Channel::TempMcu => temp_mcu,
            Channel::PulseSig => pulse_sig,
            Channel::AccelX => accel_x,
            Channel::AccelY => accel_y,
            Channel::AccelZ => accel_z,
            Channel::TempMpu => temp_mpu,
        }
    }
}

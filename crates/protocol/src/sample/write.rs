//! Writes a sample as the paper's devices do: their key order, no whitespace, strings of three decimals.

use core::fmt::{self, Write};

use super::{Channel, SampleError, VALUE_LEN_MAX};

/// Writes `values`, in the order of [`Channel::ALL`], as a sample's JSON text to the start of `out` and returns its
/// length in bytes.
///
/// What it writes, [`super::Sample::parse`] reads.
///
/// # Errors
/// A value is not finite or takes more than [`VALUE_LEN_MAX`] characters, or `out` is too small
/// ([`super::JSON_LEN_MAX`] bytes always suffice).
pub fn write_sample_json(values: &[f64; 7], out: &mut [u8]) -> Result<usize, SampleError> {
    let available = out.len();
    let mut text = Text { out, len: 0 };
    for (channel, value) in Channel::ALL.into_iter().zip(values) {
        if !value.is_finite() {
            return Err(SampleError::NotFinite { channel });
        }
        let mut decimal = [0; VALUE_LEN_MAX];
        let mut decimal = Text { out: &mut decimal, len: 0 };
        // VALUE_LEN_MAX characters are in use when the next does not fit.
        write!(decimal, "{value:.3}")
            .map_err(|_| SampleError::ValueTooLong { channel, len: VALUE_LEN_MAX + 1 })?;
        let before = if channel == Channel::Temp { "{\"" } else { ",\"" };
        let parts = [before, channel.json_key(), "\":\"", decimal.as_str(), "\""];
        parts
            .iter()
            .try_for_each(|part| text.write_str(part))
            .map_err(|_| SampleError::OutputTooSmall { available })?;
    }
    text.write_str("}").map_err(|_| SampleError::OutputTooSmall { available })?;
    Ok(text.len)
}

/// Text written to a slice; a part that does not fit is not written.
struct Text<'o> {
    out: &'o mut [u8],
    len: usize,
}

impl Text<'_> {
    fn as_str(&self) -> &str {
        self.out.get(..self.len).and_then(|text| core::str::from_utf8(text).ok()).unwrap_or_default()
    }
}

impl Write for Text<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let end = self.len + part.len();
        self.out.get_mut(self.len..end).ok_or(fmt::Error)?.copy_from_slice(part.as_bytes());
        self.len = end;
        Ok(())
    }
}

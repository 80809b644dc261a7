//! Reads a sample in one pass, without copying a byte.

use super::number::is_json_number;
use super::{Channel, JSON_LEN_MAX, Sample, SampleError, VALUE_LEN_MAX, Value};

pub(super) fn sample(json: &[u8]) -> Result<Sample<'_>, SampleError> {
    if json.len() > JSON_LEN_MAX {
        return Err(SampleError::TooLong { len: json.len() });
    }
    let mut cursor = Cursor { text: json, at: 0 };
    let mut values = [None; Channel::ALL.len()];
    cursor.skip_whitespace();
    cursor.expect(b'{', "`{`")?;
    cursor.skip_whitespace();
    if cursor.peek() == Some(b'}') {
        cursor.at += 1;
    } else {
        members(&mut cursor, &mut values)?;
    }
    cursor.skip_whitespace();
    if cursor.at < json.len() {
        return Err(SampleError::TrailingBytes { at: cursor.at });
    }
    complete(values)
}

/// Everything between `{` and `}`, and the `}`.
fn members<'a>(
    cursor: &mut Cursor<'a>,
    values: &mut [Option<Value<'a>>; Channel::ALL.len()],
) -> Result<(), SampleError> {
    loop {
        let channel = key(cursor)?;
        let slot =
            values.get_mut(channel.index()).expect("a channel's index is its place among all channels");
        if slot.is_some() {
            return Err(SampleError::DoubledKey { channel });
        }
        cursor.skip_whitespace();
        cursor.expect(b':', "`:`")?;
        cursor.skip_whitespace();
        *slot = Some(value(cursor, channel)?);
        cursor.skip_whitespace();
        if cursor.peek() == Some(b'}') {
            cursor.at += 1;
            return Ok(());
        }
        cursor.expect(b',', "`,` or `}`")?;
        cursor.skip_whitespace();
    }
}

fn key(cursor: &mut Cursor<'_>) -> Result<Channel, SampleError> {
    let at = cursor.at;
    let key = cursor.string("a key in quotes")?;
    Channel::from_json_key(key).ok_or(SampleError::UnknownKey { at })
}

fn value<'a>(cursor: &mut Cursor<'a>, channel: Channel) -> Result<Value<'a>, SampleError> {
    let text = match cursor.peek() {
        Some(b'"') => cursor.string("a string")?,
        _ => cursor.bare_number()?,
    };
    if text.len() > VALUE_LEN_MAX {
        return Err(SampleError::ValueTooLong { channel, len: text.len() });
    }
    if !is_json_number(text) {
        return Err(SampleError::NotANumber { channel });
    }
    let not_a_number = SampleError::NotANumber { channel };
    let text = core::str::from_utf8(text).map_err(|_| not_a_number)?;
    let number: f64 = text.parse().map_err(|_| not_a_number)?;
    if !number.is_finite() {
        return Err(SampleError::NotFinite { channel });
    }
    Ok(Value { text, number })
}

fn complete(values: [Option<Value<'_>>; Channel::ALL.len()]) -> Result<Sample<'_>, SampleError> {
    let mut whole = [Value { text: "", number: 0.0 }; Channel::ALL.len()];
    for ((slot, value), channel) in whole.iter_mut().zip(values).zip(Channel::ALL) {
        *slot = value.ok_or(SampleError::MissingKey { channel })?;
    }
    Ok(Sample { values: whole })
}

/// A place in the text.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// The whitespace of RFC 8259 §2.
    fn skip_whitespace(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), SampleError> {
        match self.peek() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(SampleError::Unexpected { at: self.at, expected }),
            None => Err(SampleError::EndsEarly { at: self.at, expected }),
        }
    }

    /// The inside of a string; a string of a sample needs no escapes, so there are none.
    fn string(&mut self, expected: &'static str) -> Result<&'a [u8], SampleError> {
        self.expect(b'"', expected)?;
        let start = self.at;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => return Err(SampleError::NotPlain { at: self.at }),
                Some(b' '..=b'~') => self.at += 1,
                Some(_) => return Err(SampleError::NotPlain { at: self.at }),
                None => return Err(SampleError::EndsEarly { at: self.at, expected: "`\"`" }),
            }
        }
        let inside = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(inside)
    }

    /// The characters that can stand in a number; whether they form one is checked by the caller.
    fn bare_number(&mut self) -> Result<&'a [u8], SampleError> {
        let expected = "a number or a string";
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest
            .iter()
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'))
            .count();
        match (count, rest) {
            (0, []) => Err(SampleError::EndsEarly { at: self.at, expected }),
            (0, _) => Err(SampleError::Unexpected { at: self.at, expected }),
            _ => {
                self.at += count;
                Ok(rest.get(..count).unwrap_or_default())
            }
        }
    }
}

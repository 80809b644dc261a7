//! Messages of the live connection as bytes (PROTOCOL.md §6.3). It knows no socket.

mod watch;

use bytes::{BufMut, Bytes, BytesMut};
use serde::Serialize;
use vitalwire_gateway::Series;

pub use self::watch::{NoMessage, WATCH_LEN_MAX, watched};

/// What a message says, in its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A device that the user sees.
    Device = 1,
    /// Values of a waveform.
    Wave = 2,
    /// What is known now.
    Values = 3,
    /// Open alarms of a patient.
    Alarms = 4,
    /// That the server lives.
    Heartbeat = 5,
    /// A device that the user sees no more.
    Gone = 6,
    /// The alarms of all, counted.
    Ward = 7,
    /// Beats in a wave.
    Beats = 8,
}

/// A message of JSON.
///
/// # Panics
/// Never: what we send has no map with keys that are no texts.
#[must_use]
pub fn json(kind: Kind, body: &impl Serialize) -> Bytes {
    let mut bytes = vec![kind as u8];
    serde_json::to_writer(&mut bytes, body).expect("bodies are plain JSON");
    bytes.into()
}

/// A piece of a waveform.
#[must_use]
pub fn wave(n: u16, series: &Series<'_>) -> Bytes {
    let values = series.digits.get(..usize::from(u16::MAX)).unwrap_or(&series.digits);
    let mut bytes = BytesMut::with_capacity(20 + 4 * values.len());
    bytes.put_u8(Kind::Wave as u8);
    bytes.put_u16_le(n);
    bytes.put_u8(series.channel.index);
    bytes.put_i8(series.exponent);
    bytes.put_f64_le(milliseconds(series.first_us));
    bytes.put_u32_le(series.interval_us);
    bytes.put_u16_le(u16::try_from(values.len()).unwrap_or(u16::MAX));
    values.iter().for_each(|value| bytes.put_i32_le(*value));
    bytes.into()
}

/// When the heart of who wears a device beat.
#[must_use]
pub fn beats(n: u16, times_us: &[i64]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(3 + 8 * times_us.len());
    bytes.put_u8(Kind::Beats as u8);
    bytes.put_u16_le(n);
    times_us.iter().for_each(|time_us| bytes.put_f64_le(milliseconds(*time_us)));
    bytes.into()
}

/// That the server lives.
#[must_use]
pub fn heartbeat(now_us: i64, dropped: u32) -> Bytes {
    let mut bytes = BytesMut::with_capacity(13);
    bytes.put_u8(Kind::Heartbeat as u8);
    bytes.put_f64_le(milliseconds(now_us));
    bytes.put_u32_le(dropped);
    bytes.into()
}

/// That a device is not there any more.
#[must_use]
pub fn gone(n: u16) -> Bytes {
    let mut bytes = BytesMut::with_capacity(3);
    bytes.put_u8(Kind::Gone as u8);
    bytes.put_u16_le(n);
    bytes.into()
}

/// Milliseconds since 1970, with their fraction.
pub(crate) fn milliseconds(us: i64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "microseconds of today are exact to 2^53")]
    let us = us as f64;
    us / 1_000.0
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::Profile;

    use super::*;

    #[test]
    fn a_wave_is_laid_out_as_the_protocol_says() {
        let profile = Profile::builtin("pico").unwrap();
        let series = Series {
            channel: profile.channel(2).unwrap(),
            first_us: 1_500,
            interval_us: 4_000,
            exponent: -3,
            digits: vec![1, -2].into(),
        };
        let mut expected = vec![2, 0x34, 0x12, 2, 0xfd];
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend([0xa0, 0x0f, 0, 0, 2, 0, 1, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff]);
        assert_eq!(wave(0x1234, &series), expected);
    }

    #[test]
    fn heartbeat_and_gone_have_their_lengths() {
        let beat = heartbeat(2_000, 7);
        assert_eq!((beat[0], beat.len()), (5, 13));
        assert_eq!(beat[1..9], 2.0_f64.to_le_bytes());
        assert_eq!(beat[9..], [7, 0, 0, 0]);
        assert_eq!(gone(258), [6, 2, 1].as_slice());
        let beats = beats(258, &[1_500, 2_000]);
        assert_eq!(
            (&beats[..3], &beats[3..11], beats.len()),
            (&[8, 2, 1][..], &1.5_f64.to_le_bytes()[..], 19)
        );
    }

    #[test]
    fn what_a_page_watches_is_read_and_all_else_is_refused() {
        assert_eq!(watched(&[1]), Ok(vec![]));
        assert_eq!(watched(&[1, 2, 0, 3, 1]), Ok(vec![2, 259]));
        let whole = [1, 2, 0, 3, 1];
        for cut in [0, 2, 4] {
            assert_eq!(watched(&whole[..cut]), Err(NoMessage), "cut at {cut}");
        }
        assert_eq!(watched(&[2, 0, 0]), Err(NoMessage));
    }
}

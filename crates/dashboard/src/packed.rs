//! Waves out of history as bytes (PROTOCOL.md §6.4). It knows no socket.

use bytes::{BufMut, Bytes, BytesMut};
use vitalwire_gateway::{KeptWave, WavePiece, WaveTimes};

use crate::message::milliseconds;

/// The version of the layout, its first byte.
const VERSION: u8 = 1;
/// What a block holds, in its first byte.
const EVEN: u8 = 1;
const ALONE: u8 = 2;
const BEATS: u8 = 3;

/// A wave with its beats.
#[must_use]
pub fn wave(wave: &KeptWave) -> Bytes {
    let values: usize = wave.pieces.iter().map(|piece| piece.digits.len()).sum();
    let mut bytes = BytesMut::with_capacity(64 + 2 * values);
    bytes.put_u8(VERSION);
    bytes.put_u8(wave.channel);
    wave.pieces.iter().for_each(|piece| put_piece(&mut bytes, piece));
    if let Some(first_us) = wave.beats.first() {
        bytes.put_u8(BEATS);
        put_begin(&mut bytes, *first_us, wave.beats.len());
        let mut before = *first_us;
        for beat in &wave.beats {
            put_number(&mut bytes, beat.saturating_sub(before).unsigned_abs());
            before = *beat;
        }
    }
    bytes.freeze()
}

fn put_piece(bytes: &mut BytesMut, piece: &WavePiece) {
    let begin = |bytes: &mut BytesMut, kind| {
        bytes.put_u8(kind);
        bytes.put_i8(piece.exponent);
        put_begin(bytes, piece.first_us, piece.digits.len());
    };
    let mut before = 0;
    let mut put_digits = |bytes: &mut BytesMut, digits: i32| {
        let difference = i64::from(digits) - std::mem::replace(&mut before, i64::from(digits));
        // Zigzag: 0, -1, 1, -2, … become 0, 1, 2, 3, …
        put_number(bytes, (difference.cast_unsigned() << 1) ^ (difference >> 63).cast_unsigned());
    };
    match &piece.times {
        WaveTimes::Even(interval_us) => {
            begin(bytes, EVEN);
            bytes.put_u32_le(*interval_us);
            piece.digits.iter().for_each(|digits| put_digits(bytes, *digits));
        }
        WaveTimes::Alone(offsets_us) => {
            begin(bytes, ALONE);
            let mut last_us = 0;
            for (offset_us, digits) in offsets_us.iter().zip(&piece.digits) {
                put_number(
                    bytes,
                    u64::from(offset_us.saturating_sub(std::mem::replace(&mut last_us, *offset_us))),
                );
                put_digits(bytes, *digits);
            }
        }
    }
}

fn put_begin(bytes: &mut BytesMut, first_us: i64, count: usize) {
    bytes.put_f64_le(milliseconds(first_us));
    bytes.put_u32_le(u32::try_from(count).unwrap_or(u32::MAX));
}

/// LEB128: seven bits a byte, the lowest first.
fn put_number(bytes: &mut BytesMut, mut number: u64) {
    loop {
        let low = u8::try_from(number & 0x7f).unwrap_or_default();
        number >>= 7;
        bytes.put_u8(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wave_is_laid_out_as_the_protocol_says() {
        let even = WavePiece {
            first_us: 1_500,
            times: WaveTimes::Even(4_000),
            exponent: -3,
            digits: vec![1, -2, 300],
        };
        let alone = WavePiece {
            first_us: 2_000,
            times: WaveTimes::Alone(vec![0, 300]),
            exponent: 0,
            digits: vec![-1, i32::MAX],
        };
        let kept = KeptWave { channel: 2, pieces: vec![even, alone], beats: vec![2_000, 2_001] };
        let mut expected = vec![1, 2, 1, 0xfd];
        expected.extend(1.5_f64.to_le_bytes());
        expected.extend([3, 0, 0, 0, 0xa0, 0x0f, 0, 0, 2, 5, 0xdc, 0x04]);
        expected.extend([2, 0]);
        expected.extend(2.0_f64.to_le_bytes());
        // Up to 2^31 - 1 from -1 it is 2^31.
        expected.extend([2, 0, 0, 0, 0, 1, 0xac, 0x02, 0x80, 0x80, 0x80, 0x80, 0x10]);
        expected.push(3);
        expected.extend(2.0_f64.to_le_bytes());
        expected.extend([2, 0, 0, 0, 0, 1]);
        assert_eq!(wave(&kept), expected);
        assert_eq!(wave(&KeptWave::default()), [1, 0].as_slice(), "nothing was measured");
    }
}

//! What a sample costs on the wire, TLS record included, beside the encodings that were not chosen.
//!
//! `cargo test -p vitalwire-protocol --test batch cost -- --nocapture` prints the table.

use vitalwire_protocol::batch::{Samples, encode_batch};

use crate::signal::{Noise, ecg_uv, pico};
use crate::stream::written;

/// A TLS 1.3 record: header 5, content type 1, tag 16 (RFC 8446 §5.2).
const RECORD_LEN: usize = 5 + 1 + 16;
/// Batches measured: a minute.
const BATCHES: i32 = 60;

/// Bytes of all batches in one encoding.
#[derive(Debug, Default)]
struct Cost {
    ours: usize,
    varint: usize,
    typed: usize,
}

impl Cost {
    fn add(&mut self, sequence: u64, channels: &[Samples<'_>]) {
        let time_ms = 86_400_000 + sequence * 1_000;
        let len = |channels: &[Samples<'_>]| {
            RECORD_LEN + written(|out| encode_batch(sequence, time_ms, None, channels, out)).len()
        };
        // A single 0 packs to a string of three bytes; the rest is what every encoding needs around its values.
        let bare: Vec<Samples<'_>> =
            channels.iter().map(|channel| Samples { values: &[0], ..*channel }).collect();
        let around = len(&bare) - 3 * channels.len();
        self.ours += len(channels);
        self.varint += around + channels.iter().map(|c| string_len(varint_len(c.values))).sum::<usize>();
        self.typed += around + channels.iter().map(|c| 2 + string_len(typed_len(c.values))).sum::<usize>();
    }

    /// Prints, and returns ours in hundredths of a byte a sample.
    fn report(&self, name: &str, samples: usize) -> usize {
        let each = |bytes: usize| format!("{}.{:02}", bytes / samples, bytes % samples * 100 / samples);
        let (ours, varint, typed) = (each(self.ours), each(self.varint), each(self.typed));
        println!(
            "{name:32} ours {ours:>6}  delta varints {varint:>6}  typed arrays {typed:>6}  bytes a sample"
        );
        self.ours * 100 / samples
    }
}

fn string_len(content: usize) -> usize {
    content
        + if content < 24 {
            1
        } else if content < 256 {
            2
        } else {
            3
        }
}

/// Bytes of the differences as zigzag varints: what we had in mind first.
fn varint_len(values: &[i32]) -> usize {
    let mut last = 0;
    let len = |value: &i32| {
        let difference = i64::from(*value) - last;
        last = i64::from(*value);
        let zigzag = (difference << 1) ^ (difference >> 63);
        usize::try_from((64 - zigzag.leading_zeros()).max(1).div_ceil(7)).unwrap()
    };
    values.iter().map(len).sum()
}

fn typed_len(values: &[i32]) -> usize {
    let width = if values.iter().all(|v| i8::try_from(*v).is_ok()) { 1 } else { 2 };
    values.len() * if values.iter().all(|v| i16::try_from(*v).is_ok()) { width } else { 4 }
}

/// Batches of `batch_ms` of the paper's device at 20 Hz, with its temperatures at this interval.
fn pico_cost(batch_ms: i32, temperature_ms: i32) -> Cost {
    let (mut noise, mut held, mut cost) = (Noise::new(1), 0, Cost::default());
    for sequence in 0..BATCHES {
        let samples: Vec<(i32, [i32; 7])> = (sequence * batch_ms..(sequence + 1) * batch_ms)
            .step_by(50)
            .map(|time_ms| (time_ms, pico(&mut noise, &mut held, time_ms)))
            .collect();
        let interval_ms = |index: usize| if [0, 1, 6].contains(&index) { temperature_ms } else { 50 };
        let columns: [Vec<i32>; 7] = std::array::from_fn(|index| {
            let due = |time_ms: i32| time_ms % interval_ms(index) == 0;
            samples.iter().filter(|(time_ms, _)| due(*time_ms)).map(|(_, values)| values[index]).collect()
        });
        let channels: Vec<Samples<'_>> = columns
            .iter()
            .enumerate()
            .map(|(index, values)| Samples {
                index: u8::try_from(index).unwrap(),
                interval_us: u32::try_from(interval_ms(index)).unwrap() * 1_000,
                delay_us: 0,
                scale: -3,
                values,
            })
            .collect();
        cost.add(u64::try_from(sequence).unwrap() + 1_000, &channels);
    }
    cost
}

/// Batches of one second of an ECG with this interval.
fn ecg_cost(interval_ms: i32) -> Cost {
    let (mut noise, mut cost) = (Noise::new(1), Cost::default());
    for sequence in 0..BATCHES {
        let values: Vec<i32> = (sequence * 1_000..(sequence + 1) * 1_000)
            .step_by(usize::try_from(interval_ms).unwrap())
            .map(|time_ms| ecg_uv(&mut noise, time_ms))
            .collect();
        let interval_us = u32::try_from(interval_ms).unwrap() * 1_000;
        let channel = Samples { index: 2, interval_us, delay_us: 0, scale: -3, values: &values };
        cost.add(u64::try_from(sequence).unwrap() + 1_000, &[channel]);
    }
    cost
}

#[test]
fn a_sample_of_seven_channels_at_20_hz_costs_at_most_10_bytes() {
    let samples = usize::try_from(BATCHES).unwrap() * 20;
    let all = pico_cost(1_000, 50).report("pico 20 Hz, 1 s batches", samples);
    assert!(all <= 1_000, "{all} hundredths of a byte");
    let slow = pico_cost(1_000, 1_000).report("pico 20 Hz, temperatures 1 Hz", samples);
    assert!(slow <= 800, "{slow} hundredths of a byte");
    let long = pico_cost(5_000, 50).report("pico 20 Hz, 5 s batches", samples * 5);
    assert!(long <= 600, "{long} hundredths of a byte");
}

#[test]
fn a_sample_of_ecg_costs_at_most_2_bytes() {
    let seconds = usize::try_from(BATCHES).unwrap();
    for (name, interval_ms, samples) in [("ECG 250 Hz", 4, 250), ("ECG 500 Hz", 2, 500)] {
        let cost = ecg_cost(interval_ms).report(name, seconds * samples);
        assert!(cost <= 200, "{cost} hundredths of a byte");
    }
}

//! Waves: whatever samples come at whatever times, what is told of a second is possible.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_vitals::wave::{Found, Signal, WaveKind, WaveMonitor};

/// A step's header: its time, its interval and how many samples it has.
const HEADER_LEN: usize = 13;

fuzz_target!(|data: &[u8]| {
    let Some((selector, mut rest)) = data.split_first() else { return };
    let mut monitor = WaveMonitor::new(if selector & 1 == 0 { WaveKind::Ecg } else { WaveKind::Ppg });
    let (mut found, mut next_us) = (Vec::new(), 0_i64);
    while let Some((header, samples)) = rest.split_at_checked(HEADER_LEN) {
        let start_us = i64::from_le_bytes(header[..8].try_into().expect("eight bytes"));
        let interval_us = u32::from_le_bytes(header[8..12].try_into().expect("four bytes"));
        // Most steps follow the one before, or the monitor would never see ten seconds.
        let start_us = if selector & 2 == 0 || start_us % 7 == 0 { start_us } else { next_us };
        let interval_us = if selector & 4 == 0 { interval_us } else { 50_000 };
        // A byte a sample makes waves, four make any number.
        let width = if selector & 8 == 0 { 4 } else { 1 };
        let len = (usize::from(header[12]) * width).min(samples.len());
        let (samples, after) = samples.split_at(len);
        let samples: Vec<f32> = (samples.chunks_exact(width))
            .map(|bytes| bytes.try_into().map_or_else(|_| f32::from(bytes[0]), f32::from_le_bytes))
            .collect();
        monitor.step(start_us, interval_us, &samples, &mut found);
        next_us = start_us.saturating_add(i64::from(interval_us) * samples.len() as i64);
        rest = after;
    }
    for found in found {
        let Found::Second(second) = found else { continue };
        assert!((0.0..=1.0).contains(&second.quality), "{second:?}");
        assert!(second.rate_per_min.is_none_or(|rate| (20.0..=250.0).contains(&rate)), "{second:?}");
        assert!(second.signal == Signal::Good || (second.rate_per_min.is_none() && second.without_beat_us == 0));
    }
});

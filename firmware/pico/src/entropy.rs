//! What the chip has of chance: the jitter of its ring oscillator against the crystal. It is not for keys as it comes (RP2040
//! datasheet §2.17.5: no guarantee); the device crate hashes it together with secrets that were really random.

use embassy_rp::clocks::RoscRng;
use embassy_time::Instant;

/// Bytes of a sample. Even at a hundredth of a bit of entropy a bit there are enough for a key of 128 bits and more.
pub(crate) const SAMPLE_LEN: usize = 2_048;

/// Fills a sample: the oscillator's bits, each byte added to the time at which it was read.
pub(crate) fn sample(sample: &mut [u8; SAMPLE_LEN]) {
    let mut oscillator = RoscRng;
    for four in sample.as_chunks_mut::<4>().0 {
        let now = Instant::now().as_micros().to_le_bytes();
        oscillator.fill_bytes(four);
        for (byte, time) in four.iter_mut().zip(now) {
            *byte = byte.wrapping_add(time);
        }
    }
}

/// Whether the oscillator's bits change at all (a stand-in for the health tests of NIST SP 800-90B §4.4: one that stands still
/// gives one byte for ever).
pub(crate) fn is_alive() -> bool {
    let first = RoscRng::next_u8();
    (0..64).any(|_| RoscRng::next_u8() != first)
}

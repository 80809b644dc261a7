//! Numbers that look random, the same ones for the same seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Not for secrets.

use std::ops::Range;

#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn uniform(&mut self, range: Range<f64>) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let share = ((value ^ (value >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        range.start + share * (range.end - range.start)
    }

    /// Mean 0, deviation 1: the sum of twelve uniform values.
    pub(crate) fn gaussian(&mut self) -> f64 {
        (0..12).map(|_| self.uniform(0.0..1.0)).sum::<f64>() - 6.0
    }
}

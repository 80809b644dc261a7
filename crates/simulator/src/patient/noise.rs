//! Sensor noise as a function of seed and time: the same moment always has the same noise.
//!
//! Not for secrets. A random generator would make a value depend on how many were drawn before it.

/// Which sensor the noise is of: two sensors must not share theirs.
pub(super) type Source = u64;

pub(super) const PULSE: Source = 1;
pub(super) const BODY: Source = 2;
pub(super) const MCU: Source = 3;
pub(super) const MPU: Source = 4;
pub(super) const ACCEL_X: Source = 5;
pub(super) const ACCEL_Y: Source = 6;
pub(super) const ACCEL_Z: Source = 7;
/// Movement draws several values for one burst; its sources start here.
pub(super) const MOVEMENT: Source = 16;
pub(super) const FIBRILLATION: Source = 32;
pub(super) const PREMATURE: Source = 33;
pub(super) const WHITE: Source = 34;
pub(super) const HUM: Source = 35;
/// Two sources for the pulse signal and for each axis; they start here.
pub(super) const MOTION: Source = 40;

#[derive(Debug, Clone)]
pub(super) struct Noise {
    seed: u64,
}

impl Noise {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// Uniform in 0..1 for this source and this key (a time, or the number of an interval).
    pub(super) fn uniform(&self, source: Source, key: f64) -> f64 {
        (self.bits(source, key) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Mean 0, standard deviation 1, never beyond ±3.47: the sum of four uniform values (Irwin–Hall), so that no
    /// range check ever meets a wild outlier.
    pub(super) fn gaussian(&self, source: Source, key: f64) -> f64 {
        let bits = self.bits(source, key);
        let sum: u64 = (0..4).map(|lane| (bits >> (16 * lane)) & 0xffff).sum();
        (sum as f64 / 65_535.0 - 2.0) * 3.0_f64.sqrt()
    }

    /// The output function of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators",
    /// OOPSLA 2014), applied twice so that source and time both reach every bit.
    fn bits(&self, source: Source, key: f64) -> u64 {
        mix(mix(self.seed ^ key.to_bits()) ^ source)
    }
}

fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_mean_zero_and_deviation_one() {
        let noise = Noise::new(1);
        let values: Vec<f64> = (0..20_000).map(|i| noise.gaussian(PULSE, f64::from(i) * 0.05)).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.05, "variance {variance}");
        assert!(values.iter().all(|v| v.abs() < 3.47));
    }

    #[test]
    fn is_uncorrelated_between_sources_and_neighbours() {
        let noise = Noise::new(2);
        let at = |source, i: u32| noise.gaussian(source, f64::from(i) * 0.05);
        let correlation = |a: Source, b: Source, lag: u32| {
            (0..20_000).map(|i| at(a, i) * at(b, i + lag)).sum::<f64>() / 20_000.0
        };
        assert!(correlation(BODY, MCU, 0).abs() < 0.04);
        assert!(correlation(PULSE, PULSE, 1).abs() < 0.04);
    }

    #[test]
    fn uniform_fills_its_range() {
        let noise = Noise::new(3);
        let values: Vec<f64> = (0..10_000).map(|i| noise.uniform(MOVEMENT, f64::from(i))).collect();
        assert!(values.iter().all(|v| (0.0..1.0).contains(v)));
        let low = values.iter().filter(|v| **v < 0.25).count();
        assert!((2_300..2_700).contains(&low), "{low} of 10000 in the lowest quarter");
    }
}

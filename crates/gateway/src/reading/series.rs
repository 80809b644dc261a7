//! The values of a reading's channels as they were sent, for those who draw them: integers with one power of ten, at even times.

use std::borrow::Cow;

use vitalwire_profile::ChannelProfile;

use super::{Reading, Values, number_at};

/// Values of one channel.
#[derive(Clone, Debug)]
pub struct Series<'r> {
    /// What was measured.
    pub channel: &'r ChannelProfile,
    /// When the first was: UTC, microseconds since 1970.
    pub first_us: i64,
    /// From value to value; 0 where there is one alone, without an interval.
    pub interval_us: u32,
    /// A value is its integer times ten to this power.
    pub exponent: i8,
    /// In the order of time, at least one.
    pub digits: Cow<'r, [i32]>,
}

impl Series<'_> {
    /// The last value.
    #[must_use]
    pub fn last(&self) -> Option<f64> {
        let digits = f64::from(*self.digits.last()?);
        // A power above 1 is exact, so that one operation rounds once.
        let power = 10_f64.powi(i32::from(self.exponent.unsigned_abs()));
        Some(if self.exponent < 0 { digits / power } else { digits * power })
    }

    /// When the last was measured: UTC, microseconds since 1970.
    #[must_use]
    pub fn last_us(&self) -> i64 {
        let intervals = self.digits.len().saturating_sub(1) as u64;
        self.first_us.saturating_add_unsigned(intervals.saturating_mul(u64::from(self.interval_us)))
    }
}

pub(super) fn of(reading: &Reading) -> Vec<Series<'_>> {
    match &reading.values {
        Values::Sample(text) => {
            let channels = reading.source.profile.channels().iter().enumerate();
            let series = |(place, channel): (usize, _)| {
                single(channel, reading.first_us, number_at(text.as_bytes(), place)?)
            };
            channels.filter_map(series).collect()
        }
        Values::Batch(batch) => batch
            .channels()
            .filter_map(|data| {
                let (channel, _) = reading.source.channel(data.index)?;
                let (digits, exponent) = data.digits();
                let first_us = batch.span.utc_us(reading.first_us, u64::from(data.delay_us));
                let (interval_us, digits) = (data.interval_us, Cow::Borrowed(digits));
                (!digits.is_empty()).then_some(Series { channel, first_us, interval_us, exponent, digits })
            })
            .collect(),
    }
}

/// One value of a sample, with the decimals of its channel; nothing when they do not fit.
fn single(channel: &ChannelProfile, first_us: i64, value: f64) -> Option<Series<'_>> {
    let (digits, exponent) = rounded(value, channel.decimals)?;
    Some(Series { channel, first_us, interval_us: 0, exponent, digits: vec![digits].into() })
}

/// A number as an integer times a power of ten, with so many decimals; nothing when it does not fit.
pub(crate) fn rounded(value: f64, decimals: u8) -> Option<(i32, i8)> {
    let decimals = i8::try_from(decimals).ok()?;
    let scaled = (value * 10_f64.powi(i32::from(decimals))).round();
    // Comparisons with what is no number are false.
    let fits = scaled.abs() <= f64::from(i32::MAX);
    #[expect(clippy::cast_possible_truncation, reason = "it was rounded, and fits")]
    let digits = fits.then_some(scaled as i32)?;
    Some((digits, -decimals))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::tests::measurement_of;

    #[test]
    fn a_sample_keeps_the_decimals_of_its_channels() {
        let profile = vitalwire_profile::Profile::builtin("pico").unwrap();
        let channel = profile.channel(2).unwrap();
        let series = single(channel, 5, 1.802).unwrap();
        assert_eq!((&*series.digits, series.exponent, series.last_us()), (&[1802][..], -3, 5));
        assert!((series.last().unwrap() - 1.802).abs() < 1e-12);
        assert!(single(channel, 5, f64::NAN).is_none() && single(channel, 5, 1e300).is_none());
    }

    #[test]
    fn a_series_says_the_same_as_the_values() {
        let reading = measurement_of("d", 1).reading;
        let series = reading.series();
        assert!(!series.is_empty());
        for one in &series {
            let values = reading.values();
            let last = values.iter().rfind(|value| value.channel.name == one.channel.name).unwrap();
            assert_eq!(Some(last.value), one.last());
            assert_eq!(last.time_us, one.last_us());
        }
    }
}

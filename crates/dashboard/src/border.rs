//! What of a reading is of the stay that goes on. A batch may begin before a device was handed to another patient: what was measured up
//! to then is shown to no one under the next one's name. It reads no clock.

use std::borrow::Cow;

use vitalwire_gateway::{Reading, Series};

/// What of a reading was measured from this time on.
pub(crate) fn series_from_on(reading: &Reading, border_us: i64) -> impl Iterator<Item = Series<'_>> {
    reading.series().into_iter().filter_map(move |series| from_on(series, border_us))
}

/// A series from this time on; nothing when all of it was measured before.
fn from_on(series: Series<'_>, border_us: i64) -> Option<Series<'_>> {
    let before_us = border_us.saturating_sub(series.first_us);
    if before_us <= 0 {
        return Some(series);
    }
    // A value alone has no interval; it lies before the border.
    let interval_us = u64::from(series.interval_us);
    let skipped = before_us.unsigned_abs().div_ceil(interval_us.max(1));
    let place = usize::try_from(skipped).ok().filter(|_| interval_us > 0)?;
    let digits = match series.digits {
        Cow::Borrowed(digits) => Cow::Borrowed(digits.get(place..)?),
        Cow::Owned(digits) => Cow::Owned(digits.get(place..)?.to_vec()),
    };
    let first_us = series.first_us.saturating_add_unsigned(skipped.saturating_mul(interval_us));
    (!digits.is_empty()).then_some(Series { first_us, digits, ..series })
}

#[cfg(test)]
mod tests {
    use vitalwire_profile::Profile;

    use super::*;

    /// What is left of four values, 10 µs apart, the first at 100 µs.
    fn left(border_us: i64, interval_us: u32) -> Option<(i64, Vec<i32>)> {
        let profile = Profile::builtin("pico").unwrap();
        let channel = profile.channel(2).unwrap();
        let digits = Cow::Borrowed(&[1, 2, 3, 4][..]);
        let series = Series { channel, first_us: 100, interval_us, exponent: 0, digits };
        from_on(series, border_us).map(|series| (series.first_us, series.digits.to_vec()))
    }

    #[test]
    fn a_series_is_cut_at_the_border_and_a_value_at_it_is_of_what_begins() {
        for border_us in [i64::MIN, 0, 100] {
            assert_eq!(left(border_us, 10), Some((100, vec![1, 2, 3, 4])), "{border_us}");
        }
        assert_eq!(left(101, 10), Some((110, vec![2, 3, 4])));
        assert_eq!(left(110, 10), Some((110, vec![2, 3, 4])));
        assert_eq!(left(130, 10), Some((130, vec![4])));
        assert_eq!(left(131, 10), None);
        assert_eq!(left(i64::MAX, 10), None);
    }

    #[test]
    fn a_value_without_an_interval_is_of_one_of_both() {
        assert_eq!(left(101, 0), None);
        assert_eq!(left(100, 0), Some((100, vec![1, 2, 3, 4])));
    }
}

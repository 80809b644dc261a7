//! What `core` lacks of arithmetic.

/// The square root of a value that is not negative; 0 for all else. A float's exponent halved is right within a few per cent, and
/// each step of Newton's doubles the digits.
pub(crate) fn sqrt(value: f64) -> f64 {
    if !(value > 0.0 && value.is_finite()) {
        return 0.0;
    }
    let mut root = f64::from_bits((value.to_bits() >> 1) + (1023_u64 << 51));
    for _ in 0..4 {
        root = 0.5 * (root + value / root);
    }
    root
}

/// The largest whole number that is not above `value`; 0 below 0.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float stops at the type's ends")]
pub(crate) fn floor(value: f64) -> usize {
    value as usize
}

/// The nearest whole number; 0 below 0.
pub(crate) fn round(value: f64) -> usize {
    floor(value + 0.5)
}

/// The nearest whole microsecond.
#[expect(clippy::cast_possible_truncation, reason = "a cast of a float stops at the type's ends")]
pub(crate) fn round_us(value: f64) -> i64 {
    (if value < 0.0 { value - 0.5 } else { value + 0.5 }) as i64
}

/// As an `f32`, with its fewer digits.
#[expect(clippy::cast_possible_truncation, reason = "digits are what is to be lost")]
pub(crate) fn narrow(value: f64) -> f32 {
    value as f32
}

/// The middle one of `values`, or of an even number the upper of the two in the middle; 0 of none.
pub(crate) fn median<const N: usize>(mut values: [f32; N]) -> f32 {
    values.sort_unstable_by(f32::total_cmp);
    values.get(N / 2).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn a_square_root_is_that_of_the_standard_library() {
        for value in [1e-300, 1e-30, 0.5, 1.0, 2.0, 3.7, 1e12, 1e300] {
            let (ours, theirs) = (sqrt(value), f64::sqrt(value));
            assert!((ours - theirs).abs() <= 4.0 * f64::EPSILON * theirs, "{value}: {ours} is not {theirs}");
        }
        for nothing in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(sqrt(nothing), 0.0);
        }
    }

    #[test]
    fn rounds_to_the_nearest_and_never_below_zero() {
        assert_eq!([round(2.4), round(2.6), round(-3.0), round(f64::NAN)], [2, 3, 0, 0]);
        assert_eq!([round_us(-1.6), round_us(1.4), round_us(f64::INFINITY)], [-2, 1, i64::MAX]);
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
    }
}

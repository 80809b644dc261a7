//! A value as its sender meant it: exact, in decimal. It never rounds what it prints.

use core::fmt;

use super::SCALE_MAX;

/// Ten to the power of the index, up to [`SCALE_MAX`]; each is exact.
const POWERS: [f64; 10] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9];

/// `digits` × 10^`scale`. Prints as a JSON number with all its decimals: 36600 × 10^-3 is `36.600`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal {
    digits: i32,
    scale: i8,
}

impl Decimal {
    /// The value of `digits` in a channel of this scale; `None` if the scale is not within plus and minus [`SCALE_MAX`].
    #[must_use]
    pub fn new(digits: i32, scale: i8) -> Option<Self> {
        (scale.unsigned_abs() <= SCALE_MAX.unsigned_abs()).then_some(Self { digits, scale })
    }

    /// As it was sent.
    #[must_use]
    pub fn digits(self) -> i32 {
        self.digits
    }

    /// The power of ten that they are times.
    #[must_use]
    pub fn scale(self) -> i8 {
        self.scale
    }

    /// The nearest `f64`.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        let power = POWERS.get(usize::from(self.scale.unsigned_abs())).copied().unwrap_or(f64::NAN);
        // Both are exact in an `f64`, so that the one operation rounds once.
        let digits = f64::from(self.digits);
        if self.scale < 0 { digits / power } else { digits * power }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = i64::from(self.digits);
        let decimals = u32::from(self.scale.unsigned_abs());
        if self.scale >= 0 {
            return write!(f, "{}", digits * 10_i64.pow(decimals));
        }
        let power = 10_u64.pow(decimals);
        let magnitude = digits.unsigned_abs();
        let sign = if digits < 0 { "-" } else { "" };
        let width = usize::from(self.scale.unsigned_abs());
        write!(f, "{sign}{}.{:0width$}", magnitude / power, magnitude % power)
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::string::ToString;

    use super::*;

    #[test]
    fn prints_every_decimal_and_no_more() {
        for (digits, scale, text) in [
            (36_600, -3, "36.600"),
            (-120, -3, "-0.120"),
            (-1, -9, "-0.000000001"),
            (0, -1, "0.0"),
            (72, 0, "72"),
            (-5, 2, "-500"),
            (i32::MIN, 9, "-2147483648000000000"),
            (i32::MIN, -9, "-2.147483648"),
        ] {
            let decimal = Decimal::new(digits, scale).unwrap();
            assert_eq!(decimal.to_string(), text);
            assert_eq!(decimal.to_f64(), text.parse::<f64>().unwrap());
        }
    }

    #[test]
    fn refuses_a_scale_past_its_limit() {
        assert_eq!(Decimal::new(1, -10), None);
        assert_eq!(Decimal::new(1, 10), None);
        assert_eq!(Decimal::new(1, i8::MIN), None);
    }
}

//! A number with one decimal: what limits are set in, so that they are equal when they look equal.

use core::fmt;
use core::str::FromStr;

/// Tenths of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenths(pub u16);

impl Tenths {
    pub(crate) fn whole(number: u16) -> Self {
        Self(number.saturating_mul(10))
    }

    /// The same as a floating-point number.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        f64::from(self.0) / 10.0
    }
}

impl fmt::Display for Tenths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0 / 10, self.0 % 10);
        if tenth == 0 { write!(f, "{whole}") } else { write!(f, "{whole}.{tenth}") }
    }
}

/// It is no number with at most one decimal, or too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("say a number with at most one decimal, such as 38.5")]
pub struct NoTenths;

impl FromStr for Tenths {
    type Err = NoTenths;

    fn from_str(text: &str) -> Result<Self, NoTenths> {
        let (whole, tenth) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(tenth) || tenth.len() != 1 {
            return Err(NoTenths);
        }
        let whole: u16 = whole.parse().map_err(|_| NoTenths)?;
        let tenth: u16 = tenth.parse().map_err(|_| NoTenths)?;
        whole.checked_mul(10).and_then(|tenths| tenths.checked_add(tenth)).map(Self).ok_or(NoTenths)
    }
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn reads_back_what_it_writes_and_refuses_the_rest() {
        for tenths in 0..=u16::MAX {
            assert_eq!(Tenths(tenths).to_string().parse(), Ok(Tenths(tenths)));
        }
        for text in ["", ".", "38.", ".5", "38.55", "-1", "+1", "6553.6", "99999", "1e3", "38,5", " 38"] {
            assert_eq!(text.parse::<Tenths>(), Err(NoTenths), "{text}");
        }
    }
}

//! A stretch of time in which something is so, with a slope at either end, in closed form.

/// From `from_s` to `to_s`, which may be without an end; the full level is reached after `rise_s`, and left as long before the end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Span {
    pub(super) from_s: f64,
    pub(super) to_s: f64,
    rise_s: f64,
}

impl Span {
    /// A stretch that is too short for its slopes gets shorter ones.
    pub(super) fn new(from_s: f64, to_s: f64, rise_s: f64) -> Self {
        let to_s = to_s.max(from_s);
        Self { from_s, to_s, rise_s: rise_s.min((to_s - from_s) / 2.0) }
    }

    /// The same, with an earlier end.
    pub(super) fn until(self, to_s: f64) -> Self {
        Self::new(self.from_s, self.to_s.min(to_s), self.rise_s)
    }

    pub(super) fn contains(&self, t: f64) -> bool {
        (self.from_s..self.to_s).contains(&t)
    }

    /// From 0, outside, to 1.
    pub(super) fn level(&self, t: f64) -> f64 {
        if !self.contains(t) {
            return 0.0;
        }
        if self.rise_s <= 0.0 {
            return 1.0;
        }
        ((t - self.from_s).min(self.to_s - t) / self.rise_s).min(1.0)
    }

    /// The integral of [`Self::level`] up to `t`.
    pub(super) fn integral(&self, t: f64) -> f64 {
        let risen = slope_integral(t - self.from_s, self.rise_s);
        if self.to_s.is_finite() {
            risen - slope_integral(t - (self.to_s - self.rise_s), self.rise_s)
        } else {
            risen
        }
    }
}

/// The integral of what rises from 0 to 1 within `rise_s` and stays there.
fn slope_integral(t: f64, rise_s: f64) -> f64 {
    if t <= 0.0 {
        0.0
    } else if t < rise_s {
        t * t / (2.0 * rise_s)
    } else {
        t - rise_s / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rises_stays_and_falls() {
        let span = Span::new(10.0, 30.0, 4.0);
        let levels = [9.9, 10.0, 12.0, 14.0, 26.0, 28.0, 30.0].map(|t| span.level(t));
        assert_eq!(levels, [0.0, 0.0, 0.5, 1.0, 1.0, 0.5, 0.0]);
        assert!((Span::new(10.0, f64::INFINITY, 4.0).level(1e9) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn integral_is_that_of_the_level() {
        for span in [
            Span::new(10.0, 30.0, 4.0),
            Span::new(10.0, 30.0, 0.0),
            Span::new(10.0, 12.0, 5.0),
            Span::new(5.0, f64::INFINITY, 7.0),
        ] {
            let step = 1e-3;
            let mut sum = 0.0;
            for i in 0..40_000 {
                let t = f64::from(i) * step;
                assert!((span.integral(t) - sum).abs() < 2e-3, "{span:?} at {t}: {sum}");
                sum += span.level(t + step / 2.0) * step;
            }
        }
    }
}

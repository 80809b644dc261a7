//! Pulse rate from a pulse wave: the lag at which the wave is most like itself. For a demonstration; not for
//! patients.

/// A wave's points: seconds since some moment, and value.
pub(crate) type Point = (f64, f64);

const RATE_MIN_PER_MINUTE: f64 = 35.0;
const RATE_MAX_PER_MINUTE: f64 = 200.0;
const SPAN_SECONDS_MIN: f64 = 5.0;
/// Below 5 Hz a mean pulse rate cannot be had.
const STEP_SECONDS_MAX: f64 = 0.2;
/// Below this likeness the wave is noise, or the patient moves.
const LIKENESS_MIN: f64 = 0.3;
/// Twice the true period is nearly as alike as the period itself: take the shortest lag this close to the best.
const LIKENESS_OF_BEST: f64 = 0.8;

/// Beats a minute, when the wave is long, dense and regular enough to tell.
pub(crate) fn rate_per_minute(points: &[Point]) -> Option<f64> {
    let points = after_last_gap(points);
    let (first, last) = (points.first()?, points.last()?);
    let span = last.0 - first.0;
    let step = span / count(points.len().checked_sub(1)?);
    if span < SPAN_SECONDS_MIN || step > STEP_SECONDS_MAX {
        return None;
    }
    let mean = points.iter().map(|point| point.1).sum::<f64>() / count(points.len());
    let wave: Vec<f64> = points.iter().map(|point| point.1 - mean).collect();
    let likeness = autocorrelation(&wave, lag(60.0 / RATE_MIN_PER_MINUTE / step).min(wave.len() / 2) + 1)?;
    let peaks: Vec<(f64, f64)> = likeness
        .windows(3)
        .enumerate()
        .filter_map(|(index, window)| peak(index + 1, window))
        .filter(|(at, _)| at * step >= 60.0 / RATE_MAX_PER_MINUTE)
        .collect();
    let best = peaks.iter().map(|(_, height)| *height).fold(0.0, f64::max);
    let (at, _) = peaks.iter().find(|(_, height)| *height >= best * LIKENESS_OF_BEST)?;
    (best >= LIKENESS_MIN).then(|| 60.0 / (at * step))
}

/// The points behind the last gap: nothing is inferred across missing data.
fn after_last_gap(points: &[Point]) -> &[Point] {
    let [first, .., last] = points else { return &[] };
    let gap = gap_seconds(points.len(), last.0 - first.0);
    let start = points
        .windows(2)
        .rposition(|pair| matches!(pair, [a, b] if b.0 - a.0 > gap))
        .map_or(0, |index| index + 1);
    points.get(start..).unwrap_or(&[])
}

/// From how many seconds without a point on there is a gap in the wave.
pub(crate) fn gap_seconds(points: usize, span: f64) -> f64 {
    (6.0 * span / count(points.max(2) - 1)).max(0.3)
}

fn autocorrelation(wave: &[f64], lags: usize) -> Option<Vec<f64>> {
    let at = |lag: usize| {
        let pairs = wave.iter().zip(wave.get(lag..).unwrap_or(&[]));
        pairs.map(|(a, b)| a * b).sum::<f64>() / count(wave.len().saturating_sub(lag).max(1))
    };
    let power = at(0);
    (power > f64::EPSILON).then(|| (0..=lags).map(|lag| at(lag) / power).collect())
}

/// A local maximum of three neighbours, placed between them by a parabola: (lag, height).
fn peak(middle: usize, window: &[f64]) -> Option<(f64, f64)> {
    let [left, centre, right] = window else { return None };
    if centre < left || centre <= right {
        return None;
    }
    let curvature = left - 2.0 * centre + right;
    let shift = if curvature.abs() < f64::EPSILON { 0.0 } else { 0.5 * (left - right) / curvature };
    Some((count(middle) + shift, *centre))
}

#[expect(clippy::cast_precision_loss, reason = "counts here stay far below 2^52")]
fn count(number: usize) -> f64 {
    number as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a positive lag of a few hundred"
)]
fn lag(number: f64) -> usize {
    number.clamp(0.0, 4096.0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pulse of two bumps, as a finger shows it.
    fn wave(rate: f64, hz: f64, seconds: f64) -> Vec<Point> {
        let bump = |phase: f64, at: f64, width: f64| (-((phase - at) / width).powi(2)).exp();
        (0..lag(hz * seconds))
            .map(|index| {
                let t = count(index) / hz;
                let phase = (t * rate / 60.0).fract();
                (t, 1.6 + bump(phase, 0.25, 0.1) + 0.4 * bump(phase, 0.55, 0.12))
            })
            .collect()
    }

    #[test]
    fn finds_the_rate_at_the_papers_20_hz_and_at_250() {
        for rate in [48.0, 60.0, 72.0, 95.0, 130.0, 170.0] {
            for hz in [20.0, 250.0] {
                let found = rate_per_minute(&wave(rate, hz, 10.0)).unwrap();
                assert!((found - rate).abs() < 3.0, "{rate} /min at {hz} Hz read as {found}");
            }
        }
    }

    #[test]
    fn says_nothing_about_short_flat_or_sparse_waves() {
        assert_eq!(rate_per_minute(&wave(70.0, 20.0, 3.0)), None);
        assert_eq!(rate_per_minute(&wave(70.0, 2.0, 20.0)), None);
        let flat: Vec<Point> = (0..200).map(|index| (count(index) / 20.0, 1.8)).collect();
        assert_eq!(rate_per_minute(&flat), None);
        assert_eq!(rate_per_minute(&[]), None);
    }

    #[test]
    fn infers_nothing_across_a_gap() {
        let mut points = wave(70.0, 20.0, 12.0);
        points.retain(|(t, _)| *t < 8.0 || *t > 9.5);
        assert_eq!(rate_per_minute(&points), None);
    }
}

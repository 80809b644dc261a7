//! A pulse wave in braille dots. Gaps are drawn as gaps.

use ratatui::style::Color;
use ratatui::symbols::Marker;
use ratatui::widgets::canvas::{Canvas, Context, Line};

/// A wave's points: seconds since some moment, and value.
pub(crate) type Point = (f64, f64);

/// What of a wave is visible: from `now - seconds` to `now`, with the values' range.
pub(crate) struct Window<'a> {
    points: &'a [Point],
    now: f64,
    seconds: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
}

/// A wave smaller than this, in volts, is drawn flat rather than as blown-up noise.
const HEIGHT_MIN: f64 = 0.05;

impl<'a> Window<'a> {
    /// The last seconds of a wave.
    pub(crate) fn new(points: &'a [Point], now: f64, seconds: f64) -> Self {
        let start = points.partition_point(|point| point.0 < now - seconds);
        // One point more, so that the line enters from the edge.
        let points = points.get(start.saturating_sub(1)..).unwrap_or(&[]);
        let low = points.iter().map(|point| point.1).fold(f64::INFINITY, f64::min);
        let high = points.iter().map(|point| point.1).fold(f64::NEG_INFINITY, f64::max);
        let (low, high) = if low.is_finite() { (low, high) } else { (0.0, 1.0) };
        let spare = ((high - low) * 0.06).max((HEIGHT_MIN - (high - low)) / 2.0);
        Self { points, now, seconds, low: low - spare, high: high + spare }
    }

    /// The widget.
    pub(crate) fn canvas(self, colour: Color) -> Canvas<'a, impl Fn(&mut Context<'_>)> {
        let Self { points, now, seconds, low, high } = self;
        let span = points.last().map_or(0.0, |last| last.0) - points.first().map_or(0.0, |first| first.0);
        let gap = gap_seconds(points.len(), span);
        Canvas::default().marker(Marker::Braille).x_bounds([now - seconds, now]).y_bounds([low, high]).paint(
            move |context| {
                for pair in points.windows(2) {
                    let [a, b] = pair else { continue };
                    if b.0 - a.0 <= gap {
                        context.draw(&Line { x1: a.0, y1: a.1, x2: b.0, y2: b.1, color: colour });
                    }
                }
            },
        )
    }
}

/// From how many seconds without a point on there is a gap in the wave.
fn gap_seconds(points: usize, span: f64) -> f64 {
    let intervals = u32::try_from(points.max(2) - 1).unwrap_or(u32::MAX);
    (6.0 * span / f64::from(intervals)).max(0.3)
}

//! The result of a demonstration: the one JSON line that other tools read, and the same for people.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// What was sent and what arrived. The names and their order are a contract.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) devices: usize,
    pub(crate) served: usize,
    pub(crate) sent: u64,
    /// Of `sent`, what the server said to devices on the secure link that it holds; frames are not acknowledged.
    pub(crate) acknowledged: u64,
    pub(crate) delivered: u64,
    pub(crate) lost: u64,
    pub(crate) connect_ms: Percentiles,
    pub(crate) latency_ms: Percentiles,
    /// How many alarms there were of each condition.
    pub(crate) alarms: BTreeMap<String, usize>,
}

/// Median and 99th percentile in milliseconds; `null` when nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: Option<f64>,
    pub(crate) p99: Option<f64>,
}

impl Report {
    /// Whether everything that was sent arrived, from every device.
    pub(crate) fn is_complete(&self) -> bool {
        self.lost == 0 && self.served == self.devices
    }

    /// The report as lines for people.
    pub(crate) fn for_people(&self) -> String {
        let verdict = if self.is_complete() { "nothing lost" } else { "NOT everything arrived" };
        let Self { devices, served, sent, acknowledged, delivered, lost, connect_ms, latency_ms, alarms } =
            self;
        let alarms = match alarms.is_empty() {
            true => "none".to_owned(),
            false => alarms
                .iter()
                .map(|(condition, count)| format!("{count} × {condition}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        format!(
            "{verdict}: {served} of {devices} devices served, {sent} readings sent, {acknowledged} acknowledged, {delivered} delivered, {lost} lost\n\
             first reading after {connect_ms}; device to subscriber {latency_ms}\n\
             alarms: {alarms}"
        )
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.p50, self.p99) {
            (Some(p50), Some(p99)) => write!(f, "{p50:.1} ms (p50), {p99:.1} ms (p99)"),
            _ => f.write_str("not measured"),
        }
    }
}

impl Percentiles {
    /// Percentiles of a histogram in microseconds.
    pub(crate) fn of_micros(histogram: &Histogram<u64>) -> Self {
        let at = |quantile| (!histogram.is_empty()).then(|| millis(histogram.value_at_quantile(quantile)));
        Self { p50: at(0.5), p99: at(0.99) }
    }

    /// Percentiles of a few durations.
    pub(crate) fn of_durations(durations: impl Iterator<Item = Duration>) -> Self {
        let mut sorted: Vec<u64> =
            durations.map(|duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).collect();
        sorted.sort_unstable();
        // Nearest rank: the smallest value that `percent` of all do not exceed.
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100);
            sorted.get(rank.saturating_sub(1)).map(|micros| millis(*micros))
        };
        Self { p50: at(50), p99: at(99) }
    }
}

/// Milliseconds with three decimals.
#[expect(clippy::cast_precision_loss, reason = "microseconds of a run stay far below 2^52")]
fn millis(micros: u64) -> f64 {
    micros as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let percentiles = Percentiles { p50: Some(1.25), p99: Some(4.0) };
        let (connect_ms, latency_ms) = (percentiles, percentiles);
        Report {
            devices: 5,
            served: 5,
            sent: 1000,
            acknowledged: 800,
            delivered: 1000,
            lost: 0,
            connect_ms,
            latency_ms,
            alarms: BTreeMap::from([("temperature-high".to_owned(), 1)]),
        }
    }

    #[test]
    fn json_line_has_exactly_the_agreed_shape() {
        let line = serde_json::to_string(&report()).unwrap();
        let expected = concat!(
            r#"{"devices":5,"served":5,"sent":1000,"acknowledged":800,"delivered":1000,"lost":0,"#,
            r#""connect_ms":{"p50":1.25,"p99":4.0},"latency_ms":{"p50":1.25,"p99":4.0},"alarms":{"temperature-high":1}}"#
        );
        assert_eq!(line, expected);
    }

    #[test]
    fn complete_means_all_served_and_nothing_lost() {
        assert!(report().is_complete());
        assert!(!Report { lost: 1, ..report() }.is_complete());
        assert!(!Report { served: 4, ..report() }.is_complete());
    }

    #[test]
    fn percentiles_take_the_nearest_rank_and_null_when_empty() {
        let ms = |n| Duration::from_millis(n);
        let few = Percentiles::of_durations([ms(3), ms(1), ms(2)].into_iter());
        assert_eq!((few.p50, few.p99), (Some(2.0), Some(3.0)));
        let none = Percentiles::of_durations(std::iter::empty());
        assert_eq!(serde_json::to_string(&none).unwrap(), r#"{"p50":null,"p99":null}"#);
    }
}

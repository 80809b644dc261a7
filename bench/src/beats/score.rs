//! What a wave monitor found of a signal, compared with the beats that are true.

use vitalwire_vitals::wave::{Found, Second, Signal, WaveKind, WaveMonitor};

/// ANSI/AAMI EC57: a beat that is found counts when it is within 150 ms of a true one.
const WINDOW_US: i64 = 150_000;
/// Over so long a rate is compared.
const RATE_US: i64 = 10_000_000;
/// All that was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) beats_us: Vec<i64>,
    pub(crate) seconds: Vec<Second>,
}

/// Samples of a second, as a device sends them.
pub(crate) struct Batch<'s> {
    pub(crate) first_us: i64,
    pub(crate) interval_us: u32,
    /// When the last of them has been measured.
    pub(crate) end_us: i64,
    pub(crate) samples: &'s [f32],
}

pub(crate) fn batches(rate_hz: f64, samples: &[f32]) -> impl Iterator<Item = Batch<'_>> {
    let len = rate_hz.round().max(1.0) as usize;
    let time_us = move |sample: usize| (sample as f64 * 1e6 / rate_hz).round() as i64;
    samples.chunks(len).enumerate().map(move |(number, samples)| Batch {
        first_us: time_us(number * len),
        interval_us: (1e6 / rate_hz).round() as u32,
        end_us: time_us(number * len + samples.len()),
        samples,
    })
}

/// Steps a wave monitor through the whole signal.
pub(crate) fn find(kind: WaveKind, rate_hz: f64, samples: &[f32]) -> Findings {
    let mut monitor = WaveMonitor::new(kind);
    let mut found = Vec::new();
    for batch in batches(rate_hz, samples) {
        monitor.step(batch.first_us, batch.interval_us, batch.samples, &mut found);
    }
    let mut findings = Findings::default();
    for found in found {
        match found {
            Found::Beat { time_us } => findings.beats_us.push(time_us),
            Found::Second(second) => findings.seconds.push(second),
        }
    }
    findings
}

/// Figures of one signal. Shares are from 0 to 1; not a number where there is nothing to share.
#[derive(Clone, Debug, Default)]
pub(crate) struct Score {
    /// Beats found of those that are true, and true ones of those found: in all of the signal, and in accepted windows.
    pub(crate) sensitivity: f64,
    pub(crate) predictivity: f64,
    pub(crate) sensitivity_accepted: f64,
    pub(crate) predictivity_accepted: f64,
    /// Windows of 10 s, one a second, whose rate is told.
    pub(crate) accepted: f64,
    /// Differences of the rates told from the true ones, the smallest first.
    pub(crate) errors: Vec<f64>,
}

impl Score {
    pub(crate) fn of(findings: &Findings, truth_us: &[i64]) -> Self {
        let accepted = accepted_windows(&findings.seconds);
        let inside = |time_us: &i64| accepted.iter().any(|(from, until)| (*from..*until).contains(time_us));
        let pairs = pair(truth_us, &findings.beats_us);
        let (hits, found, truth) = (pairs.len(), findings.beats_us.len(), truth_us.len());
        let hits_inside = pairs.iter().filter(|(truth, _)| inside(truth)).count();
        let hits_found_inside = pairs.iter().filter(|(_, found)| inside(found)).count();
        let truth_inside = truth_us.iter().filter(|time| inside(time)).count();
        let found_inside = findings.beats_us.iter().filter(|time| inside(time)).count();
        let mut errors: Vec<f64> = (findings.seconds.iter())
            .filter_map(|second| {
                Some((f64::from(second.rate_per_min?) - true_rate(truth_us, second.time_us)?).abs())
            })
            .collect();
        errors.sort_by(f64::total_cmp);
        // A rate needs its window; before there is one nothing can be accepted.
        let full = findings.seconds.iter().skip(9);
        let told = full.clone().filter(|second| second.signal == Signal::Good).count();
        Self {
            sensitivity: share(hits, truth),
            predictivity: share(hits, found),
            sensitivity_accepted: share(hits_inside, truth_inside),
            predictivity_accepted: share(hits_found_inside, found_inside),
            accepted: share(told, full.count()),
            errors,
        }
    }

    pub(crate) fn error_mean(&self) -> f64 {
        self.errors.iter().sum::<f64>() / self.errors.len() as f64
    }

    pub(crate) fn error_p95(&self) -> f64 {
        let rank = (self.errors.len() as f64 * 0.95).ceil() as usize;
        self.errors.get(rank.saturating_sub(1)).copied().unwrap_or(f64::NAN)
    }

    /// Of the windows that were accepted, those whose rate is more than 2 a minute beside the true one.
    pub(crate) fn wrong(&self) -> f64 {
        share(self.errors.iter().filter(|error| **error > 2.0).count(), self.errors.len())
    }
}

fn share(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Windows that do not overlap, ten seconds each, at whose end the signal was good.
fn accepted_windows(seconds: &[Second]) -> Vec<(i64, i64)> {
    let mut windows = Vec::new();
    let mut from_us = seconds.first().map_or(0, |second| second.time_us);
    for second in seconds {
        if second.time_us >= from_us + RATE_US {
            if second.rate_per_min.is_some() {
                windows.push((from_us, second.time_us));
            }
            from_us = second.time_us;
        }
    }
    windows
}

/// Pairs each true beat with the nearest that was found, each once.
fn pair(truth_us: &[i64], found_us: &[i64]) -> Vec<(i64, i64)> {
    let mut pairs = Vec::new();
    let mut found = found_us.iter().peekable();
    for truth in truth_us {
        while found.next_if(|found| **found < truth - WINDOW_US).is_some() {}
        let Some(first) = found.next_if(|found| **found <= truth + WINDOW_US) else { continue };
        let mut nearest = first;
        while let Some(next) = found.next_if(|next| (*next - truth).abs() < (nearest - truth).abs()) {
            nearest = next;
        }
        pairs.push((*truth, *nearest));
    }
    pairs
}

/// Beats a minute of the true beats in the ten seconds before.
pub(crate) fn true_rate(truth_us: &[i64], until_us: i64) -> Option<f64> {
    let from = truth_us.partition_point(|time| *time < until_us - RATE_US);
    let until = truth_us.partition_point(|time| *time <= until_us);
    let window = truth_us.get(from..until)?;
    let (first, last) = (window.first()?, window.last()?);
    (first < last).then(|| 60e6 * (window.len() - 1) as f64 / (last - first) as f64)
}

/// Of a share, with one decimal, or two from 99 on.
pub(crate) fn percent(share: f64) -> String {
    match 100.0 * share {
        nothing if nothing.is_nan() => "—".into(),
        most if (99.0..100.0).contains(&most) => format!("{most:.2}"),
        other => format!("{other:.1}"),
    }
}

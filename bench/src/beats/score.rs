//! What a wave monitor found of a signal, compared with the beats that are true.

use vitalwire_vitals::wave::{Found, Second, Signal, WaveKind, WaveMonitor};

/// ANSI/AAMI EC57: a beat that is found counts when it is within 150 ms of a true one.
const WINDOW_US: i64 = 150_000;
/// Over so long a rate is compared.
const RATE_US: i64 = 10_000_000;
const SECOND_US: i64 = 1_000_000;
/// Default limits and delays: medical.md, and the issue.
const RATE_MIN: f64 = 50.0;
const RATE_MAX: f64 = 120.0;
const LIMIT_DELAY_S: usize = 15;
const ASYSTOLE_US: u64 = 4_000_000;
/// A reference this close to a limit makes no alarm false.
const LIMIT_MARGIN: f64 = 2.0;

/// All that was found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    pub(crate) beats_us: Vec<i64>,
    pub(crate) seconds: Vec<Second>,
}

/// Steps a monitor through the whole signal, a second at a time, as batches come.
pub(crate) fn find(kind: WaveKind, rate_hz: f64, samples: &[f32]) -> Findings {
    let mut monitor = WaveMonitor::new(kind);
    let mut found = Vec::new();
    let interval_us = (1e6 / rate_hz).round() as u32;
    let batch = rate_hz.round().max(1.0) as usize;
    for (number, samples) in samples.chunks(batch).enumerate() {
        let first_us = ((number * batch) as f64 * 1e6 / rate_hz).round() as i64;
        monitor.step(first_us, interval_us, samples, &mut found);
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
    /// Alarms that the true beats do not give, and all.
    pub(crate) false_alarms: usize,
    pub(crate) alarms: usize,
    pub(crate) hours: f64,
}

impl Score {
    pub(crate) fn of(findings: &Findings, truth_us: &[i64], seconds: f64) -> Self {
        let accepted = accepted_windows(&findings.seconds);
        let inside = |time_us: &i64| accepted.iter().any(|(from, until)| (*from..*until).contains(time_us));
        let pairs = pair(truth_us, &findings.beats_us);
        let (hits, found, truth) = (pairs.len(), findings.beats_us.len(), truth_us.len());
        let hits_inside = pairs.iter().filter(|(truth, _)| inside(truth)).count();
        let hits_found_inside = pairs.iter().filter(|(_, found)| inside(found)).count();
        let truth_inside = truth_us.iter().filter(|time| inside(time)).count();
        let found_inside = findings.beats_us.iter().filter(|time| inside(time)).count();
        let mut errors: Vec<f64> = (findings.seconds.iter())
            .filter_map(|second| Some((f64::from(second.rate_per_min?) - true_rate(truth_us, second.time_us)?).abs()))
            .collect();
        errors.sort_by(f64::total_cmp);
        // A rate needs its window; before there is one nothing can be accepted.
        let full = findings.seconds.iter().skip(9);
        let told = full.clone().filter(|second| second.signal == Signal::Good).count();
        let (alarms, false_alarms) = alarms(&findings.seconds, truth_us);
        Self {
            sensitivity: share(hits, truth),
            predictivity: share(hits, found),
            sensitivity_accepted: share(hits_inside, truth_inside),
            predictivity_accepted: share(hits_found_inside, found_inside),
            accepted: share(told, full.count()),
            errors,
            false_alarms,
            alarms,
            hours: seconds / 3_600.0,
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
fn true_rate(truth_us: &[i64], until_us: i64) -> Option<f64> {
    let from = truth_us.partition_point(|time| *time < until_us - RATE_US);
    let until = truth_us.partition_point(|time| *time <= until_us);
    let window = truth_us.get(from..until)?;
    let (first, last) = (window.first()?, window.last()?);
    (first < last).then(|| 60e6 * (window.len() - 1) as f64 / (last - first) as f64)
}

/// Alarms of the defaults, and how many of them the true beats do not give: a rate beyond a limit for 15 s, or no beat for 4 s.
fn alarms(seconds: &[Second], truth_us: &[i64]) -> (usize, usize) {
    let (mut all, mut wrong) = (0, 0);
    let mut count = |is_true: bool| {
        all += 1;
        wrong += usize::from(!is_true);
    };
    let (mut low, mut high, mut silent) = (0, 0, false);
    for second in seconds {
        let rate = second.rate_per_min.map(f64::from);
        let truth = true_rate(truth_us, second.time_us);
        low = if rate.is_some_and(|rate| rate < RATE_MIN) { low + 1 } else { 0 };
        high = if rate.is_some_and(|rate| rate > RATE_MAX) { high + 1 } else { 0 };
        if low == LIMIT_DELAY_S {
            count(truth.is_none_or(|rate| rate < RATE_MIN + LIMIT_MARGIN));
        }
        if high == LIMIT_DELAY_S {
            count(truth.is_some_and(|rate| rate > RATE_MAX - LIMIT_MARGIN));
        }
        let now_silent = second.without_beat_us >= ASYSTOLE_US;
        if now_silent && !silent {
            let from = second.time_us - 4 * SECOND_US + WINDOW_US;
            let until = second.time_us - SECOND_US;
            count(!truth_us.iter().any(|time| (from..until).contains(time)));
        }
        silent = now_silent;
    }
    (all, wrong)
}

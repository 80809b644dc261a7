//! Figures and the table they are printed in. Never judges: a goal stands beside a figure, and the reader compares.

use std::fmt;

/// The median of the rounds, with the smallest and the largest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Figure {
    median: f64,
    min: f64,
    max: f64,
    rounds: usize,
}

impl Figure {
    /// `None` when nothing was measured.
    pub(crate) fn of(rounds: &[f64]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let median = match sorted.len() % 2 {
            0 => (upper + *sorted.get(middle.checked_sub(1)?)?) / 2.0,
            _ => upper,
        };
        Some(Self { median, min, max, rounds: sorted.len() })
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&short(self.median))?;
        if self.rounds > 1 && self.min < self.max {
            write!(out, " ({}–{})", short(self.min), short(self.max))?;
        }
        Ok(())
    }
}

/// Three significant digits.
fn short(value: f64) -> String {
    let places = match value.abs() {
        size if size >= 99.95 || size == 0.0 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

/// One line of the table. The unit is part of the name.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    name: String,
    goal: &'static str,
    ours: Vec<f64>,
    peer: Vec<f64>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, goal: &'static str) -> Self {
        Self { name: name.into(), goal, ours: Vec::new(), peer: Vec::new() }
    }

    /// Adds the round's value, if there is one.
    pub(crate) fn add_ours(&mut self, value: impl Into<Option<f64>>) {
        self.ours.extend(value.into());
    }

    /// Adds the round's value, if there is one.
    pub(crate) fn add_peer(&mut self, value: impl Into<Option<f64>>) {
        self.peer.extend(value.into());
    }
}

/// All that a run found out.
#[derive(Debug, Default)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
    failures: usize,
}

impl Report {
    pub(crate) fn add(&mut self, rows: impl IntoIterator<Item = Row>) {
        self.rows.extend(rows);
    }

    /// Something the reader must know beside the figures; said once.
    pub(crate) fn note(&mut self, note: String) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Keeps the value, or notes why there is none.
    pub(crate) fn keep<T>(&mut self, what: &str, measured: anyhow::Result<T>) -> Option<T> {
        match measured {
            Ok(value) => Some(value),
            Err(error) => {
                eprintln!("{what}: {error:#}");
                let first_line = format!("{error:#}").lines().next().unwrap_or_default().to_owned();
                self.note(format!("**Not measured**: {what}: {first_line}"));
                self.failures += 1;
                None
            }
        }
    }

    /// Whether anything could not be measured. Says nothing about goals.
    pub(crate) fn is_complete(&self) -> bool {
        self.failures == 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(out, "| measured | Vitalwire | mosquitto, TLS-PSK | ratio | goal |")?;
        writeln!(out, "| --- | ---: | ---: | ---: | ---: |")?;
        for row in &self.rows {
            let (ours, peer) = (Figure::of(&row.ours), Figure::of(&row.peer));
            let ratio = ours.zip(peer).filter(|(_, peer)| peer.median > 0.0);
            let ratio = ratio.map(|(ours, peer)| short(ours.median / peer.median));
            let text = |figure: Option<Figure>| figure.map_or("—".to_owned(), |figure| figure.to_string());
            let ratio = ratio.unwrap_or("—".to_owned());
            writeln!(out, "| {} | {} | {} | {ratio} | {} |", row.name, text(ours), text(peer), row.goal)?;
        }
        writeln!(out)?;
        self.notes.iter().try_for_each(|note| writeln!(out, "- {note}"))
    }
}

/// The value below which `share` of the sorted nanoseconds lie, in milliseconds; 0 when there are none.
#[expect(clippy::cast_possible_truncation, reason = "a share of a length is a small whole number")]
pub(crate) fn percentile_ms(sorted_ns: &[u64], share: f64) -> f64 {
    let rank = (sorted_ns.len() as f64 * share).ceil() as usize;
    sorted_ns.get(rank.saturating_sub(1)).map_or(0.0, |&nanoseconds| nanoseconds as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_its_range() {
        assert_eq!(Figure::of(&[3.0, 1.0, 2.0]).unwrap().to_string(), "2.00 (1.00–3.00)");
        assert_eq!(Figure::of(&[40.0, 10.0]).unwrap().to_string(), "25.0 (10.0–40.0)");
        assert_eq!(Figure::of(&[1234.5]).unwrap().to_string(), "1234");
        assert!(Figure::of(&[]).is_none());
    }

    #[test]
    fn a_percentile_is_a_value_that_occurred() {
        let sorted: Vec<u64> = (1..=100).map(|value| value * 1_000_000).collect();
        assert_eq!(percentile_ms(&sorted, 0.5), 50.0);
        assert_eq!(percentile_ms(&sorted, 0.99), 99.0);
        assert_eq!(percentile_ms(&sorted, 1.0), 100.0);
        assert_eq!(percentile_ms(&[], 0.5), 0.0);
    }

    #[test]
    fn a_side_that_failed_shows_as_a_dash_and_a_note() {
        let mut report = Report::default();
        let mut row = Row::new("CPU", "1");
        row.add_ours(2.0);
        report.add([row]);
        report.keep::<()>("the peer", Err(anyhow::anyhow!("is away\nmore")));
        let text = report.to_string();
        assert!(text.contains("| CPU | 2.00 | — | — | 1 |"), "{text}");
        assert!(text.contains("- **Not measured**: the peer: is away\n"), "{text}");
        assert!(!report.is_complete());
    }
}

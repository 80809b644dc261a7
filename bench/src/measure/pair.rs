//! CPU a sample in two situations, and how many times the first figure the second is.

use std::path::Path;

use anyhow::Result;

use super::Plan;
use super::cpu::{Window, note_undelivered};
use crate::report::{Report, Row};

/// The plain situation, or the one that is compared with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Situation {
    Plain,
    Other,
}

/// What is compared.
pub(super) struct Pair {
    pub(super) devices: usize,
    /// For messages.
    pub(super) what: &'static str,
    pub(super) plain: String,
    pub(super) other: String,
}

pub(super) fn compare(
    plan: Plan<'_>,
    report: &mut Report,
    pair: &Pair,
    ours: impl Fn(&Path, Situation) -> Result<Window>,
    peer: impl Fn(Situation) -> Result<Window>,
) {
    let Pair { devices, what, plain, other } = pair;
    let name = |what: &str| format!("CPU µs a sample, {devices} × 20 Hz, {what}");
    let mut rows = [
        Row::new(name(plain), ""),
        Row::new(name(other), ""),
        Row::new(format!("the same, {other} against {plain}: times"), ""),
    ];
    for round in 1..=plan.scale.rounds {
        eprintln!("{what}: round {round}");
        if let Some(binary) = plan.ours {
            let figures = both(report, pair, "ours", |it| ours(binary, it));
            rows.iter_mut().zip(figures).for_each(|(row, value)| row.add_ours(value));
        }
        if plan.peer {
            let figures = both(report, pair, "the peer", &peer);
            rows.iter_mut().zip(figures).for_each(|(row, value)| row.add_peer(value));
        }
    }
    report.add(rows);
}

/// In the order of the rows.
fn both(
    report: &mut Report,
    pair: &Pair,
    side: &str,
    of: impl Fn(Situation) -> Result<Window>,
) -> [Option<f64>; 3] {
    let mut us = |situation, name: &str| {
        let window = report.keep(&format!("{}, {name}: {side}", pair.what), of(situation))?;
        note_undelivered(report, pair.devices, name, side, window.samples_per_second);
        Some(window.us_per_sample)
    };
    let (plain, other) = (us(Situation::Plain, &pair.plain), us(Situation::Other, &pair.other));
    // The window of a smoke run may be too short for the clock.
    let ratio = plain.zip(other).filter(|(plain, _)| *plain > 0.0).map(|(plain, other)| other / plain);
    [plain, other, ratio]
}

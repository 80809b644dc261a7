//! How long people wait for what was: trends and waves out of a month of ten patients at 20 Hz, as the dashboard asks for them, and what
//! that takes of the server's memory. The peer keeps no history.

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;
use rustix::fs::Advice;
use vitalwire_journal::{HistoryFile, Length, SumsQuery};

use super::Plan;
use crate::enrolment::device_id;
use crate::month;
use crate::ours::{Gateway, Protocol};
use crate::process::{free_address, wait_for};
use crate::report::{Report, Row};
use crate::web::Visitor;

/// As wide as a desktop's window.
const POINTS: u32 = 1_400;
/// Of each range so many, of different patients, channels and moments.
const ASKED: usize = 40;
/// Ranges of trends, in hours.
const RANGES: [(f64, &str); 5] =
    [(1.0, "an hour"), (6.0, "6 h"), (24.0, "a day"), (168.0, "a week"), (720.0, "30 days")];
const CHANNELS: [&str; 3] = ["Temperature", "Pulse_Signal", "Accelerometer/x"];
/// For the sums of a month that a server finds in the journal: in daily life they are made as readings come.
const SUMS_TIMEOUT: Duration = Duration::from_secs(4 * 3_600);

#[derive(Debug, Default, Args)]
pub(crate) struct HistoryArguments {
    /// Days of each patient, instead of a month. A month takes some 10 GB of the disk for temporary files.
    #[arg(long)]
    pub(crate) days: Option<f64>,
}

pub(crate) fn measure(plan: Plan<'_>, report: &mut Report) {
    let Some(binary) = plan.ours else { return };
    let Some(rows) = report.keep("our history", rows(binary, plan)) else { return };
    report.add(rows);
}

struct Asker<'g> {
    gateway: &'g Gateway,
    visitor: Visitor,
    patients: usize,
    begin_ms: i64,
    end_ms: i64,
    /// Counts what was asked, so that each question is another.
    asked: usize,
}

fn rows(binary: &Path, plan: Plan<'_>) -> Result<Vec<Row>> {
    let (patients, days) = (plan.scale.history_patients, plan.scale.history_days);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "some days")]
    let seconds = (days * 86_400.0) as u32;
    let now_us = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
    let dashboard = free_address()?;
    let listen = dashboard.to_string();
    let mib = (month::BYTES_MAX >> 20).to_string();
    let settings = ["--dashboard-listen", &listen, "--journal-max-mib", &mib];
    let mut written = Duration::ZERO;
    let fill = |data: &Path| {
        let begun = Instant::now();
        month::write(data, patients, seconds, now_us)?;
        written = begun.elapsed();
        Ok(())
    };
    let gateway = Gateway::start_filled(binary, patients, Protocol::Link, &settings, fill)?;
    let what = format!("{days} days of {patients} patients at 20 Hz");
    let mut size = Row::new(format!("{what}: the journal's file, GB"), "");
    size.add_ours(std::fs::metadata(gateway.data().join(month::JOURNAL))?.len() as f64 / 1e9);
    let mut made = Row::new(format!("{what}, not summed before: until all sums are made, s"), "");
    made.add_ours(gateway.explain(sums_made(&gateway, patients))?.as_secs_f64());
    eprintln!("history: written in {} s", written.as_secs());
    let visitor = gateway.explain(visitor(&gateway, dashboard))?;
    let begin_ms = now_us / 1_000 - i64::from(seconds) * 1_000;
    let mut asker =
        Asker { gateway: &gateway, visitor, patients, begin_ms, end_ms: now_us / 1_000, asked: 0 };
    let mut rows = vec![size, made];
    rows.extend(gateway.explain(ask_all(&mut asker, &what))?);
    Ok(rows)
}

fn visitor(gateway: &Gateway, dashboard: std::net::SocketAddr) -> Result<Visitor> {
    let login = || Ok(Visitor::log_in(dashboard, &gateway.login).ok());
    wait_for(Duration::from_secs(30), login)?.context("no one can log in to the dashboard")
}

/// Waits until the server has made all sums but those of the newest minutes, of which it waits for what comes late.
fn sums_made(gateway: &Gateway, patients: usize) -> Result<Duration> {
    let begun = Instant::now();
    let file = HistoryFile::open(&gateway.data().join(month::JOURNAL))?;
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let unmade = |patient: usize| -> Result<usize> {
        let query = SumsQuery {
            device: device_id(patient).parse()?,
            length: Length::Hour,
            from: i64::MIN,
            to: i64::MAX,
        };
        let (mut query, mut unmade) = (query, 0);
        while query.from < query.to {
            let page = runtime.block_on(file.sums(query.clone()))?;
            unmade += page.unmade.len();
            query.from = page.upto;
        }
        Ok(unmade)
    };
    let is_made = || {
        gateway.server.check_running()?;
        std::thread::sleep(Duration::from_secs(1));
        for patient in (0..patients).rev() {
            if unmade(patient)? > 0 {
                return Ok(None);
            }
        }
        Ok(Some(()))
    };
    wait_for(SUMS_TIMEOUT, is_made)?.context("the server does not make its sums")?;
    Ok(begun.elapsed())
}

/// Milliseconds of each question.
fn ask_all(asker: &mut Asker<'_>, what: &str) -> Result<Vec<Row>> {
    let (mut rows, patients) = (Vec::new(), asker.patients);
    // Who looks at whom goes on record once an hour: not in the times.
    (0..asker.patients).try_for_each(|_| asker.trend(1.0, POINTS).map(drop))?;
    let before = asker.gateway.server.resident_bytes()?;
    asker.gateway.server.forget_peak()?;
    for (hours, name) in RANGES {
        if hours * 3_600e3 > (asker.end_ms - asker.begin_ms) as f64 {
            continue;
        }
        let mut worst = Row::new(format!("{what}: trend of {name}, the slowest of {ASKED}, ms"), "≤ 300");
        let mut usual = Row::new(format!("the same, median of {ASKED}, ms"), "");
        let mut times = (0..ASKED).map(|_| asker.trend(hours, POINTS)).collect::<Result<Vec<_>>>()?;
        note(&mut times, &mut worst, &mut usual);
        let mut cold =
            Row::new(format!("the same, from the disk: the slowest of {}, ms", asker.patients), "≤ 300");
        let from_disk = |_| {
            forget_pages(&asker.gateway.data().join(month::JOURNAL))?;
            asker.trend(hours, POINTS)
        };
        let times = (0..patients).map(from_disk).collect::<Result<Vec<_>>>()?;
        cold.add_ours(times.into_iter().reduce(f64::max));
        rows.extend([worst, usual, cold]);
    }
    let mut worst = Row::new(format!("{what}: a wave of 10 s, the slowest of {ASKED}, ms"), "≤ 200");
    let mut usual = Row::new(format!("the same, median of {ASKED}, ms"), "");
    let mut times = (0..ASKED).map(|_| asker.wave()).collect::<Result<Vec<_>>>()?;
    note(&mut times, &mut worst, &mut usual);
    let mut cold =
        Row::new(format!("the same, from the disk: the slowest of {}, ms", asker.patients), "≤ 200");
    let from_disk = |_| {
        forget_pages(&asker.gateway.data().join(month::JOURNAL))?;
        asker.wave()
    };
    let times = (0..patients).map(from_disk).collect::<Result<Vec<_>>>()?;
    cold.add_ours(times.into_iter().reduce(f64::max));
    rows.extend([worst, usual, cold]);
    let mut memory = Row::new(format!("{what}: the server's memory at most, above what it was, MiB"), "≤ 64");
    let peak = asker.gateway.server.peak_bytes()?;
    memory.add_ours(peak.saturating_sub(before) as f64 / f64::from(1 << 20));
    rows.push(memory);
    Ok(rows)
}

fn note(times: &mut [f64], worst: &mut Row, usual: &mut Row) {
    times.sort_by(f64::total_cmp);
    worst.add_ours(times.last().copied());
    usual.add_ours(times.get(times.len() / 2).copied());
}

/// Gives the file's pages back to the system, so that the next read is one of the disk: what is not written yet stays.
fn forget_pages(path: &Path) -> Result<()> {
    let file = File::open(path)?;
    Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?)
}

impl Asker<'_> {
    fn trend(&mut self, hours: f64, points: u32) -> Result<f64> {
        #[expect(clippy::cast_possible_truncation, reason = "some days")]
        let span_ms = (hours * 3_600e3) as i64;
        self.ask(span_ms, points, 1)
    }

    /// Each value of ten seconds.
    fn wave(&mut self) -> Result<f64> {
        self.ask(10_000, 10_000, 190)
    }

    /// The time that an answer takes which has so many points at least.
    fn ask(&mut self, span_ms: i64, points: u32, points_min: usize) -> Result<f64> {
        let room_ms = (self.end_ms - self.begin_ms - span_ms).max(1);
        // Spread by the golden ratio, and not at full minutes.
        let place = (self.asked as f64 * 0.618_033_988_75).fract();
        #[expect(clippy::cast_possible_truncation, reason = "within the range")]
        let from_ms = self.begin_ms + (room_ms as f64 * place) as i64;
        let device = device_id(self.asked % self.patients);
        let channel = CHANNELS.get(self.asked % CHANNELS.len()).context("there are channels")?;
        self.asked += 1;
        let (channel, to_ms) = (channel.replace('/', "%2F"), from_ms + span_ms);
        let path = format!(
            "/api/v1/devices/{device}/history?channel={channel}&from={from_ms}&to={to_ms}&points={points}"
        );
        let begun = Instant::now();
        let answer = self.visitor.get(&path)?;
        let took = begun.elapsed().as_secs_f64() * 1e3;
        let answer: serde_json::Value = serde_json::from_str(&answer)?;
        let found = answer.pointer("/time").and_then(|times| times.as_array()).map_or(0, Vec::len);
        ensure!(found >= points_min, "{path} gave {found} points");
        Ok(took)
    }
}

//! How many entries a second the journal takes, and how long each waits for its commit, beside the same bytes appended
//! to a plain file with one fdatasync for each group. It writes to a folder that goes away.
//! `cargo run --release -p vitalwire-journal --example throughput -- [entries a second] [seconds] [devices] [body bytes]`

use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use tokio::sync::mpsc;
use vitalwire_access::DeviceId;
use vitalwire_journal::{Assurance, Entry, Journal, JournalLimits, Outcome};

/// Longer ones count as this long.
const LATENCY_US_MAX: u64 = 60_000_000;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Copy)]
struct Load {
    rate: u64,
    seconds: u64,
    devices: u64,
    body_bytes: usize,
}

fn main() -> Result<(), AnyError> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let mut next = |default| numbers.next().unwrap_or(Ok(default));
    let load = Load {
        rate: next(20_000)?,
        seconds: next(10)?,
        devices: next(2_000)?,
        body_bytes: usize::try_from(next(120)?)?,
    };
    println!(
        "{} entries/s for {} s, {} devices, bodies of {} bytes",
        load.rate, load.seconds, load.devices, load.body_bytes
    );
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let folder = tempfile::tempdir_in(".")?;
    runtime.block_on(journal_at_rate(folder.path(), load, None))?;
    let small = tempfile::tempdir_in(".")?;
    runtime.block_on(journal_at_rate(small.path(), load, Some(8 << 20)))?;
    plain_file_at_rate(&folder.path().join("plain"), load)?;
    let flood = tempfile::tempdir_in(".")?;
    runtime.block_on(journal_at_rate(flood.path(), Load { rate: u64::MAX, ..load }, None))
}

fn entry(load: Load, ids: &[DeviceId], number: u64) -> Option<Entry> {
    let at_us = i64::try_from(number).ok()? * 50;
    Some(Entry {
        device: ids.get(usize::try_from(number % load.devices).ok()?)?.clone(),
        boot: 1,
        sequence: number / load.devices + 1,
        received_us: at_us,
        first_us: at_us,
        span_us: 950_000,
        uncertainty_us: 1_000,
        samples: 20,
        assurance: Assurance::Authenticated,
        body: vec![0x5a; load.body_bytes].into(),
    })
}

/// `bound`: with a bound so small that old entries must go all the time, and a reader that keeps up.
async fn journal_at_rate(folder: &Path, load: Load, bound: Option<u64>) -> Result<(), AnyError> {
    let default = JournalLimits::default();
    let limits = JournalLimits { age_max: None, bytes_max: bound.unwrap_or(default.bytes_max), ..default };
    let journal = Journal::open(&folder.join("journal.db"), &limits)?;
    let reading = tokio::spawn(read_along(journal.clone()));
    let latency = Arc::new(Mutex::new(Histogram::<u64>::new_with_bounds(1, LATENCY_US_MAX, 3)?));
    // Holds what is under way: as much as the journal's own queue.
    let (sent, mut receipts) = mpsc::channel(limits.queue_entries_max);
    let waiting = tokio::spawn({
        let latency = Arc::clone(&latency);
        async move {
            let mut refused = 0;
            while let Some((began, receipt)) = receipts.recv().await {
                let receipt: vitalwire_journal::Receipt = receipt;
                let outcome = receipt.await;
                refused += u64::from(!matches!(outcome, Outcome::Committed { .. }));
                let us = u64::try_from(Instant::elapsed(&began).as_micros()).unwrap_or(u64::MAX);
                if let Ok(mut latency) = latency.lock() {
                    latency.saturating_record(us);
                }
            }
            refused
        }
    });
    let ids: Vec<DeviceId> =
        (0..load.devices).map(|n| format!("dev-{n}").parse()).collect::<Result<_, _>>()?;
    let begin = Instant::now();
    let mut number = 0;
    while begin.elapsed() < Duration::from_secs(load.seconds) {
        let due = due(begin, load.rate, number);
        while number < due {
            let Some(entry) = entry(load, &ids, number) else { break };
            let began = Instant::now();
            sent.send((began, journal.append(entry).await)).await?;
            number += 1;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(sent);
    let refused = waiting.await?;
    let took = begin.elapsed();
    let lag = journal.stats().readers.iter().map(|reader| reader.entries_max).max();
    reading.abort();
    let commits = journal.stats().commits;
    journal.close().await;
    let size = std::fs::metadata(folder.join("journal.db"))?.len() >> 20;
    let name = match (bound, load.rate) {
        (Some(_), _) => "journal at its bound",
        (None, u64::MAX) => "journal, as fast as it can",
        (None, _) => "journal",
    };
    let latency = latency.lock().map_err(|_| "a thread failed")?;
    report(name, number, took, &latency);
    println!("    {commits} commits, {refused} refused, file {size} MiB, reader behind at the end: {lag:?}");
    Ok(())
}

/// How many should have been sent by now; a few at a time without a rate.
fn due(begin: Instant, rate: u64, number: u64) -> u64 {
    if rate == u64::MAX {
        return number + 1_000;
    }
    u64::try_from(begin.elapsed().as_micros() * u128::from(rate) / 1_000_000).unwrap_or(u64::MAX)
}

async fn read_along(journal: Journal) -> Result<(), vitalwire_journal::JournalError> {
    let reader = journal.reader("publisher").await?;
    loop {
        reader.wait_past(reader.position()).await?;
        if let Some(last) = reader.read(reader.position(), 1_000).await?.last() {
            reader.advance(last.position);
        }
    }
}

/// The least that durability costs: the bodies and 64 bytes of facts, one write and one fdatasync each 2 ms.
fn plain_file_at_rate(path: &Path, load: Load) -> Result<(), AnyError> {
    let (mut file, mut latency) =
        (File::create(path)?, Histogram::<u64>::new_with_bounds(1, LATENCY_US_MAX, 3)?);
    let record = vec![0x5a; load.body_bytes + 64];
    let mut waiting = VecDeque::new();
    let (begin, mut number) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(load.seconds) {
        let due = due(begin, load.rate, number);
        let mut group = Vec::new();
        while number < due {
            // As the entries of the journal, these wait from the moment they were due.
            let at_us = u64::try_from(u128::from(number) * 1_000_000 / u128::from(load.rate))?;
            waiting.push_back(Duration::from_micros(at_us));
            group.extend_from_slice(&record);
            number += 1;
        }
        file.write_all(&group)?;
        file.sync_data()?;
        for due_at in waiting.drain(..) {
            latency.saturating_record(u64::try_from(begin.elapsed().saturating_sub(due_at).as_micros())?);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    report("plain file, fdatasync", number, begin.elapsed(), &latency);
    Ok(())
}

fn report(name: &str, number: u64, took: Duration, latency: &Histogram<u64>) {
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    let (rate, ms) =
        (number as f64 / took.as_secs_f64(), |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0);
    println!(
        "{name:>28}: {rate:>9.0} entries/s, latency p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        ms(0.5),
        ms(0.99),
        ms(1.0)
    );
}

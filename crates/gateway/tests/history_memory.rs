//! How much memory a long history takes: in a process of its own, so that nothing else counts. Three hours by default, which took
//! 43 MB when values were collected; `HISTORY_HOURS=24 cargo test --workspace --test history_memory` for a day, which took 2.7 MiB and
//! with the filling 4 minutes.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use minicbor::Encoder;
use vitalwire_gateway::{History, HistoryQuery};
use vitalwire_journal::{Assurance, Entry, Journal, JournalLimits, Outcome, Receipt};
use vitalwire_protocol::batch::{MESSAGE_LEN_MAX, Samples, encode_batch};

const T0_S: u64 = 1_795_000_000;
const HZ: usize = 250;
const MEMORY_KIB_MAX: u64 = 16 << 10;
const HOURS: &str = "HISTORY_HOURS";
/// The child's data folder.
const FOLDER: &str = "VITALWIRE_TEST_HISTORY_FOLDER";

fn seconds() -> u64 {
    std::env::var(HOURS).map_or(3, |hours| hours.parse().unwrap()) * 3_600
}

/// A batch of a second, as the journal keeps it: the profile's name and the message.
fn body(second: u64) -> Vec<u8> {
    let phase = i32::try_from(second % 97).unwrap();
    let values: Vec<i32> = (0..HZ).map(|n| 1_800 + (i32::try_from(n).unwrap() * 7 + phase) % 23).collect();
    let samples = Samples { index: 2, interval_us: 4_000, delay_us: 0, scale: -3, values: &values };
    let mut message = vec![0; MESSAGE_LEN_MAX];
    let len = encode_batch(second + 1, second * 1_000, None, &[samples], &mut message).unwrap();
    let mut body = Vec::new();
    Encoder::new(&mut body).str("pico").unwrap();
    body.extend_from_slice(&message[..len]);
    body
}

async fn fill(path: &Path) {
    let limits = JournalLimits { age_max: None, ..JournalLimits::default() };
    let journal = Journal::open(path, &limits).unwrap();
    let mut receipts: Vec<Receipt> = Vec::new();
    for second in 0..seconds() {
        let first_us = i64::try_from((T0_S + second) * 1_000_000).unwrap();
        let entry = Entry {
            device: "bed_07".parse().unwrap(),
            boot: 1,
            sequence: second + 1,
            received_us: first_us + 1_000_000,
            first_us,
            span_us: 996_000,
            uncertainty_us: 2_000,
            samples: u32::try_from(HZ).unwrap(),
            assurance: Assurance::Authenticated,
            body: body(second).into(),
        };
        receipts.push(journal.append(entry).await);
        if receipts.len() == 4_000 {
            for receipt in receipts.drain(..) {
                assert!(matches!(receipt.await, Outcome::Committed { .. }));
            }
        }
    }
    journal.close().await;
}

fn all() -> HistoryQuery {
    let from = SystemTime::UNIX_EPOCH + Duration::from_secs(T0_S);
    HistoryQuery {
        device: "bed_07".parse().unwrap(),
        channel: "Pulse_Signal".to_owned(),
        from,
        to: from + Duration::from_secs(seconds()),
    }
}

/// The most memory that the process has had since the last call of `forget_peak`.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

fn forget_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// Runs in the child only.
#[tokio::test]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let history = History::open(Path::new(&folder)).unwrap();
    let warm = HistoryQuery { to: all().from + Duration::from_secs(60), ..all() };
    assert_eq!(history.buckets(&warm, 10).await.unwrap().len(), 10);
    forget_peak();
    let before = peak_kib();
    let buckets = history.buckets(&all(), 1_000).await.unwrap();
    let samples: u64 = buckets.iter().map(|bucket| bucket.samples).sum();
    let gaps = buckets.iter().any(|bucket| bucket.gap_before || bucket.gap_within);
    println!("samples={samples} gaps={gaps} kib={}", peak_kib() - before);
}

#[tokio::test]
async fn hours_at_250_hz_stream_in_less_than_16_mib() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder.path().join("journal.db")).await;
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&child.stdout).into_owned();
    let line = text.lines().find_map(|line| line.find("samples=").map(|at| line[at..].to_owned()));
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&child.stderr)));
    let number = |name: &str| -> u64 {
        line.split(' ').find_map(|part| part.strip_prefix(name)).unwrap().parse().unwrap()
    };
    println!("{line}");
    assert_eq!(number("samples="), seconds() * HZ as u64);
    assert!(line.contains("gaps=false"), "{line}");
    assert!(number("kib=") < MEMORY_KIB_MAX, "{line}");
}

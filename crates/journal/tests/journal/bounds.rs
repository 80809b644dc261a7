//! The bounds of bytes and of age, and what becomes of readers there.

use crate::fixture::{Fixture, append, entry, everything, limits, path_in, wait_for_health};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use vitalwire_journal::{Entry, Health, Journal, JournalLimits, Outcome, ReaderKind, Refusal, Start};

const BYTES_MAX: u64 = 2 << 20;

fn bounded() -> Fixture {
    Fixture::with(JournalLimits { bytes_max: BYTES_MAX, ..limits() })
}

/// 600 of them are over the bound.
fn large(sequence: u64) -> Entry {
    Entry { body: vec![sequence.to_le_bytes()[0]; 4_000].into(), ..entry("dev-1", 1, sequence) }
}

async fn append_all(journal: &Journal, sequences: std::ops::RangeInclusive<u64>) -> Option<(u64, Refusal)> {
    for sequence in sequences {
        match append(journal, large(sequence)).await {
            Outcome::Committed { .. } => {}
            Outcome::Refused(refusal) => return Some((sequence, refusal)),
            Outcome::Duplicate => panic!("{sequence} is no duplicate"),
        }
    }
    None
}

#[tokio::test]
async fn oldest_entries_go_first_and_the_file_stays_bounded() {
    let fixture = bounded();
    assert_eq!(append_all(&fixture.journal, 1..=2_000).await, None);
    let stored = everything(&fixture.journal).await;
    let sequences: Vec<u64> = stored.iter().map(|stored| stored.entry.sequence).collect();
    assert_eq!(sequences, (sequences[0]..=2_000).collect::<Vec<_>>(), "what is left is the newest, whole");
    assert!(sequences.len() > 200, "only {} are left", sequences.len());
    let size = std::fs::metadata(path_in(fixture.folder.path())).unwrap().len();
    assert!(size <= BYTES_MAX + BYTES_MAX / 8, "the file has {size} bytes");
    assert_eq!(append(&fixture.journal, large(1)).await, Outcome::Duplicate, "removed, but not forgotten");
}

#[tokio::test]
async fn holding_reader_makes_the_journal_refuse_and_is_named() {
    let fixture = bounded();
    let reader = fixture.journal.reader("publisher", ReaderKind::Holding, Start::Oldest).await.unwrap();
    let (refused, refusal) =
        append_all(&fixture.journal, 1..=2_000).await.expect("the bound is never reached");
    assert_eq!(refusal, Refusal::BoundReached { reader: "publisher".to_owned() });
    let full =
        |health: &Health| matches!(health, Health::Full { held_by: Some(name), .. } if name == "publisher");
    wait_for_health(&fixture.journal, full).await;
    let first = &reader.read(0, 1).await.unwrap()[0];
    assert_eq!(first.entry.sequence, 1, "nothing unread is gone");
    reader.advance(fixture.journal.head());
    wait_for_health(&fixture.journal, |health| *health == Health::Ok).await;
    assert_eq!(append_all(&fixture.journal, refused..=refused + 100).await, None);
}

#[tokio::test]
async fn forgotten_reader_no_longer_holds_entries() {
    let fixture = bounded();
    fixture.journal.reader("gone", ReaderKind::Holding, Start::Oldest).await.unwrap();
    let (refused, _) = append_all(&fixture.journal, 1..=2_000).await.unwrap();
    fixture.journal.forget_reader("gone").await.unwrap();
    assert_eq!(append_all(&fixture.journal, refused..=refused + 10).await, None);
}

#[tokio::test]
async fn following_reader_is_told_exactly_what_it_missed() {
    let fixture = bounded();
    let reader = fixture.journal.reader("live", ReaderKind::Following, Start::Oldest).await.unwrap();
    reader.advance(0);
    assert_eq!(append_all(&fixture.journal, 1..=1_500).await, None);
    let (lag, rest) = (reader.lag(), reader.read(reader.position(), 4_000).await.unwrap());
    assert_eq!(lag.skipped.entries + rest.len() as u64, 1_500);
    assert_eq!((lag.skipped.last_after, lag.skipped.last_to), (0, lag.position));
    assert_eq!(rest[0].position, lag.position + 1);
    let fixture = fixture.reopened().await;
    let reader = fixture.journal.reader("live", ReaderKind::Following, Start::Oldest).await.unwrap();
    assert_eq!(reader.lag().skipped, lag.skipped);
}

#[tokio::test]
async fn aged_entries_go_unless_a_holding_reader_has_not_read_them() {
    let age_max = Some(Duration::from_secs(3_600));
    let fixture = Fixture::with(JournalLimits { age_max, ..limits() });
    let reader = fixture.journal.reader("publisher", ReaderKind::Holding, Start::Oldest).await.unwrap();
    let now_us = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap();
    for sequence in 1..=20 {
        let received_us = if sequence <= 10 { now_us - 7_200_000_000 } else { now_us };
        append(&fixture.journal, Entry { received_us, ..entry("dev-1", 1, sequence) }).await;
    }
    assert_eq!(reader.read(0, 1).await.unwrap()[0].position, 1);
    reader.advance(5);
    wait_until_oldest_is(&fixture.journal, 6).await;
    reader.advance(20);
    wait_until_oldest_is(&fixture.journal, 11).await;
}

async fn wait_until_oldest_is(journal: &Journal, position: u64) {
    let reached = async {
        while everything(journal).await[0].position < position {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), reached).await.expect("aged entries stay");
    assert_eq!(everything(journal).await[0].position, position);
}

#[tokio::test]
async fn no_position_is_used_twice_when_all_entries_are_gone() {
    let fixture = Fixture::new();
    append(&fixture.journal, entry("dev-1", 1, 1)).await;
    append(&fixture.journal, entry("dev-1", 1, 2)).await;
    fixture.journal.erase(&crate::fixture::device("dev-1")).await.unwrap();
    let fixture = fixture.reopened().await;
    assert_eq!(append(&fixture.journal, entry("dev-2", 1, 1)).await, Outcome::Committed { position: 3 });
}

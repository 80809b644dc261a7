//! The bounds of bytes and of age, and what becomes of readers there.

use vitalwire_journal::{Entry, Health, Journal, JournalLimits, Outcome, Refusal};

use crate::fixture::{Fixture, append, entry, everything, limits, path_in, wait_for_health};

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
async fn reader_that_lags_makes_the_journal_refuse_and_is_named() {
    let fixture = bounded();
    let reader = fixture.journal.reader("publisher").await.unwrap();
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
    fixture.journal.reader("gone").await.unwrap();
    let (refused, _) = append_all(&fixture.journal, 1..=2_000).await.unwrap();
    fixture.journal.forget_reader("gone").await.unwrap();
    assert_eq!(append_all(&fixture.journal, refused..=refused + 10).await, None);
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

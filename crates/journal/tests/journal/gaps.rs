//! Gaps in a sequence: on record, closed when filled, held against the acknowledgement until given up.

use crate::fixture::{Fixture, append, append_range, device, entry};
use vitalwire_journal::{BOOTS_PER_DEVICE_MAX, GapState, Journal, Outcome};

async fn gaps(journal: &Journal) -> Vec<(u64, u64, GapState)> {
    let mut gaps = journal.gaps(&device("dev-1"), 100).await.unwrap();
    gaps.sort_by_key(|gap| gap.first);
    gaps.iter().map(|gap| (gap.first, gap.last, gap.state)).collect()
}

#[tokio::test]
async fn records_a_gap_and_holds_the_acknowledgement_before_it() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=3).await;
    append(&fixture.journal, entry("dev-1", 1, 8)).await;
    let fixture = fixture.reopened().await;
    assert_eq!(gaps(&fixture.journal).await, [(4, 7, GapState::Open)]);
    assert_eq!(fixture.journal.last_sequence(&device("dev-1"), 1).await.unwrap(), Some(3));
}

#[tokio::test]
async fn closes_a_gap_that_is_filled_late_and_keeps_it_on_record() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=3).await;
    append_range(&fixture.journal, "dev-1", 8..=8).await;
    append_range(&fixture.journal, "dev-1", 4..=5).await;
    let closed_us = entry("dev-1", 1, 5).received_us;
    let half = [(4, 5, GapState::Filled { closed_us }), (6, 7, GapState::Open)];
    assert_eq!(gaps(&fixture.journal).await, half);
    let fixture = fixture.reopened().await;
    append_range(&fixture.journal, "dev-1", 6..=7).await;
    let closed_us = entry("dev-1", 1, 7).received_us;
    assert_eq!(gaps(&fixture.journal).await, [(4, 7, GapState::Filled { closed_us })]);
    assert_eq!(fixture.journal.last_sequence(&device("dev-1"), 1).await.unwrap(), Some(8));
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 5)).await, Outcome::Duplicate);
}

#[tokio::test]
async fn gap_that_the_device_gave_up_stays_on_record_and_lets_it_be_acknowledged() {
    let fixture = Fixture::new();
    append(&fixture.journal, entry("dev-1", 1, 10)).await;
    assert_eq!(fixture.journal.give_up(&device("dev-1"), 1, 7).await, Ok(Some(6)));
    assert_eq!(gaps(&fixture.journal).await, [(1, 6, GapState::GivenUp), (7, 9, GapState::Open)]);
    assert_eq!(fixture.journal.give_up(&device("dev-1"), 1, 10).await, Ok(Some(10)));
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.journal.last_sequence(&device("dev-1"), 1).await.unwrap(), Some(10));
    assert!(matches!(append(&fixture.journal, entry("dev-1", 1, 3)).await, Outcome::Committed { .. }));
    let closed_us = entry("dev-1", 1, 3).received_us;
    let expected = [
        (1, 2, GapState::GivenUp),
        (3, 3, GapState::Filled { closed_us }),
        (4, 6, GapState::GivenUp),
        (7, 9, GapState::GivenUp),
    ];
    assert_eq!(gaps(&fixture.journal).await, expected);
}

#[tokio::test]
async fn forgets_the_boot_unused_for_longest_when_there_are_too_many() {
    let fixture = Fixture::new();
    let mut receipts = Vec::new();
    for boot in 1..=u64::from(BOOTS_PER_DEVICE_MAX) + 1 {
        let mut entry = entry("dev-1", boot, 1);
        entry.received_us += i64::try_from(boot).unwrap();
        receipts.push(fixture.journal.append(entry).await);
    }
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Committed { .. }));
    }
    assert_eq!(fixture.journal.last_sequence(&device("dev-1"), 1).await.unwrap(), None);
    assert_eq!(fixture.journal.last_sequence(&device("dev-1"), 2).await.unwrap(), Some(1));
}

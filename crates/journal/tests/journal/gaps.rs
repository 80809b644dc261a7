//! Gaps in a sequence: on record, closed when filled, held against the acknowledgement until given up.

use vitalwire_journal::{
    BOOTS_PER_DEVICE_MAX, BootAccount, BootClock, GAPS_PER_BOOT_MAX, GapState, Journal, Outcome, Refusal,
};

use crate::fixture::{Fixture, append, append_range, device, entry};

/// More than there can be.
const READ: usize = 10_000;

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

#[tokio::test]
async fn a_boot_with_more_gaps_than_are_kept_goes_on_and_its_oldest_are_counted_together() {
    let fixture = Fixture::new();
    let most = u64::try_from(GAPS_PER_BOOT_MAX).unwrap();
    let id = device("dev-1");
    // As the link does it: the device sends every third number only, and each time it is clear that the others never come.
    let mut receipts = Vec::new();
    for n in 1..=most {
        receipts.push(fixture.journal.append(entry("dev-1", 1, 3 * n)).await);
    }
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Committed { .. }));
    }
    assert_eq!(fixture.journal.give_up(&id, 1, 3 * most).await, Ok(Some(3 * most)));
    for n in most + 1..=most + 100 {
        assert_eq!(fixture.journal.give_up(&id, 1, 3 * n).await, Ok(Some(3 * n - 1)));
        let outcome = append(&fixture.journal, entry("dev-1", 1, 3 * n)).await;
        assert_eq!(outcome, Outcome::Committed { position: n });
        assert_eq!(fixture.journal.last_sequence(&id, 1).await.unwrap(), Some(3 * n));
    }
    let fixture = fixture.reopened().await;
    let gaps = fixture.journal.gaps(&id, READ).await.unwrap();
    let folded: Vec<_> = gaps.iter().filter(|gap| gap.state == GapState::Folded).collect();
    assert_eq!(folded.len(), 1);
    let lost: u64 = gaps.iter().map(|gap| gap.numbers).sum();
    // One page of gaps holds all of them but one.
    assert!(lost == 2 * (most + 99), "{lost} numbers are on record as lost");
    assert_eq!((folded[0].first, folded[0].last, folded[0].numbers), (1, 299, 200));
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 3)).await, Outcome::Duplicate);
    assert_eq!(
        append(&fixture.journal, entry("dev-1", 1, 2)).await,
        Outcome::Duplicate,
        "folded: counts as held"
    );
    let late = append(&fixture.journal, entry("dev-1", 1, 305)).await;
    assert!(matches!(late, Outcome::Committed { .. }), "the newer ones are known exactly");
}

#[tokio::test]
async fn gaps_that_may_still_be_filled_are_never_folded() {
    let fixture = Fixture::new();
    let most = u64::try_from(GAPS_PER_BOOT_MAX).unwrap();
    let mut receipts = Vec::new();
    for n in 1..=most {
        receipts.push(fixture.journal.append(entry("dev-1", 1, 2 * n)).await);
    }
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Committed { .. }));
    }
    let more = append(&fixture.journal, entry("dev-1", 1, 2 * most + 2)).await;
    assert_eq!(more, Outcome::Refused(Refusal::TooManyGaps { gaps: GAPS_PER_BOOT_MAX }));
    // The device does as the acknowledgement says, and sends from the first missing number on.
    assert!(matches!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Committed { .. }));
    let more = append(&fixture.journal, entry("dev-1", 1, 2 * most + 2)).await;
    assert!(matches!(more, Outcome::Committed { .. }));
    // Or it has lost them all.
    let all = fixture.journal.give_up(&device("dev-1"), 1, 4 * most).await;
    assert_eq!(all, Ok(Some(4 * most - 1)));
}

#[tokio::test]
async fn the_clock_of_a_boot_is_kept_with_the_boot_and_erased_with_the_device() {
    let fixture = Fixture::new();
    let (id, other) = (device("dev-1"), device("dev-2"));
    let clock = |offset_us| BootClock { offset_us, uncertainty_us: 20, set_at_us: 5, mapped_us: 9 };
    fixture.journal.note_clock(&id, u64::MAX, clock(-7)).await;
    fixture.journal.note_clock(&id, u64::MAX, clock(-8)).await;
    fixture.journal.note_clock(&id, 2, clock(3)).await;
    fixture.journal.note_clock(&other, 2, clock(4)).await;
    assert_eq!(fixture.journal.boot_clock(&id, u64::MAX).await.unwrap(), Some(clock(-8)), "at once");
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.journal.boot_clock(&id, u64::MAX).await.unwrap(), Some(clock(-8)));
    assert_eq!(fixture.journal.boot_clock(&id, 2).await.unwrap(), Some(clock(3)));
    assert_eq!(fixture.journal.boot_clock(&id, 3).await.unwrap(), None);
    assert_eq!(fixture.journal.last_sequence(&id, 2).await.unwrap(), None);
    fixture.journal.note_clock(&id, 4, clock(1)).await;
    fixture.journal.erase(&id).await.unwrap();
    for boot in [u64::MAX, 2, 4] {
        assert_eq!(fixture.journal.boot_clock(&id, boot).await.unwrap(), None);
    }
    assert!(!fixture.journal.file().knows(&id).await.unwrap());
    assert_eq!(fixture.journal.boot_clock(&other, 2).await.unwrap(), Some(clock(4)));
}

#[tokio::test]
async fn each_boots_account_says_what_came_what_is_missing_and_what_the_device_was_told() {
    let fixture = Fixture::new();
    let (journal, dev) = (&fixture.journal, device("dev-1"));
    let clock = BootClock { offset_us: 1, uncertainty_us: 1, set_at_us: 0, mapped_us: 1 };
    for boot in [1, 2] {
        journal.note_clock(&dev, boot, clock).await;
    }
    append(journal, entry("dev-1", 1, 10)).await;
    journal.give_up(&dev, 1, 4).await.unwrap();
    append(journal, entry("dev-1", 2, 1)).await;
    append(journal, entry("dev-1", 3, 1)).await;
    let file = journal.file();
    let accounts = file.boots(&dev, 10).await.unwrap();
    let expected = [
        BootAccount { boot: 2, highest: 1, contiguous: 1, open: 0, given_up: 0 },
        BootAccount { boot: 1, highest: 10, contiguous: 3, open: 6, given_up: 3 },
    ];
    assert_eq!(accounts, expected, "the boot without a clock is the server's own");
    assert_eq!(file.boots(&dev, 1).await.unwrap().len(), 1);
    append_range(journal, "dev-1", 4..=9).await;
    let whole = file.boots(&dev, 10).await.unwrap();
    let of_first = whole.iter().find(|account| account.boot == 1);
    let filled = BootAccount { boot: 1, highest: 10, contiguous: 10, open: 0, given_up: 3 };
    assert_eq!(of_first, Some(&filled));
    assert_eq!(journal.last_sequence(&dev, 1).await.unwrap(), Some(10), "the ledger says the same");
    assert_eq!(file.boots(&device("no-one"), 10).await.unwrap(), []);
    let newest = file.newest(&dev).await.unwrap().unwrap();
    assert_eq!(newest.assurance, entry("dev-1", 1, 1).assurance);
    assert_eq!(file.newest(&device("no-one")).await.unwrap(), None);
    assert_eq!(file.newest_of_all().await.unwrap(), [(dev, newest)]);
}

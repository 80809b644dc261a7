//! Appending: positions, duplicates, bad entries.

use vitalwire_journal::{BODY_BYTES_MAX, Outcome, Refusal, SEQUENCE_MAX, SPAN_US_MAX};

use crate::fixture::{Fixture, append, append_range, device, entry, everything};

#[tokio::test]
async fn gives_back_what_was_appended() {
    let fixture = Fixture::new();
    let (first, second) = (entry("dev-1", u64::MAX, 1), entry("dev-2", 7, 1));
    assert_eq!(append(&fixture.journal, first.clone()).await, Outcome::Committed { position: 1 });
    assert_eq!(append(&fixture.journal, second.clone()).await, Outcome::Committed { position: 2 });
    let fixture = fixture.reopened().await;
    let stored: Vec<_> = everything(&fixture.journal).await.into_iter().map(|stored| stored.entry).collect();
    assert_eq!(stored, [first, second]);
}

#[tokio::test]
async fn drops_duplicates_within_a_commit_after_it_and_after_a_restart() {
    let fixture = Fixture::new();
    let (once, again) = (
        fixture.journal.append(entry("dev-1", 1, 1)).await,
        fixture.journal.append(entry("dev-1", 1, 1)).await,
    );
    assert_eq!((once.await, again.await), (Outcome::Committed { position: 1 }, Outcome::Duplicate));
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Duplicate);
    let fixture = fixture.reopened().await;
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Duplicate);
    assert_eq!(fixture.journal.stats().duplicates, 1);
    assert_eq!(everything(&fixture.journal).await.len(), 1);
}

#[tokio::test]
async fn same_sequence_of_another_boot_or_device_is_no_duplicate() {
    let fixture = Fixture::new();
    for (position, (name, boot)) in [("dev-1", 1), ("dev-1", 2), ("dev-2", 1)].into_iter().enumerate() {
        let position = position as u64 + 1;
        assert_eq!(append(&fixture.journal, entry(name, boot, 1)).await, Outcome::Committed { position });
    }
}

#[tokio::test]
async fn knows_the_last_sequence_of_each_boot() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=30).await;
    append(&fixture.journal, entry("dev-1", 2, 1)).await;
    let fixture = fixture.reopened().await;
    let last = |name, boot| {
        let journal = fixture.journal.clone();
        async move { journal.last_sequence(&device(name), boot).await.unwrap() }
    };
    assert_eq!((last("dev-1", 1).await, last("dev-1", 2).await), (Some(30), Some(1)));
    assert_eq!((last("dev-1", 3).await, last("dev-2", 1).await), (None, None));
}

#[tokio::test]
async fn refuses_what_cannot_be_kept() {
    let fixture = Fixture::new();
    let mut long = entry("dev-1", 1, 1);
    long.body = vec![0; BODY_BYTES_MAX + 1].into();
    let refused = append(&fixture.journal, long).await;
    assert_eq!(refused, Outcome::Refused(Refusal::BodyTooLong { len: BODY_BYTES_MAX + 1 }));
    let mut wide = entry("dev-1", 1, 1);
    wide.span_us = SPAN_US_MAX + 1;
    let refused = append(&fixture.journal, wide).await;
    assert_eq!(refused, Outcome::Refused(Refusal::SpanTooLong { span_us: SPAN_US_MAX + 1 }));
    for sequence in [0, SEQUENCE_MAX + 1] {
        let refused = append(&fixture.journal, entry("dev-1", 1, sequence)).await;
        assert_eq!(refused, Outcome::Refused(Refusal::SequenceOutOfRange { sequence }));
    }
    assert!(matches!(
        append(&fixture.journal, entry("dev-1", 1, SEQUENCE_MAX)).await,
        Outcome::Committed { .. }
    ));
}

#[tokio::test]
async fn commits_together_what_comes_together() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=500).await;
    let stats = fixture.journal.stats();
    assert_eq!(stats.committed, 500);
    assert!(stats.commits < 250, "{} commits for 500 entries", stats.commits);
    let positions: Vec<u64> =
        everything(&fixture.journal).await.iter().map(|stored| stored.position).collect();
    assert_eq!(positions, (1..=500).collect::<Vec<_>>());
}

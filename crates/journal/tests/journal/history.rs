//! History by device and time.

use vitalwire_journal::{HistoryCursor, HistoryFile, HistoryQuery, Journal, JournalError};

use crate::fixture::{Fixture, T0_US, append, append_range, device, entry, path_in};

async fn sequences(journal: &Journal, from_s: i64, to_s: i64) -> Vec<u64> {
    let query = HistoryQuery {
        device: device("dev-1"),
        from_us: T0_US + from_s * 1_000_000,
        to_us: T0_US + to_s * 1_000_000,
        limit: 1_000,
        after: None,
    };
    journal.history(query).await.unwrap().iter().map(|stored| stored.entry.sequence).collect()
}

#[tokio::test]
async fn gives_the_range_by_time_with_the_entry_that_reaches_into_it() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=20).await;
    append_range(&fixture.journal, "dev-2", 1..=20).await;
    assert_eq!(sequences(&fixture.journal, 5, 8).await, [5, 6, 7]);
    let query = HistoryQuery {
        device: device("dev-1"),
        from_us: T0_US + 5_500_000,
        to_us: T0_US + 7_000_000,
        limit: 10,
        after: None,
    };
    let found = fixture.journal.history(query).await.unwrap();
    assert_eq!(found.iter().map(|stored| stored.entry.sequence).collect::<Vec<_>>(), [5, 6]);
    assert!(sequences(&fixture.journal, 30, 40).await.is_empty());
}

#[tokio::test]
async fn puts_what_came_late_where_it_was_measured() {
    let fixture = Fixture::new();
    for sequence in [1, 2, 5, 3, 4] {
        append(&fixture.journal, entry("dev-1", 1, sequence)).await;
    }
    assert_eq!(sequences(&fixture.journal, 0, 10).await, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn pages_through_entries_of_one_moment_without_loss() {
    let fixture = Fixture::new();
    for sequence in 1..=25 {
        let mut entry = entry("dev-1", 1, sequence);
        entry.first_us = T0_US + i64::try_from(sequence / 10).unwrap();
        append(&fixture.journal, entry).await;
    }
    let mut query =
        HistoryQuery { device: device("dev-1"), from_us: T0_US, to_us: T0_US + 1_000, limit: 4, after: None };
    let mut found = Vec::new();
    loop {
        let page = fixture.journal.history(query.clone()).await.unwrap();
        let Some(last) = page.last() else { break };
        query.after = Some(HistoryCursor::after(last));
        found.extend(page.iter().map(|stored| stored.entry.sequence));
    }
    assert_eq!(found, (1..=25).collect::<Vec<_>>());
}

#[test]
fn is_found_through_the_index() {
    let fixture = Fixture::new();
    let file = rusqlite::Connection::open(crate::fixture::path_in(fixture.folder.path())).unwrap();
    let plan: String = file
        .query_row(
            "EXPLAIN QUERY PLAN SELECT * FROM entries WHERE device = 1 AND first_us >= 5 AND first_us < 9
             ORDER BY first_us, position",
            [],
            |row| row.get("detail"),
        )
        .unwrap();
    assert!(plan.contains("entries_by_time"), "{plan}");
}

#[tokio::test]
async fn a_file_is_read_while_it_is_written_and_only_a_journal_is() {
    let fixture = Fixture::new();
    let path = path_in(fixture.folder.path());
    let file = HistoryFile::open(&path).unwrap();
    append_range(&fixture.journal, "dev-1", 1..=3).await;
    let all =
        HistoryQuery { device: device("dev-1"), from_us: i64::MIN, to_us: i64::MAX, limit: 10, after: None };
    assert_eq!(file.history(all).await.unwrap().len(), 3);
    let other = path.with_file_name("other.db");
    std::fs::write(&other, "no database at all, and longer than a header: ".repeat(20)).unwrap();
    assert!(matches!(HistoryFile::open(&other), Err(JournalError::NotAJournal { .. })));
    assert!(matches!(HistoryFile::open(&path.with_file_name("absent.db")), Err(JournalError::File { .. })));
}

#[tokio::test]
async fn knows_of_which_devices_something_came_lately() {
    let fixture = Fixture::new();
    let path = path_in(fixture.folder.path());
    assert!(fixture.journal.file().last_heard(u64::MAX).await.unwrap().is_empty());
    append_range(&fixture.journal, "dev-1", 1..=40).await;
    append_range(&fixture.journal, "dev-2", 1..=100).await;
    // These two share a commit; the second is erased.
    let shared =
        [fixture.journal.append(entry("dev-3", 1, 1)), fixture.journal.append(entry("dev-4", 1, 100))];
    for receipt in shared {
        receipt.await.await;
    }
    fixture.journal.erase(&device("dev-4")).await.unwrap();
    fixture.journal.close().await;
    // By the times of the entries, one a second, as in a journal of version 1.
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.execute("UPDATE entries SET kept_us = NULL", []).unwrap();
    connection
        .execute("UPDATE entries SET received_us = ?1 WHERE position > 140", [T0_US + 100_050_000])
        .unwrap();
    let file = HistoryFile::open(&path).unwrap();
    let heard = async |within_us| {
        let mut heard: Vec<_> = file.last_heard(within_us).await.unwrap();
        heard.sort_unstable();
        heard.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(heard(60_000_000).await, ["dev-1", "dev-2", "dev-3"]);
    assert_eq!(heard(59_999_999).await, ["dev-2", "dev-3"]);
    assert_eq!(heard(0).await, ["dev-2", "dev-3"]);
}

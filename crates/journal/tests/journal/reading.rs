//! Readers: order, waiting, positions of their own.

use std::time::Duration;

use vitalwire_journal::{JournalError, READERS_MAX};

use crate::fixture::{Fixture, PATIENCE, append, append_range, entry};

#[tokio::test]
async fn reads_in_order_and_only_what_is_asked_for() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=10).await;
    let reader = fixture.journal.reader("publisher").await.unwrap();
    let page: Vec<u64> = reader.read(3, 4).await.unwrap().iter().map(|stored| stored.position).collect();
    assert_eq!(page, [4, 5, 6, 7]);
    assert!(reader.read(10, 4).await.unwrap().is_empty());
}

#[tokio::test]
async fn positions_have_the_holes_that_removed_entries_left() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=2).await;
    append_range(&fixture.journal, "gone", 1..=3).await;
    append_range(&fixture.journal, "dev-1", 3..=4).await;
    fixture.journal.erase(&"gone".parse().unwrap()).await.unwrap();
    let reader = fixture.journal.reader("publisher").await.unwrap();
    assert_eq!(reader.positions(0, 100).await.unwrap(), [1, 2, 6, 7]);
    assert_eq!(reader.positions(1, 2).await.unwrap(), [2, 6]);
    assert!(reader.positions(7, 100).await.unwrap().is_empty());
}

#[tokio::test]
async fn waiting_reader_wakes_when_the_entry_is_there() {
    let fixture = Fixture::new();
    let reader = fixture.journal.reader("live").await.unwrap();
    let waiting = {
        let reader = reader.clone();
        tokio::spawn(async move {
            reader.wait_past(0).await.unwrap();
            reader.read(0, 10).await.unwrap()
        })
    };
    append(&fixture.journal, entry("dev-1", 1, 1)).await;
    assert_eq!(waiting.await.unwrap()[0].entry, entry("dev-1", 1, 1));
}

#[tokio::test]
async fn reads_across_holes_between_positions_and_past_a_hole_at_the_end() {
    let fixture = Fixture::new();
    // Every third entry is of a device that is erased, the last one too.
    for sequence in 1..=30 {
        let name = if sequence % 3 == 0 { "gone" } else { "dev-1" };
        append(&fixture.journal, entry(name, 1, sequence)).await;
    }
    let reader = fixture.journal.reader("publisher").await.unwrap();
    fixture.journal.erase(&crate::fixture::device("gone")).await.unwrap();
    let fixture = fixture.reopened().await;
    let (mut at, mut seen) = (0, Vec::new());
    assert_eq!(reader.position(), 0);
    let reader = fixture.journal.reader("publisher").await.unwrap();
    let head = reader.wait_past(at).await.unwrap();
    assert_eq!(head, 30, "a position is counted though its entry is gone");
    while let Some(last) = reader.read(at, 4).await.unwrap().last().map(|stored| stored.position) {
        seen.extend(reader.read(at, 4).await.unwrap().iter().map(|stored| stored.position));
        at = last;
        reader.advance(at);
    }
    assert_eq!(seen, (1..=30).filter(|position| position % 3 != 0).collect::<Vec<_>>());
    assert_eq!((at, reader.lag().entries_max), (29, 1), "at most one is unread: the hole at the end");
    append(&fixture.journal, entry("dev-1", 1, 31)).await;
    assert_eq!(reader.wait_past(head).await.unwrap(), 31);
    assert_eq!(reader.read(at, 4).await.unwrap().len(), 1);
}

#[tokio::test]
async fn goes_on_where_it_stopped() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=10).await;
    let reader = fixture.journal.reader("publisher").await.unwrap();
    reader.advance(6);
    reader.advance(4);
    assert_eq!((reader.position(), reader.lag().entries_max), (6, 4));
    reader.advance(99);
    assert_eq!(reader.position(), 10, "never ahead of what is there");
    let fixture = fixture.reopened().await;
    let reader = fixture.journal.reader("publisher").await.unwrap();
    assert_eq!((reader.position(), reader.lag().entries_max), (10, 0));
}

#[tokio::test]
async fn position_reaches_the_disk_by_itself() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=5).await;
    let reader = fixture.journal.reader("publisher").await.unwrap();
    reader.advance(5);
    let file = rusqlite::Connection::open(crate::fixture::path_in(fixture.folder.path())).unwrap();
    let written = async {
        loop {
            let position: i64 = file
                .query_row("SELECT position FROM readers WHERE name = 'publisher'", [], |row| row.get(0))
                .unwrap();
            if position == 5 {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the position is not written");
}

#[tokio::test]
async fn refuses_one_reader_too_many() {
    let fixture = Fixture::new();
    for n in 0..READERS_MAX {
        fixture.journal.reader(&format!("r{n}")).await.unwrap();
    }
    let more = fixture.journal.reader("more").await;
    assert!(matches!(more, Err(JournalError::TooManyReaders)));
    fixture.journal.forget_reader("r0").await.unwrap();
    fixture.journal.reader("more").await.unwrap();
    let none = fixture.journal.forget_reader("r0").await;
    assert!(matches!(none, Err(JournalError::ReaderUnknown { .. })));
}

//! Erasing a device: the files are searched byte by byte.

use std::path::Path;

use rand::{RngExt, SeedableRng};
use vitalwire_journal::{HistoryQuery, JournalLimits, Outcome};

use crate::fixture::{Fixture, append, append_range, body, device, entry, everything};

/// How often the bytes occur in the files of the folder.
fn occurrences(folder: &Path, wanted: &[u8]) -> usize {
    let files = std::fs::read_dir(folder).unwrap().map(|file| std::fs::read(file.unwrap().path()).unwrap());
    files.map(|bytes| bytes.windows(wanted.len()).filter(|window| *window == wanted).count()).sum()
}

#[tokio::test]
async fn leaves_no_byte_of_the_device_in_any_file() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "kept", 1..=300).await;
    append_range(&fixture.journal, "secret-patient", 1..=300).await;
    append(&fixture.journal, entry("secret-patient", 2, 9)).await;
    assert!(occurrences(fixture.folder.path(), b"secret-patient") > 300, "the search finds what is there");
    let erased = fixture.journal.erase(&device("secret-patient")).await.unwrap();
    assert_eq!(erased.entries, 301);
    assert_eq!(occurrences(fixture.folder.path(), b"secret-patient"), 0);
    let query = HistoryQuery {
        device: device("secret-patient"),
        from_us: 0,
        to_us: i64::MAX,
        limit: 10,
        after: None,
    };
    assert!(fixture.journal.history(query).await.unwrap().is_empty());
    assert!(fixture.journal.gaps(&device("secret-patient"), 10).await.unwrap().is_empty());
    assert_eq!(fixture.journal.last_sequence(&device("secret-patient"), 1).await.unwrap(), None);
    let kept = everything(&fixture.journal).await;
    assert_eq!(kept.len(), 300);
    assert!(kept.iter().all(|stored| stored.entry.body == body("kept", 1, stored.entry.sequence)));
}

/// Rows that moved between pages leave copies behind: entries of random length, late ones, removals in between.
#[tokio::test]
async fn leaves_no_byte_after_a_long_and_disorderly_life() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let fixture = Fixture::with(JournalLimits { bytes_max: 2 << 20, ..crate::fixture::limits() });
    let names = ["kept-1", "secret-patient", "kept-2"];
    let mut receipts = Vec::new();
    for n in 1..=3_000_u64 {
        let name = names[random.random_range(0..names.len())];
        let mut next = entry(name, n % 3, n);
        next.first_us -= random.random_range(0..1_000_000_000);
        next.body = body(name, 1, n).repeat(random.random_range(1..40)).into();
        receipts.push(fixture.journal.append(next).await);
    }
    for receipt in receipts {
        assert!(matches!(receipt.await, Outcome::Committed { .. }));
    }
    fixture.journal.erase(&device("secret-patient")).await.unwrap();
    assert_eq!(occurrences(fixture.folder.path(), b"secret-patient"), 0);
    assert!(everything(&fixture.journal).await.len() > 100);
}

#[tokio::test]
async fn erased_device_begins_again() {
    let fixture = Fixture::new();
    append_range(&fixture.journal, "dev-1", 1..=3).await;
    fixture.journal.erase(&device("dev-1")).await.unwrap();
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Committed { position: 4 });
    let unknown = fixture.journal.erase(&device("never-seen")).await.unwrap();
    assert_eq!(unknown.entries, 0);
}

//! Sums: each was made of just the entries that are there, whatever came and went meanwhile. What they hold here is the positions of those
//! entries.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use vitalwire_access::DeviceId;
use vitalwire_journal::{
    Entry, HistoryQuery, Journal, JournalLimits, Length, Stored, Stretch, SumsPage, SumsQuery,
};

use crate::fixture::{Fixture, T0_US, append, device, entry, limits, path_in};

const MINUTE_US: i64 = 60_000_000;
/// Of the first entry that `at` makes.
const FIRST: i64 = T0_US / MINUTE_US;

/// An entry of a device so many seconds after the beginning of a minute.
fn at(name: &str, sequence: u64, second: i64) -> Entry {
    let first_us = FIRST * MINUTE_US + second * 1_000_000;
    Entry { first_us, received_us: first_us, ..entry(name, 1, sequence) }
}

async fn sums(journal: &Journal, name: &str, length: Length) -> SumsPage {
    let query = SumsQuery { device: device(name), length, from: i64::MIN, to: i64::MAX };
    journal.file().sums(query).await.unwrap()
}

async fn minutes(journal: &Journal, name: &str) -> (Vec<i64>, Vec<i64>) {
    let SumsPage { made, unmade, .. } = sums(journal, name, Length::Minute).await;
    (
        made.iter().map(|(number, _)| number - FIRST).collect(),
        unmade.iter().map(|number| number - FIRST).collect(),
    )
}

async fn entries(journal: &Journal, device: &DeviceId, from_us: i64, to_us: i64) -> Vec<Stored> {
    let query = HistoryQuery { device: device.clone(), from_us, to_us, limit: 4_096, after: None };
    journal.history(query).await.unwrap()
}

/// What is to be kept of a stretch.
async fn made_of(journal: &Journal, stretch: &Stretch) -> Bytes {
    let from_us = stretch.number * stretch.length.us();
    let found = entries(journal, &stretch.device, from_us, from_us + stretch.length.us()).await;
    found.iter().flat_map(|stored| stored.position.to_le_bytes()).collect::<Vec<_>>().into()
}

async fn make_all(journal: &Journal) {
    loop {
        let taken = journal.take_unmade(None, 100).await.unwrap();
        if taken.is_empty() {
            return;
        }
        let mut made = Vec::new();
        for stretch in taken {
            let body = made_of(journal, &stretch).await;
            made.push((stretch, body));
        }
        journal.keep_sums(made).await.unwrap();
    }
}

#[tokio::test]
async fn a_minute_is_to_be_made_once_an_entry_reaches_into_it_and_again_when_one_comes_late() {
    let fixture = Fixture::new();
    append(&fixture.journal, at("dev-1", 1, 0)).await;
    append(&fixture.journal, Entry { span_us: 60_000_000, ..at("dev-1", 2, 130) }).await;
    append(&fixture.journal, at("dev-2", 1, 0)).await;
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![], vec![0, 2, 3]));
    make_all(&fixture.journal).await;
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![0, 2, 3], vec![]));
    let hours = sums(&fixture.journal, "dev-1", Length::Hour).await;
    assert_eq!(hours.made.iter().map(|(_, body)| body.len()).collect::<Vec<_>>(), [16]);
    append(&fixture.journal, at("dev-1", 3, 125)).await;
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![0, 3], vec![2]));
    assert!(sums(&fixture.journal, "dev-1", Length::Hour).await.made.is_empty());
    assert_eq!(minutes(&fixture.journal, "dev-2").await, (vec![0], vec![]));
    let fixture = fixture.reopened().await;
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![0, 3], vec![2]));
}

#[tokio::test]
async fn what_was_made_without_an_entry_that_came_meanwhile_is_not_kept() {
    let fixture = Fixture::new();
    append(&fixture.journal, at("dev-1", 1, 0)).await;
    append(&fixture.journal, at("dev-1", 2, 60)).await;
    let taken = fixture.journal.take_unmade(None, 100).await.unwrap();
    assert_eq!(taken.len(), 2, "no hour whose minutes are not made");
    append(&fixture.journal, at("dev-1", 3, 1)).await;
    let made = taken.iter().map(|stretch| (stretch.clone(), Bytes::from_static(b"old"))).collect();
    fixture.journal.keep_sums(made).await.unwrap();
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![1], vec![0]));
    // Nothing is kept that was not asked for, either.
    let other = Stretch { number: FIRST + 7, ..taken[0].clone() };
    fixture.journal.keep_sums(vec![(other, Bytes::from_static(b"x"))]).await.unwrap();
    assert_eq!(minutes(&fixture.journal, "dev-1").await, (vec![1], vec![0]));
}

#[tokio::test]
async fn what_is_not_over_is_not_to_be_made_yet() {
    let fixture = Fixture::new();
    append(&fixture.journal, at("dev-1", 1, 0)).await;
    let settle = Some(Duration::from_secs(3_600));
    assert!(fixture.journal.take_unmade(settle, 100).await.unwrap().is_empty());
    // After a start it is not known how long it has been so.
    let fixture = fixture.reopened().await;
    assert_eq!(fixture.journal.take_unmade(settle, 100).await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_stretch_without_entries_has_no_sum() {
    let fixture = Fixture::with(JournalLimits { bytes_max: 2 << 20, ..limits() });
    for sequence in 1..=600_u32 {
        let body = vec![0; 20_000].into();
        append(
            &fixture.journal,
            Entry { body, ..at("dev-1", u64::from(sequence), i64::from(sequence) * 10) },
        )
        .await;
    }
    make_all(&fixture.journal).await;
    let (made, unmade) = minutes(&fixture.journal, "dev-1").await;
    let oldest = entries(&fixture.journal, &device("dev-1"), i64::MIN, i64::MAX).await[0].entry.first_us;
    assert_eq!((made[0], made.last()), (oldest / MINUTE_US - FIRST, Some(&100)), "what is gone is not told");
    assert!(unmade.is_empty());
}

#[tokio::test]
async fn an_erased_device_leaves_no_sum() {
    let fixture = Fixture::new();
    append(&fixture.journal, at("dev-1", 1, 0)).await;
    append(&fixture.journal, at("dev-2", 1, 0)).await;
    for stretch in fixture.journal.take_unmade(None, 100).await.unwrap() {
        let body = format!("<sum of {}>", stretch.device).repeat(40).into();
        fixture.journal.keep_sums(vec![(stretch, body)]).await.unwrap();
    }
    fixture.journal.erase(&device("dev-1")).await.unwrap();
    for (name, there) in [("dev-1", false), ("dev-2", true)] {
        let page = sums(&fixture.journal, name, Length::Minute).await;
        assert_eq!((page.made.len(), page.unmade.len()), (usize::from(there), 0));
        let wanted = format!("<sum of {name}>").into_bytes();
        let files = std::fs::read_dir(fixture.folder.path()).unwrap();
        let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
        assert_eq!(
            bytes.any(|bytes| bytes.windows(wanted.len()).any(|window| window == wanted)),
            there,
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_page_ends_where_it_is_full_and_the_next_goes_on_there() {
    let fixture = Fixture::new();
    for sequence in 1..=5_000_u32 {
        append_later(&fixture.journal, at("dev-1", u64::from(sequence), i64::from(sequence) * 60)).await;
    }
    append(&fixture.journal, at("dev-1", 5_001, 0)).await;
    make_all(&fixture.journal).await;
    append(&fixture.journal, at("dev-1", 5_002, 4_500 * 60)).await;
    let mut query =
        SumsQuery { device: device("dev-1"), length: Length::Minute, from: i64::MIN, to: i64::MAX };
    let (mut made, mut unmade, mut pages) = (Vec::new(), Vec::new(), 0);
    while query.from < query.to {
        let page = fixture.journal.file().sums(query.clone()).await.unwrap();
        made.extend(page.made.iter().map(|(number, _)| number - FIRST));
        unmade.extend(page.unmade.iter().map(|number| number - FIRST));
        query.from = page.upto;
        pages += 1;
    }
    assert_eq!((pages, unmade), (2, vec![4_500]));
    assert_eq!(made, (0..=5_000).filter(|number| *number != 4_500).collect::<Vec<_>>());
}

/// Without waiting for the commit.
async fn append_later(journal: &Journal, entry: Entry) {
    drop(journal.append(entry).await);
}

#[tokio::test]
async fn a_journal_of_before_has_all_its_sums_to_be_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path());
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    old.execute_batch(include_str!("version_1.sql")).unwrap();
    old.execute_batch(
        "INSERT INTO entries VALUES (6, 1, 1, 9, 0, -1, 0, 0, 1, 1, x'09');
         INSERT INTO entries VALUES (7, 1, 1, 10, 0, -60000000, 0, 0, 1, 1, x'0a');",
    )
    .unwrap();
    drop(old);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let journal = Journal::open(&path, &limits()).unwrap();
    let first = 1_795_000_001_000_000 / MINUTE_US;
    let unmade = sums(&journal, "dev-1", Length::Minute).await.unmade;
    assert_eq!(unmade, [-1, 0, first, first + 1], "an entry may reach into the minute after it");
    let hours = sums(&journal, "dev-1", Length::Hour).await.unmade;
    assert_eq!(hours, [-1, 0, first / 60]);
    make_all(&journal).await;
    let page = sums(&journal, "dev-1", Length::Minute).await;
    assert_eq!(page.made.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [-1, first]);
    journal.close().await;
}

/// What comes in any order, goes by size, is made in between and after a start: each sum tells of the entries that are there, and
/// no entry is without a sum that is not to be made.
#[tokio::test]
async fn every_sum_is_of_the_entries_that_are_there() {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let mut fixture = Fixture::with(JournalLimits { bytes_max: 1 << 20, ..limits() });
    let names = ["dev-1", "dev-2"];
    let mut sequence = 0;
    let mut taken: Vec<(Stretch, Bytes)> = Vec::new();
    for _ in 0..3_000 {
        match random.random_range(0..40) {
            0 => {
                taken.clear();
                let limit = random.random_range(1..40);
                for stretch in fixture.journal.take_unmade(None, limit).await.unwrap() {
                    let body = made_of(&fixture.journal, &stretch).await;
                    taken.push((stretch, body));
                }
            }
            1 => fixture.journal.keep_sums(std::mem::take(&mut taken)).await.unwrap(),
            2 if random.random_bool(0.2) => fixture = fixture.reopened().await,
            3 if random.random_bool(0.2) => drop(fixture.journal.erase(&device(names[1])).await.unwrap()),
            _ => {
                sequence += 1;
                let second = random.random_range(-4_000..8_000);
                let span_us = random.random_range(0..=60_000_000);
                let body = vec![0; random.random_range(1..4_000)].into();
                let name = names[random.random_range(0..names.len())];
                append_later(&fixture.journal, Entry { span_us, body, ..at(name, sequence, second) }).await;
            }
        }
    }
    make_some_and_check(&fixture.journal, &names).await;
}

async fn make_some_and_check(journal: &Journal, names: &[&str]) {
    for round in 0..2 {
        for (name, length) in names.iter().flat_map(|name| [(name, Length::Minute), (name, Length::Hour)]) {
            let page = sums(journal, name, length).await;
            for (number, body) in &page.made {
                let stretch = Stretch { device: device(name), length, number: *number };
                assert_eq!(*body, made_of(journal, &stretch).await, "{stretch:?}");
            }
            let told: BTreeSet<i64> =
                page.made.iter().map(|(number, _)| *number).chain(page.unmade).collect();
            for stored in entries(journal, &device(name), i64::MIN, i64::MAX).await {
                let Entry { first_us, span_us, .. } = stored.entry;
                let last_us = first_us.saturating_add_unsigned(span_us);
                let reached = length.at(first_us)..=length.at(last_us);
                assert!(
                    reached.into_iter().all(|number| told.contains(&number)),
                    "{name} {first_us} {span_us}"
                );
            }
        }
        if round == 0 {
            make_all(journal).await;
        }
    }
}

//! A full disk: entries are refused, the process lives, and it goes on when there is room.

use std::io::Write;
use std::path::Path;

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;
use vitalwire_journal::{Entry, Health, Journal, JournalError, Outcome, Refusal};

use crate::fixture::{
    Fixture, append, append_range, device, entry, everything, limits, path_in, wait_for_health,
};

const DISK: &std::ffi::CStr = c"size=4m,mode=0700";

/// A file system in memory of 4 MiB; only root can mount one.
struct TinyDisk(TempDir);

impl TinyDisk {
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        match mount("none", folder.path(), "tmpfs", MountFlags::empty(), DISK) {
            Ok(()) => Some(Self(folder)),
            Err(error) => {
                eprintln!(
                    "SKIPPED: no small disk can be mounted here ({error}); run as root to test a full one"
                );
                None
            }
        }
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = unmount(self.0.path(), UnmountFlags::DETACH);
    }
}

fn fill(path: &Path) {
    let mut ballast = std::fs::File::create(path).unwrap();
    while ballast.write(&[0; 1_024]).is_ok_and(|written| written > 0) {}
}

fn large(sequence: u64) -> Entry {
    Entry { body: vec![7; 8_000].into(), ..entry("dev-1", 1, sequence) }
}

async fn append_until_refused(journal: &Journal, mut sequence: u64) -> (u64, Refusal) {
    loop {
        match append(journal, large(sequence)).await {
            Outcome::Committed { .. } => sequence += 1,
            Outcome::Duplicate => panic!("{sequence} is no duplicate"),
            Outcome::Refused(refusal) => return (sequence, refusal),
        }
    }
}

#[tokio::test]
async fn full_disk_refuses_and_recovers_by_itself() {
    let Some(disk) = TinyDisk::mount() else { return };
    let journal = Journal::open(&path_in(disk.0.path()), &limits()).unwrap();
    append_range(&journal, "dev-1", 1..=5).await;
    let ballast = disk.0.path().join("ballast");
    let mut next = 6;
    for _ in 0..3 {
        fill(&ballast);
        let (refused, refusal) = append_until_refused(&journal, next).await;
        assert_eq!(refusal, Refusal::DiskFull);
        wait_for_health(&journal, |health| matches!(health, Health::Full { held_by: None, .. })).await;
        assert_eq!(append(&journal, large(refused)).await, Outcome::Refused(Refusal::DiskFull));
        assert_eq!(everything(&journal).await.len() as u64, refused - 1, "what was committed can be read");
        std::fs::remove_file(&ballast).unwrap();
        wait_for_health(&journal, |health| *health == Health::Ok).await;
        assert!(matches!(append(&journal, large(refused)).await, Outcome::Committed { .. }));
        next = refused + 1;
    }
    let stored: Vec<u64> = everything(&journal).await.iter().map(|stored| stored.entry.sequence).collect();
    assert_eq!(stored, (1..next).collect::<Vec<_>>());
    journal.close().await;
}

#[tokio::test]
async fn a_journal_begins_on_a_full_disk_takes_nothing_and_goes_on_when_there_is_room() {
    let Some(disk) = TinyDisk::mount() else { return };
    let ballast = disk.0.path().join("ballast");
    // The first time there is no file yet, later there are files, with and without a log that was left.
    let mut next = 1;
    for ending in ["none", "closed", "closed", "dropped"] {
        fill(&ballast);
        let journal = Journal::open(&path_in(disk.0.path()), &limits()).unwrap();
        let full = |health: &Health| matches!(health, Health::Full { held_by: None, .. });
        wait_for_health(&journal, full).await;
        let refused = append(&journal, entry("dev-1", 1, next)).await;
        assert_eq!(refused, Outcome::Refused(Refusal::DiskFull), "{ending}");
        let last = journal.last_sequence(&device("dev-1"), 1).await.unwrap();
        assert!(last.is_none_or(|last| last < next), "{last:?} is acknowledged, {ending}");
        let second = Journal::open(&path_in(disk.0.path()), &limits());
        assert!(
            matches!(second, Err(JournalError::InUse { .. })),
            "a second one waits beside it: {second:?}"
        );
        std::fs::remove_file(&ballast).unwrap();
        wait_for_health(&journal, |health| *health == Health::Ok).await;
        append_range(&journal, "dev-1", next..=next + 4).await;
        next += 5;
        let reader = journal.reader("publisher").await.unwrap();
        reader.advance(journal.head());
        assert_eq!(journal.head(), next - 1, "what was there before is still there");
        if ending == "dropped" {
            drop((journal, reader));
        } else {
            journal.close().await;
        }
    }
}

#[tokio::test]
async fn what_is_no_journal_is_an_error_on_a_full_disk_too() {
    let Some(disk) = TinyDisk::mount() else { return };
    std::fs::write(path_in(disk.0.path()), "no database at all, and longer than a header: ".repeat(20))
        .unwrap();
    std::fs::set_permissions(path_in(disk.0.path()), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    fill(&disk.0.path().join("ballast"));
    let error = Journal::open(&path_in(disk.0.path()), &limits()).unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
}

#[tokio::test]
async fn refused_entry_is_taken_when_sent_again() {
    let fixture = Fixture::new();
    let bad = Entry { body: vec![0; 70_000].into(), ..entry("dev-1", 1, 1) };
    assert!(matches!(append(&fixture.journal, bad).await, Outcome::Refused(_)));
    assert!(matches!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Committed { .. }));
}

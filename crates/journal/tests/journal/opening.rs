//! Opening: who may, and what is refused.

use std::os::unix::fs::PermissionsExt;

use vitalwire_journal::{BYTES_MIN, Journal, JournalError, JournalLimits, Outcome, Refusal};

use crate::fixture::{Fixture, append, entry, limits, path_in};

#[tokio::test]
async fn refuses_second_writer() {
    let fixture = Fixture::new();
    let second = Journal::open(&path_in(fixture.folder.path()), &limits());
    assert!(matches!(second, Err(JournalError::InUse { .. })));
    fixture.reopened().await;
}

#[tokio::test]
async fn closes_the_file_to_others_and_refuses_an_open_one() {
    let fixture = Fixture::new();
    append(&fixture.journal, entry("dev-1", 1, 1)).await;
    for file in std::fs::read_dir(fixture.folder.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0);
    }
    let Fixture { folder, journal, .. } = fixture;
    journal.close().await;
    std::fs::set_permissions(path_in(folder.path()), std::fs::Permissions::from_mode(0o644)).unwrap();
    let error = Journal::open(&path_in(folder.path()), &limits()).unwrap_err();
    assert!(error.to_string().contains("chmod 600"), "{error}");
}

#[test]
fn refuses_what_is_no_journal() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(path_in(folder.path()), "no database at all. ".repeat(10)).unwrap();
    std::fs::set_permissions(path_in(folder.path()), std::fs::Permissions::from_mode(0o600)).unwrap();
    let error = Journal::open(&path_in(folder.path()), &limits()).unwrap_err();
    assert!(matches!(error, JournalError::NotAJournal { .. }), "{error}");
}

#[test]
fn refuses_database_of_another_program_and_of_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path());
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(matches!(Journal::open(&path, &limits()), Err(JournalError::NotAJournal { .. })));
    other.execute_batch("PRAGMA application_id = 0x56574a31; PRAGMA user_version = 99").unwrap();
    let newer = Journal::open(&path, &limits());
    assert!(matches!(newer, Err(JournalError::FutureSchema { found: 99, .. })));
}

#[test]
fn refuses_bound_too_small() {
    let folder = tempfile::tempdir().unwrap();
    let tiny = JournalLimits { bytes_max: BYTES_MIN - 1, ..limits() };
    assert!(matches!(Journal::open(&path_in(folder.path()), &tiny), Err(JournalError::TooSmall { .. })));
}

#[tokio::test]
async fn closed_journal_refuses_and_has_kept_what_was_queued() {
    let fixture = Fixture::new();
    let other = fixture.journal.clone();
    let receipt = other.append(entry("dev-1", 1, 1)).await;
    let fixture = fixture.reopened().await;
    assert!(matches!(receipt.await, Outcome::Committed { .. }));
    assert_eq!(append(&other, entry("dev-1", 1, 2)).await, Outcome::Refused(Refusal::Closed));
    assert_eq!(append(&fixture.journal, entry("dev-1", 1, 1)).await, Outcome::Duplicate);
}

//! Making and opening a registry, and everything that must be refused there.

use std::fs;

use vitalwire_registry::{DATABASE_FILE, MasterKey, Registry, RegistryError};

use crate::fixture::{Fixture, id, mode, set_mode};

#[test]
fn folder_and_files_are_private_also_the_wal() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    assert_eq!(mode(&fixture.data()), 0o700);
    let files: Vec<_> = fs::read_dir(fixture.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(files.len() >= 3, "no WAL? {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

#[test]
fn creating_again_changes_nothing_and_says_so() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let error = Registry::create(&fixture.data(), &MasterKey::generate().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::Exists { .. }), "{error}");
    assert_eq!(fixture.reopen().devices().unwrap().len(), 1);
}

#[test]
fn a_creation_cut_off_at_its_start_can_be_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::generate().unwrap();
    let database = folder.path().join(DATABASE_FILE);
    set_mode(folder.path(), 0o700);
    fs::write(&database, b"").unwrap();
    set_mode(&database, 0o600);
    assert!(matches!(Registry::open(folder.path(), &master), Err(RegistryError::Absent { .. })));
    Registry::create(folder.path(), &master).unwrap();
    assert!(Registry::open(folder.path(), &master).is_ok());
}

#[test]
fn an_absent_registry_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let error = Registry::open(folder.path(), &MasterKey::generate().unwrap()).unwrap_err();
    assert!(error.to_string().contains("vitalwire init"), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "opening must make nothing");
}

#[test]
fn refuses_the_wrong_master_key() {
    let fixture = Fixture::new();
    let error = Registry::open(&fixture.data(), &MasterKey::generate().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::WrongMasterKey { .. }), "{error}");
    assert!(error.to_string().contains("--master-key"), "{error}");
}

#[test]
fn refuses_a_database_or_folder_that_others_can_reach() {
    let fixture = Fixture::new();
    for (path, bad, good) in [(fixture.database(), 0o640, 0o600), (fixture.data(), 0o755, 0o700)] {
        set_mode(&path, bad);
        let error = Registry::open(&fixture.data(), &fixture.master).unwrap_err();
        assert!(matches!(&error, RegistryError::Mode { mode, .. } if *mode == bad), "{error}");
        assert!(error.to_string().contains(&format!("chmod {good:04o} '{}'", path.display())), "{error}");
        set_mode(&path, good);
    }
    assert!(Registry::open(&fixture.data(), &fixture.master).is_ok());
}

#[test]
fn refuses_to_create_in_a_filled_folder_that_others_can_enter() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o750);
    fs::write(folder.path().join("notes"), b"").unwrap();
    let error = Registry::create(folder.path(), &MasterKey::generate().unwrap()).unwrap_err();
    assert!(matches!(error, RegistryError::Mode { mode: 0o750, .. }), "{error}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn closes_an_empty_folder_to_others() {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    Registry::create(folder.path(), &MasterKey::generate().unwrap()).unwrap();
    assert_eq!(mode(folder.path()), 0o700);
}

#[test]
fn goes_back_to_wal_if_somebody_left_it() {
    let fixture = Fixture::new();
    let (data, master) = (fixture.data(), &fixture.master);
    drop(fixture.registry);
    let mode = |sql: &str| -> String {
        let connection = rusqlite::Connection::open(data.join(DATABASE_FILE)).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(mode("PRAGMA journal_mode = DELETE"), "delete");
    let _registry = Registry::open(&data, master).unwrap();
    assert_eq!(mode("PRAGMA journal_mode"), "wal");
}

#[test]
fn refuses_a_schema_from_the_future_and_leaves_it_alone() {
    let fixture = Fixture::new();
    fixture.tamper("PRAGMA user_version = 99");
    let error = Registry::open(&fixture.data(), &fixture.master).unwrap_err();
    assert!(matches!(error, RegistryError::FutureSchema { found: 99, known: 7, .. }), "{error}");
    fixture.tamper("PRAGMA user_version = 7");
    assert!(Registry::open(&fixture.data(), &fixture.master).is_ok());
}

#[test]
fn refuses_what_is_no_registry() {
    let fixture = Fixture::new();
    fixture.tamper("PRAGMA application_id = 7");
    let refused = |fixture: &Fixture| Registry::open(&fixture.data(), &fixture.master).unwrap_err();
    assert!(matches!(refused(&fixture), RegistryError::NotARegistry { .. }));
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o700);
    let database = folder.path().join(DATABASE_FILE);
    fs::write(&database, "these are my notes, not a database; do not lose them\n".repeat(100)).unwrap();
    set_mode(&database, 0o600);
    let error = Registry::open(folder.path(), &fixture.master).unwrap_err();
    assert!(matches!(error, RegistryError::NotARegistry { .. }), "{error}");
}

#[test]
fn a_writer_that_never_ends_is_reported_after_the_busy_timeout() {
    let fixture = Fixture::new();
    let blocker = rusqlite::Connection::open(fixture.database()).unwrap();
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = fixture.registry.add_cbc_device(&id("a"), None).unwrap_err();
    assert!(matches!(error, RegistryError::Busy { waited_ms: 5_000 }), "{error}");
    assert!(fixture.registry.directory().unwrap().devices.is_empty(), "reading goes on meanwhile");
    blocker.execute_batch("ROLLBACK").unwrap();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
}

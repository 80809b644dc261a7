//! The watching thread: changes of other connections and processes arrive, faults leave the last good directory.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch::Receiver;
use vitalwire_access::Role;
use vitalwire_registry::{DATABASE_FILE, Directory, MasterKey, ROTATION_OVERLAP, Registry, RegistryError};

use crate::fixture::{Fixture, id, name, numbered, password, secret_of};

const NO_PROGRESS: Option<fn(rusqlite::backup::Progress)> = None;

/// A change is to be seen within a second. On a machine that has time that is so where the file is looked at this often; how busy the
/// machine may be is no property of the code, so the tests wait longer.
const _: () = assert!(vitalwire_registry::POLL_INTERVAL.as_millis() <= 500);
const SEEN_WITHIN: Duration = Duration::from_secs(60);

async fn seen(
    directories: &mut Receiver<Arc<Directory>>,
    what: impl Fn(&Directory) -> bool,
) -> Arc<Directory> {
    let found = tokio::time::timeout(SEEN_WITHIN, directories.wait_for(|directory| what(directory))).await;
    Arc::clone(&found.expect("never seen").unwrap())
}

fn generations(directory: &Directory) -> BTreeMap<String, (u32, [u8; 16])> {
    let devices = directory.devices.values();
    devices.map(|device| (device.id.to_string(), (device.generation, *secret_of(device).key()))).collect()
}

#[tokio::test]
async fn sees_each_kind_of_change_within_a_second() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("old"), None).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    assert!(directories.borrow().devices.contains_key("old"), "the first directory is there at once");
    let key = fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let first = seen(&mut directories, |directory| directory.devices.contains_key("a")).await;
    assert!(secret_of(&first.devices["a"]) == key);
    fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP).unwrap();
    let second = seen(&mut directories, |directory| directory.devices["a"].generation == 2).await;
    assert!(Arc::ptr_eq(&first.devices["old"], &second.devices["old"]), "unchanged devices are shared");
    fixture.registry.revoke_device(&id("a")).unwrap();
    seen(&mut directories, |directory| !directory.devices.contains_key("a")).await;
    fixture.registry.add_user(&name("ana"), Role::Admin, &password("correct horse")).unwrap();
    seen(&mut directories, |directory| directory.users.contains_key("ana")).await;
    fixture.registry.remove_user(&name("ana")).unwrap();
    seen(&mut directories, |directory| directory.users.is_empty()).await;
}

/// Changes something, also where the other writer has the lock for longer than a change waits: on a busy machine it does.
fn patiently(change: impl Fn() -> Result<(), RegistryError>) {
    loop {
        match change() {
            Err(RegistryError::Busy { .. }) => {}
            changed => return changed.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_burst_of_changes_by_a_concurrent_writer_ends_in_the_same_directory() {
    let fixture = Fixture::new();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    let writer = fixture.reopen();
    let writing = std::thread::spawn(move || {
        for number in 0..100 {
            let id = id(&format!("d{number}"));
            patiently(|| writer.add_cbc_device(&id, Some(numbered(number))).map(drop));
            if number % 2 == 0 {
                patiently(|| writer.rotate_device(&id, ROTATION_OVERLAP).map(drop));
            }
            if number % 3 == 0 {
                patiently(|| writer.revoke_device(&id).map(drop));
            }
        }
    });
    // A second writer at the same time, so that the two wait for each other's locks.
    for number in 100..150 {
        let id = id(&format!("d{number}"));
        patiently(|| fixture.registry.add_cbc_device(&id, Some(numbered(number))).map(drop));
    }
    writing.join().unwrap();
    let truth = fixture.registry.directory().unwrap();
    let watched = seen(&mut directories, |directory| directory.version == truth.version).await;
    assert_eq!(generations(&watched), generations(&truth));
    assert_eq!(truth.devices.len(), 150 - 34);
}

const CHILD_FOLDER: &str = "VITALWIRE_TEST_CHILD_FOLDER";

/// Does nothing as a test of its own; in the child process it is the command line that changes the registry.
#[test]
fn child_process_that_adds_a_device() {
    if let Some(folder) = std::env::var_os(CHILD_FOLDER) {
        let folder = std::path::PathBuf::from(folder);
        let master = MasterKey::load(&folder.join("master-key")).unwrap();
        let registry = Registry::open(&folder.join("data"), &master).unwrap();
        registry.add_cbc_device(&id("from-child"), None).unwrap();
    }
}

#[tokio::test]
async fn sees_the_change_of_another_process_within_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let master = MasterKey::create(&folder.path().join("master-key")).unwrap();
    let registry = Registry::create(&folder.path().join("data"), &master).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(registry).unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "watching::child_process_that_adds_a_device"])
        .env(CHILD_FOLDER, folder.path())
        .output()
        .unwrap();
    assert!(child.status.success(), "{child:?}");
    seen(&mut directories, |directory| directory.devices.contains_key("from-child")).await;
}

#[tokio::test]
async fn a_fault_leaves_the_last_good_directory_and_heals() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    // The version grows, so the watcher must read the devices, and cannot.
    fixture.tamper("ALTER TABLE devices RENAME TO hidden; UPDATE registry SET version = version + 1");
    let nothing = tokio::time::timeout(Duration::from_millis(500), directories.changed()).await;
    assert!(nothing.is_err(), "nothing may be published while reading fails");
    assert!(directories.borrow().devices.contains_key("a"));
    fixture.tamper("ALTER TABLE hidden RENAME TO devices");
    fixture.registry.add_cbc_device(&id("b"), None).unwrap();
    seen(&mut directories, |directory| directory.devices.contains_key("b")).await;
}

#[tokio::test]
async fn a_restored_backup_with_a_lower_version_is_read_whole() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("kept"), None).unwrap();
    let backup = fixture.data().join("backup");
    rusqlite::Connection::open(fixture.database()).unwrap().backup("main", &backup, NO_PROGRESS).unwrap();
    fixture.registry.add_cbc_device(&id("later"), None).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    let mut target = rusqlite::Connection::open(fixture.database()).unwrap();
    target.restore("main", &backup, NO_PROGRESS).unwrap();
    let restored = seen(&mut directories, |directory| !directory.devices.contains_key("later")).await;
    assert!(restored.devices.contains_key("kept"));
}

#[test]
fn dropping_the_watch_ends_its_thread() {
    let fixture = Fixture::new();
    let (watch, directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    assert!(directories.has_changed().is_ok());
    drop(watch);
    assert!(directories.has_changed().is_err(), "the thread, which owned the sender, must be gone");
}

#[tokio::test]
async fn a_file_put_in_the_place_of_the_open_one_is_read() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("old"), None).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    let other = tempfile::tempdir().unwrap();
    let data = other.path().join("data");
    Registry::create(&data, &fixture.master).unwrap().add_cbc_device(&id("new"), None).unwrap();
    // Removed first: then the last good directory stays, and the new file is found when it comes.
    for suffix in ["", "-wal", "-shm"] {
        std::fs::remove_file(format!("{}{suffix}", fixture.database().display())).unwrap();
    }
    std::fs::rename(data.join(DATABASE_FILE), fixture.database()).unwrap();
    let directory = seen(&mut directories, |directory| directory.devices.contains_key("new")).await;
    assert!(!directory.devices.contains_key("old"));
}

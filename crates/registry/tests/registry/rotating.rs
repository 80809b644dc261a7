//! Rotating the master key, as its users meet it: the old key opens nothing any more, all else is as before.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rusqlite::types::Value;
use vitalwire_access::Role;
use vitalwire_registry::{
    AuditFault, ImportError, LineFault, MasterKey, MasterKeyRotation, ROTATION_OVERLAP, Registry,
    RegistryError,
};

use crate::fixture::{Fixture, id, name, password};

const PAPER_KEY: &str = r#"{ "id":"old_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}"#;

/// A registry whose key lies in a file, with something of all that is sealed.
struct Ward {
    fixture: Fixture,
    key_file: PathBuf,
}

impl Ward {
    fn new() -> Self {
        let mut fixture = Fixture::new();
        let key_file = fixture.data().with_file_name("key");
        let data = fixture.data();
        fs::remove_dir_all(&data).unwrap();
        fixture.master = MasterKey::create(&key_file).unwrap();
        fixture.registry = Registry::create(&data, &fixture.master).unwrap();
        let registry = &fixture.registry;
        registry.add_cbc_device(&id("frames"), None).unwrap();
        registry.add_tls_device(&id("tls")).unwrap();
        registry.rotate_device(&id("tls"), ROTATION_OVERLAP).unwrap();
        registry.import_paper_keys(PAPER_KEY.as_bytes()).unwrap();
        registry.revoke_device(&id("old_01")).unwrap();
        registry.add_user(&name("ana"), Role::Admin, &password("correct horse")).unwrap();
        Self { fixture, key_file }
    }

    fn open(&self) -> Registry {
        Registry::open_with_key_file(&self.fixture.data(), &self.key_file).unwrap()
    }

    fn rotate(&self) -> MasterKeyRotation {
        Registry::rotate_master_key(&self.fixture.data(), &self.key_file, None).unwrap()
    }

    /// What the old key sealed or made, as it stands in the file.
    fn sealed(&self) -> Vec<Vec<u8>> {
        let connection = rusqlite::Connection::open(self.fixture.database()).unwrap();
        let mut found = Vec::new();
        for column in ["sealed", "fingerprint", "previous_sealed"] {
            let mut statement = connection.prepare(&format!("SELECT {column} FROM devices")).unwrap();
            let values = statement.query_map([], |row| row.get::<_, Value>(0)).unwrap();
            found.extend(values.filter_map(|value| match value.unwrap() {
                Value::Blob(bytes) => Some(bytes),
                _ => None,
            }));
        }
        let check = connection.query_row("SELECT check_value FROM registry", [], |row| row.get(0));
        found.push(check.unwrap());
        found
    }
}

#[test]
fn the_old_key_opens_nothing_and_leaves_nothing() {
    let ward = Ward::new();
    let old = ward.sealed();
    assert!(old.len() >= 7, "{}", old.len());
    let noted = ward.open().device_key(&id("tls")).unwrap();
    assert_eq!(ward.rotate(), MasterKeyRotation::Rotated { devices: 2, broken: vec![] });
    let refused = Registry::open(&ward.fixture.data(), &ward.fixture.master).unwrap_err();
    assert!(matches!(refused, RegistryError::WrongMasterKey { .. }), "{refused}");
    assert!(ward.open().device_key(&id("tls")).unwrap() == noted);
    for entry in fs::read_dir(ward.fixture.data()).unwrap() {
        let (path, bytes) = (entry.as_ref().unwrap().path(), fs::read(entry.unwrap().path()).unwrap());
        for value in &old {
            assert!(!bytes.windows(value.len()).any(|window| window == value), "{}", path.display());
        }
    }
}

#[test]
fn devices_users_and_the_audit_log_go_on_through_several_rotations() {
    let ward = Ward::new();
    let before = ward.open().directory().unwrap();
    let head = ward.open().verify_audit(None).unwrap().head;
    for _ in 0..3 {
        ward.rotate();
        let registry = ward.open();
        let after = registry.directory().unwrap();
        assert!(after.broken.is_empty());
        assert!(after.devices["frames"].key == before.devices["frames"].key);
        assert!(after.devices["tls"].key == before.devices["tls"].key, "also the link before");
        assert!(after.users.contains_key("ana"));
        let report = registry.verify_audit(Some(head)).unwrap();
        assert_eq!(report.fault, None, "the head that was noted stays good");
    }
    let records = ward.open().audit(0, 100).unwrap();
    let rotations: Vec<_> = records.iter().filter(|record| record.kind == "master-key-rotated").collect();
    assert_eq!(rotations.len(), 3);
    assert_eq!(rotations[0].detail, "2 devices, 0 that did not open");
    // Work goes on under the new key.
    let link = ward.open().add_tls_device(&id("new")).unwrap();
    assert!(ward.open().directory().unwrap().link(&link.id, SystemTime::now()).is_some());
}

#[test]
fn what_was_written_under_the_old_key_is_still_found_when_it_is_changed() {
    let damages = [
        "UPDATE audit SET detail = 'x' WHERE sequence = 2",
        "DELETE FROM audit WHERE sequence = 3",
        "DELETE FROM audit_keys",
        "UPDATE audit_keys SET until = until + 1",
        "UPDATE audit_keys SET sealed = zeroblob(40)",
        "UPDATE audit SET detail = 'x' WHERE kind = 'master-key-rotated'",
    ];
    for damage in damages {
        let ward = Ward::new();
        ward.rotate();
        ward.fixture.tamper(damage);
        assert!(ward.open().verify_audit(None).unwrap().fault.is_some(), "{damage}");
        // Another rotation does not heal it.
        ward.rotate();
        assert!(ward.open().verify_audit(None).unwrap().fault.is_some(), "{damage}");
    }
    // Nor does the first.
    let ward = Ward::new();
    ward.fixture.tamper("UPDATE audit SET detail = 'x' WHERE sequence = 2");
    ward.rotate();
    let fault = ward.open().verify_audit(None).unwrap().fault;
    assert_eq!(fault, Some(AuditFault::Changed { sequence: 2 }));
}

#[tokio::test]
async fn a_server_that_reads_the_key_file_takes_the_new_key_up_by_itself() {
    let ward = Ward::new();
    let (_watch, mut directories) = vitalwire_registry::watch(ward.open()).unwrap();
    let mut writer = ward.open();
    let first = Arc::clone(&directories.borrow());
    ward.rotate();
    // The next change, by another process.
    ward.open().add_tls_device(&id("new")).unwrap();
    let seen = directories.wait_for(|directory| directory.devices.contains_key("new"));
    let seen = Arc::clone(&tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap().unwrap());
    assert!(Arc::ptr_eq(&seen.devices["tls"], &first.devices["tls"]), "what did not change is shared");
    assert!(seen.broken.is_empty());
    // What it writes itself.
    writer.follow_file().unwrap();
    writer.revoke_device(&id("new")).unwrap();
    assert_eq!(ward.open().verify_audit(None).unwrap().fault, None);
}

#[tokio::test]
async fn a_server_with_a_copy_of_the_old_key_writes_nothing_and_keeps_what_it_knew() {
    let ward = Ward::new();
    let copy = ward.key_file.with_file_name("copy");
    fs::copy(&ward.key_file, &copy).unwrap();
    let open = || Registry::open_with_key_file(&ward.fixture.data(), &copy).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(open()).unwrap();
    let mut writer = open();
    ward.rotate();
    for refused in [
        writer.add_tls_device(&id("x")).unwrap_err(),
        writer.follow_file().unwrap_err(),
        writer.directory().unwrap_err(),
        writer.verify_audit(None).unwrap_err(),
    ] {
        assert!(matches!(refused, RegistryError::MasterKeyRotated { .. }), "{refused}");
        assert!(refused.to_string().contains("start it again with the new one"), "{refused}");
    }
    ward.open().add_tls_device(&id("new")).unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(500), directories.changed()).await.is_err());
    assert!(directories.borrow().devices.contains_key("tls"));
    // Once it is given the new key, all is seen.
    fs::copy(&ward.key_file, &copy).unwrap();
    let seen = directories.wait_for(|directory| directory.devices.contains_key("new"));
    tokio::time::timeout(Duration::from_secs(60), seen).await.unwrap().unwrap();
    writer.follow_file().unwrap();
    writer.revoke_device(&id("new")).unwrap();
}

#[test]
fn a_revoked_key_is_not_brought_back_by_an_old_file() {
    let ward = Ward::new();
    ward.rotate();
    match ward.open().import_paper_keys(PAPER_KEY.as_bytes()) {
        Err(ImportError::Line { line: 1, fault: LineFault::RevokedBefore(device) }) => {
            assert_eq!(device, id("old_01"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_row_that_does_not_open_is_named_and_stays_as_it_is() {
    let ward = Ward::new();
    ward.fixture.tamper("UPDATE devices SET sealed = zeroblob(40) WHERE id = 'frames'");
    ward.fixture.tamper(
        "INSERT INTO devices SELECT CAST(x'ff' AS TEXT), protocol, sealed, x'01', generation, enrolled_at, key_set_at,
             version, NULL, NULL, NULL, NULL FROM devices WHERE id = 'frames'",
    );
    let broken = vec!["frames".to_owned(), "\u{fffd}".to_owned()];
    assert_eq!(ward.rotate(), MasterKeyRotation::Rotated { devices: 1, broken });
    let directory = ward.open().directory().unwrap();
    assert_eq!((directory.devices.len(), directory.broken.len()), (1, 2));
}

#[test]
fn two_rotations_at_once_do_not_meet() {
    let ward = Ward::new();
    let other = fs::File::open(&ward.key_file).unwrap();
    other.lock().unwrap();
    let refused = Registry::rotate_master_key(&ward.fixture.data(), &ward.key_file, None).unwrap_err();
    assert!(matches!(refused, RegistryError::MasterKeyBusy { .. }), "{refused}");
    drop(other);
    ward.rotate();
}

#[test]
fn a_key_file_without_a_line_end_is_rotated_too() {
    let ward = Ward::new();
    let text = fs::read_to_string(&ward.key_file).unwrap();
    fs::write(&ward.key_file, text.trim_end()).unwrap();
    ward.rotate();
    assert_eq!(fs::metadata(&ward.key_file).unwrap().len(), 65);
    assert_eq!(ward.open().devices().unwrap().len(), 2);
}

#[test]
fn a_thousand_devices_and_more_are_rotated_page_by_page() {
    let ward = Ward::new();
    let names: Vec<_> = (0..2_001).map(|number| id(&format!("d{number:04}"))).collect();
    let links = ward.open().add_tls_devices(&names).unwrap();
    assert_eq!(ward.rotate(), MasterKeyRotation::Rotated { devices: 2_003, broken: vec![] });
    let directory = ward.open().directory().unwrap();
    assert!(links.iter().all(|link| directory.link(&link.id, SystemTime::now()).is_some()));
}

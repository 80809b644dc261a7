//! A registry that version 1 of the schema made, with its rows sealed by another implementation, opens and works on.

use std::path::PathBuf;
use std::time::SystemTime;

use vitalwire_registry::{
    DATABASE_FILE, MasterKey, PatientChange, Protocol, ROTATION_OVERLAP, Registry, RegistryError, StayId,
};

use crate::fixture::{Fixture, id, secret, secret_of, set_mode};

/// Version 1 of the schema as it was released, with two devices, one of them revoked, and a user. The master key is 32
/// times the byte 7; sealed values are from Python `cryptography` (HKDF-SHA256, `aes_key_wrap`).
const VERSION_1: &str = "
PRAGMA journal_mode = WAL;
PRAGMA application_id = 1448563249;
PRAGMA user_version = 1;
CREATE TABLE registry (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    version INTEGER NOT NULL,
    check_value BLOB NOT NULL
) STRICT;
CREATE TABLE devices (
    id TEXT PRIMARY KEY NOT NULL,
    protocol TEXT NOT NULL,
    sealed BLOB,
    fingerprint BLOB NOT NULL,
    generation INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    key_set_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_by_version ON devices (version);
CREATE UNIQUE INDEX devices_by_fingerprint ON devices (fingerprint) WHERE sealed IS NOT NULL;
CREATE TABLE users (
    name TEXT PRIMARY KEY NOT NULL,
    role TEXT NOT NULL,
    all_devices INTEGER NOT NULL CHECK (all_devices IN (0, 1)),
    password_hash TEXT,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX users_by_version ON users (version);
CREATE TABLE user_devices (
    user TEXT NOT NULL REFERENCES users (name),
    device TEXT NOT NULL REFERENCES devices (id),
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX user_devices_by_device ON user_devices (device);
INSERT INTO registry VALUES (1, 3, x'8c3934b54c906f9d7c4c697cf4aa6e8a399f56721424c820');
INSERT INTO devices VALUES ('gone', 'aes-cbc', NULL, x'00', 4, 1700000000, 1700000000, 3);
INSERT INTO devices VALUES ('iot_med_dev_01', 'aes-cbc',
    x'f4eaab4d3472900d5d22dcbb50801e5d55a6d0eed8347351db5849b02b75108e57286428cda83e87',
    x'507f7a84c66d557501f2fcbb07204884', 2, 1700000000, 1700000001, 2);
";

struct Old {
    folder: tempfile::TempDir,
    master: MasterKey,
}

impl Old {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        set_mode(folder.path(), 0o700);
        let key = folder.path().join("key");
        std::fs::write(&key, "07".repeat(32)).unwrap();
        set_mode(&key, 0o600);
        let connection = rusqlite::Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
        connection.execute_batch(VERSION_1).unwrap();
        drop(connection);
        set_mode(&folder.path().join(DATABASE_FILE), 0o600);
        Self { master: MasterKey::load(&key).unwrap(), folder }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    fn schema_version(&self) -> i64 {
        let connection = rusqlite::Connection::open(self.data().join(DATABASE_FILE)).unwrap();
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    }
}

#[test]
fn a_version_1_registry_keeps_its_devices_and_takes_new_kinds() {
    let old = Old::new();
    let registry = Registry::open(&old.data(), &old.master).unwrap();
    let directory = registry.directory().unwrap();
    let device = &directory.devices["iot_med_dev_01"];
    assert!(secret_of(device) == secret(b"1234567890123456", b"AAAAAAAAAAAAAAAA"));
    assert_eq!((device.protocol(), device.generation, directory.version), (Protocol::AesCbc, 2, 3));
    assert!(directory.broken.is_empty() && directory.devices.len() == 1);
    assert_eq!(registry.current_stay(&id("iot_med_dev_01")).unwrap().started_us, 1_700_000_000_000_000);
    let link = registry.add_tls_device(&id("gone")).unwrap();
    registry.rotate_device(&id("iot_med_dev_01"), ROTATION_OVERLAP).unwrap();
    let next = directory.with(registry.changes_since(directory.version).unwrap());
    assert_eq!(next.link(&link.id, SystemTime::now()).unwrap().device.generation, 5);
    assert_eq!(next.devices["iot_med_dev_01"].generation, 3);
}

#[test]
fn a_wrong_master_key_changes_nothing_in_an_old_registry() {
    let old = Old::new();
    let refused = Registry::open(&old.data(), &MasterKey::generate().unwrap()).unwrap_err();
    assert!(matches!(refused, RegistryError::WrongMasterKey { .. }), "{refused}");
    assert_eq!(old.schema_version(), 1);
}

#[test]
fn two_processes_may_upgrade_at_once() {
    let old = Old::new();
    let opened: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| Registry::open(&old.data(), &old.master).is_ok())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(opened, [true; 4]);
    assert!(old.schema_version() > 1);
}

/// What schema version 6 brought, taken away again.
const BACK_TO_5: &str = "DROP TABLE token_devices; DROP TABLE tokens; 
DROP TABLE alarm_changes; DROP TABLE alarms; DROP TABLE stay_parts; DROP TABLE stays;
ALTER TABLE registry DROP COLUMN last_stay;
ALTER TABLE registry DROP COLUMN last_alarm;
PRAGMA user_version = 5;
";

#[test]
fn devices_of_version_5_begin_with_a_stay_of_no_one_known() {
    let fixture = Fixture::new();
    for device in ["first", "gone", "again"] {
        fixture.registry.add_tls_device(&id(device)).unwrap();
    }
    fixture.registry.revoke_device(&id("gone")).unwrap();
    fixture.registry.revoke_device(&id("again")).unwrap();
    fixture.registry.add_tls_device(&id("again")).unwrap();
    let head = fixture.registry.verify_audit(None).unwrap().head;
    fixture.tamper(BACK_TO_5);
    let registry = fixture.reopen();
    let stays = registry.stays().unwrap();
    let devices: Vec<_> = stays.iter().map(|stay| (stay.id.number(), stay.device.as_str())).collect();
    assert_eq!(devices, [(1, "again"), (2, "first")]);
    assert!(stays.iter().all(|stay| stay.patient.is_none() && stay.ended_us.is_none()));
    let directory = registry.directory().unwrap();
    assert_eq!((directory.stays.len(), directory.devices.len()), (2, 2));
    // A first enrolment has all that its name ever sent; of a later one that is not known.
    let began = |device: &str| directory.stays[device].started_us;
    let at = |device: &str, time_us| registry.timeline(&id(device)).unwrap().stay_at(time_us, 1);
    assert_eq!(at("first", 0).map(StayId::number), Some(2));
    assert_eq!(at("again", began("again") - 1), None);
    assert_eq!(at("again", began("again")).map(StayId::number), Some(1));
    // Work goes on.
    let change = PatientChange { name: Some("Ana".into()), ..PatientChange::default() };
    registry.set_patient(&id("first"), &change, None).unwrap();
    registry.add_tls_device(&id("gone")).unwrap();
    assert_eq!(registry.current_stay(&id("gone")).unwrap().id.number(), 3);
    assert_eq!(registry.next_alarm_number().unwrap(), 1);
    assert_eq!(registry.verify_audit(Some(head)).unwrap().fault, None);
}

#[test]
fn a_registry_of_version_6_has_no_tokens_and_takes_one() {
    let fixture = Fixture::new();
    fixture.tamper("DROP TABLE token_devices; DROP TABLE tokens; PRAGMA user_version = 6");
    let registry = fixture.reopen();
    assert!(registry.tokens().unwrap().is_empty());
    let (now, secret) = (SystemTime::now(), vitalwire_registry::TokenSecret::generate().unwrap());
    let lasts = now..now + std::time::Duration::from_secs(60);
    registry.add_token(&"study".parse().unwrap(), &vitalwire_access::Role::Admin, &secret, lasts).unwrap();
    assert!(registry.directory().unwrap().token(&secret.hash(), now).is_some());
}

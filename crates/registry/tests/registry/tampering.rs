//! A file changed by hand: the row is left out, named in the log, and every other row stays in service.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use vitalwire_access::Role;
use vitalwire_registry::{BrokenCause, Directory, ROTATION_OVERLAP, RegistryError, RowName};

use crate::fixture::{Fixture, id, name, numbered, password};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The directory, and what was logged while it was read.
fn load(fixture: &Fixture) -> (Directory, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
    let registry = fixture.reopen();
    let directory = tracing::subscriber::with_default(subscriber, || registry.directory().unwrap());
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (directory, text)
}

fn three_devices() -> Fixture {
    let fixture = Fixture::new();
    let devices = [(id("a"), numbered(1)), (id("b"), numbered(2)), (id("c"), numbered(3))];
    fixture.registry.add_cbc_devices(&devices).unwrap();
    fixture
}

fn assert_broken(fixture: &Fixture, broken: &[(&str, BrokenCause)]) {
    let (directory, log) = load(fixture);
    assert_eq!(directory.devices.len(), 3 - broken.len());
    assert_eq!(directory.broken.len(), broken.len());
    for (device, cause) in broken {
        assert!(!directory.devices.contains_key(*device));
        assert_eq!(directory.broken.get(&RowName::Device((*device).to_owned())), Some(cause));
        let line = log.lines().find(|line| line.contains(&format!("{device:?}"))).unwrap_or_default();
        assert!(line.contains("ERROR") && line.contains(&cause.to_string()), "{device}: {log}");
    }
}

#[test]
fn swapped_keys_of_two_devices_are_found_and_the_third_stays() {
    let fixture = three_devices();
    fixture.tamper(
        "CREATE TEMP TABLE before AS SELECT * FROM devices;
         UPDATE devices SET sealed = (SELECT sealed FROM before WHERE id = 'b') WHERE id = 'a';
         UPDATE devices SET sealed = (SELECT sealed FROM before WHERE id = 'a') WHERE id = 'b'",
    );
    assert_broken(&fixture, &[("a", BrokenCause::Seal), ("b", BrokenCause::Seal)]);
}

#[test]
fn swapped_names_of_two_devices_are_found() {
    let fixture = three_devices();
    fixture.tamper(
        "UPDATE devices SET id = 'x' WHERE id = 'a'; UPDATE devices SET id = 'a' WHERE id = 'b';
         UPDATE devices SET id = 'b' WHERE id = 'x'",
    );
    assert_broken(&fixture, &[("a", BrokenCause::Seal), ("b", BrokenCause::Seal)]);
}

#[test]
fn a_flip_in_any_byte_of_a_sealed_key_is_found() {
    let fixture = three_devices();
    let connection = rusqlite::Connection::open(fixture.database()).unwrap();
    let sealed: Vec<u8> =
        connection.query_row("SELECT sealed FROM devices WHERE id = 'b'", [], |row| row.get(0)).unwrap();
    assert_eq!(sealed.len(), 40);
    for place in 0..sealed.len() {
        let mut flipped = sealed.clone();
        flipped[place] ^= 0x10;
        connection.execute("UPDATE devices SET sealed = ?1 WHERE id = 'b'", [flipped]).unwrap();
        assert_broken(&fixture, &[("b", BrokenCause::Seal)]);
    }
    connection.execute("UPDATE devices SET sealed = ?1 WHERE id = 'b'", [sealed]).unwrap();
    assert_broken(&fixture, &[]);
}

#[test]
fn cut_and_emptied_keys_foreign_protocols_names_and_counts_are_found() {
    for (sql, device, cause) in [
        ("sealed = x''", "b", BrokenCause::Seal),
        ("sealed = substr(sealed, 1, 39)", "b", BrokenCause::Seal),
        ("protocol = 'rot13'", "b", BrokenCause::UnknownProtocol("rot13".to_owned())),
        ("generation = -1", "b", BrokenCause::Generation(-1)),
        ("generation = 4294967296", "b", BrokenCause::Generation(4_294_967_296)),
        ("id = 'b/#'", "b/#", BrokenCause::Name),
        ("id = 'B'", "B", BrokenCause::Seal),
    ] {
        let fixture = three_devices();
        fixture.tamper(&format!("UPDATE devices SET {sql} WHERE id = 'b'"));
        assert_broken(&fixture, &[(device, cause)]);
    }
}

#[test]
fn a_broken_device_is_healed_by_rotating_or_by_enrolling_again() {
    let fixture = three_devices();
    fixture.tamper("UPDATE devices SET sealed = x'00' WHERE id IN ('a', 'b')");
    let refused = fixture.registry.device(&id("a"));
    assert!(matches!(refused, Err(RegistryError::DeviceBroken { cause: BrokenCause::Seal, .. })));
    fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP).unwrap();
    fixture.registry.revoke_device(&id("b")).unwrap();
    fixture.registry.add_cbc_device(&id("b"), None).unwrap();
    assert_broken(&fixture, &[]);
    assert_eq!(fixture.registry.devices().unwrap().len(), 3);
}

#[test]
fn a_change_that_heals_a_row_is_seen_by_an_incremental_reader() {
    let fixture = three_devices();
    fixture.tamper("UPDATE devices SET sealed = x'00' WHERE id = 'a'");
    let (directory, _) = load(&fixture);
    fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP).unwrap();
    let healed = directory.with(fixture.registry.changes_since(directory.version).unwrap());
    assert!(healed.broken.is_empty() && healed.devices.len() == 3);
}

#[test]
fn broken_users_cannot_log_in_and_the_others_can() {
    for (sql, cause) in [
        ("role = 'god'", BrokenCause::Role),
        ("password_hash = 'correct horse'", BrokenCause::PasswordHash),
        ("password_hash = ''", BrokenCause::PasswordHash),
        ("password_hash = replace(password_hash, 'm=19456', 'm=4194304')", BrokenCause::PasswordHash),
    ] {
        let fixture = Fixture::new();
        fixture.registry.add_user(&name("ana"), Role::Admin, &password("correct horse")).unwrap();
        fixture.registry.add_user(&name("bob"), Role::Admin, &password("correct horse")).unwrap();
        fixture.tamper(&format!("UPDATE users SET {sql} WHERE name = 'ana'"));
        let (directory, log) = load(&fixture);
        assert_eq!(directory.broken.get(&RowName::User("ana".to_owned())), Some(&cause));
        assert!(directory.users.len() == 1 && directory.users.contains_key("bob"));
        assert!(log.contains("ERROR") && log.contains("ana"), "{log}");
        assert_eq!(fixture.registry.users().unwrap().len(), 1);
    }
}

#[test]
fn many_broken_rows_do_not_flood_the_log() {
    let fixture = Fixture::new();
    let devices: Vec<_> = (0..100).map(|number| (id(&format!("d{number}")), numbered(number))).collect();
    fixture.registry.add_cbc_devices(&devices).unwrap();
    fixture.tamper("UPDATE devices SET sealed = x'00'");
    let (directory, log) = load(&fixture);
    assert_eq!((directory.devices.len(), directory.broken.len()), (0, 100));
    assert!(log.lines().count() == 21 && log.contains("count=100"), "{log}");
}

//! Enrolling, rotating and revoking devices.

use std::time::{Duration, SystemTime};

use vitalwire_access::{Role, Scope};
use vitalwire_registry::{DeviceChange, DeviceKey, Protocol, ROTATION_OVERLAP, RegistryError, UserChange};

use crate::fixture::{Fixture, id, name, numbered, password, reader, secret_of};

#[test]
fn an_enrolled_device_is_in_the_directory_with_its_key() {
    let fixture = Fixture::new();
    let generated = fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let given = fixture.registry.add_cbc_device(&id("b"), Some(numbered(1))).unwrap();
    assert!(given == numbered(1));
    let directory = fixture.reopen().directory().unwrap();
    assert_eq!(directory.devices.len(), 2);
    assert!(secret_of(&directory.devices["a"]) == generated && secret_of(&directory.devices["b"]) == given);
    assert_eq!((directory.devices["a"].protocol(), directory.devices["a"].generation), (Protocol::AesCbc, 1));
    assert!(directory.broken.is_empty());
    assert!(fixture.registry.device_key(&id("a")).unwrap() == DeviceKey::AesCbc(generated));
}

#[test]
fn device_information_tells_when_to_the_second() {
    let fixture = Fixture::new();
    let before = SystemTime::now() - Duration::from_secs(2);
    fixture.registry.add_cbc_devices(&[(id("b"), numbered(1)), (id("a"), numbered(2))]).unwrap();
    let infos = fixture.registry.devices().unwrap();
    assert_eq!(infos.iter().map(|info| info.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert!(infos[0].enrolled_at > before && infos[0].key_set_at == infos[0].enrolled_at);
    assert_eq!(fixture.registry.device(&id("a")).unwrap(), infos[0]);
}

#[test]
fn rotating_gives_a_new_key_and_the_next_generation() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let new =
        fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP).unwrap().cbc_secret().unwrap().clone();
    assert!(old != new);
    let directory = fixture.registry.directory().unwrap();
    assert!(secret_of(&directory.devices["a"]) == new);
    assert_eq!(directory.devices["a"].generation, 2);
}

#[test]
fn a_revoked_name_can_be_enrolled_again_as_the_next_generation() {
    let fixture = Fixture::new();
    let old = fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    assert!(fixture.registry.directory().unwrap().devices.is_empty());
    assert!(matches!(fixture.registry.device(&id("a")), Err(RegistryError::DeviceUnknown(_))));
    fixture.registry.add_cbc_device(&id("a"), Some(old.clone())).unwrap();
    let directory = fixture.registry.directory().unwrap();
    assert!(secret_of(&directory.devices["a"]) == old);
    assert_eq!(directory.devices["a"].generation, 2);
}

#[test]
fn refuses_a_second_enrolment_and_what_is_unknown() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    assert!(matches!(fixture.registry.add_cbc_device(&id("a"), None), Err(RegistryError::DeviceExists(_))));
    assert!(matches!(
        fixture.registry.rotate_device(&id("b"), ROTATION_OVERLAP),
        Err(RegistryError::DeviceUnknown(_))
    ));
    assert!(matches!(fixture.registry.revoke_device(&id("b")), Err(RegistryError::DeviceUnknown(_))));
    fixture.registry.revoke_device(&id("a")).unwrap();
    assert!(matches!(fixture.registry.revoke_device(&id("a")), Err(RegistryError::DeviceUnknown(_))));
    assert!(matches!(
        fixture.registry.rotate_device(&id("a"), ROTATION_OVERLAP),
        Err(RegistryError::DeviceUnknown(_))
    ));
}

#[test]
fn refuses_one_key_for_two_devices_as_they_could_not_be_told_apart() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), Some(numbered(1))).unwrap();
    let error = fixture.registry.add_cbc_device(&id("b"), Some(numbered(1))).unwrap_err();
    assert!(matches!(&error, RegistryError::KeyTaken { id: b, other: a } if *b == id("b") && *a == id("a")));
    assert!(error.to_string().contains("another key"), "{error}");
    fixture.registry.revoke_device(&id("a")).unwrap();
    fixture.registry.add_cbc_device(&id("b"), Some(numbered(1))).unwrap();
}

#[test]
fn several_are_enrolled_all_or_none() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("c"), None).unwrap();
    let before = fixture.registry.directory().unwrap().version;
    let batch = [(id("a"), numbered(1)), (id("b"), numbered(2)), (id("c"), numbered(3))];
    assert!(
        matches!(fixture.registry.add_cbc_devices(&batch), Err(RegistryError::DeviceExists(c)) if c == id("c"))
    );
    let after = fixture.registry.directory().unwrap();
    assert_eq!((after.devices.len(), after.version), (1, before));
}

#[test]
fn changes_hold_only_what_changed_tombstones_among_it() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_devices(&[(id("a"), numbered(1)), (id("b"), numbered(2))]).unwrap();
    let first = fixture.registry.directory().unwrap();
    assert!(fixture.registry.changes_since(first.version).unwrap().devices.is_empty());
    fixture.registry.revoke_device(&id("a")).unwrap();
    fixture.registry.add_cbc_device(&id("c"), None).unwrap();
    let changes = fixture.registry.changes_since(first.version).unwrap();
    assert_eq!(changes.version, first.version + 2);
    match &changes.devices[..] {
        [DeviceChange::Revoked(a), DeviceChange::Present(c)] => assert_eq!((a, &c.id), (&id("a"), &id("c"))),
        other => panic!("{other:?}"),
    }
    let next = first.with(changes);
    assert_eq!(next.devices.keys().map(|id| id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
    assert_eq!(first.devices.len(), 2, "a snapshot never changes");
}

#[test]
fn revoking_takes_the_device_out_of_scopes_so_that_a_new_one_of_its_name_is_not_seen() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_devices(&[(id("a"), numbered(1)), (id("b"), numbered(2))]).unwrap();
    fixture.registry.add_user(&name("ana"), reader(&["a", "b"]), &password("long enough")).unwrap();
    let before = fixture.registry.directory().unwrap().version;
    fixture.registry.revoke_device(&id("a")).unwrap();
    let changes = fixture.registry.changes_since(before).unwrap();
    assert!(matches!(&changes.users[..], [UserChange::Present(ana)] if ana.role == reader(&["b"])));
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.revoke_device(&id("b")).unwrap();
    let role = &fixture.registry.directory().unwrap().users["ana"].role;
    assert!(matches!(role, Role::Reader { devices: Scope::Named(none) } if none.is_empty()), "{role:?}");
}

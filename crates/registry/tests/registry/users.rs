//! Adding, changing and removing users.

use std::collections::BTreeSet;

use vitalwire_access::{HashMemory, Role, Scope};
use vitalwire_registry::{RegistryError, User, UserChange};

use crate::fixture::{Fixture, id, name, password, reader};

fn verifies(user: &User, password: &[u8]) -> bool {
    user.password_hash.verify(password, &mut HashMemory::default())
}

#[test]
fn an_added_user_logs_in_with_its_role() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.add_user(&name("ana"), reader(&["a"]), &password("correct horse")).unwrap();
    fixture.registry.add_user(&name("root"), Role::Admin, &password("battery staple")).unwrap();
    let everything = Role::Reader { devices: Scope::All };
    fixture.registry.add_user(&name("ward"), everything.clone(), &password("password 3")).unwrap();
    let directory = fixture.reopen().directory().unwrap();
    assert_eq!(directory.users["ana"].role, reader(&["a"]));
    assert_eq!(directory.users["root"].role, Role::Admin);
    assert_eq!(directory.users["ward"].role, everything);
    assert!(verifies(&directory.users["ana"], b"correct horse"));
    assert!(!verifies(&directory.users["ana"], b"battery staple"));
    let users = fixture.registry.users().unwrap();
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ana", "root", "ward"]);
}

#[test]
fn a_new_password_replaces_the_old_and_nothing_else() {
    let fixture = Fixture::new();
    fixture.registry.add_user(&name("ana"), Role::Admin, &password("correct horse")).unwrap();
    let before = fixture.registry.directory().unwrap();
    fixture.registry.set_password(&name("ana"), &password("battery staple")).unwrap();
    let directory = before.with(fixture.registry.changes_since(before.version).unwrap());
    let ana = &directory.users["ana"];
    assert!(verifies(ana, b"battery staple") && !verifies(ana, b"correct horse"));
    assert_eq!(ana.role, Role::Admin);
}

#[test]
fn a_role_can_be_changed() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.add_user(&name("ana"), Role::Admin, &password("correct horse")).unwrap();
    fixture.registry.set_role(&name("ana"), &reader(&["a"])).unwrap();
    let ana = fixture.registry.users().unwrap().remove(0);
    assert!(ana.role == reader(&["a"]) && verifies(&ana, b"correct horse"));
    let devices = reader(&["a"]).scope().clone();
    for role in [
        Role::Reader { devices: Scope::All },
        Role::Clinician { devices: Scope::All },
        Role::Clinician { devices },
        Role::Admin,
    ] {
        fixture.registry.set_role(&name("ana"), &role).unwrap();
        assert_eq!(fixture.registry.users().unwrap()[0].role, role);
    }
}

#[test]
fn a_removed_user_is_gone_and_its_name_free() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.add_user(&name("ana"), reader(&["a"]), &password("correct horse")).unwrap();
    let before = fixture.registry.directory().unwrap();
    fixture.registry.remove_user(&name("ana")).unwrap();
    let changes = fixture.registry.changes_since(before.version).unwrap();
    assert!(matches!(&changes.users[..], [UserChange::Removed(ana)] if *ana == name("ana")));
    assert!(before.with(changes).users.is_empty());
    assert!(fixture.registry.directory().unwrap().users.is_empty());
    fixture.registry.add_user(&name("ana"), Role::Admin, &password("battery staple")).unwrap();
    assert_eq!(fixture.registry.users().unwrap()[0].role, Role::Admin);
}

#[test]
fn refuses_twice_unknown_empty_scope_and_unknown_devices() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let good = password("correct horse");
    let add = |role| registry.add_user(&name("ana"), role, &good);
    let empty = Role::Reader { devices: Scope::Named(BTreeSet::new()) };
    assert!(matches!(add(empty), Err(RegistryError::ScopeEmpty(_))));
    let error = add(reader(&["a"])).unwrap_err();
    assert!(error.to_string().contains("enrol it first"), "{error}");
    assert!(registry.users().unwrap().is_empty(), "a refused user leaves nothing");
    add(Role::Admin).unwrap();
    assert!(matches!(add(Role::Admin), Err(RegistryError::UserExists(_))));
    let unknown = name("bob");
    assert!(matches!(registry.remove_user(&unknown), Err(RegistryError::UserUnknown(_))));
    assert!(matches!(registry.set_password(&unknown, &good), Err(RegistryError::UserUnknown(_))));
    assert!(matches!(registry.set_role(&unknown, &Role::Admin), Err(RegistryError::UserUnknown(_))));
    assert!(matches!(
        registry.set_role(&name("ana"), &reader(&["a"])),
        Err(RegistryError::ScopeDeviceUnknown { .. })
    ));
    assert_eq!(registry.users().unwrap()[0].role, Role::Admin, "a refused role leaves the old one");
}

#[test]
fn a_revoked_device_cannot_be_given() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    let refused = fixture.registry.add_user(&name("ana"), reader(&["a"]), &password("correct horse"));
    assert!(matches!(refused, Err(RegistryError::ScopeDeviceUnknown { .. })));
}

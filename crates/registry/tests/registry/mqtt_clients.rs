//! Ownership of MQTT client ids.

use crate::fixture::{Fixture, name, password};
use vitalwire_registry::{CLIENT_ID_LEN_MAX, CLIENT_IDS_PER_USER_MAX, ClientIdClaim, RegistryError, Role};

const GRANTED: ClientIdClaim = ClientIdClaim::Granted { evicted: None };

fn with_users() -> Fixture {
    let fixture = Fixture::new();
    for user in ["ana", "bob"] {
        fixture.registry.add_user(&name(user), Role::Admin, &password("correct horse")).unwrap();
    }
    fixture
}

#[test]
fn the_first_user_of_a_client_id_owns_it() {
    let fixture = with_users();
    let claim = |client: &str, user: &str| fixture.registry.claim_client_id(client, &name(user)).unwrap();
    assert_eq!(claim("ward-screen", "ana"), GRANTED);
    assert_eq!(claim("ward-screen", "ana"), GRANTED);
    assert_eq!(claim("ward-screen", "bob"), ClientIdClaim::OwnedByOther);
    assert_eq!(
        fixture.reopen().claim_client_id("ward-screen", &name("bob")).unwrap(),
        ClientIdClaim::OwnedByOther
    );
    assert_eq!(claim("other", "bob"), GRANTED);
}

#[test]
fn removing_the_user_frees_its_client_ids() {
    let fixture = with_users();
    assert_eq!(fixture.registry.claim_client_id("x", &name("ana")).unwrap(), GRANTED);
    fixture.registry.remove_user(&name("ana")).unwrap();
    let gone = fixture.registry.claim_client_id("x", &name("ana"));
    assert!(matches!(gone, Err(RegistryError::UserUnknown(_))));
    assert_eq!(fixture.registry.claim_client_id("x", &name("bob")).unwrap(), GRANTED);
}

#[test]
fn a_claim_changes_no_directory() {
    let fixture = with_users();
    let before = fixture.registry.directory().unwrap().version;
    assert_eq!(fixture.registry.claim_client_id("x", &name("ana")).unwrap(), GRANTED);
    assert_eq!(fixture.registry.directory().unwrap().version, before);
}

#[test]
fn one_claim_too_many_frees_the_id_used_longest_ago_of_that_user_only() {
    let fixture = with_users();
    assert_eq!(fixture.registry.claim_client_id("bobs", &name("bob")).unwrap(), GRANTED);
    assert_eq!(fixture.registry.claim_client_id("c0", &name("ana")).unwrap(), GRANTED);
    // As if claimed one by one; a thousand durable writes would take long on a slow disk.
    fixture.tamper(&format!(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {CLIENT_IDS_PER_USER_MAX} - 1)
         INSERT INTO mqtt_clients (client_id, user, last_used) SELECT 'c' || i, 'ana', i + 1 FROM n"
    ));
    let claim = |client: &str| fixture.registry.claim_client_id(client, &name("ana")).unwrap();
    assert_eq!(claim("c0"), GRANTED, "used again: now c1 is the oldest");
    assert_eq!(claim("new"), ClientIdClaim::Granted { evicted: Some("c1".to_owned()) });
    assert_eq!(claim("new"), GRANTED);
    let bob = |client: &str| fixture.registry.claim_client_id(client, &name("bob")).unwrap();
    assert_eq!(bob("c1"), GRANTED);
    assert_eq!(bob("c0"), ClientIdClaim::OwnedByOther);
}

#[test]
fn refuses_a_client_id_that_is_too_long() {
    let fixture = with_users();
    let longest = "x".repeat(CLIENT_ID_LEN_MAX);
    assert_eq!(fixture.registry.claim_client_id(&longest, &name("ana")).unwrap(), GRANTED);
    let refused = fixture.registry.claim_client_id(&format!("{longest}x"), &name("ana"));
    assert!(matches!(refused, Err(RegistryError::ClientIdTooLong { len: 257, limit: 256 })));
}

//! Tokens for programs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use vitalwire_access::{Role, Scope};
use vitalwire_registry::{
    RegistryError, TOKEN_LASTS_MAX, TOKEN_NAME_LEN_MAX, TOKENS_MAX, TokenHash, TokenSecret,
};

use crate::fixture::{Fixture, id, name, reader};

fn at(second: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(second)
}

fn add(fixture: &Fixture, text: &str, role: &Role) -> Result<TokenSecret, RegistryError> {
    let secret = TokenSecret::generate().unwrap();
    fixture.registry.add_token(&name(text), role, &secret, at(10)..at(20)).map(|()| secret)
}

#[test]
fn a_token_is_found_by_its_hash_until_it_ends_or_is_removed() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let before = fixture.registry.directory().unwrap();
    let secret = add(&fixture, "grafana", &reader(&["a"])).unwrap();
    let directory = before.with(fixture.registry.changes_since(before.version).unwrap());
    let found = directory.token(&TokenHash::of(secret.expose()), at(19)).unwrap();
    assert_eq!((found.name.as_str(), &found.role, found.ends_at), ("grafana", &reader(&["a"]), at(20)));
    assert!(directory.token(&secret.hash(), at(20)).is_none(), "it has ended");
    assert!(directory.token(&TokenSecret::generate().unwrap().hash(), at(15)).is_none());
    assert_eq!(fixture.reopen().tokens().unwrap(), [found.as_ref().clone()]);
    fixture.registry.remove_token(&name("grafana")).unwrap();
    let after = directory.with(fixture.registry.changes_since(directory.version).unwrap());
    assert!(after.token(&secret.hash(), at(15)).is_none());
    assert!(matches!(fixture.registry.remove_token(&name("grafana")), Err(RegistryError::TokenUnknown(_))));
    let told: Vec<_> = fixture.registry.audit(0, 100).unwrap();
    let told: Vec<_> = told.iter().filter(|record| record.kind.starts_with("token")).collect();
    assert_eq!(
        (told[0].subject.as_str(), told[0].detail.as_str()),
        ("grafana", "reader of a, until 20 s since 1970")
    );
    assert_eq!((told.len(), told[1].kind.as_str()), (2, "token-removed"));
}

#[test]
fn a_revoked_device_is_out_of_its_scope() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("a"), None).unwrap();
    let secret = add(&fixture, "grafana", &reader(&["a"])).unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    let directory = fixture.registry.directory().unwrap();
    let role = &directory.token(&secret.hash(), at(15)).unwrap().role;
    assert!(!role.sees(&id("a")) && !role.sees_all(), "{role:?}");
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let fixture = Fixture::new();
    let all = Role::Clinician { devices: Scope::All };
    let secret = TokenSecret::generate().unwrap();
    let ended = fixture.registry.add_token(&name("x"), &all, &secret, at(20)..at(20));
    assert!(matches!(ended, Err(RegistryError::TokenEnded(_))));
    let long = fixture.registry.add_token(&name("x"), &all, &secret, at(20)..at(21) + TOKEN_LASTS_MAX);
    assert!(matches!(long, Err(RegistryError::TokenTooLong(_))));
    assert!(matches!(add(&fixture, "x", &reader(&[])), Err(RegistryError::ScopeEmpty(_))));
    assert!(matches!(add(&fixture, "x", &reader(&["a"])), Err(RegistryError::ScopeDeviceUnknown { .. })));
    let long = "x".repeat(TOKEN_NAME_LEN_MAX + 1);
    assert!(matches!(add(&fixture, &long, &all), Err(RegistryError::TextTooLong { .. })));
    assert!(fixture.registry.tokens().unwrap().is_empty());
    add(&fixture, "x", &all).unwrap();
    assert!(matches!(add(&fixture, "x", &all), Err(RegistryError::TokenExists(_))));
    let rows: String =
        (1..TOKENS_MAX).map(|n| format!("('t{n}', 'reader', 1, randomblob(32), 0, 1),")).collect();
    fixture.tamper(&format!("INSERT INTO tokens VALUES {}", rows.trim_end_matches(',')));
    assert!(matches!(add(&fixture, "y", &all), Err(RegistryError::TokensFull { .. })));
}

#[test]
fn rows_that_make_no_sense_open_nothing_and_no_file_has_a_token() {
    let fixture = Fixture::new();
    let secret = add(&fixture, "good", &Role::Admin).unwrap();
    fixture.tamper(
        "INSERT INTO tokens VALUES ('a/b', 'admin', 1, randomblob(32), 0, 99), ('root', 'root', 1, randomblob(32), 0, 99),
         ('short', 'admin', 1, randomblob(31), 0, 99), ('long', 'admin', 1, randomblob(32), 0, 9223372036854775807),
         ('early', 'admin', 1, randomblob(32), -1, 99)",
    );
    let directory = fixture.registry.directory().unwrap();
    assert_eq!(directory.tokens.len(), 1);
    assert!(directory.token(&secret.hash(), at(15)).is_some());
    for file in std::fs::read_dir(fixture.data()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(64).any(|window| window == &secret.expose().as_bytes()[4..]));
    }
}

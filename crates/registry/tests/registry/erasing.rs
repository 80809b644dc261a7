//! Erasure: asked for by the command line, done by the server, and in the way of the name until then.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use vitalwire_registry::{ImportError, LineFault, PROOF_LEN_MAX, RegistryError, UserChange};

use crate::fixture::{Fixture, id, name, password, reader};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_request_revokes_the_device_and_waits_for_the_server() {
    let fixture = Fixture::new();
    let link = fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.add_tls_device(&id("b")).unwrap();
    fixture.registry.add_user(&name("ana"), reader(&["a", "b"]), &password("long enough")).unwrap();
    assert_eq!(fixture.registry.erasure(&id("a")).unwrap(), None);
    let before = fixture.registry.directory().unwrap();
    assert!(before.erasures.is_empty());
    let asked = fixture.registry.request_erasure(&id("a")).unwrap();
    assert_eq!((&asked.device, &asked.done), (&id("a"), &None));
    let changes = fixture.registry.changes_since(before.version).unwrap();
    assert!(matches!(&changes.users[..], [UserChange::Present(ana)] if ana.role == reader(&["b"])));
    let pending = before.with(changes);
    assert_eq!(*pending.erasures, BTreeSet::from([id("a")]));
    assert!(!pending.devices.contains_key("a") && pending.link(&link.id, SystemTime::now()).is_none());
    assert_eq!(fixture.reopen().directory().unwrap().erasures, pending.erasures);

    assert!(fixture.registry.erasure_done(&id("a"), 1_234, "0 of 1,234 entries are left").unwrap());
    let done = pending.with(fixture.registry.changes_since(pending.version).unwrap());
    assert!(done.erasures.is_empty());
    let info = fixture.registry.erasure(&id("a")).unwrap().unwrap();
    let what = info.done.unwrap();
    assert_eq!((what.entries, what.proof.as_str()), (1_234, "0 of 1,234 entries are left"));
    assert!(info.requested_at <= what.at);
}

#[test]
fn the_name_is_free_again_only_when_the_erasure_is_done() {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.request_erasure(&id("a")).unwrap();
    let refused = fixture.registry.add_tls_device(&id("a")).unwrap_err();
    assert!(matches!(&refused, RegistryError::ErasurePending(a) if *a == id("a")));
    assert!(refused.to_string().contains("server"), "{refused}");
    assert!(fixture.registry.add_cbc_device(&id("a"), None).is_err());
    let line = r#"{"id":"a","key":"key0000000000007","iv":"AAAAAAAAAAAAAAAA"}"#;
    let import = fixture.registry.import_paper_keys(line.as_bytes());
    assert!(
        matches!(
            import,
            Err(ImportError::Line { fault: LineFault::Enrol(RegistryError::ErasurePending(_)), .. })
        ),
        "{import:?}"
    );
    fixture.registry.erasure_done(&id("a"), 0, "").unwrap();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    assert_eq!(fixture.registry.device(&id("a")).unwrap().generation, 2);
}

#[test]
fn asking_twice_is_one_request_and_doing_it_twice_tells_so() {
    let fixture = Fixture::new();
    let first = fixture.registry.request_erasure(&id("never-enrolled")).unwrap();
    assert_eq!(fixture.registry.request_erasure(&id("never-enrolled")).unwrap(), first);
    assert!(fixture.registry.erasure_done(&id("never-enrolled"), 0, "none").unwrap());
    assert!(!fixture.registry.erasure_done(&id("never-enrolled"), 7, "again").unwrap());
    assert!(!fixture.registry.erasure_done(&id("other"), 7, "no one asked").unwrap());
    let info = fixture.registry.erasure(&id("never-enrolled")).unwrap().unwrap();
    assert_eq!(info.done.unwrap().proof, "none");
    let again = fixture.registry.request_erasure(&id("never-enrolled")).unwrap();
    assert!(again.done.is_none(), "a later request is a new one");
}

#[test]
fn all_links_that_a_device_ever_had_are_known_after_it_is_revoked() {
    let fixture = Fixture::new();
    let first = fixture.registry.add_tls_device(&id("a")).unwrap();
    let second =
        fixture.registry.rotate_device(&id("a"), Duration::ZERO).unwrap().links().unwrap().current.clone();
    fixture.registry.request_erasure(&id("a")).unwrap();
    fixture.registry.erasure_done(&id("a"), 0, "").unwrap();
    let third = fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.add_tls_device(&id("b")).unwrap();
    fixture.registry.revoke_device(&id("a")).unwrap();
    let expected = BTreeSet::from([first.id, second.id, third.id]);
    assert_eq!(fixture.registry.links_ever(&id("a")).unwrap(), expected);
    assert!(fixture.registry.links_ever(&id("c")).unwrap().is_empty());
}

#[test]
fn refuses_a_proof_that_is_too_long() {
    let fixture = Fixture::new();
    fixture.registry.request_erasure(&id("a")).unwrap();
    let long = "x".repeat(PROOF_LEN_MAX + 1);
    let refused = fixture.registry.erasure_done(&id("a"), 1, &long);
    assert!(matches!(refused, Err(RegistryError::ProofTooLong { len: 1_001 })), "{refused:?}");
    assert!(fixture.registry.erasure_done(&id("a"), 1, &long[1..]).unwrap());
}

#[tokio::test]
async fn the_watch_brings_requests_and_takes_them_away() {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture.registry.request_erasure(&id("before")).unwrap();
    let (_watch, mut directories) = vitalwire_registry::watch(fixture.reopen()).unwrap();
    assert_eq!(*directories.borrow().erasures, BTreeSet::from([id("before")]));
    for (act, expected) in [(true, vec![id("a"), id("before")]), (false, vec![id("before")])] {
        if act {
            fixture.registry.request_erasure(&id("a")).unwrap();
        } else {
            fixture.registry.erasure_done(&id("a"), 3, "none left").unwrap();
        }
        let expected: BTreeSet<_> = expected.into_iter().collect();
        let seen = directories.wait_for(|directory| *directory.erasures == expected);
        let seen = Arc::clone(&tokio::time::timeout(PATIENCE, seen).await.expect("never seen").unwrap());
        assert!(!seen.devices.contains_key("a"));
    }
}

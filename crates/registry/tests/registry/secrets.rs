//! No key and no password reaches a file of the data folder or anything printable.

use std::collections::HashSet;
use std::fs;

use vitalwire_access::Role;
use vitalwire_registry::{MasterKey, ROTATION_OVERLAP, Registry};

use crate::fixture::{Fixture, id, link_of, name, numbered, password, secret};

const PASSWORDS: [&str; 2] = ["correct horse battery", "hunter2 hunter2"];

/// A registry with a history, and every key and IV it ever held.
fn lived_in() -> (Fixture, Vec<[u8; 16]>) {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    let given = secret(b"paperkeypaperkey", b"paperivxpaperivx");
    let mut secrets = vec![given.clone(), numbered(7)];
    registry.add_cbc_device(&id("given"), Some(given)).unwrap();
    for number in 0..20 {
        let id = id(&format!("device-{number}"));
        secrets.push(registry.add_cbc_device(&id, None).unwrap());
        let rotated = registry.rotate_device(&id, ROTATION_OVERLAP).unwrap();
        secrets.push(rotated.cbc_secret().unwrap().clone());
        if number % 2 == 0 {
            registry.revoke_device(&id).unwrap();
        }
    }
    let mut keys = Vec::new();
    for number in 0..20 {
        let id = id(&format!("link-{number}"));
        keys.push(registry.add_tls_device(&id).unwrap().psk);
        keys.push(link_of(&registry.rotate_device(&id, ROTATION_OVERLAP).unwrap()).psk);
    }
    let line = r#"{"id":"imported","key":"key0000000000007","iv":"AAAAAAAAAAAAAAAA"}"#;
    registry.import_paper_keys(line.as_bytes()).unwrap();
    registry.add_user(&name("ana"), Role::Admin, &password(PASSWORDS[0])).unwrap();
    registry.set_password(&name("ana"), &password(PASSWORDS[1])).unwrap();
    let halves = keys.iter().flat_map(|psk| psk.bytes().as_chunks::<16>().0.to_vec());
    let parts = secrets.iter().flat_map(|secret| [*secret.key(), *secret.iv()]).chain(halves).collect();
    (fixture, parts)
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn the_data_folder_holds_no_key_no_iv_and_no_password_in_any_file() {
    let (fixture, parts) = lived_in();
    let files =
        || fs::read_dir(fixture.data()).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    assert!(files().any(|bytes| contains(&bytes, b"device-7")), "the scan must look where the rows are");
    let hex =
        |part: &[u8; 16]| part.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into_bytes();
    let raw: HashSet<&[u8]> = parts.iter().map(|part| part.as_slice()).collect();
    let digits: HashSet<Vec<u8>> = parts.iter().map(hex).collect();
    for bytes in files() {
        assert!(!bytes.windows(16).any(|window| raw.contains(window)));
        assert!(!bytes.windows(32).any(|window| digits.contains(window)));
        for password in PASSWORDS {
            assert!(!contains(&bytes, password.as_bytes()));
        }
    }
}

#[test]
fn the_data_folder_holds_no_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let path = vitalwire_registry::master_key_path(&data, None);
    let master = MasterKey::create(&path).unwrap();
    let registry = Registry::create(&data, &master).unwrap();
    registry.add_cbc_device(&id("a"), None).unwrap();
    let text = fs::read_to_string(&path).unwrap();
    let digits = text.trim_end();
    let key: Vec<u8> =
        (0..32).map(|byte| u8::from_str_radix(&digits[2 * byte..2 * byte + 2], 16).unwrap()).collect();
    for entry in fs::read_dir(&data).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!contains(&bytes, &key) && !contains(&bytes, digits.as_bytes()));
    }
}

#[test]
fn debug_of_everything_shows_no_key_and_no_hash() {
    let (fixture, parts) = lived_in();
    let directory = fixture.registry.directory().unwrap();
    let changes = fixture.registry.changes_since(0).unwrap();
    let shown = format!(
        "{directory:#?} {changes:#?} {:?} {:?} {:?} {:?}",
        fixture.registry,
        fixture.master,
        fixture.registry.users().unwrap(),
        fixture.registry.devices().unwrap()
    );
    assert!(shown.contains("device-7") && shown.contains("ana"));
    assert!(!shown.contains("argon2"), "{shown}");
    for part in parts {
        assert!(!contains(shown.as_bytes(), &part));
        assert!(!shown.contains(&format!("{part:?}")));
    }
}

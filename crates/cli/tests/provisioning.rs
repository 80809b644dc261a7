//! The real binary gives a device its identity: the sector of the flash, and the label that sets it up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use support::{Data, stderr, vitalwire};
use vitalwire_device::identity::{Credentials, Identity};

/// Provisions a device; the sector, and what the file for the boot loader puts at its place.
fn provisioned(data: &Data, id: &str, more: &[&str]) -> (Vec<u8>, Vec<u8>) {
    let file = |kind| data.folder().with_file_name(format!("{id}.{kind}"));
    let (bin, uf2): (PathBuf, PathBuf) = (file("bin"), file("uf2"));
    let paths = ["--bin", bin.to_str().unwrap(), "--uf2", uf2.to_str().unwrap()];
    assert_eq!(data.must(&[&["device", "provision", id], &paths[..], more].concat()), "");
    for path in [&bin, &uf2] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let blocks = std::fs::read(uf2).unwrap();
    let word = |block: &[u8], at: usize| u32::from_le_bytes(block[at..at + 4].try_into().unwrap());
    let (blocks, rest) = blocks.as_chunks::<512>();
    assert!(rest.is_empty());
    for (block, number) in blocks.iter().zip(0..) {
        assert_eq!(word(block, 12), 0x1008_0000 + 256 * number);
    }
    let payload = blocks.iter().flat_map(|block| block[32..288].to_vec()).collect();
    (std::fs::read(bin).unwrap(), payload)
}

#[test]
fn a_sector_of_the_flash_holds_the_identity_of_either_protocol() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    data.must(&["device", "add", "old_01", "--protocol", "aes-cbc"]);
    for (id, more) in [("bed_07", &["--wpa2"][..]), ("old_01", &[])] {
        let (sector, programmed) = provisioned(&data, id, more);
        assert_eq!((sector.len(), sector == programmed), (4_096, true));
        let identity = Identity::decode(&sector).unwrap().unwrap();
        match &identity.credentials {
            Credentials::Link { id: link, psk } => {
                let shown = data.must(&["device", "psk", id]);
                let (link, psk) = (std::str::from_utf8(link).unwrap(), hex(psk));
                assert_eq!((identity.name.as_str(), id), (link, "bed_07"));
                assert!(shown.contains(link) && shown.contains(&psk), "the identity is the registry's");
            }
            Credentials::Frames { key, iv } => {
                assert_eq!((identity.name.as_str(), id), ("old_01", "old_01"));
                let line = data.must(&["device", "rotate", id]);
                assert!(!line.contains(std::str::from_utf8(key).unwrap()) && key != iv);
            }
        }
        assert_eq!(identity.access_point_password.is_some(), more.contains(&"--wpa2"));
    }
}

#[test]
fn each_provisioning_draws_a_fresh_seed_and_the_setup_key_is_that_of_the_label() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let identities = ["a.bin", "b.bin"].map(|name| {
        let path = data.folder().with_file_name(name);
        data.must(&["device", "provision", "bed_07", "--wpa2", "--bin", path.to_str().unwrap()]);
        Identity::decode(&std::fs::read(path).unwrap()).unwrap().unwrap()
    });
    let [one, other] = &identities;
    assert_ne!(one.seed, other.seed);
    assert_eq!(one.setup_key, other.setup_key);
    let label = data.must(&["device", "label", "bed_07", "--setup", "--wpa2"]);
    let password = one.access_point_password.as_deref().unwrap();
    assert!(label.contains(&format!("http://192.168.4.1/#{}", hex(&one.setup_key))), "{label}");
    assert!(label.contains(&format!("password: {password}")), "{label}");
}

#[test]
fn a_new_enrolment_is_another_device_and_a_new_key_is_not() {
    let data = Data::new();
    let tag = |file: &str| {
        let path = data.folder().with_file_name(file);
        data.must(&["device", "provision", "bed_07", "--bin", path.to_str().unwrap()]);
        Identity::decode(&std::fs::read(path).unwrap()).unwrap().unwrap().tag
    };
    data.must(&["device", "add", "bed_07"]);
    let first = tag("first.bin");
    data.must(&["device", "rotate", "bed_07"]);
    assert_eq!(tag("rotated.bin"), first);
    data.must(&["device", "revoke", "bed_07"]);
    // The moment of an enrolment has whole seconds.
    let second = || UNIX_EPOCH.elapsed().unwrap().as_secs();
    let revoked = second();
    while second() == revoked {
        std::thread::sleep(Duration::from_millis(10));
    }
    data.must(&["device", "add", "bed_07"]);
    assert_ne!(tag("again.bin"), first);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn no_file_is_overwritten_and_one_must_be_named() {
    let data = Data::new();
    data.must(&["device", "add", "bed_07"]);
    let kept = data.file("kept.bin", "mine");
    let refused = |arguments: &[&str]| {
        let output = vitalwire().args(arguments).args(["--data", data.path()]).output().unwrap();
        assert!(!output.status.success());
        stderr(&output)
    };
    let message = refused(&["device", "provision", "bed_07", "--bin", kept.to_str().unwrap()]);
    assert!(message.contains("there already"), "{message}");
    assert_eq!(std::fs::read_to_string(kept).unwrap(), "mine");
    let message = refused(&["device", "provision", "bed_07"]);
    assert!(message.contains("--bin"), "{message}");
}

#[test]
fn the_setup_label_says_page_key_and_password_and_the_audit_log_who_saw_them() {
    let data = Data::new();
    data.must(&["device", "add", "old_01", "--protocol", "aes-cbc"]);
    let text = data.must(&["device", "label", "old_01", "--setup", "--wpa2"]);
    let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (page, key, password) = (line("page: "), line("setup key: "), line("password: "));
    assert_eq!((page, key.len()), (format!("http://192.168.4.1/#{key}"), 32));
    assert_eq!((line("network: ").as_str(), password.len()), ("Med_IoT", 12));
    assert!(!data.must(&["device", "label", "old_01", "--setup"]).contains(&password));
    provisioned(&data, "old_01", &[]);
    let shown = data.must(&["audit", "show", "--after", "0"]);
    assert_eq!(shown.lines().filter(|line| line.contains("key-shown")).count(), 3, "{shown}");
}

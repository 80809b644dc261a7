//! The real binary gives a device its identity: the sector of the flash, and the label that sets it up.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may fail loudly")]
#![allow(dead_code, missing_docs, unreachable_pub, reason = "support is shared by several test programs")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use support::{Data, stderr, vitalwire};

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
        let len = usize::from(u16::from_le_bytes([sector[4], sector[5]]));
        assert_eq!(&sector[..4], b"VWID");
        assert!(sector[6 + len + 4..].iter().all(|byte| *byte == 0xff));
    }
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

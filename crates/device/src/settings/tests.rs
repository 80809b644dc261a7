//! Settings from and to literal bytes, and every limit.

extern crate std;

use std::format;
use std::string::String;
use std::vec::Vec;

use super::*;

/// `["gateway.example", 9998, h'576172640a80', "correct horse"]`.
const BYTES: &[u8] = b"\x84\x6fgateway.example\x19\x27\x0e\x46Ward\x0a\x80\x6dcorrect horse";

fn settings() -> Settings {
    Settings::new("gateway.example", 9_998, b"Ward\n\x80", "correct horse").unwrap()
}

fn encoded(settings: &Settings) -> Vec<u8> {
    let mut out = [0; ENCODED_LEN_MAX];
    let len = settings.encode(&mut out).unwrap();
    out[..len].to_vec()
}

#[test]
fn settings_are_these_bytes() {
    assert_eq!(encoded(&settings()), BYTES);
    assert_eq!(Settings::decode(BYTES), Ok(settings()));
}

#[test]
fn every_cut_is_refused() {
    for len in 0..BYTES.len() {
        assert_eq!(Settings::decode(&BYTES[..len]), Err(SettingsError::Form), "{len} bytes");
        assert!(settings().encode(&mut std::vec![0; len]).is_err(), "{len} bytes");
    }
}

#[test]
fn further_items_are_ignored() {
    let mut bytes = BYTES.to_vec();
    bytes[0] = 0x86;
    bytes.extend_from_slice(b"\xf5\x81\x01");
    assert_eq!(Settings::decode(&bytes), Ok(settings()));
    bytes[0] = 0x83;
    assert_eq!(Settings::decode(&bytes), Err(SettingsError::Form));
}

#[test]
fn the_longest_settings_fill_their_limit() {
    let label = "a".repeat(63);
    let server = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(server.len(), SERVER_LEN_MAX);
    let longest = Settings::new(&server, 65_535, &[0xff; 32], &"0".repeat(64)).unwrap();
    let bytes = encoded(&longest);
    assert_eq!(bytes.len(), ENCODED_LEN_MAX);
    assert_eq!(Settings::decode(&bytes), Ok(longest));
}

#[test]
fn a_server_is_an_address_or_a_name() {
    for good in [
        "192.168.1.20",
        "0.0.0.0",
        "a",
        "gateway",
        "GATEWAY-2.ward.example",
        "10.example",
        "1a.2b",
        "3com.com",
    ] {
        assert!(Settings::new(good, 1, b"n", "").is_ok(), "{good}");
    }
    let long = "a".repeat(64);
    for bad in [
        "192.168.1",
        "192.168.1.256",
        "1.2.3.4.5",
        "12",
        "a.12",
        "-a",
        "a-",
        "a..b",
        ".a",
        "a.",
        "a b",
        "a_b",
        "ü",
        "a:1",
        "a/b",
        "a\"b",
        "a\r\nb",
        "a\0",
        "::1",
        long.as_str(),
    ] {
        assert_eq!(Settings::new(bad, 1, b"n", ""), Err(SettingsError::Server), "{bad:?}");
    }
    assert_eq!(Settings::new("", 1, b"n", ""), Err(SettingsError::ServerLength { len: 0 }));
    assert_eq!(Settings::new(&"a.".repeat(150), 1, b"n", ""), Err(SettingsError::ServerLength { len: 300 }));
}

#[test]
fn a_port_is_one_of_tcp() {
    for port in [0, 65_536, u64::MAX] {
        assert_eq!(Settings::new("a", port, b"n", ""), Err(SettingsError::Port { port }));
    }
}

#[test]
fn names_and_passwords_have_the_lengths_of_wifi() {
    for len in [0, 33, 300] {
        let name = std::vec![b'n'; len];
        assert_eq!(Settings::new("a", 1, &name, ""), Err(SettingsError::WifiNameLength { len }));
    }
    let hexadecimal = "0123456789abcdefABCDEF0123456789".repeat(2);
    for good in [String::new(), "p".repeat(8), "~".repeat(63), hexadecimal] {
        assert!(Settings::new("a", 1, b"n", &good).is_ok(), "{good}");
    }
    for bad in ["p".repeat(7), "p".repeat(64), "p".repeat(65), "pässword".into(), "with\ttab!".into()] {
        assert_eq!(Settings::new("a", 1, b"n", &bad), Err(SettingsError::WifiPassword), "{bad}");
    }
}

#[test]
fn printing_settings_shows_no_password() {
    let printed = format!("{:?}", settings());
    assert!(printed.contains("gateway.example") && !printed.contains("horse"), "{printed}");
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        if let Ok(settings) = Settings::decode(&bytes) {
            assert_eq!(Settings::decode(&encoded(&settings)), Ok(settings));
        }
    }
}

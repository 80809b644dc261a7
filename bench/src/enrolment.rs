//! The devices of the benches: ids and secrets made from a number, so that every process of a run knows them
//! without a file. They protect nothing and never leave this machine.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};

/// 64 printable characters, so that six bits choose one.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A sample as the paper's devices write it.
pub(crate) const SAMPLE_JSON: &str = r#"{"Temp":"36.600","TempMcu":"23.700","PulseSig":"1.802","Acel_x":"0.000","Acel_y":"-0.12","Acel_z":"0.980","TempMpu":"23.400"}"#;

/// The same sample's topics below `Pico/<id>/` and values; the last completes it.
pub(crate) const SAMPLE_TOPICS: [(&str, &str); 7] = [
    ("Physiological_Data/Temperature", "36.600"),
    ("Internal_Device_Data/Temperature/MCU", "23.700"),
    ("Physiological_Data/Pulse_Signal", "1.802"),
    ("Physiological_Data/Accelerometer/x", "0.000"),
    ("Physiological_Data/Accelerometer/y", "-0.12"),
    ("Physiological_Data/Accelerometer/z", "0.980"),
    ("Internal_Device_Data/Temperature/MPU", "23.400"),
];

pub(crate) fn device_id(index: usize) -> String {
    format!("bench_{index:06}")
}

/// The index in an id of [`device_id`].
pub(crate) fn device_index(id: &[u8]) -> Option<usize> {
    std::str::from_utf8(id).ok()?.strip_prefix("bench_")?.parse().ok()
}

/// Key and IV of a device: 16 printable characters each, as in the paper's key files.
pub(crate) fn secret(index: usize) -> ([u8; 16], [u8; 16]) {
    (characters(index as u64 * 2), characters(index as u64 * 2 + 1))
}

/// SplitMix64 (Steele, Lea and Flood, 2014), written in 64 characters.
fn characters(seed: u64) -> [u8; 16] {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    std::array::from_fn(|_| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let choice = usize::from((mixed >> 56).to_le_bytes()[0] & 0x3F);
        ALPHABET.get(choice).copied().unwrap_or(b'A')
    })
}

/// `DEVICES_KEYS.txt` of the first `count` devices.
pub(crate) fn key_file(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let (key, iv) = secret(index);
        let (key, iv) = (String::from_utf8_lossy(&key), String::from_utf8_lossy(&iv));
        // Writing to a String cannot fail.
        let _ = writeln!(text, r#"{{ "id":"{}", "key":"{key}", "iv":"{iv}"}}"#, device_id(index));
    }
    text
}

/// mosquitto's `psk_file` of the first `count` devices: `identity:hex key`.
pub(crate) fn psk_file(count: usize) -> String {
    let mut text = String::new();
    for index in 0..count {
        let _ = write!(text, "{}:", device_id(index));
        for byte in secret(index).0 {
            let _ = write!(text, "{byte:02x}");
        }
        text.push('\n');
    }
    text
}

/// A loopback address of its own for each device, as devices have, so that neither ports nor limits per address
/// run out: 127.1.1.1 upwards.
pub(crate) fn source_address(index: usize) -> SocketAddr {
    let digit = |divisor: usize| u8::try_from(index / divisor % 250 + 1).unwrap_or(1);
    (Ipv4Addr::new(127, digit(62_500), digit(250), digit(1)), 0).into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_hundred_thousand_secrets_differ() {
        let keys: HashSet<_> = (0..100_000).map(|index| secret(index).0).collect();
        assert_eq!(keys.len(), 100_000);
    }

    #[test]
    fn the_index_is_read_back_from_the_id() {
        assert_eq!(device_index(device_id(42).as_bytes()), Some(42));
    }

    #[test]
    fn the_key_file_reads_as_the_papers() {
        let file = key_file(1);
        assert!(file.starts_with(r#"{ "id":"bench_000000", "key":""#), "{file}");
        assert_eq!(
            file.len(),
            r#"{ "id":"bench_000000", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}"#.len() + 1
        );
    }
}

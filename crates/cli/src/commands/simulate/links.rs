//! The file of link ids and keys for `simulate fleet --protocol tls`: one `name identity psk` a line. Its errors name the
//! line and never show what stands in it.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use secrecy::zeroize::Zeroizing;
use vitalwire_access::DeviceId;
use vitalwire_simulator::fleet::{FleetDevice, Link};

use crate::safety::check_secret_file;

/// Bytes of the longest line: a name of 64, the identity of 32, the key of 64, and room for blanks.
const LINE_LEN_MAX: u64 = 256;
/// Lines of the longest file.
const LINES_MAX: usize = 200_000;
const PSK_LEN: usize = 32;

/// Reads the file, which only its owner may read.
///
/// # Errors
/// The file cannot be read, others can read it, or a line is not as it should be.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<FleetDevice>> {
    let shown = path.display();
    check_secret_file(path)?;
    let mut file =
        BufReader::new(File::open(path).with_context(|| format!("cannot open the links file {shown}"))?);
    let (mut devices, mut names) = (Vec::new(), HashSet::new());
    for number in 1..=LINES_MAX {
        let mut line = Zeroizing::new(String::new());
        let len = std::io::Read::take(&mut file, LINE_LEN_MAX).read_line(&mut line);
        if len.with_context(|| format!("{shown}, line {number}"))? == 0 {
            return Ok(devices);
        }
        if !line.ends_with('\n') && line.len() as u64 == LINE_LEN_MAX {
            bail!("{shown}, line {number}: longer than {LINE_LEN_MAX} bytes");
        }
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let device = device(text).with_context(|| format!("{shown}, line {number}"))?;
        if !names.insert(device.id.clone()) {
            bail!("{shown}, line {number}: the name comes twice");
        }
        devices.push(device);
    }
    bail!("{shown}: more than {LINES_MAX} lines");
}

fn device(line: &str) -> anyhow::Result<FleetDevice> {
    let mut words = line.split_ascii_whitespace();
    let (Some(name), Some(identity), Some(psk), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        bail!("want three words: name, identity (32 hex digits), psk (64 hex digits)");
    };
    let name: DeviceId = name.parse()?;
    Ok(FleetDevice::batches(name.to_string(), Link::new(identity, *key(psk)?)?))
}

fn key(digits: &str) -> anyhow::Result<Zeroizing<[u8; PSK_LEN]>> {
    let mut key = Zeroizing::new([0; PSK_LEN]);
    let nibble = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let digits = digits.as_bytes();
    if digits.len() != 2 * PSK_LEN {
        bail!("the psk has {} characters: want {}", digits.len(), 2 * PSK_LEN);
    }
    for (byte, pair) in key.iter_mut().zip(digits.chunks(2)) {
        let nibbles: Option<Vec<u8>> = pair.iter().map(|digit| nibble(*digit)).collect();
        let Some([high, low]) = nibbles.as_deref() else { bail!("the psk is not hexadecimal") };
        *byte = high << 4 | low;
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    const IDENTITY: &str = "00112233445566778899aabbccddeeff";
    const PSK: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1F";

    fn read_text(text: &str, mode: u32) -> anyhow::Result<Vec<FleetDevice>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("LINKS.txt");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        read(&path)
    }

    #[test]
    fn a_line_is_a_device() {
        let text = format!("# comment\n\nbed_1 {IDENTITY} {PSK}\nbed_2\t{IDENTITY}  {PSK}");
        let devices = read_text(&text, 0o600).unwrap();
        let ids: Vec<&str> = devices.iter().map(|device| device.id.as_str()).collect();
        assert_eq!(ids, ["bed_1", "bed_2"]);
        assert_eq!(*key(PSK).unwrap(), std::array::from_fn(|at| u8::try_from(at).unwrap()));
    }

    #[test]
    fn a_wrong_line_is_named_and_never_shown() {
        let short = &PSK[1..];
        let long = "x".repeat(300);
        for (line, reason) in [
            (format!("bed_1 {IDENTITY}"), "three words"),
            (format!("bed_1 {IDENTITY} {PSK} more"), "three words"),
            (format!("bed_1 {IDENTITY} {short}"), "63 characters"),
            (format!("bed_1 {IDENTITY} {short}g"), "not hexadecimal"),
            (format!("bed_1 {} {PSK}", IDENTITY.to_uppercase()), "lowercase hexadecimal"),
            (format!("bed/1 {IDENTITY} {PSK}"), "cannot stand in a name"),
            (long, "longer than 256"),
            (format!("bed_0 {IDENTITY} {PSK}"), "twice"),
        ] {
            let error = read_text(&format!("bed_0 {IDENTITY} {PSK}\n{line}\n"), 0o600).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains("line 2") && error.contains(reason), "{error}");
            assert!(!error.contains("0c0d0e"), "{error}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        assert!(read_text("", 0o644).unwrap_err().to_string().contains("chmod 600"));
    }
}

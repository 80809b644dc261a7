//! What sealing and the master key file must hold to.

use super::*;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;

fn sealer() -> Sealer {
    Sealer::new(&MasterKey(SecretBox::new(Box::new([7; 32]))))
}

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

fn secret() -> CbcSecret {
    CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA")
}

#[test]
fn opens_what_it_sealed() {
    let sealed = sealer().seal(&id("a"), &secret());
    assert!(sealer().open(&id("a"), &sealed).unwrap() == secret());
}

#[test]
fn finds_every_flipped_bit_and_every_cut() {
    let sealed = sealer().seal(&id("a"), &secret());
    for bit in 0..sealed.len() * 8 {
        let mut flipped = sealed;
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(sealer().open(&id("a"), &flipped).err(), Some(SealBroken), "bit {bit}");
    }
    for len in 0..sealed.len() {
        assert_eq!(sealer().open(&id("a"), &sealed[..len]).err(), Some(SealBroken), "length {len}");
    }
}

#[test]
fn does_not_open_for_another_device_or_another_master_key() {
    let sealed = sealer().seal(&id("a"), &secret());
    assert!(sealer().open(&id("b"), &sealed).is_err());
    let other = Sealer::new(&MasterKey::generate().unwrap());
    assert!(other.open(&id("a"), &sealed).is_err());
    assert!(!other.opens_check_value(&sealer().check_value()));
    assert!(sealer().opens_check_value(&sealer().check_value()));
}

#[test]
fn sealed_form_is_that_of_version_1() {
    // Computed with another implementation (Python `cryptography`: HKDF-SHA256 and aes_key_wrap), so that a change of
    // the format, which would make every registry unreadable, cannot pass unseen.
    let hex: String =
        sealer().seal(&id("iot_med_dev_01"), &secret()).iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, "f4eaab4d3472900d5d22dcbb50801e5d55a6d0eed8347351db5849b02b75108e57286428cda83e87");
}

#[test]
fn fingerprints_tell_key_and_iv_apart() {
    let other_iv = CbcSecret::new(*secret().key(), [b'B'; 16]);
    assert_eq!(sealer().fingerprint(&secret()), sealer().fingerprint(&secret()));
    assert_ne!(sealer().fingerprint(&secret()), sealer().fingerprint(&other_iv));
}

#[test]
fn generated_keys_are_printable_use_the_whole_alphabet_and_differ() {
    let mut seen = BTreeSet::new();
    let mut symbols = BTreeSet::new();
    for _ in 0..500 {
        let secret = generate_device_secret().unwrap();
        assert!(secret.key().iter().chain(secret.iv()).all(u8::is_ascii_graphic));
        assert_ne!(secret.key(), secret.iv());
        symbols.extend(secret.key().iter().chain(secret.iv()).copied());
        assert!(seen.insert(*secret.key()));
    }
    assert_eq!(symbols, KEY_ALPHABET.iter().copied().collect());
}

#[test]
fn master_key_survives_its_file_which_is_private() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master-key");
    let made = MasterKey::create(&path).unwrap();
    let loaded = MasterKey::load(&path).unwrap();
    assert_eq!(made.0.expose_secret(), loaded.0.expose_secret());
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(MasterKey::load(&path).is_ok());
}

#[test]
fn never_overwrites_a_master_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master-key");
    MasterKey::create(&path).unwrap();
    let before = fs::read(&path).unwrap();
    assert!(matches!(MasterKey::create(&path), Err(RegistryError::MasterKeyExists { .. })));
    assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn refuses_a_master_key_others_can_reach_and_says_what_to_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("master-key");
    MasterKey::create(&path).unwrap();
    for mode in [0o644, 0o640, 0o604, 0o620, 0o700, 0o660, 0o4600] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let error = MasterKey::load(&path).unwrap_err();
        assert!(matches!(error, RegistryError::Mode { mode: m, .. } if m == mode), "{mode:o}: {error}");
        assert!(error.to_string().contains("chmod 0600"), "{error}");
    }
}

#[test]
fn refuses_a_file_that_is_no_master_key_at_every_cut() {
    let text = MasterKey::generate().unwrap().to_text();
    assert!(MasterKey::from_text(&text).is_some());
    assert!(MasterKey::from_text(&text[..64]).is_some());
    for len in 0..64 {
        assert!(MasterKey::from_text(&text[..len]).is_none(), "length {len}");
    }
    let long = [&text[..], b"\n"].concat();
    assert!(MasterKey::from_text(&long).is_none());
    for place in 0..64 {
        let mut bad = text.to_vec();
        bad[place] = b'g';
        assert!(MasterKey::from_text(&bad).is_none(), "place {place}");
    }
}

#[test]
fn an_absent_master_key_is_told_as_such() {
    let error = MasterKey::load(Path::new("/nonexistent/master-key")).unwrap_err();
    assert!(matches!(error, RegistryError::MasterKeyAbsent { .. }));
}

#[test]
fn master_key_lies_beside_the_data_folder_unless_said_otherwise() {
    let data = Path::new("/var/lib/vitalwire");
    assert_eq!(key_path(data, None, None), Path::new("/var/lib/vitalwire.master-key"));
    assert_eq!(key_path(Path::new("data/"), None, None), Path::new("data.master-key"));
    assert_eq!(key_path(data, Some(Path::new("/k")), None), Path::new("/k"));
    let here = std::env::current_dir().unwrap();
    let name = format!("{}.master-key", here.file_name().unwrap().to_str().unwrap());
    assert_eq!(key_path(Path::new("."), None, None), here.with_file_name(name));
}

#[test]
fn a_systemd_credential_is_preferred_when_it_exists() {
    let credentials = tempfile::tempdir().unwrap();
    let data = Path::new("/d");
    assert_eq!(key_path(data, None, Some(credentials.path())), Path::new("/d.master-key"));
    let credential = credentials.path().join(CREDENTIAL_NAME);
    MasterKey::create(&credential).unwrap();
    assert_eq!(key_path(data, None, Some(credentials.path())), credential);
    assert_eq!(key_path(data, Some(Path::new("/k")), Some(credentials.path())), Path::new("/k"));
}

#[test]
fn debug_shows_no_key() {
    let key = MasterKey(SecretBox::new(Box::new([7; 32])));
    assert_eq!(format!("{key:?}"), "MasterKey(..)");
}

//! What the master key and its file must hold to.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;

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

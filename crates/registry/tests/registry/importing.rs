//! Importing the paper's key file.

use vitalwire_registry::{ImportError, ImportReport, LineFault, RegistryError};

use crate::fixture::{Fixture, id, numbered, secret_of};

const FILE: &str = r#"{ "id":"iot_med_dev_01", "key":"1234567890123456", "iv":"AAAAAAAAAAAAAAAA"}

{ "id":"iot_med_dev_02", "key":"2345678901234567", "iv":"AAAAAAAAAAAAAAAA"}
"#;

fn import(fixture: &Fixture, text: &str) -> Result<ImportReport, ImportError> {
    fixture.registry.import_paper_keys(text.as_bytes())
}

fn fault(result: Result<ImportReport, ImportError>) -> (usize, LineFault) {
    match result {
        Err(ImportError::Line { line, fault }) => (line, fault),
        other => panic!("{other:?}"),
    }
}

#[test]
fn imports_once_and_then_finds_everything_unchanged() {
    let fixture = Fixture::new();
    assert_eq!(import(&fixture, FILE).unwrap(), ImportReport { added: 2, unchanged: 0 });
    assert_eq!(import(&fixture, FILE).unwrap(), ImportReport { added: 0, unchanged: 2 });
    let directory = fixture.registry.directory().unwrap();
    assert_eq!(secret_of(&directory.devices["iot_med_dev_01"]).key(), b"1234567890123456");
    assert_eq!(directory.devices["iot_med_dev_02"].generation, 1);
}

#[test]
fn a_fault_in_the_last_line_imports_nothing() {
    let fixture = Fixture::new();
    let (line, fault) = fault(import(&fixture, &format!("{FILE}{{\"id\":\"x\"}}")));
    assert!(line == 4 && matches!(fault, LineFault::Missing("key")), "{fault:?}");
    let directory = fixture.registry.directory().unwrap();
    assert_eq!((directory.devices.len(), directory.version), (0, 0));
}

#[test]
fn another_key_for_an_enrolled_device_imports_nothing_and_tells_what_to_do() {
    let fixture = Fixture::new();
    fixture.registry.add_cbc_device(&id("iot_med_dev_02"), Some(numbered(1))).unwrap();
    let error = import(&fixture, FILE).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("line 3") && message.contains("rotate") && message.contains("revoke"),
        "{message}"
    );
    assert!(!message.contains("2345678901234567"), "{message}");
    assert_eq!(fixture.registry.directory().unwrap().devices.len(), 1);
    // As the message says: revoke, and import again.
    fixture.registry.revoke_device(&id("iot_med_dev_02")).unwrap();
    assert_eq!(import(&fixture, FILE).unwrap().added, 2);
    assert_eq!(fixture.registry.device(&id("iot_med_dev_02")).unwrap().generation, 2);
}

#[test]
fn an_old_file_does_not_bring_a_revoked_key_back() {
    let fixture = Fixture::new();
    import(&fixture, FILE).unwrap();
    fixture.registry.revoke_device(&id("iot_med_dev_01")).unwrap();
    let (line, fault) = fault(import(&fixture, FILE));
    assert!(line == 1 && matches!(fault, LineFault::RevokedKey(_)), "{fault:?}");
}

#[test]
fn two_devices_with_one_key_are_refused_at_the_second() {
    let fixture = Fixture::new();
    let (line, fault) = fault(import(&fixture, &FILE.replace("2345678901234567", "1234567890123456")));
    assert_eq!(line, 3);
    assert!(matches!(fault, LineFault::Enrol(RegistryError::KeyTaken { .. })), "{fault:?}");
}

#[test]
fn every_cut_of_the_file_imports_the_lines_that_are_whole_or_nothing() {
    let fixture = Fixture::new();
    for cut in 0..FILE.len() {
        let text = &FILE[..cut];
        let whole = text.lines().filter(|line| line.ends_with('}')).count();
        let before = fixture.registry.devices().unwrap().len();
        match import(&fixture, text) {
            Ok(report) => {
                assert_eq!(report, ImportReport { added: whole - before, unchanged: before }, "cut {cut}")
            }
            Err(error) => assert_eq!(error.line(), Some(text.lines().count()), "cut {cut}: {error}"),
        }
        assert!(fixture.registry.devices().unwrap().len() <= whole, "cut {cut}");
    }
    assert_eq!(fixture.registry.devices().unwrap().len(), 2);
}

//! A rotation that is cut off after any of its steps leaves a registry and a key file that open together.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use secrecy::SecretString;
use tempfile::TempDir;
use vitalwire_access::Role;
use vitalwire_vitals::alarm::{Condition, Priority};

use super::*;
use crate::alarm::{AlarmEvent, AlarmQuery, AlarmRecord, AlarmWrite, Raised};
use crate::device::DeviceKey;
use crate::limits::ROTATION_OVERLAP;
use crate::stay::{PatientChange, Stay};
use crate::store::DATABASE_FILE;

/// Data folder and key file, as a disk holds them.
struct Disk(TempDir);

impl Disk {
    fn new() -> Self {
        let disk = Self(tempfile::tempdir().unwrap());
        let key = MasterKey::create(&disk.key_file()).unwrap();
        let registry = Registry::create(&disk.data(), &key).unwrap();
        let id = |text: &str| text.parse().unwrap();
        registry.add_cbc_device(&id("frames"), None).unwrap();
        registry.add_tls_device(&id("tls")).unwrap();
        registry.add_tls_device(&id("pending")).unwrap();
        registry.rotate_device(&id("pending"), ROTATION_OVERLAP).unwrap();
        registry
            .add_user(&"ana".parse().unwrap(), Role::Admin, &SecretString::from("correct horse"))
            .unwrap();
        let name = Some("Ana Canaria".to_owned());
        let change = PatientChange { name, notes: Some("asthma".to_owned()), ..PatientChange::default() };
        let stay = registry.set_patient(&id("tls"), &change, None).unwrap();
        let raised = Raised {
            condition: Condition::RateHigh,
            priority: Priority::High,
            since_us: 1,
            delay_us: 2,
            value: Some(134.5),
            limit: Some(120.0),
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            is_late: false,
        };
        let seen = AlarmEvent::Acknowledged { by: "bob".to_owned(), reason: "she walked".to_owned() };
        let write =
            |event| AlarmWrite { number: 1, device: Some(id("tls")), stay: Some(stay), time_us: 3, event };
        registry.write_alarms(&[write(AlarmEvent::Raised(raised)), write(seen)]).unwrap();
        disk
    }

    fn data(&self) -> PathBuf {
        self.0.path().join("data")
    }

    fn key_file(&self) -> PathBuf {
        self.0.path().join("key")
    }

    fn open(&self) -> Result<Registry> {
        Registry::open_with_key_file(&self.data(), &self.key_file())
    }

    fn rotate(&self) -> MasterKeyRotation {
        Registry::rotate_master_key(&self.data(), &self.key_file(), None).unwrap()
    }

    /// What a cut at this moment leaves: SQLite's shared index is memory.
    fn cut(&self) -> Self {
        let other = Self(tempfile::tempdir().unwrap());
        fs::create_dir(other.data()).unwrap();
        fs::set_permissions(other.data(), fs::metadata(self.data()).unwrap().permissions()).unwrap();
        for end in ["", "-wal"] {
            let name = format!("{DATABASE_FILE}{end}");
            if self.data().join(&name).exists() {
                fs::copy(self.data().join(&name), other.data().join(&name)).unwrap();
            }
        }
        fs::copy(self.key_file(), other.key_file()).unwrap();
        other
    }
}

/// All that is sealed, opened.
#[derive(PartialEq)]
struct Opened {
    keys: BTreeMap<String, DeviceKey>,
    stays: Vec<Stay>,
    alarms: Vec<AlarmRecord>,
}

fn opened(registry: &Registry) -> Opened {
    let devices = &registry.directory().unwrap().devices;
    let keys = devices.values().map(|device| (device.id.to_string(), device.key.clone())).collect();
    let stays = registry.stays().unwrap();
    let alarms = registry.alarms(&AlarmQuery::default()).unwrap();
    assert!(stays.iter().any(|stay| stay.patient.is_some()) && !stays.iter().any(|stay| stay.is_broken));
    assert!(alarms.len() == 1 && !alarms.iter().any(|alarm| alarm.is_broken));
    Opened { keys, stays, alarms }
}

#[test]
fn cut_off_after_any_step_registry_and_key_file_open_together() {
    let disk = Disk::new();
    let before = opened(&disk.open().unwrap());
    let old_key = MasterKey::load(&disk.key_file()).unwrap();
    let mut cuts = Vec::new();
    disk.open().unwrap().rotate(&disk.key_file(), |step| cuts.push((step, disk.cut()))).unwrap();
    let steps: Vec<_> = cuts.iter().map(|(step, _)| *step).collect();
    assert_eq!(
        steps,
        [
            Step::Locked,
            Step::NextKeyWritten,
            Step::Sealed,
            Step::Committed,
            Step::PresentKeyOverwritten,
            Step::Done
        ]
    );
    for (step, cut) in cuts {
        let is_rotated = [Step::Committed, Step::PresentKeyOverwritten, Step::Done].contains(&step);
        let registry = cut.open().unwrap();
        assert!(opened(&registry) == before, "{step:?}");
        assert_eq!(registry.verify_audit(None).unwrap().fault, None, "{step:?}");
        assert_eq!(registry.directory().unwrap().users.len(), 1);
        drop(registry);
        assert_eq!(Registry::open(&cut.data(), &old_key).is_ok(), !is_rotated, "{step:?}");
        // What was begun is ended first; there it is also enough that a second `init` runs.
        let is_left = [Step::Committed, Step::PresentKeyOverwritten].contains(&step);
        let is_completed =
            Registry::complete_master_key_rotation(&cut.cut().data(), &cut.key_file(), None).unwrap();
        assert_eq!(is_completed, is_left || [Step::NextKeyWritten, Step::Sealed].contains(&step), "{step:?}");
        let again = cut.rotate();
        assert_eq!(fs::metadata(cut.key_file()).unwrap().len(), 65, "{step:?}");
        assert!(matches!(again, MasterKeyRotation::Rotated { devices: 3, .. }), "{step:?} {again:?}");
        let registry = cut.open().unwrap();
        assert!(opened(&registry) == before, "{step:?}");
        assert_eq!(registry.verify_audit(None).unwrap().fault, None, "{step:?}");
    }
}

#[test]
fn the_next_rotation_completes_one_that_was_cut_off_and_makes_no_further_key() {
    let disk = Disk::new();
    let before = opened(&disk.open().unwrap());
    let mut cut = None;
    let keep = |step| {
        if step == Step::Committed {
            cut = Some(disk.cut());
        }
    };
    disk.open().unwrap().rotate(&disk.key_file(), keep).unwrap();
    let cut = cut.unwrap();
    assert_eq!(cut.rotate(), MasterKeyRotation::Completed);
    assert_eq!(fs::read(cut.key_file()).unwrap(), fs::read(disk.key_file()).unwrap());
    assert!(opened(&cut.open().unwrap()) == before);
}

#[test]
fn what_fails_before_its_end_changes_nothing() {
    let disk = Disk::new();
    let key = fs::read(disk.key_file()).unwrap();
    let by_hand = rusqlite::Connection::open(disk.data().join(DATABASE_FILE)).unwrap();
    by_hand.execute_batch("ALTER TABLE devices RENAME TO hidden").unwrap();
    assert!(Registry::rotate_master_key(&disk.data(), &disk.key_file(), None).is_err());
    assert_eq!(fs::read(disk.key_file()).unwrap(), key);
    by_hand.execute_batch("ALTER TABLE hidden RENAME TO devices").unwrap();
    assert_eq!(opened(&disk.open().unwrap()).keys.len(), 3);
}

//! What is known of patients never lies open in a file, opens in its own row only, and goes on through rotations.

use std::fs;
use std::path::Path;

use vitalwire_registry::{
    AlarmEvent, AlarmQuery, AlarmWrite, MasterKey, MasterKeyRotation, Moment, PatientChange, Raised,
    Registry, RegistryError, StayId,
};
use vitalwire_vitals::alarm::{Condition, Priority};

use crate::fixture::{Fixture, id};

const NAME: &str = "Ana Canaria";
const BED: &str = "Window-Seven";
const NOTES: &str = "asthma since childhood";
const REASON: &str = "walked to the window";
const VALUE: f64 = 134.567_891_234;
const LIMIT: f64 = 121.987_654_321;

/// Texts and numbers that must not be found.
fn traces() -> Vec<Vec<u8>> {
    let texts = [NAME, BED, NOTES, REASON].map(|text| text.as_bytes().to_vec());
    let numbers = [VALUE, LIMIT].into_iter().flat_map(|number| {
        [number.to_string().into_bytes(), number.to_be_bytes().to_vec(), number.to_le_bytes().to_vec()]
    });
    texts.into_iter().chain(numbers).collect()
}

fn fill(registry: &Registry) {
    registry.add_tls_device(&id("a")).unwrap();
    registry.add_tls_device(&id("b")).unwrap();
    let set = |name: &str, new| {
        let change = PatientChange {
            name: Some(name.to_owned()),
            bed: Some(BED.to_owned()),
            notes: Some(NOTES.to_owned()),
            corrects_name: false,
        };
        registry.set_patient(&id("a"), &change, new).unwrap();
    };
    set(NAME, None);
    set("Bo Borealis", Some(Moment { time_us: 4_000_000_000_000_000, position: 3 }));
    let raised = AlarmEvent::Raised(Raised {
        condition: Condition::RateHigh,
        priority: Priority::High,
        since_us: 1,
        delay_us: 2,
        value: Some(VALUE),
        limit: Some(LIMIT),
        bad: vitalwire_vitals::alarm::BadSignals::NONE,
        is_late: false,
    });
    let seen = AlarmEvent::Acknowledged { by: "bob".into(), reason: REASON.into() };
    let events = [raised.clone(), seen];
    let mut writes = Vec::new();
    for number in 1..=3 {
        let of = |event: &AlarmEvent| AlarmWrite {
            number,
            device: Some(id("a")),
            stay: StayId::new(1),
            time_us: 7,
            event: event.clone(),
        };
        writes.extend(events.iter().map(of));
    }
    registry.write_alarms(&writes).unwrap();
}

/// All that is sealed, opened; to be compared.
fn opened(registry: &Registry) -> Vec<String> {
    let mut lines = Vec::new();
    for stay in registry.stays().unwrap() {
        assert!(!stay.is_broken);
        let patient = stay.patient.unwrap_or_default();
        lines.push(format!("{} {} {} {}", stay.id, patient.name, patient.bed, patient.notes));
    }
    for alarm in registry.alarms(&AlarmQuery::default()).unwrap() {
        assert!(!alarm.is_broken);
        let reason = alarm.acknowledged.unwrap().reason;
        lines.push(format!("{} {:?} {:?} {reason}", alarm.number, alarm.raised.value, alarm.raised.limit));
    }
    lines
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.map(|path| (path.display().to_string(), fs::read(&path).unwrap())).collect()
}

fn assert_absent(folder: &Path, traces: &[Vec<u8>]) {
    for (path, bytes) in files(folder) {
        for trace in traces {
            let found = bytes.windows(trace.len()).any(|window| window == trace);
            assert!(!found, "{} in {path}", String::from_utf8_lossy(trace));
        }
    }
}

#[test]
fn the_file_never_has_a_patient_in_clear() {
    let fixture = Fixture::new();
    fill(&fixture.registry);
    let names: Vec<_> = files(&fixture.data()).into_iter().map(|(path, _)| path).collect();
    assert!(names.iter().any(|path| path.ends_with("-wal")), "the search looks there too: {names:?}");
    assert_absent(&fixture.data(), &traces());
    let audit = format!("{:?}", fixture.registry.audit(0, 1_000).unwrap());
    assert!(audit.contains("patient-admitted") && audit.contains("alarm-acknowledged"), "{audit}");
    for text in [NAME, BED, NOTES, REASON, "134.5", "121.9"] {
        assert!(!audit.contains(text), "{audit}");
    }
    let stays = fixture.registry.stays().unwrap();
    let alarms = fixture.registry.alarms(&AlarmQuery::default()).unwrap();
    let directory = fixture.registry.directory().unwrap();
    let shown = format!("{stays:?} {alarms:?} {directory:?}");
    for text in [NAME, BED, NOTES, REASON, "134.5", "121.9"] {
        assert!(!shown.contains(text), "{shown}");
    }
}

#[test]
fn an_erased_device_leaves_no_sealed_byte() {
    let fixture = Fixture::new();
    fill(&fixture.registry);
    let connection = rusqlite::Connection::open(fixture.database()).unwrap();
    let mut sealed = Vec::new();
    for (sql, least) in [
        ("SELECT patient FROM stays WHERE patient IS NOT NULL", 2),
        ("SELECT sealed FROM alarms", 3),
        ("SELECT sealed_reason FROM alarms", 3),
    ] {
        let mut statement = connection.prepare(sql).unwrap();
        let found: Vec<Vec<u8>> =
            statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), least, "{sql}");
        sealed.extend(found);
    }
    drop(connection);
    fixture.registry.request_erasure(&id("a")).unwrap();
    assert_absent(&fixture.data(), &sealed);
}

#[test]
fn a_sealed_patient_opens_in_its_own_row_only() {
    let fixture = Fixture::new();
    fill(&fixture.registry);
    fixture.tamper(
        "CREATE TEMP TABLE before AS SELECT * FROM stays;
         UPDATE stays SET patient = (SELECT patient FROM before WHERE id = 3) WHERE id = 1",
    );
    let stays = fixture.registry.stays().unwrap();
    assert_eq!(stays.iter().map(|stay| stay.is_broken).collect::<Vec<_>>(), [true, false, false]);
    assert!(stays[0].patient.is_none() && stays[2].patient.is_some());
    // Healed by setting all again, and said so.
    fixture.tamper("UPDATE stays SET patient = zeroblob(72) WHERE id = 3");
    let change = PatientChange { name: Some("Bo".into()), ..PatientChange::default() };
    let refused = fixture.registry.set_patient(&id("a"), &change, None).unwrap_err();
    assert!(matches!(refused, RegistryError::PatientBroken(_)), "{refused}");
    let change = PatientChange { corrects_name: true, ..change };
    fixture.registry.set_patient(&id("a"), &change, None).unwrap();
    assert_eq!(fixture.registry.current_stay(&id("a")).unwrap().patient.unwrap().name, "Bo");
}

#[test]
fn values_of_an_alarm_open_in_its_own_row_only() {
    for damage in [
        "sealed = (SELECT sealed FROM alarms WHERE number = 1)",
        "sealed_reason = (SELECT sealed_reason FROM alarms WHERE number = 1)",
        "device = 'b'",
        "stay = 2",
        "condition = 'rate-low'",
        "sealed = x''",
        "sealed = sealed_reason",
        "sealed_reason = sealed",
    ] {
        let fixture = Fixture::new();
        fill(&fixture.registry);
        fixture.tamper(&format!("UPDATE alarms SET {damage} WHERE number = 2"));
        let alarms = fixture.registry.alarms(&AlarmQuery::default()).unwrap();
        let broken: Vec<_> = alarms.iter().map(|alarm| alarm.is_broken).collect();
        assert_eq!(broken, [false, true, false], "{damage}");
    }
}

#[test]
fn patients_and_alarms_go_on_through_rotations_and_the_old_key_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (data, key) = (folder.path().join("data"), folder.path().join("key"));
    let old = MasterKey::create(&key).unwrap();
    fill(&Registry::create(&data, &old).unwrap());
    let open = || Registry::open_with_key_file(&data, &key).unwrap();
    let before = opened(&open());
    assert_eq!(before.len(), 6);
    for _ in 0..2 {
        let rotated = Registry::rotate_master_key(&data, &key, None).unwrap();
        assert_eq!(rotated, MasterKeyRotation::Rotated { devices: 2, broken: vec![] });
        assert_eq!(opened(&open()), before);
        assert_absent(&data, &traces());
        assert_eq!(open().verify_audit(None).unwrap().fault, None);
    }
    // What does not open is named, and the rest goes on.
    let connection = rusqlite::Connection::open(data.join("registry.db")).unwrap();
    connection.execute("UPDATE stays SET patient = zeroblob(72) WHERE id = 1", []).unwrap();
    connection.execute("UPDATE alarms SET sealed = zeroblob(32) WHERE number = 2", []).unwrap();
    drop(connection);
    let MasterKeyRotation::Rotated { devices, broken } =
        Registry::rotate_master_key(&data, &key, None).unwrap()
    else {
        panic!("it was complete")
    };
    assert_eq!((devices, broken), (2, vec!["the patient of stay 1".to_owned(), "alarm 2".to_owned()]));
    let stays = open().stays().unwrap();
    assert_eq!(stays.iter().map(|stay| stay.is_broken).collect::<Vec<_>>(), [true, false, false]);
}

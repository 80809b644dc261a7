//! Patients and stays: who wears a device, from when to when.

use std::collections::BTreeMap;

use vitalwire_registry::{
    AuditRecord, Moment, Patient, PatientChange, Registry, RegistryError, STAYS_OF_DEVICE_MAX, Stay, StayId,
};
use vitalwire_vitals::alarm::Limits;

use crate::fixture::{Fixture, id};

fn called(name: &str) -> PatientChange {
    PatientChange { name: Some(name.to_owned()), ..PatientChange::default() }
}

/// A moment after every enrolment of the test, so many seconds later.
fn at(seconds: i64) -> Moment {
    Moment { time_us: 4_000_000_000_000_000 + seconds * 1_000_000, position: 0 }
}

fn received(seconds: i64, position: u64) -> Moment {
    Moment { position, ..at(seconds) }
}

fn rate_high(rate_high: u16) -> Limits {
    let mut limits = Limits::default();
    limits.rate_high = rate_high;
    limits
}

fn name_of(stay: &Stay) -> Option<&str> {
    stay.patient.as_ref().map(|patient| patient.name.as_str())
}

/// Kind, subject and detail of the records that tell of patients.
fn told(registry: &Registry) -> Vec<(String, String, String)> {
    let records = registry.audit(0, 10_000).unwrap().into_iter();
    let patients =
        |record: &AuditRecord| record.kind.starts_with("patient") || record.kind.starts_with("stay");
    records.filter(patients).map(|record| (record.kind, record.subject, record.detail)).collect()
}

fn told_texts(registry: &Registry) -> Vec<String> {
    told(registry).into_iter().map(|(kind, subject, detail)| format!("{kind} {subject} {detail}")).collect()
}

#[test]
fn a_device_is_worn_by_no_one_known_from_its_enrolment_on() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    let stay = registry.current_stay(&id("a")).unwrap();
    assert_eq!((stay.device.as_str(), stay.ended_us, &stay.patient), ("a", None, &None));
    assert!(!registry.timeline(&id("a")).unwrap().has_patients);
    assert!(matches!(registry.current_stay(&id("b")), Err(RegistryError::DeviceUnknown(_))));
    assert!(matches!(registry.stay(StayId::new(9).unwrap()), Err(RegistryError::StayUnknown(_))));
}

#[test]
fn a_patient_is_set_changed_followed_by_another_and_discharged() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("a")).unwrap();
    let first = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    assert_eq!(registry.current_stay(&id("a")).unwrap().id, first);
    let bed = PatientChange { bed: Some("7".to_owned()), ..PatientChange::default() };
    assert_eq!(registry.set_patient(&id("a"), &bed, None).unwrap(), first);
    let stay = registry.stay(first).unwrap();
    assert!(stay.patient == Some(Patient { name: "Ana".into(), bed: "7".into(), notes: String::new() }));

    let second = registry.set_patient(&id("a"), &called("Bo"), Some(at(10))).unwrap();
    let ended = registry.discharge(&id("a"), at(20)).unwrap();
    assert_eq!(ended, second);
    let stays = fixture.reopen().stays_of(&id("a")).unwrap();
    let names: Vec<_> = stays.iter().map(name_of).collect();
    assert_eq!(names, [Some("Ana"), Some("Bo"), None]);
    let times: Vec<_> = stays.iter().map(|stay| (stay.started_us, stay.ended_us)).collect();
    assert_eq!(times[0].1, Some(at(10).time_us));
    assert_eq!(times[1], (at(10).time_us, Some(at(20).time_us)));
    assert_eq!(times[2], (at(20).time_us, None));
    assert!(matches!(registry.discharge(&id("a"), at(30)), Err(RegistryError::PatientUnknown(_))));
    assert_eq!(
        told_texts(registry),
        [
            "patient-admitted a stay 1: name",
            "patient-changed a stay 1: bed",
            "patient-admitted a stay 2",
            "patient-discharged a stay 2"
        ]
    );
    assert_eq!(registry.verify_audit(None).unwrap().fault, None);
}

#[test]
fn another_name_is_another_patient_unless_it_was_wrong() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    for other in ["Bo", ""] {
        let refused = registry.set_patient(&id("a"), &called(other), None).unwrap_err();
        assert!(matches!(refused, RegistryError::PatientIsAnother(_)), "{refused}");
        assert!(!refused.to_string().contains("Ana"), "{refused}");
    }
    assert_eq!(name_of(&registry.current_stay(&id("a")).unwrap()), Some("Ana"));
    let corrected = PatientChange { corrects_name: true, ..called("Anna") };
    registry.set_patient(&id("a"), &corrected, None).unwrap();
    assert_eq!(name_of(&registry.current_stay(&id("a")).unwrap()), Some("Anna"));
}

#[test]
fn a_patient_who_is_moved_stays_the_same_stay_on_another_device() {
    let Fixture { registry, .. } = &Fixture::new();
    ["a", "b", "c"].iter().for_each(|device| drop(registry.add_tls_device(&id(device)).unwrap()));
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let limits = rate_high(130);
    registry.set_limits(&id("a"), &limits).unwrap();
    assert_eq!(registry.move_patient(&id("a"), &id("b"), at(10)).unwrap(), ana);
    let stay = registry.stay(ana).unwrap();
    let parts: Vec<_> = stay.parts.iter().map(|part| (part.device.as_str(), part.to_us)).collect();
    assert_eq!(parts, [("a", Some(at(10).time_us)), ("b", None)]);
    assert_eq!((stay.device.as_str(), stay.ended_us), ("b", None));
    assert_eq!(registry.limits(&id("b")).unwrap(), limits, "the limits go with the patient");
    assert_eq!(registry.limits(&id("a")).unwrap(), Limits::default());
    assert_eq!(name_of(&registry.current_stay(&id("a")).unwrap()), None);
    // Back again, by way of a third.
    registry.move_patient(&id("b"), &id("c"), at(20)).unwrap();
    registry.move_patient(&id("c"), &id("a"), at(30)).unwrap();
    let devices: Vec<_> = registry.stay(ana).unwrap().parts.into_iter().map(|part| part.device).collect();
    assert_eq!(devices, [id("a"), id("b"), id("c"), id("a")]);

    registry.set_patient(&id("b"), &called("Bo"), None).unwrap();
    assert!(matches!(registry.move_patient(&id("a"), &id("b"), at(40)), Err(RegistryError::DeviceIsWorn(_))));
    assert!(matches!(registry.move_patient(&id("a"), &id("a"), at(40)), Err(RegistryError::MoveToSame(_))));
    assert!(matches!(
        registry.move_patient(&id("a"), &id("z"), at(40)),
        Err(RegistryError::DeviceUnknown(_))
    ));
    assert_eq!(told_texts(registry)[1], "patient-moved a stay 1, to b");
}

#[test]
fn a_revoked_device_keeps_its_stays_and_its_patient_can_be_moved() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.add_tls_device(&id("b")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    registry.revoke_device(&id("a")).unwrap();
    assert_eq!(registry.current_stay(&id("a")).unwrap().id, ana);
    assert!(matches!(
        registry.set_patient(&id("a"), &called("Bo"), Some(at(1))),
        Err(RegistryError::DeviceUnknown(_))
    ));
    registry.move_patient(&id("a"), &id("b"), at(10)).unwrap();
    assert_eq!(name_of(&registry.current_stay(&id("b")).unwrap()), Some("Ana"));
    // The name is enrolled again, on other hardware.
    registry.add_tls_device(&id("a")).unwrap();
    assert_eq!(name_of(&registry.current_stay(&id("a")).unwrap()), None);
}

#[test]
fn a_name_that_is_enrolled_again_begins_a_stay_of_its_own() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    registry.revoke_device(&id("a")).unwrap();
    registry.add_tls_device(&id("a")).unwrap();
    let now = registry.current_stay(&id("a")).unwrap();
    assert!(now.id != ana && now.patient.is_none());
    let before = registry.stay(ana).unwrap();
    assert_eq!(before.ended_us, Some(now.started_us));
    let timeline = registry.timeline(&id("a")).unwrap();
    assert_eq!(timeline.stay_at(now.started_us, 1), Some(now.id));
    assert_eq!(timeline.stay_at(now.started_us - 1, 1), Some(ana));
}

#[test]
fn what_may_not_be_kept_is_refused_whole() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    for bad in ["x".repeat(10_240), "two\nlines".to_owned(), "\u{1b}[31m".to_owned()] {
        for change in [
            called(&bad),
            PatientChange { bed: Some(bad.clone()), ..called("Ana") },
            PatientChange { notes: Some(bad.clone()), ..called("Ana") },
        ] {
            for new in [None, Some(at(1))] {
                let refused = registry.set_patient(&id("a"), &change, new).unwrap_err();
                assert!(
                    matches!(refused, RegistryError::TextTooLong { .. } | RegistryError::TextControl { .. }),
                    "{refused}"
                );
            }
        }
    }
    assert_eq!(registry.stays().unwrap().len(), 1);
    let crossed = rate_high(50);
    assert!(matches!(registry.set_limits(&id("a"), &crossed), Err(RegistryError::Limits(_))));
    assert!(told(registry).is_empty());
}

#[test]
fn a_running_server_learns_of_stays_and_limits_without_a_name() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.add_tls_device(&id("b")).unwrap();
    let mut directory = registry.directory().unwrap();
    assert_eq!(directory.stays.len(), 2);
    let mut look = || {
        directory = directory.with(registry.changes_since(directory.version).unwrap());
        assert!(!format!("{directory:?}").contains("Ana"));
        let whole = registry.directory().unwrap();
        assert_eq!(directory.stays, whole.stays);
        let stays = whole.stays.iter();
        stays.map(|(device, stay)| (device.to_string(), stay.id.number())).collect::<BTreeMap<_, _>>()
    };
    let map = |stays: &[(&str, u64)]| -> BTreeMap<String, u64> {
        stays.iter().map(|(device, stay)| ((*device).to_owned(), *stay)).collect()
    };
    registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    assert_eq!(look(), map(&[("a", 1), ("b", 2)]));
    registry.move_patient(&id("a"), &id("b"), at(10)).unwrap();
    assert_eq!(look(), map(&[("a", 3), ("b", 1)]));
    registry.set_limits(&id("b"), &rate_high(130)).unwrap();
    assert_eq!(look(), map(&[("a", 3), ("b", 1)]));
    assert_eq!(registry.directory().unwrap().stays["b"].limits.rate_high, 130);
    registry.discharge(&id("b"), at(20)).unwrap();
    assert_eq!(look(), map(&[("a", 3), ("b", 4)]));
    assert_eq!(registry.directory().unwrap().stays["b"].limits, Limits::default());
    registry.revoke_device(&id("b")).unwrap();
    assert_eq!(look(), map(&[("a", 3)]));
    registry.add_tls_device(&id("b")).unwrap();
    assert_eq!(look(), map(&[("a", 3), ("b", 5)]));
    registry.request_erasure(&id("a")).unwrap();
    assert_eq!(look(), map(&[("b", 5)]));
}

#[test]
fn late_readings_belong_to_when_they_were_measured_and_borders_are_half_open() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let bo = registry.set_patient(&id("a"), &called("Bo"), Some(received(10, 100))).unwrap();
    let timeline = registry.timeline(&id("a")).unwrap();
    assert!(timeline.has_patients);
    let border = at(10).time_us;
    assert_eq!(timeline.stay_at(border, 101), Some(bo));
    assert_eq!(timeline.stay_at(border - 1, 101), Some(ana), "it came late");
    assert_eq!(timeline.stay_at(i64::MIN, 101), Some(ana));
    // The clock had been ahead: what the journal had before is not of who came then.
    assert_eq!(timeline.stay_at(border + 1, 100), Some(ana));
}

#[test]
fn a_clock_that_is_set_back_gives_no_ones_readings_to_another() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let bo = registry.set_patient(&id("a"), &called("Bo"), Some(received(1_000, 100))).unwrap();
    // The clock is set back by 900 s, and a third patient comes.
    let cy = registry.set_patient(&id("a"), &called("Cy"), Some(received(100, 200))).unwrap();
    let timeline = registry.timeline(&id("a")).unwrap();
    for (seconds, position, expected) in
        [(50, 100, ana), (150, 100, ana), (1_100, 150, bo), (150, 201, cy), (1_100, 201, cy), (99, 201, ana)]
    {
        let found = timeline.stay_at(at(seconds).time_us, position);
        assert_eq!(found, Some(expected), "{seconds} s at {position}");
    }
    // For people no stay begins before the one before it ended.
    let stays = registry.stays_of(&id("a")).unwrap();
    for pair in stays.windows(2) {
        assert!(pair[0].ended_us.unwrap() <= pair[1].started_us);
        assert!(pair[0].started_us <= pair[0].ended_us.unwrap());
    }
}

#[test]
fn a_name_that_is_enrolled_again_when_the_clock_was_ahead_has_its_own_readings() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    // By a clock that is years ahead.
    registry.set_patient(&id("a"), &called("Bo"), Some(received(0, 100))).unwrap();
    registry.revoke_device(&id("a")).unwrap();
    registry.note_journal_position(200);
    registry.add_tls_device(&id("a")).unwrap();
    let stay = registry.current_stay(&id("a")).unwrap();
    let timeline = registry.timeline(&id("a")).unwrap();
    let now_us = timeline.borders.last().unwrap().time_us;
    assert!(now_us < at(0).time_us);
    assert_eq!(timeline.stay_at(now_us, 201), Some(stay.id));
    assert_eq!(timeline.stay_at(at(50).time_us, 200).map(StayId::number), Some(2));
}

#[test]
fn when_the_clock_was_set_what_comes_late_is_no_ones_and_each_stay_goes_on() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("a")).unwrap();
    registry.add_tls_device(&id("never_set")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let bo = registry.set_patient(&id("a"), &called("Bo"), Some(received(1_000, 100))).unwrap();
    let before = registry.directory().unwrap();
    assert!(!registry.borders_are_ahead(received(1_001, 100)).unwrap());
    assert!(registry.borders_are_ahead(received(999, 100)).unwrap(), "set back");
    assert!(registry.borders_are_ahead(received(1_001, 99)).unwrap(), "another journal");
    assert_eq!(registry.divide_anew(received(500, 200), -600_000_000, "set back").unwrap(), 1);
    assert!(!registry.borders_are_ahead(received(500, 200)).unwrap());
    let timeline = registry.timeline(&id("a")).unwrap();
    let of = |seconds: i64, position| timeline.stay_at(at(seconds).time_us, position);
    assert_eq!(of(500, 201), Some(bo), "he goes on, though his stay began later by the clock of before");
    assert_eq!((of(600, 150), of(1_100, 150)), (Some(ana), Some(bo)), "what was there stays whose it was");
    let unclear = of(499, 201).unwrap();
    assert!(unclear != ana && unclear != bo);
    assert!(registry.stay(unclear).unwrap().patient.is_none());
    // To people it is one stay.
    let stay = registry.current_stay(&id("a")).unwrap();
    assert_eq!((stay.id, stay.parts.len(), stay.ended_us), (bo, 1, None));
    let directory = before.with(registry.changes_since(before.version).unwrap());
    let known = &directory.stays["a"];
    assert_eq!((known.id, known.started_us), (bo, stay.started_us));
    assert!(told_texts(registry).last().unwrap().contains("set back; on 1 devices"));
}

#[test]
fn of_what_comes_late_after_the_clock_was_set_only_what_is_unclear_is_no_ones() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let bo = registry.set_patient(&id("a"), &called("Bo"), Some(received(1_000, 100))).unwrap();
    let at_stay = |seconds: i64| registry.timeline(&id("a")).unwrap().stay_at(at(seconds).time_us, 501);
    // Forward by 60 s: his stay began by then at the latest, also if the clock had been behind all the time.
    registry.divide_anew(received(5_000, 200), 60_000_000, "set forward").unwrap();
    assert_eq!((at_stay(1_060), at_stay(4_999)), (Some(bo), Some(bo)));
    assert!(at_stay(1_059) != Some(bo));
    // Back by 60 s: what is after his border is his in any case.
    registry.divide_anew(received(6_000, 300), -60_000_000, "set back").unwrap();
    assert_eq!(at_stay(1_060), Some(bo));
    // The journal began again, by a clock that is right.
    registry.divide_anew(received(7_000, 5), 0, "another journal").unwrap();
    assert_eq!(at_stay(1_060), Some(bo));
    assert!(at_stay(1_059) != Some(bo));
}

#[test]
fn a_journal_that_begins_again_hides_nothing_of_a_device_on_which_no_one_was_set() {
    let Fixture { registry, .. } = &Fixture::new();
    registry.add_tls_device(&id("a")).unwrap();
    registry.revoke_device(&id("a")).unwrap();
    registry.request_erasure(&id("a")).unwrap();
    registry.erasure_done(&id("a"), 0, "").unwrap();
    registry.note_journal_position(5_000);
    registry.add_tls_device(&id("a")).unwrap();
    let stay = registry.current_stay(&id("a")).unwrap();
    let now_us = stay.started_us;
    let begun_again = Moment { time_us: now_us, position: 7 };
    assert!(registry.borders_are_ahead(begun_again).unwrap());
    assert_eq!(registry.divide_anew(begun_again, 0, "another journal").unwrap(), 0);
    registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    assert_eq!(registry.timeline(&id("a")).unwrap().stay_at(now_us, 8), Some(stay.id));
}

#[test]
fn who_it_was_is_forgotten_and_that_it_was_someone_is_not() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("a")).unwrap();
    let ana = registry.set_patient(&id("a"), &called("Ana"), None).unwrap();
    let bo = registry.set_patient(&id("a"), &called("Bo"), Some(received(10, 100))).unwrap();
    let cy = registry.set_patient(&id("a"), &called("Cy"), Some(received(20, 200))).unwrap();
    assert_eq!(registry.forget_patients(at(10).time_us).unwrap(), 0, "half open");
    assert_eq!(registry.forget_patients(at(10).time_us + 1).unwrap(), 1);
    let names = |registry: &Registry| {
        let stays = registry.stays().unwrap().into_iter();
        stays.map(|stay| stay.patient.map(|patient| patient.name)).collect::<Vec<_>>()
    };
    assert_eq!(names(registry), [None, Some("Bo".to_owned()), Some("Cy".to_owned())]);
    assert_eq!(registry.forget_patients(i64::MAX).unwrap(), 1, "who is there is not forgotten");
    assert_eq!(names(&fixture.reopen()), [None, None, Some("Cy".to_owned())]);
    let timeline = registry.timeline(&id("a")).unwrap();
    assert!(timeline.has_patients);
    assert_eq!(timeline.stay_at(at(15).time_us, 150), Some(bo));
    assert_eq!(timeline.stay_at(at(5).time_us, 150), Some(ana));
    assert_eq!(registry.current_stay(&id("a")).unwrap().id, cy);
    assert!(told_texts(registry).contains(&"patients-forgotten  of 1 stays".to_owned()));
}

#[test]
fn of_very_many_stays_the_oldest_goes_and_its_readings_are_no_ones() {
    let fixture = Fixture::new();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("a")).unwrap();
    fixture.tamper(
        "UPDATE stay_parts SET to_us = from_us;
         WITH RECURSIVE more (n) AS (SELECT 2 UNION ALL SELECT n + 1 FROM more WHERE n < 10000)
         INSERT INTO stays (id, version) SELECT n, 1 FROM more;
         INSERT INTO stay_parts (stay, device, from_us, to_us, border_us, border_position)
         SELECT id, 'a', 3000000000000000 + id, CASE WHEN id < 10000 THEN 3000000000000001 + id END,
             3000000000000000 + id, 0 FROM stays WHERE id > 1;
         UPDATE registry SET last_stay = 10000",
    );
    assert_eq!(registry.stays_of(&id("a")).unwrap().len(), STAYS_OF_DEVICE_MAX);
    let last = registry.set_patient(&id("a"), &called("Ana"), Some(at(0))).unwrap();
    let stays = registry.stays_of(&id("a")).unwrap();
    assert_eq!((stays.len(), stays[0].id.number()), (STAYS_OF_DEVICE_MAX, 2));
    let timeline = registry.timeline(&id("a")).unwrap();
    assert_eq!(timeline.stay_at(3_000_000_000_000_001, 1), None);
    assert_eq!(timeline.stay_at(at(0).time_us, 1), Some(last));
    assert!(matches!(registry.stay(StayId::new(1).unwrap()), Err(RegistryError::StayUnknown(_))));
}

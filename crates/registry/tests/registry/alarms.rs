//! The log of alarms: written once, kept, read back, pruned and erased.

use std::time::{Duration, Instant};

use vitalwire_registry::{
    AlarmEvent, AlarmQuery, AlarmRecord, AlarmWrite, LimitsChange, Moment, PastAlarmQuery, PatientChange,
    Raised, Registry, RegistryError, StayId,
};
use vitalwire_vitals::alarm::{Condition, Priority};

use crate::fixture::{Fixture, id};

fn raised(value: f64) -> AlarmEvent {
    AlarmEvent::Raised(Raised {
        condition: Condition::RateHigh,
        priority: Priority::Medium,
        since_us: 900,
        delay_us: 15_000_000,
        value: Some(value),
        limit: Some(120.0),
        bad: vitalwire_vitals::alarm::BadSignals::NONE,
        is_late: false,
    })
}

/// A change of an alarm of device `a`, whose stay is the first.
fn write(number: u64, time_us: i64, event: AlarmEvent) -> AlarmWrite {
    AlarmWrite { number, device: Some(id("a")), stay: StayId::new(1), time_us, event }
}

fn seen(by: &str, reason: &str) -> AlarmEvent {
    AlarmEvent::Acknowledged { by: by.to_owned(), reason: reason.to_owned() }
}

fn ward() -> Fixture {
    let fixture = Fixture::new();
    fixture.registry.add_tls_device(&id("a")).unwrap();
    fixture
}

fn one(registry: &Registry) -> AlarmRecord {
    let alarms = registry.alarms(&AlarmQuery::default()).unwrap();
    assert_eq!(alarms.len(), 1);
    alarms.into_iter().next().unwrap()
}

fn told(registry: &Registry) -> Vec<String> {
    let records = registry.audit(0, 100_000).unwrap().into_iter();
    let alarms = records.filter(|record| record.kind.starts_with("alarm"));
    alarms.map(|record| format!("{} {} {}", record.kind, record.subject, record.detail)).collect()
}

#[test]
fn the_life_of_an_alarm_is_kept_and_told() {
    let fixture = ward();
    let registry = &fixture.registry;
    assert_eq!(registry.next_alarm_number().unwrap(), 1);
    let life = [
        write(1, 1_000, raised(134.5)),
        write(1, 2_000, AlarmEvent::Reannounced),
        write(1, 3_000, AlarmEvent::Escalated),
        write(1, 4_000, seen("bob", "she walked")),
        write(1, 5_000, AlarmEvent::Ended),
    ];
    registry.write_alarms(&life).unwrap();
    let open = fixture.reopen().open_alarms().unwrap();
    assert_eq!(open, [one(registry)]);
    let alarm = &open[0];
    assert_eq!((alarm.number, alarm.device.clone(), alarm.stay), (1, Some(id("a")), StayId::new(1)));
    assert_eq!(AlarmEvent::Raised(alarm.raised), raised(134.5));
    assert_eq!(
        (alarm.raised_us, alarm.reannounced_us, alarm.escalated_us),
        (1_000, Some(2_000), Some(3_000))
    );
    let acknowledged = alarm.acknowledged.clone().unwrap();
    assert_eq!((acknowledged.by.as_str(), acknowledged.reason.as_str()), ("bob", "she walked"));
    assert_eq!((acknowledged.time_us, alarm.ended_us, alarm.closed_us), (4_000, Some(5_000), None));
    registry.write_alarms(&[write(1, 6_000, AlarmEvent::Closed)]).unwrap();
    assert!(registry.open_alarms().unwrap().is_empty());
    assert_eq!(one(registry).closed_us, Some(6_000));
    assert_eq!(registry.next_alarm_number().unwrap(), 2);
    assert_eq!(
        told(registry),
        [
            "alarm-raised a alarm 1: rate-high, medium",
            "alarm-reannounced a alarm 1: rate-high",
            "alarm-escalated a alarm 1: rate-high",
            "alarm-acknowledged a alarm 1: rate-high, by bob",
            "alarm-ended a alarm 1: rate-high",
            "alarm-closed a alarm 1: rate-high",
        ]
    );
    assert_eq!(registry.verify_audit(None).unwrap().fault, None);
}

#[test]
fn who_knew_of_an_alarm_has_not_seen_that_it_is_more_urgent_or_came_back() {
    let fixture = ward();
    let registry = &fixture.registry;
    let of = |priority| match raised(150.0) {
        AlarmEvent::Raised(raised) => AlarmEvent::Raised(Raised { priority, ..raised }),
        other => other,
    };
    let known = || one(registry).acknowledged.is_some();
    registry.write_alarms(&[write(1, 1_000, raised(130.0)), write(1, 2_000, seen("ana", "walks"))]).unwrap();
    registry.write_alarms(&[write(1, 3_000, of(Priority::High))]).unwrap();
    assert!(!known(), "it is more urgent");
    let later = [write(1, 4_000, AlarmEvent::Escalated), write(1, 5_000, seen("ana", ""))];
    registry.write_alarms(&later).unwrap();
    registry.write_alarms(&[write(1, 6_000, of(Priority::Medium))]).unwrap();
    assert!(known() && one(registry).escalated_us.is_some(), "it is less urgent");
    registry.write_alarms(&[write(1, 7_000, AlarmEvent::Ended), write(1, 8_000, raised(130.0))]).unwrap();
    assert!(!known(), "it came back");
    registry.write_alarms(&[write(1, 9_000, seen("ana", "")), write(1, 10_000, raised(130.0))]).unwrap();
    assert!(!known(), "it lasts, and has one more cause");
}

#[test]
fn what_is_given_again_is_written_once() {
    let fixture = ward();
    let registry = &fixture.registry;
    let writes =
        [write(1, 1_000, raised(134.5)), write(1, 2_000, seen("bob", "")), write(2, 2_000, raised(130.0))];
    for _ in 0..3 {
        registry.write_alarms(&writes).unwrap();
        fixture.reopen().write_alarms(&writes[..2]).unwrap();
    }
    assert_eq!((registry.open_alarms().unwrap().len(), told(registry).len()), (2, 3));
    // Another time is another change: more urgent, and going on.
    registry.write_alarms(&[write(1, 3_000, AlarmEvent::Ended)]).unwrap();
    let AlarmEvent::Raised(mut higher) = raised(151.0) else { unreachable!() };
    higher.priority = Priority::High;
    registry.write_alarms(&[write(1, 4_000, AlarmEvent::Raised(higher))]).unwrap();
    let alarm = registry.open_alarms().unwrap().remove(0);
    assert_eq!((alarm.raised, alarm.ended_us, alarm.raised_us), (higher, None, 4_000));
    // What was written before does not undo it.
    registry.write_alarms(&writes).unwrap();
    assert_eq!(registry.open_alarms().unwrap().remove(0).raised, higher);
}

#[test]
fn one_that_may_not_be_kept_takes_all_back() {
    let fixture = ward();
    let registry = &fixture.registry;
    for (by, reason) in [("bob", "x".repeat(10_240)), ("bob", "a\u{7}b".into()), ("b\nob", String::new())] {
        let writes = [write(1, 1_000, raised(134.5)), write(1, 2_000, seen(by, &reason))];
        let refused = registry.write_alarms(&writes).unwrap_err();
        assert!(matches!(refused, RegistryError::Words(_)), "{refused}");
        assert!(!refused.to_string().contains("xxx"), "{refused}");
        assert!(registry.open_alarms().unwrap().is_empty() && told(registry).is_empty());
        assert_eq!(registry.next_alarm_number().unwrap(), 1);
    }
}

#[test]
fn a_number_is_never_another_alarm() {
    let fixture = ward();
    fixture.registry.add_tls_device(&id("b")).unwrap();
    fixture.registry.write_alarms(&[write(1, 1_000, raised(134.5))]).unwrap();
    let other = AlarmWrite { device: Some(id("b")), stay: StayId::new(2), ..write(1, 2_000, raised(99.0)) };
    fixture.registry.write_alarms(&[other]).unwrap();
    let alarm = one(&fixture.registry);
    assert_eq!((alarm.device, alarm.raised.value, alarm.is_broken), (Some(id("a")), Some(134.5), false));
}

#[test]
fn the_servers_own_alarms_have_no_device() {
    let fixture = ward();
    let AlarmEvent::Raised(mut full) = raised(0.0) else { unreachable!() };
    (full.condition, full.value, full.limit) = (Condition::JournalFull, None, None);
    let own = AlarmWrite { device: None, stay: None, ..write(7, 1_000, AlarmEvent::Raised(full)) };
    fixture.registry.write_alarms(&[own]).unwrap();
    let alarm = one(&fixture.registry);
    assert_eq!((alarm.device, alarm.stay, alarm.raised), (None, None, full));
    assert_eq!(fixture.registry.next_alarm_number().unwrap(), 8);
}

#[test]
fn alarms_are_found_by_device_stay_and_time() {
    let fixture = ward();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("b")).unwrap();
    for number in 1..=10 {
        let time_us = i64::try_from(number).unwrap() * 1_000;
        let mut alarm = write(number, time_us, raised(134.5));
        if number % 2 == 0 {
            (alarm.device, alarm.stay) = (Some(id("b")), StayId::new(2));
        }
        registry.write_alarms(&[alarm]).unwrap();
    }
    let found = |query: AlarmQuery| {
        registry.alarms(&query).unwrap().iter().map(|alarm| alarm.number).collect::<Vec<_>>()
    };
    assert_eq!(found(AlarmQuery { device: Some(id("a")), ..AlarmQuery::default() }), [1, 3, 5, 7, 9]);
    assert_eq!(found(AlarmQuery { stay: StayId::new(2), ..AlarmQuery::default() }), [2, 4, 6, 8, 10]);
    let range = AlarmQuery { from_us: Some(3_000), to_us: Some(6_000), ..AlarmQuery::default() };
    assert_eq!(found(range.clone()), [3, 4, 5]);
    assert_eq!(found(AlarmQuery { limit: Some(2), ..range.clone() }), [4, 5], "the newest");
    assert_eq!(found(AlarmQuery { device: Some(id("b")), ..range }), [4]);
}

#[test]
fn a_pause_is_kept_and_told_when_it_changes() {
    let fixture = ward();
    let registry = &fixture.registry;
    let pause = |until_us| AlarmEvent::Paused { until_us, by: "bob".into() };
    for _ in 0..2 {
        registry.write_alarms(&[write(0, 1_000, pause(9_000))]).unwrap();
        assert_eq!(fixture.reopen().alarm_pauses().unwrap(), [(StayId::new(1).unwrap(), 9_000)]);
    }
    for _ in 0..2 {
        registry.write_alarms(&[write(0, 9_000, AlarmEvent::Resumed { by: String::new() })]).unwrap();
        assert!(registry.alarm_pauses().unwrap().is_empty());
    }
    assert_eq!(
        told(registry),
        ["alarms-paused a stay 1, by bob", "alarms-resumed a stay 1, as the time was over"]
    );
}

#[test]
fn old_alarms_go_and_open_ones_stay() {
    let fixture = ward();
    let registry = &fixture.registry;
    for number in 1..=4 {
        registry.write_alarms(&[write(number, 1_000, raised(134.5))]).unwrap();
    }
    registry
        .write_alarms(&[write(1, 2_000, AlarmEvent::Closed), write(2, 3_000, AlarmEvent::Closed)])
        .unwrap();
    assert_eq!(registry.prune_alarms(2_000).unwrap(), 0);
    assert_eq!(registry.prune_alarms(3_000).unwrap(), 1);
    assert_eq!(registry.prune_alarms(i64::MAX).unwrap(), 1);
    let numbers: Vec<_> = registry.open_alarms().unwrap().iter().map(|alarm| alarm.number).collect();
    assert_eq!(numbers, [3, 4]);
    assert_eq!(registry.next_alarm_number().unwrap(), 5);
    // Of very many the oldest go, whatever their age.
    registry
        .write_alarms(&[write(3, 4_000, AlarmEvent::Closed), write(1_000_003, 4_000, raised(1.0))])
        .unwrap();
    assert_eq!(registry.prune_alarms(i64::MIN).unwrap(), 1);
    // A change of one that went is none.
    registry.write_alarms(&[write(1, 9_000, AlarmEvent::Closed)]).unwrap();
    assert_eq!(registry.verify_audit(None).unwrap().fault, None);
}

#[test]
fn an_erased_device_leaves_no_alarm_and_no_patient_and_gets_none() {
    let fixture = ward();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("b")).unwrap();
    let ana = PatientChange { name: Some("Ana".into()), ..PatientChange::default() };
    registry.set_patient(&id("a"), &ana, None).unwrap();
    registry.write_alarms(&[write(1, 1_000, raised(134.5)), write(1, 2_000, seen("bob", "moved"))]).unwrap();
    registry.request_erasure(&id("a")).unwrap();
    let is_gone = || {
        assert!(registry.alarms(&AlarmQuery::default()).unwrap().is_empty());
        assert!(registry.stays_of(&id("a")).unwrap().is_empty());
        assert!(matches!(registry.stay(StayId::new(1).unwrap()), Err(RegistryError::StayUnknown(_))));
    };
    is_gone();
    // The server had not seen it yet.
    registry.write_alarms(&[write(1, 3_000, AlarmEvent::Ended), write(2, 3_000, raised(140.0))]).unwrap();
    is_gone();
    registry.erasure_done(&id("a"), 3, "nothing is left").unwrap();
    registry.add_tls_device(&id("a")).unwrap();
    let again = registry.current_stay(&id("a")).unwrap();
    assert!(again.id > StayId::new(2).unwrap() && again.patient.is_none(), "a number is not used again");
    registry.write_alarms(&[write(3, 4_000, raised(140.0))]).unwrap();
    assert!(registry.open_alarms().unwrap().is_empty(), "it was of the stay that is gone");
    assert_eq!(registry.stays_of(&id("b")).unwrap().len(), 1);
    assert_eq!(registry.verify_audit(None).unwrap().fault, None);
}

#[test]
fn a_patient_who_was_moved_keeps_what_the_other_device_has() {
    let fixture = ward();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("b")).unwrap();
    let ana = PatientChange { name: Some("Ana".into()), ..PatientChange::default() };
    let stay = registry.set_patient(&id("a"), &ana, None).unwrap();
    registry
        .move_patient(&id("a"), &id("b"), Moment { time_us: 4_000_000_000_000_000, position: 9 })
        .unwrap();
    registry.request_erasure(&id("a")).unwrap();
    let left = registry.stay(stay).unwrap();
    assert_eq!(left.parts.len(), 1);
    assert_eq!((left.device, left.patient.unwrap().name), (id("b"), "Ana".to_owned()));
    assert!(registry.timeline(&id("a")).unwrap().borders.is_empty());
}

#[test]
fn a_thousand_alarms_are_written_in_one_transaction_well_within_a_second() {
    let fixture = ward();
    let registry = &fixture.registry;
    let mut number = 0;
    // A busy machine disturbs a round, but not each.
    let quickest = (0..5).map(|_| {
        let writes: Vec<_> = (0..1_000)
            .map(|_| {
                number += 1;
                write(number, 1_000, raised(134.5))
            })
            .collect();
        let begin = Instant::now();
        registry.write_alarms(&writes).unwrap();
        begin.elapsed()
    });
    let quickest = quickest.min().unwrap();
    println!("1,000 alarms in {quickest:?}");
    assert!(quickest < Duration::from_secs(1), "{quickest:?}");
    assert_eq!(registry.open_alarms().unwrap().len(), 5_000);
}

#[test]
fn what_someone_wrote_is_no_link_of_the_device() {
    let fixture = ward();
    let before = fixture.registry.links_ever(&id("a")).unwrap();
    assert_eq!(before.len(), 1);
    let by = "00112233445566778899aabbccddeeff";
    fixture.registry.write_alarms(&[write(1, 1_000, raised(1.0)), write(1, 2_000, seen(by, ""))]).unwrap();
    assert!(told(&fixture.registry)[1].contains(by));
    assert_eq!(fixture.registry.links_ever(&id("a")).unwrap(), before);
}

#[test]
fn what_is_found_late_is_of_who_wore_the_device_then() {
    let fixture = ward();
    let registry = &fixture.registry;
    let ana = PatientChange { name: Some("Ana".into()), ..PatientChange::default() };
    let first = registry.set_patient(&id("a"), &ana, None).unwrap();
    let moment = Moment { time_us: 4_000_000_000_000_000, position: 9 };
    let bo = PatientChange { name: Some("Bo".into()), ..PatientChange::default() };
    let second = registry.set_patient(&id("a"), &bo, Some(moment)).unwrap();
    let AlarmEvent::Raised(medium) = raised(134.5) else { unreachable!() };
    for (number, since_us, is_late, expected) in [
        (1, moment.time_us - 1, true, first),
        (2, moment.time_us, true, second),
        // The server says whose a live one is.
        (3, moment.time_us - 1, false, second),
    ] {
        let event = AlarmEvent::Raised(Raised { since_us, is_late, ..medium });
        let late = AlarmWrite { stay: Some(second), ..write(number, moment.time_us + 5, event) };
        registry.write_alarms(&[late]).unwrap();
        let query = AlarmQuery { stay: Some(expected), ..AlarmQuery::default() };
        let found = registry.alarms(&query).unwrap();
        assert!(found.iter().any(|alarm| alarm.number == number && !alarm.is_broken), "alarm {number}");
    }
}

#[test]
fn past_alarms_come_a_page_at_a_time_the_newest_first() {
    let fixture = ward();
    let registry = &fixture.registry;
    registry.add_tls_device(&id("b")).unwrap();
    let stays = ["a", "b"].map(|device| registry.current_stay(&id(device)).unwrap().id);
    for number in 1..=6 {
        let (device, stay) = if number % 2 == 1 { ("a", stays[0]) } else { ("b", stays[1]) };
        let time_us = i64::try_from(number).unwrap() * 1_000;
        let write = AlarmWrite {
            device: Some(id(device)),
            stay: Some(stay),
            ..write(number, time_us, raised(130.0))
        };
        registry.write_alarms(&[write]).unwrap();
    }
    let of_server = AlarmWrite { device: None, stay: None, ..write(7, 7_000, raised(1.0)) };
    registry.write_alarms(&[of_server]).unwrap();
    let all = PastAlarmQuery { from_us: 0, to_us: 9_000, before: None, priority: Priority::Low, count: 100 };
    let found = |query: &PastAlarmQuery, keep: &dyn Fn(Option<StayId>) -> bool| -> Vec<u64> {
        registry.past_alarms(query, keep).unwrap().iter().map(|record| record.number).collect()
    };
    assert_eq!(found(&all, &|_| true), [7, 6, 5, 4, 3, 2, 1]);
    assert_eq!(found(&all, &|stay| stay == Some(stays[0])), [5, 3, 1]);
    assert_eq!(found(&all, &|stay| stay.is_none()), [7]);
    let page = PastAlarmQuery { count: 2, ..all };
    assert_eq!(found(&page, &|stay| stay == Some(stays[0])), [5, 3]);
    assert_eq!(found(&PastAlarmQuery { before: Some(3), ..page }, &|stay| stay == Some(stays[0])), [1]);
    assert_eq!(found(&PastAlarmQuery { before: Some(0), ..all }, &|_| true), [0; 0]);
    assert_eq!(found(&PastAlarmQuery { before: Some(u64::MAX), from_us: 6_000, ..all }, &|_| true), [7, 6]);
    assert_eq!(found(&PastAlarmQuery { to_us: 2_000, ..all }, &|_| true), [1]);
    assert_eq!(found(&PastAlarmQuery { priority: Priority::High, ..all }, &|_| true), [0; 0]);
    assert_eq!(registry.alarm(5).unwrap().unwrap().device, Some(id("a")));
    assert!(registry.alarm(8).unwrap().is_none() && registry.alarm(u64::MAX).unwrap().is_none());
}

#[test]
fn limits_are_changed_for_the_patient_and_from_the_limits_that_were_looked_at() {
    let fixture = ward();
    let registry = &fixture.registry;
    let device = id("a");
    let stay = registry.current_stay(&device).unwrap().id;
    let before = registry.limits(&device).unwrap();
    let asked = LimitsChange { stay, before, limits: "rate-high=130".parse().unwrap() };
    registry.change_limits(&device, &asked, "ana, in the dashboard").unwrap();
    assert_eq!(registry.limits(&device).unwrap(), asked.limits);
    let last = registry.audit(0, 1_000).unwrap().pop().unwrap();
    assert_eq!((last.kind.as_str(), last.subject.as_str()), ("limits-set", "a"));
    assert_eq!(last.detail, format!("stay {stay}, by ana, in the dashboard"));
    let again = registry.change_limits(&device, &asked, "bo");
    assert!(matches!(again, Err(RegistryError::LimitsAreOthers(_))), "{again:?}");
    let mut crossed = LimitsChange { before: asked.limits, ..asked };
    crossed.limits.rate_low = 250;
    assert!(matches!(registry.change_limits(&device, &crossed, "bo"), Err(RegistryError::Limits(_))));
    let name = PatientChange { name: Some("Bo".to_owned()), ..PatientChange::default() };
    registry.set_patient(&device, &name, Some(Moment { time_us: i64::MAX / 2, position: 9 })).unwrap();
    let late = registry.change_limits(&device, &LimitsChange { before: asked.limits, ..asked }, "ana");
    assert!(matches!(late, Err(RegistryError::StayIsAnother(_))), "{late:?}");
    assert_eq!(registry.limits(&device).unwrap(), before, "who has the device now has the usual ones");
    registry.verify_audit(None).unwrap();
}

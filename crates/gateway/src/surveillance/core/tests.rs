//! Who is an alarm after a restart, and who is not.

use std::collections::BTreeMap;

use vitalwire_registry::AlarmEvent;

use super::*;
use crate::escalation::Escalation;

const START_US: i64 = 1_795_000_000_000_000;
const GRACE: Duration = Duration::from_secs(60);

fn device(name: &str) -> DeviceId {
    name.parse().unwrap()
}

/// Seconds after the server's start.
fn at(seconds: i64) -> i64 {
    START_US + seconds * 1_000_000
}

/// Each of these devices has a patient, with the default limits.
fn ward(devices: &[&str]) -> Arc<Directory> {
    let stay = |(number, name): (u64, &&str)| {
        let (id, limits) = (StayId::new(number).unwrap(), Limits::default());
        (device(name), Arc::new(CurrentStay { id, started_us: 0, limits }))
    };
    let stays: BTreeMap<_, _> = (1..).zip(devices).map(stay).collect();
    Arc::new(Directory { stays: Arc::new(stays), ..Directory::default() })
}

fn start(directory: &Arc<Directory>, open: Vec<AlarmRecord>, heard: &[&str]) -> Core {
    let restored = Restored { next_number: 100, open, paused: Vec::new() };
    let mut core = Core::new(Arc::clone(directory), restored, Timing::default(), START_US);
    core.expect(heard.iter().map(|name| device(name)).collect(), GRACE, START_US);
    core
}

fn set_online(core: &mut Core, name: &str, is_online: bool, now_us: i64) {
    let peer = "127.0.0.1:1".parse().unwrap();
    core.status(&Status { device: device(name), is_online, peer, local: None }, now_us);
}

/// Whose alarms were raised since the last time, and since when each condition holds; not that no values come.
fn raised(core: &mut Core, now_us: i64) -> Vec<(String, Condition, i64)> {
    core.turn(now_us);
    let writes = core.batch(now_us).unwrap_or_default().writes;
    let raised = writes.into_iter().filter_map(|write| match write.event {
        AlarmEvent::Raised(raised) if raised.condition != Condition::BadSignal => {
            Some((write.device?.to_string(), raised.condition, (raised.since_us - START_US) / 1_000_000))
        }
        _ => None,
    });
    raised.collect()
}

fn offline(name: &str, since_s: i64) -> (String, Condition, i64) {
    (name.to_owned(), Condition::DeviceOffline, since_s)
}

/// An alarm that was open when the server ended, a minute before its start.
fn open(name: &str, stay: u64, condition: Condition) -> AlarmRecord {
    AlarmRecord {
        number: stay,
        device: Some(device(name)),
        stay: StayId::new(stay),
        raised: vitalwire_registry::Raised {
            condition,
            priority: condition.priority(),
            since_us: at(-70),
            delay_us: 10_000_000,
            value: None,
            limit: None,
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            is_late: false,
        },
        raised_us: at(-60),
        ended_us: None,
        acknowledged: None,
        reannounced_us: None,
        escalated_us: None,
        closed_us: None,
        is_broken: false,
    }
}

#[test]
fn a_device_that_does_not_come_back_is_an_alarm_after_the_grace_and_its_delay() {
    let mut core = start(&ward(&["back", "lost", "drawer"]), Vec::new(), &["back", "lost", "discharged"]);
    assert_eq!(raised(&mut core, at(0)), []);
    set_online(&mut core, "back", true, at(59));
    assert_eq!(raised(&mut core, at(69)), []);
    assert_eq!(raised(&mut core, at(70)), [offline("lost", 0)]);
    assert_eq!(raised(&mut core, at(4_000)), []);
    // From now on it is as always.
    set_online(&mut core, "back", false, at(5_000));
    assert_eq!(raised(&mut core, at(5_009)), []);
    assert_eq!(raised(&mut core, at(5_010)), [offline("back", 5_000)]);
}

#[test]
fn a_thousand_devices_that_come_back_within_the_grace_are_no_alarm() {
    let names: Vec<String> = (0..1_000).map(|n| format!("d{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut core = start(&ward(&names), Vec::new(), &names);
    for (n, name) in (0..).zip(&names) {
        let now_us = at(0) + n * 60_000;
        assert_eq!(raised(&mut core, now_us), []);
        set_online(&mut core, name, true, now_us);
    }
    assert_eq!(raised(&mut core, at(10_000)), []);
}

#[test]
fn what_was_missed_begins_nothing_anew() {
    let mut core = start(&ward(&["silent"]), Vec::new(), &[]);
    for second in 0..46 {
        core.recover(|_| true, true, at(second));
        core.turn(at(second));
        assert_eq!(core.has_open(&device("silent")), second == 45, "after {second} s");
        set_online(&mut core, "silent", true, at(second));
    }
}

#[test]
fn one_that_is_an_alarm_already_is_not_raised_again() {
    let directory = ward(&["gone", "ill"]);
    let kept = vec![open("gone", 1, Condition::DeviceOffline), open("ill", 2, Condition::BadSignal)];
    let mut core = start(&directory, kept, &["gone"]);
    // What is open besides does not keep a device from being looked for, though it was not heard of lately.
    assert_eq!(raised(&mut core, at(70)), [offline("ill", 0)]);
    assert_eq!(raised(&mut core, at(4_000)), []);
    set_online(&mut core, "gone", true, at(4_001));
    assert!(!core.has_open(&device("gone")));
}

/// High alarms that call, of the patients of these devices, as the registry has them.
fn calling(names: &[&str], raised_us: i64, escalated: &BTreeMap<u64, i64>) -> Vec<AlarmRecord> {
    let call = |(stay, name): (u64, &&str)| {
        let mut record = open(name, stay, Condition::RateHigh);
        record.raised.priority = vitalwire_vitals::alarm::Priority::High;
        AlarmRecord { raised_us, escalated_us: escalated.get(&stay).copied(), ..record }
    };
    (1..).zip(names).map(call).collect()
}

#[test]
fn an_escalation_is_the_same_one_after_a_restart() {
    let names = ["one", "other"];
    let directory = ward(&names);
    let mut core = start(&directory, calling(&names, at(-60), &BTreeMap::new()), &[]);
    core.turn(at(200));
    let batch = core.batch(at(200)).unwrap();
    let told = batch.told.into_iter().filter_map(|told| match told {
        Told::Change(change) if matches!(change.change, Change::Escalated(_)) => Some(change),
        _ => None,
    });
    let told: BTreeSet<_> = told.map(|change| Escalation::Alarm((*change).clone()).identity()).collect();
    assert_eq!(told.len(), 2);
    let written = batch.writes.iter().filter(|write| write.event == AlarmEvent::Escalated);
    let written = written.map(|write| (write.number, write.time_us)).collect();
    // The registry has when an alarm was raised last, which may be later than what was known in memory.
    let core = start(&directory, calling(&names, at(-30), &written), &[]);
    let again: BTreeSet<_> =
        core.escalated().into_iter().map(|change| Escalation::Alarm(change).identity()).collect();
    assert_eq!(again, told);
}

#[test]
fn a_full_journal_of_which_the_event_was_missed_is_an_alarm() {
    let mut core = start(&ward(&[]), Vec::new(), &[]);
    assert!(core.servers().is_empty());
    core.recover(|_| true, false, at(1));
    core.turn(at(60));
    let conditions: Vec<_> = core.servers().iter().map(|alarm| alarm.condition).collect();
    assert_eq!(conditions, [Condition::JournalFull]);
    core.recover(|_| true, true, at(61));
    assert!(core.servers().is_empty());
}

#[test]
fn a_clock_that_is_set_back_makes_no_one_wait_for_longer() {
    let mut core = start(&ward(&["lost"]), Vec::new(), &["lost"]);
    assert_eq!(raised(&mut core, at(69)), []);
    assert_eq!(raised(&mut core, at(-3_600)), []);
    assert_eq!(raised(&mut core, at(-3_531)), []);
    assert_eq!(raised(&mut core, at(-3_530)), [offline("lost", 0)]);
}

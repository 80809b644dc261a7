//! Random handovers, clocks that are set, and readings that come late: what is shown under a patient's name was measured
//! at that patient. And two connections at once.

use std::collections::BTreeMap;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use vitalwire_registry::{
    AlarmEvent, AlarmQuery, AlarmWrite, Moment, PatientChange, Raised, Registry, RegistryError, StayId,
};
use vitalwire_vitals::alarm::{Condition, Priority};

use crate::fixture::{Fixture, id};

const DEVICES: [&str; 3] = ["a", "b", "c"];
/// Seconds. Later than any enrolment of a test.
const BEGIN_S: i64 = 4_000_000_000;

/// What is true, whatever clocks say.
struct World {
    random: StdRng,
    registry: Registry,
    true_s: i64,
    clock_ahead_s: i64,
    head: u64,
    people: u32,
    /// Who wears which device since when, and in which stay.
    worn: BTreeMap<&'static str, Vec<Worn>>,
    readings: Vec<Reading>,
    clock_was_set: bool,
}

struct Worn {
    since_s: i64,
    person: u32,
    stay: StayId,
}

struct Reading {
    device: &'static str,
    time_us: i64,
    position: u64,
    person: u32,
    /// The stay in which it was measured, where that can be told.
    stay: Option<StayId>,
}

fn name(person: u32) -> String {
    format!("person {person}")
}

impl World {
    fn new(fixture: &Fixture, seed: u64) -> Self {
        let registry = fixture.reopen();
        let worn = DEVICES.iter().zip(0..).map(|(device, person)| {
            registry.add_tls_device(&id(device)).unwrap();
            let stay = registry.current_stay(&id(device)).unwrap().id;
            (*device, vec![Worn { since_s: i64::MIN, person, stay }])
        });
        let worn = worn.collect();
        let random = StdRng::seed_from_u64(seed);
        Self {
            random,
            registry,
            true_s: BEGIN_S,
            clock_ahead_s: 0,
            head: 0,
            people: 3,
            worn,
            readings: Vec::new(),
            clock_was_set: false,
        }
    }

    fn device(&mut self) -> &'static str {
        DEVICES[self.random.random_range(0..DEVICES.len())]
    }

    fn worn(&self, device: &str, true_s: i64) -> &Worn {
        self.worn[device].iter().rev().find(|worn| worn.since_s <= true_s).unwrap()
    }

    fn wear(&mut self, device: &'static str, person: u32) {
        let stay = self.registry.current_stay(&id(device)).unwrap().id;
        self.worn.get_mut(device).unwrap().push(Worn { since_s: self.true_s, person, stay });
    }

    fn next_person(&mut self) -> u32 {
        self.people += 1;
        self.people
    }

    fn now(&self) -> Moment {
        let time_us = (self.true_s + self.clock_ahead_s) * 1_000_000;
        // The command line reads the journal first.
        Moment { time_us, position: self.head }
    }

    /// What was measured so many seconds ago arrives.
    fn receive(&mut self, device: &'static str, ago_s: i64) {
        self.head += self.random.random_range(1..=3);
        let measured_s = self.true_s - ago_s;
        let (time_us, position) = ((measured_s + self.clock_ahead_s) * 1_000_000, self.head);
        let &Worn { person, stay, .. } = self.worn(device, measured_s);
        // What comes late after the clock was set may be no one's, and what is live never is.
        let stay = (ago_s == 0 || !self.clock_was_set).then_some(stay);
        self.readings.push(Reading { device, time_us, position, person, stay });
    }

    fn hand_on(&mut self) {
        let (device, person) = (self.device(), self.next_person());
        let change = PatientChange { name: Some(name(person)), ..PatientChange::default() };
        let now = self.now();
        self.registry.set_patient(&id(device), &change, Some(now)).unwrap();
        self.wear(device, person);
    }

    /// The person who wears a device is told to the registry only now.
    fn name_wearer(&mut self) {
        let device = self.device();
        if self.registry.current_stay(&id(device)).unwrap().patient.is_none() {
            let person = self.worn(device, self.true_s).person;
            let change = PatientChange { name: Some(name(person)), ..PatientChange::default() };
            self.registry.set_patient(&id(device), &change, None).unwrap();
        }
    }

    fn move_on(&mut self) {
        let (from, to) = (self.device(), self.device());
        let (now, mover) = (self.now(), self.worn(from, self.true_s).person);
        match self.registry.move_patient(&id(from), &id(to), now) {
            Ok(_) => {
                let other = self.next_person();
                self.wear(to, mover);
                self.wear(from, other);
            }
            Err(RegistryError::MoveToSame(_) | RegistryError::DeviceIsWorn(_)) => {}
            Err(other) => panic!("{other}"),
        }
    }

    fn discharge(&mut self) {
        let device = self.device();
        let now = self.now();
        if self.registry.discharge(&id(device), now).is_ok() {
            let other = self.next_person();
            self.wear(device, other);
        }
    }

    fn set_clock(&mut self) {
        let far = self.random.random_bool(0.5);
        let by_s = if far { 1_000_000 } else { 500 };
        let before_s = self.clock_ahead_s;
        self.clock_ahead_s = self.random.random_range(-by_s..by_s);
        let (now, set_by_us) = (self.now(), (self.clock_ahead_s - before_s) * 1_000_000);
        self.registry.divide_anew(now, set_by_us, "the clock was set").unwrap();
        self.clock_was_set = true;
    }

    fn step(&mut self, clocks: bool) {
        self.true_s += self.random.random_range(1..=100);
        match self.random.random_range(0..20) {
            0..=2 => self.hand_on(),
            3..=4 => self.name_wearer(),
            5..=6 => self.move_on(),
            7 => self.discharge(),
            8 if clocks => self.set_clock(),
            9..=12 => {
                let (device, ago_s) = (self.device(), self.random.random_range(0..=500));
                self.receive(device, ago_s);
            }
            _ => {
                let device = self.device();
                self.receive(device, 0);
            }
        }
    }

    /// Each reading is of the patient who was measured, or of no one known.
    fn check(&self, context: &str) {
        let stays: BTreeMap<StayId, Option<String>> = self
            .registry
            .stays()
            .unwrap()
            .into_iter()
            .map(|stay| (stay.id, stay.patient.map(|patient| patient.name)))
            .collect();
        let mut shown = 0;
        for reading in &self.readings {
            let timeline = self.registry.timeline(&id(reading.device)).unwrap();
            let stay =
                timeline.stay_at(reading.time_us, reading.position).expect("each reading has its stay");
            let (device, time_us) = (reading.device, reading.time_us);
            assert!(reading.stay.is_none_or(|right| right == stay), "{context}: {device} {time_us}");
            if let Some(shown_as) = &stays[&stay] {
                assert_eq!(
                    *shown_as,
                    name(reading.person),
                    "{context}: {} {}",
                    reading.device,
                    reading.time_us
                );
                shown += 1;
            }
        }
        assert!(shown > 0, "{context}: nothing was shown at all");
    }
}

#[test]
fn no_reading_ever_stands_under_another_patients_name() {
    let first: u64 = rand::random();
    for round in 0..16 {
        let seed = first.wrapping_add(round);
        let context = format!("seed {seed}");
        let fixture = Fixture::new();
        let mut world = World::new(&fixture, seed);
        for _ in 0..120 {
            world.step(round % 2 == 0);
        }
        // In the end all who wear a device are known.
        for device in DEVICES {
            world.receive(device, 0);
        }
        world.check(&context);
        assert_eq!(world.registry.verify_audit(None).unwrap().fault, None, "{context}");
        one_part_goes_on(&world.registry, &context);
    }
}

/// Of each device one part goes on, and for people none begins before the one before it ended.
fn one_part_goes_on(registry: &Registry, context: &str) {
    let stays = registry.stays().unwrap();
    for device in DEVICES {
        let mut parts: Vec<_> = stays.iter().flat_map(|stay| &stay.parts).collect();
        // One in which nothing was measured takes no time: it has what came late when the clock had been set.
        parts.retain(|part| part.device == id(device) && part.to_us != Some(part.from_us));
        let open = parts.iter().filter(|part| part.to_us.is_none()).count();
        assert_eq!(open, 1, "{context}: {device}");
        parts.sort_by_key(|part| (part.from_us, part.to_us.unwrap_or(i64::MAX)));
        for pair in parts.windows(2) {
            assert!(pair[0].to_us.unwrap() <= pair[1].from_us, "{context}: {pair:?}");
        }
    }
}

#[test]
fn two_connections_at_once_leave_whole_stays_and_every_alarm_once() {
    let fixture = Fixture::new();
    for device in DEVICES {
        fixture.registry.add_tls_device(&id(device)).unwrap();
    }
    std::thread::scope(|scope| {
        for part in 0..2_u64 {
            let registry = fixture.reopen();
            scope.spawn(move || {
                for round in 0..30_u32 {
                    work(&registry, part, round);
                }
            });
        }
    });
    one_part_goes_on(&fixture.registry, "two connections");
    // Both were given each alarm.
    assert_eq!(fixture.registry.alarms(&AlarmQuery::default()).unwrap().len(), 30);
    let records = fixture.registry.audit(0, 10_000).unwrap();
    assert_eq!(records.iter().filter(|record| record.kind == "alarm-raised").count(), 30);
    assert_eq!(fixture.registry.verify_audit(None).unwrap().fault, None);
}

fn work(registry: &Registry, part: u64, round: u32) {
    let time_us = (BEGIN_S + i64::from(round)) * 1_000_000;
    let moment = Moment { time_us, position: u64::from(round) + 1 };
    let device = id(DEVICES[usize::try_from(round).unwrap() % 3]);
    let change = PatientChange { name: Some(name(round)), ..PatientChange::default() };
    match (round + u32::try_from(part).unwrap()) % 3 {
        0 => drop(registry.set_patient(&device, &change, Some(moment)).unwrap()),
        1 => match registry.discharge(&device, moment) {
            Ok(_) | Err(RegistryError::PatientUnknown(_)) => {}
            Err(other) => panic!("{other}"),
        },
        _ => match registry.move_patient(&device, &id("a"), moment) {
            Ok(_) | Err(RegistryError::MoveToSame(_) | RegistryError::DeviceIsWorn(_)) => {}
            Err(other) => panic!("{other}"),
        },
    }
    let raised = Raised {
        condition: Condition::RateLow,
        priority: Priority::Medium,
        since_us: time_us,
        delay_us: 0,
        value: Some(44.0),
        limit: Some(50.0),
        bad: vitalwire_vitals::alarm::BadSignals::NONE,
        is_late: false,
    };
    let write = AlarmWrite {
        number: u64::from(round) + 1,
        device: Some(id("b")),
        stay: None,
        time_us,
        event: AlarmEvent::Raised(raised),
    };
    registry.write_alarms(&[write]).unwrap();
}

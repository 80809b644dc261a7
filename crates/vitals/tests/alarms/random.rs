//! Random patients: the machine says what the model says, and what must never happen does not.

use std::collections::BTreeMap;

use proptest::prelude::*;
use vitalwire_vitals::alarm::{Alarm, Change, Condition, Limits, PauseKind, Priority, Step, Which};

use crate::model::{Act, Model, Modelled};
use crate::script::{Bed, DAY_US};

const US_PER_S: i64 = 1_000_000;

fn rates() -> impl Strategy<Value = f64> {
    // Around the limits and their hysteresis, where decisions are made.
    prop_oneof![
        4 => prop::sample::select(vec![80.0, 118.0, 119.0, 120.0, 121.0, 138.0, 139.0, 140.0, 150.0]),
        2 => prop::sample::select(vec![52.0, 51.0, 50.0, 49.0, 42.0, 41.0, 40.0, 30.0]),
    ]
}

fn acts() -> impl Strategy<Value = Act> {
    use Condition::{BadSignal, Battery, DeviceOffline, SensorOff};
    let technical = prop::sample::select(vec![Battery, BadSignal, DeviceOffline, SensorOff]);
    prop_oneof![
        12 => rates().prop_map(Act::Rate),
        2 => Just(Act::Unknown),
        4 => prop::sample::select(vec![36.6, 38.3, 38.4, 38.6, 40.0, 35.2, 35.1, 34.9]).prop_map(Act::Temperature),
        2 => any::<bool>().prop_map(Act::Asystole),
        3 => (technical.clone(), any::<bool>()).prop_map(|(condition, is_there)| Act::Technical(condition, is_there)),
        1 => (technical, any::<bool>()).prop_map(|(condition, is_high)| {
            Act::Urgent(condition, if is_high { Priority::High } else { Priority::Medium })
        }),
        1 => Just(Act::AcknowledgeAll),
        1 => (1_u64..20).prop_map(Act::Acknowledge),
        1 => (1_u16..=120).prop_map(Act::Pause),
        1 => Just(Act::Resume),
        1 => Just(Act::Restart),
        2 => Just(Act::Wait),
    ]
}

/// Mostly seconds that follow each other, so that delays end, and at times a longer silence.
fn history() -> impl Strategy<Value = Vec<(i64, Act)>> {
    let pause = prop_oneof![10 => 0_i64..4, 1 => 4_i64..200];
    prop::collection::vec((pause, acts()), 1..200)
}

fn limits() -> impl Strategy<Value = Limits> {
    (0_u16..20, 0_u16..12, 0_u16..12).prop_map(|(rate_s, temperature_s, technical_s)| {
        let mut limits = Limits::default();
        for condition in Condition::ALL {
            let delay_s = match condition {
                Condition::RateHigh | Condition::RateLow => rate_s,
                Condition::TemperatureHigh | Condition::TemperatureLow => temperature_s,
                Condition::Asystole | Condition::JournalFull => 0,
                _ => technical_s,
            };
            limits.set_delay_s(condition, delay_s);
        }
        limits
    })
}

fn run(bed: &mut Bed, now_us: i64, act: &Act) -> Vec<Change> {
    if let Act::Restart = act {
        let changes = bed.run(now_us, &["tick"]);
        bed.restart();
        return changes;
    }
    let mut changes = Vec::new();
    let mut step = Step { now_us, numbers: &mut bed.numbers, changes: &mut changes };
    let (alarms, step) = (&mut bed.alarms, &mut step);
    match act {
        Act::Rate(rate) => alarms.rate(now_us, *rate, step),
        Act::Unknown => alarms.rate_unknown(now_us, step),
        Act::Temperature(value) => alarms.temperature(now_us, *value, step),
        Act::Asystole(is_there) => alarms.asystole(now_us, *is_there, step),
        Act::Technical(condition, is_there) => alarms.technical(*condition, now_us, *is_there, step),
        Act::Urgent(condition, priority) => alarms.technical_urgent(*condition, *priority, now_us, step),
        Act::AcknowledgeAll => drop(alarms.acknowledge(Which::All, "nurse", None, step).unwrap()),
        // It may not be open.
        Act::Acknowledge(number) => {
            let _ = alarms.acknowledge(Which::Number(*number), "nurse", None, step);
        }
        Act::Pause(seconds) => alarms.pause(PauseKind::Alarm, *seconds, "nurse", step).unwrap(),
        Act::Resume => drop(alarms.resume("nurse", step).unwrap()),
        Act::Wait => alarms.tick(step),
        Act::Restart => unreachable!("done above"),
    }
    changes
}

fn modelled(alarm: &Alarm) -> Modelled {
    Modelled {
        number: alarm.number,
        condition: alarm.condition,
        priority: alarm.priority,
        is_active: alarm.is_active(),
        is_acknowledged: alarm.acknowledged.is_some(),
    }
}

/// What everyone who listens to the changes alone knows: it must be what the machine has.
#[derive(Default)]
struct Listener {
    open: BTreeMap<u64, Alarm>,
    /// The highest number that was given.
    newest: u64,
    is_paused: bool,
}

impl Listener {
    fn hear(&mut self, change: &Change) {
        let Some(alarm) = change.alarm() else { return self.hear_pause(change) };
        let before = self.open.insert(alarm.number, alarm.clone());
        let calls = matches!(change, Change::Raised(_) | Change::Heightened(_) | Change::Returned(_));
        let is_kept = calls && alarm.announced_us.is_none();
        assert!(
            !is_kept || alarm.priority < Priority::High,
            "a pause keeps back {alarm:?}, of which no one heard"
        );
        match change {
            Change::Raised(_) => {
                assert!(before.is_none(), "alarm {} is raised twice", alarm.number);
                assert!(alarm.number > self.newest, "number {} after {}", alarm.number, self.newest);
                self.newest = alarm.number;
            }
            Change::Closed(_) => {
                self.open.remove(&alarm.number);
                let may_go = !alarm.is_active()
                    && (alarm.acknowledged.is_some()
                        || alarm.priority == Priority::Low
                        || (alarm.condition.is_technical() && alarm.priority < Priority::High));
                assert!(may_go, "{alarm:?} left the list too early");
            }
            Change::Acknowledged(_) => assert!(alarm.acknowledged.is_some()),
            _ => assert!(before.is_some(), "{change:?} of an alarm that no one heard of"),
        }
        let of_condition = self.open.values().filter(|open| open.condition == alarm.condition).count();
        assert!(of_condition <= 1, "two open alarms of {}", alarm.condition);
    }

    /// A pause ends before the next one begins: people hear of what it kept back.
    fn hear_pause(&mut self, change: &Change) {
        let begins = matches!(change, Change::Paused(_));
        assert!(!begins || !self.is_paused, "a pause is renewed, and what it kept back goes on unheard");
        self.is_paused = begins;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn does_what_the_model_does(limits in limits(), history in history()) {
        let (mut bed, mut model, mut listener) = (Bed::new(limits), Model::new(limits), Listener::default());
        let mut second = 0;
        for (pause, act) in &history {
            second += pause;
            let changes = run(&mut bed, DAY_US + second * US_PER_S, act);
            if let Act::Restart = act {
                listener.is_paused = false;
            }
            model.act(second, act);
            changes.iter().for_each(|change| listener.hear(change));
            let mut open: Vec<Modelled> = bed.alarms.open().map(modelled).collect();
            let mut expected = model.open.clone();
            open.sort_by_key(|alarm| alarm.condition);
            expected.sort_by_key(|alarm| alarm.condition);
            prop_assert_eq!(open, expected, "after {:?} at {}", act, second);
            let heard: Vec<&Alarm> = listener.open.values().collect();
            let mut kept: Vec<&Alarm> = bed.alarms.open().collect();
            kept.sort_by_key(|alarm| alarm.number);
            prop_assert_eq!(heard, kept, "what the changes told is not what stands");
        }
    }

    #[test]
    fn a_clock_that_jumps_breaks_nothing(
        limits in limits(),
        history in prop::collection::vec((any::<i64>(), any::<i64>(), acts()), 1..100),
        near in any::<bool>(),
    ) {
        let (mut bed, mut listener) = (Bed::new(limits), Listener::default());
        for (now_us, time_us, act) in history {
            // Either from one end of time to the other, or by some minutes to and fro.
            let narrow = |us: i64| if near { DAY_US + us % (600 * US_PER_S) } else { us };
            let (now_us, time_us) = (narrow(now_us), narrow(time_us));
            let mut changes = run(&mut bed, now_us, &act);
            if let Act::Rate(rate) = act {
                let mut step = Step { now_us, numbers: &mut bed.numbers, changes: &mut changes };
                bed.alarms.rate(time_us, rate, &mut step);
            }
            changes.iter().for_each(|change| listener.hear(change));
            listener.is_paused = bed.alarms.paused().is_some();
            if let Some(pause) = bed.alarms.paused() {
                let left_us = i128::from(pause.until_us) - i128::from(now_us);
                prop_assert!(left_us <= 120 * i128::from(US_PER_S), "a pause of {left_us} us");
            }
            let heard: Vec<&Alarm> = listener.open.values().collect();
            let mut kept: Vec<&Alarm> = bed.alarms.open().collect();
            kept.sort_by_key(|alarm| alarm.number);
            prop_assert_eq!(heard, kept);
        }
    }

    /// A high alarm that no one acknowledges is told again within two minutes, and escalated half a minute after, however
    /// irregularly the machine is asked, as long as it is asked when it says.
    #[test]
    fn a_high_alarm_never_falls_silent(others in prop::collection::vec(0_i64..400, 0..20)) {
        let mut bed = Bed::new(Limits::default());
        let mut changes = bed.run(DAY_US, &["asystole", "yes"]);
        let mut others: Vec<i64> = others.iter().map(|second| DAY_US + second * US_PER_S).collect();
        others.sort_unstable();
        for other_us in others {
            while let Some(due_us) = bed.alarms.next_due_us().filter(|due_us| *due_us <= other_us) {
                changes.extend(bed.run(due_us, &["tick"]));
            }
            changes.extend(bed.run(other_us, &["rate", "80"]));
        }
        let told: Vec<i64> = changes
            .iter()
            .filter(|change| matches!(change, Change::Raised(_) | Change::Reannounced(_)))
            .filter_map(|change| change.alarm()?.announced_us)
            .collect();
        prop_assert!(told.windows(2).all(|pair| pair[1] - pair[0] == 120 * US_PER_S), "{told:?}");
        for change in &changes {
            if let Change::Escalated(alarm) = change {
                prop_assert_eq!(alarm.escalated_us, Some(DAY_US + 150 * US_PER_S));
            }
        }
    }
}

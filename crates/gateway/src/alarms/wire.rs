//! Alarms on the control socket: the same fields, with names in the place of the types that know no serde.

use std::fmt::Display;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::{Acknowledgement, Alarm, AlarmState, BadSignals, Condition, Priority};

use super::{AlarmList, WardSummary};

/// A value that has a name.
struct Named<T>(T);

impl<T: Display> Serialize for Named<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de, T: FromStr<Err: Display>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        name.parse().map(Self).map_err(D::Error::custom)
    }
}

struct State(AlarmState);

const STATES: [AlarmState; 5] = [
    AlarmState::On,
    AlarmState::AlarmPaused,
    AlarmState::AlarmOff,
    AlarmState::AudioPaused,
    AlarmState::AudioOff,
];

impl Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl FromStr for State {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let found = STATES.into_iter().find(|state| state.name() == name);
        found.map(Self).ok_or("a state of alarms that this version does not know")
    }
}

#[derive(Serialize, Deserialize)]
pub(super) struct List {
    device: Named<DeviceId>,
    time_us: i64,
    state: Named<State>,
    until_us: Option<i64>,
    floor: Option<Named<Priority>>,
    alarms: Vec<One>,
    is_withdrawn: bool,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Summary {
    time_us: i64,
    patients: usize,
    counts: Vec<(Named<Condition>, Named<Priority>, usize)>,
    unacknowledged: usize,
    paused: usize,
    server: Vec<One>,
    is_recorded: bool,
}

#[derive(Serialize, Deserialize)]
struct One {
    number: u64,
    condition: Named<Condition>,
    priority: Named<Priority>,
    since_us: i64,
    raised_us: i64,
    ended_us: Option<i64>,
    returns: u32,
    acknowledged: Option<Known>,
    value: Option<f64>,
    limit: Option<f64>,
    /// Bits; none from a server of before.
    #[serde(default)]
    bad: u8,
    delay_s: u16,
    announced_us: Option<i64>,
    escalated_us: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    time_us: i64,
    by: String,
    reason: Option<String>,
}

impl From<Alarm> for One {
    fn from(alarm: Alarm) -> Self {
        let known = |Acknowledgement { time_us, by, reason }| Known { time_us, by, reason };
        Self {
            number: alarm.number,
            condition: Named(alarm.condition),
            priority: Named(alarm.priority),
            since_us: alarm.since_us,
            raised_us: alarm.raised_us,
            ended_us: alarm.ended_us,
            returns: alarm.returns,
            acknowledged: alarm.acknowledged.map(known),
            value: alarm.value,
            limit: alarm.limit,
            bad: alarm.bad.bits(),
            delay_s: alarm.delay_s,
            announced_us: alarm.announced_us,
            escalated_us: alarm.escalated_us,
        }
    }
}

impl From<One> for Alarm {
    fn from(one: One) -> Self {
        let known = |Known { time_us, by, reason }| Acknowledgement { time_us, by, reason };
        Self {
            number: one.number,
            condition: one.condition.0,
            priority: one.priority.0,
            since_us: one.since_us,
            raised_us: one.raised_us,
            ended_us: one.ended_us,
            returns: one.returns,
            acknowledged: one.acknowledged.map(known),
            value: one.value,
            limit: one.limit,
            bad: BadSignals::from_bits(one.bad),
            delay_s: one.delay_s,
            announced_us: one.announced_us,
            escalated_us: one.escalated_us,
        }
    }
}

fn into<A, B: From<A>>(all: Vec<A>) -> Vec<B> {
    all.into_iter().map(B::from).collect()
}

impl From<AlarmList> for List {
    fn from(list: AlarmList) -> Self {
        let AlarmList { device, time_us, state, until_us, floor, alarms, is_withdrawn } = list;
        let (device, state, floor) = (Named(device), Named(State(state)), floor.map(Named));
        Self { device, time_us, state, until_us, floor, alarms: into(alarms), is_withdrawn }
    }
}

impl From<List> for AlarmList {
    fn from(list: List) -> Self {
        let List { device: Named(device), time_us, state, until_us, floor, alarms, is_withdrawn } = list;
        let (Named(State(state)), floor) = (state, floor.map(|Named(floor)| floor));
        Self { device, time_us, state, until_us, floor, alarms: into(alarms), is_withdrawn }
    }
}

impl From<WardSummary> for Summary {
    fn from(summary: WardSummary) -> Self {
        let counts = summary.counts.into_iter();
        Self {
            time_us: summary.time_us,
            patients: summary.patients,
            counts: counts
                .map(|(condition, priority, count)| (Named(condition), Named(priority), count))
                .collect(),
            unacknowledged: summary.unacknowledged,
            paused: summary.paused,
            server: into(summary.server),
            is_recorded: summary.is_recorded,
        }
    }
}

impl From<Summary> for WardSummary {
    fn from(summary: Summary) -> Self {
        let counts = summary.counts.into_iter();
        Self {
            time_us: summary.time_us,
            patients: summary.patients,
            counts: counts.map(|(condition, priority, count)| (condition.0, priority.0, count)).collect(),
            unacknowledged: summary.unacknowledged,
            paused: summary.paused,
            server: into(summary.server),
            is_recorded: summary.is_recorded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alarms;
    use super::*;

    #[test]
    fn what_is_asked_over_the_socket_comes_back_as_it_was() {
        let alarm = Alarm {
            number: 12,
            condition: Condition::RateHigh,
            priority: Priority::High,
            since_us: 1,
            raised_us: 2,
            ended_us: Some(3),
            returns: 4,
            acknowledged: Some(Acknowledgement {
                time_us: 5,
                by: "Ana".into(),
                reason: Some("walks".into()),
            }),
            value: Some(134.5),
            limit: Some(120.0),
            bad: vitalwire_vitals::alarm::BadSignals::NONE,
            delay_s: 15,
            announced_us: None,
            escalated_us: Some(6),
        };
        let lists = STATES.map(|state| AlarmList {
            state,
            until_us: Some(9),
            floor: Some(Priority::Medium),
            alarms: vec![alarm.clone()],
            ..AlarmList::empty("d".parse().unwrap(), 8)
        });
        let ward = WardSummary {
            counts: vec![(Condition::RateHigh, Priority::High, 1)],
            server: vec![Alarm { condition: Condition::JournalFull, ..alarm }],
            ..WardSummary::default()
        };
        let alarms = Alarms { patients: lists.into(), ward };
        let text = serde_json::to_string(&alarms).unwrap();
        assert_eq!(serde_json::from_str::<Alarms>(&text).unwrap(), alarms);
    }

    #[test]
    fn a_condition_of_a_later_version_is_an_error_that_says_so() {
        let known = serde_json::from_str::<Named<Condition>>("\"asystole\"").unwrap();
        assert_eq!(known.0, Condition::Asystole);
        let error = serde_json::from_str::<Named<Condition>>("\"vertigo\"").err().unwrap();
        assert!(error.to_string().contains("none of"), "{error}");
    }
}

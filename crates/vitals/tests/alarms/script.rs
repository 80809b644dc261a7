//! A case as a text: what happens when, and what the machine says to it.

use vitalwire_vitals::alarm::{
    Alarm, Alarms, Change, Condition, Limits, Numbers, PauseKind, Step, Timing, Which,
};

/// A time on some day, so that times before it are possible, too.
pub(crate) const DAY_US: i64 = 1_700_000_000_000_000;

/// A patient's alarms, their numbers, and two clocks.
pub(crate) struct Bed {
    pub(crate) alarms: Alarms,
    pub(crate) numbers: Numbers,
    /// How far the server's clock is ahead of the device's.
    ahead_us: i64,
}

impl Bed {
    pub(crate) fn new(limits: Limits) -> Self {
        let alarms = Alarms::new(limits, Timing::default());
        Self { alarms, numbers: Numbers::starting_at(1), ahead_us: 0 }
    }

    /// The machine as it stands after a restart: from what was stored alone.
    pub(crate) fn restart(&mut self) {
        let open: Vec<Alarm> = self.alarms.open().cloned().collect();
        self.alarms = Alarms::restore(*self.alarms.limits(), Timing::default(), open);
    }

    /// Does what a line says at its time; what the machine said.
    pub(crate) fn run(&mut self, time_us: i64, words: &[&str]) -> Vec<Change> {
        let mut changes = Vec::new();
        let now_us = time_us + self.ahead_us;
        let mut step = Step { now_us, numbers: &mut self.numbers, changes: &mut changes };
        let (alarms, step) = (&mut self.alarms, &mut step);
        match words {
            ["rate", rate] => alarms.rate(time_us, rate.parse().unwrap(), step),
            ["unknown"] => alarms.rate_unknown(time_us, step),
            ["temp", value] => alarms.temperature(time_us, value.parse().unwrap(), step),
            ["asystole", is_there] => alarms.asystole(time_us, *is_there == "yes", step),
            ["tick"] => alarms.tick(step),
            ["ack", "all"] => drop(alarms.acknowledge(Which::All, "nurse", None, step).unwrap()),
            ["ack", number] => {
                let which = Which::Number(number.parse().unwrap());
                alarms.acknowledge(which, "nurse", Some("seen"), step).unwrap();
            }
            ["pause", seconds] => {
                alarms.pause(PauseKind::Alarm, seconds.parse().unwrap(), "nurse", step).unwrap();
            }
            ["audio-pause", seconds] => {
                alarms.pause(PauseKind::Audio, seconds.parse().unwrap(), "nurse", step).unwrap();
            }
            ["resume"] => drop(alarms.resume("nurse", step).unwrap()),
            ["limits", limits @ ..] => alarms.set_limits(limits.join(" ").parse().unwrap(), step),
            ["close"] => alarms.close_all(step),
            ["restart"] => self.restart(),
            ["clock", seconds] => self.ahead_us += seconds.parse::<i64>().unwrap() * 1_000_000,
            [condition, is_there] => {
                let condition: Condition = condition.parse().unwrap();
                alarms.technical(condition, time_us, *is_there == "yes", step);
            }
            other => panic!("no such step: {other:?}"),
        }
        changes
    }
}

/// A change in few words: `raised 1 rate-high medium`.
pub(crate) fn words_of(change: &Change) -> String {
    let Some(alarm) = change.alarm() else { return change.name().trim_start_matches("alarms-").to_owned() };
    let name = change.name().trim_start_matches("alarm-");
    let Alarm { number, condition, priority, .. } = alarm;
    match change {
        Change::Raised(_) | Change::Heightened(_) | Change::Returned(_) | Change::Lowered(_) => {
            let silent = if alarm.announced_us.is_none() { " silent" } else { "" };
            format!("{name} {number} {condition} {priority}{silent}")
        }
        _ => format!("{name} {number}"),
    }
}

/// Runs the lines of a case: `SECONDS WHAT -> CHANGE, CHANGE`. After it, what `open` and `audible` say is compared.
pub(crate) fn check(name: &str, limits: &str, lines: &str) {
    let mut bed = Bed::new(limits.parse().unwrap());
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (does, says) = line.split_once("->").unwrap_or((line, ""));
        let words: Vec<&str> = does.split_whitespace().collect();
        let expected: Vec<&str> = says.split(',').map(str::trim).filter(|word| !word.is_empty()).collect();
        let found: Vec<String> = match words.as_slice() {
            ["open"] => bed.alarms.open().map(Alarm::text).collect(),
            ["audible"] => bed.alarms.audible().iter().map(ToString::to_string).collect(),
            ["state"] => vec![bed.alarms.state().to_string()],
            ["due"] => {
                let due_us = bed.alarms.next_due_us().map(|due_us| due_us - DAY_US);
                due_us.iter().map(|due_us| (*due_us as f64 / 1e6).to_string()).collect()
            }
            [seconds, what @ ..] => {
                let seconds: f64 = seconds.parse().unwrap();
                bed.run(DAY_US + (seconds * 1e6) as i64, what).iter().map(words_of).collect()
            }
            [] => unreachable!("an empty line"),
        };
        assert_eq!(found, expected, "case '{name}', line '{line}'");
    }
}

//! What the machine must do, as simply as it can be said: whole seconds, one list, no timers that move.

use std::collections::BTreeMap;

use vitalwire_vitals::alarm::{Condition, Limits, Priority};

/// What a test does to a patient in one second.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Rate(f64),
    Unknown,
    Temperature(f64),
    Asystole(bool),
    Technical(Condition, bool),
    Urgent(Condition, Priority),
    AcknowledgeAll,
    Acknowledge(u64),
    Pause(u16),
    Resume,
    Restart,
    Wait,
}

/// A condition with its value's distance from the limit: the model knows for each when it began.
#[derive(Clone, Debug, Default)]
struct Lasting {
    since: Option<i64>,
    extreme_since: Option<i64>,
    urgent: Option<Priority>,
    last: i64,
}

/// An open alarm of the model.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Modelled {
    pub(crate) number: u64,
    pub(crate) condition: Condition,
    pub(crate) priority: Priority,
    pub(crate) is_active: bool,
    pub(crate) is_acknowledged: bool,
}

/// The patient as the model sees it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    limits: Limits,
    lasting: BTreeMap<Condition, Lasting>,
    pub(crate) open: Vec<Modelled>,
    next: u64,
}

impl Model {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, lasting: BTreeMap::new(), open: Vec::new(), next: 1 }
    }

    /// One act at this second.
    pub(crate) fn act(&mut self, second: i64, act: &Act) {
        self.technical_dues(second);
        match act {
            Act::Rate(rate) => {
                let limits = self.limits;
                let over = rate - f64::from(limits.rate_high);
                let extreme = rate - f64::from(limits.rate_extreme_high);
                self.value(Condition::RateHigh, second, over, extreme, 2.0);
                let over = f64::from(limits.rate_low) - rate;
                let extreme = f64::from(limits.rate_extreme_low) - rate;
                self.value(Condition::RateLow, second, over, extreme, 2.0);
            }
            Act::Unknown => {
                for condition in [Condition::RateHigh, Condition::RateLow] {
                    if second - self.lasting(condition).last > 10 && !self.is_active(condition) {
                        *self.lasting(condition) =
                            Lasting { last: self.lasting(condition).last, ..Lasting::default() };
                    }
                }
            }
            Act::Temperature(value) => {
                let limits = self.limits;
                let over = value - limits.temperature_high.to_f64();
                self.value(Condition::TemperatureHigh, second, over, -9.0, 0.2);
                let over = limits.temperature_low.to_f64() - value;
                self.value(Condition::TemperatureLow, second, over, -9.0, 0.2);
            }
            Act::Asystole(is_there) => {
                self.seen(Condition::Asystole, second);
                self.is_there(Condition::Asystole, second, *is_there);
            }
            Act::Technical(condition, is_there) => self.is_there(*condition, second, *is_there),
            Act::Urgent(condition, priority) => {
                let lasting = self.lasting(*condition);
                lasting.since.get_or_insert(second);
                let urgent = lasting.urgent.max(Some(*priority)).unwrap();
                lasting.urgent = Some(urgent);
                self.raise(*condition, urgent.max(condition.priority()));
            }
            Act::AcknowledgeAll => self.acknowledge(|_| true),
            Act::Acknowledge(number) => self.acknowledge(|alarm| alarm.number == *number),
            Act::Restart => self.restart(),
            Act::Pause(_) | Act::Resume | Act::Wait => {}
        }
    }

    fn lasting(&mut self, condition: Condition) -> &mut Lasting {
        self.lasting.entry(condition).or_default()
    }

    fn is_active(&self, condition: Condition) -> bool {
        self.open.iter().any(|alarm| alarm.condition == condition && alarm.is_active)
    }

    /// Values more than ten minutes apart say nothing of the time between them: what lasted begins again.
    fn seen(&mut self, condition: Condition, second: i64) {
        let lasting = self.lasting(condition);
        if second - lasting.last > 600 {
            lasting.since = lasting.since.map(|_| second);
            lasting.extreme_since = lasting.extreme_since.map(|_| second);
        }
        lasting.last = second;
    }

    fn value(&mut self, condition: Condition, second: i64, over: f64, extreme: f64, hysteresis: f64) {
        let delay = i64::from(self.limits.delay_s(condition));
        self.seen(condition, second);
        let lasting = self.lasting(condition);
        if over <= -hysteresis {
            (lasting.since, lasting.extreme_since) = (None, None);
            return self.end(condition);
        }
        if over > 0.0 && lasting.since.is_none() {
            lasting.since = Some(second);
        }
        if extreme >= 0.0 && lasting.extreme_since.is_none() {
            lasting.extreme_since = Some(second);
        }
        if extreme <= -hysteresis {
            lasting.extreme_since = None;
        }
        let is_due = lasting.since.is_some_and(|since| second - since >= delay) && over > 0.0;
        let is_high = extreme >= 0.0 && lasting.extreme_since.is_some_and(|since| second - since >= delay);
        if extreme <= -hysteresis {
            self.lower(|alarm| alarm.condition == condition);
        }
        if is_due {
            self.raise(condition, if is_high { Priority::High } else { condition.priority() });
        }
    }

    fn is_there(&mut self, condition: Condition, second: i64, is_there: bool) {
        let delay = i64::from(self.limits.delay_s(condition));
        let lasting = self.lasting(condition);
        lasting.last = second;
        if !is_there {
            (lasting.since, lasting.urgent) = (None, None);
            return self.end(condition);
        }
        let since = *lasting.since.get_or_insert(second);
        if second - since >= delay {
            self.raise(condition, condition.priority());
        }
    }

    fn technical_dues(&mut self, second: i64) {
        for condition in Condition::ALL.into_iter().filter(|condition| condition.is_technical()) {
            let delay = i64::from(self.limits.delay_s(condition));
            if self.lasting(condition).since.is_some_and(|since| second - since >= delay) {
                self.raise(condition, condition.priority());
            }
        }
    }

    fn raise(&mut self, condition: Condition, priority: Priority) {
        match self.open.iter_mut().find(|alarm| alarm.condition == condition) {
            None => {
                let number = self.next;
                self.next += 1;
                let alarm = Modelled { number, condition, priority, is_active: true, is_acknowledged: false };
                self.open.push(alarm);
            }
            Some(alarm) if !alarm.is_active || priority > alarm.priority => {
                alarm.is_active = true;
                alarm.is_acknowledged = false;
                alarm.priority = alarm.priority.max(priority);
            }
            Some(_) => {}
        }
    }

    fn end(&mut self, condition: Condition) {
        for alarm in self.open.iter_mut().filter(|alarm| alarm.condition == condition) {
            alarm.is_active = false;
        }
        self.close();
    }

    fn acknowledge(&mut self, which: impl Fn(&Modelled) -> bool) {
        let is_news = |alarm: &&mut Modelled| which(alarm) && !alarm.is_acknowledged;
        let mut news = Vec::new();
        for alarm in self.open.iter_mut().filter(is_news) {
            alarm.is_acknowledged = true;
            news.push(alarm.number);
        }
        self.lower(|alarm| news.contains(&alarm.number));
        self.close();
    }

    /// Acknowledged and no longer extreme: its own priority again.
    fn lower(&mut self, which: impl Fn(&Modelled) -> bool) {
        for alarm in self.open.iter_mut().filter(|alarm| which(alarm)) {
            let lasting = self.lasting.get(&alarm.condition);
            let is_extreme = lasting.is_some_and(|it| it.extreme_since.is_some() || it.urgent.is_some());
            if alarm.is_active && alarm.is_acknowledged && !is_extreme {
                alarm.priority = alarm.condition.priority();
            }
        }
    }

    fn close(&mut self) {
        self.open.retain(|alarm| {
            let is_notice = alarm.priority == Priority::Medium && !alarm.condition.is_technical();
            let waits = is_notice || alarm.priority == Priority::High;
            alarm.is_active || (waits && !alarm.is_acknowledged)
        });
    }

    /// Only open alarms are stored: for how long something lasted that was none yet is forgotten.
    fn restart(&mut self) {
        let lasting = |alarm: &Modelled| {
            alarm
                .is_active
                .then(|| (alarm.condition, Lasting { since: Some(i64::MIN / 2), ..Lasting::default() }))
        };
        self.lasting = self.open.iter().filter_map(lasting).collect();
    }
}

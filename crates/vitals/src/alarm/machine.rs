//! The machine: conditions become alarms after their delay, stay as long as they must, and call until someone knows.
//!
//! Conditions of the patient count by the times of the values, those of the equipment and all timers by the server's clock.
//! Both may be set: a time that goes back moves what waits along with it, so that nothing comes early or twice. One that goes
//! forward lets timers end early, which tells people too soon rather than too late.

mod life;
mod track;

use alloc::string::String;
use alloc::vec::Vec;

use self::life::Open;
use self::track::Track;
use super::bad::BadSignals;
use super::change::{Alarm, AlarmState, Change, Numbers, PAUSE_S_MAX, Pause, PauseKind, Timing};
use super::condition::{Condition, Priority};
use super::limits::{Limits, RATE_HYSTERESIS, Signals, TEMPERATURE_HYSTERESIS};
use super::words::{WordsError, check_name, check_reason};

/// A rate that is unknown for longer than this no longer counts towards a delay.
const UNKNOWN_US_MAX: i64 = 10_000_000;
const US_PER_S: i64 = 1_000_000;

/// What every input needs, and where its changes go.
#[derive(Debug)]
pub struct Step<'s> {
    /// The server's clock: UTC, microseconds since 1970.
    pub now_us: i64,
    /// Of the whole server.
    pub numbers: &'s mut Numbers,
    /// What changed is added here, in its order.
    pub changes: &'s mut Vec<Change>,
}

/// Which alarms someone acknowledges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one of this number.
    Number(u64),
    /// All that are open.
    All,
}

/// Why the machine did not do what a person asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum AskError {
    #[error(
        "alarm {number} is not open: it ended, or there never was one; `vitalwire alarms list` shows those that are"
    )]
    NotOpen { number: u64 },
    #[error("a pause of {seconds} s: it lasts from 1 to {PAUSE_S_MAX} s")]
    Pause { seconds: u16 },
    #[error(transparent)]
    Words(#[from] WordsError),
}

/// The alarms of one patient.
#[derive(Clone, Debug)]
pub struct Alarms {
    limits: Limits,
    timing: Timing,
    tracks: [Track; Condition::COUNT],
    open: Vec<Open>,
    pause: Option<Pause>,
    now_us: Option<i64>,
    latches: bool,
    /// Which signals are bad now.
    bad: BadSignals,
}

impl Alarms {
    /// No alarm is open.
    #[must_use]
    pub fn new(limits: Limits, timing: Timing) -> Self {
        let tracks = [Track::default(); Condition::COUNT];
        let (open, bad) = (Vec::new(), BadSignals::NONE);
        Self { limits, timing, tracks, open, pause: None, now_us: None, latches: true, bad }
    }

    /// For what is long over: an alarm that ended is closed, as no one waits for it.
    pub(crate) fn of_the_past(limits: Limits) -> Self {
        Self { latches: false, ..Self::new(limits, Timing::default()) }
    }

    /// As it was before a restart: these alarms were open. A pause does not outlast it.
    #[must_use]
    pub fn restore(limits: Limits, timing: Timing, open: Vec<Alarm>) -> Self {
        let mut alarms = Self::new(limits, timing);
        for alarm in open {
            if let Some(track) = alarms.tracks.get_mut(alarm.condition.place())
                && alarm.is_active()
            {
                *track = Track::lasting_since(alarm.since_us);
            }
            alarms.open.push(Open::restored(alarm, timing));
        }
        alarms
    }

    /// A rate was measured, in beats a minute.
    pub fn rate(&mut self, time_us: i64, rate: f64, step: &mut Step<'_>) {
        let limits = self.limits;
        let high = Bounds {
            over: rate - f64::from(limits.rate_high),
            extreme_over: rate - f64::from(limits.rate_extreme_high),
            hysteresis: RATE_HYSTERESIS,
        };
        let low = Bounds {
            over: f64::from(limits.rate_low) - rate,
            extreme_over: f64::from(limits.rate_extreme_low) - rate,
            hysteresis: RATE_HYSTERESIS,
        };
        self.value(Condition::RateHigh, time_us, rate, high, step);
        self.value(Condition::RateLow, time_us, rate, low, step);
    }

    /// No rate can be told at this time. What waits for its delay waits on for ten seconds; an alarm stands.
    pub fn rate_unknown(&mut self, time_us: i64, step: &mut Step<'_>) {
        self.tick(step);
        for condition in [Condition::RateHigh, Condition::RateLow] {
            let unseen_us = self.track(condition).unseen_us(time_us);
            if !(0..=UNKNOWN_US_MAX).contains(&unseen_us) && !self.is_active(condition) {
                self.track(condition).end();
            }
        }
    }

    /// A body temperature was measured, in degrees Celsius.
    pub fn temperature(&mut self, time_us: i64, temperature: f64, step: &mut Step<'_>) {
        let limits = self.limits;
        let bounds = |over| Bounds { over, extreme_over: -1.0, hysteresis: TEMPERATURE_HYSTERESIS };
        let high = bounds(temperature - limits.temperature_high.to_f64());
        let low = bounds(limits.temperature_low.to_f64() - temperature);
        self.value(Condition::TemperatureHigh, time_us, temperature, high, step);
        self.value(Condition::TemperatureLow, time_us, temperature, low, step);
    }

    /// There is, or is not, a beat where one must be. Its delay counts by the times of the signal.
    pub fn asystole(&mut self, time_us: i64, is_there: bool, step: &mut Step<'_>) {
        self.tick(step);
        let condition = Condition::Asystole;
        self.track(condition).at(time_us);
        if is_there {
            self.track(condition).begin(time_us, time_us);
            self.raise_if_due(condition, time_us, None, step);
        } else {
            self.end(condition, time_us, step);
        }
    }

    /// The equipment is, or is not, in this condition, since this time. It is said once, or as often as it is known; the delay
    /// counts by the server's clock from when it was first said.
    pub fn technical(&mut self, condition: Condition, time_us: i64, is_there: bool, step: &mut Step<'_>) {
        if is_there {
            return self.technical_from(condition, time_us, step.now_us, step);
        }
        self.tick(step);
        if condition.is_technical() {
            self.end(condition, time_us, step);
        }
    }

    /// The equipment is in this condition since this time, and its delay counts from another one by the server's clock, which
    /// may be to come.
    pub fn technical_from(&mut self, condition: Condition, time_us: i64, base_us: i64, step: &mut Step<'_>) {
        self.tick(step);
        if condition.is_technical() {
            self.track(condition).begin(time_us, base_us);
            self.raise_if_due(condition, step.now_us, None, step);
        }
    }

    /// The equipment is in this condition since this time, and it may hide that the patient is in danger: an alarm at once, of this
    /// priority at least, until the condition ends.
    pub fn technical_urgent(
        &mut self,
        condition: Condition,
        priority: Priority,
        time_us: i64,
        step: &mut Step<'_>,
    ) {
        self.tick(step);
        if condition.is_technical() {
            let now_us = step.now_us;
            self.track(condition).begin(time_us, now_us);
            self.track(condition).set_urgent(priority);
            self.raise_if_due(condition, now_us, None, step);
        }
    }

    /// Which signals are bad now: what an alarm of them says. It is said before the condition is.
    pub(crate) fn set_bad(&mut self, bad: BadSignals) {
        self.bad = bad;
    }

    /// What has become due by the server's clock: the end of a pause, delays of the equipment, announcements and escalations.
    pub fn tick(&mut self, step: &mut Step<'_>) {
        if self.now_us == Some(step.now_us) {
            return;
        }
        self.clock_at(step.now_us);
        if self.pause.as_ref().is_some_and(|pause| step.now_us >= pause.until_us) {
            self.end_pause(None, step);
        }
        for condition in Condition::ALL.into_iter().filter(|condition| condition.is_technical()) {
            self.raise_if_due(condition, step.now_us, None, step);
        }
        self.call_again(step);
    }

    /// When [`Alarms::tick`] has something to do, if nothing else comes before.
    #[must_use]
    pub fn next_due_us(&self) -> Option<i64> {
        let pause = self.pause.as_ref().map(|pause| pause.until_us);
        let waiting = Condition::ALL.into_iter().filter_map(|condition| {
            let waits =
                condition.is_technical() && self.limits.is_on(condition) && !self.is_active(condition);
            let track = self.tracks.get(condition.place()).filter(|_| waits)?;
            track.due_us(self.delay_us(condition))
        });
        let calls = self.open.iter().filter(|open| !self.is_held_back(open.alarm.priority));
        waiting.chain(pause).chain(calls.filter_map(Open::due_us)).min()
    }

    /// Someone knows. Alarms that were acknowledged before stay as they are. How many it was news for.
    ///
    /// # Errors
    /// No open alarm has this number, or the name or the reason is refused; nothing changed.
    pub fn acknowledge(
        &mut self,
        which: Which,
        by: &str,
        reason: Option<&str>,
        step: &mut Step<'_>,
    ) -> Result<usize, AskError> {
        check_name(by)?;
        reason.map_or(Ok(()), check_reason)?;
        self.tick(step);
        let numbers: Vec<u64> = self.open.iter().map(|open| open.alarm.number).collect();
        let numbers = match which {
            Which::All => numbers,
            Which::Number(number) if numbers.contains(&number) => alloc::vec![number],
            Which::Number(number) => return Err(AskError::NotOpen { number }),
        };
        Ok(numbers.into_iter().filter(|number| self.acknowledge_one(*number, by, reason, step)).count())
    }

    /// Silences this patient's alarms for so many seconds. A pause that runs ends before: people hear of what it kept back, and
    /// what has become due meanwhile is due, or one pause after another would keep it back for ever.
    ///
    /// # Errors
    /// It would last longer than [`PAUSE_S_MAX`], or the name is refused; nothing changed.
    pub fn pause(
        &mut self,
        kind: PauseKind,
        seconds: u16,
        by: &str,
        step: &mut Step<'_>,
    ) -> Result<(), AskError> {
        check_name(by)?;
        if !(1..=PAUSE_S_MAX).contains(&seconds) {
            return Err(AskError::Pause { seconds });
        }
        self.tick(step);
        if self.pause.is_some() {
            self.end_pause(Some(String::from(by)), step);
            self.call_again(step);
        }
        let standing = self.open.iter().filter(|open| open.alarm.is_calling());
        let floor = standing.map(|open| open.alarm.priority).max().unwrap_or(Priority::Medium);
        let pause = Pause {
            kind,
            from_us: step.now_us,
            until_us: step.now_us.saturating_add(i64::from(seconds) * US_PER_S),
            by: String::from(by),
            floor: floor.max(Priority::Medium),
        };
        self.pause = Some(pause.clone());
        step.changes.push(Change::Paused(pause));
        Ok(())
    }

    /// Ends a pause early; whether there was one.
    ///
    /// # Errors
    /// The name is refused; nothing changed.
    pub fn resume(&mut self, by: &str, step: &mut Step<'_>) -> Result<bool, AskError> {
        check_name(by)?;
        self.tick(step);
        let was_paused = self.pause.is_some();
        if was_paused {
            self.end_pause(Some(String::from(by)), step);
        }
        Ok(was_paused)
    }

    /// A person set other limits. Conditions that are turned off end; what is beyond a new limit shows with the next value.
    pub fn set_limits(&mut self, limits: Limits, step: &mut Step<'_>) {
        self.tick(step);
        self.limits = limits;
        for condition in Condition::ALL {
            if !limits.is_on(condition) {
                self.end_alarm(condition, step.now_us, step);
            }
        }
    }

    /// The patient does not wear the device any more: every alarm is closed.
    pub fn close_all(&mut self, step: &mut Step<'_>) {
        self.tick(step);
        self.pause = None;
        self.tracks = [Track::default(); Condition::COUNT];
        for open in core::mem::take(&mut self.open) {
            step.changes.push(Change::Closed(open.alarm));
        }
    }

    /// Those that are open, in the order of their numbers.
    pub fn open(&self) -> impl ExactSizeIterator<Item = &Alarm> {
        self.open.iter().map(|open| &open.alarm)
    }

    /// The limits in force.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The pause that runs.
    #[must_use]
    pub fn paused(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// The state, by its name in IEC 60601-1-8.
    #[must_use]
    pub fn state(&self) -> AlarmState {
        let kind = self.pause.as_ref().map(|pause| pause.kind);
        match (self.limits.signals, kind) {
            (Signals::AlarmOff, _) => AlarmState::AlarmOff,
            (_, Some(PauseKind::Alarm)) => AlarmState::AlarmPaused,
            (Signals::AudioOff, _) => AlarmState::AudioOff,
            (Signals::On, Some(PauseKind::Audio)) => AlarmState::AudioPaused,
            (Signals::On, None) => AlarmState::On,
        }
    }

    /// Whether an open alarm is to be heard now.
    #[must_use]
    pub fn is_audible(&self, alarm: &Alarm) -> bool {
        let breaks_through = self.pause.as_ref().is_none_or(|pause| alarm.priority > pause.floor);
        alarm.is_calling() && breaks_through && self.limits.signals == Signals::On
    }

    /// The most urgent priority that is to be heard now.
    #[must_use]
    pub fn audible(&self) -> Option<Priority> {
        self.open().filter(|alarm| self.is_audible(alarm)).map(|alarm| alarm.priority).max()
    }
}

/// How far a value is beyond the limits of one condition: 0 at the limit, negative within it.
#[derive(Clone, Copy)]
struct Bounds {
    over: f64,
    extreme_over: f64,
    hysteresis: f64,
}

impl Alarms {
    fn value(&mut self, condition: Condition, time_us: i64, value: f64, bounds: Bounds, step: &mut Step<'_>) {
        self.tick(step);
        if !value.is_finite() {
            return;
        }
        let track = self.track(condition);
        track.at(time_us);
        if bounds.over <= -bounds.hysteresis {
            return self.end(condition, time_us, step);
        }
        if bounds.over > 0.0 {
            track.begin(time_us, time_us);
        }
        let is_back = bounds.extreme_over <= -bounds.hysteresis;
        let is_extreme = bounds.extreme_over >= 0.0 || (track.is_extreme() && !is_back);
        track.set_extreme(time_us, is_extreme);
        if is_back {
            self.lower(condition, step);
        }
        // A value on its way back is no reason to call someone.
        if bounds.over > 0.0 {
            self.raise_if_due(condition, time_us, Some((value, bounds.extreme_over >= 0.0)), step);
        }
    }

    /// The machine's clock: what waits moves along when it goes back.
    fn clock_at(&mut self, now_us: i64) {
        let Some(was_us) = self.now_us.replace(now_us) else {
            let timing = self.timing;
            return self.open.iter_mut().for_each(|open| open.wait_no_longer_than_from(now_us, timing));
        };
        let back_us = now_us.saturating_sub(was_us).min(0);
        if back_us == 0 {
            return;
        }
        for condition in Condition::ALL.into_iter().filter(|condition| condition.is_technical()) {
            self.track(condition).shift(back_us);
        }
        if let Some(pause) = &mut self.pause {
            pause.from_us = pause.from_us.saturating_add(back_us);
            let longest_us = now_us.saturating_add(i64::from(PAUSE_S_MAX) * US_PER_S);
            pause.until_us = pause.until_us.saturating_add(back_us).min(longest_us);
        }
        self.open.iter_mut().for_each(|open| open.shift(back_us));
    }

    fn track(&mut self, condition: Condition) -> &mut Track {
        let place = condition.place();
        self.tracks.get_mut(place).expect("there is a track for each condition")
    }

    fn delay_us(&self, condition: Condition) -> i64 {
        i64::from(self.limits.delay_s(condition)) * US_PER_S
    }

    fn is_active(&self, condition: Condition) -> bool {
        self.open.iter().any(|open| open.alarm.condition == condition && open.alarm.is_active())
    }

    /// Whether a pause keeps people from being told of an alarm of this priority.
    fn is_held_back(&self, priority: Priority) -> bool {
        Some(priority) <= self.held_back_up_to()
    }

    fn held_back_up_to(&self) -> Option<Priority> {
        self.pause.as_ref().filter(|pause| pause.kind == PauseKind::Alarm).map(|pause| pause.floor)
    }
}

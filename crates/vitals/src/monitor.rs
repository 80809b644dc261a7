//! Watches one patient: samples, statuses and events of the device go in, derived values once a second and changes of alarms
//! come out. The server, tests and a replay of the journal run this same code.
//!
//! A backlog never raises an alarm: it has a watch of its own, which finds what would have been one, and says so afterwards.

mod late;
mod sensors;
mod silence;
mod steady;
mod watch;

use alloc::boxed::Box;
use alloc::vec::Vec;

use self::late::Late;
use self::sensors::Sensors;
use self::silence::{Kind, Silence};
use self::watch::Watch;
use crate::alarm::{
    Alarm, Alarms, AskError, BadSignals, Change, Condition, Limits, Numbers, PauseKind, Priority, Step,
    Timing, Which,
};
use crate::score::Score;
use crate::wave::WaveKind;

/// What a channel measures, as far as it is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// A wave of which beats are found.
    Wave(WaveKind),
    /// Body temperature, in degrees Celsius.
    Temperature,
    /// A pulse or heart rate that the device itself tells, in beats a minute. It counts only for a device without a wave.
    Rate,
}

/// Values of one channel, each `interval_us` after the one before.
#[derive(Clone, Copy, Debug)]
pub struct Measured<'m> {
    /// Of what.
    pub quantity: Quantity,
    /// The range in which its values are plausible, the channel's.
    pub plausible: (f64, f64),
    /// When the first was measured: UTC, microseconds since 1970.
    pub first_us: i64,
    /// From value to value; of a single value, that of its channel.
    pub interval_us: u32,
    /// What was measured, in the channel's unit. What is no number is a gap.
    pub values: &'m [f64],
    /// Whether it is young enough to be shown as the present; otherwise it is a backlog.
    pub is_live: bool,
}

/// What a device says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceEvent<'e> {
    /// It started: what it said before does not hold any more.
    Started,
    /// A sensor of this name does not answer.
    SensorLost(&'e str),
    /// It answers again.
    SensorFound(&'e str),
    /// The battery will soon be empty.
    BatteryLow,
    /// Its clock is ahead of the time of reception.
    ClockJump,
    /// Its clock is right again.
    ClockJumpOver,
}

/// What is derived of one second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Derived {
    /// The end of the second: UTC, microseconds since 1970.
    pub time_us: i64,
    /// Of what wave the rate is; nothing when the device tells it, or there is none.
    pub wave: Option<WaveKind>,
    /// Beats a minute; nothing while none can be told.
    pub rate_per_min: Option<f64>,
    /// From 0 to 1: how far the wave can be believed.
    pub quality: Option<f64>,
    /// Of what is known.
    pub score: Option<Score>,
    /// Whether it is the present, or of a backlog.
    pub is_live: bool,
}

/// What comes out. The caller empties it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// What changed among the alarms, in its order.
    pub changes: Vec<Change>,
    /// Derived values, in the order of time.
    pub derived: Vec<Derived>,
    /// When the heart beat, as a live wave shows it, in the order of time: UTC, microseconds since 1970. A beat is told when it is certain, up
    /// to two seconds after it.
    pub beats: Vec<i64>,
    /// What a backlog shows that would have been an alarm: over, with a number of its own, never announced.
    pub late: Vec<Alarm>,
}

/// Watches one patient.
#[derive(Clone, Debug)]
pub struct PatientMonitor {
    alarms: Alarms,
    live: Watch,
    late: Option<Box<Late>>,
    sensors: Sensors,
    silence: Silence,
    /// Nothing until something was said of it.
    is_online: Option<bool>,
    /// For how long the signal had been bad when the device lost its connection: that counts when it is bad afterwards, too.
    was_bad_for_us: Option<i64>,
}

impl PatientMonitor {
    /// A patient whose alarms `open` were there before a restart.
    #[must_use]
    pub fn new(limits: Limits, timing: Timing, open: Vec<Alarm>) -> Self {
        let sensors = Sensors::restored(&open);
        let alarms = Alarms::restore(limits, timing, open);
        Self {
            alarms,
            live: Watch::default(),
            late: None,
            sensors,
            silence: Silence::default(),
            is_online: None,
            was_bad_for_us: None,
        }
    }

    /// For a replay: an alarm that ended is closed, as no one waits for it.
    pub(crate) fn of_the_past(limits: Limits) -> Self {
        let mut monitor = Self::new(limits, Timing::default(), Vec::new());
        monitor.alarms = Alarms::of_the_past(limits);
        monitor
    }

    /// The device has these channels that are watched and no others, each with its interval in microseconds. When they are
    /// others than before, the alarms stand, and all that is known of the signals is forgotten.
    pub fn watch(
        &mut self,
        channels: &[(Quantity, u32)],
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) {
        let change = self.silence.watch(channels, now_us);
        if change == silence::Change::None {
            return;
        }
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        self.sensors.has(&self.silence);
        if change == silence::Change::Other {
            self.live = Watch::default();
            self.sensors.forget_channels();
            self.was_bad_for_us = None;
        }
        self.judge_sensors(now_us, &mut step);
    }

    /// Values came.
    pub fn measured(
        &mut self,
        measured: &Measured<'_>,
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) {
        let Outcome { changes, derived, beats, late: alarms } = outcome;
        if !measured.is_live {
            let limits = *self.alarms.limits();
            let late = self.late.get_or_insert_with(|| Box::new(Late::new(limits)));
            return late.take(measured, now_us, numbers, derived, alarms);
        }
        let mut step = Step { now_us, numbers, changes };
        self.alarms.tick(&mut step);
        let seconds = derived.len();
        let signs = self.live.take(measured, &mut self.alarms, &mut step, derived);
        beats.append(&mut self.live.beats);
        let is_value = match measured.quantity {
            Quantity::Wave(_) => derived.len() > seconds,
            Quantity::Temperature | Quantity::Rate => measured.values.iter().any(|value| value.is_finite()),
        };
        self.silence.heard(measured.quantity, measured.interval_us, is_value, now_us);
        self.sensors.note(signs);
        if self.sensors.is_well() || (is_value && !self.silence.has(Kind::Wave)) {
            self.was_bad_for_us = None;
        }
        // What may be the heart is told as such, and at once.
        if let Some(time_us) = signs.stopped_us {
            self.alarms.technical_urgent(Condition::SensorOff, Priority::High, time_us, &mut step);
        }
        self.alarms.set_bad(self.bad_signals());
        if let Some(time_us) = signs.blind_us.filter(|_| self.sensors.is_bad(&self.silence)) {
            self.alarms.technical_urgent(Condition::BadSignal, Priority::Medium, time_us, &mut step);
        }
        self.judge_sensors(measured.first_us, &mut step);
    }

    /// The device has a connection, or has none any more. Said again it is no news.
    pub fn status(&mut self, is_online: bool, now_us: i64, numbers: &mut Numbers, outcome: &mut Outcome) {
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        if self.is_online.replace(is_online) == Some(is_online) {
            return self.alarms.tick(&mut step);
        }
        if !is_online {
            self.silence.went(now_us);
            self.was_bad_for_us =
                self.alarms.lasting_us(Condition::BadSignal, now_us).or(self.was_bad_for_us);
        } else if !self.silence.came(now_us) {
            self.was_bad_for_us = None;
        }
        self.alarms.technical(Condition::DeviceOffline, now_us, !is_online, &mut step);
        // What it told before it was away does not count towards a delay.
        self.alarms.rate_unknown(now_us, &mut step);
        if !is_online {
            // Of a device that says nothing, no one knows how its signal is; that it is away says enough.
            self.sensors.forget_signal();
            self.judge_sensors(now_us, &mut step);
        }
    }

    /// The device had a connection before a restart, and has none now. So is every other device: until this time, by the
    /// server's clock, no one need be told.
    pub fn expect(&mut self, until_us: i64, now_us: i64, numbers: &mut Numbers, outcome: &mut Outcome) {
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        self.alarms.technical_from(Condition::DeviceOffline, now_us, until_us, &mut step);
    }

    /// The device said something of itself, or its connection shows it.
    pub fn event(
        &mut self,
        event: DeviceEvent<'_>,
        time_us: i64,
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) {
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        let step = &mut step;
        match event {
            DeviceEvent::Started => {
                self.sensors.found_all();
                self.alarms.technical(Condition::Battery, time_us, false, step);
            }
            DeviceEvent::SensorLost(name) => self.sensors.lost(name),
            DeviceEvent::SensorFound(name) => self.sensors.found(name),
            DeviceEvent::BatteryLow => self.alarms.technical(Condition::Battery, time_us, true, step),
            DeviceEvent::ClockJump => self.alarms.technical(Condition::Clock, time_us, true, step),
            DeviceEvent::ClockJumpOver => self.alarms.technical(Condition::Clock, time_us, false, step),
        }
        self.judge_sensors(time_us, step);
    }

    /// What has become due by the server's clock.
    pub fn tick(&mut self, now_us: i64, numbers: &mut Numbers, outcome: &mut Outcome) {
        let Outcome { changes, late: late_alarms, .. } = outcome;
        if self.late.as_ref().is_some_and(|late| late.is_over(now_us))
            && let Some(late) = self.late.take()
        {
            late.finish(numbers, late_alarms);
        }
        let mut step = Step { now_us, numbers, changes };
        self.alarms.tick(&mut step);
        if self.is_online == Some(true) && self.silence.tick(now_us) {
            if self.silence.is_silent(Kind::Wave) {
                self.sensors.no_wave();
            }
            self.judge_sensors(now_us, &mut step);
        }
    }

    /// When [`PatientMonitor::tick`] has something to do, if nothing else comes before.
    #[must_use]
    pub fn next_due_us(&self) -> Option<i64> {
        let silence = self.silence.due_us().filter(|_| self.is_online == Some(true));
        let late = self.late.as_ref().map(|late| late.over_us());
        [self.alarms.next_due_us(), silence, late].into_iter().flatten().min()
    }

    /// Someone knows; for how many alarms it was news.
    ///
    /// # Errors
    /// As [`Alarms::acknowledge`].
    pub fn acknowledge(
        &mut self,
        which: Which,
        (by, reason): (&str, Option<&str>),
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) -> Result<usize, AskError> {
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        self.alarms.acknowledge(which, by, reason, &mut step)
    }

    /// Silences this patient's alarms for so many seconds.
    ///
    /// # Errors
    /// As [`Alarms::pause`].
    pub fn pause(
        &mut self,
        (kind, seconds): (PauseKind, u16),
        by: &str,
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) -> Result<(), AskError> {
        let mut step = Step { now_us, numbers, changes: &mut outcome.changes };
        self.alarms.pause(kind, seconds, by, &mut step)
    }

    /// Ends a pause early; whether there was one.
    ///
    /// # Errors
    /// As [`Alarms::resume`].
    pub fn resume(
        &mut self,
        by: &str,
        now_us: i64,
        numbers: &mut Numbers,
        outcome: &mut Outcome,
    ) -> Result<bool, AskError> {
        self.alarms.resume(by, &mut Step { now_us, numbers, changes: &mut outcome.changes })
    }

    /// A person set other limits.
    pub fn set_limits(&mut self, limits: Limits, now_us: i64, numbers: &mut Numbers, outcome: &mut Outcome) {
        self.alarms.set_limits(limits, &mut Step { now_us, numbers, changes: &mut outcome.changes });
    }

    /// Another patient wears the device from now on, or none: what was open is closed, and nothing of what was measured stays.
    pub fn end_stay(&mut self, limits: Limits, now_us: i64, numbers: &mut Numbers, outcome: &mut Outcome) {
        let Outcome { changes, late, .. } = outcome;
        if let Some(watch) = self.late.take() {
            watch.finish(numbers, late);
        }
        let mut step = Step { now_us, numbers, changes };
        self.alarms.close_all(&mut step);
        self.alarms.set_limits(limits, &mut step);
        self.live = Watch::default();
        self.silence.begin(now_us);
        self.was_bad_for_us = None;
        // The device is the same: what is wrong with it still is.
        self.sensors.forget_signal();
        self.judge_sensors(now_us, &mut step);
        self.alarms.technical(Condition::DeviceOffline, now_us, self.is_online != Some(true), &mut step);
    }

    /// The alarms.
    #[must_use]
    pub fn alarms(&self) -> &Alarms {
        &self.alarms
    }

    fn bad_signals(&self) -> BadSignals {
        let kind = self.silence.wave_kind().or(self.live.wave_kind());
        self.sensors.bad(&self.silence, kind)
    }

    fn judge_sensors(&mut self, time_us: i64, step: &mut Step<'_>) {
        let is_bad = self.sensors.is_bad(&self.silence) && self.is_online != Some(false);
        self.alarms.set_bad(self.bad_signals());
        let was_bad_for_us = self.was_bad_for_us.filter(|_| is_bad);
        if let Some(for_us) = was_bad_for_us {
            self.was_bad_for_us = None;
            let base_us = step.now_us.saturating_sub(for_us);
            self.alarms.technical_from(Condition::BadSignal, time_us, base_us, step);
        }
        let conditions = [
            (Condition::SensorOff, self.sensors.is_off()),
            (Condition::BadSignal, is_bad),
            (Condition::Implausible, self.sensors.is_implausible()),
        ];
        for (condition, is_there) in conditions {
            self.alarms.technical(condition, time_us, is_there, step);
        }
        if is_bad {
            self.alarms.another_bad_signal(step);
        }
        if self.sensors.is_one_more_off() {
            self.alarms.another_cause(Condition::SensorOff, step);
        }
    }
}

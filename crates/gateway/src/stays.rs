//! What a running server does for stays: it divides them anew when the clock was set, so that one patient's readings are never
//! taken for another's, and forgets who it was when the journal has forgotten what was measured.

use std::sync::Arc;
use std::time::Duration;

use vitalwire_journal::{Clock, Moment as Clocks, system_clock};
use vitalwire_registry::{Moment, RegistryError};

use crate::context::Context;

/// How often the clocks are compared.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// A clock that was set by less is as good as it was: a device is not handed on within so short a time.
const STEP_US_MIN: u64 = 5_000_000;
/// How often it is looked for what is too old.
const FORGET_INTERVAL_US: u64 = 3_600_000_000;

/// Before devices connect: the clock may have been set, or the journal replaced, while no server ran.
pub(crate) async fn begin(context: &Context) {
    let clocks = system_clock()();
    let moment = Moment { time_us: clocks.wall_us, position: context.intake.journal_stats().head };
    let why = "the clock is behind what it was, or the journal began again";
    let divided = context.enrolment.execute(move |registry| match registry.borders_are_ahead(moment)? {
        true => registry.divide_anew(moment, 0, why).map(Some),
        false => Ok(None),
    });
    tell(divided.await, why);
}

/// Watches the clocks until the server stops.
pub(crate) async fn run(context: Arc<Context>, age_max: Option<Duration>) {
    let clock: Clock = system_clock();
    let mut watch = ClockWatch { last: clock() };
    let mut forgotten_us = clock().uptime_us;
    let mut beat = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            _ = beat.tick() => {}
            () = context.stop.cancelled() => return,
        }
        let now = clock();
        if let Some(by_us) = watch.look(now) {
            divide(&context, now, by_us).await;
        }
        if now.uptime_us.saturating_sub(forgotten_us) >= FORGET_INTERVAL_US {
            forgotten_us = now.uptime_us;
            forget(&context, now, age_max).await;
        }
    }
}

async fn divide(context: &Context, now: Clocks, by_us: i64) {
    let position = context.intake.journal_stats().head;
    let moment = Moment { time_us: now.wall_us, position };
    let way = if by_us < 0 { "back" } else { "forward" };
    let why = format!("the clock was set {way} by {} s", by_us.unsigned_abs() / 1_000_000);
    let said = why.clone();
    let divided =
        context.enrolment.execute(move |registry| registry.divide_anew(moment, by_us, &said).map(Some));
    tell(divided.await, &why);
}

fn tell(divided: Result<Option<usize>, RegistryError>, why: &str) {
    match divided {
        Ok(None | Some(0)) => {}
        Ok(Some(devices)) => {
            tracing::warn!(why, devices, "what comes late from now on is shown in no known patient's stay");
        }
        Err(error) => tracing::error!(%error, why, "stays could not be divided anew"),
    }
}

/// While the journal trusts no clock, nothing is too old; of alarms there are at most so many all the same.
async fn forget(context: &Context, now: Clocks, age_max: Option<Duration>) {
    let age_max = age_max.filter(|_| context.intake.journal_stats().suspension.is_none());
    let before_us = age_max.map_or(i64::MIN, |age| {
        now.wall_us.saturating_sub_unsigned(u64::try_from(age.as_micros()).unwrap_or(u64::MAX))
    });
    match clear(context, before_us).await {
        Ok((0, 0)) => {}
        Ok((alarms, patients)) => tracing::info!(alarms, patients, "old alarms and patients are forgotten"),
        Err(error) => tracing::error!(%error, "old alarms and patients could not be forgotten"),
    }
}

/// Some alarms at a time: those that are raised meanwhile go in between.
async fn clear(context: &Context, before_us: i64) -> Result<(usize, usize), RegistryError> {
    let mut alarms = 0;
    loop {
        match context.enrolment.execute(move |registry| registry.prune_alarms(before_us)).await? {
            0 => break,
            some => alarms += some,
        }
    }
    let patients = context.enrolment.execute(move |registry| registry.forget_patients(before_us)).await?;
    Ok((alarms, patients))
}

/// Finds out when the clock is set.
struct ClockWatch {
    last: Clocks,
}

impl ClockWatch {
    /// By how much the clock was set since the last look, in microseconds, if that is enough to matter. Less adds up.
    fn look(&mut self, now: Clocks) -> Option<i64> {
        let passed = i64::try_from(now.uptime_us.saturating_sub(self.last.uptime_us)).unwrap_or(i64::MAX);
        let by_us = now.wall_us.saturating_sub(self.last.wall_us).saturating_sub(passed);
        if by_us.unsigned_abs() < STEP_US_MIN {
            return None;
        }
        self.last = now;
        Some(by_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_once_and_small_steps_when_they_add_up() {
        let at = |wall_s: i64, uptime_s: u64| Clocks {
            wall_us: wall_s * 1_000_000,
            uptime_us: uptime_s * 1_000_000,
            machine_start: 1,
        };
        let mut watch = ClockWatch { last: at(1_000, 0) };
        assert_eq!(watch.look(at(1_001, 1)), None);
        assert_eq!(watch.look(at(1_004, 2)), None, "2 s off");
        assert_eq!(watch.look(at(1_008, 3)), Some(5_000_000));
        assert_eq!(watch.look(at(1_009, 4)), None);
        assert_eq!(watch.look(at(9, 5)), Some(-1_001_000_000));
        assert_eq!(watch.look(at(100_009, 100_005)), None, "it slept");
    }
}

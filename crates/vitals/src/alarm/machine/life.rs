//! What becomes of one alarm: raised, heightened, told again, ended, closed.

use alloc::string::String;
use alloc::vec::Vec;

use super::{Alarms, Step, US_PER_S};
use crate::alarm::bad::BadSignals;
use crate::alarm::change::{Acknowledgement, Alarm, Change, Timing};
use crate::alarm::condition::{Condition, Priority};

/// An open alarm and its timers, which run while it is calling and of high priority.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub(super) alarm: Alarm,
    again_us: i64,
    escalate_us: i64,
}

/// What a condition is at the end of its delay.
struct Due {
    priority: Priority,
    value: Option<f64>,
    since_us: i64,
    /// What was waited for.
    delay_s: u16,
}

impl Open {
    fn new(alarm: Alarm, now_us: i64, timing: Timing) -> Self {
        let again_us = now_us.saturating_add(again_us(timing));
        let escalate_us = again_us.saturating_add(i64::from(timing.escalate_s) * US_PER_S);
        Self { alarm, again_us, escalate_us }
    }

    /// Its timers go on as if there had been no restart; what became due meanwhile is due at once.
    pub(super) fn restored(alarm: Alarm, timing: Timing) -> Self {
        let raised_us = alarm.raised_us;
        let announced_us = alarm.announced_us.unwrap_or(raised_us);
        Self {
            again_us: announced_us.saturating_add(again_us(timing)),
            ..Self::new(alarm, raised_us, timing)
        }
    }

    /// The clock may have been set back before the restart: nothing waits for longer than it would from now on.
    pub(super) fn wait_no_longer_than_from(&mut self, now_us: i64, timing: Timing) {
        let fresh = Self::new(self.alarm.clone(), now_us, timing);
        self.again_us = self.again_us.min(fresh.again_us);
        self.escalate_us = self.escalate_us.min(fresh.escalate_us);
    }

    fn has_timers(&self) -> bool {
        self.alarm.is_calling() && self.alarm.priority == Priority::High
    }

    fn escalation_us(&self) -> i64 {
        if self.alarm.escalated_us.is_none() { self.escalate_us } else { i64::MAX }
    }

    /// When something is next due.
    pub(super) fn due_us(&self) -> Option<i64> {
        self.has_timers().then(|| self.again_us.min(self.escalation_us()))
    }

    pub(super) fn shift(&mut self, by_us: i64) {
        self.again_us = self.again_us.saturating_add(by_us);
        self.escalate_us = self.escalate_us.saturating_add(by_us);
    }
}

fn again_us(timing: Timing) -> i64 {
    i64::from(timing.announce_again_s) * US_PER_S
}

impl Alarms {
    /// Raises what has lasted for its delay at `time_us`; `value` says whether it is beyond the extreme limit.
    pub(super) fn raise_if_due(
        &mut self,
        condition: Condition,
        time_us: i64,
        value: Option<(f64, bool)>,
        step: &mut Step<'_>,
    ) {
        let delay_us = self.delay_us(condition);
        let track = *self.track(condition);
        let is_over = |due_us: Option<i64>| due_us.is_some_and(|due_us| time_us >= due_us);
        let is_due = track.urgent().is_some() || is_over(track.due_us(delay_us));
        if !is_due || !self.limits.is_on(condition) {
            return;
        }
        let is_extreme = value.is_some_and(|(_, is_extreme)| is_extreme);
        let is_high = is_extreme && is_over(track.extreme_due_us(delay_us));
        let own = if is_high { Priority::High } else { condition.priority() };
        let due = Due {
            priority: track.urgent().map_or(own, |urgent| urgent.max(own)),
            value: value.map(|(value, _)| value),
            since_us: track.since_us(),
            delay_s: if track.urgent().is_some() { 0 } else { self.limits.delay_s(condition) },
        };
        match self.open.iter().position(|open| open.alarm.condition == condition) {
            None => self.raise(condition, &due, step),
            Some(place) => self.raise_open(place, &due, step),
        }
    }

    fn raise(&mut self, condition: Condition, due: &Due, step: &mut Step<'_>) {
        let Due { priority, value, since_us, delay_s } = *due;
        self.break_through(priority);
        let alarm = Alarm {
            number: step.numbers.take(),
            condition,
            priority,
            since_us,
            raised_us: step.now_us,
            ended_us: None,
            returns: 0,
            acknowledged: None,
            value,
            limit: self.limits.limit(condition),
            bad: self.bad_of(condition),
            delay_s,
            announced_us: self.announced_us(priority, step.now_us),
            escalated_us: None,
        };
        step.changes.push(Change::Raised(alarm.clone()));
        self.open.push(Open::new(alarm, step.now_us, self.timing));
    }

    /// The condition of an open alarm is due again: it is news only if it had ended, or is more urgent than before.
    fn raise_open(&mut self, place: usize, due: &Due, step: &mut Step<'_>) {
        let (timing, limits) = (self.timing, self.limits);
        let Some(was) = self.open.get(place).map(|open| &open.alarm) else { return };
        let (returns, is_higher) = (!was.is_active(), due.priority > was.priority);
        let was_condition = was.condition;
        if !returns && !is_higher {
            return;
        }
        let priority = due.priority.max(was.priority);
        self.break_through(priority);
        let announced_us = self.announced_us(priority, step.now_us);
        let bad = self.bad_of(was_condition);
        let Some(open) = self.open.get_mut(place) else { return };
        let alarm = Alarm {
            bad: if returns { bad } else { open.alarm.bad.with(bad) },
            priority,
            ended_us: None,
            returns: open.alarm.returns.saturating_add(u32::from(returns)),
            acknowledged: None,
            value: due.value,
            limit: limits.limit(open.alarm.condition),
            announced_us,
            // Who did not come for it before is not given more time.
            escalated_us: if is_higher { None } else { open.alarm.escalated_us },
            ..open.alarm.clone()
        };
        let fresh = Open::new(alarm.clone(), step.now_us, timing);
        *open = if is_higher { fresh } else { Open { escalate_us: open.escalate_us, ..fresh } };
        step.changes.push(if returns { Change::Returned(alarm) } else { Change::Heightened(alarm) });
    }

    /// Who paused the alarms knew of those that stood, not of a high one that begins now: from now on the pause keeps back none of
    /// high priority.
    fn break_through(&mut self, priority: Priority) {
        if let Some(pause) = self.pause.as_mut().filter(|_| priority == Priority::High) {
            pause.floor = Priority::Medium;
        }
    }

    /// For how long a condition has lasted, by the clock of its delay; nothing while it is not there.
    pub(crate) fn lasting_us(&self, condition: Condition, now_us: i64) -> Option<i64> {
        let began_us = self.tracks.get(condition.place())?.due_us(0)?;
        Some(now_us.saturating_sub(began_us).max(0))
    }

    fn bad_of(&self, condition: Condition) -> BadSignals {
        if condition == Condition::BadSignal { self.bad } else { BadSignals::NONE }
    }

    /// The condition of an active alarm is there for one more reason. Who knew of the others does not know of this one.
    pub(crate) fn another_cause(&mut self, condition: Condition, step: &mut Step<'_>) {
        let known = |open: &Open| {
            open.alarm.condition == condition && open.alarm.is_active() && open.alarm.acknowledged.is_some()
        };
        if let Some(place) = self.open.iter().position(known) {
            self.tell_of_another(place, step);
        }
    }

    /// The same of one more bad signal, also when no one knew of the others yet: the alarm says which.
    pub(crate) fn another_bad_signal(&mut self, step: &mut Step<'_>) {
        let bad = self.bad_of(Condition::BadSignal);
        let lacks = |open: &Open| {
            let alarm = &open.alarm;
            alarm.condition == Condition::BadSignal && alarm.is_active() && alarm.bad.with(bad) != alarm.bad
        };
        if let Some(place) = self.open.iter().position(lacks) {
            self.tell_of_another(place, step);
        }
    }

    fn tell_of_another(&mut self, place: usize, step: &mut Step<'_>) {
        let Some((priority, condition)) =
            self.open.get(place).map(|open| (open.alarm.priority, open.alarm.condition))
        else {
            return;
        };
        self.break_through(priority);
        let (timing, announced_us) = (self.timing, self.announced_us(priority, step.now_us));
        let bad = self.bad_of(condition);
        let Some(open) = self.open.get_mut(place) else { return };
        let (returns, bad) = (open.alarm.returns.saturating_add(1), open.alarm.bad.with(bad));
        let alarm = Alarm { returns, bad, acknowledged: None, announced_us, ..open.alarm.clone() };
        let escalate_us = open.escalate_us;
        *open = Open { escalate_us, ..Open::new(alarm.clone(), step.now_us, timing) };
        step.changes.push(Change::Returned(alarm));
    }

    fn announced_us(&self, priority: Priority, now_us: i64) -> Option<i64> {
        (!self.is_held_back(priority)).then_some(now_us)
    }

    /// A value is back from the extreme limit. Who acknowledged the extreme one must hear of the next.
    pub(super) fn lower(&mut self, condition: Condition, step: &mut Step<'_>) {
        let track = self.track(condition);
        let is_low = !track.is_extreme() && track.urgent().is_none();
        for open in self.open.iter_mut().filter(|open| open.alarm.condition == condition && is_low) {
            let alarm = &mut open.alarm;
            if alarm.is_active() && alarm.acknowledged.is_some() && alarm.priority > condition.priority() {
                alarm.priority = condition.priority();
                step.changes.push(Change::Lowered(alarm.clone()));
            }
        }
    }

    /// The condition is not there any more.
    pub(super) fn end(&mut self, condition: Condition, time_us: i64, step: &mut Step<'_>) {
        self.track(condition).end();
        self.end_alarm(condition, time_us, step);
    }

    pub(super) fn end_alarm(&mut self, condition: Condition, time_us: i64, step: &mut Step<'_>) {
        let lasting = |open: &&mut Open| open.alarm.condition == condition && open.alarm.is_active();
        for open in self.open.iter_mut().filter(lasting) {
            open.alarm.ended_us = Some(time_us);
            step.changes.push(Change::Ended(open.alarm.clone()));
        }
        self.close_what_is_over(step);
    }

    pub(super) fn acknowledge_one(
        &mut self,
        number: u64,
        by: &str,
        reason: Option<&str>,
        step: &mut Step<'_>,
    ) -> bool {
        let is_news = |open: &&mut Open| open.alarm.number == number && open.alarm.acknowledged.is_none();
        let Some(open) = self.open.iter_mut().find(is_news) else { return false };
        let by = String::from(by);
        let reason = reason.map(String::from);
        open.alarm.acknowledged = Some(Acknowledgement { time_us: step.now_us, by, reason });
        let condition = open.alarm.condition;
        step.changes.push(Change::Acknowledged(open.alarm.clone()));
        self.lower(condition, step);
        self.close_what_is_over(step);
        true
    }

    /// What ended leaves the list, but for what is latched, and notices: those wait for someone.
    fn close_what_is_over(&mut self, step: &mut Step<'_>) {
        let latches = self.latches;
        let stays = |alarm: &Alarm| {
            let is_notice = alarm.priority > Priority::Low && !alarm.condition.is_technical();
            let waits = latches && (is_notice || alarm.priority == Priority::High);
            alarm.is_active() || (waits && alarm.acknowledged.is_none())
        };
        let (open, over): (Vec<_>, Vec<_>) =
            core::mem::take(&mut self.open).into_iter().partition(|open| stays(&open.alarm));
        self.open = open;
        step.changes.extend(over.into_iter().map(|open| Change::Closed(open.alarm)));
    }

    /// People are told what a pause kept from them.
    pub(super) fn end_pause(&mut self, by: Option<String>, step: &mut Step<'_>) {
        let Some(pause) = self.pause.take() else { return };
        step.changes.push(Change::Resumed { pause, by });
        let kept = |open: &&mut Open| open.alarm.is_calling() && open.alarm.announced_us.is_none();
        for open in self.open.iter_mut().filter(kept) {
            open.announce_again(step, self.timing);
        }
    }

    /// People are told again of what no one acknowledges; then others are.
    pub(super) fn call_again(&mut self, step: &mut Step<'_>) {
        let paused_up_to = self.held_back_up_to();
        for open in self.open.iter_mut().filter(|open| Some(open.alarm.priority) > paused_up_to) {
            if open.has_timers() && step.now_us >= open.again_us {
                open.announce_again(step, self.timing);
            }
            if open.has_timers() && step.now_us >= open.escalation_us() {
                open.alarm.escalated_us = Some(step.now_us);
                step.changes.push(Change::Escalated(open.alarm.clone()));
            }
        }
    }
}

impl Open {
    fn announce_again(&mut self, step: &mut Step<'_>, timing: Timing) {
        self.alarm.announced_us = Some(step.now_us);
        self.again_us = step.now_us.saturating_add(again_us(timing));
        step.changes.push(Change::Reannounced(self.alarm.clone()));
    }
}

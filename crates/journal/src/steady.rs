//! Whether the system's clock can be trusted to tell how old an entry is. Pure: the clocks are arguments.
//!
//! Two things keep a clock that is set from making entries old:
//! - The journal counts age on a clock of its own, [`Steady::journal_us`]. It runs with the machine's uptime, so that
//!   setting the system's clock does not move it. Only while the machine was off does it follow the system's clock, as
//!   nothing else tells how long that was.
//! - After each jump, and after a stop of the machine so long that it may be one, nothing is deleted by age until the clock
//!   was steady for [`STEADY_US`], or an operator confirms that it is right.

use std::fmt;

use crate::clock::Moment;

/// The clock was set when it differs by more than this from what the machine's uptime says.
pub const CLOCK_JUMP_US: u64 = 5 * 60 * 1_000_000;
/// For so long after a jump nothing is deleted by age.
pub const STEADY_US: u64 = 24 * 3_600 * 1_000_000;
/// A machine that seems to have been off for longer may as well have had its clock set meanwhile.
const STOP_US_MAX: u64 = 24 * 3_600 * 1_000_000;

/// Why nothing is deleted by age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockTrouble {
    /// The clock was set, by so many microseconds: forward, or back when negative.
    Set {
        /// By how much.
        by_us: i64,
    },
    /// The machine was off, or its clock was set meanwhile: the clock went on by so many microseconds.
    LongStop {
        /// By how much.
        by_us: u64,
    },
}

impl fmt::Display for ClockTrouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Set { by_us } if by_us < 0 => {
                write!(f, "the clock was set back by {}", Span(by_us.unsigned_abs()))
            }
            Self::Set { by_us } => write!(f, "the clock was set forward by {}", Span(by_us.unsigned_abs())),
            Self::LongStop { by_us } => {
                write!(
                    f,
                    "the machine was off, or its clock was set meanwhile: it went on by {}",
                    Span(by_us)
                )
            }
        }
    }
}

/// A time in its largest whole unit.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / 1_000_000;
        match seconds {
            0..=7_199 => write!(f, "{} min", seconds / 60),
            7_200..=172_799 => write!(f, "{} h", seconds / 3_600),
            _ => write!(f, "{} days", seconds / 86_400),
        }
    }
}

/// Deletion by age is suspended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspension {
    /// Since when: UTC microseconds, by the clock as it was after the trouble.
    pub since_us: i64,
    /// Why.
    pub trouble: ClockTrouble,
    /// For how long the clock has been steady since, in microseconds; at [`STEADY_US`] it ends.
    pub steady_us: u64,
}

/// What a look at the clocks found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Suspended(Suspension),
    /// It was steady for long enough.
    Resumed,
}

/// What the journal remembers of the clocks, in its file too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Steady {
    /// Since this moment the clock was not set.
    pub(crate) anchor: Moment,
    /// The last look.
    pub(crate) last: Moment,
    /// The system's clock less the journal's.
    pub(crate) ahead_us: i64,
    pub(crate) suspension: Option<Suspension>,
}

impl Steady {
    pub(crate) fn new(now: Moment) -> Self {
        Self { anchor: now, last: now, ahead_us: 0, suspension: None }
    }

    /// For a file that tells no more than when its newest entry was received.
    pub(crate) fn of_old_file(newest_us: i64, now: Moment) -> Self {
        let seen = Moment { wall_us: newest_us, uptime_us: 0, machine_start: 0 };
        let mut steady = Self::new(seen);
        steady.look(now);
        // It may be that very entry whose time is wrong: no other entry becomes older by it.
        steady.ahead_us = 0;
        steady
    }

    /// The journal's own time, by which age is counted.
    pub(crate) fn journal_us(&self) -> i64 {
        self.last.wall_us.saturating_sub(self.ahead_us)
    }

    pub(crate) fn look(&mut self, now: Moment) -> Option<Change> {
        let trouble = if self.is_same_start(now) { self.set_since(now) } else { self.stopped_until(now) };
        let passed_us = now.uptime_us.saturating_sub(self.last.uptime_us);
        if let Some(trouble) = trouble {
            self.anchor = now;
            self.last = now;
            let suspension = Suspension { since_us: now.wall_us, trouble, steady_us: 0 };
            self.suspension = Some(suspension);
            return Some(Change::Suspended(suspension));
        }
        if !self.is_same_start(now) {
            self.anchor = now;
        } else if let Some(suspension) = &mut self.suspension {
            suspension.steady_us = suspension.steady_us.saturating_add(passed_us);
        }
        self.last = now;
        if now.uptime_us.saturating_sub(self.anchor.uptime_us) > STEADY_US {
            // What the two clocks differed by since is no jump that took place at once.
            self.anchor = now;
        }
        self.suspension.filter(|suspension| suspension.steady_us >= STEADY_US)?;
        self.suspension = None;
        Some(Change::Resumed)
    }

    /// An operator says that the clock is right.
    pub(crate) fn confirm(&mut self) {
        self.anchor = self.last;
        self.suspension = None;
    }

    fn is_same_start(&self, now: Moment) -> bool {
        now.machine_start != 0
            && now.machine_start == self.last.machine_start
            && now.uptime_us >= self.last.uptime_us
    }

    /// Within one start of the machine its uptime tells exactly by how much the clock was set.
    fn set_since(&mut self, now: Moment) -> Option<ClockTrouble> {
        let elapsed_us = now.uptime_us.saturating_sub(self.anchor.uptime_us);
        let expected_us = self.anchor.wall_us.saturating_add_unsigned(elapsed_us);
        let by_us = now.wall_us.saturating_sub(expected_us);
        if by_us.unsigned_abs() <= CLOCK_JUMP_US {
            return None;
        }
        self.ahead_us = self.ahead_us.saturating_add(by_us);
        Some(ClockTrouble::Set { by_us })
    }

    /// Across starts of the machine the time between is known only to be no less than nothing.
    fn stopped_until(&mut self, now: Moment) -> Option<ClockTrouble> {
        let by_us = now.wall_us.saturating_sub(self.last.wall_us);
        if by_us < 0 {
            self.ahead_us = self.ahead_us.saturating_add(by_us);
            return (by_us.unsigned_abs() > CLOCK_JUMP_US).then_some(ClockTrouble::Set { by_us });
        }
        let by_us = by_us.unsigned_abs();
        (by_us > STOP_US_MAX).then_some(ClockTrouble::LongStop { by_us })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_US: u64 = 3_600_000_000;
    const DAY_US: u64 = 24 * HOUR_US;
    const T0_US: i64 = 1_795_000_000_000_000;

    /// A machine whose clocks a test moves.
    struct Machine(Moment);

    impl Machine {
        fn new() -> Self {
            Self(Moment { wall_us: T0_US, uptime_us: HOUR_US, machine_start: 7 })
        }

        fn runs(&mut self, us: u64) -> Moment {
            self.0.uptime_us += us;
            self.0.wall_us += us.cast_signed();
            self.0
        }

        fn is_set(&mut self, by_us: i64) -> Moment {
            self.0.wall_us += by_us;
            self.0
        }

        /// It is off for so long by its clock, then has been up for a minute.
        fn restarts(&mut self, off_us: i64) -> Moment {
            self.0 = Moment {
                wall_us: self.0.wall_us + off_us,
                uptime_us: 60_000_000,
                machine_start: self.0.machine_start + 1,
            };
            self.0
        }
    }

    fn days(count: i64) -> i64 {
        count * DAY_US.cast_signed()
    }

    #[test]
    fn setting_the_clock_moves_not_the_journals_time_and_suspends_for_a_day() {
        for by_us in [days(120), -days(120), 301_000_000, -301_000_000] {
            let mut machine = Machine::new();
            let mut steady = Steady::new(machine.0);
            assert_eq!(steady.look(machine.runs(HOUR_US)), None);
            let before_us = steady.journal_us();
            let Some(Change::Suspended(suspension)) = steady.look(machine.is_set(by_us)) else {
                panic!("not noticed")
            };
            assert_eq!((steady.journal_us(), suspension.trouble), (before_us, ClockTrouble::Set { by_us }));
            assert_eq!(steady.look(machine.runs(DAY_US - 1)), None);
            assert_eq!(steady.look(machine.runs(1)), Some(Change::Resumed));
            assert_eq!(steady.journal_us(), before_us + days(1));
        }
    }

    #[test]
    fn a_second_jump_begins_the_day_again_and_one_back_cancels_the_first() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        steady.look(machine.is_set(days(100)));
        steady.look(machine.runs(DAY_US / 2));
        steady.look(machine.is_set(-days(100)));
        assert_eq!(steady.ahead_us, 0);
        assert_eq!(steady.look(machine.runs(DAY_US - 1)), None);
        assert!(steady.suspension.is_some());
    }

    #[test]
    fn a_clock_that_is_set_little_by_little_is_noticed_too() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        let steps = (0..10).map(|_| steady.look(machine.is_set(60_000_000))).collect::<Vec<_>>();
        assert_eq!(steps.iter().filter(|change| change.is_some()).count(), 1, "{steps:?}");
    }

    #[test]
    fn a_slow_drift_is_no_jump() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        for _ in 0..1_000 {
            machine.is_set(36_000);
            assert_eq!(steady.look(machine.runs(HOUR_US)), None);
        }
    }

    #[test]
    fn a_restart_of_the_process_alone_hides_no_jump() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        steady.look(machine.runs(HOUR_US));
        machine.runs(HOUR_US);
        assert!(matches!(steady.look(machine.is_set(days(3))), Some(Change::Suspended(_))));
        assert_eq!(steady.journal_us(), T0_US + 2 * HOUR_US.cast_signed());
    }

    #[test]
    fn a_short_stop_of_the_machine_counts_as_time_and_a_long_one_suspends() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        assert_eq!(steady.look(machine.restarts(days(1))), None);
        assert_eq!(steady.journal_us(), T0_US + days(1));
        let long = steady.look(machine.restarts(days(120)));
        let trouble = ClockTrouble::LongStop { by_us: 120 * DAY_US };
        assert!(matches!(long, Some(Change::Suspended(found)) if found.trouble == trouble), "{long:?}");
    }

    #[test]
    fn a_clock_that_stands_earlier_after_a_stop_never_takes_the_journals_time_back() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        steady.look(machine.runs(HOUR_US));
        let before_us = steady.journal_us();
        assert!(matches!(steady.look(machine.restarts(-days(400))), Some(Change::Suspended(_))));
        assert_eq!(steady.journal_us(), before_us);
        assert_eq!(steady.look(machine.restarts(-1_000)), None, "a moment is no trouble");
        assert_eq!(steady.journal_us(), before_us);
    }

    #[test]
    fn the_steady_day_goes_on_over_restarts_of_the_machine() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        steady.look(machine.is_set(days(9)));
        for _ in 0..2 {
            assert_eq!(steady.look(machine.runs(10 * HOUR_US)), None);
            assert_eq!(steady.look(machine.restarts(days(1) / 2)), None);
        }
        assert_eq!(steady.look(machine.runs(4 * HOUR_US)), Some(Change::Resumed));
    }

    #[test]
    fn an_operator_ends_it_at_once() {
        let mut machine = Machine::new();
        let mut steady = Steady::new(machine.0);
        steady.look(machine.is_set(days(9)));
        steady.confirm();
        assert_eq!((steady.suspension, steady.look(machine.runs(1))), (None, None));
    }

    #[test]
    fn an_old_file_with_an_entry_from_the_future_is_suspended_and_makes_no_entry_older() {
        let machine = Machine::new();
        for (newest_us, suspended) in
            [(T0_US - 1, false), (T0_US + days(100), true), (T0_US - days(30), true)]
        {
            let steady = Steady::of_old_file(newest_us, machine.0);
            assert_eq!(steady.suspension.is_some(), suspended, "{newest_us}");
            assert_eq!(steady.journal_us(), T0_US);
        }
    }

    #[test]
    fn no_clock_overflows() {
        let extreme = |wall_us, uptime_us| Moment { wall_us, uptime_us, machine_start: 1 };
        let mut steady = Steady::new(extreme(i64::MIN, 0));
        steady.look(extreme(i64::MAX, u64::MAX));
        steady.look(extreme(i64::MIN, u64::MAX));
        steady.look(Moment { machine_start: 2, ..extreme(i64::MAX, 0) });
        let _ = steady.journal_us();
    }
}

//! Age: what is old goes, what a clock that was set made old stays.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rusqlite::Connection;
use vitalwire_journal::{
    BootClock, Clock, ClockTrouble, Entry, Journal, JournalLimits, Moment, confirm_clock, suspension,
};

use crate::fixture::{Fixture, PATIENCE, T0_US, append, device, entry, everything, limits, path_in};

const DAY_US: i64 = 24 * 3_600_000_000;
const AGE: Duration = Duration::from_secs(90 * 24 * 3_600);

/// A machine whose clocks a test moves.
#[derive(Clone)]
struct Machine(Arc<Mutex<Moment>>);

impl Machine {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Moment { wall_us: T0_US, uptime_us: 1_000_000, machine_start: 1 })))
    }

    fn clock(&self) -> Clock {
        let moment = Arc::clone(&self.0);
        Arc::new(move || *moment.lock().unwrap())
    }

    fn runs(&self, us: i64) {
        let mut moment = self.0.lock().unwrap();
        moment.wall_us += us;
        moment.uptime_us += us.unsigned_abs();
    }

    fn is_set(&self, by_us: i64) {
        self.0.lock().unwrap().wall_us += by_us;
    }

    /// Is off for so long, by its clock.
    fn restarts(&self, by_us: i64) {
        let mut moment = self.0.lock().unwrap();
        *moment =
            Moment { wall_us: moment.wall_us + by_us, uptime_us: 5, machine_start: moment.machine_start + 1 };
    }

    fn wall_us(&self) -> i64 {
        self.0.lock().unwrap().wall_us
    }
}

struct Ward {
    fixture: Fixture,
    machine: Machine,
    next: u64,
}

impl Ward {
    fn new() -> Self {
        let limits = JournalLimits { age_max: Some(AGE), ..limits() };
        let (folder, machine) = (tempfile::tempdir().unwrap(), Machine::new());
        let journal = Journal::open_with_clock(&path_in(folder.path()), &limits, machine.clock()).unwrap();
        Self { fixture: Fixture { folder, journal, limits }, machine, next: 1 }
    }

    fn journal(&self) -> &Journal {
        &self.fixture.journal
    }

    async fn sends(&mut self, count: u64) {
        for _ in 0..count {
            let received_us = self.machine.wall_us();
            append(self.journal(), Entry { received_us, ..entry("dev-1", 1, self.next) }).await;
            self.next += 1;
        }
    }

    async fn held(&self) -> usize {
        everything(self.journal()).await.len()
    }

    /// Appends an entry, and returns when the writer has done its chores since: a reader's position tells, which it writes
    /// in the transaction in which it removes what is too old.
    async fn chores(&mut self) {
        let reader = self.journal().reader("chores").await.unwrap();
        self.sends(1).await;
        reader.advance(self.journal().head());
        let file = Connection::open(path_in(self.fixture.folder.path())).unwrap();
        let written = || -> i64 {
            let sql = "SELECT position FROM readers WHERE name = 'chores'";
            file.query_row(sql, [], |row| row.get(0)).unwrap()
        };
        until("the chores", || written() == i64::try_from(reader.position()).unwrap()).await;
        self.journal().forget_reader("chores").await.unwrap();
    }

    async fn reopens(&mut self) {
        self.journal().clone().close().await;
        let path = path_in(self.fixture.folder.path());
        self.fixture.journal =
            Journal::open_with_clock(&path, &self.fixture.limits, self.machine.clock()).unwrap();
    }

    async fn is_suspended(&self, wanted: bool) {
        until("the suspension", || self.journal().stats().suspension.is_some() == wanted).await;
    }

    async fn holds(&self, wanted: usize) {
        let held = async {
            while self.held().await != wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, held).await;
        assert!(in_time.is_ok(), "{} entries are held, not {wanted}", self.held().await);
    }
}

async fn until(what: &str, so: impl Fn() -> bool) {
    let reached = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(PATIENCE, reached).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn aged_entries_go_in_the_order_in_which_they_came_and_are_counted() {
    let mut ward = Ward::new();
    ward.sends(10).await;
    ward.machine.runs(60 * DAY_US);
    ward.chores().await;
    assert_eq!(ward.held().await, 11);
    ward.machine.runs(31 * DAY_US);
    ward.holds(1).await;
    let stats = ward.journal().stats();
    assert_eq!((stats.removed_by_age, stats.removed_by_size), (10, 0));
    let status = ward.journal().file().status().await.unwrap();
    assert_eq!((status.removed_by_age, status.entries, status.suspension), (10, 1, None));
}

#[tokio::test]
async fn entries_that_a_reader_has_not_read_stay_however_old() {
    let mut ward = Ward::new();
    let reader = ward.journal().reader("publisher").await.unwrap();
    ward.sends(20).await;
    ward.machine.runs(100 * DAY_US);
    reader.advance(5);
    ward.holds(15).await;
    assert_eq!(everything(ward.journal()).await[0].position, 6);
    reader.advance(20);
    ward.holds(0).await;
}

#[tokio::test]
async fn a_clock_that_was_behind_and_is_set_right_loses_nothing_that_day_nor_the_next() {
    let mut ward = Ward::new();
    ward.sends(200).await;
    ward.machine.is_set(120 * DAY_US);
    ward.is_suspended(true).await;
    ward.chores().await;
    assert_eq!(ward.held().await, 201);
    // Also when deletion by age goes on: they are not old, they only carry the time of a clock that was wrong.
    ward.machine.runs(DAY_US);
    ward.is_suspended(false).await;
    ward.chores().await;
    assert_eq!(ward.held().await, 202);
    ward.machine.runs(91 * DAY_US);
    ward.holds(0).await;
}

#[tokio::test]
async fn a_clock_that_is_far_ahead_for_a_moment_loses_nothing() {
    let mut ward = Ward::new();
    ward.sends(50).await;
    ward.machine.is_set(100 * DAY_US);
    ward.is_suspended(true).await;
    ward.sends(50).await;
    ward.machine.is_set(-100 * DAY_US);
    until("the way back", || {
        let trouble = ward.journal().stats().suspension.map(|suspension| suspension.trouble);
        trouble == Some(ClockTrouble::Set { by_us: -100 * DAY_US })
    })
    .await;
    ward.sends(50).await;
    ward.machine.runs(DAY_US);
    ward.is_suspended(false).await;
    ward.chores().await;
    assert_eq!(ward.held().await, 151);
    // What came while the clock was ahead goes with the rest.
    ward.machine.runs(91 * DAY_US);
    ward.holds(0).await;
}

#[tokio::test]
async fn a_jump_suspends_deletion_over_restarts_until_the_clock_was_steady_for_a_day() {
    let mut ward = Ward::new();
    ward.sends(10).await;
    ward.machine.runs(89 * DAY_US);
    ward.chores().await;
    ward.machine.is_set(600_000_000);
    ward.is_suspended(true).await;
    ward.machine.runs(DAY_US / 2);
    ward.reopens().await;
    ward.is_suspended(true).await;
    // The machine is off for half a day: then the first ten are old enough, but the clock is not yet trusted.
    ward.machine.restarts(DAY_US / 2);
    ward.machine.runs(3_600_000_000);
    ward.chores().await;
    ward.is_suspended(true).await;
    assert_eq!(ward.held().await, 12);
    ward.machine.runs(DAY_US / 2);
    ward.holds(2).await;
}

#[tokio::test]
async fn an_operator_who_confirms_the_clock_ends_the_suspension() {
    let mut ward = Ward::new();
    ward.sends(10).await;
    ward.machine.runs(90 * DAY_US);
    ward.machine.is_set(-600_000_000);
    ward.is_suspended(true).await;
    ward.machine.runs(3_600_000_000);
    ward.chores().await;
    assert_eq!(ward.held().await, 11);
    let path = path_in(ward.fixture.folder.path());
    let suspended = suspension(&path).unwrap().unwrap();
    assert_eq!(suspended.trouble, ClockTrouble::Set { by_us: -600_000_000 });
    confirm_clock(&path, &suspended).unwrap();
    ward.holds(1).await;
    assert_eq!(ward.journal().stats().suspension, None);
    until("the file's word", || suspension(&path).unwrap().is_none()).await;
}

#[tokio::test]
async fn a_confirmation_is_not_one_of_a_later_jump() {
    let mut ward = Ward::new();
    ward.sends(1).await;
    ward.machine.is_set(10 * DAY_US);
    ward.is_suspended(true).await;
    let path = path_in(ward.fixture.folder.path());
    ward.journal().clone().close().await;
    confirm_clock(&path, &suspension(&path).unwrap().unwrap()).unwrap();
    ward.machine.is_set(30 * DAY_US);
    ward.fixture.journal =
        Journal::open_with_clock(&path, &ward.fixture.limits, ward.machine.clock()).unwrap();
    ward.chores().await;
    ward.is_suspended(true).await;
}

#[tokio::test]
async fn a_long_stop_suspends_deletion_at_the_next_start() {
    let mut ward = Ward::new();
    ward.sends(10).await;
    ward.journal().clone().close().await;
    ward.machine.restarts(100 * DAY_US);
    ward.reopens().await;
    ward.is_suspended(true).await;
    ward.chores().await;
    assert_eq!(ward.held().await, 11);
    ward.machine.runs(DAY_US);
    ward.holds(1).await;
}

#[tokio::test]
async fn a_journal_of_version_1_keeps_what_it_has() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_in(folder.path());
    let old = Connection::open(&path).unwrap();
    old.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL;").unwrap();
    old.execute_batch(include_str!("version_1.sql")).unwrap();
    drop(old);
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let unread = vitalwire_journal::HistoryFile::open(&path).unwrap_err();
    assert!(unread.to_string().contains("start the server once"), "{unread}");
    let journal = Journal::open(&path, &limits()).unwrap();
    let sequences: Vec<u64> = everything(&journal).await.iter().map(|stored| stored.entry.sequence).collect();
    assert_eq!(sequences, [1, 2, 3, 8, 4]);
    assert_eq!(journal.last_sequence(&device("dev-1"), 1).await.unwrap(), Some(4));
    assert_eq!(journal.gaps(&device("dev-1"), 10).await.unwrap().len(), 2);
    let reader = journal.reader("publisher").await.unwrap();
    assert_eq!(reader.position(), 3);
    let clock = BootClock { offset_us: -5, uncertainty_us: 6, set_at_us: 7, mapped_us: 8 };
    journal.note_clock(&device("dev-1"), 1, clock).await;
    assert_eq!(journal.boot_clock(&device("dev-1"), 1).await.unwrap(), Some(clock));
    journal.close().await;
}

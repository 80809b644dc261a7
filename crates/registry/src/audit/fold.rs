//! Records of logins, which strangers can cause: kept from filling the disk.
//!
//! The first login of a subject is recorded at once; its further ones of the same kind within a minute are counted and
//! told in one record. Beyond that, each kind has a budget: refused logins a burst of [`REFUSED_LOGINS_BURST`] and then
//! [`REFUSED_LOGINS_PER_MINUTE`]; the others, which need a key or a password, ten times the burst and thirty times
//! that rate. What is over the budget is counted and told in one record a minute.
//! Kinds have budgets of their own, so that a flood of refused logins hides no accepted one.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::AuditKind;

/// How long repeated logins are counted before their number is recorded.
pub const REPEATED_LOGINS_FOLDED_FOR: Duration = Duration::from_secs(60);
/// How many refused logins of different names are recorded one by one after a quiet time.
pub const REFUSED_LOGINS_BURST: u32 = 100;
/// How many refused logins of different names are recorded a minute when they do not end. With their counts
/// that is 1.5 MB of disk a day at most.
pub const REFUSED_LOGINS_PER_MINUTE: u32 = 2;
const ACCEPTED_LOGINS_BURST: u32 = 10 * REFUSED_LOGINS_BURST;
const ACCEPTED_LOGINS_PER_MINUTE: u32 = 30 * REFUSED_LOGINS_PER_MINUTE;

/// Which kind of login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginKind {
    /// A device proved its key under a link that it had not used before.
    Device,
    /// An MQTT user was let in.
    User,
    /// Someone was not let in.
    Refused,
}

impl LoginKind {
    const ALL: [Self; 3] = [Self::Device, Self::User, Self::Refused];

    fn audit_kind(self) -> AuditKind {
        match self {
            Self::Device => AuditKind::DeviceLogin,
            Self::User => AuditKind::UserLogin,
            Self::Refused => AuditKind::LoginRefused,
        }
    }

    /// Burst, and rate a minute.
    fn budget(self) -> (u32, u32) {
        match self {
            Self::Device | Self::User => (ACCEPTED_LOGINS_BURST, ACCEPTED_LOGINS_PER_MINUTE),
            Self::Refused => (REFUSED_LOGINS_BURST, REFUSED_LOGINS_PER_MINUTE),
        }
    }
}

/// A record to be written: kind, subject, detail.
pub(crate) type LoginRecord = (AuditKind, String, String);

/// What is counted and not yet recorded. Holds at most as many subjects as the budgets let in within a minute.
#[derive(Debug, Default)]
pub(crate) struct LoginFold {
    recent: HashMap<(LoginKind, String), Recent>,
    budgets: HashMap<LoginKind, Budget>,
}

#[derive(Debug)]
struct Recent {
    since: Instant,
    /// Logins after the recorded one.
    more: u64,
}

#[derive(Debug)]
struct Budget {
    records: f64,
    updated: Instant,
    /// Logins that found it empty, and since when they are counted.
    over: u64,
    over_since: Instant,
}

impl Budget {
    fn refill(&mut self, kind: LoginKind, now: Instant) {
        let (burst, per_minute) = kind.budget();
        let minutes = now.saturating_duration_since(self.updated).as_secs_f64() / 60.0;
        self.records = (self.records + minutes * f64::from(per_minute)).min(f64::from(burst));
        self.updated = now;
    }

    fn take(&mut self) -> bool {
        let there = self.records >= 1.0;
        if there {
            self.records -= 1.0;
        }
        there
    }
}

impl LoginFold {
    /// Counts a login; gives what must be recorded now.
    pub(crate) fn note(
        &mut self,
        kind: LoginKind,
        subject: &str,
        detail: &str,
        now: Instant,
    ) -> Vec<LoginRecord> {
        let mut due = self.due(now);
        let key = (kind, super::clean(subject, super::SUBJECT_LEN_MAX));
        if let Some(recent) = self.recent.get_mut(&key) {
            recent.more += 1;
            return due;
        }
        let budget = self.budgets.entry(kind).or_insert_with(|| Budget {
            records: f64::from(kind.budget().0),
            updated: now,
            over: 0,
            over_since: now,
        });
        budget.refill(kind, now);
        if budget.take() {
            due.push((kind.audit_kind(), key.1.clone(), detail.to_owned()));
            self.recent.insert(key, Recent { since: now, more: 0 });
        } else {
            if budget.over == 0 {
                budget.over_since = now;
            }
            budget.over += 1;
        }
        due
    }

    /// The counts whose minute is over.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<LoginRecord> {
        let ended = self.recent.extract_if(|_, recent| {
            now.saturating_duration_since(recent.since) >= REPEATED_LOGINS_FOLDED_FOR
        });
        let mut due: Vec<_> = ended.filter_map(|(key, recent)| repeated(key, recent.more)).collect();
        // An order that does not depend on a hash.
        due.sort();
        for kind in LoginKind::ALL {
            let Some(budget) = self.budgets.get_mut(&kind) else { continue };
            let counted_for = now.saturating_duration_since(budget.over_since);
            if budget.over > 0 && counted_for >= REPEATED_LOGINS_FOLDED_FOR {
                due.push(over_budget(kind, std::mem::take(&mut budget.over)));
            }
        }
        due
    }

    /// All counts, whether their time is over or not.
    pub(crate) fn drain(&mut self) -> Vec<LoginRecord> {
        let mut all: Vec<_> =
            self.recent.drain().filter_map(|(key, recent)| repeated(key, recent.more)).collect();
        all.sort();
        for kind in LoginKind::ALL {
            let over = self.budgets.get_mut(&kind).map_or(0, |budget| std::mem::take(&mut budget.over));
            all.extend((over > 0).then(|| over_budget(kind, over)));
        }
        all
    }
}

fn repeated((kind, subject): (LoginKind, String), more: u64) -> Option<LoginRecord> {
    let detail = format!("{more} more within {} s", REPEATED_LOGINS_FOLDED_FOR.as_secs());
    (more > 0).then(|| (kind.audit_kind(), subject, detail))
}

fn over_budget(kind: LoginKind, over: u64) -> LoginRecord {
    let detail = format!("{over} times {}, of names not recorded one by one", kind.audit_kind().as_str());
    (AuditKind::LoginsFolded, String::new(), detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn texts(records: &[LoginRecord]) -> Vec<String> {
        let text = |(kind, subject, detail): &LoginRecord| format!("{} {subject}: {detail}", kind.as_str());
        records.iter().map(text).collect()
    }

    #[test]
    fn repeated_logins_are_one_record_and_one_count_a_minute() {
        let (mut fold, start) = (LoginFold::default(), Instant::now());
        let first = fold.note(LoginKind::User, "ana", "from 10.0.0.1", start);
        assert_eq!(texts(&first), ["user-login ana: from 10.0.0.1"]);
        for second in 1..60 {
            assert!(fold.note(LoginKind::User, "ana", "again", at(start, second)).is_empty());
        }
        let other = fold.note(LoginKind::Refused, "ana", "wrong password", at(start, 59));
        assert_eq!(texts(&other), ["login-refused ana: wrong password"], "another kind is another login");
        let next = fold.note(LoginKind::User, "ana", "later", at(start, 60));
        assert_eq!(texts(&next), ["user-login ana: 59 more within 60 s", "user-login ana: later"]);
        assert!(fold.due(at(start, 300)).is_empty(), "a login that was not repeated leaves no count");
    }

    #[test]
    fn a_flood_of_made_up_names_stays_within_the_budget_and_is_counted() {
        let (mut fold, start) = (LoginFold::default(), Instant::now());
        let mut written = Vec::new();
        for number in 0..100_000_u64 {
            let now = start + Duration::from_millis(number * 6);
            written.extend(fold.note(LoginKind::Refused, &format!("x{number}"), "", now));
        }
        // Ten minutes: the burst, two a minute, and a count a minute.
        assert!((120..=130).contains(&written.len()), "{}", written.len());
        assert!(fold.recent.len() <= 121);
        let accepted = fold.note(LoginKind::User, "ana", "", at(start, 600));
        assert!(texts(&accepted).contains(&"user-login ana: ".to_owned()), "a flood hides no accepted login");
        written.extend(accepted);
        written.extend(fold.drain());
        let alone = written.iter().filter(|record| record.0 == AuditKind::LoginRefused).count();
        let folded = written.iter().filter(|record| record.0 == AuditKind::LoginsFolded);
        let counted: usize =
            folded.map(|(_, _, detail)| detail.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
        assert_eq!(alone + counted, 100_000);
    }

    #[test]
    fn draining_leaves_nothing() {
        let (mut fold, now) = (LoginFold::default(), Instant::now());
        for _ in 0..3 {
            fold.note(LoginKind::Device, "bed_07", "link", now);
        }
        assert_eq!(texts(&fold.drain()), ["device-login bed_07: 2 more within 60 s"]);
        assert!(fold.drain().is_empty() && fold.due(at(now, 60)).is_empty());
    }
}

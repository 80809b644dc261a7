//! How fast passwords may be guessed. Pure bookkeeping: time comes in as an argument, nothing is checked here.
//!
//! Only the pair (account, address) is ever locked out. The totals of an address and of an account only *delay* a login,
//! by a few seconds at most, and not one from a pair that has logged in before. So someone who hammers account A from one
//! address shuts out neither the others at that address nor A at its other addresses.
//!
//! What comes from an address counts for each way in apart: a program with an old password keeps no one at its address from the
//! dashboard. What is tried on an account counts for all ways together, or each would give another share of guesses.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Failures of one pair in a row before it is locked out.
pub const PAIR_FAILURES_MAX: u32 = 5;
/// The first lockout of a pair; each further failure doubles it.
const LOCKOUT_MIN: Duration = Duration::from_secs(30);
/// The longest lockout of a pair.
const LOCKOUT_MAX: Duration = Duration::from_secs(15 * 60);
/// Failures of one address over all accounts, or of one account over all addresses, that cost no delay.
const TOTAL_FAILURES_FREE: u32 = 10;
/// Delay for each failure above that, until [`DELAY_MAX`].
const DELAY_STEP: Duration = Duration::from_millis(200);
/// The longest delay of a login. Shorter than the deadline for CONNECT, so that the login still succeeds.
const DELAY_MAX: Duration = Duration::from_secs(3);
/// Failures are forgotten after this long without a new one.
const MEMORY: Duration = Duration::from_secs(15 * 60);
/// Entries of each of the three tables. When one is full, the entry touched longest ago goes; to lose its own lockout an
/// attacker needs that many other failures, each of them delayed.
const TABLE_ENTRIES_MAX: usize = 10_000;
/// How soon a login asks again that waits for the outcome of others of its pair.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How someone logs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Way {
    /// A client of the broker.
    Mqtt,
    /// A person in a browser.
    Dashboard,
}

/// What to do with a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Check the password after this delay, then report `succeeded` or `failed`.
    Check {
        /// How long to wait before.
        after: Duration,
    },
    /// As many logins of this pair are being checked as may fail in a row: ask again after this long.
    Wait(Duration),
    /// Refuse without checking.
    LockedOut,
}

#[derive(Clone, Copy)]
struct Tally {
    failures: u32,
    // Logins being checked; they count as failures until they turn out well.
    pending: u32,
    trusted: bool,
    locked_until: Option<Instant>,
    touched: Instant,
}

impl Tally {
    fn new(now: Instant) -> Self {
        Self { failures: 0, pending: 0, trusted: false, locked_until: None, touched: now }
    }

    fn forget_old(&mut self, now: Instant) {
        if now.saturating_duration_since(self.touched) >= MEMORY {
            self.failures = 0;
            self.locked_until = None;
        }
        self.touched = now;
    }
}

struct Table<K> {
    entries: HashMap<K, Tally>,
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn new() -> Self {
        Self { entries: HashMap::new() }
    }

    fn touch(&mut self, key: &K, now: Instant) -> &mut Tally {
        if self.entries.len() >= TABLE_ENTRIES_MAX && !self.entries.contains_key(key) {
            self.evict(now);
        }
        let tally = self.entries.entry(key.clone()).or_insert_with(|| Tally::new(now));
        tally.forget_old(now);
        tally
    }

    /// Makes room: first what is stale, then the entry touched longest ago.
    fn evict(&mut self, now: Instant) {
        self.entries
            .retain(|_, tally| now.saturating_duration_since(tally.touched) < MEMORY || tally.pending > 0);
        if self.entries.len() >= TABLE_ENTRIES_MAX {
            let oldest =
                self.entries.iter().min_by_key(|(_, tally)| tally.touched).map(|(key, _)| key.clone());
            oldest.map(|key| self.entries.remove(&key));
        }
    }
}

/// The failures of late, by account, by address and by both. One for all ways to log in.
pub struct LoginLimiter {
    pairs: Table<(Way, String, IpAddr)>,
    addresses: Table<(Way, IpAddr)>,
    accounts: Table<String>,
}

impl Default for LoginLimiter {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for LoginLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginLimiter").finish_non_exhaustive()
    }
}

impl LoginLimiter {
    /// One without any failure.
    #[must_use]
    pub fn new() -> Self {
        Self { pairs: Table::new(), addresses: Table::new(), accounts: Table::new() }
    }

    /// Judges a login before its password is looked at. `Check` must be followed by `failed`, `succeeded` or
    /// `abandoned`.
    pub fn begin(&mut self, way: Way, account: &str, address: IpAddr, now: Instant) -> Verdict {
        let address = network(address);
        let delay = total_delay(self.addresses.touch(&(way, address), now).failures)
            .max(total_delay(self.accounts.touch(&account.to_owned(), now).failures));
        let pair = self.pairs.touch(&(way, account.to_owned(), address), now);
        if pair.locked_until.is_some_and(|until| now < until) {
            return Verdict::LockedOut;
        }
        if pair.pending > 0 && pair.failures + pair.pending >= PAIR_FAILURES_MAX {
            return Verdict::Wait(ASK_AGAIN);
        }
        pair.pending += 1;
        Verdict::Check { after: if pair.trusted { Duration::ZERO } else { delay } }
    }

    /// The password was wrong.
    pub fn failed(&mut self, way: Way, account: &str, address: IpAddr, now: Instant) {
        let address = network(address);
        let pair = self.pairs.touch(&(way, account.to_owned(), address), now);
        pair.pending = pair.pending.saturating_sub(1);
        pair.failures = pair.failures.saturating_add(1);
        if let Some(over) = pair.failures.checked_sub(PAIR_FAILURES_MAX) {
            let lockout = LOCKOUT_MIN.saturating_mul(2_u32.saturating_pow(over)).min(LOCKOUT_MAX);
            pair.locked_until = Some(now + lockout);
            // A wrong password that often is no longer the person who once knew it.
            pair.trusted = false;
        }
        let of_address = self.addresses.touch(&(way, address), now);
        for total in [of_address, self.accounts.touch(&account.to_owned(), now)] {
            total.failures = total.failures.saturating_add(1);
        }
    }

    /// The password was right: the pair starts again. The totals stay, or one good account would clear an attacker's.
    pub fn succeeded(&mut self, way: Way, account: &str, address: IpAddr, now: Instant) {
        let pair = self.pairs.touch(&(way, account.to_owned(), network(address)), now);
        pair.pending = pair.pending.saturating_sub(1);
        pair.failures = 0;
        pair.trusted = true;
        pair.locked_until = None;
    }

    /// The login ended without an answer (the peer left, the server was busy).
    pub fn abandoned(&mut self, way: Way, account: &str, address: IpAddr, now: Instant) {
        let pair = self.pairs.touch(&(way, account.to_owned(), network(address)), now);
        pair.pending = pair.pending.saturating_sub(1);
    }

    #[cfg(test)]
    fn entries(&self) -> usize {
        self.pairs.entries.len().max(self.addresses.entries.len()).max(self.accounts.entries.len())
    }
}

fn total_delay(failures: u32) -> Duration {
    DELAY_STEP.saturating_mul(failures.saturating_sub(TOTAL_FAILURES_FREE)).min(DELAY_MAX)
}

/// One household or host has a whole IPv6 /64; IPv4 in IPv6 counts as IPv4.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn check_delay(verdict: Verdict) -> Duration {
        match verdict {
            Verdict::Check { after } => after,
            other => panic!("not checked: {other:?}"),
        }
    }

    fn fail(limiter: &mut LoginLimiter, account: &str, address: IpAddr, now: Instant) {
        check_delay(limiter.begin(Way::Mqtt, account, address, now));
        limiter.failed(Way::Mqtt, account, address, now);
    }

    #[test]
    fn hammering_one_account_locks_out_that_pair_alone() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        for _ in 0..PAIR_FAILURES_MAX {
            fail(&mut limiter, "ana", HERE, now);
        }
        assert_eq!(limiter.begin(Way::Mqtt, "ana", HERE, now), Verdict::LockedOut);
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "bob", HERE, now)), Duration::ZERO);
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "ana", THERE, now)), Duration::ZERO);
    }

    #[test]
    fn a_program_with_an_old_password_keeps_no_one_from_the_dashboard_and_gains_no_guesses() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        for _ in 0..PAIR_FAILURES_MAX {
            fail(&mut limiter, "ana", HERE, now);
        }
        for number in 0..1_000 {
            fail(&mut limiter, &format!("guess{number}"), HERE, now);
        }
        assert_eq!(check_delay(limiter.begin(Way::Dashboard, "ana", HERE, now)), Duration::ZERO);
        assert_eq!(check_delay(limiter.begin(Way::Dashboard, "bob", HERE, now)), Duration::ZERO);
        for host in 0..100 {
            fail(&mut limiter, "ana", IpAddr::from([198, 51, 100, host]), now);
        }
        assert_eq!(check_delay(limiter.begin(Way::Dashboard, "ana", THERE, now)), DELAY_MAX);
    }

    #[test]
    fn a_lockout_ends_and_grows_with_the_next_failure() {
        let (mut limiter, start) = (LoginLimiter::new(), Instant::now());
        for _ in 0..PAIR_FAILURES_MAX {
            fail(&mut limiter, "ana", HERE, start);
        }
        let later = start + LOCKOUT_MIN;
        fail(&mut limiter, "ana", HERE, later);
        assert_eq!(limiter.begin(Way::Mqtt, "ana", HERE, later + LOCKOUT_MIN), Verdict::LockedOut);
        assert!(matches!(
            limiter.begin(Way::Mqtt, "ana", HERE, later + 2 * LOCKOUT_MIN),
            Verdict::Check { .. }
        ));
    }

    #[test]
    fn spraying_accounts_only_delays_others_and_not_who_was_here_before() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        check_delay(limiter.begin(Way::Mqtt, "known", HERE, now));
        limiter.succeeded(Way::Mqtt, "known", HERE, now);
        for number in 0..1_000 {
            fail(&mut limiter, &format!("guess{number}"), HERE, now);
        }
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "newcomer", HERE, now)), DELAY_MAX);
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "known", HERE, now)), Duration::ZERO);
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "newcomer", THERE, now)), Duration::ZERO);
    }

    #[test]
    fn an_account_attacked_from_many_addresses_is_delayed_never_shut() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        for host in 0..200 {
            fail(&mut limiter, "ana", IpAddr::from([198, 51, 100, host]), now);
        }
        assert_eq!(check_delay(limiter.begin(Way::Mqtt, "ana", THERE, now)), DELAY_MAX);
    }

    #[test]
    fn logins_side_by_side_cannot_guess_more_often_than_one_by_one() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        let checked = (0..100)
            .filter(|_| matches!(limiter.begin(Way::Mqtt, "ana", HERE, now), Verdict::Check { .. }))
            .count();
        assert_eq!(checked, PAIR_FAILURES_MAX as usize);
        limiter.succeeded(Way::Mqtt, "ana", HERE, now);
        assert!(matches!(limiter.begin(Way::Mqtt, "ana", HERE, now), Verdict::Check { .. }));
    }

    #[test]
    fn a_peer_that_leaves_before_the_answer_blocks_no_one() {
        let (mut limiter, now) = (LoginLimiter::new(), Instant::now());
        for _ in 0..100 {
            check_delay(limiter.begin(Way::Mqtt, "ana", HERE, now));
            limiter.abandoned(Way::Mqtt, "ana", HERE, now);
        }
        assert!(matches!(limiter.begin(Way::Mqtt, "ana", HERE, now), Verdict::Check { .. }));
    }

    #[test]
    fn tables_stay_bounded() {
        let (mut limiter, start) = (LoginLimiter::new(), Instant::now());
        for number in 0..TABLE_ENTRIES_MAX + 50 {
            let now = start + Duration::from_millis(number as u64 / 100);
            fail(&mut limiter, &format!("u{number}"), HERE, now);
        }
        assert_eq!(limiter.entries(), TABLE_ENTRIES_MAX);
    }

    #[test]
    fn addresses_of_one_ipv6_network_count_as_one() {
        let a: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let b: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network(a), network(b));
        assert_ne!(network(a), network("2001:db8:1:3::1".parse().unwrap()));
        assert_eq!(network("::ffff:192.0.2.1".parse().unwrap()), HERE);
    }
}

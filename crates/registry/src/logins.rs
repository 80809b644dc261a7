//! Logging in with a name and a password: one desk for every way in, MQTT and the dashboard. All of them share its memory and its
//! record; how its limits know them apart, [`LoginLimiter`] says. It knows no protocol.
//!
//! Passwords are checked off the reactor, [`LoginLimits::checks_max`] at once, in memory that is used again; the logins behind
//! them wait in a bounded queue. How fast passwords may be guessed is [`LoginLimiter`]'s decision.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc, watch};
use vitalwire_access::{HashMemory, LoginLimiter, UserName, Verdict, Way};
use zeroize::Zeroizing;

use crate::directory::Directory;
use crate::limits::LoginLimits;
use crate::user::User;

/// Account under which logins with impossible names are counted.
const IMPOSSIBLE: &str = "";

/// Someone logged in, or was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name that was given; any text when not accepted.
    pub user: String,
    /// From where.
    pub peer: SocketAddr,
    /// Whether it was let in.
    pub accepted: bool,
}

/// Why someone is not let in. Peers are told the same for the first two: it must not show which names exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum LoginRefusal {
    /// There is no such user, or it has another password.
    #[error("the user name or the password is wrong")]
    WrongPassword,
    /// Too many wrong passwords for that account from that address.
    #[error("too many wrong passwords from there; try again later")]
    LockedOut,
    #[error("too many logins at once; try again")]
    Busy,
}

/// See the module.
pub struct Logins {
    directory: watch::Receiver<Arc<Directory>>,
    limiter: Mutex<LoginLimiter>,
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    memories: Arc<Mutex<Vec<HashMemory>>>,
    records: mpsc::Sender<Login>,
    records_taker: Mutex<Option<mpsc::Receiver<Login>>>,
    limits: LoginLimits,
}

impl fmt::Debug for Logins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logins").finish_non_exhaustive()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Logins {
    /// For the users of the directory, as it changes.
    #[must_use]
    pub fn new(directory: watch::Receiver<Arc<Directory>>, limits: LoginLimits) -> Self {
        let (records, taker) = mpsc::channel(limits.records_waiting_max);
        Self {
            directory,
            limiter: Mutex::new(LoginLimiter::new()),
            turns: Arc::new(Semaphore::new(limits.checks_max)),
            waiting: Arc::new(Semaphore::new(limits.waiting_max)),
            memories: Arc::default(),
            records,
            records_taker: Mutex::new(Some(taker)),
            limits,
        }
    }

    /// The directory that users are looked up in.
    #[must_use]
    pub fn directory(&self) -> watch::Receiver<Arc<Directory>> {
        self.directory.clone()
    }

    /// The user as it is now.
    #[must_use]
    pub fn user(&self, name: &str) -> Option<Arc<User>> {
        self.directory.borrow().users.get(name).cloned()
    }

    /// Checks a name and a password that came from an address. May take seconds; dropping the future counts as neither
    /// success nor failure.
    ///
    /// # Errors
    /// When they are not let in; [`LoginRefusal`] says why.
    pub async fn check(
        &self,
        way: Way,
        name: &str,
        password: &[u8],
        address: IpAddr,
    ) -> Result<Arc<User>, LoginRefusal> {
        // All names that no one can have share one entry, so that long ones fill no table.
        let account = if name.parse::<UserName>().is_ok() { name } else { IMPOSSIBLE };
        let begun = Instant::now();
        let delay = loop {
            let verdict = locked(&self.limiter).begin(way, account, address, Instant::now());
            match verdict {
                Verdict::Check { after } => break after,
                Verdict::Wait(time) if begun.elapsed() < self.limits.wait_max => {
                    tokio::time::sleep(time).await
                }
                Verdict::Wait(_) => return Err(LoginRefusal::Busy),
                Verdict::LockedOut => return Err(LoginRefusal::LockedOut),
            }
        };
        let mut attempt = Attempt { limiter: &self.limiter, way, account, address, outcome: None };
        tokio::time::sleep(delay).await;
        let user = self.user(name);
        let right = self.verify(user.clone(), password).await?;
        attempt.outcome = Some(right);
        drop(attempt);
        user.filter(|_| right).ok_or(LoginRefusal::WrongPassword)
    }

    /// Waits for a turn and checks the password off the reactor; for a user that does not exist it takes as long.
    async fn verify(&self, user: Option<Arc<User>>, password: &[u8]) -> Result<bool, LoginRefusal> {
        let place = Arc::clone(&self.waiting).try_acquire_owned().map_err(|_| LoginRefusal::Busy)?;
        let turn = tokio::time::timeout(self.limits.wait_max, Arc::clone(&self.turns).acquire_owned()).await;
        drop(place);
        let Ok(Ok(turn)) = turn else { return Err(LoginRefusal::Busy) };
        let password = Zeroizing::new(password.to_vec());
        let (memories, waiting) = (Arc::clone(&self.memories), Arc::clone(&self.waiting));
        let waiting_max = self.limits.waiting_max;
        let checked = tokio::task::spawn_blocking(move || {
            let mut memory = locked(&memories).pop().unwrap_or_default();
            let right = match user {
                Some(user) => user.password_hash.verify(&password, &mut memory),
                None => {
                    memory.verify_absent(&password);
                    false
                }
            };
            // Kept for the logins that wait; the last one gives all of it back to the system.
            let mut kept = locked(&memories);
            if waiting.available_permits() < waiting_max {
                kept.push(memory);
            } else {
                kept.clear();
            }
            drop(kept);
            // Held until here, also when no one waits for the answer any more: there are never more memories than turns.
            drop(turn);
            right
        });
        Ok(checked.await.unwrap_or(false))
    }

    /// Notes a login for the record. `user` may be any text when it was not accepted.
    pub fn record(&self, user: &str, peer: SocketAddr, accepted: bool) {
        let _ = self.records.try_send(Login { user: user.to_owned(), peer, accepted });
    }

    /// The logins from now on, for the one who keeps the record; `None` when someone has them already. What is not taken in
    /// time is dropped.
    #[must_use]
    pub fn records(&self) -> Option<mpsc::Receiver<Login>> {
        locked(&self.records_taker).take()
    }
}

/// A login being checked; whatever becomes of it is told, also when the peer leaves and the task is dropped.
struct Attempt<'a> {
    limiter: &'a Mutex<LoginLimiter>,
    way: Way,
    account: &'a str,
    address: IpAddr,
    outcome: Option<bool>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let (mut limiter, now) = (locked(self.limiter), Instant::now());
        match self.outcome {
            Some(true) => limiter.succeeded(self.way, self.account, self.address, now),
            Some(false) => limiter.failed(self.way, self.account, self.address, now),
            None => limiter.abandoned(self.way, self.account, self.address, now),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::task::JoinSet;
    use vitalwire_access::{PasswordHash, Role};

    use super::*;

    fn logins(names: &[&str]) -> Arc<Logins> {
        let password_hash = PasswordHash::new("correct horse", &[7; 16]).unwrap();
        let users = names.iter().map(|name| {
            let user =
                User { name: name.parse().unwrap(), role: Role::Admin, password_hash: password_hash.clone() };
            (user.name.clone(), Arc::new(user))
        });
        let users = Arc::new(users.collect());
        let directory = watch::channel(Arc::new(Directory { users, ..Directory::default() })).1;
        Arc::new(Logins::new(directory, LoginLimits::default()))
    }

    fn address(host: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, host])
    }

    #[tokio::test]
    async fn only_the_right_password_gets_in_and_five_wrong_ones_lock_out() {
        let logins = logins(&["ana"]);
        assert_eq!(
            logins.check(Way::Mqtt, "ana", b"correct horse", address(1)).await.unwrap().name.as_str(),
            "ana"
        );
        for _ in 0..5 {
            let refused = logins.check(Way::Mqtt, "ana", b"wrong", address(1)).await;
            assert_eq!(refused, Err(LoginRefusal::WrongPassword));
        }
        let locked_out = logins.check(Way::Mqtt, "ana", b"correct horse", address(1)).await;
        assert_eq!(locked_out, Err(LoginRefusal::LockedOut));
        assert!(logins.check(Way::Mqtt, "ana", b"correct horse", address(2)).await.is_ok());
        let absent = logins.check(Way::Mqtt, "no one", b"correct horse", address(1)).await;
        assert_eq!(absent, Err(LoginRefusal::WrongPassword));
    }

    #[tokio::test]
    async fn fifty_logins_at_once_share_two_memories_and_leave_none() {
        let names: Vec<String> = (0..50).map(|number| format!("u{number}")).collect();
        let logins = logins(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let mut all = JoinSet::new();
        for name in names {
            let logins = Arc::clone(&logins);
            all.spawn(async move {
                // A busy machine may make some wait too long: they ask again, as clients do.
                loop {
                    match logins.check(Way::Mqtt, &name, b"correct horse", address(1)).await {
                        Err(LoginRefusal::Busy) => {}
                        done => return done.map(drop),
                    }
                }
            });
        }
        let mut kept_max = 0;
        while let Some(done) = all.join_next().await {
            assert_eq!(done.unwrap(), Ok(()));
            kept_max = kept_max.max(locked(&logins.memories).len());
        }
        assert!((1..=logins.limits.checks_max).contains(&kept_max), "{kept_max} memories were kept");
        assert!(locked(&logins.memories).is_empty(), "memory is kept though no one waits");
    }

    #[tokio::test]
    async fn a_full_queue_tells_that_the_server_is_busy() {
        let logins = logins(&["ana"]);
        let _turns = logins.turns.acquire_many(2).await.unwrap();
        let _waiting = logins.waiting.acquire_many(64).await.unwrap();
        assert_eq!(
            logins.check(Way::Mqtt, "ana", b"correct horse", address(1)).await,
            Err(LoginRefusal::Busy)
        );
    }
}

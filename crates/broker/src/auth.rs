//! Who may log in, and what it may do then: the broker crate asks here. Users come from the registry's directory; there
//! are no anonymous clients. Passwords are checked off the reactor, few at once; no password is kept.

use crate::acl;
use crate::connections::{Admitted, CONNECTION, Connection, Connections};
use crate::counters::Counters;
use crate::login_limit::{LoginLimiter, Verdict};
use crate::wills::Wills;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use mqtt5_protocol::packet::connect::ConnectPacket;
use mqtt5_protocol::protocol::v5::reason_codes::ReasonCode;
use std::future::{Future, ready};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, mpsc, watch};
use tracing::{info, warn};
use vitalwire_access::Role;
use vitalwire_registry::{Directory, User, verify_absent};
use zeroize::Zeroizing;

/// Passwords checked at once; each takes about 19 MiB and tens of milliseconds of a core.
const CHECKS_AT_ONCE: usize = 2;
/// Logins that wait for their turn; one more is told that the server is busy.
const WAITING_MAX: usize = 64;
/// The longest wait for a turn. With the longest delay of [`crate::login_limit`] it stays below the CONNECT deadline.
const WAIT_MAX: Duration = Duration::from_secs(4);
/// Account under which logins with impossible names are counted.
const NOBODY: &str = "";

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See the module.
pub(crate) struct Gate {
    pub(crate) users: watch::Receiver<Arc<Directory>>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) memory: Arc<DynamicStorage>,
    pub(crate) wills: Arc<Wills>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sessions_per_user_max: usize,
    /// For whoever keeps a record. Full, or without a taker, logins go unrecorded here; they are in the log.
    logins: mpsc::Sender<Login>,
    logins_taker: Mutex<Option<mpsc::Receiver<Login>>>,
    limiter: Mutex<LoginLimiter>,
    turns: Arc<Semaphore>,
    waiting: Semaphore,
}

/// Logins that wait to be recorded.
const LOGINS_WAITING_MAX: usize = 1_024;

/// Somebody logged in, or was not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// The name that was given; any text when not accepted.
    pub user: String,
    /// From where.
    pub peer: SocketAddr,
    /// Whether it was let in.
    pub accepted: bool,
}

/// Why somebody is not let in.
enum Refusal {
    NoCredentials,
    LockedOut,
    WrongPassword,
    Busy,
    WillNotAllowed { topic: String },
    ClientIdOfAnother { owner: String },
    TooManySessions,
}

impl Gate {
    pub(crate) fn new(
        users: watch::Receiver<Arc<Directory>>,
        connections: Arc<Connections>,
        memory: Arc<DynamicStorage>,
        wills: Arc<Wills>,
        counters: Arc<Counters>,
        sessions_per_user_max: usize,
    ) -> Self {
        let (logins, taker) = mpsc::channel(LOGINS_WAITING_MAX);
        Self {
            logins,
            logins_taker: Mutex::new(Some(taker)),
            users,
            connections,
            memory,
            wills,
            counters,
            sessions_per_user_max,
            limiter: Mutex::new(LoginLimiter::new()),
            turns: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
            waiting: Semaphore::new(WAITING_MAX),
        }
    }

    /// The logins from now on; `None` when somebody has taken them.
    pub(crate) fn logins(&self) -> Option<mpsc::Receiver<Login>> {
        self.logins_taker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn report(&self, user: Option<&str>, peer: SocketAddr, accepted: bool) {
        let login = Login { user: user.unwrap_or_default().to_owned(), peer, accepted };
        let _ = self.logins.try_send(login);
    }

    fn limiter(&self) -> MutexGuard<'_, LoginLimiter> {
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user as it is now.
    fn user(&self, name: &str) -> Option<Arc<User>> {
        self.users.borrow().users.get(name).cloned()
    }

    fn role_allows(&self, user: Option<&str>, allows: impl FnOnce(&Role) -> bool) -> bool {
        user.and_then(|name| self.user(name)).is_some_and(|user| allows(&user.role))
    }

    async fn log_in(&self, connect: &ConnectPacket, connection: &Connection) -> Result<Arc<User>, Refusal> {
        let (Some(name), Some(password)) = (connect.username.as_deref(), connect.password.as_deref()) else {
            return Err(Refusal::NoCredentials);
        };
        let user = self.user(name);
        // All names that no one can have share one entry, so that long ones fill no table.
        let account = if name.parse::<vitalwire_access::UserName>().is_ok() { name } else { NOBODY };
        let user = self.check(account, user, password, connection.peer.ip()).await?;
        self.judge_will(connect, &user)?;
        self.claim_client_id(connect, &user).await?;
        Ok(user)
    }

    async fn check(
        &self,
        account: &str,
        user: Option<Arc<User>>,
        password: &[u8],
        address: IpAddr,
    ) -> Result<Arc<User>, Refusal> {
        let begun = Instant::now();
        let delay = loop {
            let verdict = self.limiter().begin(account, address, Instant::now());
            match verdict {
                Verdict::Check { after } => break after,
                Verdict::Wait(time) if begun.elapsed() < WAIT_MAX => tokio::time::sleep(time).await,
                Verdict::Wait(_) => return Err(Refusal::Busy),
                Verdict::LockedOut => return Err(Refusal::LockedOut),
            }
        };
        let mut attempt = Attempt { gate: self, account, address, outcome: None };
        tokio::time::sleep(delay).await;
        let right = self.verify(user.clone(), password).await?;
        attempt.outcome = Some(right);
        drop(attempt);
        user.filter(|_| right).ok_or(Refusal::WrongPassword)
    }

    /// Waits for a turn and checks the password off the reactor; for a user that does not exist it takes as long.
    async fn verify(&self, user: Option<Arc<User>>, password: &[u8]) -> Result<bool, Refusal> {
        let waiting = self.waiting.try_acquire().map_err(|_| Refusal::Busy)?;
        let turn = tokio::time::timeout(WAIT_MAX, Arc::clone(&self.turns).acquire_owned()).await;
        drop(waiting);
        let Ok(Ok(turn)) = turn else { return Err(Refusal::Busy) };
        let password = Zeroizing::new(password.to_vec());
        let checked = tokio::task::spawn_blocking(move || {
            // Held until the check is done, also when no one waits for it any more.
            let _turn = turn;
            match user {
                Some(user) => user.verify(&password),
                None => {
                    verify_absent(&password);
                    false
                }
            }
        });
        Ok(checked.await.unwrap_or(false))
    }

    fn judge_will(&self, connect: &ConnectPacket, user: &User) -> Result<(), Refusal> {
        match &connect.will {
            Some(will) if !acl::may_publish(&user.role, &will.topic) => {
                Err(Refusal::WillNotAllowed { topic: will.topic.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Makes the client id this user's. Without this, a clean start would end and discard another user's session.
    async fn claim_client_id(&self, connect: &ConnectPacket, user: &User) -> Result<(), Refusal> {
        let (client_id, name) = (connect.client_id.as_str(), user.name.as_str());
        self.connections.claim(client_id, name).map_err(|owner| Refusal::ClientIdOfAnother { owner })?;
        let refused = match self.memory.get_session(client_id).await.ok().flatten() {
            Some(session) => session
                .user_id
                .filter(|owner| owner != name)
                .map(|owner| Refusal::ClientIdOfAnother { owner }),
            None => (self.sessions_of(name).await >= self.sessions_per_user_max)
                .then_some(Refusal::TooManySessions),
        };
        match refused {
            None => Ok(()),
            Some(refusal) => {
                self.connections.release(client_id);
                Err(refusal)
            }
        }
    }

    async fn sessions_of(&self, user: &str) -> usize {
        let mut count = 0;
        for client_id in self.memory.session_client_ids().await.unwrap_or_default() {
            let session = self.memory.get_session(&client_id).await.ok().flatten();
            count += usize::from(session.is_some_and(|session| session.user_id.as_deref() == Some(user)));
        }
        count
    }

    fn refuse(&self, connect: &ConnectPacket, peer: SocketAddr, refusal: &Refusal) -> AuthResult {
        let (client_id, user) = (connect.client_id.as_str(), connect.username.as_deref().unwrap_or("-"));
        let reason = match refusal {
            // One answer for all that concerns name and password: it must not tell which names exist.
            Refusal::NoCredentials | Refusal::WrongPassword | Refusal::LockedOut => {
                ReasonCode::BadUsernameOrPassword
            }
            Refusal::Busy => ReasonCode::ServerBusy,
            Refusal::TooManySessions => ReasonCode::QuotaExceeded,
            Refusal::WillNotAllowed { .. } | Refusal::ClientIdOfAnother { .. } => ReasonCode::NotAuthorized,
        };
        match refusal {
            Refusal::NoCredentials => {
                info!(%peer, client_id, "MQTT login refused: no user name and password given")
            }
            Refusal::WrongPassword => info!(%peer, client_id, ?user, "MQTT login failed"),
            Refusal::LockedOut => {
                warn!(%peer, client_id, ?user, "MQTT login refused: too many failures from there")
            }
            Refusal::Busy => warn!(%peer, client_id, ?user, "MQTT login refused: too many logins at once"),
            Refusal::WillNotAllowed { topic } => {
                info!(%peer, client_id, ?user, ?topic, "MQTT connection refused: this user may not leave a will there");
            }
            Refusal::ClientIdOfAnother { owner } => {
                warn!(%peer, client_id, ?user, ?owner, "MQTT connection refused: the client id belongs to another user");
            }
            Refusal::TooManySessions => {
                let sessions_max = self.sessions_per_user_max;
                warn!(%peer, client_id, ?user, sessions_max, "MQTT connection refused: the user has too many sessions");
            }
        }
        if reason == ReasonCode::BadUsernameOrPassword {
            self.counters.failed_login();
        }
        AuthResult::fail(reason)
    }
}

/// A login being checked; whatever becomes of it is reported, also when the peer leaves and the task is dropped.
struct Attempt<'a> {
    gate: &'a Gate,
    account: &'a str,
    address: IpAddr,
    outcome: Option<bool>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut limiter = self.gate.limiter();
        let now = Instant::now();
        match self.outcome {
            Some(true) => limiter.succeeded(self.account, self.address, now),
            Some(false) => limiter.failed(self.account, self.address, now),
            None => limiter.abandoned(self.account, self.address, now),
        }
    }
}

impl AuthProvider for Gate {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        peer: SocketAddr,
    ) -> Answer<'a, mqtt5::Result<AuthResult>> {
        Box::pin(async move {
            let Ok(connection) = CONNECTION.try_with(Arc::clone) else {
                return Ok(AuthResult::fail(ReasonCode::NotAuthorized));
            };
            match self.log_in(connect, &connection).await {
                Ok(user) => {
                    let name = user.name.to_string();
                    self.report(Some(&name), peer, true);
                    self.wills.forget(&connect.client_id);
                    let (client_id, will) = (connect.client_id.clone(), connect.will.clone());
                    connection.admit(Admitted { user, client_id, will });
                    // The user may have changed while its password was checked.
                    self.connections.cut_outdated(&self.users.borrow());
                    Ok(AuthResult::success_with_user(name))
                }
                Err(refusal) => {
                    self.report(connect.username.as_deref(), peer, false);
                    Ok(self.refuse(connect, peer, &refusal))
                }
            }
        })
    }

    fn authorize_publish<'a>(
        &'a self,
        client_id: &str,
        user_id: Option<&'a str>,
        topic: &'a str,
    ) -> Answer<'a, bool> {
        let allowed = self.role_allows(user_id, |role| acl::may_publish(role, topic));
        // The broker crate would add the sender's name and client id to a will; ours goes out without them.
        let is_will = self.wills.take_over(client_id, allowed);
        Box::pin(ready(allowed && !is_will))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _client_id: &str,
        user_id: Option<&'a str>,
        filter: &'a str,
    ) -> Answer<'a, bool> {
        Box::pin(ready(self.role_allows(user_id, |role| acl::may_subscribe(role, filter))))
    }

    fn cleanup_session<'a>(&'a self, _user_id: &'a str) -> Answer<'a, ()> {
        let _ = CONNECTION.try_with(|connection| {
            connection.begin_closing();
            self.wills.keep_delayed(connection);
        });
        Box::pin(ready(()))
    }
}

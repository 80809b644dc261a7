//! What all requests share, and who makes one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use tokio::sync::{Mutex as AsyncMutex, Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitalwire_access::{DeviceId, Proxies, Role};
use vitalwire_gateway::{DashboardCounters, ServerHandle};
use vitalwire_registry::{ApiToken, Logins, TokenHash, User};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::failure::Failure;
use crate::guard::{self, Hosts};
use crate::hub::Hub;
use crate::limits::DashboardLimits;
use crate::people::People;
use crate::session::{Known, Sessions, StoreError, Token};
use crate::sign_on::SignOn;
use crate::time::now_ms;

/// Where a proxy says for whom a request is.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Looks, and uses of tokens, are on record once an hour.
const HOUR_MS: i64 = 3_600_000;
/// Whose logins those are that were tried with what is no token.
const UNKNOWN_TOKEN: &str = "unknown token";

pub(crate) struct App {
    pub(crate) server: ServerHandle,
    pub(crate) logins: Arc<Logins>,
    /// For who changes something: the lock is held while the disk works.
    pub(crate) sessions: Arc<AsyncMutex<Sessions>>,
    /// For who only looks.
    pub(crate) known: Arc<Known>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) people: People,
    pub(crate) looks: Looks,
    pub(crate) counters: DashboardCounters,
    pub(crate) used: Uses,
    pub(crate) hosts: Hosts,
    /// What TLS is spoken with; nothing on this machine alone.
    pub(crate) certificate: Option<Certificate>,
    /// Who says in `X-Forwarded-For` for whom a request is.
    pub(crate) proxies: Proxies,
    /// The provider at which people may log in instead.
    pub(crate) sign_on: Option<SignOn>,
    /// Browsers send a cookie to every port of a machine: each dashboard there has one of its own.
    pub(crate) cookie: String,
    pub(crate) limits: DashboardLimits,
    pub(crate) histories: Semaphore,
    pub(crate) previews: Semaphore,
    pub(crate) live: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Who asks, as the log of who looked and who acknowledged has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asker {
    pub(crate) name: AskerName,
    pub(crate) role: Role,
}

/// The name of a user, or `token NAME`, which no user can have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct AskerName(Arc<str>);

impl AskerName {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for AskerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl Asker {
    fn user(user: &User) -> Self {
        Self { name: AskerName(user.name.as_str().into()), role: user.role.clone() }
    }

    fn program(token: &ApiToken) -> Self {
        Self { name: AskerName(format!("token {}", token.name).into()), role: token.role.clone() }
    }
}

/// By what someone is admitted.
#[derive(Clone)]
pub(crate) enum Pass {
    /// A browser, by its session.
    Session(Token),
    /// A program, by its token.
    Token(TokenHash),
}

/// Someone who was admitted.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) user: Arc<Asker>,
    pub(crate) pass: Pass,
    pub(crate) peer: SocketAddr,
}

/// The other end of the connection that a request came by.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

impl FromRequestParts<Arc<App>> for Person {
    type Rejection = Failure;

    /// Whom the route's rule admitted; a route for anyone knows no one.
    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Failure> {
        parts.extensions.get::<Self>().cloned().ok_or(Failure::LoggedOut)
    }
}

/// How long the parts of a request may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience(pub(crate) Duration);

/// Where a request came from.
pub(crate) fn peer(parts: &Parts) -> SocketAddr {
    let unknown = Peer(([0, 0, 0, 0], 0).into());
    parts.extensions.get().copied().unwrap_or(unknown).0
}

impl App {
    /// Who sent a request. Who sends a token is the program of that token or no one, whatever cookie comes along.
    pub(crate) fn person(&self, parts: &Parts) -> Result<Person, Failure> {
        let peer = peer(parts);
        let pass = match guard::bearer(&parts.headers) {
            Some(token) => Pass::Token(TokenHash::of(token)),
            None => Pass::Session(self.token(&parts.headers).ok_or(Failure::LoggedOut)?),
        };
        let Some(user) = self.admitted(&pass) else {
            return Err(match pass {
                Pass::Session(_) => Failure::LoggedOut,
                Pass::Token(_) => {
                    self.note_login(UNKNOWN_TOKEN, peer, false);
                    Failure::Token
                }
            });
        };
        if matches!(pass, Pass::Token(_)) && self.used.is_first((user.name.clone(), peer.ip()), now_ms()) {
            self.note_login(user.name.as_str(), peer, true);
        }
        Ok(Person { user, pass, peer })
    }

    /// Who has this pass, if it opens something now; of a session that is a use.
    pub(crate) fn admitted(&self, pass: &Pass) -> Option<Arc<Asker>> {
        let asker = match pass {
            Pass::Session(token) => {
                Asker::user(&*self.known.find(token, now_ms(), |name| self.logins.user(name.as_str()))?)
            }
            Pass::Token(hash) => {
                Asker::program(self.logins.directory().borrow().token(hash, SystemTime::now())?)
            }
        };
        Some(Arc::new(asker))
    }

    /// Whether it speaks TLS itself.
    pub(crate) fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// The names of its certificate.
    pub(crate) fn names(&self) -> Arc<[String]> {
        self.certificate.as_ref().map_or_else(Arc::default, Certificate::names)
    }

    /// For whom a request is that this peer sent. The port is always the peer's: of another one nothing is told.
    ///
    /// # Errors
    /// A proxy of ours must say it.
    pub(crate) fn sender(&self, peer: SocketAddr, headers: &HeaderMap) -> Result<SocketAddr, Failure> {
        if !self.proxies.contains(peer.ip()) {
            return Ok(peer);
        }
        let values = headers.get_all(FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or_default());
        let address = self.proxies.forwarded_for(values).ok_or(Failure::NotForwarded)?;
        Ok(SocketAddr::new(address, peer.port()))
    }

    /// Counts a login, and puts it on record. `name` may be any text when it was refused.
    pub(crate) fn note_login(&self, name: &str, peer: SocketAddr, is_accepted: bool) {
        self.counters.note_login(is_accepted);
        self.logins.record(name, peer, is_accepted);
    }

    /// The session's id that a browser sent.
    pub(crate) fn token(&self, headers: &HeaderMap) -> Option<Token> {
        Self::cookie(headers, &self.cookie)
    }

    /// A cookie that a browser sent. Of two no one knows which is our own: another server on this machine may have set one.
    pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<Token> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|one| one.trim().split_once('='));
        let mut own = pairs.filter(|(found, _)| *found == name).map(|(_, value)| value);
        let token = own.next()?;
        own.next().is_none().then(|| Zeroizing::new(token.to_owned()))
    }

    /// Changes sessions, on the disk too.
    pub(crate) async fn change_sessions<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Sessions) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Failure> {
        let mut sessions = Arc::clone(&self.sessions).lock_owned().await;
        let changed = tokio::task::spawn_blocking(move || change(&mut sessions)).await;
        changed.expect("what changes sessions does not panic").map_err(|error| {
            tracing::error!(%error, "a session could not be written");
            Failure::NotWritten
        })
    }

    /// A device that this person sees, by its name.
    pub(crate) fn device(&self, person: &Person, name: &str) -> Result<DeviceId, Failure> {
        let device = name.parse::<DeviceId>().ok().filter(|device| person.user.role.sees(device));
        let known = device.filter(|device| self.hub.look(|ward| ward.device(device).is_some()));
        known.ok_or(Failure::UnknownDevice)
    }

    /// Waits for a turn. Whoever waited is looked at again: meanwhile the user may see less, or be logged out.
    pub(crate) async fn turn<'a>(
        &self,
        turns: &'a Semaphore,
        person: &Person,
    ) -> Result<(SemaphorePermit<'a>, Person), Failure> {
        let turn = turns.acquire().await.map_err(|_| Failure::Busy)?;
        let user = self.admitted(&person.pass).ok_or(Failure::LoggedOut)?;
        Ok((turn, Person { user, ..person.clone() }))
    }

    /// Puts on record that a person looks at these devices: once a user, device and hour. A full disk keeps no one from looking
    /// at a patient; what could not be written is tried again at the next look.
    pub(crate) async fn look(self: &Arc<Self>, person: &Person, devices: Vec<(u16, DeviceId)>) {
        if let Some(look) = self.begin_look(person, devices) {
            // It is logged.
            let _ = look.await;
        }
    }

    /// The same of one device, if it is known here.
    pub(crate) async fn look_at(self: &Arc<Self>, person: &Person, device: &DeviceId) {
        if let Some(n) = self.hub.look(|ward| ward.device(device).map(|shown| shown.n)) {
            self.look(person, vec![(n, device.clone())]).await;
        }
    }

    /// The same beside all else, if something is to be written; it goes on when no one waits. Tells whether it was written.
    pub(crate) fn begin_look(
        self: &Arc<Self>,
        person: &Person,
        devices: Vec<(u16, DeviceId)>,
    ) -> Option<JoinHandle<bool>> {
        let user = person.user.name.clone();
        let fresh = self.looks.fresh(&user, devices, now_ms());
        let (app, address) = (Arc::clone(self), person.peer.ip());
        (!fresh.is_empty()).then(|| tokio::spawn(async move { app.record_look(user, address, fresh).await }))
    }

    async fn record_look(&self, user: AskerName, address: IpAddr, fresh: Vec<(u16, DeviceId)>) -> bool {
        let (numbers, devices): (Vec<u16>, Vec<DeviceId>) = fresh.into_iter().unzip();
        let detail = format!("in the dashboard, from {address}");
        let written = self.people.record_looks(user.to_string(), devices, detail).await;
        if let Err(error) = &written {
            tracing::error!(%error, %user, "a look at patients could not be recorded");
            self.looks.forget(&user, &numbers);
        }
        written.is_ok()
    }

    /// The devices that a person sees, with their numbers.
    pub(crate) fn seen_by(&self, person: &Person) -> Vec<(u16, DeviceId)> {
        let sees = |(id, device): (&DeviceId, &crate::api::Device)| {
            person.user.role.sees(id).then(|| (device.n, id.clone()))
        };
        self.hub.look(|ward| ward.devices().filter_map(sees).collect())
    }
}

/// What was on record already this hour, so that it is there once.
pub(crate) struct OnceAnHour<T>(Mutex<OfHour<T>>);

struct OfHour<T> {
    hour: i64,
    seen: BTreeSet<T>,
}

/// Who looked at which device.
pub(crate) type Looks = OnceAnHour<(AskerName, u16)>;
/// Which token was used, and from where.
pub(crate) type Uses = OnceAnHour<(AskerName, IpAddr)>;

impl<T> Default for OnceAnHour<T> {
    fn default() -> Self {
        Self(Mutex::new(OfHour { hour: 0, seen: BTreeSet::new() }))
    }
}

impl<T: Ord> OnceAnHour<T> {
    /// Whether it was not on record yet; from now on it is.
    fn is_first(&self, what: T, now_ms: i64) -> bool {
        self.of_hour(now_ms).seen.insert(what)
    }

    fn of_hour(&self, now_ms: i64) -> MutexGuard<'_, OfHour<T>> {
        let mut of_hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now_ms.div_euclid(HOUR_MS);
        if of_hour.hour != hour {
            *of_hour = OfHour { hour, seen: BTreeSet::new() };
        }
        of_hour
    }
}

impl Looks {
    /// Those that are not on record yet; from now on they are.
    fn fresh(&self, user: &AskerName, devices: Vec<(u16, DeviceId)>, now_ms: i64) -> Vec<(u16, DeviceId)> {
        let mut of_hour = self.of_hour(now_ms);
        devices.into_iter().filter(|(n, _)| of_hour.seen.insert((user.clone(), *n))).collect()
    }

    fn forget(&self, user: &AskerName, numbers: &[u16]) {
        let mut of_hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        of_hour.seen.retain(|(of, n)| of != user || !numbers.contains(n));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_is_new_once_a_user_device_and_hour() {
        let looks = Looks::default();
        let devices = || vec![(0, "a".parse().unwrap()), (1, "b".parse().unwrap())];
        let [one, other] = ["ana", "bo"].map(|name| AskerName(name.into()));
        assert_eq!(looks.fresh(&one, devices(), 0).len(), 2);
        assert!(looks.fresh(&one, devices(), HOUR_MS - 1).is_empty());
        assert_eq!(looks.fresh(&other, devices(), 0).len(), 2);
        looks.forget(&one, &[1]);
        assert_eq!(looks.fresh(&one, devices(), 0), devices()[1..]);
        assert_eq!(looks.fresh(&one, devices(), HOUR_MS).len(), 2);
    }
}

//! What all requests share, and who makes one.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use vitalwire_access::{DeviceId, Proxies, UserName};
use vitalwire_gateway::{DashboardCounters, ServerHandle};
use vitalwire_registry::{Logins, User};
use zeroize::Zeroizing;

use crate::certificate::Certificate;
use crate::failure::Failure;
use crate::guard::Hosts;
use crate::hub::Hub;
use crate::limits::DashboardLimits;
use crate::people::People;
use crate::session::{Sessions, StoreError, Token};
use crate::time::now_ms;

/// Where a proxy says for whom a request is.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A look is on record once an hour.
const HOUR_MS: i64 = 3_600_000;

pub(crate) struct App {
    pub(crate) server: ServerHandle,
    pub(crate) logins: Arc<Logins>,
    pub(crate) sessions: Arc<AsyncMutex<Sessions>>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) people: People,
    pub(crate) looks: Looks,
    pub(crate) counters: DashboardCounters,
    pub(crate) hosts: Hosts,
    /// What TLS is spoken with; nothing on this machine alone.
    pub(crate) certificate: Option<Certificate>,
    /// Who says in `X-Forwarded-For` for whom a request is.
    pub(crate) proxies: Proxies,
    /// Browsers send a cookie to every port of a machine: each dashboard there has one of its own.
    pub(crate) cookie: String,
    pub(crate) limits: DashboardLimits,
    pub(crate) histories: Semaphore,
    pub(crate) live: TaskTracker,
    pub(crate) stop: CancellationToken,
}

/// Who asks.
#[derive(Clone)]
pub(crate) struct Person {
    pub(crate) user: Arc<User>,
    pub(crate) token: Token,
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
    /// Who sent a request.
    pub(crate) async fn person(&self, parts: &Parts) -> Result<Person, Failure> {
        let token = self.token(&parts.headers).ok_or(Failure::LoggedOut)?;
        let user = self.user(&token).await.ok_or(Failure::LoggedOut)?;
        Ok(Person { user, token, peer: peer(parts) })
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

    /// The session's id that a browser sent. Of two no one knows which is its own: another server on this machine may have set one.
    pub(crate) fn token(&self, headers: &HeaderMap) -> Option<Token> {
        let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs =
            cookies.flat_map(|cookies| cookies.split(';')).filter_map(|one| one.trim().split_once('='));
        let mut own = pairs.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value);
        let token = own.next()?;
        own.next().is_none().then(|| Zeroizing::new(token.to_owned()))
    }

    /// Whose session it is now; that is a use of it.
    pub(crate) async fn user(&self, token: &Token) -> Option<Arc<User>> {
        let mut sessions = self.sessions.lock().await;
        sessions.find(token, now_ms(), |name| self.logins.user(name.as_str()))
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

    /// Puts on record that a person looks at these devices: once a user, device and hour. A full disk keeps no one from looking
    /// at a patient; what could not be written is tried again at the next look.
    pub(crate) async fn look(self: &Arc<Self>, person: &Person, devices: Vec<(u16, DeviceId)>) {
        if let Some(look) = self.begin_look(person, devices) {
            // It is logged.
            let _ = look.await;
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

    async fn record_look(&self, user: UserName, address: IpAddr, fresh: Vec<(u16, DeviceId)>) -> bool {
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

/// The looks of this hour that are on record.
#[derive(Default)]
pub(crate) struct Looks(Mutex<OfHour>);

#[derive(Default)]
struct OfHour {
    hour: i64,
    seen: BTreeSet<(UserName, u16)>,
}

impl Looks {
    /// Those that are not on record yet; from now on they are.
    fn fresh(&self, user: &UserName, devices: Vec<(u16, DeviceId)>, now_ms: i64) -> Vec<(u16, DeviceId)> {
        let mut of_hour = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hour = now_ms.div_euclid(HOUR_MS);
        if of_hour.hour != hour {
            *of_hour = OfHour { hour, seen: BTreeSet::new() };
        }
        devices.into_iter().filter(|(n, _)| of_hour.seen.insert((user.clone(), *n))).collect()
    }

    fn forget(&self, user: &UserName, numbers: &[u16]) {
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
        let [one, other] = ["ana", "bo"].map(|name| name.parse().unwrap());
        assert_eq!(looks.fresh(&one, devices(), 0).len(), 2);
        assert!(looks.fresh(&one, devices(), HOUR_MS - 1).is_empty());
        assert_eq!(looks.fresh(&other, devices(), 0).len(), 2);
        looks.forget(&one, &[1]);
        assert_eq!(looks.fresh(&one, devices(), 0), devices()[1..]);
        assert_eq!(looks.fresh(&one, devices(), HOUR_MS).len(), 2);
    }
}

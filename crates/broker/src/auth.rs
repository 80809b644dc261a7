//! Who may log in, and what it may do then: the broker crate asks here. Names and passwords are checked by the registry's
//! [`Logins`]; here is what MQTT adds: wills, client ids, sessions. There are no anonymous clients; no password is kept.

use std::future::{Future, ready};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::broker::storage::{DynamicStorage, StorageBackend};
use mqtt5_protocol::packet::connect::ConnectPacket;
use mqtt5_protocol::protocol::v5::reason_codes::ReasonCode;
use tracing::{info, warn};
use vitalwire_access::{Role, acl};
use vitalwire_registry::{LoginRefusal, Logins, User};

use crate::connections::{Admitted, CONNECTION, Connection, Connections};
use crate::counters::Counters;
use crate::wills::Wills;

type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// See the module.
pub(crate) struct Gate {
    pub(crate) logins: Arc<Logins>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) memory: Arc<DynamicStorage>,
    pub(crate) wills: Arc<Wills>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) sessions_per_user_max: usize,
}

/// Why someone is not let in.
enum Refusal {
    NoCredentials,
    Login(LoginRefusal),
    WillNotAllowed { topic: String },
    ClientIdOfAnother { owner: String },
    TooManySessions,
}

impl Gate {
    fn role_allows(&self, user: Option<&str>, allows: impl FnOnce(&Role) -> bool) -> bool {
        user.and_then(|name| self.logins.user(name)).is_some_and(|user| allows(&user.role))
    }

    async fn log_in(&self, connect: &ConnectPacket, connection: &Connection) -> Result<Arc<User>, Refusal> {
        let (Some(name), Some(password)) = (connect.username.as_deref(), connect.password.as_deref()) else {
            return Err(Refusal::NoCredentials);
        };
        let checked = self.logins.check(name, password, connection.peer.ip()).await;
        let user = checked.map_err(Refusal::Login)?;
        self.judge_will(connect, &user)?;
        self.claim_client_id(connect, &user).await?;
        Ok(user)
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

    fn refuse(&self, connect: &ConnectPacket, refusal: &Refusal) -> AuthResult {
        let (client_id, user) = (connect.client_id.as_str(), connect.username.as_deref().unwrap_or("-"));
        let reason = match refusal {
            // One answer for all that concerns name and password: it must not tell which names exist.
            Refusal::NoCredentials
            | Refusal::Login(LoginRefusal::WrongPassword | LoginRefusal::LockedOut) => {
                ReasonCode::BadUsernameOrPassword
            }
            Refusal::Login(LoginRefusal::Busy) => ReasonCode::ServerBusy,
            Refusal::TooManySessions => ReasonCode::QuotaExceeded,
            Refusal::WillNotAllowed { .. } | Refusal::ClientIdOfAnother { .. } => ReasonCode::NotAuthorized,
        };
        match refusal {
            Refusal::NoCredentials => {
                info!(client_id, "MQTT login refused: no user name and password given")
            }
            Refusal::Login(LoginRefusal::WrongPassword) => {
                info!(client_id, ?user, "MQTT login failed")
            }
            Refusal::Login(refusal) => warn!(client_id, ?user, %refusal, "MQTT login refused"),
            Refusal::WillNotAllowed { topic } => {
                info!(
                    client_id,
                    ?user,
                    ?topic,
                    "MQTT connection refused: this user may not leave a will there"
                );
            }
            Refusal::ClientIdOfAnother { owner } => {
                warn!(
                    client_id,
                    ?user,
                    ?owner,
                    "MQTT connection refused: the client id belongs to another user"
                );
            }
            Refusal::TooManySessions => {
                let sessions_max = self.sessions_per_user_max;
                warn!(
                    client_id,
                    ?user,
                    sessions_max,
                    "MQTT connection refused: the user has too many sessions"
                );
            }
        }
        if reason == ReasonCode::BadUsernameOrPassword {
            self.counters.failed_login();
        }
        AuthResult::fail(reason)
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
                    self.logins.record(&name, peer, true);
                    self.wills.forget(&connect.client_id);
                    let (client_id, will) = (connect.client_id.clone(), connect.will.clone());
                    connection.admit(Admitted { user, client_id, will });
                    // The user may have changed while its password was checked.
                    self.connections.cut_outdated(&self.logins.directory().borrow());
                    Ok(AuthResult::success_with_user(name))
                }
                Err(refusal) => {
                    self.logins.record(connect.username.as_deref().unwrap_or_default(), peer, false);
                    Ok(self.refuse(connect, &refusal))
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

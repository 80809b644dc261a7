//! Who may log in. Names and passwords are checked by the registry's [`Logins`]; here is what MQTT adds: wills, client ids,
//! sessions. There are no anonymous clients; no password is kept.
//!
//! [`Logins`]: vitalwire_registry::Logins

use std::net::SocketAddr;
use std::sync::Arc;

use openssl::rand::rand_bytes;
use tracing::{info, warn};
use vitalwire_access::{Way, acl};
use vitalwire_registry::{LoginRefusal, User};

use crate::connections::Connection;
use crate::core::filters::is_topic;
use crate::core::session::{Capacity, Will};
use crate::core::{Claimed, Connected, Newcomer};
use crate::engine::Engine;
use crate::protocol::{ConnectRefusal, ConnectRequest, WillRequest};

/// Characters of a client id. The standard asks for 23; a client id is told in every line of the log about its client.
const CLIENT_ID_LEN_MAX: usize = 256;

/// Who came in.
pub(crate) struct LoggedIn {
    pub(crate) user: Arc<User>,
    pub(crate) client_id: Arc<str>,
    /// The client id is one that the broker chose.
    pub(crate) is_assigned: bool,
    pub(crate) connected: Connected,
}

/// Why someone is not let in.
enum Refusal {
    NoCredentials,
    Method,
    Login(LoginRefusal),
    ClientId,
    WillTopic,
    WillNotAllowed { topic: String },
    Claimed(Claimed),
}

/// Lets a client in, or says why not.
pub(crate) async fn log_in(
    engine: &Engine,
    request: &ConnectRequest,
    connection: &Connection,
) -> Result<LoggedIn, ConnectRefusal> {
    let name = request.user.as_deref().unwrap_or_default();
    match try_log_in(engine, request, connection).await {
        Ok(logged_in) => {
            engine.logins.record(name, connection.peer, true);
            Ok(logged_in)
        }
        Err(refusal) => {
            engine.logins.record(name, connection.peer, false);
            Err(refuse(engine, request, &refusal))
        }
    }
}

async fn try_log_in(
    engine: &Engine,
    request: &ConnectRequest,
    connection: &Connection,
) -> Result<LoggedIn, Refusal> {
    if request.has_method {
        return Err(Refusal::Method);
    }
    let (client_id, is_assigned) = client_id(request)?;
    let (Some(name), Some(password)) = (request.user.as_deref(), &request.password) else {
        return Err(Refusal::NoCredentials);
    };
    let peer: SocketAddr = connection.peer;
    let user = engine.logins.check(Way::Mqtt, name, password, peer.ip()).await.map_err(Refusal::Login)?;
    let will = request.will.as_ref().map(|will| judge_will(will, &user)).transpose()?;
    let newcomer = Newcomer {
        client_id: Arc::clone(&client_id),
        user: user.name.as_str().into(),
        clean: request.clean,
        expiry_s: request.expiry_s,
        will,
        capacity: Capacity {
            v5: request.v5,
            window_max: request.receive_max.min(engine.limits.unacknowledged_max).max(1),
            packet_bytes_max: request.packet_bytes_max,
            out_bytes_max: engine.limits.outgoing_bytes_max,
        },
    };
    let connected = engine.core.lock().connect(newcomer).map_err(Refusal::Claimed)?;
    Ok(LoggedIn { user, client_id, is_assigned, connected })
}

fn client_id(request: &ConnectRequest) -> Result<(Arc<str>, bool), Refusal> {
    let id = request.client_id.as_str();
    if id.len() > CLIENT_ID_LEN_MAX || id.contains('\0') {
        return Err(Refusal::ClientId);
    }
    if !id.is_empty() {
        return Ok((id.into(), false));
    }
    // Without a name, no one could come back to a session of 3.1.1 (MQTT-3.1.3-8).
    if !request.v5 && !request.clean {
        return Err(Refusal::ClientId);
    }
    let mut random = [0; 12];
    rand_bytes(&mut random).map_err(|_| Refusal::Login(LoginRefusal::Busy))?;
    let name = random.iter().fold("auto-".to_owned(), |name, byte| format!("{name}{byte:02x}"));
    Ok((name.into(), true))
}

fn judge_will(request: &WillRequest, user: &User) -> Result<Will, Refusal> {
    let message = &request.message;
    if !is_topic(&message.topic) {
        return Err(Refusal::WillTopic);
    }
    if !acl::may_publish(&user.role, &message.topic) {
        return Err(Refusal::WillNotAllowed { topic: message.topic.clone() });
    }
    Ok(Will { publication: message.publication(), delay_s: request.delay_s, expiry_s: message.expiry_s })
}

fn refuse(engine: &Engine, request: &ConnectRequest, refusal: &Refusal) -> ConnectRefusal {
    let (client_id, user) = (request.client_id.as_str(), request.user.as_deref().unwrap_or("-"));
    match refusal {
        Refusal::NoCredentials => info!(client_id, "MQTT login refused: no user name and password given"),
        Refusal::Method => info!(client_id, "MQTT login refused: only user name and password are taken"),
        Refusal::Login(LoginRefusal::WrongPassword) => info!(client_id, ?user, "MQTT login failed"),
        Refusal::Login(refusal) => warn!(client_id, ?user, %refusal, "MQTT login refused"),
        Refusal::ClientId => info!(?user, "MQTT connection refused: its client id is none"),
        Refusal::WillTopic => info!(client_id, ?user, "MQTT connection refused: its will has no topic"),
        Refusal::WillNotAllowed { topic } => {
            info!(client_id, ?user, ?topic, "MQTT connection refused: this user may not leave a will there");
        }
        Refusal::Claimed(Claimed::Owner(owner)) => {
            warn!(client_id, ?user, ?owner, "MQTT connection refused: the client id belongs to another user");
        }
        Refusal::Claimed(Claimed::TooMany) => {
            let sessions_max = engine.limits.sessions_per_user_max;
            warn!(client_id, ?user, sessions_max, "MQTT connection refused: the user has too many sessions");
        }
    }
    let refusal = match refusal {
        // One answer for all that concerns name and password: it must not tell which names exist.
        Refusal::NoCredentials | Refusal::Login(LoginRefusal::WrongPassword | LoginRefusal::LockedOut) => {
            ConnectRefusal::Credentials
        }
        Refusal::Method => ConnectRefusal::Method,
        Refusal::Login(LoginRefusal::Busy) => ConnectRefusal::Busy,
        Refusal::ClientId => ConnectRefusal::ClientId,
        Refusal::WillTopic => ConnectRefusal::WillTopic,
        Refusal::WillNotAllowed { .. } | Refusal::Claimed(Claimed::Owner(_)) => ConnectRefusal::NotAuthorized,
        Refusal::Claimed(Claimed::TooMany) => ConnectRefusal::Quota,
    };
    if refusal == ConnectRefusal::Credentials {
        engine.counters.failed_login();
    }
    refusal
}

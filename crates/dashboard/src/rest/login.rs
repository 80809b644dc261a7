//! Logging in and out.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use vitalwire_access::{Role, Way};
use vitalwire_oidc::Answer;
use zeroize::Zeroizing;

use super::provider::{self, Began};
use super::{DONE, Routes, Who, body, says};
use crate::api::{Login, Right, Session};
use crate::app::{App, Pass, Person, peer};
use crate::failure::Failure;
use crate::guard;
use crate::time::now_ms;

const SESSION: &str = "/api/v1/session";

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            SESSION,
            Who::Viewer,
            session,
            says("Who is logged in, and what they may do.").answers::<Session>(),
        )
        .post(
            SESSION,
            Who::Anyone,
            begin,
            says("Logs in, with a name and a password, with a link, or with what a provider said; the answer sets the cookie.")
                .takes::<Login>()
                .answers::<Session>()
                .status(StatusCode::UNAUTHORIZED, "wrong, or used")
                .status(StatusCode::TOO_MANY_REQUESTS, "too many wrong ones"),
        )
        .delete(
            SESSION,
            Who::Viewer,
            end,
            says("Logs out. The session ends, with its live connections.")
                .status(StatusCode::SERVICE_UNAVAILABLE, "it ended, and may be back after a restart"),
        )
}

/// Who is logged in.
async fn session(person: Person) -> Json<Session> {
    Json(shown(person.user.name.to_string(), &person.user.role))
}

/// Logs in, with a name and a password or with a link.
async fn begin(State(app): State<Arc<App>>, request: Request) -> Result<Response, Failure> {
    let (parts, rest) = request.into_parts();
    let (peer, before, is_secure) =
        (peer(&parts), app.token(&parts.headers), app.is_tls() || guard::is_secure(&parts.headers));
    let began = Began::of(&app, &parts.headers);
    let was_begun = began.is_some();
    let login: Login = body(Request::from_parts(parts, rest)).await?;
    let user = match login {
        Login::Password { user: name, password } => {
            let password = Zeroizing::new(password);
            let checked = app.logins.check(Way::Dashboard, &name, password.as_bytes(), peer.ip()).await;
            app.note_login(&name, peer, checked.is_ok());
            checked?
        }
        Login::Link { link } => {
            let (link, logins) = (Zeroizing::new(link), Arc::clone(&app.logins));
            let followed = app
                .change_sessions(move |sessions| {
                    sessions.follow_link(&link, now_ms(), |name| logins.user(name.as_str()))
                })
                .await?;
            let name = followed.as_ref().map_or("", |user| user.name.as_str());
            app.note_login(name, peer, followed.is_some());
            followed.ok_or(Failure::Link)?
        }
        Login::Provider { code, state, iss } => {
            let code = Zeroizing::new(code);
            let answer = Answer { code: &code, state: &state, issuer: iss.as_deref() };
            provider::finish(&app, began, answer, peer).await?
        }
    };
    let of_whom = Arc::clone(&user);
    let token = app
        .change_sessions(move |sessions| {
            // A session that someone else put into the browser is not used on.
            if let Some(before) = before
                && let Err(error) = sessions.end(&before)
            {
                tracing::error!(%error, "a session that ended could not be taken out of the file");
            }
            Ok(sessions.begin(&of_whom, now_ms()))
        })
        .await?;
    let cookie = cookie(&app, &token, is_secure, app.limits.session_age_max.as_secs())?;
    let mut headers = HeaderMap::from_iter([(SET_COOKIE, cookie)]);
    if was_begun {
        headers.append(SET_COOKIE, provider::ended(&app)?);
    }
    Ok((StatusCode::OK, headers, Json(shown(user.name.to_string(), &user.role))).into_response())
}

/// Logs out.
async fn end(State(app): State<Arc<App>>, person: Person) -> Result<Response, Failure> {
    let Pass::Session(token) = person.pass else { return Err(Failure::NoSession) };
    let ended = app.change_sessions(move |sessions| sessions.end(&token)).await;
    // Also where the file has it still: this browser must not send it again.
    let gone = cookie(&app, "", app.is_tls(), 0)?;
    Ok((HeaderMap::from_iter([(SET_COOKIE, gone)]), ended.map(|()| DONE)).into_response())
}

fn cookie(app: &App, token: &str, is_secure: bool, age_s: u64) -> Result<HeaderValue, Failure> {
    set_cookie(&app.cookie, token, "/", is_secure, age_s)
}

pub(super) fn set_cookie(
    name: &str,
    token: &str,
    path: &str,
    is_secure: bool,
    age_s: u64,
) -> Result<HeaderValue, Failure> {
    let secure = if is_secure { "; Secure" } else { "" };
    let text = format!("{name}={token}; HttpOnly; SameSite=Strict; Path={path}; Max-Age={age_s}{secure}");
    let mut value = HeaderValue::from_str(&text).map_err(|_| Failure::NotWritten)?;
    value.set_sensitive(true);
    Ok(value)
}

fn shown(user: String, role: &Role) -> Session {
    Session { user, role: role.name(), can: Right::of(role) }
}

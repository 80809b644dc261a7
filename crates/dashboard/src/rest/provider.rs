//! Logging in with a provider of OpenID Connect. The browser goes there and comes back to the page, which hands on what it came with: no
//! `GET` changes anything, and the guard's rules hold for both requests.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ORIGIN, SET_COOKIE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use vitalwire_oidc::{Answer, Attempt, OidcError};
use vitalwire_registry::User;

use super::login::set_cookie;
use super::{Routes, Who, says};
use crate::api::{Begun, Ways};
use crate::app::App;
use crate::failure::Failure;
use crate::guard;
use crate::limits::ATTEMPT_AGE_S_MAX;
use crate::sign_on::SignOn;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            "/api/v1/session/ways",
            Who::Anyone,
            ways,
            says("How people may log in, beside name and password.").answers::<Ways>(),
        )
        .post(
            "/api/v1/session/provider",
            Who::Anyone,
            begin,
            says(
                "Begins a login with the provider: where the browser goes, and a cookie that knows it again.",
            )
            .answers::<Begun>()
            .status(StatusCode::NOT_FOUND, "there is no provider")
            .status(StatusCode::SERVICE_UNAVAILABLE, "it does not answer"),
        )
}

async fn ways(State(app): State<Arc<App>>) -> Json<Ways> {
    Json(Ways { provider: app.sign_on.as_ref().map(|sign_on| sign_on.name.clone()) })
}

async fn begin(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Failure> {
    let sign_on = sign_on(&app)?;
    let home = home(&headers).ok_or(OidcError::Foreign)?;
    let _turn = sign_on.turns.try_acquire().map_err(|_| Failure::Busy)?;
    let attempt = Attempt::new(rand::random());
    let address = sign_on.provider.address(&home, &attempt).await?;
    let is_secure = app.is_tls() || guard::is_secure(&headers);
    let cookie = set_cookie(&name(&app), &attempt.to_text(), "/", is_secure, ATTEMPT_AGE_S_MAX)?;
    Ok((HeaderMap::from_iter([(SET_COOKIE, cookie)]), Json(Begun { address })).into_response())
}

/// What the request says of the login that it ends.
pub(super) struct Began {
    attempt: Option<Attempt>,
    home: Option<String>,
}

impl Began {
    /// Whether this browser began one.
    pub(super) fn is_some(&self) -> bool {
        self.attempt.is_some()
    }

    pub(super) fn of(app: &App, headers: &HeaderMap) -> Self {
        let kept = App::cookie(headers, &name(app));
        Self { attempt: kept.and_then(|text| Attempt::from_text(&text)), home: home(headers) }
    }
}

/// Ends a login: the user whom the provider names.
pub(super) async fn finish(
    app: &App,
    began: Began,
    answer: Answer<'_>,
    peer: SocketAddr,
) -> Result<Arc<User>, Failure> {
    let sign_on = sign_on(app)?;
    let Began { attempt: Some(attempt), home: Some(home) } = began else {
        return Err(OidcError::Foreign.into());
    };
    let turn = sign_on.turns.try_acquire().map_err(|_| Failure::Busy)?;
    let who = sign_on.provider.who(&home, &attempt, answer).await;
    drop(turn);
    let who = who.inspect_err(|_| app.note_login("", peer, false))?;
    let user = app.logins.user(&who);
    app.note_login(&who, peer, user.is_some());
    user.ok_or(Failure::NotAUser(who))
}

/// Takes the attempt from the browser.
pub(super) fn ended(app: &App) -> Result<HeaderValue, Failure> {
    set_cookie(&name(app), "", "/", app.is_tls(), 0)
}

fn sign_on(app: &App) -> Result<&SignOn, Failure> {
    app.sign_on.as_ref().ok_or(Failure::NoProvider)
}

fn name(app: &App) -> String {
    format!("{}_attempt", app.cookie)
}

/// The page, by the name and the scheme that the browser knows it by. The guard has seen to it that this is a name of ours.
fn home(headers: &HeaderMap) -> Option<String> {
    Some(format!("{}/", headers.get(ORIGIN)?.to_str().ok()?))
}

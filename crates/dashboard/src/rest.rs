//! The REST API (PROTOCOL.md §6.2): who may ask for what, and the answers.

mod alarms;
mod history;
mod login;

use std::error::Error as _;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

use crate::api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::limits::{ANSWER_PATIENCE, BODY_BYTES_MAX, BODY_PATIENCE};
use crate::{guard, live, page};

/// Who may ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// Who is not logged in, too.
    Anyone,
    /// Whoever is logged in, about the devices that they see.
    Viewer,
    /// Who has the right to change something.
    Admin,
}

/// Every route of the API, and who may use it. A test holds them against what is served.
pub const ROUTES: [(Method, &str, Who); 8] = [
    (Method::POST, "/api/v1/session", Who::Anyone),
    (Method::GET, "/api/v1/session", Who::Viewer),
    (Method::DELETE, "/api/v1/session", Who::Viewer),
    (Method::GET, "/api/v1/devices", Who::Viewer),
    (Method::GET, "/api/v1/devices/{id}/history", Who::Viewer),
    (Method::GET, "/api/v1/alarms", Who::Viewer),
    (Method::POST, "/api/v1/alarms/ack", Who::Admin),
    (Method::POST, "/api/v1/alarms/pause", Who::Admin),
];

/// The live connection, which is no route of REST.
pub const LIVE: &str = "/api/v1/live";

pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/api/v1/session", get(login::session).post(login::begin).delete(login::end))
        .route("/api/v1/devices", get(devices))
        .route("/api/v1/devices/{id}/history", get(history::history))
        .route("/api/v1/alarms", get(alarms::alarms))
        .route("/api/v1/alarms/ack", post(alarms::acknowledge))
        .route("/api/v1/alarms/pause", post(alarms::pause))
        .route(LIVE, get(live::live))
        .fallback(page::page)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

/// Looks at every request before anyone else, and puts on every answer what browsers must know of it.
async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let mut response = match app.hosts.check(request.method(), request.uri(), request.headers()) {
        Err(refusal) => Failure::Refused(refusal).into_response(),
        Ok(()) => match tokio::time::timeout(ANSWER_PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Failure::Busy.into_response(),
        },
    };
    let headers = response.headers_mut();
    for (name, value) in guard::ANSWER_HEADERS {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
    response
}

async fn devices(State(app): State<Arc<App>>, person: Person) -> Json<api::Devices> {
    app.look(&person, app.seen_by(&person)).await;
    let devices = app.hub.look(|ward| {
        let seen = ward.devices().filter(|(id, _)| person.user.role.sees(id));
        seen.map(|(_, device)| device.clone()).collect()
    });
    Json(api::Devices { devices })
}

/// Reads a body of JSON, as long and as slow as it may be.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Failure> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    // No form of another site can send this without asking first.
    if kind.and_then(|kind| kind.split(';').next()).is_none_or(|kind| kind.trim() != "application/json") {
        return Err(Failure::NoJson);
    }
    let read = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
    let bytes = tokio::time::timeout(BODY_PATIENCE, read).await.map_err(|_| Failure::TooSlow)?;
    let bytes = bytes.map_err(|error| match error.source() {
        Some(cause) if cause.is::<http_body_util::LengthLimitError>() => Failure::TooLong,
        _ => Failure::TooSlow,
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Malformed(format!("the body is not what is asked for: {error}")))
}

/// Whether a person may change something of patients.
fn may(person: &Person, right: api::Right) -> Result<(), Failure> {
    match api::Right::of(&person.user.role).contains(&right) {
        true => Ok(()),
        false => Err(Failure::MayNot(person.user.name.clone())),
    }
}

/// Nothing to say but that it is done.
const DONE: StatusCode = StatusCode::NO_CONTENT;

//! The REST API (PROTOCOL.md §6.2): its routes, and what every request passes.

mod admin;
mod alarms;
mod document;
mod gaps;
mod history;
mod limits;
mod login;
mod past;
mod provider;
mod route;
mod waves;

use std::error::Error as _;
use std::sync::{Arc, LazyLock};

use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::de::DeserializeOwned;

pub(crate) use self::document::says;
pub(crate) use self::route::{Routes, Who};
use crate::api;
use crate::app::{App, Patience, Peer, Person};
use crate::failure::Failure;
use crate::limits::{ANSWER_PATIENCE, BODY_BYTES_MAX};
use crate::{guard, live, page};

/// Every route of the API.
fn routes() -> Routes {
    Routes::default()
        .get(
            "/api/v1/openapi.json",
            Who::Anyone,
            openapi,
            says("This document.").answers_as("application/json"),
        )
        .and(login::routes())
        .and(provider::routes())
        .get(
            "/api/v1/devices",
            Who::Viewer,
            devices,
            says("The devices that the user sees.").answers::<api::Devices>(),
        )
        .and(history::routes())
        .and(waves::routes())
        .and(limits::routes())
        .and(alarms::routes())
        .and(past::routes())
        .and(admin::routes())
        .and(live::routes())
}

pub(crate) fn router(app: Arc<App>) -> Router {
    routes()
        .into_router(&app)
        .fallback(page::page)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guarded))
        .with_state(app)
}

async fn openapi() -> Response {
    static DOCUMENT: LazyLock<String> = LazyLock::new(|| document::json(routes()));
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT.as_str()).into_response()
}

/// Looks at every request before anyone else, and puts on every answer what browsers must know of it.
async fn guarded(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let is_api = request.uri().path().starts_with("/api/");
    let strict = app.is_tls().then(|| guard::strict_transport(request.headers())).flatten();
    let mut response = match admit(&app, request) {
        Err(failure) => failure.into_response(),
        Ok(request) => match tokio::time::timeout(ANSWER_PATIENCE, next.run(request)).await {
            Ok(response) => response,
            Err(_) => Failure::Busy.into_response(),
        },
    };
    app.counters.note_request(response.status().as_u16());
    let headers = response.headers_mut();
    for (name, value) in guard::ANSWER_HEADERS.into_iter().chain(strict) {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if is_api {
        headers.insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    }
    response
}

/// The request, with the address of who really sent it.
fn admit(app: &App, mut request: Request) -> Result<Request, Failure> {
    app.hosts.check(request.method(), request.uri(), request.headers(), &app.names())?;
    if let Some(Peer(peer)) = request.extensions().get().copied() {
        let sender = app.sender(peer, request.headers())?;
        request.extensions_mut().insert(Peer(sender));
    }
    Ok(request)
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
    let patience = request.extensions().get().map_or(ANSWER_PATIENCE, |Patience(time)| *time);
    let read = axum::body::to_bytes(request.into_body(), BODY_BYTES_MAX);
    let bytes = tokio::time::timeout(patience, read).await.map_err(|_| Failure::TooSlow)?;
    let bytes = bytes.map_err(|error| match error.source() {
        Some(cause) if cause.is::<http_body_util::LengthLimitError>() => Failure::TooLong,
        _ => Failure::TooSlow,
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failure::Malformed(format!("the body is not what is asked for: {error}")))
}

/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

/// Nothing to say but that it is done.
const DONE: StatusCode = StatusCode::NO_CONTENT;

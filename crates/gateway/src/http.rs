//! The operator's HTTP endpoint: `/metrics` (OpenMetrics text), `/healthz` (the process runs) and `/readyz`
//! (devices are served and the broker takes messages). It shows counts, never a patient's values.
//!
//! A connection carries one request and lives for a bounded time, whatever its peer sends or does not read. When there are
//! as many as there may be, the oldest makes room: idle ones keep no one from asking whether the server lives.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use vitalwire_journal::Health;

use crate::context::Context;

/// The longest head of a request, in bytes; a longer one is answered with 431.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a stop waits for answers under way.
const STOP_PATIENCE: Duration = Duration::from_millis(200);
/// After a failed accept (no file descriptors, mostly).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until the stop.
pub(crate) async fn run(listener: TcpListener, context: Arc<Context>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::clone(&context));
    let (mut connections, mut by_age) = (JoinSet::new(), VecDeque::new());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            () = context.stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                by_age.retain(|connection: &tokio::task::AbortHandle| !connection.is_finished());
                while by_age.len() >= context.limits.metrics_connections_max {
                    by_age.pop_front().inspect(tokio::task::AbortHandle::abort);
                }
                let served = serve(stream, router.clone());
                let served = tokio::time::timeout(context.limits.metrics_request_timeout, served);
                by_age.push_back(connections.spawn(served));
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a request for metrics; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    let answered = async { while connections.join_next().await.is_some() {} };
    // What is left ends with the set.
    let _ = tokio::time::timeout(STOP_PATIENCE, answered).await;
}

/// Answers one request.
async fn serve(stream: TcpStream, router: Router) {
    let mut server = http1::Builder::new();
    // The caller's time-out is the only one, so hyper needs no timer.
    server.keep_alive(false).header_read_timeout(None).max_buf_size(HEAD_BYTES_MAX);
    let served = server.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a request for metrics was not answered");
    }
}

async fn metrics(State(context): State<Arc<Context>>) -> impl IntoResponse {
    context.refresh_gauges();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], context.metrics.to_text())
}

async fn ready(State(context): State<Arc<Context>>) -> impl IntoResponse {
    let away = !context.publisher.is_connected();
    let health = context.intake.health().borrow().clone();
    if context.stop.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if away {
        (StatusCode::SERVICE_UNAVAILABLE, "the MQTT broker is away; readings wait in the journal\n")
    } else if matches!(health, Health::Full { held_by: None, .. }) {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the disk of the journal is full: live readings go on, nothing is acknowledged; free space on it\n",
        )
    } else if health != Health::Ok {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "the journal takes no entries (see the log); nothing is acknowledged\n",
        )
    } else if context.metrics.alarms_recorded.get() == 0 {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "alarms cannot be written to the registry (see the log): they are told all the same\n",
        )
    } else {
        (StatusCode::OK, "ready\n")
    }
}

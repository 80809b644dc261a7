//! The operator's HTTP endpoint: `/metrics` (OpenMetrics text), `/healthz` (the process runs) and `/readyz`
//! (devices are served and the broker takes messages). It shows counts, never a patient's values.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use vitalwire_journal::Health;

use crate::context::Context;

/// Serves until the stop.
pub(crate) async fn run(listener: TcpListener, context: Arc<Context>) {
    let stop = context.stop.clone();
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(context);
    let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::error!(%error, "the metrics endpoint ended");
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
    } else {
        (StatusCode::OK, "ready\n")
    }
}

//! Waves of the present stay, as they were sent, with their beats.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use vitalwire_gateway::HistoryQuery as Asked;

use super::history::{or_none, own_history, time};
use super::{Routes, Who, says};
use crate::api::WavesQuery;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::packed;

pub(super) fn routes() -> Routes {
    Routes::default().get(
        "/api/v1/devices/{id}/waves",
        Who::Viewer,
        waves,
        says("A waveform of the present stay as it was sent, with its beats; 30 minutes at once at most. PROTOCOL.md §6.4 has its bytes.")
            .asks::<WavesQuery>()
            .answers_as("application/octet-stream"),
    )
}

async fn waves(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
    query: Result<Query<WavesQuery>, QueryRejection>,
) -> Result<Response, Failure> {
    let Query(query) = query.map_err(|error| Failure::Malformed(error.body_text()))?;
    let (from, to) = (time(query.from)?, time(query.to)?);
    let own = own_history(&app, &person, &id).await?;
    let asked = Asked { device: own.device, channel: query.channel, from, to };
    let wave = or_none(&app, &asked, own.kept.wave(&asked).await)?;
    Ok(([(CONTENT_TYPE, "application/octet-stream")], packed::wave(&wave)).into_response())
}

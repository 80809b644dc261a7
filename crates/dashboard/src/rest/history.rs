//! History of the present stay: thinned for a screen, with its gaps.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use vitalwire_gateway::HistoryQuery as Asked;
use vitalwire_profile::{DERIVED, Profile};

use super::{Routes, Who, says};
use crate::api::{History, HistoryQuery};
use crate::app::{App, Person};
use crate::failure::Failure;

/// The last millisecond of the year 9999.
const TIME_MS_MAX: i64 = 253_402_300_799_999;

pub(super) fn routes() -> Routes {
    Routes::default().get(
        "/api/v1/devices/{id}/history",
        Who::Viewer,
        history,
        says("One channel of the present stay, thinned for a screen, with its gaps.")
            .asks::<HistoryQuery>()
            .answers::<History>(),
    )
}

async fn history(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
    query: Result<Query<HistoryQuery>, QueryRejection>,
) -> Result<Json<History>, Failure> {
    let Query(query) = query.map_err(|error| Failure::Malformed(error.body_text()))?;
    let (from, to) = (time(query.from)?, time(query.to)?);
    let device = app.device(&person, &id)?;
    let (n, unit) = app.hub.look(|ward| {
        let shown = ward.device(&device);
        let channel =
            shown.and_then(|shown| shown.channels.iter().find(|channel| channel.name == query.channel));
        (shown.map(|shown| shown.n), channel.map(|channel| channel.unit.clone()))
    });
    if let Some(n) = n {
        app.look(&person, vec![(n, device.clone())]).await;
    }
    let (stay, timeline) = app.people.stay(device.clone()).await.map_err(|error| {
        tracing::error!(%error, "the dashboard cannot read whose history it is");
        Failure::Unreadable
    })?;
    let _turn = app.histories.acquire().await.map_err(|_| Failure::Busy)?;
    let asked = Asked { device, channel: query.channel.clone(), from, to };
    let buckets = app.server.history().of_stay(stay, timeline).buckets(&asked, query.points).await?;
    let mut answer = History {
        device: id,
        unit: unit.or_else(|| derived_unit(&query.channel)),
        channel: query.channel,
        from: query.from,
        to: query.to,
        ..History::default()
    };
    buckets.iter().for_each(|bucket| answer.push(bucket));
    Ok(Json(answer))
}

fn derived_unit(channel: &str) -> Option<String> {
    Some(Profile::builtin(DERIVED)?.channel_named(channel)?.unit.clone())
}

fn time(ms: i64) -> Result<SystemTime, Failure> {
    let wrong = || Failure::Malformed("times are milliseconds since 1970, up to the year 9999".to_owned());
    let ms = u64::try_from(ms).ok().filter(|_| ms <= TIME_MS_MAX).ok_or_else(wrong)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).ok_or_else(wrong)
}

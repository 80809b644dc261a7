//! History of the present stay: thinned for a screen, with its gaps.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use vitalwire_access::DeviceId;
use vitalwire_gateway::{History as Kept, HistoryError, HistoryQuery as Asked};
use vitalwire_profile::{DERIVED, Profile};
use vitalwire_registry::StayId;

use super::{Routes, Who, gaps, says};
use crate::api::{History, HistoryQuery};
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::TIME_MS_MAX;

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
    let own = own_history(&app, &person, &id).await?;
    let device = own.device.clone();
    let unit = app.hub.look(|ward| {
        let mut channels = ward.device(&device)?.channels.iter();
        channels.find(|channel| channel.name == query.channel).map(|channel| channel.unit.clone())
    });
    let _turn = app.histories.acquire().await.map_err(|_| Failure::Busy)?;
    let asked = Asked { device, channel: query.channel.clone(), from, to };
    let buckets = own.kept.buckets(&asked, query.points).await;
    let buckets = or_none(&app, &asked, buckets)?;
    let gaps = gaps::of(&app, &own, &asked, &buckets).await?;
    let mut answer = History {
        device: id,
        unit: unit.or_else(|| derived_unit(&query.channel)),
        channel: query.channel,
        from: query.from,
        to: query.to,
        gaps,
        ..History::default()
    };
    buckets.iter().for_each(|bucket| answer.push(bucket));
    Ok(Json(answer))
}

/// The history of a device's present stay.
pub(super) struct Own {
    pub(super) device: DeviceId,
    pub(super) stay: StayId,
    /// When that began: UTC, microseconds since 1970.
    pub(super) began_us: i64,
    pub(super) kept: Kept,
}

/// Of a device that this person sees. That someone looks is on record.
pub(super) async fn own_history(app: &Arc<App>, person: &Person, id: &str) -> Result<Own, Failure> {
    let device = app.device(person, id)?;
    if let Some(n) = app.hub.look(|ward| ward.device(&device).map(|shown| shown.n)) {
        app.look(person, vec![(n, device.clone())]).await;
    }
    let (stay, timeline) = app.people.stay(device.clone()).await.map_err(|error| {
        tracing::error!(%error, "the dashboard cannot read whose history it is");
        Failure::Unreadable
    })?;
    let began = timeline.borders.iter().find(|border| border.stay == stay).map(|border| border.time_us);
    let kept = app.server.history().of_stay(stay, timeline);
    Ok(Own { device, stay, began_us: began.unwrap_or(0), kept })
}

/// A channel that the device can have, or the server derives, has no values where other ones were measured: that is no mistake of who asks.
pub(super) fn or_none<T: Default>(
    app: &App,
    asked: &Asked,
    found: Result<T, HistoryError>,
) -> Result<T, Failure> {
    let is_known = || {
        let of_device = app.hub.look(|ward| {
            let mut channels = ward.device(&asked.device)?.channels.iter();
            channels.find(|channel| channel.name == asked.channel).map(|_| ())
        });
        of_device.is_some() || derived_unit(&asked.channel).is_some()
    };
    match found {
        Err(HistoryError::UnknownChannel { .. }) if is_known() => Ok(T::default()),
        found => Ok(found?),
    }
}

fn derived_unit(channel: &str) -> Option<String> {
    Some(Profile::builtin(DERIVED)?.channel_named(channel)?.unit.clone())
}

pub(super) fn time(ms: i64) -> Result<SystemTime, Failure> {
    let wrong = || Failure::Malformed("times are milliseconds since 1970, up to the year 9999".to_owned());
    let ms = u64::try_from(ms).ok().filter(|_| ms <= TIME_MS_MAX).ok_or_else(wrong)?;
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).ok_or_else(wrong)
}

//! History of the present stay: thinned for a screen, with its gaps.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use tokio::sync::SemaphorePermit;
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

/// A turn to read the history of a device's present stay.
pub(super) struct Own<'a> {
    _turn: SemaphorePermit<'a>,
    pub(super) device: DeviceId,
    pub(super) stay: StayId,
    /// When that began: UTC, microseconds since 1970.
    pub(super) began_us: i64,
    pub(super) kept: Kept,
}

/// Of a device that this person sees. That someone looks is on record. Whoever waited for the turn is looked at again, and so is whose stay
/// it is: meanwhile another patient may wear the device, or the user may see it no more.
pub(super) async fn own_history<'a>(
    app: &'a Arc<App>,
    person: &Person,
    id: &str,
) -> Result<Own<'a>, Failure> {
    let device = app.device(person, id)?;
    app.look_at(person, &device).await;
    let (turn, person) = app.turn(&app.histories, person).await?;
    let device = app.device(&person, id)?;
    let (stay, timeline) = app.people.stay(device.clone()).await.map_err(|error| {
        tracing::error!(%error, "the dashboard cannot read whose history it is");
        Failure::Unreadable
    })?;
    let began = timeline.borders.iter().find(|border| border.stay == stay).map(|border| border.time_us);
    let kept = app.server.history().of_stay(stay, timeline);
    Ok(Own { _turn: turn, device, stay, began_us: began.unwrap_or(0), kept })
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use vitalwire_access::{Role, Scope};
    use vitalwire_testing::clinic::Clinic;
    use vitalwire_testing::until;

    use crate::limits::HISTORIES_MAX;
    use crate::time::now_ms;
    use crate::{Dashboard, DashboardConfig};

    #[tokio::test]
    async fn who_loses_a_device_while_waiting_for_a_turn_gets_none_of_its_history() {
        lose_while_waiting("devices/bed_1/history?channel=Temperature&from=0&to=1&points=1").await;
        lose_while_waiting("alarms/history?device=bed_1").await;
    }

    async fn lose_while_waiting(path: &str) {
        let clinic = Clinic::open().await;
        for device in ["bed_1", "bed_2"] {
            clinic.registry.add_tls_device(&device.parse().unwrap()).unwrap();
        }
        let sees = |id: &str| Role::Reader { devices: Scope::Named([id.parse().unwrap()].into()) };
        let watcher = "watcher".parse().unwrap();
        clinic.registry.set_role(&watcher, &sees("bed_1")).unwrap();
        clinic.known().await;
        let key = clinic.folder.path().join("master-key");
        let config = DashboardConfig::new(clinic.data(), key, "127.0.0.1:0".parse().unwrap());
        let dashboard = Dashboard::start(config, clinic.server()).await.unwrap();
        let app = Arc::clone(&dashboard.app);
        let turns = app.histories.acquire_many(u32::try_from(HISTORIES_MAX).unwrap()).await.unwrap();
        let user = app.logins.user("watcher").unwrap();
        let token = app.sessions.lock().await.begin(&user, now_ms());
        let address = dashboard.address();
        let request = format!(
            "GET /api/v1/{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nCookie: {}={}\r\n\r\n",
            app.cookie, *token
        );
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // It was admitted then, and waits.
        let seen =
            || clinic.registry.audit(0, 1_000).unwrap().iter().any(|record| record.kind == "patient-seen");
        until("the look is on record", seen).await;
        clinic.registry.set_role(&watcher, &sees("bed_2")).unwrap();
        until("the other role is known", || {
            *app.logins.user("watcher").unwrap().role.scope() == *sees("bed_2").scope()
        })
        .await;
        drop(turns);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 404"), "{path}: {answer}");
    }
}

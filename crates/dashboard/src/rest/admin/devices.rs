//! Devices without their keys: which there are, how they are connected, what is held of them, and their end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{BootAccount, Gap, GapState, HistoryError, Newest};
use vitalwire_registry::{DeviceInfo, ErasureInfo, Registry, RegistryError};

use super::{named, until, us_to_ms};
use crate::api::Right;
use crate::api::admin as api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::{DONE, Routes, Who, body, says};
use crate::time::to_ms;

pub(super) fn routes() -> Routes {
    let may = Who::May(Right::Devices);
    Routes::default()
        .get(
            "/api/v1/admin/devices",
            may,
            devices,
            says("All devices that are enrolled.").answers::<api::EnrolledDevices>(),
        )
        .get(
            "/api/v1/admin/devices/{id}",
            may,
            detail,
            says("One device, what is held of it and what happened to it; or how far its erasure is.")
                .answers::<api::DeviceDetail>(),
        )
        .post(
            "/api/v1/admin/devices/{id}/revoke",
            may,
            revoke,
            says("A device goes out of service; what it sent stays.").takes::<api::Nothing>(),
        )
        .post(
            "/api/v1/admin/devices/{id}/erase",
            may,
            erase,
            says("A device goes out of service, and all that it sent is erased.")
                .takes::<api::EraseDevice>()
                .answers::<api::Erasure>(),
        )
}

/// Of a device's boots, gaps and events the last so many are shown.
const BOOTS_MAX: usize = 10;
const GAPS_MAX: usize = 200;
const EVENTS_MAX: usize = 200;

async fn devices(State(app): State<Arc<App>>, person: Person) -> Result<Json<api::EnrolledDevices>, Failure> {
    let infos = app.people.act_for(&person.user.name, Registry::devices).await?;
    let newest = app.server.history().newest_of_all().await.map_err(HistoryError::from)?;
    let newest: BTreeMap<DeviceId, Newest> = newest.into_iter().collect();
    let shown = infos.iter().map(|info| enrolled(&app, info, newest.get(&info.id)));
    Ok(Json(api::EnrolledDevices { devices: shown.collect() }))
}

async fn detail(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
) -> Result<Json<api::DeviceDetail>, Failure> {
    let id = named(&path)?;
    let device = id.clone();
    let read = move |registry: &Registry| {
        let info = match registry.device(&device) {
            Err(RegistryError::DeviceUnknown(_)) => None,
            info => Some(info?),
        };
        Ok((info, registry.erasure(&device)?))
    };
    let (info, erasure) = app.people.act_for(&person.user.name, read).await?;
    if info.is_none() && erasure.is_none() {
        return Err(Failure::UnknownDevice);
    }
    let history = app.server.history();
    let newest = history.newest(&id).await.map_err(HistoryError::from)?;
    let boots = history.boots(&id, BOOTS_MAX).await.map_err(HistoryError::from)?;
    let gaps = history.gaps(&id, GAPS_MAX).await.map_err(HistoryError::from)?;
    let own: Vec<u64> = boots.iter().map(|boot| boot.boot).collect();
    Ok(Json(api::DeviceDetail {
        device: info.map(|info| enrolled(&app, &info, newest.as_ref())),
        erasure: erasure.map(shown_erasure),
        boots: boots.iter().map(account).collect(),
        gaps: gaps.iter().filter(|gap| own.contains(&gap.boot)).map(shown_gap).collect(),
        events: app.hub.events.of(&id, EVENTS_MAX),
    }))
}

/// Takes a device out of service.
async fn revoke(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let id = named(&path)?;
    let api::Nothing {} = body(request).await?;
    app.people.act_for(&person.user.name, move |registry| registry.revoke_device(&id)).await?;
    Ok(DONE)
}

/// Asks for the erasure of all that a device sent.
async fn erase(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::Erasure>, Failure> {
    let id = named(&path)?;
    let api::EraseDevice { name } = body(request).await?;
    if name != id.as_str() {
        return Err(Failure::Malformed(format!(
            "`name` must be `{id}`, typed once more, as an erasure cannot be undone"
        )));
    }
    let asked = move |registry: &Registry| registry.request_erasure(&id);
    Ok(Json(shown_erasure(app.people.act_for(&person.user.name, asked).await?)))
}

fn enrolled(app: &App, info: &DeviceInfo, newest: Option<&Newest>) -> api::Enrolled {
    let connection = app.server.connection(&info.id).map(|connection| api::DeviceConnection {
        since: to_ms(connection.since),
        peer: connection.peer.to_string(),
        local: connection.local.map(|local| local.to_string()),
        profile: connection.profile,
        firmware: connection.firmware,
    });
    api::Enrolled {
        id: info.id.to_string(),
        protocol: info.protocol.as_str(),
        generation: info.generation,
        enrolled: to_ms(info.enrolled_at),
        key_set: to_ms(info.key_set_at),
        identity: info.link.map(|link| link.to_string()),
        old_key_until: until(info.previous_link_until, SystemTime::now()),
        connection,
        last: newest.map(|newest| us_to_ms(newest.received_us)),
        assurance: newest.map(|newest| newest.assurance.label()),
    }
}

fn account(boot: &BootAccount) -> api::BootAccount {
    let BootAccount { boot, highest, contiguous, open, given_up } = *boot;
    api::BootAccount {
        boot: number(boot),
        sent: highest,
        acknowledged: contiguous,
        stored: highest.saturating_sub(open).saturating_sub(given_up),
        open,
        given_up,
    }
}

fn shown_gap(gap: &Gap) -> api::BatchGap {
    let (state, filled) = match gap.state {
        GapState::Open => ("open", None),
        GapState::GivenUp => ("given-up", None),
        GapState::Folded => ("folded", None),
        GapState::Filled { closed_us } => ("filled", Some(us_to_ms(closed_us))),
    };
    api::BatchGap {
        boot: number(gap.boot),
        first: gap.first,
        last: gap.last,
        missing: if filled.is_some() { 0 } else { gap.numbers },
        noticed: us_to_ms(gap.noticed_us),
        state,
        filled,
    }
}

/// A browser's numbers are exact up to 2^53.
fn number(boot: u64) -> String {
    format!("{boot:016x}")
}

fn shown_erasure(erasure: ErasureInfo) -> api::Erasure {
    let done = erasure.done;
    api::Erasure {
        requested: to_ms(erasure.requested_at),
        done: done.as_ref().map(|done| to_ms(done.at)),
        entries: done.as_ref().map(|done| done.entries),
        proof: done.map(|done| done.proof),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_adds_up() {
        let boot = BootAccount { boot: u64::MAX, highest: 10, contiguous: 3, open: 6, given_up: 3 };
        let api::BootAccount { boot, sent, acknowledged, stored, open, given_up } = account(&boot);
        assert_eq!((boot.as_str(), sent, acknowledged), ("ffffffffffffffff", 10, 3));
        assert_eq!(stored + open + given_up, sent);
    }

    #[test]
    fn a_gap_that_was_filled_misses_nothing() {
        let gap = Gap { boot: 1, first: 4, last: 7, numbers: 4, noticed_us: 5_500, state: GapState::Open };
        assert_eq!((shown_gap(&gap).missing, shown_gap(&gap).noticed), (4, 5));
        let filled = shown_gap(&Gap { state: GapState::Filled { closed_us: 9_000 }, ..gap });
        assert_eq!((filled.missing, filled.state, filled.filled), (0, "filled", Some(9)));
    }
}

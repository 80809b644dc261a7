//! Keys as an admin gets them: when they are new, and again on purpose, as a label or as a file for the device. The audit log tells who
//! saw which.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use vitalwire_access::DeviceId;
use vitalwire_label::{
    Label, NETWORK, identity_sector, identity_uf2, key_digits, key_line, page_url, setup_label,
};
use vitalwire_registry::{
    DeviceKey, FreshKey, PreviousLink, Protocol, ROTATION_OVERLAP, Registry, SetupSecrets,
};

use super::{named, until};
use crate::api::Right;
use crate::api::admin as api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::{Routes, Who, body, says};

pub(super) fn routes() -> Routes {
    let may = Who::May(Right::Devices);
    Routes::default()
        .post(
            "/api/v1/admin/devices",
            may,
            enrol,
            says("Enrols a device; the answer has its key.")
                .takes::<api::NewDevice>()
                .answers::<api::DeviceKeys>()
                .status(StatusCode::CONFLICT, "there is such a device, or its erasure is not done"),
        )
        .post(
            "/api/v1/admin/devices/{id}/rotate",
            may,
            rotate,
            says("A device gets a fresh key.").takes::<api::RotateDevice>().answers::<api::DeviceKeys>(),
        )
        .post(
            "/api/v1/admin/devices/{id}/label",
            may,
            label,
            says("A device's label as a drawing; that someone saw it goes on record.")
                .takes::<api::LabelWanted>()
                .answers::<api::LabelDrawn>(),
        )
        .post(
            "/api/v1/admin/devices/{id}/identity",
            may,
            identity,
            says("The file that makes a piece of hardware this device; that someone has it goes on record.")
                .takes::<api::IdentityWanted>()
                .answers_as("application/octet-stream"),
        )
}

/// Enrols a device with a fresh key.
async fn enrol(
    State(app): State<Arc<App>>,
    person: Person,
    request: Request,
) -> Result<Json<api::DeviceKeys>, Failure> {
    let api::NewDevice { id, protocol } = body(request).await?;
    let id: DeviceId = id.parse().map_err(|error| Failure::Malformed(format!("the device: {error}")))?;
    let protocol = match protocol {
        api::ProtocolName::Tls => Protocol::Tls,
        api::ProtocolName::AesCbc => Protocol::AesCbc,
    };
    let position = app.server.journal_position();
    let enrolled = move |registry: &Registry| {
        // To it belongs what comes from now on, whoever had the name before.
        registry.note_journal_position(position);
        let fresh = FreshKey::generate(protocol)?;
        registry.enrol(&id, &fresh)?;
        Ok(keys(&id, &fresh.key(), None))
    };
    Ok(Json(app.people.act_for(&person.user.name, enrolled).await?))
}

/// Gives a device a fresh key.
async fn rotate(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::DeviceKeys>, Failure> {
    let id = named(&path)?;
    let api::RotateDevice { overlap_s } = body(request).await?;
    let overlap = overlap_s.map_or(ROTATION_OVERLAP, Duration::from_secs);
    let rotated = move |registry: &Registry| {
        let fresh = FreshKey::generate(registry.device(&id)?.protocol)?;
        let previous = registry.rotate_to(&id, &fresh, overlap)?;
        Ok(keys(&id, &fresh.key(), previous.as_ref()))
    };
    Ok(Json(app.people.act_for(&person.user.name, rotated).await?))
}

/// Draws a device's label.
async fn label(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::LabelDrawn>, Failure> {
    let id = named(&path)?;
    let api::LabelWanted { kind, wpa2 } = body(request).await?;
    let device = id.clone();
    let key = move |registry: &Registry| {
        // Asked first, so that no one is told to have seen a key that was not shown.
        let has_code = kind == api::LabelKind::Setup || registry.device(&device)?.protocol == Protocol::Tls;
        if has_code { registry.device_key(&device).map(Some) } else { Ok(None) }
    };
    let key = app.people.act_for(&person.user.name, key).await?;
    let key = key.ok_or_else(|| Failure::Conflict(format!(
        "{id} speaks AES-CBC frames, whose key is on no label; it was shown when it was made, and a rotation makes another"
    )))?;
    Ok(Json(match kind {
        api::LabelKind::Setup => of_setup(&id, &key, wpa2)?,
        api::LabelKind::Key => {
            let links = key.links().ok_or(Failure::UnknownDevice)?;
            api::LabelDrawn {
                svg: Label::new(&links.current, &id)?.svg(id.as_str()),
                page: None,
                setup_key: None,
                network: None,
                password: None,
            }
        }
    }))
}

fn of_setup(id: &DeviceId, key: &DeviceKey, wpa2: bool) -> Result<api::LabelDrawn, Failure> {
    let secrets = SetupSecrets::derive(id, key);
    Ok(api::LabelDrawn {
        svg: setup_label(id, &secrets, wpa2)?.svg(id.as_str()),
        page: Some(page_url(&secrets).to_string()),
        setup_key: Some(key_digits(secrets.key()).to_string()),
        network: Some(NETWORK.to_owned()),
        password: wpa2.then(|| secrets.access_point_password().to_owned()),
    })
}

/// The file that makes a piece of hardware this device.
async fn identity(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Response, Failure> {
    let id = named(&path)?;
    let api::IdentityWanted { form, wpa2 } = body(request).await?;
    let device = id.clone();
    let read =
        move |registry: &Registry| Ok((registry.device(&device)?.enrolled_at, registry.device_key(&device)?));
    let (enrolled_at, key) = app.people.act_for(&person.user.name, read).await?;
    let sector = identity_sector(&id, &key, enrolled_at, wpa2)?;
    let (bytes, end) = match form {
        api::IdentityForm::Uf2 => (identity_uf2(&sector), "uf2"),
        api::IdentityForm::Bin => (sector, "bin"),
    };
    let file = HeaderValue::from_str(&format!("attachment; filename=\"{id}.{end}\""));
    let headers = HeaderMap::from_iter([
        (CONTENT_TYPE, HeaderValue::from_static("application/octet-stream")),
        (CONTENT_DISPOSITION, file.map_err(|_| Failure::UnknownDevice)?),
    ]);
    Ok((headers, bytes.to_vec()).into_response())
}

fn keys(id: &DeviceId, key: &DeviceKey, previous: Option<&PreviousLink>) -> api::DeviceKeys {
    let link = key.links().map(|links| &links.current);
    api::DeviceKeys {
        id: id.to_string(),
        protocol: key.protocol().as_str(),
        identity: link.map(|link| link.id.to_string()),
        psk: link.map(|link| key_digits(link.psk.bytes()).to_string()),
        key_line: key.cbc_secret().map(|secret| key_line(id, secret)),
        old_key_until: until(previous.map(|previous| previous.valid_until), SystemTime::now()),
    }
}

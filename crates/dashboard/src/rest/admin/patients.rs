//! Who wears a device. What is shown of patients is a look, and on record as one.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use vitalwire_access::DeviceId;
use vitalwire_registry::{Moment, PatientChange, Registry, Stay, StayId};

use super::{named, us_to_ms};
use crate::api::Right;
use crate::api::admin as api;
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::rest::{Routes, Who, body, says};
use crate::time::now_us;

pub(super) fn routes() -> Routes {
    let may = Who::May(Right::Patients);
    Routes::default()
        .get(
            "/api/v1/admin/patients",
            may,
            stays,
            says("Who wears which device now.").answers::<api::Stays>(),
        )
        .get(
            "/api/v1/admin/patients/{id}",
            may,
            stays_of,
            says("All who wore a device, the present one last.").answers::<api::Stays>(),
        )
        .post(
            "/api/v1/admin/patients/{id}",
            may,
            set,
            says("Says who wears a device, or that it is another patient from now on.")
                .takes::<api::PatientChange>()
                .answers::<api::StayNumber>()
                .status(
                    StatusCode::CONFLICT,
                    "another name, and not whether it was wrong or it is another patient",
                ),
        )
        .post(
            "/api/v1/admin/patients/{id}/move",
            may,
            move_patient,
            says("A patient gets another device.").takes::<api::MovePatient>().answers::<api::StayNumber>(),
        )
        .post(
            "/api/v1/admin/patients/{id}/discharge",
            may,
            discharge,
            says("A patient no longer wears a device.").takes::<api::Nothing>().answers::<api::StayNumber>(),
        )
}

/// The stays that go on.
async fn stays(State(app): State<Arc<App>>, person: Person) -> Result<Json<api::Stays>, Failure> {
    app.look(&person, app.seen_by(&person)).await;
    let read = |registry: &Registry| {
        let enrolled: Vec<DeviceId> = registry.devices()?.into_iter().map(|info| info.id).collect();
        let mut stays = registry.stays()?;
        stays.retain(|stay| stay.ended_us.is_none() && enrolled.binary_search(&stay.device).is_ok());
        Ok(stays)
    };
    let mut stays = app.people.act_for(&person.user.name, read).await?;
    stays.sort_by(|a, b| a.device.cmp(&b.device));
    Ok(Json(api::Stays { stays: stays.into_iter().map(shown).collect() }))
}

/// All stays of a device.
async fn stays_of(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
) -> Result<Json<api::Stays>, Failure> {
    let device = named(&path)?;
    app.look_at(&person, &device).await;
    let read = move |registry: &Registry| {
        let stays = registry.stays_of(&device)?;
        if stays.is_empty() {
            // It says that there is no such device.
            registry.current_stay(&device)?;
        }
        Ok(stays)
    };
    let stays = app.people.act_for(&person.user.name, read).await?;
    Ok(Json(api::Stays { stays: stays.into_iter().map(shown).collect() }))
}

/// Says who wears a device, or begins the stay of another patient.
async fn set(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::StayNumber>, Failure> {
    let device = named(&path)?;
    let api::PatientChange { name, bed, notes, new, correct } = body(request).await?;
    if new && correct {
        return Err(Failure::Malformed(
            "`new` is for another patient and `correct` for a name that was wrong; it cannot be both"
                .to_owned(),
        ));
    }
    let change = PatientChange { name, bed, notes, corrects_name: correct };
    if change.is_empty() && !new {
        return Err(Failure::Malformed(
            "nothing to set: give `name`, `bed` or `notes`, or `new` for another patient".to_owned(),
        ));
    }
    let moment = new.then(|| moment(&app));
    let stay = move |registry: &Registry| registry.set_patient(&device, &change, moment);
    Ok(answer(app.people.act_for(&person.user.name, stay).await?))
}

/// A patient gets another device.
async fn move_patient(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::StayNumber>, Failure> {
    let device = named(&path)?;
    let api::MovePatient { to } = body(request).await?;
    let to: DeviceId = to.parse().map_err(|_| Failure::UnknownDevice)?;
    let moment = moment(&app);
    let stay = move |registry: &Registry| registry.move_patient(&device, &to, moment);
    Ok(answer(app.people.act_for(&person.user.name, stay).await?))
}

/// A patient no longer wears a device.
async fn discharge(
    State(app): State<Arc<App>>,
    person: Person,
    path: Path<String>,
    request: Request,
) -> Result<Json<api::StayNumber>, Failure> {
    let device = named(&path)?;
    let api::Nothing {} = body(request).await?;
    let moment = moment(&app);
    let stay = move |registry: &Registry| registry.discharge(&device, moment);
    Ok(answer(app.people.act_for(&person.user.name, stay).await?))
}

/// How far the journal is, and then the time: what comes in between has an earlier time.
fn moment(app: &App) -> Moment {
    let position = app.server.journal_position();
    Moment { time_us: now_us(), position }
}

fn answer(stay: StayId) -> Json<api::StayNumber> {
    Json(api::StayNumber { stay: stay.number() })
}

fn shown(stay: Stay) -> api::Stay {
    let text = |text: String| (!text.is_empty()).then_some(text);
    let patient = stay.patient.unwrap_or_default();
    api::Stay {
        stay: stay.id.number(),
        device: stay.device.to_string(),
        started: us_to_ms(stay.started_us),
        ended: stay.ended_us.map(us_to_ms),
        name: text(patient.name),
        bed: text(patient.bed),
        notes: text(patient.notes),
        broken: stay.is_broken,
        devices: stay.parts.iter().map(|part| part.device.to_string()).collect(),
    }
}

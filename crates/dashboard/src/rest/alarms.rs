//! Alarms: what is open, and what a person says about it. The server decides; it writes who it was.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use serde_json::{Value, json};
use vitalwire_gateway::{AlarmError, AlarmList, Silence, WhichAlarms};

use super::{DONE, Routes, Who, body, says};
use crate::api::{Acknowledge, Acknowledged, Alarms, Pause, Right};
use crate::app::{App, Person};
use crate::failure::Failure;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            "/api/v1/alarms",
            Who::Viewer,
            alarms,
            says("The open alarms of the patients that the user sees.").answers::<Alarms>(),
        )
        .post(
            "/api/v1/alarms/ack",
            Who::May(Right::Acknowledge),
            acknowledge,
            says("Someone knows of an alarm, or of all of a device.")
                .takes::<Acknowledge>()
                .answers::<Acknowledged>()
                .status(StatusCode::CONFLICT, "no such alarm is open"),
        )
        .post(
            "/api/v1/alarms/pause",
            Who::May(Right::Pause),
            pause,
            says("No alarm of the device is told for a while, or they are told again.").takes::<Pause>(),
        )
}

/// The open alarms of the patients that a person sees, as the server has them at this moment.
async fn alarms(State(app): State<Arc<App>>, person: Person) -> Json<Value> {
    app.look(&person, app.seen_by(&person)).await;
    let role = &person.user.role;
    let all = app.server.alarms();
    let seen = all.patients.iter().filter(|list| role.sees(&list.device));
    let patients: Vec<Value> = seen.filter_map(|list| of_patient(&app, list)).collect();
    let mut answer = json!({ "patients": patients });
    let ward = serde_json::from_str(&all.ward.to_json()).ok().filter(|_| role.sees_all());
    if let (Some(ward), Some(fields)) = (ward, answer.as_object_mut()) {
        fields.insert("ward".to_owned(), ward);
    }
    Json(answer)
}

fn of_patient(app: &App, list: &AlarmList) -> Option<Value> {
    let n = app.hub.look(|ward| ward.device(&list.device).map(|shown| shown.n))?;
    let mut alarms: Value = serde_json::from_str(&list.to_json()).ok()?;
    let fields = alarms.as_object_mut()?;
    fields.insert("device".to_owned(), list.device.as_str().into());
    fields.insert("n".to_owned(), n.into());
    Some(alarms)
}

/// Someone knows of an alarm, or of all of a patient.
async fn acknowledge(
    State(app): State<Arc<App>>,
    person: Person,
    request: Request,
) -> Result<Json<Acknowledged>, Failure> {
    let asked: Acknowledge = body(request).await?;
    let device = app.device(&person, &asked.device)?;
    let which = match asked.number {
        None => WhichAlarms::Device(device),
        Some(number) => {
            // A number that was mistyped must not be the alarm of another patient.
            let alarms = app.server.alarms();
            let of_device = alarms.patients.iter().find(|list| list.device == device);
            let is_open =
                of_device.is_some_and(|list| list.alarms.iter().any(|alarm| alarm.number == number));
            if !is_open {
                return Err(AlarmError::UnknownNumber(number).into());
            }
            WhichAlarms::Number(number)
        }
    };
    let (by, reason) =
        (person.user.name.as_str(), asked.reason.as_deref().filter(|reason| !reason.is_empty()));
    let acknowledged = app.server.acknowledge(which, by, reason).await?;
    Ok(Json(Acknowledged { acknowledged }))
}

/// No one is told of a patient's alarms for a while, or again.
async fn pause(State(app): State<Arc<App>>, person: Person, request: Request) -> Result<StatusCode, Failure> {
    let asked: Pause = body(request).await?;
    let device = app.device(&person, &asked.device)?;
    let silence = match asked.seconds {
        0 => Silence::Nothing,
        seconds => Silence::Alarms { seconds },
    };
    app.server.silence(device, silence, person.user.name.as_str()).await?;
    Ok(DONE)
}

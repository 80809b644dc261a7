//! A patient's limits: what holds, what others would have raised, and setting them.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{Replayed, alarm_json};
use vitalwire_registry::{AlarmQuery, AlarmRecord, LimitsChange, Registry, StayId, Timeline};
use vitalwire_vitals::alarm::{Condition, Limits};

use super::{DONE, Routes, Who, body, says};
use crate::api::{PatientLimits, Preview, Previewed, PreviewedAlarm, PreviewedCondition, Right, SetLimits};
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::time::now_us;

const HOURS_MAX: u32 = 24;
const HOUR_US: i64 = 3_600_000_000;
/// Alarms of a preview that are listed.
const LISTED_MAX: usize = 200;

pub(super) fn routes() -> Routes {
    const PATH: &str = "/api/v1/devices/{id}/limits";
    Routes::default()
        .get(
            PATH,
            Who::Viewer,
            limits,
            says("The limits of the patient who wears a device.").answers::<PatientLimits>(),
        )
        .put(
            PATH,
            Who::May(Right::Limits),
            set,
            says("Sets the limits of the patient who wears a device.").takes::<SetLimits>().status(
                StatusCode::CONFLICT,
                "another patient has the device by now, or someone else has set other limits",
            ),
        )
        .post(
            "/api/v1/devices/{id}/limits/preview",
            Who::May(Right::Limits),
            preview,
            says("What limits would have raised of what was measured; changes nothing.")
                .takes::<Preview>()
                .answers::<Previewed>(),
        )
}

async fn limits(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
) -> Result<Json<PatientLimits>, Failure> {
    let device = app.device(&person, &id)?;
    let read = move |registry: &Registry| Ok((registry.current_stay(&device)?.id, registry.limits(&device)?));
    let (stay, limits) = app.people.read(read).await?;
    Ok(Json(PatientLimits::new(id, stay.number(), &limits)))
}

async fn set(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
    request: Request,
) -> Result<StatusCode, Failure> {
    let asked: SetLimits = body(request).await?;
    let device = app.device(&person, &id)?;
    let another = || Failure::Malformed("stay: there is no stay of this number".to_owned());
    let change = LimitsChange {
        stay: StayId::new(asked.stay).ok_or_else(another)?,
        before: checked(&asked.before)?,
        limits: checked(&asked.limits)?,
    };
    let by = format!("{}, in the dashboard, from {}", person.user.name, person.peer.ip());
    app.people.write(move |registry| registry.change_limits(&device, &change, &by)).await?;
    Ok(DONE)
}

fn checked(limits: &crate::api::Limits) -> Result<Limits, Failure> {
    Limits::try_from(limits).map_err(|error| Failure::Malformed(error.to_string()))
}

/// What is known of a patient before their history is read.
struct Known {
    stay: StayId,
    timeline: Timeline,
    configured: Limits,
    on_record: Vec<AlarmRecord>,
}

impl Known {
    fn read(
        registry: &Registry,
        device: &DeviceId,
        (from_us, to_us): (i64, i64),
    ) -> vitalwire_registry::Result<Self> {
        let stay = registry.current_stay(device)?.id;
        let (from_us, to_us) = (Some(from_us), Some(to_us));
        let query = AlarmQuery { stay: Some(stay), from_us, to_us, ..AlarmQuery::default() };
        Ok(Self {
            stay,
            timeline: registry.timeline(device)?,
            configured: registry.limits(device)?,
            on_record: registry.alarms(&query)?,
        })
    }
}

async fn preview(
    State(app): State<Arc<App>>,
    person: Person,
    Path(id): Path<String>,
    request: Request,
) -> Result<Json<Previewed>, Failure> {
    let asked: Preview = body(request).await?;
    let limits = checked(&asked.limits)?;
    let hours = asked.hours.unwrap_or(HOURS_MAX);
    if !(1..=HOURS_MAX).contains(&hours) {
        return Err(Failure::Malformed(format!("hours: from 1 to {HOURS_MAX}")));
    }
    // Each takes a core for as long as it lasts.
    let (_turn, person) = app.turn(&app.previews, &person).await?;
    let device = app.device(&person, &id)?;
    let to_us = now_us();
    let range = (to_us.saturating_sub(i64::from(hours) * HOUR_US).max(0), to_us);
    let of = device.clone();
    let known = app.people.read(move |registry| Known::read(registry, &of, range)).await?;
    let history = app.server.history().of_stay(known.stay, known.timeline);
    let times = (at(range.0), at(range.1));
    let replayed = history.replay(&device, times, [known.configured, limits]).await?;
    Ok(Json(previewed(range, &known.on_record, &replayed)))
}

fn at(us: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(us.unsigned_abs())
}

fn previewed((from_us, to_us): (i64, i64), on_record: &[AlarmRecord], replayed: &Replayed) -> Previewed {
    let [configured, asked] = [&replayed.configured, &replayed.asked].map(|of| Replayed::counts(of));
    let of_condition = |condition: Condition| {
        let told = on_record.iter().filter(|record| !record.raised.is_late);
        let on_record = told.filter(|record| record.raised.condition == condition).count();
        let count = |counts: &std::collections::BTreeMap<Condition, usize>| {
            counts.get(&condition).copied().or(Replayed::tells(condition).then_some(0))
        };
        let (configured, asked) = (count(&configured), count(&asked));
        let is_there = on_record > 0 || configured.unwrap_or(0) > 0 || asked.unwrap_or(0) > 0;
        let name = condition.name();
        is_there.then_some(PreviewedCondition { condition: name, on_record, configured, asked })
    };
    let listed = |(by, alarm): (vitalwire_gateway::RaisedBy, &vitalwire_vitals::alarm::Alarm)| {
        PreviewedAlarm { raised_by: by.name(), alarm: alarm_json(alarm) }
    };
    Previewed {
        from: from_us.div_euclid(1_000),
        to: to_us.div_euclid(1_000),
        has_values: replayed.has_values,
        conditions: Condition::ALL.into_iter().filter_map(of_condition).collect(),
        alarms: replayed.merged().into_iter().take(LISTED_MAX).map(listed).collect(),
    }
}

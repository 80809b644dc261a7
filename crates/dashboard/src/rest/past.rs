//! Alarms of before: the newest first, and one with what was measured around it. Of the stays that go on alone, as all history here.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use vitalwire_access::DeviceId;
use vitalwire_gateway::{StripChannel, alarm_json, recorded_alarm};
use vitalwire_registry::{AlarmRecord, PastAlarmQuery, StayId};
use vitalwire_vitals::alarm::Priority;

use super::history::time;
use super::{Routes, TIME_MS_MAX, Who, says};
use crate::api::{self, AlarmStrip, PastAlarm, PastAlarms, PastAlarmsQuery};
use crate::app::{App, Person};
use crate::failure::Failure;
use crate::time::rfc3339;

/// Alarms of a page.
const COUNT: usize = 100;
const COUNT_MAX: usize = 500;
/// Before an alarm was raised, and after it.
const STRIP_MS: i64 = 15_000;

pub(super) fn routes() -> Routes {
    Routes::default()
        .get(
            "/api/v1/alarms/history",
            Who::Viewer,
            history,
            says("Alarms of before, the newest first, of the stays that go on.")
                .asks::<PastAlarmsQuery>()
                .answers::<PastAlarms>(),
        )
        .get(
            "/api/v1/alarms/{number}",
            Who::Viewer,
            strip,
            says("An alarm of a stay that goes on, and what was measured around it.").answers::<AlarmStrip>(),
        )
}

/// Who is in the stays that a person sees, by the stay.
type Seen = BTreeMap<StayId, api::Device>;

fn seen(app: &App, person: &Person) -> Seen {
    app.hub.look(|ward| {
        let devices = ward.devices().filter(|(id, _)| person.user.role.sees(id));
        devices.filter_map(|(_, shown)| Some((StayId::new(shown.stay?)?, shown.clone()))).collect()
    })
}

async fn history(
    State(app): State<Arc<App>>,
    person: Person,
    query: Result<Query<PastAlarmsQuery>, QueryRejection>,
) -> Result<Json<PastAlarms>, Failure> {
    let Query(query) = query.map_err(|error| Failure::Malformed(error.body_text()))?;
    let asked = asked(&query)?;
    app.look(&person, app.seen_by(&person)).await;
    let (_turn, person) = app.turn(&app.histories, &person).await?;
    let device = query.device.as_deref().map(|name| app.device(&person, name)).transpose()?;
    let seen = seen(&app, &person);
    let wanted: Vec<StayId> = match &device {
        None => seen.keys().copied().collect(),
        Some(device) => {
            let of_device = seen.iter().filter(|(_, shown)| shown.id == device.as_str());
            of_device.map(|(stay, _)| *stay).collect()
        }
    };
    let sees_server = person.user.role.sees_all() && device.is_none();
    let keep = move |stay: Option<StayId>| match stay {
        Some(stay) => wanted.binary_search(&stay).is_ok(),
        None => sees_server,
    };
    // One more tells whether there is another page.
    let more = PastAlarmQuery { count: asked.count + 1, ..asked };
    let mut records = app.people.read(move |registry| registry.past_alarms(&more, keep)).await?;
    let is_more = records.len() > asked.count;
    records.truncate(asked.count);
    let next = records.last().map(|record| record.number).filter(|_| is_more);
    Ok(Json(PastAlarms { alarms: records.into_iter().map(|record| shown(record, &seen)).collect(), next }))
}

fn asked(query: &PastAlarmsQuery) -> Result<PastAlarmQuery, Failure> {
    let priority = query.priority.as_deref().map(str::parse::<Priority>).transpose();
    let priority = priority.map_err(|error| Failure::Malformed(format!("priority: {error}")))?;
    let [from, to] = [query.from.unwrap_or(0), query.to.unwrap_or(TIME_MS_MAX)];
    time(from)?;
    time(to)?;
    if from >= to {
        return Err(Failure::History(vitalwire_gateway::HistoryError::Range));
    }
    let count = query.count.unwrap_or(COUNT);
    if !(1..=COUNT_MAX).contains(&count) {
        return Err(Failure::Malformed(format!("count: there are from 1 to {COUNT_MAX} alarms in a page")));
    }
    Ok(PastAlarmQuery {
        from_us: from.saturating_mul(1_000),
        to_us: to.saturating_mul(1_000),
        before: query.before,
        priority: priority.unwrap_or(Priority::Low),
        count,
    })
}

fn shown(record: AlarmRecord, seen: &Seen) -> PastAlarm {
    let (stay, closed_us, late) = (record.stay, record.closed_us, record.raised.is_late);
    let device = record.device.as_ref().map(DeviceId::to_string);
    let whose = stay.and_then(|stay| seen.get(&stay));
    PastAlarm {
        device,
        stay: stay.map(StayId::number),
        patient: whose.and_then(|shown| shown.patient.clone()),
        bed: whose.and_then(|shown| shown.bed.clone()),
        closed: closed_us.map(rfc3339),
        late,
        alarm: alarm_json(&recorded_alarm(record)),
    }
}

async fn strip(
    State(app): State<Arc<App>>,
    person: Person,
    number: Result<Path<u64>, PathRejection>,
) -> Result<Json<AlarmStrip>, Failure> {
    let Ok(Path(number)) = number else { return Err(Failure::UnknownAlarm) };
    let (_turn, person) = app.turn(&app.histories, &person).await?;
    let record =
        app.people.read(move |registry| registry.alarm(number)).await?.ok_or(Failure::UnknownAlarm)?;
    let seen = seen(&app, &person);
    let whose = record.stay.and_then(|stay| seen.get(&stay)).map(|shown| (shown.n, shown.id.clone()));
    let raised_ms = record.raised_us.div_euclid(1_000).clamp(STRIP_MS, TIME_MS_MAX - STRIP_MS);
    let (from, to) = (raised_ms - STRIP_MS, raised_ms + STRIP_MS);
    let (mut channels, mut limits) = (Vec::new(), None);
    match (whose, record.device.clone(), record.stay) {
        (Some((n, id)), Some(device), Some(stay)) => {
            let wears = id.parse::<DeviceId>().map_err(|_| Failure::UnknownAlarm)?;
            app.look(&person, vec![(n, wears.clone())]).await;
            let of = device.clone();
            let read = move |registry: &vitalwire_registry::Registry| {
                Ok((registry.timeline(&of)?, registry.limits(&wears)?))
            };
            let (timeline, now) = app.people.read(read).await?;
            limits = Some((&now).into());
            let history = app.server.history().of_stay(stay, timeline);
            let found = history.strip(&device, (time(from)?, time(to)?)).await?;
            channels = found.iter().map(|one| channel(one, device.to_string(), (from, to))).collect();
        }
        (None, None, None) if person.user.role.sees_all() => {}
        _ => return Err(Failure::UnknownAlarm),
    }
    Ok(Json(AlarmStrip { record: shown(record, &seen), limits, from, to, channels }))
}

fn channel(found: &StripChannel, device: String, (from, to): (i64, i64)) -> api::StripChannel {
    let StripChannel { channel, buckets } = found;
    let mut values = api::History {
        device,
        channel: channel.name.clone(),
        unit: Some(channel.unit.clone()),
        from,
        to,
        ..api::History::default()
    };
    buckets.iter().for_each(|bucket| values.push(bucket));
    let wave = api::wave_name(channel).filter(|_| channel.wave.is_some());
    api::StripChannel { title: channel.title.clone(), wave, values }
}

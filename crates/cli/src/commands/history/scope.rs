//! Whose readings are shown: those of one stay, so that one patient's never stand under another's name.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use vitalwire_access::DeviceId;
use vitalwire_gateway::{History, HistoryQuery};
use vitalwire_registry::{Registry, Stay, StayId};

use super::{HistoryArgs, check_enrolled};
use crate::output::note;

/// The default of --last.
const LAST: Duration = Duration::from_secs(3600);
/// Stays that are named when they are left out.
const LEFT_OUT_NAMED: usize = 5;

/// What is asked of one device.
pub(super) struct View {
    pub(super) history: History,
    pub(super) query: HistoryQuery,
    /// The stay that was asked for by its number.
    stay: Option<StayId>,
}

impl View {
    /// It is about the stay that goes on.
    pub(super) fn is_present(&self) -> bool {
        self.stay.is_none()
    }

    /// The device, where it was not asked for by its name.
    pub(super) fn named_device(&self) -> Option<&str> {
        self.stay.map(|_| self.query.device.as_str())
    }

    pub(super) fn title(&self) -> String {
        let HistoryQuery { channel, device, .. } = &self.query;
        match self.stay {
            None => format!("{channel} of {device}"),
            Some(stay) => format!("{channel} of {device}, stay {stay}"),
        }
    }
}

/// What is to be shown, device by device.
///
/// # Errors
/// When there is no such device or stay, or the registry cannot be asked whose readings these are.
pub(super) async fn views(args: &HistoryArgs, history: &History) -> anyhow::Result<Vec<View>> {
    let registry = args.data.open().context("whose readings these are cannot be looked up")?;
    match (&args.stay, &args.device) {
        (Some(stay), _) => of_stay(args, history, &registry, *stay),
        (None, Some(device)) => Ok(vec![of_device(args, history, &registry, device).await?]),
        (None, None) => anyhow::bail!("name a device, or a stay by --stay"),
    }
}

/// The present stay of a device; all, as long as no one ever said who wears it.
async fn of_device(
    args: &HistoryArgs,
    history: &History,
    registry: &Registry,
    device: &DeviceId,
) -> anyhow::Result<View> {
    if !history.knows(device).await? {
        check_enrolled(device, registry)?;
    }
    let to = args.to.unwrap_or_else(SystemTime::now);
    let query = HistoryQuery { from: from(args, to)?, ..query(args, device, to) };
    let timeline = registry.timeline(device)?;
    let Some(last) = timeline.borders.last().filter(|_| timeline.has_patients) else {
        return Ok(View { history: history.clone(), query, stay: None });
    };
    let present = last.stay;
    let known_since = timeline.borders.first().map_or(0, |border| border.time_us);
    if known_since > 0 && query.from < utc(known_since) {
        let since = humantime::format_rfc3339_seconds(utc(known_since));
        note!("Who wore {device} before {since} is not known: what it measured then is not shown.");
    }
    tell_what_is_left_out(args, registry, &query, present)?;
    Ok(View { history: history.of_stay(present, timeline), query, stay: None })
}

/// One stay, on every device of it that is asked for. Without a range it is all of it.
fn of_stay(
    args: &HistoryArgs,
    history: &History,
    registry: &Registry,
    id: StayId,
) -> anyhow::Result<Vec<View>> {
    let stay = registry.stay(id)?;
    let end = stay.ended_us.map_or_else(SystemTime::now, utc);
    let to = args.to.unwrap_or(if args.last.is_some() { SystemTime::now() } else { end });
    // One that began by a clock that was ahead has no beginning that could be shown.
    let begun = Some(utc(stay.started_us)).filter(|begun| *begun < to);
    let from = match begun.filter(|_| args.from.is_none() && args.last.is_none()) {
        Some(begun) => begun,
        None => from(args, to)?,
    };
    let mut devices: Vec<&DeviceId> = Vec::new();
    for part in &stay.parts {
        if !devices.contains(&&part.device) {
            devices.push(&part.device);
        }
    }
    let view = |device: &DeviceId| {
        let timeline = registry.timeline(device)?;
        let query = HistoryQuery { from, ..query(args, device, to) };
        Ok(View { history: history.of_stay(id, timeline), query, stay: Some(id) })
    };
    devices.into_iter().map(view).collect()
}

fn query(args: &HistoryArgs, device: &DeviceId, to: SystemTime) -> HistoryQuery {
    HistoryQuery { device: device.clone(), channel: args.channel.clone(), from: to, to }
}

fn from(args: &HistoryArgs, to: SystemTime) -> anyhow::Result<SystemTime> {
    match args.from {
        Some(from) => Ok(from),
        None => {
            to.checked_sub(args.last.unwrap_or(LAST)).context("--last reaches further back than time does")
        }
    }
}

fn utc(time_us: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_micros(u64::try_from(time_us).unwrap_or(0))
}

/// Says on standard error which earlier stays the range reaches into, and how to see them. Without a name.
fn tell_what_is_left_out(
    args: &HistoryArgs,
    registry: &Registry,
    query: &HistoryQuery,
    present: StayId,
) -> anyhow::Result<()> {
    let device = &query.device;
    let is_within = |stay: &Stay| {
        let mut parts = stay.parts.iter().filter(|part| part.device == *device);
        stay.id != present
            && parts.any(|part| {
                let end = part.to_us.map(utc);
                utc(part.from_us) < query.to && end.is_none_or(|end| query.from < end)
            })
    };
    let others: Vec<_> = registry.stays_of(device)?.into_iter().filter(is_within).collect();
    let Some(latest) = others.last() else { return Ok(()) };
    let named: Vec<_> = others.iter().rev().take(LEFT_OUT_NAMED).map(|stay| stay.id.to_string()).collect();
    let more = others.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} earlier ones") } else { String::new() };
    let which = if others.len() == 1 { "stay" } else { "stays" };
    note!(
        "Shown is the present stay ({present}) alone: in this time {device} was also in {which} {}{more}.",
        named.join(", ")
    );
    note!("What was measured then:");
    note!("  vitalwire history --stay {} --channel {}{}", latest.id, args.channel, args.data.flags());
    Ok(())
}

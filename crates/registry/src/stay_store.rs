//! Patients and stays in the store: who wears which device, since when, and with which limits. It never keeps an opened name.

use std::collections::BTreeMap;

use rusqlite::{Connection, Row};
use vitalwire_access::DeviceId;
use vitalwire_vitals::alarm::Limits;

use crate::audit::AuditKind;
use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::seal::{SealBroken, SealedRow, Sealer};
use crate::sealed_row::unpack_patient;
use crate::stay::{CurrentStay, Moment, Patient, PatientChange, Stay, StayId, StayPart};
use crate::stay_change::open_part;
use crate::store::Registry;
use crate::timeline::Timeline;

/// The most parts of stays that are kept of a device. With one more the oldest goes: then no one is known to whom what
/// was measured before belongs.
pub const STAYS_OF_DEVICE_MAX: usize = 10_000;

/// What a person makes of a patient's limits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LimitsChange {
    /// Of whom.
    pub stay: StayId,
    /// Those that were looked at.
    pub before: Limits,
    /// Those that are to hold.
    pub limits: Limits,
}

impl Registry {
    /// Changes what is known of the patient who wears a device, or, with a moment, begins a new stay of another patient.
    /// Gives back the stay.
    ///
    /// # Errors
    /// When the device is not known, a text may not be kept, or a name that is there would be replaced by another one.
    pub fn set_patient(
        &self,
        device: &DeviceId,
        change: &PatientChange,
        new_stay: Option<Moment>,
    ) -> Result<StayId> {
        self.change(|to| match new_stay {
            None => to.change_patient(device, change),
            Some(moment) => {
                to.check_enrolled(device)?;
                let patient = change.apply(Patient::default())?;
                let stay = to.begin_stay(device, moment)?;
                to.put_patient(stay, &patient)?;
                let kind = if patient.is_empty() { AuditKind::StayBegun } else { AuditKind::PatientAdmitted };
                to.record(kind, device.as_str(), &format!("stay {stay}"))?;
                Ok(stay)
            }
        })
    }

    /// A patient gets another device; the stay goes on there. No one is known to wear the device they had. Gives back the stay.
    ///
    /// # Errors
    /// When one of the devices is not known, they are the same, or another patient wears the one they get.
    pub fn move_patient(&self, from: &DeviceId, to: &DeviceId, moment: Moment) -> Result<StayId> {
        if from == to {
            return Err(RegistryError::MoveToSame(to.clone()));
        }
        self.change(|change| {
            let stay = change.open_part(from)?.stay;
            change.check_enrolled(to)?;
            if is_named(&change.transaction, change.open_part(to)?.stay)? {
                return Err(RegistryError::DeviceIsWorn(to.clone()));
            }
            change.begin_stay(from, moment)?;
            change.begin_part(to, stay, moment, None)?;
            change.touch(stay)?;
            change.record(AuditKind::PatientMoved, from.as_str(), &format!("stay {stay}, to {to}"))?;
            Ok(stay)
        })
    }

    /// The patient no longer wears the device. Gives back the stay that ended.
    ///
    /// # Errors
    /// When the device is not known, or no one is known to wear it.
    pub fn discharge(&self, device: &DeviceId, moment: Moment) -> Result<StayId> {
        self.change(|change| {
            let stay = change.open_part(device)?.stay;
            if !is_named(&change.transaction, stay)? {
                return Err(RegistryError::PatientUnknown(device.clone()));
            }
            change.begin_stay(device, moment)?;
            change.record(AuditKind::PatientDischarged, device.as_str(), &format!("stay {stay}"))?;
            Ok(stay)
        })
    }

    /// Sets the limits of the alarms of the patient who wears a device. They go with the patient.
    ///
    /// # Errors
    /// When the device is not known, or the limits make no sense.
    pub fn set_limits(&self, device: &DeviceId, limits: &Limits) -> Result<StayId> {
        check_limits(limits)?;
        self.change(|change| {
            let stay = change.open_part(device)?.stay;
            change.put_limits(stay, limits)?;
            change.record(AuditKind::LimitsSet, device.as_str(), &format!("stay {stay}"))?;
            Ok(stay)
        })
    }

    /// The same for a person who looked at limits and changed them: they hold for the patient that was looked at, and only where no one
    /// else has set others meanwhile. `by` goes on record.
    ///
    /// # Errors
    /// As [`Registry::set_limits`]; another patient has the device, or the limits are others than those that were looked at.
    pub fn change_limits(&self, device: &DeviceId, asked: &LimitsChange, by: &str) -> Result<()> {
        check_limits(&asked.limits)?;
        self.change(|change| {
            if change.open_part(device)?.stay != asked.stay {
                return Err(RegistryError::StayIsAnother(device.clone()));
            }
            if read_limits_of(&change.transaction, asked.stay, device)? != asked.before {
                return Err(RegistryError::LimitsAreOthers(device.clone()));
            }
            change.put_limits(asked.stay, &asked.limits)?;
            change.record(AuditKind::LimitsSet, device.as_str(), &format!("stay {}, by {by}", asked.stay))
        })
    }

    /// The limits of the alarms of the patient who wears a device.
    ///
    /// # Errors
    /// When the device is not known, or the file cannot be read.
    pub fn limits(&self, device: &DeviceId) -> Result<Limits> {
        read_limits_of(&self.connection, open_part(&self.connection, device)?.stay, device)
    }

    /// All stays, in the order in which they began.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stays(&self) -> Result<Vec<Stay>> {
        read_stays(&self.connection, &self.sealer, "SELECT id FROM stays ORDER BY id", ())
    }

    /// All stays of a device, also those that were on others before or after, in the order in which they began there.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stays_of(&self, device: &DeviceId) -> Result<Vec<Stay>> {
        let ids = "SELECT stay FROM stay_parts WHERE device = ?1 GROUP BY stay ORDER BY min(number)";
        read_stays(&self.connection, &self.sealer, ids, [device.as_str()])
    }

    /// One stay.
    ///
    /// # Errors
    /// When there is none with this number, or the file cannot be read.
    pub fn stay(&self, id: StayId) -> Result<Stay> {
        let found =
            read_stays(&self.connection, &self.sealer, "SELECT id FROM stays WHERE id = ?1", [id.stored()])?;
        found.into_iter().next().ok_or(RegistryError::StayUnknown(id))
    }

    /// The stay that goes on on a device, enrolled or revoked.
    ///
    /// # Errors
    /// When the device is not known, or the file cannot be read.
    pub fn current_stay(&self, device: &DeviceId) -> Result<Stay> {
        self.stay(open_part(&self.connection, device)?.stay)
    }

    /// From when on what each device measures is of the stay that goes on there: UTC, microseconds since 1970.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn borders(&self) -> Result<BTreeMap<DeviceId, i64>> {
        let sql = "SELECT device, border_us FROM stay_parts WHERE to_us IS NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement
            .query_map([], |row| Ok((row.get_ref(0)?.as_str().unwrap_or_default().parse(), row.get(1)?)))?;
        // A name that someone changed by hand is none.
        rows.filter_map(|row| row.map(|(id, us)| id.ok().map(|id| (id, us))).transpose())
            .collect::<rusqlite::Result<_>>()
            .map_err(Into::into)
    }

    /// To which stay what a device measured belongs.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn timeline(&self, device: &DeviceId) -> Result<Timeline> {
        Timeline::read(&self.connection, device)
    }

    /// Whether borders between stays are ahead of the clock or of the journal: then the clock was set back, or the journal began again.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn borders_are_ahead(&self, moment: Moment) -> Result<bool> {
        let sql = "SELECT 1 FROM stay_parts WHERE to_us IS NULL AND (border_us > ?1 OR border_position > ?2)";
        let position = i64::try_from(moment.position).unwrap_or(i64::MAX);
        Ok(self.connection.prepare_cached(sql)?.exists((moment.time_us, position))?)
    }

    /// Begins the borders of all devices again, for the times of readings no longer fit the borders of before: the clock was set by
    /// so many microseconds (0: it is not known by how much), or the journal began again. Each stay goes on. What arrives from now on
    /// and was measured before the present stay surely had begun is of a stay of no one known: whose it is cannot be told.
    /// Tells on how many devices.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn divide_anew(&self, moment: Moment, set_by_us: i64, why: &str) -> Result<usize> {
        self.change(|change| {
            let devices = change.divided_devices()?;
            for device in &devices {
                change.divide_anew(device, moment, set_by_us)?;
            }
            change.keep_single_borders(&devices, moment)?;
            let count = devices.len();
            if count > 0 {
                let detail = format!("{why}; on {count} devices what comes late now is of no one known");
                change.record(AuditKind::StaysDividedAnew, "", &detail)?;
            }
            Ok(count)
        })
    }

    /// Forgets who it was in stays that ended before this time (UTC, microseconds since 1970). When they were stays, so that what was
    /// measured in them is never taken for another patient's. Tells of how many.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn forget_patients(&self, before_us: i64) -> Result<usize> {
        const ENDED: &str = "length(patient) > 0 AND NOT EXISTS (
            SELECT 1 FROM stay_parts WHERE stay = id AND coalesce(to_us, 9223372036854775807) >= ?1)";
        let mut statement =
            self.connection.prepare_cached(&format!("SELECT 1 FROM stays WHERE {ENDED} LIMIT 1"))?;
        if !statement.exists([before_us])? {
            return Ok(0);
        }
        let mut count = 0;
        self.append_only(|change| {
            count = change
                .transaction
                .execute(&format!("UPDATE stays SET patient = x'' WHERE {ENDED}"), [before_us])?;
            change.record(AuditKind::PatientsForgotten, "", &format!("of {count} stays"))
        })?;
        Ok(count)
    }
}

pub(crate) fn read_id(row: &Row<'_>, column: usize) -> rusqlite::Result<StayId> {
    let stored = row.get(column)?;
    StayId::read(stored).ok_or(rusqlite::Error::IntegralValueOutOfRange(column, stored))
}

fn is_named(connection: &Connection, stay: StayId) -> Result<bool> {
    let sql = "SELECT 1 FROM stays WHERE id = ?1 AND patient IS NOT NULL";
    Ok(connection.prepare_cached(sql)?.exists([stay.stored()])?)
}

pub(crate) type Opened = Result<Option<Patient>, SealBroken>;

pub(crate) fn read_patient(connection: &Connection, sealer: &Sealer, stay: StayId) -> Result<Opened> {
    let mut statement = connection.prepare_cached("SELECT patient FROM stays WHERE id = ?1")?;
    let opened = statement.query_row([stay.stored()], |row| {
        Ok(row.get_ref(0)?.as_blob_or_null()?.map(|sealed| open_patient(sealer, stay, sealed)))
    })?;
    Ok(opened.map_or(Ok(None), |opened| opened))
}

/// What is empty was forgotten.
fn open_patient(sealer: &Sealer, stay: StayId, sealed: &[u8]) -> Opened {
    if sealed.is_empty() {
        return Ok(None);
    }
    let plain = sealer.open_row(SealedRow::Patient { stay: stay.stored() }, sealed)?;
    unpack_patient(&plain).map(Some).ok_or(SealBroken)
}

fn read_stays(
    connection: &Connection,
    sealer: &Sealer,
    ids: &str,
    parameters: impl rusqlite::Params,
) -> Result<Vec<Stay>> {
    let mut statement = connection.prepare_cached(ids)?;
    let ids = statement.query_map(parameters, |row| read_id(row, 0))?;
    let ids = ids.collect::<rusqlite::Result<Vec<_>>>()?;
    let stays = ids.into_iter().map(|id| read_stay(connection, sealer, id));
    stays.filter_map(Result::transpose).collect()
}

/// A stay whose parts someone took away by hand is none.
fn read_stay(connection: &Connection, sealer: &Sealer, id: StayId) -> Result<Option<Stay>> {
    let sql = "SELECT device, from_us, to_us FROM stay_parts WHERE stay = ?1 ORDER BY number";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([id.stored()])?;
    let mut parts = Vec::new();
    while let Some(row) = rows.next()? {
        let Ok(device) = row.get_ref(0)?.as_str().unwrap_or_default().parse() else { continue };
        add_part(&mut parts, StayPart { device, from_us: row.get(1)?, to_us: row.get(2)? });
    }
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else { return Ok(None) };
    let opened = read_patient(connection, sealer, id)?;
    Ok(Some(Stay {
        id,
        device: last.device.clone(),
        started_us: first.from_us,
        ended_us: last.to_us,
        is_broken: opened.is_err(),
        patient: opened.ok().flatten().filter(|patient| !patient.is_empty()),
        parts,
    }))
}

/// Where borders were divided anew, a stay has two parts for what is one to people.
fn add_part(parts: &mut Vec<StayPart>, part: StayPart) {
    match parts.last_mut() {
        Some(last) if last.device == part.device && last.to_us == Some(part.from_us) => {
            last.to_us = part.to_us
        }
        _ => parts.push(part),
    }
}

/// What a server must know of a device's stay.
pub(crate) type StayChange = (DeviceId, CurrentStay);

/// The stays that go on on enrolled devices and changed after the version, by device; with `None` all.
pub(crate) fn read_current(connection: &Connection, after: Option<i64>) -> Result<Vec<StayChange>> {
    let condition = if after.is_some() { "stays.version > ?1" } else { "?1 IS NULL" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT device, stay, limits, (
             SELECT min(from_us) FROM stay_parts AS part
             WHERE part.stay = stay_parts.stay AND part.device = stay_parts.device
         ) FROM stays JOIN stay_parts ON stay = stays.id JOIN devices ON devices.id = device
         WHERE {condition} AND to_us IS NULL AND sealed IS NOT NULL ORDER BY device"
    ))?;
    let mut rows = statement.query([after])?;
    let mut changes = Vec::new();
    while let Some(row) = rows.next()? {
        let device = row.get_ref(0)?.as_str().unwrap_or_default();
        // The device's own row is reported as broken.
        let Ok(id) = device.parse::<DeviceId>() else { continue };
        let limits = read_limits(row.get_ref(2)?.as_str_or_null().unwrap_or(Some("")), device);
        changes.push((id, CurrentStay { id: read_id(row, 1)?, started_us: row.get(3)?, limits }));
    }
    Ok(changes)
}

impl Change<'_> {
    fn put_limits(&self, stay: StayId, limits: &Limits) -> Result<()> {
        let text = (*limits != Limits::default()).then(|| limits.to_string());
        let sql = "UPDATE stays SET limits = ?2, version = ?3 WHERE id = ?1";
        self.transaction.execute(sql, (stay.stored(), text, self.version))?;
        Ok(())
    }
}

fn check_limits(limits: &Limits) -> Result<()> {
    limits.check().map_err(|cause| RegistryError::Limits(cause.to_string()))
}

fn read_limits_of(connection: &Connection, stay: StayId, device: &DeviceId) -> Result<Limits> {
    let mut statement = connection.prepare_cached("SELECT limits FROM stays WHERE id = ?1")?;
    let text: Option<String> = statement.query_row([stay.stored()], |row| row.get(0))?;
    Ok(read_limits(text.as_deref(), device.as_str()))
}

/// Limits that someone changed by hand are the defaults, rather than none.
fn read_limits(text: Option<&str>, device: &str) -> Limits {
    let Some(text) = text else { return Limits::default() };
    let read = text.parse::<Limits>().ok().filter(|limits| limits.check().is_ok());
    read.unwrap_or_else(|| {
        tracing::error!(
            device,
            "the limits of alarms cannot be read, so the usual ones hold; set them again"
        );
        Limits::default()
    })
}

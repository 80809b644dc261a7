//! Changes of stays inside one transaction: who wears a device, and the borders between stays.

use rusqlite::{Connection, OptionalExtension};
use vitalwire_access::DeviceId;

use crate::audit::AuditKind;
use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::seal::{SealBroken, SealedRow};
use crate::sealed_row::pack_patient;
use crate::stay::{Moment, Patient, PatientChange, StayId};
use crate::stay_store::{STAYS_OF_DEVICE_MAX, read_id, read_patient};

/// The part of a stay that goes on.
pub(crate) struct OpenPart {
    number: i64,
    pub(crate) stay: StayId,
    from_us: i64,
    border_us: i64,
}

impl Change<'_> {
    pub(crate) fn open_part(&self, device: &DeviceId) -> Result<OpenPart> {
        open_part(&self.transaction, device)
    }

    pub(crate) fn change_patient(&self, device: &DeviceId, change: &PatientChange) -> Result<StayId> {
        let stay = self.open_part(device)?.stay;
        let before = match read_patient(&self.transaction, self.sealer, stay)? {
            Ok(before) => before,
            Err(SealBroken) if change.corrects_name => Some(Patient::default()),
            Err(SealBroken) => return Err(RegistryError::PatientBroken(stay)),
        };
        let (kind, before) = match before {
            None => (AuditKind::PatientAdmitted, Patient::default()),
            Some(before) => (AuditKind::PatientChanged, before),
        };
        let name = before.name.clone();
        let after = change.apply(before)?;
        if !name.is_empty() && after.name != name && !change.corrects_name {
            return Err(RegistryError::PatientIsAnother(device.clone()));
        }
        self.put_patient(stay, &after)?;
        let what = change.fields();
        self.record(kind, device.as_str(), &format!("stay {stay}: {what}"))?;
        Ok(stay)
    }

    pub(crate) fn put_patient(&self, stay: StayId, patient: &Patient) -> Result<()> {
        let id = stay.stored();
        // A stay of which something was known once stays one, so that its readings stay its own.
        let sealed = self.sealer.seal_row(SealedRow::Patient { stay: id }, &pack_patient(patient));
        let sql = "UPDATE stays SET patient = ?2 WHERE id = ?1 AND (?3 OR patient IS NOT NULL)";
        self.transaction.execute(sql, (id, sealed, !patient.is_empty()))?;
        Ok(())
    }

    /// Devices of which readings could be taken for another patient's.
    pub(crate) fn divided_devices(&self) -> Result<Vec<DeviceId>> {
        let sql = "SELECT device FROM stay_parts GROUP BY device HAVING count(*) > 1 ORDER BY device";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let devices =
            statement.query_map([], |row| Ok(row.get_ref(0)?.as_str().unwrap_or_default().parse()))?;
        let devices = devices.collect::<rusqlite::Result<Vec<_>>>()?;
        Ok(devices.into_iter().flatten().collect())
    }

    /// A device with one stay has all that comes, also when the journal begins again.
    pub(crate) fn keep_single_borders(&self, divided: &[DeviceId], moment: Moment) -> Result<()> {
        let position = i64::try_from(moment.position).unwrap_or(i64::MAX);
        let sql = "SELECT number, device FROM stay_parts
                   WHERE to_us IS NULL AND (border_us > ?1 OR border_position > ?2)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let ahead = statement.query_map((moment.time_us, position), |row| {
            Ok((row.get(0)?, row.get_ref(1)?.as_str().unwrap_or_default().to_owned()))
        })?;
        let ahead = ahead.collect::<rusqlite::Result<Vec<(i64, String)>>>()?;
        for (number, _) in
            ahead.iter().filter(|(_, name)| !divided.iter().any(|device| device.as_str() == name))
        {
            let sql =
                "UPDATE stay_parts SET border_position = 0, border_us = min(border_us, ?2) WHERE number = ?1";
            self.transaction.execute(sql, (number, moment.time_us))?;
        }
        Ok(())
    }

    /// A border that a clock made which was behind is truly later, by what the clock was set forward, at most. One that a clock made
    /// which was ahead is truly earlier, so that what is after it is after it all the same.
    pub(crate) fn divide_anew(&self, device: &DeviceId, moment: Moment, set_by_us: i64) -> Result<()> {
        let Some(present) = find_open_part(&self.transaction, device)? else { return Ok(()) };
        let surely_us = present.border_us.saturating_add(set_by_us.max(0)).min(moment.time_us);
        let unclear = self.new_stay()?;
        self.begin_part(device, unclear, moment, Some(0))?;
        self.begin_part(device, present.stay, moment, Some(surely_us))
    }

    /// The first stay of an enrolment: of no one known. A first enrolment has all that its name ever sends, also when the clock
    /// is set back.
    pub(crate) fn begin_at_enrolment(&self, device: &DeviceId, generation: u32, time_us: i64) -> Result<()> {
        let stay = self.new_stay()?;
        match generation {
            1 => self.begin_part(device, stay, Moment { time_us, position: 0 }, Some(0)),
            _ => self.begin_part(device, stay, Moment { time_us, position: self.enrolled_at }, None),
        }
    }

    /// Ends what goes on on a device, and begins a new stay there.
    pub(crate) fn begin_stay(&self, device: &DeviceId, moment: Moment) -> Result<StayId> {
        let stay = self.new_stay()?;
        self.begin_part(device, stay, moment, None)?;
        Ok(stay)
    }

    fn new_stay(&self) -> Result<StayId> {
        let id: i64 = self.transaction.query_row(
            "UPDATE registry SET last_stay = last_stay + 1 RETURNING last_stay",
            [],
            |row| row.get(0),
        )?;
        let stay = StayId::read(id).ok_or(rusqlite::Error::IntegralValueOutOfRange(0, id))?;
        self.transaction
            .prepare_cached("INSERT INTO stays (id, version) VALUES (?1, ?2)")?
            .execute((id, self.version))?;
        Ok(stay)
    }

    /// Ends what goes on on a device, and goes on there with this stay. For people it never begins before the one before it
    /// ended, however the clock was set.
    pub(crate) fn begin_part(
        &self,
        device: &DeviceId,
        stay: StayId,
        moment: Moment,
        border_us: Option<i64>,
    ) -> Result<()> {
        let Moment { time_us, position } = moment;
        let mut from_us = time_us;
        if let Some(before) = find_open_part(&self.transaction, device)? {
            from_us = from_us.max(before.from_us);
            self.transaction
                .prepare_cached("UPDATE stay_parts SET to_us = ?2 WHERE number = ?1")?
                .execute((before.number, from_us))?;
        }
        let border_us = match border_us {
            Some(border_us) => border_us,
            None if position > 0 => time_us,
            // Without a position the time alone divides, and then no border may lie before an earlier one.
            None => from_us.max(latest_border(&self.transaction, device)?),
        };
        let border_position = i64::try_from(position).unwrap_or(i64::MAX);
        let sql = "INSERT INTO stay_parts (stay, device, from_us, border_us, border_position)
                   VALUES (?1, ?2, ?3, ?4, ?5)";
        self.transaction.prepare_cached(sql)?.execute((
            stay.stored(),
            device.as_str(),
            from_us,
            border_us,
            border_position,
        ))?;
        self.drop_oldest_part(device)
    }

    fn drop_oldest_part(&self, device: &DeviceId) -> Result<()> {
        let limit = i64::try_from(STAYS_OF_DEVICE_MAX).unwrap_or(i64::MAX);
        let sql = "SELECT number FROM stay_parts WHERE device = ?1 ORDER BY number DESC LIMIT 1 OFFSET ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let over: Option<i64> = statement.query_row((device.as_str(), limit), |row| row.get(0)).optional()?;
        over.map_or(Ok(()), |number| self.drop_parts(device, number))
    }

    /// The parts of a device up to this one, and stays of which no part is left.
    fn drop_parts(&self, device: &DeviceId, up_to: i64) -> Result<()> {
        let parameters = (device.as_str(), up_to);
        let sql = "SELECT DISTINCT stay FROM stay_parts WHERE device = ?1 AND number <= ?2";
        let mut statement = self.transaction.prepare_cached(sql)?;
        let stays = statement.query_map(parameters, |row| row.get(0))?;
        let stays = stays.collect::<rusqlite::Result<Vec<i64>>>()?;
        self.transaction.execute("DELETE FROM stay_parts WHERE device = ?1 AND number <= ?2", parameters)?;
        let sql = "DELETE FROM stays WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM stay_parts WHERE stay = ?1)";
        let mut statement = self.transaction.prepare_cached(sql)?;
        for stay in stays {
            statement.execute([stay])?;
        }
        Ok(())
    }

    /// A server must look at the stay again.
    pub(crate) fn touch(&self, stay: StayId) -> Result<()> {
        let sql = "UPDATE stays SET version = ?2 WHERE id = ?1";
        self.transaction.execute(sql, (stay.stored(), self.version))?;
        Ok(())
    }

    /// What is known of who wore the device, and of when. A patient who was moved keeps what was on other devices.
    pub(crate) fn erase_stays(&self, device: &DeviceId) -> Result<()> {
        self.drop_parts(device, i64::MAX)
    }
}

/// The largest border that a device has: what is measured after it is surely not of an earlier part.
fn latest_border(connection: &Connection, device: &DeviceId) -> Result<i64> {
    let sql = "SELECT coalesce(max(border_us), 0) FROM stay_parts WHERE device = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([device.as_str()], |row| row.get(0))?)
}

fn find_open_part(connection: &Connection, device: &DeviceId) -> Result<Option<OpenPart>> {
    let sql = "SELECT number, stay, from_us, border_us FROM stay_parts WHERE device = ?1 AND to_us IS NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row([device.as_str()], |row| {
        Ok(OpenPart {
            number: row.get(0)?,
            stay: read_id(row, 1)?,
            from_us: row.get(2)?,
            border_us: row.get(3)?,
        })
    });
    Ok(found.optional()?)
}

pub(crate) fn open_part(connection: &Connection, device: &DeviceId) -> Result<OpenPart> {
    find_open_part(connection, device)?.ok_or_else(|| RegistryError::DeviceUnknown(device.clone()))
}

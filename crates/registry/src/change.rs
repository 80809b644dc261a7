//! Changes of devices inside one transaction: enrolling, new keys, revoking. A change that fails half-way leaves nothing
//! behind, because its transaction is dropped.

use crate::device_row::{DEVICE_COLUMNS, DeviceRow};
use crate::directory::{BrokenCause, Protocol};
use crate::error::{RegistryError, Result};
use crate::id::DeviceId;
use crate::key::{FINGERPRINT_LEN, Sealer};
use crate::store::DEVICES_MAX;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::time::{SystemTime, UNIX_EPOCH};
use vitalwire_protocol::CbcSecret;

/// A transaction that changes the registry, and the version it leads to.
pub(crate) struct Change<'r> {
    pub(crate) transaction: Transaction<'r>,
    pub(crate) version: i64,
    sealer: &'r Sealer,
    now: i64,
}

impl<'r> Change<'r> {
    /// Takes the write lock and the next version.
    pub(crate) fn begin(connection: &'r Connection, sealer: &'r Sealer) -> Result<Self> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        let version = transaction.query_row(
            "UPDATE registry SET version = version + 1 RETURNING version",
            [],
            |row| row.get(0),
        )?;
        Ok(Self { transaction, version, sealer, now: unix_seconds() })
    }

    pub(crate) fn commit(self) -> Result<()> {
        Ok(self.transaction.commit()?)
    }
}

/// What is stored under a device's name.
pub(crate) enum Stored {
    Nothing,
    Enrolled(Result<CbcSecret, BrokenCause>),
    Revoked { with_this_key: bool },
}

impl Change<'_> {
    /// Called after enrolling, when it is known how many names were new; its error takes them all back.
    pub(crate) fn check_device_limit(&self) -> Result<()> {
        let enrolled: i64 = self.transaction.query_row(
            "SELECT count(*) FROM devices WHERE sealed IS NOT NULL",
            [],
            |row| row.get(0),
        )?;
        let within = usize::try_from(enrolled).is_ok_and(|enrolled| enrolled <= DEVICES_MAX);
        if within { Ok(()) } else { Err(RegistryError::DevicesFull { limit: DEVICES_MAX }) }
    }

    /// Enrols a device under a name that is free or was revoked.
    pub(crate) fn enrol(&self, id: &DeviceId, secret: &CbcSecret) -> Result<()> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT sealed IS NULL, generation FROM devices WHERE id = ?1")?;
        let before: Option<(bool, i64)> =
            statement.query_row([id.as_str()], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let generation = match before {
            None => 1,
            Some((true, last)) => next_generation(id, last)?,
            Some((false, _)) => return Err(RegistryError::DeviceExists(id.clone())),
        };
        let fingerprint = self.free_fingerprint(id, secret)?;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO devices (id, protocol, sealed, fingerprint, generation, enrolled_at, key_set_at, version)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
             ON CONFLICT (id) DO UPDATE SET protocol = ?2, sealed = ?3, fingerprint = ?4, generation = ?5,
                 enrolled_at = ?6, key_set_at = ?6, version = ?7",
        )?;
        let sealed = self.sealer.seal(id, secret);
        let protocol = Protocol::AesCbc.as_str();
        statement.execute((
            id.as_str(),
            protocol,
            sealed,
            fingerprint,
            generation,
            self.now,
            self.version,
        ))?;
        Ok(())
    }

    pub(crate) fn set_key(&self, id: &DeviceId, secret: &CbcSecret) -> Result<()> {
        let last: Option<i64> = self
            .transaction
            .query_row(
                "SELECT generation FROM devices WHERE id = ?1 AND sealed IS NOT NULL",
                [id.as_str()],
                |row| row.get(0),
            )
            .optional()?;
        let last = last.ok_or_else(|| RegistryError::DeviceUnknown(id.clone()))?;
        let generation = next_generation(id, last)?;
        let fingerprint = self.free_fingerprint(id, secret)?;
        self.transaction.execute(
            "UPDATE devices SET sealed = ?2, fingerprint = ?3, generation = ?4, key_set_at = ?5, version = ?6
             WHERE id = ?1",
            (id.as_str(), self.sealer.seal(id, secret), fingerprint, generation, self.now, self.version),
        )?;
        Ok(())
    }

    pub(crate) fn revoke(&self, id: &DeviceId) -> Result<()> {
        let revoked = self.transaction.execute(
            "UPDATE devices SET sealed = NULL, version = ?2 WHERE id = ?1 AND sealed IS NOT NULL",
            (id.as_str(), self.version),
        )?;
        if revoked == 0 {
            return Err(RegistryError::DeviceUnknown(id.clone()));
        }
        self.transaction.execute(
            "UPDATE users SET version = ?2 WHERE name IN (SELECT user FROM user_devices WHERE device = ?1)",
            (id.as_str(), self.version),
        )?;
        self.transaction.execute("DELETE FROM user_devices WHERE device = ?1", [id.as_str()])?;
        Ok(())
    }

    /// What is stored under the name, to be compared with a key.
    pub(crate) fn stored(&self, id: &DeviceId, secret: &CbcSecret) -> Result<Stored> {
        let mut statement = self
            .transaction
            .prepare_cached(&format!("SELECT {DEVICE_COLUMNS}, fingerprint FROM devices WHERE id = ?1"))?;
        let mut rows = statement.query([id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(Stored::Nothing) };
        let device = DeviceRow::read(row)?;
        if device.is_enrolled() {
            return Ok(Stored::Enrolled(device.open(self.sealer).map(|device| device.secret.clone())));
        }
        let fingerprint = row.get_ref(4)?.as_blob().unwrap_or_default();
        Ok(Stored::Revoked { with_this_key: fingerprint == self.sealer.fingerprint(secret) })
    }

    /// The key's fingerprint, if no other device has that key.
    fn free_fingerprint(&self, id: &DeviceId, secret: &CbcSecret) -> Result<[u8; FINGERPRINT_LEN]> {
        let fingerprint = self.sealer.fingerprint(secret);
        let mut statement = self.transaction.prepare_cached(
            "SELECT id FROM devices WHERE fingerprint = ?1 AND sealed IS NOT NULL AND id <> ?2",
        )?;
        let other: Option<String> =
            statement.query_row((fingerprint, id.as_str()), |row| row.get(0)).optional()?;
        match other.and_then(|other| other.parse().ok()) {
            Some(other) => Err(RegistryError::KeyTaken { id: id.clone(), other }),
            None => Ok(fingerprint),
        }
    }
}

fn next_generation(id: &DeviceId, last: i64) -> Result<u32> {
    // A count that was changed by hand starts again at 1 rather than keep the device out of service.
    let last = u32::try_from(last).unwrap_or(0);
    last.checked_add(1).ok_or_else(|| RegistryError::GenerationsUsedUp(id.clone()))
}

/// The clock stamps rows for people to read; nothing is decided by it.
fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

//! Changes of devices inside one transaction: enrolling, new keys, revoking. A change that fails half-way leaves nothing
//! behind, because its transaction is dropped.

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use rusqlite::types::FromSql;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use vitalwire_access::DeviceId;
use vitalwire_protocol::CbcSecret;

use crate::audit::{AuditKind, TAIL_COLUMNS, Tail};
use crate::broken::BrokenCause;
use crate::device::{DeviceKey, Protocol};
use crate::device_row::{DEVICE_COLUMNS, DeviceRow};
use crate::error::{RegistryError, Result};
use crate::limits::DEVICES_MAX;
use crate::link::{LinkId, PreviousLink};
use crate::schema;
use crate::seal::{FINGERPRINT_LEN, SEALED_LEN, Sealer};
use crate::secret::{Secret, TlsSecret};
use crate::time::{from_unix_seconds, unix_micros, unix_seconds};

/// A transaction that changes the registry, and the version it leads to.
pub(crate) struct Change<'r> {
    pub(crate) transaction: Transaction<'r>,
    pub(crate) version: i64,
    pub(crate) sealer: &'r Sealer,
    /// Who makes the change, and where the audit log ends.
    pub(crate) actor: &'r str,
    pub(crate) tail: RefCell<Tail>,
    /// The journal's newest position, for enrolments; 0 when it is not known.
    pub(crate) enrolled_at: u64,
    /// Unix seconds. The clock stamps rows for people to read; it decides only when a replaced link ends.
    now: i64,
}

impl<'r> Change<'r> {
    /// Takes the write lock and the next version.
    pub(crate) fn begin(connection: &'r Connection, sealer: &'r Sealer, actor: &'r str) -> Result<Self> {
        Self::begin_with(connection, sealer, actor, 1)
    }

    /// Takes the write lock to add to the audit log only: no reader of devices and users need look.
    pub(crate) fn begin_log(connection: &'r Connection, sealer: &'r Sealer, actor: &'r str) -> Result<Self> {
        Self::begin_with(connection, sealer, actor, 0)
    }

    fn begin_with(
        connection: &'r Connection,
        sealer: &'r Sealer,
        actor: &'r str,
        versions: i64,
    ) -> Result<Self> {
        let transaction = Transaction::new_unchecked(connection, TransactionBehavior::Immediate)?;
        // What would be sealed under a key that was rotated meanwhile would never open.
        schema::check_key(&transaction, sealer)?;
        let (version, tail) = transaction.query_row(
            &format!("UPDATE registry SET version = version + ?1 RETURNING version, {TAIL_COLUMNS}"),
            [versions],
            |row| Ok((row.get(0)?, Tail::read(row, 1, sealer)?)),
        )?;
        let (tail, now) = (RefCell::new(tail), unix_seconds(SystemTime::now()));
        Ok(Self { transaction, version, sealer, actor, tail, enrolled_at: 0, now })
    }

    /// The same transaction, to be ended under another master key.
    pub(crate) fn under(self, sealer: &'r Sealer) -> Self {
        Self { sealer, ..self }
    }

    pub(crate) fn commit(self) -> Result<()> {
        self.tail.borrow().store(&self.transaction, self.sealer)?;
        Ok(self.transaction.commit()?)
    }

    /// Adds a record, which becomes lasting together with what it tells of.
    pub(crate) fn record(&self, kind: AuditKind, subject: &str, detail: &str) -> Result<()> {
        let mut tail = self.tail.borrow_mut();
        tail.append(&self.transaction, self.sealer, self.actor, (kind, subject, detail))
    }
}

/// What is stored under a device's name.
pub(crate) enum Stored {
    Nothing,
    Enrolled(Result<DeviceKey, BrokenCause>),
    /// `None`: that can no longer be told.
    Revoked {
        with_this_key: Option<bool>,
    },
}

/// A link that was replaced, sealed for its last days.
pub(crate) struct RetiredLink {
    secret: TlsSecret,
    sealed: [u8; SEALED_LEN],
    /// Unix seconds.
    until: i64,
}

impl RetiredLink {
    pub(crate) fn to_previous_link(&self) -> PreviousLink {
        PreviousLink { link: self.secret.to_link(), valid_until: from_unix_seconds(self.until) }
    }
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
    pub(crate) fn enrol(&self, id: &DeviceId, secret: &Secret) -> Result<()> {
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
        if self.erasure_is_pending(id)? {
            return Err(RegistryError::ErasurePending(id.clone()));
        }
        let fingerprint = self.free_fingerprint(id, secret)?;
        let mut statement = self.transaction.prepare_cached(
            "INSERT INTO devices (id, protocol, sealed, fingerprint, generation, enrolled_at, key_set_at, version, link)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET protocol = ?2, sealed = ?3, fingerprint = ?4, generation = ?5,
                 enrolled_at = ?6, key_set_at = ?6, version = ?7, link = ?8",
        )?;
        statement.execute((
            id.as_str(),
            secret.protocol().as_str(),
            self.sealer.seal(id, secret),
            fingerprint,
            generation,
            self.now,
            self.version,
            secret.link().map(LinkId::bytes),
        ))?;
        self.begin_at_enrolment(id, generation, unix_micros(SystemTime::now()))?;
        self.record(AuditKind::DeviceEnrolled, id.as_str(), &describe(secret, generation))
    }

    fn enrolled<T: FromSql>(&self, id: &DeviceId, column: &str) -> Result<T> {
        let sql = format!("SELECT {column} FROM devices WHERE id = ?1 AND sealed IS NOT NULL");
        let found = self.transaction.query_row(&sql, [id.as_str()], |row| row.get(0)).optional()?;
        found.ok_or_else(|| RegistryError::DeviceUnknown(id.clone()))
    }

    pub(crate) fn check_enrolled(&self, id: &DeviceId) -> Result<()> {
        self.enrolled::<i64>(id, "1").map(drop)
    }

    /// What an enrolled device speaks.
    pub(crate) fn protocol(&self, id: &DeviceId) -> Result<Protocol> {
        let stored: String = self.enrolled(id, "protocol")?;
        stored.parse().map_err(|cause| RegistryError::DeviceBroken { id: id.clone(), cause })
    }

    /// The present link of a device, to be kept beside its next one; none when there is no overlap, or when the present
    /// link cannot be opened, which the rotation then heals.
    pub(crate) fn retire_link(&self, id: &DeviceId, overlap: Duration) -> Result<Option<RetiredLink>> {
        if overlap.is_zero() {
            return Ok(None);
        }
        let mut statement = self
            .transaction
            .prepare_cached(&format!("SELECT {DEVICE_COLUMNS} FROM devices WHERE id = ?1"))?;
        let mut rows = statement.query([id.as_str()])?;
        let Some(row) = rows.next()? else { return Ok(None) };
        let Ok(secret) = DeviceRow::read(row)?.open_tls(id, self.sealer) else { return Ok(None) };
        // A part of a second counts as a whole one.
        let seconds = overlap.as_secs() + u64::from(overlap.subsec_nanos() > 0);
        let until = self.now.saturating_add_unsigned(seconds);
        let sealed = self.sealer.seal_previous(id, &secret, until);
        Ok(Some(RetiredLink { secret, sealed, until }))
    }

    /// Gives an enrolled device its next key; all keys before it but `previous` are forgotten.
    pub(crate) fn set_key(
        &self,
        id: &DeviceId,
        secret: &Secret,
        previous: Option<&RetiredLink>,
    ) -> Result<()> {
        let last: i64 = self.enrolled(id, "generation")?;
        let generation = next_generation(id, last)?;
        let fingerprint = self.free_fingerprint(id, secret)?;
        self.transaction.execute(
            "UPDATE devices SET sealed = ?2, fingerprint = ?3, generation = ?4, key_set_at = ?5, version = ?6,
                 link = ?7, previous_sealed = ?8, previous_link = ?9, previous_until = ?10
             WHERE id = ?1",
            (
                id.as_str(),
                self.sealer.seal(id, secret),
                fingerprint,
                generation,
                self.now,
                self.version,
                secret.link().map(LinkId::bytes),
                previous.map(|previous| previous.sealed),
                previous.map(|previous| previous.secret.link.bytes()),
                previous.map(|previous| previous.until),
            ),
        )?;
        let overlap = previous.map_or(0, |previous| previous.until.saturating_sub(self.now));
        let detail = format!("{}, old key accepted for up to {overlap} s", describe(secret, generation));
        self.record(AuditKind::DeviceRotated, id.as_str(), &detail)
    }

    /// Forgets the link before the last rotation; tells whether there was one beside this current link.
    pub(crate) fn forget_previous(&self, id: &DeviceId, current: &LinkId) -> Result<bool> {
        let forgotten = self.transaction.execute(
            "UPDATE devices SET previous_sealed = NULL, previous_link = NULL, previous_until = NULL, version = ?3
             WHERE id = ?1 AND link = ?2 AND previous_sealed IS NOT NULL",
            (id.as_str(), current.bytes(), self.version),
        )?;
        if forgotten > 0 {
            self.record(AuditKind::RotationConfirmed, id.as_str(), &format!("link {current}"))?;
        }
        Ok(forgotten > 0)
    }

    pub(crate) fn revoke(&self, id: &DeviceId) -> Result<()> {
        let revoked = self.transaction.execute(
            "UPDATE devices SET sealed = NULL, link = NULL, previous_sealed = NULL, previous_link = NULL,
                 previous_until = NULL, version = ?2
             WHERE id = ?1 AND sealed IS NOT NULL",
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
        self.transaction.execute("DELETE FROM token_devices WHERE device = ?1", [id.as_str()])?;
        self.record(AuditKind::DeviceRevoked, id.as_str(), "")
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
            return Ok(Stored::Enrolled(device.open(self.sealer).map(|device| device.key)));
        }
        let fingerprint = row.get_ref("fingerprint")?.as_blob().unwrap_or_default();
        // A rotation of the master key leaves it empty. A device of another protocol had no such key.
        let is_known = !fingerprint.is_empty() || !device.is_for(Protocol::AesCbc);
        Ok(Stored::Revoked {
            with_this_key: is_known.then(|| fingerprint == self.sealer.cbc_fingerprint(secret)),
        })
    }

    /// The key's fingerprint, if no other device has that key.
    fn free_fingerprint(&self, id: &DeviceId, secret: &Secret) -> Result<[u8; FINGERPRINT_LEN]> {
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

fn describe(secret: &Secret, generation: u32) -> String {
    let protocol = secret.protocol();
    match secret.link() {
        Some(link) => format!("{protocol}, generation {generation}, link {link}"),
        None => format!("{protocol}, generation {generation}"),
    }
}

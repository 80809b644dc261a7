//! Erasing what a device has sent: the request, which waits here until the server has done it, and the record of it. It
//! never touches a reading: those lie with the server, which learns of a request by the directory. What the registry itself has,
//! stays, patients and alarms, goes with the request, and once more when the server has done its part.

use std::collections::BTreeSet;
use std::time::SystemTime;

use rusqlite::{Connection, OptionalExtension, Row};
use vitalwire_access::DeviceId;

use crate::audit::AuditKind;
use crate::change::Change;
use crate::error::{RegistryError, Result};
use crate::limits::PROOF_LEN_MAX;
use crate::store::Registry;
use crate::time::{from_unix_seconds, unix_seconds};

/// The latest erasure under a device's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureInfo {
    /// The device.
    pub device: DeviceId,
    /// When it was asked for, to the second.
    pub requested_at: SystemTime,
    /// What the server did; `None` while the request waits for it.
    pub done: Option<ErasureDone>,
}

/// What the server did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ErasureDone {
    /// When, to the second.
    pub at: SystemTime,
    /// How many journal entries were erased.
    pub entries: u64,
    /// What shows that nothing is left, in words.
    pub proof: String,
}

impl Registry {
    /// Asks for all that was received from a device to be erased. The device is revoked first, if it is enrolled; until the
    /// server has done it, no one can be enrolled under the name. The name need not be known: what a former device
    /// of that name left is erased too. A request that waits already stays as it is.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn request_erasure(&self, id: &DeviceId) -> Result<ErasureInfo> {
        self.change(|change| {
            match change.revoke(id) {
                Ok(()) | Err(RegistryError::DeviceUnknown(_)) => {}
                Err(error) => return Err(error),
            }
            change.erase_own(id)?;
            if !change.erasure_is_pending(id)? {
                change.put_erasure(id)?;
                change.record(AuditKind::ErasureRequested, id.as_str(), "")?;
            }
            latest(&change.transaction, id)?.ok_or_else(|| RegistryError::ErasureUnknown(id.clone()))
        })
        .inspect(|_| self.forget_old_pages())
    }

    /// The server has erased what it had. Tells whether a request was waiting for that.
    ///
    /// # Errors
    /// When the proof is too long, or the file cannot be written.
    pub fn erasure_done(&self, id: &DeviceId, entries: u64, proof: &str) -> Result<bool> {
        if proof.len() > PROOF_LEN_MAX {
            return Err(RegistryError::ProofTooLong { len: proof.len() });
        }
        let ended = self.change(|change| change.end_erasure(id, entries, proof))?;
        self.forget_old_pages();
        Ok(ended)
    }

    /// The latest erasure under the name, done or not.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn erasure(&self, id: &DeviceId) -> Result<Option<ErasureInfo>> {
        latest(&self.connection, id)
    }
}

impl Change<'_> {
    pub(crate) fn erasure_is_pending(&self, id: &DeviceId) -> Result<bool> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT 1 FROM erasures WHERE device = ?1 AND done_at IS NULL")?;
        Ok(statement.exists([id.as_str()])?)
    }

    /// What the registry has of a device beside its name.
    fn erase_own(&self, id: &DeviceId) -> Result<()> {
        self.erase_alarms(id)?;
        self.erase_stays(id)
    }

    fn put_erasure(&self, id: &DeviceId) -> Result<()> {
        self.transaction.execute(
            "INSERT INTO erasures (device, requested_at) VALUES (?1, ?2)",
            (id.as_str(), unix_seconds(SystemTime::now())),
        )?;
        Ok(())
    }

    fn end_erasure(&self, id: &DeviceId, entries: u64, proof: &str) -> Result<bool> {
        let ended = self.transaction.execute(
            "UPDATE erasures SET done_at = ?2, entries = ?3, proof = ?4 WHERE device = ?1 AND done_at IS NULL",
            (
                id.as_str(),
                unix_seconds(SystemTime::now()),
                i64::try_from(entries).unwrap_or(i64::MAX),
                proof,
            ),
        )?;
        if ended > 0 {
            self.erase_own(id)?;
            let detail = format!("{entries} entries; {proof}");
            self.record(AuditKind::DeviceErased, id.as_str(), &detail)?;
        }
        Ok(ended > 0)
    }
}

/// The devices whose erasure waits for the server.
pub(crate) fn read_pending(connection: &Connection) -> Result<BTreeSet<DeviceId>> {
    let mut statement = connection.prepare_cached("SELECT device FROM erasures WHERE done_at IS NULL")?;
    let mut rows = statement.query([])?;
    let mut pending = BTreeSet::new();
    while let Some(row) = rows.next()? {
        let name = row.get_ref(0)?.as_str().unwrap_or_default();
        match name.parse() {
            Ok(id) => drop(pending.insert(id)),
            Err(cause) => tracing::error!(name, %cause, "request to erase a device left out"),
        }
    }
    Ok(pending)
}

fn latest(connection: &Connection, id: &DeviceId) -> Result<Option<ErasureInfo>> {
    let mut statement = connection.prepare_cached(
        "SELECT requested_at, done_at, entries, proof FROM erasures WHERE device = ?1
         ORDER BY number DESC LIMIT 1",
    )?;
    Ok(statement.query_row([id.as_str()], |row| read(id, row)).optional()?)
}

fn read(id: &DeviceId, row: &Row<'_>) -> rusqlite::Result<ErasureInfo> {
    let done = match row.get::<_, Option<i64>>(1)? {
        None => None,
        Some(at) => Some(ErasureDone {
            at: from_unix_seconds(at),
            entries: u64::try_from(row.get::<_, Option<i64>>(2)?.unwrap_or(0)).unwrap_or(0),
            proof: row.get::<_, Option<String>>(3)?.unwrap_or_default(),
        }),
    };
    Ok(ErasureInfo { device: id.clone(), requested_at: from_unix_seconds(row.get(0)?), done })
}

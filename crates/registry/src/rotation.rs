//! Rotating the master key: all that is sealed under it is sealed under a fresh one, in one transaction. Wherever that is cut off,
//! the key file holds the key that the registry is sealed under (see [`crate::key_file`]).

use std::path::Path;

use crate::audit::AuditKind;
use crate::broken::BrokenCause;
use crate::change::Change;
use crate::device_row::{DEVICE_COLUMNS, DeviceRow, Resealed};
use crate::error::Result;
use crate::key::MasterKey;
use crate::key_file::{self, KeyFile};
use crate::seal::{AlarmRow, SealBroken, SealedRow, Sealer};
use crate::store::Registry;

/// How many devices are read at a time.
const PAGE_DEVICES: usize = 1_000;

/// What a rotation of the master key did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MasterKeyRotation {
    /// The registry is sealed under a fresh key.
    Rotated {
        /// How many devices' keys were sealed again.
        devices: usize,
        /// Devices whose keys, and patients and alarms whose data, did not open before, and do not now.
        broken: Vec<String>,
    },
    /// An earlier rotation had been cut off, and its key is now the only one. No further key was made.
    Completed,
}

/// Where tests cut a rotation off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Locked,
    NextKeyWritten,
    Sealed,
    Committed,
    PresentKeyOverwritten,
    Done,
}

impl Registry {
    /// Seals everything in the registry of a data folder under a fresh master key, which takes the place of the one in the file.
    /// A running server that reads this file takes it up by itself. Folder and file are those of the user with this number,
    /// by default that of this process.
    ///
    /// # Errors
    /// As [`Registry::open_with_key_file`], and when registry or file cannot be written; then the file still holds the key
    /// that the registry is sealed under.
    pub fn rotate_master_key(data: &Path, key_file: &Path, owner: Option<u32>) -> Result<MasterKeyRotation> {
        Self::open_for(data, key_file, owner)?.rotate(key_file, |_| {})
    }

    /// Ends a rotation that was cut off, if one was; tells whether so.
    ///
    /// # Errors
    /// As [`Registry::rotate_master_key`].
    pub fn complete_master_key_rotation(data: &Path, key_file: &Path, owner: Option<u32>) -> Result<bool> {
        if !key_file::is_begun(key_file)? {
            return Ok(false);
        }
        let mut registry = Self::open_for(data, key_file, owner)?;
        let mut file = registry.lock_key(key_file)?;
        file.settle(&registry.sealer)?;
        registry.forget_old_pages();
        Ok(true)
    }

    fn lock_key(&mut self, key_file: &Path) -> Result<KeyFile> {
        let file = KeyFile::lock(key_file, self.owner())?;
        // Another rotation may have ended between opening and locking.
        self.follow_key()?;
        Ok(file)
    }

    fn rotate(&mut self, key_file: &Path, mut at: impl FnMut(Step)) -> Result<MasterKeyRotation> {
        self.check_room()?;
        let mut file = self.lock_key(key_file)?;
        if file.settle(&self.sealer)? {
            self.forget_old_pages();
            return Ok(MasterKeyRotation::Completed);
        }
        at(Step::Locked);
        let key = MasterKey::generate()?;
        let next = Sealer::new(&key);
        let change = Change::begin_log(&self.connection, &self.sealer, self.actor())?;
        file.append(&key)?;
        at(Step::NextKeyWritten);
        let rotated = change.reseal(&next);
        at(Step::Sealed);
        let (devices, broken) = match rotated {
            Ok(done) => done,
            Err(error) => {
                // Nothing is sealed under it. What cannot be taken away is forgotten by the next rotation.
                let _ = file.forget_next();
                return Err(error);
            }
        };
        // Should this fail, it may have become lasting all the same: both keys stay in the file.
        change.under(&next).commit()?;
        at(Step::Committed);
        self.sealer = next;
        file.promote(&key, || at(Step::PresentKeyOverwritten))?;
        self.forget_old_pages();
        at(Step::Done);
        Ok(MasterKeyRotation::Rotated { devices, broken })
    }

    /// Overwrites what is left beside the database file of what was sealed under an old key, or was erased. A reader at work can
    /// keep it from that; then SQLite does it later.
    pub(crate) fn forget_old_pages(&self) {
        let done = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        if let Err(error) = done {
            tracing::debug!(%error, "the registry's log was not emptied");
        }
    }
}

type ResealedRow = Result<Resealed, BrokenCause>;

impl Change<'_> {
    /// Seals everything under the next key; gives back how many devices, and which could not be opened.
    fn reseal(&self, next: &Sealer) -> Result<(usize, Vec<String>)> {
        let (devices, mut broken) = self.reseal_devices(next)?;
        broken.extend(self.reseal_patients(next)?);
        broken.extend(self.reseal_alarms(next)?);
        // What a revoked device's key was is not known any more, so that its fingerprint cannot be made again; and the old one would
        // let who has the old master key try keys out.
        self.transaction.execute("UPDATE devices SET fingerprint = x'' WHERE sealed IS NULL", [])?;
        self.reseal_audit_keys(next)?;
        self.transaction.execute("UPDATE registry SET check_value = ?1", [next.check_value()])?;
        let detail = format!("{devices} devices, {} that did not open", broken.len());
        let mut tail = self.tail.borrow_mut();
        let record = (AuditKind::MasterKeyRotated, "", detail.as_str());
        tail.append(&self.transaction, next, self.actor, record)?;
        drop(tail);
        Ok((devices, broken))
    }

    fn reseal_devices(&self, next: &Sealer) -> Result<(usize, Vec<String>)> {
        let (mut devices, mut broken, mut last) = (0, Vec::new(), Vec::new());
        loop {
            let page = self.resealed_after(&last, next)?;
            let Some((id, _)) = page.last() else { return Ok((devices, broken)) };
            last.clone_from(id);
            for (id, resealed) in page {
                let id = String::from_utf8_lossy(&id);
                match resealed {
                    Ok(resealed) => {
                        self.store(&id, &resealed)?;
                        devices += 1;
                    }
                    Err(cause) => {
                        tracing::warn!(device = %id, %cause, "left as it is");
                        broken.push(id.into_owned());
                    }
                }
            }
        }
    }

    /// The next devices by name. A name that someone changed by hand need not be text.
    fn resealed_after(&self, last: &[u8], next: &Sealer) -> Result<Vec<(Vec<u8>, ResealedRow)>> {
        let mut statement = self.transaction.prepare_cached(&format!(
            "SELECT {DEVICE_COLUMNS} FROM devices WHERE sealed IS NOT NULL AND id > CAST(?1 AS TEXT)
             ORDER BY id LIMIT {PAGE_DEVICES}"
        ))?;
        let page = statement.query_map([last], |row| {
            let name = row.get_ref(0)?.as_bytes()?.to_vec();
            Ok((name, DeviceRow::read(row)?.reseal(self.sealer, next)))
        })?;
        Ok(page.collect::<rusqlite::Result<_>>()?)
    }

    /// What is known of patients; gives back what could not be opened.
    fn reseal_patients(&self, next: &Sealer) -> Result<Vec<String>> {
        let mut statement =
            self.transaction.prepare("SELECT id, patient FROM stays WHERE length(patient) > 0")?;
        let mut store = self.transaction.prepare("UPDATE stays SET patient = ?2 WHERE id = ?1")?;
        let mut rows = statement.query([])?;
        let mut broken = Vec::new();
        while let Some(row) = rows.next()? {
            let stay: i64 = row.get(0)?;
            let place = SealedRow::Patient { stay };
            match self.sealer.open_row(place, row.get_ref(1)?.as_blob().map_err(rusqlite::Error::from)?) {
                Ok(plain) => drop(store.execute((stay, next.seal_row(place, &plain)))?),
                Err(SealBroken) => broken.push(format!("the patient of stay {stay}")),
            }
        }
        Ok(broken)
    }

    /// Values of alarms, and why they were acknowledged.
    fn reseal_alarms(&self, next: &Sealer) -> Result<Vec<String>> {
        let sql = "SELECT number, stay, condition, device, sealed, sealed_reason FROM alarms";
        let mut statement = self.transaction.prepare(sql)?;
        let mut store = self
            .transaction
            .prepare("UPDATE alarms SET sealed = ?2, sealed_reason = ?3 WHERE number = ?1")?;
        let mut rows = statement.query([])?;
        let mut broken = Vec::new();
        while let Some(row) = rows.next()? {
            let text = |column| row.get_ref(column).map(|text| text.as_str().unwrap_or_default());
            let number: i64 = row.get(0)?;
            let alarm = AlarmRow { number, stay: row.get(1)?, condition: text(2)?, device: text(3)? };
            let reseal = |place, column| {
                let sealed = row.get_ref(column)?.as_blob_or_null().map_err(rusqlite::Error::from)?;
                let opened = sealed.map(|sealed| self.sealer.open_row(place, sealed));
                Ok::<_, rusqlite::Error>(match opened {
                    None => Ok(None),
                    Some(Ok(plain)) => Ok(Some(next.seal_row(place, &plain))),
                    Some(Err(SealBroken)) => Err(SealBroken),
                })
            };
            let values = reseal(SealedRow::AlarmValues(alarm), 4)?;
            let reason = reseal(SealedRow::AlarmReason(alarm), 5)?;
            match (values, reason) {
                (Ok(values), Ok(reason)) => drop(store.execute((number, values, reason))?),
                _ => broken.push(format!("alarm {number}")),
            }
        }
        Ok(broken)
    }

    fn store(&self, id: &str, resealed: &Resealed) -> Result<()> {
        let mut statement = self.transaction.prepare_cached(
            "UPDATE devices SET sealed = ?2, fingerprint = ?3, previous_sealed = ?4 WHERE id = ?1",
        )?;
        statement.execute((id, resealed.sealed, resealed.fingerprint, resealed.previous))?;
        Ok(())
    }

    /// The log's keys up to now. One that someone changed stays as it is: it opens as little as before.
    fn reseal_audit_keys(&self, next: &Sealer) -> Result<()> {
        let mut statement = self.transaction.prepare("SELECT until, sealed FROM audit_keys")?;
        let former = statement.query_map([], |row| {
            let until: i64 = row.get(0)?;
            let opened = self.sealer.open_chain_key(until, row.get_ref(1)?.as_blob()?);
            Ok(opened.ok().map(|key| (until, next.seal_chain_key(until, &key))))
        })?;
        let former = former.collect::<rusqlite::Result<Vec<_>>>()?;
        for (until, sealed) in former.into_iter().flatten() {
            self.transaction
                .execute("UPDATE audit_keys SET sealed = ?2 WHERE until = ?1", (until, sealed))?;
        }
        let until = self.tail.borrow().last(&self.transaction)?;
        let sealed = next.seal_chain_key(until, &self.sealer.audit_chain_key());
        // In the place of a row that someone put there, and that no key opens.
        let insert = "INSERT OR REPLACE INTO audit_keys (until, sealed) VALUES (?1, ?2)";
        self.transaction.execute(insert, (until, sealed))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests;

//! Whose batches lie in the flash. A piece of hardware that is provisioned as another device may still hold what it measured
//! as the one before: that must never be delivered under the new name, as it is of another patient. It decides nothing
//! about a device that stays the same, also when its key was rotated.

use embedded_storage::nor_flash::NorFlash;

use crate::identity::Identity;
use crate::store::{SettingsStore, StoreError};

/// What an erased byte reads as.
const ERASED: u8 = 0xff;
/// Bytes of a sector that are looked at: without its head a sector holds no batch.
const LOOK_LEN: usize = 256;

/// What became of the batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// They are this device's own.
    Own,
    /// They were another device's, or no one knows whose, and are erased.
    Erased {
        /// Sectors that were not empty.
        sectors: u32,
    },
}

/// Makes the outbox's flash that of the device with this identity, before an outbox is mounted on it. What another device left
/// there is erased; a power cut meanwhile only means that it is erased at the next start. A sector takes 45 ms, and those
/// that are empty none.
///
/// # Errors
/// The flash could not be erased or written: what lies in it must not be delivered.
pub fn claim<S: NorFlash, F: NorFlash>(
    identity: &Identity,
    store: &mut SettingsStore<S>,
    outbox: &mut F,
) -> Result<Claim, StoreError> {
    if store.owner() == Some(identity.tag) {
        return Ok(Claim::Own);
    }
    let sector_len = u32::try_from(F::ERASE_SIZE).map_err(|_| StoreError::Flash)?;
    let whole = outbox.capacity().checked_div(F::ERASE_SIZE).and_then(|sectors| u32::try_from(sectors).ok());
    let mut sectors = 0;
    for sector in 0..whole.unwrap_or(0) {
        let at = sector * sector_len;
        if !is_empty(outbox, at)? {
            outbox.erase(at, at + sector_len).map_err(|_| StoreError::Flash)?;
            sectors += 1;
        }
    }
    store.save_owner(&identity.tag)?;
    Ok(Claim::Erased { sectors })
}

fn is_empty<F: NorFlash>(flash: &mut F, at: u32) -> Result<bool, StoreError> {
    let mut head = [0; LOOK_LEN];
    let head = head.get_mut(..LOOK_LEN.min(F::ERASE_SIZE)).unwrap_or_default();
    flash.read(at, head).map_err(|_| StoreError::Flash)?;
    Ok(head.iter().all(|byte| *byte == ERASED))
}

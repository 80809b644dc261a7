//! What is in the desk device's flash before it starts: its identity, as provisioning would have written it, and settings.

use std::path::Path;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use embedded_storage::nor_flash::{NorFlash, NorFlashErrorKind, ReadNorFlash};
use vitalwire_device::flash::{IDENTITY, Partition, SETTINGS};
use vitalwire_device::identity::{Identity, IdentityError, RECORD_LEN_MAX};
use vitalwire_device::settings::Settings;
use vitalwire_device::store::{SettingsStore, StoreError};
use zeroize::Zeroizing;

use super::{DeskError, Flash};
use crate::hardware::SimulatedFlash;

/// The identity that is in the flash; if none is, the given one is written to it.
pub(super) fn identity(
    flash: &mut SimulatedFlash,
    given: Option<Identity>,
    path: &Path,
) -> Result<Identity, DeskError> {
    let mut record = Zeroizing::new([0; RECORD_LEN_MAX]);
    let failed = |_: NorFlashErrorKind| DeskError::Store(StoreError::Flash);
    flash.read(IDENTITY.at, record.as_mut_slice()).map_err(failed)?;
    match (Identity::decode(record.as_slice())?, given) {
        (None, None) => Err(DeskError::NoIdentity),
        (Some(found), None) => Ok(found),
        // Provisioned again it has another seed, and is the same device.
        (Some(found), Some(given)) if found.credentials == given.credentials => Ok(found),
        (Some(_), Some(_)) => Err(DeskError::OtherDevice { path: path.to_owned() }),
        (None, Some(given)) => {
            let len = given.encode(record.as_mut_slice())?;
            let words = len.next_multiple_of(SimulatedFlash::WRITE_SIZE);
            let room = IdentityError::OutputTooSmall { available: RECORD_LEN_MAX };
            flash.write(IDENTITY.at, record.get(..words).ok_or(room)?).map_err(failed)?;
            Ok(given)
        }
    }
}

/// The store of the device's settings.
pub(super) fn store(
    flash: &Flash,
) -> Result<SettingsStore<Partition<'_, NoopRawMutex, SimulatedFlash>>, StoreError> {
    SettingsStore::new(Partition::new(flash, SETTINGS))
}

/// Keeps settings, as the configuration page does.
pub(super) fn save_settings(flash: &Flash, settings: &Settings) -> Result<(), StoreError> {
    let mut store = store(flash)?;
    if store.load().as_ref() == Some(settings) { Ok(()) } else { store.save(settings) }
}

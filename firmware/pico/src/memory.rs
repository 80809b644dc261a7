//! What the device finds in its flash as it starts: who it is, its settings, and the seed of its random source.

use embassy_time::Instant;
use embedded_storage::nor_flash::ReadNorFlash as _;
use vitalwire_device::flash::{IDENTITY, OUTBOX};
use vitalwire_device::identity::{Identity, RECORD_LEN_MAX};
use vitalwire_device::ownership::{Claim, claim};
use vitalwire_device::random::{Drbg, Entropy};
use vitalwire_device::store::SettingsStore;
use zeroize::Zeroize as _;

use crate::entropy;
use crate::flash::{Part, Shared};
use crate::log::log;

/// The settings' store on this flash.
pub(crate) type Store = SettingsStore<Part>;

/// Who the device is, if it was told.
pub(crate) fn identity(flash: &'static Shared) -> Option<Identity> {
    let mut record = [0; RECORD_LEN_MAX];
    let read = Part::new(flash, IDENTITY).read(0, &mut record);
    let identity = match read.map(|()| Identity::decode(&record)) {
        Ok(Ok(Some(identity))) => Some(identity),
        Ok(Ok(None)) => {
            log!(
                "this device has no identity: enrol it, provision it, and drop the identity's UF2 on its drive"
            );
            None
        }
        Ok(Err(error)) => {
            log!("this device's identity cannot be used: {error}");
            None
        }
        Err(error) => {
            log!("the flash cannot be read: {error:?}");
            None
        }
    };
    record.zeroize();
    identity
}

/// Sees to it that the outbox's flash holds nothing of another device's. `None`: what lies there cannot be erased, and must not be
/// delivered.
pub(crate) fn own_outbox(identity: &Identity, store: &mut Store, flash: &'static Shared) -> Option<()> {
    match claim(identity, store, &mut Part::new(flash, OUTBOX)) {
        Ok(Claim::Own | Claim::Erased { sectors: 0 }) => Some(()),
        Ok(Claim::Erased { sectors }) => {
            log!("the outbox was another device's: {sectors} sectors of its batches were erased");
            Some(())
        }
        Err(error) => {
            log!("the outbox of another device cannot be erased: {error}");
            None
        }
    }
}

/// The device's random source. The seed for the next start is in flash before anything is drawn.
pub(crate) fn random(identity: &Identity, store: &mut Store) -> Drbg {
    let mut sampled = [0; entropy::SAMPLE_LEN];
    entropy::sample(&mut sampled);
    if !entropy::is_alive() {
        log!("the ring oscillator stands still: keys depend on the seeds alone");
    }
    let mut stored = store.seed();
    let boot_us = Instant::now().as_micros();
    let mut random =
        Drbg::new(&Entropy { identity: &identity.seed, stored: stored.as_ref(), sampled: &sampled, boot_us });
    let mut next = random.next_seed();
    if let Err(error) = store.save_seed(&next) {
        log!("the seed for the next start is not stored: {error}");
    }
    next.zeroize();
    stored.zeroize();
    sampled.zeroize();
    random
}

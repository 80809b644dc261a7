//! What the device keeps in flash besides its outbox: its settings, what went wrong last, and a seed for its random source.
//!
//! A value is written beside the old one, which is read until the new one is whole: power may go at any byte. It knows
//! nothing of what the values mean.

use embassy_futures::block_on;
use embedded_storage::nor_flash::NorFlash;
use sequential_storage::cache::{Cache, Uncached};
use sequential_storage::map::{MapConfig, MapStorage};
use zeroize::Zeroize;

use crate::settings::{self, Settings};
use crate::status::Trouble;

/// Bytes of the seed.
pub const SEED_LEN: usize = 32;
/// Bytes of a value with its key, rounded up to the largest words that a flash has here.
const BUFFER_LEN: usize = (1 + settings::ENCODED_LEN_MAX).next_multiple_of(32);

/// Keys of the map. A number that was used stays used.
mod key {
    pub(super) const SETTINGS: u8 = 1;
    pub(super) const TROUBLE: u8 = 2;
    pub(super) const SEED: u8 = 3;
}

/// No trouble, as it is written.
const NO_TROUBLE: u8 = 0;

/// Why something could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The region given is not one that can be used.
    #[error("{len} bytes of this flash cannot hold settings; at least two whole sectors are needed")]
    Region {
        /// Its bytes.
        len: usize,
    },
    /// The flash does not do what it should.
    #[error("the flash could not be written; the device needs repair if this comes again")]
    Flash,
}

/// The map in its region of the flash.
pub struct SettingsStore<F: NorFlash> {
    map: MapStorage<u8, Blocking<F>, Cache<Uncached, Uncached, Uncached, u8>>,
}

impl<F: NorFlash> SettingsStore<F> {
    /// The store in the whole of `flash`, usually a [`Partition`](crate::flash::Partition) of it. Nothing is written yet.
    ///
    /// # Errors
    /// It is too small, or not of whole sectors.
    pub fn new(flash: F) -> Result<Self, StoreError> {
        let len = flash.capacity();
        let refused = StoreError::Region { len };
        let config = MapConfig::try_new(0..u32::try_from(len).map_err(|_| refused)?).map_err(|_| refused)?;
        Ok(Self { map: MapStorage::new(Blocking(flash), config, Cache::new_uncached()) })
    }

    /// The settings that were saved last; `None` where none were, or none that this firmware reads.
    pub fn load(&mut self) -> Option<Settings> {
        self.read(key::SETTINGS, |bytes| Settings::decode(bytes).ok())
    }

    /// Keeps settings. When it returns, they are there after a power cut.
    ///
    /// # Errors
    /// The flash could not be written: the settings of before are there.
    pub fn save(&mut self, settings: &Settings) -> Result<(), StoreError> {
        let mut bytes = [0; settings::ENCODED_LEN_MAX];
        let len = settings.encode(&mut bytes).unwrap_or(0);
        let mut saved = self.write(key::SETTINGS, bytes.get(..len).unwrap_or_default());
        if saved.is_err() && self.load().is_none() {
            // Nothing can be read anyway: a region that holds something else is made ready.
            let _ = block_on(self.map.erase_all());
            saved = self.write(key::SETTINGS, bytes.get(..len).unwrap_or_default());
        }
        bytes.zeroize();
        saved
    }

    /// What went wrong last, as it was saved.
    pub fn trouble(&mut self) -> Option<Trouble> {
        self.read(key::TROUBLE, |bytes| bytes.first().copied().and_then(Trouble::from_number))
    }

    /// Keeps what went wrong last, or that nothing is wrong. Written only when it changes, as flash wears.
    ///
    /// # Errors
    /// The flash could not be written.
    pub fn save_trouble(&mut self, trouble: Option<Trouble>) -> Result<(), StoreError> {
        if self.trouble() == trouble {
            return Ok(());
        }
        self.write(key::TROUBLE, &[trouble.map_or(NO_TROUBLE, |trouble| trouble as u8)])
    }

    /// The seed that was saved last.
    pub fn seed(&mut self) -> Option<[u8; SEED_LEN]> {
        self.read(key::SEED, |bytes| bytes.try_into().ok())
    }

    /// Keeps a seed for the next start.
    ///
    /// # Errors
    /// The flash could not be written.
    pub fn save_seed(&mut self, seed: &[u8; SEED_LEN]) -> Result<(), StoreError> {
        self.write(key::SEED, seed)
    }

    /// The flash, for a test to look into.
    pub fn into_flash(self) -> F {
        self.map.destroy().0.0
    }

    fn read<T>(&mut self, key: u8, decode: impl FnOnce(&[u8]) -> Option<T>) -> Option<T> {
        let mut buffer = [0; BUFFER_LEN];
        let found = block_on(self.map.fetch_item::<&[u8]>(&mut buffer, &key));
        let value = found.ok().flatten().and_then(decode);
        buffer.zeroize();
        value
    }

    fn write(&mut self, key: u8, value: &[u8]) -> Result<(), StoreError> {
        let mut buffer = [0; BUFFER_LEN];
        let stored = block_on(self.map.store_item(&mut buffer, &key, &value));
        buffer.zeroize();
        stored.map_err(|_| StoreError::Flash)
    }
}

/// A flash whose operations are done when they return, as one that is waited for: every future is ready at once, so that
/// [`block_on`] never spins.
struct Blocking<F>(F);

impl<F: NorFlash> embedded_storage_async::nor_flash::ErrorType for Blocking<F> {
    type Error = F::Error;
}

impl<F: NorFlash> embedded_storage_async::nor_flash::ReadNorFlash for Blocking<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    async fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), F::Error> {
        self.0.read(at, bytes)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> embedded_storage_async::nor_flash::NorFlash for Blocking<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    async fn erase(&mut self, from: u32, to: u32) -> Result<(), F::Error> {
        self.0.erase(from, to)
    }

    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), F::Error> {
        self.0.write(at, bytes)
    }
}

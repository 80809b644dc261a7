//! Where what lies in the device's flash, and parts of it that are used as if each were a flash of its own. It knows nothing
//! of what is in them.

use core::cell::RefCell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};

/// Bytes of a Pico's flash (W25Q16JV).
pub const FLASH_LEN: u32 = 2 * 1024 * 1024;
/// Bytes of a sector, which is erased at once (W25Q16JV datasheet §8.2.14).
pub const SECTOR_LEN: u32 = 4_096;

/// A range of the flash, in bytes from its start; whole sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Its first byte.
    pub at: u32,
    /// Its bytes.
    pub len: u32,
}

/// The program; `memory.x` of the firmware says the same.
pub const PROGRAM: Region = Region { at: 0, len: 512 * 1024 };
/// What enrolment gave the device: keys, setup key, seed. Written when it is made, never by the device.
pub const IDENTITY: Region = Region { at: 512 * 1024, len: SECTOR_LEN };
/// What the configuration page set.
pub const SETTINGS: Region = Region { at: 516 * 1024, len: 4 * SECTOR_LEN };
/// Batches that were not delivered yet.
pub const OUTBOX: Region = Region { at: 576 * 1024, len: FLASH_LEN - 576 * 1024 };

/// A flash that several parts of the device share. Operations are short, but for erasing, and never wait for anything.
pub type SharedFlash<M, F> = Mutex<M, RefCell<F>>;

/// A region of a flash, as a flash of its own.
#[derive(Debug)]
pub struct Partition<'f, M: RawMutex, F> {
    flash: &'f SharedFlash<M, F>,
    region: Region,
}

impl<'f, M: RawMutex, F: NorFlash> Partition<'f, M, F> {
    /// This region of this flash. What lies beyond the flash's end is refused when it is used.
    #[must_use]
    pub fn new(flash: &'f SharedFlash<M, F>, region: Region) -> Self {
        Self { flash, region }
    }

    /// The offset in the whole flash of `len` bytes at `at` of the region.
    fn offset(&self, at: u32, len: usize) -> Result<u32, NorFlashErrorKind> {
        let end = u32::try_from(len).ok().and_then(|len| at.checked_add(len));
        match end {
            Some(end) if end <= self.region.len => Ok(self.region.at + at),
            _ => Err(NorFlashErrorKind::OutOfBounds),
        }
    }

    fn with<T>(&self, operation: impl FnOnce(&mut F) -> Result<T, F::Error>) -> Result<T, NorFlashErrorKind> {
        use embedded_storage::nor_flash::NorFlashError as _;
        self.flash.lock(|flash| match flash.try_borrow_mut() {
            Ok(mut flash) => operation(&mut flash).map_err(|error| error.kind()),
            // Only a flash that uses itself while it works could come here.
            Err(_) => Err(NorFlashErrorKind::Other),
        })
    }
}

impl<M: RawMutex, F: NorFlash> ErrorType for Partition<'_, M, F> {
    type Error = NorFlashErrorKind;
}

impl<M: RawMutex, F: NorFlash> ReadNorFlash for Partition<'_, M, F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let offset = self.offset(at, bytes.len())?;
        self.with(|flash| flash.read(offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.region.len as usize
    }
}

impl<M: RawMutex, F: NorFlash> NorFlash for Partition<'_, M, F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let len = to.checked_sub(from).ok_or(NorFlashErrorKind::OutOfBounds)?;
        let offset = self.offset(from, len as usize)?;
        self.with(|flash| flash.erase(offset, offset + len))
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let offset = self.offset(at, bytes.len())?;
        self.with(|flash| flash.write(offset, bytes))
    }
}

//! The Pico's flash. While it erases or writes, nothing can be read from it, so no interrupt is served (up to 0.4 s for a
//! sector, W25Q16JV datasheet §9.6); what the modem says meanwhile is collected by DMA.

use core::cell::RefCell;

use embassy_rp::Peri;
use embassy_rp::flash::{Blocking, ERASE_SIZE, Error, Flash, READ_SIZE, WRITE_SIZE};
use embassy_rp::peripherals::FLASH;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embedded_storage::nor_flash::{ErrorType, MultiwriteNorFlash, NorFlash, ReadNorFlash};
use static_cell::StaticCell;
use vitalwire_device::flash::{FLASH_LEN, Partition, SharedFlash};

use crate::line;

/// The flash as the device shares it, also with the recorder in its interrupt.
pub(crate) type Shared = SharedFlash<CriticalSectionRawMutex, PicoFlash>;
/// A region of it.
pub(crate) type Part = Partition<'static, CriticalSectionRawMutex, PicoFlash>;

/// The flash, ready to be shared.
pub(crate) fn share(flash: Peri<'static, FLASH>) -> &'static Shared {
    static SHARED: StaticCell<Shared> = StaticCell::new();
    SHARED.init(Mutex::new(RefCell::new(PicoFlash { inner: Flash::new_blocking(flash) })))
}

/// embassy-rp's driver, which loses no byte of the modem's.
pub(crate) struct PicoFlash {
    inner: Flash<'static, FLASH, Blocking, { FLASH_LEN as usize }>,
}

impl ErrorType for PicoFlash {
    type Error = Error;
}

impl ReadNorFlash for PicoFlash {
    const READ_SIZE: usize = READ_SIZE;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Error> {
        self.inner.blocking_read(at, bytes)
    }

    fn capacity(&self) -> usize {
        FLASH_LEN as usize
    }
}

impl NorFlash for PicoFlash {
    const WRITE_SIZE: usize = WRITE_SIZE;
    const ERASE_SIZE: usize = ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        line::collecting(|| self.inner.blocking_erase(from, to))
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Error> {
        line::collecting(|| self.inner.blocking_write(at, bytes))
    }
}

/// Bits that are still 1 can be written to 0 later (W25Q16JV datasheet §8.2.13).
impl MultiwriteNorFlash for PicoFlash {}

//! A device's configuration server for tests: its flash in memory, its sockets those of the runtime.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use rand_core::OsRng;
use vitalwire_device::identity::{Credentials, Identity};
use vitalwire_device::setup::{About, Setup};
use vitalwire_device::status::Trouble;
use vitalwire_device::store::SettingsStore;
use vitalwire_web::CONFIGURATION_PAGE;

#[path = "../../../device/tests/setup/socket.rs"]
mod socket;

pub(crate) use socket::{RuntimeClock, Socket};

/// Of the device that tests set up.
pub(crate) const SETUP_KEY: [u8; 16] = *b"\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff";
const SECTOR_LEN: usize = 4_096;

/// What a device is before it serves.
pub(crate) struct Bench {
    identity: Identity,
    store: SettingsStore<Flash>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let identity = Identity {
            name: "icu-07".try_into().expect("it is short"),
            setup_key: SETUP_KEY,
            seed: [0; 32],
            access_point_password: None,
            credentials: Credentials::Frames { key: [0; 16], iv: [0; 16] },
            tag: [0; 16],
        };
        let flash = Flash(vec![0xff; 4 * SECTOR_LEN]);
        Self { identity, store: SettingsStore::new(flash).expect("it is large enough") }
    }

    /// What the configuration server is made of, at these names.
    pub(crate) fn parts<'b>(&'b mut self, hosts: &'b [&'b str]) -> (&'b mut SettingsStore<Flash>, About<'b>) {
        let about = About { page: &CONFIGURATION_PAGE, identity: &self.identity, firmware: "0.1.0", hosts };
        (&mut self.store, about)
    }

    /// The server of this device, at these names.
    pub(crate) fn server<'b>(&'b mut self, hosts: &'b [&'b str]) -> Setup<'b, Flash, RuntimeClock, OsRng> {
        let (store, about) = self.parts(hosts);
        Setup::new(about, store, Some(Trouble::WifiPassword), RuntimeClock::start(), OsRng)
    }
}

/// A flash without faults.
pub(crate) struct Flash(Vec<u8>);

impl Flash {
    fn range(&mut self, at: u32, len: usize) -> Result<&mut [u8], NorFlashErrorKind> {
        let at = usize::try_from(at).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
        self.0.get_mut(at..at + len).ok_or(NorFlashErrorKind::OutOfBounds)
    }
}

impl ErrorType for Flash {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        bytes.copy_from_slice(self.range(at, bytes.len())?);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = SECTOR_LEN;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let len = usize::try_from(to - from).map_err(|_| NorFlashErrorKind::OutOfBounds)?;
        self.range(from, len)?.fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        for (kept, byte) in self.range(at, bytes.len())?.iter_mut().zip(bytes) {
            *kept &= byte;
        }
        Ok(())
    }
}

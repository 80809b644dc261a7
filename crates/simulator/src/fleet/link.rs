//! Devices on the secure link: TLS 1.3 with a pre-shared key, batches that are kept until they are acknowledged.
//!
//! What such a device does is `vitalwire-device`, the code of the firmware; here it gets a clock, memory, a flash and a
//! network. One task a device.

mod client;
mod core;
mod thread;
mod tls;

use std::path::PathBuf;
use std::{fmt, io};

pub use client::HANDSHAKE_MS_MAX;
pub(super) use client::LinkDevice;
pub(super) use thread::LinkThread;
use vitalwire_device::backoff::BackoffLimits;
use vitalwire_device::session::SessionLimits;
use zeroize::Zeroizing;

pub use crate::hardware::{FLASH_SECTOR_LEN, SimulatedFlash};

/// Digits of a link id.
pub const LINK_ID_LEN: usize = 32;
/// Lowest rate of a device on the secure link, in hertz: a value an hour.
pub const LINK_RATE_HZ_MIN: f64 = 1.0 / 3_600.0;
/// Highest rate of a device on the secure link, in hertz.
pub const LINK_RATE_HZ_MAX: f64 = 500.0;

/// What a device needs for its TLS link: the link id, which travels in the clear, and the key. Printing it shows no key.
#[derive(Clone)]
pub struct Link {
    id: String,
    psk: Zeroizing<[u8; 32]>,
}

impl Link {
    /// A link id as enrolment gave it, and the 32-byte pre-shared key that belongs to it.
    ///
    /// # Errors
    /// The id is not [`LINK_ID_LEN`] lowercase hexadecimal digits.
    pub fn new(id: &str, psk: [u8; 32]) -> Result<Self, LinkIdError> {
        let psk = Zeroizing::new(psk);
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if id.len() != LINK_ID_LEN || !id.bytes().all(is_digit) {
            return Err(LinkIdError { len: id.len() });
        }
        Ok(Self { id: id.to_owned(), psk })
    }

    /// The link id: the identity of the pre-shared key on the wire.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    fn psk(&self) -> &[u8; 32] {
        &self.psk
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A link id that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "link id of {len} characters: want {LINK_ID_LEN} lowercase hexadecimal digits, as `device psk` prints them"
)]
pub struct LinkIdError {
    /// Its characters.
    pub len: usize,
}

/// Where a device keeps what does not fit its memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FlashChoice {
    /// Nowhere: the oldest batch goes when memory is full.
    None,
    /// A flash of so many bytes that is forgotten with the fleet. It takes memory only as it fills.
    Memory {
        /// Its bytes, rounded down to sectors of [`FLASH_SECTOR_LEN`].
        len: u32,
    },
    /// A file a device in this folder, `<id>.flash`: a fleet that runs again delivers what the last one could not. Two
    /// fleets at once must not share a folder.
    Folder {
        /// The folder; it must exist.
        path: PathBuf,
        /// Bytes of each file, rounded down to sectors of [`FLASH_SECTOR_LEN`].
        len: u32,
    },
}

impl FlashChoice {
    /// The flash of the device with this id, which is a file name if the choice is a folder.
    ///
    /// # Errors
    /// The file cannot be made.
    fn open(&self, id: &str) -> io::Result<SimulatedFlash> {
        match self {
            Self::None => Ok(SimulatedFlash::in_memory(0)),
            Self::Memory { len } => Ok(SimulatedFlash::in_memory(*len)),
            Self::Folder { path, len } => {
                let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
                if id.is_empty() || !id.bytes().all(is_name) {
                    let message = format!("`{id}` is no file name");
                    return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
                }
                SimulatedFlash::in_file(&path.join(format!("{id}.flash")), *len)
            }
        }
    }
}

/// How the devices of a fleet use the secure link. The defaults are those of the firmware.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOptions {
    /// Name of the profile that `Hello` gives. The devices measure the seven channels of `pico`, with three decimals.
    pub profile: String,
    /// The firmware version that `Hello` gives.
    pub firmware: String,
    /// Milliseconds of values in a batch, 1 to 60,000, until the server says otherwise.
    pub batch_ms: u32,
    /// Bytes of memory for batches that are not acknowledged.
    pub memory_len: usize,
    /// Where older ones go.
    pub flash: FlashChoice,
    /// Window, deadlines.
    pub limits: SessionLimits,
    /// How long to wait before connecting again.
    pub retry: BackoffLimits,
    /// How long after its last sample, or when it is stopped, a device waits for what is not acknowledged, in milliseconds.
    pub finish_ms_max: u32,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            profile: "pico".to_owned(),
            firmware: "simulator".to_owned(),
            batch_ms: 1_000,
            memory_len: 16 * 1024,
            flash: FlashChoice::Memory { len: 512 * 1024 },
            limits: SessionLimits::default(),
            retry: super::retry::LIMITS,
            finish_ms_max: 10_000,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_leaves_the_folder_is_refused() {
        let choice = FlashChoice::Folder { path: "/nowhere".into(), len: 8_192 };
        for id in ["", "../a", "a/b", "a.b"] {
            assert_eq!(choice.open(id).unwrap_err().kind(), io::ErrorKind::InvalidFilename);
        }
    }
}

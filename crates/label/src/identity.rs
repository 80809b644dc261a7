//! The sector of the flash that makes a piece of hardware the device that was enrolled. It never speaks to a device; the seed that it
//! draws is in the sector and nowhere else.

use std::time::{SystemTime, UNIX_EPOCH};

use rand::TryRng;
use rand::rngs::SysRng;
use vitalwire_access::DeviceId;
use vitalwire_device::flash;
use vitalwire_device::identity::{Credentials, Identity, tag_of};
use vitalwire_registry::{DeviceKey, SetupSecrets};
use zeroize::Zeroizing;

/// Bytes of the sector.
const SECTOR_LEN: usize = flash::SECTOR_LEN as usize;
/// What an erased byte reads as.
const ERASED: u8 = 0xff;

/// Why there is no sector.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operating system said so.
    #[error("the operating system gives no random bytes: {0}")]
    Random(#[from] rand::rngs::SysError),
    /// Never in practice: names and keys fit.
    #[error("the {0} is too long for a device")]
    TooLong(&'static str),
}

/// The sector with the identity of a device at its beginning, and erased behind it. With `has_password` the device's own network has
/// the password that is on its setup label.
///
/// # Errors
/// [`IdentityError`]
pub fn identity_sector(
    id: &DeviceId,
    key: &DeviceKey,
    enrolled_at: SystemTime,
    has_password: bool,
) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let mut sector = Zeroizing::new(vec![ERASED; SECTOR_LEN]);
    let enrolled_s = enrolled_at.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let identity = identity(id, key, enrolled_s, has_password)?;
    identity.encode(sector.as_mut_slice()).map_err(|_| IdentityError::TooLong("identity"))?;
    Ok(sector)
}

/// The same for the drive of a Pico whose BOOTSEL was held: it replaces this sector and nothing else.
#[must_use]
pub fn identity_uf2(sector: &[u8]) -> Zeroizing<Vec<u8>> {
    let address = vitalwire_uf2::FLASH_START + flash::IDENTITY.at;
    let mut file = Zeroizing::new(Vec::with_capacity(2 * SECTOR_LEN));
    vitalwire_uf2::blocks(address, sector)
        .map(Zeroizing::new)
        .for_each(|block| file.extend_from_slice(&*block));
    file
}

fn identity(
    id: &DeviceId,
    key: &DeviceKey,
    enrolled_s: u64,
    has_password: bool,
) -> Result<Identity, IdentityError> {
    let secrets = SetupSecrets::derive(id, key);
    let mut seed = [0; 32];
    SysRng.try_fill_bytes(&mut seed)?;
    let (name, credentials) = match key {
        DeviceKey::Tls(links) => {
            let link = &links.current;
            (link.id.to_string(), Credentials::Link { id: link.id.digits(), psk: *link.psk.bytes() })
        }
        DeviceKey::AesCbc(secret) => {
            (id.to_string(), Credentials::Frames { key: *secret.key(), iv: *secret.iv() })
        }
    };
    let password = has_password.then(|| secrets.access_point_password().try_into()).transpose();
    Ok(Identity {
        name: name.as_str().try_into().map_err(|_| IdentityError::TooLong("name"))?,
        setup_key: *secrets.key(),
        seed,
        access_point_password: password.map_err(|_| IdentityError::TooLong("password"))?,
        credentials,
        tag: tag_of(id.as_str(), enrolled_s),
    })
}

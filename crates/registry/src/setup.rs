//! What a person needs to set a device up: the key that its configuration page seals with, and the password of the device's
//! own network (PROTOCOL.md §4.8). Both follow from the device's key, so that a label can be printed again and nothing more
//! is stored. Nothing here can be printed by accident.

use std::fmt;

use vitalwire_access::DeviceId;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::device::DeviceKey;
use crate::kdf;
use crate::seal;

/// The bytes of a setup key.
pub const SETUP_KEY_LEN: usize = 16;
/// The characters of the password of a device's own network: 60 bits.
pub const ACCESS_POINT_PASSWORD_LEN: usize = 12;
/// Crockford's base 32, in lowercase: no i, l, o or u that could be taken for another character.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const CHARACTER_BITS: usize = 5;

/// The secrets of a device's label for setting it up. Zeroized on drop; `Debug` shows nothing of them.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct SetupSecrets {
    key: [u8; SETUP_KEY_LEN],
    access_point_password: String,
}

impl SetupSecrets {
    /// The secrets of this device with this key; after a rotation, those of the new key. `HKDF-SHA256` (RFC 5869, no salt) of
    /// the pre-shared key, or of key ‖ IV, with the info
    ///
    /// - `"vitalwire setup key v1" ‖ name` for the setup key, of which the first 16 bytes are taken,
    /// - `"vitalwire access point v1" ‖ name` for the password, of which the first 60 bits are taken, the most significant
    ///   first, 5 for each character of Crockford's base 32 in lowercase,
    ///
    /// where the name is the link id's digits, or the name of a device with AES-CBC frames.
    #[must_use]
    pub fn derive(id: &DeviceId, key: &DeviceKey) -> Self {
        match key {
            DeviceKey::Tls(links) => {
                Self::of(links.current.psk.bytes().as_slice(), &links.current.id.digits())
            }
            DeviceKey::AesCbc(secret) => Self::of(seal::joined(secret).as_slice(), id.as_str().as_bytes()),
        }
    }

    fn of(key: &[u8], name: &[u8]) -> Self {
        let mut secrets = Self {
            key: [0; SETUP_KEY_LEN],
            // As long as it becomes, so that no shorter copy of it stays behind.
            access_point_password: String::with_capacity(ACCESS_POINT_PASSWORD_LEN),
        };
        let mut bits = Zeroizing::new([0; 8]);
        kdf::setup(key, name, &mut secrets.key, bits.as_mut_slice());
        let bits = Zeroizing::new(u64::from_be_bytes(*bits));
        for place in 1..=ACCESS_POINT_PASSWORD_LEN {
            let digit = (*bits >> (u64::BITS as usize - place * CHARACTER_BITS)) & 31;
            let character = usize::try_from(digit).ok().and_then(|digit| ALPHABET.get(digit));
            secrets.access_point_password.extend(character.copied().map(char::from));
        }
        secrets
    }

    /// The key that the configuration page seals with.
    #[must_use]
    pub fn key(&self) -> &[u8; SETUP_KEY_LEN] {
        &self.key
    }

    /// The password of the device's own network, if it is made with one.
    #[must_use]
    pub fn access_point_password(&self) -> &str {
        &self.access_point_password
    }
}

impl fmt::Debug for SetupSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SetupSecrets(..)")
    }
}

#[cfg(test)]
mod tests {
    use vitalwire_protocol::CbcSecret;

    use super::*;
    use crate::link::{Link, LinkKeys, Psk};

    fn link(device_key: [u8; 32]) -> DeviceKey {
        let id = "00112233445566778899aabbccddeeff".parse().unwrap();
        let psk = Psk::derive(&device_key, &id);
        DeviceKey::Tls(LinkKeys { current: Link { id, psk }, previous: None })
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The test vectors of PROTOCOL.md §4.8, computed apart from this code.
    #[test]
    fn the_secrets_are_those_of_the_specification() {
        let tls = SetupSecrets::derive(
            &"bed_07".parse().unwrap(),
            &link(std::array::from_fn(|place| u8::try_from(place).unwrap())),
        );
        assert_eq!(hex(tls.key()), "08b78fe3d6ce52b76386c224fc9e0332");
        assert_eq!(tls.access_point_password(), "hjb4xr11pvvb");
        let frames = SetupSecrets::derive(
            &"iot_med_dev_01".parse().unwrap(),
            &DeviceKey::AesCbc(CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA")),
        );
        assert_eq!(hex(frames.key()), "00612bc92a96281092627ddfd0eaa9b6");
        assert_eq!(frames.access_point_password(), "ty64wfad7b6d");
    }

    #[test]
    fn another_key_or_another_name_makes_other_secrets() {
        let secrets = |name: &str, key| {
            SetupSecrets::derive(&name.parse().unwrap(), &DeviceKey::AesCbc(CbcSecret::new(key, [7; 16])))
        };
        let one = secrets("a", [1; 16]);
        for other in [secrets("b", [1; 16]), secrets("a", [2; 16])] {
            assert_ne!(one.key(), other.key());
            assert_ne!(one.access_point_password(), other.access_point_password());
        }
        assert_eq!(secrets("a", [1; 16]), one);
    }

    #[test]
    fn debug_shows_no_secret() {
        let secrets = SetupSecrets::derive(&"a".parse().unwrap(), &link([1; 32]));
        assert_eq!(format!("{secrets:?}"), "SetupSecrets(..)");
    }
}

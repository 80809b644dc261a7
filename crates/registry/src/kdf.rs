//! What the registry derives from a device's key as the device does (PROTOCOL.md §4.7, §4.8): HKDF-SHA256 (RFC 5869)
//! without a salt.

use hkdf::Hkdf;
use sha2::Sha256;

const PSK_LABEL: &[u8] = b"vitalwire tls13 psk v1";
const SETUP_KEY_LABEL: &[u8] = b"vitalwire setup key v1";
const ACCESS_POINT_LABEL: &[u8] = b"vitalwire access point v1";

/// The pre-shared key of [`crate::Psk::derive`].
pub(crate) fn psk(device_key: &[u8; 32], link_digits: &[u8], out: &mut [u8; 32]) {
    Hkdf::<Sha256>::new(None, device_key)
        .expand_multi_info(&[PSK_LABEL, link_digits], out)
        .expect("32 bytes are within HKDF's limit");
}

/// The secrets of [`crate::SetupSecrets::derive`]: the setup key, and the bits of the access point's password.
pub(crate) fn setup(key: &[u8], name: &[u8], setup_key: &mut [u8], password_bits: &mut [u8]) {
    let hkdf = Hkdf::<Sha256>::new(None, key);
    for (label, derived) in [(SETUP_KEY_LABEL, setup_key), (ACCESS_POINT_LABEL, password_bits)] {
        hkdf.expand_multi_info(&[label, name], derived).expect("16 bytes are within HKDF's limit");
    }
}

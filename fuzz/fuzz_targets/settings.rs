//! What lies in a device's flash, or comes from its page: settings and identities decode or are refused, and what decodes is
//! encoded to the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_device::crc::Crc32;
use vitalwire_device::identity::{self, Identity};
use vitalwire_device::settings::{self, Settings};

fuzz_target!(|data: &[u8]| {
    if let Ok(settings) = Settings::decode(data) {
        let mut out = [0; settings::ENCODED_LEN_MAX];
        let len = settings.encode(&mut out).expect("it is long enough for any");
        assert_eq!(Settings::decode(&out[..len]), Ok(settings));
    }
    let _ = Identity::decode(data);
    // No fuzzer guesses a check.
    let Ok(cbor_len) = u16::try_from(data.len()) else { return };
    let check = Crc32::new().over(data).end();
    let record = [b"VWID", &cbor_len.to_le_bytes()[..], data, &check.to_le_bytes()].concat();
    if let Ok(Some(identity)) = Identity::decode(&record) {
        let mut out = [0; identity::RECORD_LEN_MAX];
        let len = identity.encode(&mut out).expect("it is long enough for any");
        assert_eq!(Identity::decode(&out[..len]), Ok(Some(identity)));
    }
});

//! Identities from and to literal bytes, and what is refused.

extern crate std;

use std::format;
use std::vec::Vec;

use super::*;

fn identity() -> Identity {
    Identity {
        name: String::try_from("icu-07").unwrap(),
        setup_key: [0x11; 16],
        seed: [0x22; 32],
        access_point_password: Some(String::try_from("label-password").unwrap()),
        credentials: Credentials::Link { id: *b"0123456789abcdef0123456789abcdef", psk: [0x33; 32] },
        tag: [0x66; 16],
    }
}

/// That identity, but for what `change` makes of it.
fn changed(change: impl FnOnce(&mut Identity)) -> Identity {
    let mut identity = identity();
    change(&mut identity);
    identity
}

fn encoded(identity: &Identity) -> Vec<u8> {
    let mut out = [0; RECORD_LEN_MAX];
    let len = identity.encode(&mut out).unwrap();
    out[..len].to_vec()
}

/// A record around any CBOR.
fn record(cbor: &[u8]) -> Vec<u8> {
    let mut record = b"VWID".to_vec();
    record.extend(u16::try_from(cbor.len()).unwrap().to_le_bytes());
    record.extend(cbor);
    record.extend(Crc32::new().over(cbor).end().to_le_bytes());
    record
}

#[test]
fn an_identity_is_these_bytes() {
    let mut cbor = b"\xa7\x00\x01\x01\x66icu-07\x02\x50".to_vec();
    cbor.extend([0x11; 16]);
    cbor.extend(b"\x03\x58\x20");
    cbor.extend([0x22; 32]);
    cbor.extend(b"\x04\x6elabel-password\x05\x82\x78\x200123456789abcdef0123456789abcdef\x58\x20");
    cbor.extend([0x33; 32]);
    cbor.extend(b"\x07\x50");
    cbor.extend([0x66; 16]);
    let mut flash = record(&cbor);
    assert_eq!(encoded(&identity()), flash);
    // What the flash holds behind it does not matter.
    flash.resize(4_096, ERASED);
    assert_eq!(Identity::decode(&flash), Ok(Some(identity())));
}

#[test]
fn a_device_of_frames_has_key_and_vector() {
    let frames = changed(|identity| {
        identity.access_point_password = None;
        identity.credentials = Credentials::Frames { key: [0x44; 16], iv: [0x55; 16] };
    });
    assert_eq!(Identity::decode(&encoded(&frames)), Ok(Some(frames)));
}

#[test]
fn a_record_without_a_tag_has_that_of_its_name() {
    let whole = encoded(&identity());
    let mut cbor = whole[6..whole.len() - 4 - 2 - TAG_LEN].to_vec();
    cbor[0] -= 1;
    let decoded = Identity::decode(&record(&cbor)).unwrap().unwrap();
    assert_eq!(decoded.tag, tag_of("icu-07", 0));
    assert_ne!(decoded.tag, tag_of("icu-08", 0));
    assert_ne!(decoded.tag, tag_of("icu-07", 1));
}

#[test]
fn erased_flash_holds_none() {
    assert_eq!(Identity::decode(&[ERASED; 4_096]), Ok(None));
    assert_eq!(Identity::decode(&[0; 4_096]), Err(IdentityError::Magic));
    assert_eq!(Identity::decode(&[]), Err(IdentityError::Magic));
}

#[test]
fn every_cut_and_every_flipped_bit_is_refused() {
    let record = encoded(&identity());
    for len in 0..record.len() {
        assert!(Identity::decode(&record[..len]).is_err(), "{len} bytes");
        assert!(identity().encode(&mut std::vec![0; len]).is_err(), "{len} bytes");
    }
    for bit in 0..record.len() * 8 {
        let mut damaged = record.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(Identity::decode(&damaged).is_err(), "bit {bit}");
    }
}

#[test]
fn the_longest_identity_fits() {
    let longest = changed(|identity| {
        identity.name = String::try_from("n".repeat(NAME_LEN_MAX).as_str()).unwrap();
        let password = "p".repeat(ACCESS_POINT_PASSWORD_LEN_MAX);
        identity.access_point_password = Some(String::try_from(password.as_str()).unwrap());
    });
    assert_eq!(Identity::decode(&encoded(&longest)), Ok(Some(longest)));
}

#[test]
fn fields_outside_their_limits_are_named() {
    let refused = |change: fn(&mut Identity)| changed(change).encode(&mut [0; RECORD_LEN_MAX]).unwrap_err();
    assert_eq!(refused(|identity| identity.name.clear()), IdentityError::Field { field: 1 });
    let name = |identity: &mut Identity| identity.name = String::try_from("a\nb").unwrap();
    assert_eq!(refused(name), IdentityError::Field { field: 1 });
    let short =
        |identity: &mut Identity| identity.access_point_password = Some(String::try_from("short").unwrap());
    assert_eq!(refused(short), IdentityError::Field { field: 4 });
    let upper =
        |identity: &mut Identity| identity.credentials = Credentials::Link { id: [b'A'; 32], psk: [0; 32] };
    assert_eq!(refused(upper), IdentityError::Field { field: 5 });
}

#[test]
fn other_versions_and_missing_fields_are_refused_and_further_fields_passed_over() {
    assert_eq!(Identity::decode(&record(b"\xa1\x00\x02")), Err(IdentityError::Version { version: 2 }));
    assert_eq!(Identity::decode(&record(b"\xa0")), Err(IdentityError::Field { field: 0 }));
    assert_eq!(Identity::decode(&record(b"\xa1\x00\x01")), Err(IdentityError::Field { field: 5 }));
    let whole = encoded(&identity());
    let mut cbor = whole[6..whole.len() - 4].to_vec();
    cbor[0] += 1;
    cbor.extend(b"\x18\x20\x82\x01\xa1\x02\x03");
    assert_eq!(Identity::decode(&record(&cbor)), Ok(Some(identity())));
    // Both protocols at once.
    cbor.truncate(cbor.len() - 7);
    cbor.extend(b"\x06\x82\x50");
    cbor.extend([0; 16]);
    cbor.push(0x50);
    cbor.extend([0; 16]);
    assert_eq!(Identity::decode(&record(&cbor)), Err(IdentityError::Field { field: 5 }));
}

#[test]
fn printing_an_identity_shows_no_key() {
    let printed = format!("{:?} {:?}", identity(), identity().credentials);
    assert_eq!(printed, "Identity { name: \"icu-07\", .. } Link");
}

proptest::proptest! {
    #[test]
    fn any_map_is_read_or_refused(cbor: Vec<u8>) {
        if let Ok(Some(identity)) = Identity::decode(&record(&cbor)) {
            assert_eq!(Identity::decode(&encoded(&identity)), Ok(Some(identity)));
        }
    }
}

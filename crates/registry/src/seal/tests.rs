//! What sealing must hold to.

use super::*;

fn sealer() -> Sealer {
    Sealer::new(&MasterKey::from_bytes([7; 32]))
}

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

fn cbc() -> CbcSecret {
    CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA")
}

fn tls() -> TlsSecret {
    TlsSecret { link: LinkId::new([0x5a; 16]), key: Zeroizing::new([0xc3; 32]) }
}

fn secrets() -> [Secret; 2] {
    [Secret::AesCbc(cbc()), Secret::Tls(tls())]
}

/// What a sealed key opens as, whatever it was sealed for.
fn opens(id: &DeviceId, sealed: &[u8]) -> [bool; 3] {
    let link = tls().link;
    [
        sealer().open_cbc(id, sealed).is_ok_and(|secret| secret == cbc()),
        sealer().open_tls(id, link, sealed).is_ok_and(|secret| secret.key == tls().key),
        sealer().open_previous(id, link, 9, sealed).is_ok_and(|secret| secret.key == tls().key),
    ]
}

fn sealed_three() -> [[u8; SEALED_LEN]; 3] {
    let [cbc, current] = secrets().map(|secret| sealer().seal(&id("a"), &secret));
    [cbc, current, sealer().seal_previous(&id("a"), &tls(), 9)]
}

#[test]
fn a_key_opens_for_its_own_protocol_and_place_only() {
    let [cbc, current, previous] = sealed_three();
    assert_eq!(opens(&id("a"), &cbc), [true, false, false]);
    assert_eq!(opens(&id("a"), &current), [false, true, false]);
    assert_eq!(opens(&id("a"), &previous), [false, false, true]);
    for sealed in sealed_three() {
        assert_eq!(opens(&id("b"), &sealed), [false; 3]);
    }
}

#[test]
fn finds_every_flipped_bit_and_every_cut() {
    for sealed in sealed_three() {
        for bit in 0..sealed.len() * 8 {
            let mut flipped = sealed;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(opens(&id("a"), &flipped), [false; 3], "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert_eq!(opens(&id("a"), &sealed[..len]), [false; 3], "length {len}");
        }
    }
}

#[test]
fn a_changed_link_id_or_deadline_does_not_open() {
    let [_, current, previous] = sealed_three();
    for bit in 0..128 {
        let mut bytes = *tls().link.bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let link = LinkId::new(bytes);
        assert!(sealer().open_tls(&id("a"), link, &current).is_err(), "bit {bit}");
        assert!(sealer().open_previous(&id("a"), link, 9, &previous).is_err(), "bit {bit}");
    }
    for until in [0, 8, 10, -9, i64::MAX, i64::MIN] {
        assert!(sealer().open_previous(&id("a"), tls().link, until, &previous).is_err(), "{until}");
    }
}

#[test]
fn does_not_open_under_another_master_key() {
    let other = Sealer::new(&MasterKey::generate().unwrap());
    let [cbc, current, _] = sealed_three();
    assert!(other.open_cbc(&id("a"), &cbc).is_err());
    assert!(other.open_tls(&id("a"), tls().link, &current).is_err());
    assert!(!other.opens_check_value(&sealer().check_value()));
    assert!(sealer().opens_check_value(&sealer().check_value()));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn sealed_form_is_that_of_version_1() {
    // Computed with another implementation (Python `cryptography`: HKDF-SHA256 and aes_key_wrap), so that a change of
    // the format, which would make every registry unreadable, cannot pass unseen.
    let sealed = sealer().seal(&id("iot_med_dev_01"), &Secret::AesCbc(cbc()));
    assert_eq!(
        hex(&sealed),
        "f4eaab4d3472900d5d22dcbb50801e5d55a6d0eed8347351db5849b02b75108e57286428cda83e87"
    );
}

#[test]
fn sealed_forms_of_tls_keys_are_those_of_another_implementation() {
    let id = id("iot_med_dev_01");
    assert_eq!(
        hex(&sealer().seal(&id, &Secret::Tls(tls()))),
        "204af512ce432e96dfa899345b128edf28c8d1230d97d08bfc550cd3e871917c2aa30d3e5243c550"
    );
    assert_eq!(
        hex(&sealer().seal_previous(&id, &tls(), 9)),
        "8871d1ce59b7efe6947510c0ceadb9238884bbba7dd0d111d4785ec138d4a39688d1867f9bdf454a"
    );
}

#[test]
fn fingerprints_tell_keys_ivs_and_protocols_apart() {
    let other_iv = CbcSecret::new(*cbc().key(), [b'B'; 16]);
    assert_eq!(sealer().cbc_fingerprint(&cbc()), sealer().cbc_fingerprint(&cbc()));
    assert_ne!(sealer().cbc_fingerprint(&cbc()), sealer().cbc_fingerprint(&other_iv));
    let same_bytes = TlsSecret { link: tls().link, key: joined(&cbc()) };
    assert_ne!(sealer().cbc_fingerprint(&cbc()), sealer().fingerprint(&Secret::Tls(same_bytes)));
}

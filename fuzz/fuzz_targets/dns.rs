//! Names that a phone asks for: an answer has the question's identity, and is one or none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_device::setup::dns::{MESSAGE_LEN_MAX, answer};

fuzz_target!(|data: &[u8]| {
    let mut out = [0; MESSAGE_LEN_MAX];
    let Some(len) = answer(data, [192, 168, 4, 1], &mut out) else { return };
    assert_eq!(out[..2], data[..2]);
    let is_address = out[7] == 1;
    assert!(out[2] & 0x80 != 0 && out[3] == 0);
    assert_eq!(is_address, out[..len].ends_with(&[0, 4, 192, 168, 4, 1]) && out[7] != 0);
    let question_len = len - 12 - if is_address { 16 } else { 0 };
    assert_eq!(out[12..12 + question_len], data[12..12 + question_len]);
    // An answer is no query.
    assert_eq!(answer(&out[..len], [0; 4], &mut [0; MESSAGE_LEN_MAX]), None);
});

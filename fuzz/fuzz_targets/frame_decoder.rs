//! Frames: the same texts come out however a stream is cut; a text and its frame determine each other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_fuzz::{Input, decode, encode};
use vitalwire_protocol::FRAME_LEN_MAX;

fuzz_target!(|data: &[u8]| {
    let Some(input) = Input::from_bytes(data) else { return };
    if input.texts {
        let (texts, wire) = input.encrypt();
        assert_eq!(decode(input.variant, &input.pieces(&wire)), (texts, None));
        return;
    }
    let wire = input.payload;
    let whole = decode(input.variant, &[wire]);
    assert_eq!(decode(input.variant, &input.pieces(wire)), whole, "cuts change what is decoded");
    // Padding and spelling leave no choice: what was decoded encodes to the very bytes that came.
    let (texts, error) = whole;
    let again: Vec<u8> =
        texts.iter().flat_map(|text| encode(input.variant, text).expect("a decoded text encodes")).collect();
    assert!(wire.starts_with(&again));
    let rest = wire.len() - again.len();
    assert!(error.is_some() || rest < FRAME_LEN_MAX + 1, "{rest} bytes kept without an end of frame");
});

//! The encoder writes only what a decoder reads as the same text, and nothing of a secret is ever printed.

use vitalwire_protocol::{CbcSecret, FRAME_LEN_MAX, FrameDecoder, FrameEncoder, FrameError, Variant};

use crate::vectors::vectors;

fn refusal(json: &[u8]) -> FrameError {
    let encoder = FrameEncoder::new(&vectors()[0].secret, Variant::Chained);
    let mut out = [0xa5; FRAME_LEN_MAX];
    let error = encoder.encode(json, &mut out).unwrap_err();
    assert!(out.iter().all(|byte| *byte == 0xa5), "a refused text left something in the output");
    error
}

#[test]
fn refuses_a_text_without_an_end() {
    for text in [&b""[..], b"{", b"{} ", b"[]", b"{}&"] {
        assert_eq!(refusal(text), FrameError::JsonWithoutEnd);
    }
}

#[test]
fn refuses_a_text_that_would_seem_to_end_early() {
    assert_eq!(refusal(b"{\"a\":\"bcdefgh\"}&}"), FrameError::JsonEndsEarly { offset: 16 });
    assert_eq!(refusal(b"0123456789abcde}&&&&&&&&&&&&&&&&}"), FrameError::JsonEndsEarly { offset: 32 });
}

#[test]
fn refuses_a_byte_that_a_decoder_takes_for_damage() {
    for byte in (0..=u8::MAX).filter(|byte| !matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r')) {
        assert_eq!(refusal(&[b'{', byte, b'}']), FrameError::JsonNotText { offset: 1 });
    }
}

#[test]
fn refuses_a_text_longer_than_a_frame() {
    for len in [1024, 1025, 1 << 20] {
        assert_eq!(refusal(&vec![b'}'; len]), FrameError::JsonTooLong { len });
    }
}

#[test]
fn refuses_an_output_that_is_one_byte_short() {
    for vector in vectors() {
        let encoder = FrameEncoder::new(&vector.secret, vector.variant);
        let needed = vector.frame.len();
        for available in 0..needed {
            let mut out = vec![0xa5; available];
            let error = encoder.encode(vector.json.as_bytes(), &mut out).unwrap_err();
            assert_eq!(error, FrameError::OutputTooSmall { needed, available });
            assert!(out.iter().all(|byte| *byte == 0xa5));
        }
        assert_eq!(encoder.encode(vector.json.as_bytes(), &mut vec![0; needed]), Ok(needed));
    }
}

#[test]
fn secrets_and_plaintext_are_never_printed() {
    let secret = CbcSecret::new(*b"1234567890123456", *b"AAAAAAAAAAAAAAAA");
    assert_eq!(format!("{secret:?}"), "CbcSecret(..)");
    assert_eq!(format!("{:?}", FrameEncoder::new(&secret, Variant::Chained)), "FrameEncoder(..)");
    let mut decoder = FrameDecoder::new(&secret, Variant::Chained);
    decoder.next(&mut &vectors()[1].frame.as_bytes()[..100]).unwrap();
    assert_eq!(format!("{decoder:?}"), "FrameDecoder { blocks: 3, broken: None, .. }");
}

#[test]
fn a_variant_is_written_and_read_by_its_name() {
    for (variant, name) in [(Variant::Chained, "chained"), (Variant::Blockwise, "blockwise")] {
        assert_eq!(variant.to_string(), name);
        assert_eq!(name.parse(), Ok(variant));
    }
    for name in ["", "Chained", "chained ", "cbc"] {
        assert!(name.parse::<Variant>().unwrap_err().to_string().contains("blockwise"));
    }
}

//! What is not a frame is refused, at the byte that shows it; what was damaged never becomes another sample.

use vitalwire_protocol::{BLOCKS_MAX, CbcSecret, FrameDecoder, FrameError, Sample, Variant, first_block};

use crate::vectors::{decode, encode, vectors};

const DIGITS: &[u8] = b"0123456789abcdef";

fn refusal(bytes: &[u8]) -> FrameError {
    let vector = &vectors()[0];
    let (texts, error) = decode(&vector.secret, vector.variant, [bytes]);
    assert!(texts.is_empty());
    error.unwrap()
}

/// A frame of as many blocks of text, none of which ends it.
fn endless(secret: &CbcSecret, variant: Variant, blocks: usize) -> String {
    let mut iv = *secret.iv();
    let mut wire = Vec::new();
    for _ in 0..blocks {
        // The first block of a frame with this IV is the next of a chain whose last block was the IV.
        let frame = encode(&CbcSecret::new(*secret.key(), iv), variant, b"0123456789abcdef}");
        if variant == Variant::Chained {
            iv = first_block(&frame).unwrap().unwrap();
        }
        wire.push(String::from_utf8(frame[..32].to_vec()).unwrap());
    }
    wire.join("+")
}

#[test]
fn one_wrong_hex_digit_anywhere_never_gives_a_sample() {
    for vector in vectors() {
        let mut stream = vector.frame.repeat(2).into_bytes();
        for at in 0..vector.frame.len() {
            let digit = stream[at];
            if digit == b'+' {
                continue;
            }
            for wrong in DIGITS.iter().filter(|wrong| **wrong != digit) {
                stream[at] = *wrong;
                let (texts, error) = decode(&vector.secret, vector.variant, [&stream[..]]);
                let first_parses = texts.first().is_some_and(|text| Sample::parse(text).is_ok());
                assert!(!first_parses, "digit {at} as {wrong} gave a sample");
                assert!(error.is_some() || texts.len() == 2, "digit {at} as {wrong} lost a frame silently");
            }
            stream[at] = digit;
        }
    }
}

#[test]
fn a_byte_that_is_no_digit_is_refused_where_it_stands() {
    for vector in vectors() {
        for at in 0..vector.frame.len() {
            for byte in [b'A', b'F', b'g', b' ', b'\n', b'&', 0, 0x16, 0x80, 0xff] {
                let mut frame = vector.frame.clone().into_bytes();
                let separator = frame[at] == b'+';
                frame[at] = byte;
                let (texts, error) = decode(&vector.secret, vector.variant, [&frame[..]]);
                let expected = if separator {
                    FrameError::NotSeparator { byte, offset: at }
                } else {
                    FrameError::NotHex { byte, offset: at }
                };
                assert_eq!((texts.len(), error), (0, Some(expected)));
            }
        }
    }
}

#[test]
fn a_digit_where_a_plus_belongs_ends_a_broken_frame() {
    for vector in vectors() {
        for block in 1..vector.blocks {
            let mut frame = vector.frame.clone().into_bytes();
            frame[block * 33 - 1] = b'0';
            let decoded = decode(&vector.secret, vector.variant, [&frame[..]]);
            assert_eq!(decoded, (vec![], Some(FrameError::Unterminated { blocks: block })));
        }
    }
}

#[test]
fn a_plus_where_a_digit_belongs_is_refused() {
    for vector in vectors() {
        for at in (0..vector.frame.len()).filter(|at| at % 33 != 32) {
            let mut frame = vector.frame.clone().into_bytes();
            frame[at] = b'+';
            let (_, error) = decode(&vector.secret, vector.variant, [&frame[..]]);
            assert_eq!(error, Some(FrameError::NotHex { byte: b'+', offset: at }));
        }
    }
}

#[test]
fn uppercase_digits_are_refused() {
    let upper = vectors()[0].frame.to_uppercase();
    assert_eq!(refusal(upper.as_bytes()), FrameError::NotHex { byte: b'D', offset: 4 });
}

#[test]
fn junk_text_and_tls_are_refused_at_their_first_wrong_byte() {
    for (bytes, byte, offset) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], b'G', 0),
        (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4\x03\x03", 0x16, 0),
        (b"{\"Temp\":\"36.6\"}", b'{', 0),
        (b"deadbeef hello", b' ', 8),
        (b"\xff\xfe\xfd", 0xff, 0),
        (b"\n", b'\n', 0),
        (b"+", b'+', 0),
    ] {
        assert_eq!(refusal(bytes), FrameError::NotHex { byte, offset });
    }
}

#[test]
fn sixty_four_blocks_are_read() {
    for variant in Variant::ALL {
        let secret = &vectors()[0].secret;
        let mut text = vec![b' '; 1023];
        text[1022] = b'}';
        let frame = encode(secret, variant, &text);
        assert_eq!(frame.len(), BLOCKS_MAX * 33 - 1);
        assert_eq!(decode(secret, variant, [&frame[..]]), (vec![text], None));
    }
}

#[test]
fn a_sixty_fifth_block_is_refused_at_its_plus_and_not_consumed() {
    let vector = &vectors()[0];
    for variant in Variant::ALL {
        let wire = endless(&vector.secret, variant, 100);
        let mut input = wire.as_bytes();
        let mut decoder = FrameDecoder::new(&vector.secret, variant);
        assert_eq!(decoder.next(&mut input), Err(FrameError::TooLong));
        assert_eq!(wire.len() - input.len(), BLOCKS_MAX * 33 - 1);
        assert_eq!(input[0], b'+');
    }
}

#[test]
fn sixty_four_blocks_without_an_end_wait_for_the_byte_that_tells_why() {
    let vector = &vectors()[0];
    let wire = endless(&vector.secret, vector.variant, BLOCKS_MAX);
    for (next, expected) in [
        (b'+', FrameError::TooLong),
        (b'0', FrameError::Unterminated { blocks: 64 }),
        (b'x', FrameError::NotSeparator { byte: b'x', offset: 2111 }),
    ] {
        let mut decoder = FrameDecoder::new(&vector.secret, vector.variant);
        assert_eq!(decoder.next(&mut wire.as_bytes()), Ok(None));
        assert_eq!(decoder.next(&mut &[next][..]), Err(expected));
    }
}

#[test]
fn a_damaged_block_is_refused_with_its_last_digit() {
    for vector in vectors() {
        for block in 0..vector.blocks {
            let mut frame = vector.frame.clone().into_bytes();
            let digit = &mut frame[block * 33];
            *digit = if *digit == b'0' { b'1' } else { b'0' };
            let end = block * 33 + 32;
            let (texts, error) = decode(&vector.secret, vector.variant, [&frame[..end - 1]]);
            assert_eq!((texts.len(), error), (0, None));
            let (texts, error) = decode(&vector.secret, vector.variant, [&frame[..end]]);
            assert_eq!((texts.len(), error), (0, Some(FrameError::NotText { block })));
        }
    }
}

#[test]
fn a_broken_stream_stays_broken() {
    let vector = &vectors()[0];
    let mut decoder = FrameDecoder::new(&vector.secret, vector.variant);
    let error = decoder.next(&mut &b"xyz"[..]).unwrap_err();
    let mut good = vector.frame.as_bytes();
    assert_eq!(decoder.next(&mut good), Err(error));
    assert_eq!(good, vector.frame.as_bytes());
}

#[test]
fn another_device_key_reads_nothing() {
    let all = vectors();
    for (vector, other) in all.iter().flat_map(|v| all.iter().map(move |o| (v, o))) {
        if vector.secret != other.secret {
            let twice = vector.frame.repeat(2);
            let (texts, error) = decode(&other.secret, vector.variant, [twice.as_bytes()]);
            assert!(texts.iter().all(|text| Sample::parse(text).is_err()));
            assert_eq!(error, Some(FrameError::NotText { block: 0 }));
        }
    }
}

#[test]
fn every_error_says_what_is_wrong_and_has_a_label_of_its_own() {
    let errors = [
        FrameError::NotHex { byte: 0x16, offset: 7 },
        FrameError::NotSeparator { byte: 0x20, offset: 32 },
        FrameError::TooLong,
        FrameError::NotText { block: 1 },
        FrameError::Unterminated { blocks: 8 },
        FrameError::JsonTooLong { len: 2000 },
        FrameError::JsonNotText { offset: 4 },
        FrameError::JsonWithoutEnd,
        FrameError::JsonEndsEarly { offset: 16 },
        FrameError::OutputTooSmall { needed: 230, available: 1 },
    ];
    let labels: std::collections::BTreeSet<_> = errors.iter().map(FrameError::label).collect();
    assert_eq!(labels.len(), errors.len());
    assert_eq!(errors[0].to_string(), "byte 0x16 at offset 7 of the frame is not a lowercase hex digit");
    assert_eq!(
        errors[7].to_string(),
        "JSON text does not end in `}`: only an object, with nothing after it, can be sent in a frame"
    );
}

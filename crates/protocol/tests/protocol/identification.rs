//! Trial decryption finds the device and the variant, and only those.

use vitalwire_protocol::{
    CbcSecret, Channel, FrameError, SampleError, Variant, first_block, first_block_fits, identify_variant,
};

use crate::vectors::{encode, vectors};

#[test]
fn the_first_block_is_known_with_its_32nd_digit() {
    for vector in vectors() {
        let frame = vector.frame.as_bytes();
        for len in 0..32 {
            assert_eq!(first_block(&frame[..len]), Ok(None));
        }
        let expected: [u8; 16] =
            std::array::from_fn(|i| u8::from_str_radix(&vector.frame[2 * i..2 * i + 2], 16).unwrap());
        for len in 32..=frame.len() {
            assert_eq!(first_block(&frame[..len]), Ok(Some(expected)));
        }
    }
}

#[test]
fn a_first_block_that_is_no_hex_is_refused_at_once() {
    assert_eq!(first_block(b"\x16\x03\x01"), Err(FrameError::NotHex { byte: 0x16, offset: 0 }));
    assert_eq!(first_block(b"abcdefABCDEF"), Err(FrameError::NotHex { byte: b'A', offset: 6 }));
}

#[test]
fn the_first_block_fits_its_own_secret_alone() {
    let all = vectors();
    for (vector, other) in all.iter().flat_map(|v| all.iter().map(move |o| (v, o))) {
        let block = first_block(vector.frame.as_bytes()).unwrap().unwrap();
        assert_eq!(first_block_fits(&other.secret, &block), vector.secret == other.secret);
    }
}

#[test]
fn a_wrong_iv_or_a_wrong_bit_of_the_key_does_not_fit() {
    let vector = &vectors()[0];
    let block = first_block(vector.frame.as_bytes()).unwrap().unwrap();
    for bit in 0..128 {
        let mut key = *vector.secret.key();
        key[bit / 8] ^= 1 << (bit % 8);
        assert!(!first_block_fits(&CbcSecret::new(key, *vector.secret.iv()), &block), "bit {bit} of the key");
    }
    for byte in 0..7 {
        let mut iv = *vector.secret.iv();
        iv[byte] ^= 1;
        assert!(
            !first_block_fits(&CbcSecret::new(*vector.secret.key(), iv), &block),
            "byte {byte} of the IV"
        );
    }
}

#[test]
fn any_of_the_seven_keys_may_come_first() {
    let secret = &vectors()[0].secret;
    for channel in Channel::ALL {
        let text = format!("{{\"{}\":1}}", channel.json_key());
        let frame = encode(secret, Variant::Chained, text.as_bytes());
        assert!(first_block_fits(secret, &first_block(&frame).unwrap().unwrap()));
    }
    for text in ["{\"Tem\":1}", "{\"TempM\":1}", "{\"Temperature\":1}", "{\"acel_x\":1}", "[\"Temp\"]}", "{}"]
    {
        let frame = encode(secret, Variant::Chained, text.as_bytes());
        assert!(!first_block_fits(secret, &first_block(&frame).unwrap().unwrap()), "{text}");
    }
}

#[test]
fn the_variant_is_known_with_the_last_byte_of_the_first_frame_and_stays() {
    for vector in vectors() {
        let stream = vector.frame.repeat(2);
        for len in 0..=stream.len() {
            let expected = (len >= vector.frame.len()).then_some(vector.variant);
            assert_eq!(
                identify_variant(&vector.secret, &stream.as_bytes()[..len]),
                Ok(expected),
                "{len} bytes"
            );
        }
    }
}

#[test]
fn no_variant_fits_with_another_secret() {
    let all = vectors();
    for (vector, other) in all.iter().flat_map(|v| all.iter().map(move |o| (v, o))) {
        if vector.secret != other.secret {
            let error = identify_variant(&other.secret, vector.frame.repeat(2).as_bytes()).unwrap_err();
            assert_eq!(error, FrameError::NotText { block: 0 });
        }
    }
}

#[test]
fn a_frame_that_holds_another_text_is_refused_by_name_of_the_cause() {
    let secret = &vectors()[0].secret;
    let text = b"{\"Temp\":\"36.6\",\"Temp\":\"36.6\",\"PulseSig\":\"1.9\"}";
    let cause = SampleError::DoubledKey { channel: Channel::Temp };
    for variant in Variant::ALL {
        let mut wire = encode(secret, variant, text);
        wire.push(b'0');
        let error = identify_variant(secret, &wire).unwrap_err();
        assert_eq!(error, FrameError::NotASample { len: text.len(), error: cause });
    }
}

#[test]
fn one_wrong_digit_in_the_first_frame_never_identifies() {
    for vector in vectors() {
        let mut stream = vector.frame.repeat(2).into_bytes();
        for at in (0..vector.frame.len()).filter(|at| at % 33 != 32) {
            let digit = stream[at];
            stream[at] = if digit == b'0' { b'1' } else { b'0' };
            assert!(identify_variant(&vector.secret, &stream).is_err(), "digit {at}");
            stream[at] = digit;
        }
    }
}

//! However the network cuts and joins a stream, the same texts come out, each with the last byte of its frame.

use proptest::prelude::*;
use vitalwire_protocol::{FRAME_LEN_MAX, FrameDecoder, FrameEncoder, Variant};

use crate::vectors::{Vector, decode, encode, streams, vectors};

fn wire(stream: &[Vector]) -> Vec<u8> {
    stream.iter().flat_map(|vector| vector.frame.bytes()).collect()
}

fn texts(stream: &[Vector]) -> Vec<Vec<u8>> {
    stream.iter().map(|vector| vector.json.clone().into_bytes()).collect()
}

#[test]
fn a_stream_cut_in_two_anywhere_decodes_the_same() {
    for stream in streams() {
        let wire = wire(&stream);
        for cut in 0..=wire.len() {
            let (head, tail) = wire.split_at(cut);
            let decoded = decode(&stream[0].secret, stream[0].variant, [head, tail]);
            assert_eq!(decoded, (texts(&stream), None), "cut at {cut}");
        }
    }
}

#[test]
fn a_frame_cut_in_three_anywhere_decodes_the_same() {
    let vector = &vectors()[0];
    let frame = vector.frame.as_bytes();
    for first in 0..=frame.len() {
        for second in first..=frame.len() {
            let pieces = [&frame[..first], &frame[first..second], &frame[second..]];
            let decoded = decode(&vector.secret, vector.variant, pieces);
            assert_eq!(
                decoded,
                (vec![vector.json.clone().into_bytes()], None),
                "cut at {first} and {second}"
            );
        }
    }
}

#[test]
fn a_stream_in_pieces_of_every_size_decodes_the_same() {
    for stream in streams() {
        let wire = wire(&stream);
        for size in 1..=wire.len() {
            let decoded = decode(&stream[0].secret, stream[0].variant, wire.chunks(size));
            assert_eq!(decoded, (texts(&stream), None), "pieces of {size}");
        }
    }
}

#[test]
fn a_frame_is_handed_on_with_its_last_byte_and_not_before() {
    for stream in streams() {
        let mut decoder = FrameDecoder::new(&stream[0].secret, stream[0].variant);
        for vector in &stream {
            let (last, head) = vector.frame.as_bytes().split_last().unwrap();
            for byte in head {
                assert!(decoder.next(&mut &[*byte][..]).unwrap().is_none());
                assert!(decoder.mid_frame());
            }
            assert_eq!(decoder.next(&mut &[*last][..]).unwrap(), Some(vector.json.as_bytes()));
            assert!(!decoder.mid_frame());
        }
    }
}

#[test]
fn fifty_frames_in_one_write_come_out_one_by_one() {
    for vector in vectors() {
        let wire = vector.frame.repeat(50);
        let (texts, error) = decode(&vector.secret, vector.variant, [wire.as_bytes()]);
        assert_eq!(error, None);
        assert_eq!(texts, vec![vector.json.clone().into_bytes(); 50]);
    }
}

#[test]
fn input_beyond_the_frame_is_left_for_the_next_call() {
    let vector = &vectors()[0];
    let wire = vector.frame.clone() + "2939";
    let mut input = wire.as_bytes();
    let mut decoder = FrameDecoder::new(&vector.secret, vector.variant);
    assert!(decoder.next(&mut input).unwrap().is_some());
    assert_eq!(input, b"2939");
    assert!(decoder.next(&mut input).unwrap().is_none());
    assert!(input.is_empty() && decoder.mid_frame());
}

/// Texts that a frame can carry: ASCII text, then `}`, as long as no block ends in `}` and padding.
fn json_text() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(
        prop_oneof![4 => b' '..=b'~', 1 => Just(b'\n'), 1 => Just(b'}'), 2 => Just(b'&')],
        0..1023,
    )
    .prop_map(|mut text| {
        text.push(b'}');
        text
    })
}

proptest! {
    #[test]
    fn what_encodes_decodes_the_same_in_any_pieces(
        key: [u8; 16],
        iv: [u8; 16],
        chained: bool,
        candidates in prop::collection::vec(json_text(), 1..5),
        sizes in prop::collection::vec(1usize..200, 1..50),
    ) {
        let secret = vitalwire_protocol::CbcSecret::new(key, iv);
        let variant = if chained { Variant::Chained } else { Variant::Blockwise };
        let encoder = FrameEncoder::new(&secret, variant);
        let mut out = [0; FRAME_LEN_MAX];
        let mut wire = Vec::new();
        let mut texts = Vec::new();
        for text in candidates {
            // A text that would seem to end early is refused, and rightly: see encoding.rs.
            if let Ok(len) = encoder.encode(&text, &mut out) {
                prop_assert_eq!(len, (text.len() / 16 + 1) * 33 - 1);
                wire.extend_from_slice(&out[..len]);
                texts.push(text);
            }
        }
        let mut rest = &wire[..];
        let mut pieces = Vec::new();
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        prop_assert_eq!(decode(&secret, variant, pieces), (texts, None));
    }

    #[test]
    fn any_bytes_give_the_same_in_any_two_pieces(
        bytes in prop::collection::vec(prop_oneof![8 => prop::sample::select(&b"0123456789abcdef+"[..]), 1 => any::<u8>()], 0..400),
        cut in 0usize..400,
    ) {
        let vector = &vectors()[0];
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        let whole = decode(&vector.secret, vector.variant, [&bytes[..]]);
        prop_assert_eq!(decode(&vector.secret, vector.variant, [head, tail]), whole);
    }
}

#[test]
fn a_text_of_every_length_makes_a_round_trip() {
    let secret = &vectors()[0].secret;
    for variant in Variant::ALL {
        for len in 1..=1023 {
            let mut text = vec![b'x'; len];
            text[len - 1] = b'}';
            let frame = encode(secret, variant, &text);
            assert_eq!(decode(secret, variant, [&frame[..]]), (vec![text], None), "{len} bytes");
        }
    }
}

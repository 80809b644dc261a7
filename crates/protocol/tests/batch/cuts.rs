//! However the network cuts and joins a stream, the same messages come out, each with its last byte.

use vitalwire_protocol::batch::decode;

use crate::stream::{messages, receive};

#[test]
fn a_stream_cut_in_two_anywhere_decodes_the_same() {
    let wire = messages().concat();
    let whole = receive([&wire[..]]);
    assert_eq!((whole.0.len(), whole.1), (messages().len(), None));
    for cut in 0..=wire.len() {
        assert_eq!(receive([&wire[..cut], &wire[cut..]]), whole, "cut at {cut}");
    }
}

#[test]
fn a_stream_in_pieces_of_every_size_decodes_the_same() {
    let wire = messages().concat();
    let whole = receive([&wire[..]]);
    for size in 1..=wire.len() {
        assert_eq!(receive(wire.chunks(size)), whole, "pieces of {size}");
    }
}

#[test]
fn a_message_is_handed_on_with_its_last_byte_and_not_before() {
    for message in messages() {
        for cut in 0..message.len() {
            assert!(decode(&message[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        assert_eq!(decode(&message).unwrap().unwrap().1, message.len());
        let followed = [&message[..], &[0x82, 0xff]].concat();
        assert_eq!(decode(&followed).unwrap().unwrap().1, message.len());
    }
}

#[test]
fn a_flipped_bit_anywhere_never_panics_and_never_waits_for_more_than_a_message() {
    for message in messages() {
        for bit in 0..message.len() * 8 {
            let mut damaged = message.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let (meanings, error) = receive([&damaged[..]]);
            let _ = (meanings, error.map(|error| (error.to_string(), error.label())));
        }
    }
}

//! What breaks a rule is refused where it stands; what only comes from a later version is skipped.

use vitalwire_protocol::batch::{BatchError, Message, begins_as_batch, decode};

use crate::stream::meaning;

/// `[2, {sequence: 1, time_ms: 0, channels: [{interval_us: 50000, values: …}]}]` with the bytes of `values`.
fn batch_with(values: &[u8]) -> Vec<u8> {
    [&[0x82, 2, 0xa3, 0, 1, 1, 0, 2, 0x81, 0xa2, 1, 0x19, 0xc3, 0x50, 3], values].concat()
}

fn refusal(bytes: &[u8]) -> BatchError {
    match decode(bytes) {
        Err(error) => error,
        Ok(found) => panic!("accepted as {found:?}"),
    }
}

fn said(bytes: &[u8]) -> String {
    meaning(&decode(bytes).unwrap().unwrap().0)
}

#[test]
fn fields_of_a_later_version_are_skipped() {
    assert_eq!(said(&[0x82, 17, 0xa1, 0, 7]), "Ack { sequence: 7 }");
    // An integer, a float, a tagged text, nested arrays and maps, `null`.
    for unknown in [
        &[5, 0x39, 1, 0][..],
        &[5, 0xfb, 0, 0, 0, 0, 0, 0, 0, 0],
        &[0x18, 63, 0xc0, 0x61, b'x'],
        &[5, 0x82, 0x81, 0xa1, 0x61, b'k', 0x80, 0x40],
        &[5, 0xf6],
    ] {
        assert_eq!(said(&[&[0x82, 17, 0xa2, 0, 7], unknown].concat()), "Ack { sequence: 7 }");
        assert_eq!(said(&[&[0x82, 17, 0xa2], unknown, &[0, 7]].concat()), "Ack { sequence: 7 }");
    }
    let batch =
        [0x82, 2, 0xa4, 0x14, 0, 0, 1, 1, 0, 2, 0x81, 0xa3, 1, 0x19, 0xc3, 0x50, 9, 0xf4, 3, 0x42, 0, 2];
    let channel = "Unfolded { index: 0, interval_us: 50000, delay_us: 0, scale: 0, values: [1] }";
    assert_eq!(said(&batch), format!("batch 1 0 None [{channel}]"));
}

#[test]
fn integers_lengths_and_tags_come_in_any_width() {
    let shortest = said(&batch_with(&[0xd8, 77, 0x42, 1, 0]));
    let widest = [
        &[0x82, 0x1b, 0, 0, 0, 0, 0, 0, 0, 2][..],
        &[0xbb, 0, 0, 0, 0, 0, 0, 0, 3],
        &[0x18, 0, 0x1b, 0, 0, 0, 0, 0, 0, 0, 1],
        &[0x19, 0, 1, 0x1a, 0, 0, 0, 0],
        &[0x1a, 0, 0, 0, 2, 0x9a, 0, 0, 0, 1, 0xb9, 0, 2],
        &[0x1b, 0, 0, 0, 0, 0, 0, 0, 1, 0x1b, 0, 0, 0, 0, 0, 0, 0xc3, 0x50],
        &[0x18, 3, 0xdb, 0, 0, 0, 0, 0, 0, 0, 77, 0x5a, 0, 0, 0, 2, 1, 0],
    ]
    .concat();
    assert_eq!(said(&widest), shortest);
    // The message's own array is the one exception: its first byte tells a message.
    assert_eq!(refusal(&[0x98, 2, 17, 0xa1, 0, 7]), BatchError::NotAMessage { at: 0 });
}

#[test]
fn messages_of_a_later_version_are_named_and_skipped() {
    assert!(matches!(decode(&[0x82, 9, 0xa0, 0x82]), Ok(Some((Message::Unknown { kind: 9 }, 3)))));
    let kind = [0x82, 0x1b, 255, 255, 255, 255, 255, 255, 255, 255, 0xa1, 1, 2];
    assert!(matches!(decode(&kind), Ok(Some((Message::Unknown { kind: u64::MAX }, 13)))));
    assert_eq!(refusal(&[0x82, 9, 0x80]), BatchError::NotAMessage { at: 2 });
    assert_eq!(refusal(&[0x82, 0x20, 0xa0]), BatchError::NotAMessage { at: 1 });
    assert_eq!(refusal(&[0x82, 0x61, b'2', 0xa0]), BatchError::NotAMessage { at: 1 });
}

#[test]
fn another_version_of_the_protocol_is_named() {
    let hello = |version| [0x82, 1, 0xa2, 0, version, 1, 0];
    assert_eq!(refusal(&hello(2)), BatchError::UnknownVersion { version: 2 });
    assert_eq!(refusal(&hello(0)), BatchError::UnknownVersion { version: 0 });
    assert_eq!(refusal(&hello(1)), BatchError::MissingField { field: "profile", at: 2 });
    assert_eq!(refusal(&[0x82, 16, 0xa2, 0, 3, 1, 0]), BatchError::UnknownVersion { version: 3 });
}

#[test]
fn indefinite_lengths_are_refused_everywhere() {
    assert_eq!(refusal(&[0x9f, 17, 0xa1, 0, 7, 0xff]), BatchError::NotAMessage { at: 0 });
    assert_eq!(refusal(&[0x82, 17, 0xbf, 0, 7, 0xff]), BatchError::NotDefiniteCbor { at: 2 });
    assert_eq!(refusal(&[0x82, 17, 0xa2, 0, 7, 1, 0x9f]), BatchError::NotDefiniteCbor { at: 6 });
    assert_eq!(refusal(&batch_with(&[0x5f, 0x41, 0, 0x41, 0, 0xff])), BatchError::NotDefiniteCbor { at: 15 });
}

#[test]
fn a_field_comes_once() {
    assert_eq!(refusal(&[0x82, 17, 0xa2, 0, 7, 0, 7]), BatchError::DuplicateField { number: 0, at: 5 });
    // Written in another length it is the same field; unknown ones come once too.
    let longer = [0x82, 17, 0xa2, 0, 7, 0x18, 0, 7];
    assert_eq!(refusal(&longer), BatchError::DuplicateField { number: 0, at: 5 });
    let unknown = [0x82, 17, 0xa3, 0, 7, 0x18, 50, 1, 0x18, 50, 1];
    assert_eq!(refusal(&unknown), BatchError::DuplicateField { number: 50, at: 8 });
    let intervals = [0x82, 18, 0xa1, 1, 0xa2, 2, 0x19, 0xc3, 0x50, 2, 0x19, 0xc3, 0x50];
    assert_eq!(refusal(&intervals), BatchError::DuplicateField { number: 2, at: 9 });
    for key in [&[0x18, 64][..], &[0x20], &[0x61, b'a'], &[0xf4]] {
        let message = [&[0x82, 17, 0xa2, 0, 7], key, &[0]].concat();
        assert_eq!(refusal(&message), BatchError::NotAFieldNumber { at: 5 });
    }
}

#[test]
fn a_field_that_must_come_is_missed() {
    assert_eq!(refusal(&[0x82, 17, 0xa0]), BatchError::MissingField { field: "sequence", at: 2 });
    assert_eq!(refusal(&[0x82, 2, 0xa2, 0, 1, 1, 0]), BatchError::MissingField { field: "channels", at: 2 });
    let no_interval = [0x82, 2, 0xa3, 0, 1, 1, 0, 2, 0x81, 0xa1, 3, 0x42, 0, 2];
    assert_eq!(refusal(&no_interval), BatchError::MissingField { field: "interval_us", at: 9 });
    let no_values = [0x82, 2, 0xa3, 0, 1, 1, 0, 2, 0x81, 0xa1, 1, 0x19, 0xc3, 0x50];
    assert_eq!(refusal(&no_values), BatchError::MissingField { field: "values", at: 9 });
}

#[test]
fn floats_texts_and_signs_are_refused_where_they_do_not_belong() {
    let wrong = |field, at, expected| BatchError::WrongType { field, at, expected };
    for value in [&[0xf9, 0x3c, 0][..], &[0xfa, 0, 0, 0, 0], &[0x20], &[0x61, b'1'], &[0xc1, 1]] {
        let message = [&[0x82, 17, 0xa1, 0], value].concat();
        assert_eq!(refusal(&message), wrong("sequence", 4, "an unsigned integer"));
    }
    let expected = "a byte string or a typed array";
    for value in [&[0x83, 1, 2, 3][..], &[0xfb, 0, 0, 0, 0, 0, 0, 0, 0], &[0x62, b'1', b'2']] {
        assert_eq!(refusal(&batch_with(value)), wrong("values", 15, expected));
    }
    assert_eq!(refusal(&batch_with(&[0xd8, 77, 0x81, 1])), wrong("values", 15, expected));
    let expected = "packed, or tagged 72, 77 or 78";
    // Unsigned, big-endian, 64 bits, floats.
    for tag in [64, 68, 73, 74, 79, 84, 85] {
        assert_eq!(refusal(&batch_with(&[0xd8, tag, 0x41, 1])), wrong("values", 15, expected));
    }
    let event = [0x82, 3, 0xa1, 1, 0x61, 0xff];
    assert_eq!(refusal(&event), wrong("text", 4, "a text in UTF-8"));
}

#[test]
fn values_that_do_not_unpack_are_refused() {
    let damaged = BatchError::DamagedValues { channel: 0, at: 15 };
    for values in [
        &[0x40][..],                                    // no header
        &[0x43, 0x60, 2, 0x80],                         // no such predictor
        &[0x43, 0, 2, 0],                               // a byte of padding
        &[0x47, 0, 0xfe, 0xff, 0xff, 0xff, 0x0f, 0x60], // past 32 bits
        &[0xd8, 77, 0x43, 1, 2, 3],                     // one and a half sint16
        &[0xd8, 78, 0x42, 1, 2],                        // half a sint32
    ] {
        assert_eq!(refusal(&batch_with(values)), damaged);
    }
    assert_eq!(refusal(&batch_with(&[0xd8, 72, 0x40])), BatchError::ValueCount { channel: 0 });
}

#[test]
fn channels_are_counted_numbered_and_come_once() {
    let channels = |bytes: &[u8]| [&[0x82, 2, 0xa3, 0, 1, 1, 0, 2], bytes].concat();
    assert_eq!(refusal(&channels(&[0x80])), BatchError::ChannelCount { count: 0 });
    let many = [&[0x98, 33][..], &[0xa0; 33]].concat();
    assert_eq!(refusal(&channels(&many)), BatchError::ChannelCount { count: 33 });
    let channel = |index: &[u8]| [&[0xa3, 0], index, &[1, 0x19, 0xc3, 0x50, 3, 0x42, 0, 2]].concat();
    assert_eq!(
        refusal(&channels(&[&[0x81][..], &channel(&[0x18, 32])].concat())),
        BatchError::OutOfRange { field: "index", at: 11 }
    );
    let twice = [&[0x82][..], &channel(&[4]), &channel(&[4])].concat();
    assert_eq!(refusal(&channels(&twice)), BatchError::DuplicateChannel { channel: 4, at: 20 });
    // The one after the last index there is.
    let past = [&[0x82][..], &channel(&[0x18, 31]), &[0xa1, 3, 0x42, 0, 2]].concat();
    assert!(matches!(refusal(&channels(&past)), BatchError::OutOfRange { field: "index", .. }));
}

#[test]
fn a_message_of_three_parts_is_none() {
    assert_eq!(refusal(&[0x83, 17, 0xa1, 0, 7, 0]), BatchError::NotAMessage { at: 0 });
}

#[test]
fn errors_say_what_to_do_and_no_value() {
    let error = refusal(&batch_with(&[0xd8, 73, 0x42, 0xab, 0xcd]));
    assert_eq!(error.to_string(), "field values at byte 15 is not packed, or tagged 72, 77 or 78");
    assert_eq!(error.label(), "wrong_type");
}

#[test]
fn a_device_holds_the_batch_that_it_sends() {
    let batch = |oldest: u8| {
        let channels = [0x81, 0xa2, 1, 0x19, 0xc3, 0x50, 3, 0x42, 0, 2];
        // `oldest` before what it is compared with: fields come in any order.
        [&[0x82, 2, 0xa4, 3, oldest, 0, 7, 1, 0, 2][..], &channels].concat()
    };
    assert!(decode(&batch(7)).is_ok());
    assert_eq!(refusal(&batch(8)), BatchError::OutOfRange { field: "oldest", at: 4 });
    assert_eq!(refusal(&batch(0)), BatchError::OutOfRange { field: "oldest", at: 4 });
}

#[test]
fn what_begins_as_a_batch_is_known_though_it_is_refused() {
    assert!(begins_as_batch(&batch_with(&[0x40])) && begins_as_batch(&[0x82, 0x18, 2]));
    for other in [&[][..], &[0x82], &[0x82, 1], &[0x82, 0x61], &[0x83, 2], b"\x02\x02"] {
        assert!(!begins_as_batch(other), "{other:?}");
    }
}

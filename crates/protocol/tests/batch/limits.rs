//! Each limit holds, for the reader and for the writer: up to it everything passes, past it nothing.

use vitalwire_protocol::batch::{
    BATCH_MS_MAX, BATCH_VALUES_MAX, BatchError, CHANNELS_MAX, EVENT_TEXT_LEN_MAX, Event, FIRMWARE_LEN_MAX,
    Hello, INTERVAL_US_MAX, INTERVAL_US_MIN, MESSAGE_LEN_MAX, Message, PROFILE_NAME_LEN_MAX,
    REFUSED_TEXT_LEN_MAX, Refused, SEQUENCE_MAX, SERVER_MESSAGE_LEN_MAX, Samples, TIME_MS_MAX, VALUES_MAX,
    Welcome, add_oldest, decode, encode_ack, encode_batch, encode_configure, encode_event, encode_hello,
    encode_refused, encode_welcome,
};

use crate::stream::written;

const SAMPLES: Samples<'static> =
    Samples { index: 0, interval_us: 50_000, delay_us: 0, scale: 0, values: &[1] };

fn batch(channels: &[Samples<'_>]) -> Result<usize, BatchError> {
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = encode_batch(1, 0, None, channels, &mut out)?;
    assert!(matches!(decode(&out), Ok(Some((Message::Batch(_), read))) if read == len));
    Ok(len)
}

fn out_of_range(field: &'static str) -> BatchError {
    BatchError::OutOfRange { field, at: 0 }
}

#[test]
fn a_channel_has_at_most_its_values() {
    let values = vec![7; VALUES_MAX + 1];
    assert!(batch(&[Samples { values: &values[..VALUES_MAX], ..SAMPLES }]).unwrap() < 700);
    let refused = Err(BatchError::ValueCount { channel: 0 });
    assert_eq!(batch(&[Samples { values: &values, ..SAMPLES }]), refused);
    assert_eq!(batch(&[Samples { values: &[], ..SAMPLES }]), refused);
}

#[test]
fn packed_values_are_counted_while_they_are_read() {
    // A bit a value: the first one and eight a byte.
    let message = |bytes: usize| {
        let len = u16::try_from(bytes + 2).unwrap().to_be_bytes();
        let head = [0x82, 2, 0xa3, 0, 1, 1, 0, 2, 0x81, 0xa2, 1, 0x19, 0xc3, 0x50, 3, 0x59];
        [&head[..], &len, &[0, 0], &vec![0xff; bytes]].concat()
    };
    assert!(decode(&message(624)).is_ok());
    assert_eq!(decode(&message(625)).unwrap_err(), BatchError::ValueCount { channel: 0 });
    assert_eq!(decode(&message(16_000)).unwrap_err(), BatchError::ValueCount { channel: 0 });
}

#[test]
fn a_batch_has_at_most_its_values() {
    let values = vec![7; 4_096];
    let channel = |index| Samples { index, values: &values, ..SAMPLES };
    let fits: Vec<_> = (0..4).map(channel).collect();
    assert_eq!(fits.len() * values.len(), BATCH_VALUES_MAX);
    let len = batch(&fits).unwrap();
    let one_more = [&fits[..], &[Samples { index: 4, ..SAMPLES }]].concat();
    assert_eq!(batch(&one_more), Err(BatchError::BatchValueCount));
    // The reader's turn: the four channels, and a fifth by hand.
    let mut message = written(|out| encode_batch(1, 0, None, &fits, out));
    assert_eq!((message.len(), message[8]), (len, 0x84));
    message[8] = 0x85;
    message.extend([0xa1, 3, 0x42, 0, 2]);
    assert_eq!(decode(&message).unwrap_err(), BatchError::BatchValueCount);
}

#[test]
fn a_batch_has_at_most_its_channels() {
    let channels: Vec<_> = (0..=u8::try_from(CHANNELS_MAX).unwrap())
        .map(|index| Samples { index: index % 32, ..SAMPLES })
        .collect();
    assert!(batch(&channels[..CHANNELS_MAX]).is_ok());
    assert_eq!(batch(&channels), Err(BatchError::ChannelCount { count: 33 }));
    assert_eq!(batch(&[]), Err(BatchError::ChannelCount { count: 0 }));
    assert_eq!(batch(&[Samples { index: 32, ..SAMPLES }]), Err(out_of_range("index")));
    let twice = [SAMPLES, Samples { index: 5, ..SAMPLES }, SAMPLES];
    assert_eq!(batch(&twice), Err(BatchError::DuplicateChannel { channel: 0, at: 0 }));
}

#[test]
fn numbers_stay_within_their_limits() {
    for interval_us in [INTERVAL_US_MIN, INTERVAL_US_MAX] {
        assert!(batch(&[Samples { interval_us, ..SAMPLES }]).is_ok());
    }
    for interval_us in [0, INTERVAL_US_MIN - 1, INTERVAL_US_MAX + 1] {
        assert_eq!(batch(&[Samples { interval_us, ..SAMPLES }]), Err(out_of_range("interval_us")));
    }
    for scale in [-9, 9] {
        assert!(batch(&[Samples { scale, ..SAMPLES }]).is_ok());
    }
    for scale in [i8::MIN, -10, 10] {
        assert_eq!(batch(&[Samples { scale, ..SAMPLES }]), Err(out_of_range("scale")));
    }
    assert!(batch(&[Samples { delay_us: INTERVAL_US_MAX, ..SAMPLES }]).is_ok());
    let late = Samples { delay_us: INTERVAL_US_MAX + 1, ..SAMPLES };
    assert_eq!(batch(&[late]), Err(out_of_range("delay_us")));
}

#[test]
fn sequences_and_times_stay_within_their_limits() {
    let mut out = [0; 64];
    for sequence in [0, SEQUENCE_MAX + 1] {
        assert_eq!(encode_ack(sequence, &mut out), Err(out_of_range("sequence")));
        assert_eq!(encode_batch(sequence, 0, None, &[SAMPLES], &mut out), Err(out_of_range("sequence")));
        let welcome = Welcome { utc_ms: 0, sequence: Some(sequence) };
        assert_eq!(encode_welcome(&welcome, &mut out), Err(out_of_range("sequence")));
        let refused = Refused { code: 1, text: "", sequence: Some(sequence) };
        assert_eq!(encode_refused(&refused, &mut out), Err(out_of_range("sequence")));
    }
    assert!(encode_ack(SEQUENCE_MAX, &mut out).is_ok());
    assert!(encode_batch(1, TIME_MS_MAX, None, &[SAMPLES], &mut out).is_ok());
    for oldest in [0, 8, SEQUENCE_MAX] {
        assert_eq!(encode_batch(7, 0, Some(oldest), &[SAMPLES], &mut out), Err(out_of_range("oldest")));
    }
    assert_eq!(encode_batch(1, TIME_MS_MAX + 1, None, &[SAMPLES], &mut out), Err(out_of_range("time_ms")));
    let welcome = Welcome { utc_ms: TIME_MS_MAX + 1, sequence: None };
    assert_eq!(encode_welcome(&welcome, &mut out), Err(out_of_range("utc_ms")));
    for batch_ms in [0, BATCH_MS_MAX + 1] {
        assert_eq!(encode_configure(Some(batch_ms), &[], &mut out), Err(out_of_range("batch_ms")));
    }
    assert_eq!(encode_configure(None, &[(32, 50_000)], &mut out), Err(out_of_range("index")));
    assert_eq!(encode_configure(None, &[(0, 1_999)], &mut out), Err(out_of_range("interval_us")));
    assert_eq!(
        encode_configure(None, &[(0, 50_000), (0, 50_000)], &mut out),
        Err(BatchError::DuplicateChannel { channel: 0, at: 0 })
    );
}

#[test]
fn texts_stay_within_their_limits() {
    let mut out = [0; 256];
    let name = "p".repeat(PROFILE_NAME_LEN_MAX + 1);
    let firmware = "9".repeat(FIRMWARE_LEN_MAX + 1);
    let fits = Hello {
        boot: 0,
        profile: &name[..PROFILE_NAME_LEN_MAX],
        firmware: &firmware[..FIRMWARE_LEN_MAX],
        time_ms: TIME_MS_MAX,
        oldest: Some(SEQUENCE_MAX),
        past: false,
    };
    assert!(encode_hello(&fits, &mut out).is_ok());
    for oldest in [0, SEQUENCE_MAX + 1] {
        let hello = Hello { oldest: Some(oldest), ..fits };
        assert_eq!(encode_hello(&hello, &mut out), Err(out_of_range("oldest")));
    }
    for profile in [&name, "", "a b", "a/b", "µ", "#"] {
        assert_eq!(encode_hello(&Hello { profile, ..fits }, &mut out), Err(out_of_range("profile")));
    }
    for firmware in [&firmware, "", "1.0\n", "\u{e9}"] {
        assert_eq!(encode_hello(&Hello { firmware, ..fits }, &mut out), Err(out_of_range("firmware")));
    }
    let text = "t".repeat(EVENT_TEXT_LEN_MAX + 1);
    let event = Event { code: u16::MAX, text: &text[..EVENT_TEXT_LEN_MAX], time_ms: 0 };
    assert!(encode_event(&event, &mut out).is_ok());
    for text in [&text, "a\nb", "\u{7f}", "\u{9b}"] {
        assert_eq!(encode_event(&Event { text, ..event }, &mut out), Err(out_of_range("text")));
    }
}

#[test]
fn a_message_never_passes_its_limit_however_large_the_buffer() {
    let values: Vec<i32> = (0..4_096_i32).map(|n| n.wrapping_mul(-1_640_531_527)).collect();
    let channels = [SAMPLES, Samples { index: 1, values: &values, ..SAMPLES }];
    assert_eq!(
        encode_batch(1, 0, None, &channels, &mut vec![0; 2 * MESSAGE_LEN_MAX]),
        Err(BatchError::OutputTooSmall { available: MESSAGE_LEN_MAX })
    );
}

#[test]
fn oldest_is_added_to_a_batch_only_where_it_fits_and_belongs() {
    let mut out = [0; 64];
    let len = encode_batch(300, 0, None, &[SAMPLES], &mut out).unwrap();
    let before = out;
    assert_eq!(
        add_oldest(&mut out[..len + 3], len, 256),
        Err(BatchError::OutputTooSmall { available: len + 3 })
    );
    for oldest in [0, 301] {
        assert_eq!(add_oldest(&mut out, len, oldest), Err(out_of_range("oldest")));
    }
    assert!(add_oldest(&mut out, len - 1, 1).is_err() && add_oldest(&mut out, len + 1, 1).is_err());
    assert_eq!(out[..len], before[..len], "a refusal changes nothing");
    let longer = add_oldest(&mut out[..len + 4], len, 256).unwrap();
    assert_eq!(longer, len + 4);
    let Some((Message::Batch(batch), _)) = decode(&out[..longer]).unwrap() else { panic!("no batch") };
    assert_eq!((batch.sequence, batch.oldest), (300, Some(256)));
    assert!(add_oldest(&mut out, longer, 256).is_err(), "it says so already");
    let hello = encode_ack(7, &mut out).unwrap();
    assert!(add_oldest(&mut out, hello, 1).is_err(), "no batch");
}

#[test]
fn a_refusal_fits_what_a_device_takes_and_says_no_more_than_it_may() {
    let mut out = [0; SERVER_MESSAGE_LEN_MAX];
    let text = "t".repeat(REFUSED_TEXT_LEN_MAX);
    let longest = Refused { code: u16::MAX, text: &text, sequence: Some(SEQUENCE_MAX) };
    let len = encode_refused(&longest, &mut out).unwrap();
    assert!(matches!(decode(&out[..len]), Ok(Some((Message::Refused(found), _))) if found == longest));
    for text in [format!("{text}t"), "a\nb".to_owned()] {
        let refused = Refused { text: &text, ..longest };
        assert_eq!(encode_refused(&refused, &mut out), Err(out_of_range("text")));
    }
    let read = |message: &[u8]| decode(message).map(|_| ()).unwrap_err();
    assert_eq!(
        read(&[0x82, 19, 0xa2, 0, 1, 1, 0x61, b'\n']),
        BatchError::OutOfRange { field: "text", at: 6 }
    );
    assert_eq!(
        read(&[0x82, 19, 0xa2, 0, 0x1a, 0, 1, 0, 0, 1, 0x60]),
        BatchError::OutOfRange { field: "code", at: 4 }
    );
    assert_eq!(read(&[0x82, 19, 0xa1, 0, 1]), BatchError::MissingField { field: "text", at: 2 });
    assert_eq!(read(&[0x82, 19, 0xa1, 1, 0x60]), BatchError::MissingField { field: "code", at: 2 });
}

#[test]
fn what_lies_too_deep_is_refused_in_every_field_and_message() {
    // A field of a later version, within the message's array and map: six more levels fit.
    for (message, levels) in [(&[0x82, 17, 0xa2, 0, 7, 5][..], 6), (&[0x82, 23, 0xa1, 5], 6)] {
        let within = |levels: usize| [message, &vec![0x81; levels], &[0]].concat();
        assert!(decode(&within(levels)).unwrap().is_some());
        let at = message.len() + levels;
        assert_eq!(decode(&within(levels + 1)).unwrap_err(), BatchError::TooDeep { at });
    }
}

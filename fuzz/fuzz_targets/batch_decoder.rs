//! Batches: the same messages come out however a stream is cut; what was read, written again, reads the same.
//!
//! An input is `size bytes…`: the bytes of a connection, in pieces of this size.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vitalwire_protocol::batch::{
    BATCH_VALUES_MAX, Batch, BatchError, MESSAGE_LEN_MAX, Message, Samples, Scanner, VALUES_MAX, decode,
    encode_ack, encode_batch, encode_configure, encode_event, encode_hello, encode_refused, encode_welcome,
};

fuzz_target!(|data: &[u8]| {
    let Some((&size, wire)) = data.split_first() else { return };
    let mut rest = wire;
    let error = loop {
        match decode(rest) {
            Ok(Some((message, len))) => {
                assert!(len <= MESSAGE_LEN_MAX);
                assert!(matches!(decode(&rest[..len - 1]), Ok(None)), "a message was whole before its end");
                reads_the_same_again(&message);
                rest = &rest[len..];
            }
            Ok(None) => {
                assert!(rest.len() < MESSAGE_LEN_MAX, "{} bytes kept without an end", rest.len());
                break None;
            }
            Err(error) => break Some(error),
        }
    };
    let whole = (wire.len() - rest.len(), error);
    assert_eq!(in_pieces(wire, usize::from(size.max(1))), whole, "cuts change what is decoded");
});

/// The bytes of whole messages, and the error that ended the stream.
fn in_pieces(wire: &[u8], size: usize) -> (usize, Option<BatchError>) {
    let (mut start, mut end, mut scanner) = (0, 0, Scanner::default());
    loop {
        let scanned = scanner.scan(&wire[start..end]);
        match scanned {
            Ok(Some(len)) => match decode(&wire[start..start + len]) {
                Ok(found) => start += found.expect("a scanned message is whole").1,
                Err(error) => return (start, Some(error)),
            },
            Ok(None) if end == wire.len() => return (start, None),
            Ok(None) => end = wire.len().min(end + size),
            Err(error) => return (start, Some(error)),
        }
    }
}

fn reads_the_same_again(message: &Message<'_>) {
    let mut out = vec![0; MESSAGE_LEN_MAX];
    let len = match message {
        Message::Hello(hello) => encode_hello(hello, &mut out),
        Message::Batch(batch) => return batch_reads_the_same_again(batch, &mut out),
        Message::Event(event) => encode_event(event, &mut out),
        Message::Welcome(welcome) => encode_welcome(welcome, &mut out),
        Message::Ack { sequence } => encode_ack(*sequence, &mut out),
        Message::Configure(configure) => {
            encode_configure(configure.batch_ms, &configure.intervals().collect::<Vec<_>>(), &mut out)
        }
        Message::Refused(refused) => encode_refused(refused, &mut out),
        Message::Unknown { .. } => return,
    };
    let (again, _) = decode(&out[..len.expect("what was read can be written")])
        .expect("what is written is read")
        .expect("and whole");
    let text = |message: &Message<'_>| match message {
        Message::Configure(found) => {
            format!("{:?} {:?}", found.batch_ms, found.intervals().collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    };
    assert_eq!(text(&again), text(message));
}

fn batch_reads_the_same_again(batch: &Batch<'_>, out: &mut [u8]) {
    let unfold = |batch: &Batch<'_>| -> Vec<(u8, u32, u32, i8, Vec<i32>)> {
        batch
            .channels()
            .map(|channel| {
                let announced = channel.values.len();
                let values: Vec<i32> = channel.values.collect();
                assert!(values.len() == announced && (1..=VALUES_MAX).contains(&announced));
                (channel.index, channel.interval_us, channel.delay_us, channel.scale, values)
            })
            .collect()
    };
    let channels = unfold(batch);
    assert!(channels.iter().map(|channel| channel.4.len()).sum::<usize>() <= BATCH_VALUES_MAX);
    let samples: Vec<Samples<'_>> = channels
        .iter()
        .map(|(index, interval_us, delay_us, scale, values)| Samples {
            index: *index,
            interval_us: *interval_us,
            delay_us: *delay_us,
            scale: *scale,
            values,
        })
        .collect();
    let len = encode_batch(batch.sequence, batch.time_ms, batch.oldest, &samples, out)
        .expect("what was read can be written");
    let Ok(Some((Message::Batch(again), _))) = decode(&out[..len]) else { panic!("what is written is read") };
    assert_eq!((unfold(&again), again.oldest), (channels, batch.oldest));
}

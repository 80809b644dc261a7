//! What is written is read: every batch within the limits comes back as it was.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use vitalwire_protocol::batch::{
    BatchError, CHANNELS_MAX, INTERVAL_US_MAX, INTERVAL_US_MIN, MESSAGE_LEN_MAX, Message, SEQUENCE_MAX,
    Samples, TIME_MS_MAX, decode, encode_batch,
};

use crate::stream::{Unfolded, receive};

/// Values as sensors give them: constant, smooth, noisy, wild.
fn values() -> impl Strategy<Value = Vec<i32>> {
    prop_oneof![
        (any::<i32>(), 1..60_usize).prop_map(|(value, count)| vec![value; count]),
        (-100_000..100_000, vec(-40..40, 0..200)).prop_map(|(start, steps)| {
            let mut value = start;
            std::iter::once(start).chain(steps.into_iter().map(|step| (value += step, value).1)).collect()
        }),
        vec(-130..130, 1..60),
        vec(any::<i16>().prop_map(i32::from), 1..60),
        vec(any::<i32>(), 1..60),
        vec(prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(0)], 1..20),
    ]
}

fn channels() -> impl Strategy<Value = Vec<Unfolded>> {
    let index = 0..u8::try_from(CHANNELS_MAX).unwrap();
    let interval = prop_oneof![Just(50_000), Just(4_000), INTERVAL_US_MIN..=INTERVAL_US_MAX];
    let delay = prop_oneof![Just(0), 0..=INTERVAL_US_MAX];
    let scale = prop_oneof![Just(-3_i8), -9_i8..=9];
    let channel = (interval, delay, scale, values(), any::<u32>());
    btree_map(index, channel, 1..12).prop_map(|map| {
        let mut keyed: Vec<_> = map
            .into_iter()
            .map(|(index, (interval_us, delay_us, scale, values, order))| {
                (order, Unfolded { index, interval_us, delay_us, scale, values })
            })
            .collect();
        // Ordered by index half of the time, so that what is left out is met as well as what is not.
        if keyed[0].0 % 2 == 0 {
            keyed.sort_by_key(|(order, _)| *order);
        }
        keyed.into_iter().map(|(_, channel)| channel).collect()
    })
}

fn samples(channels: &[Unfolded]) -> Vec<Samples<'_>> {
    let sample = |channel: &'_ Unfolded| -> (u8, u32, u32, i8) {
        (channel.index, channel.interval_us, channel.delay_us, channel.scale)
    };
    channels
        .iter()
        .map(|channel| {
            let (index, interval_us, delay_us, scale) = sample(channel);
            Samples { index, interval_us, delay_us, scale, values: &channel.values }
        })
        .collect()
}

proptest! {
    #[test]
    fn a_batch_comes_back_as_it_was(
        sequence in 1..=SEQUENCE_MAX,
        time_ms in 0..=TIME_MS_MAX,
        channels in channels(),
    ) {
        let mut out = vec![0; MESSAGE_LEN_MAX];
        let len = encode_batch(sequence, time_ms, None, &samples(&channels), &mut out).unwrap();
        let Some((Message::Batch(batch), read)) = decode(&out).unwrap() else { panic!("no batch") };
        prop_assert_eq!((batch.sequence, batch.time_ms, read), (sequence, time_ms, len));
        prop_assert_eq!(batch.channels().map(Unfolded::from).collect::<Vec<_>>(), channels);
    }

    #[test]
    fn a_buffer_one_byte_short_is_refused_and_never_overrun(channels in channels()) {
        let mut out = vec![0; MESSAGE_LEN_MAX];
        let len = encode_batch(1, 0, None, &samples(&channels), &mut out).unwrap();
        for available in [0, 1, len / 2, len - 1] {
            prop_assert_eq!(
                encode_batch(1, 0, None, &samples(&channels), &mut out[..available]),
                Err(BatchError::OutputTooSmall { available })
            );
        }
        prop_assert_eq!(encode_batch(1, 0, None, &samples(&channels), &mut out[..len]), Ok(len));
    }

    #[test]
    fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..400), kind in 1..20_u8) {
        let _ = receive([&bytes[..]]);
        let _ = receive([&[0x82, kind][..], &bytes]);
        let _ = receive([&[0x82, 2, 0xa1, 2, 0x81, 0xa2, 1, 0x19, 0xc3, 0x50, 3, 0x58, 100][..], &bytes]);
    }
}

extern crate std;
use std::vec::Vec;

use vitalwire_protocol::batch::{MESSAGE_LEN_MAX, Message, decode, encode_configure};

use super::*;

/// A value of a channel and when it was measured.
type Reading = (u8, u64, i32);

fn setup(index: u8, interval_us: u32) -> ChannelSetup {
    ChannelSetup { index, interval_us, scale: -3 }
}

fn readings(message: &[u8]) -> Vec<Reading> {
    let Some((Message::Batch(batch), len)) = decode(message).unwrap() else { panic!("no batch") };
    assert_eq!(len, message.len());
    let mut readings = Vec::new();
    for channel in batch.channels() {
        let first_us = batch.time_ms * 1_000 + u64::from(channel.delay_us);
        for (step, value) in (0_u64..).zip(channel.values) {
            readings.push((channel.index, first_us + step * u64::from(channel.interval_us), value));
        }
    }
    readings.sort_unstable_by_key(|(index, at_us, _)| (*at_us, *index));
    readings
}

/// Measures until `end_us`; what went in, and the batches that came out. `answers` tells whether a sensor does.
fn measure(
    batcher: &mut Batcher<Vec<i32>>,
    end_us: u64,
    answers: impl Fn(u8, u64) -> bool,
) -> (Vec<Reading>, Vec<(Made, Vec<Reading>)>) {
    let (mut measured, mut batches) = (Vec::new(), Vec::new());
    let mut out = [0; MESSAGE_LEN_MAX];
    let mut next = 1;
    let mut make = |batcher: &mut Batcher<Vec<i32>>| {
        let Some(made) = batcher.make(next, &mut out[..batcher.message_len_max]).unwrap() else { return };
        next += 1;
        batches.push((made, readings(&out[..made.len])));
    };
    loop {
        let (index, due_us) = batcher.next_due();
        if due_us >= end_us {
            break;
        }
        if batcher.is_complete() {
            make(batcher);
        }
        if answers(index, due_us) {
            let value = i32::try_from(measured.len()).unwrap();
            measured.push((index, due_us, value));
            batcher.record(value);
        } else {
            batcher.miss();
        }
    }
    make(batcher);
    (measured, batches)
}

#[test]
fn every_value_comes_out_once_with_its_time() {
    let channels = [setup(2, 50_000), setup(0, 1_000_000), setup(5, 333_333)];
    let mut batcher = Batcher::new(std::vec![0; 400], 4_096, &channels, 1_000, 1_234_567).unwrap();
    let (measured, batches) = measure(&mut batcher, 12_000_000, |_, _| true);
    let came_out: Vec<Reading> = batches.iter().flat_map(|(_, readings)| readings.clone()).collect();
    assert_eq!(came_out, measured);
    for (made, readings) in &batches {
        assert!(made.last_us - made.first_us < 1_000_000);
        assert_eq!((made.values, made.first_us), (readings.len(), readings[0].1));
        assert_eq!(made.last_us, readings.last().unwrap().1);
    }
    assert!(batches.len() <= 12, "{} batches", batches.len());
}

#[test]
fn a_batch_is_complete_with_its_last_value_and_not_before() {
    let mut batcher = Batcher::new(std::vec![0; 100], 1_024, &[setup(0, 50_000)], 1_000, 0).unwrap();
    for value in 0..20 {
        assert!(!batcher.is_complete(), "value {value}");
        batcher.record(value);
    }
    assert!(batcher.is_complete());
    let made = batcher.make(1, &mut [0; 1_024]).unwrap().unwrap();
    assert_eq!((made.values, made.first_us, made.last_us), (20, 0, 950_000));
    assert_eq!(batcher.make(2, &mut [0; 1_024]), Ok(None));
}

#[test]
fn a_batch_ends_before_a_gap() {
    let channels = [setup(0, 100_000), setup(1, 100_000)];
    let mut batcher = Batcher::new(std::vec![0; 100], 1_024, &channels, 1_000, 0).unwrap();
    let answers = |index, due_us| !(index == 1 && (300_000..500_000).contains(&due_us));
    let (measured, batches) = measure(&mut batcher, 2_000_000, answers);
    let came_out: Vec<Reading> = batches.iter().flat_map(|(_, readings)| readings.clone()).collect();
    let mut sorted = came_out.clone();
    sorted.sort_unstable_by_key(|(index, at_us, _)| (*at_us, *index));
    assert_eq!(sorted, measured);
    assert_eq!(batcher.missed(), 2);
    // The second batch begins with channel 1's first value after the gap, or with what came in between.
    assert!(batches[0].0.last_us == 400_000 && batches[1].0.first_us == 500_000);
}

#[test]
fn values_that_were_due_while_the_device_was_busy_are_missed_and_counted() {
    let mut batcher = Batcher::new(std::vec![0; 100], 1_024, &[setup(0, 50_000)], 1_000, 0).unwrap();
    batcher.record(1);
    assert_eq!(batcher.miss_until(50_000), 0);
    assert_eq!(batcher.miss_until(120_001), 2);
    assert_eq!(batcher.next_due(), (0, 150_000));
    assert!(batcher.is_complete(), "the value after the gap belongs to another batch");
}

#[test]
fn small_memory_or_message_makes_batches_shorter_and_loses_nothing() {
    for (memory, message_len_max) in [(40, 4_096), (4_000, 300)] {
        let channels = [setup(0, 2_000), setup(1, 50_000)];
        let mut batcher = Batcher::new(std::vec![0; memory], message_len_max, &channels, 10_000, 0).unwrap();
        let (measured, batches) = measure(&mut batcher, 3_000_000, |_, _| true);
        let came_out: Vec<Reading> = batches.iter().flat_map(|(_, readings)| readings.clone()).collect();
        assert_eq!(came_out, measured);
    }
}

#[test]
fn values_of_any_size_fit_the_message_they_were_planned_for() {
    let channels: Vec<ChannelSetup> = (0..32).map(|index| setup(index, 2_000)).collect();
    let mut batcher = Batcher::new(std::vec![0; 20_000], 4_096, &channels, 60_000, 7_777_777).unwrap();
    let mut out = [0; 4_096];
    let mut wild = 1_i32;
    for sequence in 1..20 {
        while !batcher.is_complete() {
            wild = wild.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            batcher.record(wild);
        }
        assert!(batcher.make(sequence << 40, &mut out).unwrap().is_some());
    }
}

#[test]
fn configure_takes_effect_with_the_next_batch() {
    let channels = [setup(0, 100_000), setup(1, 100_000)];
    let mut batcher = Batcher::new(std::vec![0; 100], 1_024, &channels, 1_000, 0).unwrap();
    batcher.record(1);
    let mut message = [0; 64];
    let len = encode_configure(Some(500), &[(1, 50_000), (9, 50_000)], &mut message).unwrap();
    let Some((Message::Configure(configure), _)) = decode(&message[..len]).unwrap() else { panic!() };
    batcher.configure(Settings::of(&configure));
    assert_eq!(batcher.batch_ms(), 1_000);
    let (measured, batches) = measure(&mut batcher, 2_000_000, |_, _| true);
    assert_eq!(batcher.batch_ms(), 500);
    assert_eq!(batches[0].0.values, 20);
    assert_eq!(batches[1].0.values, 15);
    let came_out: usize = batches.iter().map(|(made, _)| made.values).sum();
    assert_eq!(came_out, measured.len() + 1);
    // Settings that come in one after the other are all kept.
    let len = encode_configure(None, &[(0, 50_000)], &mut message).unwrap();
    let Some((Message::Configure(configure), _)) = decode(&message[..len]).unwrap() else { panic!() };
    batcher.configure(Settings::of(&configure));
    assert_eq!(batcher.batch_ms(), 500);
}

#[test]
fn a_shorter_interval_does_not_wait_for_the_old_one() {
    let mut batcher = Batcher::new(std::vec![0; 100], 1_024, &[setup(0, 3_600_000_000)], 1_000, 0).unwrap();
    batcher.record(1);
    batcher.make(1, &mut [0; 1_024]).unwrap();
    let mut message = [0; 64];
    let len = encode_configure(None, &[(0, 1_000_000)], &mut message).unwrap();
    let Some((Message::Configure(configure), _)) = decode(&message[..len]).unwrap() else { panic!() };
    batcher.configure(Settings::of(&configure));
    assert_eq!(batcher.next_due(), (0, 1_000_000));
}

#[test]
fn setups_outside_the_limits_are_refused() {
    let new = |channels: &[ChannelSetup], batch_ms| {
        Batcher::new(std::vec![0; 100], 1_024, channels, batch_ms, 0).map(|_| ())
    };
    let fits = setup(0, 50_000);
    assert_eq!(new(&[fits], 1_000), Ok(()));
    assert_eq!(new(&[], 1_000), Err(BatcherError::ChannelCount { count: 0 }));
    assert_eq!(new(&[fits; 33], 1_000), Err(BatcherError::ChannelCount { count: 33 }));
    assert_eq!(new(&[fits, fits], 1_000), Err(BatcherError::Channel { index: 0 }));
    assert_eq!(new(&[setup(32, 50_000)], 1_000), Err(BatcherError::Channel { index: 32 }));
    assert_eq!(new(&[setup(1, INTERVAL_US_MIN - 1)], 1_000), Err(BatcherError::Channel { index: 1 }));
    assert_eq!(new(&[ChannelSetup { scale: 10, ..fits }], 1_000), Err(BatcherError::Channel { index: 0 }));
    for batch_ms in [0, BATCH_MS_MAX + 1] {
        assert_eq!(new(&[fits], batch_ms), Err(BatcherError::BatchMs { batch_ms }));
    }
    let small = Batcher::new(std::vec![0; 0], 1_024, &[fits], 1_000, 0).map(|_| ());
    assert_eq!(small, Err(BatcherError::TooSmall { values: 0, message_len_max: 1_024 }));
}

extern crate std;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::vec;
use std::vec::Vec;

use embassy_futures::select::{Either, select, select3};
use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use vitalwire_protocol::batch::{Configure, MESSAGE_LEN_MAX, Message, decode, encode_configure, event_code};

use super::*;
use crate::batcher::Settings;
use crate::outbox::{NoFlash, Outbox};
use crate::sensors::virtual_sensors::{VirtualAdc, VirtualMpu, VirtualThermometer};
use crate::sensors::{Movement, watch_movement, watch_temperature};
use crate::test_clock::TestClock;

type TestShared = Shared<NoopRawMutex, Vec<u8>, NoFlash>;
/// Values by channel and microsecond.
type Values = BTreeMap<(u8, u64), i32>;

fn shared() -> TestShared {
    Shared::new(Outbox::mount(1, vec![0; 1 << 20], NoFlash), 0)
}

/// Everything in the outbox, which must be in order and without overlaps.
fn values(shared: &TestShared) -> (Values, usize) {
    let (mut values, mut batches) = (Values::new(), 0);
    let mut bytes = vec![0; MESSAGE_LEN_MAX];
    shared.with_outbox(|outbox| {
        outbox.begin_delivery();
        while let Some((sequence, len)) = outbox.take_next(&mut bytes).unwrap() {
            batches += 1;
            assert_eq!(sequence, batches);
            let Some((Message::Batch(batch), _)) = decode(&bytes[..len]).unwrap() else { panic!("no batch") };
            for channel in batch.channels() {
                assert_eq!(channel.scale, -3);
                let first_us = batch.time_ms * 1_000 + u64::from(channel.delay_us);
                for (step, value) in (0..).zip(channel.values) {
                    let at_us = first_us + step * u64::from(channel.interval_us);
                    assert!(values.insert((channel.index, at_us), value).is_none(), "a moment comes twice");
                }
            }
        }
    });
    (values, usize::try_from(batches).unwrap())
}

fn of_channel(values: &Values, index: u8) -> Vec<(u64, i32)> {
    values
        .iter()
        .filter(|((channel, _), _)| *channel == index)
        .map(|((_, at), value)| (*at, *value))
        .collect()
}

fn adc() -> VirtualAdc {
    VirtualAdc::new(|input| match input {
        AdcInput::Pulse => Some(2_236),
        AdcInput::McuTemperature => Some(876),
    })
}

fn wants(batch_ms: Option<u32>, intervals: &[(u8, u32)]) -> Settings {
    let mut bytes = [0; 512];
    let len = encode_configure(batch_ms, intervals, &mut bytes).unwrap();
    let Some((Message::Configure(configure), _)) = decode(&bytes[..len]).unwrap() else { panic!() };
    let configure: Configure<'_> = configure;
    Settings::of(&configure)
}

#[tokio::test(start_paused = true)]
async fn seven_channels_come_on_schedule_with_the_sensors_values() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mpu = VirtualMpu::new(clock, [0, -1_966, 16_056, -4_464]);
    let thermometer = VirtualThermometer::new(clock, 586);
    let mut memory = Memory::new();
    let watch = select3(
        watch_movement(mpu, clock, &readings),
        watch_temperature(thermometer, clock, &readings),
        record(adc(), clock, &readings, &shared, Plan::BATCHES, &mut memory),
    );
    select(watch, clock.wait_ms(11_020)).await;
    let (values, batches) = values(&shared);
    assert_eq!(batches, 11);
    let expected = [
        (0, 1_000_000, 36_625),
        (1, 1_000_000, 27_138),
        (2, 50_000, 1_801),
        (3, 50_000, 0),
        (4, 50_000, -120),
        (5, 50_000, 980),
        (6, 1_000_000, 23_401),
    ];
    for (index, interval_us, value) in expected {
        let seen = of_channel(&values, index);
        // Of the first second what had not answered yet is missing.
        let late = seen.iter().filter(|(at_us, _)| *at_us >= 1_000_000).collect::<Vec<_>>();
        assert_eq!(late.len() as u64, 10_000_000 / interval_us, "channel {index}");
        for (step, (at_us, seen)) in (0..).zip(late) {
            assert_eq!((*at_us, *seen), (1_000_000 + step * interval_us, value), "channel {index}");
        }
    }
    assert_eq!(shared.take_event().unwrap().code, event_code::STARTED);
    assert!(shared.take_event().is_none());
}

#[tokio::test(start_paused = true)]
async fn values_lie_on_whole_milliseconds_whenever_the_device_starts() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    tokio::time::advance(tokio::time::Duration::from_micros(1_234_567)).await;
    let recording = record(adc(), clock, &readings, &shared, Plan::BATCHES, &mut memory);
    select(recording, clock.wait_ms(3_100)).await;
    let (values, _) = values(&shared);
    let pulse = of_channel(&values, 2);
    assert_eq!(pulse.first().map(|(at_us, _)| *at_us), Some(1_235_000));
    assert_eq!(pulse.len(), 60);
}

/// Values that tell when they were measured.
fn telling_adc(clock: TestClock) -> VirtualAdc {
    VirtualAdc::new(move |_| u16::try_from(clock.now_ms() % 4_096).ok())
}

/// Milliseconds between a value's moment and its measuring.
fn late_ms(at_us: u64, milli: i32) -> i64 {
    let expected = i64::from(pulse_millivolts(u16::try_from(at_us / 1_000 % 4_096).unwrap()));
    (i64::from(milli) - expected) * 4_096 / 3_300
}

#[tokio::test(start_paused = true)]
async fn the_server_may_ask_for_a_pulse_wave_of_250_hz() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let story = async {
        clock.wait_ms(500).await;
        shared.configure(wants(None, &[(2, 4_000)]));
        clock.wait_ms(10_000).await;
        shared.configure(wants(Some(5_000), &[]));
        shared.configure(wants(None, &[(2, 1_000_000), (1, 2_000)]));
        clock.wait_ms(20_000).await;
    };
    select(record(telling_adc(clock), clock, &readings, &shared, Plan::BATCHES, &mut memory), story).await;
    let (values, _) = values(&shared);
    let pulse = of_channel(&values, 2);
    let mcu = of_channel(&values, 1).iter().filter(|(at_us, _)| *at_us > 13_000_000).count();
    assert!(mcu > 3_000, "250 Hz is the most, 500 were wanted: {mcu}");
    let fast = pulse.iter().filter(|(at_us, _)| (2_000_000..10_000_000).contains(at_us)).count();
    assert_eq!(fast, 2_000);
    let slow = pulse.iter().filter(|(at_us, _)| (12_000_000..22_000_000).contains(at_us)).count();
    assert_eq!(slow, 10);
    assert!(pulse.iter().all(|(at_us, milli)| late_ms(*at_us, *milli).abs() <= 1));
}

#[tokio::test(start_paused = true)]
async fn a_stall_is_a_gap_and_no_value_is_of_another_moment() {
    for (interval_us, stalls_ms) in [(4_000, [3, 7, 50, 900]), (50_000, [20, 40, 400, 7_777])] {
        let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
        let mut memory = Memory::new();
        let plan = Plan { pulse_interval_us: interval_us, ..Plan::BATCHES };
        // The recorder shares its executor with someone who works for too long.
        let story = async {
            for stall_ms in stalls_ms.into_iter().cycle().take(40) {
                clock.wait_ms(1_501).await;
                tokio::time::advance(tokio::time::Duration::from_millis(stall_ms)).await;
            }
            clock.wait_ms(2_000).await;
        };
        select(story, record(telling_adc(clock), clock, &readings, &shared, plan, &mut memory)).await;
        let end_us = clock.now_us() - 2_000_000;
        let (values, _) = values(&shared);
        let pulse = of_channel(&values, 2);
        let late_ms_max = i64::from(interval_us) / 2_000 + 1;
        for (at_us, milli) in &pulse {
            assert_eq!(at_us % u64::from(interval_us), 0);
            let late_ms = late_ms(*at_us, *milli);
            assert!((-1..=late_ms_max).contains(&late_ms), "{at_us} us was measured {late_ms} ms later");
        }
        // Everything else is counted: movement and body temperature are missing all the time.
        let measured = pulse.iter().filter(|(at_us, _)| *at_us < end_us).count() as u64;
        let gaps = end_us / u64::from(interval_us) + 1 - measured;
        let stalled_ms: u64 = stalls_ms.iter().sum::<u64>() * 10;
        assert!(gaps > 0 && gaps <= stalled_ms * 1_000 / u64::from(interval_us) + 40, "{gaps} gaps");
        assert!(shared.missed_values() > gaps);
    }
}

/// Erasing a sector of flash stops everything for 45 ms, typically (W25Q16JV datasheet §9.6). A batch is kept right after its
/// last value, so that the sector is ready before the next.
#[tokio::test(start_paused = true)]
async fn a_stall_that_fits_between_two_values_costs_none() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let story = async {
        for second in 1..=20 {
            clock.wait_until_us(second * 1_000_000 - 49_000).await;
            tokio::time::advance(tokio::time::Duration::from_millis(45)).await;
        }
        clock.wait_ms(1_100).await;
    };
    select(story, record(telling_adc(clock), clock, &readings, &shared, Plan::BATCHES, &mut memory)).await;
    let (values, batches) = values(&shared);
    assert_eq!((of_channel(&values, 2).len(), batches), (420, 21));
}

/// A flash of two hundred sectors.
struct Flash(Vec<u8>);

impl embedded_storage::nor_flash::ErrorType for Flash {
    type Error = core::convert::Infallible;
}

impl embedded_storage::nor_flash::ReadNorFlash for Flash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, at: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        bytes.copy_from_slice(&self.0[at as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = 1;
    const ERASE_SIZE: usize = 4_096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn batches_go_to_flash_when_no_one_takes_them_for_long_and_not_before() {
    let (clock, readings) = (TestClock::new(), Readings::<NoopRawMutex>::new());
    let flash = Flash(vec![0xff; 200 * 4_096]);
    let shared = Shared::new(Outbox::mount(1, vec![0; 1 << 16], flash), 0);
    let in_flash = || shared.with_outbox(|outbox| (outbox.held_in_flash(), outbox.held()));
    let mut memory = Memory::new();
    let story = async {
        clock.wait_ms(AWAY_MS_MIN - 500).await;
        assert_eq!(in_flash().0, 0);
        clock.wait_ms(2_000).await;
        let (flash, held) = in_flash();
        assert!(flash > 25 && flash == held, "{flash} of {held}");
        // The server takes batches again, and then no more: the time counts from there.
        shared.away_since(None);
        clock.wait_ms(2 * AWAY_MS_MIN).await;
        assert_eq!(in_flash().0, flash);
        shared.away_since(Some(clock.now_ms()));
        clock.wait_ms(AWAY_MS_MIN / 2).await;
        // Another failed try is no news.
        shared.away_since(Some(clock.now_ms()));
        assert_eq!(in_flash().0, flash);
        clock.wait_ms(AWAY_MS_MIN / 2 + 2_000).await;
        let (flash, held) = in_flash();
        assert!(flash > 115 && flash == held, "{flash} of {held}");
    };
    let recorded = record(adc(), clock, &readings, &shared, Plan::BATCHES, &mut memory);
    assert!(matches!(select(story, recorded).await, Either::First(())));
}

#[tokio::test(start_paused = true)]
async fn a_sensor_that_goes_is_a_gap_and_one_event_and_so_is_its_return() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let answers = Rc::new(Cell::new(true));
    let adc = VirtualAdc::new({
        let answers = Rc::clone(&answers);
        move |input| answers.get().then_some(if input == AdcInput::Pulse { 100 } else { 876 })
    });
    let movement = Movement { acceleration_milli: [1, 2, 3], temperature_milli: 4 };
    let keep = async {
        for _ in 0..60 {
            readings.set_body_temperature_milli(clock.now_us(), 36_600);
            readings.set_movement(clock.now_us(), movement);
            clock.wait_ms(100).await;
        }
    };
    let story = async {
        keep.await;
        // Now both are silent, and then the converter as well.
        clock.wait_ms(3_010).await;
        answers.set(false);
        clock.wait_ms(3_000).await;
        answers.set(true);
        readings.set_movement(clock.now_us(), movement);
        clock.wait_ms(5_000).await;
    };
    select(story, record(adc, clock, &readings, &shared, Plan::BATCHES, &mut memory)).await;
    let mut events = Vec::new();
    assert_eq!(shared.take_event().unwrap().code, event_code::STARTED);
    while let Some(event) = shared.take_event() {
        events.push((event.code, event.text));
    }
    let (lost, found) = (event_code::SENSOR_LOST, event_code::SENSOR_FOUND);
    assert_eq!(
        events,
        [
            (lost, Sensor::Movement.name()),
            (lost, Sensor::Thermometer.name()),
            (lost, Sensor::Pulse.name()),
            (lost, Sensor::Mcu.name()),
            (found, Sensor::Pulse.name()),
            (found, Sensor::Movement.name()),
            (lost, Sensor::Movement.name()),
            (found, Sensor::Mcu.name()),
        ]
    );
    let (values, _) = values(&shared);
    let pulse = of_channel(&values, 2);
    let count = |range: std::ops::Range<u64>| pulse.iter().filter(|(at_us, _)| range.contains(at_us)).count();
    assert_eq!(count(0..9_010_000), 181);
    assert_eq!(count(9_010_000..12_010_000), 0);
    assert_eq!(count(12_010_000..15_010_000), 60);
    // 150 ms after its last word the movement is unknown.
    let last_us =
        of_channel(&values, 3).iter().map(|(at_us, _)| *at_us).filter(|at_us| *at_us < 9_000_000).max();
    assert_eq!(last_us, Some(6_050_000));
}

#[tokio::test(start_paused = true)]
async fn more_events_than_are_kept_push_the_oldest_out() {
    let shared = shared();
    for time_ms in 0..20 {
        shared.tell(DeviceEvent { code: event_code::SENSOR_LOST, text: Sensor::Pulse.name(), time_ms });
    }
    let first = shared.take_event().unwrap();
    assert_eq!((first.time_ms, first.event().text), (4, "pulse sensor"));
}

#[tokio::test(start_paused = true)]
async fn frames_get_a_sample_at_each_interval_and_only_the_newest_waits() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let samples = RefCell::new(Vec::new());
    readings.set_body_temperature_milli(clock.now_us(), 36_625);
    let story = async {
        for _ in 0..20 {
            let sample = shared.sample().await;
            samples.borrow_mut().push((clock.now_us(), sample.milli));
        }
        clock.wait_ms(10_049).await;
        let newest = shared.sample().await;
        assert_eq!(newest.milli[0], None);
        let milli = newest.milli[2].unwrap();
        assert!(late_ms(clock.now_us(), milli).abs() <= 50, "a sample of long ago");
    };
    select(record(telling_adc(clock), clock, &readings, &shared, Plan::FRAMES, &mut memory), story).await;
    for (step, (at_us, milli)) in (0..).zip(samples.into_inner()) {
        assert_eq!(at_us, step * 50_000);
        assert_eq!((milli[0], milli[3], milli[6]), (Some(36_625), None, None));
        assert!(late_ms(at_us, milli[2].unwrap()).abs() <= 1);
    }
    assert_eq!(shared.with_outbox(|outbox| outbox.held()), 0);
}

#[tokio::test(start_paused = true)]
async fn recorder_and_collector_give_signs_of_life_or_are_dead() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let hourly = 3_600_000_000;
    let plan = Plan {
        pulse_interval_us: hourly,
        movement_interval_us: hourly,
        temperature_interval_us: hourly,
        ..Plan::BATCHES
    };
    let story = async {
        for _ in 0..100 {
            clock.wait_ms(1_000).await;
            shared.collector_lives(clock.now_ms());
            assert!(shared.is_alive(clock.now_ms()));
        }
        clock.wait_ms(COLLECTOR_SILENT_MS_MAX + 1).await;
        assert!(!shared.is_alive(clock.now_ms()));
        shared.collector_lives(clock.now_ms());
        assert!(shared.is_alive(clock.now_ms()));
    };
    select(story, record(adc(), clock, &readings, &shared, plan, &mut memory)).await;
    // No one records any more.
    clock.wait_ms(RECORDER_SILENT_MS_MAX + 1_001).await;
    shared.collector_lives(clock.now_ms());
    assert!(!shared.is_alive(clock.now_ms()));
}

#[tokio::test(start_paused = true)]
async fn a_restart_that_is_meant_costs_no_value_of_the_batch_under_way() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let story = async {
        clock.wait_ms(2_510).await;
        shared.finish().await;
        // Nothing is measured any more that no one would keep, and that is no reason for the watchdog to bite.
        clock.wait_ms(10_000).await;
        shared.collector_lives(clock.now_ms());
        assert!(shared.is_alive(clock.now_ms()));
    };
    select(story, record(adc(), clock, &readings, &shared, Plan::BATCHES, &mut memory)).await;
    let (values, batches) = values(&shared);
    let pulse = of_channel(&values, 2);
    assert_eq!((batches, pulse.len(), pulse.last()), (3, 51, Some(&(2_500_000, 1_801))));
}

#[tokio::test(start_paused = true)]
async fn a_recorder_of_frames_ends_with_its_next_sample() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let story = async {
        clock.wait_ms(2_510).await;
        shared.finish().await;
        assert_eq!(clock.now_us(), 2_550_000);
        shared.forget_sample();
        assert!(matches!(select(shared.sample(), clock.wait_ms(1_000)).await, Either::Second(())));
    };
    select(story, record(adc(), clock, &readings, &shared, Plan::FRAMES, &mut memory)).await;
}

#[tokio::test(start_paused = true)]
async fn a_plan_outside_the_protocols_limits_is_refused() {
    let (clock, readings, shared) = (TestClock::new(), Readings::<NoopRawMutex>::new(), shared());
    let mut memory = Memory::new();
    let plan = Plan { pulse_interval_us: 1_000, ..Plan::BATCHES };
    let recording = record(adc(), clock, &readings, &shared, plan, &mut memory);
    let Either::First(error) = select(recording, clock.wait_ms(1_000)).await else { panic!("it records") };
    assert_eq!(error, BatcherError::Channel { index: 2 });
}

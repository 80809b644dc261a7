use core::cell::Cell;

use embassy_futures::select::select;
use embassy_sync::blocking_mutex::raw::NoopRawMutex;

use super::super::virtual_sensors::{Fault, VirtualMpu, VirtualThermometer};
use super::*;
use crate::test_clock::TestClock;

#[tokio::test(start_paused = true)]
async fn movement_is_fresh_whenever_somebody_looks() {
    let (clock, readings) = (TestClock::new(), Readings::<NoopRawMutex>::new());
    let part = VirtualMpu::new(clock, [8_192, 0, 0, 0]);
    let look = async {
        clock.wait_ms(200).await;
        for turn in 0..200_i16 {
            part.set_raw([turn * 64, 0, 0, 0]);
            clock.wait_ms(100).await;
            let seen = readings.movement(clock.now_us()).unwrap();
            assert_eq!(seen.acceleration_milli[0], rounded_milli(turn * 64));
        }
    };
    select(watch_movement(part.clone(), clock, &readings), look).await;
}

#[tokio::test(start_paused = true)]
async fn movement_is_read_right_before_somebody_looks() {
    let (clock, readings) = (TestClock::new(), Readings::<NoopRawMutex>::new());
    let part = VirtualMpu::new(clock, [8_192, 0, 0, 0]);
    let look = async {
        clock.wait_ms(200).await;
        for every_us in [50_000, 40_000, 1_000_000] {
            let mut due_us = clock.now_us() + 123_000;
            readings.want_movement(due_us, every_us);
            for _ in 0..50 {
                clock.wait_until_us(due_us).await;
                let (read_us, _) = readings.latest.lock(Cell::get).movement.unwrap();
                let age_us = clock.now_us() - read_us;
                assert!((4_000..=5_000).contains(&age_us), "{age_us} us at a pace of {every_us} us");
                due_us += u64::from(every_us);
            }
        }
    };
    select(watch_movement(part.clone(), clock, &readings), look).await;
}

fn rounded_milli(raw: i16) -> i32 {
    super::super::rounded(i32::from(raw) * 125, 2_048)
}

#[tokio::test(start_paused = true)]
async fn a_movement_sensor_that_goes_is_missed_and_used_again_when_it_is_back() {
    let (clock, readings) = (TestClock::new(), Readings::<NoopRawMutex>::new());
    let part = VirtualMpu::new(clock, [8_192, 0, 0, 0]);
    part.set_fault(Fault::Absent);
    let story = async {
        for fault in [Fault::Absent, Fault::Stuck, Fault::Other] {
            part.set_fault(fault);
            if fault == Fault::Other {
                part.lose_power();
            }
            clock.wait_ms(3_000).await;
            assert!(readings.movement(clock.now_us()).is_none(), "{fault:?}");
            part.set_fault(Fault::None);
            part.lose_power();
            clock.wait_ms(3_000).await;
            assert!(readings.movement(clock.now_us()).is_some(), "after {fault:?}");
        }
        // A gap in its supply that no transfer sees: it answers, and measures nothing.
        part.lose_power();
        clock.wait_ms(400).await;
        assert!(readings.movement(clock.now_us()).is_none());
        clock.wait_ms(3_000).await;
        assert!(readings.movement(clock.now_us()).is_some());
    };
    select(watch_movement(part.clone(), clock, &readings), story).await;
}

#[tokio::test(start_paused = true)]
async fn the_temperature_comes_every_second_and_is_missed_when_it_does_not() {
    let (clock, readings) = (TestClock::new(), Readings::<NoopRawMutex>::new());
    let part = VirtualThermometer::new(clock, 586);
    let story = async {
        clock.wait_ms(700).await;
        assert!(readings.body_temperature_milli(clock.now_us()).is_none());
        clock.wait_ms(100).await;
        // A conversion a second, and two sixteenths are 0.125 degrees.
        for turn in 0..50_i16 {
            let milli = 36_625 + 125 * i32::from(turn);
            assert_eq!(readings.body_temperature_milli(clock.now_us()), Some(milli));
            part.raw.set(586 + 2 * (turn + 1));
            clock.wait_ms(1_000).await;
        }
        part.is_absent.set(true);
        clock.wait_ms(2_500).await;
        assert!(readings.body_temperature_milli(clock.now_us()).is_none());
        part.is_absent.set(false);
        part.lose_power();
        clock.wait_ms(2_000).await;
        assert!(readings.body_temperature_milli(clock.now_us()).is_some());
    };
    select(watch_temperature(part.clone(), clock, &readings), story).await;
}

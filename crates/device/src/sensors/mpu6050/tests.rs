use super::super::virtual_sensors::{Fault, VirtualMpu};
use super::*;
use crate::clock::Clock as _;
use crate::test_clock::TestClock;

/// 0, −0.12 g and 0.98 g; 23.4 °C.
const RAW: [i16; 4] = [0, -1_966, 16_056, -4_464];

#[tokio::test(start_paused = true)]
async fn what_was_measured_comes_through_the_fifo_at_40_hz() {
    let clock = TestClock::new();
    let part = VirtualMpu::new(clock, RAW);
    let mut sensor = Mpu6050::start(part.clone()).await.unwrap();
    // ±2 g, 40 Hz, the gyroscope off, awake.
    assert_eq!(
        [0x1a, 0x1c, 0x19, 0x23, 0x6a, 0x6b, 0x6c].map(|address| part.register(address)),
        [4, 0, 24, 0x88, 0x40, 0, 7]
    );
    assert_eq!(sensor.read().await, Ok(None));
    clock.wait_ms(60).await;
    let movement = sensor.read().await.unwrap().unwrap();
    assert_eq!(movement.acceleration_milli, [0, -120, 980]);
    assert_eq!(movement.temperature_milli, 23_401);
    assert_eq!(sensor.read().await, Ok(None));
}

#[tokio::test(start_paused = true)]
async fn what_lies_in_the_fifo_is_averaged() {
    let clock = TestClock::new();
    let part = VirtualMpu::new(clock, [16_384, 0, -16_384, 0]);
    let mut sensor = Mpu6050::start(part.clone()).await.unwrap();
    clock.wait_ms(25).await;
    part.set_raw([0, 0, -8_192, 680]);
    clock.wait_ms(25).await;
    let movement = sensor.read().await.unwrap().unwrap();
    assert_eq!(movement.acceleration_milli, [500, 0, -750]);
    assert_eq!(movement.temperature_milli, 37_530);
}

#[tokio::test(start_paused = true)]
async fn only_the_newest_of_a_long_queue_count_and_a_full_one_is_thrown_away() {
    let clock = TestClock::new();
    let part = VirtualMpu::new(clock, [16_384; 4]);
    let mut sensor = Mpu6050::start(part.clone()).await.unwrap();
    clock.wait_ms(1_000).await;
    part.set_raw([0; 4]);
    clock.wait_ms(200).await;
    assert_eq!(sensor.read().await.unwrap().unwrap().acceleration_milli, [0; 3]);
    clock.wait_ms(60_000).await;
    assert_eq!(sensor.read().await, Ok(None));
    clock.wait_ms(25).await;
    assert_eq!(sensor.read().await.unwrap().unwrap().acceleration_milli, [0; 3]);
}

#[tokio::test(start_paused = true)]
async fn an_absent_sensor_and_another_part_are_told_apart() {
    let part = VirtualMpu::new(TestClock::new(), RAW);
    part.set_fault(Fault::Absent);
    assert!(matches!(Mpu6050::start(part.clone()).await, Err(MovementError::Bus(_))));
    part.set_fault(Fault::Other);
    assert!(matches!(Mpu6050::start(part.clone()).await, Err(MovementError::OtherPart { found: 0x70 })));
}

#[test]
fn the_integers_are_the_data_sheets_formulas() {
    for raw in i16::MIN..=i16::MAX {
        let mut sum = Sum::default();
        let [high, low] = raw.to_be_bytes();
        sum.add(&[high, low, high, low, high, low, high, low]);
        let movement = sum.mean().unwrap();
        let milli_g = f64::from(raw) / 16_384.0 * 1_000.0;
        assert!((f64::from(movement.acceleration_milli[0]) - milli_g).abs() <= 0.501);
        let milli_degrees = (f64::from(raw) / 340.0 + 36.53) * 1_000.0;
        assert!((f64::from(movement.temperature_milli) - milli_degrees).abs() <= 0.501);
    }
}

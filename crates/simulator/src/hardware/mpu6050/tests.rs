//! The registers do what the register map says.

use std::time::Duration;

use tokio::time::advance;

use super::*;
use crate::patient::PatientConfig;

fn sensor() -> (VirtualMpu6050, Wearer) {
    let wearer = Wearer::new(7, &PatientConfig::default(), None);
    (VirtualMpu6050::new(HostClock::start(), wearer.clone()), wearer)
}

async fn write(sensor: &mut VirtualMpu6050, register: u8, value: u8) {
    sensor.write(MPU6050_ADDRESS, &[register, value]).await.unwrap();
}

async fn read<const N: usize>(sensor: &mut VirtualMpu6050, register: u8) -> [u8; N] {
    let mut bytes = [0; N];
    sensor.write_read(MPU6050_ADDRESS, &[register], &mut bytes).await.unwrap();
    bytes
}

/// Awake, filtered, so many samples a second, accelerations into the FIFO.
async fn started(divider: u8) -> (VirtualMpu6050, Wearer) {
    let (mut sensor, wearer) = sensor();
    for (at, value) in [(0x6b, 0x01), (0x1a, 0x03), (0x19, divider), (0x23, 0x08), (0x6a, 0x04), (0x6a, 0x40)]
    {
        write(&mut sensor, at, value).await;
    }
    (sensor, wearer)
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_after_power_on_and_says_who_it_is() {
    let (mut sensor, _) = sensor();
    assert_eq!(read(&mut sensor, 0x75).await, [0x68]);
    assert_eq!(read(&mut sensor, 0x6b).await, [0x40]);
    advance(Duration::from_secs(1)).await;
    assert_eq!(read(&mut sensor, 0x3b).await, [0; 14]);
    let other = sensor.write(0x69, &[0x75]).await;
    assert_eq!(other, Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)));
}

#[tokio::test(start_paused = true)]
async fn samples_come_at_the_divided_rate_and_wait_in_the_fifo() {
    let (mut sensor, wearer) = started(19).await;
    advance(Duration::from_millis(205)).await;
    // 1 kHz / 20: ten samples in 205 ms.
    assert_eq!(read(&mut sensor, 0x72).await, 60_u16.to_be_bytes());
    let burst: [u8; 60] = read(&mut sensor, 0x74).await;
    assert_eq!(read(&mut sensor, 0x72).await, [0, 0]);
    let (words, _) = burst.as_chunks::<2>();
    let expected = wearer.acceleration_g(0.02).map(|g| word(g * 16_384.0).to_be_bytes());
    assert_eq!(words[..3], expected);
    let expected = wearer.acceleration_g(0.2).map(|g| word(g * 16_384.0).to_be_bytes());
    assert_eq!(words[27..], expected);
    // An empty FIFO gives its last byte again.
    assert_eq!(read(&mut sensor, 0x74).await, [burst[59]]);
}

#[tokio::test(start_paused = true)]
async fn a_full_fifo_loses_the_oldest_and_says_so_once() {
    let (mut sensor, _) = started(0).await;
    advance(Duration::from_millis(100)).await;
    assert_eq!(read(&mut sensor, 0x3a).await, [0x01]);
    advance(Duration::from_secs(3_600)).await;
    assert_eq!(read(&mut sensor, 0x72).await, 1_024_u16.to_be_bytes());
    assert_eq!(read(&mut sensor, 0x3a).await, [0x11]);
    assert_eq!(read(&mut sensor, 0x3a).await, [0x00]);
    write(&mut sensor, 0x6a, 0x04).await;
    assert_eq!(read(&mut sensor, 0x72).await, [0, 0]);
    assert_eq!(read(&mut sensor, 0x6a).await, [0x00]);
}

#[tokio::test(start_paused = true)]
async fn output_registers_hold_the_latest_sample_in_the_chosen_range() {
    let (mut sensor, wearer) = started(0).await;
    write(&mut sensor, 0x1c, 0x08).await;
    advance(Duration::from_millis(100)).await;
    let bytes: [u8; 8] = read(&mut sensor, 0x3b).await;
    let (words, _) = bytes.as_chunks::<2>();
    let [x, y, z] = wearer.acceleration_g(0.1).map(|g| word(g * 8_192.0).to_be_bytes());
    assert_eq!(words[..3], [x, y, z]);
    let celsius = f64::from(i16::from_be_bytes(words[3])) / 340.0 + 36.53;
    assert!((celsius - wearer.mpu_celsius(0.1)).abs() < 0.002);
}

#[tokio::test(start_paused = true)]
async fn an_unplugged_sensor_does_not_answer_and_comes_back_asleep() {
    let (mut sensor, wearer) = started(0).await;
    wearer.set_unplugged(Sensor::Movement, true);
    let answer = sensor.write(MPU6050_ADDRESS, &[0x75]).await;
    assert_eq!(answer, Err(ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address)));
    wearer.set_unplugged(Sensor::Movement, false);
    assert_eq!(read(&mut sensor, 0x6b).await, [0x40]);
}

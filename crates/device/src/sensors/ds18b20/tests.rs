use super::super::virtual_sensors::VirtualThermometer;
use super::*;
use crate::clock::Clock as _;
use crate::test_clock::TestClock;

async fn measured(part: &VirtualThermometer, clock: TestClock) -> Result<i32, ThermometerError> {
    let mut sensor = Ds18b20::new(part.clone());
    sensor.convert().await?;
    clock.wait_ms(CONVERSION_MS).await;
    sensor.read().await
}

#[tokio::test(start_paused = true)]
async fn the_data_sheets_temperatures_are_read() {
    let clock = TestClock::new();
    // Table 1 of the datasheet, but for 85 °C, and a body.
    let table = [
        (0x07d0, 125_000),
        (0x0191, 25_063),
        (0x00a2, 10_125),
        (0x0008, 500),
        (0x0000, 0),
        (-0x0008, -500),
        (-0x00a2, -10_125),
        (-0x0191, -25_062),
        (-0x0370, -55_000),
        (586, 36_625),
    ];
    for (raw, milli) in table {
        assert_eq!(measured(&VirtualThermometer::new(clock, raw), clock).await, Ok(milli), "raw {raw}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_value_after_power_on_is_no_temperature() {
    let clock = TestClock::new();
    let part = VirtualThermometer::new(clock, 586);
    let mut sensor = Ds18b20::new(part.clone());
    assert_eq!(sensor.read().await, Err(ThermometerError::PowerOn));
    sensor.convert().await.unwrap();
    clock.wait_ms(CONVERSION_MS / 2).await;
    part.lose_power();
    clock.wait_ms(CONVERSION_MS).await;
    assert_eq!(sensor.read().await, Err(ThermometerError::PowerOn));
    assert_eq!(measured(&part, clock).await, Ok(36_625));
}

#[tokio::test(start_paused = true)]
async fn an_altered_scratchpad_is_read_again_and_never_believed() {
    let clock = TestClock::new();
    let part = VirtualThermometer::new(clock, 586);
    part.altered.set(2);
    assert_eq!(measured(&part, clock).await, Ok(36_625));
    part.altered.set(3);
    assert_eq!(measured(&part, clock).await, Err(ThermometerError::Altered));
    // All zeros have a right CRC.
    part.is_low.set(true);
    assert_eq!(measured(&part, clock).await, Err(ThermometerError::Altered));
}

#[tokio::test(start_paused = true)]
async fn an_absent_sensor_is_told_and_a_coarse_one_set_up_again() {
    let clock = TestClock::new();
    let part = VirtualThermometer::new(clock, 586);
    part.is_absent.set(true);
    assert_eq!(measured(&part, clock).await, Err(ThermometerError::Absent));
    part.is_absent.set(false);
    part.configuration.set(0x1f);
    assert_eq!(measured(&part, clock).await, Err(ThermometerError::Coarse));
    assert_eq!(part.configuration.get(), 0x7f);
    assert_eq!(measured(&part, clock).await, Ok(36_625));
    part.raw.set(125 * 16 + 1);
    assert_eq!(measured(&part, clock).await, Err(ThermometerError::OutOfRange));
}

#[test]
fn the_crc_is_the_application_notes() {
    // Maxim application note 27: the ROM 02 1C B8 01 00 00 00 has the CRC A2.
    assert_eq!(crc8(&[0x02, 0x1c, 0xb8, 0x01, 0, 0, 0]), 0xa2);
    assert_eq!(crc8(&[0x02, 0x1c, 0xb8, 0x01, 0, 0, 0, 0xa2]), 0);
}

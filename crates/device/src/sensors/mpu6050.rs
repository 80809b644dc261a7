//! The movement sensor MPU-6050 on I²C: acceleration at 40 Hz through its FIFO, and its own temperature. The gyroscope is
//! off, which saves most of its current.
//!
//! Registers: InvenSense RM-MPU-6000A revision 4.2. What lay in the FIFO since it was read last is averaged: the sensor
//! measures at its own even pace, and a reader that comes late or in a jitter loses nothing and repeats nothing.

use embedded_hal_async::i2c::I2c;

use super::rounded;

/// The sensor's address with its AD0 pin low (register 117, WHO_AM_I).
pub const MPU6050_ADDRESS: u8 = 0x68;
/// From sample to sample of the sensor, in microseconds: 40 Hz.
pub const SAMPLE_US: u32 = 25_000;

/// Bytes of a sample in the FIFO: three accelerations and the temperature, in the order of their registers (register 116).
const SAMPLE_LEN: usize = 8;
/// Samples that are read in one transfer, at most; what is left comes with the next.
const SAMPLES_MAX: usize = 8;
/// Bytes that the FIFO holds (register 116). At its end it drops its oldest bytes, and no longer begins with a whole sample.
const FIFO_LEN: u16 = 1_024;

/// Registers and what is written to them.
mod register {
    /// Sample rate = 1 kHz / (1 + this) with the low-pass filter on (register 25).
    pub(super) const SMPLRT_DIV: [u8; 2] = [0x19, 24];
    /// Low-pass filter of 21 Hz, below half of 40 Hz as near as the sensor has it (register 26).
    pub(super) const CONFIG: [u8; 2] = [0x1a, 4];
    /// Full scale ±2 g (register 28).
    pub(super) const ACCEL_CONFIG: [u8; 2] = [0x1c, 0];
    /// Temperature and acceleration go to the FIFO (register 35).
    pub(super) const FIFO_EN: [u8; 2] = [0x23, 0x88];
    /// Nothing goes to the FIFO any more, as it is emptied.
    pub(super) const USER_CTRL_RESET: [u8; 2] = [0x6a, 0x04];
    /// The FIFO works (register 106).
    pub(super) const USER_CTRL_FIFO: [u8; 2] = [0x6a, 0x40];
    /// Awake, with the internal oscillator (register 107).
    pub(super) const PWR_MGMT_1: [u8; 2] = [0x6b, 0];
    /// The gyroscope's three axes stand by (register 108).
    pub(super) const PWR_MGMT_2: [u8; 2] = [0x6c, 0x07];
    /// Bytes in the FIFO, two registers, high byte first (registers 114 and 115).
    pub(super) const FIFO_COUNT: u8 = 0x72;
    /// Reading it takes bytes off the FIFO (register 116).
    pub(super) const FIFO_R_W: u8 = 0x74;
    /// Says the sensor's address (register 117).
    pub(super) const WHO_AM_I: u8 = 0x75;
}

/// What the sensor measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Along x, y and z, in thousandths of standard gravity.
    pub acceleration_milli: [i32; 3],
    /// Inside the sensor, in thousandths of a degree Celsius.
    pub temperature_milli: i32,
}

/// Why the sensor gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MovementError<E> {
    #[error("the movement sensor does not answer: check its wires and its supply")]
    Bus(E),
    #[error(
        "a part that calls itself {found:#04x} answers at the movement sensor's address, not an MPU-6050"
    )]
    OtherPart { found: u8 },
}

/// A sensor that was found and set up.
#[derive(Debug)]
pub struct Mpu6050<I> {
    i2c: I,
}

impl<I: I2c> Mpu6050<I> {
    /// Finds the sensor and makes it measure.
    ///
    /// # Errors
    /// No sensor answers, or another part.
    pub async fn start(mut i2c: I) -> Result<Self, MovementError<I::Error>> {
        set_up(&mut i2c).await?;
        Ok(Self { i2c })
    }

    /// The mean of what it measured since it was asked last; `None`: nothing.
    ///
    /// # Errors
    /// It does not answer any more.
    pub async fn read(&mut self) -> Result<Option<Movement>, MovementError<I::Error>> {
        let mut count = [0; 2];
        self.read_registers(register::FIFO_COUNT, &mut count).await?;
        let count = u16::from_be_bytes(count);
        if count >= FIFO_LEN {
            // No one came for seconds: where a sample begins is lost, and all of it is old.
            restart_fifo(&mut self.i2c).await.map_err(MovementError::Bus)?;
            return Ok(None);
        }
        let samples = usize::from(count) / SAMPLE_LEN;
        let mut sum = Sum::default();
        let mut left = samples;
        while left > 0 {
            let now = left.min(SAMPLES_MAX);
            let mut bytes = [0; SAMPLES_MAX * SAMPLE_LEN];
            let bytes = bytes.get_mut(..now * SAMPLE_LEN).unwrap_or_default();
            self.read_registers(register::FIFO_R_W, bytes).await?;
            // Of a long queue only the newest transfer is worth anything.
            sum = Sum::default();
            bytes.chunks_exact(SAMPLE_LEN).for_each(|sample| sum.add(sample));
            left -= now;
        }
        Ok(sum.mean())
    }

    async fn read_registers(&mut self, from: u8, bytes: &mut [u8]) -> Result<(), MovementError<I::Error>> {
        self.i2c.write_read(MPU6050_ADDRESS, &[from], bytes).await.map_err(MovementError::Bus)
    }
}

async fn set_up<I: I2c>(i2c: &mut I) -> Result<(), MovementError<I::Error>> {
    let mut found = [0];
    i2c.write_read(MPU6050_ADDRESS, &[register::WHO_AM_I], &mut found).await.map_err(MovementError::Bus)?;
    let [found] = found;
    if found != MPU6050_ADDRESS {
        return Err(MovementError::OtherPart { found });
    }
    let setup = [
        register::PWR_MGMT_1,
        register::PWR_MGMT_2,
        register::CONFIG,
        register::SMPLRT_DIV,
        register::ACCEL_CONFIG,
        register::FIFO_EN,
    ];
    for setting in setup {
        i2c.write(MPU6050_ADDRESS, &setting).await.map_err(MovementError::Bus)?;
    }
    restart_fifo(i2c).await.map_err(MovementError::Bus)
}

/// Empties the FIFO.
async fn restart_fifo<I: I2c>(i2c: &mut I) -> Result<(), I::Error> {
    i2c.write(MPU6050_ADDRESS, &register::USER_CTRL_RESET).await?;
    i2c.write(MPU6050_ADDRESS, &register::USER_CTRL_FIFO).await
}

/// Samples on their way to their mean.
#[derive(Default)]
struct Sum {
    /// x, y, z and the temperature.
    raw: [i32; 4],
    count: i32,
}

impl Sum {
    fn add(&mut self, sample: &[u8]) {
        for (sum, pair) in self.raw.iter_mut().zip(sample.chunks_exact(2)) {
            if let [high, low] = *pair {
                *sum += i32::from(i16::from_be_bytes([high, low]));
            }
        }
        self.count += 1;
    }

    fn mean(&self) -> Option<Movement> {
        let count = self.count;
        if count == 0 {
            return None;
        }
        let [x, y, z, temperature] = self.raw;
        // 16,384 a g at ±2 g (registers 59 to 64): thousandths are raw · 1000 / 16384 = raw · 125 / 2048.
        let acceleration = |raw: i32| rounded(raw * 125, 2_048 * count);
        Some(Movement {
            acceleration_milli: [x, y, z].map(acceleration),
            // raw / 340 + 36.53 °C (registers 65 and 66): thousandths are raw · 50 / 17 + 36530.
            temperature_milli: 36_530 + rounded(temperature * 50, 17 * count),
        })
    }
}

#[cfg(test)]
mod tests;

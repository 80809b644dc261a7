//! A device on a wrist at rest, in integers: what its sensors' steps, noise and holds leave of a body's signals.
//!
//! It models what costs bytes (ADC steps, sensor noise, temperatures that stand still between conversions), not
//! medicine; the simulator does that.

/// Gaussian-like noise from a 32-bit xorshift.
pub(crate) struct Noise(u32);

impl Noise {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed)
    }

    fn uniform(&mut self, below: i32) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        i32::try_from(self.0 >> 1).unwrap() % below
    }

    /// Sum of four uniforms: the standard deviation is about `sd`.
    fn gaussian(&mut self, sd: i32) -> i32 {
        let span = sd * 7 / 2;
        if span == 0 { 0 } else { (0..4).map(|_| self.uniform(span)).sum::<i32>() / 2 - span * 3 / 4 }
    }
}

/// Straight lines through points of (phase, level).
fn line(points: &[(i32, i32)], phase: i32) -> i32 {
    let after = points.iter().position(|(at, _)| *at > phase).unwrap();
    let ((x0, y0), (x1, y1)) = (points[after - 1], points[after]);
    y0 + (y1 - y0) * (phase - x0) / (x1 - x0)
}

/// The nearest multiple of `step` ten-thousandths, as an integer: a converter's step of less than a unit.
fn quantized(value: i32, step: i32) -> i32 {
    let steps = (value * 10_000 + step / 2).div_euclid(step);
    (steps * step + 5_000).div_euclid(10_000)
}

/// Pulse wave in mV at a 12-bit ADC of 3.3 V, at a time in ms: 72 beats a minute, 3 mV of noise.
pub(crate) fn pulse_mv(noise: &mut Noise, time_ms: i32) -> i32 {
    const WAVE: [(i32, i32); 7] =
        [(0, 1_300), (60, 1_700), (150, 2_300), (330, 1_850), (400, 1_650), (460, 1_700), (834, 1_300)];
    quantized(line(&WAVE, time_ms % 833) + noise.gaussian(3), 8_057)
}

/// ECG in µV, at a time in ms: 72 beats a minute, R of 1.1 mV, 8 µV of noise, breathing in the baseline.
pub(crate) fn ecg_uv(noise: &mut Noise, time_ms: i32) -> i32 {
    const WAVE: [(i32, i32); 14] = [
        (0, 0),
        (80, 0),
        (120, 120),
        (160, 0),
        (200, 0),
        (210, -120),
        (230, 1_100),
        (250, -250),
        (265, 0),
        (360, 30),
        (440, 280),
        (520, 0),
        (700, 0),
        (834, 0),
    ];
    const BREATH: [(i32, i32); 4] = [(0, 0), (1_500, 90), (3_000, -40), (4_001, 0)];
    line(&WAVE, time_ms % 833) + line(&BREATH, time_ms % 4_000) + noise.gaussian(8)
}

/// The seven channels of the paper's device at a time in ms, in thousandths of their units and in the profile's order.
pub(crate) fn pico(noise: &mut Noise, held: &mut i32, time_ms: i32) -> [i32; 7] {
    // DS18B20: steps of 1/16 °C, a conversion every 750 ms.
    if time_ms % 750 < 50 {
        *held = quantized(36_640 + noise.gaussian(20), 625_000);
    }
    // RP2040: steps of 0.468 °C. MPU-6050: steps of 1/340 °C, 4 mg of noise in acceleration.
    let mcu = quantized(23_900 + noise.gaussian(150), 4_681_000);
    let mpu = quantized(23_400 + noise.gaussian(30), 29_412);
    let breath = line(&[(0, 0), (2_000, 8), (4_001, 0)], time_ms % 4_000);
    let [x, y, z] = [40, -120, 980 + breath].map(|level| level + noise.gaussian(4));
    [*held, mcu, pulse_mv(noise, time_ms), x, y, z, mpu]
}

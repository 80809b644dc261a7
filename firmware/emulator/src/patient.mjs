// The modelled wearer: what the sensors would feel. A function of time alone, with no memory, so that any moment can be asked
// for again. It is a model for testing the device, not a model of a heart.

const PULSE_VOLTS_REST = 1.2;
const PULSE_VOLTS_HEIGHT = 1.1;
const BREATH_SWING_G = 0.015;
/** Where in a beat the main wave and the reflected wave are, how wide and how high (fractions of a beat, of the height). */
const WAVES = [
  { at: 0.22, width: 0.075, height: 1 },
  { at: 0.52, width: 0.11, height: 0.36 },
];

export class Patient {
  constructor({ heart_rate_bpm = 72, breathing_bpm = 15, body_celsius = 36.625, mcu_celsius = 27.5, mpu_celsius = 29 } = {}) {
    Object.assign(this, { heart_rate_bpm, breathing_bpm, body_celsius, mcu_celsius, mpu_celsius });
    /** Acceleration at rest, in g. */
    this.posture_g = { x: 0.05, y: -0.1, z: 0.99 };
  }

  pulseVolts(seconds) {
    const beat = ((seconds * this.heart_rate_bpm) / 60) % 1;
    const wave = WAVES.reduce((sum, { at, width, height }) => sum + height * Math.exp(-(((beat - at) / width) ** 2)), 0);
    return PULSE_VOLTS_REST + PULSE_VOLTS_HEIGHT * wave;
  }

  acceleration_g(seconds) {
    const { x, y, z } = this.posture_g;
    const breath = BREATH_SWING_G * Math.sin((2 * Math.PI * seconds * this.breathing_bpm) / 60);
    return { x, y: y + breath, z: z + breath / 2 };
  }
}

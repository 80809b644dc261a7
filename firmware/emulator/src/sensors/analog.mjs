// The Pico's analogue inputs: the pulse sensor at GP26 (ADC 0) and the temperature sensor inside the chip (ADC 4).

import { SECOND } from '../world-clock.mjs';

const REFERENCE_VOLTS = 3.3;
const COUNTS = 4_096;
const PULSE_CHANNEL = 0;
const MCU_TEMPERATURE_CHANNEL = 4;

const counts = (volts) => Math.max(0, Math.min(COUNTS - 1, Math.round((volts / REFERENCE_VOLTS) * COUNTS)));

/** RP2040 datasheet §4.9.5: T = 27 - (V - 0.706) / 0.001721. */
const mcuVolts = (celsius) => 0.706 - (celsius - 27) * 0.001721;

/** An open input drifts between the rails, with mains hum on it. */
const openVolts = (seconds) => 0.4 + 0.25 * Math.sin(2 * Math.PI * 50 * seconds) + 0.1 * Math.sin(1.7 * seconds);

export class AnalogInputs {
  pulse_connected = true;

  constructor(patient) {
    this.patient = patient;
  }

  attach(rp, world) {
    const { adc } = rp;
    const read = adc.onADCRead;
    adc.onADCRead = (channel) => {
      adc.channelValues[channel] = counts(this.#volts(channel, world.nanos / SECOND));
      read(channel);
    };
  }

  #volts(channel, seconds) {
    if (channel === MCU_TEMPERATURE_CHANNEL) return mcuVolts(this.patient.mcu_celsius);
    if (channel === PULSE_CHANNEL && this.pulse_connected) return this.patient.pulseVolts(seconds);
    return openVolts(seconds);
  }
}

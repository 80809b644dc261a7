// An InvenSense MPU-6050 on I2C: its registers, sample-rate divider and FIFO (PS-MPU-6000A, RM-MPU-6000A rev. 4.2). It
// samples on the world's clock, lazily: nothing happens until somebody reads. The gyroscope stands still.

import { SECOND } from '../world-clock.mjs';

export const ADDRESS = 0x68;
export const FIFO_LEN = 1_024;

const SMPLRT_DIV = 0x19;
const CONFIG = 0x1a;
const ACCEL_CONFIG = 0x1c;
const FIFO_EN = 0x23;
const INT_STATUS = 0x3a;
const ACCEL_XOUT_H = 0x3b;
const SAMPLES_END = 0x48;
const USER_CTRL = 0x6a;
const PWR_MGMT_1 = 0x6b;
const FIFO_COUNT_H = 0x72;
const FIFO_COUNT_L = 0x73;
const FIFO_R_W = 0x74;
const WHO_AM_I = 0x75;

const DEVICE_RESET = 1 << 7;
const SLEEP = 1 << 6;
const FIFO_ENABLE = 1 << 6;
const FIFO_RESET = 1 << 2;
const FIFO_OVERFLOW = 1 << 4;
const DATA_READY = 1 << 0;
/** FIFO_EN's bits with the registers they take, in the order of the registers. */
const FIFO_SOURCES = [
  { bit: 1 << 3, from: 0x3b, len: 6 },
  { bit: 1 << 7, from: 0x41, len: 2 },
  { bit: 1 << 6, from: 0x43, len: 2 },
  { bit: 1 << 5, from: 0x45, len: 2 },
  { bit: 1 << 4, from: 0x47, len: 2 },
];
/** The gyroscope's output rate, which the divider divides, without and with the low-pass filter. */
const RATE_HZ_UNFILTERED = 8_000;
const RATE_HZ_FILTERED = 1_000;
const LSB_PER_G_2G = 16_384;

export class Mpu6050 {
  connected = true;
  fifo_overflows = 0;
  #registers = new Uint8Array(128);
  #fifo = [];
  #pointer = 0;
  #isAddress = true;
  #sampled_nanos = 0;
  #world = null;

  constructor(patient) {
    this.patient = patient;
    this.#reset();
  }

  attach(_rp, world) {
    this.#world = world;
  }

  powerOn() {
    this.#reset();
  }

  #reset() {
    this.#registers.fill(0);
    this.#registers[WHO_AM_I] = 0x68;
    this.#registers[PWR_MGMT_1] = SLEEP;
    this.#fifo = [];
    this.#sampled_nanos = this.#world?.nanos ?? 0;
  }

  get sample_rate_hz() {
    const filter = this.#registers[CONFIG] & 7;
    const rate_hz = filter === 0 || filter === 7 ? RATE_HZ_UNFILTERED : RATE_HZ_FILTERED;
    return rate_hz / (1 + this.#registers[SMPLRT_DIV]);
  }

  /** Takes all samples that are due by now. */
  #sample() {
    const period_nanos = SECOND / this.sample_rate_hz;
    const now = this.#world.nanos;
    if (this.#registers[PWR_MGMT_1] & SLEEP) {
      this.#sampled_nanos = now;
      return;
    }
    let due = Math.floor((now - this.#sampled_nanos) / period_nanos);
    // Of a long pause only what can still be in the FIFO matters.
    const skipped = Math.max(0, due - FIFO_LEN);
    this.#sampled_nanos += skipped * period_nanos;
    for (due -= skipped; due > 0; due--) {
      this.#sampled_nanos += period_nanos;
      this.#takeSample(this.#sampled_nanos / SECOND);
    }
  }

  #takeSample(seconds) {
    const lsb_per_g = LSB_PER_G_2G >> ((this.#registers[ACCEL_CONFIG] >> 3) & 3);
    const { x, y, z } = this.patient.acceleration_g(seconds);
    const temperature = (this.patient.mpu_celsius - 36.53) * 340;
    [x * lsb_per_g, y * lsb_per_g, z * lsb_per_g, temperature, 0, 0, 0].forEach((value, i) => {
      const word = Math.max(-32_768, Math.min(32_767, Math.round(value)));
      this.#registers[ACCEL_XOUT_H + 2 * i] = (word >> 8) & 0xff;
      this.#registers[ACCEL_XOUT_H + 2 * i + 1] = word & 0xff;
    });
    this.#registers[INT_STATUS] |= DATA_READY;
    if (this.#registers[USER_CTRL] & FIFO_ENABLE) this.#fillFifo();
  }

  #fillFifo() {
    for (const { bit, from, len } of FIFO_SOURCES) {
      if (this.#registers[FIFO_EN] & bit) this.#fifo.push(...this.#registers.subarray(from, from + len));
    }
    if (this.#fifo.length <= FIFO_LEN) return;
    // The oldest bytes go, and a sample may be cut: the program must reset the FIFO (RM §4.32).
    this.#fifo.splice(0, this.#fifo.length - FIFO_LEN);
    this.#registers[INT_STATUS] |= FIFO_OVERFLOW;
    this.fifo_overflows++;
  }

  // The device's side of the bus.

  start() {
    this.#isAddress = true;
    this.#sample();
  }

  write(byte) {
    if (this.#isAddress) {
      this.#pointer = byte & 0x7f;
      this.#isAddress = false;
      return true;
    }
    this.#writeRegister(this.#pointer, byte);
    if (this.#pointer !== FIFO_R_W) this.#pointer = (this.#pointer + 1) & 0x7f;
    return true;
  }

  #writeRegister(register, byte) {
    const isReadOnly = register === WHO_AM_I || (register >= INT_STATUS && register <= SAMPLES_END);
    if (isReadOnly) return;
    if (register === PWR_MGMT_1 && byte & DEVICE_RESET) {
      this.#reset();
      return;
    }
    if (register === USER_CTRL && byte & FIFO_RESET) {
      this.#fifo = [];
      byte &= ~FIFO_RESET;
    }
    this.#registers[register] = byte;
  }

  read() {
    const register = this.#pointer;
    // Reading on from the FIFO's register gives more of the FIFO (RM §4.34).
    if (register === FIFO_R_W) return this.#fifo.shift() ?? 0xff;
    this.#pointer = (register + 1) & 0x7f;
    if (register === FIFO_COUNT_H) return this.#fifo.length >> 8;
    if (register === FIFO_COUNT_L) return this.#fifo.length & 0xff;
    const byte = this.#registers[register];
    if (register === INT_STATUS) this.#registers[INT_STATUS] = 0;
    return byte;
  }
}

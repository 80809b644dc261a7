// A Maxim DS18B20 on OneWire at GP16, by the lengths of the levels on its pin: reset and presence, write and read slots
// (datasheet 19-7487, p. 15 to 17). One device on the line; it is powered, not parasitic.

import { MICROSECOND, MILLISECOND } from '../world-clock.mjs';

const PIN = 16;
const LOW = 0;
const RESET_NANOS_MIN = 480 * MICROSECOND;
const PRESENCE_AFTER_NANOS = 30 * MICROSECOND;
const PRESENCE_NANOS = 120 * MICROSECOND;
/** A device looks at the line this long after it fell. */
const SLOT_SAMPLED_NANOS = 15 * MICROSECOND;
const READ_LOW_NANOS = 30 * MICROSECOND;
const CONVERSION_NANOS = 750 * MILLISECOND;
/** 85 °C: what it says before its first conversion (p. 6). */
const POWER_ON_RAW = 0x0550;
const RAW_PER_CELSIUS = 16;

const ROM_CODE = withCrc([0x28, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66]);
const [SKIP_ROM, READ_ROM, MATCH_ROM] = [0xcc, 0x33, 0x55];
const [CONVERT, READ_SCRATCHPAD, WRITE_SCRATCHPAD, COPY_SCRATCHPAD, RECALL] = [0x44, 0xbe, 0x4e, 0x48, 0xb8];

/** CRC-8 of Maxim (p. 9), appended. */
function withCrc(bytes) {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ 0x8c : crc >> 1;
  }
  return [...bytes, crc];
}

const bitsOf = (bytes) => bytes.flatMap((byte) => Array.from({ length: 8 }, (_, bit) => (byte >> bit) & 1));

export class Ds18b20 {
  connected = true;
  /** Slots and resets it answered, for a look at the line. */
  resets = 0;
  #raw = POWER_ON_RAW;
  #alarms = [0x4b, 0x46];
  #config = 0x7f;
  #converted_at = null;
  #line = null;

  constructor(patient) {
    this.patient = patient;
  }

  powerOn() {
    this.#raw = POWER_ON_RAW;
    this.#converted_at = null;
  }

  attach(rp, world) {
    this.#line?.end();
    this.#line = new Line(rp, this, world);
  }

  /** A conversion that is over by now gives the temperature of its end. */
  #settle(now) {
    if (this.#converted_at === null || now < this.#converted_at) return;
    this.#raw = Math.round(this.patient.body_celsius * RAW_PER_CELSIUS) & 0xffff;
    this.#converted_at = null;
  }

  // What the line asks. A command takes `bytes_wanted` bytes, then gives bits, or asks `more()` for single bits.

  command(byte, now) {
    this.#settle(now);
    if (byte === CONVERT) {
      this.#converted_at = now + CONVERSION_NANOS;
      return { poll: (later) => (this.#settle(later), this.#converted_at === null ? 1 : 0) };
    }
    if (byte === READ_SCRATCHPAD) return { bits: bitsOf(this.#scratchpad()) };
    if (byte === WRITE_SCRATCHPAD) return { bytes_wanted: 3, take: (bytes) => this.#write(bytes) };
    if (byte === COPY_SCRATCHPAD || byte === RECALL) return { poll: () => 1 };
    return {};
  }

  #scratchpad() {
    return withCrc([this.#raw & 0xff, this.#raw >> 8, ...this.#alarms, this.#config, 0xff, 0x0c, 0x10]);
  }

  #write([high, low, config]) {
    this.#alarms = [high, low];
    this.#config = (config & 0x60) | 0x1f;
  }
}

/** The pin: tells slots by their length and keeps the state of the transaction. */
class Line {
  #pin;
  #clock;
  #device;
  #world;
  #held = false;
  #pulled = false;
  #fell_nanos = 0;
  #listen;
  #state = 'idle';
  #bits = [];
  #bytes = [];
  #answer = {};
  #ended = false;

  constructor(rp, device, world) {
    this.#pin = rp.gpio[PIN];
    this.#clock = rp.clock;
    this.#device = device;
    this.#world = world;
    this.release = rp.clock.createAlarm(() => this.#hold(false));
    this.presence = rp.clock.createAlarm(() => this.#holdFor(PRESENCE_NANOS));
    this.#listen = this.#pin.addListener((value) => this.#level(value === LOW));
    this.#show();
  }

  end() {
    this.#ended = true;
    this.#listen();
  }

  #show() {
    this.#pin.setInputValue(!(this.#held || this.#pulled));
  }

  #hold(isHeld) {
    this.#held = isHeld && !this.#ended;
    this.#show();
  }

  #holdFor(nanos) {
    this.#hold(true);
    this.release.schedule(nanos);
  }

  #level(isLow) {
    if (isLow === this.#pulled) return;
    this.#pulled = isLow;
    if (isLow) {
      this.#fell_nanos = this.#clock.nanos;
      if (this.#state === 'answer' && this.#device.connected && this.#nextBit() === 0) this.#holdFor(READ_LOW_NANOS);
      this.#show();
      return;
    }
    this.#show();
    if (this.#device.connected) this.#slot(this.#clock.nanos - this.#fell_nanos);
  }

  #nextBit() {
    if (this.#answer.poll) return this.#answer.poll(this.#world.nanos);
    return this.#answer.bits?.shift() ?? 1;
  }

  #slot(low_nanos) {
    if (low_nanos >= RESET_NANOS_MIN * 0.95) {
      this.#device.resets++;
      this.#expect('rom');
      this.presence.schedule(PRESENCE_AFTER_NANOS);
    } else if (this.#state !== 'idle' && this.#state !== 'answer') {
      this.#bits.push(low_nanos < SLOT_SAMPLED_NANOS ? 1 : 0);
      if (this.#bits.length === 8) this.#byte(this.#bits.splice(0).reduce((byte, bit, i) => byte | (bit << i), 0));
    }
  }

  #expect(state, answer = {}) {
    this.#state = state;
    this.#answer = answer;
    this.#bits = [];
    this.#bytes = [];
  }

  #byte(byte) {
    if (this.#state === 'rom') {
      if (byte === SKIP_ROM) this.#expect('command');
      else if (byte === READ_ROM) this.#expect('answer', { bits: bitsOf(ROM_CODE) });
      else if (byte === MATCH_ROM) this.#expect('match');
      else this.#expect('idle');
    } else if (this.#state === 'match') {
      this.#bytes.push(byte);
      if (this.#bytes.length < ROM_CODE.length) return;
      this.#expect(this.#bytes.every((sent, i) => sent === ROM_CODE[i]) ? 'command' : 'idle');
    } else if (this.#state === 'command') {
      const answer = this.#device.command(byte, this.#world.nanos);
      this.#expect(answer.take ? 'data' : answer.poll || answer.bits ? 'answer' : 'idle', answer);
    } else if (this.#state === 'data') {
      this.#bytes.push(byte);
      if (this.#bytes.length < this.#answer.bytes_wanted) return;
      this.#answer.take(this.#bytes);
      this.#expect('idle');
    }
  }
}

// The sensors as a driver finds them on their buses.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Clock } from '../src/clock.mjs';
import { Patient } from '../src/patient.mjs';
import { AnalogInputs } from '../src/sensors/analog.mjs';
import { Ds18b20 } from '../src/sensors/ds18b20.mjs';
import { Mpu6050 } from '../src/sensors/mpu6050.mjs';
import { MICROSECOND, MILLISECOND, SECOND, WorldClock } from '../src/world-clock.mjs';

function movementSensor() {
  const world = new WorldClock();
  const sensor = new Mpu6050(new Patient());
  sensor.attach(null, world);
  const write = (...bytes) => {
    sensor.start();
    bytes.forEach((byte) => sensor.write(byte));
  };
  const read = (register, len) => {
    write(register);
    sensor.start();
    return Buffer.from(Array.from({ length: len }, () => sensor.read()));
  };
  return { world, sensor, write, read };
}

test('the MPU-6050 sleeps after power-on and says who it is', () => {
  const { world, read } = movementSensor();
  world.clock.tick(SECOND);
  assert.equal(read(0x75, 1)[0], 0x68);
  assert.equal(read(0x6b, 1)[0], 0x40);
  assert.equal(read(0x3f, 2).readInt16BE(), 0);
});

test('its FIFO gets six bytes of acceleration at 1 kHz over divider plus one', () => {
  const { world, write, read } = movementSensor();
  write(0x6b, 0x01);
  write(0x1a, 0x03); // low-pass filter: 1 kHz
  write(0x19, 24); // 40 Hz
  write(0x23, 0x08); // acceleration
  write(0x6a, 0x44); // FIFO on, empty
  world.clock.tick(SECOND);
  assert.equal(read(0x72, 2).readUInt16BE(), 40 * 6);
  const sample = read(0x74, 6);
  assert.equal(sample.readInt16BE(0), Math.round(0.05 * 16_384));
  assert.ok(Math.abs(sample.readInt16BE(4) / 16_384 - 0.99) < 0.02);
  assert.equal(read(0x72, 2).readUInt16BE(), 39 * 6);
});

test('a FIFO that no one reads overflows, keeps the newest kilobyte and says so once', () => {
  const { world, write, read, sensor } = movementSensor();
  write(0x6b, 0x01);
  write(0x23, 0x08);
  write(0x6a, 0x40);
  world.clock.tick(SECOND);
  assert.equal(read(0x72, 2).readUInt16BE(), 1_024);
  assert.equal(read(0x3a, 1)[0] & 0x10, 0x10);
  assert.equal(read(0x3a, 1)[0] & 0x10, 0);
  assert.ok(sensor.fifo_overflows > 0);
});

test('its temperature follows raw / 340 + 36.53', () => {
  const { world, write, read, sensor } = movementSensor();
  sensor.patient.mpu_celsius = 31.5;
  write(0x6b, 0x01);
  world.clock.tick(SECOND);
  assert.ok(Math.abs(read(0x41, 2).readInt16BE() / 340 + 36.53 - 31.5) < 0.01);
});

/** A OneWire host on an emulated pin, with the slots of the DS18B20's datasheet. */
function oneWire(sensor) {
  const clock = new Clock();
  const world = new WorldClock();
  world.follow(clock);
  const listeners = new Set();
  let level = true;
  const pin = {
    addListener: (listener) => (listeners.add(listener), () => listeners.delete(listener)),
    setInputValue: (value) => (level = value),
  };
  sensor.attach({ gpio: { 16: pin }, clock }, world);
  const drive = (isLow) => listeners.forEach((listener) => listener(isLow ? 0 : 1));
  const hold = (low_micros, high_micros) => {
    drive(true);
    clock.tick(low_micros * MICROSECOND);
    drive(false);
    clock.tick(high_micros * MICROSECOND);
  };
  const reset = () => {
    hold(480, 70);
    const isPresent = !level;
    clock.tick(410 * MICROSECOND);
    return isPresent;
  };
  const write = (...bytes) =>
    bytes.forEach((byte) => {
      for (let bit = 0; bit < 8; bit++) ((byte >> bit) & 1 ? hold(6, 64) : hold(60, 10));
    });
  const readBit = () => {
    hold(6, 9);
    const bit = level ? 1 : 0;
    clock.tick(55 * MICROSECOND);
    return bit;
  };
  const read = (len) => Buffer.from(Array.from({ length: len }, () => Array.from({ length: 8 }, readBit).reduce((byte, bit, i) => byte | (bit << i), 0)));
  return { clock, reset, write, read, readBit };
}

test('the DS18B20 says 85 °C until its first conversion is over', () => {
  const { clock, reset, write, read, readBit } = oneWire(new Ds18b20(new Patient({ body_celsius: 37.0625 })));
  const scratchpad = () => {
    assert.equal(reset(), true);
    write(0xcc, 0xbe);
    return read(9);
  };
  assert.equal(scratchpad().readInt16LE(0) / 16, 85);
  assert.equal(reset(), true);
  write(0xcc, 0x44);
  assert.equal(readBit(), 0, 'converting');
  clock.tick(700 * MILLISECOND);
  assert.equal(readBit(), 0);
  clock.tick(50 * MILLISECOND);
  assert.equal(readBit(), 1);
  assert.equal(scratchpad().readInt16LE(0) / 16, 37.0625);
});

test('its scratchpad ends with the CRC-8 of the datasheet', () => {
  const { reset, write, read } = oneWire(new Ds18b20(new Patient()));
  reset();
  write(0xcc, 0xbe);
  // By the datasheet's own example of alarms and configuration, at 85 °C.
  assert.deepEqual([...read(9)], [0x50, 0x05, 0x4b, 0x46, 0x7f, 0xff, 0x0c, 0x10, 0x1c]);
});

test('a DS18B20 that was taken off answers no reset', () => {
  const sensor = new Ds18b20(new Patient());
  const { reset } = oneWire(sensor);
  sensor.connected = false;
  assert.equal(reset(), false);
  sensor.connected = true;
  assert.equal(reset(), true);
});

test('the ADC sees the pulse wave and the temperature of the chip', () => {
  const world = new WorldClock();
  const read = [];
  const adc = { channelValues: [], onADCRead: (channel) => read.push(adc.channelValues[channel]) };
  const patient = new Patient({ mcu_celsius: 31 });
  new AnalogInputs(patient).attach({ adc }, world);
  adc.onADCRead(4);
  const celsius = 27 - ((read[0] / 4_096) * 3.3 - 0.706) / 0.001721;
  assert.ok(Math.abs(celsius - 31) < 0.5, `${celsius} °C`);
  const volts = [];
  for (let i = 0; i < 100; i++) {
    world.clock.tick(10 * MILLISECOND);
    adc.onADCRead(0);
    volts.push((read.at(-1) / 4_096) * 3.3);
  }
  assert.ok(Math.max(...volts) - Math.min(...volts) > 0.9, 'a beat goes up and down');
});

// The flash takes its time, and a power cut leaves it half done.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Pico } from '../src/pico.mjs';
import { BLOCK_LEN, PAGE_PROGRAM_NANOS, SECTOR_ERASE_NANOS, SECTOR_LEN, W25q16 } from '../src/w25q16.mjs';
import { MILLISECOND } from '../src/world-clock.mjs';

const AT = 0x8_1000;

/** A Pico whose program goes round in one place. */
function idlePico(options) {
  const image = new Uint8Array(0x200).fill(0xff);
  const view = new DataView(image.buffer);
  view.setUint32(0x100, 0x2000_8000, true);
  view.setUint32(0x104, 0x1000_0181, true);
  view.setUint16(0x180, 0xe7fe, true); // b .
  const pico = new Pico({ image, flash: new W25q16(options) });
  pico.powerOn();
  return pico;
}

test('programming clears bits and sets none', () => {
  const flash = new W25q16();
  flash.program(AT, Uint8Array.of(0xf0)).finish();
  flash.program(AT, Uint8Array.of(0x3f)).finish();
  assert.equal(flash.bytes[AT], 0x30);
});

test('an erase of 68 KiB is one block and one sector, and wears each of its sectors', () => {
  const flash = new W25q16();
  const operation = flash.erase(0x10_0000, BLOCK_LEN + SECTOR_LEN);
  assert.deepEqual(operation.steps.map(({ len }) => len), [BLOCK_LEN, SECTOR_LEN]);
  assert.equal(flash.erases.size, 17);
});

test('the processor stands still while a sector is erased, and the world goes on', () => {
  const pico = idlePico();
  pico.run(MILLISECOND);
  const { cycles } = pico;
  let rang = false;
  pico.world.after(10 * MILLISECOND, () => (rang = true));
  pico.eraseFlash(AT, SECTOR_LEN);
  pico.run(pico.world.nanos + 44 * MILLISECOND);
  assert.equal(pico.cycles, cycles);
  assert.equal(rang, true);
  assert.ok(pico.flashOperation);
  pico.run(pico.world.nanos + 2 * MILLISECOND);
  assert.equal(pico.flashOperation, null);
  assert.ok(pico.cycles > cycles);
});

for (const tear of ['ordered', 'scattered']) {
  test(`a cut in the middle of an erase leaves a part of the sector erased (${tear})`, () => {
    const pico = idlePico({ tear });
    pico.flash.bytes.fill(0, AT, AT + SECTOR_LEN);
    pico.eraseFlash(AT, SECTOR_LEN);
    pico.run(pico.world.nanos + SECTOR_ERASE_NANOS / 4);
    pico.cutPower();
    const set = pico.flash.bytes.subarray(AT, AT + SECTOR_LEN).reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
    assert.ok(Math.abs(set / (SECTOR_LEN * 8) - 0.25) < 0.02, `${set} bits of ${SECTOR_LEN * 8}`);
    assert.equal(pico.flash.bytes[AT - 1], 0xff);
  });

  test(`a cut in the middle of the second page leaves the first whole and the third untouched (${tear})`, () => {
    const pico = idlePico({ tear });
    pico.programFlash(AT, new Uint8Array(3 * 256));
    pico.run(pico.world.nanos + 1.5 * PAGE_PROGRAM_NANOS);
    pico.cutPower();
    const zeros = (page) => pico.flash.bytes.subarray(AT + page * 256, AT + (page + 1) * 256).filter((byte) => byte === 0).length;
    assert.equal(zeros(0), 256);
    assert.ok(zeros(1) < 256);
    assert.equal(zeros(2), 0);
    assert.notEqual(pico.flash.bytes.subarray(AT + 256, AT + 512).every((byte) => byte === 0xff), true);
  });
}

test('a power cut ends the program, and it starts again with what is in the flash', () => {
  const pico = idlePico();
  const starts = [];
  pico.on('start', (reason) => starts.push(reason));
  pico.rp.writeUint32(0x2000_4000, 0x1234);
  pico.cutPower();
  const off_at = pico.world.nanos;
  pico.run(off_at + 2_000 * MILLISECOND);
  assert.ok(pico.world.nanos >= off_at + 1_999 * MILLISECOND, 'the world goes on without power');
  pico.powerOn();
  assert.equal(pico.rp.readUint32(0x2000_4000), 0, 'memory is lost');
  assert.ok(pico.rp.clock.nanos < MILLISECOND, 'the timer starts at zero');
  assert.deepEqual(starts, ['power-on']);
});

test('a watchdog reset restarts the chip and keeps its memory', () => {
  const pico = idlePico();
  const starts = [];
  pico.on('start', (reason) => starts.push(reason));
  let rang = 0;
  pico.world.after(20 * MILLISECOND, () => rang++);
  pico.rp.writeUint32(0x2000_4000, 0x1234);
  pico.rp.writeUint32(0x4005_8000, 0x8000_0000);
  pico.run(pico.world.nanos + 30 * MILLISECOND);
  assert.deepEqual(starts, ['watchdog']);
  assert.equal(pico.rp.readUint32(0x2000_4000), 0x1234);
  assert.equal(rang, 1, 'timers of the world outlive the chip');
});

// One regression test for each patch of the emulator: what a program on a real RP2040 can rely on.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { connectI2c } from '../src/patches/i2c.mjs';
import { remains } from '../src/patches/watchdog.mjs';
import { BKPT, NOP, PROGRAM_AT, SEV, WFE, call, load, quietChip, quietHost } from './support/thumb.mjs';

const MICROSECOND = 1_000;
const MILLISECOND = 1_000_000;

/** UART 0 at 115,200 baud (125 MHz / 16 / 115,200 = 67 + 52/64), FIFOs on. */
function uartChip() {
  const rp = quietChip();
  const uart = rp.uart[0];
  uart.writeUint32(0x24, 67);
  uart.writeUint32(0x28, 52);
  uart.writeUint32(0x2c, 0x70);
  uart.writeUint32(0x30, 0x301);
  return { rp, uart, byte_nanos: (10 * 1e9) / uart.baud };
}
const isPending = (rp, irq) => (rp.core.pendingInterrupts & (1 << irq)) !== 0;

test('a byte takes ten bits of time on the UART', () => {
  const { rp, uart, byte_nanos } = uartChip();
  const sent = [];
  uart.onByte = (byte) => sent.push([byte, Math.round(rp.clock.nanos)]);
  uart.writeUint32(0x00, 0x41);
  uart.writeUint32(0x00, 0x42);
  rp.clock.tick(byte_nanos * 3);
  assert.deepEqual(sent, [[0x41, Math.round(byte_nanos)], [0x42, Math.round(byte_nanos * 2)]]);
  assert.ok(Math.abs(byte_nanos - 86_806) < 100);
});

test('the transmit interrupt rises when the FIFO drains to its level, and clears', () => {
  const { rp, uart, byte_nanos } = uartChip();
  uart.writeUint32(0x34, 0); // level: an eighth, 4 bytes
  uart.writeUint32(0x38, 1 << 5);
  assert.equal(isPending(rp, 20), false, 'an idle transmitter never asks by itself');
  for (let i = 0; i < 6; i++) uart.writeUint32(0x00, i);
  assert.equal(isPending(rp, 20), false);
  rp.clock.tick(byte_nanos * 1.5);
  assert.equal(isPending(rp, 20), true);
  uart.writeUint32Atomic(0x44, 1 << 5, 0);
  assert.equal(isPending(rp, 20), false);
});

test('a single received byte raises the time-out interrupt after 32 bits', () => {
  const { rp, uart, byte_nanos } = uartChip();
  uart.writeUint32(0x38, (1 << 4) | (1 << 6));
  uart.receive(0x55);
  rp.clock.tick(byte_nanos * 3.1);
  assert.equal(isPending(rp, 20), false);
  rp.clock.tick(byte_nanos * 0.2);
  assert.equal(isPending(rp, 20), true);
  assert.equal(uart.readUint32(0x00), 0x55);
  assert.equal(isPending(rp, 20), false);
});

test('a full receive FIFO loses the byte and says so with the next one', () => {
  const { uart } = uartChip();
  for (let i = 0; i < 33; i++) uart.receive(i);
  assert.equal(uart.overruns, 1);
  assert.equal(uart.readUint32(0x3c) & (1 << 10), 1 << 10);
  for (let i = 0; i < 32; i++) assert.equal(uart.readUint32(0x00), i);
  uart.receive(0x77);
  assert.equal(uart.readUint32(0x00), 0x877);
});

test('UART requests drive DMA only while there is something to move', () => {
  const { rp, uart } = uartChip();
  uart.writeUint32(0x48, 3);
  assert.equal(rp.dma.dreq[20], true, 'room to send');
  assert.notEqual(rp.dma.dreq[21], true, 'nothing received');
  uart.receive(1);
  assert.equal(rp.dma.dreq[21], true);
  uart.readUint32(0x00);
  assert.notEqual(rp.dma.dreq[21], true);
});

test('DMA collects what the UART receives into a ring, and its abort ends', () => {
  const { rp, uart } = uartChip();
  const channel = 0x5000_0040;
  const [enable, byte_to_ring, ring_of_16, from_uart0_rx, to_itself] = [1, (1 << 5) | (1 << 10), 4 << 6, 21 << 15, 1 << 11];
  rp.writeUint32(channel, 0x4003_4000);
  rp.writeUint32(channel + 4, 0x2000_000c);
  rp.writeUint32(channel + 8, 100);
  rp.writeUint32(channel + 12, enable | byte_to_ring | ring_of_16 | to_itself | from_uart0_rx);
  uart.writeUint32(0x48, 1);
  for (const byte of [1, 2, 3, 4, 5]) {
    uart.receive(byte);
    rp.clock.tick(90 * MICROSECOND);
  }
  assert.deepEqual([...rp.sram.subarray(0x0c, 0x10), rp.sram[0]], [1, 2, 3, 4, 5]);
  assert.equal(rp.readUint32(channel + 8), 95);
  rp.writeUint32(0x5000_0444, 2);
  assert.equal(rp.readUint32(0x5000_0444), 0);
});

test('a byte at another speed arrives with a framing error', () => {
  const { uart } = uartChip();
  uart.receive(0x33, { isFramed: false });
  assert.equal(uart.readUint32(0x00), 0x133);
});

test('SEV keeps the next WFE from sleeping', () => {
  const rp = quietChip();
  rp.core.eventRegistered = false;
  load(rp, [SEV, WFE, NOP, WFE]);
  rp.core.executeInstruction();
  rp.core.executeInstruction();
  assert.equal(rp.core.waiting, false);
  rp.core.executeInstruction();
  rp.core.executeInstruction();
  assert.equal(rp.core.waiting, true);
});

test('flushing the flash cache ends, and nothing is streamed from the flash', () => {
  const rp = quietChip();
  rp.writeUint32(0x1400_0004, 1);
  assert.equal(rp.readUint32(0x1400_0004), 0);
  assert.equal(rp.readUint32(0x1400_0008) & 1, 1);
  assert.equal(rp.readUint32(0x1400_0014), 0, 'STREAM_CTR');
});

test('the ring oscillator is stable and its random bit follows the source given', () => {
  const bits = [1, 0, 0, 1];
  const rp = quietChip({ host: { ...quietHost(), randomByte: () => bits.shift() } });
  assert.equal(rp.readUint32(0x4006_0018) >>> 31, 1);
  assert.deepEqual([0, 1, 2, 3].map(() => rp.readUint32(0x4006_001c)), [1, 0, 0, 1]);
});

test('the chip says that it had a power-on reset', () => {
  assert.equal(quietChip().readUint32(0x4006_4008), 1 << 8);
});

test('the I2C interrupt mask can be written and its levels hold', () => {
  const rp = quietChip();
  const i2c = rp.i2c[1];
  i2c.writeUint32(0x6c, 1);
  i2c.writeUint32(0x30, 1 << 4); // TX_EMPTY
  assert.equal(isPending(rp, 24), true, 'an empty FIFO is a level, not an event');
  i2c.writeUint32(0x30, 0);
  assert.equal(isPending(rp, 24), false);
});

test('an I2C byte takes nine periods of the bus clock', () => {
  const rp = quietChip();
  const i2c = rp.i2c[1];
  const written = [];
  const device = { start() {}, write: (byte) => written.push([byte, rp.clock.nanos]) > 0, read: () => 0x68 };
  connectI2c(rp, i2c, (address) => (address === 0x68 ? device : undefined));
  i2c.writeUint32(0x1c, 187); // high and low: 2.5 µs in all, 400 kHz
  i2c.writeUint32(0x20, 125);
  i2c.writeUint32(0x6c, 1);
  i2c.writeUint32(0x04, 0x68);
  i2c.writeUint32(0x10, 0x175);
  i2c.writeUint32(0x10, 0x300); // read one byte, stop
  rp.clock.tick(45 * MICROSECOND);
  assert.equal(i2c.readUint32(0x78), 0, 'nothing yet');
  rp.clock.tick(100 * MICROSECOND);
  assert.equal(i2c.readUint32(0x78), 2, 'two bytes, as both commands were reads');
  assert.equal(i2c.readUint32(0x10) & 0xff, 0x68);
});

test('an I2C address where no one is gives an abort', () => {
  const rp = quietChip();
  const i2c = rp.i2c[1];
  connectI2c(rp, i2c, () => undefined);
  i2c.writeUint32(0x6c, 1);
  i2c.writeUint32(0x04, 0x50);
  i2c.writeUint32(0x10, 0x200);
  rp.clock.tick(MILLISECOND);
  assert.equal(i2c.readUint32(0x34) & (1 << 6), 1 << 6);
});

/** A program for a state machine: pin 16 low for 31 + 1 cycles, then high. */
test('a PIO state machine keeps the time of its divider', () => {
  const rp = quietChip();
  const pio = rp.pio[0];
  const at = [];
  rp.gpio[16].ctrl = 6; // function: PIO 0
  rp.gpio[16].addListener(() => at.push(rp.clock.nanos));
  pio.writeUint32(0x048, 0xe081); // set pindirs, 1
  pio.writeUint32(0x04c, 0xff01); // set pins, 1 [31]
  pio.writeUint32(0x050, 0xe000); // set pins, 0
  pio.writeUint32(0x0c8, 125 << 16); // 1 µs a cycle
  pio.writeUint32(0x0cc, 2 << 12); // wrap behind the third
  pio.writeUint32(0x0dc, (1 << 26) | (16 << 5));
  pio.writeUint32(0x000, 1);
  rp.clock.tick(100 * MICROSECOND);
  const [up, down] = at.slice(-2);
  assert.ok(at.length >= 3, 'the pin moved within emulated time alone');
  assert.ok([32, 2].includes(Math.round((down - up) / MICROSECOND)), `${(down - up) / MICROSECOND} µs`);
});

test('an instruction forced on a stalled PIO state machine replaces the stalled one', () => {
  const rp = quietChip();
  const pio = rp.pio[0];
  const machine = pio.machines[0];
  pio.writeUint32(0x048, 0x80a0); // pull block
  pio.writeUint32(0x000, 1);
  rp.clock.tick(MICROSECOND);
  assert.equal(machine.waiting, true);
  pio.writeUint32(0x0d8, 0xe025); // set x, 5
  assert.equal(machine.x, 5);
  assert.equal(machine.waiting, false);
});

test('the watchdog resets, and scratch registers, reason and memory are there afterwards', () => {
  const host = quietHost();
  const rp = quietChip({ host });
  rp.writeUint32(0x4005_800c, 0xb007_c0d3);
  rp.writeUint32(0x2000_4000, 0x1234_5678);
  rp.writeUint32(0x4005_8000, 0x8000_0000);
  assert.equal(host.noted.resets, 1);
  const next = quietChip({ remains: remains(rp) });
  assert.equal(next.readUint32(0x4005_800c) >>> 0, 0xb007_c0d3);
  assert.equal(next.readUint32(0x4005_8008), 2, 'forced');
  assert.equal(next.readUint32(0x2000_4000), 0x1234_5678);
  assert.equal(quietChip().readUint32(0x4005_8008), 0, 'power-on has no watchdog reason');
});

test('a watchdog that is not fed resets in time', () => {
  const host = quietHost();
  const rp = quietChip({ host });
  rp.writeUint32(0x4005_8004, 200_000 * 2); // counts two a microsecond (RP2040-E1)
  rp.writeUint32(0x4005_8000, 1 << 30);
  rp.clock.tick(199 * MILLISECOND);
  assert.equal(host.noted.resets, 0);
  rp.clock.tick(2 * MILLISECOND);
  assert.equal(host.noted.resets, 1);
});

test('a timer alarm fires when the counter is there, never before', () => {
  const rp = quietChip();
  rp.clock.tick(99_500);
  rp.writeUint32(0x4005_4038, 1);
  rp.writeUint32(0x4005_4010, 100);
  rp.clock.tick(400);
  assert.equal(rp.readUint32(0x4005_4034), 0);
  rp.clock.tick(200);
  assert.equal(rp.readUint32(0x4005_4034), 1);
});

test('the boot ROM finds functions by name and serves them', () => {
  const host = quietHost();
  const rp = quietChip({ host });
  const code = (name) => name.charCodeAt(0) | (name.charCodeAt(1) << 8);
  const lookUp = rp.readUint16(0x18);
  const table = rp.readUint16(0x14);
  const find = (name) => call(rp, lookUp, table, code(name));
  call(rp, find('RE'), 0x8_0000, 4_096, 65_536, 0xd8);
  rp.writeUint32(0x2000_2000, 0x4433_2211);
  call(rp, find('RP'), 0x8_0000, 0x2000_2000, 4);
  assert.deepEqual(host.noted.flash, [['erase', 0x8_0000, 4_096], ['program', 0x8_0000, [0x11, 0x22, 0x33, 0x44]]]);
  assert.equal(call(rp, find('MC'), 0x2000_3000, 0x2000_2000, 4), 0x2000_3000);
  assert.equal(rp.readUint32(0x2000_3000), 0x4433_2211);
  assert.equal(call(rp, find('P3'), 0xf0f0_0001), 9);
  assert.equal(call(rp, find('L3'), 0x0001_0000), 15);
  assert.equal(call(rp, find('T3'), 0x0001_0000), 16);
  assert.equal(find('??'), 0);
  assert.deepEqual(host.noted.missing, ['??']);
});

test('an undefined instruction of the program is a hard fault', () => {
  const host = quietHost();
  const rp = quietChip({ host });
  rp.core.VTOR = 0x2000_0000;
  rp.writeUint32(0x2000_000c, 0x2000_0101);
  load(rp, [BKPT]);
  rp.core.executeInstruction();
  assert.equal(host.noted.faults[0].pc, PROGRAM_AT);
  assert.equal(rp.core.IPSR, 3);
  assert.equal(rp.core.PC & ~1, 0x2000_0100);
});

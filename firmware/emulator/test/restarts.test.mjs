// What restarts the device by itself: a fault, and a program that hangs, wherever it does. And what its log says then. The
// program has no such fault that we know of: the test puts the processor into one.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { onBench } from './support/bench.mjs';
import { setUp } from './support/setup-client.mjs';

/** RAM that the program does not use: the boot ROM's, at the end. */
const SPARE_RAM = 0x2004_1e00;
/** An undefined instruction, and a branch to itself (ARMv6-M ARM, A6.7). */
const UDF = 0xde00;
const BRANCH_TO_ITSELF = 0xe7fe;
/** The exception numbers of the thread, and of the software interrupt in which the recorder runs. */
const THREAD = 0;
const RECORDER = 16 + 27;

/** Puts the processor on this instruction as soon as it is in that part of the program. */
function lead(board, instruction, part) {
  const { rp } = board.pico;
  const { core } = rp;
  const { executeInstruction } = core;
  core.executeInstruction = function () {
    if (this.IPSR === part) {
      rp.writeUint16(SPARE_RAM, instruction);
      this.PC = SPARE_RAM;
      core.executeInstruction = executeInstruction;
    }
    return executeInstruction.call(this);
  };
}

async function collecting(bench) {
  const from = await setUp(bench);
  await bench.told(/the server takes values/, from);
  return bench.now;
}

for (const { fault, instruction, part, reason } of [
  { fault: 'a fault', instruction: UDF, part: THREAD, reason: /starts: Wanted\(Panicked\)/ },
  { fault: 'a thread that hangs', instruction: BRANCH_TO_ITSELF, part: THREAD, reason: /starts: Wanted\(Silent\)/ },
  { fault: 'a recorder that hangs', instruction: BRANCH_TO_ITSELF, part: RECORDER, reason: /starts: Unfed/ },
]) {
  test(
    `${fault} restarts the device, which says so and collects again`,
    onBench({}, async (bench) => {
      const from = await collecting(bench);
      lead(bench.board, instruction, part);
      await bench.told(/start by watchdog/, from);
      await bench.told(reason, from);
      if (instruction === UDF) await bench.told(/it panicked before, at hard fault at 0x20041e0/, from);
      await bench.told(/the server takes values/, from);
    }),
  );
}

test(
  'nothing of what the modem says while a sector is erased is lost',
  onBench({ speed: 40 }, async (bench) => {
    const { board } = bench;
    const from = await collecting(bench);
    const uart = board.pico.rp.uart[0];
    board.air.switchWifi(false);
    // The outbox's memory is full after some minutes; then its oldest batches move to flash.
    let erases = 0;
    board.pico.on('flash', ({ kind }) => {
      if (kind !== 'erase') return;
      erases++;
      // 35 ms of the line; the UART keeps 3 ms.
      board.modem.say(`+NOISE:${'x'.repeat(400)}`);
    });
    await bench.until('two sectors were erased', () => erases >= 2);
    const noise_at = board.pico.world.nanos;
    await bench.until('a second more has passed', () => board.pico.world.nanos - noise_at >= 1e9);
    assert.equal(uart.overruns, 0);
    const here = bench.now;
    board.air.switchWifi(true);
    await bench.told(/the server takes values/, here);
    assert.ok(!bench.story.slice(from).some((line) => /were lost at least|start by/.test(line)));
  }),
);

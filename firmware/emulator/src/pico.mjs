// A Pico with its flash: runs the program in emulated time, restarts by its watchdog, and loses power whenever it is told
// to, in the middle of an erase too. It knows nothing of wall time (pace.mjs does) nor of what is wired to it: parts are.

import { EventEmitter } from 'node:events';
import { randomBytes } from 'node:crypto';

import { Clock } from './clock.mjs';

import { makeChip } from './chip.mjs';
import { remains } from './patches/watchdog.mjs';
import { W25q16 } from './w25q16.mjs';
import { WorldClock } from './world-clock.mjs';

/** Warnings of the emulator that are kept, by text. */
const WARNINGS_MAX = 100;

/**
 * Events: `start` (reason 'power-on' or 'watchdog'), `power-lost`, `fault` ({code, pc, lr}), `flash` (an operation begins).
 * A part has `attach(rp, world)`, called at every start of the chip, and may have `powerLost()` and `powerOn()`.
 */
export class Pico extends EventEmitter {
  world = new WorldClock();
  /** The chip, or null while the power is off. */
  rp = null;
  warnings = new Map();
  /** Functions that the program looked for in the boot ROM and that are not there. */
  missing_functions = new Set();
  starts = 0;
  #parts = [];
  #busy = null;
  #reset = null;
  #isStopped = false;
  #cycles_before = 0;

  constructor({ image = new Uint8Array(), flash = new W25q16(), randomByte = () => randomBytes(1)[0] } = {}) {
    super();
    this.flash = flash;
    this.flash.load(image);
    this.randomByte = randomByte;
  }

  wire(part) {
    this.#parts.push(part);
    if (this.rp) part.attach(this.rp, this.world);
  }

  get isOn() {
    return this.rp !== null;
  }

  /** Cycles in which the processor worked, not slept, since the first start. */
  get cycles() {
    return this.#cycles_before + (this.rp?.core.cycles ?? 0);
  }

  /** The flash operation under way, if one is. */
  get flashOperation() {
    return this.#busy?.operation ?? null;
  }

  powerOn() {
    if (this.isOn) return;
    for (const part of this.#parts) part.powerOn?.();
    this.#start('power-on');
  }

  /** Takes the power away now. What the flash was doing stays half done. */
  cutPower() {
    if (!this.isOn) return;
    if (this.#busy) this.#busy.operation.cut(this.rp.clock.nanos - this.#busy.begin_nanos);
    this.#stopChip(new Clock());
    for (const part of this.#parts) part.powerLost?.();
    this.emit('power-lost');
  }

  #start(reason, left) {
    const rp = makeChip(this.flash, this, left);
    if (this.rp) this.#stopChip(rp.clock);
    else this.world.follow(rp.clock);
    this.rp = rp;
    this.starts++;
    for (const part of this.#parts) part.attach(rp, this.world);
    this.emit('start', reason);
  }

  #stopChip(next_clock) {
    this.#cycles_before = this.cycles;
    this.rp = null;
    this.#busy = null;
    this.#reset = null;
    this.world.follow(next_clock);
  }

  /**
   * Runs until the world's time is `until_nanos`, or a little later as an instruction cannot be cut. Ends early only for a
   * `stop()` from a part or listener.
   */
  run(until_nanos) {
    this.#isStopped = false;
    while (!this.#isStopped) {
      const left_nanos = until_nanos - this.world.nanos;
      // Less than a cycle is left; sums of fractions of it need not come out even.
      if (left_nanos < 1) return;
      const until = this.world.clock.nanos + left_nanos;
      if (!this.isOn) this.#idle(until);
      else if (this.#reset) this.#start('watchdog', this.#reset);
      else if (this.#busy) this.#waitForFlash(until);
      else this.#execute(until);
    }
  }

  /** Ends the present `run` as soon as the instruction is done. */
  stop() {
    this.#isStopped = true;
  }

  // These three run until a moment of the present clock, or up to what changes how the board runs.

  /** Nothing but the world's timers. */
  #idle(until) {
    const { clock } = this.world;
    clock.advanceTo(Math.min(clock.nextAlarm?.nanos ?? Infinity, until));
  }

  /** The processor stands still while its flash erases or programs; everything else goes on. */
  #waitForFlash(until) {
    const { clock } = this.rp;
    const { operation, end } = this.#busy;
    clock.advanceTo(Math.min(end, until, clock.nextAlarm?.nanos ?? Infinity));
    if (this.#busy && clock.nanos >= end) {
      this.#busy = null;
      operation.finish();
    }
  }

  #execute(until) {
    const { rp } = this;
    const { core, clock, clkSys } = rp;
    const cycle_nanos = 1e9 / clkSys;
    while (clock.nanos < until && this.rp === rp && !this.#busy && !this.#reset && !this.#isStopped) {
      if (!core.waiting) {
        const target = clock.nanos + core.executeInstruction() * cycle_nanos;
        // Hot: most instructions meet no alarm.
        if (clock.nextAlarm !== null && clock.nextAlarm.nanos <= target) clock.advanceTo(target);
        else clock.nanos = target;
      }
      else clock.advanceTo(Math.min(clock.nextAlarm?.nanos ?? Infinity, until));
      if (rp.clkSys !== clkSys) return;
    }
  }

  // What the chip asks of the board (chip.mjs).

  watchdogReset() {
    this.#reset = remains(this.rp);
  }

  faulted(fault) {
    this.emit('fault', fault);
  }

  warn(text) {
    const count = this.warnings.get(text) ?? 0;
    if (count > 0 || this.warnings.size < WARNINGS_MAX) this.warnings.set(text, count + 1);
  }

  missingFunction(name) {
    this.missing_functions.add(name);
  }

  /** Holding BOOTSEL is not emulated: a program that goes there is at its end. */
  rebootToUsb() {
    this.emit('usb-boot');
    this.stop();
  }

  eraseFlash(at, len) {
    this.#begin(this.flash.erase(at, len));
  }

  programFlash(at, data) {
    this.#begin(this.flash.program(at, data));
  }

  #begin(operation) {
    const begin_nanos = this.rp.clock.nanos;
    this.#busy = { operation, begin_nanos, end: begin_nanos + operation.duration_nanos };
    this.emit('flash', operation);
  }

  readMemory(at, len) {
    return Uint8Array.from({ length: len }, (_, i) => this.rp.readUint8(at + i));
  }

  writeMemory(at, bytes) {
    bytes.forEach((byte, i) => this.rp.writeUint8(at + i, byte));
  }
}

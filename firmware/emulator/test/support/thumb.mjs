// A few Thumb instructions put into memory by hand, to run on the emulated processor (ARMv6-M ARM, A6.7).

import { makeChip } from '../../src/chip.mjs';
import { W25q16 } from '../../src/w25q16.mjs';

export const NOP = 0xbf00;
export const SEV = 0xbf40;
export const WFE = 0xbf20;
export const BKPT = 0xbe00;
export const PROGRAM_AT = 0x2000_1000;
const STACK_AT = 0x2000_8000;
const RETURN_AT = 0x2000_0f00;

/** A board of nothing: takes what the chip asks and notes it. */
export function quietHost() {
  const noted = { resets: 0, faults: [], warnings: [], missing: [], flash: [] };
  return {
    noted,
    randomByte: () => 0,
    watchdogReset: () => noted.resets++,
    faulted: (fault) => noted.faults.push(fault),
    warn: (text) => noted.warnings.push(text),
    missingFunction: (name) => noted.missing.push(name),
    eraseFlash: (at, len) => noted.flash.push(['erase', at, len]),
    programFlash: (at, data) => noted.flash.push(['program', at, [...data]]),
    rebootToUsb() {},
  };
}

export function quietChip({ flash = new W25q16(), host = quietHost(), remains } = {}) {
  const rp = makeChip(flash, host, remains);
  host.readMemory = (at, len) => Uint8Array.from({ length: len }, (_, i) => rp.readUint8(at + i));
  host.writeMemory = (at, bytes) => bytes.forEach((byte, i) => rp.writeUint8(at + i, byte));
  rp.core.SP = STACK_AT;
  return rp;
}

export function load(rp, instructions) {
  instructions.forEach((instruction, i) => rp.writeUint16(PROGRAM_AT + 2 * i, instruction));
  rp.core.PC = PROGRAM_AT;
}

/** Calls a function at this address and gives back r0. */
export function call(rp, address, ...values) {
  values.forEach((value, i) => (rp.core.registers[i] = value));
  rp.core.LR = RETURN_AT | 1;
  rp.core.PC = address & ~1;
  for (let i = 0; i < 1_000 && rp.core.PC !== RETURN_AT; i++) rp.core.executeInstruction();
  if (rp.core.PC !== RETURN_AT) throw new Error('the function did not return');
  return rp.core.registers[0];
}

// An RP2040 with our flash, boot ROM and patches, just reset. It is made again for every start: power-on and watchdog.

import { RP2040 } from 'rp2040js';

import { bootRom, serveTrap } from './boot-rom.mjs';
import { Clock } from './clock.mjs';
import { patchDma } from './patches/dma.mjs';
import { patchEvents } from './patches/event.mjs';
import { patchI2c } from './patches/i2c.mjs';
import { patchPio } from './patches/pio.mjs';
import { patchUarts } from './patches/pl011.mjs';
import { patchRegisters } from './patches/registers.mjs';
import { patchTimer } from './patches/timer.mjs';
import { carryOver, patchWatchdog } from './patches/watchdog.mjs';

/** The program's vector table lies behind the second-stage boot loader. */
export const VECTOR_TABLE = 0x1000_0100;
const HARD_FAULT = 3;

/**
 * `host`: what the ROM's functions need (boot-rom.mjs), `randomByte()`, `watchdogReset()`, `faulted({code, pc, lr})` and
 * `warn(text)`. `remains`: what a watchdog reset left (patches/watchdog.mjs), or nothing after power-on.
 */
export function makeChip(flash, host, remains) {
  const rp = new RP2040(new Clock());
  patchEvents(rp, (text) => host.warn(text));
  rp.loadBootrom(bootRom());
  useFlash(rp, flash);
  patchUarts(rp);
  patchI2c(rp);
  patchPio(rp);
  patchDma(rp);
  patchTimer(rp);
  patchRegisters(rp, () => host.randomByte());
  patchWatchdog(rp, () => host.watchdogReset());
  if (remains) carryOver(rp, remains);
  rp.onBreak = (code) => {
    if (serveTrap(rp.core, code, host)) return;
    const { PC, LR } = rp.core;
    host.faulted({ code, pc: PC - 2, lr: LR });
    // rp2040js goes on behind a breakpoint or undefined instruction; the processor does not (ARMv6-M ARM, B1.5.6).
    rp.core.exceptionEntry(HARD_FAULT);
  };
  rp.core.VTOR = VECTOR_TABLE;
  rp.core.reset();
  return rp;
}

/** The chip reads the flash where it lies, so that what is written outlives the chip. */
function useFlash(rp, { bytes }) {
  rp.flash = bytes;
  rp.flash16 = new Uint16Array(bytes.buffer);
  rp.flashView = new DataView(bytes.buffer);
}

// The Pico's flash chip, a Winbond W25Q16JV: its content, how long it works on an erase or a page, and what is left when the
// power goes meanwhile. Times are the typical ones of its datasheet (rev. G, §9.6). It knows nothing of the bus.

import { MICROSECOND, MILLISECOND } from './world-clock.mjs';

export const FLASH_LEN = 2 * 1024 * 1024;
export const PAGE_LEN = 256;
export const SECTOR_LEN = 4_096;
export const BLOCK_LEN = 64 * 1024;

export const PAGE_PROGRAM_NANOS = 400 * MICROSECOND;
export const SECTOR_ERASE_NANOS = 45 * MILLISECOND;
export const BLOCK_ERASE_NANOS = 150 * MILLISECOND;

/** How a cut leaves a sector or page: its bytes done from the start, or its bits done here and there, as cells really do. */
export const TEARS = ['ordered', 'scattered'];

/** A number in 0..1 that depends on seed and index alone, so that a torn flash can be made again. */
function chance(seed, index) {
  let x = (index ^ Math.imul(seed + 1, 0x9e3779b1)) >>> 0;
  x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return ((x ^ (x >>> 15)) >>> 0) / 2 ** 32;
}

/** One erase or program command of the chip: its duration, and the byte that each address has when it is done. */
class Step {
  constructor(at, len, duration_nanos, wanted) {
    Object.assign(this, { at, len, duration_nanos, wanted });
  }

  apply(bytes, done, tear, seed) {
    for (let i = 0; i < this.len; i++) {
      const [old, wanted] = [bytes[this.at + i], this.wanted(i, bytes[this.at + i])];
      if (done >= 1) bytes[this.at + i] = wanted;
      else if (tear === 'ordered') bytes[this.at + i] = i < done * this.len ? wanted : old;
      else bytes[this.at + i] = tornByte(old, wanted, (bit) => chance(seed, (this.at + i) * 8 + bit) < done);
    }
  }
}

function tornByte(old, wanted, isDone) {
  let byte = old;
  for (let bit = 0; bit < 8; bit++) {
    const mask = 1 << bit;
    if (((old ^ wanted) & mask) && isDone(bit)) byte ^= mask;
  }
  return byte;
}

export class W25q16 {
  bytes = new Uint8Array(FLASH_LEN).fill(0xff);
  /** Erases of each sector, by its address: wear. */
  erases = new Map();
  pages_programmed = 0;

  constructor({ tear = 'ordered', seed = 1 } = {}) {
    if (!TEARS.includes(tear)) throw new Error(`a flash is torn ${TEARS.join(' or ')}, not ${tear}`);
    Object.assign(this, { tear, seed });
  }

  /** Puts an image in, as a programmer would: no time passes. */
  load(image, at = 0) {
    this.bytes.set(image, at);
  }

  /** The steps of erasing whole sectors, 64 KiB at once where it can be. */
  erase(at, len) {
    const steps = [];
    for (let offset = at; offset < at + len; ) {
      const isBlock = offset % BLOCK_LEN === 0 && at + len - offset >= BLOCK_LEN;
      const step_len = isBlock ? BLOCK_LEN : SECTOR_LEN;
      steps.push(new Step(offset, step_len, isBlock ? BLOCK_ERASE_NANOS : SECTOR_ERASE_NANOS, () => 0xff));
      for (let sector = offset; sector < offset + step_len; sector += SECTOR_LEN) {
        this.erases.set(sector, (this.erases.get(sector) ?? 0) + 1);
      }
      offset += step_len;
    }
    return new FlashOperation(this, 'erase', steps);
  }

  /** The steps of programming; bits only go from 1 to 0. */
  program(at, data) {
    const steps = [];
    for (let offset = 0; offset < data.length; offset += PAGE_LEN) {
      const page = data.slice(offset, offset + PAGE_LEN);
      steps.push(new Step(at + offset, page.length, PAGE_PROGRAM_NANOS, (i, old) => old & page[i]));
      this.pages_programmed++;
    }
    return new FlashOperation(this, 'program', steps);
  }
}

/** An erase or program that takes its time. Either it is finished, or a power cut leaves it where it was. */
export class FlashOperation {
  constructor(flash, kind, steps) {
    Object.assign(this, { flash, kind, steps });
    this.at = steps[0]?.at ?? 0;
    this.duration_nanos = steps.reduce((sum, step) => sum + step.duration_nanos, 0);
  }

  finish() {
    this.cut(this.duration_nanos);
  }

  cut(elapsed_nanos) {
    const { bytes, tear, seed } = this.flash;
    for (const step of this.steps) {
      if (elapsed_nanos <= 0) return;
      step.apply(bytes, elapsed_nanos / step.duration_nanos, tear, seed);
      elapsed_nanos -= step.duration_nanos;
    }
  }
}

// Peripherals that rp2040js does not have and a program reads: cache control, ring oscillator, reset reason of the chip.

import { BasePeripheral } from 'rp2040js';

const [XIP_CTRL, ROSC, VREG_AND_CHIP_RESET] = [0x14000, 0x40060, 0x40064];
const [XIP_CTRL_ENABLE, XIP_STAT] = [0x00, 0x08];
const ENABLED_ALLOCATING = 0b11;
const FIFO_EMPTY = 1 << 1;
const FLUSH_READY = 1 << 0;

/**
 * Cache control (datasheet §2.6.3): every flush is done at once, nothing is streamed. rp2040js reads ones there, so that a
 * flush or stream never ends.
 */
class XipControl extends BasePeripheral {
  readUint32(offset) {
    if (offset === XIP_STAT) return FIFO_EMPTY | FLUSH_READY;
    return offset === XIP_CTRL_ENABLE ? ENABLED_ALLOCATING : 0;
  }

  writeUint32() {}
}

const [ROSC_STATUS, ROSC_RANDOM_BIT] = [0x18, 0x1c];
const ROSC_STABLE = (1 << 31) >>> 0;
const ROSC_ENABLED = 1 << 12;

/** Ring oscillator (datasheet §2.17): stable, and its random bit is random; rp2040js gives ones for ever. */
class RingOscillator extends BasePeripheral {
  #registers = new Map();

  constructor(rp, randomByte) {
    super(rp, 'ROSC');
    this.randomByte = randomByte;
  }

  readUint32(offset) {
    if (offset === ROSC_STATUS) return ROSC_STABLE | ROSC_ENABLED;
    if (offset === ROSC_RANDOM_BIT) return this.randomByte() & 1;
    return this.#registers.get(offset) ?? 0;
  }

  writeUint32(offset, value) {
    this.#registers.set(offset, value);
  }
}

const CHIP_RESET = 0x08;
const HAD_POWER_ON_RESET = 1 << 8;
const VREG_DEFAULT = 0xb1;

/** Voltage regulator and chip reset (datasheet §2.10): says that the last reset of the chip was power-on. */
class ChipReset extends BasePeripheral {
  readUint32(offset) {
    return offset === CHIP_RESET ? HAD_POWER_ON_RESET : VREG_DEFAULT;
  }

  writeUint32() {}
}

export function patchRegisters(rp, randomByte) {
  rp.peripherals[XIP_CTRL] = new XipControl(rp, 'XIP_CTRL');
  rp.peripherals[ROSC] = new RingOscillator(rp, randomByte);
  rp.peripherals[VREG_AND_CHIP_RESET] = new ChipReset(rp, 'VREG_AND_CHIP_RESET');
}

// The PL011 UART (ARM DDI 0183; RP2040 datasheet §4.2) in the place of rp2040js's, which sends in no time, raises no receive
// time-out and never clears its transmit interrupt, so that interrupt-driven drivers hang or spin. Here every byte takes its
// time on the line, FIFOs fill and overrun, and interrupts follow their levels.

import { BasePeripheral } from 'rp2040js';

const [DR, RSR, FR, IBRD, FBRD, LCR, CR, IFLS] = [0x00, 0x04, 0x18, 0x24, 0x28, 0x2c, 0x30, 0x34];
const [IMSC, RIS, MIS, ICR, DMACR] = [0x38, 0x3c, 0x40, 0x44, 0x48];
/** PrimeCell identification, UARTPeriphID0 to UARTPCellID3. */
const IDS = new Map([
  [0xfe0, 0x11], [0xfe4, 0x10], [0xfe8, 0x34], [0xfec, 0x00], [0xff0, 0x0d], [0xff4, 0xf0], [0xff8, 0x05], [0xffc, 0xb1],
]);

const RX_INT = 1 << 4;
const TX_INT = 1 << 5;
const RX_TIMEOUT_INT = 1 << 6;
const OVERRUN_INT = 1 << 10;
const FRAMING_INT = 1 << 7;
const DATA_OVERRUN = 1 << 11;
const DATA_FRAMING = 1 << 8;
const CR_ENABLE = 1 << 0;
const CR_RX_ENABLE = 1 << 9;
const LCR_FIFO_ENABLE = 1 << 4;
const DMA_RX = 1 << 0;
const DMA_TX = 1 << 1;
const FIFO_LEN = 32;
/** Fill levels by the value of UARTIFLS. */
const LEVELS = [4, 8, 16, 24, 28];
const BITS_PER_BYTE = 10;
const RX_TIMEOUT_BITS = 32;

export class Pl011 extends BasePeripheral {
  /** Called with each byte that left, and the baud rate it was sent at. */
  onByte = () => {};
  overruns = 0;
  #registers = { cr: 0x300, lcr: 0, ifls: 0x12, ibrd: 0, fbrd: 0, imsc: 0, dmacr: 0 };
  #raw = 0;
  #rx = [];
  #tx = [];
  #sending = null;
  #overrun = false;

  constructor(rp, name, irq, dreq) {
    super(rp, name);
    this.irq = irq;
    this.dreq = dreq;
    this.sent = rp.clock.createAlarm(() => this.#byteSent());
    this.rxTimeout = rp.clock.createAlarm(() => this.#raise(this.#rx.length > 0 ? RX_TIMEOUT_INT : 0));
  }

  get baud() {
    const { ibrd, fbrd } = this.#registers;
    return (this.rp2040.clkPeri * 4) / (64 * ibrd + fbrd || 1);
  }

  get #bit_nanos() {
    return 1e9 / this.baud;
  }

  get #depth() {
    return this.#registers.lcr & LCR_FIFO_ENABLE ? FIFO_LEN : 1;
  }

  get #rxLevel() {
    return this.#depth === 1 ? 1 : LEVELS[(this.#registers.ifls >> 3) & 7];
  }

  get #txLevel() {
    return this.#depth === 1 ? 0 : LEVELS[this.#registers.ifls & 7];
  }

  /** A byte arrived on the line; sent at another speed its stop bit is not where it should be. */
  receive(byte, { isFramed = true } = {}) {
    const enabled = CR_ENABLE | CR_RX_ENABLE;
    if ((this.#registers.cr & enabled) !== enabled) return;
    let raised = isFramed ? 0 : FRAMING_INT;
    if (this.#rx.length >= this.#depth) {
      this.overruns++;
      this.#overrun = true;
      raised |= OVERRUN_INT;
    } else {
      this.#rx.push(byte | (this.#overrun ? DATA_OVERRUN : 0) | (isFramed ? 0 : DATA_FRAMING));
      this.#overrun = false;
    }
    if (this.#rx.length >= this.#rxLevel) raised |= RX_INT;
    this.rxTimeout.schedule(this.#bit_nanos * RX_TIMEOUT_BITS);
    this.#raise(raised);
  }

  #raise(interrupts) {
    this.#raw |= interrupts;
    this.#update();
  }

  #update() {
    this.rp2040.setInterrupt(this.irq, (this.#raw & this.#registers.imsc) !== 0);
    const { dmacr } = this.#registers;
    this.#request(this.dreq.tx, dmacr & DMA_TX && this.#tx.length < this.#depth);
    this.#request(this.dreq.rx, dmacr & DMA_RX && this.#rx.length > 0);
  }

  #request(channel, wanted) {
    if (wanted) this.rp2040.dma.setDREQ(channel);
    else this.rp2040.dma.clearDREQ(channel);
  }

  #startByte() {
    if (this.#sending !== null || this.#tx.length === 0) return;
    this.#sending = this.#tx.shift();
    this.sent.schedule(this.#bit_nanos * BITS_PER_BYTE);
    // The interrupt comes from passing the level on the way down, not from being under it (DDI 0183 §2.8.1).
    this.#raise(this.#tx.length === this.#txLevel ? TX_INT : 0);
  }

  #byteSent() {
    const byte = this.#sending;
    this.#sending = null;
    this.#startByte();
    this.onByte(byte, this.baud);
  }

  #take() {
    const data = this.#rx.shift() ?? 0;
    if (this.#rx.length < this.#rxLevel) this.#raw &= ~RX_INT;
    if (this.#rx.length === 0) {
      this.#raw &= ~RX_TIMEOUT_INT;
      this.rxTimeout.cancel();
    }
    this.#update();
    return data;
  }

  #put(byte) {
    if (this.#tx.length >= this.#depth) return;
    this.#tx.push(byte);
    if (this.#tx.length > this.#txLevel) this.#raw &= ~TX_INT;
    this.#startByte();
    this.#update();
  }

  get #flags() {
    const busy = this.#sending !== null || this.#tx.length > 0;
    return (
      (this.#tx.length === 0 ? 1 << 7 : 0) |
      (this.#rx.length >= this.#depth ? 1 << 6 : 0) |
      (this.#tx.length >= this.#depth ? 1 << 5 : 0) |
      (this.#rx.length === 0 ? 1 << 4 : 0) |
      (busy ? 1 << 3 : 0)
    );
  }

  readUint32(offset) {
    const registers = this.#registers;
    switch (offset) {
      case DR: return this.#take();
      case RSR: return 0;
      case FR: return this.#flags;
      case IBRD: return registers.ibrd;
      case FBRD: return registers.fbrd;
      case LCR: return registers.lcr;
      case CR: return registers.cr;
      case IFLS: return registers.ifls;
      case IMSC: return registers.imsc;
      case RIS: return this.#raw;
      case MIS: return this.#raw & registers.imsc;
      case ICR: return 0;
      case DMACR: return registers.dmacr;
      default: return IDS.get(offset) ?? super.readUint32(offset);
    }
  }

  writeUint32(offset, value) {
    const registers = this.#registers;
    switch (offset) {
      case DR: return this.#put(value & 0xff);
      case RSR: return undefined;
      case IBRD: registers.ibrd = value & 0xffff; break;
      case FBRD: registers.fbrd = value & 0x3f; break;
      case LCR: registers.lcr = value & 0xff; break;
      case CR: registers.cr = value; break;
      case IFLS: registers.ifls = value & 0x3f; break;
      case IMSC: registers.imsc = value & 0x7ff; break;
      case ICR: this.#raw &= ~this.rawWriteValue; break;
      case DMACR: registers.dmacr = value & 7; break;
      default: return super.writeUint32(offset, value);
    }
    return this.#update();
  }

  /** rp2040js tells its UARTs of a new clock; a byte under way keeps its length. */
  clkPeriChanged() {}
}

/** Puts both UARTs in. */
export function patchUarts(rp) {
  const [irq_first, dreq_first] = [20, 20];
  for (const index of [0, 1]) {
    const dreq = { tx: dreq_first + 2 * index, rx: dreq_first + 1 + 2 * index };
    rp.uart[index] = new Pl011(rp, `UART${index}`, irq_first + index, dreq);
    rp.peripherals[0x40034 + 4 * index] = rp.uart[index];
  }
}

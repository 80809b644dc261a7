// The line between the modem and UART 0: 115,200 baud, 8N1, no flow control. Bytes towards the Pico wait here, one leaves
// each 87 µs; the line goes on when the Pico restarts.

import { SECOND } from '../world-clock.mjs';

export const BAUD = 115_200;
const BITS_PER_BYTE = 10;
const BYTE_NANOS = (SECOND * BITS_PER_BYTE) / BAUD;
/** A receiver keeps its place in a byte up to this deviation. */
const BAUD_DEVIATION_MAX = 0.03;

export class Serial {
  /** Bytes that went each way. */
  traffic = { to_pico: 0, from_pico: 0 };
  onByte = () => {};
  /** Called when the last byte left. */
  onIdle = () => {};
  #queue = [];
  #uart = null;
  #timer = null;

  attach(rp, world) {
    this.#uart = rp.uart[0];
    this.#uart.onByte = (byte, baud) => {
      this.traffic.from_pico++;
      const isReadable = Math.abs(baud / BAUD - 1) <= BAUD_DEVIATION_MAX;
      this.onByte(isReadable ? byte : 0xff);
    };
    this.#timer ??= world.timer(() => this.#next());
  }

  /** Bytes that wait to be sent. */
  get waiting_len() {
    return this.#queue.length;
  }

  /** Sends text or bytes; at another speed, as the boot loader does, the Pico sees framing errors. */
  send(bytes, { isFramed = true } = {}) {
    for (const byte of Buffer.from(bytes)) this.#queue.push({ byte, isFramed });
    if (this.#timer && !this.#timer.isScheduled && this.#queue.length > 0) this.#timer.schedule(BYTE_NANOS);
  }

  clear() {
    this.#queue = [];
    this.#timer?.cancel();
  }

  #next() {
    const { byte, isFramed } = this.#queue.shift();
    this.traffic.to_pico++;
    this.#uart?.receive(byte, { isFramed });
    if (this.#queue.length > 0) this.#timer.schedule(BYTE_NANOS);
    else this.onIdle();
  }
}

// The program's log: a serial port over USB. It plays the host that opens the port, and gives the log by lines.

import { USBCDC } from 'rp2040js';

/** A line without an end is cut here. */
const LINE_LEN_MAX = 4_096;

export class UsbLog {
  #rest = '';
  #decoder = new TextDecoder();

  constructor(onLine) {
    this.onLine = onLine;
  }

  attach(rp) {
    // A restart ends the line that was under way.
    this.#flush();
    const port = new USBCDC(rp.usbCtrl);
    port.onSerialData = (bytes) => this.#take(this.#decoder.decode(bytes, { stream: true }));
  }

  powerLost() {
    this.#flush();
  }

  #take(text) {
    const lines = (this.#rest + text).split('\n');
    this.#rest = lines.pop();
    lines.forEach((line) => this.onLine(line.trimEnd()));
    if (this.#rest.length > LINE_LEN_MAX) this.#flush();
  }

  #flush() {
    if (this.#rest) this.onLine(this.#rest.trimEnd());
    this.#rest = '';
  }
}

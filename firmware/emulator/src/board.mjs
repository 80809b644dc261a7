// The whole device as it lies on a table: Pico, modem, sensors, switch, LED, and the USB cable to the log. It wires; each
// part is in a file of its own.

import { EventEmitter } from 'node:events';
import { readFileSync } from 'node:fs';

import { flashImage } from './elf.mjs';
import { Air, Network } from './esp8266/air.mjs';
import { Esp8266 } from './esp8266/modem.mjs';
import { Pace } from './pace.mjs';
import { Patient } from './patient.mjs';
import { Pico } from './pico.mjs';
import { Led, Switch } from './pins.mjs';
import { AnalogInputs } from './sensors/analog.mjs';
import { Ds18b20 } from './sensors/ds18b20.mjs';
import { I2cBus } from './sensors/i2c-bus.mjs';
import { Mpu6050 } from './sensors/mpu6050.mjs';
import { UsbLog } from './usb-log.mjs';
import { W25q16 } from './w25q16.mjs';

/** Where the firmware keeps what (crates/device/src/flash.rs). */
export const FLASH_MAP = {
  identity: { at: 512 * 1024, len: 4_096 },
  settings: { at: 516 * 1024, len: 4 * 4_096 },
  outbox: { at: 576 * 1024, len: 2 * 1024 * 1024 - 576 * 1024 },
};
/** Lines of the log that are kept. */
const LOG_LINES_MAX = 2_000;

/**
 * Events: `log` (line), `led` (isLit), and those of `pico` and `modem`, which are public.
 *
 * `elf`: the firmware's file. `identity`: the bytes of its sector. `flash`: a W25q16 from before. `speed`: emulated by real
 * time, at most.
 */
export class Board extends EventEmitter {
  log = [];

  constructor({ elf, identity, flash, tear, switch_position, patient = {}, networks, ports, speed = 1 } = {}) {
    super();
    this.patient = new Patient(patient);
    this.pico = new Pico({ flash: flash ?? new W25q16({ tear }) });
    if (elf) this.pico.flash.load(flashImage(readFileSync(elf)));
    if (identity) this.pico.flash.load(identity, FLASH_MAP.identity.at);
    this.air = new Air((networks ?? [{ name: 'ward', password: 'a long password' }]).map(({ name, ...rest }) => new Network(name, rest)));
    this.modem = new Esp8266(this.air, { ports });
    this.switch = new Switch(switch_position);
    this.led = new Led();
    this.analog = new AnalogInputs(this.patient);
    this.mpu6050 = new Mpu6050(this.patient);
    this.ds18b20 = new Ds18b20(this.patient);
    this.#wire();
    this.pace = new Pace(this.pico, { speed });
  }

  #wire() {
    const usb = new UsbLog((line) => this.#logged(line));
    this.led.onChange = (isLit) => this.emit('led', isLit);
    for (const part of [this.switch, this.led, this.analog, new I2cBus(this.mpu6050), this.ds18b20, this.modem, usb]) {
      this.pico.wire(part);
    }
  }

  #logged(line) {
    this.log.push(line);
    if (this.log.length > LOG_LINES_MAX) this.log.shift();
    this.emit('log', line);
  }

  get sensors() {
    const setter = (part, property) => (isThere) => (part[property] = isThere);
    return {
      pulse: setter(this.analog, 'pulse_connected'),
      movement: setter(this.mpu6050, 'connected'),
      temperature: setter(this.ds18b20, 'connected'),
    };
  }

  /** Takes a sensor off, or puts it back. */
  connectSensor(name, isThere) {
    const set = this.sensors[name];
    if (!set) throw new Error(`there are the sensors ${Object.keys(this.sensors).join(', ')}, not ${name}`);
    set(isThere);
  }

  /** Takes the power away in the middle of the flash's next operation that `matches`, at this part of its time. */
  cutInFlash(part, matches = () => true) {
    const { pico } = this;
    const begin = (operation) => {
      if (!matches(operation)) return;
      pico.off('flash', begin);
      pico.world.after(part * operation.duration_nanos, () => pico.cutPower());
    };
    pico.on('flash', begin);
  }

  start() {
    this.pico.powerOn();
    this.pace.start();
  }

  /** Stands still, and lets go of all sockets. */
  async stop() {
    await this.pace.stop();
    this.pico.cutPower();
  }
}

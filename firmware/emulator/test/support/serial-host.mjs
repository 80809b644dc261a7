// A program on the other end of the modem's line, without a chip: sends commands, waits for what the modem says.

import { setImmediate as turn } from 'node:timers/promises';

import { Air, Network } from '../../src/esp8266/air.mjs';
import { Esp8266 } from '../../src/esp8266/modem.mjs';
import { MILLISECOND, WorldClock } from '../../src/world-clock.mjs';

const PATIENCE_MILLIS = 60_000;

export function serialHost({ networks = [{ name: 'ward', password: 'a long password' }], ports } = {}) {
  const world = new WorldClock();
  const air = new Air(networks.map(({ name, ...rest }) => new Network(name, rest)));
  const modem = new Esp8266(air, { ports });
  let heard = '';
  const uart = { receive: (byte, { isFramed }) => (heard += isFramed ? String.fromCharCode(byte) : '?'), onByte: () => undefined };
  modem.attach({ uart: [uart] }, world);

  /** Lets time pass until the modem said this; gives back and forgets all up to there. */
  async function until(text) {
    const end = performance.now() + PATIENCE_MILLIS;
    while (!heard.includes(text)) {
      if (performance.now() > end) throw new Error(`the modem did not say ${JSON.stringify(text)}, but ${JSON.stringify(heard)}`);
      world.clock.tick(MILLISECOND);
      await turn();
    }
    const at = heard.indexOf(text) + text.length;
    const said = heard.slice(0, at);
    heard = heard.slice(at);
    return said;
  }

  const write = (bytes) => Buffer.from(bytes, 'latin1').forEach((byte) => uart.onByte(byte, 115_200));
  return {
    world,
    air,
    modem,
    uart,
    until,
    write,
    /** Sends a command and waits for its end. */
    command: (line, end = '\r\nOK\r\n') => (write(`${line}\r\n`), until(end)),
    pass: (nanos) => world.clock.tick(nanos),
    get heard() {
      return heard;
    },
    close: () => modem.powerLost(),
  };
}

/** A modem that is ready, without echo, with several connections, on the network unless told otherwise. */
export async function readyModem(options = {}) {
  const host = serialHost(options);
  await host.until('ready\r\n');
  await host.command('ATE0');
  await host.command(`AT+CWMODE_CUR=${options.mode ?? 1}`);
  await host.command('AT+CIPMUX=1');
  if ((options.mode ?? 1) === 1 && options.isJoined !== false) await host.command('AT+CWJAP_CUR="ward","a long password"');
  return host;
}

// The emulated device beside a real gateway, for end-to-end tests: the firmware of this repository, an identity made by
// `vitalwire device provision`, a subscriber. Everything is waited for, with the patience of a slow machine.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

import { Board } from '../../src/board.mjs';
import { firmware } from '../../src/builds.mjs';
import { Gateway } from '../../src/gateway.mjs';
import { readIdentity } from '../../src/identity.mjs';

export const PATIENCE_MILLIS = 240_000;
export const DEVICE = 'bed_07';
/** Where the settings say that the server is; the emulated air leads there from here. */
export const SERVER = { host: '192.168.7.10', port: 9_998 };
/** The topics of a device's seven values (PROTOCOL.md). */
export const VALUES = {
  temperature: 'Physiological_Data/Temperature',
  mcu_temperature: 'Internal_Device_Data/Temperature/MCU',
  mpu_temperature: 'Internal_Device_Data/Temperature/MPU',
  pulse: 'Physiological_Data/Pulse_Signal',
  x: 'Physiological_Data/Accelerometer/x',
  y: 'Physiological_Data/Accelerometer/y',
  z: 'Physiological_Data/Accelerometer/z',
};
export const WARD = { name: 'ward', password: 'a long password' };

export class Bench {
  /** Lines of everything that happened; VITALWIRE_STORY=1 shows them as they come. */
  story = [];
  #waiting = new Set();

  /**
   * A gateway and a device that knows it, not started. `options` are the board's; `protocol` is that of `vitalwire device
   * add`.
   */
  static async make(context, { protocol, networks = [WARD], ...options } = {}) {
    const bench = new Bench();
    bench.gateway = await Gateway.make();
    context.after(() => bench.end());
    bench.identity = await bench.gateway.provision(DEVICE, { protocol });
    bench.setup_key = readIdentity(bench.identity).setup_key;
    await bench.gateway.start();
    bench.board = new Board({ elf: firmware(), identity: bench.identity, networks, ...options });
    bench.board.air.routes.set(`${SERVER.host}:${SERVER.port}`, { host: '127.0.0.1', port: bench.gateway.port });
    bench.#listen();
    return bench;
  }

  get settings() {
    return { server: SERVER.host, port: SERVER.port, network: WARD.name, password: WARD.password };
  }

  #listen() {
    const { board } = this;
    board.on('log', (line) => this.tell('log', line));
    board.modem.on('command', (line) => this.tell('at', line));
    board.modem.on('said', (line) => this.tell('modem', line.trim()));
    board.modem.on('listening', (port, host_port) => {
      if (port === 80) this.page_port = host_port;
      this.tell('modem', `listening on ${port}`);
    });
    board.pico.on('start', (reason) => this.tell('board', `start by ${reason}`));
    board.pico.on('power-lost', () => this.tell('board', 'power lost'));
    board.pico.on('fault', ({ pc }) => this.tell('board', `fault at 0x${pc.toString(16)}`));
    board.pico.on('flash', ({ kind, at }) => this.tell('flash', `${kind} at 0x${at.toString(16)}`));
    board.pico.on('pace-failed', () => this.tell('board', 'the emulation failed'));
  }

  tell(source, text) {
    const line = `${(this.board.pico.world.nanos / 1e9).toFixed(3).padStart(9)} ${source.padEnd(5)} ${text}`;
    this.story.push(line);
    if (process.env.VITALWIRE_STORY) console.error(line);
    for (const waiting of this.#waiting) waiting();
  }

  /** A place in the story, to wait for what comes behind it. */
  get now() {
    return this.story.length;
  }

  /** Waits until a line of the story behind `from` matches; gives the match. */
  async told(pattern, from = 0) {
    let match = null;
    await this.until(`the story tells ${pattern}`, () => {
      for (; from < this.story.length && !match; from++) match = this.story[from].match(pattern);
      return match !== null;
    });
    return match;
  }

  /** Waits until this is so, looking whenever something happens and now and then. */
  async until(what, isSo) {
    const end = performance.now() + PATIENCE_MILLIS;
    while (!(await isSo())) {
      if (performance.now() > end) throw new Error(`never: ${what}`);
      await new Promise((resolve) => {
        const next = () => {
          clearTimeout(timer);
          this.#waiting.delete(next);
          resolve();
        };
        const timer = setTimeout(next, 100);
        this.#waiting.add(next);
      });
    }
  }

  /** The port of this machine where the configuration page is, once it is there. */
  async page() {
    await this.told(/listening on 80/, this.page_from ?? 0);
    return this.page_port;
  }

  /** Moves the switch and waits for the restart that it makes. */
  async switchTo(position) {
    const from = this.now;
    this.page_from = from;
    this.board.switch.move(position);
    await this.told(/start by watchdog/, from);
    return from;
  }

  /** Messages of the MQTT topics of the device, as they come: a Map of topic to values. */
  async subscribe() {
    const { user, mqtt_port } = this.gateway;
    const subscriber = spawn(
      'stdbuf',
      // Into a pipe it would keep its lines to itself until there are many.
      ['-oL', 'mosquitto_sub', '-h', '127.0.0.1', '-p', String(mqtt_port), '-u', user.name, '-P', user.password, '-t', `Pico/${DEVICE}/#`, '-v', '-d'],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    this.subscriber = subscriber;
    const topics = new Map();
    const lines = createInterface({ input: subscriber.stdout });
    const subscribed = new Promise((resolve) => {
      lines.on('line', (line) => {
        if (line.startsWith('Subscribed')) resolve();
        const match = line.match(/^Pico\/[^/]+\/(\S+) (.*)$/);
        if (!match) return;
        if (!topics.has(match[1])) topics.set(match[1], []);
        topics.get(match[1]).push(match[2]);
      });
    });
    const ended = once(subscriber, 'exit').then(([code]) => {
      throw new Error(`mosquitto_sub ended with ${code}`);
    });
    ended.catch(() => undefined);
    await Promise.race([subscribed, ended]);
    return topics;
  }

  /**
   * Samples of a channel that the gateway has, and whether their times have a gap. A new connection of a device whose
   * emulation fell behind shifts its times, which looks like one: what was lost, `gateway.missing` tells.
   */
  async stored(channel = 'Pulse_Signal') {
    const stretches = await this.gateway.history(DEVICE, { channel, points: 1 }).catch(() => []);
    return {
      samples: stretches.reduce((sum, { samples }) => sum + samples, 0),
      hasGap: stretches.some(({ gap_before, gap_within }) => gap_before || gap_within),
    };
  }

  async end() {
    const { board, gateway, subscriber } = this;
    const failure = await board?.stop().then(() => null, (error) => error);
    if (subscriber && subscriber.exitCode === null) {
      const ended = once(subscriber, 'exit');
      subscriber.kill();
      await ended;
    }
    await gateway.remove();
    if (failure) throw failure;
  }
}

/** Runs a test on a bench; when it fails, its story is shown. */
export function onBench(options, body) {
  return async (context) => {
    const bench = await Bench.make(context, options);
    try {
      await body(bench, context);
    } catch (error) {
      context.diagnostic([...bench.story.slice(-80), ...bench.gateway.log.slice(-10)].join('\n'));
      throw error;
    }
  };
}

// A real gateway for an emulated device: `vitalwire serve` with a data folder of its own and ports of the system's choice.
// It is ended by its process id, and its folder is removed.

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { vitalwire } from './builds.mjs';

const run = promisify(execFile);

export class Gateway {
  #child = null;
  #folder = mkdtempSync(join(tmpdir(), 'vitalwire-emulator-'));
  log = [];

  /** A data folder with a user who may read everything. */
  static async make() {
    const gateway = new Gateway();
    await gateway.command('init');
    gateway.user = { name: 'nurse', password: '' };
    const { stdout } = await gateway.command('user', 'add', gateway.user.name, '--role', 'reader', '--generate');
    gateway.user.password = stdout.match(/\b[a-z0-9]{5}(?:-[a-z0-9]{5})+\b/)?.[0];
    return gateway;
  }

  get data() {
    return join(this.#folder, 'data');
  }

  /** Runs `vitalwire … --data FOLDER` to its end; throws with what it said. */
  command(...arguments_) {
    return run(vitalwire(), [...arguments_, '--data', this.data]);
  }

  /** Enrols a device and gives the bytes of its identity sector. */
  async provision(name, { protocol } = {}) {
    await this.command('device', 'add', name, ...(protocol ? ['--protocol', protocol] : []));
    const file = join(this.#folder, `${name}.bin`);
    await this.command('device', 'provision', name, '--bin', file);
    return readFileSync(file);
  }

  /** Starts it and waits until it listens; `port` and `mqtt_port` are its ports then. */
  async start({ port = 0, mqtt_port = 0, more = [] } = {}) {
    const off = ['--mqtt-tls-listen', 'off', '--mqtt-websocket-listen', 'off', '--metrics-listen', 'off'];
    const listen = ['--listen', `127.0.0.1:${port}`, '--mqtt-listen', `127.0.0.1:${mqtt_port}`];
    const child = spawn(vitalwire(), ['serve', '--data', this.data, ...listen, ...off, ...more], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child = child;
    createInterface({ input: child.stderr }).on('line', (line) => this.log.push(line));
    const [line] = await Promise.race([once(createInterface({ input: child.stdout }), 'line'), this.#ended(child)]);
    const port_of = (name) => Number(line.match(new RegExp(`\\b${name}=\\S*:(\\d+)`))[1]);
    [this.port, this.mqtt_port] = [port_of('devices'), port_of('mqtt')];
  }

  async #ended(child) {
    await once(child, 'exit');
    throw new Error(`vitalwire serve ended at once: ${this.log.join('\n')}`);
  }

  /** What the gateway has on its disk of a device's channel: one object for each stretch. */
  async history(device, { channel = 'Temperature', points = 1 } = {}) {
    const { stdout } = await this.command('history', device, '--channel', channel, '--points', String(points), '--json');
    return stdout.trim().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  }

  /** Batches of a device that the gateway knows of and does not have: one line of text each. */
  async missing(device) {
    const { stdout } = await this.command('history', device, '--points', '1');
    return stdout.split('\n').filter((line) => /^batches \d+ to \d+ of boot/.test(line.trim()));
  }

  async stop() {
    const child = this.#child;
    this.#child = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGTERM');
    await ended;
  }

  async remove() {
    await this.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

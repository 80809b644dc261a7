// The real server with its dashboard and its broker over TLS, and what sends to it.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort, start, until } from '../../deploy/nodered/test/support/process.mjs';

export { freePort, until };

const PASSWORD = 'the bench looks at this ward';
/** Of USER_HZ, which Linux fixes at 100 a second. */
const TICK_MS = 10;

// What must be ended, the newest first.
export class Ends {
  #ends = [];
  after(end) {
    this.#ends.push(end);
  }
  async all() {
    while (this.#ends.length > 0) await this.#ends.pop()();
  }
}

export const folder = (ends) => {
  const made = mkdtempSync(join(tmpdir(), 'vitalwire-bench-'));
  ends.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
};

export class Server {
  #ends;
  #vitalwire;
  #ports = {};
  #running;
  home;
  data;
  user = 'bench';
  password = PASSWORD;

  static async start(ends, vitalwire) {
    const server = new Server();
    server.#ends = ends;
    server.#vitalwire = vitalwire;
    server.home = folder(ends);
    server.data = join(server.home, 'data');
    server.run(['init']);
    server.run(['user', 'add', server.user, '--role', 'reader', '--password-stdin'], `${PASSWORD}\n`);
    for (const name of ['devices', 'mqtt', 'tls', 'dashboard', 'slow']) server.#ports[name] = await freePort();
    return server;
  }

  run(args, input = '') {
    return execFileSync(this.#vitalwire, [...args, '--data', this.data], { input, encoding: 'utf8', stdio: ['pipe', 'pipe', 'pipe'] });
  }

  // Devices on the secure link; gives the file of their keys.
  enrol(name, count) {
    for (let at = 1; at <= count; at++) this.run(['device', 'add', `${name}_${String(at).padStart(3, '0')}`]);
    const file = join(this.home, `${name}.links`);
    const all = this.run(['device', 'links']);
    writeFileSync(file, all.split('\n').filter((line) => line.startsWith(`${name}_`)).join('\n') + '\n', { mode: 0o600 });
    return file;
  }

  async serve() {
    const { devices, mqtt, tls, dashboard, slow } = this.#ports;
    const local = (port) => `127.0.0.1:${port}`;
    const listen = ['--listen', local(devices), '--mqtt-listen', local(mqtt), '--mqtt-tls-listen', local(tls), '--dashboard-listen', local(dashboard)];
    const more = ['--dashboard-hosts', local(slow), '--mqtt-websocket-listen', 'off', '--metrics-listen', 'off'];
    const env = { ...process.env, VITALWIRE_DASHBOARD_LIVE_PER_USER_MAX: '2000' };
    this.#running = start(this.#ends, this.#vitalwire, ['serve', '--data', this.data, ...listen, ...more], { env });
    await this.#running.said('listening devices=');
    await until(() => fetch(`${this.url}/`).then(({ ok }) => ok, () => false), 'the dashboard');
  }

  get url() {
    return `http://127.0.0.1:${this.#ports.dashboard}`;
  }
  get slowPort() {
    return this.#ports.slow;
  }
  get dashboardPort() {
    return this.#ports.dashboard;
  }
  get mqttPort() {
    return this.#ports.mqtt;
  }
  get tlsPort() {
    return this.#ports.tls;
  }
  get certificate() {
    return join(this.data, 'tls/broker-certificate.pem');
  }

  // Software devices, all on the secure link.
  fleet(links, options) {
    return this.simulate(['fleet', '--protocol', 'tls', '--links', links, '--target', `127.0.0.1:${this.#ports.devices}`, ...options]);
  }

  // A device on virtual hardware.
  desk(name, options) {
    this.run(['device', 'add', name]);
    const file = join(this.home, `${name}.bin`);
    this.run(['device', 'provision', name, '--bin', file]);
    return this.simulate(['device', '--identity', file, '--server', `127.0.0.1:${this.#ports.devices}`, ...options]);
  }

  simulate(args) {
    return start(this.#ends, this.#vitalwire, ['simulate', ...args], { env: process.env });
  }

  // A new session: its cookie, as `{name, value}`.
  async login(url = this.url) {
    const body = JSON.stringify({ user: this.user, password: PASSWORD });
    const headers = { 'content-type': 'application/json', origin: url };
    const answer = await fetch(`${url}/api/v1/session`, { method: 'POST', headers, body });
    if (!answer.ok) throw Error(`the dashboard lets no one in: ${answer.status} ${await answer.text()}`);
    const [name, value] = answer.headers.get('set-cookie').split(';')[0].split('=');
    return { name, value };
  }

  // Milliseconds of processor that it used so far, in user and kernel mode.
  cpuMs() {
    const stat = readFileSync(`/proc/${this.#running.child.pid}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
  }

  residentBytes() {
    const status = readFileSync(`/proc/${this.#running.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1_024;
  }
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Percent of a core that the server uses in this time.
export const coreShare = async (server, ms) => {
  const [cpu, begun] = [server.cpuMs(), performance.now()];
  await pause(ms);
  return (100 * (server.cpuMs() - cpu)) / (performance.now() - begun);
};

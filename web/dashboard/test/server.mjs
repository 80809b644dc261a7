// The real server for the tests of the page: `vitalwire serve` on a data folder of its own, users, devices that send, and a wire between
// server and browser that can be cut.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

export const program = process.env.VITALWIRE;
export const PASSWORD = 'correct horse battery';

const ended = (child) => child.exitCode !== null || child.signalCode !== null;
const kill = async (child) => {
  if (!child || ended(child)) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
};

/** Runs a command to its end; what it prints. */
export const run = async (args, input = '') => {
  const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
  const said = ['', ''];
  child.stdout.on('data', (data) => (said[0] += data));
  child.stderr.on('data', (data) => (said[1] += data));
  child.stdin.end(input);
  await once(child, 'close');
  if (child.exitCode !== 0) throw Error(`vitalwire ${args.join(' ')}: ${said[1]}`);
  return said[0];
};

/** A port that no one uses, to come back at. None that the system gives to connections: Linux begins those at 32768. */
const freePort = async () => {
  for (;;) {
    const port = 20_000 + Math.floor(12_000 * Math.random());
    const server = createServer();
    const isFree = await new Promise((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    await new Promise((resolve) => server.close(resolve));
    if (isFree) return port;
  }
};

/** A wire from a port of its own to another one. Cut, it is as a cable that was pulled: nothing comes, and no one is told. */
const startWire = async () => {
  const wire = { target: 0, isCut: false };
  const pairs = new Set();
  const server = createServer((near) => {
    const far = connect(wire.target, '127.0.0.1');
    const pair = { isDead: wire.isCut, ends: [near, far] };
    pairs.add(pair);
    const joined = (from, to) => {
      from.on('data', (data) => !pair.isDead && to.write(data));
      from.on('error', () => undefined);
      from.on('close', () => {
        if (pair.isDead) return;
        to.destroy();
        pairs.delete(pair);
      });
    };
    joined(near, far);
    joined(far, near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  wire.port = server.address().port;
  wire.cut = () => {
    wire.isCut = true;
    for (const pair of pairs) pair.isDead = true;
  };
  wire.join = () => (wire.isCut = false);
  wire.stop = () => {
    for (const { ends } of pairs) ends.forEach((end) => end.destroy());
    server.close();
  };
  return wire;
};

/** A data folder with these users, name and role of each, and so many devices with the paper's frames, `bed_01` and so on. */
export const start = async ({ users = { ana: 'admin' }, devices = 0, flags = [] } = {}) => {
  const folder = mkdtempSync(join(tmpdir(), 'vitalwire-page-'));
  const data = join(folder, 'data');
  const wire = await startWire();
  await run(['init', '--data', data]);
  for (const [name, role] of Object.entries(users)) {
    await run(['user', 'add', name, '--role', role, '--password-stdin', '--data', data], PASSWORD);
  }
  const keys = [];
  for (let n = 1; n <= devices; n++) {
    const name = `bed_${String(n).padStart(2, '0')}`;
    keys.push(await run(['device', 'add', name, '--protocol', 'aes-cbc', '--data', data]));
    await run(['patient', 'set', name, '--name', `Patient ${n}`, '--bed', String(n), '--data', data]);
  }
  writeFileSync(join(folder, 'KEYS.txt'), keys.join(''), { mode: 0o600 });

  const it = { folder, data, wire, children: [], url: `http://127.0.0.1:${wire.port}/`, devicesPort: await freePort() };
  wire.target = await freePort();
  it.serve = async (more = []) => {
    const ports = ['--listen', `127.0.0.1:${it.devicesPort}`, '--dashboard-listen', `127.0.0.1:${wire.target}`, '--mqtt-listen', '127.0.0.1:0'];
    const off = ['--mqtt-tls-listen', '--mqtt-websocket-listen', '--metrics-listen'].flatMap((flag) => [flag, 'off']);
    const hosts = ['--dashboard-hosts', `127.0.0.1:${wire.port}`];
    const child = spawn(program, ['serve', '--data', data, ...ports, ...off, ...hosts, ...flags, ...more], {
      stdio: ['ignore', 'pipe', process.env.VITALWIRE_LOG ? 'inherit' : 'ignore'],
    });
    it.server = child;
    const died = once(child, 'exit').then(() => Promise.reject(Error('the server ended before it was ready')));
    await Promise.race([once(createInterface({ input: child.stdout }), 'line'), died]);
    died.catch(() => undefined);
  };
  it.kill = () => kill(it.server);
  /** The devices send, and these things happen to their patients. */
  it.send = (events = [], more = []) => {
    const about = ['--keys', join(folder, 'KEYS.txt'), '--target', `127.0.0.1:${it.devicesPort}`];
    const args = ['simulate', 'fleet', ...about, ...events.flatMap((event) => ['--event', event]), ...more];
    const child = spawn(program, args, { stdio: 'ignore' });
    it.children.push(child);
    return child;
  };
  /** They send no more. */
  it.silence = async () => {
    for (const child of it.children.splice(0)) await kill(child);
  };
  it.stop = async () => {
    await it.silence();
    await it.kill();
    wire.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await it.serve();
  } catch (error) {
    await it.stop();
    throw error;
  }
  return it;
};

/** Signs in on the page that is open. */
export const signIn = async (page, user) => {
  await page.getByLabel('User').fill(user);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByLabel('Password').press('Enter');
  await page.locator('main .ward').waitFor();
};

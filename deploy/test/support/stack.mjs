// A deployment in real containers, as deploy/compose.yml says, with ports of the system's choice on loopback. It goes with the test.
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { freePort, start, until } from '../../nodered/test/support/process.mjs';

export const DEPLOY = fileURLToPath(new URL('../..', import.meta.url));
const BUILT = join(DEPLOY, '../target/debug/vitalwire');
const OUTPUT_BYTES_MAX = 256 * 1024 * 1024;

export const executable = () => {
  const found = process.env.VITALWIRE ?? BUILT;
  if (!existsSync(found)) throw Error(`${found} is missing: run cargo build -p vitalwire, or name the program in VITALWIRE`);
  return found;
};

export const docker = (...args) => execFileSync('docker', args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX, stdio: ['pipe', 'pipe', 'pipe'] });

// What a program said and how it ended.
export const run = (command, args, options = {}) => {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8', maxBuffer: OUTPUT_BYTES_MAX, ...options });
  if (error) throw error;
  return { status, stdout, stderr };
};

// `overrides`: more compose files, as paths or as objects. `end` is called when the containers are gone.
export const stack = async (t, profiles, { overrides = [], env: more = {}, end } = {}) => {
  const home = mkdtempSync(join(tmpdir(), 'vitalwire-deploy-'));
  const project = `vitalwire-test-${randomBytes(4).toString('hex')}`;
  const [devices, mqtt, nodered, dashboard, https] = await Promise.all(Array.from({ length: 5 }, () => freePort()));
  const files = overrides.map((override, index) => {
    if (typeof override === 'string') return override;
    const file = join(home, `override-${index}.json`);
    writeFileSync(file, JSON.stringify(override));
    return file;
  });
  const env = {
    ...process.env,
    VITALWIRE_BIND: '127.0.0.1',
    VITALWIRE_DEVICES_PORT: String(devices),
    VITALWIRE_MQTT_PORT: String(mqtt),
    VITALWIRE_NODERED_PORT: String(nodered),
    VITALWIRE_DASHBOARD_PORT: String(dashboard),
    VITALWIRE_HTTPS_PORT: String(https),
    // Where an override looks for what support/standin.mjs makes.
    STANDIN: join(home, 'standin'),
    ...more,
  };
  const words = (args) => [
    ...['--project-name', project, '--project-directory', DEPLOY, '--file', join(DEPLOY, 'compose.yml')],
    ...files.flatMap((file) => ['--file', file]),
    ...profiles.flatMap((profile) => ['--profile', profile]),
    ...args,
  ];
  // Runs to its end, and must succeed unless `fails`.
  const compose = (args, { fails = false, input } = {}) => {
    const ended = run('docker-compose', words(args), { env, input });
    if ((ended.status === 0) === fails) throw Error(`docker-compose ${args.join(' ')}: ${ended.status}\n${ended.stdout}${ended.stderr}`);
    return ended;
  };
  // One hook, as node:test runs them from the first to the last.
  t.after(() => {
    run('docker-compose', words(['down', '--volumes', '--timeout', '2', '--remove-orphans']), { env });
    end?.();
    rmSync(home, { recursive: true, force: true });
  });
  const id = (service) => docker('ps', '--all', '--no-trunc', '--quiet', '--filter', `label=com.docker.compose.project=${project}`, '--filter', `label=com.docker.compose.service=${service}`, '--filter', 'label=com.docker.compose.oneoff=False').trim();
  const inspect = (service) => JSON.parse(docker('inspect', id(service)))[0];
  const logs = (service) => {
    const { stdout, stderr } = run('docker', ['logs', id(service)]);
    return stdout + stderr;
  };
  const healthy = (service) =>
    until(() => inspect(service).State.Health?.Status === 'healthy', `the health of ${service}`).catch((error) => {
      throw Error(`${error.message}\n${JSON.stringify(inspect(service).State)}\n${logs(service)}`);
    });
  // `vitalwire` in a running container.
  const vitalwire = (service, ...args) => docker('exec', id(service), '/bin/vitalwire', ...args);
  // Where a volume lies on this machine.
  const volume = (name) => docker('volume', 'inspect', '--format', '{{.Mountpoint}}', `${project}_${name}`).trim();
  const copy = (service, path, name) => {
    docker('cp', `${id(service)}:${path}`, join(home, name));
    return join(home, name);
  };

  // Devices on the secure link, enrolled at a service. Gives the file for `simulate fleet --links`.
  const enrol = (service, names) => {
    const lines = names.map((name) => {
      vitalwire(service, 'device', 'add', name);
      const psk = vitalwire(service, 'device', 'psk', name);
      return `${name} ${psk.match(/identity: (\S+)/)[1]} ${psk.match(/psk: (\S+)/)[1]}\n`;
    });
    const file = join(home, `${names[0]}.links`);
    writeFileSync(file, lines.join(''), { mode: 0o600 });
    return file;
  };
  const fleet = (options) => start(t, executable(), ['simulate', 'fleet', '--target', `127.0.0.1:${devices}`, '--json', ...options], { env: { PATH: process.env.PATH }, signal: 'SIGINT' });
  // What a subscriber that is none of ours sees, as { at, topic, payload }, until the test ends. Its session outlives its connection; when
  // the broker went away and it ended, it is started again. `said()` is what else it said.
  const subscriber = async ({ user, password, ca, topics }) => {
    const seen = [];
    let text = '';
    const take = (line) => {
      const [, topic, payload] = line.match(/^((?:Pico|vitalwire)\/\S+) (.*)$/) ?? [];
      if (topic) seen.push({ at: Date.now(), topic, payload });
      else if (!/ PUB(LISH|ACK) /.test(line)) text += `${line}\n`;
    };
    const args = ['-h', 'localhost', '-p', String(mqtt), '--cafile', ca, '-u', user, '-P', password, '-q', '1', '-v', '-d', '-c', '-i', `${project}-reader`, ...topics.flatMap((topic) => ['-t', topic])];
    let isOver = false;
    let child;
    const begin = () => {
      child = spawn('stdbuf', ['-oL', 'mosquitto_sub', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on('line', take);
      child.on('close', () => isOver || setTimeout(() => isOver || begin(), 200));
    };
    begin();
    t.after(() => {
      isOver = true;
      child.kill();
    });
    await until(() => {
      if (/not authori[sz]ed|Bad username/i.test(text)) throw Error(`mosquitto_sub is refused: ${text}`);
      return text.includes('Subscribed');
    }, 'a subscription');
    seen.said = () => text;
    return seen;
  };
  return { project, home, env, ports: { devices, mqtt, nodered, dashboard, https }, compose, id, inspect, logs, healthy, vitalwire, volume, copy, enrol, fleet, subscriber };
};

// The passwords that `init` shows, by the name of their user; those of one name in the order in which they stand.
export const passwords = (text) => {
  const found = {};
  for (const [, name, password] of text.matchAll(/(\S+) +((?:[a-z0-9]{5}-){3}[a-z0-9]{5})$/gm)) (found[name] ??= []).push(password);
  return found;
};

// What a fleet reports at its end.
export const report = async (fleet) => {
  const { code, text } = await fleet.ended();
  const line = text.split('\n').find((each) => each.startsWith('{'));
  if (!line) throw Error(`the fleet ended with ${code}:\n${text}`);
  return JSON.parse(line);
};

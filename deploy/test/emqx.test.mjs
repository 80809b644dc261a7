// Profiles `emqx` and `sniff`: the paper's layout. A fleet's samples go through the broker to Node-RED's page and to mosquitto_sub; the
// sniffers see nothing but TLS, and the paper's frames for what they are; the server is killed and no acknowledged reading is lost.
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { get, request } from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import { browser, open, tile } from '../nodered/test/support/browser.mjs';
import { until } from '../nodered/test/support/process.mjs';
import { loginLink, shows } from './support/dashboard.mjs';
import { isHardened, noSecretOutside } from './support/inspection.mjs';
import { INIT, ROTATE } from './support/readme.mjs';
import { DEPLOY, docker, passwords, report, run, stack } from './support/stack.mjs';
import { standin } from './support/standin.mjs';

const UP_MS_MAX = 60_000;
const SERVICES = ['gateway', 'emqx', 'nodered', 'sniff-gateway', 'sniff-emqx'];
const FLEET = 25;
const BACK_P99_MS_MAX = 5_000;
const PAPER_KEY = { id: 'iot_med_dev_01', key: '1234567890123456', iv: 'AAAAAAAAAAAAAAAA' };

const names = (prefix, count) => Array.from({ length: count }, (_, index) => `${prefix}_${String(index + 1).padStart(2, '0')}`);

// The status of an answer, over TLS that trusts our authority alone.
const status = (url, ca, headers = {}) =>
  new Promise((resolve, reject) => get(url, { ca: readFileSync(ca), headers }, (answer) => resolve(answer.resume().statusCode)).on('error', reject));

// The cookie of who logs in at Node-RED with this password, if it is right.
const logIn = (url, ca, name, password) =>
  new Promise((resolve, reject) => {
    const form = new URLSearchParams({ name, password }).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded', 'content-length': form.length };
    request(`${url}/login`, { method: 'POST', ca: readFileSync(ca), headers }, (answer) => resolve(answer.resume().headers['set-cookie']?.[0].split(';')[0]))
      .on('error', reject)
      .end(form);
  });

// How many values of a channel the journal has, over all devices.
const kept = (ward, devices) =>
  devices
    .map((device) => ward.vitalwire('gateway', 'history', device, '--channel', 'Pulse_Signal', '--raw', '--json').trim().split('\n').filter(Boolean).length)
    .reduce((sum, count) => sum + count, 0);

const percentile = (numbers, share) => [...numbers].sort((one, other) => one - other)[Math.ceil(share * numbers.length) - 1];

test('the paper\'s layout', async (t) => {
  const ward = await stack(t, ['emqx', 'sniff'], { overrides: [join(DEPLOY, 'test/ci.override.yml')] });
  // The stand-in has to be told who there is, so `init` runs by itself first.
  const said = ward.compose(['run', '--rm', 'init']).stdout;
  const shown = passwords(said);
  const [admin, dashboard] = shown.admin;
  assert.ok(admin && dashboard, said);
  const broker = standin(ward, { admin });
  broker.write();
  const before = Date.now();
  ward.compose(['up', '--detach']);
  for (const service of ['emqx', 'gateway', 'nodered']) await ward.healthy(service);
  t.diagnostic(`from up to healthy: ${Date.now() - before} ms`);
  assert.ok(Date.now() - before < UP_MS_MAX);
  const ca = ward.copy('gateway', '/secrets/ca.pem', 'ca.pem');
  const url = `https://localhost:${ward.ports.nodered}`;
  const devices = names('bed', FLEET);
  const links = ward.enrol('gateway', devices);
  const few = join(ward.home, 'few.links');
  writeFileSync(few, readFileSync(links, 'utf8').split('\n').slice(0, 2).join('\n'), { mode: 0o600 });

  await t.test('what went over the wire was TLS', async () => {
    const listens = (of) => until(() => ward.logs(of).split('dropped by kernel').at(-1).includes('listening on eth0'), `${of} to listen`);
    // A connection counts as encrypted when its handshake was captured: the sniffer is there before who connects.
    const sniffed = async (of, ports) => {
      await report(ward.fleet(['--protocol', 'tls', '--links', few, '--seconds', '2']));
      ward.compose(['stop', `sniff-${of}`]);
      const { stdout } = ward.compose(['run', '--rm', 'verify', '--json', `/captures/${of}.pcap0`]);
      const { verdict, flows } = JSON.parse(stdout);
      assert.equal(verdict, 'encrypted', stdout);
      assert.deepEqual([...new Set(flows.map((flow) => flow.server.split(':').at(-1)))].sort(), ports, stdout);
      // One that was refused carried nothing.
      assert.ok(flows.every((flow) => flow.tls?.version === 'TLS 1.3' || flow.bytes_to_server === 0), stdout);
    };
    ward.compose(['stop', 'gateway', 'nodered', 'sniff-gateway', 'sniff-emqx']);
    ward.compose(['restart', 'emqx']);
    ward.compose(['start', 'sniff-emqx']);
    await listens('sniff-emqx');
    ward.compose(['start', 'gateway', 'nodered']);
    await ward.healthy('gateway');
    await ward.healthy('nodered');
    await sniffed('emqx', ['8883']);
    ward.compose(['stop', 'emqx']);
    ward.compose(['start', 'sniff-gateway']);
    await listens('sniff-gateway');
    ward.compose(['start', 'emqx']);
    await ward.healthy('gateway');
    await sniffed('gateway', ['8883', '9998']);
  });

  const seen = await ward.subscriber({ user: 'admin', password: admin, ca, topics: ['Pico/#', 'vitalwire/#'] });
  await t.test('a device\'s values are on Node-RED\'s page as mosquitto_sub sees them', async (t) => {
    assert.equal(await status(`${url}/login`, ca), 200);
    const fleet = ward.fleet(['--protocol', 'tls', '--links', few]);
    t.after(() => fleet.stop());
    const { page, errors } = await open(await browser(t), url, { name: 'viewer', password: shown.viewer[0], context: { ignoreHTTPSErrors: true } });
    for (const device of devices.slice(0, 2)) {
      await page.waitForFunction((id) => document.querySelector(`[data-device="${id}"]`)?.dataset.state === 'online', device);
      const value = tile(page, device).locator('[data-value=Temperature]');
      const text = await until(async () => /^\d/.test(await value.locator('strong').textContent()) && value.locator('strong').textContent(), 'a temperature');
      await until(() => seen.some(({ topic, payload }) => topic === `Pico/${device}/Physiological_Data/Temperature` && payload === text), `${text} at mosquitto_sub`);
    }
    assert.deepEqual(errors, []);
  });

  await t.test('the server\'s own dashboard shows them over TLS, by the link that init shows', async (t) => {
    const fleet = ward.fleet(['--protocol', 'tls', '--links', few]);
    t.after(() => fleet.stop());
    await shows(t, ward, { link: loginLink(ward, said), device: devices[0], ca });
  });

  await t.test('without a login Node-RED shows nothing', async () => {
    assert.equal(await status(`${url}/flows`, ca), 401);
    assert.notEqual(await status(`${url}/dashboard`, ca), 200);
  });

  await t.test('the paper\'s frames are named for what they are', async () => {
    const keys = join(ward.home, 'keys');
    writeFileSync(keys, `${JSON.stringify(PAPER_KEY)}\n`);
    docker('cp', keys, `${ward.id('gateway')}:/data/keys`);
    ward.vitalwire('gateway', 'device', 'import', '/data/keys');
    ward.compose(['start', 'sniff-gateway']);
    await until(() => /listening on eth0/.test(ward.logs('sniff-gateway').split('dropped by kernel').at(-1)), 'the sniffer');
    await report(ward.fleet(['--keys', keys, '--seconds', '2']));
    ward.compose(['stop', 'sniff-gateway']);
    const { stdout, status } = ward.compose(['run', '--rm', 'verify', '--json', '/captures/gateway.pcap0'], { fails: true });
    assert.equal(status, 1);
    const frames = JSON.parse(stdout).flows.filter((flow) => flow.protocol === 'AES-CBC frames');
    assert.ok(frames.length === 1 && frames[0].repeated_blocks > 0, stdout);
    assert.deepEqual(frames[0].findings, []);
  });

  await t.test('the containers may do nothing more than they must', () => {
    isHardened(ward.inspect('gateway'), { user: '65532:65532', ports: ['9998/tcp', '8443/tcp'] });
    isHardened(ward.inspect('emqx'), { user: '1000:1000', ports: ['18083/tcp', '8883/tcp'] });
    isHardened(ward.inspect('nodered'), { user: '1000:1000', ports: ['1880/tcp'] });
    for (const of of ['gateway', 'emqx']) {
      isHardened(ward.inspect(`sniff-${of}`), { user: '0:0', capabilities: ['NET_RAW', 'SETGID', 'SETUID'], ports: [], network: `container:${ward.id(of)}` });
    }
    const secrets = ['secrets/mqtt-password', 'nodered/mqtt-password', 'nodered/secret', 'authority/emqx-cookie', 'authority/emqx-api-key'].map((path) => {
      const [volume, name] = path.split('/');
      return readFileSync(join(ward.volume(volume), name), 'utf8').trim().split(':').at(-1);
    });
    noSecretOutside(ward, SERVICES, [...secrets, ...Object.values(shown).flat()]);
    for (const [service, address] of [['gateway', '172.20.0.10'], ['emqx', '172.20.0.20'], ['nodered', '172.20.0.30']]) {
      assert.deepEqual(Object.values(ward.inspect(service).NetworkSettings.Networks).map(({ IPAddress }) => IPAddress), [address]);
    }
  });

  await t.test('who is added to the accounts is in EMQX\'s files after the next init', () => {
    ward.vitalwire('gateway', 'emqx', 'add', 'family', '--role', 'reader', '--device', devices[0], '--generate');
    const said = ward.compose(['run', '--rm', 'init']).stdout;
    assert.deepEqual(passwords(said), {}, said);
    const read = (volume, name) => readFileSync(join(ward.volume(volume), name), 'utf8');
    assert.match(read('emqx', 'users.csv'), /^family,[0-9a-f]{64},[0-9a-f]{32},false$/m);
    assert.match(read('emqx-data', 'authz/acl.conf'), /\{username, "family"\}, subscribe, \["Pico\/bed_01\/#"/);
    // The URL, the key and the certificate are known in the container; the stand-in has no REST API.
    const sync = run('docker', ['exec', ward.id('gateway'), '/bin/vitalwire', 'emqx', 'sync', '--dry-run']);
    assert.match(sync.stderr, /https:\/\/emqx:18083/);
  });

  await t.test('killed under load, it loses no acknowledged reading, and devices are back in time', async (t) => {
    const before = kept(ward, devices);
    const fleet = ward.fleet(['--protocol', 'tls', '--links', links, '--rate', '10', '--ramp', '2']);
    // When each device was seen first after a moment; all of them are waited for.
    const firsts = async (after, what) => {
      const readings = new Map();
      await until(() => {
        for (const { at, topic } of seen) {
          const [, device] = topic.match(/^vitalwire\/v1\/(bed_\d+)\/waveform/) ?? [];
          if (device && at > after && !readings.has(device)) readings.set(device, at - after);
        }
        return readings.size === FLEET;
      }, what);
      return [...readings.values()];
    };
    await firsts(Date.now(), 'all devices');
    // A busy machine is late now and then, but not each time.
    const p99_ms = [];
    while (!p99_ms.some((late) => late < BACK_P99_MS_MAX)) {
      assert.ok(p99_ms.length < 3, `${p99_ms} ms`);
      const killed = Date.now();
      process.kill(ward.inspect('gateway').State.Pid, 'SIGKILL');
      const started = await until(() => {
        const { State } = ward.inspect('gateway');
        return State.Running && Date.parse(State.StartedAt) > killed && Date.parse(State.StartedAt);
      }, 'the restart');
      const back_ms = await firsts(started, 'all devices again');
      p99_ms.push(percentile(back_ms, 0.99));
      t.diagnostic(`the server was away for ${started - killed} ms; then back: median ${percentile(back_ms, 0.5)} ms, p99 ${p99_ms.at(-1)} ms`);
    }
    await fleet.stop();
    const ended = await report(fleet);
    assert.deepEqual([ended.dropped, ended.held, ended.acknowledged], [0, 0, ended.measured]);
    assert.equal(kept(ward, devices) - before, ended.acknowledged, 'the journal has what was acknowledged, once');
  });

  await t.test('with a wrong password at the broker readings are kept, it is said, and tried again', async () => {
    broker.write({ gateway: 'another password' });
    ward.compose(['restart', 'emqx']);
    await until(() => /refuses the login of gateway/.test(ward.logs('gateway')), 'the refusal in the log');
    const before = kept(ward, devices.slice(0, 2));
    const ended = await report(ward.fleet(['--protocol', 'tls', '--links', few, '--seconds', '4']));
    assert.deepEqual([ended.dropped, ended.held], [0, 0]);
    assert.equal(kept(ward, devices.slice(0, 2)) - before, ended.acknowledged);
    await until(() => ward.inspect('gateway').State.Health.Status === 'unhealthy', 'that it is unhealthy');
    const lines = ward.logs('gateway').split('\n').filter((line) => line.includes('refuses the login'));
    assert.equal(lines.length, 1, 'told once, not at each try');
    const told = seen.length;
    broker.write();
    ward.compose(['restart', 'emqx']);
    await ward.healthy('gateway');
    const values = () => seen.slice(told).filter(({ topic }) => /^vitalwire\/v1\/bed_0[12]\/waveform\/Pulse_Signal$/.test(topic)).flatMap(({ payload }) => JSON.parse(payload).values).length;
    await until(() => values() >= ended.acknowledged, 'what was kept').catch((error) => {
      throw Error(`${error.message}: ${values()} of ${ended.acknowledged}\n${seen.said()}`);
    });
  });

  // The table of README.md, whose words readme.test.mjs holds. Instead of `emqx sync` the stand-in is told, and EMQX's dashboard it lacks.
  await t.test('each secret is rotated as README says: the old one is refused, the new one holds', async () => {
    const how = new Map(ROTATE);
    const renew = (what) => ward.compose(INIT.replace('NAME', 'localhost').replace('certificates', what).split(' ').slice(2)).stdout;
    const read = (path) => {
      const [volume, ...name] = path.split('/');
      return readFileSync(join(ward.volume(volume), ...name), 'utf8').trim();
    };
    const mayLogIn = (user, password, ca) =>
      run('mosquitto_pub', ['-h', 'localhost', '-p', String(ward.ports.mqtt), '--cafile', ca, '-u', user, '-P', password, '-t', 'Pico/x', '-n']).status === 0;
    const generated = (text) => text.match(/([a-z0-9]{5}-){3}[a-z0-9]{5}/)[0];
    const up = async (...services) => {
      ward.compose(['restart', ...services]);
      for (const service of services) await ward.healthy(service);
    };

    const viewer = generated(ward.compose(how.get('a password for Node-RED\'s page')[0].split(' ').slice(2)).stdout);
    await until(async () => !(await logIn(url, ca, 'viewer', shown.viewer[0])), 'that the old password is refused');
    const cookie = await logIn(url, ca, 'viewer', viewer);
    assert.equal(await status(`${url}/dashboard/devices`, ca, { cookie }), 200);

    const programs = [['gateway', 'secrets/mqtt-password'], ['node-red', 'nodered/mqtt-password']];
    const old = programs.map(([, path]) => read(path));
    renew('mqtt');
    const [, , , password] = how.get('`admin`\'s password, and that of each other reader');
    const next = generated(ward.vitalwire('gateway', ...password.split(' ').slice(1)));
    standin(ward, { admin: next }).write();
    await up('emqx', 'gateway', 'nodered');
    programs.forEach(([user, path], index) => {
      assert.notEqual(read(path), old[index]);
      assert.ok(!mayLogIn(user, old[index], ca) && mayLogIn(user, read(path), ca), user);
    });
    assert.ok(!mayLogIn('admin', admin, ca) && mayLogIn('admin', next, ca));
    ward.compose(['run', '--rm', 'init']);
    const users = read('emqx/users.csv');
    assert.match(users, /^admin,/m);

    // A server that runs on takes the master key up.
    const [key, running] = [read('secrets/master-key'), ward.inspect('gateway').State.StartedAt];
    assert.match(renew('master-key'), /devices are sealed under a new master key/);
    assert.notEqual(read('secrets/master-key'), key);
    const two = await report(ward.fleet(['--protocol', 'tls', '--links', few, '--seconds', '2']));
    assert.deepEqual([two.dropped, two.acknowledged], [0, two.measured]);
    assert.equal(ward.inspect('gateway').State.StartedAt, running);

    const files = ['authority/emqx-cookie', 'authority/emqx-api-key', 'secrets/emqx-api-key', 'nodered/secret'];
    const before = files.map(read);
    const people = passwords(renew('pages'));
    renew('emqx');
    renew('certificates');
    await up('emqx', 'gateway', 'nodered');
    files.forEach((path, index) => assert.notEqual(read(path), before[index], path));
    const newCa = ward.copy('gateway', '/secrets/ca.pem', 'new-ca.pem');
    await assert.rejects(status(`${url}/login`, ca), 'Node-RED has a certificate of the old authority');
    assert.ok(!mayLogIn('admin', next, ca) && mayLogIn('admin', next, newCa));
    assert.notEqual(await status(`${url}/dashboard/devices`, newCa, { cookie }), 200, 'the old session');
    assert.ok(!(await logIn(url, newCa, 'viewer', viewer)));
    const fresh = await logIn(url, newCa, 'viewer', people.viewer[0]);
    assert.equal(await status(`${url}/dashboard/devices`, newCa, { cookie: fresh }), 200);
    assert.match(ward.vitalwire('gateway', 'audit', 'verify'), /sound/);
  });
});

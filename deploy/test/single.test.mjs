// Profile `single`: one command gives a server that devices and readers reach, hardened as it says; a second run changes nothing.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until } from '../nodered/test/support/process.mjs';
import { loginLink, shows } from './support/dashboard.mjs';
import { isHardened, noSecretOutside } from './support/inspection.mjs';
import { passwords, report, run, stack, executable } from './support/stack.mjs';

const UP_MS_MAX = 60_000;

// Every file of a volume with its owner, mode and content; what a running server writes is left out.
const listing = (folder, leave = () => false, path = '') =>
  readdirSync(join(folder, path), { withFileTypes: true }).flatMap((entry) => {
    const name = join(path, entry.name);
    if (leave(name)) return [];
    const { uid, gid, mode } = statSync(join(folder, name));
    const line = `${name} ${uid}:${gid} ${(mode & 0o7777).toString(8)}`;
    if (entry.isDirectory()) return [line, ...listing(folder, leave, name)];
    return [`${line} ${createHash('sha256').update(readFileSync(join(folder, name))).digest('hex')}`];
  });

test('one command gives a server that devices deliver to and readers read, hardened, and again changes nothing', async (t) => {
  const ward = await stack(t, ['single']);
  const before = Date.now();
  ward.compose(['up', '--detach']);
  await ward.healthy('vitalwire');
  const took_ms = Date.now() - before;
  t.diagnostic(`from up to healthy: ${took_ms} ms`);
  assert.ok(took_ms < UP_MS_MAX, `${took_ms} ms`);
  const said = ward.logs('init');
  const shown = passwords(said);
  // At the broker, and at EMQX's dashboard.
  assert.equal(shown.admin.length, 2, said);

  await t.test('devices deliver, a reader that is none of ours reads over TLS', async () => {
    const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
    const links = ward.enrol('vitalwire', ['bed_01', 'bed_02']);
    const seen = await ward.subscriber({ user: 'admin', password: shown.admin[0], ca, topics: ['#'] });
    const ended = await report(ward.fleet(['--protocol', 'tls', '--links', links, '--seconds', '3']));
    assert.equal(ended.connected, 2);
    assert.equal(ended.acknowledged, ended.measured);
    for (const topic of ['Pico/bed_01/Physiological_Data/Temperature', 'vitalwire/v1/bed_02/status']) {
      await until(() => seen.some((message) => message.topic === topic), topic);
    }
    const values = ward.vitalwire('vitalwire', 'history', 'bed_01', '--channel', 'Pulse_Signal', '--raw', '--json').trim().split('\n');
    assert.equal(values.length, ended.measured / 2);
  });

  await t.test('a browser sees a device live over TLS, by the link that init shows', async (t) => {
    const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
    const fleet = ward.fleet(['--protocol', 'tls', '--links', ward.enrol('vitalwire', ['bed_03'])]);
    t.after(() => fleet.stop());
    await shows(t, ward, { link: loginLink(ward, said), device: 'bed_03', ca });
    const next = ward.vitalwire('vitalwire', 'user', 'link', 'admin', '--url', `https://localhost:${ward.ports.https}`).trim();
    await shows(t, ward, { link: next, device: 'bed_03', ca });
  });

  await t.test('the certificate is checked, and a wrong password refused', async () => {
    const ca = ward.copy('vitalwire', '/secrets/ca.pem', 'ca.pem');
    const subscribe = (url, password, more = []) =>
      run(executable(), ['subscribe', '--url', `${url}:${ward.ports.mqtt}`, ...more], { env: { VITALWIRE_MQTT_PASSWORD: password }, timeout: 20_000 });
    const wrong = subscribe('mqtts://admin@localhost', 'a wrong password', ['--ca', ca]);
    assert.match(wrong.stderr, /refuses the login of admin/);
    const unknown = subscribe('mqtts://admin@localhost', shown.admin[0]);
    assert.match(unknown.stderr, /no secure connection/);
  });

  await t.test('the containers may do nothing more than they must', () => {
    isHardened(ward.inspect('vitalwire'), { user: '65532:65532', ports: ['9998/tcp', '8883/tcp', '8443/tcp'] });
    isHardened(ward.inspect('init'), { user: '0:0', capabilities: ['CHOWN', 'DAC_OVERRIDE', 'FOWNER'], ports: [], network: 'none' });
    noSecretOutside(ward, ['vitalwire', 'init'], Object.values(shown).flat());
  });

  await t.test('a second `up` runs init again, which changes nothing and shows nothing', async () => {
    const volumes = ['authority', 'secrets', 'nodered', 'nodered-data', 'captures'];
    const all = () => volumes.flatMap((name) => listing(ward.volume(name)));
    const data = () => statSync(join(ward.volume('data'), 'vitalwire')).uid;
    const files = all();
    assert.ok(files.some((line) => /^master-key 65532:65532 600 /.test(line)), files.join('\n'));
    assert.ok(files.some((line) => /^authority.pem 0:0 400 /.test(line)), files.join('\n'));
    assert.equal(data(), 65532);
    ward.compose(['up', '--detach']);
    await until(() => ward.logs('init').includes('nothing was changed'), 'the second run of init');
    assert.deepEqual(all(), files);
    assert.deepEqual(passwords(ward.logs('init')), shown, 'nothing is shown again');
    await ward.healthy('vitalwire');
  });

  await t.test('a secret that others could read, or that is gone, is refused in words', async () => {
    const key = join(ward.volume('secrets'), 'master-key');
    const change = (command) => run('sh', ['-c', command, 'sh', key]);
    change('chmod 644 "$1"');
    const open = ward.compose(['run', '--rm', 'init'], { fails: true });
    assert.match(open.stdout + open.stderr, /master-key could be read or changed by others \(mode 0644\).*chmod 0400/);
    ward.compose(['restart', 'vitalwire']);
    await until(() => /chmod 0600 '\/secrets\/master-key'/.test(ward.logs('vitalwire')), 'the refusal of the server');
    change('chmod 600 "$1"; mv "$1" "$1.away"');
    const gone = ward.compose(['run', '--rm', 'init'], { fails: true });
    assert.match(gone.stdout + gone.stderr, /master-key is missing.*put your copy of it there/);
    change('mv "$1.away" "$1"');
    await ward.healthy('vitalwire');
  });
});

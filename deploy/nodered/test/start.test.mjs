// What Node-RED says when it cannot start, and what becomes of flows that a person changed.
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, environment, startNodeRed } from './support/nodered.mjs';
import { folder, freePort } from './support/process.mjs';
import { server } from './support/server.mjs';

const require = createRequire(import.meta.url);
const { installFlows } = require('../lib/flow-file.js');
const { configuration } = require('../lib/configuration.js');

// A server that no one needs to run: Node-RED does not get so far.
const nowhere = async (home) => {
  const certificate = join(home, 'certificate.pem');
  writeFileSync(certificate, 'a certificate\n');
  return { tlsPort: await freePort(), certificate, mqttUser: 'node-red', mqttPassword: 'a password' };
};

const fixture = async (t) => {
  const home = folder(t);
  return { home, env: await environment(home, await nowhere(home)) };
};

test('it does not start without a user, a secret or an account, and says how to make them', async (t) => {
  const { home, env } = await fixture(t);
  writeFileSync(join(home, 'empty'), '\n', { mode: 0o600 });
  writeFileSync(join(home, 'short'), 'too short\n', { mode: 0o600 });
  writeFileSync(join(home, 'nobody'), '# no user\n', { mode: 0o600 });
  const wrong = [
    [{ NODERED_USERS_FILE: undefined }, /NODERED_USERS_FILE is not set: .*no default password.*npm run user -- add NAME --role viewer/],
    [{ NODERED_USERS_FILE: join(home, 'missing') }, /cannot read .*missing \(ENOENT\).*npm run user/],
    [{ NODERED_SECRET_FILE: undefined }, /NODERED_SECRET_FILE is not set.*openssl rand -hex 32/],
    [{ NODERED_SECRET_FILE: join(home, 'short') }, /the secret has 9 characters, at least 32/],
    [{ NODERED_SECRET_FILE: home }, /cannot read .* \(EISDIR\)/],
    [{ NODERED_MQTT_USER_FILE: undefined }, /vitalwire user add node-red --role reader/],
    [{ NODERED_MQTT_PASSWORD_FILE: join(home, 'empty') }, /empty is empty/],
    [{ NODERED_MQTT_CA_FILE: undefined }, /tls\/broker-certificate\.pem/],
    [{ NODERED_MQTT_PORT: '8883x' }, /NODERED_MQTT_PORT is "8883x": a whole number from 1 to 65535/],
    [{ NODERED_SESSION_HOURS: '0' }, /from 1 to 168/],
    [{ NODERED_HOST: '0.0.0.0' }, /passwords and readings unencrypted.*NODERED_TLS_CERT_FILE/],
  ];
  for (const [change, said] of wrong) assert.throws(() => configuration({ ...env, ...change }), said);
  const { code, text } = await startNodeRed(t, { ...env, NODERED_USERS_FILE: join(home, 'nobody') }).ended();
  assert.equal(code, 1);
  // One sentence, and no stack.
  assert.match(text, /^Node-RED does not start\. NODERED_USERS_FILE: .*nobody holds no user, and there is no default password\. Make one: npm run user .*\n$/);
});

test('files with secrets that others can read are refused', async (t) => {
  const { env } = await fixture(t);
  for (const name of ['NODERED_USERS_FILE', 'NODERED_SECRET_FILE', 'NODERED_MQTT_PASSWORD_FILE']) {
    for (const mode of [0o640, 0o604, 0o666]) {
      chmodSync(env[name], mode);
      assert.throws(() => configuration(env), RegExp(`${name}: others can read .*chmod 600`));
    }
    chmodSync(env[name], 0o400);
    configuration(env);
  }
});

test('other machines are served with a certificate, or when a person says that a proxy has it', async (t) => {
  const { home, env } = await fixture(t);
  for (const host of ['127.0.0.1', '127.3.4.5', '::1', 'localhost']) assert.equal(configuration({ ...env, NODERED_HOST: host }).https, undefined);
  const [cert, key] = ['cert.pem', 'key.pem'].map((name) => join(home, name));
  writeFileSync(cert, 'c\n');
  writeFileSync(key, 'k\n', { mode: 0o600 });
  const tls = { NODERED_TLS_CERT_FILE: cert, NODERED_TLS_KEY_FILE: key };
  assert.deepEqual(configuration({ ...env, ...tls, NODERED_HOST: '0.0.0.0' }).https, { cert: 'c\n', key: 'k\n' });
  assert.throws(() => configuration({ ...env, NODERED_TLS_CERT_FILE: cert }), /NODERED_TLS_KEY_FILE is not set/);
  assert.equal(configuration({ ...env, NODERED_HOST: '0.0.0.0', NODERED_ALLOW_PLAIN_HTTP: 'yes' }).https, undefined);
});

test('no secret is in the flows, and what they name of the environment is no secret', () => {
  const { flows } = require('../flows/flows.js');
  const text = JSON.stringify(flows({ page: readFileSync(join(ROOT, 'flows/page.vue'), 'utf8') }));
  assert.deepEqual([...new Set(text.match(/\$\{NODERED_\w+\}/g))], ['${NODERED_MQTT_HOST}', '${NODERED_MQTT_PORT}', '${NODERED_MQTT_CA_FILE}']);
  assert.ok(!/"credentials"|"password"/.test(text));
});

test('an upgrade replaces flows that no one changed, and keeps those of a person', (t) => {
  const home = join(folder(t), 'data');
  const present = () => readFileSync(join(home, 'flows.json'), 'utf8');
  assert.equal(installFlows(home, 'one'), 'installed');
  assert.equal(installFlows(home, 'one'), 'unchanged');
  assert.equal(installFlows(home, 'two'), 'installed');
  assert.equal(present(), 'two');
  writeFileSync(join(home, 'flows.json'), 'mine');
  assert.equal(installFlows(home, 'three'), 'kept');
  assert.equal(present(), 'mine');
});

test('power that goes in an upgrade leaves flows that the next start replaces', (t) => {
  const home = join(folder(t), 'data');
  installFlows(home, 'one');
  installFlows(home, 'two');
  // The hashes are written first; then it was cut off.
  writeFileSync(join(home, 'flows.json'), 'one');
  assert.equal(installFlows(home, 'two'), 'installed');
  assert.equal(readFileSync(join(home, 'flows.json'), 'utf8'), 'two');
});

test('it says why it cannot reach the broker, and what to do, and the pages are there meanwhile', async (t) => {
  const ward = await server(t);
  const home = folder(t);
  const env = await environment(home, ward);
  const file = (name, text) => {
    writeFileSync(join(home, name), text, { mode: 0o600 });
    return join(home, name);
  };
  const stranger = await server(t);
  const wrong = [
    [{ NODERED_MQTT_PASSWORD_FILE: file('wrong', 'not the password\n') }, 'refuses node-red or the password in NODERED_MQTT_PASSWORD_FILE'],
    [{ NODERED_MQTT_CA_FILE: stranger.certificate }, '(NODERED_MQTT_CA_FILE) does not vouch for'],
    // Another way to write 127.0.0.1, which no certificate has.
    [{ NODERED_MQTT_HOST: '127.1' }, 'a certificate without the name 127.1'],
    [{ NODERED_MQTT_PORT: String(await freePort()) }, 'Nothing listens at localhost:'],
  ];
  for (const [change, said] of wrong) {
    const running = startNodeRed(t, { ...env, ...change });
    await running.said(said);
    await running.said('Server now running');
    assert.equal((await fetch(`http://127.0.0.1:${env.NODERED_PORT}/login`)).status, 200);
    assert.ok(!running.text().includes('not the password'));
    await running.stop();
  }
});

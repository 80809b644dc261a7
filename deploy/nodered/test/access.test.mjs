// Who gets in, tried on the real Node-RED: pages, editor, admin API, socket.io and the editor's WebSocket.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import { createRequire } from 'node:module';
import { connect as tcpConnect } from 'node:net';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { io } from 'socket.io-client';
import { PASSWORDS, command, login, nodeRed } from './support/nodered.mjs';
import { browser } from './support/browser.mjs';
import { PATIENCE_MS, folder, until } from './support/process.mjs';
import { server } from './support/server.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// Everything that Node-RED and the dashboard serve, and some that they do not.
const PATHS = [
  '/',
  '/dashboard',
  '/dashboard/',
  '/dashboard/devices',
  '/dashboard/_setup',
  '/dashboard/manifest.webmanifest',
  '/dashboard/index.html',
  '/dashboard/sw.js',
  '/dashboard/_debug/datastore/vitalwire-template',
  '/dashboard/_debug/statestore/vitalwire-template',
  '/DASHBOARD',
  '//dashboard',
  '/login/../dashboard',
  '/login/',
  '/Login',
  '/%6cogin',
  '/flows',
  '/flow/vitalwire',
  '/nodes',
  '/settings',
  '/settings/user',
  '/context/global',
  '/credentials/mqtt-broker/vitalwire-broker',
  '/library/local/flows',
  '/auth/login',
  '/icons',
  '/red/red.min.js',
  '/vendor/vendor.js',
  '/locales/editor',
  '/debug/view/view.html',
  '/plugins',
  '/resources/x',
  '/diagnostics',
  '/nothing',
];

// A connection of socket.io that was refused, by its message, or the socket.
const socket = (url, { headers = {}, transports = ['polling', 'websocket'] } = {}) =>
  new Promise((resolve) => {
    const opened = io(url, { path: '/dashboard/socket.io', extraHeaders: headers, transports, reconnection: false, timeout: PATIENCE_MS });
    opened.received = [];
    opened.onAny((...message) => opened.received.push(message));
    opened.on('connect', () => resolve(opened));
    setTimeout(() => resolve('no answer'), PATIENCE_MS).unref();
    opened.on('connect_error', (error) => {
      opened.close();
      resolve(error.message);
    });
  });

// The first line of the answer to a request for a WebSocket.
const upgrade = async (port, path, headers = {}) => {
  const stream = tcpConnect(port, '127.0.0.1');
  const lines = Object.entries({ Host: `127.0.0.1:${port}`, Connection: 'Upgrade', Upgrade: 'websocket', 'Sec-WebSocket-Version': 13, 'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==', ...headers });
  stream.write(`GET ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
  const [chunk] = await once(stream, 'data');
  return { stream, status: Number(chunk.toString().split(' ')[1]) };
};

describe('the gate', () => {
  let started;
  let ward;
  let nodered;
  before(async () => {
    // One server and one Node-RED for all of them, ended after the last.
    const ends = [];
    started = { after: (end) => ends.unshift(end), ends };
    ward = await server(started);
    nodered = await nodeRed(started, ward);
    ward.tlsDevices(['bed_01']);
  });
  after(async () => {
    for (const end of started.ends) await end();
  });

  const get = (path, cookie, headers = {}) => fetch(nodered.url + path, { redirect: 'manual', headers: { ...(cookie && { cookie }), ...headers } });

  test('without a login there is the login page and nothing else', async () => {
    for (const path of PATHS) {
      const program = await get(path);
      const person = await get(path, undefined, { accept: 'text/html' });
      if (path === '/login/../dashboard') assert.equal(new URL(program.url).pathname, '/dashboard');
      assert.equal(program.status, 401, path);
      assert.equal(await program.text(), 'Log in first, at /login.\n', path);
      assert.deepEqual([person.status, person.headers.get('location')], [303, '/login'], path);
    }
    for (const method of ['POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
      for (const path of ['/flows', '/auth/token', '/auth/revoke', '/dashboard/api/v1/vitalwire-base/flows', '/inject/vitalwire-tick', '/nodes', '/logout']) {
        const response = await fetch(nodered.url + path, { method, body: method === 'OPTIONS' ? undefined : 'grant_type=password&client_id=node-red-editor&username=engineer' });
        // CORS answers OPTIONS by itself, with nothing of ours.
        if (method === 'OPTIONS') assert.equal(await response.text(), '', path);
        else assert.equal(response.status, 401, `${method} ${path}`);
      }
    }
  });

  test('without a login socket.io refuses, by polling and by WebSocket, with no cookie, a wrong one, and one that was altered', async () => {
    const good = await nodered.cookie('nurse');
    const wrong = [undefined, 'vitalwire_session=', 'vitalwire_session=a.b', `${good.slice(0, 30)}x${good.slice(31)}`, 'connect.sid=1'];
    for (const transports of [['polling'], ['websocket'], ['polling', 'websocket']]) {
      for (const cookie of wrong) {
        assert.equal(await socket(nodered.url, { headers: cookie ? { cookie } : {}, transports }), 'not logged in', `${transports} ${cookie}`);
      }
    }
    const right = await socket(nodered.url, { headers: { cookie: good } });
    await until(() => right.received.some(([event]) => event.startsWith('msg-input:')), 'values');
    right.close();
  });

  test('a page of another site gets no socket and sends nothing, though the browser of a nurse is logged in', async () => {
    const cookie = await nodered.cookie('nurse');
    for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${Number(nodered.env.NODERED_PORT) + 1}`]) {
      assert.equal(await socket(nodered.url, { headers: { cookie, origin } }), 'not logged in', origin);
      const posted = await fetch(`${nodered.url}/logout`, { method: 'POST', headers: { cookie, origin }, redirect: 'manual' });
      assert.equal(posted.status, 403, origin);
    }
    const setCookie = (await login(nodered.url, 'nurse', PASSWORDS.nurse)).response.headers.get('set-cookie');
    assert.match(setCookie, /^vitalwire_session=[\w.-]+; Max-Age=43200; Path=\/; HttpOnly; SameSite=Strict$/);
  });

  test('a viewer gets the pages and not the editor', async () => {
    const cookie = await nodered.cookie('nurse');
    for (const path of ['/dashboard/devices', '/dashboard/_setup']) assert.equal((await get(path, cookie)).status, 200, path);
    assert.equal((await get('/', cookie)).headers.get('location'), '/dashboard');
    for (const path of ['/flows', '/settings', '/nodes', '/context/global', '/red/red.min.js', '/credentials/mqtt-broker/vitalwire-broker', '/nothing', '/Dashboard']) {
      assert.equal((await get(path, cookie)).status, 403, path);
    }
    const patched = await fetch(`${nodered.url}/dashboard/api/v1/vitalwire-base/flows`, { method: 'PATCH', headers: { cookie } });
    assert.equal(patched.status, 401);
    assert.equal((await upgrade(nodered.env.NODERED_PORT, '/comms', { Cookie: cookie })).status, 401);
  });

  test('an editor gets the editor, and sees no password there', async () => {
    const cookie = await nodered.cookie('engineer');
    assert.match(await (await get('/', cookie, { accept: 'text/html' })).text(), /<title>Vitalwire<\/title>/);
    const flows = await (await get('/flows', cookie)).text();
    assert.match(flows, /vitalwire-broker/);
    for (const path of ['/flows', '/settings', '/credentials/mqtt-broker/vitalwire-broker', '/context/global']) {
      const response = await get(path, cookie);
      assert.equal(response.status, 200, path);
      assert.ok(!(await response.text()).includes(ward.mqttPassword), path);
    }
    const { status, stream } = await upgrade(nodered.env.NODERED_PORT, '/comms', { Cookie: cookie });
    assert.equal(status, 101);
    stream.destroy();
    for (const headers of [{}, { Cookie: cookie, Origin: 'https://evil.example' }]) assert.equal((await upgrade(nodered.env.NODERED_PORT, '/comms', headers)).status, 401);
  });

  test('an editor may deploy, and the broker keeps its account', async () => {
    const cookie = await nodered.cookie('engineer');
    const present = await (await get('/flows', cookie, { 'Node-RED-API-Version': 'v2' })).json();
    const deployed = await fetch(`${nodered.url}/flows`, {
      method: 'POST',
      headers: { cookie, 'content-type': 'application/json', 'Node-RED-API-Version': 'v2' },
      body: JSON.stringify(present),
    });
    assert.equal(deployed.status, 200);
    const watching = await socket(nodered.url, { headers: { cookie } });
    const isOnline = ([event, message]) => event === 'msg-input:vitalwire-template' && message.payload.connected && message.payload.devices.some(({ state }) => state === 'online');
    await until(() => watching.received.some(isOnline), 'values after the deployment').catch((error) => {
      throw Error(`${error.message}; last: ${JSON.stringify(watching.received.at(-1))}\n${nodered.text()}`);
    });
    watching.close();
    const stored = readFileSync(`${nodered.env.NODERED_DATA}/flows.json`, 'utf8') + readFileSync(`${nodered.env.NODERED_DATA}/flows_cred.json`, 'utf8');
    assert.ok(!stored.includes(ward.mqttPassword));
  });

  test('who opens the page while an editor deploys gets values, too', async () => {
    const cookie = await nodered.cookie('engineer');
    const present = await (await get('/flows', cookie, { 'Node-RED-API-Version': 'v2' })).text();
    let isDeployed = false;
    const deployed = fetch(`${nodered.url}/flows`, { method: 'POST', headers: { cookie, 'content-type': 'application/json', 'Node-RED-API-Version': 'v2' }, body: present });
    deployed.finally(() => (isDeployed = true));
    const opened = [];
    // One at each moment of the deployment, and one after it.
    for (let isLast = false; !isLast; ) {
      isLast = isDeployed;
      opened.push(await socket(nodered.url, { headers: { cookie }, transports: ['websocket'] }));
    }
    assert.equal((await deployed).status, 200);
    for (const [index, each] of opened.entries()) {
      await until(() => each.received.some(([event]) => event.startsWith('msg-input:')), `values on page ${index + 1} of ${opened.length}`);
      each.close();
    }
  });

  test('a viewer changes nothing for others: not the page, not what it shows', async () => {
    const [one, other] = await Promise.all([1, 2].map(async () => socket(nodered.url, { headers: { cookie: await nodered.cookie('nurse') } })));
    const evil = { topic: 'x', payload: { kind: 'all', devices: [] }, ui_update: { format: '<b>evil</b>' }, _client: {} };
    for (const event of ['widget-send', 'widget-action', 'widget-change', 'widget-load']) one.emit(event, 'vitalwire-template', evil);
    one.emit('widget-send', 'vitalwire-template', { topic: 'hello' });
    const all = ({ received }) => received.some(([event, message]) => event.startsWith('msg-input:') && message.payload.kind === 'all');
    await until(() => all(one), 'the answer');
    const late = await socket(nodered.url, { headers: { cookie: await nodered.cookie('nurse') } });
    late.emit('widget-load', 'vitalwire-template');
    await until(() => late.received.some(([event]) => event.startsWith('msg-input:')), 'values');
    assert.ok(!all(other), 'the answer is for one browser');
    assert.ok(!JSON.stringify([other.received, late.received]).includes('evil'));
    for (const opened of [one, other, late]) opened.close();
  });

  test('a logout ends the sockets of its session at once, and no other session', async () => {
    const [cookie, other] = [await nodered.cookie('nurse'), await nodered.cookie('nurse')];
    const [first, second] = [await socket(nodered.url, { headers: { cookie } }), await socket(nodered.url, { headers: { cookie: other } })];
    const ended = once(first, 'disconnect');
    const response = await fetch(`${nodered.url}/logout`, { method: 'POST', headers: { cookie }, redirect: 'manual' });
    assert.equal(response.status, 303);
    await ended;
    assert.equal((await get('/dashboard/devices', cookie)).status, 401);
    assert.equal((await get('/dashboard/devices', other)).status, 200);
    assert.ok(second.connected);
    second.close();
  });

  test('who is removed is out within seconds, with what is open', async () => {
    const users = nodered.env.NODERED_USERS_FILE;
    command(['add', 'visitor', '--role', 'editor', '--password-stdin'], users, 'a visitor of today\n');
    const cookie = await nodered.cookie('visitor', 'a visitor of today');
    const opened = await socket(nodered.url, { headers: { cookie } });
    const editor = await upgrade(nodered.env.NODERED_PORT, '/comms', { Cookie: cookie });
    editor.stream.resume();
    const ended = [once(opened, 'disconnect'), once(editor.stream, 'close')];
    command(['remove', 'visitor'], users);
    await Promise.all(ended);
    assert.equal((await get('/', cookie)).status, 401);
  });

  test('wrong passwords are limited, for this account only', async () => {
    const users = nodered.env.NODERED_USERS_FILE;
    command(['add', 'target', '--role', 'viewer', '--password-stdin'], users, 'the right password\n');
    for (let time = 0; time < 5; time += 1) {
      const { response, cookie } = await login(nodered.url, 'target', `wrong ${time}`);
      assert.deepEqual([response.status, cookie], [401, undefined]);
      assert.match(await response.text(), /Wrong name or password/);
    }
    const { response, cookie } = await login(nodered.url, 'target', 'the right password');
    assert.deepEqual([response.status, cookie], [429, undefined]);
    assert.ok(Number(response.headers.get('retry-after')) <= 30);
    assert.match(await response.text(), /Wait \d+ seconds/);
    assert.equal((await login(nodered.url, 'nurse', PASSWORDS.nurse)).response.status, 303);
    // Tries at the same moment count before their answers are known.
    const together = await Promise.all(Array.from({ length: 40 }, () => login(nodered.url, 'no_one', 'x')));
    const checked = together.filter((each) => each.response.status === 401).length;
    assert.ok(checked <= 5, `${checked} were checked`);
    assert.match(nodered.text(), /Refused login of target from 127\.0\.0\.1/);
    assert.ok(!nodered.text().includes('wrong 1'));
  });

  test('forms that are none, too long, or cut off are refused, and the gate goes on', async () => {
    for (const body of ['', 'name=nurse', 'x'.repeat(100_000), `name=nurse&password=${'x'.repeat(4_000)}`, 'name=%00%ff&password=%0d%0a']) {
      const response = await fetch(`${nodered.url}/login`, { method: 'POST', body, redirect: 'manual', headers: { 'content-type': 'application/x-www-form-urlencoded' } });
      assert.ok([400, 401].includes(response.status), `${response.status} ${body.slice(0, 20)}`);
    }
    const cut = tcpConnect(nodered.env.NODERED_PORT, '127.0.0.1');
    cut.end('POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nname=');
    await once(cut.resume(), 'close');
    const { response } = await login(nodered.url, '"><script>alert(1)</script>', 'x');
    assert.match(await response.text(), /value="&#34;&#62;&#60;script&#62;/);
    assert.equal((await login(nodered.url, 'nurse', PASSWORDS.nurse)).response.status, 303);
  });

  test('the login page has no script, and no barrier that axe finds, also after a wrong password', async (t) => {
    const page = await (await browser(t)).newPage({ viewport: { width: 360, height: 640 } });
    await page.goto(`${nodered.url}/dashboard`);
    assert.equal(new URL(page.url()).pathname, '/login');
    const check = async () => {
      // By CDP, not as a script of the page: that is what its policy forbids.
      const { violations } = await page.evaluate(`${axe}; axe.run()`);
      assert.deepEqual(violations.map(({ id }) => id), []);
      assert.equal(await page.evaluate(() => document.scripts.length), 0);
      assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
    };
    await check();
    await page.keyboard.press('Tab');
    await page.keyboard.type('engineer');
    await page.keyboard.press('Tab');
    await page.keyboard.type('not the password');
    await page.keyboard.press('Enter');
    await page.waitForSelector('[role=alert]');
    await check();
    await page.fill('#password', PASSWORDS.engineer);
    await page.keyboard.press('Enter');
    await page.waitForURL('**/dashboard/devices');
    await page.goto(nodered.url);
    await page.waitForSelector('#red-ui-header');
    await page.waitForSelector('text=/what changed/');
  });
});

test('a session ends at its time, with its socket', async (t) => {
  const ward = await server(t);
  const nodered = await nodeRed(t, ward, { NODERED_SESSION_HOURS: '1' });
  // Signed as Node-RED signs it, with some seconds left; with more where the machine is too slow for these.
  const { configuration } = createRequire(import.meta.url)('../lib/configuration.js');
  const { COOKIE, Sessions } = createRequire(import.meta.url)('../lib/sessions.js');
  const { Users } = createRequire(import.meta.url)('../lib/users.js');
  const { sessionKey } = configuration(nodered.env);
  const users = new Users(nodered.env.NODERED_USERS_FILE, assert.fail);
  let token;
  let opened;
  for (const lifetime_ms of [3_000, 30_000]) {
    token = new Sessions({ key: sessionKey, users, lifetime_ms }).open(users.find('nurse'), Date.now());
    opened = await socket(nodered.url, { headers: { cookie: `${COOKIE}=${token}` } });
    if (opened !== 'not logged in') break;
  }
  await once(opened, 'disconnect');
  assert.equal(await socket(nodered.url, { headers: { cookie: `${COOKIE}=${token}` } }), 'not logged in');
});

test('the users command makes private files, asks for good passwords, and prints a made one once', (t) => {
  const home = folder(t);
  const file = `${home}/users`;
  const refused = (args, input) => {
    try {
      command(args, file, input);
    } catch (error) {
      return error.stderr;
    }
    return assert.fail(`${args} was taken`);
  };
  assert.match(refused(['add', 'nurse', '--role', 'viewer', '--password-stdin'], 'short\n'), /at least 10 characters/);
  assert.match(refused(['add', 'nurse', '--role', 'admin', '--generate']), /--role is viewer or editor/);
  assert.match(refused(['add', 'a b', '--role', 'viewer', '--generate']), /a name is/);
  assert.match(refused(['add', 'nurse', '--role', 'viewer'], ''), /there is no terminal/);
  assert.match(refused(['remove', 'nurse']), /nurse is no user/);
  assert.match(refused([]), /^usage/);
  const made = command(['add', 'nurse', '--role', 'viewer', '--generate'], file).trim();
  assert.match(made, /^([a-z0-9]{5}-){3}[a-z0-9]{5}$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.ok(!readFileSync(file, 'utf8').includes(made));
  assert.match(refused(['add', 'nurse', '--role', 'viewer', '--generate']), /there already/);
  const before = readFileSync(file, 'utf8');
  assert.notEqual(command(['password', 'nurse', '--generate'], file).trim(), made);
  assert.notEqual(readFileSync(file, 'utf8'), before);
  assert.equal(command(['list'], file), 'nurse viewer\n');
  command(['remove', 'nurse'], file);
  assert.equal(command(['list'], file), '');
  writeFileSync(file, 'damaged\n');
  assert.match(refused(['list']), /line 1 of the users' file/);
  rmSync(file);
});

test('with a certificate the pages come by HTTPS, and the cookie only there', async (t) => {
  const ward = await server(t);
  const tls = { NODERED_TLS_CERT_FILE: ward.certificate, NODERED_TLS_KEY_FILE: join(ward.data, 'tls/broker-key.pem') };
  const nodered = await nodeRed(t, ward, tls);
  const request = httpsRequest(`https://localhost:${nodered.env.NODERED_PORT}/login`, { method: 'POST', ca: readFileSync(ward.certificate), family: 4 });
  request.end(String(new URLSearchParams({ name: 'nurse', password: PASSWORDS.nurse })));
  const [response] = await once(request, 'response');
  assert.equal(response.statusCode, 303);
  assert.match(response.headers['set-cookie'][0], /; Secure$/);
});

// The desk device in a real browser and at a real server: what a person does who has no hardware. Needs mosquitto_sub.
//
//   node --test test/desk.test.mjs       from this crate's folder, after `npm ci`
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { PATIENCE_MS, fill, launch, open, save } from './browser.mjs';
import { program } from './program.mjs';

const PASSWORD = 'a good password';
const VALUES = [
  'Physiological_Data/Temperature',
  'Physiological_Data/Pulse_Signal',
  'Physiological_Data/Accelerometer/x',
  'Physiological_Data/Accelerometer/y',
  'Physiological_Data/Accelerometer/z',
  'Internal_Device_Data/Temperature/MCU',
  'Internal_Device_Data/Temperature/MPU',
];

// A running program whose lines can be waited for.
const running = (t, executable, args) => {
  const child = spawn(executable, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  t.after(async () => {
    if (child.exitCode === null) {
      child.kill();
      await once(child, 'exit');
    }
  });
  const line = (stream) => {
    const lines = createInterface({ input: stream })[Symbol.asyncIterator]();
    return async (words) => {
      for (;;) {
        const { value, done } = await lines.next();
        assert.ok(!done, `it ended without ${words}`);
        if (value.includes(words)) return value;
      }
    };
  };
  return { out: line(child.stdout), told: line(child.stderr) };
};

// A server with a device of this protocol and a reader.
const ward = async (t, protocol) => {
  const folder = mkdtempSync(join(tmpdir(), 'vitalwire-desk-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const executable = program('VITALWIRE', '--package', 'vitalwire');
  const data = ['--data', join(folder, 'data')];
  const identity = join(folder, 'bed_07.bin');
  const run = (args, input = '') => execFileSync(executable, [...args, ...data], { input, stdio: ['pipe', 'pipe', 'ignore'] });
  run(['init']);
  run(['device', 'add', 'bed_07', '--protocol', protocol]);
  run(['device', 'provision', 'bed_07', '--bin', identity]);
  run(['user', 'add', 'nurse', '--role', 'reader', '--password-stdin'], PASSWORD);
  const any = '127.0.0.1:0';
  const listen = ['--listen', any, '--mqtt-listen', any, '--metrics-listen', any, '--mqtt-tls-listen', any];
  const serve = running(t, executable, ['serve', ...listen, '--mqtt-websocket-listen', any, ...data]);
  const line = await serve.out('listening');
  const port = (name) => line.match(new RegExp(` ${name}=\\S*:(\\d+)`))[1];
  return { executable, identity, devicePort: port('devices'), mqttPort: port('mqtt') };
};

// The topics that a subscriber sees in so many messages.
const topics = (port) => {
  const args = ['-h', '127.0.0.1', '-p', port, '-u', 'nurse', '-P', PASSWORD, '-t', 'Pico/#', '-v', '-C', '200'];
  const seen = execFileSync('mosquitto_sub', args, { encoding: 'utf8', timeout: PATIENCE_MS });
  return new Set(seen.split('\n').map((line) => line.split(' ')[0]));
};

// Sets a desk device up in a page that is open already, and looks at what arrives.
const setUp = async (page, device, { devicePort, mqttPort }) => {
  await fill(page, { network: 'Ward 3', password: 'correct horse', server: '127.0.0.1', port: devicePort });
  assert.match(await save(page), /^Saved/);
  await device.told('takes its values');
  const seen = topics(mqttPort);
  for (const value of VALUES) assert.ok(seen.has(`Pico/bed_07/${value}`), `${value} is missing in ${[...seen]}`);
};

const started = async (t, { executable, identity }) => {
  const device = running(t, executable, ['simulate', 'device', '--identity', identity, '--setup']);
  return { device, url: new URL((await device.out('page: ')).slice('page: '.length)) };
};

test('a device that is set up at the printed address brings its values to a subscriber', async (t) => {
  const all = await ward(t, 'tls');
  const { device, url } = await started(t, all);
  const browser = await launch(0);
  t.after(() => browser.close());
  const page = await browser.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  await page.goto(url.href);
  assert.equal(await page.inputValue('#key'), url.hash.slice(1), 'the address has the setup key');
  await setUp(page, device, all);
});

test('so does one with AES-CBC frames, from a phone that finds it at 192.168.4.1', async (t) => {
  const all = await ward(t, 'aes-cbc');
  const { device, url } = await started(t, all);
  const browser = await launch(Number(url.port));
  t.after(() => browser.close());
  const { page, requests, errors } = await open(browser, { fragment: url.hash });
  assert.equal(await page.textContent('#device'), 'bed_07');
  await setUp(page, device, all);
  assert.deepEqual([requests.length, errors], [2, []], 'the page and the save');
});

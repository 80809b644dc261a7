// The lines of README.md's "Start", run as they are written.
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { ROOT, login } from './support/nodered.mjs';
import { folder, freePort, start } from './support/process.mjs';
import { server } from './support/server.mjs';

const lines = () => {
  const [, section] = readFileSync(join(ROOT, 'README.md'), 'utf8').split('## Start\n');
  return section
    .split('\n## ')[0]
    .split('\n')
    .filter((line) => line.startsWith('    '))
    .map((line) => line.slice(4));
};

test('the lines of "Start" give a Node-RED that one can log in to', async (t) => {
  const ward = await server(t);
  ward.run(['user', 'remove', 'node-red']);
  const home = folder(t);
  mkdirSync(join(home, 'bin'));
  symlinkSync(ward.vitalwire, join(home, 'bin/vitalwire'));
  symlinkSync(ward.data, join(home, 'data'));
  symlinkSync(`${ward.data}.master-key`, join(home, 'data.master-key'));
  const script = lines()
    // Installed already: else this test would not run.
    .filter((line) => !line.startsWith('npm ci'))
    // There is no terminal here to ask for the password.
    .map((line) => (line.startsWith('npm run user') ? `${line} --generate` : line))
    // So that it is this process that the test ends.
    .map((line) => line.replace(/^npm start\b/, 'exec node node_modules/.bin/node-red --settings settings.js'))
    .join('\n');
  assert.match(script, /exec node/);
  const port = await freePort();
  const env = {
    PATH: `${join(home, 'bin')}:${process.env.PATH}`,
    HOME: home,
    NODERED_DATA: join(home, 'node-red'),
    NODERED_PORT: String(port),
    NODERED_MQTT_PORT: String(ward.tlsPort),
  };
  const running = start(t, 'bash', ['-euc', `cd "$1"\n${script}`, 'bash', ROOT], { env });
  const text = await running.said('Connected to broker');
  await running.said('Server now running');
  const [nurse] = text.match(/^([a-z0-9]{5}-){3}[a-z0-9]{5}$/m);
  assert.equal((await login(`http://127.0.0.1:${port}`, 'nurse', nurse)).response.status, 303);
});

// The command that a person starts: it shows where the page is, serves it to any browser, follows a script, and ends.

import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { firmware } from '../src/builds.mjs';
import { saveSettings } from './support/setup-client.mjs';

const PROGRAM = fileURLToPath(new URL('../emulate.mjs', import.meta.url));

test('it says what it can do, and what is wrong with its arguments', () => {
  const run = (...arguments_) => spawnSync(process.execPath, [PROGRAM, ...arguments_], { encoding: 'utf8' });
  assert.match(run('--help').stdout, /npm run emulate/);
  const unknown = run('--bogus');
  assert.equal(unknown.status, 1);
  assert.match(unknown.stderr, /--bogus.*see --help/);
  assert.match(run('--elf', firmware(), '--server', '127.0.0.1:1').stderr, /--identity/);
});

test('a person sets the device up through it, a script takes the Wi-Fi away, and an interrupt ends it cleanly', async (context) => {
  const folder = mkdtempSync(join(tmpdir(), 'vitalwire-emulate-'));
  context.after(() => rmSync(folder, { recursive: true }));
  const script = join(folder, 'script.mjs');
  writeFileSync(
    script,
    `export default (board, perform) => board.on('log', (line) => {
      if (line.includes('the server takes values')) perform('wifi off');
    });`,
  );
  const arguments_ = [PROGRAM, '--elf', firmware(), '--page-port', '0', '--detailed', '--script', script];
  const child = spawn(process.execPath, arguments_, { stdio: ['ignore', 'pipe', 'inherit'] });
  context.after(() => child.kill('SIGKILL'));
  const ended = once(child, 'exit');
  const lines = createInterface({ input: child.stdout });
  const seen = [];
  const wanted = new Set();
  lines.on('line', (line) => {
    seen.push(line);
    wanted.forEach((look) => look());
  });
  const line = (pattern) =>
    new Promise((resolve) => {
      const look = () => {
        const match = seen.map((text) => text.match(pattern)).find(Boolean);
        if (!match) return;
        wanted.delete(look);
        resolve(match);
      };
      wanted.add(look);
      look();
    });

  const [, port, key] = await line(/http:\/\/127\.0\.0\.1:(\d+)\/#([0-9a-f]{32})/);
  await line(/AT\+CIPSTART=4,"UDP"/);
  const settings = { server: '192.168.7.10', port: 9_998, network: 'ward', password: 'a long password' };
  assert.equal((await saveSettings(Number(port), settings, key)).saved, true);
  await line(/restarts by its watchdog/);
  await line(/the server takes values/);
  await line(/WIFI DISCONNECT/);
  child.kill('SIGINT');
  assert.deepEqual(await ended, [0, null]);
  assert.match(seen.at(-1), /has no power/);
});

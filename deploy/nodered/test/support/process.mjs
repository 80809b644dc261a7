// Programs that a test starts, waits for and stops again, each by its own id.
import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

// Patience with a slow machine, in milliseconds.
export const PATIENCE_MS = 120_000;

// A folder of its own for a test, gone after it.
export const folder = (t) => {
  const made = mkdtempSync(join(tmpdir(), 'vitalwire-nodered-'));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
};

// A port that no one uses. None that the system gives to connections (Linux begins at 32768), so that none of another program takes it
// before the server does, or while that is away; and none that the tests in Rust take.
export const freePort = async () => {
  for (;;) {
    const port = randomInt(10_000, 20_000);
    const server = createServer().listen(port, '127.0.0.1');
    const isFree = await once(server, 'listening').catch(() => false);
    if (!isFree) continue;
    server.close();
    await once(server, 'close');
    return port;
  }
};

// Runs until `check` gives something, and gives that.
export const until = async (check, what) => {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > end) throw Error(`waited ${PATIENCE_MS} ms in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

// A running program. `said(words)` waits until it has printed them and gives the text so far; `stop` ends it.
export const start = (t, command, args, { env, signal = 'SIGTERM' } = {}) => {
  const child = spawn(command, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
  let text = '';
  let isOver = false;
  child.on('close', () => (isOver = true));
  child.on('error', (error) => (text += error.message));
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk) => (text += chunk));
  const stop = async (with_ = signal) => {
    if (isOver) return;
    child.kill(with_);
    await until(() => isOver, `the end of ${command}`);
  };
  t.after(() => stop());
  const said = (words) =>
    until(() => {
      if (text.includes(words)) return text;
      if (isOver) throw Error(`${command} ended without ${words}:\n${text}`);
      return undefined;
    }, `${words} of ${command}, which said:\n${text}`);
  const ended = async () => {
    await until(() => isOver, `the end of ${command}`);
    return { code: child.exitCode, text };
  };
  return { child, said, stop, ended, text: () => text };
};

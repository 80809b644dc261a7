// A browser whose tabs are hidden when another is in front of them: Playwright's never are, it pretends that each is looked at.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';
import { PATIENCE_MS, launchOptions } from '../../../crates/web/test/chromium.mjs';
import { listen } from './browser.mjs';

// Asks a browser over its debugger's port.
const connect = async (url) => {
  const socket = new WebSocket(url);
  await once(socket, 'open');
  const waiting = new Map();
  let last = 0;
  socket.on('message', (data) => {
    const { id, result, error } = JSON.parse(data);
    const [resolve, reject] = waiting.get(id) ?? [];
    waiting.delete(id);
    if (error) reject?.(Error(error.message));
    else resolve?.(result);
  });
  return (method, params = {}, sessionId) =>
    new Promise((resolve, reject) => {
      waiting.set(++last, [resolve, reject]);
      socket.send(JSON.stringify({ id: last, method, params, sessionId }));
    });
};

export const openTabs = async () => {
  const folder = mkdtempSync(join(tmpdir(), 'vitalwire-tabs-'));
  const { executablePath, args } = launchOptions('--autoplay-policy=no-user-gesture-required');
  const own = ['--remote-debugging-port=0', `--user-data-dir=${folder}`, '--no-first-run', 'about:blank'];
  const child = spawn(executablePath, [...args, ...own], { stdio: ['ignore', 'ignore', 'pipe'] });
  let ask;
  const stop = async () => {
    if (child.exitCode === null && child.signalCode === null) {
      const ended = once(child, 'exit');
      // In order, or its other processes write into the folder while it is removed.
      if (ask) ask('Browser.close').catch(() => {});
      else child.kill('SIGKILL');
      await ended;
    }
    rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
  };
  for await (const line of createInterface({ input: child.stderr })) {
    const address = /DevTools listening on (ws:\S+)/.exec(line)?.[1];
    if (address) {
      ask = await connect(address);
      break;
    }
  }
  child.stderr.resume();
  /** A new tab, in front of the others. */
  const open = async (url) => {
    const { targetId } = await ask('Target.createTarget', { url: 'about:blank' });
    const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
    await ask('Page.enable', {}, sessionId);
    await ask('Page.addScriptToEvaluateOnNewDocument', { source: `(${listen})()` }, sessionId);
    await ask('Page.navigate', { url }, sessionId);
    /** What an expression is in the page, when its promise is kept. */
    const evaluate = async (expression) => {
      const { result } = await ask('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true }, sessionId);
      return result.value;
    };
    const until = async (expression) => {
      for (let left = PATIENCE_MS; (await evaluate(expression)) !== true; left -= 100) {
        if (left <= 0) throw Error(`in vain: ${expression}`);
        await sleep(100);
      }
    };
    const toFront = () => ask('Target.activateTarget', { targetId });
    return { evaluate, until, toFront };
  };
  return { open, stop };
};

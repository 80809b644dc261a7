// A real browser, and what it says of a page: traces, heap.
import { createRequire } from 'node:module';
import { launchOptions } from '../../crates/web/test/chromium.mjs';
import { CATEGORIES, mainThread } from './figures.mjs';

const { chromium } = createRequire(new URL('../../web/dashboard/package.json', import.meta.url))('playwright-core');

export const WALL = { width: 1_920, height: 1_080 };
const PATIENCE_MS = 120_000;

export const launch = async (ends) => {
  // Sound needs no click, so that what a tab does at an alarm is in the figures.
  const browser = await chromium.launch(launchOptions('--autoplay-policy=no-user-gesture-required'));
  ends.after(() => browser.close());
  return browser;
};

// A page of a browser of its own, logged in where there is a cookie.
export const open = async (browser, { url, cookie, viewport = WALL, scripts = [] }) => {
  const context = await browser.newContext({ viewport, locale: 'en-GB' });
  if (cookie) await context.addCookies([{ ...cookie, url }]);
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  for (const { script, argument } of scripts) await page.addInitScript(script, argument);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  return { page, context, errors };
};

// The main thread in this time.
export const traced = async (browser, page, ms) => {
  await browser.startTracing(page, { categories: CATEGORIES });
  await page.waitForTimeout(ms);
  const { traceEvents } = JSON.parse(await browser.stopTracing());
  return mainThread(traceEvents);
};

// Bytes of live objects: garbage is collected first.
export const heapBytes = async (page) => {
  const session = await page.context().newCDPSession(page);
  await session.send('HeapProfiler.enable');
  await session.send('HeapProfiler.collectGarbage');
  const { usedSize } = await session.send('Runtime.getHeapUsage');
  await session.detach();
  return usedSize;
};

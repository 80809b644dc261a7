// A real browser at the page, as a person who logs in sees it.
import { chromium } from 'playwright-core';
import { launchOptions } from '../../../../crates/web/test/chromium.mjs';
import { PASSWORDS } from './nodered.mjs';
import { PATIENCE_MS } from './process.mjs';

export const PHONE = { width: 360, height: 740 };
export const DESKTOP = { width: 1_280, height: 900 };

export const browser = async (t) => {
  const launched = await chromium.launch({ ...launchOptions(), timeout: PATIENCE_MS });
  t.after(() => launched.close());
  return launched;
};

// A page of a browser of its own that logged in, with what it asked for and what went wrong in it.
export const open = async (launched, url, { name = 'nurse', password = PASSWORDS[name], viewport = DESKTOP, context: options } = {}) => {
  const context = await launched.newContext({ viewport, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const requests = [];
  const errors = [];
  page.on('request', (request) => requests.push(request.url()));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(`${message.text()} ${message.location().url}`));
  await page.goto(`${url}/dashboard`);
  await page.fill('#name', name);
  await page.fill('#password', password);
  await page.click('button');
  await page.waitForSelector('.vw[data-live=true]');
  return { page, context, requests, errors };
};

export const tile = (page, id) => page.locator(`[data-device="${id}"]`);

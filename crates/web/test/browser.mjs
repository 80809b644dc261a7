// A real browser as a phone beside a device: for the tests of the configuration page, here and in the emulator.
import { chromium } from 'playwright-core';
import { PATIENCE_MS, launchOptions } from './chromium.mjs';

export { PATIENCE_MS };

// The address of a device in its own network.
export const DEVICE_URL = 'http://192.168.4.1';
export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1_280, height: 900 };

// A browser for which `http://192.168.4.1` is what listens on this port of this machine; not a secure context, as on a
// phone.
export const launch = (port) =>
  chromium.launch(launchOptions(`--host-resolver-rules=MAP 192.168.4.1:80 127.0.0.1:${port}`));

// A page that has asked for the configuration page, with what it asked for and what went wrong in it. `fragment` is what a
// label's QR code adds: `#` and the setup key.
export const open = async (browser, { fragment = '', viewport = PHONE, ...options } = {}) => {
  const context = await browser.newContext({ viewport, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const requests = [];
  const errors = [];
  page.on('request', (request) => requests.push(`${request.method()} ${request.url()}`));
  page.on('pageerror', (error) => errors.push(error.message));
  page.on('console', (message) => message.type() === 'error' && errors.push(message.text()));
  await page.goto(`${DEVICE_URL}/${fragment}`);
  return { page, requests, errors };
};

// Fills in what is given: `network`, the name of one that the device sees, or `name`, that of another; `password`,
// `server`, `port`, `key`.
export const fill = async (page, { network, ...fields }) => {
  if (network !== undefined) {
    const option = page.locator('#network option', { hasText: network }).first();
    await page.selectOption('#network', await option.getAttribute('value'));
  } else if (fields.name !== undefined) await page.selectOption('#network', '');
  for (const [id, value] of Object.entries(fields)) await page.fill(`#${id}`, String(value));
};

// Saves, and gives what the page then says.
export const save = async (page) => {
  await page.click('#save');
  return result(page);
};

// What the page says once it is done.
export const result = async (page) => {
  await page.waitForFunction(() => !['', 'Saving…'].includes(document.getElementById('result').textContent));
  return page.textContent('#result');
};

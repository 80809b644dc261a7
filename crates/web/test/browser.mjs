// A real browser as a phone beside a device: for the tests of the configuration page, here and in the emulator.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

// The address of a device in its own network.
export const DEVICE_URL = 'http://192.168.4.1';
// Patience with a slow machine, in milliseconds.
export const PATIENCE_MS = 60_000;
export const PHONE = { width: 390, height: 844 };
export const DESKTOP = { width: 1_280, height: 900 };

const executablePath = () => {
  const paths = [process.env.VITALWIRE_CHROMIUM, '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];
  const found = paths.find((path) => path && existsSync(path));
  if (!found) throw Error('no Chromium is installed; install it (apt-get install chromium), or name it in VITALWIRE_CHROMIUM');
  return found;
};

// A browser for which `http://192.168.4.1` is what listens on this port of this machine; not a secure context, as on a
// phone.
export const launch = (port) =>
  chromium.launch({
    executablePath: executablePath(),
    timeout: PATIENCE_MS,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--host-resolver-rules=MAP 192.168.4.1:80 127.0.0.1:${port}`,
    ],
  });

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

// The server's dashboard in a real browser, over the TLS that the deployment made.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { browser } from '../../nodered/test/support/browser.mjs';
import { PATIENCE_MS } from '../../nodered/test/support/process.mjs';

// The link that `init` shows, at the port that is published here.
export const loginLink = (ward, said) => {
  const [, token] = said.match(/https:\/\/localhost:8443\/(#link=\S+)/) ?? [];
  assert.ok(token, said);
  return `https://localhost:${ward.ports.https}/${token}`;
};

// The head of an answer to who trusts our authority alone.
const head = (url, ca) =>
  new Promise((resolve, reject) => get(url, { ca: readFileSync(ca) }, (answer) => resolve(answer.resume())).on('error', reject));

// Opens the link, which logs in, and waits for a device with its values; the certificate is that of the authority, and `Secure` keeps the
// cookie there.
export const shows = async (t, ward, { link, device, ca }) => {
  const { origin } = new URL(link);
  const { statusCode, headers } = await head(`${origin}/`, ca);
  assert.equal(statusCode, 200);
  assert.match(headers['content-security-policy'], /default-src 'self'/);
  const context = await (await browser(t)).newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  const errors = [];
  page.on('pageerror', (error) => errors.push(error.message));
  await page.goto(link);
  const tile = page.locator('.tile', { hasText: device });
  await tile.waitFor();
  await tile.locator('.rate dd', { hasText: /^\d+$/ }).waitFor();
  const [cookie] = await context.cookies();
  assert.deepEqual([cookie.name, cookie.secure, cookie.httpOnly, cookie.sameSite], ['__Host-vitalwire_session_8443', true, true, 'Strict']);
  assert.deepEqual(errors, []);
  // Who typed the address without https:// comes there, too.
  const plain = await context.newPage();
  await plain.goto(origin.replace('https:', 'http:'));
  assert.equal(new URL(plain.url()).origin, origin);
  await plain.locator('.tile', { hasText: device }).waitFor();
};

// The page before the real server: the demonstration's patients, one of whom gets a fever.
//
//   cargo build && npm ci && VITALWIRE=../../target/debug/vitalwire npm test
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { PATIENCE_MS, faults, launch, open } from './browser.mjs';

const program = process.env.VITALWIRE;
const SECONDS = 300;

// The demonstration, and the link that it prints first.
const demonstrate = async () => {
  const any = ['--listen', '--mqtt-listen', '--metrics-listen', '--dashboard-listen'].flatMap((flag) => [flag, '127.0.0.1:0']);
  const demo = spawn(program, ['demo', '--json', '--seconds', String(SECONDS), ...any], { stdio: ['ignore', 'pipe', 'ignore'] });
  const ended = new Promise((resolve) => demo.once('exit', resolve));
  const lines = createInterface({ input: demo.stdout });
  const first = await new Promise((resolve, reject) => {
    lines.once('line', resolve);
    ended.then(() => reject(Error('the demonstration ended before it was ready')));
  });
  const stop = async () => {
    demo.kill('SIGINT');
    await ended;
  };
  return { link: JSON.parse(first).dashboard, stop };
};

describe('the demonstration', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let browser;
  let demo;
  before(async () => {
    [browser, demo] = await Promise.all([launch(), demonstrate()]);
  });
  after(async () => {
    await browser?.close();
    await demo?.stop();
  });

  test('shows five patients live, sounds a fever, and hears that someone knows', async () => {
    const { page, context, errors } = await open(browser, demo.link);
    await page.waitForFunction(() => document.querySelectorAll('.tile').length === 5);
    assert.ok(!page.url().includes('link='), 'the token left the address');
    // The first gesture lets the page sound.
    await page.mouse.click(5, 5);
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.rate dd')].filter((rate) => /^\d+$/.test(rate.textContent.trim())).length === 5,
    );
    await page.getByText(/\*\* Temp 3[89]\.\d > 38\.5/).first().waitFor({ timeout: 2 * PATIENCE_MS });
    await page.waitForFunction(() => window.loudness() > 0.01);
    assert.match(await page.title(), /Temp/);
    const tile = page.locator('.tile', { hasText: 'patient_02' });
    await tile.getByRole('button', { name: 'Acknowledge' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Acknowledge' }).click();
    await tile.getByText(/acknowledged|demo-nurse/i).first().waitFor();
    assert.deepEqual(await faults(page), []);

    // Who comes by the used link is no one; the session of this browser goes on.
    const again = await open(browser, demo.link);
    await again.page.getByLabel('Password').waitFor();
    await again.context.close();
    await page.reload();
    await page.locator('.tile').first().waitFor();
    const policy = errors.filter((error) => /Content Security Policy/.test(error));
    assert.deepEqual(policy, []);
    await context.close();
  });
});

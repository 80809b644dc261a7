// The page before the real server: the demonstration, as a new user meets it.
//
//   VITALWIRE=../../target/debug/vitalwire npm test
//   VITALWIRE_SCREENSHOTS=../../docs npm test      also takes the pictures of README
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, PHONE, faults, launch, open } from './browser.mjs';

const program = process.env.VITALWIRE;
const PORTS = ['--listen', '--mqtt-listen', '--metrics-listen', '--dashboard-listen'].flatMap((flag) => [flag, '127.0.0.1:0']);
const ALARM = /^\*\* Temp \d\d\.\d+ > 38\.5$/;

const picture = async (page, name) => {
  const folder = process.env.VITALWIRE_SCREENSHOTS;
  if (folder) await page.screenshot({ path: join(folder, `dashboard-${name}.png`), animations: 'disabled' });
};

describe('the demonstration', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [demo, link, browser, opened] = [];
  before(async () => {
    demo = spawn(program, ['demo', '--json', ...PORTS], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(demo, 'exit').then(() => Promise.reject(Error('the demonstration ended before it was ready')));
    const [first] = await Promise.race([once(createInterface({ input: demo.stdout }), 'line'), ended]);
    ended.catch(() => undefined);
    link = JSON.parse(first).dashboard;
    browser = await launch();
    opened = await open(browser, link);
  });
  after(async () => {
    await browser?.close();
    if (demo && demo.exitCode === null && demo.signalCode === null) {
      demo.kill('SIGKILL');
      await once(demo, 'exit');
    }
  });

  const until = (what, ...args) => opened.page.waitForFunction(what, ...args);

  test('shows five patients live, from one link', async () => {
    const { page, errors } = opened;
    await page.locator('.tile').nth(4).waitFor();
    assert.equal(await page.locator('.tile').count(), 5);
    assert.ok(!page.url().includes('link='), 'the token left the address');
    await until(() => [...document.querySelectorAll('.rate dd')].every((it) => /^\d+$/.test(it.textContent)));
    const ink = () =>
      page.evaluate(() =>
        [...document.querySelectorAll('.tile canvas.trace')].map((canvas) => {
          const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          return pixels.reduce((sum, it, at) => (at % 4 === 3 && it > 0 ? sum + at : sum), 0);
        }),
      );
    let first = [0];
    while (first.some((it) => it === 0)) first = await ink();
    let second = first;
    while (second.some((it, at) => it === first[at])) second = await ink();
    assert.deepEqual(errors, []);
  });

  test('has a link that works once', async () => {
    const { page, context } = await open(browser, link);
    await page.getByText('This link was used already').waitFor();
    await context.close();
  });

  test('shows the fever’s alarm first, and sounds it', async () => {
    const { page } = opened;
    await page.locator('.tile[data-alarm=medium]').waitFor();
    assert.match(await page.locator('.tile .words').first().textContent(), ALARM);
    await until(() => document.querySelector('.tile').dataset.alarm === 'medium');
    assert.match(await page.title(), /^\*\* Temp/);
    await until(() => window.loudness() > 0.2);
    await picture(page, 'ward');
    assert.deepEqual(await faults(page), []);
  });

  test('shows its trends', async () => {
    const { page } = opened;
    await page.locator('.tile .open').first().click();
    await page.locator('.trends canvas').nth(3).waitFor();
    await until(() => [...document.querySelectorAll('.trends figcaption span')].every((it) => it.textContent === ''));
    assert.match(await page.locator('.patient .words b').textContent(), ALARM);
    await picture(page, 'patient');
    await page.setViewportSize(PHONE);
    await picture(page, 'phone');
    await page.setViewportSize(DESKTOP);
  });

  test('tells each tab who acknowledged it', async () => {
    const { page, context } = opened;
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByRole('button', { name: 'Acknowledge' }).waitFor();
    await page.keyboard.press('a');
    await page.getByRole('button', { name: 'Expected' }).click();
    await page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
    for (const tab of [page, other]) await tab.getByText(/Acknowledged by .*: Expected/).waitFor();
    await until(() => window.loudness() === 0);
    await other.close();
  });

  test('stays signed in when it is loaded anew', async () => {
    const { page } = opened;
    await page.reload();
    await page.getByText(/Acknowledged by/).waitFor();
  });

  test('pauses alarms, and tells them again', async () => {
    const { page } = opened;
    await page.getByRole('button', { name: 'Pause 2 min' }).click();
    await page.getByText(/Alarms paused: [12]:\d\d left/).waitFor();
    await page.getByRole('button', { name: 'End the pause' }).click();
    await page.getByRole('button', { name: 'Pause 2 min' }).waitFor();
    assert.deepEqual(opened.errors, []);
  });

  test('is NO DATA when its server is killed', async () => {
    demo.kill('SIGKILL');
    await opened.page.getByText('NO DATA').waitFor();
    await until(() => window.loudness() > 0.2);
  });
});

// The views of alarms before the real server: limits, history, and the strip on paper.
//
//   VITALWIRE=../../target/debug/vitalwire node --test test/alarmviews.test.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { PHONE, DESKTOP, faults, launch, open } from './browser.mjs';

const program = process.env.VITALWIRE;
const PORTS = ['--listen', '--mqtt-listen', '--metrics-listen', '--dashboard-listen'].flatMap((flag) => [flag, '127.0.0.1:0']);
const THEMES = ['dark', 'light', 'contrast'];
const PX_PER_MM = 96 / 25.4;

describe('the views of alarms', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [demo, browser, opened] = [];
  before(async () => {
    demo = spawn(program, ['demo', '--json', ...PORTS], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(demo, 'exit').then(() => Promise.reject(Error('the demonstration ended before it was ready')));
    const [first] = await Promise.race([once(createInterface({ input: demo.stdout }), 'line'), ended]);
    ended.catch(() => undefined);
    browser = await launch();
    opened = await open(browser, JSON.parse(first).dashboard);
    // The fever is an alarm half a minute after the start.
    await opened.page.locator('.tile[data-alarm=medium]').waitFor();
  });
  after(async () => {
    await browser?.close();
    if (demo && demo.exitCode === null && demo.signalCode === null) {
      demo.kill('SIGKILL');
      await once(demo, 'exit');
    }
  });

  const inAllThemes = async (page) => {
    for (const theme of THEMES) {
      await page.evaluate((it) => (document.documentElement.dataset.theme = it), theme);
      assert.deepEqual(await faults(page), [], theme);
    }
    await page.evaluate(() => (document.documentElement.dataset.theme = 'dark'));
  };

  test('lists the alarms of before, and leads to the strip of one', async () => {
    const { page } = opened;
    await page.locator('.tile[data-alarm=medium] .open').click();
    await page.locator('.patient').getByRole('link', { name: 'Alarm history' }).click();
    const row = page.getByRole('row', { name: /Temp \d/ });
    await row.waitFor();
    assert.match(await row.locator('.flag').textContent(), /^\*\* Temp \d\d\.\d+ > 38\.5$/);
    assert.match(await row.textContent(), /by no one/);
    await inAllThemes(page);
    await page.getByLabel('Priority').selectOption('high');
    await page.getByText('No alarms in this time.').waitFor();
    await page.getByLabel('Priority').selectOption('medium');
    await row.waitFor();
    await page.setViewportSize(PHONE);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits a phone');
    await page.setViewportSize(DESKTOP);
    await row.getByRole('link', { name: /^Strip of/ }).click();
    await page.getByRole('heading', { name: /Temp \d/ }).waitFor();
  });

  test('shows the strip on millimetre paper, and prints it on one sheet in its size', async () => {
    const { page, errors } = opened;
    assert.match(page.url(), /#\/alarm\/\d+$/);
    await page.locator('.paper svg').nth(2).waitFor();
    assert.equal(await page.locator('.paper svg').count(), 3, 'three rows of ten seconds');
    const drawn = await page.locator('.paper .wave').evaluateAll((paths) => paths.map((it) => it.getAttribute('d').length));
    assert.ok(drawn[0] > 500, `nothing is drawn: ${drawn}`);
    const said = await page.locator('.paper dl').textContent();
    assert.match(said, /Temperature 35\.0–38\.5 °C/);
    assert.match(said, /HR 50–120 \/min/);
    assert.ok((await page.locator('.paper footer').textContent()).includes(await page.evaluate(() => Intl.DateTimeFormat().resolvedOptions().timeZone)));
    await inAllThemes(page);
    await page.emulateMedia({ media: 'print' });
    const { width } = await page.locator('.paper svg').first().boundingBox();
    assert.ok(Math.abs(width / PX_PER_MM - 250) < 0.5, `${width} px are no 250 mm`);
    assert.ok(!(await page.getByRole('button', { name: 'Print' }).isVisible()), 'no button on paper');
    assert.ok(!(await page.getByRole('link', { name: 'Ward' }).first().isVisible()), 'no bar on paper');
    await page.emulateMedia({ media: null });
    const pdf = (await page.pdf({ preferCSSPageSize: true })).toString('latin1');
    const [, wide, high] = /\/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)\s*\]/.exec(pdf).map(Number);
    assert.deepEqual([Math.round(wide), Math.round(high)], [842, 595], 'A4 on its side');
    assert.equal(pdf.match(/\/Type\s*\/Page\b(?!s)/g).length, 1, 'one sheet');
    assert.deepEqual(errors, []);
  });

  test('says that a strip is not there', async () => {
    const { page, errors } = opened;
    await page.evaluate(() => (location.hash = '#/alarm/99999'));
    await page.getByText(/This strip cannot be shown: no alarm of this number/).waitFor();
    // The browser itself notes the 404.
    errors.length = 0;
  });

  test('tries limits on the last day before they are set', async () => {
    const { page, errors } = opened;
    await page.evaluate(() => (location.hash = '#/'));
    await page.locator('.tile[data-alarm=medium] .open').click();
    await page.getByRole('link', { name: 'Limits' }).click();
    const limit = page.getByLabel('Temp high: limit');
    await limit.waitFor();
    assert.equal(await limit.inputValue(), '38.5');
    await inAllThemes(page);
    await limit.fill('41');
    await page.getByRole('button', { name: 'Try on the last 24 h' }).click();
    const row = page.locator('.preview').getByRole('row', { name: 'Temp high' });
    await row.waitFor();
    assert.deepEqual(await row.getByRole('cell').allTextContents(), ['1', '1', '0']);
    await page.locator('.preview li', { hasText: 'only with the limits set' }).first().waitFor();
    await page.setViewportSize(PHONE);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'it fits a phone');
    await page.setViewportSize(DESKTOP);
    assert.deepEqual(errors, []);
  });

  test('sets them, refuses nonsense, and tells of another hand', async () => {
    const { page, context, errors } = opened;
    const other = await context.newPage();
    await other.goto(page.url());
    await other.getByLabel('Temp high: limit').waitFor();
    await page.getByLabel('HR high: limit').fill('150');
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByText(/rate-extreme-high 140 lies within rate-high 150/).waitFor();
    await page.getByLabel('HR high: limit').fill('130');
    await page.getByLabel('HR high: delay in seconds').fill('30');
    await page.getByLabel('Battery low: on').uncheck();
    await page.getByText('Something is off').waitFor();
    await page.getByRole('button', { name: 'Set limits' }).click();
    await page.getByText('Set. The server watches by them within a second.').waitFor();
    await other.getByLabel('Temp high: limit').fill('39');
    await other.getByRole('button', { name: 'Set limits' }).click();
    await other.getByText(/someone else has set other limits/).waitFor();
    assert.equal(await other.getByLabel('HR high: limit').inputValue(), '130', 'they are shown');
    await other.close();
    await page.reload();
    const shown = async (label) => page.getByLabel(label).inputValue();
    await page.getByLabel('HR high: limit').waitFor();
    assert.deepEqual([await shown('HR high: limit'), await shown('HR high: delay in seconds')], ['130', '30']);
    assert.equal(await shown('Temp high: limit'), '41');
    assert.ok(!(await page.getByLabel('Battery low: on').isChecked()));
    // With them the fever is no alarm any more.
    await page.keyboard.press('Escape');
    await page.locator('.patient').waitFor();
    // The browser notes the refusals.
    assert.ok(errors.every((it) => /400|409/.test(it)), errors.join('\n'));
  });
});

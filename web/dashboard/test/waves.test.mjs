// Waves live and back, before the real server: the demonstration's patients.
//
//   VITALWIRE=../../target/debug/vitalwire node --test test/waves.test.mjs
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { PHONE, faults, launch, open } from './browser.mjs';
import { load } from './sources.mjs';

const program = process.env.VITALWIRE;
const PORTS = ['--listen', '--mqtt-listen', '--metrics-listen', '--dashboard-listen'].flatMap((flag) => [flag, '127.0.0.1:0']);

describe('waves of the demonstration', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [demo, browser, opened, decodeKept] = [];
  const kept = [];
  before(async () => {
    ({ decodeKept } = await load('wave/kept.ts'));
    demo = spawn(program, ['demo', '--json', ...PORTS], { stdio: ['ignore', 'pipe', 'ignore'] });
    const [first] = await once(createInterface({ input: demo.stdout }), 'line');
    browser = await launch();
    opened = await open(browser, JSON.parse(first).dashboard);
    const { page } = opened;
    page.on('response', async (response) => {
      if (!response.url().includes('/waves?') || response.status() !== 200) return;
      const bytes = await response.body();
      kept.push(decodeKept(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)));
    });
    await page.locator('.tile .open').first().click();
    await page.locator('.patient').waitFor();
  });
  after(async () => {
    await browser?.close();
    if (demo && demo.exitCode === null && demo.signalCode === null) {
      demo.kill('SIGKILL');
      await once(demo, 'exit');
    }
  });

  const until = (what, ...args) => opened.page.waitForFunction(what, ...args);
  const end = async () => /Up to (.+?)\. Drag/.exec(await opened.page.locator('.frozen').textContent())[1];

  test('say how far the picture is behind the sensor', async () => {
    await until(() => /Picture \d+\.\d s behind the sensor/.test(document.querySelector('.latency')?.textContent));
    const behindS = Number(/Picture (\d+\.\d) s/.exec(await opened.page.locator('.latency').textContent())[1]);
    assert.ok(behindS > 0 && behindS < 5, `${behindS} s`);
  });

  test('stand beside all that the paper’s panel has', async () => {
    const { page } = opened;
    const cell = (name) => page.getByRole('row', { name }).locator('td').first();
    for (const name of [/^Temperature \d/, /^Temperature, processor/, /^Temperature, movement sensor/]) {
      await until((it) => it !== '––', await cell(name).textContent());
    }
    for (const axis of ['x', 'y', 'z']) await page.getByRole('row', { name: new RegExp(`^Acceleration ${axis} -?\\d`) }).waitFor();
    for (const [name, value] of [
      ['Device: address', /^127\.0\.0\.1$/],
      ['Device: port', /^\d+$/],
      ['Server: address', /^127\.0\.0\.1$/],
      ['Server: port', /^\d+$/],
    ]) {
      assert.match(await cell(name).textContent(), value, name);
    }
    assert.equal(await page.locator('.bar i').count(), 3);
  });

  test('mark each beat', async () => {
    // Triangles at the top are all that is drawn in the colour of text.
    await until(() => {
      const canvas = document.querySelectorAll('.waves canvas')[1];
      const [r, g, b] = [0xee, 0xf2, 0xf6];
      const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, 4);
      let found = 0;
      for (let at = 0; at < data.length; at += 4) if (data[at] === r && data[at + 1] === g && data[at + 2] === b && data[at + 3] === 255) found++;
      return found > 20;
    });
  });

  test('freeze, and go back over what is kept, with its beats', async () => {
    const { page } = opened;
    await page.keyboard.press(' ');
    await page.getByText('FROZEN').waitFor();
    await page.locator('.strip').first().waitFor();
    // It is asked for again while it is not settled.
    while (!kept.some(({ beatsMs, pieces }) => beatsMs.length > 3 && pieces.some(({ values }) => values.length > 100))) {
      await page.waitForResponse((response) => response.url().includes('/waves?'));
    }
    const before = await end();
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction((it) => !document.querySelector('.frozen').textContent.includes(it), before);
    const wider = page.getByRole('button', { name: 'Wider' });
    await wider.click();
    await page.getByText('12.5 mm/s').waitFor();
    await page.keyboard.press('+');
    await page.getByText('25 mm/s').waitFor();
    await page.getByRole('button', { name: 'Height ×1' }).click();
    await page.getByRole('button', { name: 'Height ×2' }).waitFor();
    // At the end the arrow back to the present leads no further.
    await page.keyboard.press('End');
    assert.equal(await end(), before);
    await page.keyboard.press('ArrowRight');
    assert.equal(await end(), before);
  });

  test('are measured by pointer and by keys', async () => {
    const { page } = opened;
    const measured = page.locator('.caliper span').first();
    const SAYS = /^(\d+) ms = (\d+) \/min · (\d+\.\d\d) m?V$/;
    const read = async () => {
      const words = await measured.textContent();
      assert.match(words, SAYS);
      return SAYS.exec(words).slice(1).map(Number);
    };
    // The demonstration has just begun: a closer look at its end has all that it shows.
    for (const key of ['+', '+', 'End']) await page.keyboard.press(key);
    await page.getByText('100 mm/s').waitFor();
    const box = await page.locator('.strip').first().boundingBox();
    await page.mouse.move(box.x + box.width - 20, box.y + 60);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width - 20 - 189, box.y + 60);
    await page.mouse.up();
    const [ms, perMin, volts] = await read();
    assert.ok(Math.abs(ms - 500) <= 5 && Math.abs(perMin - 120) <= 2, `${ms} ms, ${perMin} /min`);
    assert.ok(volts > 0.01 && volts < 20, `${volts}`);
    await page.keyboard.press('c');
    await measured.waitFor({ state: 'detached' });
    await page.keyboard.press('c');
    const [first] = await read();
    await page.keyboard.press('Shift+ArrowRight');
    await page.waitForFunction((it) => !document.querySelector('.caliper span').textContent.startsWith(`${it} ms`), first);
    assert.ok((await read())[0] > first);
    assert.deepEqual(await faults(page), []);
  });

  test('go on live from where they are', async () => {
    const { page } = opened;
    await page.keyboard.press(' ');
    await page.locator('.latency').waitFor();
    assert.equal(await page.locator('.strip').count(), 0);
    assert.deepEqual(opened.errors, []);
  });

  test('are all of a day in one view, of which only what is seen is asked for', async () => {
    const { page } = opened;
    const asked = [];
    page.on('request', (request) => request.url().includes('/waves?') && asked.push(request.url()));
    await page.getByRole('link', { name: '24 h' }).click();
    await page.locator('.lines canvas').waitFor();
    await until(() => {
      const canvas = document.querySelector('.lines canvas');
      const { data } = canvas.getContext('2d').getImageData(80, 0, canvas.width - 80, canvas.height);
      const wave = [0x4b, 0xe0, 0x8a];
      for (let at = 0; at < data.length; at += 4) if (wave.every((part, place) => Math.abs(data[at + place] - part) < 9) && data[at + 3] > 200) return true;
      return false;
    });
    assert.ok(asked.length < 12, `${asked.length} requests for what is on one screen`);
    const time = () => page.getByRole('slider').getAttribute('aria-valuetext');
    const before = await time();
    await page.getByRole('slider').focus();
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction((it) => document.querySelector('[role=slider]').getAttribute('aria-valuetext') !== it, before);
    // Yesterday, where nothing was measured.
    await page.keyboard.press('Home');
    await page.waitForFunction(() => document.querySelector('.lines').scrollTop < 2_000);
    await page.keyboard.press('End');
    await page.waitForFunction((it) => document.querySelector('[role=slider]').getAttribute('aria-valuetext') >= it, before);
    await page.getByRole('button', { name: '30 s' }).click();
    assert.deepEqual(await faults(page), []);
    await page.setViewportSize(PHONE);
    assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is beside the screen');
    await page.keyboard.press('Escape');
    await page.locator('.patient').waitFor();
    assert.deepEqual(opened.errors, []);
  });

  test('have trends over months and of earlier times', async () => {
    const { page } = opened;
    const asked = page.waitForRequest((request) => {
      const query = new URL(request.url()).searchParams;
      return request.url().includes('/history?') && query.get('to') - query.get('from') === 90 * 86_400_000;
    });
    await page.getByRole('button', { name: '90 d' }).click();
    await asked;
    await page.getByRole('button', { name: '15 min' }).click();
    await page.getByRole('button', { name: 'Earlier' }).click();
    await page.getByRole('button', { name: 'Earlier' }).click();
    await page.getByText('Nothing was measured in this time.').first().waitFor();
    await page.getByRole('button', { name: 'Now' }).click();
    assert.ok(await page.getByRole('button', { name: 'Later' }).isDisabled());
  });
});

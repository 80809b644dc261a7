// The page in a real browser, before a server of the tests (fake.mjs). Before the real one: demo.test.mjs.
//
//   npm ci && npm run build && npm test
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { brotliCompressSync } from 'node:zlib';
import { setTimeout as sleep } from 'node:timers/promises';
import { DESKTOP, PATIENCE_MS, PHONE, WALL, faults, launch, open } from './browser.mjs';
import { LINK, PEOPLE, alarm, list, start } from './fake.mjs';

let browser;
before(async () => (browser = await launch()));
after(() => browser.close());

const HIGH = () => alarm('rate-high', 'high', '*** HR 134 > 120', { value: 134, limit: 120, unit: '/min' });
const MEDIUM = () => alarm('temperature-high', 'medium', '** Temp 38.7 > 38.5', { value: 38.7, limit: 38.5, unit: 'Cel' });

// A server and a page that came by its link.
const withPage = (options, body) => async (t) => {
  const { path = '', server: serverOptions, setUp, ...pageOptions } = options;
  const server = await start(serverOptions);
  t.after(server.stop);
  setUp?.(server);
  const opened = await open(browser, `${server.url}${path}#link=${LINK}`, pageOptions);
  t.after(() => opened.context.close());
  await opened.page.locator('.tile').first().waitFor();
  await body({ server, ...opened }, t);
};

const tile = (page, bed) => page.locator('.tile', { has: page.locator(`.open b:text-is("${bed}")`) });
const beds = (page) => page.locator('.tile .open b').allTextContents();
const until = (page, what, ...args) => page.waitForFunction(what, ...args);
// Waits for what the server sees.
const eventually = async (what) => {
  for (let left = PATIENCE_MS; !what(); left -= 20) {
    assert.ok(left > 0, `in vain: ${what}`);
    await sleep(20);
  }
};
const goTo = async (page, id) => {
  await page.evaluate((it) => (location.hash = `#/patient/${it}`), id);
  await page.locator('.patient').waitFor();
};

describe('signing in', () => {
  test(
    'works by a link, whose token does not stay in the address',
    withPage({}, async ({ page, server, errors }) => {
      assert.equal(page.url(), server.url);
      assert.equal(await page.evaluate(() => history.length), 2, 'the blank page and this one');
      assert.deepEqual(await beds(page), ['Bed 1', 'Bed 2', 'Bed 3', 'Bed 4', 'loaner']);
      assert.deepEqual(errors, []);
    }),
  );

  test('works by a password, says what is wrong, and ends', async (t) => {
    const server = await start();
    t.after(server.stop);
    const { page, context } = await open(browser, `${server.url}#link=old`);
    t.after(() => context.close());
    await page.getByText('This link was used already').waitFor();
    await page.getByLabel('User').fill('ana');
    await page.getByLabel('Password').fill('wrong');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('The name or the password is wrong.').waitFor();
    await page.getByLabel('Password').fill('pw');
    await page.getByLabel('Password').press('Enter');
    await page.locator('.tile').first().waitFor();
    await page.getByRole('button', { name: 'Settings' }).click();
    server.state.failLogout = true;
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByText('Not signed out').waitFor();
    server.state.failLogout = false;
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByLabel('Password').waitFor();
  });

  test(
    'is asked for again when the session ends',
    withPage({}, async ({ page, server }) => {
      server.state.isIn = false;
      server.cut();
      await page.getByText('You were signed out.').waitFor();
    }),
  );
});

describe('the ward', () => {
  test(
    'shows numbers, and none where none is known',
    withPage({}, async ({ page, server }) => {
      await until(page, () => /^7[123]$/.test(document.querySelector('.rate dd').textContent));
      server.change('bed_01', { isSilent: true });
      await until(page, () => document.querySelector('.rate dd').textContent === '––');
    }),
  );

  test(
    'draws waves that move, and asks only for those that are seen',
    withPage({ server: { people: many(60) }, viewport: DESKTOP }, async ({ page, server }) => {
      const ink = () =>
        page.evaluate(() => {
          const canvas = document.querySelectorAll('.tile canvas')[1];
          const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
          return pixels.reduce((sum, it, at) => (at % 4 === 3 && it > 0 ? sum + at : sum), 0);
        });
      await until(page, () => document.querySelectorAll('.tile canvas')[1]?.width > 100);
      let [first, second] = [0, 0];
      while (first === 0) first = await ink();
      while (second === first || second === 0) second = await ink();
      // Until the browser said which tiles are seen, none of them is asked for.
      await eventually(() => server.watched.at(-1)?.length > 0);
      assert.ok(server.watched.at(-1).length < 30, `${server.watched.at(-1).length} of 60 are asked for`);
    }),
  );

  test(
    'has what is wrong first, in words, in the title and in the icon',
    withPage({}, async ({ page, server }) => {
      server.change('loaner', { list: list(MEDIUM()) });
      server.change('bed_03', { list: list(HIGH()) });
      await until(page, () => document.querySelector('.tile .open b').textContent === 'Bed 3');
      assert.deepEqual((await beds(page)).slice(0, 2), ['Bed 3', 'loaner']);
      assert.equal(await tile(page, 'Bed 3').locator('.words').textContent(), '*** HR 134 > 120');
      assert.equal(await page.title(), '*** HR 134 > 120 · Bed 3 – Vitalwire');
      assert.match(await page.locator('link[rel=icon]').getAttribute('href'), /high-/);
      assert.match(await page.locator('[aria-live=assertive]').textContent(), /^Bed 3: \*\*\* HR 134 > 120$/);
    }),
  );

  test(
    'does not move under the pointer',
    withPage({}, async ({ page, server }) => {
      await tile(page, 'Bed 1').hover();
      server.change('loaner', { list: list(HIGH()) });
      await tile(page, 'loaner').locator('.words').waitFor();
      assert.deepEqual(await beds(page), ['Bed 1', 'Bed 2', 'Bed 3', 'Bed 4', 'loaner']);
      await page.mouse.move(5, 5);
      await until(page, () => document.querySelector('.tile .open b').textContent === 'loaner');
    }),
  );

  test(
    'takes script in a name for text',
    withPage({ setUp: ({ people }) => (people[0].patient = '<img src=x onerror=alert(1)>') }, async ({ page, errors }) => {
      assert.equal(await tile(page, 'Bed 1').locator('.name').textContent(), '<img src=x onerror=alert(1)>');
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'is gone through by keys',
    withPage({}, async ({ page }) => {
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('ArrowRight');
      await page.keyboard.press('Enter');
      await page.getByRole('heading', { name: 'Bed 2' }).waitFor();
      await page.keyboard.press('ArrowRight');
      await page.getByRole('heading', { name: 'Bed 3' }).waitFor();
      await page.keyboard.press('Escape');
      await page.locator('.tile').first().waitFor();
    }),
  );

  test(
    'speaks Spanish to who does',
    withPage({ locale: 'es-ES', setUp: (server) => server.change('bed_02', { list: list(HIGH()) }) }, async ({ page }) => {
      assert.equal(await tile(page, 'Cama 2').locator('.words').textContent(), '*** FC 134 > 120');
      assert.equal(await page.locator('html').getAttribute('lang'), 'es');
    }),
  );
});

describe('alarms', () => {
  const withAlarm = (options, body) =>
    withPage({ setUp: (server) => server.change('bed_04', { list: list(HIGH(), MEDIUM()) }), ...options }, body);

  test(
    'are acknowledged with a reason',
    withAlarm({}, async ({ page, server }) => {
      await goTo(page, 'bed_04');
      await page.keyboard.press('a');
      await page.getByRole('button', { name: 'Expected' }).click();
      await page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
      await page.getByText('Acknowledged by ana').first().waitFor();
      const acks = server.asked.filter(({ route }) => route === 'POST alarms/ack').map(({ body }) => body);
      assert.deepEqual(acks.map(({ device, reason }) => [device, reason]), [['bed_04', 'Expected'], ['bed_04', 'Expected']]);
      assert.ok(acks.every(({ number }) => number > 0), 'only those that were shown');
    }),
  );

  test(
    'say why they were not acknowledged',
    withAlarm({}, async ({ page, server }) => {
      server.state.failAck = 'this alarm is not open any more';
      await tile(page, 'Bed 4').getByRole('button', { name: 'Acknowledge' }).click();
      await page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
      await page.getByText('this alarm is not open any more').waitFor();
    }),
  );

  test(
    'are paused, counted down and told again',
    withAlarm({}, async ({ page }) => {
      await goTo(page, 'bed_04');
      await page.keyboard.press('p');
      await page.getByText(/Alarms paused: [12]:\d\d left/).waitFor();
      await page.getByRole('button', { name: 'End the pause' }).click();
      await page.getByRole('button', { name: 'Pause 2 min' }).waitFor();
    }),
  );

  test(
    'are not offered to who may only look',
    withAlarm({ server: { can: [] } }, async ({ page }) => {
      assert.equal(await page.getByRole('button', { name: 'Acknowledge' }).count(), 0);
      await goTo(page, 'bed_04');
      await page.getByText('You may look').waitFor();
      await page.keyboard.press('a');
      assert.equal(await page.locator('dialog').count(), 0);
    }),
  );

  test(
    'sound after a click where the browser wants one, until someone knows',
    withAlarm({ isSoundBlocked: true }, async ({ page }) => {
      await page.locator('.strip.blocked').waitFor();
      assert.equal(await page.evaluate(() => window.loudness()), 0);
      await page.locator('.strip.blocked').click();
      await until(page, () => window.loudness() > 0.2);
      await page.locator('.strip.blocked').waitFor({ state: 'detached' });
      await tile(page, 'Bed 4').getByRole('button', { name: 'Acknowledge' }).click();
      await page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
      await page.locator('.tile[data-alarm]').waitFor({ state: 'detached' });
      await until(page, () => window.loudness() === 0);
    }),
  );

  test(
    'sound though no frame is drawn',
    withPage({}, async ({ page, server }) => {
      await page.evaluate(() => (window.requestAnimationFrame = () => 0));
      server.change('bed_01', { list: list(HIGH()) });
      await until(page, () => window.loudness() > 0.2, null, { polling: 50 });
    }),
  );

  test(
    'are silent on a screen whose sound is off, which says so',
    withAlarm({}, async ({ page }) => {
      await page.keyboard.press('s');
      await page.getByRole('button', { name: 'Off', exact: true }).click();
      await page.getByRole('button', { name: 'Close' }).click();
      await page.getByText('Sound is off on this screen').waitFor();
      await until(page, () => window.loudness() === 0);
    }),
  );
});

describe('a server that is not heard', () => {
  test(
    'makes all of it NO DATA, with a sound, until it is heard again',
    withPage({}, async ({ page, server }) => {
      server.state.isMute = true;
      await page.getByText('NO DATA').waitFor();
      assert.equal(await page.title(), 'NO DATA');
      assert.equal(await page.locator('.page').evaluate((it) => it.inert), true);
      await until(page, () => window.loudness() > 0.2);
      server.state.isMute = false;
      await page.getByText('NO DATA').waitFor({ state: 'detached' });
      await until(page, () => window.loudness() === 0);
    }),
  );

  test(
    'is connected to again by itself, and who is gone is not shown',
    withPage({}, async ({ page, server }) => {
      server.people.splice(0, 1);
      server.cut();
      await until(page, () => document.querySelectorAll('.tile').length === 4);
      assert.deepEqual(await beds(page), ['Bed 2', 'Bed 3', 'Bed 4', 'loaner']);
    }),
  );
});

describe('a patient', () => {
  test(
    'has waves that freeze and are measured, trends, and all values',
    withPage({}, async ({ page, server, errors }) => {
      await goTo(page, 'bed_02');
      await page.locator('.waves canvas').nth(1).waitFor();
      await page.keyboard.press(' ');
      await page.getByText('FROZEN').waitFor();
      await eventually(() => server.asked.some(({ route }) => route === 'GET devices/bed_02/waves'));
      const box = await page.locator('.strip').boundingBox();
      await page.mouse.move(box.x + 100, box.y + 50);
      await page.mouse.down();
      await page.mouse.move(box.x + 289, box.y + 50);
      await page.mouse.up();
      await page.getByText(/^2000 ms = 30 \/min · \d\.\d\d mV$/).waitFor();
      await until(page, () => document.querySelectorAll('.trends canvas').length === 4);
      await page.getByRole('list', { name: 'Nothing was measured' }).first().getByText(/: Device offline$/).waitFor({ state: 'attached' });
      await page.locator('.trends').getByRole('button', { name: '24 h' }).click();
      const day = ({ route, query }) => {
        const asked = new URLSearchParams(query);
        return route.includes('history') && asked.get('to') - asked.get('from') === 86_400_000;
      };
      await eventually(() => server.asked.filter(day).length >= 4);
      assert.equal(await page.getByRole('row', { name: /Temperature, processor/ }).locator('td').first().textContent(), '41.2');
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'who has the device next has nothing of the one before: no value, no wave, no trend',
    withPage({}, async ({ page, server, errors }) => {
      const asked = () => server.asked.filter(({ route }) => route === 'GET devices/bed_04/history').length;
      await goTo(page, 'bed_04');
      await until(page, () => document.querySelectorAll('.trends canvas').length === 4);
      await eventually(() => asked() >= 4);
      await until(page, () => {
        const canvas = document.querySelectorAll('.waves canvas')[1];
        window.before = canvas;
        if (!canvas?.width) return false;
        return canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((it) => it > 0);
      });
      const before = asked();
      // Nothing new is measured, and no message says that a value is known no more.
      server.change('bed_04', { isHalted: true, patient: 'Bo Kaya', stay: 2 });
      await page.getByText('Bo Kaya').first().waitFor();
      await eventually(() => asked() >= before + 4);
      await until(page, () => {
        const canvas = document.querySelectorAll('.waves canvas')[1];
        if (canvas === window.before) return false;
        return !canvas?.width || !canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((it) => it > 0);
      });
      assert.equal(await page.locator('.rate dd').first().textContent(), '––');
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'whose link makes no sense leaves the ward as it is',
    withPage({}, async ({ page, errors }) => {
      await page.evaluate(() => (location.hash = '#/patient/%'));
      await page.getByRole('button', { name: 'Settings' }).click();
      await page.locator('dialog').waitFor();
      await page.keyboard.press('Escape');
      await page.locator('.tile .open').first().click();
      await page.locator('.patient').waitFor();
      assert.deepEqual(errors, []);
    }),
  );

  test(
    'who is not there is not shown',
    withPage({}, async ({ page }) => {
      await page.evaluate(() => (location.hash = '#/patient/nobody'));
      await page.getByText('not watched any more').waitFor();
    }),
  );
});

describe('the looks', () => {
  const ill = (server) => {
    server.change('bed_02', { perMin: 134, list: list(HIGH()) });
    server.change('bed_04', { list: list(MEDIUM(), alarm('bad-signal', 'low', '* Signal bad')) });
    server.change('bed_03', { list: list(alarm('sensor-off', 'medium', '** Sensor off', { acknowledged: { by: 'ana', reason: null, time: new Date().toISOString() } })) });
    server.change('loaner', { online: false, list: list(alarm('device-offline', 'low', '* Device offline')) });
  };

  for (const theme of ['dark', 'light', 'contrast']) {
    test(
      `can be read by all, in ${theme}`,
      withPage({ theme, setUp: ill }, async ({ page }) => {
        assert.deepEqual(await faults(page), []);
        await page.keyboard.press('s');
        await page.locator('dialog').waitFor();
        assert.deepEqual(await faults(page), []);
        await page.keyboard.press('Escape');
        await goTo(page, 'bed_04');
        await until(page, () => document.querySelectorAll('.trends canvas').length === 4);
        assert.deepEqual(await faults(page), []);
      }),
    );
  }

  for (const [name, viewport, path] of [['a phone', PHONE], ['a desktop', DESKTOP], ['a wall', WALL, '?wall']]) {
    test(
      `fit on ${name}, and cut no alarm`,
      withPage({ viewport, path, setUp: ill }, async ({ page }) => {
        await until(page, () => document.querySelectorAll('.tile .words').length === 4);
        const cut = () =>
          page.evaluate(() => [...document.querySelectorAll('.tile .words, dd')].filter((it) => it.scrollWidth > it.clientWidth + 1).length);
        assert.equal(await cut(), 0);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth));
        await goTo(page, 'bed_04');
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), 'nothing is beside the screen');
      }),
    );
  }

  // As the server sends them: compressed when it was built.
  test(
    'are sent in less than 200 KB until the ward is there',
    withPage({ server: { people: many(16) } }, async ({ page, server }) => {
      const dist = join(import.meta.dirname, '../dist');
      const asked = await page.evaluate(() => performance.getEntriesByType('resource').map(({ name }) => name));
      const files = [server.url, ...asked].map((url) => new URL(url).pathname).filter((path) => !path.startsWith('/api/'));
      const bytes = new Map(
        files.map((path) => [path, brotliCompressSync(readFileSync(join(dist, path === '/' ? 'index.html' : path))).length]),
      );
      assert.ok(bytes.size >= 3, `${[...bytes.keys()]}`);
      const sum = [...bytes.values()].reduce((sum, it) => sum + it, 0);
      assert.ok(sum < 100_000, `${sum} bytes: ${JSON.stringify([...bytes])}`);
    }),
  );
});

function many(count) {
  return Array.from({ length: count }, (_, n) => ({ ...PEOPLE()[n % 4], n, id: `bed_${n}`, bed: String(n + 1) }));
}

// Each view on each kind of screen: as it was, and without serious faults for those who do not see it. Before a server of the tests.
//
//   VITALWIRE_LAYOUT=new node --test test/layout.test.mjs      keeps the pictures as they are now: look at them
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, PHONE, WALL, faults, launch, open } from './browser.mjs';
import { LINK, PEOPLE, alarm, list, start } from './fake.mjs';
import { difference, layoutFault } from './layout.mjs';

const ill = ({ change }) => {
  const high = alarm('rate-high', 'high', '*** HR 134 > 120', { value: 134, limit: 120, unit: '/min' });
  change('bed_02', { perMin: 134, list: list(high) });
  change('bed_04', { list: list(alarm('temperature-high', 'medium', '** Temp 38.7 > 38.5', { value: 38.7, limit: 38.5, unit: 'Cel' })) });
  change('loaner', { online: false, list: list(alarm('device-offline', 'low', '* Device offline')) });
};

describe('the layout', () => {
  let [browser, blank] = [];
  before(async () => {
    browser = await launch();
    blank = await (await browser.newContext()).newPage();
  });
  after(() => browser.close());

  const SCREENS = { phone: [PHONE, ''], desktop: [DESKTOP, ''], wall: [WALL, '?wall'] };
  const goTo = (page, hash) => page.evaluate((it) => (location.hash = it), hash);
  const VIEWS = {
    ward: async (page) => {
      await page.locator('.tile .words').nth(2).waitFor();
      await page.waitForFunction(() => document.querySelector('.tile').dataset.alarm === 'high');
    },
    patient: async (page) => {
      await goTo(page, '#/patient/bed_02');
      await page.waitForFunction(() => document.querySelectorAll('.trends canvas').length === 4);
    },
  };

  for (const [screen, [viewport, path]] of Object.entries(SCREENS)) {
    for (const [view, show] of Object.entries(VIEWS)) {
      test(`of the ${view} on a ${screen} is as it was`, async (t) => {
        const server = await start();
        t.after(server.stop);
        ill(server);
        const { page, context } = await open(browser, `${server.url}${path}#link=${LINK}`, { viewport, timezoneId: 'UTC' });
        t.after(() => context.close());
        await show(page);
        // Numbers come a second after the tiles.
        await page.waitForFunction(() => [...document.querySelectorAll('.rate dd')].some((it) => /^\d+$/.test(it.textContent)));
        assert.equal(await layoutFault(page, blank, `${view}-${screen}`), '');
      });
    }
  }

  for (const theme of ['dark', 'light', 'contrast']) {
    test(`of the login page is as it was, and can be read by all, in ${theme}`, async (t) => {
      const server = await start({ provider: 'Ward login' });
      t.after(server.stop);
      for (const [name, viewport] of [['phone', PHONE], ['desktop', DESKTOP]]) {
        const { page, context } = await open(browser, server.url, { viewport, theme });
        await page.getByRole('button', { name: 'Sign in with Ward login' }).waitFor();
        assert.deepEqual(await faults(page), []);
        if (theme === 'dark') assert.equal(await layoutFault(page, blank, `login-${name}`), '');
        await context.close();
      }
    });
  }

  test('is another one when a tile is gone, so that these tests can fail', async (t) => {
    const server = await start({ people: PEOPLE().slice(0, 2) });
    t.after(server.stop);
    const { page, context } = await open(browser, `${server.url}#link=${LINK}`);
    t.after(() => context.close());
    await page.locator('.tile').nth(1).waitFor();
    if (process.env.VITALWIRE_LAYOUT !== 'new') assert.notEqual(await layoutFault(page, blank, 'ward-desktop'), '');
    const dark = { width: 2, height: 1, grey: [0, 0] };
    assert.equal(difference(dark, { ...dark, grey: [40, 41] }), 50);
    assert.equal(difference(dark, { ...dark, width: 1 }), 100);
  });
});

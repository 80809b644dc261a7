// Every view that an admin comes to by links, on the real server: without serious faults for those who do not see it, in each theme, and
// with nothing beside the screen of a phone, a desktop and a wall. A view that is new is looked at without a word here.
//
//   VITALWIRE=../../target/debug/vitalwire node --test test/views.test.mjs
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, PHONE, WALL, faults, launch, open } from './browser.mjs';
import { program, signIn, start } from './server.mjs';

/** More would be a page that makes links without end. */
const VIEWS_MAX = 40;

// What two addresses of one view have in common: whose it is does not count.
const kindOf = (hash) => hash.replace(/^#\/(patient|device|alarm)\/[^/]+/, '#/$1/…');

describe('every view', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [server, browser, opened] = [];
  before(async () => {
    server = await start({ users: { ana: 'admin', watcher: 'reader' }, devices: 2 });
    server.send(['fever at=0s to=39.5 rise=1s device=2']);
    browser = await launch();
    opened = await open(browser, server.url);
    await signIn(opened.page, 'ana');
    // An alarm has views of its own.
    await opened.page.locator('.tile .words', { hasText: '** Temp' }).waitFor();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const goTo = async (page, hash) => {
    await page.evaluate((it) => (location.hash = it), hash);
    await page.locator('main :is(h1, h2, .notice:not([role=status]))').first().waitFor({ state: 'attached' });
    // What it asks for has come, or is said to be missing.
    await page.waitForLoadState('networkidle');
  };
  const links = (page) => page.evaluate(() => [...document.querySelectorAll('a[href^="#/"]')].map((it) => it.getAttribute('href')));

  // Addresses by what kind of view they show, as far as links lead.
  const crawl = async (page) => {
    const found = new Map([['#/', '#/']]);
    for (const [, hash] of found) {
      await goTo(page, hash);
      for (const link of await links(page)) if (!found.has(kindOf(link))) found.set(kindOf(link), link);
      assert.ok(found.size <= VIEWS_MAX, [...found.keys()].join(' '));
    }
    return [...found.values()];
  };

  test('can be read by all, in each theme, on each screen', async () => {
    const { page, errors } = opened;
    const hashes = await crawl(page);
    assert.ok(hashes.length >= 3, hashes.join(' '));
    const found = [];
    for (const theme of ['dark', 'light', 'contrast']) {
      await page.evaluate((it) => localStorage.setItem('vitalwire.theme', it), theme);
      await page.reload();
      await page.locator('main').waitFor();
      for (const hash of hashes) {
        await goTo(page, hash);
        found.push(...(await faults(page)).map((fault) => `${hash}, ${theme}: ${fault}`));
      }
    }
    for (const hash of hashes) {
      await goTo(page, hash);
      for (const viewport of [PHONE, WALL, DESKTOP]) {
        await page.setViewportSize(viewport);
        const beside = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        if (beside > 0) found.push(`${hash}, ${viewport.width} wide: ${beside} px are beside the screen`);
      }
      const heads = await page.evaluate(() => document.querySelectorAll('h1').length);
      if (heads !== 1) found.push(`${hash}: ${heads} headings of the first level`);
    }
    assert.deepEqual(found, []);
    assert.deepEqual(errors.filter((it) => !it.startsWith('Failed to load resource')), []);
  });

  test('is for who may see it: a reader is led to none of an admin’s, and gets nothing from their addresses', async () => {
    const { page, context } = await open(browser, server.url);
    await signIn(page, 'watcher');
    await page.locator('.tile').nth(1).waitFor();
    const adminOnly = ['#/devices', '#/patients', '#/users', '#/audit'];
    assert.deepEqual((await links(page)).filter((it) => adminOnly.includes(it)), []);
    const refused = [];
    page.on('response', (answer) => answer.url().includes('/api/v1/admin/') && refused.push(answer.status()));
    for (const hash of adminOnly) await goTo(page, hash);
    assert.ok(refused.every((status) => status === 403), `${refused}`);
    await context.close();
  });
});

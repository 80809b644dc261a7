// The page before the real server when things go wrong: a cable is pulled, the server is killed, a tab is hidden, two people act at once.
//
//   VITALWIRE=../../target/debug/vitalwire node --test test/real.test.mjs
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, open } from './browser.mjs';
import { PASSWORD, program, signIn, start } from './server.mjs';
import { openTabs } from './tabs.mjs';

const until = (page, what, ...args) => page.waitForFunction(what, ...args);
const isLoud = () => window.loudness() > 0.2;
const isQuiet = () => window.loudness() === 0;

describe('the page', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [server, browser] = [];
  before(async () => {
    server = await start({ users: { ana: 'admin', bo: 'admin', cora: 'clinician', watcher: 'reader' }, devices: 3 });
    server.send(['asystole at=25s device=2', 'fever at=0s to=39.5 rise=1s device=3']);
    browser = await launch();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });

  const signedIn = async (user, options) => {
    const opened = await open(browser, server.url, options);
    await signIn(opened.page, user);
    await opened.page.locator('.tile').nth(2).waitFor();
    return opened;
  };
  const another = async (context) => {
    const page = await context.newPage();
    await page.goto(server.url);
    return page;
  };
  const tile = (page, bed) => page.locator('.tile', { has: page.locator(`.open b:text-is("${bed}")`) });
  const acknowledge = async (page) => {
    await page.getByRole('button', { name: 'Acknowledge' }).first().click();
    await page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
  };

  test('sounds an alarm from the heart that stands still, in the pattern of its priority', async () => {
    const { page, context } = await signedIn('ana');
    // From the sensor to the loudspeaker, with nothing made up between: the level over time, as the sound card has it.
    await page.evaluate(() => {
      window.loudAt = [];
      const look = () => {
        const level = window.loudnessNow();
        window.loudAt.push([performance.now(), level, window.pitch(level)]);
        setTimeout(look, 10);
      };
      look();
    });
    await tile(page, 'Bed 2').locator('.words', { hasText: '*** ' }).waitFor();
    assert.equal(await tile(page, 'Bed 2').getAttribute('data-alarm'), 'high');
    await until(page, isLoud);
    // Ten pulses in a burst: each begins where the level rises.
    await until(page, () => {
      const begins = ([, level], at) => at > 0 && level > 0.1 && window.loudAt[at - 1][1] <= 0.1;
      return window.loudAt.filter(begins).length >= 5;
    });
    const pitches = await page.evaluate(() => window.loudAt.map(([, , hz]) => hz).filter((hz) => hz !== null));
    assert.ok(pitches.length > 0);
    const middle = pitches.toSorted((a, b) => a - b)[Math.floor(pitches.length / 2)];
    assert.ok(middle > 150 && middle < 1_000, `${middle} Hz`);
    await context.close();
  });

  test('sounds in a tab that is hidden', async () => {
    const tabs = await openTabs();
    try {
      const page = await tabs.open(server.url);
      await page.until("document.querySelector('input[name=password]') !== null");
      const how = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user: 'ana', password: PASSWORD }) };
      const other = await tabs.open('about:blank');
      await other.toFront();
      await page.until("document.visibilityState === 'hidden'");
      // It begins unseen, too: no frame of it is ever drawn.
      await page.evaluate(`fetch('api/v1/session', ${JSON.stringify(how)}).then(() => location.reload())`);
      await page.until("document.querySelector('.tile .words') !== null");
      await page.until('window.loudness() > 0.2');
      assert.equal(await page.evaluate('document.visibilityState'), 'hidden');
    } finally {
      await tabs.stop();
    }
  });

  test('is one alarm for two who acknowledge it at the same moment', async () => {
    const [ana, bo] = [await signedIn('ana'), await signedIn('bo')];
    for (const { page } of [ana, bo]) {
      await tile(page, 'Bed 3').locator('.open').click();
      await page.getByText(/^\*\* Temp/).first().waitFor();
      await page.keyboard.press('a');
      await page.locator('dialog').waitFor();
    }
    const press = ({ page }) => page.locator('dialog').getByRole('button', { name: 'Acknowledge' }).click();
    await Promise.all([ana, bo].map(press));
    const said = await Promise.all([ana, bo].map(({ page }) => page.getByText(/Acknowledged by (ana|bo)/).first().textContent()));
    assert.equal(said[0], said[1], 'both see who was first');
    for (const { page, errors, context } of [ana, bo]) {
      await page.locator('dialog').waitFor({ state: 'detached' });
      assert.deepEqual(errors.filter((it) => !it.includes('401')), []);
      await context.close();
    }
  });

  test('lives in six tabs at once, with their trends', async () => {
    const { page, context } = await signedIn('ana');
    const tabs = [page];
    while (tabs.length < 6) tabs.push(await another(context));
    for (const tab of tabs) {
      await tab.locator('.tile').nth(2).waitFor();
      await tab.evaluate(() => (location.hash = '#/patient/bed_01'));
    }
    for (const tab of tabs) {
      await tab.locator('.trends canvas').first().waitFor();
      await until(tab, () => [...document.querySelectorAll('.rate dd')].some((it) => /^\d+$/.test(it.textContent)));
      await tab.getByText('NO DATA').waitFor({ state: 'detached' });
    }
    await context.close();
  });

  test('offers a reader to look and nothing else, and the server takes nothing else', async () => {
    const { page, context } = await signedIn('watcher');
    await tile(page, 'Bed 2').locator('.words').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Acknowledge' }).count(), 0);
    await tile(page, 'Bed 2').locator('.open').click();
    await page.getByText('You may look').waitFor();
    const asked = await page.evaluate(() =>
      Promise.all(
        [
          ['alarms/ack', { device: 'bed_02' }],
          ['alarms/pause', { device: 'bed_02', seconds: 60 }],
        ].map(async ([path, body]) => {
          const headers = { 'content-type': 'application/json' };
          return (await fetch(`api/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) })).status;
        }),
      ),
    );
    assert.deepEqual(asked, [403, 403]);
    await context.close();
  });

  test('offers a clinician the alarms, and nothing that is for admins', async () => {
    const { page, context } = await signedIn('cora');
    await tile(page, 'Bed 2').locator('.words').waitFor();
    await tile(page, 'Bed 2').locator('.open').click();
    await page.getByRole('button', { name: 'Acknowledge' }).first().waitFor();
    const { can } = await page.evaluate(() => fetch('api/v1/session').then((it) => it.json()));
    assert.deepEqual(can.filter((it) => ['devices', 'patients', 'users', 'audit'].includes(it)), []);
    for (const view of ['devices', 'patients', 'users', 'audit']) assert.equal(await page.locator(`a[href="#/${view}"]`).count(), 0);
    await context.close();
  });

  test('is NO DATA when the cable is pulled, sounds it, and comes back by itself', async () => {
    const { page, context } = await signedIn('bo');
    await acknowledge(page);
    await page.locator('.tile[data-alarm]').waitFor({ state: 'detached' });
    await until(page, isQuiet);
    server.wire.cut();
    await page.getByText('NO DATA').waitFor();
    await until(page, isLoud);
    server.wire.join();
    await page.getByText('NO DATA').waitFor({ state: 'detached' });
    await until(page, () => [...document.querySelectorAll('.rate dd')].some((it) => /^\d+$/.test(it.textContent)));
    assert.equal(await page.locator('.tile').count(), 3);
    await context.close();
  });

  test('comes back by itself after the server was killed, signed in still, and shows what is missing', async () => {
    const { page, context } = await signedIn('ana');
    await tile(page, 'Bed 1').locator('.open').click();
    await page.locator('.trends canvas').first().waitFor();
    await server.kill();
    await page.getByText('NO DATA').waitFor();
    await server.silence();
    await server.serve();
    server.send();
    await page.getByText('NO DATA').waitFor({ state: 'detached' });
    await until(page, () => [...document.querySelectorAll('.rate dd')].some((it) => /^\d+$/.test(it.textContent)));
    // What devices with the paper's frames sent meanwhile is lost, and no line goes over it.
    const gaps = async () =>
      page.evaluate(async () => {
        const query = new URLSearchParams({ channel: 'Temperature', from: Date.now() - 600_000, to: Date.now() + 1_000, points: 1_000 });
        const { gap, time } = await (await fetch(`api/v1/devices/bed_01/history?${query}`)).json();
        return [time.length, gap.filter((it) => it > 0).length];
      });
    let [count, missing] = [0, 0];
    while (missing === 0) [count, missing] = await gaps();
    assert.ok(count > 1, `${count} stretches`);
    await context.close();
  });
});

// What admins do, before the real server: the demonstration, whose link logs an admin in.
//
//   VITALWIRE=../../target/debug/vitalwire npm test
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { after, before, describe, test } from 'node:test';
import { DESKTOP, PHONE, faults, launch, open } from './browser.mjs';

const program = process.env.VITALWIRE;
const PORTS = ['--listen', '--mqtt-listen', '--metrics-listen', '--dashboard-listen'].flatMap((flag) => [flag, '127.0.0.1:0']);
const SCRIPT = '<img src=x onerror=alert(1)>';

describe('an admin', { skip: program ? false : 'VITALWIRE names no program' }, () => {
  let [demo, url, browser, opened] = [];
  before(async () => {
    demo = spawn(program, ['demo', '--json', ...PORTS], { stdio: ['ignore', 'pipe', 'ignore'] });
    const ended = once(demo, 'exit').then(() => Promise.reject(Error('the demonstration ended before it was ready')));
    const [first] = await Promise.race([once(createInterface({ input: demo.stdout }), 'line'), ended]);
    ended.catch(() => undefined);
    const link = JSON.parse(first).dashboard;
    url = new URL(link).origin;
    browser = await launch();
    opened = await open(browser, link);
    await opened.page.locator('.tile').nth(4).waitFor();
  });
  after(async () => {
    await browser?.close();
    if (demo && demo.exitCode === null && demo.signalCode === null) {
      demo.kill('SIGKILL');
      await once(demo, 'exit');
    }
  });

  const button = (name, exact = true) => opened.page.getByRole('button', { name, exact });
  const dialog = () => opened.page.locator('dialog[open]');
  const inDialog = (name) => dialog().getByRole('button', { name, exact: true });
  const goTo = async (name) => {
    const { page } = opened;
    await button('Menu').click();
    await page.locator('#views').getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
  };
  const row = (text) => opened.page.locator('tbody tr', { hasText: text }).first();

  test('goes from view to view by the menu and the keyboard', async () => {
    const { page } = opened;
    await button('Menu').focus();
    await page.keyboard.press('Enter');
    for (const name of ['Patients', 'Devices', 'Users', 'Audit log']) {
      await page.locator('#views').getByRole('link', { name }).waitFor();
    }
    await page.keyboard.press('Escape');
    assert.ok(await page.locator('#views').isHidden());
    assert.ok(page.url().endsWith('/'), 'Escape closed the menu, and left nothing');
    await page.keyboard.press('Enter');
    while (!(await page.evaluate(() => document.activeElement.textContent === 'Devices'))) await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'MAIN');
    await page.keyboard.press('Escape');
    await page.locator('.tile').first().waitFor();
  });

  test('enrols a device, and prints its label', async () => {
    const { page } = opened;
    await goTo('Devices');
    await page.locator('tbody tr').nth(4).waitFor();
    assert.equal(await page.locator('tbody tr').count(), 5);
    await button('Enrol a device').click();
    await dialog().getByLabel('Name of the device').fill('a b');
    await inDialog('Enrol a device').click();
    await dialog().getByText('cannot stand in a name').waitFor();
    await dialog().getByLabel('Name of the device').fill('bed_99');
    await page.keyboard.press('Enter');
    await dialog().getByText('bed_99 is enrolled').waitFor();
    assert.match(await dialog().locator('code').nth(1).textContent(), /^[0-9a-f]{64}$/);
    await dialog().getByRole('link', { name: 'Set it up' }).click();
    await page.getByRole('heading', { level: 1, name: 'bed_99' }).waitFor();

    const download = page.waitForEvent('download');
    await button('Download bed_99.uf2').click();
    const file = readFileSync(await (await download).path());
    assert.equal(file.subarray(0, 4).toString(), 'UF2\n');

    await page.getByLabel('own network gets a password').check();
    await button('Label for the setup').click();
    await dialog().locator('svg text').nth(1).waitFor();
    assert.equal(await dialog().locator('svg text').nth(1).textContent(), '2. set up bed_99');
    await page.evaluate(() => (window.print = () => (window.isPrinted = true)));
    await inDialog('Print').click();
    assert.ok(await page.evaluate(() => window.isPrinted));
    await page.emulateMedia({ media: 'print' });
    const seen = await page.evaluate(() =>
      [...document.querySelectorAll('h1, .admin table, dialog button, dialog h2, dialog svg')]
        .filter((it) => getComputedStyle(it).visibility === 'visible')
        .map((it) => it.localName),
    );
    assert.deepEqual(seen, ['svg'], 'a label is printed alone');
    const width = await page.evaluate(() => document.querySelector('dialog svg').getBoundingClientRect().width);
    assert.ok(Math.abs(width - (100 / 25.4) * 96) < 1, `100 mm for two codes: ${width} px`);
    await page.emulateMedia({ media: 'screen' });
    await inDialog('Close').click();
  });

  test('sees what a device sent, was told and what is kept', async () => {
    const { page } = opened;
    await goTo('Devices');
    const id = await page.locator('tbody tr', { hasText: 'TLS' }).filter({ hasText: 'Online' }).first().locator('a').textContent();
    await page.getByRole('link', { name: id, exact: true }).click();
    await page.getByText('authenticated').waitFor();
    const numbers = page.locator('section', { hasText: 'Sent = acknowledged = stored' }).locator('tbody tr').first().locator('td');
    await numbers.filter({ hasText: 'nothing' }).waitFor();
    const [sent, acknowledged, stored] = await numbers.allTextContents();
    assert.ok(Number(sent) > 0);
    assert.deepEqual([acknowledged, stored], [sent, sent]);
    await page.locator('td', { hasText: 'Online' }).first().waitFor();
  });

  test('gives a device a new key, revokes and erases one by its typed name', async () => {
    const { page } = opened;
    await page.goto(`${url}/#/device/bed_99`);
    await button('New key').click();
    await inDialog('New key').click();
    await dialog().getByText('The old key works').waitFor();
    await inDialog('Close').click();
    await button('Erase').click();
    assert.ok(await inDialog('Erase').isDisabled());
    await dialog().getByLabel('Type bed_99 to go on').fill('bed_9');
    assert.ok(await inDialog('Erase').isDisabled());
    await dialog().getByLabel('Type bed_99 to go on').fill('bed_99');
    await inDialog('Erase').click();
    await page.getByText(/Erased: .*, 0 entries/).waitFor();
    await goTo('Devices');
    await button('Enrol a device').click();
    await dialog().getByLabel('Name of the device').fill('bed_98');
    await inDialog('Enrol a device').click();
    await dialog().getByRole('link', { name: 'Set it up' }).click();
    await button('Revoke').click();
    await inDialog('Revoke').click();
    await page.getByRole('heading', { level: 1, name: 'Devices' }).waitFor();
    await page.locator('tbody tr', { hasText: 'bed_98' }).waitFor({ state: 'detached' });
  });

  test('says who wears a device, and all see it', async () => {
    const { page } = opened;
    await goTo('Devices');
    await button('Enrol a device').click();
    await dialog().getByLabel('Name of the device').fill('spare');
    await inDialog('Enrol a device').click();
    await dialog().getByText('spare is enrolled').waitFor();
    await inDialog('Close').click();
    await goTo('Patients');
    await row('spare').getByRole('button', { name: 'Say who it is' }).click();
    await dialog().getByLabel('Name').fill(SCRIPT);
    await dialog().getByLabel('Bed').fill('42');
    await inDialog('Save').click();
    await row(SCRIPT).waitFor();
    await row('spare').getByRole('button', { name: 'Change' }).click();
    await dialog().getByLabel('Name').fill('Bo');
    assert.ok(await inDialog('Save').isDisabled(), 'who it is now must be said');
    await dialog().getByLabel('It is the same patient').check();
    await inDialog('Save').click();
    await row('Bo').waitFor();
    await row('Bo').getByRole('button', { name: 'Another patient' }).click();
    await dialog().getByLabel('Name').fill('Eve');
    await inDialog('Save').click();
    await row('Eve').getByRole('button', { name: 'Stays' }).click();
    await dialog().getByText('Bo').waitFor();
    await inDialog('Close').click();
    await row('Eve').getByRole('button', { name: 'Move' }).click();
    await dialog().getByLabel('To the device').selectOption('patient_05');
    await inDialog('Move').click();
    await row('patient_05').getByText('Eve').waitFor();
    await row('spare').getByText('no one known').waitFor();
    await row('Eve').getByRole('button', { name: 'Discharge' }).click();
    await inDialog('Discharge').click();
    await row('patient_05').getByText('no one known').waitFor();
  });

  test('adds a user, whose link logs in once, and removes them', async () => {
    const { page } = opened;
    await goTo('Users');
    await button('Add a user').click();
    await dialog().getByLabel('Name to sign in with').fill('evening');
    await dialog().getByLabel('a link that works once').check();
    await inDialog('Add a user').click();
    const link = await dialog().locator('code').textContent();
    await inDialog('Close').click();
    await row('evening').getByText('Viewer').waitFor();
    const other = await open(browser, link);
    await other.page.locator('.tile').first().waitFor();
    assert.equal(await other.page.locator('#views a', { hasText: 'Users' }).count(), 0);
    await other.page.goto(`${url}/#/users`);
    await other.page.getByText('There is no such view, or it is not for you.').waitFor();
    await row('evening').getByRole('button', { name: 'Password or link' }).click();
    await inDialog('Password or link').click();
    assert.match(await dialog().locator('code').textContent(), /^[a-z2-9-]{23}$/);
    await inDialog('Close').click();
    await other.page.getByText('You were signed out.').waitFor();
    await other.context.close();
    await row('evening').getByRole('button', { name: 'Remove' }).click();
    await inDialog('Remove').click();
    await page.locator('tbody tr', { hasText: 'evening' }).waitFor({ state: 'detached' });
    assert.equal(await page.locator('tbody tr', { hasText: '(you)' }).getByRole('button', { name: 'Remove' }).count(), 0);
  });

  test('searches and verifies the audit log', async () => {
    const { page } = opened;
    await goTo('Audit log');
    await page.getByLabel('With these words').fill('evening');
    await page.locator('select').selectOption('user-removed');
    await button('Search').click();
    await page.locator('tbody tr').nth(1).waitFor({ state: 'detached' });
    await row('user-removed').getByText(/ by dashboard as /).waitFor();
    await button('Verify').click();
    await page.getByText(/The audit log is sound: \d+ records/).waitFor();
    const head = await page.locator('.well code').textContent();
    await page.getByLabel('Head noted earlier').fill(head);
    await button('Verify').click();
    await page.getByText('It goes on from the head').waitFor();
    await page.getByLabel('Head noted earlier').fill('0'.repeat(64));
    await button('Verify').click();
    await page.getByText('The audit log is NOT sound').waitFor();
  });

  test('can read all of it, in each theme and on a phone', async () => {
    const { page } = opened;
    const found = [];
    for (const theme of ['dark', 'light', 'contrast']) {
      await page.evaluate((it) => (document.documentElement.dataset.theme = it), theme);
      for (const [hash, name] of [
        ['devices', 'Devices'],
        ['device/spare', 'spare'],
        ['patients', 'Patients'],
        ['users', 'Users'],
        ['audit', 'Audit log'],
      ]) {
        await page.evaluate((it) => (location.hash = `#/${it}`), hash);
        await page.getByRole('heading', { level: 1, name }).waitFor();
        await page.locator('tbody tr, .facts').first().waitFor();
        found.push(...(await faults(page)).map((fault) => `${theme} ${name}: ${fault}`));
        await page.setViewportSize(PHONE);
        assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), `${name} fits a phone`);
        await page.setViewportSize(DESKTOP);
      }
    }
    assert.deepEqual(found, []);
    assert.deepEqual(opened.errors.filter((error) => !/40[0-9]/.test(error)), []);
  });
});

// The page in a real browser, with real devices at a real server: what it shows is what mosquitto_sub sees, and it says so when that
// is old.
//
//   npm ci && npm test                                 in this folder; needs mosquitto_sub, Chromium and target/debug/vitalwire
//   VITALWIRE_SCREENSHOTS=../../docs npm test          also takes the picture of README
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { test } from 'node:test';
import { DESKTOP, PHONE, browser, open, tile } from './support/browser.mjs';
import { nodeRed } from './support/nodered.mjs';
import { PATIENCE_MS, until } from './support/process.mjs';
import { server } from './support/server.mjs';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SILENT_AFTER_MS = 4_000;
const SETTINGS = { NODERED_SILENT_AFTER_S: String(SILENT_AFTER_MS / 1_000) };
// The paper's topics of what a tile shows.
const TOPICS = {
  Temperature: 'Physiological_Data/Temperature',
  MPU_Temperature: 'Internal_Device_Data/Temperature/MPU',
  MCU_Temperature: 'Internal_Device_Data/Temperature/MCU',
  'Accelerometer/x': 'Physiological_Data/Accelerometer/x',
  'Accelerometer/y': 'Physiological_Data/Accelerometer/y',
  'Accelerometer/z': 'Physiological_Data/Accelerometer/z',
};
const ADDRESSES = {
  server_address: 'Internal_Server/Ip_address',
  server_port: 'Internal_Server/Port_address',
  device_address: 'Ip_address',
  device_port: 'Port_address',
};
// How long a device is away in a test, at least.
const PAUSE_MS = 4_000;
const KEYS = { iot_med_dev_01: '1234567890123456' };

const state = (page, id, wanted) =>
  page.waitForFunction(([device, text]) => document.querySelector(`[data-device="${device}"]`)?.dataset.state === text, [id, wanted], { timeout: PATIENCE_MS });

// What a tile shows at one moment: [text, time of measurement] by name, and the addresses.
const shown = (page, id) =>
  tile(page, id).evaluate((element) => {
    const all = (selector, entry) => Object.fromEntries([...element.querySelectorAll(selector)].map(entry));
    return {
      values: all('[data-value]', (each) => [each.dataset.value, [each.querySelector('strong').textContent, each.dataset.time]]),
      addresses: all('[data-address]', (each) => [each.dataset.address, each.querySelector('dd').textContent]),
    };
  });

const canvas = (page, id, name) => tile(page, id).locator('canvas').first().getAttribute(`data-${name}`);

test('values, addresses and curve are those that mosquitto_sub sees, for devices of both protocols', async (t) => {
  const ward = await server(t);
  const nodered = await nodeRed(t, ward, SETTINGS);
  const paper = await ward.subscriber('Pico/#');
  const ours = await ward.subscriber('vitalwire/v1/#');
  ward.frameDevices(KEYS);
  ward.tlsDevices(['bed_01'], ['--rate', '100']);
  const { page, requests, errors } = await open(await browser(t), nodered.url);
  for (const id of ['iot_med_dev_01', 'bed_01']) {
    await state(page, id, 'online');
    const seen = [];
    await until(async () => {
      const now = await shown(page, id);
      if (Object.keys(TOPICS).every((name) => now.values[name]?.[1]) && now.addresses.device_port !== '–' && now.values.Temperature[1] !== seen.at(-1)?.values.Temperature[1]) seen.push(now);
      return seen.length === 4;
    }, 'four readings on the page');
    const readings = () => new Map(ours().filter(([topic]) => topic === `vitalwire/v1/${id}/reading`).map(([, payload]) => [JSON.parse(payload).time, payload]));
    await until(() => readings().has(seen.at(-1).values.Temperature[1]), 'the same reading at mosquitto_sub');
    const published = (topic) => paper().filter(([other]) => other === `Pico/${id}/${topic}`).map(([, payload]) => payload);
    for (const { values, addresses } of seen) {
      for (const [name, topic] of Object.entries(TOPICS)) {
        const [text, time] = values[name];
        // The value of that very moment, digit by digit, and one that the paper's tree carried.
        assert.ok(readings().get(time).includes(`"${name}":{"value":${text},`), `${id} ${name} ${text} at ${time}`);
        assert.ok(published(topic).includes(text), `${id} ${topic} ${text}`);
      }
      for (const [name, topic] of Object.entries(ADDRESSES)) assert.equal(addresses[name], published(topic).at(-1), `${id} ${topic}`);
    }
    await until(async () => Number(await canvas(page, id, 'points')) > 60, 'a curve');
    const pulse = published('Physiological_Data/Pulse_Signal').map(Number);
    assert.ok(Number(await canvas(page, id, 'least')) >= Math.min(...pulse), id);
    assert.ok(Number(await canvas(page, id, 'most')) <= Math.max(...pulse), id);
    // A busy machine may hold a frame up for a moment, and that is drawn; nothing was missing for longer.
    assert.ok(Number(await canvas(page, id, 'longest-gap')) < PAUSE_MS, id);
  }
  assert.deepEqual(errors, []);
  assert.deepEqual([...new Set(requests.map((url) => new URL(url).origin))], [nodered.url], 'the page asks no one else');
});

test('devices appear by themselves; one that stops is silent or offline in time; a gap is drawn as a gap', async (t) => {
  const ward = await server(t);
  const nodered = await nodeRed(t, ward, SETTINGS);
  const { page } = await open(await browser(t), nodered.url);
  await page.waitForSelector('text=No device has connected yet.');
  const first = ward.tlsDevices(['bed_01']);
  await state(page, 'bed_01', 'online');
  const second = ward.frameDevices(KEYS);
  await state(page, 'iot_med_dev_01', 'online');
  assert.deepEqual(await page.locator('#vw-chosen option').allTextContents(), ['All (2)', 'bed_01', 'iot_med_dev_01']);

  // It closes its connection: the server says offline.
  await until(async () => Number(await canvas(page, 'iot_med_dev_01', 'points')) > 20, 'a curve');
  await second.stop();
  await state(page, 'iot_med_dev_01', 'offline');
  const words = () => tile(page, 'iot_med_dev_01').locator('.vw-state').innerText();
  assert.match(await words(), /^○ offline, last reading \d+ s ago$/);
  await until(async () => Number((await words()).match(/(\d+) s/)[1]) * 1_000 >= PAUSE_MS, 'a pause');
  second.begin();
  await state(page, 'iot_med_dev_01', 'online');
  await until(async () => Number(await canvas(page, 'iot_med_dev_01', 'longest-gap')) >= PAUSE_MS, 'a gap');

  // It is stopped, and its connection stays: only its silence tells. A busy machine is late now and then, but not each time.
  const late_ms = [];
  while (!late_ms.some((late) => late < 3_000)) {
    assert.ok(late_ms.length < 5, `${late_ms} ms after its time-out`);
    first.child.kill('SIGSTOP');
    const stopped = Date.now();
    try {
      await state(page, 'bed_01', 'silent');
      late_ms.push(Date.now() - stopped - SILENT_AFTER_MS);
      assert.match(await tile(page, 'bed_01').locator('.vw-state').innerText(), /^◐ silent for \d+ s$/);
      await state(page, 'iot_med_dev_01', 'online');
    } finally {
      first.child.kill('SIGCONT');
    }
    await state(page, 'bed_01', 'online');
  }

  await page.selectOption('#vw-chosen', 'bed_01');
  await until(async () => (await page.locator('.vw-tile').count()) === 1, 'one tile');
  assert.equal(await page.locator('.vw-tile').getAttribute('data-device'), 'bed_01');

  // What is erased at the server goes here, too.
  await first.stop();
  ward.run(['device', 'erase', 'bed_01', '--yes']);
  await until(async () => !(await page.locator('#vw-chosen option').allTextContents()).includes('bed_01'), 'the end of the erased device');
});

test('a broker or a Node-RED that is away is said, and the page goes on by itself', async (t) => {
  const ward = await server(t);
  const nodered = await nodeRed(t, ward, SETTINGS);
  ward.tlsDevices(['bed_01']);
  const { page } = await open(await browser(t), nodered.url);
  await state(page, 'bed_01', 'online');

  await ward.stop();
  await page.waitForSelector('#vw-trouble:has-text("no connection to the MQTT broker")');
  await state(page, 'bed_01', 'unknown');
  await ward.start();
  await page.waitForSelector('#vw-trouble', { state: 'detached' });
  await state(page, 'bed_01', 'online');

  await nodered.stop();
  await page.waitForSelector('#vw-trouble:has-text("This page gets no data")');
  assert.match(await tile(page, 'bed_01').locator('.vw-state').innerText(), /unknown, last reading \d+ s ago/);
  await nodered.start();
  await page.waitForSelector('#vw-trouble', { state: 'detached' });
  await state(page, 'bed_01', 'online');
});

test('the page fits a phone and a desktop, has no barrier that axe finds, and logs out', async (t) => {
  const ward = await server(t);
  const nodered = await nodeRed(t, ward, SETTINGS);
  const names = ['bed_01', 'bed_02', 'bed_03', 'a_device_with_a_name_that_is_as_long_as_the_protocol_lets_it_be'];
  ward.tlsDevices(names.slice(0, 2), ['--rate', '250', '--waveform', 'ecg']);
  ward.frameDevices(KEYS);
  const launched = await browser(t);
  const { page } = await open(launched, nodered.url, { viewport: DESKTOP });
  for (const id of ['bed_01', 'bed_02', 'iot_med_dev_01']) await state(page, id, 'online');
  await until(async () => Number(await canvas(page, 'bed_01', 'points')) > 480, 'curves');
  if (process.env.VITALWIRE_SCREENSHOTS) {
    await page.setViewportSize({ width: 1_180, height: 500 });
    await page.screenshot({ path: join(process.env.VITALWIRE_SCREENSHOTS, 'nodered.png') });
  }
  ward.tlsDevices(names.slice(2));
  await state(page, names[3], 'online');
  for (const viewport of [DESKTOP, PHONE]) {
    await page.setViewportSize(viewport);
    const { width, beyond } = await page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      beyond: [...document.querySelectorAll('.vw *')].filter((each) => each.clientWidth > 0 && each.getBoundingClientRect().right > innerWidth + 1).length,
    }));
    assert.ok(width <= viewport.width, `${width}`);
    assert.equal(beyond, 0);
    // Of the page itself; the frame around it is the dashboard's.
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => window.axe.run('.vw'));
    assert.deepEqual(violations.map(({ id, nodes }) => `${id} ${nodes[0].html}`), []);
  }
  await page.click('text=Log out');
  await page.waitForURL('**/login');
  await page.goBack();
  await page.reload();
  assert.equal(new URL(page.url()).pathname, '/login');
});

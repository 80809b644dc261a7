// The whole way, as a person goes it: a device that was never set up, a phone's browser, the form, and values arrive.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { fill, launch, open, save } from '../../../crates/web/test/browser.mjs';
import { SERVER, VALUES, WARD, onBench } from './support/bench.mjs';

/** What the emulated sensors make of each value. */
const IS_RIGHT = {
  temperature: (value) => value === 36.625,
  mcu_temperature: (value) => Math.abs(value - 27.5) < 1,
  mpu_temperature: (value) => Math.abs(value - 29) < 0.1,
  pulse: (value) => value > 1 && value < 2.5,
  x: (value) => Math.abs(value - 0.05) < 0.01,
  y: (value) => Math.abs(value + 0.1) < 0.03,
  z: (value) => Math.abs(value - 0.99) < 0.02,
};

test(
  'a device that was never set up gets its settings from a phone, and its seven values reach a subscriber',
  onBench({}, async (bench, context) => {
    const { board } = bench;
    const topics = await bench.subscribe();
    board.start();
    const browser = await launch(await bench.page());
    context.after(() => browser.close());
    const { page, requests, errors } = await open(browser, { fragment: `#${bench.setup_key}` });
    assert.equal(await page.inputValue('#key'), bench.setup_key);
    await fill(page, { network: WARD.name, password: WARD.password, server: SERVER.host, port: SERVER.port });
    const from = bench.now;
    assert.match(await save(page), /^Saved/);
    assert.equal(requests.length, 2, 'the page and the save, nothing else');
    assert.deepEqual(errors, []);

    await bench.told(/start by watchdog/, from);
    await bench.told(/WIFI GOT IP/, from);
    await bench.told(/the server takes values/, from);
    await bench.until('all seven topics', () => Object.values(VALUES).every((topic) => topics.has(topic)));
    for (const [name, isRight] of Object.entries(IS_RIGHT)) {
      const values = topics.get(VALUES[name]).map(Number);
      assert.ok(values.every(isRight), `${name}: ${values}`);
    }
    const delivering_at = board.pico.world.nanos;
    await bench.until('two flashes of the LED, one each 2 s', () => board.led.flashesSince(delivering_at) >= 2);
    const seconds = (board.pico.world.nanos - delivering_at) / 1e9;
    assert.ok(seconds > 1.9, `two flashes within ${seconds} s`);
  }),
);

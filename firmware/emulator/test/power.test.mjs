// The power goes in the middle of what the flash does: the settings are the old or the new ones, and the device comes back.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { FLASH_MAP } from '../src/board.mjs';
import { onBench } from './support/bench.mjs';
import { saveSettings, setUp } from './support/setup-client.mjs';

const isIn = ({ at, len }, operation) => operation.at >= at && operation.at < at + len;
const NETWORKS = [
  { name: 'old ward', password: 'a long password' },
  { name: 'new ward', password: 'a long password' },
];
/** Where in an operation of the flash the power goes. */
const PARTS = [0.05, 0.5, 0.95];

for (const tear of ['ordered', 'scattered']) {
  test(
    `a cut while settings are saved leaves the old or the new ones, and the device comes back (${tear})`,
    onBench({ tear, networks: NETWORKS, speed: 4 }, async (bench) => {
      const { board } = bench;
      const settings = (network) => ({ ...bench.settings, network });
      await setUp(bench, settings('old ward'));
      await bench.told(/WIFI GOT IP/);
      await bench.switchTo('configuration');
      for (const part of PARTS) {
        const port = await bench.page();
        let from = bench.now;
        board.cutInFlash(part, (operation) => isIn(FLASH_MAP.settings, operation));
        await saveSettings(port, settings('new ward'), bench.setup_key).catch(() => undefined);
        await bench.told(/power lost/, from);

        from = bench.now;
        board.switch.move('collector');
        board.pico.powerOn();
        await bench.told(/Collector mode/, from);
        const [, name] = await bench.told(/AT\+CWJAP_CUR="(.*?)"/, from);
        assert.ok(['old ward', 'new ward'].includes(name), name);
        await bench.told(/WIFI GOT IP/, from);
        await bench.switchTo('configuration');
      }
    }),
  );
}

test(
  'cuts while the outbox goes to the flash leave a device that delivers',
  onBench({ tear: 'scattered' }, async (bench) => {
    const { board } = bench;
    const from = await setUp(bench);
    await bench.told(/the server takes values/, from);
    board.air.switchWifi(false);
    for (const part of PARTS) {
      const on_at = board.pico.world.nanos;
      await bench.until('some seconds without network', () => board.pico.world.nanos - on_at > 4e9);
      const here = bench.now;
      // Moving the switch saves what was not delivered.
      board.cutInFlash(part, (operation) => isIn(FLASH_MAP.outbox, operation));
      board.switch.move('configuration');
      await bench.told(/power lost/, here);
      board.switch.move('collector');
      board.pico.powerOn();
      await bench.told(/Collector mode/, here);
    }
    const here = bench.now;
    board.air.switchWifi(true);
    await bench.told(/the server takes values/, here);
    const before = (await bench.stored()).samples;
    await bench.until('more samples arrive', async () => (await bench.stored()).samples > before + 40);
    assert.equal(bench.story.some((line) => /panicked|fault at/.test(line)), false);
  }),
);

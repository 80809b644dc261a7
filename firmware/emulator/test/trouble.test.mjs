// What goes wrong on the way to the server, the LED and the next configuration page say, and a new save puts it right.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { WARD, onBench } from './support/bench.mjs';
import { readPage, saveSettings, setUp } from './support/setup-client.mjs';

/** Lengths of the groups of flashes that the LED's history shows, pauses being longer than 800 ms. */
function flashGroups(history) {
  const groups = [];
  let last_nanos = -Infinity;
  for (const { at_nanos, isLit } of history) {
    if (!isLit) continue;
    if (at_nanos - last_nanos > 0.8e9) groups.push(0);
    groups[groups.length - 1]++;
    last_nanos = at_nanos;
  }
  return groups;
}

test(
  'a wrong Wi-Fi password is three flashes, the next page says so, and a right one puts it right',
  onBench({}, async (bench) => {
    const { board } = bench;
    await setUp(bench, { ...bench.settings, password: 'not the password' });
    await bench.told(/\+CWJAP:2/);
    const refused_at = board.pico.world.nanos;
    const history = () => board.led.history.filter(({ at_nanos }) => at_nanos > refused_at);
    await bench.until('a whole group of three flashes', () => flashGroups(history()).slice(1, -1).includes(3));

    await bench.switchTo('configuration');
    const { trouble, networks } = await readPage(await bench.page());
    assert.equal(trouble, 'The Wi-Fi network refused the password');
    assert.deepEqual(networks.map(([name]) => Buffer.from(name, 'hex').toString()), [WARD.name]);
    const from = bench.now;
    assert.equal((await saveSettings(await bench.page(), bench.settings, bench.setup_key)).saved, true);
    // The switch still stands at configuration; the restart after a save goes to collector mode all the same.
    await bench.told(/the server takes values/, from);
  }),
);

test(
  'a network that is not there is two flashes',
  onBench({ speed: 4 }, async (bench) => {
    await setUp(bench, { ...bench.settings, network: 'nowhere' });
    await bench.told(/\+CWJAP:3/);
    const missed_at = bench.board.pico.world.nanos;
    const history = () => bench.board.led.history.filter(({ at_nanos }) => at_nanos > missed_at);
    await bench.until('a whole group of two flashes', () => flashGroups(history()).slice(1, -1).includes(2));
  }),
);

test(
  'a wrong setup key saves nothing, a replayed save neither, and the page stays',
  onBench({ speed: 2 }, async (bench) => {
    bench.board.start();
    const port = await bench.page();
    const refused = await saveSettings(port, bench.settings, '00'.repeat(16));
    assert.equal(refused.status, 403);
    assert.equal(refused.tries, 4);
    const { id, trouble, len } = await readPage(port);
    assert.equal(id.length, 32);
    assert.equal(trouble, undefined);
    assert.ok(len <= 7_000, `${len} bytes`);
  }),
);

test(
  'a second phone reaches nothing while the first is there',
  onBench({ speed: 2 }, async (bench) => {
    bench.board.start();
    const port = await bench.page();
    await readPage(port);
    await assert.rejects(readPage(port, { address: '127.0.0.2' }));
    bench.board.modem.stations.leave('127.0.0.1');
    assert.equal((await readPage(port, { address: '127.0.0.2' })).id.length, 32);
  }),
);

// The network is away for a minute, in the time of the people around too: no sample is lost.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { DEVICE, onBench } from './support/bench.mjs';
import { setUp } from './support/setup-client.mjs';

const AWAY_SECONDS = 60;
const SAMPLES_PER_SECOND = 20;

test(
  'a minute without Wi-Fi loses no sample',
  onBench({}, async (bench) => {
    const { board } = bench;
    const from = await setUp(bench);
    await bench.told(/the server takes values/, from);
    await bench.until('samples are on the gateway\'s disk', async () => (await bench.stored()).samples >= 40);
    board.air.switchWifi(false);
    await bench.told(/WIFI DISCONNECT/, from);
    const away_at = board.pico.world.nanos;
    await bench.until('a minute has passed', () => board.pico.world.nanos - away_at >= AWAY_SECONDS * 1e9);
    const before = await bench.stored();

    const here = bench.now;
    board.air.switchWifi(true);
    await bench.told(/the server takes values/, here);
    const back_at = board.pico.world.nanos;
    const expected = before.samples + AWAY_SECONDS * SAMPLES_PER_SECOND;
    await bench.until('what was measured meanwhile has arrived', async () => (await bench.stored()).samples >= expected);
    assert.deepEqual(await bench.gateway.missing(DEVICE), []);
    bench.tell('test', `all arrived ${(board.pico.world.nanos - back_at) / 1e9} s after the network was back`);
  }),
);

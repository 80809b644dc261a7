// A device that was enrolled for the paper's AES-CBC frames.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { VALUES, onBench } from './support/bench.mjs';
import { setUp } from './support/setup-client.mjs';

test(
  'a device with AES-CBC frames delivers all seven values, twenty times a second',
  onBench({ protocol: 'aes-cbc', patient: { body_celsius: 38.25 } }, async (bench) => {
    const topics = await bench.subscribe();
    const from = await setUp(bench);
    await bench.told(/the server takes values/, from);
    const pulses = () => topics.get(VALUES.pulse)?.length ?? 0;
    await bench.until('a hundred frames', () => pulses() >= 100);
    for (const topic of Object.values(VALUES)) assert.ok(topics.get(topic).length >= 90, topic);
    assert.ok(topics.get(VALUES.temperature).every((value) => Number(value) === 38.25));
    await bench.until('they are on the gateway\'s disk', async () => (await bench.stored()).samples >= 100);
    assert.equal((await bench.stored()).hasGap, false);
  }),
);

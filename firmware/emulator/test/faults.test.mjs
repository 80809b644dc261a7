// The modem misbehaves as real ones do, sensors come off: the device goes on and says what is missing.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { act } from '../src/actions.mjs';
import { DEVICE, VALUES, onBench } from './support/bench.mjs';
import { setUp } from './support/setup-client.mjs';

test(
  'a modem that restarts, is busy, fails to send, drops the connection or falls silent costs no sample',
  onBench({}, async (bench) => {
    const { board } = bench;
    let from = await setUp(bench);
    await bench.told(/the server takes values/, from);
    const set_up = bench.now;
    for (const fault of ['modem fail-sends 1', 'modem close', 'modem reset', 'modem busy 3', 'modem silence 12']) {
      from = bench.now;
      bench.tell('test', fault);
      act(board, fault);
      // A busy modem need not end the connection.
      if (!fault.includes('busy')) await bench.told(/the server takes values/, from);
      const before = (await bench.stored()).samples;
      await bench.until(`samples arrive after: ${fault}`, async () => (await bench.stored()).samples >= before + 40);
    }
    assert.deepEqual(await bench.gateway.missing(DEVICE), []);
    const restarts = bench.story.slice(set_up).filter((line) => /panicked|fault at|start by watchdog/.test(line));
    assert.deepEqual(restarts, []);
  }),
);

test(
  'a sensor that comes off is a marked gap, the others go on, and it is found again',
  onBench({}, async (bench) => {
    const { board } = bench;
    const topics = await bench.subscribe();
    const from = await setUp(bench);
    await bench.told(/the server takes values/, from);
    const count = (topic) => topics.get(topic)?.length ?? 0;
    const more = async (topic, samples) => {
      const before = count(topic);
      await bench.until(`${samples} more of ${topic}`, () => count(topic) >= before + samples);
    };
    await more(VALUES.temperature, 2);
    act(board, 'sensor movement off');
    act(board, 'sensor temperature off');
    await more(VALUES.pulse, 100);
    const [x, celsius] = [count(VALUES.x), count(VALUES.temperature)];
    await more(VALUES.pulse, 40);
    assert.equal(count(VALUES.x), x);
    assert.equal(count(VALUES.temperature), celsius);
    act(board, 'sensor movement on');
    act(board, 'sensor temperature on');
    await more(VALUES.x, 40);
    await more(VALUES.temperature, 2);
    assert.equal((await bench.stored('Accelerometer/x')).hasGap, true);
    assert.equal((await bench.stored('Pulse_Signal')).hasGap, false);
    assert.ok(topics.get(VALUES.temperature).every((value) => Number(value) === 36.625), 'never 85');
  }),
);

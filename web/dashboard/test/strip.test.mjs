// Decisions about the strip on paper, limits and words of alarms, without a browser.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { load } from './sources.mjs';

const { HEIGHT_MM, ROW_MM, extentOf, gridOf, pathOf, placeOf, rowsOf, scaleOf } = await load('strip/paper.ts');
const { draftOf, isSame, limitsOf } = await load('ward/limits.ts');
const { alarmText, lasting } = await load('text/words.ts');
const { en } = await load('text/en.ts');
const { es } = await load('text/es.ts');

const samples = (values, { fromMs = 0, stepMs = 4, gap = [] } = {}) => ({
  time: values.map((_, at) => fromMs + at * stepMs),
  min: values,
  max: values,
  mean: values,
  gap: values.map((_, at) => gap[at] ?? 0),
});

describe('the strip', () => {
  test('has three rows of ten seconds, each 250 mm long', () => {
    assert.equal(ROW_MM, 250);
    assert.deepEqual(rowsOf(5_000, 35_000), [5_000, 15_000, 25_000]);
    assert.deepEqual(rowsOf(5_000, 5_000), [5_000]);
    assert.equal(placeOf(6_000, 5_000), 25);
    assert.equal(placeOf(5_000, 5_000), 0);
    assert.equal(placeOf(15_000, 5_000), null);
    assert.equal(placeOf(4_999, 5_000), null);
  });

  test('draws a line at 25 mm/s that breaks where samples are missing', () => {
    const scale = { mmPerUnit: 10, middle: 1 };
    assert.equal(pathOf(samples([1, 2, 0], { stepMs: 1_000 }), 0, scale), 'M0.00 20.00L25.00 10.00L50.00 30.00');
    const broken = samples([1, 1, 1, 1], { stepMs: 1_000, gap: [0, 0, 1, 0] });
    assert.equal(pathOf(broken, 0, scale), 'M0.00 20.00L25.00 20.00M50.00 20.00L75.00 20.00');
    const within = samples([1, 1, 1], { stepMs: 1_000, gap: [0, 2, 0] });
    assert.equal(pathOf(within, 0, scale).split('M').length - 1, 2);
    const thinned = { time: [0], min: [0], max: [2], gap: [0] };
    assert.equal(pathOf(thinned, 0, scale), 'M0.00 30.00L0.00 10.00');
    // Of another row nothing, and nothing joins two rows.
    assert.equal(pathOf(samples([1, 1], { fromMs: 9_000, stepMs: 1_000 }), 0, scale), 'M225.00 20.00');
    assert.equal(pathOf(samples([1, 1], { fromMs: 9_000, stepMs: 1_000 }), 10_000, scale), 'M0.00 20.00');
  });

  test('stands an ECG at 10 mm/mV where it fits, and everything on the paper', () => {
    assert.deepEqual(scaleOf(samples([-0.5, 1.5]), 'ecg'), { mmPerUnit: 10, middle: 0.5 });
    assert.equal(scaleOf(samples([-3, 3]), 'ecg').mmPerUnit, 5);
    assert.equal(scaleOf(samples([0.9, 2.1]), 'ppg').mmPerUnit, 20);
    assert.deepEqual(scaleOf(samples([]), 'ppg'), { mmPerUnit: 1, middle: 0 });
    assert.ok(Number.isFinite(scaleOf(samples([1, 1]), 'ppg').mmPerUnit));
    for (const values of [[-3, 3], [0, 1e-3], [0, 1e6], [4.1, 4.2]]) {
      const path = pathOf(samples(values), 0, scaleOf(samples(values), 'ppg'));
      for (const [, y] of path.matchAll(/[ML]\S+ (\S+?)(?=[ML]|$)/g)) {
        assert.ok(Number(y) >= 2.9 && Number(y) <= HEIGHT_MM - 2.9, `${values}: ${y}`);
      }
    }
  });

  test('has millimetre paper from edge to edge, and the extent of numbers', () => {
    assert.equal(gridOf(1).match(/V/g).length, ROW_MM + 1);
    assert.equal(gridOf(5).match(/H/g).length, HEIGHT_MM / 5 + 1);
    assert.deepEqual(extentOf(samples([36.9, 37.2, 37])), { least: 36.9, greatest: 37.2, last: 37 });
    assert.equal(extentOf(samples([])), null);
  });
});

describe('limits', () => {
  const limits = {
    rate_low: 50,
    rate_high: 120,
    rate_extreme_low: 40,
    rate_extreme_high: 140,
    temperature_low: 35,
    temperature_high: 38.5,
    delays_s: { asystole: 0, 'rate-high': 15 },
    off: ['clock', 'battery'],
    signals: 'on',
  };

  test('come back from a draft, which may change without them', () => {
    const draft = draftOf(limits);
    assert.ok(isSame(limitsOf(draft), limits));
    draft.delays_s['rate-high'] = 30;
    draft.off.push('asystole');
    assert.deepEqual([limits.delays_s['rate-high'], limits.off.length], [15, 2]);
    assert.ok(!isSame(limitsOf(draft), limits));
    assert.ok(isSame({ ...limits, off: ['battery', 'clock'] }, limits), 'an order says nothing');
    for (const field of ['off', 'delays_s', 'signals', 'rate_low']) assert.ok(field in limitsOf(draft));
  });

  test('with an empty field are none', () => {
    for (const empty of [null, undefined, Number.NaN, '']) {
      assert.equal(limitsOf({ ...draftOf(limits), rate_high: empty }), null, String(empty));
      assert.equal(limitsOf({ ...draftOf(limits), delays_s: { asystole: empty } }), null, String(empty));
    }
  });
});

describe('words', () => {
  const bad = { condition: 'bad-signal', priority: 'low', text: '* Signal bad: pulse, temp', signals: ['pulse', 'temperature'] };

  test('say which signal is bad', () => {
    assert.equal(alarmText(bad, en), '* Signal bad: pulse, temp');
    assert.equal(alarmText(bad, es), '* Señal mala: pulso, temp');
    assert.equal(alarmText({ ...bad, signals: undefined }, en), '* Signal bad', 'of an earlier server');
    assert.equal(alarmText({ ...bad, signals: ['spo2'] }, en), '* Signal bad: spo2', 'of a later one');
  });

  test('say how long something lasted', () => {
    const lasted = { 0: '0 s', 49_400: '49 s', 99_000: '99 s', 185_000: '3:05 min', 7_800_000: '2:10 h', [-5]: '0 s' };
    for (const [ms, words] of Object.entries(lasted)) assert.equal(lasting(Number(ms)), words);
  });
});

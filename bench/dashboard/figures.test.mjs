// node --test bench/dashboard/figures.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { latencies, mainThread, percentile } from './figures.mjs';

const named = (pid, tid, name) => ({ ph: 'M', pid, tid, name: 'thread_name', args: { name } });
const event = (name, ts, dur, tdur, tid = 2) => ({ ph: 'X', pid: 1, tid, name, ts, dur, tdur });

test('only tasks of the page’s main thread count, each once', () => {
  const found = mainThread([
    named(1, 2, 'CrRendererMain'),
    named(1, 3, 'Compositor'),
    named(4, 5, 'CrRendererMain'),
    event('ThreadControllerImpl::RunTask', 0, 100_000, 60_000),
    // The same task in another category, and what is done in it.
    event('RunTask', 10, 99_000, 59_000),
    event('FireAnimationFrame', 1_000, 40_000, 30_000),
    event('FireAnimationFrame', 700_000, 1_000, 1_000),
    event('RunTask', 900_000, 100_000, 40_000),
    event('RunTask', 0, 1_000_000, 1_000_000, 3),
  ]);
  assert.equal(found.seconds, 1);
  assert.equal(found.wall, 20);
  assert.equal(found.cpu, 10);
  assert.equal(found.framesPerS, 2);
  assert.equal(found.frameGapMs, 699);
  assert.deepEqual([found.long, found.longOfCpu, found.longestMs], [2, 1, 100]);
  assert.equal(found.parts.FireAnimationFrame.toFixed(1), '3.1');
});

test('a trace without a page is none', () => {
  assert.throws(() => mainThread([named(1, 2, 'Compositor')]), /no tasks/);
});

test('a percentile is a value that occurred', () => {
  const numbers = Array.from({ length: 100 }, (_, at) => 100 - at);
  assert.deepEqual([0.5, 0.95, 1].map((share) => percentile(numbers, share)), [50, 95, 100]);
  assert.equal(percentile([], 0.5), null);
});

test('a ramp says how late its picture is, wherever it stands and beyond its fall', () => {
  const [originMs, rampMs, lateMs] = [1_000_123, 4_070, 1_150];
  // Somewhere on a canvas: a picture has margins.
  const height = (ms) => 0.08 + (0.84 * (ms % rampMs)) / rampMs;
  const tips = [];
  for (let ms = 0; ms < 20 * rampMs; ms += 33) tips.push([originMs + ms + lateMs, height(ms)]);
  const found = latencies(tips, originMs, rampMs);
  assert.ok(found.length > 2_000);
  for (const late of found) assert.ok(Math.abs(late - lateMs) < 45, `${late}`);
  assert.ok(Math.abs(percentile(found, 0.5) - lateMs) < 15);
});

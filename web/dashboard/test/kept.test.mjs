// What the page decides of waves out of history, without a browser: bytes, what is drawn where, what is measured, what is asked for.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { load } from './sources.mjs';

const [{ KeptError, decodeKept, lastMsOf, timeOf }, strip, { WaveStore, GapStore }, { causeOf }, { WaveRing }, { decode, MessageError }, words, { en }] =
  await Promise.all(
    [
      'wave/kept.ts',
      'wave/strip.ts',
      'wave/store.ts',
      'wave/cause.ts',
      'wave/ring.ts',
      'live/messages.ts',
      'text/words.ts',
      'text/en.ts',
    ].map(load),
  );

const START_MS = 1_700_000_000_000.5;
const f64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return [...bytes];
};
const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return [...bytes];
};
const number = (value) => {
  const bytes = [];
  let left = BigInt(value);
  do {
    bytes.push(Number(left & 0x7fn) | (left > 0x7fn ? 0x80 : 0));
    left >>= 7n;
  } while (left > 0n);
  return bytes;
};
const zigzag = (value) => number(value >= 0 ? 2n * BigInt(value) : -2n * BigInt(value) - 1n);
const buffer = (...parts) => Uint8Array.from(parts.flat()).buffer;
const even = (digits, intervalUs = 4_000, firstMs = START_MS, power = -3) => [
  1,
  power & 0xff,
  ...f64(firstMs),
  ...u32(digits.length),
  ...u32(intervalUs),
  ...digits.flatMap((digit, at) => zigzag(digit - (digits[at - 1] ?? 0))),
];
const alone = (pairs) => [
  2,
  0xfd,
  ...f64(START_MS),
  ...u32(pairs.length),
  ...pairs.flatMap(([us, digit], at) => [...number(us - (pairs[at - 1]?.[0] ?? 0)), ...zigzag(digit - (pairs[at - 1]?.[1] ?? 0))]),
];
const beats = (...us) => [3, ...f64(START_MS), ...u32(us.length), ...us.flatMap((it, at) => number(it - (us[at - 1] ?? 0)))];

const piece = (firstMs, intervalMs, values) => ({ firstMs, intervalMs, timesMs: null, values: Float32Array.from(values) });

describe('waves out of history', () => {
  test('are read with their times and beats', () => {
    const wave = decodeKept(buffer(1, 2, even([1_200, 1_199, -2_147_483_648, 2_147_483_647]), alone([[0, 5], [50_004, -5]]), beats(0, 800_000)));
    assert.equal(wave.channel, 2);
    const [first, second] = wave.pieces;
    assert.deepEqual([...first.values], [1.2, 1.199, -2_147_483.648, 2_147_483.647].map(Math.fround));
    assert.deepEqual([timeOf(first, 1), lastMsOf(first)], [START_MS + 4, START_MS + 12]);
    assert.deepEqual([...second.values], [0.005, -0.005].map(Math.fround));
    assert.deepEqual([timeOf(second, 0), lastMsOf(second)], [START_MS, START_MS + 50.004]);
    assert.deepEqual(wave.beatsMs, [START_MS, START_MS + 800]);
    assert.deepEqual(decodeKept(buffer(1, 2)), { channel: 2, pieces: [], beatsMs: [] });
  });

  test('are refused when they are cut anywhere but between blocks', () => {
    const blocks = [[1, 2], even([1, 2, 3]), alone([[0, 5], [9, 6]]), beats(0, 800_000)];
    const whole = buffer(...blocks);
    let end = 0;
    const whole_at = new Set(blocks.map((block) => (end += block.length)));
    for (let cut = 0; cut < whole.byteLength; cut++) {
      const part = whole.slice(0, cut);
      if (whole_at.has(cut)) decodeKept(part);
      else assert.throws(() => decodeKept(part), KeptError, `cut at ${cut}`);
    }
  });

  test('are refused when they say what cannot be', () => {
    for (const [what, wrong] of [
      ['another version', buffer(2, 2)],
      ['an unknown block', buffer(1, 2, 9)],
      ['more values than bytes', buffer(1, 2, 1, 0, f64(0), u32(4_000_000_000), u32(1), 0)],
      ['no values', buffer(1, 2, 1, 0, f64(0), u32(0), u32(1))],
      ['several values at one moment', buffer(1, 2, even([1, 2], 0))],
      ['no time', buffer(1, 2, even([1], 1, Number.NaN))],
      ['a number without an end', buffer(1, 2, 1, 0, f64(0), u32(1), u32(1), Array(12).fill(0x80))],
    ]) {
      assert.throws(() => decodeKept(wrong), KeptError, what);
    }
  });

  test('never break the page, whatever comes', () => {
    let seed = 7;
    const random = () => (seed = (seed * 1_103_515_245 + 12_345) % 2_147_483_648) / 2_147_483_648;
    const good = new Uint8Array(buffer(1, 2, even([1, 2, 3]), beats(0, 1)));
    for (let round = 0; round < 5_000; round++) {
      const bytes = good.slice();
      for (let flips = 0; flips < 3; flips++) bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
      try {
        decodeKept(bytes.buffer);
      } catch (error) {
        assert.ok(error instanceof KeptError, `${error}`);
      }
    }
  });
});

describe('live beats', () => {
  test('are read, and refused when they are cut', () => {
    const whole = buffer(8, 0x34, 0x12, f64(START_MS), f64(START_MS + 800));
    assert.deepEqual(decode(whole), { kind: 'beats', n: 0x1234, timesMs: [START_MS, START_MS + 800] });
    for (let cut = 1; cut < whole.byteLength; cut++) {
      if ((cut - 3) % 8 !== 0) assert.throws(() => decode(whole.slice(0, cut)), MessageError, `cut at ${cut}`);
    }
    assert.throws(() => decode(buffer(8, 0, 0, f64(Number.NaN))), MessageError);
  });
});

describe('a strip', () => {
  const view = { fromMs: 0, toMs: 1_000, widthPx: 100 };
  const visited = (pieces, of = view, nominalMs = 20) => {
    const lines = [];
    strip.follow(pieces, of, nominalMs, (x, value, start) => (start ? lines.push([[x, value]]) : lines.at(-1).push([x, value])));
    return lines;
  };

  test('joins batches that follow each other and never goes over a gap', () => {
    const lines = visited([piece(0, 20, [1, 2]), piece(42, 20, [3]), piece(200, 20, [4, 5])]);
    assert.deepEqual(lines, [[[0, 1], [2, 2], [4.2, 3]], [[20, 4], [22, 5]]]);
  });

  test('begins and ends beyond its edges', () => {
    const lines = visited([piece(-100, 60, Array.from({ length: 40 }, (_, at) => at))]);
    assert.equal(lines.length, 1);
    assert.ok(lines[0][0][0] < 0 && lines[0].at(-1)[0] > 100, `${lines[0][0]} ${lines[0].at(-1)}`);
    assert.ok(lines[0].length < 22, 'and not much further');
  });

  test('shows the extremes of what has no room, and a gap in it', () => {
    const values = Array.from({ length: 1_000 }, (_, at) => (at === 555 ? 9 : at === 444 ? -9 : 0));
    const lines = visited([piece(0, 1, values)]);
    assert.equal(lines.length, 1);
    assert.ok(lines[0].length <= 404, `${lines[0].length} points for 100 columns`);
    const at = (wanted) => lines[0].find(([, value]) => value === wanted)?.[0];
    assert.deepEqual([at(9), at(-9)], [55, 44]);
    const parts = visited([piece(0, 1, values.slice(0, 400)), piece(450, 1, values.slice(0, 400))]);
    assert.equal(parts.length, 2);
  });

  test('takes values with times of their own as the network brought them', () => {
    const timesMs = Float64Array.from([0, 55, 300, 900]);
    const single = { firstMs: 0, intervalMs: 0, timesMs, values: Float32Array.from([1, 2, 3, 4]) };
    assert.deepEqual(visited([single], view, 50).map((line) => line.length), [3, 1]);
    assert.deepEqual(strip.holes([single], 0, 1_000, 50), [[300, 900], [900, 1_000]]);
  });

  test('knows where nothing was measured', () => {
    const found = strip.holes([piece(-50, 20, [1, 2, 3, 4, 5, 6]), piece(400, 20, [1, 2]), piece(441, 20, [1])], 0, 1_000, 20);
    assert.deepEqual(found, [[50, 400], [441, 1_000]]);
    assert.deepEqual(strip.holes([], 0, 1_000, 20), [[0, 1_000]]);
    assert.deepEqual(strip.holes([piece(-1_000, 20, Array(200).fill(1))], 0, 1_000, 20), []);
  });

  test('is what was seen live until history is there', () => {
    const ring = new WaveRing();
    ring.push(0, 20, Float32Array.from([1, 2, 3]));
    ring.push(60, 20, Float32Array.from([4]));
    ring.push(500, 20, Float32Array.from([5]));
    const kept = ring.kept();
    assert.deepEqual(kept.map(({ values }) => [...values]), [[1, 2, 3, 4], [5]]);
    assert.deepEqual(visited(kept).map((line) => line.length), [4, 1]);
  });

  test('has behind what is kept what came since', () => {
    const kept = [piece(0, 20, [1, 2, 3])];
    const timesMs = Float64Array.from([20, 40, 60, 80]);
    const live = [{ firstMs: 20, intervalMs: 20, timesMs, values: Float32Array.from([2, 3, 4, 5]) }, piece(500, 20, [6])];
    const all = strip.joined(kept, live);
    assert.deepEqual(all.map(({ firstMs, values }) => [firstMs, [...values]]), [[0, [1, 2, 3]], [60, [4, 5]], [500, [6]]]);
    assert.deepEqual(visited(all).map((line) => line.length), [5, 1]);
    assert.deepEqual(strip.joined([], live), live);
    assert.deepEqual(strip.joined([piece(0, 20, Array(100).fill(1))], live), [piece(0, 20, Array(100).fill(1))]);
  });

  test('is measured by a caliper, whichever way it is drawn', () => {
    const pieces = [piece(0, 20, [1, 1.5, 0.25, 1]), piece(400, 20, [9])];
    assert.deepEqual(strip.measure(pieces, 60, 0), { ms: 60, perMin: 1_000, height: 1.25 });
    assert.equal(strip.measure(pieces, 100, 300).height, null);
    assert.equal(words.clockMs(1_700_000_000_007, en).slice(-4), '.007');
  });

  test('has a bar of a round height', () => {
    assert.equal(strip.barOf([0, 2], 100), 0.5);
    assert.equal(strip.barOf([-0.1, 0.1], 200), 0.05);
    assert.equal(strip.barOf([0, 1], 10), null, 'no room');
  });

  test('writes times as far apart as they can be read', () => {
    const step = (ms) => strip.stepMs({ fromMs: 0, toMs: ms, widthPx: 1_000 }, 90);
    assert.deepEqual([1_000, 10_000, 60_000, 600_000, 86_400_000].map(step), [200, 1_000, 10_000, 60_000, 3_600_000]);
  });
});

describe('what is kept of history', () => {
  // Answers when it is told.
  const server = () => {
    const asked = [];
    const load = (fromMs, toMs) => new Promise((resolve, reject) => asked.push({ fromMs, toMs, resolve, reject }));
    const answer = async (values = 1) => {
      const one = asked.shift();
      one.resolve({ channel: 2, pieces: [piece(one.fromMs, 1, Array(values).fill(one.fromMs))], beatsMs: [one.fromMs + 5] });
      await new Promise(setImmediate);
      return one;
    };
    return { asked, load, answer };
  };
  const NOW_MS = 10_000_000;

  test('is asked for when it is seen, two at once, the newest first, and once', async () => {
    const { asked, load, answer } = server();
    const told = [];
    const store = new WaveStore(load, 1_000, (error) => told.push(error));
    store.want(2_500, 6_500, NOW_MS);
    assert.deepEqual(asked.map(({ fromMs }) => fromMs), [6_000, 5_000]);
    await answer();
    await answer();
    assert.deepEqual(asked.map(({ fromMs }) => fromMs), [4_000, 3_000]);
    assert.deepEqual([store.has(5_000, 6_999), store.has(4_999, 6_999)], [true, false]);
    assert.deepEqual(store.pieces(5_000, 6_999).map(({ firstMs }) => firstMs), [5_000, 6_000]);
    assert.deepEqual(store.beats(5_000, 6_004), [5_005]);
    // Another place is looked at: what is not seen any more is not asked for.
    store.want(9_000, 9_500, NOW_MS);
    await answer();
    await answer();
    assert.deepEqual(asked.map(({ fromMs }) => fromMs), [9_000]);
    await answer();
    store.want(3_000, 9_500, NOW_MS);
    assert.deepEqual(asked.map(({ fromMs }) => fromMs), [8_000, 7_000]);
    assert.deepEqual(told, Array(5).fill(null));
  });

  test('is asked for again while it may still come, and never beyond now', async () => {
    const { asked, load, answer } = server();
    const store = new WaveStore(load, 1_000, () => undefined);
    store.want(9_000, 30_000, 10_500);
    assert.deepEqual(asked.map(({ fromMs }) => fromMs), [10_000, 9_000]);
    await answer();
    await answer();
    store.want(9_000, 10_900, 11_000);
    assert.deepEqual(asked, [], 'a moment ago');
    store.want(9_000, 10_900, 13_000);
    assert.equal(asked.length, 2);
    await answer();
    await answer();
    store.want(9_000, 10_900, 40_000);
    await answer();
    await answer();
    store.want(9_000, 10_900, 50_000);
    assert.deepEqual(asked, [], 'it is settled');
  });

  test('says why it did not come, and tries again later', async () => {
    const { asked, load } = server();
    const told = [];
    const store = new WaveStore(load, 1_000, (error) => told.push(error));
    store.want(0, 500, NOW_MS);
    asked.shift().reject(new Error('the server is busy'));
    await new Promise(setImmediate);
    assert.deepEqual(told, ['the server is busy']);
    store.want(0, 500, NOW_MS + 1_000);
    assert.equal(asked.length, 0);
    store.want(0, 500, NOW_MS + 4_000);
    assert.equal(asked.length, 1);
  });

  test('is forgotten when there is more than has room, the longest unseen first', async () => {
    const { load, answer } = server();
    const store = new WaveStore(load, 1_000_000, () => undefined);
    for (const fromMs of [0, 1_000_000, 2_000_000]) {
      store.want(fromMs, fromMs + 1, NOW_MS);
      await answer(700_000);
    }
    assert.deepEqual([0, 1_000_000, 2_000_000].map((fromMs) => store.has(fromMs, fromMs)), [false, true, true]);
  });

  test('names the cause of a gap that one covers by half', async () => {
    const gaps = [
      { fromMs: 0, toMs: 600, cause: 'offline' },
      { fromMs: 900, toMs: 1_000, cause: 'lost' },
    ];
    assert.equal(causeOf(gaps, 0, 1_000), 'offline');
    assert.equal(causeOf(gaps, 500, 1_000), null);
    assert.equal(causeOf([], 0, 1), null);
    let told = 0;
    const store = new GapStore(async () => gaps, () => told++);
    assert.equal(store.cause(0, 1_000), null);
    await new Promise(setImmediate);
    assert.deepEqual([store.cause(0, 1_000), told], ['offline', 1]);
    assert.equal(words.causeWords('offline', en), 'Device offline');
    assert.equal(words.causeWords('of a newer server', en), 'Nothing was measured');
  });

  test('has addresses with their ports', () => {
    assert.deepEqual(words.addressOf('10.0.0.7:5000'), { address: '10.0.0.7', port: '5000' });
    assert.deepEqual(words.addressOf('[fe80::1]:9998'), { address: 'fe80::1', port: '9998' });
    assert.deepEqual(words.addressOf(null), { address: '––', port: '––' });
  });
});

// What the page decides without a browser: messages, sweeps, sounds, order, words.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { load } from './sources.mjs';

const [messages, { WaveRing }, { Playout }, sweep, bursts, alarms, { CALM_MS, Order, page }, layout, movement, words, trend, route, ledger, patient, audit, { en }, { es }] =
  await Promise.all(
    [
      'live/messages.ts',
      'wave/ring.ts',
      'wave/playout.ts',
      'wave/sweep.ts',
      'sound/bursts.ts',
      'ward/alarms.ts',
      'ward/order.ts',
      'ward/layout.ts',
      'ward/movement.ts',
      'text/words.ts',
      'views/trend.ts',
      'route.ts',
      'views/admin/ledger.ts',
      'views/admin/patient.ts',
      'views/admin/audit.ts',
      'text/en.ts',
      'text/es.ts',
    ].map(load),
  );

const bytes = (...parts) => {
  const buffer = Buffer.concat(parts.map((part) => (typeof part === 'number' ? Buffer.from([part]) : Buffer.from(part))));
  return buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
};
const le = (type, value, size) => {
  const buffer = Buffer.alloc(size);
  buffer[`write${type}`](value, 0);
  return buffer;
};
const wave = (ints, exponent = -3) =>
  bytes(2, [0x34, 0x12], 2, le('Int8', exponent, 1), le('DoubleLE', 1_700_000_000_123.5, 8), le('UInt32LE', 4_000, 4), le('UInt16LE', ints.length, 2), ...ints.map((int) => le('Int32LE', int, 4)));
const cuts = (whole) => Array.from({ length: whole.byteLength }, (_, end) => whole.slice(0, end));

const alarm = (priority, more = {}) => ({
  number: 1,
  condition: 'rate-high',
  priority,
  text: '*** HR 134 > 120',
  value: 134,
  limit: 120,
  unit: '/min',
  since: '2026-11-30T12:00:00Z',
  raised: '2026-11-30T12:00:15Z',
  active: true,
  ended: null,
  acknowledged: null,
  escalated: null,
  delay_s: 15,
  ...more,
});
const known = { by: 'ana', reason: null, time: '2026-11-30T12:01:00Z' };
const list = (alarms, more = {}) => ({ state: 'on', until: null, floor: null, alarms, ...more });

describe('addresses', () => {
  const { hashOf, parentOf, patientOf, routeOf } = route;

  test('are read as they are written', () => {
    for (const one of [
      { view: 'ward' },
      { view: 'patient', id: 'bed_01' },
      { view: 'waves', id: 'bed_01' },
      { view: 'limits', id: 'a/b ü' },
      { view: 'device', id: '<b>' },
      { view: 'alarm', number: 12 },
      ...['alarms', 'devices', 'patients', 'users', 'audit'].map((view) => ({ view })),
    ]) {
      assert.deepEqual(routeOf(hashOf(one)), one, hashOf(one));
    }
  });

  test('that are none show the ward', () => {
    for (const hash of [
      '',
      '#',
      '#/nothing',
      '#/patient',
      '#/patient/',
      '#/patient/%',
      '#/patient/a/other',
      '#/patient/a/waves/b',
      '#/device/a/b',
      '#/devices/a',
      '#/alarm',
      '#/alarm/0',
      '#/alarm/-1',
      '#/alarm/1e9',
      '#/alarm/9999999999999999',
      '#/alarm/1/2',
      '#link=x',
      '#/../patient/a',
    ]) {
      assert.deepEqual(routeOf(hash), { view: 'ward' }, hash);
    }
  });

  test('have one that they lead back to, and may be a patient’s', () => {
    assert.deepEqual(parentOf(routeOf('#/patient/a/waves')), { view: 'patient', id: 'a' });
    assert.deepEqual(parentOf(routeOf('#/device/a')), { view: 'devices' });
    assert.deepEqual(parentOf(routeOf('#/alarm/7')), { view: 'alarms' });
    assert.deepEqual(parentOf(routeOf('#/users')), { view: 'ward' });
    assert.equal(patientOf(routeOf('#/patient/a/limits')), 'a');
    assert.equal(patientOf(routeOf('#/device/a')), null);
  });
});

describe('what admins see', () => {
  test('is settled when sent, acknowledged and stored are the same', () => {
    const boot = { boot: '7', sent: 5, acknowledged: 5, stored: 5, open: 0, given_up: 0 };
    assert.ok(ledger.isSettled(boot));
    assert.ok(!ledger.isSettled({ ...boot, acknowledged: 4 }));
    assert.ok(!ledger.isSettled({ ...boot, stored: 3, given_up: 2 }));
  });

  test('asks for what was changed of a patient alone', () => {
    const stay = { name: 'Ana', bed: '7', notes: null };
    const same = { name: ' Ana ', bed: '7', notes: '' };
    assert.equal(patient.changeOf(stay, same, false, false), null);
    assert.deepEqual(patient.changeOf(stay, { ...same, bed: '' }, false, false), { bed: '' });
    assert.deepEqual(patient.changeOf(stay, { ...same, name: 'Anna' }, false, true), { name: 'Anna', correct: true });
    assert.deepEqual(patient.changeOf(stay, { name: 'Bo', bed: '7', notes: '' }, true, false), { name: 'Bo', bed: '7', new: true });
    assert.deepEqual(patient.changeOf(stay, { name: '', bed: '', notes: '' }, true, false), { new: true });
  });

  test('can be searched for every kind of audit record', () => {
    const source = readFileSync(join(import.meta.dirname, '../../../crates/registry/src/audit.rs'), 'utf8');
    const kinds = [...source.matchAll(/Self::\w+ => "([a-z-]+)",/g)].map(([, kind]) => kind);
    assert.ok(kinds.length > 30);
    assert.deepEqual(kinds.filter((kind) => !audit.KINDS.includes(kind)), []);
  });

  test('has days with its times', () => {
    assert.match(words.moment(Date.UTC(2026, 10, 30, 12, 0, 5), en), /2026.*:\d\d:05/);
    assert.equal(words.moment('never', en), 'never');
  });
});

describe('messages', () => {
  const { decode, encodeWatch, MessageError } = messages;

  test('reads a wave', () => {
    const { kind, wave: read } = decode(wave([1_234, -5, -0x8000_0000]));
    assert.equal(kind, 'wave');
    assert.deepEqual([read.n, read.channel, read.firstMs, read.intervalMs], [0x1234, 2, 1_700_000_000_123.5, 4]);
    assert.deepEqual([...read.values], [Math.fround(1.234), Math.fround(-0.005), Number.NaN]);
  });

  test('reads a wave by a power of ten upward', () => {
    assert.deepEqual([...decode(wave([3], 2)).wave.values], [300]);
  });

  test('refuses a wave that is cut anywhere, or too long', () => {
    const whole = wave([1, 2, 3]);
    for (const cut of cuts(whole)) assert.throws(() => decode(cut), MessageError, `cut at ${cut.byteLength}`);
    assert.throws(() => decode(bytes(new Uint8Array(whole), 0)), MessageError);
  });

  test('refuses several values at one moment', () => {
    const whole = new Uint8Array(wave([1, 2]));
    whole.fill(0, 13, 17);
    assert.throws(() => decode(whole.buffer), MessageError);
  });

  test('reads a heartbeat and what is gone, and refuses them cut', () => {
    const heartbeat = bytes(5, le('DoubleLE', 1_700_000_000_000, 8), le('UInt32LE', 7, 4));
    assert.deepEqual(decode(heartbeat), { kind: 'heartbeat', serverMs: 1_700_000_000_000, dropped: 7 });
    assert.deepEqual(decode(bytes(6, [2, 1])), { kind: 'gone', n: 258 });
    for (const cut of [...cuts(heartbeat), ...cuts(bytes(6, [2, 1]))]) assert.throws(() => decode(cut), MessageError);
  });

  test('reads a device, and refuses it cut', () => {
    const body = {
      n: 3,
      id: 'bed_07',
      patient: '<script>',
      bed: '7',
      profile: 'pico',
      channels: [{ i: 2, name: 'Pulse_Signal', title: 'Pulse wave', unit: 'V', wave: 'ppg', rate_hz: 20 }],
      online: true,
      last: 1_700_000_000_000,
      alarms: null,
    };
    const whole = bytes(1, JSON.stringify(body));
    const { device } = decode(whole);
    assert.equal(device.patient, '<script>');
    assert.deepEqual(device.channels, [{ i: 2, name: 'Pulse_Signal', title: 'Pulse wave', unit: 'V', wave: 'ppg', rateHz: 20 }]);
    assert.deepEqual(device.alarms, { state: 'on', until: null, floor: null, alarms: [] });
    for (const cut of cuts(whole)) assert.throws(() => decode(cut), MessageError);
  });

  test('takes an alarm of a priority that it does not know for the highest', () => {
    const { alarms } = decode(bytes(4, JSON.stringify({ n: 0, state: 'on', alarms: [{ number: 1, priority: 'worse' }] }))).alarms;
    assert.equal(alarms[0].priority, 'high');
    assert.equal(alarms[0].active, true);
  });

  test('reads values, of which some are not known', () => {
    const read = decode(bytes(3, JSON.stringify({ n: 1, time: 5, values: { Temperature: 37.1, Pulse_Rate: null, Odd: 'x' } })));
    assert.deepEqual(read.values, { n: 1, timeMs: 5, values: { Temperature: 37.1, Pulse_Rate: null, Odd: null } });
  });

  test('reads the ward', () => {
    const { ward } = decode(bytes(7, JSON.stringify({ server: [alarm('medium')], recorded: false })));
    assert.equal(ward.server.length, 1);
    assert.equal(ward.isRecorded, false);
  });

  test('leaves out a kind that it does not know, and refuses what is no text or no object', () => {
    assert.equal(decode(bytes(99, [1, 2])), null);
    for (const bad of [bytes(), bytes(1, [0xff]), bytes(1, '[]'), bytes(1, 'null'), bytes(1, '{"id":"a"}')]) {
      assert.throws(() => decode(bad), MessageError);
    }
  });

  test('says whose waves it wants', () => {
    assert.deepEqual([...new Uint8Array(encodeWatch([2, 259]))], [1, 2, 0, 3, 1]);
  });
});

describe('the ring of a wave', () => {
  const filled = (...batches) => {
    const ring = new WaveRing();
    for (const [first, values] of batches) ring.push(first, 10, Float32Array.from(values));
    return ring;
  };
  const times = (ring) => {
    const [first, end] = ring.places;
    return Array.from({ length: end - first }, (_, at) => ring.timeAt(first + at));
  };

  test('keeps times and tells gaps', () => {
    const ring = filled([1_000, [1, 2]], [1_020, [3]], [1_100, [4]]);
    assert.deepEqual(times(ring), [1_000, 1_010, 1_020, 1_100]);
    assert.deepEqual([0, 1, 2, 3].map((place) => ring.startsAt(place)), [true, false, false, true]);
  });

  test('leaves out what it has already and what was not measured', () => {
    assert.deepEqual(times(filled([1_000, [1, 2, 3]], [1_010, [9, 9, 4, Number.NaN, 6]])), [1_000, 1_010, 1_020, 1_030, 1_050]);
  });

  test('begins anew when the clock of the device was put back', () => {
    assert.deepEqual(times(filled([90_000, [1, 2]], [1_000, [3]])), [1_000]);
  });

  test('goes on when the interval drifts a little', () => {
    const ring = filled([1_000, [1, 2]]);
    ring.push(1_020, 10.001, Float32Array.of(3));
    assert.equal(times(ring).length, 3);
  });

  test('overwrites the oldest, and finds places by time', () => {
    const ring = new WaveRing();
    for (let at = 0; at < 20_000; at++) ring.push(at * 10, 10, Float32Array.of(at));
    const [first, end] = ring.places;
    assert.equal(end, 20_000);
    assert.ok(end - first < 10_000, `${end - first} are kept`);
    assert.equal(ring.valueAt(ring.placeOf(199_895)), 19_990);
    assert.deepEqual(ring.extremes(199_900, 199_950), [19_990, 19_995]);
    assert.equal(ring.extremes(0, 1), null);
  });
});

describe('the time of a picture', () => {
  // Batches of 250 ms that come 80 ms late and by turns up to 60 ms later.
  const play = (seconds, arrives = (at) => 80 + (at % 4) * 20) => {
    const [playout, heads] = [new Playout(), []];
    const due = Array.from({ length: seconds * 4 }, (_, at) => ({ first: at * 250, at: (at + 1) * 250 + arrives(at) }));
    let newest = Number.NaN;
    for (let now = 0; now < seconds * 1_000; now += 20) {
      for (const batch of due.filter(({ at }) => at > now - 20 && at <= now)) {
        if (playout.arrived(batch.first, batch.first + 245, 9, now)) newest = batch.first + 245;
      }
      heads.push({ now, head: playout.playheadMs(now), newest });
    }
    return heads.filter(({ head }) => !Number.isNaN(head));
  };

  test('moves evenly, never goes back, and soon has always something to show', () => {
    const heads = play(20);
    heads.slice(1).forEach(({ head }, at) => {
      const moved = head - heads[at].head;
      assert.ok(moved >= 18 && moved <= 22, `${moved} ms in 20 ms`);
    });
    for (const { now, head, newest } of heads.filter(({ now }) => now > 8_000)) {
      assert.ok(head <= newest + 5, `at ${now}: ${head} is after ${newest}`);
      assert.ok(now - head < 250 + 80 + 60 + 150, `at ${now}: late by ${now - head}`);
    }
  });

  test('is not held back by what was late once', () => {
    const heads = play(40, (at) => (at === 8 ? 700 : 80));
    const { now, head } = heads.at(-1);
    assert.ok(now - head < 500, `late by ${now - head}`);
  });

  test('goes on without values, so that a gap is drawn', () => {
    const playout = new Playout();
    playout.arrived(0, 245, 9, 300);
    playout.playheadMs(300);
    assert.ok(playout.playheadMs(5_300) - playout.playheadMs(300) > 4_900);
  });

  test('takes no backlog for the present, but a clock that was put back', () => {
    const playout = new Playout();
    assert.equal(playout.arrived(100_000, 100_245, 9, 0), true);
    assert.equal(playout.arrived(50_000, 50_245, 9, 250), false);
    assert.equal(playout.arrived(50_000, 50_245, 9, 6_000), true);
    assert.ok(playout.playheadMs(6_000) <= 50_245);
  });
});

describe('a sweep', () => {
  const window = { ms: 1_000, widthPx: 100 };
  const ringOf = (first, values) => {
    const ring = new WaveRing();
    ring.push(first, 10, Float32Array.from(values));
    return ring;
  };
  const drawn = (ring, from, to) => {
    const lines = [];
    sweep.trace(ring, from, to, window, (x, value, start) => (start ? lines.push([[x, value]]) : lines.at(-1).push([x, value])));
    return lines.map((line) => line.map(([x, value]) => [Math.round(x * 1e6) / 1e6, value]));
  };

  test('shows as many seconds as a strip of paper', () => {
    assert.equal(Math.round(sweep.windowMs(945, 25)), 10_001);
    assert.equal(sweep.windowMs(1, 25), 1_000);
  });

  test('wipes its way and the bar in front, also over the edge', () => {
    assert.deepEqual(sweep.wiped(100, 200, 5, window), [[10, 25]]);
    assert.deepEqual(sweep.wiped(950, 980, 5, window), [[95, 100], [0, 3]]);
    assert.deepEqual(sweep.wiped(0, 1_000, 5, window), [[0, 100]]);
  });

  test('is drawn whole after a pause, and when time went back', () => {
    assert.equal(sweep.isWhole(100, 140, window), false);
    assert.equal(sweep.isWhole(100, 500, window), true);
    assert.equal(sweep.isWhole(100, 90, window), true);
    assert.equal(sweep.isWhole(Number.NaN, 90, window), true);
  });

  test('draws step by step what it draws at once', () => {
    const ring = ringOf(100, [0, 10, 20, 30]);
    assert.deepEqual(drawn(ring, 100, 130), [[[10, 0], [11, 10], [12, 20], [13, 30]]]);
    assert.deepEqual(drawn(ring, 100, 115), [[[10, 0], [11, 10], [11.5, 15]]]);
    assert.deepEqual(drawn(ring, 115, 130), [[[11.5, 15], [12, 20], [13, 30]]]);
    assert.deepEqual(drawn(ring, 130, 150), [[[13, 30]]]);
    assert.deepEqual(drawn(ring, 140, 150), []);
  });

  test('draws no line over a gap', () => {
    const ring = ringOf(100, [0, 10, Number.NaN, Number.NaN, 40, 50]);
    assert.deepEqual(drawn(ring, 100, 150), [[[10, 0], [11, 10]], [[14, 40], [15, 50]]]);
    assert.deepEqual(drawn(ring, 115, 150), [[[14, 40], [15, 50]]]);
    assert.deepEqual(drawn(ring, 115, 130), []);
  });

  test('goes over the edge without a line back', () => {
    assert.deepEqual(drawn(ringOf(995, [0, 10]), 995, 1_005), [[[99.5, 0], [100, 5]], [[0, 5], [0.5, 10]]]);
  });

  test('goes over the edge without a line back when a value is just there', () => {
    const lines = drawn(ringOf(990, [0, 10, 20]), 990, 1_010);
    assert.deepEqual(lines, [[[99, 0], [100, 10]], [[0, 10], [1, 20]]]);
  });

  test('draws what came late where it belongs, and no gap where none was', () => {
    const ring = ringOf(100, [0, 10]);
    const late = sweep.lineFrom(130, ring.newestMs, 140, 5, window);
    assert.equal(late, 110, 'the playhead was at 130, but nothing newer than 110 was there');
    ring.push(120, 10, Float32Array.of(20, 30, 40));
    assert.deepEqual(drawn(ring, late, 140), [[[11, 10], [12, 20], [13, 30], [14, 40]]]);
    assert.equal(sweep.lineFrom(130, 500, 140, 5, window), 130);
    assert.equal(sweep.lineFrom(130, Number.NaN, 140, 5, window), 130);
    assert.equal(sweep.lineFrom(4_990, 110, 5_000, 5, window), 4_050, 'not into the sweep before');
  });

  test('never draws a line to the left, at any width and any time', () => {
    for (let widthPx = 90; widthPx < 160; widthPx++) {
      const odd = { ms: sweep.windowMs(widthPx, 2.5), widthPx };
      const ring = new WaveRing();
      const first = 1_790_000_000_000;
      ring.push(first, 4, new Float32Array(6_000));
      let x = 0;
      sweep.trace(ring, first, first + 24_000, odd, (to, _, start) => {
        assert.ok(start || to >= x, `${widthPx} px: from ${x} to ${to}`);
        x = to;
      });
    }
  });

  test('keeps its scale while the wave fills it, and no noise fills it', () => {
    const scale = sweep.scaleFor(null, [0, 84], 0);
    assert.deepEqual(scale.map(Math.round), [-8, 92]);
    assert.equal(sweep.scaleFor(scale, [10, 80], 0), scale);
    assert.notEqual(sweep.scaleFor(scale, [0, 20], 0), scale);
    assert.notEqual(sweep.scaleFor(scale, [0, 120], 0), scale);
    assert.equal(sweep.scaleFor(scale, null, 0), scale);
    const [low, high] = sweep.scaleFor(null, [1.001, 1.002], sweep.leastSpan('V'));
    assert.ok(high - low >= 0.25);
    assert.equal(sweep.isClipped(scale, [0, 95]), false);
    assert.equal(sweep.isClipped(scale, [0, 120]), true);
  });
});

describe('alarm sounds', () => {
  const RATE = 44_100;
  const { render, pulsesOf, begins, periodS, frequencyHz } = bursts;

  test('are bursts of 10, 3 and 1 pulses, high in two groups of five', () => {
    assert.deepEqual(['high', 'medium', 'low'].map((priority) => pulsesOf(priority).length), [10, 3, 1]);
    const begins = pulsesOf('high').map(({ atS }) => atS);
    const pauses = begins.slice(1).map((at, nth) => at - begins[nth] - 0.1);
    assert.ok(pauses[4] >= 0.35 && pauses[4] <= 1.3, `${pauses[4]} s between the groups`);
    assert.ok([0, 1, 3].every((nth) => pauses[nth] >= 0.05 && pauses[nth] <= 0.125 + 1e-9));
    assert.deepEqual(['high', 'medium', 'low'].map(periodS), [10, 25, 30]);
  });

  test('rise and fall, are silent in between, and clip nothing', () => {
    for (const priority of ['high', 'medium', 'low']) {
      const samples = render(priority, RATE);
      const loudest = (fromS, toS) => samples.slice(fromS * RATE, toS * RATE).reduce((top, it) => Math.max(top, Math.abs(it)), 0);
      const pulses = pulsesOf(priority);
      pulses.forEach(({ atS, lengthS }, nth) => {
        const middle = loudest(atS + lengthS * 0.4, atS + lengthS * 0.6);
        assert.ok(middle > 0.2 && middle <= 1);
        assert.ok(loudest(atS, atS + lengthS * 0.02) < middle * 0.2, 'a pulse begins with a ramp');
        const next = pulses[nth + 1];
        if (next) assert.equal(loudest(atS + lengthS + 0.001, next.atS - 0.001), 0);
      });
    }
  });

  test('have a ground frequency of 150 to 1000 Hz and at least four harmonics up to 4000 Hz', () => {
    for (const priority of ['high', 'medium', 'low']) {
      const ground = frequencyHz(priority);
      assert.ok(ground >= 150 && ground <= 1_000);
      const pulse = render(priority, RATE).slice(0, pulsesOf(priority)[0].lengthS * RATE);
      const power = (hz) => {
        const turn = (2 * Math.PI * hz) / RATE;
        const [re, im] = pulse.reduce(([a, b], it, at) => [a + it * Math.cos(turn * at), b + it * Math.sin(turn * at)], [0, 0]);
        return Math.hypot(re, im);
      };
      const harmonics = [2, 3, 4, 5, 6].filter((nth) => nth * ground <= 4_000 && power(nth * ground) > 0.05 * power(ground));
      assert.ok(harmonics.length >= 4, `${priority}: ${harmonics}`);
    }
  });

  test('are planned ahead, one after the other, and one that is late comes once', () => {
    assert.deepEqual(begins('high', null, 100, 125), [100, 110, 120]);
    assert.deepEqual(begins('high', 120, 101, 145), [130, 140]);
    assert.deepEqual(begins('high', 140, 101, 145), []);
    assert.deepEqual(begins('high', 140, 500, 505), [500]);
  });
});

describe('alarms', () => {
  const { calling, isCalling, isHeard, topAlarm, urgency } = alarms;
  const { alarmList } = messages;

  test('call until someone knows; only high ones when they are over', () => {
    assert.equal(isCalling(alarm('medium')), true);
    assert.equal(isCalling(alarm('medium', { active: false })), false);
    assert.equal(isCalling(alarm('high', { active: false })), true);
    assert.equal(isCalling(alarm('high', { acknowledged: known })), false);
    assert.equal(calling(list([alarm('low'), alarm('medium')])), 'medium');
  });

  test('sound in a pause only when they are more urgent than the server says', () => {
    const heard = (floor) => {
      const paused = alarmList({ ...list([alarm('low'), alarm('medium'), alarm('high')], { state: 'alarm-paused' }), floor });
      return paused.alarms.filter((it) => isHeard(it, paused)).map(({ priority }) => priority);
    };
    assert.deepEqual(heard('high'), []);
    assert.deepEqual(heard('medium'), ['high']);
    assert.deepEqual(heard('low'), ['medium', 'high']);
    assert.deepEqual(heard(undefined), ['high'], 'who is not told lets through what is high');
  });

  test('do not sound when a person turned them off', () => {
    const off = list([alarm('high')], { state: 'alarm-off' });
    assert.equal(isHeard(off.alarms[0], off), false);
  });

  test('stand in order: what calls, then what lasts, then the most urgent', () => {
    const top = topAlarm(list([alarm('high', { number: 1, acknowledged: known }), alarm('medium', { number: 2 }), alarm('low', { number: 3 })]));
    assert.equal(top.number, 2);
  });

  test('make a patient urgent, more so than their equipment', () => {
    const of = (priority, condition, more) => urgency(list([alarm(priority, { condition, ...more })]), true);
    const wanted = [
      of('high', 'asystole'),
      of('medium', 'rate-high'),
      of('medium', 'sensor-off'),
      of('low', 'battery'),
      of('high', 'asystole', { acknowledged: known }),
      urgency(list([]), false),
      urgency(list([]), true),
    ];
    assert.deepEqual(wanted.toSorted((a, b) => b - a), wanted);
    assert.equal(new Set(wanted).size, wanted.length);
  });
});

describe('the order of tiles', () => {
  const tile = (id, urgency = 0, name = id) => ({ id, name, urgency });

  test('is by bed, as people count, and what is wrong first', () => {
    const order = new Order();
    assert.deepEqual(order.arrange([tile('a', 0, '10'), tile('b', 0, '9'), tile('c', 3, '30')], false, 0), ['c', 'b', 'a']);
  });

  test('does not change while someone looks, but takes new ones last and lets go who is gone', () => {
    const order = new Order();
    order.arrange([tile('a'), tile('b'), tile('c')], false, 0);
    assert.deepEqual(order.arrange([tile('a'), tile('c', 30), tile('d', 30)], true, 1), ['a', 'c', 'd']);
    assert.deepEqual(order.arrange([tile('a'), tile('c', 30), tile('d', 30)], false, 2), ['c', 'd', 'a']);
  });

  test('does not jump back as soon as a patient is calm', () => {
    const order = new Order();
    order.arrange([tile('a'), tile('b', 30)], false, 0);
    assert.deepEqual(order.arrange([tile('a'), tile('b')], false, 1), ['b', 'a']);
    assert.deepEqual(order.arrange([tile('a'), tile('b')], false, CALM_MS), ['b', 'a']);
    assert.deepEqual(order.arrange([tile('a'), tile('b')], false, CALM_MS + 1), ['a', 'b']);
  });

  test('turns pages on a wall, each tile on one', () => {
    const ids = ['a', 'b', 'c', 'd', 'e'];
    assert.deepEqual([0, 1, 2, 3].map((turn) => page(ids, 2, turn)), [['a', 'b'], ['c', 'd'], ['e'], ['a', 'b']]);
    assert.deepEqual(page([], 2, 7), []);
  });

  test('fills a screen, and scrolls when tiles would be too small', () => {
    assert.deepEqual(layout.gridFor(4, 1_920, 1_000).columns, 2);
    assert.equal(layout.gridFor(16, 1_920, 1_020).columns, 4);
    const phone = layout.gridFor(5, 374, 700);
    assert.equal(phone.columns, 1);
    assert.ok(phone.room < 5 && phone.rowPx >= layout.TILE_HEIGHT_PX_MIN);
    const many = layout.gridFor(200, 1_920, 1_000);
    assert.ok(many.room < 200 && many.room % many.columns === 0);
    assert.ok(layout.gridFor(3, 0, 0).columns >= 1);
  });
});

describe('movement', () => {
  const { accelerationOf, moves } = movement;
  const values = (x, y, z) => ({ 'Accelerometer/x': x, 'Accelerometer/y': y, 'Accelerometer/z': z });
  test('is told from one second to the next, and not guessed', () => {
    const rest = accelerationOf(values(0, 0, 1));
    assert.equal(moves(rest, accelerationOf(values(0.02, -0.03, 1))), false);
    assert.equal(moves(rest, accelerationOf(values(0.3, 0, 0.9))), true);
    assert.equal(moves(null, rest), null);
    assert.equal(accelerationOf(values(0, null, 1)), null);
    assert.equal(accelerationOf({}), null);
  });
});

describe('words', () => {
  test('name an alarm so that it is read without colour, in each language', () => {
    const rate = alarm('high');
    assert.equal(words.alarmText(rate, en), '*** HR 134 > 120');
    assert.equal(words.alarmText(rate, es), '*** FC 134 > 120');
    const finer = alarm('medium', { condition: 'rate-low', text: '** HR 49.96 < 50' });
    assert.equal(words.alarmText(finer, es), '** FC 49.96 < 50');
    const off = alarm('medium', { condition: 'sensor-off', text: '** Sensor off' });
    assert.equal(words.alarmText(off, en), '** Sensor off');
    assert.equal(words.alarmText(off, es), '** Sensor suelto');
    assert.equal(words.alarmText(alarm('low', { condition: 'new-thing', text: '* New thing' }), es), '* New thing');
    assert.equal(words.alarmText(alarm('low', { condition: 'new-thing', text: '' }), es), '* new-thing');
  });

  test('say how old a reading is', () => {
    const ages = [null, 0, 2_999, 3_000, 99_999, 100_000, 7_200_000, 86_400_000 * 3];
    const said = ['never', 'now', 'now', '3 s ago', '99 s ago', '1 min ago', '2 h ago', '3 d ago'];
    assert.deepEqual(ages.map((ms) => words.age(ms, en)), said);
  });

  test('count a pause down', () => {
    assert.deepEqual([120_000, 65_000, 1, 0, -5].map(words.left), ['2:00', '1:05', '0:01', '0:00', '0:00']);
  });

  test('show no number where none is known', () => {
    assert.equal(words.decimals(null, 1), words.UNKNOWN);
    assert.equal(words.decimals(undefined, 1), words.UNKNOWN);
    assert.equal(words.decimals(0, 1), '0.0');
    assert.equal(words.qualityOf(null), 'none');
    assert.deepEqual([0.9, 0.6, 0.1].map(words.qualityOf), ['good', 'fair', 'poor']);
  });

  test('are there in Spanish as in English', () => {
    const shape = (text) =>
      text !== null && typeof text === 'object'
        ? Object.fromEntries(Object.entries(text).map(([name, it]) => [name, shape(it)]))
        : typeof text;
    assert.deepEqual(shape(es), shape(en));
  });
});

describe('a trend', () => {
  const history = { unit: 'Cel', time: [1_000, 2_000, 9_000], min: [1, 2, 3], max: [3, 4, 5], mean: [2, 3, 4], gap: [0, 2, 3] };

  test('has a hole where samples are missing', () => {
    assert.deepEqual(trend.columns(history), [
      [1, 2, 5.5, 9],
      [2, 3, null, 4],
      [1, 2, null, 3],
      [3, 4, null, 5],
    ]);
  });

  test('has nothing when nothing was measured', () => {
    assert.deepEqual(trend.columns({ unit: null, time: [], min: [], max: [], mean: [], gap: [] }), [[], [], [], []]);
  });

  test('shows a point that stands alone', () => {
    assert.deepEqual(trend.lonely([2, 3, null, 4, null, 0]), [3, 5]);
  });

  test('shows noise as noise', () => {
    assert.deepEqual(trend.rangeOf(36.9, 37.1, 1), [36.5, 37.5]);
    assert.deepEqual(trend.rangeOf(null, null, 1), [0, 1]);
  });
});

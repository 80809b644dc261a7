// What the page shows, stepped without a clock, a broker or a browser.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import devices from '../lib/devices.js';
import traces from '../lib/trace.js';

const { CONFIRM_MS, DEVICES_MAX, Devices } = devices;
const { COLUMNS, COLUMN_MS, Trace, WINDOW_MS } = traces;

const T0 = Date.parse('2026-11-24T21:37:31.123Z');
const SILENT_AFTER_MS = 10_000;

const connected = () => {
  const known = new Devices({ silent_after_ms: SILENT_AFTER_MS });
  known.connection(true, T0);
  return known;
};

const reading = (time_ms, values) =>
  `{"time":"${new Date(time_ms).toISOString()}","assurance":"authenticated","uncertainty_ms":3,"sequence":1,"index":0,"values":{${Object.entries(values)
    .map(([name, [value, unit, rest = '']]) => `"${name}":{"value":${value},"unit":"${unit}"${rest}}`)
    .join(',')}}}`;

const temperature = (time_ms, value) => reading(time_ms, { Temperature: [value, 'Cel'] });

const waveform = (t0_ms, values, interval_ms = 4) =>
  JSON.stringify({ t0: new Date(t0_ms).toISOString(), interval_ms, uncertainty_ms: 3, boot: '0', sequence: 1, assurance: 'authenticated', unit: 'V', values });

const only = (message) => message.devices[0];

describe('readings', () => {
  test('values keep every digit that their device wrote', () => {
    const known = connected();
    const texts = { a: '36.600', b: '-0.000', c: '1e3', d: '0', e: '-127.000', f: '1.0E-2' };
    known.take('vitalwire/v1/bed/reading', reading(T0, Object.fromEntries(Object.entries(texts).map(([name, text]) => [name, [text, 'Cel']]))), T0);
    assert.deepEqual(Object.fromEntries(Object.entries(only(known.all(T0)).values).map(([name, { text }]) => [name, text])), texts);
  });

  test('what its server marked is marked', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', reading(T0, { Temperature: ['85.000', 'Cel', ',"plausible":false'] }), T0);
    assert.equal(only(known.all(T0)).values.Temperature.plausible, false);
  });

  test('an older one that comes late replaces no newer value and makes no device young', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', temperature(T0, '36.6'), T0);
    known.take('vitalwire/v1/bed/reading', temperature(T0 - 60_000, '30.0'), T0 + 20_000);
    const device = only(known.all(T0 + 20_000));
    assert.equal(device.values.Temperature.text, '36.6');
    assert.equal(device.age_ms, 20_000);
    assert.equal(device.state, 'silent');
  });

  test('an old one that is the newest there is has its true age', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', temperature(T0 - 3_600_000, '36.6'), T0);
    assert.deepEqual([only(known.all(T0)).age_ms, only(known.all(T0)).state], [3_600_000, 'silent']);
  });

  test('a clock of the server that was set back hides nothing', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', temperature(T0 + 3_600_000, '36.6'), T0);
    known.take('vitalwire/v1/bed/reading', temperature(T0 + 1_000, '37.0'), T0 + 1_000);
    const device = only(known.all(T0 + 1_000));
    assert.deepEqual([device.values.Temperature.text, device.age_ms], ['37.0', 0]);
  });
});

describe('states', () => {
  test('online, silent after the time-out, online again, offline', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/status', 'online', T0);
    assert.deepEqual([only(known.all(T0)).state, only(known.all(T0)).age_ms], ['silent', undefined]);
    known.take('vitalwire/v1/bed/reading', temperature(T0, '36.6'), T0);
    assert.equal(only(known.all(T0 + SILENT_AFTER_MS)).state, 'online');
    assert.equal(only(known.all(T0 + SILENT_AFTER_MS + 1)).state, 'silent');
    known.take('vitalwire/v1/bed/reading', temperature(T0 + 11_000, '36.6'), T0 + 11_000);
    assert.equal(only(known.all(T0 + 11_000)).state, 'online');
    known.take('vitalwire/v1/bed/status', 'offline', T0 + 12_000);
    assert.equal(only(known.all(T0 + 12_000)).state, 'offline');
  });

  test('a device that sends once a minute is not silent in between, and an outage does not change what is usual', () => {
    const known = connected();
    let now = T0;
    const send = (after_ms) => {
      now += after_ms;
      known.take('vitalwire/v1/bed/reading', temperature(now, '36.6'), now);
    };
    for (let count = 0; count < 6; count += 1) send(60_000);
    assert.equal(only(known.all(now + 179_000)).state, 'online');
    assert.equal(only(known.all(now + 181_000)).state, 'silent');
    send(3_600_000);
    assert.equal(only(known.all(now + 181_000)).state, 'silent');
  });

  test('a value proves the connection that no one told', () => {
    const known = new Devices({ silent_after_ms: SILENT_AFTER_MS });
    known.take('vitalwire/v1/bed/reading', temperature(T0, '36.600'), T0);
    assert.deepEqual([known.all(T0).connected, only(known.all(T0)).state], [true, 'online']);
    known.connection(false, T0);
    assert.deepEqual([known.all(T0).connected, only(known.all(T0)).state], [false, 'unknown']);
  });

  test('without the broker every state is unknown', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', temperature(T0, '36.6'), T0);
    known.connection(false, T0);
    assert.equal(known.all(T0).connected, false);
    assert.equal(only(known.all(T0)).state, 'unknown');
    known.connection(true, T0);
    assert.equal(only(known.all(T0)).state, 'online');
  });

  test('a device that was erased goes, also when it was erased while the broker was away', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/status', 'online', T0);
    known.take('vitalwire/v1/cot/status', 'online', T0);
    known.changes(T0);
    known.take('vitalwire/v1/bed/status', '', T0);
    assert.deepEqual(known.changes(T0).gone, ['bed']);
    // Its addresses are erased in any order: none brings it back.
    assert.equal(known.take('Pico/bed/Ip_address', '', T0), true);
    assert.deepEqual(known.all(T0).devices.map(({ id }) => id), ['cot']);
    assert.deepEqual(known.changes(T0).gone, []);
    known.take('vitalwire/v1/pen/status', 'online', T0);
    known.connection(false, T0);
    known.connection(true, T0);
    known.take('vitalwire/v1/pen/status', 'online', T0 + 10);
    assert.deepEqual(known.changes(T0 + CONFIRM_MS - 1).gone, []);
    assert.deepEqual(known.changes(T0 + CONFIRM_MS).gone, ['cot']);
    assert.deepEqual(known.all(T0 + CONFIRM_MS).devices.map(({ id }) => id), ['pen']);
  });
});

describe('messages', () => {
  test('the four addresses', () => {
    const known = connected();
    const topics = { Ip_address: '10.0.0.7', Port_address: '50123', 'Internal_Server/Ip_address': '10.0.0.1', 'Internal_Server/Port_address': '9998' };
    for (const [topic, payload] of Object.entries(topics)) assert.ok(known.take(`Pico/bed/${topic}`, payload, T0));
    assert.deepEqual(only(known.all(T0)).address, { device_address: '10.0.0.7', device_port: '50123', server_address: '10.0.0.1', server_port: '9998' });
  });

  test('what is not as PROTOCOL.md says changes nothing', () => {
    const known = connected();
    const wrong = [
      ['', ''],
      ['vitalwire/v1/bed', 'x'],
      ['vitalwire/v1/b d/status', 'online'],
      [`vitalwire/v1/${'b'.repeat(65)}/status`, 'online'],
      ['vitalwire/v1/bed/status', 'asleep'],
      ['vitalwire/v1/bed/event', '{}'],
      ['vitalwire/v1/bed/reading', ''],
      ['vitalwire/v1/bed/reading', 'null'],
      ['vitalwire/v1/bed/reading', '{"time":"then","values":{}}'],
      ['vitalwire/v1/bed/reading', '{"time":"2026-11-24T21:37:31.123Z","values":{"Temperature":{"value":"36.6","unit":"Cel"}}}'],
      ['vitalwire/v1/bed/reading', '{"time":"2026-11-24T21:37:31.123Z","values":{"<b>":{"value":36.6,"unit":"Cel"}}}'],
      ['vitalwire/v1/bed/reading', '{"time":"2026-11-24T21:37:31.123Z","values":{"Temperature":{"value":1e999,"unit":"Cel"}}}'],
      ['vitalwire/v1/bed/waveform/', waveform(T0, [1])],
      ['vitalwire/v1/bed/waveform/a//b', waveform(T0, [1])],
      ['vitalwire/v1/bed/waveform/Pulse_Signal', waveform(T0, [])],
      ['vitalwire/v1/bed/waveform/Pulse_Signal', waveform(T0, [1, null])],
      ['vitalwire/v1/bed/waveform/Pulse_Signal', waveform(T0, [1], 0)],
      ['Pico/bed/Ip_address', '<script>'],
      ['Pico/bed/Physiological_Data/Temperature', '36.6'],
    ];
    for (const [topic, payload] of wrong) assert.equal(known.take(topic, payload, T0), false, `${topic} ${payload}`);
    assert.deepEqual(known.all(T0).devices, []);
  });

  test('devices are bounded, and those that found no room are counted', () => {
    const known = connected();
    for (let number = 0; number < DEVICES_MAX + 3; number += 1) known.take(`vitalwire/v1/bed_${number}/status`, 'online', T0);
    assert.equal(known.all(T0).devices.length, DEVICES_MAX);
    assert.equal(known.all(T0).left, 3);
    known.take('vitalwire/v1/bed_0/status', '', T0);
    assert.ok(known.take(`vitalwire/v1/bed_${DEVICES_MAX}/status`, 'online', T0));
    assert.equal(known.all(T0).left, 2);
  });

  test('a browser gets all once, and then only what changed', () => {
    const known = connected();
    known.take('vitalwire/v1/bed/reading', temperature(T0, '36.6'), T0);
    assert.ok(only(known.changes(T0)).values);
    assert.equal(only(known.changes(T0)).values, undefined);
    assert.deepEqual(only(known.changes(T0 + 500)), { id: 'bed', state: 'online', age_ms: 500 });
    assert.ok(only(known.all(T0)).values);
  });

  test('a device that sends waveforms is drawn from them, not from its readings', () => {
    const known = connected();
    const pulse = (time_ms) => known.take('vitalwire/v1/bed/reading', reading(time_ms, { Pulse_Signal: ['1.800', 'V'] }), time_ms);
    pulse(T0);
    const before = only(known.all(T0)).traces[0];
    assert.equal(before.points.length, 1);
    known.take('vitalwire/v1/bed/waveform/Pulse_Signal', waveform(T0, Array(250).fill(1)), T0 + 1_000);
    pulse(T0 + 1_000);
    const after = only(known.all(T0 + 1_000)).traces[0];
    assert.notEqual(after.generation, before.generation);
    assert.ok(after.points.every(([, min, max]) => min === 1 && max === 1));
  });
});

// Where the page would lift its pen.
const gaps = ({ points, gap_ms, column_ms }) =>
  points.slice(1).filter(([column, , , first], index) => column * column_ms + first - (points[index][0] * column_ms + points[index][4]) > gap_ms).length;
const drawn = (trace) => ({ points: trace.points({ all: true }), ...trace.frame() });
const wave = (t0_ms, values, interval_ms = 4) => ({ t0_ms, interval_ms, uncertainty_ms: 3, values });

describe('curves', () => {
  test('a column has its first, lowest, highest and last value, and when the first and the last were', () => {
    const trace = new Trace();
    const begin_ms = COLUMN_MS * Math.ceil(T0 / COLUMN_MS);
    trace.addWaveform(wave(begin_ms, [2, 1, 4, 3, 5]), T0);
    assert.deepEqual(trace.points({ all: true }), [[begin_ms / COLUMN_MS, 1, 5, 0, 16, 2, 5]]);
    trace.addWaveform(wave(begin_ms + 18, [0]), T0);
    trace.addWaveform(wave(begin_ms + 2, [9]), T0);
    assert.deepEqual(trace.points({ all: true }), [[begin_ms / COLUMN_MS, 0, 9, 0, 18, 2, 0]]);
  });

  test('no peak is lost, and 500 Hz costs a browser no more than 50', () => {
    const trace = new Trace();
    for (let second = 0; second < 30; second += 1) {
      const values = Array.from({ length: 500 }, (_, index) => (index === 123 ? 9 : index === 321 ? -9 : Math.sin(index)));
      trace.addWaveform(wave(T0 + 1_000 * second, values, 2), T0 + 1_000 * (second + 1));
    }
    const { points } = drawn(trace);
    assert.ok(points.length <= COLUMNS);
    assert.equal(points.filter(([, , max]) => max === 9).length, WINDOW_MS / 1_000);
    assert.equal(points.filter(([, min]) => min === -9).length, WINDOW_MS / 1_000);
  });

  test('batches that follow each other have no gap; a value that is missing between two is one', () => {
    for (const interval_ms of [2, 4, 10, 50, 250]) {
      const span_ms = interval_ms * 20;
      const add = (starts_ms) => {
        const trace = new Trace();
        // Mapped times of batches differ by a millisecond or two.
        starts_ms.forEach((start_ms, index) => trace.addWaveform(wave(T0 + start_ms + (index % 2), Array(20).fill(1), interval_ms), T0 + start_ms));
        return gaps(drawn(trace));
      };
      assert.equal(add([0, span_ms, 2 * span_ms]), 0, `${interval_ms} ms`);
      assert.equal(add([0, span_ms, 2 * span_ms + Math.max(2 * COLUMN_MS, interval_ms)]), 1, `${interval_ms} ms`);
    }
  });

  test('readings at an unsteady pace have no gap; a pause is one', () => {
    const trace = new Trace();
    let now = T0;
    for (let count = 0; count < 40; count += 1) trace.addValue((now += count % 4 === 0 ? 120 : 30), 1, now);
    assert.equal(gaps(drawn(trace)), 0);
    for (let count = 0; count < 20; count += 1) trace.addValue((now += count === 0 ? 1_000 : 50), 1, now);
    assert.equal(gaps(drawn(trace)), 1);
  });

  test('what came late fills its gap', () => {
    const trace = new Trace();
    trace.addWaveform(wave(T0, Array(250).fill(1)), T0 + 1_000);
    trace.addWaveform(wave(T0 + 2_000, Array(250).fill(1)), T0 + 3_000);
    trace.points({ all: false });
    assert.equal(gaps(drawn(trace)), 1);
    trace.addWaveform(wave(T0 + 1_000, Array(250).fill(1)), T0 + 3_500);
    assert.equal(gaps(drawn(trace)), 0);
    assert.equal(trace.points({ all: false }).length, 50, 'only the columns of the late batch');
    trace.addWaveform(wave(T0 - WINDOW_MS, Array(250).fill(1)), T0 + 3_500);
    assert.deepEqual(trace.points({ all: false }), [], 'what is older than the window is not drawn');
  });

  test('the right edge moves on while a device is silent, and does not jump when one message is held up', () => {
    const trace = new Trace();
    for (let second = 1; second <= 10; second += 1) trace.addWaveform(wave(T0 + 1_000 * (second - 1), Array(250).fill(1)), T0 + 1_000 * second + 50);
    const { edge_ms } = trace.frame();
    assert.equal(edge_ms, -1_054);
    trace.addWaveform(wave(T0 + 10_000, Array(250).fill(1)), T0 + 11_450);
    assert.equal(trace.frame().edge_ms, edge_ms - 40);
  });

  test('a clock that was set back starts another curve', () => {
    const trace = new Trace();
    trace.addValue(T0 + 3_600_000, 1, T0);
    const { generation } = trace.frame();
    trace.addValue(T0 + 50, 2, T0 + 50);
    assert.notEqual(trace.frame().generation, generation);
    assert.deepEqual(drawn(trace).points.map(([, min]) => min), [2]);
  });

  test('any finite times and values are taken, within bounds', () => {
    const trace = new Trace();
    for (const time_ms of [0, -1, -8.64e15, 8.64e15, 1e300, NaN, Infinity, T0]) for (const value of [0, -0, 1e308, -1e308, NaN, Infinity]) trace.addValue(time_ms, value, T0);
    assert.ok(drawn(trace).points.length <= COLUMNS);
  });
});

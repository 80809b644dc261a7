// A server as PROTOCOL.md §6 says, for the tests of the page alone: five patients with a drawn pulse, and whatever a test wants to happen.
//
//   node test/fake.mjs [PORT]      to look at the page by hand; sign in with any name and the password `pw`
import { createServer } from 'node:http';
import { existsSync, readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { WebSocketServer } from 'ws';

const dist = join(import.meta.dirname, '../dist');
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const HEADERS = {
  'content-security-policy': "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
};
export const LINK = 'right-token';
const COOKIE = 'vitalwire_session=1';

const channel = (i, name, title, unit, wave = null, rate_hz = 20) => ({ i, name, title, unit, wave, rate_hz });
const PICO = [
  channel(0, 'Temperature', 'Body temperature', 'Cel'),
  channel(1, 'MCU_Temperature', 'Temperature of the microcontroller', 'Cel'),
  channel(2, 'Pulse_Signal', 'Pulse wave', 'V', 'ppg', 50),
  channel(3, 'Accelerometer/x', 'Acceleration along x', '[g]'),
  channel(4, 'Accelerometer/y', 'Acceleration along y', '[g]'),
  channel(5, 'Accelerometer/z', 'Acceleration along z', '[g]'),
  channel(6, 'MPU_Temperature', 'Temperature of the movement sensor', 'Cel'),
];
const ECG = PICO.map((it) => (it.i === 2 ? channel(2, 'Pulse_Signal', 'ECG, lead I', 'mV', 'ecg', 250) : it));

const person = (n, id, patient, bed, perMin, celsius, profile = 'pico') => ({
  n,
  id,
  patient,
  bed,
  perMin,
  celsius,
  profile,
  online: true,
  list: null,
  isSilent: false,
});

export const PEOPLE = () => [
  person(0, 'bed_01', 'Ana Morales', '1', 72, 36.6),
  person(1, 'bed_02', 'Björn Ås', '2', 88, 37.1, 'ecg'),
  person(2, 'bed_03', null, '3', 64, 36.4),
  person(3, 'bed_04', 'Chiara De Luca', '4', 97, 36.9),
  person(4, 'loaner', null, null, 79, 36.7),
];

let numbers = 40;
export const alarm = (condition, priority, text, more = {}) => ({
  number: ++numbers,
  condition,
  priority,
  text,
  value: null,
  limit: null,
  unit: null,
  since: new Date(Date.now() - 20_000).toISOString(),
  raised: new Date(Date.now() - 5_000).toISOString(),
  active: true,
  ended: null,
  acknowledged: null,
  escalated: null,
  delay_s: 15,
  ...more,
});
export const list = (...alarms) => ({ time: new Date().toISOString(), state: 'on', until: null, floor: null, alarms });

const bump = (t, at, width, height) => height * Math.exp(-((t - at) ** 2) / (2 * width * width));
const beat = { // one beat, from 0 to 1 of its length
  pico: (t) => 1.2 + bump(t, 0.22, 0.075, 0.9) + bump(t, 0.5, 0.1, 0.32),
  ecg: (t) =>
    bump(t, 0.16, 0.025, 0.12) - bump(t, 0.235, 0.01, 0.1) + bump(t, 0.26, 0.011, 1) - bump(t, 0.285, 0.011, 0.22) + bump(t, 0.48, 0.05, 0.28),
};

const message = (kind, body) => Buffer.concat([Buffer.from([kind]), Buffer.from(JSON.stringify(body))]);
const waveMessage = (n, channel, firstMs, intervalUs, ints, exponent = -3) => {
  const bytes = Buffer.alloc(19 + 4 * ints.length);
  bytes.writeUInt8(2, 0);
  bytes.writeUInt16LE(n, 1);
  bytes.writeUInt8(channel, 3);
  bytes.writeInt8(exponent, 4);
  bytes.writeDoubleLE(firstMs, 5);
  bytes.writeUInt32LE(intervalUs, 13);
  bytes.writeUInt16LE(ints.length, 17);
  ints.forEach((int, at) => bytes.writeInt32LE(int, 19 + 4 * at));
  return bytes;
};

const number = (value) => {
  const bytes = [];
  for (; value >= 0x80; value = Math.floor(value / 0x80)) bytes.push((value % 0x80) | 0x80);
  return [...bytes, value];
};
// As PROTOCOL.md §6.4 says: one block of values at even times, one of beats.
const keptWave = (channel, firstMs, stepMs, ints, beatsMs) => {
  const begin = (kind, ms, count) => {
    const bytes = Buffer.alloc(kind.length + 12);
    bytes.set(kind);
    bytes.writeDoubleLE(ms, kind.length);
    bytes.writeUInt32LE(count, kind.length + 8);
    return bytes;
  };
  const interval = Buffer.alloc(4);
  interval.writeUInt32LE(stepMs * 1_000);
  const differences = ints.flatMap((int, at) => {
    const difference = int - (ints[at - 1] ?? 0);
    return number(difference >= 0 ? 2 * difference : -2 * difference - 1);
  });
  const beats = beatsMs.flatMap((ms, at) => number(Math.round((ms - (beatsMs[at - 1] ?? ms)) * 1_000)));
  return Buffer.concat([
    Buffer.from([1, channel]),
    ...(ints.length ? [begin([1, 0xfd], firstMs, ints.length), interval, Buffer.from(differences)] : []),
    ...(beatsMs.length ? [begin([3], beatsMs[0], beatsMs.length), Buffer.from(beats)] : []),
  ]);
};

const BATCH_MS = 250;

export const start = async ({ port = 0, people = PEOPLE(), can = ['acknowledge', 'pause'], provider = null } = {}) => {
  const asked = [];
  const live = new Set();
  const watched = [];
  const state = { isMute: false, isIn: false, failAck: null, failLogout: false };

  const deviceOf = ({ n, id, stay = 1, patient, bed, profile, online, list }) => {
    const channels = profile === 'ecg' ? ECG : PICO;
    const ends = online ? { peer: `10.0.0.${n + 7}:50312`, local: '10.0.0.1:9998' } : { peer: null, local: null };
    return { n, id, stay, patient, bed, profile, channels, online, ...ends, last: Date.now(), alarms: list };
  };
  const tell = (bytes) => {
    if (!state.isMute) for (const socket of live) socket.send(bytes);
  };
  const heartbeat = () => {
    const bytes = Buffer.alloc(13);
    bytes.writeUInt8(5, 0);
    bytes.writeDoubleLE(Date.now(), 1);
    return bytes;
  };
  const valuesOf = (it) => {
    const quality = it.quality ?? 0.93;
    const values = {
      Temperature: it.celsius + Math.sin(Date.now() / 9_000) * 0.04,
      MCU_Temperature: 41.2,
      MPU_Temperature: 35.9,
      'Accelerometer/x': 0.02 + Math.random() / 100,
      'Accelerometer/y': -0.04,
      'Accelerometer/z': 0.99,
      Signal_Quality: quality,
      Screening_Score: it.perMin > 110 ? 3 : it.perMin > 90 ? 1 : 0,
      Screening_Inputs: 2,
    };
    if (quality > 0.5) values[it.profile === 'ecg' ? 'Heart_Rate' : 'Pulse_Rate'] = it.perMin + Math.sin(Date.now() / 4_000);
    return message(3, { n: it.n, time: Date.now(), values: it.online && !it.isSilent ? values : {} });
  };

  const valueAt = (it, ms) => {
    const into = ((ms / 60_000) * it.perMin + it.n * 0.37) % 1;
    return Math.round(1_000 * (beat[it.profile](into) + 0.06 * Math.sin(ms / 1_900 + it.n) + 0.01 * Math.random()));
  };
  let batchFromMs = Date.now();
  const batches = setInterval(() => {
    const toMs = Date.now();
    for (const it of people) {
      if (!it.online || it.isSilent || it.isHalted) continue;
      const stepMs = it.profile === 'ecg' ? 4 : 20;
      const firstMs = Math.ceil(batchFromMs / stepMs) * stepMs;
      const ints = [];
      for (let ms = firstMs; ms < toMs; ms += stepMs) {
        ints.push(valueAt(it, ms));
      }
      if (ints.length > 0) tell(waveMessage(it.n, 2, firstMs, stepMs * 1_000, ints));
    }
    batchFromMs = toMs;
  }, BATCH_MS);
  const seconds = setInterval(() => {
    people.filter((it) => !it.isHalted).forEach((it) => tell(valuesOf(it)));
    tell(heartbeat());
  }, 1_000);

  const setList = (it, list) => {
    it.list = list;
    tell(message(4, { n: it.n, ...list }));
  };
  const change = (id, fields) => {
    const it = people.find((one) => one.id === id);
    Object.assign(it, fields);
    if ('list' in fields) setList(it, fields.list);
    if ('online' in fields || 'stay' in fields) tell(message(1, deviceOf(it)));
    return it;
  };

  const api = {
    'POST session': ({ link, password }) => {
      if (link === LINK || password === 'pw') {
        state.isIn = true;
        return [200, { user: 'ana', role: can.length ? 'admin' : 'reader', can }, { 'set-cookie': `${COOKIE}; HttpOnly; SameSite=Strict; Path=/` }];
      }
      return [401, { error: 'wrong or used' }];
    },
    'GET session/ways': () => [200, { provider }],
    'GET session': () => [200, { user: 'ana', role: can.length ? 'admin' : 'reader', can }],
    'DELETE session': () => {
      if (state.failLogout) return [503, { error: 'not written' }];
      state.isIn = false;
      for (const socket of live) socket.close(4401);
      return [204];
    },
    'POST alarms/ack': ({ device, number, reason }) => {
      if (state.failAck) return [409, { error: state.failAck }];
      const it = people.find(({ id }) => id === device);
      const acknowledged = { by: 'ana', reason: reason ?? null, time: new Date().toISOString() };
      const alarms = (it.list?.alarms ?? [])
        .map((one) => (number === undefined || one.number === number ? { ...one, acknowledged } : one))
        .filter((one) => one.active || !one.acknowledged);
      setList(it, { ...it.list, alarms });
      return [200, { acknowledged: 1 }];
    },
    'POST alarms/pause': ({ device, seconds }) => {
      const it = people.find(({ id }) => id === device);
      const until = new Date(Date.now() + seconds * 1_000).toISOString();
      const before = it.list ?? list();
      const calls = before.alarms.some(({ priority, acknowledged }) => priority === 'high' && !acknowledged);
      const floor = calls ? 'high' : 'medium';
      setList(it, { ...before, ...(seconds ? { state: 'alarm-paused', until, floor } : { state: 'on', until: null, floor: null }) });
      return [204];
    },
  };

  const history = (id, query) => {
    const [from, to, points] = ['from', 'to', 'points'].map((name) => Number(query.get(name)));
    const channel = query.get('channel');
    const it = people.find((one) => one.id === id);
    const middle = { Temperature: it.celsius, Signal_Quality: 0.9, Screening_Score: 1 }[channel] ?? it.perMin;
    const spread = { Temperature: 0.3, Signal_Quality: 0.08, Screening_Score: 0 }[channel] ?? 6;
    const answer = { device: id, channel, unit: '', from, to, time: [], min: [], max: [], mean: [], gap: [], gaps: [] };
    const step = (to - from) / points;
    if (points > 10) answer.gaps.push({ from: from + 0.42 * (to - from), to: from + 0.5 * (to - from), cause: 'offline' });
    let isAfterGap = false;
    for (let at = 0; at < points; at++) {
      // No one slept with it, and once the network was gone.
      const part = at / points;
      if (part < 0.1 || (part > 0.42 && part < 0.5)) {
        isAfterGap = true;
        continue;
      }
      const mean = middle + spread * Math.sin(part * 21) * 0.6 + (part > 0.8 ? spread * 4 * (part - 0.8) : 0);
      answer.time.push(Math.round(from + at * step));
      answer.mean.push(mean);
      answer.min.push(mean - spread * 0.25 * Math.random());
      answer.max.push(mean + spread * 0.25 * Math.random());
      answer.gap.push(isAfterGap && answer.gap.length > 0 ? 1 : 0);
      isAfterGap = false;
    }
    return answer;
  };

  // What was measured up to now, and where the heart beats.
  const waves = (id, query) => {
    const [from, to] = ['from', 'to'].map((name) => Number(query.get(name)));
    const it = people.find((one) => one.id === id);
    const stepMs = it.profile === 'ecg' ? 4 : 20;
    const firstMs = Math.ceil(from / stepMs) * stepMs;
    const ints = [];
    for (let ms = firstMs; ms < Math.min(to, Date.now()); ms += stepMs) ints.push(valueAt(it, ms));
    const beatMs = 60_000 / it.perMin;
    const beats = [];
    const top = (it.profile === 'ecg' ? 0.26 : 0.22) - it.n * 0.37;
    for (let beat = Math.ceil(from / beatMs - top); (beat + top) * beatMs < Math.min(to, Date.now()); beat++) beats.push((beat + top) * beatMs);
    return keptWave(2, firstMs, stepMs, ints, beats);
  };

  const server = createServer(async (request, response) => {
    const url = new URL(request.url, 'http://fake');
    const send = (status, body, headers = {}) => {
      response.writeHead(status, { ...HEADERS, ...headers, 'cache-control': 'no-store' });
      response.end(body === undefined ? undefined : typeof body === 'object' && !Buffer.isBuffer(body) ? JSON.stringify(body) : body);
    };
    if (!url.pathname.startsWith('/api/')) {
      const path = join(dist, url.pathname === '/' ? 'index.html' : url.pathname);
      if (!path.startsWith(dist) || !existsSync(path)) return send(404, 'not here');
      return send(200, readFileSync(path), { 'content-type': TYPES[extname(path)] ?? 'application/octet-stream' });
    }
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = chunks.length ? JSON.parse(Buffer.concat(chunks).toString()) : undefined;
    const route = `${request.method} ${url.pathname.slice('/api/v1/'.length)}`;
    asked.push({ route, body, query: url.search });
    const isIn = state.isIn && (request.headers.cookie ?? '').includes(COOKIE);
    if (!isIn && route !== 'POST session' && route !== 'GET session/ways') return send(401, { error: 'no session; sign in' });
    const ofDevice = /^GET devices\/([^/]+)\/history$/.exec(route);
    if (ofDevice) return send(200, history(decodeURIComponent(ofDevice[1]), url.searchParams));
    const wave = /^GET devices\/([^/]+)\/waves$/.exec(route);
    if (wave) return send(200, waves(decodeURIComponent(wave[1]), url.searchParams), { 'content-type': 'application/octet-stream' });
    const answer = api[route];
    if (!answer) return send(404, { error: 'no such route' });
    const [status, said, headers] = answer(body);
    return send(status, said, headers);
  });

  const sockets = new WebSocketServer({ noServer: true });
  server.on('upgrade', (request, socket, head) => {
    if (!state.isIn || !(request.headers.cookie ?? '').includes(COOKIE)) {
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => {
      live.add(opened);
      opened.on('close', () => live.delete(opened));
      opened.on('message', (data) => {
        const ns = [];
        for (let at = 1; at < data.length; at += 2) ns.push(data.readUInt16LE(at));
        watched.push(ns);
      });
      opened.send(heartbeat());
      for (const it of people) {
        opened.send(message(1, deviceOf(it)));
        opened.send(valuesOf(it));
      }
    });
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));

  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    people,
    asked,
    watched,
    state,
    change,
    tell,
    message,
    cut: () => [...live].forEach((socket) => socket.terminate()),
    stop: () => {
      clearInterval(batches);
      clearInterval(seconds);
      for (const socket of live) socket.terminate();
      server.closeAllConnections();
      server.close();
    },
  };
};

if (process.argv[1] === import.meta.filename) {
  const server = await start({ port: Number(process.argv[2] ?? 8_099) });
  console.log(`${server.url}#link=${LINK}`);
}

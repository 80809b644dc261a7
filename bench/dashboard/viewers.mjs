// A hundred who look at one ward, as bare connections: what they cost the server, and what it costs the others when some stop reading.
import { createRequire } from 'node:module';
import { coreShare, pause } from './server.mjs';
import { percentile } from './figures.mjs';

const { WebSocket } = createRequire(new URL('../../web/dashboard/package.json', import.meta.url))('ws');

const WAVE = 2;
const HEARTBEAT = 5;
const WAVE_HEADER_BYTES = 19;

class Viewer {
  bytes = 0;
  messages = 0;
  dropped = 0;
  /** Since it was cleared: when each piece of a wave came, beyond when its newest value was measured by the device's clock; by device. */
  wavesMs = new Map();
  /** The same of heartbeats. */
  beatsMs = [];
  isOver = false;

  static open(server, cookie) {
    const url = server.url.replace('http:', 'ws:');
    const headers = { cookie: `${cookie.name}=${cookie.value}`, origin: server.url };
    const viewer = new Viewer();
    viewer.socket = new WebSocket(`${url}/api/v1/live`, { headers, perMessageDeflate: false });
    viewer.socket.on('message', (bytes) => viewer.take(bytes));
    viewer.socket.on('close', () => (viewer.isOver = true));
    return new Promise((resolve, reject) => {
      viewer.socket.on('open', () => resolve(viewer));
      viewer.socket.on('error', reject);
    });
  }

  take(bytes) {
    this.bytes += bytes.length;
    this.messages++;
    if (bytes[0] === HEARTBEAT) {
      this.beatsMs.push(Date.now() - bytes.readDoubleLE(1));
      this.dropped = bytes.readUInt32LE(9);
    } else if (bytes[0] === WAVE && bytes.length >= WAVE_HEADER_BYTES) {
      const lastMs = bytes.readDoubleLE(5) + ((bytes.readUInt16LE(17) - 1) * bytes.readUInt32LE(13)) / 1_000;
      const n = bytes.readUInt16LE(1);
      const ages = this.wavesMs.get(n) ?? [];
      this.wavesMs.set(n, ages);
      ages.push(Date.now() - lastMs);
    }
  }

  clear() {
    [this.wavesMs, this.beatsMs, this.bytes, this.messages] = [new Map(), [], 0, 0];
  }
}

// Delays that all of these saw in this time. A device's clock is mapped with an error that is always the same: so what counts is how much later
// than the earliest a piece came.
const delays = async (viewers, ms) => {
  viewers.forEach((viewer) => viewer.clear());
  await pause(ms);
  const least = new Map();
  for (const { wavesMs } of viewers) {
    for (const [n, ages] of wavesMs) least.set(n, Math.min(least.get(n) ?? Number.POSITIVE_INFINITY, ...ages));
  }
  const waves = viewers.flatMap(({ wavesMs }) => [...wavesMs].flatMap(([n, ages]) => ages.map((age) => age - least.get(n))));
  const beats = viewers.flatMap(({ beatsMs }) => beatsMs);
  return { waveP50: percentile(waves, 0.5), waveP99: percentile(waves, 0.99), beatP99: percentile(beats, 0.99) };
};

export const viewers = async (server, scale) => {
  const alone = await coreShare(server, scale.windowMs);
  const before = server.residentBytes();
  const cookie = await server.login();
  const all = [];
  for (let at = 0; at < scale.viewers; at++) all.push(await Viewer.open(server, cookie));
  await pause(scale.settleMs);
  all.forEach((viewer) => viewer.clear());
  const share = await coreShare(server, scale.windowMs);
  const seconds = scale.windowMs / 1_000;
  const bytesPerS = all.reduce((sum, { bytes }) => sum + bytes, 0) / all.length / seconds;
  const messagesPerS = all.reduce((sum, { messages }) => sum + messages, 0) / all.length / seconds;
  const usual = await delays(all, scale.windowMs);
  const memory = (server.residentBytes() - before) / all.length;

  const stopped = all.slice(0, Math.ceil(all.length / 10));
  const others = all.slice(stopped.length);
  stopped.forEach(({ socket }) => socket.pause());
  const stalled = await delays(others, scale.stallMs);
  const dropped = others.reduce((sum, it) => sum + it.dropped, 0);
  const peak = (server.residentBytes() - before) / all.length;
  const over = others.filter(({ isOver }) => isOver).length;
  all.forEach(({ socket }) => socket.terminate());
  await pause(scale.settleMs);
  const left = server.residentBytes() - before;
  return {
    viewers: all.length,
    stopped: stopped.length,
    alone,
    share,
    bytesPerS,
    messagesPerS,
    memoryKib: memory / 1_024,
    memoryStalledKib: peak / 1_024,
    memoryLeftMib: left / (1 << 20),
    usual,
    stalled,
    dropped,
    over,
  };
};

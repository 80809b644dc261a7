// A slow line before a server: so many bytes a second each way, and half of the round trip for each; the handshake takes its round trip, too.
import { connect, createServer } from 'node:net';
import { once } from 'node:events';

const TICK_MS = 5;

class Lane {
  #queue = [];
  #freeAtMs = 0;
  #to;
  #timer = null;
  #line;
  bytes = 0;

  constructor(to, line) {
    [this.#to, this.#line] = [to, line];
  }

  put(chunk, now = performance.now()) {
    this.bytes += chunk.length;
    const { bytesPerS, roundTripMs } = this.#line;
    // All connections share the line.
    const begin = Math.max(now, this.#line.freeAtMs[this.#to.lane]);
    const end = begin + (1_000 * chunk.length) / bytesPerS;
    this.#line.freeAtMs[this.#to.lane] = end;
    this.#queue.push([end + roundTripMs / 2, chunk]);
    this.#timer ??= setInterval(() => this.#give(), TICK_MS);
  }

  end() {
    this.#queue.push([performance.now() + this.#line.roundTripMs, null]);
    this.#timer ??= setInterval(() => this.#give(), TICK_MS);
  }

  #give() {
    const now = performance.now();
    while (this.#queue.length > 0 && this.#queue[0][0] <= now) {
      const [, chunk] = this.#queue.shift();
      if (chunk === null) this.#to.socket.end();
      else this.#to.socket.write(chunk);
    }
    if (this.#queue.length > 0) return;
    clearInterval(this.#timer);
    this.#timer = null;
  }
}

/** Listens at `port`; `down` counts what browsers got. */
export const slowLine = async (ends, { port, to, bytesPerS, roundTripMs }) => {
  const line = { bytesPerS, roundTripMs, freeAtMs: { up: 0, down: 0 } };
  const lanes = { up: [], down: [] };
  const server = createServer((near) => {
    const far = connect(to, '127.0.0.1');
    const [up, down] = [new Lane({ socket: far, lane: 'up' }, line), new Lane({ socket: near, lane: 'down' }, line)];
    lanes.up.push(up);
    lanes.down.push(down);
    for (const socket of [near, far]) socket.setNoDelay(true).on('error', () => [near, far].forEach((it) => it.destroy()));
    // What is sent first waits for a handshake that never goes over this line.
    setTimeout(() => near.on('data', (chunk) => up.put(chunk)).on('end', () => up.end()), roundTripMs);
    far.on('data', (chunk) => down.put(chunk)).on('end', () => down.end());
    near.on('close', () => far.destroy());
    far.on('close', () => setTimeout(() => near.destroy(), 2 * roundTripMs));
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const stop = () => new Promise((resolve) => {
    server.close(resolve);
    for (const lane of [...lanes.up, ...lanes.down]) lane.end();
  });
  ends.after(() => server.close());
  const sum = (all) => all.reduce((total, { bytes }) => total + bytes, 0);
  return { down: () => sum(lanes.down), up: () => sum(lanes.up), stop };
};

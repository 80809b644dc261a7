// The modem's five connections on real sockets of this machine: TCP out, TCP in through the server, UDP. What the modem says
// about them is up to modem.mjs.

import dgram from 'node:dgram';
import net from 'node:net';

export const LINKS_MAX = 5;

/**
 * `events`: connected(link), data(link, bytes, {address, port}), closed(link), admits(address) for peers of the server.
 */
export class Links {
  #links = new Array(LINKS_MAX).fill(null);
  #server = null;
  /** Sockets of connections that the air cut: their peers do not know. */
  #cut = new Set();

  constructor(events) {
    this.events = events;
  }

  isOpen(link) {
    return this.#links[link] != null;
  }

  get open() {
    return this.#links.flatMap((entry, link) => (entry ? [link] : []));
  }

  /** What a person sees of them: [{link, kind, peer}]. */
  describe() {
    return this.open.map((link) => ({ link, kind: this.#links[link].kind, peer: this.#links[link].peer }));
  }

  /** Resolves with whether it is connected. */
  connect(link, { host, port }) {
    return new Promise((resolve) => {
      const socket = net.connect({ host, port });
      socket.setNoDelay(true);
      const failed = () => resolve(false);
      socket.once('error', failed);
      socket.once('connect', () => {
        socket.off('error', failed);
        this.#add(link, socket, 'TCP to');
        resolve(true);
      });
      this.connecting = socket;
    });
  }

  /** Gives up what `connect` waits for. */
  abandon() {
    this.connecting?.destroy(new Error('given up'));
  }

  #add(link, socket, kind) {
    const remote = { address: socket.remoteAddress, port: socket.remotePort };
    this.#links[link] = { kind, socket, peer: `${remote.address}:${remote.port}` };
    socket.on('data', (bytes) => this.events.data(link, bytes, remote));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#gone(link, socket));
  }

  #gone(link, socket) {
    this.#cut.delete(socket);
    if (this.#links[link]?.socket !== socket) return;
    this.#links[link] = null;
    this.events.closed(link);
  }

  /** Resolves with the port on this machine, or throws. */
  async listen(host_port, host = '127.0.0.1') {
    const server = net.createServer((socket) => this.#accept(socket));
    await new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(host_port, host, resolve);
    });
    server.on('error', () => undefined);
    this.#server = server;
    return server.address().port;
  }

  #accept(socket) {
    const link = this.#links.findIndex((entry) => entry === null);
    if (link < 0 || !this.events.admits(socket.remoteAddress)) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    this.#add(link, socket, 'TCP from');
    this.events.connected(link);
  }

  get isListening() {
    return this.#server !== null;
  }

  unlisten() {
    this.#server?.close();
    this.#server = null;
  }

  /** Resolves with the port on this machine, or throws. */
  async openDatagrams(link, host_port, host = '127.0.0.1') {
    const socket = dgram.createSocket('udp4');
    await new Promise((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(host_port, host, resolve);
    });
    const entry = { kind: 'UDP', socket, peer: `port ${socket.address().port}`, last: null };
    this.#links[link] = entry;
    socket.on('error', () => undefined);
    socket.on('message', (bytes, { address, port }) => {
      entry.last = { address, port };
      this.events.data(link, bytes, entry.last);
    });
    return socket.address().port;
  }

  /** Resolves with whether it went out. */
  send(link, bytes) {
    const entry = this.#links[link];
    if (!entry) return Promise.resolve(false);
    return new Promise((resolve) => {
      const done = (error) => resolve(!error);
      if (entry.kind !== 'UDP') entry.socket.write(bytes, done);
      else if (entry.last) entry.socket.send(bytes, entry.last.port, entry.last.address, done);
      else resolve(false);
    });
  }

  /** While what came is not sent on, no more is taken from the network, as the modem's window closes. */
  pause(isPaused) {
    for (const entry of this.#links) {
      if (!entry || entry.kind === 'UDP') continue;
      if (isPaused) entry.socket.pause();
      else entry.socket.resume();
    }
  }

  /** Ends a connection properly, without an event. */
  close(link) {
    const entry = this.#links[link];
    if (!entry) return false;
    this.#links[link] = null;
    if (entry.kind === 'UDP') {
      entry.socket.close();
      return true;
    }
    entry.socket.resume();
    entry.socket.end();
    return true;
  }

  /** The air is gone: no peer hears anything, and nothing of them arrives. Their sockets stay open until `forgetCut`. */
  cutAll() {
    const were_open = this.open;
    for (const link of were_open) {
      const { socket, kind } = this.#links[link];
      this.#links[link] = null;
      if (kind === 'UDP') socket.close();
      else this.#cut.add(socket.removeAllListeners('data').pause());
    }
    return were_open;
  }

  /** Packets of connections that the modem no longer knows are answered by resets. */
  forgetCut() {
    for (const socket of this.#cut) socket.resetAndDestroy();
    this.#cut.clear();
  }

  /** The modem has no power or restarts: all sockets end at once. */
  destroy() {
    this.abandon();
    this.unlisten();
    this.cutAll();
    this.forgetCut();
  }
}

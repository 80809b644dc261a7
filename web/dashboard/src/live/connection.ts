// The live connection of this tab: one WebSocket that comes back by itself.
import { type Message, decode, encodeWatch } from './messages.ts';

/** Without a heartbeat for so long, nothing on the screen can be believed. */
export const SILENCE_MS = 3_000;
/** A connection from which nothing comes is given up after so long. */
const GIVE_UP_MS = 8_000;
const RETRY_MS_MIN = 400;
const RETRY_MS_MAX = 5_000;
const WATCH_AFTER_MS = 150;
const SESSION_OVER = 4401;

export interface Listener {
  opened(): void;
  said(message: Message): void;
  /** The connection ended, and another is tried; or `isRefused`: the server may want a login. */
  lost(isRefused: boolean): void;
}

export class Connection {
  #socket: WebSocket | null = null;
  #retryMs = RETRY_MS_MIN;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #watched: number[] | null = null;
  #heardMs = 0;
  #isStopped = false;
  #listener: Listener;

  constructor(listener: Listener) {
    this.#listener = listener;
    this.#open();
  }

  /** Whose waves are wanted; sent soon, together with what else changes. */
  watch(ns: number[]) {
    this.#watched = ns;
    clearTimeout(this.#watchTimer);
    this.#watchTimer = setTimeout(() => this.#sendWatch(), WATCH_AFTER_MS);
  }

  /** To be called now and then: gives up a connection from which nothing comes. */
  tick(nowMs: number) {
    if (this.#socket !== null && nowMs - this.#heardMs > GIVE_UP_MS) this.#drop(this.#socket);
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#watchTimer);
    this.#socket?.close();
    this.#socket = null;
  }

  #open() {
    const url = new URL('api/v1/live', location.href.split('#')[0]);
    url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
    url.search = '';
    const socket = new WebSocket(url);
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#heardMs = performance.now();
    socket.addEventListener('open', () => {
      if (socket !== this.#socket) return;
      this.#listener.opened();
      this.#sendWatch();
    });
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.#socket && data instanceof ArrayBuffer) this.#take(data);
    });
    socket.addEventListener('close', ({ code }) => this.#drop(socket, code === SESSION_OVER));
  }

  #take(bytes: ArrayBuffer) {
    this.#heardMs = performance.now();
    this.#retryMs = RETRY_MS_MIN;
    let message: Message | null;
    try {
      message = decode(bytes);
    } catch (error) {
      // One bad message must not hide the good ones.
      console.error('a message of the server is left out:', error);
      return;
    }
    if (message !== null) this.#listener.said(message);
  }

  #drop(socket: WebSocket, isOver = false) {
    if (socket !== this.#socket || this.#isStopped) return;
    this.#socket = null;
    socket.close();
    this.#listener.lost(isOver);
    if (this.#isStopped) return;
    // Not all pages of a ward at the same moment.
    this.#timer = setTimeout(() => this.#open(), this.#retryMs * (0.7 + 0.6 * Math.random()));
    this.#retryMs = Math.min(this.#retryMs * 1.7, RETRY_MS_MAX);
  }

  #sendWatch() {
    if (this.#watched === null || this.#socket?.readyState !== WebSocket.OPEN) return;
    this.#socket.send(encodeWatch(this.#watched));
  }
}

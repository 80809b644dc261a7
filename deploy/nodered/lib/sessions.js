'use strict';
// Who is logged in: a signed cookie that says who and until when. It ends at its time, at a logout, and when its user is removed or
// gets another password; then what it holds open (socket.io, the editor's WebSocket) is closed. Reads no clock.

const { createHmac, randomBytes, timingSafeEqual } = require('node:crypto');
const { passwordTag } = require('./users');

const COOKIE = 'vitalwire_session';
const COOKIE_HEADER_CHARACTERS_MAX = 8_192;
// Logouts that are remembered until their session would have ended; when full, the oldest is forgotten.
const ENDED_MAX = 10_000;

class Sessions {
  #key;
  #users;
  #lifetime_ms;
  #ended = new Map();
  #held = new Set();

  constructor({ key, users, lifetime_ms }) {
    this.#key = key;
    this.#users = users;
    this.#lifetime_ms = lifetime_ms;
  }

  // The cookie's value for a user that has just logged in.
  open(user, now_ms) {
    const session = { name: user.name, tag: passwordTag(user), until_ms: now_ms + this.#lifetime_ms, id: randomBytes(9).toString('base64url') };
    const body = Buffer.from(JSON.stringify(session)).toString('base64url');
    return `${body}.${this.#sign(body).toString('base64url')}`;
  }

  // The session of a `Cookie` header, with its user's present role, or nothing.
  find(header, now_ms) {
    const token = cookie(header);
    const [, body, signature] = token?.match(/^([\w-]{1,512})\.([\w-]{43})$/) ?? [];
    if (!body || !timingSafeEqual(this.#sign(body), Buffer.from(signature, 'base64url'))) return undefined;
    const session = JSON.parse(Buffer.from(body, 'base64url').toString());
    return this.#valid(session, now_ms) ? { ...session, role: this.#users.find(session.name).role } : undefined;
  }

  close(session) {
    if (this.#ended.size >= ENDED_MAX) this.#ended.delete(this.#ended.keys().next().value);
    this.#ended.set(session.id, session.until_ms);
  }

  // Calls `end` once when the session ends; what this gives forgets it.
  hold(session, end) {
    const held = { session, end };
    this.#held.add(held);
    return () => this.#held.delete(held);
  }

  // Ends what is held by sessions that ended. To be called every second or so.
  sweep(now_ms) {
    for (const held of this.#held) {
      if (this.#valid(held.session, now_ms)) continue;
      this.#held.delete(held);
      held.end();
    }
    for (const [id, until_ms] of this.#ended) if (until_ms < now_ms) this.#ended.delete(id);
  }

  get lifetime_ms() {
    return this.#lifetime_ms;
  }

  #valid(session, now_ms) {
    const user = this.#users.find(session.name);
    const same = user !== undefined && passwordTag(user) === session.tag;
    // A role that was taken away ends what it had open.
    const role = session.role === undefined || session.role === user?.role;
    return same && role && now_ms < session.until_ms && !this.#ended.has(session.id);
  }

  #sign(body) {
    return createHmac('sha256', this.#key).update(body).digest();
  }
}

const cookie = (header) => {
  if (typeof header !== 'string' || header.length > COOKIE_HEADER_CHARACTERS_MAX) return undefined;
  const pair = header.split(/; */).find((part) => part.startsWith(`${COOKIE}=`));
  return pair?.slice(COOKIE.length + 1);
};

module.exports = { COOKIE, ENDED_MAX, Sessions };

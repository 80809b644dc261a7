'use strict';
// How often someone may try a password. Counted for each account and address together, so that hammering one account locks out no
// one else behind that address, nor the account's owner elsewhere. Reads no clock: times are milliseconds, an argument.

const FREE_FAILURES = 5;
const WAIT_MS_MIN = 30_000;
const WAIT_MS_MAX = 15 * 60_000;
// A pair is forgotten when it has been quiet for so long.
const QUIET_MS = 60 * 60_000;
// When the table is full, the pair that failed longest ago makes room.
const PAIRS_MAX = 10_000;

class Attempts {
  // In the order of their last failure.
  #pairs = new Map();

  // Milliseconds until the next try is allowed; 0 is now.
  wait_ms(account, address, now_ms) {
    const pair = this.#pairs.get(key(account, address));
    if (!pair || now_ms - pair.failed_ms > QUIET_MS) return 0;
    return Math.max(0, pair.until_ms - now_ms);
  }

  failed(account, address, now_ms) {
    const name = key(account, address);
    const before = this.#pairs.get(name);
    const failures = before && now_ms - before.failed_ms <= QUIET_MS ? before.failures + 1 : 1;
    const over = failures - FREE_FAILURES;
    const wait = over < 0 ? 0 : Math.min(WAIT_MS_MIN * 2 ** over, WAIT_MS_MAX);
    this.#pairs.delete(name);
    if (this.#pairs.size >= PAIRS_MAX) this.#pairs.delete(this.#pairs.keys().next().value);
    this.#pairs.set(name, { failures, failed_ms: now_ms, until_ms: now_ms + wait });
  }

  succeeded(account, address) {
    this.#pairs.delete(key(account, address));
  }

  get size() {
    return this.#pairs.size;
  }
}

// Addresses have no line end, and an account's name is cut: the table's memory is bounded.
const key = (account, address) => `${address}\n${account.slice(0, 64)}`;

module.exports = { Attempts, FREE_FAILURES, PAIRS_MAX, WAIT_MS_MAX, WAIT_MS_MIN };

// The limits of failed logins, stepped without a clock.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import attempts from '../lib/attempts.js';

const { Attempts, FREE_FAILURES, PAIRS_MAX, WAIT_MS_MAX, WAIT_MS_MIN } = attempts;

const fail = (table, times, { account = 'nurse', address = '10.0.0.1', now_ms = 0 } = {}) => {
  for (let time = 0; time < times; time += 1) table.failed(account, address, now_ms);
};

test('five failures are free, then each wait is twice the one before, up to a quarter of an hour', () => {
  const table = new Attempts();
  fail(table, FREE_FAILURES - 1);
  assert.equal(table.wait_ms('nurse', '10.0.0.1', 0), 0);
  const waits = Array.from({ length: 8 }, () => {
    fail(table, 1);
    return table.wait_ms('nurse', '10.0.0.1', 0);
  });
  assert.deepEqual(waits.slice(0, 4), [WAIT_MS_MIN, 2 * WAIT_MS_MIN, 4 * WAIT_MS_MIN, 8 * WAIT_MS_MIN]);
  assert.equal(waits.at(-1), WAIT_MS_MAX);
  assert.equal(table.wait_ms('nurse', '10.0.0.1', WAIT_MS_MAX), 0);
});

test('hammering one account locks out no one else, and not its owner elsewhere', () => {
  const table = new Attempts();
  fail(table, 100);
  assert.ok(table.wait_ms('nurse', '10.0.0.1', 0) > 0);
  assert.equal(table.wait_ms('doctor', '10.0.0.1', 0), 0);
  assert.equal(table.wait_ms('nurse', '10.0.0.2', 0), 0);
});

test('the right password and a quiet hour forgive', () => {
  const table = new Attempts();
  fail(table, 8);
  table.succeeded('nurse', '10.0.0.1');
  assert.equal(table.wait_ms('nurse', '10.0.0.1', 0), 0);
  fail(table, 8);
  fail(table, 1, { now_ms: 3_600_001 });
  assert.equal(table.wait_ms('nurse', '10.0.0.1', 3_600_001), 0);
});

test('the table is bounded, and the pair that failed longest ago makes room', () => {
  const table = new Attempts();
  fail(table, 8);
  for (let number = 0; number < PAIRS_MAX - 1; number += 1) table.failed(`made up ${number}`, '10.0.0.9', 1);
  assert.ok(table.wait_ms('nurse', '10.0.0.1', 1) > 0);
  table.failed('one more', '10.0.0.9', 1);
  assert.equal(table.size, PAIRS_MAX);
  assert.equal(table.wait_ms('nurse', '10.0.0.1', 1), 0);
});

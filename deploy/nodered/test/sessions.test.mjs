// Cookies and what ends a session, stepped without a clock; the users' file is real.
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import sessions from '../lib/sessions.js';
import users from '../lib/users.js';
import { folder } from './support/process.mjs';

const { COOKIE, Sessions } = sessions;
const { Users, formatUsers, hashPassword, parseUsers } = users;

const PASSWORD = 'the nurse knows this';
const HASH = await hashPassword(PASSWORD);
const OTHER_HASH = await hashPassword('another password');
const LIFETIME_MS = 1_000;

const fixture = (t) => {
  const file = join(folder(t), 'users');
  let turn = 0;
  // Another length each time: mtime may be too coarse to tell two writes of one test apart.
  const write = (...lines) => writeFileSync(file, `${lines.join('\n')}\n${'#\n'.repeat((turn += 1))}`);
  write(`nurse:viewer:${HASH}`);
  const warnings = [];
  const known = new Users(file, (text) => warnings.push(text));
  const open = new Sessions({ key: Buffer.alloc(32, 7), users: known, lifetime_ms: LIFETIME_MS });
  const cookie = (name = 'nurse', now_ms = 0) => `${COOKIE}=${open.open(known.find(name), now_ms)}`;
  return { file, write, warnings, known, open, cookie };
};

test('a cookie is good until its time, among other cookies, and says name and role', (t) => {
  const { open, cookie } = fixture(t);
  const header = `theme=dark; ${cookie()}; x=y`;
  const { name, role } = open.find(header, LIFETIME_MS - 1);
  assert.deepEqual({ name, role }, { name: 'nurse', role: 'viewer' });
  assert.equal(open.find(header, LIFETIME_MS), undefined);
});

test('a cookie with any character changed, or signed with another key, is none', (t) => {
  const { open, cookie, known } = fixture(t);
  const good = cookie();
  for (let at = COOKIE.length + 1; at < good.length; at += 1) {
    const other = good[at] === 'A' ? 'B' : 'A';
    // The last character of the signature holds two bits that mean nothing.
    if (at === good.length - 1) continue;
    assert.equal(open.find(good.slice(0, at) + other + good.slice(at + 1), 0), undefined, `character ${at}`);
  }
  const stranger = new Sessions({ key: Buffer.alloc(32, 8), users: known, lifetime_ms: LIFETIME_MS });
  assert.equal(stranger.find(good, 0), undefined);
  for (const header of [undefined, '', `${COOKIE}=`, `${COOKIE}=.`, `${COOKIE}=a.b`, 'x'.repeat(10_000)]) assert.equal(open.find(header, 0), undefined);
});

test('a logout, a removal, a new password and another role end a session and what it holds, and no other', (t) => {
  const { open, cookie, write } = fixture(t);
  const ended = [];
  const hold = (label, header) => open.hold(open.find(header, 0), () => ended.push(label));
  const [first, second] = [cookie(), cookie()];
  hold('first', first);
  hold('second', second);
  open.close(open.find(first, 0));
  open.sweep(0);
  assert.deepEqual(ended, ['first']);
  assert.equal(open.find(first, 0), undefined);
  assert.ok(open.find(second, 0));

  write(`nurse:viewer:${OTHER_HASH}`);
  open.sweep(0);
  assert.deepEqual(ended, ['first', 'second']);
  assert.equal(open.find(second, 0), undefined);

  hold('third', cookie());
  write(`nurse:editor:${OTHER_HASH}`);
  open.sweep(0);
  assert.deepEqual(ended, ['first', 'second', 'third']);

  const fourth = cookie();
  hold('fourth', fourth);
  write('# no one');
  open.sweep(0);
  assert.deepEqual(ended.at(-1), 'fourth');
  assert.equal(open.find(fourth, 0), undefined);
});

test('what is held ends at its time, and not when it was released', (t) => {
  const { open, cookie } = fixture(t);
  const ended = [];
  const header = cookie();
  open.hold(open.find(header, 0), () => ended.push('held'));
  open.hold(open.find(header, 0), () => ended.push('released'))();
  open.sweep(LIFETIME_MS - 1);
  assert.deepEqual(ended, []);
  open.sweep(LIFETIME_MS);
  assert.deepEqual(ended, ['held']);
});

test('no one is a user while the file is gone or damaged, and that is said once', (t) => {
  const { file, known, write, warnings } = fixture(t);
  assert.ok(known.find('nurse'));
  rmSync(file);
  assert.equal(known.find('nurse'), undefined);
  assert.equal(known.find('nurse'), undefined);
  assert.equal(warnings.length, 1);
  write(`nurse:viewer:${HASH}`, 'damaged');
  assert.equal(known.find('nurse'), undefined);
  assert.match(warnings.at(-1), /line 2 of the users' file/);
  write(`nurse:viewer:${HASH}`);
  assert.ok(known.find('nurse'));
});

test('only the right password of the right user logs in', async (t) => {
  const { known } = fixture(t);
  assert.equal((await known.login('nurse', PASSWORD)).name, 'nurse');
  for (const [name, password] of [['nurse', 'wrong'], ['nurse', ''], ['nobody', PASSWORD], ['', ''], ['nurse', 'x'.repeat(2_000)], ['__proto__', PASSWORD]]) {
    assert.equal(await known.login(name, password), undefined, name);
  }
});

test('a file of users says which line is wrong', () => {
  const good = `a:viewer:${HASH}\nb:editor:${OTHER_HASH}\n`;
  assert.equal(formatUsers(parseUsers(`# comment\n\n${good}`)), good);
  const wrong = ['a b:viewer:x', `a:admin:${HASH}`, 'a:viewer', 'a:viewer:plain text', `a:viewer:${HASH}:more`, `${good}a:viewer:${HASH}`];
  for (const text of wrong) assert.throws(() => parseUsers(text), /^Error: line \d of the users' file: /, text);
});

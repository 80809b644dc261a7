#!/usr/bin/env node
'use strict';
// Who may log in to Node-RED's pages: adds, changes, removes and lists users in the file that NODERED_USERS_FILE names.

const { randomInt } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const readline = require('node:readline/promises');
const { Writable } = require('node:stream');
const { parseArgs } = require('node:util');
const { NAME, PASSWORD_BYTES_MAX, PASSWORD_CHARACTERS_MIN, ROLES, formatUsers, hashPassword, parseUsers } = require('./lib/users');

const USAGE = `usage, with NODERED_USERS_FILE set to the users' file:
  npm run user -- add NAME --role viewer|editor     a viewer sees the pages, an editor changes them, too
  npm run user -- password NAME                     a new password; ends the sessions of the old one
  npm run user -- remove NAME
  npm run user -- list
The password is asked for. --generate makes one and prints it once; --password-stdin reads it from standard input.`;

// 20 characters of 32: 100 bits, without those that look alike.
const generate = () => Array.from({ length: 20 }, () => 'abcdefghjkmnpqrstuvwxyz023456789'[randomInt(32)]).join('').replace(/(.{5})(?!$)/g, '$1-');

const firstLine = async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) return line;
  return '';
};

// Asked for twice on the terminal, and not shown.
const ask = async () => {
  if (!process.stdin.isTTY) throw Error('there is no terminal to ask for the password: use --password-stdin or --generate');
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = readline.createInterface({ input: process.stdin, output: silent, terminal: true });
  const question = async (text) => {
    process.stderr.write(text);
    const answer = await lines.question('');
    process.stderr.write('\n');
    return answer;
  };
  const first = await question('Password: ');
  const second = await question('The same again: ');
  lines.close();
  if (first !== second) throw Error('the two passwords differ');
  return first;
};

const password = async (options) => {
  if (options.generate) return generate();
  const chosen = options['password-stdin'] ? await firstLine() : await ask();
  if (chosen.length < PASSWORD_CHARACTERS_MIN) throw Error(`a password has at least ${PASSWORD_CHARACTERS_MIN} characters`);
  if (Buffer.byteLength(chosen) > PASSWORD_BYTES_MAX) throw Error(`a password has at most ${PASSWORD_BYTES_MAX} bytes`);
  return chosen;
};

const read = (file) => {
  try {
    return parseUsers(fs.readFileSync(file, 'utf8'));
  } catch (error) {
    if (error.code === 'ENOENT') return new Map();
    throw error;
  }
};

// Whole or not at all.
const write = (file, users) => {
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  fs.writeFileSync(`${file}.new`, formatUsers(users), { mode: 0o600, flush: true });
  fs.renameSync(`${file}.new`, file);
};

const run = async () => {
  const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { role: { type: 'string' }, generate: { type: 'boolean' }, 'password-stdin': { type: 'boolean' } },
  });
  const [command, name] = positionals;
  const file = process.env.NODERED_USERS_FILE;
  if (!file || !['add', 'password', 'remove', 'list'].includes(command)) throw Error(USAGE);
  const users = read(file);
  if (command === 'list') {
    for (const user of users.values()) console.log(`${user.name} ${user.role}`);
    return;
  }
  if (!NAME.test(name ?? '')) throw Error('a name is 1 to 64 letters, digits, _ or -');
  const known = users.get(name);
  if (command === 'add' && known) throw Error(`${name} is there already; change the password with: npm run user -- password ${name}`);
  if (command !== 'add' && !known) throw Error(`${name} is no user; see: npm run user -- list`);
  if (command === 'remove') users.delete(name);
  else {
    const role = known?.role ?? options.role;
    if (!ROLES.includes(role)) throw Error(`--role is ${ROLES.join(' or ')}`);
    const chosen = await password(options);
    // Shown before it is stored: a password that no one saw is lost.
    if (options.generate) await new Promise((resolve, reject) => process.stdout.write(`${chosen}\n`, (error) => (error ? reject(error) : resolve())));
    users.set(name, { name, role, hash: await hashPassword(chosen) });
  }
  write(file, users);
};

run().catch((error) => {
  console.error(error.message);
  process.exitCode = 1;
});

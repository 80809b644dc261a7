'use strict';
// Who may log in, from a file with one `name:role:password hash` a line. The file is read again when it changed; while it cannot
// be read no one gets in.

const { createHash, randomBytes, scrypt, timingSafeEqual } = require('node:crypto');
const fs = require('node:fs');
const { promisify } = require('node:util');

const ROLES = ['viewer', 'editor'];
const USERS_MAX = 1_000;
const PASSWORD_CHARACTERS_MIN = 10;
const PASSWORD_BYTES_MAX = 1_024;
// OWASP's password storage cheat sheet: 32 MiB and about 0.2 s a password.
const COST = { N: 32_768, r: 8, p: 3 };
const HASH_BYTES = 32;
const NAME = /^[A-Za-z0-9_-]{1,64}$/;

const derive = (password, salt, { N, r, p }) =>
  promisify(scrypt)(password, salt, HASH_BYTES, { N, r, p, maxmem: 256 * N * r });

const hashPassword = async (password, salt = randomBytes(16)) => {
  const hash = await derive(password, salt, COST);
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), hash.toString('base64url')].join('$');
};

const FORM = /^scrypt\$(\d{1,7})\$(\d{1,2})\$(\d{1,2})\$([\w-]{16,86})\$([\w-]{43})$/;

const verifyPassword = async (password, form) => {
  const [, N, r, p, salt, hash] = form.match(FORM);
  const derived = await derive(password, Buffer.from(salt, 'base64url'), { N: Number(N), r: Number(r), p: Number(p) });
  return timingSafeEqual(derived, Buffer.from(hash, 'base64url'));
};

// The users of a file's text, by name.
const parseUsers = (text) => {
  const users = new Map();
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const [name, role, hash, ...rest] = line.trim().split(':');
    const wrong = (what) => Error(`line ${index + 1} of the users' file: ${what}`);
    if (!NAME.test(name)) throw wrong('a name is 1 to 64 letters, digits, _ or -');
    if (!ROLES.includes(role)) throw wrong(`the role is ${ROLES.join(' or ')}`);
    if (rest.length > 0 || !FORM.test(hash ?? '')) throw wrong('the password hash is not one that `npm run user` makes');
    if (users.has(name)) throw wrong(`${name} is there already`);
    if (users.size === USERS_MAX) throw wrong(`there are more than ${USERS_MAX} users`);
    users.set(name, { name, role, hash });
  }
  return users;
};

const formatUsers = (users) => [...users.values()].map(({ name, role, hash }) => `${name}:${role}:${hash}\n`).join('');

// Changes when the password does: a session carries it, so that a new password ends the sessions of the old one.
const passwordTag = ({ hash }) => createHash('sha256').update(hash).digest('base64url').slice(0, 16);

class Users {
  #file;
  #version = '';
  #users = new Map();
  #warn;

  // `warn` is told once when the file cannot be read.
  constructor(file, warn) {
    this.#file = file;
    this.#warn = warn;
  }

  find(name) {
    this.#refresh();
    return this.#users.get(name);
  }

  get size() {
    this.#refresh();
    return this.#users.size;
  }

  // The user, or nothing. A name that no one has takes as long as a wrong password.
  async login(name, password) {
    const user = this.find(name);
    const usable = Buffer.byteLength(password) <= PASSWORD_BYTES_MAX ? password : '';
    const right = await verifyPassword(usable, user ? user.hash : await UNUSABLE);
    return user && right ? user : undefined;
  }

  #refresh() {
    let version;
    try {
      const { ino, mtimeMs, size } = fs.statSync(this.#file);
      version = `${ino} ${mtimeMs} ${size}`;
      if (version === this.#version) return;
      this.#users = parseUsers(fs.readFileSync(this.#file, 'utf8'));
    } catch (error) {
      version ??= error.code;
      this.#users = new Map();
      if (version !== this.#version) this.#warn(`No one can log in: ${error.message}`);
    }
    this.#version = version;
  }
}

const UNUSABLE = hashPassword(randomBytes(32).toString('hex'));

module.exports = {
  NAME,
  PASSWORD_BYTES_MAX,
  PASSWORD_CHARACTERS_MIN,
  ROLES,
  Users,
  formatUsers,
  hashPassword,
  parseUsers,
  passwordTag,
};

'use strict';
// The flows in Node-RED's folder: ours, until a person changes them in the editor; then they are that person's, and no upgrade
// touches them.

const { createHash } = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');

const FLOWS = 'flows.json';
// The hashes of what we last put there, and of what was there before: power may go between the two.
const ORIGIN = 'flows.origin';

const digest = (text) => createHash('sha256').update(text).digest('hex');

const read = (file) => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch (error) {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  }
};

// A file is there whole or not at all, whenever the power goes.
const write = (file, text) => {
  fs.writeFileSync(`${file}.new`, text, { mode: 0o600, flush: true });
  fs.renameSync(`${file}.new`, file);
};

// Puts `text` there. Gives 'installed', 'unchanged', or 'kept' when a person changed what is there.
const installFlows = (folder, text) => {
  fs.mkdirSync(folder, { recursive: true, mode: 0o700 });
  const [flows, origin] = [path.join(folder, FLOWS), path.join(folder, ORIGIN)];
  const present = read(flows);
  if (present === text) return 'unchanged';
  const ours = (read(origin) ?? '').split('\n');
  if (present !== undefined && !ours.includes(digest(present))) return 'kept';
  const before = present === undefined ? [] : [digest(present)];
  write(origin, `${[digest(text), ...before].join('\n')}\n`);
  write(flows, text);
  return 'installed';
};

module.exports = { FLOWS, installFlows };

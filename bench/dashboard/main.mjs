// The dashboard's figures, with their goals beside them: node main.mjs --vitalwire PROGRAM [--quick] [--json] [--minutes N] [PART...]
// `vitalwire-bench dashboard` builds the program and starts this. It needs the packages of web/dashboard and deploy/nodered, and Chromium.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { launch } from './chromium.mjs';
import { load } from './load.mjs';
import { crowd, ours, peers } from './page.mjs';
import { picture } from './picture.mjs';
import { Ends, Server, pause } from './server.mjs';
import { rows, table } from './table.mjs';
import { viewers } from './viewers.mjs';

const FULL = {
  patients: 16,
  crowd: 200,
  viewers: 100,
  settleMs: 15_000,
  traceMs: 15_000,
  heapMs: 600_000,
  heapEveryMs: 30_000,
  windowMs: 20_000,
  stallMs: 30_000,
  pictureSettleMs: 45_000,
  pictureMs: 120_000,
  loads: 5,
};
// Shows that all of it runs; its figures mean nothing.
const QUICK = {
  ...FULL,
  patients: 4,
  crowd: 20,
  viewers: 5,
  settleMs: 3_000,
  traceMs: 3_000,
  heapMs: 3_000,
  heapEveryMs: 1_000,
  windowMs: 2_000,
  stallMs: 3_000,
  pictureSettleMs: 10_000,
  pictureMs: 9_000,
  loads: 1,
};
const WARM_MS = 12_000;

const { values: options, positionals } = parseArgs({
  options: { vitalwire: { type: 'string' }, quick: { type: 'boolean' }, json: { type: 'boolean' }, side: { type: 'string', default: 'both' }, minutes: { type: 'string' } },
  allowPositionals: true,
});
const scale = { ...(options.quick ? QUICK : FULL), ...(options.minutes ? { heapMs: 60_000 * Number(options.minutes) } : {}) };

const loadAverage = () => readFileSync('/proc/loadavg', 'utf8').split(' ')[0];

// A server with so many patients, on the secure link with batches of a second.
const withPatients = async (ends, count, fleet) => {
  const server = await Server.start(ends, options.vitalwire);
  const links = count > 0 ? server.enrol('bed', count) : null;
  await server.serve();
  if (links) {
    await server.fleet(links, fleet).said(`${count} of ${count} connected`);
    await pause(WARM_MS);
  }
  return server;
};
// One after the other: the server maps a device's clock by how long its handshake took.
const RAMP = ['--ramp', '4'];
const ECG = ['--rate', '250', '--waveform', 'ecg', ...RAMP];

const PARTS = {
  page: async (ends, browser) => {
    const server = await withPatients(ends, scale.patients, ECG);
    const found = { ours: await ours(browser, server, scale) };
    if (options.side === 'both') found.peers = await peers(ends, browser, server, scale);
    return found;
  },
  load: async (ends, browser) => load(ends, browser, await withPatients(ends, scale.patients, ECG), scale),
  viewers: async (ends) => viewers(await withPatients(ends, scale.patients, ECG), scale),
  picture: async (ends, browser) => picture(browser, await withPatients(ends, 0), scale),
  crowd: async (ends, browser) => crowd(browser, await withPatients(ends, scale.crowd, ['--rate', '20', ...RAMP]), scale.crowd, scale),
};

const run = async (part) => {
  const ends = new Ends();
  const stop = () => ends.all().then(() => process.exit(130));
  process.once('SIGINT', stop).once('SIGTERM', stop);
  const before = loadAverage();
  try {
    const browser = await launch(ends);
    return { ...(await PARTS[part](ends, browser)), load: [before, loadAverage()] };
  } finally {
    process.off('SIGINT', stop).off('SIGTERM', stop);
    await ends.all();
  }
};

const unknown = positionals.filter((part) => !(part in PARTS));
if (!options.vitalwire || unknown.length > 0) {
  const why = options.vitalwire ? `no part is called ${unknown.join(', ')}` : '--vitalwire names no program';
  console.error(`${why}; the parts are ${Object.keys(PARTS).join(', ')}`);
  process.exit(2);
}

const found = {};
let failed = 0;
for (const part of positionals.length > 0 ? positionals : Object.keys(PARTS)) {
  console.error(`dashboard: ${part}`);
  try {
    found[part] = await run(part);
    if (options.json) console.log(JSON.stringify({ [part]: found[part] }));
  } catch (error) {
    failed++;
    console.error(`**Not measured**: ${part}: ${error.stack ?? error}`);
  }
}
if (!options.json) {
  const version = execFileSync(options.vitalwire, ['--version'], { encoding: 'utf8' }).trim();
  console.log(`${version}; ${cpus().length} cores (${cpus()[0].model}); Chromium headless, pictures drawn by the processor.\n`);
  console.log(table(rows(found, scale)));
}
process.exit(failed > 0 ? 1 : 0);

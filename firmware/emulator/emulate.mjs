// `npm run emulate`: the whole device without hardware, live in a terminal. Arguments, and what is started for a person who
// gave none; everything else is in src/.

import { readFileSync, writeFileSync, existsSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { ACTION_HELP } from './src/actions.mjs';
import { Board } from './src/board.mjs';
import { buildFirmware, buildVitalwire, firmware } from './src/builds.mjs';
import { Gateway } from './src/gateway.mjs';
import { readIdentity } from './src/identity.mjs';
import { KEY_HELP, listenToKeys } from './src/keys.mjs';
import { PageBridge } from './src/page-bridge.mjs';
import { Screen } from './src/screen.mjs';
import { runScript } from './src/script.mjs';
import { FLASH_LEN, TEARS } from './src/w25q16.mjs';

const DEVICE = 'pico_1';
/** Where a device in the emulated network finds the gateway of this machine. */
const LAB = { host: '192.168.7.10', port: 9_998 };

const HELP = `Runs Vitalwire's firmware on an emulated Raspberry Pi Pico, with modem, sensors, LED and switch, against a real server.

  npm run emulate                       its own server; open the page it shows, fill in the form, see values arrive
  npm run emulate -- --server HOST:PORT --identity FILE    your server; FILE by: vitalwire device provision NAME --bin FILE
  npm run emulate -- --script FILE      what happens by itself: a list [{"at": 30, "do": "wifi off"}] or a JavaScript module

Options
  --server HOST:PORT     a server that runs already; wants --identity
  --identity FILE        who the device is
  --protocol aes-cbc     without --identity: enrol it for the paper's frames instead of TLS
  --wifi NAME:PASSWORD   a Wi-Fi network that the device sees (several times: several) [ward:a long password]
  --switch POSITION      configuration, collector or between [configuration]
  --flash FILE           the flash's content: read if it is there, written at the end
  --tear HOW             what a power cut leaves of a write: ${TEARS.join(' or ')} [ordered]
  --page-port PORT       where any browser of this machine opens the page [8080, 0: one that is free]
  --speed N              emulated time by real time, at most [1]
  --seconds N            end after so many emulated seconds
  --script FILE          see above
  --elf FILE             another firmware
  --detailed             show AT commands and flash operations too

Keys
  ${KEY_HELP.join('\n  ')}

What a script can do
  ${ACTION_HELP.join('\n  ')}

Nothing of this is a measurement of hardware: cycles and times are emulated (rp2040js).`;

const OPTIONS = {
  server: { type: 'string' },
  identity: { type: 'string' },
  protocol: { type: 'string' },
  wifi: { type: 'string', multiple: true, default: ['ward:a long password'] },
  switch: { type: 'string', default: 'configuration' },
  flash: { type: 'string' },
  tear: { type: 'string', default: TEARS[0] },
  'page-port': { type: 'string', default: '8080' },
  speed: { type: 'string', default: '1' },
  seconds: { type: 'string' },
  script: { type: 'string' },
  elf: { type: 'string' },
  detailed: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
};

function network(text) {
  const colon = text.indexOf(':');
  return colon < 0 ? { name: text } : { name: text.slice(0, colon), password: text.slice(colon + 1) };
}

function positive(text, option) {
  if (!(Number(text) > 0)) throw new Error(`--${option} takes a number above zero, not ${text}`);
  return Number(text);
}

function address(text) {
  const match = /^(.+):(\d+)$/.exec(text);
  if (!match) throw new Error(`--server takes HOST:PORT, not ${text}`);
  return { host: match[1], port: Number(match[2]) };
}

/** Who the device is and where its server is: as told, or made for this run. */
async function server(options) {
  if (options.server) {
    if (!options.identity) throw new Error('--server wants --identity FILE: vitalwire device provision NAME --bin FILE');
    return { at: address(options.server), identity: readFileSync(options.identity), gateway: null };
  }
  buildVitalwire();
  const gateway = await Gateway.make();
  try {
    const made = options.identity ? null : await gateway.provision(DEVICE, { protocol: options.protocol });
    await gateway.start();
    const identity = made ?? readFileSync(options.identity);
    return { at: { host: '127.0.0.1', port: gateway.port }, identity, gateway };
  } catch (error) {
    await gateway.remove();
    throw error;
  }
}

function makeBoard(options, identity, at) {
  const board = new Board({
    elf: options.elf ?? firmware(),
    tear: options.tear,
    switch_position: options.switch === 'between' ? null : options.switch,
    networks: options.wifi.map(network),
    speed: positive(options.speed, 'speed'),
  });
  if (options.flash && existsSync(options.flash)) {
    const kept = readFileSync(options.flash);
    if (kept.length !== FLASH_LEN) throw new Error(`${options.flash} is no flash of ${FLASH_LEN} bytes`);
    // The program may be a newer one than that in the file.
    const program = board.pico.flash.bytes.slice(0, 512 * 1024);
    board.pico.flash.load(kept);
    board.pico.flash.load(program);
  }
  board.pico.flash.load(identity, 512 * 1024);
  board.air.routes.set(`${LAB.host}:${LAB.port}`, at);
  return board;
}

function greet(screen, { gateway, identity, board, bridge_port, at }) {
  const { name, setup_key } = readIdentity(identity);
  const [ward] = board.air.networks;
  screen.say(`device   ${name}
page     http://127.0.0.1:${bridge_port}/#${setup_key}   while the switch is at configuration
fill in  network ${ward.name}${ward.password ? `, password "${ward.password}"` : ''}, server ${LAB.host}, port ${LAB.port}   (leads to ${at.host}:${at.port})`);
  if (gateway) {
    const { user, mqtt_port } = gateway;
    screen.say(`values   mosquitto_sub -h 127.0.0.1 -p ${mqtt_port} -u ${user.name} -P ${user.password} -t 'Pico/#' -v`);
  }
  screen.say('keys     ? shows them\n');
}

async function emulate(options) {
  if (!options.elf) buildFirmware();
  const { at, identity, gateway } = await server(options);
  const bridge = new PageBridge();
  let board;
  let screen;
  try {
    board = makeBoard(options, identity, at);
    board.modem.on('listening', (port, host_port) => {
      if (port === 80) bridge.page_port = host_port;
    });
    const bridge_port = await bridge.listen(Number(options['page-port']));
    screen = new Screen(board, { isDetailed: options.detailed });
    greet(screen, { gateway, identity, board, bridge_port, at });
    await untilEnd(board, screen, options);
  } finally {
    screen?.close();
    await board?.stop();
    bridge.close();
    await gateway?.remove();
    if (options.flash && board) writeFileSync(options.flash, board.pico.flash.bytes);
  }
}

async function untilEnd(board, screen, options) {
  const onAction = (words) => screen.line('you', words);
  const onError = (error) => screen.say(error.message);
  let letGo = () => undefined;
  await new Promise((resolve, reject) => {
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, resolve);
    board.pico.on('pace-failed', () => reject(new Error('the emulation failed')));
    letGo = listenToKeys(board, { onAction, onError, onEnd: resolve, onHelp: () => screen.say(KEY_HELP.join('\n')) });
    if (options.seconds) board.pico.world.after(positive(options.seconds, 'seconds') * 1e9, resolve);
    board.start();
    if (options.script) runScript(board, options.script, { onAction, onError }).catch(reject);
  }).finally(() => letGo());
}

try {
  const { values } = parseArgs({ options: OPTIONS });
  if (values.help) console.log(HELP);
  else await emulate(values);
} catch (error) {
  console.error(`${error.message}${error.code?.startsWith('ERR_PARSE_ARGS') ? '; see --help' : ''}`);
  process.exitCode = 1;
}

// `npm run energy`: the energy book. Runs the firmware for a while with each protocol and several batch lengths, counts
// cycles, bytes and segments, and writes docs/energy.md. What is counted is emulated; what follows from it is an estimate.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { Board } from './src/board.mjs';
import { REPOSITORY, buildFirmware, buildVitalwire, firmware } from './src/builds.mjs';
import * as model from './src/energy-model.mjs';
import { Gateway } from './src/gateway.mjs';
import { readIdentity } from './src/identity.mjs';
import { saveSettings } from './test/support/setup-client.mjs';

const DEVICE = 'bed_07';
const SAMPLES_PER_SECOND = 20;
/** Before counting begins: the handshake and what was measured meanwhile are over by then. */
const SETTLING_SECONDS = 15;
const COUNTED_SECONDS = 60;
/** Faster than real time, since the device sleeps most of it; the gateway answers within its milliseconds all the same. */
const SPEED = 4;
const RUNS = [
  { title: 'AES-CBC frames, as the paper', protocol: 'aes-cbc' },
  { title: 'TLS, batches of 250 ms', batch_ms: 250 },
  { title: 'TLS, batches of 1 s (default)', batch_ms: 1_000 },
  { title: 'TLS, batches of 5 s', batch_ms: 5_000 },
  { title: 'TLS, batches of 10 s', batch_ms: 10_000 },
];

const logged = (board, text) =>
  new Promise((resolve) => {
    const look = (line) => {
      if (!line.includes(text)) return;
      board.off('log', look);
      resolve();
    };
    board.on('log', look);
  });
const passed = (board, seconds) => new Promise((resolve) => board.pico.world.after(seconds * 1e9, resolve));

function counters(board) {
  const { pico, modem, air } = board;
  return { cycles: pico.cycles, nanos: pico.world.nanos, ...modem.serial.traffic, ...air.traffic };
}

function difference(after, before) {
  return Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
}

/** Counts of one run: cycles, bytes on the UART, segments and bytes on the air, sends. */
async function measure({ protocol, batch_ms }) {
  const gateway = await Gateway.make();
  let board;
  try {
    const identity = await gateway.provision(DEVICE, { protocol });
    await gateway.start({ more: batch_ms ? ['--batch-ms', String(batch_ms)] : [] });
    board = new Board({ elf: firmware(), identity });
    board.air.routes.set('192.168.7.10:9998', { host: '127.0.0.1', port: gateway.port });
    const listening = new Promise((resolve) => board.modem.on('listening', (port, host_port) => port === 80 && resolve(host_port)));
    const delivering = logged(board, 'the server takes values');
    board.start();
    const settings = { server: '192.168.7.10', port: 9_998, network: 'ward', password: 'a long password' };
    await saveSettings(await listening, settings, readIdentity(identity).setup_key);
    await delivering;
    board.pace.speed = SPEED;
    await passed(board, SETTLING_SECONDS);
    let exchanges = 0;
    let last_nanos = -Infinity;
    board.modem.on('sent', () => {
      // Sends within the time that the radio stays awake are one exchange.
      if (board.pico.world.nanos - last_nanos > model.AWAKE_AFTER_EXCHANGE_MILLIS * 1e6) exchanges++;
      last_nanos = board.pico.world.nanos;
    });
    const before = counters(board);
    await passed(board, COUNTED_SECONDS);
    const counted = difference(counters(board), before);
    return { ...counted, exchanges, seconds: counted.nanos / 1e9, clock_hz: board.pico.rp.clkSys };
  } finally {
    await board?.stop();
    await gateway.remove();
  }
}

function row(title, counted) {
  const samples = counted.seconds * SAMPLES_PER_SECOND;
  const radio = model.radioTime(counted);
  const current = model.current_ma({ radio, cycles_per_second: counted.cycles / counted.seconds, clock_hz: counted.clock_hz });
  const awake = model.current_ma({
    radio: { transmit: radio.transmit, receive: 1 - radio.transmit },
    cycles_per_second: counted.cycles / counted.seconds,
    clock_hz: counted.clock_hz,
  });
  const per_sample = (count) => Math.round(count / samples).toLocaleString('en');
  return {
    title,
    cycles_per_sample: counted.cycles / samples,
    cells: [
      title,
      per_sample(counted.cycles),
      per_sample(counted.to_pico + counted.from_pico),
      `${(counted.sent_segments / counted.seconds).toFixed(1)} / ${(counted.received_segments / counted.seconds).toFixed(1)}`,
      Math.round((counted.sent_bytes + counted.sent_segments * model.SEGMENT_OVERHEAD_LEN) / counted.seconds).toLocaleString('en'),
      `${(radio.transmit * 1e3).toFixed(1)} / ${(radio.receive * 1e3).toFixed(0)}`,
      current.total.toFixed(1),
      awake.total.toFixed(1),
    ],
    current,
  };
}

function book(rows) {
  const heads = ['', 'cycles / sample', 'UART bytes / sample', 'segments/s out / in', 'air bytes/s out', 'radio ms/s tx / rx', 'mAh/h, modem-sleep', 'mAh/h, radio always on'];
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const table = [line(heads), line(heads.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(({ cells }) => line(cells))];
  return `# What a sample costs

Written by \`npm run energy\` in firmware/emulator; nothing here was measured on hardware. The firmware ran for ${COUNTED_SECONDS} s of
emulated time with each protocol, at ${SAMPLES_PER_SECOND} samples a second, and was counted: **cycles** are those that rp2040js counts while the
processor does not sleep, for all that the device does (sensors, records, encryption, modem); it knows no flash cache, so
that a real Pico takes more. **Bytes** on the UART are counted both ways, segments as the emulated modem cuts them. A sample is
pulse and acceleration, and every twentieth time the temperatures.

${table.join('\n')}

The paper measured ${model.PAPER_MA} mA for its device, sensors included, with the radio always on. The last two columns are estimates
for Pico and modem without sensors and regulator losses: the modem lets its radio sleep between exchanges, or never does.

| assumed | | from |
| --- | ---: | --- |
| modem transmitting, receiving | ${model.MODEM_MA.transmit} mA, ${model.MODEM_MA.receive} mA | ESP8266EX Datasheet, table 5-2, 802.11n MCS7 |
| modem with its radio off | ${model.MODEM_MA.radio_off} mA | ESP8266EX Datasheet, table 3-4, modem-sleep |
| Pico working, waiting | ${model.PICO_MA.working} mA, ${model.PICO_MA.waiting} mA | assumed, on the high side: the RP2040 Datasheet, §5.4, has no such case |
| rate on the air | ${model.AIR_BITS_PER_SECOND / 1e6} Mbit/s | 802.11n MCS0, the slowest |
| each frame, besides its bits | ${model.FRAME_EXTRA_MICROS} µs | 802.11: waiting, preamble, acknowledgement |
| radio awake after an exchange | ${model.AWAKE_AFTER_EXCHANGE_MILLIS} ms | assumed |

With the radio always on, what is sent hardly matters, as listening costs ${model.MODEM_MA.receive} mA by itself. Batches save energy where the
modem may sleep between them.
`;
}

buildFirmware();
buildVitalwire();
const rows = [];
for (const run of RUNS) {
  const counted = await measure(run);
  rows.push(row(run.title, counted));
  console.log(rows.at(-1).cells.join('  '));
}
writeFileSync(join(REPOSITORY, 'docs/energy.md'), book(rows));

// A client of the configuration page without a browser, after threats.md: takes the page apart, seals settings with
// AES-128-GCM under the setup key, and posts them. Tests that are about something else set devices up with it.

import { createCipheriv, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { gunzipSync } from 'node:zlib';

const HOST = '192.168.4.1';
const CONTEXT = Buffer.from('vitalwire setup v1');

/** Connections that end without an answer are tried again so many times, as a person presses "Save" again. */
const TRIES = 5;

async function exchange(port, what) {
  for (let tries_left = TRIES - 1; ; tries_left--) {
    try {
      return await exchangeOnce(port, what);
    } catch (error) {
      if (tries_left === 0 || error.code !== 'ECONNRESET') throw error;
    }
  }
}

function exchangeOnce(port, { method, path, body, address }) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path, headers: { host: HOST, connection: 'close' }, localAddress: address };
    if (body) options.headers['content-length'] = body.length;
    const asked = request(options, (response) => {
      const pieces = [];
      response.on('data', (piece) => pieces.push(piece));
      response.on('end', () => resolve({ status: response.statusCode, body: Buffer.concat(pieces) }));
      response.on('error', reject);
    });
    asked.on('error', reject);
    asked.end(body);
  });
}

/** What the page says of the device: id, nonce, trouble, networks. */
export async function readPage(port, { address } = {}) {
  const { status, body } = await exchange(port, { method: 'GET', path: '/', address });
  if (status !== 200) throw new Error(`the page answers ${status}`);
  const html = gunzipSync(body).toString();
  return { ...JSON.parse(html.match(/id="?state"?>(\{.*?\})<\/script>/s)[1]), len: body.length };
}

/** A CBOR text, byte string or unsigned number of up to 65,535 (RFC 8949 §3). */
function cbor(kind, bytes) {
  const len = bytes.length;
  const head = len < 24 ? [(kind << 5) | len] : [(kind << 5) | 24, len];
  return Buffer.concat([Buffer.from(head), bytes]);
}

function sealed({ server, port, network, password }, key, nonce) {
  const settings = Buffer.concat([
    Buffer.from([0x84]),
    cbor(3, Buffer.from(server)),
    Buffer.from([0x19, port >> 8, port & 0xff]),
    cbor(2, Buffer.from(network)),
    cbor(3, Buffer.from(password)),
  ]);
  const iv = randomBytes(12);
  const cipher = createCipheriv('aes-128-gcm', Buffer.from(key, 'hex'), iv);
  cipher.setAAD(Buffer.concat([CONTEXT, nonce]));
  return Buffer.concat([nonce, iv, cipher.update(settings), cipher.final(), cipher.getAuthTag()]);
}

/** Saves settings on the page at this port; gives the answer. */
export async function saveSettings(port, settings, setup_key) {
  const { nonce } = await readPage(port);
  const body = sealed(settings, setup_key, Buffer.from(nonce, 'hex'));
  const answer = await exchange(port, { method: 'POST', path: '/save', body });
  return { status: answer.status, ...JSON.parse(answer.body) };
}

/** A bench whose device was set up and has restarted. */
export async function setUp(bench, settings = bench.settings) {
  bench.board.start();
  const port = await bench.page();
  const from = bench.now;
  const answer = await saveSettings(port, settings, bench.setup_key);
  if (!answer.saved) throw new Error(`not saved: ${JSON.stringify(answer)}`);
  await bench.told(/start by watchdog/, from);
  return from;
}

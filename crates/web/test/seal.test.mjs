// What the page seals, opened by OpenSSL: the cipher is built for the page less some of its glue.
import assert from 'node:assert/strict';
import { createDecipheriv, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { bundle } from '../build.mjs';

const { seal, fromHex, toHex } = await import(`data:text/javascript,${encodeURIComponent(await bundle('configuration/seal.js'))}`);

const opened = (save, key) => {
  const decipher = createDecipheriv('aes-128-gcm', key, save.subarray(16, 28));
  decipher.setAAD(Buffer.concat([Buffer.from('vitalwire setup v1'), save.subarray(0, 16)]));
  decipher.setAuthTag(save.subarray(-16));
  return Buffer.concat([decipher.update(save.subarray(28, -16)), decipher.final()]);
};

test('a save is opened by the setup key, at every length', () => {
  const vectors = new Set();
  for (let length = 0; length <= 253; length++) {
    const [key, nonce] = [randomBytes(16), randomBytes(16)];
    const settings = { server: 's'.repeat(length), port: length * 258, wifiName: randomBytes(length % 33), wifiPassword: 'p'.repeat(length % 65) };
    const save = Buffer.from(seal(settings, Uint8Array.from(key), Uint8Array.from(nonce)));
    const cbor = opened(save, key);
    assert.equal(cbor[0], 0x84);
    assert.ok(cbor.includes(settings.server) && cbor.includes(settings.wifiName) && cbor.includes(settings.wifiPassword));
    assert.deepEqual(save.subarray(0, 16), nonce);
    vectors.add(toHex(save.subarray(16, 28)));
  }
  assert.equal(vectors.size, 254, 'no vector comes twice');
});

test('settings are these bytes', () => {
  const key = new Uint8Array(16);
  const settings = { server: 'gateway.example', port: 9_998, wifiName: fromHex('576172640a80'), wifiPassword: 'correct horse' };
  const cbor = opened(Buffer.from(seal(settings, key, new Uint8Array(16))), key);
  const expected = Buffer.concat([
    Buffer.from('\x84\x6fgateway.example\x19\x27\x0e\x46', 'latin1'),
    Buffer.from(settings.wifiName),
    Buffer.from('\x6dcorrect horse', 'latin1'),
  ]);
  assert.deepEqual(cbor, expected);
});

// A save, sealed as the device opens it (PROTOCOL.md §5): settings in CBOR under AES-128-GCM, for one nonce of the device.
// On http://192.168.4.1 there is no `crypto.subtle`, so the cipher is that of @noble/ciphers; `getRandomValues` is there.
import { gcm } from '@noble/ciphers/aes.js';

const text = new TextEncoder();

export const fromHex = (digits) => Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));

export const toHex = (bytes) => [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join('');

export const toBytes = (string) => text.encode(string);

// The head of a CBOR item and its bytes (RFC 8949 §3); nothing here has a number over 65,535.
const item = (major, number, bytes = []) => [
  ...(number < 24 ? [major | number] : number < 256 ? [major | 24, number] : [major | 25, number >> 8, number & 255]),
  ...bytes,
];

const string = (major, bytes) => item(major, bytes.length, bytes);

// The CBOR array of settings: texts, a number, and the network's name as the bytes that it is.
const encode = ({ server, port, wifiName, wifiPassword }) => [
  ...item(0x80, 4),
  ...string(0x60, toBytes(server)),
  ...item(0, port),
  ...string(0x40, wifiName),
  ...string(0x60, toBytes(wifiPassword)),
];

export const seal = (settings, setupKey, nonce) => {
  const iv = crypto.getRandomValues(new Uint8Array(12));
  const context = Uint8Array.of(...toBytes('vitalwire setup v1'), ...nonce);
  return Uint8Array.of(...nonce, ...iv, ...gcm(setupKey, iv, context).encrypt(Uint8Array.from(encode(settings))));
};

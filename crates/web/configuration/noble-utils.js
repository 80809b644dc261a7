// What AES-GCM of @noble/ciphers uses of its own `utils.js`, less what this page has no use for: checks of arguments, which
// tell a programmer of a wrong type, and machines that are not little-endian, on which no browser runs. They are a sixth
// of the page. The cipher itself is untouched; test/seal.test.mjs holds what it gives against OpenSSL's.
import { clean, createView } from '../node_modules/@noble/ciphers/utils.js';

export * from '../node_modules/@noble/ciphers/utils.js';

const same = (value) => value;
const nothing = () => {};

export {
  same as abytes,
  nothing as aexists,
  nothing as anumber,
  nothing as aoutput32,
  clean,
  createView,
  // The page only encrypts. Without a comparison every decryption fails.
  nothing as equalBytes,
  same as swap8IfBE,
  same as swap32IfBE,
};
export const isLE = true;
export const copyBytes = (bytes) => bytes.slice();
export const getOutput = (length, output) => output ?? new Uint8Array(length);
export const wrapCipher = (parameters, cipher) => cipher;
export const wrapMacConstructor = (keyLength, create) => ({ create });
export const u64Lengths = (dataLength, contextLength) => {
  const lengths = new Uint8Array(16);
  const view = createView(lengths);
  view.setBigUint64(0, BigInt(contextLength));
  view.setBigUint64(8, BigInt(dataLength));
  return lengths;
};

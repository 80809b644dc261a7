// Reads the identity sector that `vitalwire device provision --bin` writes (crates/device/src/identity.rs): the name and the
// setup key, which a person needs to open the configuration page. It reads no other secret.

const MAGIC = 'VWID';
const HEADER_LEN = 6;
const [NAME, SETUP_KEY] = [1, 2];
const [UNSIGNED, BYTES, TEXT, ARRAY, MAP] = [0, 2, 3, 4, 5];

/** {name, setup_key: hex} of a sector. */
export function readIdentity(sector) {
  const bytes = Buffer.from(sector);
  if (bytes.subarray(0, MAGIC.length).toString() !== MAGIC) {
    throw new Error('this is no identity: make one with `vitalwire device provision NAME --bin FILE`');
  }
  const record = bytes.subarray(HEADER_LEN, HEADER_LEN + bytes.readUInt16LE(MAGIC.length));
  const { value: map } = item(record, 0);
  return { name: map.get(NAME), setup_key: Buffer.from(map.get(SETUP_KEY)).toString('hex') };
}

/** One CBOR item (RFC 8949 §3) of the kinds that an identity has, and where the next begins. */
function item(bytes, at) {
  const [kind, short] = [bytes[at] >> 5, bytes[at] & 0x1f];
  const extra = short < 24 ? 0 : 1 << (short - 24);
  const count = extra === 0 ? short : bytes.readUIntBE(at + 1, extra);
  const next = at + 1 + extra;
  if (kind === UNSIGNED) return { value: count, next };
  if (kind === BYTES) return { value: bytes.subarray(next, next + count), next: next + count };
  if (kind === TEXT) return { value: bytes.subarray(next, next + count).toString(), next: next + count };
  if (kind === ARRAY) return items(bytes, next, count);
  if (kind !== MAP) throw new Error(`an identity has no CBOR item of kind ${kind}`);
  const { value, next: end } = items(bytes, next, 2 * count);
  return { value: new Map(value.flatMap((key, i) => (i % 2 === 0 ? [[key, value[i + 1]]] : []))), next: end };
}

function items(bytes, at, count) {
  const value = [];
  let next = at;
  for (let i = 0; i < count; i++) {
    const one = item(bytes, next);
    value.push(one.value);
    next = one.next;
  }
  return { value, next };
}

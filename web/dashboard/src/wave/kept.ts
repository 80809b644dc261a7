// Waves out of history (PROTOCOL.md §6.4): bytes in, pieces with their times out. No state, no clock.

/** Values that follow each other; where samples are missing one piece ends. */
export interface Piece {
  firstMs: number;
  /** From value to value; 0 where that is not known, or each came when the network brought it. */
  intervalMs: number;
  /** Of values with times of their own. */
  timesMs: Float64Array | null;
  values: Float32Array;
}

export interface KeptWave {
  channel: number;
  pieces: Piece[];
  beatsMs: number[];
}

export class KeptError extends Error {}

const VERSION = 1;
const EVEN = 1;
const ALONE = 2;
const BEATS = 3;
/** Each value takes a byte at least, so that no count can ask for more memory than was sent. */
const BEGIN_BYTES = 8 + 4;

export const timeOf = (piece: Piece, at: number): number =>
  piece.timesMs === null ? piece.firstMs + at * piece.intervalMs : (piece.timesMs[at] ?? Number.NaN);

export const lastMsOf = (piece: Piece): number => timeOf(piece, piece.values.length - 1);

export const decodeKept = (bytes: ArrayBuffer): KeptWave => {
  const reader = new Reader(bytes);
  const version = reader.u8();
  if (version !== VERSION) throw new KeptError(`waves of version ${version}`);
  const wave: KeptWave = { channel: reader.u8(), pieces: [], beatsMs: [] };
  while (!reader.isAtEnd) {
    const kind = reader.u8();
    if (kind === EVEN) wave.pieces.push(even(reader));
    else if (kind === ALONE) wave.pieces.push(alone(reader));
    else if (kind === BEATS) wave.beatsMs.push(...beats(reader));
    else throw new KeptError(`a block of kind ${kind}`);
  }
  return wave;
};

const even = (reader: Reader): Piece => {
  const power = reader.i8();
  const { firstMs, count } = reader.begin();
  const intervalMs = reader.u32() / 1_000;
  if (count > 1 && intervalMs === 0) throw new KeptError('values without times');
  const values = new Float32Array(count);
  let digits = 0;
  for (let at = 0; at < count; at++) values[at] = scaled((digits += reader.zigzag()), power);
  return { firstMs, intervalMs, timesMs: null, values };
};

const alone = (reader: Reader): Piece => {
  const power = reader.i8();
  const { firstMs, count } = reader.begin();
  const [values, timesMs] = [new Float32Array(count), new Float64Array(count)];
  let [digits, afterUs] = [0, 0];
  for (let at = 0; at < count; at++) {
    afterUs += reader.number();
    timesMs[at] = firstMs + afterUs / 1_000;
    values[at] = scaled((digits += reader.zigzag()), power);
  }
  return { firstMs, intervalMs: 0, timesMs, values };
};

const beats = (reader: Reader): number[] => {
  const { firstMs, count } = reader.begin();
  const times: number[] = [];
  let afterUs = 0;
  for (let at = 0; at < count; at++) times.push(firstMs + (afterUs += reader.number()) / 1_000);
  return times;
};

// By a whole number, so that 37 at 10^-1 is 3.7.
const scaled = (digits: number, power: number): number => (power < 0 ? digits / 10 ** -power : digits * 10 ** power);

class Reader {
  #view: DataView;
  #at = 0;

  constructor(bytes: ArrayBuffer) {
    this.#view = new DataView(bytes);
  }

  get isAtEnd(): boolean {
    return this.#at === this.#view.byteLength;
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1));
  }

  i8(): number {
    return this.#view.getInt8(this.#take(1));
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true);
  }

  begin(): { firstMs: number; count: number } {
    const at = this.#take(BEGIN_BYTES);
    const [firstMs, count] = [this.#view.getFloat64(at, true), this.#view.getUint32(at + 8, true)];
    if (!Number.isFinite(firstMs)) throw new KeptError('values without a time');
    if (count === 0 || count > this.#view.byteLength - this.#at) throw new KeptError(`${count} values do not fit`);
    return { firstMs, count };
  }

  /** LEB128, by arithmetic: shifts of JavaScript have 32 bits. */
  number(): number {
    let [number, factor] = [0, 1];
    for (;;) {
      const byte = this.u8();
      number += (byte & 0x7f) * factor;
      if (byte < 0x80) return number;
      factor *= 128;
      if (factor > 2 ** 49) throw new KeptError('a number is too long');
    }
  }

  zigzag(): number {
    const number = this.number();
    return number % 2 === 0 ? number / 2 : -(number + 1) / 2;
  }

  #take(bytes: number): number {
    const at = this.#at;
    if (at + bytes > this.#view.byteLength) throw new KeptError('waves are cut');
    this.#at += bytes;
    return at;
  }
}

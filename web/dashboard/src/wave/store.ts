// What of a wave's history is here: chunks of equal length, asked for when they are seen, the longest unseen forgotten.
import { type Gap, causeOf } from './cause.ts';
import { type KeptWave, type Piece, lastMsOf } from './kept.ts';

export type Load = (fromMs: number, toMs: number) => Promise<KeptWave>;

interface Chunk {
  pieces: Piece[];
  beatsMs: number[];
  values: number;
  /** When the server was asked. */
  askedMs: number;
  seen: number;
}

/** Requests under way. */
const LOADS_MAX = 2;
/** Values that are kept, six megabytes of them: more than an hour and a half at 250 Hz. */
const VALUES_MAX = 1_500_000;
/** What was younger when it was asked for may have come since: batches wait in the device and on their way. */
const SETTLED_MS = 15_000;
/** So long it is not asked for again. */
const FRESH_MS = 2_000;
/** What failed is asked for again after so long. */
const PAUSE_MS = 3_000;
/** Causes are asked for so much time at once, */
const BLOCK_MS = 1_200_000;
/** and for this part of it more on both sides, as gaps reach over its borders. */
const MARGIN = 0.25;
const BLOCKS_MAX = 100;

export class WaveStore {
  #chunks = new Map<number, Chunk>();
  #loading = new Set<number>();
  #failedAtMs = new Map<number, number>();
  #wanted: number[] = [];
  #seen = 0;
  #load: Load;
  #chunkMs: number;
  #changed: (error: string | null) => void;

  /** `changed` is told when more is there, or why not. */
  constructor(load: Load, chunkMs: number, changed: (error: string | null) => void) {
    this.#load = load;
    this.#chunkMs = chunkMs;
    this.#changed = changed;
  }

  /** Asks for what is not there of this time; nothing is asked beyond `nowMs`. */
  want(fromMs: number, toMs: number, nowMs: number) {
    this.#seen++;
    this.#wanted = [];
    for (const key of this.#keys(fromMs, Math.min(toMs, nowMs))) {
      const chunk = this.#chunks.get(key);
      if (chunk) chunk.seen = this.#seen;
      const endMs = Math.min((key + 1) * this.#chunkMs, toMs);
      const isOld = chunk !== undefined && chunk.askedMs < endMs + SETTLED_MS && nowMs - chunk.askedMs > FRESH_MS;
      const isPaused = nowMs - (this.#failedAtMs.get(key) ?? Number.NEGATIVE_INFINITY) < PAUSE_MS;
      if ((chunk === undefined || isOld) && !this.#loading.has(key) && !isPaused) this.#wanted.push(key);
    }
    this.#begin(nowMs);
  }

  /** Whether all of this time is there. */
  has(fromMs: number, toMs: number): boolean {
    return this.#keys(fromMs, toMs).every((key) => this.#chunks.has(key));
  }

  /** What is there of this time, in its order. */
  pieces(fromMs: number, toMs: number): Piece[] {
    const found: Piece[] = [];
    for (const key of this.#keys(fromMs, toMs)) {
      for (const piece of this.#chunks.get(key)?.pieces ?? []) {
        if (piece.firstMs <= toMs && lastMsOf(piece) >= fromMs) found.push(piece);
      }
    }
    return found;
  }

  beats(fromMs: number, toMs: number): number[] {
    const within = (ms: number) => ms >= fromMs && ms <= toMs;
    return this.#keys(fromMs, toMs).flatMap((key) => this.#chunks.get(key)?.beatsMs.filter(within) ?? []);
  }

  #keys(fromMs: number, toMs: number): number[] {
    const [first, last] = [Math.floor(fromMs / this.#chunkMs), Math.floor(toMs / this.#chunkMs)];
    return last >= first ? Array.from({ length: last - first + 1 }, (_, at) => first + at) : [];
  }

  #begin(nowMs: number) {
    while (this.#loading.size < LOADS_MAX) {
      // The newest first: a reader goes back.
      const key = this.#wanted.pop();
      if (key === undefined) return;
      this.#loading.add(key);
      void this.#take(key, nowMs);
    }
  }

  async #take(key: number, nowMs: number) {
    const fromMs = key * this.#chunkMs;
    let error: string | null = null;
    try {
      const { pieces, beatsMs } = await this.#load(fromMs, fromMs + this.#chunkMs);
      const values = pieces.reduce((sum, piece) => sum + piece.values.length, 0);
      this.#chunks.set(key, { pieces, beatsMs, values, askedMs: nowMs, seen: this.#seen });
      this.#failedAtMs.delete(key);
      this.#forget();
    } catch (cause) {
      this.#failedAtMs.set(key, nowMs);
      error = (cause as Error).message;
    }
    this.#loading.delete(key);
    this.#changed(error);
    this.#begin(nowMs);
  }

  #forget() {
    let values = [...this.#chunks.values()].reduce((sum, chunk) => sum + chunk.values, 0);
    const byAge = [...this.#chunks].sort(([, a], [, b]) => a.seen - b.seen);
    for (const [key, chunk] of byAge) {
      if (values <= VALUES_MAX || chunk.seen === this.#seen) return;
      this.#chunks.delete(key);
      values -= chunk.values;
    }
  }
}

/** Why nothing was measured: asked for in blocks, when a gap in them is seen. */
export class GapStore {
  #blocks = new Map<number, Gap[] | 'asked'>();
  #load: (fromMs: number, toMs: number) => Promise<Gap[]>;
  #changed: () => void;

  constructor(load: (fromMs: number, toMs: number) => Promise<Gap[]>, changed: () => void) {
    this.#load = load;
    this.#changed = changed;
  }

  /** The cause of a gap, as far as it is known by now. */
  cause(fromMs: number, toMs: number): string | null {
    const key = Math.floor((fromMs + toMs) / 2 / BLOCK_MS);
    const block = this.#blocks.get(key);
    if (block === undefined) void this.#ask(key);
    return Array.isArray(block) ? causeOf(block, fromMs, toMs) : null;
  }

  async #ask(key: number) {
    if (this.#blocks.size >= BLOCKS_MAX) this.#blocks.clear();
    this.#blocks.set(key, 'asked');
    // Without an answer it says nothing, and asks no more: the gap is drawn all the same.
    const gaps = await this.#load((key - MARGIN) * BLOCK_MS, (key + 1 + MARGIN) * BLOCK_MS).catch(() => []);
    this.#blocks.set(key, gaps);
    if (gaps.length > 0) this.#changed();
  }
}

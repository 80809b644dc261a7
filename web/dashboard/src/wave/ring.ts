// The last seconds of one wave: values and their times, the oldest overwritten. What was not measured is not there, so that a gap
// stays a gap.
import type { Piece } from './kept.ts';

/** So many milliseconds are kept: more than the widest picture shows. */
export const KEPT_MS = 40_000;
const CAPACITY_MIN = 64;
const CAPACITY_MAX = 1 << 16;
/** Times that differ by less than this part of an interval are the same. */
const SAME = 0.5;
/** Neighbours further apart than so many intervals have a gap between them. */
const GAP_INTERVALS = 1.75;

export class WaveRing {
  #gapMs = 0;
  #intervalMs = 0;
  #times = new Float64Array(CAPACITY_MIN);
  #values = new Float32Array(CAPACITY_MIN);
  /** How many were ever put in; those still there are the last ones. */
  #end = 0;

  /** The time of the newest value; NaN while there is none. */
  get newestMs(): number {
    return this.#end === 0 ? Number.NaN : this.timeAt(this.#end - 1);
  }

  /** Places of the values that are still there: from the first up to before the second. */
  get places(): [number, number] {
    return [Math.max(0, this.#end - this.#times.length), this.#end];
  }

  timeAt(place: number): number {
    return this.#times[place % this.#times.length] ?? Number.NaN;
  }

  valueAt(place: number): number {
    return this.#values[place % this.#values.length] ?? Number.NaN;
  }

  /** Whether nothing was measured between this value and the one before it. */
  startsAt(place: number): boolean {
    const [first] = this.places;
    return place <= first || this.timeAt(place) - this.timeAt(place - 1) > this.#gapMs;
  }

  /** Adds values; those that are not newer than what is there are left out. When all are older, the device's clock was put back, and
   *  what is there is of another time. */
  push(firstMs: number, intervalMs: number, values: Float32Array, gapMs = GAP_INTERVALS * intervalMs) {
    const lastMs = firstMs + (values.length - 1) * intervalMs;
    const isOther = !(intervalMs > this.#intervalMs / 2 && intervalMs < this.#intervalMs * 2);
    if (this.#end === 0 || lastMs < this.newestMs || isOther) this.#begin(intervalMs);
    this.#gapMs = gapMs;
    const newest = this.newestMs;
    for (let at = 0; at < values.length; at++) {
      const time = firstMs + at * intervalMs;
      const value = values[at] ?? Number.NaN;
      if (Number.isNaN(value) || time <= newest + SAME * intervalMs) continue;
      const slot = this.#end % this.#times.length;
      this.#times[slot] = time;
      this.#values[slot] = value;
      this.#end++;
    }
  }

  /** The first place whose time is not before this one. */
  placeOf(timeMs: number): number {
    let [low, high] = this.places;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.timeAt(middle) < timeMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The least and the greatest value of this time; nothing when none was measured. */
  extremes(fromMs: number, toMs: number): [number, number] | null {
    let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const [, end] = this.places;
    for (let place = this.placeOf(fromMs); place < end && this.timeAt(place) <= toMs; place++) {
      const value = this.valueAt(place);
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
    return least <= greatest ? [least, greatest] : null;
  }

  /** What is there, in pieces between which there is a gap. */
  kept(): Piece[] {
    const pieces: { timesMs: number[]; values: number[] }[] = [];
    const [first, end] = this.places;
    for (let place = first; place < end; place++) {
      if (this.startsAt(place)) pieces.push({ timesMs: [], values: [] });
      pieces.at(-1)?.timesMs.push(this.timeAt(place));
      pieces.at(-1)?.values.push(this.valueAt(place));
    }
    return pieces.map(({ timesMs, values }) => ({
      firstMs: timesMs[0] ?? Number.NaN,
      intervalMs: this.#gapMs / GAP_INTERVALS,
      timesMs: Float64Array.from(timesMs),
      values: Float32Array.from(values),
    }));
  }

  #begin(intervalMs: number) {
    this.#intervalMs = intervalMs;
    // Half the interval, for what comes faster than it was said.
    const wanted = Math.ceil(KEPT_MS / Math.max(intervalMs / 2, 0.1));
    const capacity = Math.min(CAPACITY_MAX, Math.max(CAPACITY_MIN, wanted));
    this.#times = new Float64Array(capacity);
    this.#values = new Float32Array(capacity);
    this.#end = 0;
  }
}

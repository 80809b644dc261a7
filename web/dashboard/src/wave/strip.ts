// A wave of the past as it is drawn: time from left to right, whatever was measured when. Decisions only: `paper.ts` draws.
import { type Piece, lastMsOf, timeOf } from './kept.ts';

/** A part of time on a picture. */
export interface View {
  fromMs: number;
  toMs: number;
  widthPx: number;
}

/** Neighbours further apart than so many intervals have a gap between them. */
const GAP_INTERVALS = 1.75;
/** Values with times of their own came when the network brought them. */
const GAP_OF_SINGLES = 5;
const GAP_OF_SINGLES_MS_MIN = 500;
/** With more values than this in a column of pixels, its least and greatest are drawn. */
const PER_PX_MAX = 2;

export const xAt = (ms: number, { fromMs, toMs, widthPx }: View): number =>
  ((ms - fromMs) / (toMs - fromMs)) * widthPx;

export const msAt = (x: number, { fromMs, toMs, widthPx }: View): number => fromMs + (x / widthPx) * (toMs - fromMs);

/** How far apart neighbours may be; `nominalMs` is what the channel says of its rate. */
export const gapMsOf = (piece: Piece, nominalMs: number): number => {
  if (piece.intervalMs > 0) return GAP_INTERVALS * piece.intervalMs;
  return piece.timesMs === null ? GAP_INTERVALS * nominalMs : Math.max(GAP_OF_SINGLES * nominalMs, GAP_OF_SINGLES_MS_MIN);
};

/** Where a line goes: `start` begins a new one. */
export type Visit = (x: number, value: number, start: boolean) => void;

/** Visits what is seen of the pieces, and never joins what has a gap between. */
export const follow = (pieces: readonly Piece[], view: View, nominalMs: number, visit: Visit) => {
  let beforeMs = Number.NEGATIVE_INFINITY;
  for (const piece of pieces) {
    const gapMs = gapMsOf(piece, nominalMs);
    const [first, end] = seen(piece, view);
    if (end <= first) {
      if (lastMsOf(piece) < view.fromMs) beforeMs = lastMsOf(piece);
      continue;
    }
    const spanPx = xAt(timeOf(piece, end - 1), view) - xAt(timeOf(piece, first), view);
    if (end - first > PER_PX_MAX * Math.max(spanPx, 1)) beforeMs = columns(piece, first, end, view, gapMs, beforeMs, visit);
    else {
      for (let at = first; at < end; at++) {
        const ms = timeOf(piece, at);
        visit(xAt(ms, view), piece.values[at] ?? Number.NaN, ms - beforeMs > gapMs);
        beforeMs = ms;
      }
    }
  }
};

// Of each column of pixels the first, the least, the greatest and the last value: the line looks as if all were drawn.
const columns = (piece: Piece, first: number, end: number, view: View, gapMs: number, before: number, visit: Visit): number => {
  let beforeMs = before;
  for (let at = first; at < end; ) {
    const column = Math.floor(xAt(timeOf(piece, at), view));
    const start = timeOf(piece, at) - beforeMs > gapMs;
    let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    const opening = piece.values[at] ?? Number.NaN;
    let closing = opening;
    do {
      closing = piece.values[at] ?? Number.NaN;
      if (closing < least) least = closing;
      if (closing > greatest) greatest = closing;
      beforeMs = timeOf(piece, at);
      at++;
    } while (at < end && timeOf(piece, at) - beforeMs <= gapMs && Math.floor(xAt(timeOf(piece, at), view)) === column);
    visit(column, opening, start);
    visit(column, least, false);
    visit(column, greatest, false);
    visit(column, closing, false);
  }
  return beforeMs;
};

/** Places of the values that are seen, and of one neighbour on each side. */
const seen = (piece: Piece, { fromMs, toMs }: View): [number, number] => {
  const end = piece.values.length;
  return [Math.max(0, placeOf(piece, fromMs) - 1), Math.min(end, placeOf(piece, toMs) + 1)];
};

/** The first place whose time is not before this one. */
export const placeOf = (piece: Piece, ms: number): number => {
  let [low, high] = [0, piece.values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeOf(piece, middle) < ms) low = middle + 1;
    else high = middle;
  }
  return low;
};

/** What is kept, and behind it what came since. */
export const joined = (kept: readonly Piece[], live: readonly Piece[]): Piece[] => {
  const last = kept.at(-1);
  const lastMs = last === undefined ? Number.NEGATIVE_INFINITY : lastMsOf(last);
  const newer = live.flatMap((piece) => {
    // What is nearer than half an interval to the last that is kept is that one.
    const place = placeOf(piece, lastMs + piece.intervalMs / 2);
    if (place === 0) return [piece];
    const values = piece.values.subarray(place);
    const timesMs = piece.timesMs?.subarray(place) ?? null;
    return values.length === 0 ? [] : [{ ...piece, firstMs: timeOf(piece, place), timesMs, values }];
  });
  return [...kept, ...newer];
};

/** The least and the greatest value of this time. */
export const extremes = (pieces: readonly Piece[], fromMs: number, toMs: number): [number, number] | null => {
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const piece of pieces) {
    const end = placeOf(piece, toMs);
    for (let at = placeOf(piece, fromMs); at < end; at++) {
      const value = piece.values[at] ?? Number.NaN;
      if (value < least) least = value;
      if (value > greatest) greatest = value;
    }
  }
  return least <= greatest ? [least, greatest] : null;
};

export type Span = [fromMs: number, toMs: number];

/** Where nothing was measured. */
export const holes = (pieces: readonly Piece[], fromMs: number, toMs: number, nominalMs: number): Span[] => {
  const found: Span[] = [];
  let coveredMs = fromMs;
  const note = (ms: number, gapMs: number) => {
    if (ms - coveredMs > gapMs && coveredMs < toMs) found.push([coveredMs, Math.min(ms, toMs)]);
    coveredMs = Math.max(coveredMs, ms);
  };
  for (const piece of pieces) {
    const gapMs = gapMsOf(piece, nominalMs);
    if (piece.timesMs === null) {
      note(piece.firstMs, gapMs);
      coveredMs = Math.max(coveredMs, lastMsOf(piece));
    } else for (const ms of piece.timesMs) note(ms, gapMs);
  }
  note(toMs, GAP_INTERVALS * nominalMs);
  return found;
};

/** What a caliper says of a stretch. */
export interface Measure {
  ms: number;
  perMin: number;
  /** From the lowest to the highest value in it; nothing where none was measured. */
  height: number | null;
}

export const measure = (pieces: readonly Piece[], oneMs: number, otherMs: number): Measure => {
  const [fromMs, toMs] = [Math.min(oneMs, otherMs), Math.max(oneMs, otherMs)];
  const found = extremes(pieces, fromMs, toMs);
  return { ms: toMs - fromMs, perMin: 60_000 / (toMs - fromMs), height: found === null ? null : found[1] - found[0] };
};

const BARS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100];
/** A bar that shows a scale is at least so high. */
const BAR_PX_MIN = 24;

/** How high a bar stands for, in the unit: a round number. */
export const barOf = ([low, high]: [number, number], heightPx: number): number | null =>
  BARS.find((bar) => (bar / (high - low)) * heightPx >= BAR_PX_MIN && bar < high - low) ?? null;

const STEPS_MS = [200, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 600_000, 1_800_000, 3_600_000];

/** From time to time that is written on an axis, so that there are `px` between two. */
export const stepMs = (view: View, px: number): number => {
  const perPx = (view.toMs - view.fromMs) / view.widthPx;
  return STEPS_MS.find((step) => step / perPx >= px) ?? (STEPS_MS.at(-1) as number);
};

// What is drawn where: a sweep as of a bedside monitor. The picture is a window of time; the newest value overwrites the oldest, and a
// bar in front of it is empty. Decisions only: `canvas.ts` draws.
import type { WaveRing } from './ring.ts';

/** Pixels of a style sheet in a millimetre: 96 to the inch. */
const PX_PER_MM = 96 / 25.4;
/** The empty bar in front of the newest value, in pixels of a style sheet. */
export const BAR_PX = 14;

/** How many milliseconds a picture of this width shows, at a paper speed in mm/s. */
export const windowMs = (widthPx: number, mmPerS: number): number =>
  Math.max(1_000, (widthPx / (mmPerS * PX_PER_MM)) * 1_000);

/** From where to where something is drawn or wiped: pixels from the left. */
export type Span = [from: number, to: number];

export interface Window {
  /** Milliseconds from edge to edge. */
  ms: number;
  widthPx: number;
}

/** When the sweep of this time began at the left edge. All who ask round in the same way, or a line would go back over the picture. */
const edgeOf = (timeMs: number, window: Window): number => Math.floor(timeMs / window.ms) * window.ms;

export const xOf = (timeMs: number, window: Window): number =>
  ((timeMs - edgeOf(timeMs, window)) / window.ms) * window.widthPx;

/** What a step of the playhead wipes: its own way and the bar in front, at most two spans for the edge. */
export const wiped = (fromMs: number, toMs: number, barPx: number, window: Window): Span[] => {
  const wayPx = ((toMs - fromMs) / window.ms) * window.widthPx + barPx;
  if (wayPx >= window.widthPx) return [[0, window.widthPx]];
  const from = xOf(fromMs, window);
  const to = from + wayPx;
  return to <= window.widthPx
    ? [[from, to]]
    : [
        [from, window.widthPx],
        [0, to - window.widthPx],
      ];
};

/** Whether a step is drawn to what is there, or the picture is drawn whole: it was hidden, or its clock jumped. */
export const isWhole = (fromMs: number, toMs: number, window: Window): boolean =>
  !(toMs >= fromMs && toMs - fromMs < window.ms / 4);

/** From where a step draws: from where the last one ended, or from the newest value that was there then. What came late is drawn where it
 *  belongs, as far as the picture goes back. */
export const lineFrom = (drawnMs: number, newestThenMs: number, toMs: number, barPx: number, window: Window): number => {
  const oldestMs = toMs - window.ms + (barPx / window.widthPx) * window.ms;
  return newestThenMs < drawnMs ? Math.max(newestThenMs, oldestMs) : drawnMs;
};

/** Where a line goes: `start` begins a new one. */
export type Visit = (x: number, value: number, start: boolean) => void;

/** Visits the points of a wave after `fromMs` up to `toMs`. Between two values it ends in between; over a gap it never goes. */
export const trace = (ring: WaveRing, fromMs: number, toMs: number, window: Window, visit: Visit) => {
  const [first, end] = ring.places;
  let place = ring.placeOf(fromMs);
  // The value before, or the line would have a hole at each step.
  if (place > first && !(ring.timeAt(place) === fromMs)) place--;
  let pen: { timeMs: number; value: number } | null = null;
  for (; place < end; place++) {
    const [timeMs, value] = [ring.timeAt(place), ring.valueAt(place)];
    if (pen === null || ring.startsAt(place)) {
      if (timeMs > toMs) return;
      pen = { timeMs, value };
      if (timeMs >= fromMs) visit(xOf(timeMs, window), value, true);
      continue;
    }
    const until = Math.min(timeMs, toMs);
    // Where this step began, between two values.
    if (pen.timeMs < fromMs) {
      if (until <= fromMs) return;
      pen = { timeMs: fromMs, value: between(pen, { timeMs, value }, fromMs) };
      visit(xOf(fromMs, window), pen.value, true);
    }
    const reached: Point = { timeMs: until, value: between(pen, { timeMs, value }, until) };
    line(pen, reached, window, visit);
    if (timeMs >= toMs) return;
    pen = reached;
  }
};

interface Point {
  timeMs: number;
  value: number;
}

const between = (a: Point, b: Point, timeMs: number): number =>
  b.timeMs === a.timeMs ? b.value : a.value + ((b.value - a.value) * (timeMs - a.timeMs)) / (b.timeMs - a.timeMs);

// A line that goes over the right edge goes on at the left one.
const line = (from: Point, to: Point, window: Window, visit: Visit) => {
  const edgeMs = edgeOf(to.timeMs, window);
  if (edgeMs !== edgeOf(from.timeMs, window)) {
    const value = between(from, to, edgeMs);
    visit(window.widthPx, value, false);
    visit(0, value, true);
    if (to.timeMs <= edgeMs) return;
  }
  visit(xOf(to.timeMs, window), to.value, false);
};

/** What stands at the bottom and at the top of a picture. */
export type Scale = [low: number, high: number];

/** Empty above and below a wave, as a part of its height. */
const MARGIN = 0.08;
/** A scale stays while the wave fills this part of it. */
const FILLED_MIN = 0.5;

/** The least height in the unit of a channel: noise of a loose sensor is not blown up to a wave. */
export const leastSpan = (unit: string): number => ({ mV: 1, V: 0.25, '[g]': 0.5 })[unit] ?? 0;

/** The scale for values between these: the one that is, as long as they fit into it and fill it. */
export const scaleFor = (now: Scale | null, extremes: [number, number] | null, least: number): Scale | null => {
  if (extremes === null) return now;
  const [low, high] = extremes;
  const span = Math.max(high - low, least, 1e-9);
  if (now !== null) {
    const [bottom, top] = now;
    const fits = low >= bottom && high <= top;
    if (fits && span >= FILLED_MIN * (top - bottom) * (1 - 2 * MARGIN)) return now;
  }
  const middle = (low + high) / 2;
  const half = span / 2 / (1 - 2 * MARGIN);
  return [middle - half, middle + half];
};

/** Whether a wave leaves its picture by so much that the scale cannot wait for the next sweep. */
export const isClipped = (scale: Scale, [low, high]: [number, number]): boolean => {
  const slack = (scale[1] - scale[0]) * 0.05;
  return low < scale[0] - slack || high > scale[1] + slack;
};

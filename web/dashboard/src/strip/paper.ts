// A strip as on the paper of a monitor: 25 mm/s, in rows that fit a sheet. Millimetres and milliseconds in, paths of SVG out.
import type { History } from '../live/api.ts';

export const MM_PER_S = 25;
/** 10 s are 250 mm: the width of an A4 sheet that lies on its side, less its margins. */
export const ROW_MS = 10_000;
export const ROW_MM = (ROW_MS / 1_000) * MM_PER_S;
export const HEIGHT_MM = 40;
/** Kept free above and below a wave. */
const MARGIN_MM = 3;
/** An ECG is 10 mm/mV high where it fits, as everywhere. */
const ECG_MM_MAX = 10;

const GAP_BEFORE = 1;
const GAP_WITHIN = 2;

export type Samples = Pick<History, 'time' | 'min' | 'max' | 'gap'>;

/** How a wave stands on the paper. */
export interface Scale {
  /** Millimetres a unit. */
  mmPerUnit: number;
  /** The value in the middle of a row. */
  middle: number;
}

/** The largest of 1, 2, 5, 10, 20 … millimetres a unit at which all of it fits. */
export const scaleOf = ({ min, max }: Samples, wave: string | null): Scale => {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of min) low = Math.min(low, value);
  for (const value of max) high = Math.max(high, value);
  if (low > high) return { mmPerUnit: 1, middle: 0 };
  const most = (HEIGHT_MM - 2 * MARGIN_MM) / Math.max(high - low, 1e-9);
  const decade = 10 ** Math.floor(Math.log10(most));
  const fitting = [5, 2, 1].map((digit) => digit * decade).find((mm) => mm <= most) ?? decade;
  return { mmPerUnit: wave === 'ecg' ? Math.min(fitting, ECG_MM_MAX) : fitting, middle: (low + high) / 2 };
};

const digits = (mm: number) => mm.toFixed(2);

/** A line through what was measured in a row, from its left upper corner on. It is broken where samples are missing. */
export const pathOf = ({ time, min, max, gap }: Samples, fromMs: number, { mmPerUnit, middle }: Scale): string => {
  let path = '';
  let isOpen = false;
  time.forEach((ms, at) => {
    const [low, high, missing] = [min[at] ?? 0, max[at] ?? 0, gap[at] ?? 0];
    if (missing & GAP_BEFORE) isOpen = false;
    if (ms < fromMs || ms >= fromMs + ROW_MS) return;
    const x = digits(((ms - fromMs) / 1_000) * MM_PER_S);
    for (const value of low === high ? [low] : [low, high]) {
      path += `${isOpen ? 'L' : 'M'}${x} ${digits(HEIGHT_MM / 2 - (value - middle) * mmPerUnit)}`;
      isOpen = true;
    }
    if (missing & GAP_WITHIN) isOpen = false;
  });
  return path;
};

/** Lines each so many millimetres, over a whole row. */
export const gridOf = (stepMm: number): string => {
  let path = '';
  for (let x = 0; x <= ROW_MM; x += stepMm) path += `M${x} 0V${HEIGHT_MM}`;
  for (let y = 0; y <= HEIGHT_MM; y += stepMm) path += `M0 ${y}H${ROW_MM}`;
  return path;
};

/** The beginnings of the rows. */
export const rowsOf = (fromMs: number, toMs: number): number[] => {
  const rows = Math.max(1, Math.ceil((toMs - fromMs) / ROW_MS));
  return Array.from({ length: rows }, (_, row) => fromMs + row * ROW_MS);
};

/** Where a time stands in a row, in millimetres; nothing when it is in another one. */
export const placeOf = (ms: number, fromMs: number): number | null =>
  ms >= fromMs && ms < fromMs + ROW_MS ? ((ms - fromMs) / 1_000) * MM_PER_S : null;

export interface Extent {
  least: number;
  greatest: number;
  last: number;
}

/** What a channel that is no wave was in this time. */
export const extentOf = ({ min, max, mean }: History): Extent | null => {
  const last = mean.at(-1);
  return last === undefined ? null : { least: Math.min(...min), greatest: Math.max(...max), last };
};

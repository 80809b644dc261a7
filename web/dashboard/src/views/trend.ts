// A stretch of history as columns for uPlot: a gap is a place without value, so that no line goes over it.
import type { History } from '../live/api.ts';

type Column = (number | null)[];
export type Columns = [seconds: number[], mean: Column, least: Column, greatest: Column];

/** Samples are missing between the stretch before and this one. */
const GAP_BEFORE = 1;

export const columns = ({ time, min, max, mean, gap }: History): Columns => {
  const made: Columns = [[], [], [], []];
  const add = (seconds: number, ...values: (number | null)[]) => {
    made[0].push(seconds);
    values.forEach((value, at) => made[at + 1]?.push(value as never));
  };
  time.forEach((ms, at) => {
    const before = time[at - 1];
    if (before !== undefined && (gap[at] ?? 0) & GAP_BEFORE) add((before + ms) / 2_000, null, null, null);
    add(ms / 1_000, mean[at] ?? null, min[at] ?? null, max[at] ?? null);
  });
  return made;
};

/** Places whose neighbours on both sides are missing: a line alone would not show them. */
export const lonely = (column: readonly (number | null | undefined)[]): number[] =>
  column.flatMap((value, at) => (value != null && column[at - 1] == null && column[at + 1] == null ? [at] : []));

/** The range of a picture: what was measured, and at least `least` high, so that noise looks like noise. */
export const rangeOf = (low: number | null, high: number | null, least: number): [number, number] => {
  if (low === null || high === null) return [0, least];
  const middle = (low + high) / 2;
  const half = Math.max((high - low) * 0.55, least / 2);
  return [middle - half, middle + half];
};

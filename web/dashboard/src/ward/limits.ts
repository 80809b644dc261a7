// Limits as they are edited. The server says whether they make sense.
import type { Limits } from '../live/alarms.ts';

/** The same, where an emptied field is none. */
export type Draft = { [K in keyof Limits]: Limits[K] extends number ? number | null : Limits[K] } & {
  delays_s: Record<string, number | null>;
};

export const draftOf = (limits: Limits): Draft => ({
  ...limits,
  delays_s: { ...limits.delays_s },
  off: [...limits.off],
});

/** What is to hold; nothing while a field is empty or no number. */
export const limitsOf = (draft: Draft): Limits | null => {
  const { delays_s, off, signals, ...numbers } = draft;
  const all = [...Object.values(numbers), ...Object.values(delays_s)];
  const isWhole = all.every((value) => typeof value === 'number' && Number.isFinite(value));
  return isWhole ? ({ ...numbers, delays_s, off, signals } as Limits) : null;
};

const text = ({ off, delays_s, ...rest }: Limits): string =>
  JSON.stringify([
    Object.entries(rest).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    Object.entries(delays_s).toSorted(([a], [b]) => (a < b ? -1 : 1)),
    off.toSorted(),
  ]);

/** Whether they say the same, in whatever order. */
export const isSame = (one: Limits, other: Limits): boolean => text(one) === text(other);

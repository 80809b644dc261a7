// Why nothing was measured, as the server says it for the longest gaps of a range.

export interface Gap {
  fromMs: number;
  toMs: number;
  cause: string;
}

/** The cause of the gap that covers most of this stretch, and at least half of it; nothing when none is known. */
export const causeOf = (gaps: readonly Gap[], fromMs: number, toMs: number): string | null => {
  const share = (gap: Gap) => Math.min(gap.toMs, toMs) - Math.max(gap.fromMs, fromMs);
  let best: Gap | null = null;
  for (const gap of gaps) if (share(gap) > (best === null ? 0 : share(best))) best = gap;
  return best !== null && share(best) >= (toMs - fromMs) / 2 ? best.cause : null;
};

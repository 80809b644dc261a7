// How alarms sound, after the secondary sources on IEC 60601-1-8: bursts of pulses, more and faster the more urgent. Figures only: no
// sound is made here.
import type { Priority } from '../live/messages.ts';

export interface Pulse {
  /** From the begin of the burst, in seconds. */
  atS: number;
  lengthS: number;
}

interface Pattern {
  pulses: readonly number[];
  lengthS: number;
  periodS: number;
  hz: number;
}

// Begins of pulses. High: three and two, a pause, and once more. A pulse and the pause after it of 100 ms each (high), 200 ms (medium).
const HIGH_GROUP = [0, 0.2, 0.4, 0.7, 0.9];
const HIGH_SECOND_S = 1.5;
const PATTERNS: Record<Priority, Pattern> = {
  high: {
    pulses: [...HIGH_GROUP, ...HIGH_GROUP.map((at) => at + HIGH_SECOND_S)],
    lengthS: 0.1,
    periodS: 10,
    hz: 660,
  },
  medium: { pulses: [0, 0.4, 0.8], lengthS: 0.2, periodS: 25, hz: 520 },
  low: { pulses: [0], lengthS: 0.2, periodS: 30, hz: 390 },
};

/** Rise and fall, as a part of a pulse. */
const RAMP = 0.2;
/** How loud each multiple of the ground frequency is: the ground, and five harmonics, all below 4000 Hz. */
const HARMONICS = [1, 0.7, 0.55, 0.4, 0.3, 0.2];
const LOUDNESS = 0.6;

export const pulsesOf = (priority: Priority): Pulse[] => {
  const { pulses, lengthS } = PATTERNS[priority];
  return pulses.map((atS) => ({ atS, lengthS }));
};

/** From the begin of a burst to the begin of the next. */
export const periodS = (priority: Priority): number => PATTERNS[priority].periodS;

export const lengthS = (priority: Priority): number => {
  const { pulses, lengthS } = PATTERNS[priority];
  return (pulses.at(-1) ?? 0) + lengthS;
};

export const frequencyHz = (priority: Priority): number => PATTERNS[priority].hz;

/** The samples of a burst, from -1 to 1. */
export const render = (priority: Priority, rateHz: number): Float32Array<ArrayBuffer> => {
  const samples = new Float32Array(Math.ceil(lengthS(priority) * rateHz));
  const whole = HARMONICS.reduce((sum, part) => sum + part, 0);
  const turn = (2 * Math.PI * frequencyHz(priority)) / rateHz;
  for (const { atS, lengthS } of pulsesOf(priority)) {
    const [first, count] = [Math.round(atS * rateHz), Math.floor(lengthS * rateHz)];
    for (let at = 0; at < count; at++) {
      const into = at / count;
      const envelope = Math.min(1, into / RAMP, (1 - into) / RAMP);
      const tone = HARMONICS.reduce((sum, part, nth) => sum + part * Math.sin(turn * (nth + 1) * at), 0);
      samples[first + at] = (LOUDNESS * envelope * tone) / whole;
    }
  }
  return samples;
};

/** When bursts begin: each after this time and before that one, a period after the last that is planned already. */
export const begins = (priority: Priority, lastS: number | null, fromS: number, toS: number): number[] => {
  const period = periodS(priority);
  const due = lastS === null ? fromS : lastS + period;
  const starts = [];
  // A burst that is late by a sleep of the machine comes at once, and once.
  for (let at = Math.max(due, fromS); at < toS; at += period) starts.push(at);
  return starts;
};

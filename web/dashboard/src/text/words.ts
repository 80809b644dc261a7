// Numbers, times and alarms as words of a language. No clock: the time is given.
import type { Alarm, Priority } from '../live/messages.ts';
import type { Text } from './en.ts';

/** What stands where nothing is known. */
export const UNKNOWN = '––';

export const MARKS: Record<Priority, string> = { high: '***', medium: '**', low: '*' };

/** An alarm's text, readable without colour: `*** HR 134 > 120`. */
export const alarmText = (alarm: Alarm, text: Text): string => {
  const beyond = /^\*+ \S+ (-?[\d.]+) ([<>]) (-?[\d.]+)$/.exec(alarm.text);
  const short = text.short[alarm.condition];
  if (beyond && short) return `${MARKS[alarm.priority]} ${short} ${beyond[1]} ${beyond[2]} ${beyond[3]}`;
  const condition = text.conditions[alarm.condition];
  const signals = (alarm.signals ?? []).map((signal) => text.signals[signal] ?? signal).join(', ');
  return condition ? `${MARKS[alarm.priority]} ${condition}${signals === '' ? '' : `: ${signals}`}` : alarm.text || `${MARKS[alarm.priority]} ${alarm.condition}`;
};

/** With so many decimals, or what stands for unknown. */
export const decimals = (value: number | null | undefined, count: number): string =>
  value === null || value === undefined ? UNKNOWN : value.toFixed(count);

/** Units as people write them. */
export const unitWords = (unit: string): string =>
  ({ Cel: '°C', '/min': '/min', '[g]': 'g', '1': '', '{score}': '' })[unit] ?? unit;

/** Decimals that are worth showing, by unit. */
export const decimalsOf = (unit: string): number =>
  ({ Cel: 1, '/min': 0, '{score}': 0, '[g]': 2, V: 2, mV: 2, '1': 2 })[unit] ?? 2;

export const age = (ms: number | null, text: Text): string => {
  if (ms === null) return text.age.never;
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 3) return text.age.now;
  if (seconds < 100) return text.age.seconds(seconds);
  if (seconds < 100 * 60) return text.age.minutes(Math.floor(seconds / 60));
  if (seconds < 48 * 3_600) return text.age.hours(Math.floor(seconds / 3_600));
  return text.age.days(Math.floor(seconds / 86_400));
};

/** Minutes and seconds that are left: `1:05`. */
export const left = (ms: number): string => {
  const seconds = Math.max(0, Math.ceil(ms / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
};

/** A time of day of the viewer. A time that is none stays as it came. */
export const clock = (time: string | number, text: Text): string => {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  return date.toLocaleTimeString(text.code, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
};

/** The same with thousandths. */
export const clockMs = (ms: number, text: Text): string =>
  `${clock(ms, text)}.${String(Math.floor(ms % 1_000)).padStart(3, '0')}`;

/** A day and a time of the viewer. */
export const dayClock = (ms: number, text: Text): string => {
  const date = new Date(ms);
  if (Number.isNaN(date.getTime())) return String(ms);
  return `${date.toLocaleDateString(text.code, { day: 'numeric', month: 'short' })} ${clock(ms, text)}`;
};

/** Why nothing was measured. */
export const causeWords = (cause: string | null, text: Text): string =>
  text.causes[cause ?? 'unknown'] ?? text.causes.unknown ?? '';

/** An end of a connection, taken apart: `10.0.0.7:5000`, `[::1]:5000`. */
export const addressOf = (end: string | null): { address: string; port: string } => {
  const parts = /^\[?(.+?)\]?:(\d+)$/.exec(end ?? '');
  return { address: parts?.[1] ?? UNKNOWN, port: parts?.[2] ?? UNKNOWN };
};

/** A day and a time of the viewer. A time that is none stays as it came. */
export const moment = (time: string | number, text: Text): string => {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  const day = { year: 'numeric', month: 'short', day: 'numeric' } as const;
  return date.toLocaleString(text.code, { ...day, hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });
};

/** The viewer's zone, as it is called. */
export const zoneName = (): string => Intl.DateTimeFormat().resolvedOptions().timeZone;

export type Quality = 'good' | 'fair' | 'poor' | 'none';

/** How far a wave can be believed, in words. */
export const qualityOf = (value: number | null | undefined): Quality => {
  if (value === null || value === undefined) return 'none';
  if (value >= 0.8) return 'good';
  return value >= 0.5 ? 'fair' : 'poor';
};

/** A day of the viewer, short. */
export const day = (time: string | number, text: Text): string => {
  const date = new Date(time);
  if (Number.isNaN(date.getTime())) return String(time);
  return date.toLocaleDateString(text.code, { year: 'numeric', month: '2-digit', day: '2-digit' });
};

/** For how long something lasted: `49 s`, `3:05 min`, `2:10 h`. */
export const lasting = (ms: number): string => {
  const seconds = Math.max(0, Math.round(ms / 1_000));
  const two = (count: number) => String(count).padStart(2, '0');
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 100) return `${minutes}:${two(seconds % 60)} min`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)} h`;
};

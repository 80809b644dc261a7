// What the page makes of a patient's alarms: what calls, what sounds, how urgent a tile is. The server decides what is an alarm.
import type { Alarm, AlarmList, Priority } from '../live/messages.ts';

const WEIGHT: Record<Priority, number> = { high: 3, medium: 2, low: 1 };
export const TECHNICAL = new Set([
  'sensor-off',
  'bad-signal',
  'implausible',
  'device-offline',
  'clock',
  'battery',
  'journal-full',
]);

export const weight = (priority: Priority | null): number => (priority === null ? 0 : WEIGHT[priority]);

/** Whether someone must still come: no one acknowledged it, and it lasts or is latched. */
export const isCalling = (alarm: Alarm): boolean =>
  alarm.acknowledged === null && (alarm.active || alarm.priority === 'high');

/** The most urgent first; what calls before what is acknowledged or over; then the newest. */
export const byUrgency = (a: Alarm, b: Alarm): number =>
  Number(isCalling(b)) - Number(isCalling(a)) ||
  Number(b.active) - Number(a.active) ||
  weight(b.priority) - weight(a.priority) ||
  Number(TECHNICAL.has(a.condition)) - Number(TECHNICAL.has(b.condition)) ||
  b.number - a.number;

const most = (alarms: readonly Alarm[]): Priority | null =>
  alarms.reduce<Priority | null>((top, { priority }) => (weight(priority) > weight(top) ? priority : top), null);

/** The priority that calls, if any. */
export const calling = (list: AlarmList): Priority | null => most(list.alarms.filter(isCalling));

export const isPaused = (list: AlarmList): boolean => list.state !== 'on';

/** Whether an alarm sounds. What a person turned off stays off; in a pause the server says what sounds all the same. */
export const isHeard = (alarm: Alarm, list: AlarmList): boolean => {
  if (!isCalling(alarm) || list.state === 'alarm-off' || list.state === 'audio-off') return false;
  return !isPaused(list) || weight(alarm.priority) > weight(list.floor ?? 'medium');
};

/** How much a patient needs someone: tiles are ordered by it, the greatest first. */
export const urgency = (list: AlarmList, isOnline: boolean): number => {
  const active = most(list.alarms.filter(({ active }) => active));
  const isPatient = list.alarms.some((it) => isCalling(it) && !TECHNICAL.has(it.condition));
  const calls = weight(calling(list));
  return calls * 10 + (isPatient ? 5 : 0) + (calls === 0 ? weight(active) : 0) + (isOnline ? 0 : 0.5);
};

export const RATE_CONDITIONS = ['rate-high', 'rate-low', 'asystole'];
export const TEMPERATURE_CONDITIONS = ['temperature-high', 'temperature-low'];

/** The priority of what calls about one of these conditions: the number beside it is marked. */
export const priorityOf = (list: AlarmList, conditions: readonly string[]): Priority | undefined =>
  most(list.alarms.filter((it) => isCalling(it) && conditions.includes(it.condition))) ?? undefined;

export const topAlarm = (list: AlarmList): Alarm | null => list.alarms.toSorted(byUrgency)[0] ?? null;

// Requests about alarms of before, and about limits (PROTOCOL.md §6.2).
import { type History, request } from './api.ts';
import { type Alarm, alarmOf } from './messages.ts';

/** A day that is watched again takes long; the server itself gives up after 30 s. */
const PREVIEW_TIMEOUT_MS = 35_000;

/** An alarm, open or over, and whose it is. */
export interface PastAlarm extends Alarm {
  /** The device that the patient wore then; null when the alarm is the server's own. */
  device: string | null;
  patient: string | null;
  bed: string | null;
  closed: string | null;
  /** It was found in what came late, and told to no one. */
  late: boolean;
}

export interface PastAlarms {
  alarms: PastAlarm[];
  /** What `before` is for the next page. */
  next: number | null;
}

export interface StripChannel extends History {
  channel: string;
  title: string;
  wave: string | null;
}

export interface AlarmStrip {
  alarm: PastAlarm;
  limits: Limits | null;
  from: number;
  to: number;
  channels: StripChannel[];
}

export interface Limits {
  rate_low: number;
  rate_high: number;
  rate_extreme_low: number;
  rate_extreme_high: number;
  temperature_low: number;
  temperature_high: number;
  delays_s: Record<string, number>;
  off: string[];
  signals: string;
}

export interface PatientLimits {
  /** The stay whose limits they are. */
  stay: number;
  limits: Limits;
  defaults: Limits;
  delays_s_max: Record<string, number>;
}

/** What limits would have raised; null where values do not tell. */
export interface Previewed {
  from: number;
  to: number;
  has_values: boolean;
  conditions: { condition: string; on_record: number; configured: number | null; asked: number | null }[];
  alarms: (Alarm & { raised_by: string })[];
}

type Fields = Record<string, unknown>;
const flat = <T>({ alarm, ...fields }: Fields): T => ({ ...alarmOf(alarm as Fields), ...fields }) as T;

export const alarmApi = {
  async past(asked: {
    device: string;
    priority: string;
    from: number | null;
    before: number | null;
  }): Promise<PastAlarms> {
    const { device, priority, from, before } = asked;
    const query = new URLSearchParams({ priority });
    if (device !== '') query.set('device', device);
    if (from !== null) query.set('from', String(Math.floor(from)));
    if (before !== null) query.set('before', String(before));
    const answer = (await request('GET', `alarms/history?${query}`)) as { alarms: Fields[]; next: number | null };
    return { ...answer, alarms: answer.alarms.map((fields) => flat<PastAlarm>(fields)) };
  },
  async strip(number: number): Promise<AlarmStrip> {
    const answer = (await request('GET', `alarms/${number}`)) as Omit<AlarmStrip, 'channels'> & {
      record: Fields;
      channels: { title: string; wave: string | null; values: Omit<StripChannel, 'title' | 'wave'> }[];
    };
    const channels = answer.channels.map(({ values, ...channel }) => ({ ...channel, ...values }));
    return { ...answer, alarm: flat<PastAlarm>(answer.record), channels };
  },
  limits: (device: string) =>
    request('GET', `devices/${encodeURIComponent(device)}/limits`) as Promise<PatientLimits>,
  setLimits: (device: string, change: { stay: number; before: Limits; limits: Limits }) =>
    request('PUT', `devices/${encodeURIComponent(device)}/limits`, change),
  async previewLimits(device: string, limits: Limits, hours: number): Promise<Previewed> {
    const path = `devices/${encodeURIComponent(device)}/limits/preview`;
    const answer = await request('POST', path, { limits, hours }, PREVIEW_TIMEOUT_MS);
    const { alarms, ...rest } = answer as Omit<Previewed, 'alarms'> & { alarms: Fields[] };
    return { ...rest, alarms: alarms.map((fields) => flat<Previewed['alarms'][number]>(fields)) };
  },
};

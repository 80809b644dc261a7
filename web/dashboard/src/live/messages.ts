// The messages of the live connection (PROTOCOL.md §6.3): bytes in, meaning out. No state, no clock.

export type Priority = 'high' | 'medium' | 'low';

export interface Acknowledgement {
  by: string;
  reason: string | null;
  time: string;
}

export interface Alarm {
  number: number;
  condition: string;
  priority: Priority;
  text: string;
  value: number | null;
  limit: number | null;
  unit: string | null;
  /** Of a bad signal: which. */
  signals?: string[];
  since: string;
  raised: string;
  active: boolean;
  ended?: string | null;
  acknowledged: Acknowledgement | null;
  escalated?: string | null;
  delay_s: number;
}

export interface AlarmList {
  time?: string;
  /** `on`, `alarm-paused`, `alarm-off`, `audio-paused` or `audio-off`. */
  state: string;
  until: string | null;
  /** In a pause, only what is more urgent than this sounds. */
  floor: Priority | null;
  alarms: Alarm[];
}

export interface Channel {
  i: number;
  name: string;
  title: string;
  unit: string;
  /** `ppg`, `ecg` or `other` for what comes as waves. */
  wave: string | null;
  rateHz: number;
}

export interface Device {
  n: number;
  id: string;
  /** With another stay, nothing that came before is this patient's. */
  stay: number | null;
  patient: string | null;
  bed: string | null;
  profile: string;
  channels: Channel[];
  online: boolean;
  /** The ends of its connection, address and port: the device's and the server's. */
  peer: string | null;
  local: string | null;
  lastMs: number | null;
  alarms: AlarmList;
}

export interface Wave {
  n: number;
  channel: number;
  firstMs: number;
  /** 0 for a value alone. */
  intervalMs: number;
  /** NaN where the server says that there is no value. */
  values: Float32Array;
}

/** All that is known now: what is not in it is not known. */
export interface Values {
  n: number;
  timeMs: number | null;
  values: Record<string, number | null>;
}

/** What concerns no one patient. */
export interface Ward {
  /** The server's own alarms. */
  server: Alarm[];
  /** Whether the server can write alarms down. */
  isRecorded: boolean;
}

export type Message =
  | { kind: 'device'; device: Device }
  | { kind: 'wave'; wave: Wave }
  | { kind: 'values'; values: Values }
  | { kind: 'alarms'; n: number; alarms: AlarmList }
  | { kind: 'heartbeat'; serverMs: number; dropped: number }
  | { kind: 'gone'; n: number }
  | { kind: 'ward'; ward: Ward }
  | { kind: 'beats'; n: number; timesMs: number[] };

export class MessageError extends Error {}

const KINDS = { device: 1, wave: 2, values: 3, alarms: 4, heartbeat: 5, gone: 6, ward: 7, beats: 8 } as const;
const WATCH = 1;
const WAVE_HEADER_BYTES = 1 + 2 + 1 + 1 + 8 + 4 + 2;
const BEATS_HEADER_BYTES = 1 + 2;
/** A place in a wave where nothing was measured. */
const NO_VALUE = -0x8000_0000;

const PRIORITIES = new Set(['high', 'medium', 'low']);

/** What a message says; nothing for a kind that only a newer server knows. */
export const decode = (bytes: ArrayBuffer): Message | null => {
  const view = new DataView(bytes);
  if (view.byteLength === 0) throw new MessageError('an empty message');
  switch (view.getUint8(0)) {
    case KINDS.device:
      return { kind: 'device', device: device(json(bytes)) };
    case KINDS.wave:
      return { kind: 'wave', wave: wave(view) };
    case KINDS.values:
      return { kind: 'values', values: values(json(bytes)) };
    case KINDS.alarms: {
      const fields = json(bytes);
      return { kind: 'alarms', n: place(fields.n), alarms: alarmList(fields) };
    }
    case KINDS.heartbeat:
      exactly(view, 13);
      return { kind: 'heartbeat', serverMs: view.getFloat64(1, true), dropped: view.getUint32(9, true) };
    case KINDS.gone:
      exactly(view, 3);
      return { kind: 'gone', n: view.getUint16(1, true) };
    case KINDS.ward: {
      const fields = json(bytes);
      return { kind: 'ward', ward: { server: alarms(fields.server), isRecorded: fields.recorded !== false } };
    }
    case KINDS.beats:
      return { kind: 'beats', n: beatsOf(view), timesMs: beatTimes(view) };
    default:
      return null;
  }
};

const beatsOf = (view: DataView): number => {
  if (view.byteLength < BEATS_HEADER_BYTES) throw new MessageError('beats of no device');
  return view.getUint16(1, true);
};

const beatTimes = (view: DataView): number[] => {
  const count = (view.byteLength - BEATS_HEADER_BYTES) / 8;
  if (!Number.isInteger(count)) throw new MessageError('beats are cut');
  const times = Array.from({ length: count }, (_, at) => view.getFloat64(BEATS_HEADER_BYTES + 8 * at, true));
  if (!times.every(Number.isFinite)) throw new MessageError('a beat without a time');
  return times;
};

/** Asks for the waves of these devices only. */
export const encodeWatch = (ns: readonly number[]): ArrayBuffer => {
  const view = new DataView(new ArrayBuffer(1 + 2 * ns.length));
  view.setUint8(0, WATCH);
  ns.forEach((n, at) => view.setUint16(1 + 2 * at, n, true));
  return view.buffer as ArrayBuffer;
};

const exactly = (view: DataView, bytes: number) => {
  if (view.byteLength !== bytes) throw new MessageError(`${view.byteLength} bytes where ${bytes} belong`);
};

const wave = (view: DataView): Wave => {
  if (view.byteLength < WAVE_HEADER_BYTES) throw new MessageError('a wave is cut in its header');
  const count = view.getUint16(17, true);
  exactly(view, WAVE_HEADER_BYTES + 4 * count);
  const exponent = view.getInt8(4);
  // By a whole number, so that 37 at 10^-1 is 3.7.
  const [factor, divisor] = exponent < 0 ? [1, 10 ** -exponent] : [10 ** exponent, 1];
  const firstMs = view.getFloat64(5, true);
  const intervalMs = view.getUint32(13, true) / 1_000;
  if (!Number.isFinite(firstMs) || (count > 1 && intervalMs === 0)) throw new MessageError('a wave without time');
  const values = new Float32Array(count);
  for (let at = 0; at < count; at++) {
    const int = view.getInt32(WAVE_HEADER_BYTES + 4 * at, true);
    values[at] = int === NO_VALUE ? Number.NaN : (int * factor) / divisor;
  }
  return { n: view.getUint16(1, true), channel: view.getUint8(3), firstMs, intervalMs, values };
};

type Fields = Record<string, unknown>;

const json = (bytes: ArrayBuffer): Fields => {
  const text = new TextDecoder('utf-8', { fatal: true });
  let parsed: unknown;
  try {
    parsed = JSON.parse(text.decode(new Uint8Array(bytes, 1)));
  } catch (error) {
    throw new MessageError(`no JSON: ${error}`);
  }
  if (!isFields(parsed)) throw new MessageError('JSON that is no object');
  return parsed;
};

const isFields = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const place = (value: unknown): number => {
  if (typeof value !== 'number' || !Number.isInteger(value)) throw new MessageError('a message of no device');
  return value;
};

const words = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value : null);
const numeric = (value: unknown): number | null =>
  typeof value === 'number' && Number.isFinite(value) ? value : null;

const device = (fields: Fields): Device => {
  const id = words(fields.id);
  if (id === null) throw new MessageError('a device without an id');
  const channels = Array.isArray(fields.channels) ? fields.channels.filter(isFields) : [];
  return {
    n: place(fields.n),
    id,
    stay: numeric(fields.stay),
    patient: words(fields.patient),
    bed: words(fields.bed),
    profile: words(fields.profile) ?? '',
    channels: channels.map((channel) => ({
      i: numeric(channel.i) ?? 0,
      name: words(channel.name) ?? '',
      title: words(channel.title) ?? words(channel.name) ?? '',
      unit: words(channel.unit) ?? '',
      wave: words(channel.wave),
      rateHz: numeric(channel.rate_hz) ?? 0,
    })),
    online: fields.online === true,
    peer: words(fields.peer),
    local: words(fields.local),
    lastMs: numeric(fields.last),
    alarms: alarmList(isFields(fields.alarms) ? fields.alarms : {}),
  };
};

export const alarmList = (fields: Fields): AlarmList => ({
  state: words(fields.state) ?? 'on',
  until: words(fields.until),
  floor: PRIORITIES.has(fields.floor as string) ? (fields.floor as Priority) : null,
  alarms: alarms(fields.alarms),
});

const alarms = (list: unknown): Alarm[] => (Array.isArray(list) ? list.filter(isFields) : []).map(alarmOf);

// A priority that is not known is taken for the highest: nothing is missed that way.
export const alarmOf = (fields: Fields): Alarm => ({
  number: numeric(fields.number) ?? 0,
  condition: words(fields.condition) ?? '',
  priority: PRIORITIES.has(fields.priority as string) ? (fields.priority as Priority) : 'high',
  text: words(fields.text) ?? '',
  value: numeric(fields.value),
  limit: numeric(fields.limit),
  unit: words(fields.unit),
  signals: Array.isArray(fields.signals) ? fields.signals.filter((one) => words(one) !== null) : [],
  since: words(fields.since) ?? '',
  raised: words(fields.raised) ?? '',
  active: fields.active !== false,
  ended: words(fields.ended),
  acknowledged: isFields(fields.acknowledged)
    ? {
        by: words(fields.acknowledged.by) ?? '',
        reason: words(fields.acknowledged.reason),
        time: words(fields.acknowledged.time) ?? '',
      }
    : null,
  escalated: words(fields.escalated),
  delay_s: numeric(fields.delay_s) ?? 0,
});

const values = (fields: Fields): Values => {
  const pairs = isFields(fields.values) ? Object.entries(fields.values) : [];
  const known = pairs.map(([name, it]) => [name, numeric(it)] as const);
  return { n: place(fields.n), timeMs: numeric(fields.time), values: Object.fromEntries(known) };
};

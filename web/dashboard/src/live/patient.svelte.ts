// What the page knows of one patient, by the device that watches over them.
import { Playout } from '../wave/playout.ts';
import { KEPT_MS, WaveRing } from '../wave/ring.ts';
import { type Acceleration, accelerationOf, moves } from '../ward/movement.ts';
import type { AlarmList, Channel, Device, Values, Wave } from './messages.ts';

/** The rates that the server derives, as they are looked for. */
export const RATES = ['Heart_Rate', 'Pulse_Rate'] as const;
/** Single values have the time of reception: only after so many intervals is one missing. */
const GAP_OF_SINGLES = 5;
const GAP_OF_SINGLES_MS_MIN = 500;

const keyOf = ({ id, stay }: Device): string => `${id} ${stay}`;

export class Patient {
  readonly id: string;
  /** Of the device's stay: another patient has another key. */
  readonly key: string;
  readonly playout = new Playout();
  readonly rings = new Map<number, WaveRing>();
  /** When the heart beat lately, in the order of time. */
  readonly beatsMs: number[] = [];
  device: Device = $state.raw() as Device;
  alarms: AlarmList = $state.raw() as AlarmList;
  values: Record<string, number | null> = $state.raw({});
  isMoving: boolean | null = $state(null);
  /** When the newest value was measured, by the clock of the server. Not watched: it changes all the time. */
  lastMs: number | null;
  #acceleration: Acceleration | null = null;

  constructor(device: Device) {
    this.id = device.id;
    this.key = keyOf(device);
    this.device = device;
    this.alarms = device.alarms;
    this.lastMs = device.lastMs;
  }

  get waves(): Channel[] {
    return this.device.channels.filter(({ wave }) => wave !== null);
  }

  /** The wave that a tile shows. */
  get mainWave(): Channel | null {
    const waves = this.waves;
    return waves.find(({ wave }) => wave === 'ecg') ?? waves.find(({ wave }) => wave === 'ppg') ?? waves[0] ?? null;
  }

  /** The name of the rate that this patient has, or would have. */
  get rateName(): (typeof RATES)[number] {
    const known = RATES.find((name) => this.values[name] != null);
    return known ?? (this.mainWave?.wave === 'ecg' ? 'Heart_Rate' : 'Pulse_Rate');
  }

  /** Whether a message about the device is about this patient still. */
  isOf(device: Device): boolean {
    return this.key === keyOf(device);
  }

  takeDevice(device: Device) {
    this.device = device;
    this.takeAlarms(device.alarms);
    if (device.lastMs !== null) this.#measuredAt(device.lastMs);
  }

  takeAlarms(alarms: AlarmList) {
    this.alarms = alarms;
  }

  takeValues({ timeMs, values }: Values) {
    this.values = values;
    const acceleration = accelerationOf(values);
    this.isMoving = moves(this.#acceleration, acceleration);
    this.#acceleration = acceleration;
    if (timeMs !== null) this.#measuredAt(timeMs);
  }

  takeBeats(timesMs: number[]) {
    for (const ms of timesMs) if (ms > (this.beatsMs.at(-1) ?? Number.NEGATIVE_INFINITY)) this.beatsMs.push(ms);
    const newestMs = this.beatsMs.at(-1) ?? 0;
    while ((this.beatsMs[0] ?? newestMs) < newestMs - KEPT_MS) this.beatsMs.shift();
  }

  takeWave({ channel, firstMs, intervalMs, values }: Wave, nowMs: number) {
    if (values.length === 0) return;
    const nominalMs = 1_000 / (this.device.channels.find(({ i }) => i === channel)?.rateHz || 20);
    const isSingle = intervalMs === 0;
    const gapMs = isSingle ? Math.max(GAP_OF_SINGLES * nominalMs, GAP_OF_SINGLES_MS_MIN) : 1.75 * intervalMs;
    const lastMs = firstMs + (values.length - 1) * intervalMs;
    const isFirst = this.mainWave?.i === channel;
    let ring = this.rings.get(channel);
    if (ring === undefined) this.rings.set(channel, (ring = new WaveRing()));
    // One channel leads the time of all waves of a patient, so that they stand below each other.
    if (isFirst && !this.playout.arrived(firstMs, lastMs, gapMs, nowMs)) return;
    ring.push(firstMs, isSingle ? nominalMs / 4 : intervalMs, values, gapMs);
    this.#measuredAt(lastMs);
  }

  #measuredAt(ms: number) {
    this.lastMs = Math.max(this.lastMs ?? 0, ms);
  }
}

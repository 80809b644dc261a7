// All patients that this user sees, live: takes messages, says what sounds, and knows when nothing can be believed.
import { SvelteMap } from 'svelte/reactivity';
import { Siren } from '../sound/siren.ts';
import { preferences, words } from '../text/preferences.svelte.ts';
import { alarmText } from '../text/words.ts';
import { calling, isCalling, isHeard, weight } from '../ward/alarms.ts';
import { Connection, SILENCE_MS } from './connection.ts';
import type { Alarm, Device, Message, Priority, Ward as WardNews } from './messages.ts';
import { Patient } from './patient.svelte.ts';

const TICK_MS = 250;
/** After a reconnection, who is not named again within this time is not there any more. */
const NAMED_AGAIN_MS = 2_000;

export class Ward {
  readonly patients = new SvelteMap<string, Patient>();
  news: WardNews = $state.raw({ server: [], isRecorded: true });
  /** The time of the server, once a second. */
  nowMs = $state(Date.now());
  /** Waves that the server left out because this page is slow. */
  dropped = $state(0);
  isSilent = $state(false);
  /** The first heartbeat came. */
  isHeard = $state(false);
  isSoundBlocked = $state(false);
  /** For screen readers: the newest alarm. */
  announcement = $state('');
  #byNumber = new Map<number, Patient>();
  #seen = new Map<string, number>();
  #named: Set<string> | null = null;
  #announced = new Set<number>();
  #offsetMs = 0;
  #beatMs = performance.now();
  #timer: ReturnType<typeof setInterval>;
  #connection: Connection;
  #siren = new Siren((isBlocked) => (this.isSoundBlocked = isBlocked));
  #unlock = () => this.#siren.unlock();

  constructor(onRefused: () => void) {
    this.#connection = new Connection({
      opened: () => this.#opened(),
      said: (message) => this.#take(message),
      lost: (isRefused) => {
        if (isRefused || this.isSilent || !this.isHeard) onRefused();
      },
    });
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
    this.#siren.turn(preferences.hasSound);
    // A browser lets a page sound after a click or a key; some let it at once.
    for (const gesture of ['click', 'keydown']) document.addEventListener(gesture, this.#unlock);
    this.#unlock();
  }

  /** The time of the server's last heartbeat, by its own clock. */
  get lastBeatMs(): number {
    return this.#beatMs - performance.now() + Date.now() + this.#offsetMs;
  }

  /** How far the picture of a patient is behind, in milliseconds. */
  behindMs(playheadMs: number): number {
    return Date.now() + this.#offsetMs - playheadMs;
  }

  stop() {
    clearInterval(this.#timer);
    this.#connection.stop();
    this.#siren.silence();
    for (const gesture of ['click', 'keydown']) document.removeEventListener(gesture, this.#unlock);
  }

  testSound() {
    this.#siren.test();
  }

  unlockSound() {
    this.#siren.unlock();
  }

  turnSound(isOn: boolean) {
    preferences.hasSound = isOn;
    this.#siren.turn(isOn);
    this.#sound();
  }

  /** A wave of this patient is seen, or is not any more. */
  see(id: string, isSeen: boolean) {
    const count = (this.#seen.get(id) ?? 0) + (isSeen ? 1 : -1);
    if (count > 0) this.#seen.set(id, count);
    else this.#seen.delete(id);
    this.#watch();
  }

  #watch() {
    const seen = [...this.#seen.keys()].map((id) => this.patients.get(id)?.device.n);
    this.#connection.watch(seen.filter((n) => n !== undefined));
  }

  #opened() {
    this.#byNumber.clear();
    const named = new Set<string>();
    this.#named = named;
    setTimeout(() => {
      if (this.#named !== named) return;
      this.#named = null;
      for (const id of [...this.patients.keys()]) if (!named.has(id)) this.patients.delete(id);
      this.#sound();
    }, NAMED_AGAIN_MS);
  }

  #take(message: Message) {
    switch (message.kind) {
      case 'device':
        return this.#takeDevice(message.device);
      case 'wave':
        return this.#byNumber.get(message.wave.n)?.takeWave(message.wave, performance.now());
      case 'values':
        return this.#byNumber.get(message.values.n)?.takeValues(message.values);
      case 'alarms':
        this.#byNumber.get(message.n)?.takeAlarms(message.alarms);
        return this.#sound();
      case 'ward':
        this.news = message.ward;
        return this.#sound();
      case 'beats':
        return this.#byNumber.get(message.n)?.takeBeats(message.timesMs);
      case 'gone':
        return this.#gone(message.n);
      case 'heartbeat':
        return this.#heard(message.serverMs, message.dropped);
    }
  }

  #takeDevice(device: Device) {
    this.#named?.add(device.id);
    let patient = this.patients.get(device.id);
    if (patient?.isOf(device)) patient.takeDevice(device);
    else this.patients.set(device.id, (patient = new Patient(device)));
    const before = this.#byNumber.get(device.n);
    this.#byNumber.set(device.n, patient);
    if (before !== patient && this.#seen.size > 0) this.#watch();
    this.#sound();
  }

  #gone(n: number) {
    const patient = this.#byNumber.get(n);
    if (!patient) return;
    this.#byNumber.delete(n);
    this.patients.delete(patient.id);
    this.#sound();
  }

  #heard(serverMs: number, dropped: number) {
    this.#beatMs = performance.now();
    this.#offsetMs = serverMs - Date.now();
    this.dropped = dropped;
    this.isHeard = true;
    this.isSilent = false;
    this.nowMs = serverMs;
    this.#siren.heard(SILENCE_MS / 1_000);
  }

  #tick() {
    const now = performance.now();
    this.isSilent = now - this.#beatMs > SILENCE_MS;
    if (this.isSilent) this.nowMs = Date.now() + this.#offsetMs;
    this.#connection.tick(now);
    this.#siren.tick();
  }

  // What sounds, and what a screen reader says.
  #sound() {
    let top: Priority | null = null;
    const standing = new Set<number>();
    let newest: { alarm: Alarm; place: string } | null = null;
    const hear = (alarm: Alarm, place: string) => {
      standing.add(alarm.number);
      if (weight(alarm.priority) > weight(top)) top = alarm.priority;
      const isNew = !this.#announced.has(alarm.number);
      if (isNew && weight(alarm.priority) > weight(newest?.alarm.priority ?? null)) newest = { alarm, place };
    };
    for (const { alarms, device } of this.patients.values()) {
      for (const alarm of alarms.alarms) if (isHeard(alarm, alarms)) hear(alarm, placeOf(device));
    }
    for (const alarm of this.news.server) if (isCalling(alarm)) hear(alarm, words().alarm.server);
    this.#announced = standing;
    this.#siren.sound(top, newest !== null);
    if (newest !== null) {
      const { alarm, place } = newest as { alarm: Alarm; place: string };
      this.announcement = `${place}: ${alarmText(alarm, words())}`;
    }
  }
}

/** What people call a patient's place: the bed, else the name of the device. */
export const placeOf = ({ bed, id }: Device): string => (bed === null ? id : words().tile.bed(bed));

const names = new Intl.Collator(undefined, { numeric: true });

/** Patients by their beds, as people count. */
export const byBed = (ward: Ward): Patient[] =>
  [...ward.patients.values()].toSorted((a, b) => names.compare(a.device.bed ?? a.id, b.device.bed ?? b.id));

/** The priority that calls anywhere in the ward, and for how many patients. */
export const callsOf = (ward: Ward): { top: Priority | null; patients: number } => {
  let [top, patients]: [Priority | null, number] = [null, 0];
  for (const { alarms } of ward.patients.values()) {
    const priority = calling(alarms);
    if (priority === null) continue;
    patients++;
    if (weight(priority) > weight(top)) top = priority;
  }
  for (const alarm of ward.news.server) {
    if (isCalling(alarm) && weight(alarm.priority) > weight(top)) top = alarm.priority;
  }
  return { top, patients };
};

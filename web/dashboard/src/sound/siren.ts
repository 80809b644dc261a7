// Sounds alarms by WebAudio. Everything is planned ahead on the clock of the sound card, so that a hidden page, whose timers may come
// once a minute, sounds as well; frames of the picture play no part. That no data came is planned too, and put off by each heartbeat.
import type { Priority } from '../live/messages.ts';
import { begins, render } from './bursts.ts';

/** Longer than the time between two timers of a hidden page. */
const AHEAD_S = 75;
const SOON_S = 0.05;
/** A sound card that may play needs a moment to start. */
const START_MS = 1_000;
const NO_DATA_PRIORITY: Priority = 'medium';

interface Planned {
  startS: number;
  node: AudioBufferSourceNode;
}

class Track {
  #planned: Planned[] = [];

  get lastS(): number | null {
    return this.#planned.at(-1)?.startS ?? null;
  }

  plan(context: AudioContext, buffer: AudioBuffer, startS: number) {
    const node = new AudioBufferSourceNode(context, { buffer });
    node.connect(context.destination);
    node.start(startS);
    this.#planned.push({ startS, node });
    // Those that are over are no more needed, but the last begin is.
    this.#planned = this.#planned.slice(-16);
  }

  /** Whether no burst began within this time, so that one may begin now. */
  isQuiet(nowS: number, quietS: number): boolean {
    return !this.#planned.some(({ startS }) => startS <= nowS && nowS - startS < quietS);
  }

  stop() {
    for (const { node } of this.#planned) {
      node.stop();
      node.disconnect();
    }
    this.#planned = [];
  }
}

export class Siren {
  #context: AudioContext | null = null;
  #buffers = new Map<Priority, AudioBuffer>();
  #alarms = new Track();
  #noData = new Track();
  #test = new Track();
  #sounding: Priority | null = null;
  #isOn = true;
  #onState: (isBlocked: boolean) => void;

  constructor(onState: (isBlocked: boolean) => void) {
    this.#onState = onState;
  }

  /** Begins to sound, as far as the browser lets it: most do after a click only. */
  unlock() {
    this.#context ??= this.#open();
    if (this.#context.state !== 'running') void this.#context.resume().catch(() => undefined);
  }

  /** Whether this page sounds at all. */
  turn(isOn: boolean) {
    this.#isOn = isOn;
    if (!isOn) for (const track of [this.#alarms, this.#noData, this.#test]) track.stop();
    else this.#plan();
  }

  /** What sounds from now on: bursts of this priority, or nothing. `isNew` begins at once, also in between two bursts. */
  sound(priority: Priority | null, isNew: boolean) {
    if (priority !== this.#sounding || (isNew && this.#isBetween(3))) this.#alarms.stop();
    this.#sounding = priority;
    this.#plan();
  }

  /** The server was heard: that it is not heard sounds so much later, if nothing puts it off again. */
  heard(afterS: number) {
    this.#noData.stop();
    const context = this.#context;
    if (context === null || !this.#isOn) return;
    const now = context.currentTime;
    for (const at of begins(NO_DATA_PRIORITY, null, now + afterS, now + AHEAD_S)) {
      this.#noData.plan(context, this.#buffer(context, NO_DATA_PRIORITY), at);
    }
    this.#plan();
  }

  /** No one is signed in, or wants to hear of this server. */
  silence() {
    this.#sounding = null;
    this.#alarms.stop();
    this.#noData.stop();
  }

  /** Each priority once, the most urgent first. */
  test() {
    this.unlock();
    const context = this.#context;
    if (context === null) return;
    this.#test.stop();
    const starts: [Priority, number][] = [
      ['high', 0],
      ['medium', 3.2],
      ['low', 5],
    ];
    for (const [priority, afterS] of starts) {
      this.#test.plan(context, this.#buffer(context, priority), context.currentTime + SOON_S + afterS);
    }
  }

  /** Plans further ahead. To be called now and then: at least each [`AHEAD_S`]. */
  tick() {
    this.#plan();
  }

  #plan() {
    const context = this.#context;
    if (context === null || this.#sounding === null || !this.#isOn) return;
    const now = context.currentTime;
    for (const at of begins(this.#sounding, this.#alarms.lastS, now + SOON_S, now + AHEAD_S)) {
      this.#alarms.plan(context, this.#buffer(context, this.#sounding), at);
    }
  }

  #isBetween(quietS: number): boolean {
    return this.#context !== null && this.#alarms.isQuiet(this.#context.currentTime, quietS);
  }

  #open(): AudioContext {
    const context = new AudioContext();
    const say = () => this.#onState(context.state !== 'running');
    context.addEventListener('statechange', say);
    setTimeout(say, START_MS);
    return context;
  }

  #buffer(context: AudioContext, priority: Priority): AudioBuffer {
    const kept = this.#buffers.get(priority);
    if (kept) return kept;
    const samples = render(priority, context.sampleRate);
    const buffer = context.createBuffer(1, samples.length, context.sampleRate);
    buffer.copyToChannel(samples, 0);
    this.#buffers.set(priority, buffer);
    return buffer;
  }
}

// The time of the emulated world: what runs on when the chip restarts (modem, sensors, scripts). The chip's own clock starts
// at zero at every start, as its timer does; the world's never goes back. Both advance together, and neither knows wall time.

import { Clock } from './clock.mjs';

export const MICROSECOND = 1_000;
export const MILLISECOND = 1_000_000;
export const SECOND = 1_000_000_000;

/** Calls back at a moment of the world; one at a time, scheduling again replaces the earlier moment. */
class WorldTimer {
  #world;
  #callback;
  #alarm = null;
  at_nanos = null;

  constructor(world, callback) {
    this.#world = world;
    this.#callback = callback;
  }

  get isScheduled() {
    return this.at_nanos !== null;
  }

  schedule(delay_nanos) {
    this.cancel();
    this.at_nanos = this.#world.nanos + delay_nanos;
    this.#world.scheduled.add(this);
    this.arm();
  }

  cancel() {
    this.#alarm?.cancel();
    this.#alarm = null;
    this.at_nanos = null;
    this.#world.scheduled.delete(this);
  }

  /** Sets the alarm on the clock that ticks now; the clock before, which may be in the middle of a tick, lets it go. */
  arm() {
    this.#alarm?.cancel();
    this.#alarm = this.#world.clock.createAlarm(() => {
      this.cancel();
      this.#callback();
    });
    this.#alarm.schedule(Math.max(0, this.at_nanos - this.#world.nanos));
  }
}

export class WorldClock {
  /** The clock that ticks now: the chip's, or one of no one while the power is off. */
  clock = new Clock();
  scheduled = new Set();
  #before_nanos = 0;

  get nanos() {
    return this.#before_nanos + this.clock.nanos;
  }

  timer(callback) {
    return new WorldTimer(this, callback);
  }

  /** Once, after this time. Returns the timer, which can be cancelled. */
  after(delay_nanos, callback) {
    const timer = this.timer(callback);
    timer.schedule(delay_nanos);
    return timer;
  }

  /** Another clock takes over, at zero; pending timers move along. */
  follow(clock) {
    this.#before_nanos = this.nanos;
    this.clock = clock;
    for (const timer of this.scheduled) timer.arm();
  }
}
